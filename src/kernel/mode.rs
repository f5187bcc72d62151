//! `mode`: the class of the largest area.
//!
//! A cell is a list of classes with their areas, the largest first and of equal ones the lowest
//! class first. Its value is the first class, its weight the valid area. The state planes hold the
//! rest of the list, and are there only as far as any cell of a chunk needs them:
//!
//! | plane | holds |
//! |---|---|
//! | 0 | the valid area that is not known to be of the first class |
//! | 1 | by how much each area may be short, and how large a class that is not in the list may be |
//! | 2, 4, .. | the second class, the third, .. |
//! | 3, 5, .. | its area; 0 where the list has ended |

use std::cmp::Ordering;

use super::chunk::{Chunk, Full};
use super::reduce::{reduce_weight, trim};
use super::{Halving, Rule};
use crate::array::{Cell, Cells, DType, Number, with_cells};

/// The types of the state planes.
pub(super) fn planes(dtype: DType, classes: usize) -> Vec<DType> {
    let rest = std::iter::repeat_n([dtype, DType::F64], classes.saturating_sub(1)).flatten();
    [DType::F64, DType::F64].into_iter().chain(rest).collect()
}

/// The state planes that hold areas.
pub(super) fn areas(state: &mut [Cells]) -> impl Iterator<Item = &mut Cells> {
    state
        .iter_mut()
        .enumerate()
        .filter(|(plane, _)| *plane < 2 || plane % 2 == 1)
        .map(|(_, plane)| plane)
}

/// The lists of a chunk's cells.
struct Lists<'a, T> {
    first: &'a [T],
    rest: Option<&'a [f64]>,
    short: Option<&'a [f64]>,
    others: Vec<(&'a [T], &'a [f64])>,
    weight: Option<&'a [f64]>,
    full: f64,
}

impl<'a, T: Cell> Lists<'a, T> {
    fn new(first: &'a [T], chunk: &'a Chunk, full: Full) -> Self {
        let (rest, short) = (chunk.state.first(), chunk.state.get(1));
        let others = chunk.state.get(2..).unwrap_or_default().chunks_exact(2);
        let others = others.filter_map(|pair| Some((pair[0].as_slice()?, pair[1].as_slice()?)));
        Self {
            first,
            rest: rest.and_then(Cells::as_slice),
            short: short.and_then(Cells::as_slice),
            others: others.collect(),
            weight: chunk.weight.as_deref(),
            full: full.0,
        }
    }

    fn weight(&self, i: usize) -> f64 {
        self.weight.map_or(self.full, |weight| weight[i])
    }

    fn short(&self, i: usize) -> f64 {
        self.short.map_or(0.0, |short| short[i])
    }

    /// Calls `visit` with each class of a valid cell and its area.
    fn each(&self, i: usize, mut visit: impl FnMut(T, f64)) {
        visit(
            self.first[i],
            self.weight(i) - self.rest.map_or(0.0, |rest| rest[i]),
        );
        for (classes, areas) in self.others.iter().take_while(|(_, areas)| areas[i] > 0.0) {
            visit(classes[i], areas[i]);
        }
    }
}

/// The lists of a part as they are made.
struct ModePlanes<T> {
    first: Vec<T>,
    rest: Vec<f64>,
    short: Vec<f64>,
    others: Vec<(Vec<T>, Vec<f64>)>,
}

impl<T: Cell> ModePlanes<T> {
    fn set(&mut self, number: usize, list: &[(T, f64)], weight: f64, short: f64) {
        let [(class, area), others @ ..] = list else {
            return;
        };
        self.first[number] = *class;
        self.rest[number] = weight - area;
        self.short[number] = short;
        for (at, (class, area)) in others.iter().enumerate() {
            if at == self.others.len() {
                self.others.push((
                    vec![T::from_f64(0.0); self.first.len()],
                    vec![0.0; self.first.len()],
                ));
            }
            self.others[at].0[number] = *class;
            self.others[at].1[number] = *area;
        }
    }
}

/// The part of a parent that a child stands for; `full` is the weight of a wholly valid cell of the
/// child.
pub(super) fn reduce(
    classes: usize,
    rule: &Rule,
    child: &Chunk,
    halving: &Halving,
    full: Full,
) -> Chunk {
    let (values, mut state) = with_cells!(&child.values, |values| {
        let lists = Lists::new(values, child, full);
        let cells = values.len() / halving.children();
        let mut planes = ModePlanes {
            first: Cells::filled(rule.dtype, cells, rule.fill)
                .as_slice()
                .unwrap_or_default()
                .to_vec(),
            rest: vec![0.0; cells],
            short: vec![0.0; cells],
            others: Vec::new(),
        };
        let mut list = Vec::new();
        halving.cells(|number, under| {
            let (mut weight, mut short) = (0.0, 0.0);
            list.clear();
            for &i in under.iter().filter(|i| lists.weight(**i) > 0.0) {
                weight += lists.weight(i);
                short += lists.short(i);
                lists.each(i, |class, area| list.push((class, area)));
            }
            short += merge(&mut list, classes);
            planes.set(number, &list, weight, short);
        });
        let mut state = vec![planes.rest.into(), planes.short.into()];
        state.extend(
            planes
                .others
                .into_iter()
                .flat_map(|(classes, areas)| [classes.into(), areas.into()]),
        );
        (Cells::from(planes.first), state)
    });
    trim(rule, &mut state);
    Chunk {
        values,
        state,
        weight: reduce_weight(rule, child.weight.as_deref(), halving),
    }
}

/// Adds up the areas of equal classes, orders the list, and keeps `classes` of them; gives by how
/// much that shortens areas.
fn merge<T: Cell>(list: &mut Vec<(T, f64)>, classes: usize) -> f64 {
    let by_class = |a: &(T, f64), b: &(T, f64)| a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal);
    if list.iter().all(|(class, _)| *class == list[0].0) {
        let area = list.iter().fold(0.0, |sum, (_, area)| sum + area);
        list.truncate(1);
        list.iter_mut().for_each(|first| first.1 = area);
        return 0.0;
    }
    // The sorts are stable, so that equal areas are added in the order of children.
    list.sort_by(by_class);
    list.dedup_by(|next, kept| {
        let equal = next.0 == kept.0;
        if equal {
            kept.1 += next.1;
        }
        equal
    });
    list.sort_by(|a, b| b.1.total_cmp(&a.1));
    let Some(&(_, cut)) = list.get(classes) else {
        list.retain({
            let mut first = true;
            move |(_, area)| std::mem::take(&mut first) || *area > 0.0
        });
        return 0.0;
    };
    list.truncate(classes);
    list.iter_mut().for_each(|(_, area)| *area -= cut);
    let known = list
        .iter()
        .skip(1)
        .take_while(|(_, area)| *area > 0.0)
        .count();
    list.truncate(1 + known);
    cut
}

/// Calls `visit` with each class of a valid cell and its area. False if that may not be all of it.
pub(crate) fn classes(
    chunk: &Chunk,
    full: Full,
    cell: usize,
    visit: &mut dyn FnMut(Number, f64),
) -> bool {
    with_cells!(&chunk.values, |values| {
        let lists = Lists::new(values, chunk, full);
        lists.each(cell, |class, area| visit(class.number(), area));
        lists.short(cell) == 0.0
    })
}

/// Whether another class than the value could have the largest area, for each cell of a chunk.
/// `None` if none could.
pub(crate) fn inexact(chunk: &Chunk, full: Full) -> Option<Vec<bool>> {
    chunk.state.get(1)?;
    with_cells!(&chunk.values, |values| {
        let lists = Lists::new(values, chunk, full);
        let unsure = |i: usize| {
            let mut areas = Vec::new();
            lists.each(i, |_, area| areas.push(area));
            let second = areas.get(1).copied().unwrap_or(0.0);
            lists.weight(i) > 0.0 && lists.short(i) > 0.0 && areas[0] <= second + lists.short(i)
        };
        Some((0..values.len()).map(unsure).collect())
    })
}
