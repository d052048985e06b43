//! Address space: slots numbered from 0, each a /24 somewhere in public IPv4 and a /32 in 2a00::/12.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::rng::Feistel;

/// /24s that are never given out, as first and last upper 24 bits: RFC 6890, multicast and above, and the
/// ranges of public resolvers, which a reader would take for the real ones.
const EXCLUDED: [(u32, u32); 19] = [
    (0x00_0000, 0x00_ffff),
    (0x01_0000, 0x01_0001),
    (0x01_0101, 0x01_0101),
    (0x08_0404, 0x08_0404),
    (0x08_0808, 0x08_0808),
    (0x09_0909, 0x09_0909),
    (0x0a_0000, 0x0a_ffff),
    (0x64_4000, 0x64_7fff),
    (0x7f_0000, 0x7f_ffff),
    (0xa9_fe00, 0xa9_feff),
    (0xac_1000, 0xac_1fff),
    (0xc0_0000, 0xc0_0002),
    (0xc0_1fc4, 0xc0_1fc4),
    (0xc0_34c1, 0xc0_34c1),
    (0xc0_5863, 0xc0_5863),
    (0xc0_a800, 0xc0_a8ff),
    (0xc6_1200, 0xc6_13ff),
    (0xc6_3364, 0xc6_3364),
    (0xcb_0071, 0xff_ffff),
];

/// Where slots lie.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    v4: Feistel,
    v6: Feistel,
    hosts: Feistel,
}

impl Space {
    pub(crate) fn new(seed: u64) -> Self {
        let excluded: u64 = EXCLUDED.iter().map(|(first, last)| u64::from(last - first + 1)).sum();
        Self {
            v4: Feistel::new(seed ^ 0x0004, (1 << 24) - excluded),
            v6: Feistel::new(seed ^ 0x0006, 1 << 20),
            hosts: Feistel::new(seed ^ 0x0128, 1 << 32),
        }
    }

    /// An address of a slot.
    pub(crate) fn v4(&self, slot: u64, host: u8) -> Ipv4Addr {
        let mut upper = self.v4.forward(slot) as u32;
        for (first, last) in EXCLUDED {
            if upper >= first {
                upper += last - first + 1;
            }
        }
        Ipv4Addr::from_bits((upper << 8) | u32::from(host))
    }

    /// The slot and last octet of a public address.
    pub(crate) fn slot_v4(&self, addr: Ipv4Addr) -> Option<(u64, u8)> {
        let upper = addr.to_bits() >> 8;
        let mut rank = upper;
        for (first, last) in EXCLUDED {
            if upper > last {
                rank -= last - first + 1;
            } else if upper >= first {
                return None;
            }
        }
        Some((self.v4.inverse(u64::from(rank)), addr.octets()[3]))
    }

    /// The address of tenant number `tenant` on the host with this last octet.
    pub(crate) fn v6(&self, slot: u64, host: u8, tenant: u64) -> Ipv6Addr {
        let network = (0x2a0_u128 << 20) | u128::from(self.v6.forward(slot & 0xf_ffff));
        let tenant = u128::from(self.hosts.forward(tenant & 0xffff_ffff));
        Ipv6Addr::from_bits((network << 96) | (u128::from(host) << 80) | tenant)
    }

    /// Slot, last octet of the host, and tenant of an address that [`Space::v6`] can give.
    pub(crate) fn slot_v6(&self, addr: Ipv6Addr) -> Option<(u64, u8, u64)> {
        let bits = addr.to_bits();
        if bits >> 116 != 0x2a0 {
            return None;
        }
        let slot = self.v6.inverse((bits >> 96) as u64 & 0xf_ffff);
        let host = u8::try_from((bits >> 80) & 0xffff).ok()?;
        if (bits >> 32) & 0xffff_ffff_ffff != 0 {
            return Some((slot, host, u64::MAX));
        }
        Some((slot, host, self.hosts.inverse(bits as u64 & 0xffff_ffff)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn addresses_lead_back(seed: u64, slot in 0_u64..100_000, host: u8, tenant in 0_u64..1 << 32) {
            let space = Space::new(seed);
            prop_assert_eq!(space.slot_v4(space.v4(slot, host)), Some((slot, host)));
            prop_assert_eq!(space.slot_v6(space.v6(slot, host, tenant)), Some((slot, host, tenant)));
        }

        #[test]
        fn no_special_address_is_given(slot in 0_u64..13_000_000, host: u8) {
            let addr = Space::new(3).v4(slot, host);
            let o = addr.octets();
            prop_assert!(!addr.is_private() && !addr.is_loopback() && !addr.is_link_local());
            prop_assert!(!addr.is_documentation() && !addr.is_multicast() && !addr.is_unspecified());
            prop_assert!(o[0] != 0 && o[0] < 224 && !(o[0] == 100 && (64..128).contains(&o[1])));
            prop_assert!(!(o[0] == 198 && (18..20).contains(&o[1])));
        }
    }
}
