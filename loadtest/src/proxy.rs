//! A TCP relay that breaks things: it cuts connections, lets nothing through for a while, or
//! lets it through in one direction only.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use std::time::Duration;

use kudzu_shared::task::{self, Task};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the relay does with what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// All of it goes on.
    Whole,
    /// Connections stay, and nothing comes through.
    Stalled,
    /// What the client says goes on; what it would be answered does not.
    HalfOpen,
    /// Connections are reset, and new ones are refused.
    Cut,
}

/// A relay in front of a server. Dropped, it cuts all its connections.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    line: watch::Sender<Line>,
    _task: Task<()>,
}

impl Proxy {
    /// In front of this address, on a port of its own.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(to: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let (line, seen) = watch::channel(Line::Whole);
        Ok(Self { addr, line, _task: task::spawn("proxy", accept(listener, to, seen)) })
    }

    /// Where to connect instead.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on.
    pub fn set(&self, line: Line) {
        self.line.send_replace(line);
    }

    /// For a while.
    pub async fn set_for(&self, line: Line, time: Duration) {
        self.set(line);
        tokio::time::sleep(time).await;
        self.set(Line::Whole);
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, line: watch::Receiver<Line>) {
    let mut open: Vec<Task<()>> = Vec::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        open.retain(|task| !task.is_finished());
        if *line.borrow() == Line::Cut {
            reset(&client);
            continue;
        }
        let line = line.clone();
        open.push(task::spawn("relay", relay(client, to, line)));
    }
}

async fn relay(client: TcpStream, to: SocketAddr, mut line: watch::Receiver<Line>) {
    let Ok(server) = TcpStream::connect(to).await else { return reset(&client) };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    for stream in [&client, &server] {
        reset(stream); // However it ends, it ends at once.
    }
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    let mut there = std::pin::pin!(copy(client_in, server_out, line.clone(), &[Line::Stalled]));
    let mut back =
        std::pin::pin!(copy(server_in, client_out, line.clone(), &[Line::Stalled, Line::HalfOpen]));
    loop {
        tokio::select! {
            () = &mut there => return,
            () = &mut back => return,
            changed = line.changed() => {
                if changed.is_err() || *line.borrow() == Line::Cut {
                    return;
                }
            }
        }
    }
}

/// Copies until an end is gone; waits while the line is one of these.
async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut line: watch::Receiver<Line>,
    held_by: &[Line],
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(n) = from.read(&mut buffer).await else { return };
        if n == 0 {
            return;
        }
        if line.wait_for(|l| !held_by.contains(l)).await.is_err() || to.write_all(&buffer[..n]).await.is_err()
        {
            return;
        }
    }
}

/// Closes with a reset instead of a farewell.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let serve = task::spawn("echo", async move {
            let mut open = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                open.push(task::spawn("one", async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                }));
            }
        });
        std::mem::forget(serve); // It ends with the test.
        addr
    }

    async fn says(stream: &mut TcpStream, text: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(text).await?;
        let mut back = vec![0; text.len()];
        stream.read_exact(&mut back).await?;
        Ok(back)
    }

    #[tokio::test]
    async fn a_whole_line_carries_both_ways() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
        assert_eq!(says(&mut stream, b"hello").await.unwrap(), b"hello");
    }

    #[tokio::test]
    async fn a_cut_line_resets_and_refuses() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
        says(&mut stream, b"x").await.unwrap();
        proxy.set(Line::Cut);
        assert!(says(&mut stream, b"y").await.is_err());
        let mut next = TcpStream::connect(proxy.addr()).await.unwrap();
        assert!(says(&mut next, b"z").await.is_err());
        proxy.set(Line::Whole);
        let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
        assert_eq!(says(&mut stream, b"again").await.unwrap(), b"again");
    }

    #[tokio::test]
    async fn a_stalled_line_holds_all_and_loses_nothing() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        for line in [Line::Stalled, Line::HalfOpen] {
            let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
            says(&mut stream, b"x").await.unwrap();
            proxy.set(line);
            stream.write_all(b"held").await.unwrap();
            let mut back = [0; 4];
            let early = tokio::time::timeout(Duration::from_millis(100), stream.read_exact(&mut back)).await;
            assert!(early.is_err(), "{line:?}");
            proxy.set(Line::Whole);
            stream.read_exact(&mut back).await.unwrap();
            assert_eq!(&back, b"held");
        }
    }
}
