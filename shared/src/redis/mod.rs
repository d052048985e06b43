//! A connection to Redis that nothing waits for: what it cannot answer now is unknown.
//!
//! Redis is one server, the master that sentinels know, or the nodes of a cluster. A task looks
//! for them again whenever something is not where it was; meanwhile that is unknown too.

mod cluster;
mod node;
mod place;
mod sentinel;
mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use redis::{
    Arg, Cmd, ErrorKind, FromRedisValue, Pipeline, RedisResult, ScriptInvocation, ServerErrorKind, Value,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::task::{self, Task};
use cluster::Seeds;
use node::Node;
pub(crate) use place::Place;
pub use place::UriError;
use sentinel::Sentinels;
use view::View;

/// How long one answer is waited for: longer, and asking the source is quicker.
const ANSWER: Duration = Duration::from_secs(1);
/// How long one attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(1);
/// How long a server is left alone after it was not there, and sentinels after they were asked.
const LEFT_ALONE: Duration = Duration::from_secs(1);
/// How long it may take to find the servers.
const FOUND: Duration = Duration::from_secs(2);

/// Redis, shared by all who need it. Clones share its connections.
#[derive(Clone)]
pub struct Redis {
    inner: Arc<Inner>,
    /// Looks for the servers where they may change.
    _task: Option<Arc<Task<()>>>,
}

struct Inner {
    /// `None` before they were looked for.
    view: watch::Sender<Option<Arc<View>>>,
    /// Told when something is not where it was.
    lost: Notify,
    errors: AtomicU64,
}

enum Finder {
    Sentinels(Box<Sentinels>),
    Seeds(Seeds),
}

impl Redis {
    /// Connects when it is first needed. To be called within a tokio runtime.
    ///
    /// # Errors
    /// When the URI is none.
    pub fn new(uri: &SecretString) -> Result<Self, UriError> {
        let (view, finder) = match Place::parse(uri.expose_secret())? {
            Place::One(info) => {
                let node = Node::new(info).map_err(UriError::One)?;
                (Some(Arc::new(View::one(Arc::new(node)))), None)
            }
            Place::Sentinel { sentinels, name, master } => {
                let all = Sentinels { all: sentinels, name, master };
                (None, Some(Finder::Sentinels(Box::new(all))))
            }
            Place::Cluster(seeds) => (None, Some(Finder::Seeds(Seeds(seeds)))),
        };
        let (lost, errors) = (Notify::new(), AtomicU64::new(0));
        let inner = Arc::new(Inner { view: watch::Sender::new(view), lost, errors });
        let follow = |finder| {
            let inner = Arc::clone(&inner);
            Arc::new(task::spawn("redis", async move { inner.follow(finder).await }))
        };
        let _task = finder.map(follow);
        Ok(Self { inner, _task })
    }

    /// Answers that were errors so far.
    pub fn errors(&self) -> u64 {
        self.inner.errors.load(Relaxed)
    }

    /// Whether all of it was there when it was last asked.
    pub fn is_there(&self) -> bool {
        self.inner.view.borrow().as_ref().is_none_or(|view| view.is_there())
    }

    /// Runs a command whose first argument is its key; `None` where it fails. Cancel safe: the
    /// command may run all the same.
    pub async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Option<T> {
        let node = self.inner.node(key(command)).await?;
        self.inner.take(&node, command.query_async(&mut node.connection()).await)
    }

    /// Runs such commands together: an answer to each, `None` where it fails. Cancel safe as
    /// above.
    pub async fn ask_all(&self, commands: Vec<Cmd>) -> Vec<Option<Value>> {
        let mut answers = vec![None; commands.len()];
        let Some(view) = self.inner.view().await else { return answers };
        let mut parts = vec![(Vec::new(), Pipeline::new()); view.nodes().len()];
        for (i, command) in commands.into_iter().enumerate() {
            let Some(owner) = view.owner(key(&command)) else {
                self.inner.lost.notify_one();
                continue;
            };
            let (at, commands) = &mut parts[owner];
            at.push(i);
            commands.add_command(command).ignore_errors();
        }
        let parts = parts.iter().zip(view.nodes());
        let parts = parts.filter(|((at, _), node)| !at.is_empty() && !node.is_left_alone());
        let asked = parts.map(|((at, commands), node)| async move {
            let answers: RedisResult<Vec<Value>> = commands.query_async(&mut node.connection()).await;
            (at, self.inner.take(node, answers).unwrap_or_default())
        });
        for (at, some) in join_all(asked).await {
            for (i, answer) in at.iter().zip(some) {
                answers[*i] = self.inner.take_value(answer);
            }
        }
        answers
    }

    /// The texts of these names; `None` where there is none, or it fails. Cancel safe.
    pub async fn get(&self, names: &[Vec<u8>]) -> Vec<Option<Bytes>> {
        let mut values: Vec<Option<Value>> = if self.inner.view().await.is_some_and(|v| v.is_split()) {
            let get = |name: &Vec<u8>| redis::cmd("GET").arg(name).to_owned();
            self.ask_all(names.iter().map(get).collect()).await
        } else {
            // One command costs the server less than many.
            self.ask(redis::cmd("MGET").arg(names)).await.unwrap_or_default()
        };
        // A value for each, whatever Redis says.
        values.resize(names.len(), None);
        let text = |v| if let Some(Value::BulkString(text)) = v { Some(Bytes::from(text)) } else { None };
        values.into_iter().map(text).collect()
    }

    /// Runs a script, all of whose keys are in the slot of this one; `None` where it fails.
    /// Cancel safe: it may run all the same.
    pub async fn run<T: FromRedisValue>(&self, key: &str, script: &ScriptInvocation<'_>) -> Option<T> {
        let node = self.inner.node(key.as_bytes()).await?;
        self.inner.take(&node, script.invoke_async(&mut node.connection()).await)
    }
}

/// A command's first argument.
fn key(command: &Cmd) -> &[u8] {
    match command.args_iter().nth(1) {
        Some(Arg::Simple(key)) => key,
        _ => &[],
    }
}

/// Whether an answer says that somebody else is to be asked.
fn is_elsewhere(kind: ServerErrorKind) -> bool {
    use ServerErrorKind::{ClusterDown, MasterDown, Moved, ReadOnly};
    matches!(kind, ClusterDown | MasterDown | Moved | ReadOnly)
}

impl Inner {
    /// The servers. Waits for the first look at them, and never again.
    async fn view(&self) -> Option<Arc<View>> {
        if let Some(view) = self.view.borrow().as_ref() {
            return Some(Arc::clone(view));
        }
        self.lost.notify_one();
        let mut views = self.view.subscribe();
        let known = timeout(2 * FOUND, views.wait_for(Option::is_some)).await;
        known.ok()?.ok()?.clone()
    }

    /// Who is to be asked for a key, unless it is left alone.
    async fn node(&self, key: &[u8]) -> Option<Arc<Node>> {
        let view = self.view().await?;
        let Some(owner) = view.owner(key) else {
            self.lost.notify_one();
            return None;
        };
        let node = &view.nodes()[owner];
        (!node.is_left_alone()).then(|| Arc::clone(node))
    }

    fn take<T>(&self, node: &Node, answer: RedisResult<T>) -> Option<T> {
        match answer {
            Ok(answer) => {
                node.has_answered();
                Some(answer)
            }
            Err(error) => {
                self.errors.fetch_add(1, Relaxed);
                let gone = node.has_failed(&error);
                if gone || matches!(error.kind(), ErrorKind::Server(kind) if is_elsewhere(kind)) {
                    self.lost.notify_one();
                }
                None
            }
        }
    }

    fn take_value(&self, value: Value) -> Option<Value> {
        let Value::ServerError(error) = value else { return Some(value) };
        self.errors.fetch_add(1, Relaxed);
        if error.kind().is_some_and(is_elsewhere) {
            self.lost.notify_one();
        }
        None
    }

    /// Looks for the servers whenever something is lost, but not all the time.
    async fn follow(&self, finder: Finder) {
        loop {
            self.lost.notified().await;
            self.look(&finder).await;
            sleep(LEFT_ALONE).await;
        }
    }

    async fn look(&self, finder: &Finder) {
        let known = self.view.borrow().clone();
        let none = View::none();
        let last = known.as_deref().unwrap_or(&none);
        let find = async {
            match finder {
                Finder::Sentinels(sentinels) => sentinels.find(last).await,
                Finder::Seeds(seeds) => seeds.find(last).await,
            }
        };
        let why = match timeout(FOUND, find).await {
            Ok(Ok(view)) => {
                self.view.send_replace(Some(Arc::new(view)));
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        // What was known may be there again.
        if known.is_none() {
            tracing::warn!(why, "no Redis: going on without it");
            self.view.send_replace(Some(Arc::new(none)));
        } else {
            tracing::debug!(why, "Redis is not found again");
        }
    }
}
