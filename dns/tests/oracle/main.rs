//! Verdicts and records are those of an independent implementation: hickory-resolver, which
//! asks the same server, NSD, the same questions. Every difference has its reason here.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod explained;
mod nsd;
mod zone;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt as _;
use hickory_proto::rr::{Name, Record as Theirs};
use hickory_proto::serialize::binary::{BinDecodable as _, BinEncodable as _, BinEncoder, NameEncoding};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use kudzu_dns::{
    Data, Engine, EngineConfig, Question, Record, RecordType, Reply, Resolver, ResponseCode, Server, Sink,
    Transport, Verdict, chain, name,
};

const TYPES: [RecordType; 11] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::CNAME,
    RecordType::NS,
    RecordType::MX,
    RecordType::TXT,
    RecordType::SOA,
    RecordType::PTR,
    RecordType::SRV,
    RecordType::CAA,
    RecordType::Unknown(65_400),
];
/// Nothing here is lost.
const TIMEOUT: Duration = Duration::from_secs(10);
/// hickory keeps no TTL above a day.
const MAX_TTL: u32 = 86_400;

/// What a question came to.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    verdict: Verdict,
    /// Those of the type asked: owner, TTL, type and data in canonical form, sorted.
    records: Vec<String>,
}

/// A question to which the two say different things.
struct Difference {
    name: String,
    qtype: RecordType,
    /// What the engine says, and all of its reply.
    ours: Outcome,
    reply: Reply,
    /// What hickory says.
    theirs: Outcome,
}

fn canonical<'a>(records: impl Iterator<Item = &'a Theirs>) -> Vec<String> {
    let text = |record: &Theirs| {
        let mut octets = Vec::new();
        let mut encoder = BinEncoder::new(&mut octets);
        encoder.set_name_encoding(NameEncoding::UncompressedLowercase);
        let mut record = record.clone();
        record.ttl = record.ttl.min(MAX_TTL);
        record.emit(&mut encoder).unwrap();
        format!("{record} {octets:02x?}")
    };
    let mut all: Vec<String> = records.map(text).collect();
    all.sort();
    all
}

/// Our record as hickory reads it.
fn as_theirs(record: &Record) -> Theirs {
    let data = match &record.data {
        Data::A(a) => a.octets().to_vec(),
        Data::Aaaa(a) => a.octets().to_vec(),
        Data::Name(n) => n.to_vec(),
        Data::Mx(preference, host) => [&preference.to_be_bytes()[..], host].concat(),
        Data::Txt(strings) => strings.iter().flat_map(|s| [&[s.len() as u8][..], s].concat()).collect(),
        Data::Soa(soa) => {
            let numbers = [soa.serial, soa.refresh, soa.retry, soa.expire, soa.minimum];
            [&soa.mname[..], &soa.rname, &numbers.map(u32::to_be_bytes).concat()].concat()
        }
        Data::Raw(octets) | Data::Broken(octets) => octets.to_vec(),
    };
    let mut wire = record.name.to_vec();
    wire.extend(u16::from(record.rtype).to_be_bytes());
    wire.extend(u16::from(record.class).to_be_bytes());
    wire.extend(record.ttl.to_be_bytes());
    wire.extend((data.len() as u16).to_be_bytes());
    wire.extend(data);
    Theirs::from_bytes(&wire).unwrap()
}

async fn ask_ours(server: SocketAddr, questions: &[(String, RecordType)]) -> Vec<Reply> {
    let config =
        EngineConfig { timeout: TIMEOUT, in_flight: 256, ..EngineConfig::new(vec![Server::own(server)]) };
    let engine = Engine::start(&config).unwrap();
    let (sink, mut replies) = Sink::new(questions.len());
    let question = |(token, (text, qtype)): (u64, &(String, RecordType))| Question {
        token,
        name: name::from_text(text).unwrap(),
        qtype: *qtype,
    };
    engine.submit((0..).zip(questions).map(question).collect(), &sink).await.unwrap();
    drop(sink);
    let mut all = Vec::with_capacity(questions.len());
    while let Some(batch) = replies.next().await {
        all.extend(batch);
    }
    all.sort_by_key(|reply| reply.token);
    assert!(all.iter().map(|r| r.token).eq(0..questions.len() as u64), "each is answered once");
    all
}

fn ours(name: &str, qtype: RecordType, reply: &Reply) -> Outcome {
    let name = name::from_text(name).unwrap();
    let found: Vec<Theirs> = chain(&name, qtype, &reply.records).found.into_iter().map(as_theirs).collect();
    Outcome { verdict: reply.verdict, records: canonical(found.iter()) }
}

async fn ask_theirs(server: SocketAddr, questions: &[(String, RecordType)]) -> Vec<Outcome> {
    let [mut udp, mut tcp] = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    (udp.port, tcp.port) = (server.port(), server.port());
    let server = NameServerConfig::new(server.ip(), true, vec![udp, tcp]);
    let config = ResolverConfig::from_parts(None, vec![], vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.cache_size = 0;
    options.attempts = 2;
    options.num_concurrent_reqs = 1;
    options.edns0 = true;
    options.preserve_intermediates = true;
    options.timeout = TIMEOUT;
    options.use_hosts_file = ResolveHosts::Never;
    let resolver = builder.build().unwrap();
    let one = async |(text, qtype): &(String, RecordType)| {
        let wire = name::from_text(text).unwrap();
        let mut name = Name::from_labels(name::labels(&wire)).unwrap();
        name.set_fqdn(true);
        theirs(*qtype, resolver.lookup(name, *qtype).await)
    };
    futures::stream::iter(questions).map(one).buffered(64).collect().await
}

fn theirs(qtype: RecordType, result: Result<Lookup, NetError>) -> Outcome {
    let none = |verdict| Outcome { verdict, records: Vec::new() };
    let negative = |code, is_referral| {
        none(match code {
            ResponseCode::NXDomain => Verdict::NxDomain,
            _ if is_referral => Verdict::Lame,
            _ => Verdict::NoData,
        })
    };
    match result {
        Ok(lookup) => {
            let of_type = lookup.answers().iter().filter(|r| r.record_type() == qtype);
            let records = canonical(of_type);
            if !records.is_empty() {
                return Outcome { verdict: Verdict::Found, records };
            }
            // It takes a SOA or NS of the authority section for an answer.
            let has = |rtype| lookup.authorities().iter().any(|r: &Theirs| r.record_type() == rtype);
            negative(lookup.message().response_code, has(RecordType::NS) && !has(RecordType::SOA))
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(no))) => {
            negative(no.response_code, no.ns.is_some() && no.soa.is_none())
        }
        Err(NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail))) => none(Verdict::ServFail),
        Err(NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused))) => none(Verdict::Refused),
        Err(NetError::Dns(DnsError::ResponseCode(_))) => none(Verdict::FormErr),
        Err(NetError::Timeout) => none(Verdict::Timeout),
        Err(NetError::Proto(_)) => none(Verdict::Malformed),
        Err(_) => none(Verdict::Unreachable),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_independent_resolver_says_the_same() {
    let world = zone::World::new();
    let nsd = nsd::Nsd::start(&world.zones);
    let with_types = |name: &String| TYPES.map(|qtype| (name.clone(), qtype));
    let questions: Vec<(String, RecordType)> = world.names.iter().flat_map(with_types).collect();
    let (replies, outcomes) = tokio::join!(ask_ours(nsd.addr, &questions), ask_theirs(nsd.addr, &questions));
    // hickory's are cut, so only that they arrive whole can be said.
    let has_ttl = |ttl| replies.iter().flat_map(|r| &r.records).any(|r| r.ttl == ttl);
    assert!(has_ttl(0) && has_ttl(2_147_483_647));
    let over_tcp = replies.iter().filter(|r| r.transport == Transport::Tcp).count();
    let asked = questions.len();
    let mut verdicts: BTreeMap<Verdict, u32> = BTreeMap::new();
    let mut reasons: BTreeMap<&str, u32> = explained::ALL.iter().map(|e| (e.reason, 0)).collect();
    let mut unexplained = Vec::new();
    for (((name, qtype), reply), theirs) in questions.into_iter().zip(replies).zip(outcomes) {
        let ours = ours(&name, qtype, &reply);
        *verdicts.entry(ours.verdict).or_default() += 1;
        if ours != theirs {
            let difference = Difference { name, qtype, ours, reply, theirs };
            match explained::ALL.iter().find(|e| (e.holds)(&difference)) {
                Some(e) => *reasons.entry(e.reason).or_default() += 1,
                None => unexplained.push(difference),
            }
        }
    }
    println!("{asked} questions, {over_tcp} over TCP: {verdicts:#?}\nexplained differences: {reasons:#?}");
    for Difference { name, qtype, ours, theirs, .. } in &unexplained {
        println!("{name} {qtype}: {ours:?}\n    hickory: {theirs:?}");
    }
    assert!(unexplained.is_empty(), "{} differences without a reason", unexplained.len());
    assert!(reasons.values().all(|n| *n > 0), "a reason without a difference: {reasons:#?}");
    // The comparison is of something.
    for verdict in [
        Verdict::Found,
        Verdict::NoData,
        Verdict::NxDomain,
        Verdict::ServFail,
        Verdict::Refused,
        Verdict::FormErr,
        Verdict::Lame,
    ] {
        assert!(verdicts.get(&verdict).is_some_and(|n| *n >= 10), "{verdict:?}: {verdicts:#?}");
    }
    assert!(over_tcp >= 10, "{over_tcp}");
}
