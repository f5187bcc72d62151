//! Answers that are asked for again.
//!
//! Bytes are kept by their ETag: equal ETags are equal bytes, so that nothing has to be forgotten
//! when data change. Of an address it is kept which ETag answered it, and at which moment of the
//! store: until the next commit that is the answer still, and neither a version nor a thread of its
//! own is needed to know it.

use axum::body::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// What an answer takes beside its bytes, about.
const OVERHEAD: u64 = 256;
/// The bytes that an answer is expected to have.
const TYPICAL_BYTES: u64 = 16 << 10;
/// The part of all bytes that addresses have.
const ADDRESSES: u64 = 16;

/// A state of the store. While the present one is the same, no commit has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoreMoment {
    /// How often another store took the place of the one before.
    pub(super) shown: u64,
    /// The number of the last commit that is sure to be in it.
    pub(super) commit: u64,
}

impl StoreMoment {
    /// That of what never changes.
    pub(super) const EVER: Self = Self {
        shown: u64::MAX,
        commit: u64::MAX,
    };
}

/// The ETag of an address's answer, and its type.
#[derive(Clone, Debug)]
struct Current {
    moment: StoreMoment,
    etag: String,
    mime: &'static str,
}

/// The bytes of answers by their ETags, and ETags by addresses, up to a sum of bytes.
#[derive(Debug)]
pub(super) struct KeptAnswers {
    bytes: Cache<String, Bytes, BySize>,
    current: Cache<String, Current, BySize>,
}

#[derive(Clone, Debug)]
struct BySize;

impl Weighter<String, Bytes> for BySize {
    fn weight(&self, etag: &String, bytes: &Bytes) -> u64 {
        (etag.len() + bytes.len()) as u64 + OVERHEAD
    }
}

impl Weighter<String, Current> for BySize {
    fn weight(&self, address: &String, current: &Current) -> u64 {
        (address.len() + current.etag.len()) as u64 + OVERHEAD
    }
}

impl KeptAnswers {
    pub(super) fn new(bytes: u64) -> Self {
        let items = usize::try_from(bytes / TYPICAL_BYTES).unwrap_or(usize::MAX);
        let of_addresses = bytes / ADDRESSES;
        Self {
            bytes: Cache::with_weighter(items.max(1), bytes - of_addresses, BySize),
            current: Cache::with_weighter(items.max(1), of_addresses, BySize),
        }
    }

    pub(super) fn get(&self, etag: &str) -> Option<Bytes> {
        self.bytes.get(etag)
    }

    /// Keeps the bytes of an answer, and gives them.
    pub(super) fn keep(&self, etag: &str, bytes: impl Into<Bytes>) -> Bytes {
        let bytes = bytes.into();
        self.bytes.insert(etag.to_owned(), bytes.clone());
        bytes
    }

    /// The ETag and the type of the answer at an address, if it is known to be the one at a moment.
    pub(super) fn current(
        &self,
        address: &str,
        moment: StoreMoment,
    ) -> Option<(String, &'static str)> {
        let current = self.current.get(address)?;
        (current.moment == moment).then_some((current.etag, current.mime))
    }

    /// Notes the answer at an address, made of a state that is not before a moment.
    pub(super) fn note(&self, address: &str, moment: StoreMoment, etag: &str, mime: &'static str) {
        let current = Current {
            moment,
            etag: etag.to_owned(),
            mime,
        };
        self.current.insert(address.to_owned(), current);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_kept_than_was_said() {
        let moment = StoreMoment::EVER;
        let kept = KeptAnswers::new(1 << 20);
        for number in 0..2000 {
            let etag = format!("\"{number}\"");
            kept.keep(&etag, vec![0; 64 << 10]);
            kept.note(&format!("/{number}"), moment, &etag, "image/png");
        }
        let weight = kept.bytes.weight() + kept.current.weight();
        assert!(weight <= 1 << 20, "{weight} bytes");
        let held = (0..2000).filter(|number| kept.get(&format!("\"{number}\"")).is_some());
        assert!((1..=16).contains(&held.count()));
        let noted = |number: &i32| kept.current(&format!("/{number}"), moment).is_some();
        assert!((1..=256).contains(&(0..2000).filter(noted).count()));
        let none = KeptAnswers::new(0);
        assert_eq!(none.keep("\"a\"", vec![1]), vec![1]);
        none.note("/a", moment, "\"a\"", "image/png");
        assert!(none.get("\"a\"").is_none() && none.current("/a", moment).is_none());
    }

    #[test]
    fn an_answer_is_current_at_its_moment_only() {
        let kept = KeptAnswers::new(1 << 20);
        let at = |shown, commit| StoreMoment { shown, commit };
        kept.note("/a", at(1, 7), "\"x\"", "image/png");
        let known = kept.current("/a", at(1, 7));
        assert_eq!(known, Some(("\"x\"".to_owned(), "image/png")));
        for (address, moment) in [("/a", at(1, 8)), ("/a", at(2, 7)), ("/b", at(1, 7))] {
            assert_eq!(kept.current(address, moment), None, "{address} {moment:?}");
        }
    }
}
