//! Where a file's cells lie in a grid.

use crate::adapter::axes::{RasterAxes, TOLERANCE};
use crate::adapter::geotiff::{Affine, Header};
use crate::crs;
use crate::error::{Error, Result};
use crate::grid::{CellIndex, Level, Levels, Shape, Window};
use crate::store::Grid;

use super::bands::Bands;
use super::convert::check_type;
use super::remedy::{self, Footprint};
use super::schema::PIXELS;

/// The cells of a grid that a file has.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placement {
    pub(super) axes: RasterAxes,
    /// The box of all cells of the file.
    pub(super) window: Window,
    /// Whether the file's rows and columns run against the grid's.
    pub(super) reversed: [bool; 2],
    /// Where its bands lie.
    pub(super) bands: Bands,
    /// What is to be said of it.
    pub(super) notes: Vec<String>,
}

/// Finds the place of a file, or says why it has none. `at` is its cell along the axis beside rows, columns and bands.
pub(super) fn place(grid: &Grid, header: &Header, at: Option<i64>) -> Result<Placement> {
    let structure = grid.structure();
    let axes = RasterAxes::of(structure)?;
    let own = [Some(axes.y), Some(axes.x), axes.band];
    let mut others = (0..structure.rank()).filter(|axis| !own.contains(&Some(*axis)));
    let beside = match (others.next().zip(at), others.next()) {
        (Some(beside), None) => Some(beside),
        (None, None) if at.is_none() && structure.rank() == own.iter().flatten().count() => None,
        (None, None) if at.is_some() => return Err(Error::invalid("the grid has no dimension of time, and a time is given")),
        _ => {
            let axis = (0..structure.rank()).find(|axis| !own.contains(&Some(*axis))).unwrap_or_default();
            let name = structure.dimensions()[structure.dimension_of(axis)].name();
            return Err(Error::invalid(format!(
                "a raster does not say where it lies along dimension `{name}`; say it with `--time-from-name PATTERN`, like `rain-%Y%m%d.tif`, or with `--at-time TIME`"
            )));
        }
    };
    let bands = Bands::of(structure, axes, header)?;
    check_type(grid.schema(), header)?;
    check_crs(grid, header)?;
    let affine = header.affine.unwrap_or(PIXELS);
    let fit = Fit { grid, axes, affine, size: [header.height, header.width] };
    let level = fit.level()?;
    let (rows, reversed_y) = fit.along(axes.y, level)?;
    let (cols, reversed_x) = fit.along(axes.x, level)?;
    let mut start = CellIndex::from(vec![0; structure.rank()].as_slice());
    let mut shape = Shape::from(vec![1; structure.rank()].as_slice());
    (start[axes.y], shape[axes.y]) = (rows, header.height as u64);
    (start[axes.x], shape[axes.x]) = (cols, header.width as u64);
    if let Some(band) = axes.band {
        (start[band], shape[band]) = bands.range();
    }
    if let Some((axis, cell)) = beside {
        start[axis] = cell;
    }
    let levels = Levels::zero(structure.dimensions().len()).with(axes.space, level);
    let window = Window::new(start, shape).at(levels);
    structure.check(&window)?;
    let unkept = header
        .crs
        .as_deref()
        .filter(|_| structure.crs().is_none())
        .map(|crs| format!("the grid has no coordinate reference system, so the file's, {}, is not kept", crs::shown(crs)));
    let notes = bands.note.iter().cloned().chain(unkept).collect();
    Ok(Placement { axes, window, reversed: [reversed_y, reversed_x], bands, notes })
}

fn check_crs(grid: &Grid, header: &Header) -> Result<()> {
    let Some(wanted) = grid.structure().crs() else { return Ok(()) };
    let alone = "; keep it in a grid of its own, made with `gridstone create --like`";
    let Some(of_file) = header.crs.as_deref() else {
        let named = crs::argument(wanted).map_or(alone.to_owned(), |wanted| {
            format!("; if the file's is the same, say so with `gdal_translate -a_srs {wanted} FILE NAMED.tif`")
        });
        return Err(Error::invalid(format!(
            "the file has no coordinate reference system, and the grid has {}{named}",
            crs::shown(wanted)
        )));
    };
    if crs::same(of_file, wanted) {
        return Ok(());
    }
    let remedy = remedy::other_system(grid, header).map_or(alone.to_owned(), |line| {
        format!("; make a file that fits with `{line}`, where -te is as far as the grid has data")
    });
    Err(Error::invalid(format!(
        "the file's coordinate reference system, {}, is not the grid's, {}{remedy}",
        crs::shown(of_file),
        crs::shown(wanted)
    )))
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
        let exponent = |cell: f64, axis: usize| (cell / self.step(axis)).abs().log2();
        let (down, across) = (exponent(self.affine.dy, self.axes.y), exponent(self.affine.dx, self.axes.x));
        let refused = || self.refusal("its cells are not the grid's times a power of two", remedy::finer(down.min(across)));
        let level = remedy::bounded(down.round()).and_then(|level| Level::new(level).ok());
        let level = level.filter(|_| down.round() == across.round()).ok_or_else(refused)?;
        for (cell, axis, cells) in [(self.affine.dy, self.axes.y, self.size[0]), (self.affine.dx, self.axes.x, self.size[1])] {
            let ratio = (cell / (self.step(axis) * level.scale())).abs();
            // The error of one cell adds up over all of them.
            if ((ratio - 1.0) * cells as f64).abs() > TOLERANCE {
                return Err(refused());
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
        let position = |edge: f64| self.grid.structure().position(axis, level, edge);
        let (first, end) = if reversed { (position(far), position(origin)) } else { (position(origin), position(far)) };
        let nearest = first.round();
        let off = (first - nearest).abs().max((end - nearest - cells as f64).abs());
        if off.is_nan() || off > TOLERANCE {
            let off = format!(
                "its cells lie {off:.4} of a cell off the grid's along `{}`",
                self.grid.structure().axes().nth(axis).map_or("", crate::grid::Axis::name)
            );
            return Err(self.refusal(&off, level));
        }
        let first = remedy::whole(nearest).ok_or_else(|| Error::invalid("the file lies outside the grid's index space"))?;
        Ok((first, reversed))
    }

    /// The reason, and the command that makes a file that fits.
    fn refusal(&self, reason: &str, level: Level) -> Error {
        let footprint = Footprint::of(self.affine, self.size);
        match remedy::moved(self.grid, footprint, level) {
            Some(line) => Error::invalid(format!("the file does not fit the grid: {reason}; make one that does with `{line}`")),
            None => {
                Error::invalid(format!("the file does not fit the grid: {reason}, and it has less than a cell of the grid's"))
            }
        }
    }
}
