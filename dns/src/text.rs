//! Records as master files have them (RFC 1035 section 5.1), safe to show: whatever is not
//! printable, and angle brackets, are written `\DDD`.

use std::fmt::Write as _;

use hickory_proto::rr::RData;
use hickory_proto::serialize::binary::{BinDecoder, Restrict};

use crate::record::{Data, Record};
use crate::{RecordType, name};

impl Record {
    /// Appends the data's text: names with a final dot, strings in quotes, numbers, and what
    /// has no form of its own as RFC 3597 has it.
    pub fn push_data(&self, out: &mut String) {
        // Writing to a String never fails.
        let _ = match &self.data {
            Data::A(address) => write!(out, "{address}"),
            Data::Aaaa(address) => write!(out, "{address}"),
            Data::Name(target) => {
                dotted(target, out);
                Ok(())
            }
            Data::Mx(preference, host) => {
                let written = write!(out, "{preference} ");
                dotted(host, out);
                written
            }
            Data::Txt(strings) => {
                for (i, string) in strings.iter().enumerate() {
                    if i > 0 {
                        out.push(' ');
                    }
                    quoted(string, out);
                }
                Ok(())
            }
            Data::Soa(soa) => {
                dotted(&soa.mname, out);
                out.push(' ');
                dotted(&soa.rname, out);
                let numbers = [soa.serial, soa.refresh, soa.retry, soa.expire, soa.minimum];
                numbers.iter().try_for_each(|n| write!(out, " {n}"))
            }
            Data::Raw(octets) if self.rtype == RecordType::CAA => {
                caa(octets, out);
                Ok(())
            }
            Data::Raw(octets) if let Some(fields) = layout(self.rtype) => {
                let before = out.len();
                if laid_out(fields, octets, out).is_none() {
                    out.truncate(before);
                    unknown(octets, out);
                }
                Ok(())
            }
            Data::Raw(octets) => {
                let mut text = String::new();
                match self.rdata(octets).filter(|data| !matches!(data, RData::Unknown { .. })) {
                    // Some data has a form of its own and cannot be written in it.
                    Some(data) if write!(text, "{data}").is_ok() => safe(&text, out),
                    Some(_) | None => unknown(octets, out),
                }
                Ok(())
            }
            Data::Broken(octets) => {
                unknown(octets, out);
                Ok(())
            }
        };
    }

    /// The type's name (RFC 3597 section 5 for one without).
    pub fn type_name(&self) -> String {
        type_name(self.rtype)
    }

    /// hickory's view of raw data. Names in it must not be compressed (RFC 3597 section 4).
    fn rdata(&self, octets: &[u8]) -> Option<RData> {
        let mut decoder = BinDecoder::new(octets);
        RData::read(&mut decoder, self.rtype, Restrict::new(u16::try_from(octets.len()).ok()?)).ok()
    }
}

/// The name of a type: `A`, or `TYPE65280`.
pub fn type_name(rtype: RecordType) -> String {
    match rtype {
        RecordType::Unknown(n) => format!("TYPE{n}"),
        known => known.to_string(),
    }
}

fn quoted(octets: &[u8], out: &mut String) {
    out.push('"');
    for octet in octets {
        match octet {
            b'"' | b'\\' => out.extend(['\\', char::from(*octet)]),
            b'<' | b'>' => name::push_octet(*octet, out),
            0x20..=0x7e => out.push(char::from(*octet)),
            other => name::push_octet(*other, out),
        }
    }
    out.push('"');
}

/// RFC 8659 section 4.1: flags, a tag of letters and digits, a value of any octets.
fn caa(octets: &[u8], out: &mut String) {
    let parts = || {
        let (flags, rest) = octets.split_first()?;
        let (length, rest) = rest.split_first()?;
        let (tag, value) = rest.split_at_checked(usize::from(*length))?;
        let tag = std::str::from_utf8(tag).ok().filter(|t| t.bytes().all(|o| o.is_ascii_alphanumeric()))?;
        Some((flags, tag, value)).filter(|_| !tag.is_empty())
    };
    match parts() {
        Some((flags, tag, value)) => {
            let _ = write!(out, "{flags} {tag} ");
            quoted(value, out);
        }
        None => unknown(octets, out),
    }
}

/// What data is made of.
#[derive(Debug, Clone, Copy)]
enum Field {
    Number,
    Text,
    Name,
}

/// The fields of types that hickory would write in a way of its own (RFC 1035, 1183, 2230,
/// 2782, 3403, 6672).
fn layout(rtype: RecordType) -> Option<&'static [Field]> {
    use Field::{Name, Number, Text};
    Some(match u16::from(rtype) {
        13 => &[Text, Text],
        17 => &[Name, Name],
        18 | 36 => &[Number, Name],
        33 => &[Number, Number, Number, Name],
        35 => &[Number, Number, Text, Text, Text, Name],
        39 => &[Name],
        _ => return None,
    })
}

fn laid_out(fields: &[Field], octets: &[u8], out: &mut String) -> Option<()> {
    let mut at = 0;
    for (i, field) in fields.iter().enumerate() {
        if i > 0 {
            out.push(' ');
        }
        match field {
            Field::Number => {
                let number = u16::from_be_bytes(*octets.get(at..)?.first_chunk()?);
                let _ = write!(out, "{number}");
                at += 2;
            }
            Field::Text => {
                let text = octets.get(at + 1..at + 1 + usize::from(*octets.get(at)?))?;
                quoted(text, out);
                at += 1 + text.len();
            }
            Field::Name => {
                let mut target = name::Buffer::default();
                at = name::read(octets, at, &mut target)?;
                dotted(&target, out);
            }
        }
    }
    (at == octets.len()).then_some(())
}

fn dotted(wire: &[u8], out: &mut String) {
    name::push_text(wire, out);
    if wire.len() > 1 {
        out.push('.');
    }
}

/// Text of another's making.
fn safe(text: &str, out: &mut String) {
    for octet in text.bytes() {
        match octet {
            b'<' | b'>' => name::push_octet(octet, out),
            0x20..=0x7e => out.push(char::from(octet)),
            other => name::push_octet(other, out),
        }
    }
}

fn unknown(octets: &[u8], out: &mut String) {
    let _ = write!(out, "\\# {}", octets.len());
    for (i, octet) in octets.iter().enumerate() {
        let _ = write!(out, "{}{octet:02x}", if i == 0 { " " } else { "" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DNSClass, record::Soa};

    fn text(rtype: RecordType, data: Data) -> String {
        let record = Record { name: Box::from([0]), rtype, class: DNSClass::IN, ttl: 1, data };
        let mut out = String::new();
        record.push_data(&mut out);
        format!("{} {out}", record.type_name())
    }

    #[test]
    fn data_reads_as_in_a_master_file() {
        let host: Box<[u8]> = b"\x02ns\x04a<.b\x00".as_slice().into();
        let root: Box<[u8]> = Box::from([0]);
        let raw = |octets: &[u8]| Data::Raw(octets.into());
        let soa = Soa {
            mname: host.clone(),
            rname: root.clone(),
            serial: 1,
            refresh: 2,
            retry: 3,
            expire: 4,
            minimum: 5,
        };
        for (rtype, data, expected) in [
            (RecordType::A, Data::A([192, 0, 2, 1].into()), "A 192.0.2.1"),
            (RecordType::NS, Data::Name(host.clone()), "NS ns.a\\060\\046b."),
            (RecordType::MX, Data::Mx(0, root), "MX 0 ."),
            (
                RecordType::TXT,
                Data::Txt(vec![b"a \"b\\".as_slice().into(), b"<\x1b\xff".as_slice().into()]),
                "TXT \"a \\\"b\\\\\" \"\\060\\027\\255\"",
            ),
            (RecordType::SOA, Data::Soa(Box::new(soa)), "SOA ns.a\\060\\046b. . 1 2 3 4 5"),
            (RecordType::CAA, raw(b"\x80\x05issuea.example"), "CAA 128 issue \"a.example\""),
            (RecordType::CAA, raw(b"\x00\x05issue\"; \n\xff"), "CAA 0 issue \"\\\"; \\010\\255\""),
            (RecordType::CAA, raw(b"\x00\x09issue"), "CAA \\# 7 00096973737565"),
            (RecordType::SRV, raw(b"\x00\x01\x00\x02\x00\x50\x03a\"\n\x00"), "SRV 1 2 80 a\\034\\010."),
            (RecordType::SRV, raw(b"\x00\x01\x00\x02\x00\x50\x01a"), "SRV \\# 8 0001000200500161"),
            (RecordType::HINFO, raw(b"\x02\"\n\x01\xff"), "HINFO \"\\\"\\010\" \"\\255\""),
            (RecordType::NAPTR, raw(b"\0\x01\0\x02\x01s\x00\x00\x01b\x00"), "NAPTR 1 2 \"s\" \"\" \"\" b."),
            (RecordType::DNAME, raw(b"\x03new\x00"), "DNAME new."),
            (RecordType::Unknown(65_280), raw(&[1, 0xab]), "TYPE65280 \\# 2 01ab"),
            (RecordType::Unknown(65_280), raw(&[]), "TYPE65280 \\# 0"),
            (RecordType::A, Data::Broken(Box::from([1, 2])), "A \\# 2 0102"),
            // Writing it once ended the program.
            (RecordType::OPT, raw(&[0, 3, 0, 1, 0xff]), "OPT \\# 5 00030001ff"),
        ] {
            assert_eq!(text(rtype, data), expected);
        }
    }
}
