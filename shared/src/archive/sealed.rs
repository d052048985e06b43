//! Objects that tell whether they are whole: a header of 48 octets, then the body.
//!
//! | octets | what |
//! |---|---|
//! | 4 | `KDZA` |
//! | 1 | version, 1 |
//! | 3 | zero |
//! | 8 | length of the body, little-endian |
//! | 32 | SHA-256 of the body |

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{Archive, Error, Put};

const MAGIC: &[u8; 4] = b"KDZA";
const VERSION: u8 = 1;
const HEADER: usize = 48;

/// A body with its header.
pub fn seal(body: &[u8]) -> Bytes {
    let mut sealed = Vec::with_capacity(HEADER + body.len());
    sealed.extend_from_slice(MAGIC);
    sealed.extend_from_slice(&[VERSION, 0, 0, 0]);
    sealed.extend_from_slice(&(body.len() as u64).to_le_bytes());
    sealed.extend_from_slice(&Sha256::digest(body));
    sealed.extend_from_slice(body);
    sealed.into()
}

/// The body of what was sealed, without a copy; `path` is what an error calls it.
///
/// # Errors
/// [`Error::Damaged`] where it is not to the last bit what was sealed, or was sealed in a
/// version that is not known here.
pub fn open(path: &str, sealed: Bytes) -> Result<Bytes, Error> {
    check(&sealed).map_err(|what| Error::Damaged(path.to_owned(), what))?;
    Ok(sealed.slice(HEADER..))
}

fn check(sealed: &[u8]) -> Result<(), String> {
    let Some((header, body)) = sealed.split_at_checked(HEADER) else {
        return Err(format!("{} octets are less than its header", sealed.len()));
    };
    let (start, digest) = header.split_at(16);
    let (format, length) = start.split_at(8);
    if !format.starts_with(MAGIC) {
        return Err("it does not begin as an object of the archive".into());
    }
    if format[4] != VERSION {
        return Err(format!("its format has version {}, and only {VERSION} is known here", format[4]));
    }
    if format[5..] != [0; 3] {
        return Err("its header has octets that are not zero".into());
    }
    if length != (body.len() as u64).to_le_bytes() {
        return Err(format!("its body has {} octets, which is not what its header says", body.len()));
    }
    if digest != Sha256::digest(body).as_slice() {
        return Err("its body is not what its header has the SHA-256 of".into());
    }
    Ok(())
}

/// Seals a body and creates an object of it, unless one is there.
///
/// # Errors
/// As [`Archive::create`].
pub async fn create_sealed(archive: &dyn Archive, path: &str, body: &[u8]) -> Result<Put, Error> {
    archive.create(path, seal(body)).await
}

/// The body of a sealed object; `None` where there is none.
///
/// # Errors
/// As [`Archive::get`], and [`Error::Damaged`].
pub async fn get_sealed(archive: &dyn Archive, path: &str) -> Result<Option<Bytes>, Error> {
    let found = archive.get(path).await?;
    found.map(|sealed| open(path, sealed)).transpose()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::archive::Store;

    fn what(sealed: Vec<u8>) -> String {
        match open("a/b", sealed.into()) {
            Err(Error::Damaged(path, what)) if path == "a/b" => what,
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_opened(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let sealed = seal(&body);
            let opened = open("a", sealed.clone()).unwrap();
            prop_assert_eq!(&opened[..], &body[..]);
            prop_assert_eq!(opened.as_ptr(), sealed[HEADER..].as_ptr());
        }

        #[test]
        fn every_change_is_seen(
            body in prop::collection::vec(any::<u8>(), 0..300),
            at in any::<prop::sample::Index>(),
            flip in 1..=u8::MAX,
        ) {
            let sealed = seal(&body).to_vec();
            let at = at.index(sealed.len());
            let mut flipped = sealed.clone();
            flipped[at] ^= flip;
            what(flipped);
            what(sealed[..at].to_vec());
            let mut longer = sealed.clone();
            longer.insert(at, flip);
            what(longer);
            what([&sealed[..], &[flip]].concat());
        }
    }

    #[test]
    fn the_format_stays() {
        let sealed = seal(b"abc");
        assert_eq!(sealed[..16], *b"KDZA\x01\0\0\0\x03\0\0\0\0\0\0\0");
        assert_eq!(sealed[16..20], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(sealed[48..], *b"abc");
    }

    #[test]
    fn an_unknown_version_is_told() {
        let mut sealed = seal(b"abc").to_vec();
        sealed[4] = 7;
        assert!(what(sealed).contains("version 7"));
        assert!(what(Vec::new()).contains("0 octets"));
    }

    #[tokio::test]
    async fn objects_are_sealed() {
        let archive = Store::memory();
        assert_eq!(get_sealed(&archive, "a").await.unwrap(), None);
        assert_eq!(create_sealed(&archive, "a", b"one").await.unwrap(), Put::Created);
        assert_eq!(create_sealed(&archive, "a", b"two").await.unwrap(), Put::Exists);
        assert_eq!(get_sealed(&archive, "a").await.unwrap().unwrap(), "one");
        archive.create("b", Bytes::from_static(b"one")).await.unwrap();
        assert!(matches!(get_sealed(&archive, "b").await, Err(Error::Damaged(..))));
    }
}
