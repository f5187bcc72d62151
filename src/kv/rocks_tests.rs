use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;

use super::conformance;
use super::*;
use crate::error::ErrorKind;

fn creating() -> RocksOptions {
    RocksOptions { create: true, ..RocksOptions::default() }
}

#[test]
fn conforms() {
    let directories: Mutex<Vec<TempDir>> = Mutex::default();
    conformance::run(&|| {
        let directory = tempfile::tempdir().expect("a directory");
        let engine = Rocks::open(directory.path(), &creating()).expect("a new store");
        directories.lock().unwrap_or_else(PoisonError::into_inner).push(directory);
        Arc::new(engine)
    });
}
