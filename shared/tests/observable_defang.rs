//! Defanged indicators: every form that is read, and the one that is written.

use kudzu_shared::observable::Observable;
use kudzu_shared::observable::defang::{defang, refang};

/// Defanged text, and what it stands for.
const DEFANGED: &[(&str, &str)] = &[
    ("hxxp://example.com/a", "http://example.com/a"),
    ("hXXps://example[.]com", "https://example.com"),
    ("HXXPS://example[.]com", "https://example.com"),
    ("h**p://example.com", "http://example.com"),
    ("meow://example.com", "http://example.com"),
    ("fxp://example.com", "ftp://example.com"),
    ("[https]://example[.]com/x", "https://example.com/x"),
    ("[hxxps]://example[.]com/x", "https://example.com/x"),
    ("[http://]example.com", "http://example.com"),
    ("http[:]//example[.]com", "http://example.com"),
    ("http[://]example[.]com", "http://example.com"),
    ("hxxp(:)//example(.)com", "http://example.com"),
    ("hxxp：//example．com", "http://example.com"),
    ("hxxp:\\\\example.com", "http://example.com"),
    ("example[.]com", "example.com"),
    ("example(.)com", "example.com"),
    ("example{.}com", "example.com"),
    ("example<.>com", "example.com"),
    ("example[dot]com", "example.com"),
    ("example(DOT)com", "example.com"),
    ("example{dot}com", "example.com"),
    ("example dot com", "example.com"),
    ("example [dot] com", "example.com"),
    ("example [.] com", "example.com"),
    ("example . com", "example.com"),
    ("example .com", "example.com"),
    ("example[ . ]com", "example.com"),
    ("example\\.com", "example.com"),
    ("example[.com", "example.com"),
    ("example.]com", "example.com"),
    ("example(.com", "example.com"),
    ("example.)com", "example.com"),
    ("example[,]com", "example.com"),
    ("example。com", "example.com"),
    ("example．com", "example.com"),
    ("1[.]2[.]3[.]4", "1.2.3.4"),
    ("1.2.3[.]4", "1.2.3.4"),
    ("1．2．3．4", "1.2.3.4"),
    ("1[.]2.3.0[/]24", "1.2.3.0/24"),
    ("a[at]example[.]com", "a@example.com"),
    ("a(at)example(dot)com", "a@example.com"),
    ("a[@]example.com", "a@example.com"),
    ("a at example dot com", "a@example.com"),
    ("a [at] example [dot] com", "a@example.com"),
    ("a＠example.com", "a@example.com"),
    ("2001[:]db8[:]:1", "2001:db8::1"),
    ("2001[:]db8[:][:]1", "2001:db8::1"),
    ("[https]://[2001[:]db8[:]:1]/x", "https://[2001:db8::1]/x"),
    ("hxxp://[2001:db8::1]/x", "http://[2001:db8::1]/x"),
    ("hxxp://evil[.]com/index[.]html?a=b[.]c", "http://evil.com/index.html?a=b.c"),
];

#[test]
fn defanged_forms_are_read() {
    for (text, plain) in DEFANGED {
        assert_eq!(refang(text), *plain, "{text}");
        assert_eq!(Observable::parse(text), Observable::parse(plain), "{text}");
    }
}

#[test]
fn plain_text_is_left_alone() {
    for text in [
        "http://[2001:db8::1]/x",
        "http://[2001:db8::1]:80/[.]/(.)/x\\.y",
        "http://[::]/",
        "http://[::ffff:1.2.3.4]/",
        "https://example.com/a(dot)b?c=[at]&d={.}#[:]//",
        "[2001:db8::1]",
        "2001:db8::1",
        "example.com",
        "dot.at.com",
        "at.example.com",
        "a\\046b.example.com",
        "a.com. b.com",
    ] {
        assert_eq!(refang(text), text);
    }
}

#[test]
fn defanged_forms_are_written() {
    for (text, written) in [
        ("example.com", "example[.]com"),
        ("192.0.2.1", "192[.]0[.]2[.]1"),
        ("2001:db8::1", "2001[:]db8[:][:]1"),
        ("192.0.2.0/24", "192[.]0[.]2[.]0/24"),
        ("a.b@example.com", "a[.]b[@]example[.]com"),
        ("https://example.com/a.html", "[https]://example[.]com/a.html"),
        ("http://[2001:db8::1]:8080/x", "[http]://[2001[:]db8[:][:]1]:8080/x"),
        ("http://u:p@example.com/", "[http]://u:p[@]example[.]com/"),
        ("http://example.com/a[.]b.c", "[http]://example[.]com/a[[.]]b[.]c"),
        ("AS64500", "AS64500"),
    ] {
        let read = Observable::parse(text).unwrap();
        assert_eq!(defang(&read), written);
        assert_eq!(Observable::parse(written), Ok(read));
    }
}
