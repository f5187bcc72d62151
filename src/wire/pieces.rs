//! Pieces of JSON that many answers have. Numbers that JSON has not (NaN) are null.

use serde_json::{Map, Value, json};

use crate::array::{Cells, Number, with_cells};
use crate::grid::{Extent, Levels, Schema, Structure, Window};
use crate::reader::Coordinates;

/// One cell: a double, but an integer that no double has exactly.
pub fn cell(cell: &Cells) -> Value {
    let double = cell.first_f64().filter(|value| {
        cell.dtype().is_float() || value.abs() < f64::from(f64::MANTISSA_DIGITS).exp2()
    });
    double.map_or_else(
        || with_cells!(cell, |cells| json!(cells.first())),
        |value| json!(value),
    )
}

/// A number, exactly: a double; beyond 2^53 an integer, or text where that has more than 64 bits
/// and no double is it.
pub fn number(number: Number) -> Value {
    let double = number.to_f64();
    match number
        .whole()
        .filter(|whole| whole.unsigned_abs() > 1 << 53)
    {
        None => json!(double),
        Some(whole) => {
            let text = || {
                if Number::from(double) == number {
                    json!(double)
                } else {
                    Value::from(whole.to_string())
                }
            };
            integer(whole).unwrap_or_else(text)
        }
    }
}

/// A whole number, exactly: an integer, or text where that has more than 64 bits and no double is
/// it.
pub fn whole(whole: i128) -> Value {
    integer(whole).unwrap_or_else(|| number(whole.into()))
}

/// An integer of at most 64 bits.
fn integer(whole: i128) -> Option<Value> {
    let signed = i64::try_from(whole).map(Value::from);
    signed
        .or_else(|_| u64::try_from(whole).map(Value::from))
        .ok()
}

/// The nodata value of a grid's cells, exactly.
pub fn nodata(schema: &Schema) -> Option<Number> {
    let exact = |nodata: f64| match schema.dtype() {
        dtype if dtype.is_float() => Number::from(nodata),
        dtype => Cells::filled(dtype, 1, nodata).number(0),
    };
    schema.nodata().map(exact)
}

/// One entry an axis.
pub fn by_axis<T: Into<Value>>(
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
pub fn extent(structure: &Structure, extent: &Extent) -> Value {
    by_axis(
        structure,
        extent
            .bounds()
            .iter()
            .map(|(lower, upper)| json!([lower, upper])),
    )
}

/// First and one past the last cell of each axis.
pub fn window(structure: &Structure, window: &Window) -> Value {
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
pub fn coordinates(structure: &Structure, coordinates: Option<&Coordinates>) -> Value {
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
pub fn levels(structure: &Structure, levels: Levels) -> Value {
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
