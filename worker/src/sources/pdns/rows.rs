//! Rows of the Common Output Format, and the pairs they make.

use kudzu_shared::observable::{Name, Observable};
use kudzu_shared::pair::{Pair, Relation};
use kudzu_shared::time::{UnixSeconds, parse_time};
use serde::Deserialize;
use serde_json::Value;

use crate::sources::Found;
use crate::sources::dns_name::mailbox;

/// The longest line that is read.
const MAX_LINE: usize = 64 * 1024;
/// Values read of one row (version 2 of the format has lists).
const MAX_VALUES: usize = 256;

/// A row as it stands on its line.
#[derive(Debug, Deserialize)]
struct Line {
    rrname: String,
    rrtype: Value,
    rdata: Value,
    #[serde(default)]
    time_first: Value,
    #[serde(default)]
    time_last: Value,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sources) struct Row {
    /// Owner.
    pub(in crate::sources) owner: Name,
    /// Type mnemonic, in upper case.
    pub(in crate::sources) rtype: String,
    /// Data in presentation form.
    pub(in crate::sources) data: Vec<String>,
    first: Option<UnixSeconds>,
    last: Option<UnixSeconds>,
}

/// What an answer holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::sources) struct Rows {
    /// The rows that could be read.
    pub(in crate::sources) all: Vec<Row>,
    /// Lines that could not.
    pub(in crate::sources) bad: usize,
    /// How many there are at the service, where it says.
    pub(in crate::sources) total: Option<u64>,
}

/// Reads lines; at most `limit` rows. A line that cannot be read is counted. `None` where
/// the body is no text at all.
pub(in crate::sources) fn parse(body: &[u8], limit: usize, total: Option<u64>) -> Option<Rows> {
    let mut rows = Rows { total, ..Rows::default() };
    // Some services send one JSON array instead of lines.
    let listed: Option<Vec<Value>> =
        body.trim_ascii_start().starts_with(b"[").then(|| serde_json::from_slice(body).ok()).flatten();
    match listed {
        Some(list) => {
            let read = list.into_iter().map(|v| serde_json::from_value(v).ok().and_then(row));
            read.take(limit).for_each(|r| rows.push(r));
        }
        None => {
            let lines = body.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|l| !l.is_empty());
            for line in lines.take(limit) {
                rows.push(read_line(line));
            }
        }
    }
    if rows.bad > 0 {
        tracing::debug!(bad = rows.bad, rows = rows.all.len(), "rows that cannot be read");
    }
    Some(rows)
}

/// Reads one line.
pub(in crate::sources) fn read_line(line: &[u8]) -> Option<Row> {
    if line.len() > MAX_LINE {
        return None;
    }
    serde_json::from_slice(line).ok().and_then(row)
}

impl Rows {
    fn push(&mut self, row: Option<Row>) {
        match row {
            Some(row) => self.all.push(row),
            None => self.bad += 1,
        }
    }
}

fn row(line: Line) -> Option<Row> {
    let owner = Name::from_text(line.rrname.trim())?;
    let rtype = match line.rrtype {
        Value::String(text) => text.to_ascii_uppercase(),
        Value::Number(n) => kudzu_shared::rtype::name(u16::try_from(n.as_u64()?).ok()?),
        _ => return None,
    };
    let data = match line.rdata {
        Value::String(text) => vec![text],
        Value::Array(list) => list
            .into_iter()
            .take(MAX_VALUES)
            .map(|v| if let Value::String(text) = v { Some(text) } else { None })
            .collect::<Option<Vec<String>>>()?,
        _ => return None,
    };
    Some(Row { owner, rtype, data, first: time(&line.time_first), last: time(&line.time_last) })
}

/// Seconds since 1970 as a number or as digits, or RFC 3339.
fn time(value: &Value) -> Option<UnixSeconds> {
    match value {
        Value::Number(n) => n.as_i64().or_else(|| n.as_f64().map(|f| f as i64)),
        Value::String(text) => text.trim().parse().ok().or_else(|| parse_time(text)),
        _ => None,
    }
    .filter(|t| *t > 0)
}

impl Row {
    /// Its pairs as a statement about its owner; one for each value that can be read.
    pub(in crate::sources) fn forward(&self, found: &mut Found) {
        let owner = Observable::from_name(&self.owner);
        for data in &self.data {
            for (relation, value) in values(&self.rtype, data) {
                if value != owner {
                    found.pairs.push(Pair::new(owner.clone(), relation, value).seen(self.first, self.last));
                }
            }
        }
    }

    /// Its pairs as a statement about its data, where that is `key`.
    pub(in crate::sources) fn backward(&self, key: &Observable, found: &mut Found) {
        let owner = Observable::from_name(&self.owner);
        let values = self.data.iter().flat_map(|d| values(&self.rtype, d));
        for (relation, _) in values.filter(|(_, v)| v == key) {
            if let Some(back) = reverse(relation).filter(|_| owner != *key) {
                found.pairs.push(Pair::new(key.clone(), back, owner.clone()).seen(self.first, self.last));
            }
        }
    }
}

/// What the data of a row says of its owner.
fn values(rtype: &str, data: &str) -> Vec<(Relation, Observable)> {
    let data = data.trim();
    let host = |text: &str| {
        let name = Name::from_text(text)?;
        (name.wire().len() > 1).then(|| Observable::from_name(&name))
    };
    let one = |relation, value: Option<Observable>| value.map(|v| (relation, v)).into_iter().collect();
    let mut words = data.split_ascii_whitespace();
    match rtype {
        "A" | "AAAA" => one(Relation::SeenOn, data.parse().ok().map(Observable::from_ip)),
        "NS" => one(Relation::NameServer, host(data)),
        "CNAME" => one(Relation::AliasOf, host(data)),
        // With or without the preference.
        "MX" => one(Relation::MailExchange, words.last().and_then(host)),
        "SOA" => {
            let primary = words.next().and_then(host).map(|h| (Relation::PrimaryServer, h));
            let rname = words.next().and_then(Name::from_text);
            let mailbox = rname.and_then(|n| mailbox(n.wire())).map(|m| (Relation::ResponsibleMailbox, m));
            primary.into_iter().chain(mailbox).collect()
        }
        _ => Vec::new(),
    }
}

fn reverse(relation: Relation) -> Option<Relation> {
    match relation {
        Relation::SeenOn => Some(Relation::HostedName),
        Relation::NameServer => Some(Relation::NameServerOf),
        Relation::MailExchange => Some(Relation::MailExchangeOf),
        Relation::AliasOf => Some(Relation::AliasFrom),
        _ => None,
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
