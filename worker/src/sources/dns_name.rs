//! `dns.name`: what a name resolves to, live.

use kudzu_dns::{Chain, Data, Record, RecordType, Reply, Soa, chain};
use kudzu_shared::config;
use kudzu_shared::fact::{FactName, FactValue};
use kudzu_shared::marking::Tlp;
use kudzu_shared::observable::{Kind, Name, Observable};
use kudzu_shared::outcome::Verdict;
use kudzu_shared::pair::Relation;
use kudzu_shared::source::{Class, Contact, SourceInfo};

use super::{Asked, DnsQuestion, DnsSource, Found, Source, Work, digest, spf};

/// The types it asks; plans use their names.
const TYPES: [RecordType; 7] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::CNAME,
    RecordType::NS,
    RecordType::MX,
    RecordType::TXT,
    RecordType::SOA,
];

/// Forward DNS.
#[derive(Debug)]
pub struct DnsName {
    info: SourceInfo,
}

impl DnsName {
    /// Over the resolvers of the settings.
    pub fn new(dns: &config::Dns) -> Self {
        let returns = vec![
            Relation::ResolvesTo,
            Relation::AliasOf,
            Relation::NameServer,
            Relation::MailExchange,
            Relation::SpfInclude,
            Relation::SpfAddress,
            Relation::PrimaryServer,
            Relation::ResponsibleMailbox,
        ];
        let doc = "addresses, aliases, name servers, mail hosts, text and zone of a name";
        let mut info = info("dns.name", doc, vec![Kind::DomainName], returns, dns);
        info.types = TYPES.map(|t| t.to_string()).to_vec();
        Self { info }
    }
}

/// What all DNS sources declare.
pub(super) fn info(
    name: &str,
    doc: &str,
    takes: Vec<Kind>,
    returns: Vec<Relation>,
    dns: &config::Dns,
) -> SourceInfo {
    let mut servers: Vec<String> = match dns.encrypted.is_empty() {
        true => dns.resolvers.iter().map(ToString::to_string).collect(),
        false => dns.encrypted.clone(),
    };
    servers.sort_unstable();
    servers.dedup();
    let count = servers.len().max(1);
    // A list of thousands of resolvers is of no use in a table.
    let endpoint = match servers.len() {
        0 => "the system's resolvers".to_owned(),
        1..=4 => servers.join(", "),
        n => format!("{} and {} more resolvers", servers[0], n - 1),
    };
    SourceInfo {
        name: name.into(),
        doc: doc.into(),
        class: Class::Dns,
        takes,
        returns,
        contact: Contact::Target,
        max_tlp: dns.max_tlp,
        marking: Tlp::Clear,
        types: Vec::new(),
        endpoint: Some(endpoint),
        unavailable: None,
        credits: dns.credits,
        licensed: false,
        rate: dns.rate.map(|r| r * u32::try_from(count).map_or(1.0, f64::from)),
        digest: digest(servers.iter().map(String::as_str)),
    }
}

impl Source for DnsName {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn work(&self) -> Work<'_> {
        Work::Dns(self)
    }
}

impl DnsSource for DnsName {
    fn build(&self, asked: &Asked<'_>) -> Vec<DnsQuestion> {
        if asked.key.kind() != Kind::DomainName {
            return Vec::new();
        }
        let question = |index: u8| {
            let qtype = RecordType::from(*asked.ask.types.get(usize::from(index))?);
            Some(DnsQuestion { index, name: asked.key.wire().into(), qtype })
        };
        asked.indices().filter_map(question).collect()
    }

    fn parse(&self, asked: &Asked<'_>, index: u8, reply: &Reply, found: &mut Found) -> Verdict {
        let Some(&qtype) = asked.ask.types.get(usize::from(index)) else { return Verdict::FormErr };
        let chain = chain(asked.key.wire(), RecordType::from(qtype), &reply.records);
        let before = (found.pairs.len(), found.facts.len());
        for link in &chain.links {
            if let (Some(key), Data::Name(target)) = (name(&link.name), &link.data)
                && let Some(value) = name(target)
            {
                found.pair(&key, Relation::AliasOf, value);
            }
        }
        for record in &chain.found {
            add(record, found);
        }
        found.keep(ttl(&chain, reply));
        let brought = (found.pairs.len(), found.facts.len()) != before;
        if reply.verdict == kudzu_dns::Verdict::NxDomain
            && let Some(absent) = name(chain.end)
        {
            found.fact(&absent, FactName::NameAbsent, FactValue::Yes);
        }
        verdict(reply.verdict, brought)
    }
}

/// What a DNS verdict is here. Where aliases were found, a name at their end without
/// records, or that does not exist, is a finding too; a record that says nothing is none.
pub(super) fn verdict(dns: kudzu_dns::Verdict, brought: bool) -> Verdict {
    match dns {
        kudzu_dns::Verdict::Found | kudzu_dns::Verdict::NoData if brought => Verdict::Found,
        kudzu_dns::Verdict::NxDomain if brought => Verdict::Found,
        kudzu_dns::Verdict::Found | kudzu_dns::Verdict::NoData => Verdict::NoData,
        kudzu_dns::Verdict::NxDomain => Verdict::NxDomain,
        kudzu_dns::Verdict::ServFail | kudzu_dns::Verdict::Lame => Verdict::ServFail,
        kudzu_dns::Verdict::Refused => Verdict::Refused,
        kudzu_dns::Verdict::FormErr => Verdict::FormErr,
        kudzu_dns::Verdict::Timeout => Verdict::Timeout,
        kudzu_dns::Verdict::Loop => Verdict::Loop,
        kudzu_dns::Verdict::Limit => Verdict::Limit,
        kudzu_dns::Verdict::Malformed => Verdict::Malformed,
        // Truncated: the server's TCP does not answer.
        kudzu_dns::Verdict::Truncated | kudzu_dns::Verdict::Unreachable => Verdict::Unreachable,
    }
}

/// How long a reply may be kept: the least TTL of what was used, else the negative one.
pub(super) fn ttl(chain: &Chain<'_>, reply: &Reply) -> Option<u32> {
    let used = chain.links.iter().chain(&chain.found).map(|r| r.ttl).min();
    let negative = chain.found.is_empty().then_some(reply.negative_ttl).flatten();
    [used, negative].into_iter().flatten().min()
}

/// A name as an observable; the root is none.
pub(super) fn name(wire: &[u8]) -> Option<Observable> {
    (wire.len() > 1).then(|| Name::from_wire(wire)).flatten().map(|n| Observable::from_name(&n))
}

fn add(record: &Record, found: &mut Found) {
    let Some(owner) = name(&record.name) else { return };
    match &record.data {
        Data::A(a) => found.pair(&owner, Relation::ResolvesTo, Observable::from_ip((*a).into())),
        Data::Aaaa(a) => found.pair(&owner, Relation::ResolvesTo, Observable::from_ip((*a).into())),
        Data::Name(host) => {
            let relation = match record.rtype {
                RecordType::NS => Relation::NameServer,
                RecordType::CNAME => Relation::AliasOf,
                _ => return,
            };
            if let Some(host) = name(host) {
                found.pair(&owner, relation, host);
            }
        }
        // A host `.` says that there is none (RFC 7505); `name` leaves it out.
        Data::Mx(_, host) => {
            if let Some(host) = name(host) {
                found.pair(&owner, Relation::MailExchange, host);
            }
        }
        Data::Txt(strings) => text(&owner, strings, found),
        Data::Soa(soa) => authority(&owner, soa, found),
        Data::Raw(_) | Data::Broken(_) => {}
    }
}

fn text(owner: &Observable, strings: &[Box<[u8]>], found: &mut Found) {
    // Strings are joined without anything between them (RFC 7208 section 3.3).
    let text = strings.concat();
    let named = spf::parse(&text).filter(|s| !s.is_empty());
    match named {
        Some(spf) => {
            spf.includes.into_iter().for_each(|n| found.pair(owner, Relation::SpfInclude, n));
            spf.addresses.into_iter().for_each(|a| found.pair(owner, Relation::SpfAddress, a));
        }
        None => found.text(owner, FactName::Text, &String::from_utf8_lossy(&text)),
    }
}

fn authority(owner: &Observable, soa: &Soa, found: &mut Found) {
    if let Some(primary) = name(&soa.mname) {
        found.pair(owner, Relation::PrimaryServer, primary);
    }
    if let Some(mailbox) = mailbox(&soa.rname) {
        found.pair(owner, Relation::ResponsibleMailbox, mailbox);
    }
}

/// The mailbox that a name encodes: its first label is the local part (RFC 1035 section 8).
pub(super) fn mailbox(rname: &[u8]) -> Option<Observable> {
    let name = Name::from_wire(rname)?;
    let local = std::str::from_utf8(name.labels().next()?).ok()?;
    // Servers that write the `@` as it is meant to be written elsewhere.
    if local.contains('@') {
        return Observable::parse_as(Kind::EmailAddr, &name.to_string().replace("\\@", "@")).ok();
    }
    let domain = name.parent().filter(|d| d.wire().len() > 1)?;
    Observable::parse_as(Kind::EmailAddr, &format!("{local}@{domain}")).ok()
}

#[cfg(test)]
#[path = "dns_name_tests.rs"]
mod tests;
