//! Cache keys. Every part has its length before it, so no two lookups share a key.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::Key;
use crate::marking::Tlp;
use crate::observable::ObservableRef;
use crate::wire::Ask;

/// Version of keys and values; raised when either changes its meaning.
pub const SCHEMA: u8 = 1;

/// Who may share an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Partition {
    /// Everyone.
    Public,
    /// One tenant: licensed answers, and whatever belongs to a job of TLP:AMBER and above.
    Tenant(String),
}

impl Partition {
    /// The partition of a job's lookups at a source.
    pub fn of(tenant: &str, job: Tlp, source_marking: Tlp, licensed: bool) -> Self {
        if licensed || job >= Tlp::Amber || source_marking >= Tlp::Amber {
            Partition::Tenant(tenant.to_owned())
        } else {
            Partition::Public
        }
    }
}

/// All of a key but the observable: made once per ask.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyPrefix(Box<[u8]>);

impl KeyPrefix {
    /// For one ask in one partition. `digest` is the source's ([`crate::source::SourceInfo`]).
    pub fn new(partition: &Partition, digest: u64, ask: &Ask) -> Self {
        let mut key = Vec::with_capacity(48);
        key.push(SCHEMA);
        match partition {
            Partition::Public => key.push(0),
            Partition::Tenant(tenant) => {
                key.push(1);
                part(&mut key, tenant.as_bytes());
            }
        }
        part(&mut key, ask.source.as_bytes());
        key.extend_from_slice(&digest.to_be_bytes());
        key.extend_from_slice(&questions(ask));
        Self(key.into())
    }

    /// The key of one observable.
    pub fn key(&self, observable: ObservableRef<'_>) -> Key {
        let mut key = Vec::with_capacity(self.0.len() + 1 + observable.wire.len());
        key.extend_from_slice(&self.0);
        key.push(observable.kind as u8);
        key.extend_from_slice(observable.wire);
        Bytes::from(key)
    }
}

fn part(key: &mut Vec<u8>, bytes: &[u8]) {
    // Four octets: no text here can be longer.
    key.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    key.extend_from_slice(bytes);
}

/// What is asked, in the ask's own order: questions refer to types by index.
fn questions(ask: &Ask) -> [u8; 8] {
    let mut hash = Sha256::new();
    hash.update(ask.limit.to_be_bytes());
    for t in &ask.types {
        hash.update(t.to_be_bytes());
    }
    let digest = hash.finalize();
    let mut short = [0; 8];
    short.copy_from_slice(&digest[..8]);
    short
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::observable::Observable;

    fn ask(source: &str, types: &[u16], limit: u32) -> Ask {
        Ask { source: source.into(), types: types.into(), limit }
    }

    #[test]
    fn everything_that_changes_the_answer_changes_the_key() {
        let tenant = |t: &str| Partition::Tenant(t.into());
        let a = Observable::from_ip([192, 0, 2, 1].into());
        let b = Observable::from_asn(u32::from_be_bytes([192, 0, 2, 1]));
        let base = ask("dns.name", &[1, 28], 100);
        let keys = [
            KeyPrefix::new(&Partition::Public, 1, &base).key(a.as_ref()),
            KeyPrefix::new(&Partition::Public, 1, &base).key(b.as_ref()),
            KeyPrefix::new(&Partition::Public, 2, &base).key(a.as_ref()),
            KeyPrefix::new(&tenant("a"), 1, &base).key(a.as_ref()),
            KeyPrefix::new(&tenant("b"), 1, &base).key(a.as_ref()),
            KeyPrefix::new(&tenant(""), 1, &base).key(a.as_ref()),
            KeyPrefix::new(&Partition::Public, 1, &ask("dns.addr", &[1, 28], 100)).key(a.as_ref()),
            KeyPrefix::new(&Partition::Public, 1, &ask("dns.name", &[28, 1], 100)).key(a.as_ref()),
            KeyPrefix::new(&Partition::Public, 1, &ask("dns.name", &[1], 100)).key(a.as_ref()),
            KeyPrefix::new(&Partition::Public, 1, &ask("dns.name", &[1, 28], 99)).key(a.as_ref()),
        ];
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
    }

    #[test]
    fn a_key_is_the_same_in_every_process() {
        let key =
            KeyPrefix::new(&Partition::Public, 7, &ask("s", &[1], 2)).key(Observable::from_asn(1).as_ref());
        let expected = b"\x01\0\0\0\0\x01s\0\0\0\0\0\0\0\x07\x4f\x13\x66\xf5\x6a\xd5\xb2\xeb\x04\0\0\0\x01";
        assert_eq!(key.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    #[test]
    fn closed_and_licensed_answers_stay_with_their_tenant() {
        let tenant = Partition::Tenant("t".into());
        assert_eq!(Partition::of("t", Tlp::Green, Tlp::Clear, false), Partition::Public);
        assert_eq!(Partition::of("t", Tlp::Amber, Tlp::Clear, false), tenant);
        assert_eq!(Partition::of("t", Tlp::Clear, Tlp::Red, false), tenant);
        assert_eq!(Partition::of("t", Tlp::Clear, Tlp::Clear, true), tenant);
    }
}
