//! Stores by their URLs: what works, and what is said of what does not.

use std::time::{Duration, Instant};

use gridstone::{ErrorKind, Freshness, Policy, Store};

use crate::conformance::{fresh_name, process};
use crate::grids;

fn kind(url: &str) -> (ErrorKind, String) {
    let error = Store::open(url).unwrap_err();
    (error.kind().clone(), error.to_string())
}

#[test]
fn a_directory_is_used_like_a_bucket() {
    let place = tempfile::tempdir().unwrap();
    let url = format!("file://{}/store", place.path().display());
    let missing = Store::open_read_only(&url).unwrap_err();
    assert_eq!(missing.kind(), &ErrorKind::NotFound, "{missing:?}");
    {
        let store = Store::open(&url).unwrap();
        assert_eq!(store.policy(), Policy::Background);
        let grid = store.create("g", grids::schema()).unwrap();
        grids::fill(&grid, &grids::all(), 9).unwrap();
    }
    {
        let store = Store::options().policy(Policy::Manual).open(&url).unwrap();
        assert_eq!(store.policy(), Policy::Manual);
        store.aggregate().unwrap();
        assert!(store.verify().unwrap().findings.is_empty());
    }
    let store = Store::open_read_only(&url).unwrap();
    let grid = store.grid("g").unwrap();
    let sums = grids::cells(&grid, 3, Freshness::Fresh).unwrap();
    assert!(sums.iter().all(|sum| *sum == 9.0 * 64.0), "{sums:?}");
    let stats = store.stats().unwrap();
    assert!(stats.file_bytes.is_some_and(|bytes| bytes > 0));
    assert!(stats.age.is_some_and(|age| age < Duration::from_secs(60)));
    // A checkpoint is a directory, and this has none to share.
    let refused = store.checkpoint(place.path().join("copy")).unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::Invalid);
    assert!(refused.to_string().contains("gridstone copy"), "{refused}");
    let refused = store.checkpoint("s3://bucket/copy").unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::Invalid);
}

#[test]
fn memory_is_shared_in_the_process_by_its_name() {
    let url = format!("memory://{}", fresh_name());
    {
        let store = Store::open(&url).unwrap();
        let grid = store.create("g", grids::schema()).unwrap();
        grids::fill(&grid, &grids::all(), 2).unwrap();
    }
    let store = Store::open_read_only(&url).unwrap();
    assert_eq!(store.grid("g").unwrap().name(), "g");
    let other = format!("memory://{}", fresh_name());
    let missing = Store::open_read_only(&other).unwrap_err();
    assert_eq!(missing.kind(), &ErrorKind::NotFound);
    assert!(missing.to_string().contains(&other), "{missing}");
}

#[test]
fn a_wrong_url_is_refused_in_words_that_name_it() {
    for url in [
        "http://example.org/store",
        "s3://",
        "file://relative/store",
        "s3://bucket/a?versioned",
        "s3://bucket/a//b",
    ] {
        let (kind, text) = kind(url);
        assert_eq!(kind, ErrorKind::Invalid, "{url}: {text}");
        assert!(text.contains(url), "{text}");
    }
    // What may be a secret is not repeated.
    let (kind, text) = kind("s3://name:hidden@bucket/store");
    assert_eq!(kind, ErrorKind::Invalid);
    assert!(!text.contains("hidden"), "{text}");
    let refused = Store::restore("s3://bucket/store", "somewhere").unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::Invalid);
    assert!(!std::path::Path::new("somewhere").exists());
}

#[test]
fn storage_that_cannot_be_reached_is_told_in_time() {
    // Nobody listens there. The environment of the test is its own.
    let url = "s3://bucket/store";
    let out = process("urls::opens_what_the_environment_says")
        .envs([
            ("GRIDSTONE_TEST_URL", url),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", "name"),
            ("AWS_SECRET_ACCESS_KEY", "topsecret"),
            ("AWS_REGION", "us-east-1"),
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "it took too long: {text}");
    assert!(text.contains("Unavailable") && text.contains(url), "{text}");
    assert!(text.contains("AWS_ENDPOINT_URL"), "{text}");
    assert!(!text.contains("topsecret"), "{text}");
}

/// Does nothing unless it is started by the test above.
#[test]
fn opens_what_the_environment_says() {
    let Ok(url) = std::env::var("GRIDSTONE_TEST_URL") else {
        return;
    };
    let start = Instant::now();
    let error = Store::options()
        .storage_timeout(Duration::from_secs(4))
        .open(&url)
        .unwrap_err();
    println!("{error:?}");
    assert!(start.elapsed() < Duration::from_secs(30));
}
