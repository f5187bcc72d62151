//! `first` and `last`: the valid value nearest to one end of an axis.
//!
//! The state is how far the chosen value lies from that end of its cell, in cells: 0 for a base
//! cell, which reaches up to it; half of its child's, plus a half if it is of the far child, once a
//! level along the axis. So cells of one place are compared exactly along every other dimension,
//! whichever was aggregated first.

use super::chunk::Chunk;
use super::reduce::reduce_weight;
use super::{Halving, Rule};
use crate::array::{Cell, Cells, with_cells};

/// The part of a parent that a child stands for: along `axis`, from its high end if `high`. `kept`
/// says that distances are needed above; they are not where no other dimension is aggregated later.
pub(super) fn reduce(
    (axis, high, kept): (usize, bool, bool),
    rule: &Rule,
    child: &Chunk,
    halving: &Halving,
) -> Chunk {
    let distance = match child.state.first() {
        Some(Cells::F64(distance)) => Some(distance.as_slice()),
        _ => None,
    };
    let weight = child.weight.as_deref();
    let bit = halving.bit(axis);
    let choose = |under: &[usize]| {
        let mut best: Option<((f64, f64), usize)> = None;
        for (number, &i) in under
            .iter()
            .enumerate()
            .filter(|(_, i)| weight.is_none_or(|weight| weight[**i] > 0.0))
        {
            let own = distance.map_or(0.0, |distance| distance[i]);
            let far = |bit: usize| f64::from(u8::from((number >> bit & 1 == 1) != high));
            let away = match bit {
                // At one place the distances are what they were; where none are kept, the order
                // tells.
                Some(bit) if halving.merges() => (own, far(bit)),
                Some(bit) => ((own + far(bit)) / 2.0, 0.0),
                None => (own, 0.0),
            };
            if best.is_none_or(|(least, _)| away < least) {
                best = Some((away, i));
            }
        }
        best.map(|((away, _), i)| (away, i))
    };
    let cells = child.values.len() / halving.children();
    let mut away = vec![0.0; if kept { cells } else { 0 }];
    let values = with_cells!(&child.values, |from| pick(
        from,
        rule.fill,
        cells,
        halving,
        |number, under| {
            let (distance, i) = choose(under)?;
            if kept {
                away[number] = distance;
            }
            Some(i)
        }
    ));
    let state = if kept { vec![away.into()] } else { Vec::new() };
    Chunk {
        values,
        state,
        weight: reduce_weight(rule, weight, halving),
    }
}

fn pick<T: Cell>(
    from: &[T],
    fill: f64,
    cells: usize,
    halving: &Halving,
    mut choose: impl FnMut(usize, &[usize]) -> Option<usize>,
) -> Cells {
    let mut values = vec![T::from_f64(fill); cells];
    halving.cells(|number, under| {
        if let Some(i) = choose(number, under) {
            values[number] = from[i];
        }
    });
    values.into()
}
