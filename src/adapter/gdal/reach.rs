//! Places of one system in another, by GDAL.

use gdal::spatial_ref::{AxisMappingStrategy, CoordTransform, SpatialRef};

use super::dataset::asked;
use super::ffi;
use crate::error::Result;

/// A system whose coordinates come as longitude and latitude, or as easting and northing.
pub(super) fn system(text: &str) -> Result<SpatialRef> {
    let (mut system, _) = asked(|| SpatialRef::from_definition(text))?;
    system.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
    Ok(system)
}

/// From the coordinates of one system to those of another; in place of what has none there stands
/// what is not finite.
pub(super) struct Transformer(Option<CoordTransform>);

impl Transformer {
    /// From one system to another; none is that of the other.
    pub(super) fn between(systems: Option<(&SpatialRef, &SpatialRef)>) -> Result<Self> {
        let Some((from, to)) = systems else {
            return Ok(Self(None));
        };
        asked(|| CoordTransform::new(from, to)).map(|(way, _)| Self(Some(way)))
    }

    pub(super) fn of(&self, points: &[[f64; 2]]) -> Vec<[f64; 2]> {
        let Some(way) = &self.0 else {
            return points.to_vec();
        };
        let (mut x, mut y): (Vec<f64>, Vec<f64>) = points.iter().map(|[x, y]| (*x, *y)).unzip();
        // That it fails for some says nothing of the others.
        let _ = ffi::heard(|| way.transform_coords(&mut x, &mut y, &mut []));
        x.into_iter().zip(y).map(|(x, y)| [x, y]).collect()
    }
}
