//! The folder of a result: found writable before the work starts, filled under names that
//! no reader takes for a result, and named at the end.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use kudzu_coordinator::api::views::Outcome;
use kudzu_coordinator::model::{Coverage, Figures, JobResult, Progress, State};
use kudzu_coordinator::rank::Candidate;
use kudzu_coordinator::tree::write::Written;
use serde::Serialize;
use serde_json::Value;

use crate::exit::Failure;
use crate::truth::Score;
use crate::view::json;

/// The files of a result; the last one to appear says that it is whole.
const FILES: [&str; 4] = ["tree.ndjson", "evidence.ndjson", "candidates.json", SUMMARY];
const SUMMARY: &str = "summary.json";

/// A folder that takes a result. What is there stays until a new result is whole; dropped
/// before, it leaves no half of one.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder and checks that it can take a result.
    ///
    /// # Errors
    /// When it cannot be written, or has a result already and is not to lose it.
    pub fn open(path: &Path, force: bool) -> Result<Self, Failure> {
        let shown = path.display();
        fs::create_dir_all(path).with_context(|| format!("--out {shown}: make the folder"))?;
        let held = FILES.iter().find(|name| path.join(name).exists());
        if let Some(name) = held.filter(|_| !force) {
            return Err(Failure::failed(format!(
                "--out {shown}: holds a result already ({name}): choose another folder, or give --force"
            )));
        }
        let probe = path.join(".kudzu-probe");
        fs::write(&probe, b"kudzu").with_context(|| format!("--out {shown}: write into the folder"))?;
        fs::remove_file(&probe).with_context(|| format!("--out {shown}: write into the folder"))?;
        Ok(Self { path: path.to_owned() })
    }

    /// Where the evidence is written while the job runs.
    pub fn evidence(&self) -> PathBuf {
        self.part("evidence.ndjson")
    }

    /// Writes what a cluster gave: the tree as it came, and the rest.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn keep(&self, tree: &[u8], candidates: &[Candidate], summary: &Summary<'_>) -> Result<(), Failure> {
        self.file("tree.ndjson", |out| out.write_all(tree))?;
        // The evidence stays with the cluster: an empty file would say that there is none.
        self.rest(candidates, summary, &["tree.ndjson", "candidates.json", SUMMARY])
    }

    /// Writes the canonical tree.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_tree(&self, result: &JobResult) -> Result<Written, Failure> {
        self.file("tree.ndjson", |out| result.tree.write_ndjson(out, result.partial))
    }

    /// Writes candidates and summary, and gives all files their names.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn finish(&self, result: &JobResult, summary: &Summary<'_>) -> Result<(), Failure> {
        self.rest(result.candidates(), summary, &FILES)
    }

    fn rest(&self, candidates: &[Candidate], summary: &Summary<'_>, files: &[&str]) -> Result<(), Failure> {
        let write = |name, value: Value| {
            self.file(name, |out| Ok(serde_json::to_writer_pretty(&mut *out, &value)?)).map(drop)
        };
        let escaped = |value: io::Result<Value>| value.context("write the result as JSON");
        write("candidates.json", escaped(json::escaped(&candidates))?)?;
        write(SUMMARY, escaped(json::escaped(summary))?)?;
        self.name_all(files)
    }

    /// Gives all files their names. Between two of them the folder has no summary, and so no
    /// result.
    fn name_all(&self, files: &[&str]) -> Result<(), Failure> {
        let old = self.path.join(SUMMARY);
        if old.exists() {
            fs::remove_file(&old).with_context(|| format!("remove the old {}", old.display()))?;
        }
        for name in FILES.iter().filter(|name| !files.contains(name)) {
            let stale = self.path.join(name);
            if stale.exists() {
                fs::remove_file(&stale).with_context(|| format!("remove the old {}", stale.display()))?;
            }
        }
        for name in files {
            let (from, to) = (self.part(name), self.path.join(name));
            fs::rename(&from, &to).with_context(|| format!("name {}", to.display()))?;
        }
        Ok(())
    }

    fn part(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.part"))
    }

    fn file<T>(
        &self,
        name: &str,
        write: impl FnOnce(&mut BufWriter<File>) -> io::Result<T>,
    ) -> Result<T, Failure> {
        let path = self.part(name);
        let failed = || format!("write {}", path.display());
        let mut out = BufWriter::with_capacity(1 << 18, File::create(&path).with_context(failed)?);
        let value = write(&mut out).with_context(failed)?;
        out.flush().with_context(failed)?;
        Ok(value)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A whole result has taken them away.
        for name in FILES {
            let _ = fs::remove_file(self.part(name));
        }
    }
}

/// How a job of a cluster ran.
pub struct Ran {
    /// Where it stood at its end.
    pub progress: Progress,
    /// Figures about the run.
    pub figures: Figures,
}

/// What a script wants to know of a run.
#[derive(Debug, Serialize)]
pub struct Summary<'a> {
    /// Complete or partial.
    pub state: State,
    /// Why it is partial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partial: Option<String>,
    /// SHA-256 of the canonical tree.
    pub sha256: String,
    /// Nodes in the tree.
    pub nodes: u64,
    /// Pairs in the tree.
    pub edges: u64,
    /// Lookups that ended.
    pub lookups: u64,
    /// Questions of these.
    pub questions: u64,
    /// From submit to result.
    pub elapsed_ms: u64,
    /// From submit to the complete tree, before it was ranked.
    pub tree_ms: u64,
    /// From submit to the first tree.
    pub first_tree_ms: Option<u64>,
    /// What the same questions would take one after another.
    pub serial_ms: u64,
    /// Questions that the cache answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached: Option<u64>,
    /// Lookups asked before the tree demanded them, which it then did not.
    pub asked_ahead_unused: u64,
    /// Results that came for a lookup that had ended.
    pub duplicates: u64,
    /// The most memory the process had.
    pub peak_rss_bytes: Option<u64>,
    /// Memory that a node takes in the coordinator's structures, by their own count.
    pub bytes_per_node: Option<f64>,
    /// Memory that the process gained from submit to result, a node: workers and cache in it,
    /// and in a demo the simulated internet.
    pub process_bytes_per_node: Option<f64>,
    /// By source.
    pub coverage: &'a Coverage,
    /// What was found of what the simulated internet hides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truth: Option<Score>,
}

impl<'a> Summary<'a> {
    /// Of a result of a cluster: it has no memory of ours.
    pub fn of(job: &Outcome, partial: Option<String>, ran: &Ran, coverage: &'a Coverage) -> Self {
        let Ran { progress, figures } = ran;
        let a_node = |b: u64| (job.nodes > 0).then(|| (b as f64 / job.nodes as f64 * 10.0).round() / 10.0);
        Self {
            state: if partial.is_some() { State::Partial } else { State::Complete },
            partial,
            sha256: job.sha256.clone(),
            nodes: job.nodes,
            edges: job.edges,
            lookups: progress.ended,
            questions: progress.questions,
            elapsed_ms: progress.elapsed_ms,
            tree_ms: figures.tree_ms,
            first_tree_ms: progress.first_tree_ms,
            serial_ms: figures.serial_ms,
            cached: figures.cached,
            asked_ahead_unused: figures.asked_ahead_unused,
            duplicates: figures.duplicates,
            peak_rss_bytes: None,
            bytes_per_node: a_node(figures.heap_bytes),
            process_bytes_per_node: None,
            coverage,
            truth: None,
        }
    }

    /// Of a result whose canonical tree is known, with the memory before the submit and at
    /// the end.
    pub fn new(
        result: &'a JobResult,
        tree: &Written,
        [before, after]: [Memory; 2],
        truth: Option<Score>,
    ) -> Self {
        let grown = after.resident.zip(before.resident).map(|(a, b)| a.saturating_sub(b));
        let a_node = |b: u64| (tree.nodes > 0).then(|| (b as f64 / tree.nodes as f64 * 10.0).round() / 10.0);
        Self {
            state: result.state,
            partial: result.partial.map(String::from),
            sha256: tree.hex(),
            nodes: tree.nodes,
            edges: tree.edges,
            lookups: result.progress.ended,
            questions: result.progress.questions,
            elapsed_ms: result.progress.elapsed_ms,
            tree_ms: result.figures.tree_ms,
            first_tree_ms: result.progress.first_tree_ms,
            serial_ms: result.figures.serial_ms,
            cached: result.figures.cached,
            asked_ahead_unused: result.figures.asked_ahead_unused,
            duplicates: result.figures.duplicates,
            peak_rss_bytes: after.peak,
            bytes_per_node: a_node(result.figures.heap_bytes),
            process_bytes_per_node: grown.and_then(a_node),
            coverage: &result.coverage,
            truth,
        }
    }
}

/// Memory of this process, where the system tells.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Now.
    pub resident: Option<u64>,
    /// At most so far.
    pub peak: Option<u64>,
}

impl Memory {
    /// As the system says now.
    pub fn now() -> Self {
        fs::read_to_string("/proc/self/status").map(|text| Self::parse(&text)).unwrap_or_default()
    }

    fn parse(status: &str) -> Self {
        let field = |name: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(name))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
        };
        Self { resident: field("VmRSS:"), peak: field("VmHWM:") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_status() {
        let memory = Memory::parse("Name:\tkudzu\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n");
        assert_eq!((memory.resident, memory.peak), (Some(1 << 20), Some(2 << 20)));
        assert_eq!(Memory::parse("nothing").peak, None);
    }

    #[test]
    fn a_result_is_not_lost_by_accident() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tree.ndjson"), "old").unwrap();
        let refused = Folder::open(folder.path(), false).unwrap_err();
        assert!(refused.text().contains("--force"), "{}", refused.text());
        assert!(folder.path().join("tree.ndjson").exists());
        let taken = Folder::open(folder.path(), true).unwrap();
        fs::write(taken.evidence(), "half").unwrap();
        drop(taken);
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
        assert_eq!(left, ["tree.ndjson"], "a run that failed costs nothing and leaves nothing");
    }

    #[test]
    fn a_new_result_takes_the_place_of_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        for name in FILES {
            fs::write(folder.path().join(name), "old").unwrap();
        }
        let taken = Folder::open(folder.path(), true).unwrap();
        for name in ["tree.ndjson", "evidence.ndjson", "candidates.json"] {
            fs::write(taken.part(name), "new").unwrap();
        }
        // It cannot be named, for it is not there: then nothing may look whole.
        assert!(taken.name_all(&FILES).is_err());
        assert!(!folder.path().join(SUMMARY).exists());
        fs::write(taken.evidence(), "new").unwrap();
        for name in FILES {
            fs::write(taken.part(name), "new").unwrap();
        }
        taken.name_all(&FILES).unwrap();
        for name in FILES {
            assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), "new");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = Folder::open(&file.path().join("below"), false).unwrap_err();
        assert!(refused.text().contains("make the folder"), "{}", refused.text());
    }
}
