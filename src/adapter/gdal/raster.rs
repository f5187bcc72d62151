//! A raster that GDAL opens, as it is or warped.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use gdal::Dataset;
use gdal::raster::RasterBand;
use ndarray::{ArrayD, IxDyn};

use super::dataset::{self, made};
use super::ffi;
use super::header::{BandAt, Described, Skew, described};
use super::reach::{self, Transformer};
use crate::adapter::cells::gdal_name;
use crate::adapter::file;
use crate::adapter::geotiff::nodata::{format, own_nodata};
use crate::adapter::geotiff::{Affine, Header, ImageWindow, ImageWindows, PlanImage};
use crate::adapter::raster::{AffineMap, Mapped, RasterFile, Reach};
use crate::adapter::source::Fingerprint;
use crate::array::{Array, Cells, DType};
use crate::codec::Digest;
use crate::crs;
use crate::error::{Error, Result};
use crate::kernel::Resampling;

/// A block of more cells is read in parts.
const BLOCK_CELLS_MAX: usize = 1 << 22;
/// How a note of what GDAL warns of begins.
const WARNS: &str = "GDAL warns: ";

/// A raster that GDAL opens. See the [module](super).
#[derive(Debug)]
pub struct GdalRaster {
    path: PathBuf,
    header: Header,
    bands: Vec<BandAt>,
    /// How each band is laid onto another lattice; none if they are read as they are.
    warps: Vec<BandWarp>,
    skew: Option<Skew>,
    /// Its system, if GDAL does not find it.
    system: Option<String>,
    /// How long its cells were before it was warped, in cells of level 0.
    own_cell: Option<f64>,
    /// What is open: a dataset reads from those behind it, and is dropped before them.
    open: Vec<Dataset>,
    /// The files that it is read from.
    files: Vec<PathBuf>,
    /// What they were when it was opened.
    stamp: Option<Fingerprint>,
}

/// The lattice that a raster is to be warped to.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::adapter) struct WarpTarget {
    /// Where the first cell lies; rows run from north to south.
    pub(in crate::adapter) affine: Affine,
    /// Rows and columns.
    pub(in crate::adapter) size: [usize; 2],
    /// The system; `None` if it is that of the raster.
    pub(in crate::adapter) crs: Option<String>,
    pub(in crate::adapter) resampling: Resampling,
    /// The cells of the raster in those of the lattice, along y and x, at most 1.
    pub(in crate::adapter) scale: [f64; 2],
    /// How long the cells of the raster are, in cells of level 0.
    pub(in crate::adapter) own_cell: f64,
    /// What is to be said of it.
    pub(in crate::adapter) note: String,
    /// The type of means, if that is one of floats.
    pub(in crate::adapter) dtype: DType,
}

/// The options by which a band is laid onto another lattice.
#[derive(Clone, Debug)]
struct BandWarp {
    /// Those that take the band from others, where there are several.
    translate: Option<Vec<String>>,
    warp: Vec<String>,
}

impl GdalRaster {
    /// Opens whatever GDAL knows by a name, such as the path of a file, and reads its header.
    ///
    /// An [`Invalid`](crate::ErrorKind::Invalid) error if GDAL does not open it, if it has no
    /// bands, or if its cells are of no type that a grid can have; a
    /// [`NotFound`](crate::ErrorKind::NotFound) one if there is no file of the name.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let within =
            |cause: Error| cause.within(format!("`{}` cannot be read by GDAL", path.display()));
        let (source, warnings) = dataset::open(path)?;
        // Much of what a file says is looked at when it is asked for.
        let (found, said) = dataset::heard(|| described(&source));
        let Described {
            header,
            bands,
            skew,
        } = found.map_err(within)?;
        let files = ffi::files(&source);
        let warnings = warnings.into_iter().chain(said);
        let mut raster = Self {
            path: path.to_owned(),
            stamp: stamp(&files)?,
            header,
            bands,
            warps: Vec::new(),
            skew,
            system: None,
            own_cell: None,
            open: vec![source],
            files,
        };
        raster.note(warnings.map(|text| format!("{WARNS}{text}")));
        Ok(raster)
    }

    /// Adds to what is to be said of it.
    fn note(&mut self, notes: impl Iterator<Item = String>) {
        for note in notes {
            if !self.header.notes.contains(&note) {
                self.header.notes.push(note);
            }
        }
    }

    /// Says what is to be said of it, in place of what GDAL finds; what GDAL warns of stays.
    pub(in crate::adapter) fn set_notes(&mut self, notes: Vec<String>) {
        let found = std::mem::replace(&mut self.header.notes, notes);
        self.note(found.into_iter().filter(|note| note.starts_with(WARNS)));
    }

    /// Whether its rows and columns do not follow the axes of its system. It has no place then
    /// unless it is warped.
    pub fn is_askew(&self) -> bool {
        self.skew.is_some()
    }

    /// Says what its system is, in place of what GDAL finds.
    pub(in crate::adapter) fn set_system(&mut self, system: String) {
        self.header.crs = Some(system.clone());
        self.system = Some(system);
    }

    /// The options of `gdalwarp` for the system that it is in, if GDAL does not find it.
    fn stated(&self) -> Vec<String> {
        let stated = self.system.as_deref();
        stated.map_or_else(Vec::new, |system| of_system("-s_srs", system))
    }

    /// The box that it covers in a system, in its own if that is `None`.
    pub(in crate::adapter) fn reach(&self, to: Option<&str>, is_circle: bool) -> Result<Reach> {
        let Header { width, height, .. } = self.header;
        let turn = match (self.skew, self.header.affine) {
            (Some(Skew::Points), _) => return self.suggested(to),
            (Some(Skew::Turned(turn)), _) => AffineMap(turn),
            (None, affine) => {
                AffineMap(affine.map_or([0.0, 1.0, 0.0, 0.0, 0.0, 1.0], Affine::to_gdal))
            }
        };
        let systems = match (&self.header.crs, to) {
            (Some(from), Some(to)) => Some((reach::system(from)?, reach::system(to)?)),
            _ => None,
        };
        let (there, back) = match &systems {
            Some((from, to)) => (Some((from, to)), Some((to, from))),
            None => (None, None),
        };
        let way = Transformer::between(there)?;
        let back = back
            .filter(|_| is_circle)
            .map(|back| Transformer::between(Some(back)));
        let back = back.transpose()?;
        let there = |points: &[[f64; 2]]| way.of(points);
        let back = back.map(|back| move |points: &[[f64; 2]]| back.of(points));
        let ways = (
            &there as &Mapped<'_>,
            back.as_ref().map(|back| back as &Mapped<'_>),
        );
        Reach::of(turn, [height, width], ways, is_circle)
    }

    /// The same where GDAL alone knows where the cells lie, and a margin, since it looks at some
    /// places only.
    fn suggested(&self, to: Option<&str>) -> Result<Reach> {
        let source = self.open.last().ok_or_else(|| self.closed())?;
        let mut options = ["-of", "VRT"].map(str::to_owned).to_vec();
        options.extend(self.stated());
        options.extend(to.map(|to| of_system("-t_srs", to)).into_iter().flatten());
        let made = made(|| ffi::warp(source, &options))?;
        let ([x, dx, _, y, _, dy], _) = dataset::asked(|| made.geo_transform())?;
        let (width, height) = made.raster_size();
        let along = |start: f64, step: f64, cells: usize| {
            let (end, margin) = (
                start + step * cells as f64,
                step.abs() * (2.0 + cells as f64 / 64.0),
            );
            [start.min(end) - margin, start.max(end) + margin]
        };
        Ok(Reach {
            x: along(x, dx, width),
            y: along(y, dy, height),
            cell: [dy.abs(), dx.abs()],
            is_round: false,
        })
    }

    fn is_warped(&self) -> bool {
        !self.warps.is_empty()
    }

    fn closed(&self) -> Error {
        Error::invalid(format!("`{}` is closed", self.path.display()))
    }

    /// The same raster on another lattice. Only headers are read.
    pub(in crate::adapter) fn warped(mut self, target: &WarpTarget) -> Result<Self> {
        if matches!(self.header.dtype, DType::I64 | DType::U64) {
            return Err(Error::invalid(
                "GDAL warps integers of 64 bits as doubles, which do not hold all of them; if doubles do, convert them with `gdal_translate -ot Float64 FILE CONVERTED.tif`",
            ));
        }
        if self.header.dtype == DType::I8 && is_by_word(&self.band(0)?) {
            return Err(Error::invalid(
                "this GDAL warps signed bytes as unsigned ones; convert them with `gdal_calc.py -A FILE --type=Int16 --calc=\"numpy.where(A>127,A-256.0,A)\" --outfile CONVERTED.tif`",
            ));
        }
        let picks = !is_mean(target.resampling);
        let dtype = if picks || !target.dtype.is_float() {
            self.header.dtype
        } else {
            target.dtype
        };
        let own = |band: usize| self.header.bands[band].nodata.as_ref();
        let nodata = |band: usize| self.header.nodata.as_ref().or_else(|| own(band));
        let several = self.header.bands.len() > 1;
        let mut at = Vec::new();
        for (number, band) in self.bands.iter().enumerate() {
            if band.mask.is_some() && (band.alpha.is_some() || nodata(number).is_some()) {
                return Err(in_two_ways());
            }
            let (mark, alpha) = marked(nodata(number), self.header.dtype, dtype, band);
            let scale = self.header.bands[number].scale.unwrap_or(1.0);
            let mut warp = target.options(scale < 0.0, dtype);
            warp.extend(self.stated());
            warp.extend(mark);
            warp.extend(alpha.then(|| "-dstalpha".to_owned()));
            let translate = several.then(|| alone(band));
            self.warps.push(BandWarp { translate, warp });
            at.push(BandAt {
                dataset: number,
                band: 1,
                alpha: alpha.then_some(2),
                mask: None,
            });
        }
        let masked = at.iter().any(|band| band.alpha.is_some());
        let is_own = self.header.bands.iter().any(|band| band.nodata.is_some());
        self.bands = at;
        self.header.masked = masked || is_own && !dtype.is_float();
        if dtype.is_float() {
            self.header.nodata = Some(Cells::filled(dtype, 1, f64::NAN));
            self.header
                .bands
                .iter_mut()
                .for_each(|band| band.nodata = None);
        }
        self.header.dtype = dtype;
        self.header.affine = Some(target.affine);
        [self.header.height, self.header.width] = target.size;
        if let Some(crs) = &target.crs {
            self.header.crs = Some(crs.clone());
        }
        (self.skew, self.own_cell) = (None, Some(target.own_cell));
        self.header.notes.push(target.note.clone());
        self.lay()?;
        let band = self.band(0)?;
        let (cols, rows) = band.block_size();
        self.header.block = [rows.max(1), cols.max(1)];
        Ok(self)
    }

    /// Lays what is open onto the other lattice, if there is one.
    fn lay(&mut self) -> Result<()> {
        let Some(source) = self.open.pop() else {
            return Err(self.closed());
        };
        // Should one fail, what reads is dropped in front of what it reads from: the last first.
        let mut parts = Vec::new();
        let mut warped = Vec::new();
        for BandWarp { translate, warp } in &self.warps {
            let part = translate
                .as_ref()
                .map(|options| made(|| ffi::translate(&source, options)))
                .transpose()?;
            let from = part.as_ref().unwrap_or(&source);
            warped.push(made(|| ffi::warp(from, warp))?);
            parts.extend(part);
        }
        warped.extend(parts);
        warped.push(source);
        self.open = warped;
        Ok(())
    }

    /// Opens what was closed, which must be as it was.
    fn reopen(&mut self) -> Result<()> {
        if !self.open.is_empty() {
            return Ok(());
        }
        if stamp(&self.files)? != self.stamp {
            return Err(Error::unavailable(format!(
                "`{}` was changed meanwhile; try again when nothing writes it",
                self.path.display()
            )));
        }
        self.open = vec![dataset::open(&self.path)?.0];
        self.lay().map_err(|cause| {
            cause.within(format!("`{}` cannot be laid again", self.path.display()))
        })
    }

    fn band(&self, band: usize) -> Result<RasterBand<'_>> {
        let BandAt { dataset, band, .. } = self.bands[band];
        let of = self.open.get(dataset).ok_or_else(|| self.closed())?;
        dataset::asked(|| of.rasterband(band)).map(|(band, _)| band)
    }

    /// Which cells of a band hold data by alpha and by a mask; `None` if it has neither.
    fn valid(&self, number: usize, window: &ImageWindow) -> Result<Option<Vec<u8>>> {
        let BandAt {
            dataset: of,
            alpha,
            mask,
            ..
        } = self.bands[number];
        let mut valid: Option<Vec<u8>> = None;
        let mut lay = |marks: Vec<u8>| match &mut valid {
            Some(valid) => valid
                .iter_mut()
                .zip(marks)
                .for_each(|(valid, mark)| *valid &= mark),
            None => valid = Some(marks),
        };
        if let Some(alpha) = alpha {
            let of = self.open.get(of).ok_or_else(|| self.closed())?;
            let band = dataset::asked(|| of.rasterband(alpha))?.0;
            let cells: Vec<f32> = cells(&band, window, self.is_warped())?;
            lay(cells.into_iter().map(|cell| u8::from(cell > 0.0)).collect());
        }
        if let Some(mask) = mask {
            let of = self.open.get(of).ok_or_else(|| self.closed())?;
            let band = dataset::asked(|| of.rasterband(mask))?.0;
            let mask = dataset::asked(|| band.open_mask_band())?.0;
            let cells: Vec<u8> = cells(&mask, window, self.is_warped())?;
            lay(cells.into_iter().map(|cell| u8::from(cell > 0)).collect());
        }
        Ok(valid)
    }
}

impl RasterFile for GdalRaster {
    fn header(&self) -> &Header {
        &self.header
    }

    fn plan(&self, rows_wanted: usize, bytes_max: usize) -> ImageWindows {
        let [high, wide] = self.header.block;
        let wide = wide.clamp(1, self.header.width.clamp(1, BLOCK_CELLS_MAX));
        let high = high.clamp(1, BLOCK_CELLS_MAX / wide);
        let image = PlanImage {
            whole: self.header.window(),
            samples: self.header.bands.len(),
            planar: true,
            block: [high, wide],
            cell: self.header.dtype.size(),
        };
        image.plan(rows_wanted, bytes_max)
    }

    fn read_valid(&mut self, window: &ImageWindow) -> Result<(Array, Option<ArrayD<u8>>)> {
        self.header.check(window)?;
        self.reopen()?;
        let within = |cause: Error| {
            cause.within(format!(
                "rows {:?} and columns {:?} of `{}` cannot be read",
                window.rows,
                window.cols,
                self.path.display()
            ))
        };
        let plane = window.rows.len() * window.cols.len();
        let dtype = self.header.dtype;
        let mut all = Cells::filled(dtype, plane * window.bands.len(), 0.0);
        let mut valid: Option<Vec<u8>> = None;
        for (place, number) in window.bands.clone().enumerate() {
            let band = self.band(number).map_err(within)?;
            let of_band = typed(&band, dtype, window, self.is_warped()).map_err(within)?;
            let bytes = plane * dtype.size();
            all.as_bytes_mut()[place * bytes..][..bytes].copy_from_slice(of_band.as_bytes());
            // Marks that bands share are read once.
            let is_told = place > 0 && self.bands[number].has_marks_of(&self.bands[number - 1]);
            if is_told {
                if let Some(valid) = &mut valid {
                    valid.copy_within((place - 1) * plane..place * plane, place * plane);
                }
            } else if let Some(marks) = self.valid(number, window).map_err(within)? {
                let valid = valid.get_or_insert_with(|| vec![1; plane * window.bands.len()]);
                valid[place * plane..][..plane].copy_from_slice(&marks);
            }
        }
        let shape = window.shape();
        let valid = valid.map(|valid| ArrayD::from_shape_vec(IxDyn(&shape), valid));
        let mut valid = valid.transpose().map_err(|cause| {
            Error::invalid("a mask has other cells than its band").because(cause)
        })?;
        own_nodata(&self.header, window, &all, &mut valid);
        Ok((Array::from_cells(all, &shape)?, valid))
    }

    fn fingerprint(&self) -> Result<Option<Fingerprint>> {
        stamp(&self.files)
    }

    fn close(&mut self) {
        self.open.clear();
    }

    fn own_cell(&self) -> Option<f64> {
        self.own_cell
    }
}

impl WarpTarget {
    /// The options of `gdalwarp`. Where a band becomes less when its numbers become greater, the
    /// least of its values is the greatest number.
    fn options(&self, falling: bool, dtype: DType) -> Vec<String> {
        let Affine { x, y, dx, dy } = self.affine;
        let [height, width] = self.size;
        let (east, south) = (x + dx * width as f64, y + dy * height as f64);
        let method = match self.resampling {
            Resampling::Nearest => "near",
            Resampling::Bilinear => "bilinear",
            Resampling::Cubic => "cubic",
            Resampling::Area => "average",
            Resampling::Min if !falling => "min",
            Resampling::Max if falling => "min",
            Resampling::Min | Resampling::Max => "max",
            Resampling::Mode => "mode",
            Resampling::Sum => "sum",
        };
        let kind = gdal_name(dtype);
        // Coordinates are exact, no overview stands for the cells, and the part of the file that
        // makes a block is looked for within it too, not along its edges only.
        let fixed = [
            "-of",
            "VRT",
            "-et",
            "0",
            "-ovr",
            "NONE",
            "-wo",
            "SAMPLE_GRID=YES",
        ];
        let place = [x, south, east, y].map(|edge| edge.to_string());
        let words = fixed.map(str::to_owned).into_iter();
        let words = words
            .chain(["-r", method, "-ot", kind, "-te"].map(str::to_owned))
            .chain(place)
            .chain(["-ts".to_owned(), width.to_string(), height.to_string()]);
        let [down, across] = self.scale;
        let scales = [format!("XSCALE={across}"), format!("YSCALE={down}")];
        let words = words.chain(
            scales
                .into_iter()
                .flat_map(|scale| ["-wo".to_owned(), scale]),
        );
        let system = self.crs.as_deref().map(|crs| of_system("-t_srs", crs));
        words.chain(system.into_iter().flatten()).collect()
    }
}

/// An option of `gdalwarp` with a system, by its code where it has one.
fn of_system(option: &str, system: &str) -> Vec<String> {
    let name = crs::code(system).map(|(authority, code)| format!("{authority}:{code}"));
    vec![option.to_owned(), name.unwrap_or_else(|| system.to_owned())]
}

/// Whether cells are mixed of others, not picked among them.
fn is_mean(resampling: Resampling) -> bool {
    matches!(
        resampling,
        Resampling::Bilinear | Resampling::Cubic | Resampling::Area | Resampling::Sum
    )
}

/// The options that take a band from others, and alpha behind it. A mask stays beside it.
fn alone(BandAt { band, alpha, .. }: &BandAt) -> Vec<String> {
    let bands = [Some(*band), *alpha].into_iter().flatten();
    let words = ["-of", "VRT"].map(str::to_owned).into_iter();
    words
        .chain(bands.flat_map(|band| ["-b".to_owned(), band.to_string()]))
        .collect()
}

/// The options that mark cells without data, and whether alpha does: NaN of floats, the nodata
/// value of integers that have one, else alpha. Alpha stays alpha. Beside a mask no value is looked
/// for, since the warper would not heed the mask.
fn marked(nodata: Option<&Cells>, from: DType, to: DType, at: &BandAt) -> (Vec<String>, bool) {
    let mark = |option: &str, text: String| [option.to_owned(), text];
    let of_source = match nodata {
        Some(cell) => format(cell),
        // NaN is no data, also where a file does not say so.
        None => (from.is_float() && at.mask.is_none()).then(|| "nan".to_owned()),
    };
    let of_target = if to.is_float() {
        Some("nan".to_owned())
    } else {
        nodata.and_then(format)
    };
    let alpha = at.alpha.is_some() || of_target.is_none();
    let source = of_source.map(|text| mark("-srcnodata", text));
    let target = of_target.map(|text| mark("-dstnodata", text));
    (source.into_iter().chain(target).flatten().collect(), alpha)
}

/// The cells of a window of a band.
fn cells<T: Copy + gdal::raster::GdalType>(
    band: &RasterBand,
    window: &ImageWindow,
    is_warped: bool,
) -> Result<Vec<T>> {
    let at = |cell: usize| isize::try_from(cell).unwrap_or(isize::MAX);
    let size = (window.cols.len(), window.rows.len());
    let start = (at(window.cols.start), at(window.rows.start));
    let read = dataset::read(is_warped, || band.read_as::<T>(start, size, size, None))?;
    Ok(read.into_shape_and_vec().1)
}

/// The same in the type of the file.
fn typed(band: &RasterBand, dtype: DType, window: &ImageWindow, is_warped: bool) -> Result<Cells> {
    Ok(match dtype {
        DType::U8 => cells::<u8>(band, window, is_warped)?.into(),
        DType::I8 if is_by_word(band) => {
            let bytes = cells::<u8>(band, window, is_warped)?.into_iter();
            bytes
                .map(|byte| i8::from_ne_bytes([byte]))
                .collect::<Vec<_>>()
                .into()
        }
        DType::I8 => {
            let cells = cells::<i16>(band, window, is_warped)?.into_iter();
            let bytes = cells
                .map(i8::try_from)
                .collect::<std::result::Result<Vec<_>, _>>();
            bytes
                .map_err(|cause| Error::invalid("a signed byte is none").because(cause))?
                .into()
        }
        DType::U16 => cells::<u16>(band, window, is_warped)?.into(),
        DType::I16 => cells::<i16>(band, window, is_warped)?.into(),
        DType::U32 => cells::<u32>(band, window, is_warped)?.into(),
        DType::I32 => cells::<i32>(band, window, is_warped)?.into(),
        DType::U64 => cells::<u64>(band, window, is_warped)?.into(),
        DType::I64 => cells::<i64>(band, window, is_warped)?.into(),
        DType::F32 => cells::<f32>(band, window, is_warped)?.into(),
        DType::F64 => cells::<f64>(band, window, is_warped)?.into(),
    })
}

/// Whether bytes are signed by a word beside their type, as GDAL before 3.7 has them.
fn is_by_word(band: &RasterBand) -> bool {
    band.band_type().name() == "Byte"
}

/// What tells that files are not what they were: of the first its first and last bytes too, of the
/// others their sizes and when they were written. `None` if none of them is a file of this machine.
fn stamp(files: &[PathBuf]) -> Result<Option<Fingerprint>> {
    let found = |path: &&PathBuf| path.is_file();
    let mut there = files.iter().filter(found);
    let Some(first) = there.next() else {
        return Ok(None);
    };
    let mut all = file::fingerprint(first)?;
    let mut digest = Digest::default();
    digest.print(all.digest);
    for path in there {
        let about = path.metadata().map_err(|cause| {
            Error::unavailable(format!("`{}` cannot be read", path.display())).because(cause)
        })?;
        let modified = about.modified().ok();
        let since = modified.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        digest.bytes(path.as_os_str().as_encoded_bytes());
        digest.bytes(&about.len().to_ne_bytes());
        digest.bytes(&since.map_or(0, |since| since.as_nanos()).to_ne_bytes());
        all.bytes = all.bytes.saturating_add(about.len());
        all.modified = all.modified.max(modified);
    }
    Ok(Some(Fingerprint {
        digest: digest.finish(),
        ..all
    }))
}

/// That a mask and values say which cells hold data.
pub(in crate::adapter) fn in_two_ways() -> Error {
    Error::invalid(
        "it says in two ways which cells hold data, of which GDAL's warper heeds one: leave the mask out with `gdal_translate -mask none FILE VALUES.tif`, or the nodata value with `gdal_translate -a_nodata none FILE MASKED.tif`",
    )
}
