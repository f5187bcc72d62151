//! Aggregation: marks become up-to-date aggregates, a bounded and atomic step at a time.
//!
//! A step takes the first marks in key order, recomputes the changed part of every aggregate above
//! them up to the top, and commits the aggregates together with the deletion of exactly these
//! marks. Where the data has outgrown the pyramid, a step first raises its reach and marks the
//! parents of the old tops.

mod added;
pub(crate) mod background;
mod damage;
mod plan;
mod propagate;
mod raise;
mod verbs;

use std::collections::{BTreeSet, HashSet};
use std::ops::AddAssign;
use std::sync::Arc;

pub(crate) use damage::rebuild;
pub(crate) use plan::{AggregationPlan, Leaf};
pub(crate) use propagate::{Bucket, ChunkChange, Propagation};
pub(crate) use raise::{edges as raise_edges, expect as expect_raise};

use damage::Trials;

use crate::codec::checksum_of;
use crate::dirty::{self, ChangedTicks, Marks};
use crate::error::{ErrorKind, Result};
use crate::events::{Column, EventChange};
use crate::feed::{self, Changed};
use crate::grid::{Levels, Location, Window};
use crate::key::{DirectoryEntry, LayerId, meta};
use crate::kv::{Batch, Snapshot, Space};
use crate::store::{
    Base, BatchNumber, Blocked, ChunkContent, ChunkReader, ChunkWrite, Grid, Pyramid, Store,
    write_reach,
};

/// What aggregation did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Aggregated {
    /// Marks consumed.
    pub marks: u64,
    /// Aggregate chunks written, counting each layer's.
    pub chunks: u64,
    /// The bytes of their blobs.
    pub bytes: u64,
}

impl AddAssign for Aggregated {
    fn add_assign(&mut self, other: Self) {
        self.marks += other.marks;
        self.chunks += other.chunks;
        self.bytes += other.bytes;
    }
}

/// The cells of the changed chunks that one step reads, at most.
const CELLS_A_STEP: usize = 1 << 25;

/// How many marks one step consumes, at most.
fn marks_a_step(grid: &Grid) -> usize {
    (CELLS_A_STEP / grid.structure().chunk_cells()).clamp(16, 4096)
}

/// Does a bounded part of the aggregation of a grid in one commit; `None` if nothing is left to do.
pub(crate) fn step(grid: &Grid) -> Result<Option<Aggregated>> {
    grid.check_layers()?;
    let aggregator = grid.store().aggregator(grid.id());
    let mut one_at_a_time = grid.store().aggregating(&aggregator)?;
    locked_step(grid, &mut one_at_a_time)
}

fn locked_step(grid: &Grid, blocked: &mut Blocked) -> Result<Option<Aggregated>> {
    let _span = tracing::debug_span!("aggregate", grid = grid.name()).entered();
    let mut trials = Trials::new(blocked, marks_a_step(grid));
    let mut taken = Vec::new();
    loop {
        taken.clear();
        match attempt(grid, &trials, &mut taken) {
            Err(error) if *error.kind() == ErrorKind::Conflict => {}
            Err(error) if *error.kind() == ErrorKind::Corrupt => {
                trials.met(grid, error, &mut taken)?
            }
            Ok(None) if trials.exhausted()? => {}
            Ok(Some(done)) => {
                tracing::debug!(
                    marks = done.marks,
                    chunks = done.chunks,
                    bytes = done.bytes,
                    "a step of aggregation"
                );
                return Ok(Some(done));
            }
            other => return other,
        }
    }
}

/// `taken` gets the marks that it is about.
fn attempt(
    grid: &Grid,
    trials: &Trials<'_>,
    taken: &mut Vec<Vec<u8>>,
) -> Result<Option<Aggregated>> {
    let (store, snapshot) = (grid.store(), grid.store().current()?);
    let number = store.reserve_sequence();
    let Some((mut batch, done)) = store
        .workers()
        .run(|| computed(grid, snapshot.as_ref(), &number, (trials, taken)))?
    else {
        return Ok(None);
    };
    Store::stamp(&mut batch, &number);
    store.commit_step(batch)?;
    Ok(Some(done))
}

/// What a step is to commit, if anything is left to do.
fn computed(
    grid: &Grid,
    snapshot: &dyn Snapshot,
    number: &BatchNumber,
    (trials, taken): (&Trials<'_>, &mut Vec<Vec<u8>>),
) -> Result<Option<(Batch, Aggregated)>> {
    let mut batch = Batch::at(snapshot);
    grid.expect_schema(snapshot, &mut batch)?;
    let mut marks = || -> Result<Marks> {
        let marks = Marks::first_but(grid, snapshot, trials.limit(), trials.skipped())?;
        taken.extend(marks.keys().iter().cloned());
        Ok(marks)
    };
    let Some((done, changed)) = advanced(grid, snapshot, (&mut batch, number.get()), &mut marks)?
    else {
        return Ok(None);
    };
    if let Some(changed) = changed {
        feed::record(grid, &mut batch, number, changed)?;
    }
    Ok(Some((batch, done)))
}

/// Adds a bounded part of the aggregation that is left to do in a snapshot to a batch; `None` if
/// nothing is. Marks that it leaves have the number `sequence`.
pub(crate) fn advance(
    grid: &Grid,
    snapshot: &dyn Snapshot,
    (batch, sequence): (&mut Batch, u64),
) -> Result<Option<(Aggregated, Option<Changed>)>> {
    advanced(grid, snapshot, (batch, sequence), &mut || {
        Marks::first(grid, snapshot, marks_a_step(grid))
    })
}

/// The same with certain marks.
fn advanced(
    grid: &Grid,
    snapshot: &dyn Snapshot,
    (batch, sequence): (&mut Batch, u64),
    marks: &mut dyn FnMut() -> Result<Marks>,
) -> Result<Option<(Aggregated, Option<Changed>)>> {
    let (chunks, state) = (grid.chunk_reader(snapshot), grid.state(snapshot)?);
    batch.expect_key(Space::Meta, meta::reach(grid.id()));
    let structure = grid.structure();
    let Some((pyramid, bounds)) = state.pyramid(structure).zip(state.bounds) else {
        return Ok(None);
    };
    let summit = state.summit(structure).unwrap_or(pyramid.top);
    let Pyramid { base, built, top } = pyramid;
    if !grid.layers().is_empty() && top != built {
        reach(grid, snapshot, (batch, sequence), &pyramid)?;
        let aggregates = moved(grid, &bounds, &pyramid);
        let changed = (!aggregates.is_empty()).then(|| Changed {
            base: Vec::new(),
            aggregates,
            to: summit,
            finest: base.cells(),
        });
        return Ok(Some((Aggregated::default(), changed)));
    }
    let marks = marks()?;
    if marks.len() == 0 {
        return Ok(None);
    }
    let (edges, changed) = (marks.edges(), marks.changed(grid));
    let stale = dirty::stale_windows(grid, &edges);
    let plan = AggregationPlan::new(chunks, edges, &pyramid)?;
    plan.expect(chunks, &base, batch);
    let propagation = Propagation::new(chunks, &plan, &pyramid);
    let (writes, seen) =
        propagation.run(&|run, leaf| source(chunks, &base, run, leaf, changed.get(&leaf.at)))?;
    seen.into_iter()
        .for_each(|key| batch.expect_key(Space::Directory, key));
    let aggregates = changed_windows(chunks, &plan, stale, (&writes, (&bounds, top)))?;
    let changed = (!writes.is_empty()).then(|| Changed {
        base: Vec::new(),
        aggregates,
        to: summit,
        finest: base.cells(),
    });
    let mut done = Aggregated {
        marks: marks.len() as u64,
        ..Aggregated::default()
    };
    done += write(chunks, batch, writes)?;
    marks.clear(batch);
    Ok(Some((done, changed)))
}

/// What a chunk that changed holds. Of a bucket of events, what is new of it for those who ask.
pub(crate) fn source(
    chunks: ChunkReader<'_>,
    base: &Base,
    run: &Propagation<'_>,
    leaf: &'_ Leaf,
    changed: Option<&ChangedTicks>,
) -> Result<ChunkChange> {
    let at = &leaf.at;
    let irregular = base
        .irregular()
        .filter(|&d| at.levels[d] == base.finest()[d]);
    let Some(irregular) = irregular else {
        return Ok(chunks
            .stored(at, base)?
            .map_or(ChunkChange::Gone, ChunkChange::Now));
    };
    let mut change = EventChange {
        now: None,
        gone: Vec::new(),
    };
    if run.fed(&leaf.feeds).any(|node| node.dimension != irregular) {
        let mut ticks = changed.map_or(BTreeSet::new(), |changed| changed.ticks.clone());
        if changed.is_none_or(|changed| changed.all) || run.lacks(&leaf.feeds)? {
            ticks.extend(chunks.ticks_of(Column::layer_of(base, at), at)?);
        }
        let ticks: Vec<i64> = ticks.into_iter().collect();
        change.now = chunks.layers_at(at, base, &ticks)?;
        change.gone = ticks;
        change.gone.retain(|tick| {
            change
                .now
                .as_ref()
                .is_none_or(|now| now.ticks.binary_search(tick).is_err())
        });
    }
    let binned = run.fed(&leaf.feeds).any(|node| node.dimension == irregular);
    let bins = if binned {
        chunks.bucket_bins(at, base)?
    } else {
        None
    };
    Ok(ChunkChange::Bucket(Arc::new(Bucket { change, bins })))
}

/// Lets the pyramid reach up to the top of the data in one commit: where it rises, the parents of
/// the old tops are marked; where it falls, what stands above goes.
fn reach(
    grid: &Grid,
    snapshot: &dyn Snapshot,
    (batch, sequence): (&mut Batch, u64),
    pyramid: &Pyramid,
) -> Result<()> {
    let edges = raise::edges(grid, snapshot, pyramid)?;
    raise::expect(grid, batch, pyramid);
    let chunks = grid.chunk_reader(snapshot);
    let writes: Vec<ChunkWrite> = raise::above(grid, snapshot, pyramid)?
        .into_iter()
        .flat_map(|at| chunks.without(&at))
        .collect();
    write(chunks, batch, writes)?;
    write_reach(batch, grid.id(), pyramid.top)?;
    dirty::mark(
        grid,
        batch,
        edges.into_iter().map(|edge| (edge, None)),
        sequence,
    );
    Ok(())
}

/// All of what was put, at the levels whose answers move with the pyramid: those that go when it
/// falls, and those that are stored from now on when it rises. In each dimension the finest of them.
fn moved(grid: &Grid, bounds: &Window, Pyramid { built, top, .. }: &Pyramid) -> Vec<Window> {
    let (structure, cells) = (grid.structure(), bounds.levels(built.len()));
    // While it moves, levels above the top are refused in dimensions in which it does not, too.
    let all = structure.levelled();
    let first = all.filter_map(|d| Some(cells.with(d, top[d].min(built[d]).coarser()?)));
    first
        .map(|levels| structure.cover(bounds, levels))
        .collect()
}

/// Where a plan changes aggregates, as far as there can be data up to the top: the parts that were
/// `stale`, and all of each aggregate that was not there, or is not any more. Events are made anew
/// tick by tick, of all that is below, so that all of their aggregates count.
pub(crate) fn changed_windows(
    chunks: ChunkReader<'_>,
    plan: &AggregationPlan,
    stale: Vec<Window>,
    (writes, (bounds, top)): (&[ChunkWrite], (&Window, Levels)),
) -> Result<Vec<Window>> {
    let (structure, mut windows) = (chunks.grid.structure(), stale);
    let gone = |write: &&ChunkWrite| {
        write.layer == LayerId::FIRST && matches!(write.what, ChunkContent::Nothing)
    };
    let gone: HashSet<Location> = writes.iter().filter(gone).map(|write| write.at).collect();
    let keys: Vec<_> = plan
        .nodes
        .iter()
        .map(|node| chunks.key(LayerId::FIRST, &node.at))
        .collect();
    chunks
        .snapshot
        .get_many(Space::Directory, &keys, &mut |i, entry| {
            let at = &plan.nodes[i].at;
            if entry.is_none() || gone.contains(at) || dirty::are_events(structure, at.levels) {
                windows.push(dirty::changed_window(chunks.grid, at, at.levels()));
            }
            Ok(())
        })?;
    // What lies beside the bounds may be in one cell with what lies within them, at a coarser level.
    // What reaches into them names all such cells by the part of it that does.
    let reached = structure.cover(bounds, top);
    let within = |window: Window| {
        let part = |of: &Window| {
            let levels = window.levels(structure.dimensions().len());
            structure.intersection(&window, &structure.cover(of, levels))
        };
        part(bounds).or_else(|| part(&reached))
    };
    Ok(windows.into_iter().filter_map(within).collect())
}

/// Adds chunks and their directory entries to a batch.
pub(crate) fn write(
    chunks: ChunkReader<'_>,
    batch: &mut Batch,
    writes: Vec<ChunkWrite>,
) -> Result<Aggregated> {
    let mut done = Aggregated::default();
    for ChunkWrite { layer, at, what } in writes {
        let space = if layer == LayerId::BASE {
            Space::Base
        } else {
            Space::Aggregate
        };
        let key = chunks.key(layer, &at);
        let (ticks, blob) = match what {
            ChunkContent::Cells(blob) => (None, blob),
            ChunkContent::Events(ticks, blob) => (Some(ticks), blob),
            ChunkContent::Branch => {
                batch.put(
                    Space::Directory,
                    key.clone(),
                    DirectoryEntry::BRANCH.encode(),
                );
                batch.delete(space, key);
                continue;
            }
            ChunkContent::Nothing => {
                batch.delete(Space::Directory, key.clone());
                batch.delete(space, key);
                continue;
            }
        };
        done.chunks += 1;
        done.bytes += blob.len() as u64;
        let checksum = checksum_of(&blob).map_err(|e| chunks.damaged(layer, &at).because(e))?;
        let entry = DirectoryEntry {
            bytes: blob.len() as u64,
            checksum,
            ticks,
        };
        batch.put(Space::Directory, key.clone(), entry.encode());
        batch.put(space, key, blob);
    }
    Ok(done)
}
