//! What a run was measured on.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cluster::Cluster;

/// What a run was measured on, as far as it can be told.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Machine {
    /// Processors.
    pub cores: usize,
    /// What they are.
    pub cpu: String,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Kernel.
    pub kernel: String,
    /// Processes that wanted to run right before, on average of a minute: other work on the
    /// machine.
    pub load_before: String,
    /// Version of kudzu.
    pub kudzu: String,
    /// Its commit, with a mark where files differ from it.
    pub commit: String,
    /// Version of RabbitMQ.
    pub rabbitmq: String,
    /// Version of Redis.
    pub redis: String,
}

impl Machine {
    /// This one; what is not known stays empty.
    pub fn here(kudzu: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let version = said(&kudzu.to_string_lossy(), &["version", "--format", "json"]);
        let version: Value = serde_json::from_str(&version).unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            cpu: field(&read("/proc/cpuinfo"), "model name"),
            memory_mib: field(&read("/proc/meminfo"), "MemTotal")
                .trim_end_matches(" kB")
                .parse::<u64>()
                .map_or(0, |kib| kib / 1024),
            kernel: read("/proc/sys/kernel/osrelease").trim().into(),
            load_before: read("/proc/loadavg").split(' ').next().unwrap_or_default().into(),
            kudzu: said(&kudzu.to_string_lossy(), &["--version"]),
            commit: version["commit"].as_str().unwrap_or_default().into(),
            rabbitmq: String::new(),
            redis: said("redis-server", &["--version"])
                .split_whitespace()
                .find_map(|word| word.strip_prefix("v="))
                .unwrap_or_default()
                .into(),
        }
    }

    /// With what its servers say of themselves.
    pub fn note_servers(&mut self, cluster: &Cluster) {
        let version = tokio::task::block_in_place(|| cluster.rabbit.ctl(&["version"]));
        self.rabbitmq = version.unwrap_or_default().trim().into();
    }

    /// By name, for people.
    pub fn rows(&self) -> Vec<[String; 2]> {
        let memory = format!("{} MiB", self.memory_mib);
        let cpu = format!("{} × {}", self.cores, if self.cpu.is_empty() { "unknown" } else { &self.cpu });
        let rows = [
            ("processors", &cpu),
            ("memory", &memory),
            ("kernel", &self.kernel),
            ("load before", &self.load_before),
            ("kudzu", &self.kudzu),
            ("commit", &self.commit),
            ("RabbitMQ", &self.rabbitmq),
            ("Redis", &self.redis),
        ];
        rows.into_iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| [k.into(), v.clone()]).collect()
    }
}

/// What a command says; nothing where there is none.
fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().ok().filter(|o| o.status.success());
    output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
}

/// The value of a line `name : value`.
fn field(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.trim_start().strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nMemTotal:       2048 kB\n";
        assert_eq!(field(text, "model name"), "Some CPU @ 2 GHz");
        assert_eq!(field(text, "MemTotal"), "2048 kB");
        assert_eq!(field(text, "other"), "");
    }

    #[test]
    fn this_machine_has_processors_and_memory() {
        let machine = Machine::here(Path::new("/nonexistent"));
        assert!(machine.cores > 0 && machine.memory_mib > 0 && machine.kudzu.is_empty());
    }
}
