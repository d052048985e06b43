//! What the system says of processes (`/proc`).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Ids of processes by name, shared between who starts them and who looks at them.
#[derive(Debug, Clone, Default)]
pub struct Ids(Arc<Mutex<BTreeMap<String, u32>>>);

/// One line of `/proc/<id>/stat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Its parent's id.
    pub parent: u32,
    /// Its own processor time, in ticks.
    pub own: u64,
    /// That of children that it has waited for; a thread has that of all of its process.
    pub waited: u64,
    /// Its threads.
    pub threads: u64,
    /// Pages of memory that it holds.
    pub pages: u64,
}

/// All processes of the machine.
#[derive(Debug, Default)]
pub struct Table(BTreeMap<u32, Stat>);

impl Ids {
    /// From now on; none where it does not run.
    pub fn set(&self, name: &str, id: Option<u32>) {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match id {
            Some(id) => ids.insert(name.to_owned(), id),
            None => ids.remove(name),
        };
    }

    /// Those that run, as far as is known.
    pub fn all(&self) -> Vec<(String, u32)> {
        let ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ids.iter().map(|(name, id)| (name.clone(), *id)).collect()
    }
}

impl Stat {
    /// Reads the line. The second field is a name in parentheses that may hold anything.
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let ticks = |fields: [usize; 2]| Some(number(fields[0])? + number(fields[1])?);
        Some(Self {
            parent: u32::try_from(number(1)?).ok()?,
            own: ticks([11, 12])?,
            waited: ticks([13, 14])?,
            threads: number(17)?,
            pages: number(21)?,
        })
    }

    /// Of a process, or of a thread of one, by its folder.
    pub fn read(folder: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(folder.join("stat")).ok()?)
    }
}

impl Table {
    /// Looks at all of them.
    pub fn read() -> Self {
        let folders = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = folders.filter_map(|f| f.file_name().to_str()?.parse::<u32>().ok());
        Self(ids.filter_map(|id| Some((id, Stat::read(&folder(id))?))).collect())
    }

    /// Children of a process, and theirs.
    pub fn below(&self, id: u32) -> Vec<u32> {
        let mut found = vec![id];
        let mut at = 0;
        while let Some(parent) = found.get(at).copied() {
            found.extend(self.0.iter().filter(|(_, stat)| stat.parent == parent).map(|(id, _)| *id));
            at += 1;
        }
        found.split_off(1)
    }
}

/// Where the system tells of a process.
pub fn folder(id: u32) -> std::path::PathBuf {
    Path::new("/proc").join(id.to_string())
}

/// Open descriptors of a process.
pub fn descriptors(id: u32) -> u64 {
    fs::read_dir(folder(id).join("fd")).map_or(0, |fds| fds.count() as u64)
}

/// Processor time of the threads of this process whose names begin so, in ticks.
pub fn ticks_of_threads(prefix: &str) -> u64 {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten().map(|t| t.path());
    let named = threads.filter(|t| fs::read_to_string(t.join("comm")).is_ok_and(|n| n.starts_with(prefix)));
    named.filter_map(|t| Stat::read(&t)).map(|stat| stat.own).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "4711 (a (b) c) S 1 4711 4711 0 -1 4194560 1035 77 0 0 250 40 8 2 20 0 13 0 51 \
                        24000000 1790 18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0";

    #[test]
    fn a_line_is_read_past_the_oddest_name() {
        let stat = Stat::parse(LINE).unwrap();
        assert_eq!(stat, Stat { parent: 1, own: 290, waited: 10, threads: 13, pages: 1_790 });
        for short in ["", "1 (x", "1 (x) S 1 2 3"] {
            assert_eq!(Stat::parse(short), None, "{short}");
        }
    }

    #[test]
    fn children_are_found_below_children() {
        let stat = |parent| Stat { parent, own: 0, waited: 0, threads: 1, pages: 1 };
        let table = Table([(2, stat(1)), (3, stat(2)), (4, stat(3)), (5, stat(1))].into());
        assert_eq!(table.below(2), [3, 4]);
        assert_eq!(table.below(5), [0; 0]);
    }

    #[test]
    fn this_process_is_seen() {
        let me = std::process::id();
        assert!(Stat::read(&folder(me)).is_some_and(|s| s.threads > 0 && s.pages > 0));
        assert!(descriptors(me) > 2);
        assert!(Table::read().below(1).contains(&me) || me == 1);
    }

    #[test]
    fn ids_come_and_go() {
        let ids = Ids::default();
        ids.set("worker-1", Some(7));
        ids.set("redis", Some(8));
        ids.set("worker-1", None);
        assert_eq!(ids.all(), [("redis".to_owned(), 8)]);
    }
}
