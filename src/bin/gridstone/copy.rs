//! `gridstone copy`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::aggregate::{self, Drained};
use super::args::{self, Aggregators, ChunkSize};
use super::excerpt::excerpt;
use super::region::RegionArgs;
use super::structure::CodecName;
use super::terminal::{Terminal, count};
use super::{VerbOutcome, open, open_or_make};
use gridstone::{Aggregation, Codec, ErrorKind, Excerpt, Grid, Schema, SchemaBuilder, Store};

/// Make a grid equal to another one, or to a part or a layer of it
///
/// Chunks of many rows and columns are read fast as maps, chunks of many time steps as series: keep
/// one grid in both, and copy what came into one to the other. The first time all is copied, then
/// what changed since; Ctrl-C at any time loses no more than the part that is under way. A grid
/// that is not there yet is made like the source, but for --chunk, --codec and --aggregator.
///
/// With --extent, --window, --period or --band only that part is copied, in whole cells of the
/// base. With --level or --time-level the cells of a layer at these levels are what is copied, and
/// become the base of the copy. Say the same of a copy each time: it holds what the last command
/// said.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  gridstone copy store rain rain-series --chunk 256,16\n  gridstone copy archive rain rain --from-store store --codec small --aggregator mean,max\n  gridstone copy store dem dem-west --extent 8.0,47.0,8.5,47.5\n  gridstone copy store dem dem-coarse --level 3 --layer mean"
)]
pub(super) struct Copy {
    /// The directory of the store; with --from-store it is made if there is none
    store: PathBuf,
    /// The name of the grid to copy
    source: String,
    /// The name of the grid that becomes equal to it
    target: String,
    /// The store that holds the source [default: the same]
    #[arg(long, value_name = "STORE")]
    from_store: Option<PathBuf>,
    /// Rows and columns of a chunk of a new grid, a power of two; with a comma, the time steps, or
    /// events, of one in front [default: as in the source]
    #[arg(long, value_name = "[T,]N")]
    chunk: Option<ChunkSize>,
    /// What speed is traded for in a new grid [default: as in the source]
    #[arg(long, value_name = "CODEC")]
    codec: Option<CodecName>,
    /// What coarser levels of a new grid are computed by, as in `gridstone create`
    /// [default: as in the source]
    #[arg(long, value_name = "NAMES")]
    aggregator: Option<Aggregators>,
    #[command(flatten)]
    region: RegionArgs,
    /// The aggregator whose layer is copied, for --level and --time-level [default: the first]
    #[arg(long, value_name = "NAME", value_parser = args::parsed::<Aggregation>)]
    layer: Option<Aggregation>,
    /// Leave marks for `gridstone aggregate` instead
    #[arg(long)]
    no_aggregate: bool,
    /// Print the summary as JSON: created, full, changes, cells, chunks_read, base_chunks,
    /// aggregate_chunks, marks_drained, marks_pending, token, seconds
    #[arg(long)]
    json: bool,
}

impl Copy {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        let start = Instant::now();
        let (own, source) = match &self.from_store {
            None => {
                let store = open(&self.store)?;
                let source = store.grid(&self.source)?;
                (Some(store), source)
            }
            Some(from) => (None, open(from)?.grid(&self.source)?),
        };
        // What can be wrong with the source is found before a store is made.
        let excerpt = excerpt(&self.region, self.layer.as_ref(), &source, terminal)?;
        excerpt.schema(&source)?;
        let store = own.map_or_else(|| open_or_make(&self.store), Ok)?;
        let whole = Excerpt::all();
        let (target, created) = self.target(&store, &source, &excerpt)?;
        let updated = match target.update_from_excerpt(&source, &excerpt) {
            Err(error) if created && *error.kind() == ErrorKind::Invalid => {
                // What can never be filled is not left behind.
                store.drop_grid(&self.target)?;
                return Err(error.into());
            }
            updated => updated?,
        };
        let drained = if self.no_aggregate {
            Drained::default()
        } else {
            aggregate::drain(&target, terminal)?
        };
        let (aggregates, pending) = (updated.aggregates + drained.chunks, target.marks()?);
        let seconds = start.elapsed().as_secs_f64();
        if self.json {
            terminal.print_json(&json!({
                "created": created, "full": updated.full, "changes": updated.changes, "cells": updated.cells,
                "chunks_read": updated.chunks_read, "base_chunks": updated.chunks, "aggregate_chunks": aggregates,
                "marks_drained": drained.marks, "marks_pending": pending, "token": updated.to.to_string(), "seconds": seconds,
            }))?;
        } else {
            let what = if updated.full && excerpt != whole {
                "an excerpt".to_owned()
            } else if updated.full {
                "all".to_owned()
            } else {
                count(updated.changes, "change")
            };
            let left = if pending > 0 {
                format!(", {pending} left")
            } else {
                String::new()
            };
            terminal.print(format!(
                "copied {what} of `{}` to `{}`: {}, {} read, {} written ({} base, {aggregates} aggregate), {} drained{left}, {seconds:.2} s",
                self.source,
                self.target,
                count(updated.cells, "cell"),
                count(updated.chunks_read, "chunk"),
                count(updated.chunks + aggregates, "chunk"),
                updated.chunks,
                count(drained.marks, "mark"),
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The target, and whether it had to be made.
    fn target(
        &self,
        store: &Store,
        source: &Grid,
        excerpt: &Excerpt,
    ) -> anyhow::Result<(Grid, bool)> {
        match store.grid(&self.target) {
            Err(error) if *error.kind() == ErrorKind::NotFound => {
                let schema = self
                    .asked(excerpt.schema(source)?)
                    .with_context(|| format!("grid `{}` has no such layout", self.source))?;
                Ok((store.create(&self.target, schema)?, true))
            }
            Err(error) => Err(error.into()),
            Ok(grid) => {
                let (is, asked) = (grid.schema(), self.asked(grid.schema().clone())?);
                let differing = [
                    (
                        "in other chunks",
                        "--chunk",
                        is.structure() != asked.structure(),
                    ),
                    ("in another codec", "--codec", is.codec() != asked.codec()),
                    (
                        "with other aggregators",
                        "--aggregator",
                        is.aggregators() != asked.aggregators(),
                    ),
                ];
                if let Some((how, option, _)) = differing.iter().find(|(.., differs)| *differs) {
                    anyhow::bail!(
                        "grid `{}` is there, {how}; leave {option} out, or drop it first",
                        self.target
                    );
                }
                Ok((grid, false))
            }
        }
    }

    /// A schema with what is asked of a new grid.
    fn asked(&self, schema: Schema) -> gridstone::Result<Schema> {
        let schema = self
            .chunk
            .map_or_else(|| Ok(schema.clone()), |chunk| rechunked(&schema, chunk))?;
        let mut builder = SchemaBuilder::from(schema);
        if let Some(codec) = self.codec {
            builder = builder.codec(Codec::from(codec));
        }
        if let Some(Aggregators(aggregators)) = &self.aggregator {
            builder = builder.aggregators(aggregators.iter().cloned());
        }
        builder.build()
    }
}

/// A schema in chunks of some size. Labels stay in the chunks they are in.
fn rechunked(schema: &Schema, size: ChunkSize) -> gridstone::Result<Schema> {
    let dimensions = schema.structure().dimensions().iter();
    let lens = dimensions.flat_map(|dimension| {
        let time =
            dimension.is_irregular() || dimension.axes().iter().any(|axis| axis.time().is_some());
        dimension.axes().iter().map(move |axis| match size.time {
            _ if dimension.is_fixed() => axis.chunk(),
            steps if time => steps.unwrap_or(axis.chunk()),
            _ => size.space,
        })
    });
    schema.rechunked(lens)
}
