//! `gridstone changes`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::terminal::Terminal;
use super::{VerbOutcome, args, json, open};
use gridstone::wire::change_json;
use gridstone::{Axis, Change, Levels, Structure, Token, Window};

/// Show what changed in a grid since a token, oldest first, and the token to go on with
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  gridstone changes store dem\n  gridstone changes store dem --since TOKEN --json

Without --since it prints the token of the present. A token that is too old, or of other data, is refused: read everything anew.

The JSON is a line a commit, and a last line {\"token\"}:
  sequence     the number of the commit's batch
  base         [box] in which base data changed, at every level up to `to`; empty for an aggregation
  aggregates   [box] in which aggregates changed, or are read again or no more, from the box's levels up to `to`
  to           {dimension: level}; with the top all levels above it change, so that it is the coarsest there can be
  box          {levels: {dimension: level}, window: {axis: [first, end]} in cells of these levels, extent: {axis: [lower, upper]}}"
)]
pub(super) struct ChangesVerb {
    /// The directory of the store
    store: PathBuf,
    /// The name of the grid
    grid: String,
    /// The token that an earlier run printed
    #[arg(long, value_name = "TOKEN", value_parser = args::parsed::<Token>)]
    since: Option<Token>,
    /// Print lines of JSON; their schema stands below
    #[arg(long)]
    json: bool,
}

impl ChangesVerb {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        let grid = open(&self.store)?.grid(&self.grid)?;
        let structure = grid.structure();
        let top = grid.top()?.map(|top| top.levels());
        let token = match self.since {
            None => grid.changes_token()?,
            Some(mut token) => loop {
                let shown = grid.changes_since(&token)?;
                for change in &shown.changes {
                    let line = if self.json {
                        change_json(structure, change).to_string()
                    } else {
                        as_text(structure, change, top)
                    };
                    terminal.print(line)?;
                }
                token = shown.next;
                if !shown.more {
                    break token;
                }
            },
        };
        let token = token.to_string();
        terminal.print(if self.json {
            json!({ "token": token }).to_string()
        } else {
            format!("token {token}")
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A change up to the top that there is.
fn as_text(structure: &Structure, change: &Change, top: Option<Levels>) -> String {
    let cells = |window: &Window| {
        let (start, end) = (window.start(), window.end());
        let ranges = structure
            .axes()
            .map(Axis::name)
            .zip(start.iter().zip(end.iter()));
        let ranges: Vec<_> = ranges
            .map(|(name, (start, end))| format!("{name} {start}:{end}"))
            .collect();
        let levels = json::levels_text(structure, window.levels(structure.dimensions().len()));
        format!("level {levels}, cells {}", ranges.join(", "))
    };
    let mut lines = vec![format!("change {}", change.sequence)];
    lines.extend(
        change
            .base
            .iter()
            .map(|window| format!("  base       {}", cells(window))),
    );
    let top = top.unwrap_or(change.to);
    let to = change.to.iter().zip(top.iter());
    let to = json::levels_text(structure, to.map(|(to, top)| *to.min(top)).collect());
    lines.extend(
        change
            .aggregates
            .iter()
            .map(|window| format!("  aggregates {}, up to level {to}", cells(window))),
    );
    lines.join("\n")
}
