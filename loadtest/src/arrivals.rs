//! When jobs come, and which: fixed before the first is submitted, so that a slow cluster
//! changes nothing about it.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::requests::{sizes, variants};
use crate::scenario::{Load, Pace, Size};

/// A job that is to be submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// When, from the beginning of its load.
    pub at: Duration,
    /// Which of the load's requests.
    pub request: usize,
}

/// The jobs of a load, in the order in which they come. The same seed gives the same ones.
pub fn arrivals(load: &Load, pace: Pace, seed: u64) -> Vec<Arrival> {
    let sizes = sizes(load);
    let weighted = weighted(&sizes);
    match pace {
        // In turn: so many jobs have every request about as often as it should come.
        Pace::AtOnce(jobs) => {
            let arrival = |n: usize| {
                let (size, round) = (weighted[n % weighted.len()], n / weighted.len());
                let nth = round * weight(&sizes[size])
                    + weighted[..n % weighted.len()].iter().filter(|s| **s == size).count();
                Arrival { at: Duration::ZERO, request: first(&sizes, size) + nth % variants(&sizes[size]) }
            };
            (0..jobs).map(arrival).collect()
        }
        Pace::Open { rate, seconds } => {
            let mut rng = StdRng::seed_from_u64(seed);
            let (mut all, mut at) = (Vec::new(), 0.0);
            loop {
                // Times between arrivals that know nothing of each other.
                at += -(1.0 - rng.random::<f64>()).ln() / rate;
                if at >= seconds {
                    return all;
                }
                let size = weighted.choose(&mut rng).copied().unwrap_or(0);
                let request = first(&sizes, size) + rng.random_range(0..variants(&sizes[size]));
                all.push(Arrival { at: Duration::from_secs_f64(at), request });
            }
        }
    }
}

fn weight(size: &Size) -> usize {
    size.weight.unwrap_or(1).max(1) as usize
}

/// Each size as often as its weight says.
fn weighted(sizes: &[Size]) -> Vec<usize> {
    sizes.iter().enumerate().flat_map(|(at, size)| std::iter::repeat_n(at, weight(size))).collect()
}

/// The number of the first request of a size.
fn first(sizes: &[Size], size: usize) -> usize {
    sizes[..size].iter().map(variants).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    const MIX: &str = "[[load.mix]]\nname = \"a\"\nweight = 3\nvariants = 2\n\
                       [[load.mix]]\nname = \"b\"\nvariants = 2\n";

    fn load() -> Load {
        let text = format!("about = \"x\"\n[[load]]\nname = \"l\"\njobs = 1\n{MIX}");
        Scenario::parse("test", &text).unwrap().loads.remove(0)
    }

    #[test]
    fn chance_has_a_seed() {
        let pace = Pace::Open { rate: 50.0, seconds: 100.0 };
        let (one, again, other) =
            (arrivals(&load(), pace, 1), arrivals(&load(), pace, 1), arrivals(&load(), pace, 2));
        assert!(one == again && one != other);
        assert!((4_700..5_300).contains(&one.len()), "{}", one.len());
        assert!(one.is_sorted_by_key(|a| a.at) && one.iter().all(|a| a.at.as_secs_f64() < 100.0));
        let first_size = one.iter().filter(|a| a.request < 2).count() as f64 / one.len() as f64;
        assert!((0.70..0.80).contains(&first_size), "{first_size}");
    }

    #[test]
    fn times_between_arrivals_are_those_of_chance() {
        let all = arrivals(&load(), Pace::Open { rate: 10.0, seconds: 1_000.0 }, 7);
        let gaps: Vec<f64> = all.windows(2).map(|w| (w[1].at - w[0].at).as_secs_f64()).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // The deviation of an exponential distribution is its mean.
        assert!((0.095..0.105).contains(&mean), "{mean}");
        assert!((0.9..1.1).contains(&(variance.sqrt() / mean)), "{variance}");
    }

    #[test]
    fn jobs_at_once_have_every_request_in_turn() {
        let all: Vec<usize> = arrivals(&load(), Pace::AtOnce(8), 1).iter().map(|a| a.request).collect();
        assert_eq!(all, [0, 1, 0, 2, 1, 0, 1, 3]);
    }
}
