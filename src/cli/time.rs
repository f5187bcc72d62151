//! Times on the command line: which axis has them, and how they are shown.

use super::args::Period;
use crate::{Axis, Structure, TimeUnit, Window};

/// The number of the time axis, and what its coordinates count.
pub(super) fn axis(structure: &Structure) -> Option<(usize, TimeUnit)> {
    structure.axes().enumerate().find_map(|(number, axis)| axis.time().map(|unit| (number, unit)))
}

/// A world coordinate for people: ISO 8601 along a time axis.
pub(super) fn shown(axis: &Axis, world: f64) -> String {
    axis.time().and_then(|unit| unit.instant(world)).map_or_else(|| world.to_string(), |at| at.to_string())
}

/// `y 0 to 5, time 2018-09-13T19:00:00Z to 2018-09-14T18:00:00Z`.
pub(super) fn ranges(structure: &Structure, bounds: &[(f64, f64)]) -> String {
    let range = |(axis, (lower, upper)): (&Axis, &(f64, f64))| {
        format!("{} {} to {}", axis.name(), shown(axis, *lower), shown(axis, *upper))
    };
    structure.axes().zip(bounds).map(range).collect::<Vec<_>>().join(", ")
}

/// A period in the time axis's coordinates.
pub(super) fn range(unit: TimeUnit, period: Period) -> (f64, f64) {
    (unit.value(period.from), unit.value(period.to))
}

/// The part of a window of base cells that lies in a period.
pub(super) fn within(structure: &Structure, bounds: &Window, period: Period) -> anyhow::Result<Window> {
    let Some((axis, unit)) = axis(structure) else { anyhow::bail!("the grid has no time axis for a --period") };
    let (from, to) = range(unit, period);
    let levels = bounds.levels(structure.dimensions().len());
    let mut sides = structure.extent(bounds).bounds().to_vec();
    let (lower, upper) = sides[axis];
    sides[axis] = (from.max(lower), to.min(upper));
    let show = |world: f64| structure.axes().nth(axis).map_or(String::new(), |axis| shown(axis, world));
    anyhow::ensure!(
        sides[axis].0 < sides[axis].1,
        "nothing was put in the period; there are steps from {} to {}",
        show(lower),
        show(upper)
    );
    let asked = structure.window(&crate::Extent::new(sides), levels)?;
    let (mut start, mut shape) = (bounds.start(), bounds.shape());
    (start[axis], shape[axis]) = (asked.start()[axis], asked.shape()[axis]);
    Ok(Window::new(start, shape).at(levels))
}
