//! `gridstone stats`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::args::{self, BoundsArg, CellsArg, Period};
use super::select::{banded, windowed};
use super::terminal::{Terminal, count};
use super::time::Along;
use super::{VerbOutcome, geojson, open};
use gridstone::adapter::raster::RasterAxes;
use gridstone::array::Number;
use gridstone::statistics::{Bins, Estimate, Predicate};
use gridstone::wire::{exactly, statistics_json, zones_json};
use gridstone::{Aggregation, Extent, Grid, Polygon, Stat, Statistics, StatisticsQuery};

/// Sum up the cells of an extent, a polygon or all, as they are at the base
///
/// A cell belongs to a region if its centre does. Figures are exact: whole parts of the pyramid are
/// taken from aggregates, and the base is read on the region's boundary only. What no layer of the
/// grid serves is computed from all base chunks of the region; a note says so. Marks that are
/// pending are taken into account.
///
/// With --max-chunks or --max-error, figures have bounds between which the true ones lie.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  gridstone stats store dem --extent -119.5,37,-119,37.5 --where '>= 1000' --stat count,mean,max\n  \
                  gridstone stats store dem --polygon lake.geojson --histogram 20:0:4000\n  \
                  gridstone stats store dem --polygon catchments.geojson --each --stat mean,max --json"
)]
pub(super) struct Stats {
    /// The directory of the store
    store: PathBuf,
    /// The name of the grid
    grid: String,
    /// A box in world units, over the antimeridian where W is above E [default: all there is]
    #[arg(
        long,
        value_name = "W,S,E,N",
        allow_hyphen_values = true,
        conflicts_with = "polygon"
    )]
    extent: Option<BoundsArg>,
    /// The polygons of a GeoJSON file, in the coordinates of the grid; what lies in any of them
    #[arg(long, value_name = "FILE.geojson")]
    polygon: Option<PathBuf>,
    /// Figures for each feature of the file, in its order and in one pass; what lies in several
    /// counts for each
    #[arg(long, requires = "polygon", conflicts_with_all = ["max_chunks", "max_error"])]
    each: bool,
    /// From the first to before the second time, in ISO 8601 [default: all there is]
    #[arg(long, value_name = "FROM/TO")]
    period: Option<Period>,
    /// Rows and columns in cells of the base level, half-open
    #[arg(long, value_name = "Y0:Y1,X0:X1", allow_hyphen_values = true)]
    window: Option<CellsArg>,
    /// One band, by its label or its number from 1 [default: all]
    #[arg(long, value_name = "B")]
    band: Option<String>,
    /// Only cells for whose values this holds: `>= 10`, `< 0`, `== 3`, `!= 3`, `>= 10 and < 20`,
    /// `10..20`
    #[arg(long = "where", value_name = "CONDITION", allow_hyphen_values = true, value_parser = args::parsed::<Predicate>)]
    predicate: Option<Predicate>,
    /// Any of count, sum, mean, min, max, std
    /// [default: count, mean, min, max, and what costs no more]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = args::parsed::<Stat>)]
    stat: Vec<Stat>,
    /// How many cells lie in each bin: N bins from LOW to HIGH, or between edges
    #[arg(long, value_name = "N:LOW:HIGH|E0,E1,..", allow_hyphen_values = true, value_parser = args::parsed::<Bins>)]
    histogram: Option<Bins>,
    /// How many cells have each value, and their area
    #[arg(long)]
    classes: bool,
    /// Read at most this many chunks
    #[arg(long, value_name = "N")]
    max_chunks: Option<u64>,
    /// Stop where half the distance of each figure's bounds is at most E times the larger of them
    #[arg(long, value_name = "E", value_parser = args::number)]
    max_error: Option<f64>,
    /// Print {"count", "area", "sum", "mean", "min", "max", "std", "histogram": {"edges", "counts",
    /// "below", "above"}, "classes": [{"value", "count", "area"}], "exact", "bounds": {NAME:
    /// [LOW, HIGH]}, "unserved": [{"what", "needs"}], "chunks_read": {"base", "aggregate"}}; area
    /// in level-0 cells, null for what was not asked for or is not there; whole numbers that no
    /// double is exactly as integers, beyond 64 bits as text. With --each {"features":
    /// [{"name", "properties", "count", ..}], "unserved", "chunks_read"}
    #[arg(long)]
    json: bool,
}

impl Stats {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        let store = open(&self.store)?;
        let grid = store.grid(&self.grid)?;
        if let Some(file) = self.polygon.as_ref().filter(|_| self.each) {
            return self.run_each(terminal, &grid, file);
        }
        let query = self.query(terminal, &grid)?;
        let answer = match &self.polygon {
            Some(file) => {
                let axes = RasterAxes::of(grid.structure())?;
                let polygon = geojson::of_grid(terminal, &grid, axes, file)?;
                let answer = grid.statistics(&query.polygon(polygon.clone()))?;
                if is_blank(&answer) {
                    geojson::note_small(
                        terminal,
                        &grid,
                        axes,
                        &polygon,
                        &format!("`{}`", file.display()),
                    )?;
                }
                answer
            }
            None => grid.statistics(&query)?,
        };
        self.notes(terminal, &grid, &answer, answer.chunks_read.base);
        if self.json {
            terminal.print_json(&statistics_json(&answer))?;
        } else {
            terminal.print(as_text(&answer))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The figures of each feature of a file.
    fn run_each(&self, terminal: &Terminal, grid: &Grid, file: &Path) -> VerbOutcome {
        let axes = RasterAxes::of(grid.structure())?;
        let features = geojson::features(terminal, grid, axes, file)?;
        let polygons: Vec<Polygon> = features
            .iter()
            .map(|feature| feature.polygon.clone())
            .collect();
        let zones = grid.statistics_of_each(&self.query(terminal, grid)?, &polygons)?;
        for (feature, _) in features
            .iter()
            .zip(&zones.each)
            .filter(|(_, answer)| is_blank(answer))
        {
            let what = format!("`{}` of `{}`", feature.name, file.display());
            geojson::note_small(terminal, grid, axes, &feature.polygon, &what)?;
        }
        zones
            .each
            .first()
            .into_iter()
            .for_each(|answer| self.notes(terminal, grid, answer, zones.chunks_read.base));
        let read = (zones.chunks_read.base, zones.chunks_read.aggregate);
        if self.json {
            let named = features
                .iter()
                .map(|feature| (feature.name.as_str(), &feature.properties));
            terminal.print_json(&zones_json(named, &zones))?;
        } else {
            for (feature, answer) in features.iter().zip(&zones.each) {
                let figures: Vec<String> = figures(answer)
                    .into_iter()
                    .map(|(stat, text)| format!("{stat} {text}"))
                    .collect();
                let mut lines = shares(answer);
                lines.insert(0, format!("{:<20} {}", feature.name, figures.join(", ")));
                terminal.print(lines.join("\n"))?;
            }
            terminal.print(format!(
                "read       {}, {}",
                count(read.0, "base chunk"),
                count(read.1, "aggregate chunk")
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What is asked for without a word: the figures that everybody looks for first, and what costs
    /// no more beside them.
    fn stats(&self, grid: &Grid) -> Vec<Stat> {
        if !self.stat.is_empty() || self.max_chunks.is_some() || self.max_error.is_some() {
            return self.stat.clone();
        }
        grid.statistics_expected()
    }

    /// The query but for its polygon.
    fn query(&self, terminal: &Terminal, grid: &Grid) -> anyhow::Result<StatisticsQuery> {
        let mut query = StatisticsQuery::all().stats(self.stats(grid));
        query = self
            .predicate
            .iter()
            .fold(query, |query, predicate| query.matching(predicate.clone()));
        query = self
            .histogram
            .iter()
            .fold(query, |query, bins| query.histogram(bins.clone()));
        query = self
            .max_chunks
            .into_iter()
            .fold(query, StatisticsQuery::max_chunks);
        query = self
            .max_error
            .into_iter()
            .fold(query, StatisticsQuery::max_error);
        if self.classes {
            query = query.classes();
        }
        let structure = grid.structure();
        if let Some(period) = self.period {
            let along = Along::of(grid, "--period")?;
            let ticks = if along.irregular {
                Some(along.ticks(period)?)
            } else {
                None
            };
            query = match ticks.zip(grid.bounds()?) {
                Some((ticks, bounds)) => query.window(bounds.along(
                    along.number,
                    ticks.start,
                    ticks.end.abs_diff(ticks.start),
                )),
                None => {
                    let mut sides = vec![(f64::NEG_INFINITY, f64::INFINITY); structure.rank()];
                    sides[along.number] = along.range(period)?;
                    query.extent(Extent::new(sides))
                }
            };
        }
        if self.extent.is_none() && self.window.is_none() && self.band.is_none() {
            return Ok(query);
        }
        let axes = RasterAxes::of(structure)?;
        if let Some(asked) = self.extent {
            query = match asked.placed(terminal, grid, axes)?.as_slice() {
                [only] => {
                    let mut sides = vec![(f64::NEG_INFINITY, f64::INFINITY); structure.rank()];
                    (sides[axes.y], sides[axes.x]) =
                        ((only.south, only.north), (only.west, only.east));
                    query.extent(Extent::new(sides))
                }
                // Cells belong to a polygon as they do to a box.
                several => query.polygon(BoundsArg::polygon(several, grid, axes)?),
            };
        }
        if let Some(bounds) = grid.bounds()? {
            let levels = bounds.levels(structure.dimensions().len());
            if let Some(cells) = self.window {
                query = query.window(windowed(&bounds, axes, cells, levels));
            }
            if let Some(band) = &self.band {
                query = query.window(banded(grid, axes, &bounds, Some(band))?);
            }
        }
        Ok(query)
    }

    /// What the figures do not say themselves.
    fn notes(&self, terminal: &Terminal, grid: &Grid, answer: &Statistics, chunks: u64) {
        let mut needs: Vec<&str> = answer
            .unserved
            .iter()
            .map(|unserved| unserved.needs)
            .collect();
        needs.dedup();
        for needs in needs {
            let what: Vec<&str> = answer
                .unserved
                .iter()
                .filter(|u| u.needs == needs)
                .map(|u| u.what)
                .collect();
            let were = if what.len() == 1 { "was" } else { "were" };
            let chunks = count(chunks, "base chunk");
            let bounded = self.max_chunks.is_some() || self.max_error.is_some();
            let hint = if !bounded && needs == "`sum`" && rounded_mean_helps(grid) {
                "; --max-error 1e-5 would take the layer `mean` where that is exact enough"
            } else {
                ""
            };
            terminal.note(format!(
                "no layer {needs}: {} {were} computed from {chunks}{hint}",
                what.join(" and ")
            ));
        }
        let left: Vec<&str> = Stat::ALL
            .into_iter()
            .filter(|stat| answer.get(*stat).is_none())
            .map(Stat::name)
            .collect();
        if self.stat.is_empty() && !left.is_empty() {
            terminal.note(format!(
                "no layer serves {}; --stat computes them from the base",
                left.join(", ")
            ));
        }
        if !answer.exact {
            terminal.note("figures are not exact: the true ones lie within the bounds");
        }
    }
}

/// Whether no cell has anything to say.
fn is_blank(answer: &Statistics) -> bool {
    let none = |stat: Stat| {
        answer
            .get(stat)
            .is_none_or(|of| of.value.is_nan() || of.value == 0.0 && stat <= Stat::Sum)
    };
    Stat::ALL.into_iter().all(none)
}

/// Whether means of float32 have bounds: of cells whose magnitude is known.
fn rounded_mean_helps(grid: &Grid) -> bool {
    let has = |aggregation| grid.schema().aggregators().contains(&aggregation);
    let bounded =
        !grid.schema().dtype().is_float() || has(Aggregation::Min) && has(Aggregation::Max);
    has(Aggregation::Mean) && bounded
}

/// A figure, with its bounds if they are apart.
fn shown(estimate: Estimate) -> String {
    if estimate.is_exact() {
        estimate.value.to_string()
    } else {
        format!("{} ({} to {})", estimate.value, estimate.low, estimate.high)
    }
}

/// Each figure that was asked for, for people.
fn figures(answer: &Statistics) -> Vec<(Stat, String)> {
    let figure = |stat: Stat| {
        let estimate = answer.get(stat)?;
        let text = match (stat, exactly(answer, stat), answer.area) {
            (_, Some(exact), _) => exact.to_string(),
            (Stat::Count, _, Some(area)) if area != estimate => {
                format!("{} cells, {} level-0 cells", shown(estimate), shown(area))
            }
            (Stat::Count, ..) => format!("{} cells", shown(estimate)),
            _ if estimate.value.is_nan() => "none".to_owned(),
            _ => shown(estimate),
        };
        Some((stat, text))
    };
    Stat::ALL.into_iter().filter_map(figure).collect()
}

/// The histogram and the classes, for people.
fn shares(answer: &Statistics) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(histogram) = &answer.histogram {
        lines.push("histogram".to_owned());
        let edges = histogram.bins.exact();
        let bin = |(edges, count): (&[Number], &Estimate)| {
            format!("  {} to {}: {}", edges[0], edges[1], shown(*count))
        };
        lines.push(format!("  below {}: {}", edges[0], shown(histogram.below)));
        lines.extend(edges.windows(2).zip(&histogram.counts).map(bin));
        lines.push(format!(
            "  above {}: {}",
            edges[edges.len() - 1],
            shown(histogram.above)
        ));
    }
    if let Some(classes) = &answer.classes {
        lines.push("classes".to_owned());
        lines.extend(
            classes
                .iter()
                .map(|class| format!("  {}: {}", class.exact, shown(class.count))),
        );
    }
    lines
}

fn as_text(answer: &Statistics) -> String {
    let mut lines: Vec<String> = figures(answer)
        .into_iter()
        .map(|(stat, text)| format!("{:<10} {text}", stat.name()))
        .collect();
    lines.extend(shares(answer));
    let (base, aggregate) = (answer.chunks_read.base, answer.chunks_read.aggregate);
    lines.push(format!(
        "read       {}, {}",
        count(base, "base chunk"),
        count(aggregate, "aggregate chunk")
    ));
    lines.join("\n")
}
