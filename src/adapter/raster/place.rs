//! Where a file's cells lie in a grid.

use crate::adapter::axes::{RasterAxes, TOLERANCE};
use crate::adapter::geotiff::{self, Affine, Header};
use crate::adapter::round::{self, ColumnRuns};
use crate::crs;
use crate::error::{Error, Result};
use crate::grid::{CellIndex, Level, Levels, Shape, Window};
use crate::store::Grid;

use super::bands::{BandRun, Bands};
use super::convert::check_type;
use super::remedy::{self, WorldBox};
use super::schema::{DESCRIPTION, PIXELS, check_placed, description};

/// The cells of a grid that a file has.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placement {
    pub(super) axes: RasterAxes,
    /// The box of all its rows and bands; its columns are those of the first of
    /// [`columns`](Self::columns).
    window: Window,
    /// Where its columns lie, in the grid's direction.
    pub(super) columns: Vec<ColumnRuns>,
    /// Whether the file's rows and columns run against the grid's.
    pub(super) reversed: [bool; 2],
    /// Where its bands lie.
    pub(super) bands: Bands,
    /// What is to be said of it.
    pub(super) notes: Vec<String>,
}

impl Placement {
    /// The level of space at which its cells lie.
    pub(super) fn level(&self, dimensions: usize) -> Level {
        self.window.levels(dimensions)[self.axes.space]
    }

    /// The boxes of all cells of the file.
    pub(super) fn windows(&self) -> Vec<Window> {
        let of = |columns: &ColumnRuns| {
            self.window.along(
                self.axes.x,
                columns.cell,
                columns.columns.end - columns.columns.start,
            )
        };
        self.columns.iter().map(of).collect()
    }

    /// The cells that some bands and columns of a part of the file have, the first column being
    /// that of a cell.
    pub(super) fn window_of(
        &self,
        height: usize,
        part: &geotiff::ImageWindow,
        run: &BandRun,
        cell: i64,
        cols: usize,
    ) -> Window {
        let rows = if self.reversed[0] {
            height - part.rows.end
        } else {
            part.rows.start
        };
        let first = self.window.start()[self.axes.y].saturating_add_unsigned(rows as u64);
        let window = self
            .window
            .along(self.axes.y, first, part.rows.len() as u64)
            .along(self.axes.x, cell, cols as u64);
        match self.axes.band {
            Some(band) => window.along(
                band,
                i64::try_from(run.at).unwrap_or(i64::MAX),
                run.bands.len() as u64,
            ),
            None => window,
        }
    }
}

/// What is known of a file's place besides its rows and columns.
#[derive(Clone, Debug)]
pub(super) struct PlaceFrame {
    pub(super) axes: RasterAxes,
    /// The axis beside rows, columns and bands, and the file's cell along it.
    beside: Option<(usize, i64)>,
    pub(super) bands: Bands,
    /// What is to be said of it.
    pub(super) notes: Vec<String>,
}

impl PlaceFrame {
    /// Says why a file has no place in a grid, unless that is for its rows and columns. `at` is its
    /// cell along the axis beside them.
    pub(super) fn of(grid: &Grid, header: &Header, at: Option<i64>) -> Result<Self> {
        Self::in_system(grid, header, at, &check_crs)
    }

    /// The same of a file whose system another has looked at.
    #[cfg(feature = "crs")]
    pub(super) fn of_any_system(grid: &Grid, header: &Header, at: Option<i64>) -> Result<Self> {
        Self::in_system(grid, header, at, &|_, _| Ok(()))
    }

    fn in_system(
        grid: &Grid,
        header: &Header,
        at: Option<i64>,
        check_system: &dyn Fn(&Grid, &Header) -> Result<()>,
    ) -> Result<Self> {
        let structure = grid.structure();
        let axes = RasterAxes::of(structure)?;
        let own = [Some(axes.y), Some(axes.x), axes.band];
        let mut rest = (0..structure.rank()).filter(|axis| !own.contains(&Some(*axis)));
        let beside = match (rest.next().zip(at), rest.next()) {
            (Some(beside), None) => Some(beside),
            (None, None) if at.is_none() && structure.rank() == own.iter().flatten().count() => {
                None
            }
            (None, None) if at.is_some() => {
                return Err(Error::invalid(
                    "the grid has no dimension of time, and a time is given",
                ));
            }
            _ => {
                let axis = (0..structure.rank())
                    .find(|axis| !own.contains(&Some(*axis)))
                    .unwrap_or_default();
                let name = structure.dimensions()[structure.dimension_of(axis)].name();
                return Err(Error::invalid(format!(
                    "a raster does not say where it lies along dimension `{name}`; say it with `--time-from-name PATTERN`, like `rain-%Y%m%d.tif`, or with `--at-time TIME`"
                )));
            }
        };
        let bands = Bands::of(structure, axes, header)?;
        check_type(grid.schema(), header)?;
        check_system(grid, header)?;
        if structure.crs().is_some() {
            check_placed(header)?;
        }
        let unkept = header.crs.as_deref().filter(|_| structure.crs().is_none());
        let unkept = unkept.map(|crs| {
            format!(
                "the grid has no coordinate reference system, so the file's, {}, is not kept",
                crs::shown(crs)
            )
        });
        let known = grid
            .schema()
            .attributes()
            .get(DESCRIPTION)
            .filter(|_| axes.band.is_none());
        let other = known
            .zip(description(header))
            .filter(|(known, name)| known != name);
        let other = other.map(|(known, name)| {
            format!("its band is `{name}`, and the grid was made after one called `{known}`")
        });
        let notes = bands
            .note
            .iter()
            .cloned()
            .chain(unkept)
            .chain(other)
            .collect();
        Ok(Self {
            axes,
            beside,
            bands,
            notes,
        })
    }

    /// The cells of a level that have some rows and columns, given by the first and how many there
    /// are.
    pub(super) fn window(
        &self,
        grid: &Grid,
        level: Level,
        rows: (i64, u64),
        columns: (i64, u64),
    ) -> Window {
        let structure = grid.structure();
        let levels = Levels::zero(structure.dimensions().len()).with(self.axes.space, level);
        let ones = (
            CellIndex::from(vec![0; structure.rank()].as_slice()),
            Shape::from(vec![1; structure.rank()].as_slice()),
        );
        let window = Window::new(ones.0, ones.1)
            .at(levels)
            .along(self.axes.y, rows.0, rows.1);
        let window = window.along(self.axes.x, columns.0, columns.1);
        let window = match self.axes.band {
            Some(band) => window.along(band, self.bands.range().0, self.bands.range().1),
            None => window,
        };
        self.beside
            .map_or(window, |(axis, cell)| window.along(axis, cell, 1))
    }
}

/// Whether the cells of a file are those of a level of a grid: in its system, of its size times a
/// power of two, and aligned within [`TOLERANCE`] cells, whatever else keeps the file out. Where
/// they are not, a [`ResampledSource`](super::ResampledSource) lays the file onto the grid.
pub fn fits(grid: &Grid, header: &Header) -> bool {
    if elsewhere(grid, header).is_some() {
        return false;
    }
    let Ok(axes) = RasterAxes::of(grid.structure()) else {
        return false;
    };
    let fit = Fit {
        grid,
        axes,
        affine: header.affine.unwrap_or(PIXELS),
        size: [header.height, header.width],
    };
    fit.level().is_ok_and(|level| {
        [axes.y, axes.x]
            .into_iter()
            .all(|axis| fit.along(axis, level).is_ok())
    })
}

/// Finds the place of a file, or says why it has none. `at` is its cell along the axis beside rows,
/// columns and bands, and other windows will be put before it.
pub(super) fn place(
    grid: &Grid,
    header: &Header,
    at: Option<i64>,
    others: &[Window],
) -> Result<Placement> {
    let structure = grid.structure();
    let frame = PlaceFrame::of(grid, header, at)?;
    let axes = frame.axes;
    let affine = header.affine.unwrap_or(PIXELS);
    let fit = Fit {
        grid,
        axes,
        affine,
        size: [header.height, header.width],
    };
    let level = fit.level()?;
    let (rows, reversed_y) = fit.along(axes.y, level)?;
    let (cols, reversed_x) = fit.along(axes.x, level)?;
    let levels = Levels::zero(structure.dimensions().len()).with(axes.space, level);
    let circle = round::circle_of(structure, axes.x, level).filter(|_| header.affine.is_some());
    let once = |circle: i64| {
        format!(
            "gdal_translate -srcwin 0 0 {circle} {} FILE ONCE.tif",
            header.height
        )
    };
    let taken = || round::taken(grid, others, axes.x, levels);
    let columns = round::laid(cols, header.width as u64, circle, taken, once)?;
    let first = (
        columns[0].cell,
        columns[0].columns.end - columns[0].columns.start,
    );
    let window = frame.window(grid, level, (rows, header.height as u64), first);
    let PlaceFrame { bands, notes, .. } = frame;
    Ok(Placement {
        axes,
        window,
        columns,
        reversed: [reversed_y, reversed_x],
        bands,
        notes,
    })
}

/// What is told of a file without a coordinate reference system where the one of the grid is
/// `wanted`; `otherwise` helps where GDAL does not know that.
pub(super) fn nameless(wanted: &str, otherwise: &str) -> Error {
    let named = crs::argument(wanted).map_or(otherwise.to_owned(), |wanted| {
        format!("; if the file's is the same, say so with `gdal_translate -a_srs {wanted} FILE NAMED.tif`")
    });
    Error::invalid(format!(
        "the file has no coordinate reference system, and the grid has {}{named}",
        crs::shown(wanted)
    ))
}

/// The system of a file and that of a grid, where they are two.
pub(super) fn elsewhere<'a>(grid: &'a Grid, header: &'a Header) -> Option<(&'a str, &'a str)> {
    let systems = header.crs.as_deref().zip(grid.structure().crs());
    systems.filter(|(own, wanted)| !crs::same(own, wanted))
}

/// Why a file cannot be laid onto a grid of another system; `None` if it can be.
fn why_not_laid(own: &str, wanted: &str) -> Option<String> {
    if cfg!(feature = "gdal") {
        return None;
    }
    crs::Transformation::between(own, wanted).err()
}

fn check_crs(grid: &Grid, header: &Header) -> Result<()> {
    let Some(wanted) = grid.structure().crs() else {
        return Ok(());
    };
    let alone = "; keep it in a grid of its own, made with `gridstone create --like`";
    let Some(of_file) = header.crs.as_deref() else {
        return Err(nameless(wanted, alone));
    };
    if crs::same(of_file, wanted) {
        return Ok(());
    }
    let remedy = remedy::other_system(grid, header)?.map_or(alone.to_owned(), |line| {
        format!("; make a file that fits with `{line}`, where -te is as far as the grid has data")
    });
    let named = crs::argument(wanted).filter(|_| crs::may_be_same(of_file, wanted)).map_or(String::new(), |wanted| {
        format!("; or, as they are the same but for a datum that one does not name, say that both are one with `gdal_translate -a_srs {wanted} FILE NAMED.tif`")
    });
    let laid = match why_not_laid(of_file, wanted) {
        None => "; lay it onto the grid's cells with `--resampling bilinear` (or nearest, cubic, area, min, max, mode, sum)".to_owned(),
        Some(why) => format!(", and is not laid onto its cells here: {why}"),
    };
    Err(Error::invalid(format!(
        "the file's coordinate reference system, {}, is not the grid's, {}{laid}{remedy}{named}",
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
    /// The level whose cells have the size of the file's.
    fn level(&self) -> Result<Level> {
        let (down, across) = (
            remedy::exponent(self.grid, self.axes.y, self.affine.dy),
            remedy::exponent(self.grid, self.axes.x, self.affine.dx),
        );
        let refused = || {
            self.refusal(
                "its cells are not the grid's times a power of two",
                remedy::finer(down.min(across)),
            )
        };
        let level = remedy::bounded(down.round()).and_then(|level| Level::new(level).ok());
        let level = level
            .filter(|_| down.round() == across.round())
            .ok_or_else(refused)?;
        for (cell, axis, cells) in [
            (self.affine.dy, self.axes.y, self.size[0]),
            (self.affine.dx, self.axes.x, self.size[1]),
        ] {
            let ratio = (cell / (remedy::step(self.grid, axis) * level.scale())).abs();
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
        let reversed = (cell < 0.0) != (remedy::step(self.grid, axis) < 0.0);
        let far = origin + cell * cells as f64;
        let position = |edge: f64| self.grid.structure().position(axis, level, edge);
        let (first, end) = if reversed {
            (position(far), position(origin))
        } else {
            (position(origin), position(far))
        };
        let nearest = first.round();
        let off = (first - nearest)
            .abs()
            .max((end - nearest - cells as f64).abs());
        if off.is_nan() || off > TOLERANCE {
            let off = format!(
                "its cells lie {off:.4} of a cell off the grid's along `{}`",
                self.grid
                    .structure()
                    .axes()
                    .nth(axis)
                    .map_or("", crate::grid::Axis::name)
            );
            return Err(self.refusal(&off, level));
        }
        let first = remedy::whole(nearest)
            .ok_or_else(|| Error::invalid("the file lies outside the grid's index space"))?;
        Ok((first, reversed))
    }

    /// The reason, and the command that makes a file that fits.
    fn refusal(&self, reason: &str, level: Level) -> Error {
        let footprint = WorldBox::of(self.affine, self.size);
        match remedy::moved(self.grid, footprint, level) {
            Ok(Some(line)) => Error::invalid(format!(
                "the file does not fit the grid: {reason}; lay it onto the grid's cells with `--resampling bilinear` (or nearest, cubic, area, min, max, mode, sum), or make a file that fits with `{line}`"
            )),
            Ok(None) => Error::invalid(format!(
                "the file does not fit the grid: {reason}, and it has less than a cell of the grid's"
            )),
            Err(cause) => cause,
        }
    }
}
