//! What a file says of its variables before any cell is read, whichever its format.

use std::collections::{HashSet, VecDeque};

use hdf5_reader::Hdf5File;
use netcdf_reader::nc4::groups::build_group_at_path;
use netcdf_reader::{
    NcAttrValue, NcAttribute, NcDimension, NcEnumMember, NcFile, NcMetadataMode, NcType, NcVariable,
};

use crate::array::{Cell, Cells, DType, with_cells};

/// A named length.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FileDimension {
    /// The name.
    pub name: String,
    /// How many cells there are along it.
    pub len: u64,
    /// Whether the variable can grow along it.
    pub unlimited: bool,
}

/// One dimension is one of a name and a length. That a variable can grow along it says nothing of
/// another one along it: HDF5 tells it of each.
impl PartialEq for FileDimension {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.len) == (&other.name, other.len)
    }
}

impl Eq for FileDimension {}

/// What an attribute holds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Characters. Bytes that are not UTF-8 are replaced; several strings are put together with a
    /// blank between.
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
            Value::Numbers(cells) => Some(with_cells!(cells, |cells| cells
                .iter()
                .map(|cell| cell.to_f64())
                .collect())),
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
    /// The name, behind the names of the groups that it is in: `PRODUCT/no2`.
    pub name: String,
    /// Its dimensions, in the order of its axes.
    pub dimensions: Vec<FileDimension>,
    /// The type of its cells; `None` if they are no numbers.
    pub dtype: Option<DType>,
    attributes: Vec<Attribute>,
    /// What the file calls it.
    pub(super) stored_name: String,
    /// Whether its cells are characters, so that those along the last axis make a text.
    pub(super) letters: bool,
    /// Whether its cells are texts.
    pub(super) words: bool,
    /// What its numbers are called, where it is an enumeration.
    pub(super) codes: Vec<(i128, String)>,
}

/// What NetCDF-4 puts before the name of a variable whose own name a dimension has taken.
const NO_COORDINATE: &str = "_nc4_non_coord_";

impl Variable {
    /// Cells along each axis.
    pub fn shape(&self) -> Vec<u64> {
        self.dimensions
            .iter()
            .map(|dimension| dimension.len)
            .collect()
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        find(&self.attributes, name)
    }

    /// The text of an attribute, without what surrounds it; nothing if it is empty or a number.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.attribute(name)
            .and_then(Value::text)
            .map(str::trim)
            .filter(|text| !text.is_empty())
    }

    /// The name without those of the groups that it is in.
    pub(super) fn leaf(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }

    /// The name that an enumeration has for one of its numbers.
    pub(super) fn named(&self, number: &str) -> Option<&str> {
        let number: i128 = number.parse().ok()?;
        let mut known = self.codes.iter();
        let (_, name) = known.find(|(code, _)| *code == number)?;
        Some(name)
    }

    /// The group that it is in; empty for the root.
    pub fn group(&self) -> &str {
        self.name.rsplit_once('/').map_or("", |(group, _)| group)
    }

    fn of(group: &str, variable: &NcVariable) -> Self {
        let dimension = |d: &NcDimension| FileDimension {
            name: d.name.clone(),
            len: d.size,
            unlimited: d.is_unlimited,
        };
        Self {
            name: inside(
                group,
                variable
                    .name
                    .strip_prefix(NO_COORDINATE)
                    .unwrap_or(&variable.name),
            ),
            dimensions: variable.dimensions.iter().map(dimension).collect(),
            dtype: dtype(&variable.dtype),
            attributes: attributes(&variable.attributes),
            stored_name: inside(group, &variable.name),
            letters: variable.dtype == NcType::Char,
            words: variable.dtype == NcType::String,
            codes: codes(&variable.dtype),
        }
    }
}

/// What a file says of itself before any cell is read.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Header {
    /// The variables: those of the root, then those of the groups of a NetCDF-4 file.
    pub variables: Vec<Variable>,
    /// Groups whose variables cannot be told.
    pub unread: Vec<String>,
    attributes: Vec<Attribute>,
}

impl Header {
    /// A variable by its name, which begins with the groups that it is in: `PRODUCT/no2` or
    /// `/PRODUCT/no2`.
    pub fn variable(&self, name: &str) -> Option<&Variable> {
        let name = name.strip_prefix('/').unwrap_or(name);
        self.variables.iter().find(|variable| variable.name == name)
    }

    /// What a variable means by a name: that of its own group, else of the nearest group around it.
    pub fn near(&self, from: &Variable, name: &str) -> Option<&Variable> {
        if name.starts_with('/') {
            return self.variable(name);
        }
        let mut group = from.group();
        loop {
            match self.variable(&inside(group, name)) {
                None if !group.is_empty() => {
                    group = group.rsplit_once('/').map_or("", |(around, _)| around)
                }
                found => return found,
            }
        }
    }

    /// The value of a global attribute of the root.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        find(&self.attributes, name)
    }

    /// Of a file, and of the groups of NetCDF-4.
    pub(super) fn of(file: &NcFile, hdf5: Option<&Hdf5File>) -> netcdf_reader::Result<Self> {
        let mut header = Self {
            variables: file
                .variables()?
                .iter()
                .map(|variable| Variable::of("", variable))
                .collect(),
            unread: Vec::new(),
            attributes: attributes(file.global_attributes()?),
        };
        for path in hdf5.map(groups).transpose()?.unwrap_or_default() {
            let of =
                hdf5.map(|hdf5| build_group_at_path(hdf5, &path, NcMetadataMode::Strict, false));
            match of.transpose() {
                Ok(group) => header.variables.extend(
                    group
                        .iter()
                        .flat_map(|group| &group.variables)
                        .map(|variable| Variable::of(&path, variable)),
                ),
                Err(cause) if is_io(&cause) => return Err(cause),
                Err(_) => header.unread.push(path),
            }
        }
        Ok(header)
    }
}

/// Whether what was asked of a library failed because bytes could not be read, not for what they
/// are.
pub(super) fn is_io(cause: &netcdf_reader::Error) -> bool {
    use netcdf_reader::Error::{Hdf5, Io};
    matches!(cause, Io(_) | Hdf5(hdf5_reader::error::Error::Io(_)))
}

/// Groups of a file, at most; those beyond are taken for a damaged file's.
const GROUPS_MAX: usize = 256;

/// The paths of all groups but the root, each once: a group may hold itself.
fn groups(file: &Hdf5File) -> netcdf_reader::Result<Vec<String>> {
    let root = file.root_group()?;
    let (mut paths, mut seen) = (Vec::new(), HashSet::from([root.address()]));
    let mut waiting = VecDeque::from([(String::new(), root)]);
    while let Some((path, group)) = waiting.pop_front() {
        for name in group.member_names()?.0 {
            let child = group.group(&name)?;
            if seen.insert(child.address()) {
                if paths.len() == GROUPS_MAX {
                    return Err(netcdf_reader::Error::InvalidData(format!(
                        "it has more than {GROUPS_MAX} groups"
                    )));
                }
                paths.push(inside(&path, &name));
                waiting.push_back((inside(&path, &name), child));
            }
        }
    }
    Ok(paths)
}

/// A name in a group.
fn inside(group: &str, name: &str) -> String {
    if group.is_empty() {
        name.to_owned()
    } else {
        format!("{group}/{name}")
    }
}

fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Value> {
    attributes
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value)
}

fn attributes(attributes: &[NcAttribute]) -> Vec<Attribute> {
    attributes
        .iter()
        .filter_map(|attribute| Some((attribute.name.clone(), Value::of(&attribute.value)?)))
        .collect()
}

fn codes(of: &NcType) -> Vec<(i128, String)> {
    let NcType::Enum { members, .. } = of else {
        return Vec::new();
    };
    let named = |member: &NcEnumMember| Some((member.value.as_i128()?, member.name.clone()));
    members.iter().filter_map(named).collect()
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
        NcType::Enum { base, .. } => return dtype(base),
        _ => return None,
    })
}
