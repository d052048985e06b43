//! What a response message says of a question: chain of aliases and verdict.

use std::time::Duration;

use crate::record::{Data, Record, Section, Walk};
use crate::{DNSClass, Question, RecordType, Reply, ResponseCode, Transport, Verdict, name, query};

/// The most aliases followed, as Unbound and BIND have it.
pub const MAX_LINKS: usize = 11;

/// How the aliases of a name run through an answer, in whatever order its records stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain<'a> {
    /// The alias records that were followed, in order.
    pub links: Vec<&'a Record>,
    /// Where the chain ends: the name asked where it has no alias.
    pub end: &'a [u8],
    /// Records of the type asked, at any name of the chain.
    pub found: Vec<&'a Record>,
    /// The last link leads back to a name of the chain.
    pub is_loop: bool,
    /// There are more links than [`MAX_LINKS`].
    pub is_cut: bool,
}

/// Follows the aliases of `qname`. Records of other names or classes are not looked at: a
/// resolver has no business to send them. Of several aliases of one name the least counts.
pub fn chain<'a>(qname: &'a [u8], qtype: RecordType, records: &'a [Record]) -> Chain<'a> {
    let mut chain = Chain { links: Vec::new(), end: qname, found: Vec::new(), is_loop: false, is_cut: false };
    loop {
        let at_end = |r: &&Record| r.class == DNSClass::IN && *r.name == *chain.end;
        let of_type = |r: &&Record| r.rtype == qtype && is_sound(r);
        chain.found.extend(records.iter().filter(at_end).filter(of_type));
        if qtype == RecordType::CNAME {
            return chain;
        }
        let alias = |r: &'a Record| match &r.data {
            Data::Name(target) if r.rtype == RecordType::CNAME => Some((&**target, r)),
            _ => None,
        };
        let next = records.iter().filter(at_end).filter_map(alias).min_by_key(|(target, _)| *target);
        let Some((target, link)) = next else { return chain };
        if chain.links.len() == MAX_LINKS {
            chain.is_cut = true;
            return chain;
        }
        chain.is_loop = target == chain.end || chain.links.iter().any(|l| *l.name == *target);
        chain.links.push(link);
        if chain.is_loop {
            return chain;
        }
        chain.end = target;
    }
}

fn is_sound(record: &Record) -> bool {
    record.class == DNSClass::IN && !matches!(record.data, Data::Broken(_))
}

/// A response that was read.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) reply: Reply,
    /// The TC bit.
    pub(crate) truncated: bool,
    /// The answer section ends before the records that it announces.
    pub(crate) cut: bool,
    /// The server repeated no question: it cannot read the query, or its EDNS.
    pub(crate) bare: bool,
}

/// How a response repeats the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Echo {
    /// Not at all, as a server does that cannot read the query.
    None,
    /// To the letter.
    Exact,
    /// With letters of another case.
    Changed,
    /// It is another question.
    Other,
}

/// Compares a response's question with the one that was asked, letters in `case`.
pub(crate) fn echo(question: &Question, case: u64, m: &[u8]) -> Echo {
    match m.get(4..6) {
        Some([0, 0]) => return Echo::None,
        Some([0, 1]) => {}
        _ => return Echo::Other,
    }
    let end = 12 + question.name.len();
    let (Some(name), Some(fixed)) = (m.get(12..end), m.get(end..end + 4)) else { return Echo::Other };
    let [t0, t1] = u16::from(question.qtype).to_be_bytes();
    if fixed != [t0, t1, 0, 1] {
        return Echo::Other;
    }
    let mut pairs = name.iter().zip(question.name.iter()).enumerate();
    if pairs.all(|(i, (got, own))| *got == query::cased(*own, i, case)) {
        Echo::Exact
    } else if name.eq_ignore_ascii_case(&question.name) {
        Echo::Changed
    } else {
        Echo::Other
    }
}

impl Read {
    /// There is more than this: ask over TCP.
    pub(crate) fn is_partial(&self) -> bool {
        self.truncated || self.cut
    }
}

/// The reply that an exchange over TCP comes to. What is cut off there stays so: malformed,
/// with the records before the cut.
pub(crate) fn over_tcp(read: Option<Read>) -> Reply {
    let reply = match read {
        Some(read) if !read.truncated => read.reply,
        Some(_) | None => Reply::failed(0, Verdict::Truncated),
    };
    Reply { transport: Transport::Tcp, ..reply }
}

/// Reads a response. `None` where it is none, or is one to another question.
pub(crate) fn read(question: &Question, m: &[u8]) -> Option<Read> {
    // QR set, opcode 0 (RFC 1035 section 4.1.1).
    if m.first_chunk::<12>()?[2] & 0xf8 != 0x80 {
        return None;
    }
    read_echoed(question, echo(question, 0, m), m)
}

/// Reads a response whose question was compared before.
pub(crate) fn read_echoed(question: &Question, echo: Echo, m: &[u8]) -> Option<Read> {
    let header = m.first_chunk::<12>()?;
    let word = |i: usize| u16::from_be_bytes([header[i], header[i + 1]]);
    let mut rcode = u16::from(header[3] & 0x0f);
    // Servers that cannot read a query may leave the question out.
    let bare = echo == Echo::None;
    let at = match echo {
        Echo::None if matches!(rcode, 1 | 2 | 4 | 5) => 12,
        Echo::None | Echo::Other => return None,
        Echo::Exact | Echo::Changed => 12 + question.name.len() + 4,
    };
    let mut reply = Reply::failed(question.token, Verdict::Malformed);
    let (mut referral, mut authority) = (false, None);
    let mut walk = Walk::new(m, at, [word(6), word(8), word(10)]);
    for (section, record) in walk.by_ref() {
        match (section, &record.data) {
            (Section::Answer, _) => reply.records.push(record),
            (Section::Authority, Data::Soa(soa)) => {
                let ttl = record.ttl.min(soa.minimum);
                authority = authority.or(Some((record.name, ttl)));
            }
            (Section::Authority, Data::Name(_)) => referral |= record.rtype == RecordType::NS,
            (Section::Additional, Data::Raw(options)) if record.rtype == RecordType::OPT => {
                // RFC 6891 section 6.1.3: the upper eight bits of the response code.
                rcode |= u16::from(record.ttl.to_be_bytes()[0]) << 4;
                reply.ede = reply.ede.or_else(|| extended_error(options));
            }
            _ => {}
        }
    }
    reply.broken = walk.broken;
    let cut = walk.cut == Some(Section::Answer);
    reply.rcode = Some(match rcode {
        // Of an OPT record this number is BADVERS; hickory takes it for that of a TSIG.
        16 => ResponseCode::BADVERS,
        other => other.into(),
    });
    let plain = |r: &Record| r.rtype == question.qtype && *r.name == *question.name && is_sound(r);
    let plain = !reply.records.is_empty() && reply.records.iter().all(plain);
    reply.foreign = if plain { 0 } else { keep_own(question, &mut reply.records) };
    // Whether it is a resolver at all, and answers for the name itself.
    let (recursive, authoritative) = (header[3] & 0x80 != 0, header[2] & 0x04 != 0);
    let lame = |links: bool, within: bool| {
        // No recursion: with aliases, what is at their end is not known, unless its own zone
        // says so; without, a referral is only a hint where else to ask.
        !recursive && if links { !within } else { referral && authority.is_none() && !authoritative }
    };
    let zone = authority.as_ref().map(|(zone, _)| &**zone);
    let (verdict, within) = match rcode {
        // By far the commonest answer.
        0 if plain && !cut => (Verdict::Found, zone.is_some_and(|z| name::is_below(&question.name, z))),
        _ => verdict(question, &reply, lame, cut, zone),
    };
    reply.verdict = verdict;
    // The SOA of another zone says nothing of this name.
    reply.negative_ttl = authority.filter(|_| within).map(|(_, ttl)| ttl);
    reply.transport = Transport::Udp;
    reply.rtt = Duration::ZERO;
    Some(Read { reply, truncated: header[2] & 0x02 != 0, cut, bare })
}

/// Leaves only records of the name asked, of its aliases, and the DNAMEs above these; says
/// how many were left out.
fn keep_own(question: &Question, records: &mut Vec<Record>) -> u16 {
    let chain = chain(&question.name, question.qtype, records);
    let names = || chain.links.iter().map(|l| &*l.name).chain([chain.end, &*question.name]);
    let own = |r: &Record| match r.rtype {
        _ if r.class != DNSClass::IN => false,
        RecordType::DNAME => names().any(|n| name::is_below(n, &r.name)),
        _ => names().any(|n| *n == *r.name),
    };
    if records.iter().all(own) {
        return 0;
    }
    let keep: Vec<bool> = records.iter().map(own).collect();
    let (before, mut keep) = (records.len(), keep.into_iter());
    records.retain(|_| keep.next().unwrap_or(false));
    u16::try_from(before - records.len()).unwrap_or(u16::MAX)
}

/// The verdict, and whether the zone in the authority section holds the end of the chain.
fn verdict(
    question: &Question,
    reply: &Reply,
    lame: impl Fn(bool, bool) -> bool,
    cut: bool,
    zone: Option<&[u8]>,
) -> (Verdict, bool) {
    match reply.rcode {
        Some(ResponseCode::NoError | ResponseCode::NXDomain) => {}
        Some(ResponseCode::ServFail) => return (Verdict::ServFail, false),
        Some(ResponseCode::Refused | ResponseCode::NotAuth) => return (Verdict::Refused, false),
        _ => return (Verdict::FormErr, false),
    }
    if cut {
        // What is there must not look like all there is.
        return (Verdict::Malformed, false);
    }
    let chain = chain(&question.name, question.qtype, &reply.records);
    let within = zone.is_some_and(|zone| name::is_below(chain.end, zone));
    let verdict = if !chain.found.is_empty() {
        Verdict::Found
    } else if chain.is_loop {
        Verdict::Loop
    } else if chain.is_cut {
        Verdict::Limit
    } else if reply.rcode == Some(ResponseCode::NXDomain) {
        Verdict::NxDomain
    } else if reply.broken > 0 {
        // What is broken may have been the answer.
        Verdict::Malformed
    } else if lame(!chain.links.is_empty(), within) {
        Verdict::Lame
    } else {
        Verdict::NoData
    };
    (verdict, within)
}

/// The first extended error (RFC 8914, option 15) in an OPT record's data.
fn extended_error(mut options: &[u8]) -> Option<u16> {
    while let Some(([c0, c1, l0, l1], rest)) = options.split_first_chunk::<4>() {
        let data = rest.get(..usize::from(u16::from_be_bytes([*l0, *l1])))?;
        if [*c0, *c1] == [0, 15] {
            return data.first_chunk::<2>().map(|code| u16::from_be_bytes(*code));
        }
        options = &rest[data.len()..];
    }
    None
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
