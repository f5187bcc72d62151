//! Puts: split at chunk borders, merge, encode, commit chunks and marks together.

mod cells;
mod clean;
mod clear;
mod levels;
mod places;

use std::sync::{Arc, Mutex, OnceLock};

use rayon::prelude::*;

use crate::aggregate::{self, ChunkWrite, Part, Plan, Propagation};
use crate::array::{ArrayView, Cell, Cells, with_dtype, with_view};
use crate::dirty::{self, Edge, parents};
use crate::error::{Error, ErrorKind, Result};
use crate::feed::{self, Changed};
use crate::grid::{Levels, Location, Piece, Window};
use crate::kernel::fill_box;
use crate::key::{GridId, LayerId, meta};
use crate::kv::{self, Durability, Snapshot, Space};
use crate::store::{
    Base, BaseChunk, ChunkReader, Grid, Number, Policy, State, Store, base_fill, try_lock, unless_dropped, write_reach,
    write_state,
};
use cells::{data, holes, is_blank, overlay, part_of, typed};
pub use clean::Cleaned;
pub(crate) use clean::clean;
pub(crate) use levels::check_levels;
use places::Places;

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

/// What cells without data do to what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holes {
    Keep,
    Replace,
}

/// What becomes of a window.
#[derive(Clone, Debug)]
enum Content<'a> {
    Array(ArrayView<'a>, Holes),
    /// Nothing is there any more. `shrink`: nor does the window count as put.
    Nothing {
        shrink: bool,
    },
}

#[derive(Clone, Debug)]
struct Put<'a> {
    grid: Grid,
    window: Window,
    content: Content<'a>,
}

impl<'a> Put<'a> {
    fn array(&self) -> Option<&ArrayView<'a>> {
        match &self.content {
            Content::Array(array, _) => Some(array),
            Content::Nothing { .. } => None,
        }
    }

    /// Whether cells without data replace what is there.
    fn replaces(&self) -> bool {
        !matches!(self.content, Content::Array(_, Holes::Keep))
    }
}

/// Puts that are committed together: all of them or none, whichever grids they are for. Later ones lie over earlier ones.
#[derive(Clone, Debug)]
pub struct Batch<'a> {
    store: Store,
    durability: Durability,
    puts: Vec<Put<'a>>,
}

/// Conflicts after which aggregates are no longer computed in the commit itself, where every writer meets at the top.
const INLINE_CONFLICTS_MAX: usize = 1;
/// Edges of a rising pyramid that are carried up in the commit itself, at most.
const INLINE_EDGES_MAX: usize = 256;

impl<'a> Batch<'a> {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, durability: Durability::Sync, puts: Vec::new() }
    }

    /// When the commit returns; after it is on the medium by default.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Adds a put. Cells without data leave what is there alone. See [`Grid::put`].
    pub fn put(&mut self, grid: &Grid, window: &Window, array: impl Into<ArrayView<'a>>) -> Result<()> {
        self.add(grid, window, array.into(), Holes::Keep)
    }

    /// Adds a put. Cells without data replace what is there. See [`Grid::replace`].
    pub fn replace(&mut self, grid: &Grid, window: &Window, array: impl Into<ArrayView<'a>>) -> Result<()> {
        self.add(grid, window, array.into(), Holes::Replace)
    }

    /// Adds the removal of all data from a window. See [`Grid::clear`].
    pub fn clear(&mut self, grid: &Grid, window: &Window) -> Result<()> {
        self.remove(grid, window, false)
    }

    /// Adds the removal of all data from a window, and of the window from what counts as put. See [`Grid::delete`].
    pub fn delete(&mut self, grid: &Grid, window: &Window) -> Result<()> {
        self.remove(grid, window, true)
    }

    fn remove(&mut self, grid: &Grid, window: &Window, shrink: bool) -> Result<()> {
        self.check(grid, window)?;
        let window = window.at(window.levels(grid.structure().dimensions().len()));
        self.puts.push(Put { grid: grid.clone(), window, content: Content::Nothing { shrink } });
        Ok(())
    }

    fn check(&self, grid: &Grid, window: &Window) -> Result<()> {
        if !grid.store().is(&self.store) {
            return Err(grid.blame(Error::invalid("it is of another store than the batch")));
        }
        grid.check_layers()?;
        grid.writable()?;
        grid.structure().check(window).map_err(|e| grid.blame(e))
    }

    fn add(&mut self, grid: &Grid, window: &Window, array: ArrayView<'a>, holes: Holes) -> Result<()> {
        self.check(grid, window)?;
        if array.dtype() != grid.schema().dtype() {
            let (got, cells) = (array.dtype(), grid.schema().dtype());
            return Err(grid.blame(Error::invalid(format!("an array of {got} does not fit cells of {cells}"))));
        }
        let fits = array.shape().len() == window.shape().len()
            && array.shape().iter().zip(window.shape().iter()).all(|(&array, &window)| array as u64 == window);
        if !fits {
            let message = format!(
                "an array of {:?} does not fit a window of {:?} cells at {:?}",
                array.shape(),
                window.shape(),
                window.start()
            );
            return Err(grid.blame(Error::invalid(message)));
        }
        let window = window.at(window.levels(grid.structure().dimensions().len()));
        self.puts.push(Put { grid: grid.clone(), window, content: Content::Array(array, holes) });
        Ok(())
    }

    /// Commits all puts, and under [`Policy::Inline`] brings the aggregates above them up to date. Under [`Policy::Background`] it
    /// first waits where too many marks are pending, or aggregates a part of them itself.
    ///
    /// # Errors
    ///
    /// Those of [`Grid::put`]. After an [`Unavailable`](ErrorKind::Unavailable) error of the commit itself the batch may be
    /// found whole after reopening, or not at all.
    pub fn commit(self) -> Result<Commit> {
        let _span = tracing::debug_span!("commit", puts = self.puts.len()).entered();
        self.grids().iter().try_for_each(|grid| self.store.make_room(grid))?;
        let inline = self.store.policy() == Policy::Inline;
        let mut conflicts = 0;
        loop {
            let inline_now = inline && conflicts <= INLINE_CONFLICTS_MAX;
            match self.store.in_turn(self.chunks(), self.durability, |durability| self.attempt(inline_now, durability)) {
                Err(error) if *error.kind() == ErrorKind::Conflict => conflicts += 1,
                Err(error) => return Err(error),
                Ok(mut commit) if inline && commit.marks > 0 => {
                    for grid in self.grids() {
                        commit.aggregates += unless_dropped(grid.aggregate())?.chunks;
                    }
                    commit.marks = 0;
                    return Ok(commit);
                }
                Ok(commit) => return Ok(commit),
            }
        }
    }

    /// The grids of this batch, each once.
    fn grids(&self) -> Vec<Grid> {
        let mut grids: Vec<Grid> = Vec::new();
        for put in &self.puts {
            if !grids.iter().any(|grid| grid.id() == put.grid.id()) {
                grids.push(put.grid.clone());
            }
        }
        grids
    }

    /// Every chunk that an array is put into.
    fn chunks(&self) -> impl Iterator<Item = (GridId, Location)> {
        let arrays = self.puts.iter().filter(|put| put.array().is_some());
        arrays.flat_map(|put| put.grid.structure().split(&put.window).map(|piece| (put.grid.id(), piece.location)))
    }

    /// One try: everything is computed from one snapshot, and refused if that is outdated by then.
    fn attempt(&self, inline: bool, durability: Durability) -> Result<Commit> {
        let aggregators: Vec<Arc<Mutex<()>>> = self.grids().iter().map(|grid| self.store.aggregator(grid.id())).collect();
        // Where somebody else aggregates, both would meet at the top: marks are cheaper.
        let held: Option<Vec<_>> =
            if inline { aggregators.iter().map(|aggregator| try_lock(aggregator)).collect() } else { None };
        let snapshot = self.store.current()?;
        let mut batch = kv::Batch::at(snapshot.as_ref());
        let number = self.store.reserve_sequence();
        let mut commit = Commit { sequence: number.get(), ..Commit::default() };
        for grid in self.grids() {
            let puts: Vec<&Put<'a>> = self.puts.iter().filter(|put| put.grid.id() == grid.id()).collect();
            let writer = Writer::new(&grid, snapshot.as_ref(), puts)?;
            writer.write(&mut batch, &mut commit, (&number, held.is_some()))?;
        }
        self.store.commit(batch, durability)?;
        Ok(commit)
    }
}

/// The puts of a batch into one grid, against one snapshot.
struct Writer<'b, 'a> {
    grid: &'b Grid,
    chunks: ChunkReader<'b>,
    puts: Vec<&'b Put<'a>>,
    old: State,
    new: State,
    base: Base,
    places: Places,
}

impl<'b, 'a> Writer<'b, 'a> {
    fn new(grid: &'b Grid, snapshot: &'b dyn Snapshot, puts: Vec<&'b Put<'a>>) -> Result<Self> {
        let chunks = grid.chunk_reader(snapshot);
        let old = grid.state(snapshot)?;
        let mut new = old;
        let mut pieces: Vec<Vec<Piece>> = Vec::new();
        for put in &puts {
            check_levels(grid, new.base.as_ref(), &put.window)?;
            match put.content {
                Content::Array(..) => {
                    new = new.grown(grid.structure(), &put.window).map_err(|e| grid.blame(e))?;
                    pieces.push(grid.structure().split(&put.window).collect());
                }
                Content::Nothing { shrink } => {
                    pieces.push(clear::pieces(chunks, old.base.as_ref(), &put.window)?);
                    new = if shrink { clear::shrunk(grid.structure(), new, &put.window) } else { new };
                }
            }
        }
        let base = match (new.base.or(old.base), puts.first()) {
            (Some(base), _) => base,
            (None, Some(put)) => Base::new(grid.structure(), put.window.levels(grid.structure().dimensions().len())),
            (None, None) => return Err(Error::invalid("a batch without puts writes nothing")),
        };
        let base = pieces.iter().flatten().fold(base, |base, piece| base.with(piece.location.levels));
        let places = Places::new(chunks, &base, old.base.as_ref(), pieces, |number, piece| has_data(grid, puts[number], piece))?;
        // Cells are copied down to every level between.
        let base = places.leaves.iter().fold(base, |base, at| base.with(at.levels));
        new.base = new.base.map(|_| base);
        if let (Some(bounds), Some(base)) = (new.bounds, new.base) {
            new.bounds = Some(grid.structure().cover(&bounds, base.finest()));
        }
        Ok(Self { grid, chunks, puts, old, new, base, places })
    }

    fn write(&self, batch: &mut kv::Batch, commit: &mut Commit, (number, inline): (&Number, bool)) -> Result<()> {
        batch.expect_key(Space::Meta, meta::schema(self.grid.id()));
        write_state(batch, self.grid.id(), &self.old, &self.new)?;
        self.places.expect(self.chunks, &self.base, batch);
        if self.puts.iter().any(|put| matches!(put.content, Content::Nothing { shrink: true })) {
            clear::expect_alone(self.chunks, batch, &self.new)?;
        }
        if self.new.bounds.is_none() {
            commit.chunks += self.places.leaves.len() as u64;
            clear::wipe(self.grid, batch);
            let base = self.puts.iter().map(|put| put.window).collect();
            let to = self.old.reach.unwrap_or(self.base.finest());
            return feed::record(self.grid, batch, number, Changed { base, aggregates: Vec::new(), to });
        }
        let Some(top) = self.new.top(self.grid.structure()) else { return Ok(()) };
        let built = self.new.reach.unwrap_or(self.base.finest());
        let raised = if self.grid.layers().is_empty() || top == built || !inline {
            Vec::new()
        } else {
            aggregate::raise_edges(self.grid, self.chunks.snapshot, &self.base, built, top)?
        };
        let marks = self.grid.layers().is_empty() || !inline || raised.len() > INLINE_EDGES_MAX || !top.covers(&built);
        let edges: Vec<Edge> = if marks { Vec::new() } else { self.edges().chain(raised).collect() };
        let stale = dirty::stale_windows(self.grid, &edges);
        let plan = Plan::new(self.chunks, edges, &self.base, top)?
            .with_split(self.places.split.iter().copied().collect())
            .with_leaves(self.places.order.iter().copied());
        if !marks {
            batch.expect_key(Space::Meta, meta::reach(self.grid.id()));
            if top != built {
                aggregate::expect_raise(self.grid, batch, &self.base, built, top);
                write_reach(batch, self.grid.id(), top)?;
            }
            plan.expect(self.grid, self.chunks, batch);
        }
        let raised = if marks { self.raise_to_split(batch, built)? } else { Vec::new() };
        let run = Propagation::new(self.chunks, &plan, &self.base, built);
        self.split(&run, marks)?;
        let writes = run.run(&|run, at| self.leaf(run, at, marks))?;
        let changed: Vec<Location> = writes.iter().filter(|write| write.layer == LayerId::BASE).map(|write| write.at).collect();
        commit.chunks += changed.len() as u64;
        commit.aggregates += (writes.len() - changed.len()) as u64;
        if !writes.is_empty() {
            let base = if changed.is_empty() { Vec::new() } else { self.puts.iter().map(|put| put.window).collect() };
            let aggregates = aggregate::fresh_windows(self.chunks, &plan, stale)?;
            let to = if marks { self.base.finest() } else { top };
            feed::record(self.grid, batch, number, Changed { base, aggregates, to })?;
        }
        commit.bytes += aggregate::write(self.chunks, batch, writes)?.bytes;
        if marks && !self.grid.layers().is_empty() {
            // A part of a split chunk may hold nothing now; chunks between it and the finer data are new as aggregates.
            let copied = self.places.leaves.iter().filter(|at| self.split_above(at).is_some() && !changed.contains(at));
            let copied = copied.flat_map(|at| parents(self.grid, at, None));
            let between = self.places.split.iter().filter(|at| !changed.contains(at)).flat_map(|at| parents(self.grid, at, None));
            let changed = changed.iter().filter(|at| !self.places.split.contains(at));
            let edges: Vec<Edge> =
                changed.flat_map(|at| parents(self.grid, at, None)).chain(copied).chain(between).chain(raised).collect();
            commit.marks += edges.len() as u64;
            dirty::mark(self.grid, batch, edges, commit.sequence);
        }
        Ok(())
    }

    /// The edges above every base chunk that is written.
    fn edges(&self) -> impl Iterator<Item = Edge> {
        self.places.order.iter().flat_map(|at| parents(self.grid, at, None))
    }

    /// Lets the pyramid reach up to the chunks that are split, so that the aggregates in their places can be read. Gives what must
    /// be marked for it.
    fn raise_to_split(&self, batch: &mut kv::Batch, built: Levels) -> Result<Vec<Edge>> {
        let reach = self.places.split.iter().fold(built, |reach, at| reach.coarser_of(&at.levels));
        if reach == built || self.grid.layers().is_empty() {
            return Ok(Vec::new());
        }
        batch.expect_key(Space::Meta, meta::reach(self.grid.id()));
        aggregate::expect_raise(self.grid, batch, &self.base, built, reach);
        write_reach(batch, self.grid.id(), reach)?;
        aggregate::raise_edges(self.grid, self.chunks.snapshot, &self.base, built, reach)
    }

    /// Takes the split chunks out of the base. Where marks are left, the old chunk goes into every layer until then.
    fn split(&self, run: &Propagation<'_>, marks: bool) -> Result<()> {
        self.places.split.par_iter().try_for_each(|at| {
            if self.base.has(at.levels) && self.chunks.exists(LayerId::BASE, at)? {
                run.emit(ChunkWrite { layer: LayerId::BASE, at: *at, blob: None });
            }
            let chunk = self.content(at)?;
            if marks && !is_blank(&chunk, self.grid.schema()) {
                let lifted = self.chunks.lift(&chunk.weigh(self.grid.schema(), self.grid.full(at.levels)), at.levels)?;
                for (layer, chunk) in self.grid.layers().iter().zip(&lifted) {
                    let blob = Some(self.chunks.encode_layer(layer, at, chunk));
                    run.emit(ChunkWrite { layer: layer.id, at: *at, blob });
                }
            }
            Ok(())
        })
    }

    /// The cells at a place after the batch: those that were there, or were copied down when a coarser chunk was split, with
    /// the pieces of the puts over them.
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
            self.chunks.base(at)?
        } else {
            self.inherited(at)?
        };
        let chunk = match old {
            Some(old) if pieces.is_empty() => Arc::new(old),
            old => Arc::new(self.merge(old, pieces)),
        };
        Ok(cell.map_or_else(|| Arc::clone(&chunk), |cell| Arc::clone(cell.get_or_init(|| Arc::clone(&chunk)))))
    }

    /// The split chunk right above a place.
    fn split_above(&self, at: &Location) -> Option<Location> {
        let parent = self.base.refinable().and_then(|d| self.grid.structure().parent(at, d)).map(|(parent, _)| parent);
        parent.filter(|parent| self.places.split.contains(parent))
    }

    /// What a place gets of a chunk above it that is split.
    fn inherited(&self, at: &Location) -> Result<Option<BaseChunk>> {
        match self.split_above(at) {
            Some(parent) => Ok(Some(self.chunks.spread_base(self.content(&parent)?.as_ref(), &parent, at))),
            None => Ok(None),
        }
    }

    /// Computes a base chunk and emits its write. `plain` leaves out what only aggregation needs.
    fn leaf(&self, run: &Propagation<'_>, at: &Location, plain: bool) -> Result<Part> {
        if !self.places.leaves.contains(at) {
            return Ok(self.chunks.stored(at, &self.base)?.map_or(Part::Gone, Part::Now));
        }
        let chunk = self.content(at)?;
        if is_blank(&chunk, self.grid.schema()) {
            let existed = self.base.has(at.levels) && self.chunks.exists(LayerId::BASE, at)?;
            if existed {
                run.emit(ChunkWrite { layer: LayerId::BASE, at: *at, blob: None });
            }
            return Ok(if existed || self.split_above(at).is_some() { Part::Gone } else { Part::Same });
        }
        let full = self.grid.full(at.levels);
        let (blob, lifted) = rayon::join(
            || self.chunks.encode_base(at, &chunk),
            || (!plain).then(|| self.chunks.lift(&chunk.weigh(self.grid.schema(), full), at.levels)).transpose(),
        );
        run.emit(ChunkWrite { layer: LayerId::BASE, at: *at, blob: Some(blob) });
        Ok(lifted?.map_or(Part::Same, Part::Now))
    }

    /// Whether nothing of the old chunk shows through: one piece replaces it, or holds it whole without a hole.
    fn covers(&self, pieces: &[(usize, Piece)]) -> bool {
        let shape = self.grid.structure().chunk_shape();
        pieces
            .iter()
            .any(|(number, piece)| piece.shape == shape && (self.puts[*number].replaces() || !self.has_holes(*number, piece)))
    }

    fn has_holes(&self, number: usize, piece: &Piece) -> bool {
        let nodata = self.grid.schema().nodata();
        self.puts[number]
            .array()
            .is_none_or(|array| with_view!(ArrayView, array, |array| holes(&part_of(array, piece), nodata.map(Cell::from_f64))))
    }

    /// The old chunk with the pieces of the puts over it.
    fn merge(&self, old: Option<BaseChunk>, pieces: &[(usize, Piece)]) -> BaseChunk {
        let schema = self.grid.schema();
        let shape = self.grid.structure().chunk_shape();
        let cells: usize = shape.iter().product();
        let mask = schema.needs_mask().then(|| match &old {
            Some(BaseChunk { mask: Some(mask), .. }) => mask.clone(),
            old => vec![u8::from(old.is_some()); cells],
        });
        let mut values = old.map_or_else(|| Cells::filled(schema.dtype(), cells, base_fill(schema)), |old| old.cells);
        let mut mask = mask;
        for (number, piece) in pieces {
            let put = &self.puts[*number];
            // Cells without data have one value, whatever they were put as.
            let fill = put.replaces().then(|| base_fill(schema));
            with_dtype!(schema.dtype(), |T| {
                let nodata = base_fill(schema);
                match (values.as_mut::<T>(), put.array().map(typed::<T>)) {
                    (Some(values), Some(Some(array))) => {
                        overlay(values, &shape, &array, piece, schema.nodata().map(T::from_f64), fill.map(T::from_f64));
                    }
                    (Some(values), None) => fill_box(values, (&shape, &piece.in_chunk), &piece.shape, T::from_f64(nodata)),
                    _ => {}
                }
            });
            if let Some(mask) = &mut mask {
                fill_box(mask, (&shape, &piece.in_chunk), &piece.shape, u8::from(put.array().is_some()));
            }
        }
        BaseChunk { cells: values, mask: mask.filter(|mask| mask.contains(&0)) }
    }
}

/// Whether a piece of a put writes anything, be it that there is nothing.
fn has_data(grid: &Grid, put: &Put<'_>, piece: &Piece) -> bool {
    let nodata = grid.schema().nodata();
    put.replaces()
        || put
            .array()
            .is_some_and(|array| with_view!(ArrayView, array, |array| data(&part_of(array, piece), nodata.map(Cell::from_f64))))
}
