//! Times on the command line, for people.

pub(super) use gridstone::wire::{Along, Instant, Length, shown};

use super::terminal::count;
use gridstone::{Axis, Coordinates, Structure};

/// `y 0 to 5, time 2018-09-13T19:00:00Z to 2018-09-14T18:00:00Z`, without the irregular axis.
pub(super) fn ranges(structure: &Structure, bounds: &[(f64, f64)]) -> String {
    let irregular = structure
        .irregular()
        .map(|dimension| structure.axes_of(dimension).start);
    let regular = structure
        .axes()
        .zip(bounds)
        .enumerate()
        .filter(|(number, _)| Some(*number) != irregular);
    let range = |(_, (axis, (lower, upper))): (usize, (&Axis, &(f64, f64)))| {
        format!(
            "{} {} to {}",
            axis.name(),
            shown(axis, *lower),
            shown(axis, *upper)
        )
    };
    regular.map(range).collect::<Vec<_>>().join(", ")
}

/// `3 events from 2018-09-13T19:00:07Z to 2018-09-14T18:00:00Z`.
pub(super) fn coordinates(structure: &Structure, coordinates: &Coordinates) -> String {
    let what = if coordinates.width == 1 {
        "event"
    } else {
        "bin"
    };
    let length = if coordinates.width == 1 {
        String::new()
    } else {
        format!(" of {} ticks", coordinates.width)
    };
    let many = count(coordinates.ticks.len() as u64, what);
    match (
        structure.axes().nth(coordinates.axis),
        coordinates.ticks.first(),
        coordinates.ticks.last(),
    ) {
        (Some(axis), Some(first), Some(last)) if first == last => {
            format!("{many}{length} at {}", axis.shown(*first))
        }
        (Some(axis), Some(first), Some(last)) => format!(
            "{many}{length} from {} to {}",
            axis.shown(*first),
            axis.shown(*last)
        ),
        _ => format!("{many}{length}"),
    }
}
