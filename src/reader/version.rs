//! What stands for an answer: a fingerprint of the stored chunks it is made of, which the directory holds the checksums of.

use std::fmt;

use super::fresh::Fresh;
use super::plan::Plan;
use super::query::{Freshness, Query};
use super::sources::{Source, Sourced, entries};
use super::values::Print;
use super::{events, planned};
use crate::codec::Digest;
use crate::error::Result;
use crate::grid::{Levels, Location, Window};
use crate::key::LayerId;
use crate::parallel;
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
    let (snapshot, plan) = planned(grid, query)?;
    let (chunks, freshness) = (grid.chunk_reader(snapshot.as_ref()), query.freshness_wanted());
    let mut digest = Digest::default();
    add_plan(grid, &plan, &mut digest);
    let stale = match plan.times {
        Some(_) => events::digest(grid, snapshot.as_ref(), &plan, freshness, &mut digest),
        None => add_sources(chunks, &plan, freshness, &mut digest),
    };
    let stale = stale.map_err(|e| grid.blame(e))?;
    digest.number(stale.len() as u64);
    stale.iter().for_each(|window| add_window(window, grid.structure().dimensions().len(), &mut digest));
    Ok(Version(digest.finish()))
}

/// Adds what an answer says and how it is made, but for the chunks it is made of.
fn add_plan(grid: &Grid, plan: &Plan, digest: &mut Digest) {
    digest.number(grid.id().0.into());
    digest.bytes(grid.layer_name(plan.layer.id()).as_bytes());
    digest.bytes(plan.dtype.to_string().as_bytes());
    digest.number(plan.fill.to_bits());
    add_window(&plan.window, grid.structure().dimensions().len(), digest);
    for (lower, upper) in plan.extent.bounds() {
        digest.number(lower.to_bits());
        digest.number(upper.to_bits());
    }
    if let Some(cut) = &plan.cut {
        cut.run.cells.iter().for_each(|cell| digest.number(cell.cast_unsigned()));
        cut.run.edges.iter().for_each(|edge| digest.number(edge.to_bits()));
    }
    plan.reversed.iter().for_each(|axis| digest.bytes(format!("against {axis}").as_bytes()));
    digest.number(plan.maps.is_some().into());
    if let Some((maps, method)) = &plan.maps {
        digest.bytes(format!("{method:?}").as_bytes());
        for map in maps {
            digest.number(map.start.to_bits());
            digest.number(map.ratio.to_bits());
            digest.number(map.len as u64);
        }
    }
}

fn add_window(window: &Window, dimensions: usize, digest: &mut Digest) {
    add_levels(window.levels(dimensions), digest);
    window.start().iter().for_each(|start| digest.number(start.cast_unsigned()));
    window.shape().iter().for_each(|len| digest.number(*len));
}

fn add_levels(levels: Levels, digest: &mut Digest) {
    levels.iter().for_each(|level| digest.number(level.get().cast_unsigned().into()));
}

/// Adds what each part of the window is made of, and says which parts are out of date.
fn add_sources(chunks: ChunkReader<'_>, plan: &Plan, freshness: Freshness, digest: &mut Digest) -> Result<Vec<Window>> {
    let sourced = plan.sources(chunks, freshness)?;
    let mut prints = parallel::map(&sourced, |of| computed(chunks, plan, of))?;
    let stored = |(number, of): (usize, &Sourced)| match of.source {
        Source::Stored(layer, at) => Some((number, (layer, at))),
        Source::Nothing | Source::Computed => None,
    };
    let (numbers, stored): (Vec<usize>, Vec<(LayerId, Location)>) = sourced.iter().enumerate().filter_map(stored).unzip();
    entries(chunks, &stored, &mut |number, print| {
        prints[numbers[number]] = print;
        Ok(())
    })?;
    for (of, print) in sourced.iter().zip(prints) {
        if let Some(print) = print {
            digest.bytes(&chunks.key(LayerId::BASE, &of.piece.location));
            print.add(digest);
        }
    }
    if freshness == Freshness::Fresh { Ok(Vec::new()) } else { plan.stale(chunks, &sourced) }
}

/// What stands for a part that is computed.
fn computed(chunks: ChunkReader<'_>, plan: &Plan, of: &Sourced) -> Result<Option<Print>> {
    let Some(values) = plan.printed(chunks).filter(|_| of.source == Source::Computed) else { return Ok(None) };
    let fresh = Fresh::new(values, &plan.pyramid);
    Ok(fresh.effective(&of.piece.location, &of.pending)?.map(|print| *print))
}
