//! Cursors of pages: opaque to whoever carries them, and good for what they were made for.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::problem::Problem;
use crate::hex;

/// Characters of a cursor.
const LONGEST: usize = 1024;
/// Octets of the signature.
const SIGNED: usize = 16;

/// Makes and reads cursors. Every coordinator of a cluster has the same key.
#[derive(Debug, Clone)]
pub struct Cursors([u8; 32]);

impl Cursors {
    /// With a key.
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// A cursor for a place in a list of one tenant.
    pub fn make(&self, tenant: &str, list: &str, place: &str) -> String {
        let signature = self.sign(tenant, list, place);
        format!("{}{}", hex::encode(place.as_bytes()), hex::encode(&signature))
    }

    /// The place.
    ///
    /// # Errors
    /// When it was made for something else, or changed.
    pub fn read(&self, tenant: &str, list: &str, cursor: &str) -> Result<String, Problem> {
        let bad = || Problem::malformed("cursor: it was not made here for this list; start without one");
        let octets = Some(cursor).filter(|c| c.len() <= LONGEST).and_then(hex::decode);
        let octets = octets.filter(|o| o.len() >= SIGNED).ok_or_else(bad)?;
        let (place, signature) = octets.split_at(octets.len() - SIGNED);
        let place = String::from_utf8(place.to_vec()).map_err(|_| bad())?;
        let same = subtle::ConstantTimeEq::ct_eq(&self.sign(tenant, list, &place)[..], signature);
        if bool::from(same) { Ok(place) } else { Err(bad()) }
    }

    fn sign(&self, tenant: &str, list: &str, place: &str) -> [u8; SIGNED] {
        // A key of any length is one.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return [0; SIGNED] };
        for part in [tenant, list, place] {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        let mut signature = [0; SIGNED];
        signature.copy_from_slice(&mac.finalize().into_bytes()[..SIGNED]);
        signature
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list_only() {
        let cursors = Cursors::new([7; 32]);
        let cursor = cursors.make("red", "jobs", "12");
        assert_eq!(cursors.read("red", "jobs", &cursor).unwrap(), "12");
        assert!(cursors.read("blue", "jobs", &cursor).is_err());
        assert!(cursors.read("red", "job", &cursor).is_err());
        assert!(Cursors::new([8; 32]).read("red", "jobs", &cursor).is_err());
        for at in 0..cursor.len() {
            let mut odd = cursor.clone().into_bytes();
            odd[at] = if odd[at] == b'0' { b'1' } else { b'0' };
            assert!(cursors.read("red", "jobs", std::str::from_utf8(&odd).unwrap()).is_err(), "{at}");
            assert!(cursors.read("red", "jobs", &cursor[..at]).is_err());
        }
        assert!(cursors.read("red", "jobs", "zz").is_err() && cursors.read("red", "jobs", "é").is_err());
    }
}
