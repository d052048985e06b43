//! Wire messages: golden files, round trips, other versions, damage, parts.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod damage;
mod golden;
mod roundtrip;
mod samples;
mod split;

use kudzu_shared::config::{Process, Vars as _};
use proptest::prelude::ProptestConfig;

/// So many cases, or as many as `make fuzz` wants.
fn cases(usual: u32) -> ProptestConfig {
    let wanted = Process.get("PROPTEST_CASES").is_some();
    if wanted { ProptestConfig::default() } else { ProptestConfig::with_cases(usual) }
}

/// A message's records, for tests that change them.
fn records(message: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = &message[16..];
    let mut records = Vec::new();
    while let Some((len, tail)) = rest.split_first_chunk::<4>() {
        let (record, tail) = tail.split_at(u32::from_le_bytes(*len) as usize);
        records.push(record.to_vec());
        rest = tail;
    }
    records
}

/// A message of these records under the header of another one, sealed again.
fn rebuilt(header: &[u8], records: &[Vec<u8>]) -> Vec<u8> {
    let mut message = header[..16].to_vec();
    for record in records {
        message.extend_from_slice(&u32::try_from(record.len()).unwrap().to_le_bytes());
        message.extend_from_slice(record);
    }
    sealed(message)
}

/// With the length and checksum that fit the body.
fn sealed(mut message: Vec<u8>) -> Vec<u8> {
    let (length, checksum) = (u32::try_from(message.len() - 16).unwrap(), crc32fast::hash(&message[16..]));
    message[8..12].copy_from_slice(&length.to_le_bytes());
    message[12..16].copy_from_slice(&checksum.to_le_bytes());
    message
}
