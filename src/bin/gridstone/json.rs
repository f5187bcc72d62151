//! Pieces of the JSON that several verbs print. Numbers that JSON has not (NaN) are null.

use serde_json::{Map, Value, json};

use gridstone::array::with_cells;
use gridstone::array::{Cells, Number};
use gridstone::{Axis, Coordinates, Extent, Level, Levels, Schema, Structure, Window};

/// One cell: a double, but an integer that no double has exactly.
pub(super) fn cell(cell: &Cells) -> Value {
    let double = cell.first_f64().filter(|value| {
        cell.dtype().is_float() || value.abs() < f64::from(f64::MANTISSA_DIGITS).exp2()
    });
    double.map_or_else(
        || with_cells!(cell, |cells| json!(cells.first())),
        |value| json!(value),
    )
}

/// The same for people.
pub(super) fn cell_text(cell: &Cells) -> String {
    let whole = || with_cells!(cell, |cells| cells.first().map(|cell| format!("{cell:?}")));
    let text = if cell.dtype().is_float() {
        cell.first_f64().map(|value| value.to_string())
    } else {
        whole()
    };
    text.unwrap_or_default()
}

/// A number, exactly: a double; beyond 2^53 an integer, or text where that has more than 64 bits
/// and no double is it.
pub(super) fn number(number: Number) -> Value {
    let double = number.to_f64();
    match number
        .whole()
        .filter(|whole| whole.unsigned_abs() > 1 << 53)
    {
        None => json!(double),
        Some(whole) => {
            let integer = i64::try_from(whole)
                .map(Value::from)
                .or_else(|_| u64::try_from(whole).map(Value::from));
            let text = || {
                if Number::from(double) == number {
                    json!(double)
                } else {
                    Value::from(whole.to_string())
                }
            };
            integer.unwrap_or_else(|_| text())
        }
    }
}

/// A whole number, exactly: an integer, or text where that has more than 64 bits and no double is
/// it.
pub(super) fn whole(whole: i128) -> Value {
    let integer = i64::try_from(whole)
        .map(Value::from)
        .or_else(|_| u64::try_from(whole).map(Value::from));
    integer.unwrap_or_else(|_| number(whole.into()))
}

/// The nodata value of a grid's cells, exactly.
pub(super) fn nodata(schema: &Schema) -> Option<Number> {
    let exact = |nodata: f64| match schema.dtype() {
        dtype if dtype.is_float() => Number::from(nodata),
        dtype => Cells::filled(dtype, 1, nodata).number(0),
    };
    schema.nodata().map(exact)
}

/// One entry an axis.
pub(super) fn by_axis<T: Into<Value>>(
    structure: &Structure,
    values: impl IntoIterator<Item = T>,
) -> Value {
    Value::Object(
        structure
            .axes()
            .map(|axis| axis.name().to_owned())
            .zip(values.into_iter().map(Into::into))
            .collect(),
    )
}

/// Lower and upper bound of each axis.
pub(super) fn extent(structure: &Structure, extent: &Extent) -> Value {
    by_axis(
        structure,
        extent
            .bounds()
            .iter()
            .map(|(lower, upper)| json!([lower, upper])),
    )
}

/// First and one past the last cell of each axis.
pub(super) fn window(structure: &Structure, window: &Window) -> Value {
    by_axis(
        structure,
        window
            .start()
            .iter()
            .zip(window.end().iter())
            .map(|(start, end)| json!([start, end])),
    )
}

/// Where cells lie along an irregular axis: ticks, and times of ISO 8601 where they count time.
pub(super) fn coordinates(structure: &Structure, coordinates: Option<&Coordinates>) -> Value {
    let Some((of, axis)) = coordinates.and_then(|of| Some((of, structure.axes().nth(of.axis)?)))
    else {
        return Value::Null;
    };
    let times = axis.time().map(|_| {
        of.ticks
            .iter()
            .map(|tick| axis.shown(*tick))
            .collect::<Vec<_>>()
    });
    json!({ "axis": axis.name(), "ticks": of.ticks, "times": times, "width": of.width })
}

/// The level of each levelled dimension.
pub(super) fn levels(structure: &Structure, levels: Levels) -> Value {
    let levels = structure
        .dimensions()
        .iter()
        .zip(levels.iter())
        .filter(|(dimension, _)| !dimension.is_fixed());
    Value::Object(
        levels
            .map(|(dimension, level)| (dimension.name().to_owned(), json!(level.get())))
            .collect::<Map<_, _>>(),
    )
}

/// The level of each levelled dimension, for people: `0`, or `space 0, time 2` if there are
/// several.
pub(super) fn levels_text(structure: &Structure, levels: Levels) -> String {
    let levels: Vec<_> = structure
        .dimensions()
        .iter()
        .zip(levels.iter())
        .filter(|(dimension, _)| !dimension.is_fixed())
        .collect();
    match levels[..] {
        [(_, level)] => level.to_string(),
        _ => levels
            .iter()
            .map(|(dimension, level)| format!("{} {level}", dimension.name()))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// First and one past the last cell of each axis, for people: `y 0:5, x -2:3`; the first and the
/// last event along an irregular one.
pub(super) fn window_text(structure: &Structure, window: &Window) -> String {
    let (start, end) = (window.start(), window.end());
    let events = structure
        .irregular()
        .filter(|dimension| window.levels(structure.dimensions().len())[*dimension] == Level::ZERO);
    let events = events.map(|dimension| structure.axes_of(dimension).start);
    let side = |(number, (axis, (start, end))): (usize, (&Axis, (&i64, &i64)))| match events {
        Some(events) if events == number => {
            format!(
                "{} {} to {}",
                axis.name(),
                axis.shown(*start),
                axis.shown(end.saturating_sub(1))
            )
        }
        _ => format!("{} {start}:{end}", axis.name()),
    };
    structure
        .axes()
        .zip(start.iter().zip(end.iter()))
        .enumerate()
        .map(side)
        .collect::<Vec<_>>()
        .join(", ")
}
