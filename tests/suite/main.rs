//! The one integration binary.

mod api;
#[cfg(feature = "cli")]
mod cli;
