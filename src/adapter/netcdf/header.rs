//! The header of the classic formats, and what it says of dimensions, variables and attributes.
//!
//! ```text
//! header     "CDF" version numrecs dim_list att_list var_list        version 1, 2 or 5
//! dim_list   absent, or 10 count (name length)*                      length 0: the record dimension
//! att_list   absent, or 12 count (name type count values)*           values padded to 4 bytes
//! var_list   absent, or 11 count (name rank dimension* att_list type vsize begin)*
//! ```
//!
//! Numbers are big-endian: 4 bytes, but 8 for counts and lengths in version 5, and for `begin` in versions 2 and 5. `vsize` is
//! redundant, and wrong for large variables, so it is not used.

use std::io::{Read, Seek};

use super::source::{Source, cells, unsigned};
use crate::array::{Cell, Cells, DType, with_cells};
use crate::error::{Error, Result};

/// Values of all attributes together may have so many bytes; a header of more is not read.
const HEADER_BYTES_MAX: u64 = 64 << 20;
/// Dimensions, variables, or attributes of one thing, at most.
const COUNT_MAX: u64 = 1 << 16;

/// A named length.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dimension {
    /// The name.
    pub name: String,
    /// How many cells there are along it.
    pub len: u64,
    /// Whether it is the one along which the file can grow.
    pub record: bool,
}

/// What an attribute holds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Characters. Bytes that are not UTF-8 are replaced.
    Text(String),
    /// Numbers.
    Numbers(Cells),
}

impl Value {
    /// The text, if that is what it holds.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            Value::Numbers(_) => None,
        }
    }

    /// The numbers as doubles, if it holds numbers.
    pub fn numbers(&self) -> Option<Vec<f64>> {
        match self {
            Value::Text(_) => None,
            Value::Numbers(cells) => Some(with_cells!(cells, |cells| cells.iter().map(|cell| cell.to_f64()).collect())),
        }
    }
}

/// A name and a value.
pub(super) type Attribute = (String, Value);

/// One array of a file.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Variable {
    /// The name.
    pub name: String,
    /// The numbers of its dimensions in [`Header::dimensions`], in the order of its axes.
    pub dimensions: Vec<usize>,
    /// The type of its cells; `None` for characters.
    pub dtype: Option<DType>,
    pub(super) attributes: Vec<Attribute>,
    /// The offset of its first cell.
    pub(super) begin: u64,
}

impl Variable {
    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        find(&self.attributes, name)
    }

    /// The text of an attribute, without what surrounds it; nothing if it is empty or a number.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.attribute(name).and_then(Value::text).map(str::trim).filter(|text| !text.is_empty())
    }

    pub(super) fn cell_bytes(&self) -> u64 {
        self.dtype.map_or(1, DType::size) as u64
    }
}

fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Value> {
    attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// What a file says of itself before any cell is read.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Header {
    /// The dimensions.
    pub dimensions: Vec<Dimension>,
    /// The variables.
    pub variables: Vec<Variable>,
    pub(super) attributes: Vec<Attribute>,
    /// The bytes from one record to the next.
    pub(super) record_bytes: u64,
}

impl Header {
    /// A variable by its name.
    pub fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().find(|variable| variable.name == name)
    }

    /// The value of a global attribute.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        find(&self.attributes, name)
    }

    /// Cells along each axis of a variable.
    pub fn shape(&self, variable: &Variable) -> Vec<u64> {
        variable.dimensions.iter().map(|d| self.dimensions.get(*d).map_or(0, |dimension| dimension.len)).collect()
    }

    pub(super) fn is_record(&self, variable: &Variable) -> bool {
        variable.dimensions.first().and_then(|d| self.dimensions.get(*d)).is_some_and(|dimension| dimension.record)
    }

    /// The bytes of one record of a record variable, of all of another; without padding.
    pub(super) fn slab_bytes(&self, variable: &Variable) -> Option<u64> {
        let inner = if self.is_record(variable) { 1 } else { 0 };
        self.shape(variable)[inner..].iter().try_fold(variable.cell_bytes(), |bytes, len| bytes.checked_mul(*len))
    }
}

/// Reads the header.
pub(super) fn read<R: Read + Seek>(source: &mut Source<R>) -> Result<Header> {
    if source.len() < 4 {
        return Err(Error::invalid(format!("the file is not a NetCDF file: it has {} bytes", source.len())));
    }
    let magic = source.bytes(0, 4, "the magic number")?;
    let version = match magic[..] {
        [b'C', b'D', b'F', version @ (1 | 2 | 5)] => version,
        [0x89, b'H', b'D', b'F'] => {
            return Err(Error::invalid(
                "the file is NetCDF-4, which is not read; make a classic one with `nccopy -k cdf5 FILE CLASSIC.nc`, or `nccopy -3` for old readers",
            ));
        }
        [b'C', b'D', b'F', version] => {
            return Err(Error::invalid(format!("the file is NetCDF of version {version}, not 1, 2 or 5")));
        }
        _ => return Err(Error::invalid("the file is not a NetCDF file: it does not start with `CDF`")),
    };
    let mut parser = Parser { source, at: 4, wide: version == 5, wide_begin: version != 1, bytes: 0 };
    let records = parser.count()?;
    let streaming = records == if parser.wide { u64::MAX } else { u64::from(u32::MAX) };
    let mut dimensions = parser.list(10, "dimensions", Parser::dimension)?;
    let attributes = parser.list(12, "attributes", Parser::attribute)?;
    let rank_max = dimensions.len();
    let variables = parser.list(11, "variables", |parser| parser.variable(rank_max))?;
    if dimensions.iter().filter(|dimension| dimension.record).count() > 1 {
        return Err(Error::invalid("the file has more than one record dimension"));
    }
    dimensions.iter_mut().filter(|dimension| dimension.record).for_each(|dimension| dimension.len = records);
    let mut header = Header { dimensions, variables, attributes, record_bytes: 0 };
    header.record_bytes = record_bytes(&header)?;
    if streaming {
        let first = header.variables.iter().filter(|variable| header.is_record(variable)).map(|variable| variable.begin).min();
        let records = first.map_or(0, |first| source.len().saturating_sub(first) / header.record_bytes.max(1));
        header.dimensions.iter_mut().filter(|dimension| dimension.record).for_each(|dimension| dimension.len = records);
    }
    check(&header)?;
    Ok(header)
}

/// The bytes of a record of all variables, each padded to 4 bytes, unless there is only one.
fn record_bytes(header: &Header) -> Result<u64> {
    let records: Vec<&Variable> = header.variables.iter().filter(|variable| header.is_record(variable)).collect();
    let huge = || Error::invalid("a record of the file is larger than any file");
    let slabs: Vec<u64> = records.iter().map(|variable| header.slab_bytes(variable)).collect::<Option<_>>().ok_or_else(huge)?;
    match slabs[..] {
        [only] => Ok(only),
        _ => slabs.iter().try_fold(0_u64, |sum, slab| sum.checked_add(slab.checked_next_multiple_of(4)?)).ok_or_else(huge),
    }
}

/// Refuses what the parts of a header cannot say together.
fn check(header: &Header) -> Result<()> {
    for variable in &header.variables {
        let later = variable.dimensions.iter().skip(1).any(|d| header.dimensions.get(*d).is_some_and(|d| d.record));
        if later {
            return Err(Error::invalid(format!("the record dimension of variable `{}` is not its first", variable.name)));
        }
    }
    Ok(())
}

struct Parser<'a, R> {
    source: &'a mut Source<R>,
    at: u64,
    /// Whether counts have 8 bytes.
    wide: bool,
    wide_begin: bool,
    /// Bytes of names and values so far.
    bytes: u64,
}

impl<R: Read + Seek> Parser<'_, R> {
    fn number(&mut self, wide: bool) -> Result<u64> {
        let len = if wide { 8 } else { 4 };
        let bytes = self.source.bytes(self.at, len, "the header")?;
        self.at += len;
        Ok(unsigned(&bytes))
    }

    fn count(&mut self) -> Result<u64> {
        self.number(self.wide)
    }

    /// So many bytes and their padding.
    fn padded(&mut self, len: u64, what: &str) -> Result<Vec<u8>> {
        self.bytes = self.bytes.saturating_add(len);
        if self.bytes > HEADER_BYTES_MAX {
            return Err(Error::invalid(format!("the header of the file has more than {HEADER_BYTES_MAX} bytes")));
        }
        let bytes = self.source.bytes(self.at, len, what)?;
        self.at += len.next_multiple_of(4);
        Ok(bytes)
    }

    fn name(&mut self) -> Result<String> {
        let len = self.count()?;
        let bytes = self.padded(len, "a name")?;
        String::from_utf8(bytes).map_err(|cause| Error::invalid("a name in the file is not UTF-8").because(cause))
    }

    fn list<T>(&mut self, tag: u64, what: &str, mut element: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let (found, count) = (self.number(false)?, self.count()?);
        if found == 0 && count == 0 {
            return Ok(Vec::new());
        }
        if found != tag || count > COUNT_MAX {
            return Err(Error::invalid(format!("the file's list of {what} is damaged: it has tag {found} and {count} entries")));
        }
        (0..count).map(|_| element(self)).collect()
    }

    fn dimension(&mut self) -> Result<Dimension> {
        let (name, len) = (self.name()?, self.count()?);
        Ok(Dimension { name, len, record: len == 0 })
    }

    fn dtype(&mut self) -> Result<Option<DType>> {
        Ok(Some(match self.number(false)? {
            1 => DType::I8,
            2 => return Ok(None),
            3 => DType::I16,
            4 => DType::I32,
            5 => DType::F32,
            6 => DType::F64,
            7 => DType::U8,
            8 => DType::U16,
            9 => DType::U32,
            10 => DType::I64,
            11 => DType::U64,
            code => return Err(Error::invalid(format!("the file has data of type {code}, which there is not"))),
        }))
    }

    fn attribute(&mut self) -> Result<Attribute> {
        let name = self.name()?;
        let (dtype, count) = (self.dtype()?, self.count()?);
        let len = count.saturating_mul(dtype.map_or(1, DType::size) as u64);
        let bytes = self.padded(len, "the value of an attribute")?;
        Ok((
            name,
            match dtype {
                Some(dtype) => Value::Numbers(cells(dtype, bytes)),
                None => {
                    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
                    Value::Text(String::from_utf8_lossy(&bytes[..end]).into_owned())
                }
            },
        ))
    }

    fn variable(&mut self, dimensions: usize) -> Result<Variable> {
        let name = self.name()?;
        let rank = self.count()?;
        if rank > COUNT_MAX {
            return Err(Error::invalid(format!("variable `{}` claims {rank} dimensions", name.escape_debug())));
        }
        let axes = (0..rank).map(|_| {
            let number = self.count()?;
            let known = usize::try_from(number).ok().filter(|number| *number < dimensions);
            known.ok_or_else(|| Error::invalid(format!("variable `{}` has an unknown dimension {number}", name.escape_debug())))
        });
        let axes: Vec<usize> = axes.collect::<Result<_>>()?;
        let attributes = self.list(12, "attributes", Self::attribute)?;
        let dtype = self.dtype()?;
        self.count()?;
        let begin = self.number(self.wide_begin)?;
        Ok(Variable { name, dimensions: axes, dtype, attributes, begin })
    }
}
