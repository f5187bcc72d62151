//! Aggregation beside damage: an aggregate that cannot be read is made anew from what lies below,
//! and a mark that needs a chunk that cannot be read stays, while all others are consumed.

use std::collections::BTreeSet;

use super::{Aggregated, write};
use crate::dirty::derivation;
use crate::error::{Error, ErrorKind, Result};
use crate::events::{Column, Trie};
use crate::feed::{self, Changed};
use crate::grid::Location;
use crate::key::{ChunkKey, LayerId, MarkKey, meta};
use crate::kv::{Batch, Durability, KeyRange, Snapshot, Space, for_each_page};
use crate::store::{
    Base, BaseChunk, BatchNumber, Blocked, ChunkContent, ChunkPlace, ChunkReader, ChunkWrite, Grid,
    LayerChunks, Store,
};

/// So many marks in a row may turn out to be blocked in one step; with more, something is damaged
/// that all of them need.
const IN_A_ROW_MAX: usize = 64;

/// One step's dealings with damage.
#[derive(Debug)]
pub(super) struct Trials<'a> {
    blocked: &'a mut Blocked,
    most: usize,
    limit: usize,
    /// Aggregates that were made anew.
    remade: BTreeSet<Location>,
    found: usize,
    /// Whether the marks that were blocked before have been tried again.
    again: bool,
}

impl<'a> Trials<'a> {
    pub(super) fn new(blocked: &'a mut Blocked, most: usize) -> Self {
        Self {
            blocked,
            most,
            limit: most,
            remade: BTreeSet::new(),
            found: 0,
            again: false,
        }
    }

    /// How many marks are to be taken at most.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// The marks that are not to be taken.
    pub(super) fn skipped(&self) -> &BTreeSet<Vec<u8>> {
        &self.blocked.marks
    }

    /// Nothing is left but what is blocked. Whether to try that again; an error if that was done in
    /// vain. Later steps leave it out until nothing else is left again.
    pub(super) fn exhausted(&mut self) -> Result<bool> {
        if self.blocked.marks.is_empty() {
            return Ok(false);
        }
        if self.again || self.found > 0 {
            let why = self.blocked.why.take();
            return Err(why
                .unwrap_or_else(|| Error::corrupt("a chunk that is to be aggregated is damaged")));
        }
        *self.blocked = Blocked::default();
        (self.again, self.limit) = (true, 1);
        Ok(true)
    }

    /// Deals with damage that was met with these marks, so that it can be tried again.
    pub(super) fn met(
        &mut self,
        grid: &Grid,
        error: Error,
        taken: &mut Vec<Vec<u8>>,
    ) -> Result<()> {
        if let Some(place) = error.subject::<ChunkPlace>()
            && place.layer != LayerId::BASE
            && self.remade.insert(place.at)
        {
            match remake(grid, &place.at) {
                Ok(true) => return Ok(()),
                Err(error) if *error.kind() == ErrorKind::Conflict => {
                    self.remade.remove(&place.at);
                    return Ok(());
                }
                // What it is made of may be an aggregate that cannot be read either.
                Err(below)
                    if *below.kind() == ErrorKind::Corrupt
                        && below.subject() != error.subject::<ChunkPlace>() =>
                {
                    self.met(grid, below, &mut Vec::new())?;
                    self.remade.remove(&place.at);
                    return Ok(());
                }
                Ok(false) => {}
                Err(below) if *below.kind() == ErrorKind::Corrupt => {}
                Err(other) => return Err(other),
            }
        }
        match taken.len() {
            0 => Err(error),
            1 => {
                self.found += 1;
                if self.found > IN_A_ROW_MAX {
                    return Err(error);
                }
                tracing::warn!(grid = grid.name(), error = error.sentence(), "a mark stays");
                self.blocked.marks.append(&mut taken.drain(..).collect());
                self.blocked.why.get_or_insert(error);
                self.limit = self.most;
                Ok(())
            }
            several => {
                self.limit = several / 2;
                Ok(())
            }
        }
    }
}

/// Makes an aggregate anew from its children, in every layer and in one commit; `false` where that
/// cannot be done for itself.
pub(crate) fn remake(grid: &Grid, at: &Location) -> Result<bool> {
    let store = grid.store();
    let snapshot = store.current()?;
    let Some(batch) = store
        .workers()
        .run(|| remade(grid, snapshot.as_ref(), at))?
    else {
        return Ok(false);
    };
    store.commit_step(batch)?;
    Ok(true)
}

fn remade(grid: &Grid, snapshot: &dyn Snapshot, at: &Location) -> Result<Option<Batch>> {
    let (chunks, structure) = (grid.chunk_reader(snapshot), grid.structure());
    let state = grid.state(snapshot)?;
    let Some(base) = state.base else {
        return Ok(None);
    };
    let mut batch = Batch::at(snapshot);
    for record in [meta::schema, meta::reach, meta::base_levels] {
        batch.expect_key(Space::Meta, record(grid.id()));
    }
    batch.expect_key(Space::Directory, chunks.key(LayerId::FIRST, at));
    if structure
        .irregular_axis()
        .is_some_and(|irregular| irregular.level(at) <= irregular.bucket)
    {
        // Whatever changes its events writes the place itself anew.
        batch.expect_key(
            Space::Directory,
            chunks.key(Column::layer_of(&base, at), at),
        );
        let Some(bins) = chunks.branch_bins(at, &base)? else {
            return Ok(None);
        };
        let _: Aggregated = write(chunks, &mut batch, chunks.encode(at, &bins, None))?;
        return Ok(Some(batch));
    }
    let Some(dimension) = derivation(grid, at.levels, &base) else {
        return Ok(None);
    };
    let mut parts: Vec<(u8, Option<LayerChunks>)> = Vec::new();
    for (number, child) in (0_u8..=u8::MAX).zip(structure.children(at, dimension)) {
        [LayerId::BASE, LayerId::FIRST]
            .iter()
            .for_each(|layer| batch.expect_key(Space::Directory, chunks.key(*layer, &child)));
        let part = part(chunks, &mut batch, (&child, dimension), &base)?;
        parts.push((
            number,
            part.map(|part| chunks.reduce(&part, dimension, at.levels))
                .transpose()?,
        ));
    }
    let writes = if parts.iter().all(|(_, part)| part.is_none()) {
        chunks.without(at)
    } else {
        chunks.encode(
            at,
            &chunks.assemble(None, parts, &grid.halving(dimension), at.levels),
            None,
        )
    };
    let _: Aggregated = write(chunks, &mut batch, writes)?;
    Ok(Some(batch))
}

/// What stands at a child, or is inherited there from above along the refinable dimension.
fn part(
    chunks: ChunkReader<'_>,
    batch: &mut Batch,
    (child, dimension): (&Location, usize),
    base: &Base,
) -> Result<Option<LayerChunks>> {
    let own = chunks.stored(child, base)?;
    if own.is_some() || base.mixed().is_none_or(|mixed| mixed == dimension) {
        return Ok(own);
    }
    for above in chunks.above(child, base) {
        [LayerId::BASE, LayerId::FIRST]
            .iter()
            .for_each(|layer| batch.expect_key(Space::Directory, chunks.key(*layer, &above)));
    }
    chunks.effective(child, base)
}

/// Makes every aggregate of a grid anew from its base, from which the chunks at some places are
/// taken out first.
pub(crate) fn rebuild(grid: &Grid, out: &BTreeSet<Location>) -> Result<()> {
    grid.check_layers()?;
    grid.writable()?;
    loop {
        let (store, snapshot) = (grid.store(), grid.store().current()?);
        let number = store.reserve_sequence();
        let mut batch = cleared(grid, snapshot.as_ref(), out, &number)?;
        Store::stamp(&mut batch, &number);
        match store.commit(batch, Durability::Sync) {
            Err(error) if *error.kind() == ErrorKind::Conflict => {}
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    grid.aggregate().map(drop)
}

/// Makes the bins of all buckets that are halved anew, which no mark does, and joins what fits one
/// chunk without those that are taken out.
fn remake_buckets(
    chunks: ChunkReader<'_>,
    batch: &mut Batch,
    out: &BTreeSet<Location>,
) -> Result<()> {
    let (grid, structure) = (chunks.grid, chunks.grid.structure());
    let Some(irregular) = structure.irregular_axis() else {
        return Ok(());
    };
    let mut halved = Vec::new();
    let range = ChunkKey::layer(grid.id(), LayerId::BASE);
    grid.directory(chunks.snapshot, range, &mut |chunk| {
        let is = !chunk.is_chunk() && irregular.is_bucket(&chunk.location);
        halved.extend(is.then_some(chunk.location));
    })?;
    for bucket in halved {
        let mut trie = Trie::new(chunks);
        trie.remake::<BaseChunk>(&bucket, out)?;
        let (writes, seen) = trie.finish();
        seen.into_iter()
            .for_each(|key| batch.expect_key(Space::Directory, key));
        let _: Aggregated = write(chunks, batch, writes)?;
    }
    Ok(())
}

/// Removes all aggregates and marks: as after a bulk load, the next steps find that nothing reaches
/// up to the top.
fn cleared(
    grid: &Grid,
    snapshot: &dyn Snapshot,
    out: &BTreeSet<Location>,
    number: &BatchNumber,
) -> Result<Batch> {
    let (chunks, structure, id) = (grid.chunk_reader(snapshot), grid.structure(), grid.id());
    let state = grid.state(snapshot)?;
    let mut batch = Batch::at(snapshot);
    for record in [meta::schema, meta::reach, meta::base_levels, meta::bounds] {
        batch.expect_key(Space::Meta, record(id));
    }
    batch.expect_range(Space::Dirty, MarkKey::all(id));
    let aggregates = KeyRange {
        start: ChunkKey::layer(id, LayerId::FIRST).start,
        end: ChunkKey::all(id).end,
    };
    for space in [Space::Directory, Space::Aggregate] {
        batch.delete_range(space, aggregates.clone());
    }
    for_each_page(snapshot, Space::Dirty, MarkKey::all(id), 4096, |marks| {
        marks
            .into_iter()
            .for_each(|(key, _)| batch.delete(Space::Dirty, key));
        Ok(())
    })?;
    batch.delete(Space::Meta, meta::reach(id));
    let writes = out
        .iter()
        .map(|at| ChunkWrite {
            layer: LayerId::BASE,
            at: *at,
            what: ChunkContent::Nothing,
        })
        .collect();
    out.iter()
        .for_each(|at| batch.expect_key(Space::Directory, chunks.key(LayerId::BASE, at)));
    let _: Aggregated = write(chunks, &mut batch, writes)?;
    remake_buckets(chunks, &mut batch, out)?;
    if let Some((base, to)) = state
        .base
        .zip(state.summit(structure))
        .filter(|_| !out.is_empty())
    {
        let base_windows = out
            .iter()
            .map(|at| structure.cover(&structure.chunk_window(at), base.cells()))
            .collect();
        feed::record(
            grid,
            &mut batch,
            number,
            Changed {
                base: base_windows,
                aggregates: Vec::new(),
                to,
                finest: base.cells(),
            },
        )?;
    }
    Ok(batch)
}
