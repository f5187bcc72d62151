//! Planes of cells to one blob.

use std::borrow::Cow;

use super::blob::{Found, split_strip};
use super::delta;
use super::frame;
use super::header::{Encoding, HEADER_LEN, StripHeader, checksum, digest};
use super::image::{Image, Transform};
use super::narrow;
use super::strip::strip_rows;
use super::word::Word;
use super::{Filter, Plane};
use crate::array::DType;

/// The least that [`Filter::Auto`] tries its candidates on.
const SAMPLE_BYTES_MIN: usize = 2 << 10;

/// Encodes planes of a chunk of a shape under a key.
///
/// A part of the first plane can later be decoded without the payloads of the rest. `before` is a blob that was written under
/// the key before: a strip of it whose cells are those of the new one at its place is taken over, which costs far less than to
/// compress it, and leads to the same bytes. Its checksum must be good, and its cells are told by their 128-bit digest: no
/// accident makes others of them, but xxh3 is no defence against one who makes up the cells of both.
///
/// # Panics
/// If there is no plane or more than 255, if one of them has other cells than the shape asks for, or none, or 4 GiB or more.
pub fn encode(key: &[u8], planes: &[Plane<'_>], shape: &[usize], level: i32, before: Option<&[u8]>) -> Vec<u8> {
    let count = u8::try_from(planes.len()).expect("at most 255 planes");
    let (cells, row_len) = (shape.iter().product::<usize>(), shape.last().copied().unwrap_or(0));
    assert!(cells > 0 && count > 0, "at least one plane, and one cell");
    let mut blob = Vec::with_capacity(before.map_or(0, <[u8]>::len));
    let before = before.map(strips_of).unwrap_or_default();
    for (index, plane) in (0..count).zip(planes) {
        let dtype = plane.cells.dtype();
        let raw = plane.cells.as_bytes();
        assert_eq!(plane.cells.len(), cells, "a plane has the cells of the shape");
        assert!(u32::try_from(raw.len()).is_ok(), "a plane has less than 4 GiB");
        let rows = strip_rows(shape, dtype);
        for (number, strip) in raw.chunks(rows * row_len * dtype.size()).enumerate() {
            let blank = StripHeader {
                plane: index,
                planes: count,
                encoding: Encoding::Constant,
                transform: Transform::None,
                dtype,
                row_len: u32::try_from(row_len).expect("a row is part of a plane"),
                first_row: u32::try_from(number * rows).expect("a row is part of a plane"),
                payload_len: 0,
                digest: 0,
                checksum: 0,
            };
            let (first, rest) = strip.split_at(dtype.size());
            if rest == &strip[..rest.len()] {
                push(key, &mut blob, blank, first);
                continue;
            }
            let blank = StripHeader { digest: if strip.len() < raw.len() { digest(strip) } else { 0 }, ..blank };
            match find(&before, key, &blank, strip.len()) {
                Some(same) if same.header.planes == count => blob.extend_from_slice(same.bytes()),
                Some(same) => push(key, &mut blob, StripHeader { planes: count, ..same.header }, same.unverified_payload()),
                None => compress(key, &mut blob, blank, strip, (plane.filter, level)),
            }
        }
    }
    blob
}

fn compress(key: &[u8], blob: &mut Vec<u8>, blank: StripHeader, strip: &[u8], (filter, level): (Filter, i32)) {
    let (dtype, row_len) = (blank.dtype, usize::try_from(blank.row_len).unwrap_or(usize::MAX));
    let transform = with_words(strip, dtype, ChooseTransform { dtype, filter, row_len, level });
    frame::compress(
        (transform.size(dtype.size()) * (strip.len() / dtype.size()), strip.len()),
        level,
        |plain| with_words(strip, dtype, ApplyTransform { dtype, transform, row_len, plain }),
        |packed| match packed {
            Some(packed) => push(key, blob, StripHeader { encoding: Encoding::Zstd, transform, ..blank }, packed),
            None => push(key, blob, StripHeader { encoding: Encoding::Raw, ..blank }, strip),
        },
    );
}

fn push(key: &[u8], blob: &mut Vec<u8>, header: StripHeader, payload: &[u8]) {
    let payload_len = u32::try_from(payload.len()).expect("no payload is longer than its cells");
    let start = blob.len();
    blob.reserve(HEADER_LEN + payload.len());
    blob.extend_from_slice(&StripHeader { payload_len, ..header }.to_bytes());
    blob.extend_from_slice(payload);
    let checksum = checksum(key, &blob[start + size_of::<u64>()..]);
    blob[start..start + size_of::<u64>()].copy_from_slice(&checksum.to_le_bytes());
}

/// The strips of a blob as far as they can be made out, none of them verified.
fn strips_of(blob: &[u8]) -> Vec<Found<'_>> {
    let mut strips = Vec::new();
    let mut rest = blob;
    while let Ok((found, after)) = split_strip(rest) {
        strips.push(found);
        rest = after;
    }
    strips
}

/// The strip of an earlier blob that has the place and the cells of a new one, verified. In a sound blob they lie in order.
fn find<'a, 'b>(before: &'a [Found<'b>], key: &[u8], new: &StripHeader, len: usize) -> Option<&'a Found<'b>> {
    let place = |header: &StripHeader| (header.plane, header.first_row);
    let at = before.binary_search_by_key(&place(new), |found| place(&found.header)).ok()?;
    let (found, old) = (&before[at], &before[at].header);
    let alike = (old.digest, old.dtype, old.row_len) == (new.digest, new.dtype, new.row_len) && new.digest != 0;
    (alike && old.check_len(len).is_ok() && found.payload(key).is_ok()).then_some(found)
}

/// A function of a run of words of any size.
trait OfWords {
    type Output;
    fn call<W: Word>(self, words: &[W]) -> Self::Output;
}

fn with_words<F: OfWords>(cells: &[u8], dtype: DType, f: F) -> F::Output {
    match dtype.size() {
        1 => f.call::<u8>(bytemuck::cast_slice(cells)),
        2 => f.call::<u16>(bytemuck::cast_slice(cells)),
        4 => f.call::<u32>(bytemuck::cast_slice(cells)),
        _ => f.call::<u64>(bytemuck::cast_slice(cells)),
    }
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
            Filter::Narrow if self.dtype != DType::F64 => Transform::None,
            Filter::Narrow => narrow::transform(self.dtype, bytemuck::cast_slice(words)).unwrap_or(Transform::None),
            Filter::Delta => Transform::delta(self.dtype, words),
            Filter::Auto => {
                let delta = Transform::delta(self.dtype, words);
                let sample = sample(words, self.row_len);
                let len_after = |transform| {
                    let len = size_of_val(&*sample);
                    let fill = |plain: &mut [u8]| {
                        ApplyTransform { dtype: self.dtype, transform, row_len: self.row_len, plain }.call(&sample);
                    };
                    frame::compress((len, len), self.level, fill, |packed| packed.map_or(len, <[u8]>::len))
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
                Transform::Narrow { exponent, width } => {
                    narrow::apply(bytemuck::cast_slice(words), exponent, width, self.plain);
                }
                _ => self.plain.copy_from_slice(bytemuck::cast_slice(words)),
            }
            return;
        };
        delta::apply(words, self.row_len, image, self.plain);
    }
}
