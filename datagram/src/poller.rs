//! Waits for sockets, and for whoever wakes it.
#![expect(unsafe_code, reason = "ppoll has no safe wrapper")]

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::Socket;

/// Waits for several sockets with `ppoll(2)`. Unlike with `epoll(7)`, a socket that nobody
/// waits for costs its sender nothing: a busy thread sleeps by the clock instead.
#[derive(Debug)]
pub struct Poller {
    entries: Vec<libc::pollfd>,
    waked: UnixStream,
}

/// Wakes a [`Poller`], from any thread.
#[derive(Debug)]
pub struct Waker(UnixStream);

impl Waker {
    /// Ends the wait that is going on, or else the next one.
    pub fn wake(&self) {
        // Where there is no room, nobody has looked at earlier wakes yet.
        let _ = (&self.0).write(&[1]);
    }
}

impl Poller {
    /// For sockets that must outlive it; it knows them by their place.
    ///
    /// # Errors
    /// When the waker's descriptors cannot be had.
    pub fn new(sockets: &[Socket]) -> io::Result<(Self, Waker)> {
        let (waked, waker) = UnixStream::pair()?;
        waked.set_nonblocking(true)?;
        waker.set_nonblocking(true)?;
        let entry = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let sockets = sockets.iter().map(|s| s.as_udp().as_raw_fd());
        let entries = sockets.chain([waked.as_raw_fd()]).map(entry).collect();
        Ok((Self { entries, waked }, Waker(waker)))
    }

    /// Waits until a socket can be read, the waker wakes, or the time is over. Blocks the
    /// thread.
    pub fn wait(&mut self, limit: Duration) {
        let limit = libc::timespec {
            tv_sec: limit.as_secs().min(3600) as libc::time_t,
            tv_nsec: limit.subsec_nanos().into(),
        };
        for entry in &mut self.entries {
            entry.revents = 0;
        }
        let (entries, n) = (self.entries.as_mut_ptr(), self.entries.len() as libc::nfds_t);
        // SAFETY: n entries are passed, and the time lives over the call. An error means: look
        // again.
        unsafe { libc::ppoll(entries, n, &raw const limit, std::ptr::null()) };
        if self.entries.last().is_some_and(|e| e.revents != 0) {
            let mut wakes = [0; 64];
            while self.waked.read(&mut wakes).is_ok_and(|n| n == wakes.len()) {}
        }
    }

    /// Whether the i-th socket could be read when the wait ended.
    pub fn is_readable(&self, i: usize) -> bool {
        self.entries[i].revents != 0
    }
}
