//! Puts: split at chunk borders, merge, encode, commit chunks and marks together.

mod batch;
mod cells;
mod clean;
mod clear;
mod events;
mod forecast;
mod levels;
mod runs;
mod targets;
mod verbs;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;
use std::sync::{Arc, Mutex, OnceLock};

use crate::aggregate::{self, AggregationPlan, ChunkChange, Leaf, Propagation};
use crate::array::{Cell, Cells, with_dtype, with_view};
use crate::dirty::{self, Edge, Marks, parents};
use crate::error::{Error, Result};
use crate::feed::{self, Changed};
use crate::grid::{Levels, Location, Piece, Window};
use crate::key::{LayerId, Ticks, meta};
use crate::kv::{self, Snapshot, Space};
use crate::parallel;
use crate::store::{
    Base, BaseChunk, ChunkContent, ChunkReader, ChunkWrite, Grid, Pyramid, State, base_fill, lock,
    write_reach, write_state,
};
pub use batch::{Batch, Overlap};
use batch::{Content, Put};
use cells::{Blank, PutArray, Target, is_blank, typed};
pub use clean::Cleaned;
pub(crate) use clear::{settle_bounds, wipe};
pub use forecast::Forecast;
pub(crate) use levels::check_levels;
use targets::PutPlaces;

/// Edges of a rising pyramid that are carried up in the commit itself, at most.
const INLINE_EDGES_MAX: usize = 256;

/// What a commit did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Commit {
    /// The number of this batch: greater than that of every batch that was begun before.
    pub sequence: u64,
    /// Base chunks written or deleted.
    pub chunks: u64,
    /// Aggregate chunks written or deleted before the commit returned, counting each layer's.
    pub aggregates: u64,
    /// The bytes of all blobs written.
    pub bytes: u64,
    /// Marks left for aggregation.
    pub marks: u64,
}

impl AddAssign for Commit {
    fn add_assign(&mut self, other: Self) {
        self.chunks += other.chunks;
        self.aggregates += other.aggregates;
        self.bytes += other.bytes;
        self.marks += other.marks;
    }
}

/// What a writer adds to a batch.
#[derive(Debug, Default)]
struct Added {
    chunks: u64,
    aggregates: u64,
    bytes: u64,
    /// What must be marked.
    marks: Vec<(Edge, Option<Ticks>)>,
    changed: Option<Changed>,
    /// Whether all that was there is gone, marks included.
    wiped: bool,
}

/// Writes, the keys of the directory that they were computed from, where aggregates changed, and
/// what is left to be marked where they did not.
type RunOutcome = (
    Vec<ChunkWrite>,
    Vec<Vec<u8>>,
    Vec<Window>,
    Option<Vec<(Edge, Option<Ticks>)>>,
);

/// Puts of a batch into one grid, against one snapshot.
struct PutWriter<'b, 'a> {
    grid: &'b Grid,
    chunks: ChunkReader<'b>,
    puts: Vec<&'b Put<'a>>,
    old: State,
    new: State,
    base: Base,
    places: PutPlaces,
    /// The chunks that have changed, and the buckets, with the ticks of the events that have.
    changed: Mutex<BTreeMap<Location, Option<Ticks>>>,
}

impl<'b, 'a> PutWriter<'b, 'a> {
    fn new(grid: &'b Grid, snapshot: &'b dyn Snapshot, puts: Vec<&'b Put<'a>>) -> Result<Self> {
        let (chunks, structure) = (grid.chunk_reader(snapshot), grid.structure());
        let old = grid.state(snapshot)?;
        let mut new = old;
        for put in &puts {
            check_levels(grid, new.base.as_ref(), &put.window, put.array().is_some())?;
            new = match put.content {
                Content::Array(..) => new
                    .grown(structure, &put.window)
                    .map_err(|e| grid.blame(e))?,
                Content::Nothing { shrink: true } => clear::shrunk(structure, new, &put.window),
                Content::Nothing { shrink: false } => new,
            };
        }
        let base = match (new.base.or(old.base), puts.first()) {
            (Some(base), _) => base,
            (None, Some(put)) => {
                Base::new(structure, put.window.levels(structure.dimensions().len()))
            }
            (None, None) => return Err(Error::invalid("a batch without puts writes nothing")),
        };
        // What an earlier removal takes away whole, a later one does not find.
        let mut gone = BTreeSet::new();
        let pieces_of = |put: &&Put<'a>| match put.content {
            Content::Array(..) => Ok(put.pieces().collect()),
            Content::Nothing { .. } => clear::pieces(chunks, &old, &put.window, &mut gone),
        };
        let pieces: Vec<Vec<Piece>> = puts.iter().map(pieces_of).collect::<Result<_>>()?;
        let base = pieces
            .iter()
            .flatten()
            .fold(base, |base, piece| base.with(piece.location.levels));
        let places = PutPlaces::new(chunks, &base, old.base.as_ref(), pieces, |number, piece| {
            has_data(grid, puts[number], piece)
        })?;
        // Cells are copied down to every level between.
        let base = places
            .leaves
            .iter()
            .fold(base, |base, at| base.with(at.levels));
        new.base = new.base.map(|_| base);
        if let (Some(bounds), Some(base)) = (new.bounds, new.base) {
            new.bounds = Some(structure.cover(&bounds, base.cells()));
        }
        Ok(Self {
            grid,
            chunks,
            puts,
            old,
            new,
            base,
            places,
            changed: Mutex::default(),
        })
    }

    /// Adds all that the puts change to a batch. `inline` says whether aggregates may be brought up
    /// to date in it; where they are not, it is left to marks.
    fn write(&self, batch: &mut kv::Batch, inline: bool) -> Result<Added> {
        write_state(batch, self.grid.id(), &self.old, &self.new)?;
        self.places.expect(self.chunks, &self.base, batch)?;
        if self
            .puts
            .iter()
            .any(|put| matches!(put.content, Content::Nothing { shrink: true }))
        {
            clear::expect_alone(self.chunks, batch, &self.new)?;
        }
        let finest = self.base.cells();
        let put = || self.puts.iter().map(|put| put.window).collect::<Vec<_>>();
        let Some((bounds, pyramid)) = self.new.bounds.zip(self.new.pyramid(self.grid.structure()))
        else {
            clear::wipe(self.grid, self.chunks.snapshot, batch)?;
            let summit = self.old.summit(self.grid.structure());
            let to = summit.unwrap_or(self.base.coarsest());
            let changed = Some(Changed {
                base: put(),
                aggregates: Vec::new(),
                to,
                finest,
            });
            return Ok(Added {
                wiped: true,
                chunks: self.places.leaves.len() as u64,
                changed,
                ..Added::default()
            });
        };
        let recut = self.recut(&pyramid)?;
        let (writes, seen, mut aggregates, marks) =
            match if inline { self.raised(&pyramid)? } else { None } {
                Some(raised) => self.inline(batch, raised, (&pyramid, &bounds))?,
                None => self.marking(batch, &pyramid)?,
            };
        seen.into_iter()
            .for_each(|key| batch.expect_key(Space::Directory, key));
        let of_base: Vec<Levels> = writes
            .iter()
            .filter(|write| write.layer == LayerId::BASE)
            .map(|write| write.at.levels)
            .collect();
        let mut done = Added {
            chunks: of_base.len() as u64,
            ..Added::default()
        };
        done.aggregates = (writes.len() - of_base.len()) as u64;
        if !writes.is_empty() || !recut.is_empty() {
            let marking = self.grid.layers().is_empty() || marks.is_some();
            let mut to = if marking {
                self.shown_up_to(&of_base)
            } else {
                pyramid.top
            };
            if !recut.is_empty() {
                to = to.coarser_of(&pyramid.built);
                aggregates.extend(recut);
            }
            let summit = self.new.summit(self.grid.structure());
            let to = summit.map_or(to, |summit| feed::reached(to, pyramid.top, summit));
            let mut base = if of_base.is_empty() {
                Vec::new()
            } else {
                put()
            };
            base.extend(
                self.places
                    .over
                    .iter()
                    .map(|at| self.grid.structure().chunk_window(at)),
            );
            done.changed = Some(Changed {
                base,
                aggregates,
                to,
                finest,
            });
        }
        done.bytes = aggregate::write(self.chunks, batch, writes)?.bytes;
        done.marks = marks.unwrap_or_default();
        Ok(done)
    }

    /// The edges by which the pyramid rises, if aggregates can be computed in the commit itself.
    fn raised(&self, pyramid: &Pyramid) -> Result<Option<Vec<Edge>>> {
        let Pyramid { built, top, .. } = pyramid;
        if self.grid.layers().is_empty() || !top.covers(built) {
            return Ok(None);
        }
        if top == built {
            return Ok(Some(Vec::new()));
        }
        let mut raised = aggregate::raise_edges(self.grid, self.chunks.snapshot, pyramid)?;
        // What goes has no place above it along the refinable dimension.
        let of = |edge: &Edge| {
            self.grid
                .structure()
                .child(&edge.parent, edge.dimension, edge.child)
        };
        let goes = |edge: &Edge| of(edge).is_some_and(|child| self.places.left.contains(&child));
        raised.retain(|edge| self.base.mixed() != Some(edge.dimension) || !goes(edge));
        Ok(Some(raised).filter(|raised| raised.len() <= INLINE_EDGES_MAX))
    }

    /// Writes base data and all aggregates above it.
    fn inline(
        &self,
        batch: &mut kv::Batch,
        raised: Vec<Edge>,
        (pyramid, bounds): (&Pyramid, &Window),
    ) -> Result<RunOutcome> {
        let edges: Vec<Edge> = self
            .edges()
            .chain(self.edges_of_left())
            .chain(raised)
            .collect();
        let stale = dirty::stale_windows(self.grid, &edges);
        let plan = AggregationPlan::new(self.chunks, edges, pyramid)?;
        let plan = plan
            .with_split(self.places.split.iter().copied().collect())
            .with_put(&self.places.order);
        batch.expect_key(Space::Meta, meta::reach(self.grid.id()));
        if pyramid.top != pyramid.built {
            aggregate::expect_raise(self.grid, batch, pyramid);
            write_reach(batch, self.grid.id(), pyramid.top)?;
        }
        plan.expect(self.chunks, &self.base, batch);
        let (writes, seen) = self.run(&plan, pyramid, false)?;
        let bounds = (bounds, pyramid.top);
        let aggregates = aggregate::changed_windows(self.chunks, &plan, stale, (&writes, bounds))?;
        Ok((writes, seen, aggregates, None))
    }

    /// Writes base data, and finds what must be marked above it.
    fn marking(&self, batch: &mut kv::Batch, pyramid: &Pyramid) -> Result<RunOutcome> {
        let plan = AggregationPlan::default()
            .with_split(self.places.split.iter().copied().collect())
            .with_put(&self.places.order);
        let raised = self.raise_to_split(batch, pyramid)?;
        let (writes, seen) = self.run(&plan, pyramid, true)?;
        if self.grid.layers().is_empty() {
            return Ok((writes, seen, Vec::new(), None));
        }
        let mut marks = self.changed_edges();
        marks.extend(self.edges_of_left().chain(raised).map(|edge| (edge, None)));
        Ok((writes, seen, Vec::new(), Some(marks)))
    }

    fn run(
        &self,
        plan: &AggregationPlan,
        pyramid: &Pyramid,
        marks: bool,
    ) -> Result<(Vec<ChunkWrite>, Vec<Vec<u8>>)> {
        let run = Propagation::new(self.chunks, plan, pyramid);
        self.split(&run, marks)?;
        for at in &self.places.left {
            run.emit(self.chunks.without(at));
        }
        run.run(&|run, leaf| self.leaf(run, leaf, marks))
    }

    /// Where layers are read that were not before, or are read no more, since what counts as put is
    /// another box: chunks that are out of date may stand there.
    fn recut(&self, pyramid: &Pyramid) -> Result<Vec<Window>> {
        let (structure, cells) = (self.grid.structure(), self.base.cells());
        let cover = |bounds: Window| structure.cover(&bounds, cells);
        let (Some(old), Some(new)) = (self.old.bounds.map(cover), self.new.bounds.map(cover))
        else {
            return Ok(Vec::new());
        };
        // Aggregates are inherited from as far up as base data stands.
        let inherited = self
            .old
            .base
            .is_some_and(|old| old.coarsest() != self.base.coarsest());
        let shrinks = structure.intersection(&old, &new) != Some(old);
        if pyramid.built == pyramid.base.finest()
            || old == new && !inherited
            || !shrinks && !Marks::pend(self.grid, self.chunks.snapshot)?
        {
            return Ok(Vec::new());
        }
        Ok(if inherited {
            vec![structure.union(&old, &new)]
        } else {
            [old.without(&new), new.without(&old)].concat()
        })
    }

    /// The levels up to which what changes shows at once, where the rest is left to marks: base
    /// data, chunks that are split, which stand in their layers until they are aggregated, and
    /// places from which leftovers go.
    fn shown_up_to(&self, of_base: &[Levels]) -> Levels {
        let others = self
            .places
            .split
            .iter()
            .chain(&self.places.over)
            .map(|at| at.levels);
        of_base
            .iter()
            .copied()
            .chain(others)
            .fold(self.base.finest(), |to, levels| to.coarser_of(&levels))
    }

    /// The edges above every place where a parent must look again, with the ticks that changed in a
    /// bucket for those who derive along other dimensions.
    fn changed_edges(&self) -> Vec<(Edge, Option<Ticks>)> {
        let mut changed = lock(&self.changed).clone();
        // A part of a split chunk may hold nothing now. The chunk itself, and those between it and
        // the finer data, are aggregates from now on or gone, and so is what was left of finer data
        // where nothing is put.
        let copied = self
            .places
            .leaves
            .iter()
            .filter(|at| self.split_above(at).is_some());
        let others = copied
            .chain(&self.places.split)
            .chain(&self.places.over)
            .copied();
        changed.extend(others.map(|at| (at, None)));
        let edges = |(at, ticks): (&Location, &Option<Ticks>)| {
            let ticks = |edge: &Edge| {
                let along = Some(edge.dimension) == self.base.irregular();
                ticks.clone().filter(|_| !along)
            };
            parents(self.grid, at, None)
                .into_iter()
                .map(|edge| (edge, ticks(&edge)))
                .collect::<Vec<_>>()
        };
        changed.iter().flat_map(edges).collect()
    }

    /// The edges above aggregates that go, so far as others than base data in their place derive
    /// from them.
    fn edges_of_left(&self) -> impl Iterator<Item = Edge> {
        let mixed = self.base.mixed();
        let edges = self
            .places
            .left
            .iter()
            .flat_map(move |at| parents(self.grid, at, mixed));
        edges.filter(move |edge| Some(edge.dimension) != mixed)
    }

    /// The edges above every base chunk that is written.
    fn edges(&self) -> impl Iterator<Item = Edge> {
        self.places
            .order
            .iter()
            .flat_map(|at| parents(self.grid, at, None))
    }

    /// Lets the pyramid reach up to the chunks that are split, so that the aggregates in their
    /// places can be read. Gives what must be marked for it.
    fn raise_to_split(&self, batch: &mut kv::Batch, pyramid: &Pyramid) -> Result<Vec<Edge>> {
        let reach = self
            .places
            .split
            .iter()
            .fold(pyramid.built, |reach, at| reach.coarser_of(&at.levels));
        if reach == pyramid.built || self.grid.layers().is_empty() {
            return Ok(Vec::new());
        }
        batch.expect_key(Space::Meta, meta::reach(self.grid.id()));
        let raised = Pyramid {
            top: reach,
            ..*pyramid
        };
        aggregate::expect_raise(self.grid, batch, &raised);
        write_reach(batch, self.grid.id(), reach)?;
        aggregate::raise_edges(self.grid, self.chunks.snapshot, &raised)
    }

    /// Takes the split chunks out of the base. Where marks are left, the old chunk goes into every
    /// layer until then.
    fn split(&self, run: &Propagation<'_>, marks: bool) -> Result<()> {
        let splits: Vec<Location> = self.places.split.iter().copied().collect();
        let split = |at: &Location| {
            if self.base.has(at.levels) && self.chunks.exists(LayerId::BASE, at)? {
                self.emit(run, at, ChunkContent::Nothing);
            }
            let chunk = self.content(at)?;
            if marks && !is_blank(&chunk, self.grid.schema()) {
                run.emit(
                    self.chunks
                        .encode(at, &self.chunks.lift(&chunk, at.levels)?, None),
                );
            }
            Ok(())
        };
        parallel::map(&splits, split).map(drop)
    }

    /// The cells at a place after the batch: those that were there, or were copied down when a
    /// coarser chunk was split, with the pieces of the puts over them.
    fn content(&self, at: &Location) -> Result<Arc<BaseChunk>> {
        let cell = self.places.contents.get(at);
        if let Some(known) = cell.and_then(OnceLock::get) {
            return Ok(Arc::clone(known));
        }
        let pieces = self.places.pieces.get(at).map_or(&[][..], Vec::as_slice);
        let existed = self.base.has(at.levels) && self.chunks.exists(LayerId::BASE, at)?;
        let old = if self.covers(pieces) {
            None
        } else if existed {
            self.chunks.base(at, None)?
        } else {
            self.inherited(at)?
        };
        let chunk = match old {
            Some(old) if pieces.is_empty() => Arc::new(old),
            old => Arc::new(self.merge(old, pieces)?),
        };
        Ok(cell.map_or_else(
            || Arc::clone(&chunk),
            |cell| Arc::clone(cell.get_or_init(|| Arc::clone(&chunk))),
        ))
    }

    /// The split chunk right above a place.
    fn split_above(&self, at: &Location) -> Option<Location> {
        let parent = self
            .base
            .refinable()
            .and_then(|d| self.grid.structure().parent(at, d))
            .map(|(parent, _)| parent);
        parent.filter(|parent| self.places.split.contains(parent))
    }

    /// What a place gets of a chunk above it that is split.
    fn inherited(&self, at: &Location) -> Result<Option<BaseChunk>> {
        match self.split_above(at) {
            Some(parent) => Ok(Some(self.chunks.spread_base(
                self.content(&parent)?.as_ref(),
                &parent,
                at,
            ))),
            None => Ok(None),
        }
    }

    /// Computes a base chunk and emits its write. `plain` leaves out what only aggregation needs.
    fn leaf(&self, run: &Propagation<'_>, leaf: &Leaf, plain: bool) -> Result<ChunkChange> {
        let at = &leaf.at;
        if !self.places.leaves.contains(at) {
            if self.places.left.contains(at) {
                return Ok(ChunkChange::Gone);
            }
            return aggregate::source(self.chunks, &self.base, run, leaf, None);
        }
        if self.base.irregular().is_some() {
            return self.bucket_leaf(run, leaf);
        }
        let chunk = self.content(at)?;
        if is_blank(&chunk, self.grid.schema()) {
            let existed = self.base.has(at.levels) && self.chunks.exists(LayerId::BASE, at)?;
            if existed {
                self.emit(run, at, ChunkContent::Nothing);
            }
            let gone = existed || self.split_above(at).is_some() || self.places.over.contains(at);
            return Ok(if gone {
                ChunkChange::Gone
            } else {
                ChunkChange::Same
            });
        }
        let (blob, lifted) = rayon::join(
            || self.chunks.encode_base(at, &chunk, None),
            || {
                (!plain)
                    .then(|| self.chunks.lift(&chunk, at.levels))
                    .transpose()
            },
        );
        self.emit(run, at, ChunkContent::Cells(blob));
        Ok(lifted?.map_or(ChunkChange::Same, ChunkChange::Now))
    }

    /// Emits the write of a base chunk.
    fn emit(&self, run: &Propagation<'_>, at: &Location, what: ChunkContent) {
        lock(&self.changed).insert(*at, None);
        let (layer, at) = (LayerId::BASE, *at);
        run.emit([ChunkWrite { layer, at, what }]);
    }

    /// Whether nothing of the old chunk shows through, nor is asked for: one piece replaces it, or
    /// holds it whole without a hole.
    fn covers(&self, pieces: &[(usize, Piece)]) -> bool {
        let shape = self.grid.structure().chunk_shape();
        let asks = |(number, _): &(usize, Piece)| self.puts[*number].overlap() == Overlap::Refuse;
        !pieces.iter().any(asks)
            && pieces.iter().any(|(number, piece)| {
                piece.shape == shape
                    && match self.puts[*number].overlap() {
                        Overlap::Replace => true,
                        Overlap::Merge => !self.has_holes(*number, piece),
                        Overlap::Keep | Overlap::Refuse => false,
                    }
            })
    }

    fn has_holes(&self, number: usize, piece: &Piece) -> bool {
        let (nodata, put) = (self.grid.schema().nodata(), self.puts[number]);
        put.array().is_none_or(|array| {
            with_view!(ArrayView, array, |array| PutArray {
                array,
                mask: put.mask.as_ref()
            }
            .has_holes(piece, nodata.map(Cell::from_f64)))
        })
    }

    /// The old chunk with the pieces of the puts over it.
    fn merge(&self, old: Option<BaseChunk>, pieces: &[(usize, Piece)]) -> Result<BaseChunk> {
        let schema = self.grid.schema();
        let shape = self.grid.structure().chunk_shape();
        let cells: usize = shape.iter().product();
        let mask: Option<Vec<u8>> = schema.needs_mask().then(|| match &old {
            Some(BaseChunk {
                mask: Some(mask), ..
            }) => mask.clone(),
            old => vec![u8::from(old.is_some()); cells],
        });
        let mut values = old.map_or_else(
            || Cells::filled(schema.dtype(), cells, base_fill(schema)),
            |old| old.cells,
        );
        let mut mask = mask;
        for (number, piece) in pieces {
            self.overlay((&mut values, mask.as_deref_mut()), &shape, *number, piece)?;
        }
        Ok(BaseChunk {
            cells: values,
            mask: mask.filter(|mask| mask.contains(&0)),
        })
    }

    /// Lays a piece of a put over cells of a shape, or clears it.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if the put refuses to be laid over data.
    fn overlay(
        &self,
        (cells, mask): (&mut Cells, Option<&mut [u8]>),
        shape: &[usize],
        number: usize,
        piece: &Piece,
    ) -> Result<()> {
        let (schema, put) = (self.grid.schema(), self.puts[number]);
        let laid = with_dtype!(schema.dtype(), |T| {
            // Cells without data have one value, whatever they were put as.
            let blank = Blank {
                nodata: schema.nodata().map(T::from_f64),
                fill: T::from_f64(base_fill(schema)),
            };
            let Some(cells) = cells.as_mut::<T>() else {
                return Err(self.grid.blame(Error::corrupt(OTHER_TYPE)));
            };
            let mut target = Target { cells, mask, shape };
            match put.array().map(typed::<T>) {
                Some(Some(array)) => {
                    let laid = PutArray {
                        array: &array,
                        mask: put.mask.as_ref(),
                    };
                    target.overlay(&laid, piece, put.overlap(), blank)
                }
                Some(None) => return Err(self.grid.blame(Error::invalid(OTHER_TYPE))),
                None => {
                    target.clear(piece, blank);
                    true
                }
            }
        });
        if laid {
            return Ok(());
        }
        let structure = self.grid.structure();
        let event = structure.irregular_axis().and_then(|irregular| {
            let number = piece.in_window[irregular.axis];
            let (tick, _) = put.events.iter().find(|(_, of)| *of == number)?;
            Some(format!(
                "at {} in ",
                structure.dimensions()[irregular.dimension].axes()[0].shown(*tick)
            ))
        });
        let at = format!(
            "{}{}, at {}",
            event.unwrap_or_default(),
            structure.describe(&piece.location),
            structure.ranges(&structure.chunk_window(&piece.location))
        );
        Err(self.grid.blame(Error::invalid(format!(
            "the put is refused, since there is data in its window already: {at}; on the command line `--overlap merge` lays it over that, and `--overlap keep` fills gaps only"
        ))))
    }
}

/// Why cells cannot be laid over others.
const OTHER_TYPE: &str = "cells of another type than the grid's";

/// Whether a piece of a put writes anything, be it that there is nothing.
fn has_data(grid: &Grid, put: &Put<'_>, piece: &Piece) -> bool {
    let nodata = grid.schema().nodata();
    matches!(put.overlap(), Overlap::Replace | Overlap::Refuse)
        || put.array().is_some_and(|array| {
            with_view!(ArrayView, array, |array| PutArray {
                array,
                mask: put.mask.as_ref()
            }
            .has_data(piece, nodata.map(Cell::from_f64)))
        })
}
