//! A server process.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::ServerError;

/// How often a server that starts is looked at.
const LOOK: Duration = Duration::from_millis(25);

/// A process that is killed when it is dropped, and when this process ends.
#[derive(Debug)]
pub(crate) struct Server(Child);

impl Server {
    /// Starts a program with its output in a file. `setpriv` has the kernel kill it when this
    /// process dies, which no code of ours could.
    pub(crate) fn start(program: &str, set: impl FnOnce(&mut Command), log: &Path) -> io::Result<Self> {
        let out = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", program]);
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        set(&mut command);
        Ok(Self(command.spawn()?))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits until it is ready.
    pub(crate) fn wait_until(
        &mut self,
        program: &'static str,
        limit: Duration,
        log: &Path,
        ready: impl Fn() -> bool,
    ) -> Result<(), ServerError> {
        let end = Instant::now() + limit;
        while !ready() {
            let ended = !matches!(self.0.try_wait(), Ok(None));
            if ended || Instant::now() >= end {
                let seconds = limit.as_secs();
                return Err(ServerError::NotReady { program, seconds, log: log.to_owned() });
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
