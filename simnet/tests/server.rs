//! The server on its sockets, asked as any client would.

#![expect(clippy::unwrap_used, reason = "a test may fail here")]

use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};
use kudzu_simnet::{Faults, ListenConfig, PdnsRow, Server, World, WorldSpec};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

async fn start(faults: Faults) -> (World, Server) {
    let world = World::generate(&WorldSpec { seed: 1, scale: 0.1, campaign: true });
    let server = Server::start(world.clone(), faults, ListenConfig::default()).await.unwrap();
    (world, server)
}

fn query(id: u16, name: &str, rtype: RecordType, edns: Option<u16>) -> Vec<u8> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    let mut query = Query::query(Name::from_ascii(name).unwrap(), rtype);
    query.set_query_class(DNSClass::IN);
    message.add_query(query);
    if let Some(size) = edns {
        let mut opt = Edns::new();
        opt.set_max_payload(size);
        message.set_edns(opt);
    }
    message.to_vec().unwrap()
}

async fn client(server: &Server) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server.addrs().dns[0]).await.unwrap();
    socket
}

async fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 4096];
    let length = timeout(PATIENCE, socket.recv(&mut buffer)).await.unwrap().unwrap();
    buffer.truncate(length);
    buffer
}

async fn udp(server: &Server, name: &str, rtype: RecordType, edns: Option<u16>) -> Message {
    let socket = client(server).await;
    socket.send(&query(7, name, rtype, edns)).await.unwrap();
    Message::from_vec(&receive(&socket).await).unwrap()
}

async fn tcp(server: &Server, questions: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut stream = TcpStream::connect(server.addrs().dns[0]).await.unwrap();
    for question in questions {
        stream.write_all(&(question.len() as u16).to_be_bytes()).await.unwrap();
        stream.write_all(question).await.unwrap();
    }
    let mut answers = Vec::new();
    for _ in questions {
        let length = timeout(PATIENCE, stream.read_u16()).await.unwrap().unwrap();
        let mut answer = vec![0; usize::from(length)];
        timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
        answers.push(answer);
    }
    answers
}

/// Status, head and body.
async fn get(addr: std::net::SocketAddr, path: &str, head: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: x\r\n{head}\r\n").as_bytes()).await.unwrap();
    let mut all = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut all)).await.unwrap().unwrap();
    let text = String::from_utf8(all).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
}

fn planned(world: &World) -> String {
    world.truth().planned.iter().find(|p| p.resolves).unwrap().domain.clone()
}

#[tokio::test]
async fn udp_echoes_letter_case_and_answers_edns() {
    let (world, server) = start(Faults::default()).await;
    let mixed: String = planned(&world)
        .chars()
        .enumerate()
        .map(|(i, c)| if i % 2 == 0 { c.to_ascii_uppercase() } else { c })
        .collect();
    let answer = udp(&server, &mixed, RecordType::A, Some(4096)).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert!(answer.metadata.recursion_available && !answer.metadata.truncation);
    assert_eq!(answer.queries[0].name().to_ascii().trim_end_matches('.'), mixed);
    assert!(matches!(answer.answers[0].data, RData::A(_)));
    assert_eq!(answer.edns.unwrap().max_payload(), 1232);
    let stats = server.stats();
    assert_eq!((stats.dns_udp, stats.dns_tcp), (1, 0));
    server.stop().await;
}

#[tokio::test]
async fn negative_answers_carry_the_soa() {
    let (world, server) = start(Faults::default()).await;
    let gone = udp(&server, &format!("nothing.{}", planned(&world)), RecordType::A, None).await;
    assert_eq!(gone.metadata.response_code, ResponseCode::NXDomain);
    assert!(matches!(gone.authorities[0].data, RData::SOA(_)));
    server.stop().await;
}

#[tokio::test]
async fn what_does_not_fit_is_truncated_and_whole_over_tcp() {
    let (_, server) = start(Faults::default()).await;
    for (name, rtype) in [("large-text.net", RecordType::TXT), ("many-addresses.net", RecordType::A)] {
        let short = udp(&server, name, rtype, Some(1232)).await;
        assert!(short.metadata.truncation && short.answers.is_empty());
    }
    let raw = tcp(&server, &[query(1, "large-text.net", RecordType::TXT, None)]).await;
    let whole = Message::from_vec(&raw[0]).unwrap();
    assert!(
        matches!(&whole.answers[0].data, RData::TXT(t) if t.txt_data.iter().map(|p| p.len()).sum::<usize>() == 65_000)
    );
    let raw = tcp(&server, &[query(1, "many-addresses.net", RecordType::A, None)]).await;
    assert!(Message::from_vec(&raw[0]).unwrap().answers.len() > 3_900);
    server.stop().await;
}

#[tokio::test]
async fn tcp_is_pipelined() {
    let (world, server) = start(Faults::default()).await;
    let names: Vec<String> = world.truth().planned.iter().map(|p| p.domain.clone()).collect();
    let questions: Vec<Vec<u8>> =
        names.iter().enumerate().map(|(i, n)| query(i as u16, n, RecordType::NS, None)).collect();
    let mut ids: Vec<u16> =
        tcp(&server, &questions).await.iter().map(|a| u16::from_be_bytes([a[0], a[1]])).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..names.len() as u16).collect::<Vec<_>>());
    assert_eq!(server.stats().dns_tcp, names.len() as u64);
    server.stop().await;
}

#[tokio::test]
async fn every_question_is_answered_once_and_not_early() {
    let latency = Duration::from_millis(40);
    let (world, server) =
        start(Faults { latency, jitter: Duration::from_millis(20), ..Faults::default() }).await;
    let socket = client(&server).await;
    let names: Vec<String> = world.pdns(&world.seeds()[0], 50).rows.into_iter().map(|r| r.rrname).collect();
    let begin = Instant::now();
    for (id, name) in names.iter().enumerate() {
        socket.send(&query(id as u16, name, RecordType::A, None)).await.unwrap();
    }
    let mut ids: Vec<u16> = Vec::new();
    for _ in &names {
        let answer = receive(&socket).await;
        assert!(begin.elapsed() >= latency);
        ids.push(u16::from_be_bytes([answer[0], answer[1]]));
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..names.len() as u16).collect::<Vec<_>>());
    server.stop().await;
}

#[tokio::test]
async fn loss_and_failures_are_the_same_in_any_order() {
    let faults = Faults { seed: 5, loss: 0.3, servfail: 0.2, ..Faults::default() };
    let mut outcomes = Vec::new();
    for backwards in [false, true] {
        let (world, server) = start(faults.clone()).await;
        let mut names: Vec<String> = world.truth().planned.iter().map(|p| p.domain.clone()).collect();
        names.truncate(40);
        let mut order: Vec<usize> = (0..names.len()).collect();
        if backwards {
            order.reverse();
        }
        let socket = client(&server).await;
        for id in order {
            socket.send(&query(id as u16, &names[id], RecordType::A, None)).await.unwrap();
        }
        // A question is counted as answered or as dropped before the other is known to be final.
        let mut seen = vec![None; names.len()];
        let settled = |s: kudzu_simnet::Stats| s.dns_answered + s.dns_dropped >= names.len() as u64;
        while !settled(server.stats()) {
            tokio::task::yield_now().await;
        }
        let expected = names.len() as u64 - server.stats().dns_dropped;
        for _ in 0..expected {
            let answer = receive(&socket).await;
            seen[usize::from(u16::from_be_bytes([answer[0], answer[1]]))] = Some(answer[3] & 15);
        }
        outcomes.push(seen);
        server.stop().await;
    }
    assert_eq!(outcomes[0], outcomes[1]);
    assert!(outcomes[0].contains(&None) && outcomes[0].contains(&Some(2)) && outcomes[0].contains(&Some(0)));
}

#[tokio::test]
async fn bad_queries_never_kill_it() {
    let (world, server) = start(Faults::default()).await;
    let socket = client(&server).await;
    let good = query(9, &planned(&world), RecordType::A, Some(1232));
    let mut state = 1_u64;
    for round in 0..3_000_usize {
        let mut bad = good.clone();
        bad.truncate(1 + round % good.len());
        for _ in 0..round % 5 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % bad.len();
            bad[at] = (state >> 20) as u8;
        }
        socket.send(&bad).await.unwrap();
        let mut buffer = [0; 4096];
        while socket.try_recv(&mut buffer).is_ok() {}
    }
    let fresh = udp(&server, &planned(&world), RecordType::A, None).await;
    assert_eq!(fresh.answers.len(), 1);
    let mut pointer = good[..12].to_vec();
    pointer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1]);
    let answer = tcp(&server, &[pointer]).await.remove(0);
    assert_eq!(answer[3] & 15, 1, "FORMERR");
    server.stop().await;
}

#[tokio::test]
async fn hostile_records_reach_the_client() {
    let (_, server) = start(Faults::default()).await;
    let socket = client(&server).await;
    for name in ["lying-length.com", "one-broken-record.com"] {
        socket.send(&query(3, name, RecordType::A, None)).await.unwrap();
        let answer = receive(&socket).await;
        assert!(Message::from_vec(&answer).is_err(), "{name} can be read as a whole");
    }
    server.stop().await;
}

#[tokio::test]
async fn rdap_answers_and_redirects() {
    let (world, server) = start(Faults::default()).await;
    let at = server.addrs().rdap;
    let (mut direct, mut redirected) = (0, 0);
    for row in world.pdns(&world.seeds()[0], 60).rows {
        let (mut status, head, mut body) = get(at, &format!("/domain/{}", row.rrname), "").await;
        if status == 302 {
            let target = head.lines().find_map(|l| l.strip_prefix("location: ")).unwrap();
            let path = target.strip_prefix(&format!("http://{at}")).unwrap().to_owned();
            (status, _, body) = get(at, &path, "").await;
            redirected += 1;
        } else {
            direct += 1;
        }
        if status == 404 {
            continue;
        }
        let object: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(object["objectClassName"], "domain");
        assert_eq!(object["entities"][1]["entities"][0]["roles"][0], "abuse");
        assert_eq!(object["entities"][0]["vcardArray"][0], "vcard");
    }
    assert!(direct > 0 && redirected > 0);
    let seed = &world.seeds()[0];
    let (status, head, body) = get(at, &format!("/ip/{seed}"), "").await;
    assert_eq!(status, 200);
    assert!(head.contains("application/rdap+json"));
    let network: Value = serde_json::from_str(&body).unwrap();
    let asn = &network["arin_originas0_originautnums"][0];
    assert_eq!(get(at, &format!("/autnum/{asn}"), "").await.0, 200);
    assert_eq!(get(at, &format!("/ip/{seed}/32"), "").await.0, 200);
    let handle = network["entities"][0]["handle"].as_str().unwrap();
    assert_eq!(get(at, &format!("/entity/{handle}"), "").await.0, 200);
    let (status, _, body) = get(at, "/domain/no-such-domain-here.com", "").await;
    assert_eq!(
        (status, serde_json::from_str::<Value>(&body).unwrap()["errorCode"].clone()),
        (404, 404.into())
    );
    assert_eq!(get(at, "/ip/nonsense", "").await.0, 400);
    for file in ["dns.json", "ipv4.json", "ipv6.json", "asn.json"] {
        let body = get(at, &format!("/bootstrap/{file}"), "").await.2;
        let bootstrap: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(bootstrap["services"][0][1][0], format!("http://{at}/"));
    }
    server.stop().await;
}

#[tokio::test]
async fn passive_dns_pages_and_counts() {
    let (world, server) = start(Faults::default()).await;
    let seed = &world.seeds()[0];
    let (status, head, body) =
        get(server.addrs().pdns, &format!("/pdns/query/{seed}"), "dribble-paginate-count: 3\r\n").await;
    let total = world.pdns(seed, 0).total;
    assert_eq!(status, 200);
    assert!(head.contains(&format!("x-total-count: {total}")), "{head}");
    let rows: Vec<PdnsRow> = body.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(rows, world.pdns(seed, 3).rows);
    let server_name =
        world.pdns(&planned(&world), 50).rows.into_iter().find(|r| r.rrtype == "NS").unwrap().rdata;
    let (_, _, body) = get(
        server.addrs().pdns,
        &format!("/pdns/query/rdata/{server_name}"),
        "dribble-paginate-count: 5\r\n",
    )
    .await;
    assert!(!body.is_empty());
    assert_eq!(get(server.addrs().pdns, "/pdns/query/a..b", "").await.0, 400);
    server.stop().await;
}

#[tokio::test]
async fn passive_dns_finds_a_name_as_owner_and_as_data() {
    let (world, server) = start(Faults::default()).await;
    let domain = planned(&world);
    let host = world.pdns(&domain, 50).rows.into_iter().find(|r| r.rrtype == "NS").unwrap().rdata;
    for (name, used) in [(domain, false), (host, true)] {
        let sum = world.pdns(&name, 0).total + world.pdns(&format!("rdata/{name}"), 0).total;
        let (_, head, body) =
            get(server.addrs().pdns, &format!("/pdns/query/{name}"), "dribble-paginate-count: 500\r\n").await;
        assert!(head.contains(&format!("x-total-count: {sum}")), "{head}");
        let rows: Vec<PdnsRow> = body.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert!(!used || rows.iter().any(|r| r.rdata.ends_with(&name)), "{name} as data");
        assert!(rows.iter().all(|r| r.rrname == name || r.rdata.ends_with(&name)));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_loaded_world_registers_its_own_top_level_domains() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = r#"{"as_of": 1, "registrations": {"shop.ru": {"registrar": "x", "registered": 1, "expires": 2,
        "registrant": {"email": "ada@mailer.su"}}}}"#;
    std::fs::write(file.path(), text).unwrap();
    let world = World::load(file.path()).unwrap();
    let server = Server::start(world, Faults::default(), ListenConfig::default()).await.unwrap();
    let body = get(server.addrs().rdap, "/bootstrap/dns.json", "").await.2;
    let bootstrap: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(bootstrap["services"][0][0], serde_json::json!(["ru", "su"]));
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_does_not_hold_the_server() {
    let (_, server) = start(Faults::default()).await;
    let mut stream = TcpStream::connect(server.addrs().dns[0]).await.unwrap();
    let question = query(1, "large-text.net", RecordType::TXT, None);
    let mut sent = 0;
    while sent < 400 {
        let mut framed = (question.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(&question);
        match timeout(Duration::from_millis(200), stream.write_all(&framed)).await {
            Ok(done) => done.unwrap(),
            Err(_) => break,
        }
        sent += 1;
    }
    while server.stats().dns_tcp < 200 {
        tokio::task::yield_now().await;
    }
    timeout(PATIENCE, server.stop()).await.unwrap();
}

#[tokio::test]
async fn certificates_are_found_by_name_and_fingerprint() {
    let (world, server) = start(Faults::default()).await;
    let domain =
        world.truth().planned.iter().map(|p| p.domain.clone()).find(|d| !world.certs(d).is_empty()).unwrap();
    let body = get(server.addrs().certs, &format!("/?q={domain}&output=json"), "").await.2;
    let found: Value = serde_json::from_str(&body).unwrap();
    assert!(found[0]["name_value"].as_str().unwrap().split('\n').any(|n| n == domain));
    let sha256 = found[0]["sha256"].as_str().unwrap();
    let body = get(server.addrs().certs, &format!("/?q={sha256}&output=json"), "").await.2;
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()[0], found[0]);
    let body = get(server.addrs().certs, &format!("/?q=%25.{domain}&output=json"), "").await.2;
    assert!(serde_json::from_str::<Value>(&body).unwrap().is_array());
    server.stop().await;
}

#[tokio::test]
async fn http_faults_are_counted() {
    let (world, server) = start(Faults { http_429: 1.0, ..Faults::default() }).await;
    let (status, head, _) = get(server.addrs().pdns, &format!("/pdns/query/{}", world.seeds()[0]), "").await;
    assert_eq!(status, 429);
    assert!(head.contains("retry-after: 1"));
    assert_eq!(server.stats().http_429, 1);
    assert_eq!(get(server.addrs().rdap, "/bootstrap/dns.json", "").await.0, 200);
    assert_eq!(get(server.addrs().rdap, "/domain/a.com", "").await.0, 429);
    server.stop().await;
}
