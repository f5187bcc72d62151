//! A service's own aggregators.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::chunk::{Chunk, Full, Weighed};
use super::{Halving, Rule};
use crate::array::{Cell, Cells, DType, with_cells, with_dtype};
use crate::error::{Error, Result};

/// How a service aggregates by its own rule.
///
/// It is registered when a store is opened
/// ([`StoreOptions::aggregator`](crate::StoreOptions::aggregator)) and named in a schema
/// ([`SchemaBuilder::custom`](crate::SchemaBuilder::custom)). What is asked of it:
///
/// * **Pure and deterministic**: the same cells give the same result, on every machine and at any
///   time. Aggregates are recomputed by parts, in any order and on any thread, and
///   [`Store::verify`](crate::Store::verify) compares them bit for bit.
/// * **Composing**: a result is made of the results for the parts, never of the base cells. What
///   that needs beside the value is kept in state planes.
/// * Types and planes stay what they were when the grid was made.
///
/// A cell is one [`Record`]: a value for each label of the dimensions whose labels are held
/// [together](crate::Dimension::together), so that values that belong together can stay together.
/// Numbers are handed over as doubles and rounded to the planes' types afterwards; integers round
/// half away from zero and saturate.
///
/// A panic, or a value where no part has one, is an error of the put or aggregation, which then
/// changes nothing.
///
/// # Example
///
/// The shallowest sounding, with its own uncertainty at every level:
///
/// ```
/// use std::sync::Arc;
///
/// use gridstone::aggregator::{Aggregator, Record, Summary};
/// use gridstone::{Aggregation, Axis, DType, Dimension, Layer, Level, Query, Schema, Store, Structure, Window};
/// use ndarray::arr3;
///
/// #[derive(Debug)]
/// struct Shallowest;
///
/// impl Aggregator for Shallowest {
///     fn name(&self) -> &str {
///         "shallowest"
///     }
///     fn dtype(&self, cells: DType) -> DType {
///         cells
///     }
///     fn state(&self) -> Vec<DType> {
///         Vec::new()
///     }
///     fn lift(&self, cell: &Record<'_>, summary: &mut Summary<'_>) {
///         summary.copy(cell);
///     }
///     fn combine(&self, cells: &[Record<'_>], summary: &mut Summary<'_>) {
///         // Label 0 is the depth; a cell without one is NaN there and never less.
///         let depth = |cell: &&Record<'_>| cell.values()[0];
///         let sounded = cells.iter().filter(|cell| !depth(cell).is_nan());
///         if let Some(shallowest) = sounded.min_by(|a, b| depth(a).total_cmp(&depth(b))) {
///             summary.copy(shallowest);
///         }
///     }
///     fn divide(&self, cell: &Record<'_>, _: f64, summary: &mut Summary<'_>) {
///         summary.copy(cell);
///     }
/// }
///
/// # fn main() -> gridstone::Result<()> {
/// let store = Store::options().aggregator(Arc::new(Shallowest)).open_engine(Arc::new(gridstone::kv::Memory::new()))?;
/// let space = Dimension::regular("space", [Axis::new("y", 0.0, 1.0, 2), Axis::new("x", 0.0, 1.0, 2)]);
/// let sounding = Dimension::fixed("sounding", ["depth", "uncertainty"]).together();
/// let structure = Structure::builder().dimension(sounding).dimension(space).build()?;
/// let grid = store.create("survey", Schema::builder(structure, DType::F32).custom(&Shallowest).build()?)?;
///
/// let depth = [[30.0_f32, 12.5, 7.0, 8.0], [18.0, f32::NAN, 9.0, 6.5]];
/// let uncertainty = [[0.25_f32, 0.75, 0.5, 0.5], [0.125, f32::NAN, 0.5, 1.5]];
/// grid.put(&Window::new([0, 0, 0], [2, 2, 4]), &arr3(&[depth, uncertainty]))?;
///
/// let shallowest = Layer::Aggregate(Aggregation::Custom { name: "shallowest".to_owned() });
/// let top = [Level::ZERO, Level::new(1)?].into_iter().collect();
/// let answer = grid.read(&Query::all().levels(top).layer(shallowest))?;
/// assert_eq!(answer.array.iter_f64().collect::<Vec<_>>(), [12.5, 6.5, 0.75, 1.5]);
/// # Ok(())
/// # }
/// ```
pub trait Aggregator: fmt::Debug + Send + Sync {
    /// The name of the layer: 1 to 128 of `A-Z a-z 0-9 . _ -`, and not one of the built-in
    /// aggregations.
    fn name(&self) -> &str;

    /// The type of the values over base cells of a type.
    fn dtype(&self, cells: DType) -> DType;

    /// The types of the state planes, at most 64.
    fn state(&self) -> Vec<DType>;

    /// What the layer makes of one base cell with data.
    fn lift(&self, cell: &Record<'_>, summary: &mut Summary<'_>);

    /// What it makes of the cells under one, in the order of children (the last axis fastest), at
    /// least one of them with data. Each is what [`lift`](Self::lift), `combine` or
    /// [`divide`](Self::divide) made; those without data are empty.
    fn combine(&self, cells: &[Record<'_>], summary: &mut Summary<'_>);

    /// What becomes of a cell on one of the finer cells that it is copied to because data beside it
    /// is finer: `part` of its area. `cell` has the finer one's areas. Values and state that do not
    /// measure an area are copied; those that do are multiplied by `part`, so that all copies
    /// combined are the cell again.
    fn divide(&self, cell: &Record<'_>, part: f64, summary: &mut Summary<'_>);
}

/// One cell: a number for each label that is held together, one where there is none.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    values: &'a [f64],
    areas: &'a [f64],
    state: &'a [f64],
}

impl<'a> Record<'a> {
    /// The value of each label, NaN where there is no data.
    pub fn values(&self) -> &'a [f64] {
        self.values
    }

    /// The valid area of each label in level-0 cells, 0 where there is no data.
    pub fn areas(&self) -> &'a [f64] {
        self.areas
    }

    /// A state plane's number for each label; none for a base cell.
    pub fn state(&self, plane: usize) -> &'a [f64] {
        let labels = self.values.len();
        self.state
            .get(plane * labels..(plane + 1) * labels)
            .unwrap_or_default()
    }

    /// Whether no label has data.
    pub fn is_empty(&self) -> bool {
        self.areas.iter().all(|area| *area <= 0.0)
    }
}

/// What becomes of a cell. It begins without data, all state 0.
#[derive(Debug)]
pub struct Summary<'a> {
    values: &'a mut [f64],
    state: &'a mut [f64],
}

impl Summary<'_> {
    /// The value of each label; NaN means that there is no data.
    pub fn values(&mut self) -> &mut [f64] {
        self.values
    }

    /// A state plane's number for each label; nothing if there is no such plane.
    pub fn state(&mut self, plane: usize) -> &mut [f64] {
        let labels = self.values.len();
        self.state
            .get_mut(plane * labels..(plane + 1) * labels)
            .unwrap_or_default()
    }

    /// Takes over a cell as it is: all its labels, and its state if it has any.
    pub fn copy(&mut self, cell: &Record<'_>) {
        self.values.copy_from_slice(cell.values);
        let len = cell.state.len().min(self.state.len());
        self.state[..len].copy_from_slice(&cell.state[..len]);
    }
}

/// The most state planes of a service's own aggregator.
pub(crate) const STATE_MAX: usize = 64;

/// What a schema keeps of an aggregator, so that its layer can be read without it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CustomPlanes {
    pub(crate) name: String,
    pub(crate) dtype: DType,
    pub(crate) state: Vec<DType>,
}

impl CustomPlanes {
    /// The planes of an aggregator over cells of a type.
    pub(crate) fn of(aggregator: &dyn Aggregator, cells: DType) -> Self {
        Self {
            name: aggregator.name().to_owned(),
            dtype: aggregator.dtype(cells),
            state: aggregator.state(),
        }
    }
}

/// An aggregator in use.
#[derive(Clone, Debug)]
pub(crate) struct Custom {
    pub(crate) planes: CustomPlanes,
    /// Which axes of a chunk are those of a record.
    pub(crate) together: Vec<bool>,
    /// `None` if it is not registered: what is stored can be read.
    pub(crate) code: Option<Arc<dyn Aggregator>>,
}

impl Custom {
    /// Checks that the code is registered and makes the planes that the schema has, over base cells
    /// of a type.
    pub(crate) fn check(&self, cells: DType) -> Result<()> {
        let (code, name) = (self.registered()?, &self.planes.name);
        let now = guard(name, || Ok(CustomPlanes::of(code, cells)))?;
        if now == self.planes {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the aggregator `{name}` that is registered makes {} and state {:?}; the grid was made for {} and {:?}",
            now.dtype, now.state, self.planes.dtype, self.planes.state
        )))
    }

    fn registered(&self) -> Result<&dyn Aggregator> {
        self.code.as_deref().ok_or_else(|| {
            Error::invalid(format!(
                "layer `{0}` is made by an aggregator `{0}`, which is not registered; hand it to StoreOptions::aggregator",
                self.planes.name
            ))
        })
    }
}

/// Runs foreign code; a panic becomes an error.
fn guard<R>(name: &str, run: impl FnOnce() -> Result<R>) -> Result<R> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Err(Error::invalid(format!(
            "the aggregator `{name}` panicked: {text}"
        )))
    })
}

/// The offsets of every combination of some axes, each a length and a stride, the last one fastest.
fn offsets(axes: impl IntoIterator<Item = (usize, usize)>) -> Vec<usize> {
    axes.into_iter().fold(vec![0], |offsets, (len, stride)| {
        offsets
            .iter()
            .flat_map(|offset| (0..len).map(move |i| offset + i * stride))
            .collect()
    })
}

/// Where the cells of records lie in a chunk, and in the part or chunk that is made of it.
struct RecordLayout {
    /// The first label of each record: in what is made, and of its first child.
    sites: Vec<(usize, usize)>,
    /// Each label from the first one.
    labels: Vec<(usize, usize)>,
    /// Each child from the first one.
    children: Vec<usize>,
    /// Cells of what is made.
    cells: usize,
}

fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (0..shape.len() - 1).rev() {
        strides[axis] = strides[axis + 1] * shape[axis + 1];
    }
    strides
}

impl RecordLayout {
    /// `halved` are the axes along which two cells become one.
    fn new(shape: &[usize], halved: &[bool], together: &[bool]) -> Self {
        let part: Vec<usize> = shape
            .iter()
            .zip(halved)
            .map(|(&len, &halved)| if halved { len / 2 } else { len })
            .collect();
        let (to, from) = (strides(&part), strides(shape));
        let along = |record: bool, strides: &[usize], scaled: bool| {
            let axes = (0..shape.len()).filter(|&axis| together[axis] == record);
            offsets(axes.map(|axis| {
                (
                    part[axis],
                    strides[axis] * if scaled && halved[axis] { 2 } else { 1 },
                )
            }))
        };
        let both = |record| {
            along(record, &to, false)
                .into_iter()
                .zip(along(record, &from, true))
                .collect()
        };
        let children = offsets(
            (0..shape.len())
                .filter(|&axis| halved[axis])
                .map(|axis| (2, from[axis])),
        );
        Self {
            sites: both(false),
            labels: both(true),
            children,
            cells: part.iter().product(),
        }
    }
}

/// The planes of a chunk as doubles.
struct DoublePlanes {
    values: Vec<f64>,
    areas: Vec<f64>,
    state: Vec<Vec<f64>>,
}

fn doubles(cells: &Cells) -> Vec<f64> {
    with_cells!(cells, |cells| cells
        .iter()
        .map(|cell| cell.to_f64())
        .collect())
}

impl DoublePlanes {
    fn new(values: &Cells, state: &[Cells], weight: Option<&[f64]>, full: Full) -> Self {
        let mut values = doubles(values);
        let areas = weight.map_or_else(|| vec![full.0; values.len()], <[f64]>::to_vec);
        values
            .iter_mut()
            .zip(&areas)
            .filter(|(_, area)| **area <= 0.0)
            .for_each(|(value, _)| *value = f64::NAN);
        Self {
            values,
            areas,
            state: state.iter().map(doubles).collect(),
        }
    }

    /// The records of the children whose first label is `from`, one after the other: values, areas,
    /// state planes.
    fn gather(&self, places: &RecordLayout, from: usize, to: &mut [f64]) {
        let planes = || [&self.values, &self.areas].into_iter().chain(&self.state);
        let runs = places
            .children
            .iter()
            .flat_map(|child| planes().map(move |plane| (from + child, plane)));
        for (run, (start, plane)) in to.chunks_exact_mut(places.labels.len()).zip(runs) {
            run.iter_mut()
                .zip(&places.labels)
                .for_each(|(value, (_, label))| *value = plane[start + label]);
        }
    }
}

/// What the layer makes of base cells.
pub(super) fn lift(
    custom: &Custom,
    rule: &Rule,
    base: &Weighed<'_>,
    shape: &[usize],
    full: Full,
) -> Result<Chunk> {
    let source = DoublePlanes::new(base.values(), &[], base.weight(), full);
    let places = RecordLayout::new(shape, &vec![false; shape.len()], &custom.together);
    let code = custom.registered()?;
    run((custom, rule), &source, &places, full, &|cells, summary| {
        code.lift(&cells[0], summary)
    })
}

/// The part of a parent that a child stands for.
pub(super) fn reduce(
    custom: &Custom,
    rule: &Rule,
    child: &Chunk,
    halving: &Halving,
    full: Full,
) -> Result<Chunk> {
    let source = DoublePlanes::new(&child.values, &child.state, child.weight.as_deref(), full);
    let places = RecordLayout::new(halving.shape(), halving.halved(), &custom.together);
    let code = custom.registered()?;
    let whole = Full(full.0 * halving.children() as f64);
    run(
        (custom, rule),
        &source,
        &places,
        whole,
        &|cells, summary| code.combine(cells, summary),
    )
}

/// What the layer makes of cells that are copies of coarser ones, each `part` of its area; `full`
/// is the weight of a whole one.
pub(super) fn divide(
    custom: &Custom,
    rule: &Rule,
    (chunk, shape): (&Chunk, &[usize]),
    part: f64,
    full: Full,
) -> Result<Chunk> {
    let source = DoublePlanes::new(&chunk.values, &chunk.state, chunk.weight.as_deref(), full);
    let places = RecordLayout::new(shape, &vec![false; shape.len()], &custom.together);
    let code = custom.registered()?;
    run((custom, rule), &source, &places, full, &|cells, summary| {
        code.divide(&cells[0], part, summary)
    })
}

/// Calls the code for every record with data. `whole` is the weight of a wholly valid cell of what
/// is made.
fn run(
    (custom, rule): (&Custom, &Rule),
    source: &DoublePlanes,
    places: &RecordLayout,
    whole: Full,
    call: &dyn Fn(&[Record<'_>], &mut Summary<'_>),
) -> Result<Chunk> {
    let labels = places.labels.len();
    let mut values = vec![rule.fill; places.cells];
    let mut areas = vec![0.0; places.cells];
    let mut state = vec![vec![0.0; places.cells]; rule.state.len()];
    let mut gathered = vec![0.0; (2 + source.state.len()) * labels * places.children.len()];
    let (mut made, mut made_state) = (vec![0.0; labels], vec![0.0; labels * rule.state.len()]);
    guard(&custom.planes.name, || {
        for &(to, from) in &places.sites {
            source.gather(places, from, &mut gathered);
            let cells = gathered
                .chunks_exact((2 + source.state.len()) * labels)
                .map(|cell| {
                    let (values, rest) = cell.split_at(labels);
                    let (areas, state) = rest.split_at(labels);
                    Record {
                        values,
                        areas,
                        state,
                    }
                });
            let cells: Vec<Record<'_>> = cells.collect();
            if cells.iter().all(Record::is_empty) {
                continue;
            }
            made.fill(f64::NAN);
            made_state.fill(0.0);
            call(
                &cells,
                &mut Summary {
                    values: &mut made,
                    state: &mut made_state,
                },
            );
            if made.iter().all(|value| value.is_nan()) {
                continue;
            }
            for (number, &(label, _)) in places.labels.iter().enumerate() {
                state
                    .iter_mut()
                    .enumerate()
                    .for_each(|(plane, of)| of[to + label] = made_state[plane * labels + number]);
                if made[number].is_nan() {
                    continue;
                }
                let area = cells.iter().fold(0.0, |sum, cell| sum + cell.areas[number]);
                if area <= 0.0 {
                    return Err(Error::invalid(format!(
                        "the aggregator `{}` gives label {number} the value {}, though no cell under it has one",
                        custom.planes.name, made[number]
                    )));
                }
                (values[to + label], areas[to + label]) = (made[number], area);
            }
        }
        Ok(())
    })?;
    let state = rule
        .state
        .iter()
        .zip(&state)
        .map(|(dtype, plane)| rounded(*dtype, plane))
        .collect();
    let weight = areas.iter().any(|area| *area != whole.0).then_some(areas);
    Ok(Chunk {
        values: rounded(rule.dtype, &values),
        state,
        weight,
    })
}

fn rounded(dtype: DType, plane: &[f64]) -> Cells {
    with_dtype!(dtype, |T| Cells::from(
        plane
            .iter()
            .map(|value| T::from_f64(*value))
            .collect::<Vec<T>>()
    ))
}

#[cfg(test)]
mod tests {
    use super::super::{Op, Rule};
    use super::*;

    /// The sum, whose values measure an area.
    #[derive(Debug)]
    struct Total;

    impl Aggregator for Total {
        fn name(&self) -> &str {
            "total"
        }
        fn dtype(&self, _: DType) -> DType {
            DType::F64
        }
        fn state(&self) -> Vec<DType> {
            Vec::new()
        }
        fn lift(&self, cell: &Record<'_>, summary: &mut Summary<'_>) {
            let made = summary
                .values()
                .iter_mut()
                .zip(cell.values())
                .zip(cell.areas());
            made.for_each(|((made, value), area)| *made = value * area);
        }
        fn combine(&self, cells: &[Record<'_>], summary: &mut Summary<'_>) {
            for (label, made) in summary.values().iter_mut().enumerate() {
                let values = cells
                    .iter()
                    .map(|cell| cell.values()[label])
                    .filter(|value| !value.is_nan());
                *made = values.reduce(|a, b| a + b).unwrap_or(f64::NAN);
            }
        }
        fn divide(&self, cell: &Record<'_>, part: f64, summary: &mut Summary<'_>) {
            summary
                .values()
                .iter_mut()
                .zip(cell.values())
                .for_each(|(made, value)| *made = value * part);
        }
    }

    /// Records of two labels along the first axis, halved along the last.
    fn rule(op: impl FnOnce(Arc<Custom>) -> Op) -> (Rule, Halving) {
        let shape = vec![2, 4];
        let planes = CustomPlanes::of(&Total, DType::F32);
        let custom = Custom {
            planes,
            together: vec![true, false],
            code: Some(Arc::new(Total)),
        };
        (
            Rule::new(op(Arc::new(custom)), DType::F64, f64::NAN),
            Halving::new(&shape, 1..2),
        )
    }

    #[test]
    fn copies_that_are_divided_combine_to_what_was_copied() {
        let base: Cells = vec![1.0_f32, 2.0, f32::NAN, 4.0, 5.0, f32::NAN, f32::NAN, 8.0].into();
        for op in [
            Op::Custom,
            |_| Op::Sum,
            |_| Op::Mean,
            |_| Op::Mode { classes: 2 },
            |_| Op::Moments { root: true },
        ] {
            let (rule, halving) = rule(op);
            let lift = |cells: &Cells, full| {
                rule.lift(
                    &Weighed::new(cells, None, None, Full(full)),
                    &[2, 4],
                    Full(full),
                )
                .expect("no fault")
            };
            let coarse = lift(&base, 2.0);
            // Each half of the chunk, every cell twice.
            for half in 0..2 {
                let twice = |plane: &[f64]| -> Vec<f64> {
                    plane
                        .chunks(4)
                        .flat_map(|row| {
                            row[2 * half..2 * half + 2]
                                .iter()
                                .flat_map(|cell| [*cell; 2])
                        })
                        .collect()
                };
                let planes = |cells: &Cells| Cells::from(twice(&doubles(cells)));
                let state = coarse.state.iter().map(planes).collect();
                let copies = Chunk {
                    values: planes(&coarse.values),
                    state,
                    weight: coarse.weight.as_deref().map(twice),
                };
                let part = rule
                    .divide(copies, &[2, 4], 0.5, Full(1.0))
                    .and_then(|copies| rule.reduce(&copies, &halving, Full(2.0)));
                let part = part.expect("no fault");
                let of_half = |cells: Vec<f64>| -> Vec<f64> {
                    cells
                        .chunks(4)
                        .flat_map(|row| row[2 * half..2 * half + 2].to_vec())
                        .collect()
                };
                let same =
                    |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(
                    same(&doubles(&part.values), &of_half(doubles(&coarse.values))),
                    "{part:?} is not half {half} of {coarse:?}"
                );
                assert_eq!(part.weight, coarse.weight.clone().map(of_half));
            }
        }
    }

    #[test]
    fn labels_of_a_record_are_gathered_in_the_order_of_their_axes() {
        let places = RecordLayout::new(&[2, 4, 3], &[false, true, false], &[true, false, true]);
        assert_eq!(places.sites, [(0, 0), (3, 6)]);
        assert_eq!(
            places.labels,
            [(0, 0), (1, 1), (2, 2), (6, 12), (7, 13), (8, 14)]
        );
        assert_eq!((places.children, places.cells), (vec![0, 3], 12));
    }
}
