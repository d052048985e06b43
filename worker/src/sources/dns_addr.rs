//! `dns.addr`: the names that an address has in the reverse tree, live.

use std::net::IpAddr;

use kudzu_dns::{Data, RecordType, Reply, chain};
use kudzu_shared::config;
use kudzu_shared::observable::Kind;
use kudzu_shared::outcome::Verdict;
use kudzu_shared::pair::Relation;
use kudzu_shared::source::SourceInfo;

use super::dns_name::{info, name, ttl, verdict};
use super::{Asked, DnsQuestion, DnsSource, Found, Source, Work};

/// Reverse DNS.
#[derive(Debug)]
pub struct DnsAddr {
    info: SourceInfo,
}

impl DnsAddr {
    /// Over the resolvers of the settings.
    pub fn new(dns: &config::Dns) -> Self {
        let doc = "names of an address in the reverse tree";
        let takes = vec![Kind::Ipv4Addr, Kind::Ipv6Addr];
        Self { info: info("dns.addr", doc, takes, vec![Relation::ReverseName], dns) }
    }
}

impl Source for DnsAddr {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn work(&self) -> Work<'_> {
        Work::Dns(self)
    }
}

impl DnsSource for DnsAddr {
    fn build(&self, asked: &Asked<'_>) -> Vec<DnsQuestion> {
        let question = |ip| DnsQuestion { index: 0, name: reverse_name(ip, None), qtype: RecordType::PTR };
        asked.key.ip().map(question).into_iter().collect()
    }

    fn parse(&self, asked: &Asked<'_>, _index: u8, reply: &Reply, found: &mut Found) -> Verdict {
        let Some(ip) = asked.key.ip() else { return Verdict::FormErr };
        let owner = reverse_name(ip, None);
        // Classless delegations (RFC 2317) put an alias before the pointer.
        let chain = chain(&owner, RecordType::PTR, &reply.records);
        let before = found.pairs.len();
        for record in &chain.found {
            if let Data::Name(target) = &record.data
                && let Some(value) = name(target)
            {
                found.pair(asked.key, Relation::ReverseName, value);
            }
        }
        found.keep(ttl(&chain, reply));
        verdict(reply.verdict, found.pairs.len() > before)
    }
}

/// The name of an address in the reverse tree (RFC 1035 section 3.5, RFC 3596 section 2.5),
/// in wire form; below `zone` (wire form) instead of the usual one where it is given.
pub(super) fn reverse_name(ip: IpAddr, zone: Option<&[u8]>) -> Box<[u8]> {
    let mut wire = Vec::with_capacity(80);
    match ip {
        IpAddr::V4(a) => {
            for octet in a.octets().iter().rev() {
                let text = octet.to_string();
                // One to three digits.
                wire.push(text.len() as u8);
                wire.extend(text.bytes());
            }
            wire.extend(zone.unwrap_or(b"\x07in-addr\x04arpa\x00"));
        }
        IpAddr::V6(a) => {
            for octet in a.octets().iter().rev() {
                for nibble in [octet & 15, octet >> 4] {
                    wire.extend([1, b"0123456789abcdef"[usize::from(nibble)]]);
                }
            }
            wire.extend(zone.unwrap_or(b"\x03ip6\x04arpa\x00"));
        }
    }
    wire.into()
}

#[cfg(test)]
#[path = "dns_addr_tests.rs"]
mod tests;
