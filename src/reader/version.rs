//! What stands for an answer: a fingerprint of the stored chunks it is made of, which the directory holds the checksums of.

use std::collections::BTreeSet;
use std::fmt;

use super::plan::Plan;
use super::query::{Freshness, Query};
use crate::codec::Digest;
use crate::dirty::{self, Edge, Marks, parents};
use crate::error::Result;
use crate::grid::{Location, Window};
use crate::key::LayerId;
use crate::kv::{Snapshot, Space};
use crate::store::{ChunkReader, Grid};

/// What stands for the cells of an answer; see [`Grid::version`]. It is printed as an ETag: 32 hexadecimal digits in quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(u128);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{:032x}\"", self.0)
    }
}

/// The version of the answer to a query.
pub(crate) fn version(grid: &Grid, query: &Query) -> Result<Version> {
    let snapshot = grid.snapshot()?;
    let plan = Plan::new(grid, grid.state(snapshot.as_ref())?, query).map_err(|e| grid.blame(e))?;
    let mut digest = Digest::default();
    digest.bytes(grid.layer_name(plan.layer.id()).as_bytes());
    plan.levels().iter().for_each(|level| digest.number(level.get().cast_unsigned().into()));
    for (lower, upper) in plan.extent.bounds() {
        digest.number(lower.to_bits());
        digest.number(upper.to_bits());
    }
    if let Some((maps, method)) = &plan.maps {
        digest.bytes(method.resampling().to_string().as_bytes());
        maps.iter().for_each(|map| digest.number(map.len as u64));
    }
    if plan.times.is_some() {
        super::events::digest(grid, snapshot.as_ref(), &plan, query.freshness_wanted(), &mut digest)?;
    } else if let Some(window) = plan.populated(grid.structure()) {
        let fresh = query.freshness_wanted() == Freshness::Fresh && plan.levels() != plan.base.finest();
        add(grid, snapshot.as_ref(), &plan, (&window, fresh), &mut digest)?;
    }
    Ok(Version(digest.finish()))
}

fn add(grid: &Grid, snapshot: &dyn Snapshot, plan: &Plan, (window, fresh): (&Window, bool), digest: &mut Digest) -> Result<()> {
    // Above what is built everything is computed from what is below, in the end from the base.
    if fresh && !plan.built.covers(&plan.levels()) {
        return add_base(grid, snapshot, plan, window, digest);
    }
    let chunks = grid.chunk_reader(snapshot);
    if plan.base.mixed().is_none() {
        let layer = if plan.base.has(plan.levels()) { LayerId::BASE } else { plan.layer.id() };
        let mut stored = grid.chunks_within(snapshot, layer, window)?;
        stored.sort_unstable_by_key(|chunk| chunk.location);
        for chunk in stored {
            digest.bytes(&chunks.key(layer, &chunk.location));
            digest.number(chunk.checksum);
        }
    } else {
        for piece in grid.structure().split(window) {
            if let Some((layer, from)) = chunks.source(&piece.location, &plan.base)? {
                let key = chunks.key(if layer == LayerId::BASE { layer } else { plan.layer.id() }, &from);
                add_entries(chunks, &[key], digest)?;
            }
        }
    }
    if fresh && Marks::first(grid, snapshot, 1)?.len() > 0 {
        for piece in grid.structure().split(window) {
            let pending = dirty::pending_under(grid, snapshot, &piece.location, &plan.base)?;
            if plan.base.mixed().is_none() {
                add_pending(chunks, plan, (&piece.location, &pending), digest)?;
            } else if !pending.is_empty() {
                add_base(grid, snapshot, plan, &grid.structure().chunk_window(&piece.location), digest)?;
            }
        }
    }
    Ok(())
}

/// Adds all base chunks that touch a window.
fn add_base(grid: &Grid, snapshot: &dyn Snapshot, plan: &Plan, window: &Window, digest: &mut Digest) -> Result<()> {
    let chunks = grid.chunk_reader(snapshot);
    for levels in plan.base.levels() {
        let mut stored = grid.chunks_within(snapshot, LayerId::BASE, &grid.structure().cover(window, levels))?;
        stored.sort_unstable_by_key(|chunk| chunk.location);
        for chunk in stored {
            digest.bytes(&chunks.key(LayerId::BASE, &chunk.location));
            digest.number(chunk.checksum);
        }
    }
    Ok(())
}

/// Adds directory entries, or that there are none.
fn add_entries(chunks: ChunkReader<'_>, keys: &[Vec<u8>], digest: &mut Digest) -> Result<()> {
    chunks.snapshot.get_many(Space::Directory, keys, &mut |i, entry| {
        digest.bytes(&keys[i]);
        digest.bytes(entry.unwrap_or_default());
        Ok(())
    })
}

/// Adds the chunks that a stale one is computed from: the children that changed, and all between them and the chunk.
fn add_pending(chunks: ChunkReader<'_>, plan: &Plan, (at, pending): (&Location, &[Edge]), digest: &mut Digest) -> Result<()> {
    let (grid, structure) = (chunks.grid, chunks.grid.structure());
    let mut read: BTreeSet<Location> = BTreeSet::new();
    for edge in pending {
        digest.bytes(&chunks.key(LayerId::BASE, &edge.parent));
        digest.number(edge.child.into());
        read.extend(structure.child(&edge.parent, edge.dimension, edge.child));
        let mut waiting = vec![(edge.parent, edge.dimension)];
        while let Some((parent, dimension)) = waiting.pop() {
            if structure.ancestor(&parent, at.levels) == Some(*at) && read.insert(parent) {
                waiting.extend(parents(grid, &parent, Some(dimension)).iter().map(|edge| (edge.parent, edge.dimension)));
            }
        }
    }
    let layer = |at: &Location| if plan.base.has(at.levels) { LayerId::BASE } else { plan.layer.id() };
    let keys: Vec<_> = read.iter().map(|at| chunks.key(layer(at), at)).collect();
    add_entries(chunks, &keys, digest)
}
