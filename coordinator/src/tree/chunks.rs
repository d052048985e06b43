//! The lines of nodes, made by several threads and given out in the nodes' order.

use std::io;
use std::num::NonZero;
use std::sync::mpsc::sync_channel;

use super::Tree;

/// Nodes that a thread takes at a time.
const CHUNK: u32 = 2_048;
/// Chunks of one thread that may wait.
const WAITING: usize = 2;
/// Octets that the lines of a node mostly stay below, its pairs' included.
pub const LINES: usize = 320;
/// Threads at most: one puts out what they make, and has its limits.
const THREADS: usize = 8;

/// The lines of some nodes, of their pairs and of what was left out under them.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The lines.
    pub lines: Vec<u8>,
    /// Pairs among them.
    pub edges: u64,
    /// Stubs among them.
    pub stubs: u64,
}

/// Gives all nodes' lines, chunk after chunk.
///
/// # Errors
/// Those of writing a line, and of `take`; nothing is given after one.
pub fn each(tree: &Tree, mut take: impl FnMut(&Chunk) -> io::Result<()>) -> io::Result<()> {
    let chunks = tree.len().div_ceil(CHUNK);
    let make = |chunk: u32| -> io::Result<Chunk> {
        let lines = Vec::with_capacity(tree.len().min(CHUNK) as usize * LINES);
        let mut made = Chunk { lines, ..Chunk::default() };
        let from = chunk * CHUNK;
        (from..tree.len().min(from + CHUNK)).try_for_each(|n| tree.write_lines(&mut made, n))?;
        Ok(made)
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(THREADS);
    let threads = threads.min(chunks as usize);
    if threads < 2 {
        return (0..chunks).try_for_each(|chunk| take(&make(chunk)?));
    }
    std::thread::scope(|scope| {
        let from = |first: usize| {
            let (tell, told) = sync_channel(WAITING);
            scope.spawn(move || {
                // Where nobody listens any more, something could not be written.
                let _ = (first as u32..chunks).step_by(threads).try_for_each(|chunk| tell.send(make(chunk)));
            });
            told
        };
        let made: Vec<_> = (0..threads).map(from).collect();
        for told in made.iter().cycle().take(chunks as usize) {
            take(&told.recv().map_err(|_| io::ErrorKind::BrokenPipe)??)?;
        }
        Ok(())
    })
}
