//! Proof that a store is what it should be: every value is read, every aggregate recomputed.

mod buckets;
mod pages;
mod rebuilt;
mod records;
mod repair;
mod report;
#[cfg(feature = "rocksdb")]
mod salvage;
mod scrub;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Mutex;

use crate::codec::checksum_of;
use crate::copy;
use crate::dirty::{ChangedTicks, Edge, derivation, parents, ticks};
use crate::error::{ErrorKind, Result};
use crate::feed;
use crate::grid::Location;
use crate::key::{ChunkKey, DirectoryEntry, LayerId, Mark, MarkKey, meta, unowned};
use crate::kv::{Order, Snapshot, Space, for_each_page};
use crate::ledger;
use crate::parallel;
use crate::store::{ChunkReader, Grid, LayerChunks, Pyramid, State, Store, StoreListing, lock};
use pages::Scanned;
pub use repair::{Quarantined, Repaired};
pub use report::{Damage, Finding, Report, Thoroughness};
pub use scrub::{Scrub, Scrubbed};

impl Store {
    /// Reads every value of the store in one snapshot, checks keys, checksums and records, and
    /// recomputes every aggregate from its children. Damage is reported, not repaired, and the
    /// check goes on behind it; an error means that the check itself could not go on.
    pub fn verify(&self) -> Result<Report> {
        self.verify_to(Thoroughness::Full)
    }

    /// Verifies the store like [`verify`](Self::verify), more or less thoroughly. What stands above
    /// shards is made of what other stores hold: of the top of a federation every value is read
    /// only, and [`Federation::verify`](crate::federation::Federation::verify) recomputes.
    pub fn verify_to(&self, depth: Thoroughness) -> Result<Report> {
        let mut report = Report::default();
        let StoreListing {
            snapshot,
            grids,
            unreadable,
        } = match self.shown() {
            Ok(shown) => shown,
            Err(error) if *error.kind() == ErrorKind::Corrupt => {
                report
                    .findings
                    .push(Finding::new(Damage::Record, None, error.sentence()));
                return Ok(report);
            }
            Err(error) => return Err(error),
        };
        let all_known = unreadable.is_empty();
        let unreadable = unreadable
            .into_iter()
            .map(|(name, error)| Finding::new(Damage::Record, Some(name), error.sentence()));
        report.findings.extend(unreadable);
        report
            .findings
            .extend(records::findings(&grids, snapshot.as_ref())?);
        for grid in &grids {
            // What the aggregates above shards are made of is in other stores.
            let mut found = false;
            let record = [meta::shards(grid.id())];
            snapshot.get_many(Space::Meta, &record, &mut |_, record| {
                found = record.is_some();
                Ok(())
            })?;
            let depth = if found { Thoroughness::Quick } else { depth };
            check_records(grid, snapshot.as_ref(), &mut report)?;
            check(grid, snapshot.as_ref(), depth, &mut report)?;
        }
        // What belongs to a grid that cannot be opened looks like a stranger's.
        let strangers = if all_known {
            strangers(&grids, snapshot.as_ref(), &mut report)
        } else {
            Ok(())
        };
        match strangers {
            Err(error) if *error.kind() == ErrorKind::Corrupt => {
                report
                    .findings
                    .push(Finding::new(Damage::Key, None, error.sentence()));
            }
            strangers => strangers?,
        }
        Ok(report)
    }
}

/// Checks the change feed of a grid, what a copy knows of its source, and the ledger of imports.
fn check_records(grid: &Grid, snapshot: &dyn Snapshot, report: &mut Report) -> Result<()> {
    let of_records = [
        feed::wrong_entry(grid, snapshot),
        copy::wrong_record(grid, snapshot),
        ledger::wrong_record(grid, snapshot),
    ];
    for wrong in of_records {
        let found = match wrong {
            Ok(None) => continue,
            Ok(Some(wrong)) => {
                let message = format!("grid `{}`: {wrong}", grid.name());
                Finding::new(Damage::Record, Some(grid.name()), message)
            }
            Err(error) if *error.kind() == ErrorKind::Corrupt => Finding::unreadable(grid, &error),
            Err(error) => return Err(error),
        };
        report.findings.push(found);
    }
    Ok(())
}

/// Checks what a grid holds as a snapshot shows it: chunks, directory and marks.
pub(crate) fn check(
    grid: &Grid,
    snapshot: &dyn Snapshot,
    depth: Thoroughness,
    report: &mut Report,
) -> Result<()> {
    report.grids += 1;
    let checked = grid
        .state(snapshot)
        .and_then(|state| Check::new(grid, snapshot, (state, depth), report)?.run());
    match checked {
        Err(error) if *error.kind() == ErrorKind::Corrupt => {
            report.findings.push(Finding::new(
                Damage::Record,
                Some(grid.name()),
                error.sentence(),
            ));
            Ok(())
        }
        checked => checked,
    }
}

/// Chunks, marks and feed entries whose grid is not in the catalog.
fn strangers(grids: &[Grid], snapshot: &dyn Snapshot, report: &mut Report) -> Result<()> {
    for space in [
        Space::Directory,
        Space::Base,
        Space::Aggregate,
        Space::Dirty,
        Space::Feed,
    ] {
        for gap in unowned(grids.iter().map(Grid::id)) {
            if !snapshot
                .scan(space, &gap, Order::Ascending, 1)?
                .entries
                .is_empty()
            {
                let message =
                    format!("the {space:?} space holds keys of a grid that is not in the catalog");
                report
                    .findings
                    .push(Finding::new(Damage::Key, None, message));
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
    /// The levels that there are; none if nothing was put.
    pyramid: Option<Pyramid>,
    depth: Thoroughness,
    report: &'a mut Report,
    /// The children marked as changed, for each aggregate that is out of date.
    marked: HashMap<Location, Vec<u8>>,
    /// Which events changed of each bucket that has left marks along other dimensions than the
    /// irregular one.
    changed: HashMap<Location, ChangedTicks>,
    findings: Mutex<Vec<Finding>>,
}

impl<'a> Check<'a> {
    fn new(
        grid: &'a Grid,
        snapshot: &'a dyn Snapshot,
        (state, depth): (State, Thoroughness),
        report: &'a mut Report,
    ) -> Result<Self> {
        let chunks = grid.chunk_reader(snapshot);
        let mut check = Self {
            grid,
            chunks,
            state,
            pyramid: state.pyramid(grid.structure()),
            depth,
            report,
            marked: HashMap::new(),
            changed: HashMap::new(),
            findings: Mutex::default(),
        };
        check.read_marks()?;
        Ok(check)
    }

    fn find(&self, damage: Damage, message: String) {
        let message = format!("grid `{}`: {message}", self.grid.name());
        lock(&self.findings).push(Finding::new(damage, Some(self.grid.name()), message));
    }

    /// Notes what is wrong with a chunk: `what` follows its name.
    fn find_at(&self, damage: Damage, (layer, at): (LayerId, &Location), what: impl fmt::Display) {
        lock(&self.findings).push(Finding::at(self.grid, damage, (layer, at), what));
    }

    fn read_marks(&mut self) -> Result<()> {
        let base = self.state.base;
        for_each_page(
            self.chunks.snapshot,
            Space::Dirty,
            MarkKey::all(self.grid.id()),
            4096,
            |entries| {
                for (key, value) in &entries {
                    match MarkKey::decode(self.grid.id(), self.grid.structure(), key) {
                        Ok(Mark {
                            parent,
                            dimension,
                            child,
                            ..
                        }) if base.is_some_and(|base| {
                            derivation(self.grid, parent.levels, &base) == Some(dimension)
                        }) =>
                        {
                            self.report.marks += 1;
                            self.marked.entry(parent).or_default().push(child);
                            match ticks(self.grid, value) {
                                Ok(ticks) => {
                                    let edge = Edge {
                                        parent,
                                        dimension,
                                        child,
                                    };
                                    ChangedTicks::add(
                                        &mut self.changed,
                                        self.grid,
                                        &edge,
                                        ticks.as_ref(),
                                    );
                                }
                                Err(error) => self.find(Damage::Mark, error.sentence()),
                            }
                        }
                        Ok(mark) => self.find(
                            Damage::Mark,
                            format!(
                                "a mark for {} is of no aggregate",
                                self.grid.structure().describe(&mark.parent)
                            ),
                        ),
                        Err(error) => {
                            self.find(Damage::Mark, format!("a mark is damaged: {error}"))
                        }
                    }
                }
                Ok(())
            },
        )
    }

    fn run(mut self) -> Result<()> {
        let entries = self.read_directory()?;
        if let Some(irregular) = self
            .grid
            .structure()
            .irregular_axis()
            .filter(|_| self.depth == Thoroughness::Full)
        {
            let recomputed = self.check_buckets(irregular, &entries);
            self.report.recomputed += self.report_damage(recomputed)?.unwrap_or_default();
        }
        for space in [Space::Base, Space::Aggregate] {
            self.check_space(space, &entries)?;
        }
        let mut findings = self
            .findings
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        // A chunk that cannot be read is met wherever it is needed.
        let mut seen = HashSet::new();
        findings.retain(|finding| seen.insert(finding.message.clone()));
        self.report.findings.extend(findings);
        Ok(())
    }

    /// Reads the chunks of a space, and checks them.
    fn check_space(
        &mut self,
        space: Space,
        entries: &HashMap<Vec<u8>, DirectoryEntry>,
    ) -> Result<()> {
        let of_space =
            |key: &[u8]| (key.get(4) == Some(&LayerId::BASE.0)) == (space == Space::Base);
        let listed = entries
            .iter()
            .filter(|(key, entry)| of_space(key) && **entry != DirectoryEntry::BRANCH);
        let mut missing: BTreeSet<Vec<u8>> = listed.map(|(key, _)| key.clone()).collect();
        let known: Vec<Vec<u8>> = missing.iter().cloned().collect();
        let (mut seen, mut bytes, mut recomputed) = (0, 0, 0);
        let range = ChunkKey::all(self.grid.id());
        pages::each(
            self.chunks.snapshot,
            (space, range, PAGE),
            &known,
            &mut |part| {
                match part {
                    Scanned::Entries(page) => {
                        seen += page.len() as u64;
                        bytes += page.iter().map(|(_, blob)| blob.len() as u64).sum::<u64>();
                        let check = |(key, blob): &(Vec<u8>, Vec<u8>)| {
                            Ok(self
                                .report_damage(self.check_chunk(space, key, blob, entries))?
                                .unwrap_or_default())
                        };
                        recomputed += parallel::map(&page, check)?.into_iter().sum::<u64>();
                        for (key, _) in &page {
                            missing.remove(key);
                        }
                    }
                    Scanned::Unreadable(key, error) => {
                        missing.remove(&key);
                        match ChunkKey::decode(self.grid.id(), self.grid.structure(), &key) {
                            Ok((layer, at)) => self.find_at(
                                Damage::Chunk,
                                (layer, &at),
                                format!("is damaged: {}", error.sentence()),
                            ),
                            Err(_) => self.find(Damage::Chunk, error.sentence()),
                        }
                    }
                    Scanned::Gap(error) => {
                        self.find(
                            Damage::Chunk,
                            format!(
                                "between the known chunks of the {space:?} space: {}",
                                error.sentence()
                            ),
                        );
                    }
                }
                Ok(())
            },
        )?;
        self.report.chunks += seen;
        self.report.bytes += bytes;
        self.report.recomputed += recomputed;
        for key in missing {
            match ChunkKey::decode(self.grid.id(), self.grid.structure(), &key) {
                Ok((layer, at)) => self.find_at(
                    Damage::Directory,
                    (layer, &at),
                    "is in the directory, but not there",
                ),
                Err(error) => {
                    self.find(Damage::Key, format!("a directory key is damaged: {error}"))
                }
            }
        }
        Ok(())
    }

    fn read_directory(&self) -> Result<HashMap<Vec<u8>, DirectoryEntry>> {
        let mut entries = HashMap::new();
        let range = ChunkKey::all(self.grid.id());
        pages::each(
            self.chunks.snapshot,
            (Space::Directory, range, 4096),
            &[],
            &mut |part| {
                match part {
                    Scanned::Entries(page) => {
                        for (key, value) in page {
                            match DirectoryEntry::decode(&value) {
                                Ok(entry) => drop(entries.insert(key, entry)),
                                Err(error) => self.find(
                                    Damage::Directory,
                                    format!("a directory entry is damaged: {error}"),
                                ),
                            }
                        }
                    }
                    Scanned::Unreadable(_, error) | Scanned::Gap(error) => {
                        self.find(
                            Damage::Directory,
                            format!(
                                "a part of its directory cannot be read: {}",
                                error.sentence()
                            ),
                        );
                    }
                }
                Ok(())
            },
        )?;
        Ok(entries)
    }

    /// Checks one stored chunk; gives how many layers were recomputed.
    fn check_chunk(
        &self,
        space: Space,
        key: &[u8],
        blob: &[u8],
        entries: &HashMap<Vec<u8>, DirectoryEntry>,
    ) -> Result<u64> {
        let (layer, at) = match ChunkKey::decode(self.grid.id(), self.grid.structure(), key) {
            Ok((layer, at)) if (layer == LayerId::BASE) == (space == Space::Base) => (layer, at),
            Ok((_, at)) => {
                self.find(
                    Damage::Key,
                    format!(
                        "a chunk at {} is in the wrong space",
                        self.grid.structure().describe(&at)
                    ),
                );
                return Ok(0);
            }
            Err(error) => {
                self.find(Damage::Key, format!("a chunk's key is damaged: {error}"));
                return Ok(0);
            }
        };
        match entries.get(key) {
            Some(entry) if entry.bytes != blob.len() as u64 => {
                let what = format!(
                    "has {} bytes, the directory says {}",
                    blob.len(),
                    entry.bytes
                );
                self.find_at(Damage::Directory, (layer, &at), what);
            }
            Some(entry) if checksum_of(blob).is_ok_and(|checksum| checksum != entry.checksum) => {
                self.find_at(
                    Damage::Directory,
                    (layer, &at),
                    "has another checksum than the directory says",
                )
            }
            Some(_) => {}
            None => self.find_at(Damage::Directory, (layer, &at), "is not in the directory"),
        }
        if self.depth == Thoroughness::Quick {
            let ticks = entries.get(key).and_then(|entry| entry.ticks.as_ref());
            return self.chunks.check_blob(layer, &at, ticks, blob).map(|()| 0);
        }
        let Some(pyramid) = &self.pyramid else {
            self.find_at(
                Damage::Stray,
                (layer, &at),
                "is stored though nothing was put",
            );
            return Ok(0);
        };
        let bucket = self
            .grid
            .structure()
            .irregular_axis()
            .filter(|irregular| irregular.level(&at) <= irregular.bucket);
        if let Some(irregular) = bucket {
            // The rest is checked bucket by bucket.
            if layer == LayerId::BASE {
                self.check_bounds(&at, pyramid);
                let root = irregular.place(
                    &at,
                    irregular.bucket,
                    irregular.code(irregular.bucket, *irregular.ticks(&at).start()),
                );
                self.check_parents(&root, pyramid)?;
            }
            return Ok(0);
        }
        match layer {
            LayerId::BASE => self.check_base(&at, pyramid)?,
            _ if layer == LayerId::FIRST => return self.check_aggregate(&at, pyramid),
            _ if !self.chunks.exists(LayerId::FIRST, &at)? => {
                self.find_at(Damage::Stray, (layer, &at), "stands alone")
            }
            _ => return Ok(0),
        }
        self.check_parents(&at, pyramid)?;
        Ok(0)
    }

    fn check_base(&self, at: &Location, pyramid: &Pyramid) -> Result<()> {
        if !pyramid.base.has(at.levels) {
            self.find_at(Damage::Stray, (LayerId::BASE, at), "is not at a base level");
            return Ok(());
        }
        self.check_bounds(at, pyramid);
        for above in self
            .chunks
            .above(at, &pyramid.base)
            .into_iter()
            .filter(|above| pyramid.base.has(above.levels))
        {
            if self.chunks.exists(LayerId::BASE, &above)? {
                let (under, over) = (
                    self.grid.chunk_name(LayerId::BASE, at),
                    self.grid.chunk_name(LayerId::BASE, &above),
                );
                self.find(Damage::Stray, format!("{under} lies under {over}"));
            }
        }
        // What was an aggregate before all below it was removed stays until the marks of that are
        // consumed.
        let below =
            |marked: &&Location| self.grid.structure().ancestor(marked, at.levels) == Some(*at);
        if !self.grid.layers().is_empty()
            && self.chunks.exists(LayerId::FIRST, at)?
            && !self.marked.keys().any(|at| below(&at))
        {
            self.find_at(
                Damage::Stray,
                (LayerId::BASE, at),
                "is there, and an aggregate too",
            );
        }
        self.report_damage(self.chunks.base(at, None)).map(drop)
    }

    fn check_bounds(&self, at: &Location, pyramid: &Pyramid) {
        let structure = self.grid.structure();
        let window = structure.cover(&structure.chunk_window(at), pyramid.base.cells());
        let inside = self
            .state
            .bounds
            .is_some_and(|bounds| structure.intersection(&window, &bounds).is_some());
        if !inside {
            self.find_at(
                Damage::Stray,
                (LayerId::BASE, at),
                "lies outside of all that was put",
            );
        }
    }

    /// The value, or nothing and a finding if it is damaged.
    fn report_damage<T>(&self, value: Result<T>) -> Result<Option<T>> {
        match value {
            Ok(value) => Ok(Some(value)),
            Err(error) if *error.kind() == ErrorKind::Corrupt => {
                lock(&self.findings).push(Finding::unreadable(self.grid, &error));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Every parent of a stored chunk is stored, or marked.
    fn check_parents(&self, at: &Location, pyramid: &Pyramid) -> Result<()> {
        if self.grid.layers().is_empty() {
            return Ok(());
        }
        for Edge { parent, child, .. } in parents(
            self.grid,
            at,
            derivation(self.grid, at.levels, &pyramid.base),
        ) {
            let reached = pyramid.built.covers(&parent.levels);
            let marked = self
                .marked
                .get(&parent)
                .is_some_and(|children| children.contains(&child));
            if reached && !marked && !self.chunks.exists(LayerId::FIRST, &parent)? {
                self.find(
                    Damage::Missing,
                    format!(
                        "the aggregate at {} is missing, and no mark says so",
                        self.grid.structure().describe(&parent)
                    ),
                );
            }
        }
        Ok(())
    }

    /// The children of an aggregate that are marked as changed, or may inherit what is marked above
    /// along the refinable dimension.
    fn marked_children(&self, at: &Location, dimension: usize, pyramid: &Pyramid) -> Vec<u8> {
        let inherits = pyramid.base.mixed().is_some_and(|mixed| mixed != dimension);
        let above = pyramid
            .base
            .over(self.grid.structure(), at)
            .filter(|_| inherits);
        std::iter::once(*at)
            .chain(above)
            .filter_map(|at| self.marked.get(&at))
            .flatten()
            .copied()
            .collect()
    }

    /// Compares an aggregate with what its children make of it; the parts of marked children may
    /// differ.
    fn check_aggregate(&self, at: &Location, pyramid: &Pyramid) -> Result<u64> {
        let structure = self.grid.structure();
        let reached = pyramid.built.covers(&at.levels);
        let Some(dimension) = derivation(self.grid, at.levels, &pyramid.base).filter(|_| reached)
        else {
            self.find_at(
                Damage::Stray,
                (LayerId::FIRST, at),
                "is outside of the pyramid",
            );
            return Ok(0);
        };
        self.check_parents(at, pyramid)?;
        let Some(Some(stored)) = self.report_damage(self.chunks.aggregates(at, None))? else {
            return Ok(0);
        };
        let halving = self.grid.halving(dimension);
        let marked = self.marked_children(at, dimension, pyramid);
        let inherits = pyramid.base.mixed().is_some_and(|mixed| mixed != dimension);
        let mut parts: Vec<(u8, Option<LayerChunks>)> = Vec::new();
        let mut has_child = !marked.is_empty();
        for (number, child) in (0_u8..=u8::MAX).zip(structure.children(at, dimension)) {
            if marked.contains(&number) {
                continue;
            }
            let Some(own) = self.report_damage(self.chunks.stored(&child, &pyramid.base))? else {
                return Ok(0);
            };
            has_child |= own.is_some();
            let child = match own {
                None if inherits => self
                    .report_damage(self.chunks.effective(&child, &pyramid.base))?
                    .flatten(),
                own => own,
            };
            parts.push((
                number,
                child
                    .map(|chunks| self.chunks.reduce(&chunks, dimension, at.levels))
                    .transpose()?,
            ));
        }
        if !has_child {
            self.find_at(Damage::Stray, (LayerId::FIRST, at), "has no data under it");
            return Ok(0);
        }
        let kept = (!marked.is_empty()).then(|| stored.clone());
        let computed = self.chunks.assemble(kept, parts, &halving, at.levels);
        for ((layer, stored), computed) in self.grid.layers().iter().zip(&stored).zip(&computed) {
            if !computed.is(stored) {
                self.find_at(
                    Damage::Wrong,
                    (layer.id, at),
                    "differs from its recomputation, and no mark says so",
                );
            }
        }
        Ok(self.grid.layers().len() as u64)
    }
}
