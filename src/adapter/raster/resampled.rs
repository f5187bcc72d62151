//! A file of cells of any size at any place, laid onto the lattice of a grid.

use std::ops::Range;
#[cfg(feature = "crs")]
use std::sync::Arc;

use ndarray::{ArrayD, Axis};

use crate::adapter::geotiff;
use crate::adapter::round::{self, ColumnRuns};
use crate::adapter::source::{
    BLOCK_BYTES, Block, Fingerprint, Footprint, FoundCells, Source, SourceCells, counted,
};
use crate::array::{Array, Cell, DType, Validity, in_c_order, with_view};
use crate::error::Result;
use crate::grid::{Level, Levels, Window};
use crate::kernel::{self, AxisMap, Resampling, ResamplingMethod};
use crate::store::Grid;

use super::bands::BandRun;
use super::convert::CellConversion;
#[cfg(feature = "crs")]
use super::elsewhere::{Elsewhere, joined};
use super::file::RasterFile;
use super::lay;
#[cfg(feature = "crs")]
use super::lay::CELLS_MAX;
use super::lay::{LaidFile, Lay};
use super::place::PlaceFrame;
use super::remedy;
use super::schema::PIXELS;
use super::source::laid;

/// The bytes of a file that are looked at at once: they become wider.
const LOOK_BYTES: usize = BLOCK_BYTES / 8;

/// A file whose cells are not the grid's.
///
/// With the feature `crs` it may be in another coordinate reference system, if PROJ has no other
/// places for it. A cell of the grid is then the quadrilateral between the places of its corners,
/// which neighbours have in common.
///
/// Cells of the grid are made of it by [`Resampling`]'s rules, block by block: none depends on
/// where blocks end. A cell of the grid that the file touches by more than a millionth of a cell,
/// the file's or the grid's, is data if a cell with data of the file touches it; of
/// [`Resampling::Nearest`] if its centre lies in one.
///
/// What parts of cells add up to ([`Resampling::Sum`]) is no whole number, so that a grid of
/// integers takes none. Where a file goes round the globe and both its ends lie in one cell of the
/// grid, that cell is made of the end that has more of it, which is [noted](Footprint::notes); a
/// sum of one end would lose what the other has, so that it is refused.
#[derive(Debug)]
pub struct ResampledSource {
    file: Box<dyn RasterFile>,
    grid: Grid,
    frame: PlaceFrame,
    conversion: CellConversion,
    resampling: Resampling,
    level: Level,
    lay: Lay,
    footprint: Footprint,
    cuts: Vec<ResampledCut>,
}

/// Cells of the grid, (band, y, x), which of them hold data, and what was found in the file for them.
pub(super) type LaidCells = (Array, Validity, Option<FoundCells>);

/// What one block is made of.
#[derive(Clone, Debug)]
struct ResampledCut {
    /// Cells along the lines of the file.
    rows: Range<i64>,
    cols: Range<i64>,
    /// By how many cells the columns are turned to where the grid has their longitudes.
    turned: i64,
    run: BandRun,
}

impl ResampledSource {
    /// Finds the cells of a grid that a file touches: at a level, or else at the first whose cells
    /// are at least as fine as the file's, which loses nothing. In a grid with a dimension beside
    /// rows, columns and bands, `at` is the file's cell along it. Other windows will be put before
    /// it: longitudes that are one place are one cell of all of them.
    ///
    /// An [`Invalid`](crate::ErrorKind::Invalid) error says why the file has no place, and what to
    /// do about it. Only the header is read.
    pub fn new(
        grid: &Grid,
        name: impl Into<String>,
        file: impl RasterFile + 'static,
        at: Option<i64>,
        others: &[Window],
        (resampling, level): (Resampling, Option<Level>),
    ) -> Result<Self> {
        let laying = (resampling, level);
        #[cfg(feature = "crs")]
        let found = lay::elsewhere(grid, file.header(), at, laying)?;
        #[cfg(not(feature = "crs"))]
        let found = None;
        let LaidFile {
            frame,
            lay,
            level,
            rows,
            cols,
            ratio,
            notes,
        } = match found {
            Some(found) => found,
            None => lay::along(grid, file.header(), at, laying)?,
        };
        let header = file.header();
        let conversion = CellConversion::new(grid.schema(), header)?;
        let (affine, axes) = (header.affine.unwrap_or(PIXELS), frame.axes);
        let circle =
            round::circle_of(grid.structure(), axes.x, level).filter(|_| header.affine.is_some());
        let levels = Levels::zero(grid.structure().dimensions().len()).with(axes.space, level);
        let once = |_| {
            let (east, south) = (
                affine.x + 360.0_f64.copysign(affine.dx),
                affine.y + affine.dy * header.height as f64,
            );
            format!(
                "gdal_translate -projwin {} {} {east} {south} FILE ONCE.tif",
                affine.x, affine.y
            )
        };
        let taken = || round::taken(grid, others, axes.x, levels);
        let columns = round::laid(
            cols.start,
            cols.end.abs_diff(cols.start),
            circle,
            taken,
            once,
        )?;
        let of_rows = (rows.start, rows.end.abs_diff(rows.start));
        let window = |run: &ColumnRuns| {
            frame.window(
                grid,
                level,
                of_rows,
                (run.cell, run.columns.end - run.columns.start),
            )
        };
        let mut footprint =
            Footprint::new(name, columns.iter().map(window).collect(), header.values());
        footprint.bytes =
            (header.width * header.height * header.bands.len() * header.dtype.size()) as u64;
        footprint.cell = level.scale() / ratio.sqrt();
        footprint.is_declared = header.nodata.is_some() || header.masked;
        // The layer `sum` weighs cells by their area, in cells of level 0.
        let weighed = (resampling == Resampling::Sum && level != Level::ZERO && grid.schema().structure().refinable().is_some())
            .then(|| format!("its totals are those of cells of level {level}, of which the layer `sum` counts each {} times; --level 0 has them alike", level.scale().powi(2)));
        footprint.notes = frame
            .notes
            .iter()
            .cloned()
            .chain(conversion.note.clone())
            .chain(notes)
            .chain(weighed)
            .collect();
        let cuts = cuts(grid, &frame, [rows, cols], &columns, lay.most(ratio));
        Ok(Self {
            file: Box::new(file),
            grid: grid.clone(),
            frame,
            conversion,
            resampling,
            level,
            lay,
            footprint,
            cuts,
        })
    }

    /// Cells in the type of the grid; a float with data that has become the nodata value is the
    /// next one. What is picked is a cell of the file as it was.
    fn as_kept(&self, array: Array, mask: Option<&ArrayD<bool>>) -> Array {
        fn of<T: Cell>(
            array: &Array,
            mask: Option<&ArrayD<bool>>,
            nodata: Option<f64>,
            next: fn(T) -> T,
        ) -> Array {
            let nodata = nodata.map(T::from_f64);
            let mut valid = mask.into_iter().flatten();
            let kept = |value: f64| {
                let cell = kernel::as_cell(value);
                // Without a mask all hold data.
                let is_data = valid.next().is_none_or(|valid| *valid);
                if is_data && Some(cell) == nodata {
                    next(cell)
                } else {
                    cell
                }
            };
            let cells = array.iter_f64().map(kept).collect();
            Array::from(
                ArrayD::from_shape_vec(array.shape(), cells)
                    .unwrap_or_else(|_| unreachable!("the same shape")),
            )
        }
        let (dtype, nodata) = (self.grid.schema().dtype(), self.grid.schema().nodata());
        let picks = [
            Resampling::Nearest,
            Resampling::Min,
            Resampling::Max,
            Resampling::Mode,
        ];
        match dtype {
            _ if picks.contains(&self.resampling) => array,
            DType::F32 if nodata.is_some() || array.dtype() != dtype => {
                of(&array, mask, nodata, f32::next_up)
            }
            DType::F64 if nodata.is_some() => of(&array, mask, nodata, f64::next_up),
            _ => array,
        }
    }

    /// Some cells of the grid, (band, y, x), and what was found in the file for them.
    fn laid(&mut self, rows: &Range<i64>, cols: &Range<i64>, run: &BandRun) -> Result<LaidCells> {
        let lines = match &self.lay {
            Lay::Lines(lines) => *lines,
            #[cfg(feature = "crs")]
            Lay::Elsewhere(elsewhere) => {
                let elsewhere = Arc::clone(elsewhere);
                return self.placed(&elsewhere, rows, cols, run);
            }
        };
        let method = ResamplingMethod::Values(self.resampling);
        let [(rows, y), (cols, x)] = [lines[0].map(rows, method), lines[1].map(cols, method)];
        let window = [lines[0].of_file(&rows), lines[1].of_file(&cols)];
        let reversed = lines.map(|line| line.reversed);
        let (array, validity, found) = self.source_cells(window, run, reversed)?;
        let bands = AxisMap {
            start: 0.0,
            ratio: 1.0,
            len: run.bands.len(),
        };
        let source = kernel::ResampleSource {
            cells: &array,
            validity: &validity,
            shares: None,
        };
        let (array, validity) = kernel::resample(source, &[bands, y, x], method, self.blank());
        Ok((array, validity, found))
    }

    /// The same of a file in another system, in parts where that is made of more of the file than
    /// is held at once.
    #[cfg(feature = "crs")]
    fn placed(
        &mut self,
        elsewhere: &Elsewhere,
        rows: &Range<i64>,
        cols: &Range<i64>,
        run: &BandRun,
    ) -> Result<LaidCells> {
        let method = ResamplingMethod::Values(self.resampling);
        let shape = [rows, cols]
            .map(|cells| usize::try_from(cells.end.abs_diff(cells.start)).unwrap_or(usize::MAX));
        let Some(part) = elsewhere.part(rows, cols, method) else {
            let dtype = method.dtype(self.grid.schema().dtype());
            let shape = [run.bands.len(), shape[0], shape[1]];
            return Ok((
                Array::filled(dtype, &shape, self.blank()),
                Validity::of_mask(Some(ArrayD::from_elem(shape.as_slice(), false))),
                Some(FoundCells::default()),
            ));
        };
        let cells = (part.rows.len() * part.cols.len()) as f64 * run.bands.len() as f64;
        if cells > 2.0 * CELLS_MAX && shape[0].max(shape[1]) > 1 {
            let (axis, along) = if shape[0] >= shape[1] {
                (1, rows)
            } else {
                (2, cols)
            };
            let middle = along.start + (along.end - along.start) / 2;
            let halves = [along.start..middle, middle..along.end].map(|half| {
                let (rows, cols) = if axis == 1 {
                    (&half, cols)
                } else {
                    (rows, &half)
                };
                self.placed(elsewhere, rows, cols, run)
            });
            let [first, second] = halves;
            return Ok(joined(first?, second?, axis));
        }
        let window = [part.rows, part.cols];
        let (array, validity, found) = self.source_cells(window, run, [false; 2])?;
        let source = kernel::ResampleSource {
            cells: &array,
            validity: &validity,
            shares: None,
        };
        let places = (&part.places, part.is_round);
        let (array, validity) = kernel::resample_placed(source, places, method, self.blank());
        Ok((array, validity, found))
    }

    /// The cells of some rows and columns of the file, (band, y, x), in the grid's type and
    /// directions.
    fn source_cells(
        &mut self,
        [rows, cols]: [Range<usize>; 2],
        run: &BandRun,
        reversed: [bool; 2],
    ) -> Result<LaidCells> {
        let (first, last) = (
            run.bands.iter().min().copied().unwrap_or(0),
            run.bands.iter().max().copied().unwrap_or(0),
        );
        let bands = first..last + 1;
        let SourceCells {
            array,
            valid,
            found,
        } = self.converted(&geotiff::ImageWindow { bands, rows, cols })?;
        let numbers: Vec<usize> = run.bands.iter().map(|band| band - first).collect();
        let array = with_view!(Array, array, |cells| Array::from(upright(
            cells, &numbers, reversed
        )));
        let schema = self.grid.schema();
        let validity = match valid {
            Some(valid) => Validity::of_mask(Some(
                upright(valid, &numbers, reversed).mapv(|valid| valid != 0),
            )),
            None if schema.needs_mask() => Validity::All,
            None => Validity::Values {
                nodata: schema.nodata(),
            },
        };
        Ok((array, validity, found))
    }

    /// The cells of a window of the file, (band, y, x), in the grid's type.
    fn converted(&mut self, window: &geotiff::ImageWindow) -> Result<SourceCells> {
        let (array, valid) = self.file.read_valid(window)?;
        self.conversion.apply(array, valid, window.bands.clone())
    }

    /// What stands in cells without data.
    fn blank(&self) -> f64 {
        let schema = self.grid.schema();
        if schema.dtype().is_float() {
            f64::NAN
        } else {
            schema.nodata().unwrap_or(0.0)
        }
    }

    fn window_of(
        &self,
        ResampledCut {
            rows,
            cols,
            turned,
            run,
        }: &ResampledCut,
    ) -> Window {
        let of = |cells: &Range<i64>, by: i64| {
            (
                cells.start.saturating_add(by),
                cells.end.abs_diff(cells.start),
            )
        };
        let window = self
            .frame
            .window(&self.grid, self.level, of(rows, 0), of(cols, *turned));
        match self.frame.axes.band {
            Some(band) => window.along(
                band,
                i64::try_from(run.at).unwrap_or(i64::MAX),
                run.bands.len() as u64,
            ),
            None => window,
        }
    }
}

impl Source for ResampledSource {
    fn footprint(&self) -> &Footprint {
        &self.footprint
    }

    fn blocks(&self) -> Vec<Block> {
        self.cuts
            .iter()
            .enumerate()
            .map(|(number, cut)| Block::of(&self.grid, self.window_of(cut), number))
            .collect()
    }

    fn read(&mut self, block: &Block) -> Result<SourceCells> {
        let ResampledCut {
            rows, cols, run, ..
        } = self.cuts[block.number].clone();
        let (array, validity, found) = self.laid(&rows, &cols, &run)?;
        let (schema, mask) = (self.grid.schema(), validity.mask(&array));
        let array = self.as_kept(array, mask.as_ref());
        let count = |mask: &ArrayD<bool>| mask.iter().map(|valid| u64::from(*valid)).sum();
        let data = mask.as_ref().map_or_else(
            || array.shape().iter().map(|len| *len as u64).product(),
            count,
        );
        let (rank, axes) = (self.grid.structure().rank(), self.frame.axes);
        Ok(SourceCells {
            array: with_view!(Array, array, |cells| Array::from(laid(cells, rank, axes))),
            valid: mask
                .filter(|_| schema.needs_mask())
                .map(|mask| laid(mask.mapv(u8::from), rank, axes)),
            found: found.map(|found| FoundCells { data, ..found }),
        })
    }

    fn look(&mut self, progress: &mut dyn FnMut(u64)) -> Result<Option<FoundCells>> {
        let windows = self.file.plan(usize::MAX, LOOK_BYTES);
        let (len, cells) = (windows.len() as u64, self.footprint.cells);
        let mut all = FoundCells::default();
        for (number, window) in (0..).zip(windows) {
            let piece = self.converted(&window)?;
            let found = piece.found.unwrap_or_else(|| counted(&piece, &self.grid));
            all.data += found.data;
            all.collisions += found.collisions;
            // As many as add up to all.
            progress(cells / len + u64::from(number < cells % len));
        }
        Ok(Some(all))
    }

    fn fingerprint(&self) -> Result<Option<Fingerprint>> {
        self.file.fingerprint()
    }

    fn close(&mut self) {
        self.file.close();
    }
}

/// Some bands of an array (band, y, x) in the directions of the grid, in C order.
fn upright<T: Copy>(mut cells: ArrayD<T>, bands: &[usize], reversed: [bool; 2]) -> ArrayD<T> {
    for (axis, _) in [1, 2]
        .into_iter()
        .zip(reversed)
        .filter(|(_, reversed)| *reversed)
    {
        cells.invert_axis(Axis(axis));
    }
    let is_all = bands.iter().copied().eq(0..cells.len_of(Axis(0)));
    in_c_order(if is_all {
        cells
    } else {
        cells.select(Axis(0), bands)
    })
}

/// Blocks that end at borders of chunks where memory allows it: whole rows if a chunk's height of
/// them can be held, else parts.
fn cuts(
    grid: &Grid,
    frame: &PlaceFrame,
    [rows, cols]: [Range<i64>; 2],
    columns: &[ColumnRuns],
    (most, widest): (f64, i64),
) -> Vec<ResampledCut> {
    let chunks = grid.structure().chunk_shape();
    let chunk = |axis: usize| i64::try_from(chunks[axis]).unwrap_or(1).max(1);
    let (high, wide) = (chunk(frame.axes.y), chunk(frame.axes.x));
    let most = most / frame.bands.range().1 as f64;
    let fitting = |other: i64, (chunk, most_along): (i64, i64), len: i64| {
        let cells = remedy::whole((most / other as f64).floor())
            .unwrap_or(1)
            .clamp(1, most_along.max(1));
        if cells >= chunk {
            (cells / chunk * chunk).min(len.max(1).saturating_add(chunk))
        } else {
            cells
        }
    };
    let (height, width) = (rows.end - rows.start, cols.end - cols.start);
    let across = fitting(high.min(height), (wide, widest.max(wide)), width);
    let down = fitting(across.min(width), (high, i64::MAX), height);
    let runs = frame.bands.runs(0..usize::MAX);
    let mut cuts = Vec::new();
    for rows in pieces(rows.clone(), down, 0) {
        for of in columns {
            let first = cols.start.saturating_add_unsigned(of.columns.start);
            let turned = of.cell.saturating_sub(first);
            let all = first..cols.start.saturating_add_unsigned(of.columns.end);
            for cols in pieces(all, across, turned) {
                let cut = |run: &BandRun| ResampledCut {
                    rows: rows.clone(),
                    cols: cols.clone(),
                    turned,
                    run: run.clone(),
                };
                cuts.extend(runs.iter().map(cut));
            }
        }
    }
    cuts
}

/// Cuts cells where those that they are turned to are multiples of `step`.
fn pieces(cells: Range<i64>, step: i64, turned: i64) -> impl Iterator<Item = Range<i64>> {
    let mut from = cells.start;
    std::iter::from_fn(move || {
        let border = from
            .saturating_add(turned)
            .div_euclid(step)
            .saturating_add(1)
            .saturating_mul(step);
        let piece = from..border.saturating_sub(turned).min(cells.end);
        from = piece.end;
        (piece.start < piece.end).then_some(piece)
    })
}
