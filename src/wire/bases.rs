//! What stands at each level of base data.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::pieces;
use crate::error::Result;
use crate::grid::{Axis, ChunkIndex, Levels};
use crate::store::Grid;

/// The base chunks of one level.
#[derive(Clone, Debug, Default)]
pub struct BaseRow {
    /// How many there are.
    pub chunks: u64,
    /// Their cells within what was put.
    pub cells: u64,
    /// Size of a cell along each axis, in world units.
    pub cell: Vec<f64>,
    /// The product of world units along the axes of the refinable dimension; each place counts
    /// once. `None` if there is none.
    pub area: Option<f64>,
}

/// The rows of a grid, the finest level first.
///
/// # Errors
///
/// Those of [`Grid::base_chunks`].
pub fn base_rows(grid: &Grid) -> Result<Vec<(Levels, BaseRow)>> {
    let structure = grid.structure();
    let Some(bounds) = grid.bounds()? else {
        return Ok(Vec::new());
    };
    let mut rows: BTreeMap<Levels, BaseRow> = BTreeMap::new();
    let mut places: BTreeSet<(Levels, ChunkIndex)> = BTreeSet::new();
    for chunk in grid.base_chunks()? {
        let levels = chunk.location.levels();
        let size = |(number, axis): (usize, &Axis)| {
            axis.step().abs() * levels[structure.dimension_of(number)].scale()
        };
        let row = rows.entry(levels).or_insert_with(|| BaseRow {
            cell: structure.axes().enumerate().map(size).collect(),
            ..BaseRow::default()
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

pub(super) fn base_json(grid: &Grid) -> Result<Vec<Value>> {
    let structure = grid.structure();
    let row = |(levels, row): (Levels, BaseRow)| {
        json!({
            "levels": pieces::levels(structure, levels), "cell": pieces::by_axis(structure, row.cell.iter().copied()),
            "chunks": row.chunks, "cells": row.cells, "area": row.area,
        })
    };
    Ok(base_rows(grid)?.into_iter().map(row).collect())
}
