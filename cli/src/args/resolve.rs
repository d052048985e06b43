//! Options of `kudzu resolve`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use kudzu_dns::RecordType;

use super::job::duration;

/// Ask DNS about any number of names, one line each.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    kudzu resolve < names.txt > out.ndjson\n  \
    kudzu resolve -t A,AAAA,MX --resolver 192.0.2.53 names.txt\n  \
    kudzu resolve --own --resolver 127.0.0.1:5353 --format simple < names.txt\n\n\
    A file of resolvers has one a line: ADDRESS[:PORT] [weight=N] [rate=N] [in-flight=N].\n\
    Empty lines and those that begin with # are skipped; what is no name is counted.\n\
    An address among the names is asked about in the reverse tree, for PTR unless -t says otherwise.")]
pub struct Resolve {
    /// Names, one a line; `-` reads standard input
    #[arg(default_value = "-", value_name = "FILE")]
    pub names: PathBuf,
    /// Record types [default: A, and PTR of an address]
    #[arg(short = 't', long = "type", value_delimiter = ',', value_name = "TYPE", value_parser = rtype)]
    pub types: Vec<RecordType>,
    /// A resolver: an address, with a port or without, or tls://NAME@ADDRESS, or
    /// https://NAME@ADDRESS/PATH (repeatable) [default: the settings', else the system's]
    #[arg(long, value_name = "ADDR")]
    pub resolver: Vec<String>,
    /// A file with resolvers, one a line
    #[arg(long, value_name = "FILE")]
    pub resolvers: Option<PathBuf>,
    /// The resolvers are your own: no limits, unless --rate or --in-flight sets one
    #[arg(long)]
    pub own: bool,
    /// Questions a second over all resolvers, in place of 1,000 to each
    #[arg(long, value_name = "N", value_parser = rate)]
    pub rate: Option<f64>,
    /// Questions in flight over all resolvers, in place of 200 at each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub in_flight: Option<u32>,
    /// How long the last send of a question is waited for
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = timeout)]
    pub timeout: Duration,
    /// Sends of a question at most; never more than 3 to one resolver
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=8))]
    pub attempts: u8,
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: AnswerFormat,
    /// Write what came of it as JSON too
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
    /// Do not check the resolvers first
    #[arg(long)]
    pub no_check: bool,
    /// Plain progress lines where standard error is no terminal
    #[arg(long)]
    pub progress: bool,
}

/// Form of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum AnswerFormat {
    /// One object a question and line
    #[default]
    #[value(alias = "json")]
    Ndjson,
    /// One record a line, as massdns writes it with -o S: name, type, data
    Simple,
}

fn rtype(text: &str) -> Result<RecordType, String> {
    let upper = text.trim().to_ascii_uppercase();
    let number = upper.strip_prefix("TYPE").unwrap_or(&upper).parse::<u16>().ok().map(RecordType::from);
    let known = number.or_else(|| upper.parse().ok()).filter(|t| kudzu_dns::is_askable(*t));
    known.ok_or_else(|| "write a type that can be asked for, as A, AAAA, MX or TYPE65; ANY is none".into())
}

fn timeout(text: &str) -> Result<Duration, String> {
    let bounds = Duration::from_millis(1)..=Duration::from_secs(60);
    duration(text).and_then(|t| bounds.contains(&t).then_some(t).ok_or("write 1ms to 60s".into()))
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|r: &f64| *r > 0.0 && r.is_finite());
    rate.ok_or_else(|| "write a number above 0".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_names_or_numbers() {
        assert_eq!(rtype("aaaa"), Ok(RecordType::AAAA));
        assert_eq!((rtype("TYPE15"), rtype("65280")), (Ok(RecordType::MX), Ok(RecordType::Unknown(65_280))));
        // Neither pseudo types nor transfers, nor what is none.
        for bad in ["", "OPT", "AXFR", "IXFR", "TSIG", "ANY", "TYPE255", "TYPE0", "TYPE70000", "B"] {
            assert!(rtype(bad).is_err(), "{bad}");
        }
    }
}
