//! What is left of an import, by the ledger of its grid: what is asked of it, and what is said of
//! it.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use super::files::Files;
use super::terminal::{Terminal, count};
use gridstone::adapter::source::{Import, Ledger, Standing};
use gridstone::adapter::text::quoted;
use gridstone::{Grid, Overlap};

/// How many files are named of those that were changed.
const NAMED_MAX: usize = 8;
/// A command that is longer is kept without its files but the first.
const COMMAND_LEN_MAX: usize = 4000;

/// The ledger of an import of files, some of which failed: what they are put with, and the command
/// that does what is left.
pub(super) fn of(
    (files, overlap): (&Files, Overlap),
    imports: &[Import],
    failed: &[String],
) -> anyhow::Result<Ledger> {
    let here = std::env::current_dir().context("the current directory cannot be found")?;
    let sound = imports
        .iter()
        .map(|import| import.footprint().name.as_str());
    let mut names = sound.chain(failed.iter().map(String::as_str));
    let from = names
        .any(|name| Path::new(name).is_relative())
        .then_some(&here);
    let asked = format!("{:?}", (files.options(), overlap, from));
    // With `--again` it would begin anew.
    let args: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|arg| arg.to_string_lossy().into_owned())
        .filter(|arg| arg != "--again")
        .collect();
    let all: Vec<String> = args.iter().map(|arg| quoted(arg)).collect();
    let all = all.join(" ");
    let mut text = if all.len() <= COMMAND_LEN_MAX {
        all
    } else {
        let named = files.on_command_line().iter();
        let named: Vec<String> = named.map(|of| of.display().to_string()).collect();
        shortened(&args, &named)
    };
    if files.are_on_stdin() {
        text += "  # with the same list on standard input";
    }
    let place = quoted(&here.display().to_string());
    Ok(Ledger::new(asked).command(format!("cd {place} && gridstone {text}")))
}

/// The arguments with one file in place of all.
fn shortened(args: &[String], files: &[String]) -> String {
    let mut words = Vec::new();
    let mut left_out = 0;
    let places = files.iter().map(String::as_str).zip(0..);
    let places: HashMap<&str, usize> = places.collect();
    for arg in args {
        match places.get(arg.as_str()) {
            Some(0) => words.extend([quoted(arg), "...".to_owned()]),
            Some(_) => left_out += 1,
            None => words.push(quoted(arg)),
        }
    }
    format!(
        "{}  # ... is {} more",
        words.join(" "),
        count(left_out, "file")
    )
}

/// Says why files are put that were put before.
pub(super) fn note(standing: &Standing, imports: &[Import], terminal: &Terminal) {
    let changed = standing.changed();
    for number in changed.iter().take(NAMED_MAX) {
        terminal.note(format!(
            "{}: it is not what it was at the last import, and is imported again; where it had data and has none any more the old cells stay, unless they are removed before with `gridstone clear`, or it is imported with `--overlap replace`",
            imports[*number].footprint().name
        ));
    }
    if let Some(more) = changed
        .len()
        .checked_sub(NAMED_MAX)
        .filter(|more| *more > 0)
    {
        terminal.note(format!(
            "{} more are not what they were, and are imported again",
            count(more as u64, "file")
        ));
    }
    if !standing.touched().is_empty() {
        terminal.note(format!(
            "cells of {} were changed by others since the last import, and are imported again",
            count(standing.touched().len() as u64, "file")
        ));
    }
    if standing.is_unknown() {
        terminal.note(
            "what became of the cells since the last import is not known any more, so all is imported again",
        );
    }
    if let Some(damage) = standing.damage() {
        terminal.note(format!("{damage}, so all is imported again"));
    }
}

/// The last import into a grid, for programs.
pub(super) fn as_json(grid: &Grid) -> gridstone::Result<Value> {
    let last = grid.last_import()?;
    Ok(last.map_or(Value::Null, |last| {
        json!({
            "complete": last.is_complete(), "files": last.sources, "finished": last.finished, "failures": last.failures,
            "failed": last.failed, "command": last.command,
        })
    }))
}

/// The last import into a grid, if something of it is left.
pub(super) fn as_text(grid: &Grid) -> gridstone::Result<Option<String>> {
    let Some(last) = grid.last_import()?.filter(|last| !last.is_complete()) else {
        return Ok(None);
    };
    let mut text = format!(
        "import     {} of {} are in",
        last.finished,
        count(last.sources, "file")
    );
    if last.failures > 0 {
        let more = if last.failures > last.failed.len() as u64 {
            ", ..."
        } else {
            ""
        };
        text += &format!(
            ", {} failed ({}{more})",
            last.failures,
            last.failed.join(", ")
        );
    }
    if let Some(command) = last.command {
        text += &format!("\n             finish it: {command}");
    }
    Ok(Some(text))
}
