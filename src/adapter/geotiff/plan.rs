//! A single pass over an image.

use std::ops::Range;

use super::reader::{ImageWindow, WINDOW_BYTES_MAX};

/// The windows of one pass over an image, in the order of the file's blocks.
#[derive(Clone, Debug)]
pub struct ImageWindows {
    whole: ImageWindow,
    /// Bands, rows and columns of a window.
    step: [usize; 3],
    /// Windows along bands, rows and columns.
    counts: [usize; 3],
    next: usize,
}

impl Iterator for ImageWindows {
    type Item = ImageWindow;

    fn next(&mut self) -> Option<ImageWindow> {
        let [bands, rows, cols] = self.counts;
        if self.next >= bands * rows * cols {
            return None;
        }
        let at = [
            self.next / cols / rows,
            self.next / cols % rows,
            self.next % cols,
        ];
        self.next += 1;
        let part = |axis: usize, all: &Range<usize>| {
            let start = at[axis] * self.step[axis];
            start..(start + self.step[axis]).min(all.end)
        };
        Some(ImageWindow {
            bands: part(0, &self.whole.bands),
            rows: part(1, &self.whole.rows),
            cols: part(2, &self.whole.cols),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.counts.iter().product::<usize>() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for ImageWindows {}

/// An image that is read in windows.
#[derive(Clone, Debug)]
pub(in crate::adapter) struct PlanImage {
    /// All cells that are wanted.
    pub(in crate::adapter) whole: ImageWindow,
    /// Bands that blocks have, those that are not wanted included.
    pub(in crate::adapter) samples: usize,
    /// Whether bands have blocks of their own.
    pub(in crate::adapter) planar: bool,
    /// Rows and columns of a block.
    pub(in crate::adapter) block: [usize; 2],
    /// Bytes of a cell.
    pub(in crate::adapter) cell: usize,
}

impl PlanImage {
    /// See [`GeoTiff::plan`](super::GeoTiff::plan).
    pub(in crate::adapter) fn plan(self, rows_wanted: usize, bytes_max: usize) -> ImageWindows {
        let bytes_max = bytes_max.clamp(1, WINDOW_BYTES_MAX);
        let (whole, [high, wide]) = (self.whole, self.block);
        let units = |cells: usize, block: usize| cells.div_ceil(block);
        let mut bands = self.samples;
        let mut cols = units(whole.cols.len(), wide);
        let mut rows = units(rows_wanted.clamp(1, whole.rows.len()), high);
        let bytes = |bands: usize, rows: usize, cols: usize| {
            let cells = (bands as u128) * (rows * high) as u128 * (cols * wide) as u128;
            usize::try_from(cells * self.cell as u128).unwrap_or(usize::MAX)
        };
        rows = rows.min(bytes_max / bytes(bands, 1, cols).max(1)).max(1);
        cols = cols.min(bytes_max / bytes(bands, rows, 1).max(1)).max(1);
        if self.planar {
            bands = bands.min(bytes_max / bytes(1, rows, cols).max(1)).max(1);
        }
        let step = [bands, rows * high, cols * wide];
        let counts = [
            units(whole.bands.len(), step[0]),
            units(whole.rows.len(), step[1]),
            units(whole.cols.len(), step[2]),
        ];
        ImageWindows {
            whole,
            step,
            counts,
            next: 0,
        }
    }
}
