//! Receives.
#![expect(unsafe_code, reason = "recvmmsg has no safe wrapper")]

use std::io;
use std::os::fd::AsRawFd;

use crate::socket::UDP_GRO;
use crate::{BATCH, Peer, Socket};

/// The largest datagram, or train of them.
const LARGEST: usize = 65_535;
/// Buffers do not begin at the same place of each page, or they would evict one another from
/// the processor's cache.
const STRIDE: usize = LARGEST + 1 + 5 * 64;
/// Room for two control messages of a number each.
const CONTROL: usize = 64;

/// Room for one batch.
#[derive(Debug)]
pub struct Inbox {
    buffers: Box<[u8]>,
    peers: Vec<Peer>,
    control: Vec<Control>,
    messages: Vec<Message>,
    drops: u32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

#[derive(Debug, Clone, Copy)]
struct Message {
    length: usize,
    /// Each datagram's length in a train.
    segment: usize,
}

/// A datagram that was received.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// The sender.
    pub from: Peer,
    /// Its payload.
    pub payload: &'a [u8],
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Inbox {
    /// Takes 4 MiB of address space, of which only what datagrams fill is used.
    pub fn new() -> Self {
        Self {
            buffers: vec![0; BATCH * STRIDE].into(),
            peers: vec![Peer::EMPTY; BATCH],
            control: vec![Control([0; CONTROL]); BATCH],
            messages: Vec::with_capacity(BATCH),
            drops: 0,
        }
    }

    /// Takes what has arrived, without waiting. Says how many messages there were, each of
    /// one datagram or a train of them; fewer than [`BATCH`] means that the socket is empty.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has arrived; else the system's.
    pub fn receive(&mut self, socket: &Socket) -> io::Result<usize> {
        self.messages.clear();
        // SAFETY: all-zero octets are valid for iovec and mmsghdr (null pointers, no lengths).
        let mut iovecs: [libc::iovec; BATCH] = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        for (i, buffer) in self.buffers.chunks_exact_mut(STRIDE).enumerate() {
            iovecs[i] = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: LARGEST };
            let header = &mut headers[i].msg_hdr;
            header.msg_iov = &raw mut iovecs[i];
            header.msg_iovlen = 1;
            header.msg_name = self.peers[i].octets.as_mut_ptr().cast();
            header.msg_namelen = Peer::EMPTY.length;
            header.msg_control = self.control[i].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL as _;
        }
        let fd = socket.as_udp().as_raw_fd();
        // SAFETY: every header points at buffers of the stated lengths that outlive the call.
        let count = unsafe {
            libc::recvmmsg(fd, headers.as_mut_ptr(), BATCH as _, libc::MSG_DONTWAIT, std::ptr::null_mut())
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (i, header) in headers.iter().enumerate().take(count) {
            self.peers[i].length = header.msg_hdr.msg_namelen;
            let length = (header.msg_len as usize).min(LARGEST);
            let mut segment = length;
            each_control(&header.msg_hdr, |level, kind, value| match (level, kind) {
                (libc::SOL_UDP, UDP_GRO) => segment = usize::try_from(value).unwrap_or(length),
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => self.drops = value as u32,
                _ => {}
            });
            self.messages.push(Message { length, segment: segment.max(1) });
        }
        Ok(count)
    }

    /// The datagrams of the last batch.
    pub fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        let buffers = self.buffers.chunks_exact(STRIDE);
        let messages = self.messages.iter().zip(buffers).zip(&self.peers);
        messages.flat_map(|((message, buffer), peer)| {
            // An empty datagram is one too.
            let empty = (message.length == 0).then_some(&buffer[..0]);
            let parts = buffer[..message.length].chunks(message.segment);
            parts.chain(empty).map(|payload| Datagram { from: *peer, payload })
        })
    }

    /// Datagrams that the kernel dropped for want of room since the socket was bound, as the
    /// last one received with such a count says (`SO_RXQ_OVFL` of `socket(7)`). One inbox
    /// must serve one socket for this to mean anything.
    pub fn drops(&self) -> u32 {
        self.drops
    }

    /// Forgets the count of drops: for the next socket.
    pub fn take_drops(&mut self) -> u32 {
        std::mem::take(&mut self.drops)
    }
}

/// Calls with level, type and number of each control message.
fn each_control(header: &libc::msghdr, mut each: impl FnMut(libc::c_int, libc::c_int, libc::c_int)) {
    // SAFETY: the header and its control buffer are as the kernel left them; CMSG_FIRSTHDR and
    // CMSG_NXTHDR stay within msg_controllen, which the kernel has set.
    let mut at = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !at.is_null() {
        // SAFETY: not null, so a whole header within the control buffer.
        let control = unsafe { &*at };
        let number = size_of::<libc::c_int>();
        // SAFETY: CMSG_LEN only computes.
        if control.cmsg_len as usize >= unsafe { libc::CMSG_LEN(number as u32) } as usize {
            // SAFETY: the message holds at least one number; it may lie unaligned.
            let value = unsafe { libc::CMSG_DATA(at).cast::<libc::c_int>().read_unaligned() };
            each(control.cmsg_level, control.cmsg_type, value);
        }
        // SAFETY: as for the first one.
        at = unsafe { libc::CMSG_NXTHDR(header, at) };
    }
}
