//! Expands a generated world breadth first, in process, and prints what is reached: to tune the world.
#![expect(clippy::print_stdout, reason = "the table is the purpose")]

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use kudzu_simnet::{Name, PdnsQuery, RData, Record, World, WorldSpec, rtype};

/// Lookups are asked of nodes nearer than this.
const DEPTH: usize = 6;
/// Passive DNS is asked of nodes up to this depth.
const PDNS_DEPTH: usize = 4;
/// Registrations, certificates and history are asked of names up to this depth.
const SLOW_DEPTH: usize = 3;
/// More names than this make a hub.
const HUB: u64 = 500;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Node {
    Name(Name),
    Addr(IpAddr),
    Mailbox(Name),
    System(u32),
    Certificate(String),
    Owner(String),
}

struct Walk {
    world: World,
    depths: HashMap<Node, usize>,
    next: Vec<Node>,
    dns: u64,
    pdns: u64,
    certs: u64,
    rdap: u64,
    hosts: HashSet<Name>,
}

impl Walk {
    fn reach(&mut self, node: Node, depth: usize) {
        if !self.depths.contains_key(&node) {
            self.depths.insert(node.clone(), depth);
            self.next.push(node);
        }
    }

    fn ask(&mut self, name: &Name, qtype: u16) -> Vec<Record> {
        self.dns += 1;
        let mut out = Vec::new();
        let _ = self.world.dns(name.lowercase().as_wire(), qtype, &mut out);
        out
    }

    fn take(&mut self, record: &Record, depth: usize) {
        match &record.rdata {
            RData::A(addr) => self.reach(Node::Addr((*addr).into()), depth),
            RData::Aaaa(addr) => self.reach(Node::Addr((*addr).into()), depth),
            RData::Host(host) => {
                if record.rtype == rtype::NS {
                    self.serve(host, depth);
                }
                self.reach(Node::Name(host.clone()), depth);
            }
            RData::Mx(_, host) if host.as_wire().len() > 1 => {
                self.serve(host, depth);
                self.reach(Node::Name(host.clone()), depth);
            }
            RData::Soa(soa) => self.reach(Node::Mailbox(soa.rname.clone()), depth),
            RData::Txt(parts) => self.take_spf(&parts.concat(), depth),
            RData::Mx(..) | RData::Raw(..) => {}
        }
    }

    /// Notes a host that serves others, and asks whom.
    fn serve(&mut self, host: &Name, depth: usize) {
        if depth <= PDNS_DEPTH && self.hosts.insert(host.clone()) {
            self.rows(&PdnsQuery::Rdata(host.lowercase()), depth);
        }
    }

    fn take_spf(&mut self, text: &[u8], depth: usize) {
        let text = String::from_utf8_lossy(text).into_owned();
        for word in text.strip_prefix("v=spf1 ").into_iter().flat_map(|t| t.split(' ')) {
            if let Some(addr) = word.strip_prefix("ip4:").and_then(|a| a.parse().ok()) {
                self.reach(Node::Addr(addr), depth);
            } else if let Some(name) = word.strip_prefix("include:").and_then(Name::from_text) {
                self.reach(Node::Name(name), depth);
            }
        }
    }

    fn expand(&mut self, node: &Node, depth: usize) {
        match node {
            Node::Name(name) => {
                for qtype in [rtype::A, rtype::AAAA, rtype::NS, rtype::MX, rtype::TXT, rtype::SOA] {
                    for record in self.ask(name, qtype) {
                        self.take(&record, depth + 1);
                    }
                }
                if depth <= SLOW_DEPTH {
                    self.slow(name, depth);
                }
            }
            Node::Addr(addr) => {
                for (name, qtype) in reverse(*addr) {
                    for record in self.ask(&name, qtype) {
                        self.take_reverse(&record, depth + 1);
                    }
                }
                if depth <= PDNS_DEPTH {
                    self.rows(&PdnsQuery::Addr(*addr), depth);
                }
            }
            Node::Certificate(sha256) => {
                if depth > PDNS_DEPTH {
                    return;
                }
                self.certs += 1;
                let names: Vec<String> = self.world.certs(sha256).into_iter().flat_map(|c| c.names).collect();
                for name in names.iter().filter_map(|n| Name::from_text(n)) {
                    self.reach(Node::Name(name), depth + 1);
                }
            }
            Node::Mailbox(mailbox) => {
                self.rdap += u64::from(depth <= PDNS_DEPTH);
                let text = mailbox.to_string();
                self.owned(&text.replacen('.', "@", 1), depth);
            }
            Node::Owner(email) => {
                self.rdap += 2 * u64::from(depth <= PDNS_DEPTH);
                self.owned(email, depth);
            }
            Node::System(_) => {}
        }
    }

    /// History, registration and certificates of a name.
    fn slow(&mut self, name: &Name, depth: usize) {
        self.pdns += 1;
        for row in self.world.pdns_rows(&PdnsQuery::Name(name.lowercase())).collect::<Vec<_>>() {
            if let Ok(addr) = row.rdata.parse() {
                self.reach(Node::Addr(addr), depth + 1);
            }
        }
        let text = name.to_string();
        if text.matches('.').count() > 1 + usize::from(text.ends_with(".uk")) {
            return;
        }
        self.certs += 1;
        for cert in self.world.certs(&text) {
            self.reach(Node::Certificate(cert.sha256), depth + 1);
        }
        self.rdap += 1;
        if let Some(registration) = self.world.registration(&text).filter(|r| !r.registrant.redacted) {
            self.reach(Node::Owner(registration.registrant.email), depth + 1);
        }
    }

    fn owned(&mut self, email: &str, depth: usize) {
        if depth <= PDNS_DEPTH {
            for domain in self.world.registered_by(email).iter().filter_map(|d| Name::from_text(d)) {
                self.reach(Node::Name(domain), depth + 1);
            }
        }
    }

    fn take_reverse(&mut self, record: &Record, depth: usize) {
        if let RData::Txt(parts) = &record.rdata {
            let text = String::from_utf8_lossy(&parts.concat()).into_owned();
            if let Some(asn) = text.split(' ').next().and_then(|n| n.parse().ok()) {
                self.reach(Node::System(asn), depth);
            }
        } else {
            self.take(record, depth);
        }
    }

    fn rows(&mut self, query: &PdnsQuery, depth: usize) {
        self.pdns += 1;
        let rows = self.world.pdns_rows(query);
        if depth == 2 {
            println!("{query:?} {}", rows.total());
        }
        if rows.total() > HUB {
            return;
        }
        for name in rows.filter_map(|row| Name::from_text(&row.rrname)) {
            self.reach(Node::Name(name), depth + 1);
        }
    }
}

fn reverse(addr: IpAddr) -> Vec<(Name, u16)> {
    let (labels, tree, origin): (Vec<String>, _, _) = match addr {
        IpAddr::V4(v4) => (v4.octets().iter().rev().map(u8::to_string).collect(), "in-addr.arpa", "origin"),
        IpAddr::V6(v6) => {
            let nibbles = (0..32).map(|n| format!("{:x}", (v6.to_bits() >> (4 * n)) & 0xf)).collect();
            (nibbles, "ip6.arpa", "origin6")
        }
    };
    let labels = labels.join(".");
    let names =
        [(format!("{labels}.{tree}"), rtype::PTR), (format!("{labels}.{origin}.asn.cymru.com"), rtype::TXT)];
    names.into_iter().filter_map(|(text, qtype)| Some((Name::from_text(&text)?, qtype))).collect()
}

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let seeds = if numbers.is_empty() { (1..=10).collect() } else { numbers };
    println!(
        "seed  depth0..6                                          nodes     dns   pdns certs  rdap     all  planned"
    );
    for seed in seeds {
        let world = World::generate(&WorldSpec { seed, ..WorldSpec::default() });
        let truth = world.truth();
        let mut walk = Walk {
            world,
            depths: HashMap::new(),
            next: Vec::new(),
            dns: 0,
            pdns: 0,
            certs: 0,
            rdap: 0,
            hosts: HashSet::new(),
        };
        for start in truth.seeds.iter().filter_map(|s| s.parse().ok()) {
            walk.reach(Node::Addr(start), 0);
        }
        for depth in 0..DEPTH {
            for node in std::mem::take(&mut walk.next) {
                walk.expand(&node, depth);
            }
        }
        let mut kinds: HashMap<(usize, &str), usize> = HashMap::new();
        for (n, d) in &walk.depths {
            let k = match n {
                Node::Name(n) if n.to_string().starts_with("www.") => "www",
                Node::Name(n) if n.to_string().starts_with("mail.") => "mail",
                Node::Name(_) => "name",
                Node::Addr(IpAddr::V4(_)) => "v4",
                Node::Addr(_) => "v6",
                Node::Mailbox(_) => "mbox",
                Node::System(_) => "as",
                Node::Certificate(_) => "cert",
                Node::Owner(_) => "owner",
            };
            *kinds.entry((*d, k)).or_default() += 1;
        }
        let mut kinds: Vec<_> = kinds.into_iter().collect();
        kinds.sort();
        println!("{kinds:?}");
        let mut levels = [0; DEPTH + 1];
        walk.depths.values().for_each(|d| levels[*d] += 1);
        let known =
            |domain: &str| Name::from_text(domain).is_some_and(|n| walk.depths.contains_key(&Node::Name(n)));
        let reachable: Vec<_> = truth.planned.iter().filter(|p| p.reachable).collect();
        let missed: Vec<_> = reachable.iter().filter(|p| !known(&p.domain)).collect();
        println!(
            "{seed:>4}  {:<50} {:>6} {:>7} {:>6} {:>5} {:>5} {:>7}  {}/{} of {}",
            levels.map(|l| l.to_string()).join(" "),
            walk.depths.len(),
            walk.dns,
            walk.pdns,
            walk.certs,
            walk.rdap,
            walk.dns + walk.pdns + walk.certs + walk.rdap,
            reachable.len() - missed.len(),
            reachable.len(),
            truth.planned.len(),
        );
        for planned in missed.iter().take(3) {
            println!("      missed {planned:?}");
        }
    }
}
