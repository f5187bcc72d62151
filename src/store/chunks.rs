//! Chunks of a grid between their blobs and the kernels.

use crate::array::{Cells, DType};
use crate::codec::{BlobSpec, DecodeError, Filter, RawPlane, encode, has_strips};
use crate::error::{Error, ErrorKind, Result};
use crate::grid::{Levels, Location, Schema, Tuple};
use crate::kernel::{Chunk, Full, Halving, Weighed, Weighting};
use crate::key::{ChunkKey, LayerId, Ticks};
use crate::kv::{Snapshot, Space};

use super::grid::Grid;
use super::layers::{LayerSpec, base_fill};

/// The chunks at one location, one for each layer of a [`ChunkReader`], in the schema's order.
pub(crate) type LayerChunks = Vec<Chunk>;

/// The chunk of the only layer of a reader.
pub(crate) fn only(mut chunks: LayerChunks) -> Result<Chunk> {
    chunks
        .pop()
        .ok_or_else(|| Error::corrupt("there are chunks of no layer"))
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

/// A chunk to be written or removed.
#[derive(Debug)]
pub(crate) struct ChunkWrite {
    pub(crate) layer: LayerId,
    pub(crate) at: Location,
    pub(crate) what: ChunkContent,
}

/// What is to stand at a place of a layer.
#[derive(Debug)]
pub(crate) enum ChunkContent {
    /// A chunk of cells.
    Cells(Vec<u8>),
    /// A chunk of events at these ticks.
    Events(Ticks, Vec<u8>),
    /// Nothing in the base but the word that chunks of events lie below.
    Branch,
    Nothing,
}

/// Where a chunk stands: what an error of a damaged one is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkPlace {
    pub(crate) layer: LayerId,
    pub(crate) at: Location,
}

/// A plane that says which cells are valid, of another type than such planes have.
const OTHER_MASK: DecodeError = DecodeError::Request {
    reason: "a mask of another type",
};

/// Reads the chunks of a grid, makes chunks of others and encodes them: base chunks, and those of
/// all layers or of one.
#[derive(Clone, Copy)]
pub(crate) struct ChunkReader<'a> {
    pub(crate) grid: &'a Grid,
    pub(crate) snapshot: &'a dyn Snapshot,
    layers: &'a [LayerSpec],
}

impl<'a> ChunkReader<'a> {
    /// One of all layers.
    pub(super) fn new(grid: &'a Grid, snapshot: &'a dyn Snapshot) -> Self {
        Self {
            grid,
            snapshot,
            layers: grid.layers(),
        }
    }

    /// One of a single layer.
    #[must_use]
    pub(crate) fn of_layer(self, layer: &'a LayerSpec) -> Self {
        self.of_layers(std::slice::from_ref(layer))
    }

    /// One of some layers.
    #[must_use]
    pub(crate) fn of_layers(self, layers: &'a [LayerSpec]) -> Self {
        Self { layers, ..self }
    }

    /// The layers that it is of.
    pub(crate) fn layers(&self) -> &'a [LayerSpec] {
        self.layers
    }

    /// The key of a layer's chunk.
    pub(crate) fn key(&self, layer: LayerId, at: &Location) -> Vec<u8> {
        ChunkKey::new(self.grid.id(), self.grid.structure(), layer, at).encode()
    }

    /// The types of the planes that a layer's blobs can have, and how many of them they have at
    /// least.
    pub(crate) fn planes(&self, layer: LayerId) -> (Vec<DType>, usize) {
        let schema = self.grid.schema();
        match self.grid.layers().iter().find(|spec| spec.id == layer) {
            Some(spec) => spec.planes.clone(),
            None if schema.needs_mask() => (vec![schema.dtype(), DType::U8], 1),
            None => (vec![schema.dtype()], 1),
        }
    }

    /// What the checksum of a chunk's blob covers beside the blob itself: its key, and the ticks of
    /// its events.
    fn identity(&self, layer: LayerId, at: &Location, ticks: Option<&Ticks>) -> Vec<u8> {
        let mut identity = self.key(layer, at);
        ticks.iter().for_each(|ticks| ticks.encode(&mut identity));
        identity
    }

    /// Hands the blob of a chunk, if there is one, to `read`, behind what it is checked by.
    pub(crate) fn with_blob<R>(
        &self,
        layer: LayerId,
        at: &Location,
        ticks: Option<&Ticks>,
        read: impl FnOnce(&[u8], &[u8]) -> Result<R, DecodeError>,
    ) -> Result<Option<R>> {
        let (mut read, mut found) = (Some(read), None);
        self.with_blobs(layer, &[(at, ticks)], &mut |_, identity, blob| {
            found = read.take().map(|read| read(identity, blob)).transpose()?;
            Ok(())
        })?;
        Ok(found)
    }

    /// Hands the blob of each of several chunks of a layer that is there to `read`, in their order,
    /// with the number of the chunk, behind what it is checked by.
    #[expect(
        clippy::type_complexity,
        reason = "an alias would hide what the visitor gets"
    )]
    pub(crate) fn with_blobs(
        &self,
        layer: LayerId,
        chunks: &[(&Location, Option<&Ticks>)],
        read: &mut dyn FnMut(usize, &[u8], &[u8]) -> Result<(), DecodeError>,
    ) -> Result<()> {
        let space = if layer == LayerId::BASE {
            Space::Base
        } else {
            Space::Aggregate
        };
        let keys: Vec<Vec<u8>> = chunks.iter().map(|(at, _)| self.key(layer, at)).collect();
        let (mut next, mut told) = (0, false);
        let visited = self.snapshot.get_many(space, &keys, &mut |number, blob| {
            next = number + 1;
            let Some(blob) = blob else { return Ok(()) };
            self.grid.counters().read(blob.len());
            let (at, ticks) = chunks[number];
            // Of cells the key is all of it.
            let identity = ticks.map(|_| self.identity(layer, at, ticks));
            read(number, identity.as_deref().unwrap_or(&keys[number]), blob).map_err(|e| {
                told = true;
                self.damaged(layer, at).because(e)
            })
        });
        // What the engine cannot read is the first that it did not show.
        visited.map_err(|error| match chunks.get(next) {
            Some((at, _)) if !told => self.unreadable(layer, at, error),
            _ => error,
        })
    }

    /// Compares the checksums of a chunk's blob.
    pub(crate) fn check_blob(
        &self,
        layer: LayerId,
        at: &Location,
        ticks: Option<&Ticks>,
        blob: &[u8],
    ) -> Result<()> {
        crate::codec::verify(&self.identity(layer, at, ticks), blob)
            .map_err(|e| self.damaged(layer, at).because(e))
    }

    /// The bytes of a base chunk as they are stored, sound or not.
    pub(crate) fn raw_base(&self, at: &Location) -> Result<Option<Vec<u8>>> {
        self.with_blob(LayerId::BASE, at, None, |_, blob| Ok(blob.to_vec()))
    }

    /// The shape of a chunk of cells, or of one of events at some ticks.
    pub(crate) fn shape(&self, ticks: Option<&Ticks>) -> Tuple<usize> {
        let structure = self.grid.structure();
        let mut shape = structure.chunk_shape();
        if let Some((irregular, ticks)) = structure.irregular_axis().zip(ticks) {
            shape[irregular.axis] = ticks.len();
        }
        shape
    }

    /// The error for a chunk that the directory has, and that is not there.
    pub(crate) fn lost(&self, layer: LayerId, at: &Location) -> Error {
        self.damaged(layer, at)
            .because("it is in the directory, but not there")
    }

    /// The error for a damaged chunk. It is about that [`ChunkPlace`].
    pub(crate) fn damaged(&self, layer: LayerId, at: &Location) -> Error {
        Error::corrupt(format!("{} is damaged", self.named(layer, at)))
            .about(ChunkPlace { layer, at: *at })
    }

    /// The error for a chunk that the engine cannot read.
    fn unreadable(&self, layer: LayerId, at: &Location, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Corrupt => self.damaged(layer, at).because(error),
            _ => error.within(format!("{} cannot be read", self.named(layer, at))),
        }
    }

    fn named(&self, layer: LayerId, at: &Location) -> String {
        format!(
            "grid `{}`: {}",
            self.grid.name(),
            self.grid.chunk_name(layer, at)
        )
    }

    /// A base chunk of cells, or of events if there are ticks, if there is one.
    pub(crate) fn base(&self, at: &Location, ticks: Option<&Ticks>) -> Result<Option<BaseChunk>> {
        let (shape, (dtypes, least)) = (self.shape(ticks), self.planes(LayerId::BASE));
        self.with_blob(LayerId::BASE, at, ticks, |identity, blob| {
            let mut planes =
                crate::codec::decode(identity, blob, &BlobSpec::new(&shape, &dtypes, least)?)?
                    .into_iter();
            let cells = planes.next().ok_or(DecodeError::Request {
                reason: "a blob without planes",
            })?;
            let mask = planes
                .next()
                .map(|mask| mask.as_slice::<u8>().map(<[u8]>::to_vec).ok_or(OTHER_MASK))
                .transpose()?;
            Ok(BaseChunk { cells, mask })
        })
    }

    /// A base chunk of events, which the directory has.
    pub(crate) fn base_events(&self, at: &Location, ticks: &Ticks) -> Result<BaseChunk> {
        self.base(at, Some(ticks))?
            .ok_or_else(|| self.lost(LayerId::BASE, at))
    }

    /// The aggregates at a location, of events if there are ticks, if there are any.
    pub(crate) fn aggregates(
        &self,
        at: &Location,
        ticks: Option<&Ticks>,
    ) -> Result<Option<LayerChunks>> {
        let mut chunks = Vec::with_capacity(self.layers.len());
        for layer in self.layers {
            match (self.decode_layer(layer, at, ticks)?, chunks.is_empty()) {
                (Some(chunk), _) => chunks.push(chunk),
                (None, true) => return Ok(None),
                (None, false) => {
                    return Err(self
                        .damaged(layer.id, at)
                        .because("it is missing while another layer's is there"));
                }
            }
        }
        Ok((!chunks.is_empty()).then_some(chunks))
    }

    /// What the layers have of the chunk that stands in the base, which is lifted, or in them, if
    /// it is there.
    pub(crate) fn lifted(
        &self,
        stored: LayerId,
        at: &Location,
        ticks: Option<&Ticks>,
    ) -> Result<Option<LayerChunks>> {
        match stored {
            LayerId::BASE => self
                .base(at, ticks)?
                .map(|base| self.lift(&base, at.levels))
                .transpose(),
            _ => self.aggregates(at, ticks),
        }
    }

    fn decode_layer(
        &self,
        layer: &LayerSpec,
        at: &Location,
        ticks: Option<&Ticks>,
    ) -> Result<Option<Chunk>> {
        let (shape, (dtypes, least)) = (self.shape(ticks), &layer.planes);
        self.with_blob(layer.id, at, ticks, |identity, blob| {
            let mut planes =
                crate::codec::decode(identity, blob, &BlobSpec::new(&shape, dtypes, *least)?)?
                    .into_iter();
            let values = planes.next().ok_or(DecodeError::Request {
                reason: "a blob without planes",
            })?;
            let mut state: Vec<Cells> = planes.by_ref().take(layer.rule.fixed()).collect();
            let weight = planes.next().map(|plane| match plane {
                Cells::F64(weight) => Ok(weight),
                Cells::U8(mask) => Ok(mask.into_iter().map(f64::from).collect()),
                _ => Err(OTHER_MASK),
            });
            let weight: Option<Vec<f64>> = weight.transpose()?;
            state.extend(planes);
            let full = self.grid.full(at.levels).0;
            // Where planes come behind, the weight is written even if every cell is full.
            let weight = weight.filter(|weight| {
                state.len() == layer.rule.fixed() || weight.iter().any(|&w| w != full)
            });
            Ok(Chunk {
                values,
                state,
                weight,
            })
        })
    }

    /// What the layers make of base cells.
    pub(crate) fn lift(&self, base: &BaseChunk, levels: Levels) -> Result<LayerChunks> {
        let (shape, full) = (self.grid.shape_of(base.cells.len()), self.grid.full(levels));
        let weighed = base.weigh(self.grid.schema(), full);
        self.each(|layer, _| layer.rule.lift(&weighed, &shape, full))
    }

    /// Chunks at `from`, copied down along the refinable dimension to a location below.
    pub(crate) fn spread(
        &self,
        chunks: &[Chunk],
        from: &Location,
        at: &Location,
    ) -> Result<LayerChunks> {
        let Some(spreading) = self.spreading(from, at) else {
            return Ok(chunks.to_vec());
        };
        let (shape, full) = (
            self.grid.structure().chunk_shape(),
            self.grid.full(at.levels),
        );
        self.each(|layer, number| {
            layer.rule.divide(
                spreading.chunk(&chunks[number]),
                &shape,
                spreading.part(),
                full,
            )
        })
    }

    /// The part of a parent at `levels`, which derives along a dimension, that a child stands for.
    /// The child may be of events, unless that is the irregular dimension: along it, bins are
    /// reduced.
    pub(crate) fn reduce(
        &self,
        child: &[Chunk],
        dimension: usize,
        levels: Levels,
    ) -> Result<LayerChunks> {
        let (structure, full) = (self.grid.structure(), self.grid.full(levels));
        let cells = child.first().map_or(0, |chunk| chunk.values.len());
        let halving = Halving::new(&self.grid.shape_of(cells), structure.axes_of(dimension));
        self.each(
            |layer, number| match structure.dimensions()[dimension].is_irregular() {
                true => layer.rule.reduce_bins(&child[number], &halving, full),
                false => layer.rule.reduce(&child[number], &halving, full),
            },
        )
    }

    /// Puts parts into their parent at `levels`: `old` is the parent as it was, all nodata if
    /// absent; a part that is `None` is all nodata.
    pub(crate) fn assemble(
        &self,
        old: Option<LayerChunks>,
        parts: Vec<(u8, Option<LayerChunks>)>,
        halving: &Halving,
        levels: Levels,
    ) -> LayerChunks {
        let full = self.grid.full(levels);
        let mut old: Vec<Option<Chunk>> = old.map_or_else(
            || vec![None; self.layers.len()],
            |old| old.into_iter().map(Some).collect(),
        );
        let mut by_layer: Vec<Vec<(u8, Option<Chunk>)>> = vec![Vec::new(); self.layers.len()];
        for (child, part) in parts {
            match part {
                Some(chunks) => by_layer
                    .iter_mut()
                    .zip(chunks)
                    .for_each(|(parts, chunk)| parts.push((child, Some(chunk)))),
                None => by_layer
                    .iter_mut()
                    .for_each(|parts| parts.push((child, None))),
            }
        }
        let layers = self.layers.iter().zip(old.iter_mut()).zip(&by_layer);
        layers
            .map(|((layer, old), parts)| layer.rule.assemble(old.take(), parts, halving, full))
            .collect()
    }

    /// What becomes of each layer, which has a number.
    pub(crate) fn each(
        &self,
        of: impl Fn(&LayerSpec, usize) -> Result<Chunk>,
    ) -> Result<LayerChunks> {
        let of = |(number, layer): (usize, &LayerSpec)| {
            of(layer, number).map_err(|e| self.grid.blame(e))
        };
        self.layers.iter().enumerate().map(of).collect()
    }

    /// Whether a chunk is stored.
    pub(crate) fn exists(&self, layer: LayerId, at: &Location) -> Result<bool> {
        let mut exists = false;
        self.snapshot
            .get_many(Space::Directory, &[self.key(layer, at)], &mut |_, entry| {
                exists = entry.is_some();
                Ok(())
            })?;
        Ok(exists)
    }

    /// The blob of a base chunk, of events if there are ticks.
    pub(crate) fn encode_base(
        &self,
        at: &Location,
        chunk: &BaseChunk,
        ticks: Option<&Ticks>,
    ) -> Vec<u8> {
        let schema = self.grid.schema();
        let mask = chunk.mask.as_ref().map(|mask| Cells::from(mask.clone()));
        let mut planes = vec![RawPlane::new(
            &chunk.cells,
            schema.filter(),
            base_fill(schema),
        )];
        planes.extend(
            mask.as_ref()
                .map(|mask| RawPlane::new(mask, Filter::None, 0.0)),
        );
        self.blob(LayerId::BASE, at, ticks, &planes)
    }

    /// The writes of aggregates, of events if there are ticks.
    pub(crate) fn encode(
        &self,
        at: &Location,
        chunks: &[Chunk],
        ticks: Option<&Ticks>,
    ) -> Vec<ChunkWrite> {
        let of_layer = |(layer, chunk): (&LayerSpec, &Chunk)| {
            let blob = self.encode_layer(layer, at, chunk, ticks);
            let what = match ticks {
                None => ChunkContent::Cells(blob),
                Some(ticks) => ChunkContent::Events(ticks.clone(), blob),
            };
            ChunkWrite {
                layer: layer.id,
                at: *at,
                what,
            }
        };
        self.layers.iter().zip(chunks).map(of_layer).collect()
    }

    /// The writes of chunks without data, of events if there are ticks.
    pub(crate) fn blank(&self, at: &Location, ticks: Option<&Ticks>) -> Vec<ChunkWrite> {
        let cells = self.shape(ticks).iter().product();
        let blank = |layer: &LayerSpec| layer.rule.blank(cells);
        let chunks: LayerChunks = self.layers.iter().map(blank).collect();
        self.encode(at, &chunks, ticks)
    }

    /// The writes by which the aggregates at a location go.
    pub(crate) fn without(&self, at: &Location) -> Vec<ChunkWrite> {
        self.layers
            .iter()
            .map(|layer| ChunkWrite {
                layer: layer.id,
                at: *at,
                what: ChunkContent::Nothing,
            })
            .collect()
    }

    fn encode_layer(
        &self,
        layer: &LayerSpec,
        at: &Location,
        chunk: &Chunk,
        ticks: Option<&Ticks>,
    ) -> Vec<u8> {
        let schema = self.grid.schema();
        let (fixed, rest) = chunk
            .state
            .split_at(layer.rule.fixed().min(chunk.state.len()));
        let full = (!rest.is_empty() && chunk.weight.is_none())
            .then(|| vec![self.grid.full(at.levels).0; chunk.values.len()]);
        let weight =
            chunk
                .weight
                .as_ref()
                .or(full.as_ref())
                .map(|weight| match layer.rule.weighting() {
                    Weighting::Area => Cells::from(weight.clone()),
                    _ => Cells::from(
                        weight
                            .iter()
                            .map(|&w| u8::from(w > 0.0))
                            .collect::<Vec<u8>>(),
                    ),
                });
        let filter = if layer.dtype == schema.dtype() {
            schema.filter()
        } else {
            Filter::default_for(layer.dtype)
        };
        let mut planes = vec![RawPlane::new(&chunk.values, filter, layer.rule.fill)];
        let state = |cells| RawPlane::new(cells, Filter::Auto, f64::NAN);
        let plain = |cells| RawPlane::new(cells, Filter::Narrow, f64::NAN);
        planes.extend(fixed.iter().map(state));
        planes.extend(weight.iter().chain(rest).map(plain));
        self.blob(layer.id, at, ticks, &planes)
    }

    /// The blob of planes; what the chunk was before is taken over where it still is so.
    fn blob(
        &self,
        layer: LayerId,
        at: &Location,
        ticks: Option<&Ticks>,
        planes: &[RawPlane<'_>],
    ) -> Vec<u8> {
        let (identity, shape, settings) = (
            self.identity(layer, at, ticks),
            self.shape(ticks),
            self.grid.schema().settings(),
        );
        let mut blob = None;
        if planes
            .iter()
            .any(|plane| has_strips(&shape, plane.cells.dtype()))
        {
            let space = if layer == LayerId::BASE {
                Space::Base
            } else {
                Space::Aggregate
            };
            // Without it, as where it cannot be read, the blob is the same.
            let _ = self
                .snapshot
                .get_many(space, &[self.key(layer, at)], &mut |_, before| {
                    blob = Some(encode(&identity, planes, &shape, settings, before));
                    Ok(())
                });
        }
        blob.unwrap_or_else(|| encode(&identity, planes, &shape, settings, None))
    }
}
