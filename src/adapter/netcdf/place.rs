//! Where a variable lies in a grid.

use std::ops::Range;

use super::field::Field;
use super::schema::fitting;
use crate::adapter::axes::RasterAxes;
use crate::adapter::cells::widens;
use crate::error::{Error, Result};
use crate::grid::{Axis, Schema, Structure};

/// The place of a variable among the cells of a grid.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) axes: GridAxes,
    pub(super) steps: Steps,
    /// The first cell along the rows, columns and bands of the grid.
    pub(super) at: [i64; 3],
    /// Whether the file's rows and columns run against the grid's.
    pub(super) reversed: [bool; 2],
}

/// Where the steps of a file lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Steps {
    /// Among the cells of a regular axis.
    Runs(Vec<Run>),
    /// The tick of each along an irregular one.
    Events(Vec<i64>),
}

/// Steps of a file that follow each other in the grid too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Steps of the file.
    pub(super) steps: Range<u64>,
    /// The cell of the first.
    pub(super) cell: i64,
}

/// The axes of a grid, by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GridAxes {
    pub(super) time: Option<usize>,
    pub(super) band: Option<usize>,
    pub(super) y: usize,
    pub(super) x: usize,
}

impl Field {
    /// Whether a grid of a schema has a place for it. An [`Invalid`](crate::ErrorKind::Invalid) error says why not.
    pub fn check(&self, schema: &Schema) -> Result<()> {
        Place::of(self, schema).map(drop)
    }
}

impl Place {
    pub(super) fn of(field: &Field, schema: &Schema) -> Result<Self> {
        let structure = schema.structure();
        let axes = GridAxes::of(structure, field.times.is_some(), field.band.is_some())?;
        let (from, to) = (field.decoding.dtype, schema.dtype());
        if !widens(from, to) {
            return Err(Error::invalid(format!("the variable's values are {from}, and not all of them fit the grid's {to}")));
        }
        if field.decoding.has_gaps() && schema.needs_mask() {
            return Err(Error::invalid(format!(
                "the variable has missing values, and the grid's {to} cells have no nodata value"
            )));
        }
        if let (Some(of_file), Some(of_grid)) = (field.crs.as_deref(), structure.crs())
            && !of_file.trim().eq_ignore_ascii_case(of_grid.trim())
        {
            let short = |crs: &str| crs.chars().take(48).collect::<String>();
            return Err(Error::invalid(format!(
                "the file's coordinate reference system, {}, is not the grid's, {}",
                short(of_file),
                short(of_grid)
            )));
        }
        let axis =
            |number: usize| structure.axes().nth(number).ok_or_else(|| Error::invalid(format!("the grid has no axis {number}")));
        let ((y, upside), (x, mirrored)) = (field.y.place(axis(axes.y)?)?, field.x.place(axis(axes.x)?)?);
        let steps = match (&field.times, axes.time) {
            (Some(times), Some(time)) if structure.irregular() == Some(structure.dimension_of(time)) => {
                Steps::Events(once(axis(time)?, times.ticks(axis(time)?)?)?)
            }
            (Some(times), Some(time)) => Steps::Runs(runs(&once(axis(time)?, times.places(axis(time)?)?)?)),
            _ => Steps::Runs(vec![Run { steps: 0..1, cell: 0 }]),
        };
        let band = first_label(field, structure, axes)?;
        Ok(Self { axes, steps, at: [y, x, band], reversed: [upside, mirrored] })
    }
}

impl GridAxes {
    /// The axes of a grid that has the same dimensions as a variable.
    fn of(structure: &Structure, time: bool, band: bool) -> Result<Self> {
        let raster = RasterAxes::of(structure)?;
        let own = [Some(raster.y), Some(raster.x), raster.band];
        let mut others = (0..structure.rank()).filter(|axis| !own.contains(&Some(*axis)));
        let (along, more) = (others.next(), others.next());
        let name = |axis: usize| structure.axes().nth(axis).map_or("", Axis::name);
        let refused = |why: String| Err(Error::invalid(why));
        match (along, more, time) {
            (_, Some(more), _) => return refused(format!("a variable does not say where it lies along axis `{}`", name(more))),
            (None, _, true) => return refused("the variable has a time axis, and the grid has none".to_owned()),
            (Some(axis), _, false) => {
                return refused(format!("the variable does not say where it lies along axis `{}`", name(axis)));
            }
            _ => {}
        }
        if band && raster.band.is_none() {
            return refused("the variable has an axis of labels, and the grid has none".to_owned());
        }
        Ok(Self { time: along, band: raster.band, y: raster.y, x: raster.x })
    }
}

/// The number of a variable's first label among the grid's, which must follow each other in the same order.
fn first_label(field: &Field, structure: &Structure, axes: GridAxes) -> Result<i64> {
    let Some(axis) = axes.band else { return Ok(0) };
    let dimension = &structure.dimensions()[structure.dimension_of(axis)];
    let known = dimension.labels().unwrap_or_default();
    let refused = || {
        let shown: Vec<&str> = known.iter().take(20).map(String::as_str).collect();
        Error::invalid(format!(
            "the variable's labels are not some of the grid's along `{}`: {}",
            dimension.name(),
            shown.join(", ")
        ))
    };
    let Some(band) = &field.band else { return if known.len() == 1 { Ok(0) } else { Err(refused()) } };
    if fitting(&band.name) != dimension.name() {
        return Err(Error::invalid(format!(
            "the variable has labels along `{}`, the grid along `{}`",
            band.name,
            dimension.name()
        )));
    }
    let first = known.iter().position(|label| *label == band.labels[0]).ok_or_else(refused)?;
    if known.get(first..first + band.labels.len()) != Some(&band.labels[..]) {
        return Err(refused());
    }
    i64::try_from(first).map_err(|cause| refused().because(cause))
}

/// The places of a file's steps, each of which has one of its own.
fn once(axis: &Axis, places: Vec<i64>) -> Result<Vec<i64>> {
    let mut sorted = places.clone();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(_) => Err(Error::invalid(format!("the file has a time twice along `{}`", axis.name()))),
        None => Ok(places),
    }
}

/// Steps that follow each other in the file and in the grid, as one.
fn runs(cells: &[i64]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (step, cell) in (0_u64..).zip(cells) {
        match runs.last_mut() {
            Some(run) if run.cell.checked_add_unsigned(step - run.steps.start) == Some(*cell) => run.steps.end = step + 1,
            _ => runs.push(Run { steps: step..step + 1, cell: *cell }),
        }
    }
    runs
}
