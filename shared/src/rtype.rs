//! DNS record types by name and number (IANA registry "Resource Record (RR) TYPEs").

/// The types that sources ask for.
const TYPES: [(&str, u16); 12] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
    ("DS", 43),
    ("HTTPS", 65),
    ("CAA", 257),
];

/// The number of a type.
pub fn number(name: &str) -> Option<u16> {
    TYPES.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, t)| *t)
}

/// The name of a type; `TYPE123` for others (RFC 3597 section 5).
pub fn name(number: u16) -> String {
    TYPES.iter().find(|(_, t)| *t == number).map_or_else(|| format!("TYPE{number}"), |(n, _)| (*n).into())
}
