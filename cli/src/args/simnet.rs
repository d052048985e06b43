//! Options of the simulated internet.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use kudzu_simnet::{Faults, Service, Slow};

use super::job::duration;

/// Options of `kudzu simnet`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Simnet {
    /// What to do instead of serving
    #[command(subcommand)]
    pub action: Option<SimnetAction>,
    /// The world
    #[command(flatten)]
    pub world: WorldArgs,
    /// How it answers
    #[command(flatten)]
    pub timing: Timing,
    /// What goes wrong
    #[command(flatten)]
    pub faults: FaultArgs,
    /// Where it listens
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Print what it was asked, as JSON, when it ends
    #[arg(long)]
    pub stats: bool,
    /// Write a kudzu.toml that points every source here
    #[arg(long, value_name = "FILE")]
    pub config_out: Option<PathBuf>,
}

/// What `kudzu simnet` does besides serving.
#[derive(Debug, Subcommand)]
pub enum SimnetAction {
    /// Print what the world hides, as JSON
    Truth {
        /// The world
        #[command(flatten)]
        world: WorldArgs,
    },
}

/// Which world.
#[derive(Debug, Args, Clone)]
#[command(next_help_heading = "World")]
pub struct WorldArgs {
    /// Seed that everything follows from
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Size; 1 is 60,000 domains around the campaign
    #[arg(long, default_value_t = 1.0, value_name = "X", value_parser = scale)]
    pub scale: f64,
    /// A world without an attack campaign
    #[arg(long)]
    pub no_campaign: bool,
    /// Load a world from a file instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scale", "no_campaign"])]
    pub world: Option<PathBuf>,
}

/// How fast and how surely answers come.
#[derive(Debug, Args, Clone, Copy)]
#[command(next_help_heading = "Timing")]
pub struct Timing {
    /// Time before each answer, in milliseconds or with a unit
    #[arg(long, default_value = "50", value_name = "MS", value_parser = milliseconds)]
    pub latency: Duration,
    /// Up to so much more
    #[arg(long, default_value = "0", value_name = "MS", value_parser = milliseconds)]
    pub jitter: Duration,
    /// Share of DNS questions that get no answer over UDP
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    pub loss: f64,
}

/// What goes wrong besides; shares from 0 to 1.
#[derive(Debug, Args, Clone)]
#[command(next_help_heading = "Faults")]
pub struct FaultArgs {
    /// Share of DNS answers over UDP that are truncated
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    pub truncate: f64,
    /// Share of DNS questions answered SERVFAIL
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    pub servfail: f64,
    /// Share of DNS questions answered REFUSED
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    pub refuse: f64,
    /// Share of DNS answers over UDP that cannot be read
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    pub malformed: f64,
    /// Share of HTTP requests answered 503
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    pub http_error: f64,
    /// Share of HTTP requests answered 429 with Retry-After
    #[arg(long = "http-429", default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    pub http_429: f64,
    /// Share of names and HTTP paths that fail whenever they are asked
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    pub permanent: f64,
    /// One HTTP service that answers later than the others, or never: pdns=5s, rdap=never, certs=500ms
    #[arg(long, value_name = "SERVICE=TIME", value_parser = slow)]
    pub slow: Option<Slow>,
    /// Redirects of registries lead here, not to the registrar: http://169.254.169.254/
    #[arg(long, value_name = "URL")]
    pub redirect: Option<String>,
}

/// Where it listens.
#[derive(Debug, Args, Clone, Copy)]
#[command(next_help_heading = "Listen")]
pub struct ListenArgs {
    /// Address of all sockets
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "ADDR")]
    pub bind: IpAddr,
    /// DNS sockets, each a resolver of its own
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub resolvers: u8,
    /// Port of the first DNS socket; 0 for any
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub dns_port: u16,
    /// Port for RDAP; 0 for any
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub rdap_port: u16,
    /// Port for passive DNS; 0 for any
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub pdns_port: u16,
    /// Port for certificates; 0 for any
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub certs_port: u16,
}

impl Timing {
    /// As faults that follow from a seed.
    pub fn faults(&self, seed: u64) -> Faults {
        let Self { latency, jitter, loss } = *self;
        Faults { seed, latency, jitter, loss, ..Faults::default() }
    }
}

impl FaultArgs {
    /// These faults and those of the timing.
    pub fn with(&self, timing: &Timing, seed: u64) -> Faults {
        let Self {
            truncate,
            servfail,
            refuse,
            malformed,
            http_error,
            http_429,
            permanent,
            slow,
            ref redirect,
        } = *self;
        let http_permanent = permanent;
        Faults {
            truncate,
            servfail,
            refuse,
            malformed,
            permanent,
            http_error,
            http_429,
            http_permanent,
            slow,
            redirect: redirect.clone(),
            ..timing.faults(seed)
        }
    }
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    if plain { duration(&format!("{text}ms")) } else { duration(text) }
}

fn slow(text: &str) -> Result<Slow, String> {
    let (service, time) = text.split_once('=').ok_or("write a service and a time, as in pdns=5s")?;
    let service = match service {
        "rdap" => Service::Rdap,
        "pdns" => Service::Pdns,
        "certs" => Service::Certs,
        _ => return Err("the services are rdap, pdns and certs".into()),
    };
    let by = if time == "never" { Duration::MAX } else { milliseconds(time)? };
    Ok(Slow { service, by })
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("write a share from 0 to 1, as in 0.05".into()),
    }
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale > 0.0 && scale <= 10_000.0 => Ok(scale),
        _ => Err("write a number above 0, at most 10000".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_latency_is_in_milliseconds() {
        assert_eq!(milliseconds("50"), Ok(Duration::from_millis(50)));
        assert_eq!(milliseconds("1s"), Ok(Duration::from_secs(1)));
        assert!(milliseconds("").is_err() && milliseconds("fast").is_err());
    }

    #[test]
    fn a_slow_service_is_named_with_its_time() {
        let five = Slow { service: Service::Pdns, by: Duration::from_secs(5) };
        assert_eq!(slow("pdns=5s"), Ok(five));
        assert_eq!(slow("rdap=never"), Ok(Slow { service: Service::Rdap, by: Duration::MAX }));
        assert!(slow("dns=5s").is_err() && slow("pdns").is_err() && slow("pdns=soon").is_err());
    }

    #[test]
    fn shares_and_scales_are_bounded() {
        assert!(share("0.5").is_ok() && share("1.5").is_err() && share("NaN").is_err());
        assert!(scale("0.02").is_ok() && scale("0").is_err() && scale("inf").is_err());
    }
}
