//! The loops of the delta filter, in two compilations: for any machine, and for x86-64 with AVX2
//! where there is one (a third of the filter's time).

use std::cell::RefCell;

use super::DecodeError;
use super::blob::Lines;
use super::image::{Image, Transform};
use super::pack::{self, BLOCK, Packed};
use super::predict::{self, Predictor, Rows, Unfolding};
use super::word::Word;
use crate::array::{DType, TileMut};

/// Calls the compilation of a function that suits the machine.
macro_rules! dispatch {
    ($portable:path, $avx2:ident, ($($argument:expr),+)) => {{
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2")
            && std::arch::is_x86_feature_detected!("bmi1")
            && std::arch::is_x86_feature_detected!("lzcnt")
        {
            // SAFETY: the machine has all features that any of these functions is compiled for;
            // they are otherwise safe code.
            return unsafe { $avx2($($argument),+) };
        }
        $portable($($argument),+)
    }};
}

/// Filters words into bytes: image, differences to the row above and along the row, zigzag,
/// shuffle.
pub(super) fn apply<W: Word>(words: &[W], row_len: usize, image: Image, plain: &mut [u8]) {
    dispatch!(apply_portable, apply_avx2, (words, row_len, image, plain))
}

/// Appends what a prediction leaves of the image of words, packed, to `out`; `false` if that takes
/// `most` bytes or more.
pub(super) fn pack<W: Word>(
    words: &[W],
    row_len: usize,
    of: (Image, Predictor),
    most: usize,
    out: &mut Vec<u8>,
) -> bool {
    with_scratch(words.len(), |folded| {
        dispatch!(
            pack_portable,
            pack_avx2,
            (words, (row_len, of), most, folded, out)
        )
    })
}

/// The predictor that suits the image of words, and about how many bytes they then pack to.
pub(super) fn predictor<W: Word>(words: &[W], row_len: usize, image: Image) -> (Predictor, usize) {
    dispatch!(predict::choose, predictor_avx2, (words, row_len, image))
}

/// The best image to take differences of; see [`Transform::delta`].
pub(super) fn choose<W: Word>(dtype: DType, words: &[W], hole: u64) -> Transform {
    dispatch!(Transform::delta, choose_avx2, (dtype, words, hole))
}

/// Undoes the filter for the rows and columns of a box, and for what comes before them in the
/// strip.
pub(super) fn undo<W: Word>(
    plain: &[u8],
    image: Image,
    lines: &Lines<'_>,
    tile: &mut TileMut<'_, W>,
) {
    dispatch!(undo_portable, undo_avx2, (plain, image, lines, tile))
}

/// Undoes [`pack`] for the rows and columns of a box, and for the blocks before them in the strip.
pub(super) fn unpack<W: Word>(
    payload: &[u8],
    image: Image,
    predictor: Predictor,
    lines: &Lines<'_>,
    tile: &mut TileMut<'_, W>,
) -> Result<(), DecodeError> {
    let (least, payload) = match predictor {
        Predictor::Left | Predictor::Plane => (W::default(), payload),
        Predictor::Least => {
            let truncated = DecodeError::Truncated {
                needed: size_of::<W>(),
                got: payload.len(),
            };
            let (least, payload) = payload.split_at_checked(size_of::<W>()).ok_or(truncated)?;
            (bytemuck::pod_read_unaligned(least), payload)
        }
    };
    let packed = Packed::new::<W>(payload, lines.cells())?;
    let wanted = lines.end(tile.shape());
    let of = (image, predictor, least);
    with_scratch(wanted.next_multiple_of(BLOCK), |folded| {
        dispatch!(
            unpack_portable,
            unpack_avx2,
            (&packed, wanted, folded, (of, lines), tile)
        )
    })
}

/// The row length of a strip, its image and what its cells are predicted from.
type StripForm = (usize, (Image, Predictor));

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn apply_avx2<W: Word>(words: &[W], row_len: usize, image: Image, plain: &mut [u8]) {
    apply_portable(words, row_len, image, plain);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,lzcnt")]
fn pack_avx2<W: Word>(
    words: &[W],
    of: StripForm,
    most: usize,
    folded: &mut [W],
    out: &mut Vec<u8>,
) -> bool {
    pack_portable(words, of, most, folded, out)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,lzcnt")]
fn predictor_avx2<W: Word>(words: &[W], row_len: usize, image: Image) -> (Predictor, usize) {
    predict::choose(words, row_len, image)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn choose_avx2<W: Word>(dtype: DType, words: &[W], hole: u64) -> Transform {
    Transform::delta(dtype, words, hole)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn undo_avx2<W: Word>(plain: &[u8], image: Image, lines: &Lines<'_>, tile: &mut TileMut<'_, W>) {
    undo_portable(plain, image, lines, tile);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn unpack_avx2<W: Word>(
    packed: &Packed<'_>,
    wanted: usize,
    folded: &mut [W],
    of: ((Image, Predictor, W), &Lines<'_>),
    tile: &mut TileMut<'_, W>,
) -> Result<(), DecodeError> {
    unpack_portable(packed, wanted, folded, of, tile)
}

#[inline(always)]
fn apply_portable<W: Word>(words: &[W], row_len: usize, image: Image, plain: &mut [u8]) {
    let mut folded = vec![W::default(); row_len];
    let mut rows = Rows::new(row_len, image, Predictor::Plane);
    for (index, cells) in words.chunks_exact(row_len).enumerate() {
        rows.fold(cells, &mut folded);
        W::split(&folded, plain, words.len(), index * row_len);
    }
}

#[inline(always)]
fn pack_portable<W: Word>(
    words: &[W],
    (row_len, (image, predictor)): StripForm,
    most: usize,
    folded: &mut [W],
    out: &mut Vec<u8>,
) -> bool {
    let start = out.len();
    let least = predict::fold(words, row_len, image, predictor, folded);
    least
        .iter()
        .for_each(|least| out.extend_from_slice(bytemuck::bytes_of(least)));
    pack::pack(folded, most.saturating_sub(out.len() - start), out)
}

/// Where the folded rows of a strip come from.
trait Folded<W> {
    /// The first words of a row.
    fn row(&mut self, row: usize, len: usize) -> &[W];
}

/// Bytes as [`apply`] left them.
struct Shuffled<'a, W> {
    plain: &'a [u8],
    cells: usize,
    row_len: usize,
    words: Vec<W>,
}

impl<W: Word> Folded<W> for Shuffled<'_, W> {
    #[inline(always)]
    fn row(&mut self, row: usize, len: usize) -> &[W] {
        W::join(
            &mut self.words[..len],
            self.plain,
            self.cells,
            row * self.row_len,
        );
        &self.words[..len]
    }
}

/// Words as [`pack`] had them before they were packed.
struct Unpacked<'a, W> {
    folded: &'a [W],
    row_len: usize,
}

impl<W: Word> Folded<W> for Unpacked<'_, W> {
    #[inline(always)]
    fn row(&mut self, row: usize, len: usize) -> &[W] {
        &self.folded[row * self.row_len..][..len]
    }
}

/// The columns up to the end of a tile.
fn end_of<W>(lines: &Lines<'_>, tile: &TileMut<'_, W>) -> usize {
    lines.column() + tile.shape().last().copied().unwrap_or(0)
}

#[inline(always)]
fn undo_portable<W: Word>(
    plain: &[u8],
    image: Image,
    lines: &Lines<'_>,
    tile: &mut TileMut<'_, W>,
) {
    let end = end_of(lines, tile);
    let words = vec![W::default(); end];
    let unfolding = Unfolding::new(end, image, Predictor::Plane, W::default());
    unfold(
        Shuffled {
            plain,
            cells: lines.cells(),
            row_len: lines.row_len(),
            words,
        },
        unfolding,
        lines,
        tile,
    );
}

#[inline(always)]
fn unpack_portable<W: Word>(
    packed: &Packed<'_>,
    wanted: usize,
    folded: &mut [W],
    ((image, predictor, least), lines): ((Image, Predictor, W), &Lines<'_>),
    tile: &mut TileMut<'_, W>,
) -> Result<(), DecodeError> {
    packed.unpack(wanted, folded)?;
    let unfolding = Unfolding::new(end_of(lines, tile), image, predictor, least);
    unfold(
        Unpacked {
            folded,
            row_len: lines.row_len(),
        },
        unfolding,
        lines,
        tile,
    );
    Ok(())
}

/// Paints the rows of a tile.
#[inline(always)]
fn unfold<W: Word>(
    mut folded: impl Folded<W>,
    mut unfolding: Unfolding<W>,
    lines: &Lines<'_>,
    tile: &mut TileMut<'_, W>,
) {
    let part = tile.shape().to_vec();
    let end = end_of(lines, tile);
    let mut done = 0;
    for (row, wanted) in lines.of(&part) {
        while done <= wanted {
            unfolding.row(folded.row(done, end));
            done += 1;
        }
        unfolding.cells(lines.column(), tile.row(row));
    }
}

thread_local! {
    /// Words between filter and packing.
    static SCRATCH: RefCell<Vec<u64>> = RefCell::default();
}

/// A buffer of more words is given back after use.
const KEPT_WORDS_MAX: usize = 2 << 20;

/// Calls `f` with so many words of anything, which a thread keeps.
fn with_scratch<W: Word, R>(len: usize, f: impl FnOnce(&mut [W]) -> R) -> R {
    // Taken out and put back, so that a panic in a closure leaves no borrow behind.
    let mut scratch = SCRATCH.take();
    let needed = (len * size_of::<W>()).div_ceil(size_of::<u64>());
    if scratch.len() < needed {
        scratch.resize(needed, 0);
    }
    let result = f(&mut bytemuck::cast_slice_mut(&mut scratch)[..len]);
    if scratch.len() <= KEPT_WORDS_MAX {
        SCRATCH.set(scratch);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Hole;
    use crate::codec::blob;

    #[test]
    fn both_compilations_do_the_same() {
        let hole = Hole {
            bits: f32::NAN.to_bits().into(),
            image: -9,
        };
        for transform in [
            Transform::Ordered { shift: 3 },
            Transform::Fixed { exponent: -3, hole },
            Transform::Decimal { digits: 3, hole },
        ] {
            let image = Image::of(transform, DType::F32).expect("a delta");
            let cells: Vec<u32> = (0..37_u32 * 41)
                .map(|i| (((i * i) % 4099) as f32 / 8.0).to_bits())
                .collect();
            let (mut plain, mut portable) = (vec![0; 4 * cells.len()], vec![0; 4 * cells.len()]);
            apply(&cells, 41, image, &mut plain);
            apply_portable(&cells, 41, image, &mut portable);
            assert_eq!(plain, portable);
            let rows = blob::BoxRows::new(&[37, 41], &[0, 0]);
            for undo in [undo::<u32>, undo_portable::<u32>] {
                let mut out = vec![0; cells.len()];
                undo(
                    &plain,
                    image,
                    &Lines::all(&rows),
                    &mut TileMut::whole(&mut out, &[37, 41]).expect("fits"),
                );
                assert_eq!(out, cells);
            }
            for predictor in [Predictor::Least, Predictor::Left, Predictor::Plane] {
                let (mut packed, mut portable) = (Vec::new(), Vec::new());
                let mut folded = vec![0; cells.len()];
                assert!(pack(
                    &cells,
                    41,
                    (image, predictor),
                    usize::MAX,
                    &mut packed
                ));
                assert!(pack_portable(
                    &cells,
                    (41, (image, predictor)),
                    usize::MAX,
                    &mut folded,
                    &mut portable
                ));
                assert_eq!(packed, portable);
                let mut out = vec![0; cells.len()];
                let mut tile = TileMut::whole(&mut out, &[37, 41]).expect("fits");
                unpack(&packed, image, predictor, &Lines::all(&rows), &mut tile).expect("packed");
                assert_eq!(out, cells);
            }
            assert_eq!(
                super::predictor(&cells, 41, image),
                predict::choose(&cells, 41, image)
            );
        }
    }
}
