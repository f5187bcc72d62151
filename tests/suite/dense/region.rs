//! Which cells lie in a polygon, by the plainest means.

use gridstone::statistics::Ring;
use gridstone::{Level, Polygon, Window};

use super::look::whole;
use super::model::Model;

/// A polygon, with its points.
#[derive(Clone, Debug)]
pub struct Region {
    pub polygon: Polygon,
    pub parts: Vec<Vec<Ring>>,
    /// The axes of the two numbers of a point.
    pub axes: [usize; 2],
}

impl Region {
    /// Whether a point is inside; `None` on an edge.
    pub fn holds(&self, point: [f64; 2]) -> Option<bool> {
        let mut inside = false;
        for part in &self.parts {
            let mut odd = false;
            for ring in part {
                for (i, a) in ring.iter().enumerate() {
                    let b = ring[(i + 1) % ring.len()];
                    // From the point, so that the numbers are small and exact.
                    let (ax, ay, bx, by) = (
                        a[0] - point[0],
                        a[1] - point[1],
                        b[0] - point[0],
                        b[1] - point[1],
                    );
                    let side = ax * by - bx * ay;
                    if side == 0.0 && ax * bx <= 0.0 && ay * by <= 0.0 {
                        return None;
                    }
                    if (ay > 0.0) != (by > 0.0) && (side > 0.0) == (by > ay) {
                        odd = !odd;
                    }
                }
            }
            inside |= odd;
        }
        Some(inside)
    }

    /// The base cells of a grid, at whichever level they stand, whose centres lie inside: the
    /// places of their ground cells. `None` if one lies on an edge.
    pub fn inside(&self, model: &Model) -> Option<Vec<usize>> {
        let ground: Vec<i8> = ground(model);
        let windows: Vec<(Vec<i8>, Window)> = match model.irregular() {
            Some(_) => whole(model, &ground)
                .into_iter()
                .map(|window| (ground.clone(), window))
                .collect(),
            None => model
                .leaves
                .iter()
                .map(|leaf| (leaf.levels.clone(), model.window_of(leaf)))
                .collect(),
        };
        let mut places = Vec::new();
        for (levels, window) in &windows {
            for (cell, spans) in model.cells(window) {
                let own = model.ground.places(&model.space, &spans);
                let held = own.iter().any(|&place| model.ground.cells[place].is_some());
                if held
                    && self.holds(
                        self.axes
                            .map(|axis| centre(model, levels, axis, cell[axis])),
                    )?
                {
                    places.extend(own);
                }
            }
        }
        Some(places)
    }
}

/// The levels of the ground.
pub fn ground(model: &Model) -> Vec<i8> {
    let mut at = vec![0; model.space.dimensions()];
    model
        .space
        .lines
        .iter()
        .for_each(|line| at[line.dimension] = line.ground);
    at
}

/// The world coordinate of the middle of a cell along an axis.
pub fn centre(model: &Model, at: &[i8], axis: usize, cell: i64) -> f64 {
    let level = Level::new(at[model.space.lines[axis].dimension]).unwrap();
    let edge = |cell| model.schema.structure().edge(axis, level, cell);
    f64::midpoint(edge(cell), edge(cell + 1))
}
