//! What tells a URL from a path.

use std::path::Path;

use crate::error::{Error, Result, quoted};

/// The URL that stands for a place on object storage, where a path does not: it begins with letters
/// and `://`.
pub(crate) fn of(path: &Path) -> Option<&str> {
    let text = path.to_str()?;
    let (scheme, _) = text.split_once("://")?;
    let is_scheme = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_scheme.then_some(text)
}

/// Refuses a URL where only a directory will do.
pub(crate) fn must_be_directory(path: &Path, what: &str) -> Result<()> {
    match of(path) {
        None => Ok(()),
        Some(url) => Err(Error::invalid(format!(
            "{what} must be a directory, and {url} is none: copy grids of stores on object storage with `gridstone copy NEW GRID GRID --from-store {}`",
            quoted(url)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_a_scheme_is_a_url() {
        for url in ["s3://bucket/prefix", "memory://", "file:///data", "gs://x"] {
            assert_eq!(of(Path::new(url)), Some(url));
            let refused = must_be_directory(Path::new(url), "a copy");
            let refused = refused.expect_err("it is no directory").to_string();
            assert!(refused.contains(url), "{refused}");
        }
        for path in ["store", "/data/store", "a:b", "C:\\data", "://x", "s 3://x"] {
            assert_eq!(of(Path::new(path)), None, "{path}");
            must_be_directory(Path::new(path), "a copy").expect("it may be one");
        }
    }
}
