//! `kudzu coordinator`

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kudzu_coordinator::StartOptions;
use kudzu_coordinator::api::{self, forward};
use kudzu_coordinator::cluster::{Cluster, Options, Running};
use kudzu_shared::archive::{self, Store, refuses_to_overwrite};
use kudzu_shared::broker::Broker;
use kudzu_shared::config::Config;
use kudzu_shared::packs::Packs;
use kudzu_shared::task::Shutdown;
use kudzu_shared::telemetry::otlp;
use kudzu_shared::time::SystemClock;
use tokio::net::TcpListener;

use crate::args::Global;
use crate::args::cluster::Coordinator;
use crate::args::job::EngineArgs;
use crate::cluster::{Backs, name};
use crate::console::tell;
use crate::exit::{End, Failure, Outcome};
use crate::view::forms::Forms;
use crate::{allocator, embedded, interrupt, settings};

/// How long what runs may take to be left.
const DRAIN: Duration = Duration::from_secs(20);

/// How long the archive may take to be tried before the coordinator starts.
const PROBE: Duration = Duration::from_secs(5);

pub async fn run(global: &Global, args: &Coordinator) -> Outcome {
    let mut config = settings::load(global, &EngineArgs::default())?;
    config.api.listen = args.listen.unwrap_or(config.api.listen);
    guard(&config)?;
    let name = args.name.clone().unwrap_or_else(name);
    otlp::start(&config.telemetry, "kudzu-coordinator", &name).context("telemetry.otlp")?;
    let backs = Backs::connect(&config, &name)?;
    let archive = Store::from_url(&config.archive).map_err(|e| Failure::Usage(e.into()))?;
    if config.archive.url == "memory:" {
        tell("archive.url is memory: jobs end with this process; set file:///folder or s3://bucket");
    }
    probe(&archive, &config.archive.url).await?;
    let packs = Packs::load(&config.packs.files).map_err(|e| Failure::Usage(e.into()))?;
    let catalogue = embedded::registry(&config)?.catalogue();
    let listen = config.api.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
    let at = listener.local_addr().context("learn where it listens")?;
    let address = config.api.advertise.clone().unwrap_or_else(|| format!("http://{at}"));
    interrupt::take_over();
    let shutdown = Shutdown::new(DRAIN);
    kudzu_worker::http::install_provider();
    let http = forward::client().context("set up the client for other coordinators")?;
    let secret = api::secret_of(config.broker.url.as_ref().map_or("", |url| url.expose()));
    let millis = Duration::from_millis;
    let options = Options {
        run: StartOptions {
            config: config.coordinator.clone(),
            broker: Arc::new(backs.broker.clone()),
            cache: backs.cache,
            catalogue,
            packs: Arc::new(packs),
            clock: Arc::new(SystemClock),
        },
        archive: Arc::new(archive),
        name: name.clone(),
        address: Some(address.clone()),
        jobs: config.coordinator.jobs,
        open: usize::try_from(config.coordinator.open).unwrap_or(usize::MAX),
        hold: millis(config.coordinator.hold_ms),
        sweep: millis(config.coordinator.sweep_ms),
        retention: config.archive.retention(),
        peers: Arc::new(forward::HttpPeers { http: http.clone(), secret: secret.clone() }),
        give_memory_back: allocator::give_back,
    };
    let connections = usize::try_from(config.api.connections).unwrap_or(usize::MAX);
    let broker: Arc<dyn Broker> = Arc::new(backs.broker.clone());
    let begun = tokio::select! {
        () = interrupt::requested() => return Ok(End::Complete),
        begun = begin(options, &listener, (broker, connections), &shutdown) => begun?,
    };
    let (cluster, running) = begun;
    let router = api::router(api::Options {
        cluster,
        settings: config.api.clone(),
        tenants: config.tenants.clone(),
        policy: config.policy.clone(),
        http,
        secret,
        forms: Arc::new(Forms),
        shutdown: shutdown.child(),
    });
    tracing::info!(name, url = address, "coordinates");
    if let Some(path) = &args.url_out {
        // Renamed into place, so that whoever waits for it reads all of it.
        let part = path.with_extension("part");
        let write = std::fs::write(&part, &address).and_then(|()| std::fs::rename(&part, path));
        write.with_context(|| format!("--url-out: write {}", path.display()))?;
    }
    let mut serving = std::pin::pin!(api::serve(listener, router, connections, shutdown.child()));
    tokio::select! {
        () = interrupt::requested() => {}
        served = &mut serving => served.context("serve the API")?,
    }
    tracing::info!(name, "ends: its jobs go to other coordinators");
    shutdown.begin();
    let (served, ()) = tokio::join!(serving, running.ended());
    served.context("serve the API")?;
    backs.broker.close();
    Ok(End::Complete)
}

/// Begins; probes and users are answered while it waits for its broker.
async fn begin(
    options: Options,
    listener: &TcpListener,
    (broker, connections): (Arc<dyn Broker>, usize),
    shutdown: &Shutdown,
) -> Result<(Cluster, Running), Failure> {
    let until = shutdown.child();
    let waiting = api::waiting(broker);
    let mut waiting = std::pin::pin!(api::serve(listener, waiting, connections, until.clone()));
    let started = tokio::select! {
        served = &mut waiting => {
            served.context("serve the API")?;
            return Err(Failure::failed("the API ended before the coordinator began"));
        }
        started = Cluster::start(options, shutdown.child()) => started.context("start the coordinator")?,
    };
    until.begin();
    waiting.await.context("serve the API")?;
    Ok(started)
}

/// An archive that overwrites would let two coordinators end one job. One that cannot be asked
/// now is waited for by whoever needs it.
async fn probe(archive: &Store, url: &str) -> Result<(), Failure> {
    let Ok(probed) = tokio::time::timeout(PROBE, refuses_to_overwrite(archive)).await else {
        tracing::warn!(url, "the archive does not answer now");
        return Ok(());
    };
    match probed {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::usage(format!(
            "archive.url {url}: it overwrites what is there; the server must honour If-None-Match: * on PUT"
        ))),
        Err(error @ (archive::Error::Denied(..) | archive::Error::NoBucket(..))) => {
            Err(Failure::Usage(error.into()))
        }
        Err(error) => {
            tracing::warn!(%error, "the archive cannot be asked now");
            Ok(())
        }
    }
}

/// What may not be, however the settings came to it.
fn guard(config: &Config) -> Result<(), Failure> {
    use kudzu_shared::config::Auth;
    let api = &config.api;
    if api.auth == Auth::Off && !api.listen.ip().is_loopback() {
        return Err(Failure::usage(format!(
            "--listen {}: without tokens only a loopback address may be listened on",
            api.listen
        )));
    }
    if api.auth == Auth::Tokens && api.tokens.is_empty() {
        return Err(Failure::usage(
            "nobody could ask: make a token with kudzu token, or set api.auth = \"off\" on a loopback address",
        ));
    }
    Ok(())
}
