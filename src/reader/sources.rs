//! Where the cells of an answer come from, on any axis: a list of the parts of a window with the
//! sources of each. Reading, naming, counting and telling versions apart are folds over it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use super::columns::EventColumns;
use super::fresh::{Fresh, ReadChunks};
use super::plan::{ReadLayer, ReadPlan};
use super::query::{Coordinates, Freshness};
use super::values::{Decoded, Print, Printed, Values};
use crate::dirty::{self, Edge, Marks};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::grid::{Location, Piece, Window};
use crate::key::{DirectoryEntry, LayerId, Ticks};
use crate::kv::Space;
use crate::store::{ChunkReader, LayerSpec, Stored};

/// How many directory entries are asked for at once.
const PAGE: usize = 1024;

/// A part of a window: what of it lies in one chunk, or along an irregular dimension in one column
/// of chunks.
pub(super) struct WindowPart {
    pub(super) piece: Piece,
    /// What is pending in its place.
    pub(super) pending: Vec<Edge>,
}

/// Where cells come from.
#[derive(Clone, Debug)]
pub(super) enum CellSource<C> {
    /// From the chunk of a layer at a location, if it is there. Where several levels have base
    /// data, it is; and so it is if these are the ticks of its events.
    Stored(LayerId, Location, Option<Ticks>),
    /// From what lies below, since what is stored is out of date or not there yet.
    Below,
    /// From events or bins that were computed to know at which ticks there are any.
    Computed(Events<C>),
}

impl<C> CellSource<C> {
    /// The ticks of its events, if it has events.
    pub(super) fn ticks(&self) -> Option<&[i64]> {
        match self {
            CellSource::Stored(.., ticks) => ticks.as_deref(),
            CellSource::Below => None,
            CellSource::Computed(events) => Some(&events.ticks),
        }
    }
}

/// A stored chunk: its layer, where it is, and the ticks of its events if it has events.
pub(super) type StoredPlace<'a> = (LayerId, &'a Location, Option<&'a Ticks>);

/// The sources of a part: one of a chunk, and of a column one after the other. Without any there is
/// no data.
pub(super) struct Sourced<'l, C> {
    pub(super) part: &'l WindowPart,
    pub(super) sources: Vec<CellSource<C>>,
    /// The chunks that were read to know them.
    pub(super) read: ReadChunks,
}

/// The sources of all parts.
pub(super) struct Listed<'l, C> {
    pub(super) parts: Vec<Sourced<'l, C>>,
    /// Where the cells of the answer lie along an irregular dimension.
    pub(super) coordinates: Option<Coordinates>,
}

impl<C> Listed<'_, C> {
    /// All sources, with the number of their part.
    pub(super) fn sources(&self) -> impl Iterator<Item = (usize, &WindowPart, &CellSource<C>)> {
        self.parts.iter().enumerate().flat_map(|(number, of)| {
            of.sources
                .iter()
                .map(move |source| (number, of.part, source))
        })
    }
}

impl ReadPlan {
    /// The cells of the layer that is read, if it is one.
    pub(super) fn decoded<'a>(&'a self, chunks: ChunkReader<'a>) -> Option<Decoded<'a>> {
        self.read_layer().map(|layer| Decoded::new(chunks, layer))
    }

    /// What stands for them.
    pub(super) fn printed<'a>(&'a self, chunks: ChunkReader<'a>) -> Option<Printed<'a>> {
        self.read_layer().map(|layer| Printed { chunks, layer })
    }

    pub(super) fn read_layer(&self) -> Option<&LayerSpec> {
        match &self.layer {
            ReadLayer::Base => None,
            ReadLayer::Aggregate(layer) => Some(layer),
        }
    }
}

/// Lists the sources of a plan.
pub(super) struct Lister<'a> {
    pub(super) chunks: ChunkReader<'a>,
    pub(super) plan: &'a ReadPlan,
    pub(super) fresh: bool,
    /// The parts of the window in which anything can be stored.
    pub(super) parts: Vec<WindowPart>,
    /// The events that stand for a moment, if one is asked for: one, or two with the share of the
    /// later one.
    pub(super) moment: Option<(Vec<i64>, f64)>,
    /// How many chunks were read to choose them.
    chosen_by: AtomicU64,
}

impl<'a> Lister<'a> {
    pub(super) fn new(
        chunks: ChunkReader<'a>,
        plan: &'a ReadPlan,
        freshness: Freshness,
    ) -> Result<Self> {
        let (parts, chosen_by) = (parts(chunks, plan)?, AtomicU64::new(0));
        let chunks = plan
            .read_layer()
            .map_or(chunks, |layer| chunks.of_layer(layer));
        let mut lister = Self {
            chunks,
            plan,
            fresh: freshness == Freshness::Fresh,
            parts,
            moment: None,
            chosen_by,
        };
        lister.check_lag()?;
        lister.moment = lister
            .columns()
            .and_then(|columns| columns.chosen().transpose())
            .transpose()?;
        Ok(lister)
    }

    /// Refuses what is stored of levels above the top where it lags: there it is made of base data
    /// too, which is ahead.
    fn check_lag(&self) -> Result<()> {
        let (grid, plan) = (self.chunks.grid, self.plan);
        let structure = grid.structure();
        let concerns = |edge: &Edge| {
            plan.times.is_some()
                || dirty::stale_window(grid, edge).is_none_or(|window| {
                    let window = structure.cover(&window, plan.levels());
                    structure.intersection(&window, &plan.window).is_some()
                })
        };
        let lags = |part: &&WindowPart| !plan.is_fresh && part.pending.iter().any(concerns);
        match self
            .parts
            .iter()
            .find(|part| lags(part) && self.is_computed(part))
        {
            Some(_) => Err(Error::not_found(
                "aggregation lags behind, so that nothing is stored that levels above the top are made of; ask for a fresh answer, or aggregate first",
            )),
            _ => Ok(()),
        }
    }

    /// The parts as columns, where there is an irregular dimension.
    pub(super) fn columns(&self) -> Option<EventColumns<'_, 'a>> {
        self.plan.times.as_ref().map(|times| EventColumns {
            lister: self,
            times,
        })
    }

    /// How many chunks were read to choose the events that stand for a moment: it takes the cells
    /// of those near it.
    pub(super) fn chosen_by(&self) -> u64 {
        self.chosen_by.load(Ordering::Relaxed)
    }

    pub(super) fn count_chosen_by(&self, chunks: u64) {
        self.chosen_by.fetch_add(chunks, Ordering::Relaxed);
    }

    /// Where all cells come from: a list, or one for each of the events that stand for a moment.
    /// `values` are those of the layer, if one is read.
    pub(super) fn lists<'l, V: Values<'a>>(
        &'l self,
        values: Option<V>,
    ) -> Result<Vec<Listed<'l, V::Chunk>>> {
        match self.columns() {
            None => Ok(vec![Listed {
                parts: self.of_chunks()?,
                coordinates: None,
            }]),
            Some(columns) => columns
                .ranges()
                .iter()
                .map(|ticks| columns.listed(values, ticks))
                .collect(),
        }
    }

    /// The sources of parts that lie in one chunk each.
    fn of_chunks<C>(&self) -> Result<Vec<Sourced<'_, C>>> {
        let (plan, base) = (self.plan, &self.plan.pyramid.base);
        let known: Option<HashMap<Location, Option<(LayerId, Location)>>> = match base.mixed() {
            None => None,
            Some(_) => {
                let stored = self.parts.iter().filter(|part| !self.is_computed(part));
                let places: Vec<Location> = stored.map(|part| part.piece.location).collect();
                Some(
                    places
                        .iter()
                        .copied()
                        .zip(self.chunks.sources(&places, base)?)
                        .collect(),
                )
            }
        };
        let own = if base.has(plan.levels()) {
            LayerId::BASE
        } else {
            plan.layer.id()
        };
        let layer = |stored: LayerId| {
            if stored == LayerId::BASE {
                stored
            } else {
                plan.layer.id()
            }
        };
        let source = |part: &WindowPart| match &known {
            _ if self.is_computed(part) => Some(CellSource::Below),
            None => Some(CellSource::Stored(own, part.piece.location, None)),
            Some(known) => {
                let stored = known.get(&part.piece.location).copied().flatten();
                stored.map(|(stored, from)| CellSource::Stored(layer(stored), from, None))
            }
        };
        let sourced = |part| Sourced {
            part,
            sources: source(part).into_iter().collect(),
            read: Vec::new(),
        };
        Ok(self.parts.iter().map(sourced).collect())
    }

    /// Whether a part is computed, not merely read.
    pub(super) fn is_computed(&self, part: &WindowPart) -> bool {
        let levels = match &self.plan.times {
            None => self.plan.levels(),
            Some(times) => times.chunk_levels(self.plan.levels()),
        };
        let above = !self.plan.pyramid.built.covers(&levels);
        let changed = self.fresh && !part.pending.is_empty();
        self.plan.read_layer().is_some() && (above || changed)
    }

    /// What lies below a part makes of it, and which chunks are read for that; nothing of parts
    /// with other sources.
    pub(super) fn below<V: Values<'a>>(
        &self,
        values: Option<V>,
        of: &Sourced<'_, V::Chunk>,
    ) -> Result<(Option<V::Chunk>, ReadChunks)> {
        let Some(values) = values.filter(|_| matches!(of.sources[..], [CellSource::Below])) else {
            return Ok((None, Vec::new()));
        };
        let fresh = Fresh::new(values, &self.plan.pyramid);
        let chunk = fresh.effective(&of.part.piece.location, &of.part.pending)?;
        let read = fresh.into_read();
        Ok((chunk.map(std::rc::Rc::unwrap_or_clone), read))
    }

    /// The stored chunks that parts are read from, each once, with the numbers of the parts.
    pub(super) fn stored<C>(
        &self,
        listed: &Listed<'_, C>,
    ) -> Result<BTreeMap<(LayerId, Location), Vec<usize>>> {
        let mut found: BTreeMap<(LayerId, Location), Vec<usize>> = BTreeMap::new();
        let mut unsure = BTreeSet::new();
        for (number, of) in listed.parts.iter().enumerate() {
            for source in &of.sources {
                let CellSource::Stored(layer, at, ticks) = source else {
                    continue;
                };
                found.entry((*layer, *at)).or_default().push(number);
                if ticks.is_none() && self.plan.pyramid.base.mixed().is_none() {
                    unsure.insert((*layer, *at));
                }
            }
        }
        let unsure: Vec<(LayerId, Location)> = unsure.into_iter().collect();
        entries(self.chunks, &unsure, &mut |number, print| {
            if print.is_none() {
                found.remove(&unsure[number]);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Counts a stored chunk among those that were read, if it was found. One that the directory
    /// was found to have must be there.
    pub(super) fn count_read(
        &self,
        found: bool,
        (layer, at, ticks): StoredPlace<'_>,
        read: &AtomicU64,
    ) -> Result<()> {
        if !found && (ticks.is_some() || self.plan.pyramid.base.mixed().is_some()) {
            return Err(self.chunks.lost(layer, at));
        }
        read.fetch_add(u64::from(found), Ordering::Relaxed);
        Ok(())
    }

    /// The parts of the window that are out of date where they are read as stored, each once. Where
    /// that may be which event stands for a moment, it is all of what decides it.
    pub(super) fn stale(&self) -> Result<Vec<Window>> {
        let none = self.fresh
            || self.plan.read_layer().is_none()
            || self.parts.iter().all(|part| part.pending.is_empty());
        if none {
            return Ok(Vec::new());
        }
        let structure = self.chunks.grid.structure();
        let along = self.columns().and_then(|columns| columns.deciding());
        let window = along
            .as_ref()
            .map_or(self.plan.window, |along| self.plan.along(along));
        let mut bases = BTreeMap::new();
        let mut stale = BTreeSet::new();
        for (part, edge) in self
            .parts
            .iter()
            .flat_map(|part| part.pending.iter().map(move |edge| (part, edge)))
        {
            let changed = self.changed(part, edge, &mut bases)?;
            stale.extend(changed.and_then(|changed| structure.intersection(&changed, &window)));
        }
        if self.moment.is_some() && !stale.is_empty() {
            return Ok(vec![window]);
        }
        Ok(stale.into_iter().collect())
    }

    /// The cells of a part that what is pending changes.
    fn changed(
        &self,
        part: &WindowPart,
        edge: &Edge,
        bases: &mut BTreeMap<Location, Option<Location>>,
    ) -> Result<Option<Window>> {
        let (grid, structure, pyramid) = (
            self.chunks.grid,
            self.chunks.grid.structure(),
            &self.plan.pyramid,
        );
        // Aggregates below base data are about to go, as a whole, and then the base data shows.
        let base = match pyramid.base.mixed() == Some(edge.dimension) {
            false => None,
            true => match bases.get(&edge.parent) {
                Some(known) => *known,
                None => *bases
                    .entry(edge.parent)
                    .or_insert(self.chunks.base_over(&edge.parent, &pyramid.base)?),
            },
        };
        Ok(match base {
            Some(base) => {
                let place = structure.cover(&structure.chunk_window(&base), self.plan.levels());
                structure.intersection(&place, &structure.chunk_window(&part.piece.location))
            }
            None => dirty::stale_window(grid, edge)
                .map(|window| structure.cover(&window, self.plan.levels())),
        })
    }
}

/// The parts of a plan's window in which anything can be stored, placed within the window.
fn parts(chunks: ChunkReader<'_>, plan: &ReadPlan) -> Result<Vec<WindowPart>> {
    let (grid, structure) = (chunks.grid, chunks.grid.structure());
    let Some(populated) = plan.parts(structure) else {
        return Ok(Vec::new());
    };
    let mut pieces: Vec<Piece> = structure.split(&populated).collect();
    let along = plan.times.as_ref().map(|times| times.irregular.axis);
    for axis in (0..structure.rank()).filter(|axis| Some(*axis) != along) {
        let shift = populated.start()[axis].abs_diff(plan.window.start()[axis]);
        let shift = usize::try_from(shift).unwrap_or(usize::MAX);
        pieces
            .iter_mut()
            .for_each(|piece| piece.in_window[axis] += shift);
    }
    let base = &plan.pyramid.base;
    let whole = |piece: &Piece| {
        plan.times.as_ref().map_or(piece.location, |times| {
            times.whole(structure, &piece.location)
        })
    };
    let above = pieces
        .first()
        .is_some_and(|piece| whole(piece).levels() != base.finest());
    let marked = above && Marks::pend(grid, chunks.snapshot)?;
    let part = |piece: Piece| {
        let layers = [plan.layer.id()];
        let pending =
            || dirty::pending_under(grid, chunks.snapshot, (&whole(&piece), &layers), base);
        let mut pending = if marked { pending()? } else { Vec::new() };
        if let Some(times) = &plan.times {
            times.retain(&mut pending, &plan.pyramid);
        }
        Ok(WindowPart { piece, pending })
    };
    pieces.into_iter().map(part).collect()
}

/// Calls `visit` for each of some chunks, in their order, with what stands for it, if the directory
/// has it.
pub(super) fn entries(
    chunks: ChunkReader<'_>,
    of: &[(LayerId, Location)],
    visit: &mut dyn FnMut(usize, Option<Print>) -> Result<()>,
) -> Result<()> {
    look_up(chunks, of, |number, key, entry| {
        let print = |entry: &[u8]| match DirectoryEntry::decode(entry) {
            Ok(_) => Ok(Print::of_entry(key, entry)),
            Err(e) => Err(chunks.damaged(of[number].0, &of[number].1).because(e)),
        };
        visit(number, entry.map(print).transpose()?)
    })
}

/// Calls `visit` for each of some chunks, in their order, with its key and with its entry in the
/// directory, if it has one.
fn look_up(
    chunks: ChunkReader<'_>,
    of: &[(LayerId, Location)],
    mut visit: impl FnMut(usize, &[u8], Option<&[u8]>) -> Result<()>,
) -> Result<()> {
    for (number, page) in of.chunks(PAGE).enumerate() {
        let keys: Vec<Vec<u8>> = page
            .iter()
            .map(|(layer, at)| chunks.key(*layer, at))
            .collect();
        let visit = &mut |i: usize, entry: Option<&[u8]>| visit(number * PAGE + i, &keys[i], entry);
        chunks.snapshot.get_many(Space::Directory, &keys, visit)?;
    }
    Ok(())
}

/// What the directory says is stored for each part that is read from a chunk of cells of its own
/// place; nothing of others, nor where it says nothing. So a chunk that was decoded before is known
/// again.
pub(super) fn versions<C>(
    chunks: ChunkReader<'_>,
    parts: &[Sourced<'_, C>],
) -> Result<Vec<Option<Stored>>> {
    let mut versions = vec![None; parts.len()];
    let own = parts
        .iter()
        .enumerate()
        .filter_map(|(number, of)| match of.sources[..] {
            [CellSource::Stored(layer, at, None)] if at == of.part.piece.location => {
                Some((number, (layer, at)))
            }
            _ => None,
        });
    let (numbers, own): (Vec<usize>, Vec<(LayerId, Location)>) = own.unzip();
    look_up(chunks, &own, |number, key, entry| {
        versions[numbers[number]] = entry.and_then(|entry| Stored::new(key, entry));
        Ok(())
    })?;
    Ok(versions)
}
