//! Statistics of regions at each step of a dimension, of one region or of several polygons at once.

use gridstone::statistics::StatisticsSeries;
use gridstone::{Grid, Level, Polygon, Stat, StatisticsQuery, Steps};

use super::design::Design;
use super::figures::{BaseCell, Cut, base_cells, compare};
use super::model::Model;
use super::space::Span;
use crate::check::{Dice, numbers};

/// The figures of each step along a dimension with one base level, or of each event.
pub fn figures_in_steps(
    grid: &Grid,
    model: &Model,
    (design, (query, cut)): (&Design, &(StatisticsQuery, Cut)),
    dice: &mut Dice,
) -> Result<(), String> {
    let structure = model.schema.structure();
    let line = |d: &usize| {
        let dimension = &structure.dimensions()[*d];
        !dimension.is_fixed() && dimension.axes().len() == 1 && model.space.refinable != Some(*d)
    };
    let dimensions: Vec<usize> = match model.irregular() {
        Some(axis) => vec![model.space.lines[axis].dimension],
        None => (0..structure.dimensions().len()).filter(line).collect(),
    };
    if dimensions.is_empty() || grid.bounds().map_err(|e| e.to_string())?.is_none() {
        return Ok(());
    }
    let d = dice.pick(&dimensions);
    let (axis, name) = (structure.axes_of(d).start, structure.dimensions()[d].name());
    let blame = |what: String| format!("figures along {name} of {query:?}: {what}");
    let mut steps = Steps::all().along(name);
    if dice.chance(30) {
        steps = steps.points(usize::try_from(dice.range(1, 12)).unwrap());
    }
    let (cells, all) = (base_cells(grid, model)?, query.clone().stats(Stat::ALL));
    let series = grid
        .statistics_series(&all, &steps)
        .map_err(|e| blame(e.to_string()))?;
    series_is_right(&series, model, (&cells, cut), axis).map_err(blame)?;
    let regions: Vec<_> = (0..dice.range(1, 3))
        .filter_map(|_| design.polygon(dice))
        .collect();
    if regions.is_empty() || cut.region.is_some() || dice.chance(50) {
        return Ok(());
    }
    let polygons: Vec<Polygon> = regions
        .iter()
        .map(|region| region.polygon.clone())
        .collect();
    let zones = grid
        .statistics_series_of_each(&all, &polygons, &steps)
        .map_err(|e| blame(e.to_string()))?;
    if zones.each.len() != regions.len() {
        return Err(blame(format!(
            "{} polygons have {} series",
            regions.len(),
            zones.each.len()
        )));
    }
    for (region, series) in regions.into_iter().zip(&zones.each) {
        let told = format!("{:?}", region.polygon);
        let cut = Cut {
            region: Some(region),
            ..cut.clone()
        };
        series_is_right(series, model, (&cells, &cut), axis)
            .map_err(|e| blame(format!("of {told}: {e}")))?;
    }
    Ok(())
}

/// The ground cells of each step along its axis.
fn spans(series: &StatisticsSeries, model: &Model, axis: usize) -> Vec<Span> {
    if let Some(along) = &series.coordinates {
        return along
            .ticks
            .iter()
            .map(|tick| (*tick, tick.saturating_add_unsigned(along.width)))
            .collect();
    }
    let (structure, line) = (model.schema.structure(), &model.space.lines[axis]);
    let level = numbers(&series.levels)[line.dimension];
    #[expect(clippy::cast_possible_truncation, reason = "a whole number of cells")]
    let first = structure
        .position(axis, Level::new(level).unwrap(), series.edges[0])
        .round() as i64;
    (first..)
        .take(series.steps.len())
        .map(|cell| line.span(level, cell, cell + 1))
        .collect()
}

fn series_is_right(
    series: &StatisticsSeries,
    model: &Model,
    (cells, cut): (&[BaseCell], &Cut),
    axis: usize,
) -> Result<(), String> {
    let spans = if series.steps.is_empty() {
        Vec::new()
    } else {
        spans(series, model, axis)
    };
    if spans.len() != series.steps.len() {
        return Err(format!(
            "{} steps at {} places",
            series.steps.len(),
            spans.len()
        ));
    }
    let Some(takes) = cells
        .iter()
        .map(|cell| cut.takes(cell))
        .collect::<Option<Vec<bool>>>()
    else {
        return Ok(());
    };
    let cells: Vec<&BaseCell> = cells
        .iter()
        .zip(takes)
        .filter(|(_, takes)| *takes)
        .map(|(cell, _)| cell)
        .collect();
    let within = |cell: &BaseCell, (from, to): &Span| {
        let at = i128::from(cell.centre[axis]);
        2 * i128::from(*from) <= at && at < 2 * i128::from(*to)
    };
    for (span, got) in spans.iter().zip(&series.steps) {
        let own: Vec<&BaseCell> = cells
            .iter()
            .copied()
            .filter(|cell| within(cell, span))
            .collect();
        compare(got, model, &own).map_err(|e| format!("step {span:?}: {e}"))?;
    }
    let missed = cells
        .iter()
        .find(|cell| !spans.iter().any(|span| within(cell, span)));
    missed.map_or(Ok(()), |cell| {
        Err(format!(
            "no step is that of {:?} at {:?}",
            cell.value, cell.world
        ))
    })
}
