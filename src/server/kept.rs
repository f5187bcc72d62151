//! Answers that are asked for again. Equal ETags are equal bytes, so that nothing has to be
//! forgotten when data change.

use axum::body::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// What an answer takes beside its bytes, about.
const OVERHEAD: u64 = 256;
/// The bytes that an answer is expected to have.
const TYPICAL_BYTES: u64 = 16 << 10;

/// The bytes of answers by their ETags, up to a sum of bytes.
#[derive(Debug)]
pub(super) struct Kept(Cache<String, Bytes, BySize>);

#[derive(Clone, Debug)]
struct BySize;

impl Weighter<String, Bytes> for BySize {
    fn weight(&self, etag: &String, bytes: &Bytes) -> u64 {
        (etag.len() + bytes.len()) as u64 + OVERHEAD
    }
}

impl Kept {
    pub(super) fn new(bytes: u64) -> Self {
        let items = usize::try_from(bytes / TYPICAL_BYTES).unwrap_or(usize::MAX);
        Self(Cache::with_weighter(items.max(1), bytes, BySize))
    }

    pub(super) fn get(&self, etag: &str) -> Option<Bytes> {
        self.0.get(etag)
    }

    /// Keeps the bytes of an answer, and gives them.
    pub(super) fn keep(&self, etag: &str, bytes: impl Into<Bytes>) -> Bytes {
        let bytes = bytes.into();
        self.0.insert(etag.to_owned(), bytes.clone());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_kept_than_was_said() {
        let kept = Kept::new(1 << 20);
        for number in 0..100 {
            kept.keep(&format!("\"{number}\""), vec![0; 64 << 10]);
        }
        assert!(kept.0.weight() <= 1 << 20, "{} bytes", kept.0.weight());
        let held = (0..100).filter(|number| kept.get(&format!("\"{number}\"")).is_some());
        assert!((1..=16).contains(&held.count()));
        let none = Kept::new(0);
        assert_eq!(none.keep("\"a\"", vec![1]), vec![1]);
        assert_eq!(none.get("\"a\""), None);
    }
}
