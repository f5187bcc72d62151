//! From a file's cells to the grid's.

use std::ops::Range;

use ndarray::ArrayD;

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

/// Refuses a file whose values the grid cannot hold.
pub(super) fn check_type(schema: &Schema, header: &Header) -> Result<()> {
    let (from, to) = (header.values(), schema.dtype());
    if let (Some(of_file), Some(of_grid)) = (header.unit(), schema.unit())
        && one_unit(of_file) != one_unit(of_grid)
    {
        return Err(Error::invalid(format!(
            "the unit of the file's values is `{of_file}`, the grid's `{of_grid}`; make a grid for it with `gridstone create --like`, or, if the unit is wrong, leave it out with `gdal_translate -co PROFILE=GeoTIFF FILE UNITLESS.tif`"
        )));
    }
    if widens(from, to) {
        return Ok(());
    }
    if from != header.dtype {
        return Err(Error::invalid(format!(
            "the file's cells are packed by a scale and an offset, its values are {from}, and not all of them fit the grid's {to}; make the grid with `gridstone create --like`, or take the cells for values with `gdal_translate -a_scale 1 -a_offset 0 FILE CELLS.tif`"
        )));
    }
    Err(Error::invalid(format!(
        "the file's cells are {from}, and not all of their values fit the grid's {to}; if the file's do, convert it with `gdal_translate -ot {} FILE FITTING.tif`",
        gdal_name(to)
    )))
}

/// A unit in one spelling: elevations are in `m`, `metre` and `meters`.
fn one_unit(unit: &str) -> &str {
    match unit.trim() {
        "metre" | "meter" | "metres" | "meters" | "Meter" | "Metre" => "m",
        other => other,
    }
}

/// How the cells of one file become the grid's.
#[derive(Clone, Debug)]
pub(super) struct Conversion {
    to: DType,
    /// Scale and offset of each band; empty if no cell is packed.
    packing: Vec<(f64, f64)>,
    /// The type of the values that the cells stand for.
    values: DType,
    /// The file's nodata value.
    from_nodata: Option<f64>,
    /// What stands for nodata in the grid.
    to_nodata: Option<f64>,
    /// Whether the grid keeps which cells hold data beside the cells.
    masked: bool,
    /// Whether the file says which cells hold data.
    declared: bool,
}

/// Cells as the grid has them, and which hold data (1) where their values cannot say it.
pub(super) type Converted = (Array, Option<ArrayD<u8>>);

impl Conversion {
    pub(super) fn new(schema: &Schema, header: &Header) -> Result<Self> {
        let from_nodata = header.nodata.as_ref().map(exact).transpose()?.filter(|nodata| !nodata.is_nan());
        let packed = header.values() != header.dtype || header.bands.iter().any(|band| band.packing().is_some());
        let packing = header.bands.iter().map(|band| band.packing().unwrap_or((1.0, 0.0)));
        Ok(Self {
            to: schema.dtype(),
            packing: if packed { packing.collect() } else { Vec::new() },
            values: header.values(),
            from_nodata,
            to_nodata: schema.nodata(),
            masked: schema.needs_mask(),
            declared: header.nodata.is_some() || header.masked,
        })
    }

    /// Whether the file says that cells with the grid's nodata value are valid.
    pub(super) fn collisions_are_valid(&self) -> bool {
        self.declared
    }

    /// The cells of some bands as the grid's type, with the grid's nodata value, and how many valid ones have that value.
    pub(super) fn apply(&self, array: Array, valid: Option<ArrayD<u8>>, bands: Range<usize>) -> Result<(Converted, u64)> {
        let (array, from_nodata) = self.unpacked(array, bands)?;
        let collisions = self.collisions(&array, valid.as_ref(), from_nodata);
        let mut valid = valid;
        if let (true, Some(nodata)) = (self.masked, from_nodata) {
            let mut told = with_view!(Array, &array, |cells| unlike(cells, nodata));
            valid.iter().for_each(|valid| told *= valid);
            valid = Some(told);
        }
        // Among different types, only values that a double holds are converted.
        let array = if array.dtype() == self.to {
            array
        } else {
            with_dtype!(self.to, |T| with_view!(Array, array, |cells| widen::<_, T>(&cells)))
        };
        if self.masked {
            return Ok(((array, valid.filter(|valid| valid.iter().any(|valid| *valid == 0))), collisions));
        }
        let from = from_nodata.filter(|from| Some(*from) != self.to_nodata);
        if from.is_none() && valid.is_none() {
            return Ok(((array, None), collisions));
        }
        let to = Cells::filled(self.to, 1, self.to_nodata.unwrap_or(f64::NAN));
        let from = from.map(|from| Cells::filled(self.to, 1, from));
        let array = with_dtype!(self.to, |T| blanked::<T>(array, from.as_ref(), valid.as_ref(), &to))?;
        Ok(((array, None), collisions))
    }

    /// The values that packed cells stand for, NaN for nodata; and the nodata value that is left.
    fn unpacked(&self, array: Array, bands: Range<usize>) -> Result<(Array, Option<f64>)> {
        let Some(packing) = self.packing.get(bands).filter(|packing| !packing.is_empty()) else {
            return Ok((array, self.from_nodata));
        };
        let values =
            with_dtype!(self.values, |T| with_view!(Array, array, |cells| unpack::<_, T>(&cells, packing, self.from_nodata)));
        Ok((values, None))
    }

    /// How many valid cells have the grid's nodata value, where it is not the file's.
    fn collisions(&self, array: &Array, valid: Option<&ArrayD<u8>>, from_nodata: Option<f64>) -> u64 {
        fn of<T: Cell>(cells: &ArrayD<T>, valid: Option<&ArrayD<u8>>, nodata: f64) -> u64 {
            let cell = T::from_f64(nodata);
            if cell.to_f64() != nodata {
                return 0;
            }
            match valid {
                None => cells.iter().filter(|other| **other == cell).count() as u64,
                Some(valid) => cells.iter().zip(valid).filter(|(other, valid)| **other == cell && **valid != 0).count() as u64,
            }
        }
        let nodata = self.to_nodata.filter(|nodata| from_nodata != Some(*nodata));
        nodata.map_or(0, |nodata| with_view!(Array, array, |cells| of(cells, valid, nodata)))
    }
}

/// 1 where a cell has not a value, which the type has exactly.
fn unlike<T: Cell>(cells: &ArrayD<T>, value: f64) -> ArrayD<u8> {
    let value = T::from_f64(value);
    cells.mapv(|cell| u8::from(cell != value))
}

/// Cells times the scale of their band, plus its offset.
fn unpack<S: Cell, T: Cell>(cells: &ArrayD<S>, packing: &[(f64, f64)], nodata: Option<f64>) -> Array {
    let nodata = nodata.map(S::from_f64);
    let mut values = cells.mapv(|_| nan::<T>());
    for ((mut values, cells), (scale, offset)) in values.outer_iter_mut().zip(cells.outer_iter()).zip(packing) {
        values.zip_mut_with(&cells, |value, cell| {
            if !cell.is_nan() && Some(*cell) != nodata {
                *value = T::from_f64(cell.to_f64() * scale + offset);
            }
        });
    }
    Array::from(values)
}

fn widen<S: Cell, T: Cell>(cells: &ArrayD<S>) -> Array {
    Array::from(cells.mapv(|cell| if cell.is_nan() { nan::<T>() } else { T::from_f64(cell.to_f64()) }))
}

/// NaN; only float cells come here with one.
fn nan<T: Cell>() -> T {
    T::from_f64(f64::NAN)
}

/// The cells with one value in the place of another, and of those that hold no data.
fn blanked<T: Cell>(array: Array, from: Option<&Cells>, valid: Option<&ArrayD<u8>>, to: &Cells) -> Result<Array> {
    let mut cells = array.into_typed::<T>()?;
    let one = |cell: &Cells| cell.as_slice::<T>().and_then(|cells| cells.first().copied());
    let Some(to) = one(to) else { return Ok(Array::from(cells)) };
    if let Some(from) = from.and_then(one) {
        cells.mapv_inplace(|cell| if cell == from { to } else { cell });
    }
    if let Some(valid) = valid {
        cells.zip_mut_with(valid, |cell, valid| *cell = if *valid == 0 { to } else { *cell });
    }
    Ok(Array::from(cells))
}
