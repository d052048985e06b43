//! A live line on a terminal, plain lines where one asks for them elsewhere.

use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::time::Duration;

use futures::FutureExt as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kudzu_coordinator::model;
use kudzu_shared::escape;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::console::{Style, tell};
use crate::view::text::{count, seconds};

/// How often the live line changes.
const LIVE: Duration = Duration::from_millis(200);
/// How often a plain line comes.
const PLAIN: Duration = Duration::from_secs(5);
/// Over what time questions a second are counted.
const SPAN: Duration = Duration::from_secs(2);

/// Shows where a job stands.
pub struct Progress {
    how: How,
    ticks: tokio::time::Interval,
    style: Style,
    rate: Rate,
}

enum How {
    Live(ProgressBar),
    Lines,
    Silent,
}

impl Progress {
    /// On a terminal unless quiet; elsewhere only if it was asked for.
    pub fn new(quiet: bool, asked: bool) -> Self {
        let style = Style::of_stderr();
        let terminal = std::io::stderr().is_terminal();
        let how = match (quiet, terminal, asked) {
            (true, ..) | (_, false, false) => How::Silent,
            (false, true, _) => {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                if let Ok(look) = ProgressStyle::with_template("{spinner} {msg}") {
                    bar.set_style(look);
                }
                How::Live(bar)
            }
            (false, false, true) => How::Lines,
        };
        let mut ticks = interval(if matches!(how, How::Lines) { PLAIN } else { LIVE });
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self { how, ticks, style, rate: Rate::default() }
    }

    /// Ends when it is time to show. Cancel safe.
    pub async fn tick(&mut self) {
        if matches!(self.how, How::Silent) {
            std::future::pending::<()>().await;
        }
        self.ticks.tick().await;
    }

    /// Shows where the job stands now.
    pub fn show(&mut self, progress: &model::Progress) {
        let per_second = self.rate.update(Instant::now(), progress.questions);
        self.note(&line(progress, per_second));
    }

    /// Shows where the job stands, if it is time to.
    pub fn show_when_due(&mut self, progress: &model::Progress) {
        if self.ticks.tick().now_or_never().is_some() {
            self.show(progress);
        }
    }

    /// Shows a line of one's own.
    pub fn note(&self, text: &str) {
        match &self.how {
            How::Live(bar) => {
                bar.set_message(escape::shorten(text, self.style.width.saturating_sub(4)).into_owned());
                bar.tick();
            }
            How::Lines => tell(text),
            How::Silent => {}
        }
    }

    /// Says something beside the live line.
    pub fn say(&self, text: &str) {
        match &self.how {
            How::Live(bar) => bar.suspend(|| tell(text)),
            How::Lines => tell(text),
            How::Silent => {}
        }
    }

    /// Takes the live line away.
    pub fn clear(&self) {
        if let How::Live(bar) = &self.how {
            bar.finish_and_clear();
        }
    }
}

/// Questions a second over the last seconds.
#[derive(Debug, Default)]
struct Rate(VecDeque<(Instant, u64)>);

impl Rate {
    fn update(&mut self, now: Instant, total: u64) -> u64 {
        self.0.push_back((now, total));
        while self.0.len() > 2 && self.0.front().is_some_and(|(at, _)| now.duration_since(*at) > SPAN) {
            self.0.pop_front();
        }
        let Some((from, before)) = self.0.front() else { return 0 };
        let span = now.duration_since(*from).as_secs_f64();
        if span > 0.0 { (total.saturating_sub(*before) as f64 / span) as u64 } else { 0 }
    }
}

/// The whole state in one line: what matters most comes first, for it is cut on the right.
fn line(p: &model::Progress, per_second: u64) -> String {
    let mut text = format!(
        "{}  {} nodes  {}/s  {} questions  {} open",
        seconds(p.elapsed_ms),
        count(p.nodes),
        count(per_second),
        count(p.questions),
        count(p.outstanding),
    );
    let mut sources: Vec<_> = p.sources.iter().filter(|(_, [ended, _, open])| ended + open > 0).collect();
    // Those that one still waits for, then the busiest.
    sources.sort_by_key(|(name, [ended, _, open])| (*open == 0, std::cmp::Reverse(*ended), name.as_str()));
    for (name, [ended, failed, open]) in sources {
        text.push_str(&format!("  {name} {}", count(*ended)));
        if *open > 0 {
            text.push_str(&format!("+{}", count(*open)));
        }
        if *failed > 0 {
            text.push_str(&format!(" ({} failed)", count(*failed)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_what_is_still_open_first() {
        let mut p =
            model::Progress { elapsed_ms: 12_345, nodes: 184_233, questions: 300_000, ..Default::default() };
        p.outstanding = 7;
        p.sources.insert("dns.name".into(), [290_000, 12, 0]);
        p.sources.insert("rdap.domain".into(), [40, 0, 7]);
        p.sources.insert("unused".into(), [0, 0, 0]);
        assert_eq!(
            line(&p, 38_000),
            "12.3 s  184,233 nodes  38,000/s  300,000 questions  7 open  rdap.domain 40+7  \
             dns.name 290,000 (12 failed)"
        );
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        assert_eq!(rate.update(start, 0), 0);
        assert_eq!(rate.update(start + Duration::from_secs(1), 100), 100);
        for second in 2..10 {
            rate.update(start + Duration::from_secs(second), 100 + 500 * (second - 1));
        }
        assert_eq!(rate.update(start + Duration::from_secs(10), 4600), 500);
    }
}
