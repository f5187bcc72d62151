//! WMTS 1.0.0: capabilities that name the tiles by templates of their addresses and their times, and
//! tiles by the words of a request (KVP).

use std::fmt::Write as _;

use super::super::params::{Params, shortened};
use super::super::reply::Problem;
use super::super::slice::{Plane, falls};
use super::place::{HALF, ZOOM_MAX};
use super::tilejson;
use crate::grid::Level;
use crate::{Grid, Layer, Query, wire};

/// The times that are told one by one; of events the last ones.
const TIMES_MAX: usize = 1024;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Capabilities,
    Tile {
        layer: String,
        z: String,
        x: String,
        /// With the ending of the format.
        y: String,
        /// The parameters of the tile.
        query: String,
    },
}

/// The words of WMTS, which are written in any case of letters; all others are parameters of tiles.
const WORDS: [&str; 12] = [
    "service",
    "request",
    "version",
    "acceptversions",
    "layer",
    "style",
    "format",
    "tilematrixset",
    "tilematrix",
    "tilerow",
    "tilecol",
    "time",
];

impl Request {
    pub(super) fn of(query: Option<&str>) -> Result<Self, Problem> {
        let (mut words, mut others) = (Vec::new(), form_urlencoded::Serializer::new(String::new()));
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let lower = name.to_lowercase();
            if WORDS.contains(&lower.as_str()) {
                words.push((lower, value));
            } else {
                others.append_pair(&name, &value);
            }
        }
        let mut words_of = form_urlencoded::Serializer::new(String::new());
        let words = words_of.extend_pairs(words).finish();
        let words = Params::parse(Some(&words), &WORDS)?;
        let only = |name: &str, known: &[&str]| match words.get(name) {
            Some(text) if !known.iter().any(|of| of.eq_ignore_ascii_case(text)) => {
                let why = format!("`{}` is none of {}", shortened(text), known.join(", "));
                Err(Problem::parameter(name, why).allowed(known))
            }
            _ => Ok(()),
        };
        only("service", &["WMTS"])?;
        only("version", &["1.0.0"])?;
        let request = words.get("request").unwrap_or("GetCapabilities");
        if request.eq_ignore_ascii_case("GetCapabilities") {
            Params::parse(Some(&others.finish()), &WORDS)?;
            return Ok(Self::Capabilities);
        }
        if !request.eq_ignore_ascii_case("GetTile") {
            let why = format!("`{}` is not possible", shortened(request));
            let allowed = vec!["GetCapabilities", "GetTile"];
            return Err(Problem::parameter("request", why).allowed(allowed));
        }
        only("style", &["default", ""])?;
        only("format", &["image/png"])?;
        only("tilematrixset", &["WebMercatorQuad"])?;
        let needed = |name: &str| {
            let text = words.get(name).map(str::to_owned);
            text.ok_or_else(|| Problem::parameter(name, "it is missing"))
        };
        // What a client leaves at `default` is the last.
        let time = words
            .get("time")
            .filter(|time| !time.eq_ignore_ascii_case("default"));
        if let Some(time) = time.filter(|time| !time.is_empty()) {
            others.append_pair("time", time);
        }
        Ok(Self::Tile {
            layer: needed("layer")?,
            z: needed("tilematrix")?,
            x: needed("tilecol")?,
            y: format!("{}.png", needed("tilerow")?),
            query: others.finish(),
        })
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

/// The times of a grid, the last one at the end: one by one, or from the first to the last and how
/// far they lie apart. `None` if it has none.
fn times(grid: &Grid) -> Result<Option<(String, Vec<String>)>, Problem> {
    let structure = grid.structure();
    let along = Plane::of(grid)?.along.filter(wire::Along::is_time);
    let (Some(along), Some(bounds)) = (along, grid.bounds()?) else {
        return Ok(None);
    };
    let Some(axis) = structure.axes().nth(along.number) else {
        return Ok(None);
    };
    let level = bounds.levels(structure.dimensions().len())[structure.dimension_of(along.number)];
    let all: Vec<String> = if along.irregular && level == Level::ZERO {
        let ticks = grid.events(&Query::all().layer(Layer::Base))?;
        let skipped = ticks.len().saturating_sub(TIMES_MAX);
        ticks[skipped..]
            .iter()
            .map(|tick| axis.shown(*tick))
            .collect()
    } else {
        let (first, end) = (bounds.start()[along.number], bounds.end()[along.number]);
        let shown = |cell: i64| wire::shown(axis, structure.edge(along.number, level, cell));
        let len = end.abs_diff(first);
        // Where an axis runs back in time its first cells are the last.
        let falls = falls(structure, along.number);
        let nth = |number: u64| {
            shown(if falls {
                end.saturating_sub_unsigned(number + 1)
            } else {
                first.saturating_add_unsigned(number)
            })
        };
        let most = TIMES_MAX as u64;
        let apart = axis.step().abs() * level.scale() * along.unit()?.tick().nanoseconds() as f64;
        let seconds = apart / 1e9;
        if len <= most || seconds.fract() != 0.0 {
            (len.saturating_sub(most)..len).map(nth).collect()
        } else {
            let (from, last) = (nth(0), nth(len - 1));
            return Ok(Some((
                last.clone(),
                vec![format!("{from}/{last}/PT{seconds}S")],
            )));
        }
    };
    Ok(all.last().cloned().map(|last| (last, all)))
}

/// The dimension of times of a layer, and what stands behind the template of its tiles.
fn dimension(grid: &Grid) -> Result<(String, &'static str), Problem> {
    let Some((last, all)) = times(grid)? else {
        return Ok((String::new(), ""));
    };
    let mut text = format!(
        "<Dimension><ows:Identifier>time</ows:Identifier><ows:UOM>ISO8601</ows:UOM><Default>{}</Default>",
        escaped(&last)
    );
    for time in all {
        // Writing to a text does not fail.
        let _ = write!(text, "<Value>{}</Value>", escaped(&time));
    }
    text.push_str("</Dimension>");
    Ok((text, "?time={time}"))
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
        let (dimension, more) = dimension(grid)?;
        // Writing to a text does not fail.
        let _ = writeln!(
            layers,
            "<Layer><ows:Title>{name}</ows:Title><ows:WGS84BoundingBox><ows:LowerCorner>{west} {south}</ows:LowerCorner>\
             <ows:UpperCorner>{east} {north}</ows:UpperCorner></ows:WGS84BoundingBox><ows:Identifier>{name}</ows:Identifier>\
             <Style isDefault=\"true\"><ows:Identifier>default</ows:Identifier></Style><Format>image/png</Format>{dimension}\
             <TileMatrixSetLink><TileMatrixSet>WebMercatorQuad</TileMatrixSet></TileMatrixSetLink>\
             <ResourceURL format=\"image/png\" resourceType=\"tile\" \
             template=\"{address}/tiles/{name}/{{TileMatrix}}/{{TileCol}}/{{TileRow}}.png{more}\"/></Layer>"
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
    let mut operations = String::new();
    for operation in ["GetCapabilities", "GetTile"] {
        let _ = write!(
            operations,
            "<ows:Operation name=\"{operation}\"><ows:DCP><ows:HTTP><ows:Get xlink:href=\"{address}/wmts?\">\
             <ows:Constraint name=\"GetEncoding\"><ows:AllowedValues><ows:Value>KVP</ows:Value></ows:AllowedValues>\
             </ows:Constraint></ows:Get></ows:HTTP></ows:DCP></ows:Operation>"
        );
    }
    Ok(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Capabilities xmlns=\"http://www.opengis.net/wmts/1.0\" xmlns:ows=\"http://www.opengis.net/ows/1.1\" \
         xmlns:xlink=\"http://www.w3.org/1999/xlink\" version=\"1.0.0\">\n\
         <ows:ServiceIdentification><ows:Title>gridstone</ows:Title><ows:ServiceType>OGC WMTS</ows:ServiceType>\
         <ows:ServiceTypeVersion>1.0.0</ows:ServiceTypeVersion></ows:ServiceIdentification>\n\
         <ows:OperationsMetadata>{operations}</ows:OperationsMetadata>\n<Contents>\n{layers}\
         <TileMatrixSet><ows:Identifier>WebMercatorQuad</ows:Identifier>\
         <ows:SupportedCRS>urn:ogc:def:crs:EPSG::3857</ows:SupportedCRS>\
         <WellKnownScaleSet>urn:ogc:def:wkss:OGC:1.0:GoogleMapsCompatible</WellKnownScaleSet>\n{matrices}</TileMatrixSet>\n\
         </Contents></Capabilities>\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_is_asked_for_in_any_case_of_letters() {
        let tile = Request::of(Some(
            "SERVICE=WMTS&Request=gettile&VERSION=1.0.0&Layer=Dem&STYLE=&format=image%2Fpng&TileMatrixSet=WebMercatorQuad\
             &TILEMATRIX=9&TILEROW=178&TILECOL=268&TIME=2024-03-01T00:00Z&ramp=turbo&at.Height=3",
        ));
        let expected = Request::Tile {
            layer: "Dem".to_owned(),
            z: "9".to_owned(),
            x: "268".to_owned(),
            y: "178.png".to_owned(),
            query: "ramp=turbo&at.Height=3&time=2024-03-01T00%3A00Z".to_owned(),
        };
        assert_eq!(tile.expect("a tile"), expected);
        let plain = "request=GetTile&layer=a&tilematrix=0&tilerow=0&tilecol=0";
        for (text, at) in [
            (format!("{plain}&style=dark"), "style"),
            (format!("{plain}&format=image/jpeg"), "format"),
            (
                format!("{plain}&tilematrixset=WorldCRS84Quad"),
                "tilematrixset",
            ),
            (format!("{plain}&layer=b"), "layer"),
            (plain.replace("&tilecol=0", ""), "tilecol"),
            ("request=GetFeatureInfo".to_owned(), "request"),
            ("colour=red".to_owned(), "colour"),
        ] {
            let why = format!("{:?}", Request::of(Some(&text)).expect_err("refused"));
            assert!(why.contains(&format!("Some(\"{at}\")")), "{text}: {why}");
        }
        for all in [
            None,
            Some("SERVICE=WMTS&REQUEST=GetCapabilities&AcceptVersions=1.0.0"),
        ] {
            assert_eq!(Request::of(all).expect("known"), Request::Capabilities);
        }
    }
}
