//! Whole clusters of real processes, with what loads them, what breaks them and what measures
//! them.

pub mod api;
pub mod args;
pub mod arrivals;
pub mod chaos;
pub mod cluster;
pub mod cold;
pub mod commands;
pub mod compare;
pub mod drive;
pub mod figures;
pub mod follow;
pub mod internet;
pub mod member;
pub mod plot;
mod possible;
pub mod process;
pub mod proxy;
pub mod report;
pub mod requests;
pub mod run;
pub mod sample;
pub mod scenario;
pub mod show;
pub mod trouble;
pub mod verify;
