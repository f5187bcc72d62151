//! Where arrays lie: the coordinate reference system, the affine transformation, the axes.

use serde_json::{Map, Value, json};

use super::layout::Layout;
use crate::adapter::cf::{self, PlaneSide};
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

    /// The coordinate reference system as well-known text.
    pub(super) fn wkt(&self) -> Option<String> {
        crs::well_known(self.structure.crs()?)
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
        let side = match self.role(axis) {
            Role::Y => Some(PlaneSide::Row),
            Role::X => Some(PlaneSide::Column),
            Role::Time | Role::Other => None,
        };
        let bounds = || ("bounds", format!("{}_bnds", self.axes[axis].axis.name()));
        cf::axis_attributes(&self.structure, axis, side)
            .into_iter()
            .chain(self.has_bounds(axis).then(bounds))
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect()
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
