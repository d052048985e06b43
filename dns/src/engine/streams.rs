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
use super::core::StreamQuery;
use super::ring::Timer;

/// Questions open at a time over all connections.
const OPEN: usize = 1024;
/// Connections to one server.
const CONNECTIONS: usize = 2;
/// Questions on one connection before there is a second.
const BUSY: usize = 32;
/// A connection that nobody uses is closed after this.
const IDLE: Duration = Duration::from_secs(10);
/// Answers to other IDs that are skipped before a connection is given up.
const STRANGERS: u32 = 8;

/// What came of a question.
#[derive(Debug)]
pub(super) struct Streamed {
    pub(super) timer: Timer,
    /// The answer; `None` where there is none.
    pub(super) message: Option<Vec<u8>>,
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
    fn give(&self, timer: Timer, message: Option<Vec<u8>>) {
        let _ = self.results.try_send(Streamed { timer, message });
        self.shared.wake();
    }
}

/// A question on its way; `retried` once, where a connection that had served ends.
struct Job {
    query: StreamQuery,
    retried: bool,
}

struct Line {
    jobs: mpsc::Sender<Job>,
}

impl Line {
    fn load(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }
}

/// Hands questions to connections, and makes those.
async fn keep(mut asked: mpsc::Receiver<StreamQuery>, answers: Answers, timeout: Duration) {
    let mut lines: HashMap<SocketAddr, Vec<Line>> = HashMap::new();
    let mut tasks: JoinSet<Vec<Job>> = JoinSet::new();
    loop {
        let jobs = tokio::select! {
            query = asked.recv() => match query {
                Some(query) => vec![Job { query, retried: false }],
                None => return,
            },
            Some(left) = tasks.join_next(), if !tasks.is_empty() => left.unwrap_or_default(),
        };
        for mut job in jobs {
            let lines = lines.entry(job.query.addr).or_default();
            lines.retain(|line| !line.jobs.is_closed());
            lines.sort_by_key(Line::load);
            let wanted = lines.first().is_none_or(|l| l.load() >= BUSY && lines.len() < CONNECTIONS);
            if !wanted && let Some(line) = lines.first() {
                match line.jobs.try_send(job) {
                    Ok(()) => continue,
                    // It has just ended.
                    Err(mpsc::error::TrySendError::Closed(back) | mpsc::error::TrySendError::Full(back)) => {
                        job = back;
                    }
                }
            }
            let (tx, rx) = mpsc::channel(OPEN);
            let addr = job.query.addr;
            // The channel is new and has room.
            let _ = tx.try_send(job);
            lines.push(Line { jobs: tx });
            tasks.spawn(serve(addr, rx, answers.clone(), timeout));
        }
        lines.retain(|_, l| l.iter().any(|line| !line.jobs.is_closed()));
    }
}

/// One connection, until it ends; gives back what it did not ask or what may be asked again.
async fn serve(
    addr: SocketAddr,
    mut jobs: mpsc::Receiver<Job>,
    answers: Answers,
    timeout: Duration,
) -> Vec<Job> {
    let mut line = Connection { open: HashMap::new(), order: VecDeque::new(), strangers: 0, served: false };
    let ended = match tokio::time::timeout(timeout, TcpStream::connect(addr)).await {
        Ok(Ok(stream)) => line.run(stream, &mut jobs, &answers, timeout).await,
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    if let Err(error) = ended {
        tracing::debug!(server = %addr, %error, "TCP connection ended");
    }
    jobs.close();
    let mut left = Vec::new();
    let served = line.served;
    for job in line.open.into_values() {
        // A server may close a connection at any time (RFC 7766 section 6.2.4).
        match served && !job.retried {
            true => left.push(Job { retried: true, ..job }),
            false => answers.give(job.query.timer, None),
        }
    }
    while let Ok(job) = jobs.try_recv() {
        match served {
            true => left.push(job),
            false => answers.give(job.query.timer, None),
        }
    }
    left
}

struct Connection {
    open: HashMap<u16, Job>,
    /// IDs by the end of their time.
    order: VecDeque<(Instant, u16)>,
    strangers: u32,
    /// It has brought an answer.
    served: bool,
}

impl Connection {
    async fn run(
        &mut self,
        mut stream: TcpStream,
        jobs: &mut mpsc::Receiver<Job>,
        answers: &Answers,
        timeout: Duration,
    ) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut reader, mut writer) = stream.split();
        let mut buffer = Vec::with_capacity(4096);
        loop {
            self.order.retain(|(_, id)| self.open.contains_key(id));
            let wake = self.order.front().map_or_else(|| Instant::now() + IDLE, |(at, _)| *at);
            tokio::select! {
                job = jobs.recv() => {
                    let Some(job) = job else { return Ok(()) };
                    let mut out = Vec::with_capacity(64);
                    self.put(job, timeout, &mut out);
                    while out.len() < 4096 && let Ok(job) = jobs.try_recv() {
                        self.put(job, timeout, &mut out);
                    }
                    tokio::time::timeout(timeout, writer.write_all(&out)).await??;
                }
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
                            answers.give(job.query.timer, None);
                        }
                    }
                }
            }
        }
    }

    /// Appends a question with a random ID that is not in use on this connection.
    fn put(&mut self, job: Job, timeout: Duration, out: &mut Vec<u8>) {
        let mut id: u16 = rand::rng().random();
        while self.open.contains_key(&id) {
            id = id.wrapping_add(1);
        }
        let message = &job.query.message;
        out.extend((message.len() as u16).to_be_bytes());
        out.extend(id.to_be_bytes());
        out.extend(message.get(2..).unwrap_or_default());
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
            let id = message.first_chunk::<2>().map(|id| u16::from_be_bytes(*id));
            match id.and_then(|id| self.open.remove(&id)) {
                Some(job) => {
                    self.served = true;
                    answers.give(job.query.timer, Some(message.to_vec()));
                }
                None => self.strangers += 1,
            }
            if self.strangers >= STRANGERS {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        buffer.drain(..at);
        Ok(())
    }
}
