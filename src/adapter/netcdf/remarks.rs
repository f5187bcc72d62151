//! What is to be known of a variable that is laid into a grid.

use super::corners;
use super::field::Field;
use super::identity::{KEPT, LATER};
use crate::adapter::cf;
use crate::adapter::unit::Conversion;
use crate::crs;
use crate::grid::Schema;

impl Field {
    /// What is told of labels or single values of which the grid says what they are, and the file
    /// does not.
    fn unsaid(&self, schema: &Schema) -> Option<String> {
        let known = schema.attributes();
        if let Some(band) = &self.band {
            let name = cf::measure(self.dimension_in(schema)?, "units");
            let is_said = band.measures.iter().any(|(what, _)| *what == "units");
            let unit = known.get(&name).filter(|_| !is_said)?;
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
