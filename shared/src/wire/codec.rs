//! Header, records and the one place that knows bincode.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::{BorrowDecode, Encode};
use bytes::Bytes;

use super::records::Record;
use super::{MAJOR, MINOR};

/// The largest message that is read, header included; senders keep to [`super::PART`].
pub const MAX_MESSAGE: usize = 256 * 1024;

const MAGIC: &[u8; 4] = b"KDZU";
pub(super) const HEADER: usize = 16;
const LENGTH: usize = 4;
const CONFIG: Configuration<LittleEndian, Varint, Limit<MAX_MESSAGE>> =
    bincode::config::standard().with_limit::<MAX_MESSAGE>();

/// Why a message cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes do not start with the magic, or are shorter than a header.
    #[error("this is no kudzu message")]
    NotAMessage,
    /// Another major version: park it, a newer or older program must read it.
    #[error("message of major version {0}; this program reads version {MAJOR}")]
    Major(u8),
    /// Another kind than the one expected here.
    #[error("message of kind {found}, expected {expected}")]
    Kind {
        /// What it says it is.
        found: u8,
        /// What was asked for.
        expected: u8,
    },
    /// Length or checksum do not fit the body.
    #[error("the message is damaged ({0})")]
    Damaged(&'static str),
    /// A number this program does not know: a newer one wrote it; park it.
    #[error("the message has {what} {number}, which this program does not know")]
    Unknown {
        /// Which enumeration.
        what: &'static str,
        /// The number.
        number: u8,
    },
    /// Larger than [`MAX_MESSAGE`].
    #[error("a message of {0} octets is over the limit of {MAX_MESSAGE}")]
    TooLarge(usize),
    /// A record cannot be encoded.
    #[error("encode a record")]
    Encode(#[source] bincode::error::EncodeError),
    /// A record cannot be decoded.
    #[error("decode a record")]
    Decode(#[source] bincode::error::DecodeError),
}

/// What a record takes in a message.
pub(super) fn size<T: Record>(record: &T) -> Result<usize, Error> {
    head_size(&record.wire())
}

/// What a head takes in a message.
pub(super) fn head_size(value: &impl Encode) -> Result<usize, Error> {
    let mut sizer = bincode::enc::EncoderImpl::new(bincode::enc::write::SizeWriter::default(), CONFIG);
    value.encode(&mut sizer).map_err(Error::Encode)?;
    Ok(LENGTH + sizer.into_writer().bytes_written)
}

/// Writes one message.
#[derive(Debug)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new(kind: u8, capacity: usize) -> Self {
        let mut buf = Vec::with_capacity(HEADER + capacity);
        buf.extend_from_slice(MAGIC);
        buf.extend_from_slice(&[MAJOR, MINOR, kind, 0]);
        buf.extend_from_slice(&[0; 8]);
        Self(buf)
    }

    pub(super) fn record<T: Record>(&mut self, record: &T) -> Result<(), Error> {
        self.head(&record.wire())
    }

    pub(super) fn head(&mut self, value: &impl Encode) -> Result<(), Error> {
        let at = self.0.len();
        self.0.extend_from_slice(&[0; 4]);
        bincode::encode_into_std_write(value, &mut self.0, CONFIG).map_err(Error::Encode)?;
        let len = u32::try_from(self.0.len() - at - 4).map_err(|_| Error::TooLarge(self.0.len()))?;
        self.0[at..at + 4].copy_from_slice(&len.to_le_bytes());
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Bytes, Error> {
        if self.0.len() > MAX_MESSAGE {
            return Err(Error::TooLarge(self.0.len()));
        }
        let len = u32::try_from(self.0.len() - HEADER).map_err(|_| Error::TooLarge(self.0.len()))?;
        let crc = crc32fast::hash(&self.0[HEADER..]);
        self.0[8..12].copy_from_slice(&len.to_le_bytes());
        self.0[12..16].copy_from_slice(&crc.to_le_bytes());
        Ok(self.0.into())
    }
}

/// Reads one message.
#[derive(Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(message: &'a [u8], expected: u8) -> Result<Self, Error> {
        if message.len() < HEADER || message[..4] != *MAGIC {
            return Err(Error::NotAMessage);
        }
        if message.len() > MAX_MESSAGE {
            return Err(Error::TooLarge(message.len()));
        }
        if message[4] != MAJOR {
            return Err(Error::Major(message[4]));
        }
        let (header, body) = message.split_at(HEADER);
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if usize::try_from(word(8)).ok() != Some(body.len()) {
            return Err(Error::Damaged("length"));
        }
        if word(12) != crc32fast::hash(body) {
            return Err(Error::Damaged("checksum"));
        }
        if header[6] != expected {
            return Err(Error::Kind { found: header[6], expected });
        }
        Ok(Self(body))
    }

    pub(super) fn record<T: Record + 'a>(&mut self) -> Result<T, Error> {
        T::read(self.head()?)
    }

    pub(super) fn head<T: BorrowDecode<'a, ()>>(&mut self) -> Result<T, Error> {
        let (len, rest) = self.0.split_first_chunk::<4>().ok_or(Error::Damaged("record length"))?;
        let len = usize::try_from(u32::from_le_bytes(*len)).map_err(|_| Error::Damaged("record length"))?;
        if len > rest.len() {
            return Err(Error::Damaged("record length"));
        }
        let (body, rest) = rest.split_at(len);
        self.0 = rest;
        // What a newer minor version appended stays unread.
        bincode::borrow_decode_from_slice(body, CONFIG).map(|(value, _)| value).map_err(Error::Decode)
    }

    /// A record that a newer minor version appended to the message; an older one has none.
    pub(super) fn tail<T: BorrowDecode<'a, ()>>(&mut self) -> Result<Option<T>, Error> {
        if self.0.is_empty() { Ok(None) } else { self.head().map(Some) }
    }

    /// Reads `n` records; a count that the rest cannot hold is damage, not an allocation.
    pub(super) fn records<T: Record + 'a>(&mut self, n: u32) -> Result<Vec<T>, Error> {
        (0..self.bounded(n)?).map(|_| self.record()).collect()
    }

    /// The same for what travels as it is; more than `most` are damage, too.
    pub(super) fn heads<T: BorrowDecode<'a, ()>>(&mut self, n: u32, most: usize) -> Result<Vec<T>, Error> {
        let n = Some(self.bounded(n)?).filter(|n| *n <= most).ok_or(Error::Damaged("count"))?;
        (0..n).map(|_| self.head()).collect()
    }

    fn bounded(&self, n: u32) -> Result<usize, Error> {
        let n = usize::try_from(n).ok().filter(|n| *n <= self.0.len() / LENGTH);
        n.ok_or(Error::Damaged("count"))
    }
}
