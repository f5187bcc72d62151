//! A plain map of every event, and what a grid of them must answer.

use std::collections::{BTreeMap, BTreeSet};

use gridstone::{Aggregation, Answer, DType, Level, Levels, Overlap, Schema, Structure, Window};

use crate::oracle::{indices, mode, shrunk, variance};

/// A cell of the base without its tick: an index along each other axis.
pub type Place = Vec<i64>;

/// What a grid must hold.
#[derive(Clone, Debug)]
pub struct Events {
    pub schema: Schema,
    pub time: usize,
    /// Valid cells of each event.
    pub cells: BTreeMap<i64, BTreeMap<Place, f64>>,
    /// The ticks of each column of chunks, whether they hold data or not.
    pub columns: BTreeMap<Place, BTreeSet<i64>>,
    pub bounds: Option<Vec<(i64, i64)>>,
}

/// The cells under a cell at some levels: tick, place, value, in the order of ticks and of the
/// Morton curve within one.
type Family = Vec<(i64, Place, f64)>;

impl Events {
    pub fn new(schema: &Schema) -> Self {
        let time = schema.structure().irregular().unwrap();
        let time = schema.structure().axes_of(time).start;
        Self {
            schema: schema.clone(),
            time,
            cells: BTreeMap::new(),
            columns: BTreeMap::new(),
            bounds: None,
        }
    }

    pub fn structure(&self) -> &Structure {
        self.schema.structure()
    }

    pub fn is_valid(&self, value: f64) -> bool {
        !value.is_nan() && Some(value) != self.schema.nodata()
    }

    pub fn others(&self) -> Vec<usize> {
        (0..self.structure().rank())
            .filter(|axis| *axis != self.time)
            .collect()
    }

    fn column(&self, place: &Place) -> Place {
        let chunks = self
            .others()
            .into_iter()
            .map(|axis| i64::try_from(self.structure().chunk_shape()[axis]).unwrap());
        place
            .iter()
            .zip(chunks)
            .map(|(at, chunk)| at.div_euclid(chunk))
            .collect()
    }

    /// Puts values; false if the overlap refuses it.
    pub fn put(
        &mut self,
        ticks: &[i64],
        start: &[i64],
        shape: &[u64],
        values: &[f64],
        overlap: Overlap,
    ) -> bool {
        let mut put: Vec<(i64, Place, f64)> = Vec::new();
        for (index, value) in indices(shape).zip(values) {
            let tick = ticks[usize::try_from(index[self.time]).unwrap()];
            let place: Place = self
                .others()
                .iter()
                .zip(start)
                .map(|(axis, start)| start + index[*axis])
                .collect();
            put.push((tick, place, *value));
        }
        let held = |tick: i64, place: &Place| {
            self.cells
                .get(&tick)
                .is_some_and(|cells| cells.contains_key(place))
        };
        if overlap == Overlap::Refuse && put.iter().any(|(tick, place, _)| held(*tick, place)) {
            return false;
        }
        for (tick, place, value) in put {
            self.columns
                .entry(self.column(&place))
                .or_default()
                .insert(tick);
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
            Some(number) => (
                start[number],
                start[number] + i64::try_from(shape[axis]).unwrap() - 1,
            ),
            None => (*ticks.iter().min().unwrap(), *ticks.iter().max().unwrap()),
        };
        let hull: Vec<(i64, i64)> = (0..self.structure().rank()).map(hull).collect();
        self.bounds = Some(match self.bounds.take() {
            None => hull,
            Some(old) => old
                .iter()
                .zip(&hull)
                .map(|(a, b)| (a.0.min(b.0), a.1.max(b.1)))
                .collect(),
        });
        true
    }

    /// Removes what lies in a box; `cut` is first and last along every axis.
    pub fn clear(&mut self, cut: &[(i64, i64)], shrink: bool) {
        let others = self.others();
        let chunk = |axis: usize| i64::try_from(self.structure().chunk_shape()[axis]).unwrap();
        let chunks: Vec<i64> = others.iter().map(|axis| chunk(*axis)).collect();
        let within = |place: &Place| {
            place
                .iter()
                .zip(&others)
                .all(|(at, axis)| cut[*axis].0 <= *at && *at <= cut[*axis].1)
        };
        let (first, last) = cut[self.time];
        // Beyond what was put nothing is touched.
        let Some(bounds) = self.bounds.clone() else {
            return;
        };
        let reach: Vec<(i64, i64)> = cut
            .iter()
            .zip(&bounds)
            .map(|(a, b)| (a.0.max(b.0), a.1.min(b.1)))
            .collect();
        if others.iter().any(|axis| reach[*axis].0 > reach[*axis].1) {
            return;
        }
        let mut touched: Vec<(Place, i64)> = Vec::new();
        for (column, ticks) in &self.columns {
            let overlaps = column
                .iter()
                .zip(&others)
                .zip(&chunks)
                .all(|((at, axis), chunk)| {
                    at * chunk <= reach[*axis].1 && (at + 1) * chunk > reach[*axis].0
                });
            if overlaps {
                touched.extend(
                    ticks
                        .range(first..=last)
                        .map(|tick| (column.clone(), *tick)),
                );
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
                .all(|((at, axis), chunk)| {
                    cut[*axis].0 <= at * chunk && (at + 1) * chunk - 1 <= cut[*axis].1
                });
            let left = self
                .cells
                .get(&tick)
                .is_some_and(|cells| cells.keys().any(|place| self.column(place) == column));
            if whole || !left {
                self.columns.get_mut(&column).unwrap().remove(&tick);
            }
        }
        if shrink {
            shrunk(&mut self.bounds, cut);
        }
    }

    /// The ticks that the columns under a window's chunks hold, the window being at some levels
    /// along the other axes.
    pub fn ticks(&self, window: &Window) -> BTreeSet<i64> {
        let structure = self.structure();
        let levels = window.levels(structure.dimensions().len());
        let mut ticks = BTreeSet::new();
        // Beyond what was put there are no chunks to look at.
        let Some(bounds) = &self.bounds else {
            return ticks;
        };
        let start: Vec<i64> = bounds.iter().map(|(first, _)| *first).collect();
        let shape: Vec<u64> = bounds
            .iter()
            .map(|(first, last)| last.abs_diff(*first) + 1)
            .collect();
        let put = Window::new(start.as_slice(), gridstone::Shape::from(shape.as_slice()));
        let put = self.flat(&structure.cover(&put, levels));
        let Some(flat) = structure.intersection(&self.flat(window), &put) else {
            return ticks;
        };
        let wanted: BTreeSet<Vec<i64>> = structure
            .split(&flat)
            .map(|piece| self.without(&structure.chunk_index(&piece.location)))
            .collect();
        for (column, of) in &self.columns {
            let mut index = column.clone();
            index.insert(self.time, 0);
            let at = structure
                .location(base_levels(structure, levels), &index.as_slice().into())
                .unwrap();
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

    pub fn without(&self, index: &[i64]) -> Vec<i64> {
        let mut index = index.to_vec();
        index.remove(self.time);
        index
    }

    /// A window of one tick with the same extent along the other axes.
    fn flat(&self, window: &Window) -> Window {
        let (mut start, mut shape) = (window.start(), window.shape());
        (start[self.time], shape[self.time]) = (0, 1);
        let levels = window.levels(self.structure().dimensions().len());
        Window::new(start, shape)
            .at(levels.with(self.structure().dimension_of(self.time), Level::ZERO))
    }

    /// The base cells under each cell of a window, without its tick.
    fn under(&self, window: &Window) -> BTreeMap<Place, Vec<Place>> {
        let structure = self.structure();
        let dimensions = structure.dimensions().len();
        let flat = self.flat(window);
        let mut under: BTreeMap<Place, Vec<Place>> = BTreeMap::new();
        for index in indices(&flat.shape()) {
            let cell: Vec<i64> = index
                .iter()
                .zip(flat.start().iter())
                .map(|(a, b)| a + b)
                .collect();
            let one = Window::new(
                cell.as_slice(),
                gridstone::Shape::from(vec![1_u64; cell.len()].as_slice()),
            );
            let below = structure.cover(&one.at(flat.levels(dimensions)), Levels::zero(dimensions));
            let mut places: Vec<Place> = indices(&below.shape())
                .map(|index| {
                    self.without(
                        &index
                            .iter()
                            .zip(below.start().iter())
                            .map(|(a, b)| a + b)
                            .collect::<Vec<_>>(),
                    )
                })
                .collect();
            places.sort_by_key(|place| morton(place, &self.without(&below.start())));
            under.insert(self.without(&cell), places);
        }
        under
    }

    fn family(&self, places: &[Place], ticks: impl Iterator<Item = i64>) -> Family {
        let mut family = Vec::new();
        for tick in ticks {
            let Some(cells) = self.cells.get(&tick) else {
                continue;
            };
            family.extend(
                places
                    .iter()
                    .filter_map(|place| Some((tick, place.clone(), *cells.get(place)?))),
            );
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

/// What an aggregation makes of the base cells under one; `first` are those at the first place of
/// each tick.
fn value(aggregation: &Aggregation, family: &Family, first: &Place) -> Option<f64> {
    let values: Vec<f64> = family.iter().map(|(_, _, value)| *value).collect();
    if let Aggregation::Count = aggregation {
        return Some(values.len() as f64);
    }
    if let Aggregation::Sample = aggregation {
        return family
            .iter()
            .find(|(_, place, _)| place == first)
            .map(|(_, _, value)| *value);
    }
    let pairs: Vec<(Vec<i64>, f64)> = family
        .iter()
        .map(|(tick, _, value)| (vec![*tick], *value))
        .collect();
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
    let exact = match aggregation {
        Some(Aggregation::Mean | Aggregation::Variance | Aggregation::Std) => false,
        Some(Aggregation::Sum) => !dtype.is_float(),
        _ => true,
    };
    let slack = match dtype {
        _ if exact => 0.0,
        DType::F32 => 1e-4,
        _ => 1e-7,
    };
    got == want || (got - want).abs() <= slack * (1.0 + want.abs())
}

/// What is wrong with an answer, outside of what it says is stale.
pub fn difference(
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
    let width = step.unwrap_or_else(|| {
        1_u64
            .checked_shl(level.get().unsigned_abs().into())
            .unwrap_or(u64::MAX)
    });
    assert_eq!((coordinates.axis, coordinates.width), (oracle.time, width));
    assert!(
        coordinates.ticks.is_sorted_by(|a, b| a < b),
        "{:?}",
        coordinates.ticks
    );
    let (first, last) = (window.start()[oracle.time], window.end()[oracle.time]);
    let fill = |value: f64| !oracle.is_valid(value);
    // Of a step any part may be stale.
    let stale = |cell: &[i64], start: i64| {
        answer.stale.iter().any(|stale| {
            (0..cell.len()).all(|axis| match step {
                Some(step) if axis == oracle.time => {
                    stale.start()[axis] < start.saturating_add_unsigned(step)
                        && start < stale.end()[axis]
                }
                _ => stale.start()[axis] <= cell[axis] && cell[axis] < stale.end()[axis],
            })
        })
    };
    let under = oracle.under(&window);
    let shape: Vec<u64> = answer.array.shape().iter().map(|len| *len as u64).collect();
    let valid = answer.valid();
    let valid = |number: usize| {
        valid
            .as_ref()
            .is_none_or(|valid| valid.as_slice().unwrap()[number])
    };
    let got: Vec<f64> = answer
        .array
        .iter_f64()
        .enumerate()
        .map(|(i, value)| if valid(i) { value } else { f64::NAN })
        .collect();
    let mut by_cell: BTreeMap<(i64, Place), f64> = BTreeMap::new();
    for (index, got) in indices(&shape).zip(got) {
        let tick = coordinates.ticks[usize::try_from(index[oracle.time]).unwrap()];
        let place: Place = oracle
            .others()
            .iter()
            .map(|axis| window.start()[*axis] + index[*axis])
            .collect();
        by_cell.insert((tick, place), got);
    }
    let bin_of = |tick: i64| -> (i64, i64) {
        // The bin's number, and its first tick.
        let one = oracle.flat(&window);
        let mut start = one.start();
        start[oracle.time] = tick;
        let at = Window::new(start, one.shape())
            .at(levels.with(structure.dimension_of(oracle.time), Level::ZERO));
        let bin = structure.cover(&at, levels).start()[oracle.time];
        let mut start = one.start();
        start[oracle.time] = bin;
        let below = structure.cover(
            &Window::new(start, one.shape()).at(levels),
            levels.with(structure.dimension_of(oracle.time), Level::ZERO),
        );
        (bin, below.start()[oracle.time])
    };
    // Expected families by the first tick of each cell along the axis.
    let mut ticks_of: BTreeMap<i64, (i64, Vec<i64>)> = BTreeMap::new();
    let known: BTreeSet<i64> = oracle.columns.values().flatten().copied().collect();
    for tick in known {
        let (bin, start) = match step {
            Some(_) if tick < first || last <= tick => continue,
            Some(step) => {
                let start =
                    tick.div_euclid(i64::try_from(step).unwrap()) * i64::try_from(step).unwrap();
                (tick, start)
            }
            None => bin_of(tick),
        };
        if first <= bin && bin < last {
            ticks_of
                .entry(start)
                .or_insert((bin, Vec::new()))
                .1
                .push(tick);
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
        if !any
            && level != Level::ZERO
            && step.is_none()
            && coordinates.ticks.contains(start)
            && answer.stale.is_empty()
        {
            return Some(format!(
                "{layer:?} at {levels:?}: the bin at {start} holds no data"
            ));
        }
    }
    for ((tick, place), got) in by_cell {
        let mut cell = place;
        let bin = if step.is_some() { tick } else { bin_of(tick).0 };
        cell.insert(oracle.time, bin);
        let blank = fill(got) || got == 0.0;
        if !stale(&cell, tick) && !(blank && (step.is_some() || !settled)) {
            return Some(format!(
                "{layer:?} at {levels:?}: there is {got} at tick {tick} in {cell:?}, where nothing was put"
            ));
        }
    }
    None
}
