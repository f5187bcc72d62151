//! From the coordinates of one system to those of another.

use super::definition::Definition;
use super::projection::{Projection, proj};
use super::{code, definition, kept, parameters, shown};

/// The systems of EPSG that are transformed as exactly as PROJ does: codes, and ranges of them.
///
/// Of every system that `crs-definitions` knows, six places of its area of use were projected by
/// proj4rs and by PROJ 9.5 without grids of shifts. These differ by less than a centimetre, there
/// and back (most by less than a micrometre, where a datum is turned by up to 8 mm); all others are
/// refused. Where PROJ knows several shifts of a datum it is the best of the place that counts, so
/// that most old datums of many countries are not among them.
const EXACT: &str = include_str!("exact.txt");

/// From one system to another.
#[derive(Clone, Debug)]
pub(crate) struct Transformation {
    from: Projection,
    to: Projection,
}

impl Transformation {
    /// Between two systems, as grids and files name them. An error says of which it is not known
    /// as exactly as PROJ has it, and why.
    pub(crate) fn between(from: &str, to: &str) -> Result<Self, String> {
        if let Some(one) = Self::of_one_datum(from, to)? {
            return Ok(one);
        }
        let exact = |system: &str| {
            check(system).map_err(|why| {
                format!(
                    "{} is not transformed as exactly as PROJ does: {why}",
                    shown(system)
                )
            })?;
            Projection::of_system(system).map_err(|why| format!("{}: {why}", shown(system)))
        };
        Ok(Self {
            from: exact(from)?,
            to: exact(to)?,
        })
    }

    /// Between systems of one datum that is not shifted, whatever is known of its shift to others.
    fn of_one_datum(from: &str, to: &str) -> Result<Option<Self>, String> {
        if check(from).is_ok() && check(to).is_ok() {
            return Ok(None);
        }
        let (Some(a), Some(b)) = (definition(from), definition(to)) else {
            return Ok(None);
        };
        let is_known = |of: &Definition| parameters::of(of, None).is_ok();
        if !(a.geodetic.is_same(&b.geodetic) && is_known(&a) && is_known(&b)) {
            return Ok(None);
        }
        let bare = |of: &Definition| Projection::of_proj(proj(&parameters::of(of, None)?)?);
        Ok(Some(Self {
            from: bare(&a)?,
            to: bare(&b)?,
        }))
    }

    /// The coordinates in the other system; `None` where it has none.
    pub(crate) fn forward(&self, at: [f64; 2]) -> Option<[f64; 2]> {
        self.to.forward(self.from.inverse(at)?)
    }

    /// How far x goes once round the globe in the other system, if all parallels are equally long
    /// there.
    pub(crate) fn once_round(&self) -> Option<f64> {
        self.to.once_round()
    }

    /// The same the other way round.
    pub(crate) fn back(&self) -> Self {
        Self {
            from: self.to.clone(),
            to: self.from.clone(),
        }
    }
}

/// Says why a system is not known as exactly as PROJ has it.
fn check(system: &str) -> Result<(), String> {
    match code(&kept(system)) {
        Some(("EPSG", number)) if is_exact(number) => Ok(()),
        Some(("EPSG", number)) => Err(match Projection::shifted_by_grid(number) {
            Some(grid) => format!("its datum is shifted by a grid ({grid})"),
            None => format!(
                "EPSG:{number} is not among the systems that were held against PROJ and found within a centimetre"
            ),
        }),
        Some((authority, number)) => Err(format!("{authority}:{number} has no code of EPSG")),
        None => {
            let own = definition(system).ok_or("its parameters are not known here")?;
            let is_sphere = own.geodetic.inverse_flattening == 0.0;
            if parameters::shift(&own.geodetic).is_none() && !is_sphere {
                return Err(format!(
                    "the shift of its datum, {}, is not known here",
                    own.geodetic.datum
                ));
            }
            parameters::text(system).map(drop)
        }
    }
}

/// Whether a code is among those that are exact.
fn is_exact(number: u32) -> bool {
    EXACT.split_whitespace().any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let ends = first.parse::<u32>().ok().zip(last.parse::<u32>().ok());
        ends.is_some_and(|(first, last)| (first..=last).contains(&number))
    })
}

#[cfg(test)]
#[path = "transformation_tests.rs"]
mod tests;
