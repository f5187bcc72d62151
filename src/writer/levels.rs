//! At which levels data may be put.

use crate::error::{Error, ErrorKind, Result};
use crate::grid::{Level, Window};
use crate::store::{Base, Grid};

/// Refuses a window at other levels than the base data, but for the refinable dimension. Events are
/// put (`puts`) at their ticks, and removed in bins of any level.
pub(crate) fn check_levels(
    grid: &Grid,
    base: Option<&Base>,
    window: &Window,
    puts: bool,
) -> Result<()> {
    let dimensions = grid.structure().dimensions();
    let levels = window.levels(dimensions.len());
    let irregular = grid.structure().irregular();
    if let Some(d) = irregular.filter(|&d| puts && levels[d] > Level::ZERO) {
        return Err(aggregated(
            grid,
            d,
            format!(
                "level {} at {:?}, over events, which are put at level 0",
                levels[d],
                window.start()
            ),
        ));
    }
    let Some(base) = base else { return Ok(()) };
    let uniform = dimensions
        .iter()
        .enumerate()
        .filter(|(d, _)| base.refinable() != Some(*d) && irregular != Some(*d));
    for (d, dimension) in uniform {
        let (name, at, settled) = (dimension.name(), window.start(), base.finest()[d]);
        if levels[d] > settled {
            return Err(aggregated(
                grid,
                d,
                format!(
                    "level {} at cell {at:?}, over base data at level {settled}",
                    levels[d]
                ),
            ));
        }
        if levels[d] < settled {
            return Err(Error::invalid(format!(
                "grid `{}`: its base data is at level {settled} of dimension `{name}`, which is not refinable; a put at level {} at cell {at:?} would be finer",
                grid.name(),
                levels[d]
            )));
        }
    }
    Ok(())
}

/// The error for a put over finer data.
pub(super) fn aggregated(grid: &Grid, dimension: usize, what: String) -> Error {
    let name = grid.structure().dimensions()[dimension].name();
    Error::new(
        ErrorKind::AggregatedLevel {
            dimension: name.to_owned(),
        },
        format!(
            "grid `{}`: trying to put data at an aggregated level for dimension `{name}`: {what}",
            grid.name()
        ),
    )
}
