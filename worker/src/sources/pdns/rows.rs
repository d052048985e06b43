//! Rows of the Common Output Format, and the pairs they make.

use std::net::IpAddr;

use kudzu_shared::observable::{Name, Observable};
use kudzu_shared::pair::{Pair, Relation};
use kudzu_shared::time::{UnixSeconds, parse_time};
use serde::Deserialize;
use serde_json::Value;

use crate::sources::dns_name::mailbox;
use crate::sources::{Found, json};

/// The longest line that is read.
const MAX_LINE: usize = 64 * 1024;
/// Values read of one row (version 2 of the format has lists).
const MAX_VALUES: usize = 256;

/// Types that say something.
const USED: [&str; 6] = ["A", "AAAA", "NS", "CNAME", "MX", "SOA"];

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
    /// Lines that were not looked at, and rows that were not sent.
    pub(in crate::sources) missing: u64,
}

/// What a service says of rows that it did not send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::sources) struct Told {
    /// How many there are.
    pub(in crate::sources) total: Option<u64>,
    /// Whether there are more than it sent.
    pub(in crate::sources) more: bool,
}

/// How a row that brings nothing bears on a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sources) enum Bearing {
    /// Of a type that is not used.
    Unused,
    /// It is about the key, and was understood.
    About,
    /// It is about something else.
    Foreign,
    /// It may be about the key: what it says cannot be read.
    Unreadable,
}

/// Reads lines; at most `limit` of them. A line that cannot be read is counted.
pub(in crate::sources) fn parse(body: &[u8], limit: usize, told: Told) -> Rows {
    let mut read: Vec<Option<Line>> = Vec::new();
    let mut lines = 0_usize;
    let mut take = |line: &[u8]| {
        lines += 1;
        if lines <= limit {
            read.push(line_of(line));
        }
    };
    // Some services send one JSON array instead of lines.
    let listed = body.trim_ascii_start().starts_with(b"[");
    if listed && json::each(body, |row| take(row.get().as_bytes())).is_none() {
        // Where it breaks off, what it would have held is not known.
        return Rows { bad: 1, ..Rows::default() };
    }
    if !listed {
        body.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|l| !l.is_empty()).for_each(take);
    }
    let swapped = read.iter().flatten().any(Line::is_swapped);
    let mut rows = Rows::default();
    read.into_iter().for_each(|line| rows.push(line.and_then(|l| rows_of(l, swapped))));
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let sent = count(lines);
    let total = told.total.unwrap_or(0).max(sent).max(if told.more { sent + 1 } else { 0 });
    rows.missing = total - count(lines.min(limit));
    if rows.bad > 0 {
        tracing::debug!(bad = rows.bad, rows = rows.all.len(), "rows that cannot be read");
    }
    rows
}

/// Reads one line that stands alone: mostly one row.
pub(in crate::sources) fn read_line(line: &[u8]) -> Option<Vec<Row>> {
    let line = line_of(line)?;
    let swapped = line.is_swapped();
    rows_of(line, swapped)
}

fn line_of(line: &[u8]) -> Option<Line> {
    if line.len() > MAX_LINE {
        return None;
    }
    serde_json::from_slice(line).ok()
}

impl Line {
    /// Whether the data stands in front and the names behind it, as some services answer:
    /// nobody is called by an address, or by a mail host's preference.
    fn is_swapped(&self) -> bool {
        let (front, rtype) = (self.rrname.trim(), self.rrtype.as_str().unwrap_or_default());
        let preference = || front.split_once(' ').is_some_and(|(n, _)| n.parse::<u16>().is_ok());
        match rtype.to_ascii_uppercase().as_str() {
            "A" | "AAAA" => is_address(front),
            "MX" => preference(),
            _ => false,
        }
    }
}

impl Rows {
    fn push(&mut self, rows: Option<Vec<Row>>) {
        match rows {
            Some(rows) => self.all.extend(rows),
            None => self.bad += 1,
        }
    }
}

fn rows_of(line: Line, swapped: bool) -> Option<Vec<Row>> {
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
    let (first, last) = (time(&line.time_first), time(&line.time_last));
    let row = |owner, data| Row { owner, rtype: rtype.clone(), data, first, last };
    let owner = line.rrname.trim();
    if swapped {
        let owners = data.iter().map(|text| Name::from_text(text.trim()).filter(|_| !is_address(text)));
        return owners.map(|name| Some(row(name?, vec![owner.to_owned()]))).collect();
    }
    Some(vec![row(Name::from_text(owner)?, data)])
}

fn is_address(text: &str) -> bool {
    text.trim().parse::<IpAddr>().is_ok()
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

impl Row {
    /// How it bears on a key for which it brings nothing.
    pub(in crate::sources) fn bearing(&self, key: &Observable) -> Bearing {
        if !USED.contains(&self.rtype.as_str()) {
            return Bearing::Unused;
        }
        let of = |data: &String| values(&self.rtype, data);
        if self.data.iter().flat_map(of).any(|(_, value)| value == *key) {
            return Bearing::About;
        }
        if self.data.is_empty() || self.data.iter().any(|d| of(d).is_empty() && !says_none(&self.rtype, d)) {
            return Bearing::Unreadable;
        }
        let own = Observable::from_name(&self.owner) == *key;
        if own { Bearing::About } else { Bearing::Foreign }
    }
}

/// Whether the data is a host `.`: there is none, and that is said (RFC 7505).
fn says_none(rtype: &str, data: &str) -> bool {
    matches!(rtype, "NS" | "CNAME" | "MX") && data.split_ascii_whitespace().last() == Some(".")
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
