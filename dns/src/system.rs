//! The system's resolvers, as hickory-resolver reads them.

use std::net::SocketAddr;

use hickory_resolver::config::ProtocolConfig;

/// The system's resolver configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// It cannot be read.
    #[error("read the system's resolver configuration")]
    Read(#[source] hickory_resolver::net::NetError),
    /// It names no server.
    #[error("the system's resolver configuration names no server")]
    None,
}

/// The resolvers of the system's configuration (on Unix `/etc/resolv.conf`), each once, in
/// its order.
///
/// # Errors
/// When there is no such configuration, or no server in it.
pub fn system_servers() -> Result<Vec<SocketAddr>, SystemError> {
    let (config, _) = hickory_resolver::system_conf::read_system_conf().map_err(SystemError::Read)?;
    let mut servers = Vec::new();
    for server in config.name_servers() {
        let udp = server.connections.iter().find(|c| matches!(c.protocol, ProtocolConfig::Udp));
        let addr = udp.map(|c| SocketAddr::new(server.ip, c.port));
        servers.extend(addr.filter(|a| !servers.contains(a)));
    }
    if servers.is_empty() { Err(SystemError::None) } else { Ok(servers) }
}
