//! A list of observables that stands for what lies at or below them, as own assets do.

use std::net::IpAddr;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Packs, host};
use crate::observable::{Kind, Observable, ObservableRef};

/// What lies at or below the entries of a list: a name and all names below it, a block and
/// all in it, anything else itself; URLs and mailboxes by their host too. A look-up takes the
/// same time however long the list is, and no allocation.
#[derive(Debug, Clone, Default)]
pub struct Cover {
    packs: Packs,
    exact: FxHashMap<Kind, FxHashSet<Box<[u8]>>>,
}

impl Cover {
    /// Of a list.
    pub fn of(list: &[Observable]) -> Self {
        let mut cover = Self::default();
        for entry in list {
            match entry.kind() {
                Kind::DomainName => cover.packs.names.add(entry.wire(), 0, true),
                Kind::Netblock => cover.packs.add_block(entry.wire(), 0),
                _ => {}
            }
            cover.exact.entry(entry.kind()).or_default().insert(entry.wire().into());
        }
        cover.packs.seal();
        cover
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty()
    }

    /// Whether an observable lies at or below an entry.
    pub fn covers(&self, item: ObservableRef<'_>) -> bool {
        if self.is_empty() {
            return false;
        }
        self.has(item.kind, item.wire)
            || match item.kind {
                Kind::DomainName => self.name(item.wire),
                Kind::Ipv4Addr | Kind::Ipv6Addr => item.ip().is_some_and(|ip| self.address(ip)),
                Kind::Netblock => self.packs.block(item.wire).is_some(),
                Kind::Url | Kind::EmailAddr => match host::of(item) {
                    Some(host::Host::Ip(ip)) => self.address(ip),
                    Some(host::Host::Name(wire)) => self.name(wire.as_slice()),
                    None => false,
                },
                _ => false,
            }
    }

    fn has(&self, kind: Kind, wire: &[u8]) -> bool {
        self.exact.get(&kind).is_some_and(|entries| entries.contains(wire))
    }

    fn name(&self, wire: &[u8]) -> bool {
        self.packs.names.find(wire, |_| false).is_some() || self.has(Kind::DomainName, wire)
    }

    fn address(&self, ip: IpAddr) -> bool {
        let exact = match ip {
            IpAddr::V4(a) => self.has(Kind::Ipv4Addr, &a.octets()),
            IpAddr::V6(a) => self.has(Kind::Ipv6Addr, &a.octets()),
        };
        exact || self.packs.address(ip).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Policy;

    fn parse(text: &str) -> Observable {
        Observable::parse(text).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn it_covers_what_the_plain_comparison_covers() {
        let lists: [&[&str]; 5] = [
            &["corp.example.com", "AS64500", "someone@else.org"],
            &["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"],
            &["com.", "10.0.0.0/8", "https://site.net/a"],
            &["192.0.2.128/25", "192.0.2.0/24"],
            &[],
        ];
        let items = [
            "corp.example.com",
            "a.b.corp.example.com",
            "xcorp.example.com",
            "example.com",
            "hostmaster@corp.example.com",
            "https://u:p@www.corp.example.com:8443/x?y#z",
            "someone@else.org",
            "other@else.org",
            "AS64500",
            "192.0.2.9",
            "192.0.2.200",
            "192.0.3.9",
            "http://192.0.2.9/",
            "http://198.51.100.7/",
            "https://[2001:db8::1]/",
            "2001:db8::1",
            "192.0.2.0/25",
            "192.0.0.0/16",
            "https://site.net/a",
            "https://site.net/b",
            "10.9.8.7",
        ];
        for list in lists {
            let entries: Vec<Observable> = list.iter().map(|t| parse(t)).collect();
            let cover = Cover::of(&entries);
            for item in items.map(parse) {
                let plain = Policy::covers(&entries, &item);
                assert_eq!(cover.covers(item.as_ref()), plain, "{item} by {list:?}");
            }
        }
        let own = Cover::of(&[parse("corp.example.com"), parse("192.0.2.0/24")]);
        for inside in ["hostmaster@corp.example.com", "http://192.0.2.9/", "https://www.corp.example.com/"] {
            assert!(own.covers(parse(inside).as_ref()), "{inside}");
        }
    }
}
