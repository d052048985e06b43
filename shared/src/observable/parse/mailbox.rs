//! E-mail addresses (RFC 5321 section 4.1.2, RFC 6531): a dot-string and a domain name.

use super::{Reason, name, strip_prefix_ignore_case};
use crate::observable::{Kind, Name, Observable};

/// The longest local part and the longest address, in octets (RFC 5321 section 4.5.3.1).
const MAX_LOCAL: usize = 64;
const MAX_MAILBOX: usize = 254;

/// Reads a refanged address. The local part keeps its case, the domain becomes A-labels.
pub(super) fn parse(text: &str) -> Result<Observable, Reason> {
    let text = strip_prefix_ignore_case(text, "mailto:").unwrap_or(text);
    let (local, domain) = text.rsplit_once('@').ok_or(Reason::Mailbox)?;
    if domain.starts_with('[') || domain.parse::<std::net::IpAddr>().is_ok() {
        return Err(Reason::MailboxHost);
    }
    if !local_part(local) || text.contains(char::is_whitespace) {
        return Err(Reason::Mailbox);
    }
    if domain.contains(['\\', '/', '*']) {
        return Err(Reason::Mailbox);
    }
    // Without its dot, so that a single label is refused here too.
    let address = join(local, &name::parse(domain.strip_suffix('.').unwrap_or(domain))?);
    let fits = address.len() <= MAX_MAILBOX;
    Observable::from_wire(Kind::EmailAddr, address.as_bytes()).filter(|_| fits).ok_or(Reason::Mailbox)
}

fn join(local: &str, domain: &Name) -> String {
    format!("{local}@{domain}")
}

fn local_part(local: &str) -> bool {
    let atom = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => true,
        '!' | '#' | '$' | '%' | '&' | '\'' | '*' | '+' | '-' | '/' | '=' | '?' => true,
        '^' | '_' | '`' | '{' | '|' | '}' | '~' => true,
        _ => !c.is_ascii() && !crate::escape::is_hidden(c) && !c.is_whitespace(),
    };
    local.len() <= MAX_LOCAL && local.split('.').all(|word| !word.is_empty() && word.chars().all(atom))
}
