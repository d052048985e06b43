//! RabbitMQ, one node.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::child::{Node, Server};
use crate::{ServerError, free_port};

/// Where its scripts are: the one in `sbin` would change the user.
const PROGRAM: &str = "rabbitmq-server";
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";
/// It starts in ten seconds where nothing else runs.
const LIMIT: Duration = Duration::from_secs(120);
/// RabbitMQ 3.10 loses the log of a quorum queue where it is killed while it still moves that log
/// from one file to another after its start, and a queue without a log waits for ever to be told
/// to elect its leader: so the move is waited for, and the queues are told.
const SETTLE: &str = "ra_log_segment_writer:await(ra_log_segment_writer), \
    [ra:trigger_election({Q, node()}) || {Q, _} <- ra_directory:list_registered(quorum_queues)].";
/// By default the schedulers of Erlang spin for a while before they sleep, which takes processor time
/// from whatever else runs on the machine. This is what RabbitMQ's guide to its runtime advises there.
const CALM: &str = "+sbwt none +sbwtdcpu none +sbwtdio none";
/// What it says when it serves.
const READY: &str = "Server startup complete";

/// A private RabbitMQ. Dropped, it is killed.
#[derive(Debug)]
pub struct RabbitMq {
    node: Node,
    _names: Server,
    port: u16,
    distribution: u16,
    epmd: u16,
    calm: bool,
}

impl RabbitMq {
    /// Starts one.
    ///
    /// # Errors
    /// When it is not installed, or does not start.
    pub fn start() -> Result<Self, ServerError> {
        Self::start_as(false)
    }

    /// Starts one that sleeps when it has nothing to do, instead of spinning: for measuring on
    /// a machine that it shares.
    ///
    /// # Errors
    /// When it is not installed, or does not start.
    pub fn start_calm() -> Result<Self, ServerError> {
        Self::start_as(true)
    }

    fn start_as(calm: bool) -> Result<Self, ServerError> {
        if !Path::new(PROGRAMS).join(PROGRAM).exists() {
            return Err(ServerError::Missing(PROGRAM, PROGRAM));
        }
        let failed = |source| ServerError::Start { program: PROGRAM, source };
        let node = Node::new(PROGRAM)?;
        std::fs::write(node.folder().join("plugins"), "[].\n").map_err(failed)?;
        let port = || free_port().map_err(failed);
        let (port, distribution, epmd) = (port()?, port()?, port()?);
        // The node would start one that outlives it.
        let names = |command: &mut Command| {
            command.args(["-port", &epmd.to_string(), "-address", "127.0.0.1"]);
        };
        let names = Server::start("epmd", names, &node.folder().join("epmd.log")).map_err(failed)?;
        let mut this = Self { node, _names: names, port, distribution, epmd, calm };
        this.boot()?;
        Ok(this)
    }

    /// Starts it again after [`RabbitMq::kill`], with what it had on disk.
    ///
    /// # Errors
    /// When it does not start.
    pub fn boot(&mut self) -> Result<(), ServerError> {
        let (log, environment) = (self.node.log(), self.environment());
        let (before, folder) = (starts(&log), self.node.folder().to_owned());
        let set = |command: &mut Command| {
            command.envs(environment).current_dir(folder);
        };
        let path = Path::new(PROGRAMS).join(PROGRAM);
        self.node.boot(&path.to_string_lossy(), set, LIMIT, || starts(&log) > before)?;
        if before > 0 {
            self.ctl(&["eval", SETTLE])?;
        }
        Ok(())
    }

    /// Ends it at once, as a crash would; what it has on disk stays.
    pub fn kill(&mut self) {
        self.node.kill();
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.node.id()
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// How to connect.
    pub fn uri(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// Runs `rabbitmqctl`; gives what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub fn ctl(&self, args: &[&str]) -> Result<String, ServerError> {
        let mut command = Command::new(Path::new(PROGRAMS).join("rabbitmqctl"));
        command.envs(self.environment()).current_dir(self.node.folder());
        let output = command.arg("--quiet").args(args).output();
        let output = output.map_err(|source| ServerError::Start { program: "rabbitmqctl", source })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(ServerError::Command { command: format!("rabbitmqctl {}", args.join(" ")), said })
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let file = |file: &str| self.node.folder().join(file).to_string_lossy().into_owned();
        let calm = self.calm.then(|| ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", CALM.to_owned()));
        let own = [
            ("RABBITMQ_NODENAME", format!("kudzu{}@localhost", self.port)),
            ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_NODE_PORT", self.port.to_string()),
            ("RABBITMQ_DIST_PORT", self.distribution.to_string()),
            ("ERL_EPMD_PORT", self.epmd.to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_LOGS", "-".to_owned()),
            // The script then becomes the server, in place of being its parent.
            ("RUNNING_UNDER_SYSTEMD", "1".to_owned()),
            ("HOME", file("")),
            ("RABBITMQ_MNESIA_BASE", file("db")),
            ("RABBITMQ_LOG_BASE", file("logs")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", file("plugins")),
            ("RABBITMQ_PID_FILE", file("pid")),
            ("RABBITMQ_CONFIG_FILE", file("none")),
        ];
        own.into_iter().chain(calm).collect()
    }
}

/// How often it has started, by its log.
fn starts(log: &Path) -> usize {
    std::fs::read_to_string(log).map_or(0, |text| text.matches(READY).count())
}
