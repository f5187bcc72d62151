//! `gridstone put`

use std::io::{self, BufReader};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::import::How;
use super::terminal::Terminal;
use super::{Outcome, args, open};
use gridstone::adapter::npy;
use gridstone::adapter::raster::RasterAxes;
use gridstone::adapter::source::{ArraySource, Import};
use gridstone::{Level, Levels, Structure, Window};

/// Put an array of numpy's into a window of a grid, and bring its pyramid up to date
///
/// The array has as many cells along each axis of the grid as the window, in the grid's order, and the grid's cell type; axes of one
/// cell may be left out. NaN and the grid's nodata value are cells without data.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  gridstone put store dem --window 0:512,-256:0 patch.npy\n  \
                  python3 make.py | gridstone put store rain --window 7,0:512,0:512 -")]
pub(super) struct Put {
    /// The directory of the store
    store: PathBuf,
    /// The name of the grid
    grid: String,
    /// The cells along each axis of the grid in turn, half-open: a range, or the number of one cell
    #[arg(long, value_name = "A:B,C:D..", allow_hyphen_values = true, value_delimiter = ',', value_parser = range, required = true)]
    window: Vec<(i64, i64)>,
    /// The level of rows and columns at which the cells lie [default: that of the base data, else 0]
    #[arg(long, value_name = "L", allow_hyphen_values = true, value_parser = args::level)]
    level: Option<Level>,
    /// The array, as numpy saves it; - is standard input
    #[arg(value_name = "FILE.npy")]
    file: PathBuf,
    #[command(flatten)]
    how: How,
}

impl Put {
    pub(super) fn run(self, terminal: &Terminal) -> Outcome {
        let store = open(&self.store)?;
        let grid = store.grid(&self.grid)?;
        let levels = self.levels(grid.structure(), grid.base_levels()?)?;
        let window = window(grid.structure(), &self.window)?.at(levels);
        let array = if self.file.as_os_str() == "-" {
            npy::read_from(BufReader::new(io::stdin().lock())).context("standard input cannot be read as .npy")?
        } else {
            npy::read(&self.file)?
        };
        let name = self.file.display().to_string();
        let misfit = || format!("`{name}` cannot be put");
        let source = ArraySource::new(&grid, &name, window, array).with_context(misfit)?;
        let import = Import::new(&grid, source).with_context(misfit)?.over(self.how.overlap);
        self.how.carry_out(&grid, vec![import], terminal)
    }

    fn levels(&self, structure: &Structure, base: Option<Levels>) -> anyhow::Result<Levels> {
        let levels = base.unwrap_or(Levels::zero(structure.dimensions().len()));
        let Some(level) = self.level else { return Ok(levels) };
        Ok(levels.with(RasterAxes::of(structure)?.space, level))
    }
}

/// `A:B`, or the number of one cell.
fn range(text: &str) -> Result<(i64, i64), String> {
    let whole = |text: &str| text.trim().parse::<i64>().map_err(|_| format!("`{text}` is not a whole number"));
    let (first, end) = match text.split_once(':') {
        Some((first, end)) => (whole(first)?, whole(end)?),
        None => whole(text).map(|cell| (cell, cell.saturating_add(1)))?,
    };
    if first < end { Ok((first, end)) } else { Err(format!("the range {text} is empty")) }
}

fn window(structure: &Structure, ranges: &[(i64, i64)]) -> anyhow::Result<Window> {
    if let Some(irregular) = structure.irregular() {
        let name = structure.dimensions()[irregular].name();
        anyhow::bail!(
            "dimension `{name}` has events at times of their own, which no window says; put them as files, with `gridstone import`"
        );
    }
    let axes: Vec<&str> = structure.axes().map(gridstone::Axis::name).collect();
    if ranges.len() != axes.len() {
        let wanted = axes.join(", ");
        anyhow::bail!(
            "--window has {} ranges, and the grid {} axes: {wanted}; give one for each, as in `--window {}`",
            ranges.len(),
            axes.len(),
            vec!["0:1"; axes.len()].join(",")
        );
    }
    let start: Vec<i64> = ranges.iter().map(|(first, _)| *first).collect();
    let shape: Vec<u64> = ranges.iter().map(|(first, end)| end.abs_diff(*first)).collect();
    Ok(Window::new(start.as_slice(), shape.as_slice()))
}
