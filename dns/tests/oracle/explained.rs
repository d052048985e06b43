//! Where the two may differ, and why.

use kudzu_dns::{Data, RecordType, Verdict};

use crate::Difference;

/// A kind of difference.
pub struct Explained {
    pub reason: &'static str,
    pub holds: fn(&Difference) -> bool,
}

impl Difference {
    fn verdicts(&self) -> (Verdict, Verdict) {
        (self.ours.verdict, self.theirs.verdict)
    }

    /// The answer begins with an alias.
    fn is_alias(&self) -> bool {
        self.reply.records.iter().any(|r| r.rtype == RecordType::CNAME)
    }

    fn is_of(&self, names: &[&str]) -> bool {
        self.name.strip_suffix(".o.test").is_some_and(|name| names.contains(&name))
    }
}

/// The first that holds counts.
pub const ALL: &[Explained] = &[
    // hickory asks for each alias that leads nowhere once more, until it has asked 8 times, and
    // then says that there is no data.
    Explained {
        reason: "aliases in a circle are no data to hickory",
        holds: |d| {
            d.verdicts() == (Verdict::Loop, Verdict::NoData)
                && d.is_of(&["self", "two-a", "two-b", "tail", "r0", "r1", "r2"])
        },
    },
    // The circle never closes: each round makes the name longer.
    Explained {
        reason: "DNAMEs in a circle are no data to hickory",
        holds: |d| d.verdicts() == (Verdict::Limit, Verdict::NoData) && d.is_of(&["x.dloop", "x.dloop2"]),
    },
    // hickory has no limit within one message, and NSD puts all it knows into one.
    Explained {
        reason: "hickory follows more than 11 aliases",
        holds: |d| {
            d.ours.verdict == Verdict::Limit
                && d.is_of(&["l0.c12", "l0.c13", "l0.c14"])
                && matches!(d.theirs.verdict, Verdict::Found | Verdict::NoData | Verdict::NxDomain)
        },
    },
    // It takes the target for one more alias, and asks for a SRV record of that.
    Explained {
        reason: "hickory goes on to the target of a SRV record behind an alias",
        holds: |d| {
            d.verdicts() == (Verdict::Found, Verdict::NxDomain) && d.qtype == RecordType::SRV && d.is_alias()
        },
    },
    // RFC 3597 allows such data; hickory-proto fails for want of an octet.
    Explained {
        reason: "hickory cannot read data without an octet",
        holds: |d| {
            let is_empty = |data: &Data| matches!(data, Data::Raw(octets) if octets.is_empty());
            d.verdicts() == (Verdict::Found, Verdict::Malformed)
                && d.reply.records.iter().any(|r| is_empty(&r.data))
        },
    },
    // NSD is no resolver: where the end of the chain is not its own it leaves it out. hickory
    // asks for the end itself, and is refused, or gets SERVFAIL.
    Explained {
        reason: "hickory asks for the end that a server leaves out",
        holds: |d| {
            let end = match d.theirs.verdict {
                Verdict::Refused => d.is_of(&["out", "out2", "toroot"]),
                Verdict::ServFail => d.is_of(&["tobroken"]),
                // What it was refused of a SOA it takes for none.
                Verdict::NoData if d.qtype == RecordType::SOA => {
                    d.is_of(&["out", "out2", "toroot", "tobroken"])
                }
                _ => false,
            };
            end && d.ours.verdict == Verdict::Lame && d.is_alias()
        },
    },
];
