//! Chunks of a grid between their blobs and the kernels.

use crate::array::{Cells, DType};
use crate::codec::{BlobSpec, DecodeError, Filter, Plane};
use crate::error::{Error, Result};
use crate::grid::{Levels, Location, Schema};
use crate::kernel::{Aggregator, Chunk, Full, Weighed, Weighting};
use crate::key::{ChunkKey, LayerId};
use crate::kv::{Snapshot, Space};

use super::grid::Grid;

/// One layer of a grid, as its schema makes it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LayerSpec {
    pub(crate) id: LayerId,
    pub(crate) aggregator: Aggregator,
    pub(crate) dtype: DType,
    /// What stands in a cell without data.
    pub(crate) fill: f64,
    /// The types of the planes: values, then weights where there are any.
    planes: Vec<DType>,
}

/// The chunks at one location, one a layer in the schema's order.
pub(crate) type LayerChunks = Vec<Chunk>;

impl LayerSpec {
    /// The layers of a schema, in its order.
    pub(crate) fn all(schema: &Schema) -> Vec<LayerSpec> {
        let tallies = !schema.structure().dimensions().iter().any(|d| d.is_refinable());
        let layer = |(i, &aggregator): (usize, &Aggregator)| {
            let dtype = aggregator.dtype(schema.dtype(), tallies);
            let nodata =
                schema.nodata().filter(|&nodata| Cells::filled(dtype, 1, nodata) == Cells::filled(dtype, 1, nodata.round()));
            let fill = match (dtype.is_float(), aggregator) {
                (true, Aggregator::Count) | (false, Aggregator::Count) => 0.0,
                (true, _) => f64::NAN,
                (false, _) => nodata.unwrap_or(0.0),
            };
            let planes = match aggregator.weighting() {
                Weighting::Area => vec![dtype, DType::F64],
                Weighting::Mask => vec![dtype, DType::U8],
                Weighting::None => vec![dtype],
            };
            LayerSpec { id: LayerId(u8::try_from(i + 1).unwrap_or(u8::MAX)), aggregator, dtype, fill, planes }
        };
        schema.aggregators().iter().enumerate().map(layer).collect()
    }
}

/// What stands in a base cell without data.
pub(crate) fn base_fill(schema: &Schema) -> f64 {
    schema.nodata().unwrap_or(if schema.dtype().is_float() { f64::NAN } else { 0.0 })
}

/// Base cells, and which of them are valid where the cells themselves cannot say it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BaseChunk {
    pub(crate) cells: Cells,
    pub(crate) mask: Option<Vec<u8>>,
}

impl BaseChunk {
    /// The cells as the kernels see them.
    pub(crate) fn weigh(&self, schema: &Schema, full: Full) -> Weighed<'_> {
        Weighed::new(&self.cells, schema.nodata(), self.mask.as_deref(), full)
    }
}

/// Reads and encodes the chunks of a grid.
#[derive(Clone, Copy)]
pub(crate) struct ChunkReader<'a> {
    pub(crate) grid: &'a Grid,
    pub(crate) snapshot: &'a dyn Snapshot,
}

impl<'a> ChunkReader<'a> {
    /// The key of a layer's chunk.
    pub(crate) fn key(&self, layer: LayerId, at: &Location) -> Vec<u8> {
        ChunkKey::new(self.grid.id(), self.grid.structure(), layer, at).encode()
    }

    /// The types of the planes that a layer's blobs can have.
    pub(crate) fn planes(&self, layer: LayerId) -> Vec<DType> {
        let schema = self.grid.schema();
        match self.grid.layers().iter().find(|spec| spec.id == layer) {
            Some(spec) => spec.planes.clone(),
            None if schema.needs_mask() => vec![schema.dtype(), DType::U8],
            None => vec![schema.dtype()],
        }
    }

    /// Hands the blob of a chunk, if there is one, to `read`.
    pub(crate) fn with_blob<R>(
        &self,
        layer: LayerId,
        at: &Location,
        read: impl FnOnce(&[u8], &[u8]) -> Result<R, DecodeError>,
    ) -> Result<Option<R>> {
        let space = if layer == LayerId::BASE { Space::Base } else { Space::Aggregate };
        let keys = [self.key(layer, at)];
        let (mut read, mut found) = (Some(read), None);
        self.snapshot.get_many(space, &keys, &mut |_, blob| {
            if let (Some(blob), Some(read)) = (blob, read.take()) {
                self.grid.counters().read(blob.len());
                found = Some(read(&keys[0], blob).map_err(|e| self.damaged(layer, at).because(e))?);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// The error for a damaged chunk.
    pub(crate) fn damaged(&self, layer: LayerId, at: &Location) -> Error {
        Error::corrupt(format!(
            "grid `{}`: the {} chunk at {} is damaged",
            self.grid.name(),
            self.grid.layer_name(layer),
            self.grid.structure().describe(at)
        ))
    }

    /// A base chunk, if there is one.
    pub(crate) fn base(&self, at: &Location) -> Result<Option<BaseChunk>> {
        let (shape, dtypes) = (self.grid.structure().chunk_shape(), self.planes(LayerId::BASE));
        self.with_blob(LayerId::BASE, at, |key, blob| {
            let mut planes = crate::codec::decode(key, blob, &BlobSpec::new(&shape, &dtypes, 1)?)?.into_iter();
            let cells = planes.next().ok_or(DecodeError::Request { reason: "a blob without planes" })?;
            let mask = planes.next().and_then(|mask| mask.as_slice::<u8>().map(<[u8]>::to_vec));
            Ok(BaseChunk { cells, mask })
        })
    }

    /// An aggregate chunk of one layer, if there is one.
    pub(crate) fn layer(&self, layer: &LayerSpec, at: &Location) -> Result<Option<Chunk>> {
        let shape = self.grid.structure().chunk_shape();
        self.with_blob(layer.id, at, |key, blob| {
            let mut planes = crate::codec::decode(key, blob, &BlobSpec::new(&shape, &layer.planes, 1)?)?.into_iter();
            let values = planes.next().ok_or(DecodeError::Request { reason: "a blob without planes" })?;
            let weight = planes.next().map(|plane| match plane {
                Cells::F64(weight) => weight,
                mask => mask.as_slice::<u8>().unwrap_or_default().iter().map(|&valid| f64::from(valid)).collect(),
            });
            Ok(Chunk { values, weight })
        })
    }

    /// The chunks of every layer at a location; base cells are lifted. `None` if nothing is stored there.
    pub(crate) fn layers(&self, at: &Location, base: Levels) -> Result<Option<LayerChunks>> {
        if at.levels == base {
            return Ok(self.base(at)?.map(|chunk| self.lift(&chunk.weigh(self.grid.schema(), self.grid.full(base)), base)));
        }
        let mut chunks = Vec::with_capacity(self.grid.layers().len());
        for layer in self.grid.layers() {
            match (self.layer(layer, at)?, chunks.is_empty()) {
                (Some(chunk), _) => chunks.push(chunk),
                (None, true) => return Ok(None),
                (None, false) => return Err(self.damaged(layer.id, at).because("it is missing while another layer's is there")),
            }
        }
        Ok(Some(chunks))
    }

    /// What each layer makes of base cells.
    pub(crate) fn lift(&self, base: &Weighed<'_>, levels: Levels) -> LayerChunks {
        let full = self.grid.full(levels);
        self.grid.layers().iter().map(|layer| base.lift(layer.aggregator, layer.dtype, layer.fill, full)).collect()
    }

    /// Whether a chunk is stored.
    pub(crate) fn exists(&self, layer: LayerId, at: &Location) -> Result<bool> {
        let mut exists = false;
        self.snapshot.get_many(Space::Directory, &[self.key(layer, at)], &mut |_, entry| {
            exists = entry.is_some();
            Ok(())
        })?;
        Ok(exists)
    }

    /// The blob of a base chunk.
    pub(crate) fn encode_base(&self, at: &Location, chunk: &BaseChunk) -> Vec<u8> {
        let schema = self.grid.schema();
        let mask = chunk.mask.as_ref().map(|mask| Cells::from(mask.clone()));
        let mut planes = vec![Plane { cells: &chunk.cells, filter: schema.filter() }];
        planes.extend(mask.as_ref().map(|mask| Plane { cells: mask, filter: Filter::None }));
        crate::codec::encode(&self.key(LayerId::BASE, at), &planes, self.row_len(), schema.zstd_level())
    }

    /// The blob of an aggregate chunk.
    pub(crate) fn encode_layer(&self, layer: &LayerSpec, at: &Location, chunk: &Chunk) -> Vec<u8> {
        let schema = self.grid.schema();
        let weight = chunk.weight.as_ref().map(|weight| match layer.aggregator.weighting() {
            Weighting::Area => Cells::from(weight.clone()),
            _ => Cells::from(weight.iter().map(|&w| u8::from(w > 0.0)).collect::<Vec<u8>>()),
        });
        let filter = if layer.dtype == schema.dtype() { schema.filter() } else { Filter::default_for(layer.dtype) };
        let mut planes = vec![Plane { cells: &chunk.values, filter }];
        planes.extend(
            weight.as_ref().map(|weight| // Weights are the same over wide areas, which zstd alone packs best and fastest.
        Plane { cells: weight, filter: Filter::None }),
        );
        crate::codec::encode(&self.key(layer.id, at), &planes, self.row_len(), schema.zstd_level())
    }

    fn row_len(&self) -> usize {
        self.grid.structure().chunk_shape().last().copied().unwrap_or(1)
    }
}
