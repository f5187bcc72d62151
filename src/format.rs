//! What a store consists of on disk, and which versions read it.
//!
//! # The directory
//!
//! | file | what it is |
//! |---|---|
//! | `WATERMARK` | what was promised to be in the logs; carries the lock. Layout: [`kv::preflight::watermark`](crate::kv::preflight::watermark) |
//! | `CURRENT`, `MANIFEST-*`, `OPTIONS-*`, `IDENTITY`, `LOCK`, `LOG*` | RocksDB's own |
//! | `*.log` | RocksDB's write-ahead logs. Layout: [`kv::preflight::log`](crate::kv::preflight::log) |
//! | `*.sst`, `*.blob` | RocksDB's tables, and its files of values from 4 KiB on; they are never changed, but for bits that have flipped |
//! | `DAMAGED` | the spaces in which a damaged table was met, by the names of their column families |
//! | `CHECKPOINT` | in a copy that nobody has written to yet |
//! | `quarantine-*` | what was put aside because it is damaged |
//!
//! There are six spaces, each a column family: `default` (records), `directory`, `base`,
//! `aggregate`, `dirty` and `feed`; see [`kv::Space`](crate::kv::Space).
//!
//! # Keys, values, records
//!
//! Keys are big-endian, and their byte order is the order of what they stand for; chunks of one
//! layer lie along a Morton curve, level by level, the coarsest first. A value is a blob: strips of
//! rows, each with a header, a checksum over key, header and payload, and a payload that is
//! constant, raw, packed at the least width, or one zstd frame; see [`codec`](crate::codec). A
//! directory entry holds a blob's length and checksum, and the ticks of its events. Records are
//! bincode 2 in an envelope with a kind and a checksum.
//!
//! # Versions
//!
//! A store's format is one number, in a record of its own; this version writes and reads format 4.
//! The watermark file has a number of its own. A store of a newer format is refused with
//! [`Invalid`](crate::ErrorKind::Invalid), and stays as it is. The policy:
//!
//! * A version that can write what an earlier one could not read has a new number. Records that an
//!   earlier one may leave alone, as the ledger of imports, need none: what it changes beside them
//!   is told by the change feed.
//! * From format 4 on, each later version reads the formats of all earlier ones, or brings them up
//!   to date when they are opened.
//! * `tests/data/reliability/format-4` is a store as this version wrote it; every later version
//!   must open it, find it sound, and read the same cells.
