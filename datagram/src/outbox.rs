//! Sends.
#![expect(unsafe_code, reason = "sendmmsg has no safe wrapper")]

use std::io;
use std::os::fd::AsRawFd;

use crate::socket::UDP_SEGMENT;
use crate::{BATCH, Peer, Socket};

/// Datagrams in one train (`UDP_MAX_SEGMENTS` of older kernels).
const TRAIN: usize = 64;
/// A segment must fit the path's MTU; the smallest that is usual, less the headers.
const SEGMENT: usize = 1232;
/// Datagrams looked at for one system call.
const TURN: usize = 1024;
/// One control message of a 16 bit number, as `CMSG_SPACE` has it on 64 bit systems.
const CONTROL: usize = 24;

#[derive(Debug, Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// Sends batches, and knows whether the kernel takes trains.
#[derive(Debug)]
pub struct Outbox {
    trains: bool,
    /// Datagrams in each message of the call.
    counts: Vec<usize>,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new(true)
    }
}

impl Outbox {
    /// With trains, until the kernel or the way to a peer refuses one.
    pub fn new(trains: bool) -> Self {
        Self { trains, counts: Vec::with_capacity(BATCH) }
    }

    /// Whether neighbours of one length to one peer leave as a train.
    pub fn sends_trains(&self) -> bool {
        self.trains
    }

    /// Sends datagrams in order, without waiting; neighbours of one length to one peer as
    /// trains. Says how many were taken: at least one, unless there are none.
    ///
    /// # Errors
    /// What the system says of the first of them, `WouldBlock` where its buffer is full.
    pub fn send<T: AsRef<[u8]>>(&mut self, socket: &Socket, datagrams: &[(Peer, T)]) -> io::Result<usize> {
        loop {
            match self.once(socket, datagrams) {
                // No segmentation here (EINVAL, EIO), or not on the way to this peer (EMSGSIZE).
                Err(e) if self.trains && self.counts.first().is_some_and(|n| *n > 1) && refuses(&e) => {
                    self.trains = false;
                }
                other => return other,
            }
        }
    }

    fn once<T: AsRef<[u8]>>(&mut self, socket: &Socket, datagrams: &[(Peer, T)]) -> io::Result<usize> {
        let datagrams = &datagrams[..datagrams.len().min(TURN)];
        self.counts.clear();
        if datagrams.is_empty() {
            return Ok(0);
        }
        // SAFETY: all-zero octets are valid for iovec and mmsghdr (null pointers, no lengths).
        let mut iovecs: [libc::iovec; TURN] = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        let mut control = [Control([0; CONTROL]); BATCH];
        let mut at = 0;
        for (header, control) in headers.iter_mut().zip(&mut control) {
            let Some((peer, first)) = datagrams.get(at) else { break };
            let count = if self.trains { train(&datagrams[at..]) } else { 1 };
            for (iovec, (_, payload)) in iovecs[at..].iter_mut().zip(&datagrams[at..at + count]) {
                let payload = payload.as_ref();
                *iovec = libc::iovec { iov_base: payload.as_ptr().cast_mut().cast(), iov_len: payload.len() };
            }
            let header = &mut header.msg_hdr;
            header.msg_name = peer.octets.as_ptr().cast_mut().cast();
            header.msg_namelen = peer.length;
            header.msg_iov = &raw mut iovecs[at];
            header.msg_iovlen = count as _;
            if count > 1 {
                header.msg_control = control.0.as_mut_ptr().cast();
                header.msg_controllen = CONTROL as _;
                put_segment(header, first.as_ref().len() as u16);
            }
            self.counts.push(count);
            at += count;
        }
        let (fd, n) = (socket.as_udp().as_raw_fd(), self.counts.len());
        // SAFETY: the first n headers point at payloads, peers and control messages of the
        // stated lengths that outlive the call, and sendmmsg only reads them.
        let sent = unsafe { libc::sendmmsg(fd, headers.as_mut_ptr(), n as _, libc::MSG_DONTWAIT) };
        let sent = usize::try_from(sent).map_err(|_| io::Error::last_os_error())?;
        Ok(self.counts.iter().take(sent).sum())
    }
}

fn refuses(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EIO | libc::EMSGSIZE | libc::EOPNOTSUPP))
}

/// How many from the first on can leave as one: to one peer, of one length, the last one
/// not longer.
fn train<T: AsRef<[u8]>>(datagrams: &[(Peer, T)]) -> usize {
    let (peer, segment) = (&datagrams[0].0, datagrams[0].1.as_ref().len());
    if segment == 0 || segment > SEGMENT {
        return 1;
    }
    let most = datagrams.len().min(TRAIN).min(usize::from(u16::MAX - 64) / segment);
    let mut count = 1;
    while count < most && datagrams[count].0 == *peer {
        let length = datagrams[count].1.as_ref().len();
        if length == 0 || length > segment {
            break;
        }
        count += 1;
        if length < segment {
            break;
        }
    }
    count
}

fn put_segment(header: &mut libc::msghdr, segment: u16) {
    // SAFETY: msg_control points at CONTROL octets, CMSG_SPACE of the number that is written,
    // aligned for a header.
    unsafe {
        let control = libc::CMSG_FIRSTHDR(header);
        (*control).cmsg_level = libc::SOL_UDP;
        (*control).cmsg_type = UDP_SEGMENT;
        (*control).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as u32) as _;
        libc::CMSG_DATA(control).cast::<u16>().write_unaligned(segment);
    }
}
