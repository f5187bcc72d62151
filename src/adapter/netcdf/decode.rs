//! What the stored numbers of a variable stand for: packing and absence, as the CF conventions say it.

use super::header::{Value, Variable};
use crate::array::{Array, Cell, Cells, DType, with_cells, with_dtype, with_view};
use crate::error::{Error, Result};

/// How the numbers of a variable become values.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Decoding {
    /// The type of the numbers; unsigned where the attribute `_Unsigned` says so.
    raw: DType,
    /// The type of the values.
    pub(super) dtype: DType,
    /// `value = number * scale + offset`, where numbers are packed.
    packed: Option<(f64, f64)>,
    /// Numbers that stand for no data, of the type `raw`.
    missing: Vec<Cells>,
    /// The least and the greatest number that stands for data.
    valid: [Option<Cells>; 2],
    /// Whether the file itself says which numbers are missing.
    pub(super) declared: bool,
}

impl Decoding {
    pub(super) fn of(variable: &Variable) -> Result<Self> {
        let refused = |why: String| Error::invalid(format!("variable `{}`: {why}", variable.name));
        let stored = variable.dtype.ok_or_else(|| refused("it holds characters, not numbers".to_owned()))?;
        let unsigned = variable.text("_Unsigned").is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let raw = if unsigned { as_unsigned(stored) } else { stored };
        let number = |name: &str| -> Result<Option<(f64, DType)>> {
            let Some(value) = variable.attribute(name) else { return Ok(None) };
            let found = match value {
                Value::Numbers(cells) if cells.len() == 1 => value.numbers().and_then(|n| Some((*n.first()?, cells.dtype()))),
                _ => None,
            };
            let found = found.filter(|(number, _)| number.is_finite());
            found.map(Some).ok_or_else(|| refused(format!("its attribute `{name}` is not one finite number")))
        };
        let (scale, offset) = (number("scale_factor")?, number("add_offset")?);
        let packed = (scale.is_some() || offset.is_some())
            .then(|| (scale.map_or(1.0, |(scale, _)| scale), offset.map_or(0.0, |(offset, _)| offset)));
        if packed.is_some_and(|(scale, _)| scale == 0.0) {
            return Err(refused("its `scale_factor` is 0".to_owned()));
        }
        let single = |attribute: Option<(f64, DType)>| attribute.is_none_or(|(_, dtype)| dtype == DType::F32);
        let narrow = raw == DType::F32 || !raw.is_float() && raw.size() <= 2;
        let dtype = match packed {
            None => raw,
            Some(_) if single(scale) && single(offset) && narrow => DType::F32,
            Some(_) => DType::F64,
        };
        let cells = |name: &str| variable.attribute(name).map_or(Vec::new(), |value| as_raw(value, stored, raw));
        let mut missing = [cells("_FillValue"), cells("missing_value")].concat();
        let (range, least, most) = (cells("valid_range"), cells("valid_min"), cells("valid_max"));
        let declared = !missing.is_empty();
        if variable.attribute("_FillValue").is_none() {
            missing.extend(default_fill(stored).filter(|_| raw == stored).map(|fill| Cells::filled(raw, 1, fill)));
        }
        missing.dedup();
        let end = |one: Vec<Cells>, of_range: usize| one.into_iter().next().or_else(|| range.get(of_range).cloned());
        let valid = [end(least, 0), end(most, 1)];
        Ok(Self { raw, dtype, packed, missing, valid, declared })
    }

    /// The nodata value of a grid with the values: none for floats, where NaN is; else the first number that is missing.
    /// [`Invalid`](crate::ErrorKind::Invalid) if values can be missing and there is no such number.
    pub(super) fn nodata(&self) -> Result<Option<f64>> {
        if self.dtype.is_float() {
            return Ok(None);
        }
        match self.missing.first() {
            Some(cell) => {
                let value = with_cells!(cell, |cells| cells.first().map_or(f64::NAN, |cell| cell.to_f64()));
                if Cells::filled(self.raw, 1, value) == *cell {
                    Ok(Some(value))
                } else {
                    Err(Error::invalid("the number that stands for no data cannot be kept exactly; give another with `--nodata`"))
                }
            }
            None if self.valid.iter().any(Option::is_some) => {
                Err(Error::invalid("the variable has invalid values and no `_FillValue`; give one with `--nodata`"))
            }
            None => Ok(None),
        }
    }

    /// Whether some number stands for no data.
    pub(super) fn has_gaps(&self) -> bool {
        !self.missing.is_empty() || self.valid.iter().any(Option::is_some)
    }

    /// The values as a wider or the same type; no data as `nodata`, and as NaN in floats. Also how many values that are there
    /// equal `nodata`.
    pub(super) fn apply(&self, raw: Array, to: DType, nodata: Option<f64>) -> Result<(Array, u64)> {
        let raw = reinterpreted(raw, self.raw)?;
        with_view!(Array, raw, |cells| with_dtype!(to, |T| self.typed::<_, T>(cells, nodata)))
    }

    fn typed<S: Cell, T: Cell>(&self, cells: ndarray::ArrayD<S>, nodata: Option<f64>) -> Result<(Array, u64)> {
        let of = |cells: &Cells| cells.as_slice::<S>().and_then(|cells| cells.first().copied());
        let missing: Vec<S> = self.missing.iter().filter_map(of).filter(|cell| !cell.is_nan()).collect();
        let [least, most] = [&self.valid[0], &self.valid[1]].map(|end| end.as_ref().and_then(of));
        let absent = |cell: &S| {
            cell.is_nan()
                || missing.contains(cell)
                || least.is_some_and(|least| *cell < least)
                || most.is_some_and(|most| *cell > most)
        };
        let fill = T::from_f64(if T::DTYPE.is_float() { f64::NAN } else { nodata.unwrap_or(0.0) });
        let taken = nodata.map(T::from_f64);
        let same = S::DTYPE == T::DTYPE;
        let value = |cell: S| match self.packed {
            Some((scale, offset)) => T::from_f64(cell.to_f64() * scale + offset),
            // Integers of 64 bits are no doubles.
            None if same => bytemuck::cast(cell),
            None => T::from_f64(cell.to_f64()),
        };
        let mut collisions = 0;
        let values = cells.mapv(|cell| {
            if absent(&cell) {
                return fill;
            }
            let value = value(cell);
            collisions += u64::from(Some(value) == taken);
            value
        });
        Ok((Array::from(values), collisions))
    }
}

fn as_unsigned(dtype: DType) -> DType {
    match dtype {
        DType::I8 => DType::U8,
        DType::I16 => DType::U16,
        DType::I32 => DType::U32,
        DType::I64 => DType::U64,
        other => other,
    }
}

/// The same bits as cells of another type of the same size.
fn same_bits(cells: &Cells, to: DType) -> Cells {
    let mut out = Cells::filled(to, cells.len(), 0.0);
    if out.as_bytes().len() == cells.as_bytes().len() {
        out.as_bytes_mut().copy_from_slice(cells.as_bytes());
    }
    out
}

fn reinterpreted(array: Array, to: DType) -> Result<Array> {
    if array.dtype() == to {
        return Ok(array);
    }
    let shape = array.shape().to_vec();
    let cells = same_bits(&array.to_cells(), to);
    with_cells!(cells, |cells| ndarray::ArrayD::from_shape_vec(ndarray::IxDyn(&shape), cells).map(Array::from))
        .map_err(|cause| Error::invalid("the variable has the wrong number of cells").because(cause))
}

/// The numbers of an attribute, one by one, as a variable's. Those that no number of the variable can equal are left out.
fn as_raw(value: &Value, stored: DType, raw: DType) -> Vec<Cells> {
    let Value::Numbers(numbers) = value else { return Vec::new() };
    if numbers.dtype() == stored {
        let single = with_cells!(numbers, |cells| cells.iter().map(|cell| Cells::from(vec![*cell])).collect::<Vec<_>>());
        return single.iter().map(|cell| if raw == stored { cell.clone() } else { same_bits(cell, raw) }).collect();
    }
    let numbers = value.numbers().unwrap_or_default();
    let converted = numbers.into_iter().map(|number| (number, Cells::filled(raw, 1, number)));
    // A float32 nearest to the double that was written stands for it.
    let same = |number: f64, cell: &Cells| {
        raw == DType::F32 || with_cells!(cell, |cells| cells.first().is_some_and(|cell| cell.to_f64() == number))
    };
    converted.filter(|(number, cell)| same(*number, cell)).map(|(_, cell)| cell).collect()
}

/// What the NetCDF library writes where nothing was put; bytes have no such number, and those of 64 bits are no doubles.
fn default_fill(dtype: DType) -> Option<f64> {
    match dtype {
        DType::I16 => Some(-32_767.0),
        DType::I32 => Some(-2_147_483_647.0),
        DType::U16 => Some(65_535.0),
        DType::U32 => Some(4_294_967_295.0),
        DType::F32 | DType::F64 => Some(9.969_209_968_386_869e36),
        DType::I8 | DType::U8 | DType::I64 | DType::U64 => None,
    }
}
