//! The labels of an axis that is neither time nor rows nor columns: heights, members, kinds.

use std::collections::{BTreeMap, BTreeSet};

use super::field::{Field, coordinate};
use super::file::NetCdf;
use super::header::{Header, Value, Variable};
use super::identity::TEXT_MAX;
use super::stored::StoredNumbers;
use super::timing;
use crate::adapter::cf;
use crate::error::{Error, Result};
use crate::grid::Structure;

/// A dimension whose coordinates are labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Labels {
    pub(super) name: String,
    pub(super) labels: Vec<String>,
    /// What the labels are numbers of, by the name of the attribute of a grid that keeps it.
    pub(super) measures: BTreeMap<String, String>,
    /// What of them is not kept.
    pub(super) note: Option<String>,
}

/// Which quantity the numbers of a coordinate are, and which way they grow: a depth of 1 m is no
/// height of 1 m. By the name of the attribute of a grid that keeps it.
pub(super) fn directed(labels: &str, coordinate: &Variable) -> Vec<(String, String)> {
    let said = ["standard_name", "positive"].into_iter();
    said.filter_map(|name| Some((name, coordinate.text(name)?)))
        .filter(|(_, text)| (1..=TEXT_MAX).contains(&text.len()))
        .map(|(name, text)| (cf::measure(labels, name), text.to_owned()))
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
            if let Some(beside) = numbers.filter(|beside| !tells_apart(file, beside)) {
                note = Some(format!(
                    "the numbers of `{}` are no labels, as some are missing or there twice: its labels are 1 to {}",
                    beside.name, dimension.len
                ));
                numbers = None;
            }
        }
        let (labels, measures) = if let Some(numbers) = numbers {
            let unit = numbers.text("units").filter(|unit| *unit != "1");
            let unit = unit.map(|unit| (cf::measure(&dimension.name, "units"), unit.to_owned()));
            let measures = directed(&dimension.name, numbers);
            let measures = measures.into_iter().chain(unit).collect();
            (of_numbers(file, numbers)?, measures)
        } else if let Some(texts) = texts {
            (of_texts(file, texts)?, BTreeMap::new())
        } else {
            (
                (1..=dimension.len)
                    .map(|number| number.to_string())
                    .collect(),
                BTreeMap::new(),
            )
        };
        Ok(Self {
            name: dimension.name.clone(),
            labels,
            measures,
            note,
        })
    }
}

/// Whether none of some numbers is missing, and none there twice.
fn tells_apart(file: &NetCdf, numbers: &Variable) -> bool {
    let labels = of_numbers(file, numbers).unwrap_or_default();
    let different: BTreeSet<&String> = labels.iter().collect();
    !labels.is_empty() && different.len() == labels.len()
}

/// Numbers as labels, none of which may be missing.
fn of_numbers(file: &NetCdf, numbers: &Variable) -> Result<Vec<String>> {
    let stored = StoredNumbers::read(file, numbers)?;
    let Some((cell, text)) = stored.first_missing() else {
        return Ok(stored.texts());
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
        .map(|[first, last]| format!("-d {},{first},{last}", numbers.leaf()))
        .collect();
    let remedy = if known.is_empty() {
        format!(
            "take them away with `ncks -C -x -v {} FILE NUMBERED.nc`",
            numbers.leaf()
        )
    } else {
        format!(
            "keep the others, as with `ncks {} FILE PART.nc`, or take all away with `ncks -C -x -v {} FILE NUMBERED.nc`",
            known.join(" "),
            numbers.leaf()
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
            "the texts of `{0}` are no labels: `{label}` is {1}; take them away with `ncks -C -x -v {0} FILE NUMBERED.nc`",
            texts.name,
            if label.is_empty() {
                "empty"
            } else {
                "there twice"
            }
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
    let is_its = |name: &str| {
        let name = fitting(name);
        [name.as_str(), &beside(&name)].contains(&dimension.name())
    };
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
            "the variable has label `{}` twice along `{}`, and each is one place; take one of them, as with `ncks -d {1},{2} FILE ONE.nc`",
            known[twice[0].0],
            dimension.name(),
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
pub(super) fn fitting(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    name.chars()
        .map(|c| if fits(c) { c } else { '_' })
        .take(128)
        .collect()
}

/// The name of a dimension of labels where another dimension or axis has that of the file.
pub(super) fn beside(name: &str) -> String {
    format!("{name}_labels")
}
