//! Messages of any kind as answers: records, chains, verdicts, and their text.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kudzu_dns::fuzz::walker(data));
