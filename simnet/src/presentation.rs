//! Record data in presentation form, both ways.

use crate::model::{RData, Soa, rtype};
use crate::name::Name;

/// Reads record data; the error says what was expected.
pub(crate) fn parse(mnemonic: &str, text: &str) -> Result<(u16, RData), &'static str> {
    let host = |text: &str| name(text).ok_or("a domain name");
    let text = text.trim();
    Ok(match mnemonic.to_ascii_uppercase().as_str() {
        "A" => (rtype::A, RData::A(text.parse().map_err(|_| "an IPv4 address")?)),
        "AAAA" => (rtype::AAAA, RData::Aaaa(text.parse().map_err(|_| "an IPv6 address")?)),
        "NS" => (rtype::NS, RData::Host(host(text)?)),
        "CNAME" => (rtype::CNAME, RData::Host(host(text)?)),
        "PTR" => (rtype::PTR, RData::Host(host(text)?)),
        "MX" => {
            let (preference, exchange) = text.split_once(' ').ok_or("a preference and a host")?;
            let preference = preference.parse().map_err(|_| "a preference and a host")?;
            (rtype::MX, RData::Mx(preference, host(exchange.trim())?))
        }
        "TXT" => (rtype::TXT, RData::Txt(strings(text)?)),
        "SOA" => (rtype::SOA, RData::Soa(Box::new(soa(text)?))),
        other => raw(other, text)?,
    })
}

/// A name in ASCII: a U-label would never be asked for.
fn name(text: &str) -> Option<Name> {
    Name::from_text(text).filter(|_| text.is_ascii())
}

/// Writes record data.
pub(crate) fn text(rdata: &RData) -> String {
    match rdata {
        RData::A(addr) => addr.to_string(),
        RData::Aaaa(addr) => addr.to_string(),
        RData::Host(host) => host.to_string(),
        RData::Mx(preference, host) => format!("{preference} {host}"),
        RData::Txt(parts) => parts.iter().map(|p| format!("\"{}\"", escape(p))).collect::<Vec<_>>().join(" "),
        RData::Soa(soa) => {
            format!("{} {} {} 7200 3600 1209600 {}", soa.mname, soa.rname, soa.serial, soa.minimum)
        }
        RData::Raw(bytes, _) => {
            let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            format!("\\# {} {hex}", bytes.len())
        }
    }
}

/// Octets of record data on the wire, at most.
pub(crate) fn size(rdata: &RData) -> usize {
    match rdata {
        RData::A(_) => 4,
        RData::Aaaa(_) => 16,
        RData::Host(host) => host.as_wire().len(),
        RData::Mx(_, host) => 2 + host.as_wire().len(),
        RData::Txt(parts) => parts.iter().map(|p| 1 + p.len()).sum(),
        RData::Soa(soa) => soa.mname.as_wire().len() + soa.rname.as_wire().len() + 20,
        RData::Raw(bytes, _) => bytes.len(),
    }
}

/// Cuts octets into character strings of up to 255.
pub(crate) fn txt(bytes: &[u8]) -> RData {
    if bytes.is_empty() {
        return RData::Txt(vec![Box::default()]);
    }
    RData::Txt(bytes.chunks(255).map(Into::into).collect())
}

fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(*byte));
            }
            0x20..=0x7e => out.push(char::from(*byte)),
            other => out.push_str(&format!("\\{other:03}")),
        }
    }
    out
}

/// Quoted strings, or one bare string; each is cut at 255 octets.
fn strings(text: &str) -> Result<Vec<Box<[u8]>>, &'static str> {
    const EXPECTED: &str = "one bare text, or texts in double quotes with \\DDD escapes";
    if !text.starts_with('"') {
        let RData::Txt(parts) = txt(text.as_bytes()) else { return Err(EXPECTED) };
        return Ok(parts);
    }
    let mut parts: Vec<Box<[u8]>> = Vec::new();
    let mut current: Option<Vec<u8>> = None;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match (&mut current, byte) {
            (None, b'"') => current = Some(Vec::new()),
            (None, b' ') => {}
            (None, _) => return Err(EXPECTED),
            (Some(part), b'"') => {
                let RData::Txt(cut) = txt(part) else { return Err(EXPECTED) };
                parts.extend(cut);
                current = None;
            }
            (Some(part), b'\\') => {
                let first = bytes.next().ok_or(EXPECTED)?;
                if !first.is_ascii_digit() {
                    part.push(first);
                    continue;
                }
                let digits = [Some(first), bytes.next(), bytes.next()];
                let code = digits.iter().try_fold(0_u32, |sum, digit| match digit {
                    Some(d) if d.is_ascii_digit() => Ok(sum * 10 + u32::from(d - b'0')),
                    _ => Err(EXPECTED),
                })?;
                part.push(u8::try_from(code).map_err(|_| EXPECTED)?);
            }
            (Some(part), other) => part.push(other),
        }
    }
    if current.is_some() { Err(EXPECTED) } else { Ok(parts) }
}

fn soa(text: &str) -> Result<Soa, &'static str> {
    const EXPECTED: &str = "mname rname serial refresh retry expire minimum";
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [mname, rname, serial, _, _, _, minimum] = fields[..] else { return Err(EXPECTED) };
    Ok(Soa {
        mname: name(mname).ok_or(EXPECTED)?,
        rname: name(rname).ok_or(EXPECTED)?,
        serial: serial.parse().map_err(|_| EXPECTED)?,
        minimum: minimum.parse().map_err(|_| EXPECTED)?,
    })
}

/// `TYPEn` with data in the form of RFC 3597: `\# length hex`.
fn raw(mnemonic: &str, text: &str) -> Result<(u16, RData), &'static str> {
    const TYPE: &str = "a type among A, AAAA, NS, CNAME, PTR, MX, TXT, SOA or TYPEn";
    const DATA: &str = "data as \\# LENGTH HEX (RFC 3597)";
    let code = mnemonic.strip_prefix("TYPE").and_then(|n| n.parse().ok()).ok_or(TYPE)?;
    let rest = text.strip_prefix("\\#").ok_or(DATA)?.trim();
    let (length, hex) = rest.split_once(' ').unwrap_or((rest, ""));
    let length: u16 = length.parse().map_err(|_| DATA)?;
    let digits: Vec<u8> = hex.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let bytes: Option<Vec<u8>> = digits
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|p| u8::from_str_radix(p, 16).ok()))
        .collect();
    let bytes = bytes.filter(|b| b.len() == usize::from(length)).ok_or(DATA)?;
    Ok((code, RData::Raw(bytes.into(), length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_reads_back_as_written() {
        let cases = [
            ("A", "203.0.113.7"),
            ("AAAA", "2a00:1::7"),
            ("NS", "ns1.example.com"),
            ("MX", "10 mail.example.com"),
            ("MX", "0 ."),
            ("TXT", "\"v=spf1 -all\""),
            ("TXT", "\"a\\\"b\\\\\" \"\\255\""),
            ("SOA", "ns1.example.com hostmaster.example.com 7 7200 3600 1209600 300"),
            ("TYPE65280", "\\# 3 010203"),
        ];
        for (mnemonic, data) in cases {
            assert_eq!(text(&parse(mnemonic, data).unwrap().1), data);
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (mnemonic, data) in
            [("A", "999.1.1.1"), ("MX", "mail"), ("TXT", "\"open"), ("WKS", "x"), ("TYPE9", "x")]
        {
            assert!(parse(mnemonic, data).is_err(), "{mnemonic} {data}");
        }
    }
}
