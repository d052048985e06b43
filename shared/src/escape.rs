//! Text on its way out: nothing that came from outside reaches a terminal, a log or a
//! spreadsheet raw.
//!
//! The display form keeps letters of every script and replaces what is invisible or acts
//! on its reader: controls, bidirectional overrides, zero-width characters, tags, and the
//! angle brackets of markup. JSON, XML and HTML have escaping of their own on top of it; the
//! raw bytes stay in the wire form of the observable.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// Whether a character is written as `\u{…}` in the display form.
///
/// Controls (C0, DEL, C1), zero-width and bidirectional marks (U+200B to U+200F, U+202A to
/// U+202E, U+2060 to U+206F, U+061C), line and paragraph separators, the byte order mark,
/// interlinear annotations, variation selectors, musical formatting, tags' block; `<` and `>`,
/// so that no file holds markup that somebody else wrote.
pub const fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '<'
            | '>'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// The display form of a text: every hidden character as `\u{hex}`.
///
/// A backslash stays as it is, since names use it; the form is for reading, not for
/// reading back.
pub fn terminal(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(Escaped(text).to_string())
}

/// Displays as [`terminal`] does, without an allocation.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_hidden(*c)) {
            f.write_str(&rest[..at])?;
            write!(f, "\\u{{{:x}}}", u32::from(c))?;
            rest = &rest[at + c.len_utf8()..];
        }
        f.write_str(rest)
    }
}

/// The display form cut to `max` characters; where something is left out it ends in `…`.
///
/// Reads no more of the text than it writes, so that a 10 MB line costs nothing.
pub fn shorten(text: &str, max: usize) -> Cow<'_, str> {
    let fits = text.chars().take(max + 1).count() <= max;
    if fits && !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    let (mut room, mut piece) = (max, String::new());
    for c in text.chars() {
        piece.clear();
        if is_hidden(c) {
            // Writing to a String cannot fail.
            let _ = write!(piece, "\\u{{{:x}}}", u32::from(c));
        } else {
            piece.push(c);
        }
        let len = piece.chars().count();
        if len > room {
            while out.chars().count() >= max.max(1) {
                out.pop();
            }
            out.push('…');
            break;
        }
        room -= len;
        out.push_str(&piece);
    }
    Cow::Owned(out)
}

/// A CSV cell (RFC 4180): the display form, quoted where it must be.
///
/// A cell that a spreadsheet would run as a formula (it starts with `=`, `+`, `-`, `@`, TAB
/// or CR, or with the full-width form of one) gets a `'` before it.
pub fn csv_cell(text: &str) -> Cow<'_, str> {
    let first = text.chars().next();
    let formula = matches!(first, Some('=' | '+' | '-' | '@' | '\t' | '\r' | '＝' | '＋' | '－' | '＠'));
    let shown = terminal(text);
    let quote = shown.contains(['"', ',', ';', '\n', '\r']);
    if !formula && !quote {
        return shown;
    }
    let mut out = String::with_capacity(shown.len() + 3);
    if quote {
        out.push('"');
    }
    if formula {
        out.push('\'');
    }
    out.push_str(&shown.replace('"', "\"\""));
    if quote {
        out.push('"');
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_written_out() {
        assert_eq!(terminal("plain ünïcödé 例え"), "plain ünïcödé 例え");
        assert!(matches!(terminal("plain"), Cow::Borrowed(_)));
        assert_eq!(terminal("\x1b[31mred"), "\\u{1b}[31mred");
        assert_eq!(terminal("a\u{202e}b\u{2066}c"), "a\\u{202e}b\\u{2066}c");
        assert_eq!(
            terminal("a\u{200b}\u{feff}\u{e0041}\u{9b}\x7f"),
            "a\\u{200b}\\u{feff}\\u{e0041}\\u{9b}\\u{7f}"
        );
        assert_eq!(terminal("a\u{2028}b\r\nc"), "a\\u{2028}b\\u{d}\\u{a}c");
        assert_eq!(terminal("<script>&"), "\\u{3c}script\\u{3e}&");
        assert_eq!(terminal("a\u{fe0f}\u{1d173}"), "a\\u{fe0f}\\u{1d173}");
        assert_eq!(Escaped("x\0y").to_string(), "x\\u{0}y");
    }

    #[test]
    fn shortened_text_keeps_its_bound() {
        assert_eq!(shorten("short", 80), "short");
        assert_eq!(shorten("abcdef", 3), "ab…");
        assert_eq!(shorten("abc", 3), "abc");
        assert_eq!(shorten("ab\0c", 4), "ab…");
        for max in 1..20 {
            for text in ["\0\0\0\0\0\0", "ääääääääää", "a\u{202e}b\u{202e}c", "abcdefghijklmnopqrstuv"]
            {
                assert!(shorten(text, max).chars().count() <= max, "{text:?} {max}");
            }
        }
    }

    #[test]
    fn cells_cannot_run() {
        assert_eq!(csv_cell("example.com"), "example.com");
        assert_eq!(csv_cell("a,b"), "\"a,b\"");
        assert_eq!(csv_cell("say \"x\""), "\"say \"\"x\"\"\"");
        assert_eq!(csv_cell("=1+1"), "'=1+1");
        assert_eq!(csv_cell("+1"), "'+1");
        assert_eq!(csv_cell("-1"), "'-1");
        assert_eq!(csv_cell("@SUM(A1,A2)"), "\"'@SUM(A1,A2)\"");
        assert_eq!(csv_cell("\t=1"), "'\\u{9}=1");
        assert_eq!(csv_cell("\r=1"), "'\\u{d}=1");
        assert_eq!(csv_cell(""), "");
    }
}
