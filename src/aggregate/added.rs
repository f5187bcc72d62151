//! A layer is added to a grid that holds data.
//!
//! One commit puts the schema with the layer in place of the old one, a chunk without data for the
//! layer wherever the other layers have one, so that a place has aggregates of every layer or of
//! none, and marks for the layer alone above all base data, which say that these chunks are out of
//! date. Only bins that stand within the base, where events are many, are made in the commit. From
//! then on it is a layer like the others: reads compute what is marked or tell that it is stale,
//! and steps of aggregation consume the marks. Who still has the old schema when it comes to a
//! commit is refused.

use super::raise;
use crate::dirty;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Column;
use crate::grid::{Location, SchemaBuilder};
use crate::kernel::Aggregation;
use crate::key::{ChunkKey, LayerId, Ticks, meta};
use crate::kv::{Batch, Durability, Snapshot, Space};
use crate::store::{
    Base, BatchNumber, ChunkInfo, ChunkReader, Grid, LayerChunks, LayerSpec, Policy, Pyramid,
    Store, write_schema,
};

/// The bytes that the one commit may have.
const COMMIT_MAX: usize = 1 << 30;

/// Adds a layer, durably. Gives the grid with it.
pub(crate) fn add(store: &Store, name: &str, aggregation: &Aggregation) -> Result<Grid> {
    store.backlog().admit()?;
    loop {
        let old = store.grid(name)?;
        let grid = with_layer(&old, aggregation)?;
        // Nobody aggregates meanwhile, so that others meet at the base only.
        let aggregator = store.aggregator(old.id());
        let _held = store.aggregating(&aggregator)?;
        let number = store.reserve_sequence();
        match attempt(store, (&old, &grid), &number) {
            Err(error) if [ErrorKind::Conflict, ErrorKind::Expired].contains(error.kind()) => {}
            done => return done.map(|()| grid),
        }
    }
}

/// The same grid with the layer in its schema.
fn with_layer(old: &Grid, aggregation: &Aggregation) -> Result<Grid> {
    if old.schema().aggregators().contains(aggregation) {
        return Err(old.blame(Error::new(
            ErrorKind::AlreadyExists,
            format!("it has the layer `{aggregation}` already"),
        )));
    }
    let schema = SchemaBuilder::from(old.schema().clone())
        .aggregator(aggregation.clone())
        .build()
        .map_err(|e| old.blame(e))?;
    let grid = old.store().handle(old.id(), &old.name(), schema);
    grid.check_layers()?;
    Ok(grid)
}

fn attempt(store: &Store, grids: (&Grid, &Grid), number: &BatchNumber) -> Result<()> {
    let snapshot = grids.0.present()?;
    let mut batch = store
        .workers()
        .run(|| prepared(snapshot.as_ref(), grids, number))?;
    Store::stamp(&mut batch, number);
    store.commit(batch, Durability::Sync).map(drop)
}

/// The commit that puts a grid with a layer in place of the one without.
fn prepared(
    snapshot: &dyn Snapshot,
    (old, grid): (&Grid, &Grid),
    number: &BatchNumber,
) -> Result<Batch> {
    let mut batch = Batch::at(snapshot);
    old.expect_schema(snapshot, &mut batch)?;
    refuse_shared(old, snapshot, &mut batch)?;
    batch.expect_key(Space::Meta, meta::reach(grid.id()));
    let state = grid.state(snapshot)?;
    let pyramid = state
        .pyramid(grid.structure())
        .filter(|_| !old.layers().is_empty());
    if let (Some(pyramid), Some(layer)) = (pyramid, grid.layers().last()) {
        fill(grid, snapshot, &mut batch, (layer, &pyramid.base))?;
        let from_base = Pyramid {
            base: pyramid.base,
            built: pyramid.base.finest(),
            top: pyramid.built,
        };
        let edges = raise::edges(grid, snapshot, &from_base)?;
        dirty::mark_layer(grid, &mut batch, edges, (layer.id, number.get()));
    }
    write_schema(&mut batch, grid.id(), grid.schema())?;
    let bytes: usize = batch
        .writes()
        .iter()
        .map(|write| write.key.len() + write.value.as_ref().map_or(0, Vec::len))
        .sum();
    if bytes > COMMIT_MAX {
        return Err(grid.blame(Error::invalid(format!(
            "its chunks are so many that the commit would have {bytes} bytes; copy it to a grid with the layer: `gridstone copy STORE {} NEW --aggregator NAMES`",
            grid.name()
        ))));
    }
    Ok(batch)
}

/// Refuses a grid whose schema other stores have too.
fn refuse_shared(grid: &Grid, snapshot: &dyn Snapshot, batch: &mut Batch) -> Result<()> {
    let keys = [meta::shards(grid.id()), meta::shard(grid.id())];
    let mut shared = false;
    snapshot.get_many(Space::Meta, &keys, &mut |_, record| {
        shared |= record.is_some();
        Ok(())
    })?;
    if shared {
        return Err(grid.blame(Error::invalid(
            "it is one grid in several stores, which all have its layers; make a federation of grids with the layer",
        )));
    }
    keys.into_iter()
        .for_each(|key| batch.expect_key(Space::Meta, key));
    Ok(())
}

/// Adds a chunk without data for a layer wherever others have one.
fn fill(
    grid: &Grid,
    snapshot: &dyn Snapshot,
    batch: &mut Batch,
    (layer, base): (&LayerSpec, &Base),
) -> Result<()> {
    let range = ChunkKey::layer(grid.id(), LayerId::FIRST);
    let mut places: Vec<ChunkInfo> = Vec::new();
    grid.directory(snapshot, range.clone(), &mut |chunk| places.push(chunk))?;
    batch.expect_range(Space::Directory, range);
    let chunks = grid.chunk_reader(snapshot).of_layer(layer);
    for ChunkInfo {
        location: at,
        ticks,
        ..
    } in places
    {
        let ticks = ticks.as_deref().and_then(Ticks::new);
        let writes = match halved_base(chunks, base, &at)? {
            Some(bins) => chunks.encode(&at, &bins, None),
            None => chunks.blank(layer, &at, ticks.as_ref()),
        };
        super::write(chunks, batch, writes)?;
    }
    Ok(())
}

/// The bins of a place at which events of the base are halved further, if it is one. They are
/// written with the events, so that no mark makes them anew.
fn halved_base(chunks: ChunkReader<'_>, base: &Base, at: &Location) -> Result<Option<LayerChunks>> {
    let irregular = chunks.grid.structure().irregular_axis();
    let within =
        irregular.is_some_and(|irregular| at.levels[irregular.dimension] <= irregular.bucket);
    if !within || Column::layer_of(base, at) != LayerId::BASE {
        return Ok(None);
    }
    let ticks = chunks.ticks_of(LayerId::BASE, at)?;
    let events = chunks.layers_at(at, base, &ticks)?;
    events.map(|events| chunks.bins_of(at, &events)).transpose()
}

impl Store {
    /// Adds a layer of aggregates to a grid, durably, in one commit; gives a handle with it. Other
    /// layers stay as they are, and are read as before.
    ///
    /// The layer is computed from the base as after a put: at once under
    /// [`Policy::Inline`], by the store's threads under [`Policy::Background`], by
    /// [`Grid::aggregate`] under [`Policy::Manual`]. Until then reads of it tell what is stale, or
    /// compute it ([`Freshness::Fresh`](crate::Freshness::Fresh)); so do reads that take it by
    /// themselves, as resampling by area takes `mean`.
    ///
    /// Handles of the grid that were had before go on reading. Whatever would write through them
    /// fails with [`Expired`](ErrorKind::Expired): open the grid again.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](ErrorKind::AlreadyExists) if the grid has the layer;
    /// [`NotFound`](ErrorKind::NotFound) if there is no such grid; [`Invalid`](ErrorKind::Invalid)
    /// for a grid in several stores, for an aggregator that needs a service's own code, and if the
    /// grid has so many chunks that the commit would exceed 1 GiB, of some 10 million base chunks.
    pub fn add_aggregator(&self, grid: &str, aggregation: Aggregation) -> Result<Grid> {
        let grid = add(self, grid, &aggregation)?;
        if self.policy() == Policy::Inline {
            match grid.aggregate() {
                // What is blocked by damage stays marked, durably.
                Err(error) if *error.kind() == ErrorKind::Corrupt => {}
                aggregated => drop(aggregated?),
            }
        }
        Ok(grid)
    }
}
