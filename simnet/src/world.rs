//! The world as its sources see it, whether generated or loaded.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use crate::file::LoadError;
use crate::generated::Generated;
use crate::model::{
    Autnum, Certificate, IpNetwork, PdnsAnswer, PdnsRow, RData, Rcode, Record, Registrant, Registration,
    Verdict, rtype,
};
use crate::name::Name;
use crate::pdns::Rows;
use crate::rdap;
use crate::truth::Truth;

/// Longest CNAME chain that is put into one answer.
const MAX_CHAIN: usize = 64;

/// What to generate.
#[derive(Clone, Debug, PartialEq)]
pub struct WorldSpec {
    /// Everything follows from it.
    pub seed: u64,
    /// 1.0 gives 60,000 ordinary domains.
    pub scale: f64,
    /// Whether there is an attack campaign to find.
    pub campaign: bool,
}

impl Default for WorldSpec {
    fn default() -> Self {
        Self { seed: 1, scale: 1.0, campaign: true }
    }
}

/// One step of resolution, without following aliases.
#[derive(Debug)]
pub(crate) enum Step {
    /// The records are in the buffer.
    Found,
    /// An alias is in the buffer; go on with its target.
    Alias(Name),
    /// A verdict without records.
    End(Verdict),
}

impl Step {
    pub(crate) fn negative(rcode: Rcode, soa: Record) -> Self {
        Self::End(Verdict { rcode, authority: Some(soa) })
    }
}

/// What a world has to know; both kinds of world implement it.
pub(crate) trait Internet: Send + Sync + std::fmt::Debug {
    fn as_of(&self) -> i64;
    fn truth(&self) -> Truth;
    fn step(&self, name: &[u8], qtype: u16, out: &mut Vec<Record>) -> Step;
    fn pdns(self: Arc<Self>, query: &PdnsQuery) -> Rows;
    fn registration(&self, domain: &str) -> Option<Registration>;
    fn registered_by(&self, email: &str) -> Vec<String>;
    /// Top-level domains whose registry this world has.
    fn tlds(&self) -> Vec<String>;
    fn network(&self, addr: IpAddr) -> Option<IpNetwork>;
    fn autnum(&self, number: u32) -> Option<Autnum>;
    fn entity(&self, handle: &str) -> Option<Registrant>;
    fn certs_by_name(&self, name: &str, subdomains: bool) -> Vec<Certificate>;
    fn cert(&self, sha256: &str) -> Option<Certificate>;
}

/// What passive DNS is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PdnsQuery {
    /// Rows of which this is the owner.
    Name(Name),
    /// Rows of which this is the data.
    Addr(IpAddr),
    /// Rows whose data is this host.
    Rdata(Name),
    /// Both, as services of the Common Output Format answer a name.
    Either(Name),
}

impl PdnsQuery {
    /// Reads `<address>`, `<name>` or `rdata/<name>`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(host) = text.strip_prefix("rdata/") {
            return match host.parse() {
                Ok(addr) => Some(Self::Addr(addr)),
                Err(_) => Name::from_text(host).map(|name| Self::Rdata(name.lowercase())),
            };
        }
        match text.parse() {
            Ok(addr) => Some(Self::Addr(addr)),
            Err(_) => Name::from_text(text).map(|name| Self::Name(name.lowercase())),
        }
    }
}

/// A simulated internet; clones share it.
#[derive(Clone, Debug)]
pub struct World {
    inner: Arc<dyn Internet>,
}

impl World {
    /// Generates a world; the same spec gives the same answers for ever.
    #[must_use]
    pub fn generate(spec: &WorldSpec) -> Self {
        Self { inner: Arc::new(Generated::new(spec)) }
    }

    /// Loads a world file (docs/WORLDS.md).
    ///
    /// # Errors
    /// Says which file, and where in it, cannot be used.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        Ok(Self { inner: Arc::new(crate::file::load(path)?) })
    }

    /// What is planned in this world, and what only looks like it.
    #[must_use]
    pub fn truth(&self) -> Truth {
        self.inner.truth()
    }

    /// The fixed present of this world, unix seconds.
    #[must_use]
    pub fn as_of(&self) -> i64 {
        self.inner.as_of()
    }

    /// Where an investigation starts.
    #[must_use]
    pub fn seeds(&self) -> Vec<String> {
        self.truth().seeds
    }

    /// Resolves as a recursive resolver does; the name is a wire name in lower case.
    pub fn dns(&self, qname: &[u8], qtype: u16, out: &mut Vec<Record>) -> Verdict {
        let mut next = match self.inner.step(qname, qtype, out) {
            Step::Found => return Verdict::of(Rcode::NoError),
            Step::End(verdict) => return verdict,
            Step::Alias(target) => target,
        };
        if qtype == rtype::CNAME {
            return Verdict::of(Rcode::NoError);
        }
        for _ in 1..MAX_CHAIN {
            // A loop is answered with each of its links once: the client has to see it for itself.
            let seen = out.iter().any(|r| r.rtype == rtype::CNAME && r.name.as_wire() == next.as_wire());
            if seen {
                return Verdict::of(Rcode::NoError);
            }
            match self.inner.step(next.as_wire(), qtype, out) {
                Step::Found => return Verdict::of(Rcode::NoError),
                Step::End(verdict) => return verdict,
                Step::Alias(target) => next = target,
            }
        }
        out.clear();
        Verdict::of(Rcode::ServFail)
    }

    /// Asks passive DNS; an unreadable query has no rows.
    #[must_use]
    pub fn pdns(&self, query: &str, limit: usize) -> PdnsAnswer {
        match PdnsQuery::parse(query) {
            Some(query) => {
                let rows = self.pdns_rows(&query);
                let total = rows.total();
                PdnsAnswer { rows: rows.take(limit).collect::<Vec<PdnsRow>>(), total }
            }
            None => PdnsAnswer { rows: Vec::new(), total: 0 },
        }
    }

    /// Asks passive DNS; rows come one by one, newest first.
    #[must_use]
    pub fn pdns_rows(&self, query: &PdnsQuery) -> Rows {
        Arc::clone(&self.inner).pdns(query)
    }

    /// Answers an RDAP path such as `/domain/example.com`; links are made with `base`.
    #[must_use]
    pub fn rdap(&self, path: &str, base: &str) -> rdap::Answer {
        rdap::answer(self, path, base)
    }

    /// The registration of a domain.
    #[must_use]
    pub fn registration(&self, domain: &str) -> Option<Registration> {
        self.inner.registration(domain)
    }

    /// The domains whose registrant shows this mail address (RFC 9536), sorted.
    #[must_use]
    pub fn registered_by(&self, email: &str) -> Vec<String> {
        self.inner.registered_by(email)
    }

    /// The top-level domains whose registrations can be asked for.
    pub(crate) fn tlds(&self) -> Vec<String> {
        self.inner.tlds()
    }

    /// The registered network around an address.
    #[must_use]
    pub fn network(&self, addr: IpAddr) -> Option<IpNetwork> {
        self.inner.network(addr)
    }

    /// An autonomous system.
    #[must_use]
    pub fn autnum(&self, number: u32) -> Option<Autnum> {
        self.inner.autnum(number)
    }

    /// A person or organisation by its registry handle.
    #[must_use]
    pub fn entity(&self, handle: &str) -> Option<Registrant> {
        self.inner.entity(handle)
    }

    /// Certificates for a name, for `%.name`, or with a fingerprint; newest first.
    #[must_use]
    pub fn certs(&self, query: &str) -> Vec<Certificate> {
        let query = query.trim().trim_end_matches('.').to_ascii_lowercase();
        if query.len() == 64 && query.bytes().all(|b| b.is_ascii_hexdigit()) {
            return self.inner.cert(&query).into_iter().collect();
        }
        let (name, subdomains) = match query.strip_prefix("%.") {
            Some(name) => (name, true),
            None => (query.as_str(), false),
        };
        let mut found = self.inner.certs_by_name(name, subdomains);
        found.sort_by(|a, b| b.not_before.cmp(&a.not_before).then_with(|| a.sha256.cmp(&b.sha256)));
        found.dedup_by(|a, b| a.sha256 == b.sha256);
        found
    }
}

/// The target of an alias record, if it is one.
pub(crate) fn alias_target(record: &Record) -> Option<&Name> {
    match &record.rdata {
        RData::Host(target) if record.rtype == rtype::CNAME => Some(target),
        _ => None,
    }
}
