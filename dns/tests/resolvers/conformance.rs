//! What every back end that asks servers keeps.

use std::net::Ipv4Addr;
use std::time::Duration;

use kudzu_dns::{
    DNSClass, Data, Hickory, Instant, Question, Record, RecordType, Reply, Resolver, ResponseCode, Transport,
    Verdict,
};

use crate::mock::{Mock, ask, n, name_of, named, respond, rr, udp};

pub const A1: &[u8] = &[192, 0, 2, 1];

/// What the server says, by the first label; `None` for no answer.
pub fn script(query: &[u8], tcp: bool) -> Vec<Vec<u8>> {
    let name = name_of(query);
    let soa = rr("test", RecordType::SOA, &[&n("ns")[..], &n("host"), &[0; 16], &[0, 0, 0, 7]].concat());
    let ok = |records: &[Vec<u8>]| respond(query, 0, false, records, &[]);
    let one = match name.split('.').next().unwrap_or_default() {
        "found" => ok(&[rr(&name, RecordType::A, A1), rr(&name, RecordType::A, &[192, 0, 2, 2])]),
        "nodata" => respond(query, 0, false, &[], &[soa]),
        "gone" => respond(query, 3, false, &[], &[soa]),
        "servfail" => respond(query, 2, false, &[], &[]),
        "refused" => respond(query, 5, false, &[], &[]),
        "chain" => ok(&[
            rr("c.test", RecordType::A, A1),
            rr("b.test", RecordType::CNAME, &n("c.test")),
            rr(&name, RecordType::CNAME, &n("b.test")),
        ]),
        "loop" => {
            ok(&[rr(&name, RecordType::CNAME, &n("b.test")), rr("b.test", RecordType::CNAME, &n(&name))])
        }
        "dangling" => respond(query, 3, false, &[rr(&name, RecordType::CNAME, &n("b.test"))], &[soa]),
        "big" if tcp => {
            let many = (0..2000_u16).map(|i| rr(&name, RecordType::A, &[10, 0, (i >> 8) as u8, i as u8]));
            ok(&many.collect::<Vec<_>>())
        }
        "big" => respond(query, 0, true, &[rr(&name, RecordType::A, A1)], &[]),
        "silent" => return vec![],
        "noedns" if query[11] > 0 => respond(query, 1, false, &[], &[]),
        "noedns" => ok(&[rr(&name, RecordType::A, A1)]),
        "broken" => ok(&[rr(&name, RecordType::A, &[1, 2, 3]), rr(&name, RecordType::A, A1)]),
        "forged" => {
            let good = ok(&[rr(&name, RecordType::A, A1)]);
            let with = |at: usize, octet: u8| {
                let mut m = good.clone();
                m[at] ^= octet;
                m
            };
            // Another ID, a query, another question, cut short; then the true one.
            return vec![with(0, 0x55), with(2, 0x80), with(14, 0x01), good[..9].to_vec(), good];
        }
        _ => ok(&[rr(&name, RecordType::A, A1)]),
    };
    vec![one]
}

async fn conforms(resolver: &dyn Resolver) {
    let names = [
        "found.test",
        "nodata.test",
        "gone.test",
        "servfail.test",
        "refused.test",
        "chain.test",
        "loop.test",
        "dangling.test",
        "big.test",
        "silent.test",
    ];
    let all = ask(resolver, &names).await;
    let verdict = |name: &str| all[&format!("{name}.test")].verdict;
    for (name, expected) in [
        ("found", Verdict::Found),
        ("nodata", Verdict::NoData),
        ("gone", Verdict::NxDomain),
        ("servfail", Verdict::ServFail),
        ("refused", Verdict::Refused),
        ("chain", Verdict::Found),
        ("loop", Verdict::Loop),
        ("dangling", Verdict::NxDomain),
        ("big", Verdict::Found),
        ("silent", Verdict::Timeout),
    ] {
        assert_eq!(verdict(name), expected, "{name}");
    }
    let records = |name: &str| all[&format!("{name}.test")].records.len();
    assert_eq!((records("found"), records("chain"), records("loop"), records("dangling")), (2, 3, 2, 1));
    assert_eq!((records("big"), all["big.test"].transport), (2000, Transport::Tcp));
    assert_eq!(all["gone.test"].negative_ttl, Some(7));
    let found = &all["found.test"];
    assert_eq!(found.records[0].data, Data::A(Ipv4Addr::new(192, 0, 2, 1)));
    assert!(found.server.is_some() && found.tries == 1 && found.rcode == Some(ResponseCode::NoError));
}

#[tokio::test]
async fn udp_conforms() {
    let mock = Mock::start(script).await;
    let resolver = udp(&[mock.addr], 150, 2);
    conforms(&resolver).await;
    assert_eq!(mock.asked("silent.test"), 2);
    assert_eq!(mock.asked("servfail.test"), 1);
}

#[tokio::test]
async fn hickory_conforms() {
    let mock = Mock::start(script).await;
    conforms(&Hickory::new(vec![mock.addr], Duration::from_millis(400), 2, 64)).await;
}

#[tokio::test]
async fn instant_answers_each_question_once() {
    let resolver = Instant::new(|q: &Question| {
        let data = Data::A(Ipv4Addr::new(192, 0, 2, 1));
        let record = Record { name: q.name.clone(), rtype: q.qtype, class: DNSClass::IN, ttl: 60, data };
        Reply { records: vec![record], ..Reply::failed(0, Verdict::Found) }
    });
    let names: Vec<String> = (0..1000).map(|i| format!("h{i}.test")).collect();
    assert_eq!(ask(&resolver, &named(&names)).await.len(), 1000);
}
