//! What the stored numbers of a variable stand for: packing and absence, as the CF conventions say
//! it.

use super::header::{Value, Variable};
use super::remedy;
use crate::adapter::source::SourceCells;
use crate::adapter::unit::Conversion;
use crate::adapter::values::{self, End, TargetCells, ValueRule};
use crate::array::{Array, Cell, Cells, DType, with_cells};
use crate::error::{Error, Result};

/// How the numbers of a variable become values.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Decoding {
    /// Numbers are of an unsigned type where the attribute `_Unsigned` says so.
    pub(super) rule: ValueRule,
    /// The type of the values.
    pub(super) dtype: DType,
    /// Whether the file itself says which numbers are missing.
    pub(super) declared: bool,
}

impl Decoding {
    pub(super) fn of(variable: &Variable) -> Result<Self> {
        let (mut decoding, attributes) = Self::parts(variable)?;
        decoding.rule.valid = attributes.valid()?;
        Ok(decoding)
    }

    /// The same of a coordinate, or of its bounds: without a valid range, beyond which they are
    /// taken as they stand.
    pub(super) fn of_coordinate(variable: &Variable) -> Result<Self> {
        Ok(Self::parts(variable)?.0)
    }

    /// How numbers become values, without a valid range, and the attributes that may say one.
    fn parts(variable: &Variable) -> Result<(Self, Attributes<'_>)> {
        let refused = |why: String| Error::invalid(format!("variable `{}`: {why}", variable.name));
        let stored = variable.dtype.ok_or_else(|| {
            let what = if variable.letters || variable.words {
                "characters"
            } else {
                "values of a type that a user made up"
            };
            refused(format!(
                "it holds {what}, not numbers; make numbers of it with `python3` first"
            ))
        })?;
        let unsigned = variable
            .text("_Unsigned")
            .is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let raw = if unsigned {
            as_unsigned(stored)
        } else {
            stored
        };
        let (scale, offset) = (
            number(variable, "scale_factor")?,
            number(variable, "add_offset")?,
        );
        let packed = (scale.is_some() || offset.is_some()).then(|| {
            (
                scale.map_or(1.0, |(scale, _)| scale),
                offset.map_or(0.0, |(offset, _)| offset),
            )
        });
        if packed.is_some_and(|(scale, _)| scale == 0.0) {
            return Err(refused(format!(
                "its `scale_factor` is 0; {}",
                otherwise(variable, "scale_factor")
            )));
        }
        let single = |attribute: Option<(f64, DType)>| {
            attribute.is_none_or(|(_, dtype)| dtype == DType::F32)
        };
        let narrow = raw == DType::F32 || !raw.is_float() && raw.size() <= 2;
        let dtype = match packed {
            None => raw,
            Some(_) if single(scale) && single(offset) && narrow => DType::F32,
            Some(_) => DType::F64,
        };
        let attributes = Attributes {
            variable,
            stored,
            raw,
            packed,
        };
        let mut missing = [
            attributes.missing("_FillValue")?,
            attributes.missing("missing_value")?,
        ]
        .concat();
        let declared = !missing.is_empty();
        if variable.attribute("_FillValue").is_none() {
            missing.extend(default_fill(stored).filter(|_| raw == stored));
        }
        missing.dedup();
        let rule = ValueRule {
            stored: raw,
            missing,
            valid: [None, None],
            packing: packed,
            conversion: Conversion::NONE,
        };
        let decoding = Self {
            rule,
            dtype,
            declared,
        };
        Ok((decoding, attributes))
    }

    /// The nodata value of a grid with the values: none for floats, where NaN is; else the first
    /// number that is missing. None of one that no double is: which cells hold data is kept beside
    /// them then.
    pub(super) fn nodata(&self) -> Option<f64> {
        let cell = self
            .rule
            .missing
            .first()
            .filter(|_| !self.dtype.is_float())?;
        let value = cell.first_f64()?;
        (Cells::filled(self.rule.stored, 1, value) == *cell).then_some(value)
    }

    /// The values in the shape of the numbers, and in the grid's type and unit.
    pub(super) fn apply(&self, raw: Array, target: TargetCells) -> Result<SourceCells> {
        values::piece(self.typed(raw)?, None, &[&self.rule], target)
    }

    /// Stored numbers as those of the type that they are of.
    pub(super) fn typed(&self, raw: Array) -> Result<Array> {
        if raw.dtype() == self.rule.stored {
            return Ok(raw);
        }
        let shape = raw.shape().to_vec();
        Array::from_cells(same_bits(&raw.into_cells(), self.rule.stored), &shape)
    }
}

/// A number that an attribute holds, and its type; text of a number stands for it.
fn number(variable: &Variable, name: &str) -> Result<Option<(f64, DType)>> {
    let Some(value) = variable.attribute(name) else {
        return Ok(None);
    };
    let dtype = if let Value::Numbers(cells) = value {
        cells.dtype()
    } else {
        DType::F64
    };
    match numbers(variable, name, value)?[..] {
        [number] if number.is_finite() => Ok(Some((number, dtype))),
        _ => Err(Error::invalid(format!(
            "variable `{}`: its attribute `{name}` is not one finite number; {}",
            variable.name,
            otherwise(variable, name)
        ))),
    }
}

/// The numbers of an attribute, which may be written as text: `-99.9f`, `0, 255`.
fn numbers(variable: &Variable, name: &str, value: &Value) -> Result<Vec<f64>> {
    let Value::Text(text) = value else {
        return Ok(value.numbers().unwrap_or_default());
    };
    let words = text
        .split([',', ' '])
        .map(str::trim)
        .filter(|word| !word.is_empty());
    let number = |word: &str| {
        let plain =
            word.trim_end_matches(['f', 'F', 'd', 'D', 's', 'S', 'b', 'B', 'l', 'L', 'u', 'U']);
        word.parse::<f64>().or_else(|_| plain.parse::<f64>())
    };
    words
        .map(number)
        .collect::<Result<Vec<f64>, _>>()
        .map_err(|cause| {
            let why = format!(
                "variable `{}`: its attribute `{name}` is the text `{text}`, no number",
                variable.name
            );
            Error::invalid(format!("{why}; {}", otherwise(variable, name))).because(cause)
        })
}

/// The command that takes an attribute away.
fn otherwise(variable: &Variable, name: &str) -> String {
    format!(
        "take it away with `ncatted {} FILE`, or write a number there",
        remedy::unset(name, variable.leaf())
    )
}

/// The attributes of a variable that say what is no data.
struct Attributes<'a> {
    variable: &'a Variable,
    stored: DType,
    raw: DType,
    packed: Option<(f64, f64)>,
}

impl Attributes<'_> {
    /// The numbers of an attribute that has the type of the stored ones.
    fn stored(&self, name: &str) -> Option<Vec<Cells>> {
        let Some(Value::Numbers(numbers)) = self.variable.attribute(name) else {
            return None;
        };
        let single = with_cells!(numbers, |cells| cells
            .iter()
            .map(|cell| Cells::from(vec![*cell]))
            .collect::<Vec<_>>());
        let same = numbers.dtype() == self.stored;
        same.then(|| single.iter().map(|cell| self.of_raw(cell)).collect())
    }

    fn of_raw(&self, cell: &Cells) -> Cells {
        if self.raw == self.stored {
            cell.clone()
        } else {
            same_bits(cell, self.raw)
        }
    }

    /// The numbers that an attribute calls missing. Those that no number of the variable can equal
    /// are left out.
    fn missing(&self, name: &str) -> Result<Vec<Cells>> {
        if let Some(stored) = self.stored(name) {
            return Ok(stored);
        }
        let Some(value) = self.variable.attribute(name) else {
            return Ok(Vec::new());
        };
        Ok(numbers(self.variable, name, value)?
            .into_iter()
            .filter_map(|number| self.nearest(number))
            .collect())
    }

    /// The stored number that a missing value means: itself, else what is unpacked to it.
    fn nearest(&self, number: f64) -> Option<Cells> {
        let exact = |number: f64| {
            let cell = Cells::filled(self.raw, 1, number);
            // A float32 nearest to the double that was written stands for it.
            let same = with_cells!(&cell, |cells| cells
                .first()
                .is_some_and(|cell| cell.to_f64() == number));
            let is_near = self.raw == DType::F32 && number.is_finite() == fits_single(number);
            (same || is_near).then_some(cell)
        };
        exact(number).or_else(|| {
            let (scale, offset) = self.packed?;
            let packed = ((number - offset) / scale).round();
            let near = (packed * scale + offset - number).abs() <= scale.abs() * 1e-3;
            near.then(|| exact(packed)).flatten()
        })
    }

    /// The least and the greatest that is data.
    fn valid(&self) -> Result<[Option<End>; 2]> {
        let range = self.ends("valid_range")?;
        if !range.is_empty() && range.len() != 2 {
            return Err(Error::invalid(format!(
                "variable `{}`: its `valid_range` has {} numbers; {}",
                self.variable.name,
                range.len(),
                otherwise(self.variable, "valid_range")
            )));
        }
        let end = |one: Vec<End>, of_range: usize| {
            one.into_iter()
                .next()
                .or_else(|| range.get(of_range).cloned())
        };
        Ok([
            end(self.ends("valid_min")?, 0),
            end(self.ends("valid_max")?, 1),
        ])
    }

    /// The ends that an attribute gives a valid range. Where integers are packed, numbers of
    /// floating point are those of values, as the NetCDF Users Guide has it.
    fn ends(&self, name: &str) -> Result<Vec<End>> {
        if let Some(stored) = self.stored(name) {
            return Ok(stored.into_iter().map(End::Stored).collect());
        }
        let Some(value) = self.variable.attribute(name) else {
            return Ok(Vec::new());
        };
        let dtype = if let Value::Numbers(cells) = value {
            Some(cells.dtype()).filter(|dtype| dtype.is_float())
        } else {
            None
        };
        let rounding = if dtype == Some(DType::F32) {
            f64::from(f32::EPSILON)
        } else {
            f64::EPSILON
        };
        let scale = self
            .packed
            .filter(|_| dtype.is_some())
            .map(|(scale, _)| scale.abs());
        let end = |number: f64| match (self.raw, scale) {
            (_, Some(scale)) => End::Value(number, number.abs() * rounding + scale * 1e-6),
            (DType::F32, None) if number.is_finite() == fits_single(number) => {
                End::Stored(Cells::filled(DType::F32, 1, number))
            }
            _ => End::Number(number),
        };
        Ok(numbers(self.variable, name, value)?
            .into_iter()
            .map(end)
            .collect())
    }
}

/// Whether the float32 nearest to a number is finite.
fn fits_single(number: f64) -> bool {
    let cell = Cells::filled(DType::F32, 1, number);
    cell.number(0).to_f64().is_finite()
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

/// What the NetCDF library writes where nothing was put; bytes have no such number.
fn default_fill(dtype: DType) -> Option<Cells> {
    Some(match dtype {
        DType::I16 => vec![-32_767_i16].into(),
        DType::I32 => vec![-2_147_483_647_i32].into(),
        DType::I64 => vec![-9_223_372_036_854_775_806_i64].into(),
        DType::U16 => vec![65_535_u16].into(),
        DType::U32 => vec![4_294_967_295_u32].into(),
        DType::U64 => vec![18_446_744_073_709_551_614_u64].into(),
        DType::F32 | DType::F64 => Cells::filled(dtype, 1, 9.969_209_968_386_869e36),
        DType::I8 | DType::U8 => return None,
    })
}
