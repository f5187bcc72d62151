//! Opening a GeoTIFF, planning a single pass over it, and reading windows of it.

use std::collections::BTreeSet;
use std::io::{Read, Seek};
use std::ops::Range;
use std::path::Path;

use ndarray::{ArrayD, IxDyn};

use super::blocks::TileImage;
use super::directory::{Directory, TiffBytes, tag};
use super::georef::{Affine, GeoKeys, affine};
use super::layout::{Compression, ImageLayout};
use super::nodata::{self, own_nodata};
use super::pages::{Overview, Pages};
use super::plan::{ImageWindows, PlanImage};
use super::sidecar;
use crate::adapter::file::LazyFile;
use crate::adapter::source::Fingerprint;
use crate::array::{Array, Cells, DType, block};
use crate::codec::Digest;
use crate::error::{Error, Result};

/// [`GeoTiff::read`] refuses a window of more bytes; [`GeoTiff::plan`] cuts an image into windows
/// below it.
pub(super) const WINDOW_BYTES_MAX: usize = 1 << 30;

/// What a GeoTIFF says of itself before any cell is read.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Header {
    /// Cells from left to right.
    pub width: usize,
    /// Cells from top to bottom.
    pub height: usize,
    /// One entry a band, at least one.
    pub bands: Vec<Band>,
    /// The type of the cells of every band.
    pub dtype: DType,
    /// One cell that marks absent data, if there is such a value for all bands.
    pub nodata: Option<Cells>,
    /// Whether the file says otherwise than by a value which cells hold data: by a mask, or by
    /// alpha.
    pub masked: bool,
    /// Where the cells lie; `None` if the file does not say.
    pub affine: Option<Affine>,
    /// `EPSG:n` or `ESRI:n`; for systems without a code the WKT of what the file defines, or else
    /// the bare name that it gives.
    pub crs: Option<String>,
    /// How the blocks are compressed; `None` of a file that is no TIFF.
    pub compression: Option<Compression>,
    /// Rows and columns of a block, which is decoded as a whole.
    pub block: [usize; 2],
    /// What the file states that could not be used, a sentence each.
    pub notes: Vec<String>,
}

/// What is told of a file whose cells are numbers of colours.
/// What is noted of classes that have names, or a table.
pub(in crate::adapter) const CLASSES: &str = "its cells are the numbers of classes, whose names the grid does not keep; a mean of them is no class, so make the grid with `--aggregator mode`";
/// What is noted of numbers of colours.
pub(in crate::adapter) const PALETTE: &str = "its cells are the numbers of colours in a list, which is not kept; a mean of them is no colour, so make the grid with `--aggregator mode`";
/// What is told of a file that says in two ways which cells hold data.
pub(in crate::adapter) const MASK_AND_VALUE: &str = "it has both a nodata value and a mask or alpha: a cell holds data where both say so (`gdal_translate -a_nodata none FILE MASKED.tif` leaves it to the mask)";

/// What GDAL's metadata say of one band.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Band {
    /// The name of the band.
    pub description: Option<String>,
    /// The physical value is the cell times this, plus the offset. [`GeoTiff::read`] gives the
    /// cells as stored.
    pub scale: Option<f64>,
    /// See [`scale`](Band::scale).
    pub offset: Option<f64>,
    /// The unit of the values.
    pub unit: Option<String>,
    /// One cell that marks absent data in this band, where bands have values of their own.
    pub nodata: Option<Cells>,
}

impl Band {
    /// Scale and offset, where they change anything.
    pub fn packing(&self) -> Option<(f64, f64)> {
        let packing = (self.scale.unwrap_or(1.0), self.offset.unwrap_or(0.0));
        (packing != (1.0, 0.0)).then_some(packing)
    }
}

impl Header {
    /// The type of the values that the cells stand for: their own, or where they are packed by a
    /// scale and an offset, float32 for cells of at most 16 bits and for float32, else float64.
    pub fn values(&self) -> DType {
        if self.bands.iter().all(|band| band.packing().is_none()) {
            self.dtype
        } else if self.dtype.size() <= 2 || self.dtype == DType::F32 {
            DType::F32
        } else {
            DType::F64
        }
    }

    /// The cells that mark absent data in all bands: the nodata value, in each way in which writers
    /// leave digits out.
    pub fn missing(&self) -> Vec<Cells> {
        self.nodata
            .as_ref()
            .map(nodata::spellings)
            .unwrap_or_default()
    }

    /// The unit of the values, if all bands have the same.
    pub fn unit(&self) -> Option<&str> {
        let unit = self.bands.first()?.unit.as_deref()?;
        self.bands
            .iter()
            .all(|band| band.unit.as_deref() == Some(unit))
            .then_some(unit)
    }

    /// The names of the bands, if each has one of its own.
    pub fn band_names(&self) -> Option<Vec<&str>> {
        let named = self
            .bands
            .iter()
            .filter_map(|band| band.description.as_deref());
        let names: Vec<&str> = named
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect();
        let distinct: BTreeSet<&str> = names.iter().copied().collect();
        (distinct.len() == self.bands.len()).then_some(names)
    }

    /// What is told of bands of which some have a name, and not each one of its own.
    pub(in crate::adapter) fn unnamed(&self) -> Option<String> {
        let names: Vec<&str> = self
            .bands
            .iter()
            .filter_map(|band| band.description.as_deref())
            .filter(|name| !name.trim().is_empty())
            .collect();
        (self.bands.len() > 1 && !names.is_empty() && self.band_names().is_none()).then(|| {
            format!(
                "not each of its bands has a name of its own ({}), so they go by their numbers; name them as with `rio edit-info` or in QGIS",
                names.join(", ")
            )
        })
    }

    /// All bands, rows and columns.
    pub(in crate::adapter) fn window(&self) -> ImageWindow {
        ImageWindow {
            bands: 0..self.bands.len(),
            rows: 0..self.height,
            cols: 0..self.width,
        }
    }

    /// Refuses a window that is empty, leaves the image or is too large for one read.
    pub(in crate::adapter) fn check(&self, window: &ImageWindow) -> Result<()> {
        let whole = self.window();
        let inside =
            |part: &Range<usize>, all: &Range<usize>| part.start < part.end && part.end <= all.end;
        if !inside(&window.bands, &whole.bands)
            || !inside(&window.rows, &whole.rows)
            || !inside(&window.cols, &whole.cols)
        {
            return Err(Error::invalid(format!(
                "the window {window:?} is not within the image, {whole:?}"
            )));
        }
        let bytes = window
            .shape()
            .iter()
            .try_fold(self.dtype.size(), |bytes, len| bytes.checked_mul(*len));
        if bytes.is_none_or(|bytes| bytes > WINDOW_BYTES_MAX) {
            let limit = WINDOW_BYTES_MAX >> 20;
            return Err(Error::invalid(format!(
                "the window {window:?} is more than {limit} MiB; read it in parts"
            )));
        }
        Ok(())
    }
}

/// What is told of bands in several units.
pub(in crate::adapter) fn several_units(bands: &[Band]) -> Option<String> {
    let units: BTreeSet<&str> = bands
        .iter()
        .filter_map(|band| band.unit.as_deref())
        .collect();
    let listed = || units.iter().copied().collect::<Vec<_>>().join(", ");
    (units.len() > 1).then(|| {
        format!(
            "its bands have several units ({}), and a grid made after it has none",
            listed()
        )
    })
}

/// A box of cells in some bands; half-open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageWindow {
    /// Bands, from 0.
    pub bands: Range<usize>,
    /// Rows, from the top.
    pub rows: Range<usize>,
    /// Columns, from the left.
    pub cols: Range<usize>,
}

impl ImageWindow {
    /// The shape of the array that is read: bands, rows, columns.
    pub fn shape(&self) -> [usize; 3] {
        [self.bands.len(), self.rows.len(), self.cols.len()]
    }
}

/// An open GeoTIFF. Nothing but the header is held.
#[derive(Debug)]
pub struct GeoTiff<R = LazyFile> {
    source: TiffBytes<R>,
    image: TileImage,
    /// The sample that is alpha: the last.
    alpha: Option<usize>,
    mask: Option<Mask>,
    overviews: Vec<Overview>,
    header: Header,
}

/// Where the cells that hold data are told, beside the cells.
#[derive(Debug)]
enum Mask {
    /// In an image of the same file.
    Inside(Box<TileImage>),
    /// In a file of the same name with `.msk` behind it.
    Beside(Box<GeoTiff>),
}

impl GeoTiff {
    /// Opens a file and reads its header, and what files beside it say: a mask (`.msk`), a world
    /// file (`.tfw`, `.tifw`, `.wld`), a system (`.prj`), and what GDAL and ArcGIS keep in
    /// `.aux.xml`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let within = |cause: Error| {
            cause.within(format!("`{}` cannot be read as a GeoTIFF", path.display()))
        };
        let mut tiff = Self::from_reader(LazyFile::open(path)?).map_err(within)?;
        sidecar::complete(&mut tiff.header, path)?;
        tiff.header.notes.extend(tiff.header.unnamed());
        if let Some(mask) = sidecar::mask(path)? {
            tiff.lay_beside(mask).map_err(within)?;
        }
        Ok(tiff)
    }

    /// The bytes of a file. Files beside it there are none.
    ///
    /// See [`from_reader`](Self::from_reader) for what reads from anything.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self> {
        Self::from_reader(LazyFile::of_bytes(bytes.into()))
    }

    /// What tells that the file is not what it was, nor what files beside it say; `None` of one in
    /// memory.
    pub(crate) fn fingerprint(&self) -> Result<Option<Fingerprint>> {
        let Some(own) = self.source.reader().fingerprint()? else {
            return Ok(None);
        };
        let mut digest = Digest::default();
        digest.print(own.digest);
        digest.bytes(format!("{:?}", self.header).as_bytes());
        if let Some(Mask::Beside(mask)) = &self.mask {
            digest.bytes(format!("{:?}", mask.fingerprint()?).as_bytes());
        }
        let digest = digest.finish();
        Ok(Some(Fingerprint { digest, ..own }))
    }

    /// Closes the file until a window of it is read, so that any number of them can be read in
    /// turn.
    pub fn close(&mut self) {
        self.source.reader_mut().close();
        if let Some(Mask::Beside(mask)) = &mut self.mask {
            mask.close();
        }
    }

    /// A mask of a file of its own.
    fn lay_beside(&mut self, mask: Self) -> Result<()> {
        let (own, of_mask) = (self.window(), mask.window());
        if (own.rows, own.cols) != (of_mask.rows, of_mask.cols) || mask.header.dtype != DType::U8 {
            return Err(Error::invalid(
                "the mask beside the file (`.msk`) has other cells than the file; remove it, or make it anew with `gdal_translate -co COMPRESS=DEFLATE FILE MASKED.tif`",
            ));
        }
        if self.header.nodata.is_some() && !self.header.masked {
            self.header.notes.push(MASK_AND_VALUE.to_owned());
        }
        (self.mask, self.header.masked) = (Some(Mask::Beside(Box::new(mask))), true);
        Ok(())
    }
}

impl<R: Read + Seek> GeoTiff<R> {
    /// Reads the header of a file that is open, or held in memory.
    pub fn from_reader(reader: R) -> Result<Self> {
        let (mut source, directories, whole) = TiffBytes::open(reader)?;
        let Some(directory) = directories.first() else {
            return Err(Error::invalid("the TIFF has no image"));
        };
        let layout = ImageLayout::read(&mut source, directory)?;
        let keys = GeoKeys::read(&mut source, directory)?;
        let pages = Pages::read(&mut source, &directories, &layout)?;
        let crs = keys.system()?;
        let mut notes = keys.notes(crs.as_deref());
        notes.extend(pages.notes());
        let orientation = source.unsigned_one(directory, tag::ORIENTATION)?;
        if let Some(other) = orientation.filter(|orientation| *orientation != 1) {
            notes.push(format!(
                "it is to be shown turned or mirrored (orientation {other}); its first row is taken for the upper one, and its first column for the left one"
            ));
        }
        if !whole {
            notes.push("the list of the file's further images is damaged, so there may be more than can be seen".to_owned());
        }
        let nodata = match source.text(directory, tag::GDAL_NODATA)? {
            text if text.trim().is_empty() => None,
            text => nodata::parse(&text, layout.dtype)
                .map_err(|note| notes.push(note))
                .ok(),
        };
        let alpha = alpha(&mut source, directory, &layout, &mut notes)?;
        let mut bands = vec![Band::default(); layout.bands];
        for item in nodata::items(&source.text(directory, tag::GDAL_METADATA)?) {
            let Some(band) = item.band.and_then(|band| bands.get_mut(band)) else {
                continue;
            };
            match item.role.as_str() {
                "description" => band.description = Some(item.value),
                "scale" => band.scale = nodata::packing("scale", &item.value, &mut notes),
                "offset" => band.offset = nodata::packing("offset", &item.value, &mut notes),
                "unittype" => {
                    band.unit = Some(item.value.trim().to_owned()).filter(|unit| !unit.is_empty())
                }
                _ => {}
            }
        }
        bands.truncate(alpha.unwrap_or(layout.bands));
        if directory.get(tag::COLOR_MAP).is_some() {
            notes.push(PALETTE.to_owned());
        }
        notes.extend(several_units(&bands));
        let masked = alpha.is_some() || pages.mask.is_some();
        notes.extend((masked && nodata.is_some()).then(|| MASK_AND_VALUE.to_owned()));
        let header = Header {
            width: layout.width,
            height: layout.height,
            bands,
            dtype: layout.dtype,
            nodata,
            masked,
            affine: affine(&mut source, directory, &keys)?,
            crs,
            compression: Some(layout.coding.compression),
            block: [layout.coding.rows, layout.coding.cols],
            notes,
        };
        let mask = pages
            .mask
            .map(|mask| Mask::Inside(Box::new(TileImage::new(mask))));
        Ok(Self {
            source,
            image: TileImage::new(layout),
            alpha,
            mask,
            overviews: pages.overviews,
            header,
        })
    }

    /// How many overviews of the image the file has.
    pub fn overviews(&self) -> usize {
        self.overviews.len()
    }

    /// An overview in place of the image, by its number from 0, the first of the file.
    ///
    /// An [`Invalid`](crate::ErrorKind::Invalid) error if there is none of that number, if it has
    /// other bands or another type than the image, or if it has no mask where the image has one.
    pub fn overview(mut self, number: usize) -> Result<Self> {
        let refused = |why: &str| {
            Error::invalid(format!(
                "overview {number} of the TIFF cannot be read: {why}"
            ))
        };
        let Some(overview) = self.overviews.get(number).cloned() else {
            return Err(refused(&format!("there are {}", self.overviews.len())));
        };
        let layout = ImageLayout::read(&mut self.source, &overview.image)?;
        let of_image = &self.image.layout;
        if (layout.bands, layout.dtype) != (of_image.bands, of_image.dtype) {
            return Err(refused("it has other bands or another type than the image"));
        }
        self.mask = match (self.mask, &overview.mask) {
            (None, _) => None,
            (Some(_), None) => return Err(refused("it has no mask, as the image has")),
            (Some(_), Some(mask)) => {
                let mask = ImageLayout::read(&mut self.source, mask)?;
                if (mask.dtype, mask.bands) != (DType::U8, 1) {
                    return Err(refused("its mask is none"));
                }
                Some(Mask::Inside(Box::new(TileImage::new(mask))))
            }
        };
        if let Some(affine) = &mut self.header.affine {
            affine.dx *= self.header.width as f64 / layout.width as f64;
            affine.dy *= self.header.height as f64 / layout.height as f64;
        }
        (self.header.width, self.header.height) = (layout.width, layout.height);
        self.header.compression = Some(layout.coding.compression);
        self.header.block = [layout.coding.rows, layout.coding.cols];
        self.image = TileImage::new(layout);
        self.overviews = Vec::new();
        Ok(self)
    }

    /// What the file says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// All cells of all bands.
    pub fn window(&self) -> ImageWindow {
        self.header.window()
    }

    /// Windows that cover every cell once and decode every block once, if read in turn.
    ///
    /// Their borders are borders of blocks. They are `rows_wanted` rows high, rounded up to whole
    /// blocks, and as wide as the image, as long as they come to at most `bytes_max` bytes; else
    /// they are lower, then narrower (in a tiled file), then of fewer bands (where bands have
    /// blocks of their own). The smallest is one block, which is at most 128 MiB. So a pass holds
    /// `max(bytes_max, one block)` for the window, and for the decoding 32 MiB and one block,
    /// decoded and as stored (which is less, and is not read beyond twice the decoded size).
    pub fn plan(&self, rows_wanted: usize, bytes_max: usize) -> ImageWindows {
        let layout = &self.image.layout;
        let block = [layout.coding.rows, layout.coding.cols];
        let image = PlanImage {
            whole: self.window(),
            samples: layout.bands,
            planar: layout.planar,
            block,
            cell: layout.dtype.size(),
        };
        image.plan(rows_wanted, bytes_max)
    }

    /// The cells of a window as (band, y, x), as stored: neither scaled nor masked.
    ///
    /// Blocks that the file leaves out read as nodata, or 0 if there is no nodata value. An
    /// [`Invalid`](crate::ErrorKind::Invalid) error if the window is empty, leaves the image or
    /// comes to more than 1 GiB, or if the file is damaged.
    pub fn read(&mut self, window: &ImageWindow) -> Result<Array> {
        self.read_valid(window).map(|(array, _)| array)
    }

    /// The same with what the file itself says of them beside their values: 1 where a cell holds
    /// data, 0 where it does not, by a mask, by alpha, or by the nodata value of its band where
    /// bands have values of their own. `None` if it says nothing.
    pub fn read_valid(&mut self, window: &ImageWindow) -> Result<(Array, Option<ArrayD<u8>>)> {
        self.header.check(window)?;
        let (cells, alpha) = self.samples(window)?;
        let one = IxDyn(&[1, window.rows.len(), window.cols.len()]);
        let valid = alpha
            .map(|alpha| ArrayD::from_shape_vec(one, positive(&alpha)))
            .transpose();
        let mut valid = valid.map_err(|cause| {
            Error::invalid("alpha has other cells than the bands").because(cause)
        })?;
        self.mask(window, &mut valid)?;
        own_nodata(&self.header, window, &cells, &mut valid);
        let whole = |valid: ArrayD<u8>| {
            valid
                .broadcast(IxDyn(&window.shape()))
                .map(|valid| valid.to_owned())
        };
        Ok((
            Array::from_cells(cells, &window.shape())?,
            valid.and_then(whole),
        ))
    }

    /// The cells of a window, and alpha if there is any.
    fn samples(&mut self, window: &ImageWindow) -> Result<(Cells, Option<Cells>)> {
        let fill = self.header.nodata.as_ref();
        let Some(alpha) = self.alpha else {
            return Ok((self.image.read(&mut self.source, window, fill)?, None));
        };
        let one = ImageWindow {
            bands: alpha..alpha + 1,
            ..window.clone()
        };
        if self.image.layout.planar {
            let cells = self.image.read(&mut self.source, window, fill)?;
            return Ok((cells, Some(self.image.read(&mut self.source, &one, None)?)));
        }
        // One pass gives the bands and alpha.
        let all = ImageWindow {
            bands: 0..self.image.layout.bands,
            ..window.clone()
        };
        let all = self.image.read(&mut self.source, &all, fill)?;
        let plane = window.rows.len() * window.cols.len() * all.dtype().size();
        let part = |bands: Range<usize>| {
            let mut cells = Cells::filled(
                all.dtype(),
                bands.len() * window.rows.len() * window.cols.len(),
                0.0,
            );
            cells
                .as_bytes_mut()
                .copy_from_slice(&all.as_bytes()[bands.start * plane..bands.end * plane]);
            cells
        };
        Ok((part(window.bands.clone()), Some(part(one.bands))))
    }

    /// Takes off what a mask in the file, or beside it, says is no data.
    fn mask(&mut self, window: &ImageWindow, valid: &mut Option<ArrayD<u8>>) -> Result<()> {
        let one = ImageWindow {
            bands: 0..1,
            ..window.clone()
        };
        let mask = match &mut self.mask {
            None => return Ok(()),
            Some(Mask::Inside(image)) => {
                Array::from_cells(image.read(&mut self.source, &one, None)?, &one.shape())?
                    .into_typed::<u8>()?
            }
            Some(Mask::Beside(file)) => {
                let bands = if file.header.bands.len() == self.header.bands.len() {
                    window.bands.clone()
                } else {
                    0..1
                };
                let array = file.read(&ImageWindow {
                    bands,
                    ..window.clone()
                })?;
                array.into_typed::<u8>()?
            }
        };
        let mask = mask.mapv(|cell| u8::from(cell != 0));
        *valid = Some(match valid.take() {
            None => mask,
            Some(valid) => &valid * &mask,
        });
        Ok(())
    }
}

/// 1 where a cell is greater than 0.
fn positive(cells: &Cells) -> Vec<u8> {
    let mut marks = vec![false; cells.len()];
    block::mark_beyond(
        &Cells::filled(cells.dtype(), 1, 0.0),
        true,
        cells.as_bytes(),
        &mut marks,
    );
    marks.into_iter().map(u8::from).collect()
}

/// The sample that is alpha, if the last is one.
fn alpha<R: Read + Seek>(
    source: &mut TiffBytes<R>,
    directory: &Directory,
    layout: &ImageLayout,
    notes: &mut Vec<String>,
) -> Result<Option<usize>> {
    let extra = source.unsigned_list(directory, tag::EXTRA_SAMPLES)?;
    let is_alpha = |kind: &u64| matches!(kind, 1 | 2);
    if layout.bands < 2 || !extra.iter().any(is_alpha) {
        return Ok(None);
    }
    if extra.iter().filter(|kind| is_alpha(kind)).count() > 1 || !extra.last().is_some_and(is_alpha)
    {
        return Err(Error::invalid(
            "the alpha band of the TIFF is not its last; choose bands with `gdal_translate -b N FILE FITTING.tif`",
        ));
    }
    if extra.last() == Some(&1) {
        notes.push(
            "the colours of partly transparent cells are as stored, which is multiplied by alpha"
                .to_owned(),
        );
    }
    Ok(Some(layout.bands - 1))
}
