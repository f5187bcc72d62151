//! A store over HTTP: tiles, queries of the environmental data retrieval kind (OGC EDR),
//! statistics, changes as they come, a map page, figures for operators. It only reads.
//!
//! [`router`] is an [`axum::Router`] to be mounted beside a service's own routes, over the store
//! that the service writes to: what is put shows in the next answer, and those who listen to
//! `/changes/{grid}` hear of it. [`serve`] listens by itself; `gridstone serve STORE` is that.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let store = gridstone::Store::open("store")?;
//! let app = axum::Router::new().nest("/data", gridstone::server::router(store));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! axum::serve(listener, app).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Routes
//!
//! | route | what it gives |
//! |---|---|
//! | `/` | a map page |
//! | `/grids`, `/grids/{grid}` | what `gridstone info --json` prints |
//! | `/tiles/{grid}/{z}/{x}/{y}.png`, `..@2x.png` | tiles of WebMercatorQuad; their parameters are those of [`tiles`](#tiles) |
//! | `/tiles/{grid}/tiles.json`, `/tiles/{grid}/legend.png` | TileJSON 3.0 with the range of the colours; the ramp |
//! | `/wmts` | WMTS 1.0: capabilities that name the same tiles and their times, and `GetTile` |
//! | `/edr/collections`, `/edr/collections/{grid}` | collections of OGC EDR 1.1 |
//! | `/edr/collections/{grid}/position`, `radius`, `area`, `cube` | cells at a point over time, around it, in a polygon, in a box, at heights `z`, as CoverageJSON or CSV |
//! | `/zarr/{grid}/..`, `/zarr/{grid}@{layer}/..` | a Zarr hierarchy (v3), live; `/zarr2` has the metadata of v2 |
//! | `/snap`, `/snap/{number}/zarr/{grid}/..` | a number, and the same of one snapshot, for reads that take long |
//! | `/stats/{grid}` | exact statistics of each feature of a GeoJSON that is posted |
//! | `/changes/{grid}` | server-sent events, a page of the change feed each |
//! | `/healthz`, `/readyz`, `/metrics` | for operators |
//!
//! EDR has no locations and items here: cells have places and no names. Labels of a Fixed dimension,
//! which have names and no places, are parameters if they are bands, else what `z` and `at.NAME`
//! choose from. Distances of `radius` are those on a sphere.
//!
//! # Tiles
//!
//! `ramp`, `min` and `max` (of the whole layer unless given), `layer`, `time`, `band`, `at.NAME` (a
//! label or a coordinate along another dimension), `level.NAME` (of a dimension), `resampling`
//! (`nearest` or `bilinear`), `encoding` (`terrarium` or `terrain-rgb`), `scheme` (`xyz` or `tms`)
//! and `freshness`. Values are resampled, never colours. What holds no data is transparent. Grids
//! in EPSG:3857 and EPSG:4326 are placed in closed form, those of any other code of EPSG by
//! `proj4rs`, on a net that is as fine as it takes to be within an eighth of a pixel.
//!
//! # What holds for every answer
//!
//! It is of one moment of the store. Its ETag is made of all that it depends on, so that equal
//! ETags are equal bytes, and `If-None-Match` costs no chunk. What was asked for before is given
//! again without an engine call until the next commit. Texts are packed with gzip for who takes
//! them so; any answer is given in ranges. It is fresh: what is not aggregated yet is computed,
//! unless `freshness=stored` is asked for. An error is a JSON problem (RFC 9457) that names the
//! parameter at fault and what is allowed, and no path of the host. Engine calls run on threads of
//! their own, so many at a time and so long as [`Options`] says; beyond that an answer is 503 with
//! `Retry-After`.

mod app;
mod asked;
mod changes;
mod edr;
mod grids;
mod gzip;
mod kept;
mod limits;
mod listen;
mod metrics;
mod ops;
mod page;
mod params;
mod projection;
mod range;
mod reply;
mod slice;
mod stats;
mod tiles;
mod zarr;

pub use limits::Options;
pub use listen::serve;

use axum::Router;
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{Any, CorsLayer};

use crate::Store;
use app::{App, Shared};

/// All routes over a store, with limits as they are by default.
pub fn router(store: Store) -> Router {
    router_with(store, Options::default())
}

/// The same with limits of one's own.
pub fn router_with(store: Store, options: Options) -> Router {
    routes(App::new(store, options))
}

fn routes(app: Shared) -> Router {
    let body_bytes = app.options.body_bytes;
    let stats = post(stats::of_features).layer(axum::extract::DefaultBodyLimit::max(body_bytes));
    let routes = Router::new()
        .route("/", get(page::index))
        .route("/page/{file}", get(page::file))
        .route("/grids", get(grids::all))
        .route("/grids/{grid}", get(grids::one))
        .route("/tiles/{grid}/tiles.json", get(tiles::tilejson))
        .route("/tiles/{grid}/legend.png", get(tiles::legend))
        .route("/tiles/{grid}/{z}/{x}/{y}", get(tiles::tile))
        .route("/wmts", get(tiles::wmts))
        .route("/edr", get(edr::landing))
        .route("/edr/conformance", get(edr::conformance))
        .route("/edr/collections", get(edr::collections))
        .route("/edr/collections/{grid}", get(edr::collection))
        .route("/edr/collections/{grid}/position", get(edr::position))
        .route("/edr/collections/{grid}/radius", get(edr::radius))
        .route("/edr/collections/{grid}/area", get(edr::area))
        .route("/edr/collections/{grid}/cube", get(edr::cube))
        .route("/stats/{grid}", stats)
        .route("/zarr/{name}", get(zarr::v3))
        .route("/zarr/{name}/", get(zarr::v3))
        .route("/zarr/{name}/{*key}", get(zarr::v3))
        .route("/zarr2/{name}", get(zarr::v2))
        .route("/zarr2/{name}/", get(zarr::v2))
        .route("/zarr2/{name}/{*key}", get(zarr::v2))
        .route("/snap", get(zarr::snapshot))
        .route("/snap/{number}/zarr/{name}", get(zarr::v3))
        .route("/snap/{number}/zarr/{name}/", get(zarr::v3))
        .route("/snap/{number}/zarr/{name}/{*key}", get(zarr::v3))
        .route("/snap/{number}/zarr2/{name}", get(zarr::v2))
        .route("/snap/{number}/zarr2/{name}/", get(zarr::v2))
        .route("/snap/{number}/zarr2/{name}/{*key}", get(zarr::v2))
        .route("/changes/{grid}", get(changes::stream))
        .route("/metrics", get(ops::metrics))
        .route("/readyz", get(ops::ready))
        .route("/healthz", get(ops::health))
        .fallback(reply::no_route)
        .method_not_allowed_fallback(reply::no_method);
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods(Any)
        .allow_headers(Any)
        .expose_headers([
            axum::http::header::ETAG,
            axum::http::header::CONTENT_RANGE,
            axum::http::header::CONTENT_LENGTH,
            axum::http::header::ACCEPT_RANGES,
            axum::http::header::RETRY_AFTER,
        ]);
    let count = axum::middleware::from_fn_with_state(app.clone(), metrics::count);
    let panicked = CatchPanicLayer::custom(reply::panicked);
    routes.layer((cors, panicked, count)).with_state(app)
}
