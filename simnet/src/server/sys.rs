//! Batches of datagrams in one system call.
#![expect(unsafe_code, reason = "recvmmsg, sendmmsg and SO_RCVBUFFORCE have no safe wrapper")]

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// Datagrams in one batch.
pub(super) const BATCH: usize = 64;
/// Octets kept of one query.
const QUERY: usize = 1500;

/// Where datagrams come from and go to, as the kernel writes it.
#[derive(Clone, Copy)]
pub(super) struct Peer {
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").finish_non_exhaustive()
    }
}

impl Peer {
    fn empty() -> Self {
        // SAFETY: all-zero octets are a valid sockaddr_storage (family AF_UNSPEC).
        let storage = unsafe { std::mem::zeroed() };
        Self { storage, length: size_of::<libc::sockaddr_storage>() as libc::socklen_t }
    }
}

/// Buffers for received datagrams.
pub(super) struct Inbox {
    buffers: Vec<[u8; QUERY]>,
    peers: Vec<Peer>,
    lengths: [usize; BATCH],
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self { buffers: vec![[0; QUERY]; BATCH], peers: vec![Peer::empty(); BATCH], lengths: [0; BATCH] }
    }

    /// Takes what has arrived, without waiting; `Ok(0)` when nothing has.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        // SAFETY: all-zero octets are valid for iovec and mmsghdr (null pointers, zero lengths).
        let mut iovecs: [libc::iovec; BATCH] = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        for (i, (buffer, peer)) in self.buffers.iter_mut().zip(&mut self.peers).enumerate() {
            iovecs[i] = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: QUERY };
            headers[i].msg_hdr.msg_iov = &raw mut iovecs[i];
            headers[i].msg_hdr.msg_iovlen = 1;
            headers[i].msg_hdr.msg_name = (&raw mut peer.storage).cast();
            headers[i].msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        }
        // SAFETY: every header points at buffers of the stated lengths that outlive the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(count) else {
            return Err(io::Error::last_os_error());
        };
        for (i, header) in headers.iter().enumerate().take(count) {
            self.lengths[i] = (header.msg_len as usize).min(QUERY);
            self.peers[i].length = header.msg_hdr.msg_namelen;
        }
        Ok(count)
    }

    /// The i-th datagram of the last batch, and its sender.
    pub(super) fn get(&self, i: usize) -> (&[u8], Peer) {
        (&self.buffers[i][..self.lengths[i]], self.peers[i])
    }
}

/// Sends up to [`BATCH`] datagrams; says how many the kernel took.
pub(super) fn send(socket: &UdpSocket, datagrams: &[(Peer, Vec<u8>)]) -> io::Result<usize> {
    let datagrams = &datagrams[..datagrams.len().min(BATCH)];
    // SAFETY: all-zero octets are valid for iovec and mmsghdr (null pointers, zero lengths).
    let mut iovecs: [libc::iovec; BATCH] = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
    for (i, (peer, payload)) in datagrams.iter().enumerate() {
        iovecs[i] = libc::iovec { iov_base: payload.as_ptr().cast_mut().cast(), iov_len: payload.len() };
        headers[i].msg_hdr.msg_iov = &raw mut iovecs[i];
        headers[i].msg_hdr.msg_iovlen = 1;
        headers[i].msg_hdr.msg_name = (&raw const peer.storage).cast_mut().cast();
        headers[i].msg_hdr.msg_namelen = peer.length;
    }
    // SAFETY: every header points at a payload and a peer of the stated lengths that outlive the call, and
    // sendmmsg only reads them.
    let count = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            datagrams.len() as libc::c_uint,
            libc::MSG_DONTWAIT,
        )
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Waits until the socket can be read (or written, if wanted) or the time is over.
pub(super) fn wait(socket: &UdpSocket, write: bool, millis: i32) {
    let events = if write { libc::POLLIN | libc::POLLOUT } else { libc::POLLIN };
    let mut entry = libc::pollfd { fd: socket.as_raw_fd(), events, revents: 0 };
    // SAFETY: one entry is passed, and its length is stated as one. An error means: look again.
    unsafe { libc::poll(&raw mut entry, 1, millis) };
}

/// Asks for a receive buffer beyond the system's limit; without the right to it nothing changes.
pub(super) fn force_receive_buffer(socket: &UdpSocket, size: libc::c_int) {
    // SAFETY: the option's value is a c_int of the stated length. Failure is expected without privileges.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            (&raw const size).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        );
    }
}
