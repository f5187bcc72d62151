//! Stores on object storage: the engine, the readers beside it, and an object storage that fails.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod clocks;
mod conformance;
#[path = "../torture/dice.rs"]
mod dice;
mod disk;
mod failing;
mod faults;
mod federation;
mod fencing;
mod grids;
mod histories;
mod kills;
mod readers;
mod requests;
#[cfg(feature = "rocksdb")]
mod speed;
mod urls;
