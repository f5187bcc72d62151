//! Where the cells of a grid lie on a raster of another system.

use std::ops::Range;

use ndarray::{ArrayD, Axis};

use crate::adapter::axes::RasterAxes;
use crate::adapter::geotiff::{Affine, Header};
use crate::adapter::source::FoundCells;
use crate::array::{Array, Cell, Validity, with_view};
use crate::crs::Transformation;
use crate::error::Result;
use crate::grid::Level;
use crate::kernel::{CellPlaces, GlobeColumns, PlacedPart, ResamplingMethod};
use crate::store::Grid;

use super::lattice::Lattice;
use super::reach::{AffineMap, Mapped, Reach};
use super::remedy;
use super::resampled::LaidCells;

/// How far a file may be from going round the globe, in cells, that goes round.
const CLOSES: f64 = 1e-3;
/// How far beyond a pole a place is that is meant to be there, in degrees.
const AT_POLE: f64 = 1e-9;

/// A raster of another system beside the grid that it is laid onto.
#[derive(Clone, Debug)]
pub(super) struct Elsewhere {
    /// From the grid's system to the raster's.
    back: Transformation,
    affine: Affine,
    /// Rows and columns of the raster.
    size: [usize; 2],
    /// Where cell 0 of the level begins, and how long cells are: x, then y.
    lattice: [(f64, f64); 2],
    /// Whether the grid has longitudes and latitudes.
    is_circle: bool,
    /// How the raster goes round the globe, if its columns follow the longitudes.
    turn: Option<GlobeColumns>,
    is_round: bool,
}

impl Elsewhere {
    /// A raster beside a grid of another system, and the cells of the grid that it touches. The way
    /// is from the raster's system to the grid's.
    pub(super) fn of(
        grid: &Grid,
        header: &Header,
        way: Transformation,
        level: Option<Level>,
    ) -> Result<(Self, Lattice)> {
        let affine = header.affine.unwrap_or(super::schema::PIXELS);
        let (structure, axes) = (grid.structure(), RasterAxes::of(grid.structure())?);
        let back = way.back();
        let is_circle = structure.longitude() == Some(axes.x);
        let by = |way: &Transformation, points: &[[f64; 2]]| {
            let there = |point: &[f64; 2]| way.forward(*point).unwrap_or([f64::NAN; 2]);
            points.iter().map(there).collect()
        };
        let ways = (
            &(|points: &[[f64; 2]]| by(&way, points)) as &Mapped<'_>,
            &(|points: &[[f64; 2]]| by(&back, points)) as &Mapped<'_>,
        );
        let size = [header.height, header.width];
        let reach = Reach::of(
            AffineMap(affine.to_gdal()),
            size,
            (ways.0, is_circle.then_some(ways.1)),
            is_circle,
        )?;
        let lattice = Lattice::of(grid, header, &reach, level)?;
        let line = |axis: usize| {
            (
                structure.edge(axis, lattice.level, 0),
                remedy::step(grid, axis) * lattice.level.scale(),
            )
        };
        let wide = header.width as f64;
        let turn = back.once_round().map(|round| GlobeColumns {
            columns: round / affine.dx.abs(),
            middle: wide / 2.0,
        });
        let here = Self {
            affine,
            size,
            lattice: [line(axes.x), line(axes.y)],
            is_circle,
            is_round: turn.is_some_and(|turn| (turn.columns - wide).abs() <= CLOSES),
            turn,
            back,
        };
        Ok((here, lattice))
    }

    /// Where some cells of the grid lie, and what they are made of; `None` if that is nothing of
    /// the raster.
    pub(super) fn part(
        &self,
        rows: &Range<i64>,
        cols: &Range<i64>,
        method: ResamplingMethod,
    ) -> Option<PlacedPart> {
        let places = CellPlaces::of(rows, cols, self.turn, &|at| self.place(at));
        places.part(self.size, self.is_round, method)
    }

    /// Where a point, in cells of the grid, lies in cells of the raster.
    fn place(&self, [col, row]: [f64; 2]) -> Option<[f64; 2]> {
        let [x, y] = self.lattice;
        let (x, y) = (x.0 + col * x.1, y.0 + row * y.1);
        let is_pole = self.is_circle && (y.abs() - 90.0).abs() <= AT_POLE;
        let y = if is_pole { 90.0_f64.copysign(y) } else { y };
        let [x, y] = self.back.forward([x, y])?;
        let Affine {
            x: left,
            y: top,
            dx,
            dy,
        } = self.affine;
        Some([(x - left) / dx, (y - top) / dy])
    }
}

/// Two parts, which follow each other along an axis, as one.
pub(super) fn joined(
    (a, of_a, found_a): LaidCells,
    (b, of_b, found_b): LaidCells,
    axis: usize,
) -> LaidCells {
    let all = |array: &Array| ArrayD::from_elem(array.shape(), true);
    let masks = [(&a, &of_a), (&b, &of_b)]
        .map(|(array, validity)| validity.mask(array).unwrap_or_else(|| all(array)));
    let mask = stacked(axis, &masks);
    let array = with_view!(Array, a, |a| of_one_type(a, b, axis));
    let found = found_a.zip(found_b).map(|(a, b)| FoundCells {
        data: a.data + b.data,
        collisions: a.collisions + b.collisions,
    });
    (array, Validity::of_mask(Some(mask)), found)
}

fn of_one_type<T: Cell>(a: ArrayD<T>, b: Array, axis: usize) -> Array {
    let b = b
        .into_typed()
        .unwrap_or_else(|_| unreachable!("of one type"));
    Array::from(stacked(axis, &[a, b]))
}

fn stacked<T: Clone>(axis: usize, parts: &[ArrayD<T>; 2]) -> ArrayD<T> {
    let [a, b] = parts;
    ndarray::concatenate(Axis(axis), &[a.view(), b.view()])
        .unwrap_or_else(|_| unreachable!("of one shape but along the axis"))
}
