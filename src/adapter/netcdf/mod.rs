//! NetCDF in, with the coordinates, times, packing and gaps of the CF conventions; [out](export) by
//! the same conventions.
//!
//! The classic formats (CDF-1, CDF-2, CDF-5) are read, and NetCDF-4, which is HDF5 with dimensions:
//! the variables of all groups (`PRODUCT/no2`), in any layout, through the filters deflate,
//! shuffle, Fletcher-32, Zstandard, szip, N-bit, scale-offset, LZ4 and LZF. Others are refused,
//! and so is a file of which a variable has no dimensions; the error names the command that makes a
//! classic file of it. Cells that were never written are the file's fill value. A file is open only
//! while it is read, and refused if it changes in between.
//!
//! # Where the cells of a variable lie in a grid
//!
//! * A grid made after a variable ([`schema_like`]) has the axes time, labels, `y`, `x`, in this
//!   order, those that the variable has. Which axis is which is told by `axis`, `standard_name` and
//!   `units` of its coordinate variable, then by its name; the last two axes are rows and columns
//!   if nothing tells. One further axis of more than one cell (heights, members) becomes a Fixed
//!   dimension, labelled by its coordinates, numbers or texts. Labels of a file lie where the grid
//!   has them, in any order. What a name means is looked for in the variable's group, then around
//!   it.
//! * Rows and columns must be equidistant within [`TOLERANCE`] cells. Coordinates are centres of
//!   cells, unless there are `bounds`; where only the outermost cells end before the others would,
//!   as at a pole, the centres tell. Bounds that do not hold their coordinate, leave gaps or
//!   overlap are refused; they may have a unit and a packing of their own. Bounds that are nowhere
//!   any cells say nothing. Attributes of a coordinate that contradict each other (`axis` and
//!   `units`) are refused. Steps and edges are the shortest decimal numbers of which the stored
//!   ones, also those of float32, are made.
//! * The coordinate reference system is that of the `grid_mapping`, of several that of the one
//!   which names the coordinates: an EPSG code, WKT (of CF, GDAL or ArcGIS), or the attributes of
//!   CF, with the unit that the coordinates have (kilometres, angles that a satellite scans). One
//!   that is not known, or not of these coordinates, is noted. A rotated pole is kept, and is no
//!   plain longitude and latitude. `degrees_north` and `degrees_east`, in whatever spelling,
//!   without a mapping are EPSG:4326; so are degrees, and numbers without a unit, that are latitude
//!   and longitude by their standard name or, without one, their name. Degrees to the south or
//!   west are turned into such to the north and east; of other angles a note says how.
//! * Longitudes that differ by 360 degrees are one place: a file's columns stay where they are, or
//!   are turned round where the grid has them already, or would go round more than once. They may
//!   begin anew within a file (179, -179).
//! * Rows and columns without coordinates lie where the `GeoTransform` of the grid mapping says, as
//!   GDAL reads it: from its first row on, or where GDAL has written the file from its last.
//! * A variable without 1-D coordinates (one on a curvilinear grid) is kept on *index axes* if that
//!   is asked for: origin 0, steps of 1, unit `index`. What its coordinates are in the first and
//!   the last cell is remembered; where another file's differ, a note says so.
//! * A file is laid into a grid ([`VariableSource`]) at level 0, where its cells are the grid's,
//!   aligned within [`TOLERANCE`] cells, in either direction.
//!
//! # When they are
//!
//! * Times are those of an axis's coordinate; else of a coordinate beside the axes, numbers or
//!   text, with a time for each cell of an axis; else a reference time and how much later each cell
//!   is; else a single time (a scalar coordinate). Where several could be meant, [`Choice::time`]
//!   says which. A time is never left out.
//! * Weeks, and dates without what lies between their parts (`days since 20000131`), are read as
//!   UDUNITS does; months and years have no fixed length, and are refused but in a year of 360
//!   days.
//! * They are kept in their calendar: `standard` has Julian dates before 1582-10-15, and no year 0;
//!   an epoch in the year 0 is read as ISO 8601 has it, with a note. Days of climate models'
//!   calendars are no days of another calendar.
//! * Time becomes a regular dimension. A step lasts from its time to the next: the cell is
//!   `[t, t + step)`, so a step is asked for and shown by the time in the file. With CF `bounds`
//!   the cell is the bounds', which have to hold the time, and the step is known by its beginning;
//!   bounds that are nowhere any cells say nothing. The grid's cell 0 is the first step; before it
//!   there is room for earlier ones, and gaps cost nothing. A time that does not lie on the steps
//!   is refused by name. How far steps are apart, several files say together. Bounds of a
//!   climatology are not kept, with a note.
//! * Where times lie on no steps or most of these would be empty, or if it is asked for
//!   ([`Like::irregular`]), time becomes an irregular dimension, whose ticks are the longest of
//!   CF's units up to a second of which all times are whole numbers, and whose expected spacing is
//!   the median of what is between them. Each time is an event; what becomes of one that is there
//!   already, or twice in the file, is for [`Import::over`](super::source::Import::over) to say.
//!
//! # What the numbers of a variable become
//!
//! * Packed numbers (`scale_factor`, `add_offset`) are unpacked: to float32 where both attributes
//!   are float32 and the numbers have at most 16 bits, else to float64, computed in float64.
//!   `_Unsigned` is honoured. Enumerations are their numbers, whose names are kept as `flag_values`
//!   and `flag_meanings`; those of labels and of single coordinates are their names.
//! * `_FillValue`, `missing_value`, what lies outside `valid_range`, `valid_min` and `valid_max`,
//!   and NaN are no data; without a `_FillValue`, the library's default one too, except for bytes
//!   and integers of 64 bits. They leave what the grid has at their place alone. A valid range in
//!   floating point beside packed numbers of another type is one of values. Text of a number is
//!   that number.
//! * Coordinates, labels and bounds are unpacked by the same rules. A row, column, time or label
//!   that is missing is refused, a coordinate of a single value that is missing is noted; so is one
//!   that lies outside of its valid range, and a valid range that cannot be read.
//! * Integers that are not packed keep their type; the grid's nodata value is the `_FillValue`,
//!   else the `missing_value`, else the default.
//! * The grid remembers the variable's name, its unit, a few attributes, and the value of each
//!   coordinate that has a single one (`height`). Values of another unit of the same kind are
//!   converted into float cells. Another variable, quantity (`standard_name`), unit or height is
//!   refused, other `cell_methods` are noted.

mod corners;
mod decode;
pub mod export;
mod field;
mod file;
mod filters;
#[cfg(any(test, feature = "testing"))]
mod fuzz;
mod header;
mod identity;
mod instants;
mod labels;
mod mapping;
mod moments;
mod place;
mod remarks;
mod remedy;
mod roles;
mod schema;
mod source;
mod space;
mod stored;
mod system;
mod time;
mod timing;
mod transform;
mod word;

#[cfg(test)]
mod tests;

pub use super::axes::TOLERANCE;
pub use crate::adapter::axes::INDEX;
pub use field::{Choice, Field};
pub use file::{NetCdf, is_netcdf};
#[cfg(any(test, feature = "testing"))]
pub use fuzz::fuzz_netcdf;
pub use header::{FileDimension, Header, Value, Variable};
pub use moments::{cell_of, dimension_of};
pub use schema::{Like, schema_like};
pub use source::VariableSource;
