//! From a file's cells to the grid's.

use crate::adapter::cells::widens;
use crate::adapter::geotiff::Header;
use crate::array::{Array, Cell, Cells, DType, with_dtype, with_view};
use crate::error::{Error, Result};
use crate::grid::Schema;

use super::schema::exact;

/// The name that GDAL gives a type.
fn gdal_name(dtype: DType) -> &'static str {
    match dtype {
        DType::U8 => "Byte",
        DType::I8 => "Int8",
        DType::U16 => "UInt16",
        DType::I16 => "Int16",
        DType::U32 => "UInt32",
        DType::I32 => "Int32",
        DType::U64 => "UInt64",
        DType::I64 => "Int64",
        DType::F32 => "Float32",
        DType::F64 => "Float64",
    }
}

/// Refuses a file whose cells or whose nodata the grid cannot hold.
pub(super) fn check_type(schema: &Schema, header: &Header) -> Result<()> {
    if !widens(header.dtype, schema.dtype()) {
        return Err(Error::invalid(format!(
            "the file's cells are {}, and not all of their values fit the grid's {}; if the file's do, convert it with `gdal_translate -ot {} FILE FITTING.tif`",
            header.dtype,
            schema.dtype(),
            gdal_name(schema.dtype())
        )));
    }
    match &header.nodata {
        Some(cell) if schema.needs_mask() => Err(Error::invalid(format!(
            "the file has the nodata value {}, and the grid's {} cells have none; make the grid with `--nodata`, or say that every cell is valid with `gdal_translate -a_nodata none FILE VALID.tif`",
            exact(cell)?,
            schema.dtype()
        ))),
        _ => Ok(()),
    }
}

/// How the cells of one file become the grid's.
#[derive(Clone, Debug)]
pub(super) struct Conversion {
    to: DType,
    /// The file's nodata value.
    from_nodata: Option<f64>,
    /// What stands for nodata in the grid.
    to_nodata: Option<f64>,
}

impl Conversion {
    pub(super) fn new(schema: &Schema, header: &Header) -> Result<Self> {
        let from_nodata = header.nodata.as_ref().map(exact).transpose()?.filter(|nodata| !nodata.is_nan());
        Ok(Self { to: schema.dtype(), from_nodata, to_nodata: schema.nodata() })
    }

    /// The grid's nodata value, where it is a valid value of the file or may be one.
    fn ambiguous(&self) -> Option<f64> {
        self.to_nodata.filter(|nodata| self.from_nodata != Some(*nodata))
    }

    /// How many valid cells of the file have the grid's nodata value.
    pub(super) fn collisions(&self, array: &Array) -> u64 {
        fn of<T: Cell>(cells: &ndarray::ArrayD<T>, nodata: f64) -> u64 {
            let cell = T::from_f64(nodata);
            if cell.to_f64() == nodata { cells.iter().filter(|other| **other == cell).count() as u64 } else { 0 }
        }
        self.ambiguous().map_or(0, |nodata| with_view!(Array, array, |cells| of(cells, nodata)))
    }

    /// Whether the file says that such cells are valid.
    pub(super) fn collisions_are_valid(&self) -> bool {
        self.from_nodata.is_some()
    }

    /// The cells as the grid's type, with the grid's nodata value.
    pub(super) fn apply(&self, mut array: Array) -> Result<Array> {
        // Among different types, only values that a double holds are converted.
        if array.dtype() != self.to {
            array = with_dtype!(self.to, |T| with_view!(Array, array, |cells| widen::<_, T>(&cells)));
        }
        let (Some(from), false) = (self.from_nodata, self.from_nodata == self.to_nodata) else { return Ok(array) };
        let to = self.to_nodata.unwrap_or(f64::NAN);
        let (from, to) = (Cells::filled(self.to, 1, from), Cells::filled(self.to, 1, to));
        with_dtype!(self.to, |T| replace::<T>(array, &from, &to))
    }
}

fn widen<S: Cell, T: Cell>(cells: &ndarray::ArrayD<S>) -> Array {
    Array::from(cells.mapv(|cell| if cell.is_nan() { nan::<T>() } else { T::from_f64(cell.to_f64()) }))
}

/// NaN; only float cells come here with one.
fn nan<T: Cell>() -> T {
    T::from_f64(f64::NAN)
}

fn replace<T: Cell>(array: Array, from: &Cells, to: &Cells) -> Result<Array> {
    let mut cells = array.into_typed::<T>()?;
    if let (Some([from]), Some([to])) = (from.as_slice::<T>(), to.as_slice::<T>()) {
        cells.mapv_inplace(|cell| if cell == *from { *to } else { cell });
    }
    Ok(Array::from(cells))
}
