//! A grid as a Zarr hierarchy: a pure map from keys to bytes, for files, for servers, for readers in
//! this process.
//!
//! A [`View`] shows one layer of a grid in one snapshot as a multiscale group: one group a level,
//! `0` the finest, each with an array of the cells, its coordinates and its coordinate reference
//! system. Nothing is stored for it: a chunk is read when it is asked for.
//!
//! # Layout
//!
//! * All levels have one corner, and each has half as many cells along the axes that coarsen as the
//!   level before; so the box is that of the data, widened to whole cells of the coarsest level.
//!   The dimension of two axes coarsens, or else the first regular one. The coarsest level is the
//!   first that fits one chunk. All other dimensions stay at the level of the base.
//! * One type for all levels: the first aggregator's, of which level 0 has what it makes of single
//!   cells. Of a grid without aggregators, or if the base is asked for, there is level 0 alone.
//! * Cells without data hold the fill value: NaN in floats, the grid's nodata value in integers.
//!   Integers of a grid without one are accompanied by an array `NAME_valid` of 0 and 1.
//! * Coordinates are centres of cells; times are where steps begin, with bounds. An irregular
//!   dimension has its ticks, a Fixed one its labels, numbers if all are.
//! * Chunks are those of the grid, in C order, little-endian, in the container of Blosc 1 with a
//!   byte shuffle and zstd. A chunk without data is absent.
//!
//! # Conventions
//!
//! Zarr v3 with inline consolidated metadata, or v2 with the same chunks ([`Format`]); the
//! conventions `multiscales`, `proj` and `spatial` at v0.1; CF coordinates, times and grid mapping;
//! `_CRS` for GDAL before 3.13; OME-NGFF 0.5 where its axes allow it.
//!
//! ```
//! use gridstone::adapter::zarr::{View, ViewOptions};
//! use gridstone::{Aggregation, Axis, DType, Dimension, Schema, Store, Structure, Window};
//!
//! # fn main() -> gridstone::Result<()> {
//! let space = Dimension::regular("space", [Axis::new("y", 8.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)]);
//! let structure = Structure::builder().dimension(space).crs("EPSG:32632").build()?;
//! let schema = Schema::builder(structure, DType::F32).aggregator(Aggregation::Mean).build()?;
//! let store = Store::in_memory()?;
//! let grid = store.create("height", schema)?;
//! grid.put(&Window::new([0, 0], [8, 8]), &ndarray::Array2::from_elem((8, 8), 1.5_f32))?;
//!
//! let view = View::new(&store.snapshot()?.grid("height")?, &ViewOptions::default())?;
//! assert!(view.get("zarr.json")?.is_some());
//! assert!(view.get("0/height/c/1/1")?.is_some(), "the fourth chunk of level 0");
//! assert!(view.get("1/height/c/0/0")?.is_some(), "all of level 1");
//! assert!(view.get("0/height/c/2/0")?.is_none(), "beyond the array");
//! # Ok(())
//! # }
//! ```

mod blosc;
mod chunk;
mod coordinates;
mod export;
#[cfg(any(test, feature = "testing"))]
mod fuzz;
mod key;
mod layout;
mod metadata;
mod place;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::codec::Digest;
use crate::error::Result;
use crate::grid::Window;
use crate::reader::Layer;
use crate::store::Grid;

pub use export::{Exported, export};
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub use fuzz::fuzz_zarr;

use key::Key;
use layout::Layout;

/// The version of Zarr's metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// `zarr.json`, and chunks at `c/0/0`.
    #[default]
    V3,
    /// `.zgroup`, `.zattrs`, `.zarray` and `.zmetadata`, and chunks at `0/0`: for readers that know
    /// no v3, such as GDAL before 3.12.
    V2,
}

/// What a [`View`] shows of a grid: by default all of its first aggregator's layer, or of its base
/// if it has no aggregator, as Zarr v3.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ViewOptions {
    /// The layer.
    pub layer: Option<Layer>,
    /// The cells, at the levels that are the finest of the view; `None` for all that was put at the
    /// finest base levels.
    pub window: Option<Window>,
    /// The version of the metadata.
    pub format: Format,
}

/// A grid as a Zarr hierarchy. It can be shared between threads.
#[derive(Debug)]
pub struct View {
    grid: Grid,
    format: Format,
    layout: Layout,
    /// The metadata, by key.
    documents: BTreeMap<String, Vec<u8>>,
}

impl View {
    /// A view of a grid, which should be one of a [snapshot](crate::StoreSnapshot): else chunks are
    /// those of the moment at which each is asked for.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if the grid is empty, or has no data in the box, or
    /// no such layer or level; those of [`Grid::read`].
    pub fn new(grid: &Grid, options: &ViewOptions) -> Result<Self> {
        let layout = Layout::new(grid, options)?;
        let documents = metadata::documents(grid, &layout, options.format);
        Ok(Self {
            grid: grid.clone(),
            format: options.format,
            layout,
            documents,
        })
    }

    /// The grid that it shows.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// The layer that it shows.
    pub fn layer(&self) -> &Layer {
        &self.layout.layer
    }

    /// How many levels it has.
    pub fn levels(&self) -> usize {
        self.layout.levels.len()
    }

    /// What stands at a key, as `0/height/c/3/1`, without a slash in front; `None` if there is
    /// nothing. A chunk without data is not there: readers take the fill value for its cells.
    ///
    /// # Errors
    ///
    /// Those of [`Grid::read`] with [`Freshness::Fresh`](crate::Freshness::Fresh).
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        if let Some(document) = self.documents.get(key) {
            return Ok(Some(document.clone()));
        }
        match Key::parse(key, &self.layout, self.format) {
            None => Ok(None),
            Some(Key::Cells { level, index }) => {
                chunk::cells(&self.grid, &self.layout, level, &index)
            }
            Some(Key::Valid { level, index }) => {
                chunk::valid(&self.grid, &self.layout, level, &index)
            }
            Some(Key::Coordinates { level, axis }) => {
                Ok(Some(self.layout.coordinates(level, axis).bytes()))
            }
            Some(Key::Bounds { level, axis }) => Ok(Some(self.layout.bounds(level, axis).bytes())),
        }
    }

    /// What stands for the bytes at a key, as an ETag: 32 hexadecimal digits in quotes. While it is
    /// the same, so are they, in views of later snapshots too. `None` where no key leads. No chunk
    /// is read.
    ///
    /// # Errors
    ///
    /// Those of [`Grid::version`].
    pub fn version(&self, key: &str) -> Result<Option<String>> {
        let mut digest = Digest::default();
        digest.bytes(key.as_bytes());
        if let Some(document) = self.documents.get(key) {
            digest.bytes(document);
        } else {
            match Key::parse(key, &self.layout, self.format) {
                None => return Ok(None),
                Some(Key::Cells { level, index } | Key::Valid { level, index }) => {
                    let chunk = self.layout.chunk(level, &index);
                    let version = self.grid.version(&self.layout.query(&chunk))?;
                    digest.bytes(version.to_string().as_bytes());
                    self.layout.digest(&chunk, &mut digest);
                }
                Some(Key::Coordinates { .. } | Key::Bounds { .. }) => {
                    digest.bytes(&self.get(key)?.unwrap_or_default());
                }
            }
        }
        Ok(Some(format!("\"{:032x}\"", digest.finish())))
    }

    /// Every key at which something may stand, metadata behind what it is about and the root's last.
    /// Chunks are those under which there are base chunks; of these some may yet be without data.
    ///
    /// # Errors
    ///
    /// Those of [`Grid::base_chunks`].
    pub fn keys(&self) -> Result<Vec<String>> {
        let mut keys = key::chunks(&self.grid, &self.layout, self.format)?;
        keys.extend(key::coordinates(&self.layout, self.format));
        let mut documents: Vec<&String> = self.documents.keys().collect();
        documents.sort_by_key(|key| std::cmp::Reverse(key.matches('/').count()));
        keys.extend(documents.into_iter().cloned());
        Ok(keys)
    }

    /// The keys right below a folder, and its folders, which end with a slash: what a listing of it
    /// shows. `""` is the root. Chunks are not listed. `None` if there is no such folder.
    pub fn folder(&self, path: &str) -> Option<Vec<String>> {
        let prefix = match path.trim_end_matches('/') {
            "" => String::new(),
            path => format!("{path}/"),
        };
        let mut found: Vec<String> = self
            .documents
            .keys()
            .filter_map(|key| key.strip_prefix(prefix.as_str()))
            .map(|rest| match rest.split_once('/') {
                Some((folder, _)) => format!("{folder}/"),
                None => rest.to_owned(),
            })
            .collect();
        found.dedup();
        found.sort();
        found.dedup();
        (!found.is_empty()).then_some(found)
    }
}
