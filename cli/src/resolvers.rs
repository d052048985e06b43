//! Which resolvers are asked, and how much each bears.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use std::time::Duration;

use anyhow::Context as _;
use kudzu_dns::{EngineConfig, Server, Upstream, system_servers};
use kudzu_shared::config;

use crate::args::resolve::Resolve;
use crate::exit::Failure;

/// DNS's own (RFC 1035 section 4.2).
const PORT: u16 = 53;
/// Lines of a file that are told one by one.
const TOLD: usize = 20;

/// Who is asked.
#[derive(Debug)]
pub enum Asked {
    /// Resolvers over UDP and TCP.
    Plain(EngineConfig),
    /// Resolvers over TLS or HTTPS.
    Encrypted {
        /// Whom.
        upstreams: Vec<Upstream>,
        /// Questions a second to each.
        rate: f64,
        /// Questions open at a time.
        in_flight: usize,
        /// How long one answer is waited for.
        timeout: Duration,
        /// Sends of one question.
        attempts: u8,
    },
}

/// The resolvers that the arguments give, else the settings, else the system.
///
/// # Errors
/// When there is none, or a text names none.
pub fn choose(args: &Resolve, dns: &config::Dns) -> Result<Asked, Failure> {
    let given = !args.resolver.is_empty() || args.resolvers.is_some();
    let is_encrypted = |text: &&String| text.contains("://");
    let encrypted: Vec<&String> = match given {
        true => args.resolver.iter().filter(is_encrypted).collect(),
        false => dns.encrypted.iter().collect(),
    };
    if encrypted.is_empty() {
        return plain(args, dns).map(Asked::Plain);
    }
    if args.resolvers.is_some() || (given && encrypted.len() != args.resolver.len()) {
        return Err(Failure::usage(
            "give resolvers over TLS or HTTPS alone: with others among them, names would go out in the clear",
        ));
    }
    let upstreams: Result<Vec<Upstream>, _> = encrypted.into_iter().map(|text| text.parse()).collect();
    let upstreams = upstreams.map_err(|e| Failure::Usage(anyhow::Error::new(e)))?;
    let n = upstreams.len();
    let own = args.own || dns.own;
    let rate = args.rate.map(|all| all / n as f64).or(dns.rate.filter(|_| !own));
    let each = usize::try_from(dns.in_flight).unwrap_or(1);
    Ok(Asked::Encrypted {
        upstreams,
        rate: rate.unwrap_or(f64::INFINITY),
        in_flight: args.in_flight.map_or(each.saturating_mul(n), |all| all as usize),
        timeout: args.timeout,
        attempts: args.attempts,
    })
}

fn plain(args: &Resolve, dns: &config::Dns) -> Result<EngineConfig, Failure> {
    let (own, explicit) = (args.own || dns.own, args.rate.is_some());
    let base = |addr: SocketAddr| Server {
        own,
        rate: dns.rate.filter(|_| !own && !explicit),
        in_flight: Some(dns.in_flight).filter(|_| !own && args.in_flight.is_none()),
        ..Server::own(addr)
    };
    let mut servers = Vec::new();
    for text in &args.resolver {
        let wrong = || format!("--resolver {text}: write an address, as 192.0.2.53 or [2001:db8::53]:5353");
        servers.push(base(address(text).ok_or_else(|| Failure::usage(wrong()))?));
    }
    if let Some(path) = &args.resolvers {
        servers.extend(file(path, base)?);
    }
    if servers.is_empty() {
        let addrs = match dns.resolvers.is_empty() {
            true => system_servers()
                .context("no resolver is given, and the system's cannot be used: give --resolver")
                .map_err(Failure::Usage)?,
            false => dns.resolvers.clone(),
        };
        servers.extend(addrs.into_iter().map(base));
    }
    let servers = Server::merged(&servers);
    Ok(EngineConfig {
        rate: args.rate,
        in_flight: args.in_flight.map_or(16_384, |n| n as usize),
        timeout: args.timeout,
        attempts: args.attempts,
        // A forger of one's own resolver's answers would have to be near.
        sockets: if own { 2 } else { 16 },
        ..EngineConfig::new(servers)
    })
}

/// Reads an address, with a port or without.
pub fn address(text: &str) -> Option<SocketAddr> {
    let alone = || text.trim_matches(['[', ']']).parse::<IpAddr>().ok().map(|ip| (ip, PORT).into());
    let addr: SocketAddr = text.parse().ok().or_else(alone)?;
    (addr.port() != 0 && !addr.ip().is_unspecified()).then_some(addr)
}

/// Reads a file of resolvers; what a line does not say is as `base` has it.
///
/// # Errors
/// When it cannot be read, names none, or a line is wrong: all of them are named.
pub fn file(path: &Path, base: impl Fn(SocketAddr) -> Server) -> Result<Vec<Server>, Failure> {
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("read {}", path.display())).map_err(Failure::Usage)?;
    let (mut servers, mut wrong) = (Vec::new(), Vec::new());
    for (line, number) in text.lines().zip(1..) {
        let line = line.split('#').next().unwrap_or_default().trim();
        match line.is_empty() {
            true => {}
            false => match server(line, &base) {
                Ok(server) => servers.push(server),
                Err(why) => wrong.push(format!("{}:{number}: {why}", path.display())),
            },
        }
    }
    if !wrong.is_empty() {
        let more = wrong.len().saturating_sub(TOLD);
        wrong.truncate(TOLD);
        if more > 0 {
            wrong.push(format!("and {more} more"));
        }
        return Err(Failure::usage(format!("wrong lines in the resolvers' file:\n{}", wrong.join("\n"))));
    }
    if servers.is_empty() {
        return Err(Failure::usage(format!(
            "{}: no resolver in it; write one address a line",
            path.display()
        )));
    }
    Ok(servers)
}

fn server(line: &str, base: impl Fn(SocketAddr) -> Server) -> Result<Server, String> {
    let mut words = line.split_whitespace();
    let text = words.next().unwrap_or_default();
    let addr = address(text)
        .ok_or_else(|| format!("{text}: no address; write 192.0.2.53 or [2001:db8::53]:5353"))?;
    let mut server = base(addr);
    for word in words {
        let bad = || format!("{word}: write weight=N, rate=N or in-flight=N, each above 0");
        let (key, value) = word.split_once('=').ok_or_else(bad)?;
        let whole = || value.parse::<u32>().ok().filter(|n| *n > 0).ok_or_else(bad);
        match key {
            "weight" => server.weight = whole()?,
            "in-flight" => server.in_flight = Some(whole()?),
            "rate" => {
                let rate = value.parse().ok().filter(|r: &f64| *r > 0.0 && r.is_finite());
                server.rate = Some(rate.ok_or_else(bad)?);
            }
            _ => return Err(bad()),
        }
    }
    Ok(server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_each_bears() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r");
        let text =
            "# mine\n192.0.2.53\n[2001:db8::53]:5353 weight=3 rate=50.5 in-flight=7 # far\n\n2001:db8::54\n";
        std::fs::write(&path, text).unwrap();
        let servers = file(&path, Server::public).unwrap();
        assert_eq!(servers[0], Server::public("192.0.2.53:53".parse().unwrap()));
        assert_eq!((servers[1].weight, servers[1].rate, servers[1].in_flight), (3, Some(50.5), Some(7)));
        assert_eq!(servers[2].addr, "[2001:db8::54]:53".parse().unwrap());
    }

    #[test]
    fn every_wrong_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r");
        std::fs::write(&path, "dns.example\n192.0.2.1 rate=0\n192.0.2.2 wait=3\n0.0.0.0\n192.0.2.3\n")
            .unwrap();
        let text = file(&path, Server::own).unwrap_err().text();
        for number in [1, 2, 3, 4] {
            assert!(text.contains(&format!("r:{number}: ")), "{text}");
        }
        std::fs::write(&path, "# none\n").unwrap();
        assert!(file(&path, Server::own).unwrap_err().text().contains("no resolver"));
        assert!(file(&folder.path().join("gone"), Server::own).is_err());
    }
}
