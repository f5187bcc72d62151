//! Many steps of time as one.

use std::str::FromStr;

use ndarray::{ArrayD, Axis};

use super::time::Along;
use gridstone::array::Validity;
use gridstone::{Answer, Array, Grid};

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
        let valid = answer.valid();
        let held: Vec<f64> = match &valid {
            None => answer.array.iter_f64().collect(),
            Some(valid) => answer
                .array
                .iter_f64()
                .zip(valid)
                .map(|(value, valid)| if *valid { value } else { f64::NAN })
                .collect(),
        };
        answer.array = self.folded(&ArrayD::from_shape_vec(answer.array.shape(), held)?, axis);
        answer.validity = Validity::Values { nodata: None };
        Ok(answer)
    }

    fn folded(self, held: &ArrayD<f64>, axis: usize) -> Array {
        let folded = held.map_axis(Axis(axis), |steps| {
            let values = steps.iter().copied().filter(|value| !value.is_nan());
            let (count, sum, min, max) = values.clone().fold(
                (0_u64, 0.0, f64::NAN, f64::NAN),
                |(count, sum, min, max), value| {
                    (count + 1, sum + value, value.min(min), value.max(max))
                },
            );
            match self {
                _ if count == 0 => f64::NAN,
                OverTime::Sum => sum,
                OverTime::Mean if sum.is_finite() => sum / count as f64,
                // The sum of finite values can be beyond all of them; their mean is not.
                OverTime::Mean => values.map(|value| value / count as f64).sum(),
                OverTime::Min => min,
                OverTime::Max => max,
            }
        });
        Array::from(folded.insert_axis(Axis(axis)))
    }
}
