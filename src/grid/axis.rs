//! One coordinate direction.

use serde::{Deserialize, Serialize};

use crate::calendar::TimeUnit;
use crate::error::{Error, Result};

/// One coordinate direction: where its cell 0 begins, how large a cell is, how many cells a chunk
/// holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    pub(super) name: String,
    pub(super) origin: f64,
    pub(super) step: f64,
    pub(super) chunk: u32,
    pub(super) unit: Option<String>,
}

impl Axis {
    /// The longest chunk along one axis, in cells.
    pub const CHUNK_MAX: u32 = 1 << 24;

    /// An axis whose level-0 cell 0 begins at `origin` and is `step` long, both in world units;
    /// `step` is negative where numbers fall along the axis (y of a north-up raster). `chunk` is
    /// the cells a chunk, a power of two, at least 2.
    pub fn new(name: impl Into<String>, origin: f64, step: f64, chunk: u32) -> Self {
        Self {
            name: name.into(),
            origin,
            step,
            chunk,
            unit: None,
        }
    }

    /// The same with the unit of its world coordinates: a unit of time of the CF conventions
    /// (`hours since 2001-12-31T23:00:00Z`) where it is a time axis, which lets times be asked for
    /// and shown; any other is kept, not interpreted.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = Some(unit.into());
        self
    }

    /// The axis's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where level-0 cell 0 begins, in world units.
    pub fn origin(&self) -> f64 {
        self.origin
    }

    /// The signed length of a level-0 cell, in world units.
    pub fn step(&self) -> f64 {
        self.step
    }

    /// Cells a chunk.
    pub fn chunk(&self) -> u32 {
        self.chunk
    }

    /// The unit of its world coordinates, if it was declared.
    pub fn unit_name(&self) -> Option<&str> {
        self.unit.as_deref()
    }

    /// What its world coordinates count, if it is a time axis.
    pub fn time(&self) -> Option<TimeUnit> {
        self.unit
            .as_deref()
            .filter(|unit| is_time(unit))
            .and_then(|unit| unit.parse().ok())
    }

    /// How a tick of an irregular dimension is shown: as a time of ISO 8601 on a time axis, else as
    /// the number with its unit.
    pub fn shown(&self, tick: i64) -> String {
        match (
            self.time().and_then(|unit| unit.timestamp(tick)),
            self.unit_name(),
        ) {
            (Some(at), _) => at.to_string(),
            (None, Some(unit)) => format!("{tick} {unit}"),
            (None, None) => tick.to_string(),
        }
    }

    /// The world coordinate of a position in level-0 cells (integers are cell edges).
    pub fn world(&self, position: f64) -> f64 {
        self.origin + position * self.step
    }

    /// The position in level-0 cells of a world coordinate.
    pub fn position(&self, world: f64) -> f64 {
        (world - self.origin) / self.step
    }

    pub(super) fn validate(&self, fixed: bool) -> Result<()> {
        let name = &self.name;
        check_name("axis", name)?;
        if !self.origin.is_finite() {
            return Err(Error::invalid(format!(
                "axis `{name}`: origin {} is not finite",
                self.origin
            )));
        }
        if !self.step.is_finite() || self.step == 0.0 {
            return Err(Error::invalid(format!(
                "axis `{name}`: step {} is not a finite number other than zero",
                self.step
            )));
        }
        let least = if fixed { 1 } else { 2 };
        if !(least..=Self::CHUNK_MAX).contains(&self.chunk) {
            return Err(Error::invalid(format!(
                "axis `{name}`: a chunk of {} cells is outside {least} to {}",
                self.chunk,
                Self::CHUNK_MAX
            )));
        }
        if let Some(unit) = &self.unit {
            if unit.is_empty() || unit.len() > 128 {
                return Err(Error::invalid(format!(
                    "axis `{name}`: its unit has {} bytes; use 1 to 128",
                    unit.len()
                )));
            }
            if is_time(unit) {
                unit.parse::<TimeUnit>()
                    .map_err(|cause| Error::invalid(format!("axis `{name}`: {cause}")))?;
            }
        }
        if !fixed && !self.chunk.is_power_of_two() {
            return Err(Error::invalid(format!(
                "axis `{name}`: a chunk of {} cells is not a power of two",
                self.chunk
            )));
        }
        Ok(())
    }
}

/// Whether a unit is one of time, as it must then be.
fn is_time(unit: &str) -> bool {
    unit.contains(" since ")
}

/// Names of grids, dimensions and axes: 1 to 128 of `A-Z a-z 0-9 . _ -`.
pub(crate) fn check_name(what: &str, name: &str) -> Result<()> {
    let fits = (1..=128).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if fits {
        Ok(())
    } else {
        Err(Error::invalid(format!(
            "{what} name `{}`: use 1 to 128 of A-Z a-z 0-9 . _ -",
            name.escape_debug()
        )))
    }
}
