//! A tree as the API gives it, down to the addresses of its seeds.

use std::collections::HashMap;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// The source that is asked.
pub const SOURCE: &str = "dns.name";

/// What is read of a line.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line<'a> {
    r#type: &'a str,
    n: u32,
    value: String,
    depth: u8,
    from: u32,
    to: u32,
    relation: &'a str,
    source: &'a str,
    state: &'a str,
    reason: &'a str,
}

/// What a tree says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Names and their addresses, as edges have them.
    pub pairs: Vec<(String, String)>,
    /// Seeds.
    pub seeds: usize,
    /// What it left out, and why; the addresses that would be asked about next are not that.
    pub left_out: Vec<String>,
    /// `complete` or `partial`.
    pub state: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// Reads a tree.
///
/// # Errors
/// When it is no tree, or ends too early.
pub fn read(text: &str) -> anyhow::Result<Read> {
    let (mut nodes, mut edges, mut tree) = (HashMap::new(), Vec::new(), Read::default());
    for line in text.lines() {
        // The first line repeats the seeds, and nothing of it is needed.
        if line.starts_with("{\"type\":\"job\"") {
            continue;
        }
        let line: Line<'_> = serde_json::from_str(line).with_context(|| format!("read {line:.200}"))?;
        match line.r#type {
            "node" => {
                tree.seeds += usize::from(line.depth == 0);
                nodes.insert(line.n, line.value);
            }
            "edge" => {
                edges.push((line.from, line.to, line.relation == "resolves-to" && line.source == SOURCE))
            }
            "stub" if line.reason != "depth" => tree.left_out.push(line.reason.to_owned()),
            "end" => line.state.clone_into(&mut tree.state),
            _ => {}
        }
    }
    ensure!(!tree.state.is_empty(), "the tree is not whole");
    for (from, to, is_address) in edges {
        let value = |n: u32| nodes.get(&n).cloned().with_context(|| format!("the tree has no node {n}"));
        // What is no address is a wrong one.
        tree.pairs.push((value(from)?, if is_address { value(to)? } else { String::new() }));
    }
    let digest = Sha256::digest(text);
    tree.sha256 = digest.iter().map(|b| format!("{b:02x}")).collect();
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = r#"{"type":"job","seeds":["a.test"]}
{"type":"node","n":0,"id":"x","kind":"domain-name","value":"a.test","depth":0,"lookups":{"dns.name":"found"}}
{"type":"edge","from":0,"to":1,"relation":"resolves-to","source":"dns.name"}
{"type":"edge","from":0,"to":1,"relation":"name-server","source":"dns.name"}
{"type":"stub","parent":0,"relation":"resolves-to","reason":"fan-out","total":3,"sample":[]}
{"type":"node","n":1,"id":"y","kind":"ipv4-addr","value":"10.0.0.0","depth":1,"parent":0,"relation":"resolves-to"}
{"type":"coverage","source":"dns.name","lookups":1,"questions":1,"ends":{"found":1},"verdicts":{"found":1}}
"#;

    #[test]
    fn pairs_are_read_and_others_are_wrong_ones() {
        let text =
            format!("{TREE}{}\n", r#"{"type":"end","state":"complete","nodes":2,"edges":2,"stubs":1}"#);
        let tree = read(&text).unwrap();
        let pair = |value: &str| ("a.test".to_owned(), value.to_owned());
        assert_eq!(tree.pairs, [pair("10.0.0.0"), pair("")]);
        assert_eq!((tree.seeds, tree.state.as_str(), tree.left_out), (1, "complete", vec!["fan-out".into()]));
        assert_eq!(tree.sha256.len(), 64);
    }

    #[test]
    fn half_a_tree_is_none() {
        assert!(read(TREE).is_err());
        assert!(read("{\"type\":\"node\",\"n\":").is_err());
    }
}
