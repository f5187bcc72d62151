//! What a snapshot would show after writes that are not committed yet, so that a later part of a
//! batch can be computed from what an earlier one leaves.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::{Batch, KeyRange, Order, Page, Sequence, Snapshot, Space, Write};
use crate::error::Result;

/// The values that are written to one space; `None` is a deletion.
type OverlayWrites = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A snapshot with the writes of several batches over it, each computed from what the overlay
/// showed before. In the end they are one batch.
pub(crate) struct Overlay<'s> {
    under: &'s dyn Snapshot,
    written: [OverlayWrites; Space::ALL.len()],
    /// The ranges of the snapshot that are deleted, and what all parts expect of it.
    batch: Batch,
}

impl<'s> Overlay<'s> {
    /// Nothing over a snapshot.
    pub(crate) fn new(under: &'s dyn Snapshot) -> Self {
        Self {
            under,
            written: std::array::from_fn(|_| BTreeMap::new()),
            batch: Batch::at(under),
        }
    }

    /// Lays a batch over what is shown.
    pub(crate) fn add(&mut self, batch: Batch) -> Result<()> {
        batch
            .keys()
            .iter()
            .for_each(|(space, key)| self.batch.expect_key(*space, key.clone()));
        batch
            .ranges()
            .iter()
            .for_each(|(space, range)| self.batch.expect_range(*space, range.clone()));
        let (deleted, writes) = batch.into_parts();
        for (space, range) in deleted {
            self.written[space.index()].retain(|key, _| !range.contains(key));
            self.batch.delete_range(space, range);
        }
        for Write { space, key, value } in writes {
            // What was only ever written here leaves no deletion behind.
            if value.is_none() && !self.is_under(space, &key)? {
                self.written[space.index()].remove(&key);
            } else {
                self.written[space.index()].insert(key, value);
            }
        }
        Ok(())
    }

    /// The bytes of all keys and values that are written.
    pub(crate) fn size(&self) -> usize {
        let written = self.written.iter().flatten();
        written
            .map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len))
            .sum()
    }

    /// All that was laid over the snapshot, in one batch.
    pub(crate) fn into_batch(self) -> Batch {
        let mut batch = self.batch;
        for (space, written) in Space::ALL.into_iter().zip(self.written) {
            for (key, value) in written {
                match value {
                    Some(value) => batch.put(space, key, value),
                    None => batch.delete(space, key),
                }
            }
        }
        batch
    }

    fn is_deleted(&self, space: Space, key: &[u8]) -> bool {
        self.batch
            .deleted()
            .iter()
            .any(|(of, range)| *of == space && range.contains(key))
    }

    /// Whether a key shows through from the snapshot unless it is overwritten.
    fn is_under(&self, space: Space, key: &[u8]) -> Result<bool> {
        if self.is_deleted(space, key) {
            return Ok(false);
        }
        let mut found = false;
        self.under
            .get_many(space, &[key.to_vec()], &mut |_, value| {
                found = value.is_some();
                Ok(())
            })?;
        Ok(found)
    }

    /// The entries of a range, given those that the snapshot has of it.
    fn merged(
        &self,
        space: Space,
        range: &KeyRange,
        under: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut entries: BTreeMap<_, _> = under
            .into_iter()
            .filter(|(key, _)| !self.is_deleted(space, key))
            .collect();
        let end = range
            .end
            .as_deref()
            .map_or(Bound::Unbounded, Bound::Excluded);
        let written = &self.written[space.index()];
        let own = (!range.is_empty())
            .then(|| written.range::<[u8], _>((Bound::Included(range.start.as_slice()), end)));
        for (key, value) in own.into_iter().flatten() {
            match value {
                Some(value) => drop(entries.insert(key.clone(), value.clone())),
                None => drop(entries.remove(key)),
            }
        }
        entries
    }
}

impl Snapshot for Overlay<'_> {
    fn sequence(&self) -> Sequence {
        self.under.sequence()
    }

    fn get_many(
        &self,
        space: Space,
        keys: &[Vec<u8>],
        visit: &mut dyn FnMut(usize, Option<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        let written = &self.written[space.index()];
        self.under
            .get_many(space, keys, &mut |i, value| match written.get(&keys[i]) {
                Some(value) => visit(i, value.as_deref()),
                None => visit(i, value.filter(|_| !self.is_deleted(space, &keys[i]))),
            })
    }

    fn scan(&self, space: Space, range: &KeyRange, order: Order, limit: usize) -> Result<Page> {
        let mut rest = range.clone();
        loop {
            let page = self.under.scan(space, &rest, order, limit)?;
            // The part of the range of which this page tells all.
            let (mut part, mut next) = (rest.clone(), None);
            if let (true, Some((last, _))) = (page.more, page.entries.last()) {
                let behind = [last.as_slice(), &[0]].concat();
                next = Some(match order {
                    Order::Ascending => {
                        part.end = Some(behind.clone());
                        KeyRange {
                            start: behind,
                            end: rest.end.clone(),
                        }
                    }
                    Order::Descending => {
                        part.start = last.clone();
                        KeyRange {
                            start: rest.start.clone(),
                            end: Some(last.clone()),
                        }
                    }
                });
            }
            let mut entries: Vec<_> = self
                .merged(space, &part, page.entries)
                .into_iter()
                .collect();
            if order == Order::Descending {
                entries.reverse();
            }
            match next {
                Some(next) if entries.is_empty() => rest = next,
                next => {
                    let more = next.is_some() || entries.len() > limit;
                    entries.truncate(limit);
                    return Ok(Page { entries, more });
                }
            }
        }
    }

    fn is_remote(&self) -> bool {
        self.under.is_remote()
    }
}

#[cfg(test)]
#[path = "overlay_tests.rs"]
mod tests;
