//! A file of cells of any size at any place, laid onto the lattice of a grid.

use std::ops::Range;

use ndarray::{ArrayD, Axis};

use crate::adapter::geotiff;
use crate::adapter::round::{self, Columns};
use crate::adapter::source::{Block, Fingerprint, Footprint, FoundCells, Source, SourceCells};
use crate::array::{Array, Cell, DType, Validity, in_c_order, with_view};
use crate::error::{Error, Result};
use crate::grid::{Level, Levels, Window};
use crate::kernel::{self, AxisMap, Resampling, ResamplingMethod};
use crate::store::Grid;

use super::bands::BandRun;
use super::convert::CellConversion;
use super::file::RasterFile;
use super::place::PlaceFrame;
use super::remedy;
use super::schema::PIXELS;
use super::source::laid;

/// Cells of a block, of the grid and of the file: what is held between them is some dozens of bytes
/// a cell.
const CELLS_MAX: f64 = if cfg!(test) { 100.0 } else { 4_194_304.0 };

/// A file whose cells are not the grid's, in the grid's coordinate reference system.
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
    lines: [FileLine; 2],
    footprint: Footprint,
    cuts: Vec<ResampledCut>,
}

/// Rows, or columns, of a file along an axis of the grid.
#[derive(Clone, Copy, Debug, PartialEq)]
struct FileLine {
    /// Where its first cell in the grid's direction begins, in cells of the grid.
    start: f64,
    /// The cells of the grid that it touches.
    first: i64,
    end: i64,
    /// A cell of the grid in cells of the file.
    ratio: f64,
    /// How many cells the file has.
    len: usize,
    /// Whether the file runs against the grid.
    reversed: bool,
}

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
        let frame = PlaceFrame::of(grid, file.header(), at)?;
        let dtype = grid.schema().dtype();
        if resampling == Resampling::Sum && !dtype.is_float() {
            return Err(no_totals(dtype));
        }
        let conversion = CellConversion::new(grid.schema(), file.header())?;
        let (header, axes) = (file.header(), frame.axes);
        let affine = header.affine.unwrap_or(PIXELS);
        let exponent = |cell: f64, axis: usize| (cell / remedy::step(grid, axis)).abs().log2();
        let finest = exponent(affine.dy, axes.y).min(exponent(affine.dx, axes.x));
        let level = level.unwrap_or_else(|| remedy::allowed(grid, remedy::finer(finest)));
        let mut lines = [
            FileLine::of(grid, axes.y, level, (affine.y, affine.dy), header.height)?,
            FileLine::of(grid, axes.x, level, (affine.x, affine.dx), header.width)?,
        ];
        let levels = Levels::zero(grid.structure().dimensions().len()).with(axes.space, level);
        let circle =
            round::circle_of(grid.structure(), axes.x, level).filter(|_| header.affine.is_some());
        // A cell that both ends of the file touch is one.
        let seam = circle.filter(|circle| lines[1].end - lines[1].first == circle + 1);
        let seam = seam.map(|_| grid.structure().edge(axes.x, level, lines[1].first));
        if let Some(edge) = seam.filter(|_| resampling == Resampling::Sum) {
            return Err(Error::invalid(format!(
                "both ends of the file lie in one cell of the grid, which begins at {edge}, and `sum` would take the part of one end only; keep it in a grid of its own, made with `gridstone create STORE TOTALS --like FILE`"
            )));
        }
        if seam.is_some() {
            lines[1].leave_to_larger_end();
        }
        let seam = seam.map(|edge| {
            format!(
                "both its ends lie in the cell of the grid that begins at {edge}, which is made of the end that has more of it"
            )
        });
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
            lines[1].first,
            lines[1].end.abs_diff(lines[1].first),
            circle,
            taken,
            once,
        )?;
        let rows = (lines[0].first, lines[0].end.abs_diff(lines[0].first));
        let window = |run: &Columns| {
            frame.window(
                grid,
                level,
                rows,
                (run.cell, run.columns.end - run.columns.start),
            )
        };
        let mut footprint =
            Footprint::new(name, columns.iter().map(window).collect(), header.values());
        footprint.bytes =
            (header.width * header.height * header.bands.len() * header.dtype.size()) as u64;
        footprint.cell = level.scale() / (lines[0].ratio * lines[1].ratio).sqrt();
        footprint.is_declared = header.nodata.is_some() || header.masked;
        let laid = format!(
            "its cells are laid onto the grid's at level {level} by resampling ({resampling})"
        );
        // The layer `sum` weighs cells by their area, in cells of level 0.
        let weighed = (resampling == Resampling::Sum && level != Level::ZERO && grid.schema().structure().refinable().is_some())
            .then(|| format!("its totals are those of cells of level {level}, of which the layer `sum` counts each {} times; --level 0 has them alike", level.scale().powi(2)));
        footprint.notes = frame
            .notes
            .iter()
            .cloned()
            .chain(conversion.note.clone())
            .chain([laid])
            .chain(weighed)
            .chain(seam)
            .collect();
        let cuts = cuts(grid, &frame, lines, &columns);
        Ok(Self {
            file: Box::new(file),
            grid: grid.clone(),
            frame,
            conversion,
            resampling,
            level,
            lines,
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
                let cell = T::from_f64(value);
                let is_beyond = value.is_finite() && !cell.to_f64().is_finite();
                let cell = if is_beyond {
                    T::from_f64(f64::from(f32::MAX).copysign(value))
                } else {
                    cell
                };
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

/// That a grid of a type keeps no totals.
pub(super) fn no_totals(dtype: DType) -> Error {
    Error::invalid(format!(
        "the parts of cells that `sum` adds up are no whole numbers, and the grid's cells are {dtype}; keep totals in a grid of their own, made with `gridstone create STORE TOTALS --like FILE --dtype float64`"
    ))
}

impl FileLine {
    fn of(
        grid: &Grid,
        axis: usize,
        level: Level,
        (origin, cell): (f64, f64),
        cells: usize,
    ) -> Result<Self> {
        let position = |edge: f64| grid.structure().position(axis, level, edge);
        let (a, b) = (position(origin), position(origin + cell * cells as f64));
        let (start, end) = (a.min(b), a.max(b));
        let ratio = cells as f64 / (end - start);
        // What the maps of blocks take for nothing too, so that the file has no part that is in no
        // cell.
        let nothing = 1e-6 * ratio.recip().min(1.0);
        let (first, last) = (
            remedy::whole((start + nothing).floor()),
            remedy::whole((end - nothing).ceil()),
        );
        match first.zip(last).filter(|(first, last)| first < last) {
            Some((first, last)) => Ok(Self {
                start,
                first,
                end: last,
                ratio,
                len: cells,
                reversed: b < a,
            }),
            None => Err(Error::invalid(format!(
                "the file has no cell of level {level} of the grid; ask for a finer one with `--level`"
            ))),
        }
    }

    /// Leaves the first or the last cell of the grid, which are one, to the end of the file that
    /// has more of it.
    fn leave_to_larger_end(&mut self) {
        let end = self.start + self.len as f64 / self.ratio;
        if end - (self.end - 1) as f64 > (self.first + 1) as f64 - self.start {
            self.first += 1;
        } else {
            self.end -= 1;
        }
    }

    /// The cells of the file, in the grid's direction, of which some cells of the grid are made;
    /// and how these lie on them.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number of cells, within the file"
    )]
    fn map(&self, cells: &Range<i64>, method: ResamplingMethod) -> (Range<usize>, AxisMap) {
        let reach = method.reach(self.ratio);
        let edge = |cell: i64| (cell as f64 - self.start) * self.ratio;
        let clamped = |position: f64| position.clamp(0.0, self.len as f64) as usize;
        let from = clamped((edge(cells.start) - reach).floor() - 1.0).min(self.len - 1);
        let to = clamped((edge(cells.end) + reach).ceil() + 1.0).max(from + 1);
        let len = usize::try_from(cells.end.abs_diff(cells.start)).unwrap_or(usize::MAX);
        (
            from..to,
            AxisMap {
                start: edge(cells.start) - from as f64,
                ratio: self.ratio,
                len,
            },
        )
    }

    /// Cells in the grid's direction as the file numbers them.
    fn of_file(&self, cells: &Range<usize>) -> Range<usize> {
        if self.reversed {
            self.len - cells.end..self.len - cells.start
        } else {
            cells.clone()
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
        let method = ResamplingMethod::Values(self.resampling);
        let [(rows, y), (cols, x)] = [
            self.lines[0].map(&rows, method),
            self.lines[1].map(&cols, method),
        ];
        let (first, last) = (
            run.bands.iter().min().copied().unwrap_or(0),
            run.bands.iter().max().copied().unwrap_or(0),
        );
        let bands = first..last + 1;
        let window = geotiff::Window {
            bands: bands.clone(),
            rows: self.lines[0].of_file(&rows),
            cols: self.lines[1].of_file(&cols),
        };
        let (array, valid) = self.file.read_valid(&window)?;
        let SourceCells {
            array,
            valid,
            found,
        } = self.conversion.apply(array, valid, bands)?;
        let numbers: Vec<usize> = run.bands.iter().map(|band| band - first).collect();
        let reversed = self.lines.map(|line| line.reversed);
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
        let blank = if schema.dtype().is_float() {
            f64::NAN
        } else {
            schema.nodata().unwrap_or(0.0)
        };
        let bands = AxisMap {
            start: 0.0,
            ratio: 1.0,
            len: numbers.len(),
        };
        let source = kernel::ResampleSource {
            cells: &array,
            validity: &validity,
            shares: None,
        };
        let (array, validity) = kernel::resample(source, &[bands, y, x], method, blank);
        let mask = validity.mask(&array);
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
    [rows, cols]: [FileLine; 2],
    columns: &[Columns],
) -> Vec<ResampledCut> {
    let chunks = grid.structure().chunk_shape();
    let chunk = |axis: usize| i64::try_from(chunks[axis]).unwrap_or(1).max(1);
    let (high, wide) = (chunk(frame.axes.y), chunk(frame.axes.x));
    // Cells of the file for one of the grid.
    let of_file = (rows.ratio * cols.ratio).max(1.0) * frame.bands.range().1 as f64;
    let fitting = |other: i64, chunk: i64, len: i64| {
        let cells = remedy::whole((CELLS_MAX / of_file / other as f64).floor())
            .unwrap_or(1)
            .max(1);
        if cells >= chunk {
            (cells / chunk * chunk).min(len.max(1).saturating_add(chunk))
        } else {
            cells
        }
    };
    let (height, width) = (rows.end - rows.first, cols.end - cols.first);
    let across = fitting(high.min(height), wide, width);
    let down = fitting(across.min(width), high, height);
    let runs = frame.bands.runs(0..usize::MAX);
    let mut cuts = Vec::new();
    for rows in pieces(rows.first..rows.end, down, 0) {
        for of in columns {
            let first = cols.first.saturating_add_unsigned(of.columns.start);
            let turned = of.cell.saturating_sub(first);
            let all = first..cols.first.saturating_add_unsigned(of.columns.end);
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
