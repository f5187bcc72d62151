//! Statistics of a grid, and what takes a polygon.

use super::{Polygon, Stat, Statistics, StatisticsQuery, StatisticsSeries, Zones};
use crate::error::Result;
use crate::reader::Steps;
use crate::store::Grid;
use crate::writer::Commit;

impl Grid {
    /// Statistics of a region: exact unless the query allows bounds, and up to date whatever marks
    /// are pending.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if the region does not fit the grid's axes, or there
    /// are more classes than an answer lists. A grid without data has a count of 0.
    pub fn statistics(&self, query: &StatisticsQuery) -> Result<Statistics> {
        super::statistics(self, query)
    }

    /// Statistics of a region at each step of a dimension: the mean over a catchment hour by hour,
    /// from one chunk for all the hours that it holds. Exact, and up to date whatever marks are
    /// pending.
    ///
    /// ```
    /// # use gridstone::{Axis, DType, Dimension, Polygon, Schema, Stat, StatisticsQuery, Steps, Store, Structure, Window};
    /// # fn main() -> gridstone::Result<()> {
    /// # let time = Dimension::regular("time", [Axis::new("time", 0.0, 1.0, 16)]);
    /// # let space = Dimension::regular("space", [Axis::new("y", 0.0, -1.0, 16), Axis::new("x", 0.0, 1.0, 16)]);
    /// # let structure = Structure::builder().dimension(time).dimension(space).build()?;
    /// # let rain = Store::in_memory()?.create("rain", Schema::builder(structure, DType::F32).build()?)?;
    /// # let hours = ndarray::Array3::from_shape_fn((24, 8, 8), |(hour, _, _)| hour as f32);
    /// # rain.put(&Window::new([0, 0, 0], [24, 8, 8]), &hours)?;
    /// let catchment = Polygon::new(["x", "y"], [vec![vec![[1.0, -1.0], [6.0, -2.0], [3.0, -7.0]]]])?;
    /// let query = StatisticsQuery::all().polygon(catchment).stats([Stat::Mean]);
    /// let series = rain.statistics_series(&query, &Steps::all().range(6.0, 12.0))?;
    /// let means: Vec<f64> = series.steps.iter().filter_map(|step| step.mean).map(|mean| mean.value).collect();
    /// assert_eq!(means, [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn statistics_series(
        &self,
        query: &StatisticsQuery,
        steps: &Steps,
    ) -> Result<StatisticsSeries> {
        super::statistics_series(self, query, steps)
    }

    /// The statistics that the grid's layers serve: of any others all base chunks of a region are
    /// read.
    pub fn statistics_served(&self) -> Vec<Stat> {
        super::plan::served(self)
    }

    /// What is asked for without a word: the figures that everybody looks for first (count, mean,
    /// min, max), and those that cost no more beside them.
    pub fn statistics_expected(&self) -> Vec<Stat> {
        let served = self.statistics_served();
        let first = [Stat::Count, Stat::Mean, Stat::Min, Stat::Max];
        if first.iter().all(|stat| served.contains(stat)) {
            served
        } else {
            Stat::ALL.to_vec()
        }
    }

    /// The [statistics](Self::statistics) of each of several polygons, as catchments or districts
    /// are, in one pass: each in place of the query's own, which may overlap. A chunk is read once,
    /// however many of them it lies in.
    ///
    /// ```
    /// # use gridstone::{Axis, DType, Dimension, Polygon, Schema, Stat, StatisticsQuery, Store, Structure, Window};
    /// # fn main() -> gridstone::Result<()> {
    /// # let space = Dimension::regular("space", [Axis::new("y", 0.0, -1.0, 16), Axis::new("x", 0.0, 1.0, 16)]);
    /// # let structure = Structure::builder().dimension(space).build()?;
    /// # let dem = Store::in_memory()?.create("dem", Schema::builder(structure, DType::F32).build()?)?;
    /// # dem.put(&Window::new([0, 0], [8, 8]), &ndarray::Array2::from_shape_fn((8, 8), |(_, x)| x as f32))?;
    /// let halves = [(0.0, 4.0), (4.0, 8.0)].map(|x| Polygon::rectangle(["x", "y"], [x, (-8.0, 0.0)]));
    /// let halves = halves.into_iter().collect::<gridstone::Result<Vec<_>>>()?;
    /// let zones = dem.statistics_of_each(&StatisticsQuery::all().stats([Stat::Mean]), &halves)?;
    /// let means: Vec<f64> = zones.each.iter().filter_map(|zone| zone.mean).map(|mean| mean.value).collect();
    /// assert_eq!((means, zones.chunks_read.total()), (vec![1.5, 5.5], 1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`statistics`](Self::statistics); and [`Invalid`](crate::ErrorKind::Invalid) where
    /// the query allows bounds.
    pub fn statistics_of_each(
        &self,
        query: &StatisticsQuery,
        polygons: &[Polygon],
    ) -> Result<Zones<Statistics>> {
        super::statistics_of_each(self, query, polygons)
    }

    /// The [statistics of each of several polygons](Self::statistics_of_each) at each step of a
    /// dimension, in one pass.
    ///
    /// # Errors
    ///
    /// Those of [`statistics_series`](Self::statistics_series).
    pub fn statistics_series_of_each(
        &self,
        query: &StatisticsQuery,
        polygons: &[Polygon],
        steps: &Steps,
    ) -> Result<Zones<StatisticsSeries>> {
        super::statistics_series_of_each(self, query, polygons, steps)
    }

    /// Removes all data in a polygon, durably and in one commit, like [`clear`](Self::clear): the
    /// base cells whose centres it holds, at whichever level they stand, and along all axes that
    /// are not the polygon's. Whole chunks are not read.
    ///
    /// # Errors
    ///
    /// Those of [`clear`](Self::clear), and [`NotFound`](crate::ErrorKind::NotFound) or
    /// [`Invalid`](crate::ErrorKind::Invalid) if the polygon's axes are not two of one dimension of
    /// the grid.
    pub fn clear_polygon(&self, polygon: &Polygon) -> Result<Commit> {
        self.writable()?;
        let windows = super::in_polygon::base_windows(self, self.present()?.as_ref(), polygon)?;
        let mut batch = self.store().batch();
        windows
            .iter()
            .try_for_each(|window| batch.clear(self, window))?;
        batch.commit()
    }
}
