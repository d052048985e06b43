//! The interner: every observable of a job once, known by a `u32`.

use std::hash::BuildHasher;

use foldhash::quality::FixedState;
use hashbrown::HashTable;
use kudzu_shared::observable::{Kind, ObservableRef};

use super::chunk::ChunkVec;

/// An interned observable of one job.
pub type ObsId = u32;

const SLAB: usize = 1 << 20;
const HEAD: usize = 3;

/// Observables by number and back. Bytes lie in slabs of 1 MiB: kind, length (u16), wire.
#[derive(Debug, Default)]
pub struct Interner {
    slabs: Vec<Vec<u8>>,
    at: ChunkVec<u32>,
    table: HashTable<ObsId>,
    /// Keyed by the job: whoever names things must not know which of them collide.
    hasher: FixedState,
}

impl Interner {
    /// An empty one. Its numbers do not depend on the key.
    pub fn keyed(key: u64) -> Self {
        Self { hasher: FixedState::with_seed(key), ..Self::default() }
    }

    /// How many observables there are.
    pub fn len(&self) -> u32 {
        self.at.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// The number of an observable, if it is known.
    pub fn find(&self, item: ObservableRef<'_>) -> Option<ObsId> {
        let hash = self.hasher.hash_one(item);
        self.table.find(hash, |id| self.get(*id) == item).copied()
    }

    /// The number of an observable, and whether it is new.
    ///
    /// `None` where its wire form is longer than 65,535 octets: nothing that long is a key.
    pub fn intern(&mut self, item: ObservableRef<'_>) -> Option<(ObsId, bool)> {
        let hash = self.hasher.hash_one(item);
        if let Some(id) = self.table.find(hash, |id| read(&self.slabs, self.at[*id]) == item) {
            return Some((*id, false));
        }
        let at = self.append(item)?;
        let id = self.at.push(at);
        let (slabs, offsets, hasher) = (&self.slabs, &self.at, &self.hasher);
        self.table.insert_unique(hash, id, |id| hasher.hash_one(read(slabs, offsets[*id])));
        Some((id, true))
    }

    /// The observable with this number.
    pub fn get(&self, id: ObsId) -> ObservableRef<'_> {
        read(&self.slabs, self.at[id])
    }

    /// Octets held.
    pub fn heap_bytes(&self) -> usize {
        let slabs: usize = self.slabs.iter().map(Vec::capacity).sum();
        slabs + self.at.heap_bytes() + self.table.capacity() * (size_of::<ObsId>() + 1) * 8 / 7
    }

    fn append(&mut self, item: ObservableRef<'_>) -> Option<u32> {
        let len = u16::try_from(item.wire.len()).ok()?;
        let need = HEAD + item.wire.len();
        if self.slabs.last().is_none_or(|s| s.len() + need > SLAB) {
            // The first slab grows as a vector does: small jobs stay small.
            let capacity = if self.slabs.is_empty() { 0 } else { SLAB };
            self.slabs.push(Vec::with_capacity(capacity));
        }
        let slab_at = self.slabs.len() - 1;
        let slab = self.slabs.last_mut()?;
        let at = u32::try_from(slab_at * SLAB + slab.len()).ok()?;
        slab.push(item.kind as u8);
        slab.extend_from_slice(&len.to_le_bytes());
        slab.extend_from_slice(item.wire);
        Some(at)
    }
}

fn read(slabs: &[Vec<u8>], at: u32) -> ObservableRef<'_> {
    let slab = &slabs[at as usize / SLAB];
    let at = at as usize % SLAB;
    let len = usize::from(u16::from_le_bytes([slab[at + 1], slab[at + 2]]));
    // Only `append` writes slabs, so the kind is always known.
    let kind = Kind::from_u8(slab[at]).unwrap_or(Kind::Identity);
    ObservableRef { kind, wire: &slab[at + HEAD..at + HEAD + len] }
}
