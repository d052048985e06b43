//! Which resolvers are asked, and how much each bears.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::Context as _;
use kudzu_dns::Server;

use crate::exit::Failure;

/// DNS's own (RFC 1035 section 4.2).
const PORT: u16 = 53;
/// Lines of a file that are told one by one.
const TOLD: usize = 20;

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
