//! `--every`: steps of one length or of a calendar.

use std::str::FromStr;

use anyhow::ensure;

use super::time::{Along, Length};
use gridstone::calendar::TimeStep;
use gridstone::{Grid, Window};

/// A step of time, or a number of ticks or world units of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Every {
    Step(TimeStep),
    Units(u64),
}

impl FromStr for Every {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().parse::<u64>() {
            Ok(0) => Err("a step is longer than 0".to_owned()),
            Ok(units) => Ok(Self::Units(units)),
            Err(_) => text
                .parse()
                .map(Self::Step)
                .map_err(|error: gridstone::Error| error.to_string()),
        }
    }
}

/// How the times of a grid are cut into steps.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TimeCut {
    /// Steps of so many ticks, one of which begins at a tick.
    Even(u64, i64),
    /// Where steps begin, and where the last one ends.
    Edges(Vec<f64>),
}

impl Every {
    /// The steps in which a part of what was put lies.
    pub(super) fn cut(self, grid: &Grid, bounds: &Window) -> anyhow::Result<TimeCut> {
        let along = Along::of(grid, "--every")?;
        let structure = grid.structure();
        let (from, to) = match along.irregular {
            true => (
                bounds.start()[along.number] as f64,
                bounds.end()[along.number] as f64,
            ),
            false => structure.extent(bounds).bounds()[along.number],
        };
        match self {
            Self::Units(units) if along.irregular => Ok(TimeCut::Even(units, along.midnight())),
            Self::Step(TimeStep::Fixed {
                nanoseconds,
                from: 0,
            }) if along.irregular => Ok(TimeCut::Even(
                along.length(Length::Nanoseconds(nanoseconds))?,
                along.midnight(),
            )),
            Self::Units(units) => {
                let (units, first) = (units as f64, along.midnight() as f64);
                let number = |at: f64| ((at - first) / units).floor();
                let (low, high) = (number(from), ((to - first) / units).ceil());
                ensure!(
                    high - low <= 1e6,
                    "there are {} steps there; ask for longer ones",
                    high - low
                );
                let edges = std::iter::successors(Some(low), |number| Some(number + 1.0))
                    .take_while(|number| *number <= high);
                Ok(TimeCut::Edges(
                    edges.map(|number| first + number * units).collect(),
                ))
            }
            Self::Step(step) => {
                let unit = along.unit()?;
                let cell = structure
                    .axes()
                    .nth(along.number)
                    .map_or(0.0, |axis| axis.step().abs());
                let level = bounds.levels(structure.dimensions().len())
                    [structure.dimension_of(along.number)];
                let cell = cell * level.scale() * unit.tick().nanoseconds() as f64;
                ensure!(
                    along.irregular || step.least() as f64 >= cell * (1.0 - 1e-6),
                    "steps of {step} are shorter than those of grid `{}`; ask for longer ones",
                    grid.name()
                );
                Ok(TimeCut::Edges(unit.edges(step, from, to)?))
            }
        }
    }
}
