//! What the values of a variable are: its name, its unit, and the single places that they belong
//! to. A grid remembers it, and takes no others.

use std::collections::BTreeMap;

use super::field::{Choice, Field};
use super::file::NetCdf;
use super::header::{Value, Variable};
use super::labels;
use super::remedy;
use super::roles::is_plane;
use super::stored::StoredNumbers;
use super::timing::{self, Timing};
use crate::adapter::cf;
use crate::adapter::text::quoted;
use crate::adapter::unit::Conversion;
use crate::calendar::{Calendar, Timestamp};
use crate::error::{Error, Result};
use crate::grid::{Dimension, Schema, SchemaBuilder};

/// The attribute of a grid that names the coordinate which its times were asked from.
pub(super) const TIME: &str = "time_coordinate";
/// The attribute of a grid made of a file whose steps begin before its times.
pub(super) const LATER: &str = "time_in_step";
/// What a grid keeps of a variable.
pub(super) const KEPT: [&str; 4] = [
    "standard_name",
    "long_name",
    "cell_methods",
    "flag_meanings",
];
/// The longest text that is kept.
pub(super) const TEXT_MAX: usize = Schema::TEXT_MAX;

/// What the values of a variable are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) unit: Option<String>,
    pub(super) attributes: BTreeMap<String, String>,
    /// Coordinates of a single value, beside time, rows and columns: `height` is `2 m`.
    pub(super) singles: BTreeMap<String, String>,
    /// What such coordinates are, by the name of the attribute that keeps it: `depth_positive` is
    /// `down`.
    measures: BTreeMap<String, String>,
    /// Whether its values are differences of what they are called: a deviation of 1 degree Celsius
    /// is one of 1 kelvin.
    is_difference: bool,
    /// Where rows and columns lie that are kept on index axes. See [`corners`](super::corners).
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
        let (attributes, mut notes) = attributes(variable);
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
                    let name = coordinate.leaf();
                    singles.insert(name.to_owned(), value);
                    let said = labels::directed(coordinate).into_iter();
                    measures.extend(said.map(|(what, text)| (cf::measure(name, what), text)));
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
            attributes,
            singles,
            measures,
            is_difference: is_difference(variable),
            corners: BTreeMap::new(),
            time: choice.time.clone(),
            notes,
        })
    }

    /// The attributes of a grid made after the variable, but for those of labels.
    fn kept(&self) -> impl Iterator<Item = (String, String)> {
        let singles: Vec<&str> = self.singles.keys().map(String::as_str).collect();
        let singles = (!singles.is_empty()).then(|| (cf::SINGLES.to_owned(), singles.join(" ")));
        let time = self.time.iter().map(|time| (TIME.to_owned(), time.clone()));
        let texts = [
            &self.attributes,
            &self.singles,
            &self.measures,
            &self.corners,
        ];
        let texts = texts.into_iter().flat_map(BTreeMap::clone);
        texts.chain(singles).chain(time)
    }
}

impl Field {
    /// What a grid made after the variable remembers of it.
    pub(super) fn keep(&self, schema: SchemaBuilder) -> SchemaBuilder {
        let unit = self.identity.unit.iter();
        let schema = unit.fold(schema.variable(&self.name), |schema, unit| {
            schema.unit(unit)
        });
        let band = self.band.as_ref();
        let dimension = band.map(|band| band.dimension(self.times.is_some()));
        let of_labels = self.measures(dimension.as_deref());
        let all = self.identity.kept().chain(of_labels);
        all.fold(schema, |schema, (name, value)| {
            schema.attribute(name, value)
        })
    }

    /// What the labels and the single coordinates are, by the names of the attributes that keep it in
    /// a grid with a `dimension` of these labels.
    fn measures(&self, dimension: Option<&str>) -> BTreeMap<String, String> {
        let labels = dimension.zip(self.band.as_ref());
        let labels = labels.into_iter().flat_map(|(dimension, band)| {
            let said = band.measures.iter();
            said.map(move |(what, text)| (cf::measure(dimension, what), text.clone()))
        });
        self.identity
            .measures
            .clone()
            .into_iter()
            .chain(labels)
            .collect()
    }

    /// The dimension of a grid that has the labels.
    pub(super) fn dimension_in<'a>(&self, schema: &'a Schema) -> Option<&'a str> {
        let band = self.band.as_ref()?;
        let mut dimensions = schema.structure().dimensions().iter();
        let is_its = |dimension: &&Dimension| {
            dimension.is_fixed() && labels::is_of(dimension.name(), &band.name)
        };
        dimensions.find(is_its).map(Dimension::name)
    }

    /// From the variable's unit to a grid's, if it holds what the grid does.
    /// [`Invalid`](crate::ErrorKind::Invalid) says what differs.
    pub(super) fn identified(&self, schema: &Schema) -> Result<Conversion> {
        if let Some(known) = schema
            .variable()
            .filter(|known| *known != self.name && !self.is_asked)
        {
            return Err(Error::invalid(format!(
                "the grid holds `{known}`, and the file's variable is `{}`; if both are one quantity, say so with `--variable {}`",
                self.name,
                quoted(&self.name)
            )));
        }
        if let Some((known, own)) = self
            .other("standard_name", schema)
            .filter(|_| !self.is_asked)
        {
            return Err(Error::invalid(format!(
                "the grid holds the quantity `{known}`, and the file's `{}` is `{own}`; if both are one, say so with `--variable {}`",
                self.name,
                quoted(&self.name)
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
                "the variable's unit is `{from}`, the grid's `{to}`, and {why}; make a grid for it with `gridstone create STORE NAME --like FILE`, or correct the unit with `{}`",
                remedy::set("units", self.name.rsplit('/').next().unwrap_or_default(), to)
            ))
        })
    }

    /// What a grid and the file say of an attribute of the variable, where these differ.
    pub(super) fn other<'a>(
        &'a self,
        name: &str,
        schema: &'a Schema,
    ) -> Option<(&'a str, &'a str)> {
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
        let measures = self.measures(self.dimension_in(schema)).into_iter();
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
}

/// A text that is not too long to be kept.
fn text(variable: &Variable, name: &str) -> Option<String> {
    let text = variable.text(name).filter(|text| text.len() <= TEXT_MAX);
    text.map(str::to_owned)
}

/// What a grid keeps of the attributes of a variable, and what is told of those that are too long.
/// The names of an enumeration are those of classes, unless the variable says other ones.
fn attributes(variable: &Variable) -> (BTreeMap<String, String>, Vec<String>) {
    let numbers = |name: &str| {
        Some(match variable.attribute(name)? {
            Value::Text(text) => text.clone(),
            Value::Numbers(cells) => {
                let texts = (0..cells.len()).map(|cell| cells.number(cell).to_string());
                texts.collect::<Vec<_>>().join(" ")
            }
        })
    };
    let texts = KEPT
        .iter()
        .map(|name| (*name, variable.text(name).map(str::to_owned)));
    let flags = cf::FLAGS.iter().map(|name| (*name, numbers(name)));
    let said = texts
        .chain(flags)
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let mut all: BTreeMap<String, String> = said.collect();
    if !variable.codes.is_empty() && !all.contains_key("flag_meanings") {
        let (numbers, names): (Vec<String>, Vec<String>) = variable
            .codes
            .iter()
            .map(|(number, name)| (number.to_string(), name.replace(char::is_whitespace, "_")))
            .unzip();
        all.insert("flag_values".to_owned(), numbers.join(" "));
        all.insert("flag_meanings".to_owned(), names.join(" "));
    }
    let (kept, long): (BTreeMap<_, _>, BTreeMap<_, _>) = all
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .partition(|(_, text)| text.len() <= TEXT_MAX);
    let told = |(name, text): (&String, &String)| {
        let bytes = text.len();
        format!("its `{name}` is a text of {bytes} bytes: it is not kept")
    };
    (kept, long.iter().map(told).collect())
}

/// Whether the values of a variable are differences, by what CF has for that.
fn is_difference(variable: &Variable) -> bool {
    let text = |name: &str| variable.text(name).unwrap_or_default();
    let mut named = text("standard_name").split_whitespace();
    let (name, modifier) = (named.next().unwrap_or_default(), named.next());
    methods(text("cell_methods")).any(|of| ["standard_deviation", "range"].contains(&of))
        || text("units_metadata").contains("difference")
        || name.ends_with("_anomaly")
        || name.starts_with("change_over_time_in_")
        || modifier == Some("standard_error")
}

/// The methods among `cell_methods`: `time: mean (interval: 1 hour) area: range` are `mean` and
/// `range`.
fn methods(text: &str) -> impl Iterator<Item = &str> {
    let plain = text
        .split('(')
        .enumerate()
        .map(|(number, part)| match number {
            0 => part,
            _ => part.split_once(')').map_or("", |(_, behind)| behind),
        });
    let mut is_named = false;
    plain
        .flat_map(str::split_whitespace)
        .filter(move |word| std::mem::replace(&mut is_named, word.ends_with(':')) && !is_named)
}

/// What is told where forecasts of several runs may have one time.
fn runs(times: &Variable, reference: &Variable) -> String {
    format!(
        "its times are those of `{}`; runs of other `{}` lie over each other where they have one time (a grid made with `--time {}` keeps them apart)",
        times.name,
        reference.name,
        quoted(&reference.name)
    )
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
        if let Some(name) = value.as_deref().and_then(|value| coordinate.named(value)) {
            return Ok(Some(Ok(name.to_owned())));
        }
        let unit = coordinate
            .text("units")
            .filter(|unit| *unit != "1")
            .map_or(String::new(), |unit| format!(" {unit}"));
        return Ok(value.map(|value| Ok(value + &unit)));
    }
    Ok(None)
}
