//! What a grid says of itself, as attributes of its variables, and as coordinates of a single value.

use super::classic::{ClassicValue, ClassicVariable, Contents, ValueKind};
use super::coordinates::{FileCoordinates, measures, text};
use super::named;
use crate::adapter::cf;
use crate::adapter::export::Selection;
use crate::adapter::netcdf::identity::{LATER, TIME};
use crate::array::{Cells, DType};
use crate::grid::Dimension;

/// Texts that are no single values, whatever they say.
const TEXTS: [&str; 5] = [
    "standard_name",
    "long_name",
    "cell_methods",
    "flag_meanings",
    "description",
];

/// What is said otherwise.
const OWN: [&str; 9] = [
    LATER,
    TIME,
    cf::SINGLES,
    "_FillValue",
    "units",
    "grid_mapping",
    "scale_factor",
    "add_offset",
    "missing_value",
];

/// The attributes of all variables. What is a single value becomes a coordinate.
pub(super) fn put(
    contents: &mut Contents,
    of: &Selection,
    coordinates: &mut FileCoordinates,
) -> Vec<(String, ClassicValue)> {
    let grid = of.grid();
    let (schema, structure) = (grid.schema(), grid.structure());
    let known = schema.attributes();
    let listed = known.get(cf::SINGLES).map_or("", String::as_str);
    let listed: Vec<&str> = listed.split(' ').collect();
    let fixed = structure.dimensions().iter().filter(|of| of.is_fixed());
    let mut described: Vec<&str> = fixed.map(Dimension::name).collect();
    for (name, value) in known {
        let fits = named(name);
        let is_taken = contents.variables.iter().any(|other| other.name == fits);
        let has_own = |of: &str| described.contains(&of) || known.contains_key(of);
        let is_measure = cf::measured(name).is_some_and(has_own);
        if is_taken || is_measure || OWN.contains(&name.as_str()) {
            continue;
        }
        if let Some(single) = SingleValue::of(name, value, listed.contains(&name.as_str())) {
            let variable = single.variable(contents, of, (name, &fits));
            contents.variables.push(variable);
            coordinates.beside.push(fits);
            described.push(name);
        }
    }
    let is_left = |name: &str| {
        let is_said = described.contains(&name)
            || cf::measured(name).is_some_and(|of| described.contains(&of));
        !is_said && !OWN.contains(&name) && cf::flags(name, &known[name]).is_none()
    };
    let left = known.iter().filter(|(name, _)| is_left(name));
    left.map(|(name, value)| text(&named(name), value.as_str()))
        .collect()
}

/// The numbers of classes, which are of the type of the cells, or if that does not have them of
/// another.
pub(super) fn flags(of: &Selection) -> Vec<(String, ClassicValue)> {
    let grid = of.grid();
    let known = grid.schema().attributes().iter();
    let flag = |(name, value): (&String, &String)| {
        let numbers = cf::flags(name, value)?;
        let mut types = [of.dtype(), DType::I32, DType::F64, DType::I64, DType::U64].into_iter();
        let cells = types.find_map(|dtype| exactly(&numbers, dtype));
        let texts = || ClassicValue::Text(value.clone());
        Some((
            name.clone(),
            cells.map_or_else(texts, ClassicValue::Numbers),
        ))
    };
    known.filter_map(flag).collect()
}

/// Numbers as cells of a type, if it has all of them.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "what is not the number again is left out"
)]
fn exactly(numbers: &[i128], dtype: DType) -> Option<Cells> {
    macro_rules! of {
        ($type:ty) => {
            numbers
                .iter()
                .map(|number| <$type>::try_from(*number).ok())
                .collect::<Option<Vec<$type>>>()?
                .into()
        };
        ($type:ty, float) => {{
            let float = |number: &i128| {
                let float = *number as $type;
                (float as i128 == *number).then_some(float)
            };
            numbers
                .iter()
                .map(float)
                .collect::<Option<Vec<$type>>>()?
                .into()
        }};
    }
    Some(match dtype {
        DType::U8 => of!(u8),
        DType::I8 => of!(i8),
        DType::U16 => of!(u16),
        DType::I16 => of!(i16),
        DType::U32 => of!(u32),
        DType::I32 => of!(i32),
        DType::U64 => of!(u64),
        DType::I64 => of!(i64),
        DType::F32 => of!(f32, float),
        DType::F64 => of!(f64, float),
    })
}

/// The value of a coordinate that has one.
enum SingleValue<'a> {
    /// A number, and what it is one of: `2 m`.
    Number(f64, Option<&'a str>),
    Text(&'a str),
}

impl<'a> SingleValue<'a> {
    /// Of an attribute of a grid. What is no number is one only if it is listed as such, and so are
    /// units of several words.
    fn of(name: &str, value: &'a str, is_listed: bool) -> Option<Self> {
        if TEXTS.contains(&name) || cf::FLAGS.contains(&name) {
            return None;
        }
        let (number, unit) = match value.split_once(' ') {
            Some((number, unit)) => (number, Some(unit)),
            None => (value, None),
        };
        let parsed = number.parse::<f64>().ok();
        let exact = parsed.filter(|parsed| parsed.to_string() == number);
        let is_unit = |unit: &str| is_listed || !unit.contains(' ');
        match exact.filter(|_| unit.is_none_or(is_unit)) {
            Some(number) => Some(Self::Number(number, unit)),
            None => is_listed.then_some(Self::Text(value)),
        }
    }

    /// The variable that has it, of an attribute `name` and called `fits`.
    fn variable(
        &self,
        contents: &mut Contents,
        of: &Selection,
        (name, fits): (&str, &str),
    ) -> ClassicVariable {
        let mut attributes = measures(of, name);
        let (dimensions, kind, values) = match self {
            Self::Number(number, unit) => {
                if let Some(unit) = unit {
                    attributes.retain(|(what, _)| what != "units");
                    attributes.push(text("units", *unit));
                }
                let values = ClassicValue::Numbers(vec![*number].into());
                (Vec::new(), ValueKind::Number(DType::F64), values)
            }
            Self::Text(letters) => {
                let dimension = contents.dimension(format!("{fits}_letters"), letters.len());
                let values = ClassicValue::Text((*letters).to_owned());
                (vec![dimension], ValueKind::Text, values)
            }
        };
        ClassicVariable {
            name: fits.to_owned(),
            dimensions,
            kind,
            attributes,
            values: Some(values),
        }
    }
}
