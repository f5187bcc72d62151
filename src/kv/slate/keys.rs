//! How the spaces share one ordered map: a byte before each key.
//!
//! A space of large values has an index too, an empty entry a key: SlateDB keeps values beside
//! their keys, so that whoever only wants to know which keys there are would read all of them.

use std::ops::Range;

use super::super::{KeyRange, Space};

const INDEX: u8 = 0x80;
/// Before what is kept of a range in memory.
const RANGE: u8 = 0x40;

fn mark(space: Space) -> u8 {
    match space {
        Space::Meta => 0,
        Space::Directory => 1,
        Space::Base => 2,
        Space::Aggregate => 3,
        Space::Dirty => 4,
        Space::Feed => 5,
    }
}

/// Whether the values of a space are chunks.
pub(super) fn is_large(space: Space) -> bool {
    matches!(space, Space::Base | Space::Aggregate)
}

fn with_mark(mark: u8, key: &[u8]) -> Vec<u8> {
    let mut marked = Vec::with_capacity(key.len() + 1);
    marked.push(mark);
    marked.extend_from_slice(key);
    marked
}

/// Where a value is kept.
pub(super) fn value_key(space: Space, key: &[u8]) -> Vec<u8> {
    with_mark(mark(space), key)
}

/// Where it is noted that there is a value, if it is elsewhere than the value.
pub(super) fn index_key(space: Space, key: &[u8]) -> Option<Vec<u8>> {
    is_large(space).then(|| with_mark(mark(space) | INDEX, key))
}

/// What a range is called in memory, where it begins there.
pub(super) fn range_key(space: Space, start: &[u8]) -> Vec<u8> {
    with_mark(mark(space) | RANGE, start)
}

/// Where the spaces begin in which almost every read looks: small records, and marks.
pub(super) fn read_always() -> [Vec<u8>; 2] {
    [Space::Meta, Space::Dirty].map(|space| value_key(space, &[]))
}

/// The key of the space, of one of either kind.
pub(super) fn bare(key: &[u8]) -> &[u8] {
    key.get(1..).unwrap_or_default()
}

/// Where the values of a range are kept.
pub(super) fn values(space: Space, range: &KeyRange) -> Range<Vec<u8>> {
    marked(mark(space), range)
}

/// Where the keys of a range are found without their values, so far as that is possible.
pub(super) fn listed(space: Space, range: &KeyRange) -> Range<Vec<u8>> {
    let of = if is_large(space) { INDEX } else { 0 };
    marked(mark(space) | of, range)
}

fn marked(mark: u8, range: &KeyRange) -> Range<Vec<u8>> {
    let end = match &range.end {
        Some(end) => with_mark(mark, end),
        None => vec![mark + 1],
    };
    with_mark(mark, &range.start)..end
}
