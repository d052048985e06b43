//! Datagrams of any kind, from right and wrong addresses, against questions in flight.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kudzu_dns::fuzz::acceptor(data));
