//! Small pieces of text: numbers, times, tables, observables.

use kudzu_shared::escape;
use kudzu_shared::observable::{Kind, Observable, ObservableRef, defang};
use kudzu_shared::time::{UnixSeconds, rfc3339};

/// A number with commas.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Milliseconds as people say them.
pub fn seconds(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..100_000 => format!("{:.1} s", ms as f64 / 1000.0),
        100_000..7_200_000 => format!("{} min{}", ms / 60_000, rest(ms / 1000 % 60, "s")),
        7_200_000..172_800_000 => format!("{} h{}", ms / 3_600_000, rest(ms / 60_000 % 60, "min")),
        _ => format!("{} days", ms / 86_400_000),
    }
}

/// The smaller unit, where there is something of it.
fn rest(n: u64, unit: &str) -> String {
    if n == 0 { String::new() } else { format!(" {n} {unit}") }
}

/// Octets as people say them.
pub fn octets(n: u64) -> String {
    match n {
        0..1024 => format!("{n} B"),
        1024..1_048_576 => format!("{} KiB", n / 1024),
        _ => format!("{} MiB", n / 1_048_576),
    }
}

/// The day of a time.
pub fn day(at: UnixSeconds) -> String {
    rfc3339(at).chars().take(10).collect()
}

/// From when to when something was seen; empty where nobody says.
pub fn span(first: Option<UnixSeconds>, last: Option<UnixSeconds>) -> String {
    match (first, last) {
        (None, None) => String::new(),
        (Some(first), Some(last)) if day(first) == day(last) => day(first),
        (first, last) => {
            format!("{}–{}", first.map(day).unwrap_or_default(), last.map(day).unwrap_or_default())
        }
    }
}

/// An observable for people: escaped, and defanged where wanted.
pub fn shown(observable: ObservableRef<'_>, defanged: bool) -> String {
    if !defanged {
        return escape::terminal(&observable.to_string()).into_owned();
    }
    escape::terminal(&defang::defang(&observable.to_owned())).into_owned()
}

/// Words in which every observable that one could click on is defanged, also those behind a
/// mechanism (`include:evil.com`) or a key (`redirect=evil.com`).
pub fn defang_words(text: &str) -> String {
    text.split(' ').map(defang_word).collect::<Vec<_>>().join(" ")
}

fn defang_word(word: &str) -> String {
    let bare = bare(word);
    if let Some(defanged) = defanged(bare) {
        return word.replace(bare, &defanged);
    }
    // As a whole it is nothing: its parts may be something.
    let Some((at, mark)) = word.char_indices().find(|(_, c)| matches!(c, '=' | ',' | ':')) else {
        return word.to_owned();
    };
    let (head, tail) = (&word[..at], &word[at + mark.len_utf8()..]);
    let whole = defanged(self::bare(head)).map(|d| head.replace(self::bare(head), &d));
    format!("{}{mark}{}", whole.as_deref().unwrap_or(head), defang_word(tail))
}

/// A word without the punctuation around it; an address may begin with colons.
fn bare(word: &str) -> &str {
    const BEFORE: [char; 5] = ['(', '`', '"', '+', '?'];
    const BEHIND: [char; 6] = [',', ')', ';', ':', '`', '"'];
    word.trim_start_matches(BEFORE).trim_end_matches(BEHIND)
}

/// A text that is an observable that one could click on, defanged.
fn defanged(text: &str) -> Option<String> {
    let clickable =
        |k| !matches!(k, Kind::File | Kind::X509Certificate | Kind::AutonomousSystem | Kind::Identity);
    let item = Some(text).filter(|t| t.contains(['.', ':'])).and_then(|t| Observable::parse(t).ok())?;
    clickable(item.kind()).then(|| defang::defang(&item))
}

/// Hashes and fingerprints in a text, cut to what tells them apart.
pub fn short_hashes(text: &str) -> String {
    let is_hash = |word: &str| word.len() >= 40 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let words =
        text.split(' ').map(|word| if is_hash(word) { format!("{}…", &word[..12]) } else { word.to_owned() });
    words.collect::<Vec<_>>().join(" ")
}

/// Text cut to so many columns, `…` at its end where something is missing.
pub fn fit(text: &str, width: usize) -> String {
    escape::shorten(text, width.max(1)).into_owned()
}

/// A table: columns as wide as their widest cell, numbers to the right.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Table {
    /// A table with a heading; a `>` before a title puts its column to the right.
    pub fn new(titles: &[&str]) -> Self {
        let right = titles.iter().map(|t| t.starts_with('>')).collect();
        let head = titles.iter().map(|t| t.trim_start_matches('>').to_owned()).collect();
        Self { rows: vec![head], right }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The lines, the heading first, cut to a width.
    pub fn lines(&self, width: usize) -> Vec<String> {
        let columns = self.right.len();
        let wide = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|c| c.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(wide).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().enumerate().map(|(at, cell)| {
                let width = widths.get(at).copied().unwrap_or(0);
                let last = at + 1 == columns;
                match self.right.get(at) {
                    Some(true) => format!("{cell:>width$}"),
                    _ if last => cell.clone(),
                    _ => format!("{cell:<width$}"),
                }
            });
            fit(cells.collect::<Vec<_>>().join("  ").trim_end(), width)
        };
        self.rows.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_readable() {
        assert_eq!([count(0), count(999), count(1000), count(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [12, 1500, 125_000, 600_000, 19_000_000, 400_000_000].map(seconds),
            ["12 ms", "1.5 s", "2 min 5 s", "10 min", "5 h 16 min", "4 days"]
        );
        assert_eq!([octets(12), octets(2048), octets(5 << 20)], ["12 B", "2 KiB", "5 MiB"]);
        assert_eq!(span(Some(0), Some(86_400)), "1970-01-01–1970-01-02");
        assert_eq!(span(Some(5), Some(6)), "1970-01-01");
        assert_eq!(span(None, Some(6)), "–1970-01-01");
    }

    #[test]
    fn reasons_are_defanged_word_by_word() {
        let text = "shares address 198.51.100.7 with evil.com (12 names), registered AS64500";
        assert_eq!(
            defang_words(text),
            "shares address 198[.]51[.]100[.]7 with evil[.]com (12 names), registered AS64500"
        );
    }

    #[test]
    fn what_stands_behind_a_mechanism_is_defanged() {
        for (text, wanted) in [
            ("v=spf1 include:evil.com ~all", "v=spf1 include:evil[.]com ~all"),
            ("ip4:198.51.100.0/24 -all", "ip4:198[.]51[.]100[.]0/24 -all"),
            ("ip6:2001:db8::1", "ip6:2001[:]db8[:][:]1"),
            ("redirect=_spf.evil.com", "redirect=_spf[.]evil[.]com"),
            ("a.com,b.com", "a[.]com,b[.]com"),
            ("from=x@evil.com", "from=x[@]evil[.]com"),
            ("see http://evil.com/a=b,c", "see [http]://evil[.]com/a=b,c"),
            ("nothing: here, at=all", "nothing: here, at=all"),
        ] {
            assert_eq!(defang_words(text), wanted);
        }
    }

    #[test]
    fn hashes_are_cut_and_names_are_not() {
        let hash = "9d11413703f7efe53a4092620dd940ee93707f53dae82d6b82bbffea70745446";
        let text = format!("stands in certificate {hash} with evil.com (8 names)");
        assert_eq!(short_hashes(&text), "stands in certificate 9d11413703f7… with evil.com (8 names)");
    }

    #[test]
    fn tables_line_up_and_fit() {
        let mut table = Table::new(&["source", ">found", "note"]);
        table.row(vec!["dns.name".into(), "1,200".into(), "a long note".into()]);
        table.row(vec!["pdns".into(), "3".into(), String::new()]);
        assert_eq!(
            table.lines(80),
            ["source    found  note", "dns.name  1,200  a long note", "pdns          3"]
        );
        assert!(table.lines(20).iter().all(|l| l.chars().count() <= 20));
    }
}
