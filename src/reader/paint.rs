//! The array of an answer: the cells of each source, in parallel, each straight into its place.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::interpolation::between;
use super::parts::{Boxed, KnownBox, KnownCells};
use super::plan::ReadPlan;
use super::query::{Coordinates, EventChoice, Freshness};
use super::sizes;
use super::sources::{CellSource, Listed, Lister, Sourced, WindowPart, versions};
use crate::array::{AnyTile, Array, Bounds, Cells, with_view};
use crate::codec::{self, BlobSpec, DecodeError};
use crate::error::{Error, Result};
use crate::grid::{Location, Tuple, Window};
use crate::kernel::{self, Chunk, Full, for_each_row};
use crate::key::{LayerId, Ticks};
use crate::kv::Snapshot;
use crate::parallel;
use crate::store::{
    BaseChunk, ChunkCache, ChunkReader, Grid, LayerChunks, LayerSpec, Stored, only,
};

/// How many blobs are asked for at once, at most, where they are on this machine.
const BLOBS_AT_ONCE: usize = 32;
/// In how many groups a thread then gets its blobs, so that none waits long for another.
const GROUPS_OF_THREAD: usize = 4;

pub(super) struct Painted {
    pub(super) array: Array,
    pub(super) known: KnownCells,
    pub(super) stale: Vec<Window>,
    pub(super) chunks_read: u64,
    pub(super) inexact: u64,
    /// Where the cells lie along an irregular dimension.
    pub(super) coordinates: Option<Coordinates>,
}

pub(super) fn fetch(
    grid: &Grid,
    snapshot: &dyn Snapshot,
    plan: &ReadPlan,
    freshness: Freshness,
) -> Result<Painted> {
    let lister = Lister::new(grid.chunk_reader(snapshot), plan, freshness)?;
    let lists = lister.lists(plan.decoded(lister.chunks))?;
    let (read, inexact) = (AtomicU64::new(lister.chosen_by()), AtomicU64::new(0));
    let (array, known) = match &plan.cut {
        Some(cut) => super::runs::fill(&lister, cut, &lists, (&read, &inexact))?,
        None => filled(&lister, &lists, (&read, &inexact))?,
    };
    let mut coordinates = lists
        .into_iter()
        .next()
        .and_then(|listed| listed.coordinates);
    if let (Some((events, _)), Some(times), Some(coordinates)) =
        (&lister.moment, &plan.times, &mut coordinates)
        && let (EventChoice::Moment { tick, .. }, [_, _]) = (times.when, &events[..])
    {
        coordinates.ticks = vec![tick];
    }
    let (stale, chunks_read) = (lister.stale()?, read.into_inner());
    Ok(Painted {
        array,
        known,
        stale,
        chunks_read,
        inexact: inexact.into_inner(),
        coordinates,
    })
}

/// The cells of all lists: of one, or what lies between those of two moments.
fn filled(
    lister: &Lister<'_>,
    lists: &[Listed<'_, LayerChunks>],
    (read, inexact): (&AtomicU64, &AtomicU64),
) -> Result<(Array, KnownCells)> {
    let fill = |listed: &Listed<'_, LayerChunks>| {
        let cached = Cached::of(lister, &listed.parts)?;
        Painter {
            lister,
            listed,
            cached,
            read,
            inexact,
        }
        .fill()
    };
    let mut filled = lists
        .iter()
        .map(fill)
        .collect::<Result<Vec<_>>>()?
        .into_iter();
    let share = lister.moment.as_ref().map_or(0.0, |(_, share)| *share);
    match (filled.next(), filled.next()) {
        (Some(low), None) => Ok(low),
        (Some(low), Some(high)) => Ok(between(
            (&low.0, &low.1.validity),
            (high.0, &high.1.validity),
            share,
            lister.plan.fill,
        )),
        (None, _) => Err(Error::invalid("there is nothing to read")),
    }
}

/// What the parts of a window have in the cache of decoded chunks.
struct Cached<'a> {
    cache: Option<&'a ChunkCache>,
    /// What is stored for each part, where it is looked for in the cache.
    versions: Vec<Option<Stored>>,
}

impl<'a> Cached<'a> {
    fn of<C>(lister: &Lister<'a>, parts: &[Sourced<'_, C>]) -> Result<Self> {
        let (chunks, grid) = (lister.chunks, lister.chunks.grid);
        let bytes =
            (parts.len() * grid.structure().chunk_cells() * grid.schema().dtype().size()) as u64;
        let plain = !lister.plan.read_layer().is_some_and(LayerSpec::is_mode);
        let cache = grid
            .store()
            .chunk_cache()
            .filter(|cache| plain && bytes <= cache.bytes() / 2);
        let versions = if cache.is_some() {
            versions(chunks, parts)?
        } else {
            Vec::new()
        };
        Ok(Self { cache, versions })
    }

    /// The cache, and what is stored for a part.
    fn version(&self, part: usize) -> Option<(&'a ChunkCache, &Stored)> {
        self.cache.zip(self.versions.get(part)?.as_ref())
    }
}

/// Fills an array from its sources.
struct Painter<'l, 'a> {
    lister: &'l Lister<'a>,
    listed: &'l Listed<'l, LayerChunks>,
    cached: Cached<'a>,
    read: &'l AtomicU64,
    inexact: &'l AtomicU64,
}

/// A box of a source's cells and the box of the answer that it becomes.
struct CopyBox<'t> {
    part: &'t WindowPart,
    /// Where it begins in the chunk, and how far it reaches.
    start: Tuple<usize>,
    shape: Tuple<usize>,
    /// Where it begins in the answer.
    to: Tuple<usize>,
}

/// A source, the number of its part, and what is copied from it, each with its number among all and
/// its tile.
struct Painting<'t, 'o> {
    source: &'t CellSource<LayerChunks>,
    number: usize,
    targets: Vec<(usize, &'t CopyBox<'t>, AnyTile<'o>)>,
}

/// A stored chunk that is decoded into a tile, which has a number among all.
struct Straight<'t, 'o> {
    number: usize,
    /// The number of its part.
    of: usize,
    at: &'t Location,
    ticks: Option<&'t Ticks>,
    target: &'t CopyBox<'t>,
    tile: AnyTile<'o>,
    /// The chunk, if it is kept decoded.
    known: Option<Arc<Vec<Cells>>>,
    /// What is known of the box once it is decoded.
    part: Option<KnownBox>,
}

/// What cells are copied from.
enum HeldCells<'c> {
    Base(BaseChunk),
    Layer(&'c LayerSpec, Cow<'c, Chunk>),
}

/// Disjoint boxes of a new array.
pub(super) fn tiles<'a>(array: &'a mut Array, boxes: &[Bounds]) -> Result<Vec<AnyTile<'a>>> {
    AnyTile::split(array, boxes)
        .map_err(|e| Error::invalid("the pieces of a window are disjoint").because(e))
}

impl<'l, 'a> Painter<'l, 'a> {
    /// The array of a list, and what is known of its cells. What several parts are copied from is
    /// read once.
    fn fill(&self) -> Result<(Array, KnownCells)> {
        let (plan, listed) = (self.lister.plan, self.listed);
        let shape = self.shape()?;
        self.read.fetch_add(
            listed.parts.iter().map(|of| of.read.len() as u64).sum(),
            Ordering::Relaxed,
        );
        let mut targets: Vec<CopyBox<'_>> = Vec::with_capacity(listed.parts.len());
        let coordinates = listed.coordinates.as_ref();
        let counts: Vec<usize> = listed
            .sources()
            .map(|(_, part, source)| add_targets(part, source, coordinates, &mut targets))
            .collect();
        let bounds = |target: &CopyBox<'_>| Bounds {
            start: target.to.to_vec(),
            shape: target.shape.to_vec(),
        };
        let boxes: Vec<Bounds> = targets.iter().map(bounds).collect();
        // What the targets cover they write, with data or without: only what lies beside them is
        // written here. Zeros come with the memory.
        let covered = boxes
            .iter()
            .map(|at| at.shape.iter().product::<usize>())
            .sum::<usize>()
            == shape.iter().product::<usize>();
        let mut array = Array::filled(plan.dtype, &shape, if covered { 0.0 } else { plan.fill });
        let mut parts: Vec<KnownBox> = boxes.iter().map(|_| KnownBox::Empty).collect();
        if !boxes.is_empty() {
            let (straight, work) = self.works((&targets, &counts), tiles(&mut array, &boxes)?);
            let painted = parallel::map_owned(work, |work| self.paint(work))?.into_iter();
            // Where each waits for an answer, all that a thread is to get are asked for at once.
            let size = match self.lister.chunks.snapshot.is_remote() {
                true => parallel::group_size(straight.len(), 1),
                false => parallel::group_size(straight.len(), GROUPS_OF_THREAD).min(BLOBS_AT_ONCE),
            };
            let straight =
                parallel::map_groups(straight, size, |group| self.paint_straight(group))?;
            let painted = painted.chain(straight);
            painted
                .flatten()
                .for_each(|(number, part)| parts[number] = part);
        }
        let known = KnownCells::of(plan, &shape, &boxes, &parts);
        Ok((array, known))
    }

    /// The shape of the array.
    fn shape(&self) -> Result<Vec<usize>> {
        let plan = self.lister.plan;
        let Some(coordinates) = &self.listed.coordinates else {
            return Ok(sizes(&plan.window.shape()));
        };
        plan.check_events(coordinates.ticks.len())?;
        let mut shape = sizes(&plan.window.along(coordinates.axis, 0, 1).shape());
        shape[coordinates.axis] = coordinates.ticks.len();
        Ok(shape)
    }

    /// The sources with the tiles of their targets: those that are decoded straight into one, and
    /// the others. What several parts are copied from comes once.
    fn works<'s, 'o>(
        &'s self,
        (targets, counts): (&'s [CopyBox<'s>], &[usize]),
        tiles: Vec<AnyTile<'o>>,
    ) -> (Vec<Straight<'s, 'o>>, Vec<Painting<'s, 'o>>) {
        let read = self.lister.plan.read_layer();
        let is_plain = |layer: LayerId| read.is_none_or(|read| !read.is_mode() && layer == read.id);
        let mut tiles = targets
            .iter()
            .zip(tiles)
            .enumerate()
            .map(|(number, (target, tile))| (number, target, tile));
        let (mut straight, mut works) = (Vec::with_capacity(counts.len()), Vec::new());
        let mut shared: BTreeMap<(LayerId, Location), usize> = BTreeMap::new();
        for ((of, part, source), count) in self.listed.sources().zip(counts) {
            let coarser = match source {
                CellSource::Stored(layer, at, None) if *at != part.piece.location => {
                    Some((*layer, *at))
                }
                _ => None,
            };
            match (source, coarser.and_then(|from| shared.get(&from).copied())) {
                (CellSource::Stored(layer, at, ticks), None)
                    if coarser.is_none() && *count == 1 && is_plain(*layer) =>
                {
                    straight.extend(tiles.next().map(|(number, target, tile)| Straight {
                        number,
                        of,
                        at,
                        ticks: ticks.as_ref(),
                        target,
                        tile,
                        known: None,
                        part: None,
                    }));
                }
                (_, None) => {
                    shared.extend(coarser.map(|from| (from, works.len())));
                    works.push(Painting {
                        source,
                        number: of,
                        targets: tiles.by_ref().take(*count).collect(),
                    });
                }
                (_, Some(known)) => works[known].targets.extend(tiles.by_ref().take(*count)),
            }
        }
        (straight, works)
    }

    /// Decodes boxes of stored chunks straight into their tiles, and says what is known of each.
    /// Those that were decoded before, or were read not long ago, are decoded whole.
    fn paint_straight(&self, mut boxes: Vec<Straight<'_, '_>>) -> Result<Vec<(usize, KnownBox)>> {
        let (chunks, plan) = (self.lister.chunks, self.lister.plan);
        let layer = plan.read_layer().map_or(LayerId::BASE, |layer| layer.id);
        let (planes, least) = chunks.planes(layer);
        for of in &mut boxes {
            of.known = self
                .cached
                .version(of.of)
                .and_then(|(cache, version)| cache.get(version));
        }
        let unknown: Vec<usize> = (0..boxes.len())
            .filter(|number| boxes[*number].known.is_none())
            .collect();
        let places: Vec<_> = unknown
            .iter()
            .map(|number| (boxes[*number].at, boxes[*number].ticks))
            .collect();
        chunks.with_blobs(layer, &places, &mut |number, key, blob| {
            let of = &mut boxes[unknown[number]];
            let shape = chunks.shape(of.ticks);
            let spec = BlobSpec::new(&shape, &planes, least)?;
            match self
                .cached
                .version(of.of)
                .filter(|(cache, version)| cache.wants(version))
            {
                Some((cache, version)) => {
                    let chunk = Arc::new(codec::decode(key, blob, &spec)?);
                    if version.is(blob) {
                        cache.keep(version.clone(), Arc::clone(&chunk));
                    }
                    of.known = Some(chunk);
                }
                None => {
                    let weight = plan.weight(chunks.grid, layer, of.at);
                    of.part = Some(plan.wanted.decode(
                        (key, blob),
                        &spec,
                        weight,
                        &of.target.start,
                        &mut of.tile,
                    )?);
                }
            }
            Ok(())
        })?;
        let told = |mut of: Straight<'_, '_>| {
            self.lister.count_read(
                of.known.is_some() || of.part.is_some(),
                (layer, of.at, of.ticks),
                self.read,
            )?;
            let part = match (&of.known, of.part) {
                (Some(chunk), _) => {
                    let shape = chunks.shape(of.ticks);
                    let boxed = Boxed {
                        of: &shape,
                        start: &of.target.start,
                        shape: &of.target.shape,
                    };
                    let (values, others) = chunk
                        .split_first()
                        .ok_or_else(|| chunks.lost(layer, of.at))?;
                    copy_box_of(values, boxed, &mut of.tile)?;
                    plan.wanted
                        .of_planes(others, plan.weight(chunks.grid, layer, of.at), boxed)
                }
                (None, part) => part.unwrap_or(KnownBox::Empty),
            };
            Ok((of.number, part.blank(&mut of.tile, plan.fill)))
        };
        boxes.into_iter().map(told).collect()
    }

    /// Copies the cells of a source into their tiles, and says what is known of each.
    fn paint(
        &self,
        Painting {
            source,
            number,
            targets,
        }: Painting<'_, '_>,
    ) -> Result<Vec<(usize, KnownBox)>> {
        let plan = self.lister.plan;
        let held = self.held(source, number)?;
        let lay = |(to, target, mut tile): (usize, &CopyBox<'_>, AnyTile<'_>)| {
            let part = held.as_ref().map_or(Ok(KnownBox::Empty), |held| {
                self.lay(held, source, target, &mut tile)
            })?;
            Ok((to, part.blank(&mut tile, plan.fill)))
        };
        parallel::map_owned(targets, lay)
    }

    /// What a source has, if anything is there, as the layer that is read makes it.
    fn held<'s>(
        &self,
        source: &'s CellSource<LayerChunks>,
        number: usize,
    ) -> Result<Option<HeldCells<'s>>>
    where
        'a: 's,
    {
        let (chunks, plan) = (self.lister.chunks, self.lister.plan);
        let held = |layer, chunk: Option<LayerChunks>| -> Result<_> {
            Ok(chunk
                .map(only)
                .transpose()?
                .map(|chunk| HeldCells::Layer(layer, Cow::Owned(chunk))))
        };
        let held = match (source, plan.read_layer()) {
            (CellSource::Stored(layer, at, ticks), read) => {
                let found = match read {
                    None => chunks.base(at, ticks.as_ref())?.map(HeldCells::Base),
                    Some(read) => held(read, chunks.lifted(*layer, at, ticks.as_ref())?)?,
                };
                self.lister
                    .count_read(found.is_some(), (*layer, at, ticks.as_ref()), self.read)?;
                found
            }
            (CellSource::Below, Some(layer)) => {
                let (chunk, read) = self
                    .lister
                    .below(plan.decoded(chunks), &self.listed.parts[number])?;
                self.read.fetch_add(read.len() as u64, Ordering::Relaxed);
                held(layer, chunk)?
            }
            (CellSource::Computed(events), Some(layer)) => events
                .planes
                .first()
                .map(|chunk| HeldCells::Layer(layer, Cow::Borrowed(chunk))),
            (CellSource::Below | CellSource::Computed(_), None) => {
                return Err(Error::invalid("base cells are read, not computed"));
            }
        };
        Ok(held)
    }

    /// Copies a box of what is held into its tile; of a coarser chunk as it is copied down along
    /// the refinable dimension.
    fn lay(
        &self,
        held: &HeldCells<'_>,
        source: &CellSource<LayerChunks>,
        target: &CopyBox<'_>,
        tile: &mut AnyTile<'_>,
    ) -> Result<KnownBox> {
        let (chunks, at) = (self.lister.chunks, &target.part.piece.location);
        let spread;
        let held = match source {
            CellSource::Stored(_, from, None) if from != at => {
                spread = held.spread(chunks, from, at)?;
                &spread
            }
            _ => held,
        };
        let shape = chunks.grid.shape_of(held.values().len());
        let boxed = Boxed {
            of: &shape,
            start: &target.start,
            shape: &target.shape,
        };
        copy_box_of(held.values(), boxed, tile)?;
        Ok(match held {
            HeldCells::Base(chunk) => self.lister.plan.wanted.of_base(chunk, boxed),
            HeldCells::Layer(layer, chunk) => {
                let full = chunks.grid.full(at.levels());
                self.inexact
                    .fetch_add(count_inexact(layer, chunk, full, boxed), Ordering::Relaxed);
                self.lister.plan.wanted.of_layer(chunk, full.0, boxed)
            }
        })
    }
}

impl HeldCells<'_> {
    fn values(&self) -> &Cells {
        match self {
            HeldCells::Base(chunk) => &chunk.cells,
            HeldCells::Layer(_, chunk) => &chunk.values,
        }
    }

    /// The same copied down along the refinable dimension.
    fn spread(&self, chunks: ChunkReader<'_>, from: &Location, at: &Location) -> Result<Self> {
        Ok(match self {
            HeldCells::Base(chunk) => HeldCells::Base(chunks.spread_base(chunk, from, at)),
            HeldCells::Layer(layer, chunk) => HeldCells::Layer(
                layer,
                Cow::Owned(only(chunks.spread(
                    std::slice::from_ref(chunk.as_ref()),
                    from,
                    at,
                )?)?),
            ),
        })
    }
}

/// Adds the boxes of a source's cells in an answer: all of them, or of events those that follow
/// each other in both. Gives how many they are.
fn add_targets<'t>(
    part: &'t WindowPart,
    source: &CellSource<LayerChunks>,
    coordinates: Option<&Coordinates>,
    targets: &mut Vec<CopyBox<'t>>,
) -> usize {
    let (piece, before) = (&part.piece, targets.len());
    let whole = CopyBox {
        part,
        start: piece.in_chunk,
        shape: piece.shape,
        to: piece.in_window,
    };
    let Some((coordinates, ticks)) = coordinates.zip(source.ticks()) else {
        targets.push(whole);
        return 1;
    };
    let axis = coordinates.axis;
    for (from, tick) in ticks.iter().enumerate() {
        let Ok(to) = coordinates.ticks.binary_search(tick) else {
            continue;
        };
        match targets[before..].last_mut() {
            Some(last)
                if last.start[axis] + last.shape[axis] == from
                    && last.to[axis] + last.shape[axis] == to =>
            {
                last.shape[axis] += 1;
            }
            _ => {
                let mut target = CopyBox { ..whole };
                (target.start[axis], target.shape[axis], target.to[axis]) = (from, 1, to);
                targets.push(target);
            }
        }
    }
    targets.len() - before
}

/// Counts the cells of a box of a chunk whose value may be another, as the other planes of the
/// layer say.
pub(super) fn count_inexact(layer: &LayerSpec, chunk: &Chunk, full: Full, at: Boxed<'_>) -> u64 {
    let Some(inexact) = (if layer.is_mode() {
        kernel::inexact(chunk, full)
    } else {
        None
    }) else {
        return 0;
    };
    let (zero, row) = (vec![0; at.of.len()], at.shape[at.shape.len() - 1]);
    let mut cells = 0;
    for_each_row((at.of, at.start), (at.shape, &zero), at.shape, |from, _| {
        cells += inexact[from..from + row]
            .iter()
            .filter(|inexact| **inexact)
            .count() as u64;
    });
    cells
}

/// Copies a box of cells into a tile.
pub(super) fn copy_box_of(values: &Cells, at: Boxed<'_>, tile: &mut AnyTile<'_>) -> Result<()> {
    let (zero, row) = (vec![0; at.of.len()], at.shape[at.shape.len() - 1]);
    with_view!(AnyTile, tile, |tile| {
        let other = || {
            Error::corrupt("a chunk is of another type")
                .because(DecodeError::Request { reason: "type" })
        };
        let cells = tile.of_type(values).ok_or_else(other)?;
        // Within the box itself a row begins where so many before it end.
        let place =
            |from: usize, to: usize| tile.row(to / row).copy_from_slice(&cells[from..from + row]);
        for_each_row((at.of, at.start), (at.shape, &zero), at.shape, place);
    });
    Ok(())
}
