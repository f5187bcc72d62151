//! Halving: the cells of a child become a part of its parent.
//!
//! A part depends on its child alone, and a parent on its parts alone, each at its own place; so a
//! parent that is updated part by part is bit-equal to one that is computed anew, whatever the
//! order.

use super::boxes::{copy_box, fill_box};
use super::chunk::{Chunk, Full};
use super::halving::Halving;
use super::rule::{Op, Rule, Weighting};
use super::sum::Sum;
use crate::array::{Cell, Cells, with_cells};

/// One row of accumulators from the rows of the child under it, cell by cell in a fixed order.
fn fold<I: Copy, A: Copy>(
    rows: &[&[I]],
    pairs: bool,
    acc: &mut [A],
    start: A,
    add: impl Fn(A, I) -> A,
) {
    acc.fill(start);
    for row in rows {
        if pairs {
            acc.iter_mut()
                .zip(row.chunks_exact(2))
                .for_each(|(a, pair)| *a = add(add(*a, pair[0]), pair[1]));
        } else {
            acc.iter_mut()
                .zip(row.iter())
                .for_each(|(a, cell)| *a = add(*a, *cell));
        }
    }
}

/// Folds a whole child of which every cell takes part.
fn fold_all<I: Copy, A: Copy, O>(
    halving: &Halving,
    cells: &[I],
    start: A,
    add: impl Fn(A, I) -> A + Copy,
    end: impl Fn(A) -> O,
) -> Vec<O> {
    let (row, pairs) = (halving.row(), halving.pairs());
    let mut acc = vec![start; if pairs { row / 2 } else { row }];
    let mut out = Vec::with_capacity(cells.len() / halving.children());
    let mut rows: Vec<&[I]> = Vec::with_capacity(halving.children());
    halving.rows(|offsets| {
        rows.clear();
        rows.extend(offsets.iter().map(|&offset| &cells[offset..offset + row]));
        fold(&rows, pairs, &mut acc, start, add);
        out.extend(acc.iter().map(|&a| end(a)));
    });
    out
}

/// Folds a child with the weight of each cell.
fn fold_weighted<T: Cell, A: Copy, O>(
    halving: &Halving,
    (cells, weight): (&[T], &[f64]),
    start: A,
    add: impl Fn(A, (T, f64)) -> A + Copy,
    end: impl Fn(A) -> O,
) -> Vec<O> {
    let (row, pairs) = (halving.row(), halving.pairs());
    let mut acc = vec![start; if pairs { row / 2 } else { row }];
    let mut out = Vec::with_capacity(cells.len() / halving.children());
    halving.rows(|offsets| {
        acc.fill(start);
        for &offset in offsets {
            let (cells, weight) = (&cells[offset..][..row], &weight[offset..][..row]);
            if pairs {
                let under = cells.chunks_exact(2).zip(weight.chunks_exact(2));
                acc.iter_mut()
                    .zip(under)
                    .for_each(|(a, (c, w))| *a = add(add(*a, (c[0], w[0])), (c[1], w[1])));
            } else {
                acc.iter_mut()
                    .zip(cells.iter().zip(weight))
                    .for_each(|(a, (c, w))| *a = add(*a, (*c, *w)));
            }
        }
        out.extend(acc.iter().map(|&a| end(a)));
    });
    out
}

/// The means of a child's cells by weight, and the weights of these means. Sums and areas are kept
/// apart and nothing branches, so that the loops compile to vector code.
fn weighted_mean<T: Cell>(
    halving: &Halving,
    (cells, weight): (&[T], &[f64]),
    fill: f64,
) -> (Vec<T>, Vec<f64>) {
    let (row, pairs) = (halving.row(), halving.pairs());
    let mut sums = vec![0.0; if pairs { row / 2 } else { row }];
    let mut values = Vec::with_capacity(cells.len() / halving.children());
    let mut areas = vec![0.0; cells.len() / halving.children()];
    let mut area_rows = areas.chunks_exact_mut(sums.len());
    // What holds no data may hold NaN.
    let term = |cell: T, weight: f64| {
        let product = cell.to_f64() * weight;
        if weight > 0.0 { product } else { 0.0 }
    };
    halving.rows(|offsets| {
        let Some(areas) = area_rows.next() else {
            return;
        };
        sums.fill(0.0);
        for &offset in offsets {
            let (cells, weight) = (&cells[offset..][..row], &weight[offset..][..row]);
            let acc = sums.iter_mut().zip(areas.iter_mut());
            if pairs {
                let under = cells.as_chunks().0.iter().zip(weight.as_chunks().0);
                acc.zip(under)
                    .for_each(|((sum, area), ([c0, c1], [w0, w1]))| {
                        *sum = *sum + term(*c0, *w0) + term(*c1, *w1);
                        *area = *area + w0 + w1;
                    });
            } else {
                acc.zip(cells.iter().zip(weight))
                    .for_each(|((sum, area), (c, w))| {
                        *sum += term(*c, *w);
                        *area += w;
                    });
            }
        }
        values.extend(
            sums.iter()
                .zip(&*areas)
                .map(|(sum, area)| T::from_f64(if *area > 0.0 { sum / area } else { fill })),
        );
    });
    (values, areas)
}

/// The part of a parent that a child stands for, for the operations that need no state.
pub(super) fn reduce(rule: &Rule, child: &Chunk, halving: &Halving) -> Chunk {
    let (fill, weight) = (rule.fill, child.weight.as_deref());
    let values = match rule.op {
        Op::Mean => return mean(child, halving, fill),
        Op::Min => with_cells!(&child.values, |cells| least(
            halving,
            cells,
            weight,
            fill,
            |a, b| b < a
        )
        .into()),
        Op::Max => with_cells!(&child.values, |cells| least(
            halving,
            cells,
            weight,
            fill,
            |a, b| b > a
        )
        .into()),
        Op::Sample => with_cells!(&child.values, |cells| first(halving, cells).into()),
        Op::Sum | Op::Count => match &child.values {
            Cells::I64(cells) => sum(halving, cells, weight, fill, i64::saturating_add).into(),
            Cells::U64(cells) => sum(halving, cells, weight, fill, u64::saturating_add).into(),
            Cells::F64(cells) => {
                let mut sums = sum(halving, cells, weight, fill, |a, b| a + b);
                overflown(halving, (cells, weight), &mut sums, |sum, _, _| sum.total());
                sums.into()
            }
            _ => unreachable!("sums and counts are of 64 bits"),
        },
        Op::Moments { .. } | Op::Mode { .. } | Op::Edge { .. } | Op::Custom(_) => {
            unreachable!("these keep state")
        }
    };
    let weight = match rule.op {
        Op::Sample => weight.map(|weight| first(halving, weight)),
        _ => reduce_weight(rule, weight, halving),
    };
    Chunk {
        values,
        state: Vec::new(),
        weight,
    }
}

/// The weights of a part whose cells are valid where any cell under them is.
pub(super) fn reduce_weight(
    rule: &Rule,
    weight: Option<&[f64]>,
    halving: &Halving,
) -> Option<Vec<f64>> {
    weight.map(|weight| match rule.weighting() {
        Weighting::Area => fold_all(halving, weight, 0.0, |a, w| a + w, |a| a),
        Weighting::Mask | Weighting::None => fold_all(halving, weight, 0.0, f64::max, |a| a),
    })
}

/// Makes anew what is not finite, though the valid cells under it may be: sums of them leave the
/// doubles where the value need not. `end` has the sum of the cells times their weights, the sum of
/// these, and the least and greatest cell.
fn overflown(
    halving: &Halving,
    (cells, weight): (&[f64], Option<&[f64]>),
    values: &mut [f64],
    end: impl Fn(Sum, f64, (f64, f64)) -> f64,
) {
    if values.iter().all(|value| value.is_finite()) {
        return;
    }
    halving.cells(|number, under| {
        if values[number].is_finite() {
            return;
        }
        let (mut sum, mut area, mut range) =
            (Sum::default(), 0.0, (f64::INFINITY, f64::NEG_INFINITY));
        for &i in under {
            let weight = weight.map_or(1.0, |weight| weight[i]);
            if weight > 0.0 {
                sum.add_product(cells[i], weight);
                area += weight;
                range = (range.0.min(cells[i]), range.1.max(cells[i]));
            }
        }
        if area > 0.0 && range.0.is_finite() && range.1.is_finite() {
            values[number] = end(sum, area, range);
        }
    });
}

/// The mean of a sum of weighed cells.
fn mean_of(sum: Sum, area: f64, (least, greatest): (f64, f64)) -> f64 {
    sum.over(area).clamp(least, greatest)
}

fn mean(child: &Chunk, halving: &Halving, fill: f64) -> Chunk {
    fn of<T: Cell>(halving: &Halving, cells: &[T], weight: Option<&[f64]>, fill: f64) -> Chunk {
        let (values, weight) = match weight {
            None => {
                // The number of cells is a power of two, so the factor is exact.
                let factor = 1.0 / halving.children() as f64;
                let values = fold_all(
                    halving,
                    cells,
                    0.0,
                    |a, cell: T| a + cell.to_f64(),
                    |a| T::from_f64(a * factor),
                );
                (values, None)
            }
            Some(weight) => {
                let (values, weight) = weighted_mean(halving, (cells, weight), fill);
                (values, Some(weight))
            }
        };
        Chunk {
            values: values.into(),
            state: Vec::new(),
            weight,
        }
    }
    match &child.values {
        Cells::F32(cells) => of(halving, cells, child.weight.as_deref(), fill),
        Cells::F64(cells) => {
            let mut made = of(halving, cells, child.weight.as_deref(), fill);
            if let Some(values) = made.values.as_mut::<f64>() {
                overflown(halving, (cells, child.weight.as_deref()), values, mean_of);
            }
            made
        }
        _ => unreachable!("means are floats"),
    }
}

fn sum<T: Cell>(
    halving: &Halving,
    cells: &[T],
    weight: Option<&[f64]>,
    fill: f64,
    add: impl Fn(T, T) -> T + Copy,
) -> Vec<T> {
    let zero = T::from_f64(0.0);
    match weight {
        None => fold_all(halving, cells, zero, add, |a| a),
        Some(weight) => fold_weighted(
            halving,
            (cells, weight),
            (zero, false),
            |(sum, any), (cell, w)| {
                if w > 0.0 {
                    (add(sum, cell), true)
                } else {
                    (sum, any)
                }
            },
            |(sum, any)| if any { sum } else { T::from_f64(fill) },
        ),
    }
}

/// The cell that comes before all others by `before(best, candidate)`; the first one of equals.
fn least<T: Cell>(
    halving: &Halving,
    cells: &[T],
    weight: Option<&[f64]>,
    fill: f64,
    before: impl Fn(T, T) -> bool + Copy,
) -> Vec<T> {
    match weight {
        None => {
            let (row, pairs) = (halving.row(), halving.pairs());
            let mut out: Vec<T> = Vec::with_capacity(cells.len() / halving.children());
            halving.rows(|offsets| {
                let start = out.len();
                let pick = |a: T, b: T| if before(a, b) { b } else { a };
                for (i, &offset) in offsets.iter().enumerate() {
                    let cells = &cells[offset..offset + row];
                    match (i, pairs) {
                        (0, true) => {
                            out.extend(cells.chunks_exact(2).map(|pair| pick(pair[0], pair[1])))
                        }
                        (0, false) => out.extend_from_slice(cells),
                        (_, true) => out[start..]
                            .iter_mut()
                            .zip(cells.chunks_exact(2))
                            .for_each(|(a, p)| *a = pick(pick(*a, p[0]), p[1])),
                        (_, false) => out[start..]
                            .iter_mut()
                            .zip(cells)
                            .for_each(|(a, b)| *a = pick(*a, *b)),
                    }
                }
            });
            out
        }
        Some(weight) => fold_weighted(
            halving,
            (cells, weight),
            (T::from_f64(fill), false),
            |(best, any), (cell, w)| {
                if w > 0.0 && (!any || before(best, cell)) {
                    (cell, true)
                } else {
                    (best, any)
                }
            },
            |(best, _)| best,
        ),
    }
}

fn first<T: Copy>(halving: &Halving, cells: &[T]) -> Vec<T> {
    let (row, step) = (halving.row(), if halving.pairs() { 2 } else { 1 });
    let mut out = Vec::with_capacity(cells.len() / halving.children());
    halving.rows(|offsets| out.extend(cells[offsets[0]..offsets[0] + row].iter().step_by(step)));
    out
}

/// Puts parts into their parent: `old` is the parent as it was, all nodata if absent; a part that
/// is `None` is all nodata.
///
/// `full` is the weight of a wholly valid cell of the parent. The weight is dropped where all cells
/// are full, and so are state planes at the end that are 0 throughout.
pub(super) fn assemble(
    rule: &Rule,
    old: Option<Chunk>,
    parts: &[(u8, Option<Chunk>)],
    halving: &Halving,
    full: Full,
) -> Chunk {
    let cells: usize = halving.shape().iter().product();
    let weighting = rule.weighting();
    let full = if weighting == Weighting::Area {
        full.0
    } else {
        1.0
    };
    let fresh = old.is_none();
    let covered = parts.len() == halving.children();
    let (mut values, mut state, mut weight) = match old {
        Some(chunk) => (chunk.values, chunk.state, chunk.weight),
        None => (
            Cells::filled(rule.dtype, cells, rule.fill),
            Vec::new(),
            None,
        ),
    };
    let whole = |part: &Option<Chunk>| part.as_ref().is_some_and(|part| part.weight.is_none());
    let weighs = weighting != Weighting::None
        && !(weight.is_none() && parts.iter().all(|(_, part)| whole(part)) && (covered || !fresh));
    if weighs && weight.is_none() {
        weight = Some(vec![if fresh { 0.0 } else { full }; cells]);
    }
    let planes = parts
        .iter()
        .filter_map(|(_, part)| part.as_ref())
        .map(|part| part.state.len())
        .max()
        .unwrap_or(0);
    for dtype in &rule.state[state.len()..planes.max(rule.fixed).max(state.len())] {
        state.push(Cells::filled(*dtype, cells, 0.0));
    }
    let (zero, part_shape) = (vec![0; halving.shape().len()], halving.part_shape());
    for (number, part) in parts {
        let start = halving.part_start(*number);
        let (from, to) = (
            (part_shape.as_slice(), zero.as_slice()),
            (halving.shape(), start.as_slice()),
        );
        with_cells!(&mut values, |cells| place(
            cells,
            part.as_ref().map(|p| &p.values),
            from,
            to,
            rule.fill
        ));
        for (plane, state) in state.iter_mut().enumerate() {
            with_cells!(state, |cells| place(
                cells,
                part.as_ref().and_then(|p| p.state.get(plane)),
                from,
                to,
                0.0
            ));
        }
        if let Some(weight) = &mut weight {
            match part.as_ref().map(|part| &part.weight) {
                Some(Some(of_part)) => copy_box(of_part, from, weight, to, &part_shape),
                Some(None) => fill_box(weight, to, &part_shape, full),
                None => fill_box(weight, to, &part_shape, 0.0),
            }
        }
    }
    trim(rule, &mut state);
    Chunk {
        values,
        state,
        weight: weight.filter(|weight| weight.iter().any(|&w| w != full)),
    }
}

/// Drops the state planes at the end that no cell needs.
pub(super) fn trim(rule: &Rule, state: &mut Vec<Cells>) {
    while state.len() > rule.fixed && state.last().is_some_and(is_zero) {
        state.pop();
    }
}

fn is_zero(plane: &Cells) -> bool {
    with_cells!(plane, |cells| cells.iter().all(|cell| cell.to_f64() == 0.0))
}

fn place<T: Cell>(
    cells: &mut [T],
    part: Option<&Cells>,
    from: (&[usize], &[usize]),
    to: (&[usize], &[usize]),
    fill: f64,
) {
    match part.and_then(Cells::as_slice::<T>) {
        Some(part) => copy_box(part, from, cells, to, from.0),
        None => fill_box(cells, to, from.0, T::from_f64(fill)),
    }
}
