//! One grid in several stores: writes scale by shards that own disjoint columns of its space.
//!
//! # What a shard owns
//!
//! One regular dimension of the grid is divided at one level of it: each chunk there is a *column*,
//! the subtree of that chunk, and each shard owns some columns. So every chunk whose level is at
//! most that of the columns lies in one shard, and so do all that it is made of. What lies above,
//! few levels, is in a store of its own, the *top*. A shard is an ordinary store with the grid
//! alone; it aggregates its columns by itself, under whatever policy.
//!
//! # How a read is divided
//!
//! Not at all: a key of the grid says by its level and its code who holds it (`key/division.rs`),
//! and the view (`view.rs`) is a snapshot of the top and all shards that gives each key from where
//! it is. Reads, series, statistics, explanations and versions run over it as over any other
//! snapshot. So a federation answers as one store would, by construction, layer by layer; there is
//! no second way of computing an aggregate.
//!
//! # How the top learns
//!
//! [`Federation::catch_up`] reads the change feed of each shard from a token on, and leaves marks in
//! the top for all that lies above what changed at the shards' border, in the commit that moves the
//! token on (`follow.rs`). Then steps of aggregation, those of any grid, consume these marks over
//! the view, and commit to the top alone. The children of the lowest nodes of the top are the
//! shards' own chunks, with their weights: no aggregate is taken for base data. A crash at any point
//! leaves a mark or a token behind, and the work is done again.
//!
//! What was changed in a shard and not followed yet is in its feed, behind the token: a view that is
//! taken for reading has the marks that would follow from it, beside those within the shards. So
//! [`Freshness::Fresh`](crate::Freshness::Fresh) computes what is out of date, and a stored answer
//! names it.
//!
//! # What all must know
//!
//! How far a pyramid goes, and whether base data is mixed, follows from all that was put anywhere.
//! So shards are told the bounds and base levels of the whole when the federation catches up
//! (`state.rs`). Until then levels that a shard has not built are computed by fresh reads, and
//! missing in stored ones, as they are in one store whose data has outgrown its pyramid.
//!
//! # What is not promised
//!
//! There is no transaction over shards. A put that crosses them is one commit a shard, each atomic
//! and durable; a view may show one without the other, and if one fails after another is in, the
//! error says which are. There is no consensus and no membership: the manifest, a record in the
//! store of the top, says which store each shard is, and is replaced by a commit that expects it
//! unchanged (`records.rs`). Who may write a shard is settled by its store: a lock on its directory,
//! or the writer's epoch on object storage.

mod border;
mod follow;
mod members;
mod moving;
mod options;
mod puts;
mod records;
mod shards;
mod state;
mod view;

pub use follow::CaughtUp;
pub use options::FederationOptions;
pub use puts::Placed;
pub use shards::{Columns, Shard, Shards};

use std::fmt;
use std::sync::{Arc, Mutex, RwLock};

use crate::error::Result;
use crate::grid::Schema;
use crate::store::{Grid, StoreSnapshot};
use crate::verify::{self, Report, Thoroughness};
use members::Members;
use shards::ShardLayout;

/// One grid whose cells are in several stores, each with columns of its own, and whose upper levels
/// are in one more. A cheap handle that can be cloned and shared between threads.
///
/// It is read through [`grid`](Self::grid), which answers as one store with the same cells would:
/// every level and layer, series, statistics. It is written through [`put`](Self::put) and its
/// siblings, which go to the shards that own the place; a commit is atomic in each shard, and not
/// over several. The levels above the shards follow with [`catch_up`](Self::catch_up).
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::{Arc, Mutex};
///
/// use gridstone::federation::{Columns, Federation, Shards};
/// use gridstone::kv::Memory;
/// use gridstone::{
///     Aggregation, Axis, DType, Dimension, Freshness, Layer, Query, Schema, Structure, Window,
/// };
/// use ndarray::Array2;
///
/// # fn main() -> gridstone::Result<()> {
/// let axes = [Axis::new("y", 0.0, -1.0, 64), Axis::new("x", 0.0, 1.0, 64)];
/// let space = Dimension::regular("space", axes);
/// let structure = Structure::builder().dimension(space).build()?;
/// let schema = Schema::builder(structure, DType::F32).aggregator(Aggregation::Max).build()?;
/// // Columns of 2^3 chunks of 64 cells: 512 x 512 cells each, two for either shard. Chunks above
/// // the finest are shifted, as in any grid: these meet at cell 192 along x.
/// let shards = Shards::of("space", 3)
///     .shard("west", "west", [Columns::new([0, 0], [2, 1])])
///     .shard("east", "east", [Columns::new([0, 1], [2, 1])]);
/// // Places are directories or URLs; here they are engines in memory.
/// let engines = Mutex::new(BTreeMap::<String, Arc<Memory>>::new());
/// let options = Federation::options().opener(move |place, options| {
///     let mut engines = engines.lock().unwrap();
///     options.open_engine(engines.entry(place.to_owned()).or_default().clone())
/// });
/// let dem = options.create("top", "dem", schema, &shards)?;
///
/// // One commit in each of the two shards that it touches.
/// let commits = dem.put(&Window::new([0, 180], [20, 24]), &Array2::from_elem((20, 24), 7.0_f32))?;
/// let names: Vec<&str> = commits.iter().map(|placed| placed.shard.as_str()).collect();
/// assert_eq!(names, ["west", "east"]);
/// let coarse = Query::all().level("space", 4).layer(Layer::Aggregate(Aggregation::Max));
/// let now = dem.grid()?.read(&coarse.clone().freshness(Freshness::Fresh))?;
/// dem.catch_up()?;
/// assert_eq!(dem.grid()?.read(&coarse)?.array, now.array);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Federation {
    inner: Arc<Inner>,
}

/// Whoever takes several of its locks takes `following` first, then the gates of shards, then
/// `members`.
struct Inner {
    /// The grid in the store of the top.
    grid: Grid,
    options: FederationOptions,
    laid: ShardLayout,
    members: RwLock<Members>,
    /// Held by whoever lets the top catch up.
    following: Mutex<()>,
}

impl fmt::Debug for Federation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Federation")
            .field("grid", &self.inner.grid)
            .finish_non_exhaustive()
    }
}

/// A shard as this process has it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShardInfo {
    /// Its name, its place and its columns.
    pub shard: Shard,
    /// Whether this process may write to it.
    pub writable: bool,
    /// Why it could not be opened, if so. Whatever it holds cannot be read then; all else can.
    pub failure: Option<String>,
}

impl Federation {
    /// How a federation can be opened.
    pub fn options() -> FederationOptions {
        FederationOptions::default()
    }

    /// Makes a federation, with the store of its top at a place (a directory, or a URL with the
    /// feature `object-store`), and opens it. The stores of the shards are made at their places.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if two shards share a column, a column has none, the
    /// dimension cannot be divided, or one of the stores holds other grids;
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if one holds this grid. Made in part, it
    /// is no federation yet: remove the stores that were made, and make it anew.
    pub fn create(top: &str, grid: &str, schema: Schema, shards: &Shards) -> Result<Self> {
        Self::options().create(top, grid, schema, shards)
    }

    /// Opens a federation by the place of its top, for writing.
    ///
    /// A shard that cannot be opened, or is another than the manifest says, keeps nobody from the
    /// others: [`shards`](Self::shards) tells why, and so does the error of whoever needs it.
    ///
    /// # Errors
    ///
    /// Those of [`Store::open`](crate::Store::open) for the top, and
    /// [`NotFound`](crate::ErrorKind::NotFound) if the store there is no top of a federation.
    pub fn open(top: &str) -> Result<Self> {
        Self::options().open(top)
    }

    /// The grid as it is now, to be read: of one moment, as a
    /// [`StoreSnapshot`] has it, so ask anew to see later commits. Of a put
    /// into several shards it may show one shard's part only.
    ///
    /// Stored answers say what of them is stale: in the shards, and above them until the top has
    /// [caught up](Self::catch_up). Waiting for a commit, and asking for changes, is
    /// [`Invalid`](crate::ErrorKind::Invalid); read [`Fresh`](crate::Freshness::Fresh).
    ///
    /// # Errors
    ///
    /// Those of a read; [`Unavailable`](crate::ErrorKind::Unavailable) where a shard that is asked
    /// for is not open.
    pub fn grid(&self) -> Result<Grid> {
        self.snapshot()?.grid(&self.inner.grid.name())
    }

    /// The same as a snapshot, for many reads of one moment.
    ///
    /// # Errors
    ///
    /// Those of [`grid`](Self::grid).
    pub fn snapshot(&self) -> Result<StoreSnapshot> {
        let store = self.inner.grid.store();
        let taken = store.now();
        let view = self.view(true)?.snapshot;
        Ok(store.pinned(Arc::new(view), taken))
    }

    /// Verifies the grid of all shards at one moment like a store's
    /// [`verify_to`](crate::Store::verify_to): every value that reads can meet is read, and every
    /// aggregate recomputed, those above the shards too. What else is in their stores, each store
    /// verifies for itself.
    ///
    /// [Catch up](Self::catch_up) first: aggregates of the top that no read meets any more, after
    /// deletions, are [strays](crate::verify::Damage::Stray) until then.
    ///
    /// # Errors
    ///
    /// Those of [`grid`](Self::grid); [`Unavailable`](crate::ErrorKind::Unavailable) if a shard is
    /// not open.
    pub fn verify(&self, depth: Thoroughness) -> Result<Report> {
        let view = self.view(true)?.snapshot;
        let mut report = Report::default();
        verify::check(&self.inner.grid, &view, depth, &mut report)?;
        Ok(report)
    }

    /// Every shard, in the order of the manifest.
    pub fn shards(&self) -> Vec<ShardInfo> {
        self.members().infos()
    }
}
