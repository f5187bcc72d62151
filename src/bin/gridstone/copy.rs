//! `gridstone copy`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::aggregate::{self, Drained};
use super::args::ChunkSize;
use super::terminal::{Terminal, count};
use super::{VerbOutcome, open};
use gridstone::{ErrorKind, Grid, Schema, Store};

/// Make a grid equal to another one, in chunks of another shape
///
/// Chunks of many rows and columns are read fast as maps, chunks of many time steps as series: keep
/// one grid in both, and copy what came into one to the other. The first time all is copied, then
/// what changed since; Ctrl-C at any time loses no more than the part that is under way. A grid
/// that is not there yet is made like the source, in chunks of --chunk.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gridstone copy store rain rain-series --chunk 256,16")]
pub(super) struct Copy {
    /// The directory of the store
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
        let store = open(&self.store)?;
        let from = self
            .from_store
            .as_ref()
            .map(|path| open(path))
            .transpose()?;
        let source = from.as_ref().unwrap_or(&store).grid(&self.source)?;
        let (target, created) = self.target(&store, &source)?;
        let updated = match target.update_from(&source) {
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
            let what = if updated.full {
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
    fn target(&self, store: &Store, source: &Grid) -> anyhow::Result<(Grid, bool)> {
        match store.grid(&self.target) {
            Err(error) if *error.kind() == ErrorKind::NotFound => {
                let schema = self.chunk.map_or_else(
                    || Ok(source.schema().clone()),
                    |chunk| rechunked(source.schema(), chunk),
                );
                let schema =
                    schema.with_context(|| format!("grid `{}` has no such layout", self.source))?;
                Ok((store.create(&self.target, schema)?, true))
            }
            Err(error) => Err(error.into()),
            Ok(grid) => {
                if let Some(chunk) = self.chunk {
                    let same = rechunked(grid.schema(), chunk)?.structure() == grid.structure();
                    anyhow::ensure!(
                        same,
                        "grid `{}` is there, in other chunks; leave --chunk out, or drop it first",
                        self.target
                    );
                }
                Ok((grid, false))
            }
        }
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
