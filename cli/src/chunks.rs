//! A list in chunks. A thread reads it, so that slow input holds up neither rows nor an
//! interrupt.

use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::exit::Failure;
use crate::indicators::{Line, Lines};

/// Lines that may wait to be asked about.
const WAITING: usize = 4096;
/// A chunk is asked about as it is once nothing has come for so long.
const QUIET: Duration = Duration::from_millis(200);

/// The chunks of a list.
#[derive(Debug)]
pub struct Chunks {
    lines: mpsc::Receiver<io::Result<Line>>,
    most: usize,
    held: Vec<Line>,
    last: Instant,
    ended: bool,
}

impl Chunks {
    /// Opens a file, or standard input for `-`, and begins to read it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn open(path: &Path, allow_private: bool, most: usize) -> Result<Self, Failure> {
        let path = path.to_owned();
        // A pipe with a name opens once somebody writes to it.
        let opened = tokio::task::spawn_blocking(move || open(path)).await;
        let reader = opened.map_err(|e| Failure::failed(format!("open the list: {e}")))??;
        let (tx, rx) = mpsc::channel(WAITING);
        // Not waited for: it may sit in a read that never returns, and ends with the process.
        let _reader = tokio::task::spawn_blocking(move || read(Lines::new(reader, allow_private), &tx));
        Ok(Self::of(rx, most))
    }

    fn of(lines: mpsc::Receiver<io::Result<Line>>, most: usize) -> Self {
        Self { lines, most: most.max(1), held: Vec::new(), last: Instant::now(), ended: false }
    }

    /// The next chunk: a full one, or what there is at the end or before a silence; an empty
    /// one when all is read. Cancel safe.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub async fn next(&mut self) -> Result<Vec<Line>, Failure> {
        while !self.ended && self.held.len() < self.most {
            let line = if self.held.is_empty() {
                self.lines.recv().await
            } else {
                match timeout_at(self.last + QUIET, self.lines.recv()).await {
                    Ok(line) => line,
                    Err(_) => break,
                }
            };
            match line {
                Some(line) => {
                    self.held.push(line.context("read the list")?);
                    self.last = Instant::now();
                }
                None => self.ended = true,
            }
        }
        Ok(std::mem::take(&mut self.held))
    }

    /// Whether all of it was read and given out.
    pub fn is_done(&self) -> bool {
        (self.ended || (self.lines.is_closed() && self.lines.is_empty())) && self.held.is_empty()
    }
}

type Reader = Box<dyn BufRead + Send>;

fn open(path: PathBuf) -> Result<Reader, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(io::BufReader::new(io::stdin())));
    }
    let file = std::fs::File::open(&path).with_context(|| format!("open {}", path.display()));
    Ok(Box::new(io::BufReader::with_capacity(1 << 16, file.map_err(Failure::Usage)?)))
}

/// Ends with the list, at an error, or when nobody wants more.
fn read(mut lines: Lines<Reader>, to: &mpsc::Sender<io::Result<Line>>) {
    while let Some(line) = lines.next_line().transpose() {
        let failed = line.is_err();
        if to.blocking_send(line).is_err() || failed {
            break;
        }
    }
}

/// Lines of a file that will have a row. Of anything but a file nobody knows.
pub fn lines_in(path: &Path) -> Option<usize> {
    // Looked at before it is opened: a pipe gives its lines once.
    std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let file = std::fs::File::open(path).ok()?;
    Lines::new(io::BufReader::with_capacity(1 << 16, file), true).count().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<Line> {
        let mut lines = Lines::new(text.as_bytes(), false);
        std::iter::from_fn(|| lines.next_line().unwrap()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_silence_ends_a_chunk_and_costs_no_line() {
        let (tx, rx) = mpsc::channel(8);
        let mut chunks = Chunks::of(rx, 3);
        for line in lines("a.com\nb.com\nc.com\nd.com\n") {
            tx.send(Ok(line)).await.unwrap();
        }
        assert_eq!(chunks.next().await.unwrap().len(), 3);
        // Whoever asks again and again does not put the silence off.
        for _ in 0..2 {
            let early = tokio::time::timeout(QUIET * 2 / 3, chunks.next()).await;
            if let Ok(chunk) = early {
                assert_eq!(chunk.unwrap().len(), 1);
            }
        }
        assert!(chunks.held.is_empty() && !chunks.is_done());
        drop(tx);
        assert!(chunks.next().await.unwrap().is_empty() && chunks.is_done());
    }

    #[tokio::test]
    async fn a_file_is_read_to_its_end_and_counted_as_it_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# a list\n\na.com # first\nb..c\nlast.com").unwrap();
        assert_eq!(lines_in(file.path()), Some(3));
        assert_eq!(lines_in(Path::new("/dev/null")), None);
        let mut chunks = Chunks::open(file.path(), false, 2).await.unwrap();
        let (first, second) = (chunks.next().await.unwrap(), chunks.next().await.unwrap());
        assert_eq!((first.len(), second.len(), second[0].number), (2, 1, 5));
        assert!(chunks.next().await.unwrap().is_empty() && chunks.is_done());
        assert!(Chunks::open(Path::new("/no/such/list"), false, 2).await.is_err());
    }
}
