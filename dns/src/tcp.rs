//! One question over TCP (RFC 7766), for what the reference finds truncated.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Question;
use crate::answer::{self, Read};
use crate::query::{self, Form};

/// Answers to other IDs that are skipped before the connection is given up.
const STRANGERS: u8 = 8;

/// Connects, asks, reads the answer. Cancel safe: the connection goes with it.
pub(crate) async fn exchange(server: SocketAddr, question: &Question, limit: Duration) -> io::Result<Read> {
    tokio::time::timeout(limit, ask(server, question)).await.map_err(|_| io::ErrorKind::TimedOut)?
}

async fn ask(server: SocketAddr, question: &Question) -> io::Result<Read> {
    let mut stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let id: u16 = rand::random();
    let mut message = Vec::with_capacity(query::MAX_QUERY);
    query::encode(id, question, Form { edns: true, padded: false, case: 0 }, &mut message);
    let len = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // One write, so that length and message leave in one segment.
    message.splice(..0, len.to_be_bytes());
    stream.write_all(&message).await?;
    for _ in 0..STRANGERS {
        let len = usize::from(stream.read_u16().await?);
        message.resize(len, 0);
        stream.read_exact(&mut message).await?;
        if message.get(..2) == Some(&id.to_be_bytes())
            && let Some(read) = answer::read(question, &message)
        {
            return Ok(read);
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}
