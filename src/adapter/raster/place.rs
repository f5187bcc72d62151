//! Where a file's cells lie in a grid.

use crate::adapter::axes::RasterAxes;
use crate::adapter::geotiff::{Affine, Header};
use crate::error::{Error, Result};
use crate::grid::{CellIndex, Level, Levels, Shape, Structure, Window};
use crate::store::Grid;

use super::convert::check_type;
use super::schema::PIXELS;

/// How far the edges of a file may be from those of the grid's cells, in cells.
pub const TOLERANCE: f64 = 1e-6;

/// The cells of a grid that a file has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Placement {
    pub(super) axes: RasterAxes,
    /// All cells of the file.
    pub(super) window: Window,
    /// Whether the file's rows and columns run against the grid's.
    pub(super) reversed: [bool; 2],
}

/// Finds the place of a file, or says why it has none.
pub(super) fn place(grid: &Grid, header: &Header) -> Result<Placement> {
    let structure = grid.structure();
    let axes = RasterAxes::of(structure)?;
    if let Some(other) = (0..structure.rank()).find(|axis| ![Some(axes.y), Some(axes.x), axes.band].contains(&Some(*axis))) {
        let name = structure.dimensions()[structure.dimension_of(other)].name();
        return Err(Error::invalid(format!("a raster does not say where it lies along dimension `{name}`")));
    }
    check_bands(structure, axes, header)?;
    check_type(grid.schema(), header)?;
    check_crs(grid, header)?;
    let affine = header.affine.unwrap_or(PIXELS);
    let fit = Fit { grid, axes, affine, size: [header.height, header.width] };
    let level = fit.level()?;
    let (rows, reversed_y) = fit.along(axes.y, level)?;
    let (cols, reversed_x) = fit.along(axes.x, level)?;
    let mut start = CellIndex::from(vec![0; structure.rank()].as_slice());
    let mut shape = Shape::from(vec![header.bands.len() as u64; structure.rank()].as_slice());
    (start[axes.y], shape[axes.y]) = (rows, header.height as u64);
    (start[axes.x], shape[axes.x]) = (cols, header.width as u64);
    let levels = Levels::zero(structure.dimensions().len()).with(axes.space, level);
    let window = Window::new(start, shape).at(levels);
    structure.check(&window)?;
    Ok(Placement { axes, window, reversed: [reversed_y, reversed_x] })
}

fn check_bands(structure: &Structure, axes: RasterAxes, header: &Header) -> Result<()> {
    let labels = axes.band.and_then(|axis| structure.dimensions()[structure.dimension_of(axis)].labels()).map_or(1, <[_]>::len);
    let bands = header.bands.len();
    if labels == bands {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the file has {bands} band(s), the grid {labels}; choose bands with `gdal_translate -b`, or stack files with `gdalbuildvrt -separate`"
    )))
}

fn check_crs(grid: &Grid, header: &Header) -> Result<()> {
    let Some(wanted) = grid.structure().crs() else { return Ok(()) };
    match header.crs.as_deref() {
        Some(crs) if crs.trim().eq_ignore_ascii_case(wanted.trim()) => Ok(()),
        Some(crs) => Err(Error::invalid(format!(
            "the file's coordinate reference system, {}, is not the grid's, {}; make a file that fits with `{}`",
            shortened(crs),
            shortened(wanted),
            warp_to(grid, None)
        ))),
        None => Err(Error::invalid(format!(
            "the file has no coordinate reference system, and the grid has {0}; if the file's is the same, say so with `gdal_translate -a_srs {0} FILE NAMED.tif`",
            shortened(wanted)
        ))),
    }
}

/// The first words of a long definition.
fn shortened(crs: &str) -> String {
    if crs.chars().count() <= 48 { crs.to_owned() } else { crs.chars().take(45).chain("...".chars()).collect() }
}

struct Fit<'a> {
    grid: &'a Grid,
    axes: RasterAxes,
    affine: Affine,
    size: [usize; 2],
}

impl Fit<'_> {
    fn step(&self, axis: usize) -> f64 {
        self.grid.structure().axes().nth(axis).map_or(1.0, crate::grid::Axis::step)
    }

    /// The level whose cells have the size of the file's.
    fn level(&self) -> Result<Level> {
        let exponent = |cell: f64, axis: usize| (cell / self.step(axis)).abs().log2().round();
        let (down, across) = (exponent(self.affine.dy, self.axes.y), exponent(self.affine.dx, self.axes.x));
        let level = bounded(down).and_then(|level| Level::new(level).ok()).filter(|_| (down - across).abs() < 0.5);
        let level = level.ok_or_else(|| self.refusal("its cells are not the grid's times a power of two", Level::ZERO))?;
        for (cell, axis, cells) in [(self.affine.dy, self.axes.y, self.size[0]), (self.affine.dx, self.axes.x, self.size[1])] {
            let ratio = (cell / (self.step(axis) * level.scale())).abs();
            // The error of one cell adds up over all of them.
            if ((ratio - 1.0) * cells as f64).abs() > TOLERANCE {
                return Err(self.refusal("its cells are not the grid's times a power of two", level));
            }
        }
        Ok(level)
    }

    /// The first cell along an axis, and whether the file runs against the axis.
    fn along(&self, axis: usize, level: Level) -> Result<(i64, bool)> {
        let (origin, cell, cells) = if axis == self.axes.y {
            (self.affine.y, self.affine.dy, self.size[0])
        } else {
            (self.affine.x, self.affine.dx, self.size[1])
        };
        let reversed = (cell < 0.0) != (self.step(axis) < 0.0);
        let far = origin + cell * cells as f64;
        let first = self.grid.structure().position(axis, level, if reversed { far } else { origin });
        let nearest = first.round();
        if (first - nearest).abs() > TOLERANCE {
            let off = format!(
                "its cells lie {:.6} of a cell off the grid's along `{}`",
                (first - nearest).abs(),
                self.grid.structure().axes().nth(axis).map_or("", crate::grid::Axis::name)
            );
            return Err(self.refusal(&off, level));
        }
        let first = whole(nearest).ok_or_else(|| Error::invalid("the file lies outside the grid's index space"))?;
        Ok((first, reversed))
    }

    /// The reason, and the command that makes a file that fits.
    fn refusal(&self, reason: &str, nearest: Level) -> Error {
        let level = self.grid.base_levels().ok().flatten().map_or(nearest, |base| base[self.axes.space]);
        let [height, width] = self.size;
        let (y, x) = (self.affine.y, self.affine.x);
        let (below, right) = (y + self.affine.dy * height as f64, x + self.affine.dx * width as f64);
        let bounds = |axis: usize, a: f64, b: f64| {
            let structure = self.grid.structure();
            let (p, q) = (structure.position(axis, level, a), structure.position(axis, level, b));
            let (first, last) = (whole((p.min(q) + 1e-6).floor())?, whole((p.max(q) - 1e-6).ceil())?);
            let (a, b) = (structure.edge(axis, level, first), structure.edge(axis, level, last));
            Some([a.min(b), a.max(b)])
        };
        let place = bounds(self.axes.x, x, right).zip(bounds(self.axes.y, y, below)).map(|([w, e], [s, n])| [w, s, e, n]);
        Error::invalid(format!(
            "the file does not fit the grid: {reason}; make one that does with `{}`",
            warp_to(self.grid, place.map(|place| (level, place)))
        ))
    }
}

/// A `gdalwarp` line for a file on the grid's cells: at a place, or else where the grid has data.
fn warp_to(grid: &Grid, place: Option<(Level, [f64; 4])>) -> String {
    let structure = grid.structure();
    let Ok(axes) = RasterAxes::of(structure) else { return "gdalwarp".to_owned() };
    let base = grid.base_levels().ok().flatten().map(|base| base[axes.space]);
    let level = place.map(|(level, _)| level).or(base).unwrap_or(Level::ZERO);
    let known = || {
        let extent = grid.extent().ok().flatten()?;
        let ((south, north), (west, east)) = (extent.bounds()[axes.y], extent.bounds()[axes.x]);
        Some([west, south, east, north])
    };
    let mut line = "gdalwarp".to_owned();
    if let Some(crs) = structure.crs().filter(|crs| crs.len() <= 48) {
        line += &format!(" -t_srs {crs}");
    }
    let step = |axis: usize| structure.axes().nth(axis).map_or(1.0, |axis| axis.step().abs()) * level.scale();
    line += &format!(" -tr {} {}", step(axes.x), step(axes.y));
    if let Some([west, south, east, north]) = place.map(|(_, place)| place).or_else(known) {
        line += &format!(" -te {west} {south} {east} {north}");
    }
    line + " FILE FITTING.tif"
}

/// A level's number, if it can be one.
#[expect(clippy::cast_possible_truncation, reason = "whole and within the bounds of i8")]
fn bounded(exponent: f64) -> Option<i8> {
    (exponent.is_finite() && exponent.abs() < 100.0).then_some(exponent as i8)
}

/// A whole number within the index space.
#[expect(clippy::cast_possible_truncation, reason = "whole and of at most 2^62")]
fn whole(cell: f64) -> Option<i64> {
    (cell.is_finite() && cell.abs() < 4e18).then_some(cell as i64)
}
