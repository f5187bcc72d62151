//! The classic format of NetCDF, written part by part.
//!
//! Its header says where each variable begins, and a variable is its cells in C order, so that
//! parts go straight to their places and nothing is held. CDF-2 has the types that every reader
//! knows; CDF-5 has all integers, and variables beyond 4 GiB.
//!
//! Numbers are big-endian.

use std::io::{Seek, SeekFrom, Write};
use std::ops::Range;

use crate::array::{Cells, DType};
use crate::error::{Error, Result};

/// The type of the values of a variable or an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueKind {
    Text,
    Number(DType),
}

impl ValueKind {
    fn code(self) -> u32 {
        match self {
            Self::Text => 2,
            Self::Number(DType::I8) => 1,
            Self::Number(DType::I16) => 3,
            Self::Number(DType::I32) => 4,
            Self::Number(DType::F32) => 5,
            Self::Number(DType::F64) => 6,
            Self::Number(DType::U8) => 7,
            Self::Number(DType::U16) => 8,
            Self::Number(DType::U32) => 9,
            Self::Number(DType::I64) => 10,
            Self::Number(DType::U64) => 11,
        }
    }

    fn size(self) -> usize {
        match self {
            Self::Text => 1,
            Self::Number(dtype) => dtype.size(),
        }
    }

    /// Whether CDF-2 has it.
    fn is_old(self) -> bool {
        self.code() <= 6
    }
}

/// The values of an attribute, or of a small variable.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ClassicValue {
    Text(String),
    Numbers(Cells),
}

impl ClassicValue {
    fn kind(&self) -> ValueKind {
        match self {
            Self::Text(_) => ValueKind::Text,
            Self::Numbers(cells) => ValueKind::Number(cells.dtype()),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.as_bytes().to_vec(),
            Self::Numbers(cells) => {
                let mut bytes = cells.as_bytes().to_vec();
                turn(&mut bytes, cells.dtype().size());
                bytes
            }
        }
    }
}

/// A variable.
#[derive(Clone, Debug)]
pub(super) struct ClassicVariable {
    pub(super) name: String,
    /// The numbers of its dimensions.
    pub(super) dimensions: Vec<usize>,
    pub(super) kind: ValueKind,
    pub(super) attributes: Vec<(String, ClassicValue)>,
    /// Its values, if they are few; those of others are written part by part.
    pub(super) values: Option<ClassicValue>,
}

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    pub(super) dimensions: Vec<(String, u64)>,
    pub(super) attributes: Vec<(String, ClassicValue)>,
    pub(super) variables: Vec<ClassicVariable>,
}

/// A variable of this many bytes is beyond CDF-2, whose offsets have 64 bits but whose sizes 32.
const OLD_BYTES_MAX: u64 = 1 << 31;

impl Contents {
    pub(super) fn dimension(&mut self, name: impl Into<String>, len: usize) -> usize {
        self.dimensions.push((name.into(), len as u64));
        self.dimensions.len() - 1
    }

    /// The bytes of a variable; [`Invalid`](crate::ErrorKind::Invalid) if they are too many.
    fn bytes(&self, variable: &ClassicVariable) -> Result<u64> {
        let mut lens = variable
            .dimensions
            .iter()
            .map(|dimension| self.dimensions[*dimension].1);
        let size = variable.kind.size() as u64;
        let bytes = lens.try_fold(size, u64::checked_mul);
        let bytes = bytes.filter(|bytes| *bytes <= i64::MAX as u64);
        bytes.ok_or_else(|| Error::invalid(format!("variable `{}` is too large", variable.name)))
    }

    fn is_old(&self) -> Result<bool> {
        for variable in &self.variables {
            let values = variable.attributes.iter().map(|(_, value)| value.kind());
            let mut kinds = values.chain([variable.kind]);
            if !kinds.all(ValueKind::is_old) || self.bytes(variable)? >= OLD_BYTES_MAX {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The header, and where each variable begins and ends.
    fn header(&self) -> Result<(Vec<u8>, Vec<Range<u64>>)> {
        let wide = !self.is_old()?;
        let mut begins = vec![0; self.variables.len()];
        // The places are as long whatever they are.
        let len = self.encoded(wide, &begins)?.len() as u64;
        let (mut at, mut ranges) = (len, Vec::new());
        for (begin, variable) in begins.iter_mut().zip(&self.variables) {
            *begin = at;
            let bytes = self.bytes(variable)?;
            ranges.push(at..at + bytes);
            at += bytes.next_multiple_of(4);
        }
        Ok((self.encoded(wide, &begins)?, ranges))
    }

    fn encoded(&self, wide: bool, begins: &[u64]) -> Result<Vec<u8>> {
        const DIMENSIONS: u32 = 10;
        const VARIABLES: u32 = 11;
        let mut header = ClassicHeader {
            bytes: b"CDF".to_vec(),
            wide,
        };
        header.bytes.push(if wide { 5 } else { 2 });
        header.count(0);
        header.list(DIMENSIONS, self.dimensions.len());
        for (name, len) in &self.dimensions {
            header.text(name);
            header.count(*len);
        }
        header.attributes(&self.attributes);
        header.list(VARIABLES, self.variables.len());
        for (variable, begin) in self.variables.iter().zip(begins) {
            header.text(&variable.name);
            header.count(variable.dimensions.len() as u64);
            variable
                .dimensions
                .iter()
                .for_each(|dimension| header.count(*dimension as u64));
            header.attributes(&variable.attributes);
            header.word(variable.kind.code());
            header.count(self.bytes(variable)?.next_multiple_of(4));
            header.bytes.extend(begin.to_be_bytes());
        }
        Ok(header.bytes)
    }
}

struct ClassicHeader {
    bytes: Vec<u8>,
    /// Whether numbers of things have 64 bits.
    wide: bool,
}

impl ClassicHeader {
    fn word(&mut self, word: u32) {
        self.bytes.extend(word.to_be_bytes());
    }

    /// A number of things. Those of a narrow file are below 2^32.
    fn count(&mut self, count: u64) {
        if self.wide {
            self.bytes.extend(count.to_be_bytes());
        } else {
            self.word(u32::try_from(count).unwrap_or(u32::MAX));
        }
    }

    fn list(&mut self, tag: u32, count: usize) {
        self.word(if count > 0 { tag } else { 0 });
        self.count(count as u64);
    }

    fn padded(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.bytes.extend(std::iter::repeat_n(
            0,
            bytes.len().next_multiple_of(4) - bytes.len(),
        ));
    }

    fn text(&mut self, text: &str) {
        self.count(text.len() as u64);
        self.padded(text.as_bytes());
    }

    fn attributes(&mut self, attributes: &[(String, ClassicValue)]) {
        const ATTRIBUTES: u32 = 12;
        self.list(ATTRIBUTES, attributes.len());
        for (name, value) in attributes {
            let (kind, bytes) = (value.kind(), value.bytes());
            self.text(name);
            self.word(kind.code());
            self.count((bytes.len() / kind.size()) as u64);
            self.padded(&bytes);
        }
    }
}

/// A file whose header is written.
#[derive(Debug)]
pub(super) struct ClassicWriter<W> {
    out: W,
    /// Where each variable begins, its shape, and its size of a cell.
    variables: Vec<(u64, Vec<usize>, usize)>,
}

impl<W: Write + Seek> ClassicWriter<W> {
    /// Writes the header and the variables that have their values.
    pub(super) fn new(mut out: W, contents: &Contents) -> Result<Self> {
        let (header, ranges) = contents.header()?;
        out.write_all(&header).map_err(failed)?;
        let mut variables = Vec::new();
        for (variable, range) in contents.variables.iter().zip(&ranges) {
            let shape = variable.dimensions.iter().map(|dimension| {
                usize::try_from(contents.dimensions[*dimension].1).unwrap_or(usize::MAX)
            });
            if let Some(values) = &variable.values {
                let bytes = values.bytes();
                if bytes.len() as u64 != range.end - range.start {
                    return Err(Error::invalid(format!(
                        "variable `{}` has other values than cells",
                        variable.name
                    )));
                }
                put_at(&mut out, range.start, &bytes)?;
            }
            variables.push((range.start, shape.collect(), variable.kind.size()));
        }
        // What fills the last words up is there whatever comes first.
        for range in &ranges {
            for at in range.end..range.end.next_multiple_of(4) {
                put_at(&mut out, at, &[0])?;
            }
        }
        Ok(Self { out, variables })
    }

    /// Writes a box of a variable: a range along each dimension, and its cells in C order.
    pub(super) fn put(
        &mut self,
        variable: usize,
        ranges: &[Range<usize>],
        mut cells: Cells,
    ) -> Result<()> {
        let (begin, shape, size) = &self.variables[variable];
        let bytes = cells.as_bytes_mut();
        turn(bytes, *size);
        // Trailing dimensions that are whole are one run with the one before them.
        let whole = |axis: &usize| ranges[*axis].len() == shape[*axis];
        let apart = (0..shape.len())
            .rev()
            .find(|axis| !whole(axis))
            .unwrap_or(0);
        let run: usize = ranges[apart..].iter().map(ExactSizeIterator::len).product();
        let runs: usize = ranges[..apart].iter().map(ExactSizeIterator::len).product();
        for number in 0..runs {
            let (mut rest, mut index) = (number, vec![0; shape.len()]);
            for axis in (0..apart).rev() {
                index[axis] = rest % ranges[axis].len();
                rest /= ranges[axis].len();
            }
            let at = (0..shape.len()).fold(0, |at, axis| {
                at * shape[axis] as u64 + (ranges[axis].start + index[axis]) as u64
            });
            let from = number * run * size;
            put_at(
                &mut self.out,
                begin + at * *size as u64,
                &bytes[from..from + run * size],
            )?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<W> {
        self.out
            .seek(SeekFrom::End(0))
            .and_then(|_| self.out.flush())
            .map_err(failed)?;
        Ok(self.out)
    }
}

fn put_at(out: &mut (impl Write + Seek), at: u64, bytes: &[u8]) -> Result<()> {
    // A seek to where it stands keeps what is buffered.
    if out.stream_position().map_err(failed)? != at {
        out.seek(SeekFrom::Start(at)).map_err(failed)?;
    }
    out.write_all(bytes).map_err(failed)
}

fn failed(cause: std::io::Error) -> Error {
    Error::unavailable("the NetCDF file cannot be written").because(cause)
}

/// Turns the bytes of numbers of this machine, so that the most significant come first.
fn turn(bytes: &mut [u8], size: usize) {
    if cfg!(target_endian = "little") {
        match size {
            2 => bytes
                .as_chunks_mut::<2>()
                .0
                .iter_mut()
                .for_each(|word| word.reverse()),
            4 => bytes
                .as_chunks_mut::<4>()
                .0
                .iter_mut()
                .for_each(|word| word.reverse()),
            8 => bytes
                .as_chunks_mut::<8>()
                .0
                .iter_mut()
                .for_each(|word| word.reverse()),
            _ => {}
        }
    }
}
