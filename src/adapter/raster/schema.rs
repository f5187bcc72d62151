//! A grid after a file.

use crate::adapter::geotiff::{Affine, Header};
use crate::array::{Cell, Cells, DType, with_cells};
use crate::error::{Error, Result};
use crate::grid::{Axis, Dimension, Schema, Structure};
use crate::kernel::Aggregation;

/// What a grid made after a file has that the file does not say.
#[derive(Clone, Debug, PartialEq)]
pub struct Like {
    /// Rows and columns of a chunk, a power of two.
    pub chunk: u32,
    /// A dimension of time in front, if rasters of several times are kept.
    pub time: Option<Dimension>,
    /// The nodata value, in place of the file's.
    pub nodata: Option<f64>,
    /// The type of the cells, in place of that of the file's values.
    pub dtype: Option<DType>,
    /// The layers of aggregates.
    pub aggregators: Vec<Aggregation>,
}

impl Default for Like {
    fn default() -> Self {
        Self {
            chunk: 256,
            time: None,
            nodata: None,
            dtype: None,
            aggregators: vec![Aggregation::Mean],
        }
    }
}

/// Refuses a file that has a system but no place in it: where its cells lie nobody knows.
pub(super) fn check_placed(header: &Header) -> Result<()> {
    match header.affine {
        Some(_) => Ok(()),
        None => Err(Error::invalid(
            "it does not say where it lies (no scale with a tie point, no transformation, no world file); place it with `gdal_translate -a_ullr WEST NORTH EAST SOUTH FILE PLACED.tif`",
        )),
    }
}

/// The schema of a grid whose level 0 has the cells of a file. See the [module](super).
pub fn schema_like(header: &Header, like: &Like) -> Result<Schema> {
    if header.crs.is_some() {
        check_placed(header)?;
    }
    let affine = header.affine.unwrap_or(PIXELS);
    let mut structure = like
        .time
        .iter()
        .cloned()
        .fold(Structure::builder(), |builder, time| {
            builder.dimension(time)
        });
    if header.bands.len() > 1 {
        structure = structure.dimension(Dimension::fixed("band", labels(header)));
    }
    let axes = [
        Axis::new("y", affine.y, affine.dy, like.chunk),
        Axis::new("x", affine.x, affine.dx, like.chunk),
    ];
    structure = structure.dimension(Dimension::regular("space", axes));
    if let Some(crs) = &header.crs {
        structure = structure.crs(crs);
    }
    let mut schema = Schema::builder(
        structure.build()?,
        like.dtype.unwrap_or_else(|| header.values()),
    );
    let nodata = match (like.nodata, &header.nodata) {
        (Some(nodata), _) => Some(nodata),
        // What is packed becomes floats, which have NaN.
        (None, Some(cell)) if header.bands.iter().all(|band| band.packing().is_none()) => {
            // What no double is, is kept beside the cells.
            exact(cell)
        }
        (None, _) => None,
    };
    if let Some(nodata) = nodata {
        schema = schema.nodata(nodata);
    }
    if let Some(unit) = header.unit() {
        schema = schema.unit(unit);
    }
    if let Some(name) = description(header) {
        schema = schema.attribute(DESCRIPTION, name);
    }
    like.aggregators
        .iter()
        .fold(schema, |schema, aggregator| {
            schema.aggregator(aggregator.clone())
        })
        .build()
}

/// The attribute of a grid without bands that has the name of the band which it was made after.
pub(super) const DESCRIPTION: &str = "description";

/// The name of the only band of a file, if it has one that a grid keeps.
pub(super) fn description(header: &Header) -> Option<&str> {
    let [band] = header.bands.as_slice() else {
        return None;
    };
    let name = band.description.as_deref().map(str::trim);
    name.filter(|name| (1..=Schema::TEXT_MAX).contains(&name.len()))
}

/// Where the cells of a file without georeferencing lie.
pub(super) const PIXELS: Affine = Affine {
    x: 0.0,
    y: 0.0,
    dx: 1.0,
    dy: 1.0,
};

/// The names of the bands, or their numbers from 1 unless every band has a name of its own.
fn labels(header: &Header) -> Vec<String> {
    let numbers = || {
        (1..=header.bands.len())
            .map(|number| number.to_string())
            .collect()
    };
    header.band_names().map_or_else(numbers, |names| {
        names.into_iter().map(str::to_owned).collect()
    })
}

/// A cell as a double; `None` of an integer that no double is.
pub(super) fn exact(cell: &Cells) -> Option<f64> {
    fn of<T: Cell>(cells: &[T]) -> Option<f64> {
        let cell = *cells.first()?;
        let value = cell.to_f64();
        (cell.is_nan() || T::from_f64(value) == cell).then_some(value)
    }
    with_cells!(cell, |cells| of(cells))
}
