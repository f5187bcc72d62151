//! Reading all entries of a range, and going on behind those that cannot be read.

use crate::error::{Error, ErrorKind, Result};
use crate::kv::{KeyRange, Order, Snapshot, Space};

/// What was found on the way through a range.
pub(super) enum Scanned {
    /// Entries that follow one another.
    Entries(Vec<(Vec<u8>, Vec<u8>)>),
    /// A known key whose value cannot be read.
    Unreadable(Vec<u8>, Error),
    /// Between two known keys something cannot be read.
    Gap(Error),
}

/// Calls `visit` with all that there is in a range, at most `limit` entries at a time. `known` are
/// keys that it should have, in their order: behind what cannot be read it goes on with the next of
/// them.
pub(super) fn each(
    snapshot: &dyn Snapshot,
    (space, mut range, limit): (Space, KeyRange, usize),
    known: &[Vec<u8>],
    visit: &mut dyn FnMut(Scanned) -> Result<()>,
) -> Result<()> {
    let behind = |key: &[u8]| [key, &[0]].concat();
    loop {
        let scanned = snapshot.scan(space, &range, Order::Ascending, limit);
        let error = match scanned {
            Ok(page) => {
                let next = page
                    .entries
                    .last()
                    .filter(|_| page.more)
                    .map(|(last, _)| behind(last));
                visit(Scanned::Entries(page.entries))?;
                match next {
                    Some(start) => range.start = start,
                    None => return Ok(()),
                }
                continue;
            }
            Err(error) if *error.kind() == ErrorKind::Corrupt => error,
            Err(error) => return Err(error),
        };
        let next = known.partition_point(|key| *key < range.start);
        let Some(key) = known.get(next).filter(|key| range.contains(key)) else {
            return visit(Scanned::Gap(error));
        };
        let before = KeyRange {
            start: range.start.clone(),
            end: Some(key.clone()),
        };
        match scanned_whole(snapshot, space, before) {
            Ok(entries) => visit(Scanned::Entries(entries))?,
            Err(error) if *error.kind() == ErrorKind::Corrupt => visit(Scanned::Gap(error))?,
            Err(error) => return Err(error),
        }
        let mut value = None;
        let read = snapshot.get_many(space, std::slice::from_ref(key), &mut |_, found| {
            value = found.map(<[u8]>::to_vec);
            Ok(())
        });
        match read {
            Ok(()) => visit(Scanned::Entries(
                value
                    .into_iter()
                    .map(|value| (key.clone(), value))
                    .collect(),
            ))?,
            Err(error) if *error.kind() == ErrorKind::Corrupt => {
                visit(Scanned::Unreadable(key.clone(), error))?
            }
            Err(error) => return Err(error),
        }
        range.start = behind(key);
    }
}

/// All entries between two known keys: few, if any.
fn scanned_whole(
    snapshot: &dyn Snapshot,
    space: Space,
    range: KeyRange,
) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    if range.is_empty() {
        return Ok(Vec::new());
    }
    Ok(snapshot
        .scan(space, &range, Order::Ascending, usize::MAX)?
        .entries)
}
