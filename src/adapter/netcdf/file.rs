//! An open file: its header, and boxes of its variables.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use super::header::{self, Header, Variable};
use super::source::{self, Source};
use crate::array::{Array, DType};
use crate::error::{Error, Result};

/// [`NetCdf::read`] refuses a box of more bytes.
const BOX_BYTES_MAX: u64 = 1 << 30;

/// An open NetCDF file of a classic format (CDF-1, CDF-2 or CDF-5). Nothing but the header is held.
#[derive(Debug)]
pub struct NetCdf<R = BufReader<File>> {
    source: Source<R>,
    header: Header,
}

impl NetCdf {
    /// Opens a file and reads its header.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = crate::adapter::file::open(path)?;
        Self::from_reader(BufReader::new(file))
            .map_err(|cause| cause.within(format!("`{}` cannot be read as NetCDF", path.display())))
    }
}

/// Whether a file begins as NetCDF does, classic or not.
pub fn is_netcdf(path: impl AsRef<Path>) -> bool {
    let mut magic = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && (magic.starts_with(b"CDF") || magic == [0x89, b'H', b'D', b'F'])
}

impl<R: Read + Seek> NetCdf<R> {
    /// Reads the header of a file that is open, or held in memory.
    pub fn from_reader(reader: R) -> Result<Self> {
        let mut source = Source::new(reader)?;
        let header = header::read(&mut source)?;
        Ok(Self { source, header })
    }

    /// What the file says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The cells of a box of a variable, as stored: neither unpacked nor masked.
    ///
    /// An [`Invalid`](crate::ErrorKind::Invalid) error if there is no such variable of numbers, if the box is not within it or comes to
    /// more than 1 GiB, or if the file is damaged.
    pub fn read(&mut self, name: &str, start: &[u64], shape: &[u64]) -> Result<Array> {
        let refused = |why: String| Error::invalid(format!("variable `{name}`: {why}"));
        let variable = self.header.variable(name).ok_or_else(|| refused("the file has none of that name".to_owned()))?;
        let dtype = variable.dtype.ok_or_else(|| refused("it holds characters, not numbers".to_owned()))?;
        let whole = self.header.shape(variable);
        let inside = |axis: usize| start[axis].checked_add(shape[axis]).is_some_and(|end| end <= whole[axis]);
        if start.len() != whole.len() || shape.len() != whole.len() || !(0..whole.len()).all(inside) {
            return Err(refused(format!("a box of {shape:?} cells at {start:?} is not within {whole:?}")));
        }
        let bytes = shape.iter().try_fold(dtype.size() as u64, |bytes, len| bytes.checked_mul(*len));
        let Some(bytes) = bytes.filter(|bytes| *bytes <= BOX_BYTES_MAX) else {
            return Err(refused(format!("a box of {shape:?} cells is more than {} MiB; read it in parts", BOX_BYTES_MAX >> 20)));
        };
        let runs =
            Runs::new(&self.header, variable, start, shape).ok_or_else(|| refused("it is larger than any file".to_owned()))?;
        let sizes: Vec<usize> = shape.iter().map(|len| usize::try_from(*len).unwrap_or(usize::MAX)).collect();
        if bytes == 0 {
            return source::array(dtype, Vec::new(), &sizes);
        }
        self.source.check(runs.last, runs.len, &format!("the end of variable `{name}`"))?;
        let mut cells = vec![0; usize::try_from(bytes).map_err(|_| refused("it does not fit memory".to_owned()))?];
        let len = usize::try_from(runs.len).unwrap_or(usize::MAX).max(1);
        for (part, at) in cells.chunks_mut(len).zip(runs) {
            self.source.check(at, part.len() as u64, "a run of cells")?;
            self.source.fill(at, part)?;
        }
        source::array(dtype, cells, &sizes)
    }

    /// Refuses a variable of which the file does not have all cells, so that its shape can be believed.
    pub(super) fn check(&self, variable: &Variable) -> Result<()> {
        let shape = self.header.shape(variable);
        let outside = || Error::invalid(format!("variable `{}` is larger than any file", variable.name));
        let runs = Runs::new(&self.header, variable, &vec![0; shape.len()], &shape).ok_or_else(outside)?;
        self.source.check(runs.last, runs.len, &format!("the end of variable `{}`", variable.name))
    }

    /// All cells of a variable as doubles, and their type.
    pub(super) fn doubles(&mut self, name: &str) -> Result<(Vec<f64>, DType)> {
        let shape = self.header.variable(name).map(|variable| self.header.shape(variable)).unwrap_or_default();
        let array = self.read(name, &vec![0; shape.len()], &shape)?;
        Ok((array.iter_f64().collect(), array.dtype()))
    }
}

/// The places of the contiguous runs of bytes that a box is made of, in C order.
struct Runs {
    /// Offset of the box's first cell.
    first: u64,
    /// Bytes a run.
    len: u64,
    /// Offset of the last run.
    last: u64,
    /// Steps and counts of the axes in front of those that are contiguous.
    axes: Vec<(u64, u64)>,
    next: u64,
    count: u64,
}

impl Runs {
    fn new(header: &Header, variable: &Variable, start: &[u64], shape: &[u64]) -> Option<Self> {
        let whole = header.shape(variable);
        let mut strides = vec![variable.cell_bytes(); whole.len()];
        for axis in (0..whole.len().saturating_sub(1)).rev() {
            strides[axis] = strides[axis + 1].checked_mul(whole[axis + 1])?;
        }
        if header.is_record(variable) {
            strides[0] = header.record_bytes;
        }
        let mut len = variable.cell_bytes();
        let mut outer = whole.len();
        // A run grows by an axis as long as the axes behind it are whole and nothing lies between.
        while outer > 0 && strides[outer - 1] == len {
            outer -= 1;
            len = len.checked_mul(shape[outer])?;
            if shape[outer] != whole[outer] {
                break;
            }
        }
        let first = start
            .iter()
            .zip(&strides)
            .try_fold(variable.begin, |at, (start, stride)| at.checked_add(start.checked_mul(*stride)?))?;
        let axes: Vec<(u64, u64)> = strides.iter().copied().zip(shape.iter().copied()).take(outer).collect();
        let last = axes.iter().try_fold(first, |at, (stride, len)| at.checked_add(stride.checked_mul(len.saturating_sub(1))?))?;
        let count = axes.iter().try_fold(1_u64, |count, (_, len)| count.checked_mul(*len))?;
        Some(Self { first, len, last, axes, next: 0, count })
    }
}

impl Iterator for Runs {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        if self.next >= self.count {
            return None;
        }
        let mut rest = self.next;
        self.next += 1;
        // Within `last`, which is a number.
        Some(self.axes.iter().rev().fold(self.first, |at, (stride, len)| {
            let step = rest % len;
            rest /= len;
            at + step * stride
        }))
    }
}
