//! Reasons: the ties of a candidate as paths from a seed, and in words.

use kudzu_shared::escape;

use super::belief::{Beliefs, Tie};
use super::graph::{Asset, Channel, Graph};
use super::{Reason, Step};
use crate::tree::Tree;

/// Steps that a path shows at most; a longer one is cut at its start.
const STEPS: usize = 24;

/// The reasons of a domain, strongest first.
pub fn reasons(tree: &Tree, graph: &Graph, beliefs: &Beliefs, d: usize) -> Vec<Reason> {
    beliefs
        .ties(d)
        .into_iter()
        .filter(|t| t.strength >= 0.02)
        .map(|tie| {
            let asset = &graph.assets[tie.asset];
            Reason {
                channel: asset.channel.as_str().into(),
                strength: (tie.strength * 1e6).round() / 1e6,
                text: text(tree, graph, asset, &tie),
                path: path(tree, graph, beliefs, Some(tie), d),
            }
        })
        .collect()
}

fn text(tree: &Tree, graph: &Graph, asset: &Asset, tie: &Tie) -> String {
    let what = asset_text(tree, asset);
    let with = match tie.from {
        Some(d) => format!("with {}", domain_text(graph, d)),
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
pub fn domain_text(graph: &Graph, d: usize) -> String {
    use kudzu_shared::observable::{Kind, ObservableRef};
    ObservableRef { kind: Kind::DomainName, wire: &graph.domains[d].name }.to_string()
}

/// From a seed to a domain along the most reliable way.
pub fn path_to(tree: &Tree, graph: &Graph, beliefs: &Beliefs, to: usize) -> Vec<Step> {
    path(tree, graph, beliefs, beliefs.via(to), to)
}

/// From a seed to the domain, along the most reliable way and then this tie.
fn path(tree: &Tree, graph: &Graph, beliefs: &Beliefs, last: Option<Tie>, to: usize) -> Vec<Step> {
    let mut back = vec![Step { value: domain_text(graph, to), via: None }];
    let mut tie = last;
    while let Some(t) = tie {
        let asset = &graph.assets[t.asset];
        let channel = || Some(asset.channel.as_str().into());
        if let Some(step) = back.last_mut() {
            step.via = channel();
        }
        back.push(Step { value: asset_text(tree, asset), via: None });
        let Some(from) = t.from else { break };
        if let Some(step) = back.last_mut() {
            step.via = channel();
        }
        back.push(Step { value: domain_text(graph, from), via: None });
        if graph.domains[from].seed || back.len() >= STEPS {
            break;
        }
        tie = beliefs.via(from);
    }
    back.reverse();
    back
}
