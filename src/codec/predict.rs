//! What the number of a cell in an image is predicted from, and what is left of it.

use super::image::Image;
use super::pack::{self, BLOCK};
use super::word::Word;

/// What a cell's number is predicted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Predictor {
    /// The least number of the strip: noise, of which differences are longer, and classes, whose
    /// neighbours are unrelated.
    Least,
    /// The cell to the left, and the one above for the first of a row: what is noisier than it is
    /// steep.
    Left,
    /// The cell to the left and what the one above it is more than its own left one: slopes.
    Plane,
}

/// Cells of a row that a sample has at most.
const COLUMNS_MAX: usize = 4 * BLOCK;

/// The rows of a strip on their way through image and prediction.
pub(super) struct Rows<W> {
    image: Image,
    predictor: Predictor,
    above: Vec<W>,
    own: Vec<W>,
    differences: Vec<W>,
}

impl<W: Word> Rows<W> {
    #[inline(always)]
    pub(super) fn new(row_len: usize, image: Image, predictor: Predictor) -> Self {
        let blank = vec![W::default(); row_len];
        Self {
            image,
            predictor,
            above: blank.clone(),
            own: blank.clone(),
            differences: blank,
        }
    }

    /// The zigzag of what the prediction leaves of the next row; of [`Predictor::Least`] the image
    /// as it is.
    #[inline(always)]
    pub(super) fn fold(&mut self, cells: &[W], folded: &mut [W]) {
        self.image.forward(cells, &mut self.own);
        match self.predictor {
            Predictor::Least => folded.copy_from_slice(&self.own),
            Predictor::Left => W::fold(&self.own, self.above[0], folded),
            Predictor::Plane => {
                W::differ(&self.own, &self.above, &mut self.differences);
                W::fold(&self.differences, W::default(), folded);
            }
        }
        std::mem::swap(&mut self.own, &mut self.above);
    }
}

/// Folds all rows of a strip, and says what else the inverse needs: the least number under
/// [`Predictor::Least`].
#[inline(always)]
pub(super) fn fold<W: Word>(
    words: &[W],
    row_len: usize,
    image: Image,
    predictor: Predictor,
    folded: &mut [W],
) -> Option<W> {
    let mut rows = Rows::new(row_len, image, predictor);
    for (cells, folded) in words
        .chunks_exact(row_len)
        .zip(folded.chunks_exact_mut(row_len))
    {
        rows.fold(cells, folded);
    }
    if predictor == Predictor::Least {
        Some(take_least(image, folded))
    } else {
        None
    }
}

#[inline(always)]
fn take_least<W: Word>(image: Image, numbers: &mut [W]) -> W {
    let least = W::least(numbers, image.is_signed());
    W::subtract(numbers, least);
    least
}

/// The inverse of [`fold`], row by row.
pub(super) struct Unfolding<W> {
    image: Image,
    predictor: Predictor,
    least: W,
    /// The differences along the row of the current row's image.
    along: Vec<W>,
    numbers: Vec<W>,
}

impl<W: Word> Unfolding<W> {
    /// Of rows up to some column.
    #[inline(always)]
    pub(super) fn new(end: usize, image: Image, predictor: Predictor, least: W) -> Self {
        Self {
            image,
            predictor,
            least,
            along: vec![W::default(); end],
            numbers: vec![W::default(); end],
        }
    }

    /// Takes in what is left of the next row.
    #[inline(always)]
    pub(super) fn row(&mut self, folded: &[W]) {
        match self.predictor {
            Predictor::Least => self.along.copy_from_slice(folded),
            Predictor::Left => {
                if let [_, rest @ ..] = self.along.as_mut_slice() {
                    rest.fill(W::default());
                }
                W::unfold_onto(&mut self.along, folded);
            }
            Predictor::Plane => W::unfold_onto(&mut self.along, folded),
        }
    }

    /// The cells of the row that was taken in last, from some column on.
    #[inline(always)]
    pub(super) fn cells(&mut self, column: usize, cells: &mut [W]) {
        match self.predictor {
            Predictor::Least => W::add(&self.along, self.least, &mut self.numbers),
            Predictor::Left | Predictor::Plane => W::sum(&self.along, &mut self.numbers),
        }
        self.image.inverse(&self.numbers[column..], cells);
    }
}

/// The predictor that leaves the least of a sample of a strip, and about how many bytes the strip
/// then packs to.
#[inline(always)]
pub(super) fn choose<W: Word>(words: &[W], row_len: usize, image: Image) -> (Predictor, usize) {
    let rows = words.len() / row_len;
    let columns = row_len.min(COLUMNS_MAX);
    // A row before a band only predicts the next.
    let (wanted, before) = (BLOCK.div_ceil(columns).min(rows), usize::from(rows > 1));
    let firsts: &[usize] = if 4 * (wanted + before) > rows {
        &[0]
    } else {
        &[rows / 4, 3 * rows / 4]
    };
    let height = if firsts.len() == 1 {
        rows
    } else {
        wanted + before
    };
    let left = (row_len - columns) / 2;
    let mut folded = vec![W::default(); height * columns];
    let mut bytes =
        [Predictor::Plane, Predictor::Left, Predictor::Least].map(|predictor| (predictor, 0));
    for (predictor, bytes) in &mut bytes {
        for &first in firsts {
            let mut of = Rows::new(columns, image, *predictor);
            for (row, folded) in (first..).zip(folded.chunks_exact_mut(columns)) {
                of.fold(&words[row * row_len + left..][..columns], folded);
            }
            let folded = &mut folded[before * columns..];
            if *predictor == Predictor::Least {
                take_least(image, folded);
            }
            *bytes += pack::bytes(folded);
        }
    }
    let sampled = firsts.len() * (height - before) * columns;
    let (predictor, bytes) = bytes
        .into_iter()
        .min_by_key(|(_, bytes)| *bytes)
        .unwrap_or((Predictor::Plane, 0));
    (predictor, bytes * words.len() / sampled)
}
