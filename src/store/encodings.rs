//! How cells stand in blobs.

use std::collections::BTreeMap;

use super::{ChunkInfo, Grid};
use crate::codec::strips;
use crate::error::Result;
use crate::kernel::Aggregation;
use crate::key::{LayerId, Ticks};

/// How some of the cells of a grid are encoded, and what that saves: all that are encoded the same
/// way together. See [`Grid::encodings`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EncodingInfo {
    /// `constant`: one cell for all; `packed`: what a prediction leaves, at the least width;
    /// `zstd`: a zstd frame; `raw`: as they are.
    pub encoding: &'static str,
    /// What the cells were made into before that. `none`: nothing; `shuffled`: bytes of one
    /// significance together; `order`: their bits as integers of the same order; `multiples`: of a
    /// power of two; `narrow`: such multiples in fewer bytes; `decimals`: whole numbers of a power
    /// of ten; `ranks`: the numbers of few values.
    pub image: &'static str,
    /// How many strips are so: runs of rows of a chunk that are encoded each for itself.
    pub strips: u64,
    /// Bytes that they take, headers included.
    pub bytes: u64,
    /// Bytes that their cells would take as they are.
    pub raw_bytes: u64,
}

impl Grid {
    /// Tells how cells are encoded, in a sample of at most `chunks` stored chunks, but one at
    /// least, spread evenly over those of every layer and level: an item for each encoding and
    /// image that there is, the one with the most raw bytes first. Empty where nothing is stored.
    ///
    /// Reads the blobs of these chunks and the directory of all, and decodes nothing.
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if the header of one cannot be read.
    pub fn encodings(&self, chunks: usize) -> Result<Vec<EncodingInfo>> {
        let all = self.stored_chunks()?;
        let snapshot = self.present()?;
        let reader = self.chunk_reader(snapshot.as_ref());
        let mut found: BTreeMap<(&'static str, &'static str), EncodingInfo> = BTreeMap::new();
        for chunk in all.iter().step_by(all.len().div_ceil(chunks.max(1)).max(1)) {
            let ticks = chunk
                .ticks
                .as_ref()
                .and_then(|ticks| Ticks::new(ticks.clone()));
            let cells: usize = reader.shape(ticks.as_ref()).iter().product();
            let told = reader.with_blob(
                self.layer_of(chunk),
                &chunk.location,
                ticks.as_ref(),
                |_, blob| strips(blob, cells),
            )?;
            for (header, raw_bytes) in told.unwrap_or_default() {
                let (encoding, image) = (header.encoding.name(), header.transform.name());
                let blank = EncodingInfo {
                    encoding,
                    image,
                    strips: 0,
                    bytes: 0,
                    raw_bytes: 0,
                };
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
        let of = |aggregator: &Aggregation| {
            self.layers()
                .iter()
                .find(|spec| spec.aggregation == *aggregator)
        };
        chunk
            .aggregator
            .as_ref()
            .and_then(of)
            .map_or(LayerId::BASE, |spec| spec.id)
    }
}
