//! Which coordinate of a variable has its times.
//!
//! In this order: the one that is asked for; the coordinate of an axis; one beside the axes that
//! has a time for each cell of an axis (`valid_time(step)`, `time_centered(time_counter)`, the text
//! `Times(Time, DateStrLen)`); a reference time and how much later each cell of an axis is; a
//! single time (a scalar coordinate) for all cells.

use super::file::NetCdf;
use super::header::{Header, Variable};
use super::remedy;
use crate::adapter::text::quoted;
use crate::calendar::{Calendar, Tick, Timestamp};
use crate::error::{Error, Result};

/// Where the times of a variable stand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Timing<'a> {
    /// The axis that they lie along; `None` if there is one time for all cells.
    pub(super) axis: Option<usize>,
    /// The coordinate: numbers since an epoch, or text.
    pub(super) times: &'a Variable,
    /// How much later than `times` each cell is.
    pub(super) lead: Option<&'a Variable>,
}

/// Names of dimensions that are time whatever else is said.
const NAMES: [&str; 7] = [
    "time",
    "t",
    "times",
    "valid_time",
    "time_counter",
    "datetime",
    "date",
];

/// Whether a dimension of this name is one of time.
pub(super) fn is_time_name(name: &str) -> bool {
    NAMES.contains(&name.to_ascii_lowercase().as_str())
}

/// Finds the times of a variable. [`Invalid`](crate::ErrorKind::Invalid) if several may be meant,
/// if what is asked for has none, or if an axis is one of time and nothing says of which.
pub(super) fn find<'a>(
    file: &'a NetCdf,
    variable: &'a Variable,
    asked: Option<&str>,
) -> Result<Option<Timing<'a>>> {
    let search = Search::of(file, variable)?;
    if let Some(name) = asked {
        return search.asked(name).map(Some);
    }
    if let Some(timing) = search.coordinate()? {
        return Ok(Some(timing));
    }
    if let Some(timing) = search.beside()? {
        return Ok(Some(timing));
    }
    if let Some(axis) = (0..variable.dimensions.len()).find(|axis| search.is_time_axis(*axis)) {
        return Err(search.untold(axis));
    }
    search.scalar()
}

/// Whether a coordinate counts how much later than a reference time something is.
pub(super) fn is_lead(variable: &Variable) -> bool {
    let units = variable.text("units").unwrap_or_default();
    let named = variable.text("standard_name") == Some("forecast_period")
        || ["step", "lead", "lead_time"].contains(&variable.leaf());
    named && variable.dtype.is_some() && units.parse::<Tick>().is_ok()
}

/// Whether a coordinate is one of time, or of a length of it.
pub(super) fn is_timely(variable: &Variable) -> bool {
    is_since(variable)
        || is_lead(variable)
        || variable
            .text("units")
            .is_some_and(|units| units.parse::<Tick>().is_ok())
}

/// Whether a variable has numbers since an epoch.
fn is_since(variable: &Variable) -> bool {
    let units = variable
        .text("units")
        .unwrap_or_default()
        .to_ascii_lowercase();
    variable.dtype.is_some() && (units.contains(" since ") || units.starts_with("day as "))
}

/// Whether its times are those at which forecasts begin.
pub(super) fn is_reference(variable: &Variable) -> bool {
    let long = variable
        .text("long_name")
        .unwrap_or_default()
        .to_ascii_lowercase();
    variable.text("standard_name") == Some("forecast_reference_time")
        || ["initial time", "reference time", "forecast_reference"]
            .iter()
            .any(|words| long.contains(words))
}

struct Search<'a> {
    header: &'a Header,
    variable: &'a Variable,
    /// All that has times, within reach of the variable.
    times: Vec<&'a Variable>,
    /// The names of the variable's coordinates.
    listed: Vec<String>,
}

impl<'a> Search<'a> {
    fn of(file: &'a NetCdf, variable: &'a Variable) -> Result<Self> {
        let header = file.header();
        let bounds = |of: &'a Variable| {
            ["bounds", "climatology"]
                .into_iter()
                .filter_map(|name| of.text(name))
                .collect::<Vec<_>>()
        };
        let bounds: Vec<&str> = header.variables.iter().flat_map(bounds).collect();
        let reached = |of: &&'a Variable| {
            header.near(variable, of.leaf()) == Some(*of) && !bounds.contains(&of.leaf())
        };
        let mut times = Vec::new();
        for of in header.variables.iter().filter(reached) {
            if *of != *variable && (is_since(of) || is_text(file, of)?) {
                times.push(of);
            }
        }
        let listed = [
            variable.text("coordinates"),
            header
                .attribute("coordinates")
                .and_then(super::header::Value::text),
        ];
        Ok(Self {
            header,
            variable,
            times,
            listed: listed
                .into_iter()
                .flatten()
                .flat_map(str::split_whitespace)
                .map(str::to_owned)
                .collect(),
        })
    }

    fn dimension(&self, axis: usize) -> &'a str {
        &self.variable.dimensions[axis].name
    }

    /// The axes of the variable along which something has one value a cell.
    fn along(&self, of: &Variable) -> Option<usize> {
        let own = of
            .dimensions
            .first()
            .filter(|_| of.dimensions.len() == 1 + usize::from(of.letters))?;
        (0..self.variable.dimensions.len()).find(|axis| self.variable.dimensions[*axis] == *own)
    }

    /// Whether something has one value.
    fn is_single(&self, of: &Variable) -> bool {
        let dimensions = of.dimensions.len() - usize::from(of.letters && !of.dimensions.is_empty());
        self.along(of).is_none()
            && of.dimensions[..dimensions]
                .iter()
                .all(|dimension| dimension.len == 1)
    }

    fn is_listed(&self, of: &Variable) -> bool {
        self.listed.iter().any(|name| name == of.leaf())
    }

    fn asked(&self, name: &str) -> Result<Timing<'a>> {
        let known = self
            .times
            .iter()
            .map(|of| of.leaf())
            .collect::<Vec<_>>()
            .join(", ");
        let refused = |why: &str| {
            let known = if known.is_empty() {
                "no variable of the file has".to_owned()
            } else {
                format!("times have {known}")
            };
            Err(Error::invalid(format!(
                "`{name}` is not the time of variable `{}`: {why}; {known}",
                self.variable.name
            )))
        };
        let Some(found) = self.header.near(self.variable, name) else {
            return refused("there is no such variable");
        };
        if !self.times.contains(&found) {
            return refused("it has no units like `hours since 2000-01-01`");
        }
        match self.along(found) {
            None if !self.is_single(found) => {
                refused("it is neither a single time nor one for each cell of an axis")
            }
            axis => Ok(Timing {
                axis,
                times: found,
                lead: None,
            }),
        }
    }

    /// The coordinate of an axis.
    fn coordinate(&self) -> Result<Option<Timing<'a>>> {
        let own = |of: &&&'a Variable| {
            self.along(of)
                .is_some_and(|axis| self.dimension(axis) == of.leaf())
        };
        let found: Vec<&Variable> = self.times.iter().filter(own).copied().collect();
        let first: Vec<&Variable> = found
            .iter()
            .filter(|of| !is_reference(of))
            .copied()
            .collect();
        let found = if first.is_empty() { found } else { first };
        let longer: Vec<&Variable> = found
            .iter()
            .filter(|of| of.dimensions[0].len > 1)
            .copied()
            .collect();
        let found = if longer.is_empty() { found } else { longer };
        self.only(&found)
    }

    /// The only one, with its axis.
    fn only(&self, found: &[&'a Variable]) -> Result<Option<Timing<'a>>> {
        match found {
            [] => Ok(None),
            [times] => Ok(Some(Timing {
                axis: self.along(times),
                times,
                lead: None,
            })),
            [a, b, ..] => Err(Error::invalid(format!(
                "variable `{}`: both `{}` and `{}` may be its time; say which with `--time {}` or `--time {}`",
                self.variable.name,
                a.leaf(),
                b.leaf(),
                quoted(a.leaf()),
                quoted(b.leaf())
            ))),
        }
    }

    /// What has a time, or a length of time, for each cell of an axis, and is not the coordinate of
    /// that axis.
    fn beside(&self) -> Result<Option<Timing<'a>>> {
        // Rows of a swath have times too.
        let outer =
            |axis: usize| axis + 2 < self.variable.dimensions.len() || self.is_time_axis(axis);
        let found: Vec<&Variable> = self
            .times
            .iter()
            .filter(|of| self.along(of).is_some_and(outer))
            .copied()
            .collect();
        let rank = |of: &&Variable| {
            (
                self.is_listed(of) || of.dtype.is_none(),
                !is_reference(of),
                of.dtype.is_none(),
                of.text("standard_name") == Some("time"),
            )
        };
        let best = found.iter().map(rank).max();
        let best: Vec<&Variable> = found
            .iter()
            .filter(|of| Some(rank(of)) == best)
            .copied()
            .collect();
        if let Some(timing) = self.only(&best)? {
            return Ok(Some(timing));
        }
        let leads = |axis: usize| {
            self.header
                .near(self.variable, self.dimension(axis))
                .filter(|of| is_lead(of) && self.along(of) == Some(axis))
        };
        let lead = (0..self.variable.dimensions.len()).find_map(|axis| Some((axis, leads(axis)?)));
        let start = self.singles().into_iter().find(|of| is_reference(of));
        Ok(lead.zip(start).map(|((axis, lead), times)| Timing {
            axis: Some(axis),
            times,
            lead: Some(lead),
        }))
    }

    /// Whether an axis is one of time by its name or its coordinate.
    fn is_time_axis(&self, axis: usize) -> bool {
        let coordinate = self
            .header
            .near(self.variable, self.dimension(axis))
            .filter(|of| self.along(of) == Some(axis));
        let said = |of: &Variable| {
            of.text("axis") == Some("T") || of.text("standard_name") == Some("time")
        };
        coordinate.is_some_and(said) || is_time_name(self.dimension(axis))
    }

    fn untold(&self, axis: usize) -> Error {
        let name = self.dimension(axis);
        let others: Vec<&str> = self.times.iter().map(|of| of.leaf()).collect();
        let others = if others.is_empty() {
            String::new()
        } else {
            format!(" (times have {})", others.join(", "))
        };
        let (what, remedy) = match self
            .header
            .near(self.variable, name)
            .filter(|of| self.along(of) == Some(axis))
        {
            Some(of) => (
                format!(
                    "`{name}` has the units `{}`, not some like `hours since 2000-01-01`",
                    of.text("units").unwrap_or_default()
                ),
                anew(name, of.text("units").unwrap_or_default()),
            ),
            None => (format!("there is no variable `{name}`"), counted(name)),
        };
        Error::invalid(format!(
            "variable `{}`: its axis `{name}` is one of time, and {what}{others}; say when its steps are, as with `{remedy}`",
            self.variable.name
        ))
    }

    /// The single times that belong to the variable.
    fn singles(&self) -> Vec<&'a Variable> {
        let belongs = |of: &Variable| {
            let name = of.leaf().to_ascii_lowercase();
            self.is_listed(of)
                || is_time_name(&name)
                || is_reference(of)
                || of.text("standard_name") == Some("time")
        };
        self.times
            .iter()
            .filter(|of| self.is_single(of) && belongs(of))
            .copied()
            .collect()
    }

    /// One time for all cells.
    fn scalar(&self) -> Result<Option<Timing<'a>>> {
        let singles = self.singles();
        let valid: Vec<&Variable> = singles
            .iter()
            .filter(|of| !is_reference(of))
            .copied()
            .collect();
        if let [first, ..] = valid[..] {
            let named = |name: &str| valid.iter().find(|of| of.leaf() == name).copied();
            let times = named("valid_time")
                .or_else(|| named("time"))
                .or_else(|| (valid.len() == 1).then_some(first));
            return match times {
                Some(times) => Ok(Some(Timing {
                    axis: None,
                    times,
                    lead: None,
                })),
                None => self.only(&valid),
            };
        }
        let Some(times) = singles.first().copied() else {
            return Ok(None);
        };
        let mut leads = self
            .header
            .variables
            .iter()
            .filter(|of| is_lead(of) && self.is_single(of));
        let lead = leads.find(|of| self.header.near(self.variable, of.leaf()) == Some(*of));
        Ok(Some(Timing {
            axis: None,
            times,
            lead,
        }))
    }
}

/// The command that gives a dimension a time coordinate.
fn counted(name: &str) -> String {
    let [own, dimension, units] = [name.to_owned(), format!("${name}"), format!("{name}@units")]
        .map(|name| remedy::in_script(&name));
    let script = format!(
        "{own}[{dimension}]=array(0.0,1.0,{dimension}); {units}=\"hours since YYYY-MM-DD\""
    );
    remedy::computed(&script, "WITH_TIMES.nc")
}

/// The command that gives a time coordinate units in place of those that it has: digits of a date,
/// or a unit that counts from a date by another word than `since`.
fn anew(name: &str, units: &str) -> String {
    let set = |units: &str| remedy::set("units", name, units);
    let plain = units.to_ascii_lowercase().replace(['-', '_', '%'], "");
    if plain.starts_with("yyyymmdd") || plain.starts_with("ymd") {
        return format!(
            "{} && cdo -r copy FILE WITH_UNITS.nc",
            set("day as %Y%m%d.%f")
        );
    }
    let words: Vec<&str> = units.split_whitespace().collect();
    match words.as_slice() {
        [tick, "after" | "from" | "ref" | "@", date @ ..] if tick.parse::<Tick>().is_ok() => {
            set(&format!("{tick} since {}", date.join(" ")))
        }
        _ => set("hours since YYYY-MM-DD"),
    }
}

/// Whether text is one of times.
fn is_text(file: &NetCdf, of: &Variable) -> Result<bool> {
    let name = of.leaf().to_ascii_lowercase();
    let named =
        name.contains("time") || name.contains("date") || of.text("standard_name") == Some("time");
    let text = of.dtype.is_none() && (of.letters || of.words) && named && !of.dimensions.is_empty();
    if !text {
        return Ok(false);
    }
    let unknown = |cause: Error| {
        cause.within(format!(
            "whether `{}` has times is not known; if it has none, take it away with `{}`",
            of.name,
            remedy::without(of.leaf(), "OTHER.nc")
        ))
    };
    let texts = file.texts(&of.name).map_err(unknown)?;
    let first = texts.first();
    Ok(first.is_some_and(|text| Timestamp::read(text, Calendar::Standard).is_ok()))
}
