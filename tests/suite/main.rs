//! The one integration binary. Each test states a fact; invariants carry their number of the design.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod check;
mod concurrency;
mod crash;
mod errors;
mod grid;
mod model;
mod oracle;
mod values;
mod verify;
