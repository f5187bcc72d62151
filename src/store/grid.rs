//! A grid: a cheap handle to one dataset of a store.

use std::sync::{Arc, Mutex, OnceLock};

use super::chunks::ChunkReader;
use super::layers::LayerSpec;
use super::snapshot::Pin;
use super::stats::GridCounters;
use super::{Desk, State, Store, catalog, lock};
use crate::error::{Error, ErrorKind, Result};
use crate::grid::{Extent, Levels, Location, Schema, Structure, Tuple, Window, check_name};
use crate::kernel::{Full, Halving, Slabs};
use crate::key::{GridId, LayerId, MarkKey, meta};
use crate::kv::{Batch, Snapshot, Space, for_each_page};

/// One dataset of a [`Store`]. A cheap handle that can be cloned and shared between threads.
///
/// A handle from [`Store::grid`] reads what is there when it is asked; one from
/// [`StoreSnapshot::grid`](super::StoreSnapshot::grid) reads what was there then, and does not
/// write.
#[derive(Clone, Debug)]
pub struct Grid {
    inner: Arc<GridInfo>,
    /// What it reads, unless that is the present.
    pin: Option<Arc<Pin>>,
}

/// How many marks are read at once.
const PAGE: usize = 4096;

#[derive(Debug)]
struct GridInfo {
    store: Store,
    id: GridId,
    name: Arc<Mutex<String>>,
    schema: Schema,
    /// The bytes of the schema's record, once they were seen to be those of this schema.
    record: OnceLock<Vec<u8>>,
    layers: Vec<LayerSpec>,
    desk: Arc<Desk>,
}

impl Grid {
    pub(super) fn new(store: Store, id: GridId, name: Arc<Mutex<String>>, schema: Schema) -> Self {
        let (layers, desk) = (LayerSpec::all(&schema, store.registered()), store.desk(id));
        Self {
            inner: Arc::new(GridInfo {
                store,
                id,
                name,
                schema,
                record: OnceLock::new(),
                layers,
                desk,
            }),
            pin: None,
        }
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
            Some(_) => Err(self.blame(Error::invalid(
                "a snapshot can only be read; write through the store's own handle",
            ))),
            None => Ok(()),
        }
    }

    /// Refuses a handle that is of a snapshot, in which there are no later changes to be followed.
    pub(crate) fn live(&self) -> Result<()> {
        match self.pin {
            Some(_) => Err(self.blame(Error::invalid(
                "a snapshot does not change; follow the store's own handle",
            ))),
            None => Ok(()),
        }
    }

    /// Whether a grid can be called this: 1 to 128 of `A-Z a-z 0-9 . _ -`. An
    /// [`Invalid`](crate::ErrorKind::Invalid) error if not.
    pub fn check_name(name: &str) -> Result<()> {
        check_name("grid", name)
    }

    /// The grid's present name; of a grid that was dropped, its last one.
    pub fn name(&self) -> String {
        lock(&self.inner.name).clone()
    }

    /// All that was fixed when the grid was created, and the layers that were
    /// [added](Store::add_aggregator) before this handle was had.
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
        let known = self.layers().iter().find(|spec| spec.id == layer);
        match known {
            Some(spec) => spec.aggregation.to_string(),
            None if layer == LayerId::BASE => "base".to_owned(),
            // One that was added since this handle was had.
            None => format!("layer {}", layer.0),
        }
    }

    /// What the chunk of a layer at a location is called in messages.
    pub(crate) fn chunk_name(&self, layer: LayerId, at: &Location) -> String {
        format!(
            "the {} chunk at {}",
            self.layer_name(layer),
            self.structure().describe(at)
        )
    }

    /// Checks that every layer can be computed.
    pub(crate) fn check_layers(&self) -> Result<()> {
        self.layers()
            .iter()
            .try_for_each(|layer| layer.check(self.schema()))
            .map_err(|e| self.blame(e))
    }

    pub(crate) fn chunk_reader<'a>(&'a self, snapshot: &'a dyn Snapshot) -> ChunkReader<'a> {
        ChunkReader::new(self, snapshot)
    }

    pub(crate) fn state(&self, snapshot: &dyn Snapshot) -> Result<State> {
        if !catalog::holds(snapshot, self.id())? {
            return Err(Error::not_found(format!(
                "grid `{}` was dropped",
                self.name()
            )));
        }
        let state = State::read(snapshot, self.id(), self.structure())
            .map_err(|e| e.within(format!("grid `{}` cannot be read", self.name())))?;
        Ok(State {
            ceiling: self.store().ceiling(),
            // Of layers that this handle does not know it reads nothing.
            reach: state.reach.filter(|_| !self.layers().is_empty()),
            ..state
        })
    }

    /// Lets a batch be committed only as long as the grid is there, with the layers that this
    /// handle knows.
    pub(crate) fn expect_schema(&self, snapshot: &dyn Snapshot, batch: &mut Batch) -> Result<()> {
        let key = meta::schema(self.id());
        let (mut known, mut there) = (true, false);
        snapshot.get_many(Space::Meta, std::slice::from_ref(&key), &mut |_, record| {
            there = record.is_some();
            known = record.map_or(Ok(true), |record| self.knows(record))?;
            Ok(())
        })?;
        if !known {
            return Err(self.blame(Error::new(
                ErrorKind::Expired,
                "a layer was added to it since this handle of it was had; open it again to write to it",
            )));
        }
        if !there {
            return Err(Error::not_found(format!(
                "grid `{}` was dropped",
                self.name()
            )));
        }
        batch.expect_key(Space::Meta, key);
        Ok(())
    }

    /// Whether a record of the grid's schema is that of the schema that this handle knows.
    fn knows(&self, record: &[u8]) -> Result<bool> {
        let seen = &self.inner.record;
        if seen.get().is_some_and(|seen| seen == record) {
            return Ok(true);
        }
        let known = catalog::is_schema(record, self.schema()).map_err(|e| self.blame(e))?;
        if known {
            seen.get_or_init(|| record.to_vec());
        }
        Ok(known)
    }

    /// A snapshot in which the grid is there.
    pub(crate) fn present(&self) -> Result<Arc<dyn Snapshot>> {
        let snapshot = self.snapshot()?;
        self.state(snapshot.as_ref())?;
        Ok(snapshot)
    }

    /// The weight of a wholly valid cell at some levels: its size in level-0 cells. Along an
    /// irregular dimension events count, so it is that of one event.
    pub(crate) fn full(&self, levels: Levels) -> Full {
        let regular = self
            .structure()
            .levelled()
            .filter(|&d| !self.structure().dimensions()[d].is_irregular());
        let exponent =
            |d: usize| f64::from(levels[d].get()) * self.structure().axes_of(d).len() as f64;
        Full(regular.map(exponent).sum::<f64>().exp2())
    }

    /// The shape of a chunk of so many cells: chunks of events hold as many events as there are.
    pub(crate) fn shape_of(&self, cells: usize) -> Tuple<usize> {
        let mut shape = self.structure().chunk_shape();
        if let Some(axis) = self
            .structure()
            .irregular_axis()
            .map(|irregular| irregular.axis)
        {
            let others: usize = shape
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != axis)
                .map(|(_, len)| len)
                .product();
            shape[axis] = cells / others;
        }
        shape
    }

    pub(crate) fn halving(&self, dimension: usize) -> Halving {
        Halving::new(
            &self.structure().chunk_shape(),
            self.structure().axes_of(dimension),
        )
    }

    /// The same of chunks of so many events.
    pub(crate) fn halving_of(&self, events: usize, dimension: usize) -> Halving {
        let mut shape = self.structure().chunk_shape();
        self.structure()
            .irregular_axis()
            .iter()
            .for_each(|irregular| shape[irregular.axis] = events);
        Halving::new(&shape, self.structure().axes_of(dimension))
    }

    /// How the cells of one event lie in the part of a chunk that a child along a dimension stands
    /// for.
    pub(crate) fn part_slabs(&self, dimension: usize) -> Slabs {
        let mut shape = self.structure().chunk_shape();
        self.structure()
            .axes_of(dimension)
            .for_each(|axis| shape[axis] /= 2);
        Slabs::new(
            &shape,
            self.structure()
                .irregular_axis()
                .map_or(0, |irregular| irregular.axis),
        )
    }

    /// The same error with the grid named, once.
    pub(crate) fn blame(&self, error: Error) -> Error {
        error.of(&format!("grid `{}`", self.name()))
    }

    /// How many marks of sequences below `end` are pending.
    pub(crate) fn count_marks(&self, snapshot: &dyn Snapshot, end: u64) -> Result<u64> {
        let mut count = 0;
        for_each_page(
            snapshot,
            Space::Dirty,
            MarkKey::all(self.id()),
            PAGE,
            |entries| {
                let of = |(key, _): &&(Vec<u8>, Vec<u8>)| {
                    MarkKey::origin(key).is_some_and(|(_, sequence)| sequence < end)
                };
                count += entries.iter().filter(of).count() as u64;
                Ok(())
            },
        )?;
        Ok(count)
    }

    /// Counts the marks that were there when the store was opened, unless that was done.
    pub(crate) fn count_found(&self) -> Result<()> {
        let backlog = self.store().backlog();
        if backlog.is_counted(self.id()) {
            return Ok(());
        }
        // Nobody consumes marks meanwhile.
        let _aggregator = lock(&self.inner.desk.aggregator);
        if !backlog.is_counted(self.id()) {
            backlog.found(
                self.id(),
                self.count_marks(self.store().current()?.as_ref(), backlog.first())?,
            );
        }
        Ok(())
    }

    pub(crate) fn counters(&self) -> &GridCounters {
        &self.inner.desk.counters
    }

    /// The box of all that was put, at the finest base levels; `None` if nothing was.
    pub fn bounds(&self) -> Result<Option<Window>> {
        Ok(self.state(self.snapshot()?.as_ref())?.bounds)
    }

    /// The box of the world that all that was put covers; `None` if nothing was. One small record
    /// is read.
    pub fn extent(&self) -> Result<Option<Extent>> {
        Ok(self
            .bounds()?
            .map(|bounds| self.structure().extent(&bounds)))
    }

    /// The levels of the finest base cells; `None` before the first put. Events of an irregular
    /// dimension are at level 0.
    pub fn base_levels(&self) -> Result<Option<Levels>> {
        Ok(self
            .state(self.snapshot()?.as_ref())?
            .base
            .map(|base| base.cells()))
    }

    /// Each vector of levels at which there is base data, the finest first. They differ in the
    /// refinable dimension only.
    pub fn levels_in_use(&self) -> Result<Vec<Levels>> {
        Ok(self
            .state(self.snapshot()?.as_ref())?
            .base
            .map_or(Vec::new(), |base| base.levels().collect()))
    }

    /// The coarsest chunk of an up-to-date pyramid: the one under which all data lies, but for
    /// Fixed dimensions, of which it is the first put. `None` before the first put. One small
    /// record is read.
    ///
    /// Where a dimension's depth ends below the top, it is the first of several.
    pub fn top(&self) -> Result<Option<Location>> {
        let structure = self.structure();
        let state = self.state(self.snapshot()?.as_ref())?;
        Ok(state
            .bounds
            .zip(state.pyramid(structure))
            .and_then(|(bounds, pyramid)| {
                let first = structure.split(&bounds).next()?.location;
                structure.ancestor(&first, pyramid.top)
            }))
    }

    /// The levels up to which aggregates are stored; `None` before the first aggregation.
    pub fn reach(&self) -> Result<Option<Levels>> {
        Ok(self.state(self.snapshot()?.as_ref())?.reach)
    }
}
