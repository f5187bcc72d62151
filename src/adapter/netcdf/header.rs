//! What a file says of its variables before any cell is read, whichever its format.

use netcdf_reader::{NcAttrValue, NcAttribute, NcDimension, NcFile, NcType, NcVariable};

use crate::array::{Cell, Cells, DType, with_cells};

/// A named length.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dimension {
    /// The name.
    pub name: String,
    /// How many cells there are along it.
    pub len: u64,
    /// Whether the file can grow along it.
    pub unlimited: bool,
}

/// What an attribute holds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Characters. Bytes that are not UTF-8 are replaced; several strings are put together with a blank between.
    Text(String),
    /// Numbers.
    Numbers(Cells),
}

impl Value {
    /// The text, if that is what it holds.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            Value::Numbers(_) => None,
        }
    }

    /// The numbers as doubles, if it holds numbers.
    pub fn numbers(&self) -> Option<Vec<f64>> {
        match self {
            Value::Text(_) => None,
            Value::Numbers(cells) => Some(with_cells!(cells, |cells| cells.iter().map(|cell| cell.to_f64()).collect())),
        }
    }

    /// `None` for the types that a user made up.
    fn of(value: &NcAttrValue) -> Option<Self> {
        let text = |text: &str| Value::Text(text.split('\0').next().unwrap_or_default().to_owned());
        Some(match value {
            NcAttrValue::Chars(chars) => text(chars),
            NcAttrValue::Strings(strings) => text(&strings.join(" ")),
            NcAttrValue::Bytes(cells) => Value::Numbers(cells.clone().into()),
            NcAttrValue::UBytes(cells) => Value::Numbers(cells.clone().into()),
            NcAttrValue::Shorts(cells) => Value::Numbers(cells.clone().into()),
            NcAttrValue::UShorts(cells) => Value::Numbers(cells.clone().into()),
            NcAttrValue::Ints(cells) => Value::Numbers(cells.clone().into()),
            NcAttrValue::UInts(cells) => Value::Numbers(cells.clone().into()),
            NcAttrValue::Int64s(cells) => Value::Numbers(cells.clone().into()),
            NcAttrValue::UInt64s(cells) => Value::Numbers(cells.clone().into()),
            NcAttrValue::Floats(cells) => Value::Numbers(cells.clone().into()),
            NcAttrValue::Doubles(cells) => Value::Numbers(cells.clone().into()),
            NcAttrValue::UserDefined { .. } => return None,
        })
    }
}

/// A name and a value.
type Attribute = (String, Value);

/// One array of a file.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Variable {
    /// The name.
    pub name: String,
    /// Its dimensions, in the order of its axes.
    pub dimensions: Vec<Dimension>,
    /// The type of its cells; `None` if they are no numbers.
    pub dtype: Option<DType>,
    attributes: Vec<Attribute>,
    /// What the file calls it.
    pub(super) stored_name: String,
}

/// What NetCDF-4 puts before the name of a variable whose own name a dimension has taken.
const NO_COORDINATE: &str = "_nc4_non_coord_";

impl Variable {
    /// Cells along each axis.
    pub fn shape(&self) -> Vec<u64> {
        self.dimensions.iter().map(|dimension| dimension.len).collect()
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        find(&self.attributes, name)
    }

    /// The text of an attribute, without what surrounds it; nothing if it is empty or a number.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.attribute(name).and_then(Value::text).map(str::trim).filter(|text| !text.is_empty())
    }

    fn of(variable: &NcVariable) -> Self {
        let dimension = |d: &NcDimension| Dimension { name: d.name.clone(), len: d.size, unlimited: d.is_unlimited };
        Self {
            name: variable.name.strip_prefix(NO_COORDINATE).unwrap_or(&variable.name).to_owned(),
            dimensions: variable.dimensions.iter().map(dimension).collect(),
            dtype: dtype(&variable.dtype),
            attributes: attributes(&variable.attributes),
            stored_name: variable.name.clone(),
        }
    }
}

/// What a file says of itself before any cell is read. Of the groups of a NetCDF-4 file it is the root.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Header {
    /// The variables.
    pub variables: Vec<Variable>,
    attributes: Vec<Attribute>,
}

impl Header {
    /// A variable by its name.
    pub fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().find(|variable| variable.name == name)
    }

    /// The value of a global attribute.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        find(&self.attributes, name)
    }

    pub(super) fn of(file: &NcFile) -> netcdf_reader::Result<Self> {
        Ok(Self {
            variables: file.variables()?.iter().map(Variable::of).collect(),
            attributes: attributes(file.global_attributes()?),
        })
    }
}

fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Value> {
    attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

fn attributes(attributes: &[NcAttribute]) -> Vec<Attribute> {
    attributes.iter().filter_map(|attribute| Some((attribute.name.clone(), Value::of(&attribute.value)?))).collect()
}

fn dtype(of: &NcType) -> Option<DType> {
    Some(match of {
        NcType::Byte => DType::I8,
        NcType::UByte => DType::U8,
        NcType::Short => DType::I16,
        NcType::UShort => DType::U16,
        NcType::Int => DType::I32,
        NcType::UInt => DType::U32,
        NcType::Int64 => DType::I64,
        NcType::UInt64 => DType::U64,
        NcType::Float => DType::F32,
        NcType::Double => DType::F64,
        _ => return None,
    })
}
