//! The coordinates of a selection's axes, as the CF conventions have them.

use super::classic::{ClassicValue, ClassicVariable, Contents, ValueKind};
use crate::adapter::axes::INDEX;
use crate::adapter::cf::{self, PlaneSide};
use crate::adapter::export::Selection;
use crate::array::{Cells, DType};
use crate::grid::Axis;

/// What the coordinates of a file are, for the variables that have them.
#[derive(Debug, Default)]
pub(super) struct FileCoordinates {
    /// The numbers of the dimensions of planes, then of rows and columns.
    pub(super) dimensions: Vec<usize>,
    /// The names of coordinates that are no coordinate variables.
    pub(super) beside: Vec<String>,
}

/// The dimension of the two ends of a cell.
const ENDS: &str = "bnds";

pub(super) fn text(name: &str, value: impl Into<String>) -> (String, ClassicValue) {
    (name.to_owned(), ClassicValue::Text(value.into()))
}

/// Adds dimensions and coordinates.
pub(super) fn put(contents: &mut Contents, of: &Selection) -> FileCoordinates {
    let structure = of.grid().structure();
    let mut coordinates = FileCoordinates::default();
    let plane = of.axes();
    for axis in of.order() {
        let Some(world) = structure.axes().nth(axis) else {
            continue;
        };
        let dimension = contents.dimension(world.name(), of.len(axis));
        coordinates.dimensions.push(dimension);
        if structure.dimensions()[structure.dimension_of(axis)].is_fixed() {
            labels(
                contents,
                of,
                (axis, world, dimension),
                &mut coordinates.beside,
            );
        } else if let Some(ticks) = of.ticks(axis) {
            events(contents, of, (axis, world, dimension), ticks);
        } else if world.unit_name() != Some(INDEX) {
            let sides = [(plane.y, PlaneSide::Row), (plane.x, PlaneSide::Column)];
            let side = sides.into_iter().find(|(number, _)| *number == axis);
            let side = side.map(|(_, side)| side);
            cells(contents, of, (axis, world, dimension), side);
        }
    }
    coordinates
}

type NumberedAxis<'a> = (usize, &'a Axis, usize);

/// The labels of a dimension: numbers where all are, else texts beside it.
fn labels(
    contents: &mut Contents,
    of: &Selection,
    (axis, world, dimension): NumberedAxis<'_>,
    beside: &mut Vec<String>,
) {
    let structure = of.grid().structure();
    let all = structure.dimensions()[structure.dimension_of(axis)]
        .labels()
        .unwrap_or_default();
    let start = usize::try_from(of.window().start()[axis]).unwrap_or(0);
    let labels: Vec<&String> = all.iter().skip(start).take(of.len(axis)).collect();
    if let Some(numbers) = cf::numbers(labels.iter().copied()) {
        let name = world.name();
        contents.variables.push(ClassicVariable {
            name: name.to_owned(),
            dimensions: vec![dimension],
            kind: ValueKind::Number(DType::F64),
            attributes: measures(of, name),
            values: Some(ClassicValue::Numbers(numbers.into())),
        });
        return;
    }
    let longest = labels.iter().map(|label| label.len()).max().unwrap_or(1);
    let name = format!("{}_name", world.name());
    let letters = contents.dimension(format!("{}_letters", world.name()), longest.max(1));
    let mut attributes = measures(of, world.name());
    attributes.push(text("long_name", format!("names along {}", world.name())));
    let padded = labels.iter().flat_map(|label| {
        let blank = std::iter::repeat_n('\0', longest.max(1) - label.len());
        label.chars().chain(blank)
    });
    contents.variables.push(ClassicVariable {
        name: name.clone(),
        dimensions: vec![dimension, letters],
        kind: ValueKind::Text,
        attributes,
        values: Some(ClassicValue::Text(padded.collect())),
    });
    beside.push(name);
}

/// What a grid keeps of the coordinates of labels, or of a single value, beside their numbers.
pub(super) fn measures(of: &Selection, coordinate: &str) -> Vec<(String, ClassicValue)> {
    let grid = of.grid();
    let measures = cf::measures(grid.schema().attributes(), coordinate);
    let texts = measures.into_iter();
    texts.map(|(name, value)| text(name, value)).collect()
}

/// What the conventions say of an axis, which is a side of the plane or is not.
fn said(of: &Selection, axis: usize, side: Option<PlaneSide>) -> Vec<(String, ClassicValue)> {
    cf::axis_attributes(of.grid().structure(), axis, side)
        .into_iter()
        .map(|(name, value)| text(name, value))
        .collect()
}

/// The ticks of events, or of the bins that hold them.
fn events(
    contents: &mut Contents,
    of: &Selection,
    (axis, world, dimension): NumberedAxis<'_>,
    ticks: &[i64],
) {
    let exact = |tick: &i64| tick.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS;
    let doubles = ticks.iter().all(exact);
    let numbers = |ticks: Vec<i64>| -> Cells {
        if doubles {
            let doubles: Vec<f64> = ticks.into_iter().map(|tick| tick as f64).collect();
            doubles.into()
        } else {
            ticks.into()
        }
    };
    let kind = if doubles { DType::F64 } else { DType::I64 };
    let mut attributes = said(of, axis, None);
    let level = of.levels()[of.grid().structure().dimension_of(axis)].get();
    let width = u32::try_from(level)
        .ok()
        .and_then(|level| 1_i64.checked_shl(level))
        .filter(|width| *width > 1);
    if let Some(width) = width {
        let ends = ticks
            .iter()
            .flat_map(|tick| [*tick, tick.saturating_add(width)])
            .collect();
        let name = bounds(contents, world, dimension, (kind, numbers(ends)));
        attributes.push(text("bounds", name));
    }
    contents.variables.push(ClassicVariable {
        name: world.name().to_owned(),
        dimensions: vec![dimension],
        kind: ValueKind::Number(kind),
        attributes,
        values: Some(ClassicValue::Numbers(numbers(ticks.to_vec()))),
    });
}

/// The two ends of each cell, as a variable of its own; its name.
fn bounds(
    contents: &mut Contents,
    world: &Axis,
    dimension: usize,
    (dtype, ends): (DType, Cells),
) -> String {
    let two = contents
        .dimensions
        .iter()
        .position(|(name, _)| name == ENDS);
    let two = two.unwrap_or_else(|| contents.dimension(ENDS, 2));
    let name = format!("{}_{ENDS}", world.name());
    contents.variables.push(ClassicVariable {
        name: name.clone(),
        dimensions: vec![dimension, two],
        kind: ValueKind::Number(dtype),
        attributes: Vec::new(),
        values: Some(ClassicValue::Numbers(ends)),
    });
    name
}

/// The cells of a regular axis: steps of time by their beginnings, others by their centres.
fn cells(
    contents: &mut Contents,
    of: &Selection,
    (axis, world, dimension): NumberedAxis<'_>,
    side: Option<PlaneSide>,
) {
    let structure = of.grid().structure();
    let level = of.levels()[structure.dimension_of(axis)];
    let start = of.window().start()[axis];
    let edges: Vec<f64> = (start..)
        .take(of.len(axis) + 1)
        .map(|cell| structure.edge(axis, level, cell))
        .collect();
    let ends: Vec<f64> = edges
        .windows(2)
        .flat_map(|ends| [ends[0], ends[1]])
        .collect();
    let values: Vec<f64> = edges
        .windows(2)
        .map(|ends| {
            if world.time().is_some() {
                ends[0]
            } else {
                ends[0] / 2.0 + ends[1] / 2.0
            }
        })
        .collect();
    let mut attributes = said(of, axis, side);
    let name = bounds(contents, world, dimension, (DType::F64, ends.into()));
    attributes.push(text("bounds", name));
    contents.variables.push(ClassicVariable {
        name: world.name().to_owned(),
        dimensions: vec![dimension],
        kind: ValueKind::Number(DType::F64),
        attributes,
        values: Some(ClassicValue::Numbers(values.into())),
    });
}
