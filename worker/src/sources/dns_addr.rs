//! `dns.addr`: the names that an address has in the reverse tree, live.

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
        let question =
            |ip| DnsQuestion { index: 0, name: kudzu_dns::name::reverse(ip, None), qtype: RecordType::PTR };
        asked.key.ip().map(question).into_iter().collect()
    }

    fn parse(&self, asked: &Asked<'_>, _index: u8, reply: &Reply, found: &mut Found) -> Verdict {
        let Some(ip) = asked.key.ip() else { return Verdict::FormErr };
        let owner = kudzu_dns::name::reverse(ip, None);
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

#[cfg(test)]
#[path = "dns_addr_tests.rs"]
mod tests;
