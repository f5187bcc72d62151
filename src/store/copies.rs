//! The verb of a grid that makes it equal to another.

use super::Grid;
use crate::copy::{self, Updated};
use crate::error::Result;

impl Grid {
    /// Makes this grid equal to another that has the same cells in chunks of another shape, in this store or another one, durably:
    /// one layout that is read fast as maps beside one that is read fast as series.
    ///
    /// The first time all of the source is copied; from then on what changed, by its [feed](Self::changes_since), and
    /// nothing where nothing did. Each cell then reads as it does in the source, value and nodata, at each level of base data, and
    /// what the source does not hold is gone here. Where a chunk of this grid takes in source data of several levels, the
    /// coarser cells are repeated at the finest of these; otherwise data stands at the source's own levels. An event of an
    /// irregular dimension is one in all of a chunk's place, so in larger chunks it is one in more cells, which hold no data then.
    ///
    /// Structure, cell type and nodata value must be the same but for chunk shapes, an irregular dimension's capacity and spacing,
    /// and depths; aggregators and codec are this grid's own. Its aggregates follow as after a [`put`](Self::put): in the same
    /// commits, in the background, or by [`aggregate`](Self::aggregate), as the store's policy has it.
    ///
    /// The work is done in parts of at most 64 MiB of cells, or one chunk, each a commit; a read of this grid meanwhile finds some of
    /// them done. The source is read as one moment left it, and may be written to meanwhile: what is under way
    /// then, and what comes after, is left to the next update. After an
    /// error or a crash the next update goes on. What others put into this grid stays until the source changes in the same
    /// place.
    ///
    /// ```
    /// # use gridstone::{Axis, DType, Dimension, Query, Schema, Store, Structure, Window};
    /// # use ndarray::Array3;
    /// # fn main() -> gridstone::Result<()> {
    /// # let hours = Dimension::regular("time", [Axis::new("time", 0.0, 1.0, 2).unit("hours since 2020-01-01")]);
    /// # let space = Dimension::regular("space", [Axis::new("y", 0.0, -1.0, 64), Axis::new("x", 0.0, 1.0, 64)]);
    /// # let schema = Schema::builder(Structure::builder().dimension(hours).dimension(space).build()?, DType::F32).build()?;
    /// # let store = Store::in_memory()?;
    /// let maps = store.create("rain", schema)?; // chunks of 2 steps x 64 rows x 64 columns
    /// let series = store.create("rain_series", maps.schema().rechunked([64, 2, 2])?)?;
    /// maps.put(&Window::new([0, 0, 0], [8, 64, 64]), &Array3::<f32>::ones((8, 64, 64)))?;
    /// assert!(series.update_from(&maps)?.full);
    /// maps.put(&Window::new([8, 0, 0], [1, 64, 64]), &Array3::<f32>::zeros((1, 64, 64)))?;
    /// let updated = series.update_from(&maps)?;
    /// assert_eq!((updated.full, updated.changes, updated.cells), (false, 1, 64 * 64));
    /// assert_eq!(series.read(&Query::all())?.array, maps.read(&Query::all())?.array);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if the two do not have the same cells, the error says where they differ: base data at a level
    /// above the logarithm of a chunk's length is among it, where that length is another. [`Conflict`](crate::ErrorKind::Conflict)
    /// if another update of this grid began meanwhile, which then does the rest.
    pub fn update_from(&self, source: &Grid) -> Result<Updated> {
        copy::update(self, source)
    }
}
