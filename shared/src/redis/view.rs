//! Who has which key.

use std::sync::Arc;

use redis::ConnectionAddr;

use super::node::Node;

/// Parts into which a cluster divides keys.
const SLOTS: usize = 1 << 14;
const NOBODY: u16 = u16::MAX;

/// The servers as they were last found.
pub(super) struct View {
    nodes: Vec<Arc<Node>>,
    /// Whose a slot is; `None` where all are the first one's.
    owners: Option<Box<[u16]>>,
}

impl View {
    /// No server.
    pub(super) fn none() -> Self {
        Self { nodes: Vec::new(), owners: None }
    }

    /// One that has all keys.
    pub(super) fn one(node: Arc<Node>) -> Self {
        Self { nodes: vec![node], owners: None }
    }

    /// A cluster, as ranges of slots with their node.
    pub(super) fn cluster(ranges: Vec<(u16, u16, Arc<Node>)>) -> Self {
        let (mut nodes, mut owners): (Vec<Arc<Node>>, _) = (Vec::new(), vec![NOBODY; SLOTS]);
        for (first, last, node) in ranges {
            let at = nodes.iter().position(|n| Arc::ptr_eq(n, &node)).unwrap_or(nodes.len());
            if at == nodes.len() {
                nodes.push(node);
            }
            let slots = owners.iter_mut().take(usize::from(last) + 1).skip(usize::from(first));
            slots.for_each(|owner| *owner = u16::try_from(at).unwrap_or(NOBODY));
        }
        Self { nodes, owners: Some(owners.into()) }
    }

    /// Whether a command may only have keys of one slot.
    pub(super) fn is_split(&self) -> bool {
        self.owners.is_some()
    }

    pub(super) fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    /// Which of the nodes has a key.
    pub(super) fn owner(&self, key: &[u8]) -> Option<usize> {
        let owner = self.owners.as_ref().map_or(0, |owners| usize::from(owners[slot(key)]));
        (owner < self.nodes.len()).then_some(owner)
    }

    /// The node that listens there.
    pub(super) fn at(&self, addr: &ConnectionAddr) -> Option<Arc<Node>> {
        self.nodes.iter().find(|node| node.addr() == addr).cloned()
    }

    /// Whether all were there when they were last asked.
    pub(super) fn is_there(&self) -> bool {
        !self.nodes.is_empty() && self.nodes.iter().all(|node| node.is_there())
    }
}

/// What the specification of Redis Cluster says: the CRC of the tag in braces, else of all.
fn slot(key: &[u8]) -> usize {
    let position = |of: &[u8], sign| of.iter().position(|b| *b == sign);
    let tag = position(key, b'{').and_then(|open| {
        let rest = &key[open + 1..];
        position(rest, b'}').map(|close| &rest[..close]).filter(|tag| !tag.is_empty())
    });
    let next = |crc: u16, byte: &u8| (crc << 8) ^ CRC[usize::from((crc >> 8) as u8 ^ byte)];
    usize::from(tag.unwrap_or(key).iter().fold(0, next)) % SLOTS
}

/// CRC-16 (XMODEM) of each octet.
const CRC: [u16; 256] = {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        let (mut crc, mut bit) = ((octet as u16) << 8, 0);
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[octet] = crc;
        octet += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo"), 12_182);
        assert_eq!(slot(b"kudzu:r:{foo}"), 12_182);
        assert_eq!(slot(b"{foo}{bar}"), 12_182);
        assert_ne!(slot(b"{}foo"), 12_182);
        assert_eq!(slot(b"foo{"), slot(b"{foo{}"));
        assert_eq!(slot(b""), 0);
    }
}
