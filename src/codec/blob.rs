//! Planes of cells to one blob and back.

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::delta;
use super::frame;
use super::header::{Encoding, HEADER_LEN, PlaneHeader, checksum, expect};
use super::image::{Image, Transform};
use super::word::Word;
use super::{DecodeError, Filter, Plane};
use crate::array::{Cell, Cells, DType, Tile, with_cells};

/// The least that [`Filter::Auto`] tries its candidates on.
const SAMPLE_BYTES_MIN: usize = 8 << 10;

/// Axes a chunk may have.
const RANK_MAX: usize = 8;

/// Encodes planes of equally many cells under a key. `row_len` is the length of the chunk's last axis.
///
/// The first plane can later be decoded without the payloads of the others.
///
/// # Panics
/// If there is no plane or more than 255, if their lengths differ, are zero or no multiple of `row_len`, or if a plane has
/// 4 GiB or more.
pub fn encode(key: &[u8], planes: &[Plane<'_>], row_len: usize, level: i32) -> Vec<u8> {
    let count = u8::try_from(planes.len()).expect("at most 255 planes");
    let cells = planes.first().expect("at least one plane").cells.len();
    assert!(row_len > 0 && cells > 0 && cells.is_multiple_of(row_len), "{cells} cells are not rows of {row_len}");
    let mut blob = Vec::new();
    for (index, plane) in (0..count).zip(planes) {
        assert_eq!(plane.cells.len(), cells, "all planes have equally many cells");
        let dtype = plane.cells.dtype();
        let raw = plane.cells.as_bytes();
        assert!(u32::try_from(raw.len()).is_ok(), "a plane has less than 4 GiB");
        let blank = PlaneHeader {
            index,
            count,
            encoding: Encoding::Constant,
            transform: Transform::None,
            dtype,
            row_len: u32::try_from(row_len).expect("a row is part of a plane"),
            payload_len: 0,
            checksum: 0,
        };
        let (first, rest) = raw.split_at(dtype.size());
        if rest == &raw[..rest.len()] {
            push(key, &mut blob, blank, first);
            continue;
        }
        let transform = with_words(plane.cells, ChooseTransform { dtype, filter: plane.filter, row_len, level });
        frame::compress(
            raw.len(),
            level,
            |plain| with_words(plane.cells, ApplyTransform { dtype, transform, row_len, plain }),
            |packed| match packed {
                Some(packed) => push(key, &mut blob, PlaneHeader { encoding: Encoding::Zstd, transform, ..blank }, packed),
                None => push(key, &mut blob, PlaneHeader { encoding: Encoding::Raw, ..blank }, raw),
            },
        );
    }
    blob
}

fn push(key: &[u8], blob: &mut Vec<u8>, header: PlaneHeader, payload: &[u8]) {
    let payload_len = u32::try_from(payload.len()).expect("no payload is longer than its cells");
    let start = blob.len();
    blob.reserve_exact(HEADER_LEN + payload.len());
    blob.extend_from_slice(&PlaneHeader { payload_len, ..header }.to_bytes());
    blob.extend_from_slice(payload);
    let checksum = checksum(key, &blob[start + size_of::<u64>()..]);
    blob[start..start + size_of::<u64>()].copy_from_slice(&checksum.to_le_bytes());
}

/// A function of a run of words of any size.
trait OfWords {
    type Output;
    fn call<W: Word>(self, words: &[W]) -> Self::Output;
}

fn with_words<F: OfWords>(cells: &Cells, f: F) -> F::Output {
    with_cells!(cells, |cells| match cells.first().map_or(1, size_of_val) {
        1 => f.call::<u8>(bytemuck::cast_slice(cells)),
        2 => f.call::<u16>(bytemuck::cast_slice(cells)),
        4 => f.call::<u32>(bytemuck::cast_slice(cells)),
        _ => f.call::<u64>(bytemuck::cast_slice(cells)),
    })
}

struct ChooseTransform {
    dtype: DType,
    filter: Filter,
    row_len: usize,
    level: i32,
}

impl OfWords for ChooseTransform {
    type Output = Transform;
    fn call<W: Word>(self, words: &[W]) -> Transform {
        match self.filter {
            Filter::Shuffle if size_of::<W>() > 1 => Transform::Shuffle,
            Filter::None | Filter::Shuffle => Transform::None,
            Filter::Delta => Transform::delta(self.dtype, words),
            Filter::Auto => {
                let delta = Transform::delta(self.dtype, words);
                let sample = sample(words, self.row_len);
                let len_after = |transform| {
                    let len = size_of_val(&*sample);
                    let fill = |plain: &mut [u8]| {
                        ApplyTransform { dtype: self.dtype, transform, row_len: self.row_len, plain }.call(&sample);
                    };
                    frame::compress(len, self.level, fill, |packed| packed.map_or(len, <[u8]>::len))
                };
                if len_after(delta) <= len_after(Transform::None) { delta } else { Transform::None }
            }
        }
    }
}

/// Rows from the first and the third quarter of a chunk, about a thirty-second of it; all of a small chunk.
fn sample<W: Word>(words: &[W], row_len: usize) -> Cow<'_, [W]> {
    let rows = words.len() / row_len;
    let wanted = (words.len() / 32).max(SAMPLE_BYTES_MIN / size_of::<W>()).div_ceil(2 * row_len);
    if 4 * wanted > rows {
        return Cow::Borrowed(words);
    }
    let band = |first: usize| &words[first * row_len..][..wanted * row_len];
    Cow::Owned([band(rows / 4), band(3 * rows / 4)].concat())
}

struct ApplyTransform<'a> {
    dtype: DType,
    transform: Transform,
    row_len: usize,
    plain: &'a mut [u8],
}

impl OfWords for ApplyTransform<'_> {
    type Output = ();
    fn call<W: Word>(self, words: &[W]) {
        let Some(image) = Image::of(self.transform, self.dtype) else {
            match self.transform {
                Transform::Shuffle => W::split(words, self.plain, words.len(), 0),
                _ => self.plain.copy_from_slice(bytemuck::cast_slice(words)),
            }
            return;
        };
        delta::apply(words, self.row_len, image, self.plain);
    }
}

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
    /// A chunk of some shape with between `planes_min` and `dtypes.len()` planes, the i-th of them of the i-th type.
    pub fn new(shape: &'a [usize], dtypes: &'a [DType], planes_min: usize) -> Result<Self, DecodeError> {
        let impossible = |reason| Err(DecodeError::Request { reason });
        let cells = shape.iter().try_fold(1_usize, |cells, &len| cells.checked_mul(len));
        let fits = |cells: &usize| cells.checked_mul(8).is_some_and(|bytes| u32::try_from(bytes).is_ok());
        let (Some(cells), Some(&row_len)) = (cells.filter(fits), shape.last()) else {
            return impossible("a chunk has at least one axis and less than 4 GiB");
        };
        if cells == 0 || shape.len() > RANK_MAX {
            return impossible("a chunk has at least one cell and at most eight axes");
        }
        if !(1..=dtypes.len()).contains(&planes_min) || dtypes.len() > usize::from(u8::MAX) {
            return impossible("a blob has between 1 and 255 planes");
        }
        Ok(Self { shape, dtypes, planes_min, cells, row_len })
    }
}

/// One plane as it lies in a blob. Its header agrees with the structure; its bytes are not verified.
struct Found<'b> {
    header: PlaneHeader,
    /// Header and payload.
    bytes: &'b [u8],
}

impl<'b> Found<'b> {
    /// Verifies the checksum and gives the payload.
    fn payload(&self, key: &[u8]) -> Result<&'b [u8], DecodeError> {
        let computed = checksum(key, &self.bytes[size_of::<u64>()..]);
        if computed != self.header.checksum {
            return Err(DecodeError::Checksum { expected: computed, got: self.header.checksum });
        }
        Ok(&self.bytes[HEADER_LEN..])
    }
}

/// The plane at the start of `bytes`, and the rest.
fn split_plane(bytes: &[u8]) -> Result<(PlaneHeader, &[u8], &[u8]), DecodeError> {
    let truncated = |needed| DecodeError::Truncated { needed, got: bytes.len() };
    let header = PlaneHeader::from_bytes(bytes.first_chunk().ok_or_else(|| truncated(HEADER_LEN))?)?;
    let needed = usize::try_from(header.payload_len).unwrap_or(usize::MAX).saturating_add(HEADER_LEN);
    let (plane, rest) = bytes.split_at_checked(needed).ok_or_else(|| truncated(needed))?;
    Ok((header, plane, rest))
}

/// All planes of a blob, without touching a payload.
fn find_planes<'b>(blob: &'b [u8], spec: &BlobSpec<'_>) -> Result<Vec<Found<'b>>, DecodeError> {
    let mut found: Vec<Found<'b>> = Vec::new();
    let mut rest = blob;
    for (index, &dtype) in spec.dtypes.iter().enumerate() {
        let (header, bytes, after) = split_plane(rest)?;
        let planes = usize::from(header.count);
        if !(spec.planes_min..=spec.dtypes.len()).contains(&planes) {
            return Err(DecodeError::Invalid { field: "plane count", got: i64::from(header.count) });
        }
        let first_count = found.first().map_or(header.count, |first| first.header.count);
        expect("plane count", u64::from(first_count), u64::from(header.count))?;
        expect("plane index", index as u64, u64::from(header.index))?;
        expect("dtype", super::header::code(dtype).into(), super::header::code(header.dtype).into())?;
        expect("row length", spec.row_len as u64, u64::from(header.row_len))?;
        let raw_len = (spec.cells * dtype.size()) as u64;
        let payload_len = u64::from(header.payload_len);
        match header.encoding {
            Encoding::Constant => expect("payload length", dtype.size() as u64, payload_len)?,
            Encoding::Raw => expect("payload length", raw_len, payload_len)?,
            Encoding::Zstd if payload_len < raw_len => {}
            Encoding::Zstd => expect("payload length", raw_len - 1, payload_len)?,
        }
        found.push(Found { header, bytes });
        rest = after;
        if found.len() == planes {
            break;
        }
    }
    if rest.is_empty() { Ok(found) } else { Err(DecodeError::Trailing { bytes: rest.len() }) }
}

/// Decodes all planes a blob has.
pub fn decode(key: &[u8], blob: &[u8], spec: &BlobSpec<'_>) -> Result<Vec<Cells>, DecodeError> {
    let rows = Rows::new(&[spec.cells / spec.row_len, spec.row_len], &[0, 0]);
    let decode_plane = |plane: Found<'_>| {
        let payload = plane.payload(key)?;
        let mut cells = Cells::filled(plane.header.dtype, spec.cells, 0.0);
        with_cells!(&mut cells, |cells| {
            let mut tile = Tile::whole(cells, &rows.shape).map_err(|_| DecodeError::Request { reason: "rows of cells" })?;
            paint(&plane.header, payload, spec, &rows, &mut tile)
        })?;
        Ok(cells)
    };
    find_planes(blob, spec)?.into_iter().map(decode_plane).collect()
}

/// Decodes a box of the first plane into a tile: the box of the tile's shape that starts at `start` inside the chunk.
///
/// Costs the decompression of the plane, and of the filter only the rows and columns up to the box's end.
pub fn decode_into<T: Cell>(
    key: &[u8],
    blob: &[u8],
    spec: &BlobSpec<'_>,
    start: &[usize],
    tile: &mut Tile<'_, T>,
) -> Result<(), DecodeError> {
    let shape = tile.shape();
    let inside = start.len() == spec.shape.len()
        && shape.len() == spec.shape.len()
        && (0..start.len()).all(|a| start[a].checked_add(shape[a]).is_some_and(|end| end <= spec.shape[a]));
    if !inside {
        return Err(DecodeError::Request { reason: "the box is not inside the chunk" });
    }
    if spec.dtypes.first() != Some(&T::DTYPE) {
        return Err(DecodeError::Request { reason: "the tile has another type than the plane" });
    }
    let planes = find_planes(blob, spec)?;
    let Some(plane) = planes.first() else { return Err(DecodeError::Truncated { needed: HEADER_LEN, got: 0 }) };
    let payload = plane.payload(key)?;
    paint(&plane.header, payload, spec, &Rows::new(spec.shape, start), tile)
}

/// The headers of a blob, as they say of themselves: neither verified nor compared with a structure. For tools.
pub fn inspect(blob: &[u8]) -> Result<Vec<PlaneHeader>, DecodeError> {
    let mut headers = Vec::new();
    let mut rest = blob;
    while headers.is_empty() || !rest.is_empty() {
        let (header, _, after) = split_plane(rest)?;
        headers.push(header);
        rest = after;
    }
    Ok(headers)
}

/// One number for a whole blob: the checksums of its planes as their headers have them, combined. Of two blobs under one key
/// it differs where any byte does.
pub fn checksum_of(blob: &[u8]) -> Result<u64, DecodeError> {
    let headers = inspect(blob)?;
    let combined = headers.iter().map(|header| header.checksum).reduce(|all, next| xxh3_64_with_seed(&next.to_le_bytes(), all));
    Ok(combined.unwrap_or_default())
}

/// Which rows of a chunk the rows of a box are.
pub(super) struct Rows {
    shape: Vec<usize>,
    start: Vec<usize>,
}

impl Rows {
    pub(super) fn new(shape: &[usize], start: &[usize]) -> Self {
        Self { shape: shape.to_vec(), start: start.to_vec() }
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

fn paint<T: Cell>(
    header: &PlaneHeader,
    payload: &[u8],
    spec: &BlobSpec<'_>,
    rows: &Rows,
    tile: &mut Tile<'_, T>,
) -> Result<(), DecodeError> {
    match size_of::<T>() {
        1 => paint_words::<u8>(header, payload, spec, rows, tile.words()),
        2 => paint_words::<u16>(header, payload, spec, rows, tile.words()),
        4 => paint_words::<u32>(header, payload, spec, rows, tile.words()),
        _ => paint_words::<u64>(header, payload, spec, rows, tile.words()),
    }
}

fn paint_words<W: Word>(
    header: &PlaneHeader,
    payload: &[u8],
    spec: &BlobSpec<'_>,
    rows: &Rows,
    mut tile: Tile<'_, W>,
) -> Result<(), DecodeError> {
    match header.encoding {
        Encoding::Constant => {
            let cell = bytemuck::try_pod_read_unaligned::<W>(payload);
            let cell = cell.map_err(|_| DecodeError::Truncated { needed: size_of::<W>(), got: payload.len() })?;
            (0..tile.rows()).for_each(|row| tile.row(row).fill(cell));
            Ok(())
        }
        Encoding::Raw => {
            copy_rows(payload, spec.row_len, rows, &mut tile);
            Ok(())
        }
        Encoding::Zstd => frame::decompress(payload, spec.cells * size_of::<W>(), |plain| {
            match (header.transform, Image::of(header.transform, header.dtype)) {
                (_, Some(image)) => delta::undo(plain, spec.cells, spec.row_len, image, rows, &mut tile),
                (Transform::Shuffle, None) => undo_shuffle(plain, spec, rows, &mut tile),
                (_, None) => copy_rows(plain, spec.row_len, rows, &mut tile),
            }
        }),
    }
}

fn copy_rows<W: Word>(cells: &[u8], row_len: usize, rows: &Rows, tile: &mut Tile<'_, W>) {
    let part = tile.shape().to_vec();
    for row in 0..tile.rows() {
        let at = (rows.of(&part, row) * row_len + rows.column()) * size_of::<W>();
        let out: &mut [u8] = bytemuck::cast_slice_mut(tile.row(row));
        out.copy_from_slice(&cells[at..at + out.len()]);
    }
}

fn undo_shuffle<W: Word>(plain: &[u8], spec: &BlobSpec<'_>, rows: &Rows, tile: &mut Tile<'_, W>) {
    let part = tile.shape().to_vec();
    for row in 0..tile.rows() {
        W::join(tile.row(row), plain, spec.cells, rows.of(&part, row) * spec.row_len + rows.column());
    }
}
