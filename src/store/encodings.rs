//! How cells stand in blobs.

use std::collections::BTreeMap;

use super::{ChunkInfo, Grid};
use crate::codec::strips;
use crate::error::Result;
use crate::kernel::Aggregation;
use crate::key::{LayerId, Ticks};

/// How some of the cells of a grid are encoded, and what that saves. See [`Grid::encodings`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EncodingInfo {
    /// `constant`: one cell for all; `packed`: what a prediction leaves, at the least width; `zstd`; `raw`: as they are.
    pub encoding: &'static str,
    /// What numbers they are before that: their bits in `order`, or as they stand (`none`), `shuffled`; `multiples` of a power of two
    /// or `narrow` ones; `decimals`; `ranks` of few values.
    pub image: &'static str,
    /// How many runs of rows are so.
    pub strips: u64,
    /// What they take, headers included.
    pub bytes: u64,
    /// What the cells would take as they are.
    pub raw_bytes: u64,
}

impl Grid {
    /// How the cells of so many stored chunks at most, evenly spread over all, are encoded; those first that stand for the most
    /// cells. Reads these chunks.
    pub fn encodings(&self, chunks: usize) -> Result<Vec<EncodingInfo>> {
        let all = self.stored_chunks()?;
        let snapshot = self.present()?;
        let reader = self.chunk_reader(snapshot.as_ref());
        let mut found: BTreeMap<(&'static str, &'static str), EncodingInfo> = BTreeMap::new();
        for chunk in all.iter().step_by(all.len().div_ceil(chunks.max(1)).max(1)) {
            let ticks = chunk.ticks.as_ref().and_then(|ticks| Ticks::new(ticks.clone()));
            let cells: usize = reader.shape(ticks.as_ref()).iter().product();
            let told = reader.with_blob(self.layer_of(chunk), &chunk.location, ticks.as_ref(), |_, blob| strips(blob, cells))?;
            for (header, raw_bytes) in told.unwrap_or_default() {
                let (encoding, image) = (header.encoding.name(), header.transform.name());
                let blank = EncodingInfo { encoding, image, strips: 0, bytes: 0, raw_bytes: 0 };
                let of = found.entry((encoding, image)).or_insert(blank);
                of.strips += 1;
                of.bytes += header.bytes();
                of.raw_bytes += raw_bytes;
            }
        }
        let mut found: Vec<EncodingInfo> = found.into_values().collect();
        found.sort_by_key(|of| std::cmp::Reverse(of.raw_bytes));
        Ok(found)
    }

    /// The layer of a chunk.
    fn layer_of(&self, chunk: &ChunkInfo) -> LayerId {
        let of = |aggregator: &Aggregation| self.layers().iter().find(|spec| spec.aggregation == *aggregator);
        chunk.aggregator.as_ref().and_then(of).map_or(LayerId::BASE, |spec| spec.id)
    }
}
