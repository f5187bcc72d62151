//! What is asked of a collection.

use super::super::params::{Params, number};
use super::super::reply::Problem;
use super::wkt;
use crate::statistics::Ring;
use crate::wire::Instant;
use crate::{Freshness, Layer};

/// The kind of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueryKind {
    Position,
    Radius,
    Area,
    Cube,
}

impl QueryKind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Position => "position",
            Self::Radius => "radius",
            Self::Area => "area",
            Self::Cube => "cube",
        }
    }
}

/// Where the cells lie.
#[derive(Clone, Debug)]
pub(super) enum QueryPlace {
    Point([f64; 2]),
    /// A point, and how many metres around it.
    Circle([f64; 2], f64),
    Polygon(Vec<Vec<Ring>>),
    /// West, south, east, north.
    Box([f64; 4]),
}

/// How the answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    CoverageJson,
    Csv,
}

/// From when to when, both included; open where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) from: Option<Instant>,
    pub(super) to: Option<Instant>,
}

#[derive(Clone, Debug)]
pub(super) struct EdrQuery {
    pub(super) kind: QueryKind,
    pub(super) place: QueryPlace,
    pub(super) times: Option<Times>,
    pub(super) format: Format,
    pub(super) layer: Option<Layer>,
    pub(super) freshness: Freshness,
    /// The system of the coordinates of the request, if it is not the grid's.
    pub(super) crs: Option<String>,
    pub(super) parameters: Option<Vec<String>>,
    /// The others, which depend on the grid.
    pub(super) params: Params,
}

impl EdrQuery {
    pub(super) fn new(query: Option<&str>, kind: QueryKind) -> Result<Self, Problem> {
        let place = if kind == QueryKind::Cube {
            "bbox"
        } else {
            "coords"
        };
        let mut allowed = vec![
            place,
            "datetime",
            "z",
            "parameter-name",
            "crs",
            "f",
            "layer",
            "at.*",
            "level.*",
            "freshness",
        ];
        if kind == QueryKind::Radius {
            allowed.extend(["within", "within-units"]);
        }
        let params = Params::parse(query, &allowed)?;
        let text = params.get(place).ok_or_else(|| {
            let example = match kind {
                QueryKind::Position | QueryKind::Radius => "coords=POINT(9.1 48.7)",
                QueryKind::Area => "coords=POLYGON((9 48,10 48,10 49,9 48))",
                QueryKind::Cube => "bbox=9,48,10,49",
            };
            Problem::parameter(place, format!("it is missing; give one like `{example}`"))
        })?;
        let place = match kind {
            QueryKind::Position => QueryPlace::Point(wkt::point(text)?),
            QueryKind::Radius => QueryPlace::Circle(wkt::point(text)?, within(&params)?),
            QueryKind::Area => QueryPlace::Polygon(wkt::parts(text)?),
            QueryKind::Cube => QueryPlace::Box(bbox(text)?),
        };
        let formats = [
            ("CoverageJSON", Format::CoverageJson),
            ("covjson", Format::CoverageJson),
            ("json", Format::CoverageJson),
            ("csv", Format::Csv),
            ("CSV", Format::Csv),
        ];
        Ok(Self {
            kind,
            place,
            times: params.get("datetime").map(times).transpose()?,
            format: params.choice("f", &formats, Format::CoverageJson)?,
            layer: params.parsed("layer")?,
            freshness: params.freshness()?,
            crs: params.get("crs").map(str::to_owned),
            parameters: params
                .get("parameter-name")
                .map(|names| names.split(',').map(str::to_owned).collect()),
            params,
        })
    }
}

/// Metres from `within` and `within-units`.
fn within(params: &Params) -> Result<f64, Problem> {
    let missing = |name: &str| {
        Problem::parameter(
            name,
            "it is missing; give both, like `within=5&within-units=km`",
        )
    };
    let number = params.number("within")?.ok_or_else(|| missing("within"))?;
    if number < 0.0 {
        return Err(Problem::parameter("within", "it is below 0"));
    }
    params
        .get("within-units")
        .ok_or_else(|| missing("within-units"))?;
    const UNITS: [(&str, f64); 12] = [
        ("m", 1.0),
        ("metre", 1.0),
        ("metres", 1.0),
        ("meter", 1.0),
        ("meters", 1.0),
        ("km", 1000.0),
        ("kilometre", 1000.0),
        ("kilometres", 1000.0),
        ("kilometer", 1000.0),
        ("kilometers", 1000.0),
        ("mi", 1609.344),
        ("miles", 1609.344),
    ];
    Ok(number * params.choice("within-units", &UNITS, 1.0)?)
}

/// `W,S,E,N`.
fn bbox(text: &str) -> Result<[f64; 4], Problem> {
    let numbers = text.split(',').map(|part| number("bbox", part));
    let numbers: Vec<f64> = numbers.collect::<Result<_, _>>()?;
    let [west, south, east, north] = numbers[..] else {
        return Err(Problem::parameter(
            "bbox",
            format!(
                "it has {} numbers, not 4: west, south, east, north",
                numbers.len()
            ),
        ));
    };
    if south > north {
        return Err(Problem::parameter("bbox", "its south is above its north"));
    }
    Ok([west, south, east, north])
}

/// `A`, `A/B`, `../B` or `A/..`.
fn times(text: &str) -> Result<Times, Problem> {
    let instant = |text: &str| -> Result<Option<Instant>, Problem> {
        if text.is_empty() || text == ".." {
            return Ok(None);
        }
        let parsed = text.parse::<Instant>();
        parsed
            .map(Some)
            .map_err(|error| Problem::parameter("datetime", error.to_string()))
    };
    match text.split_once('/') {
        Some((from, to)) => Ok(Times {
            from: instant(from)?,
            to: instant(to)?,
        }),
        None => {
            let at = instant(text)?;
            Ok(Times { from: at, to: at })
        }
    }
}
