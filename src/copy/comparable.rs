//! Whether two grids have the same cells.

use super::Excerpt;
use super::excerpt::ExcerptRecord;
use crate::error::{Error, Result};
use crate::grid::{Axis, Dimension, DimensionKind, Level, Levels, Schema};
use crate::store::{Grid, State};

/// Refuses a source whose cells are others than the target's.
pub(super) fn check(target: &Grid, source: &Grid, excerpt: &Excerpt) -> Result<()> {
    if target.store().is(source.store()) && target.id() == source.id() {
        return Err(target.blame(Error::invalid("it cannot be updated from itself")));
    }
    match difference(target.schema(), &excerpt.schema(source)?) {
        None => Ok(()),
        Some(what) => Err(refused(target, source, &what)),
    }
}

fn refused(target: &Grid, source: &Grid, what: &str) -> Error {
    target.blame(Error::invalid(format!(
        "it cannot be updated from grid `{}`: {what}",
        source.name()
    )))
}

/// What differs beside chunks and aggregates, in one sentence.
fn difference(here: &Schema, there: &Schema) -> Option<String> {
    if here.dtype() != there.dtype() {
        return Some(format!(
            "its cells are {}, the source's are {}",
            here.dtype(),
            there.dtype()
        ));
    }
    if here.nodata().map(f64::to_bits) != there.nodata().map(f64::to_bits) {
        let shown =
            |nodata: Option<f64>| nodata.map_or("none".to_owned(), |nodata| nodata.to_string());
        return Some(format!(
            "its nodata value is {}, the source's is {}",
            shown(here.nodata()),
            shown(there.nodata())
        ));
    }
    if here.unit() != there.unit() {
        let shown = |unit: Option<&str>| unit.unwrap_or("none").to_owned();
        return Some(format!(
            "its unit is {}, the source's is {}",
            shown(here.unit()),
            shown(there.unit())
        ));
    }
    let (here, there) = (here.structure(), there.structure());
    if here.crs() != there.crs() {
        return Some("its coordinate reference system is another".to_owned());
    }
    let names = |dimensions: &[Dimension]| {
        dimensions
            .iter()
            .map(|d| d.name().to_owned())
            .collect::<Vec<_>>()
    };
    let (names_here, names_there) = (names(here.dimensions()), names(there.dimensions()));
    if names_here != names_there {
        return Some(format!(
            "its dimensions are {}, the source's are {}",
            names_here.join(", "),
            names_there.join(", ")
        ));
    }
    let pairs = here.dimensions().iter().zip(there.dimensions());
    pairs.into_iter().find_map(|(a, b)| {
        of_dimension(a, b).map(|what| format!("dimension `{}`: {what}", a.name()))
    })
}

fn of_dimension(here: &Dimension, there: &Dimension) -> Option<String> {
    let kind = |dimension: &Dimension| match dimension.kind() {
        DimensionKind::Regular {
            refinable: true, ..
        } => "regular and refinable",
        DimensionKind::Regular {
            refinable: false, ..
        } => "regular and not refinable",
        DimensionKind::Fixed { .. } => "of labels",
        DimensionKind::Irregular { .. } => "irregular",
    };
    if kind(here) != kind(there) {
        return Some(format!(
            "it is {}, the source's is {}",
            kind(here),
            kind(there)
        ));
    }
    if here.labels() != there.labels() {
        return Some("its labels are others than the source's".to_owned());
    }
    let names = |dimension: &Dimension| {
        dimension
            .axes()
            .iter()
            .map(|axis| axis.name().to_owned())
            .collect::<Vec<_>>()
    };
    if names(here) != names(there) {
        return Some(format!(
            "its axes are {}, the source's are {}",
            names(here).join(", "),
            names(there).join(", ")
        ));
    }
    here.axes()
        .iter()
        .zip(there.axes())
        .find_map(|(a, b)| of_axis(a, b).map(|what| format!("axis `{}` {what}", a.name())))
}

fn of_axis(here: &Axis, there: &Axis) -> Option<String> {
    if here.origin().to_bits() != there.origin().to_bits() {
        return Some(format!(
            "begins at {}, the source's at {}",
            here.origin(),
            there.origin()
        ));
    }
    if here.step().to_bits() != there.step().to_bits() {
        return Some(format!(
            "has cells of {}, the source's of {}",
            here.step(),
            there.step()
        ));
    }
    let unit = |axis: &Axis| axis.unit_name().unwrap_or("nothing").to_owned();
    (here.unit_name() != there.unit_name())
        .then(|| format!("counts {}, the source's {}", unit(here), unit(there)))
}

/// Refuses base data at levels at which chunks of different lengths have cells that begin
/// elsewhere.
pub(super) fn check_levels(target: &Grid, source: &Grid, states: [&State; 2]) -> Result<()> {
    for levels in states
        .into_iter()
        .filter_map(|state| state.base)
        .flat_map(|base| base.levels())
    {
        let pairs = target
            .structure()
            .dimensions()
            .iter()
            .zip(source.structure().dimensions());
        for ((here, there), level) in pairs
            .zip(levels.iter())
            .filter(|((here, _), _)| !here.is_fixed() && !here.is_irregular())
        {
            let up = u32::try_from(level.get()).unwrap_or(0);
            let phase = |dimension: &Dimension, axis| {
                dimension.zero(axis, Level::ZERO) & ((1_i128 << up) - 1)
            };
            if let Some(axis) =
                (0..here.axes().len()).find(|&axis| phase(here, axis) != phase(there, axis))
            {
                let what = format!(
                    "there is base data at level {level} of dimension `{}`, at which chunks of {} and of {} cells along axis `{}` have other cells",
                    here.name(),
                    here.axes()[axis].chunk(),
                    there.axes()[axis].chunk(),
                    here.axes()[axis].name()
                );
                return Err(refused(target, source, &what));
            }
        }
    }
    Ok(())
}

/// Refuses cells of a layer over data at other levels.
pub(super) fn check_held(
    target: &Grid,
    source: &Grid,
    (excerpt, to): (&Excerpt, &State),
) -> Result<()> {
    let (Some((_, levels)), Some(base)) = (excerpt.of_layer(), to.base) else {
        return Ok(());
    };
    if base.levels().all(|held| held == *levels) {
        return Ok(());
    }
    let held: Vec<Levels> = base.levels().collect();
    let what = format!(
        "it holds data at levels {held:?}, not at {levels:?}; copy to a grid of another name, or drop this one first"
    );
    Err(refused(target, source, &what))
}

/// Refuses cells of a layer in place of those of another, or of the base.
pub(super) fn check_excerpts(
    target: &Grid,
    (held, asked): (&ExcerptRecord, &ExcerptRecord),
    to: &State,
) -> Result<()> {
    if to.base.is_none() || held.has_cells_of(asked) {
        return Ok(());
    }
    Err(target.blame(Error::invalid(
        "it is a copy of another layer, or of other levels; copy to a grid of another name, or drop this one first",
    )))
}

/// The levels of base data in the dimensions that have one.
pub(super) fn settled(grid: &Grid, state: &State) -> Option<Levels> {
    let cells = state.base?.cells();
    Some(
        grid.structure()
            .refinable()
            .map_or(cells, |d| cells.with(d, Level::ZERO)),
    )
}
