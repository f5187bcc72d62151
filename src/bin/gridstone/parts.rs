//! Cells as they are that go into a GeoTIFF part by part, so that they may be more than fit memory.

use std::path::Path;

use super::figures::Figures;
use super::terminal::Terminal;
use gridstone::adapter::export::{Exported, Selection};
use gridstone::adapter::raster::RasterAxes;
use gridstone::adapter::raster::export::{GeoTiffExport, Make};
use gridstone::{DType, Explanation, Freshness, Grid, Query, Window};

/// The bytes of cells that are looked at together.
const PART_BYTES: u64 = 32 << 20;

/// Cells of one layer at levels that the grid has, of one time or none.
pub(super) struct Parts {
    selection: Selection,
    freshness: Freshness,
}

impl Parts {
    /// The cells of a query, by what is read for it; `None` if they are resampled, picked from
    /// events, or more than rows, columns and bands.
    pub(super) fn of(
        grid: &Grid,
        plan: &Explanation,
        freshness: Freshness,
    ) -> anyhow::Result<Option<Self>> {
        let structure = grid.structure();
        let Ok(axes) = RasterAxes::of(structure) else {
            return Ok(None);
        };
        let told = [Some(axes.y), Some(axes.x), axes.band];
        let is_one = |axis: usize| told.contains(&Some(axis)) || plan.window.shape()[axis] == 1;
        let is_plain = plan.resampling.is_none()
            && structure.irregular().is_none()
            && (0..structure.rank()).all(is_one);
        if !is_plain {
            return Ok(None);
        }
        let selection = Selection::new(grid, &plan.window, Some(plan.layer.clone()))?;
        Ok(Some(Self {
            selection: selection.freshness(freshness),
            freshness,
        }))
    }

    pub(super) fn dtype(&self) -> DType {
        self.selection.dtype()
    }

    pub(super) fn write(&self, terminal: &Terminal, path: &Path) -> anyhow::Result<Exported> {
        let mut make = Make::default();
        make.overviews = Some(0);
        let export = GeoTiffExport::new(&self.selection, make)?;
        let bar = terminal.progress("writing", export.cells());
        let exported = export.write(path, &|cells| bar.inc(cells))?;
        bar.finish_and_clear();
        Ok(exported)
    }

    /// The figures of all cells, and the parts of them that are out of date.
    pub(super) fn look(&self) -> anyhow::Result<(Figures, Vec<Window>)> {
        let (mut figures, mut stale) = (Figures::default(), Vec::new());
        for part in self.rows()? {
            let query = Query::window(part).layer(self.selection.layer().clone());
            let answer = self
                .selection
                .grid()
                .read(&query.freshness(self.freshness))?;
            figures = figures.and(Figures::of(&answer));
            stale.extend(answer.stale);
        }
        Ok((figures, stale))
    }

    /// The window in runs of rows, cut between chunks.
    fn rows(&self) -> anyhow::Result<Vec<Window>> {
        let (structure, window) = (self.selection.grid().structure(), self.selection.window());
        let y = RasterAxes::of(structure)?.y;
        let (first, end) = (window.start()[y], window.end()[y]);
        let row = window.along(y, first, 1).cells().unwrap_or(u64::MAX);
        let bytes = row.saturating_mul(self.dtype().size() as u64).max(1);
        let chunk = structure.chunk_shape()[y] as u64;
        let step = (PART_BYTES / bytes / chunk).max(1) * chunk;
        let step = i64::try_from(step)?;
        let mut rows = Vec::new();
        let mut from = first;
        while from < end {
            let to = from.div_euclid(step).saturating_add(1).saturating_mul(step);
            let to = to.min(end);
            rows.push(window.along(y, from, to.abs_diff(from)));
            from = to;
        }
        Ok(rows)
    }
}
