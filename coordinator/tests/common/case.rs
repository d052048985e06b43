//! A job in a tiny world: plan, budgets, policy, sources and lists, all from the seed.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use kudzu_coordinator::plan::Plan;
use kudzu_coordinator::tree::rules::Rules;
use kudzu_shared::job::{Budgets, JobId, JobKind, JobSpec, Policy};
use kudzu_shared::marking::{Pap, Tlp};
use kudzu_shared::observable::{Kind, Observable};
use kudzu_shared::outcome::Answer;
use kudzu_shared::packs::Packs;
use kudzu_shared::pair::Relation;
use kudzu_shared::source::{Class, Contact, SourceInfo};

use super::answer::Asked;
use super::rng::Rng;
use super::world::{EPOCH, World, ip, name};

/// One job in one world.
#[derive(Debug)]
pub struct Case {
    pub seed: u64,
    pub world: World,
    pub catalogue: Vec<SourceInfo>,
    pub plan: Plan,
    pub spec: JobSpec,
    pub budgets: Budgets,
    pub packs: Arc<Packs>,
}

/// Answers that were made before: each order asks for the same ones.
pub type Memo = HashMap<(u8, u32, u8, Observable), Answer>;

impl Case {
    pub fn new(seed: u64) -> Self {
        Self::within(seed, seed)
    }

    /// A job in a world that other jobs share, with its sources and lists.
    pub fn within(world: u64, seed: u64) -> Self {
        let mut common = Rng::new(world ^ 0xca7a_1090);
        let mut rng = Rng::new(seed);
        let world = World::new(world);
        let catalogue = catalogue(&mut common);
        let text = plan(&mut rng, &catalogue);
        let plan = Plan::parse(&text, "case").expect("a plan");
        plan.check(&catalogue).expect("a plan that fits the sources");
        let spec = spec(&mut rng, &world, seed);
        let packs = if common.percent(40) { lists() } else { Arc::new(Packs::empty()) };
        let budgets = plan.budgets;
        Self { seed, world, catalogue, plan, spec, budgets, packs }
    }

    pub fn rules(&self) -> Rules {
        let (spec, plan) = (self.spec.clone(), self.plan.clone());
        Rules::new(spec, plan, self.budgets, &self.catalogue, Arc::clone(&self.packs))
    }

    pub fn source(&self, ask: u8) -> &SourceInfo {
        let name = &self.plan.asks[usize::from(ask)].source;
        self.catalogue.iter().find(|s| s.name == *name).expect("checked by the plan")
    }

    /// How many questions a lookup of an ask has.
    pub fn questions(&self, ask: u8) -> u8 {
        self.plan.asks[usize::from(ask)].types.len().max(1) as u8
    }

    /// What a worker finds.
    pub fn answer(&self, ask: u8, key: &Observable, mask: u32, round: u8) -> Answer {
        let ask = &self.plan.asks[usize::from(ask)];
        let asked = Asked { source: &ask.source, types: &ask.types, limit: ask.limit };
        self.world.answer(asked, key, mask, round)
    }

    pub fn remembered(&self, memo: &mut Memo, ask: u8, key: &Observable, mask: u32, round: u8) -> Answer {
        let made =
            memo.entry((ask, mask, round, key.clone())).or_insert_with(|| self.answer(ask, key, mask, round));
        made.clone()
    }
}

fn source(name: &str, class: Class, takes: &[Kind], returns: &[Relation], types: &[&str]) -> SourceInfo {
    SourceInfo {
        name: name.into(),
        doc: String::new(),
        class,
        takes: takes.into(),
        returns: returns.into(),
        contact: match class {
            Class::Dns => Contact::Target,
            Class::Http => Contact::ThirdParty,
            Class::Local => Contact::Nobody,
        },
        max_tlp: Tlp::Red,
        marking: Tlp::Clear,
        types: types.iter().map(|t| (*t).into()).collect(),
        endpoint: None,
        unavailable: None,
        credits: None,
        licensed: false,
        rate: None,
        digest: 7,
    }
}

/// Every class; one source with credits, one without its key, one that may see TLP:CLEAR only.
pub fn catalogue(rng: &mut Rng) -> Vec<SourceInfo> {
    use Kind::{DomainName, EmailAddr, Identity, Ipv4Addr, Ipv6Addr, X509Certificate};
    use Relation::{
        AliasOf, CertificateName, HostedName, MailExchange, MailExchangeOf, NameServer, NameServerOf,
        NamedInCertificate, RegisteredBy, RelatedTo, ResolvesTo, ReverseName, SeenOn,
    };
    let addresses = [Ipv4Addr, Ipv6Addr];
    let live = [ResolvesTo, AliasOf, NameServer, MailExchange];
    let all = [DomainName, Ipv4Addr, Ipv6Addr, EmailAddr, Identity];
    let mut list = vec![
        source("dns.name", Class::Dns, &[DomainName], &live, &["A", "AAAA", "NS", "MX", "TXT"]),
        source("dns.addr", Class::Dns, &addresses, &[ReverseName], &[]),
        source("pdns.addr", Class::Http, &addresses, &[HostedName], &[]),
        source("pdns.name", Class::Http, &[DomainName], &[SeenOn, NameServer], &[]),
        source("pdns.rdata", Class::Http, &[DomainName], &[NameServerOf, MailExchangeOf], &[]),
        source("rdap", Class::Http, &[DomainName], &[RegisteredBy], &[]),
        source("mine", Class::Local, &all, &[RelatedTo], &[]),
    ];
    let mut certs = source(
        "certs",
        Class::Http,
        &[DomainName, X509Certificate],
        &[NamedInCertificate, CertificateName],
        &[],
    );
    certs.credits = Some(rng.below(5));
    let mut nokey = source("nokey", Class::Http, &[DomainName], &[RelatedTo], &[]);
    nokey.unavailable = Some("no key".into());
    let mut closed = source("closed", Class::Http, &[DomainName], &[RelatedTo], &[]);
    closed.max_tlp = Tlp::Clear;
    closed.unavailable = Some("a test never asks it".into());
    list.extend([certs, nokey, closed]);
    list
}

/// A plan whose budgets bind more often than not.
fn plan(rng: &mut Rng, catalogue: &[SourceInfo]) -> String {
    let mut text = format!(
        "hub = {}\nwildcard_after = {}\nwildcard_keep = {}\n",
        rng.within(1, 14),
        rng.within(1, 4),
        rng.within(1, 3)
    );
    let (nodes, fan_out) = (*rng.pick(&[4, 20, 45, 90, 500]), *rng.pick(&[1, 3, 6, 100]));
    let _ =
        writeln!(text, "[budgets]\ndepth = {}\nnodes = {nodes}\nfan_out = {fan_out}", rng.below(7).min(5));
    if rng.percent(15) {
        let _ = writeln!(text, "questions = {}", rng.within(1, 120));
    }
    if rng.percent(30) {
        let _ = writeln!(text, "[hub_by_relation]\nhosted-name = 3\nreverse-name = 1");
    }
    let mut sources: Vec<&SourceInfo> = catalogue.iter().collect();
    rng.shuffle(&mut sources);
    for (at, source) in sources.iter().enumerate() {
        if at == 0 || rng.percent(80) {
            ask(rng, source, &mut text);
        }
    }
    text
}

fn ask(rng: &mut Rng, source: &SourceInfo, text: &mut String) {
    let depth = match rng.below(4) {
        0 => format!("depth = [{}, {}]\n", rng.below(2), rng.within(1, 4)),
        _ => String::new(),
    };
    let when = match (source.name.as_str(), rng.below(3)) {
        ("pdns.rdata", 0) => "when = \"service\"\n",
        ("rdap", 0) => "when = \"registrable\"\n",
        ("dns.name" | "mine", 0) if rng.percent(30) => "when = \"subdomain\"\n",
        _ => "",
    };
    let depth = match rng.below(8) {
        0 => depth + &format!("per_level = {}\n", rng.within(1, 4)),
        1 => depth + &format!("questions = {}\n", rng.within(1, 30)),
        _ => depth,
    };
    let head = format!("[[ask]]\nsource = \"{}\"\n", source.name);
    if source.name == "certs" {
        // Two asks of one source: they share its credits.
        for kind in ["domain-name", "x509-certificate"] {
            let _ = writeln!(text, "{head}kinds = [\"{kind}\"]\n{depth}");
        }
        return;
    }
    // Some sources are asked twice, as a plan may ask for more of what is near.
    for _ in 0..if rng.percent(15) { 2 } else { 1 } {
        let mut types = source.types.clone();
        if !types.is_empty() {
            rng.shuffle(&mut types);
            types.truncate(rng.within(1, 5) as usize);
        }
        let _ = writeln!(text, "{head}types = {types:?}\nlimit = {}\n{depth}{when}", rng.within(1, 9));
    }
}

fn spec(rng: &mut Rng, world: &World, seed: u64) -> JobSpec {
    let things: Vec<Observable> = world.names.iter().chain(&world.addresses).cloned().collect();
    let mut some = |p: u64, n: u64| -> Vec<Observable> {
        let n = if rng.percent(p) { rng.within(1, n) } else { 0 };
        (0..n).map(|_| rng.pick(&things).clone()).collect()
    };
    let seeds = [some(100, 3), some(100, 1)].concat();
    let mut exclude = some(20, 2);
    let own_assets = some(15, 1);
    let mut scope = some(10, 3);
    if !scope.is_empty() {
        scope.extend([name("com"), name("wild.info")]);
    }
    if rng.percent(10) {
        let block = Observable::from_wire(Kind::Netblock, &[45, 1, 0, 0, 16]).expect("a block");
        exclude.push(block);
    }
    let policy = Policy {
        tlp: if rng.percent(20) { Tlp::Green } else { Tlp::Clear },
        pap: *rng.pick(&[Pap::Clear, Pap::Green, Pap::Green, Pap::Green, Pap::Amber]),
        scope,
        exclude,
        own_assets,
        allow_private: rng.percent(20),
    };
    let day = |rng: &mut Rng| Some(EPOCH + rng.below(360) as i64 * 86_400);
    JobSpec {
        id: JobId(u128::from(seed)),
        tenant: "t".into(),
        kind: if rng.percent(10) { JobKind::Enrich } else { JobKind::Pivot },
        seeds,
        policy,
        as_of: EPOCH + 360 * 86_400,
        since: if rng.percent(20) { day(rng) } else { None },
        until: if rng.percent(20) { day(rng) } else { None },
        salt: rng.next(),
    }
}

/// Lists that name some of what worlds have.
pub fn lists() -> Arc<Packs> {
    static LISTS: OnceLock<Arc<Packs>> = OnceLock::new();
    let add = |packs: Packs, name: &str, class: &str, kind: &str, list: &[&str]| {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let text = serde_json::json!(
            { "name": name, "class": class, "type": kind, "version": 20240101, "list": list }
        );
        write!(file, "{text}").expect("written");
        packs.with_file(file.path()).expect("a list")
    };
    let made = LISTS.get_or_init(|| {
        let packs = add(Packs::empty(), "front", "cdn", "cidr", &["45.2.7.0/24", "2a01:4f8:1::/48"]);
        let packs = add(packs, "hosts", "shared-hosting", "hostname", &["gamma.co.uk"]);
        let packs = add(packs, "mx", "mail-provider", "string", &["mail.alpha.com"]);
        Arc::new(add(packs, "dyn", "dynamic-dns", "hostname", &["beta.net"]))
    });
    Arc::clone(made)
}

/// An address and a name that no world has.
pub fn strangers() -> [Observable; 2] {
    [ip("9.9.9.9"), name("stranger.org")]
}
