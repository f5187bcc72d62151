//! What the directory says about the cells: how many, of what type, cut into which blocks, coded how.

use std::io::{Read, Seek};

use super::block::Coding;
use super::directory::{Directory, Entry, Source, tag};
use crate::array::DType;
use crate::error::{Error, Result};

/// A block that decodes to more bytes is refused: to read one cell of it, all of it must be held, as stored, decoded and in
/// the window, and the three together are to stay well below 512 MiB.
pub(super) const BLOCK_BYTES_MAX: u64 = 128 << 20;

/// How the bytes of a block are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    None,
    /// Lempel-Ziv-Welch. Read only.
    Lzw,
    /// Deflate in a zlib frame, which every reader knows.
    Deflate,
    /// Zstandard: faster to write and read than Deflate; GDAL 2.3 and newer know it.
    Zstd,
    /// Runs of bytes. Read only.
    PackBits,
}

impl Compression {
    fn of_code(code: u64) -> Result<Self> {
        let name = match code {
            1 => return Ok(Compression::None),
            5 => return Ok(Compression::Lzw),
            8 | 32946 => return Ok(Compression::Deflate),
            50000 => return Ok(Compression::Zstd),
            32773 => return Ok(Compression::PackBits),
            2..=4 => "CCITT fax",
            6 | 7 => "JPEG",
            34712 => "JPEG 2000",
            34887 => "LERC",
            34925 => "LZMA",
            50001 => "WebP",
            50002 | 52546 => "JPEG XL",
            _ => "unknown",
        };
        Err(Error::invalid(format!(
            "the compression of the TIFF, {name} ({code}), is not read; convert it with `gdal_translate -co COMPRESS=DEFLATE`"
        )))
    }
}

impl Compression {
    /// The number that stands for the compression in a file.
    pub(super) fn code(self) -> u16 {
        match self {
            Compression::None => 1,
            Compression::Lzw => 5,
            Compression::Deflate => 8,
            Compression::Zstd => 50000,
            Compression::PackBits => 32773,
        }
    }
}

/// What was done to a row before it was compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Predictor {
    None,
    Horizontal,
    FloatingPoint,
}

/// The shape and coding of an image. Every block it names decodes to at most [`BLOCK_BYTES_MAX`].
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) bands: usize,
    pub(super) dtype: DType,
    pub(super) tiled: bool,
    /// Whether each band has blocks of its own.
    pub(super) planar: bool,
    pub(super) coding: Coding,
    offsets: Entry,
    byte_counts: Option<Entry>,
}

impl Layout {
    pub(super) fn read<R: Read + Seek>(source: &mut Source<R>, directory: &Directory) -> Result<Self> {
        let width = dimension(source, directory, tag::WIDTH, "width")?;
        let height = dimension(source, directory, tag::HEIGHT, "height")?;
        let bands = source.unsigned_one(directory, tag::SAMPLES_PER_PIXEL)?.unwrap_or(1);
        let bands = usize::try_from(bands).ok().filter(|bands| (1..=65535).contains(bands));
        let bands = bands.ok_or_else(|| Error::invalid("the TIFF claims a number of bands that is not 1 to 65535"))?;
        let dtype = dtype(source, directory)?;
        let compression = Compression::of_code(source.unsigned_one(directory, tag::COMPRESSION)?.unwrap_or(1))?;
        refuse_rare(source, directory)?;
        let predictor = predictor(source, directory, compression, dtype)?;
        let planar = match source.unsigned_one(directory, tag::PLANAR_CONFIGURATION)? {
            None | Some(1) => false,
            Some(2) => true,
            Some(other) => return Err(Error::invalid(format!("the TIFF has the planar configuration {other}, not 1 or 2"))),
        } && bands > 1;
        let tiled = directory.get(tag::TILE_OFFSETS).is_some();
        let (rows, cols) = if tiled {
            let cols = dimension(source, directory, tag::TILE_WIDTH, "tile width")?;
            (dimension(source, directory, tag::TILE_LENGTH, "tile length")?, cols)
        } else {
            let rows = source.unsigned_one(directory, tag::ROWS_PER_STRIP)?.unwrap_or(u64::MAX);
            (usize::try_from(rows).unwrap_or(usize::MAX).min(height), width)
        };
        if rows == 0 {
            return Err(Error::invalid("the TIFF claims strips of no rows"));
        }
        let samples = if planar { 1 } else { bands };
        refuse_huge_block(rows, cols, samples, dtype)?;
        let (offsets, byte_counts) =
            if tiled { (tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS) } else { (tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS) };
        let byte_counts = directory.get(byte_counts).copied();
        let Some(offsets) = directory.get(offsets).copied() else {
            return Err(Error::invalid("the TIFF has neither strips nor tiles"));
        };
        if !source.holds(&offsets) || byte_counts.is_some_and(|counts| !source.holds(&counts)) {
            return Err(Error::invalid("the TIFF is truncated or damaged: its lists of blocks reach beyond its end"));
        }
        if byte_counts.is_none() && compression != Compression::None {
            return Err(Error::invalid("the TIFF does not say how long its compressed blocks are"));
        }
        let coding = Coding { compression, predictor, order: source.order, cols, rows, samples };
        let layout = Self { width, height, bands, dtype, tiled, planar, coding, offsets, byte_counts };
        layout.check_lists()?;
        Ok(layout)
    }

    /// The lists must name every block.
    fn check_lists(&self) -> Result<()> {
        let planes = if self.planar { self.bands } else { 1 };
        let blocks = self.blocks_down().checked_mul(self.blocks_across()).and_then(|blocks| blocks.checked_mul(planes));
        let blocks = blocks.and_then(|blocks| u64::try_from(blocks).ok()).unwrap_or(u64::MAX);
        let listed = self.offsets.count.min(self.byte_counts.map_or(u64::MAX, |counts| counts.count));
        if listed < blocks {
            let (height, width) = (self.height, self.width);
            return Err(Error::invalid(format!(
                "the TIFF lists {listed} blocks; {height} by {width} cells in {} band(s) make {blocks}",
                self.bands
            )));
        }
        Ok(())
    }

    /// Blocks from left to right.
    pub(super) fn blocks_across(&self) -> usize {
        self.width.div_ceil(self.coding.cols)
    }

    /// Blocks from top to bottom, of one plane.
    pub(super) fn blocks_down(&self) -> usize {
        self.height.div_ceil(self.coding.rows)
    }

    /// Bytes of one decoded block.
    pub(super) fn block_bytes(&self) -> usize {
        self.coding.rows * self.coding.cols * self.coding.samples * self.dtype.size()
    }

    /// The bytes of `len` blocks from number `first` on: offset and length, or `None` for a block that was never written.
    pub(super) fn extents<R: Read + Seek>(
        &self,
        source: &mut Source<R>,
        first: usize,
        len: usize,
    ) -> Result<Vec<Option<(u64, u64)>>> {
        let (first, len) = (first as u64, len as u64);
        let offsets = source.unsigned(&self.offsets, first, len)?;
        let block_bytes = self.block_bytes() as u64;
        let counts = match &self.byte_counts {
            Some(counts) => source.unsigned(counts, first, len)?,
            None => vec![block_bytes; offsets.len()],
        };
        // No coding grows a block by more than half; a longer claim is not read in full.
        let cap = block_bytes.saturating_mul(2).saturating_add(1 << 10);
        let end = source.len();
        Ok(offsets
            .into_iter()
            .zip(counts)
            .map(|(offset, count)| {
                let implied = self.byte_counts.is_none();
                let count = if implied { count.min(end.saturating_sub(offset)) } else { count };
                (offset != 0 && count != 0).then_some((offset, count.min(cap)))
            })
            .collect())
    }
}

fn dimension<R: Read + Seek>(source: &mut Source<R>, directory: &Directory, tag: u16, what: &str) -> Result<usize> {
    let value = source.unsigned_one(directory, tag)?;
    let Some(value) = value else { return Err(Error::invalid(format!("the TIFF does not state its {what}"))) };
    match i32::try_from(value).ok().and_then(|value| usize::try_from(value).ok()) {
        Some(value) if value > 0 => Ok(value),
        _ => Err(Error::invalid(format!("the TIFF claims a {what} of {value} cells"))),
    }
}

fn dtype<R: Read + Seek>(source: &mut Source<R>, directory: &Directory) -> Result<DType> {
    let bits = source.unsigned_list(directory, tag::BITS_PER_SAMPLE)?;
    let formats = source.unsigned_list(directory, tag::SAMPLE_FORMAT)?;
    let bit = bits.first().copied().unwrap_or(1);
    let format = formats.first().copied().unwrap_or(1);
    if bits.iter().any(|other| *other != bit) || formats.iter().any(|other| *other != format) {
        return Err(Error::invalid("the bands of the TIFF are of different types; split them with `gdal_translate -b`"));
    }
    // Format 4 is "undefined", which readers take for unsigned.
    let format = if format == 4 { 1 } else { format };
    Ok(match (format, bit) {
        (1, 8) => DType::U8,
        (2, 8) => DType::I8,
        (1, 16) => DType::U16,
        (2, 16) => DType::I16,
        (1, 32) => DType::U32,
        (2, 32) => DType::I32,
        (1, 64) => DType::U64,
        (2, 64) => DType::I64,
        (3, 32) => DType::F32,
        (3, 64) => DType::F64,
        _ => {
            let name = match format {
                1 => "unsigned integers",
                2 => "signed integers",
                3 => "floats",
                5 | 6 => "complex numbers",
                _ => "values of an unknown format",
            };
            return Err(Error::invalid(format!(
                "the cells of the TIFF are {name} of {bit} bits, which is no cell type; convert them with `gdal_translate -ot`"
            )));
        }
    })
}

fn refuse_rare<R: Read + Seek>(source: &mut Source<R>, directory: &Directory) -> Result<()> {
    if source.unsigned_one(directory, tag::FILL_ORDER)?.unwrap_or(1) != 1 {
        return Err(Error::invalid("the TIFF stores bits from right to left; rewrite it with `gdal_translate`"));
    }
    if source.unsigned_one(directory, tag::PHOTOMETRIC)? == Some(6) {
        return Err(Error::invalid("the TIFF stores YCbCr colours; rewrite it with `gdal_translate -co PHOTOMETRIC=RGB`"));
    }
    Ok(())
}

fn predictor<R: Read + Seek>(
    source: &mut Source<R>,
    directory: &Directory,
    compression: Compression,
    dtype: DType,
) -> Result<Predictor> {
    // Without one of these the tag has no meaning, and writers are known to leave it behind.
    if !matches!(compression, Compression::Lzw | Compression::Deflate | Compression::Zstd) {
        return Ok(Predictor::None);
    }
    match source.unsigned_one(directory, tag::PREDICTOR)? {
        None | Some(1) => Ok(Predictor::None),
        Some(2) => Ok(Predictor::Horizontal),
        Some(3) if dtype.is_float() => Ok(Predictor::FloatingPoint),
        Some(3) => Err(Error::invalid(format!("the TIFF applies the floating-point predictor to {dtype} cells"))),
        Some(other) => Err(Error::invalid(format!("the TIFF has the predictor {other}, not 1, 2 or 3"))),
    }
}

fn refuse_huge_block(rows: usize, cols: usize, samples: usize, dtype: DType) -> Result<()> {
    let bytes = [cols, samples, dtype.size()].into_iter().try_fold(rows as u64, |bytes, next| bytes.checked_mul(next as u64));
    if bytes.is_none_or(|bytes| bytes > BLOCK_BYTES_MAX) {
        return Err(Error::invalid(format!(
            "one block of the TIFF is {rows} by {cols} cells, which is beyond the limit of {} MiB a block; \
             rewrite it with `gdal_translate -co TILED=YES`",
            BLOCK_BYTES_MAX >> 20
        )));
    }
    Ok(())
}
