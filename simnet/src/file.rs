//! World files: somebody else's world as JSON (docs/WORLDS.md).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::document::Document;
use crate::model::{
    Autnum, Certificate, IpNetwork, PdnsRow, Rcode, Record, Registrant, Registration, Verdict,
};
use crate::pdns::Rows;
use crate::tables::Tables;
use crate::truth::Truth;
use crate::world::{Internet, PdnsQuery, Step};

/// Why a world file cannot be used.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read world file {}; check the path and the permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The file is not the JSON that a world file is.
    #[error("world file {} is not well formed at line {line}, column {column}; compare docs/WORLDS.md", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line of the fault.
        line: usize,
        /// Column of the fault.
        column: usize,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A value has the wrong form.
    #[error("world file {}: {at}: {value:?} is not {expected}; correct the value", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Where in the document.
        at: String,
        /// What stands there.
        value: String,
        /// What should stand there.
        expected: &'static str,
    },
}

pub(crate) fn load(path: &Path) -> Result<Written, LoadError> {
    let text = std::fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    let document: Document = serde_json::from_slice(&text).map_err(|source| LoadError::Parse {
        path: path.to_owned(),
        line: source.line(),
        column: source.column(),
        source,
    })?;
    document.read().map_err(|bad| LoadError::Value {
        path: path.to_owned(),
        at: bad.at,
        value: bad.value,
        expected: bad.expected,
    })
}

/// A world that somebody wrote down.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) tables: Tables,
    pub(crate) as_of: i64,
    pub(crate) truth: Truth,
}

impl Internet for Written {
    fn as_of(&self) -> i64 {
        self.as_of
    }

    fn truth(&self) -> Truth {
        self.truth.clone()
    }

    fn step(&self, name: &[u8], qtype: u16, out: &mut Vec<Record>) -> Step {
        self.tables.step(name, qtype, out).unwrap_or_else(|| Step::End(Verdict::of(Rcode::NxDomain)))
    }

    fn pdns(self: Arc<Self>, query: &PdnsQuery) -> Rows {
        let table = &self.tables.rows;
        let total = |query: &PdnsQuery, rows: &[PdnsRow]| {
            table.totals.get(query).copied().unwrap_or(rows.len() as u64)
        };
        let (rows, total) = match query {
            PdnsQuery::Name(name) => {
                let rows = table.of_owner(&name.to_string());
                let total = total(query, &rows);
                (rows, total)
            }
            PdnsQuery::Addr(addr) => {
                let rows = table.of_rdata(&addr.to_string());
                let total = total(query, &rows);
                (rows, total)
            }
            PdnsQuery::Rdata(host) => {
                let rows = table.of_rdata(&host.to_string());
                let total = total(query, &rows);
                (rows, total)
            }
            PdnsQuery::Either(name) => {
                let mut rows = table.of_owner(&name.to_string());
                let mut sum = total(&PdnsQuery::Name(name.clone()), &rows);
                let others = table.of_rdata(&name.to_string());
                sum += total(&PdnsQuery::Rdata(name.clone()), &others);
                rows.extend(others);
                (rows, sum)
            }
        };
        Rows::new(rows, Vec::new()).with_total(Some(total))
    }

    fn registration(&self, domain: &str) -> Option<Registration> {
        self.tables.registrations.get(domain).cloned()
    }

    fn registered_by(&self, email: &str) -> Vec<String> {
        self.tables.registered_by(email)
    }

    fn tlds(&self) -> Vec<String> {
        let registrations = self.tables.registrations.values();
        let names = registrations.flat_map(|r| [r.domain.as_str(), r.registrant.email.as_str()]);
        let last = names.filter_map(|n| n.rsplit(['.', '@']).next()).filter(|tld| !tld.is_empty());
        let tlds: BTreeSet<String> = last.map(str::to_ascii_lowercase).collect();
        tlds.into_iter().collect()
    }

    fn network(&self, addr: IpAddr) -> Option<IpNetwork> {
        self.tables.network(addr)
    }

    fn autnum(&self, number: u32) -> Option<Autnum> {
        self.tables.autnums.get(&number).cloned()
    }

    fn entity(&self, handle: &str) -> Option<Registrant> {
        self.tables.entity(handle)
    }

    fn certs_by_name(&self, name: &str, subdomains: bool) -> Vec<Certificate> {
        self.tables.certs_by_name(name, subdomains)
    }

    fn cert(&self, sha256: &str) -> Option<Certificate> {
        self.tables.cert(sha256)
    }
}
