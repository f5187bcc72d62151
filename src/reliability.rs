//! What a store promises, what it assumes, what it does when something fails, and how that is tested.
//!
//! # Promises
//!
//! * A commit that was acknowledged with [`Sync`](crate::kv::Durability::Sync), the default, is there after any death of the process and
//!   any loss of power; so is every commit before it. One with `Buffered` survives the death of the process. After a loss of power the
//!   store holds a prefix of all commits, whole ones.
//! * A commit that failed is there whole when the store is opened again, or not at all.
//! * Every aggregate equals its recomputation, or a mark says that it does not yet; in every state that a crash can leave.
//! * Damage is an error that names its place: never an absence, never a wrong cell, and never aggregated into values that look right.
//! * A store that is refused was not changed by the attempt to open it.
//!
//! # Assumptions
//!
//! * When `fsync` has returned without an error, the data is on the medium, and stays there.
//! * A lost write leaves what was there before, or zeros, in whole sectors of 512 bytes.
//! * One process has a store open for writing. The lock is one of the file system (`flock`).
//! * The machine has a file system of Linux or another Unix, and 64 bits.
//!
//! Damage of any other kind, a flipped bit in any file, is found by checksums: of the engine's blocks, logs and values, and of
//! every chunk and record.
//!
//! # Opening
//!
//! RocksDB takes a damaged log for one that a crash has torn, and drops what follows in silence. So before it is let at the
//! files, its manifest and logs are read, and compared with the file `WATERMARK`, which says what was synced (see
//! [`kv::preflight`](crate::kv::preflight)):
//!
//! | found | what is done |
//! |---|---|
//! | a torn end behind what was promised | it is cut off |
//! | an edit of the manifest that names data files which are not there, behind what was promised | it does not count, nor what follows |
//! | less than was promised, or damage before sound records | [`Corrupt`](crate::ErrorKind::Corrupt); nothing is changed |
//! | the same with [`accept_data_loss`](crate::StoreOptions::accept_data_loss) | the logs are copied to `quarantine-N`, the rest is opened as a store of a new identity |
//!
//! [`Store::open_read_only`](crate::Store::open_read_only) does the same checks and writes nothing; where a log has to be cut it reads
//! a directory of links in the system's temporary directory. The verbs of the command that only read open stores in this way.
//!
//! Closing a store leaves nothing to be replayed. A process may open as many files as its limit (`ulimit -n`) says; a store takes
//! half of that, or all but 512, and works with more files than that.
//!
//! # While it runs
//!
//! | what fails | what happens |
//! |---|---|
//! | a write or sync of the log, a write of the manifest | commits are refused with [`Poisoned`](crate::ErrorKind::Poisoned), reads go on; opened again, all that was acknowledged is there |
//! | no space | [`Unavailable`](crate::ErrorKind::Unavailable), until there is some again |
//! | a base chunk cannot be read | reads of it fail and name it; the marks that need it stay; puts that cover it whole heal it; all else goes on |
//! | an aggregate cannot be read | reads of it fail and name it; the next aggregation that needs it makes it anew from what is below |
//! | an aggregator panics | the put or the step of aggregation fails; other grids go on |
//!
//! Old values that cannot be read are not moved when space is given back, so their space is given back once they are repaired.
//!
//! # Finding and mending damage
//!
//! [`Store::verify`](crate::Store::verify) reads every value and recomputes every aggregate, goes on behind damage, and names each chunk;
//! [`verify_to`](crate::Store::verify_to) is quicker and compares checksums only. [`Store::repair`](crate::Store::repair) takes base
//! chunks that cannot be read out of their grids and makes the aggregates of such grids anew. [`Store::salvage`](crate::Store::salvage)
//! does it in a copy. [`Store::checkpoint`](crate::Store::checkpoint) makes copies while a store is written to,
//! [`Store::restore`](crate::Store::restore) makes stores of them. A plain copy of the files of a store that is open is no copy: files
//! change while others are copied.
//!
//! # Tests
//!
//! * A workload is cut at every call of the engine, power is lost with every number of unsynced commits kept, and each state is
//!   compared with a dense model (`tests/suite/crash.rs`).
//! * Every bit of a manifest and of `CURRENT` is flipped, and bits of logs and of the watermark; logs are cut at every length
//!   (`kv::preflight`, `kv::rocks`): each is refused, or all that was synced is there.
//! * Each chunk, record, mark and directory entry is damaged in turn, and must be found, named, and beside it all must go on
//!   (`tests/suite/verify.rs`, `tests/suite/damage.rs`).
//! * The coordination of threads is run in hundreds of orders by a scheduler (`shuttled_tests.rs`), and calls from inside rayon's
//!   pools must come to an end (`tests/suite/pools.rs`).
//! * A store that an earlier version wrote is opened, verified and read (`tests/suite/fixture.rs`).
