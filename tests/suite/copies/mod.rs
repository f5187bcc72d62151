//! One grid updated from another in chunks of another shape.

mod crash;
mod excerpts;
pub mod model;
mod refused;

use gridstone::{Aggregation, Freshness, Grid, Layer, Level, Levels, Query, Window};
use std::collections::BTreeMap;

/// The cells of the world at the finest base levels of a grid, in a window of other levels: value
/// and whether there is data.
fn cells(grid: &Grid, window: &Window) -> BTreeMap<Vec<i64>, (u64, bool)> {
    let levels = grid.base_levels().unwrap().unwrap();
    let window = grid.structure().cover(window, levels);
    let base = grid
        .read(&Query::window(window).layer(Layer::Base))
        .unwrap()
        .array;
    let count = Query::window(window)
        .layer(Layer::Aggregate(Aggregation::Count))
        .freshness(Freshness::Fresh);
    let count = grid.read(&count).unwrap().array;
    let indices = crate::oracle::indices(&window.shape());
    let bits = |value: f64| {
        if value.is_nan() {
            u64::MAX
        } else {
            value.to_bits()
        }
    };
    let place = |index: Vec<i64>| {
        index
            .iter()
            .zip(window.start().iter())
            .map(|(index, start)| index + start)
            .collect()
    };
    indices
        .zip(base.iter_f64().zip(count.iter_f64()))
        .map(|(index, (value, n))| (place(index), (bits(value), n > 0.0)))
        .collect()
}

/// Whether every cell of two grids reads the same, whichever is the finer one, and both count the
/// same box as put.
pub fn compare(source: &Grid, target: &Grid) -> Result<(), String> {
    let (Some(bounds), there) = (source.bounds().unwrap(), target.bounds().unwrap()) else {
        assert_eq!(target.bounds().unwrap(), None, "nothing was put");
        assert_eq!(target.stored_chunks().unwrap(), []);
        return Ok(());
    };
    let finest = |a: Levels, b: Levels| {
        a.iter()
            .zip(b.iter())
            .map(|(a, b)| *a.min(b))
            .collect::<Levels>()
    };
    let levels = [source, target].map(|grid| grid.base_levels().unwrap().unwrap());
    let fine = finest(levels[0], levels[1]);
    let wide = source.structure().cover(&bounds, levels[1]);
    if there != Some(wide) {
        return Err(format!("{bounds:?} was put, and {there:?} here"));
    }
    let window = source.structure().cover(&bounds, fine);
    let maps = [source, target].map(|grid| cells(grid, &window));
    let up = |of: usize, cell: &[i64]| {
        let one =
            Window::new(cell, gridstone::Shape::from(vec![1; cell.len()].as_slice())).at(fine);
        source.structure().cover(&one, levels[of]).start().to_vec()
    };
    for index in crate::oracle::indices(&window.shape()) {
        let cell: Vec<i64> = index
            .iter()
            .zip(window.start().iter())
            .map(|(index, start)| index + start)
            .collect();
        let [a, b] = [0, 1].map(|of| maps[of][&up(of, &cell)]);
        if a != b {
            return Err(format!(
                "cell {cell:?} at {fine:?} is {a:?}, and {b:?} here"
            ));
        }
    }
    Ok(())
}

/// The levels at which there are base chunks.
pub fn held(grid: &Grid) -> std::collections::BTreeSet<Vec<i8>> {
    grid.base_chunks()
        .unwrap()
        .iter()
        .map(|chunk| crate::check::numbers(&chunk.location.levels()))
        .collect()
}

pub fn level(level: i8) -> Level {
    Level::new(level).unwrap()
}
