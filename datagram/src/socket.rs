//! Nonblocking sockets with room for bursts.
#![expect(unsafe_code, reason = "these socket options have no safe wrapper")]

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Values of `linux/udp.h` and `asm-generic/socket.h`, which libc has for some targets only.
pub(crate) const UDP_SEGMENT: libc::c_int = 103;
pub(crate) const UDP_GRO: libc::c_int = 104;

/// What a socket is asked for. The kernel may grant less of any; [`Socket`] says what.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Octets of the receive buffer, and of the send buffer.
    pub buffer: usize,
    /// Several datagrams of one peer may come as one (`UDP_GRO`).
    pub coalesce: bool,
    /// Only IPv6 on an IPv6 socket.
    pub only_v6: bool,
}

impl Default for Options {
    /// 8 MiB; 4 MiB hold some ten thousand small answers.
    fn default() -> Self {
        Self { buffer: 8 << 20, coalesce: true, only_v6: true }
    }
}

/// A bound, nonblocking UDP socket whose drops are counted.
#[derive(Debug)]
pub struct Socket {
    inner: UdpSocket,
    coalesces: bool,
    receive_buffer: usize,
}

impl Socket {
    /// Binds; port 0 takes any.
    ///
    /// # Errors
    /// When the socket cannot be had or bound. What the kernel does not grant is no error.
    pub fn bind(addr: SocketAddr, options: Options) -> io::Result<Self> {
        let domain = socket2::Domain::for_address(addr);
        let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, Some(socket2::Protocol::UDP))?;
        if addr.is_ipv6() {
            socket.set_only_v6(options.only_v6)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        let size = libc::c_int::try_from(options.buffer).unwrap_or(libc::c_int::MAX);
        // Beyond the system's limit with the right to it, else up to the limit.
        if !set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, size) {
            let _ = socket.set_recv_buffer_size(options.buffer);
        }
        if !set(&socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, size) {
            let _ = socket.set_send_buffer_size(options.buffer);
        }
        set(&socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1);
        // A forger who can shrink the path's MTU must not make this side fragment (RFC 9715).
        if addr.is_ipv4() {
            set(&socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT);
        } else {
            set(&socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT);
        }
        let coalesces = options.coalesce && set(&socket, libc::SOL_UDP, UDP_GRO, 1);
        // Linux reports twice what it was asked for: half is its own.
        let receive_buffer = socket.recv_buffer_size()? / 2;
        Ok(Self { inner: socket.into(), coalesces, receive_buffer })
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Octets that wait at most to be received.
    pub fn receive_buffer(&self) -> usize {
        self.receive_buffer
    }

    /// Whether several datagrams may come as one.
    pub fn coalesces(&self) -> bool {
        self.coalesces
    }

    /// Waits until it can be read (or written, if wanted) or the time is over, rounded up to
    /// milliseconds. Blocks the thread.
    pub fn wait(&self, write: bool, limit: Duration) {
        let events = if write { libc::POLLIN | libc::POLLOUT } else { libc::POLLIN };
        let mut entry = libc::pollfd { fd: self.inner.as_raw_fd(), events, revents: 0 };
        let millis = limit.as_micros().div_ceil(1000).min(i32::MAX as u128) as i32;
        // SAFETY: one entry is passed, and its length is stated as one. An error means: look again.
        unsafe { libc::poll(&raw mut entry, 1, millis) };
    }

    /// The socket itself, for a poller.
    pub fn as_udp(&self) -> &UdpSocket {
        &self.inner
    }
}

/// Sets an option to a number; false where the kernel refuses.
fn set(socket: &impl AsRawFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> bool {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the value is a c_int of the stated length, and lives over the call.
    unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length) == 0 }
}
