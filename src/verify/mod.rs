//! Proof that a store is what it should be: every value is read, every aggregate recomputed.

mod buckets;

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;

use rayon::prelude::*;

use crate::codec::checksum_of;
use crate::copy;
use crate::dirty::{ChangedTicks, Edge, derivation, parents, ticks};
use crate::error::{ErrorKind, Result};
use crate::feed;
use crate::grid::{Levels, Location};
use crate::key::{ChunkKey, DirectoryEntry, LayerId, Mark, MarkKey, unowned};
use crate::kv::{Order, Snapshot, Space, for_each_page};
use crate::store::{Base, ChunkReader, Grid, LayerChunks, Shown, State, Store, lock};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Damage {
    /// A record of the store or of a grid cannot be read, or contradicts another.
    Record,
    /// A key that no grid has.
    Key,
    /// A chunk's bytes are damaged, or belong to another place.
    Chunk,
    /// The directory and the chunks disagree.
    Directory,
    /// An aggregate differs from its recomputation, and no mark says so (invariant 7).
    Wrong,
    /// An aggregate is missing above data, and no mark says so (invariants 5 and 7).
    Missing,
    /// An aggregate stands where no data is, or a base chunk at other levels than the rest (invariant 8).
    Stray,
    /// A mark that no commit could have written.
    Mark,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What is wrong.
    pub damage: Damage,
    /// The grid, where one is concerned.
    pub grid: Option<String>,
    /// A sentence that names the layer and the place.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What [`Store::verify`] did and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Grids looked at.
    pub grids: u64,
    /// Chunks read, decoded and compared, counting each layer's.
    pub chunks: u64,
    /// The bytes of their blobs.
    pub bytes: u64,
    /// Aggregates recomputed, counting each layer's.
    pub recomputed: u64,
    /// Marks pending.
    pub marks: u64,
    /// What is wrong; empty if nothing is.
    pub findings: Vec<Finding>,
}

impl Store {
    /// Reads every value of the store in one snapshot, checks keys, checksums and records, and recomputes every aggregate
    /// from its children. Damage is reported, not repaired; an error means that the check itself could not go on.
    pub fn verify(&self) -> Result<Report> {
        let mut report = Report::default();
        let Shown { snapshot, grids } = self.shown()?;
        let grids = match grids {
            Ok(grids) => grids,
            Err(error) if *error.kind() == ErrorKind::Corrupt => {
                report.findings.push(Finding { damage: Damage::Record, grid: None, message: error.sentence() });
                return Ok(report);
            }
            Err(error) => return Err(error),
        };
        for grid in &grids {
            report.grids += 1;
            match grid.state(snapshot.as_ref()) {
                Ok(state) => Check::new(grid, snapshot.as_ref(), state, &mut report)?.run()?,
                Err(error) if *error.kind() == ErrorKind::Corrupt => {
                    report.findings.push(Finding {
                        damage: Damage::Record,
                        grid: Some(grid.name().to_owned()),
                        message: error.sentence(),
                    });
                }
                Err(error) => return Err(error),
            }
        }
        strangers(&grids, snapshot.as_ref(), &mut report)?;
        Ok(report)
    }
}

/// Chunks, marks and feed entries whose grid is not in the catalog.
fn strangers(grids: &[Grid], snapshot: &dyn Snapshot, report: &mut Report) -> Result<()> {
    for space in [Space::Directory, Space::Base, Space::Aggregate, Space::Dirty, Space::Feed] {
        for gap in unowned(grids.iter().map(Grid::id)) {
            if !snapshot.scan(space, &gap, Order::Ascending, 1)?.entries.is_empty() {
                let message = format!("the {space:?} space holds keys of a grid that is not in the catalog");
                report.findings.push(Finding { damage: Damage::Key, grid: None, message });
            }
        }
    }
    Ok(())
}

/// How many values are held at once.
const PAGE: usize = 64;

/// The check of one grid.
struct Check<'a> {
    grid: &'a Grid,
    chunks: ChunkReader<'a>,
    state: State,
    report: &'a mut Report,
    /// The children marked as changed, for each aggregate that is out of date.
    marked: HashMap<Location, Vec<u8>>,
    /// Which events changed of each bucket that has left marks along other dimensions than the irregular one.
    changed: HashMap<Location, ChangedTicks>,
    findings: Mutex<Vec<Finding>>,
}

impl<'a> Check<'a> {
    fn new(grid: &'a Grid, snapshot: &'a dyn Snapshot, state: State, report: &'a mut Report) -> Result<Self> {
        let chunks = grid.chunk_reader(snapshot);
        let mut check =
            Self { grid, chunks, state, report, marked: HashMap::new(), changed: HashMap::new(), findings: Mutex::default() };
        check.read_marks()?;
        Ok(check)
    }

    fn find(&self, damage: Damage, message: String) {
        let message = format!("grid `{}`: {message}", self.grid.name());
        lock(&self.findings).push(Finding { damage, grid: Some(self.grid.name().to_owned()), message });
    }

    fn place(&self, layer: LayerId, at: &Location) -> String {
        format!("the {} chunk at {}", self.grid.layer_name(layer), self.grid.structure().describe(at))
    }

    fn read_marks(&mut self) -> Result<()> {
        let base = self.state.base;
        for_each_page(self.chunks.snapshot, Space::Dirty, MarkKey::all(self.grid.id()), 4096, |entries| {
            for (key, value) in &entries {
                match MarkKey::decode(self.grid.id(), self.grid.structure(), key) {
                    Ok(Mark { parent, dimension, child, .. })
                        if base.is_some_and(|base| derivation(self.grid, parent.levels, &base) == Some(dimension)) =>
                    {
                        self.report.marks += 1;
                        self.marked.entry(parent).or_default().push(child);
                        match ticks(self.grid, value) {
                            Ok(ticks) => {
                                let edge = Edge { parent, dimension, child };
                                ChangedTicks::add(&mut self.changed, self.grid, &edge, ticks.as_ref());
                            }
                            Err(error) => self.find(Damage::Mark, error.sentence()),
                        }
                    }
                    Ok(mark) => self.find(
                        Damage::Mark,
                        format!("a mark for {} is of no aggregate", self.grid.structure().describe(&mark.parent)),
                    ),
                    Err(error) => self.find(Damage::Mark, format!("a mark is damaged: {error}")),
                }
            }
            Ok(())
        })
    }

    fn run(self) -> Result<()> {
        if let Some(wrong) = feed::wrong_entry(self.grid, self.chunks.snapshot)? {
            self.find(Damage::Record, wrong);
        }
        if let Some(wrong) = copy::wrong_record(self.grid, self.chunks.snapshot)? {
            self.find(Damage::Record, wrong);
        }
        let entries = self.read_directory()?;
        if let Some(irregular) = self.grid.structure().irregular_axis() {
            self.report.recomputed += self.check_buckets(irregular, &entries)?;
        }
        for space in [Space::Base, Space::Aggregate] {
            let mut seen = 0;
            let (snapshot, range) = (self.chunks.snapshot, ChunkKey::all(self.grid.id()));
            let mut bytes = 0;
            for_each_page(snapshot, space, range, PAGE, |page| {
                seen += page.len() as u64;
                bytes += page.iter().map(|(_, blob)| blob.len() as u64).sum::<u64>();
                let recomputed =
                    page.par_iter().map(|(key, blob)| self.check_chunk(space, key, blob, &entries)).sum::<Result<u64>>()?;
                self.report.recomputed += recomputed;
                Ok(())
            })?;
            self.report.chunks += seen;
            self.report.bytes += bytes;
            let of_space = |key: &Vec<u8>| (key.get(4) == Some(&LayerId::BASE.0)) == (space == Space::Base);
            let listed = entries.iter().filter(|(key, entry)| of_space(key) && **entry != DirectoryEntry::BRANCH);
            self.missing(space, listed.map(|(key, _)| key))?;
        }
        self.report.findings.extend(self.findings.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner));
        Ok(())
    }

    fn read_directory(&self) -> Result<HashMap<Vec<u8>, DirectoryEntry>> {
        let mut entries = HashMap::new();
        for_each_page(self.chunks.snapshot, Space::Directory, ChunkKey::all(self.grid.id()), 4096, |page| {
            for (key, value) in page {
                match DirectoryEntry::decode(&value) {
                    Ok(entry) => drop(entries.insert(key, entry)),
                    Err(error) => self.find(Damage::Directory, format!("a directory entry is damaged: {error}")),
                }
            }
            Ok(())
        })?;
        Ok(entries)
    }

    /// Directory entries without a chunk.
    fn missing<'k>(&self, space: Space, listed: impl Iterator<Item = &'k Vec<u8>>) -> Result<()> {
        let keys: Vec<Vec<u8>> = listed.cloned().collect();
        let mut lost = Vec::new();
        self.chunks.snapshot.get_many(space, &keys, &mut |i, blob| {
            if blob.is_none() {
                lost.push(i);
            }
            Ok(())
        })?;
        for i in lost {
            match ChunkKey::decode(self.grid.id(), self.grid.structure(), &keys[i]) {
                Ok((layer, at)) => {
                    self.find(Damage::Directory, format!("{} is in the directory, but not there", self.place(layer, &at)))
                }
                Err(error) => self.find(Damage::Key, format!("a directory key is damaged: {error}")),
            }
        }
        Ok(())
    }

    /// Checks one stored chunk; gives how many layers were recomputed.
    fn check_chunk(&self, space: Space, key: &[u8], blob: &[u8], entries: &HashMap<Vec<u8>, DirectoryEntry>) -> Result<u64> {
        let (layer, at) = match ChunkKey::decode(self.grid.id(), self.grid.structure(), key) {
            Ok((layer, at)) if (layer == LayerId::BASE) == (space == Space::Base) => (layer, at),
            Ok((_, at)) => {
                self.find(Damage::Key, format!("a chunk at {} is in the wrong space", self.grid.structure().describe(&at)));
                return Ok(0);
            }
            Err(error) => {
                self.find(Damage::Key, format!("a chunk's key is damaged: {error}"));
                return Ok(0);
            }
        };
        match entries.get(key) {
            Some(entry) if entry.bytes != blob.len() as u64 => self.find(
                Damage::Directory,
                format!("{} has {} bytes, the directory says {}", self.place(layer, &at), blob.len(), entry.bytes),
            ),
            Some(entry) if checksum_of(blob).is_ok_and(|checksum| checksum != entry.checksum) => {
                self.find(Damage::Directory, format!("{} has another checksum than the directory says", self.place(layer, &at)))
            }
            Some(_) => {}
            None => self.find(Damage::Directory, format!("{} is not in the directory", self.place(layer, &at))),
        }
        let Some(base) = &self.state.base else {
            self.find(Damage::Stray, format!("{} is stored though nothing was put", self.place(layer, &at)));
            return Ok(0);
        };
        let built = self.state.reach.unwrap_or(base.finest());
        let bucket = self.grid.structure().irregular_axis().filter(|irregular| irregular.level(&at) <= irregular.bucket);
        if let Some(irregular) = bucket {
            // The rest is checked bucket by bucket.
            if layer == LayerId::BASE {
                self.check_bounds(&at, base);
                let root =
                    irregular.place(&at, irregular.bucket, irregular.code(irregular.bucket, *irregular.ticks(&at).start()));
                self.check_parents(&root, base, built)?;
            }
            return Ok(0);
        }
        match layer {
            LayerId::BASE => self.check_base(&at, base)?,
            _ if layer == LayerId(1) => return self.check_aggregate(&at, base, built),
            _ if !self.chunks.exists(LayerId(1), &at)? => {
                self.find(Damage::Stray, format!("{} stands alone", self.place(layer, &at)))
            }
            _ => return Ok(0),
        }
        self.check_parents(&at, base, built)?;
        Ok(0)
    }

    fn check_base(&self, at: &Location, base: &Base) -> Result<()> {
        if !base.has(at.levels) {
            self.find(Damage::Stray, format!("{} is not at a base level", self.place(LayerId::BASE, at)));
            return Ok(());
        }
        self.check_bounds(at, base);
        for above in self.chunks.above(at, base).into_iter().filter(|above| base.has(above.levels)) {
            if self.chunks.exists(LayerId::BASE, &above)? {
                let (under, over) = (self.place(LayerId::BASE, at), self.place(LayerId::BASE, &above));
                self.find(Damage::Stray, format!("{under} lies under {over}"));
            }
        }
        // What was an aggregate before all below it was removed stays until the marks of that are consumed.
        let below = |marked: &&Location| self.grid.structure().ancestor(marked, at.levels) == Some(*at);
        if !self.grid.layers().is_empty() && self.chunks.exists(LayerId(1), at)? && !self.marked.keys().any(|at| below(&at)) {
            self.find(Damage::Stray, format!("{} is there, and an aggregate too", self.place(LayerId::BASE, at)));
        }
        self.report_damage(self.chunks.base(at)).map(drop)
    }

    fn check_bounds(&self, at: &Location, base: &Base) {
        let structure = self.grid.structure();
        let window = structure.cover(&structure.chunk_window(at), base.cells());
        let inside = self.state.bounds.is_some_and(|bounds| structure.intersection(&window, &bounds).is_some());
        if !inside {
            self.find(Damage::Stray, format!("{} lies outside of all that was put", self.place(LayerId::BASE, at)));
        }
    }

    /// The value, or nothing and a finding if it is damaged.
    fn report_damage<T>(&self, value: Result<T>) -> Result<Option<T>> {
        match value {
            Ok(value) => Ok(Some(value)),
            Err(error) if *error.kind() == ErrorKind::Corrupt => {
                lock(&self.findings).push(Finding {
                    damage: Damage::Chunk,
                    grid: Some(self.grid.name().to_owned()),
                    message: error.sentence(),
                });
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Every parent of a stored chunk is stored, or marked.
    fn check_parents(&self, at: &Location, base: &Base, built: Levels) -> Result<()> {
        if self.grid.layers().is_empty() {
            return Ok(());
        }
        for Edge { parent, child, .. } in parents(self.grid, at, derivation(self.grid, at.levels, base)) {
            let reached = built.covers(&parent.levels);
            let marked = self.marked.get(&parent).is_some_and(|children| children.contains(&child));
            if reached && !marked && !self.chunks.exists(LayerId(1), &parent)? {
                self.find(
                    Damage::Missing,
                    format!("the aggregate at {} is missing, and no mark says so", self.grid.structure().describe(&parent)),
                );
            }
        }
        Ok(())
    }

    /// The children of an aggregate that are marked as changed, or may inherit what is marked above along the refinable
    /// dimension.
    fn marked_children(&self, at: &Location, dimension: usize, base: &Base) -> Vec<u8> {
        let inherits = base.mixed().is_some_and(|mixed| mixed != dimension);
        let above = base.over(self.grid.structure(), at).filter(|_| inherits);
        std::iter::once(*at).chain(above).filter_map(|at| self.marked.get(&at)).flatten().copied().collect()
    }

    /// Compares an aggregate with what its children make of it; the parts of marked children may differ.
    fn check_aggregate(&self, at: &Location, base: &Base, built: Levels) -> Result<u64> {
        let structure = self.grid.structure();
        let reached = built.covers(&at.levels);
        let Some(dimension) = derivation(self.grid, at.levels, base).filter(|_| reached) else {
            self.find(Damage::Stray, format!("{} is outside of the pyramid", self.place(LayerId(1), at)));
            return Ok(0);
        };
        self.check_parents(at, base, built)?;
        let Some(Some(stored)) = self.report_damage(self.chunks.aggregates(at))? else { return Ok(0) };
        let halving = self.grid.halving(dimension);
        let marked = self.marked_children(at, dimension, base);
        let inherits = base.mixed().is_some_and(|mixed| mixed != dimension);
        let mut parts: Vec<(u8, Option<LayerChunks>)> = Vec::new();
        let mut has_child = !marked.is_empty();
        for (number, child) in (0_u8..=u8::MAX).zip(structure.children(at, dimension)) {
            if marked.contains(&number) {
                continue;
            }
            let Some(own) = self.report_damage(self.chunks.stored(&child, base))? else { return Ok(0) };
            has_child |= own.is_some();
            let child = match own {
                None if inherits => self.report_damage(self.chunks.effective(&child, base))?.flatten(),
                own => own,
            };
            let halve = |chunks: LayerChunks| -> Result<LayerChunks> {
                let layers = self.grid.layers().iter().zip(&chunks);
                layers.map(|(layer, chunk)| self.chunks.reduce(layer, chunk, dimension, at.levels)).collect()
            };
            parts.push((number, child.map(halve).transpose()?));
        }
        if !has_child {
            self.find(Damage::Stray, format!("{} has no data under it", self.place(LayerId(1), at)));
            return Ok(0);
        }
        for (i, (layer, stored)) in self.grid.layers().iter().zip(stored).enumerate() {
            let of_layer: Vec<_> =
                parts.iter().map(|(number, part)| (*number, part.as_ref().map(|chunks| chunks[i].clone()))).collect();
            let kept = (!marked.is_empty()).then(|| stored.clone());
            let computed = self.chunks.assemble(layer, kept, &of_layer, &halving, at.levels);
            if !computed.is(&stored) {
                self.find(
                    Damage::Wrong,
                    format!("{} differs from its recomputation, and no mark says so", self.place(layer.id, at)),
                );
            }
        }
        Ok(self.grid.layers().len() as u64)
    }
}
