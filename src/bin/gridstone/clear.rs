//! `gridstone clear`

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::consent::Consent;
use super::removal::Removal;
use super::select::PartArgs;
use super::terminal::Terminal;
use super::{VerbOutcome, geojson, open};
use gridstone::adapter::raster::RasterAxes;

/// Remove the data of an extent or a polygon, so that coarser data may be put there
///
/// A cell of the finest base level is removed if its centre lies in the extent; with --polygon, a
/// cell of whichever base level is there. Whole chunks vanish. The place goes on to count as put:
/// see `delete` and `clean`.
#[derive(Args, Debug)]
#[command(
    group = ArgGroup::new("part").required(true).multiple(true).args(["extent", "window", "polygon", "period", "band"]),
    after_help = "Example:\n  gridstone clear store dem --extent -119.5,37,-119,37.5 --yes\n  \
                  gridstone clear store dem --polygon lake.geojson"
)]
pub(super) struct Clear {
    /// The directory of the store
    store: PathBuf,
    /// The name of the grid
    grid: String,
    #[command(flatten)]
    part: PartArgs,
    /// The polygons of a GeoJSON file, in the coordinates of the grid; what lies in any of them, at
    /// all times and in all bands
    #[arg(long, value_name = "FILE.geojson", conflicts_with_all = ["extent", "window", "period", "band"])]
    polygon: Option<PathBuf>,
    /// One band, by its label or its number from 1 [default: all]
    #[arg(long, value_name = "B")]
    band: Option<String>,
    #[command(flatten)]
    consent: Consent,
    /// Print {"grid", "window", "written", "gone", "bytes", "seconds"}: the cells (null for
    /// polygons), chunks written or removed, by how many there are fewer, and by how many bytes
    #[arg(long)]
    json: bool,
}

const VERB: (&str, &str) = ("clear", "cleared");

impl Clear {
    pub(super) fn run(self, terminal: &Terminal) -> VerbOutcome {
        let store = open(&self.store)?;
        let grid = store.grid(&self.grid)?;
        let how = (&self.consent, self.json);
        if let Some(file) = &self.polygon {
            let axes = RasterAxes::of(grid.structure())?;
            let polygon = geojson::of_grid(terminal, &grid, axes, file)?;
            return Removal::of_polygon(&grid, VERB, file, how)
                .run(terminal, false, || grid.clear_polygon(&polygon));
        }
        match self.part.window(terminal, &grid, self.band.as_ref())? {
            Some(window) => {
                Removal::of(&grid, VERB, &window, how).run(terminal, false, || grid.clear(&window))
            }
            None => Removal::nothing(&grid, terminal, VERB.1, self.json),
        }
    }
}
