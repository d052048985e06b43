//! A vector in chunks: it grows without copying, so memory never doubles on the way.

use std::ops::{Index, IndexMut};

const BITS: u32 = 14;
const CHUNK: usize = 1 << BITS;

/// An append-only vector of chunks of 16,384 items, indexed by `u32`.
#[derive(Debug)]
pub struct ChunkVec<T> {
    chunks: Vec<Vec<T>>,
}

impl<T> Default for ChunkVec<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T> ChunkVec<T> {
    /// How many items there are.
    pub fn len(&self) -> u32 {
        match self.chunks.split_last() {
            // At most 2^32 - 1 items are ever pushed; see `push`.
            Some((last, full)) => (full.len() * CHUNK + last.len()) as u32,
            None => 0,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Appends an item and returns its index. The last index, `u32::MAX`, stays free as a
    /// sign for "none"; beyond it the item replaces nothing and the index is `u32::MAX`.
    pub fn push(&mut self, item: T) -> u32 {
        let at = self.len();
        if at == u32::MAX {
            return u32::MAX;
        }
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(item),
            _ => {
                // The first chunk grows as a vector does: small jobs stay small.
                let mut chunk = if self.chunks.is_empty() { Vec::new() } else { Vec::with_capacity(CHUNK) };
                chunk.push(item);
                self.chunks.push(chunk);
            }
        }
        at
    }

    /// The item, where the index is in range.
    pub fn get(&self, at: u32) -> Option<&T> {
        self.chunks.get((at >> BITS) as usize)?.get(at as usize & (CHUNK - 1))
    }

    /// All items in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// Octets held, spare capacity included.
    pub fn heap_bytes(&self) -> usize {
        self.chunks.iter().map(|c| c.capacity() * size_of::<T>()).sum()
    }
}

impl<T> Index<u32> for ChunkVec<T> {
    type Output = T;

    fn index(&self, at: u32) -> &T {
        &self.chunks[(at >> BITS) as usize][at as usize & (CHUNK - 1)]
    }
}

impl<T> IndexMut<u32> for ChunkVec<T> {
    fn index_mut(&mut self, at: u32) -> &mut T {
        &mut self.chunks[(at >> BITS) as usize][at as usize & (CHUNK - 1)]
    }
}
