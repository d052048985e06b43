//! A task for each question, for back ends that keep no loop of their own: how many are
//! open, and which server is asked when.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::server::SENDS_PER_SERVER;
use crate::{Ended, Question, Reply, Sink, Verdict};

/// Asks a server once.
pub(crate) trait Ask: Send + Sync + 'static {
    /// Whom it may ask.
    fn servers(&self) -> &[SocketAddr];

    /// Asks the server of this place in [`Ask::servers`].
    fn once(&self, server: usize, question: &Question) -> impl Future<Output = Reply> + Send;
}

/// Open questions. They end with it.
#[derive(Debug)]
pub(crate) struct Tasks {
    open: Arc<Semaphore>,
    attempts: u8,
    tasks: Mutex<JoinSet<()>>,
}

impl Tasks {
    /// `attempts` sends of a question at most, `in_flight` questions open at a time.
    pub(crate) fn new(attempts: u8, in_flight: usize) -> Self {
        let open = Arc::new(Semaphore::new(in_flight.clamp(1, Semaphore::MAX_PERMITS)));
        Self { open, attempts: attempts.max(1), tasks: Mutex::default() }
    }

    /// Takes questions, and waits while too many are open.
    pub(crate) async fn submit(
        &self,
        asker: &Arc<impl Ask>,
        questions: Vec<Question>,
        sink: &Sink,
    ) -> Result<(), Ended> {
        for question in questions {
            let place = Arc::clone(&self.open).acquire_owned().await.map_err(|_| Ended)?;
            let (asker, sink, attempts) = (Arc::clone(asker), sink.clone(), self.attempts);
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            while tasks.try_join_next().is_some() {}
            tasks.spawn(async move {
                if !sink.is_closed() {
                    tokio::select! {
                        biased;
                        () = sink.until_withdrawn() => sink.note_withdrawn(),
                        mut reply = in_turn(&*asker, &question, attempts) => {
                            reply.question = Some((question.name, question.qtype));
                            sink.send(vec![reply]).await;
                        }
                    }
                }
                drop(place);
            });
        }
        Ok(())
    }
}

/// Asks one server after another until one knows, none of them more often than RFC 9520 has it.
async fn in_turn(asker: &impl Ask, question: &Question, attempts: u8) -> Reply {
    let begin = Instant::now();
    let servers = asker.servers();
    let attempts = usize::from(attempts).min(SENDS_PER_SERVER * servers.len()) as u8;
    let mut last = Reply::failed(question.token, Verdict::Unreachable);
    let first: usize = rand::random_range(0..servers.len().max(1));
    let order = servers.iter().enumerate().cycle().skip(first);
    for (tries, (place, server)) in (1..=attempts).zip(order) {
        let mut reply = asker.once(place, question).await;
        reply.server = Some(*server);
        reply.tries = tries;
        reply.token = question.token;
        reply.rtt = begin.elapsed();
        let stands = reply.verdict.is_known();
        let elsewhere = reply.verdict == Verdict::Timeout || usize::from(tries) < servers.len();
        last = reply;
        if stands || !elsewhere {
            break;
        }
    }
    last
}
