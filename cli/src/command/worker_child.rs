//! `kudzu worker-child`: looks up for the worker that started it what may kill a process. It has
//! the worker's settings and its limits, and neither broker nor cache.

use std::sync::Arc;

use anyhow::Context as _;
use kudzu_shared::source::Class;
use kudzu_shared::time::SystemClock;
use kudzu_worker::{ChildWorker, WorkerConfig, tie};

use crate::args::Global;
use crate::args::cluster::WorkerChild as Args;
use crate::args::job::EngineArgs;
use crate::cluster;
use crate::embedded::{self, nobody};
use crate::exit::{End, Outcome};
use crate::settings;

pub async fn run(global: &Global, args: &Args) -> Outcome {
    tie(args.parent).context("end with the worker")?;
    let config = settings::load(global, &EngineArgs::default())?;
    let class = args.class.into();
    let limiter = cluster::limiter(&config)?;
    let resolver = match class {
        Class::Dns => {
            let limiter = cluster::shared(&config, &limiter);
            kudzu_worker::start_resolver(&config.dns, limiter).await.context("start the resolver")?
        }
        Class::Http | Class::Local => nobody(),
    };
    let child = ChildWorker {
        config: WorkerConfig::new(cluster::name(), &config),
        class,
        limiter,
        registry: embedded::registry(&config)?,
        resolver,
        clock: Arc::new(SystemClock),
    };
    child.run().await.context("look up for the worker")?;
    Ok(End::Complete)
}
