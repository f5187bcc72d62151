//! `gridstone put`

use std::io::{self, BufReader};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::import::{How, ImportWay};
use super::terminal::{Terminal, count};
use super::{VerbOutcome, args, open};
use gridstone::adapter::npy;
use gridstone::adapter::raster::RasterAxes;
use gridstone::adapter::source::{ArraySource, Import};
use gridstone::{Level, Levels, Structure, Window};

/// Put an array of numpy's into a window of a grid, and bring its pyramid up to date
///
/// The array has as many cells along each axis of the grid as the window, in the grid's order, and
/// the grid's cell type; axes of one cell may be left out. NaN and the grid's nodata value are
/// cells without data.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  gridstone put store dem --window 0:512,-256:0 patch.npy\n  \
                  python3 make.py | gridstone put store rain --window 7,0:512,0:512 -"
)]
pub(super) struct PutVerb {
    /// The directory of the store
    store: PathBuf,
    /// The name of the grid
    grid: String,
    /// The cells along each axis of the grid in turn, half-open: a range, or the number of one cell
    #[arg(long, value_name = "A:B,C:D..", allow_hyphen_values = true, value_delimiter = ',', value_parser = range, required = true)]
    window: Vec<(i64, i64)>,
    /// The level of rows and columns at which the cells lie
    /// [default: that of the base data, else 0]
    #[arg(long, value_name = "L", allow_hyphen_values = true, value_parser = args::level)]
    level: Option<Level>,
    /// The array, as numpy saves it; - is standard input
    #[arg(value_name = "FILE.npy")]
    file: PathBuf,
    #[command(flatten)]
    how: How,
}

impl PutVerb {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        let store = open(&self.store)?;
        let grid = store.grid(&self.grid)?;
        let levels = self.levels(grid.structure(), grid.base_levels()?)?;
        let window = window(grid.structure(), &self.window)?.at(levels);
        let (name, array) = if self.file.as_os_str() == "-" {
            let array = npy::read_whole(BufReader::new(io::stdin().lock()));
            (
                "standard input".to_owned(),
                array.context("standard input cannot be read as .npy")?,
            )
        } else {
            (self.file.display().to_string(), npy::read(&self.file)?)
        };
        let misfit = || format!("`{name}` cannot be put");
        let source = ArraySource::new(&grid, &name, window, array).with_context(misfit)?;
        let import = Import::new(&grid, source)
            .with_context(misfit)?
            .over(self.how.overlap);
        let way = ImportWay {
            jobs: 1,
            keep_going: false,
            failed: Vec::new(),
            ledger: None,
            words: ("put", "array"),
        };
        self.how.carry_out(&grid, vec![import], way, terminal)
    }

    fn levels(&self, structure: &Structure, base: Option<Levels>) -> anyhow::Result<Levels> {
        let levels = base.unwrap_or(Levels::zero(structure.dimensions().len()));
        let Some(level) = self.level else {
            return Ok(levels);
        };
        Ok(levels.with(RasterAxes::of(structure)?.space, level))
    }
}

/// `A:B`, or the number of one cell.
fn range(text: &str) -> Result<(i64, i64), String> {
    if text.contains(':') {
        return args::range(text);
    }
    let cell: i64 = args::whole(text)?;
    cell.checked_add(1)
        .map(|end| (cell, end))
        .ok_or_else(|| format!("cell {text} is beyond every grid"))
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
            "--window has {}, and the grid has {}: {wanted}; give one range for each, as in `--window {}`",
            count(ranges.len() as u64, "range"),
            if axes.len() == 1 {
                "1 axis".to_owned()
            } else {
                format!("{} axes", axes.len())
            },
            vec!["0:1"; axes.len()].join(",")
        );
    }
    let start: Vec<i64> = ranges.iter().map(|(first, _)| *first).collect();
    let shape: Vec<u64> = ranges
        .iter()
        .map(|(first, end)| end.abs_diff(*first))
        .collect();
    Ok(Window::new(start.as_slice(), shape.as_slice()))
}
