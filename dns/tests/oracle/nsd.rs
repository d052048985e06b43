//! NSD with given zones on a free port.

use std::io::{ErrorKind, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Ends with its owner.
pub struct Nsd {
    pub addr: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Drop for Nsd {
    fn drop(&mut self) {
        // Its own children end only where it can tell them.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

impl Nsd {
    /// Zones by name; one without text has no file. Another process may take a port before
    /// NSD does, so others are tried.
    pub fn start(zones: &[(String, String)]) -> Self {
        (0..8).find_map(|_| Self::try_start(zones)).expect("a port that stays free")
    }

    fn try_start(zones: &[(String, String)]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = held.local_addr().unwrap();
        let path = |file: &str| folder.path().join(file).display().to_string();
        let mut config = format!(
            "server:\n  ip-address: {}@{}\n  server-count: 1\n  username: \"\"\n  zonesdir: \"{}\"\n  \
             database: \"\"\n  pidfile: \"{}\"\n  zonelistfile: \"{}\"\n  xfrdfile: \"{}\"\n  \
             xfrdir: \"{}\"\n  rrl-ratelimit: 0\n  tcp-count: 500\nremote-control:\n  control-enable: no\n",
            addr.ip(),
            addr.port(),
            path(""),
            path("pid"),
            path("zonelist"),
            path("xfrd"),
            path(""),
        );
        for (i, (name, text)) in zones.iter().enumerate() {
            config.push_str(&format!("zone:\n  name: \"{name}\"\n  zonefile: \"zone{i}\"\n"));
            if !text.is_empty() {
                std::fs::write(folder.path().join(format!("zone{i}")), text).unwrap();
            }
        }
        std::fs::write(folder.path().join("nsd.conf"), config).unwrap();
        drop(held);
        // Where users have no such folder in their path.
        let program = ["/usr/sbin/nsd", "/usr/local/sbin/nsd"].into_iter().find(|p| Path::new(p).exists());
        let child = Command::new(program.unwrap_or("nsd"))
            .args(["-d", "-c", &path("nsd.conf")])
            .stderr(Stdio::piped())
            .spawn()
            .expect("this test needs NSD: scripts/setup.sh test installs it");
        let mut nsd = Self { addr, child, _folder: folder };
        nsd.is_ready().then_some(nsd)
    }

    /// Waits until it listens; false where it could not take its port.
    fn is_ready(&mut self) -> bool {
        let begin = Instant::now();
        while let Err(e) = TcpStream::connect(self.addr) {
            assert_eq!(e.kind(), ErrorKind::ConnectionRefused, "{e}");
            if self.child.try_wait().unwrap().is_some() {
                let mut said = String::new();
                self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                assert!(said.contains("in use"), "NSD ended: {said}");
                return false;
            }
            assert!(begin.elapsed() < TIMEOUT, "NSD does not listen");
            std::thread::yield_now();
        }
        true
    }
}
