//! Mixtures of cells, by the kernels that [`Resampling`] names.

use std::collections::{BTreeSet, HashMap};

use gridstone::{Aggregation, DType, Resampling};

use super::model::Model;
use super::resampled::{Reach, overlapped};
use super::space::{Line, Span, product};
use super::want::{Want, want};

/// How many source cells one target cell is worked out from, at most.
const MOST: usize = 4000;

/// A source cell with data: its value, give or take, and by how much it counts.
type Known = (f64, f64, f64);

/// What cells of one answer are mixed of.
pub struct Mixture {
    how: Resampling,
    /// The levels that are read, an axis.
    at: Vec<i8>,
    dtype: DType,
    /// The source cells that were looked at: not known, or no data, or a value and by how much it
    /// counts.
    values: HashMap<Vec<i64>, Option<Option<Known>>>,
}

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// The kernel of Keys with a = -1/2.
fn keys(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        1.5 * x.powi(3) - 2.5 * x.powi(2) + 1.0
    } else if x < 2.0 {
        -0.5 * x.powi(3) + 2.5 * x.powi(2) - 4.0 * x + 2.0
    } else {
        0.0
    }
}

impl Mixture {
    pub fn new(how: Resampling, at: Vec<i8>, dtype: DType) -> Self {
        Self {
            how,
            at,
            dtype,
            values: HashMap::new(),
        }
    }

    /// What a target cell holds; `None` where that is not worked out.
    pub fn mixture(
        &mut self,
        model: &Model,
        layer: Option<&Aggregation>,
        reaches: &[Reach],
    ) -> Option<Want> {
        if matches!(layer, Some(Aggregation::Mode { .. })) {
            return None;
        }
        let (mut cells, mut placed, mut whole) = (Vec::new(), Vec::new(), 1.0);
        for ((reach, line), at) in reaches.iter().zip(&model.space.lines).zip(&self.at) {
            let at = (*at).max(line.ground);
            let place = Place::new(line, at, reach);
            let (from, to) = place.span(self.how)?;
            whole *= (from..to)
                .map(|cell| place.weight(self.how, cell))
                .sum::<f64>();
            let kept = line
                .segments
                .iter()
                .flat_map(|(first, end)| line.cell_of(at, *first)..=line.cell_of(at, end - 1));
            let kept: BTreeSet<i64> = kept.filter(|cell| (from..to).contains(cell)).collect();
            cells.push(kept.into_iter().collect::<Vec<i64>>());
            placed.push(place);
        }
        if cells.iter().map(Vec::len).product::<usize>() > MOST {
            return None;
        }
        let of = |how: Resampling, cell: &[i64]| -> f64 {
            cell.iter()
                .zip(&placed)
                .map(|(cell, place)| place.weight(how, *cell))
                .product()
        };
        let (mut held, mut is_data, mut give) = (Vec::new(), false, 0.0);
        for cell in product(&cells) {
            let Some((value, slack, valid)) = self.value(model, layer, &cell)? else {
                continue;
            };
            give = f64::max(give, slack);
            is_data |= cell
                .iter()
                .zip(&placed)
                .all(|(cell, place)| (place.touched.0..place.touched.1).contains(cell));
            held.push((
                of(self.how, &cell) * valid,
                of(Resampling::Bilinear, &cell),
                value,
            ));
        }
        if !is_data {
            return Some(Want::Nothing);
        }
        let cubic = self.how == Resampling::Cubic;
        let share = held.iter().map(|cell| cell.0).sum::<f64>() / whole;
        if cubic && (share - 0.2).abs() < 1e-6 {
            return None;
        }
        let weighted = held
            .iter()
            .map(|cell| (if cubic && share < 0.2 { cell.1 } else { cell.0 }, cell.2));
        let all: f64 = weighted.clone().map(|(weight, _)| weight).sum();
        let most: f64 = weighted
            .clone()
            .map(|(weight, value)| (weight * value / all).abs())
            .sum();
        if !most.is_finite() || most > 1e150 {
            return None;
        }
        // A weight of less than a millionth counts as none.
        let around = held.iter().map(|cell| cell.2.abs()).fold(0.0, f64::max);
        let slack = match self.dtype {
            DType::F32 => most * 1e-5,
            DType::F64 => most * 1e-9,
            // Rounded, and off the nodata value.
            _ => 1.51 + most * 1e-9,
        };
        let slack = slack
            + around * 4e-6
            + give * (1.0 + most / around.max(f64::MIN_POSITIVE))
            + f64::from(f32::MIN_POSITIVE);
        Some(Want::Near(
            self.within(weighted.map(|(weight, value)| weight * value / all).sum()),
            slack,
        ))
    }

    /// The nearest number of the type.
    fn within(&self, value: f64) -> f64 {
        if self.dtype.is_float() {
            let most = if self.dtype == DType::F32 {
                f64::from(f32::MAX)
            } else {
                f64::MAX
            };
            return value.clamp(-most, most);
        }
        let (low, high) = super::ground::limits(self.dtype);
        value.clamp(low as f64, high as f64)
    }

    /// The value of a source cell and by how much it counts, `Some(None)` if it has no data.
    fn value(
        &mut self,
        model: &Model,
        layer: Option<&Aggregation>,
        cell: &[i64],
    ) -> Option<Option<Known>> {
        let at = &self.at;
        // These layers keep how much of a cell is valid.
        let shared = self.how == Resampling::Area
            && matches!(layer, Some(Aggregation::Std | Aggregation::Variance));
        *self.values.entry(cell.to_vec()).or_insert_with(|| {
            let lines = model.space.lines.iter().zip(at).zip(cell);
            let spans: Vec<Span> = lines
                .map(|((line, at), &cell)| line.span((*at).max(line.ground), cell, cell + 1))
                .collect();
            let all: f64 = spans
                .iter()
                .map(|(from, to)| to.abs_diff(*from) as f64)
                .product();
            let valid = if shared {
                model.ground.values(&model.space, &spans).count() as f64 / all
            } else {
                1.0
            };
            match want(model, layer, &spans) {
                Want::Nothing => Some(None),
                Want::Exactly(num) => Some(Some((num.real(), 0.0, valid))),
                Want::Near(value, slack) => Some(Some((value, slack, valid))),
                _ => None,
            }
        })
    }
}

/// Where a target cell lies along an axis, in cells of the level that is read.
struct Place {
    low: f64,
    high: f64,
    centre: f64,
    /// How much wider than one of them it is, from one on.
    scale: f64,
    /// Those that it overlaps.
    touched: (i64, i64),
}

impl Place {
    #[expect(clippy::cast_possible_truncation, reason = "small whole numbers")]
    fn new(line: &Line, at: i8, reach: &Reach) -> Self {
        let size = f64::from(at - line.ground).exp2();
        let cell = line.cell_of(at, reach.from.floor() as i64);
        let position =
            |ground: f64| cell as f64 + (ground - line.ground_of(at, cell) as f64) / size;
        let (low, high) = (position(reach.from), position(reach.to));
        let (first, end) = overlapped(reach);
        let touched = (line.cell_of(at, first), line.cell_of(at, end - 1) + 1);
        Self {
            low,
            high,
            centre: f64::midpoint(low, high),
            scale: (high - low).max(1.0),
            touched,
        }
    }

    fn weight(&self, how: Resampling, cell: i64) -> f64 {
        let distance = (cell as f64 + 0.5 - self.centre) / self.scale;
        match how {
            Resampling::Bilinear => triangle(distance),
            Resampling::Cubic => keys(distance),
            _ => (self.high.min((cell + 1) as f64) - self.low.max(cell as f64)).max(0.0),
        }
    }

    /// The cells that may have weight, if they are few.
    #[expect(clippy::cast_possible_truncation, reason = "small whole numbers")]
    fn span(&self, how: Resampling) -> Option<Span> {
        let width = match how {
            Resampling::Bilinear => self.scale,
            Resampling::Cubic => 2.0 * self.scale,
            _ => return Some(self.touched),
        };
        let (from, to) = (self.centre - width, self.centre + width);
        (to - from < 1e5).then_some((from.floor() as i64, to.ceil() as i64))
    }
}
