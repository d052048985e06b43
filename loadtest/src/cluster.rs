//! A whole cluster of real processes: RabbitMQ, Redis, an archive in a folder, a simulated
//! internet, coordinators and workers, with a relay between each of these and its servers.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use kudzu_servers::{Process, RabbitMq, Redis};
use kudzu_simnet::{Faults, ListenConfig, Server, Stats, World, WorldSpec};
use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::proxy::Proxy;

/// How long a process may take to be ready.
const START: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// What a cluster is made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program.
    pub kudzu: PathBuf,
    /// Coordinators.
    pub coordinators: usize,
    /// Workers.
    pub workers: usize,
    /// Tenants, each with a token that may do everything; they share no cache at TLP:AMBER.
    /// Without any, nobody is asked who they are, and jobs are those of one process.
    pub tenants: usize,
    /// Seed of the simulated internet.
    pub seed: u64,
    /// Its size.
    pub scale: f64,
    /// How it answers.
    pub faults: Faults,
    /// Further settings, as of `--set`.
    pub settings: Vec<String>,
}

/// A process of kudzu.
#[derive(Debug)]
pub struct Member {
    /// `coordinator-1`, `worker-2`.
    pub name: String,
    process: Option<Process>,
    args: Vec<String>,
    broker: Proxy,
    redis: Proxy,
    /// Where its API is.
    pub url: Option<String>,
}

/// A running cluster. Dropped, all of it ends.
pub struct Cluster {
    plan: Plan,
    folder: TempDir,
    /// The broker.
    pub rabbit: RabbitMq,
    /// The cache and the limits.
    pub redis: Redis,
    simnet: Server,
    /// Coordinators.
    pub coordinators: Vec<Member>,
    /// Workers.
    pub workers: Vec<Member>,
    /// Where a job may start.
    pub seeds: Vec<String>,
    /// The present of the simulated internet.
    pub at: String,
}

impl Member {
    /// Its relay to the broker.
    pub fn broker(&self) -> &Proxy {
        &self.broker
    }

    /// Its relay to Redis.
    pub fn redis(&self) -> &Proxy {
        &self.redis
    }

    /// Sends a signal to it.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let process = self.process.as_ref().context("it does not run")?;
        let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw).context("it has no id")?;
        kill_process(pid, signal).with_context(|| format!("signal {}", self.name))
    }

    /// Its memory now, in octets.
    pub fn resident(&self) -> Option<u64> {
        let id = self.process.as_ref()?.id();
        let text = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Whether it runs, as far as one can tell.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|p| p.ended().is_none())
    }
}

/// The token of a tenant.
pub fn token(tenant: usize) -> String {
    format!("kudzu-loadtest-{tenant}")
}

impl Plan {
    /// Two coordinators and two workers in a small world, for this program.
    pub fn small(kudzu: PathBuf) -> Self {
        let faults = Faults { latency: Duration::from_millis(20), ..Faults::default() };
        Self {
            kudzu,
            coordinators: 2,
            workers: 2,
            tenants: 0,
            seed: 1,
            scale: 0.02,
            faults,
            // Everything shares the processors: what waits for one is no failure.
            settings: ["coordinator.window=2048", "dns.timeout_ms=10000"].map(String::from).to_vec(),
        }
    }
}

impl Cluster {
    /// Starts one.
    ///
    /// # Errors
    /// When something of it does not start; its logs go with it.
    pub async fn start(plan: Plan) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("kudzu-loadtest-").tempdir().context("make a folder")?;
        let redis = Redis::start().context("start Redis")?;
        let rabbit = RabbitMq::start().context("start RabbitMQ")?;
        let world = World::generate(&WorldSpec { seed: plan.seed, scale: plan.scale, campaign: true });
        let (seeds, as_of) = (world.seeds(), kudzu_shared::time::rfc3339(world.as_of()));
        let simnet = Server::start(world, plan.faults.clone(), ListenConfig::default()).await;
        let simnet = simnet.context("start the simulated internet")?;
        let at = as_of;
        let mut cluster = Self {
            plan,
            folder,
            rabbit,
            redis,
            simnet,
            coordinators: Vec::new(),
            workers: Vec::new(),
            seeds,
            at,
        };
        cluster.write_settings()?;
        for n in 1..=cluster.plan.coordinators {
            let member = cluster.coordinator(n).await?;
            cluster.coordinators.push(member);
        }
        for n in 1..=cluster.plan.workers {
            cluster.add_worker(n).await?;
        }
        cluster.ready().await?;
        Ok(cluster)
    }

    fn write_settings(&self) -> anyhow::Result<()> {
        let addrs = self.simnet.addrs();
        let dns: Vec<String> = addrs.dns.iter().map(|a| format!("\"{a}\"")).collect();
        let archive = self.folder.path().join("archive");
        std::fs::create_dir_all(&archive).context("make the archive's folder")?;
        let mut text = format!(
            "[dns]\nresolvers = [{}]\nown = true\ncheck = false\n\
             [rdap]\nbootstrap = \"http://{}/bootstrap/\"\nallow_private = true\nrate = inf\nin_flight = 2048\n\
             [pdns]\nurl = \"http://{}/pdns/query/\"\nallow_private = true\nrate = inf\nin_flight = 2048\n\
             [certs]\nurl = \"http://{}/\"\nallow_private = true\nrate = inf\nin_flight = 2048\n\
             [worker]\nhttp_lookups = 2048\n[archive]\nurl = \"file://{}\"\n",
            dns.join(", "),
            addrs.rdap,
            addrs.pdns,
            addrs.certs,
            archive.display(),
        );
        if self.plan.tenants == 0 {
            text.push_str("[api]\nauth = \"off\"\n");
        }
        for tenant in 0..self.plan.tenants {
            let digest = Sha256::digest(token(tenant));
            let digest: String = digest.iter().map(|b| format!("{b:02x}")).collect();
            text.push_str(&format!(
                "[api.tokens.t{tenant}]\ntenant = \"t{tenant}\"\nsha256 = \"{digest}\"\n\
                 scopes = [\"read\", \"submit\"]\n\
                 [tenants.t{tenant}]\ntlp = \"TLP:AMBER\"\npap = \"PAP:GREEN\"\n"
            ));
        }
        std::fs::write(self.settings(), text).context("write the settings")
    }

    /// What the members are told beside their settings, as of `--set`.
    pub fn sets(&self) -> &[String] {
        &self.plan.settings
    }

    /// The settings of all members.
    pub fn settings(&self) -> PathBuf {
        self.folder.path().join("kudzu.toml")
    }

    async fn member(&self, name: String, args: Vec<String>, url: Option<String>) -> anyhow::Result<Member> {
        let (rabbit, redis) = (self.rabbit.addr(), self.redis.addr());
        let broker = Proxy::start(rabbit).await.context("start a relay")?;
        let redis = Proxy::start(redis).await.context("start a relay")?;
        let mut member = Member { name, process: None, args, broker, redis, url };
        self.boot(&mut member)?;
        Ok(member)
    }

    async fn coordinator(&self, n: usize) -> anyhow::Result<Member> {
        // The same port after each kill: whoever follows a job comes back to it.
        let addr = free_port().context("find a port")?;
        let name = format!("coordinator-{n}");
        let args = ["coordinator", "--name", &name, "--listen", &addr.to_string()].map(String::from).to_vec();
        self.member(name, args, Some(format!("http://{addr}"))).await
    }

    /// Adds a worker.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn add_worker(&mut self, n: usize) -> anyhow::Result<()> {
        let name = format!("worker-{n}");
        let args = ["worker", "--name", &name].map(String::from).to_vec();
        let member = self.member(name, args, None).await?;
        self.workers.push(member);
        Ok(())
    }

    /// Starts a member that was killed.
    ///
    /// # Errors
    /// When it does not start.
    pub fn boot(&self, member: &mut Member) -> anyhow::Result<()> {
        let (broker, redis) = (member.broker.addr(), member.redis.addr());
        let log = self.log(&member.name);
        let set = |command: &mut Command| {
            command.args(&member.args).arg("--config").arg(self.settings());
            command.args(self.plan.settings.iter().flat_map(|s| ["--set", s]));
            command.env("KUDZU_BROKER__URL", format!("amqp://guest:guest@{broker}/%2f"));
            command.env("KUDZU_REDIS__URL", format!("redis://{redis}/"));
        };
        let process = Process::start(&self.plan.kudzu, set, &log);
        member.process = Some(process.with_context(|| format!("start {}", member.name))?);
        Ok(())
    }

    /// Kills a coordinator and starts it again.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart_coordinator(&mut self, at: usize) -> anyhow::Result<()> {
        let mut member = self.coordinators.remove(at);
        member.kill();
        let booted = self.boot(&mut member);
        self.coordinators.insert(at, member);
        booted
    }

    /// Kills a worker and starts it again.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart_worker(&mut self, at: usize) -> anyhow::Result<()> {
        let mut member = self.workers.remove(at);
        member.kill();
        let booted = self.boot(&mut member);
        self.workers.insert(at, member);
        booted
    }

    /// Waits until every coordinator is ready.
    ///
    /// # Errors
    /// When one is not.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let http = client()?;
        let until = Instant::now() + START;
        for url in self.urls() {
            loop {
                let answer = http.get(format!("{url}/readyz")).send().await;
                if answer.is_ok_and(|a| a.status().is_success()) {
                    break;
                }
                if Instant::now() >= until {
                    bail!("{url} is not ready; the logs: {}", self.logs());
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// The APIs.
    pub fn urls(&self) -> Vec<String> {
        self.coordinators.iter().filter_map(|c| c.url.clone()).collect()
    }

    /// What the simulated internet was asked.
    pub fn asked(&self) -> Stats {
        self.simnet.stats()
    }

    /// Where a member's log is.
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    /// The folder with everything in it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Warnings and errors of all members, the last of each.
    pub fn logs(&self) -> String {
        let names = self.coordinators.iter().chain(&self.workers).map(|m| m.name.clone());
        let all: BTreeMap<String, String> = names.map(|n| (n.clone(), tail(&self.log(&n)))).collect();
        all.iter().map(|(name, tail)| format!("\n== {name}\n{tail}")).collect()
    }

    /// Keeps the folder when the cluster ends, and says where it is.
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
    }
}

fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|l| !l.contains("\"INFO\"")).collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// A port that was free just now.
fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// An HTTP client.
///
/// # Errors
/// When it cannot be set up.
pub fn client() -> anyhow::Result<reqwest::Client> {
    // Whoever installed one before keeps it.
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = reqwest::Client::builder().timeout(Duration::from_secs(3)).no_proxy();
    builder.build().context("set up the HTTP client")
}
