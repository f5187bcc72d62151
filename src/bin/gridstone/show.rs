//! `read --show level`: which level served each cell.

use ndarray::{ArrayD, Slice};

use gridstone::array::Validity;
use gridstone::{Answer, Array, Axis, Grid, Query, Structure, Window};

/// What stands for cells that no chunk serves. It is no level.
const NOTHING: i16 = -128;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Show {
    /// The level of the refinable dimension of the chunk that serves each cell
    Level,
}

/// An answer to a query whose cells are levels.
pub(super) fn levels(grid: &Grid, query: &Query) -> anyhow::Result<Answer> {
    let structure = grid.structure();
    let Some(refinable) = structure.refinable() else {
        anyhow::bail!(
            "grid `{}` has no refinable dimension, so that all of its base data is at one level",
            grid.name()
        );
    };
    let plan = grid.explain(query)?;
    let whole = || {
        plan.window
            .shape()
            .iter()
            .map(|len| usize::try_from(*len).unwrap_or(usize::MAX))
            .collect()
    };
    let shape: Vec<usize> = plan
        .resampling
        .as_ref()
        .map_or_else(whole, |(_, shape)| shape.clone());
    let cells: Vec<Vec<i64>> = structure
        .axes()
        .enumerate()
        .map(|(number, axis)| {
            beneath(
                structure,
                (number, axis),
                &plan.window,
                plan.extent.bounds()[number],
                shape[number],
            )
        })
        .collect();
    let mut array = ArrayD::from_elem(shape, NOTHING);
    let served = grid.serving(query)?;
    for chunk in &served {
        let (start, end) = (chunk.window.start(), chunk.window.end());
        let mut part = array.view_mut();
        for (axis, cells) in cells.iter().enumerate() {
            let (first, last) = (
                cells.partition_point(|cell| *cell < start[axis]),
                cells.partition_point(|cell| *cell < end[axis]),
            );
            part.slice_axis_inplace(ndarray::Axis(axis), Slice::from(first..last.max(first)));
        }
        part.fill(i16::from(chunk.location.levels()[refinable].get()));
    }
    Ok(Answer {
        target: None,
        array: Array::from(array),
        validity: Validity::Values {
            nodata: Some(f64::from(NOTHING)),
        },
        coordinates: None,
        steps: None,
        extent: plan.extent,
        window: plan.window,
        layer: plan.layer,
        stale: Vec::new(),
        chunks_read: 0,
        inexact: 0,
    })
}

/// The cells of a window that the centres of an answer's cells along an axis lie in, rising.
#[expect(
    clippy::cast_possible_truncation,
    reason = "whole numbers; those beyond cells saturate"
)]
fn beneath(
    structure: &Structure,
    (number, axis): (usize, &Axis),
    window: &Window,
    side: (f64, f64),
    len: usize,
) -> Vec<i64> {
    let level = window.levels(structure.dimensions().len())[structure.dimension_of(number)];
    let position = |world: f64| structure.position(number, level, world);
    let (first, last) = if axis.step() < 0.0 {
        (side.1, side.0)
    } else {
        side
    };
    let (first, last) = (position(first), position(last));
    (0..len)
        .map(|cell| (first + (last - first) * (cell as f64 + 0.5) / len as f64).floor() as i64)
        .collect()
}
