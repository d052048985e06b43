//! Writes queries.

use crate::Question;

/// UDP payload that this side takes (DNS flag day 2020; RFC 9715).
pub(crate) const PAYLOAD: u16 = 1232;
/// Header, the longest name, type and class, OPT.
pub(crate) const MAX_QUERY: usize = 12 + 255 + 4 + 11;

/// A query with recursion desired; EDNS (RFC 6891) where wanted.
pub(crate) fn encode(id: u16, question: &Question, edns: bool, out: &mut Vec<u8>) {
    out.clear();
    out.extend(id.to_be_bytes());
    out.extend([0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)]);
    out.extend(&question.name[..]);
    out.extend(question.qtype.to_be_bytes());
    out.extend([0, 1]);
    if edns {
        let [p0, p1] = PAYLOAD.to_be_bytes();
        out.extend([0, 0, 41, p0, p1, 0, 0, 0, 0, 0, 0]);
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Message;

    use super::*;

    #[test]
    fn an_independent_decoder_reads_it() {
        let question = Question { token: 0, name: b"\x03www\x07example\x00".as_slice().into(), qtype: 28 };
        for edns in [false, true] {
            let mut out = Vec::new();
            encode(0xabcd, &question, edns, &mut out);
            let m = Message::from_vec(&out).unwrap();
            assert_eq!((m.id, m.recursion_desired, m.queries.len()), (0xabcd, true, 1));
            assert_eq!(m.queries[0].name().to_string(), "www.example.");
            assert_eq!(m.edns.as_ref().map(|e| e.max_payload()), edns.then_some(PAYLOAD));
            assert!(out.len() <= MAX_QUERY);
        }
    }
}
