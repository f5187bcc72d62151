//! Times in the names of files.

use std::path::Path;
use std::str::FromStr;

use anyhow::Context;

use super::args::parsed;
use gridstone::calendar::Timestamp;

/// A pattern of strftime that the names of files are held against, such as `rain-%Y.%m.%d.tif`; `*`
/// and `?` stand for any text and any character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TimePattern {
    text: String,
    parts: Vec<NamePart>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NamePart {
    Literal(char),
    Any,
    One,
    Field(TimeField),
}

impl NamePart {
    fn is_year(&self) -> bool {
        matches!(
            self,
            Self::Field(TimeField::Year | TimeField::YearOfCentury)
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeField {
    Year,
    YearOfCentury,
    Month,
    MonthName,
    Day,
    DayOfYear,
    Hour,
    Minute,
    Second,
}

/// What was found of a time so far.
#[derive(Clone, Copy, Debug, Default)]
struct TimeFound {
    year: Option<u32>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    clock: [u32; 3],
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

impl FromStr for TimePattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '*' => parts.push(NamePart::Any),
                '?' => parts.push(NamePart::One),
                '/' => {
                    return Err(
                        "it is held against names without their folders, so it has no `/`"
                            .to_owned(),
                    );
                }
                '%' => parts.extend(directive(chars.next())?),
                c => parts.push(NamePart::Literal(c)),
            }
        }
        if !parts.iter().any(NamePart::is_year) {
            return Err(
                "it says no year: give %Y among the fields %Y %y %m %b %d %j %H %M %S".to_owned(),
            );
        }
        let fields = parts.iter().enumerate();
        let mut fields = fields.filter(|(_, part)| matches!(part, NamePart::Field(_)));
        if fields.any(|(at, part)| parts[..at].contains(part)) {
            return Err(
                "a field of a time is there twice: put * in place of the one that is not meant, as of the end of a period".to_owned(),
            );
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }
}

/// What a letter behind `%` stands for.
fn directive(letter: Option<char>) -> Result<Vec<NamePart>, String> {
    let fields = |fields: &[TimeField], between: char| {
        let mut parts = Vec::new();
        for field in fields {
            if !parts.is_empty() {
                parts.push(NamePart::Literal(between));
            }
            parts.push(NamePart::Field(*field));
        }
        parts
    };
    Ok(match letter {
        Some('Y') => vec![NamePart::Field(TimeField::Year)],
        Some('y') => vec![NamePart::Field(TimeField::YearOfCentury)],
        Some('m') => vec![NamePart::Field(TimeField::Month)],
        Some('b' | 'B' | 'h') => vec![NamePart::Field(TimeField::MonthName)],
        Some('d' | 'e') => vec![NamePart::Field(TimeField::Day)],
        Some('j') => vec![NamePart::Field(TimeField::DayOfYear)],
        Some('H') => vec![NamePart::Field(TimeField::Hour)],
        Some('M') => vec![NamePart::Field(TimeField::Minute)],
        Some('S') => vec![NamePart::Field(TimeField::Second)],
        Some('F') => fields(&[TimeField::Year, TimeField::Month, TimeField::Day], '-'),
        Some('T') => fields(
            &[TimeField::Hour, TimeField::Minute, TimeField::Second],
            ':',
        ),
        Some('R') => fields(&[TimeField::Hour, TimeField::Minute], ':'),
        Some('%') => vec![NamePart::Literal('%')],
        Some(other) => {
            return Err(format!(
                "`%{other}` is none of %Y %y %m %b %d %j %H %M %S %F %T %R %%"
            ));
        }
        None => return Err("it ends with a `%`".to_owned()),
    })
}

impl TimePattern {
    /// The time that the name of a file says.
    pub(super) fn time(&self, path: &Path) -> anyhow::Result<Timestamp> {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy())
            .unwrap_or_default();
        let found = matched(&self.parts, &name, TimeFound::default());
        let found = found.with_context(|| {
            format!(
                "the name `{name}` does not have the form `{}`, which says the time",
                self.text
            )
        })?;
        found.time().map_err(|error| {
            anyhow::anyhow!("the name `{name}` says no time by `{}`: {error}", self.text)
        })
    }
}

/// What the fields of a pattern are in a text, if it has the pattern's form.
fn matched(parts: &[NamePart], text: &str, found: TimeFound) -> Option<TimeFound> {
    let Some((part, rest)) = parts.split_first() else {
        return text.is_empty().then_some(found);
    };
    match part {
        NamePart::Literal(c) => matched(rest, text.strip_prefix(*c)?, found),
        NamePart::One => {
            let mut chars = text.chars();
            chars.next()?;
            matched(rest, chars.as_str(), found)
        }
        NamePart::Any => {
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.into_iter()
                .find_map(|at| matched(rest, &text[at..], found))
        }
        NamePart::Field(field) => {
            let (found, text) = field.read(text, found)?;
            matched(rest, text, found)
        }
    }
}

impl TimeField {
    /// Takes the field off the front of a text.
    fn read(self, text: &str, mut found: TimeFound) -> Option<(TimeFound, &str)> {
        if self == TimeField::MonthName {
            let start = text.get(..3)?.to_ascii_lowercase();
            let month = MONTHS.iter().position(|month| month.starts_with(&start))?;
            let long = text
                .get(..MONTHS[month].len())
                .is_some_and(|name| name.eq_ignore_ascii_case(MONTHS[month]));
            found.month = u32::try_from(month + 1).ok();
            return Some((found, &text[if long { MONTHS[month].len() } else { 3 }..]));
        }
        let len = match self {
            TimeField::Year => 4,
            TimeField::DayOfYear => 3,
            _ => 2,
        };
        let digits = text
            .get(..len)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?;
        let number: u32 = digits.parse().ok()?;
        match self {
            TimeField::Year => found.year = Some(number),
            // As POSIX has it.
            TimeField::YearOfCentury => {
                found.year = Some(number + if number < 69 { 2000 } else { 1900 })
            }
            TimeField::Month | TimeField::MonthName => found.month = Some(number),
            TimeField::Day => found.day = Some(number),
            TimeField::DayOfYear => found.day_of_year = Some(number),
            TimeField::Hour => found.clock[0] = number,
            TimeField::Minute => found.clock[1] = number,
            TimeField::Second => found.clock[2] = number,
        }
        Some((found, &text[len..]))
    }
}

impl TimeFound {
    /// The time; what is not said is the first.
    fn time(self) -> Result<Timestamp, String> {
        const DAY: i128 = 86_400_000_000_000;
        let (year, [hour, minute, second]) = (self.year.unwrap_or_default(), self.clock);
        let iso = |month: u32, day: u32| {
            parsed::<Timestamp>(&format!(
                "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
            ))
        };
        let Some(day) = self.day_of_year else {
            return iso(self.month.unwrap_or(1), self.day.unwrap_or(1));
        };
        let (first, last) = (iso(1, 1)?, iso(12, 31)?);
        let at = day
            .checked_sub(1)
            .and_then(|days| first.after(i128::from(days) * DAY))
            .filter(|at| *at <= last);
        at.ok_or_else(|| format!("the year {year} has no day {day}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(pattern: &str, name: &str) -> Result<String, String> {
        let pattern: TimePattern = pattern.parse()?;
        pattern
            .time(Path::new(name))
            .map(|at| at.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_field_that_is_there_twice_is_refused() {
        for pattern in ["a_%Y%m%d_%Y%m%d.tif", "%Y%j%H-%H.tif"] {
            let why = time(pattern, "a").expect_err(pattern);
            assert!(why.contains("there twice"), "{why}");
        }
        let one = time("a_%Y%m%d_*.tif", "a_20200101_20200116.tif");
        assert_eq!(one.as_deref(), Ok("2020-01-01T00:00:00Z"));
    }

    #[test]
    fn a_name_says_its_time() {
        for (pattern, name, wanted) in [
            (
                "rain-%Y.%m.%d.tif",
                "some/folder/rain-2020.01.03.tif",
                "2020-01-03T00:00:00Z",
            ),
            (
                "*_%Y%m%dT%H%M%S_B??.tif",
                "T32TQM_20200229T101031_B02.tif",
                "2020-02-29T10:10:31Z",
            ),
            ("A%Y%j.*", "A2020366.h18v04.061.tif", "2020-12-31T00:00:00Z"),
            ("%d%b%y.tif", "07Mar99.tif", "1999-03-07T00:00:00Z"),
            ("%B-%Y", "September-2001", "2001-09-01T00:00:00Z"),
            ("x%%%F", "x%2001-02-03", "2001-02-03T00:00:00Z"),
            ("%Y.tif", "1987.tif", "1987-01-01T00:00:00Z"),
        ] {
            assert_eq!(time(pattern, name).as_deref(), Ok(wanted), "{pattern}");
        }
    }

    #[test]
    fn a_name_that_says_none_is_named() {
        let told = [
            time("rain-%Y.tif", "rain-99.tif"),
            time("%Y%m%d.tif", "20210229.tif"),
            time("%Y%j.tif", "2021366.tif"),
            time("%Y%m.tif", "202113.tif"),
        ];
        for (error, part) in
            told.into_iter()
                .zip(["rain-99.tif", "20210229.tif", "no day 366", "202113.tif"])
        {
            assert!(
                error.as_ref().is_err_and(|error| error.contains(part)),
                "{error:?}"
            );
        }
        for (pattern, part) in [
            ("a%", "ends"),
            ("%Y%Q", "%Q"),
            ("rain.tif", "year"),
            ("a/%Y", "folders"),
        ] {
            assert!(
                pattern
                    .parse::<TimePattern>()
                    .is_err_and(|error| error.contains(part)),
                "{pattern}"
            );
        }
    }
}
