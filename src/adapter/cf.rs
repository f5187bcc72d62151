//! What the CF conventions call the axes and layers of a grid, for formats that follow them.

use std::collections::BTreeMap;

use crate::crs;
use crate::grid::Structure;
use crate::kernel::Aggregation;

/// Which numbers the classes of `flag_meanings` have, or which bits.
pub(super) const FLAGS: [&str; 2] = ["flag_values", "flag_masks"];

/// The numbers of one of [`FLAGS`], which a grid keeps as a text.
pub(super) fn flags(attribute: &str, value: &str) -> Option<Vec<i128>> {
    let numbers = value.split(' ').map(|word| word.parse().ok());
    FLAGS
        .contains(&attribute)
        .then(|| numbers.collect())
        .flatten()
}

/// The attribute of a grid that names those which are coordinates of a single value.
pub(super) const SINGLES: &str = "coordinates";

/// What is kept of the coordinates of labels, or of a single value, beside their numbers.
pub(super) const MEASURES: [&str; 3] = ["units", "standard_name", "positive"];

/// The attribute of a grid that keeps one of [`MEASURES`].
pub(super) fn measure(coordinate: &str, what: &str) -> String {
    format!("{coordinate}_{what}")
}

/// What a grid's attributes keep of a coordinate, by the names of [`MEASURES`].
pub(super) fn measures(
    attributes: &BTreeMap<String, String>,
    coordinate: &str,
) -> Vec<(&'static str, String)> {
    let kept = |what: &&'static str| {
        let value = attributes.get(&measure(coordinate, what))?;
        Some((*what, value.clone()))
    };
    MEASURES.iter().filter_map(kept).collect()
}

/// The coordinate of which an attribute of a grid keeps one of [`MEASURES`].
pub(super) fn measured(attribute: &str) -> Option<&str> {
    let of = |what: &&str| attribute.strip_suffix(*what)?.strip_suffix('_');
    MEASURES.iter().find_map(of)
}

/// What the two axes of a plane are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlaneSide {
    Row,
    Column,
}

/// The attributes of the coordinates along an axis, which is a side of the plane or is not: its
/// standard name, letter, units and calendar, as far as they are known.
pub(super) fn axis_attributes(
    structure: &Structure,
    number: usize,
    side: Option<PlaneSide>,
) -> Vec<(&'static str, String)> {
    let Some(axis) = structure.axes().nth(number) else {
        return Vec::new();
    };
    let unit = axis.unit_name().map(str::to_owned);
    let (letter, name, known) = match (side, axis.time()) {
        (Some(side), _) => {
            let (name, unit) = of_side(structure.crs(), side);
            (
                Some(if side == PlaneSide::Row { "Y" } else { "X" }),
                name,
                unit,
            )
        }
        (None, Some(time)) => {
            return vec![
                ("standard_name", "time".to_owned()),
                ("axis", "T".to_owned()),
                ("units", format!("{} since {}", time.tick(), time.epoch())),
                ("calendar", time.calendar().name().to_owned()),
            ];
        }
        (None, None) => (None, None, None),
    };
    let texts = [("axis", letter), ("standard_name", name)];
    let texts = texts
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?.to_owned())));
    let unit = unit.or(known.map(str::to_owned));
    texts.chain(unit.map(|unit| ("units", unit))).collect()
}

/// The unit of rows or columns in a coordinate reference system, if that is known.
#[cfg(feature = "netcdf")]
pub(super) fn unit_of_side(system: Option<&str>, side: PlaneSide) -> Option<&'static str> {
    of_side(system, side).1
}

/// The standard name of rows or columns in a coordinate reference system, and their unit.
fn of_side(system: Option<&str>, side: PlaneSide) -> (Option<&'static str>, Option<&'static str>) {
    match (system.map(crs::is_geographic), side) {
        (Some(Some(true)), PlaneSide::Row) => (Some("latitude"), Some("degrees_north")),
        (Some(Some(true)), PlaneSide::Column) => (Some("longitude"), Some("degrees_east")),
        (Some(Some(false)), side) => {
            let projection = system
                .and_then(crs::definition)
                .and_then(|definition| definition.projection);
            let is_metre = projection.is_none_or(|of| of.unit.total_cmp(&1.0).is_eq());
            let name = match side {
                PlaneSide::Row => "projection_y_coordinate",
                PlaneSide::Column => "projection_x_coordinate",
            };
            (Some(name), is_metre.then_some("m"))
        }
        _ => (None, None),
    }
}

/// What the conventions call the way in which an aggregator makes cells of others.
pub(super) fn cell_method(aggregation: &Aggregation) -> Option<&'static str> {
    match aggregation {
        Aggregation::Mean => Some("mean"),
        Aggregation::Min => Some("minimum"),
        Aggregation::Max => Some("maximum"),
        Aggregation::Sum => Some("sum"),
        Aggregation::Variance => Some("variance"),
        Aggregation::Std => Some("standard_deviation"),
        Aggregation::Mode { .. } => Some("mode"),
        _ => None,
    }
}

/// Labels as numbers, if all of them are, in the one way in which each is written.
pub(super) fn numbers<'a>(labels: impl IntoIterator<Item = &'a String>) -> Option<Vec<f64>> {
    let number = |label: &String| {
        let number: f64 = label.parse().ok()?;
        (number.is_finite() && number.to_string() == *label).then_some(number)
    };
    labels.into_iter().map(number).collect()
}
