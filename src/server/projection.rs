//! Where the coordinates of a grid lie on a map.

use axum::http::StatusCode;

use super::reply::Problem;
use crate::crs::Projection;
use crate::{Grid, crs};

/// How the coordinates of a grid follow from longitude and latitude. Refuses systems that are not
/// known here, by their names.
pub(super) fn of(grid: &Grid) -> Result<Projection, Problem> {
    let Some(system) = grid.structure().crs() else {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            format!(
                "grid `{}` has no coordinate reference system, so it is not known where on a map it lies; create it with one",
                grid.name()
            ),
        ));
    };
    Projection::of_system(system).map_err(|why| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            format!(
                "grid `{}` is in {}, which cannot be laid onto a map here: {why}",
                grid.name(),
                crs::shown(system)
            ),
        )
    })
}
