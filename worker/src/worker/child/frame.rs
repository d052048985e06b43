//! What a worker and its child say to each other: a length of four octets (little endian), an
//! octet that says what follows, and mostly a wire message.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kudzu_shared::cache::Key;
use kudzu_shared::wire::MAX_MESSAGE;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The largest frame: a message, and what a cache entry has beside its value.
const MAX_FRAME: usize = MAX_MESSAGE + 8192;

/// One thing said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// To the child: look these up.
    Task(Bytes),
    /// The child is set up, and takes a task.
    Ready,
    /// Results of some of the task's lookups.
    Results(Bytes),
    /// An answer for the cache, which the child does not have.
    Entry { key: Key, value: Bytes, keep: Duration },
    /// It waits, and is well.
    Alive,
    /// The task's last lookup has ended.
    Done,
}

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// There is no more: at its end, or in the middle of a frame.
    #[error("the stream ended")]
    Ended(#[source] io::Error),
    /// It is no frame.
    #[error("no frame: {0}")]
    Garbage(&'static str),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Ended(error)
    }
}

impl Frame {
    /// Its bytes; `None` where it is too large to be sent.
    fn encode(&self) -> Option<BytesMut> {
        let (kind, head, body): (u8, Vec<u8>, &[u8]) = match self {
            Self::Task(body) => (1, Vec::new(), body),
            Self::Ready => (2, Vec::new(), &[]),
            Self::Results(body) => (3, Vec::new(), body),
            Self::Entry { key, value, keep } => {
                let keep = u64::try_from(keep.as_millis()).ok()?;
                let len = u16::try_from(key.len()).ok()?;
                (4, [&keep.to_le_bytes()[..], &len.to_le_bytes(), key].concat(), value)
            }
            Self::Alive => (5, Vec::new(), &[]),
            Self::Done => (6, Vec::new(), &[]),
        };
        let size = 1 + head.len() + body.len();
        let prefix = u32::try_from(size).ok().filter(|_| size <= MAX_FRAME)?;
        let mut bytes = BytesMut::with_capacity(4 + size);
        bytes.extend_from_slice(&prefix.to_le_bytes());
        bytes.extend_from_slice(&[kind]);
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(body);
        Some(bytes)
    }

    fn decode(mut body: Bytes) -> Result<Self, Error> {
        let kind = body.first().copied().ok_or(Error::Garbage("it is empty"))?;
        let rest = body.split_off(1);
        match (kind, rest.is_empty()) {
            (1, _) => Ok(Self::Task(rest)),
            (2, true) => Ok(Self::Ready),
            (3, _) => Ok(Self::Results(rest)),
            (4, _) => entry(rest).ok_or(Error::Garbage("a cache entry is damaged")),
            (5, true) => Ok(Self::Alive),
            (6, true) => Ok(Self::Done),
            _ => Err(Error::Garbage("nobody says this")),
        }
    }
}

fn entry(mut rest: Bytes) -> Option<Frame> {
    let (keep, after) = rest.split_first_chunk::<8>()?;
    let (len, after) = after.split_first_chunk::<2>()?;
    let (keep, len) = (u64::from_le_bytes(*keep), usize::from(u16::from_le_bytes(*len)));
    if after.len() < len {
        return None;
    }
    let mut key = rest.split_off(8 + 2);
    let value = key.split_off(len);
    Some(Frame::Entry { key, value, keep: Duration::from_millis(keep) })
}

/// Says one thing and flushes it. Where it is too large nothing is said, and the answer is
/// false. Not cancel safe: half a frame may have been written.
///
/// # Errors
/// When nobody listens.
pub(super) async fn write<W: AsyncWrite + Unpin>(to: &mut W, frame: &Frame) -> io::Result<bool> {
    let Some(bytes) = frame.encode() else { return Ok(false) };
    to.write_all(&bytes).await?;
    to.flush().await?;
    Ok(true)
}

/// Hears one thing. Not cancel safe: half a frame may have been read.
///
/// # Errors
/// When nobody speaks any more, or what is said is no frame.
pub(super) async fn read<R: AsyncRead + Unpin>(from: &mut R) -> Result<Frame, Error> {
    let mut prefix = [0; 4];
    from.read_exact(&mut prefix).await?;
    let size = usize::try_from(u32::from_le_bytes(prefix)).unwrap_or(usize::MAX);
    if size > MAX_FRAME {
        return Err(Error::Garbage("it is too large"));
    }
    let mut body = BytesMut::zeroed(size);
    from.read_exact(&mut body).await?;
    Frame::decode(body.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Frame> {
        let bytes = Bytes::from_static;
        vec![
            Frame::Task(bytes(b"task")),
            Frame::Ready,
            Frame::Results(bytes(b"results")),
            Frame::Entry { key: bytes(b"key"), value: bytes(b"value"), keep: Duration::from_secs(7) },
            Frame::Alive,
            Frame::Done,
        ]
    }

    #[tokio::test]
    async fn what_is_said_is_heard() {
        let mut said = Vec::new();
        for frame in all() {
            assert!(write(&mut said, &frame).await.unwrap());
        }
        let mut from = &said[..];
        for frame in all() {
            assert_eq!(read(&mut from).await.unwrap(), frame);
        }
        assert!(matches!(read(&mut from).await, Err(Error::Ended(_))));
    }

    #[tokio::test]
    async fn half_a_frame_is_an_end_and_noise_is_garbage() {
        for frame in all() {
            let bytes = frame.encode().unwrap();
            for cut in 0..bytes.len() {
                assert!(matches!(read(&mut &bytes[..cut]).await, Err(Error::Ended(_))), "{frame:?} {cut}");
            }
        }
        for noise in
            [&b"hello, world"[..], &[0; 4], &[1, 0, 0, 0, 99], &[2, 0, 0, 0, 2, 0], &[3, 0, 0, 0, 4, 0, 0]]
        {
            assert!(matches!(read(&mut &noise[..]).await, Err(Error::Garbage(_))), "{noise:?}");
        }
        let mut short = BytesMut::from(&[14, 0, 0, 0, 4][..]);
        short.extend_from_slice(&[0; 8]);
        short.extend_from_slice(&[200, 0, 1, 2, 3]);
        assert!(matches!(read(&mut &short[..]).await, Err(Error::Garbage(_))));
    }

    #[tokio::test]
    async fn what_is_too_large_is_not_said() {
        let mut said = Vec::new();
        let frame = Frame::Results(Bytes::from(vec![0; MAX_FRAME]));
        assert!(!write(&mut said, &frame).await.unwrap());
        assert!(said.is_empty());
    }
}
