//! SPF records (RFC 7208): the names and addresses they name outright.

use std::net::IpAddr;

use kudzu_shared::observable::{Name, Observable};

/// Terms read of one record; RFC 7208 section 4.6.4 allows ten that need DNS.
const MAX_TERMS: usize = 512;

/// What a record names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Spf {
    /// `include` and `redirect`.
    pub(super) includes: Vec<Observable>,
    /// `ip4` and `ip6`: addresses and blocks.
    pub(super) addresses: Vec<Observable>,
}

impl Spf {
    pub(super) fn is_empty(&self) -> bool {
        self.includes.is_empty() && self.addresses.is_empty()
    }
}

/// Reads a record; `None` where the text is none. Terms that cannot be read, that deny
/// (`-include:`), or that hold macros, are left out, as are `a`, `mx`, `ptr` and `exists`.
pub(super) fn parse(text: &[u8]) -> Option<Spf> {
    let text = std::str::from_utf8(text).ok()?;
    let mut terms = text.split_ascii_whitespace();
    if !terms.next()?.eq_ignore_ascii_case("v=spf1") {
        return None;
    }
    let mut spf = Spf::default();
    for term in terms.take(MAX_TERMS) {
        let Some((kind, value)) = term.split_once([':', '=']) else { continue };
        let kind = kind.strip_prefix(['+', '?', '~']).unwrap_or(kind).to_ascii_lowercase();
        match kind.as_str() {
            "include" | "redirect" if !value.contains('%') => {
                let name = Name::from_text(value).filter(|n| n.labels().count() > 1);
                spf.includes.extend(name.map(|n| Observable::from_name(&n)));
            }
            "ip4" | "ip6" => spf.addresses.extend(network(value)),
            _ => {}
        }
    }
    Some(spf)
}

fn network(value: &str) -> Option<Observable> {
    let (ip, len) = match value.split_once('/') {
        Some((ip, len)) => (ip.parse::<IpAddr>().ok()?, Some(len.parse::<u8>().ok()?)),
        None => (value.parse::<IpAddr>().ok()?, None),
    };
    let whole = if ip.is_ipv4() { 32 } else { 128 };
    match len.filter(|l| *l != whole) {
        None => Some(Observable::from_ip(ip)),
        // `ip4:0.0.0.0/0` allows everybody and so names nobody.
        Some(0) => None,
        Some(len) => Observable::from_netblock(ip, len),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(all: &[Observable]) -> Vec<String> {
        all.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_and_networks() {
        let spf = parse(
            b"V=spf1 a mx include:_spf.example.net ?include:B -include:bad.example redirect=r.example \
              ip4:192.0.2.1 ip4:198.51.100.7/24 ip6:2001:db8::/32 ip4:0.0.0.0/0 ip4:1.2.3 include:%{i}.x.y -all",
        )
        .unwrap();
        assert_eq!(texts(&spf.includes), ["_spf.example.net", "r.example"]);
        assert_eq!(texts(&spf.addresses), ["192.0.2.1", "198.51.100.0/24", "2001:db8::/32"]);
    }

    #[test]
    fn what_is_no_spf_or_says_nothing() {
        assert_eq!(parse(b"google-site-verification=abc"), None);
        assert_eq!(parse(b"v=spf10 include:a.b"), None);
        assert_eq!(parse(b""), None);
        assert!(parse(b"v=spf1 -all").unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&text);
            let _ = parse(&[b"v=spf1 ip4:".as_slice(), &text].concat());
        }
    }
}
