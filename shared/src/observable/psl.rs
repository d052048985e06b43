//! Registrable and registered domains by the public suffix list.
//!
//! The list is compiled in; [`psl_version`] is its digest in results.

use psl::{List, Psl as _, Type};

use super::Name;
use super::name::MAX_NAME;

/// The version of the list: that of the crate that carries it, which is made daily from
/// publicsuffix.org.
pub const fn psl_version() -> &'static str {
    PSL_VERSION
}

const PSL_VERSION: &str = "psl 2.1.247";

/// A wire name has at most 127 labels.
const MAX_LABELS: usize = MAX_NAME / 2;

/// The registrable domain of a name: its public suffix, the list's private section included,
/// and one label more.
///
/// `None` for a public suffix itself. A name below an unknown top-level domain has that
/// one as its suffix (the list's rule `*`).
pub fn registrable(name: &Name) -> Option<Name> {
    let offsets = Offsets::of(name.wire());
    let suffix = offsets.suffix_labels(name.wire())?;
    offsets.tail(name.wire(), suffix + 1)
}

/// Whether a registry knows the name: it stands right below a public suffix of ICANN's. What
/// the list's private section calls a suffix (`duckdns.org`) is a registered name itself, and
/// what is below it is known to its owner only.
pub fn is_registered(name: &Name) -> bool {
    let offsets = Offsets::of(name.wire());
    offsets.icann_labels(name.wire()).is_some_and(|suffix| offsets.count == suffix + 1)
}

/// Where the labels of a name start, so that they can be walked from the top.
struct Offsets {
    at: [u8; MAX_LABELS],
    count: usize,
}

impl Offsets {
    fn of(wire: &[u8]) -> Self {
        let mut offsets = Self { at: [0; MAX_LABELS], count: 0 };
        let mut at = 0u8;
        while let Some(&len) = wire.get(usize::from(at)) {
            if len == 0 || offsets.count == MAX_LABELS {
                break;
            }
            offsets.at[offsets.count] = at;
            offsets.count += 1;
            // A Name has at most 255 octets.
            at = at.saturating_add(len).saturating_add(1);
        }
        offsets
    }

    /// The labels, the top-level one first, as the list wants them.
    fn labels<'a>(&'a self, wire: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.at[..self.count].iter().rev().map(move |at| {
            let at = usize::from(*at);
            wire.get(at + 1..at + 1 + usize::from(wire[at])).unwrap_or_default()
        })
    }

    /// How many labels the public suffix has.
    fn suffix_labels(&self, wire: &[u8]) -> Option<usize> {
        self.count_for(wire, List.find(self.labels(wire)).len)
    }

    /// How many labels ICANN's suffix has: its rule is shorter than a private one that hides it.
    fn icann_labels(&self, wire: &[u8]) -> Option<usize> {
        let mut seen = self.count;
        loop {
            let found = List.find(self.labels(wire).take(seen));
            let labels = self.count_for(wire, found.len)?;
            if found.typ != Some(Type::Private) {
                return Some(labels);
            }
            seen = labels.checked_sub(1)?;
        }
    }

    /// How many labels a text of that many octets (dots between labels) takes.
    fn count_for(&self, wire: &[u8], mut len: usize) -> Option<usize> {
        for (n, label) in self.labels(wire).enumerate() {
            match len.checked_sub(label.len())? {
                0 => return Some(n + 1),
                rest => len = rest.checked_sub(1)?,
            }
        }
        None
    }

    fn tail(&self, wire: &[u8], labels: usize) -> Option<Name> {
        let first = self.count.checked_sub(labels)?;
        let at = *self.at[..self.count].get(first)?;
        Name::from_wire(&wire[usize::from(at)..])
    }
}
