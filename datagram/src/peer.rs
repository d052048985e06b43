//! Addresses as the kernel reads and writes them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Room for a `sockaddr_in6`, the longer of the two.
const ROOM: usize = size_of::<libc::sockaddr_in6>();

/// Where a datagram comes from or goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C, align(8))]
pub struct Peer {
    pub(crate) octets: [u8; ROOM],
    pub(crate) length: u32,
}

impl Peer {
    /// Room for the kernel to write to.
    pub(crate) const EMPTY: Self = Self { octets: [0; ROOM], length: ROOM as u32 };

    /// The address; `None` where the kernel gave one of another family.
    pub fn addr(&self) -> Option<SocketAddr> {
        let o = &self.octets;
        let family = i32::from(u16::from_ne_bytes([o[0], o[1]]));
        let port = u16::from_be_bytes([o[2], o[3]]);
        let word = |at: usize| [o[at], o[at + 1], o[at + 2], o[at + 3]];
        match family {
            libc::AF_INET => Some(SocketAddrV4::new(Ipv4Addr::from(word(4)), port).into()),
            libc::AF_INET6 => {
                let ip: [u8; 16] = std::array::from_fn(|i| o[8 + i]);
                let (flow, scope) = (u32::from_be_bytes(word(4)), u32::from_ne_bytes(word(24)));
                Some(SocketAddrV6::new(Ipv6Addr::from(ip), port, flow, scope).into())
            }
            _ => None,
        }
    }
}

impl From<SocketAddr> for Peer {
    /// The layout of `sockaddr_in` and `sockaddr_in6` on Linux (`ip(7)`, `ipv6(7)`).
    fn from(addr: SocketAddr) -> Self {
        let mut peer = Self::EMPTY;
        let o = &mut peer.octets;
        o[2..4].copy_from_slice(&addr.port().to_be_bytes());
        let family = match addr {
            SocketAddr::V4(v4) => {
                o[4..8].copy_from_slice(&v4.ip().octets());
                peer.length = size_of::<libc::sockaddr_in>() as u32;
                libc::AF_INET
            }
            SocketAddr::V6(v6) => {
                o[4..8].copy_from_slice(&v6.flowinfo().to_be_bytes());
                o[8..24].copy_from_slice(&v6.ip().octets());
                o[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                libc::AF_INET6
            }
        };
        peer.octets[..2].copy_from_slice(&(family as u16).to_ne_bytes());
        peer
    }
}
