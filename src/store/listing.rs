//! Which chunks there are, from their directory entries.

use super::Grid;
use crate::error::{Error, Result};
use crate::grid::{Extent, Levels, Location, Window};
use crate::kernel::Aggregation;
use crate::key::{ChunkKey, DirectoryEntry, LayerId};
use crate::kv::{KeyRange, Snapshot, Space, for_each_page};

/// What the store knows of a chunk without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChunkInfo {
    /// Where it is.
    pub location: Location,
    /// The aggregator of its layer; `None` for base chunks.
    pub aggregator: Option<Aggregation>,
    /// The length of its blob.
    pub bytes: u64,
    /// The checksum of its blob: while it is the same, so are the cells.
    pub checksum: u64,
    /// The ticks of the events that it holds, along an irregular dimension; `None` if it holds
    /// cells.
    pub ticks: Option<Vec<i64>>,
}

impl ChunkInfo {
    fn new(location: Location, aggregator: Option<Aggregation>, entry: DirectoryEntry) -> Self {
        let DirectoryEntry {
            bytes,
            checksum,
            ticks,
        } = entry;
        Self {
            location,
            aggregator,
            bytes,
            checksum,
            ticks: ticks.map(|ticks| ticks.to_vec()),
        }
    }

    /// Whether it is a chunk, not only the word that chunks of events lie below.
    pub(crate) fn is_chunk(&self) -> bool {
        self.bytes > 0
    }
}

/// How many directory entries are read at once.
const PAGE: usize = 4096;

impl Grid {
    /// Every base chunk, in key order.
    pub fn base_chunks(&self) -> Result<Vec<ChunkInfo>> {
        let snapshot = self.present()?;
        let mut chunks = Vec::new();
        self.directory(
            snapshot.as_ref(),
            ChunkKey::layer(self.id(), LayerId::BASE),
            &mut |chunk| chunks.extend(Some(chunk).filter(ChunkInfo::is_chunk)),
        )?;
        Ok(chunks)
    }

    /// Every stored chunk of every layer that this handle [knows](Self::schema), in key order: the
    /// base first, then each layer from its top down.
    pub fn stored_chunks(&self) -> Result<Vec<ChunkInfo>> {
        let snapshot = self.present()?;
        let mut chunks = Vec::new();
        // What was added since it was had stands behind.
        let last = self.layers().last().map_or(LayerId::BASE, |spec| spec.id);
        let range = KeyRange {
            start: ChunkKey::all(self.id()).start,
            end: ChunkKey::layer(self.id(), last).end,
        };
        self.directory(snapshot.as_ref(), range, &mut |chunk| {
            chunks.extend(Some(chunk).filter(ChunkInfo::is_chunk))
        })?;
        Ok(chunks)
    }

    /// The layers that say what is stored: the base, and the first of the aggregates, if this
    /// handle knows of any.
    fn listed(&self) -> impl Iterator<Item = LayerId> {
        let first = self.layers().first().map(|spec| spec.id);
        [LayerId::BASE].into_iter().chain(first)
    }

    /// The stored chunks at some levels that an extent touches: base chunks at the base levels,
    /// else those of the first layer. In no particular order.
    pub fn chunks(&self, extent: &Extent, levels: Levels) -> Result<Vec<ChunkInfo>> {
        let window = self
            .structure()
            .window(extent, levels)
            .map_err(|e| self.blame(e))?;
        let snapshot = self.snapshot()?;
        let state = self.state(snapshot.as_ref())?;
        let Some(bounds) = state.bounds else {
            return Ok(Vec::new());
        };
        let Some(window) = self
            .structure()
            .intersection(&window, &self.structure().cover(&bounds, levels))
        else {
            return Ok(Vec::new());
        };
        let mut chunks = Vec::new();
        for layer in self.listed() {
            chunks.extend(self.chunks_within(snapshot.as_ref(), layer, &window)?);
        }
        Ok(chunks)
    }

    /// The stored chunks of a layer that a window touches, at the window's levels. In no particular
    /// order.
    pub(crate) fn chunks_within(
        &self,
        snapshot: &dyn Snapshot,
        layer: LayerId,
        window: &Window,
    ) -> Result<Vec<ChunkInfo>> {
        if self.structure().chunk_count(window) <= PAGE as u64 {
            let locations: Vec<Location> = self
                .structure()
                .split(window)
                .map(|piece| piece.location)
                .collect();
            return self.existing(snapshot, layer, locations);
        }
        let mut chunks = Vec::new();
        let levels = window.levels(self.structure().dimensions().len());
        let range = ChunkKey::levels(self.id(), self.structure(), layer, levels);
        self.directory(snapshot, range, &mut |chunk| {
            if self
                .structure()
                .intersection(&self.structure().chunk_window(&chunk.location), window)
                .is_some()
            {
                chunks.push(chunk);
            }
        })?;
        Ok(chunks)
    }

    /// What is stored at locations, in the base or as aggregates.
    fn existing_of(
        &self,
        snapshot: &dyn Snapshot,
        locations: &[Location],
    ) -> Result<Vec<ChunkInfo>> {
        let mut found = Vec::new();
        for layer in self.listed() {
            found.extend(self.existing(snapshot, layer, locations.to_vec())?);
        }
        Ok(found)
    }

    fn existing(
        &self,
        snapshot: &dyn Snapshot,
        layer: LayerId,
        locations: Vec<Location>,
    ) -> Result<Vec<ChunkInfo>> {
        let chunks = self.chunk_reader(snapshot);
        let keys: Vec<_> = locations.iter().map(|at| chunks.key(layer, at)).collect();
        let aggregator = self
            .layers()
            .iter()
            .find(|spec| spec.id == layer)
            .map(|spec| spec.aggregation.clone());
        let mut found = Vec::new();
        snapshot.get_many(Space::Directory, &keys, &mut |i, entry| {
            if let Some(entry) = entry {
                let entry = DirectoryEntry::decode(entry)
                    .map_err(|e| chunks.damaged(layer, &locations[i]).because(e))?;
                found.push(ChunkInfo::new(locations[i], aggregator.clone(), entry));
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// The stored aggregate above a chunk along a dimension, if there is one.
    pub fn parent(&self, chunk: &Location, dimension: &str) -> Result<Option<ChunkInfo>> {
        let dimension = self
            .structure()
            .dimension(dimension)
            .map_err(|e| self.blame(e))?;
        let Some((parent, _)) = self.structure().parent(chunk, dimension) else {
            return Ok(None);
        };
        let snapshot = self.present()?;
        Ok(self
            .existing_of(snapshot.as_ref(), &[parent])?
            .into_iter()
            .next())
    }

    /// The stored chunks right under a chunk along a dimension.
    pub fn children(&self, chunk: &Location, dimension: &str) -> Result<Vec<ChunkInfo>> {
        let dimension = self
            .structure()
            .dimension(dimension)
            .map_err(|e| self.blame(e))?;
        let snapshot = self.present()?;
        self.existing_of(
            snapshot.as_ref(),
            &self
                .structure()
                .children(chunk, dimension)
                .collect::<Vec<_>>(),
        )
    }

    /// Calls `visit` for every directory entry of a range.
    pub(crate) fn directory(
        &self,
        snapshot: &dyn Snapshot,
        range: KeyRange,
        visit: &mut dyn FnMut(ChunkInfo),
    ) -> Result<()> {
        for_each_page(snapshot, Space::Directory, range, PAGE, |entries| {
            for (key, value) in &entries {
                visit(self.chunk_info(key, value)?);
            }
            Ok(())
        })
    }

    /// The error for a layer that the grid does not have.
    pub(crate) fn no_layer(&self, aggregation: &Aggregation) -> Error {
        let known = self.schema().aggregators().iter().map(ToString::to_string);
        let known: Vec<String> = ["base".to_owned()].into_iter().chain(known).collect();
        let known = known.join(", ");
        Error::not_found(format!("it has no layer `{aggregation}`; it has {known}"))
    }

    /// The error for a directory entry that no commit could have written.
    pub(crate) fn stray_key(&self) -> Error {
        Error::corrupt(format!(
            "grid `{}`: a directory entry is damaged",
            self.name()
        ))
    }

    fn chunk_info(&self, key: &[u8], value: &[u8]) -> Result<ChunkInfo> {
        let damaged = || self.stray_key();
        let (layer, location) =
            ChunkKey::decode(self.id(), self.structure(), key).map_err(|e| damaged().because(e))?;
        let entry = DirectoryEntry::decode(value).map_err(|e| damaged().because(e))?;
        let aggregator = match layer {
            LayerId::BASE => None,
            layer => Some(
                self.layers()
                    .iter()
                    .find(|spec| spec.id == layer)
                    .ok_or_else(damaged)?
                    .aggregation
                    .clone(),
            ),
        };
        Ok(ChunkInfo::new(location, aggregator, entry))
    }
}
