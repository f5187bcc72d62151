//! What a grid is and holds, as `gridstone info --json` prints it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::time::Along;
use super::{bases, pieces};
use crate::error::{ErrorKind, Result};
use crate::grid::{Axis, Depth, Dimension, DimensionKind, Levels};
use crate::kernel::Aggregation;
use crate::reader::{Layer, Query};
use crate::store::{EncodingInfo, Grid, StoreStats};

/// Chunks that encodings are told from.
pub const CHUNKS_SHOWN: usize = 256;

/// What the store takes.
pub fn storage_json(stats: &StoreStats) -> Value {
    json!({
        "files": stats.files, "file_bytes": stats.file_bytes, "log_bytes": stats.log_bytes, "buffered_bytes": stats.buffered_bytes,
        "age": stats.age.map(|age| age.as_secs_f64()),
    })
}

/// The stored chunks of one layer at one level.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// How many there are.
    pub chunks: u64,
    /// What they take.
    pub bytes: u64,
    /// What their cells take uncompressed.
    pub raw_bytes: u64,
}

impl Tally {
    /// How many times smaller they are than their cells.
    pub fn ratio(self) -> Option<f64> {
        (self.bytes > 0).then(|| self.raw_bytes as f64 / self.bytes as f64)
    }

    fn add(&mut self, other: Tally) {
        self.chunks += other.chunks;
        self.bytes += other.bytes;
        self.raw_bytes += other.raw_bytes;
    }
}

/// The chunks of a layer at some levels.
pub type LayerRow = (Layer, Levels, Tally);

/// Chunks by layer (the base first, then as declared) and levels, and all of them.
///
/// # Errors
///
/// Those of [`Grid::stored_chunks`].
pub fn held_by_level(grid: &Grid) -> Result<(Vec<LayerRow>, Tally)> {
    let schema = grid.schema();
    let mut rows: BTreeMap<(usize, Levels), Tally> = BTreeMap::new();
    let rank = |of: &Option<Aggregation>| {
        of.as_ref().map_or(0, |of| {
            1 + schema
                .aggregators()
                .iter()
                .take_while(|other| *other != of)
                .count()
        })
    };
    for chunk in grid.stored_chunks()? {
        let dtype = chunk
            .aggregator
            .as_ref()
            .and_then(|aggregator| schema.layer_dtype(aggregator))
            .unwrap_or(schema.dtype());
        let cells = match (&chunk.ticks, schema.structure().irregular()) {
            (Some(ticks), Some(dimension)) => {
                schema.structure().chunk_cells()
                    / schema.structure().dimensions()[dimension].axes()[0].chunk() as usize
                    * ticks.len()
            }
            _ => schema.structure().chunk_cells(),
        };
        let raw_bytes = (cells * dtype.size()) as u64;
        let row = rows
            .entry((rank(&chunk.aggregator), chunk.location.levels()))
            .or_default();
        row.add(Tally {
            chunks: 1,
            bytes: chunk.bytes,
            raw_bytes,
        });
    }
    let mut total = Tally::default();
    rows.values().for_each(|row| total.add(*row));
    let layer = |rank: usize| match rank
        .checked_sub(1)
        .and_then(|number| schema.aggregators().get(number))
    {
        Some(aggregator) => Layer::Aggregate(aggregator.clone()),
        None => Layer::Base,
    };
    Ok((
        rows.into_iter()
            .map(|((rank, levels), tally)| (layer(rank), levels, tally))
            .collect(),
        total,
    ))
}

/// All of it as JSON.
///
/// # Errors
///
/// Those of the reads that it makes.
pub fn grid_json(grid: &Grid) -> Result<Value> {
    let (schema, structure) = (grid.schema(), grid.structure());
    let (layers, total) = held_by_level(grid)?;
    let dimension = |dimension: &Dimension| {
        let (kind, spacing) = match dimension.kind() {
            DimensionKind::Irregular { spacing, .. } => ("irregular", Some(*spacing)),
            DimensionKind::Fixed { .. } => ("fixed", None),
            _ => ("regular", None),
        };
        let depth = match dimension.aggregated() {
            Some(Depth::Levels(levels)) => Some(levels),
            Some(Depth::Top) => None,
            None => Some(0),
        };
        let axis = |axis: &Axis| json!({ "name": axis.name(), "origin": axis.origin(), "step": axis.step(), "chunk": axis.chunk(), "unit": axis.unit_name() });
        json!({
            "name": dimension.name(), "kind": kind, "refinable": dimension.is_refinable(), "depth": depth, "spacing": spacing,
            "labels": dimension.labels(), "axes": dimension.axes().iter().map(axis).collect::<Vec<_>>(),
        })
    };
    let layer = |(layer, levels, tally): &LayerRow| {
        json!({
            "layer": layer.to_string(), "levels": pieces::levels(structure, *levels), "chunks": tally.chunks, "bytes": tally.bytes,
            "raw_bytes": tally.raw_bytes, "ratio": tally.ratio(),
        })
    };
    let encoding = |of: &EncodingInfo| {
        json!({
            "encoding": of.encoding, "image": of.image, "strips": of.strips, "bytes": of.bytes, "raw_bytes": of.raw_bytes,
            "ratio": smaller(of),
        })
    };
    let top = grid.top()?.map(|top| {
        let index = structure.chunk_index(&top);
        json!({ "levels": pieces::levels(structure, top.levels()), "chunk": pieces::by_axis(structure, index.iter().copied()) })
    });
    let extent = grid.extent()?;
    let bounds = grid.bounds()?;
    let period = Along::find(structure)
        .filter(Along::is_time)
        .zip(bounds.as_ref());
    let period = period.map(|(along, bounds)| along.ends_shown(structure, bounds));
    // A reader of a store on object storage has none.
    let token = match grid.changes_token() {
        Err(error) if *error.kind() == ErrorKind::Invalid => None,
        token => Some(token?.to_string()),
    };
    Ok(json!({
        "grid": grid.name(), "dtype": schema.dtype().name(), "nodata": pieces::nodata(schema).map(pieces::number), "crs": structure.crs(),
        "codec": format!("{:?}", schema.codec()).to_lowercase(), "filter": format!("{:?}", schema.filter()).to_lowercase(),
        "zstd_level": schema.zstd_level(), "variable": schema.variable(), "unit": schema.unit(), "attributes": schema.attributes(),
        "aggregators": schema.aggregators().iter().map(Aggregation::to_string).collect::<Vec<_>>(),
        "dimensions": structure.dimensions().iter().map(dimension).collect::<Vec<_>>(),
        "extent": extent.as_ref().map(|extent| pieces::extent(structure, extent)), "period": period,
        "events": events(grid)?, "window": bounds.map(|bounds| pieces::window(structure, &bounds)),
        "base_levels": grid.base_levels()?.map(|levels| pieces::levels(structure, levels)),
        "reach": grid.reach()?.map(|levels| pieces::levels(structure, levels)),
        "base": bases::base_json(grid)?, "top": top, "marks": grid.marks()?, "token": token,
        "chunks": total.chunks, "bytes": total.bytes, "raw_bytes": total.raw_bytes, "ratio": total.ratio(),
        "layers": layers.iter().map(layer).collect::<Vec<_>>(),
        "encodings": grid.encodings(CHUNKS_SHOWN)?.iter().map(encoding).collect::<Vec<_>>(),
    }))
}

/// How many times smaller cells became.
pub fn smaller(of: &EncodingInfo) -> f64 {
    of.raw_bytes as f64 / of.bytes.max(1) as f64
}

/// How many events there are, if there is an irregular dimension.
///
/// # Errors
///
/// Those of [`Grid::events`].
pub fn events(grid: &Grid) -> Result<Option<u64>> {
    if grid.structure().irregular().is_none() {
        return Ok(None);
    }
    let ticks = if grid.bounds()?.is_some() {
        grid.events(&Query::all().layer(Layer::Base))?
    } else {
        Vec::new()
    };
    Ok(Some(ticks.len() as u64))
}
