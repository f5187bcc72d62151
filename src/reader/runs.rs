//! Steps of any lengths along a regular axis: each is what a layer makes of all cells that begin in
//! it.
//!
//! They are made of the cells at the base level of that axis, whatever is stored above: so what is
//! answered depends on these alone, not on how far aggregation along the axis has got.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::paint::{copy_box_of, count_inexact, tiles};
use super::parts::{Boxed, KnownBox, KnownCells};
use super::plan::{CELLS_MAX, CHUNKS_MAX, ReadPlan};
use super::query::{AskedRegion, Detail, Layer, Query};
use super::sizes;
use super::sources::{CellSource, Listed, Lister, Sourced};
use super::steps::{StepRuns, Steps};
use crate::array::{AnyTile, Array, Bounds};
use crate::error::{Error, Result};
use crate::grid::{Extent, Levels, Structure, Window};
use crate::kernel::{Chunk, Runs};
use crate::key::LayerId;
use crate::parallel;
use crate::store::{Grid, LayerChunks, LayerSpec, State, only};

/// How a query with steps along a regular axis is answered; `None` if it has none.
pub(super) fn plan(grid: &Grid, state: State, query: &Query) -> Result<Option<ReadPlan>> {
    let structure = grid.structure();
    let Some(cuts) = query
        .steps
        .as_ref()
        .filter(|_| structure.irregular().is_none())
    else {
        return Ok(None);
    };
    cuts.check()?;
    let (Some(bounds), Some(base)) = (state.bounds, state.base) else {
        return Err(Error::not_found("it is empty: nothing was put yet"));
    };
    let axis = Steps::all().axis(structure)?;
    let d = structure.dimension_of(axis);
    let level = base.cells()[d];
    let cells = cells_of(structure, query, axis, &bounds)?;
    let run = cuts.cells(structure, axis, level, &cells)?;
    let run = run.ok_or_else(|| {
        Error::not_found("no step that is asked for has anything of what was put")
    })?;
    let (first, end) = (run.cells[0], run.cells[run.cells.len() - 1]);
    // One cell stands for all of them.
    let edges = (
        structure.edge(axis, level, first),
        structure.edge(axis, level, first.saturating_add(1)),
    );
    let mut one = query.clone();
    one.steps = None;
    one.region = match &query.region {
        AskedRegion::All => AskedRegion::Window(bounds.along(axis, first, 1)),
        AskedRegion::Window(window) => {
            let levels = window.levels(structure.dimensions().len()).with(d, level);
            AskedRegion::Window(structure.cover(window, levels).along(axis, first, 1))
        }
        AskedRegion::Extent(extent) => {
            let mut sides = extent.bounds().to_vec();
            sides[axis] = edges;
            AskedRegion::Extent(Extent::new(sides))
        }
    };
    one.named
        .retain(|(name, _)| name != structure.dimensions()[d].name());
    match &mut one.detail {
        Detail::Given => {}
        Detail::Levels(levels) if d < levels.len() => *levels = levels.with(d, level),
        Detail::Levels(_) => {}
        Detail::Resolution(cell) => cell
            .iter_mut()
            .skip(axis)
            .take(1)
            .for_each(|cell| *cell = edges.1 - edges.0),
        Detail::Shape(shape) => shape.iter_mut().skip(axis).take(1).for_each(|len| *len = 1),
        Detail::Onto(target) => {
            let name = structure
                .axes()
                .nth(axis)
                .map_or("", crate::grid::Axis::name);
            if target.line(name).is_some() {
                return Err(Error::invalid(format!(
                    "steps and a target are asked for along axis `{name}`; leave one of them out"
                )));
            }
        }
    }
    let first_layer = || {
        grid.layers()
            .first()
            .map(|spec| Layer::Aggregate(spec.aggregation.clone()))
    };
    one.layer = match query.layer.clone().or_else(first_layer) {
        Some(Layer::Base) | None => {
            return Err(Error::not_found(
                "steps of several cells are made by an aggregator; name its layer",
            ));
        }
        layer => layer,
    };
    let mut plan = ReadPlan::new(grid, state, &one)?;
    plan.window = plan.window.along(axis, first, end.abs_diff(first));
    let mut sides = plan.extent.bounds().to_vec();
    sides[axis] = (run.edges[0], run.edges[run.edges.len() - 1]);
    plan.extent = Extent::new(sides);
    let steps = run.edges.len() as u64 - 1;
    let cells = plan.window.along(axis, first, steps).cells();
    if cells.is_none_or(|cells| cells > CELLS_MAX)
        || structure.chunk_count(&plan.window) > CHUNKS_MAX
    {
        return Err(Error::invalid(format!(
            "an answer of {steps} steps would have more than {CELLS_MAX} cells, or touch more than {CHUNKS_MAX} chunks; ask for a coarser level, longer steps or a smaller extent"
        )));
    }
    plan.cut = Some(StepRuns { axis, run });
    Ok(Some(plan))
}

/// The base cells along an axis that a query's region holds, of those that were put.
fn cells_of(
    structure: &Structure,
    query: &Query,
    axis: usize,
    bounds: &Window,
) -> Result<std::ops::Range<i64>> {
    let levels: Levels = bounds.levels(structure.dimensions().len());
    let d = structure.dimension_of(axis);
    let window = match &query.region {
        AskedRegion::All => *bounds,
        AskedRegion::Window(window) => {
            structure.check(window)?;
            structure.cover(window, window.levels(levels.len()).with(d, levels[d]))
        }
        AskedRegion::Extent(extent) => structure.window(extent, levels)?,
    };
    Ok(window.start()[axis].max(bounds.start()[axis])..window.end()[axis].min(bounds.end()[axis]))
}

/// The steps of a plan, and what is known of them.
pub(super) fn fill(
    lister: &Lister<'_>,
    cut: &StepRuns,
    lists: &[Listed<'_, LayerChunks>],
    (read, inexact): (&AtomicU64, &AtomicU64),
) -> Result<(Array, KnownCells)> {
    let (plan, chunks) = (lister.plan, lister.chunks);
    let Some(layer) = plan.read_layer() else {
        return Err(Error::invalid(
            "steps of several cells are made by an aggregator",
        ));
    };
    let (grid, structure) = (chunks.grid, chunks.grid.structure());
    let mut columns: BTreeMap<Vec<u64>, Vec<&Sourced<'_, LayerChunks>>> = BTreeMap::new();
    for of in lists.iter().flat_map(|listed| &listed.parts) {
        let mut codes = of.part.piece.location.codes.to_vec();
        codes[cut.axis] = 0;
        columns.entry(codes).or_default().push(of);
    }
    let columns: Vec<Vec<&Sourced<'_, LayerChunks>>> = columns.into_values().collect();
    let steps = cut.run.edges.len() - 1;
    let (mut shape, chunk_shape) = (
        sizes(&plan.window.along(cut.axis, 0, 1).shape()),
        structure.chunk_shape(),
    );
    shape[cut.axis] = steps;
    let runs = Runs::new(
        layer.rule(),
        (&chunk_shape, cut.axis),
        grid.full(plan.levels()),
    );
    let reader = Reader {
        lister,
        layer,
        cut,
        runs,
        read,
        inexact,
    };
    let bounds = |column: &Vec<&Sourced<'_, LayerChunks>>| {
        let piece = &column[0].part.piece;
        let mut bounds = Bounds {
            start: piece.in_window.to_vec(),
            shape: piece.shape.to_vec(),
        };
        (bounds.start[cut.axis], bounds.shape[cut.axis]) = (0, steps);
        bounds
    };
    let boxes: Vec<Bounds> = columns.iter().map(bounds).collect();
    let mut array = Array::filled(plan.dtype, &shape, plan.fill);
    let columns = columns.iter().zip(tiles(&mut array, &boxes)?).collect();
    let parts = parallel::map_owned(columns, |(column, tile)| reader.column(column, tile))?;
    let known = KnownCells::of(plan, &shape, &boxes, &parts);
    Ok((array, known))
}

struct Reader<'l, 'a> {
    lister: &'l Lister<'a>,
    layer: &'l LayerSpec,
    cut: &'l StepRuns,
    runs: Runs,
    read: &'l AtomicU64,
    inexact: &'l AtomicU64,
}

impl Reader<'_, '_> {
    /// Fills the tile of a column of chunks, whose pieces follow each other along the axis.
    fn column(
        &self,
        column: &[&Sourced<'_, LayerChunks>],
        mut tile: AnyTile<'_>,
    ) -> Result<KnownBox> {
        let (axis, cells) = (self.cut.axis, &self.cut.run.cells);
        let mut parts: Vec<Vec<Chunk>> = vec![Vec::new(); cells.len() - 1];
        for of in column {
            let Some(chunk) = self.chunk(of)? else {
                continue;
            };
            let piece = &of.part.piece;
            let first = self.lister.plan.window.start()[axis]
                .saturating_add_unsigned(piece.in_window[axis] as u64);
            let end = first.saturating_add_unsigned(piece.shape[axis] as u64);
            let number =
                |cell: i64, from: i64| usize::try_from(cell.abs_diff(from)).unwrap_or(usize::MAX);
            for (step, ends) in cells
                .windows(2)
                .enumerate()
                .filter(|(_, ends)| ends[0] < end && ends[1] > first)
            {
                let (from, to) = (ends[0].max(first), ends[1].min(end));
                if from >= to || self.runs.takes_first() && from > ends[0] {
                    continue;
                }
                let within = piece.in_chunk[axis] + number(from, first)
                    ..piece.in_chunk[axis] + number(to, first);
                let of_run = (number(from, ends[0]), number(ends[1], ends[0]));
                parts[step].push(
                    self.runs
                        .part(&chunk, within, of_run)
                        .map_err(|e| self.lister.chunks.grid.blame(e))?,
                );
            }
        }
        if parts.iter().all(Vec::is_empty) {
            return Ok(KnownBox::Empty);
        }
        let joined = parts
            .into_iter()
            .map(|parts| self.runs.join(&parts))
            .collect::<Result<Vec<_>>>();
        let chunk = self
            .runs
            .conclude(&joined.map_err(|e| self.lister.chunks.grid.blame(e))?);
        let piece = &column[0].part.piece;
        let (mut of, mut start, mut shape) = (
            self.lister.chunks.grid.structure().chunk_shape(),
            piece.in_chunk,
            piece.shape,
        );
        (of[axis], start[axis], shape[axis]) = (cells.len() - 1, 0, cells.len() - 1);
        let at = Boxed {
            of: &of,
            start: &start,
            shape: &shape,
        };
        let full = self.lister.chunks.grid.full(self.lister.plan.levels());
        self.inexact.fetch_add(
            count_inexact(self.layer, &chunk, full, at),
            Ordering::Relaxed,
        );
        copy_box_of(&chunk.values, at, &mut tile)?;
        let lengths: Vec<usize> = cells
            .windows(2)
            .map(|ends| usize::try_from(ends[1].abs_diff(ends[0])).unwrap_or(1))
            .collect();
        Ok(self
            .lister
            .plan
            .wanted
            .of_layer(&self.runs.shares(chunk, &lengths), 1.0, at)
            .blank(&mut tile, self.lister.plan.fill))
    }

    /// The cells of the layer at a place, as runs are made of them.
    fn chunk(&self, of: &Sourced<'_, LayerChunks>) -> Result<Option<Chunk>> {
        let (chunks, at) = (self.lister.chunks, &of.part.piece.location);
        let chunk = match of.sources.first() {
            Some(CellSource::Below) => {
                let (chunk, read) = self.lister.below(self.lister.plan.decoded(chunks), of)?;
                self.read.fetch_add(read.len() as u64, Ordering::Relaxed);
                chunk.map(only).transpose()?
            }
            Some(CellSource::Stored(LayerId::BASE, from, _)) if from == at => {
                let (grid, base) = (chunks.grid, chunks.base(at, None)?);
                self.lister
                    .count_read(base.is_some(), (LayerId::BASE, at, None), self.read)?;
                let Some(base) = base else { return Ok(None) };
                let lifted = self
                    .runs
                    .lift(&base.weigh(grid.schema(), grid.full(at.levels())));
                return lifted.map(Some).map_err(|e| grid.blame(e));
            }
            Some(CellSource::Stored(stored, from, ticks)) => {
                let found = chunks.lifted(*stored, from, ticks.as_ref())?;
                self.lister.count_read(
                    found.is_some(),
                    (*stored, from, ticks.as_ref()),
                    self.read,
                )?;
                let here = |chunk: LayerChunks| {
                    if from == at {
                        Ok(chunk)
                    } else {
                        chunks.spread(&chunk, from, at)
                    }
                };
                found.map(here).transpose()?.map(only).transpose()?
            }
            Some(CellSource::Computed(_)) | None => None,
        };
        Ok(chunk.map(|chunk| self.runs.of_layer(chunk)))
    }
}
