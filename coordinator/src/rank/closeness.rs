//! How much using an asset says about each of its users: how few others use it at the same
//! time, or how many of these are suspect, whichever is more.

use super::assets::Asset;
use super::channel::Channel;
use super::interval::Spans;

/// What was found of assets, by their numbers; nothing where nobody asked.
#[derive(Debug, Default)]
pub struct Closeness {
    /// How many others use each at the time of each of its users: the same in every pass.
    crowds: Vec<Box<[f64]>>,
    /// In this pass.
    close: Vec<Box<[f64]>>,
}

impl Closeness {
    /// Forgets what depends on suspects.
    pub fn next_pass(&mut self) {
        self.close.fill_with(Box::default);
    }

    /// For each user of an asset, 0 to 1.
    pub fn of(&mut self, at: u32, asset: &Asset, suspect: impl Fn(u32) -> f64) -> &[f64] {
        let at = at as usize;
        if at >= self.close.len() {
            self.close.resize_with(at + 1, Box::default);
            self.crowds.resize_with(at + 1, Box::default);
        }
        if self.close[at].is_empty() {
            if self.crowds[at].is_empty() {
                self.crowds[at] = crowds(asset);
            }
            self.close[at] = closeness(asset, &self.crowds[at], suspect);
        }
        &self.close[at]
    }
}

fn closeness(asset: &Asset, crowds: &[f64], suspect: impl Fn(u32) -> f64) -> Box<[f64]> {
    let suspects = asset.users.iter().map(|(d, spans)| (*d, spans, suspect(*d)));
    let suspects: Vec<(u32, &Spans, f64)> = suspects.filter(|(.., s)| *s > 0.0).collect();
    let close = |((user, spans), crowd): (&(u32, Spans), &f64)| {
        let others = suspects.iter().filter(|(d, ..)| d != user);
        let suspect: f64 = others.map(|(_, other, s)| spans.together(other) * s).sum();
        let rare = 1.0 / (1.0 + (crowd / scale(asset.channel)).powi(3));
        let share = if *crowd > 0.0 { suspect / crowd } else { 0.0 };
        // Rounded, so that the order of the sums does not show.
        (rare.max(share) * 1e9).round() / 1e9
    };
    asset.users.iter().zip(crowds).map(close).collect()
}

/// How many others use an asset at the time of each of its users.
fn crowds(asset: &Asset) -> Box<[f64]> {
    // Users that sources count and the tree does not hold may have been there at any time.
    let unknown = asset.total.saturating_sub(asset.users.len() as u64) as f64;
    let mut crowds = vec![unknown; asset.users.len()];
    for (i, (_, a)) in asset.users.iter().enumerate() {
        for (j, (_, b)) in asset.users.iter().enumerate().skip(i + 1) {
            let together = a.together(b);
            crowds[i] += together;
            crowds[j] += together;
        }
    }
    crowds.into()
}

/// The number of other users at which a tie is worth half.
const fn scale(channel: Channel) -> f64 {
    match channel {
        Channel::Registrant | Channel::Mailbox | Channel::Related => 20.0,
        Channel::Certificate => 8.0,
        Channel::Burst => 6.0,
        _ => 10.0,
    }
}
