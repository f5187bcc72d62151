//! Writing an array as a tiled GeoTIFF.

use std::borrow::Cow;
use std::io::{Seek, Write};
use std::path::Path;

use ndarray::Array2;
use rayon::prelude::*;
use tiff::encoder::{
    DirectoryEncoder, TiffEncoder, TiffKind, TiffKindBig, TiffKindStandard, TiffValue,
};
use tiff::tags::{Tag, Type};

use super::directory::tag;
use super::georef::{Affine, WKT_MARK, key};
use super::layout::Compression;
use super::reader::Band;
use super::{mask, nodata, predictor};
use crate::adapter::file;
use crate::array::{ArrayView, Cells, DType};
use crate::crs;
use crate::error::{Error, Result};

/// Rows and columns of a tile. The standard asks for multiples of 16; this is what most readers are
/// tuned to.
pub(super) const TILE: usize = 256;

/// A file is made a BigTIFF if its cells come to more: offsets in a classic one end at 4 GiB.
const CLASSIC_BYTES_MAX: usize = 0xF000_0000;

/// Tiles compressed together; the memory beyond the array is this many tiles.
const BATCH_LEN: usize = 64;

/// What a file states besides the cells.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Profile {
    /// Where the cells lie.
    pub affine: Option<Affine>,
    /// `EPSG:n`, WKT, or any other text, which is kept as a citation.
    pub crs: Option<String>,
    /// One cell of the array's type that marks absent data.
    pub nodata: Option<Cells>,
    /// Which cells hold data, (y, x) for all bands, where no value can mark the others: becomes a
    /// mask inside the file.
    pub mask: Option<Array2<bool>>,
    /// [`Compression::Deflate`] unless set.
    pub compression: Compression,
    /// Names, scales and offsets: none, or one entry a band.
    pub bands: Vec<Band>,
    /// A BigTIFF even if the file is small.
    pub big: bool,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            affine: None,
            crs: None,
            nodata: None,
            mask: None,
            compression: Compression::Deflate,
            bands: Vec::new(),
            big: false,
        }
    }
}

/// Writes an array (y, x) or (band, y, x). The file appears when it is complete.
///
/// Compressed cells go through the predictor of their type: 2 for integers, 3 for floats.
pub fn write<'a>(
    path: impl AsRef<Path>,
    array: impl Into<ArrayView<'a>>,
    profile: &Profile,
) -> Result<()> {
    file::replace(path.as_ref(), |out| write_to(out, array, profile))
}

/// The same to anything that takes bytes and seeks.
///
/// An [`Invalid`](crate::ErrorKind::Invalid) error if the array has no cells or not two or three
/// axes, if the nodata cell is of another type, if there are names for another number of bands, or
/// if the compression is one that is only read.
pub fn write_to<'a>(
    out: impl Write + Seek,
    array: impl Into<ArrayView<'a>>,
    profile: &Profile,
) -> Result<()> {
    let array = array.into();
    let shape = match *array.shape() {
        [height, width] => [1, height, width],
        [bands, height, width] => [bands, height, width],
        _ => {
            let axes = array.shape().len();
            return Err(Error::invalid(format!(
                "a GeoTIFF is written of an array (y, x) or (band, y, x), not of {axes} axes"
            )));
        }
    };
    check(array.dtype(), shape, profile)?;
    let flat = array.flat();
    let raster = Raster {
        dtype: array.dtype(),
        shape,
        cells: flat.bytes(),
    };
    if profile.big || raster.cells.len() > CLASSIC_BYTES_MAX {
        encode::<_, TiffKindBig>(out, raster, profile)
    } else {
        encode::<_, TiffKindStandard>(out, raster, profile)
    }
}

/// Cells (band, y, x) in C order.
#[derive(Clone, Copy)]
struct Raster<'a> {
    dtype: DType,
    shape: [usize; 3],
    cells: &'a [u8],
}

fn check(dtype: DType, [bands, height, width]: [usize; 3], profile: &Profile) -> Result<()> {
    let short = |len: usize| len > 0 && i32::try_from(len).is_ok();
    if !short(height) || !short(width) || bands == 0 || u16::try_from(bands).is_err() {
        return Err(Error::invalid(format!(
            "a GeoTIFF cannot be {bands} bands of {height} by {width} cells"
        )));
    }
    if profile
        .nodata
        .as_ref()
        .is_some_and(|cell| cell.dtype() != dtype || cell.len() != 1)
    {
        return Err(Error::invalid(format!(
            "the nodata value is not one cell of {dtype}"
        )));
    }
    if profile
        .mask
        .as_ref()
        .is_some_and(|mask| mask.dim() != (height, width))
    {
        return Err(Error::invalid(format!(
            "the mask has not the {height} by {width} cells of the array"
        )));
    }
    if !profile.bands.is_empty() && profile.bands.len() != bands {
        return Err(Error::invalid(format!(
            "{} bands are described; the array has {bands}",
            profile.bands.len()
        )));
    }
    Ok(())
}

fn encode<W: Write + Seek, K: TiffKind>(
    out: W,
    raster: Raster<'_>,
    profile: &Profile,
) -> Result<()> {
    let mut encoder = TiffEncoder::<W, K>::new_generic(out).map_err(failed)?;
    encode_image(&mut encoder, raster, profile)?;
    profile
        .mask
        .as_ref()
        .map_or(Ok(()), |mask| mask::write(&mut encoder, mask.view()))
}

fn encode_image<W: Write + Seek, K: TiffKind>(
    encoder: &mut TiffEncoder<W, K>,
    raster: Raster<'_>,
    profile: &Profile,
) -> Result<()> {
    let [bands, height, width] = raster.shape;
    let mut directory = encoder.image_directory().map_err(failed)?;
    let places: Vec<[usize; 3]> = (0..bands)
        .flat_map(|band| {
            (0..height.div_ceil(TILE))
                .flat_map(move |row| (0..width.div_ceil(TILE)).map(move |col| [band, row, col]))
        })
        .collect();
    let (mut offsets, mut counts) = (
        Vec::with_capacity(places.len()),
        Vec::with_capacity(places.len()),
    );
    for batch in places.chunks(BATCH_LEN) {
        for tile in compressed(raster, batch, profile.compression) {
            let tile = tile?;
            offsets.push(directory.write_data(tile.as_slice()).map_err(failed)?);
            counts.push(tile.len() as u64);
        }
    }
    let mut put = Fields { directory };
    put.positions(tag::TILE_OFFSETS, &offsets)?;
    put.positions(tag::TILE_BYTE_COUNTS, &counts)?;
    put.image(raster.dtype, raster.shape, profile.compression)?;
    put.georeferencing(profile)?;
    if let Some(text) = profile.nodata.as_ref().and_then(nodata::format) {
        put.value(tag::GDAL_NODATA, Text(&text))?;
    }
    let metadata = nodata::document(&profile.bands);
    if !metadata.is_empty() {
        put.value(tag::GDAL_METADATA, Text(&metadata))?;
    }
    put.directory.finish().map_err(failed)
}

/// Tiles by their band, row and column, compressed on all processors.
fn compressed(
    raster: Raster<'_>,
    places: &[[usize; 3]],
    compression: Compression,
) -> Vec<Result<Vec<u8>>> {
    let tile = |[band, row, col]: &[usize; 3]| {
        compress(
            tile(raster, *band, row * TILE, col * TILE),
            raster.dtype,
            compression,
        )
    };
    places.par_iter().map(tile).collect()
}

/// One tile in C order. Beyond the edge the last column and row are repeated, which costs next to
/// nothing compressed.
fn tile(raster: Raster<'_>, band: usize, y: usize, x: usize) -> Cells {
    let ([_, height, width], size) = (raster.shape, raster.dtype.size());
    let (rows, cols) = (TILE.min(height - y), TILE.min(width - x));
    let mut tile = Cells::filled(raster.dtype, TILE * TILE, 0.0);
    let bytes = tile.as_bytes_mut();
    for row in 0..rows {
        let from = ((band * height + y + row) * width + x) * size;
        let to = &mut bytes[row * TILE * size..(row + 1) * TILE * size];
        to[..cols * size].copy_from_slice(&raster.cells[from..from + cols * size]);
        for col in cols..TILE {
            to.copy_within((col - 1) * size..col * size, col * size);
        }
    }
    for row in rows..TILE {
        bytes.copy_within(
            (row - 1) * TILE * size..row * TILE * size,
            row * TILE * size,
        );
    }
    tile
}

fn compress(mut tile: Cells, dtype: DType, compression: Compression) -> Result<Vec<u8>> {
    let (bytes, size) = (tile.as_bytes_mut(), dtype.size());
    if compression == Compression::None {
        return Ok(bytes.to_vec());
    }
    let mut scratch = Vec::new();
    for row in bytes.chunks_exact_mut(TILE * size) {
        if dtype.is_float() {
            predictor::split_planes(row, size, 1, &mut scratch);
        } else {
            predictor::differentiate(row, size, 1);
        }
    }
    compress_bytes(bytes, compression)
}

/// The bytes of a tile, compressed.
pub(super) fn compress_bytes(bytes: &[u8], compression: Compression) -> Result<Vec<u8>> {
    let cannot =
        |cause: std::io::Error| Error::unavailable("a tile cannot be compressed").because(cause);
    match compression {
        Compression::Deflate => {
            let mut stream =
                flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
            stream
                .write_all(bytes)
                .and_then(|()| stream.finish())
                .map_err(cannot)
        }
        Compression::Zstd => {
            zstd::bulk::compress(bytes, zstd::DEFAULT_COMPRESSION_LEVEL).map_err(cannot)
        }
        other => Err(Error::invalid(format!(
            "GeoTIFFs are not written with {other:?}; use None, Deflate or Zstd"
        ))),
    }
}

/// The fields of the directory, as this adapter writes them.
pub(super) struct Fields<'a, W: Write + Seek, K: TiffKind> {
    pub(super) directory: DirectoryEncoder<'a, W, K>,
}

impl<W: Write + Seek, K: TiffKind> Fields<'_, W, K> {
    pub(super) fn value(&mut self, tag: u16, value: impl TiffValue) -> Result<()> {
        self.directory
            .write_tag(Tag::from_u16_exhaustive(tag), value)
            .map_err(failed)
    }

    /// Offsets or lengths, as wide as the container has them.
    pub(super) fn positions(&mut self, tag: u16, positions: &[u64]) -> Result<()> {
        let positions: Vec<K::OffsetType> = positions
            .iter()
            .map(|position| K::convert_offset(*position))
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        self.directory
            .write_tag(Tag::from_u16_exhaustive(tag), K::convert_slice(&positions))
            .map_err(failed)
    }

    fn image(
        &mut self,
        dtype: DType,
        [bands, height, width]: [usize; 3],
        compression: Compression,
    ) -> Result<()> {
        let number = |len: usize| {
            u32::try_from(len).map_err(|_| Error::invalid("the array is too large for a GeoTIFF"))
        };
        let short = |len: usize| {
            u16::try_from(len)
                .map_err(|_| Error::invalid("the array has too many bands for a GeoTIFF"))
        };
        let samples = usize::from(short(bands)?);
        self.value(tag::WIDTH, number(width)?)?;
        self.value(tag::HEIGHT, number(height)?)?;
        self.value(
            tag::BITS_PER_SAMPLE,
            vec![short(8 * dtype.size())?; samples].as_slice(),
        )?;
        self.value(tag::COMPRESSION, compression.code())?;
        // Black is zero; any further band has no meaning as a colour.
        self.value(tag::PHOTOMETRIC, 1_u16)?;
        if samples > 1 {
            self.value(tag::EXTRA_SAMPLES, vec![0_u16; samples - 1].as_slice())?;
        }
        self.value(tag::SAMPLES_PER_PIXEL, short(bands)?)?;
        self.value(
            tag::PLANAR_CONFIGURATION,
            if samples > 1 { 2_u16 } else { 1 },
        )?;
        if compression != Compression::None {
            self.value(tag::PREDICTOR, if dtype.is_float() { 3_u16 } else { 2 })?;
        }
        self.value(tag::TILE_WIDTH, number(TILE)?)?;
        self.value(tag::TILE_LENGTH, number(TILE)?)?;
        self.value(
            tag::SAMPLE_FORMAT,
            vec![sample_format(dtype); samples].as_slice(),
        )
    }

    fn georeferencing(&mut self, profile: &Profile) -> Result<()> {
        if let Some(Affine { x, y, dx, dy }) = profile.affine {
            if dx > 0.0 && dy < 0.0 {
                self.value(tag::PIXEL_SCALE, [dx, -dy, 0.0].as_slice())?;
                self.value(tag::TIEPOINT, [0.0, 0.0, 0.0, x, y, 0.0].as_slice())?;
            } else {
                // A scale has no sign that readers agree on.
                let rows = [
                    [dx, 0.0, 0.0, x],
                    [0.0, dy, 0.0, y],
                    [0.0; 4],
                    [0.0, 0.0, 0.0, 1.0],
                ];
                self.value(tag::TRANSFORMATION, rows.as_flattened())?;
            }
        }
        // Keys without a system in them make readers invent one.
        let Some(crs) = profile
            .crs
            .as_deref()
            .map(str::trim)
            .filter(|crs| !crs.is_empty())
        else {
            return Ok(());
        };
        let (keys, text) = geokeys(crs)?;
        self.value(tag::GEO_KEYS, keys.as_slice())?;
        if text.is_empty() {
            Ok(())
        } else {
            self.value(tag::GEO_ASCII, Text(&text))
        }
    }
}

/// A reference system in the terms of GeoTIFF.
struct System {
    model: u16,
    /// A key and its value.
    code: Option<(u16, u16)>,
    /// A key and its text.
    text: Option<(u16, String)>,
}

/// The directory of geokeys and the text they point into. Cells are areas.
fn geokeys(system: &str) -> Result<(Vec<u16>, String)> {
    const GEOGRAPHIC: u16 = 2;
    const PROJECTED: u16 = 1;
    const USER_DEFINED: u16 = 32767;
    let epsg = system
        .get(..5)
        .filter(|name| name.eq_ignore_ascii_case("EPSG:"))
        .and_then(|_| system[5..].trim().parse::<u16>().ok());
    let system = match epsg {
        Some(code)
            if (1024..USER_DEFINED).contains(&code)
                && crs::geodetic_of_code(code.into()).is_some() =>
        {
            System {
                model: GEOGRAPHIC,
                code: Some((key::GEODETIC_CRS, code)),
                text: None,
            }
        }
        Some(code) if (1024..USER_DEFINED).contains(&code) => System {
            model: PROJECTED,
            code: Some((key::PROJECTED_CRS, code)),
            text: None,
        },
        // GDAL takes a whole definition from this citation, and only if the model is user-defined.
        _ if system.ends_with(']') => {
            let text = format!("{WKT_MARK}{system}|");
            System {
                model: USER_DEFINED,
                code: None,
                text: Some((key::PROJECTED_CITATION, text)),
            }
        }
        _ => System {
            model: USER_DEFINED,
            code: None,
            text: Some((key::CITATION, format!("{system}|"))),
        },
    };
    let mut entries = vec![
        [key::MODEL_TYPE, 0, 1, system.model],
        [key::RASTER_TYPE, 0, 1, 1],
    ];
    entries.extend(system.code.map(|(id, value)| [id, 0, 1, value]));
    let mut ascii = String::new();
    if let Some((id, text)) = system.text {
        let len = u16::try_from(text.len())
            .map_err(|_| Error::invalid("the reference system's text is too long for a GeoTIFF"))?;
        entries.push([id, tag::GEO_ASCII, len, 0]);
        ascii = text;
    }
    entries.sort_unstable();
    let count = u16::try_from(entries.len()).unwrap_or_default();
    let mut table = vec![1, 1, 0, count];
    table.extend(entries.into_iter().flatten());
    Ok((table, ascii))
}

fn sample_format(dtype: DType) -> u16 {
    if dtype.is_float() {
        3
    } else if dtype.is_signed() {
        2
    } else {
        1
    }
}

/// Text as the container has it: UTF-8 and a NUL. The standard says ASCII; every reader takes what
/// is there.
struct Text<'a>(&'a str);

impl TiffValue for Text<'_> {
    const BYTE_LEN: u8 = 1;
    const FIELD_TYPE: Type = Type::ASCII;

    fn count(&self) -> usize {
        self.0.len() + 1
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned([self.0.as_bytes(), &[0]].concat())
    }
}

pub(super) fn failed(cause: tiff::TiffError) -> Error {
    Error::unavailable("the GeoTIFF cannot be written").because(cause)
}
