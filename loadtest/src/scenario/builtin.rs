//! The scenarios that come with the command.

use super::Scenario;

/// By name, in the order in which one would run them.
pub const BUILTIN: [(&str, &str); 9] = [
    ("headline", include_str!("../../scenarios/headline.toml")),
    ("warm", include_str!("../../scenarios/warm.toml")),
    ("steady", include_str!("../../scenarios/steady.toml")),
    ("burst", include_str!("../../scenarios/burst.toml")),
    ("giant", include_str!("../../scenarios/giant.toml")),
    ("slow-source", include_str!("../../scenarios/slow-source.toml")),
    ("hot-key", include_str!("../../scenarios/hot-key.toml")),
    ("soak", include_str!("../../scenarios/soak.toml")),
    ("scale", include_str!("../../scenarios/scale.toml")),
];

/// Their names, and what each shows.
pub fn about() -> Vec<(&'static str, String)> {
    let about = |(name, text): &(&'static str, &str)| {
        let about = Scenario::parse(name, text).map_or_else(|e| e.to_string(), |scenario| scenario.about);
        (*name, about)
    };
    BUILTIN.iter().map(about).collect()
}
