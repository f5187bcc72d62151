//! Where along a vertical dimension cells are asked for: `z`.

use std::ops::Range;

use super::super::params::{Params, number, shortened};
use super::super::reply::Problem;
use super::super::slice::{Plane, floor};
use crate::Grid;
use crate::grid::{Levels, Structure, Window};

/// Names of vertical dimensions, by which one is known among others.
const NAMES: [&str; 10] = [
    "z",
    "height",
    "altitude",
    "elevation",
    "depth",
    "level",
    "lev",
    "plev",
    "pressure",
    "isobaricInhPa",
];

/// The axis that `z` is along: the only one that is no row, column, time or band, or the only one of
/// these that has the name of such a dimension.
pub(super) fn axis(structure: &Structure, plane: Plane<'_>) -> Option<usize> {
    let band = plane.band(structure);
    // Where nothing is a time, the axis beside rows and columns stands in the place of times.
    let instead = plane
        .along
        .filter(|along| !along.is_time() && !along.irregular);
    let others = plane.others(structure).into_iter();
    let others: Vec<usize> = others
        .chain(instead.map(|along| along.number))
        .filter(|axis| Some(*axis) != band)
        .collect();
    let is_named = |axis: &&usize| {
        let name = structure.axes().nth(**axis).map_or("", crate::Axis::name);
        NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
    };
    let mut named = others.iter().filter(is_named);
    match (others.as_slice(), named.next(), named.next()) {
        ([only], ..) => Some(*only),
        (_, Some(named), None) => Some(*named),
        _ => None,
    }
}

/// The cells along it that `z` means: that in which a number lies or that has a label, or those from
/// a number to another.
pub(super) fn cells(
    grid: &Grid,
    plane: Plane<'_>,
    params: &Params,
    (bounds, levels): (&Window, Levels),
) -> Result<Option<(usize, Range<i64>)>, Problem> {
    let Some(text) = params.get("z") else {
        return Ok(None);
    };
    let structure = grid.structure();
    let axis = axis(structure, plane).ok_or_else(|| {
        Problem::parameter(
            "z",
            format!(
                "grid `{}` has no vertical dimension, or several beside rows, columns, times and bands; say `at.NAME`",
                grid.name()
            ),
        )
    })?;
    let d = structure.dimension_of(axis);
    let dimension = &structure.dimensions()[d];
    if params.get(&format!("at.{}", dimension.name())).is_some() {
        let why = format!("`at.{}` is given too; give one of them", dimension.name());
        return Err(Problem::parameter("z", why));
    }
    let ends = match text.split_once('/') {
        Some((from, to)) => [number("z", from)?, number("z", to)?],
        None => match dimension.labels().and_then(|labels| {
            let found = labels.iter().position(|label| label == text)?;
            i64::try_from(found).ok()
        }) {
            Some(label) => return Ok(Some((axis, label..label + 1))),
            None => [number("z", text)?; 2],
        },
    };
    let (low, high) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
    let found = match dimension.labels() {
        Some(labels) => labelled(labels, low, high)?,
        None => {
            let covered = structure.cover(bounds, levels);
            let at = |world: f64| floor(structure.position(axis, levels[d], world));
            let (first, last) = (at(low).min(at(high)), at(low).max(at(high)));
            let first = first.max(covered.start()[axis]);
            let end = last.saturating_add(1).min(covered.end()[axis]);
            (first < end).then_some(first..end)
        }
    };
    let found = found.ok_or_else(|| {
        let there = match dimension.labels() {
            Some(labels) => labels
                .iter()
                .take(64)
                .cloned()
                .collect::<Vec<_>>()
                .join(", "),
            None => {
                let (from, to) = structure.extent(bounds).bounds()[axis];
                format!("from {from} to {to}")
            }
        };
        Problem::not_found(format!(
            "there is nothing at z {}: dimension `{}` of grid `{}` has {there}",
            shortened(text),
            dimension.name(),
            grid.name(),
        ))
    })?;
    Ok(Some((axis, found)))
}

/// The labels that are numbers from one to another, if there are any. They must follow each other.
fn labelled(labels: &[String], low: f64, high: f64) -> Result<Option<Range<i64>>, Problem> {
    let within = |label: &String| label.parse::<f64>().is_ok_and(|of| low <= of && of <= high);
    let Some(first) = labels.iter().position(within) else {
        return Ok(None);
    };
    let len = labels[first..]
        .iter()
        .take_while(|label| within(label))
        .count();
    if labels.iter().filter(|label| within(label)).count() > len {
        let why = "others stand between the labels of this range; ask for one label at a time";
        return Err(Problem::parameter("z", why));
    }
    let first = 0_i64.saturating_add_unsigned(first as u64);
    Ok(Some(first..first.saturating_add_unsigned(len as u64)))
}
