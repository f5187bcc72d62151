//! A grid against its oracle.

use std::sync::Arc;

use gridstone::kv::{Engine, Memory};
use gridstone::{
    Aggregation, Answer, Dimension, ErrorKind, Freshness, Grid, Layer, Level, Levels, Policy,
    Query, Shape, Store, Structure, StructureBuilder, Window,
};

pub use crate::dice::Dice;
use crate::oracle::{Oracle, indices};

pub fn levels(levels: &[i8]) -> Levels {
    levels
        .iter()
        .map(|&level| Level::new(level).unwrap())
        .collect()
}

pub fn numbers(levels: &Levels) -> Vec<i8> {
    levels.iter().map(|level| level.get()).collect()
}

/// Some cells of some levels.
pub fn window(at: &[i8], start: &[i64], shape: &[u64]) -> Window {
    Window::new(start, Shape::from(shape)).at(levels(at))
}

/// The structure of some dimensions.
pub fn structure(dimensions: impl IntoIterator<Item = Dimension>) -> Structure {
    dimensions
        .into_iter()
        .fold(Structure::builder(), StructureBuilder::dimension)
        .build()
        .unwrap()
}

/// A store in an engine that others may have open too.
pub fn open(engine: &Arc<Memory>, policy: Policy) -> Store {
    Store::options()
        .policy(policy)
        .open_engine(Arc::clone(engine) as Arc<dyn Engine>)
        .unwrap()
}

/// How many cases a property is tried with, of a default.
pub fn cases(default: u32) -> u32 {
    std::env::var("GRIDSTONE_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(default)
}

/// What only the suite draws.
impl Dice {
    /// A number from `low` to `high`, both included.
    pub fn range(&mut self, low: i64, high: i64) -> i64 {
        let len = u64::try_from(high - low + 1).unwrap();
        low + i64::try_from(self.next() % len).unwrap()
    }
}

fn same(got: f64, want: f64, layer: Option<&Aggregation>, oracle: &Oracle) -> bool {
    // Base cells are given back as they were put: a hole may hold NaN or the nodata value.
    got.to_bits() == want.to_bits()
        || got.is_nan() && want.is_nan()
        || layer.is_none() && !oracle.is_valid(got) && !oracle.is_valid(want)
}

/// What is wrong with an answer outside of what it says is stale, if anything.
pub fn difference(
    answer: &Answer,
    oracle: &mut Oracle,
    layer: Option<&Aggregation>,
    at: &[i8],
) -> Option<String> {
    let window = answer.window;
    assert_eq!(
        answer.array.dtype(),
        oracle.dtype(layer),
        "the type of {layer:?}"
    );
    assert_eq!(answer.array.shape().len(), window.shape().len());
    for (got, want) in answer
        .extent
        .bounds()
        .iter()
        .zip(oracle.extent(at, &window))
    {
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-3 + 1e-12 * a.abs();
        assert!(
            near(got.0, want.0) && near(got.1, want.1),
            "the extent of {window:?} is {:?}, not {want:?}",
            answer.extent
        );
    }
    let (want, slack) = (oracle.expected(layer, at, &window), oracle.slack(layer));
    let got: Vec<f64> = answer.array.iter_f64().collect();
    assert_eq!(got.len(), want.len());
    let held = oracle
        .held(layer, at, &window)
        .into_iter()
        .zip(answer.values());
    for (((index, got), want), (held, valid)) in
        indices(&window.shape()).zip(got).zip(want).zip(held)
    {
        let cell: Vec<i64> = index
            .iter()
            .zip(window.start().iter())
            .map(|(i, start)| i + start)
            .collect();
        let stale = answer.stale.iter().any(|stale| {
            (0..cell.len())
                .all(|axis| stale.start()[axis] <= cell[axis] && cell[axis] < stale.end()[axis])
        });
        let close = slack.is_some_and(|slack| (got - want).abs() <= slack);
        if !stale && !close && !same(got, want, layer, oracle) {
            return Some(format!(
                "{layer:?} at {at:?}: cell {cell:?} is {got}, not {want}"
            ));
        }
        // Of nothing there is a count too; what is not a number is no data.
        let is_data = layer == Some(&Aggregation::Count) || held.is_some_and(|held| !held.is_nan());
        if !stale && is_data != valid.is_some() {
            return Some(format!(
                "{layer:?} at {at:?}: cell {cell:?} is {got}, and is said to be data: {}",
                valid.is_some()
            ));
        }
    }
    None
}

/// Reads a window, or all, and compares.
pub fn read(
    grid: &Grid,
    oracle: &mut Oracle,
    region: Option<Window>,
    at: &[i8],
    layer: Option<&Aggregation>,
    freshness: Freshness,
) -> Result<Answer, String> {
    let mut query = region
        .map_or_else(Query::all, Query::window)
        .levels(levels(at))
        .freshness(freshness);
    query = query.layer(layer.cloned().map_or(Layer::Base, Layer::Aggregate));
    let answer = grid.read(&query).map_err(|error| {
        format!(
            "{query:?}: {error}: {:?}",
            std::error::Error::source(&error)
        )
    })?;
    if freshness == Freshness::Fresh {
        assert!(answer.stale.is_empty(), "a fresh answer is not stale");
    }
    if region.is_none() {
        let (start, shape) = oracle.bounds(at).unwrap();
        assert_eq!(
            (&*answer.window.start(), &*answer.window.shape()),
            (&start[..], &shape[..]),
            "all is the bounds"
        );
    }
    match difference(&answer, oracle, layer, at) {
        None => Ok(answer),
        Some(wrong) => Err(format!("{freshness:?} {wrong}")),
    }
}

/// The base, the records, and a sample of the levels; all of them with `everything`.
pub fn grid(
    grid: &Grid,
    oracle: &mut Oracle,
    dice: &mut Dice,
    everything: bool,
) -> Result<(), String> {
    let Some(top) = oracle.top() else {
        assert_eq!(grid.bounds().unwrap(), None);
        assert_eq!(grid.top().unwrap(), None);
        assert_eq!(grid.marks().unwrap(), 0);
        assert_eq!(grid.stored_chunks().unwrap(), []);
        assert_eq!(
            grid.read(&Query::all()).unwrap_err().kind(),
            &ErrorKind::NotFound
        );
        return Ok(());
    };
    let base = oracle.base().to_vec();
    let bounds = grid.bounds().unwrap().unwrap();
    let (start, shape) = oracle.bounds(&base).unwrap();
    assert_eq!(
        (&*bounds.start(), &*bounds.shape()),
        (&start[..], &shape[..]),
        "the bounds"
    );
    assert_eq!(numbers(&grid.base_levels().unwrap().unwrap()), base);
    let found = grid.top().unwrap().unwrap();
    assert_eq!(numbers(&found.levels()), top, "the top over {bounds:?}");
    read(grid, oracle, None, &base, None, Freshness::Stored)?;
    let aggregators = grid.schema().aggregators().to_vec();
    if aggregators.is_empty() {
        return Ok(());
    }
    let (marks, reach) = (
        grid.marks().unwrap(),
        grid.reach()
            .unwrap()
            .map_or(base.clone(), |reach| numbers(&reach)),
    );
    let mut queries: Vec<(Vec<i8>, Aggregation)> = Vec::new();
    let lattice = oracle.lattice();
    if everything && lattice.len() * aggregators.len() <= 60 {
        queries = lattice
            .iter()
            .flat_map(|at| {
                aggregators
                    .iter()
                    .map(move |layer| (at.clone(), layer.clone()))
            })
            .collect();
    } else {
        queries.push((top.clone(), aggregators[0].clone()));
        let count = if everything { 40 } else { 3 };
        queries.extend((0..count).map(|_| (dice.pick(&lattice), dice.pick(&aggregators))));
    }
    for (at, layer) in queries {
        if everything {
            oracle.prove(&at);
        }
        let region = dice.chance(30).then(|| random_window(oracle, &at, dice));
        read(grid, oracle, region, &at, Some(&layer), Freshness::Fresh)?;
        let stored = at.iter().zip(&reach).all(|(at, reach)| at <= reach);
        if stored {
            let answer = read(grid, oracle, region, &at, Some(&layer), Freshness::Stored)?;
            assert!(
                marks > 0 || answer.stale.is_empty(),
                "nothing is marked, but {:?} stale",
                answer.stale
            );
        } else {
            let error = grid
                .read(
                    &Query::all()
                        .levels(levels(&at))
                        .layer(Layer::Aggregate(layer)),
                )
                .unwrap_err();
            assert_eq!(
                error.kind(),
                &ErrorKind::NotFound,
                "{at:?} is above {reach:?}"
            );
        }
    }
    Ok(())
}

/// Whole again: nothing marked, the pyramid up to the top, and clean under verification.
pub fn drained(grid: &Grid, oracle: &mut Oracle, dice: &mut Dice) -> Result<(), String> {
    assert_eq!(grid.marks().unwrap(), 0, "no mark is left");
    if let Some(top) = oracle.top()
        && !grid.schema().aggregators().is_empty()
    {
        let reach = grid
            .reach()
            .unwrap()
            .map_or(oracle.base().to_vec(), |reach| numbers(&reach));
        assert_eq!(reach, top, "the pyramid reaches the top");
    }
    self::grid(grid, oracle, dice, true)?;
    let report = grid.store().verify().unwrap();
    if report.findings.is_empty() {
        Ok(())
    } else {
        Err(format!("verify finds {:?}", report.findings))
    }
}

/// A window that touches the data, or not.
pub fn random_window(oracle: &Oracle, at: &[i8], dice: &mut Dice) -> Window {
    let (start, shape) = oracle.bounds(at).unwrap();
    let fixed: Vec<bool> = oracle
        .schema()
        .structure()
        .dimensions()
        .iter()
        .flat_map(|d| d.axes().iter().map(|_| d.is_fixed()))
        .collect();
    let mut window = (Vec::new(), Vec::new());
    for axis in 0..start.len() {
        let (start, len) = (start[axis], i64::try_from(shape[axis]).unwrap());
        let margin = if fixed[axis] { 0 } else { 5 };
        let first = dice.range(start - margin, start + len - 1 + margin);
        let most = if fixed[axis] {
            start + len - first
        } else {
            len + 5
        };
        window.0.push(first);
        window
            .1
            .push(u64::try_from(dice.range(1, most.max(1))).unwrap());
    }
    Window::new(
        window.0.as_slice(),
        gridstone::Shape::from(window.1.as_slice()),
    )
    .at(levels(at))
}
