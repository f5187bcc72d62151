//! Which store holds which part of a grid's space.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::state::Border;
use crate::error::{Error, Result};
use crate::grid::{ChunkIndex, Level, Levels, Location, Structure, Window, check_name};
use crate::key::Division;

/// The most columns that all shards have together.
const COLUMNS_MAX: u64 = 1 << 16;

/// A box of columns: the chunks at one level of one dimension, each with all that lies below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Columns {
    first: Vec<i64>,
    count: Vec<u64>,
}

impl Columns {
    /// So many columns along each axis of the dimension, from the chunk of this signed
    /// [index](Structure::chunk_index) on.
    pub fn new(first: impl Into<Vec<i64>>, count: impl Into<Vec<u64>>) -> Self {
        Self {
            first: first.into(),
            count: count.into(),
        }
    }

    /// The columns that a window touches, of a dimension at a level of it.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such dimension;
    /// [`Invalid`](crate::ErrorKind::Invalid) if it has no such level, or the window leaves the
    /// index space.
    pub fn over(
        structure: &Structure,
        dimension: &str,
        level: i8,
        window: &Window,
    ) -> Result<Self> {
        let d = structure.dimension(dimension)?;
        let levels = window.levels(structure.dimensions().len());
        let levels = levels.with(d, Level::new(level)?);
        structure.check_levels(levels)?;
        structure.check(window)?;
        let touched = structure.chunk_box(&structure.cover(window, levels));
        let first = Location {
            levels,
            codes: touched.iter().map(|codes| codes.start).collect(),
        };
        let axes = structure.axes_of(d);
        Ok(Self {
            first: structure.chunk_index(&first)[axes.clone()].to_vec(),
            count: touched[axes]
                .iter()
                .map(|codes| codes.end - codes.start)
                .collect(),
        })
    }

    /// The first column's index along each axis.
    pub fn first(&self) -> &[i64] {
        &self.first
    }

    /// How many columns there are along each axis.
    pub fn count(&self) -> &[u64] {
        &self.count
    }

    /// The same as a window, whose cells are columns.
    fn window(&self) -> Window {
        Window::new(self.first.as_slice(), self.count.as_slice())
    }
}

/// How a grid is divided between stores: one dimension, at one level, whose chunks there are
/// columns, and who holds which.
///
/// Together the columns are a box without gaps. What lies outside cannot be put anywhere; a column
/// in which nothing lies costs nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shards {
    pub(super) dimension: String,
    pub(super) level: i8,
    pub(super) shards: Vec<Shard>,
}

/// A store that holds some columns of a grid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    pub(super) name: String,
    pub(super) place: String,
    pub(super) columns: Vec<Columns>,
    /// How often it was moved.
    pub(super) moves: u64,
}

impl Shard {
    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The directory or URL of its store.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What it holds.
    pub fn columns(&self) -> &[Columns] {
        &self.columns
    }
}

impl Shards {
    /// Divides a dimension at a level of it: a column is a chunk at that level.
    pub fn of(dimension: impl Into<String>, level: i8) -> Self {
        Self {
            dimension: dimension.into(),
            level,
            shards: Vec::new(),
        }
    }

    /// Adds a shard: its name, the directory or URL of its store, and its columns.
    #[must_use]
    pub fn shard(
        mut self,
        name: impl Into<String>,
        place: impl Into<String>,
        columns: impl IntoIterator<Item = Columns>,
    ) -> Self {
        self.shards.push(Shard {
            name: name.into(),
            place: place.into(),
            columns: columns.into_iter().collect(),
            moves: 0,
        });
        self
    }

    /// Where the columns are in a structure, and whose.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) names the dimension that cannot be divided, the shard
    /// without columns or with a name that another has, two shards that share a column, or a column
    /// that none has.
    pub(super) fn laid(&self, structure: &Structure) -> Result<ShardLayout> {
        let dimension = structure.dimension(&self.dimension)?;
        let of = &structure.dimensions()[dimension];
        if of.is_fixed() || of.is_irregular() {
            return Err(Error::invalid(format!(
                "dimension `{}` cannot be divided between shards: its {} never become coarser by halves; divide a regular dimension",
                self.dimension,
                if of.is_fixed() {
                    "labels"
                } else {
                    "events, whose columns are held together,"
                }
            )));
        }
        let border = Border {
            dimension,
            level: Level::new(self.level)?,
        };
        self.check_names()?;
        let axes = structure.axes_of(dimension).len();
        let all = self.boxes(axes)?;
        check_tiles(&self.dimension, &all)?;
        let levels = Levels::zero(structure.dimensions().len()).with(dimension, border.level);
        let mut columns = Vec::new();
        for (number, _, window) in &all {
            for at in indices(window) {
                columns.push((column(structure, border, levels, &at)?, *number));
            }
        }
        Ok(ShardLayout {
            border,
            parts: self.shards.len(),
            division: Division::new(
                structure,
                (dimension, border.level),
                columns.iter().copied(),
            ),
            boxes: cell_boxes(structure, border, (levels, &all))?,
        })
    }

    fn check_names(&self) -> Result<()> {
        let mut names = BTreeSet::new();
        for shard in &self.shards {
            check_name("shard", &shard.name)?;
            if !names.insert(&shard.name) {
                return Err(Error::invalid(format!(
                    "two shards are named `{}`",
                    shard.name
                )));
            }
        }
        if names.is_empty() {
            return Err(Error::invalid("a federation needs at least one shard"));
        }
        Ok(())
    }

    /// Each box of columns with the number and the name of its shard.
    fn boxes(&self, axes: usize) -> Result<Vec<(usize, &str, Window)>> {
        let (mut all, mut count) = (Vec::new(), 0_u64);
        for (number, shard) in self.shards.iter().enumerate() {
            for columns in &shard.columns {
                let fits = columns.first.len() == axes && columns.count.len() == axes;
                if !fits || columns.count.contains(&0) {
                    return Err(Error::invalid(format!(
                        "the columns {:?} and {:?} of shard `{}` do not fit the {axes} axes of dimension `{}`: give a first index and a count of at least 1 for each",
                        columns.first, columns.count, shard.name, self.dimension
                    )));
                }
                let window = columns.window();
                count = count.saturating_add(window.cells().unwrap_or(u64::MAX));
                all.push((number, shard.name.as_str(), window));
            }
            if shard.columns.is_empty() {
                return Err(Error::invalid(format!(
                    "shard `{}` has no columns",
                    shard.name
                )));
            }
        }
        if count > COLUMNS_MAX {
            return Err(Error::invalid(format!(
                "{count} columns are more than {COLUMNS_MAX}: divide dimension `{}` at a coarser level",
                self.dimension
            )));
        }
        Ok(all)
    }
}

/// Where columns are.
#[derive(Clone, Debug)]
pub(super) struct ShardLayout {
    pub(super) border: Border,
    /// How many shards there are.
    pub(super) parts: usize,
    pub(super) division: Division,
    /// The cells of each box of columns at the level of the columns, with the number of its shard:
    /// along the divided dimension only.
    pub(super) boxes: Vec<(usize, Window)>,
}

/// Refuses columns of which two shards share one, or of which a box has none.
fn check_tiles(dimension: &str, all: &[(usize, &str, Window)]) -> Result<()> {
    let mut held: BTreeMap<Vec<i64>, &str> = BTreeMap::new();
    for (_, name, window) in all {
        for at in indices(window) {
            if let Some(other) = held.get(&at) {
                return Err(Error::invalid(format!(
                    "shards `{other}` and `{name}` both have columns of dimension `{dimension}` from {at:?} on: give each column to one of them"
                )));
            }
            held.insert(at, *name);
        }
    }
    let gap = hull(all).and_then(|hull| indices(&hull).find(|at| !held.contains_key(at)));
    match gap {
        None => Ok(()),
        Some(gap) => Err(Error::invalid(format!(
            "no shard has the columns of dimension `{dimension}` from {gap:?} on, though others around them are held: give them to one, which costs nothing as long as nothing lies there"
        ))),
    }
}

/// The box of all columns.
fn hull(all: &[(usize, &str, Window)]) -> Option<Window> {
    all.iter().map(|(_, _, window)| *window).reduce(|a, b| {
        let (start, end): (Vec<i64>, Vec<i64>) = a
            .start()
            .iter()
            .zip(b.start().iter())
            .zip(a.end().iter().zip(b.end().iter()))
            .map(|((a, b), (c, d))| (*a.min(b), *c.max(d)))
            .unzip();
        let shape: Vec<u64> = start
            .iter()
            .zip(&end)
            .map(|(start, end)| end.abs_diff(*start))
            .collect();
        Window::new(start.as_slice(), shape.as_slice())
    })
}

/// Every index of a box, in C order.
fn indices(window: &Window) -> impl Iterator<Item = Vec<i64>> + use<> {
    let (start, shape) = (window.start(), window.shape());
    let count = window.cells().unwrap_or(u64::MAX);
    (0..count).map(move |mut number| {
        let mut index = start.to_vec();
        for axis in (0..index.len()).rev() {
            index[axis] = start[axis].saturating_add_unsigned(number % shape[axis]);
            number /= shape[axis];
        }
        index
    })
}

/// A column's chunk, at the origin of the other dimensions.
fn column(
    structure: &Structure,
    border: Border,
    levels: Levels,
    index: &[i64],
) -> Result<Location> {
    let mut whole = ChunkIndex::from(vec![0; structure.rank()].as_slice());
    for (axis, number) in structure.axes_of(border.dimension).zip(index) {
        whole[axis] = *number;
    }
    structure.location(levels, &whole)
}

/// The cells of boxes of columns: exact along the divided dimension.
fn cell_boxes(
    structure: &Structure,
    border: Border,
    (levels, all): (Levels, &[(usize, &str, Window)]),
) -> Result<Vec<(usize, Window)>> {
    let cells = |(number, _, window): &(usize, &str, Window)| {
        let first: Vec<i64> = window.start().to_vec();
        let last: Vec<i64> = window.end().iter().map(|end| end - 1).collect();
        let at = |index: &[i64]| {
            let location = column(structure, border, levels, index)?;
            Ok(structure.chunk_window(&location))
        };
        Ok((*number, structure.union(&at(&first)?, &at(&last)?)))
    };
    all.iter().map(cells).collect()
}

impl ShardLayout {
    /// The part of a window that lies in a box of columns, if any does; the window is at most as
    /// coarse as the columns along the divided dimension.
    pub(super) fn part(
        &self,
        structure: &Structure,
        columns: &Window,
        window: &Window,
    ) -> Option<Window> {
        structure.intersection(window, &self.widened(structure, columns, window))
    }

    /// A box of columns at the levels of a window, as wide as that along all other dimensions.
    pub(super) fn widened(
        &self,
        structure: &Structure,
        columns: &Window,
        window: &Window,
    ) -> Window {
        let levels = window.levels(structure.dimensions().len());
        let own = structure.cover(columns, levels);
        structure
            .axes_of(self.border.dimension)
            .fold(*window, |wide, axis| {
                wide.along(axis, own.start()[axis], own.shape()[axis])
            })
    }
}
