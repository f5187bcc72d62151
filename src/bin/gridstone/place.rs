//! Boxes and places on a globe: turned to the longitudes at which a grid has its data.

use super::args::BoundsArg;
use super::terminal::Terminal;
use gridstone::adapter::raster::RasterAxes;
use gridstone::grid::longitude::{rising, turned, turns};
use gridstone::{Axis, Grid, Polygon};

/// Where a grid's data lies in the plane of its rows and columns, if there is any.
#[derive(Clone, Copy, Debug)]
pub(super) struct DataPlane {
    x: (f64, f64),
    y: (f64, f64),
    /// Where the last cells along x and y end: no cell holds a place there.
    ends: [f64; 2],
    /// Whether columns are longitudes in degrees.
    round: bool,
}

impl DataPlane {
    pub(super) fn of(grid: &Grid, axes: RasterAxes) -> anyhow::Result<Option<Self>> {
        let round = grid.structure().longitude() == Some(axes.x);
        let plane = |extent: gridstone::Extent| {
            let [x, y] = [axes.x, axes.y].map(|axis| extent.bounds()[axis]);
            let end = |axis: usize, (low, high): (f64, f64)| {
                let step = grid.structure().axes().nth(axis).map_or(1.0, Axis::step);
                if step < 0.0 { low } else { high }
            };
            Self {
                x,
                y,
                ends: [end(axes.x, x), end(axes.y, y)],
                round,
            }
        };
        Ok(grid.extent()?.map(plane))
    }

    /// The columns, if they are longitudes.
    pub(super) fn longitudes(&self) -> Option<(f64, f64)> {
        self.round.then_some(self.x)
    }

    fn shown(&self) -> String {
        format!(
            "x {} to {}, y {} to {}",
            self.x.0, self.x.1, self.y.0, self.y.1
        )
    }

    /// Warns of what lies beside all data.
    fn note_outside(
        &self,
        terminal: &Terminal,
        grid: &Grid,
        what: &str,
        (x, y): ((f64, f64), (f64, f64)),
    ) {
        let apart = |a: (f64, f64), b: (f64, f64)| {
            a.1 < b.0 || b.1 < a.0 || a.0 < a.1 && (a.1 <= b.0 || b.1 <= a.0)
        };
        if apart(x, self.x) || apart(y, self.y) {
            let swapped = !apart(y, self.x) && !apart(x, self.y);
            let hint = if swapped {
                "; its two numbers seem to be swapped: x comes first"
            } else {
                ""
            };
            terminal.warn(format!(
                "{what} lies outside of all data of grid `{}`, {}{hint}",
                grid.name(),
                self.shown()
            ));
        }
    }

    /// Warns of a box that lies beside all data, however its longitudes are turned.
    pub(super) fn note_beside(
        &self,
        terminal: &Terminal,
        grid: &Grid,
        what: &str,
        (x, y): ((f64, f64), (f64, f64)),
    ) {
        let turn = if self.round {
            turns(x, self.x).first().copied().unwrap_or(0.0)
        } else {
            0.0
        };
        self.note_outside(terminal, grid, what, ((x.0 + turn, x.1 + turn), y));
    }

    /// A place turned to the data, and a warning if it lies beside it.
    pub(super) fn place(&self, terminal: &Terminal, grid: &Grid, (x, y): (f64, f64)) -> (f64, f64) {
        let inside = |x: f64| self.x.0 <= x && x < self.x.1;
        let round = turned(x, self.x.0);
        let found = if self.round && !inside(x) && inside(round) {
            round
        } else {
            x
        };
        let what = format!("the place {x},{y}");
        self.note_outside(terminal, grid, &what, ((found, found), (y, y)));
        if found == self.ends[0] || y == self.ends[1] {
            terminal.warn(format!(
                "{what} lies where the last cell of grid `{}` ends, and in none, {}",
                grid.name(),
                self.shown()
            ));
        }
        (found, y)
    }
}

impl BoundsArg {
    /// The box where the grid's data is: as it stands, or over the antimeridian if its west is
    /// above its east, in one box for each turn by whole circles that brings some of it to the
    /// data.
    pub(super) fn placed(
        self,
        terminal: &Terminal,
        grid: &Grid,
        axes: RasterAxes,
    ) -> anyhow::Result<Vec<Self>> {
        let plane = DataPlane::of(grid, axes)?;
        let round = grid.structure().longitude() == Some(axes.x);
        anyhow::ensure!(
            round || self.west < self.east,
            "--extent {self}: west must be below east, but where longitudes are counted, and grid `{}` is not known to do so",
            grid.name()
        );
        let (west, east) = if round {
            rising(self.west, self.east)
        } else {
            (self.west, self.east)
        };
        let whole = Self { west, east, ..self };
        let Some(plane) = plane else {
            return Ok(vec![whole]);
        };
        let turned = if round {
            turns((west, east), plane.x)
        } else {
            Vec::new()
        };
        let turn = turned.first().copied().unwrap_or(0.0);
        plane.note_outside(
            terminal,
            grid,
            &format!("--extent {self}"),
            ((west + turn, east + turn), (self.south, self.north)),
        );
        if turned.is_empty() {
            return Ok(vec![whole]);
        }
        let circles = (plane.x.1 - plane.x.0) / 360.0;
        if turned.len() > 1 && east - west >= 360.0 && (circles - 1.0).abs() <= 1e-9 {
            // Whole circles have the same longitudes, wherever they begin.
            return Ok(vec![Self {
                west: plane.x.0,
                east: plane.x.1,
                ..self
            }]);
        }
        Ok(turned
            .into_iter()
            .map(|turn| Self {
                west: west + turn,
                east: east + turn,
                ..self
            })
            .collect())
    }

    /// The same where one box is wanted; an error says how to ask for several.
    pub(super) fn placed_once(
        self,
        terminal: &Terminal,
        grid: &Grid,
        axes: RasterAxes,
    ) -> anyhow::Result<Self> {
        let placed = self.placed(terminal, grid, axes)?;
        if let [only] = placed[..] {
            return Ok(only);
        }
        let (low, high) =
            DataPlane::of(grid, axes)?.map_or((f64::NEG_INFINITY, f64::INFINITY), |plane| plane.x);
        let part = |of: &Self| Self {
            west: of.west.max(low),
            east: of.east.min(high),
            ..*of
        };
        let parts: Vec<String> = placed
            .iter()
            .rev()
            .map(|of| format!("`--extent {}`", part(of)))
            .collect();
        anyhow::bail!(
            "--extent {self} goes over the seam of grid `{}`, whose longitudes go from {low} to {high}; ask for it in parts: {}",
            grid.name(),
            parts.join(" and ")
        )
    }

    /// Boxes as one polygon; a cell in any of them is in it.
    pub(super) fn polygon(
        boxes: &[Self],
        grid: &Grid,
        axes: RasterAxes,
    ) -> anyhow::Result<Polygon> {
        let names: Vec<&str> = grid.structure().axes().map(Axis::name).collect();
        let ring = |of: &Self| {
            vec![vec![
                [of.west, of.south],
                [of.east, of.south],
                [of.east, of.north],
                [of.west, of.north],
            ]]
        };
        Ok(Polygon::new(
            [names[axes.x], names[axes.y]],
            boxes.iter().map(ring),
        )?)
    }
}
