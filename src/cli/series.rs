//! `gridstone series`

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use serde_json::{Value, json};

use super::args::{self, Period};
use super::output;
use super::select::banded;
use super::terminal::{Terminal, count};
use super::time::{Along, Length};
use super::{Outcome, geojson, json, open, time};
use crate::adapter::plot::{self, Plot};
use crate::adapter::raster::{Marked, RasterAxes};
use crate::array::with_view;
use crate::{Array, Freshness, Grid, Layer, Series as Answer, SeriesQuery, Stat, StatisticsQuery, Steps, Validity};

/// Read the values of cells, or the mean of a polygon, over time, and write them as a table or a plot
///
/// Without --out: a table on stdout. .csv has a row a step or event, `time,value`: the time at which it begins in ISO 8601, and
/// nothing where there is no data; several cells have a column each, named by their place. .npy is (step), or (cell, step) for
/// several cells. .png is a plot.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  gridstone series store rain --at 500010,4650020 --period 2018-09-13T19:00Z/2018-09-14 --points 500 --out rain.png\n  \
                  gridstone series store rain --polygon catchment.geojson --every 1d --stat sum --out catchment.csv"
)]
pub(super) struct Series {
    /// The directory of the store
    store: PathBuf,
    /// The name of the grid
    grid: String,
    /// A place in world units; several times for several cells
    #[arg(long, value_name = "X,Y", required_unless_present = "polygon", allow_hyphen_values = true)]
    at: Vec<Place>,
    /// The polygons of a GeoJSON file, in the coordinates of the grid, in place of cells: a statistic of the base cells in them,
    /// whatever is out of date
    #[arg(long, value_name = "FILE.geojson", conflicts_with_all = ["at", "layer", "fresh"])]
    polygon: Option<PathBuf>,
    /// count, sum, mean, min, max or std of the polygon's cells [default: mean]
    #[arg(long, value_name = "NAME", conflicts_with = "at", value_parser = args::parsed::<Stat>)]
    stat: Option<Stat>,
    /// One band, by its number from 1 [default: 1]
    #[arg(long, value_name = "B")]
    band: Option<std::num::NonZeroU32>,
    /// From the first to before the second time, in ISO 8601 [default: all there is]
    #[arg(long, value_name = "FROM/TO")]
    period: Option<Period>,
    /// At most so many steps, as far as the pyramid goes; then each stands for several [default: the base's]
    #[arg(long, value_name = "N")]
    points: Option<std::num::NonZeroUsize>,
    /// Make regular steps of events, like 1h or 1d, by the layer; they begin at midnight of 1970 or whole steps from it
    #[arg(long, value_name = "LENGTH", conflicts_with = "points")]
    every: Option<Length>,
    /// base, or an aggregator of the grid [default: the base where there is one, else the first aggregator]
    #[arg(long, value_name = "NAME", value_parser = args::parsed::<Layer>)]
    layer: Option<Layer>,
    /// Compute aggregates that are out of date on the fly
    #[arg(long)]
    fresh: bool,
    /// The file to write: .csv, .npy or .png
    #[arg(long, value_name = "FILE", value_parser = file)]
    out: Option<(PathBuf, Format)>,
    /// Replace the file if there is one
    #[arg(long)]
    overwrite: bool,
    /// Print {"levels", "layer", "dtype", "edges", "times", "coordinates", "values": [[..]], "chunks_read", "stale", "out"};
    /// coordinates as `read` has them, with an irregular axis
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    x: f64,
    y: f64,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (x, y) = text.split_once(',').ok_or("give two numbers, like 500010,4650020")?;
        Ok(Self { x: args::number(x)?, y: args::number(y)? })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Csv,
    Npy,
    Png,
}

fn file(text: &str) -> Result<(PathBuf, Format), String> {
    let path = PathBuf::from(text);
    match path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).as_deref() {
        Some("csv") => Ok((path, Format::Csv)),
        Some("npy") => Ok((path, Format::Npy)),
        Some("png") => Ok((path, Format::Png)),
        _ => Err("its name must end in .csv, .npy or .png".to_owned()),
    }
}

impl Series {
    pub(super) fn run(self, terminal: &Terminal) -> Outcome {
        if let Some((path, _)) = &self.out {
            output::check_path(path, self.overwrite)?;
        }
        let store = open(&self.store)?;
        let grid = store.grid(&self.grid)?;
        let series = match &self.polygon {
            Some(file) => self.of_polygon(terminal, &grid, file)?,
            None => grid.series(&self.query(&grid)?)?,
        };
        if !series.stale.is_empty() {
            let parts = count(series.stale.len() as u64, "part");
            let grid = grid.name();
            terminal.warn(format!(
                "{parts} of what was read out of date; read with --fresh, or run `gridstone aggregate {} {grid}`",
                self.store.display()
            ));
        }
        match &self.out {
            None if !self.json => terminal.write(self.table(&grid, &series).as_bytes())?,
            None => {}
            Some((path, Format::Csv)) => crate::adapter::replace(path, |out| {
                let failed = |cause| crate::Error::unavailable(format!("`{}` cannot be written", path.display())).because(cause);
                out.write_all(self.table(&grid, &series).as_bytes()).map_err(failed)
            })?,
            Some((path, Format::Npy)) => {
                let preferred = match series.validity {
                    Validity::Values { nodata } => nodata,
                    _ => grid.schema().nodata(),
                };
                let cells = Marked::new(series.array.clone(), series.valid(), preferred);
                crate::adapter::npy::write(path, &squeezed(cells.unmasked()?.clone()))?;
                if let Some((cell, _)) = cells.nodata.filter(|cell| !cell.dtype().is_float()).zip(cells.valid) {
                    terminal.warn(format!("steps without data hold {} in {}", json::cell_text(&cell), path.display()));
                }
            }
            Some((path, Format::Png)) => plot::write(path, &self.plot(&grid, &series))?,
        }
        if self.json {
            terminal.print_json(&self.as_json(&grid, &series))?;
        } else if let Some((path, _)) = &self.out {
            let levels = json::levels_text(grid.structure(), series.levels);
            terminal.print(format!(
                "wrote {}: {} of {}, layer {}, level {levels}, {} read",
                path.display(),
                count(steps(&series) as u64, if series.coordinates.is_some() { "time" } else { "step" }),
                if self.polygon.is_some() { "a polygon".to_owned() } else { count(self.at.len() as u64, "cell") },
                series.layer,
                count(series.chunks_read, "chunk")
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// A statistic of a polygon at each step, as the series of one cell.
    fn of_polygon(&self, terminal: &Terminal, grid: &Grid, file: &Path) -> anyhow::Result<Answer> {
        let axes = RasterAxes::of(grid.structure())?;
        let (along, stat) = (Along::of(grid, "a series")?, self.stat.unwrap_or(Stat::Mean));
        let query = StatisticsQuery::all().polygon(geojson::of_grid(terminal, grid, axes, file)?).stats([stat]);
        let query = match (self.band, grid.bounds()?) {
            (Some(band), Some(bounds)) => query.window(banded(grid, axes, &bounds, &band.to_string())?),
            _ => query,
        };
        let series = grid.statistics_series(&query, &self.steps(grid, &along)?)?;
        let values: Vec<f64> =
            series.steps.iter().map(|step| step.get(stat).map_or(f64::NAN, |estimate| estimate.value)).collect();
        Ok(Answer {
            array: ndarray::Array2::from_shape_vec((1, values.len()), values)?.into_dyn().into(),
            validity: Validity::Values { nodata: None },
            edges: series.edges,
            coordinates: series.coordinates,
            axis: series.axis,
            levels: series.levels,
            layer: stat.name().parse()?,
            stale: Vec::new(),
            chunks_read: series.chunks_read.total(),
        })
    }

    fn query(&self, grid: &Grid) -> anyhow::Result<SeriesQuery> {
        let structure = grid.structure();
        let axes = RasterAxes::of(structure)?;
        let along = Along::of(grid, "a series")?;
        let axis = along.number;
        anyhow::ensure!(self.band.is_none() || axes.band.is_some(), "grid `{}` has no bands to choose from", grid.name());
        let cell = |place: &Place| -> Vec<f64> {
            let coordinate = |number: usize| match number {
                number if number == axes.y => place.y,
                number if number == axes.x => place.x,
                _ => f64::from(self.band.map_or(1, std::num::NonZeroU32::get) - 1),
            };
            (0..structure.rank()).filter(|number| *number != axis).map(coordinate).collect()
        };
        let mut cells = self.at.iter().map(cell);
        let query = SeriesQuery::at(cells.next().unwrap_or_default());
        let query = cells.fold(query, SeriesQuery::and).steps(self.steps(grid, &along)?);
        let query = query.freshness(if self.fresh { Freshness::Fresh } else { Freshness::Stored });
        Ok(match self.layer.clone() {
            Some(layer) => query.layer(layer),
            None => query,
        })
    }

    fn steps(&self, grid: &Grid, along: &Along) -> anyhow::Result<Steps> {
        let structure = grid.structure();
        let mut steps = Steps::all().along(structure.dimensions()[structure.dimension_of(along.number)].name());
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
        if let Some(every) = self.every {
            let along = Along::of_events(grid, "--every")?;
            steps = steps.every(along.length(every)?, along.midnight());
        }
        Ok(match self.points {
            Some(points) => steps.points(points.get()),
            None => steps,
        })
    }

    /// The name of each cell's column.
    fn names(&self) -> Vec<String> {
        match &self.at[..] {
            [] | [_] => vec!["value".to_owned()],
            several => several.iter().map(|place| format!("{} {}", place.x, place.y)).collect(),
        }
    }

    fn table(&self, grid: &Grid, series: &Answer) -> String {
        let axis = grid.structure().axes().nth(series.axis);
        let name = axis.map_or("", |axis| if axis.time().is_some() { "time" } else { axis.name() });
        let steps = steps(series);
        let (shown, names) = (texts(series), self.names());
        let mut table = format!("{name},{}\n", names.join(","));
        let times = times(grid, series);
        for (step, time) in times[..steps].iter().enumerate() {
            table += time;
            for cell in 0..names.len() {
                table.push(',');
                table += &shown[cell * steps + step];
            }
            table.push('\n');
        }
        table
    }

    fn plot(&self, grid: &Grid, series: &Answer) -> Plot {
        let values: Vec<f64> = series.values().map(|value| value.unwrap_or(f64::NAN)).collect();
        let places: Vec<String> = self.at.iter().map(|place| format!("{}, {}", place.x, place.y)).collect();
        let place = match &self.polygon {
            Some(file) => format!("over {}", file.display()),
            None => format!("at {}", places.join(" / ")),
        };
        Plot {
            title: format!("{} ({}) {place}", grid.name(), series.layer),
            lines: values.chunks(steps(series)).map(<[f64]>::to_vec).collect(),
            spans: spans(series),
            time: grid.structure().axes().nth(series.axis).and_then(crate::Axis::time),
        }
    }

    fn as_json(&self, grid: &Grid, series: &Answer) -> Value {
        let structure = grid.structure();
        let timed = structure.axes().nth(series.axis).is_some_and(|axis| axis.time().is_some());
        let times = timed.then(|| times(grid, series));
        let values = with_view!(Array, &series.array, |cells| {
            let held = cells.iter().zip(series.validity.iter(&series.array));
            held.map(|(cell, valid)| if valid { json::cell(&vec![*cell].into()) } else { Value::Null }).collect::<Vec<_>>()
        });
        json!({
            "levels": json::levels(structure, series.levels), "layer": series.layer.to_string(),
            "dtype": series.array.dtype().name(), "edges": series.edges, "times": times,
            "coordinates": json::coordinates(structure, series.coordinates.as_ref()),
            "values": values.chunks(steps(series).max(1)).collect::<Vec<_>>(), "chunks_read": series.chunks_read,
            "stale": series.stale.iter().map(|window| json::window(structure, window)).collect::<Vec<_>>(),
            "out": self.out.as_ref().map(|(path, _)| path.display().to_string()),
        })
    }
}

/// How many steps, bins or events there are.
fn steps(series: &Answer) -> usize {
    series.array.shape()[1]
}

/// The time of each step, and the end of the last; of events and bins their own, exactly.
fn times(grid: &Grid, series: &Answer) -> Vec<String> {
    let axis = grid.structure().axes().nth(series.axis);
    let shown = |axis: &crate::Axis| match &series.coordinates {
        Some(of) => of.ticks.iter().map(|tick| axis.shown(*tick)).collect(),
        None => series.edges.iter().map(|edge| time::shown(axis, *edge)).collect(),
    };
    axis.map(shown).unwrap_or_default()
}

/// From where to where each step goes; events are points.
fn spans(series: &Answer) -> Vec<[f64; 2]> {
    match &series.coordinates {
        Some(of) if of.width == 1 => of.ticks.iter().map(|tick| [*tick as f64; 2]).collect(),
        Some(of) => of.ticks.iter().map(|tick| [*tick as f64, tick.saturating_add_unsigned(of.width) as f64]).collect(),
        None => series.edges.windows(2).map(|edges| [edges[0], edges[1]]).collect(),
    }
}

/// Every value in as few digits as tell it from others; nothing for no data.
fn texts(series: &Answer) -> Vec<String> {
    let valid = series.validity.iter(&series.array);
    with_view!(Array, &series.array, |cells| {
        cells.iter().zip(valid).map(|(cell, valid)| if valid { format!("{cell:?}") } else { String::new() }).collect()
    })
}

/// A single cell's series has one axis.
fn squeezed(array: Array) -> Array {
    if array.shape()[0] != 1 {
        return array;
    }
    with_view!(Array, array, |cells| Array::from(cells.index_axis_move(ndarray::Axis(0), 0)))
}
