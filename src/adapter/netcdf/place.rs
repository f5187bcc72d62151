//! Where a variable lies in a grid.

use std::collections::HashSet;
use std::ops::Range;

use super::field::Field;
use super::labels::{self, LabelRun};
use super::remedy;
use super::space::EvenCells;
use super::time::twice_on_steps;
use crate::adapter::axes::RasterAxes;
use crate::adapter::cells::widens;
use crate::adapter::round::{self, ColumnRuns};
use crate::adapter::unit::Conversion;
use crate::calendar::Timestamp;
use crate::crs;
use crate::error::{Error, Result};
use crate::grid::longitude::is_degrees_east;
use crate::grid::{Axis, Level, Schema, Structure};

/// The place of a variable among the cells of a grid.
#[derive(Debug)]
pub(super) struct VariablePlace {
    pub(super) axes: GridAxes,
    pub(super) steps: FileSteps,
    /// The first cell along the rows of the grid.
    pub(super) y: i64,
    /// Where the labels lie.
    pub(super) bands: Vec<LabelRun>,
    /// Where the columns lie, in the grid's direction.
    pub(super) columns: Vec<ColumnRuns>,
    /// How values become those of the grid's unit.
    pub(super) conversion: Conversion,
    /// A time that several steps have, where they are events.
    pub(super) twice: Option<Timestamp>,
    /// Whether the file's rows and columns run against the grid's.
    pub(super) reversed: [bool; 2],
}

/// Where the steps of a file lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FileSteps {
    /// Among the cells of a regular axis.
    Runs(Vec<FileRun>),
    /// The tick of each along an irregular one.
    Events(Vec<i64>),
}

/// Steps of a file that follow each other in the grid too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileRun {
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
    /// Whether a grid of a schema has a place for it. An [`Invalid`](crate::ErrorKind::Invalid)
    /// error says why not.
    pub fn check(&self, schema: &Schema) -> Result<()> {
        VariablePlace::of(self, schema, || Ok(None)).map(drop)
    }
}

impl VariablePlace {
    /// The place in a grid whose columns reach from and to the cells that `taken` says, if it is
    /// asked.
    pub(super) fn of(
        field: &Field,
        schema: &Schema,
        taken: impl FnOnce() -> Result<Option<Range<i64>>>,
    ) -> Result<Self> {
        let structure = schema.structure();
        let conversion = field.identified(schema)?;
        let axes = GridAxes::of(structure, field.times.is_some(), field.band.is_some())?;
        let (from, to) = (field.decoding.dtype, schema.dtype());
        if !widens(from, to) {
            return Err(Error::invalid(format!(
                "the variable's values are {from}, and not all of them fit the grid's {to}; make a grid for them with `gridstone create STORE NAME --like FILE`"
            )));
        }
        field.check_crs(structure)?;
        let axis = |number: usize| {
            structure
                .axes()
                .nth(number)
                .ok_or_else(|| Error::invalid(format!("the grid has no axis {number}")))
        };
        // Where both say a system, that says the unit.
        let is_told = field.crs.is_some() && structure.crs().is_some();
        let place = |cells: &EvenCells, axis: &Axis| {
            if is_told {
                return cells.place(axis);
            }
            cells.in_unit_of(axis)?.place(axis)
        };
        let (y, upside) = place(&field.y, axis(axes.y)?)?;
        let (x, mirrored) = place(&field.x, axis(axes.x)?)?;
        let circle =
            round::circle_of(structure, axes.x, Level::ZERO).filter(|_| field.counts_longitudes());
        let once = |circle: i64| {
            let last = usize::try_from(circle - 1).unwrap_or(0);
            format!(
                "ncks {} FILE ONCE.nc",
                remedy::part(&field.columns, 0, last)
            )
        };
        let columns = round::laid(x, field.x.len, circle, taken, once)?;
        let (steps, twice) = match (&field.times, axes.time) {
            (Some(times), Some(time))
                if structure.irregular() == Some(structure.dimension_of(time)) =>
            {
                let ticks = times.ticks(axis(time)?)?;
                let twice = twice(&ticks).map(|step| times.times[step]);
                (FileSteps::Events(ticks), twice)
            }
            (Some(times), Some(time)) => {
                let cells = times.places(axis(time)?)?;
                if let Some(step) = twice(&cells) {
                    return Err(Error::invalid(twice_on_steps(times.times[step])));
                }
                (FileSteps::Runs(runs(&cells)), None)
            }
            _ => (
                FileSteps::Runs(vec![FileRun {
                    steps: 0..1,
                    cell: 0,
                }]),
                None,
            ),
        };
        let bands = labels::runs(field, structure, axes.band)?;
        Ok(Self {
            axes,
            steps,
            y,
            bands,
            columns,
            conversion,
            twice,
            reversed: [upside, mirrored],
        })
    }
}

impl Field {
    /// Whether its columns are longitudes in degrees.
    fn counts_longitudes(&self) -> bool {
        self.x.unit.as_deref().is_some_and(is_degrees_east)
    }

    fn check_crs(&self, structure: &Structure) -> Result<()> {
        let (Some(of_file), Some(of_grid)) = (self.crs.as_deref(), structure.crs()) else {
            return Ok(());
        };
        if crs::same(of_file, of_grid) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the file's coordinate reference system, {}, is not the grid's, {}; make a grid for it with `gridstone create STORE NAME --like FILE`",
            crs::shown(of_file),
            crs::shown(of_grid)
        )))
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
        let another = "make a grid for it with `gridstone create STORE NAME --like FILE`";
        match (along, more, time) {
            (_, Some(more), _) => {
                return refused(format!(
                    "a variable does not say where it lies along axis `{}`; {another}",
                    name(more)
                ));
            }
            (None, _, true) => {
                return refused(format!(
                    "the variable has times, and the grid has none; {another}"
                ));
            }
            (Some(axis), _, false) => {
                return refused(format!(
                    "the variable does not say where it lies along axis `{0}`; give the file a time as with `{1}`",
                    name(axis),
                    remedy::computed(
                        &format!("{0}=0.0; {0}@units=\"hours since YYYY-MM-DD\"", name(axis)),
                        "WITH_TIME.nc"
                    )
                ));
            }
            _ => {}
        }
        if band && raster.band.is_none() {
            return refused(format!(
                "the variable has an axis of labels, and the grid has none; {another}"
            ));
        }
        Ok(Self {
            time: along,
            band: raster.band,
            y: raster.y,
            x: raster.x,
        })
    }
}

/// The first step that has the place of one before it.
fn twice(places: &[i64]) -> Option<usize> {
    let mut seen = HashSet::new();
    places.iter().position(|place| !seen.insert(*place))
}

/// Steps that follow each other in the file and in the grid, as one.
fn runs(cells: &[i64]) -> Vec<FileRun> {
    let mut runs: Vec<FileRun> = Vec::new();
    for (step, cell) in (0_u64..).zip(cells) {
        match runs.last_mut() {
            Some(run) if run.cell.checked_add_unsigned(step - run.steps.start) == Some(*cell) => {
                run.steps.end = step + 1
            }
            _ => runs.push(FileRun {
                steps: step..step + 1,
                cell: *cell,
            }),
        }
    }
    runs
}
