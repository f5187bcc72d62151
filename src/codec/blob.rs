//! A blob to its planes of cells.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::DecodeError;
use super::delta;
use super::frame;
use super::header::{HEADER_LEN, StripEncoding, StripHeader, checksum, expect};
use super::image::{Image, Transform};
use super::narrow;
use super::ranks;
use super::strip::strip_rows;
use super::word::Word;
use crate::array::{Cell, Cells, DType, TileMut, with_cells};

/// Axes a chunk may have.
const RANK_MAX: usize = 8;

/// What the structure says of a blob: nothing of this is taken from its bytes.
#[derive(Clone, Copy, Debug)]
pub struct BlobSpec<'a> {
    shape: &'a [usize],
    dtypes: &'a [DType],
    planes_min: usize,
    cells: usize,
    row_len: usize,
}

impl<'a> BlobSpec<'a> {
    /// A chunk of some shape with between `planes_min` and `dtypes.len()` planes, the i-th of them
    /// of the i-th type.
    pub fn new(
        shape: &'a [usize],
        dtypes: &'a [DType],
        planes_min: usize,
    ) -> Result<Self, DecodeError> {
        let impossible = |reason| Err(DecodeError::Request { reason });
        let cells = shape
            .iter()
            .try_fold(1_usize, |cells, &len| cells.checked_mul(len));
        let fits = |cells: &usize| {
            cells
                .checked_mul(8)
                .is_some_and(|bytes| u32::try_from(bytes).is_ok())
        };
        let (Some(cells), Some(&row_len)) = (cells.filter(fits), shape.last()) else {
            return impossible("a chunk has at least one axis and less than 4 GiB");
        };
        if cells == 0 || shape.len() > RANK_MAX {
            return impossible("a chunk has at least one cell and at most eight axes");
        }
        if !(1..=dtypes.len()).contains(&planes_min) || dtypes.len() > usize::from(u8::MAX) {
            return impossible("a blob has between 1 and 255 planes");
        }
        Ok(Self {
            shape,
            dtypes,
            planes_min,
            cells,
            row_len,
        })
    }

    fn rows(&self) -> usize {
        self.cells / self.row_len
    }
}

/// One strip as it lies in a blob. Its bytes are not verified.
pub(super) struct FoundStrip<'b> {
    pub(super) header: StripHeader,
    /// Header and payload.
    bytes: &'b [u8],
}

impl<'b> FoundStrip<'b> {
    /// Verifies the checksum and gives the payload.
    pub(super) fn payload(&self, key: &[u8]) -> Result<&'b [u8], DecodeError> {
        let computed = checksum(key, &self.bytes[size_of::<u64>()..]);
        if computed != self.header.checksum {
            return Err(DecodeError::Checksum {
                expected: computed,
                got: self.header.checksum,
            });
        }
        Ok(self.unverified_payload())
    }

    /// The payload as it stands.
    pub(super) fn unverified_payload(&self) -> &'b [u8] {
        &self.bytes[HEADER_LEN..]
    }

    /// Header and payload as they stand.
    pub(super) fn bytes(&self) -> &'b [u8] {
        self.bytes
    }
}

/// The strip at the start of `bytes`, and the rest.
pub(super) fn split_strip(bytes: &[u8]) -> Result<(FoundStrip<'_>, &[u8]), DecodeError> {
    let truncated = |needed| DecodeError::Truncated {
        needed,
        got: bytes.len(),
    };
    let header =
        StripHeader::from_bytes(bytes.first_chunk().ok_or_else(|| truncated(HEADER_LEN))?)?;
    let needed = usize::try_from(header.payload_len)
        .unwrap_or(usize::MAX)
        .saturating_add(HEADER_LEN);
    let (bytes, rest) = bytes
        .split_at_checked(needed)
        .ok_or_else(|| truncated(needed))?;
    Ok((FoundStrip { header, bytes }, rest))
}

/// All strips of a blob, by plane, without touching a payload. Their headers agree with the
/// structure.
fn find_planes<'b>(
    blob: &'b [u8],
    spec: &BlobSpec<'_>,
) -> Result<Vec<Vec<FoundStrip<'b>>>, DecodeError> {
    let mut found: Vec<Vec<FoundStrip<'b>>> = Vec::new();
    let mut rest = blob;
    let mut planes = None;
    for (index, &dtype) in spec.dtypes.iter().enumerate() {
        let rows = strip_rows(spec.shape, dtype);
        let mut strips = Vec::with_capacity(spec.rows().div_ceil(rows));
        for first in (0..spec.rows()).step_by(rows) {
            let (strip, after) = split_strip(rest)?;
            let header = &strip.header;
            if !(spec.planes_min..=spec.dtypes.len()).contains(&usize::from(header.planes)) {
                return Err(DecodeError::Invalid {
                    field: "plane count",
                    got: i64::from(header.planes),
                });
            }
            expect(
                "plane count",
                u64::from(*planes.get_or_insert(header.planes)),
                u64::from(header.planes),
            )?;
            expect("plane index", index as u64, u64::from(header.plane))?;
            expect(
                "dtype",
                super::header::code(dtype).into(),
                super::header::code(header.dtype).into(),
            )?;
            expect("row length", spec.row_len as u64, u64::from(header.row_len))?;
            expect("first row", first as u64, u64::from(header.first_row))?;
            header.check_len(rows.min(spec.rows() - first) * spec.row_len * dtype.size())?;
            let told = rows < spec.rows() && header.encoding != StripEncoding::Constant;
            expect(
                "presence of a digest",
                u64::from(told),
                u64::from(header.digest != 0),
            )?;
            strips.push(strip);
            rest = after;
        }
        found.push(strips);
        if planes.map(usize::from) == Some(found.len()) {
            break;
        }
    }
    if rest.is_empty() {
        Ok(found)
    } else {
        Err(DecodeError::Trailing { bytes: rest.len() })
    }
}

/// Decodes all planes a blob has.
pub fn decode(key: &[u8], blob: &[u8], spec: &BlobSpec<'_>) -> Result<Vec<Cells>, DecodeError> {
    let decode_plane = |(strips, &dtype): (Vec<FoundStrip<'_>>, &DType)| {
        let mut cells = Cells::filled(dtype, spec.cells, 0.0);
        with_cells!(&mut cells, |cells| {
            let strip_cells = strip_rows(spec.shape, dtype) * spec.row_len;
            strips
                .iter()
                .zip(cells.chunks_mut(strip_cells))
                .try_for_each(|(strip, cells)| {
                    let shape = [cells.len() / spec.row_len, spec.row_len];
                    let payload = strip.payload(key)?;
                    let mut tile =
                        TileMut::whole(cells, &shape).map_err(|_| DecodeError::Request {
                            reason: "rows of cells",
                        })?;
                    paint(
                        &strip.header,
                        payload,
                        &Lines::all(&BoxRows::new(&shape, &[0, 0])),
                        &mut tile,
                    )
                })
        })?;
        Ok(cells)
    };
    find_planes(blob, spec)?
        .into_iter()
        .zip(spec.dtypes)
        .map(decode_plane)
        .collect()
}

/// Decodes a box of the first plane into a tile: the box of the tile's shape that starts at `start`
/// inside the chunk.
///
/// Costs the decompression of the strips that the box is in, and of the filter only the rows and
/// columns up to the box's end.
pub fn decode_into<T: Cell>(
    key: &[u8],
    blob: &[u8],
    spec: &BlobSpec<'_>,
    start: &[usize],
    tile: &mut TileMut<'_, T>,
) -> Result<(), DecodeError> {
    decode_plane_into(key, blob, (spec, 0), start, tile).map(drop)
}

/// The same of the plane of a number. False, and nothing is written, if the blob has no such plane.
pub fn decode_plane_into<T: Cell>(
    key: &[u8],
    blob: &[u8],
    (spec, plane): (&BlobSpec<'_>, usize),
    start: &[usize],
    tile: &mut TileMut<'_, T>,
) -> Result<bool, DecodeError> {
    let shape = tile.shape().to_vec();
    let inside = start.len() == spec.shape.len()
        && shape.len() == spec.shape.len()
        && (0..start.len()).all(|a| {
            start[a]
                .checked_add(shape[a])
                .is_some_and(|end| end <= spec.shape[a])
        });
    if !inside {
        return Err(DecodeError::Request {
            reason: "the box is not inside the chunk",
        });
    }
    if spec.dtypes.get(plane) != Some(&T::DTYPE) {
        return Err(DecodeError::Request {
            reason: "the tile has another type than the plane",
        });
    }
    let Some(found) = find_planes(blob, spec)?.into_iter().nth(plane) else {
        return Ok(false);
    };
    let rows = BoxRows::new(spec.shape, start);
    let strip_len = strip_rows(spec.shape, T::DTYPE);
    let mut next = 0;
    for (number, found) in found.iter().enumerate() {
        let strip = number * strip_len..((number + 1) * strip_len).min(spec.rows());
        let first = next;
        while next < tile.rows() && rows.of(&shape, next) < strip.end {
            next += 1;
        }
        if first < next {
            paint(
                &found.header,
                found.payload(key)?,
                &Lines {
                    rows: &rows,
                    strip,
                    of_tile: first..next,
                },
                tile,
            )?;
        }
    }
    Ok(true)
}

/// The headers of a blob, as they say of themselves: neither verified nor compared with a
/// structure. For tools.
pub fn inspect(blob: &[u8]) -> Result<Vec<StripHeader>, DecodeError> {
    let mut headers = Vec::new();
    let mut rest = blob;
    while headers.is_empty() || !rest.is_empty() {
        let (found, after) = split_strip(rest)?;
        headers.push(found.header);
        rest = after;
    }
    Ok(headers)
}

/// The headers of a blob of planes of so many cells, each with the bytes that its cells would take
/// as they are. Nothing is verified.
pub fn strips(blob: &[u8], cells: usize) -> Result<Vec<(StripHeader, u64)>, DecodeError> {
    let headers = inspect(blob)?;
    let end = |at: usize| match headers.get(at + 1) {
        Some(next) if next.plane == headers[at].plane => {
            u64::from(next.first_row) * u64::from(next.row_len)
        }
        _ => cells as u64,
    };
    let raw = |(at, header): (usize, &StripHeader)| {
        let cells = end(at).saturating_sub(u64::from(header.first_row) * u64::from(header.row_len));
        (*header, cells * header.dtype.size() as u64)
    };
    Ok(headers.iter().enumerate().map(raw).collect())
}

/// Checks the checksum of every strip of a blob, and decodes nothing.
pub fn verify(key: &[u8], blob: &[u8]) -> Result<(), DecodeError> {
    let mut rest = blob;
    let mut first = true;
    while std::mem::take(&mut first) || !rest.is_empty() {
        let (found, after) = split_strip(rest)?;
        found.payload(key)?;
        rest = after;
    }
    Ok(())
}

/// One number for a whole blob: the checksums of its strips as their headers have them, combined.
/// Of two blobs under one key it differs where any byte does.
pub fn checksum_of(blob: &[u8]) -> Result<u64, DecodeError> {
    let headers = inspect(blob)?;
    let combined = headers
        .iter()
        .map(|header| header.checksum)
        .reduce(|all, next| xxh3_64_with_seed(&next.to_le_bytes(), all));
    Ok(combined.unwrap_or_default())
}

/// Which rows of a chunk the rows of a box are.
pub(super) struct BoxRows {
    shape: Vec<usize>,
    start: Vec<usize>,
}

impl BoxRows {
    pub(super) fn new(shape: &[usize], start: &[usize]) -> Self {
        Self {
            shape: shape.to_vec(),
            start: start.to_vec(),
        }
    }

    /// The chunk's row that is row `row` of a box of the shape `part`.
    pub(super) fn of(&self, part: &[usize], row: usize) -> usize {
        let (mut index, mut stride, mut rest) = (0, 1, row);
        for axis in (0..part.len().saturating_sub(1)).rev() {
            index += (self.start[axis] + rest % part[axis]) * stride;
            rest /= part[axis];
            stride *= self.shape[axis];
        }
        index
    }

    /// The first column of a box.
    pub(super) fn column(&self) -> usize {
        self.start.last().copied().unwrap_or(0)
    }
}

/// The rows of a tile that are in a strip.
pub(super) struct Lines<'a> {
    rows: &'a BoxRows,
    /// The chunk's rows that the strip has.
    strip: Range<usize>,
    /// The tile's rows that are among these.
    of_tile: Range<usize>,
}

impl Lines<'_> {
    /// Each row of the tile, and the row of the strip that it is.
    pub(super) fn of(&self, part: &[usize]) -> impl DoubleEndedIterator<Item = (usize, usize)> {
        self.of_tile
            .clone()
            .map(move |row| (row, self.rows.of(part, row) - self.strip.start))
    }

    /// The first column of the tile.
    pub(super) fn column(&self) -> usize {
        self.rows.column()
    }

    /// How many cells of the strip there are up to the end of the last row of a tile of a shape.
    pub(super) fn end(&self, part: &[usize]) -> usize {
        self.of(part)
            .next_back()
            .map_or(0, |(_, row)| (row + 1) * self.row_len())
    }

    /// How many cells the strip has.
    pub(super) fn cells(&self) -> usize {
        self.strip.len() * self.row_len()
    }

    /// Cells a row of the chunk.
    pub(super) fn row_len(&self) -> usize {
        self.rows.shape.last().copied().unwrap_or(1)
    }

    /// The lines of all rows of a strip of two axes.
    pub(super) fn all(rows: &BoxRows) -> Lines<'_> {
        Lines {
            strip: 0..rows.shape[0],
            of_tile: 0..rows.shape[0],
            rows,
        }
    }
}

fn paint<T: Cell>(
    header: &StripHeader,
    payload: &[u8],
    lines: &Lines<'_>,
    tile: &mut TileMut<'_, T>,
) -> Result<(), DecodeError> {
    match size_of::<T>() {
        1 => paint_words::<u8>(header, payload, lines, tile.words()),
        2 => paint_words::<u16>(header, payload, lines, tile.words()),
        4 => paint_words::<u32>(header, payload, lines, tile.words()),
        _ => paint_words::<u64>(header, payload, lines, tile.words()),
    }
}

fn paint_words<W: Word>(
    header: &StripHeader,
    payload: &[u8],
    lines: &Lines<'_>,
    mut tile: TileMut<'_, W>,
) -> Result<(), DecodeError> {
    match header.encoding {
        StripEncoding::Constant => {
            let cell = bytemuck::try_pod_read_unaligned::<W>(payload);
            let cell = cell.map_err(|_| DecodeError::Truncated {
                needed: size_of::<W>(),
                got: payload.len(),
            })?;
            lines
                .of_tile
                .clone()
                .for_each(|row| tile.row(row).fill(cell));
            Ok(())
        }
        StripEncoding::Raw => {
            copy_rows(payload, lines, &mut tile);
            Ok(())
        }
        StripEncoding::Packed(predictor) => {
            match (header.transform, Image::of(header.transform, header.dtype)) {
                (Transform::Ranked, Some(image)) => {
                    let (table, packed) = ranks::split(payload, size_of::<W>())?;
                    delta::unpack(packed, image, predictor, lines, &mut tile)?;
                    ranks::undo(table, lines.of_tile.clone(), &mut tile)
                }
                (_, Some(image)) => delta::unpack(payload, image, predictor, lines, &mut tile),
                (_, None) => Err(DecodeError::Request {
                    reason: "only what a prediction leaves of an image is packed",
                }),
            }
        }
        StripEncoding::Zstd => frame::decompress(
            payload,
            lines.cells() * header.transform.size(size_of::<W>()),
            |plain| match (header.transform, Image::of(header.transform, header.dtype)) {
                (_, Some(image)) => delta::undo(plain, image, lines, &mut tile),
                (Transform::Shuffle, None) => undo_shuffle(plain, lines, &mut tile),
                (Transform::Narrow { exponent, width }, None) => {
                    each_row(lines, &mut tile, |at, cells| {
                        narrow::undo(plain, exponent, width, at, bytemuck::cast_slice_mut(cells));
                    });
                }
                (_, None) => copy_rows(plain, lines, &mut tile),
            },
        ),
    }
}

/// Calls `paint` with each row of the tile that is in a strip, and with the cell of the strip that
/// its first one is.
fn each_row<W: Word>(
    lines: &Lines<'_>,
    tile: &mut TileMut<'_, W>,
    mut paint: impl FnMut(usize, &mut [W]),
) {
    let part = tile.shape().to_vec();
    for (row, of_strip) in lines.of(&part) {
        paint(of_strip * lines.row_len() + lines.column(), tile.row(row));
    }
}

fn copy_rows<W: Word>(cells: &[u8], lines: &Lines<'_>, tile: &mut TileMut<'_, W>) {
    each_row(lines, tile, |at, row| {
        let out: &mut [u8] = bytemuck::cast_slice_mut(row);
        out.copy_from_slice(&cells[at * size_of::<W>()..][..out.len()]);
    });
}

fn undo_shuffle<W: Word>(plain: &[u8], lines: &Lines<'_>, tile: &mut TileMut<'_, W>) {
    each_row(lines, tile, |at, row| {
        W::join(row, plain, lines.cells(), at)
    });
}
