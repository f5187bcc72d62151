//! What every engine must do, on object storage in memory and in a directory.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gridstone::kv::{Slate, SlateOptions, conformance};

/// Options for a store that is not there yet, which does not wait for its background.
pub(crate) fn options() -> SlateOptions {
    let mut options = SlateOptions::default();
    options.create = true;
    options.flush_interval = Duration::from_millis(5);
    options.merge_interval = Duration::from_millis(20);
    options
}

/// A name that no other test of the process has.
pub(crate) fn fresh_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("store-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A process that runs one test of this binary, and shows what it prints.
pub(crate) fn process(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]);
    command
}

#[test]
fn an_engine_in_memory_conforms() {
    conformance::run(&|| {
        let url = format!("memory://{}", fresh_name());
        Arc::new(Slate::open(&url, &options()).unwrap())
    });
}

#[test]
fn an_engine_in_a_directory_conforms() {
    let place = tempfile::tempdir().unwrap();
    conformance::run(&|| {
        let url = format!("file://{}/{}", place.path().display(), fresh_name());
        Arc::new(Slate::open(&url, &options()).unwrap())
    });
}
