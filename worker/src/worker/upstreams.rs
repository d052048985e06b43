//! Upstreams by number, for a worker's life: results name them by index.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

/// What stands for upstreams beyond the numbers there are.
const OTHER: &str = "other";

/// Numbers of upstreams; the same name has the same number.
#[derive(Debug, Default)]
pub(super) struct Upstreams(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    names: Vec<String>,
    by_name: HashMap<String, u16>,
    by_addr: HashMap<SocketAddr, u16>,
}

impl Upstreams {
    fn table<R>(&self, f: impl FnOnce(&mut Table) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn of_addr(&self, addr: SocketAddr) -> u16 {
        self.table(|t| match t.by_addr.get(&addr) {
            Some(id) => *id,
            None => {
                let id = t.of_name(&addr.to_string());
                t.by_addr.insert(addr, id);
                id
            }
        })
    }

    pub(super) fn of_name(&self, name: &str) -> u16 {
        self.table(|t| t.of_name(name))
    }

    pub(super) fn name(&self, id: u16) -> String {
        self.table(|t| t.names.get(usize::from(id)).cloned()).unwrap_or_else(|| OTHER.to_owned())
    }
}

impl Table {
    fn of_name(&mut self, name: &str) -> u16 {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        // The last number stands for all others.
        match u16::try_from(self.names.len()) {
            Ok(id) if id < u16::MAX => {
                self.names.push(name.to_owned());
                self.by_name.insert(name.to_owned(), id);
                id
            }
            _ => u16::MAX,
        }
    }
}
