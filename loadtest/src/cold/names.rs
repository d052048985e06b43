//! The names that everybody looks up, and the zone that says what is right.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufWriter, Write as _};
use std::net::Ipv4Addr;
use std::ops::Range;
use std::path::Path;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};

/// The zone that they are in.
pub const ZONE: &str = "cold.test";
/// There are no more addresses in 10/8.
pub const MOST: usize = 1 << 24;
/// Syllables of a name: most have three or four.
const SYLLABLES: [usize; 6] = [2, 3, 3, 4, 4, 5];

/// Names with an address each.
#[derive(Debug, Clone)]
pub struct Names {
    names: Vec<String>,
    places: HashMap<String, usize>,
}

/// What somebody answered for all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Score {
    /// Names with the zone's address, once.
    pub right: usize,
    /// Names without any.
    pub lost: usize,
    /// Answers that the zone does not have, or twice.
    pub wrong: usize,
}

impl Score {
    /// Whether all of them are right.
    pub fn is_clean(&self) -> bool {
        (self.lost, self.wrong) == (0, 0)
    }
}

impl Names {
    /// As people make them, half of them with a number; the same for the same seed.
    pub fn new(count: usize, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut seen, mut names) = (HashSet::new(), Vec::new());
        while names.len() < count {
            let mut name = String::new();
            for _ in 0..SYLLABLES.choose(&mut rng).copied().unwrap_or(3) {
                name.extend(
                    [b"bcdfghjklmnpqrstvwz".as_slice(), b"aeiou"]
                        .map(|letters| letters.choose(&mut rng).map_or('x', |letter| char::from(*letter))),
                );
            }
            if rng.random() {
                name.push_str(&rng.random_range(0..1000).to_string());
            }
            name.push('.');
            name.push_str(ZONE);
            if seen.insert(name.clone()) {
                names.push(name);
            }
        }
        names.shuffle(&mut rng);
        Self::of(names)
    }

    fn of(names: Vec<String>) -> Self {
        let places = names.iter().cloned().enumerate().map(|(n, name)| (name, n)).collect();
        Self { names, places }
    }

    /// The first of them; each keeps its address.
    pub fn first(&self, count: usize) -> Self {
        Self::of(self.names[..count.min(self.names.len())].to_vec())
    }

    /// All of them.
    pub fn all(&self) -> &[String] {
        &self.names
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.names.len()
    }

    /// Writes them, one a line.
    ///
    /// # Errors
    /// Those of the file.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut out = BufWriter::new(std::fs::File::create(path)?);
        self.names.iter().try_for_each(|name| writeln!(out, "{name}"))?;
        out.flush()
    }

    /// Writes the zone.
    ///
    /// # Errors
    /// Those of the file.
    pub fn write_zone(&self, path: &Path) -> io::Result<()> {
        let mut out = BufWriter::new(std::fs::File::create(path)?);
        writeln!(
            out,
            "$ORIGIN {ZONE}.\n$TTL 3600\n@ SOA ns host 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1"
        )?;
        for (n, name) in self.names.iter().enumerate() {
            if let Some(address) = address(n) {
                writeln!(out, "{name}. A {address}")?;
            }
        }
        out.flush()
    }

    /// Compares answers with the zone.
    pub fn score<'a>(&self, answers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Score {
        self.score_part(0..self.names.len(), answers)
    }

    /// Compares answers for some of the names with the zone.
    pub fn score_part<'a>(
        &self,
        part: Range<usize>,
        answers: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Score {
        let (mut answered, mut wrong) = (vec![false; part.len()], 0);
        for (name, value) in answers {
            let place = self.places.get(name).copied().filter(|n| part.contains(n));
            match place.filter(|n| value.parse().ok() == address(*n) && !answered[*n - part.start]) {
                Some(n) => answered[n - part.start] = true,
                None => wrong += 1,
            }
        }
        let right = answered.iter().filter(|a| **a).count();
        Score { right, lost: part.len() - right, wrong }
    }
}

fn address(n: usize) -> Option<Ipv4Addr> {
    let n = u32::try_from(n).ok().filter(|n| (*n as usize) < MOST)?;
    Some(Ipv4Addr::from((10 << 24) | n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_the_same_for_a_seed() {
        let names = Names::new(5_000, 5);
        assert_eq!(names.all().iter().collect::<HashSet<_>>().len(), 5_000);
        assert_eq!(names.all(), Names::new(5_000, 5).all());
        assert_ne!(names.all(), Names::new(5_000, 6).all());
        let digits = names.all().iter().filter(|n| n.contains(|c: char| c.is_ascii_digit())).count();
        assert!((2_000..3_500).contains(&digits), "{digits}");
        let few = names.first(10);
        assert_eq!(few.all(), &names.all()[..10]);
    }

    #[test]
    fn the_zone_has_each_name_with_an_address_of_its_own() {
        let (names, folder) = (Names::new(300, 1), tempfile::tempdir().unwrap());
        let path = folder.path().join("zone");
        names.write_zone(&path).unwrap();
        let zone = std::fs::read_to_string(&path).unwrap();
        let rows: Vec<(&str, &str)> = zone.lines().skip(5).map(|l| l.split_once(". A ").unwrap()).collect();
        assert_eq!(rows[299].1, "10.0.1.43");
        assert_eq!(names.score(rows), Score { right: 300, lost: 0, wrong: 0 });
    }

    #[test]
    fn what_is_lost_wrong_or_said_twice_is_counted() {
        let names = Names::new(3, 1);
        let [a, b, _] = names.all() else { panic!("three") };
        let answers = [(a.as_str(), "10.0.0.0"), (a, "10.0.0.0"), (b, "10.0.0.2"), ("x.test", "10.0.0.1")];
        let score = names.score(answers);
        assert_eq!(score, Score { right: 1, lost: 2, wrong: 3 });
        assert!(!score.is_clean());
        let part = names.score_part(1..2, [(b.as_str(), "10.0.0.1"), (a, "10.0.0.0")]);
        assert_eq!(part, Score { right: 1, lost: 0, wrong: 1 });
    }
}
