//! Many steps of time as one.

use std::str::FromStr;

use ndarray::Axis;

use super::time::Along;
use crate::array::with_view;
use crate::{Answer, Array, Cell, Grid};

/// How the steps of a cell become one value; steps without data do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OverTime {
    Sum,
    Mean,
    Min,
    Max,
}

impl FromStr for OverTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "sum" => Ok(Self::Sum),
            "mean" => Ok(Self::Mean),
            "min" => Ok(Self::Min),
            "max" => Ok(Self::Max),
            _ => Err(format!("`{text}` is none of sum, mean, min, max")),
        }
    }
}

impl OverTime {
    /// The answer with one step of time, in float64; NaN where no step has data.
    pub(super) fn of(self, grid: &Grid, mut answer: Answer) -> anyhow::Result<Answer> {
        let axis = Along::of(grid, "--over-time")?.number;
        let nodata = grid.schema().nodata();
        answer.array = with_view!(Array, &answer.array, |cells| self.folded(cells, axis, nodata));
        Ok(answer)
    }

    fn folded<T: Cell>(self, cells: &ndarray::ArrayD<T>, axis: usize, nodata: Option<f64>) -> Array {
        let folded = cells.map_axis(Axis(axis), |steps| {
            let values = steps.iter().filter(|cell| !cell.is_nan()).map(|cell| cell.to_f64());
            let values = values.filter(|value| Some(*value) != nodata);
            let (count, sum, min, max) = values.fold((0_u64, 0.0, f64::NAN, f64::NAN), |(count, sum, min, max), value| {
                (count + 1, sum + value, value.min(min), value.max(max))
            });
            match self {
                _ if count == 0 => f64::NAN,
                OverTime::Sum => sum,
                OverTime::Mean => sum / count as f64,
                OverTime::Min => min,
                OverTime::Max => max,
            }
        });
        Array::from(folded.insert_axis(Axis(axis)))
    }
}
