//! Grids as NetCDF files with the coordinates, times and gaps of the CF conventions.
//!
//! A file has one variable for each [`Selection`], of the same cells in several layers. It is of
//! the classic format, CDF-2 where that has its types and sizes, else CDF-5, which NetCDF 4.4 and
//! newer, GDAL and xarray read: such a file is written part by part, of any size in bounded memory.
//! It is not compressed.
//!
//! # What is where
//!
//! * The dimensions are those of planes, then rows and columns. Each cell of a regular axis has its
//!   centre for coordinate, a step of time its beginning, and its two ends in the bounds. Events
//!   have their ticks. Labels are numbers where all of them are, else texts. Axes that count a
//!   file's rows and columns have no coordinates, as in the file.
//! * The system is a grid mapping: its EPSG code, its well-known text, and what the conventions say
//!   of its ellipsoid and of the common projections.
//! * Absent cells are NaN; of integers they are `_FillValue`, the grid's nodata value or another
//!   that no cell with data has.
//! * The attributes of a grid are those of its variables. What it remembers of a place that all of
//!   its cells have, such as `height` being `2 m`, is a coordinate of a single value.
//!
//! What is imported again is the same cells at the same places and times, with the same labels, in
//! the same system.

mod attributes;
mod classic;
mod coordinates;
mod mapping;

use std::io::{Seek, Write};
use std::path::Path;

use crate::adapter::cf;
use crate::adapter::export::{Exported, Marking, PART_BYTES, Planes, Selection, absent};
use crate::adapter::file;
use crate::array::{DType, block};
use crate::error::{Error, Result};
use crate::reader::Layer;
use classic::{ClassicValue, ClassicVariable, Contents, ValueKind};
use coordinates::text;

/// The version of the conventions that a file follows.
const CONVENTIONS: &str = "CF-1.11";

/// A file that is to be made of selections.
#[derive(Debug)]
pub struct NetCdfExport {
    /// The same cells of several layers.
    selections: Vec<Selection>,
    /// What stands for absent data in each, once it is known.
    markings: Vec<Marking>,
    part_bytes: usize,
}

impl NetCdfExport {
    /// A file of the cells of some layers of a selection, or of its own one if there are none.
    ///
    /// Errors are those of [`Selection::of_layer`]; [`Invalid`](crate::ErrorKind::Invalid) if a
    /// layer is there twice.
    pub fn new(selection: &Selection, layers: &[Layer]) -> Result<Self> {
        let mut selections = Vec::new();
        for (number, layer) in layers.iter().enumerate() {
            if layers[..number].contains(layer) {
                return Err(Error::invalid(format!(
                    "layer `{layer}` is asked for twice"
                )));
            }
            selections.push(selection.of_layer(layer.clone())?);
        }
        if selections.is_empty() {
            selections.push(selection.clone());
        }
        Ok(Self {
            selections,
            markings: Vec::new(),
            part_bytes: PART_BYTES,
        })
    }

    /// Chooses how many bytes of cells are read at a time, 32 MiB unless it is done. Several times
    /// as many are held.
    #[must_use]
    pub fn part_bytes(self, bytes: usize) -> Self {
        Self {
            part_bytes: bytes,
            ..self
        }
    }

    /// The layers of the variables, in the order of the file.
    pub fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.selections.iter().map(Selection::layer)
    }

    /// How many cells are written.
    pub fn cells(&self) -> u64 {
        self.selections
            .iter()
            .map(Selection::cells)
            .fold(0, u64::saturating_add)
    }

    fn cells_max(&self, of: &Selection) -> usize {
        self.part_bytes / of.dtype().size()
    }

    /// Finds what stands for absent data. Where the grid does not say it, all cells are looked at;
    /// `progress` is told of these. It is not needed before [`write`](Self::write), which does it
    /// otherwise.
    ///
    /// # Errors
    ///
    /// Those of reading the grid; [`Invalid`](crate::ErrorKind::Invalid) if every value of the type
    /// stands for data, and none is left for cells without.
    pub fn look(&mut self, progress: &dyn Fn(u64)) -> Result<()> {
        if self.markings.is_empty() {
            self.markings = self.found(progress)?;
        }
        Ok(())
    }

    fn found(&self, progress: &dyn Fn(u64)) -> Result<Vec<Marking>> {
        let found = |of: &Selection| {
            // Readers take the default of a type for absent where a file names none, but for bytes
            // and integers of 64 bits.
            let always = ![DType::U8, DType::I8, DType::I64, DType::U64].contains(&of.dtype());
            let marking = Selection::marking(&[of], (always, self.cells_max(of)), progress)?;
            if marking.absent && marking.nodata.is_none() {
                return Err(Error::invalid(format!(
                    "every value of {} occurs, so that none can mark the cells without data; export a layer of floats (`--layer mean`), or a .tif, which has a mask",
                    of.dtype()
                )));
            }
            Ok(marking)
        };
        self.selections.iter().map(found).collect()
    }

    /// Writes the file, which appears when it is complete. `progress` is told of cells that were
    /// written.
    ///
    /// # Errors
    ///
    /// Those of [`look`](Self::look), and [`Unavailable`](crate::ErrorKind::Unavailable) if it
    /// cannot be written. Nothing is left of the file then.
    pub fn write(&self, path: impl AsRef<Path>, progress: &dyn Fn(u64)) -> Result<Exported> {
        file::replace(path.as_ref(), |out| self.write_to(out, progress))
    }

    /// The same to anything that takes bytes and seeks.
    pub fn write_to(&self, out: impl Write + Seek, progress: &dyn Fn(u64)) -> Result<Exported> {
        let markings = if self.markings.is_empty() {
            self.found(&|_| {})?
        } else {
            self.markings.clone()
        };
        let (contents, first) = self.contents(&markings)?;
        let mut writer = classic::ClassicWriter::new(out, &contents)?;
        let mut exported = Exported::default();
        for (number, (of, marking)) in self.selections.iter().zip(&markings).enumerate() {
            for part in of.parts(self.cells_max(of)) {
                let planes = of.read(&part)?;
                let Planes { array, valid, .. } = planes;
                exported = exported.and(planes.exported);
                let mut cells = array.into_cells();
                if let Some(mark) = &marking.nodata {
                    let absent = absent(valid.as_ref());
                    block::lay(mark.as_bytes(), &absent, cells.as_bytes_mut());
                }
                let count = cells.len() as u64;
                writer.put(first + number, &part, cells)?;
                progress(count);
            }
        }
        writer.finish()?;
        Ok(exported)
    }

    /// Dimensions, attributes and variables, and the number of the first variable with cells.
    fn contents(&self, markings: &[Marking]) -> Result<(Contents, usize)> {
        let mut contents = Contents::default();
        let Some(of) = self.selections.first() else {
            return Err(Error::invalid("there is nothing to be exported"));
        };
        contents.attributes = vec![
            text("Conventions", CONVENTIONS),
            text("title", of.grid().name()),
        ];
        let mut coordinates = coordinates::put(&mut contents, of);
        let mapped = mapping::put(&mut contents, of);
        let attributes = attributes::put(&mut contents, of, &mut coordinates);
        let first = contents.variables.len();
        for (of, marking) in self.selections.iter().zip(markings) {
            let mut own = attributes.clone();
            own.extend(attributes::flags(of));
            let unit = of.unit().map(str::to_owned);
            own.extend(unit.map(|unit| text("units", unit)));
            if let Some(methods) = methods(of)? {
                let known = own.iter().position(|(name, _)| name == "cell_methods");
                let before = known.map(|at| own.remove(at).1);
                let methods = match before {
                    Some(ClassicValue::Text(before)) => format!("{before} {methods}"),
                    _ => methods,
                };
                own.push(text("cell_methods", methods));
            }
            if let Some(nodata) = &marking.nodata {
                own.push((
                    "_FillValue".to_owned(),
                    ClassicValue::Numbers(nodata.clone()),
                ));
            }
            if mapped {
                own.push(text("grid_mapping", mapping::NAME));
            }
            if !coordinates.beside.is_empty() {
                own.push(text("coordinates", coordinates.beside.join(" ")));
            }
            let name = self.name(of, &contents);
            contents.variables.push(ClassicVariable {
                name,
                dimensions: coordinates.dimensions.clone(),
                kind: ValueKind::Number(of.dtype()),
                attributes: own,
                values: None,
            });
        }
        Ok((contents, first))
    }

    /// What a layer is called in the file: as what the grid holds, with its own name behind it
    /// where there are several.
    fn name(&self, of: &Selection, contents: &Contents) -> String {
        let grid = of.grid();
        let known = grid.schema().variable().map(str::to_owned);
        let whole = known.unwrap_or_else(|| grid.name());
        let mut name = named(whole.rsplit('/').next().unwrap_or_default());
        if self.selections.len() > 1 && *of.layer() != Layer::Base {
            name = format!("{name}_{}", named(&of.layer().to_string()));
        }
        let taken = |name: &str| {
            contents.variables.iter().any(|other| other.name == name)
                || contents.dimensions.iter().any(|(other, _)| other == name)
        };
        while taken(&name) {
            name.push_str("_values");
        }
        name
    }
}

/// A name with what no name of NetCDF may hold replaced: control characters and `/`, and at the
/// front what is neither a letter, a digit nor `_`.
fn named(name: &str) -> String {
    let fits = |c: char| !c.is_control() && c != '/';
    let name: String = name
        .trim_end()
        .chars()
        .map(|c| if fits(c) { c } else { '_' })
        .collect();
    if name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()) {
        return name;
    }
    format!("_{name}")
}

/// What the cells of a layer are made by, where they are made of others.
fn methods(of: &Selection) -> Result<Option<String>> {
    let Layer::Aggregate(aggregation) = of.layer() else {
        return Ok(None);
    };
    let base = of.grid().base_levels()?;
    let (space, level) = (of.axes().space, of.level());
    let is_coarser = base.is_some_and(|base| level > base[space]);
    let method = cf::cell_method(aggregation).filter(|_| is_coarser);
    Ok(method.map(|method| format!("area: {method}")))
}
