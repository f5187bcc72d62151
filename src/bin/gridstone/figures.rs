//! What is said of cells without showing them.

use ndarray::ArrayD;

use gridstone::Answer;
use gridstone::array::with_view;
use gridstone::array::{Cell, Cells};

/// The least and the greatest of the cells with data, their mean, and how many they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    /// Of the cells' own type.
    ends: Option<[Cells; 2]>,
    pub(super) mean: Option<f64>,
    valid: u64,
    cells: u64,
}

impl Figures {
    pub(super) fn of(answer: &Answer) -> Self {
        let values = || answer.values().flatten();
        let (valid, sum) =
            values().fold((0_u64, 0.0), |(valid, sum), value| (valid + 1, sum + value));
        // The sum of finite values can be beyond all of them; their mean is not.
        let mean = if f64::is_finite(sum) {
            sum / valid as f64
        } else {
            values().map(|value| value / valid as f64).sum()
        };
        Self {
            ends: with_view!(Array, &answer.array, |cells| ends(
                cells,
                answer.validity.iter(&answer.array)
            )),
            mean: (valid > 0).then_some(mean),
            valid,
            cells: answer.array.shape().iter().map(|len| *len as u64).product(),
        }
    }

    /// Those of these cells and of others of the same type.
    pub(super) fn and(self, other: Self) -> Self {
        let valid = self.valid + other.valid;
        let part = |of: &Self| of.mean.unwrap_or(0.0) * (of.valid as f64 / valid as f64);
        let mean = part(&self) + part(&other);
        let outer = |[least, greatest]: [Cells; 2], [low, high]: [Cells; 2]| {
            let is_less = low.number(0) < least.number(0);
            let is_more = high.number(0) > greatest.number(0);
            Some([
                if is_less { low } else { least },
                if is_more { high } else { greatest },
            ])
        };
        Self {
            ends: match (self.ends, other.ends) {
                (Some(a), Some(b)) => outer(a, b),
                (a, b) => a.or(b),
            },
            mean: (valid > 0).then_some(mean),
            valid,
            cells: self.cells + other.cells,
        }
    }

    /// The least value, 0, or the greatest, 1.
    pub(super) fn end(&self, number: usize) -> Option<&Cells> {
        self.ends.as_ref()?.get(number)
    }

    /// The same as a double.
    pub(super) fn end_f64(&self, number: usize) -> Option<f64> {
        self.end(number).and_then(Cells::first_f64)
    }

    pub(super) fn valid_share(&self) -> f64 {
        if self.cells == 0 {
            0.0
        } else {
            self.valid as f64 / self.cells as f64
        }
    }
}

fn ends<T: Cell>(cells: &ArrayD<T>, valid: impl Iterator<Item = bool>) -> Option<[Cells; 2]> {
    let held = cells
        .iter()
        .zip(valid)
        .filter(|(_, valid)| *valid)
        .map(|(cell, _)| *cell);
    let least_and_greatest = held.fold(None, |ends: Option<[T; 2]>, cell| match ends {
        None => Some([cell, cell]),
        Some([least, greatest]) => Some([
            if cell < least { cell } else { least },
            if cell > greatest { cell } else { greatest },
        ]),
    });
    least_and_greatest.map(|ends| ends.map(|cell| Cells::from(vec![cell])))
}
