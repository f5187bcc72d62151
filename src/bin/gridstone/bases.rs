//! What stands at each level of base data, for people.

use super::json;
use gridstone::Grid;
use gridstone::wire::base_rows;

/// A table of levels; nothing before the first put.
pub(super) fn as_text(grid: &Grid) -> anyhow::Result<Vec<String>> {
    let structure = grid.structure();
    let rows = base_rows(grid)?;
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
