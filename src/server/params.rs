//! The parameters of a request, each of which must be known.

use std::fmt::Display;
use std::str::FromStr;

use super::reply::Problem;
use crate::Freshness;

/// What stands behind `?`.
#[derive(Clone, Debug, Default)]
pub(super) struct Params(Vec<(String, String)>);

/// A parameter that changes nothing but the address, for caches that look at nothing else.
const BUSTER: &str = "v";

/// The most bytes of a parameter that is one word.
const WORD_MAX: usize = 256;

impl Params {
    /// Reads them. Refuses one that is not among the `allowed`, of which `level.*` is any that
    /// begins so, and one that is there twice.
    pub(super) fn parse(raw: Option<&str>, allowed: &[&str]) -> Result<Self, Problem> {
        let mut all: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(raw.unwrap_or_default().as_bytes()) {
            let fits = |of: &&str| match of.strip_suffix('*') {
                Some(start) => name.len() > start.len() && name.starts_with(start),
                None => name == **of,
            };
            if name == BUSTER {
                continue;
            }
            if !allowed.iter().any(fits) {
                let short: String = name.chars().take(64).collect();
                return Err(Problem::parameter(
                    &short,
                    format!(
                        "there is no parameter `{short}` here; there are {}",
                        allowed.join(", ")
                    ),
                )
                .allowed(allowed));
            }
            if all.iter().any(|(known, _)| *known == name) {
                return Err(Problem::parameter(&name, "it is given twice"));
            }
            all.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(all))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Those whose names begin so, without that.
    pub(super) fn starting<'a>(
        &'a self,
        start: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0
            .iter()
            .filter_map(move |(name, value)| Some((name.strip_prefix(start)?, value.as_str())))
    }

    /// One as what it says, if it is there.
    pub(super) fn parsed<T: FromStr<Err: Display>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Problem> {
        let parse = |text: &str| {
            if text.len() > WORD_MAX {
                return Err(Problem::parameter(
                    name,
                    format!("it has more than {WORD_MAX} bytes"),
                ));
            }
            text.parse()
                .map_err(|error| Problem::parameter(name, format!("`{name}`: {error}")))
        };
        self.get(name).map(parse).transpose()
    }

    /// A finite number.
    pub(super) fn number(&self, name: &str) -> Result<Option<f64>, Problem> {
        self.get(name).map(|text| number(name, text)).transpose()
    }

    /// One of some words; the first unless it is given.
    pub(super) fn choice<T: Copy>(
        &self,
        name: &str,
        words: &[(&str, T)],
        default: T,
    ) -> Result<T, Problem> {
        let Some(text) = self.get(name) else {
            return Ok(default);
        };
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, of)| *of).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            Problem::parameter(
                name,
                format!("`{}` is none of {}", shortened(text), words.join(", ")),
            )
            .allowed(words)
        })
    }

    /// How up to date the answer is to be: fresh unless `freshness=stored`.
    pub(super) fn freshness(&self) -> Result<Freshness, Problem> {
        let words = [("fresh", Freshness::Fresh), ("stored", Freshness::Stored)];
        self.choice("freshness", &words, Freshness::Fresh)
    }
}

/// A finite number of a parameter.
pub(super) fn number(name: &str, text: &str) -> Result<f64, Problem> {
    let number = text.trim().parse::<f64>().ok();
    number.filter(|number| number.is_finite()).ok_or_else(|| {
        Problem::parameter(
            name,
            format!("`{}` is not a finite number", shortened(text)),
        )
    })
}

/// The start of a text that came from outside.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
