//! A deterministic simulated internet with ground truth: DNS, RDAP, passive DNS and certificates.
//!
//! [`World`] answers in process; [`Server`] puts it on loopback sockets, with faults if wanted.

mod document;
mod faults;
mod file;
mod generated;
mod model;
mod name;
mod pdns;
mod presentation;
mod rdap;
mod rng;
mod server;
mod tables;
mod time;
mod truth;
mod world;

pub use faults::{Faults, Service, Slow};
pub use file::LoadError;
pub use model::{
    Autnum, Certificate, IpNetwork, PdnsAnswer, PdnsRow, RData, Rcode, Record, Registrant, Registrar,
    Registration, Soa, Verdict, rtype,
};
pub use name::Name;
pub use pdns::Rows;
pub use rdap::Answer as RdapAnswer;
pub use server::{Addrs, ListenConfig, Server, StartError, Stats};
pub use truth::{Decoy, DecoyKind, Planned, Tie, Truth};
pub use world::{PdnsQuery, World, WorldSpec};
