//! The cells of a target of another coordinate reference system.

use super::{Axis, Geometry, Level, Line, Structure};
use crate::crs::{self, Transformation};
use crate::error::Result;

/// How far beyond a pole a place is that is meant to be there, in degrees.
const AT_POLE: f64 = 1e-9;

/// Rows and columns of a target of another system beside a grid.
#[derive(Clone, Debug)]
pub(crate) struct Elsewhere {
    way: Transformation,
    system: String,
    /// The grid's axes of columns and rows, and the target's cells along them.
    axes: [usize; 2],
    lines: [Line; 2],
    /// Whether the target's rows are latitudes.
    is_circle: bool,
    /// How far the grid's columns go once round the globe, in world units, if they do.
    once_round: Option<f64>,
}

/// The same on the cells of a level.
#[derive(Clone, Debug)]
pub(crate) struct ElsewhereOnLevel {
    of: Elsewhere,
    /// Where cell 0 of the level begins, and how long cells are: x, then y.
    lattice: [(f64, f64); 2],
}

impl Geometry {
    /// These cells beside a grid of another system; `None` where the system is the same.
    ///
    /// An [`Invalid`](crate::ErrorKind::Invalid) error says why they have no place in the grid's.
    pub(super) fn elsewhere(&self, structure: &Structure) -> Result<Option<Elsewhere>> {
        let (Some(own), Some(grid)) = (self.system(), structure.crs()) else {
            return Ok(None);
        };
        if crs::same(own, grid) {
            return Ok(None);
        }
        self.beside(structure, (own, grid))
            .map(Some)
            .map_err(|why| self.not_laid(structure, (own, grid), &why))
    }

    fn beside(
        &self,
        structure: &Structure,
        (own, grid): (&str, &str),
    ) -> Result<Elsewhere, String> {
        let mut planes =
            (0..structure.dimensions().len()).filter(|d| structure.axes_of(*d).len() == 2);
        let (Some(plane), None) = (planes.next(), planes.next()) else {
            return Err("the grid has no dimension of rows and columns, or several".to_owned());
        };
        let rows = structure.axes_of(plane).start;
        let name = |axis: usize| structure.axes().nth(axis).map_or("", Axis::name);
        let line = |axis: usize| {
            self.line(name(axis)).cloned().ok_or_else(|| {
                format!(
                    "the cells of another system are rows and columns, and the target has none along axis `{}`",
                    name(axis)
                )
            })
        };
        let (y, x) = (line(rows)?, line(rows + 1)?);
        if let Some(other) = self.lines().iter().find(|line| **line != y && **line != x) {
            return Err(format!(
                "the cells of another system are rows and columns, and the target has axis `{}` too; leave it out",
                other.name
            ));
        }
        let way = Transformation::between(own, grid)?;
        Ok(Elsewhere {
            once_round: way.once_round(),
            way,
            system: own.to_owned(),
            axes: [rows + 1, rows],
            lines: [x, y],
            is_circle: crs::is_geographic(own) == Some(true),
        })
    }
}

impl Elsewhere {
    /// The grid's axes of columns and rows.
    pub(crate) fn axes(&self) -> [usize; 2] {
        self.axes
    }

    /// How many columns and rows the target has.
    pub(crate) fn lens(&self) -> [usize; 2] {
        [self.lines[0].len, self.lines[1].len]
    }

    /// The target's own coordinates along the axis of columns and that of rows.
    pub(crate) fn sides(&self) -> [(f64, f64); 2] {
        [self.lines[0].bounds(), self.lines[1].bounds()]
    }

    /// Tells what of the target the places of its cells depend on.
    pub(crate) fn tell(&self, mut number: impl FnMut(u64)) {
        self.system.bytes().for_each(|byte| number(byte.into()));
        for line in &self.lines {
            [line.start.to_bits(), line.step.to_bits(), line.len as u64]
                .into_iter()
                .for_each(&mut number);
        }
    }

    /// How many cells of a level of the grid lie once round the globe, if they do.
    pub(crate) fn columns(&self, structure: &Structure, level: Level) -> Option<f64> {
        let cell = cell(structure, self.axes[0], level);
        self.once_round.map(|round| round / cell.abs())
    }

    /// The same on the cells of a level of the grid.
    pub(crate) fn on(&self, structure: &Structure, level: Level) -> ElsewhereOnLevel {
        let along = |axis: usize| (structure.edge(axis, level, 0), cell(structure, axis, level));
        ElsewhereOnLevel {
            lattice: self.axes.map(along),
            of: self.clone(),
        }
    }
}

impl ElsewhereOnLevel {
    /// The target.
    pub(crate) fn target(&self) -> &Elsewhere {
        &self.of
    }

    /// Where a point, in cells of the target, lies in cells of the level: both x before y.
    pub(crate) fn place(&self, [col, row]: [f64; 2]) -> Option<[f64; 2]> {
        let [x, y] = &self.of.lines;
        let (x, y) = (x.start + col * x.step, y.start + row * y.step);
        let is_pole = self.of.is_circle && (y.abs() - 90.0).abs() <= AT_POLE;
        let y = if is_pole { 90.0_f64.copysign(y) } else { y };
        let [x, y] = self.of.way.forward([x, y])?;
        let [across, down] = self.lattice;
        Some([(x - across.0) / across.1, (y - down.0) / down.1])
    }

    /// Where a position in cells of the level lies in cells of another.
    pub(crate) fn position(&self, at: [f64; 2], on: &Self) -> [f64; 2] {
        [0, 1].map(|axis| {
            let ((from, cell), (first, other)) = (self.lattice[axis], on.lattice[axis]);
            (from + at[axis] * cell - first) / other
        })
    }
}

/// How long cells of a level are along an axis.
fn cell(structure: &Structure, axis: usize, level: Level) -> f64 {
    structure.axes().nth(axis).map_or(1.0, Axis::step) * level.scale()
}
