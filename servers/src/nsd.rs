//! NSD with one zone: one process that answers, and nothing that slows it down.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::child::Node;
use crate::{ServerError, free_port};

const PROGRAM: &str = "nsd";
/// Where it is on Debian, which is on the path of root alone.
const PLACES: [&str; 2] = ["/usr/sbin/nsd", "/usr/local/sbin/nsd"];
/// It reads a zone of 400,000 names in seconds.
const LIMIT: Duration = Duration::from_secs(120);
const ANSWER: Duration = Duration::from_millis(200);

/// A private NSD. Dropped, it is killed, and what it has started ends by itself.
#[derive(Debug)]
pub struct Nsd {
    node: Node,
    port: u16,
}

impl Nsd {
    /// Starts one with the zone of this name in this file, and waits until it answers.
    ///
    /// # Errors
    /// When it is not installed, or does not answer.
    pub fn start(zone: &str, file: &Path) -> Result<Self, ServerError> {
        let program = Self::program().ok_or(ServerError::Missing(PROGRAM, PROGRAM))?;
        let failed = |source| ServerError::Start { program: PROGRAM, source };
        let mut this = Self { node: Node::new(PROGRAM)?, port: free_port().map_err(failed)? };
        let (port, folder) = (this.port, this.node.folder().to_owned());
        let conf = folder.join("nsd.conf");
        std::fs::write(&conf, settings(&folder, port, zone, file)).map_err(failed)?;
        let set = |command: &mut Command| {
            command.arg("-d").arg("-c").arg(&conf).current_dir(&folder);
        };
        this.node.boot(program, set, LIMIT, || answers(port, zone))?;
        Ok(this)
    }

    /// Where its program is.
    pub fn program() -> Option<&'static str> {
        PLACES.into_iter().find(|place| Path::new(place).is_file())
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Where it keeps its things.
    pub fn folder(&self) -> &Path {
        self.node.folder()
    }
}

fn settings(folder: &Path, port: u16, zone: &str, file: &Path) -> String {
    let (folder, file) = (folder.display(), file.display());
    format!(
        "server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  username: \"\"\n  chroot: \"\"\n  \
         zonesdir: \"{folder}\"\n  pidfile: \"{folder}/nsd.pid\"\n  database: \"\"\n  \
         xfrdfile: \"{folder}/xfrd.state\"\n  zonelistfile: \"{folder}/zone.list\"\n  \
         logfile: \"{folder}/nsd.log\"\n  rrl-ratelimit: 0\nremote-control:\n  control-enable: no\n\
         zone:\n  name: \"{zone}\"\n  zonefile: \"{file}\"\n"
    )
}

/// Whether the zone's SOA comes: it listens before it has read the zone.
fn answers(port: u16, zone: &str) -> bool {
    let ask = || {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
        socket.set_read_timeout(Some(ANSWER)).ok()?;
        socket.send_to(&question(zone), (Ipv4Addr::LOCALHOST, port)).ok()?;
        let mut answer = [0; 512];
        let size = socket.recv(&mut answer).ok()?;
        Some((size > 12, answer[3] & 0x0f, answer[7]))
    };
    ask() == Some((true, 0, 1))
}

/// The SOA of a name.
fn question(name: &str) -> Vec<u8> {
    let mut query = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|l| !l.is_empty()) {
        // A label has at most 63 octets.
        query.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 6, 0, 1]);
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_answers_for_its_zone_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("zone");
        std::fs::write(&file, "$ORIGIN a.test.\n$TTL 60\n@ SOA ns host 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n")
            .unwrap();
        let nsd = Nsd::start("a.test", &file).unwrap();
        assert!(answers(nsd.port, "a.test"));
        assert!(!answers(nsd.port, "b.test"));
    }
}
