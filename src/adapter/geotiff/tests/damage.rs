//! Damaged and hostile files: an error, never a panic.
