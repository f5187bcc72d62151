//! WMTS 1.0.0: capabilities that name the tiles by templates of their addresses.

use std::fmt::Write as _;

use super::super::params::{Params, shortened};
use super::super::reply::Problem;
use super::place::{HALF, ZOOM_MAX};
use super::tilejson;
use crate::Grid;

/// Refuses other requests than that for the capabilities.
pub(super) fn check(query: Option<&str>) -> Result<(), Problem> {
    // Their names and values are written in any case of letters.
    let lower = query.unwrap_or_default().to_lowercase();
    let params = Params::parse(
        Some(&lower),
        &["service", "request", "version", "acceptversions"],
    )?;
    match params.get("request") {
        None | Some("getcapabilities") => Ok(()),
        Some(other) => Err(Problem::parameter(
            "request",
            format!(
                "`{}` is not possible; tiles are got by the addresses of the capabilities",
                shortened(other)
            ),
        )
        .allowed(vec!["GetCapabilities"])),
    }
}

/// What is shown of a text in XML.
fn escaped(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            other => other.to_string(),
        })
        .collect()
}

/// The capabilities: a layer for each grid that lies on a map.
pub(super) fn capabilities(grids: &[Grid], root: &str) -> Result<String, Problem> {
    let mut layers = String::new();
    let address = escaped(root);
    for grid in grids {
        // A grid without rows and columns, or in a system that is not known, is no layer.
        let [west, south, east, north] = match tilejson::bounds(grid) {
            Ok(Some(bounds)) => bounds,
            Ok(None) => continue,
            Err(problem) if problem.status() == axum::http::StatusCode::BAD_REQUEST => continue,
            Err(problem) => return Err(problem),
        };
        let name = escaped(&grid.name());
        // Writing to a text does not fail.
        let _ = writeln!(
            layers,
            "<Layer><ows:Title>{name}</ows:Title><ows:WGS84BoundingBox><ows:LowerCorner>{west} {south}</ows:LowerCorner>\
             <ows:UpperCorner>{east} {north}</ows:UpperCorner></ows:WGS84BoundingBox><ows:Identifier>{name}</ows:Identifier>\
             <Style isDefault=\"true\"><ows:Identifier>default</ows:Identifier></Style><Format>image/png</Format>\
             <TileMatrixSetLink><TileMatrixSet>WebMercatorQuad</TileMatrixSet></TileMatrixSetLink>\
             <ResourceURL format=\"image/png\" resourceType=\"tile\" \
             template=\"{address}/tiles/{name}/{{TileMatrix}}/{{TileCol}}/{{TileRow}}.png\"/></Layer>"
        );
    }
    let mut matrices = String::new();
    for zoom in 0..=ZOOM_MAX {
        let tiles = 1_u64 << zoom;
        // Pixels of 0.28 mm.
        let scale = 2.0 * HALF / 256.0 / tiles as f64 / 0.000_28;
        let _ = writeln!(
            matrices,
            "<TileMatrix><ows:Identifier>{zoom}</ows:Identifier><ScaleDenominator>{scale}</ScaleDenominator>\
             <TopLeftCorner>-{HALF} {HALF}</TopLeftCorner><TileWidth>256</TileWidth><TileHeight>256</TileHeight>\
             <MatrixWidth>{tiles}</MatrixWidth><MatrixHeight>{tiles}</MatrixHeight></TileMatrix>"
        );
    }
    Ok(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Capabilities xmlns=\"http://www.opengis.net/wmts/1.0\" xmlns:ows=\"http://www.opengis.net/ows/1.1\" version=\"1.0.0\">\n\
         <ows:ServiceIdentification><ows:Title>gridstone</ows:Title><ows:ServiceType>OGC WMTS</ows:ServiceType>\
         <ows:ServiceTypeVersion>1.0.0</ows:ServiceTypeVersion></ows:ServiceIdentification>\n<Contents>\n{layers}\
         <TileMatrixSet><ows:Identifier>WebMercatorQuad</ows:Identifier>\
         <ows:SupportedCRS>urn:ogc:def:crs:EPSG::3857</ows:SupportedCRS>\
         <WellKnownScaleSet>urn:ogc:def:wkss:OGC:1.0:GoogleMapsCompatible</WellKnownScaleSet>\n{matrices}</TileMatrixSet>\n\
         </Contents></Capabilities>\n"
    ))
}
