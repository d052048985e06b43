//! What the tiny internet answers: a pure function of (world, source, key, type, round).

use std::collections::BTreeSet;

use kudzu_shared::fact::{Fact, FactName, FactValue};
use kudzu_shared::marking::Tlp;
use kudzu_shared::observable::{Kind, Observable};
use kudzu_shared::outcome::{Answer, Question, Total, Verdict};
use kudzu_shared::pair::{Pair, Relation};

use super::rng::hash;
use super::world::{EPOCH, Seen, Wild, World};

/// Links of an alias chain that a resolver follows.
const LINKS: usize = 8;

/// One ask of a plan, as a source sees it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub source: &'a str,
    pub types: &'a [String],
    pub limit: u32,
}

/// Whether a label is one that only a wildcard probe asks for.
pub fn is_probe(key: &Observable) -> bool {
    let wire = key.wire();
    key.kind() == Kind::DomainName
        && wire.first() == Some(&16)
        && wire[1..17].iter().all(u8::is_ascii_hexdigit)
}

impl World {
    /// What the wanted questions (`mask`) bring in a round (0 is the first).
    pub fn answer(&self, asked: Asked<'_>, key: &Observable, mask: u32, round: u8) -> Answer {
        let mut answer = Answer::default();
        for index in (0..asked.types.len().max(1) as u8).filter(|i| mask & (1 << i) != 0) {
            let kind = asked.types.get(usize::from(index)).map_or("", String::as_str);
            let verdict = match self.fault(asked.source, kind, key, round) {
                Some(verdict) => verdict,
                None => self.question(asked, kind, key, &mut answer),
            };
            answer.questions.push(Question { index, verdict, tries: 1, rtt_us: 100, upstream: 0 });
        }
        answer
    }

    /// Faults of a wildcard zone hit all names that nobody registered alike.
    fn fault(&self, source: &str, kind: &str, key: &Observable, round: u8) -> Option<Verdict> {
        let wire = if is_probe(key) { &key.wire()[17..] } else { key.wire() };
        let h = hash(self.seed, &[source.as_bytes(), kind.as_bytes(), wire]);
        let transient = [Verdict::Timeout, Verdict::ServFail, Verdict::Unreachable, Verdict::Breaker];
        let lasting = [Verdict::Refused, Verdict::Malformed, Verdict::Limit, Verdict::Poison];
        let which = (h >> 32) as usize % 4;
        match h % 1000 {
            0..30 => Some(transient[which]),
            30..90 => (u64::from(round) <= (h >> 40) % 3).then_some(transient[which]),
            90..110 => Some(lasting[which]),
            110..115 => Some(Verdict::Throttled),
            _ => None,
        }
    }

    fn question(&self, asked: Asked<'_>, kind: &str, key: &Observable, out: &mut Answer) -> Verdict {
        let before = (out.pairs.len(), out.facts.len());
        let none = match asked.source {
            "dns.name" => self.live(kind, key, out),
            "dns.addr" => self.each(self.ptr.get(key), key, Relation::ReverseName, out),
            "pdns.addr" => self.seen_here(asked.limit, key, out),
            "pdns.name" => self.seen_there(key, out),
            "pdns.rdata" => self.users(asked.limit, key, out),
            "certs" => self.certified(key, out),
            "rdap" => self.registered(key, out),
            "mine" => self.file(key, out),
            other => panic!("{other} must never be asked about {key}"),
        };
        if let Verdict::Loop | Verdict::NxDomain = none {
            return none;
        }
        if before == (out.pairs.len(), out.facts.len()) { none } else { Verdict::Found }
    }

    fn live(&self, kind: &str, key: &Observable, out: &mut Answer) -> Verdict {
        match kind {
            "A" => self.resolve(Kind::Ipv4Addr, key, out),
            "AAAA" => self.resolve(Kind::Ipv6Addr, key, out),
            "NS" => self.each(self.ns.get(key), key, Relation::NameServer, out),
            "MX" => self.each(self.mx.get(key), key, Relation::MailExchange, out),
            _ => {
                let text = FactValue::Text(format!("v=spf1 {kind} \u{1b}[31m"));
                out.facts.push(Fact {
                    subject: key.clone(),
                    name: FactName::Text,
                    value: text,
                    personal: false,
                });
                Verdict::NoData
            }
        }
    }

    /// Follows aliases; each link is a pair of its own key.
    fn resolve(&self, family: Kind, key: &Observable, out: &mut Answer) -> Verdict {
        let (mut at, mut visited) = (key.clone(), BTreeSet::new());
        for _ in 0..LINKS {
            if !visited.insert(at.clone()) {
                return Verdict::Loop;
            }
            let wild = self.wildcard(&at);
            let links = match &wild {
                Some(w) => w.alias.clone().into_iter().collect(),
                None => self.alias.get(&at).cloned().unwrap_or_default(),
            };
            for next in &links {
                out.pairs.push(Pair::new(at.clone(), Relation::AliasOf, next.clone()));
            }
            if let Some(next) = links.first() {
                at = next.clone();
                continue;
            }
            let found: Vec<Observable> = match wild {
                Some(w) => w.addresses,
                None => self.address.get(&at).into_iter().flatten().cloned().collect(),
            };
            for a in found.into_iter().filter(|a| a.kind() == family) {
                out.pairs.push(Pair::new(at.clone(), Relation::ResolvesTo, a));
            }
            return if self.exists(&at) || self.wildcard(&at).is_some() {
                Verdict::NoData
            } else {
                let (name, value) = (FactName::NameAbsent, FactValue::Yes);
                out.facts.push(Fact { subject: at, name, value, personal: false });
                Verdict::NxDomain
            };
        }
        Verdict::Loop
    }

    /// The wildcard that answers for a name which is not there itself.
    pub fn wildcard(&self, n: &Observable) -> Option<Wild> {
        if self.exists(n) {
            return None;
        }
        let mut at = n.name()?.parent();
        while let Some(zone) = at {
            if let Some(wild) = self.wild.get(&Observable::from_name(&zone)) {
                return Some(wild.clone());
            }
            at = zone.parent();
        }
        None
    }

    fn each(
        &self,
        values: Option<&BTreeSet<Observable>>,
        key: &Observable,
        relation: Relation,
        out: &mut Answer,
    ) -> Verdict {
        let values = values.into_iter().flatten();
        out.pairs.extend(values.map(|v| Pair::new(key.clone(), relation, v.clone())));
        Verdict::NoData
    }

    fn capped(&self, mut rows: Vec<Pair>, limit: u32, out: &mut Answer) -> Verdict {
        rows.sort();
        let total = rows.len() as u64 + self.beyond;
        if let Some(row) = rows.first().filter(|_| total > rows.len().min(limit as usize) as u64) {
            out.totals.push(Total { key: row.key.clone(), relation: row.relation, total });
        }
        rows.truncate(limit as usize);
        out.pairs.extend(rows);
        Verdict::NotFound
    }

    fn seen_here(&self, limit: u32, key: &Observable, out: &mut Answer) -> Verdict {
        let here = self.history.iter().filter(|((_, a), _)| a == key);
        let rows = here.map(|((n, a), at)| pair(a, Relation::HostedName, n, *at)).collect();
        self.capped(rows, limit, out)
    }

    fn seen_there(&self, key: &Observable, out: &mut Answer) -> Verdict {
        let there = self.history.iter().filter(|((n, _), _)| n == key);
        out.pairs.extend(there.map(|((n, a), at)| pair(n, Relation::SeenOn, a, *at)));
        // What live DNS says too, with times: the same pair from two sources.
        for ns in self.ns.get(key).into_iter().flatten() {
            out.pairs.push(pair(key, Relation::NameServer, ns, (Some(EPOCH), None)));
        }
        Verdict::NotFound
    }

    fn users(&self, limit: u32, key: &Observable, out: &mut Answer) -> Verdict {
        for (map, relation) in [(&self.ns, Relation::NameServerOf), (&self.mx, Relation::MailExchangeOf)] {
            let users = map.iter().filter(|(_, used)| used.contains(key));
            let rows = users.map(|(user, _)| pair(key, relation, user, (None, Some(EPOCH)))).collect();
            self.capped(rows, limit, out);
        }
        Verdict::NotFound
    }

    fn certified(&self, key: &Observable, out: &mut Answer) -> Verdict {
        if key.kind() == Kind::X509Certificate {
            let (name, value) = (FactName::NotBefore, FactValue::Time(EPOCH));
            out.facts.push(Fact { subject: key.clone(), name, value, personal: false });
            return self.each(self.certificates.get(key), key, Relation::CertificateName, out);
        }
        let own = self.certificates.iter().filter(|(_, names)| names.contains(key));
        out.pairs.extend(own.map(|(c, _)| Pair::new(key.clone(), Relation::NamedInCertificate, c.clone())));
        Verdict::NotFound
    }

    fn registered(&self, key: &Observable, out: &mut Answer) -> Verdict {
        if let Some(who) = self.registrant.get(key) {
            let mut pair = Pair::new(key.clone(), Relation::RegisteredBy, who.clone()).personal();
            pair.marking = Tlp::Green;
            out.pairs.push(pair);
            let (name, value) = (FactName::Registered, FactValue::Time(EPOCH + 5));
            out.facts.push(Fact { subject: key.clone(), name, value, personal: false });
        }
        Verdict::NotFound
    }

    fn file(&self, key: &Observable, out: &mut Answer) -> Verdict {
        let rows = self.mine.get(key).into_iter().flatten();
        out.pairs.extend(rows.map(|(r, v, at)| pair(key, *r, v, *at)));
        Verdict::NotFound
    }
}

fn pair(key: &Observable, relation: Relation, value: &Observable, (first, last): Seen) -> Pair {
    Pair::new(key.clone(), relation, value.clone()).seen(first, last)
}
