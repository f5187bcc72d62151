//! Coordinates along rows and columns: the cells that 1-D coordinate variables make.

use super::TOLERANCE;
use super::file::NetCdf;
use super::header::Variable;
use crate::array::DType;
use crate::error::{Error, Result};
use crate::grid::Axis;

/// The unit of an axis that counts a file's rows or columns.
pub const INDEX: &str = "index";

/// Equidistant cells in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cells {
    /// The outer edge of the first cell.
    pub(super) origin: f64,
    /// From one cell to the next; negative where numbers fall.
    pub(super) step: f64,
    pub(super) len: u64,
    pub(super) unit: Option<String>,
}

impl Cells {
    /// Cells that are their own numbers.
    pub(super) fn index(len: u64) -> Self {
        Self { origin: 0.0, step: 1.0, len, unit: Some(INDEX.to_owned()) }
    }

    /// Reads the coordinate variable of a dimension.
    pub(super) fn read(file: &NetCdf, name: &str) -> Result<Self> {
        let refused = |why: String| Error::invalid(format!("coordinate `{name}`: {why}"));
        let variable = file.header().variable(name).ok_or_else(|| refused("there is no such variable".to_owned()))?;
        let unit = variable.text("units").filter(|unit| unit.len() <= 64 && !unit.contains(" since ")).map(str::to_owned);
        let bounds = variable.text("bounds").map(str::to_owned).filter(|name| file.header().variable(name).is_some());
        let unpack = unpacking(variable);
        let (mut values, dtype) = file.doubles(name)?;
        values.iter_mut().for_each(|value| *value = *value * unpack.0 + unpack.1);
        let len = values.len();
        let (first, step) = match bounds {
            Some(bounds) => {
                let (edges, _) = file.doubles(&bounds)?;
                if edges.len() != 2 * len || len == 0 {
                    return Err(refused(format!("its bounds `{bounds}` are {} numbers for {len} cells", edges.len())));
                }
                from_bounds(&edges, &values)
            }
            None if len < 2 => {
                return Err(refused(format!("{len} value(s) without bounds do not say how large a cell is")));
            }
            None => {
                let step = (values[len - 1] - values[0]) / (len - 1) as f64;
                (values[0] - step / 2.0, step)
            }
        };
        let largest = values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        let precision = largest * if dtype == DType::F32 { f64::from(f32::EPSILON) } else { f64::EPSILON };
        if !step.is_finite() || !first.is_finite() || step.abs() <= 2.0 * precision {
            return Err(refused(format!("its values {} to {} are not equidistant", values[0], values[len - 1])));
        }
        let (first, step) = (first, roundest(step, precision / len as f64));
        let first = roundest(first, precision);
        let off = |(number, value): (usize, &f64)| {
            let expected = first + (number as f64 + 0.5) * step;
            let off = (value - expected).abs();
            off.is_nan() || off > step.abs() * TOLERANCE + 2.0 * precision
        };
        if let Some((number, value)) = values.iter().enumerate().find(|(number, value)| off((*number, value))) {
            return Err(refused(format!(
                "it is not equidistant: value {value} of cell {number} is not {}; resample the file, or keep it on its own index axes with `--index-axes`",
                first + (number as f64 + 0.5) * step
            )));
        }
        Ok(Self { origin: first, step, len: len as u64, unit })
    }

    /// The axis of a grid with these cells.
    pub(super) fn axis(&self, name: &str, chunk: u32) -> Axis {
        let axis = Axis::new(name, self.origin, self.step, chunk);
        match &self.unit {
            Some(unit) => axis.unit(unit),
            None => axis,
        }
    }

    /// The first cell of a grid's axis, and whether the file runs against it.
    pub(super) fn place(&self, axis: &Axis) -> Result<(i64, bool)> {
        let index = |unit: Option<&str>| unit == Some(INDEX);
        let name = axis.name();
        if index(self.unit.as_deref()) != index(axis.unit_name()) {
            let (of_file, of_grid) = if index(axis.unit_name()) { ("coordinates", "none") } else { ("no coordinates", "some") };
            return Err(Error::invalid(format!("the file has {of_file} along `{name}`, and the grid {of_grid}")));
        }
        let ratio = (self.step / axis.step()).abs();
        let misfit = |why: String| {
            Err(Error::invalid(format!("the file does not fit the grid: {why} along `{name}`; resample it, with `cdo` for one")))
        };
        // The error of one cell adds up over all of them.
        let drift = (ratio - 1.0).abs() * self.len as f64;
        if drift.is_nan() || drift > TOLERANCE {
            return misfit(format!("its cells are of {}, the grid's of {}", self.step.abs(), axis.step().abs()));
        }
        let reversed = (self.step < 0.0) != (axis.step() < 0.0);
        let from = if reversed { self.origin + self.step * self.len as f64 } else { self.origin };
        let position = axis.position(from);
        let nearest = position.round();
        if position.is_nan() || (position - nearest).abs() > TOLERANCE {
            return misfit(format!("its cells lie {:.4} of a cell off the grid's", (position - nearest).abs()));
        }
        let cell = whole(nearest).ok_or_else(|| Error::invalid("the file lies outside the grid's index space"))?;
        Ok((cell, reversed))
    }
}

/// Scale and offset of a packed coordinate.
fn unpacking(variable: &Variable) -> (f64, f64) {
    let number = |name: &str| variable.attribute(name).and_then(|value| value.numbers()?.first().copied());
    (number("scale_factor").unwrap_or(1.0), number("add_offset").unwrap_or(0.0))
}

/// The first edge and the step of cells with these bounds, which may be given either way round.
fn from_bounds(edges: &[f64], values: &[f64]) -> (f64, f64) {
    let cells = values.len();
    let rising = if cells > 1 { values[cells - 1] > values[0] } else { edges[1] > edges[0] };
    let ends = |cell: usize| {
        let (a, b) = (edges[2 * cell], edges[2 * cell + 1]);
        if (a < b) == rising { (a, b) } else { (b, a) }
    };
    let (from, to) = (ends(0).0, ends(cells - 1).1);
    (from, (to - from) / cells as f64)
}

/// The shortest decimal number within `precision`: 0.1 for what a float32 made of it.
fn roundest(value: f64, precision: f64) -> f64 {
    let decimal = |digits: usize| format!("{value:.digits$e}").parse::<f64>().ok();
    (0..17).filter_map(decimal).find(|rounded| (rounded - value).abs() <= precision).unwrap_or(value)
}

/// A whole number within the index space.
#[expect(clippy::cast_possible_truncation, reason = "whole and of at most 2^62")]
fn whole(cell: f64) -> Option<i64> {
    (cell.is_finite() && cell.abs() < 4e18).then_some(cell as i64)
}
