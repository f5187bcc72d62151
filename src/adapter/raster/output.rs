//! An answer as a raster.

use std::path::Path;

use ndarray::{Array2, ArrayD, ArrayView2, ArrayViewD, Axis, Ix2};

use crate::adapter::axes::{INDEX, RasterAxes, line};
use crate::adapter::geotiff::{self, Affine, Band, Profile};
use crate::array::{Array, Cells, DType, Validity, with_view};
use crate::crs;
use crate::error::{Error, Result};
use crate::grid::{self, Geometry, Structure};
use crate::kernel::Aggregation;
use crate::reader::{Answer, Layer};
use crate::store::Grid;

use super::marked::Marked;
use super::schema::{DESCRIPTION, PIXELS, exact};

/// An answer as other programs take rasters: (y, x), or (band, y, x) where there are several bands,
/// with its place.
///
/// Rows are in the answer's order: the grid's, so from north to south for a grid made after a
/// north-up file, or a target's.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Raster {
    /// The cells. Those without data hold [`nodata`](Self::nodata), if there is such a value.
    pub array: Array,
    /// Which cells hold data, in the array's shape; `None` if every one does.
    pub valid: Option<ArrayD<bool>>,
    /// One cell that marks absent data, and that no cell with data has: NaN of floats, the grid's
    /// nodata value of integers or another one that is free. `None` if nothing is absent and
    /// nothing could be marked, or if every value of the type stands for data.
    pub nodata: Option<Cells>,
    /// Where the cells lie; `None` for a grid whose coordinates are a file's rows and columns.
    pub affine: Option<Affine>,
    /// The coordinate reference system.
    pub crs: Option<String>,
    /// The names of the bands; of a grid without bands the name of its variable. Empty if there are
    /// none.
    pub bands: Vec<String>,
    /// The unit of the values.
    pub unit: Option<String>,
    /// Whether rows run from south to north, and columns from east to west, so that a picture turns
    /// them round.
    pub reversed: [bool; 2],
}

impl Raster {
    /// The raster of an answer. An [`Invalid`](crate::ErrorKind::Invalid) error if the grid has
    /// further dimensions of which the answer has more than one cell.
    pub fn new(grid: &Grid, answer: &Answer) -> Result<Self> {
        let structure = grid.structure();
        let axes = RasterAxes::of(structure)?;
        let shape = answer.array.shape();
        if let Some(axis) = (0..shape.len()).find(|axis| {
            ![Some(axes.y), Some(axes.x), axes.band].contains(&Some(*axis)) && shape[*axis] > 1
        }) {
            let name = structure
                .axes()
                .nth(axis)
                .map_or("", crate::grid::Axis::name);
            return Err(Error::invalid(format!(
                "a raster has no axis `{name}`, of which {} cells were read; ask for one of them, as with `--period FROM/TO`, make one of all with `--over-time mean`, or write them to a .npy",
                shape[axis]
            )));
        }
        let array = with_view!(Array, &answer.array, |cells| Array::from(planes(
            cells.view(),
            axes
        )));
        let valid = answer.valid().map(|valid| planes(valid.view(), axes));
        let Marked {
            array,
            valid,
            nodata,
        } = Marked::new(array, valid, preferred(grid, answer));
        // Every cell has a count.
        let nodata = nodata
            .filter(|_| answer.layer != Layer::Aggregate(Aggregation::Count) || valid.is_some());
        let (affine, bands) = (affine(grid, axes, answer), labels(grid, axes, answer));
        let own = answer
            .target
            .as_ref()
            .and(affine)
            .map(|affine| [affine.dy > 0.0, affine.dx < 0.0]);
        let reversed = own.unwrap_or_else(|| reversed(structure, axes));
        let unit = grid
            .schema()
            .unit()
            .filter(|_| answer.layer.keeps_unit())
            .map(str::to_owned);
        Ok(Self {
            array,
            valid,
            nodata,
            affine,
            crs: system(structure, answer).map(str::to_owned),
            bands,
            unit,
            reversed,
        })
    }

    /// The value that marks absent data.
    pub fn nodata_value(&self) -> Option<f64> {
        self.nodata.as_ref().and_then(exact)
    }

    /// Writes the raster as a GeoTIFF.
    ///
    /// Where every value of the type stands for data, the file has a mask in place of a nodata
    /// value. One mask is all that it can have: an [`Invalid`](crate::ErrorKind::Invalid) error if
    /// bands need different ones.
    pub fn write_geotiff(&self, path: impl AsRef<Path>) -> Result<()> {
        let count = if let [bands, _, _] = *self.array.shape() {
            bands
        } else {
            1
        };
        let band = |at: usize| Band {
            description: self.bands.get(at).cloned(),
            unit: self.unit.clone(),
            ..Band::default()
        };
        let profile = Profile {
            affine: self.affine,
            crs: self.crs.clone(),
            nodata: self.nodata.clone(),
            mask: self.mask()?,
            bands: (0..count).map(band).collect(),
            ..Profile::default()
        };
        geotiff::write(path, &self.array, &profile)
    }

    /// The mask that a file needs beside its cells.
    fn mask(&self) -> Result<Option<Array2<bool>>> {
        let valid = self.valid.as_ref().filter(|_| self.nodata.is_none());
        valid
            .map(|valid| one_mask(self.array.dtype(), valid).map(|mask| mask.to_owned()))
            .transpose()
    }
}

/// The mask that is that of all bands, of which cells hold data in (y, x) or (band, y, x). An
/// [`Invalid`](crate::ErrorKind::Invalid) error if bands need different ones.
pub(super) fn one_mask(dtype: DType, valid: &ArrayD<bool>) -> Result<ArrayView2<'_, bool>> {
    let several = || {
        Error::invalid(format!(
            "every value of {dtype} occurs, and the bands have data at different places, for which a GeoTIFF has no mask; write one band at a time with `--band`, or a layer of floats"
        ))
    };
    let first = if valid.ndim() == 3 {
        valid.index_axis(Axis(0), 0)
    } else {
        valid.view()
    };
    if valid.ndim() == 3 && valid.outer_iter().any(|other| other != first) {
        return Err(several());
    }
    first.into_dimensionality::<Ix2>().map_err(|_| several())
}

/// The value that marks absent data of an answer of a grid, unless a cell with data has it: that of
/// the answer's layer, else the grid's nodata value. `None` if neither has one. What
/// [`Marked::new`] takes.
pub fn preferred(grid: &Grid, answer: &Answer) -> Option<f64> {
    match answer.validity {
        Validity::Values { nodata } => nodata,
        _ => None,
    }
    .or(grid.schema().nodata())
}

/// Whether rows and columns run against those of a picture. Of a grid in a file's rows and columns
/// nothing is known but these.
fn reversed(structure: &Structure, axes: RasterAxes) -> [bool; 2] {
    let axis = |number: usize| structure.axes().nth(number);
    let (Some(y), Some(x)) = (axis(axes.y), axis(axes.x)) else {
        return [false; 2];
    };
    let counts = |axis: &grid::Axis| {
        let unit = axis.unit_name().is_none_or(|unit| unit == INDEX);
        unit && axis.origin().total_cmp(&0.0).is_eq() && axis.step().total_cmp(&1.0).is_eq()
    };
    let of_a_file = structure.crs().is_none() && counts(y) && counts(x);
    [!of_a_file && y.step() > 0.0, x.step() < 0.0]
}

/// The cells as (band, y, x), or (y, x) where there is one band.
fn planes<T: Copy>(cells: ArrayViewD<'_, T>, axes: RasterAxes) -> ArrayD<T> {
    let mut order: Vec<usize> = axes.band.into_iter().chain([axes.y, axes.x]).collect();
    let others: Vec<usize> = (0..cells.ndim())
        .filter(|axis| !order.contains(axis))
        .collect();
    order.splice(0..0, others);
    let mut cells = cells.permuted_axes(order);
    while cells.ndim() > 2 && cells.shape()[0] == 1 {
        cells = cells.index_axis_move(Axis(0), 0);
    }
    cells.as_standard_layout().into_owned()
}

fn affine(grid: &Grid, axes: RasterAxes, answer: &Answer) -> Option<Affine> {
    let shape = answer.array.shape();
    placed(grid.structure(), axes, |axis, name| {
        let line = answer.target.as_ref().and_then(|target| target.line(name));
        line.map_or_else(
            || Side::Bounds(answer.extent.bounds()[axis], shape[axis]),
            |line| Side::Line(line.start, line.step),
        )
    })
}

/// The system that the answer's cells are in: the grid's, unless the target is of another.
fn system<'a>(structure: &'a Structure, answer: &'a Answer) -> Option<&'a str> {
    let target = answer.target.as_ref().and_then(Geometry::system);
    let other = structure.crs().zip(target);
    let other = other.filter(|(grid, target)| !crs::same(grid, target));
    other.map_or(structure.crs(), |(_, target)| Some(target))
}

/// Where cells lie along an axis.
pub(super) enum Side {
    /// Between two world coordinates, so many.
    Bounds((f64, f64), usize),
    /// From a world coordinate on, each so much further.
    Line(f64, f64),
}

/// The place of rows and columns; `None` if they are a file's own.
pub(super) fn placed(
    structure: &Structure,
    axes: RasterAxes,
    side: impl Fn(usize, &str) -> Side,
) -> Option<Affine> {
    let along = |number: usize| {
        let axis = structure.axes().nth(number);
        match side(number, axis.map_or("", grid::Axis::name)) {
            Side::Line(start, step) => (start, step),
            Side::Bounds(bounds, len) => line(structure, number, bounds, len),
        }
    };
    let ((x, dx), (y, dy)) = (along(axes.x), along(axes.y));
    let affine = Affine::from_gdal([x, dx, 0.0, y, 0.0, dy]).ok()?;
    (structure.crs().is_some() || affine != PIXELS).then_some(affine)
}

/// The name of what a grid without bands holds.
pub(super) fn described(grid: &Grid) -> Option<&str> {
    let attribute = || grid.schema().attributes().get(DESCRIPTION);
    grid.schema()
        .variable()
        .or_else(|| attribute().map(String::as_str))
}

fn labels(grid: &Grid, axes: RasterAxes, answer: &Answer) -> Vec<String> {
    let Some(axis) = axes.band else {
        return described(grid).map(str::to_owned).into_iter().collect();
    };
    let structure = grid.structure();
    let labels = structure.dimensions()[structure.dimension_of(axis)]
        .labels()
        .unwrap_or_default();
    let first = answer.extent.bounds()[axis].0.round();
    let labels = labels
        .iter()
        .enumerate()
        .skip_while(|(number, _)| (*number as f64) < first)
        .map(|(_, label)| label.clone());
    labels.take(answer.array.shape()[axis]).collect()
}
