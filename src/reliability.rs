//! What a store promises, what it assumes, what it does when something fails, and how that is
//! tested.
//!
//! # Promises
//!
//! * A commit that was acknowledged with [`Sync`](crate::kv::Durability::Sync), the default, is
//!   there after any death of the process and any loss of power; so is every commit before it. One
//!   with `Buffered` survives the death of the process. After a loss of power the store holds a
//!   prefix of all commits, whole ones.
//! * A commit that failed is there whole when the store is opened again, or not at all.
//! * Every aggregate equals its recomputation, or a mark says that it does not yet; in every state
//!   that a crash can leave.
//! * Damage is an error that names its place: never an absence, never a wrong cell, and never
//!   aggregated into values that look right.
//! * A store that is refused for its manifest, its logs or its watermark was not changed by the
//!   attempt to open it. One that is refused for its tables may have been (see below); its data is
//!   what it was.
//!
//! # Assumptions
//!
//! * When `fsync` has returned without an error, the data is on the medium, and stays there.
//! * A lost write leaves what was there before, or zeros, in whole sectors of 512 bytes.
//! * One process has a store open for writing. The lock is one of the file system (`flock`); others
//!   are refused after a tenth of a second, as a process that is just being started holds the locks
//!   of its parent for a moment.
//! * The machine has a file system of Linux or another Unix, and 64 bits.
//!
//! Damage of any other kind, a flipped bit in any file, is found by checksums: of the engine's
//! blocks, logs and values, and of every chunk and record.
//!
//! # Opening
//!
//! RocksDB takes a damaged log for one that a crash has torn, and drops what follows in silence. So
//! before it is let at the files, its manifest and logs are read, and compared with the file
//! `WATERMARK`, which says what was synced (see [`kv::preflight`](crate::kv::preflight)):
//!
//! | found | what is done |
//! |---|---|
//! | a torn end behind what was promised | it is cut off |
//! | a last record that would be sound with another value of one byte | [`Corrupt`](crate::ErrorKind::Corrupt): a write that was cut short leaves no such thing, so this holds however old the watermark is |
//! | files of different moments: a data file that is missing or has another length, a log that one family needs and another is done with | [`Corrupt`](crate::ErrorKind::Corrupt) |
//! | an edit of the manifest that names data files which are not there, behind what was promised | it does not count, nor what follows |
//! | less than was promised, or damage before sound records | [`Corrupt`](crate::ErrorKind::Corrupt); nothing is changed |
//! | the same with [`accept_data_loss`](crate::StoreOptions::accept_data_loss) | the logs are copied to `quarantine-N`, the rest is opened as a store of a new identity |
//!
//! [`Store::open_read_only`](crate::Store::open_read_only) does the same checks and writes nothing;
//! where a log has to be cut, or a table to be mended, it reads a directory of links and copies in
//! the system's temporary directory. The verbs of the command that only read open stores in this
//! way.
//!
//! # While another process writes
//!
//! A store that another process has open for writing can be opened to be read, too (on Linux). The
//! reader copies the manifest, takes hold of all data files and logs by opening them, and reads
//! them through links to its own descriptors, so that the writer may remove them; the same checks
//! prove that they are of one moment, else they are taken anew. What is read holds every commit
//! that had returned when the opening began, and does not change; [`Store::age`](crate::Store::age)
//! says how old it is, and the command notes that it is a view. It costs a descriptor a file;
//! nothing in the directory of the store is written, and the writer does not wait.
//!
//! A plain copy (`cp -r`) of a store that is being written to is refused when it is opened, or it
//! is whole, with the commits up to some moment: the same checks see files of different moments.
//! For copies that are sure to be whole there are checkpoints.
//!
//! Closing a store leaves nothing to be replayed. A process may open as many files as its limit
//! (`ulimit -n`) says; a store takes half of that, or all but 512, and works with more files than
//! that.
//!
//! # While it runs
//!
//! | what fails | what happens |
//! |---|---|
//! | a write or sync of the log, a write of the manifest | commits are refused with [`Poisoned`](crate::ErrorKind::Poisoned), reads go on; opened again, all that was acknowledged is there |
//! | on object storage: a write, after it was tried again | commits are refused with [`Poisoned`](crate::ErrorKind::Poisoned), reads may be too; opened again, all that was acknowledged is there |
//! | on object storage: the clock of who opens it is behind or ahead | nothing is lost, and writing goes on; if it is far ahead, reads of views that are held may be [`Unavailable`](crate::ErrorKind::Unavailable) |
//! | on object storage: it does not answer when the store is closed | closing ends after `storage_timeout`; all that was acknowledged is there |
//! | on object storage: another process opens the store for writing | commits and reads are refused with [`Fenced`](crate::ErrorKind::Fenced); all that was acknowledged is there for the other |
//! | no space | [`Unavailable`](crate::ErrorKind::Unavailable), until there is some again |
//! | a base chunk cannot be read | reads of it fail and name it; the marks that need it stay; puts that cover it whole heal it; all else goes on |
//! | an aggregate cannot be read | reads of it fail and name it; the next aggregation that needs it makes it anew from what is below |
//! | an aggregator panics | the put or the step of aggregation fails; other grids go on |
//!
//! Keys, records, the directory, marks and the feed lie in RocksDB's tables, in blocks with a
//! checksum each. A block of which one bit has flipped is given back what was written, with a
//! warning: it is the only bit whose other value makes the checksum hold. When a store is opened
//! its smallest tables are looked through, up to 16 MiB in all, and all of them if it cannot be
//! opened otherwise. Who opens a store for writing mends the files, and mends other tables when
//! somebody meets the damage; who only reads it reads mended copies of those that were looked
//! through. A record of which a bit has flipped is read as it was written, too; verify tells of it,
//! and repair writes it anew.
//!
//! That has limits. The checksum has 32 bits: of blocks of 4 KiB that are damaged otherwise, one in
//! 130,000 would be taken for such a block; chunks and records have checksums of their own behind
//! that, keys and the directory have not. A table that has other damage too is left as it is.
//! Blocks of more than 64 KiB, as indices of tables of many MB have, are not mended.
//!
//! A table that is damaged otherwise is an error to those who read what lies in it. The store is
//! opened, and nothing is merged any more in the space of such a table until the store is salvaged:
//! the merge would end all writing. The file `DAMAGED` keeps a note of that. If RocksDB meets the
//! damage in a merge before any reader does, commits are refused, with
//! [`Poisoned`](crate::ErrorKind::Poisoned) from the second on, until the store is opened again,
//! and are accepted from then on.
//!
//! Two things are worse. A table of which the footer, the index or the properties are damaged
//! cannot be opened at all: the store is refused, to be salvaged, or opened with
//! [`accept_data_loss`](crate::StoreOptions::accept_data_loss). Then RocksDB checks less of its
//! logs and would go on behind writes that fail, so that no space ends all writing too. And where
//! the store's own records cannot be read the store is refused until it is salvaged. In both cases
//! RocksDB has been let at the files by then: what its logs hold may have been moved into tables.
//!
//! Old values that cannot be read are not moved when space is given back, so their space is given
//! back once they are repaired.
//!
//! # Finding and mending damage
//!
//! [`Store::verify`](crate::Store::verify) reads every value and recomputes every aggregate, goes
//! on behind damage, and names each chunk; [`verify_to`](crate::Store::verify_to) is quicker and
//! compares checksums only. [`Store::repair`](crate::Store::repair) takes base chunks that cannot
//! be read out of their grids and makes the aggregates of such grids anew.
//! [`Store::salvage`](crate::Store::salvage) copies a damaged store without what cannot be read,
//! and tells what that is: of tables that it leaves out the directory is made anew from the chunks,
//! aggregates and marks from the base, names that are lost become `grid-N`, and followers of
//! changes begin anew; chunks of events are lost with their part of the directory.
//! [`Store::checkpoint`](crate::Store::checkpoint) makes copies while a store is written to,
//! [`Store::restore`](crate::Store::restore) makes stores of them.
//!
//! [`Store::scrub`](crate::Store::scrub) reads all chunks again and again in the background, at a
//! rate, and tells what is damaged. [`Store::verify_rebuilt`](crate::Store::verify_rebuilt) builds
//! every pyramid anew beside the store and compares. A byte of a log or of the manifest that is
//! damaged alone, and flipped bits of tables, are given back what was written by
//! [`Store::salvage`](crate::Store::salvage), so that nothing is lost.
//!
//! # Tests
//!
//! * A workload is cut at every call of the engine, power is lost with every number of unsynced
//!   commits kept, and each state is compared with a dense model (`tests/suite/crash.rs`).
//! * Every bit of a manifest, of `CURRENT` and of a log is flipped, and bits of the watermark; logs
//!   are cut everywhere (`kv::preflight`, `kv::rocks`): each is refused, or all that was synced is
//!   there.
//! * Each chunk, record, mark and directory entry is damaged in turn, and must be found, named, and
//!   beside it all must go on (`tests/suite/verify.rs`, `tests/suite/damage.rs`).
//! * The coordination of threads is run in hundreds of orders by a scheduler (`shuttled_tests.rs`),
//!   and calls from inside rayon's pools must come to an end (`tests/suite/pools.rs`).
//! * Torture (`tests/torture`): processes are killed at moments and in the midst of calls; power is
//!   cut in a recording of all changes of files, with whatever was not synced lost in seven ways;
//!   the n-th call of each kind fails or is torn, once or for good; bits of every kind of file and
//!   record flip, longer runs of bytes of tables are damaged, under a watermark as old as the
//!   opening too; damaged GeoTIFF, NetCDF, GeoJSON and TOML are given to the command under limits
//!   of memory and time; readers look at a store while another process writes to it and is killed.
//!   Twelve bugs that are planted into an engine, and three lies about syncs, must each be found.
//!   `make torture SECONDS=3600` runs it for longer.
//! * A store that an earlier version wrote is opened, verified and read (`tests/suite/fixture.rs`).
