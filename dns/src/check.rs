//! What resolvers are like, found out before they are trusted with anything.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use rand::Rng as _;
use tokio::net::UdpSocket;

use crate::answer::{self, Echo};
use crate::query::{self, Form};
use crate::server::{Known, Server};
use crate::{Data, Question, RecordType, Verdict, name};

/// Resolvers checked at a time.
const AT_A_TIME: usize = 64;
/// Each question is sent so often at most.
const SENDS: u32 = 3;
/// Zones under which a name of random letters does not exist.
const ABSENT: [&str; 2] = ["com", "org"];

/// What one resolver showed of itself. `None` where it did not show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Whose.
    pub addr: SocketAddr,
    /// The quickest of its answers; `None` where it is silent.
    pub rtt: Option<Duration>,
    /// It says of names that do not exist that they have these addresses. Empty where it is
    /// honest.
    pub lies: Vec<IpAddr>,
    /// It said of such a name that it does not exist.
    pub denies: bool,
    /// It answers queries with EDNS and padding (RFC 6891, RFC 7830).
    pub edns: Option<bool>,
    /// It repeats the letters of a question as they were.
    pub case: Option<bool>,
    /// It offers recursion.
    pub recursive: Option<bool>,
}

impl Checked {
    /// What an engine should know of it from the start.
    pub fn known(&self) -> Known {
        Known { plain: self.edns == Some(false), case: self.case }
    }

    /// Whether there is something to say against it.
    pub fn is_sound(&self) -> bool {
        self.rtt.is_some()
            && self.lies.is_empty()
            && self.edns != Some(false)
            && self.recursive != Some(false)
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(rtt) = self.rtt else { return write!(f, "{}: does not answer", self.addr) };
        write!(f, "{}: {:.1} ms", self.addr, rtt.as_secs_f64() * 1000.0)?;
        if let Some(lie) = self.lies.first() {
            write!(f, ", LIES: gives {lie} for names that do not exist")?;
        }
        for (is, what) in [
            (self.recursive == Some(false), "no recursion"),
            (self.edns == Some(false), "cannot read EDNS"),
            (self.case == Some(false), "changes letters"),
        ] {
            if is {
                write!(f, ", {what}")?;
            }
        }
        if self.is_sound() && self.denies {
            write!(f, ", sound")?;
        } else if self.lies.is_empty() && !self.denies {
            write!(f, ", does not say that names do not exist which do not")?;
        }
        Ok(())
    }
}

/// Asks each resolver a few questions: the root's name servers with EDNS and without, and two
/// names that do not exist. All at once; a silent one takes twice the time that one answer is
/// waited for. In the order given. Cancel safe.
pub async fn check(servers: &[Server], timeout: Duration) -> Vec<Checked> {
    let one = |server: &Server| one(server.addr, timeout);
    stream::iter(servers.iter().map(one)).buffered(AT_A_TIME).collect().await
}

/// One question of the check.
struct Probe {
    question: Question,
    form: Form,
    id: u16,
    done: bool,
}

async fn one(addr: SocketAddr, timeout: Duration) -> Checked {
    let mut checked =
        Checked { addr, rtt: None, lies: Vec::new(), denies: false, edns: None, case: None, recursive: None };
    // What cannot be sent shows as silence.
    if let Err(error) = ask(&mut checked, timeout).await {
        tracing::debug!(server = %addr, %error, "check of a resolver");
    }
    checked
}

async fn ask(checked: &mut Checked, timeout: Duration) -> io::Result<()> {
    let any: IpAddr =
        if checked.addr.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(checked.addr).await?;
    let mut probes = probes();
    let mut buffer = vec![0; 4096];
    for _ in 0..SENDS {
        let begin = Instant::now();
        for probe in probes.iter().filter(|p| !p.done) {
            let mut message = Vec::new();
            query::encode(probe.id, &probe.question, probe.form, &mut message);
            socket.send(&message).await?;
        }
        let end = tokio::time::Instant::now() + timeout;
        while probes.iter().any(|p| !p.done) {
            match tokio::time::timeout_at(end, socket.recv(&mut buffer)).await {
                Ok(Ok(length)) => take(checked, &mut probes, &buffer[..length], begin.elapsed()),
                // A port that nobody listens on says so.
                Ok(Err(error)) => return Err(error),
                Err(_) => break,
            }
        }
    }
    // It answers, but nothing with EDNS, however often it was asked.
    if checked.edns.is_none() && probes.iter().any(|p| p.done && !p.form.edns) && !probes[0].done {
        checked.edns = Some(false);
    }
    Ok(())
}

fn probes() -> Vec<Probe> {
    let mut rng = rand::rng();
    let root = |rng: &mut rand::rngs::ThreadRng, edns: bool| Probe {
        question: Question { token: 0, name: Box::from([0]), qtype: RecordType::NS },
        form: Form { edns, padded: edns, case: 0 },
        id: rng.random(),
        done: false,
    };
    let mut probes = vec![root(&mut rng, true), root(&mut rng, false)];
    for zone in ABSENT {
        let label: String = (0..20).map(|_| char::from(b'a' + rng.random_range(0..26))).collect();
        let Some(name) = name::from_text(&format!("{label}.{zone}")) else { continue };
        let question = Question { token: 0, name, qtype: RecordType::A };
        let form = Form { edns: false, padded: false, case: rng.random() };
        probes.push(Probe { question, form, id: rng.random(), done: false });
    }
    probes
}

/// Learns from one datagram.
fn take(checked: &mut Checked, probes: &mut [Probe], message: &[u8], rtt: Duration) {
    let Some(&[i0, i1, kind, flags, ..]) = message.first_chunk::<12>() else { return };
    // QR set, opcode 0 (RFC 1035 section 4.1.1).
    if kind & 0xf8 != 0x80 {
        return;
    }
    let id = u16::from_be_bytes([i0, i1]);
    let Some(probe) = probes.iter_mut().find(|p| p.id == id && !p.done) else { return };
    let echo = answer::echo(&probe.question, probe.form.case, message);
    let Some(read) = answer::read_echoed(&probe.question, echo, message) else { return };
    probe.done = true;
    checked.rtt = Some(checked.rtt.map_or(rtt, |least| least.min(rtt)));
    let verdict = read.reply.verdict;
    if probe.form.edns {
        let read = !read.bare && verdict != Verdict::FormErr;
        checked.edns = Some(read);
    } else if probe.form.case != 0 {
        checked.denies |= verdict == Verdict::NxDomain;
        checked.lies.extend(read.reply.records.iter().filter_map(|r| match r.data {
            Data::A(address) => Some(IpAddr::from(address)),
            _ => None,
        }));
        if matches!(echo, Echo::Exact | Echo::Changed) {
            checked.case = Some(echo == Echo::Exact && checked.case != Some(false));
        }
    } else {
        checked.recursive = Some(flags & 0x80 != 0);
    }
}

/// Leaves out the resolvers that lie, and lets the others be known from the start; the same
/// where all of them lie.
pub fn apply(servers: Vec<Server>, checked: &[Checked]) -> Vec<Server> {
    let honest = checked.iter().any(|c| c.lies.is_empty());
    let with = |(server, c): (Server, &Checked)| {
        (!honest || c.lies.is_empty()).then(|| Server { known: c.known(), ..server })
    };
    servers.into_iter().zip(checked).filter_map(with).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(addr: &str) -> Checked {
        Checked {
            addr: addr.parse().unwrap(),
            rtt: Some(Duration::from_micros(1500)),
            lies: Vec::new(),
            denies: true,
            edns: Some(true),
            case: Some(true),
            recursive: Some(true),
        }
    }

    #[test]
    fn the_report_says_what_is_wrong() {
        let good = checked("192.0.2.1:53");
        assert_eq!(good.to_string(), "192.0.2.1:53: 1.5 ms, sound");
        let liar = Checked { lies: vec![[198, 51, 100, 1].into()], denies: false, ..good.clone() };
        assert!(liar.to_string().ends_with("LIES: gives 198.51.100.1 for names that do not exist"));
        let old = Checked { edns: Some(false), case: Some(false), recursive: Some(false), ..good.clone() };
        assert!(old.to_string().ends_with("no recursion, cannot read EDNS, changes letters"));
        assert_eq!(Checked { rtt: None, ..good }.to_string(), "192.0.2.1:53: does not answer");
    }

    #[test]
    fn liars_are_left_out_unless_all_lie() {
        let servers: Vec<Server> =
            ["192.0.2.1:53", "192.0.2.2:53"].map(|a| Server::own(a.parse().unwrap())).into();
        let mut all = vec![checked("192.0.2.1:53"), checked("192.0.2.2:53")];
        all[1].edns = Some(false);
        assert!(apply(servers.clone(), &all)[1].known.plain);
        all[0].lies.push([198, 51, 100, 1].into());
        assert_eq!(apply(servers.clone(), &all).len(), 1);
        all[1].lies.push([198, 51, 100, 1].into());
        assert_eq!(apply(servers, &all).len(), 2);
    }
}
