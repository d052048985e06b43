//! Zones with what the DNS allows and few zones have, and the names that are asked.

use std::fmt::Write as _;

/// Zones by name, and the names to ask, in text form.
#[derive(Default)]
pub struct World {
    pub zones: Vec<(String, String)>,
    pub names: Vec<String>,
    text: String,
}

const HEAD: &str = "$TTL 300\n@ SOA ns Host\\.Master.O.Test. 7 3600 600 86400 60\n@ NS ns\nns A 192.0.2.53\n";

impl World {
    pub fn new() -> Self {
        let mut world = Self { text: HEAD.to_owned(), ..Self::default() };
        world.ask(&["@", "ns"]);
        world.plain();
        world.empty_and_wild();
        world.aliases();
        world.long_and_large();
        world.odd();
        world.cuts();
        let main = std::mem::take(&mut world.text);
        world.zones.push(("o.test".to_owned(), main));
        world.reverse();
        // Loaded without a file: the server has nothing to say of it.
        world.zones.push(("broken.test".to_owned(), String::new()));
        world.names.extend(["broken.test", "a.broken.test", "elsewhere.invalid.example"].map(str::to_owned));
        world
    }

    fn rr(&mut self, owner: &str, data: &str) {
        let _ = writeln!(self.text, "{owner} {data}");
    }

    /// Relative to the main zone.
    fn ask(&mut self, names: &[&str]) {
        let whole = |name: &&str| if *name == "@" { "o.test".to_owned() } else { format!("{name}.o.test") };
        self.names.extend(names.iter().map(whole));
    }

    /// Every second name has a type, every fourth the next one, and so on.
    fn plain(&mut self) {
        let data = |i: u32| {
            [
                format!("A 192.0.2.{}", i % 250),
                format!("AAAA 2001:db8::{i:x}"),
                format!("MX {i} mx{i}.o.test."),
                format!("TXT \"v={i}\" \"\""),
                format!("SRV 1 2 {i} Target{i}.o.test."),
                format!("CAA 128 issue \"ca{i}.example\""),
                format!("PTR h{}.o.test.", i + 1),
                format!("TYPE65400 \\# 4 0102{i:04x}"),
            ]
        };
        for i in 0..420_u32 {
            let name = format!("h{i}");
            // A hash, so that types come in every combination.
            let bits = i.wrapping_mul(2_654_435_761) >> 13;
            for (bit, data) in data(i).iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1) {
                let ttl = [300, 0, 1, 2_147_483_647][(bit + i as usize) % 4];
                self.rr(&name, &format!("{ttl} {data}"));
            }
            self.ask(&[&name]);
        }
        for i in 0..100 {
            self.ask(&[&format!("absent{i}"), &format!("x.h{i}")]);
        }
    }

    fn empty_and_wild(&mut self) {
        for i in 0..20 {
            self.rr(&format!("a.b.c.e{i}"), "A 192.0.2.1");
            self.ask(&[&format!("a.b.c.e{i}"), &format!("b.c.e{i}"), &format!("e{i}"), &format!("x.c.e{i}")]);
            self.rr(&format!("*.w{i}"), "A 192.0.2.2");
            self.rr(&format!("*.w{i}"), &format!("TXT \"wild {i}\""));
            self.rr(&format!("e.w{i}"), "AAAA 2001:db8::e");
            for below in ["x", "x.y", "*", "e", "x.e", "\\*x"] {
                self.ask(&[&format!("{below}.w{i}")]);
            }
            self.rr(&format!("*.wc{i}"), &format!("CNAME h{i}"));
            self.ask(&[&format!("x.wc{i}"), &format!("wc{i}")]);
        }
    }

    fn aliases(&mut self) {
        for links in 1..=14 {
            for link in 0..links {
                let target =
                    if link + 1 == links { "h1".to_owned() } else { format!("l{}.c{links}", link + 1) };
                self.rr(&format!("l{link}.c{links}"), &format!("CNAME {target}"));
            }
            self.ask(&[&format!("l0.c{links}")]);
        }
        for (owner, target) in [
            ("self", "self"),
            ("two-a", "two-b"),
            ("two-b", "two-a"),
            ("tail", "two-a"),
            ("r0", "r1"),
            ("r1", "r2"),
            ("r2", "r0"),
            ("dangling", "nobody"),
            ("dangling2", "dangling"),
            ("toempty", "c.e1"),
            ("towild", "any.w3"),
            ("UPPER", "MiXed.o.TEST."),
            ("mixed", "H3"),
            ("out", "elsewhere.invalid.example."),
            ("out2", "out"),
            ("toother", "5.2.0.192.in-addr.arpa."),
            ("tobroken", "a.broken.test."),
            ("tocut", "x.sub1"),
            ("toroot", "."),
        ] {
            self.rr(owner, &format!("CNAME {target}"));
            self.ask(&[&owner.to_lowercase()]);
        }
        for i in 0..10 {
            self.rr(&format!("d{i}"), &format!("DNAME e{i}"));
            self.rr(&format!("d{i}"), "TXT \"beside\"");
            let names = ["", "a.b.c.", "c.", "nobody."].map(|below| format!("{below}d{i}"));
            self.ask(&names.each_ref().map(String::as_str));
        }
        // An alias that a DNAME makes leads to an alias.
        self.rr("dd", "DNAME c5");
        self.rr("dloop", "DNAME a.dloop2");
        self.rr("dloop2", "DNAME dloop");
        self.ask(&["l0.dd", "l4.dd", "x.dloop", "x.dloop2"]);
        // What stands in the place of the end may make a name too long (RFC 6672 section 2.2).
        let far = [[b'f'; 60]; 3].map(|l| String::from_utf8_lossy(&l).into_owned()).join(".");
        self.rr("far", &format!("DNAME {far}"));
        self.rr(&format!("near.{far}"), "A 192.0.2.60");
        self.ask(&["near.far", &format!("{0}.{0}.far", "x".repeat(63)), &format!("near.{far}")]);
    }

    fn long_and_large(&mut self) {
        // With "o.test" and the root: 255 octets.
        let rest = 255 - 8;
        let mut longest = "l.".repeat((rest - 64) / 2);
        longest.push_str(&"m".repeat(63 - (rest - 64) % 2));
        let filled = 2 * ((rest - 64) / 2) + 64 - (rest - 64) % 2;
        let first = if filled < rest { "n".repeat(rest - filled - 1) + "." } else { String::new() };
        let longest = format!("{first}{longest}");
        let labels = "1.".repeat(110) + "end";
        for name in [&longest, &labels] {
            self.rr(name, "A 192.0.2.7");
            self.rr(name, &format!("MX 5 {name}"));
            self.ask(&[name]);
        }
        self.rr("tolongest", &format!("CNAME {longest}"));
        self.ask(&["tolongest"]);
        for count in [20, 80, 300, 2000, 3900] {
            let name = format!("many{count}");
            for i in 0..count {
                self.rr(&name, &format!("A 10.0.{}.{}", i / 250, i % 250));
            }
            self.ask(&[&name]);
            self.rr(&format!("to{name}"), &format!("CNAME {name}"));
            self.ask(&[&format!("to{name}")]);
        }
        for (name, strings) in [("txt1k", 4), ("txt4k", 16), ("txt16k", 64), ("txt64k", 253)] {
            let one = format!(" \"{}\"", "t".repeat(255));
            self.rr(name, &format!("TXT{}", one.repeat(strings)));
            self.ask(&[name]);
        }
        for i in 0..200 {
            self.rr("txts", &format!("TXT \"{i} {}\"", "u".repeat(250)));
            self.rr("mxs", &format!("MX {i} host{i}.a.long.name.that.is.said.once"));
        }
        self.ask(&["txts", "mxs"]);
    }

    fn odd(&mut self) {
        for owner in [
            "a\\.b",
            "\\000",
            "\\255\\254",
            "\\000\\255x.y",
            "sp\\032ace",
            "qu\\034ote",
            "semi\\059",
            "back\\092",
            "at\\064",
            "dollar\\036",
            "paren\\040\\041",
            "new\\010line",
            "_under._tcp",
            "-",
            "xn--bcher-kva",
            "0",
            "1.2.3.4",
        ] {
            self.rr(owner, "A 192.0.2.8");
            self.rr(owner, &format!("TXT \"\\000\\255\\\"\\\\\" \"{}\"", "\\200".repeat(3)));
            self.rr(&format!("to.{owner}"), &format!("CNAME {owner}"));
            self.ask(&[owner, &format!("to.{owner}"), &format!("x.{owner}")]);
        }
        for (owner, data) in [
            ("nullmx", "MX 0 ."),
            ("mxtoalias", "MX 10 two-a"),
            ("mxsame", "MX 10 mxsame"),
            ("srvnone", "SRV 0 0 0 ."),
            ("srvalias", "SRV 65535 65535 65535 l0.c3"),
            ("caa", "CAA 128 tbs \"Unknown\""),
            ("caa", "CAA 0 issue \";\""),
            ("caa", "CAA 0 issuewild \"\""),
            ("caa", "CAA 255 iodef \"mailto:\\255\""),
            ("any0", "TYPE65400 \\# 0"),
            ("any1", "TYPE65400 \\# 1 ff"),
            ("txt0", "TXT \"\""),
            ("a0", "A 0.0.0.0"),
            ("a0", "A 255.255.255.255"),
            ("aaaa0", "AAAA ::"),
            ("aaaa0", "AAAA ::ffff:192.0.2.1"),
            ("ptrs", "PTR ."),
            ("ptrs", "PTR \\000.o.test."),
        ] {
            self.rr(owner, data);
            self.ask(&[owner]);
        }
        self.names.sort();
        self.names.dedup();
    }

    fn cuts(&mut self) {
        for i in 0..10 {
            self.rr(&format!("sub{i}"), &format!("NS ns.sub{i}"));
            self.rr(&format!("ns.sub{i}"), "A 192.0.2.54");
            self.rr(&format!("far{i}"), "NS ns.elsewhere.example.");
            for name in ["sub", "x.sub", "ns.sub", "far", "x.y.far"] {
                self.ask(&[&format!("{name}{i}")]);
            }
        }
    }

    /// Addresses, some of them with a customer (RFC 2317).
    fn reverse(&mut self) {
        let mut text = HEAD.to_owned();
        for i in 0..64 {
            let data = match i % 4 {
                0 => format!("CNAME {i}.0/26"),
                1 => format!("PTR h{i}.o.test.\n{i} PTR other{i}.o.test."),
                2 => format!("PTR UPPER.h{i}.O.test.\n{i}.0/26 PTR x.o.test."),
                _ => format!("TXT \"unused {i}\""),
            };
            let _ = writeln!(text, "{i} {data}");
            if i % 8 == 0 {
                let _ = writeln!(text, "{i}.0/26 PTR customer{i}.o.test.");
            }
            self.names.push(format!("{i}.2.0.192.in-addr.arpa"));
        }
        self.zones.push(("2.0.192.in-addr.arpa".to_owned(), text));
    }
}
