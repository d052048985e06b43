//! A server process.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::ServerError;

/// How often a server that starts is looked at.
const LOOK: Duration = Duration::from_millis(25);

/// A process that is killed when it is dropped, and when this process ends.
#[derive(Debug)]
pub(crate) struct Server(Child);

/// Waits for something, and not for longer.
pub(crate) fn comes_true(limit: Duration, mut is_true: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while !is_true() {
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(LOOK);
    }
    true
}

/// A command, and where to say how its start went.
type Order = (Command, mpsc::SyncSender<io::Result<Child>>);

/// Starts a process from a thread that lives as long as this process: the kernel takes the end of
/// the thread that started a child for the end of its parent.
fn spawn(command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<Mutex<mpsc::SyncSender<Order>>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (tx, orders) = mpsc::sync_channel::<Order>(1);
        std::thread::spawn(move || {
            for (mut command, done) in orders {
                // Whoever waits for it is there, or its child is killed with the answer.
                let _ = done.send(command.spawn());
            }
        });
        Mutex::new(tx)
    });
    let (done, answer) = mpsc::sync_channel(1);
    let gone = |_: String| io::Error::other("the thread that starts processes is gone");
    orders
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, done))
        .map_err(|e| gone(e.to_string()))?;
    answer.recv().map_err(|e| gone(e.to_string()))?
}

impl Server {
    /// Starts a program with its output in a file. `setpriv` has the kernel kill it when this
    /// process dies, which no code of ours could.
    pub(crate) fn start(program: &str, set: impl FnOnce(&mut Command), log: &Path) -> io::Result<Self> {
        let out = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", program]);
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        set(&mut command);
        Ok(Self(spawn(command)?))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().ok().flatten()
    }

    /// Waits until it is ready.
    fn wait_until(
        &mut self,
        program: &'static str,
        limit: Duration,
        log: &Path,
        ready: impl Fn() -> bool,
    ) -> Result<(), ServerError> {
        let mut ended = false;
        let came = comes_true(limit, || {
            let is_ready = ready();
            ended = !is_ready && !matches!(self.0.try_wait(), Ok(None));
            is_ready || ended
        });
        if came && !ended {
            return Ok(());
        }
        Err(ServerError::NotReady { program, seconds: limit.as_secs(), log: log.to_owned() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server with a folder of its own, which it keeps when it is killed and started again.
#[derive(Debug)]
pub(crate) struct Node {
    program: &'static str,
    server: Option<Server>,
    folder: TempDir,
}

impl Node {
    /// None runs yet.
    pub(crate) fn new(program: &'static str) -> Result<Self, ServerError> {
        let folder = tempfile::Builder::new().prefix(&format!("kudzu-{program}-")).tempdir();
        let folder = folder.map_err(|source| ServerError::Start { program, source })?;
        Ok(Self { program, server: None, folder })
    }

    /// Starts it by the program at `path`, and waits until it is ready.
    pub(crate) fn boot(
        &mut self,
        path: &str,
        set: impl FnOnce(&mut Command),
        limit: Duration,
        ready: impl Fn() -> bool,
    ) -> Result<(), ServerError> {
        let (program, log) = (self.program, self.log());
        let server = Server::start(path, set, &log);
        let mut server = server.map_err(|source| ServerError::Start { program, source })?;
        server.wait_until(program, limit, &log, ready)?;
        self.server = Some(server);
        Ok(())
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.server = None;
    }

    /// Its process id, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.server.as_ref().map(Server::id)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder().join("log")
    }
}
