//! A guide for services: threads, policies, freshness, snapshots, two layouts, back-pressure, and
//! what to do when something fails.
//!
//! # Threads
//!
//! A [`Store`](crate::Store) and its [`Grid`](crate::Grid)s are cheap handles, to be cloned into as
//! many threads as there are. Writers of one chunk never lose an update: a commit that was computed
//! from what another has changed meanwhile is computed again. Concurrent durable commits share disk
//! syncs, so many threads that put one patch each are faster than one that puts many; one thread
//! with many small patches gathers them in a [`Batch`](crate::Batch).
//!
//! Nothing is async. Within one call, work is spread over threads: reads over rayon's pool that
//! they are called in, commits and aggregation over a pool that all stores of the process share.
//! Calls may come from any thread, those of rayon's pools included; a commit keeps such a thread
//! until it is done, so a server calls from threads of its own (`spawn_blocking`, say).
//!
//! # Policies
//!
//! | [`Policy`](crate::Policy) | a commit returns | made for |
//! |---|---|---|
//! | `Inline` | when every level is up to date | few writers, tools, tests |
//! | `Background` | when its cells are durable; aggregates follow within moments | services |
//! | `Manual` | when its cells are durable; aggregates follow when asked | bulk loads |
//!
//! Under `Background` the store has threads of its own (one, unless
//! [told](crate::StoreOptions::background_threads) otherwise) and computes in a pool of as many, so
//! that aggregation leaves the other cores to readers and writers. It begins with the marks that it
//! finds when the store is opened, and takes one bounded step of one grid at a time.
//!
//! ```
//! use std::time::Duration;
//! use gridstone::kv::Memory;
//! use gridstone::{
//!     Aggregation, Axis, DType, Dimension, Policy, Query, Schema, Store, Structure, Window,
//! };
//! use ndarray::Array2;
//!
//! # fn main() -> gridstone::Result<()> {
//! let axes = [Axis::new("y", 0.0, -1.0, 64), Axis::new("x", 0.0, 1.0, 64)];
//! let space = Dimension::regular("space", axes);
//! let structure = Structure::builder().dimension(space).build()?;
//! let schema = Schema::builder(structure, DType::F32).aggregator(Aggregation::Max).build()?;
//! let options = Store::options().policy(Policy::Background).background_threads(2);
//! let store = options.open_engine(std::sync::Arc::new(Memory::new()))?; // or .open("directory")
//! let grid = store.create("dem", schema)?;
//!
//! let window = Window::new([0, 0], [200, 200]);
//! let commit = grid.put(&window, &Array2::from_elem((200, 200), 7.0_f32))?; // durable
//! let query = Query::all().shape([20, 20]).wait(commit.sequence, Duration::from_secs(60));
//! let answer = grid.read(&query)?;
//! assert!(answer.stale.is_empty()); // nobody else writes
//! store.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! The last handle stops the threads: dropping it waits for the step that is under way, at most
//! 2^25 cells of changed chunks in each thread. [`Store::close`](crate::Store::close) does the same
//! while other handles are about, and refuses further commits. What is pending stays pending,
//! durably, and is found when the store is opened next.
//!
//! # Freshness
//!
//! Base cells are always those of the commits that have returned. For the levels above, the query
//! says what it wants:
//!
//! * [`Stored`](crate::Freshness::Stored): what is there. [`Answer::stale`](crate::Answer::stale)
//!   says which part is out of date, if any.
//! * [`Fresh`](crate::Freshness::Fresh): stale parts are computed on the fly, for this answer. It
//!   costs reads of the chunks below the stale part, and waits for nobody.
//! * [`Wait`](crate::Freshness::Wait): what is stored once a given commit is aggregated. For *read
//!   your own write* across services, hand the commit's [`sequence`](crate::Commit::sequence)
//!   along. It ends with [`TimedOut`](crate::ErrorKind::TimedOut) when its time is over; under
//!   `Manual`, where nobody aggregates unless asked, it does so.
//!
//! # Snapshots
//!
//! Each read sees one moment. Many reads see the same moment through a
//! [`StoreSnapshot`](crate::StoreSnapshot), over all grids:
//!
//! ```
//! # use gridstone::{Axis, DType, Dimension, ErrorKind, Query, Schema, Store, Structure, Window};
//! # use ndarray::Array1;
//! # fn main() -> gridstone::Result<()> {
//! # let line = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 4)]);
//! # let schema = Schema::builder(Structure::builder().dimension(line).build()?, DType::U8).build()?;
//! # let store = Store::in_memory()?;
//! # store.create("dem", schema)?;
//! let live = store.grid("dem")?;
//! live.put(&Window::new([0], [2]), &Array1::from_elem(2, 1_u8))?;
//! let then = store.snapshot()?.grid("dem")?;
//! live.put(&Window::new([0], [2]), &Array1::from_elem(2, 9_u8))?;
//! assert_eq!(then.read(&Query::all())?.array.iter_f64().sum::<f64>(), 2.0);
//! assert_eq!(live.read(&Query::all())?.array.iter_f64().sum::<f64>(), 18.0);
//! let refused = then.put(&Window::new([0], [2]), &Array1::from_elem(2, 5_u8));
//! assert_eq!(refused.unwrap_err().kind(), &ErrorKind::Invalid); // a grid of a snapshot is read only
//! # Ok(())
//! # }
//! ```
//!
//! A snapshot keeps the storage from dropping what was overwritten since. So its age is bounded:
//! after [five minutes](crate::StoreOptions::snapshot_age_max), unless told otherwise, reads
//! through it fail with [`Expired`](crate::ErrorKind::Expired), and the next commit lets go of it.
//!
//! # Cells of others, in and out
//!
//! What is to be compared with a grid, or laid into it, mostly has other cells.
//! [`Query::onto`](crate::Query::onto) answers on exactly the cells of a target: any size, any
//! offset, either direction, with and without data; with the feature `crs` of another coordinate
//! reference system too, as `gridstone read STORE GRID --like TARGET.tif --out WARPED.tif` does. An
//! import lays a raster of any cells onto the grid's in the same way
//! (`adapter::raster::ResampledSource`). Both go by the rules of [`Resampling`](crate::Resampling):
//! `area` for a mean of what a cell covers, `min`, `max` and `mode` for cells as they are, and
//! `sum` for totals such as people, which are divided by area and kept.
//!
//! The other way round, `adapter::raster::export` and `adapter::netcdf::export` write grids of any
//! size to files part by part: from a grid of a snapshot, since a file takes a while.
//!
//! # Many sources
//!
//! [`Plan`](crate::adapter::source::Plan) says from footprints alone which chunks an import will
//! change, and cuts it into jobs: subtrees of the grid, no base chunk in two of a stage. A
//! [`Run`](crate::adapter::source::Run) does them by threads; in each job later sources lie over
//! earlier ones, so what is then in the grid does not depend on how many jobs or threads there are.
//! [`Grid::forecast`](crate::Grid::forecast) says for windows that are put otherwise which chunks
//! change. What both predict contains what changes.
//!
//! With a [`Ledger`](crate::adapter::source::Ledger) an import notes in its own commits how far it
//! is. Done again, it puts what is left: after a kill what was not there yet, after a change of a
//! source that one and the cells of others in its box, and nothing if all is there. Sources say by their
//! [fingerprint](crate::adapter::source::Source::fingerprint) whether they are what they were; what
//! others did to the cells is known by the change feed.
//!
//! # On object storage
//!
//! With the feature `object-store` a URL stands for a directory: `s3://bucket/prefix`,
//! `file:///directory`, `memory://name`. Credentials, region and endpoint are those of the
//! environment: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`, and
//! `AWS_ALLOW_HTTP=true` for an endpoint without TLS. The storage must be able to make an object
//! only where there is none, as S3 can: that is what keeps two writers apart.
//!
//! | what | is promised |
//! |---|---|
//! | a commit that returned, as `put` makes it | is in an object: it survives the process and the machine |
//! | a commit that does not wait (`Durability::Buffered`), and steps of aggregation | are in an object after the flush interval, 100 ms; what is lost with the process is the end of the history, and what was to be aggregated is marked again |
//! | a second writer | takes over at once. The first gets [`Fenced`](crate::ErrorKind::Fenced) with its next durable commit, or within a second, and nothing that it was told is done is lost. It cannot read any more either: open the store again |
//! | a reader | shows what was durable at most `age_max` ago, ten seconds unless set; [`Store::age`](crate::Store::age) tells how old. Views only become younger, and one that is held does not move |
//! | a view that is held | can be read for 15 minutes; then the writer may clear away what it replaced, and reads of it are errors |
//! | storage that fails | requests are tried again for up to a minute (`storage_timeout`), then reads fail with [`Unavailable`](crate::ErrorKind::Unavailable), and so do commits, after which the store must be opened again |
//!
//! It is not promised that a commit is fast: it takes the time of one request, some 20 to 100 ms on
//! S3, so gather patches in a [`Batch`](crate::Batch) or put from many threads, which share
//! objects. [`Policy::Background`](crate::Policy::Background) is the default there, so that commits
//! do not wait for aggregates as well. Dropping a range of keys, a grid say, takes time and memory
//! for each key. Checkpoints are for directories, and `file:///directory` clears away old manifests
//! only after a day, as a file system cannot replace a file on condition.
//!
//! Any number of processes may read; each keeps its own decoded chunks and blocks, and asks for
//! news when it is read, with some ten to twenty small requests. `disk_cache` keeps what was read
//! in a local directory, in parts of a megabyte; a part that is damaged there is an error or is
//! fetched again.
//!
//! Clocks need not agree. A writer whose clock is behind that of the one before goes on from where
//! that one was; one whose clock is days ahead may clear away early what a reader still reads, which
//! gets an error then.
//!
//! # Several writers: shards
//!
//! A [`Federation`](crate::federation::Federation) divides a grid between stores along one
//! dimension. Choose the level of its columns so that a shard has several: a chunk at that level,
//! with all below it, is what moves between shards as one, and the levels above it are the top's
//! work, a few chunks. [`Columns::over`](crate::federation::Columns::over) says which columns a
//! window touches. Those in which nothing lies cost nothing, so give shards room to grow.
//!
//! | who | opens |
//! |---|---|
//! | one process that does all | [`Federation::open`](crate::federation::Federation::open) |
//! | a process a shard, which puts there | [`only`](crate::federation::FederationOptions::only) that shard |
//! | one process that lets the top follow | `only` no shard, and [`keeps_top`](crate::federation::FederationOptions::keeps_top) |
//! | those who read | [`read_only`](crate::federation::FederationOptions::read_only) |
//!
//! Each of them calls [`catch_up`](crate::federation::Federation::catch_up) now and then, but those
//! who read: it aggregates what the process writes to, and shards learn how far the others' data
//! reach. What is promised is what each store promises: a commit is atomic and durable in its
//! shard. A put over several shards is tried in all before it is committed in the first; a crash in
//! between leaves some parts in, whole, and the same put again makes it complete. A moment of a
//! federation is one moment of each shard, taken one after the other. Changes and waits are those
//! of single stores; of a federation read fresh.
//!
//! To move a shard, call [`move_shard`](crate::federation::Federation::move_shard) where it and the
//! top are open for writing. Puts into it wait until it is copied; others go on. On object storage
//! whoever opens a shard for writing has fenced its writer already, and moving a writer between
//! machines is no more than opening it there.
//!
//! [`Federation::verify`](crate::federation::Federation::verify) recomputes every aggregate, those
//! above the shards too. Each store can be verified for itself as well; that of the top knows
//! nothing of what its chunks are made of, so that their values are read and checked only.
//!
//! # Two layouts of one grid
//!
//! Chunks that are wide in space serve maps, chunks that are long in time serve series, and no
//! shape serves both. So keep two grids with the same cells: one to put into, and one that is made
//! with [`Schema::rechunked`](crate::Schema::rechunked) and follows it with
//! [`Grid::update_from`](crate::Grid::update_from), now and then or after each put. That copies
//! what changed since the last time, however far it got, and writes nothing where nothing changed;
//! readers choose the grid that is made for their question. The follower may be in another store.
//! It has as many changes to follow as its source [keeps](crate::StoreOptions::changes_kept); after
//! a longer absence it copies all again.
//!
//! A follower may hold an [`Excerpt`](crate::Excerpt) of its source: the part that a region serves,
//! the last month, or the cells of a layer at a coarser level. Say the same excerpt each time, with
//! [`Grid::update_from_excerpt`](crate::Grid::update_from_excerpt); with another part all is copied
//! once more.
//!
//! # Another layer
//!
//! [`Store::add_aggregator`](crate::Store::add_aggregator) adds a layer to a grid that holds data,
//! while others read and write it. The layer is there in one commit, and marked: it is filled as
//! after a put, reads of it tell what is stale or compute it. Handles that were had before go on
//! reading; a write through one of them fails with [`Expired`](crate::ErrorKind::Expired), and goes
//! through one that is opened then. Commits into the grid wait meanwhile as they do where many
//! marks are pending. There is no way to take a layer away but a copy without it.
//!
//! # On the web
//!
//! With the feature `server`, `gridstone::server::router` is an axum router over the store that the
//! service writes to: tiles, OGC EDR, statistics and a map page, with ETags made of
//! [versions](crate::Grid::version). Those who listen to its events hear of each commit, and what
//! they then ask for shows it.
//!
//! # Back-pressure
//!
//! Under `Background` at most [`marks_max`](crate::StoreOptions::marks_max) marks of a grid are
//! pending, and those of the commits under way. A commit beyond that waits before it reads or
//! writes anything, until the step of aggregation that is under way has ended; where nobody
//! aggregates the grid at the moment, because the threads are busy with others, it does a step
//! itself. So commits slow down to the pace of aggregation and no faster queue forms. It does the
//! same while more than that many marks were consumed after the oldest was left, so that none is
//! passed over for ever and every `Wait` ends. On a rayon thread it does a step or goes on, since
//! what it would wait for may need that thread.
//!
//! A commit fails for lack of room only where the step that it does itself fails: with the kind and
//! the cause of that error.
//!
//! # When something fails
//!
//! [`Store::stats`](crate::Store::stats) and [`Grid::stats`](crate::Grid::stats) are cheap enough
//! to be asked every second: marks pending, the age of the oldest, chunks and bytes read and
//! written, conflicts, failures.
//!
//! ```
//! # use gridstone::{Axis, DType, Dimension, Schema, Store, Structure, Window};
//! # fn main() -> gridstone::Result<()> {
//! # let store = Store::in_memory()?;
//! let stats = store.stats()?;
//! assert_eq!((stats.grids.marks, stats.grids.oldest_mark), (0, None));
//! assert_eq!((stats.grids.failure, stats.poisoned), (None, None));
//! # Ok(())
//! # }
//! ```
//!
//! | what | what happens | what to do |
//! |---|---|---|
//! | a damaged chunk, a full disk | what can be aggregated is; then the step fails and is tried again after 0.1 s, then twice as long each time, up to 30 s; other grids go on; [`failure`](crate::GridStats::failure) says why, and so does the cause of `TimedOut` | make room; for damage see [`reliability`](crate::reliability), and put the chunk anew |
//! | [`Poisoned`](crate::ErrorKind::Poisoned) | a write failed in a way that leaves open what the disk holds, or the aggregation panicked; commits and waits are refused, with the cause; reads go on | open the store again: nothing that was acknowledged is lost. A panic is a bug, of this crate or of an aggregator: report the cause |
//! | [`Fenced`](crate::ErrorKind::Fenced) | on object storage: another process has opened the store for writing, and this one neither writes nor reads it any more | decide which one is to write, and open the store again, read-only in the others |
//! | [`Conflict`](crate::ErrorKind::Conflict) | never seen by callers of `put`: it is tried again, and [counted](crate::StoreStats::conflicts); `update_from` says with it that another update of the same grid began | many conflicts: let one thread write a chunk, or put larger windows |
//! | [`TimedOut`](crate::ErrorKind::TimedOut) | the commit is durable all the same | read `Fresh`, or wait again |
//! | [`Expired`](crate::ErrorKind::Expired) | the snapshot is gone; or, of a write, the grid has got another layer since its handle was had | take a new one; open the grid again |
//!
//! Spans and events go to [`tracing`](https://docs.rs/tracing): `open`, `commit`, `aggregate`,
//! `read` at level debug, failures of the background aggregation at warn, a panic at error. Without
//! a subscriber they cost next to nothing.
//!
//! `cargo run --release --example service` shows all this at work, and how far the top lags behind
//! the commits.
