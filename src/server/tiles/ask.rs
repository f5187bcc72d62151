//! What is asked of a tile.

use super::super::params::{Params, shortened};
use super::super::reply::Problem;
use super::place::{Tile, ZOOM_MAX};
use crate::adapter::quicklook::Ramp;
use crate::{Freshness, Layer, Resampling};

/// How values become pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Colours,
    /// Heights in red, green and blue, as Terrarium has them.
    Terrarium,
    /// Heights in red, green and blue, as Mapbox has them.
    TerrainRgb,
}

/// The parameters of a tile.
#[derive(Clone, Debug)]
pub(super) struct TileQuery {
    pub(super) ramp: Ramp,
    pub(super) ends: [Option<f64>; 2],
    pub(super) layer: Option<Layer>,
    pub(super) encoding: Encoding,
    pub(super) resampling: Resampling,
    pub(super) freshness: Freshness,
    /// Rows are counted from the south.
    upwards: bool,
    /// The others, which depend on the grid.
    pub(super) params: Params,
}

impl TileQuery {
    /// From the parameters of a request.
    pub(super) fn of_tile(query: Option<&str>) -> Result<Self, Problem> {
        const ALLOWED: [&str; 12] = [
            "ramp",
            "min",
            "max",
            "layer",
            "time",
            "band",
            "at.*",
            "level.*",
            "encoding",
            "scheme",
            "resampling",
            "freshness",
        ];
        let params = Params::parse(query, &ALLOWED)?;
        let ramps: Vec<&str> = Ramp::ALL.into_iter().map(Ramp::name).collect();
        let ramp = params
            .parsed("ramp")
            .map_err(|problem| problem.allowed(ramps))?;
        let ends = [params.number("min")?, params.number("max")?];
        if let [Some(min), Some(max)] = ends
            && min > max
        {
            return Err(Problem::parameter(
                "min",
                format!("`min` {min} is above `max` {max}"),
            ));
        }
        let encodings = [
            ("colours", Encoding::Colours),
            ("terrarium", Encoding::Terrarium),
            ("terrain-rgb", Encoding::TerrainRgb),
        ];
        let resamplings = [
            ("nearest", Resampling::Nearest),
            ("bilinear", Resampling::Bilinear),
        ];
        Ok(Self {
            ramp: ramp.unwrap_or_default(),
            ends,
            layer: params.parsed("layer")?,
            encoding: params.choice("encoding", &encodings, Encoding::Colours)?,
            resampling: params.choice("resampling", &resamplings, Resampling::Nearest)?,
            freshness: params.freshness()?,
            upwards: params.choice("scheme", &[("xyz", false), ("tms", true)], false)?,
            params,
        })
    }

    /// A tile by its address, of which the last part is like `12.png` or `12@2x.png`.
    pub(super) fn address(&self, z: &str, x: &str, y: &str) -> Result<Tile, Problem> {
        let Some(name) = y.strip_suffix(".png") else {
            return Err(Problem::not_found(format!(
                "`{}` is no tile; an address ends like `/3/4/2.png` or `/3/4/2@2x.png`",
                shortened(y)
            )));
        };
        let (y, side) = name
            .strip_suffix("@2x")
            .map_or((name, 256), |name| (name, 512));
        let whole = |parameter: &str, text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse::<u32>().ok().filter(|_| digits);
            number.ok_or_else(|| {
                Problem::parameter(
                    parameter,
                    format!("`{}` is no number of a tile", shortened(text)),
                )
            })
        };
        let (z, x, y) = (whole("z", z)?, whole("x", x)?, whole("y", y)?);
        if z > ZOOM_MAX {
            return Err(
                Problem::parameter("z", format!("zooms go from 0 to {ZOOM_MAX}")).allowed(ZOOM_MAX),
            );
        }
        let last = (1_u32 << z) - 1;
        if x > last || y > last {
            return Err(Problem::not_found(format!(
                "at zoom {z}, tiles go from 0 to {last}"
            )));
        }
        let y = if self.upwards { last - y } else { y };
        Ok(Tile { z, x, y, side })
    }

    /// All that the pixels depend on beside the values and the range of the colours.
    pub(super) fn described(&self, tile: Tile) -> String {
        format!(
            "tile {tile:?} {} {:?} {:?}",
            self.ramp, self.encoding, self.resampling
        )
    }
}
