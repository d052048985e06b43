//! The edge: text is parsed, normalised and refused here, once.
//!
//! Everything behind this module has an [`Observable`] and trusts it.

use std::fmt;

use super::{Kind, Observable, defang};
use crate::escape;

mod address;
mod fingerprint;
mod mailbox;
mod name;
mod weblink;

/// The longest text that is read, in octets (a URL; RFC 9110 section 4.1 asks for 8,000).
pub const MAX_TEXT: usize = 8192;
/// How much of the input an error shows, in characters.
const SHOWN: usize = 80;

/// A text that is no observable: what was wrong and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", Quoted(.input))]
pub struct ParseError {
    input: String,
    reason: Reason,
}

impl ParseError {
    fn new(input: &str, reason: Reason) -> Self {
        Self { input: escape::shorten(input, SHOWN).into_owned(), reason }
    }

    /// The input, escaped and cut to 80 characters.
    pub fn input(&self) -> &str {
        &self.input
    }

    /// Why it was refused.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }
}

struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "`{}`: ", self.0) }
    }
}

/// Why a text was refused. Each message says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum Reason {
    #[error("empty: give a domain name, an address, a URL, an AS number, a hash or an e-mail address")]
    Empty,
    #[error("{0} octets are too long for one observable (at most {MAX_TEXT}): write one a line")]
    TooLong(usize),
    #[error("not UTF-8 (octet {0}): convert the file to UTF-8")]
    NotUtf8(usize),
    #[error("contains a NUL octet: is this a binary or UTF-16 file? convert it to UTF-8 text")]
    Nul,
    #[error("contains the control character U+{0:04X}: remove it")]
    Control(u32),
    #[error("contains white space: write one observable a line, without comments")]
    Space,
    #[error("a bare number: write AS{0} for an autonomous system, or an address with all its parts")]
    Number(String),
    #[error("not an IPv4 address: write four numbers from 0 to 255, without leading zeros")]
    Ipv4,
    #[error("not an IPv6 address: write it as RFC 4291 does, for example 2001:db8::1")]
    Ipv6,
    #[error("an IPv6 zone means nothing outside its host: leave out the % and what follows")]
    Zone,
    #[error("has a port: leave it out, or write a URL with its scheme")]
    Port,
    #[error("not a netblock: write network/length, the length from 0 to {0}")]
    Prefix(u8),
    #[error("not a netblock: write an address, a slash and the prefix length")]
    Netblock,
    #[error("not an AS number: write AS and a number from 0 to 4294967295, or asdot as AS1.10")]
    Asn,
    #[error("an empty label: a name has no two dots in a row and none in front")]
    EmptyLabel,
    #[error("a label of {0} octets: DNS allows 63")]
    LongLabel(usize),
    #[error("a name of {0} octets: DNS allows 255 on the wire")]
    LongName(usize),
    #[error("a name of one label: write it in full, or with a dot at its end for a top-level domain")]
    SingleLabel,
    #[error("no top-level domain at its end: give the name in full (is an IPv4 address meant?)")]
    NumericTld,
    #[error("`{0}` is not allowed in a name: remove it, or write the octet as \\DDD")]
    NameChar(String),
    #[error("a backslash in a name starts a decimal octet, \\000 to \\255")]
    Octet,
    #[error("not an internationalised name (UTS 46): check for characters that look alike")]
    Idna,
    #[error("a path without a scheme: write http:// or https:// before a URL")]
    NoScheme,
    #[error("the scheme `{0}` is not looked up: http, https, ftp, ws and wss are; give the host instead")]
    Scheme(String),
    #[error("not a URL: {0}")]
    Url(String),
    #[error("not an e-mail address: write one plain local@domain")]
    Mailbox,
    #[error("an e-mail address needs a domain name after the @, not an address literal")]
    MailboxHost,
    #[error("{0} hex digits are no hash: MD5 has 32, SHA-1 40, SHA-256 64, SHA-512 128")]
    HashLength(usize),
    #[error("not hexadecimal: write the digits 0 to 9 and a to f only")]
    Hex,
    #[error("not a certificate fingerprint: write cert: and SHA-256 (64 digits) or SHA-1 (40 digits)")]
    Fingerprint,
    #[error("the hash has {digits} digits, {algorithm} has {expected}")]
    Algorithm { algorithm: &'static str, expected: usize, digits: usize },
    #[error("an identity of {0} octets: at most 1024 are kept")]
    LongIdentity(usize),
}

impl Observable {
    /// Reads a text of any kind, defanged or not, and normalises it.
    ///
    /// Certificates and identities need a prefix (`cert:`, `identity:`), since their text
    /// alone does not tell them. Special-purpose addresses and names are read; see
    /// [`Observable::special_purpose`].
    ///
    /// # Errors
    /// [`ParseError`] where it is none or not one; its message says what to write.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let text = admit(text)?;
        any(text).map_err(|reason| ParseError::new(text, reason))
    }

    /// Reads a text as one kind. What only this kind can mean needs no prefix: `64500` is
    /// an AS number, hex a fingerprint, free text an identity.
    ///
    /// # Errors
    /// [`ParseError`] where it is none of that kind; its message says what to write.
    pub fn parse_as(kind: Kind, text: &str) -> Result<Self, ParseError> {
        let text = admit(text)?;
        of_kind(kind, text).map_err(|reason| ParseError::new(text, reason))
    }

    /// Reads one line as it comes from a file: as [`Observable::parse`] does, after a check
    /// that it is UTF-8. A line ending and a byte order mark are left out.
    ///
    /// # Errors
    /// [`ParseError`], also for NUL octets and invalid UTF-8.
    pub fn parse_bytes(line: &[u8]) -> Result<Self, ParseError> {
        if line.len() > 2 * MAX_TEXT {
            // Enough for what the error shows; the rest of the line is not looked at.
            let start = String::from_utf8_lossy(&line[..4 * SHOWN]);
            return Err(ParseError::new(&start, Reason::TooLong(line.len())));
        }
        match std::str::from_utf8(line) {
            Ok(text) => Self::parse(text.trim_start_matches('\u{feff}')),
            Err(e) => {
                let reason = if line.contains(&0) { Reason::Nul } else { Reason::NotUtf8(e.valid_up_to()) };
                Err(ParseError::new(&String::from_utf8_lossy(line), reason))
            }
        }
    }

    /// An identity from text that came from outside: white space folded, controls dropped,
    /// cut to 1,024 octets at a character. `None` where nothing is left.
    pub fn from_identity(text: &str) -> Option<Self> {
        let mut folded = fold(text);
        let mut end = folded.len().min(MAX_IDENTITY);
        while !folded.is_char_boundary(end) {
            end -= 1;
        }
        folded.truncate(end);
        Self::from_wire(Kind::Identity, folded.trim_end().as_bytes())
    }

    /// The host of a URL or the domain of an e-mail address.
    pub fn host(&self) -> Option<Self> {
        let text = std::str::from_utf8(self.wire()).ok()?;
        match self.kind() {
            Kind::Url => weblink::host(text),
            Kind::EmailAddr => {
                let domain = text.rsplit_once('@')?.1;
                super::Name::from_text(domain).map(|n| Self::from_name(&n))
            }
            _ => None,
        }
    }

    /// Text that [`Observable::parse`] reads back: the canonical text, with a prefix where
    /// the kind needs one.
    pub fn to_input(&self) -> String {
        match self.kind() {
            Kind::X509Certificate => format!("cert:{self}"),
            Kind::Identity => format!("identity:{self}"),
            Kind::DomainName if super::name::Labels::of(self.wire()).count() == 1 => format!("{self}."),
            _ => self.to_string(),
        }
    }
}

/// The longest identity that is kept, in octets.
const MAX_IDENTITY: usize = 1024;

/// What holds for every kind; gives the text without the white space around it.
fn admit(text: &str) -> Result<&str, ParseError> {
    // Before any walk over the text: a line may have 10 MB.
    if text.len() > 2 * MAX_TEXT {
        return Err(ParseError::new(text, Reason::TooLong(text.len())));
    }
    let trimmed = text.trim();
    let refuse = |reason| Err(ParseError::new(trimmed, reason));
    if trimmed.is_empty() {
        return refuse(Reason::Empty);
    }
    if trimmed.len() > MAX_TEXT {
        return refuse(Reason::TooLong(trimmed.len()));
    }
    match trimmed.chars().find(|c| c.is_control() && *c != '\t') {
        Some('\0') => refuse(Reason::Nul),
        Some(c) => refuse(Reason::Control(u32::from(c))),
        None => Ok(trimmed),
    }
}

fn any(text: &str) -> Result<Observable, Reason> {
    if let Some(rest) = strip_prefix_ignore_case(text, "identity:") {
        return identity(rest);
    }
    if let Some(found) = fingerprint::detect(text) {
        return found;
    }
    let text = &*defang::refang(text);
    if text.contains("://") {
        return weblink::parse(text);
    }
    if text.contains('@') {
        return mailbox::parse(text);
    }
    if let Some(found) = address::detect_asn(text) {
        return found;
    }
    if text.contains(char::is_whitespace) {
        return Err(Reason::Space);
    }
    if let Some(found) = address::detect(text) {
        return found;
    }
    name::parse(text).map(|n| Observable::from_name(&n))
}

fn of_kind(kind: Kind, text: &str) -> Result<Observable, Reason> {
    let wire = match kind {
        Kind::Identity => return identity(strip_prefix_ignore_case(text, "identity:").unwrap_or(text)),
        Kind::File => return fingerprint::file(text),
        Kind::X509Certificate => return fingerprint::certificate(text),
        _ => defang::refang(text),
    };
    let text = &*wire;
    match kind {
        Kind::Url => return weblink::parse(text),
        Kind::EmailAddr => return mailbox::parse(text),
        Kind::AutonomousSystem => return address::asn(text),
        _ if text.contains(char::is_whitespace) => return Err(Reason::Space),
        _ => {}
    }
    match kind {
        Kind::Ipv4Addr => address::ipv4(text),
        Kind::Ipv6Addr => address::ipv6(text),
        Kind::Netblock => address::netblock(text),
        _ => name::parse(text).map(|n| Observable::from_name(&n)),
    }
}

fn identity(text: &str) -> Result<Observable, Reason> {
    let folded = fold(text);
    if folded.len() > MAX_IDENTITY {
        return Err(Reason::LongIdentity(folded.len()));
    }
    Observable::from_wire(Kind::Identity, folded.as_bytes()).ok_or(Reason::Empty)
}

fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MAX_IDENTITY));
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

fn strip_prefix_ignore_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}
