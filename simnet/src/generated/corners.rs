//! Hostile corners: what an investigator meets sooner or later. Each lies on an ordinary host of the
//! neighbourhood, so that a walk comes across it.

use std::net::Ipv4Addr;

use super::Generated;
use super::lexicon::registrable;
use super::ordinary::Stay;
use super::sheet::{Sheet, reverse_name};
use super::zones::record;
use crate::model::{RData, Rcode, Record, rtype};
use crate::name::{Name, labels};
use crate::presentation::txt;
use crate::time::DAY;
use crate::world::Step;

/// Links of the CNAME maze.
const MAZE: usize = 30;
/// Records of the largest answer.
const MANY: u32 = 4_000;
/// Octets of the largest text; with the length octets it just fits a message.
const LARGE_TEXT: usize = 65_000;
/// Zones in which everything leads deeper into the zone.
const DEEP: &str = "deeper-and-deeper.net";

/// Texts that no terminal, browser or parser likes.
const NASTY: [&[u8]; 9] = [
    b"<script>alert(1)</script><img src=x onerror=alert(2)>",
    b"\x1b[2J\x1b[31mred\x1b[0m \x1b]0;title\x07",
    b"\xe2\x80\xaereversed\xe2\x80\xac \xe2\x80\x8bzero width",
    b"\x00\x01\x02\x07\x08\x0b\x0c\x7f",
    b"\xff\xfe invalid \xc3\x28 utf-8",
    b"line one\r\nline two\r\nSet-Cookie: a=b",
    b"=cmd|'/c calc'!A1,\"quoted\",'; DROP TABLE pairs;--",
    b"v=spf1 include:self-include.net include:self-include.net ip4:999.1.1.1 ip4:203.0.113.0/99 -all",
    b"",
];

impl Generated {
    pub(super) fn write_corners(&mut self) {
        for (n, domain) in ["cname-loop.com", "cname-self.com", "cname-maze.com"].iter().enumerate() {
            self.write_corner(domain, n as u64);
        }
        self.write_aliases();
        for (n, domain) in ["refused-here.com", "servfail-here.com"].iter().enumerate() {
            self.write_corner(domain, 3 + n as u64);
            self.fail(domain, if n == 0 { Rcode::Refused } else { Rcode::ServFail });
        }
        let large = self.write_corner("large-text.net", 5);
        let text: Vec<u8> = (0..LARGE_TEXT).map(|i| b'a' + (i % 26) as u8).collect();
        self.tables.add(&large, rtype::TXT, 3600, txt(&text));
        let many = self.write_corner("many-addresses.net", 6);
        for n in 0..MANY {
            let addr = self.space.v4(5_000_000 + u64::from(n / 250), (n % 250) as u8 + 1);
            self.tables.add(&many, rtype::A, 300, RData::A(addr));
        }
        self.write_nasty();
        self.write_malformed();
        self.write_limits();
        self.write_selves();
        self.write_ptr_loops();
    }

    /// A zone of its own on an ordinary host; later calls add to it.
    fn write_corner(&mut self, domain: &str, number: u64) -> Name {
        self.write_corner_on(domain, number, &[self.corner_host(number)])
    }

    /// The same, on these addresses.
    fn write_corner_on(&mut self, domain: &str, number: u64, addrs: &[Ipv4Addr]) -> Name {
        let index = self.next_number();
        let registrar = number % super::registry::REGISTRARS;
        let registered = self.now - (300 + 20 * number as i64) * DAY;
        let provider = &self.cast.ns[number as usize % 10];
        let stay = |(addr, hours): (&Ipv4Addr, i64)| Stay {
            addr: *addr,
            first: registered + DAY,
            last: self.now - 3600 * hours,
        };
        let stays = addrs.iter().zip(1..).map(stay).collect();
        let sheet = Sheet {
            domain: domain.to_owned(),
            index,
            registrar,
            registered,
            registrant: self.privacy(registrar),
            ns: provider.groups[0].iter().map(ToString::to_string).collect(),
            stays,
            served: true,
            seen: self.now - 3600,
            ..Sheet::default()
        };
        self.write(&sheet);
        Name::from_text(domain).unwrap_or_else(Name::root)
    }

    /// Large blocks are met soonest.
    fn corner_host(&self, number: u64) -> Ipv4Addr {
        let hosts = self.layouts[0].hosts();
        let start = crate::rng::mix(self.key ^ number ^ 0xc04e) % hosts;
        let large = (0..hosts).map(|n| (start + n) % hosts).find(|h| self.block_len(*h) >= 60);
        self.host_addr(large.unwrap_or(start))
    }

    fn write_aliases(&mut self) {
        let mut alias = |from: &str, to: &str| {
            if let (Some(from), Some(to)) = (Name::from_text(from), Name::from_text(to)) {
                self.tables.add(&from, rtype::CNAME, 300, RData::Host(to));
            }
        };
        alias("a.cname-loop.com", "b.cname-loop.com");
        alias("b.cname-loop.com", "a.cname-loop.com");
        alias("www.cname-loop.com", "a.cname-loop.com");
        alias("www.cname-self.com", "www.cname-self.com");
        alias("www.cname-maze.com", "m1.cname-maze.com");
        for link in 1..MAZE - 1 {
            alias(&format!("m{link}.cname-maze.com"), &format!("m{}.cname-maze.com", link + 1));
        }
        let addr = self.corner_host(2);
        if let Some(end) = Name::from_text(&format!("m{}.cname-maze.com", MAZE - 1)) {
            self.tables.add(&end, rtype::A, 300, RData::A(addr));
        }
        // The loops hang at names that the neighbourhood asks for: their mail hosts.
        for domain in ["cname-loop.com", "cname-self.com", "cname-maze.com"] {
            if let Some(apex) = Name::from_text(domain) {
                self.tables.add(&apex, rtype::MX, 300, RData::Mx(10, apex.child(b"www")));
            }
        }
    }

    fn fail(&mut self, domain: &str, rcode: Rcode) {
        if let Some(name) = Name::from_text(domain) {
            self.tables.set_rcode(&name, rcode);
        }
    }

    fn write_nasty(&mut self) {
        let addr = self.cast.next_addr(super::cast::ORG_HOSTING, &self.space);
        let apex = self.write_corner_on("nasty-text.org", 7, &[self.corner_host(7), addr]);
        for text in NASTY {
            self.tables.add(&apex, rtype::TXT, 300, txt(text));
        }
        // Labels with octets that text forms must escape, up to a dot and a NUL inside a label.
        for label in
            [&b"<b>x</b>"[..], b"\x1b[31mred", b"dot.in", b"\x00nul", b"\xff\xfe", b"\xe2\x80\xaeabc", b"a b"]
        {
            let host = apex.child(label);
            self.tables.add(&apex, rtype::MX, 300, RData::Mx(10, host.clone()));
            self.tables.add(&host, rtype::A, 300, RData::A(self.corner_host(7)));
        }
        let mailbox = apex.child(b"first.last\\@x");
        self.tables.add(&apex, rtype::NS, 300, RData::Host(mailbox));
        self.tables.add(&apex, rtype::A, 300, RData::A(addr));
        if let Some(name) = reverse_name(addr) {
            for label in [&b"<i>ptr</i>"[..], b"\x1b]0;ptr\x07"] {
                self.tables.add(&name, rtype::PTR, 300, RData::Host(apex.child(label)));
            }
        }
        let null = self.write_corner("null-mx.org", 8);
        self.tables.add(&null, rtype::MX, 300, RData::Mx(0, Name::root()));
    }

    /// Records that lie about themselves, among records that do not.
    fn write_malformed(&mut self) {
        let one = self.write_corner("one-broken-record.com", 9);
        let good = |last| RData::A(Ipv4Addr::from_bits(self.corner_host(9).to_bits() & 0xffff_ff00 | last));
        let (first, second) = (good(7), good(9));
        self.tables.add(&one, rtype::A, 300, first);
        // Its own length is true, so a reader can step over it, but three octets are no address.
        self.tables.add(&one, rtype::A, 300, RData::Raw(Box::new([1, 2, 3]), 3));
        self.tables.add(&one, rtype::A, 300, second);
        self.tables.add(&one, rtype::MX, 300, RData::Raw(Box::new([0, 10, 0xc0, 0xff]), 4));
        self.tables.add(&one, rtype::TXT, 300, RData::Raw(Box::new([200, b'x']), 2));
        let lies = self.write_corner("lying-length.com", 10);
        self.tables.add(&lies, rtype::A, 300, RData::Raw(Box::new([1, 2, 3, 4]), 400));
        self.tables.add(&lies, rtype::AAAA, 300, RData::Raw(Box::new([0; 16]), 4));
        self.tables.add(&lies, rtype::MX, 300, RData::Raw(Box::new([0, 10, 0xc0, 0x0c]), 2));
    }

    /// The longest label and the longest name.
    fn write_limits(&mut self) {
        let apex = self.write_corner("at-the-limit.org", 11);
        let mut longest = apex.child(&[b'l'; 63]);
        self.tables.add(&apex, rtype::MX, 300, RData::Mx(10, longest.clone()));
        self.tables.add(&longest, rtype::A, 300, RData::A(self.corner_host(11)));
        while longest.as_wire().len() + 64 <= Name::MAX_WIRE {
            longest = longest.child(&[b'l'; 63]);
        }
        let rest = Name::MAX_WIRE - longest.as_wire().len();
        longest = longest.child(&vec![b'e'; rest.saturating_sub(1)]);
        self.tables.add(&apex, rtype::MX, 300, RData::Mx(20, longest.clone()));
        self.tables.add(&longest, rtype::A, 300, RData::A(self.corner_host(11)));
    }

    /// Zones that point at nothing but themselves.
    fn write_selves(&mut self) {
        let addr = self.cast.next_addr(super::cast::ORG_HOSTING + 1, &self.space);
        let own = self.write_corner_on("self-reference.org", 12, &[self.corner_host(12), addr]);
        self.tables.add(&own, rtype::A, 300, RData::A(addr));
        self.tables.add(&own, rtype::MX, 300, RData::Mx(10, own.clone()));
        self.tables.add(&own, rtype::NS, 300, RData::Host(own.clone()));
        self.write_ptr(addr, &own);
        let include = self.write_corner("self-include.net", 13);
        self.tables.add(&include, rtype::TXT, 300, txt(b"v=spf1 include:self-include.net ~all"));
        let deep = self.write_corner(DEEP, 14);
        self.tables.add(&deep, rtype::MX, 300, RData::Mx(10, deep.child(b"x0")));
    }

    /// Two addresses whose reverse names lead to each other, and one that is its own reverse name.
    fn write_ptr_loops(&mut self) {
        let [one, two, own] =
            [0, 1, 2].map(|_| self.cast.next_addr(super::cast::ORG_HOSTING + 2, &self.space));
        let apex = self.write_corner_on("ptr-loop.net", 15, &[self.corner_host(15), one, own]);
        let (to_one, to_two) = (apex.child(b"one"), apex.child(b"two"));
        self.tables.add(&apex, rtype::A, 300, RData::A(one));
        self.tables.add(&to_one, rtype::A, 300, RData::A(one));
        self.tables.add(&to_two, rtype::A, 300, RData::A(two));
        self.write_ptr(one, &to_two);
        self.write_ptr(two, &to_one);
        if let Some(name) = reverse_name(own) {
            self.write_ptr(own, &name.clone());
            self.tables.add(&apex, rtype::A, 300, RData::A(own));
        }
    }

    /// Answers that are computed from the label asked for.
    pub(super) fn corner(
        &self,
        apex: &[u8],
        prefix: &[u8],
        name: &[u8],
        qtype: u16,
        out: &mut Vec<Record>,
    ) -> Option<Step> {
        let label = labels(prefix).next()?;
        if Name::from_text(DEEP).is_some_and(|deep| deep.as_wire() == apex) {
            return self.deeper(label, name, qtype, out);
        }
        self.selective_wildcard(apex, label, name, qtype, out)
    }

    /// Each label leads to another one, without end.
    fn deeper(&self, label: &[u8], name: &[u8], qtype: u16, out: &mut Vec<Record>) -> Option<Step> {
        let number: u64 = std::str::from_utf8(label).ok()?.strip_prefix('x')?.parse().ok()?;
        let zone = Name::from_wire(name[registrable(name)?..].to_vec());
        let next = zone.child(format!("x{}", number.checked_add(1)?).as_bytes());
        match qtype {
            rtype::MX => out.push(record(name, rtype::MX, 60, RData::Mx(10, next))),
            rtype::NS => out.push(record(name, rtype::NS, 60, RData::Host(next))),
            rtype::A => out.push(record(name, rtype::A, 60, RData::A(self.corner_host(14)))),
            _ => return None,
        }
        Some(Step::Found)
    }

    /// Zones in which only labels that begin with a to m exist.
    fn selective_wildcard(
        &self,
        apex: &[u8],
        label: &[u8],
        name: &[u8],
        qtype: u16,
        out: &mut Vec<Record>,
    ) -> Option<Step> {
        let index = self.lexicon.index(apex)?;
        let number = index.checked_sub(self.ordinary + super::infra::FIRST_WILDCARD)?;
        let known = number < super::infra::WILDCARDS && number % 3 == 0 && label != b"www";
        if !known || !(b'a'..=b'm').contains(label.first()?) || qtype != rtype::A {
            return None;
        }
        out.push(record(name, rtype::A, 60, RData::A(self.wildcard_addr(number))));
        Some(Step::Found)
    }
}
