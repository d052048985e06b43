//! Where environment variables come from.

use std::collections::HashMap;

/// Environment variables; tests bring a map.
pub trait Vars {
    /// The value of a variable.
    fn get(&self, name: &str) -> Option<String>;

    /// Every variable.
    fn all(&self) -> Vec<(String, String)>;
}

/// The environment of this process; what is not UTF-8 is not seen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Process;

impl Vars for Process {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var_os(name).and_then(|v| v.into_string().ok())
    }

    fn all(&self) -> Vec<(String, String)> {
        std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect()
    }
}

impl<S: std::hash::BuildHasher> Vars for HashMap<String, String, S> {
    fn get(&self, name: &str) -> Option<String> {
        HashMap::get(self, name).cloned()
    }

    fn all(&self) -> Vec<(String, String)> {
        let mut all: Vec<_> = self.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        all.sort();
        all
    }
}
