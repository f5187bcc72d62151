//! Events at exact ticks: random histories against a plain map of every event, and what the shape of a history must not change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gridstone::kv::{Engine, Memory};
use gridstone::{
    Aggregation, Answer, Axis, DType, Depth, Dimension, ErrorKind, Freshness, Grid, Layer, Level, Levels, Moment, Overlap,
    Policy, Query, Schema, Store, Structure, Window,
};
use proptest::prelude::*;

use crate::check::{self, Dice};
use crate::oracle::{array, indices, mode, variance};

/// A cell of the base without its tick: an index along each other axis.
type Place = Vec<i64>;

/// What a grid must hold.
#[derive(Clone, Debug)]
struct Events {
    schema: Schema,
    time: usize,
    /// Valid cells of each event.
    cells: BTreeMap<i64, BTreeMap<Place, f64>>,
    /// The ticks of each column of chunks, whether they hold data or not.
    columns: BTreeMap<Place, BTreeSet<i64>>,
    bounds: Option<Vec<(i64, i64)>>,
}

/// The cells under a cell at some levels: tick, place, value, in the order of ticks and of the Morton curve within one.
type Family = Vec<(i64, Place, f64)>;

impl Events {
    fn new(schema: &Schema) -> Self {
        let time = schema.structure().irregular().unwrap();
        let time = schema.structure().axes_of(time).start;
        Self { schema: schema.clone(), time, cells: BTreeMap::new(), columns: BTreeMap::new(), bounds: None }
    }

    fn structure(&self) -> &Structure {
        self.schema.structure()
    }

    fn is_valid(&self, value: f64) -> bool {
        !value.is_nan() && Some(value) != self.schema.nodata()
    }

    fn others(&self) -> Vec<usize> {
        (0..self.structure().rank()).filter(|axis| *axis != self.time).collect()
    }

    fn column(&self, place: &Place) -> Place {
        let chunks = self.others().into_iter().map(|axis| i64::try_from(self.structure().chunk_shape()[axis]).unwrap());
        place.iter().zip(chunks).map(|(at, chunk)| at.div_euclid(chunk)).collect()
    }

    /// Puts values; false if the overlap refuses it.
    fn put(&mut self, ticks: &[i64], start: &[i64], shape: &[u64], values: &[f64], overlap: Overlap) -> bool {
        let mut put: Vec<(i64, Place, f64)> = Vec::new();
        for (index, value) in indices(shape).zip(values) {
            let tick = ticks[usize::try_from(index[self.time]).unwrap()];
            let place: Place = self.others().iter().zip(start).map(|(axis, start)| start + index[*axis]).collect();
            put.push((tick, place, *value));
        }
        let held = |tick: i64, place: &Place| self.cells.get(&tick).is_some_and(|cells| cells.contains_key(place));
        if overlap == Overlap::Refuse && put.iter().any(|(tick, place, _)| held(*tick, place)) {
            return false;
        }
        for (tick, place, value) in put {
            self.columns.entry(self.column(&place)).or_default().insert(tick);
            let valid = self.is_valid(value);
            let cells = self.cells.entry(tick).or_default();
            match overlap {
                Overlap::Keep if cells.contains_key(&place) => {}
                Overlap::Replace if !valid => drop(cells.remove(&place)),
                _ if !valid => {}
                _ => drop(cells.insert(place, value)),
            }
        }
        let hull = |axis: usize| match self.others().iter().position(|other| *other == axis) {
            Some(number) => (start[number], start[number] + i64::try_from(shape[axis]).unwrap() - 1),
            None => (*ticks.iter().min().unwrap(), *ticks.iter().max().unwrap()),
        };
        let hull: Vec<(i64, i64)> = (0..self.structure().rank()).map(hull).collect();
        self.bounds = Some(match self.bounds.take() {
            None => hull,
            Some(old) => old.iter().zip(&hull).map(|(a, b)| (a.0.min(b.0), a.1.max(b.1))).collect(),
        });
        true
    }

    /// Removes what lies in a box; `cut` is first and last along every axis.
    fn clear(&mut self, cut: &[(i64, i64)], shrink: bool) {
        let others = self.others();
        let chunk = |axis: usize| i64::try_from(self.structure().chunk_shape()[axis]).unwrap();
        let chunks: Vec<i64> = others.iter().map(|axis| chunk(*axis)).collect();
        let within = |place: &Place| place.iter().zip(&others).all(|(at, axis)| cut[*axis].0 <= *at && *at <= cut[*axis].1);
        let (first, last) = cut[self.time];
        // Beyond what was put nothing is touched.
        let Some(bounds) = self.bounds.clone() else { return };
        let reach: Vec<(i64, i64)> = cut.iter().zip(&bounds).map(|(a, b)| (a.0.max(b.0), a.1.min(b.1))).collect();
        if others.iter().any(|axis| reach[*axis].0 > reach[*axis].1) {
            return;
        }
        let mut touched: Vec<(Place, i64)> = Vec::new();
        for (column, ticks) in &self.columns {
            let overlaps = column
                .iter()
                .zip(&others)
                .zip(&chunks)
                .all(|((at, axis), chunk)| at * chunk <= reach[*axis].1 && (at + 1) * chunk > reach[*axis].0);
            if overlaps {
                touched.extend(ticks.range(first..=last).map(|tick| (column.clone(), *tick)));
            }
        }
        for (_, cells) in self.cells.range_mut(first..=last) {
            cells.retain(|place, _| !within(place));
        }
        for (column, tick) in touched {
            let whole = column
                .iter()
                .zip(&others)
                .zip(&chunks)
                .all(|((at, axis), chunk)| cut[*axis].0 <= at * chunk && (at + 1) * chunk - 1 <= cut[*axis].1);
            let left = self.cells.get(&tick).is_some_and(|cells| cells.keys().any(|place| self.column(place) == column));
            if whole || !left {
                self.columns.get_mut(&column).unwrap().remove(&tick);
            }
        }
        if let Some(bounds) = self.bounds.as_mut().filter(|_| shrink) {
            let left: Vec<usize> =
                (0..bounds.len()).filter(|&axis| cut[axis].0 > bounds[axis].0 || cut[axis].1 < bounds[axis].1).collect();
            match left.as_slice() {
                [] => self.bounds = None,
                &[axis] if cut[axis].0 <= bounds[axis].0 => bounds[axis].0 = bounds[axis].0.max(cut[axis].1 + 1),
                &[axis] if cut[axis].1 >= bounds[axis].1 => bounds[axis].1 = bounds[axis].1.min(cut[axis].0 - 1),
                _ => {}
            }
        }
    }

    /// The ticks that the columns under a window's chunks hold, the window being at some levels along the other axes.
    fn ticks(&self, window: &Window) -> BTreeSet<i64> {
        let structure = self.structure();
        let levels = window.levels(structure.dimensions().len());
        let mut ticks = BTreeSet::new();
        // Beyond what was put there are no chunks to look at.
        let Some(bounds) = &self.bounds else { return ticks };
        let start: Vec<i64> = bounds.iter().map(|(first, _)| *first).collect();
        let shape: Vec<u64> = bounds.iter().map(|(first, last)| last.abs_diff(*first) + 1).collect();
        let put = Window::new(start.as_slice(), gridstone::Shape::from(shape.as_slice()));
        let put = self.flat(&structure.cover(&put, levels));
        let Some(flat) = structure.intersection(&self.flat(window), &put) else { return ticks };
        let wanted: BTreeSet<Vec<i64>> =
            structure.split(&flat).map(|piece| self.without(&structure.chunk_index(&piece.location))).collect();
        for (column, of) in &self.columns {
            let mut index = column.clone();
            index.insert(self.time, 0);
            let at = structure.location(base_levels(structure, levels), &index.as_slice().into()).unwrap();
            let mut at = at;
            for (d, level) in levels.iter().enumerate() {
                if d != structure.dimension_of(self.time) {
                    while at.levels()[d] < *level {
                        at = structure.parent(&at, d).unwrap().0;
                    }
                }
            }
            if wanted.contains(&self.without(&structure.chunk_index(&at))) {
                ticks.extend(of);
            }
        }
        ticks
    }

    fn without(&self, index: &[i64]) -> Vec<i64> {
        let mut index = index.to_vec();
        index.remove(self.time);
        index
    }

    /// A window of one tick with the same extent along the other axes.
    fn flat(&self, window: &Window) -> Window {
        let (mut start, mut shape) = (window.start(), window.shape());
        (start[self.time], shape[self.time]) = (0, 1);
        let levels = window.levels(self.structure().dimensions().len());
        Window::new(start, shape).at(levels.with(self.structure().dimension_of(self.time), Level::ZERO))
    }

    /// The base cells under each cell of a window, without its tick.
    fn under(&self, window: &Window) -> BTreeMap<Place, Vec<Place>> {
        let structure = self.structure();
        let dimensions = structure.dimensions().len();
        let flat = self.flat(window);
        let mut under: BTreeMap<Place, Vec<Place>> = BTreeMap::new();
        for index in indices(&flat.shape()) {
            let cell: Vec<i64> = index.iter().zip(flat.start().iter()).map(|(a, b)| a + b).collect();
            let one = Window::new(cell.as_slice(), gridstone::Shape::from(vec![1_u64; cell.len()].as_slice()));
            let below = structure.cover(&one.at(flat.levels(dimensions)), Levels::zero(dimensions));
            let mut places: Vec<Place> = indices(&below.shape())
                .map(|index| self.without(&index.iter().zip(below.start().iter()).map(|(a, b)| a + b).collect::<Vec<_>>()))
                .collect();
            places.sort_by_key(|place| morton(place, &self.without(&below.start())));
            under.insert(self.without(&cell), places);
        }
        under
    }

    fn family(&self, places: &[Place], ticks: impl Iterator<Item = i64>) -> Family {
        let mut family = Vec::new();
        for tick in ticks {
            let Some(cells) = self.cells.get(&tick) else { continue };
            family.extend(places.iter().filter_map(|place| Some((tick, place.clone(), *cells.get(place)?))));
        }
        family
    }
}

fn base_levels(structure: &Structure, like: Levels) -> Levels {
    Levels::zero(like.len()).with(structure.irregular().unwrap(), Level::ZERO)
}

/// The place on the Morton curve through a box whose sides are equal powers of two.
fn morton(place: &[i64], start: &[i64]) -> u64 {
    let mut code = 0;
    for bit in (0..20).rev() {
        for (at, start) in place.iter().zip(start) {
            code = code << 1 | u64::try_from((at - start) >> bit & 1).unwrap();
        }
    }
    code
}

/// What an aggregation makes of the base cells under one; `first` are those at the first place of each tick.
fn value(aggregation: &Aggregation, family: &Family, first: &Place) -> Option<f64> {
    let values: Vec<f64> = family.iter().map(|(_, _, value)| *value).collect();
    if let Aggregation::Count = aggregation {
        return Some(values.len() as f64);
    }
    if let Aggregation::Sample = aggregation {
        return family.iter().find(|(_, place, _)| place == first).map(|(_, _, value)| *value);
    }
    let pairs: Vec<(Vec<i64>, f64)> = family.iter().map(|(tick, _, value)| (vec![*tick], *value)).collect();
    let found = values.first()?;
    Some(match aggregation {
        Aggregation::Mean => values.iter().sum::<f64>() / values.len() as f64,
        Aggregation::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
        Aggregation::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Aggregation::Sum => values.iter().sum(),
        Aggregation::Variance => variance(&pairs),
        Aggregation::Std => variance(&pairs).sqrt(),
        Aggregation::Mode { .. } => mode(&pairs).0,
        Aggregation::First { .. } => *found,
        Aggregation::Last { .. } => {
            let last = family.last().unwrap().0;
            family.iter().find(|(tick, _, _)| *tick == last).unwrap().2
        }
        other => unreachable!("{other} is not used here"),
    })
}

fn close(got: f64, want: f64, aggregation: Option<&Aggregation>, dtype: DType) -> bool {
    let exact = !matches!(aggregation, Some(Aggregation::Mean | Aggregation::Variance | Aggregation::Std))
        && !(matches!(aggregation, Some(Aggregation::Sum)) && dtype.is_float());
    let slack = match dtype {
        _ if exact => 0.0,
        DType::F32 => 1e-4,
        _ => 1e-7,
    };
    got == want || (got - want).abs() <= slack * (1.0 + want.abs())
}

/// What is wrong with an answer, outside of what it says is stale.
fn difference(
    answer: &Answer,
    oracle: &Events,
    (layer, step): (Option<&Aggregation>, Option<u64>),
    settled: bool,
) -> Option<String> {
    let structure = oracle.structure();
    let window = answer.window;
    let levels = window.levels(structure.dimensions().len());
    let coordinates = answer.coordinates.clone().unwrap();
    let level = levels[structure.dimension_of(oracle.time)];
    let width = step.unwrap_or_else(|| 1_u64.checked_shl(level.get().unsigned_abs().into()).unwrap_or(u64::MAX));
    assert_eq!((coordinates.axis, coordinates.width), (oracle.time, width));
    assert!(coordinates.ticks.is_sorted_by(|a, b| a < b), "{:?}", coordinates.ticks);
    let (first, last) = (window.start()[oracle.time], window.end()[oracle.time]);
    let fill = |value: f64| !oracle.is_valid(value);
    // Of a step any part may be stale.
    let stale = |cell: &[i64], start: i64| {
        answer.stale.iter().any(|stale| {
            (0..cell.len()).all(|axis| match step {
                Some(step) if axis == oracle.time => {
                    stale.start()[axis] < start.saturating_add_unsigned(step) && start < stale.end()[axis]
                }
                _ => stale.start()[axis] <= cell[axis] && cell[axis] < stale.end()[axis],
            })
        })
    };
    let under = oracle.under(&window);
    let shape: Vec<u64> = answer.array.shape().iter().map(|len| *len as u64).collect();
    let got: Vec<f64> = answer.array.iter_f64().collect();
    let mut by_cell: BTreeMap<(i64, Place), f64> = BTreeMap::new();
    for (index, got) in indices(&shape).zip(got) {
        let tick = coordinates.ticks[usize::try_from(index[oracle.time]).unwrap()];
        let place: Place = oracle.others().iter().map(|axis| window.start()[*axis] + index[*axis]).collect();
        by_cell.insert((tick, place), got);
    }
    let bin_of = |tick: i64| -> (i64, i64) {
        // The bin's number, and its first tick.
        let one = oracle.flat(&window);
        let mut start = one.start();
        start[oracle.time] = tick;
        let at = Window::new(start, one.shape()).at(levels.with(structure.dimension_of(oracle.time), Level::ZERO));
        let bin = structure.cover(&at, levels).start()[oracle.time];
        let mut start = one.start();
        start[oracle.time] = bin;
        let below = structure
            .cover(&Window::new(start, one.shape()).at(levels), levels.with(structure.dimension_of(oracle.time), Level::ZERO));
        (bin, below.start()[oracle.time])
    };
    // Expected families by the first tick of each cell along the axis.
    let mut ticks_of: BTreeMap<i64, (i64, Vec<i64>)> = BTreeMap::new();
    let known: BTreeSet<i64> = oracle.columns.values().flatten().copied().collect();
    for tick in known {
        let (bin, start) = match step {
            Some(_) if tick < first || last <= tick => continue,
            Some(step) => {
                let start = tick.div_euclid(i64::try_from(step).unwrap()) * i64::try_from(step).unwrap();
                (tick, start)
            }
            None => bin_of(tick),
        };
        if first <= bin && bin < last {
            ticks_of.entry(start).or_insert((bin, Vec::new())).1.push(tick);
        }
    }
    let events = oracle.ticks(&window);
    for (start, (bin, ticks)) in &ticks_of {
        let mut any = false;
        for (place, places) in &under {
            let family = oracle.family(places, ticks.iter().copied());
            let first = &places[0];
            let want = match layer {
                Some(aggregation) => value(aggregation, &family, first),
                None => family.first().map(|(_, _, value)| *value),
            };
            let blank = want.is_none() || family.is_empty();
            any |= !blank;
            let mut cell = place.clone();
            cell.insert(oracle.time, *bin);
            let got = by_cell.remove(&(*start, place.clone()));
            if stale(&cell, *start) {
                continue;
            }
            let right = match (got, want) {
                (Some(got), Some(want)) => close(got, want, layer, answer.array.dtype()),
                (Some(got), None) => fill(got) || oracle.schema.nodata().is_none() && got == 0.0,
                // Bins without data, and events that no chunk of the window has.
                (None, _) => {
                    let listed = ticks.iter().any(|tick| events.contains(tick));
                    blank && (level != Level::ZERO || step.is_some() || !listed || !settled)
                }
            };
            if !right {
                return Some(format!(
                    "stale {:?} {layer:?} at {levels:?} ({step:?}): cell {cell:?} from tick {start} is {got:?}, not {want:?} of {family:?}; {coordinates:?}",
                    answer.stale
                ));
            }
        }
        if !any && level != Level::ZERO && step.is_none() && coordinates.ticks.contains(start) && answer.stale.is_empty() {
            return Some(format!("{layer:?} at {levels:?}: the bin at {start} holds no data"));
        }
    }
    for ((tick, place), got) in by_cell {
        let mut cell = place;
        let bin = if step.is_some() { tick } else { bin_of(tick).0 };
        cell.insert(oracle.time, bin);
        let blank = fill(got) || got == 0.0;
        if !stale(&cell, tick) && !(blank && (step.is_some() || !settled)) {
            return Some(format!("{layer:?} at {levels:?}: there is {got} at tick {tick} in {cell:?}, where nothing was put"));
        }
    }
    None
}

#[derive(Clone, Debug)]
enum Op {
    Put { seed: u64, puts: u8 },
    Clear { seed: u64, shrink: bool },
    Clean,
    Step,
    Aggregate,
    Reopen { how: u8, inline: bool },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (any::<u64>(), 1..4_u8).prop_map(|(seed, puts)| Op::Put { seed, puts }),
        2 => (any::<u64>(), any::<bool>()).prop_map(|(seed, shrink)| Op::Clear { seed, shrink }),
        1 => Just(Op::Clean),
        2 => Just(Op::Step),
        2 => Just(Op::Aggregate),
        2 => (0..3_u8, any::<bool>()).prop_map(|(how, inline)| Op::Reopen { how, inline }),
    ]
}

/// A random grid.
fn build(dice: &mut Dice) -> Schema {
    let chunk = |dice: &mut Dice| dice.pick(&[2, 2, 4]);
    let (capacity, spacing) = (dice.pick(&[2, 4, 8]), dice.pick(&[1, 3, 16, 100]));
    let depth = |dice: &mut Dice| dice.pick(&[Depth::Top, Depth::Top, Depth::Top, Depth::Levels(1)]);
    let time = Dimension::irregular("time", "seconds since 1970-01-01", capacity, spacing).depth(depth(dice));
    let space = match dice.range(0, 2) {
        0 => Dimension::regular("space", [Axis::new("x", 0.0, 1.0, chunk(dice))]),
        _ => {
            let side = chunk(dice);
            Dimension::regular("space", [Axis::new("y", 0.0, -1.0, side), Axis::new("x", 0.0, 1.0, side)])
        }
    };
    let space = space.depth(depth(dice));
    let band = Dimension::fixed("band", ["red", "green"]);
    let dimensions = match dice.range(0, 3) {
        0 => vec![space, time],
        1 => vec![time, band, space],
        _ => vec![time, space],
    };
    let structure = dimensions.into_iter().fold(Structure::builder(), gridstone::StructureBuilder::dimension).build().unwrap();
    let (dtype, nodata) = dice.pick(&[(DType::F32, None), (DType::F64, Some(-9.0)), (DType::I16, Some(-9.0)), (DType::U8, None)]);
    let mut schema = Schema::builder(structure, dtype);
    if let Some(nodata) = nodata {
        schema = schema.nodata(nodata);
    }
    let line = |name: &str| name.to_owned();
    let mut all: Vec<Aggregation> = Aggregation::plain().collect();
    all.extend([Aggregation::First { dimension: line("time") }, Aggregation::Last { dimension: line("time") }]);
    let keep = usize::try_from(dice.pick(&[0, 1, 1, 2, 3])).unwrap();
    while all.len() > keep {
        all.remove(usize::try_from(dice.range(0, all.len() as i64 - 1)).unwrap());
    }
    all.into_iter().fold(schema, gridstone::SchemaBuilder::aggregator).build().unwrap()
}

fn tick(dice: &mut Dice) -> i64 {
    match dice.range(0, 19) {
        0 => dice.pick(&[1 << 40, -(1 << 40), i64::MAX - 1, i64::MIN + 1]),
        1..=5 => dice.range(-500, 500),
        6..=12 => dice.range(0, 40),
        _ => dice.range(-9, 9),
    }
}

struct Putting {
    ticks: Vec<i64>,
    start: Vec<i64>,
    shape: Vec<u64>,
    values: Vec<f64>,
    overlap: Overlap,
}

fn putting(dice: &mut Dice, oracle: &Events) -> Putting {
    let structure = oracle.structure();
    let mut ticks: Vec<i64> = Vec::new();
    for _ in 0..dice.pick(&[1, 1, 1, 2, 3, 7]) {
        let tick = tick(dice);
        if !ticks.contains(&tick) {
            ticks.push(tick);
        }
    }
    let (mut start, mut shape) = (Vec::new(), Vec::new());
    for (axis, of) in structure.axes().enumerate() {
        let dimension = &structure.dimensions()[structure.dimension_of(axis)];
        if axis == oracle.time {
            shape.push(ticks.len() as u64);
        } else if let Some(labels) = dimension.labels() {
            let first = dice.range(0, labels.len() as i64 - 1);
            start.push(first);
            shape.push(u64::try_from(dice.range(1, labels.len() as i64 - first)).unwrap());
        } else {
            let chunk = i64::from(of.chunk());
            start.push(dice.range(-2 * chunk, 2 * chunk));
            shape.push(u64::try_from(dice.pick(&[1, 2, chunk, 2 * chunk])).unwrap());
        }
    }
    let holes = dice.pick(&[0, 0, 20, 90, 100]);
    let cells: u64 = shape.iter().product();
    let mut one = |_: u64| {
        let hole = dice.chance(holes);
        match (hole, oracle.schema.nodata(), oracle.schema.dtype().is_float()) {
            (true, Some(nodata), _) => nodata,
            (true, None, true) => f64::NAN,
            _ => dice.pick(&[0.0, 1.0, 2.0, 3.0, 100.0]),
        }
    };
    let values: Vec<f64> = (0..cells).map(&mut one).collect();
    let overlap = dice.pick(&[Overlap::Merge, Overlap::Merge, Overlap::Replace, Overlap::Keep, Overlap::Refuse]);
    Putting { ticks, start, shape, values, overlap }
}

fn options(policy: Policy, engine: &Arc<Memory>) -> Store {
    Store::options().policy(policy).open_engine(Arc::clone(engine) as Arc<dyn Engine>).unwrap()
}

/// Reads the grid everywhere it is interesting, and compares.
fn compare(grid: &Grid, oracle: &Events, dice: &mut Dice, drained: bool) -> Result<(), String> {
    let structure = oracle.structure();
    let Some(bounds) = &oracle.bounds else {
        let error = grid.read(&Query::all()).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::NotFound);
        return Ok(());
    };
    let held = grid.bounds().unwrap().unwrap();
    let held: Vec<(i64, i64)> = held.start().iter().zip(held.end().iter()).map(|(a, b)| (*a, *b - 1)).collect();
    if held != *bounds {
        return Err(format!("the bounds are {held:?}, not {bounds:?}"));
    }
    let d = structure.dimension_of(oracle.time);
    let top = grid.top().unwrap().map_or(Levels::zero(structure.dimensions().len()), |top| top.levels());
    let layers = grid.schema().aggregators().to_vec();
    let whole = || {
        let start: Vec<i64> = bounds.iter().map(|(first, _)| *first).collect();
        let shape: Vec<u64> = bounds.iter().map(|(first, last)| last.abs_diff(*first) + 1).collect();
        Window::new(start.as_slice(), gridstone::Shape::from(shape.as_slice()))
    };
    for _ in 0..6 {
        let mut window = whole();
        let (mut start, mut shape) = (window.start(), window.shape());
        for axis in 0..structure.rank() {
            if dice.chance(40) && axis != oracle.time && !structure.dimensions()[structure.dimension_of(axis)].is_fixed() {
                start[axis] += dice.range(-3, 3);
                shape[axis] = u64::try_from(dice.range(1, 6)).unwrap();
            } else if axis == oracle.time && dice.chance(60) {
                start[axis] = dice.range(-60, 60);
                shape[axis] = u64::try_from(dice.range(1, 100)).unwrap();
            }
        }
        window = Window::new(start, shape);
        let mut levels = Levels::zero(structure.dimensions().len());
        let layer = if layers.is_empty() { None } else { Some(dice.pick(&layers)) };
        let steps = layer.is_some() && dice.chance(25) && shape[oracle.time] < 1000;
        if layer.is_some() {
            for (level, top) in levels.iter_mut().zip(top.iter()) {
                let most = top.get().min(if dice.chance(80) { 8 } else { 64 });
                *level = Level::new(i8::try_from(dice.range(0, i64::from(most.max(0)))).unwrap()).unwrap();
            }
            if steps || dice.chance(30) {
                levels[d] = Level::ZERO;
            }
        }
        let base = layers.is_empty() || levels.iter().all(|level| *level == Level::ZERO) && !steps && dice.chance(50);
        let fresh = dice.chance(50);
        let mut query = Query::window(window).levels(levels);
        query = match (&layer, base) {
            (Some(layer), false) => query.layer(Layer::Aggregate(layer.clone())),
            _ => query.layer(Layer::Base),
        };
        query = query.freshness(if fresh { Freshness::Fresh } else { Freshness::Stored });
        let step = steps.then(|| u64::try_from(dice.range(1, 30)).unwrap());
        if let Some(step) = step {
            query = query.every(step, 0);
        }
        let answer = match grid.read(&query) {
            Ok(answer) => answer,
            Err(error) if !fresh && *error.kind() == ErrorKind::NotFound && error.to_string().contains("there is no level") => {
                continue;
            }
            Err(error) if step.is_some() && error.to_string().contains("is out of range") => continue,
            Err(error) => return Err(format!("{query:?}: {error}: {:?}", std::error::Error::source(&error))),
        };
        if (fresh || drained) && !answer.stale.is_empty() {
            return Err(format!("{query:?} is stale: {:?}", answer.stale));
        }
        let layer = layer.filter(|_| !base);
        if let Some(wrong) = difference(&answer, oracle, (layer.as_ref(), step), fresh || drained) {
            return Err(format!("{query:?}: {wrong}"));
        }
        moments(grid, oracle, &window, dice)?;
    }
    Ok(())
}

/// Point-in-time reads of the base.
fn moments(grid: &Grid, oracle: &Events, window: &Window, dice: &mut Dice) -> Result<(), String> {
    let events: Vec<i64> = oracle.ticks(window).into_iter().collect();
    let listed = grid.events(&Query::window(*window)).unwrap();
    let (first, last) = (window.start()[oracle.time], window.end()[oracle.time]);
    let want: Vec<i64> = events.iter().copied().filter(|tick| first <= *tick && *tick < last).collect();
    if listed != want {
        return Err(format!("the events of {window:?} are {listed:?}, not {want:?}"));
    }
    let at = tick(dice);
    let before = events.iter().copied().filter(|tick| *tick <= at).max();
    let after = events.iter().copied().filter(|tick| *tick >= at).min();
    let near = |a: i64| (a.abs_diff(at), a);
    for (how, want) in [
        (Moment::Previous, before),
        (Moment::Next, after),
        (Moment::Nearest, [before, after].into_iter().flatten().min_by_key(|tick| near(*tick))),
    ] {
        let query = Query::window(*window).moment(at, how);
        let got = grid.read(&query);
        match (&got, want) {
            (Ok(answer), Some(want)) if answer.coordinates.as_ref().unwrap().ticks == [want] => {}
            (Err(error), None) if *error.kind() == ErrorKind::NotFound => {}
            _ => return Err(format!("{how:?} of {at} in {window:?} is {got:?}, not {want:?}")),
        }
        if let Some(want) = want {
            let strict = grid.read(&query.clone().within(want.abs_diff(at).saturating_sub(1)));
            let refused = want != at;
            if refused != strict.is_err() {
                return Err(format!("{how:?} of {at} within less than {}: {strict:?}", want.abs_diff(at)));
            }
        }
    }
    let latest = grid.read(&Query::window(*window).latest());
    match (&latest, events.last()) {
        (Ok(answer), Some(last)) if answer.coordinates.as_ref().unwrap().ticks == [*last] => Ok(()),
        (Err(error), None) if *error.kind() == ErrorKind::NotFound => Ok(()),
        (got, want) => Err(format!("the latest is {got:?}, not {want:?}")),
    }
}

/// Each column's base chunks are the leaves of the bucket trie of its ticks.
fn check_tries(grid: &Grid, oracle: &Events) -> Result<(), String> {
    let structure = grid.structure();
    let axis = structure.axes().nth(oracle.time).unwrap();
    let capacity = axis.chunk() as usize;
    let mut held: BTreeMap<Place, BTreeSet<i64>> = BTreeMap::new();
    for chunk in grid.base_chunks().unwrap() {
        let ticks = chunk.ticks.clone().unwrap();
        let column = oracle.without(&structure.chunk_index(&chunk.location));
        let of = held.entry(column.clone()).or_default();
        let new = ticks.iter().all(|tick| of.insert(*tick));
        if !new || ticks.len() > capacity || ticks.is_empty() {
            return Err(format!("column {column:?}: a chunk of {ticks:?}"));
        }
    }
    let mut want = oracle.columns.clone();
    want.retain(|_, ticks| !ticks.is_empty());
    if held == want { Ok(()) } else { Err(format!("the columns hold {held:?}, not {want:?}")) }
}

fn run(seed: u64, ops: &[Op]) -> Result<(), String> {
    let mut dice = Dice(seed);
    let schema = build(&mut dice);
    let mut engine = Arc::new(Memory::new());
    let mut store = options(Policy::Manual, &engine);
    let mut grid = store.create("events", schema.clone()).unwrap();
    let mut oracle = Events::new(&schema);
    for (number, op) in ops.iter().enumerate() {
        let blame = |wrong: String| format!("after op {number}, {op:?}: {wrong}");
        let mut drained = false;
        match op {
            Op::Put { seed, puts } => {
                let mut dice = Dice(*seed);
                let puts: Vec<Putting> = (0..*puts).map(|_| putting(&mut dice, &oracle)).collect();
                let arrays: Vec<_> = puts
                    .iter()
                    .map(|put| {
                        let sizes: Vec<usize> = put.shape.iter().map(|&len| usize::try_from(len).unwrap()).collect();
                        array(schema.dtype(), &sizes, &put.values)
                    })
                    .collect();
                let mut batch = store.batch();
                let mut after = oracle.clone();
                let mut refused = false;
                for (put, array) in puts.iter().zip(&arrays) {
                    batch.put_events(&grid, &put.ticks, put.start.as_slice(), array, put.overlap).unwrap();
                    refused |= !refused && !after.put(&put.ticks, &put.start, &put.shape, &put.values, put.overlap);
                }
                match batch.commit() {
                    Ok(commit) if !refused => {
                        assert!(store.policy() == Policy::Manual || commit.marks == 0, "an inline commit leaves no marks");
                        oracle = after;
                    }
                    Err(error) if refused && *error.kind() == ErrorKind::Invalid => {}
                    other => return Err(blame(format!("refused {refused}: {other:?}"))),
                }
            }
            Op::Clear { seed, shrink } => {
                let mut dice = Dice(*seed);
                let Some(bounds) = oracle.bounds.clone() else { continue };
                let mut cut = bounds.clone();
                for (axis, side) in cut.iter_mut().enumerate() {
                    let fixed = schema.structure().dimensions()[schema.structure().dimension_of(axis)].is_fixed();
                    if axis == oracle.time && dice.chance(70) {
                        let first = tick(&mut dice);
                        *side = (first, first.saturating_add(dice.pick(&[0, 3, 50, 1 << 41])).min(i64::MAX - 1));
                    } else if dice.chance(30) && !fixed {
                        let first = dice.range(-4, 4);
                        *side = (first, first + dice.range(0, 6));
                    }
                }
                let start: Vec<i64> = cut.iter().map(|(first, _)| *first).collect();
                let shape: Vec<u64> = cut.iter().map(|(first, last)| last.abs_diff(*first) + 1).collect();
                let window = Window::new(start.as_slice(), gridstone::Shape::from(shape.as_slice()));
                let done = if *shrink { grid.delete(&window) } else { grid.clear(&window) };
                done.map_err(|e| blame(format!("{e}: {:?}", std::error::Error::source(&e))))?;
                oracle.clear(&cut, *shrink);
            }
            Op::Clean => {
                grid.clean().map_err(|e| blame(e.to_string()))?;
                drained = true;
                let held = grid
                    .bounds()
                    .unwrap()
                    .map(|held| held.start().iter().zip(held.end().iter()).map(|(a, b)| (*a, *b - 1)).collect::<Vec<_>>());
                let inside = |place: &Place, tick: i64| {
                    let mut cell = place.clone();
                    cell.insert(oracle.time, tick);
                    held.as_ref().is_some_and(|held| cell.iter().zip(held).all(|(at, (a, b))| a <= at && at <= b))
                };
                assert!(oracle.cells.iter().all(|(tick, cells)| cells.keys().all(|place| inside(place, *tick))), "data outside");
                oracle.bounds = held;
            }
            Op::Step => drop(grid.aggregate_step().unwrap()),
            Op::Aggregate => {
                grid.aggregate().unwrap();
                drained = true;
            }
            Op::Reopen { how, inline } => {
                drop((grid, store));
                engine = match how {
                    0 => Arc::new(engine.crash(0)),
                    1 => Arc::new(engine.crash(1)),
                    _ => Arc::new(engine.reopen()),
                };
                store = options(if *inline { Policy::Inline } else { Policy::Manual }, &engine);
                grid = store.grid("events").unwrap();
            }
        }
        drained |= grid.marks().unwrap() == 0 && grid.reach().unwrap().is_some();
        check_tries(&grid, &oracle).map_err(blame)?;
        compare(&grid, &oracle, &mut dice, drained).map_err(blame)?;
        let report = store.verify().unwrap();
        if !report.findings.is_empty() {
            return Err(blame(format!("{:?}", report.findings)));
        }
    }
    store.aggregate().unwrap();
    compare(&grid, &oracle, &mut dice, true).map_err(|wrong| format!("at the end: {wrong}"))?;
    let report = store.verify().unwrap();
    if report.findings.is_empty() { Ok(()) } else { Err(format!("at the end: {:?}", report.findings)) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: check::cases(300), max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn i7_i9_any_history_of_events_agrees_with_a_map_of_them(seed in any::<u64>(), ops in proptest::collection::vec(op(), 1..12)) {
        if let Err(wrong) = run(seed, &ops) {
            prop_assert!(false, "{}", wrong);
        }
    }
}

fn plain(capacity: u32, spacing: u64) -> Schema {
    let space = Dimension::regular("space", [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)]);
    let time = Dimension::irregular("time", "seconds since 1970-01-01", capacity, spacing);
    let structure = Structure::builder().dimension(time).dimension(space).build().unwrap();
    let schema = Schema::builder(structure, DType::F32);
    schema.aggregator(Aggregation::Mean).aggregator(Aggregation::Last { dimension: "time".to_owned() }).build().unwrap()
}

fn field(seed: i64) -> ndarray::Array3<f32> {
    ndarray::Array3::from_shape_fn((1, 6, 7), |(_, y, x)| {
        let value = seed.rem_euclid(97) as f32 + y as f32 * 0.5 - x as f32;
        if (y + x) % 5 == usize::try_from(seed.rem_euclid(5)).unwrap() { f32::NAN } else { value }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: check::cases(60), ..ProptestConfig::default() })]

    /// In whichever order events come, one by one or several at once, with aggregation in between, and those removed that were only
    /// there for a while: every stored byte is the same.
    #[test]
    fn i7_what_is_stored_does_not_depend_on_the_order_of_events(
        ticks in proptest::collection::btree_set(prop_oneof![-60..60_i64, -5000..5000_i64, any::<i64>().prop_map(|t| t >> 20)], 1..24),
        strangers in proptest::collection::btree_set(-70..70_i64, 0..8),
        seeds in proptest::collection::vec(any::<u64>(), 2..4),
        capacity in prop_oneof![Just(2_u32), Just(4), Just(16)],
        spacing in prop_oneof![Just(1_u64), Just(7), Just(300)],
    ) {
        let mut first: Option<Vec<(gridstone::Location, Option<Aggregation>, u64, Option<Vec<i64>>)>> = None;
        for seed in seeds {
            let mut dice = Dice(seed);
            let policy = if dice.chance(50) { Policy::Inline } else { Policy::Manual };
            let store = options(policy, &Arc::new(Memory::new()));
            let grid = store.create("events", plain(capacity, spacing)).unwrap();
            let strangers: Vec<i64> = strangers.difference(&ticks).copied().collect();
            let mut left: Vec<i64> = ticks.iter().chain(&strangers).copied().collect();
            while !left.is_empty() {
                let count = usize::try_from(dice.range(1, 4)).unwrap().min(left.len());
                let some: Vec<i64> =
                    (0..count).map(|_| left.swap_remove(usize::try_from(dice.range(0, left.len() as i64 - 1)).unwrap())).collect();
                let fields: Vec<_> = some.iter().map(|tick| field(*tick)).collect();
                let views: Vec<_> = fields.iter().map(|field| field.view()).collect();
                grid.put_events(&some, [-2, 3], &ndarray::concatenate(ndarray::Axis(0), &views).unwrap(), Overlap::Refuse).unwrap();
                if dice.chance(20) {
                    grid.aggregate().unwrap();
                }
            }
            for tick in strangers {
                grid.clear(&Window::new([tick, -100, -100], [1, 300, 300])).unwrap();
            }
            grid.clean().unwrap();
            grid.aggregate().unwrap();
            let stored = grid.stored_chunks().unwrap().into_iter();
            let stored: Vec<_> = stored.map(|chunk| (chunk.location, chunk.aggregator, chunk.checksum, chunk.ticks)).collect();
            match &first {
                None => first = Some(stored),
                Some(first) => prop_assert_eq!(first, &stored),
            }
        }
    }
}

/// The ticks of an event are covered by the checksum of its chunk.
#[test]
fn i2_ticks_that_are_not_those_a_chunk_was_written_with_are_damage() {
    let engine = Arc::new(Memory::new());
    let store = options(Policy::Inline, &engine);
    let grid = store.create("events", plain(4, 60)).unwrap();
    grid.put_events(&[100, 130], [0, 0], &ndarray::Array3::from_elem((2, 4, 4), 1.0_f32), Overlap::Merge).unwrap();
    let snapshot = engine.snapshot().unwrap();
    let entries = snapshot
        .scan(gridstone::kv::Space::Directory, &gridstone::kv::KeyRange::all(), gridstone::kv::Order::Ascending, 99)
        .unwrap();
    for (key, value) in entries.entries {
        // The lowest byte of the first tick, which stands behind 12 bytes of length and checksum.
        if value.len() > 20 {
            let mut other = value.clone();
            other[19] ^= 1;
            let mut batch = gridstone::kv::Batch::at(snapshot.as_ref());
            batch.put(gridstone::kv::Space::Directory, key, other);
            engine.commit(batch, gridstone::kv::Durability::Sync).unwrap();
        }
    }
    let error = grid.read(&Query::all()).unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("grid `events`")), (&ErrorKind::Corrupt, true), "{error}");
    assert!(!store.verify().unwrap().findings.is_empty());
}

#[test]
fn an_event_lies_between_two_others_on_a_straight_line() {
    let store = options(Policy::Inline, &Arc::new(Memory::new()));
    let grid = store.create("events", plain(4, 60)).unwrap();
    let array = ndarray::arr3(&[[[0.0_f32, f32::NAN, 8.0]], [[10.0, 5.0, 4.0]]]);
    grid.put_events(&[1_000, 1_100], [0, 0], &array, Overlap::Merge).unwrap();
    let read = |query: Query| grid.read(&query).map(|answer| answer.array.iter_f64().collect::<Vec<_>>());
    let got = read(Query::all().moment(1_025, Moment::Linear)).unwrap();
    assert_eq!((got[0], got[1].is_nan(), got[2]), (2.5, true, 7.0));
    assert_eq!(read(Query::all().moment(1_100, Moment::Linear)).unwrap(), [10.0, 5.0, 4.0]);
    for outside in [999, 1_101] {
        let error = read(Query::all().moment(outside, Moment::Linear)).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::NotFound);
        assert!(error.to_string().contains("`time`"), "{error}");
    }
    let error = read(Query::all().moment(1_025, Moment::Linear).within(50)).unwrap_err();
    assert!(error.to_string().contains("1970-01-01T00:17:05Z") && error.to_string().contains("nearest"), "{error}");
}

#[test]
fn what_does_not_fit_events_is_refused_and_nothing_changes() {
    let store = options(Policy::Inline, &Arc::new(Memory::new()));
    let grid = store.create("events", plain(4, 60)).unwrap();
    let one = ndarray::Array3::from_elem((1, 2, 2), 1.0_f32);
    let two = ndarray::Array3::from_elem((2, 2, 2), 1.0_f32);
    let refused = |ticks: &[i64], array: &ndarray::Array3<f32>, words: &[&str]| {
        let error = grid.put_events(ticks, [0, 0], array, Overlap::Merge).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Invalid);
        words.iter().for_each(|word| assert!(error.to_string().contains(word), "{error} has not {word}"));
    };
    refused(&[], &ndarray::Array3::zeros((0, 2, 2)), &["grid `events`", "`time`"]);
    refused(&[5, 5], &two, &["`time`", "twice", "1970-01-01T00:00:05Z"]);
    refused(&[5], &two, &["1 ticks", "2 events"]);
    refused(&[i64::MAX], &one, &["`time`"]);
    refused(&[i64::MIN], &one, &["grid `events`"]);
    let coarse = Window::new([0, 0, 0], [1, 2, 2]).at(Levels::zero(2).with(0, Level::new(3).unwrap()));
    let error = grid.put(&coarse, &one).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::AggregatedLevel { dimension: "time".to_owned() });
    assert_eq!(grid.bounds().unwrap(), None);
    grid.put_events(&[7], [0, 0], &one, Overlap::Merge).unwrap();
    let error = grid.put_events(&[6, 7], [1, 1], &two, Overlap::Refuse).unwrap_err();
    assert!(error.to_string().contains("data in its window already"), "{error}");
    assert_eq!(grid.events(&Query::all()).unwrap(), [7]);
    let regular = Schema::builder(
        Structure::builder().dimension(Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 4)])).build().unwrap(),
        DType::F32,
    );
    let regular = store.create("regular", regular.build().unwrap()).unwrap();
    regular.put(&Window::new([0], [4]), &ndarray::arr1(&[1.0_f32; 4])).unwrap();
    for query in [Query::all().latest(), Query::all().every(60, 0), Query::all().ticks(0..9), Query::all().within(3)] {
        let error = regular.read(&query).unwrap_err();
        assert!(error.to_string().contains("no irregular dimension"), "{error}");
    }
}

/// A version is the same while the answer is, and another when events or cells of it change.
#[test]
fn a_version_changes_with_the_events_of_its_query() {
    for (policy, freshness) in [(Policy::Inline, Freshness::Stored), (Policy::Manual, Freshness::Fresh)] {
        let store = options(policy, &Arc::new(Memory::new()));
        let grid = store.create("events", plain(2, 10)).unwrap();
        for tick in [0, 10, 25, 26, 27, 400] {
            grid.put_events(&[tick], [0, 0], &field(tick), Overlap::Merge).unwrap();
        }
        let coarse = Levels::zero(2).with(0, Level::new(6).unwrap()).with(1, Level::new(1).unwrap());
        let mean = Layer::Aggregate(Aggregation::Mean);
        let here = || Query::window(Window::new([0, 0, 0], [64, 6, 7]));
        let queries = [
            here().ticks(0..30),
            here().levels(Levels::zero(2).with(1, Level::new(1).unwrap())).ticks(0..30),
            here().levels(coarse).ticks(0..64),
            here().layer(mean).every(20, 0).ticks(0..30),
            here().moment(26, Moment::Nearest),
        ];
        for query in queries {
            let query = query.freshness(freshness);
            let (before, answer) = (grid.version(&query).unwrap(), grid.read(&query).unwrap());
            grid.put_events(&[9_000], [40, 40], &field(3), Overlap::Merge).unwrap();
            grid.put_events(&[26], [0, 0], &field(26), Overlap::Merge).unwrap();
            assert_eq!(grid.version(&query).unwrap(), before, "{query:?}: nothing of it has changed");
            grid.put_events(&[26], [0, 0], &(field(26) + 1.0), Overlap::Merge).unwrap();
            assert_ne!(grid.version(&query).unwrap(), before, "{query:?}");
            assert_ne!(grid.read(&query).unwrap().array, answer.array);
            grid.put_events(&[26], [0, 0], &field(26), Overlap::Merge).unwrap();
            assert_eq!(grid.version(&query).unwrap(), before, "{query:?}: it is what it was");
        }
    }
}

/// One read a chunk, whatever the number of events.
#[test]
fn a_series_is_what_reads_of_its_cells_give() {
    let store = options(Policy::Inline, &Arc::new(Memory::new()));
    let grid = store.create("events", plain(4, 10)).unwrap();
    for tick in (0..40).map(|i| i * i) {
        grid.put_events(&[tick], [0, 0], &field(tick), Overlap::Merge).unwrap();
    }
    let bits = |value: f64| if value.is_nan() { 0 } else { value.to_bits() };
    let series = |query: gridstone::SeriesQuery| {
        let series = grid.series(&query).unwrap();
        (
            series.coordinates.unwrap().ticks,
            series.array.iter_f64().map(bits).collect::<Vec<_>>(),
            series.levels,
            series.chunks_read,
        )
    };
    let cells = || gridstone::SeriesQuery::at([-0.5, 0.5]).and([-5.5, 6.5]);
    let (ticks, values, ..) = series(cells());
    assert_eq!(ticks, (0..40).map(|i| i * i).collect::<Vec<_>>());
    let want = |(y, x): (usize, usize)| ticks.iter().map(move |tick| bits(f64::from(field(*tick)[[0, y, x]])));
    assert_eq!(values, want((0, 0)).chain(want((5, 6))).collect::<Vec<_>>());
    let (ticks, ..) = series(cells().ticks(4..50));
    assert_eq!(ticks, [4, 9, 16, 25, 36, 49]);
    let (ticks, ..) = series(cells().range(3.5, 49.0));
    assert_eq!(ticks, [4, 9, 16, 25, 36]);
    let (ticks, values, levels, _) = series(cells().points(7));
    assert!(ticks.len() <= 7 && levels[0].get() > 0, "{ticks:?} at {levels:?}");
    let answer = grid.read(&Query::window(Window::new([0, 0, 0], [1600, 1, 1])).levels(levels)).unwrap();
    assert_eq!(answer.array.iter_f64().map(bits).collect::<Vec<_>>(), values[..ticks.len()]);
    let (ticks, ..) = series(cells().layer(Layer::Aggregate(Aggregation::Mean)).every(500, 0));
    assert_eq!(ticks, [0, 500, 1000, 1500]);
    let far = grid.series(&cells().ticks(100..101)).unwrap();
    assert!(far.chunks_read <= 2, "{} chunks for one event of two cells", far.chunks_read);
}
