//! What is to be put, before it is committed.

use std::str::FromStr;

use ndarray::ArrayViewD;

use super::{Commit, runs};
use crate::aggregate::background::make_room;
use crate::array::ArrayView;
use crate::error::{Error, ErrorKind, Result};
use crate::grid::{CellIndex, Location, Piece, Shape, Window};
use crate::key::GridId;
use crate::kv::{self, Durability, Snapshot, Space};
use crate::ledger::Progress;
use crate::store::{BatchNumber, Grid, Policy, Store, Workers, try_lock, unless_dropped};

/// What a put does where data is already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overlap {
    /// Cells with data are laid over what is there; cells without leave it alone.
    #[default]
    Merge,
    /// The window holds what is put and nothing else: cells without data replace what is there too.
    Replace,
    /// What is there stays; only cells without data are filled.
    Keep,
    /// The put is refused, and nothing changes, where any cell of its window holds data.
    Refuse,
}

impl FromStr for Overlap {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "merge" => Ok(Self::Merge),
            "replace" => Ok(Self::Replace),
            "keep" => Ok(Self::Keep),
            "refuse" => Ok(Self::Refuse),
            _ => Err(Error::invalid(format!(
                "`{text}` is none of merge, replace, keep, refuse"
            ))),
        }
    }
}

/// What becomes of a window.
#[derive(Clone, Debug)]
pub(super) enum Content<'a> {
    Array(ArrayView<'a>, Overlap),
    /// Nothing is there any more. `shrink`: nor does the window count as put.
    Nothing {
        shrink: bool,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Put<'a> {
    pub(super) grid: Grid,
    pub(super) window: Window,
    pub(super) content: Content<'a>,
    /// The events along an irregular dimension that the array holds: the tick of each, rising, and
    /// its number in the array.
    pub(super) events: Vec<(i64, usize)>,
    /// Which cells of the array hold data (1), where its values cannot say it.
    pub(super) mask: Option<ArrayViewD<'a, u8>>,
}

impl<'a> Put<'a> {
    pub(super) fn array(&self) -> Option<&ArrayView<'a>> {
        match &self.content {
            Content::Array(array, _) => Some(array),
            Content::Nothing { .. } => None,
        }
    }

    pub(super) fn overlap(&self) -> Overlap {
        match &self.content {
            Content::Array(_, overlap) => *overlap,
            Content::Nothing { .. } => Overlap::Replace,
        }
    }

    /// Its parts: one in each chunk, or in each bucket, that an array is put into.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Piece> + use<> {
        let ticks: Vec<i64> = self.events.iter().map(|(tick, _)| *tick).collect();
        self.grid.structure().split_at(&self.window, &ticks)
    }
}

/// Puts and removals that are committed together: all of them or none, whichever grids they are
/// for. They do what the same calls would one by one, in their order: later ones lie over earlier
/// ones, and remove what these have put.
#[derive(Clone, Debug)]
pub struct Batch<'a> {
    store: Store,
    durability: Durability,
    pub(super) puts: Vec<Put<'a>>,
    guard: Option<Guard>,
    progress: Option<Progress>,
}

/// A record of the meta space that must be as it is for a batch to be committed.
#[derive(Clone, Debug)]
struct Guard {
    key: Vec<u8>,
    record: Vec<u8>,
}

impl Guard {
    fn holds(&self, snapshot: &dyn Snapshot) -> Result<bool> {
        let mut holds = false;
        snapshot.get_many(
            Space::Meta,
            std::slice::from_ref(&self.key),
            &mut |_, record| {
                holds = record == Some(self.record.as_slice());
                Ok(())
            },
        )?;
        Ok(holds)
    }
}

/// Conflicts after which aggregates are no longer computed in the commit itself, where every writer
/// meets at the top.
const INLINE_CONFLICTS_MAX: usize = 1;
/// How many places of a put are looked at to see who else writes there.
const LOCATIONS_MAX: usize = 32;

impl<'a> Batch<'a> {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            durability: Durability::Sync,
            puts: Vec::new(),
            guard: None,
            progress: None,
        }
    }

    /// When the commit returns; after it is on the medium by default.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Adds a put. Cells without data leave what is there alone. See [`Grid::put`].
    pub fn put(
        &mut self,
        grid: &Grid,
        window: &Window,
        array: impl Into<ArrayView<'a>>,
    ) -> Result<()> {
        self.put_over(grid, window, array, Overlap::Merge)
    }

    /// Adds a put. Cells without data replace what is there. See [`Grid::replace`].
    pub fn replace(
        &mut self,
        grid: &Grid,
        window: &Window,
        array: impl Into<ArrayView<'a>>,
    ) -> Result<()> {
        self.put_over(grid, window, array, Overlap::Replace)
    }

    /// Adds a put that says what it does where data is already. See [`Grid::put`].
    pub fn put_over(
        &mut self,
        grid: &Grid,
        window: &Window,
        array: impl Into<ArrayView<'a>>,
        overlap: Overlap,
    ) -> Result<()> {
        let (array, ticks) = (
            array.into(),
            match grid.structure().irregular_axis() {
                None => Vec::new(),
                Some(irregular) => {
                    grid.structure().check(window).map_err(|e| grid.blame(e))?;
                    let (first, len) = (
                        window.start()[irregular.axis],
                        window.shape()[irregular.axis],
                    );
                    (first..first.saturating_add_unsigned(len))
                        .take(TICKS_MAX)
                        .collect()
                }
            },
        );
        self.add(grid, window, array, overlap, ticks)
    }

    /// Adds a put of events of an irregular dimension. See [`Grid::put_events`].
    pub fn put_events(
        &mut self,
        grid: &Grid,
        ticks: &[i64],
        start: impl Into<CellIndex>,
        array: impl Into<ArrayView<'a>>,
        overlap: Overlap,
    ) -> Result<()> {
        let (array, window) = (array.into(), start.into());
        let window =
            events_window(grid, ticks, &window, array.shape()).map_err(|e| grid.blame(e))?;
        self.add(grid, &window, array, overlap, ticks.to_vec())
    }

    /// Adds the removal of all data from a window. See [`Grid::clear`].
    pub fn clear(&mut self, grid: &Grid, window: &Window) -> Result<()> {
        self.remove(grid, window, false)
    }

    /// Adds the removal of all data from a window, and of the window from what counts as put. See
    /// [`Grid::delete`].
    pub fn delete(&mut self, grid: &Grid, window: &Window) -> Result<()> {
        self.remove(grid, window, true)
    }

    fn remove(&mut self, grid: &Grid, window: &Window, shrink: bool) -> Result<()> {
        self.check(grid, window)?;
        let structure = grid.structure();
        let levels = window.levels(structure.dimensions().len());
        // Whatever bins it is given in, it is ticks that are removed.
        let window = match structure.irregular() {
            Some(_) => structure.cover(window, structure.cell_levels(levels)),
            None => window.at(levels),
        };
        let content = Content::Nothing { shrink };
        self.puts.push(Put {
            grid: grid.clone(),
            window,
            content,
            events: Vec::new(),
            mask: None,
        });
        Ok(())
    }

    /// Adds a put after which a window holds an array's cells and nothing else. Along an irregular
    /// dimension these are the events at `ticks`. `mask` says which cells hold data, where their
    /// values cannot.
    pub(crate) fn lay(
        &mut self,
        grid: &Grid,
        (window, ticks): (&Window, &[i64]),
        array: ArrayView<'a>,
        mask: Option<ArrayViewD<'a, u8>>,
    ) -> Result<()> {
        self.add(grid, window, array, Overlap::Replace, ticks.to_vec())?;
        mask.map_or(Ok(()), |mask| self.mask(grid, mask))
    }

    /// Says of the last put, which is one into a grid, which of its cells hold data (1); the others
    /// are cells without.
    pub(crate) fn mask(&mut self, grid: &Grid, mask: ArrayViewD<'a, u8>) -> Result<()> {
        let put = self.puts.last_mut().filter(|put| {
            put.array()
                .is_some_and(|array| array.shape() == mask.shape())
        });
        let put = put.ok_or_else(|| {
            grid.blame(Error::invalid(format!(
                "a mask of {:?} fits no put",
                mask.shape()
            )))
        })?;
        put.mask = Some(mask);
        Ok(())
    }

    /// Lets the commit fail with [`Conflict`](ErrorKind::Conflict), for good, unless a record of
    /// the meta space is still this one. A record that is replaced must never come back.
    pub(crate) fn only_while(&mut self, key: Vec<u8>, record: Vec<u8>) {
        self.guard = Some(Guard { key, record });
    }

    /// Writes in the commit how far an import is with it, which then fails with
    /// [`Conflict`](ErrorKind::Conflict), for good, where another import has taken its place.
    pub(crate) fn enter(&mut self, progress: Progress) {
        let (key, record) = progress.head();
        self.only_while(key, record);
        self.progress = Some(progress);
    }

    fn check(&self, grid: &Grid, window: &Window) -> Result<()> {
        if !grid.store().is(&self.store) {
            return Err(grid.blame(Error::invalid("it is of another store than the batch")));
        }
        grid.check_layers()?;
        grid.writable()?;
        grid.structure().check(window).map_err(|e| grid.blame(e))
    }

    fn add(
        &mut self,
        grid: &Grid,
        window: &Window,
        array: ArrayView<'a>,
        overlap: Overlap,
        ticks: Vec<i64>,
    ) -> Result<()> {
        self.check(grid, window)?;
        if array.dtype() != grid.schema().dtype() {
            let (got, cells) = (array.dtype(), grid.schema().dtype());
            return Err(grid.blame(Error::invalid(format!(
                "an array of {got} does not fit cells of {cells}"
            ))));
        }
        let mut shape = window.shape();
        grid.structure()
            .irregular_axis()
            .iter()
            .for_each(|irregular| shape[irregular.axis] = ticks.len() as u64);
        let fits = array.shape().len() == shape.len()
            && array
                .shape()
                .iter()
                .zip(shape.iter())
                .all(|(&array, &window)| array as u64 == window);
        if !fits {
            let message = format!(
                "an array of {:?} does not fit a window of {:?} cells at {:?}",
                array.shape(),
                shape,
                window.start()
            );
            return Err(grid.blame(Error::invalid(message)));
        }
        let window = window.at(window.levels(grid.structure().dimensions().len()));
        let mut events: Vec<(i64, usize)> = ticks.into_iter().zip(0..).collect();
        events.sort_unstable();
        self.puts.push(Put {
            grid: grid.clone(),
            window,
            content: Content::Array(array, overlap),
            events,
            mask: None,
        });
        Ok(())
    }

    /// Commits all puts, and under [`Policy::Inline`] brings the aggregates above them up to date.
    /// Under [`Policy::Background`] it first waits where too many marks are pending, or aggregates
    /// a part of them itself.
    ///
    /// # Errors
    ///
    /// Those of [`Grid::put`]. After an [`Unavailable`](ErrorKind::Unavailable) error of the commit
    /// itself the batch may be found whole after reopening, or not at all.
    pub fn commit(self) -> Result<Commit> {
        let _span = tracing::debug_span!("commit", puts = self.puts.len()).entered();
        for grid in self.grids().iter().filter(|_| Workers::is_one()) {
            self.store
                .aggregating(&self.store.aggregator(grid.id()))
                .map(drop)?;
        }
        self.grids().iter().try_for_each(make_room)?;
        let inline = self.store.policy() == Policy::Inline;
        let (mut conflicts, mut beside_damage) = (0, false);
        loop {
            let inline_now = inline && conflicts <= INLINE_CONFLICTS_MAX && !beside_damage;
            match self
                .store
                .in_turn(self.chunks(), self.durability, |durability| {
                    self.attempt(inline_now, durability)
                }) {
                Err(error) if *error.kind() == ErrorKind::Conflict => {
                    if let Some(guard) = &self.guard
                        && !guard.holds(self.store.current()?.as_ref())?
                    {
                        return Err(error);
                    }
                    conflicts += 1;
                }
                // It may be in what lies beside or above: the cells are put all the same.
                Err(error) if inline_now && *error.kind() == ErrorKind::Corrupt => {
                    beside_damage = true
                }
                Err(error) => return Err(error),
                Ok(mut commit) if inline && commit.marks > 0 => {
                    commit.marks = 0;
                    for grid in self.grids() {
                        match unless_dropped(grid.aggregate()) {
                            Ok(done) => commit.aggregates += done.chunks,
                            // What is blocked by damage stays marked, durably.
                            Err(error) if *error.kind() == ErrorKind::Corrupt => {
                                commit.marks += grid.marks()?
                            }
                            Err(error) => return Err(error),
                        }
                    }
                    return Ok(commit);
                }
                Ok(commit) => return Ok(commit),
            }
        }
    }

    /// Fails as a commit would now, for all but what only the commit itself can meet. Nothing is
    /// written.
    pub(crate) fn rehearse(&self) -> Result<()> {
        let (snapshot, number) = (self.store.current()?, self.store.reserve_sequence());
        self.write(
            snapshot.as_ref(),
            (
                &mut kv::Batch::at(snapshot.as_ref()),
                &mut Commit::default(),
            ),
            (&number, false),
        )
    }

    /// The grids of this batch, each once.
    fn grids(&self) -> Vec<Grid> {
        let mut grids: Vec<Grid> = Vec::new();
        for put in &self.puts {
            if !grids.iter().any(|grid| grid.id() == put.grid.id()) {
                grids.push(put.grid.clone());
            }
        }
        grids
    }

    /// Every chunk that an array is put into, as far as they are few.
    fn chunks(&self) -> impl Iterator<Item = (GridId, Location)> {
        let arrays = self.puts.iter().filter(|put| put.array().is_some());
        arrays.flat_map(|put| {
            let pieces = put.pieces().take(LOCATIONS_MAX);
            pieces.map(|piece| (put.grid.id(), piece.location))
        })
    }

    /// One try: everything is computed from one snapshot, and refused if that is outdated by then.
    fn attempt(&self, inline: bool, durability: Durability) -> Result<Commit> {
        let aggregators: Vec<_> = self
            .grids()
            .iter()
            .map(|grid| self.store.aggregator(grid.id()))
            .collect();
        // Where somebody else aggregates, both would meet at the top: marks are cheaper.
        let held: Option<Vec<_>> = if inline {
            aggregators
                .iter()
                .map(|aggregator| try_lock(aggregator))
                .collect()
        } else {
            None
        };
        let inline = held.is_some();
        let snapshot = self.store.current()?;
        let mut batch = kv::Batch::at(snapshot.as_ref());
        if let Some(guard) = &self.guard {
            batch.expect_key(Space::Meta, guard.key.clone());
            if !guard.holds(snapshot.as_ref())? {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    "somebody else goes on with what this batch is a part of",
                ));
            }
        }
        let number = self.store.reserve_sequence();
        let mut commit = Commit {
            sequence: number.get(),
            ..Commit::default()
        };
        self.store.workers().run(|| {
            self.write(
                snapshot.as_ref(),
                (&mut batch, &mut commit),
                (&number, inline),
            )
        })?;
        if let Some(progress) = &self.progress {
            let (key, record) = progress.record(number.get())?;
            batch.put(Space::Meta, key, record);
        }
        Store::stamp(&mut batch, &number);
        self.store.commit(batch, durability)?;
        Ok(commit)
    }

    /// Adds all that the puts write to a batch.
    fn write(
        &self,
        snapshot: &dyn Snapshot,
        (batch, commit): (&mut kv::Batch, &mut Commit),
        (number, inline): (&BatchNumber, bool),
    ) -> Result<()> {
        for grid in self.grids() {
            grid.expect_schema(snapshot, batch)?;
            let puts: Vec<&Put<'a>> = self
                .puts
                .iter()
                .filter(|put| put.grid.id() == grid.id())
                .collect();
            let (part, done) = runs::write(&grid, snapshot, &puts, (number, inline))?;
            batch.join(part);
            *commit += done;
        }
        Ok(())
    }
}

/// The most events of one put.
const TICKS_MAX: usize = 1 << 24;

/// The window of events at some ticks whose array begins at a cell of the other axes.
fn events_window(grid: &Grid, ticks: &[i64], start: &CellIndex, array: &[usize]) -> Result<Window> {
    let structure = grid.structure();
    let Some(irregular) = structure.irregular_axis() else {
        return Err(Error::invalid(
            "it has no irregular dimension, so no events; put a window",
        ));
    };
    let name = structure.dimensions()[irregular.dimension].name();
    if start.len() + 1 != structure.rank() || array.len() != structure.rank() {
        return Err(Error::invalid(format!(
            "an array of {array:?} whose first cell is {start:?} along the axes beside `{name}` does not fit {} axes",
            structure.rank()
        )));
    }
    let mut sorted = ticks.to_vec();
    sorted.sort_unstable();
    if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        let at = structure.dimensions()[irregular.dimension].axes()[0].shown(twice[0]);
        return Err(Error::invalid(format!(
            "the event at {at} along dimension `{name}` is given twice"
        )));
    }
    let (Some(&first), Some(&last)) = (sorted.first(), sorted.last()) else {
        return Err(Error::invalid(format!(
            "there are no events to put along dimension `{name}`"
        )));
    };
    if ticks.len() > TICKS_MAX || ticks.len() != array[irregular.axis] {
        let events = array[irregular.axis];
        return Err(Error::invalid(format!(
            "{} ticks do not fit an array of {events} events along dimension `{name}`",
            ticks.len()
        )));
    }
    let at = |axis: usize| match axis.cmp(&irregular.axis) {
        std::cmp::Ordering::Less => (start[axis], array[axis] as u64),
        std::cmp::Ordering::Equal => (first, last.abs_diff(first).saturating_add(1)),
        std::cmp::Ordering::Greater => (start[axis - 1], array[axis] as u64),
    };
    let first: CellIndex = (0..structure.rank()).map(|axis| at(axis).0).collect();
    let shape: Shape = (0..structure.rank()).map(|axis| at(axis).1).collect();
    let mut window = Window::new(first, shape);
    // Events are put at the levels at which the grid has them.
    if let Some(levels) = grid.base_levels()? {
        window = window.at(levels);
    }
    Ok(window)
}
