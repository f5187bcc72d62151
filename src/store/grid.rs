//! A grid: a cheap handle to one dataset of a store.

use std::sync::Arc;

use super::chunks::{ChunkReader, LayerSpec};
use super::{State, Store};
use crate::aggregate::{self, Aggregated};
use crate::array::ArrayView;
use crate::error::{Error, Result};
use crate::grid::{Extent, Levels, Location, Schema, Structure, Window};
use crate::kernel::{Aggregator, Full, Halving};
use crate::key::{ChunkKey, GridId, LayerId, directory_length};
use crate::kv::{KeyRange, Order, Snapshot, Space};
use crate::reader::{self, Answer, Explanation, Query, Series, SeriesQuery};
use crate::writer::Commit;

/// One dataset of a [`Store`]. A cheap handle that can be cloned and shared between threads.
#[derive(Clone, Debug)]
pub struct Grid {
    inner: Arc<GridInfo>,
}

#[derive(Debug)]
struct GridInfo {
    store: Store,
    id: GridId,
    name: String,
    schema: Schema,
    layers: Vec<LayerSpec>,
}

/// What the store knows of a chunk without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChunkInfo {
    /// Where it is.
    pub location: Location,
    /// The aggregator of its layer; `None` for base chunks.
    pub aggregator: Option<Aggregator>,
    /// The length of its blob.
    pub bytes: u64,
}

/// How many directory entries are read at once.
const PAGE: usize = 4096;

impl Grid {
    pub(super) fn new(store: Store, id: GridId, name: &str, schema: Schema) -> Self {
        let layers = LayerSpec::all(&schema);
        Self { inner: Arc::new(GridInfo { store, id, name: name.to_owned(), schema, layers }) }
    }

    /// The grid's name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// All that was fixed when the grid was created.
    pub fn schema(&self) -> &Schema {
        &self.inner.schema
    }

    /// Where the cells are.
    pub fn structure(&self) -> &Structure {
        self.inner.schema.structure()
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn id(&self) -> GridId {
        self.inner.id
    }

    pub(crate) fn layers(&self) -> &[LayerSpec] {
        &self.inner.layers
    }

    pub(crate) fn layer_name(&self, layer: LayerId) -> &'static str {
        self.layers().iter().find(|spec| spec.id == layer).map_or("base", |spec| spec.aggregator.name())
    }

    pub(crate) fn chunk_reader<'a>(&'a self, snapshot: &'a dyn Snapshot) -> ChunkReader<'a> {
        ChunkReader { grid: self, snapshot }
    }

    pub(crate) fn state(&self, snapshot: &dyn Snapshot) -> Result<State> {
        State::read(snapshot, self.id(), self.structure()).map_err(|e| e.within(format!("grid `{}` cannot be read", self.name())))
    }

    /// The weight of a wholly valid cell at some levels: its size in level-0 cells.
    pub(crate) fn full(&self, levels: Levels) -> Full {
        let exponent = |d: usize| f64::from(levels[d].get()) * self.structure().axes_of(d).len() as f64;
        Full(self.structure().levelled().map(exponent).sum::<f64>().exp2())
    }

    pub(crate) fn halving(&self, dimension: usize) -> Halving {
        Halving::new(&self.structure().chunk_shape(), self.structure().axes_of(dimension))
    }

    /// The error prefix that names this grid.
    pub(crate) fn blame(&self, error: Error) -> Error {
        let message = format!("grid `{}`: {error}", self.name());
        match std::error::Error::source(&error) {
            Some(cause) => Error::new(error.kind().clone(), message).because(cause.to_string()),
            None => Error::new(error.kind().clone(), message),
        }
    }

    /// Puts an array of the grid's cell type into a window of the same shape, durably. Cells without data (NaN and the
    /// nodata value) leave what is there alone; [`replace`](Self::replace) does not.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if the type, the shape or the window does not fit;
    /// [`AggregatedLevel`](crate::ErrorKind::AggregatedLevel) if the window is coarser than the grid's base data. Nothing is
    /// changed by a put that fails.
    pub fn put<'a>(&self, window: &Window, array: impl Into<ArrayView<'a>>) -> Result<Commit> {
        let mut batch = self.store().batch();
        batch.put(self, window, array)?;
        batch.commit()
    }

    /// Puts an array like [`put`](Self::put), and cells without data too.
    pub fn replace<'a>(&self, window: &Window, array: impl Into<ArrayView<'a>>) -> Result<Commit> {
        let mut batch = self.store().batch();
        batch.replace(self, window, array)?;
        batch.commit()
    }

    /// Brings every aggregate up to date.
    pub fn aggregate(&self) -> Result<Aggregated> {
        let mut total = Aggregated::default();
        while let Some(step) = aggregate::step(self)? {
            total += step;
        }
        Ok(total)
    }

    /// Does a bounded part of what [`aggregate`](Self::aggregate) does, in one commit; `None` if nothing is left to do.
    pub fn aggregate_step(&self) -> Result<Option<Aggregated>> {
        aggregate::step(self)
    }

    /// How many marks are pending.
    pub fn marks(&self) -> Result<u64> {
        crate::dirty::count(self, self.store().snapshot()?.as_ref())
    }

    /// Reads what a query asks for.
    pub fn read(&self, query: &Query) -> Result<Answer> {
        reader::read(self, query)
    }

    /// Reads the values of some cells along one dimension.
    pub fn series(&self, query: &SeriesQuery) -> Result<Series> {
        reader::read_series(self, query)
    }

    /// What [`read`](Self::read) would do, without reading a chunk.
    pub fn explain(&self, query: &Query) -> Result<Explanation> {
        reader::explain(self, query)
    }

    /// The box of all that was put, at the base levels; `None` if nothing was.
    pub fn bounds(&self) -> Result<Option<Window>> {
        Ok(self.state(self.store().snapshot()?.as_ref())?.bounds)
    }

    /// The box of the world that all that was put covers; `None` if nothing was. One small record is read.
    pub fn extent(&self) -> Result<Option<Extent>> {
        Ok(self.bounds()?.map(|bounds| self.structure().extent(&bounds)))
    }

    /// The levels of the base data; `None` before the first put.
    pub fn base_levels(&self) -> Result<Option<Levels>> {
        Ok(self.bounds()?.map(|bounds| bounds.levels(self.structure().dimensions().len())))
    }

    /// The coarsest chunk of an up-to-date pyramid: the one under which all data lies, but for Fixed dimensions, of which it is
    /// the first put. `None` before the first put. One small record is read.
    ///
    /// Where a dimension's depth ends below the top, it is the first of several.
    pub fn top(&self) -> Result<Option<Location>> {
        let structure = self.structure();
        let state = self.state(self.store().snapshot()?.as_ref())?;
        Ok(state.bounds.zip(state.top(structure)).and_then(|(bounds, top)| {
            let first = structure.split(&bounds).next()?.location;
            structure.ancestor(&first, top)
        }))
    }

    /// The levels up to which aggregates are stored; `None` before the first aggregation.
    pub fn reach(&self) -> Result<Option<Levels>> {
        Ok(self.state(self.store().snapshot()?.as_ref())?.reach)
    }

    /// Every base chunk, in key order.
    pub fn base_chunks(&self) -> Result<Vec<ChunkInfo>> {
        let snapshot = self.store().snapshot()?;
        let mut chunks = Vec::new();
        self.directory(snapshot.as_ref(), ChunkKey::layer(self.id(), LayerId::BASE), &mut |chunk| chunks.push(chunk))?;
        Ok(chunks)
    }

    /// Every stored chunk of every layer, in key order: the base first, then each layer from its top down.
    pub fn stored_chunks(&self) -> Result<Vec<ChunkInfo>> {
        let snapshot = self.store().snapshot()?;
        let mut chunks = Vec::new();
        self.directory(snapshot.as_ref(), ChunkKey::all(self.id()), &mut |chunk| chunks.push(chunk))?;
        Ok(chunks)
    }

    /// The stored chunks at some levels that an extent touches: base chunks at the base levels, else those of the first
    /// layer. In no particular order.
    pub fn chunks(&self, extent: &Extent, levels: Levels) -> Result<Vec<ChunkInfo>> {
        let window = self.structure().window(extent, levels).map_err(|e| self.blame(e))?;
        let snapshot = self.store().snapshot()?;
        let state = self.state(snapshot.as_ref())?;
        let Some(bounds) = state.bounds else { return Ok(Vec::new()) };
        let Some(window) = self.structure().intersection(&window, &self.structure().cover(&bounds, levels)) else {
            return Ok(Vec::new());
        };
        let layer = if state.base() == Some(levels) { LayerId::BASE } else { LayerId(1) };
        if self.structure().chunk_count(&window) <= PAGE as u64 {
            let locations: Vec<Location> = self.structure().split(&window).map(|piece| piece.location).collect();
            return self.existing(snapshot.as_ref(), layer, locations);
        }
        let mut chunks = Vec::new();
        let range = ChunkKey::levels(self.id(), self.structure(), layer, levels);
        self.directory(snapshot.as_ref(), range, &mut |chunk| {
            if self.structure().intersection(&self.structure().chunk_window(&chunk.location), &window).is_some() {
                chunks.push(chunk);
            }
        })?;
        Ok(chunks)
    }

    fn existing(&self, snapshot: &dyn Snapshot, layer: LayerId, locations: Vec<Location>) -> Result<Vec<ChunkInfo>> {
        let chunks = self.chunk_reader(snapshot);
        let keys: Vec<_> = locations.iter().map(|at| chunks.key(layer, at)).collect();
        let aggregator = self.layers().iter().find(|spec| spec.id == layer).map(|spec| spec.aggregator);
        let mut found = Vec::new();
        snapshot.get_many(Space::Directory, &keys, &mut |i, entry| {
            if let Some(entry) = entry {
                let bytes = directory_length(entry).map_err(|e| chunks.damaged(layer, &locations[i]).because(e))?;
                found.push(ChunkInfo { location: locations[i], aggregator, bytes });
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// The stored aggregate above a chunk along a dimension, if there is one.
    pub fn parent(&self, chunk: &Location, dimension: &str) -> Result<Option<ChunkInfo>> {
        let dimension = self.structure().dimension(dimension).map_err(|e| self.blame(e))?;
        let Some((parent, _)) = self.structure().parent(chunk, dimension) else { return Ok(None) };
        let snapshot = self.store().snapshot()?;
        Ok(self.existing(snapshot.as_ref(), LayerId(1), vec![parent])?.into_iter().next())
    }

    /// The stored chunks right under a chunk along a dimension.
    pub fn children(&self, chunk: &Location, dimension: &str) -> Result<Vec<ChunkInfo>> {
        let dimension = self.structure().dimension(dimension).map_err(|e| self.blame(e))?;
        let snapshot = self.store().snapshot()?;
        let base = self.state(snapshot.as_ref())?.base();
        let children: Vec<_> = self.structure().children(chunk, dimension).collect();
        let at_base = children.first().is_some_and(|child| Some(child.levels) == base);
        self.existing(snapshot.as_ref(), if at_base { LayerId::BASE } else { LayerId(1) }, children)
    }

    /// Calls `visit` for every directory entry of a range.
    pub(crate) fn directory(&self, snapshot: &dyn Snapshot, mut range: KeyRange, visit: &mut dyn FnMut(ChunkInfo)) -> Result<()> {
        loop {
            let page = snapshot.scan(Space::Directory, &range, Order::Ascending, PAGE)?;
            for (key, value) in &page.entries {
                visit(self.chunk_info(key, value)?);
            }
            match page.entries.last() {
                Some((last, _)) if page.more => range.start = [last.as_slice(), &[0]].concat(),
                _ => return Ok(()),
            }
        }
    }

    fn chunk_info(&self, key: &[u8], value: &[u8]) -> Result<ChunkInfo> {
        let damaged = || Error::corrupt(format!("grid `{}`: a directory entry is damaged", self.name()));
        let (layer, location) = ChunkKey::decode(self.id(), self.structure(), key).map_err(|e| damaged().because(e))?;
        let bytes = directory_length(value).map_err(|e| damaged().because(e))?;
        let aggregator = match layer {
            LayerId::BASE => None,
            layer => Some(self.layers().iter().find(|spec| spec.id == layer).ok_or_else(damaged)?.aggregator),
        };
        Ok(ChunkInfo { location, aggregator, bytes })
    }
}
