//! The labels of an axis that is neither time nor rows nor columns: heights, members, kinds.

use std::collections::BTreeSet;

use super::field::{Field, coordinate};
use super::file::NetCdf;
use super::header::{Header, Value, Variable};
use super::identity::TEXT_MAX;
use super::remedy;
use super::stored::StoredNumbers;
use super::timing;
use crate::adapter::text::quoted;
use crate::error::{Error, Result};
use crate::grid::Structure;

/// A dimension whose coordinates are labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Labels {
    pub(super) name: String,
    pub(super) labels: Vec<String>,
    /// What the labels are of, by the names of [`MEASURES`](crate::adapter::cf::MEASURES).
    pub(super) measures: Vec<(&'static str, String)>,
    /// What of them is not kept.
    pub(super) note: Option<String>,
}

/// Which quantity a coordinate is, and which way its numbers grow: a depth of 1 m is no height of
/// 1 m. By the names of [`MEASURES`](crate::adapter::cf::MEASURES).
pub(super) fn directed(coordinate: &Variable) -> Vec<(&'static str, String)> {
    let said = ["standard_name", "positive"].into_iter();
    said.filter_map(|name| Some((name, coordinate.text(name)?.to_owned())))
        .filter(|(_, text)| text.len() <= TEXT_MAX)
        .collect()
}

impl Labels {
    /// One label a cell: the number or the text of its coordinate if it has one, else its own
    /// number.
    pub(super) fn read(file: &NetCdf, variable: &Variable, axis: usize) -> Result<Self> {
        let (header, dimension) = (file.header(), &variable.dimensions[axis]);
        let texts = texts_of(header, variable, axis);
        let own = coordinate(header, variable, axis);
        let mut note = own.zip(texts).map(|(numbers, texts)| {
            format!(
                "its labels are the numbers of `{}`; the texts of `{}` are not kept",
                numbers.name, texts.name
            )
        });
        let mut numbers = own;
        if own.is_none() && texts.is_none() {
            numbers = numbers_of(header, variable, axis);
            if let Some(beside) = numbers
                && !tells_apart(file, beside)?
            {
                note = Some(format!(
                    "the numbers of `{}` are no labels, as some are missing or there twice: its labels are 1 to {}",
                    beside.name, dimension.len
                ));
                numbers = None;
            }
        }
        let (labels, measures) = if let Some(numbers) = numbers {
            let unit = numbers.text("units").filter(|unit| *unit != "1");
            let unit = unit.map(|unit| ("units", unit.to_owned()));
            let measures = directed(numbers).into_iter().chain(unit).collect();
            (of_numbers(file, numbers)?, measures)
        } else if let Some(texts) = texts {
            (of_texts(file, texts)?, directed(texts))
        } else {
            (
                (1..=dimension.len)
                    .map(|number| number.to_string())
                    .collect(),
                Vec::new(),
            )
        };
        Ok(Self {
            name: dimension.name.clone(),
            labels,
            measures,
            note,
        })
    }

    /// The name of their dimension in a grid that is made after the file.
    pub(super) fn dimension(&self, has_times: bool) -> String {
        let name = fitting(&self.name);
        let is_taken = ["space", "y", "x"].contains(&name.as_str()) || name == "time" && has_times;
        if is_taken { beside(&name) } else { name }
    }
}

/// Whether a dimension of a grid is that of labels of a name in a file.
pub(super) fn is_of(dimension: &str, name: &str) -> bool {
    let name = fitting(name);
    [name.as_str(), &beside(&name)].contains(&dimension)
}

/// Whether none of some numbers is missing, and none there twice.
fn tells_apart(file: &NetCdf, numbers: &Variable) -> Result<bool> {
    let stored = StoredNumbers::read(file, numbers)?;
    let labels = stored.texts();
    let different: BTreeSet<&String> = labels.iter().collect();
    Ok(stored.first_missing().is_none() && different.len() == labels.len())
}

/// Numbers as labels, none of which may be missing.
fn of_numbers(file: &NetCdf, numbers: &Variable) -> Result<Vec<String>> {
    let stored = StoredNumbers::read(file, numbers)?;
    let Some((cell, text)) = stored.first_missing() else {
        let label = |text: String| numbers.named(&text).map(str::to_owned).unwrap_or(text);
        return Ok(stored.texts().into_iter().map(label).collect());
    };
    let mut runs: Vec<[usize; 2]> = Vec::new();
    for cell in (0..stored.is_missing.len()).filter(|cell| !stored.is_missing[*cell]) {
        match runs.last_mut() {
            Some([_, last]) if *last + 1 == cell => *last = cell,
            _ => runs.push([cell, cell]),
        }
    }
    let known: Vec<String> = runs
        .iter()
        .map(|[first, last]| remedy::part(numbers.leaf(), *first, *last))
        .collect();
    let without = remedy::without(numbers.leaf(), "NUMBERED.nc");
    let remedy = if known.is_empty() {
        format!("take them away with `{without}`")
    } else {
        format!(
            "keep the others, as with `ncks {} FILE PART.nc`, or take all away with `{without}`",
            known.join(" ")
        )
    };
    Err(Error::invalid(format!(
        "the numbers of `{}` are no labels: {text} of cell {cell} stands for a missing one; {remedy}",
        numbers.name
    )))
}

/// Whether two texts are one: numbers of float32 may be written with more digits or fewer. Whole
/// numbers, which may be dates or codes, are one only if they are the same.
pub(super) fn alike(a: &str, b: &str) -> bool {
    let double = |word: &str| word.parse::<f64>().ok();
    let single = |word: &str| {
        let number = word.parse::<f32>().ok()?;
        (number.is_finite() && number.fract() != 0.0).then_some(number)
    };
    let one = |(a, b): (&str, &str)| {
        let doubles = double(a).zip(double(b));
        let singles = single(a).zip(single(b));
        a == b
            || doubles.is_some_and(|(a, b)| a.total_cmp(&b).is_eq())
            || singles.is_some_and(|(a, b)| a.total_cmp(&b).is_eq())
    };
    a.split(' ').count() == b.split(' ').count() && a.split(' ').zip(b.split(' ')).all(one)
}

/// The coordinates that a variable lists.
fn listed<'a>(header: &'a Header, variable: &'a Variable) -> impl Iterator<Item = &'a Variable> {
    let texts = [
        variable.text("coordinates"),
        header.attribute("coordinates").and_then(Value::text),
    ];
    let names = texts.into_iter().flatten().flat_map(str::split_whitespace);
    names.filter_map(|name| header.near(variable, name))
}

/// The only numbers along an axis among the coordinates of the variable, but for times.
fn numbers_of<'a>(header: &'a Header, variable: &'a Variable, axis: usize) -> Option<&'a Variable> {
    let dimension = &variable.dimensions[axis];
    let mut along = listed(header, variable).filter(|of| {
        of.dtype.is_some() && of.dimensions == [dimension.clone()] && !timing::is_timely(of)
    });
    along.next().filter(|_| along.next().is_none())
}

/// The texts along an axis: those of its own name, else the only ones among the coordinates of the
/// variable.
fn texts_of<'a>(header: &'a Header, variable: &'a Variable, axis: usize) -> Option<&'a Variable> {
    let dimension = &variable.dimensions[axis];
    let along = |of: &&Variable| {
        let axes = 1 + usize::from(of.letters);
        (of.letters || of.words) && of.dimensions.len() == axes && of.dimensions[0] == *dimension
    };
    let own = header.near(variable, &dimension.name).filter(along);
    own.or_else(|| listed(header, variable).find(along))
}

/// Texts as labels, each of which has to be another.
fn of_texts(file: &NetCdf, texts: &Variable) -> Result<Vec<String>> {
    let labels: Vec<String> = file
        .texts(&texts.name)?
        .iter()
        .map(|text| text.trim_matches([' ', '\0']).to_owned())
        .collect();
    let mut seen = BTreeSet::new();
    match labels
        .iter()
        .find(|label| label.is_empty() || !seen.insert(label.as_str()))
    {
        None => Ok(labels),
        Some(label) => Err(Error::invalid(format!(
            "the texts of `{}` are no labels: `{label}` is {}; take them away with `{}`",
            texts.name,
            if label.is_empty() {
                "empty"
            } else {
                "there twice"
            },
            remedy::without(texts.leaf(), "NUMBERED.nc")
        ))),
    }
}

/// Labels of a file that follow each other in a grid: the place of the first, and their numbers in
/// the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LabelRun {
    pub(super) at: i64,
    pub(super) of_file: Vec<usize>,
}

/// The places of a variable's labels among those of a grid along the axis `band`, by name and in
/// whatever order.
pub(super) fn runs(
    field: &Field,
    structure: &Structure,
    band: Option<usize>,
) -> Result<Vec<LabelRun>> {
    let Some(axis) = band else {
        return Ok(vec![LabelRun {
            at: 0,
            of_file: vec![0],
        }]);
    };
    let dimension = &structure.dimensions()[structure.dimension_of(axis)];
    let known = dimension.labels().unwrap_or_default();
    let refused = || {
        let shown: Vec<&str> = known.iter().take(20).map(String::as_str).collect();
        Error::invalid(format!(
            "the variable's labels are not some of the grid's along `{}`: {}; make a grid for it with `gridstone create STORE NAME --like FILE`",
            dimension.name(),
            shown.join(", ")
        ))
    };
    let is_its = |name: &str| is_of(dimension.name(), name);
    let place = |label: &str| {
        let exact = known.iter().position(|known| known == label);
        exact.or_else(|| known.iter().position(|known| alike(known, label)))
    };
    let mut places: Vec<(usize, usize)> = match &field.band {
        Some(band) if !is_its(&band.name) => {
            return Err(Error::invalid(format!(
                "the variable has labels along `{}`, the grid along `{}`; make a grid for it with `gridstone create STORE NAME --like FILE`",
                band.name,
                dimension.name()
            )));
        }
        Some(band) => {
            let places: Option<Vec<usize>> = band.labels.iter().map(|label| place(label)).collect();
            places.ok_or_else(refused)?.into_iter().zip(0..).collect()
        }
        // A single value of what the labels are, as of a file with one height.
        None => {
            let value = field
                .identity
                .singles
                .iter()
                .find(|(name, _)| is_its(name))
                .map(|(_, value)| value);
            let first = value.and_then(|value| value.split_whitespace().next());
            let number = value
                .and_then(|value| place(value))
                .or_else(|| first.and_then(place))
                .or_else(|| (value.is_none() && known.len() == 1).then_some(0));
            vec![(number.ok_or_else(refused)?, 0)]
        }
    };
    places.sort_unstable();
    if let Some(twice) = places.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Error::invalid(format!(
            "the variable has label `{}` twice along `{}`, and each is one place; take one of them, as with `ncks -d {},{} FILE ONE.nc`",
            known[twice[0].0],
            dimension.name(),
            quoted(field.band.as_ref().map_or("", |band| &band.name)),
            twice[0].1
        )));
    }
    let mut runs: Vec<LabelRun> = Vec::new();
    for (place, of_file) in places {
        let at = i64::try_from(place).map_err(|cause| refused().because(cause))?;
        match runs.last_mut() {
            Some(run) if run.at.checked_add_unsigned(run.of_file.len() as u64) == Some(at) => {
                run.of_file.push(of_file)
            }
            _ => runs.push(LabelRun {
                at,
                of_file: vec![of_file],
            }),
        }
    }
    Ok(runs)
}

/// A name of a file with what no name of a grid has replaced.
fn fitting(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    name.chars()
        .map(|c| if fits(c) { c } else { '_' })
        .take(128)
        .collect()
}

/// The name of a dimension of labels where another dimension or axis has that of the file.
fn beside(name: &str) -> String {
    format!("{name}_labels")
}
