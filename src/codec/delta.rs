//! The loops of the delta filter, in two compilations: for any machine, and for x86-64 with AVX2 where there is one (a third
//! of the filter's time).

use std::cell::RefCell;

use super::DecodeError;
use super::blob::Lines;
use super::image::{Image, Transform};
use super::pack::{self, BLOCK, Packed};
use super::word::Word;
use crate::array::{DType, Tile};

/// Calls the compilation of a function that suits the machine.
macro_rules! dispatch {
    ($portable:ident, $avx2:ident, ($($argument:expr),+)) => {{
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the machine has AVX2; the function is otherwise safe code.
            return unsafe { $avx2($($argument),+) };
        }
        $portable($($argument),+)
    }};
}

/// Filters words into bytes: image, differences to the row above and along the row, zigzag, shuffle.
pub(super) fn apply<W: Word>(words: &[W], row_len: usize, image: Image, plain: &mut [u8]) {
    dispatch!(apply_portable, apply_avx2, (words, row_len, image, plain))
}

/// Filters words like [`apply`] but for the shuffle, and appends them packed to `out`; `false` if that takes `most` bytes or more.
pub(super) fn pack<W: Word>(words: &[W], row_len: usize, image: Image, most: usize, out: &mut Vec<u8>) -> bool {
    with_scratch(words.len(), |folded| dispatch!(pack_portable, pack_avx2, (words, (row_len, image), most, folded, out)))
}

/// The best image to take differences of; see [`Transform::delta`].
pub(super) fn choose<W: Word>(dtype: DType, words: &[W], hole: u64) -> Transform {
    dispatch!(choose_portable, choose_avx2, (dtype, words, hole))
}

/// Undoes the filter for the rows and columns of a box, and for what comes before them in the strip.
pub(super) fn undo<W: Word>(plain: &[u8], image: Image, lines: &Lines<'_>, tile: &mut Tile<'_, W>) {
    dispatch!(undo_portable, undo_avx2, (plain, image, lines, tile))
}

/// Undoes [`pack`] for the rows and columns of a box, and for the blocks before them in the strip.
pub(super) fn unpack<W: Word>(
    payload: &[u8],
    image: Image,
    lines: &Lines<'_>,
    tile: &mut Tile<'_, W>,
) -> Result<(), DecodeError> {
    let packed = Packed::new::<W>(payload, lines.cells())?;
    let wanted = lines.end(tile.shape());
    with_scratch(wanted.next_multiple_of(BLOCK), |folded| {
        dispatch!(unpack_portable, unpack_avx2, (&packed, wanted, folded, (image, lines), tile))
    })
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn apply_avx2<W: Word>(words: &[W], row_len: usize, image: Image, plain: &mut [u8]) {
    apply_portable(words, row_len, image, plain);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,lzcnt")]
fn pack_avx2<W: Word>(words: &[W], of: (usize, Image), most: usize, folded: &mut [W], out: &mut Vec<u8>) -> bool {
    pack_portable(words, of, most, folded, out)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn choose_avx2<W: Word>(dtype: DType, words: &[W], hole: u64) -> Transform {
    choose_portable(dtype, words, hole)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn undo_avx2<W: Word>(plain: &[u8], image: Image, lines: &Lines<'_>, tile: &mut Tile<'_, W>) {
    undo_portable(plain, image, lines, tile);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn unpack_avx2<W: Word>(
    packed: &Packed<'_>,
    wanted: usize,
    folded: &mut [W],
    of: (Image, &Lines<'_>),
    tile: &mut Tile<'_, W>,
) -> Result<(), DecodeError> {
    unpack_portable(packed, wanted, folded, of, tile)
}

#[inline(always)]
fn choose_portable<W: Word>(dtype: DType, words: &[W], hole: u64) -> Transform {
    Transform::delta(dtype, words, hole)
}

#[inline(always)]
fn apply_portable<W: Word>(words: &[W], row_len: usize, image: Image, plain: &mut [u8]) {
    let mut folded = vec![W::default(); row_len];
    let mut rows = Rows::new(row_len, image);
    for (index, cells) in words.chunks_exact(row_len).enumerate() {
        rows.fold(cells, &mut folded);
        W::split(&folded, plain, words.len(), index * row_len);
    }
}

#[inline(always)]
fn pack_portable<W: Word>(
    words: &[W],
    (row_len, image): (usize, Image),
    most: usize,
    folded: &mut [W],
    out: &mut Vec<u8>,
) -> bool {
    let mut rows = Rows::new(row_len, image);
    words.chunks_exact(row_len).zip(folded.chunks_exact_mut(row_len)).for_each(|(cells, folded)| rows.fold(cells, folded));
    pack::pack(folded, most, out)
}

/// The rows of a strip on their way through the filter.
struct Rows<W> {
    image: Image,
    above: Vec<W>,
    own: Vec<W>,
    differences: Vec<W>,
}

impl<W: Word> Rows<W> {
    #[inline(always)]
    fn new(row_len: usize, image: Image) -> Self {
        let blank = vec![W::default(); row_len];
        Self { image, above: blank.clone(), own: blank.clone(), differences: blank }
    }

    /// Image of the next row, differences to the row above and along the row, zigzag.
    #[inline(always)]
    fn fold(&mut self, cells: &[W], folded: &mut [W]) {
        self.image.forward(cells, &mut self.own);
        W::differ(&self.own, &self.above, &mut self.differences);
        W::fold(&self.differences, folded);
        std::mem::swap(&mut self.own, &mut self.above);
    }
}

/// Where the folded differences of a strip's rows come from.
trait Folded<W> {
    /// Adds the differences of a row to those of the row above.
    fn unfold_onto(&mut self, row: usize, along: &mut [W]);
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
    fn unfold_onto(&mut self, row: usize, along: &mut [W]) {
        W::join(&mut self.words, self.plain, self.cells, row * self.row_len);
        W::unfold_onto(along, &self.words);
    }
}

/// Words as [`pack`] had them before they were packed.
struct Unpacked<'a, W> {
    folded: &'a [W],
    row_len: usize,
}

impl<W: Word> Folded<W> for Unpacked<'_, W> {
    #[inline(always)]
    fn unfold_onto(&mut self, row: usize, along: &mut [W]) {
        W::unfold_onto(along, &self.folded[row * self.row_len..][..along.len()]);
    }
}

#[inline(always)]
fn undo_portable<W: Word>(plain: &[u8], image: Image, lines: &Lines<'_>, tile: &mut Tile<'_, W>) {
    let words = vec![W::default(); lines.column() + tile.shape().last().copied().unwrap_or(0)];
    unfold(Shuffled { plain, cells: lines.cells(), row_len: lines.row_len(), words }, image, lines, tile);
}

#[inline(always)]
fn unpack_portable<W: Word>(
    packed: &Packed<'_>,
    wanted: usize,
    folded: &mut [W],
    (image, lines): (Image, &Lines<'_>),
    tile: &mut Tile<'_, W>,
) -> Result<(), DecodeError> {
    packed.unpack(wanted, folded)?;
    unfold(Unpacked { folded, row_len: lines.row_len() }, image, lines, tile);
    Ok(())
}

/// Paints the rows of a tile.
#[inline(always)]
fn unfold<W: Word>(mut folded: impl Folded<W>, image: Image, lines: &Lines<'_>, tile: &mut Tile<'_, W>) {
    let part = tile.shape().to_vec();
    let column = lines.column();
    let end = column + part.last().copied().unwrap_or(0);
    // The differences along the row of the current row's image.
    let mut along = vec![W::default(); end];
    let mut words = vec![W::default(); end];
    let mut done = 0;
    for (row, wanted) in lines.of(&part) {
        while done <= wanted {
            folded.unfold_onto(done, &mut along);
            done += 1;
        }
        W::sum(&along, &mut words);
        image.inverse(&words[column..], tile.row(row));
    }
}

thread_local! {
    /// Words between filter and packing.
    static SCRATCH: RefCell<Vec<u64>> = RefCell::default();
}

/// A buffer of more bytes is given back after use.
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
        let hole = Hole { bits: f32::NAN.to_bits().into(), image: -9 };
        for transform in
            [Transform::Ordered { shift: 3 }, Transform::Fixed { exponent: -3, hole }, Transform::Decimal { digits: 3, hole }]
        {
            let image = Image::of(transform, DType::F32).expect("a delta");
            let cells: Vec<u32> = (0..37_u32 * 41).map(|i| (((i * i) % 4099) as f32 / 8.0).to_bits()).collect();
            let (mut plain, mut portable) = (vec![0; 4 * cells.len()], vec![0; 4 * cells.len()]);
            apply(&cells, 41, image, &mut plain);
            apply_portable(&cells, 41, image, &mut portable);
            assert_eq!(plain, portable);
            let (mut packed, mut portable) = (Vec::new(), Vec::new());
            let mut folded = vec![0; cells.len()];
            assert!(pack(&cells, 41, image, usize::MAX, &mut packed));
            assert!(pack_portable(&cells, (41, image), usize::MAX, &mut folded, &mut portable));
            assert_eq!(packed, portable);
            let rows = blob::Rows::new(&[37, 41], &[0, 0]);
            for undo in [undo::<u32>, undo_portable::<u32>] {
                let mut out = vec![0; cells.len()];
                undo(&plain, image, &Lines::all(&rows), &mut Tile::whole(&mut out, &[37, 41]).expect("fits"));
                assert_eq!(out, cells);
            }
            let mut out = vec![0; cells.len()];
            unpack(&packed, image, &Lines::all(&rows), &mut Tile::whole(&mut out, &[37, 41]).expect("fits")).expect("packed");
            assert_eq!(out, cells);
        }
    }
}
