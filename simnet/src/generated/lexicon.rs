//! Pronounceable domain names that can be read back to the number they stand for.

use crate::name::{Name, labels};
use crate::rng::{Feistel, hash_bytes, mix};

const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
const VOWELS: &[u8; 5] = b"aeiou";
const SYLLABLES: u64 = 80;

/// None of these is a row of consonant-vowel pairs, so a stem and its ending never run together.
const ENDINGS: [&str; 16] =
    ["", "", "", "", "", "n", "s", "r", "-shop", "media", "tech", "lab", "-online", "soft", "24", "group"];

/// Top-level domains in use; those before [`ORDINARY_TLDS`]' end are given to ordinary names.
pub(crate) const TLDS: [&str; 18] = [
    "com", "net", "org", "de", "info", "xyz", "top", "io", "co.uk", "fr", "nl", "shop", "site", "online",
    "uk", "test", "example", "arpa",
];

const ORDINARY_TLDS: [(&str, u64); 14] = [
    ("com", 45),
    ("net", 10),
    ("org", 9),
    ("de", 8),
    ("info", 4),
    ("xyz", 4),
    ("top", 4),
    ("io", 3),
    ("co.uk", 4),
    ("fr", 3),
    ("nl", 2),
    ("shop", 2),
    ("site", 1),
    ("online", 1),
];

/// The words of one world.
#[derive(Clone, Debug)]
pub(crate) struct Lexicon {
    seed: u64,
    order: Feistel,
}

impl Lexicon {
    pub(crate) fn new(seed: u64, names: u64) -> Self {
        Self { seed: mix(seed ^ 0x1e71), order: Feistel::new(seed ^ 0x1e71, names) }
    }

    pub(crate) fn len(&self) -> u64 {
        self.order.size()
    }

    /// The registrable domain with this number.
    pub(crate) fn name(&self, index: u64) -> Name {
        let mut label = [0_u8; 40];
        let length = self.label(index, &mut label);
        let mut wire = Vec::with_capacity(length + 12);
        wire.push(length as u8);
        wire.extend_from_slice(&label[..length]);
        for part in self.tld(index).split('.') {
            wire.push(part.len() as u8);
            wire.extend_from_slice(part.as_bytes());
        }
        wire.push(0);
        Name::from_wire(wire)
    }

    /// The number of a registrable domain in wire form.
    pub(crate) fn index(&self, apex: &[u8]) -> Option<u64> {
        let length = usize::from(*apex.first()?);
        let label = apex.get(1..=length)?;
        let mut expected = [0_u8; 40];
        let mut tried = None;
        for ending in ENDINGS {
            // Equal endings stand side by side, so trying the one before again is skipped.
            if tried == Some(ending) {
                continue;
            }
            tried = Some(ending);
            let Some(index) = label.strip_suffix(ending.as_bytes()).and_then(|stem| self.stem_index(stem))
            else {
                continue;
            };
            let written = self.label(index, &mut expected);
            if label == &expected[..written] && same_tld(&apex[length + 1..], self.tld(index)) {
                return Some(index);
            }
        }
        None
    }

    /// The syllables of a number, for names of people and companies.
    pub(crate) fn stem(&self, index: u64) -> String {
        let mut label = [0_u8; 40];
        let length = write_stem(self.order.forward(index % self.len()), &mut label);
        String::from_utf8_lossy(&label[..length]).into_owned()
    }

    /// The number behind [`Lexicon::stem`].
    pub(crate) fn stem_index(&self, stem: &[u8]) -> Option<u64> {
        if stem.is_empty() || !stem.len().is_multiple_of(2) || stem.len() > 12 {
            return None;
        }
        let mut value = 0_u64;
        for pair in stem.chunks(2) {
            let consonant = CONSONANTS.iter().position(|c| *c == pair[0])? as u64;
            let vowel = VOWELS.iter().position(|v| *v == pair[1])? as u64;
            value = value * SYLLABLES + consonant * 5 + vowel + 1;
        }
        (value - 1 < self.len()).then(|| self.order.inverse(value - 1))
    }

    fn label(&self, index: u64, out: &mut [u8; 40]) -> usize {
        let length = write_stem(self.order.forward(index), out);
        let ending = ENDINGS[(mix(self.seed ^ index) >> 32) as usize % ENDINGS.len()].as_bytes();
        out[length..length + ending.len()].copy_from_slice(ending);
        length + ending.len()
    }

    fn tld(&self, index: u64) -> &'static str {
        let mut draw = mix(self.seed ^ index ^ 0x71d) % 100;
        for (tld, weight) in ORDINARY_TLDS {
            if draw < weight {
                return tld;
            }
            draw -= weight;
        }
        "com"
    }
}

/// Bijective numeration, so that every number has one spelling and short ones occur too.
fn write_stem(value: u64, out: &mut [u8; 40]) -> usize {
    let mut rest = value + 1;
    let mut length = 0;
    while rest > 0 {
        let digit = (rest - 1) % SYLLABLES;
        rest = (rest - 1) / SYLLABLES;
        out[length] = VOWELS[(digit % 5) as usize];
        out[length + 1] = CONSONANTS[(digit / 5) as usize];
        length += 2;
    }
    out[..length].reverse();
    length
}

fn same_tld(wire: &[u8], tld: &str) -> bool {
    let mut given = labels(wire);
    tld.split('.').all(|part| given.next() == Some(part.as_bytes())) && given.next().is_none()
}

/// Where the registrable domain starts in a wire name; `None` for a top-level domain or an unknown one.
pub(crate) fn registrable(wire: &[u8]) -> Option<usize> {
    let mut starts = [0_usize; 128];
    let mut count = 0;
    let mut at = 0;
    for label in labels(wire) {
        starts[count] = at;
        at += label.len() + 1;
        count += 1;
    }
    let last = &wire[*starts[..count].last()?..];
    let second_level = last == b"\x02uk\0";
    let known = TLDS.iter().any(|tld| same_tld(last, tld));
    let depth = if second_level { 3 } else { 2 };
    (known && count >= depth).then(|| starts[count - depth])
}

/// Names of the living: given and family names, by number.
pub(crate) fn person(number: u64) -> (String, String) {
    const GIVEN: [&str; 24] = [
        "Anna", "Boris", "Carla", "Dmitri", "Elena", "Frank", "Greta", "Hugo", "Ines", "Jonas", "Katja",
        "Luca", "Marta", "Nils", "Olga", "Pavel", "Rosa", "Stefan", "Tanja", "Uwe", "Vera", "Willem", "Yara",
        "Zoran",
    ];
    let given = GIVEN[(mix(number) % 24) as usize];
    let mut family = [0_u8; 40];
    let length = write_stem(mix(number ^ 0xfa) % 500_000 + 6_400, &mut family);
    family[0] = family[0].to_ascii_uppercase();
    let family: String = family[..length].iter().copied().map(char::from).collect();
    (given.to_owned(), family + "ev")
}

/// A name for a provider: never one that [`Lexicon::index`] reads, because its label ends in `word`.
pub(crate) fn provider(seed: u64, kind: &str, number: u64, word: &str, tld: &str) -> String {
    let mut stem = [0_u8; 40];
    let length = write_stem(hash_bytes(seed ^ number, kind.as_bytes()) % 500_000 + 6_400, &mut stem);
    let stem: String = stem[..length].iter().copied().map(char::from).collect();
    format!("{stem}{word}.{tld}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_number_has_one_name(seed: u64, size in 1_u64..8_000_000, index: u64) {
            let lexicon = Lexicon::new(seed, size);
            let index = index % size;
            let name = lexicon.name(index);
            prop_assert_eq!(lexicon.index(name.as_wire()), Some(index));
            prop_assert_eq!(registrable(name.as_wire()), Some(0));
            prop_assert_eq!(registrable(name.child(b"www").as_wire()), Some(4));
            prop_assert_eq!(lexicon.stem_index(lexicon.stem(index).as_bytes()), Some(index));
        }

        #[test]
        fn no_other_name_is_read(label in "[a-z0-9-]{1,20}") {
            let lexicon = Lexicon::new(1, 5_000_000);
            let name = Name::from_text(&format!("{label}.com")).unwrap();
            if let Some(index) = lexicon.index(name.as_wire()) {
                prop_assert_eq!(lexicon.name(index), name);
            }
        }
    }

    #[test]
    fn provider_names_are_not_ordinary_names() {
        let lexicon = Lexicon::new(1, 5_000_000);
        for word in ["hosting", "servers", "dns", "-cdn", "mail", "park", "dyn", "registrar"] {
            let name = Name::from_text(&provider(1, "x", 7, word, "net")).unwrap();
            assert_eq!(lexicon.index(name.as_wire()), None, "{name}");
        }
    }
}
