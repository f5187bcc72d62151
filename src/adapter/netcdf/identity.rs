//! What the values of a variable are: its name, its unit, and the single places that they belong
//! to. A grid remembers it, and takes no others.

use std::collections::BTreeMap;

use super::corners;
use super::field::{Choice, Field};
use super::file::NetCdf;
use super::header::{Value, Variable};
use super::labels::{self, Labels};
use super::space::Degrees;
use super::stored::StoredNumbers;
use super::timing::{self, Timing};
use crate::adapter::cf;
use crate::adapter::unit::Conversion;
use crate::calendar::{Calendar, Timestamp};
use crate::crs;
use crate::error::{Error, Result};
use crate::grid::{Schema, SchemaBuilder};

/// The attribute of a grid that names the coordinate which its times were asked from.
pub(super) const TIME: &str = "time_coordinate";
/// The attribute of a grid made of a file whose steps begin before its times.
pub(super) const LATER: &str = "time_in_step";
/// What a grid keeps of a variable.
const KEPT: [&str; 4] = [
    "standard_name",
    "long_name",
    "cell_methods",
    "flag_meanings",
];
/// The longest text that is kept.
pub(super) const TEXT_MAX: usize = 1_024;

/// What the values of a variable are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) unit: Option<String>,
    pub(super) attributes: BTreeMap<String, String>,
    /// Coordinates of a single value, beside time, rows and columns: `height` is `2 m`.
    pub(super) singles: BTreeMap<String, String>,
    /// What the numbers of labels and of such coordinates are, by the name of the attribute that
    /// keeps it: `height_units` of labels are `m`, `depth_positive` is `down`.
    measures: BTreeMap<String, String>,
    /// Whether its values are differences of what they are called: a deviation of 1 degree Celsius
    /// is one of 1 kelvin.
    is_difference: bool,
    /// Where rows and columns lie that are kept on index axes. See [`corners`].
    pub(super) corners: BTreeMap<String, String>,
    /// The time coordinate, if it was asked for.
    time: Option<String>,
    pub(super) notes: Vec<String>,
}

impl Identity {
    /// What a variable says of itself, and the coordinates beside its time and its `plane`, the
    /// axes of rows and columns.
    pub(super) fn of(
        file: &NetCdf,
        variable: &Variable,
        plane: [usize; 2],
        choice: &Choice,
        timing: Option<&Timing>,
    ) -> Result<Self> {
        let header = file.header();
        let listed = [
            variable.text("coordinates"),
            header.attribute("coordinates").and_then(Value::text),
        ];
        let listed = listed.into_iter().flatten().flat_map(str::split_whitespace);
        let short = variable
            .dimensions
            .iter()
            .filter(|dimension| dimension.len == 1)
            .map(|dimension| dimension.name.as_str());
        let (mut singles, mut measures, mut told) = (BTreeMap::new(), BTreeMap::new(), None);
        let mut notes: Vec<String> = Vec::new();
        for coordinate in listed
            .chain(short)
            .filter_map(|name| header.near(variable, name))
        {
            let is_time = timing.is_some_and(|timing| {
                timing.times == coordinate || timing.lead == Some(coordinate)
            });
            // What lies along time may change with it.
            let own = plane
                .into_iter()
                .chain(timing.and_then(|timing| timing.axis));
            let is_along = own
                .into_iter()
                .any(|axis| coordinate.dimensions.contains(&variable.dimensions[axis]));
            if is_time || is_along || is_plane(coordinate) {
                continue;
            }
            // How much later than the beginning of a forecast tells steps apart only where times
            // are those of beginnings.
            let valid = timing
                .map(|timing| timing.times)
                .filter(|times| !timing::is_reference(times));
            if let Some(times) = valid.filter(|_| timing::is_reference(coordinate)) {
                told = told.or_else(|| Some(runs(times, coordinate)));
            }
            if timing::is_timely(coordinate) && (valid.is_some() || !timing::is_lead(coordinate)) {
                continue;
            }
            let is_text = coordinate.letters || coordinate.words;
            let is_date = |text: &str| {
                let is_read = || Timestamp::read(text, Calendar::default()).is_ok();
                is_text && timing.is_some() && text.len() >= 8 && is_read()
            };
            match single(file, coordinate)? {
                // A time beside the times.
                Some(Ok(text)) if is_date(&text) => {}
                Some(Ok(value)) => {
                    singles.insert(coordinate.name.clone(), value);
                    measures.extend(labels::directed(&coordinate.name, coordinate));
                }
                Some(Err(note)) if !notes.contains(&note) => notes.push(note),
                _ => {}
            }
        }
        notes.extend(told);
        let begun = timing.filter(|timing| {
            choice.time.is_none() && timing.axis.is_some() && timing::is_reference(timing.times)
        });
        notes.extend(begun.map(|timing| {
            format!(
                "its times are those at which forecasts begin, `{}`; those at which its values are valid are not kept",
                timing.times.name
            )
        }));
        Ok(Self {
            unit: text(variable, "units"),
            attributes: attributes(variable),
            singles,
            measures,
            is_difference: is_difference(variable),
            corners: BTreeMap::new(),
            time: choice.time.clone(),
            notes,
        })
    }

    /// The same of a variable with an axis of labels.
    pub(super) fn labelled(mut self, band: Option<&Labels>) -> Self {
        self.measures
            .extend(band.into_iter().flat_map(|band| band.measures.clone()));
        self
    }

    /// What a grid made after the variable remembers of it.
    pub(super) fn keep(&self, name: &str, schema: SchemaBuilder) -> SchemaBuilder {
        let schema = self
            .unit
            .iter()
            .fold(schema.variable(name), |schema, unit| schema.unit(unit));
        let time = self.time.iter().map(|time| (TIME.to_owned(), time.clone()));
        let all = self
            .attributes
            .clone()
            .into_iter()
            .chain(self.singles.clone())
            .chain(self.measures.clone())
            .chain(self.corners.clone())
            .chain(time);
        all.fold(schema, |schema, (name, value)| {
            schema.attribute(name, value)
        })
    }
}

impl Field {
    /// From the variable's unit to a grid's, if it holds what the grid does.
    /// [`Invalid`](crate::ErrorKind::Invalid) says what differs.
    pub(super) fn identified(&self, schema: &Schema) -> Result<Conversion> {
        if let Some(known) = schema
            .variable()
            .filter(|known| *known != self.name && !self.is_asked)
        {
            return Err(Error::invalid(format!(
                "the grid holds `{known}`, and the file's variable is `{0}`; if both are one quantity, say so with `--variable {0}`",
                self.name
            )));
        }
        if let Some((known, own)) = self
            .other("standard_name", schema)
            .filter(|_| !self.is_asked)
        {
            return Err(Error::invalid(format!(
                "the grid holds the quantity `{known}`, and the file's `{0}` is `{own}`; if both are one, say so with `--variable {0}`",
                self.name
            )));
        }
        let differs = |(name, value): &(&String, &String)| {
            schema
                .attributes()
                .get(*name)
                .is_some_and(|known| !labels::alike(known, value))
        };
        if let Some((name, value)) = self.identity.singles.iter().find(differs) {
            let known = &schema.attributes()[name];
            return Err(Error::invalid(format!(
                "the file's `{name}` is {value}, the grid's {known}; make a grid for it with `gridstone create STORE NAME --like FILE`"
            )));
        }
        self.check_labels(schema)?;
        let (Some(from), Some(to)) = (self.identity.unit.as_deref(), schema.unit()) else {
            return Ok(Conversion::NONE);
        };
        let conversion = Conversion::for_cells(from, to, schema.dtype());
        let conversion = conversion.map(|conversion| match self.identity.is_difference {
            true => conversion.of_differences(),
            false => conversion,
        });
        conversion.map_err(|why| {
            Error::invalid(format!(
                "the variable's unit is `{from}`, the grid's `{to}`, and {why}; make a grid for it with `gridstone create STORE NAME --like FILE`, or correct the unit with `ncatted -a units,{},o,c,'{to}' FILE`",
                self.name.rsplit('/').next().unwrap_or_default()
            ))
        })
    }

    /// What a grid and the file say of an attribute of the variable, where these differ.
    fn other<'a>(&'a self, name: &str, schema: &'a Schema) -> Option<(&'a str, &'a str)> {
        let (known, own) = (
            schema.attributes().get(name)?,
            self.identity.attributes.get(name)?,
        );
        (known != own).then_some((known.as_str(), own.as_str()))
    }

    /// Refuses labels, or a single value, that are numbers of something else than those of a grid,
    /// or go the other way.
    fn check_labels(&self, schema: &Schema) -> Result<()> {
        let single = |(name, value): (&String, &String)| {
            let (_, unit) = value.split_once(' ')?;
            Some((cf::measure(name, "units"), unit.to_owned()))
        };
        let measures = self.identity.measures.clone().into_iter();
        let mut all = measures.chain(self.identity.singles.iter().filter_map(single));
        let differs = |(name, own): (String, String)| {
            let known = schema.attributes().get(&name)?;
            let is_same = if name.ends_with("_units") {
                Conversion::between(&own, known) == Some(Conversion::NONE)
            } else {
                own == *known
            };
            (!is_same).then(|| (name, own, known.clone()))
        };
        match all.find_map(differs) {
            None => Ok(()),
            Some((name, own, known)) => Err(Error::invalid(format!(
                "the file's `{name}` is {own}, the grid's {known}; make a grid for it with `gridstone create STORE NAME --like FILE`"
            ))),
        }
    }

    /// What is told of labels or single values of which the grid says what they are, and the file
    /// does not.
    fn unsaid(&self, schema: &Schema) -> Option<String> {
        let known = schema.attributes();
        if let Some(band) = &self.band {
            let name = cf::measure(&band.name, "units");
            let unit = known
                .get(&name)
                .filter(|_| !band.measures.contains_key(&name))?;
            return Some(format!(
                "it says no unit of `{}`; its labels are taken for the grid's, in {unit}",
                band.name
            ));
        }
        let is_single = |(name, value): &(&String, &String)| {
            let (number, unit) = value.split_once(' ').unwrap_or((value, ""));
            let is_number = number.parse::<f64>().is_ok() && !unit.contains(' ');
            let is_other = KEPT.contains(&name.as_str()) || cf::FLAGS.contains(&name.as_str());
            is_number && !is_other && cf::measured(name).is_none()
        };
        let (name, value) = known
            .iter()
            .find(|single| is_single(single) && !self.identity.singles.contains_key(single.0))?;
        Some(format!(
            "the grid is of `{name}` {value}, of which it says nothing"
        ))
    }

    /// What is told of times that are no beginnings of steps where bounds say so, and are taken for
    /// such elsewhere.
    fn beginnings(&self, schema: &Schema) -> Option<String> {
        let times = self.times.as_ref()?;
        let is_known = schema.attributes().contains_key(LATER);
        if schema.structure().irregular().is_some() || schema.variable().is_none() {
            return None;
        }
        match (times.are_later(), &times.bounds) {
            (true, _) if !is_known => Some("its bounds say that its steps begin before its times; those of files without bounds, which may be in the grid, begin at theirs".to_owned()),
            (_, None) if is_known => Some("it has no bounds of its times, which are taken for the beginnings of steps; the grid was made of a file whose bounds say that steps begin before".to_owned()),
            _ => None,
        }
    }

    /// What is to be known of how the values of the variable become those of a grid.
    pub(super) fn remarks(&self, schema: &Schema, conversion: Conversion) -> Vec<String> {
        let unit = conversion.remark(self.identity.unit.as_deref(), schema.unit());
        let system = schema.structure().crs().filter(|_| self.crs.is_none());
        let system = system.map(|crs| {
            format!("it says no coordinate reference system; its coordinates are taken for the grid's, {}", crs::shown(crs))
        });
        let unkept = self
            .crs
            .as_deref()
            .filter(|_| schema.structure().crs().is_none());
        let unkept = unkept.map(|crs| {
            format!(
                "the grid has no coordinate reference system, so the file's, {}, is not kept",
                crs::shown(crs)
            )
        });
        let bounds = self.times.as_ref().and_then(|times| times.bounds.as_ref());
        let bounds = bounds.filter(|_| schema.structure().irregular().is_some()).map(|_| {
            "its times have bounds, from when to when its values go: the grid keeps events at their times, and no bounds".to_owned()
        });
        let unsaid = self.unsaid(schema);
        let classes = ["flag_meanings", "flag_values", "flag_masks"];
        let classes = classes.iter().find_map(|name| {
            let (known, own) = self.other(name, schema)?;
            Some(format!(
                "its classes are others than the grid's (`{name}`): {own}, and {known}; make a grid for it with `gridstone create STORE NAME --like FILE` if one number has two meanings"
            ))
        });
        let methods = self.other("cell_methods", schema);
        let methods = methods.map(|(known, own)| {
            format!("its cells are `{own}` (`cell_methods`), the grid's `{known}`")
        });
        let known = |(name, own): (&String, &String)| {
            Some((
                name.clone(),
                schema.attributes().get(name)?.clone(),
                own.clone(),
            ))
        };
        let mut corners = self.identity.corners.iter().filter_map(known);
        let elsewhere = corners.find(|(_, known, own)| !corners::same(known, own));
        let elsewhere = elsewhere.map(|(name, known, own)| {
            format!(
                "its cells lie elsewhere than the grid's: `{name}` is {own}, and the grid's {known}"
            )
        });
        self.notes
            .iter()
            .cloned()
            .chain(unit)
            .chain(system)
            .chain(unkept)
            .chain(methods)
            .chain(elsewhere)
            .chain(bounds)
            .chain(classes)
            .chain(unsaid)
            .chain(self.beginnings(schema))
            .collect()
    }
}

/// A text that is not too long to be kept.
fn text(variable: &Variable, name: &str) -> Option<String> {
    let text = variable.text(name).filter(|text| text.len() <= TEXT_MAX);
    text.map(str::to_owned)
}

/// What a grid keeps of the attributes of a variable.
fn attributes(variable: &Variable) -> BTreeMap<String, String> {
    let is_kept = |text: &String| (1..=TEXT_MAX).contains(&text.len());
    let codes = variable.codes.clone().filter(is_kept);
    let numbers = |name: &str| {
        let numbers = match variable.attribute(name)? {
            Value::Text(text) => text.clone(),
            Value::Numbers(cells) => {
                let texts = (0..cells.len()).map(|cell| cells.number(cell).to_string());
                texts.collect::<Vec<_>>().join(" ")
            }
        };
        Some(numbers).filter(is_kept)
    };
    let texts = KEPT.iter().map(|name| (*name, text(variable, name)));
    let flags = cf::FLAGS.iter().map(|name| (*name, numbers(name)));
    texts
        .chain(flags)
        .chain([("codes", codes)])
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

/// Whether the values of a variable are differences, by what CF has for that.
fn is_difference(variable: &Variable) -> bool {
    let has = |attribute: &str, words: &[&str]| {
        let text = variable.text(attribute).unwrap_or_default();
        words.iter().any(|word| text.contains(word))
    };
    has("units_metadata", &["difference"])
        || has("cell_methods", &["standard_deviation", "range"])
        || has(
            "standard_name",
            &["_anomaly", " standard_error", "change_over_time_in_"],
        )
}

/// What is told where forecasts of several runs may have one time.
fn runs(times: &Variable, reference: &Variable) -> String {
    format!(
        "its times are those of `{}`; runs of other `{1}` lie over each other where they have one time (a grid made with `--time {1}` keeps them apart)",
        times.name, reference.name
    )
}

/// Whether a coordinate is one of rows or columns.
fn is_plane(coordinate: &Variable) -> bool {
    let name = coordinate.text("standard_name").unwrap_or_default();
    let units = coordinate.text("units").unwrap_or_default();
    ["X", "Y"].contains(&coordinate.text("axis").unwrap_or_default())
        || [
            "latitude",
            "longitude",
            "projection_x_coordinate",
            "projection_y_coordinate",
        ]
        .contains(&name)
        || ["grid_latitude", "grid_longitude"].contains(&name)
        || Degrees::of(units).is_some_and(|direction| direction != Degrees::Plain)
}

/// The single number of a coordinate with its unit, or its single text, or what is told if it is
/// missing or too long to be kept; `None` if it has several, or is neither.
fn single(file: &NetCdf, coordinate: &Variable) -> Result<Option<Result<String, String>>> {
    let letters = usize::from(coordinate.letters);
    let cells: u64 = coordinate
        .dimensions
        .iter()
        .rev()
        .skip(letters)
        .map(|dimension| dimension.len)
        .fold(1, u64::saturating_mul);
    if cells != 1 {
        return Ok(None);
    }
    if coordinate.letters || coordinate.words {
        let texts = file.texts(&coordinate.name)?;
        let text = texts.first().map(|text| text.trim_matches([' ', '\0']));
        return Ok(text.filter(|text| !text.is_empty()).map(|text| {
            if text.len() > TEXT_MAX {
                return Err(format!(
                    "its coordinate `{}` is a text of {} bytes: it is not kept",
                    coordinate.name,
                    text.len()
                ));
            }
            Ok(text.to_owned())
        }));
    }
    if coordinate.dtype.is_some() {
        let stored = StoredNumbers::read(file, coordinate)?;
        if let Some((_, text)) = stored.first_missing() {
            return Ok(Some(Err(format!(
                "its coordinate `{}` is {text}, which stands for a missing value: it is not kept",
                coordinate.name
            ))));
        }
        let value = stored.texts().into_iter().next();
        let unit = coordinate
            .text("units")
            .filter(|unit| *unit != "1")
            .map_or(String::new(), |unit| format!(" {unit}"));
        return Ok(value.map(|value| Ok(value + &unit)));
    }
    Ok(None)
}
