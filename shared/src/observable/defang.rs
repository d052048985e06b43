//! Defanged indicators: every form in use is read, one is written.
//!
//! Reading is one pass from left to right that never looks at its own output, so that
//! what [`defang`] writes is read back exactly, also where the original has brackets.

use std::borrow::Cow;

use super::{Kind, Observable};

/// Schemes as they are disarmed, in lower case.
const SCHEMES: [(&str, &str); 14] = [
    ("hxxp", "http"),
    ("hxxps", "https"),
    ("hxtp", "http"),
    ("hxtps", "https"),
    ("htxp", "http"),
    ("htxps", "https"),
    ("h**p", "http"),
    ("h**ps", "https"),
    ("meow", "http"),
    ("meows", "https"),
    ("fxp", "ftp"),
    ("fxps", "ftps"),
    ("wxx", "ws"),
    ("wxxs", "wss"),
];

/// What stands between scheme and host, the longer before the shorter.
const SEPARATORS: [&str; 14] = [
    "[://]",
    "(://)",
    "{://}",
    "[:]//",
    "(:)//",
    "{:}//",
    "[:/]/",
    "[:]\\\\",
    ":[//]",
    "[:][//]",
    "[:][/][/]",
    "：//",
    ":\\\\",
    "://",
];

/// Reads the defanged forms; a text that is not defanged comes back as it is.
///
/// Read are `hxxp` and its like, a scheme or its `://` in brackets, dots, `@`, colons and
/// slashes in brackets of any kind or as words in brackets or between spaces (`[dot]`,
/// ` at `), brackets of which a half is missing, `\.`, spaces before a dot, and full-width
/// punctuation. The brackets of an IPv6 host stay. What follows the host of a URL is left
/// alone unless the URL was defanged before that point; then only dots in brackets are read.
pub fn refang(text: &str) -> Cow<'_, str> {
    let quiet = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@' | ':' | '/');
    if text.chars().all(quiet) && !text.contains("://") {
        return Cow::Borrowed(text);
    }
    let Some((scheme, rest)) = scheme(text) else {
        return marks(text);
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let host = marks(authority);
    let plain = text.strip_prefix(&*scheme).and_then(|t| t.strip_prefix("://")) == Some(rest);
    if plain && matches!(host, Cow::Borrowed(_)) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{scheme}://{host}{}", dots(tail)))
}

/// The scheme and what follows its separator.
fn scheme(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let bare = text.strip_prefix(OPEN).unwrap_or(text);
    let len = bare.find(|c: char| !c.is_ascii_alphanumeric() && !"*+".contains(c)).unwrap_or(bare.len());
    let (word, mut rest) = bare.split_at(len);
    if word.is_empty() {
        return None;
    }
    if bare.len() < text.len() {
        // `[http]://` and `[http://]`.
        rest = match rest.strip_prefix(CLOSE) {
            Some(rest) => rest,
            None => return Some((named(word), rest.strip_prefix("://")?.strip_prefix(CLOSE)?)),
        };
    }
    let rest = SEPARATORS.iter().find_map(|s| rest.strip_prefix(s))?;
    Some((named(word), rest))
}

fn named(word: &str) -> Cow<'_, str> {
    match SCHEMES.iter().find(|(from, _)| word.eq_ignore_ascii_case(from)) {
        Some((_, to)) => Cow::Borrowed(to),
        None => Cow::Borrowed(word),
    }
}

const OPEN: [char; 4] = ['[', '(', '{', '<'];
const CLOSE: [char; 4] = [']', ')', '}', '>'];

/// Reads the marks in a text that has no scheme, or in the host of one that has.
fn marks(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let (mut kept, mut at) = (0, 0);
    while let Some(c) = text[at..].chars().next() {
        match mark(&text[at..]) {
            Some((read, used)) => {
                out.push_str(&text[kept..at]);
                out.push(read);
                at += used;
                kept = at;
            }
            // A whole run of white space at once: a line of it must not cost its square.
            None if c.is_whitespace() => at += space(&text[at..]),
            None => at += c.len_utf8(),
        }
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[kept..]);
    Cow::Owned(out)
}

/// The mark that a text starts with: the character it stands for, and its length.
fn mark(text: &str) -> Option<(char, usize)> {
    let first = text.chars().next()?;
    if first.is_whitespace() {
        return spaced(text);
    }
    if let Some(read) = wide(first) {
        return Some((read, first.len_utf8()));
    }
    if let Some((read, used)) = bracketed(text) {
        // White space after a mark belongs to it: `a [.] b`.
        return Some((read, used + space(&text[used..])));
    }
    match first {
        '\\' => {
            let next = text[1..].chars().next().filter(|c| matches!(c, '.' | '@' | ':'))?;
            Some((next, 2))
        }
        '.' if text[1..].starts_with(CLOSE) => Some(('.', 2)),
        _ => None,
    }
}

/// `[.]`, `(dot)`, `{at}`, `[:]`, `[/]`, and `[.` without its end.
fn bracketed(text: &str) -> Option<(char, usize)> {
    let inner = text.strip_prefix(OPEN)?;
    let lead = space(inner);
    let (read, used) = word(&inner[lead..]).or_else(|| {
        let c = inner[lead..].chars().next()?;
        let read = wide(c).unwrap_or(c);
        matches!(read, '.' | '@' | ':' | '/' | ',').then_some((read, c.len_utf8()))
    })?;
    let read = if read == ',' { '.' } else { read };
    let after = &inner[lead + used..];
    let trail = space(after);
    if after[trail..].starts_with(CLOSE) {
        return Some((read, 1 + lead + used + trail + 1));
    }
    let half = inner.starts_with('.') && inner[1..].starts_with(|c: char| c.is_alphanumeric());
    half.then_some(('.', 2))
}

/// White space and then a mark: a word between spaces, a dot or `@`, or a bracketed one.
fn spaced(text: &str) -> Option<(char, usize)> {
    let lead = space(text);
    let rest = &text[lead..];
    if let Some((read, used)) = word(rest) {
        let trail = space(&rest[used..]);
        return (trail > 0).then_some((read, lead + used + trail));
    }
    let (read, used) = match rest.chars().next()? {
        c @ ('.' | '@') => (c, 1),
        c => match wide(c) {
            Some(read) => (read, c.len_utf8()),
            None => bracketed(rest)?,
        },
    };
    Some((read, lead + used + space(&rest[used..])))
}

fn word(text: &str) -> Option<(char, usize)> {
    let starts = |w: &str| text.get(..w.len()).is_some_and(|head| head.eq_ignore_ascii_case(w));
    [("dot", '.'), ("punkt", '.'), ("at", '@')]
        .into_iter()
        .find(|(w, _)| starts(w))
        .map(|(w, c)| (c, w.len()))
}

fn space(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

/// Punctuation in full width and its like.
fn wide(c: char) -> Option<char> {
    match c {
        '．' | '。' | '｡' | '․' | '﹒' => Some('.'),
        '＠' | '﹫' => Some('@'),
        '：' | '﹕' => Some(':'),
        '／' => Some('/'),
        _ => None,
    }
}

const DOTS: [&str; 3] = ["[.]", "(.)", "{.}"];

/// The end of a defanged URL: only dots in whole brackets are read.
fn dots(tail: &str) -> Cow<'_, str> {
    if !DOTS.iter().any(|d| tail.contains(d)) {
        return Cow::Borrowed(tail);
    }
    let (mut out, mut rest) = (String::with_capacity(tail.len()), tail);
    while let Some(c) = rest.chars().next() {
        if DOTS.iter().any(|d| rest.starts_with(d)) {
            out.push('.');
            rest = &rest[3..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    Cow::Owned(out)
}

/// Writes the disarmed form: scheme, dots, colons of addresses and `@` in square brackets
/// (`[https]://example[.]com/a.html`). [`Observable::parse`] reads it back.
///
/// Hashes, AS numbers and identities are written as they are.
pub fn defang(observable: &Observable) -> String {
    let text = observable.to_input();
    match observable.kind() {
        Kind::DomainName | Kind::Ipv4Addr => text.replace('.', "[.]"),
        Kind::Ipv6Addr | Kind::Netblock => text.replace(':', "[:]").replace('.', "[.]"),
        Kind::EmailAddr => text.replace('.', "[.]").replacen('@', "[@]", 1),
        Kind::Url => defang_url(&text),
        _ => observable.to_string(),
    }
}

fn defang_url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.replace('.', "[.]");
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let (user, host) = authority.rsplit_once('@').map_or(("", authority), |(u, h)| (u, h));
    let at = if user.len() < authority.len() - host.len() { "[@]" } else { "" };
    let host = match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
        Some((ip, port)) => format!("[{}]{port}", ip.replace(':', "[:]")),
        None => host.to_owned(),
    };
    // Only where reading would take a part of the path for a dot.
    let marked = DOTS.iter().any(|d| tail.contains(d));
    let tail = if marked { tail.replace('.', "[.]") } else { tail.to_owned() };
    format!("[{scheme}]://{}{at}{}{tail}", user.replace('.', "[.]"), host.replace('.', "[.]"))
}
