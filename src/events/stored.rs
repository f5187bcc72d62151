//! What is stored at a place, whether that is cells or a bucket of events.

use std::collections::BTreeSet;

use super::column::Column;
use crate::error::{Error, Result};
use crate::grid::{Levels, Location, Window};
use crate::key::LayerId;
use crate::store::{Base, ChunkReader, LayerChunks};

/// The most columns that are looked at for what a window holds.
const COLUMNS_MAX: u64 = 1 << 20;

impl ChunkReader<'_> {
    /// The places of base data of some levels that a window of base cells holds some of: chunks, or
    /// buckets that have an event in it. `bounds` is the box of all that was put.
    pub(crate) fn base_within(
        &self,
        window: &Window,
        levels: Levels,
        bounds: &Window,
    ) -> Result<Vec<Location>> {
        let structure = self.grid.structure();
        let Some(irregular) = structure.irregular_axis() else {
            let window = structure.cover(window, levels);
            let chunks = self
                .grid
                .chunks_within(self.snapshot, LayerId::BASE, &window)?;
            return Ok(chunks.into_iter().map(|chunk| chunk.location).collect());
        };
        let (axis, flat) = (irregular.axis, structure.column_window(window));
        let known = structure.cover(bounds, flat.levels(structure.dimensions().len()));
        let known = known.along(axis, flat.start()[axis], 1);
        let Some(columns) = structure.intersection(&flat, &known) else {
            return Ok(Vec::new());
        };
        if structure.chunk_count(&columns) > COLUMNS_MAX {
            return Err(self.grid.blame(Error::invalid(format!(
                "the window at {:?} lies over more than {COLUMNS_MAX} columns of chunks; remove less at a time",
                window.start()
            ))));
        }
        let ticks = window.start()[axis]..=window.end()[axis].saturating_sub(1);
        let mut buckets = Vec::new();
        for column in structure.split(&columns) {
            let mut codes: BTreeSet<u64> = BTreeSet::new();
            Column::new(*self, LayerId::BASE, &column.location).each(&ticks, &mut |_, of| {
                codes.insert(irregular.code(irregular.bucket, of[0]));
                Ok(())
            })?;
            let place = |code| irregular.place(&column.location, irregular.bucket, code);
            buckets.extend(codes.into_iter().map(place));
        }
        Ok(buckets)
    }

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
