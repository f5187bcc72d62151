//! What is stored at a place, whether that is cells or a bucket of events.

use crate::error::Result;
use crate::grid::Location;
use crate::key::LayerId;
use crate::store::{Base, ChunkReader, LayerChunks};

impl ChunkReader<'_> {
    /// What the layers have of what is stored at a location; base cells are lifted, and of a bucket
    /// it is the bins. `None` if nothing is.
    pub(crate) fn stored(&self, at: &Location, base: &Base) -> Result<Option<LayerChunks>> {
        if self
            .grid
            .structure()
            .irregular_axis()
            .is_some_and(|irregular| irregular.is_bucket(at))
        {
            return self.bucket_bins(at, base);
        }
        if base.has(at.levels)
            && let Some(chunks) = self.lifted(LayerId::BASE, at, None)?
        {
            return Ok(Some(chunks));
        }
        if at.levels == base.finest() {
            Ok(None)
        } else {
            self.aggregates(at, None)
        }
    }

    /// The effective value of a location.
    pub(crate) fn effective(&self, at: &Location, base: &Base) -> Result<Option<LayerChunks>> {
        let Some((_, from)) = self.source(at, base)? else {
            return Ok(None);
        };
        let here = |chunks: LayerChunks| {
            if from == *at {
                Ok(chunks)
            } else {
                self.spread(&chunks, &from, at)
            }
        };
        self.stored(&from, base)?.map(here).transpose()
    }
}
