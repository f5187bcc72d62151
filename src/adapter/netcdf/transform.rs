//! Rows and columns that have no coordinates, and lie where a grid mapping says by six coefficients
//! of GDAL (`GeoTransform`).

use super::field::coordinate;
use super::header::{Header, Value, Variable};
use super::mapping::{Mapping, mapping_of, stated};
use super::roles::Roles;
use super::space::EvenCells;
use super::stored::roundest;
use crate::adapter::cf::{self, PlaneSide};
use crate::adapter::text::quoted;
use crate::error::{Error, Result};

/// The first version of GDAL that writes rows from south to north, beside coefficients of rows from
/// north to south.
const FROM_SOUTH: (u32, u32) = (1, 9);

/// The grid mapping that places a variable, and its coefficients as they stand.
pub(super) fn transformed<'a>(
    header: &'a Header,
    variable: &Variable,
    roles: Roles,
) -> Option<(&'a Variable, &'a str)> {
    let names = [roles.y, roles.x].map(|axis| variable.dimensions[axis].name.as_str());
    let mapping = header.near(variable, mapping_of(variable, names)?)?;
    Some((mapping, mapping.text("GeoTransform")?))
}

/// Rows and columns where a grid mapping places them, if neither has coordinates: as GDAL reads
/// them, which takes the last axis for columns and the one before for rows.
pub(super) fn placed(
    header: &Header,
    variable: &Variable,
    roles: Roles,
) -> Result<Option<[EvenCells; 2]>> {
    let last = variable.dimensions.len() - 1;
    let has_coordinate = |axis: usize| coordinate(header, variable, axis).is_some();
    let Some((mapping, text)) = transformed(header, variable, roles) else {
        return Ok(None);
    };
    if (roles.y + 1, roles.x) != (last, last) || [roles.y, roles.x].into_iter().any(has_coordinate)
    {
        return Ok(None);
    }
    let refused = |why: &str, remedy: &str| {
        let file = quoted(&format!("NETCDF:\"FILE\":{}", variable.name));
        Error::invalid(format!(
            "the `GeoTransform` of `{}`, `{text}`, {why}; {remedy} {file} PLACED.tif`",
            mapping.name
        ))
    };
    let words = text.split([' ', ',']).filter(|word| !word.is_empty());
    let numbers: Vec<f64> = words.map_while(|word| word.parse().ok()).collect();
    let [x, dx, row_to_x, y, column_to_y, dy] = numbers[..] else {
        return Err(refused(
            "is not six numbers",
            "place it with `gdal_translate -a_ullr WEST NORTH EAST SOUTH",
        ));
    };
    if numbers.iter().any(|number| !number.is_finite()) || dx == 0.0 || dy == 0.0 {
        return Err(refused(
            "places no cells",
            "place it with `gdal_translate -a_ullr WEST NORTH EAST SOUTH",
        ));
    }
    if row_to_x != 0.0 || column_to_y != 0.0 {
        return Err(refused(
            "rotates or shears the cells",
            "make a GeoTIFF of it that does not with `gdalwarp -dstalpha",
        ));
    }
    let [height, width] = [roles.y, roles.x].map(|axis| variable.dimensions[axis].len);
    let (y, dy) = if is_from_south(header) {
        (y + dy * height as f64, -dy)
    } else {
        (y, dy)
    };
    let method = mapping.text("grid_mapping_name").unwrap_or_default();
    let crs = stated(mapping).or_else(|| Mapping(mapping).crs(method, "m"));
    let cells = |origin: f64, step: f64, len: u64, side: PlaneSide| EvenCells {
        origin: roundest(origin, 4.0 * origin.abs() * f64::EPSILON),
        step,
        len,
        unit: cf::unit_of_side(crs.as_deref(), side).map(str::to_owned),
    };
    Ok(Some([
        cells(y, dy, height, PlaneSide::Row),
        cells(x, dx, width, PlaneSide::Column),
    ]))
}

/// Whether GDAL has written the file, so that its rows are those of the coefficients turned round.
fn is_from_south(header: &Header) -> bool {
    let text = header.attribute("GDAL").and_then(Value::text);
    let Some(version) = text.and_then(|text| text.trim().strip_prefix("GDAL ")) else {
        return false;
    };
    let mut parts = version.split('.').map(|part| {
        let end = part
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(part.len());
        part[..end].parse::<u32>().unwrap_or(0)
    });
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= FROM_SOUTH
}
