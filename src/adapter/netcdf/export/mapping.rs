//! The coordinate reference system of a grid as a grid mapping of the CF conventions.

use super::classic::{ClassicValue, ClassicVariable, Contents, ValueKind};
use super::coordinates::text;
use crate::adapter::axes::line;
use crate::adapter::export::Selection;
use crate::array::DType;
use crate::crs::{self, Definition, Parameter};

/// The variable that describes the system.
pub(super) const NAME: &str = "crs";

/// Adds the variable, if the grid has a system.
pub(super) fn put(contents: &mut Contents, of: &Selection) -> bool {
    let structure = of.grid().structure();
    let Some(system) = structure.crs() else {
        return false;
    };
    let definition = crs::definition(system);
    let mut attributes = definition.as_ref().map_or(Vec::new(), parameters);
    if let Some((authority @ "EPSG", code)) = crs::code(system) {
        attributes.push(text("epsg_code", format!("{authority}:{code}")));
    }
    if let Some(wkt) = crs::well_known(system) {
        attributes.push(text("crs_wkt", wkt.as_str()));
        // What GDAL reads.
        attributes.push(text("spatial_ref", wkt));
    } else {
        attributes.push(text("long_name", system));
    }
    let axes = of.axes();
    let extent = structure.extent(of.window());
    let side = |axis: usize| line(structure, axis, extent.bounds()[axis], of.len(axis));
    let ((x, dx), (y, dy)) = (side(axes.x), side(axes.y));
    attributes.push(text("GeoTransform", format!("{x} {dx} 0 {y} 0 {dy}")));
    contents.variables.push(ClassicVariable {
        name: NAME.to_owned(),
        dimensions: Vec::new(),
        kind: ValueKind::Number(DType::I32),
        attributes,
        values: Some(ClassicValue::Numbers(vec![0_i32].into())),
    });
    true
}

/// The name of a method in the conventions, and what they call its parameters.
type MappingMethod = (
    &'static str,
    &'static str,
    &'static [(Parameter, &'static str)],
);

const ORIGIN: (Parameter, &str) = (Parameter::Latitude, "latitude_of_projection_origin");
const CENTRE: (Parameter, &str) = (Parameter::Longitude, "longitude_of_projection_origin");
const MERIDIAN: (Parameter, &str) = (Parameter::Longitude, "longitude_of_central_meridian");

const METHODS: [MappingMethod; 6] = [
    (
        "Transverse_Mercator",
        "transverse_mercator",
        &[
            ORIGIN,
            MERIDIAN,
            (Parameter::Scale, "scale_factor_at_central_meridian"),
        ],
    ),
    (
        "Lambert_Azimuthal_Equal_Area",
        "lambert_azimuthal_equal_area",
        &[ORIGIN, CENTRE],
    ),
    (
        "Lambert_Conformal_Conic_2SP",
        "lambert_conformal_conic",
        &[ORIGIN, MERIDIAN],
    ),
    (
        "Albers_Conic_Equal_Area",
        "albers_conical_equal_area",
        &[ORIGIN, MERIDIAN],
    ),
    (
        "Mercator_1SP",
        "mercator",
        &[
            CENTRE,
            (Parameter::Scale, "scale_factor_at_projection_origin"),
        ],
    ),
    ("Sinusoidal", "sinusoidal", &[MERIDIAN]),
];

/// What the conventions say of a system: its ellipsoid, and its projection if they know it.
fn parameters(definition: &Definition) -> Vec<(String, ClassicValue)> {
    let number =
        |name: &str, value: f64| (name.to_owned(), ClassicValue::Numbers(vec![value].into()));
    let geodetic = &definition.geodetic;
    let mut attributes = Vec::new();
    if let Some(projection) = &definition.projection {
        let known = METHODS
            .iter()
            .find(|(method, ..)| *method == projection.method.name);
        if let Some((_, name, parameters)) = known {
            attributes.push(text("grid_mapping_name", *name));
            for (parameter, name) in *parameters {
                attributes.push(number(name, projection.value(*parameter)));
            }
            let parallels = [Parameter::Parallel1, Parameter::Parallel2];
            let own = projection.method.all().map(|(parameter, _)| parameter);
            let own: Vec<f64> = own
                .filter(|parameter| parallels.contains(parameter))
                .map(|parameter| projection.value(parameter))
                .collect();
            if !own.is_empty() {
                attributes.push((
                    "standard_parallel".to_owned(),
                    ClassicValue::Numbers(own.into()),
                ));
            }
            for (parameter, name) in [
                (Parameter::Easting, "false_easting"),
                (Parameter::Northing, "false_northing"),
            ] {
                attributes.push(number(name, projection.value(parameter) / projection.unit));
            }
        }
    } else if geodetic.is_in_degrees() {
        attributes.push(text("grid_mapping_name", "latitude_longitude"));
    }
    attributes.push(number("semi_major_axis", geodetic.semi_major));
    if geodetic.inverse_flattening > 0.0 {
        attributes.push(number("inverse_flattening", geodetic.inverse_flattening));
    }
    attributes.push(number("longitude_of_prime_meridian", geodetic.greenwich));
    attributes
}
