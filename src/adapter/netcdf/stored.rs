//! The numbers of a coordinate variable, of its bounds, or of labels: how they are stored, what
//! they are once unpacked, and which of them are missing. All by the rules of values
//! ([`Decoding`]).

use super::decode::Decoding;
use super::file::NetCdf;
use super::header::{Header, Variable};
use super::remedy;
use crate::adapter::values::End;
use crate::array::{Array, Cell, Cells, DType, block, with_cells};
use crate::error::Result;

/// Numbers as a file has them, and how they are read.
#[derive(Clone, Debug)]
pub(super) struct StoredNumbers {
    /// The numbers, of an unsigned type where `_Unsigned` says so.
    pub(super) cells: Cells,
    /// Scale and offset.
    pub(super) packing: Option<(f64, f64)>,
    /// Which numbers stand for no value.
    pub(super) is_missing: Vec<bool>,
    /// The type of the values.
    dtype: DType,
}

impl StoredNumbers {
    /// All numbers of a variable.
    pub(super) fn read(file: &NetCdf, variable: &Variable) -> Result<Self> {
        Self::of(&Decoding::of_coordinate(variable)?, file.whole(variable)?)
    }

    /// Numbers of a variable that are read in some way.
    pub(super) fn of(decoding: &Decoding, raw: Array) -> Result<Self> {
        let cells = decoding.typed(raw)?.into_cells();
        let mut is_missing = vec![false; cells.len()];
        block::mark_nan(cells.dtype(), cells.as_bytes(), &mut is_missing);
        for missing in &decoding.rule.missing {
            block::mark_equal(missing, cells.as_bytes(), &mut is_missing);
        }
        Ok(Self {
            cells,
            packing: decoding
                .rule
                .packing
                .filter(|packing| *packing != (1.0, 0.0)),
            is_missing,
            dtype: decoding.dtype,
        })
    }

    /// The numbers of a coordinate's bounds. They have a packing of their own. Where they say
    /// nothing of one nor of units, and are integers of the type of a packed coordinate, they may
    /// be meant as packed like it: they are read so if they hold more of the coordinate then.
    pub(super) fn bounds(
        file: &NetCdf,
        bounds: &Variable,
        variable: &Variable,
        centres: &Self,
    ) -> Result<Self> {
        let raw = || pairs(file, bounds, variable);
        let own = Self::of(&Decoding::of_coordinate(bounds)?, raw()?)?;
        let says = |name: &str| bounds.attribute(name).is_some();
        let is_told = ["scale_factor", "add_offset", "_Unsigned", "units"]
            .into_iter()
            .any(says);
        let is_plain = centres.packing.is_none() && variable.dtype == Some(centres.cells.dtype());
        let is_float = own.cells.dtype().is_float();
        if is_told || is_plain || is_float || bounds.dtype != variable.dtype {
            return Ok(own);
        }
        let alike = Self::of(&Decoding::of_coordinate(variable)?, raw()?)?;
        let centres = centres.values();
        let held = |edges: &Self| {
            let edges = edges.values();
            let pairs = edges.as_chunks::<2>().0.iter().zip(&centres);
            pairs
                .filter(|([a, b], centre)| (a.min(*b)..=a.max(*b)).contains(*centre))
                .count()
        };
        Ok(if held(&alike) > held(&own) {
            alike
        } else {
            own
        })
    }

    /// The values; NaN where one is missing.
    pub(super) fn values(&self) -> Vec<f64> {
        let (scale, offset) = self.packing.unwrap_or((1.0, 0.0));
        let numbers = self.numbers().into_iter().zip(&self.is_missing);
        let value = |(number, is_missing): (f64, &bool)| {
            if *is_missing {
                f64::NAN
            } else {
                number * scale + offset
            }
        };
        numbers.map(value).collect()
    }

    /// The stored numbers as doubles.
    pub(super) fn numbers(&self) -> Vec<f64> {
        with_cells!(&self.cells, |cells| cells
            .iter()
            .map(|cell| cell.to_f64())
            .collect())
    }

    /// The values as people write them. See [`text`](Self::text).
    pub(super) fn texts(&self) -> Vec<String> {
        (0..self.cells.len()).map(|cell| self.text(cell)).collect()
    }

    /// One value as people write it: an integer exactly, one of float32 with as many digits as it
    /// holds; of a missing one the stored number.
    fn text(&self, cell: usize) -> String {
        match (self.packing, &self.cells) {
            (Some((scale, offset)), cells) if !self.is_missing[cell] => {
                let packed = cells.number(cell).to_f64() * scale;
                let value = packed + offset;
                if self.dtype == DType::F32 {
                    single(value).to_string()
                } else {
                    let precision = (packed.abs() + offset.abs()) * f64::EPSILON;
                    roundest(value, 2.0 * precision).to_string()
                }
            }
            (_, Cells::F32(cells)) => cells[cell].to_string(),
            (_, Cells::F64(cells)) => cells[cell].to_string(),
            (_, Cells::I64(cells)) => cells[cell].to_string(),
            (_, Cells::U64(cells)) => cells[cell].to_string(),
            (_, cells) => cells.number(cell).to_string(),
        }
    }

    /// The first number that is missing, as text, and its cell.
    pub(super) fn first_missing(&self) -> Option<(usize, String)> {
        let cell = self.is_missing.iter().position(|missing| *missing)?;
        Some((cell, self.text(cell)))
    }
}

/// The bounds of a coordinate, if the file has them.
pub(super) fn bounds_of<'a>(header: &'a Header, variable: &Variable) -> Option<&'a Variable> {
    variable
        .text("bounds")
        .and_then(|name| header.near(variable, name))
        .filter(|bounds| bounds.dtype.is_some())
}

/// The numbers of bounds as a file has them. What joins files in time may give them an axis of time
/// too: then those of the first step.
fn pairs(file: &NetCdf, bounds: &Variable, variable: &Variable) -> Result<Array> {
    let own = variable.dimensions.len() + 1;
    let before = bounds.dimensions.len().saturating_sub(own);
    if before == 0 || !bounds.dimensions[before..].starts_with(&variable.dimensions) {
        return file.whole(bounds);
    }
    let mut shape = bounds.shape();
    for len in &mut shape[..before] {
        *len = (*len).min(1);
    }
    file.read(&bounds.name, &vec![0; shape.len()], &shape)
}

/// Whether bounds are edges of some cell. Those that are nowhere any cells say nothing.
pub(super) fn are_cells(edges: &[f64]) -> bool {
    let pairs = edges.as_chunks::<2>().0;
    pairs.iter().any(|[from, to]| (to - from).abs() > 0.0)
}

/// The command that takes bounds away.
pub(super) fn without(bounds: &Variable) -> String {
    format!(
        "take them away with `{}`",
        remedy::without(bounds.leaf(), "PLAIN.nc")
    )
}

/// What is told of a coordinate of which a value lies outside of its valid range.
pub(super) fn outside(file: &NetCdf, variable: &Variable) -> Result<Option<String>> {
    let is_told = ["valid_range", "valid_min", "valid_max"]
        .into_iter()
        .any(|name| variable.attribute(name).is_some());
    if !is_told || variable.dtype.is_none() {
        return Ok(None);
    }
    let decoding = match Decoding::of(variable) {
        Ok(decoding) => decoding,
        // What numbers are does not hang on it.
        Err(cause) => return Ok(Some(cause.sentence())),
    };
    let stored = StoredNumbers::of(&decoding, file.whole(variable)?)?;
    let mut is_beyond = vec![false; stored.cells.len()];
    for (end, greater) in decoding.rule.valid.iter().zip([false, true]) {
        let mut mark = |values: Vec<f64>, end: f64, within: f64| {
            let beyond = |value: f64| {
                if greater {
                    value > end + within
                } else {
                    value < end - within
                }
            };
            is_beyond
                .iter_mut()
                .zip(values)
                .for_each(|(mark, value)| *mark |= beyond(value));
        };
        match end {
            Some(End::Stored(end)) => {
                block::mark_beyond(end, greater, stored.cells.as_bytes(), &mut is_beyond);
            }
            Some(End::Number(end)) => mark(stored.numbers(), *end, 0.0),
            Some(End::Value(end, within)) => mark(stored.values(), *end, *within),
            None => {}
        }
    }
    let first = (0..is_beyond.len()).find(|cell| is_beyond[*cell] && !stored.is_missing[*cell]);
    Ok(first.map(|cell| {
        format!(
            "its coordinate `{}` is {} in cell {cell}, outside of the valid range that it says: it is taken as it stands",
            variable.name,
            stored.text(cell)
        )
    }))
}

/// The nearest float32.
#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding is what is asked for"
)]
pub(super) fn single(value: f64) -> f32 {
    value as f32
}

/// The decimal numbers nearest to one, the shortest first.
pub(super) fn decimals(value: f64) -> impl Iterator<Item = f64> {
    (0..17).filter_map(move |digits: usize| format!("{value:.digits$e}").parse::<f64>().ok())
}

/// The shortest decimal number within `precision`.
pub(super) fn roundest(value: f64, precision: f64) -> f64 {
    decimals(value)
        .find(|rounded| (rounded - value).abs() <= precision)
        .unwrap_or(value)
}
