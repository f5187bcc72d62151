//! Coordinates along rows and columns: the cells that 1-D coordinate variables make.

use super::TOLERANCE;
use super::file::NetCdf;
use super::header::Variable;
use super::stored::{StoredNumbers, are_cells, bounds_of, decimals, roundest, single, without};
use crate::adapter::axes::INDEX;
use crate::adapter::unit::Conversion;
use crate::array::DType;
use crate::error::{Error, Result};
use crate::grid::Axis;
use crate::grid::longitude::is_degrees_east;

/// Equidistant cells in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct EvenCells {
    /// The outer edge of the first cell; of a cell whose size is not known its centre.
    pub(super) origin: f64,
    /// From one cell to the next; negative where numbers fall; 0 of one cell whose size is not
    /// known.
    pub(super) step: f64,
    pub(super) len: u64,
    pub(super) unit: Option<String>,
}

/// What is told of cells that no axis has.
const REMEDY: &str = "resample the file, as with `cdo remapbil,GRID FILE FITTING.nc`, where GRID is a file whose cells are wanted, or keep it in a grid of its own, made with `gridstone create STORE NAME --like FILE --index-axes`";

impl EvenCells {
    /// Cells that are their own numbers.
    pub(super) fn index(len: u64) -> Self {
        Self {
            origin: 0.0,
            step: 1.0,
            len,
            unit: Some(INDEX.to_owned()),
        }
    }

    /// Reads a coordinate variable.
    pub(super) fn read(file: &NetCdf, variable: &Variable) -> Result<Self> {
        let refused =
            |why: String| Error::invalid(format!("coordinate `{}`: {why}", variable.name));
        let stored = StoredNumbers::read(file, variable)?;
        if let Some((cell, text)) = stored.first_missing() {
            return Err(refused(format!(
                "its value {text} of cell {cell} is no place; {REMEDY}"
            )));
        }
        let mut centres = Numbers::of(&stored);
        let is_turned = is_turned(variable);
        if is_turned {
            centres.turn();
        }
        let len = centres.values.len();
        let unit = unit_of(variable, &centres.values);
        let is_longitude = unit.as_deref().is_some_and(is_degrees_east);
        if is_longitude {
            unroll(&mut centres.values);
        }
        if let Some(value) = centres.values.iter().find(|value| !value.is_finite()) {
            return Err(refused(format!("its value {value} is no place; {REMEDY}")));
        }
        let bounds = match bounds_of(file.header(), variable) {
            Some(bounds) => {
                let numbers = StoredNumbers::bounds(file, bounds, variable, &stored)?;
                let mut numbers = Numbers::of(&numbers);
                let unit = in_unit_of(variable, bounds).map_err(refused)?;
                numbers.convert(unit);
                if is_turned {
                    numbers.turn();
                }
                are_cells(&numbers.values).then_some((numbers, bounds))
            }
            None => None,
        };
        if let Some((numbers, bounds)) = bounds
            .as_ref()
            .filter(|(numbers, _)| numbers.values.len() != 2 * len || len == 0)
        {
            return Err(refused(format!(
                "its bounds `{}` are {} numbers for {len} cells; {}",
                bounds.name,
                numbers.values.len(),
                without(bounds)
            )));
        }
        let edges = bounds.map(|(mut numbers, bounds)| {
            if is_longitude {
                numbers.beside(&centres.values);
            }
            let misfit = |why: String| {
                format!(
                    "its bounds `{}` do not fit it: {why}; {}, so that its values say where cells are",
                    bounds.name,
                    without(bounds)
                )
            };
            held(&numbers, &centres).map_err(misfit)?;
            let line = edges(&numbers, &centres)?;
            spaced(line, &numbers, &centres).map_err(misfit)?;
            Ok::<_, String>(line)
        });
        let line = match edges {
            Some(line) => line.map_err(refused)?,
            None if len == 1 => {
                return Ok(Self {
                    origin: centres.values[0],
                    step: 0.0,
                    len: 1,
                    unit,
                });
            }
            None => centres
                .line()
                .map(|(first, step)| (first - step / 2.0, step))
                .map_err(refused)?,
        };
        let largest = centres
            .values
            .iter()
            .fold(line.0.abs(), |largest, value| largest.max(value.abs()));
        Ok(Self {
            origin: roundest(line.0, 4.0 * largest * f64::EPSILON),
            step: line.1,
            len: len as u64,
            unit,
        })
    }

    /// The axis of a grid with these cells.
    pub(super) fn axis(&self, name: &str, chunk: u32) -> Result<Axis> {
        if self.step == 0.0 {
            return Err(Error::invalid(format!(
                "the file has a single value along `{name}`, which does not say how large a cell is; make the grid with `gridstone create STORE NAME --structure GRID.toml`, or keep the file on index axes with `--index-axes`"
            )));
        }
        let axis = Axis::new(name, self.origin, self.step, chunk);
        Ok(match &self.unit {
            Some(unit) => axis.unit(unit),
            None => axis,
        })
    }

    /// The same in the unit of a grid's axis, if both have one.
    pub(super) fn in_unit_of(&self, axis: &Axis) -> Result<Self> {
        let (Some(own), Some(known)) = (self.unit.as_deref(), axis.unit_name()) else {
            return Ok(self.clone());
        };
        // Whether cells are their own numbers is asked where they are placed.
        if own == known || [own, known].contains(&INDEX) {
            return Ok(self.clone());
        }
        let conversion = between(own, known).ok_or_else(|| {
            Error::invalid(format!(
                "the file's `{}` is in `{own}`, the grid's in `{known}`, and it is not known how one becomes the other; make a grid for it with `gridstone create STORE NAME --like FILE`",
                axis.name()
            ))
        })?;
        Ok(Self {
            origin: conversion.apply(self.origin),
            step: conversion.apply(self.step) - conversion.apply(0.0),
            ..self.clone()
        })
    }

    /// The first cell of a grid's axis, and whether the file runs against it.
    pub(super) fn place(&self, axis: &Axis) -> Result<(i64, bool)> {
        let index = |unit: Option<&str>| unit == Some(INDEX);
        let name = axis.name();
        if index(self.unit.as_deref()) != index(axis.unit_name()) {
            let (of_file, of_grid) = if index(axis.unit_name()) {
                ("coordinates", "none")
            } else {
                ("no coordinates", "some")
            };
            return Err(Error::invalid(format!(
                "the file has {of_file} along `{name}`, and the grid {of_grid}; make a grid for it with `gridstone create STORE NAME --like FILE`"
            )));
        }
        let misfit = |why: String| {
            Err(Error::invalid(format!(
                "the file does not fit the grid: {why} along `{name}`; {REMEDY}"
            )))
        };
        // The size of one cell is the grid's where nothing says it.
        let (origin, step) = match self.step {
            0.0 => (self.origin - axis.step() / 2.0, axis.step()),
            step => (self.origin, step),
        };
        let ratio = (step / axis.step()).abs();
        // The error of one cell adds up over all of them.
        let drift = (ratio - 1.0).abs() * self.len as f64;
        if drift.is_nan() || drift > TOLERANCE {
            return misfit(format!(
                "its cells are of {}, the grid's of {}",
                step.abs(),
                axis.step().abs()
            ));
        }
        let reversed = (step < 0.0) != (axis.step() < 0.0);
        let far = origin + step * self.len as f64;
        let (from, to) = if reversed {
            (far, origin)
        } else {
            (origin, far)
        };
        let nearest = axis.position(from).round();
        let off = (axis.position(from) - nearest)
            .abs()
            .max((axis.position(to) - nearest - self.len as f64).abs());
        if off.is_nan() || off > TOLERANCE {
            return misfit(format!("its cells lie {off:.4} of a cell off the grid's"));
        }
        let cell = whole(nearest)
            .ok_or_else(|| Error::invalid("the file lies outside the grid's index space"))?;
        Ok((cell, reversed))
    }
}

/// The unit of a coordinate. Degrees, and numbers without a unit, are those of latitude or
/// longitude where the standard name says so, or without one the name.
fn unit_of(variable: &Variable, values: &[f64]) -> Option<String> {
    let unit = variable
        .text("units")
        .filter(|unit| unit.len() <= 64 && !unit.contains(" since "));
    let degrees = unit.and_then(Degrees::of);
    let named = variable
        .text("standard_name")
        .filter(|name| !name.is_empty())
        .unwrap_or(variable.leaf())
        .to_ascii_lowercase();
    let within = |low: f64, high: f64| values.iter().all(|value| (low..=high).contains(value));
    let is_vague = unit.is_none() || degrees == Some(Degrees::Plain);
    match (named.as_str(), degrees) {
        ("latitude" | "lat", _) if is_vague && within(-90.0, 90.0) => {
            Some("degrees_north".to_owned())
        }
        ("longitude" | "lon" | "long", _) if is_vague && within(-360.0, 720.0) => {
            Some("degrees_east".to_owned())
        }
        // One spelling for what CF does not know.
        (_, Some(Degrees::East | Degrees::West)) => Some(
            unit.filter(|unit| is_degrees_east(unit))
                .unwrap_or("degrees_east")
                .to_owned(),
        ),
        (_, Some(Degrees::South)) => Some("degrees_north".to_owned()),
        (_, Some(Degrees::North)) => Some(
            unit.filter(|unit| unit.starts_with("degree") && !unit.contains(' '))
                .unwrap_or("degrees_north")
                .to_owned(),
        ),
        _ => unit.map(str::to_owned),
    }
}

/// What a unit of degrees says of their direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Degrees {
    North,
    South,
    East,
    West,
    /// Nothing.
    Plain,
}

impl Degrees {
    /// Of a unit in any spelling: `degrees_north`, `Degrees North`, `deg_N`; `None` of another.
    pub(super) fn of(unit: &str) -> Option<Self> {
        let unit = unit.to_ascii_lowercase();
        let direction = ["degrees", "degree", "degs", "deg"]
            .iter()
            .find_map(|name| unit.strip_prefix(name))?;
        match direction.trim_matches(['_', ' ', '-']) {
            "north" | "n" => Some(Self::North),
            "south" | "s" => Some(Self::South),
            "east" | "e" => Some(Self::East),
            "west" | "w" => Some(Self::West),
            "" => Some(Self::Plain),
            _ => None,
        }
    }

    /// A unit without the direction of degrees.
    pub(super) fn plain(unit: &str) -> &str {
        if Self::of(unit).is_some() {
            "degree"
        } else {
            unit
        }
    }
}

/// Longitudes that go on where they began anew: 170, 175, 180, -175 become 170, 175, 180, 185.
fn unroll(longitudes: &mut [f64]) {
    for next in 1..longitudes.len() {
        longitudes[next] = beside(longitudes[next], longitudes[next - 1]);
    }
}

/// The longitude that is the same place, at most half a turn away from another; itself where it is
/// no further.
fn beside(longitude: f64, other: f64) -> f64 {
    let turns = ((longitude - other) / 360.0).round();
    if turns.is_finite() && (longitude - other).abs() > 180.0 {
        longitude - turns * 360.0
    } else {
        longitude
    }
}

/// Unpacked numbers, and how far each may be from the one that was meant.
struct Numbers {
    values: Vec<f64>,
    /// Whether they are those of float32: also doubles that went through it.
    single: bool,
}

impl Numbers {
    /// Of a variable.
    fn of(stored: &StoredNumbers) -> Self {
        let values = stored.values();
        let is_single = |value: &f64| f64::from(single(*value)).total_cmp(value).is_eq();
        let single = stored.packing.is_none()
            && match stored.cells.dtype() {
                DType::F32 => true,
                DType::F64 => values.iter().all(is_single),
                _ => false,
            };
        Self { values, single }
    }

    /// Counted the other way.
    fn turn(&mut self) {
        self.values
            .iter_mut()
            .for_each(|value| *value = 0.0 - *value);
    }

    /// In another unit.
    fn convert(&mut self, conversion: Conversion) {
        if !conversion.is_none() {
            self.values.iter_mut().for_each(|value| {
                let converted = conversion.apply(*value);
                *value = roundest(converted, 4.0 * converted.abs() * f64::EPSILON);
            });
        }
    }

    /// Pairs of longitudes turned to those that they are around. A cell that goes all the way round
    /// stays as it is: turned, its edges would be one.
    fn beside(&mut self, centres: &[f64]) {
        let pairs = self.values.as_chunks_mut::<2>().0.iter_mut().zip(centres);
        let parts = pairs.filter(|(edges, _)| (edges[1] - edges[0]).abs() != 360.0);
        parts.for_each(|(edges, centre)| {
            edges
                .iter_mut()
                .for_each(|edge| *edge = beside(*edge, *centre))
        });
    }

    /// How far each may be from the number that was meant.
    fn precision(&self) -> f64 {
        let largest = self
            .values
            .iter()
            .fold(0.0_f64, |largest, value| largest.max(value.abs()));
        largest
            * if self.single {
                f64::from(f32::EPSILON) / 2.0
            } else {
                f64::EPSILON
            }
    }

    /// The first number and the step of equidistant ones; else which one is none of them.
    fn line(&self) -> Result<(f64, f64), String> {
        let (values, len) = (&self.values, self.values.len());
        let (first, last) = (values[0], values[len - 1]);
        let step = (last - first) / (len - 1) as f64;
        let precision = self.precision();
        if !step.is_finite() || step.abs() <= 4.0 * precision {
            return Err(format!(
                "its values {first} to {last} are not equidistant; {REMEDY}"
            ));
        }
        let line = self.meant(first, step, precision);
        let (first, step) = line.unwrap_or((
            roundest(first, precision),
            roundest(step, precision / len as f64),
        ));
        let off = |(number, value): (usize, &f64)| {
            let off = (value - (first + number as f64 * step)).abs();
            off.is_nan() || off > step.abs() * TOLERANCE + 2.0 * precision
        };
        match values
            .iter()
            .enumerate()
            .find(|(number, value)| off((*number, value)))
        {
            Some((number, value)) => {
                let expected = first + number as f64 * step;
                Err(format!(
                    "it is not equidistant: value {value} of cell {number} is not {expected}; {REMEDY}"
                ))
            }
            None => Ok((first, step)),
        }
    }

    /// The shortest decimal numbers for the first and the step that give every number as it is
    /// stored: 50.05 and 0.1 for what float32 made of them.
    fn meant(&self, first: f64, step: f64, precision: f64) -> Option<(f64, f64)> {
        let same = |value: f64, stored: f64| {
            if self.single {
                single(value) == single(stored)
            } else {
                value == stored
            }
        };
        let all = |first: f64, step: f64| {
            self.values
                .iter()
                .enumerate()
                .all(|(number, stored)| same(first + number as f64 * step, *stored))
        };
        let near = |value: f64, precision: f64| {
            decimals(value).filter(move |rounded| (rounded - value).abs() <= 2.0 * precision)
        };
        let steps: Vec<f64> = near(step, 2.0 * precision / self.values.len() as f64).collect();
        steps.into_iter().find_map(|step| {
            near(first, precision)
                .find(|first| all(*first, step))
                .map(|first| (first, step))
        })
    }
}

/// The first edge and the step of cells with these bounds, which may be given either way round.
/// Where the outermost cells end before the others would, as at a pole, the centres tell.
fn edges(bounds: &Numbers, centres: &Numbers) -> Result<(f64, f64), String> {
    let cells = centres.values.len();
    let pair = |cell: usize| (bounds.values[2 * cell], bounds.values[2 * cell + 1]);
    let rising = if cells > 1 {
        centres.values[cells - 1] > centres.values[0]
    } else {
        pair(0).1 > pair(0).0
    };
    let ends = |cell: usize| {
        let (a, b) = pair(cell);
        if (a < b) == rising { (a, b) } else { (b, a) }
    };
    let mut outer: Vec<f64> = (0..cells).map(|cell| ends(cell).0).collect();
    outer.push(ends(cells - 1).1);
    let by_bounds = Numbers {
        values: outer,
        single: bounds.single,
    }
    .line();
    if cells < 3 {
        return by_bounds;
    }
    let by_centres = centres
        .line()
        .map(|(first, step)| (first - step / 2.0, step));
    let Ok((first, step)) = by_centres else {
        return by_bounds;
    };
    // How far an edge lies inside of where the centres have it, in cells.
    let inside = |cell: usize| {
        let (from, to) = (first + cell as f64 * step, first + (cell + 1) as f64 * step);
        ((ends(cell).0 - from) / step, (to - ends(cell).1) / step)
    };
    let close = |off: f64| off.abs() <= 2.0 * TOLERANCE;
    let cut = |off: f64| (-TOLERANCE..1.0).contains(&off);
    let inner = (1..cells - 1).all(|cell| close(inside(cell).0) && close(inside(cell).1));
    let outer = cut(inside(0).0)
        && close(inside(0).1)
        && close(inside(cells - 1).0)
        && cut(inside(cells - 1).1);
    match by_bounds {
        Ok(line) => Ok(line),
        Err(_) if inner && outer => Ok((first, step)),
        Err(why) => Err(why),
    }
}

/// Refuses bounds of which one does not hold its coordinate, or does not begin where the one before
/// ends.
fn held(bounds: &Numbers, centres: &Numbers) -> Result<(), String> {
    let rounding = 2.0 * (bounds.precision() + centres.precision());
    let pairs = bounds.values.as_chunks::<2>().0;
    let slack = |[a, b]: &[f64; 2]| 2.0 * TOLERANCE * (b - a).abs() + rounding;
    for (cell, (pair, centre)) in pairs.iter().zip(&centres.values).enumerate() {
        let ([a, b], slack) = (pair, slack(pair));
        if !(a.min(*b) - slack..=a.max(*b) + slack).contains(centre) {
            return Err(format!(
                "value {centre} of cell {cell} is not between {a} and {b}"
            ));
        }
    }
    for (cell, two) in pairs.windows(2).enumerate() {
        let (before, next) = (&two[0], &two[1]);
        let rising = centres.values[cell + 1] > centres.values[cell];
        let (end, start) = if rising {
            (before[0].max(before[1]), next[0].min(next[1]))
        } else {
            (before[0].min(before[1]), next[0].max(next[1]))
        };
        let off = (end - start).abs();
        if off.is_nan() || off > slack(before).max(slack(next)) {
            return Err(format!(
                "cell {cell} ends at {end}, and the next begins at {start}"
            ));
        }
    }
    Ok(())
}

/// Refuses cells by bounds that are of another size than the coordinate's values are apart, unless
/// the first and last value are at the outermost edges, as at poles.
fn spaced((first, step): (f64, f64), bounds: &Numbers, centres: &Numbers) -> Result<(), String> {
    let len = centres.values.len();
    if len < 2 {
        return Ok(());
    }
    let Ok((_, apart)) = centres.line() else {
        return Ok(());
    };
    let rounding = 4.0 * (bounds.precision() + centres.precision());
    let slack = 2.0 * TOLERANCE * step.abs() + rounding;
    let ends = [first, first + len as f64 * step];
    let at_ends = (centres.values[0] - ends[0]).abs() <= slack
        && (centres.values[len - 1] - ends[1]).abs() <= slack;
    if (apart - step).abs() * len as f64 <= slack || at_ends {
        return Ok(());
    }
    Err(format!(
        "its cells are of {}, and its values {} apart",
        step.abs(),
        apart.abs()
    ))
}

/// What coordinates in one unit become in another. Degrees are degrees, whatever their direction.
fn between(from: &str, to: &str) -> Option<Conversion> {
    match (Degrees::of(from), Degrees::of(to)) {
        (Some(_), Some(_)) => Some(Conversion::NONE),
        _ => Conversion::between(Degrees::plain(from), Degrees::plain(to)),
    }
}

/// What numbers of a coordinate's bounds become in its unit: bounds have its unit unless they say
/// another. Degrees are degrees, whatever their direction is said to be: the bounds of longitudes
/// may say that they are to the north, and lie around them all the same.
fn in_unit_of(variable: &Variable, bounds: &Variable) -> Result<Conversion, String> {
    let (Some(own), Some(unit)) = (bounds.text("units"), variable.text("units")) else {
        return Ok(Conversion::NONE);
    };
    between(own, unit).ok_or_else(|| {
        format!(
            "its bounds `{}` are in `{own}`, it is in `{unit}`, and it is not known how one becomes the other; {}",
            bounds.name,
            without(bounds)
        )
    })
}

/// Whether a coordinate counts degrees to the south or west.
fn is_turned(variable: &Variable) -> bool {
    let degrees = variable.text("units").and_then(Degrees::of);
    matches!(degrees, Some(Degrees::South | Degrees::West))
}

/// What is told of a coordinate of which the numbers are kept with another sign.
pub(super) fn turned(variable: &Variable) -> Option<String> {
    is_turned(variable).then(|| {
        format!(
            "its coordinate `{}` is in {}: the grid has its numbers with the other sign, in degrees to the north and east",
            variable.name,
            variable.text("units").unwrap_or_default()
        )
    })
}

/// A whole number within the index space.
#[expect(clippy::cast_possible_truncation, reason = "whole and of at most 2^62")]
fn whole(cell: f64) -> Option<i64> {
    (cell.is_finite() && cell.abs() < 4e18).then_some(cell as i64)
}
