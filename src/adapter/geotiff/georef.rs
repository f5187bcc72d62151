//! Where the cells lie: the affine transformation and the coordinate reference system.

use std::io::{Read, Seek};

use super::Beyond;
use super::directory::{Directory, TiffBytes, tag};
use crate::error::{Error, Result};

/// The keys of the GeoTIFF standard that the adapter names.
pub(super) mod key {
    pub(in super::super) const MODEL_TYPE: u16 = 1024;
    pub(in super::super) const RASTER_TYPE: u16 = 1025;
    pub(in super::super) const CITATION: u16 = 1026;
    pub(in super::super) const GEODETIC_CRS: u16 = 2048;
    pub(in super::super) const GEODETIC_CITATION: u16 = 2049;
    pub(in super::super) const DATUM: u16 = 2050;
    pub(in super::super) const MERIDIAN: u16 = 2051;
    pub(in super::super) const ANGLE_UNIT: u16 = 2054;
    pub(in super::super) const ANGLE_UNIT_SIZE: u16 = 2055;
    pub(in super::super) const ELLIPSOID: u16 = 2056;
    pub(in super::super) const SEMI_MAJOR: u16 = 2057;
    pub(in super::super) const SEMI_MINOR: u16 = 2058;
    pub(in super::super) const INVERSE_FLATTENING: u16 = 2059;
    pub(in super::super) const MERIDIAN_LONGITUDE: u16 = 2061;
    pub(in super::super) const TO_WGS84: u16 = 2062;
    pub(in super::super) const PROJECTED_CRS: u16 = 3072;
    pub(in super::super) const PROJECTED_CITATION: u16 = 3073;
    pub(in super::super) const CONVERSION: u16 = 3074;
    pub(in super::super) const METHOD: u16 = 3075;
    pub(in super::super) const LENGTH_UNIT: u16 = 3076;
    pub(in super::super) const LENGTH_UNIT_SIZE: u16 = 3077;
    pub(in super::super) const VERTICAL_CRS: u16 = 4096;
}

/// What a citation starts with if a whole definition in WKT follows.
pub(super) const WKT_MARK: &str = "ESRI PE String = ";

/// The place of the cells in world coordinates, in the units of the coordinate reference system.
/// Rows and columns follow the axes: there is no rotation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// The x coordinate of the outer corner of the cell in row 0 and column 0.
    pub x: f64,
    /// The y coordinate of that corner.
    pub y: f64,
    /// From one column to the next; not 0.
    pub dx: f64,
    /// From one row to the next; below 0 where rows run from north to south; not 0.
    pub dy: f64,
}

impl Affine {
    /// From GDAL's six coefficients `[x, dx, 0, y, 0, dy]`; an
    /// [`Invalid`](crate::ErrorKind::Invalid) error if they rotate or
    /// shear by more than rounding leaves, are not finite or have a step of 0.
    pub fn from_gdal(coefficients: [f64; 6]) -> Result<Self> {
        let [x, dx, _, y, _, dy] = coefficients;
        if coefficients.iter().any(|value| !value.is_finite()) {
            return Err(unusable(coefficients));
        }
        if Self::is_askew(coefficients) {
            return Err(Error::invalid(format!(
                "the raster is rotated or sheared ({coefficients:?}); rewrite it north up with `gdalwarp -dstalpha FILE NORTHUP.tif`"
            ))
            .about(Beyond::Place));
        }
        if dx == 0.0 || dy == 0.0 {
            return Err(unusable(coefficients));
        }
        let affine = Self { x, y, dx, dy };
        Ok(affine)
    }

    /// Whether GDAL's six coefficients turn or shear the cells: a row or a column moves the next
    /// one aside by more than 1e-9 of a cell. Less is what rounding leaves, and over a million rows
    /// a thousandth of a cell.
    pub(crate) fn is_askew([_, dx, row_to_x, _, column_to_y, dy]: [f64; 6]) -> bool {
        const ROUNDING: f64 = 1e-9;
        row_to_x.abs() > ROUNDING * dx.abs() || column_to_y.abs() > ROUNDING * dy.abs()
    }

    /// GDAL's six coefficients `[x, dx, 0, y, 0, dy]`; the inverse of
    /// [`from_gdal`](Affine::from_gdal).
    pub fn to_gdal(self) -> [f64; 6] {
        [self.x, self.dx, 0.0, self.y, 0.0, self.dy]
    }
}

fn unusable(coefficients: [f64; 6]) -> Error {
    Error::invalid(format!(
        "the raster has no usable georeferencing ({coefficients:?}); place it with `gdal_translate -a_ullr WEST NORTH EAST SOUTH FILE PLACED.tif`"
    ))
}

/// The geokeys of a file: small integers, numbers and texts.
#[derive(Debug, Default)]
pub(super) struct GeoKeys {
    shorts: Vec<(u16, u16)>,
    numbers: Vec<(u16, Vec<f64>)>,
    texts: Vec<(u16, String)>,
}

impl GeoKeys {
    pub(super) fn read<R: Read + Seek>(
        source: &mut TiffBytes<R>,
        directory: &Directory,
    ) -> Result<Self> {
        let table = source.unsigned_list(directory, tag::GEO_KEYS)?;
        let ascii = source.text_bytes(directory, tag::GEO_ASCII)?;
        let doubles = source.doubles(directory, tag::GEO_DOUBLES)?;
        let mut keys = Self::default();
        let short = |value: u64| u16::try_from(value).unwrap_or(u16::MAX);
        // The first four values are the version and the number of keys; each key has four: id,
        // where, count, value.
        for entry in table.get(4..).unwrap_or_default().chunks_exact(4) {
            let id = short(entry[0]);
            let start = usize::from(short(entry[3]));
            let end = start + usize::from(short(entry[2]));
            match short(entry[1]) {
                0 => keys.shorts.push((id, short(entry[3]))),
                tag::GEO_DOUBLES => {
                    let numbers = doubles
                        .get(start..end.min(doubles.len()))
                        .unwrap_or_default();
                    keys.numbers.push((id, numbers.to_vec()));
                }
                tag::GEO_ASCII => {
                    let bytes = ascii.get(start..end.min(ascii.len())).unwrap_or_default();
                    let text = String::from_utf8_lossy(bytes);
                    keys.texts
                        .push((id, text.trim_end_matches(['|', '\0', ' ']).to_owned()));
                }
                _ => {}
            }
        }
        Ok(keys)
    }

    pub(super) fn short(&self, id: u16) -> Option<u16> {
        self.shorts
            .iter()
            .find(|(other, _)| *other == id)
            .map(|(_, value)| *value)
    }

    /// The numbers of a key; none if it is absent.
    pub(super) fn doubles(&self, id: u16) -> &[f64] {
        self.numbers
            .iter()
            .find(|(other, _)| *other == id)
            .map_or(&[], |(_, numbers)| numbers.as_slice())
    }

    pub(super) fn double(&self, id: u16) -> Option<f64> {
        self.doubles(id).first().copied()
    }

    pub(super) fn text(&self, id: u16) -> Option<&str> {
        self.texts
            .iter()
            .find(|(other, text)| *other == id && !text.is_empty())
            .map(|(_, text)| text.as_str())
    }

    /// Whether tiepoints name the centres of cells.
    fn pixel_is_point(&self) -> bool {
        self.short(key::RASTER_TYPE) == Some(2)
    }
}

/// The place of the cells, if the file states one.
pub(super) fn affine<R: Read + Seek>(
    source: &mut TiffBytes<R>,
    directory: &Directory,
    keys: &GeoKeys,
) -> Result<Option<Affine>> {
    let scale = source.doubles(directory, tag::PIXEL_SCALE)?;
    let tie = source.doubles(directory, tag::TIEPOINT)?;
    let matrix = source.doubles(directory, tag::TRANSFORMATION)?;
    let mut affine = if let ([sx, sy, ..], [column, row, _, x, y, ..]) =
        (scale.as_slice(), tie.as_slice())
        && *sx != 0.0
        && *sy != 0.0
    {
        // The scale of rows is positive in files that run from north to south; the sign is not to
        // be relied on.
        let dy = -sy.abs();
        Affine::from_gdal([x - column * sx, *sx, 0.0, y - row * dy, 0.0, dy])?
    } else if let [dx, row_to_x, _, x, column_to_y, dy, _, y, ..] = matrix.as_slice() {
        Affine::from_gdal([*x, *dx, *row_to_x, *y, *column_to_y, *dy])?
    } else if tie.len() > 6 {
        return Err(Error::invalid(
            "the TIFF is placed by ground control points only; rewrite it with `gdalwarp -dstalpha FILE PLACED.tif`",
        )
        .about(Beyond::Place));
    } else if directory.get(tag::RPC).is_some() {
        return Err(Error::invalid(
            "the TIFF is placed by rational polynomials (RPC) only; rewrite it with `gdalwarp -dstalpha -rpc FILE PLACED.tif`",
        )
        .about(Beyond::Place));
    } else {
        return Ok(None);
    };
    if keys.pixel_is_point() {
        affine.x -= affine.dx / 2.0;
        affine.y -= affine.dy / 2.0;
    }
    Ok(Some(affine))
}
