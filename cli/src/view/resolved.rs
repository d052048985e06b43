//! What `kudzu resolve` says beside its answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use kudzu_dns::check::Checked;
use kudzu_dns::{Case, Engine, ServerStats, Verdict};
use serde::Serialize;

use super::text::{Table, count, octets, seconds};
use crate::console::Style;
use crate::resolvers::Asked;

/// Resolvers that are named one by one.
const NAMED: usize = 8;
/// Resolvers that are not sound, told one by one.
const TOLD: usize = 20;

/// What was asked.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// Lines with a name.
    pub names: u64,
    /// Questions that have ended.
    pub questions: u64,
    /// Lines without one.
    pub invalid: u64,
    /// Questions by what they came to.
    pub verdicts: BTreeMap<Verdict, u64>,
}

/// What came of it all.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Not all was asked.
    pub partial: bool,
    /// Lines with a name.
    pub names: u64,
    /// Lines left out.
    pub invalid: u64,
    /// Questions that have ended.
    pub questions: u64,
    /// From the first name read to the last answer written.
    pub elapsed_ms: u64,
    /// Questions by what they came to.
    pub verdicts: BTreeMap<&'static str, u64>,
    /// Questions of which nothing is known.
    pub unknown: u64,
    /// Datagrams by what became of them.
    pub datagrams: BTreeMap<&'static str, u64>,
    /// Octets of each receive buffer, as the kernel granted them.
    pub receive_buffer: usize,
    /// Each resolver.
    pub servers: Vec<ServerRow>,
}

/// One resolver.
#[derive(Debug, Serialize)]
pub struct ServerRow {
    addr: SocketAddr,
    sent: u64,
    answered: u64,
    late: u64,
    lost: u64,
    rtt_ms: Option<f64>,
    window: u32,
    rate_share: f64,
    benched: bool,
    edns: bool,
    echoes_case: Option<bool>,
}

impl From<&ServerStats> for ServerRow {
    fn from(s: &ServerStats) -> Self {
        Self {
            addr: s.addr,
            sent: s.sent,
            answered: s.answered,
            late: s.late,
            lost: s.lost,
            rtt_ms: s.rtt.map(|rtt| (rtt.as_secs_f64() * 1e6).round() / 1000.0),
            window: s.window,
            rate_share: s.share,
            benched: s.benched,
            edns: !s.plain,
            echoes_case: match s.case {
                Case::Learning(_) => None,
                Case::Echoes(_) => Some(true),
                Case::Changes => Some(false),
            },
        }
    }
}

impl Summary {
    /// Of questions that have all ended; without an engine, little is known of the resolvers.
    pub fn new(engine: Option<&Engine>, totals: Totals, elapsed: Duration, partial: bool) -> Self {
        let Totals { names, questions, invalid, verdicts } = totals;
        let servers = engine.map(Engine::server_stats).unwrap_or_default();
        Self {
            partial,
            names,
            invalid,
            questions,
            elapsed_ms: millis(elapsed),
            unknown: verdicts.iter().filter(|(v, _)| !v.is_known()).map(|(_, n)| n).sum(),
            verdicts: verdicts.into_iter().map(|(verdict, n)| (verdict.as_str(), n)).collect(),
            datagrams: engine.map(|e| e.stats().all().into_iter().collect()).unwrap_or_default(),
            receive_buffer: engine.map_or(0, Engine::receive_buffer),
            servers: servers.iter().map(ServerRow::from).collect(),
        }
    }

    /// Whether any question was answered.
    pub fn is_anything_known(&self) -> bool {
        self.unknown < self.questions
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The line while it runs.
pub fn progress(elapsed: Duration, done: u64, open: u64) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(1e-3);
    let time = seconds(millis(elapsed));
    format!("{time}  {} answered  {}/s  {} open", count(done), count(rate as u64), count(open))
}

/// Whom it asks, in a few words.
pub fn servers(asked: &Asked) -> String {
    let (all, total, each): (Vec<String>, _, _) = match asked {
        Asked::Plain(config) => {
            let all = config.servers.iter().map(|s| s.addr.to_string()).collect();
            (all, config.rate, config.servers.first().and_then(|s| s.rate))
        }
        Asked::Encrypted { upstreams, rate, .. } => {
            let all = upstreams.iter().map(ToString::to_string).collect();
            (all, None, Some(*rate).filter(|r| r.is_finite()))
        }
    };
    let named = &all[..all.len().min(NAMED)];
    let mut text = named.join(", ");
    if all.len() > named.len() {
        text.push_str(&format!(" and {} more", count((all.len() - named.len()) as u64)));
    }
    match (total, each) {
        (Some(total), _) => text.push_str(&format!(", {total} questions a second at most")),
        (None, Some(each)) => text.push_str(&format!(", {each} questions a second each at most")),
        (None, None) => text.push_str(", without a limit"),
    }
    text
}

/// What the check of the resolvers has shown: each of few, of many those that are not sound.
pub fn checked(all: &[Checked]) -> Vec<String> {
    let sound = all.iter().filter(|c| c.is_sound()).count();
    let few = all.len() <= NAMED;
    let shown = all.iter().filter(|c| few || !c.is_sound());
    let mut lines: Vec<String> = shown.clone().take(TOLD).map(|c| format!("resolver {c}")).collect();
    let more = shown.count().saturating_sub(TOLD);
    if more > 0 {
        lines.push(format!("and {} more that are not sound", count(more as u64)));
    }
    if !few {
        lines.push(format!("{} of {} resolvers are sound", count(sound as u64), count(all.len() as u64)));
    }
    let liars = all.iter().filter(|c| !c.lies.is_empty()).count();
    if liars > 0 && liars < all.len() {
        lines.push(format!("left out, since they lie: {}", count(liars as u64)));
    }
    lines
}

/// The summary's lines.
pub fn lines(summary: &Summary) -> Vec<String> {
    let time = seconds(summary.elapsed_ms);
    let rate = summary.questions as f64 * 1000.0 / summary.elapsed_ms.max(1) as f64;
    let mut lines = vec![format!(
        "{} questions about {} names in {time} ({}/s)",
        count(summary.questions),
        count(summary.names),
        count(rate as u64)
    )];
    let verdicts = summary.verdicts.iter();
    let verdicts: Vec<String> = verdicts.map(|(verdict, n)| format!("{verdict} {}", count(*n))).collect();
    if !verdicts.is_empty() {
        lines.push(verdicts.join(", "));
    }
    if summary.unknown > 0 {
        lines.push(format!("not known: {}; their rows say why", count(summary.unknown)));
    }
    if summary.invalid > 0 {
        lines.push(format!("lines without a name, left out: {}", count(summary.invalid)));
    }
    let ignored = ["short", "not_response", "opcode", "unknown_id", "duplicate"];
    let ignored = ignored.into_iter().chain(["wrong_source", "wrong_question", "wrong_case", "foreign"]);
    let of = |what: &str| summary.datagrams.get(what).copied().unwrap_or(0);
    let told: Vec<String> =
        ignored.filter(|w| of(w) > 0).map(|w| format!("{} {}", w.replace('_', " "), count(of(w)))).collect();
    if !told.is_empty() {
        lines.push(format!("ignored: {}", told.join(", ")));
    }
    if of("dropped") > 0 {
        let buffer = octets(summary.receive_buffer as u64);
        lines.push(format!(
            "answers dropped by this system for want of room: {} (receive buffer {buffer}; raise \
             net.core.rmem_max)",
            count(of("dropped"))
        ));
    }
    if (1..=NAMED).contains(&summary.servers.len()) {
        lines.extend(table(summary));
    }
    if summary.partial {
        lines.push("PARTIAL: not all was asked".to_owned());
    }
    lines
}

fn table(summary: &Summary) -> Vec<String> {
    let mut table = Table::new(&["resolver", ">sent", ">answered", ">late", ">lost", ">rtt ms", ">window"]);
    for s in &summary.servers {
        let rtt = s.rtt_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}"));
        let numbers = [s.sent, s.answered, s.late, s.lost].map(count);
        let cells = [s.addr.to_string()].into_iter().chain(numbers);
        table.row(cells.chain([rtt, count(s.window.into())]).collect());
    }
    table.lines(Style::of_stderr().width)
}
