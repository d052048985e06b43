//! DNS messages, written by hand into reused buffers.

use crate::model::{RData, Rcode, Record, Verdict, rtype};
use crate::name::Name;

/// What the server offers and takes over UDP.
const UDP_LIMIT: usize = 1232;
const HEADER: usize = 12;

/// A query that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) id: [u8; 2],
    rd: bool,
    /// Name, type and class as they came: letter case is echoed.
    question: Vec<u8>,
    /// The name in lower case.
    pub(super) qname: Vec<u8>,
    pub(super) qtype: u16,
    /// Payload size from OPT.
    edns: Option<u16>,
}

/// Why a message is not a query that can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Not even an id, or a response: silence.
    Drop,
    /// Answered with FORMERR.
    FormErr([u8; 2]),
    /// An operation other than a query: NOTIMP.
    NotImplemented([u8; 2]),
}

impl Query {
    pub(super) fn parse(message: &[u8]) -> Result<Self, Unreadable> {
        let header = message.get(..HEADER).ok_or(Unreadable::Drop)?;
        if header[2] & 0x80 != 0 {
            return Err(Unreadable::Drop);
        }
        let id = [header[0], header[1]];
        if header[2] & 0x78 != 0 {
            return Err(Unreadable::NotImplemented(id));
        }
        let broken = Unreadable::FormErr(id);
        let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        if count(4) != 1 || count(6) != 0 || count(8) != 0 {
            return Err(broken);
        }
        let length = name_length(&message[HEADER..]).ok_or(broken)?;
        let end = HEADER + length + 4;
        let question = message.get(HEADER..end).ok_or(broken)?;
        let qtype = u16::from_be_bytes([question[length], question[length + 1]]);
        if question[length + 2..] != [0, 1] {
            return Err(broken);
        }
        Ok(Self {
            id,
            rd: header[2] & 1 != 0,
            qname: question[..length].to_ascii_lowercase(),
            question: question.to_vec(),
            qtype,
            edns: payload_size(&message[end..], count(10)),
        })
    }

    /// How long an answer over UDP may be.
    pub(super) fn udp_limit(&self) -> usize {
        self.edns.map_or(512, |size| usize::from(size).clamp(512, UDP_LIMIT))
    }
}

fn name_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let label = usize::from(*bytes.get(at)?);
        // A pointer makes no sense in the first name of a message.
        if label > 63 {
            return None;
        }
        at += label + 1;
        if label == 0 {
            return (at <= Name::MAX_WIRE).then_some(at);
        }
    }
}

/// The size in the first OPT record; other additional records are skipped.
fn payload_size(mut rest: &[u8], count: u16) -> Option<u16> {
    for _ in 0..count.min(8) {
        let length = name_length(rest)?;
        let fixed = rest.get(length..length + 10)?;
        let data = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        if u16::from_be_bytes([fixed[0], fixed[1]]) == rtype::OPT {
            return Some(u16::from_be_bytes([fixed[2], fixed[3]]));
        }
        rest = rest.get(length + 10 + data..)?;
    }
    None
}

/// Writes an answer; past `limit` octets it keeps nothing but the question, with TC.
pub(super) fn answer(query: &Query, verdict: &Verdict, records: &[Record], limit: usize, out: &mut Vec<u8>) {
    head(query, verdict.rcode.code(), out);
    let mut count = 0_u16;
    let mut previous: Option<(&Name, u16)> = None;
    for record in records {
        put_record(query, record, &mut previous, out);
        count = count.saturating_add(1);
        // Past any limit; the rest would only cost memory.
        if out.len() > usize::from(u16::MAX) {
            break;
        }
    }
    out[6..8].copy_from_slice(&count.to_be_bytes());
    if let Some(authority) = &verdict.authority {
        put_record(query, authority, &mut previous, out);
        out[9] = 1;
    }
    put_opt(query, out);
    if out.len() > limit {
        truncated(query, out);
    }
}

/// Writes an answer without records.
pub(super) fn bare(query: &Query, rcode: Rcode, out: &mut Vec<u8>) {
    head(query, rcode.code(), out);
    put_opt(query, out);
}

/// Writes an answer that says to ask over TCP.
pub(super) fn truncated(query: &Query, out: &mut Vec<u8>) {
    head(query, 0, out);
    out[2] |= 2;
    put_opt(query, out);
}

/// Writes an answer whose only record runs past the end of the message.
pub(super) fn malformed(query: &Query, out: &mut Vec<u8>) {
    head(query, 0, out);
    out[7] = 1;
    out.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 200, 1, 2]);
}

/// Writes the answer to what could not be read; `false` when there is none.
pub(super) fn refusal(unreadable: Unreadable, out: &mut Vec<u8>) -> bool {
    let (id, rcode) = match unreadable {
        Unreadable::Drop => return false,
        Unreadable::FormErr(id) => (id, Rcode::FormErr.code()),
        Unreadable::NotImplemented(id) => (id, 4),
    };
    out.clear();
    out.extend_from_slice(&[id[0], id[1], 0x80, 0x80 | rcode]);
    out.extend_from_slice(&[0; 8]);
    true
}

fn head(query: &Query, rcode: u8, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&[query.id[0], query.id[1], 0x80 | u8::from(query.rd), 0x80 | rcode]);
    out.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&query.question);
}

fn put_opt(query: &Query, out: &mut Vec<u8>) {
    if query.edns.is_some() {
        out[11] = 1;
        out.extend_from_slice(&[0, 0, 41]);
        out.extend_from_slice(&(UDP_LIMIT as u16).to_be_bytes());
        out.extend_from_slice(&[0; 6]);
    }
}

fn put_record<'a>(
    query: &Query,
    record: &'a Record,
    previous: &mut Option<(&'a Name, u16)>,
    out: &mut Vec<u8>,
) {
    let here = out.len();
    match previous {
        _ if record.name.as_wire() == query.qname => out.extend_from_slice(&[0xc0, HEADER as u8]),
        Some((name, at)) if **name == record.name => out.extend_from_slice(&(0xc000 | *at).to_be_bytes()),
        _ => {
            put_name(query, record.name.as_wire(), out);
            if here < 0x3fff {
                *previous = Some((&record.name, here as u16));
            }
        }
    }
    out.extend_from_slice(&record.rtype.to_be_bytes());
    out.extend_from_slice(&[0, 1]);
    out.extend_from_slice(&record.ttl.to_be_bytes());
    let length_at = out.len();
    out.extend_from_slice(&[0, 0]);
    let mut claimed = None;
    match &record.rdata {
        RData::A(addr) => out.extend_from_slice(&addr.octets()),
        RData::Aaaa(addr) => out.extend_from_slice(&addr.octets()),
        RData::Host(host) => put_name(query, host.as_wire(), out),
        RData::Mx(preference, host) => {
            out.extend_from_slice(&preference.to_be_bytes());
            put_name(query, host.as_wire(), out);
        }
        RData::Txt(parts) => {
            for part in parts {
                let part = &part[..part.len().min(255)];
                out.push(part.len() as u8);
                out.extend_from_slice(part);
            }
        }
        RData::Soa(soa) => {
            put_name(query, soa.mname.as_wire(), out);
            put_name(query, soa.rname.as_wire(), out);
            for number in [soa.serial, 7200, 3600, 1_209_600, soa.minimum] {
                out.extend_from_slice(&number.to_be_bytes());
            }
        }
        RData::Raw(bytes, length) => {
            out.extend_from_slice(bytes);
            claimed = Some(*length);
        }
    }
    let length = claimed.unwrap_or((out.len() - length_at - 2) as u16);
    out[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
}

/// Writes a name, pointing into the question where it ends alike.
fn put_name(query: &Query, wire: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while wire[at] != 0 {
        let rest = &wire[at..];
        if let Some(place) = suffix_place(&query.qname, rest) {
            out.extend_from_slice(&wire[..at]);
            out.extend_from_slice(&(0xc000 | (HEADER + place) as u16).to_be_bytes());
            return;
        }
        at += usize::from(wire[at]) + 1;
    }
    out.extend_from_slice(wire);
}

/// Where `rest` stands in the question's name, at the start of a label.
fn suffix_place(qname: &[u8], rest: &[u8]) -> Option<usize> {
    let place = qname.len().checked_sub(rest.len())?;
    if !qname.ends_with(rest) {
        return None;
    }
    let mut at = 0;
    while at < place {
        at += usize::from(qname[at]) + 1;
    }
    (at == place).then_some(place)
}
