//! Whole clusters of real processes, with what breaks them and what measures them.

pub mod api;
pub mod chaos;
pub mod cluster;
pub mod cold;
pub mod proxy;
pub mod show;
