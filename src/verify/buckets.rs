//! The check of buckets of events: that each is the trie of its ticks, and made of what lies below.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{Check, Damage};
use crate::error::Result;
use crate::events::{Events, merge_all};
use crate::grid::{Irregular, Location};
use crate::key::{ChunkKey, DirectoryEntry, LayerId, Ticks};
use crate::store::{LayerChunks, Pyramid};

/// What stands at the places of buckets and below: of chunks of events their ticks.
type Nodes = HashMap<(LayerId, Location), Option<Ticks>>;

impl Check<'_> {
    /// Checks every bucket of every column; gives how many layers were recomputed.
    pub(super) fn check_buckets(
        &self,
        irregular: Irregular,
        entries: &HashMap<Vec<u8>, DirectoryEntry>,
    ) -> Result<u64> {
        let Some(pyramid) = &self.pyramid else {
            return Ok(0);
        };
        let mut nodes = Nodes::new();
        for (key, entry) in entries {
            // Keys that are damaged have been found where their chunks were looked at.
            let Ok((layer, at)) = ChunkKey::decode(self.grid.id(), self.grid.structure(), key)
            else {
                continue;
            };
            if irregular.level(&at) <= irregular.bucket {
                nodes.insert((layer, at), entry.ticks.clone());
            }
        }
        let mut roots: Vec<(LayerId, Location)> = nodes
            .keys()
            .filter(|(layer, at)| {
                irregular.is_bucket(at) && (*layer == LayerId::BASE) == pyramid.base.has(at.levels)
            })
            .filter(|(layer, _)| *layer <= LayerId::FIRST)
            .copied()
            .collect();
        roots.sort_unstable();
        let mut seen: HashSet<Location> = HashSet::new();
        let mut recomputed = 0;
        for (layer, root) in roots {
            self.walk(irregular, &nodes, (layer, &root), &mut seen)?;
            recomputed += match layer {
                LayerId::BASE => 0,
                _ => self.check_bucket(&root, pyramid)?,
            };
        }
        let layers = self.grid.layers().len() as u64;
        let mut strays: Vec<_> = nodes
            .iter()
            .filter(|((_, at), _)| !seen.contains(at))
            .map(|(node, _)| *node)
            .collect();
        strays.sort_unstable();
        for (layer, at) in strays {
            self.find_at(Damage::Stray, (layer, &at), "is no part of a bucket");
        }
        Ok(recomputed * layers)
    }

    /// Walks a bucket's trie down; gives how many events lie there.
    fn walk(
        &self,
        irregular: Irregular,
        nodes: &Nodes,
        (layer, at): (LayerId, &Location),
        seen: &mut HashSet<Location>,
    ) -> Result<usize> {
        let Some(node) = nodes.get(&(layer, *at)) else {
            return Ok(0);
        };
        seen.insert(*at);
        let others = self.grid.layers().iter().map(|spec| spec.id);
        let Some(ticks) = node else {
            let mut count = 0;
            for child in self.grid.structure().children(at, irregular.dimension) {
                count += self.walk(irregular, nodes, (layer, &child), seen)?;
            }
            if count <= irregular.capacity {
                let name = self.grid.chunk_name(layer, at);
                self.find(
                    Damage::Stray,
                    format!("{name} is halved over {count} events, which fit one chunk"),
                );
            }
            for other in others {
                if nodes.get(&(other, *at)) != Some(&None) {
                    self.find_at(
                        Damage::Missing,
                        (other, at),
                        "is missing: the bins of the events below",
                    );
                    return Ok(count);
                }
            }
            self.check_bins(irregular, at)?;
            return Ok(count);
        };
        let place = irregular.ticks(at);
        if ticks.len() > irregular.capacity || !ticks.iter().all(|tick| place.contains(tick)) {
            let name = self.grid.chunk_name(layer, at);
            self.find(
                Damage::Directory,
                format!("the directory has other ticks than its place's for {name}"),
            );
            return Ok(ticks.len());
        }
        for other in others {
            match nodes.get(&(other, *at)) {
                None if layer == LayerId::BASE => {}
                Some(of) if layer != LayerId::BASE && of.as_ref() == Some(ticks) => {}
                Some(_) if layer == LayerId::BASE => {
                    self.find_at(Damage::Stray, (other, at), "is there, and a base chunk too");
                }
                _ => self.find_at(
                    Damage::Missing,
                    (other, at),
                    "has not the events of another layer",
                ),
            }
        }
        if layer == LayerId::BASE {
            self.report_damage(self.chunks.base_events(at, ticks))?;
        }
        Ok(ticks.len())
    }

    /// Compares the bins of a place whose events are in chunks below with what these make.
    fn check_bins(&self, irregular: Irregular, at: &Location) -> Result<()> {
        let Some(pyramid) = &self.pyramid else {
            return Ok(());
        };
        let Some(Some(stored)) = self.report_damage(self.chunks.aggregates(at, None))? else {
            return Ok(());
        };
        let mut parts: Vec<(u8, Option<LayerChunks>)> = Vec::new();
        for (number, child) in (0_u8..).zip(self.grid.structure().children(at, irregular.dimension))
        {
            let Some(bins) = self.report_damage(self.chunks.bucket_bins(&child, &pyramid.base))?
            else {
                return Ok(());
            };
            let part = bins.map(|bins| self.chunks.reduce(&bins, irregular.dimension, at.levels));
            parts.push((number, part.transpose()?));
        }
        let computed = self.chunks.assemble(
            None,
            parts,
            &self.grid.halving(irregular.dimension),
            at.levels,
        );
        for ((layer, stored), computed) in self.grid.layers().iter().zip(&stored).zip(&computed) {
            if !computed.is(stored) {
                self.find_at(
                    Damage::Wrong,
                    (layer.id, at),
                    "differs from the bins of its events",
                );
            }
        }
        Ok(())
    }

    /// Compares the events of an aggregated bucket with what those below make of them, but for
    /// those marked as changed. Gives 1 if it was recomputed.
    fn check_bucket(&self, at: &Location, pyramid: &Pyramid) -> Result<u64> {
        let structure = self.grid.structure();
        let reached = pyramid.built.covers(&at.levels);
        let Some(dimension) =
            crate::dirty::derivation(self.grid, at.levels, &pyramid.base).filter(|_| reached)
        else {
            self.find_at(
                Damage::Stray,
                (LayerId::FIRST, at),
                "is outside of the pyramid",
            );
            return Ok(0);
        };
        self.check_parents(at, pyramid)?;
        let mut marked: BTreeSet<i64> = BTreeSet::new();
        for child in structure.children(at, dimension) {
            match self.changed.get(&child) {
                Some(changed) if changed.all => return Ok(0),
                changed => marked.extend(changed.iter().flat_map(|changed| &changed.ticks)),
            }
        }
        let unmarked = |events: &Events<LayerChunks>| {
            events.only(self.chunks, at.levels, |tick| !marked.contains(&tick))
        };
        let mut parts: Vec<(u8, Option<Events<LayerChunks>>)> = Vec::new();
        for (number, child) in (0_u8..=u8::MAX).zip(structure.children(at, dimension)) {
            let Some(events) = self.report_damage(self.events_of(&child, pyramid))? else {
                return Ok(0);
            };
            let reduced = |events: Events<LayerChunks>| -> Result<_> {
                Ok(Events {
                    planes: self.chunks.reduce(&events.planes, dimension, at.levels)?,
                    ticks: events.ticks,
                })
            };
            parts.push((number, events.map(reduced).transpose()?));
        }
        let parts: Vec<_> = parts
            .iter()
            .map(|(number, events)| (*number, events.as_ref()))
            .collect();
        let computed = merge_all(self.chunks, (at.levels, dimension), &parts)
            .as_ref()
            .and_then(unmarked);
        let Some(stored) = self.report_damage(self.events_of(at, pyramid))? else {
            return Ok(0);
        };
        match (stored.as_ref().and_then(unmarked), computed) {
            (None, None) => {}
            (Some(stored), Some(computed)) if stored.ticks == computed.ticks => {
                for ((layer, stored), computed) in self
                    .grid
                    .layers()
                    .iter()
                    .zip(&stored.planes)
                    .zip(&computed.planes)
                {
                    if !computed.is(stored) {
                        self.find_at(
                            Damage::Wrong,
                            (layer.id, at),
                            "differs from its recomputation, and no mark says so",
                        );
                    }
                }
            }
            (stored, computed) => {
                let count =
                    |events: Option<Events<LayerChunks>>| events.map_or(0, |events| events.len());
                let (has, should) = (count(stored), count(computed));
                let what =
                    format!("has {has} events where there are {should}, and no mark says so");
                self.find_at(Damage::Wrong, (LayerId::FIRST, at), what);
            }
        }
        Ok(1)
    }

    /// All events of a bucket.
    fn events_of(&self, at: &Location, pyramid: &Pyramid) -> Result<Option<Events<LayerChunks>>> {
        let ticks = self
            .chunks
            .ticks_of(crate::events::Column::layer_of(&pyramid.base, at), at)?;
        self.chunks.layers_at(at, &pyramid.base, &ticks)
    }
}
