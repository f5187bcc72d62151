//! Blocks that hold pictures (JPEG, WebP), lossy or lossless rasters (LERC), or an xz stream.

use std::io::{Cursor, Read, Seek};

use image_webp::WebPDecoder;
use lerc_core::PixelData;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::block::{Coding, damaged};
use super::directory::{Directory, TiffBytes, tag};
use super::layout::Compression;
use crate::error::{Error, Result};

/// Memory for the dictionary of an xz stream, in KiB.
const XZ_KIB_MAX: u32 = 256 << 10;

/// What the codec of a picture needs to know of the image.
#[derive(Clone, Debug, Default)]
pub(super) struct PictureCodec {
    /// What the JPEG streams of all blocks begin with.
    tables: Vec<u8>,
    /// Whether the colours are stored as brightness and hue.
    ycbcr: bool,
    /// What a LERC blob is packed with: 0 nothing, 1 Deflate, 2 Zstandard.
    packed: u64,
}

impl PictureCodec {
    /// `samples` is how many a cell of a block has.
    pub(super) fn read<R: Read + Seek>(
        source: &mut TiffBytes<R>,
        directory: &Directory,
        compression: Compression,
        samples: usize,
    ) -> Result<Self> {
        let mut codec = Self::default();
        match compression {
            Compression::Jpeg if ![1, 3].contains(&samples) => {
                return Err(Error::invalid(format!(
                    "the JPEG blocks of the TIFF have {samples} samples a cell, and only 1 or 3 are read; convert it with `gdal_translate -co COMPRESS=DEFLATE FILE CONVERTED.tif`"
                )));
            }
            Compression::Jpeg => {
                codec.tables = source.text_bytes(directory, tag::JPEG_TABLES)?;
                codec.ycbcr = source.unsigned_one(directory, tag::PHOTOMETRIC)? == Some(6);
                let shared = source.unsigned_list(directory, tag::YCBCR_SUBSAMPLING)?;
                // Two by two unless it says otherwise. Decoders differ by tens of a colour's 256
                // steps.
                if codec.ycbcr && shared != [1, 1] {
                    return Err(Error::invalid(
                        "the JPEG blocks of the TIFF have colours that several cells share (YCbCr), which decoders spread differently; take those of GDAL with `gdal_translate -co PHOTOMETRIC=RGB -co COMPRESS=DEFLATE FILE CONVERTED.tif`",
                    ));
                }
            }
            Compression::Lerc => {
                codec.packed = source
                    .unsigned_list(directory, tag::LERC_PARAMETERS)?
                    .get(1)
                    .copied()
                    .unwrap_or(0);
            }
            _ => {}
        }
        Ok(codec)
    }
}

/// Fills `out` from the front with the cells of a block; how many bytes were written.
pub(super) fn decode(raw: &[u8], coding: &Coding, out: &mut [u8]) -> Result<usize> {
    match coding.compression {
        Compression::Jpeg => jpeg(raw, coding, out),
        Compression::WebP => webp(raw, coding, out),
        Compression::Lerc => lerc(raw, coding, out),
        _ => xz(raw, out),
    }
}

/// Cells of a picture that may be lower than the block: `rows` rows of `cols` cells of `samples`
/// bytes.
fn picture(
    name: &str,
    pixels: &[u8],
    [rows, cols, samples]: [usize; 3],
    coding: &Coding,
    out: &mut [u8],
) -> Result<usize> {
    if cols != coding.cols || samples != coding.samples || rows > coding.rows {
        return Err(Error::invalid(format!(
            "a block is {name} of {rows} by {cols} cells of {samples} samples, not of {} by {} cells of {}",
            coding.rows, coding.cols, coding.samples
        )));
    }
    let len = pixels.len().min(out.len());
    out[..len].copy_from_slice(&pixels[..len]);
    Ok(len)
}

fn jpeg(raw: &[u8], coding: &Coding, out: &mut [u8]) -> Result<usize> {
    let tables = &coding.codec.tables;
    // The tables are a stream of their own, without its end; the block then goes on without its
    // beginning.
    let stream = if tables.len() > 4 && raw.len() > 2 {
        [&tables[..tables.len() - 2], &raw[2..]].concat()
    } else {
        raw.to_vec()
    };
    let space = match (coding.samples, coding.codec.ycbcr) {
        (1, _) => ColorSpace::Luma,
        (3, true) => ColorSpace::RGB,
        // What is stored is red, green and blue already: nothing is to be converted.
        _ => ColorSpace::YCbCr,
    };
    let options = DecoderOptions::default()
        .set_max_width(1 << 16)
        .set_max_height(1 << 16)
        .jpeg_set_out_colorspace(space);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&stream), options);
    let failed = |cause: zune_jpeg::errors::DecodeErrors| {
        damaged("JPEG").because(std::io::Error::other(format!("{cause:?}")))
    };
    decoder.decode_headers().map_err(failed)?;
    let (cols, rows) = decoder.dimensions().ok_or_else(|| damaged("JPEG"))?;
    if decoder.input_colorspace() == Some(ColorSpace::RGB) {
        decoder.set_options(options.jpeg_set_out_colorspace(ColorSpace::RGB));
    }
    let size = decoder
        .output_buffer_size()
        .filter(|size| *size <= out.len())
        .ok_or_else(|| damaged("JPEG"))?;
    let mut pixels = vec![0; size];
    decoder.decode_into(&mut pixels).map_err(failed)?;
    let samples = size / (rows * cols).max(1);
    picture("JPEG", &pixels, [rows, cols, samples], coding, out)
}

fn webp(raw: &[u8], coding: &Coding, out: &mut [u8]) -> Result<usize> {
    let failed = |cause: image_webp::DecodingError| damaged("WebP").because(cause);
    let mut decoder = WebPDecoder::new(Cursor::new(raw)).map_err(failed)?;
    let (cols, rows) = decoder.dimensions();
    let size = decoder
        .output_buffer_size()
        .filter(|size| *size <= out.len() / coding.samples * 4)
        .ok_or_else(|| damaged("WebP"))?;
    let mut pixels = vec![0; size];
    decoder.read_image(&mut pixels).map_err(failed)?;
    let (rows, cols) = (rows as usize, cols as usize);
    let mut samples = size / (rows * cols).max(1);
    if samples == 3 && coding.samples == 4 {
        // A picture without a transparent cell leaves alpha out.
        pixels = pixels
            .as_chunks::<3>()
            .0
            .iter()
            .flat_map(|[r, g, b]| [*r, *g, *b, 255])
            .collect();
        samples = 4;
    }
    picture("WebP", &pixels, [rows, cols, samples], coding, out)
}

fn lerc(raw: &[u8], coding: &Coding, out: &mut [u8]) -> Result<usize> {
    let most = out.len().saturating_mul(2) + (1 << 16);
    let blob = match coding.codec.packed {
        0 => raw.to_vec(),
        1 => {
            let mut blob = Vec::new();
            flate2::read::ZlibDecoder::new(raw)
                .take(most as u64)
                .read_to_end(&mut blob)
                .map_err(|cause| damaged("Deflate").because(cause))?;
            blob
        }
        2 => zstd::bulk::decompress(raw, most)
            .map_err(|cause| damaged("Zstandard").because(cause))?,
        other => {
            return Err(Error::invalid(format!(
                "LERC packed in the way {other} is not known"
            )));
        }
    };
    let failed = |cause: lerc_core::Error| {
        let why = "a LERC block cannot be read; if it is sound, convert the file with `gdal_translate -co COMPRESS=DEFLATE FILE CONVERTED.tif`";
        Error::invalid(why).because(std::io::Error::other(cause.to_string()))
    };
    let info = lerc_reader::inspect_first(&blob).map_err(failed)?;
    let (rows, cols, samples) = (
        info.height as usize,
        info.width as usize,
        info.depth as usize,
    );
    // What the header claims is held against the block before anything is allocated for it.
    if cols != coding.cols || rows > coding.rows || samples > coding.samples {
        return picture("LERC", &[], [rows, cols, samples], coding, out);
    }
    let decoded = lerc_reader::decode_first(&blob).map_err(failed)?;
    let mask = decoded.mask.filter(|mask| mask.contains(&0));
    let valid = |cell: usize| {
        mask.as_ref()
            .is_none_or(|mask| mask.get(cell / samples.max(1)) != Some(&0))
    };
    macro_rules! bytes {
        ($cells:expr) => {
            bytemuck::cast_slice(&$cells).to_vec()
        };
        // Cells without data are NaN.
        ($cells:expr, $type:ty) => {{
            let cells: Vec<$type> = $cells
                .into_iter()
                .enumerate()
                .map(|(at, cell)| if valid(at) { cell } else { <$type>::NAN })
                .collect();
            bytes!(cells)
        }};
    }
    let is_float = matches!(decoded.pixels, PixelData::F32(_) | PixelData::F64(_));
    let pixels: Vec<u8> = match decoded.pixels {
        PixelData::I8(cells) => bytes!(cells),
        PixelData::U8(cells) => cells,
        PixelData::I16(cells) => bytes!(cells),
        PixelData::U16(cells) => bytes!(cells),
        PixelData::I32(cells) => bytes!(cells),
        PixelData::U32(cells) => bytes!(cells),
        PixelData::F32(cells) => bytes!(cells, f32),
        PixelData::F64(cells) => bytes!(cells, f64),
    };
    if pixels.len() == rows * cols * samples && samples + 1 == coding.samples {
        // A mask that stands for the alpha band.
        let alpha = |cell: usize| {
            if mask.as_ref().is_none_or(|mask| mask.get(cell) != Some(&0)) {
                255
            } else {
                0
            }
        };
        let with_alpha = pixels.chunks_exact(samples).enumerate();
        let pixels: Vec<u8> = with_alpha
            .flat_map(|(cell, colours)| colours.iter().copied().chain([alpha(cell)]))
            .collect();
        return picture("LERC", &pixels, [rows, cols, samples + 1], coding, out);
    }
    if mask.is_some() && !is_float {
        return Err(Error::invalid(
            "a LERC block of integers has cells without data, which the TIFF does not tell; convert it with `gdal_translate -co COMPRESS=DEFLATE FILE CONVERTED.tif`",
        ));
    }
    if pixels.len() * (coding.rows * coding.cols * coding.samples)
        != out.len() * (rows * cols * samples)
    {
        return Err(damaged("LERC"));
    }
    picture("LERC", &pixels, [rows, cols, samples], coding, out)
}

fn xz(raw: &[u8], out: &mut [u8]) -> Result<usize> {
    let mut reader = lzma_rust2::XzReader::new_mem_limit(raw, false, XZ_KIB_MAX);
    let mut written = 0;
    while written < out.len() {
        match reader
            .read(&mut out[written..])
            .map_err(|cause| damaged("LZMA").because(cause))?
        {
            0 => break,
            count => written += count,
        }
    }
    Ok(written)
}
