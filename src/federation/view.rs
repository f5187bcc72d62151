//! The shards and the store above them as one snapshot: each key is read where it is held.
//!
//! All that reads a grid asks a snapshot for keys, so that reads, series, statistics and versions of
//! a federation are those of one store, by the same code.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::key::{Division, Owner};
use crate::kv::{Batch, KeyRange, Order, Page, Sequence, Snapshot, Space};

/// What is read of one shard.
pub(super) struct PartView {
    pub(super) name: String,
    /// Why there is none, if there is none.
    pub(super) snapshot: Result<Arc<dyn Snapshot>, String>,
}

impl PartView {
    fn get(&self) -> Result<&dyn Snapshot> {
        match &self.snapshot {
            Ok(snapshot) => Ok(snapshot.as_ref()),
            Err(why) => Err(unavailable(&self.name, why)),
        }
    }
}

/// The error of whoever needs a shard that is not there.
pub(super) fn unavailable(name: &str, why: &str) -> Error {
    Error::unavailable(format!(
        "shard `{name}` is not open, so what it holds can be neither read nor written: open the federation again once it can be opened"
    ))
    .because(why.to_owned())
}

/// One moment of a federation: that of the top first, then those of the shards, one after the
/// other.
pub(super) struct FederatedSnapshot {
    top: Arc<dyn Snapshot>,
    parts: Vec<PartView>,
    division: Arc<Division>,
    /// Records in place of those of the top; `None` where there is none.
    records: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Marks that the top would have, had it followed the shards up to here.
    marks: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Whether marks within the shards are shown: they are theirs to consume.
    shows_marks: bool,
}

/// The entries of one place, of those that a scan asks for.
struct FoundEntries {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    more: bool,
}

impl FederatedSnapshot {
    pub(super) fn new(
        top: Arc<dyn Snapshot>,
        parts: Vec<PartView>,
        division: Arc<Division>,
        shows_marks: bool,
    ) -> Self {
        Self {
            top,
            parts,
            division,
            records: BTreeMap::new(),
            marks: BTreeMap::new(),
            shows_marks,
        }
    }

    /// The store of the top at this moment.
    pub(super) fn top(&self) -> &dyn Snapshot {
        self.top.as_ref()
    }

    /// The shards at this moment.
    pub(super) fn parts(&self) -> &[PartView] {
        &self.parts
    }

    /// Shows no record under a key, until one is laid over it.
    pub(super) fn hide(&mut self, key: Vec<u8>) {
        self.records.insert(key, None);
    }

    /// Shows the records and marks that a batch would write.
    pub(super) fn lay(&mut self, batch: Batch) {
        for write in batch.into_parts().1 {
            match write.space {
                Space::Dirty => {
                    self.marks
                        .extend(write.value.map(|value| (write.key, value)));
                }
                _ => {
                    self.records.insert(write.key, write.value);
                }
            }
        }
    }

    /// Whether the top is to write this.
    pub(super) fn is_of_top(&self, space: Space, key: &[u8]) -> bool {
        self.owner(space, key) == Some(Owner::Top)
    }

    fn owner(&self, space: Space, key: &[u8]) -> Option<Owner> {
        match space {
            Space::Meta | Space::Feed => Some(Owner::Top),
            Space::Dirty => self.division.mark(key),
            Space::Directory | Space::Base | Space::Aggregate => self.division.chunk(key),
        }
    }

    /// Those whose keys a scan is to look through.
    fn owners(&self, space: Space, range: &KeyRange) -> Vec<Owner> {
        match space {
            Space::Meta | Space::Feed => vec![Owner::Top],
            Space::Dirty => {
                let shown = |owner: &Owner| match owner {
                    Owner::Top => true,
                    // Of a shard that is not there nothing is known, nor can anything be read.
                    Owner::Part(part) => self.shows_marks && self.parts[*part].snapshot.is_ok(),
                };
                let mut owners = self.division.marks(range);
                owners.retain(shown);
                owners
            }
            Space::Directory | Space::Base | Space::Aggregate => self.division.chunks(range),
        }
    }

    fn of(&self, owner: Owner) -> Result<&dyn Snapshot> {
        match owner {
            Owner::Top => Ok(self.top.as_ref()),
            Owner::Part(part) => self.parts[part].get(),
        }
    }

    /// The first entries of a range that an owner holds: what else is in its store is not of the
    /// federation.
    fn held(
        &self,
        owner: Owner,
        space: Space,
        (range, order, limit): (&KeyRange, Order, usize),
    ) -> Result<FoundEntries> {
        let snapshot = self.of(owner)?;
        let (mut rest, mut entries) = (range.clone(), Vec::new());
        loop {
            let page = snapshot.scan(space, &rest, order, limit)?;
            let last = page.entries.last().map(|(key, _)| key.clone());
            let own = page
                .entries
                .into_iter()
                .filter(|(key, _)| self.owner(space, key) == Some(owner));
            entries.extend(own);
            let Some(last) = last.filter(|_| page.more && entries.len() < limit) else {
                let more = page.more || entries.len() > limit;
                entries.truncate(limit);
                return Ok(FoundEntries { entries, more });
            };
            match order {
                Order::Ascending => rest.start = [last.as_slice(), &[0]].concat(),
                Order::Descending => rest.end = Some(last),
            }
        }
    }

    /// The marks of the top's that are shown beside what is stored, in a range.
    fn marks_in(&self, (range, order, limit): (&KeyRange, Order, usize)) -> FoundEntries {
        let end = range
            .end
            .as_deref()
            .map_or(Bound::Unbounded, Bound::Excluded);
        let inside = (!range.is_empty()).then(|| {
            self.marks
                .range::<[u8], _>((Bound::Included(range.start.as_slice()), end))
        });
        let inside = inside
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.clone()));
        let behind = limit.saturating_add(1);
        let mut entries: Vec<_> = match order {
            Order::Ascending => inside.take(behind).collect(),
            Order::Descending => inside.rev().take(behind).collect(),
        };
        let more = entries.len() > limit;
        entries.truncate(limit);
        FoundEntries { entries, more }
    }

    /// What a page of the top shows with the records that are laid over it.
    fn records_over(
        &self,
        mut page: Page,
        (range, order, limit): (&KeyRange, Order, usize),
    ) -> Page {
        // The part of the range of which the page tells all.
        let told = |key: &[u8]| match (page.more, page.entries.last()) {
            (true, Some((last, _))) => match order {
                Order::Ascending => key <= last.as_slice(),
                Order::Descending => key >= last.as_slice(),
            },
            _ => true,
        };
        let own: Vec<_> = self
            .records
            .iter()
            .filter(|(key, _)| range.contains(key) && told(key))
            .collect();
        for (key, value) in own {
            page.entries.retain(|(held, _)| held != key);
            page.entries
                .extend(value.iter().map(|value| (key.clone(), value.clone())));
        }
        sort(&mut page.entries, order);
        page.more |= page.entries.len() > limit;
        page.entries.truncate(limit);
        page
    }
}

fn sort(entries: &mut [(Vec<u8>, Vec<u8>)], order: Order) {
    entries.sort_by(|(a, _), (b, _)| match order {
        Order::Ascending => a.cmp(b),
        Order::Descending => b.cmp(a),
    });
}

#[deny(clippy::missing_trait_methods)]
impl Snapshot for FederatedSnapshot {
    fn sequence(&self) -> Sequence {
        self.top.sequence()
    }

    fn get_many(
        &self,
        space: Space,
        keys: &[Vec<u8>],
        visit: &mut dyn FnMut(usize, Option<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        let mut next = 0;
        while next < keys.len() {
            let owner = self.owner(space, &keys[next]);
            let run = keys[next..]
                .iter()
                .take_while(|key| self.owner(space, key) == owner)
                .count();
            let (first, run) = (next, &keys[next..next + run]);
            next += run.len();
            let Some(owner) = owner else {
                for number in first..next {
                    visit(number, None)?;
                }
                continue;
            };
            self.of(owner)?.get_many(space, run, &mut |number, value| {
                let over = match space {
                    Space::Meta => self.records.get(&run[number]),
                    _ => None,
                };
                match over {
                    Some(record) => visit(first + number, record.as_deref()),
                    None => visit(first + number, value),
                }
            })?;
        }
        Ok(())
    }

    fn scan(&self, space: Space, range: &KeyRange, order: Order, limit: usize) -> Result<Page> {
        let asked = (range, order, limit);
        match space {
            Space::Meta => {
                let page = self.top.scan(space, range, order, limit)?;
                return Ok(self.records_over(page, asked));
            }
            // The top's feed tells nothing of the shards: that is no absence of changes.
            Space::Feed => {
                return Err(Error::invalid(
                    "a federation has no change feed of its own: open the store of each shard for reading, and follow the grid there",
                ));
            }
            Space::Dirty | Space::Directory | Space::Base | Space::Aggregate => {}
        }
        let mut all = Page::default();
        let owners = self.owners(space, range).into_iter();
        let mut found = owners
            .map(|owner| self.held(owner, space, asked))
            .collect::<Result<Vec<_>>>()?;
        if space == Space::Dirty {
            found.push(self.marks_in(asked));
        }
        // What one has more of lies behind all that it showed.
        for FoundEntries { entries, more } in found {
            all.more |= more;
            all.entries.extend(entries);
        }
        sort(&mut all.entries, order);
        all.entries.dedup_by(|a, b| a.0 == b.0);
        all.more |= all.entries.len() > limit;
        all.entries.truncate(limit);
        Ok(all)
    }

    fn is_remote(&self) -> bool {
        let mut parts = self.parts.iter();
        self.top.is_remote()
            || parts.any(|part| part.snapshot.as_ref().is_ok_and(|of| of.is_remote()))
    }
}
