//! A file as a source of a grid's cells.

use std::ops::Range;

use ndarray::{ArrayD, Axis, Slice};

use crate::adapter::axes::RasterAxes;
use crate::adapter::geotiff;
use crate::adapter::round::ColumnRuns;
use crate::adapter::source::{BLOCK_BYTES, Block, Fingerprint, Footprint, Source, SourceCells};
use crate::array::{Array, in_c_order, with_view};
use crate::error::Result;
use crate::grid::{Level, Window};
use crate::store::Grid;

use super::bands::BandRun;
use super::convert::CellConversion;
use super::file::RasterFile;
use super::place::{Placement, place};

/// A file whose place in a grid is known. See the [module](super).
#[derive(Debug)]
pub struct RasterSource {
    file: Box<dyn RasterFile>,
    grid: Grid,
    placement: Placement,
    conversion: CellConversion,
    footprint: Footprint,
    cuts: Vec<FileCut>,
    /// The part of the file that was decoded last, if several blocks are made of it.
    held: Option<(geotiff::ImageWindow, SourceCells)>,
}

/// What one block is made of: a part of the file, in one pass over which every block of the file is
/// decoded once, or some bands and columns of it.
#[derive(Clone, Debug)]
struct FileCut {
    part: geotiff::ImageWindow,
    /// Bands that lie together in the grid.
    run: BandRun,
    /// Columns of the part, in the file's order.
    cols: Range<usize>,
    window: Window,
    /// Whether it is all of the part, in its order.
    is_whole: bool,
}

impl RasterSource {
    /// Finds the place of a file in a grid. An [`Invalid`](crate::ErrorKind::Invalid) error says
    /// why it has none, and what to do about it. Only the header is read.
    pub fn new(
        grid: &Grid,
        name: impl Into<String>,
        file: impl RasterFile + 'static,
    ) -> Result<Self> {
        Self::placed(grid, name, file, None, &[])
    }

    /// The same with what a command line knows beside the file. In a grid with one dimension beside
    /// rows, columns and bands, such as time, `at` is its cell along it, or its tick along an
    /// irregular one. Other windows will be put before it: longitudes that are one place are one
    /// cell of all of them.
    pub fn placed(
        grid: &Grid,
        name: impl Into<String>,
        file: impl RasterFile + 'static,
        at: Option<i64>,
        others: &[Window],
    ) -> Result<Self> {
        let placement = place(grid, file.header(), at, others)?;
        let conversion = CellConversion::new(grid.schema(), file.header())?;
        let header = file.header();
        let mut footprint = Footprint::new(name, placement.windows(), header.values());
        footprint.cells = (header.width * header.height * header.bands.len()) as u64;
        footprint.bytes = footprint.cells * header.dtype.size() as u64;
        footprint.cell = file.own_cell().unwrap_or(footprint.cell);
        footprint.is_declared = header.nodata.is_some() || header.masked;
        footprint.notes = placement
            .notes
            .iter()
            .cloned()
            .chain(conversion.note.clone())
            .collect();
        let cuts = cuts(grid, &file, &placement);
        Ok(Self {
            file: Box::new(file),
            grid: grid.clone(),
            placement,
            conversion,
            footprint,
            cuts,
            held: None,
        })
    }

    /// The level of space at which the file's cells land.
    pub fn level(&self) -> Level {
        self.placement
            .level(self.grid.structure().dimensions().len())
    }

    /// The cells of a part of the file, (band, y, x), in the grid's type.
    fn decoded(&mut self, part: &geotiff::ImageWindow) -> Result<SourceCells> {
        let (array, valid) = self.file.read_valid(part)?;
        self.conversion.apply(array, valid, part.bands.clone())
    }

    /// A file's array (band, y, x) with the grid's axes.
    fn turned<T: Copy>(&self, mut cells: ArrayD<T>) -> ArrayD<T> {
        for (axis, _) in [1, 2]
            .into_iter()
            .zip(self.placement.reversed)
            .filter(|(_, reversed)| *reversed)
        {
            cells.invert_axis(Axis(axis));
        }
        laid(cells, self.grid.structure().rank(), self.placement.axes)
    }
}

/// An array (band, y, x) with the axes of a grid, of which it has one cell along the others.
pub(super) fn laid<T: Copy>(mut cells: ArrayD<T>, rank: usize, axes: RasterAxes) -> ArrayD<T> {
    let others = rank - 2 - usize::from(axes.band.is_some());
    if axes.band.is_none() {
        cells = cells.index_axis_move(Axis(0), 0);
    }
    (0..others).for_each(|_| cells.insert_axis_inplace(Axis(cells.ndim())));
    let own: Vec<usize> = axes.band.into_iter().chain([axes.y, axes.x]).collect();
    let rest = (0..rank).filter(|axis| !own.contains(axis));
    let mut order = vec![0; own.len() + others];
    own.iter()
        .copied()
        .chain(rest)
        .enumerate()
        .for_each(|(from, axis)| order[axis] = from);
    in_c_order(cells.permuted_axes(order))
}

impl Source for RasterSource {
    fn footprint(&self) -> &Footprint {
        &self.footprint
    }

    fn blocks(&self) -> Vec<Block> {
        self.cuts
            .iter()
            .enumerate()
            .map(|(number, cut)| Block::of(&self.grid, cut.window, number))
            .collect()
    }

    fn read(&mut self, block: &Block) -> Result<SourceCells> {
        let FileCut {
            part,
            run,
            cols,
            is_whole,
            ..
        } = self.cuts[block.number].clone();
        if is_whole {
            let SourceCells {
                array,
                valid,
                found,
            } = self.decoded(&part)?;
            let array = with_view!(Array, array, |cells| Array::from(self.turned(cells)));
            return Ok(SourceCells {
                array,
                valid: valid.map(|valid| self.turned(valid)),
                found,
            });
        }
        let mut whole = match self.held.take() {
            Some((held, whole)) if held == part => whole,
            _ => self.decoded(&part)?,
        };
        // What was found is told once.
        let found = Some(whole.found.take().unwrap_or_default());
        let bands: Vec<usize> = run
            .bands
            .iter()
            .map(|band| band - part.bands.start)
            .collect();
        let piece = SourceCells {
            array: with_view!(Array, &whole.array, |cells| Array::from(
                self.turned(chosen(cells, &bands, &cols))
            )),
            valid: whole
                .valid
                .as_ref()
                .map(|valid| self.turned(chosen(valid, &bands, &cols))),
            found,
        };
        self.held = Some((part, whole));
        Ok(piece)
    }

    fn fingerprint(&self) -> Result<Option<Fingerprint>> {
        self.file.fingerprint()
    }

    fn close(&mut self) {
        self.held = None;
        self.file.close();
    }
}

/// Some bands and columns of an array (band, y, x).
fn chosen<T: Copy>(cells: &ArrayD<T>, bands: &[usize], cols: &Range<usize>) -> ArrayD<T> {
    cells
        .slice_axis(Axis(2), Slice::from(cols.clone()))
        .select(Axis(0), bands)
}

/// The blocks of a file: windows of whole rows of chunks, as far as memory allows, and of those
/// what lies together in the grid.
fn cuts(grid: &Grid, file: &dyn RasterFile, placement: &Placement) -> Vec<FileCut> {
    let header = file.header();
    let chunk = grid.structure().chunk_shape()[placement.axes.y];
    let (from, to) = (header.dtype.size(), grid.schema().dtype().size());
    let bytes_max = BLOCK_BYTES / from.max(to) * from;
    let rows = bytes_max / (header.width * header.bands.len() * from).max(1);
    let mut cuts = Vec::new();
    for part in file.plan((rows / chunk * chunk).max(chunk), bytes_max) {
        for columns in &placement.columns {
            let Some((cols, cell)) =
                columns_of(&part, columns, header.width, placement.reversed[1])
            else {
                continue;
            };
            for run in placement.bands.runs(part.bands.clone()) {
                let is_whole = cols == (0..part.cols.len())
                    && run.bands.iter().copied().eq(part.bands.clone());
                let window = placement.window_of(header.height, &part, &run, cell, cols.len());
                cuts.push(FileCut {
                    part: part.clone(),
                    run,
                    cols: cols.clone(),
                    window,
                    is_whole,
                });
            }
        }
    }
    cuts
}

/// The columns of a part, in its own order, that are among some of the file that follow each other
/// in the grid; and the cell of the first in the grid.
fn columns_of(
    part: &geotiff::ImageWindow,
    columns: &ColumnRuns,
    width: usize,
    reversed: bool,
) -> Option<(Range<usize>, i64)> {
    let number = |column: u64| usize::try_from(column).unwrap_or(usize::MAX);
    // In the grid's direction.
    let of_part = if reversed {
        width - part.cols.end..width - part.cols.start
    } else {
        part.cols.clone()
    };
    let (start, end) = (
        number(columns.columns.start).max(of_part.start),
        number(columns.columns.end).min(of_part.end),
    );
    let cell = columns
        .cell
        .saturating_add_unsigned(start as u64 - columns.columns.start.min(start as u64));
    let cols = if reversed {
        of_part.end - end.max(start)..of_part.end - start
    } else {
        start - of_part.start..end.max(start) - of_part.start
    };
    (start < end).then_some((cols, cell))
}
