//! From a file's cells to the grid's.

use std::collections::BTreeSet;
use std::ops::Range;

use ndarray::ArrayD;

use crate::adapter::cells::{gdal_name, widens};
use crate::adapter::geotiff::{Band, Header};
use crate::adapter::source::SourceCells;
use crate::adapter::unit;
use crate::adapter::values::{self, TargetCells, ValueRule};
use crate::array::Array;
use crate::error::{Error, Result};
use crate::grid::Schema;

/// Refuses a file whose values the grid cannot hold.
pub(super) fn check_type(schema: &Schema, header: &Header) -> Result<()> {
    let (from, to) = (header.values(), schema.dtype());
    if widens(from, to) {
        return Ok(());
    }
    if from != header.dtype {
        return Err(Error::invalid(format!(
            "the file's cells are packed by a scale and an offset, its values are {from}, and not all of them fit the grid's {to}; make the grid with `gridstone create --like`, or take the cells for values with `gdal_translate -a_scale 1 -a_offset 0 FILE CELLS.tif`"
        )));
    }
    Err(Error::invalid(format!(
        "the file's cells are {from}, and not all of their values fit the grid's {to}; if the file's do, convert it with `gdal_translate -ot {} FILE FITTING.tif`",
        gdal_name(to)
    )))
}

/// How values of a band of a number, from 1, become those in the grid's unit. An
/// [`Invalid`](crate::ErrorKind::Invalid) error if they do not.
fn conversion(schema: &Schema, (number, band): (usize, &Band)) -> Result<unit::Conversion> {
    let (Some(from), Some(to)) = (band.unit.as_deref(), schema.unit()) else {
        return Ok(unit::Conversion::NONE);
    };
    unit::Conversion::for_cells(from, to, schema.dtype()).map_err(|why| {
        Error::invalid(format!(
            "the unit of the file's values is `{from}` in band {number}, the grid's `{to}`, and {why}; make a grid for it with `gridstone create --like`, or, if the unit is wrong, leave it out with `gdal_translate -of VRT FILE UNITLESS.vrt && sed -i '/UnitType/d' UNITLESS.vrt && gdal_translate UNITLESS.vrt UNITLESS.tif`"
        ))
    })
}

/// How the cells of one file become the grid's.
#[derive(Clone, Debug)]
pub(super) struct CellConversion {
    /// One for all bands, or one a band.
    rules: Vec<ValueRule>,
    target: TargetCells,
    /// What is to be said of it.
    pub(super) note: Option<String>,
}

impl CellConversion {
    /// An [`Invalid`](crate::ErrorKind::Invalid) error if the unit of a band does not become the
    /// grid's.
    pub(super) fn new(schema: &Schema, header: &Header) -> Result<Self> {
        let rule = |(number, band): (usize, &Band)| -> Result<ValueRule> {
            Ok(ValueRule {
                stored: header.dtype,
                missing: header.missing(),
                valid: [None, None],
                packing: band.packing(),
                conversion: conversion(schema, (number, band))?,
            })
        };
        let mut rules = (1..)
            .zip(&header.bands)
            .map(rule)
            .collect::<Result<Vec<_>>>()?;
        let notes: BTreeSet<String> = rules
            .iter()
            .zip(&header.bands)
            .filter_map(|(rule, band)| rule.conversion.remark(band.unit.as_deref(), schema.unit()))
            .collect();
        let note = (!notes.is_empty()).then(|| notes.into_iter().collect::<Vec<_>>().join("; "));
        if rules.iter().all(|rule| *rule == rules[0]) {
            rules.truncate(1);
        }
        Ok(Self {
            rules,
            target: TargetCells::of(schema),
            note,
        })
    }

    /// The cells of some bands, (band, y, x), in the grid's type and unit.
    pub(super) fn apply(
        &self,
        array: Array,
        valid: Option<ArrayD<u8>>,
        bands: Range<usize>,
    ) -> Result<SourceCells> {
        let rules: Vec<&ValueRule> = match self.rules.as_slice() {
            [one] => vec![one],
            several => several.get(bands).unwrap_or_default().iter().collect(),
        };
        values::piece(array, valid, &rules, self.target)
    }
}
