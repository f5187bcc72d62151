//! What the directory says about the cells: how many, of what type, cut into which blocks, coded
//! how.

use std::io::{Read, Seek};

use super::Beyond;
use super::block::{Coding, SampleBits};
use super::codecs::PictureCodec;
use super::directory::{Directory, Entry, TiffBytes, tag};
use crate::array::DType;
use crate::error::{Error, Result};

/// A tile that decodes to more bytes is refused, and a strip that does is read in parts: to read
/// one cell of a block, all of it must be held, as stored, decoded and in the window, and the three
/// together are to stay well below 512 MiB.
pub(super) const BLOCK_BYTES_MAX: u64 = 128 << 20;

/// The parts of a strip that is read in parts.
const PART_BYTES_MAX: u64 = 8 << 20;

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
    /// JPEG: what was written is not what is read. Read only.
    Jpeg,
    /// WebP. Read only.
    WebP,
    /// LERC, alone or packed with Deflate or Zstandard. Read only.
    Lerc,
    /// LZMA in an xz frame. Read only.
    Lzma,
}

impl Compression {
    fn of_code(code: u64) -> Result<Self> {
        let name = match code {
            1 => return Ok(Compression::None),
            5 => return Ok(Compression::Lzw),
            8 | 32946 => return Ok(Compression::Deflate),
            50000 => return Ok(Compression::Zstd),
            32773 => return Ok(Compression::PackBits),
            7 => return Ok(Compression::Jpeg),
            34887 => return Ok(Compression::Lerc),
            34925 => return Ok(Compression::Lzma),
            50001 => return Ok(Compression::WebP),
            2..=4 => "CCITT fax",
            6 => "old JPEG",
            34712 => "JPEG 2000",
            50002 | 52546 => "JPEG XL",
            _ => {
                return Err(Error::invalid(format!(
                    "the compression of the TIFF ({code}) is neither known here nor to GDAL; convert it with {DECODED}"
                )));
            }
        };
        let otherwise = if code > 32_768 {
            format!(", or where GDAL is built without that with {DECODED}")
        } else {
            String::new()
        };
        Err(Error::invalid(format!(
            "the compression of the TIFF, {name} ({code}), is not read; convert it with `gdal_translate -co COMPRESS=DEFLATE FILE CONVERTED.tif`{otherwise}"
        ))
        .about(Beyond::Coding))
    }
}

/// The command that decodes whatever tifffile and imagecodecs know, and keeps where the cells lie.
const DECODED: &str = "`python3 -c \"import tifffile as t; p = t.TiffFile('FILE').pages[0]; t.imwrite('CONVERTED.tif', p.asarray(), photometric=p.photometric, planarconfig=p.planarconfig, metadata=None, extratags=[(g.code, g.dtype, g.count, g.value, True) for g in p.tags if g.code > 33000 and g.code != 34665])\"` (of `pip install tifffile imagecodecs`)";

impl Compression {
    /// Whether a codec of pictures or rasters decodes a block as a whole.
    pub(super) fn is_image(self) -> bool {
        matches!(
            self,
            Compression::Jpeg | Compression::WebP | Compression::Lerc
        )
    }

    /// The number that stands for the compression in a file.
    pub(super) fn code(self) -> u16 {
        match self {
            Compression::None => 1,
            Compression::Lzw => 5,
            Compression::Deflate => 8,
            Compression::Zstd => 50000,
            Compression::PackBits => 32773,
            Compression::Jpeg => 7,
            Compression::WebP => 50001,
            Compression::Lerc => 34887,
            Compression::Lzma => 34925,
        }
    }
}

/// What was done to a row before it was compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowPredictor {
    None,
    Horizontal,
    FloatingPoint,
}

/// The shape and coding of an image. Every block it names decodes to at most [`BLOCK_BYTES_MAX`].
#[derive(Clone, Debug)]
pub(super) struct ImageLayout {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) bands: usize,
    pub(super) dtype: DType,
    pub(super) tiled: bool,
    /// Whether each band has blocks of its own.
    pub(super) planar: bool,
    pub(super) coding: Coding,
    /// The rows of a strip, where it is read in parts of `coding.rows` rows.
    tall: Option<usize>,
    offsets: Entry,
    byte_counts: Option<Entry>,
}

/// The bytes of a block in the file, or of the strip that it is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ByteSpan {
    pub(super) offset: u64,
    pub(super) len: u64,
    /// Decompressed bytes of the strip in front of the block.
    pub(super) skip: u64,
}

impl ImageLayout {
    pub(super) fn read<R: Read + Seek>(
        source: &mut TiffBytes<R>,
        directory: &Directory,
    ) -> Result<Self> {
        let width = dimension(source, directory, tag::WIDTH, "width")?;
        let height = dimension(source, directory, tag::HEIGHT, "height")?;
        let bands = source
            .unsigned_one(directory, tag::SAMPLES_PER_PIXEL)?
            .unwrap_or(1);
        let bands = usize::try_from(bands)
            .ok()
            .filter(|bands| (1..=65535).contains(bands));
        let bands = bands.ok_or_else(|| {
            Error::invalid("the TIFF claims a number of bands that is not 1 to 65535")
        })?;
        let (dtype, samples_as) = cells(source, directory)?;
        let compression = Compression::of_code(
            source
                .unsigned_one(directory, tag::COMPRESSION)?
                .unwrap_or(1),
        )?;
        refuse_rare(source, directory, compression)?;
        let predictor = predictor(source, directory, compression, dtype)?;
        if samples_as != SampleBits::Whole
            && (predictor != RowPredictor::None || compression.is_image())
        {
            return Err(Error::invalid(
                "the TIFF applies a predictor or a codec of pictures to cells of a rare size, which is not read; convert it with `gdal_translate -co COMPRESS=DEFLATE FILE CONVERTED.tif`",
            ));
        }
        let planar = match source.unsigned_one(directory, tag::PLANAR_CONFIGURATION)? {
            None | Some(1) => false,
            Some(2) => true,
            Some(other) => {
                return Err(Error::invalid(format!(
                    "the TIFF has the planar configuration {other}, not 1 or 2"
                )));
            }
        } && bands > 1;
        let tiled = directory.get(tag::TILE_OFFSETS).is_some();
        let (rows, cols) = if tiled {
            let cols = dimension(source, directory, tag::TILE_WIDTH, "tile width")?;
            (
                dimension(source, directory, tag::TILE_LENGTH, "tile length")?,
                cols,
            )
        } else {
            let rows = source
                .unsigned_one(directory, tag::ROWS_PER_STRIP)?
                .unwrap_or(u64::MAX);
            (
                usize::try_from(rows).unwrap_or(usize::MAX).min(height),
                width,
            )
        };
        if rows == 0 {
            return Err(Error::invalid("the TIFF claims strips of no rows"));
        }
        let samples = if planar { 1 } else { bands };
        let (rows, tall) = parted(tiled, compression, [rows, cols, samples], dtype)?;
        let (offsets, byte_counts) = if tiled {
            (tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS)
        } else {
            (tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS)
        };
        let byte_counts = directory.get(byte_counts).copied();
        let Some(offsets) = directory.get(offsets).copied() else {
            return Err(Error::invalid("the TIFF has neither strips nor tiles"));
        };
        if !source.holds(&offsets) || byte_counts.is_some_and(|counts| !source.holds(&counts)) {
            return Err(Error::invalid(
                "the TIFF is truncated or damaged: its lists of blocks reach beyond its end",
            ));
        }
        if byte_counts.is_none() && compression != Compression::None {
            return Err(Error::invalid(
                "the TIFF does not say how long its compressed blocks are; rewrite it with `gdal_translate -co COMPRESS=DEFLATE FILE CONVERTED.tif`, which takes each to end where the next begins",
            ));
        }
        let codec = PictureCodec::read(source, directory, compression, samples)?;
        let coding = Coding {
            compression,
            predictor,
            order: source.order,
            cols,
            rows,
            samples,
            bits: samples_as,
            codec,
        };
        let layout = Self {
            width,
            height,
            bands,
            dtype,
            tiled,
            planar,
            coding,
            tall,
            offsets,
            byte_counts,
        };
        layout.check_lists()?;
        Ok(layout)
    }

    /// The lists must name every block.
    fn check_lists(&self) -> Result<()> {
        let planes = if self.planar { self.bands } else { 1 };
        let rows = self.tall.unwrap_or(self.coding.rows);
        let blocks = self
            .height
            .div_ceil(rows)
            .checked_mul(self.blocks_across())
            .and_then(|blocks| blocks.checked_mul(planes));
        let blocks = blocks
            .and_then(|blocks| u64::try_from(blocks).ok())
            .unwrap_or(u64::MAX);
        let listed = self
            .offsets
            .count
            .min(self.byte_counts.map_or(u64::MAX, |counts| counts.count));
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

    /// Bytes of one block, decompressed.
    pub(super) fn stored_bytes(&self) -> usize {
        self.coding.rows * self.coding.row_bytes(self.dtype.size())
    }

    /// Whether strips are read in parts.
    pub(super) fn is_tall(&self) -> bool {
        self.tall.is_some()
    }

    /// The bytes of `len` blocks from number `first` on, or `None` for a block that was never
    /// written.
    pub(super) fn extents<R: Read + Seek>(
        &self,
        source: &mut TiffBytes<R>,
        first: usize,
        len: usize,
    ) -> Result<Vec<Option<ByteSpan>>> {
        let Some(rows) = self.tall else {
            // No coding grows a block by more than half; a longer claim is not read in full.
            let cap = (self.block_bytes() as u64)
                .saturating_mul(2)
                .saturating_add(1 << 10);
            return self.stored(
                source,
                first as u64,
                len as u64,
                self.stored_bytes() as u64,
                cap,
            );
        };
        // A strip is as wide as the image, so blocks follow each other downwards.
        let down = self.blocks_down();
        let (plane, row) = (first / down, first % down * self.coding.rows);
        let strip = plane * self.height.div_ceil(rows) + row / rows;
        let row_bytes = self.coding.row_bytes(self.dtype.size()) as u64;
        let left = (self.height - row / rows * rows).min(rows) as u64;
        let mut extents = self.stored(source, strip as u64, 1, row_bytes * left, u64::MAX)?;
        extents
            .iter_mut()
            .flatten()
            .for_each(|extent| extent.skip = (row % rows) as u64 * row_bytes);
        Ok(extents)
    }

    /// Where strips or tiles stand, from number `first` on. Without a list of lengths each is of
    /// `implied` bytes.
    fn stored<R: Read + Seek>(
        &self,
        source: &mut TiffBytes<R>,
        first: u64,
        len: u64,
        implied: u64,
        cap: u64,
    ) -> Result<Vec<Option<ByteSpan>>> {
        let offsets = source.unsigned(&self.offsets, first, len)?;
        let counts = match &self.byte_counts {
            Some(counts) => source.unsigned(counts, first, len)?,
            None => vec![implied; offsets.len()],
        };
        let end = source.len();
        let extent = |(offset, count): (u64, u64)| {
            let count = if self.byte_counts.is_none() {
                count.min(end.saturating_sub(offset))
            } else {
                count
            };
            (offset != 0 && count != 0).then_some(ByteSpan {
                offset,
                len: count.min(cap),
                skip: 0,
            })
        };
        Ok(offsets.into_iter().zip(counts).map(extent).collect())
    }
}

fn dimension<R: Read + Seek>(
    source: &mut TiffBytes<R>,
    directory: &Directory,
    tag: u16,
    what: &str,
) -> Result<usize> {
    let value = source.unsigned_one(directory, tag)?;
    let Some(value) = value else {
        return Err(Error::invalid(format!(
            "the TIFF does not state its {what}"
        )));
    };
    match i32::try_from(value)
        .ok()
        .and_then(|value| usize::try_from(value).ok())
    {
        Some(value) if value > 0 => Ok(value),
        _ => Err(Error::invalid(format!(
            "the TIFF claims a {what} of {value} cells"
        ))),
    }
}

/// The type of the cells, and how a sample is stored.
fn cells<R: Read + Seek>(
    source: &mut TiffBytes<R>,
    directory: &Directory,
) -> Result<(DType, SampleBits)> {
    let bits = source.unsigned_list(directory, tag::BITS_PER_SAMPLE)?;
    let formats = source.unsigned_list(directory, tag::SAMPLE_FORMAT)?;
    let bit = bits.first().copied().unwrap_or(1);
    let format = formats.first().copied().unwrap_or(1);
    if bits.iter().any(|other| *other != bit) || formats.iter().any(|other| *other != format) {
        return Err(Error::invalid(
            "the bands of the TIFF are of different types, which neither libtiff nor GDAL reads either; have each written to a file of its own",
        ));
    }
    // Format 4 is "undefined", which readers take for unsigned.
    let format = if format == 4 { 1 } else { format };
    let whole = |dtype: DType| (dtype, SampleBits::Whole);
    Ok(match (format, bit) {
        (1, 8) => whole(DType::U8),
        (2, 8) => whole(DType::I8),
        (1, 16) => whole(DType::U16),
        (2, 16) => whole(DType::I16),
        (1, 32) => whole(DType::U32),
        (2, 32) => whole(DType::I32),
        (1, 64) => whole(DType::U64),
        (2, 64) => whole(DType::I64),
        (3, 32) => whole(DType::F32),
        (3, 64) => whole(DType::F64),
        (3, 16) => (DType::F32, SampleBits::Half),
        (1, bits @ 1..=7) => (DType::U8, SampleBits::Bits(bits)),
        (1, bits @ 9..=15) => (DType::U16, SampleBits::Bits(bits)),
        (1, bits @ 17..=31) => (DType::U32, SampleBits::Bits(bits)),
        (2, bits @ 2..=7) => (DType::I8, SampleBits::Bits(bits)),
        (2, bits @ 9..=15) => (DType::I16, SampleBits::Bits(bits)),
        (2, bits @ 17..=31) => (DType::I32, SampleBits::Bits(bits)),
        (5 | 6, _) => {
            return Err(Error::invalid(format!(
                "the cells of the TIFF are complex numbers of {bit} bits; take a part of them with `gdal_translate DERIVED_SUBDATASET:REAL:FILE PART.tif`, or `IMAG`, `AMPLITUDE`, `PHASE` in place of `REAL`"
            )));
        }
        _ => {
            let (name, remedy) = match format {
                1 => ("unsigned integers", converted("UInt32")),
                // GDAL takes them for unsigned.
                2 => ("signed integers", DECODED.to_owned()),
                3 => ("floats", converted("Float32")),
                _ => ("values of an unknown format", converted("Float64")),
            };
            return Err(Error::invalid(format!(
                "the cells of the TIFF are {name} of {bit} bits, which is no cell type; convert them with {remedy}"
            )));
        }
    })
}

/// The command that writes cells of a type of GDAL's.
fn converted(kind: &str) -> String {
    format!("`gdal_translate -ot {kind} FILE CONVERTED.tif`")
}

fn refuse_rare<R: Read + Seek>(
    source: &mut TiffBytes<R>,
    directory: &Directory,
    compression: Compression,
) -> Result<()> {
    if source
        .unsigned_one(directory, tag::FILL_ORDER)?
        .unwrap_or(1)
        != 1
    {
        return Err(Error::invalid(
            "the TIFF stores bits from right to left; rewrite it with `gdal_translate -co COMPRESS=DEFLATE FILE CONVERTED.tif`",
        ));
    }
    if let Some(slices) = source
        .unsigned_one(directory, tag::IMAGE_DEPTH)?
        .filter(|slices| *slices > 1)
    {
        return Err(Error::invalid(format!(
            "the TIFF is a volume of {slices} slices; make a file of each with `python3 -c \"import tifffile as t; [t.imwrite(f'SLICE-{{n}}.tif', slice) for n, slice in enumerate(t.imread('FILE'))]\"` (of `pip install tifffile`)"
        )));
    }
    // JPEG and WebP give red, green and blue, whatever they store.
    if source.unsigned_one(directory, tag::PHOTOMETRIC)? == Some(6)
        && !matches!(compression, Compression::Jpeg | Compression::WebP)
    {
        return Err(Error::invalid(
            "the TIFF stores YCbCr colours; rewrite it with `gdal_translate -co PHOTOMETRIC=RGB -co COMPRESS=DEFLATE FILE CONVERTED.tif`",
        ));
    }
    Ok(())
}

fn predictor<R: Read + Seek>(
    source: &mut TiffBytes<R>,
    directory: &Directory,
    compression: Compression,
    dtype: DType,
) -> Result<RowPredictor> {
    // Without one of these the tag has no meaning, and writers are known to leave it behind.
    if !matches!(
        compression,
        Compression::Lzw | Compression::Deflate | Compression::Zstd | Compression::Lzma
    ) {
        return Ok(RowPredictor::None);
    }
    match source.unsigned_one(directory, tag::PREDICTOR)? {
        None | Some(1) => Ok(RowPredictor::None),
        Some(2) => Ok(RowPredictor::Horizontal),
        Some(3) if dtype.is_float() => Ok(RowPredictor::FloatingPoint),
        Some(3) => Err(Error::invalid(format!(
            "the TIFF applies the floating-point predictor to {dtype} cells"
        ))),
        Some(other) => Err(Error::invalid(format!(
            "the TIFF has the predictor {other}, not 1, 2 or 3"
        ))),
    }
}

/// The rows of a block, and those of the strip that it is a part of where that is too large to be
/// held.
fn parted(
    tiled: bool,
    compression: Compression,
    [rows, cols, samples]: [usize; 3],
    dtype: DType,
) -> Result<(usize, Option<usize>)> {
    let row_bytes = [samples, dtype.size()]
        .into_iter()
        .try_fold(cols as u64, |bytes, next| bytes.checked_mul(next as u64));
    let row_bytes = row_bytes.unwrap_or(u64::MAX);
    if row_bytes
        .checked_mul(rows as u64)
        .is_some_and(|bytes| bytes <= BLOCK_BYTES_MAX)
    {
        return Ok((rows, None));
    }
    let whole = matches!(
        compression,
        Compression::Jpeg | Compression::WebP | Compression::Lerc | Compression::Lzma
    );
    if tiled || whole || row_bytes > BLOCK_BYTES_MAX {
        return Err(Error::invalid(format!(
            "one block of the TIFF is {rows} by {cols} cells, which is beyond the limit of {} MiB a block; \
             rewrite it with `gdal_translate -co TILED=YES -co COMPRESS=DEFLATE FILE TILED.tif`",
            BLOCK_BYTES_MAX >> 20
        )));
    }
    // Parts of equal height, so that they end where strips do.
    let most = usize::try_from(PART_BYTES_MAX / row_bytes)
        .unwrap_or(1)
        .clamp(1, rows);
    let part = (1..=most)
        .rev()
        .find(|part| rows.is_multiple_of(*part))
        .unwrap_or(1);
    Ok((part, Some(rows)))
}
