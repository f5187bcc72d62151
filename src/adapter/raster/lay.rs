//! How a file lies on the cells of a grid that are not its own.

use std::ops::Range;
#[cfg(feature = "crs")]
use std::sync::Arc;

use crate::adapter::geotiff::Header;
use crate::adapter::round;
use crate::array::DType;
#[cfg(feature = "crs")]
use crate::crs::{self, Transformation};
use crate::error::{Error, Result};
use crate::grid::Level;
use crate::kernel::{AxisMap, Resampling, ResamplingMethod};
use crate::store::Grid;

#[cfg(feature = "crs")]
use super::elsewhere::Elsewhere;
#[cfg(feature = "crs")]
use super::lattice::Lattice;
#[cfg(feature = "crs")]
use super::place;
use super::place::PlaceFrame;
use super::remedy;
use super::schema::PIXELS;

/// Cells of a block, of the grid and of the file: what is held between them is some dozens of bytes
/// a cell.
pub(super) const CELLS_MAX: f64 = if cfg!(test) { 100.0 } else { 4_194_304.0 };

/// So many cells of a file of another system for one of the grid, at most: what a cell is made of is
/// held at once.
#[cfg(feature = "crs")]
const RATIO_MAX: f64 = 65_536.0;

/// How a file lies on the cells of a grid.
#[derive(Clone, Debug)]
pub(super) enum Lay {
    /// Its rows and columns run along those of the grid.
    Lines([FileLine; 2]),
    /// It is in another system.
    #[cfg(feature = "crs")]
    Elsewhere(Arc<Elsewhere>),
}

/// A file and the cells of the grid that it touches.
pub(super) struct LaidFile {
    pub(super) frame: PlaceFrame,
    pub(super) lay: Lay,
    pub(super) level: Level,
    pub(super) rows: Range<i64>,
    pub(super) cols: Range<i64>,
    /// Cells of the file for one of the grid.
    pub(super) ratio: f64,
    pub(super) notes: Vec<String>,
}

/// Rows, or columns, of a file along an axis of the grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FileLine {
    /// Where its first cell in the grid's direction begins, in cells of the grid.
    start: f64,
    /// The cells of the grid that it touches.
    first: i64,
    end: i64,
    /// A cell of the grid in cells of the file.
    ratio: f64,
    /// How many cells the file has.
    len: usize,
    /// Whether the file runs against the grid.
    pub(super) reversed: bool,
}

impl Lay {
    /// How many cells of the grid are made at once at most, and how many side by side, where one is
    /// made of so many of the file.
    pub(super) fn most(&self, ratio: f64) -> (f64, i64) {
        match self {
            Self::Lines(_) => (CELLS_MAX / ratio.max(1.0), i64::MAX),
            // Rows and columns of the file run across those of the grid: squares touch the fewest.
            #[cfg(feature = "crs")]
            Self::Elsewhere(_) => {
                let most = CELLS_MAX / 2.0 / ratio.max(1.0);
                (most, remedy::whole(most.sqrt().floor()).unwrap_or(1))
            }
        }
    }
}

/// A file of the grid's system. In a grid with a dimension beside rows, columns and bands, `at` is
/// its cell along it.
pub(super) fn along(
    grid: &Grid,
    header: &Header,
    at: Option<i64>,
    (resampling, level): (Resampling, Option<Level>),
) -> Result<LaidFile> {
    let frame = PlaceFrame::of(grid, header, at)?;
    check_totals(grid, resampling)?;
    let (affine, axes) = (header.affine.unwrap_or(PIXELS), frame.axes);
    let level = match level {
        Some(level) => level,
        None => remedy::fitting(grid, axes, [affine.dy, affine.dx])?,
    };
    let mut lines = [
        FileLine::of(grid, axes.y, level, (affine.y, affine.dy), header.height)?,
        FileLine::of(grid, axes.x, level, (affine.x, affine.dx), header.width)?,
    ];
    let circle =
        round::circle_of(grid.structure(), axes.x, level).filter(|_| header.affine.is_some());
    // A cell that both ends of the file touch is one.
    let seam = circle.filter(|circle| lines[1].end - lines[1].first == circle + 1);
    let seam = seam.map(|_| grid.structure().edge(axes.x, level, lines[1].first));
    if let Some(edge) = seam.filter(|_| resampling == Resampling::Sum) {
        return Err(Error::invalid(format!(
            "both ends of the file lie in one cell of the grid, which begins at {edge}, and `sum` would take the part of one end only; keep it in a grid of its own, made with `gridstone create STORE TOTALS --like FILE`"
        )));
    }
    if seam.is_some() {
        lines[1].leave_to_larger_end();
    }
    let seam = seam.map(|edge| {
        format!(
            "both its ends lie in the cell of the grid that begins at {edge}, which is made of the end that has more of it"
        )
    });
    let laid =
        format!("its cells are laid onto the grid's at level {level} by resampling ({resampling})");
    Ok(LaidFile {
        frame,
        level,
        rows: lines[0].first..lines[0].end,
        cols: lines[1].first..lines[1].end,
        ratio: lines[0].ratio * lines[1].ratio,
        notes: [laid].into_iter().chain(seam).collect(),
        lay: Lay::Lines(lines),
    })
}

/// A file of another system, if that is transformed to the grid's.
#[cfg(feature = "crs")]
pub(super) fn elsewhere(
    grid: &Grid,
    header: &Header,
    at: Option<i64>,
    (resampling, level): (Resampling, Option<Level>),
) -> Result<Option<LaidFile>> {
    let Some((own, wanted)) = place::elsewhere(grid, header) else {
        return Ok(None);
    };
    let Ok(way) = Transformation::between(own, wanted) else {
        return Ok(None);
    };
    let frame = PlaceFrame::of_any_system(grid, header, at)?;
    check_totals(grid, resampling)?;
    let (here, lattice) = Elsewhere::of(grid, header, way, level)?;
    let Lattice {
        level,
        rows,
        cols,
        finer_by: [down, across],
    } = lattice;
    let ratio = level.scale() / down * level.scale() / across;
    if ratio > RATIO_MAX {
        return Err(Error::invalid(format!(
            "the cells of level {level} hold more than {RATIO_MAX} of the file's each, which is in another system; ask for a finer level with `--level`, of which the grid makes the coarser ones"
        )));
    }
    let note = format!(
        "its cells are laid onto the grid's at level {level} from {} by resampling ({resampling})",
        crs::shown(own)
    );
    Ok(Some(LaidFile {
        frame,
        lay: Lay::Elsewhere(Arc::new(here)),
        level,
        rows,
        cols,
        ratio,
        notes: vec![note],
    }))
}

/// Refuses totals in a grid of integers.
pub(super) fn check_totals(grid: &Grid, resampling: Resampling) -> Result<()> {
    let dtype = grid.schema().dtype();
    if resampling == Resampling::Sum && !dtype.is_float() {
        Err(no_totals(dtype))
    } else {
        Ok(())
    }
}

/// That a grid of a type keeps no totals.
fn no_totals(dtype: DType) -> Error {
    Error::invalid(format!(
        "the parts of cells that `sum` adds up are no whole numbers, and the grid's cells are {dtype}; keep totals in a grid of their own, made with `gridstone create STORE TOTALS --like FILE --dtype float64`"
    ))
}

impl FileLine {
    fn of(
        grid: &Grid,
        axis: usize,
        level: Level,
        (origin, cell): (f64, f64),
        cells: usize,
    ) -> Result<Self> {
        let position = |edge: f64| grid.structure().position(axis, level, edge);
        let (a, b) = (position(origin), position(origin + cell * cells as f64));
        let (start, end) = (a.min(b), a.max(b));
        let ratio = cells as f64 / (end - start);
        // What the maps of blocks take for nothing too, so that the file has no part that is in no
        // cell.
        let nothing = 1e-6 * ratio.recip().min(1.0);
        let (first, last) = (
            remedy::whole((start + nothing).floor()),
            remedy::whole((end - nothing).ceil()),
        );
        match first.zip(last).filter(|(first, last)| first < last) {
            Some((first, last)) => Ok(Self {
                start,
                first,
                end: last,
                ratio,
                len: cells,
                reversed: b < a,
            }),
            None => Err(Error::invalid(format!(
                "the file has no cell of level {level} of the grid; ask for a finer one with `--level`"
            ))),
        }
    }

    /// Leaves the first or the last cell of the grid, which are one, to the end of the file that
    /// has more of it.
    fn leave_to_larger_end(&mut self) {
        let end = self.start + self.len as f64 / self.ratio;
        if end - (self.end - 1) as f64 > (self.first + 1) as f64 - self.start {
            self.first += 1;
        } else {
            self.end -= 1;
        }
    }

    /// The cells of the file, in the grid's direction, of which some cells of the grid are made;
    /// and how these lie on them.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number of cells, within the file"
    )]
    pub(super) fn map(
        &self,
        cells: &Range<i64>,
        method: ResamplingMethod,
    ) -> (Range<usize>, AxisMap) {
        let reach = method.reach(self.ratio);
        let edge = |cell: i64| (cell as f64 - self.start) * self.ratio;
        let clamped = |position: f64| position.clamp(0.0, self.len as f64) as usize;
        let from = clamped((edge(cells.start) - reach).floor() - 1.0).min(self.len - 1);
        let to = clamped((edge(cells.end) + reach).ceil() + 1.0).max(from + 1);
        let len = usize::try_from(cells.end.abs_diff(cells.start)).unwrap_or(usize::MAX);
        (
            from..to,
            AxisMap {
                start: edge(cells.start) - from as f64,
                ratio: self.ratio,
                len,
            },
        )
    }

    /// Cells in the grid's direction as the file numbers them.
    pub(super) fn of_file(&self, cells: &Range<usize>) -> Range<usize> {
        if self.reversed {
            self.len - cells.end..self.len - cells.start
        } else {
            cells.clone()
        }
    }
}
