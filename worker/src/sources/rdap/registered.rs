//! Which names a registry knows: those right below a public suffix of ICANN's. What the
//! list's private section calls a suffix (`duckdns.org`) is a registered name itself, and
//! what is below it is known to its owner only.

use kudzu_shared::observable::Name;
use psl::{List, Psl as _, Type};

pub(in crate::sources) fn is_registered(name: &Name) -> bool {
    let mut labels: Vec<&[u8]> = name.labels().collect();
    labels.reverse();
    suffix(&labels).is_some_and(|suffix| labels.len() == suffix + 1)
}

/// How many labels, the top-level one first, ICANN's suffix has.
fn suffix(labels: &[&[u8]]) -> Option<usize> {
    let found = List.find(labels.iter().copied());
    let mut left = found.len;
    let mut count = 0;
    for label in labels {
        count += 1;
        match left.checked_sub(label.len())? {
            // ICANN's rule is shorter than the private one that hides it.
            0 if found.typ == Some(Type::Private) => return suffix(&labels[..count - 1]),
            0 => return Some(count),
            rest => left = rest.checked_sub(1)?,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_a_private_suffix_is_not_registered() {
        let is = |text: &str| is_registered(&Name::from_text(text).unwrap());
        for yes in ["duckdns.org", "github.io", "example.com", "example.co.uk", "blogspot.com", "x.unknown"] {
            assert!(is(yes), "{yes}");
        }
        for no in ["evil.duckdns.org", "x.github.io", "www.example.com", "co.uk", "com", "a.b.amazonaws.com"]
        {
            assert!(!is(no), "{no}");
        }
    }
}
