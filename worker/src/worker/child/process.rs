//! A child process: how it starts, what it says, and what it died of.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use kudzu_shared::escape;
use kudzu_shared::source::Class;
use kudzu_shared::task::{Task, spawn_apart};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::frame::{self, Frame};

/// How long a child may take until it is ready: it checks its resolvers first.
const START: Duration = Duration::from_secs(30);
/// How long one that says nothing more may take to end, and the last that it logged to be read.
const END: Duration = Duration::from_secs(2);
/// Characters of a line that are logged.
const LINE: usize = 2000;

/// How a child of the worker is started.
#[derive(Debug, Clone)]
pub struct ChildCommand {
    /// The program. It is given the arguments, then `--class CLASS --parent PID`; it calls
    /// [`tie`](super::tie) and serves with a [`ChildWorker`](super::ChildWorker).
    pub program: PathBuf,
    /// Its first arguments.
    pub args: Vec<OsString>,
    /// How long a child may be silent while it has lookups; then it is killed.
    pub silence: Duration,
}

impl ChildCommand {
    /// A child that may be silent for two minutes: no lookup takes as long without a word.
    pub fn new(program: impl Into<PathBuf>, args: impl IntoIterator<Item = OsString>) -> Self {
        let silence = Duration::from_secs(120);
        Self { program: program.into(), args: args.into_iter().collect(), silence }
    }

    fn command(&self, class: Class) -> Command {
        let mut command = Command::new(&self.program);
        command.arg0("kudzu").args(&self.args);
        command.args(["--class", class.as_str(), "--parent", &std::process::id().to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Of a terminal's signals only the parent hears, and says what becomes of its child.
        command.process_group(0).kill_on_drop(true);
        command
    }
}

/// What a child died of.
#[derive(Debug)]
pub(super) enum Death {
    /// Of what it did, or it had to be killed for that.
    Own(String),
    /// Somebody killed it: its lookups are not to blame.
    Outside(String),
    /// It never was ready for a lookup.
    Start(String),
}

/// A running child. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    log: Task<()>,
    /// Tasks it has done.
    pub(super) done: usize,
}

impl Process {
    /// Starts one and waits until it takes a task. Cancel safe: the child goes with it.
    pub(super) async fn start(command: &ChildCommand, class: Class) -> Result<Box<Self>, Death> {
        let failed = |e: io::Error| Death::Start(format!("start {}: {e}", command.program.display()));
        let mut child = start(command.command(class)).await.map_err(failed)?;
        let pid = child.id();
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Death::Start("it has no pipes".into()));
        };
        // It may serve other tasks after this one.
        let log = spawn_apart("worker.child.log", log(pid, stderr));
        let stdout = BufReader::new(stdout);
        let mut process = Box::new(Self { child, stdin, stdout, log, done: 0 });
        match tokio::time::timeout(START, process.read()).await {
            Ok(Ok(Frame::Ready)) => Ok(process),
            Ok(Ok(_) | Err(frame::Error::Garbage(_))) => {
                Err(process.not_started("it is no child of a worker").await)
            }
            Ok(Err(frame::Error::Ended(_))) => Err(process.not_started("it ended before it was ready").await),
            Err(_) => Err(process.not_started("it took too long").await),
        }
    }

    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Not cancel safe, as [`frame::write`].
    pub(super) async fn write(&mut self, frame: &Frame) -> io::Result<bool> {
        frame::write(&mut self.stdin, frame).await
    }

    /// Not cancel safe, as [`frame::read`].
    pub(super) async fn read(&mut self) -> Result<Frame, frame::Error> {
        frame::read(&mut self.stdout).await
    }

    /// Why it says nothing more. Not cancel safe: the child goes with it.
    pub(super) async fn ended(mut self) -> Death {
        let death = match tokio::time::timeout(END, self.child.wait()).await {
            Ok(Ok(status)) => of(status),
            Ok(Err(error)) => Death::Outside(format!("nobody knows: {error}")),
            Err(_) => Death::Own("it closed its output, and was killed".into()),
        };
        self.last_words().await;
        death
    }

    /// Kills it for what it did. Not cancel safe: the child goes with it.
    pub(super) async fn killed(mut self, why: String) -> Death {
        self.kill().await;
        Death::Own(why)
    }

    async fn not_started(mut self, why: &str) -> Death {
        let status = tokio::time::timeout(END, self.child.wait()).await;
        let how = match status {
            Ok(Ok(status)) => format!("{why}: {status}"),
            _ => why.to_owned(),
        };
        self.kill().await;
        Death::Start(how)
    }

    async fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill().await;
        self.last_words().await;
    }

    /// Reads what it logged before it died.
    async fn last_words(&mut self) {
        let _ = tokio::time::timeout(END, &mut self.log).await;
    }
}

/// Whether its end was its own doing. What only others send is theirs; whatever the processor
/// or the program itself raises is not.
fn of(status: ExitStatus) -> Death {
    const OWN: [Signal; 7] =
        [Signal::ABORT, Signal::SEGV, Signal::ILL, Signal::BUS, Signal::FPE, Signal::SYS, Signal::TRAP];
    match status.signal() {
        Some(signal) if !OWN.iter().any(|own| own.as_raw() == signal) => Death::Outside(status.to_string()),
        _ => Death::Own(status.to_string()),
    }
}

/// A command, the runtime that is to look after the child, and where to say how its start went.
type Order = (Command, Handle, oneshot::Sender<io::Result<Child>>);

/// Starts a process from a thread that lives as long as this process: the kernel takes the end of
/// the thread that started a child for the end of its parent, and a runtime ends its threads.
async fn start(command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (tx, mut orders) = mpsc::channel::<Order>(1);
        std::thread::spawn(move || {
            while let Some((mut command, runtime, done)) = orders.blocking_recv() {
                let _inside = runtime.enter();
                // Who no longer waits for it drops the child, which kills it.
                let _ = done.send(command.spawn());
            }
        });
        tx
    });
    let (done, started) = oneshot::channel();
    let gone = || io::Error::other("the thread that starts processes is gone");
    orders.send((command, Handle::current(), done)).await.map_err(|_| gone())?;
    started.await.map_err(|_| gone())?
}

/// Logs what a child writes to its standard error, line by line.
async fn log(pid: Option<u32>, from: impl AsyncRead + Unpin) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    let say = |line: &mut Vec<u8>| {
        let text = String::from_utf8_lossy(line);
        if !text.trim().is_empty() {
            tracing::warn!(pid, said = %escape::shorten(text.trim_end(), LINE), "a child of the worker");
        }
        line.clear();
    };
    while let Ok(buffer) = from.fill_buf().await {
        if buffer.is_empty() {
            break;
        }
        let end = buffer.iter().position(|b| *b == b'\n');
        let n = end.map_or(buffer.len(), |at| at + 1);
        // Of a line without an end only the begin is kept.
        let room = (4 * LINE).saturating_sub(line.len()).min(n);
        line.extend_from_slice(&buffer[..room]);
        from.consume(n);
        if end.is_some() {
            say(&mut line);
        }
    }
    say(&mut line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_child_does_itself_counts() {
        let own = |raw| matches!(of(ExitStatus::from_raw(raw)), Death::Own(_));
        // Low bits: the signal. Next octet: the exit code.
        for signal in [Signal::ABORT, Signal::SEGV, Signal::ILL, Signal::BUS, Signal::FPE] {
            assert!(own(signal.as_raw()), "{signal:?}");
            assert!(own(signal.as_raw() | 0x80), "{signal:?} with a core");
        }
        for signal in [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
            assert!(!own(signal.as_raw()), "{signal:?}");
        }
        assert!(own(101 << 8) && own(1 << 8));
        assert!(own(0), "nobody told it to end");
    }
}
