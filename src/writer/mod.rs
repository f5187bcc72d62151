//! Puts: split at chunk borders, merge, encode, commit chunks and marks together.

mod batch;
mod cells;
mod clean;
mod clear;
mod events;
mod levels;
mod places;
mod verbs;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use rayon::prelude::*;

use crate::aggregate::{self, Leaf, Part, Plan, Propagation};
use crate::array::{Cell, Cells, with_dtype, with_view};
use crate::dirty::{self, Edge, parents};
use crate::error::{Error, Result};
use crate::feed::{self, Changed};
use crate::grid::{Levels, Location, Piece};
use crate::key::{LayerId, Ticks, meta};
use crate::kv::{self, Snapshot, Space};
use crate::store::{Base, BaseChunk, ChunkReader, ChunkWrite, Grid, Number, State, Written, base_fill, write_reach, write_state};
pub use batch::{Batch, Overlap};
use batch::{Content, Put};
use cells::{Blank, Laid, Target, is_blank, typed};
pub use clean::Cleaned;
pub(crate) use clear::settle_bounds;
use events::Buckets;
pub(crate) use levels::check_levels;
use places::Places;

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

/// The puts of a batch into one grid, against one snapshot.
struct Writer<'b, 'a> {
    grid: &'b Grid,
    chunks: ChunkReader<'b>,
    puts: Vec<&'b Put<'a>>,
    old: State,
    new: State,
    base: Base,
    places: Places,
    /// Along an irregular dimension, what is put into each bucket, and which of its events have changed.
    buckets: Buckets,
    changed: Mutex<BTreeMap<Location, Ticks>>,
}

impl<'b, 'a> Writer<'b, 'a> {
    fn new(grid: &'b Grid, snapshot: &'b dyn Snapshot, puts: Vec<&'b Put<'a>>) -> Result<Self> {
        let (chunks, structure) = (grid.chunk_reader(snapshot), grid.structure());
        let old = grid.state(snapshot)?;
        let mut new = old;
        for put in &puts {
            check_levels(grid, new.base.as_ref(), &put.window, put.array().is_some())?;
            new = match put.content {
                Content::Array(..) => new.grown(structure, &put.window).map_err(|e| grid.blame(e))?,
                Content::Nothing { shrink: true } => clear::shrunk(structure, new, &put.window),
                Content::Nothing { shrink: false } => new,
            };
        }
        let base = match (new.base.or(old.base), puts.first()) {
            (Some(base), _) => base,
            (None, Some(put)) => Base::new(structure, put.window.levels(structure.dimensions().len())),
            (None, None) => return Err(Error::invalid("a batch without puts writes nothing")),
        };
        if base.irregular().is_some() {
            let buckets = events::buckets(chunks, old.bounds.as_ref(), &puts)?;
            let places = Places::of_buckets(chunks, buckets.keys().copied());
            return Ok(Self { grid, chunks, puts, old, new, base, places, buckets, changed: Mutex::default() });
        }
        let pieces_of = |put: &&Put<'a>| match put.content {
            Content::Array(..) => Ok(structure.split(&put.window).collect()),
            Content::Nothing { .. } => clear::pieces(chunks, old.base.as_ref(), &put.window),
        };
        let pieces: Vec<Vec<Piece>> = puts.iter().map(pieces_of).collect::<Result<_>>()?;
        let base = pieces.iter().flatten().fold(base, |base, piece| base.with(piece.location.levels));
        let places = Places::new(chunks, &base, old.base.as_ref(), pieces, |number, piece| has_data(grid, puts[number], piece))?;
        // Cells are copied down to every level between.
        let base = places.leaves.iter().fold(base, |base, at| base.with(at.levels));
        new.base = new.base.map(|_| base);
        if let (Some(bounds), Some(base)) = (new.bounds, new.base) {
            new.bounds = Some(structure.cover(&bounds, base.cells()));
        }
        Ok(Self { grid, chunks, puts, old, new, base, places, buckets: Buckets::new(), changed: Mutex::default() })
    }

    fn write(&self, batch: &mut kv::Batch, commit: &mut Commit, (number, inline): (&Number, bool)) -> Result<()> {
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
        let (writes, seen) = run.run(&|run, leaf| self.leaf(run, leaf, marks))?;
        seen.into_iter().for_each(|key| batch.expect_key(Space::Directory, key));
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
            let edges = if self.base.irregular().is_some() { self.bucket_edges() } else { self.changed_edges(&changed) };
            let edges: Vec<(Edge, Option<Ticks>)> =
                edges.into_iter().chain(raised.into_iter().map(|edge| (edge, None))).collect();
            commit.marks += edges.len() as u64;
            dirty::mark(self.grid, batch, edges, commit.sequence);
        }
        Ok(())
    }

    /// The edges above the base chunks that were changed.
    fn changed_edges(&self, changed: &[Location]) -> Vec<(Edge, Option<Ticks>)> {
        // A part of a split chunk may hold nothing now; chunks between it and the finer data are new as aggregates.
        let copied = self.places.leaves.iter().filter(|at| self.split_above(at).is_some() && !changed.contains(at));
        let between = self.places.split.iter().filter(|at| !changed.contains(at));
        let changed = changed.iter().filter(|at| !self.places.split.contains(at));
        let edges = changed.chain(copied).chain(between).flat_map(|at| parents(self.grid, at, None));
        edges.map(|edge| (edge, None)).collect()
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
                run.emit(ChunkWrite { layer: LayerId::BASE, at: *at, what: Written::Nothing });
            }
            let chunk = self.content(at)?;
            if marks && !is_blank(&chunk, self.grid.schema()) {
                let lifted = self.chunks.lift(&chunk.weigh(self.grid.schema(), self.grid.full(at.levels)), at.levels)?;
                for (layer, chunk) in self.grid.layers().iter().zip(&lifted) {
                    let blob = self.chunks.encode_layer(layer, at, chunk, None);
                    run.emit(ChunkWrite { layer: layer.id, at: *at, what: Written::Cells(blob) });
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
            old => Arc::new(self.merge(old, pieces)?),
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
    fn leaf(&self, run: &Propagation<'_>, leaf: &Leaf, plain: bool) -> Result<Part> {
        let at = &leaf.at;
        if !self.places.leaves.contains(at) {
            return aggregate::source(self.chunks, &self.base, run, leaf, None);
        }
        if self.base.irregular().is_some() {
            return self.bucket_leaf(run, leaf);
        }
        let chunk = self.content(at)?;
        if is_blank(&chunk, self.grid.schema()) {
            let existed = self.base.has(at.levels) && self.chunks.exists(LayerId::BASE, at)?;
            if existed {
                run.emit(ChunkWrite { layer: LayerId::BASE, at: *at, what: Written::Nothing });
            }
            return Ok(if existed || self.split_above(at).is_some() { Part::Gone } else { Part::Same });
        }
        let full = self.grid.full(at.levels);
        let (blob, lifted) = rayon::join(
            || self.chunks.encode_base(at, &chunk, None),
            || (!plain).then(|| self.chunks.lift(&chunk.weigh(self.grid.schema(), full), at.levels)).transpose(),
        );
        run.emit(ChunkWrite { layer: LayerId::BASE, at: *at, what: Written::Cells(blob) });
        Ok(lifted?.map_or(Part::Same, Part::Now))
    }

    /// Whether nothing of the old chunk shows through: one piece replaces it, or holds it whole without a hole.
    fn covers(&self, pieces: &[(usize, Piece)]) -> bool {
        let shape = self.grid.structure().chunk_shape();
        pieces.iter().any(|(number, piece)| {
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
            with_view!(ArrayView, array, |array| Laid { array, mask: put.mask.as_ref() }
                .has_holes(piece, nodata.map(Cell::from_f64)))
        })
    }

    /// The old chunk with the pieces of the puts over it.
    fn merge(&self, old: Option<BaseChunk>, pieces: &[(usize, Piece)]) -> Result<BaseChunk> {
        let schema = self.grid.schema();
        let shape = self.grid.structure().chunk_shape();
        let cells: usize = shape.iter().product();
        let mask: Option<Vec<u8>> = schema.needs_mask().then(|| match &old {
            Some(BaseChunk { mask: Some(mask), .. }) => mask.clone(),
            old => vec![u8::from(old.is_some()); cells],
        });
        let mut values = old.map_or_else(|| Cells::filled(schema.dtype(), cells, base_fill(schema)), |old| old.cells);
        let mut mask = mask;
        for (number, piece) in pieces {
            self.overlay((&mut values, mask.as_deref_mut()), &shape, *number, piece)?;
        }
        Ok(BaseChunk { cells: values, mask: mask.filter(|mask| mask.contains(&0)) })
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
            let blank = Blank { nodata: schema.nodata().map(T::from_f64), fill: T::from_f64(base_fill(schema)) };
            let Some(cells) = cells.as_mut::<T>() else { return Err(self.grid.blame(Error::corrupt(OTHER_TYPE))) };
            let mut target = Target { cells, mask, shape };
            match put.array().map(typed::<T>) {
                Some(Some(array)) => {
                    let laid = Laid { array: &array, mask: put.mask.as_ref() };
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
            let tick = put.ticks.get(piece.in_window[irregular.axis])?;
            Some(format!("at {} in ", structure.dimensions()[irregular.dimension].axes()[0].shown(*tick)))
        });
        let at = format!("{}{}", event.unwrap_or_default(), structure.describe(&piece.location));
        Err(self.grid.blame(Error::invalid(format!("the put is refused, since there is data in its window already: {at}"))))
    }
}

/// Why cells cannot be laid over others.
const OTHER_TYPE: &str = "cells of another type than the grid's";

/// Whether a piece of a put writes anything, be it that there is nothing.
fn has_data(grid: &Grid, put: &Put<'_>, piece: &Piece) -> bool {
    let nodata = grid.schema().nodata();
    put.overlap() == Overlap::Replace
        || put.array().is_some_and(|array| {
            with_view!(ArrayView, array, |array| Laid { array, mask: put.mask.as_ref() }
                .has_data(piece, nodata.map(Cell::from_f64)))
        })
}
