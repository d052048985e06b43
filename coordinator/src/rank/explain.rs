//! Reasons: the ties of a candidate as paths from a seed, and in words.

use kudzu_shared::escape;

use super::assets::Asset;
use super::belief::Tie;
use super::channel::Channel;
use super::{Believed, Reason, Step};
use crate::tree::Tree;

/// Steps that a path shows at most; a longer one is cut at its start.
const STEPS: usize = 24;

/// The reasons of a domain, strongest first.
pub fn reasons(all: &Believed<'_>, d: u32) -> Vec<Reason> {
    all.beliefs
        .ties(d)
        .into_iter()
        .filter(|t| t.strength >= 0.02)
        .map(|tie| {
            let asset = all.assets.get(tie.asset);
            Reason {
                channel: asset.channel.as_str().into(),
                strength: (tie.strength * 1e6).round() / 1e6,
                text: text(all, asset, &tie),
                path: path(all, Some(tie), d),
            }
        })
        .collect()
}

fn text(all: &Believed<'_>, asset: &Asset, tie: &Tie) -> String {
    let what = asset_text(all.graph.tree, asset);
    let with = match tie.from {
        Some(d) => format!("with {}", domain_text(all, d)),
        None => "with the seed".into(),
    };
    let users = asset.total;
    match asset.channel {
        Channel::Address => format!("shares address {what} {with} ({users} names)"),
        Channel::Alias => format!("is or uses the alias target {what} {with} ({users} names)"),
        Channel::SpfAddress => format!("lets {what} send its mail, {with} ({users} names)"),
        Channel::NameServer => format!("uses name server {what} {with} ({users} names)"),
        Channel::NameServerPair => format!("uses the name server pair {what} {with} ({users} names)"),
        Channel::Mailbox => format!("has the responsible mailbox {what} {with} ({users} names)"),
        Channel::MailHost => format!("uses mail host {what} {with} ({users} names)"),
        Channel::Registrant => format!("is registered by {what} {with} ({users} names)"),
        Channel::Burst => format!("was registered {what} within the hour {with} ({users} names)"),
        Channel::Certificate => format!("stands in certificate {what} {with} ({users} names)"),
        Channel::Related => format!("is related to {what} {with} ({users} names)"),
    }
}

fn asset_text(tree: &Tree, asset: &Asset) -> String {
    // Some of it is text that somebody wrote into a registration.
    let shown = |n: u32| escape::terminal(&tree.node(n).observable.to_string()).into_owned();
    let one = shown(asset.nodes.0);
    match (asset.channel, asset.nodes.1) {
        (Channel::Burst, _) => format!("at {one}"),
        (_, Some(other)) => format!("{one} + {}", shown(other)),
        (_, None) => one,
    }
}

/// The text of a domain.
pub fn domain_text(all: &Believed<'_>, d: u32) -> String {
    all.graph.domains.name(all.graph.tree, d).to_string()
}

/// From a seed to a domain along the most reliable way.
pub fn path_to(all: &Believed<'_>, to: u32) -> Vec<Step> {
    path(all, all.beliefs.via(to), to)
}

/// From a seed to the domain, along the most reliable way and then this tie.
fn path(all: &Believed<'_>, last: Option<Tie>, to: u32) -> Vec<Step> {
    let mut back = vec![Step { value: domain_text(all, to), via: None }];
    let mut tie = last;
    while let Some(t) = tie {
        let asset = all.assets.get(t.asset);
        let channel = || Some(asset.channel.as_str().into());
        if let Some(step) = back.last_mut() {
            step.via = channel();
        }
        back.push(Step { value: asset_text(all.graph.tree, asset), via: None });
        let Some(from) = t.from else { break };
        if let Some(step) = back.last_mut() {
            step.via = channel();
        }
        back.push(Step { value: domain_text(all, from), via: None });
        if all.graph.domains.is_seed(from) || back.len() >= STEPS {
            break;
        }
        tie = all.beliefs.via(from);
    }
    back.reverse();
    back
}
