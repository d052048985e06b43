//! Address space: slots numbered from 0, each a /24 somewhere in public IPv4 and a /32 in 2a00::/12.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::rng::Feistel;

/// Ranges from which /24s are given out, as first and last upper 12 bits: the larger ones of those that hold
/// nothing special (RFC 6890) and nothing on the lists of what everybody shares, so that no list speaks of an
/// address by accident.
#[rustfmt::skip]
const FREE: [(u16, u16); 87] = [
    (0x024, 0x02f), (0x041, 0x048), (0x05d, 0x07f), (0x083, 0x08d), (0x0b0, 0x0d1), (0x0ee, 0x0f5),
    (0x119, 0x121), (0x130, 0x13f), (0x150, 0x16f), (0x18f, 0x1af), (0x1b8, 0x1f0), (0x1f2, 0x1fa),
    (0x1fe, 0x20b), (0x210, 0x21f), (0x247, 0x250), (0x26f, 0x278), (0x27a, 0x281), (0x28f, 0x2a6),
    (0x2a8, 0x2b7), (0x2c0, 0x2cb), (0x300, 0x30c), (0x30e, 0x31d), (0x328, 0x32f), (0x350, 0x35f),
    (0x370, 0x37f), (0x39c, 0x3a8), (0x3ba, 0x3c4), (0x3d0, 0x3d7), (0x42e, 0x437), (0x490, 0x49f),
    (0x4b7, 0x4c3), (0x4c5, 0x4cc), (0x4ea, 0x4f6), (0x52b, 0x536), (0x551, 0x55c), (0x568, 0x575),
    (0x594, 0x59c), (0x59e, 0x5b7), (0x608, 0x623), (0x648, 0x654), (0x690, 0x69f), (0x6d5, 0x6dd),
    (0x6df, 0x6ed), (0x705, 0x715), (0x717, 0x725), (0x729, 0x733), (0x738, 0x747), (0x759, 0x768),
    (0x77a, 0x782), (0x7b8, 0x7c1), (0x7c7, 0x7d2), (0x7e0, 0x7e8), (0x816, 0x821), (0x831, 0x83e),
    (0x840, 0x84e), (0x850, 0x867), (0x86b, 0x874), (0x88b, 0x893), (0x8a8, 0x8b2), (0x8bc, 0x8ca),
    (0x8e1, 0x8ee), (0x8f3, 0x8fb), (0x900, 0x90a), (0x90e, 0x923), (0x959, 0x965), (0x97d, 0x994),
    (0x9a2, 0x9b8), (0x9ca, 0x9d2), (0xa06, 0xa1a), (0xa30, 0xa39), (0xa3b, 0xa44), (0xa49, 0xa59),
    (0xa68, 0xa74), (0xa77, 0xa7f), (0xa90, 0xa98), (0xaa0, 0xac0), (0xae9, 0xaf1), (0xaf8, 0xb00),
    (0xb08, 0xb13), (0xb3c, 0xb48), (0xb52, 0xb60), (0xb64, 0xb6f), (0xba0, 0xbab), (0xbcb, 0xbd4),
    (0xbd6, 0xbde), (0xbee, 0xbfd), (0xc43, 0xc55),
];

/// Where slots lie.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    v4: Feistel,
    v6: Feistel,
    hosts: Feistel,
    /// How many /24s come before each range.
    before: Vec<u32>,
}

impl Space {
    pub(crate) fn new(seed: u64) -> Self {
        let mut sum = 0;
        let mut before = Vec::with_capacity(FREE.len());
        for (first, last) in FREE {
            before.push(sum);
            sum += u32::from(last - first + 1) << 12;
        }
        Self {
            v4: Feistel::new(seed ^ 0x0004, u64::from(sum)),
            v6: Feistel::new(seed ^ 0x0006, 1 << 20),
            hosts: Feistel::new(seed ^ 0x0128, 1 << 32),
            before,
        }
    }

    /// An address of a slot; there are five millions of these.
    pub(crate) fn v4(&self, slot: u64, host: u8) -> Ipv4Addr {
        let rank = self.v4.forward(slot % self.v4.size()) as u32;
        let range = self.before.partition_point(|before| *before <= rank) - 1;
        let upper = (u32::from(FREE[range].0) << 12) + rank - self.before[range];
        Ipv4Addr::from_bits((upper << 8) | u32::from(host))
    }

    /// The slot and last octet of an address that [`Space::v4`] can give.
    pub(crate) fn slot_v4(&self, addr: Ipv4Addr) -> Option<(u64, u8)> {
        let upper = addr.to_bits() >> 8;
        let range = FREE.partition_point(|(first, _)| u32::from(*first) <= upper >> 12).checked_sub(1)?;
        let (first, last) = FREE[range];
        if upper >> 12 > u32::from(last) {
            return None;
        }
        let rank = self.before[range] + upper - (u32::from(first) << 12);
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
        fn no_special_address_is_given(slot in 0_u64..5_100_000, host: u8) {
            let addr = Space::new(3).v4(slot, host);
            let o = addr.octets();
            prop_assert!(!addr.is_private() && !addr.is_loopback() && !addr.is_link_local());
            prop_assert!(!addr.is_documentation() && !addr.is_multicast() && !addr.is_unspecified());
            prop_assert!(o[0] != 0 && o[0] < 224 && !(o[0] == 100 && (64..128).contains(&o[1])));
            prop_assert!(!(o[0] == 198 && (18..20).contains(&o[1])));
        }
    }

    /// The lists of addresses, as first and last.
    fn listed() -> Vec<(u32, u32, String)> {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut found = Vec::new();
        for file in std::fs::read_dir(root.join("shared/packs")).unwrap().map(|f| f.unwrap().path()) {
            let text = std::fs::read_to_string(&file).unwrap();
            if !text.lines().take(20).any(|line| line == "# type: cidr") {
                continue;
            }
            for line in text.lines() {
                let (addr, length) = line.split_once('/').unwrap_or((line, "32"));
                let Ok(addr) = addr.parse::<Ipv4Addr>() else { continue };
                let size = 32 - length.trim().parse::<u32>().unwrap();
                let last = addr.to_bits() | 1_u32.checked_shl(size).unwrap_or(0).wrapping_sub(1);
                found.push((addr.to_bits(), last, line.to_owned()));
            }
        }
        assert!(found.len() > 1_000);
        found
    }

    #[test]
    fn what_is_given_out_is_on_no_list() {
        for (first, last, line) in listed() {
            let hit = FREE
                .iter()
                .find(|(from, to)| first >> 20 <= u32::from(*to) && last >> 20 >= u32::from(*from));
            assert!(hit.is_none(), "{line} is on a list, and given out by {hit:?}");
        }
    }
}
