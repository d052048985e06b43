//! Questions over TCP (RFC 7766): few connections to each server, many questions on each.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Shared;
use super::entry::StreamQuery;
use super::ring::Timer;

/// Questions open at a time over all connections.
const OPEN: usize = 1024;
/// Connections to one server.
const CONNECTIONS: usize = 2;
/// Questions on one connection before there is a second.
const BUSY: usize = 32;
/// A connection that nobody uses is closed after this.
const IDLE: Duration = Duration::from_secs(10);
/// Messages that answer no question in flight and are skipped before a connection is given up.
const STRANGERS: u32 = 8;
/// How long it is kept in mind that a server closes connections early.
const REMEMBER: Duration = Duration::from_secs(60);

/// What came of a question.
#[derive(Debug)]
pub(crate) enum Came {
    /// An answer's octets.
    Answer(Vec<u8>),
    /// The server had answered others, and closed the connection on this one: a server may at
    /// any time (RFC 7766 section 6.2.4).
    Closed,
    /// No answer.
    Nothing,
}

/// Which question, and what came of it.
#[derive(Debug)]
pub(super) struct Streamed {
    pub(super) timer: Timer,
    pub(super) came: Came,
}

/// The way of a thread's questions to the connections.
#[derive(Debug)]
pub(super) struct Streams {
    queries: mpsc::Sender<StreamQuery>,
    open: usize,
}

impl Streams {
    /// The task that keeps the connections, and the way to it. It ends when that way is gone.
    pub(super) fn new(
        timeout: Duration,
        shared: Arc<Shared>,
    ) -> (Self, mpsc::Receiver<Streamed>, impl Future<Output = ()> + Send) {
        let (queries, asked) = mpsc::channel(OPEN);
        let (results, streamed) = mpsc::channel(OPEN);
        let reply = Answers { results, shared };
        (Self { queries, open: 0 }, streamed, keep(asked, reply, timeout))
    }

    pub(super) fn has_room(&self) -> bool {
        self.open < OPEN
    }

    /// Asks; there must be room. Every question that was taken has one result.
    ///
    /// # Errors
    /// When the task is gone: whose question it was.
    pub(super) fn ask(&mut self, query: StreamQuery) -> Result<(), Timer> {
        let timer = query.timer;
        self.queries.try_send(query).map_err(|_| timer)?;
        self.open += 1;
        Ok(())
    }

    pub(super) fn ended(&mut self) {
        self.open -= 1;
    }
}

#[derive(Clone)]
struct Answers {
    results: mpsc::Sender<Streamed>,
    shared: Arc<Shared>,
}

impl Answers {
    /// There is room: no more questions are open than results fit.
    fn give(&self, timer: Timer, came: Came) {
        let _ = self.results.try_send(Streamed { timer, came });
        self.shared.wake();
    }
}

struct Line {
    jobs: mpsc::Sender<StreamQuery>,
}

/// A server's connections.
#[derive(Default)]
struct Lines {
    all: Vec<Line>,
    /// How many questions it answers on one, and until when that is taken for granted.
    most: Option<(usize, Instant)>,
}

/// A connection that has ended.
struct Left {
    addr: SocketAddr,
    /// What it was given and did not ask.
    jobs: Vec<StreamQuery>,
    /// How many it answered before the server closed it on others.
    closed_after: Option<usize>,
}

impl Line {
    fn load(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }
}

/// Hands questions to connections, and makes those.
async fn keep(mut asked: mpsc::Receiver<StreamQuery>, answers: Answers, timeout: Duration) {
    let mut servers: HashMap<SocketAddr, Lines> = HashMap::new();
    let mut tasks: JoinSet<Left> = JoinSet::new();
    loop {
        let (addr, jobs) = tokio::select! {
            query = asked.recv() => match query {
                Some(query) => (query.addr, vec![query]),
                None => return,
            },
            Some(Ok(left)) = tasks.join_next(), if !tasks.is_empty() => {
                if let (Some(n), Some(lines)) = (left.closed_after, servers.get_mut(&left.addr)) {
                    lines.most = Some((n, Instant::now() + REMEMBER));
                }
                (left.addr, left.jobs)
            }
        };
        let lines = servers.entry(addr).or_default();
        for job in jobs {
            if let Some((job, rx)) = lines.hand(job) {
                let most =
                    lines.most.filter(|(_, until)| *until > Instant::now()).map_or(usize::MAX, |m| m.0);
                tasks.spawn(serve(addr, job, rx, most, answers.clone(), timeout));
            }
        }
        servers.retain(|_, l| l.most.is_some() || l.all.iter().any(|line| !line.jobs.is_closed()));
    }
}

impl Lines {
    /// Hands a question to the connection with the least to do; gives it back with the other
    /// end of a new one.
    fn hand(&mut self, mut job: StreamQuery) -> Option<(StreamQuery, mpsc::Receiver<StreamQuery>)> {
        self.all.retain(|line| !line.jobs.is_closed());
        self.all.sort_by_key(Line::load);
        let first = self.all.first().filter(|l| l.load() < BUSY || self.all.len() >= CONNECTIONS);
        if let Some(line) = first {
            match line.jobs.try_send(job) {
                Ok(()) => return None,
                // It has just ended.
                Err(mpsc::error::TrySendError::Closed(back) | mpsc::error::TrySendError::Full(back)) => {
                    job = back;
                }
            }
        }
        let (tx, rx) = mpsc::channel(OPEN);
        self.all.push(Line { jobs: tx });
        Some((job, rx))
    }
}

/// One connection for `most` questions, until it ends.
async fn serve(
    addr: SocketAddr,
    first: StreamQuery,
    mut jobs: mpsc::Receiver<StreamQuery>,
    most: usize,
    answers: Answers,
    timeout: Duration,
) -> Left {
    let mut line = Connection { most, ..Connection::default() };
    let connected = tokio::time::timeout(timeout, TcpStream::connect(addr)).await;
    let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let reached = connected.is_ok();
    let ended = match connected {
        Ok(stream) => line.run(stream, first, &mut jobs, &answers, timeout).await,
        Err(error) => {
            line.open.insert(0, first);
            Err(error)
        }
    };
    if let Err(error) = &ended {
        tracing::debug!(server = %addr, %error, "TCP connection ended");
    }
    jobs.close();
    // A close with questions unread is a reset, and may take answers with it: next time they are
    // asked one by one.
    let crowded = reached && line.served == 0 && line.open.len() > 1 && most > 1;
    let served = line.served > 0 || crowded;
    let closed_after = (served && ended.is_err() && !line.open.is_empty()).then_some(line.served.max(1));
    for job in line.open.into_values() {
        answers.give(job.timer, if served { Came::Closed } else { Came::Nothing });
    }
    let mut left = Vec::new();
    while let Ok(job) = jobs.try_recv() {
        match served {
            true => left.push(job),
            false => answers.give(job.timer, Came::Nothing),
        }
    }
    Left { addr, jobs: left, closed_after }
}

#[derive(Default)]
struct Connection {
    open: HashMap<u16, StreamQuery>,
    /// IDs by the end of their time.
    order: VecDeque<(Instant, u16)>,
    strangers: u32,
    /// Questions that it may ask.
    most: usize,
    asked: usize,
    /// Answers that it brought.
    served: usize,
}

impl Connection {
    async fn run(
        &mut self,
        mut stream: TcpStream,
        first: StreamQuery,
        jobs: &mut mpsc::Receiver<StreamQuery>,
        answers: &Answers,
        timeout: Duration,
    ) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut reader, mut writer) = stream.split();
        let mut buffer = Vec::with_capacity(4096);
        let mut next = Some(first);
        loop {
            if let Some(job) = next.take() {
                let mut out = Vec::with_capacity(64);
                self.put(job, timeout, &mut out);
                while out.len() < 4096
                    && self.asked < self.most
                    && let Ok(job) = jobs.try_recv()
                {
                    self.put(job, timeout, &mut out);
                }
                tokio::time::timeout(timeout, writer.write_all(&out)).await??;
            }
            if self.asked >= self.most && self.open.is_empty() {
                return Ok(());
            }
            self.order.retain(|(_, id)| self.open.contains_key(id));
            let wake = self.order.front().map_or_else(|| Instant::now() + IDLE, |(at, _)| *at);
            tokio::select! {
                job = jobs.recv(), if self.asked < self.most => match job {
                    Some(job) => next = Some(job),
                    None => return Ok(()),
                },
                read = reader.read_buf(&mut buffer) => {
                    if read? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    self.frames(&mut buffer, answers)?;
                }
                () = tokio::time::sleep_until(wake) => {
                    if self.order.is_empty() {
                        return Ok(());
                    }
                    while let Some((_, id)) = self.order.pop_front_if(|(at, _)| *at <= wake) {
                        if let Some(job) = self.open.remove(&id) {
                            answers.give(job.timer, Came::Nothing);
                        }
                    }
                }
            }
        }
    }

    /// Appends a question with a random ID that is not in use on this connection.
    fn put(&mut self, job: StreamQuery, timeout: Duration, out: &mut Vec<u8>) {
        let mut id: u16 = rand::rng().random();
        while self.open.contains_key(&id) {
            id = id.wrapping_add(1);
        }
        let message = &job.message;
        out.extend((message.len() as u16).to_be_bytes());
        out.extend(id.to_be_bytes());
        out.extend(message.get(2..).unwrap_or_default());
        self.asked += 1;
        self.order.push_back((Instant::now() + timeout, id));
        self.open.insert(id, job);
    }

    /// Takes whole messages out of what was read.
    fn frames(&mut self, buffer: &mut Vec<u8>, answers: &Answers) -> io::Result<()> {
        let mut at = 0;
        while let Some(length) = buffer.get(at..).and_then(|b| b.first_chunk::<2>()) {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some(message) = buffer.get(at + 2..at + 2 + length) else { break };
            at += 2 + length;
            let id = message.first_chunk::<2>().map_or(0, |id| u16::from_be_bytes(*id));
            if self.open.get(&id).is_some_and(|job| job.is_answered_by(message))
                && let Some(job) = self.open.remove(&id)
            {
                self.served += 1;
                answers.give(job.timer, Came::Answer(message.to_vec()));
            } else {
                self.strangers += 1;
            }
            if self.strangers >= STRANGERS {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        buffer.drain(..at);
        Ok(())
    }
}
