//! `gridstone info`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::terminal::{Terminal, bytes};
use super::time::Along;
use super::{VerbOutcome, bases, json, ledger, open, time};
use gridstone::crs;
use gridstone::grid::DimensionKind;
use gridstone::inspect::EncodingInfo;
use gridstone::wire::{
    CHUNKS_SHOWN, LayerRow, Tally, events, grid_json, held_by_level, smaller, storage_json,
};
use gridstone::{Depth, Grid, Schema, Structure};

/// Show what a grid is and holds: structure, levels, chunks, bytes, marks
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gridstone info store dem

The JSON is {\"store\", \"storage\", \"grids\": [...]}; storage {files, file_bytes, log_bytes, buffered_bytes, age: seconds since the store
was as it is shown, where another process writes to it; else null}, each grid with:
  grid, dtype, nodata, crs, codec, filter, zstd_level, aggregators
  variable, unit, attributes   what the cells hold, as far as it is known: name, unit, {name: value}
  dimensions   [{name, kind: regular|fixed|irregular, refinable, depth (null: to the top), labels, spacing (of events, in ticks),
               axes: [{name, origin, step, chunk, unit}]}]
  period       [first, end] of the time axis in ISO 8601, of an irregular one [first, last]; null if there is none, or before
               the first put
  events       how many there are along an irregular dimension; null if there is none
  extent       {axis: [lower, upper]}; window {axis: [first, end]} in cells of the base levels; both null before the first put
  base_levels, reach   {dimension: level}; null before the first put, the first aggregation
  base         [{levels, cell: {axis: size}, chunks, cells, area}]: base data by level, the finest first; cells within what was put;
               area in world units of the refinable dimension's axes, null without one
  top          {levels, chunk: {axis: index}}, null before the first put
  marks        aggregates that are out of date
  import       {complete, files, finished, failures, failed: [names], command}: the last import of files and how far it is, with
               the command that does what is left; null if there was none
  token        the present, for `gridstone changes --since`; null where it is only read, on object storage
  chunks, bytes, raw_bytes, ratio   of all that is stored; raw_bytes are the uncompressed cells
  layers       [{layer, levels, chunks, bytes, raw_bytes, ratio}], the base first
  encodings    [{encoding: packed|zstd|constant|raw, image, strips, bytes, raw_bytes, ratio}] of 256 chunks at most, evenly spread;
               image: what numbers cells are before that (order, multiples, decimals, ranks, narrow, shuffled, none)")]
pub(super) struct Info {
    /// The directory of the store
    store: PathBuf,
    /// The name of the grid [default: all]
    grid: Option<String>,
    /// Print JSON; its schema stands below
    #[arg(long)]
    json: bool,
}

impl Info {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        let store = open(&self.store)?;
        let grids = match &self.grid {
            Some(name) => vec![store.grid(name)?],
            None => store.grids()?,
        };
        if self.json {
            let grids: Vec<Value> = grids
                .iter()
                .map(with_import)
                .collect::<gridstone::Result<_>>()?;
            let (name, storage) = (
                self.store.display().to_string(),
                storage_json(&store.stats()?),
            );
            terminal.print_json(&json!({ "store": name, "storage": storage, "grids": grids }))?;
        } else {
            for (number, grid) in grids.iter().enumerate() {
                if number > 0 {
                    terminal.print("")?;
                }
                terminal.print(as_text(grid)?)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// All that is told of a grid, and how far its last import is.
fn with_import(grid: &Grid) -> gridstone::Result<Value> {
    let mut told = grid_json(grid)?;
    told["import"] = ledger::as_json(grid)?;
    Ok(told)
}

/// What a grid's cells are, in a few words.
pub(super) fn cells(grid: &Grid) -> String {
    let schema = grid.schema();
    let nodata = json::nodata(schema).map_or("no nodata value".to_owned(), |nodata| {
        format!("nodata {nodata}")
    });
    let crs = schema
        .structure()
        .crs()
        .map_or("no coordinate reference system".to_owned(), crs::shown);
    let chunk: Vec<_> = schema
        .structure()
        .chunk_shape()
        .iter()
        .map(usize::to_string)
        .collect();
    format!(
        "{} in chunks of {}, {nodata}, {crs}",
        schema.dtype(),
        chunk.join(" x ")
    )
}

/// What the cells hold: `t2m in K (2 metre temperature), height 2 m`.
fn held(schema: &Schema) -> Option<String> {
    let name = schema.variable().or(schema.unit().map(|_| "values"))?;
    let unit = schema
        .unit()
        .map_or(String::new(), |unit| format!(" in {unit}"));
    let known = |key: &str| schema.attributes().get(key);
    let meant = known("long_name")
        .or(known("standard_name"))
        .map_or(String::new(), |meant| format!(" ({meant})"));
    let names = ["long_name", "standard_name", "cell_methods", "coordinates"];
    let others = schema
        .attributes()
        .iter()
        .filter(|(key, _)| !names.contains(&key.as_str()));
    let others: String = others
        .map(|(key, value)| format!(", {key} {value}"))
        .collect();
    Some(format!("{name}{unit}{meant}{others}"))
}

fn as_text(grid: &Grid) -> anyhow::Result<String> {
    let (schema, structure) = (grid.schema(), grid.structure());
    let mut lines = vec![
        format!("grid       {}", grid.name()),
        format!("cells      {}", cells(grid)),
    ];
    lines.extend(held(schema).map(|held| format!("holds      {held}")));
    let [codec, filter] = [
        format!("{:?}", schema.codec()),
        format!("{:?}", schema.filter()),
    ]
    .map(|name| name.to_lowercase());
    lines.push(format!(
        "codec      {codec}, {filter} filter, zstd {}",
        schema.zstd_level()
    ));
    for dimension in structure.dimensions() {
        lines.push(format!("dimension  {}", described(dimension)));
        if let (DimensionKind::Irregular { spacing, .. }, [axis]) =
            (dimension.kind(), dimension.axes())
        {
            let unit = axis.unit_name().unwrap_or("ticks");
            lines.push(format!(
                "             {}: {unit}, most of them {spacing} apart",
                axis.name()
            ));
        } else if !dimension.is_fixed() {
            let axis = |axis: &gridstone::Axis| {
                let unit = match axis.time() {
                    Some(unit) => format!(" {}", unit.tick()),
                    None => axis
                        .unit_name()
                        .map_or(String::new(), |unit| format!(" {unit}")),
                };
                let origin = time::shown(axis, axis.origin());
                format!(
                    "             {}: from {origin} in steps of {}{unit}",
                    axis.name(),
                    axis.step()
                )
            };
            lines.extend(dimension.axes().iter().map(axis));
        }
    }
    if let (Some(bounds), Some(extent), Some(base)) =
        (grid.bounds()?, grid.extent()?, grid.base_levels()?)
    {
        lines.push(format!(
            "extent     {}",
            time::ranges(structure, extent.bounds())
        ));
        if let (Some(events), Some(along)) = (events(grid)?, Along::find(structure)) {
            let [first, last] = along.ends_shown(structure, &bounds);
            lines.push(format!("events     {events} from {first} to {last}"));
        }
        let levels = json::levels_text(structure, base);
        lines.push(format!(
            "base       level {levels}, cells {}",
            json::window_text(structure, &bounds)
        ));
    }
    if let Some(top) = grid.top()? {
        let index: Vec<_> = structure
            .chunk_index(&top)
            .iter()
            .map(i64::to_string)
            .collect();
        lines.push(format!(
            "top        level {}, chunk ({})",
            json::levels_text(structure, top.levels()),
            index.join(", ")
        ));
    }
    lines.push(format!("marks      {} pending", grid.marks()?));
    lines.extend(ledger::as_text(grid)?);
    let (layers, total) = held_by_level(grid)?;
    lines.push(format!(
        "chunks     {} in {}{}",
        total.chunks,
        bytes(total.bytes),
        ratio(total)
    ));
    lines.extend(encodings(grid)?);
    lines.extend(bases::as_text(grid)?);
    lines.extend(table(structure, layers));
    Ok(lines.join("\n"))
}

/// A line for each level of each layer, under a head.
fn table(structure: &Structure, layers: Vec<LayerRow>) -> Vec<String> {
    if layers.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![String::new()];
    let width = layers
        .iter()
        .map(|(layer, ..)| layer.to_string().len())
        .max()
        .unwrap_or(0)
        .max(8);
    lines.push(format!(
        "{:<width$} {:>14} {:>8} {:>9}  {}",
        "layer", "level", "chunks", "bytes", "raw / stored"
    ));
    for (layer, levels, tally) in layers {
        let levels = json::levels_text(structure, levels);
        let ratio = tally
            .ratio()
            .map_or(String::new(), |ratio| format!("{ratio:.2}"));
        lines.push(format!(
            "{:<width$} {levels:>14} {:>8} {:>9}  {ratio}",
            layer.to_string(),
            tally.chunks,
            bytes(tally.bytes)
        ));
    }
    lines
}

/// How cells stand: `encodings  packed multiples: 93 % of the cells, 5.6 times smaller`.
fn encodings(grid: &Grid) -> gridstone::Result<Vec<String>> {
    let found = grid.encodings(CHUNKS_SHOWN)?;
    let all: u64 = found.iter().map(|of| of.raw_bytes).sum();
    let line = |(number, of): (usize, &EncodingInfo)| {
        let (head, image) = (
            if number == 0 { "encodings" } else { "" },
            if of.image == "none" { "" } else { of.image },
        );
        let share = 100.0 * of.raw_bytes as f64 / all.max(1) as f64;
        let name = format!("{} {image}", of.encoding);
        format!(
            "{head:<10} {}: {share:.0} % of the cells, {:.1} times smaller",
            name.trim(),
            smaller(of)
        )
    };
    Ok(found.iter().enumerate().map(line).collect())
}

fn ratio(tally: Tally) -> String {
    tally.ratio().map_or(String::new(), |ratio| {
        format!(", {ratio:.2} times smaller than the raw cells")
    })
}

fn described(dimension: &gridstone::Dimension) -> String {
    let axes: Vec<_> = dimension.axes().iter().map(gridstone::Axis::name).collect();
    let depth = match dimension.aggregated() {
        Some(Depth::Top) => "to the top".to_owned(),
        Some(Depth::Levels(levels)) => format!("{levels} levels up"),
        None => {
            return format!(
                "{}: {}",
                dimension.name(),
                dimension.labels().unwrap_or_default().join(", ")
            );
        }
    };
    let how = if dimension.is_irregular() {
        ", events at exact times"
    } else if dimension.is_refinable() {
        ", refinable"
    } else {
        ""
    };
    format!(
        "{} ({}), aggregated {depth}{how}",
        dimension.name(),
        axes.join(", ")
    )
}
