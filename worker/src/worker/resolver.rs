//! The resolver that the settings give.

use std::io;

use kudzu_dns::{Engine, EngineConfig, Server, SystemError, system_servers};
use kudzu_shared::config;

/// Questions in flight at most, however many resolvers there are.
const MOST: usize = 65_536;

/// Why there is no resolver.
#[derive(Debug, thiserror::Error)]
pub enum ResolverError {
    /// None is given, and the system names none.
    #[error("no resolver is set, and the system's cannot be used: set dns.resolvers")]
    System(#[from] SystemError),
    /// A socket cannot be bound.
    #[error("bind the resolver's sockets")]
    Bind(#[source] io::Error),
}

/// The resolver's settings: the resolvers given, else the system's, each with its limits.
///
/// # Errors
/// When there is no resolver.
pub fn engine_config(dns: &config::Dns) -> Result<EngineConfig, ResolverError> {
    let addrs = if dns.resolvers.is_empty() { system_servers()? } else { dns.resolvers.clone() };
    let each = usize::try_from(dns.in_flight).unwrap_or(MOST);
    let in_flight = each.saturating_mul(addrs.len()).clamp(1, MOST);
    let server = |addr| Server { addr, weight: 1, rate: dns.rate, in_flight: Some(dns.in_flight) };
    let servers = addrs.into_iter().map(server).collect();
    Ok(EngineConfig {
        timeout: dns.timeout(),
        attempts: u8::try_from(dns.attempts).unwrap_or(u8::MAX),
        // One's own resolvers are near: a forger would have to be there too.
        sockets: if dns.own { 4 } else { 16 },
        in_flight,
        ..EngineConfig::new(servers)
    })
}

/// Starts it on the current runtime.
///
/// # Errors
/// When there is no resolver, or no socket.
pub fn start(dns: &config::Dns) -> Result<Engine, ResolverError> {
    Engine::start(&engine_config(dns)?).map_err(ResolverError::Bind)
}
