//! Values of options that several verbs have.

use std::fmt;
use std::str::FromStr;

use super::time::Length;
use gridstone::array::{Cell, Number};
pub(super) use gridstone::wire::Period;
use gridstone::{Aggregation, Level};

/// `W,S,E,N` in world units; over the antimeridian where west is above east, if that is at most
/// half of the globe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct BoundsArg {
    pub(super) west: f64,
    pub(super) south: f64,
    pub(super) east: f64,
    pub(super) north: f64,
}

impl FromStr for BoundsArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Vec<f64> = text.split(',').map(number).collect::<Result<_, _>>()?;
        let [west, south, east, north] = numbers[..] else {
            return Err(format!(
                "it has {} numbers, not 4: west, south, east, north",
                numbers.len()
            ));
        };
        // More than half of the globe is rather meant the other way round.
        let over = west > east && (0.0..=180.0).contains(&(east + 360.0 - west));
        if !(west < east || over) || south >= north {
            return Err(
                "west must be below east, but for a box of up to 180 degrees over the antimeridian, and south below north"
                    .to_owned(),
            );
        }
        Ok(Self {
            west,
            south,
            east,
            north,
        })
    }
}

impl fmt::Display for BoundsArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{},{},{},{}",
            self.west, self.south, self.east, self.north
        )
    }
}

/// `Y0:Y1,X0:X1`: rows and columns, half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CellsArg {
    pub(super) rows: (i64, i64),
    pub(super) cols: (i64, i64),
}

impl FromStr for CellsArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rows, cols) = text
            .split_once(',')
            .ok_or("give rows and columns, like 0:512,0:1024")?;
        Ok(Self {
            rows: range(rows)?,
            cols: range(cols)?,
        })
    }
}

/// `A:B`: cells, half-open.
pub(super) fn range(text: &str) -> Result<(i64, i64), String> {
    let (first, end) = text
        .split_once(':')
        .ok_or_else(|| format!("`{text}` is not a range like 0:512"))?;
    let (first, end) = (whole(first)?, whole(end)?);
    if first < end {
        Ok((first, end))
    } else {
        Err(format!("the range {first}:{end} is empty"))
    }
}

/// A whole number.
pub(super) fn whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("`{text}` is not a whole number"))
}

/// `HxW`: rows and columns of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) cols: usize,
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rows, cols) = text
            .split_once(['x', 'X'])
            .ok_or("give rows and columns, like 512x1024")?;
        let whole = |text: &str| {
            let len = text.trim().parse::<usize>().ok().filter(|len| *len > 0);
            len.ok_or_else(|| format!("`{text}` is not a whole number above 0"))
        };
        Ok(Self {
            rows: whole(rows)?,
            cols: whole(cols)?,
        })
    }
}

/// `R` or `RX,RY`: the size of a cell in world units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct CellSize {
    pub(super) x: f64,
    pub(super) y: f64,
}

impl FromStr for CellSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (x, y) = text.split_once(',').unwrap_or((text, text));
        let size = Self {
            x: number(x)?,
            y: number(y)?,
        };
        if size.x > 0.0 && size.y > 0.0 {
            Ok(size)
        } else {
            Err("a cell is larger than 0".to_owned())
        }
    }
}

/// A finite number.
pub(super) fn number(text: &str) -> Result<f64, String> {
    text.trim()
        .parse::<f64>()
        .ok()
        .filter(|number| number.is_finite())
        .ok_or_else(|| format!("`{text}` is not a finite number"))
}

/// A number, NaN among them, that cells can hold as it stands: a double, or the largest integer of
/// 64 bits, which doubles saturate to.
pub(super) fn nodata(text: &str) -> Result<f64, String> {
    let number: Number = parsed(text)?;
    let double = number.to_f64();
    let kept = [
        double.into(),
        u64::from_f64(double).into(),
        i64::from_f64(double).into(),
    ];
    if double.is_nan() || kept.contains(&number) {
        return Ok(double);
    }
    Err(format!(
        "`{text}` cannot be kept exactly; use a whole number up to 2^53, or the least or greatest of the cell type"
    ))
}

pub(super) fn level(text: &str) -> Result<Level, String> {
    Level::new(whole(text)?).map_err(|error| error.to_string())
}

/// One of several: the names come from the value's own error.
pub(super) fn parsed<T: FromStr<Err = gridstone::Error>>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|error: gridstone::Error| error.to_string())
}

pub(super) fn chunk(text: &str) -> Result<u32, String> {
    let chunk = text
        .parse::<u32>()
        .ok()
        .filter(|chunk| chunk.is_power_of_two() && *chunk >= 2);
    chunk.ok_or_else(|| format!("`{text}` is not a power of two, at least 2"))
}

/// `N` or `T,N`: rows and columns of a chunk, and its time steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkSize {
    pub(super) time: Option<u32>,
    pub(super) space: u32,
}

impl FromStr for ChunkSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(',') {
            Some((time, space)) => Ok(Self {
                time: Some(chunk(time.trim())?),
                space: chunk(space.trim())?,
            }),
            None => Ok(Self {
                time: None,
                space: chunk(text)?,
            }),
        }
    }
}

/// `1h`, `15min`: in nanoseconds.
pub(super) fn time_step(text: &str) -> Result<i128, String> {
    match parsed(text)? {
        Length::Nanoseconds(nanoseconds) => Ok(nanoseconds),
        Length::Ticks(_) => Err(format!("`{text}` is not a length of time like 1h or 15min")),
    }
}

/// `mean,max`; `none` for no layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Aggregators(pub(super) Vec<Aggregation>);

impl FromStr for Aggregators {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(Vec::new()));
        }
        text.split(',')
            .map(|name| parsed(name.trim()))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}
