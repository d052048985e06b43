//! The ranked candidates on a terminal.

use std::io::{self, Write};

use kudzu_coordinator::rank::{Band, Candidate};
use kudzu_shared::escape;
use kudzu_shared::observable::Kind;

use super::text::{count, defang_words, fit, short_hashes};
use crate::console::{Paint, Style};

/// Domains shown.
const DOMAINS: usize = 20;
/// Addresses shown.
const ADDRESSES: usize = 5;
/// Reasons shown of each.
const REASONS: usize = 3;
/// Columns of the score bar.
const BAR: usize = 10;

/// A band as a word.
pub const fn band(band: Band) -> &'static str {
    match band {
        Band::Likely => "likely",
        Band::Possible => "possible",
        Band::Weak => "weak",
    }
}

/// The paint of a band.
pub const fn paint(band: Band) -> Paint {
    match band {
        Band::Likely => Paint::Good,
        Band::Possible => Paint::Warn,
        Band::Weak => Paint::Dim,
    }
}

/// Writes the first candidates with their reasons.
///
/// # Errors
/// Those of the writer.
pub fn write(out: &mut dyn Write, all: &[Candidate], style: Style, defang: bool) -> io::Result<()> {
    let (domains, addresses): (Vec<_>, Vec<_>) =
        all.iter().partition(|c| c.kind == Kind::DomainName.as_str());
    let head = "Candidates: where the next attack may come from";
    writeln!(out, "{}", style.paint(Paint::Head, head))?;
    if all.is_empty() {
        return writeln!(out, "  none: nothing rare is shared with the indicators");
    }
    if !domains.iter().any(|c| c.band == Band::Likely) {
        writeln!(out, "  nothing is likely; what follows shares something, which may be chance")?;
    }
    for (what, list, most) in [("domains", &domains, DOMAINS), ("addresses", &addresses, ADDRESSES)] {
        for candidate in list.iter().take(most) {
            write_one(out, candidate, style, defang)?;
        }
        let more = list.len().saturating_sub(most);
        if more > 0 {
            let text = format!("  … {} more {what} (--out DIR keeps all)", count(more as u64));
            writeln!(out, "{}", style.paint(Paint::Dim, &text))?;
        }
    }
    Ok(())
}

fn write_one(out: &mut dyn Write, c: &Candidate, style: Style, defang: bool) -> io::Result<()> {
    let said = |text: &str| {
        let text = escape::terminal(text);
        if defang { defang_words(&text) } else { text.into_owned() }
    };
    let full = (c.score.clamp(0.0, 1.0) * BAR as f64).round() as usize;
    let bar = format!("{}{}", "█".repeat(full), "░".repeat(BAR - full));
    let lone = if c.single_tie { "  single tie" } else { "" };
    let head = format!("{:.2} {:<8}  {}{lone}", c.score, band(c.band), said(&c.value));
    let head = fit(&head, style.width.saturating_sub(BAR + 6));
    writeln!(out, "{:>3}  {} {}", c.rank, style.paint(paint(c.band), &bar), head)?;
    let indent = " ".repeat(BAR + 6);
    let room = style.width.saturating_sub(indent.len() + 2);
    for reason in c.reasons.iter().take(REASONS) {
        writeln!(out, "{indent}• {}", fit(&short_hashes(&said(&reason.text)), room))?;
    }
    if c.reasons.len() > REASONS {
        writeln!(out, "{indent}• and {} more", c.reasons.len() - REASONS)?;
    }
    let state = fit(&said(&state(c)), room);
    if state.is_empty() { Ok(()) } else { writeln!(out, "{indent}{}", style.paint(Paint::Dim, &state)) }
}

/// Registration, liveness, address and AS, as far as known.
fn state(c: &Candidate) -> String {
    let mut parts = Vec::new();
    if let Some(at) = &c.registered {
        parts.push(format!("registered {}", at.chars().take(10).collect::<String>()));
    }
    match c.resolves {
        Some(true) => parts.push("resolves".into()),
        Some(false) => parts.push("does not resolve".into()),
        None => {}
    }
    if c.parked {
        parts.push("parked".into());
    }
    if c.sinkholed {
        parts.push("sinkholed".into());
    }
    for (list, most) in [(&c.addresses, 2), (&c.autonomous_systems, 2)] {
        if !list.is_empty() {
            let more = if list.len() > most { format!(" (+{})", list.len() - most) } else { String::new() };
            parts.push(format!("{}{more}", list.iter().take(most).cloned().collect::<Vec<_>>().join(" ")));
        }
    }
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use kudzu_coordinator::rank::Reason;

    use super::*;

    const PLAIN: Style = Style { colour: false, width: 80 };

    fn candidate() -> Candidate {
        Candidate {
            rank: 1,
            value: "evil.com".into(),
            kind: "domain-name",
            score: 0.934,
            band: Band::Likely,
            single_tie: true,
            reasons: vec![Reason {
                channel: "address".into(),
                strength: 0.9,
                text: "shares address 198.51.100.7 with bad.com (3 names)\u{1b}[31m".into(),
                path: Vec::new(),
            }],
            registered: Some("2026-01-02T03:04:05Z".into()),
            resolves: Some(true),
            parked: false,
            sinkholed: false,
            addresses: vec!["198.51.100.7".into(), "198.51.100.8".into(), "198.51.100.9".into()],
            autonomous_systems: vec!["AS64500".into()],
        }
    }

    fn render(all: &[Candidate], style: Style, defang: bool) -> String {
        let mut out = Vec::new();
        write(&mut out, all, style, defang).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_candidate_has_score_reasons_and_state() {
        assert_eq!(
            render(&[candidate()], PLAIN, true),
            "Candidates: where the next attack may come from\n\
             \x20 1  █████████░ 0.93 likely    evil[.]com  single tie\n\
             \x20               • shares address 198[.]51[.]100[.]7 with bad[.]com (3 names)\\u{…\n\
             \x20               registered 2026-01-02 · resolves · 198[.]51[.]100[.]7 198[.]5…\n"
        );
    }

    #[test]
    fn nothing_from_upstream_acts_on_the_terminal() {
        let text = render(&[candidate()], Style { colour: false, width: 200 }, false);
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn an_empty_ranking_says_so() {
        assert!(render(&[], PLAIN, false).contains("none: nothing rare is shared"));
    }
}
