//! Functions and their lengths, found by their braces: no parser, and exact for code that
//! rustfmt has written.

/// Rust code by its characters, comments and literals blanked out; lines stay what they are.
fn masked(text: &str) -> Vec<char> {
    let mut code: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < code.len() {
        let end = comment_or_literal(&code, at).unwrap_or(at).min(code.len());
        code[at..end].iter_mut().filter(|c| **c != '\n').for_each(|c| *c = ' ');
        at = end.max(at + 1);
    }
    code
}

/// Where the comment or literal that begins here ends.
fn comment_or_literal(code: &[char], at: usize) -> Option<usize> {
    let rest = &code[at..];
    match rest {
        ['/', '/', ..] => Some(at + rest.iter().position(|c| *c == '\n').unwrap_or(rest.len())),
        ['/', '*', ..] => Some(at + block_comment(rest)),
        ['"', ..] => Some(at + string(rest)),
        ['r', ..] if begins_literal(code, at) => raw_string(rest).map(|n| at + n),
        // A character with an escape, a plain one; anything else is a lifetime.
        ['\'', '\\', _, tail @ ..] => Some(at + 4 + tail.iter().position(|c| *c == '\'')?),
        ['\'', _, '\'', ..] => Some(at + 3),
        _ => None,
    }
}

/// Whether an `r` is a literal's prefix (`r`, `br`, `cr`) and no part of a word.
fn begins_literal(code: &[char], at: usize) -> bool {
    let before: Vec<char> = code[..at].iter().rev().take_while(|c| is_word(**c)).copied().collect();
    matches!(before[..], [] | ['b'] | ['c'])
}

fn block_comment(code: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < code.len() {
        match code[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(code: &[char]) -> usize {
    let mut at = 1;
    while at < code.len() && code[at] != '"' {
        at += if code[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn raw_string(code: &[char]) -> Option<usize> {
    let hashes = code[1..].iter().take_while(|c| **c == '#').count();
    if code.get(1 + hashes) != Some(&'"') {
        return None; // A raw identifier.
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = 2 + hashes;
    let at = code[body..].windows(end.len()).position(|w| w == end);
    Some(at.map_or(code.len(), |at| body + at + end.len()))
}

/// Whether a character may stand in a word.
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The functions with a body: name, first line, lines.
pub fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let code = masked(text);
    let mut found = Vec::new();
    let mut line = 1;
    for at in 0..code.len() {
        if code[at] == '\n' {
            line += 1;
        }
        let starts = at == 0 || !(is_word(code[at - 1]) || code[at - 1] == '#');
        if !starts || !matches!(code[at..], ['f', 'n', c, ..] if c.is_whitespace()) {
            continue;
        }
        let name: String =
            code[at + 2..].iter().skip_while(|c| c.is_whitespace()).take_while(|c| is_word(**c)).collect();
        if let Some(end) = body_end(&code, at) {
            let breaks = code[at..end].iter().filter(|c| **c == '\n').count();
            found.push((name, line, breaks + 1));
        }
    }
    found
}

/// Where the body of the function that begins here ends; `None` where it has none.
fn body_end(code: &[char], from: usize) -> Option<usize> {
    let (mut depth, mut open) = (0_i32, false);
    for (at, c) in code.iter().enumerate().skip(from) {
        match c {
            '(' | '[' | '{' => {
                open |= *c == '{' && depth == 0;
                depth += 1;
            }
            ')' | ']' | '}' => depth -= 1,
            ';' if depth == 0 && !open => return None,
            _ => {}
        }
        if open && depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

#[test]
fn functions_are_measured_right() {
    let sample = r##"
fn plain() {
    1 + 1;
}
// fn in_a_comment() { {
/* fn nested() { /* { */ { */
const fn braces_in_literals<'a>(x: &'a [u8; 2]) -> bool {
    let _ = ("{", '{', '\'', '\u{7b}', b'{', br#"}"{"#, "\"{");
    x[0] == b'}'
}
trait T { fn without_body(&self, f: fn(u8) -> [u8; 3]); fn one_line(&self) {} }
macro_rules! m { () => { fn r#raw() { } } }
const S: &str = r#"fn text() {
}"#;
fn outer() -> impl Fn(u8)
where
    u8: Copy,
{
    fn inner() {
    }
    |_| {}
}
"##;
    let expected = [
        ("plain", 2, 3),
        ("braces_in_literals", 7, 4),
        ("one_line", 11, 1),
        ("r", 12, 1),
        ("outer", 15, 8),
        ("inner", 19, 2),
    ];
    let found = functions(sample);
    let found: Vec<_> = found.iter().map(|(name, line, lines)| (name.as_str(), *line, *lines)).collect();
    assert_eq!(found, expected);
}
