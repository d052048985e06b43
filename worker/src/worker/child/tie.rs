//! A child does not outlive its worker.

use std::io;
use std::sync::mpsc;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// Has the kernel kill this process when the one that started it dies. Call it first.
///
/// # Errors
/// When the kernel refuses, or the parent is no longer the one that is given.
pub fn tie(parent: u32) -> io::Result<()> {
    let (said, heard) = mpsc::sync_channel(1);
    // The kernel keeps this for the thread that asks, and forgets it with that thread, which
    // any thread of a runtime might be.
    std::thread::Builder::new().name("tie".into()).spawn(move || {
        // It is heard.
        let _ = said.send(set_parent_process_death_signal(Some(Signal::KILL)));
        loop {
            std::thread::park();
        }
    })?;
    heard.recv().map_err(io::Error::other)??;
    // It may have died before; then no signal comes.
    let now = getppid().and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok());
    if now != Some(parent) {
        return Err(io::Error::new(io::ErrorKind::NotConnected, "the process that started this one is gone"));
    }
    Ok(())
}
