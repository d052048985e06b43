//! Options of the commands of a cluster.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use kudzu_shared::source::Class;

use super::ListFormat;
use super::job::{OutputArgs, PlanArgs, PolicyArgs, TimeArgs};
use super::simnet::{Timing, WorldArgs};

/// Options of `kudzu coordinator`.
#[derive(Debug, Args)]
pub struct Coordinator {
    /// Where the API listens [default: api.listen, 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// What it calls itself [default: the host's name and the process id]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Write the URL of its API to this file once it listens
    #[arg(long, value_name = "FILE")]
    pub url_out: Option<PathBuf>,
}

/// Options of `kudzu worker`.
#[derive(Debug, Args)]
pub struct Worker {
    /// Classes of sources it works for [default: all]
    #[arg(long, value_name = "CLASS", value_enum, value_delimiter = ',')]
    pub classes: Vec<WorkClass>,
    /// What it calls itself [default: the host's name and the process id]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Where health and metrics are served [default: nowhere]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
}

/// Options of `kudzu worker-child`.
#[derive(Debug, Args)]
pub struct WorkerChild {
    /// The class of its lookups
    #[arg(long, value_name = "CLASS", value_enum)]
    pub class: WorkClass,
    /// The worker's process; this one ends with it
    #[arg(long, value_name = "PID")]
    pub parent: u32,
}

/// A class of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WorkClass {
    /// Bulk DNS
    Dns,
    /// HTTP services
    Http,
    /// Answered in the process
    Local,
}

impl From<WorkClass> for Class {
    fn from(class: WorkClass) -> Self {
        match class {
            WorkClass::Dns => Self::Dns,
            WorkClass::Http => Self::Http,
            WorkClass::Local => Self::Local,
        }
    }
}

/// Options of `kudzu submit`.
#[derive(Debug, Args)]
#[command(
    mut_arg("tlp", |a| a.help("Marking of the indicators: clear, green, amber, amber+strict, red [default: the tenant's]")),
    mut_arg("pap", |a| a.help("What may be contacted: clear and green also the target (live DNS), amber third parties only, red nobody [default: the tenant's]"))
)]
pub struct Submit {
    /// Domains, addresses, URLs, AS numbers, e-mail addresses, hashes, `cert:…`; defanged
    /// ones are read too. `-` reads one a line from standard input, `#` starts a comment
    #[arg(required = true, value_name = "INDICATOR")]
    pub indicators: Vec<String>,
    /// Look each up once; nothing follows
    #[arg(long)]
    pub enrich: bool,
    /// Print the job's id and leave; kudzu watch follows it
    #[arg(long)]
    pub detach: bool,
    /// The same key and the same request are the same job, however often it is sent
    #[arg(long, value_name = "TEXT")]
    pub key: Option<String>,
    /// What the job is called
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,
    /// What may be done
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// When
    #[command(flatten)]
    pub time: TimeArgs,
    /// What is asked
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Number that the probes for wildcard zones derive from [default: random]
    #[arg(long, value_name = "N")]
    pub salt: Option<u64>,
    /// What is shown
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of `kudzu watch` and `kudzu get`.
#[derive(Debug, Args)]
pub struct Fetch {
    /// The job's id
    pub job: String,
    /// What is shown
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of `kudzu list`.
#[derive(Debug, Args)]
pub struct List {
    /// Form of the list
    #[arg(long, value_enum, default_value_t)]
    pub format: ListFormat,
    /// Jobs that are listed at most, the newest first
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// Options of `kudzu cancel` and `kudzu replay`.
#[derive(Debug, Args)]
pub struct OneJob {
    /// The job's id
    pub job: String,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub format: ListFormat,
}

/// Options of `kudzu up`.
#[derive(Debug, Args)]
pub struct Up {
    /// Workers
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32))]
    pub workers: u16,
    /// Coordinators
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=8))]
    pub coordinators: u16,
    /// The simulated internet
    #[command(flatten)]
    pub world: WorldArgs,
    /// How it answers
    #[command(flatten)]
    pub timing: Timing,
    /// Keep everything in this folder instead of one that goes with the cluster
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Options of `kudzu token`.
#[derive(Debug, Args)]
pub struct Token {
    /// What the token is called in the settings
    pub name: String,
    /// Whose jobs it sees
    #[arg(long, value_name = "NAME")]
    pub tenant: String,
    /// What it may do: read, submit
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', default_value = "read,submit")]
    pub scopes: Vec<String>,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub format: ListFormat,
}
