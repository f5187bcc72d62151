//! A variable as the CF conventions describe it: which axis is which, where its cells lie, what its
//! numbers stand for.

use std::collections::HashSet;
use std::path::Path;

use super::corners;
use super::decode::Decoding;
use super::file::NetCdf;
use super::header::{Header, Variable};
use super::identity::{Identity, TIME};
use super::labels::Labels;
use super::roles::{Roles, roles};
use super::space::{self, EvenCells};
use super::stored;
use super::system::System;
use super::time::FileTimes;
use super::timing::{self, Timing};
use super::transform::{self, transformed};
use crate::adapter::axes::INDEX;
use crate::adapter::text::quoted;
use crate::error::{Error, Result};
use crate::grid::Schema;

/// Cells along an axis, and bytes of a variable, at most: a small file can claim any number of
/// cells that were never written.
const AXIS_MAX: u64 = 1 << 24;
const BYTES_MAX: u64 = 1 << 46;

/// What of a file is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Choice {
    /// The variable, behind the groups that it is in (`PRODUCT/no2`); by default the only one that
    /// is neither coordinate nor bounds.
    pub variable: Option<String>,
    /// The variable that a grid holds, which is meant where the file has it and none is asked for.
    pub known: Option<String>,
    /// The coordinate that has the times, where several could; by default the one that the
    /// conventions tell.
    pub time: Option<String>,
    /// Whether rows and columns have their numbers for coordinates, from 0, whatever the file says.
    pub index_axes: bool,
}

impl Choice {
    /// What of a file is meant that is laid into a grid, as far as the grid remembers it.
    pub fn of(schema: &Schema) -> Self {
        // What makes index axes of a grid is that they count cells.
        let index_axes = schema
            .structure()
            .axes()
            .any(|axis| axis.unit_name() == Some(INDEX));
        let time = schema.attributes().get(TIME).cloned();
        Self {
            variable: None,
            known: schema.variable().map(str::to_owned),
            time,
            index_axes,
        }
    }
}

/// One variable of a file, ready to make a grid or to be laid into one. No cell was read but those
/// of its coordinates.
#[derive(Debug)]
pub struct Field {
    pub(super) file: NetCdf,
    pub(super) name: String,
    pub(super) shape: Vec<u64>,
    pub(super) roles: Roles,
    pub(super) times: Option<FileTimes>,
    pub(super) y: EvenCells,
    pub(super) x: EvenCells,
    /// The name of the dimension of its columns.
    pub(super) columns: String,
    pub(super) band: Option<Labels>,
    pub(super) crs: Option<String>,
    pub(super) decoding: Decoding,
    pub(super) identity: Identity,
    /// Whether its name was asked for, and not found.
    pub(super) is_asked: bool,
    pub(super) notes: Vec<String>,
}

impl Field {
    /// Opens a variable of a file.
    pub fn open(path: impl AsRef<Path>, choice: &Choice) -> Result<Self> {
        let path = path.as_ref();
        Self::new(NetCdf::open(path)?, choice)
            .map_err(|cause| cause.within(format!("`{}` cannot be used", path.display())))
    }

    /// The same of a file that is open.
    pub fn new(file: NetCdf, choice: &Choice) -> Result<Self> {
        let header = file.header().clone();
        let variable = choose(&header, choice)?;
        let group = variable.group().to_owned();
        // Programs that help know nothing of groups, or want whole names.
        let flat = format!(
            "it is in the group `{group}`, and what programs need is a file without: `ncks -G : -g {} FILE FLAT.nc`",
            quoted(&group)
        );
        let field = Self::of(file, &header, variable, choice);
        if group.is_empty() {
            return field;
        }
        let mut field = field.map_err(|error| error.within(flat.clone()))?;
        let is_helped = |note: &String| note.contains(" FILE");
        if field.notes.iter().any(is_helped) {
            field.notes.push(flat);
        }
        Ok(field)
    }

    fn of(mut file: NetCdf, header: &Header, variable: &Variable, choice: &Choice) -> Result<Self> {
        let shape = variable.shape();
        let refused = |why: String| Error::invalid(format!("variable `{}`: {why}", variable.name));
        if shape.contains(&0) {
            return Err(refused(format!(
                "it has no cells: its shape is {shape:?}; leave the file out, as `gridstone import --keep-going` does"
            )));
        }
        let bytes = shape
            .iter()
            .try_fold(8_u64, |bytes, len| bytes.checked_mul(*len));
        if bytes.is_none_or(|bytes| bytes > BYTES_MAX) || shape.iter().any(|len| *len > AXIS_MAX) {
            return Err(refused(format!(
                "its shape {shape:?} is larger than anything that can be imported"
            )));
        }
        file.check(variable)?;
        let timing = timing::find(&file, variable, choice.time.as_deref())?;
        let roles = roles(header, variable, timing.and_then(|timing| timing.axis))?;
        let decoding = Decoding::of(variable)?;
        let times = timing
            .map(|timing| FileTimes::read(&file, &timing))
            .transpose()?;
        let placed = match choice.index_axes {
            true => None,
            false => transform::placed(header, variable, roles)?,
        };
        let is_placed = placed.is_some();
        let along = |axis: usize| match coordinate(header, variable, axis) {
            _ if choice.index_axes => Ok(EvenCells::index(shape[axis])),
            Some(coordinate) => EvenCells::read(&file, coordinate),
            None => Err(refused(format!(
                "there is no 1-D coordinate variable for its axis `{}`{}; {}",
                variable.dimensions[axis].name,
                curvilinear(header, variable),
                elsewhere(header, variable, roles)
            ))),
        };
        let [y, x] = match placed {
            Some(placed) => placed,
            None => [along(roles.y)?, along(roles.x)?],
        };
        let band = roles
            .band
            .map(|axis| Labels::read(&file, variable, axis))
            .transpose()?;
        let units = [&y, &x].map(|cells| cells.unit.as_deref().unwrap_or_default());
        let system = if choice.index_axes {
            System::default()
        } else {
            System::of(header, variable, &roles, units)
        };
        let mut identity =
            Identity::of(&file, variable, [roles.y, roles.x], choice, timing.as_ref())?;
        if choice.index_axes {
            identity.corners = corners::of(&file, variable, &roles)?;
        }
        let mut notes = Vec::new();
        notes.extend(times.as_ref().and_then(|times| times.note.clone()));
        notes.append(&mut identity.notes);
        notes.extend(band.as_ref().and_then(|band| band.note.clone()));
        notes.extend(system.note);
        notes.extend(unplaced(header, variable, &roles).filter(|_| units == ["", ""]));
        notes.extend(told(&file, variable, (roles, timing, is_placed), choice)?);
        let crs = system.crs;
        let (name, is_asked) = (variable.name.clone(), choice.variable.is_some());
        let columns = variable.dimensions[roles.x].name.clone();
        file.close();
        Ok(Self {
            name,
            file,
            shape,
            roles,
            times,
            y,
            x,
            columns,
            band,
            crs,
            decoding,
            identity,
            is_asked,
            notes,
        })
    }

    /// The variable's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Cells along each axis of the variable.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// What is to be known of how the file is read.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The file.
    pub fn file(&self) -> &NetCdf {
        &self.file
    }
}

/// The variable of a name, or the one that a grid holds, or the only one with data: of the root,
/// else of all groups.
fn choose<'a>(header: &'a Header, choice: &Choice) -> Result<&'a Variable> {
    let refers = [
        "bounds",
        "coordinates",
        "grid_mapping",
        "climatology",
        "ancillary_variables",
        "cell_measures",
    ];
    let attributes = header
        .variables
        .iter()
        .flat_map(|other| refers.iter().filter_map(|refer| other.text(refer)));
    let referred: HashSet<&str> = attributes
        .flat_map(str::split_whitespace)
        .map(|word| word.trim_end_matches(':'))
        .collect();
    let is_data = |variable: &&'a Variable| {
        let coordinate = variable
            .dimensions
            .iter()
            .any(|dimension| dimension.name == variable.leaf());
        variable.dtype.is_some()
            && variable.dimensions.len() >= 2
            && !coordinate
            && !referred.contains(variable.leaf())
    };
    let fields: Vec<&Variable> = header.variables.iter().filter(is_data).collect();
    let root: Vec<&Variable> = fields
        .iter()
        .filter(|field| field.group().is_empty())
        .copied()
        .collect();
    let fields = if root.is_empty() || choice.variable.is_some() {
        fields
    } else {
        root
    };
    let listed = || {
        let shown = fields
            .iter()
            .map(|field| field.name.as_str())
            .take(20)
            .collect::<Vec<_>>()
            .join(", ");
        let unread: String = header
            .unread
            .iter()
            .map(|group| format!("; group `{group}` cannot be read"))
            .collect();
        if shown.is_empty() {
            format!("none{unread}")
        } else {
            format!("{shown}{unread}")
        }
    };
    if let Some(name) = &choice.variable {
        let wide = |variable: &&Variable| variable.dimensions.len() >= 2;
        let mut ends = header
            .variables
            .iter()
            .filter(|variable| variable.leaf() == name)
            .filter(wide);
        let only = ends.next().filter(|_| ends.next().is_none());
        return header.variable(name).filter(wide).or(only).ok_or_else(|| {
            let remedy = if fields.is_empty() {
                "`ncdump -h FILE` shows what it has"
            } else {
                "choose one with `--variable`"
            };
            Error::invalid(format!(
                "the file has no variable `{name}` of two or more axes; it has {}; {remedy}",
                listed()
            ))
        });
    }
    match (
        choice
            .known
            .as_deref()
            .and_then(|known| fields.iter().find(|field| field.name == known)),
        &fields[..],
    ) {
        (Some(known), _) => Ok(known),
        (None, [only]) => Ok(only),
        (None, []) => Err(Error::invalid(format!(
            "the file has no variable of two or more axes: {}; `ncdump -h FILE` shows what it has, and `--variable` takes one",
            listed()
        ))),
        (None, _) => Err(Error::invalid(format!(
            "the file has several variables; choose one with `--variable`: {}",
            listed()
        ))),
    }
}

/// The 1-D variable that has the name of an axis's dimension.
pub(super) fn coordinate<'a>(
    header: &'a Header,
    variable: &Variable,
    axis: usize,
) -> Option<&'a Variable> {
    let dimension = &variable.dimensions[axis];
    let of = |variable: &Variable| {
        variable.dimensions.len() == 1
            && variable.dimensions[0] == *dimension
            && variable.dtype.is_some()
    };
    header
        .near(variable, &dimension.name)
        .filter(|variable| of(variable))
}

/// What is told of coordinates that are kept otherwise than they stand, or not at all, and of groups
/// that cannot be read.
fn told(
    file: &NetCdf,
    variable: &Variable,
    (roles, timing, is_placed): (Roles, Option<Timing>, bool),
    choice: &Choice,
) -> Result<Vec<String>> {
    let header = file.header();
    let mut notes = Vec::new();
    if let Some((mapping, _)) = transformed(header, variable, roles) {
        let kept = if choice.index_axes {
            "is not kept"
        } else {
            "is heeded as GDAL reads it"
        };
        let is_own = choice.index_axes || is_placed;
        let note = || {
            format!(
                "its place, the `GeoTransform` of `{}`, {kept}",
                mapping.name
            )
        };
        notes.extend(is_own.then(note));
    }
    let plane = [roles.y, roles.x].map(|axis| coordinate(header, variable, axis));
    let plane = plane.into_iter().flatten().filter(|_| !choice.index_axes);
    notes.extend(plane.clone().filter_map(space::turned));
    let of_band = roles
        .band
        .and_then(|axis| coordinate(header, variable, axis));
    let of_time = timing.map(|timing| timing.times);
    for coordinate in of_time.into_iter().chain(plane).chain(of_band) {
        notes.extend(stored::outside(file, coordinate)?);
    }
    let unread = header.unread.iter();
    notes.extend(unread.map(|group| format!("group `{group}` cannot be read")));
    Ok(notes)
}

/// What is told of rows and columns that are numbers, where 2-D coordinates say which places they
/// are.
fn unplaced(header: &Header, variable: &Variable, roles: &Roles) -> Option<String> {
    let wide = curvilinear(header, variable);
    let [y, x] = [roles.y, roles.x].map(|axis| &variable.dimensions[axis].name);
    (!wide.is_empty()).then(|| {
        format!(
            "its rows and columns are numbers, `{y}` and `{x}`: where they lie is not kept{wide}"
        )
    })
}

/// What helps where rows or columns have no coordinates.
fn elsewhere(header: &Header, variable: &Variable, roles: Roles) -> String {
    match transformed(header, variable, roles) {
        Some(_) => format!(
            "it is placed by a `GeoTransform`, which GDAL reads: make a GeoTIFF of it with `gdal_translate {} PLACED.tif`",
            quoted(&format!("NETCDF:\"FILE\":{}", variable.name))
        ),
        None => "keep it in a grid of its own, made with `gridstone create STORE NAME --like FILE --index-axes`".to_owned(),
    }
}

/// The 2-D coordinates that a variable has in place of 1-D ones, as a remark.
fn curvilinear(header: &Header, variable: &Variable) -> String {
    let names = variable
        .text("coordinates")
        .unwrap_or_default()
        .split_whitespace();
    let wide: Vec<String> = names
        .filter(|name| {
            header
                .near(variable, name)
                .is_some_and(|variable| variable.dimensions.len() > 1)
        })
        .map(|name| format!("`{name}`"))
        .collect();
    if wide.is_empty() {
        String::new()
    } else {
        format!(" (its coordinates {} have two axes)", wide.join(", "))
    }
}
