//! Writes queries.

use crate::Question;

/// UDP payload that this side takes (DNS flag day 2020; RFC 9715).
pub(crate) const PAYLOAD: u16 = 1232;
/// Padded queries have a multiple of this length (RFC 7830), at least [`PADDED_LEAST`].
const PADDED_STEP: usize = 32;
const PADDED_LEAST: usize = 64;
/// Header, the longest name, type and class, OPT, padding.
pub(crate) const MAX_QUERY: usize = 12 + 255 + 4 + 11 + 4 + PADDED_STEP;
/// EDNS option code of padding.
const PADDING: u16 = 12;

/// What a query carries beside its question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    /// EDNS (RFC 6891).
    pub(crate) edns: bool,
    /// Filled up to few lengths, where it has EDNS.
    pub(crate) padded: bool,
    /// Each letter's case is one of these bits, in turn (draft-vixie-dnsext-dns0x20); all
    /// letters are in lower case where it is 0.
    pub(crate) case: u64,
}

/// The octet of a name with its case set; `i` is its place. Lengths of labels are below the
/// letters.
pub(crate) fn cased(octet: u8, i: usize, case: u64) -> u8 {
    octet ^ (u8::from(octet.is_ascii_lowercase()) & (case >> (i % 64)) as u8) << 5
}

/// Appends a query with recursion desired.
pub(crate) fn encode(id: u16, question: &Question, form: Form, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend(id.to_be_bytes());
    out.extend([0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, u8::from(form.edns)]);
    match form.case {
        0 => out.extend(&question.name[..]),
        case => out.extend(question.name.iter().enumerate().map(|(i, o)| cased(*o, i, case))),
    }
    out.extend(u16::from(question.qtype).to_be_bytes());
    out.extend([0, 1]);
    if form.edns {
        let [p0, p1] = PAYLOAD.to_be_bytes();
        out.extend([0, 0, 41, p0, p1, 0, 0, 0, 0]);
        if form.padded {
            // RDLENGTH, option code and length come before the padding.
            let bare = out.len() - start + 2 + 4;
            let padding = bare.next_multiple_of(PADDED_STEP).max(PADDED_LEAST) - bare;
            out.extend((padding as u16 + 4).to_be_bytes());
            out.extend(PADDING.to_be_bytes());
            out.extend((padding as u16).to_be_bytes());
            out.resize(out.len() + padding, 0);
        } else {
            out.extend([0, 0]);
        }
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Message;

    use super::*;
    use crate::RecordType;

    #[test]
    fn an_independent_decoder_reads_it() {
        let name = b"\x03www\x07example\x00".as_slice();
        let question = Question { token: 0, name: name.into(), qtype: RecordType::AAAA };
        for (edns, padded) in [(false, false), (true, false), (true, true), (false, true)] {
            for case in [0, u64::MAX, 0x5555_5555_5555_5555] {
                let mut out = vec![7; 3];
                encode(0xabcd, &question, Form { edns, padded, case }, &mut out);
                let out = &out[3..];
                let m = Message::from_vec(out).unwrap();
                assert_eq!((m.id, m.recursion_desired, m.queries.len()), (0xabcd, true, 1));
                assert_eq!(m.queries[0].name().to_string().to_lowercase(), "www.example.");
                assert_eq!(m.edns.as_ref().map(|e| e.max_payload()), edns.then_some(PAYLOAD));
                assert_eq!(out.len() == 64, edns && padded);
                let upper = out[12..24].iter().filter(|o| o.is_ascii_uppercase()).count();
                assert_eq!(
                    upper,
                    match case {
                        0 => 0,
                        u64::MAX => 10,
                        _ => 4,
                    }
                );
                assert!(out.len() <= MAX_QUERY);
            }
        }
    }
}
