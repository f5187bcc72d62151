//! The immutable description of a grid's coordinates.

use std::collections::HashSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::axis::Axis;
use super::dimension::{Depth, Dimension, DimensionKind};
use super::level::{Level, Levels};
use super::location::Location;
use super::tuple::{CellIndex, ChunkIndex, MAX_AXES, Shape, Tuple};
use super::window::Window;
use crate::error::{Error, Result};

/// The immutable description of a grid's coordinates: its dimensions, their axes, the coordinate
/// reference system.
///
/// It converts between world coordinates, cells and chunks, and holds nothing about the data.
/// Arrays, windows and locations have their axes in the order in which the dimensions and their
/// axes were declared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StructureBuilder", into = "StructureBuilder")]
pub struct Structure {
    dimensions: Vec<Dimension>,
    crs: Option<String>,
    /// The first axis of each dimension, and the number of axes behind the last.
    starts: Vec<usize>,
    /// The dimensions as keys order them: the refinable one, the other regular ones, the Fixed
    /// ones, the irregular one.
    order: Vec<usize>,
}

/// Collects a [`Structure`]; [`build`](Self::build) validates it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StructureBuilder {
    dimensions: Vec<Dimension>,
    crs: Option<String>,
}

/// A part of a window that lies in one chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The chunk.
    pub location: Location,
    /// The first cell of the part within the chunk, along each axis.
    pub in_chunk: Tuple<usize>,
    /// The first cell of the part within the window, along each axis.
    pub in_window: Tuple<usize>,
    /// Cells along each axis.
    pub shape: Tuple<usize>,
}

impl StructureBuilder {
    /// Adds a dimension behind those before.
    #[must_use]
    pub fn dimension(mut self, dimension: Dimension) -> Self {
        self.dimensions.push(dimension);
        self
    }

    /// The coordinate reference system: an authority code (`EPSG:4326`) or WKT. It is kept, not
    /// interpreted.
    #[must_use]
    pub fn crs(mut self, crs: impl Into<String>) -> Self {
        self.crs = Some(crs.into());
        self
    }

    /// The validated structure.
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) names the dimension or axis at fault: no dimension,
    /// more than [`MAX_AXES`] axes, a name twice, a step or origin that is not finite, a chunk that
    /// is no power of two or of more than 2^26 cells in all.
    pub fn build(mut self) -> Result<Structure> {
        if self.dimensions.is_empty() {
            return Err(Error::invalid("a structure needs at least one dimension"));
        }
        self.dimensions.iter().try_for_each(Dimension::validate)?;
        let axes = self
            .dimensions
            .iter()
            .map(|d| d.axes().len())
            .sum::<usize>();
        if axes > MAX_AXES {
            return Err(Error::invalid(format!(
                "{axes} axes are more than {MAX_AXES}"
            )));
        }
        let mut names = HashSet::new();
        for name in self
            .dimensions
            .iter()
            .flat_map(|d| d.axes())
            .map(Axis::name)
        {
            if !names.insert(name) {
                return Err(Error::invalid(format!("two axes are named `{name}`")));
            }
        }
        let mut names = HashSet::new();
        if let Some(twice) = self.dimensions.iter().find(|d| !names.insert(d.name())) {
            return Err(Error::invalid(format!(
                "two dimensions are named `{}`",
                twice.name()
            )));
        }
        if self.crs.as_ref().is_some_and(|crs| crs.len() > 1 << 16) {
            return Err(Error::invalid(
                "the coordinate reference system is longer than 64 KiB",
            ));
        }
        let cells = self
            .dimensions
            .iter()
            .flat_map(|d| d.axes())
            .try_fold(1_u64, |n, a| n.checked_mul(u64::from(a.chunk())));
        if cells.is_none_or(|cells| cells > Structure::CHUNK_CELLS_MAX) {
            return Err(Error::invalid(format!(
                "a chunk may have at most {} cells; make it shorter along an axis",
                Structure::CHUNK_CELLS_MAX
            )));
        }
        choose_refinable(&mut self.dimensions)?;
        let mut starts = vec![0];
        for dimension in &self.dimensions {
            starts.push(starts[starts.len() - 1] + dimension.axes().len());
        }
        let mut order: Vec<usize> = (0..self.dimensions.len()).collect();
        order.sort_by_key(|&d| {
            let dimension = &self.dimensions[d];
            (
                dimension.is_irregular(),
                dimension.is_fixed(),
                !dimension.is_refinable(),
            )
        });
        Ok(Structure {
            dimensions: self.dimensions,
            crs: self.crs,
            starts,
            order,
        })
    }
}

/// At most one dimension is refinable or irregular; a regular dimension that is the only levelled
/// one is refinable.
fn choose_refinable(dimensions: &mut [Dimension]) -> Result<()> {
    let declared: Vec<_> = dimensions
        .iter()
        .filter(|d| d.is_refinable())
        .map(|d| d.name().to_owned())
        .collect();
    if let [first, second, ..] = declared.as_slice() {
        return Err(Error::invalid(format!(
            "dimensions `{first}` and `{second}` are both refinable; at most one may be"
        )));
    }
    let irregular: Vec<_> = dimensions
        .iter()
        .filter(|d| d.is_irregular())
        .map(|d| d.name().to_owned())
        .collect();
    if let [first, second, ..] = irregular.as_slice() {
        return Err(Error::invalid(format!(
            "dimensions `{first}` and `{second}` are both irregular; at most one may be"
        )));
    }
    if let ([irregular], [refinable]) = (irregular.as_slice(), declared.as_slice()) {
        return Err(Error::invalid(format!(
            "dimension `{refinable}` cannot be refinable beside the irregular `{irregular}`; base data has several levels along one at most"
        )));
    }
    let mut levelled: Vec<_> = dimensions.iter_mut().filter(|d| !d.is_fixed()).collect();
    if let [only] = levelled.as_mut_slice()
        && let DimensionKind::Regular { refinable, .. } = &mut only.kind
    {
        *refinable = true;
    }
    Ok(())
}

impl Structure {
    /// The most cells a chunk may have.
    pub const CHUNK_CELLS_MAX: u64 = 1 << 26;

    /// An empty builder.
    pub fn builder() -> StructureBuilder {
        StructureBuilder::default()
    }

    /// The dimensions, in the order they were declared.
    pub fn dimensions(&self) -> &[Dimension] {
        &self.dimensions
    }

    /// The coordinate reference system, as it was given.
    pub fn crs(&self) -> Option<&str> {
        self.crs.as_deref()
    }

    /// The position of a dimension by its name.
    pub fn dimension(&self, name: &str) -> Result<usize> {
        self.dimensions
            .iter()
            .position(|d| d.name() == name)
            .ok_or_else(|| {
                let names: Vec<_> = self.dimensions.iter().map(Dimension::name).collect();
                Error::not_found(format!(
                    "there is no dimension `{name}`; there is {}",
                    names.join(", ")
                ))
            })
    }

    /// How many axes an array of this grid has.
    pub fn rank(&self) -> usize {
        self.starts[self.dimensions.len()]
    }

    /// Every axis, in array order.
    pub fn axes(&self) -> impl Iterator<Item = &Axis> {
        self.dimensions.iter().flat_map(Dimension::axes)
    }

    /// The position of each axis: its dimension, and its number within the dimension.
    fn axis_places(&self) -> impl Iterator<Item = (usize, usize)> {
        self.dimensions
            .iter()
            .enumerate()
            .flat_map(|(d, dimension)| (0..dimension.axes().len()).map(move |a| (d, a)))
    }

    /// The positions of a dimension's axes among all axes.
    pub fn axes_of(&self, dimension: usize) -> Range<usize> {
        self.starts[dimension]..self.starts[dimension + 1]
    }

    /// The dimensions as keys and derivations order them: the refinable one, the other regular
    /// ones, the Fixed ones, the irregular one. So what an irregular dimension holds at one place
    /// of the others is one run of keys at each level.
    pub(crate) fn order(&self) -> &[usize] {
        &self.order
    }

    /// The dimension whose base data may come at several levels.
    pub fn refinable(&self) -> Option<usize> {
        self.dimensions.iter().position(Dimension::is_refinable)
    }

    /// The dimension of events at exact ticks.
    pub fn irregular(&self) -> Option<usize> {
        self.dimensions.iter().position(Dimension::is_irregular)
    }

    /// The levelled dimensions, in the order of derivations.
    pub(crate) fn levelled(&self) -> impl DoubleEndedIterator<Item = usize> {
        self.order
            .iter()
            .copied()
            .filter(|&d| !self.dimensions[d].is_fixed())
    }

    /// Cells a chunk along each axis.
    pub fn chunk_shape(&self) -> Tuple<usize> {
        self.axes().map(|axis| axis.chunk() as usize).collect()
    }

    /// Cells a chunk.
    pub fn chunk_cells(&self) -> usize {
        self.chunk_shape().iter().product()
    }

    /// The location of a chunk by its levels and its signed index along each axis.
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) names the axis along which it is out of range.
    pub fn location(&self, levels: Levels, index: &ChunkIndex) -> Result<Location> {
        self.check_levels(levels)?;
        if index.len() != self.rank() {
            return Err(Error::invalid(format!(
                "a chunk index of {} numbers does not fit {} axes",
                index.len(),
                self.rank()
            )));
        }
        let mut codes = Tuple::filled(self.rank(), 0);
        for (axis, (d, a)) in self.axis_places().enumerate() {
            let code = i128::from(index[axis]) + self.dimensions[d].origin_code(levels[d]);
            codes[axis] = u64::try_from(code)
                .ok()
                .filter(|&code| u128::from(code) < self.dimensions[d].codes(levels[d]))
                .ok_or_else(|| {
                    self.out_of_range(d, a, levels[d], "chunk", i128::from(index[axis]))
                })?;
        }
        Ok(Location { levels, codes })
    }

    /// The signed index of a location's chunk along each axis.
    pub fn chunk_index(&self, location: &Location) -> ChunkIndex {
        self.axis_places()
            .zip(location.codes.iter())
            .map(|((d, _), code)| {
                saturate(i128::from(*code) - self.dimensions[d].origin_code(location.levels[d]))
            })
            .collect()
    }

    /// The parent along a dimension and the number of this chunk among its children, unless the
    /// dimension ends here.
    ///
    /// Children are numbered 0 to 2^axes - 1; the first axis of the dimension gives the highest
    /// bit.
    pub fn parent(&self, location: &Location, dimension: usize) -> Option<(Location, u8)> {
        let mut parent = *location;
        parent.levels[dimension] = self.within(dimension, location.levels[dimension].coarser()?)?;
        let mut child = 0;
        for axis in self.axes_of(dimension) {
            child = child << 1 | u8::from(parent.codes[axis] & 1 == 1);
            parent.codes[axis] >>= 1;
        }
        Some((parent, child))
    }

    /// A child along a dimension by its number, unless the dimension ends here.
    pub fn child(&self, location: &Location, dimension: usize, number: u8) -> Option<Location> {
        let mut child = *location;
        child.levels[dimension] = self.within(dimension, location.levels[dimension].finer()?)?;
        for (bit, axis) in self.axes_of(dimension).rev().enumerate() {
            child.codes[axis] = location.codes[axis] << 1 | u64::from(number >> bit & 1);
        }
        Some(child)
    }

    /// A level, if the dimension has it.
    fn within(&self, dimension: usize, level: Level) -> Option<Level> {
        Some(level).filter(|level| self.dimensions[dimension].levels().contains(level))
    }

    /// All children along a dimension, in the order of their numbers; none if the dimension ends
    /// here.
    pub fn children(
        &self,
        location: &Location,
        dimension: usize,
    ) -> impl Iterator<Item = Location> {
        let count = if self.dimensions[dimension].is_fixed() {
            0
        } else {
            1_u16 << self.axes_of(dimension).len()
        };
        (0..count)
            .filter_map(move |number| self.child(location, dimension, u8::try_from(number).ok()?))
    }

    /// The ancestor of a location at coarser or equal levels; `None` if a level is finer than the
    /// location's.
    pub(crate) fn ancestor(&self, location: &Location, levels: Levels) -> Option<Location> {
        let mut ancestor = Location {
            levels,
            codes: location.codes,
        };
        for (d, (to, from)) in levels.iter().zip(location.levels.iter()).enumerate() {
            let up = u32::try_from(i16::from(to.get()) - i16::from(from.get())).ok()?;
            for axis in self.axes_of(d) {
                ancestor.codes[axis] = location.codes[axis].checked_shr(up).unwrap_or(0);
            }
        }
        Some(ancestor)
    }

    /// The cells of a chunk.
    pub fn chunk_window(&self, location: &Location) -> Window {
        let start = self.axis_places().enumerate().map(|(axis, (d, a))| {
            let first =
                i128::from(location.codes[axis]) * i128::from(self.dimensions[d].axes()[a].chunk());
            saturate(first - self.dimensions[d].zero(a, location.levels[d]))
        });
        Window::new(
            start.collect::<CellIndex>(),
            self.axes()
                .map(|axis| u64::from(axis.chunk()))
                .collect::<Shape>(),
        )
        .at(location.levels)
    }

    /// The place of a chunk as errors name it.
    pub fn describe(&self, location: &Location) -> String {
        format!(
            "level {:?} chunk {:?}",
            location.levels,
            self.chunk_index(location)
        )
    }

    /// Where a window lies, for people: the coordinates of each axis that is neither irregular nor one
    /// of labels, times in ISO 8601.
    pub(crate) fn ranges(&self, window: &Window) -> String {
        let extent = self.extent(window);
        let fixed = |axis: usize| self.dimensions[self.dimension_of(axis)].is_fixed();
        let irregular = self
            .irregular()
            .map(|dimension| self.axes_of(dimension).start);
        let range = |(number, axis): (usize, &Axis)| {
            let (lower, upper) = extent.bounds()[number];
            let shown = |value: f64| {
                let time = axis.time().and_then(|unit| unit.instant(value));
                time.map_or_else(|| value.to_string(), |at| at.to_string())
            };
            format!("{} {} to {}", axis.name(), shown(lower), shown(upper))
        };
        self.axes()
            .enumerate()
            .filter(|(number, _)| !fixed(*number) && Some(*number) != irregular)
            .map(range)
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn out_of_range(&self, d: usize, a: usize, level: Level, what: &str, number: i128) -> Error {
        let dimension = &self.dimensions[d];
        let scale = if dimension.is_fixed() { 1 } else { 0 };
        let chunk = if what == "chunk" {
            1
        } else {
            i128::from(dimension.axes()[a].chunk())
        };
        let zero = if what == "chunk" {
            dimension.origin_code(level)
        } else {
            dimension.zero(a, level)
        };
        let count = match dimension.labels() {
            Some(labels) if scale == 1 && what != "chunk" => labels.len() as i128,
            _ => i128::try_from(dimension.codes(level)).unwrap_or(i128::MAX) * chunk,
        };
        Error::invalid(format!(
            "{what} {number} along axis `{}` of dimension `{}` is out of range at level {level}: it goes from {} to {}",
            dimension.axes()[a].name(),
            dimension.name(),
            -zero,
            count - zero - 1
        ))
    }

    /// Checks that levels are one a dimension, and within what it can have.
    pub(crate) fn check_levels(&self, levels: Levels) -> Result<()> {
        if levels.len() != self.dimensions.len() {
            return Err(Error::invalid(format!(
                "{} levels do not fit {} dimensions",
                levels.len(),
                self.dimensions.len()
            )));
        }
        match self
            .dimensions
            .iter()
            .zip(levels.iter())
            .find(|(d, level)| !d.levels().contains(level))
        {
            Some((d, level)) if d.is_fixed() => Err(Error::invalid(format!(
                "dimension `{}` is Fixed and has no level {level}",
                d.name()
            ))),
            Some((d, level)) => Err(Error::invalid(format!(
                "dimension `{}` has no level {level}: levels go from {} to {}",
                d.name(),
                d.levels().start(),
                d.levels().end()
            ))),
            None => Ok(()),
        }
    }

    /// Checks that a window has this structure's axes, is not empty, and lies in the index space.
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) names the dimension, the axis and the cell at fault.
    pub fn check(&self, window: &Window) -> Result<()> {
        self.check_levels(window.levels(self.dimensions.len()))?;
        let levels = window.levels(self.dimensions.len());
        let (start, shape) = (window.start(), window.shape());
        if start.len() != self.rank() || shape.len() != self.rank() {
            return Err(Error::invalid(format!(
                "a window of {} by {} numbers does not fit {} axes",
                start.len(),
                shape.len(),
                self.rank()
            )));
        }
        for (axis, (d, a)) in self.axis_places().enumerate() {
            let dimension = &self.dimensions[d];
            if shape[axis] == 0 {
                return Err(Error::invalid(format!(
                    "the window is empty along axis `{}`",
                    dimension.axes()[a].name()
                )));
            }
            let first = i128::from(start[axis]) + dimension.zero(a, levels[d]);
            let last = first + i128::from(shape[axis]) - 1;
            let count = match dimension.labels() {
                Some(labels) => labels.len() as i128,
                None => {
                    i128::try_from(dimension.codes(levels[d])).unwrap_or(i128::MAX)
                        * i128::from(dimension.axes()[a].chunk())
                }
            };
            let wrong = if first < 0 {
                Some(first)
            } else {
                (last >= count).then_some(last)
            };
            if let Some(wrong) = wrong {
                return Err(self.out_of_range(
                    d,
                    a,
                    levels[d],
                    "cell",
                    wrong - dimension.zero(a, levels[d]),
                ));
            }
            if i128::from(start[axis]) + i128::from(shape[axis]) > i128::from(i64::MAX) {
                return Err(self.out_of_range(d, a, levels[d], "cell", i128::from(i64::MAX)));
            }
        }
        Ok(())
    }

    /// The chunks that a window touches: first code and count along each axis.
    pub(crate) fn chunk_box(&self, window: &Window) -> Vec<Range<u64>> {
        let levels = window.levels(self.dimensions.len());
        let (start, end) = (window.start(), window.end());
        self.axis_places()
            .enumerate()
            .map(|(axis, (d, a))| {
                let (zero, chunk) = (
                    self.dimensions[d].zero(a, levels[d]),
                    i128::from(self.dimensions[d].axes()[a].chunk()),
                );
                let code = |cell: i64| {
                    u64::try_from((i128::from(cell) + zero).div_euclid(chunk)).unwrap_or(u64::MAX)
                };
                code(start[axis])..code(end[axis] - 1).saturating_add(1)
            })
            .collect()
    }

    /// How many chunks a window touches.
    pub(crate) fn chunk_count(&self, window: &Window) -> u64 {
        self.chunk_box(window)
            .iter()
            .fold(1, |n, codes| n.saturating_mul(codes.end - codes.start))
    }

    /// Cuts a window at chunk borders. The pieces are disjoint and cover it.
    ///
    /// The window must have passed [`check`](Self::check).
    pub fn split(&self, window: &Window) -> impl Iterator<Item = Piece> + use<> {
        let levels = window.levels(self.dimensions.len());
        let boxes = self.chunk_box(window);
        let (start, end) = (window.start(), window.end());
        let count = self.chunk_count(window);
        let zeros: Vec<_> = self
            .axis_places()
            .map(|(d, a)| self.dimensions[d].zero(a, levels[d]))
            .collect();
        let chunks = self.chunk_shape();
        (0..count).map(move |mut number| {
            let mut codes = Tuple::filled(boxes.len(), 0);
            for axis in (0..boxes.len()).rev() {
                let len = boxes[axis].end - boxes[axis].start;
                codes[axis] = boxes[axis].start + number % len;
                number /= len;
            }
            let mut piece = Piece {
                location: Location { levels, codes },
                in_chunk: Tuple::filled(boxes.len(), 0),
                in_window: Tuple::filled(boxes.len(), 0),
                shape: Tuple::filled(boxes.len(), 0),
            };
            for axis in 0..boxes.len() {
                let chunk = i128::from(codes[axis]) * chunks[axis] as i128 - zeros[axis];
                let first = chunk.max(i128::from(start[axis]));
                let last = (chunk + chunks[axis] as i128).min(i128::from(end[axis]));
                piece.in_chunk[axis] = length(first - chunk);
                piece.in_window[axis] = length(first - i128::from(start[axis]));
                piece.shape[axis] = length(last - first);
            }
            piece
        })
    }

    /// The smallest window at other levels that covers a window.
    pub fn cover(&self, window: &Window, levels: Levels) -> Window {
        let from = window.levels(self.dimensions.len());
        let (start, end) = (window.start(), window.end());
        let mut first = CellIndex::from(&*start);
        let mut shape = window.shape();
        for (axis, (d, a)) in self.axis_places().enumerate() {
            let dimension = &self.dimensions[d];
            let (zero, other) = (dimension.zero(a, from[d]), dimension.zero(a, levels[d]));
            let up = i16::from(levels[d].get()) - i16::from(from[d].get());
            let (low, high) = (i128::from(start[axis]) + zero, i128::from(end[axis]) + zero);
            let (low, high) = if up >= 0 {
                (low >> up, -(-high >> up))
            } else {
                (low << -up, high << -up)
            };
            first[axis] = saturate(low - other);
            shape[axis] = u64::try_from(high - low).unwrap_or(u64::MAX);
        }
        Window::new(first, shape).at(levels)
    }

    /// The level of each dimension up to which a pyramid over `bounds` goes: where one chunk covers
    /// it, or where the declared depth above `base`, the coarsest levels of base data, ends.
    pub(crate) fn top(&self, bounds: &Window, base: Levels) -> Levels {
        let finest = bounds.levels(self.dimensions.len());
        let boxes = self.chunk_box(bounds);
        self.dimensions
            .iter()
            .enumerate()
            .map(|(d, dimension)| {
                let Some(depth) = dimension.aggregated() else {
                    return Level::ZERO;
                };
                let differing = |axis: usize| {
                    u64::BITS - (boxes[axis].start ^ (boxes[axis].end - 1)).leading_zeros()
                };
                let one_chunk = climb(finest[d], self.axes_of(d).map(differing).max().unwrap_or(0))
                    .max(base[d]);
                if let Depth::Levels(most) = depth {
                    one_chunk.min(climb(base[d], u32::from(most)))
                } else {
                    one_chunk
                }
            })
            .collect()
    }

    /// The level of each dimension up to which there can be any above `base`, the coarsest levels of
    /// base data: as far as its depth was declared, or levels go.
    pub(crate) fn summit(&self, base: Levels) -> Levels {
        let of = |(d, dimension): (usize, &Dimension)| match dimension.aggregated() {
            None => Level::ZERO,
            Some(Depth::Top) => *dimension.levels().end(),
            Some(Depth::Levels(most)) => climb(base[d], most.into()),
        };
        self.dimensions.iter().enumerate().map(of).collect()
    }

    pub(super) fn place(&self, axis: usize) -> (usize, usize) {
        let d = self.starts.partition_point(|&start| start <= axis) - 1;
        (d, axis - self.starts[d])
    }

    /// The dimension of an axis.
    pub fn dimension_of(&self, axis: usize) -> usize {
        self.place(axis).0
    }
}

pub(super) fn saturate(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

fn climb(from: Level, up: u32) -> Level {
    (0..up).fold(from, |level, _| level.coarser().unwrap_or(level))
}

/// A count of cells within a window that has passed [`Structure::check`] and fits memory.
fn length(value: i128) -> usize {
    usize::try_from(value).unwrap_or(0)
}

impl TryFrom<StructureBuilder> for Structure {
    type Error = Error;

    fn try_from(builder: StructureBuilder) -> Result<Self> {
        builder.build()
    }
}

impl From<Structure> for StructureBuilder {
    fn from(structure: Structure) -> Self {
        Self {
            dimensions: structure.dimensions,
            crs: structure.crs,
        }
    }
}
