//! The one integration binary. Each test states a fact; invariants carry their number of the design.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod check;
#[cfg(feature = "cli")]
mod cli;
mod concurrency;
#[cfg(feature = "testing")]
mod corpus;
mod crash;
mod errors;
mod grid;
mod model;
mod oracle;
mod series;
mod tidy;
mod values;
mod verify;
