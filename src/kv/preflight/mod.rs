//! What is checked, without changing anything, before the database is let at a store.
mod bytes;
pub mod watermark;
