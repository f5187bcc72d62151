//! An answer as a raster.

use std::path::Path;

use ndarray::{ArrayD, ArrayViewD, Axis};

use crate::adapter::axes::RasterAxes;
use crate::adapter::geotiff::{self, Affine, Band, Profile};
use crate::array::{Array, Cell, Cells, DType, with_view};
use crate::error::{Error, Result};
use crate::grid::Schema;
use crate::kernel::Aggregation;
use crate::reader::{Answer, Layer};
use crate::store::Grid;

use super::schema::{PIXELS, exact};

/// An answer as other programs take rasters: (y, x), or (band, y, x) where there are several bands, with its place.
///
/// Rows are in the order of the grid's, so from north to south for a grid made after a north-up file.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Raster {
    /// The cells. Those without data hold NaN in float layers, else [`nodata`](Self::nodata).
    pub array: Array,
    /// Where the cells lie; `None` for a grid whose coordinates are a file's rows and columns.
    pub affine: Option<Affine>,
    /// The coordinate reference system.
    pub crs: Option<String>,
    /// One cell that marks absent data.
    pub nodata: Option<Cells>,
    /// The names of the bands, if there are several.
    pub bands: Vec<String>,
}

impl Raster {
    /// The raster of an answer. An [`Invalid`](crate::ErrorKind::Invalid) error if the grid has further dimensions of which the
    /// answer has more than one cell.
    pub fn new(grid: &Grid, answer: &Answer) -> Result<Self> {
        let structure = grid.structure();
        let axes = RasterAxes::of(structure)?;
        let shape = answer.array.shape();
        if let Some(axis) =
            (0..shape.len()).find(|axis| ![Some(axes.y), Some(axes.x), axes.band].contains(&Some(*axis)) && shape[*axis] > 1)
        {
            let name = structure.axes().nth(axis).map_or("", crate::grid::Axis::name);
            return Err(Error::invalid(format!("a raster has no axis `{name}`, of which {} cells were read", shape[axis])));
        }
        let nodata = nodata_cell(grid.schema(), &answer.layer, answer.array.dtype());
        let blank = grid.schema().nodata().filter(|_| answer.array.dtype().is_float());
        let array = with_view!(Array, &answer.array, |cells| planes(cells.view(), axes, blank));
        let affine = affine(grid, axes, answer);
        let bands = labels(grid, axes, answer);
        Ok(Self { array, affine, crs: structure.crs().map(str::to_owned), nodata, bands })
    }

    /// The value that marks absent data.
    pub fn nodata_value(&self) -> Option<f64> {
        self.nodata.as_ref().and_then(|cell| exact(cell).ok())
    }

    /// Writes the raster as a GeoTIFF.
    pub fn write_geotiff(&self, path: impl AsRef<Path>) -> Result<()> {
        let profile = Profile {
            affine: self.affine,
            crs: self.crs.clone(),
            nodata: self.nodata.clone(),
            bands: self.bands.iter().map(|name| Band { description: Some(name.clone()), ..Band::default() }).collect(),
            ..Profile::default()
        };
        geotiff::write(path, &self.array, &profile)
    }
}

/// What marks absent data in a layer.
fn nodata_cell(schema: &Schema, layer: &Layer, dtype: DType) -> Option<Cells> {
    if *layer == Layer::Aggregate(Aggregation::Count) {
        return None;
    }
    let value = if dtype.is_float() { Some(f64::NAN) } else { schema.nodata().filter(|nodata| nodata.fract() == 0.0) };
    value.map(|value| Cells::filled(dtype, 1, value))
}

/// The cells as (band, y, x), or (y, x) where there is one band; the grid's nodata value as NaN.
fn planes<T: Cell>(cells: ArrayViewD<'_, T>, axes: RasterAxes, blank: Option<f64>) -> Array {
    let mut order: Vec<usize> = axes.band.into_iter().chain([axes.y, axes.x]).collect();
    let others: Vec<usize> = (0..cells.ndim()).filter(|axis| !order.contains(axis)).collect();
    order.splice(0..0, others);
    let mut cells = cells.permuted_axes(order);
    while cells.ndim() > 2 && cells.shape()[0] == 1 {
        cells = cells.index_axis_move(Axis(0), 0);
    }
    let mut cells: ArrayD<T> = cells.as_standard_layout().into_owned();
    if let Some(blank) = blank.map(T::from_f64) {
        let nan = T::from_f64(f64::NAN);
        cells.mapv_inplace(|cell| if cell == blank { nan } else { cell });
    }
    Array::from(cells)
}

fn affine(grid: &Grid, axes: RasterAxes, answer: &Answer) -> Option<Affine> {
    let along = |axis: usize| {
        let (lower, upper) = answer.extent.bounds()[axis];
        let cell = (upper - lower) / answer.array.shape()[axis] as f64;
        let forward = grid.structure().axes().nth(axis).is_none_or(|axis| axis.step() > 0.0);
        if forward { (lower, cell) } else { (upper, -cell) }
    };
    let ((x, dx), (y, dy)) = (along(axes.x), along(axes.y));
    let affine = Affine::from_gdal([x, dx, 0.0, y, 0.0, dy]).ok()?;
    (grid.structure().crs().is_some() || affine != PIXELS).then_some(affine)
}

fn labels(grid: &Grid, axes: RasterAxes, answer: &Answer) -> Vec<String> {
    let Some(axis) = axes.band.filter(|axis| answer.array.shape()[*axis] > 1) else { return Vec::new() };
    let structure = grid.structure();
    let labels = structure.dimensions()[structure.dimension_of(axis)].labels().unwrap_or_default();
    let first = answer.extent.bounds()[axis].0.round();
    let labels = labels.iter().enumerate().skip_while(|(number, _)| (*number as f64) < first).map(|(_, label)| label.clone());
    labels.take(answer.array.shape()[axis]).collect()
}
