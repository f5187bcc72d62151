//! The methods of projection: what they are called in well-known text and in GeoTIFF, and what
//! parameters they have.

use super::plain;

/// What a parameter of a projection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Parameter {
    /// The latitude of the origin or the centre; of a polar stereographic projection that of true
    /// scale, or 90.
    Latitude,
    /// The longitude of the origin or the centre.
    Longitude,
    /// The first standard parallel.
    Parallel1,
    /// The second.
    Parallel2,
    /// The scale on the central line.
    Scale,
    /// Where the initial line goes.
    Azimuth,
    /// The angle from the rectified to the skew grid.
    Rectified,
    /// The height of a satellite.
    Height,
    /// The x coordinate of the origin.
    Easting,
    /// The y coordinate of the origin.
    Northing,
}

impl Parameter {
    /// Whether it is an angle.
    pub(crate) fn is_angle(self) -> bool {
        !matches!(
            self,
            Parameter::Scale | Parameter::Height | Parameter::Easting | Parameter::Northing
        )
    }

    /// Whether it is a length.
    pub(crate) fn is_length(self) -> bool {
        matches!(
            self,
            Parameter::Height | Parameter::Easting | Parameter::Northing
        )
    }

    /// What it is where it is not given.
    pub(crate) fn default(self) -> f64 {
        if self == Parameter::Scale { 1.0 } else { 0.0 }
    }

    /// The parameter that a name of well-known text of any dialect stands for.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match plain(name).as_str() {
            "latitudeoforigin"
            | "latitudeofcenter"
            | "latitudeofcentre"
            | "latitudeofnaturalorigin"
            | "latitudeoffalseorigin"
            | "latitudeofprojectioncentre"
            | "centralparallel" => Parameter::Latitude,
            "centralmeridian"
            | "longitudeofcenter"
            | "longitudeofcentre"
            | "longitudeoforigin"
            | "longitudeofnaturalorigin"
            | "longitudeoffalseorigin"
            | "longitudeofprojectioncentre" => Parameter::Longitude,
            "standardparallel1"
            | "latitudeof1ststandardparallel"
            | "latitudeofstandardparallel" => Parameter::Parallel1,
            "standardparallel2" | "latitudeof2ndstandardparallel" => Parameter::Parallel2,
            "scalefactor"
            | "scalefactoratnaturalorigin"
            | "scalefactoratprojectioncentre"
            | "scalefactoroninitialline" => Parameter::Scale,
            "azimuth" | "azimuthatprojectioncentre" | "azimuthofinitialline" => Parameter::Azimuth,
            "rectifiedgridangle" | "anglefromrectifiedtoskewgrid" => Parameter::Rectified,
            "satelliteheight" | "height" => Parameter::Height,
            "falseeasting" | "eastingatfalseorigin" | "eastingatprojectioncentre" => {
                Parameter::Easting
            }
            "falsenorthing" | "northingatfalseorigin" | "northingatprojectioncentre" => {
                Parameter::Northing
            }
            _ => return None,
        })
    }
}

/// A method of projection.
#[derive(Debug, PartialEq)]
pub(crate) struct Method {
    /// Its name in the well-known text that GDAL writes.
    pub(crate) name: &'static str,
    /// Other names, of later well-known text and of ESRI's.
    also: &'static [&'static str],
    /// The code of the coordinate transformation in GeoTIFF; 0 if there is none.
    pub(crate) geotiff: u16,
    /// Its parameters but easting and northing, which all have, and what they are called in
    /// well-known text.
    pub(crate) parameters: &'static [(Parameter, &'static str)],
}

impl Method {
    /// The method that a name stands for.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        let name = plain(name);
        METHODS.iter().find(|method| {
            plain(method.name) == name || method.also.iter().any(|other| plain(other) == name)
        })
    }

    /// The method with a code of GeoTIFF.
    pub(crate) fn of_geotiff(code: u16) -> Option<&'static Self> {
        METHODS
            .iter()
            .find(|method| code != 0 && method.geotiff == code)
    }

    /// Mercator with a standard parallel.
    pub(crate) fn mercator_by_parallel() -> Option<&'static Self> {
        Self::named(MERCATOR_2SP)
    }

    /// All of its parameters and their names.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Parameter, &'static str)> {
        let own = self.parameters.iter().copied();
        own.chain([
            (Parameter::Easting, "false_easting"),
            (Parameter::Northing, "false_northing"),
        ])
    }
}

pub(super) const MERCATOR_1SP: &str = "Mercator_1SP";
pub(super) const MERCATOR_2SP: &str = "Mercator_2SP";
pub(super) const LAMBERT_1SP: &str = "Lambert_Conformal_Conic_1SP";
pub(super) const LAMBERT_2SP: &str = "Lambert_Conformal_Conic_2SP";
pub(super) const POLAR_STEREOGRAPHIC: &str = "Polar_Stereographic";
pub(super) const STEREOGRAPHIC: &str = "Stereographic";
pub(super) const TRANSVERSE_MERCATOR: &str = "Transverse_Mercator";

const LATITUDE: (Parameter, &str) = (Parameter::Latitude, "latitude_of_origin");
const MERIDIAN: (Parameter, &str) = (Parameter::Longitude, "central_meridian");
const CENTER: [(Parameter, &str); 2] = [
    (Parameter::Latitude, "latitude_of_center"),
    (Parameter::Longitude, "longitude_of_center"),
];
const SCALE: (Parameter, &str) = (Parameter::Scale, "scale_factor");
const PARALLEL_1: (Parameter, &str) = (Parameter::Parallel1, "standard_parallel_1");
const PARALLEL_2: (Parameter, &str) = (Parameter::Parallel2, "standard_parallel_2");
const AZIMUTH: (Parameter, &str) = (Parameter::Azimuth, "azimuth");
const RECTIFIED: (Parameter, &str) = (Parameter::Rectified, "rectified_grid_angle");
const HEIGHT: (Parameter, &str) = (Parameter::Height, "satellite_height");

const fn method(
    name: &'static str,
    also: &'static [&'static str],
    geotiff: u16,
    parameters: &'static [(Parameter, &'static str)],
) -> Method {
    Method {
        name,
        also,
        geotiff,
        parameters,
    }
}

#[rustfmt::skip]
static METHODS: [Method; 31] = [
    method(TRANSVERSE_MERCATOR, &["Gauss_Kruger"], 1, &[LATITUDE, MERIDIAN, SCALE]),
    method("Transverse_Mercator_South_Orientated", &["Transverse Mercator (South Orientated)"], 27, &[LATITUDE, MERIDIAN, SCALE]),
    method("Hotine_Oblique_Mercator", &["Hotine Oblique Mercator (variant A)", "Hotine_Oblique_Mercator_Azimuth_Natural_Origin"], 3, &[CENTER[0], CENTER[1], AZIMUTH, RECTIFIED, SCALE]),
    method("Hotine_Oblique_Mercator_Azimuth_Center", &["Hotine Oblique Mercator (variant B)"], 9815, &[CENTER[0], CENTER[1], AZIMUTH, RECTIFIED, SCALE]),
    method(MERCATOR_1SP, &["Mercator (variant A)"], 7, &[LATITUDE, MERIDIAN, SCALE]),
    method(MERCATOR_2SP, &["Mercator (variant B)", "Mercator"], 7, &[PARALLEL_1, MERIDIAN]),
    method(LAMBERT_2SP, &["Lambert Conic Conformal (2SP)", "Lambert_Conformal_Conic"], 8, &[LATITUDE, MERIDIAN, PARALLEL_1, PARALLEL_2]),
    method(LAMBERT_1SP, &["Lambert Conic Conformal (1SP)"], 9, &[LATITUDE, MERIDIAN, SCALE]),
    method("Lambert_Azimuthal_Equal_Area", &["Lambert Azimuthal Equal Area (Spherical)"], 10, &CENTER),
    method("Albers_Conic_Equal_Area", &["Albers Equal Area", "Albers"], 11, &[CENTER[0], CENTER[1], PARALLEL_1, PARALLEL_2]),
    method("Azimuthal_Equidistant", &[], 12, &CENTER),
    method("Equidistant_Conic", &[], 13, &[CENTER[0], CENTER[1], PARALLEL_1, PARALLEL_2]),
    method(STEREOGRAPHIC, &[], 14, &[LATITUDE, MERIDIAN, SCALE]),
    method(POLAR_STEREOGRAPHIC, &["Polar Stereographic (variant A)", "Polar Stereographic (variant B)", "Stereographic_North_Pole", "Stereographic_South_Pole"], 15, &[LATITUDE, MERIDIAN, SCALE]),
    method("Oblique_Stereographic", &["Double_Stereographic"], 16, &[LATITUDE, MERIDIAN, SCALE]),
    method("Equirectangular", &["Equidistant Cylindrical", "Equidistant Cylindrical (Spherical)", "Plate_Carree"], 17, &[LATITUDE, MERIDIAN, PARALLEL_1]),
    method("Cassini_Soldner", &["Cassini-Soldner", "Cassini"], 18, &[LATITUDE, MERIDIAN]),
    method("Gnomonic", &[], 19, &[LATITUDE, MERIDIAN]),
    method("Miller_Cylindrical", &["Miller Cylindrical"], 20, &[CENTER[0], CENTER[1]]),
    method("Orthographic", &["Orthographic (Spherical)"], 21, &[LATITUDE, MERIDIAN]),
    method("Polyconic", &["American Polyconic"], 22, &[LATITUDE, MERIDIAN]),
    method("Robinson", &[], 23, &[CENTER[1]]),
    method("Sinusoidal", &[], 24, &[CENTER[1]]),
    method("VanDerGrinten", &["Van Der Grinten", "Van_der_Grinten_I"], 25, &[MERIDIAN]),
    method("New_Zealand_Map_Grid", &["New Zealand Map Grid"], 26, &[LATITUDE, MERIDIAN]),
    method("Cylindrical_Equal_Area", &["Lambert Cylindrical Equal Area", "Lambert Cylindrical Equal Area (Spherical)", "Behrmann"], 28, &[PARALLEL_1, MERIDIAN]),
    method("Mollweide", &[], 0, &[MERIDIAN]),
    method("Eckert_IV", &[], 0, &[MERIDIAN]),
    method("Eckert_VI", &[], 0, &[MERIDIAN]),
    method("Geostationary_Satellite", &["Geostationary Satellite (Sweep Y)"], 0, &[MERIDIAN, HEIGHT]),
    method("Geostationary_Satellite_Sweep_X", &["Geostationary Satellite (Sweep X)"], 0, &[MERIDIAN, HEIGHT]),
];
