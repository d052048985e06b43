//! Truncated answers, and what becomes of them over TCP (RFC 7766).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant as Clock};

use kudzu_dns::{Data, RecordType, ResponseCode, Transport, Verdict};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::conformance::A1;
use crate::mock::{Mock, ask, n, name_of, named, respond, rr, udp};

/// Truncated over UDP; the connection is the test's.
async fn truncating<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream) -> F + Send + Sync + 'static,
) -> (Mock, Arc<AtomicU32>) {
    let connections = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&connections);
    let truncated = |query: &[u8], _| vec![respond(query, 0, true, &[], &[])];
    let mock = Mock::with_tcp(truncated, move |stream| {
        count.fetch_add(1, Relaxed);
        serve(stream)
    });
    (mock.await, connections)
}

/// `None` when the other end has gone.
async fn query(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let len = stream.read_u16().await.ok()?;
    let mut query = vec![0; len.into()];
    stream.read_exact(&mut query).await.ok()?;
    Some(query)
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

fn found(query: &[u8]) -> Vec<u8> {
    framed(&respond(query, 0, false, &[rr(&name_of(query), RecordType::A, A1)], &[]))
}

/// Whatever ends the connection, the question ends in time, and says that there was more.
#[tokio::test]
async fn what_tcp_does_not_bring_stays_truncated() {
    async fn at_once(_: TcpStream) {}
    async fn in_the_middle(mut stream: TcpStream) {
        let Some(query) = query(&mut stream).await else { return };
        let whole = found(&query);
        let _ = stream.write_all(&whole[..whole.len() - 3]).await;
    }
    async fn never(mut stream: TcpStream) {
        while query(&mut stream).await.is_some() {}
    }
    async fn again(mut stream: TcpStream) {
        while let Some(query) = query(&mut stream).await {
            let _ = stream.write_all(&framed(&respond(&query, 0, true, &[], &[]))).await;
        }
    }
    async fn nothing(mut stream: TcpStream) {
        while stream.write_all(&[0, 0]).await.is_ok() {}
    }
    let mocks = [
        truncating(at_once).await.0,
        truncating(in_the_middle).await.0,
        truncating(never).await.0,
        truncating(again).await.0,
        truncating(nothing).await.0,
        Mock::without_tcp(|query, _| vec![respond(query, 0, true, &[], &[])]).await,
    ];
    for (i, mock) in mocks.iter().enumerate() {
        let resolver = udp(&[mock.addr], 400, 2);
        let begin = Clock::now();
        let all = ask(&resolver, &["a.test", "b.test"]).await;
        for reply in all.values() {
            let got = (reply.verdict, reply.transport, reply.records.len());
            assert_eq!(got, (Verdict::Truncated, Transport::Tcp, 0), "case {i}");
        }
        assert!(begin.elapsed() < Duration::from_secs(3), "case {i}: {:?}", begin.elapsed());
    }
}

/// Another server may know how to say it.
#[tokio::test]
async fn another_server_is_asked_where_tcp_brings_nothing() {
    let cut = Mock::without_tcp(|query, _| vec![respond(query, 0, true, &[], &[])]).await;
    let whole =
        Mock::start(|q: &[u8], _| vec![respond(q, 0, false, &[rr(&name_of(q), RecordType::A, A1)], &[])])
            .await;
    let resolver = udp(&[cut.addr, whole.addr], 400, 4);
    let names: Vec<String> = (0..20).map(|i| format!("h{i}.test")).collect();
    let all = ask(&resolver, &named(&names)).await;
    assert!(all.values().all(|r| r.verdict == Verdict::Found && r.server == Some(whole.addr)));
}

#[tokio::test]
async fn an_answer_may_come_octet_by_octet() {
    let (mock, _) = truncating(|mut stream| async move {
        stream.set_nodelay(true).unwrap();
        while let Some(query) = query(&mut stream).await {
            for octet in found(&query) {
                stream.write_all(&[octet]).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    let all = ask(&udp(&[mock.addr], 2000, 2), &["a.test", "b.test"]).await;
    assert!(all.values().all(|r| (r.verdict, r.transport) == (Verdict::Found, Transport::Tcp)));
}

/// Many questions share a connection; their answers come in the order that suits the server,
/// among empty messages and answers to nobody (RFC 7766 section 7).
#[tokio::test]
async fn answers_on_a_connection_come_in_any_order() {
    const N: usize = 20;
    let (mock, connections) = truncating(|mut stream| async move {
        let mut queries = Vec::new();
        while queries.len() < N {
            queries.push(query(&mut stream).await.unwrap());
        }
        let mut out = vec![0, 0];
        for query in queries.iter().rev() {
            out.extend(found(query));
        }
        let mut stranger = found(&queries[0]);
        stranger[14] ^= 1;
        stream.write_all(&[stranger, out].concat()).await.unwrap();
        while query(&mut stream).await.is_some() {}
    })
    .await;
    let names: Vec<String> = (0..N).map(|i| format!("h{i}.test")).collect();
    let all = ask(&udp(&[mock.addr], 2000, 2), &named(&names)).await;
    assert!(all.iter().all(|(name, r)| r.verdict == Verdict::Found && *r.records[0].name == *n(name)));
    assert_eq!(connections.load(Relaxed), 1);
}

/// As servers do that know RFC 1035 only. Questions behind the first were once given up after
/// the second connection.
#[tokio::test]
async fn a_server_may_close_after_each_answer() {
    let (mock, connections) = truncating(|mut stream| async move {
        if let Some(first) = query(&mut stream).await {
            let _ = stream.write_all(&found(&first)).await;
            // With questions unread it would be a reset, and might take the answer with it.
            let _ = stream.shutdown().await;
            while query(&mut stream).await.is_some() {}
        }
    })
    .await;
    let names: Vec<String> = (0..60).map(|i| format!("h{i}.test")).collect();
    let all = ask(&udp(&[mock.addr], 2000, 2), &named(&names)).await;
    assert!(all.values().all(|r| r.verdict == Verdict::Found), "{all:?}");
    // Not for each question a connection that serves another one.
    assert!(connections.load(Relaxed) <= 70, "{connections:?}");
}

/// A reset takes answers with it that were on their way. All questions were once given up.
#[tokio::test]
async fn a_server_may_reset_what_asks_ahead() {
    let (mock, connections) = truncating(|mut stream| async move {
        let Some(first) = query(&mut stream).await else { return };
        let ahead = tokio::time::timeout(Duration::from_millis(50), query(&mut stream)).await;
        if ahead.is_err() {
            let _ = stream.write_all(&found(&first)).await;
            let _ = stream.shutdown().await;
        }
    })
    .await;
    let names: Vec<String> = (0..8).map(|i| format!("h{i}.test")).collect();
    let all = ask(&udp(&[mock.addr], 2000, 2), &named(&names)).await;
    assert!(all.values().all(|r| r.verdict == Verdict::Found), "{all:?}");
    assert!(connections.load(Relaxed) <= 12, "{connections:?}");
}

#[tokio::test]
async fn the_largest_message_is_read() {
    let (mock, _) = truncating(|mut stream| async move {
        while let Some(query) = query(&mut stream).await {
            let name = name_of(&query);
            // With the header, the question and the owner: 65,535 octets at most.
            let strings = [&[255_u8][..], &[b't'; 255]].concat().repeat(255);
            let txt = rr(&name, RecordType::TXT, &strings);
            stream.write_all(&framed(&respond(&query, 0, false, &[txt], &[]))).await.unwrap();
        }
    })
    .await;
    let resolver = udp(&[mock.addr], 2000, 2);
    // It is asked for A; the record is at the name, and of another type.
    let all = ask(&resolver, &["a.test"]).await;
    let reply = &all["a.test"];
    assert_eq!((reply.verdict, reply.records.len()), (Verdict::NoData, 1));
    let Data::Txt(strings) = &reply.records[0].data else { panic!("{reply:?}") };
    assert!(strings.len() == 255 && strings.iter().all(|s| **s == [b't'; 255]));
}

/// Answers that an EDNS query gets and a plain one does not (RFC 6891, RFC 7873).
#[tokio::test]
async fn extended_codes_are_asked_again_without_edns() {
    for code in [16_u16, 23] {
        let mock = Mock::start(move |query: &[u8], _| {
            if query[11] == 0 {
                return vec![found(query)[2..].to_vec()];
            }
            let mut m = respond(query, (code & 15) as u8, false, &[], &[]);
            m[11] = 1;
            m.extend([0, 0, 41, 4, 208, (code >> 4) as u8, 0, 0, 0, 0, 0]);
            vec![m]
        })
        .await;
        let all = ask(&udp(&[mock.addr], 400, 3), &["a.test"]).await;
        let reply = &all["a.test"];
        assert_eq!((reply.verdict, reply.rcode), (Verdict::Found, Some(ResponseCode::NoError)), "{code}");
    }
}
