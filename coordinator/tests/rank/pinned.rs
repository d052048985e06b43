//! What the ranking says of generated worlds, to the last digit: a change that is to be none
//! in what is ranked, only in how, shows here.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use kudzu_coordinator::rank::rank;
use kudzu_coordinator::tree::Tree;
use kudzu_shared::fact::FactName;
use kudzu_shared::observable::{Kind, Observable};
use kudzu_shared::outcome::Total;
use kudzu_shared::packs::Packs;
use kudzu_shared::pair::{Pair, Relation};
use sha2::{Digest, Sha256};

use super::known::{DAY, Known, NOW, addr, name, who};

static PACKS: LazyLock<Arc<Packs>> = LazyLock::new(|| Arc::new(Packs::builtin().clone()));

/// Draws for a world.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (((self.0 >> 33) * u64::from(n)) >> 31) as u32
    }

    fn percent(&mut self, p: u32) -> bool {
        self.below(100) < p
    }

    /// The lower, the likelier.
    fn skewed(&mut self, n: u32) -> u32 {
        let below = self.below(n) + 1;
        self.below(below)
    }
}

/// A world in the making: how many of what there are, and who belongs together.
struct Making {
    draw: Draw,
    known: Known,
    domains: u32,
}

impl Making {
    fn of(seed: u64) -> Self {
        let mut draw = Draw(seed);
        draw.below(2);
        let domains = [12, 40, 90, 500][draw.below(4) as usize];
        let packs = if draw.percent(50) { Arc::clone(&PACKS) } else { Arc::default() };
        let mut making = Self { draw, known: Known { packs, ..Known::default() }, domains };
        for d in 0..domains {
            making.live(d);
            making.past(d);
            making.registration(d);
            making.rest(d);
        }
        making.providers();
        making
    }

    /// Several names to a domain; some below a provider of dynamic names, some are popular.
    fn host(&mut self, d: u32) -> Observable {
        let label = ["", "www.", "mail.", "ns1.", "a.b."][self.draw.skewed(5) as usize];
        name(&match d % 23 {
            7 => format!("{label}d{d}.duckdns.org"),
            11 => format!("{label}d{d}.co.uk"),
            _ => format!("{label}d{d}.com"),
        })
    }

    /// What a domain is likely to share with those beside it, out of `n`.
    fn place(&mut self, d: u32, n: u32) -> u32 {
        let group = d / (3 + self.domains / 15);
        if self.draw.percent(60) { group % n } else { self.draw.skewed(n) }
    }

    fn add(&mut self, user: &Observable, forth: Relation, asset: &Observable, back: Option<Relation>) {
        let said = self.draw.below(5);
        let seen = match self.draw.below(4) {
            0 => (None, None),
            1 => (Some(NOW - i64::from(self.draw.below(900)) * DAY), None),
            _ => {
                let last = NOW - i64::from(self.draw.skewed(900)) * DAY;
                (Some(last - i64::from(self.draw.below(100)) * DAY - 7), Some(last))
            }
        };
        if said != 0 || back.is_none() {
            self.known.pairs.push(Pair::new(user.clone(), forth, asset.clone()).seen(seen.0, seen.1));
        }
        if let Some(back) = back.filter(|_| said < 4) {
            self.known.pairs.push(Pair::new(asset.clone(), back, user.clone()).seen(seen.0, seen.1));
        }
    }

    fn live(&mut self, d: u32) {
        use Relation as R;
        for _ in 0..self.draw.below(3) {
            let (host, at) = (self.host(d), addr(self.place(d, self.domains / 2)));
            self.known.pairs.push(Pair::new(host, R::ResolvesTo, at));
        }
        let servers = if self.draw.percent(4) { 24 } else { self.draw.below(4) };
        for _ in 0..servers {
            let (host, n) = (self.host(d), self.place(d, 30));
            // Some are domains of the world: they belong to those whom they serve.
            let server = if n % 4 == 0 { format!("ns{n}.d{}.com", n * 2) } else { format!("ns{n}.dns.net") };
            self.add(&host, R::NameServer, &name(&server), Some(R::NameServerOf));
        }
        if self.draw.percent(50) {
            let (host, n) = (self.host(d), self.place(d, 20));
            self.add(&host, R::MailExchange, &name(&format!("mx{n}.post.net")), Some(R::MailExchangeOf));
        }
        if self.draw.percent(15) {
            let (host, target) = (self.host(d), self.draw.below(self.domains));
            let target = self.host(target);
            self.add(&host, R::AliasOf, &target, Some(R::AliasFrom));
        }
    }

    fn past(&mut self, d: u32) {
        use Relation as R;
        for _ in 0..self.draw.below(4) {
            let (host, at) = (self.host(d), addr(self.place(d, self.domains / 2)));
            self.add(&host, R::SeenOn, &at, Some(R::HostedName));
            if self.draw.percent(20) {
                self.known.pairs.push(Pair::new(at, R::ReverseName, host));
            }
        }
        if self.draw.percent(80) {
            // The one place where nearly all have been, some of them several times.
            for from in 0..1 + i64::from(self.draw.below(3)) {
                let (host, to) = (self.host(d), from * 150 + i64::from(self.draw.below(90)));
                self.known.on(&host, &addr(9_000), to + 20, to);
            }
        }
    }

    fn registration(&mut self, d: u32) {
        use Relation as R;
        let domain = name(&format!("d{d}.com"));
        if self.draw.percent(60) {
            let days = if self.draw.percent(50) { 40 + d / 9 } else { self.draw.below(4_000) };
            self.known.dated(&domain, FactName::Registered, i64::from(days));
        }
        if self.draw.percent(60) {
            let registrar = who(&format!("Registrar {}", self.place(d, 3)));
            self.known.pairs.push(Pair::new(domain.clone(), R::Registrar, registrar));
        }
        if self.draw.percent(40) {
            let person = who(&format!("Max {}", self.place(d, 25)));
            self.add(&domain, R::RegisteredBy, &person, Some(R::RegistrantOf));
        }
        if self.draw.percent(20) {
            let text = format!("max{}@post.net", self.place(d, 25));
            let mailbox = Observable::from_wire(Kind::EmailAddr, text.as_bytes()).unwrap();
            let relation =
                *[R::ContactMailbox, R::ResponsibleMailbox].get(self.draw.below(2) as usize).unwrap();
            self.add(&domain, relation, &mailbox, None);
        }
    }

    fn rest(&mut self, d: u32) {
        use Relation as R;
        if self.draw.percent(30) {
            let (host, n) = (self.host(d), self.place(d, 40));
            let print = Observable::from_wire(Kind::X509Certificate, &[n as u8; 32]).unwrap();
            self.add(&host, R::NamedInCertificate, &print, Some(R::CertificateName));
            let days = i64::from(self.draw.below(700));
            self.known.dated(&print, FactName::NotBefore, days + 90);
            self.known.dated(&print, FactName::NotAfter, days);
        }
        if self.draw.percent(15) {
            let (host, at) = (self.host(d), addr(self.place(d, self.domains / 2)));
            self.add(&host, R::SpfAddress, &at, None);
        }
        if self.draw.percent(15) {
            let (host, other) = (self.host(d), self.draw.below(self.domains));
            let other = self.host(other);
            let person = who(&format!("Max {}", self.place(d, 25)));
            let at = addr(self.place(d, self.domains / 2));
            let other = [&other, &person, &at][self.draw.below(3) as usize];
            self.add(&host, R::RelatedTo, other, Some(R::RelatedTo));
        }
        if self.draw.percent(10) {
            let relation = *[R::HostedName, R::CertificateName].get(self.draw.below(2) as usize).unwrap();
            let (key, total) = (addr(self.draw.below(self.domains)), u64::from(self.draw.below(600)));
            self.known.totals.push(Total { key, relation, total });
        }
    }

    /// Who names what it lets, in the reverse tree.
    fn providers(&mut self) {
        for n in 0..self.draw.below(self.domains / 2) {
            let (at, provider) = (addr(n), self.draw.below(4));
            let text = format!("host{n}.d{provider}.com");
            self.known.pairs.push(Pair::new(at, Relation::ReverseName, name(&text)));
        }
    }

    fn seeds(&mut self) -> Vec<Observable> {
        let mut seeds = vec![addr(self.draw.below(4))];
        if self.draw.percent(40) {
            seeds.push(addr(9_000));
        }
        if self.draw.percent(40) {
            seeds.push(name("d1.com"));
            seeds.push(who("Max 1"));
        }
        seeds
    }
}

/// The tree of a world by number.
pub fn tree(seed: u64) -> Tree {
    let mut making = Making::of(seed);
    if making.draw.percent(30) {
        making.known.own = vec![name("d2.com")];
    }
    let seeds = making.seeds();
    making.known.tree(&seeds)
}

/// The digest of what is ranked in worlds by number.
pub fn digest(seeds: Range<u64>) -> String {
    let mut sha = Sha256::new();
    for seed in seeds {
        sha.update(serde_json::to_vec(&rank(&tree(seed))).unwrap());
    }
    sha.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect()
}

#[test]
fn the_candidates_are_those_that_were_ranked_before() {
    let pinned = [
        "2ea66fdb548823ae",
        "33a4d35e054e2e40",
        "be8c91b93517276b",
        "9423e93e18d62aa5",
        "eb84f92af6b00863",
        "0312d4d947c8ab31",
        "f692c2c467e019c4",
        "5bd5d699f8ad9505",
    ];
    let found: Vec<String> = (0..8).map(|at| digest(at * 25..(at + 1) * 25)).collect();
    assert_eq!(found, pinned, "by 25 worlds each");
}
