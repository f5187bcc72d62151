//! The loops of the delta filter, in two compilations: for any machine, and for x86-64 with AVX2 where there is one (a third
//! of the filter's time).

use super::blob::Lines;
use super::image::Image;
use super::word::Word;
use crate::array::Tile;

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

/// Undoes the filter for the rows and columns of a box, and for what comes before them in the strip.
pub(super) fn undo<W: Word>(plain: &[u8], image: Image, lines: &Lines<'_>, tile: &mut Tile<'_, W>) {
    dispatch!(undo_portable, undo_avx2, (plain, image, lines, tile))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn apply_avx2<W: Word>(words: &[W], row_len: usize, image: Image, plain: &mut [u8]) {
    apply_portable(words, row_len, image, plain);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn undo_avx2<W: Word>(plain: &[u8], image: Image, lines: &Lines<'_>, tile: &mut Tile<'_, W>) {
    undo_portable(plain, image, lines, tile);
}

#[inline(always)]
fn apply_portable<W: Word>(words: &[W], row_len: usize, image: Image, plain: &mut [u8]) {
    let blank = vec![W::default(); row_len];
    let (mut above, mut row, mut differences) = (blank.clone(), blank.clone(), blank);
    for (index, cells) in words.chunks_exact(row_len).enumerate() {
        image.forward(cells, &mut row);
        W::differ(&row, &above, &mut differences);
        std::mem::swap(&mut row, &mut above);
        // The new row is in `above` by now; the old one is no longer needed.
        W::fold(&differences, &mut row);
        W::split(&row, plain, words.len(), index * row_len);
    }
}

#[inline(always)]
fn undo_portable<W: Word>(plain: &[u8], image: Image, lines: &Lines<'_>, tile: &mut Tile<'_, W>) {
    let part = tile.shape().to_vec();
    let (cells, row_len, column) = (lines.cells(), lines.row_len(), lines.column());
    let end = column + part.last().copied().unwrap_or(0);
    // The differences along the row of the current row's image.
    let mut along = vec![W::default(); end];
    let mut words = vec![W::default(); end];
    let mut done = 0;
    for (row, wanted) in lines.of(&part) {
        while done <= wanted {
            W::join(&mut words, plain, cells, done * row_len);
            W::unfold_onto(&mut along, &words);
            done += 1;
        }
        W::sum(&along, &mut words);
        image.inverse(&words[column..], tile.row(row));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::DType;
    use crate::codec::Transform;
    use crate::codec::blob::Rows;

    #[test]
    fn both_compilations_do_the_same() {
        for transform in [Transform::Ordered { shift: 3 }, Transform::Fixed { exponent: -3, hole: -9 }] {
            let image = Image::of(transform, DType::F32).expect("a delta");
            let cells: Vec<u32> = (0..37_u32 * 41).map(|i| (((i * i) % 4099) as f32 / 8.0).to_bits()).collect();
            let (mut plain, mut portable) = (vec![0; 4 * cells.len()], vec![0; 4 * cells.len()]);
            apply(&cells, 41, image, &mut plain);
            apply_portable(&cells, 41, image, &mut portable);
            assert_eq!(plain, portable);
            let rows = Rows::new(&[37, 41], &[0, 0]);
            for undo in [undo::<u32>, undo_portable::<u32>] {
                let mut out = vec![0; cells.len()];
                undo(&plain, image, &Lines::all(&rows), &mut Tile::whole(&mut out, &[37, 41]).expect("fits"));
                assert_eq!(out, cells);
            }
        }
    }
}
