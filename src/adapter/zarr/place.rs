//! Where arrays lie: the coordinate reference system, the affine transformation, the axes.

use serde_json::{Map, Value, json};

use super::layout::{Cells, Layout};
use crate::crs;

/// What an axis is about, by the CF conventions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Time,
    Y,
    X,
    Other,
}

impl Layout {
    pub(super) fn role(&self, axis: usize) -> Role {
        match self.plane() {
            Some([y, _]) if axis == y => Role::Y,
            Some([_, x]) if axis == x => Role::X,
            _ if self.axes[axis].axis.time().is_some() => Role::Time,
            _ => Role::Other,
        }
    }

    /// Whether the coordinates of rows and columns are latitude and longitude.
    pub(super) fn is_geographic(&self) -> bool {
        self.structure.crs().and_then(crs::is_geographic) == Some(true)
    }

    /// The coordinate reference system as well-known text.
    pub(super) fn wkt(&self) -> Option<String> {
        let text = self.structure.crs()?;
        let Some((authority, code)) = crs::code(text) else {
            return text.contains('[').then(|| text.to_owned());
        };
        let wkt = crs::definition(text)?.wkt();
        let node = wkt.strip_suffix(']')?;
        Some(format!("{node},AUTHORITY[\"{authority}\",\"{code}\"]]"))
    }

    /// `[a, b, c, d, e, f]` of a level: x = a * column + b * row + c, y = d * column + e * row + f.
    pub(super) fn affine(&self, level: usize) -> Option<[f64; 6]> {
        let [y, x] = self.plane()?;
        let ((y0, dy), (x0, dx)) = (self.line(level, y), self.line(level, x));
        Some([dx, 0.0, x0, 0.0, dy, y0])
    }

    /// Attributes of the conventions `proj` and `spatial`, of a level's group and array.
    pub(super) fn spatial(&self, level: usize) -> Map<String, Value> {
        let mut found = Map::new();
        if let (Some([y, x]), Some(affine)) = (self.plane(), self.affine(level)) {
            let shape = &self.levels[level].shape;
            let ends = |axis: usize| {
                let (start, step) = self.line(level, axis);
                let end = start + step * shape[axis] as f64;
                (start.min(end), start.max(end))
            };
            let ((south, north), (west, east)) = (ends(y), ends(x));
            let names = [y, x].map(|axis| self.axes[axis].axis.name());
            found.insert("spatial:dimensions".to_owned(), json!(names));
            found.insert("spatial:transform".to_owned(), json!(affine));
            found.insert("spatial:shape".to_owned(), json!([shape[y], shape[x]]));
            found.insert("spatial:bbox".to_owned(), json!([west, south, east, north]));
            found.insert("spatial:registration".to_owned(), json!("pixel"));
        }
        found.extend(self.proj());
        found
    }

    fn proj(&self) -> Map<String, Value> {
        let mut found = Map::new();
        if let Some((authority, code)) = self.structure.crs().and_then(crs::code) {
            found.insert("proj:code".to_owned(), json!(format!("{authority}:{code}")));
        } else if let Some(wkt) = self.wkt().filter(|wkt| is_wkt2(wkt)) {
            found.insert("proj:wkt2".to_owned(), json!(wkt));
        }
        found
    }

    /// The conventions that attributes follow.
    pub(super) fn conventions(&self, is_root: bool) -> Value {
        let convention = |name: &str, uuid: &str, description: &str| {
            json!({
                "schema_url": format!("https://raw.githubusercontent.com/zarr-conventions/{name}/refs/tags/v0.1/schema.json"),
                "spec_url": format!("https://github.com/zarr-conventions/{name}/blob/v0.1/README.md"),
                "uuid": uuid,
                "name": name,
                "description": description,
            })
        };
        let mut all = Vec::new();
        if is_root {
            all.push(convention(
                "multiscales",
                "d35379db-88df-4056-af3a-620245f8e347",
                "Multiscale layout of zarr datasets",
            ));
        }
        if !self.proj().is_empty() {
            all.push(convention(
                "proj",
                "f17cb550-5864-4468-aeb7-f3180cfb622f",
                "Coordinate reference system information for geospatial data",
            ));
        }
        if self.plane().is_some() {
            all.push(convention(
                "spatial",
                "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4",
                "Spatial coordinate information",
            ));
        }
        Value::Array(all)
    }

    /// What GDAL before 3.13 reads the system from.
    pub(super) fn legacy_crs(&self) -> Option<Value> {
        let code = self.structure.crs().and_then(crs::code);
        let url = code.map(|(authority, code)| {
            json!(format!(
                "http://www.opengis.net/def/crs/{authority}/0/{code}"
            ))
        });
        let mut found = Map::new();
        found.extend(url.map(|url| ("url".to_owned(), url)));
        found.extend(self.wkt().map(|wkt| ("wkt".to_owned(), json!(wkt))));
        (!found.is_empty()).then_some(Value::Object(found))
    }

    /// The attributes of the variable that holds the grid mapping of a level.
    pub(super) fn grid_mapping(&self, level: usize) -> Option<Map<String, Value>> {
        let wkt = self.wkt()?;
        let mut found = Map::new();
        found.insert("crs_wkt".to_owned(), json!(wkt));
        found.insert("spatial_ref".to_owned(), json!(wkt));
        if let Some([dx, _, x0, _, dy, y0]) = self.affine(level) {
            found.insert(
                "GeoTransform".to_owned(),
                json!(format!("{x0} {dx} 0 {y0} 0 {dy}")),
            );
        }
        Some(found)
    }

    /// The attributes of an axis's coordinates.
    pub(super) fn axis_attributes(&self, axis: usize) -> Map<String, Value> {
        let (role, own) = (self.role(axis), &self.axes[axis].axis);
        let mut found = Map::new();
        let mut set = |name: &str, value: &str| found.insert(name.to_owned(), json!(value));
        match role {
            Role::Time => {
                if let Some(unit) = own.time() {
                    set("units", &format!("{} since {}", unit.tick(), unit.epoch()));
                    set("calendar", unit.calendar().name());
                }
                set("standard_name", "time");
                set("axis", "T");
                if matches!(self.axes[axis].cells, Cells::Regular) {
                    set("bounds", &format!("{}_bnds", own.name()));
                }
                return found;
            }
            Role::Y if self.is_geographic() => {
                set("standard_name", "latitude");
                set("units", "degrees_north");
                set("axis", "Y");
            }
            Role::X if self.is_geographic() => {
                set("standard_name", "longitude");
                set("units", "degrees_east");
                set("axis", "X");
            }
            Role::Y if self.structure.crs().is_some() => {
                set("standard_name", "projection_y_coordinate");
                set("axis", "Y");
            }
            Role::X if self.structure.crs().is_some() => {
                set("standard_name", "projection_x_coordinate");
                set("axis", "X");
            }
            Role::Y => drop(set("axis", "Y")),
            Role::X => drop(set("axis", "X")),
            Role::Other => {}
        }
        let metres = || {
            matches!(role, Role::Y | Role::X)
                .then(|| self.unit_of_lengths())
                .flatten()
        };
        if !found.contains_key("units")
            && let Some(unit) = own.unit_name().map(str::to_owned).or_else(metres)
        {
            found.insert("units".to_owned(), json!(unit));
        }
        found
    }

    /// The unit of projected coordinates, where it is metres.
    fn unit_of_lengths(&self) -> Option<String> {
        let projection = crs::definition(self.structure.crs()?)?.projection?;
        (projection.unit == 1.0).then(|| "m".to_owned())
    }
}

/// Whether a text is WKT 2, by its first keyword.
fn is_wkt2(text: &str) -> bool {
    let keyword = text
        .trim_start()
        .split('[')
        .next()
        .unwrap_or_default()
        .to_uppercase();
    keyword.ends_with("CRS") && keyword != "PROJCS" && keyword != "GEOGCS"
}
