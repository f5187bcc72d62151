//! `gridstone series`

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::args::{self, Period};
use super::every::{Every, TimeCut};
use super::output;
use super::place::DataPlane;
use super::select::{band_number, banded};
use super::terminal::{Terminal, count};
use super::time::Along;
use super::{VerbOutcome, geojson, json, open, time};
use gridstone::adapter::plot::{self, Plot};
use gridstone::adapter::raster::{Marked, RasterAxes};
use gridstone::adapter::text::quoted;
use gridstone::array::{Validity, with_view};
use gridstone::{
    Array, Freshness, Grid, Layer, Polygon, Series as Answer, SeriesQuery, Stat, StatisticsQuery,
    Steps,
};

/// Read the values of cells, or the mean of a polygon, over time, and write them as a table or a
/// plot
///
/// Without --out: a table on stdout. .csv has a row a step or event, `time,value`: the time at
/// which it begins in ISO 8601, and nothing where there is no data; several cells have a column
/// each, named by their place. .npy is (step), or (cell, step) for several cells, or features. .png
/// is a plot.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  gridstone series store rain --at 500010,4650020 --period 2018-09-13T19:00Z/2018-09-14 --points 500 --out rain.png\n  \
                  gridstone series store rain --polygon catchment.geojson --every 1d --stat sum --out catchment.csv\n  \
                  gridstone series store rain --polygon catchments.geojson --each --every 1mo --out catchments.csv"
)]
pub(super) struct SeriesVerb {
    /// The directory of the store
    store: PathBuf,
    /// The name of the grid
    grid: String,
    /// A place in world units; several times for several cells
    #[arg(
        long,
        value_name = "X,Y",
        required_unless_present = "polygon",
        allow_hyphen_values = true
    )]
    at: Vec<SeriesPlace>,
    /// The polygons of a GeoJSON file, in the coordinates of the grid, in place of cells: a
    /// statistic of the base cells in them, whatever is out of date
    #[arg(long, value_name = "FILE.geojson", conflicts_with_all = ["at", "layer", "fresh"])]
    polygon: Option<PathBuf>,
    /// A column for each feature of the file, in its order and in one pass
    #[arg(long, requires = "polygon")]
    each: bool,
    /// count, sum, mean, min, max or std of the polygon's cells [default: mean]
    #[arg(long, value_name = "NAME", conflicts_with = "at", value_parser = args::parsed::<Stat>)]
    stat: Option<Stat>,
    /// One band, by its label or its number from 1 [default: the first]
    #[arg(long, value_name = "B")]
    band: Option<String>,
    /// From the first to before the second time, in ISO 8601 [default: all there is]
    #[arg(long, value_name = "FROM/TO")]
    period: Option<Period>,
    /// At most so many steps, as far as the pyramid goes; then each stands for several
    /// [default: the base's]
    #[arg(long, value_name = "N")]
    points: Option<std::num::NonZeroUsize>,
    /// Make steps of all that begins in them, by the layer: 6h, 1d, 1w, 1mo, 1season, 1y. Those of
    /// one length are counted from midnight of 1970-01-01, weeks begin on Mondays, seasons with
    /// December, March, June and September
    #[arg(long, value_name = "STEP", conflicts_with = "points")]
    every: Option<Every>,
    /// base, or an aggregator of the grid
    /// [default: the base where there is one, else the first aggregator]
    #[arg(long, value_name = "NAME", value_parser = args::parsed::<Layer>)]
    layer: Option<Layer>,
    /// Compute aggregates that are out of date on the fly
    #[arg(long)]
    fresh: bool,
    /// The file to write: .csv, .npy or .png
    #[arg(long, value_name = "FILE", value_parser = file)]
    out: Option<(PathBuf, SeriesFormat)>,
    /// Replace the file if there is one
    #[arg(long)]
    overwrite: bool,
    /// Print {"levels", "layer", "dtype", "edges", "times", "coordinates", "values": [[..]],
    /// "chunks_read", "stale", "out", "features": [{"name", "properties"}]}; coordinates as `read`
    /// has them, with an irregular axis; features with --each, else null
    #[arg(long)]
    json: bool,
}

/// What a row of a series' array is of.
#[derive(Clone, Debug)]
struct Row {
    name: String,
    properties: Value,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct SeriesPlace {
    x: f64,
    y: f64,
}

impl FromStr for SeriesPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (x, y) = text
            .split_once(',')
            .ok_or("give two numbers, like 500010,4650020")?;
        Ok(Self {
            x: args::number(x)?,
            y: args::number(y)?,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SeriesFormat {
    Csv,
    Npy,
    Png,
}

fn file(text: &str) -> Result<(PathBuf, SeriesFormat), String> {
    let path = PathBuf::from(text);
    match path
        .extension()
        .map(|extension| extension.to_string_lossy().to_lowercase())
        .as_deref()
    {
        Some("csv") => Ok((path, SeriesFormat::Csv)),
        Some("npy") => Ok((path, SeriesFormat::Npy)),
        Some("png") => Ok((path, SeriesFormat::Png)),
        _ => Err("its name must end in .csv, .npy or .png".to_owned()),
    }
}

impl SeriesVerb {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        if let Some((path, _)) = &self.out {
            output::check_path(path, self.overwrite)?;
        }
        let store = open(&self.store)?;
        let grid = store.grid(&self.grid)?;
        let (series, rows) = match &self.polygon {
            Some(file) => self.of_polygons(terminal, &grid, file)?,
            None => (grid.series(&self.query(terminal, &grid)?)?, self.places()),
        };
        if !series.stale.is_empty() {
            let parts = count(series.stale.len() as u64, "part");
            let grid = grid.name();
            terminal.warn(format!(
                "{parts} of what was read out of date; read with --fresh, or run `gridstone aggregate {} {grid}`",
                quoted(&self.store.display().to_string())
            ));
        }
        match &self.out {
            None if !self.json => terminal.write(self.table(&grid, &series, &rows).as_bytes())?,
            None => {}
            Some((path, SeriesFormat::Csv)) => gridstone::adapter::replace(path, |out| {
                let failed = |cause| {
                    gridstone::Error::unavailable(format!("`{}` cannot be written", path.display()))
                        .because(cause)
                };
                out.write_all(self.table(&grid, &series, &rows).as_bytes())
                    .map_err(failed)
            })?,
            Some((path, SeriesFormat::Npy)) => {
                let preferred = match series.validity {
                    Validity::Values { nodata } => nodata,
                    _ => grid.schema().nodata(),
                };
                let cells = Marked::new(series.array.clone(), series.valid(), preferred);
                gridstone::adapter::npy::write(path, &squeezed(cells.unmasked()?.clone()))?;
                if let Some((cell, _)) = cells
                    .nodata
                    .filter(|cell| !cell.dtype().is_float())
                    .zip(cells.valid)
                {
                    terminal.warn(format!(
                        "steps without data hold {} in {}",
                        json::cell_text(&cell),
                        path.display()
                    ));
                }
            }
            Some((path, SeriesFormat::Png)) => {
                plot::write(path, &self.plot(&grid, &series, &rows))?
            }
        }
        if self.json {
            terminal.print_json(&self.as_json(&grid, &series, &rows))?;
        } else if let Some((path, _)) = &self.out {
            let levels = json::levels_text(grid.structure(), series.levels);
            terminal.print(format!(
                "wrote {}: {} of {}, layer {}, level {levels}, {} read",
                path.display(),
                count(
                    steps(&series) as u64,
                    if series.coordinates.is_some() {
                        "time"
                    } else {
                        "step"
                    }
                ),
                match &self.polygon {
                    Some(_) if self.each => count(rows.len() as u64, "polygon"),
                    Some(_) => "a polygon".to_owned(),
                    None => count(rows.len() as u64, "cell"),
                },
                series.layer,
                count(series.chunks_read, "chunk")
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// A statistic of a file's polygons at each step, as the series of one cell, or of one a
    /// feature.
    fn of_polygons(
        &self,
        terminal: &Terminal,
        grid: &Grid,
        file: &Path,
    ) -> anyhow::Result<(Answer, Vec<Row>)> {
        let axes = RasterAxes::of(grid.structure())?;
        let (along, stat) = (
            Along::of(grid, "a series")?,
            self.stat.unwrap_or(Stat::Mean),
        );
        let whole = |polygon: Polygon| {
            (
                Row {
                    name: "value".to_owned(),
                    properties: Value::Null,
                },
                polygon,
                format!("`{}`", file.display()),
            )
        };
        let of_feature = |feature: geojson::Feature| {
            let what = format!("`{}` of `{}`", feature.name, file.display());
            (
                Row {
                    name: feature.name,
                    properties: feature.properties,
                },
                feature.polygon,
                what,
            )
        };
        let all: Vec<(Row, Polygon, String)> = match self.each {
            true => geojson::features(terminal, grid, axes, file)?
                .into_iter()
                .map(of_feature)
                .collect(),
            false => vec![whole(geojson::of_grid(terminal, grid, axes, file)?)],
        };
        let query = StatisticsQuery::all().stats([stat]);
        let query = match grid.bounds()? {
            Some(bounds) => query.window(banded(grid, axes, &bounds, self.band.as_deref())?),
            None => query,
        };
        let polygons: Vec<Polygon> = all.iter().map(|(_, polygon, _)| polygon.clone()).collect();
        let zones =
            grid.statistics_series_of_each(&query, &polygons, &self.steps(grid, &along)?)?;
        let value = |step: &gridstone::Statistics| {
            step.get(stat).map_or(f64::NAN, |estimate| estimate.value)
        };
        let values: Vec<f64> = zones
            .each
            .iter()
            .flat_map(|series| series.steps.iter().map(value))
            .collect();
        for ((_, polygon, what), series) in all.iter().zip(&zones.each) {
            if series
                .steps
                .iter()
                .map(value)
                .all(|value| value.is_nan() || value == 0.0)
            {
                geojson::note_small(terminal, grid, axes, polygon, what)?;
            }
        }
        let first = zones
            .each
            .into_iter()
            .next()
            .context("there is no polygon")?;
        let answer = Answer {
            array: ndarray::Array2::from_shape_vec((all.len(), first.steps.len()), values)?
                .into_dyn()
                .into(),
            validity: Validity::Values { nodata: None },
            edges: first.edges,
            coordinates: first.coordinates,
            axis: first.axis,
            levels: first.levels,
            layer: stat.name().parse()?,
            stale: Vec::new(),
            chunks_read: zones.chunks_read.total(),
        };
        Ok((answer, all.into_iter().map(|(row, ..)| row).collect()))
    }

    fn query(&self, terminal: &Terminal, grid: &Grid) -> anyhow::Result<SeriesQuery> {
        let structure = grid.structure();
        let axes = RasterAxes::of(structure)?;
        let along = Along::of(grid, "a series")?;
        let axis = along.number;
        let band = band_number(grid, axes, self.band.as_deref())?.unwrap_or(0);
        let plane = DataPlane::of(grid, axes)?;
        let cell = |place: &SeriesPlace| -> Vec<f64> {
            let (x, y) = plane.map_or((place.x, place.y), |plane| {
                plane.place(terminal, grid, (place.x, place.y))
            });
            let coordinate = |number: usize| match number {
                number if number == axes.y => y,
                number if number == axes.x => x,
                _ => band as f64,
            };
            (0..structure.rank())
                .filter(|number| *number != axis)
                .map(coordinate)
                .collect()
        };
        let mut cells = self.at.iter().map(cell);
        let query = SeriesQuery::at(cells.next().unwrap_or_default());
        let query = cells
            .fold(query, SeriesQuery::and)
            .steps(self.steps(grid, &along)?);
        let query = query.freshness(if self.fresh {
            Freshness::Fresh
        } else {
            Freshness::Stored
        });
        Ok(match self.layer.clone() {
            Some(layer) => query.layer(layer),
            None => query,
        })
    }

    fn steps(&self, grid: &Grid, along: &Along) -> anyhow::Result<Steps> {
        let structure = grid.structure();
        let mut steps =
            Steps::all().along(structure.dimensions()[structure.dimension_of(along.number)].name());
        if let Some(period) = self.period {
            if let Some(bounds) = grid.bounds()? {
                along.within(structure, &bounds, period)?;
            }
            steps = if along.irregular {
                steps.ticks(along.ticks(period)?)
            } else {
                let (from, to) = along.range(period)?;
                steps.range(from, to)
            };
        }
        if let Some((every, bounds)) = self.every.zip(grid.bounds()?) {
            let part = self.period.map_or(Ok(bounds), |period| {
                along.within(structure, &bounds, period)
            })?;
            steps = match every.cut(grid, &part)? {
                TimeCut::Even(step, from) => steps.every(step, from),
                TimeCut::Edges(edges) => steps.edges(edges),
            };
        }
        Ok(match self.points {
            Some(points) => steps.points(points.get()),
            None => steps,
        })
    }

    /// The cells that are asked for, each by its place if there are several.
    fn places(&self) -> Vec<Row> {
        let several = self.at.len() > 1;
        let name = |place: &SeriesPlace| {
            if several {
                format!("{} {}", place.x, place.y)
            } else {
                "value".to_owned()
            }
        };
        self.at
            .iter()
            .map(|place| Row {
                name: name(place),
                properties: Value::Null,
            })
            .collect()
    }

    fn table(&self, grid: &Grid, series: &Answer, rows: &[Row]) -> String {
        let axis = grid.structure().axes().nth(series.axis);
        let name = axis.map_or("", |axis| {
            if axis.time().is_some() {
                "time"
            } else {
                axis.name()
            }
        });
        let steps = steps(series);
        let shown = texts(series);
        let names: Vec<String> = rows.iter().map(|row| csv_field(&row.name)).collect();
        let mut table = format!("{name},{}\n", names.join(","));
        let times = times(grid, series);
        for (step, time) in times[..steps].iter().enumerate() {
            table += time;
            for cell in 0..rows.len() {
                table.push(',');
                table += &shown[cell * steps + step];
            }
            table.push('\n');
        }
        table
    }

    fn plot(&self, grid: &Grid, series: &Answer, rows: &[Row]) -> Plot {
        let values: Vec<f64> = series
            .values()
            .map(|value| value.unwrap_or(f64::NAN))
            .collect();
        let places: Vec<String> = self
            .at
            .iter()
            .map(|place| format!("{}, {}", place.x, place.y))
            .collect();
        let place = match &self.polygon {
            Some(_) if self.each => rows
                .iter()
                .map(|row| row.name.as_str())
                .collect::<Vec<_>>()
                .join(" / "),
            Some(file) => format!("over {}", file.display()),
            None => format!("at {}", places.join(" / ")),
        };
        Plot {
            title: format!("{} ({}) {place}", grid.name(), series.layer),
            lines: values.chunks(steps(series)).map(<[f64]>::to_vec).collect(),
            spans: spans(series),
            time: grid
                .structure()
                .axes()
                .nth(series.axis)
                .and_then(gridstone::Axis::time),
        }
    }

    fn as_json(&self, grid: &Grid, series: &Answer, rows: &[Row]) -> Value {
        let structure = grid.structure();
        let timed = structure
            .axes()
            .nth(series.axis)
            .is_some_and(|axis| axis.time().is_some());
        let times = timed.then(|| times(grid, series));
        let values = with_view!(Array, &series.array, |cells| {
            let held = cells.iter().zip(series.validity.iter(&series.array));
            held.map(|(cell, valid)| {
                if valid {
                    json::cell(&vec![*cell].into())
                } else {
                    Value::Null
                }
            })
            .collect::<Vec<_>>()
        });
        json!({
            "levels": json::levels(structure, series.levels), "layer": series.layer.to_string(),
            "dtype": series.array.dtype().name(), "edges": series.edges, "times": times,
            "coordinates": json::coordinates(structure, series.coordinates.as_ref()),
            "values": values.chunks(steps(series).max(1)).collect::<Vec<_>>(), "chunks_read": series.chunks_read,
            "stale": series.stale.iter().map(|window| json::window(structure, window)).collect::<Vec<_>>(),
            "out": self.out.as_ref().map(|(path, _)| path.display().to_string()),
            "features": self.each.then(|| {
                rows.iter().map(|row| json!({ "name": row.name, "properties": row.properties })).collect::<Vec<_>>()
            }),
        })
    }
}

/// A field of a table, in quotes if it has to be.
fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// How many steps, bins or events there are.
fn steps(series: &Answer) -> usize {
    series.array.shape()[1]
}

/// The time of each step, and the end of the last; of events and bins their own, exactly.
fn times(grid: &Grid, series: &Answer) -> Vec<String> {
    let axis = grid.structure().axes().nth(series.axis);
    let shown = |axis: &gridstone::Axis| match &series.coordinates {
        Some(of) => of.ticks.iter().map(|tick| axis.shown(*tick)).collect(),
        None => series
            .edges
            .iter()
            .map(|edge| time::shown(axis, *edge))
            .collect(),
    };
    axis.map(shown).unwrap_or_default()
}

/// From where to where each step goes; events are points.
fn spans(series: &Answer) -> Vec<[f64; 2]> {
    match &series.coordinates {
        Some(of) if of.width == 1 => of.ticks.iter().map(|tick| [*tick as f64; 2]).collect(),
        Some(of) => of
            .ticks
            .iter()
            .map(|tick| [*tick as f64, tick.saturating_add_unsigned(of.width) as f64])
            .collect(),
        None => series
            .edges
            .windows(2)
            .map(|edges| [edges[0], edges[1]])
            .collect(),
    }
}

/// Every value in as few digits as tell it from others; nothing for no data.
fn texts(series: &Answer) -> Vec<String> {
    let valid = series.validity.iter(&series.array);
    with_view!(Array, &series.array, |cells| {
        cells
            .iter()
            .zip(valid)
            .map(|(cell, valid)| {
                if valid {
                    format!("{cell:?}")
                } else {
                    String::new()
                }
            })
            .collect()
    })
}

/// A single cell's series has one axis.
fn squeezed(array: Array) -> Array {
    if array.shape()[0] != 1 {
        return array;
    }
    with_view!(Array, array, |cells| Array::from(
        cells.index_axis_move(ndarray::Axis(0), 0)
    ))
}
