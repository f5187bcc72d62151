//! What stands for an answer: a fingerprint of the stored chunks it is made of, which the directory
//! holds the checksums of.

use std::fmt;

use super::layout::CellMap;
use super::plan::ReadPlan;
use super::planned;
use super::query::{EventChoice, Query};
use super::sources::{CellSource, Listed, Lister, entries};
use super::values::{Print, levels_of, ticks_of};
use crate::codec::Digest;
use crate::error::Result;
use crate::grid::{Location, Window};
use crate::key::LayerId;
use crate::parallel;
use crate::store::Grid;

/// What stands for the cells of an answer; see [`Grid::version`]. It is printed as an ETag: 32
/// hexadecimal digits in quotes.
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
    let chunks = grid.chunk_reader(snapshot.as_ref());
    let mut digest = Digest::default();
    add_plan(grid, &plan, &mut digest);
    let stale = Lister::new(chunks, &plan, query.freshness_wanted())
        .and_then(|lister| add_sources(&lister, &mut digest));
    let stale = stale.map_err(|e| grid.blame(e))?;
    digest.number(stale.len() as u64);
    stale
        .iter()
        .for_each(|window| add_window(window, grid.structure().dimensions().len(), &mut digest));
    Ok(Version(digest.finish()))
}

/// Adds what an answer says and how it is made, but for the chunks it is made of.
fn add_plan(grid: &Grid, plan: &ReadPlan, digest: &mut Digest) {
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
        cut.run
            .cells
            .iter()
            .for_each(|cell| digest.number(cell.cast_unsigned()));
        cut.run
            .edges
            .iter()
            .for_each(|edge| digest.number(edge.to_bits()));
    }
    plan.reversed
        .iter()
        .for_each(|axis| digest.bytes(format!("against {axis}").as_bytes()));
    if let Some(times) = &plan.times {
        if let EventChoice::Moment { tick, .. } = times.when {
            digest.number(tick.cast_unsigned());
        }
        times
            .steps
            .iter()
            .for_each(|cuts| cuts.digest(|number| digest.number(number)));
    }
    digest.number(plan.maps.is_some().into());
    if let Some((maps, method)) = &plan.maps {
        digest.bytes(format!("{method:?}").as_bytes());
        match maps {
            CellMap::Axes(maps) => maps.iter().for_each(|map| {
                digest.number(map.start.to_bits());
                digest.number(map.ratio.to_bits());
                digest.number(map.len as u64);
            }),
            CellMap::Placed(target) => target.tell(|number| digest.number(number)),
        }
    }
}

fn add_window(window: &Window, dimensions: usize, digest: &mut Digest) {
    levels_of(digest, window.levels(dimensions));
    window
        .start()
        .iter()
        .for_each(|start| digest.number(start.cast_unsigned()));
    window.shape().iter().for_each(|len| digest.number(*len));
}

/// Adds what each part of the window is made of, and says which parts are out of date.
fn add_sources(lister: &Lister<'_>, digest: &mut Digest) -> Result<Vec<Window>> {
    let values = lister.plan.printed(lister.chunks);
    for listed in lister.lists(values)? {
        let ticks = listed
            .coordinates
            .as_ref()
            .map_or(&[][..], |coordinates| &coordinates.ticks);
        ticks_of(digest, ticks);
        digest.number(
            listed
                .coordinates
                .as_ref()
                .map_or(0, |coordinates| coordinates.width),
        );
        let below = parallel::map(&listed.parts, |of| Ok(lister.below(values, of)?.0))?;
        let mut stored = stored_prints(lister, &listed)?.into_iter();
        for (of, below) in listed.parts.iter().zip(below) {
            for source in &of.sources {
                let print = match source {
                    CellSource::Stored(..) => stored.next().flatten(),
                    CellSource::Below => below,
                    CellSource::Computed(events) => Some(events.planes),
                };
                let Some(print) = print else { continue };
                let piece = &of.part.piece;
                digest.bytes(&lister.chunks.key(LayerId::BASE, &piece.location));
                // Beyond what was put nothing is read.
                piece
                    .in_window
                    .iter()
                    .chain(piece.shape.iter())
                    .for_each(|number| digest.number(*number as u64));
                let own = source.ticks().unwrap_or_default().iter().copied();
                ticks_of(
                    digest,
                    &own.filter(|tick| ticks.binary_search(tick).is_ok())
                        .collect::<Vec<i64>>(),
                );
                print.add(digest);
            }
        }
    }
    lister.stale()
}

/// What stands for each stored chunk of a list, in their order, if it is there.
fn stored_prints(lister: &Lister<'_>, listed: &Listed<'_, Print>) -> Result<Vec<Option<Print>>> {
    let stored = |source: &CellSource<Print>| match source {
        CellSource::Stored(layer, at, ticks) => Some(((*layer, *at), ticks.is_some())),
        CellSource::Below | CellSource::Computed(_) => None,
    };
    let (places, sure): (Vec<(LayerId, Location)>, Vec<bool>) = listed
        .parts
        .iter()
        .flat_map(|of| &of.sources)
        .filter_map(stored)
        .unzip();
    let mut prints = Vec::with_capacity(places.len());
    entries(lister.chunks, &places, &mut |number, print| {
        let (layer, at) = &places[number];
        match print {
            None if sure[number] => Err(lister.chunks.lost(*layer, at)),
            print => {
                prints.push(print);
                Ok(())
            }
        }
    })?;
    Ok(prints)
}
