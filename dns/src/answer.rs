//! What a response message says of a question: chain of aliases and verdict.

use std::time::Duration;

use crate::record::{Data, Record, Section, Walk};
use crate::{Question, Reply, Transport, Verdict, name, rtype};

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
pub fn chain<'a>(qname: &'a [u8], qtype: u16, records: &'a [Record]) -> Chain<'a> {
    let mut chain = Chain { links: Vec::new(), end: qname, found: Vec::new(), is_loop: false, is_cut: false };
    loop {
        let at_end = |r: &&Record| r.class == 1 && *r.name == *chain.end;
        let of_type = |r: &&Record| r.rtype == qtype && !matches!(r.data, Data::Broken(_));
        chain.found.extend(records.iter().filter(at_end).filter(of_type));
        if qtype == rtype::CNAME {
            return chain;
        }
        let alias = |r: &'a Record| match &r.data {
            Data::Name(target) if r.rtype == rtype::CNAME => Some((&**target, r)),
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

impl Read {
    /// There is more than this: ask over TCP.
    pub(crate) fn is_partial(&self) -> bool {
        self.truncated || self.cut
    }
}

/// The reply that an exchange over TCP comes to. What is cut off there stays so: malformed,
/// with the records before the cut.
pub(crate) fn over_tcp(token: u64, read: std::io::Result<Read>) -> Reply {
    let reply = match read {
        Ok(read) if !read.truncated => read.reply,
        Ok(_) | Err(_) => Reply::failed(token, Verdict::Truncated),
    };
    Reply { transport: Transport::Tcp, ..reply }
}

/// Reads a response. `None` where it is none, or is one to another question.
pub(crate) fn read(question: &Question, m: &[u8]) -> Option<Read> {
    let header = m.first_chunk::<12>()?;
    let word = |i: usize| u16::from_be_bytes([header[i], header[i + 1]]);
    // QR set, opcode 0 (RFC 1035 section 4.1.1).
    if header[2] & 0xf8 != 0x80 {
        return None;
    }
    let mut rcode = u16::from(header[3] & 0x0f);
    let mut at = 12;
    // Servers that cannot read a query may leave the question out.
    let bare = word(4) == 0 && matches!(rcode, 1 | 2 | 4 | 5);
    if !bare {
        if word(4) != 1 {
            return None;
        }
        let end = at + question.name.len();
        let fixed = m.get(end..)?.first_chunk::<4>()?;
        let [t0, t1] = question.qtype.to_be_bytes();
        if *fixed != [t0, t1, 0, 1] || !m[at..end].eq_ignore_ascii_case(&question.name) {
            return None;
        }
        at = end + 4;
    }
    let mut reply = Reply::failed(question.token, Verdict::Malformed);
    let mut referral = false;
    let mut walk = Walk::new(m, at, [word(6), word(8), word(10)]);
    for (section, record) in walk.by_ref() {
        match (section, &record.data) {
            (Section::Answer, _) => reply.records.push(record),
            (Section::Authority, Data::Soa(soa)) => {
                reply.negative_ttl.get_or_insert(record.ttl.min(soa.minimum));
            }
            (Section::Authority, Data::Name(_)) => referral |= record.rtype == rtype::NS,
            (Section::Additional, Data::Raw(options)) if record.rtype == rtype::OPT => {
                // RFC 6891 section 6.1.3: the upper eight bits of the response code.
                rcode |= u16::from(record.ttl.to_be_bytes()[0]) << 4;
                reply.ede = reply.ede.or_else(|| extended_error(options));
            }
            _ => {}
        }
    }
    reply.broken = walk.broken;
    let cut = walk.cut == Some(Section::Answer);
    reply.rcode = Some(rcode);
    // No answer, not authoritative, no recursion: only a hint where else to ask.
    let lame = referral && reply.negative_ttl.is_none() && header[2] & 0x04 == 0 && header[3] & 0x80 == 0;
    reply.verdict = verdict(question, &reply, lame, cut);
    reply.transport = Transport::Udp;
    reply.rtt = Duration::ZERO;
    Some(Read { reply, truncated: header[2] & 0x02 != 0, cut, bare })
}

fn verdict(question: &Question, reply: &Reply, lame: bool, cut: bool) -> Verdict {
    match reply.rcode {
        Some(0 | 3) => {}
        Some(2) => return Verdict::ServFail,
        Some(5 | 9) => return Verdict::Refused,
        _ => return Verdict::FormErr,
    }
    if cut {
        // What is there must not look like all there is.
        return Verdict::Malformed;
    }
    let chain = chain(&question.name, question.qtype, &reply.records);
    if !chain.found.is_empty() {
        Verdict::Found
    } else if chain.is_loop {
        Verdict::Loop
    } else if chain.is_cut {
        Verdict::Limit
    } else if reply.rcode == Some(3) {
        Verdict::NxDomain
    } else if reply.broken > 0 {
        // What is broken may have been the answer.
        Verdict::Malformed
    } else if lame && chain.links.is_empty() {
        Verdict::Lame
    } else {
        Verdict::NoData
    }
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

/// Whether octets could be a question's name; a caller's mistake ends its question.
pub(crate) fn askable(question: &Question) -> bool {
    name::is_valid(&question.name)
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
