//! A variable as a source of a grid's cells.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use ndarray::{ArrayD, Axis};

use super::field::Field;
use super::place::{FileRun, FileSteps, VariablePlace};
use crate::adapter::axes::RasterAxes;
use crate::adapter::round::{self, ColumnRuns};
use crate::adapter::source::{BLOCK_BYTES, Block, Fingerprint, Footprint, Source, SourceCells};
use crate::adapter::values::TargetCells;
use crate::array::{Array, in_c_order, with_view};
use crate::error::Result;
use crate::grid::{CellIndex, Levels, Shape, Window};
use crate::store::Grid;

/// A variable whose place in a grid is known. See the [module](super).
#[derive(Debug)]
pub struct VariableSource {
    grid: Grid,
    field: Field,
    place: VariablePlace,
    footprint: Footprint,
    parts: Vec<VariableBox>,
}

/// A box of a variable: steps, rows, columns and bands.
#[derive(Clone, Debug)]
struct VariableBox {
    steps: Range<u64>,
    cell: i64,
    rows: Range<u64>,
    columns: ColumnRuns,
    /// Which labels, by their number among those of the place.
    bands: usize,
}

impl VariableSource {
    /// Finds the place of a variable in a grid. An [`Invalid`](crate::ErrorKind::Invalid) error
    /// says why it has none.
    pub fn new(grid: &Grid, name: impl Into<String>, field: Field) -> Result<Self> {
        Self::placed(grid, name, field, &[])
    }

    /// The same where other windows will be put before it. Longitudes that are one place are one
    /// cell of all of them.
    pub fn placed(
        grid: &Grid,
        name: impl Into<String>,
        mut field: Field,
        others: &[Window],
    ) -> Result<Self> {
        let structure = grid.structure();
        let x = RasterAxes::of(structure)?.x;
        let taken = || round::taken(grid, others, x, Levels::zero(structure.dimensions().len()));
        let place = VariablePlace::of(&field, grid.schema(), taken)?;
        field.decoding.rule.conversion = place.conversion;
        let mut footprint = Footprint::new(name, Vec::new(), field.decoding.dtype);
        footprint.cells = field.shape.iter().product();
        footprint.bytes = footprint
            .cells
            .saturating_mul(field.decoding.dtype.size() as u64);
        footprint.is_declared = field.decoding.declared;
        footprint.twice = place.twice.map(|at| format!("the time {at}"));
        footprint.notes = field.remarks(grid.schema(), place.conversion);
        let mut source = Self {
            grid: grid.clone(),
            field,
            place,
            footprint,
            parts: Vec::new(),
        };
        source.parts = source.cut().collect();
        source.footprint.windows = source.windows();
        Ok(source)
    }

    /// Boxes that begin and end at borders of the grid's chunks where memory allows it.
    fn cut(&self) -> impl Iterator<Item = VariableBox> + use<> {
        let structure = self.grid.structure();
        let (shape, roles) = (&self.field.shape, self.field.roles);
        let size = self
            .field
            .decoding
            .dtype
            .size()
            .max(self.grid.schema().dtype().size()) as u64;
        let bands = roles.band.map_or(1, |axis| shape[axis]);
        let row_bytes = (shape[roles.x] * bands * size).max(1);
        let chunks: Vec<u64> = structure
            .axes()
            .map(|axis| u64::from(axis.chunk()))
            .collect();
        let steps = self.place.axes.time.map_or(1, |time| chunks[time]);
        let rows_fitting = ((BLOCK_BYTES as u64) / row_bytes / steps).max(1);
        let rows = if rows_fitting >= chunks[self.place.axes.y] {
            rows_fitting / chunks[self.place.axes.y] * chunks[self.place.axes.y]
        } else {
            rows_fitting
        };
        let (height, first, reversed) = (shape[roles.y], self.place.y, self.place.reversed[0]);
        let rows_of: Vec<Range<u64>> = pieces(first, height, rows)
            .map(|range| {
                if reversed {
                    height - range.end..height - range.start
                } else {
                    range
                }
            })
            .collect();
        let (columns, bands) = (self.place.columns.clone(), self.place.bands.len());
        let planes = rows_of
            .iter()
            .flat_map(|rows| columns.iter().map(move |columns| (rows, columns)));
        let boxes: Vec<(Range<u64>, ColumnRuns, usize)> = planes
            .flat_map(|(rows, columns)| {
                (0..bands).map(move |bands| (rows.clone(), columns.clone(), bands))
            })
            .collect();
        let runs = match &self.place.steps {
            FileSteps::Runs(runs) => runs.clone(),
            FileSteps::Events(ticks) => each_once(ticks),
        };
        runs.into_iter().flat_map(move |run| {
            let boxes = boxes.clone();
            let (cell, from) = (run.cell, run.steps.start);
            pieces(cell, run.steps.end - run.steps.start, steps).flat_map(move |steps| {
                let (cell, steps) = (
                    cell.saturating_add_unsigned(steps.start),
                    from + steps.start..from + steps.end,
                );
                boxes
                    .clone()
                    .into_iter()
                    .map(move |(rows, columns, bands)| VariableBox {
                        steps: steps.clone(),
                        cell,
                        rows,
                        columns,
                        bands,
                    })
            })
        })
    }

    /// The ticks of a part's events, if they are events.
    fn ticks(&self, part: &VariableBox) -> Option<&[i64]> {
        let FileSteps::Events(ticks) = &self.place.steps else {
            return None;
        };
        let step = |step: u64| usize::try_from(step).unwrap_or(usize::MAX).min(ticks.len());
        Some(&ticks[step(part.steps.start)..step(part.steps.end)])
    }

    /// The cells of the grid that each step has.
    fn windows(&self) -> Vec<Window> {
        let rows = 0..self.field.shape[self.field.roles.y];
        let whole = |columns: &ColumnRuns, bands: usize| {
            self.window_of(&VariableBox {
                steps: 0..1,
                cell: 0,
                rows: rows.clone(),
                columns: columns.clone(),
                bands,
            })
        };
        let bands = 0..self.place.bands.len();
        let one: Vec<Window> = self
            .place
            .columns
            .iter()
            .flat_map(|columns| bands.clone().map(move |bands| whole(columns, bands)))
            .collect();
        let cells: BTreeSet<i64> = match &self.place.steps {
            FileSteps::Runs(runs) => runs
                .iter()
                .flat_map(|run| (run.cell..).zip(run.steps.clone()).map(|(cell, _)| cell))
                .collect(),
            FileSteps::Events(ticks) => ticks.iter().copied().collect(),
        };
        let at = |cell: i64, one: &Window| {
            self.place
                .axes
                .time
                .map_or(*one, |time| one.along(time, cell, 1))
        };
        cells
            .into_iter()
            .flat_map(|cell| one.iter().map(move |one| at(cell, one)))
            .collect()
    }

    /// The cells of the grid that a part has; of events the box of their ticks.
    fn window_of(&self, part: &VariableBox) -> Window {
        let rank = self.grid.structure().rank();
        let mut start = CellIndex::from(vec![0; rank].as_slice());
        let mut len = Shape::from(vec![1; rank].as_slice());
        let rows = if self.place.reversed[0] {
            self.field.shape[self.field.roles.y] - part.rows.end
        } else {
            part.rows.start
        };
        (start[self.place.axes.y], len[self.place.axes.y]) = (
            self.place.y.saturating_add_unsigned(rows),
            part.rows.end - part.rows.start,
        );
        let columns = &part.columns.columns;
        (start[self.place.axes.x], len[self.place.axes.x]) =
            (part.columns.cell, columns.end - columns.start);
        if let Some(time) = self.place.axes.time {
            let ticks = self
                .ticks(part)
                .map(|ticks| (ticks.iter().min(), ticks.iter().max()));
            (start[time], len[time]) = match ticks {
                Some((Some(first), Some(last))) => {
                    (*first, last.abs_diff(*first).saturating_add(1))
                }
                _ => (part.cell, part.steps.end - part.steps.start),
            };
        }
        if let Some(band) = self.place.axes.band {
            let run = &self.place.bands[part.bands];
            (start[band], len[band]) = (run.at, run.of_file.len() as u64);
        }
        Window::new(start, len).at(Levels::zero(self.grid.structure().dimensions().len()))
    }

    /// A variable's array with the grid's axes and `bands` in its order; axes that only the grid
    /// has are of one cell.
    fn turned<T: Copy>(&self, mut cells: ArrayD<T>, bands: &[usize]) -> ArrayD<T> {
        let (roles, axes) = (self.field.roles, self.place.axes);
        if let Some(band) = roles
            .band
            .filter(|_| !bands.is_sorted_by(|a, b| a + 1 == *b))
        {
            let first = bands.iter().min().copied().unwrap_or(0);
            cells = cells.select(
                Axis(band),
                &bands.iter().map(|band| band - first).collect::<Vec<_>>(),
            );
        }
        for (axis, _) in [roles.y, roles.x]
            .into_iter()
            .zip(self.place.reversed)
            .filter(|(_, reversed)| *reversed)
        {
            cells.invert_axis(Axis(axis));
        }
        let mut order: Vec<(usize, Option<usize>)> =
            vec![(axes.y, Some(roles.y)), (axes.x, Some(roles.x))];
        order.extend(axes.time.map(|time| (time, roles.time)));
        order.extend(axes.band.map(|band| (band, roles.band)));
        order.sort_unstable();
        let kept: Vec<usize> = order.iter().filter_map(|(_, of_file)| *of_file).collect();
        let others: Vec<usize> = (0..cells.ndim())
            .filter(|axis| !kept.contains(axis))
            .collect();
        let permutation: Vec<usize> = others.iter().chain(&kept).copied().collect();
        let mut cells = cells.permuted_axes(permutation);
        for _ in others {
            cells = cells.index_axis_move(Axis(0), 0);
        }
        for (number, _) in order
            .iter()
            .enumerate()
            .filter(|(_, (_, of_file))| of_file.is_none())
        {
            cells = cells.insert_axis(Axis(number));
        }
        in_c_order(cells)
    }
}

impl Source for VariableSource {
    fn footprint(&self) -> &Footprint {
        &self.footprint
    }

    fn blocks(&self) -> Vec<Block> {
        let block = |(number, part): (usize, &VariableBox)| {
            let ticks = self.ticks(part).unwrap_or_default().to_vec();
            Block {
                ticks,
                number,
                ..Block::new(self.window_of(part))
            }
        };
        self.parts.iter().enumerate().map(block).collect()
    }

    fn read(&mut self, block: &Block) -> Result<SourceCells> {
        let (part, roles) = (&self.parts[block.number], self.field.roles);
        let mut start = vec![0; self.field.shape.len()];
        let mut shape = vec![1; self.field.shape.len()];
        (start[roles.y], shape[roles.y]) = (part.rows.start, part.rows.end - part.rows.start);
        let (columns, width) = (&part.columns.columns, self.field.shape[roles.x]);
        let first = if self.place.reversed[1] {
            width - columns.end
        } else {
            columns.start
        };
        (start[roles.x], shape[roles.x]) = (first, columns.end - columns.start);
        if let Some(time) = roles.time {
            (start[time], shape[time]) = (part.steps.start, part.steps.end - part.steps.start);
        }
        let bands = &self.place.bands[part.bands].of_file;
        if let Some(band) = roles.band {
            let (first, last) = (
                bands.iter().min().copied().unwrap_or(0),
                bands.iter().max().copied().unwrap_or(0),
            );
            (start[band], shape[band]) = (first as u64, (last - first) as u64 + 1);
        }
        let raw = self.field.file.read(&self.field.name, &start, &shape)?;
        let SourceCells {
            array,
            valid,
            found,
        } = self
            .field
            .decoding
            .apply(raw, TargetCells::of(self.grid.schema()))?;
        let array = with_view!(Array, array, |cells| Array::from(self.turned(cells, bands)));
        Ok(SourceCells {
            array,
            valid: valid.map(|valid| self.turned(valid, bands)),
            found,
        })
    }

    fn fingerprint(&self) -> Result<Option<Fingerprint>> {
        self.field.file.fingerprint()
    }

    fn close(&mut self) {
        self.field.file.close();
    }
}

/// Steps of a file in runs of which each has a tick at most once, so that later ones are put over
/// earlier ones.
fn each_once(ticks: &[i64]) -> Vec<FileRun> {
    let (mut runs, mut seen, mut from) = (Vec::new(), HashSet::new(), 0);
    for (step, tick) in (0_u64..).zip(ticks) {
        if !seen.insert(*tick) {
            runs.push(FileRun {
                steps: from..step,
                cell: 0,
            });
            seen = HashSet::from([*tick]);
            from = step;
        }
    }
    runs.push(FileRun {
        steps: from..ticks.len() as u64,
        cell: 0,
    });
    runs
}

/// Cuts `len` cells from `first` on where multiples of `chunk` are; ranges are relative to `first`.
pub(super) fn pieces(first: i64, len: u64, chunk: u64) -> impl Iterator<Item = Range<u64>> {
    let chunk_signed = i64::try_from(chunk).unwrap_or(i64::MAX);
    // In front of the first border.
    let head = chunk - u64::try_from(first.rem_euclid(chunk_signed)).unwrap_or(0);
    let mut from = 0_u64;
    std::iter::from_fn(move || {
        let to = if from == 0 {
            head.min(len)
        } else {
            from.saturating_add(chunk).min(len)
        };
        let range = from..to;
        from = to;
        (range.start < range.end).then_some(range)
    })
}
