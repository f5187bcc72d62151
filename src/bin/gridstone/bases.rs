//! What stands at each level of base data.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::json;
use gridstone::grid::ChunkIndex;
use gridstone::{Axis, Grid, Levels};

/// The base chunks of one level.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    chunks: u64,
    /// Their cells within what was put.
    cells: u64,
    /// Size of a cell along each axis, in world units.
    cell: Vec<f64>,
    /// The product of world units along the axes of the refinable dimension; each place counts
    /// once. `None` if there is none.
    area: Option<f64>,
}

/// The rows of a grid, the finest level first.
pub(super) fn rows(grid: &Grid) -> gridstone::Result<Vec<(Levels, Row)>> {
    let structure = grid.structure();
    let Some(bounds) = grid.bounds()? else {
        return Ok(Vec::new());
    };
    let mut rows: BTreeMap<Levels, Row> = BTreeMap::new();
    let mut places: BTreeSet<(Levels, ChunkIndex)> = BTreeSet::new();
    for chunk in grid.base_chunks()? {
        let levels = chunk.location.levels();
        let size = |(number, axis): (usize, &Axis)| {
            axis.step().abs() * levels[structure.dimension_of(number)].scale()
        };
        let row = rows.entry(levels).or_insert_with(|| Row {
            cell: structure.axes().enumerate().map(size).collect(),
            ..Row::default()
        });
        row.chunks += 1;
        let window = structure.intersection(
            &structure.chunk_window(&chunk.location),
            &structure.cover(&bounds, levels),
        );
        let Some(window) = window else { continue };
        // Of an irregular dimension it is events that are counted, not all that there could be.
        let events = structure.irregular().zip(chunk.ticks.as_ref());
        let counted = events.map_or(window, |(d, ticks)| {
            window.along(structure.axes_of(d).start, 0, ticks.len() as u64)
        });
        row.cells += counted.cells().unwrap_or(0);
        if let Some(d) = structure.refinable() {
            let index = structure.chunk_index(&chunk.location);
            let place: ChunkIndex = structure.axes_of(d).map(|axis| index[axis]).collect();
            if places.insert((levels, place)) {
                let area: f64 = structure
                    .axes_of(d)
                    .map(|axis| window.shape()[axis] as f64 * row.cell[axis])
                    .product();
                *row.area.get_or_insert(0.0) += area;
            }
        }
    }
    Ok(rows.into_iter().collect())
}

pub(super) fn as_json(grid: &Grid) -> anyhow::Result<Vec<Value>> {
    let structure = grid.structure();
    let row = |(levels, row): (Levels, Row)| {
        json!({
            "levels": json::levels(structure, levels), "cell": json::by_axis(structure, row.cell.iter().copied()),
            "chunks": row.chunks, "cells": row.cells, "area": row.area,
        })
    };
    Ok(rows(grid)?.into_iter().map(row).collect())
}

/// A table of levels; nothing before the first put.
pub(super) fn as_text(grid: &Grid) -> anyhow::Result<Vec<String>> {
    let structure = grid.structure();
    let rows = rows(grid)?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut lines = vec![
        String::new(),
        format!(
            "{:<8} {:>14} {:>8} {:>12} {:>12}  cell",
            "base", "level", "chunks", "cells", "area"
        ),
    ];
    for (levels, row) in rows {
        let area = row.area.map_or("-".to_owned(), |area| {
            if (1e-2..1e9).contains(&area) {
                format!("{area:.4}")
            } else {
                format!("{area:.4e}")
            }
        });
        let regular = structure.axes().enumerate().zip(&row.cell);
        let levelled = |number: usize| &structure.dimensions()[structure.dimension_of(number)];
        let regular = regular.filter(|((number, _), _)| {
            !levelled(*number).is_fixed() && !levelled(*number).is_irregular()
        });
        let cell: Vec<_> = regular
            .map(|((_, axis), cell)| format!("{} {cell}", axis.name()))
            .collect();
        let level = json::levels_text(structure, levels);
        lines.push(format!(
            "{:<8} {level:>14} {:>8} {:>12} {area:>12}  {}",
            "",
            row.chunks,
            row.cells,
            cell.join(", ")
        ));
    }
    Ok(lines)
}
