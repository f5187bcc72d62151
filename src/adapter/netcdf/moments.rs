//! Times that stand beside files, not in them: the dimension that they make, and the place of one.

use super::schema::Like;
use super::time::Times;
use crate::calendar::{Tick, TimeUnit, Timestamp};
use crate::error::{Error, Result};
use crate::grid::{Dimension, Structure};

/// The dimension `time` that some times make, as those of a NetCDF file would: regular where they lie on steps, else irregular.
pub fn dimension_of(times: Vec<Timestamp>, like: &Like) -> Result<Dimension> {
    let times = times_of(times)?;
    let irregular = like.irregular.unwrap_or(like.time_step.is_none() && times.are_irregular());
    if irregular {
        return times.events(like.time_chunk, like.time_step);
    }
    Ok(Dimension::regular("time", [times.axis(like.time_chunk, like.time_step)?]))
}

/// The cell of a time along the axis of times of a grid, or its tick along an irregular one.
pub fn cell_of(structure: &Structure, axis: usize, at: Timestamp) -> Result<i64> {
    let (times, number) = (times_of(vec![at])?, axis);
    let axis = structure.axes().nth(number).ok_or_else(|| Error::invalid("the grid has no axis of times"))?;
    let cells =
        if structure.irregular() == Some(structure.dimension_of(number)) { times.ticks(axis)? } else { times.places(axis)? };
    cells.first().copied().ok_or_else(|| Error::invalid("there is no time"))
}

fn times_of(times: Vec<Timestamp>) -> Result<Times> {
    let epoch = Timestamp::from_nanoseconds(0).ok_or_else(|| Error::invalid("there is no 1970-01-01"))?;
    Ok(Times { unit: TimeUnit::new(Tick::Day, epoch), times, bounds: None, note: None })
}
