//! The one integration binary. Each test states a fact; invariants carry their number of the
//! design.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(
    clippy::too_many_lines,
    reason = "a history is told from its start to its end"
)]

mod aggregators;
mod altered;
mod batches;
mod catalog;
mod check;
#[cfg(feature = "cli")]
mod cli;
mod concurrency;
mod copies;
#[cfg(feature = "testing")]
mod corpus;
mod crash;
mod custom;
mod damage;
mod dense;
#[path = "../torture/dice.rs"]
mod dice;
mod engine;
mod errors;
#[cfg(feature = "cli")]
mod exports;
mod federation;
mod feed;
mod fixture;
mod following;
mod grid;
mod history;
mod irregular;
mod ledger;
mod mixed;
mod model;
mod numbers;
mod oracle;
mod places;
mod planning;
mod pools;
mod reads;
mod resampling;
mod schedule;
mod series;
mod service;
mod statistics;
mod steps;
mod tidy;
mod validity;
mod values;
mod verify;
mod version;
mod worlds;
mod zones;
