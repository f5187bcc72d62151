//! The cells of a target: another grid's, a file's, a screen's.

use super::{Axis, Dimension, Elsewhere, Structure};
use crate::crs;
use crate::error::{Error, Result};

/// Cells that follow each other along an axis.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Line {
    /// The axis.
    pub name: String,
    /// Where the first cell begins, in world coordinates.
    pub start: f64,
    /// The size of a cell in world units; below 0 where they follow each other against the
    /// coordinates.
    pub step: f64,
    /// How many there are.
    pub len: usize,
}

impl Line {
    /// The least and the greatest world coordinate that they reach.
    pub fn bounds(&self) -> (f64, f64) {
        let end = self.start + self.step * self.len as f64;
        (self.start.min(end), self.start.max(end))
    }
}

/// Cells on which an answer is wanted: of any size, from anywhere on, in either direction. See
/// [`Query::onto`](crate::Query::onto).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Geometry {
    lines: Vec<Line>,
    crs: Option<String>,
}

impl Geometry {
    /// No cells yet. Along axes that are not named, those of the grid stay.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the cells along an axis: where the first begins, their size in world units (below 0
    /// where they follow each other against the coordinates), and how many there are.
    #[must_use]
    pub fn axis(mut self, name: impl Into<String>, start: f64, step: f64, len: usize) -> Self {
        self.lines.push(Line {
            name: name.into(),
            start,
            step,
            len,
        });
        self
    }

    /// Says in which coordinate reference system they are, in the words of
    /// [`StructureBuilder::crs`](crate::StructureBuilder::crs). Where the target or the grid has
    /// none, both are taken to be in the same.
    #[must_use]
    pub fn crs(mut self, crs: impl Into<String>) -> Self {
        self.crs = Some(crs.into());
        self
    }

    /// The coordinate reference system that they are in, if they say it.
    pub fn system(&self) -> Option<&str> {
        self.crs.as_deref()
    }

    /// The cells along the axes that are named.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The cells along an axis, if it is named.
    pub fn line(&self, name: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.name == name)
    }

    /// Refuses cells that an answer of a grid cannot have. Gives those of another system beside the
    /// grid.
    pub(crate) fn check(&self, structure: &Structure) -> Result<Option<Elsewhere>> {
        for (
            number,
            Line {
                name,
                start,
                step,
                len,
            },
        ) in self.lines.iter().enumerate()
        {
            let Some(axis) = structure.axes().position(|axis| axis.name() == name) else {
                let names: Vec<&str> = structure.axes().map(Axis::name).collect();
                return Err(Error::invalid(format!(
                    "the target has an axis `{name}`, and the grid has {}",
                    names.join(", ")
                )));
            };
            if self.lines[..number].iter().any(|line| line.name == *name) {
                return Err(Error::invalid(format!(
                    "the target has axis `{name}` twice"
                )));
            }
            let dimension = &structure.dimensions()[structure.dimension_of(axis)];
            if dimension.is_fixed() || dimension.is_irregular() {
                return Err(Error::invalid(format!(
                    "axis `{name}` has {} of the grid's own, which lie on no other cells; leave it out of the target",
                    if dimension.is_fixed() {
                        "labels"
                    } else {
                        "events"
                    }
                )));
            }
            let end = start + step * *len as f64;
            if *len == 0 || !start.is_finite() || !end.is_finite() || !step.is_normal() {
                return Err(Error::invalid(format!(
                    "{len} cells of {step} from {start} on along axis `{name}` are no target"
                )));
            }
        }
        self.elsewhere(structure)
    }

    /// The error for cells of another system than the grid's, and the reason why they cannot be
    /// read.
    pub(super) fn not_laid(
        &self,
        structure: &Structure,
        (own, grid): (&str, &str),
        why: &str,
    ) -> Error {
        let system = crs::argument(own).unwrap_or_else(|| "SYSTEM".to_owned());
        Error::invalid(format!(
            "the target's coordinate reference system, {}, is not the grid's, {}: {why}; read the grid's own cells, as with `gridstone read STORE GRID --out CELLS.tif`, and lay them onto the target with `gdalwarp -t_srs {system}{} CELLS.tif WARPED.tif`",
            crs::shown(own),
            crs::shown(grid),
            self.place(structure)
        ))
    }

    /// The options by which `gdalwarp` makes these cells, if they are rows and columns.
    fn place(&self, structure: &Structure) -> String {
        let plane = structure
            .dimensions()
            .iter()
            .map(Dimension::axes)
            .find(|axes| axes.len() == 2);
        let lines: Vec<&Line> = plane
            .into_iter()
            .flatten()
            .filter_map(|axis| self.line(axis.name()))
            .collect();
        let [y, x] = lines[..] else {
            return String::new();
        };
        let ((south, north), (west, east)) = (y.bounds(), x.bounds());
        format!(" -te {west} {south} {east} {north} -ts {} {}", x.len, y.len)
    }
}
