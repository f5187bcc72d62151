//! From an address to an image.

use axum::http::HeaderMap;

use super::super::app::App;
use super::super::projection;
use super::super::reply::{Problem, Reply, etag_of};
use super::super::slice::{self, Plane, When};
use super::ask::{Encoding, TileQuery};
use super::encode;
use super::place::{Places, Tile};
use super::sample::{AxisLine, CellRanges, Sampler};
use super::stretch::Shown;
use crate::grid::longitude::turns;
use crate::grid::{Extent, Level, Levels, Window};
use crate::{Freshness, Grid, Layer, Query};

/// Renders a tile, unless the client has it.
pub(super) fn render(
    app: &App,
    grid: &Grid,
    tile: Tile,
    ask: &TileQuery,
    headers: &HeaderMap,
) -> Result<Reply, Problem> {
    let described = ask.described(tile);
    let view = TileView::of(app, grid, tile, ask)?;
    let Some(view) = view.filter(|view| !view.parts.is_empty()) else {
        // Where there is no data all tiles are one.
        let etag = etag_of(&format!("none {} {:?}", tile.side, ask.encoding), &[]);
        return Reply::unless_known(&app.kept, headers, etag, encode::PNG, || {
            image(vec![f64::NAN; tile.side * tile.side], tile, ask, [0.0, 1.0])
        });
    };
    let versions = view.parts.iter().map(|part| grid.version(&part.query));
    let versions = versions.collect::<crate::Result<Vec<_>>>()?;
    let stretch = if ask.encoding == Encoding::Colours {
        app.stretches.of(grid, ask, &view.shown)?
    } else {
        [0.0, 1.0]
    };
    let described = format!("{described} {stretch:?} {}", view.shown.layer);
    let etag = etag_of(&described, &versions);
    Reply::unless_known(&app.kept, headers, etag, encode::PNG, || {
        let mut values = vec![f64::NAN; tile.side * tile.side];
        for part in &view.parts {
            let answer = grid.read(&part.query)?;
            view.sampler(tile, ask, part.turn).lay(
                grid.structure(),
                &answer,
                &part.cells,
                &mut values,
            )?;
        }
        image(values, tile, ask, stretch)
    })
}

fn image(
    values: Vec<f64>,
    tile: Tile,
    ask: &TileQuery,
    stretch: [f64; 2],
) -> Result<Vec<u8>, Problem> {
    encode::image(values, tile.side, ask.encoding, (ask.ramp, stretch))
}

/// What of a grid a tile shows.
struct TileView {
    places: Places,
    plane: [usize; 2],
    level: Level,
    shown: Shown,
    parts: Vec<TilePart>,
}

/// Cells that are read together.
struct TilePart {
    /// By how many degrees the tile is turned to meet them.
    turn: f64,
    cells: CellRanges,
    query: Query,
}

impl TileView {
    /// `None` where there is nothing to be seen.
    fn of(app: &App, grid: &Grid, tile: Tile, ask: &TileQuery) -> Result<Option<Self>, Problem> {
        let structure = grid.structure();
        let plane = Plane::of(grid)?;
        let projection = projection::of(grid)?;
        let (Some(bounds), Some(base)) = (grid.bounds()?, grid.base_levels()?) else {
            return Ok(None);
        };
        slice::check_layer(grid, ask.layer.as_ref())?;
        let mut levels = slice::levels(grid, &ask.params, base)?;
        let when = slice::when(grid, plane, &ask.params, (&bounds, levels), ask.freshness)?;
        let others = slice::others(grid, plane, &ask.params, &bounds, levels)?;
        let places = Places::of(tile, &projection);
        let extent = structure.extent(&bounds);
        let around = turns_of(grid, plane, &places, &extent);
        let (Some(&turn), false) = (around.first(), when == When::Never) else {
            return Ok(None);
        };
        let named = format!("level.{}", structure.dimensions()[plane.space].name());
        if ask.params.get(&named).is_none() {
            let [x, y] = [plane.x, plane.y].map(|axis| extent.bounds()[axis]);
            let within = [(x.0 - turn, x.1 - turn), y];
            const ALL: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);
            let pixel = places
                .pixel(tile.side, within)
                .or_else(|| places.pixel(tile.side, [ALL; 2]));
            let Some(pixel) = pixel else {
                return Ok(None);
            };
            let reach = reach(grid, ask.layer.as_ref(), ask.freshness, base)?[plane.space];
            levels = levels.with(plane.space, level_for(grid, plane, pixel, (base, reach)));
        }
        let shown = Shown {
            layer: layer_at(grid, ask, levels, base),
            levels,
            others,
            plane: [plane.space, plane.y, plane.x],
            along: plane.along.map(|along| along.number),
        };
        let mut view = Self {
            places,
            plane: [plane.y, plane.x],
            level: levels[plane.space],
            shown,
            parts: Vec::new(),
        };
        for turn in around {
            view.add(app, grid, (tile, ask), (&bounds, when), turn)?;
        }
        Ok(Some(view))
    }

    fn sampler(&self, tile: Tile, ask: &TileQuery, turn: f64) -> Sampler<'_> {
        let [y, x] = self.plane;
        Sampler {
            places: &self.places,
            side: tile.side,
            resampling: ask.resampling,
            lines: [
                AxisLine::new(y, self.level, 0.0),
                AxisLine::new(x, self.level, turn),
            ],
        }
    }

    /// Adds the cells that the tile shows after a turn.
    fn add(
        &mut self,
        app: &App,
        grid: &Grid,
        (tile, ask): (Tile, &TileQuery),
        (bounds, when): (&Window, When),
        turn: f64,
    ) -> Result<(), Problem> {
        let structure = grid.structure();
        let covered = structure.cover(bounds, self.shown.levels);
        let there = self
            .plane
            .map(|axis| covered.start()[axis]..covered.end()[axis]);
        let sampler = self.sampler(tile, ask, turn);
        let Some(cells) = sampler.cells(structure, &there) else {
            return Ok(());
        };
        let lens = [0, 1].map(|axis: usize| cells[axis].end.abs_diff(cells[axis].start));
        if lens[0].saturating_mul(lens[1]) > app.options.cells {
            return Err(Problem::too_large(format!(
                "the tile is made of {} x {} cells, more than {}: zoom in, or create the grid with an aggregator, which keeps coarser levels",
                lens[0], lens[1], app.options.cells
            )));
        }
        let mut window = self.shown.fixed(covered);
        for (axis, range) in self.plane.into_iter().zip(&cells) {
            window = window.along(axis, range.start, range.end.abs_diff(range.start));
        }
        let query = match (when, self.shown.along) {
            (When::Step(cell), Some(axis)) => Query::window(window.along(axis, cell, 1)),
            (When::Event(tick), Some(_)) => {
                Query::window(window).ticks(tick..tick.saturating_add(1))
            }
            _ => Query::window(window),
        };
        let query = query
            .layer(self.shown.layer.clone())
            .freshness(ask.freshness);
        self.parts.push(TilePart { turn, cells, query });
        Ok(())
    }
}

/// The turns by whole circles that bring the tile to the data; none if it is elsewhere.
fn turns_of(grid: &Grid, plane: Plane<'_>, places: &Places, extent: &Extent) -> Vec<f64> {
    let Some([x, y]) = places.bounds() else {
        return Vec::new();
    };
    let [of_x, of_y] = [plane.x, plane.y].map(|axis| extent.bounds()[axis]);
    let apart = |a: (f64, f64), b: (f64, f64)| a.1 < b.0 || b.1 < a.0;
    if apart(y, of_y) {
        return Vec::new();
    }
    if grid.structure().longitude() == Some(plane.x) {
        return turns(x, of_x);
    }
    if apart(x, of_x) {
        Vec::new()
    } else {
        vec![0.0]
    }
}

/// The layer that is shown at some levels: the base at those of the base, the first aggregator
/// above.
pub(super) fn layer_at(grid: &Grid, ask: &TileQuery, levels: Levels, base: Levels) -> Layer {
    match (&ask.layer, grid.schema().aggregators().first()) {
        (Some(layer), _) => layer.clone(),
        (None, Some(first)) if !base.covers(&levels) => Layer::Aggregate(first.clone()),
        (None, _) => Layer::Base,
    }
}

/// The coarsest levels that can be read of what is asked for: those of the base where no layer is
/// above it.
pub(super) fn reach(
    grid: &Grid,
    layer: Option<&Layer>,
    freshness: Freshness,
    base: Levels,
) -> Result<Levels, Problem> {
    if layer == Some(&Layer::Base) || grid.schema().aggregators().is_empty() {
        return Ok(base);
    }
    let of = if freshness == Freshness::Fresh {
        grid.top()?.map(|top| top.levels())
    } else {
        grid.reach()?
    };
    Ok(of.map_or(base, |levels| levels.coarser_of(&base)))
}

/// The coarsest level whose cells are at most as large as a pixel.
fn level_for(
    grid: &Grid,
    plane: Plane<'_>,
    pixel: [f64; 2],
    (base, reach): (Levels, Level),
) -> Level {
    let steps: Vec<f64> = grid
        .structure()
        .axes()
        .map(|axis| axis.step().abs())
        .collect();
    let steps = [plane.x, plane.y].map(|axis| steps[axis]);
    let ratio = pixel
        .into_iter()
        .zip(steps)
        .map(|(pixel, step)| pixel / step)
        .fold(f64::INFINITY, f64::min);
    let mut level = base[plane.space];
    while level < reach
        && let Some(coarser) = level.coarser()
        && coarser.scale() <= ratio * (1.0 + 1e-9)
    {
        level = coarser;
    }
    level
}
