//! Statistics of events against a plain map of them.

use std::collections::BTreeMap;

use gridstone::statistics::{Bins, Estimate, Predicate};
use gridstone::{
    ErrorKind, Grid, Polygon, Shape, Stat, Statistics, StatisticsQuery, Steps, Window,
};

use super::events::{Events, Place};
use crate::check::Dice;
use crate::statistics::inside;

/// What is asked, and as the map is asked for it.
struct Asked {
    query: StatisticsQuery,
    /// First and last, along every axis.
    window: Option<Vec<(i64, i64)>>,
    ring: Option<Vec<[f64; 2]>>,
    predicate: Option<Predicate>,
    bins: Bins,
}

fn ask(oracle: &Events, dice: &mut Dice) -> Asked {
    let structure = oracle.structure();
    let bins = Bins::edges([0.0, 1.0, 2.5, 50.0]).unwrap();
    let mut asked = Asked {
        query: StatisticsQuery::all(),
        window: None,
        ring: None,
        predicate: None,
        bins,
    };
    if dice.chance(60) {
        let side = |axis: usize| {
            let of = &structure.dimensions()[structure.dimension_of(axis)];
            if axis == oracle.time {
                let first = dice.pick(&[-600, -60, -9, 0, 5, 300, i64::MIN + 1]);
                (
                    first,
                    first
                        .saturating_add(dice.pick(&[0, 8, 70, 1200, i64::MAX]))
                        .min(i64::MAX - 1),
                )
            } else if of.is_fixed() {
                let first = dice.range(0, 1);
                (first, dice.range(first, 1))
            } else {
                let first = dice.range(-6, 6);
                (first, first + dice.range(0, 9))
            }
        };
        let sides: Vec<(i64, i64)> = (0..structure.rank()).map(side).collect();
        let start: Vec<i64> = sides.iter().map(|(first, _)| *first).collect();
        let shape: Vec<u64> = sides
            .iter()
            .map(|(first, last)| last.abs_diff(*first) + 1)
            .collect();
        asked.query = asked
            .query
            .window(Window::new(start.as_slice(), Shape::from(shape.as_slice())));
        asked.window = Some(sides);
    }
    let plane = structure.axes().any(|axis| axis.name() == "y");
    if plane && dice.chance(50) {
        let ring: Vec<[f64; 2]> = (0..dice.range(3, 6))
            .map(|_| [dice.range(-40, 40), dice.range(-40, 40)].map(|at| at as f64 / 4.0))
            .collect();
        // Along y the world falls.
        let world = ring.iter().map(|[y, x]| [*x, -*y]).collect();
        if let Ok(polygon) = Polygon::new(["x", "y"], [vec![world]]) {
            asked.query = asked.query.polygon(polygon);
            asked.ring = Some(ring);
        }
    }
    if dice.chance(30) {
        let predicate = dice.pick(&[
            Predicate::at_least(1.0),
            Predicate::below(50.0),
            Predicate::equals(2.0),
        ]);
        asked.query = asked.query.matching(predicate.clone());
        asked.predicate = Some(predicate);
    }
    asked
}

impl Asked {
    /// The values of each event, in the order of ticks.
    fn values(&self, oracle: &Events) -> BTreeMap<i64, Vec<f64>> {
        let structure = oracle.structure();
        let y = structure.axes().position(|axis| axis.name() == "y");
        let holds = |tick: i64, place: &Place, value: f64| {
            let mut cell = place.clone();
            cell.insert(oracle.time, tick);
            let within = |of: &Vec<(i64, i64)>| {
                of.iter()
                    .zip(&cell)
                    .all(|((first, last), at)| first <= at && at <= last)
            };
            let ringed = |ring: &Vec<[f64; 2]>| {
                y.is_some_and(|y| {
                    inside(
                        std::slice::from_ref(ring),
                        cell[y],
                        cell[y + 1],
                        [false, true],
                    )
                })
            };
            self.window.as_ref().is_none_or(within)
                && self.ring.as_ref().is_none_or(ringed)
                && self
                    .predicate
                    .as_ref()
                    .is_none_or(|predicate| predicate.holds(value))
        };
        let of_event = |(tick, cells): (&i64, &BTreeMap<Place, f64>)| {
            (
                *tick,
                cells
                    .iter()
                    .filter(|(place, value)| holds(*tick, place, **value))
                    .map(|(_, value)| *value)
                    .collect(),
            )
        };
        oracle.cells.iter().map(of_event).collect()
    }

    fn check(&self, got: &Statistics, values: &[f64]) -> Result<(), String> {
        let n = values.len() as f64;
        let sum: f64 = values.iter().sum();
        let mean = sum / n;
        let variance = values
            .iter()
            .map(|value| (value - mean) * (value - mean))
            .sum::<f64>()
            / n;
        let least = |of: fn(f64, f64) -> f64| values.iter().copied().reduce(of).unwrap_or(f64::NAN);
        let figure = |name: &str, got: Option<Estimate>, want: f64, slack: f64| match got {
            Some(got)
                if !(got.value.is_nan() && want.is_nan()) && (got.value - want).abs().is_nan() =>
            {
                Err(format!("{name} is {got:?}, not {want}"))
            }
            Some(got) if (got.value - want).abs() > slack => {
                Err(format!("{name} is {got:?}, not {want}"))
            }
            _ => Ok(()),
        };
        figure("count", got.count, n, 0.0)?;
        figure("sum", got.sum, sum, 1e-10 * n)?;
        figure("mean", got.mean, mean, 1e-10)?;
        figure("min", got.min, least(f64::min), 0.0)?;
        figure("max", got.max, least(f64::max), 0.0)?;
        figure("std", got.std, variance.sqrt(), 1e-6)?;
        if let Some(histogram) = &got.histogram {
            let edges = self.bins.as_slice();
            for (number, count) in histogram.counts.iter().enumerate() {
                let last = number + 2 == edges.len();
                let held = |v: &&f64| {
                    edges[number] <= **v
                        && (**v < edges[number + 1] || last && **v == edges[number + 1])
                };
                figure(
                    "a bin",
                    Some(*count),
                    values.iter().filter(held).count() as f64,
                    0.0,
                )?;
            }
        }
        if let Some(classes) = &got.classes {
            let mut want: BTreeMap<u64, f64> = BTreeMap::new();
            values
                .iter()
                .for_each(|value| *want.entry(value.to_bits()).or_default() += 1.0);
            let got: BTreeMap<u64, f64> = classes
                .iter()
                .map(|class| (class.value.to_bits(), class.count.value))
                .collect();
            if got != want {
                return Err(format!("classes are {got:?}, not {want:?}"));
            }
        }
        if got.exact {
            Ok(())
        } else {
            Err("it is not exact".to_owned())
        }
    }
}

/// Asks a grid, of all events together and of each step.
pub fn compare(grid: &Grid, oracle: &Events, dice: &mut Dice) -> Result<(), String> {
    let asked = ask(oracle, dice);
    let blame = |wrong: String| format!("{:?}: {wrong}", asked.query);
    let values = asked.values(oracle);
    let all: Vec<f64> = values.values().flatten().copied().collect();
    let everything = asked
        .query
        .clone()
        .stats(Stat::ALL)
        .histogram(asked.bins.clone())
        .classes();
    for query in [
        asked.query.clone(),
        asked.query.clone().stats([dice.pick(&Stat::ALL)]),
        everything.clone(),
    ] {
        let got = grid
            .statistics(&query)
            .map_err(|e| blame(format!("{e}: {:?}", std::error::Error::source(&e))))?;
        asked.check(&got, &all).map_err(blame)?;
    }
    let refused = grid
        .statistics(&asked.query.clone().max_chunks(3))
        .unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::Invalid);
    assert!(refused.to_string().contains("`time`"), "{refused}");
    if oracle.bounds.is_none() {
        let refused = grid
            .statistics_series(&asked.query, &Steps::all())
            .unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::NotFound);
        return Ok(());
    }
    let (first, len) = (dice.range(-60, 30), dice.range(0, 90));
    let (kind, ticked) = (dice.range(0, 2), dice.chance(50));
    let every = kind == 1;
    let ticked = ticked || every;
    let mut steps = if ticked {
        Steps::all().ticks(first..first + len)
    } else {
        Steps::all()
    };
    if kind == 0 {
        steps = steps.points(usize::try_from(dice.range(1, 6)).unwrap());
    } else if every {
        steps = steps.every(u64::try_from(dice.range(1, 30)).unwrap(), 3);
    }
    let query = dice.pick(&[everything, asked.query.clone()]);
    let series = grid
        .statistics_series(&query, &steps)
        .map_err(|e| blame(format!("{steps:?}: {e}")))?;
    let blame = |wrong: String| blame(format!("{steps:?}: {wrong}"));
    let coordinates = series.coordinates.as_ref().unwrap();
    if coordinates.ticks.len() != series.steps.len() {
        return Err(blame(format!(
            "{} steps at {coordinates:?}",
            series.steps.len()
        )));
    }
    // Bins are whole; steps and events end where they were asked to.
    let clipped = |tick: &i64| {
        !ticked || coordinates.width > 1 && !every || (first..first + len).contains(tick)
    };
    let mut seen = 0;
    for (number, (start, got)) in coordinates.ticks.iter().zip(&series.steps).enumerate() {
        // A bin that begins before all ticks is shorter.
        let next = coordinates
            .ticks
            .get(number + 1)
            .map_or(i64::MAX, |next| next - 1);
        let end = start
            .saturating_add_unsigned(coordinates.width - 1)
            .min(next);
        let of_step = values.range(*start..=end).filter(|(tick, _)| clipped(tick));
        let of_step: Vec<f64> = of_step
            .flat_map(|(_, values)| values.iter().copied())
            .collect();
        asked
            .check(got, &of_step)
            .map_err(|wrong| blame(format!("the step at {start} of {coordinates:?}: {wrong}")))?;
        seen += of_step.len();
    }
    let want: usize = values
        .iter()
        .filter(|(tick, _)| !ticked || (first..first + len).contains(*tick))
        .map(|(_, v)| v.len())
        .sum();
    if seen < want || seen > want && (coordinates.width == 1 || every) {
        return Err(blame(format!(
            "{seen} values in all steps of {coordinates:?}, not {want}"
        )));
    }
    Ok(())
}
