//! Puts: split at chunk borders, merge, encode, commit chunks and marks together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use ndarray::{ArrayViewD, ArrayViewMutD, Slice, Zip};

use crate::aggregate::{self, ChunkWrite, Part, Plan, Propagation};
use crate::array::{ArrayView, Cell, Cells, with_dtype, with_view};
use crate::dirty::{self, Edge, parents};
use crate::error::{Error, ErrorKind, Result};
use crate::grid::{Levels, Location, Piece, Schema, Window};
use crate::kernel::copy_box;
use crate::key::{GridId, LayerId, meta};
use crate::kv::{self, Durability, Snapshot, Space};
use crate::store::{BaseChunk, ChunkReader, Grid, Policy, State, Store, base_fill, try_lock, write_bounds, write_reach};

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

#[derive(Clone, Debug)]
struct Put<'a> {
    grid: Grid,
    window: Window,
    array: ArrayView<'a>,
    holes: Holes,
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

    fn add(&mut self, grid: &Grid, window: &Window, array: ArrayView<'a>, holes: Holes) -> Result<()> {
        if !grid.store().is(&self.store) {
            return Err(grid.blame(Error::invalid("it is of another store than the batch")));
        }
        if array.dtype() != grid.schema().dtype() {
            let (got, cells) = (array.dtype(), grid.schema().dtype());
            return Err(grid.blame(Error::invalid(format!("an array of {got} does not fit cells of {cells}"))));
        }
        grid.writable()?;
        grid.structure().check(window).map_err(|e| grid.blame(e))?;
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
        self.puts.push(Put { grid: grid.clone(), window, array, holes });
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
                        commit.aggregates += grid.aggregate()?.chunks;
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

    /// Every chunk that is put into.
    fn chunks(&self) -> impl Iterator<Item = (GridId, Location)> {
        self.puts.iter().flat_map(|put| put.grid.structure().split(&put.window).map(|piece| (put.grid.id(), piece.location)))
    }

    /// One try: everything is computed from one snapshot, and refused if that is outdated by then.
    fn attempt(&self, inline: bool, durability: Durability) -> Result<Commit> {
        let aggregators: Vec<Arc<Mutex<()>>> = self.grids().iter().map(|grid| self.store.aggregator(grid.id())).collect();
        // Where somebody else aggregates, both would meet at the top: marks are cheaper.
        let held: Option<Vec<_>> =
            if inline { aggregators.iter().map(|aggregator| try_lock(aggregator)).collect() } else { None };
        let snapshot = self.store.current()?;
        let mut batch = kv::Batch::at(snapshot.as_ref());
        let mut commit = Commit { sequence: self.store.reserve_sequence(), ..Commit::default() };
        for grid in self.grids() {
            let puts: Vec<&Put<'a>> = self.puts.iter().filter(|put| put.grid.id() == grid.id()).collect();
            let writer = Writer::new(&grid, snapshot.as_ref(), puts)?;
            writer.write(&mut batch, &mut commit, held.is_some())?;
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
    state: State,
    bounds: Window,
    base: Levels,
    /// The parts of the puts in each chunk, in their order.
    pieces: HashMap<Location, Vec<(usize, Piece)>>,
    /// The chunks in key order, so that neighbours under one parent are computed together.
    locations: Vec<Location>,
}

impl<'b, 'a> Writer<'b, 'a> {
    fn new(grid: &'b Grid, snapshot: &'b dyn Snapshot, puts: Vec<&'b Put<'a>>) -> Result<Self> {
        let chunks = grid.chunk_reader(snapshot);
        let state = grid.state(snapshot)?;
        let mut grown = state;
        let mut pieces: HashMap<Location, Vec<(usize, Piece)>> = HashMap::new();
        for (number, put) in puts.iter().enumerate() {
            check_levels(grid, grown.base(), &put.window)?;
            grown.bounds = Some(grown.grown(grid.structure(), &put.window));
            for piece in grid.structure().split(&put.window) {
                pieces.entry(piece.location).or_default().push((number, piece));
            }
        }
        let Some(bounds) = grown.bounds else { return Err(Error::invalid("a batch without puts writes nothing")) };
        let mut locations: Vec<(Vec<u8>, Location)> = pieces.keys().map(|at| (chunks.key(LayerId::BASE, at), *at)).collect();
        locations.sort_unstable();
        let locations = locations.into_iter().map(|(_, at)| at).collect();
        let base = bounds.levels(grid.structure().dimensions().len());
        Ok(Self { grid, chunks, puts, state, bounds, base, pieces, locations })
    }

    fn write(&self, batch: &mut kv::Batch, commit: &mut Commit, inline: bool) -> Result<()> {
        if self.state.bounds != Some(self.bounds) {
            write_bounds(batch, self.grid.id(), &self.bounds)?;
        }
        self.locations.iter().for_each(|at| batch.expect_key(Space::Directory, self.chunks.key(LayerId::BASE, at)));
        let top = self.grid.structure().top(&self.bounds);
        let built = self.state.reach.unwrap_or(self.base);
        let raised = if self.grid.layers().is_empty() || top == built || !inline {
            Vec::new()
        } else {
            aggregate::raise_edges(self.grid, self.chunks.snapshot, self.base, built, top)?
        };
        let marks = self.grid.layers().is_empty() || !inline || raised.len() > INLINE_EDGES_MAX;
        let edges = if marks { Vec::new() } else { self.edges().chain(raised).collect() };
        let plan = Plan::new(self.grid, edges, self.base, top).with_leaves(self.locations.iter().copied());
        if !marks {
            batch.expect_key(Space::Meta, meta::reach(self.grid.id()));
            if top != built {
                aggregate::expect_raise(self.grid, batch, self.base, built, top);
                write_reach(batch, self.grid.id(), top)?;
            }
            plan.expect(self.grid, self.chunks, batch);
        }
        let writes = Propagation::new(self.chunks, &plan, self.base, built).run_with(&|run, at| self.leaf(run, at, marks))?;
        let changed: Vec<Location> = writes.iter().filter(|write| write.layer == LayerId::BASE).map(|write| write.at).collect();
        commit.chunks += changed.len() as u64;
        commit.aggregates += (writes.len() - changed.len()) as u64;
        commit.bytes += aggregate::write(self.chunks, batch, writes).bytes;
        if marks && !self.grid.layers().is_empty() {
            let edges: Vec<Edge> = changed.iter().flat_map(|at| parents(self.grid, at, None)).collect();
            commit.marks += edges.len() as u64;
            dirty::mark(self.grid, batch, edges, commit.sequence);
        }
        Ok(())
    }

    /// The edges above every chunk that is put into.
    fn edges(&self) -> impl Iterator<Item = Edge> {
        self.locations.iter().flat_map(|at| parents(self.grid, at, None))
    }

    /// Computes a base chunk and emits its write. `plain` leaves out what only aggregation needs.
    fn leaf(&self, run: &Propagation<'_>, at: &Location, plain: bool) -> Result<Part> {
        let Some(pieces) = self.pieces.get(at) else {
            return Ok(self.chunks.layers(at, self.base)?.map_or(Part::Gone, Part::Now));
        };
        let existed = self.chunks.exists(LayerId::BASE, at)?;
        let old = if !existed || self.covers(pieces) { None } else { self.chunks.base(at)? };
        let chunk = self.merge(old, pieces);
        if is_blank(&chunk, self.grid.schema()) {
            if existed {
                run.emit(ChunkWrite { layer: LayerId::BASE, at: *at, blob: None });
            }
            return Ok(if existed { Part::Gone } else { Part::Same });
        }
        let full = self.grid.full(self.base);
        let (blob, lifted) = rayon::join(
            || self.chunks.encode_base(at, &chunk),
            || (!plain).then(|| self.chunks.lift(&chunk.weigh(self.grid.schema(), full), self.base)),
        );
        run.emit(ChunkWrite { layer: LayerId::BASE, at: *at, blob: Some(blob) });
        Ok(lifted.map_or(Part::Same, Part::Now))
    }

    /// Whether nothing of the old chunk shows through: one piece replaces it, or holds it whole without a hole.
    fn covers(&self, pieces: &[(usize, Piece)]) -> bool {
        let shape = self.grid.structure().chunk_shape();
        pieces.iter().any(|(number, piece)| {
            piece.shape == shape && (self.puts[*number].holes == Holes::Replace || !self.has_holes(*number, piece))
        })
    }

    fn has_holes(&self, number: usize, piece: &Piece) -> bool {
        let nodata = self.grid.schema().nodata();
        with_view!(ArrayView, &self.puts[number].array, |array| holes(&part_of(array, piece), nodata.map(Cell::from_f64)))
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
            let fill = (put.holes == Holes::Replace).then(|| base_fill(schema));
            with_dtype!(schema.dtype(), |T| {
                if let (Some(values), Some(array)) = (values.as_mut::<T>(), typed::<T>(&put.array)) {
                    overlay(values, &shape, &array, piece, schema.nodata().map(T::from_f64), fill.map(T::from_f64));
                }
            });
            if let Some(mask) = &mut mask {
                crate::kernel::fill_box(mask, (&shape, &piece.in_chunk), &piece.shape, 1);
            }
        }
        BaseChunk { cells: values, mask: mask.filter(|mask| mask.contains(&0)) }
    }
}

/// Refuses a window at other levels than the base data.
pub(crate) fn check_levels(grid: &Grid, base: Option<Levels>, window: &Window) -> Result<()> {
    let dimensions = grid.structure().dimensions();
    let levels = window.levels(dimensions.len());
    let Some(base) = base else { return Ok(()) };
    for (d, dimension) in dimensions.iter().enumerate() {
        let (name, at) = (dimension.name(), window.start());
        if levels[d] > base[d] {
            return Err(Error::new(
                ErrorKind::AggregatedLevel { dimension: name.to_owned() },
                format!(
                    "grid `{}`: trying to put data at an aggregated level for dimension `{name}`: level {} at cell {at:?}, over base data at level {}",
                    grid.name(),
                    levels[d],
                    base[d]
                ),
            ));
        }
        if levels[d] < base[d] {
            return Err(Error::invalid(format!(
                "grid `{}`: its base data is at level {} of dimension `{name}`; a put at level {} at cell {at:?} would be finer",
                grid.name(),
                base[d],
                levels[d]
            )));
        }
    }
    Ok(())
}

fn typed<'v, T: Cell>(view: &'v ArrayView<'_>) -> Option<ArrayViewD<'v, T>> {
    T::unwrap_view(view)
}

fn part_of<'v, T>(array: &'v ArrayViewD<'_, T>, piece: &Piece) -> ArrayViewD<'v, T> {
    array.slice_each_axis(|axis| {
        let start = piece.in_window[axis.axis.index()];
        Slice::from(start..start + piece.shape[axis.axis.index()])
    })
}

fn holes<T: Cell>(array: &ArrayViewD<'_, T>, nodata: Option<T>) -> bool {
    if !T::DTYPE.is_float() && nodata.is_none() {
        return false;
    }
    let hole = |cell: &T| cell.is_nan() | (Some(*cell) == nodata);
    array.rows().into_iter().any(|row| match row.as_slice() {
        Some(cells) => cells.iter().fold(false, |any, cell| any | hole(cell)),
        None => row.iter().any(hole),
    })
}

/// Lays a piece of an array over a chunk. Cells without data become `fill`, or leave the chunk's alone if there is none.
fn overlay<T: Cell>(
    chunk: &mut [T],
    shape: &[usize],
    array: &ArrayViewD<'_, T>,
    piece: &Piece,
    nodata: Option<T>,
    fill: Option<T>,
) {
    match array.as_slice() {
        Some(cells) if !holes(&part_of(array, piece), nodata) => {
            copy_box(cells, (array.shape(), &piece.in_window), chunk, (shape, &piece.in_chunk), &piece.shape);
        }
        _ => {
            let Ok(mut whole) = ArrayViewMutD::from_shape(shape, chunk) else { return };
            let mut to = whole.slice_each_axis_mut(|axis| {
                let start = piece.in_chunk[axis.axis.index()];
                Slice::from(start..start + piece.shape[axis.axis.index()])
            });
            Zip::from(&mut to).and(&part_of(array, piece)).for_each(|to, from| {
                let hole = from.is_nan() || Some(*from) == nodata;
                *to = if hole { fill.unwrap_or(*to) } else { *from };
            });
        }
    }
}

/// Whether a chunk holds no data at all.
fn is_blank(chunk: &BaseChunk, schema: &Schema) -> bool {
    if let Some(mask) = &chunk.mask {
        return mask.iter().all(|&valid| valid == 0);
    }
    with_dtype!(schema.dtype(), |T| {
        let nodata = schema.nodata().map(T::from_f64);
        chunk.cells.as_slice::<T>().is_some_and(|cells| {
            (T::DTYPE.is_float() || nodata.is_some()) && cells.iter().all(|cell| cell.is_nan() || Some(*cell) == nodata)
        })
    })
}
