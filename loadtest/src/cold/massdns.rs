//! massdns on the same names: it keeps nothing, coordinates nothing, and is one process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use super::names::{Names, Score};
use super::run::{Took, run};

/// Lookups at a time that are tried; one of them is its best.
const SIZES: [usize; 5] = [500, 1_000, 2_000, 5_000, 10_000];
const TRIES: usize = 2;
const LIMIT: Duration = Duration::from_secs(900);

/// massdns, built.
#[derive(Debug)]
pub struct Massdns {
    folder: PathBuf,
    /// SHA-256 of its source, as it has no version.
    pub source: String,
    /// Lookups at a time at which it is fastest.
    pub size: usize,
    /// Seconds that each try at each number took.
    pub sizes: Vec<(usize, f64)>,
}

/// One run of it.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// Seconds.
    #[serde(flatten)]
    pub took: Took,
    /// What it answered.
    pub score: Score,
}

impl Massdns {
    /// Builds it in a copy of its source, and finds the number of lookups at a time that suits it.
    ///
    /// # Errors
    /// When it cannot be built or run.
    pub async fn set_up(source: &Path, folder: &Path, server: &str, names: &Names) -> anyhow::Result<Self> {
        let main = std::fs::read(source.join("src/main.c")).context("read the source of massdns")?;
        let digest: String = Sha256::digest(main).iter().take(6).map(|b| format!("{b:02x}")).collect();
        let copy = folder.join("massdns");
        run(Command::new("cp").arg("-r").arg(source).arg(&copy), LIMIT).await.context("copy massdns")?;
        // What was built elsewhere would be taken as it is.
        let _ = std::fs::remove_dir_all(copy.join("bin"));
        run(Command::new("make").arg("-C").arg(&copy), LIMIT).await.context("build massdns")?;
        std::fs::write(folder.join("resolvers"), format!("{server}\n")).context("write its resolvers")?;
        names.write(&folder.join("names")).context("write its names")?;
        let mut this = Self { folder: folder.to_owned(), source: digest, size: SIZES[0], sizes: Vec::new() };
        // In turns, as the machine is not the same all the time.
        for _ in 0..TRIES {
            for size in SIZES {
                let took = this.time(size).await?;
                this.sizes.push((size, took.seconds));
            }
        }
        this.size = best(&this.sizes).unwrap_or(SIZES[0]);
        Ok(this)
    }

    /// Looks all of them up.
    ///
    /// # Errors
    /// When it fails.
    pub async fn run(&self, names: &Names) -> anyhow::Result<Run> {
        let took = self.time(self.size).await?;
        let said = std::fs::read_to_string(self.folder.join("out")).context("read what massdns says")?;
        Ok(Run { took, score: names.score(answers(&said)) })
    }

    async fn time(&self, size: usize) -> anyhow::Result<Took> {
        let mut command = Command::new(self.folder.join("massdns/bin/massdns"));
        command.arg("-r").arg(self.folder.join("resolvers")).arg("-s").arg(size.to_string());
        command.args(["-t", "A", "-o", "S", "--quiet", "-w"]).arg(self.folder.join("out"));
        let (took, _) = run(command.arg(self.folder.join("names")), LIMIT).await?;
        Ok(took)
    }
}

/// That with the shortest try.
fn best(sizes: &[(usize, f64)]) -> Option<usize> {
    sizes.iter().min_by(|a, b| a.1.total_cmp(&b.1)).map(|(size, _)| *size)
}

/// Names and addresses of lines `name. A address`; any other line is an answer that is wrong.
fn answers(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().map(|line| line.split_once(". A ").unwrap_or((line, "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_try_counts() {
        assert_eq!(best(&[(1, 3.0), (2, 2.5), (1, 2.0), (2, 2.2)]), Some(1));
        assert_eq!(best(&[]), None);
    }

    #[test]
    fn lines_are_read() {
        let text = "a.test. A 10.0.0.0\nb.test. CNAME c.test.\n";
        let read: Vec<_> = answers(text).collect();
        assert_eq!(read, [("a.test", "10.0.0.0"), ("b.test. CNAME c.test.", "")]);
    }
}
