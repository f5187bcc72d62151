//! Where the cells lie and in which system, as fields of a directory.

use super::directory::tag;
use super::fields::Fields;
use super::georef::{Affine, WKT_MARK, key};
use crate::crs;
use crate::error::{Error, Result};

/// The fields of a place and of a system.
pub(super) fn put(fields: &mut Fields, affine: Option<Affine>, crs: Option<&str>) -> Result<()> {
    if let Some(Affine { x, y, dx, dy }) = affine {
        if dx > 0.0 && dy < 0.0 {
            fields.doubles(tag::PIXEL_SCALE, &[dx, -dy, 0.0]);
            fields.doubles(tag::TIEPOINT, &[0.0, 0.0, 0.0, x, y, 0.0]);
        } else {
            // A scale has no sign that readers agree on.
            let rows = [
                [dx, 0.0, 0.0, x],
                [0.0, dy, 0.0, y],
                [0.0; 4],
                [0.0, 0.0, 0.0, 1.0],
            ];
            fields.doubles(tag::TRANSFORMATION, rows.as_flattened());
        }
    }
    // Keys without a system in them make readers invent one.
    let Some(crs) = crs.map(str::trim).filter(|crs| !crs.is_empty()) else {
        return Ok(());
    };
    let (keys, text) = geokeys(crs)?;
    fields.shorts(tag::GEO_KEYS, &keys);
    if !text.is_empty() {
        fields.text(tag::GEO_ASCII, &text);
    }
    Ok(())
}

/// A reference system in the terms of GeoTIFF.
struct KeySystem {
    model: u16,
    /// A key and its value.
    code: Option<(u16, u16)>,
    /// A key and its text.
    text: Option<(u16, String)>,
}

/// The directory of geokeys and the text they point into. Cells are areas.
fn geokeys(system: &str) -> Result<(Vec<u16>, String)> {
    const GEOGRAPHIC: u16 = 2;
    const PROJECTED: u16 = 1;
    const USER_DEFINED: u16 = 32767;
    let epsg = match crs::code(system) {
        Some(("EPSG", code)) => u16::try_from(code).ok(),
        _ => None,
    };
    let system = match epsg {
        Some(code)
            if (1024..USER_DEFINED).contains(&code)
                && crs::geodetic_of_code(code.into()).is_some() =>
        {
            KeySystem {
                model: GEOGRAPHIC,
                code: Some((key::GEODETIC_CRS, code)),
                text: None,
            }
        }
        Some(code) if (1024..USER_DEFINED).contains(&code) => KeySystem {
            model: PROJECTED,
            code: Some((key::PROJECTED_CRS, code)),
            text: None,
        },
        // GDAL takes a whole definition from this citation, and only if the model is user-defined.
        _ if system.ends_with(']') => {
            let text = format!("{WKT_MARK}{system}|");
            KeySystem {
                model: USER_DEFINED,
                code: None,
                text: Some((key::PROJECTED_CITATION, text)),
            }
        }
        _ => KeySystem {
            model: USER_DEFINED,
            code: None,
            text: Some((key::CITATION, format!("{system}|"))),
        },
    };
    let mut entries = vec![
        [key::MODEL_TYPE, 0, 1, system.model],
        [key::RASTER_TYPE, 0, 1, 1],
    ];
    entries.extend(system.code.map(|(id, value)| [id, 0, 1, value]));
    let mut ascii = String::new();
    if let Some((id, text)) = system.text {
        let len = u16::try_from(text.len())
            .map_err(|_| Error::invalid("the reference system's text is too long for a GeoTIFF"))?;
        entries.push([id, tag::GEO_ASCII, len, 0]);
        ascii = text;
    }
    entries.sort_unstable();
    let count = u16::try_from(entries.len()).unwrap_or_default();
    let mut table = vec![1, 1, 0, count];
    table.extend(entries.into_iter().flatten());
    Ok((table, ascii))
}
