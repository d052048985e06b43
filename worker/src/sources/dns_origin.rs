//! `dns.origin`: who announces an address, and what an AS is called, from a DNS zone as
//! Team Cymru serves it.
//!
//! Text of an address: `64500 | 192.0.2.0/24 | US | arin | 1991-01-01`, with several numbers
//! where several announce it. Text of an AS: `64500 | US | arin | 1991-01-01 | NAME, US`.

use kudzu_dns::{Data, RecordType, Reply, chain};
use kudzu_shared::config;
use kudzu_shared::fact::{FactName, FactValue};
use kudzu_shared::observable::{Kind, Name, Observable};
use kudzu_shared::outcome::Verdict;
use kudzu_shared::pair::Relation;
use kudzu_shared::source::{Contact, SourceInfo};

use super::dns_name::{info, ttl, verdict};
use super::{Asked, DnsQuestion, DnsSource, Found, Source, Work, digest};

/// Origin AS numbers read of one text.
const MAX_ORIGINS: usize = 32;

/// Origin AS, prefix and AS names over DNS.
#[derive(Debug)]
pub struct DnsOrigin {
    info: SourceInfo,
    v4: Option<Name>,
    v6: Option<Name>,
    asn: Option<Name>,
}

impl DnsOrigin {
    /// Over the resolvers and zones of the settings.
    pub fn new(dns: &config::Dns) -> Self {
        let doc = "AS and prefix that announce an address, name of an AS";
        let takes = vec![Kind::Ipv4Addr, Kind::Ipv6Addr, Kind::AutonomousSystem];
        let mut info =
            info("dns.origin", doc, takes, vec![Relation::AnnouncedBy, Relation::WithinNetblock], dns);
        let zones = [&dns.origin_zone, &dns.origin6_zone, &dns.as_zone];
        // The zone's owner is asked, not the target's.
        info.contact = Contact::ThirdParty;
        info.endpoint = Some(zones.map(String::as_str).join(", "));
        info.digest =
            digest([format!("{:x}", info.digest).as_str()].into_iter().chain(zones.map(String::as_str)));
        let [v4, v6, asn] = zones.map(|z| Name::from_text(z));
        Self { info, v4, v6, asn }
    }
}

impl Source for DnsOrigin {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn work(&self) -> Work<'_> {
        Work::Dns(self)
    }
}

impl DnsOrigin {
    fn question_name(&self, key: &Observable) -> Option<Box<[u8]>> {
        match key.kind() {
            Kind::Ipv4Addr => Some(kudzu_dns::name::reverse(key.ip()?, Some(self.v4.as_ref()?.wire()))),
            Kind::Ipv6Addr => Some(kudzu_dns::name::reverse(key.ip()?, Some(self.v6.as_ref()?.wire()))),
            Kind::AutonomousSystem => {
                let label = key.to_string();
                let labels = std::iter::once(label.as_bytes()).chain(self.asn.as_ref()?.labels());
                Some(Name::from_labels(labels)?.wire().into())
            }
            _ => None,
        }
    }
}

impl DnsSource for DnsOrigin {
    fn build(&self, asked: &Asked<'_>) -> Vec<DnsQuestion> {
        let question = |name| DnsQuestion { index: 0, name, qtype: RecordType::TXT };
        self.question_name(asked.key).map(question).into_iter().collect()
    }

    fn parse(&self, asked: &Asked<'_>, _index: u8, reply: &Reply, found: &mut Found) -> Verdict {
        let Some(owner) = self.question_name(asked.key) else { return Verdict::FormErr };
        let chain = chain(&owner, RecordType::TXT, &reply.records);
        let before = (found.pairs.len(), found.facts.len());
        for record in &chain.found {
            if let Data::Txt(strings) = &record.data {
                let text = strings.concat();
                let text = String::from_utf8_lossy(&text);
                let fields: Vec<&str> = text.split('|').map(str::trim).collect();
                match asked.key.kind() {
                    Kind::AutonomousSystem => name_of(asked.key, &fields, found),
                    _ => origin_of(asked.key, &fields, found),
                }
            }
        }
        found.keep(ttl(&chain, reply));
        let brought = (found.pairs.len(), found.facts.len()) != before;
        match verdict(reply.verdict, brought) {
            // Text that cannot be read, or that is about something else, is not nothing.
            Verdict::NoData if !chain.found.is_empty() => Verdict::Malformed,
            verdict => verdict,
        }
    }
}

fn origin_of(key: &Observable, fields: &[&str], found: &mut Found) {
    let [numbers, prefix, rest @ ..] = fields else { return };
    let block = Observable::parse_as(Kind::Netblock, prefix).ok();
    // A prefix that does not hold the address answers another question.
    let policy = |b: &Observable| kudzu_shared::job::Policy::covers(std::slice::from_ref(b), key);
    let Some(block) = block.filter(policy) else { return };
    for number in numbers.split_ascii_whitespace().take(MAX_ORIGINS) {
        if let Ok(asn) = number.parse::<u32>() {
            found.pair(key, Relation::AnnouncedBy, Observable::from_asn(asn));
            found.pair(&block, Relation::AnnouncedBy, Observable::from_asn(asn));
        }
    }
    if let Some(code) = rest.first() {
        country(&block, code, found);
    }
    found.pair(key, Relation::WithinNetblock, block);
}

fn name_of(key: &Observable, fields: &[&str], found: &mut Found) {
    let [number, code, _, _, name, ..] = fields else { return };
    if key.to_string().strip_prefix("AS") != Some(*number) {
        return;
    }
    country(key, code, found);
    found.text(key, FactName::Label, name);
}

/// A country code, where it is one (ISO 3166-1 alpha-2).
pub(super) fn country(subject: &Observable, code: &str, found: &mut Found) {
    if code.len() == 2 && code.bytes().all(|b| b.is_ascii_alphabetic()) {
        found.fact(subject, FactName::Country, FactValue::Text(code.to_ascii_uppercase()));
    }
}

#[cfg(test)]
#[path = "dns_origin_tests.rs"]
mod tests;
