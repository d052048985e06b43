//! Options of the commands that run a job.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use kudzu_shared::marking::{Pap, Tlp};
use kudzu_shared::time::{UnixSeconds, parse_time};

use super::simnet::{Timing, WorldArgs};

/// Options of `kudzu pivot`.
#[derive(Debug, Args)]
pub struct Pivot {
    /// Domains, addresses, URLs, AS numbers, e-mail addresses, hashes, `cert:…`; defanged
    /// ones are read too. `-` reads one a line from standard input, `#` starts a comment
    #[arg(required = true, value_name = "INDICATOR")]
    pub indicators: Vec<String>,
    /// What may be done
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// When
    #[command(flatten)]
    pub time: TimeArgs,
    /// What is asked
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Who asks
    #[command(flatten)]
    pub engine: EngineArgs,
    /// What is shown
    #[command(flatten)]
    pub output: OutputArgs,
    /// Say what would be asked of whom and how long it may take, and ask nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Number that the probes for wildcard zones derive from; give the same one to repeat a
    /// run exactly [default: random]
    #[arg(long, value_name = "N")]
    pub salt: Option<u64>,
}

/// Options of `kudzu demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// The simulated internet
    #[command(flatten)]
    pub world: WorldArgs,
    /// How it answers
    #[command(flatten)]
    pub timing: Timing,
    /// What is asked
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Who asks
    #[command(flatten)]
    pub engine: EngineArgs,
    /// What is shown
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of `kudzu enrich`.
#[derive(Debug, Args)]
pub struct Enrich {
    /// File with one indicator a line; `-` reads standard input
    pub file: PathBuf,
    /// Form of the rows, which come in the order of the input
    #[arg(long, value_enum, default_value_t)]
    pub format: RowFormat,
    /// What may be done
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// When
    #[command(flatten)]
    pub time: TimeArgs,
    /// What is asked
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Who asks
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Indicators looked up together
    #[arg(long, default_value_t = 4096, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub chunk: u32,
    /// Write observables so that nobody clicks on them
    #[arg(long)]
    pub defang: bool,
    /// Say what would be asked of whom and how long it may take, and ask nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Show progress, as lines where standard error is no terminal
    #[arg(long)]
    pub progress: bool,
}

/// What a job may do.
#[derive(Debug, Args, Default)]
#[command(next_help_heading = "Policy")]
pub struct PolicyArgs {
    /// Marking of the indicators: clear, green, amber, amber+strict, red [default: clear]
    #[arg(long)]
    pub tlp: Option<Tlp>,
    /// What may be contacted: clear and green also the target (live DNS), amber third
    /// parties only, red nobody [default: green]
    #[arg(long)]
    pub pap: Option<Pap>,
    /// Ask only about names below, or addresses in, this (repeatable)
    #[arg(long, value_name = "OBSERVABLE")]
    pub scope: Vec<String>,
    /// Never ask about this or what lies in it (repeatable)
    #[arg(long, value_name = "OBSERVABLE")]
    pub exclude: Vec<String>,
    /// File with your own names, addresses and blocks: never asked about, never candidates
    #[arg(long, value_name = "FILE")]
    pub own_assets: Option<PathBuf>,
    /// Take private and other special-purpose addresses and names too
    #[arg(long)]
    pub allow_private: bool,
}

/// What time a job looks at.
#[derive(Debug, Args, Default, Clone, Copy)]
#[command(next_help_heading = "Time")]
pub struct TimeArgs {
    /// The present of the ranking: 2026-03-01 or 2026-03-01T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub at: Option<UnixSeconds>,
    /// Leave out what was last seen before
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<UnixSeconds>,
    /// Leave out what was first seen after
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<UnixSeconds>,
}

/// What a job asks, and how much.
#[derive(Debug, Args, Default)]
#[command(next_help_heading = "Plan")]
pub struct PlanArgs {
    /// fast, infra or deep, or a TOML file [default: infra; enrich: fast]
    #[arg(long, value_name = "NAME|FILE")]
    pub plan: Option<String>,
    /// Hops from an indicator that are asked; how many are shown is --show-depth (not with
    /// enrich, which asks once)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(..=64))]
    pub depth: Option<u8>,
    /// Nodes in the tree
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub nodes: Option<u32>,
    /// New nodes under one node by one relation
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub fan_out: Option<u32>,
    /// Questions over all sources
    #[arg(long, value_name = "N")]
    pub questions: Option<u64>,
    /// End after this time with what there is: 90, 90s, 10m, 2h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub deadline: Option<Duration>,
    /// Ask this source only: dns.name, or dns for all of its kind (repeatable)
    #[arg(long, value_name = "NAME")]
    pub source: Vec<String>,
    /// Do not ask this source (repeatable)
    #[arg(long, value_name = "NAME")]
    pub no_source: Vec<String>,
}

/// Who asks.
#[derive(Debug, Args, Default)]
#[command(next_help_heading = "Engine")]
pub struct EngineArgs {
    /// Resolver to ask (repeatable) [default: the system's]
    #[arg(long, value_name = "ADDR", value_parser = resolver)]
    pub resolver: Vec<String>,
    /// A local pair set: a CSV file or passive DNS in the Common Output Format (repeatable)
    #[arg(long, value_name = "NAME=FILE")]
    pub pairs: Vec<String>,
    /// Workers in this process [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: Option<u16>,
    /// Questions outstanding [default: 16384]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub window: Option<u32>,
}

/// What is shown and written.
#[derive(Debug, Args, Default)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    pub format: ResultFormat,
    /// Write tree.ndjson, candidates.json and summary.json into this folder;
    /// evidence.ndjson, too, of a job that runs here
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Replace a result that is in the folder already
    #[arg(long, requires = "out")]
    pub force: bool,
    /// Write observables so that nobody clicks on them (tree and csv)
    #[arg(long)]
    pub defang: bool,
    /// Show the tree below this only
    #[arg(long, value_name = "OBSERVABLE")]
    pub under: Option<String>,
    /// Show every node
    #[arg(long)]
    pub full: bool,
    /// Show so many levels, fold the rest; how many are asked is --depth
    #[arg(long, value_name = "N")]
    pub show_depth: Option<u8>,
    /// Show progress, as lines where standard error is no terminal
    #[arg(long)]
    pub progress: bool,
}

/// Form of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ResultFormat {
    /// What a person can read: best branches, candidates, coverage
    #[default]
    Tree,
    /// One document: summary, candidates, tree
    Json,
    /// The canonical tree, one object a line
    Ndjson,
    /// One row a node
    Csv,
}

/// Form of enriched rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum RowFormat {
    /// One object an indicator and line
    #[default]
    Ndjson,
    /// One array of these objects
    Json,
    /// One row a pair
    Csv,
}

fn time(text: &str) -> Result<UnixSeconds, String> {
    parse_time(text).ok_or_else(|| "write 2026-03-01, or 2026-03-01T12:00:00Z".into())
}

fn resolver(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let known = bare.parse::<std::net::IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok();
    if known { Ok(text.into()) } else { Err("write 192.0.2.53 or [2001:db8::53]:53".into()) }
}

/// Reads `90`, `90s`, `10m`, `2h`, `500ms`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err("write a number with ms, s, m or h, as in 90s".into()),
    };
    let seconds =
        number.parse::<f64>().map_err(|_| "write a number with ms, s, m or h, as in 90s".to_owned())?;
    Duration::try_from_secs_f64(seconds * factor).map_err(|_| "is longer than anybody waits".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for bad in ["", "s", "-1", "1w", "1e30h", "1..2s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn resolvers_are_addresses() {
        for good in ["192.0.2.53", "192.0.2.53:5353", "2001:db8::53", "[2001:db8::53]", "[2001:db8::53]:53"] {
            assert!(resolver(good).is_ok(), "{good}");
        }
        for bad in ["resolver.example", "192.0.2", "", "192.0.2.53:99999"] {
            assert!(resolver(bad).is_err(), "{bad}");
        }
    }
}
