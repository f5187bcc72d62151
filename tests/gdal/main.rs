//! Rasters that GDAL opens, and rasters that its warper lays onto a grid, held against what the
//! programs of GDAL make of the same files. All files are made here, of cells by a formula.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod formats;
mod places;
mod refusals;
mod warping;
mod work;
