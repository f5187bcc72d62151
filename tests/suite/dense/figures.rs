//! Statistics of regions, by adding up base cells one by one.

use gridstone::array::Number;
use gridstone::statistics::{Bins, Estimate, Predicate};
use gridstone::{Extent, Grid, Stat, Statistics, StatisticsQuery};

use super::design::{Design, Values};
use super::ground::Num;
use super::look::whole;
use super::model::Model;
use super::region::{Region, centre};
use super::space::Span;
use super::step::Source;
use crate::check::{Dice, numbers};

/// A base cell with data.
pub struct BaseCell {
    pub value: Num,
    /// Its size in cells of level 0.
    area: f64,
    /// Twice the place of its centre along each axis, in ground cells.
    pub centre: Vec<i64>,
    pub world: Vec<f64>,
}

/// Which cells are summed up.
#[derive(Clone, Debug)]
pub struct Cut {
    pub windows: Vec<Vec<Span>>,
    pub extent: Option<Extent>,
    pub region: Option<Region>,
    pub predicate: Option<(Predicate, Vec<(u8, f64)>)>,
}

fn holds(comparisons: &[(u8, f64)], value: Num) -> bool {
    comparisons.iter().all(|(how, than)| {
        let order = match value {
            // Exactly, not as doubles.
            #[expect(
                clippy::cast_possible_truncation,
                reason = "drawn from small whole numbers and halves"
            )]
            Num::Int(int) => (2 * int).cmp(&((2.0 * than) as i128)),
            Num::Float(float) => float.partial_cmp(than).unwrap(),
        };
        match how {
            0 => order.is_ge(),
            1 => order.is_le(),
            2 => order.is_gt(),
            3 => order.is_lt(),
            4 => order.is_eq(),
            _ => order.is_ne(),
        }
    })
}

impl Cut {
    /// Whether a cell takes part; `None` if it lies on an edge of which it is not said to which
    /// side that belongs.
    pub fn takes(&self, cell: &BaseCell) -> Option<bool> {
        let inside = |spans: &Vec<Span>| {
            spans
                .iter()
                .zip(&cell.centre)
                .all(|((from, to), at)| 2 * from <= *at && *at < 2 * to)
        };
        let mut takes = self.windows.iter().all(inside);
        if let Some(extent) = &self.extent {
            for ((low, high), at) in extent.bounds().iter().zip(&cell.world) {
                if at == low || at == high {
                    return None;
                }
                takes &= low < at && at < high;
            }
        }
        if let Some(region) = &self.region {
            takes &= region.holds(region.axes.map(|axis| cell.world[axis]))?;
        }
        Some(
            takes
                && self
                    .predicate
                    .as_ref()
                    .is_none_or(|(_, comparisons)| holds(comparisons, cell.value)),
        )
    }
}

/// The cells with data of the finest levels: of coarser ones the parts.
pub fn base_cells(grid: &Grid, model: &Model) -> Result<Vec<BaseCell>, String> {
    let mut found = Vec::new();
    let Some(finest) = grid
        .base_levels()
        .map_err(|e| e.to_string())?
        .map(|levels| numbers(&levels))
    else {
        return Ok(found);
    };
    let area: f64 = model
        .space
        .lines
        .iter()
        .map(|line| f64::from(finest[line.dimension]).exp2())
        .product();
    for window in whole(model, &finest) {
        for (cell, spans) in model.cells(&window) {
            let Some(value) = model.ground.values(&model.space, &spans).next() else {
                continue;
            };
            let world = cell
                .iter()
                .enumerate()
                .map(|(axis, &cell)| centre(model, &finest, axis, cell))
                .collect();
            found.push(BaseCell {
                value,
                area,
                centre: spans.iter().map(|span| span.0 + span.1).collect(),
                world,
            });
        }
    }
    Ok(found)
}

/// What is asked.
pub fn draw(
    source: &Source,
    number: usize,
    model: &Model,
    dice: &mut Dice,
) -> (StatisticsQuery, Cut) {
    let design: &Design = &source.designs[number];
    let mut cut = Cut {
        windows: Vec::new(),
        extent: None,
        region: None,
        predicate: None,
    };
    let mut query = StatisticsQuery::all();
    let window = |dice: &mut Dice| {
        let at = design.levels(dice);
        let most = dice.pick(&[3, 8, 40]);
        source.area(dice, number, at, (most, false)).window()
    };
    match dice.range(0, 4) {
        0 => {}
        1 | 2 => {
            let window = window(dice);
            cut.windows.push(model.space.spans(&window));
            query = query.window(window);
        }
        3 => {
            let extent = design.schema.structure().extent(&window(dice));
            query = query.extent(extent.clone());
            cut.extent = Some(extent);
        }
        _ => {
            cut.region = design.polygon(dice);
            query = cut
                .region
                .iter()
                .fold(query, |query, region| query.polygon(region.polygon.clone()));
        }
    }
    if dice.chance(30) {
        let comparison = |dice: &mut Dice| {
            (
                u8::try_from(dice.range(0, 5)).unwrap(),
                dice.range(0, 12) as f64
                    / if design.values == Values::Small {
                        2.0
                    } else {
                        0.5
                    },
            )
        };
        let comparisons: Vec<(u8, f64)> = (0..dice.pick(&[1, 1, 2]))
            .map(|_| comparison(dice))
            .collect();
        let made = comparisons.iter().map(|&(how, than)| match how {
            0 => Predicate::at_least(than),
            1 => Predicate::at_most(than),
            2 => Predicate::above(than),
            3 => Predicate::below(than),
            4 => Predicate::equals(than),
            _ => Predicate::differs(than),
        });
        let predicate = made.reduce(Predicate::and).unwrap();
        query = query.matching(predicate.clone());
        cut.predicate = Some((predicate, comparisons));
    }
    (query, cut)
}

/// Asks for the figures of a region, and says what is wrong.
pub fn figures(
    grid: &Grid,
    model: &Model,
    (query, cut): &(StatisticsQuery, Cut),
    dice: &mut Dice,
) -> Result<(), String> {
    let cells = base_cells(grid, model)?;
    let blame = |what: String| format!("figures of {query:?}: {what}");
    let bins = Bins::edges(vec![0.0, 1.0, 2.5, 4.0, 7.0]).map_err(|e| e.to_string())?;
    let (binned, classes) = (dice.chance(30), dice.chance(20) && cells.len() < 60_000);
    let mut query = query.clone().stats(Stat::ALL);
    if binned {
        query = query.histogram(bins.clone());
    }
    if classes {
        query = query.classes();
    }
    let takes: Option<Vec<bool>> = cells.iter().map(|cell| cut.takes(cell)).collect();
    let got = grid.statistics(&query).map_err(|e| blame(e.to_string()))?;
    let Some(takes) = takes else { return Ok(()) };
    let cells: Vec<&BaseCell> = cells
        .iter()
        .zip(takes)
        .filter(|(_, takes)| *takes)
        .map(|(cell, _)| cell)
        .collect();
    compare(&got, model, &cells).map_err(blame)?;
    if (got.histogram.is_some(), got.classes.is_some()) != (binned, classes) {
        return Err(blame(format!(
            "a histogram {:?} and classes {:?}, asked: {binned}, {classes}",
            got.histogram, got.classes
        )));
    }
    if let Some(histogram) = &got.histogram {
        let edges = bins.as_slice();
        let within = |low: f64, high: f64, last: bool| {
            let of = |cell: &&&BaseCell| {
                cell.value.real() >= low
                    && (cell.value.real() < high || last && cell.value.real() == high)
            };
            cells.iter().filter(of).count()
        };
        for (i, count) in histogram.counts.iter().enumerate() {
            exactly(
                "a bin",
                count,
                within(edges[i], edges[i + 1], i + 2 == edges.len()) as f64,
            )
            .map_err(blame)?;
        }
        exactly(
            "below",
            &histogram.below,
            within(f64::NEG_INFINITY, edges[0], false) as f64,
        )
        .map_err(blame)?;
        let above = cells
            .iter()
            .filter(|cell| cell.value.real() > edges[edges.len() - 1])
            .count();
        exactly("above", &histogram.above, above as f64).map_err(blame)?;
    }
    for class in got.classes.iter().flatten() {
        let own: Vec<_> = cells
            .iter()
            .filter(|cell| is(cell.value, class.exact))
            .collect();
        exactly("a class", &class.count, own.len() as f64).map_err(blame)?;
        exactly(
            "a class's area",
            &class.area,
            own.iter().map(|cell| cell.area).sum(),
        )
        .map_err(blame)?;
    }
    if let Some(found) = &got.classes {
        let missing = cells
            .iter()
            .find(|cell| !found.iter().any(|class| is(cell.value, class.exact)));
        if let Some(missing) = missing {
            return Err(blame(format!("class {:?} is missing", missing.value)));
        }
    }
    Ok(())
}

/// Whether a value is that of a class.
fn is(value: Num, class: Number) -> bool {
    match value {
        Num::Int(value) => class.whole() == Some(value),
        Num::Float(value) => class.to_f64() == value,
    }
}

fn exactly(what: &str, got: &Estimate, want: f64) -> Result<(), String> {
    if got.value == want && got.low == want && got.high == want {
        Ok(())
    } else {
        Err(format!("{what} is {got:?}, not {want}"))
    }
}

fn near(what: &str, got: Option<Estimate>, want: f64, slack: f64) -> Result<(), String> {
    let got = got.ok_or_else(|| format!("{what} is not there"))?.value;
    let right = got == want || (got - want).abs() <= slack || got.is_nan() && want.is_nan();
    if right {
        Ok(())
    } else {
        Err(format!(
            "{what} is {got}, not {want} (give or take {slack})"
        ))
    }
}

/// Compares figures with the cells that they are of.
pub fn compare(got: &Statistics, model: &Model, cells: &[&BaseCell]) -> Result<(), String> {
    if !got.exact {
        return Err("they are not exact".into());
    }
    let float = model.schema.dtype().is_float();
    let plain = !float && model.space.refinable.is_none();
    let weight = |cell: &BaseCell| if plain { 1.0 } else { cell.area };
    let area: f64 = cells.iter().map(|cell| cell.area).sum();
    near("the count", got.count, cells.len() as f64, 0.0)?;
    near("the area", got.area, area, 0.0)?;
    let most = cells
        .iter()
        .map(|cell| cell.value.real().abs())
        .fold(0.0, f64::max);
    let sum: f64 = cells
        .iter()
        .map(|cell| cell.value.real() * weight(cell))
        .sum();
    let total: f64 = cells
        .iter()
        .map(|cell| cell.value.real().abs() * weight(cell))
        .sum();
    if total.is_finite() {
        near("the sum", got.sum, sum, total * 1e-12)?;
    }
    if let Some(whole) = got.whole_sum {
        // In the smallest areas that there are.
        #[expect(clippy::cast_possible_truncation, reason = "a power of two")]
        let parts = |cell: &BaseCell| {
            if let Num::Int(value) = cell.value {
                value * (weight(cell) / 2.0_f64.powi(-30)) as i128
            } else {
                0
            }
        };
        let exact: i128 = cells.iter().map(|cell| parts(cell)).sum();
        if exact != whole << 30 {
            return Err(format!(
                "the whole sum is {whole}, not {}",
                exact as f64 / 2.0_f64.powi(30)
            ));
        }
    }
    let scale = if most == 0.0 { 1.0 } else { most };
    let (mean, n) = (
        cells
            .iter()
            .map(|cell| cell.value.real() / scale * (cell.area / area))
            .sum::<f64>()
            .clamp(-1.0, 1.0)
            * scale,
        cells.len(),
    );
    let of_none = |value: f64| if n == 0 { f64::NAN } else { value };
    near("the mean", got.mean, of_none(mean), 1e-12 * most)?;
    let least = cells
        .iter()
        .map(|cell| cell.value)
        .reduce(|a, b| if b.order(a).is_lt() { b } else { a });
    let greatest = cells
        .iter()
        .map(|cell| cell.value)
        .reduce(|a, b| if b.order(a).is_gt() { b } else { a });
    near("the least", got.min, least.map_or(f64::NAN, Num::real), 0.0)?;
    near(
        "the greatest",
        got.max,
        greatest.map_or(f64::NAN, Num::real),
        0.0,
    )?;
    for (got, want) in got.extremes.iter().zip([least, greatest]) {
        if got.is_none() != want.is_none()
            || got.zip(want).is_some_and(|(got, want)| !is(want, got))
        {
            return Err(format!("the extremes are {got:?}, not {want:?}"));
        }
    }
    if most < 1e150 {
        let square = |cell: &&BaseCell| (cell.value.real() - mean).powi(2) * (cell.area / area);
        near(
            "the deviation",
            got.std,
            of_none(cells.iter().map(square).sum::<f64>().sqrt()),
            1e-6 * most + f64::MIN_POSITIVE,
        )?;
    }
    Ok(())
}
