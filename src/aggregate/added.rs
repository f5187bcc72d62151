//! Layers are added to a grid that holds data.
//!
//! One commit puts the schema with the layers in place of the old one, a chunk without data for
//! each wherever the other layers have one, so that a place has aggregates of every layer or of
//! none, and marks for these layers alone above all base data, which say that these chunks are out
//! of date. A grid that had no layer has none of that, so its pyramid reaches up to the top from
//! then on, as when it rises over a base that was there before. Only bins that stand within the
//! base, where events are many, are made in the commit, since no mark makes them. From then on they
//! are layers like the others: reads compute what is marked or tell that it is stale, and steps of
//! aggregation consume the marks. Who still has the old schema when it comes to a commit is
//! refused.

use super::raise;
use crate::dirty;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Column;
use crate::grid::{Location, SchemaBuilder};
use crate::kernel::Aggregation;
use crate::key::{ChunkKey, LayerId, Ticks, meta};
use crate::kv::{Batch, Durability, Snapshot, Space};
use crate::store::{
    Base, BatchNumber, ChunkInfo, ChunkReader, Grid, LayerChunks, Policy, Pyramid, Store,
    write_reach, write_schema,
};

/// The bytes that the one commit may have.
const COMMIT_MAX: usize = 1 << 30;

/// Adds layers, all of them or none, durably. Gives the grid with them.
pub(crate) fn add(store: &Store, name: &str, aggregations: &[Aggregation]) -> Result<Grid> {
    store.backlog().admit()?;
    loop {
        let old = store.grid(name)?;
        let grid = with_layers(&old, aggregations)?;
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

/// The same grid with the layers in its schema.
fn with_layers(old: &Grid, aggregations: &[Aggregation]) -> Result<Grid> {
    let mut known = old.schema().aggregators().iter();
    if let Some(there) = known.find(|of| aggregations.contains(of)) {
        return Err(old.blame(Error::new(
            ErrorKind::AlreadyExists,
            format!("it has the layer `{there}` already"),
        )));
    }
    if aggregations.is_empty() {
        let why = "no aggregator is named, so there is no layer to add; name one or more";
        return Err(old.blame(Error::invalid(why)));
    }
    let schema = aggregations
        .iter()
        .cloned()
        .fold(
            SchemaBuilder::from(old.schema().clone()),
            SchemaBuilder::aggregator,
        )
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

/// The commit that puts a grid with more layers in place of the one without.
fn prepared(
    snapshot: &dyn Snapshot,
    (old, grid): (&Grid, &Grid),
    number: &BatchNumber,
) -> Result<Batch> {
    let mut batch = Batch::at(snapshot);
    old.expect_schema(snapshot, &mut batch)?;
    refuse_shared(old, snapshot, &mut batch)?;
    batch.expect_key(Space::Meta, meta::reach(grid.id()));
    let (added, first) = (
        &grid.layers()[old.layers().len()..],
        old.layers().is_empty(),
    );
    // Where there was no layer, those who write to the base leave no marks.
    let listed = if first { LayerId::BASE } else { LayerId::FIRST };
    batch.expect_range(Space::Directory, ChunkKey::layer(grid.id(), listed));
    if let Some(pyramid) = grid.state(snapshot)?.pyramid(grid.structure()) {
        let chunks = grid.chunk_reader(snapshot).of_layers(added);
        fill(chunks, &mut batch, (listed, &pyramid.base))?;
        let top = if first { pyramid.top } else { pyramid.built };
        let from_base = Pyramid {
            top,
            ..Pyramid::of(pyramid.base)
        };
        let edges = raise::edges(grid, snapshot, &from_base)?;
        dirty::mark_layers(grid, &mut batch, edges, (added, number.get()));
        if top != pyramid.built {
            write_reach(&mut batch, grid.id(), top)?;
        }
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
            "it is one grid in several stores, which all have its layers, so that none is added to one of them; make another federation by FederationOptions::create, of a schema with the layer, and put the data into it",
        )));
    }
    keys.into_iter()
        .for_each(|key| batch.expect_key(Space::Meta, key));
    Ok(())
}

/// Adds a chunk without data for each layer wherever others have one, and the bins of events of the
/// base; what is `listed` is the base if there are no others.
fn fill(
    chunks: ChunkReader<'_>,
    batch: &mut Batch,
    (listed, base): (LayerId, &Base),
) -> Result<()> {
    let (grid, mut places) = (chunks.grid, Vec::<ChunkInfo>::new());
    let range = ChunkKey::layer(grid.id(), listed);
    grid.directory(chunks.snapshot, range, &mut |chunk| {
        let has = listed != LayerId::BASE || !chunk.is_chunk();
        places.extend(has.then_some(chunk));
    })?;
    for ChunkInfo {
        location: at,
        ticks,
        ..
    } in places
    {
        let ticks = ticks.as_deref().and_then(Ticks::new);
        let writes = match halved_base(chunks, base, &at)? {
            Some(bins) => chunks.encode(&at, &bins, None),
            None => chunks.blank(&at, ticks.as_ref()),
        };
        super::write(chunks, batch, writes)?;
    }
    Ok(())
}

/// The bins of a place at which events of the base are halved further, if it is one. They are
/// written with the events, so that no mark makes them anew.
fn halved_base(chunks: ChunkReader<'_>, base: &Base, at: &Location) -> Result<Option<LayerChunks>> {
    let irregular = chunks.grid.structure().irregular_axis();
    if irregular.is_none() || Column::layer_of(base, at) != LayerId::BASE {
        return Ok(None);
    }
    chunks.branch_bins(at, base)
}

impl Store {
    /// Adds a layer of aggregates to a grid, as [`add_aggregators`](Self::add_aggregators) does.
    ///
    /// # Errors
    ///
    /// Those of [`add_aggregators`](Self::add_aggregators).
    pub fn add_aggregator(&self, grid: &str, aggregation: Aggregation) -> Result<Grid> {
        self.add_aggregators(grid, [aggregation])
    }

    /// Adds layers of aggregates to a grid, all of them or none, durably, in one commit; gives a
    /// handle with them. Other layers stay as they are, and are read as before.
    ///
    /// The layers are computed from the base as after a put: at once under
    /// [`Policy::Inline`], by the store's threads under [`Policy::Background`], by
    /// [`Grid::aggregate`] under [`Policy::Manual`]. Until then reads of them tell what is stale, or
    /// compute it ([`Freshness::Fresh`](crate::Freshness::Fresh)); so do reads that take one by
    /// themselves, as resampling by area takes `mean`.
    ///
    /// Handles of the grid that were had before go on reading: what they knew. Whatever would write
    /// through them fails with [`Expired`](ErrorKind::Expired): open the grid again.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](ErrorKind::AlreadyExists) if the grid has one of the layers;
    /// [`NotFound`](ErrorKind::NotFound) if there is no such grid; [`Invalid`](ErrorKind::Invalid)
    /// if none is named or one twice, for a grid in several stores, for an aggregator that needs a
    /// service's own code, and if the grid has so many chunks that the commit would exceed 1 GiB, of
    /// some 10 million base chunks.
    pub fn add_aggregators(
        &self,
        grid: &str,
        aggregations: impl IntoIterator<Item = Aggregation>,
    ) -> Result<Grid> {
        let aggregations: Vec<Aggregation> = aggregations.into_iter().collect();
        let grid = add(self, grid, &aggregations)?;
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
