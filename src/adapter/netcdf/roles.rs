//! Which axis of a variable is which.

use super::field::coordinate;
use super::header::{Header, Variable};
use super::remedy;
use super::space::Degrees;
use super::timing;
use crate::adapter::text::quoted;
use crate::error::{Error, Result};

/// The roles of a variable's axes, by their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Roles {
    pub(super) time: Option<usize>,
    pub(super) y: usize,
    pub(super) x: usize,
    /// The only other axis of more than one cell.
    pub(super) band: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AxisRole {
    Y,
    X,
    Other,
}

/// What an axis is by its coordinate variable, else by its name; `None` if neither tells. An error
/// says which attributes of the coordinate contradict each other.
fn role(header: &Header, variable: &Variable, axis: usize) -> Result<Option<AxisRole>> {
    let dimension = &variable.dimensions[axis].name;
    let by_name = match dimension.to_ascii_lowercase().as_str() {
        name if timing::is_time_name(name) => Some(AxisRole::Other),
        "y" | "lat" | "latitude" | "rlat" | "northing" => Some(AxisRole::Y),
        "x" | "lon" | "longitude" | "rlon" | "easting" => Some(AxisRole::X),
        _ => None,
    };
    let Some(coordinate) = coordinate(header, variable, axis) else {
        return Ok(by_name);
    };
    let text = |name: &str| coordinate.text(name).unwrap_or_default();
    let by_axis = match text("axis") {
        "Y" => Some(AxisRole::Y),
        "X" => Some(AxisRole::X),
        "T" | "Z" => Some(AxisRole::Other),
        _ => None,
    };
    let by_standard_name = match text("standard_name") {
        "latitude" | "grid_latitude" | "projection_y_coordinate" => Some(AxisRole::Y),
        "longitude" | "grid_longitude" | "projection_x_coordinate" => Some(AxisRole::X),
        "time" => Some(AxisRole::Other),
        _ => None,
    };
    let by_units = match Degrees::of(text("units")) {
        Some(Degrees::North | Degrees::South) => Some(AxisRole::Y),
        Some(Degrees::East | Degrees::West) => Some(AxisRole::X),
        Some(Degrees::Plain) | None => None,
    };
    let said = [
        ("axis", by_axis),
        ("standard_name", by_standard_name),
        ("units", by_units),
    ];
    let mut said = said
        .into_iter()
        .filter_map(|(name, role)| Some((name, role?)));
    if let Some((first, role)) = said.next()
        && let Some((other, _)) = said.find(|(_, other)| *other != role)
    {
        return Err(Error::invalid(format!(
            "coordinate `{}`: its attributes `{first}`, which is `{}`, and `{other}`, which is `{}`, contradict each other; take away the one that is wrong, as with `ncatted {} FILE`",
            coordinate.name,
            text(first),
            text(other),
            remedy::unset(first, coordinate.leaf())
        )));
    }
    let timely = timing::is_timely(coordinate).then_some(AxisRole::Other);
    Ok(by_axis
        .or(by_standard_name)
        .or(timely)
        .or(by_units)
        .or(by_name))
}

/// Which axis is which. Where nothing tells rows and columns, they are the last two axes.
pub(super) fn roles(header: &Header, variable: &Variable, time: Option<usize>) -> Result<Roles> {
    let refused = |why: String| Error::invalid(format!("variable `{}`: {why}", variable.name));
    let names: Vec<&str> = variable
        .dimensions
        .iter()
        .map(|dimension| dimension.name.as_str())
        .collect();
    let known = (0..names.len()).map(|axis| {
        if time == Some(axis) {
            Ok(Some(AxisRole::Other))
        } else {
            role(header, variable, axis)
        }
    });
    let mut known: Vec<Option<AxisRole>> = known.collect::<Result<_>>()?;
    // What a coordinate says of an axis comes before what another is called.
    for wanted in [AxisRole::Y, AxisRole::X] {
        let is_told = |axis: usize| {
            known[axis] == Some(wanted) && coordinate(header, variable, axis).is_some()
        };
        let told: Vec<bool> = (0..known.len()).map(is_told).collect();
        if told.contains(&true) {
            let others = known.iter_mut().zip(told).filter(|(_, told)| !told);
            others
                .filter(|(role, _)| **role == Some(wanted))
                .for_each(|(role, _)| *role = Some(AxisRole::Other));
        }
    }
    let only = |wanted: AxisRole| -> Result<Option<usize>> {
        let mut found = (0..known.len()).filter(|axis| known[*axis] == Some(wanted));
        let first = found.next();
        match (first, found.next()) {
            (Some(a), Some(b)) => Err(refused(format!(
                "both `{}` and `{}` are {wanted:?} axes; take from one of them what makes it one, as with `ncatted {} FILE`, or name it otherwise, as with `ncrename -d {},kind FILE`",
                names[a],
                names[b],
                ["axis", "standard_name", "units"]
                    .map(|of| remedy::unset(of, names[a]))
                    .join(" "),
                quoted(names[a])
            ))),
            _ => Ok(first),
        }
    };
    let free = |axis: usize| known[axis].is_none();
    let (last, before) = (names.len() - 1, names.len() - 2);
    let x = only(AxisRole::X)?.or_else(|| Some(last).filter(|axis| free(*axis)));
    let y = only(AxisRole::Y)?.or_else(|| Some(before).filter(|axis| free(*axis)));
    let (Some(y), Some(x)) = (y, x) else {
        if let [only] = (0..names.len())
            .filter(|axis| time != Some(*axis))
            .collect::<Vec<_>>()[..]
        {
            return Err(refused(format!(
                "its cells follow each other along the one axis `{}`, not in rows and columns; lay them into such, as with `cdo remapnn,r360x180 FILE GRIDDED.nc`",
                names[only]
            )));
        }
        return Err(refused(format!(
            "its axes {} are not to be told as rows and columns; name one of them `y` and one `x`, as with `ncrename -d {1},y -v .{1},y FILE`",
            names.join(", "),
            quoted(names[before])
        )));
    };
    let shape = variable.shape();
    let mut others = (0..names.len())
        .filter(|axis| ![Some(y), Some(x), time].contains(&Some(*axis)) && shape[*axis] > 1);
    let band = others.next();
    if let (Some(a), Some(b)) = (band, others.next()) {
        return Err(refused(format!(
            "beside time, rows and columns it has the axes `{}` and `{}`; take one of them apart first, as with `ncks -d {},0 FILE PART.nc`",
            names[a],
            names[b],
            quoted(names[b])
        )));
    }
    Ok(Roles { time, y, x, band })
}

/// Whether a coordinate is one of rows or columns.
pub(super) fn is_plane(coordinate: &Variable) -> bool {
    let name = coordinate.text("standard_name").unwrap_or_default();
    let units = coordinate.text("units").unwrap_or_default();
    ["X", "Y"].contains(&coordinate.text("axis").unwrap_or_default())
        || [
            "latitude",
            "longitude",
            "projection_x_coordinate",
            "projection_y_coordinate",
        ]
        .contains(&name)
        || ["grid_latitude", "grid_longitude"].contains(&name)
        || Degrees::of(units).is_some_and(|direction| direction != Degrees::Plain)
}
