//! `kudzu worker`

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kudzu_shared::source::Class;
use kudzu_shared::task::{self, Shutdown};
use kudzu_shared::telemetry::otlp;
use kudzu_shared::time::{Clock, SystemClock};
use kudzu_worker::{ChildCommand, Worker, WorkerConfig};

use crate::args::Global;
use crate::args::cluster::Worker as Args;
use crate::args::job::EngineArgs;
use crate::cluster::{self, Backs, name};
use crate::embedded::{self, nobody};
use crate::exit::{End, Outcome};
use crate::{health, interrupt, settings};

/// How long lookups in hand may take when the worker ends; the rest is given back.
const DRAIN: Duration = Duration::from_secs(20);
/// Pause before it starts again after its queues were gone.
const AGAIN: Duration = Duration::from_secs(1);

pub async fn run(global: &Global, args: &Args) -> Outcome {
    let config = settings::load(global, &EngineArgs::default())?;
    let name = args.name.clone().unwrap_or_else(name);
    otlp::start(&config.telemetry, "kudzu-worker", &name).context("telemetry.otlp")?;
    let backs = Backs::connect(&config, &name)?;
    let registry = embedded::registry(&config)?;
    let classes: Vec<Class> = if args.classes.is_empty() {
        vec![Class::Dns, Class::Http, Class::Local]
    } else {
        args.classes.iter().map(|c| (*c).into()).collect()
    };
    let asks_dns = classes.contains(&Class::Dns)
        && registry.catalogue().iter().any(|s| s.class == Class::Dns && s.unavailable.is_none());
    let resolver = match asks_dns {
        true => {
            let limiter = cluster::shared(&config, &backs.limiter);
            kudzu_worker::start_resolver(&config.dns, limiter).await.context("start the resolver")?
        }
        false => nobody(),
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    interrupt::take_over();
    let shutdown = Shutdown::new(DRAIN);
    // Who asks is answered until the last task has ended.
    let drained = Shutdown::new(DRAIN);
    let serving = match args.listen {
        Some(listen) => {
            let broker = Arc::new(backs.broker.clone());
            Some(health::serve(listen, broker, shutdown.clone(), drained.clone()).await?)
        }
        None => None,
    };
    let ending = {
        let shutdown = shutdown.clone();
        async move {
            interrupt::requested().await;
            shutdown.begin();
        }
    };
    let mut ending = std::pin::pin!(ending);
    while !shutdown.is_stopping() {
        let worker = WorkerConfig {
            classes: classes.clone(),
            child: Some(child(global)),
            ..WorkerConfig::new(name.clone(), &config)
        };
        let worker = Worker::new(
            worker,
            Arc::new(backs.broker.clone()),
            Arc::clone(&backs.cache),
            Arc::clone(&backs.limiter),
            registry.clone(),
            Arc::clone(&resolver),
            Arc::clone(&clock),
        );
        tracing::info!(name, ?classes, "works");
        let mut running = task::spawn("worker", worker.run(shutdown.child()));
        let ran = tokio::select! {
            ran = &mut running => ran,
            () = &mut ending => {
                tracing::info!(name, "ends: finishes or gives back what it has");
                running.await
            }
        };
        ran.context("run the worker")?.context("run the worker")?;
        if !shutdown.is_stopping() {
            tracing::warn!("its queues are gone; it asks for them again");
            tokio::time::sleep(AGAIN).await;
        }
    }
    drained.begin();
    if let Some(serving) = serving {
        serving.await.context("serve health and metrics")?.context("serve health and metrics")?;
    }
    backs.broker.close();
    Ok(End::Complete)
}

/// This program, with the same settings. By this name it is the one that runs, also where its
/// file has been replaced since: the two must understand each other.
fn child(global: &Global) -> ChildCommand {
    // What it logs comes into this one's log, which has a form of its own.
    let own = ["worker-child", "--log-format=text"].map(OsString::from);
    let args = own.into_iter().chain(global.to_args());
    ChildCommand::new("/proc/self/exe", args)
}
