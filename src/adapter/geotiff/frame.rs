//! What a file has in front of its cells: a header, what is to be known of their order, and the
//! directories of all images.

use super::directory::tag;
use super::fields::{Container, FieldPlaces, Fields, laid_out};
use super::layout::Compression;
use super::writer::{Profile, Sheet};
use super::{keys, nodata};
use crate::array::DType;
use crate::error::{Error, Result};

/// Bits of the kind of an image.
const REDUCED: u32 = 1;
const MASK: u32 = 4;

const PHOTOMETRIC_GRAY: u16 = 1;
const PHOTOMETRIC_MASK: u16 = 4;

/// All that stands in front of the cells. Where blocks stand and how long they are is filled in
/// last.
#[derive(Debug)]
pub(super) struct Frame {
    container: Container,
    pub(super) bytes: Vec<u8>,
    /// Of each image, and of the mask behind each if there are masks.
    images: Vec<FrameImage>,
    masked: bool,
}

#[derive(Debug)]
struct FrameImage {
    offsets_at: usize,
    lengths_at: usize,
    blocks: usize,
}

/// One list of blocks: of the cells of an image, or of its mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockList {
    Cells,
    Mask,
}

impl Frame {
    pub(super) fn new(sheet: &Sheet, profile: &Profile, container: Container) -> Result<Self> {
        let tiling = profile.tiling();
        let (mut directories, mut blocks) = (Vec::new(), Vec::new());
        for (number, size) in sheet.sizes.iter().copied().enumerate() {
            let reduced = if number > 0 { REDUCED } else { 0 };
            let mut fields = Fields::default();
            let tiles = sheet.tiles(number, profile.tile);
            common(&mut fields, reduced, size, tiling.side)?;
            image(&mut fields, sheet.dtype, sheet.bands, profile.compression)?;
            if number == 0 {
                keys::put(&mut fields, profile.affine, profile.crs.as_deref())?;
                let metadata = nodata::document(&profile.bands);
                if !metadata.is_empty() {
                    fields.text(tag::GDAL_METADATA, &metadata);
                }
            }
            if let Some(text) = profile.nodata.as_ref().and_then(nodata::format) {
                fields.text(tag::GDAL_NODATA, &text);
            }
            let mut push = |mut fields: Fields, count: usize| {
                fields.offsets(tag::TILE_OFFSETS, count, container);
                fields.lengths(tag::TILE_BYTE_COUNTS, count);
                directories.push(fields);
                blocks.push(count);
            };
            push(fields, tiles * sheet.bands);
            if sheet.masked {
                let mut fields = Fields::default();
                common(&mut fields, reduced | MASK, size, tiling.side)?;
                mask(&mut fields, tiling.of_masks());
                push(fields, tiles);
            }
        }
        let about = structural(sheet.masked && sheet.bands == 1);
        let first = (container.header_len() + about.len()).next_multiple_of(2);
        let mut bytes = container.header(first);
        bytes.extend(about.as_bytes());
        bytes.resize(first, 0);
        let (rest, places) = laid_out(&directories, first, container);
        bytes.extend(rest);
        let at = |places: &FieldPlaces, tag: u16| places.get(&tag).copied().unwrap_or_default();
        let images = places
            .iter()
            .zip(blocks)
            .map(|(places, blocks)| FrameImage {
                offsets_at: at(places, tag::TILE_OFFSETS),
                lengths_at: at(places, tag::TILE_BYTE_COUNTS),
                blocks,
            });
        Ok(Self {
            container,
            bytes,
            images: images.collect(),
            masked: sheet.masked,
        })
    }

    /// Notes where a block stands. An [`Invalid`](crate::ErrorKind::Invalid) error if it was noted
    /// before.
    pub(super) fn note(
        &mut self,
        image: usize,
        part: BlockList,
        block: usize,
        (offset, len): (u64, u32),
    ) -> Result<()> {
        let number =
            if self.masked { 2 * image } else { image } + usize::from(part == BlockList::Mask);
        let found = self.images.get(number).filter(|of| block < of.blocks);
        let Some(of) = found else {
            return Err(Error::invalid("the GeoTIFF has no such block"));
        };
        let offset = self.container.offset(offset)?;
        let at = of.lengths_at + 4 * block;
        let noted = &mut self.bytes[at..at + 4];
        if noted.iter().any(|byte| *byte > 0) {
            return Err(Error::invalid("a block of the GeoTIFF is written twice"));
        }
        noted.copy_from_slice(&len.to_ne_bytes());
        let at = of.offsets_at + offset.len() * block;
        self.bytes[at..at + offset.len()].copy_from_slice(&offset);
        Ok(())
    }

    /// Whether every block was noted.
    pub(super) fn is_complete(&self) -> bool {
        self.images.iter().all(|of| {
            let lengths = &self.bytes[of.lengths_at..of.lengths_at + 4 * of.blocks];
            lengths.as_chunks::<4>().0.iter().all(|len| *len != [0; 4])
        })
    }
}

/// What GDAL and others read of the order of what follows, to ask for less.
fn structural(interleaved: bool) -> String {
    let mask = if interleaved {
        "MASK_INTERLEAVED_WITH_IMAGERY=YES\n"
    } else {
        ""
    };
    // The blank leaves room for a YES, which an editor that knows nothing of the order writes.
    let about = format!(
        "LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\nBLOCK_TRAILER=LAST_4_BYTES_REPEATED\n{mask}KNOWN_INCOMPATIBLE_EDITION=NO\n "
    );
    format!(
        "GDAL_STRUCTURAL_METADATA_SIZE={:06} bytes\n{about}",
        about.len()
    )
}

/// What images of cells and masks have.
fn common(fields: &mut Fields, kind: u32, [height, width]: [usize; 2], side: usize) -> Result<()> {
    let number = |len: usize| {
        u32::try_from(len).map_err(|_| Error::invalid("the array is too large for a GeoTIFF"))
    };
    if kind > 0 {
        fields.long(tag::NEW_SUBFILE_TYPE, kind);
    }
    fields.long(tag::WIDTH, number(width)?);
    fields.long(tag::HEIGHT, number(height)?);
    fields.long(tag::TILE_WIDTH, number(side)?);
    fields.long(tag::TILE_LENGTH, number(side)?);
    Ok(())
}

fn image(fields: &mut Fields, dtype: DType, bands: usize, compression: Compression) -> Result<()> {
    let short = |len: usize| {
        u16::try_from(len).map_err(|_| Error::invalid("the array has too many bands for a GeoTIFF"))
    };
    fields.shorts(tag::BITS_PER_SAMPLE, &vec![short(8 * dtype.size())?; bands]);
    fields.shorts(tag::COMPRESSION, &[compression.code()]);
    // Black is zero; any further band has no meaning as a colour.
    fields.shorts(tag::PHOTOMETRIC, &[PHOTOMETRIC_GRAY]);
    if bands > 1 {
        fields.shorts(tag::EXTRA_SAMPLES, &vec![0; bands - 1]);
    }
    fields.shorts(tag::SAMPLES_PER_PIXEL, &[short(bands)?]);
    fields.shorts(tag::PLANAR_CONFIGURATION, &[if bands > 1 { 2 } else { 1 }]);
    if compression != Compression::None {
        fields.shorts(tag::PREDICTOR, &[if dtype.is_float() { 3 } else { 2 }]);
    }
    let format = if dtype.is_float() {
        3
    } else if dtype.is_signed() {
        2
    } else {
        1
    };
    fields.shorts(tag::SAMPLE_FORMAT, &vec![format; bands]);
    Ok(())
}

fn mask(fields: &mut Fields, compression: Compression) {
    fields.shorts(tag::BITS_PER_SAMPLE, &[1]);
    fields.shorts(tag::COMPRESSION, &[compression.code()]);
    fields.shorts(tag::PHOTOMETRIC, &[PHOTOMETRIC_MASK]);
    fields.shorts(tag::SAMPLES_PER_PIXEL, &[1]);
    fields.shorts(tag::PLANAR_CONFIGURATION, &[1]);
    fields.shorts(tag::SAMPLE_FORMAT, &[1]);
}
