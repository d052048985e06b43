//! DNS over TLS and over HTTPS, with a real Unbound at the other end.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kudzu_dns::{
    Data, Encrypted, EncryptedError, Question, Record, RecordType, Reply, Resolver, Sink, Transport,
    Upstream, Verdict, name,
};
use tempfile::TempDir;

const NAME: &str = "dns.example";
/// None of what has it is waited for that long.
const TIMEOUT: Duration = Duration::from_secs(20);

const ZONE: &str = "\
$ORIGIN test.
$TTL 60
@ SOA ns host 1 2 3 4 7
@ NS ns
ns A 192.0.2.9
found A 192.0.2.1
found A 192.0.2.2
a CNAME b
b CNAME found
loop CNAME pool
pool CNAME loop
*.many A 192.0.2.3
";

/// Ends with its owner.
struct Unbound {
    child: Child,
    ports: [SocketAddr; 3],
    /// Its certificate, which is its own root.
    root: String,
    folder: TempDir,
}

impl Drop for Unbound {
    fn drop(&mut self) {
        self.end();
    }
}

/// Free ports, held until all are known.
fn ports<const N: usize>() -> [SocketAddr; N] {
    let held = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    held.map(|socket| socket.local_addr().unwrap())
}

fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn spawn(folder: &TempDir) -> Child {
    // Where users have no such folder in their path.
    let program =
        ["/usr/sbin/unbound", "/usr/local/sbin/unbound"].into_iter().find(|p| Path::new(p).exists());
    Command::new(program.unwrap_or("unbound"))
        .args(["-d", "-p", "-c", "unbound.conf"])
        .current_dir(folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .expect("these tests need Unbound: scripts/setup.sh test installs it")
}

impl Unbound {
    /// Another process may take a port before Unbound does, so others are tried.
    fn start() -> Self {
        (0..8).find_map(|_| Self::try_start(ports())).expect("ports that stay free")
    }

    fn try_start(ports: [SocketAddr; 3]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let (root, key) = certificate();
        let listen = ports.map(|a| format!("  interface: {}@{}\n", a.ip(), a.port())).concat();
        let [_, tls, https] = ports.map(|a| a.port());
        let config = format!(
            r#"server:
  tls-port: {tls}
  https-port: {https}
{listen}  tls-service-key: "key.pem"
  tls-service-pem: "root.pem"
  username: ""
  chroot: ""
  pidfile: ""
  directory: "{}"
  use-syslog: no
  module-config: "iterator"
  local-zone: "test." nodefault
  local-zone: "refused." refuse
auth-zone:
  name: "test."
  zonefile: "zone"
  for-upstream: no
remote-control:
  control-enable: no
"#,
            folder.path().display(),
        );
        for (file, text) in
            [("unbound.conf", &*config), ("root.pem", &root), ("key.pem", &key), ("zone", ZONE)]
        {
            std::fs::write(folder.path().join(file), text).unwrap();
        }
        let mut unbound = Self { child: spawn(&folder), ports, root, folder };
        unbound.is_ready().then_some(unbound)
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The same again.
    fn restart(&mut self) {
        self.end();
        self.child = spawn(&self.folder);
        assert!(self.is_ready(), "another process took its ports");
    }

    /// Waits until it listens; false where it could not take its ports.
    fn is_ready(&mut self) -> bool {
        let begin = Instant::now();
        for addr in self.ports {
            while let Err(e) = TcpStream::connect(addr) {
                assert_eq!(e.kind(), ErrorKind::ConnectionRefused, "{e}");
                if self.child.try_wait().unwrap().is_some() {
                    let mut said = String::new();
                    self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                    assert!(said.contains("in use"), "Unbound ended: {said}");
                    return false;
                }
                assert!(begin.elapsed() < TIMEOUT, "Unbound does not listen on {addr}");
                std::thread::yield_now();
            }
        }
        true
    }

    /// Over TLS and over HTTPS.
    fn upstreams(&self, name: &str) -> [Upstream; 2] {
        let [_, tls, https] = self.ports;
        [format!("tls://{name}@{tls}"), format!("https://{name}@{https}")].map(|text| text.parse().unwrap())
    }

    fn resolver(&self, upstreams: &[Upstream]) -> Encrypted {
        Encrypted::new(upstreams.to_vec(), self.root.as_bytes(), TIMEOUT, 3, 64).unwrap()
    }
}

async fn ask(resolver: &dyn Resolver, questions: &[(&str, RecordType)]) -> HashMap<String, Reply> {
    let (sink, mut replies) = Sink::new(questions.len());
    let question = |(token, (text, qtype)): (u64, &(&str, RecordType))| Question {
        token,
        name: name::from_text(text).unwrap(),
        qtype: *qtype,
    };
    resolver.submit((0..).zip(questions).map(question).collect(), &sink).await.unwrap();
    drop(sink);
    let mut all = HashMap::new();
    while let Some(batch) = replies.next().await {
        for reply in batch {
            let (asked, qtype) = questions[reply.token as usize];
            assert!(all.insert(format!("{asked} {qtype}"), reply).is_none(), "answered twice");
        }
    }
    assert_eq!(all.len(), questions.len());
    all
}

async fn ask_one(resolver: &dyn Resolver) -> Reply {
    ask(resolver, &[("found.test", RecordType::A)]).await.remove("found.test A").unwrap()
}

#[tokio::test]
async fn verdicts_and_records_are_as_over_udp() {
    let unbound = Unbound::start();
    let questions = [
        ("found.test", RecordType::A, Verdict::Found, 2),
        ("found.test", RecordType::AAAA, Verdict::NoData, 0),
        ("gone.test", RecordType::A, Verdict::NxDomain, 0),
        ("a.test", RecordType::A, Verdict::Found, 4),
        ("a.test", RecordType::CNAME, Verdict::Found, 1),
        ("loop.test", RecordType::A, Verdict::Loop, 2),
        ("x.refused", RecordType::A, Verdict::Refused, 0),
    ];
    for (upstream, transport) in unbound.upstreams(NAME).into_iter().zip([Transport::Tls, Transport::Https]) {
        let resolver = unbound.resolver(std::slice::from_ref(&upstream));
        let all = ask(&resolver, &questions.map(|(name, qtype, ..)| (name, qtype))).await;
        for (name, qtype, verdict, records) in questions {
            let reply = &all[&format!("{name} {qtype}")];
            let came = (reply.verdict, reply.records.len());
            assert_eq!(came, (verdict, records), "{upstream}: {name} {qtype}: {reply:?}");
            assert_eq!((reply.transport, reply.server, reply.tries), (transport, Some(upstream.addr()), 1));
        }
        assert_eq!(all["gone.test A"].negative_ttl, Some(7));
        let found = |r: &Record| r.data == Data::A(Ipv4Addr::new(192, 0, 2, 1));
        assert!(all["found.test A"].records.iter().any(found));
    }
}

/// More than one connection takes at a time, and more than all of them.
#[tokio::test]
async fn many_questions_are_each_answered_once() {
    let unbound = Unbound::start();
    let names: Vec<String> = (0..1000).map(|i| format!("h{i}.many.test")).collect();
    let questions: Vec<_> = names.iter().map(|name| (&**name, RecordType::A)).collect();
    for upstream in unbound.upstreams(NAME) {
        let upstreams = vec![upstream];
        let resolver = Encrypted::new(upstreams, unbound.root.as_bytes(), TIMEOUT, 1, 500).unwrap();
        let all = ask(&resolver, &questions).await;
        assert!(all.values().all(|r| r.verdict == Verdict::Found));
    }
}

/// A certificate of another name, or that nobody vouches for, is as no server.
#[tokio::test]
async fn who_is_not_whom_it_should_be_is_not_asked() {
    let unbound = Unbound::start();
    let (other_root, _) = certificate();
    for (wrong, right) in unbound.upstreams("other.example").into_iter().zip(unbound.upstreams(NAME)) {
        let reply = ask_one(&unbound.resolver(std::slice::from_ref(&wrong))).await;
        assert_eq!((reply.verdict, reply.records.len(), reply.rcode), (Verdict::Unreachable, 0, None));
        let strange = Encrypted::new(vec![right.clone()], other_root.as_bytes(), TIMEOUT, 1, 1).unwrap();
        assert_eq!(ask_one(&strange).await.verdict, Verdict::Unreachable);
        // Another one is asked instead.
        let both = unbound.resolver(&[wrong, right.clone()]);
        for _ in 0..8 {
            assert_eq!(ask_one(&both).await.verdict, Verdict::Found);
        }
    }
    let [.., https] = unbound.ports;
    let elsewhere: Upstream = format!("https://{NAME}@{https}/elsewhere").parse().unwrap();
    assert_eq!(ask_one(&unbound.resolver(&[elsewhere])).await.verdict, Verdict::Unreachable);
}

#[tokio::test]
async fn a_connection_that_is_gone_is_opened_again() {
    let mut unbound = Unbound::start();
    let resolvers = unbound.upstreams(NAME).map(|upstream| unbound.resolver(&[upstream]));
    for resolver in &resolvers {
        assert_eq!(ask_one(resolver).await.verdict, Verdict::Found);
    }
    unbound.restart();
    for resolver in &resolvers {
        let reply = ask_one(resolver).await;
        assert_eq!((reply.verdict, reply.tries), (Verdict::Found, 1));
    }
    unbound.end();
    for resolver in &resolvers {
        assert_eq!(ask_one(resolver).await.verdict, Verdict::Unreachable);
    }
}

#[tokio::test]
async fn nobody_and_one_that_is_silent() {
    let [dead] = ports();
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (root, _) = certificate();
    for scheme in ["tls", "https"] {
        for (addr, verdict, tries) in
            [(dead, Verdict::Unreachable, 1), (silent.local_addr().unwrap(), Verdict::Timeout, 2)]
        {
            let upstream = format!("{scheme}://{NAME}@{addr}").parse().unwrap();
            let short = Duration::from_millis(100);
            let resolver = Encrypted::new(vec![upstream], root.as_bytes(), short, 2, 1).unwrap();
            let reply = ask_one(&resolver).await;
            assert_eq!((reply.verdict, reply.tries, reply.records.len()), (verdict, tries, 0));
        }
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_before() {
    let new = |upstreams, roots: &str| Encrypted::new(upstreams, roots.as_bytes(), TIMEOUT, 1, 1);
    let upstream: Upstream = "tls://dns.example@192.0.2.1".parse().unwrap();
    assert!(matches!(new(vec![], "").unwrap_err(), EncryptedError::NoUpstream));
    for roots in ["no certificate", "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n"] {
        assert!(matches!(new(vec![upstream.clone()], roots).unwrap_err(), EncryptedError::Read(_)));
    }
    let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(new(vec![upstream], empty).unwrap_err(), EncryptedError::Trust(_)));
}
