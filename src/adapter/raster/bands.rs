//! Which band of a file is which of a grid.

use crate::adapter::axes::RasterAxes;
use crate::adapter::geotiff::Header;
use crate::error::{Error, Result};
use crate::grid::Structure;

/// The place of each band of a file among the labels of a grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bands {
    places: Vec<usize>,
    /// What is to be said of it.
    pub(super) note: Option<String>,
}

/// Bands of a file that follow each other in the grid: the place of the first, and their numbers in
/// the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BandRun {
    pub(super) at: usize,
    pub(super) bands: Vec<usize>,
}

impl Bands {
    /// By name, where the file and the grid name bands; else by their order.
    pub(super) fn of(structure: &Structure, axes: RasterAxes, header: &Header) -> Result<Self> {
        let dimension = axes
            .band
            .map(|axis| &structure.dimensions()[structure.dimension_of(axis)]);
        let labels = dimension
            .and_then(|dimension| dimension.labels())
            .unwrap_or_default();
        let (bands, name) = (
            header.bands.len(),
            dimension.map_or("", |dimension| dimension.name()),
        );
        let count = labels.len().max(1);
        let known = |label: &str| labels.iter().position(|other| other == label);
        let numbers = labels
            .iter()
            .enumerate()
            .all(|(at, label)| *label == (at + 1).to_string());
        if let Some(names) = header
            .band_names()
            .filter(|_| !labels.is_empty() && !numbers)
        {
            let places: Option<Vec<usize>> = names.iter().map(|name| known(name)).collect();
            return match places {
                Some(places) => Ok(Self { places, note: None }),
                None => Err(Error::invalid(format!(
                    "the file's bands are {}, and those of the grid along `{name}` {}; choose bands with `gdal_translate -b N FILE FITTING.tif`, or keep the file in a grid of its own, made with `gridstone create --like`",
                    listed(&names),
                    listed(&labels.iter().map(String::as_str).collect::<Vec<_>>())
                ))),
            };
        }
        if bands != count {
            return Err(Error::invalid(format!(
                "the file has {bands} band(s), the grid {count}; choose bands with `gdal_translate -b N FILE FITTING.tif`, or stack files with `gdalbuildvrt -separate STACK.vrt FILE..` and `gdal_translate STACK.vrt FITTING.tif`"
            )));
        }
        let unnamed = bands > 1 && !numbers && header.band_names().is_none();
        let note =
            unnamed.then(|| format!("the file does not name its bands, which are taken in the grid's order along `{name}`"));
        Ok(Self {
            places: (0..bands).collect(),
            note,
        })
    }

    /// The first place, and how many there are up to the last.
    pub(super) fn range(&self) -> (i64, u64) {
        let (first, last) = (
            self.places.iter().min().copied().unwrap_or(0),
            self.places.iter().max().copied().unwrap_or(0),
        );
        (
            i64::try_from(first).unwrap_or(i64::MAX),
            (last - first + 1) as u64,
        )
    }

    /// The runs that some bands of the file make in the grid.
    pub(super) fn runs(&self, bands: std::ops::Range<usize>) -> Vec<BandRun> {
        let bands = bands.start..bands.end.min(self.places.len());
        let mut order: Vec<(usize, usize)> = bands.map(|band| (self.places[band], band)).collect();
        order.sort_unstable();
        let mut runs: Vec<BandRun> = Vec::new();
        for (place, band) in order {
            match runs.last_mut() {
                Some(run) if run.at + run.bands.len() == place => run.bands.push(band),
                _ => runs.push(BandRun {
                    at: place,
                    bands: vec![band],
                }),
            }
        }
        runs
    }
}

fn listed(names: &[&str]) -> String {
    let shown: Vec<&str> = names.iter().take(12).copied().collect();
    format!(
        "{}{}",
        shown.join(", "),
        if names.len() > shown.len() {
            ", ..."
        } else {
            ""
        }
    )
}
