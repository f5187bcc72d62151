//! Small values that were read, and the first entries of ranges, of one moment each.
//!
//! A moment does not change, so that what was found in it stands. SlateDB looks into every table
//! for a key, which takes long beside a chunk that is kept decoded.

use std::hash::RandomState;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use slatedb::bytes::Bytes;

use super::super::{KeyRange, Order, Page, Space};
use super::cache::{OVERHEAD, within};
use super::keys;

/// What a value has, about.
const VALUE_BYTES: usize = 256;
/// Parts with locks of their own have at least so many bytes.
const SHARD_BYTES: usize = 1 << 20;
/// Pages of more entries are not kept.
const ENTRIES_MAX: usize = 2;

/// What was asked of a moment, which has a number.
type ValueKey = (u64, Vec<u8>);

#[derive(Clone, Debug)]
enum HeldValue {
    Value(Option<Bytes>),
    Page(Arc<Page>),
}

#[derive(Clone, Debug)]
struct ValueWeight;

impl Weighter<ValueKey, HeldValue> for ValueWeight {
    fn weight(&self, asked: &ValueKey, answer: &HeldValue) -> u64 {
        let bytes = match answer {
            HeldValue::Value(value) => value.as_ref().map_or(0, Bytes::len),
            HeldValue::Page(page) => {
                let of = |(key, value): &(Vec<u8>, Vec<u8>)| key.len() + value.len();
                page.entries.iter().map(of).sum()
            }
        };
        (asked.1.len() + bytes) as u64 + OVERHEAD
    }
}

/// Answers within a number of bytes.
pub(super) struct HeldValues(Cache<ValueKey, HeldValue, ValueWeight, RandomState>);

impl HeldValues {
    pub(super) fn new(bytes: usize) -> Self {
        Self(within(bytes, (VALUE_BYTES, SHARD_BYTES), ValueWeight))
    }

    /// What a moment has under a key, if that is known.
    pub(super) fn value(&self, moment: u64, space: Space, key: &[u8]) -> Option<Option<Bytes>> {
        if keys::is_large(space) {
            return None;
        }
        match self.0.get(&(moment, keys::value_key(space, key)))? {
            HeldValue::Value(value) => Some(value),
            HeldValue::Page(_) => None,
        }
    }

    /// Keeps what a moment has under a key.
    pub(super) fn keep_value(&self, moment: u64, space: Space, key: &[u8], value: Option<&[u8]>) {
        if !keys::is_large(space) {
            // A part of a block would hold all of it.
            let value = value.map(Bytes::copy_from_slice);
            let asked = (moment, keys::value_key(space, key));
            self.0.insert(asked, HeldValue::Value(value));
        }
    }

    /// What a moment has of a range, if that is known.
    pub(super) fn page(&self, moment: u64, range: &RangeAsked<'_>) -> Option<Arc<Page>> {
        match self.0.get(&(moment, range.name()?))? {
            HeldValue::Page(page) => Some(page),
            HeldValue::Value(_) => None,
        }
    }

    /// Keeps what a moment has of a range.
    pub(super) fn keep_page(&self, moment: u64, range: &RangeAsked<'_>, page: &Page) {
        if let Some(name) = range.name() {
            let page = HeldValue::Page(Arc::new(page.clone()));
            self.0.insert((moment, name), page);
        }
    }
}

/// The first entries of a range, as they are asked for.
pub(super) struct RangeAsked<'a> {
    pub(super) space: Space,
    pub(super) range: &'a KeyRange,
    pub(super) order: Order,
    pub(super) limit: usize,
}

impl RangeAsked<'_> {
    /// Bytes that no other range has, nor a value; `None` if it is not kept.
    fn name(&self) -> Option<Vec<u8>> {
        if self.limit > ENTRIES_MAX || keys::is_large(self.space) {
            return None;
        }
        let (start, end) = (&self.range.start, self.range.end.as_deref());
        let mut name = keys::range_key(self.space, start);
        let length = u64::try_from(start.len()).unwrap_or(u64::MAX);
        name.extend_from_slice(end.unwrap_or_default());
        name.extend_from_slice(&length.to_ne_bytes());
        name.push(u8::from(end.is_some()));
        name.push(u8::from(self.order == Order::Ascending));
        name.push(u8::try_from(self.limit).ok()?);
        Some(name)
    }
}
