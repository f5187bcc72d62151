//! The coordinate reference system of a variable: that of its grid mapping, or the one of longitude
//! and latitude, as far as it is that of the coordinates.

use super::header::{Header, Variable};
use super::mapping::{Mapping, WGS84, mapping_of, metres, said, stated};
use super::remedy;
use super::roles::Roles;
use super::space::Degrees;
use crate::adapter::text::quoted;
use crate::adapter::unit::Conversion;
use crate::crs::{self, Parameter};
use crate::grid::longitude::is_degrees_east;

/// A system as a grid keeps it, and what is to be known of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct System {
    pub(super) crs: Option<String>,
    pub(super) note: Option<String>,
}

impl System {
    /// The system of a variable whose rows and columns have coordinates of these `units`.
    pub(super) fn of(
        header: &Header,
        variable: &Variable,
        roles: &Roles,
        units: [&str; 2],
    ) -> Self {
        let plane = [roles.y, roles.x];
        let axes = plane.map(|axis| super::field::coordinate(header, variable, axis));
        let standard = axes.map(|axis| {
            axis.and_then(|axis| axis.text("standard_name"))
                .unwrap_or_default()
        });
        let rotated = standard[0] == "grid_latitude" || standard[1] == "grid_longitude";
        let plain = !rotated
            && is_degrees_east(units[1])
            && matches!(Degrees::of(units[0]), Some(Degrees::North | Degrees::Plain));
        let without = |note: Option<String>| Self {
            crs: plain.then(|| WGS84.to_owned()),
            note: note.filter(|_| !plain),
        };
        let names = plane.map(|axis| variable.dimensions[axis].name.as_str());
        let Some(name) = mapping_of(variable, names) else {
            return without(
                untold(variable, standard).or_else(|| other_angles(axes, names, units)),
            );
        };
        let say = |variable: &str| {
            format!(
                "say which it is with `ncatted -a spatial_ref,{},o,c,EPSG:CODE FILE`",
                quoted(variable)
            )
        };
        let Some(mapping) = header.near(variable, name) else {
            return without(Some(format!(
                "its grid mapping `{name}` is not in the file: the grid has no coordinate reference system; say which it is with `{}`",
                naming(variable)
            )));
        };
        let method = mapping.text("grid_mapping_name").unwrap_or_default();
        let stated = stated(mapping);
        let is_stated = stated.is_some();
        let Some(crs) = stated.or_else(|| Mapping(mapping).crs(method, units[1])) else {
            if plain && method.is_empty() {
                return without(None);
            }
            let instead = if plain {
                format!("its coordinates are taken for those of {WGS84}")
            } else {
                "the grid has no coordinate reference system".to_owned()
            };
            return Self {
                note: Some(format!(
                    "its grid mapping `{name}` is `{}`, which is not known: {instead}; {}",
                    said(mapping, method),
                    say(mapping.leaf())
                )),
                ..without(None)
            };
        };
        let length = metres(units[1], None);
        let misfit = match crs::is_geographic(&crs) {
            Some(false) if plain => Some("longitudes and latitudes".to_owned()),
            Some(true) if length.is_some() => Some(format!("in {}", units[1])),
            Some(true) => units
                .into_iter()
                .find(|unit| is_other_angle(unit))
                .map(|unit| format!("in {unit}")),
            _ => None,
        };
        if let Some(what) = misfit {
            return Self {
                crs: plain.then(|| WGS84.to_owned()),
                note: Some(format!(
                    "its grid mapping `{name}`, {}, is not the system of its coordinates, which are {what}: {}",
                    crs::shown(&crs),
                    if plain {
                        format!("they are taken for those of {WGS84}")
                    } else {
                        format!(
                            "the grid has no coordinate reference system; {}",
                            say(mapping.leaf())
                        )
                    }
                )),
            };
        }
        let mapping = Mapping(mapping);
        if is_stated {
            let contradiction = mapping.contradiction(method, units[1], &crs);
            let system = in_own_unit(crs, units[1]);
            let note = contradiction.or(system.note);
            return Self { note, ..system };
        }
        Self {
            crs: Some(crs),
            note: mapping
                .far_origin(units[1])
                .or_else(|| mapping.unsized_earth()),
        }
    }
}

/// What is told of coordinates which are of a system that nothing states.
fn untold(variable: &Variable, standard: [&str; 2]) -> Option<String> {
    let what = match standard {
        ["projection_y_coordinate", _] | [_, "projection_x_coordinate"] => "of a projection",
        ["grid_latitude", _] | [_, "grid_longitude"] => "about a rotated pole",
        _ => return None,
    };
    Some(format!(
        "its coordinates are {what} that it does not tell: the grid has no coordinate reference system; say which it is with `{}`",
        naming(variable)
    ))
}

/// Whether a unit is one of angles, but not degrees.
fn is_other_angle(unit: &str) -> bool {
    Degrees::of(unit).is_none() && Conversion::between(unit, "degree").is_some()
}

/// What is told of latitudes and longitudes that are no degrees.
fn other_angles(
    axes: [Option<&Variable>; 2],
    names: [&str; 2],
    units: [&str; 2],
) -> Option<String> {
    let kinds = [["latitude", "lat"], ["longitude", "lon"]];
    let is_meant = |of: usize| {
        let standard = axes[of].and_then(|axis| axis.text("standard_name"));
        kinds[of].contains(&standard.unwrap_or(names[of]).to_ascii_lowercase().as_str())
    };
    let of = (0..2).find(|of| is_other_angle(units[*of]) && is_meant(*of))?;
    let factor = Conversion::between(units[of], "degree")?.apply(1.0);
    let (name, direction) = (names[of], ["degrees_north", "degrees_east"][of]);
    let (own, unit) = (
        remedy::in_script(name),
        remedy::in_script(&format!("{name}@units")),
    );
    let script = format!("{own}={own}*{factor:?}; {unit}=\"{direction}\"");
    Some(format!(
        "its coordinate `{name}` is in {}, no degrees: the grid has no coordinate reference system; make degrees of it with `{}`",
        units[of],
        remedy::computed(&script, "DEGREES.nc")
    ))
}

/// The command that gives a variable a grid mapping.
fn naming(variable: &Variable) -> String {
    format!(
        "ncap2 -s 'system=0; system@spatial_ref=\"EPSG:CODE\"' FILE NAMED.nc && ncatted -a grid_mapping,{},o,c,system NAMED.nc",
        quoted(variable.leaf())
    )
}

/// A system that a text states, with coordinates in the unit that the file has them in.
fn in_own_unit(crs: String, unit: &str) -> System {
    let projection = crs::definition(&crs).and_then(|definition| definition.projection);
    let height = projection
        .as_ref()
        .map(|projection| projection.value(Parameter::Height))
        .filter(|height| *height > 0.0);
    let note = |of: &str| {
        format!(
            "its coordinates are in {unit}, and whether those of its system, {}, are is not known: what is written with both may lie elsewhere",
            crs::shown(of)
        )
    };
    let own = match (metres(unit, height), &projection) {
        (Some(own), Some(projection)) if (projection.unit / own - 1.0).abs() > SAME_UNIT => own,
        (Some(own), None) if (own - 1.0).abs() > SAME_UNIT => {
            return System {
                note: Some(note(&crs)),
                crs: Some(crs),
            };
        }
        _ => {
            return System {
                crs: Some(crs),
                note: None,
            };
        }
    };
    let changed = format!(
        "its coordinates are in {unit}, and those of its system, {}, are not: the grid has the system in {unit}",
        crs::shown(&crs)
    );
    System {
        crs: Some(crs::in_unit(&crs, own).unwrap_or(crs)),
        note: Some(changed),
    }
}

/// Units that are nearer than this are one: a foot is a foot.
const SAME_UNIT: f64 = 1e-5;
