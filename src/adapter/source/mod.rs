//! Sources: whatever has cells for a grid, and the one import that takes them all.
//!
//! A [`Source`] knows where its cells lie in a grid before it reads one ([`Footprint`]), gives them
//! in [`Block`]s in the order that costs it least, and gives each as the grid has its cells: its
//! type, its axes, its unit. An [`Import`] checks such blocks, lays them into the grid in bounded
//! memory, and makes them durable.
//!
//! | source | what it is |
//! |---|---|
//! | [`ArraySource`] | an array at a window, as of a `.npy` file |
//! | `raster::RasterSource` | a GeoTIFF, or another `raster::RasterFile`, whose cells are those of a level of the grid (feature `geotiff`) |
//! | `raster::ResampledSource` | one of any other cells, resampled (feature `geotiff`) |
//! | `gdal::GdalRaster` | what GDAL opens, as one of the two (feature `gdal`) |
//! | `netcdf::VariableSource` | a variable of a NetCDF file (feature `netcdf`) |
//!
//! A [`Run`] writes many of them, in order or by the jobs of a [`Plan`], and goes on by the
//! [`Ledger`] of its grid where it was cut short.
//!
//! # A source of one's own
//!
//! A service whose cells come from elsewhere implements the trait: what is read stands in `read`,
//! and nothing else has to be known.
//!
//! ```
//! use gridstone::adapter::source::{Block, Footprint, Import, SourceCells, Source};
//! use gridstone::{Axis, DType, Dimension, Query, Schema, Store, Structure, Window};
//! use ndarray::Array2;
//!
//! /// Heights by a formula, row by row.
//! struct Hills(Footprint);
//!
//! impl Source for Hills {
//!     fn footprint(&self) -> &Footprint {
//!         &self.0
//!     }
//!
//!     fn blocks(&self) -> Vec<Block> {
//!         (0..100).map(|row| Block::new(Window::new([row, 0], [1, 200]))).collect()
//!     }
//!
//!     fn read(&mut self, block: &Block) -> gridstone::Result<SourceCells> {
//!         let y = block.window.start()[0] as f64;
//!         Ok(SourceCells::new(Array2::from_shape_fn((1, 200), |(_, x)| (y / 10.0).sin() + (x as f64 / 20.0).cos())))
//!     }
//! }
//!
//! # fn main() -> gridstone::Result<()> {
//! let axes = [Axis::new("y", 0.0, -10.0, 64), Axis::new("x", 0.0, 10.0, 64)];
//! let structure = Structure::builder().dimension(Dimension::regular("space", axes)).build()?;
//! let grid = Store::in_memory()?.create("hills", Schema::builder(structure, DType::F64).build()?)?;
//!
//! let footprint = Footprint::new("hills", vec![Window::new([0, 0], [100, 200])], DType::F64);
//! let mut import = Import::new(&grid, Hills(footprint))?;
//! import.check(&mut |_| {})?;
//! assert_eq!(import.write(&mut |_| {})?.cells, 20_000);
//! assert_eq!(grid.read(&Query::all())?.array.shape(), [100, 200]);
//! # Ok(())
//! # }
//! ```

mod array;
mod import;
mod laying;
mod ledger;
mod plan;
mod run;

#[cfg(test)]
mod tests;

pub use array::ArraySource;
#[cfg(feature = "geotiff")]
pub(super) use import::counted;
pub use import::{Checked, Import, Imported};
pub use laying::write;
pub use ledger::{Ledger, Standing};
pub use plan::{Job, Plan, Priority};
pub use run::{Run, Written};

use std::time::SystemTime;

use ndarray::ArrayD;

use crate::array::{Array, DType};
use crate::error::Result;
use crate::grid::Window;
#[cfg(feature = "geotiff")]
use crate::store::Grid;

/// The bytes that a block comes to, at most, where its source can cut it: what an import holds in
/// memory is a small multiple of it.
pub const BLOCK_BYTES: usize = 48 << 20;

/// Cells for a grid. See the [module](self).
pub trait Source: Send {
    /// Where its cells lie in the grid, and what is known of them before one is read.
    fn footprint(&self) -> &Footprint;

    /// Boxes of the grid that make up all of it, in the order in which they are read with the least
    /// work and laid over each other. They are best of whole chunks, and of at most
    /// [`BLOCK_BYTES`].
    fn blocks(&self) -> Vec<Block>;

    /// The cells of one of the blocks, with the axes of the grid and in its type and unit.
    fn read(&mut self, block: &Block) -> Result<SourceCells>;

    /// Reads all that the cells of its blocks are made of, and says what it found, where that costs
    /// less than the cells themselves; `None` where it does not. `progress` is told how many cells
    /// of the grid that comes to.
    fn look(&mut self, progress: &mut dyn FnMut(u64)) -> Result<Option<FoundCells>> {
        let _ = progress;
        Ok(None)
    }

    /// What tells that it is not what it was; `None` if nothing does.
    fn fingerprint(&self) -> Result<Option<Fingerprint>> {
        Ok(None)
    }

    /// Gives back memory and open files until the next read: there may be more sources than files
    /// that can be open.
    fn close(&mut self) {}
}

/// What is known of a source's cells before one is read.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Footprint {
    /// What it is called in messages, such as the path of a file.
    pub name: String,
    /// The boxes of the grid that it has, at their levels; of events one a tick. All its blocks lie
    /// in them.
    pub windows: Vec<Window>,
    /// The type of its values.
    pub dtype: DType,
    /// How many cells it has.
    pub cells: u64,
    /// How many bytes they have, as it keeps them.
    pub bytes: u64,
    /// How long its own cells are, in cells of level 0: what is finer than what.
    pub cell: f64,
    /// Whether it says itself which of its cells hold data: a valid cell with the grid's nodata
    /// value is then an error.
    pub is_declared: bool,
    /// A place that it has cells for twice, in words.
    pub twice: Option<String>,
    /// What is to be said of how it lies in the grid, a sentence each.
    pub notes: Vec<String>,
}

impl Footprint {
    /// A source of some boxes of a grid, each cell once.
    pub fn new(name: impl Into<String>, windows: Vec<Window>, dtype: DType) -> Self {
        let cells = windows
            .iter()
            .map(|window| window.cells().unwrap_or(u64::MAX))
            .fold(0, u64::saturating_add);
        let bytes = cells.saturating_mul(dtype.size() as u64);
        let cell = windows.first().map_or(1.0, |window| {
            window.levels(0).iter().map(|level| level.scale()).product()
        });
        Self {
            name: name.into(),
            windows,
            dtype,
            cells,
            bytes,
            cell,
            is_declared: false,
            twice: None,
            notes: Vec::new(),
        }
    }
}

/// A box of a grid that a source gives at once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Block {
    /// The box, at its levels. Along an irregular dimension, that of the ticks.
    pub window: Window,
    /// The tick of each of its events, in the order of the cells; empty of a grid without an
    /// irregular dimension.
    pub ticks: Vec<i64>,
    /// Its number among the blocks of the source, from 0, if the source wants to know.
    pub number: usize,
}

impl Block {
    /// A box of a grid without an irregular dimension.
    pub fn new(window: Window) -> Self {
        Self {
            window,
            ticks: Vec::new(),
            number: 0,
        }
    }

    /// A box of any grid; along an irregular dimension, of the one event whose tick it begins at.
    #[cfg(feature = "geotiff")]
    pub(super) fn of(grid: &Grid, window: Window, number: usize) -> Self {
        let ticks = grid
            .structure()
            .irregular_axis()
            .iter()
            .map(|time| window.start()[time.axis])
            .collect();
        Self {
            window,
            ticks,
            number,
        }
    }
}

/// Cells as the grid has them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SourceCells {
    /// The cells, in the shape of the block and in the type of the grid. NaN, and the grid's nodata
    /// value, are no data.
    pub array: Array,
    /// 1 where a cell holds data, 0 where it does not, in a grid of integers without a nodata
    /// value; `None` if all do.
    pub valid: Option<ArrayD<u8>>,
    /// Cells with data, and how many of them have the grid's nodata value; `None` if that was not
    /// counted.
    pub found: Option<FoundCells>,
}

impl SourceCells {
    /// Cells that say themselves whether they hold data.
    pub fn new(array: impl Into<Array>) -> Self {
        Self {
            array: array.into(),
            valid: None,
            found: None,
        }
    }
}

/// What was found among cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundCells {
    /// Cells with data.
    pub data: u64,
    /// Cells with data that equal the grid's nodata value.
    pub collisions: u64,
}

/// What tells whether a source is what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fingerprint {
    /// How many bytes it has.
    pub bytes: u64,
    /// When it was written last, if that is known.
    pub modified: Option<SystemTime>,
    /// The xxh3-128 of its header: of a file, its first and last 64 KiB.
    pub digest: u128,
}

impl Fingerprint {
    /// What tells of so many bytes, written at a time, with a digest of one's own.
    pub fn new(bytes: u64, modified: Option<SystemTime>, digest: u128) -> Self {
        Self {
            bytes,
            modified,
            digest,
        }
    }
}
