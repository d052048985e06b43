//! Messages for golden files, and strategies that make any.

use kudzu_shared::fact::{Fact, FactName, FactValue};
use kudzu_shared::job::JobId;
use kudzu_shared::marking::{Pap, Tlp};
use kudzu_shared::observable::{Kind, Name, Observable};
use kudzu_shared::outcome::{Answer, Part, Question, Total, Verdict};
use kudzu_shared::pair::{Pair, Relation};
use kudzu_shared::wire::{
    Ask, Backlog, ClassFlow, Due, LookupResult, Over, Results, SourceBacklog, StoredAnswer, Task, TaskLookup,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn name(text: &str) -> Observable {
    Observable::from_name(&Name::from_text(text).unwrap())
}

/// One observable of each kind.
pub fn kinds() -> Vec<Observable> {
    let wire = |kind, wire: &[u8]| Observable::from_wire(kind, wire).unwrap();
    vec![
        name(r"a\001\.b.example"),
        Observable::from_ip([192, 0, 2, 1].into()),
        Observable::from_ip([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()),
        Observable::from_asn(64496),
        wire(Kind::EmailAddr, "abuse@b.example".as_bytes()),
        wire(Kind::Url, b"https://b.example/x?y"),
        wire(Kind::X509Certificate, &[0xab; 32]),
        wire(Kind::File, &[0xcd; 20]),
        wire(Kind::Netblock, &[192, 0, 2, 0, 24]),
        wire(Kind::Identity, "Jos\u{e9} \u{202e}".as_bytes()),
    ]
}

pub fn task() -> Task {
    let lookups = (0..).zip(kinds()).map(|(seq, key)| TaskLookup {
        seq,
        ask: u8::try_from(seq % 2).unwrap(),
        questions: 1 << seq,
        key,
    });
    Task {
        job: JobId(0x0192_0000_0000_7000_8000_0000_0000_0001),
        epoch: 3,
        reply_to: "kudzu.results.0a".into(),
        tenant: "tenant-a".into(),
        tlp: Tlp::AmberStrict,
        pap: Pap::Green,
        deadline_ms: Some(1_764_000_000_123),
        trace: Some(TRACE.into()),
        looked_ms: Some(1_764_000_000_042),
        asks: vec![
            Ask { source: "dns.name".into(), types: vec![1, 28, 5, 257], limit: 1000 },
            Ask { source: "rdap.domain".into(), types: vec![], limit: 1 },
        ],
        lookups: lookups.collect(),
    }
}

/// An answer with every verdict, kind, relation and fact that version 1.0 began with, which
/// is what the golden files hold; more may follow.
pub fn answer() -> Answer {
    let verdicts = [1..=4, 10..=19, 30..=30, 40..=46, 60..=60].into_iter().flatten();
    let verdicts: Vec<_> = verdicts.map(|n| Verdict::from_u8(n).unwrap()).collect();
    let relations: Vec<_> = (1..=25).map(|n| Relation::from_u8(n).unwrap()).collect();
    answer_of(&verdicts, &relations, &FactName::ALL[..12])
}

/// An answer with every verdict, kind, relation and fact there is.
pub fn full_answer() -> Answer {
    answer_of(&Verdict::ALL, &Relation::ALL, &FactName::ALL)
}

fn answer_of(verdicts: &[Verdict], relations: &[Relation], facts: &[FactName]) -> Answer {
    let kinds = kinds();
    let questions = (0..).zip(verdicts).map(|(index, verdict)| Question {
        index,
        verdict: *verdict,
        tries: 2,
        rtt_us: 50_123,
        upstream: u16::from(index % 2),
    });
    let pairs = relations.iter().enumerate().map(|(n, relation)| {
        let marking = Tlp::ALL[n % 5];
        let (key, value) = (kinds[n % 10].clone(), kinds[(n + 1) % 10].clone());
        let first_seen = (n % 3 == 0).then_some(-1);
        let last_seen = (n % 2 == 0).then_some(1_764_000_000);
        Pair { key, relation: *relation, value, first_seen, last_seen, marking, personal: n % 4 == 0 }
    });
    let facts = facts.iter().enumerate().map(|(n, fact)| Fact {
        subject: kinds[n % 10].clone(),
        name: *fact,
        value: match n % 3 {
            0 => FactValue::Yes,
            1 => FactValue::Time(1_600_000_000),
            _ => FactValue::Text("v=spf1 \u{1b}[31m -all".into()),
        },
        personal: n % 2 == 0,
    });
    let totals = vec![Total { key: kinds[1].clone(), relation: Relation::HostedName, total: 1_000_000 }];
    Answer { questions: questions.collect(), pairs: pairs.collect(), facts: facts.collect(), totals }
}

pub fn stored() -> StoredAnswer {
    let upstreams = vec!["192.0.2.53:53".into(), "https://rdap.example/".into()];
    StoredAnswer { observed_ms: 1_764_000_000_456, upstreams, answer: answer(), settled: false }
}

pub fn due() -> Due {
    Due { job: JobId(0x0192_0000_0000_7000_8000_0000_0000_0001), epoch: 7, trace: Some(TRACE.into()) }
}

pub fn over() -> Over {
    Over { job: task().job, epoch: 3 }
}

pub fn backlog() -> Backlog {
    let waits =
        |source: &str, lookups| SourceBacklog { source: source.into(), lookups, questions: 2 * lookups };
    let flow = |class: &str, rate, quiet_ms| ClassFlow { class: class.into(), rate, quiet_ms };
    Backlog {
        from: 0x0192_0000_0000_7000_8000_0000_0000_0002,
        waiting: vec![waits("dns.name", 1_000_000), waits("rdap.domain", 7)],
        flows: vec![flow("dns", 12_345_678, 0), flow("http", 0, 20_250)],
    }
}

pub fn results() -> Results {
    let Task { job, epoch, asks, .. } = task();
    let StoredAnswer { observed_ms, upstreams, answer, .. } = stored();
    let result = |seq, answer| LookupResult {
        seq,
        ask: 1,
        key: name("b.example"),
        observed_ms,
        cached: seq == 7,
        part: if seq == 8 { Part { sending: 0x0102_0304_0506_0708, index: 1, of: 3 } } else { Part::WHOLE },
        answer,
    };
    let results = vec![result(7, answer.clone()), result(8, answer), result(9, Answer::default())];
    Results { job, epoch, worker: "worker-1".into(), asks, upstreams, results }
}

pub fn observable() -> impl Strategy<Value = Observable> {
    let label = vec(any::<u8>(), 1..12);
    let labels = vec(label, 0..5).prop_filter_map("too long", |labels| {
        Name::from_labels(labels.iter().map(Vec::as_slice)).map(|n| Observable::from_name(&n))
    });
    let text = prop_oneof![Just(Kind::EmailAddr), Just(Kind::Url), Just(Kind::Identity)];
    let text = (text, ".{1,40}").prop_filter_map("no text", |(k, t)| Observable::from_wire(k, t.as_bytes()));
    prop_oneof![
        labels,
        any::<std::net::IpAddr>().prop_map(Observable::from_ip),
        any::<u32>().prop_map(Observable::from_asn),
        text,
    ]
}

fn question(upstreams: u16) -> impl Strategy<Value = Question> {
    let verdict = prop::sample::select(Verdict::ALL.to_vec());
    (any::<u8>(), verdict, any::<u8>(), any::<u32>(), 0..upstreams).prop_map(
        |(index, verdict, tries, rtt_us, upstream)| Question { index, verdict, tries, rtt_us, upstream },
    )
}

pub fn pair() -> impl Strategy<Value = Pair> {
    let relation = prop::sample::select(Relation::ALL.to_vec());
    let marking = prop::sample::select(Tlp::ALL.to_vec());
    let seen = || option::of(any::<i64>());
    (observable(), relation, observable(), seen(), seen(), marking, any::<bool>()).prop_map(
        |(key, relation, value, first_seen, last_seen, marking, personal)| Pair {
            key,
            relation,
            value,
            first_seen,
            last_seen,
            marking,
            personal,
        },
    )
}

fn fact() -> impl Strategy<Value = Fact> {
    let value = prop_oneof![
        Just(FactValue::Yes),
        any::<i64>().prop_map(FactValue::Time),
        any::<String>().prop_map(FactValue::Text),
    ];
    (observable(), prop::sample::select(FactName::ALL.to_vec()), value, any::<bool>())
        .prop_map(|(subject, name, value, personal)| Fact { subject, name, value, personal })
}

pub fn any_answer() -> impl Strategy<Value = Answer> {
    let total = (observable(), prop::sample::select(Relation::ALL.to_vec()), any::<u64>())
        .prop_map(|(key, relation, total)| Total { key, relation, total });
    (vec(question(2), 0..6), vec(pair(), 0..6), vec(fact(), 0..4), vec(total, 0..3))
        .prop_map(|(questions, pairs, facts, totals)| Answer { questions, pairs, facts, totals })
}

pub fn any_results() -> impl Strategy<Value = Results> {
    let part = (any::<u64>(), any::<u16>(), 1u16..).prop_map(|(sending, index, of)| Part {
        sending,
        index: index % of,
        of,
    });
    let flags = (any::<u32>(), 0u8..2, any::<i64>(), any::<bool>(), part);
    let result = (flags, observable(), any_answer()).prop_map(
        |((seq, ask, observed_ms, cached, part), key, answer)| LookupResult {
            seq,
            ask,
            key,
            observed_ms,
            cached,
            part,
            answer,
        },
    );
    (any::<u128>(), any::<u32>(), any::<String>(), vec(result, 0..6)).prop_map(
        |(job, epoch, worker, results)| Results {
            job: JobId(job),
            epoch,
            worker,
            results,
            ..self::results()
        },
    )
}

pub fn any_task() -> impl Strategy<Value = Task> {
    let lookup = (any::<u32>(), 0u8..2, any::<u32>(), observable())
        .prop_map(|(seq, ask, questions, key)| TaskLookup { seq, ask, questions, key });
    (any::<u128>(), any::<String>(), option::of(any::<i64>()), vec(lookup, 0..20)).prop_map(
        |(job, tenant, deadline_ms, lookups)| Task {
            job: JobId(job),
            tenant,
            deadline_ms,
            lookups,
            ..task()
        },
    )
}
