//! Records, walked one by one: a malformed one costs itself, not the answer.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{DNSClass, RecordType, name};

/// A resource record of an answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// Owner: uncompressed wire form, letters in lower case.
    pub name: Box<[u8]>,
    /// Type.
    pub rtype: RecordType,
    /// Class.
    pub class: DNSClass,
    /// Seconds; a value with the top bit set counts as 0 (RFC 2181 section 8).
    pub ttl: u32,
    /// Data.
    pub data: Data,
}

/// The data of a record. Names are wire form, letters in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Data {
    /// A.
    A(Ipv4Addr),
    /// AAAA.
    Aaaa(Ipv6Addr),
    /// NS, CNAME and PTR, told apart by the record's type.
    Name(Box<[u8]>),
    /// MX: preference and host.
    Mx(u16, Box<[u8]>),
    /// TXT: its character strings.
    Txt(Vec<Box<[u8]>>),
    /// SOA.
    Soa(Box<Soa>),
    /// Any other type, as it is (RFC 3597).
    Raw(Box<[u8]>),
    /// A known type whose data does not fit it, as it is.
    Broken(Box<[u8]>),
}

/// Start of authority (RFC 1035 section 3.3.13).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Soa {
    /// Primary name server.
    pub mname: Box<[u8]>,
    /// Mailbox of the person responsible, as a name.
    pub rname: Box<[u8]>,
    /// Version of the zone.
    pub serial: u32,
    /// Seconds until secondaries look again.
    pub refresh: u32,
    /// Seconds until they look again after a failure.
    pub retry: u32,
    /// Seconds after which they no longer answer.
    pub expire: u32,
    /// TTL of negative answers.
    pub minimum: u32,
}

/// The sections after the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// Answer.
    Answer,
    /// Authority.
    Authority,
    /// Additional.
    Additional,
}

/// Walks the records of a message.
#[derive(Debug)]
pub struct Walk<'a> {
    message: &'a [u8],
    at: usize,
    left: [u16; 3],
    scratch: name::Buffer,
    /// Records that were announced and cannot be reached, or that are broken.
    pub broken: u16,
    /// The section in which the message ends too early.
    pub cut: Option<Section>,
}

impl<'a> Walk<'a> {
    /// From the octet after the question on; the counts are the header's.
    pub fn new(message: &'a [u8], at: usize, counts: [u16; 3]) -> Self {
        Self { message, at, left: counts, scratch: name::Buffer::default(), broken: 0, cut: None }
    }

    fn section(&mut self) -> Option<Section> {
        let all = [Section::Answer, Section::Authority, Section::Additional];
        let which = self.left.iter().position(|n| *n > 0)?;
        self.left[which] -= 1;
        Some(all[which])
    }

    fn one(&mut self) -> Option<Record> {
        let m = self.message;
        let fixed = name::read(m, self.at, &mut self.scratch)?;
        let [t0, t1, c0, c1, l0, l1, l2, l3, d0, d1] = *m.get(fixed..)?.first_chunk::<10>()?;
        let start = fixed + 10;
        let end = start + usize::from(u16::from_be_bytes([d0, d1]));
        if end > m.len() {
            return None;
        }
        self.at = end;
        let owner: Box<[u8]> = (*self.scratch).into();
        let rtype = RecordType::from(u16::from_be_bytes([t0, t1]));
        let ttl = u32::from_be_bytes([l0, l1, l2, l3]);
        let data = data(m, start, end, rtype, &mut self.scratch).unwrap_or_else(|| {
            self.broken = self.broken.saturating_add(1);
            Data::Broken(m[start..end].into())
        });
        // OPT keeps its flags in the TTL field.
        let ttl = if ttl >> 31 == 1 && rtype != RecordType::OPT { 0 } else { ttl };
        Some(Record { name: owner, rtype, class: DNSClass::from(u16::from_be_bytes([c0, c1])), ttl, data })
    }
}

impl Iterator for Walk<'_> {
    type Item = (Section, Record);

    fn next(&mut self) -> Option<Self::Item> {
        let section = self.section()?;
        match self.one() {
            Some(record) => Some((section, record)),
            None => {
                // Where the next record begins is not known: the rest is lost.
                let lost = self.left.iter().fold(1_u16, |sum, n| sum.saturating_add(*n));
                self.broken = self.broken.saturating_add(lost);
                self.left = [0; 3];
                self.cut = Some(section);
                None
            }
        }
    }
}

fn data(m: &[u8], start: usize, end: usize, rtype: RecordType, scratch: &mut name::Buffer) -> Option<Data> {
    let raw = &m[start..end];
    let mut host = |at: usize| {
        // Pointers may lead anywhere before; the part in place must stay in its record.
        let next = name::read(&m[..end], at, scratch)?;
        Some((Box::<[u8]>::from(&**scratch), next))
    };
    match rtype {
        RecordType::A => Some(Data::A(<[u8; 4]>::try_from(raw).ok()?.into())),
        RecordType::AAAA => Some(Data::Aaaa(<[u8; 16]>::try_from(raw).ok()?.into())),
        RecordType::NS | RecordType::CNAME | RecordType::PTR => {
            let (name, next) = host(start)?;
            (next == end).then_some(Data::Name(name))
        }
        RecordType::MX => {
            let [p0, p1] = *raw.first_chunk::<2>()?;
            let (name, next) = host(start + 2)?;
            (next == end).then_some(Data::Mx(u16::from_be_bytes([p0, p1]), name))
        }
        RecordType::TXT => strings(raw).map(Data::Txt),
        RecordType::SOA => {
            let (mname, next) = host(start)?;
            let (rname, next) = host(next)?;
            let numbers = <[u8; 20]>::try_from(m.get(next..end)?).ok()?;
            let word =
                |i: usize| u32::from_be_bytes([numbers[i], numbers[i + 1], numbers[i + 2], numbers[i + 3]]);
            Some(Data::Soa(Box::new(Soa {
                mname,
                rname,
                serial: word(0),
                refresh: word(4),
                retry: word(8),
                expire: word(12),
                minimum: word(16),
            })))
        }
        _ => Some(Data::Raw(raw.into())),
    }
}

fn strings(mut raw: &[u8]) -> Option<Vec<Box<[u8]>>> {
    let mut all = Vec::with_capacity(1);
    while let Some((&len, rest)) = raw.split_first() {
        all.push(rest.get(..usize::from(len))?.into());
        raw = &rest[usize::from(len)..];
    }
    // RFC 1035 section 3.3.14: one or more strings.
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
