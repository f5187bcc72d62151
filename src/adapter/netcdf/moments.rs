//! Times that stand beside files, not in them: the dimension that they make, and the place of one.

use super::schema::Like;
use super::time::FileTimes;
use crate::calendar::{Tick, TimeUnit, Timestamp};
use crate::error::{Error, Result};
use crate::grid::{Dimension, Structure};

/// The dimension `time` that some times make, as those of a NetCDF file would: regular where they
/// lie on steps, else irregular, unless [`Like::irregular`] says which. Its chunks have
/// [`Like::time_chunk`] steps or events, and steps are [`Like::time_step`] long if that is given.
///
/// # Errors
///
/// [`Invalid`](crate::ErrorKind::Invalid) if no such dimension has the times, and why: there are
/// none, or they lie on no steps.
pub fn dimension_of(times: Vec<Timestamp>, like: &Like) -> Result<Dimension> {
    if times.is_empty() {
        return Err(Error::invalid(
            "there are no times, so no dimension of them; give one at least",
        ));
    }
    let times = times_of(times)?;
    let irregular = like
        .irregular
        .unwrap_or(like.time_step.is_none() && times.are_irregular());
    if irregular {
        return times.events(like.time_chunk, like.time_step);
    }
    Ok(Dimension::regular(
        "time",
        [times.axis(like.time_chunk, like.time_step)?],
    ))
}

/// The cell at level 0 of a time along an axis of times of a grid, by the axis's number among all
/// axes; its tick along an irregular one.
///
/// # Errors
///
/// [`Invalid`](crate::ErrorKind::Invalid) if there is no such axis, if it has no times or those of
/// another calendar, or if the time lies on none of its steps or ticks.
pub fn cell_of(structure: &Structure, axis: usize, at: Timestamp) -> Result<i64> {
    let (times, number) = (times_of(vec![at])?, axis);
    let axis = structure
        .axes()
        .nth(number)
        .ok_or_else(|| Error::invalid("the grid has no axis of times"))?;
    let cells = if structure.irregular() == Some(structure.dimension_of(number)) {
        times.ticks(axis)?
    } else {
        times.places(axis)?
    };
    cells
        .first()
        .copied()
        .ok_or_else(|| Error::invalid("there is no time"))
}

fn times_of(times: Vec<Timestamp>) -> Result<FileTimes> {
    let epoch =
        Timestamp::from_nanoseconds(0).ok_or_else(|| Error::invalid("there is no 1970-01-01"))?;
    Ok(FileTimes {
        unit: TimeUnit::new(Tick::Day, epoch),
        times,
        bounds: None,
        note: None,
    })
}
