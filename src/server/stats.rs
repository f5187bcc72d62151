//! Exact statistics of the features of a GeoJSON.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::asked::Asked;
use super::edr::{Into, is_one_system, polygon_of_grid};
use super::params::{Params, shortened};
use super::reply::{JSON, Problem, passing};
use super::slice::{self, Plane};
use crate::grid::Extent;
use crate::statistics::{Bins, Predicate};
use crate::wire::geojson::{outlines, system};
use crate::wire::{self, Along, Period};
use crate::{Grid, Polygon, Stat, StatisticsQuery};

/// The most features at once.
const FEATURES_MAX: usize = 4096;

/// The statistics of each feature of what is posted, as `gridstone stats --each --json` has them.
pub(super) async fn of_features(
    asked: Asked,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(format!(
            "the body has more than {} bytes; post fewer features at a time",
            asked.app.options.body_bytes
        )),
        _ => Problem::new(StatusCode::BAD_REQUEST, "the body broke off"),
    })?;
    const ALLOWED: [&str; 8] = [
        "stat",
        "where",
        "histogram",
        "classes",
        "period",
        "band",
        "at.*",
        "crs",
    ];
    let params = Params::parse(asked.query.as_deref(), &ALLOWED)?;
    let headers = asked.headers.clone();
    let json = asked
        .app
        .call(move |app| {
            let value: Value = serde_json::from_slice(&body).map_err(|error| {
                Problem::new(
                    StatusCode::BAD_REQUEST,
                    format!("the body is no JSON: {error}"),
                )
            })?;
            of_grid(&app.grid(&asked.path)?, &params, &value)
        })
        .await?;
    Ok(passing(&headers, JSON, json.to_string()))
}

fn of_grid(grid: &Grid, params: &Params, value: &Value) -> Result<Value, Problem> {
    let plane = Plane::of(grid)?;
    let named = system(value)?;
    let asked = params.get("crs");
    if let Some((asked, named)) = asked.zip(named.as_deref())
        && !is_one_system(asked, named)
    {
        return Err(Problem::parameter(
            "crs",
            format!(
                "`crs` is `{}`, and the body names `{}`; leave out the one that is wrong",
                shortened(asked),
                shortened(named)
            ),
        ));
    }
    let into = Into::new(grid, asked.or(named.as_deref()))?;
    let mut features = outlines(value)?;
    if features.is_empty() || features.len() > FEATURES_MAX {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            format!(
                "there are {} features; post 1 to {FEATURES_MAX}",
                features.len()
            ),
        ));
    }
    let polygon = |feature: &mut wire::geojson::Outline| -> Result<Polygon, Problem> {
        if feature.parts.is_empty() {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                format!("`{}` has no polygon", feature.name),
            ));
        }
        polygon_of_grid(grid, plane, &into, std::mem::take(&mut feature.parts))
    };
    let polygons = features.iter_mut().map(polygon);
    let polygons = polygons.collect::<Result<Vec<Polygon>, Problem>>()?;
    let zones = grid.statistics_of_each(&query(grid, plane, params)?, &polygons)?;
    let named = features
        .iter()
        .map(|feature| (feature.name.as_str(), &feature.properties));
    Ok(wire::zones_json(named, &zones))
}

/// What is asked of each feature.
fn query(grid: &Grid, plane: Plane<'_>, params: &Params) -> Result<StatisticsQuery, Problem> {
    let structure = grid.structure();
    let mut query = StatisticsQuery::all().stats(stats(grid, params)?);
    if let Some(predicate) = params.parsed::<Predicate>("where")? {
        query = query.matching(predicate);
    }
    if let Some(bins) = params.parsed::<Bins>("histogram")? {
        query = query.histogram(bins);
    }
    if params.choice("classes", &[("false", false), ("true", true)], false)? {
        query = query.classes();
    }
    let Some(bounds) = grid.bounds()? else {
        return Ok(query);
    };
    if let Some(period) = params.parsed::<Period>("period")? {
        let along = Along::of(grid, "`period`").map_err(Problem::by("period"))?;
        if along.irregular {
            let ticks = along.ticks(period).map_err(Problem::by("period"))?;
            let len = ticks.end.abs_diff(ticks.start);
            query = query.window(bounds.along(along.number, ticks.start, len));
        } else {
            let mut sides = vec![(f64::NEG_INFINITY, f64::INFINITY); structure.rank()];
            sides[along.number] = along.range(period).map_err(Problem::by("period"))?;
            query = query.extent(Extent::new(sides));
        }
    }
    let levels = bounds.levels(structure.dimensions().len());
    let asked = |axis: usize| {
        let name = structure.dimensions()[structure.dimension_of(axis)].name();
        params.get(&format!("at.{name}")).is_some()
            || plane.band(structure) == Some(axis) && params.get("band").is_some()
    };
    for (axis, cell) in slice::others(grid, plane, params, &bounds, levels)? {
        if asked(axis) {
            query = query.window(bounds.along(axis, cell, 1));
        }
    }
    Ok(query)
}

/// The figures of `stat`, else those that everybody looks for first and what costs no more.
fn stats(grid: &Grid, params: &Params) -> Result<Vec<Stat>, Problem> {
    if let Some(names) = params.get("stat") {
        let parse = |name: &str| {
            name.parse::<Stat>().map_err(|error| {
                let known: Vec<&str> = Stat::ALL.iter().map(|stat| stat.name()).collect();
                Problem::parameter("stat", error.to_string()).allowed(known)
            })
        };
        return names.split(',').map(parse).collect();
    }
    Ok(grid.statistics_expected())
}
