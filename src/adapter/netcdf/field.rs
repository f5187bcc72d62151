//! A variable as the CF conventions describe it: which axis is which, where its cells lie, what its numbers stand for.

use std::path::Path;

use super::decode::Decoding;
use super::file::NetCdf;
use super::header::{Header, Variable};
use super::space::Cells;
use super::time::Times;
use crate::error::{Error, Result};

/// Cells along an axis, and bytes of a variable, at most: a small file can claim any number of cells that were never written.
const AXIS_MAX: u64 = 1 << 24;
const BYTES_MAX: u64 = 1 << 46;

/// A dimension whose coordinates are labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Labels {
    pub(super) name: String,
    pub(super) labels: Vec<String>,
}

/// The roles of a variable's axes, by their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Roles {
    pub(super) time: Option<usize>,
    pub(super) y: usize,
    pub(super) x: usize,
    /// The only other axis of more than one cell.
    pub(super) band: Option<usize>,
}

/// One variable of a file, ready to make a grid or to be laid into one. No cell was read but those of its coordinates.
#[derive(Debug)]
pub struct Field {
    pub(super) file: NetCdf,
    pub(super) name: String,
    pub(super) shape: Vec<u64>,
    pub(super) roles: Roles,
    pub(super) times: Option<Times>,
    pub(super) y: Cells,
    pub(super) x: Cells,
    pub(super) band: Option<Labels>,
    pub(super) crs: Option<String>,
    pub(super) decoding: Decoding,
}

impl Field {
    /// Opens a variable of a file. Without a name, the only one that is neither coordinate nor bounds.
    ///
    /// With `index_axes`, rows and columns have their numbers for coordinates, from 0, whatever the file says.
    pub fn open(path: impl AsRef<Path>, variable: Option<&str>, index_axes: bool) -> Result<Self> {
        let path = path.as_ref();
        Self::new(NetCdf::open(path)?, variable, index_axes)
            .map_err(|cause| cause.within(format!("`{}` cannot be used", path.display())))
    }

    /// The same of a file that is open.
    pub fn new(mut file: NetCdf, variable: Option<&str>, index_axes: bool) -> Result<Self> {
        let header = file.header().clone();
        let variable = choose(&header, variable)?;
        let shape = variable.shape();
        let refused = |why: String| Error::invalid(format!("variable `{}`: {why}", variable.name));
        if shape.contains(&0) {
            return Err(refused(format!("it has no cells: its shape is {shape:?}")));
        }
        let bytes = shape.iter().try_fold(8_u64, |bytes, len| bytes.checked_mul(*len));
        if bytes.is_none_or(|bytes| bytes > BYTES_MAX) || shape.iter().any(|len| *len > AXIS_MAX) {
            return Err(refused(format!("its shape {shape:?} is larger than anything that can be imported")));
        }
        file.check(variable)?;
        let roles = roles(&header, variable)?;
        let decoding = Decoding::of(variable)?;
        let dimension = |axis: usize| variable.dimensions[axis].name.as_str();
        let times = roles.time.map(|axis| Times::read(&file, dimension(axis))).transpose()?;
        let along = |axis: usize| {
            let name = dimension(axis);
            match coordinate(&header, name) {
                _ if index_axes => Ok(Cells::index(shape[axis])),
                Some(_) => Cells::read(&file, name),
                None => Err(refused(format!(
                    "there is no 1-D coordinate variable for its axis `{name}`{}; keep it on its own index axes with `--index-axes`",
                    curvilinear(&header, variable)
                ))),
            }
        };
        let (y, x) = (along(roles.y)?, along(roles.x)?);
        let band = roles.band.map(|axis| labels(&file, dimension(axis), shape[axis])).transpose()?;
        file.forget_chunks()?;
        let crs = if index_axes { None } else { crs(&header, variable) };
        Ok(Self { name: variable.name.clone(), file, shape, roles, times, y, x, band, crs, decoding })
    }

    /// The variable's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Cells along each axis of the variable.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// The open file.
    pub fn file(&self) -> &NetCdf {
        &self.file
    }
}

/// The variable of a name, or the only one with data.
fn choose<'a>(header: &'a Header, name: Option<&str>) -> Result<&'a Variable> {
    let refers = ["bounds", "coordinates", "grid_mapping", "climatology", "ancillary_variables"];
    let referred = |name: &str| {
        let attributes = header.variables.iter().flat_map(|other| refers.iter().filter_map(|refer| other.text(refer)));
        attributes.flat_map(str::split_whitespace).any(|word| word.trim_end_matches(':') == name)
    };
    let is_data = |variable: &&Variable| {
        let coordinate = variable.dimensions.iter().any(|dimension| dimension.name == variable.name);
        variable.dtype.is_some() && variable.dimensions.len() >= 2 && !coordinate && !referred(&variable.name)
    };
    let fields: Vec<&Variable> = header.variables.iter().filter(is_data).collect();
    let listed = || fields.iter().map(|field| field.name.as_str()).take(20).collect::<Vec<_>>().join(", ");
    match (name, &fields[..]) {
        (Some(name), _) => {
            let found = header.variable(name).filter(|variable| variable.dimensions.len() >= 2);
            found.ok_or_else(|| {
                Error::invalid(format!("the file has no variable `{name}` of two or more axes; it has {}", listed()))
            })
        }
        (None, [only]) => Ok(only),
        (None, []) => Err(Error::invalid("the file has no variable of two or more axes")),
        (None, _) => Err(Error::invalid(format!("the file has several variables; choose one with `--variable`: {}", listed()))),
    }
}

/// The 1-D variable that has the name of its dimension.
fn coordinate<'a>(header: &'a Header, dimension: &str) -> Option<&'a Variable> {
    let of = |variable: &Variable| variable.dimensions[0].name == dimension;
    header.variable(dimension).filter(|variable| variable.dimensions.len() == 1 && of(variable) && variable.dtype.is_some())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Time,
    Y,
    X,
    Other,
}

/// What a dimension is by its coordinate variable, else by its name; `None` if neither tells.
fn role(header: &Header, dimension: &str) -> Option<Role> {
    let by_name = match dimension.to_ascii_lowercase().as_str() {
        "time" | "t" => Some(Role::Time),
        "y" | "lat" | "latitude" | "rlat" | "northing" => Some(Role::Y),
        "x" | "lon" | "longitude" | "rlon" | "easting" => Some(Role::X),
        _ => None,
    };
    let Some(variable) = coordinate(header, dimension) else { return by_name };
    let text = |name: &str| variable.text(name).unwrap_or_default();
    let units = text("units");
    let by_attributes = match (text("axis"), text("standard_name")) {
        ("T", _) | (_, "time") => Some(Role::Time),
        ("Y", _) | (_, "latitude" | "grid_latitude" | "projection_y_coordinate") => Some(Role::Y),
        ("X", _) | (_, "longitude" | "grid_longitude" | "projection_x_coordinate") => Some(Role::X),
        ("Z", _) => Some(Role::Other),
        _ if units.to_ascii_lowercase().contains(" since ") => Some(Role::Time),
        _ if ["degrees_north", "degree_north", "degrees_N", "degree_N"].contains(&units) => Some(Role::Y),
        _ if ["degrees_east", "degree_east", "degrees_E", "degree_E"].contains(&units) => Some(Role::X),
        _ => None,
    };
    by_attributes.or(by_name)
}

/// Which axis is which. Where nothing tells rows and columns, they are the last two axes.
fn roles(header: &Header, variable: &Variable) -> Result<Roles> {
    let refused = |why: String| Error::invalid(format!("variable `{}`: {why}", variable.name));
    let names: Vec<&str> = variable.dimensions.iter().map(|dimension| dimension.name.as_str()).collect();
    let known: Vec<Option<Role>> = names.iter().map(|name| role(header, name)).collect();
    let only = |wanted: Role| -> Result<Option<usize>> {
        let mut found = (0..known.len()).filter(|axis| known[*axis] == Some(wanted));
        let first = found.next();
        match (first, found.next()) {
            (Some(a), Some(b)) => Err(refused(format!("both `{}` and `{}` are {wanted:?} axes", names[a], names[b]))),
            _ => Ok(first),
        }
    };
    let free = |axis: usize| known[axis].is_none();
    let (last, before) = (names.len() - 1, names.len() - 2);
    let time = only(Role::Time)?;
    let x = only(Role::X)?.or_else(|| Some(last).filter(|axis| free(*axis)));
    let y = only(Role::Y)?.or_else(|| Some(before).filter(|axis| free(*axis)));
    let (Some(y), Some(x)) = (y, x) else {
        return Err(refused(format!("its axes {} are not to be told as rows and columns", names.join(", "))));
    };
    let shape = variable.shape();
    let mut others = (0..names.len()).filter(|axis| ![Some(y), Some(x), time].contains(&Some(*axis)) && shape[*axis] > 1);
    let band = others.next();
    if let (Some(a), Some(b)) = (band, others.next()) {
        return Err(refused(format!(
            "beside time, rows and columns it has the axes `{}` and `{}`; take one of them apart first",
            names[a], names[b]
        )));
    }
    Ok(Roles { time, y, x, band })
}

/// The 2-D coordinates that a variable has in place of 1-D ones, as a remark.
fn curvilinear(header: &Header, variable: &Variable) -> String {
    let names = variable.text("coordinates").unwrap_or_default().split_whitespace();
    let wide: Vec<String> = names
        .filter(|name| header.variable(name).is_some_and(|variable| variable.dimensions.len() > 1))
        .map(|name| format!("`{name}`"))
        .collect();
    if wide.is_empty() { String::new() } else { format!(" (its coordinates {} have two axes)", wide.join(", ")) }
}

/// One label a cell: its coordinate if it has one, else its number.
fn labels(file: &NetCdf, dimension: &str, len: u64) -> Result<Labels> {
    let labels = match coordinate(file.header(), dimension) {
        Some(_) => file.doubles(dimension)?.0.iter().map(f64::to_string).collect(),
        None => (1..=len).map(|number| number.to_string()).collect(),
    };
    Ok(Labels { name: dimension.to_owned(), labels })
}

/// The coordinate reference system of the grid mapping: an EPSG code if it has one, else its WKT.
fn crs(header: &Header, variable: &Variable) -> Option<String> {
    let name = variable.text("grid_mapping")?.split_whitespace().next()?.trim_end_matches(':');
    let mapping = header.variable(name)?;
    let code = ["epsg_code", "EPSG", "epsg"].iter().find_map(|name| {
        let number = mapping.attribute(name)?;
        let text = number.text().map(str::to_owned);
        text.or_else(|| number.numbers()?.first().map(f64::to_string))
    });
    if let Some(code) = code {
        let digits = code.trim().trim_start_matches("EPSG:").to_owned();
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(format!("EPSG:{digits}"));
        }
    }
    let wkt = mapping.text("crs_wkt").or_else(|| mapping.text("spatial_ref"))?;
    Some(authority(wkt).unwrap_or_else(|| wkt.to_owned()))
}

/// The EPSG code at the end of a WKT, which is that of the whole: `AUTHORITY["EPSG","32632"]]` or `ID["EPSG",32632]]`.
fn authority(wkt: &str) -> Option<String> {
    let at = [wkt.rfind("AUTHORITY[\"EPSG\","), wkt.rfind("ID[\"EPSG\",")].into_iter().flatten().max()?;
    let digits: String = wkt[at..].chars().filter(char::is_ascii_digit).collect();
    let last = wkt[at..].chars().filter(|c| *c == ']').count() == 2;
    (last && !digits.is_empty()).then(|| format!("EPSG:{digits}"))
}
