//! Who uses the processor: every process below this one, by what it is.

use std::collections::BTreeMap;

/// Ticks of a second, as Linux counts them for programs.
const TICKS: f64 = 100.0;
/// This program itself: what it measures with, and relays where there are some.
const OWN: &str = "this program";

/// Seconds of the processor by what used them.
pub type Used = BTreeMap<String, f64>;

/// What every process has used so far: by its id and start, what it is and how many seconds.
#[derive(Debug, Clone, Default)]
pub struct Sample(BTreeMap<(u32, u64), (String, f64)>);

/// A process as the kernel tells of it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stat {
    parent: u32,
    /// Of itself.
    ticks: u64,
    /// Of children that ended and were waited for.
    waited: u64,
    start: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name may have spaces and brackets.
        let words: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |at: usize| words.get(at)?.parse::<u64>().ok();
        Some(Self {
            parent: words.get(1)?.parse().ok()?,
            ticks: number(11)? + number(12)?,
            waited: number(13)? + number(14)?,
            start: number(19)?,
        })
    }

    fn read(id: &str) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
    }
}

impl Sample {
    /// Now.
    pub fn take() -> Self {
        let own = std::process::id();
        let mut all: BTreeMap<u32, (Stat, String)> = BTreeMap::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            // One that has ended meanwhile is of no interest.
            let Some(stat) = Stat::read(&format!("{id}")) else { continue };
            let command = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            all.insert(id, (stat, String::from_utf8_lossy(&command).into_owned()));
        }
        let below = |id: u32| {
            let mut at = id;
            // Nothing is deeper than this, and a loop cannot be.
            for _ in 0..64 {
                match all.get(&at) {
                    Some(_) if at == own => return true,
                    Some((stat, _)) => at = stat.parent,
                    None => return false,
                }
            }
            false
        };
        let ours = all.iter().filter(|(id, _)| below(**id)).map(|(id, (stat, command))| {
            let what = if *id == own { OWN.to_owned() } else { kind(command) };
            ((*id, stat.start), (what, stat.ticks as f64 / TICKS))
        });
        Self(ours.collect())
    }

    /// What was used since an earlier one.
    pub fn since(&self, before: &Self) -> Used {
        let mut used = Used::new();
        for (process, (what, seconds)) in &self.0 {
            let before = before.0.get(process).map_or(0.0, |(_, seconds)| *seconds);
            *used.entry(what.clone()).or_default() += seconds - before;
        }
        used.retain(|what, seconds| what == OWN || *seconds > 0.0);
        used
    }
}

/// Seconds of children that have ended and were waited for.
pub fn waited() -> f64 {
    Stat::read("self").map_or(0.0, |stat| stat.waited as f64 / TICKS)
}

/// What a process is, by its command line with NUL between the arguments.
fn kind(command: &str) -> String {
    let args: Vec<&str> = command.split('\0').collect();
    let program = args[0].rsplit('/').next().unwrap_or_default();
    let named = || args.iter().skip_while(|a| **a != "--name").nth(1);
    match program {
        "beam.smp" | "epmd" | "erl_child_setup" | "inet_gethost" => "RabbitMQ".into(),
        _ if program.starts_with("redis-server") => "Redis".into(),
        _ if program.starts_with("nsd") => "NSD".into(),
        _ if matches!(args.get(1), Some(&"coordinator" | &"worker")) => {
            (*named().unwrap_or(&args[1])).to_owned()
        }
        _ if args.get(1) == Some(&"simnet") => "simulated internet".into(),
        _ if command.contains("celery") => "Celery".into(),
        _ => program.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_is_no_trouble() {
        let text = "12 (a) b (c)) S 7 1 1 0 -1 4 1 2 3 4 150 50 30 20 20 0 1 0 99 1 1";
        assert_eq!(Stat::parse(text), Some(Stat { parent: 7, ticks: 200, waited: 50, start: 99 }));
        assert_eq!(Stat::parse("12 (a"), None);
        assert_eq!(Stat::parse("12 (a) S 7"), None);
    }

    #[test]
    fn processes_are_told_apart() {
        let kinds = [
            ("/usr/lib/erlang/erts-13/bin/beam.smp\0-W", "RabbitMQ"),
            ("redis-server 127.0.0.1:1\0", "Redis"),
            ("/usr/sbin/nsd\0-d", "NSD"),
            ("nsd: server 1", "NSD"),
            ("/x/kudzu\0worker\0--name\0worker-2\0--config\0y", "worker-2"),
            ("/x/kudzu\0coordinator\0--name\0coordinator-1", "coordinator-1"),
            ("/c/bin/python3\0/c/celery-1/bin/celery\0-A\0tasks", "Celery"),
            ("[kworker]", "[kworker]"),
        ];
        for (command, want) in kinds {
            assert_eq!(kind(command), want, "{command}");
        }
    }

    #[test]
    fn this_process_uses_some() {
        let before = Sample::take();
        // A look at all processes is work itself, counted in hundredths of a second.
        assert!((0..100_000).any(|_| Sample::take().since(&before)[OWN] > 0.0));
    }
}
