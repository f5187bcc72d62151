//! A grid: a cheap handle to one dataset of a store.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::chunks::{ChunkReader, LayerSpec};
use super::snapshot::Pin;
use super::stats::Counters;
use super::{Desk, State, Store, catalog, lock};
use crate::aggregate::{self, Aggregated};
use crate::array::ArrayView;
use crate::error::{Error, Result};
use crate::feed::{self, Changes, Token};
use crate::grid::{Extent, Levels, Location, Schema, Structure, Tuple, Window};
use crate::kernel::{Full, Halving, Slabs};
use crate::key::{GridId, LayerId};
use crate::kv::Snapshot;
use crate::reader::{self, Answer, Explanation, Query, Series, SeriesQuery, Steps, Version};
use crate::statistics::{self, Statistics, StatisticsQuery, StatisticsSeries};
use crate::writer::{Cleaned, Commit};

/// One dataset of a [`Store`]. A cheap handle that can be cloned and shared between threads.
///
/// A handle from [`Store::grid`] reads what is there when it is asked; one from
/// [`StoreSnapshot::grid`](super::StoreSnapshot::grid) reads what was there then, and does not write.
#[derive(Clone, Debug)]
pub struct Grid {
    inner: Arc<GridInfo>,
    /// What it reads, unless that is the present.
    pin: Option<Arc<Pin>>,
}

#[derive(Debug)]
struct GridInfo {
    store: Store,
    id: GridId,
    name: Arc<Mutex<String>>,
    schema: Schema,
    layers: Vec<LayerSpec>,
    desk: Arc<Desk>,
}

impl Grid {
    pub(super) fn new(store: Store, id: GridId, name: Arc<Mutex<String>>, schema: Schema) -> Self {
        let (layers, desk) = (LayerSpec::all(&schema, store.registered()), store.desk(id));
        Self { inner: Arc::new(GridInfo { store, id, name, schema, layers, desk }), pin: None }
    }

    /// The same grid as a snapshot shows it.
    pub(super) fn at(mut self, pin: &Arc<Pin>) -> Self {
        self.pin = Some(Arc::clone(pin));
        self
    }

    /// What is read: the present, or the snapshot that this handle is of.
    pub(crate) fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        match &self.pin {
            Some(pin) => pin.get(self.store()).map_err(|e| self.blame(e)),
            None => self.store().current(),
        }
    }

    /// Refuses a handle that is of a snapshot.
    pub(crate) fn writable(&self) -> Result<()> {
        match self.pin {
            Some(_) => Err(self.blame(Error::invalid("a snapshot can only be read; write through the store's own handle"))),
            None => Ok(()),
        }
    }

    /// Refuses a handle that is of a snapshot, in which there are no later changes to be followed.
    pub(crate) fn live(&self) -> Result<()> {
        match self.pin {
            Some(_) => Err(self.blame(Error::invalid("a snapshot does not change; follow the store's own handle"))),
            None => Ok(()),
        }
    }

    /// The grid's present name; of a grid that was dropped, its last one.
    pub fn name(&self) -> String {
        lock(&self.inner.name).clone()
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

    pub(crate) fn layer_name(&self, layer: LayerId) -> String {
        self.layers().iter().find(|spec| spec.id == layer).map_or("base".to_owned(), |spec| spec.aggregation.to_string())
    }

    /// Checks that every layer can be computed.
    pub(crate) fn check_layers(&self) -> Result<()> {
        self.layers().iter().try_for_each(|layer| layer.check(self.schema())).map_err(|e| self.blame(e))
    }

    pub(crate) fn chunk_reader<'a>(&'a self, snapshot: &'a dyn Snapshot) -> ChunkReader<'a> {
        ChunkReader { grid: self, snapshot }
    }

    pub(crate) fn state(&self, snapshot: &dyn Snapshot) -> Result<State> {
        if !catalog::holds(snapshot, self.id())? {
            return Err(Error::not_found(format!("grid `{}` was dropped", self.name())));
        }
        State::read(snapshot, self.id(), self.structure()).map_err(|e| e.within(format!("grid `{}` cannot be read", self.name())))
    }

    /// A snapshot in which the grid is there.
    pub(crate) fn present(&self) -> Result<Arc<dyn Snapshot>> {
        let snapshot = self.snapshot()?;
        self.state(snapshot.as_ref())?;
        Ok(snapshot)
    }

    /// The weight of a wholly valid cell at some levels: its size in level-0 cells. Along an irregular dimension events count, so
    /// it is that of one event.
    pub(crate) fn full(&self, levels: Levels) -> Full {
        let regular = self.structure().levelled().filter(|&d| !self.structure().dimensions()[d].is_irregular());
        let exponent = |d: usize| f64::from(levels[d].get()) * self.structure().axes_of(d).len() as f64;
        Full(regular.map(exponent).sum::<f64>().exp2())
    }

    /// The shape of a chunk of so many cells: chunks of events hold as many events as there are.
    pub(crate) fn shape_of(&self, cells: usize) -> Tuple<usize> {
        let mut shape = self.structure().chunk_shape();
        if let Some(axis) = self.structure().irregular_axis().map(|irregular| irregular.axis) {
            let others: usize = shape.iter().enumerate().filter(|(other, _)| *other != axis).map(|(_, len)| len).product();
            shape[axis] = cells / others;
        }
        shape
    }

    pub(crate) fn halving(&self, dimension: usize) -> Halving {
        Halving::new(&self.structure().chunk_shape(), self.structure().axes_of(dimension))
    }

    /// The same of chunks of so many events.
    pub(crate) fn halving_of(&self, events: usize, dimension: usize) -> Halving {
        let mut shape = self.structure().chunk_shape();
        self.structure().irregular_axis().iter().for_each(|irregular| shape[irregular.axis] = events);
        Halving::new(&shape, self.structure().axes_of(dimension))
    }

    /// How the cells of one event lie in the part of a chunk that a child along a dimension stands for.
    pub(crate) fn part_slabs(&self, dimension: usize) -> Slabs {
        let mut shape = self.structure().chunk_shape();
        self.structure().axes_of(dimension).for_each(|axis| shape[axis] /= 2);
        Slabs::new(&shape, self.structure().irregular_axis().map_or(0, |irregular| irregular.axis))
    }

    /// The same error with the grid named, once.
    pub(crate) fn blame(&self, error: Error) -> Error {
        let (message, grid) = (error.to_string(), format!("grid `{}`", self.name()));
        if message.starts_with(&grid) {
            return error;
        }
        let message = format!("{grid}: {message}");
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

    /// Removes all data from a window, durably: base data of every level there, whole chunks without reading them. Of coarser
    /// data that lies in the window in part, the cells are first copied down to the window's level. Where nothing finer is left,
    /// coarser data may be put. The window goes on to count as put; [`delete`](Self::delete) and [`clean`](Self::clean) see to that.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put), and [`Invalid`](crate::ErrorKind::Invalid) if that would be more than 2^20 pieces.
    pub fn clear(&self, window: &Window) -> Result<Commit> {
        let mut batch = self.store().batch();
        batch.clear(self, window)?;
        batch.commit()
    }

    /// Removes all data from a window like [`clear`](Self::clear), and takes the window off what counts as put: where it cuts off
    /// one side of [`bounds`](Self::bounds), these and with them extent and top end there. For rolling windows: what lies outside
    /// of the window is not read. [`compact`](Self::compact) gives the space back to the file system at once.
    pub fn delete(&self, window: &Window) -> Result<Commit> {
        let mut batch = self.store().batch();
        batch.delete(self, window)?;
        batch.commit()
    }

    /// Brings all that the grid remembers down to what it holds: bounds to the chunks that are there, base levels to those in
    /// use, the top to what lies under it, and aggregates up to date. One small entry a base chunk is read.
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) if others write all the time.
    pub fn clean(&self) -> Result<Cleaned> {
        self.writable()?;
        crate::writer::clean(self)
    }

    /// Says whether a window's levels fit the grid's base data, as [`put`](Self::put) would. Whether there is finer data below is
    /// found by the put itself.
    pub fn check(&self, window: &Window) -> Result<()> {
        let state = self.state(self.snapshot()?.as_ref())?;
        crate::writer::check_levels(self, state.base.as_ref(), window, true)
    }

    /// Brings every aggregate up to date.
    pub fn aggregate(&self) -> Result<Aggregated> {
        let mut total = Aggregated::default();
        while let Some(step) = self.aggregate_step()? {
            total += step;
        }
        Ok(total)
    }

    /// Does a bounded part of what [`aggregate`](Self::aggregate) does, in one commit; `None` if nothing is left to do.
    pub fn aggregate_step(&self) -> Result<Option<Aggregated>> {
        self.writable()?;
        aggregate::step(self)
    }

    /// How many marks are pending: they are counted one by one. [`stats`](Self::stats) knows without.
    pub fn marks(&self) -> Result<u64> {
        crate::dirty::count(self, self.present()?.as_ref(), u64::MAX)
    }

    /// Waits until the commit of this [`sequence`](Commit::sequence) is aggregated: until no mark of this grid is pending that it
    /// left, or any commit before it. Then every level shows it.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](crate::ErrorKind::TimedOut) if that takes longer than `timeout`, caused by the last failure of the
    /// background aggregation, if it fails. Under [`Policy::Manual`](super::Policy::Manual) nobody aggregates unless asked, so
    /// the time runs out. [`Poisoned`](crate::ErrorKind::Poisoned) if the background aggregation panicked;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the store is closed; [`Invalid`](crate::ErrorKind::Invalid) for a grid of
    /// a snapshot, which never changes.
    pub fn wait(&self, commit: u64, timeout: Duration) -> Result<()> {
        if self.pin.is_some() {
            return Err(self.blame(Error::invalid("a snapshot does not change; wait before it is taken")));
        }
        self.count_found()?;
        let store = self.store();
        store.backlog().wait(self.id(), commit, timeout, &|| store.now()).map_err(|e| self.blame(e))
    }

    /// Counts the marks that were there when the store was opened, unless that was done.
    pub(super) fn count_found(&self) -> Result<()> {
        let backlog = self.store().backlog();
        if backlog.is_counted(self.id()) {
            return Ok(());
        }
        // Nobody consumes marks meanwhile.
        let _aggregator = lock(&self.inner.desk.aggregator);
        if !backlog.is_counted(self.id()) {
            backlog.found(self.id(), crate::dirty::count(self, self.store().current()?.as_ref(), backlog.first())?);
        }
        Ok(())
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.inner.desk.counters
    }

    /// Reads what a query asks for.
    pub fn read(&self, query: &Query) -> Result<Answer> {
        reader::read(self, query)
    }

    /// Reads the values of some cells along one dimension.
    pub fn series(&self, query: &SeriesQuery) -> Result<Series> {
        reader::read_series(self, query)
    }

    /// What stands for the answer to a query: as long as the stored cells that it is made of are the same, so is this, across
    /// reopening too; when a chunk of them changes, so does this. For the ETag of a tile. No chunk is read.
    ///
    /// It counts whole chunks: a put beside the query's window within one of its chunks changes it too. With
    /// [`Freshness::Fresh`](crate::Freshness::Fresh) it changes once more when aggregation has caught up with a change.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub fn version(&self, query: &Query) -> Result<Version> {
        reader::version(self, query)
    }

    /// The present of the grid's change feed: [`changes_since`](Self::changes_since) it gives what comes after.
    pub fn changes_token(&self) -> Result<Token> {
        feed::token(self)
    }

    /// What changed after a token, oldest first, a bounded number of commits at a time.
    ///
    /// Whoever takes a [token](Self::changes_token), then reads everything, then asks for changes again and again, each time
    /// with the token of the last answer, misses nothing: a commit is shown once no commit that was begun before it is under
    /// way. What was shown is on the medium.
    ///
    /// # Errors
    ///
    /// [`Expired`](crate::ErrorKind::Expired) if what the token continues is not there: as many commits came since as are kept
    /// ([`StoreOptions::changes_kept`](crate::StoreOptions::changes_kept)), or the token is of another grid or store, as it is
    /// after a [swap](Store::swap).
    pub fn changes_since(&self, token: &Token) -> Result<Changes> {
        feed::since(self, token)
    }

    /// What [`read`](Self::read) would do, without reading a chunk.
    pub fn explain(&self, query: &Query) -> Result<Explanation> {
        reader::explain(self, query)
    }

    /// Statistics of a region: exact unless the query allows bounds, and up to date whatever marks are pending.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if the region does not fit the grid's axes, or there are more classes than an
    /// answer lists. A grid without data has a count of 0.
    pub fn statistics(&self, query: &StatisticsQuery) -> Result<Statistics> {
        statistics::statistics(self, query)
    }

    /// Statistics of a region at each step of a dimension: the mean over a catchment hour by hour, from one chunk for all the hours
    /// that it holds. Exact, and up to date whatever marks are pending.
    ///
    /// ```
    /// # use gridstone::{Axis, DType, Dimension, Polygon, Schema, Stat, StatisticsQuery, Steps, Store, Structure, Window};
    /// # fn main() -> gridstone::Result<()> {
    /// # let time = Dimension::regular("time", [Axis::new("time", 0.0, 1.0, 16)]);
    /// # let space = Dimension::regular("space", [Axis::new("y", 0.0, -1.0, 16), Axis::new("x", 0.0, 1.0, 16)]);
    /// # let structure = Structure::builder().dimension(time).dimension(space).build()?;
    /// # let rain = Store::in_memory()?.create("rain", Schema::builder(structure, DType::F32).build()?)?;
    /// # let hours = ndarray::Array3::from_shape_fn((24, 8, 8), |(hour, _, _)| hour as f32);
    /// # rain.put(&Window::new([0, 0, 0], [24, 8, 8]), &hours)?;
    /// let catchment = Polygon::new(["x", "y"], [vec![vec![[1.0, -1.0], [6.0, -2.0], [3.0, -7.0]]]])?;
    /// let query = StatisticsQuery::all().polygon(catchment).stats([Stat::Mean]);
    /// let series = rain.statistics_series(&query, &Steps::all().range(6.0, 12.0))?;
    /// let means: Vec<f64> = series.steps.iter().filter_map(|step| step.mean).map(|mean| mean.value).collect();
    /// assert_eq!(means, [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn statistics_series(&self, query: &StatisticsQuery, steps: &Steps) -> Result<StatisticsSeries> {
        statistics::statistics_series(self, query, steps)
    }

    /// The box of all that was put, at the finest base levels; `None` if nothing was.
    pub fn bounds(&self) -> Result<Option<Window>> {
        Ok(self.state(self.snapshot()?.as_ref())?.bounds)
    }

    /// The box of the world that all that was put covers; `None` if nothing was. One small record is read.
    pub fn extent(&self) -> Result<Option<Extent>> {
        Ok(self.bounds()?.map(|bounds| self.structure().extent(&bounds)))
    }

    /// The levels of the finest base cells; `None` before the first put. Events of an irregular dimension are at level 0.
    pub fn base_levels(&self) -> Result<Option<Levels>> {
        Ok(self.state(self.snapshot()?.as_ref())?.base.map(|base| base.cells()))
    }

    /// Each vector of levels at which there is base data, the finest first. They differ in the refinable dimension only.
    pub fn levels_in_use(&self) -> Result<Vec<Levels>> {
        Ok(self.state(self.snapshot()?.as_ref())?.base.map_or(Vec::new(), |base| base.levels().collect()))
    }

    /// The coarsest chunk of an up-to-date pyramid: the one under which all data lies, but for Fixed dimensions, of which it is
    /// the first put. `None` before the first put. One small record is read.
    ///
    /// Where a dimension's depth ends below the top, it is the first of several.
    pub fn top(&self) -> Result<Option<Location>> {
        let structure = self.structure();
        let state = self.state(self.snapshot()?.as_ref())?;
        Ok(state.bounds.zip(state.top(structure)).and_then(|(bounds, top)| {
            let first = structure.split(&bounds).next()?.location;
            structure.ancestor(&first, top)
        }))
    }

    /// The levels up to which aggregates are stored; `None` before the first aggregation.
    pub fn reach(&self) -> Result<Option<Levels>> {
        Ok(self.state(self.snapshot()?.as_ref())?.reach)
    }
}
