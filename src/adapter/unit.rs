//! Units of values: whether two are of one kind, and how numbers in one become numbers in the
//! other.
//!
//! A unit is a product of powers of the names below, as UDUNITS writes it: `kg m-2 s-1`, `m/s`,
//! `W m**-2`, `mm day^-1`.

use std::f64::consts::PI;
use std::fmt;

use crate::array::DType;

/// `value * factor + shift`: what a value of one unit is in another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Conversion {
    factor: f64,
    shift: f64,
}

impl Conversion {
    /// Values as they are.
    pub(super) const NONE: Self = Self {
        factor: 1.0,
        shift: 0.0,
    };

    pub(super) fn is_none(self) -> bool {
        self == Self::NONE
    }

    pub(super) fn apply(self, value: f64) -> f64 {
        value * self.factor + self.shift
    }

    /// From one unit to another; `None` where they are not of one kind, or are not known and not
    /// the same text.
    pub(super) fn between(from: &str, to: &str) -> Option<Self> {
        if words(from).eq(words(to)) {
            return Some(Self::NONE);
        }
        let (from, to) = (Measure::parse(from)?, Measure::parse(to)?);
        let factor = if from.scale == to.scale {
            1.0
        } else {
            from.scale / to.scale
        };
        (from.powers == to.powers).then(|| Self {
            factor,
            shift: (from.offset - to.offset) / to.scale,
        })
    }

    /// From a file's unit to that of a grid with cells of a type; the reason where values do not
    /// become the grid's.
    pub(super) fn for_cells(from: &str, to: &str, dtype: DType) -> Result<Self, &'static str> {
        match Self::between(from, to) {
            None => Err("it is not known how one becomes the other"),
            Some(conversion) if !conversion.is_none() && !dtype.is_float() => {
                Err("the grid's integers cannot hold what one becomes in the other")
            }
            Some(conversion) => Ok(conversion),
        }
    }

    /// The same of differences, which have no zero of their own.
    #[cfg(feature = "netcdf")]
    pub(super) fn of_differences(self) -> Self {
        Self { shift: 0.0, ..self }
    }

    /// What is to be said of it where the file and the grid say these units.
    pub(super) fn remark(self, from: Option<&str>, to: Option<&str>) -> Option<String> {
        match (from, to?) {
            (None, to) => Some(format!(
                "it says no unit; its values are taken for the grid's {to}"
            )),
            (Some(_), _) if self.is_none() => None,
            (Some(from), to) => Some(format!("its {from} become {to}: {self}")),
        }
    }
}

impl fmt::Display for Conversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.shift < 0.0 { '-' } else { '+' };
        match (self.factor == 1.0, self.shift == 0.0) {
            (true, _) => write!(f, "value {sign} {}", self.shift.abs()),
            (false, true) => write!(f, "value * {}", self.factor),
            (false, false) => write!(f, "value * {} {sign} {}", self.factor, self.shift.abs()),
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

/// Powers of metre, kilogram, second, kelvin, mole and radian.
type Powers = [i32; 6];

/// A unit in terms of the base units: `base = value * scale + offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Measure {
    scale: f64,
    offset: f64,
    powers: Powers,
}

const NONE: Powers = [0; 6];
const M: Powers = [1, 0, 0, 0, 0, 0];
const KG: Powers = [0, 1, 0, 0, 0, 0];
const S: Powers = [0, 0, 1, 0, 0, 0];
const K: Powers = [0, 0, 0, 1, 0, 0];
const MOL: Powers = [0, 0, 0, 0, 1, 0];
const PA: Powers = [-1, 1, -2, 0, 0, 0];
const J: Powers = [2, 1, -2, 0, 0, 0];
const W: Powers = [2, 1, -3, 0, 0, 0];
const N: Powers = [1, 1, -2, 0, 0, 0];
const RAD: Powers = [0, 0, 0, 0, 0, 1];

/// Names, what they are worth, and whether prefixes go in front of the first.
const UNITS: [(&[&str], f64, f64, Powers, bool); 34] = [
    (
        &["m", "metre", "metres", "meter", "meters"],
        1.0,
        0.0,
        M,
        true,
    ),
    (&["ft", "foot", "feet"], 0.3048, 0.0, M, false),
    (&["inch", "inches"], 0.0254, 0.0, M, false),
    (
        &["L", "l", "litre", "liter", "litres", "liters"],
        1e-3,
        0.0,
        [3, 0, 0, 0, 0, 0],
        true,
    ),
    (&["g", "gram", "grams"], 1e-3, 0.0, KG, true),
    (&["kilogram", "kilograms"], 1.0, 0.0, KG, false),
    (&["t", "tonne", "tonnes"], 1e3, 0.0, KG, false),
    (&["s", "sec", "second", "seconds"], 1.0, 0.0, S, true),
    (&["min", "minute", "minutes"], 60.0, 0.0, S, false),
    (&["h", "hr", "hour", "hours"], 3_600.0, 0.0, S, false),
    (&["d", "day", "days"], 86_400.0, 0.0, S, false),
    (&["Hz", "hertz"], 1.0, 0.0, [0, 0, -1, 0, 0, 0], true),
    (
        &[
            "K",
            "kelvin",
            "Kelvin",
            "kelvins",
            "degK",
            "deg_K",
            "degrees_K",
            "degree_K",
        ],
        1.0,
        0.0,
        K,
        true,
    ),
    (
        &[
            "degC",
            "deg_C",
            "degrees_C",
            "degree_C",
            "degreesC",
            "celsius",
            "Celsius",
            "degree_Celsius",
            "degrees_Celsius",
            "degree_celsius",
            "degrees_celsius",
            "degreeC",
            "°C",
        ],
        1.0,
        273.15,
        K,
        false,
    ),
    (
        &[
            "degF",
            "deg_F",
            "degrees_F",
            "degree_F",
            "fahrenheit",
            "Fahrenheit",
            "degrees_Fahrenheit",
            "degree_Fahrenheit",
            "°F",
        ],
        5.0 / 9.0,
        459.67 * 5.0 / 9.0,
        K,
        false,
    ),
    (&["mol", "mole", "moles"], 1.0, 0.0, MOL, true),
    (&["Pa", "pascal", "pascals", "Pascal"], 1.0, 0.0, PA, true),
    (&["bar", "bars"], 1e5, 0.0, PA, true),
    (&["mb", "millibar", "millibars"], 100.0, 0.0, PA, false),
    (
        &["atm", "atmosphere", "atmospheres"],
        101_325.0,
        0.0,
        PA,
        false,
    ),
    (&["J", "joule", "joules"], 1.0, 0.0, J, true),
    (&["W", "watt", "watts"], 1.0, 0.0, W, true),
    (&["N", "newton", "newtons"], 1.0, 0.0, N, true),
    (
        &["knot", "knots", "kt", "kts"],
        1_852.0 / 3_600.0,
        0.0,
        [1, 0, -1, 0, 0, 0],
        false,
    ),
    (
        &[
            "1",
            "fraction",
            "dimensionless",
            "ratio",
            "unitless",
            "none",
        ],
        1.0,
        0.0,
        NONE,
        false,
    ),
    (&["%", "percent", "percentage"], 1e-2, 0.0, NONE, false),
    (&["ppm", "ppmv"], 1e-6, 0.0, NONE, false),
    (&["ppb", "ppbv"], 1e-9, 0.0, NONE, false),
    (&["rad", "radian", "radians"], 1.0, 0.0, RAD, true),
    (&["milliradian", "milliradians"], 1e-3, 0.0, RAD, false),
    (&["microradian", "microradians"], 1e-6, 0.0, RAD, false),
    (
        &["degree", "degrees", "deg", "arc_degree", "arc_degrees"],
        PI / 180.0,
        0.0,
        RAD,
        false,
    ),
    (
        &[
            "arc_minute",
            "arc_minutes",
            "arcminute",
            "arcminutes",
            "arcmin",
        ],
        PI / 10_800.0,
        0.0,
        RAD,
        false,
    ),
    (
        &[
            "arc_second",
            "arc_seconds",
            "arcsecond",
            "arcseconds",
            "arcsec",
        ],
        PI / 648_000.0,
        0.0,
        RAD,
        false,
    ),
];

const PREFIXES: [(&str, f64); 12] = [
    ("da", 1e1),
    ("h", 1e2),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("d", 1e-1),
    ("c", 1e-2),
    ("m", 1e-3),
    ("u", 1e-6),
    ("µ", 1e-6),
    ("n", 1e-9),
];

impl Measure {
    /// A product of powers. What shifts zero, as `degC`, stands alone.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().replace("**", "^").replace('/', " / ");
        let words: Vec<&str> = text
            .split([' ', '*', '.', '·'])
            .filter(|word| !word.is_empty())
            .collect();
        let mut product = Self {
            scale: 1.0,
            offset: 0.0,
            powers: NONE,
        };
        let mut below = false;
        for word in &words {
            if *word == "/" {
                below = true;
                continue;
            }
            let (name, power) = split(word)?;
            let factor = Self::named(name)?;
            let power = if std::mem::take(&mut below) {
                -power
            } else {
                power
            };
            if factor.offset != 0.0 {
                return (words.len() == 1 && power == 1).then_some(factor);
            }
            product.scale = if power < 0 {
                product.scale / factor.scale.powi(-power)
            } else {
                product.scale * factor.scale.powi(power)
            };
            product
                .powers
                .iter_mut()
                .zip(factor.powers)
                .for_each(|(sum, of)| *sum += of * power);
        }
        (!words.is_empty() && !below).then_some(product)
    }

    fn named(name: &str) -> Option<Self> {
        let of =
            |scale: f64, (_, worth, offset, powers, _): &(&[&str], f64, f64, Powers, bool)| Self {
                scale: scale * worth,
                offset: *offset,
                powers: *powers,
            };
        if let Some(unit) = UNITS.iter().find(|(names, ..)| names.contains(&name)) {
            return Some(of(1.0, unit));
        }
        PREFIXES.iter().find_map(|(prefix, scale)| {
            let rest = name.strip_prefix(prefix)?;
            UNITS
                .iter()
                .find(|(names, .., prefixed)| *prefixed && names[0] == rest)
                .map(|unit| of(*scale, unit))
        })
    }
}

/// A name and its power: `m-2`, `m^2`, `s`. `1` alone is a name.
fn split(word: &str) -> Option<(&str, i32)> {
    let at = word
        .find(|c: char| c.is_ascii_digit() || "^+-".contains(c))
        .filter(|at| *at > 0)
        .unwrap_or(word.len());
    let (name, power) = word.split_at(at);
    let power = power.strip_prefix('^').unwrap_or(power);
    let power = if power.is_empty() {
        1
    } else {
        power.parse().ok().filter(|power: &i32| power.abs() < 10)?
    };
    Some((name, power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_one_kind_are_converted() {
        for (from, to, value, wanted) in [
            ("degC", "K", 7.5, 280.65),
            ("K", "Celsius", 273.15, 0.0),
            ("degrees_Fahrenheit", "degC", 212.0, 100.0),
            ("hPa", "Pa", 1013.25, 101_325.0),
            ("Pa", "millibar", 50_000.0, 500.0),
            ("mbar", "hPa", 3.0, 3.0),
            ("mm", "m", 25.0, 0.025),
            ("m s-1", "km/h", 10.0, 36.0),
            ("knots", "m s**-1", 3_600.0, 1_852.0),
            ("%", "1", 50.0, 0.5),
            ("g kg-1", "kg/kg", 8.0, 0.008),
            ("mm day-1", "m s^-1", 86_400.0, 0.001),
            ("kg m-2 s-1", "g m-2 h-1", 1.0, 3_600_000.0),
            ("W m-2", "J/s/m^2", 5.0, 5.0),
            ("umol m-2", "mol.m-2", 2.0, 2e-6),
            ("radians", "degrees", std::f64::consts::PI, 180.0),
            ("arc_minute", "degree", 630.0, 10.5),
            ("microradian", "rad", 560.0, 560e-6),
        ] {
            let got = Conversion::between(from, to).expect(from).apply(value);
            assert!(
                (got - wanted).abs() <= wanted.abs() * 1e-12,
                "{value} {from} is {got} {to}, not {wanted}"
            );
        }
    }

    #[test]
    fn one_unit_in_two_spellings_changes_no_value() {
        for (from, to) in [
            ("m/s", "m s-1"),
            ("degC", "Celsius"),
            ("dBZ", " dBZ "),
            ("kg  m-2", "kg m-2"),
            ("hPa", "mbar"),
            ("1", "kg kg-1"),
        ] {
            assert!(
                Conversion::between(from, to).is_some_and(Conversion::is_none),
                "{from} {to}"
            );
        }
    }

    #[test]
    fn units_of_two_kinds_and_unknown_ones_are_not_converted() {
        for (from, to) in [
            ("K", "Pa"),
            ("kg m-2 s-1", "mm day-1"),
            ("dBZ", "1"),
            ("m", "m2"),
            ("degC m-1", "K m-1"),
            ("/", "m"),
            ("", "m"),
            ("m^99999999999", "m"),
            ("months", "days"),
            ("rad", "m"),
            ("radians", "1"),
        ] {
            assert_eq!(Conversion::between(from, to), None, "{from} {to}");
        }
    }
}
