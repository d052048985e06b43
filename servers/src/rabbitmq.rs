//! RabbitMQ, one node.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::child::Server;
use crate::{ServerError, free_port};

/// Where its scripts are: the one in `sbin` would change the user.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";
/// It starts in ten seconds where nothing else runs.
const LIMIT: Duration = Duration::from_secs(120);
/// What it says when it serves.
const READY: &str = "Server startup complete";

/// A private RabbitMQ. Dropped, it is killed.
#[derive(Debug)]
pub struct RabbitMq {
    server: Option<Server>,
    _names: Server,
    folder: TempDir,
    port: u16,
    distribution: u16,
    epmd: u16,
}

impl RabbitMq {
    /// Starts one.
    ///
    /// # Errors
    /// When it is not installed, or does not start.
    pub fn start() -> Result<Self, ServerError> {
        if !Path::new(PROGRAMS).join("rabbitmq-server").exists() {
            return Err(ServerError::Missing("rabbitmq-server", "rabbitmq-server"));
        }
        let failed = |source| ServerError::Start { program: "rabbitmq-server", source };
        let folder = tempfile::Builder::new().prefix("kudzu-rabbitmq-").tempdir().map_err(failed)?;
        std::fs::write(folder.path().join("plugins"), "[].\n").map_err(failed)?;
        let [port, distribution, epmd] = [free_port(), free_port(), free_port()];
        let (port, distribution, epmd) =
            (port.map_err(failed)?, distribution.map_err(failed)?, epmd.map_err(failed)?);
        // The node would start one that outlives it.
        let names = |command: &mut Command| {
            command.args(["-port", &epmd.to_string(), "-address", "127.0.0.1"]);
        };
        let names = Server::start("epmd", names, &folder.path().join("epmd.log")).map_err(failed)?;
        let mut this = Self { server: None, _names: names, folder, port, distribution, epmd };
        this.boot()?;
        Ok(this)
    }

    /// Starts it again after [`RabbitMq::kill`], with what it had on disk.
    ///
    /// # Errors
    /// When it does not start.
    pub fn boot(&mut self) -> Result<(), ServerError> {
        let log = self.log();
        let before = self.starts();
        let failed = |source| ServerError::Start { program: "rabbitmq-server", source };
        let program = Path::new(PROGRAMS).join("rabbitmq-server");
        let mut server =
            Server::start(&program.to_string_lossy(), |command| self.set(command), &log).map_err(failed)?;
        server.wait_until("rabbitmq-server", LIMIT, &log, || self.starts() > before)?;
        self.server = Some(server);
        Ok(())
    }

    /// Ends it at once, as a crash would; what it has on disk stays.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Server::id)
    }

    /// How to connect.
    pub fn uri(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// Its AMQP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it wrote.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("rabbitmq.log")
    }

    /// Runs `rabbitmqctl`; gives what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub fn ctl(&self, args: &[&str]) -> Result<String, ServerError> {
        let mut command = Command::new(Path::new(PROGRAMS).join("rabbitmqctl"));
        self.set(&mut command);
        let output = command.args(["--quiet"]).args(args).output();
        let output = output.map_err(|source| ServerError::Start { program: "rabbitmqctl", source })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(ServerError::Command { command: format!("rabbitmqctl {}", args.join(" ")), said })
    }

    fn starts(&self) -> usize {
        std::fs::read_to_string(self.log()).map_or(0, |text| text.matches(READY).count())
    }

    fn set(&self, command: &mut Command) {
        let folder = self.folder.path();
        for (name, value) in [
            ("RABBITMQ_NODENAME", format!("kudzu{}@localhost", self.port)),
            ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_NODE_PORT", self.port.to_string()),
            ("RABBITMQ_DIST_PORT", self.distribution.to_string()),
            ("ERL_EPMD_PORT", self.epmd.to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_LOGS", "-".to_owned()),
            // The script then becomes the server, in place of being its parent.
            ("RUNNING_UNDER_SYSTEMD", "1".to_owned()),
        ] {
            command.env(name, value);
        }
        for (name, file) in [
            ("HOME", ""),
            ("RABBITMQ_MNESIA_BASE", "db"),
            ("RABBITMQ_LOG_BASE", "log"),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", "plugins"),
            ("RABBITMQ_PID_FILE", "pid"),
            ("RABBITMQ_CONFIG_FILE", "none"),
        ] {
            command.env(name, folder.join(file));
        }
        command.current_dir(folder);
    }
}
