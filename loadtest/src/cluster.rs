//! A whole cluster of real processes: RabbitMQ, Redis, an archive in a folder, a simulated
//! internet, coordinators and workers, if wanted with a relay between each of these and its servers.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use kudzu_servers::{Process, RabbitMq, Redis};
use kudzu_simnet::{Faults, Stats, WorldSpec};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::internet::{Counter, Internet};
use crate::member::{Member, Ways};
use crate::process::Ids;

/// How long a process may take to be ready.
const START: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// Where every cluster of this program departs from the defaults: the simulated internet is
/// nobody's to spare. What a plan sets comes on top.
pub const UNSPARED: [&str; 7] = [
    "worker.http_lookups=2048",
    "rdap.rate=inf",
    "rdap.in_flight=2048",
    "pdns.rate=inf",
    "pdns.in_flight=2048",
    "certs.rate=inf",
    "certs.in_flight=2048",
];

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
    /// Settings, as of `--set`, on top of [`UNSPARED`].
    pub settings: Vec<String>,
    /// Whether members reach the broker and Redis through relays that can be broken.
    pub relays: bool,
    /// Whether RabbitMQ sleeps when it has nothing to do, instead of spinning.
    pub calm: bool,
}

/// A running cluster. Dropped, all of it ends.
#[derive(Debug)]
pub struct Cluster {
    plan: Plan,
    folder: TempDir,
    /// The broker.
    pub rabbit: RabbitMq,
    /// The cache and the limits.
    pub redis: Redis,
    internet: Internet,
    ids: Ids,
    /// Coordinators.
    pub coordinators: Vec<Member>,
    /// Workers.
    pub workers: Vec<Member>,
    /// Where a job may start.
    pub seeds: Vec<String>,
    /// The present of the simulated internet.
    pub at: String,
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
            relays: true,
            calm: false,
        }
    }
}

impl Cluster {
    /// Starts one.
    ///
    /// # Errors
    /// When something of it does not start; its logs go with it.
    pub async fn start(mut plan: Plan) -> anyhow::Result<Self> {
        plan.settings = [UNSPARED.map(String::from).to_vec(), plan.settings].concat();
        let folder = tempfile::Builder::new().prefix("kudzu-loadtest-").tempdir().context("make a folder")?;
        let redis = Redis::start().context("start Redis")?;
        let rabbit = if plan.calm { RabbitMq::start_calm() } else { RabbitMq::start() };
        let rabbit = rabbit.context("start RabbitMQ")?;
        let world = WorldSpec { seed: plan.seed, scale: plan.scale, campaign: true };
        let internet = Internet::start(world, plan.faults.clone()).await?;
        let (seeds, at) = (internet.truth().seeds.clone(), internet.truth().as_of.clone());
        let mut cluster = Self {
            plan,
            folder,
            rabbit,
            redis,
            internet,
            ids: Ids::default(),
            coordinators: Vec::new(),
            workers: Vec::new(),
            seeds,
            at,
        };
        cluster.write_settings()?;
        cluster.note_servers();
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
        let addrs = self.internet.addrs();
        let dns: Vec<String> = addrs.dns.iter().map(|a| format!("\"{a}\"")).collect();
        let archive = self.folder.path().join("archive");
        std::fs::create_dir_all(&archive).context("make the archive's folder")?;
        let mut text = format!(
            "[dns]\nresolvers = [{}]\nown = true\ncheck = false\n\
             [rdap]\nbootstrap = \"http://{}/bootstrap/\"\nallow_private = true\n\
             [pdns]\nurl = \"http://{}/pdns/query/\"\nallow_private = true\n\
             [certs]\nurl = \"http://{}/\"\nallow_private = true\n\
             [archive]\nurl = \"file://{}\"\n",
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

    /// How many tenants it has.
    pub fn tenants(&self) -> usize {
        self.plan.tenants
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
        let ways = Ways::open(self.rabbit.addr(), self.redis.addr(), self.plan.relays).await?;
        let mut member = Member { name, process: None, args, ways, url };
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
        let (broker, redis) = (member.ways.broker(), member.ways.redis());
        let log = self.log(&member.name);
        let set = |command: &mut Command| {
            command.args(&member.args).arg("--config").arg(self.settings());
            command.args(self.plan.settings.iter().flat_map(|s| ["--set", s]));
            command.env("KUDZU_BROKER__URL", format!("amqp://guest:guest@{broker}/%2f"));
            command.env("KUDZU_REDIS__URL", format!("redis://{redis}/"));
        };
        let process = Process::start(&self.plan.kudzu, set, &log);
        member.process = Some(process.with_context(|| format!("start {}", member.name))?);
        self.ids.set(&member.name, member.id());
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
    /// When one is not, or a member ends meanwhile.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        let http = client()?;
        let until = Instant::now() + START;
        for url in self.urls() {
            loop {
                let answer = http.get(format!("{url}/readyz")).send().await;
                if answer.is_ok_and(|a| a.status().is_success()) {
                    break;
                }
                let mut members = self.coordinators.iter_mut().chain(&mut self.workers);
                if let Some(ended) = members.find_map(|m| m.has_ended().then(|| m.name.clone())) {
                    bail!("{ended} has ended; the logs: {}", self.logs());
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
        self.counter().asked()
    }

    /// What counts what the simulated internet is asked.
    pub fn counter(&self) -> Counter {
        self.internet.counter()
    }

    /// The simulated internet.
    pub fn internet(&self) -> &Internet {
        &self.internet
    }

    /// The ids of its processes, whichever run at the time.
    pub fn ids(&self) -> Ids {
        self.ids.clone()
    }

    /// Kills RabbitMQ and starts it again.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart_rabbit(&mut self) -> anyhow::Result<()> {
        self.rabbit.kill();
        let booted = self.rabbit.boot().context("start RabbitMQ");
        self.note_servers();
        booted
    }

    /// Kills Redis and starts it again, empty.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart_redis(&mut self) -> anyhow::Result<()> {
        self.redis.kill();
        let booted = self.redis.boot().context("start Redis");
        self.note_servers();
        booted
    }

    fn note_servers(&self) {
        self.ids.set("rabbitmq", self.rabbit.id());
        self.ids.set("redis", self.redis.id());
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
