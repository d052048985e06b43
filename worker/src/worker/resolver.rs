//! The resolver that the settings give.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kudzu_dns::check::{self, Checked};
use kudzu_dns::{
    Encrypted, EncryptedError, Engine, EngineConfig, Gate, Resolver, Server, SystemError, Upstream,
    UpstreamError, system_servers,
};
use kudzu_shared::config;
use kudzu_shared::limits::Limiter;

use super::gate::Rates;

/// Questions in flight at most, however many resolvers there are.
const MOST: usize = 65_536;
/// How long each answer of the check is waited for.
const CHECK: Duration = Duration::from_millis(700);

/// Why there is no resolver.
#[derive(Debug, thiserror::Error)]
pub enum ResolverError {
    /// None is given, and the system names none.
    #[error("no resolver is set, and the system's cannot be used: set dns.resolvers")]
    System(#[from] SystemError),
    /// A socket cannot be bound.
    #[error("bind the resolver's sockets")]
    Bind(#[source] io::Error),
    /// A text is no encrypted resolver.
    #[error("dns.encrypted")]
    Upstream(#[from] UpstreamError),
    /// Certificates cannot be checked.
    #[error("set up the encrypted resolvers")]
    Encrypted(#[source] EncryptedError),
    /// None can be trusted.
    #[error(
        "every resolver gives addresses for names that do not exist ({0}): set dns.resolvers to others, or dns.check=false to ask these all the same"
    )]
    Liars(Checked),
}

/// The encrypted resolvers of the settings.
///
/// # Errors
/// When a text is none.
pub fn upstreams(dns: &config::Dns) -> Result<Vec<Upstream>, UpstreamError> {
    dns.encrypted.iter().map(|text| text.parse()).collect()
}

/// The resolver's settings: the resolvers given, else the system's, each with its limits.
///
/// # Errors
/// When there is no resolver.
fn engine_config(dns: &config::Dns) -> Result<EngineConfig, ResolverError> {
    let addrs = if dns.resolvers.is_empty() { system_servers()? } else { dns.resolvers.clone() };
    let server =
        |addr| Server { own: dns.own, rate: dns.rate, in_flight: Some(dns.in_flight), ..Server::own(addr) };
    let servers = Server::merged(&addrs.into_iter().map(server).collect::<Vec<_>>());
    Ok(EngineConfig {
        timeout: dns.timeout(),
        attempts: attempts(dns),
        // One's own resolvers are near: a forger would have to be there too.
        sockets: if dns.own { 4 } else { 16 },
        in_flight: in_flight(dns, servers.len()),
        ..EngineConfig::new(servers)
    })
}

fn attempts(dns: &config::Dns) -> u8 {
    u8::try_from(dns.attempts).unwrap_or(u8::MAX)
}

fn in_flight(dns: &config::Dns, resolvers: usize) -> usize {
    let each = usize::try_from(dns.in_flight).unwrap_or(MOST);
    each.saturating_mul(resolvers).clamp(1, MOST)
}

/// What holds the rate over all who share the limiter; `None` where there is no rate.
fn gate(
    limiter: Option<&Arc<dyn Limiter>>,
    servers: impl Iterator<Item = (SocketAddr, Option<f64>)>,
) -> Option<Arc<dyn Gate>> {
    let rated = |(addr, rate): (SocketAddr, Option<f64>)| Some((addr, rate.filter(|r| r.is_finite())?));
    let mut servers = servers.filter_map(rated).peekable();
    servers.peek()?;
    Some(Arc::new(Rates::new(limiter?, servers)))
}

/// Checks the resolvers, says what is wrong with them, and starts on the current runtime.
/// Their rate holds over all who share the limiter; `None` where nobody else asks them.
///
/// # Errors
/// When there is no resolver that can be trusted, or no socket.
pub async fn start(
    dns: &config::Dns,
    limiter: Option<&Arc<dyn Limiter>>,
) -> Result<Arc<dyn Resolver>, ResolverError> {
    let upstreams = upstreams(dns)?;
    if !upstreams.is_empty() {
        let in_flight = in_flight(dns, upstreams.len());
        let gate = gate(limiter, upstreams.iter().map(|u| (u.addr(), dns.rate)));
        let encrypted = Encrypted::new(upstreams, b"", dns.timeout(), attempts(dns), in_flight);
        let encrypted = encrypted.map_err(ResolverError::Encrypted)?;
        let encrypted = encrypted.with_rate(dns.rate.unwrap_or(f64::INFINITY)).with_gate(gate);
        return Ok(Arc::new(encrypted));
    }
    let mut config = engine_config(dns)?;
    if dns.check {
        let checked = check::check(&config.servers, CHECK.min(dns.timeout())).await;
        for resolver in checked.iter().filter(|c| !c.is_sound()) {
            tracing::warn!(%resolver, "resolver");
        }
        if let Some(liar) = checked.iter().find(|_| checked.iter().all(|c| !c.lies.is_empty())) {
            return Err(ResolverError::Liars(liar.clone()));
        }
        config.servers = check::apply(config.servers, &checked);
    }
    config.gate = gate(limiter, config.servers.iter().map(|s| (s.addr, s.rate)));
    Ok(Arc::new(Engine::start(&config).map_err(ResolverError::Bind)?))
}
