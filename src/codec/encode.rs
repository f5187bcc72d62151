//! Planes of cells to one blob.

use std::borrow::Cow;

use super::blob::{FoundStrip, split_strip};
use super::delta;
use super::frame;
use super::header::{HEADER_LEN, StripEncoding, StripHeader, checksum, digest};
use super::image::{Image, Transform};
use super::narrow;
use super::predict::Predictor;
use super::ranks::Ranked;
use super::strip::strip_rows;
use super::word::Word;
use super::{Codec, Filter, RawPlane, Settings};
use crate::array::DType;

/// Under [`Codec::Fast`], zstd is used where it saves more than one over this of the raw bytes
/// beside what packing makes of them. What packing makes so short needs no sample.
const ENTROPY_SAVES: usize = 2;

/// Decimals that pack to more than one over this of the raw bytes are compared with the ordered
/// image.
const DECIMALS_SAVE: usize = 3;

/// Where numbers pack to more than one over this of the raw bytes, ranks are tried.
const RANKS_TRIED: usize = 3;

/// The least that candidates for zstd are tried on.
const SAMPLE_BYTES_MIN: usize = 2 << 10;

/// Encodes planes of a chunk of a shape under a key.
///
/// A part of the first plane can later be decoded without the payloads of the rest. `before` is a
/// blob that was written under the key before: a strip of it whose cells are those of the new one
/// at its place is taken over, which costs far less than to compress it, and leads to the same
/// bytes. Its checksum must be good, and its cells are told by their 128-bit digest: no accident
/// makes others of them, but xxh3 is no defence against one who makes up the cells of both.
///
/// # Panics
/// If there is no plane or more than 255, if one of them has other cells than the shape asks for,
/// or none, or 4 GiB or more.
pub fn encode(
    key: &[u8],
    planes: &[RawPlane<'_>],
    shape: &[usize],
    settings: Settings,
    before: Option<&[u8]>,
) -> Vec<u8> {
    let count = u8::try_from(planes.len()).expect("at most 255 planes");
    let (cells, row_len) = (
        shape.iter().product::<usize>(),
        shape.last().copied().unwrap_or(0),
    );
    assert!(cells > 0 && count > 0, "at least one plane, and one cell");
    let mut blob = Vec::with_capacity(before.map_or(0, <[u8]>::len));
    let before = before.map(strips_of).unwrap_or_default();
    for (index, plane) in (0..count).zip(planes) {
        let dtype = plane.cells.dtype();
        let raw = plane.cells.as_bytes();
        assert_eq!(
            plane.cells.len(),
            cells,
            "a plane has the cells of the shape"
        );
        assert!(
            u32::try_from(raw.len()).is_ok(),
            "a plane has less than 4 GiB"
        );
        let rows = strip_rows(shape, dtype);
        for (number, strip) in raw.chunks(rows * row_len * dtype.size()).enumerate() {
            let blank = StripHeader {
                plane: index,
                planes: count,
                encoding: StripEncoding::Constant,
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
            let blank = StripHeader {
                digest: if strip.len() < raw.len() {
                    digest(strip)
                } else {
                    0
                },
                ..blank
            };
            match find(&before, key, &blank, strip.len()) {
                Some(same) if same.header.planes == count => blob.extend_from_slice(same.bytes()),
                Some(same) => push(
                    key,
                    &mut blob,
                    StripHeader {
                        planes: count,
                        ..same.header
                    },
                    same.unverified_payload(),
                ),
                None => Strip {
                    key,
                    blank,
                    cells: strip,
                    plane,
                    settings,
                }
                .append(&mut blob),
            }
        }
    }
    blob
}

/// A strip to be encoded.
struct Strip<'a> {
    key: &'a [u8],
    blank: StripHeader,
    cells: &'a [u8],
    plane: &'a RawPlane<'a>,
    settings: Settings,
}

impl Strip<'_> {
    fn append(&self, blob: &mut Vec<u8>) {
        let delta = match (self.settings.codec, self.plane.filter) {
            (Codec::Fast, Filter::Delta | Filter::Auto | Filter::Narrow) => self.delta(),
            _ => return self.compress(blob, self.best(None).0),
        };
        let (start, len) = (blob.len(), self.cells.len());
        blob.resize(start + HEADER_LEN, 0);
        let (dtype, row_len) = (self.blank.dtype, self.row_len());
        let (delta, packing) = self.with_words(Pack {
            dtype,
            hole: self.plane.hole,
            image: delta,
            row_len,
            most: len,
            blob,
        });
        let packed = if packing.is_some() {
            blob.len() - start - HEADER_LEN
        } else {
            len
        };
        if packed > len / ENTROPY_SAVES
            && repeats(self.cells)
            && let (transform, compressed) = self.best(Some(delta))
            && packed.saturating_sub(compressed) > len / ENTROPY_SAVES
        {
            blob.truncate(start);
            return self.compress(blob, transform);
        }
        match packing {
            Some((transform, predictor)) => {
                seal(
                    self.key,
                    blob,
                    start,
                    StripHeader {
                        encoding: StripEncoding::Packed(predictor),
                        transform,
                        ..self.blank
                    },
                );
            }
            None => {
                blob.truncate(start);
                push(
                    self.key,
                    blob,
                    StripHeader {
                        encoding: StripEncoding::Raw,
                        ..self.blank
                    },
                    self.cells,
                );
            }
        }
    }

    fn compress(&self, blob: &mut Vec<u8>, transform: Transform) {
        let Self {
            key, blank, cells, ..
        } = self;
        frame::compress(
            (
                transform.size(blank.dtype.size()) * (cells.len() / blank.dtype.size()),
                cells.len(),
            ),
            self.settings.level,
            |plain| {
                self.with_words(ApplyTransform {
                    dtype: blank.dtype,
                    transform,
                    row_len: self.row_len(),
                    plain,
                })
            },
            |packed| match packed {
                Some(packed) => push(
                    key,
                    blob,
                    StripHeader {
                        encoding: StripEncoding::Zstd,
                        transform,
                        ..*blank
                    },
                    packed,
                ),
                None => push(
                    key,
                    blob,
                    StripHeader {
                        encoding: StripEncoding::Raw,
                        ..*blank
                    },
                    cells,
                ),
            },
        );
    }

    /// The delta that suits the cells.
    fn delta(&self) -> Transform {
        self.with_words(ChooseDelta {
            dtype: self.blank.dtype,
            hole: self.plane.hole,
        })
    }

    /// What suits the cells before zstd, and about how many bytes they then become. The delta may
    /// be known already.
    fn best(&self, delta: Option<Transform>) -> (Transform, usize) {
        let delta = || delta.unwrap_or_else(|| self.delta());
        let dtype = self.blank.dtype;
        let candidates = match self.plane.filter {
            Filter::Shuffle if dtype.size() > 1 => [Some(Transform::Shuffle), None],
            Filter::None | Filter::Shuffle => [Some(Transform::None), None],
            Filter::Narrow => [
                self.with_words(ChooseNarrow { dtype })
                    .or(Some(Transform::None)),
                None,
            ],
            Filter::Delta => [Some(delta()), None],
            Filter::Auto => [Some(delta()), Some(Transform::None)],
        };
        if self.settings.codec == Codec::Small
            && let [Some(only), None] = candidates
        {
            return (only, self.cells.len());
        }
        let (level, row_len) = (self.settings.level, self.row_len());
        let sampled = |transform| {
            (
                transform,
                self.with_words(Sample {
                    dtype,
                    transform,
                    row_len,
                    level,
                }),
            )
        };
        let best = candidates
            .into_iter()
            .flatten()
            .map(sampled)
            .min_by_key(|(_, len)| *len);
        best.unwrap_or((Transform::None, self.cells.len()))
    }

    fn row_len(&self) -> usize {
        usize::try_from(self.blank.row_len).unwrap_or(usize::MAX)
    }

    fn with_words<F: OfWords>(&self, f: F) -> F::Output {
        match self.blank.dtype.size() {
            1 => f.call::<u8>(bytemuck::cast_slice(self.cells)),
            2 => f.call::<u16>(bytemuck::cast_slice(self.cells)),
            4 => f.call::<u32>(bytemuck::cast_slice(self.cells)),
            _ => f.call::<u64>(bytemuck::cast_slice(self.cells)),
        }
    }
}

fn push(key: &[u8], blob: &mut Vec<u8>, header: StripHeader, payload: &[u8]) {
    let start = blob.len();
    blob.reserve(HEADER_LEN + payload.len());
    blob.resize(start + HEADER_LEN, 0);
    blob.extend_from_slice(payload);
    seal(key, blob, start, header);
}

/// Writes the header of the strip that is the rest of a blob from `start` on: room for it, and the
/// payload.
fn seal(key: &[u8], blob: &mut [u8], start: usize, header: StripHeader) {
    let strip = &mut blob[start..];
    let payload_len =
        u32::try_from(strip.len() - HEADER_LEN).expect("no payload is longer than its cells");
    strip[..HEADER_LEN].copy_from_slice(
        &StripHeader {
            payload_len,
            ..header
        }
        .to_bytes(),
    );
    let checksum = checksum(key, &strip[size_of::<u64>()..]);
    strip[..size_of::<u64>()].copy_from_slice(&checksum.to_le_bytes());
}

/// The strips of a blob as far as they can be made out, none of them verified.
fn strips_of(blob: &[u8]) -> Vec<FoundStrip<'_>> {
    let mut strips = Vec::new();
    let mut rest = blob;
    while let Ok((found, after)) = split_strip(rest) {
        strips.push(found);
        rest = after;
    }
    strips
}

/// The strip of an earlier blob that has the place and the cells of a new one, verified. In a sound
/// blob they lie in order.
fn find<'a, 'b>(
    before: &'a [FoundStrip<'b>],
    key: &[u8],
    new: &StripHeader,
    len: usize,
) -> Option<&'a FoundStrip<'b>> {
    let place = |header: &StripHeader| (header.plane, header.first_row);
    let at = before
        .binary_search_by_key(&place(new), |found| place(&found.header))
        .ok()?;
    let (found, old) = (&before[at], &before[at].header);
    let alike = (old.digest, old.dtype, old.row_len) == (new.digest, new.dtype, new.row_len)
        && new.digest != 0;
    (alike && old.check_len(len).is_ok() && found.payload(key).is_ok()).then_some(found)
}

/// A function of a run of words of any size.
trait OfWords {
    type Output;
    fn call<W: Word>(self, words: &[W]) -> Self::Output;
}

struct ChooseDelta {
    dtype: DType,
    hole: u64,
}

impl OfWords for ChooseDelta {
    type Output = Transform;
    fn call<W: Word>(self, words: &[W]) -> Transform {
        delta::choose(self.dtype, words, self.hole)
    }
}

struct ChooseNarrow {
    dtype: DType,
}

impl OfWords for ChooseNarrow {
    type Output = Option<Transform>;
    fn call<W: Word>(self, words: &[W]) -> Option<Transform> {
        if self.dtype == DType::F64 {
            narrow::transform(self.dtype, bytemuck::cast_slice(words))
        } else {
            None
        }
    }
}

/// Appends a strip as it packs best, as far as a sample tells, and says how, unless that takes
/// `most` bytes or more; says the image that is the best without ranks too.
struct Pack<'a> {
    dtype: DType,
    hole: u64,
    image: Transform,
    row_len: usize,
    most: usize,
    blob: &'a mut Vec<u8>,
}

/// An image that a strip was tried in.
struct Tried {
    transform: Transform,
    image: Image,
    predictor: Predictor,
    /// About what it packs to.
    bytes: usize,
}

impl Tried {
    fn new<W: Word>(
        transform: Transform,
        dtype: DType,
        words: &[W],
        row_len: usize,
    ) -> Option<Self> {
        let image = Image::of(transform, dtype)?;
        let (predictor, bytes) = delta::predictor(words, row_len, image);
        Some(Self {
            transform,
            image,
            predictor,
            bytes,
        })
    }
}

impl OfWords for Pack<'_> {
    type Output = (Transform, Option<(Transform, Predictor)>);
    fn call<W: Word>(self, words: &[W]) -> Self::Output {
        let Self {
            dtype,
            row_len,
            most,
            blob,
            ..
        } = self;
        let Some(mut best) = Tried::new(self.image, dtype, words, row_len) else {
            return (self.image, None);
        };
        // Numbers of many digits can be longer than what the floats have of their own.
        if matches!(self.image, Transform::Decimal { .. }) && best.bytes > most / DECIMALS_SAVE {
            let ordered = Tried::new(Transform::ordered(words), dtype, words, row_len);
            best = ordered
                .filter(|ordered| ordered.bytes < best.bytes)
                .unwrap_or(best);
        }
        let ranked = if best.bytes > most / RANKS_TRIED {
            Ranked::of(dtype, words, self.hole)
        } else {
            None
        };
        if let Some(ranked) = ranked
            && let Some(tried) = Tried::new(Transform::Ranked, dtype, &ranked.ranks, row_len)
            && tried.bytes + ranked.len() < best.bytes
        {
            ranked.append(blob);
            let left = most.saturating_sub(ranked.len());
            let fits = delta::pack(
                &ranked.ranks,
                row_len,
                (tried.image, tried.predictor),
                left,
                blob,
            );
            return (
                best.transform,
                fits.then_some((Transform::Ranked, tried.predictor)),
            );
        }
        let fits = delta::pack(words, row_len, (best.image, best.predictor), most, blob);
        (
            best.transform,
            fits.then_some((best.transform, best.predictor)),
        )
    }
}

/// About how many bytes zstd makes of the words after a transform.
struct Sample {
    dtype: DType,
    transform: Transform,
    row_len: usize,
    level: i32,
}

impl OfWords for Sample {
    type Output = usize;
    fn call<W: Word>(self, words: &[W]) -> usize {
        let Self {
            dtype,
            transform,
            row_len,
            level,
        } = self;
        let sample = sample(words, row_len);
        let (raw, len) = (
            size_of_val(&*sample),
            sample.len() * transform.size(size_of::<W>()),
        );
        let fill = |plain: &mut [u8]| {
            ApplyTransform {
                dtype,
                transform,
                row_len,
                plain,
            }
            .call(&sample)
        };
        let packed = frame::compress((len, raw), level, fill, |packed| {
            packed.map_or(raw, <[u8]>::len)
        });
        packed * size_of_val(words) / raw
    }
}

/// Runs of bytes that are looked at for repetition.
const PROBES: usize = 256;

/// Whether runs of eight bytes repeat, of a sample of those at multiples of eight. Where they do
/// not, entropy coding cannot halve what packing could not, and is not tried.
fn repeats(cells: &[u8]) -> bool {
    const SLOTS: usize = 4 * PROBES;
    let (mut seen, mut again, mut probes) = ([0_u64; SLOTS], 0, 0);
    let runs = cells.as_chunks::<8>().0;
    for run in runs.iter().step_by((runs.len() / PROBES).max(1)) {
        let hash = u64::from_le_bytes(*run)
            .wrapping_add(1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let slot = &mut seen[(hash >> 54) as usize % SLOTS];
        again += usize::from(*slot == hash);
        probes += 1;
        *slot = hash;
    }
    4 * again >= probes
}

/// Rows from the first and the third quarter of a strip, about a thirty-second of it; all of a
/// small strip.
fn sample<W: Word>(words: &[W], row_len: usize) -> Cow<'_, [W]> {
    let rows = words.len() / row_len;
    // Two at least, so that one has another above.
    let wanted = (words.len() / 32)
        .max(SAMPLE_BYTES_MIN / size_of::<W>())
        .div_ceil(2 * row_len)
        .max(2);
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
