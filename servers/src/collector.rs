//! A collector of traces in this process: it takes OTLP over HTTP, and keeps what tests look at.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Octets of a message, at most.
const MAX_BODY: usize = 64 << 20;

/// A span, ids in hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    /// What it is called.
    pub name: String,
    /// Its trace.
    pub trace: String,
    /// Itself.
    pub span: String,
    /// Its parent; empty where it has none.
    pub parent: String,
}

/// Takes spans on a free port of 127.0.0.1, for as long as it lives.
#[derive(Debug)]
pub struct Collector {
    at: SocketAddr,
    got: Arc<Got>,
}

#[derive(Debug, Default)]
struct Got {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    spans: Vec<Collected>,
    octets: Vec<u8>,
    ended: bool,
}

impl Got {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector {
    /// Listens.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let at = listener.local_addr()?;
        let got = Arc::<Got>::default();
        let taken = Arc::clone(&got);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if taken.state().ended {
                    return;
                }
                let taken = Arc::clone(&taken);
                // Who sends nonsense is not answered.
                thread::spawn(move || drop(serve(&stream, &taken)));
            }
        });
        Ok(Self { at, got })
    }

    /// What `telemetry.otlp` is to be.
    pub fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    /// Waits until the spans that came so far give something; `None` where they do not in time.
    pub fn wait<T>(&self, patience: Duration, find: impl Fn(&[Collected]) -> Option<T>) -> Option<T> {
        let waited =
            self.got.changed.wait_timeout_while(self.got.state(), patience, |s| find(&s.spans).is_none());
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        find(&state.spans)
    }

    /// Whether a text was in what came.
    pub fn has(&self, text: &str) -> bool {
        self.got.state().octets.windows(text.len()).any(|w| w == text.as_bytes())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.got.state().ended = true;
        // It looks when somebody comes.
        let _ = TcpStream::connect(self.at);
    }
}

/// One connection, request by request.
fn serve(stream: &TcpStream, got: &Got) -> io::Result<()> {
    let mut from = BufReader::new(stream);
    loop {
        let (mut size, mut line) = (0, String::new());
        if from.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let known = line.starts_with("POST /v1/traces HTTP/1.1");
        loop {
            line.clear();
            from.read_line(&mut line)?;
            let Some((name, value)) = line.split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                size = value.trim().parse::<usize>().map_err(io::Error::other)?.min(MAX_BODY);
            }
        }
        let mut body = vec![0; size];
        from.read_exact(&mut body)?;
        if known {
            let mut state = got.state();
            state.spans.extend(spans(&body));
            state.octets.extend(body);
            drop(state);
            got.changed.notify_all();
        }
        let status = if known { "200 OK" } else { "404 Not Found" };
        write!(&mut &*stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")?;
    }
}

/// The spans of an `ExportTraceServiceRequest`.
fn spans(body: &[u8]) -> Vec<Collected> {
    let within = |part, number| Parts(part).filter(move |(n, _)| *n == number).map(|(_, part)| part);
    let resources = within(body, 1);
    let scopes = resources.flat_map(|resource| within(resource, 2));
    scopes.flat_map(|scope| within(scope, 2)).map(span).collect()
}

fn span(body: &[u8]) -> Collected {
    let part = |number| Parts(body).find(|(n, _)| *n == number).map(|(_, part)| part).unwrap_or_default();
    let hex = |number| part(number).iter().map(|b| format!("{b:02x}")).collect();
    let name = String::from_utf8_lossy(part(5)).into_owned();
    Collected { name, trace: hex(1), span: hex(2), parent: hex(4) }
}

/// The fields of a protobuf message that have a length, by number; others are passed over.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, size: usize) -> Option<&'a [u8]> {
        let (part, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(part)
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let tag = self.number()?;
            match tag & 7 {
                0 => drop(self.number()?),
                1 => drop(self.take(8)?),
                2 => {
                    let size = usize::try_from(self.number()?).ok()?;
                    return Some((tag >> 3, self.take(size)?));
                }
                5 => drop(self.take(4)?),
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_kept_and_noise_costs_nothing() {
        let collector = Collector::start().unwrap();
        // name (5) and parent (4) of a span (2) of a scope (2) of a resource (1), and a number
        // (6) between them.
        let span = [&[0x2a, 3][..], b"job", &[0x30, 0x96, 0x01, 0x22, 2, 0xab, 0x01]].concat();
        let wrap = |tag: u8, body: Vec<u8>| [&[tag, body.len() as u8][..], &body].concat();
        let body = wrap(0x0a, wrap(0x12, wrap(0x12, span)));
        let mut stream = TcpStream::connect(collector.at).unwrap();
        for (path, body) in [("/v1/other", &b"x"[..]), ("/v1/traces", &body), ("/v1/traces", b"\xff\xff")] {
            let head = format!("POST {path} HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        }
        let found = collector.wait(Duration::from_secs(10), |spans| spans.first().cloned()).unwrap();
        let (trace, span) = (String::new(), String::new());
        assert_eq!(found, Collected { name: "job".into(), trace, span, parent: "ab01".into() });
        assert!(collector.has("job") && !collector.has("other"));
    }
}
