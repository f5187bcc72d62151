//! What is stored above and below a place along the refinable dimension.
//!
//! Every location has one effective value: the chunk stored there, else its nearest stored ancestor
//! along the refinable dimension, its cells repeated, else nothing.

use std::collections::BTreeMap;

use super::chunks::{BaseChunk, ChunkReader};
use super::pyramid::Base;
use crate::error::Result;
use crate::grid::{Level, Levels, Location};
use crate::kernel::Spreading;
use crate::key::{ChunkKey, LayerId};
use crate::kv::{KeyRange, Order, Space};

/// How many directory entries are read at once where they lie side by side.
const PAGE: usize = 1024;

impl ChunkReader<'_> {
    /// The layer in which a chunk is stored at a location, if there is one: the base, or the first
    /// of the aggregates.
    pub(crate) fn stored_in(&self, at: &Location, base: &Base) -> Result<Option<LayerId>> {
        if base.has(at.levels) && self.exists(LayerId::BASE, at)? {
            return Ok(Some(LayerId::BASE));
        }
        let aggregate = at.levels != base.finest()
            && !self.grid.layers().is_empty()
            && self.exists(LayerId::FIRST, at)?;
        Ok(aggregate.then_some(LayerId::FIRST))
    }

    /// The ancestors of a location along the refinable dimension from which its cells could come,
    /// the nearest first.
    pub(crate) fn above(&self, at: &Location, base: &Base) -> Vec<Location> {
        let aggregates = base.heir(at.levels).is_some();
        base.over(self.grid.structure(), at)
            .filter(|above| aggregates || base.has(above.levels))
            .collect()
    }

    /// Where the effective value of a location is stored, and in which layer.
    pub(crate) fn source(&self, at: &Location, base: &Base) -> Result<Option<(LayerId, Location)>> {
        Ok(self
            .sources(std::slice::from_ref(at), base)?
            .pop()
            .flatten())
    }

    /// The same of several locations of the same levels.
    pub(crate) fn sources(
        &self,
        places: &[Location],
        base: &Base,
    ) -> Result<Vec<Option<(LayerId, Location)>>> {
        let structure = self.grid.structure();
        let mut found = vec![None; places.len()];
        let mut open: Vec<usize> = (0..places.len()).collect();
        for (layer, levels) in places.first().map_or(Vec::new(), |at| self.homes(at, base)) {
            let mut above: BTreeMap<Location, Vec<usize>> = BTreeMap::new();
            for number in open {
                if let Some(at) = structure.ancestor(&places[number], levels) {
                    above.entry(at).or_default().push(number);
                }
            }
            let mut left = Vec::new();
            let asked: Vec<(Location, Vec<usize>)> = above.into_iter().collect();
            for page in asked.chunks(PAGE) {
                let keys: Vec<Vec<u8>> = page.iter().map(|(at, _)| self.key(layer, at)).collect();
                self.snapshot
                    .get_many(Space::Directory, &keys, &mut |i, entry| {
                        let (at, numbers) = &page[i];
                        match entry {
                            Some(_) => numbers
                                .iter()
                                .for_each(|number| found[*number] = Some((layer, *at))),
                            None => left.extend(numbers),
                        }
                        Ok(())
                    })?;
            }
            open = left;
            if open.is_empty() {
                break;
            }
        }
        Ok(found)
    }

    /// In which layers, and at which levels, the effective value of a location can be stored, the
    /// first to have it first.
    fn homes(&self, at: &Location, base: &Base) -> Vec<(LayerId, Levels)> {
        let heir = base.heir(at.levels).is_some();
        let mut homes = Vec::new();
        for of in std::iter::once(*at).chain(self.above(at, base)) {
            let own = of == *at;
            homes.extend(base.has(of.levels).then_some((LayerId::BASE, of.levels)));
            let aggregate =
                of.levels != base.finest() && !self.grid.layers().is_empty() && (own || heir);
            homes.extend(aggregate.then_some((LayerId::FIRST, of.levels)));
        }
        homes
    }

    /// The base chunk in whose place a location lies along the refinable dimension, if there is one
    /// above it.
    pub(crate) fn base_over(&self, at: &Location, base: &Base) -> Result<Option<Location>> {
        for above in base
            .over(self.grid.structure(), at)
            .filter(|above| base.has(above.levels))
        {
            if self.exists(LayerId::BASE, &above)? {
                return Ok(Some(above));
            }
        }
        Ok(None)
    }

    /// The base chunk of an ancestor along the refinable dimension, copied down to a location.
    pub(crate) fn spread_base(
        &self,
        chunk: &BaseChunk,
        from: &Location,
        at: &Location,
    ) -> BaseChunk {
        match self.spreading(from, at) {
            None => chunk.clone(),
            Some(spreading) => {
                let mask = chunk
                    .mask
                    .as_ref()
                    .map(|mask| spreading.copy(mask))
                    .filter(|mask| mask.contains(&0));
                BaseChunk {
                    cells: spreading.cells(&chunk.cells),
                    mask,
                }
            }
        }
    }

    /// How cells are copied down; `None` if the places are the same.
    pub(crate) fn spreading(&self, from: &Location, at: &Location) -> Option<Spreading> {
        let structure = self.grid.structure();
        let d = structure
            .refinable()
            .filter(|&d| from.levels[d] > at.levels[d])?;
        let up =
            u32::try_from(i16::from(from.levels[d].get()) - i16::from(at.levels[d].get())).ok()?;
        let axes = structure.axes_of(d);
        let offset: Vec<u64> = axes
            .clone()
            .map(|axis| at.codes[axis] - from.codes[axis].checked_shl(up).unwrap_or(0))
            .collect();
        Some(Spreading::new(&structure.chunk_shape(), axes, up, &offset))
    }

    /// The chunks of a layer that are stored at a finer level of the refinable dimension within a
    /// place, at most `limit`.
    ///
    /// Along that dimension the place is one interval of keys. Where there are other dimensions,
    /// keys of other places lie in between, and are leapt over.
    pub(crate) fn under(
        &self,
        layer: LayerId,
        of: &Location,
        level: Level,
        limit: usize,
    ) -> Result<Vec<Location>> {
        let (grid, structure) = (self.grid, self.grid.structure());
        let Some(d) = structure.refinable() else {
            return Ok(Vec::new());
        };
        let mut range =
            ChunkKey::subtree(grid.id(), structure, layer, of, of.levels.with(d, level));
        let page = if structure.dimensions().len() == 1 {
            PAGE.min(limit)
        } else {
            1
        };
        let mut found = Vec::new();
        while found.len() < limit && !range.is_empty() {
            let entries = self
                .snapshot
                .scan(Space::Directory, &range, Order::Ascending, page)?;
            for (key, _) in &entries.entries {
                let (_, at) = ChunkKey::decode(grid.id(), structure, key)
                    .map_err(|e| grid.stray_key().because(e))?;
                // The same place along the refinable dimension, and that of `of` along the others.
                let mut wanted = Location {
                    levels: at.levels,
                    codes: of.codes,
                };
                structure
                    .axes_of(d)
                    .for_each(|axis| wanted.codes[axis] = at.codes[axis]);
                let wanted_key = self.key(layer, &wanted);
                range.start = match wanted_key.cmp(key) {
                    std::cmp::Ordering::Greater => wanted_key,
                    order => {
                        if order.is_eq() {
                            found.push(at);
                        }
                        ChunkKey::behind(grid.id(), structure, layer, &wanted)
                    }
                };
            }
            if entries.entries.is_empty() || page > 1 && !entries.more {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// The keys within a place at a finer level of the refinable dimension, and some between them.
    pub(crate) fn range_under(
        &self,
        layer: LayerId,
        of: &Location,
        level: Level,
    ) -> Option<KeyRange> {
        let structure = self.grid.structure();
        let d = structure.refinable()?;
        Some(ChunkKey::subtree(
            self.grid.id(),
            structure,
            layer,
            of,
            of.levels.with(d, level),
        ))
    }
}
