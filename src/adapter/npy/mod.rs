//! NumPy's `.npy`: one array of any of the ten cell types and any shape.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use ndarray::{ArrayD, IxDyn, ShapeBuilder};

use super::file;
use crate::array::{Array, ArrayView, Cell, Cells, DType, with_dtype, with_view};
use crate::error::{Error, Result};

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Headers are multiples of this many bytes, so that the cells are aligned.
const ALIGNMENT: usize = 64;

/// Writes a file of format version 1.0: C order, little-endian. The file appears when it is
/// complete.
pub fn write<'a>(path: impl AsRef<Path>, array: impl Into<ArrayView<'a>>) -> Result<()> {
    file::replace(path.as_ref(), |out| write_to(out, array))
}

/// The same to anything that takes bytes.
pub fn write_to<'a>(mut out: impl Write, array: impl Into<ArrayView<'a>>) -> Result<()> {
    let array = array.into();
    let shape = array
        .shape()
        .iter()
        .map(|len| format!("{len},"))
        .collect::<String>();
    // NumPy itself writes a comma after a single length only; it reads both.
    let shape = if array.shape().len() == 1 {
        shape
    } else {
        shape.trim_end_matches(',').replace(',', ", ")
    };
    let code = type_code(array.dtype());
    let mut header = format!("{{'descr': '{code}', 'fortran_order': False, 'shape': ({shape}), }}");
    // Magic, version, the length of the header, and the newline that ends it.
    let fixed = MAGIC.len() + 2 + 2;
    let end = (fixed + header.len() + 1).next_multiple_of(ALIGNMENT);
    header.extend(std::iter::repeat_n(' ', end - fixed - header.len() - 1));
    header.push('\n');
    let len = u16::try_from(header.len())
        .map_err(|_| Error::invalid("the array has too many axes for a .npy file"))?;
    let mut put = |bytes: &[u8]| {
        out.write_all(bytes)
            .map_err(|cause| Error::unavailable("the array cannot be written").because(cause))
    };
    put(MAGIC)?;
    put(&[1, 0])?;
    put(&len.to_le_bytes())?;
    put(header.as_bytes())?;
    // In parts, so that a view of any layout is copied a little at a time.
    with_view!(ArrayView, &array, |view| {
        let mut cells = view.iter().copied();
        loop {
            let part: Vec<_> = cells.by_ref().take(1 << 16).collect();
            if part.is_empty() {
                break Ok(());
            }
            let size = size_of_val(&part[..1]);
            let mut bytes = bytemuck::cast_slice(&part).to_vec();
            to_little(&mut bytes, size);
            put(&bytes)?;
        }
    })
}

/// Reads a file of version 1 to 3, of either byte order and either memory order.
pub fn read(path: impl AsRef<Path>) -> Result<Array> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|cause| {
        Error::unavailable(format!("`{}` cannot be opened", path.display())).because(cause)
    })?;
    read_whole(BufReader::new(file))
        .map_err(|cause| cause.within(format!("`{}` cannot be read as .npy", path.display())))
}

/// The same from anything that gives bytes to its end: what stands behind the array is an error.
pub fn read_whole(mut input: impl Read) -> Result<Array> {
    let array = read_from(&mut input)?;
    let mut more = Vec::new();
    let read = input.take(1).read_to_end(&mut more);
    read.map_err(|cause| Error::unavailable("the .npy file cannot be read").because(cause))?;
    if more.is_empty() {
        return Ok(array);
    }
    Err(Error::invalid(
        "more stands behind the array in the .npy file; save each array to a file of its own, as with `numpy.save(FILE, array)`",
    ))
}

/// One array from anything that gives bytes, and none of those behind it. Memory grows with the
/// bytes that come, whatever the header claims.
pub fn read_from(mut input: impl Read) -> Result<Array> {
    let mut head = [0; 8];
    take(&mut input, &mut head)?;
    if !head.starts_with(MAGIC) {
        return Err(Error::invalid("the file is not a .npy file"));
    }
    let len = match head[6] {
        1 => {
            let mut len = [0; 2];
            take(&mut input, &mut len)?;
            u32::from(u16::from_le_bytes(len))
        }
        2 | 3 => {
            let mut len = [0; 4];
            take(&mut input, &mut len)?;
            u32::from_le_bytes(len)
        }
        version => {
            return Err(Error::invalid(format!(
                "the .npy file has version {version}, not 1 to 3"
            )));
        }
    };
    let header = take_all(&mut input, u64::from(len.min(1 << 16)))?;
    let header = String::from_utf8(header)
        .map_err(|cause| Error::invalid("the .npy header is not text").because(cause))?;
    if field(&header, "descr")?.starts_with('[') {
        return Err(Error::invalid(
            "the .npy file holds records, which are no cells; save one of their fields, as with `numpy.save(FILE, array['NAME'])`",
        ));
    }
    let (dtype, swapped) = type_of_code(quoted(&header, "descr")?)?;
    let fortran = field(&header, "fortran_order")?.starts_with("True");
    let shape = shape(&header)?;
    let bytes = shape
        .iter()
        .try_fold(dtype.size(), |bytes, len| bytes.checked_mul(*len));
    let bytes = bytes.filter(|bytes| *bytes <= isize::MAX.unsigned_abs());
    let bytes =
        bytes.ok_or_else(|| Error::invalid(format!("the .npy file claims the shape {shape:?}")))?;
    let mut data = take_all(&mut input, bytes as u64)?;
    if swapped {
        data.chunks_exact_mut(dtype.size())
            .for_each(<[u8]>::reverse);
    }
    to_little(&mut data, dtype.size());
    with_dtype!(dtype, |T| array::<T>(&data, &shape, fortran))
}

fn array<T: Cell>(bytes: &[u8], shape: &[usize], fortran: bool) -> Result<Array> {
    let mut cells = Cells::from(vec![T::zeroed(); bytes.len() / size_of::<T>()]);
    cells.as_bytes_mut().copy_from_slice(bytes);
    let cells = cells.as_mut::<T>().map(std::mem::take).unwrap_or_default();
    ArrayD::from_shape_vec(IxDyn(shape).set_f(fortran), cells)
        .map(Array::from)
        .map_err(|cause| {
            Error::invalid("the .npy file has the wrong number of cells").because(cause)
        })
}

/// From this machine's order to little-endian, or back.
fn to_little(bytes: &mut [u8], size: usize) {
    if cfg!(target_endian = "big") {
        bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
}

fn type_code(dtype: DType) -> String {
    let kind = if dtype.is_float() {
        'f'
    } else if dtype.is_signed() {
        'i'
    } else {
        'u'
    };
    let order = if dtype.size() == 1 { '|' } else { '<' };
    format!("{order}{kind}{}", dtype.size())
}

/// The type, and whether it is big-endian.
fn type_of_code(code: &str) -> Result<(DType, bool)> {
    let known = |dtype: &DType| type_code(*dtype).get(1..) == code.get(1..);
    match (DType::ALL.into_iter().find(known), code.chars().next()) {
        (Some(dtype), Some('<' | '|' | '=')) => Ok((dtype, false)),
        (Some(dtype), Some('>')) => Ok((dtype, true)),
        _ => Err(Error::invalid(format!(
            "the .npy file holds `{code}`, which is no cell type; convert it in Python, as with `numpy.save(FILE, array.astype('float32'))`"
        ))),
    }
}

/// What follows a key of the header, which is a Python dictionary.
fn field<'a>(header: &'a str, key: &str) -> Result<&'a str> {
    let rest = header
        .split_once(&format!("'{key}':"))
        .map(|(_, rest)| rest.trim_start());
    rest.ok_or_else(|| Error::invalid(format!("the .npy header does not state `{key}`")))
}

fn quoted<'a>(header: &'a str, key: &str) -> Result<&'a str> {
    let value = field(header, key)?
        .strip_prefix('\'')
        .and_then(|rest| rest.split_once('\''));
    value
        .map(|(value, _)| value)
        .ok_or_else(|| Error::invalid(format!("the .npy header has a strange `{key}`")))
}

fn shape(header: &str) -> Result<Vec<usize>> {
    let strange = || Error::invalid("the .npy header has a strange `shape`");
    let list = field(header, "shape")?
        .strip_prefix('(')
        .and_then(|rest| rest.split_once(')'))
        .ok_or_else(strange)?
        .0;
    let lengths = list.split(',').map(str::trim).filter(|len| !len.is_empty());
    lengths
        .map(|len| len.parse().map_err(|_| strange()))
        .collect()
}

fn take(input: &mut impl Read, bytes: &mut [u8]) -> Result<()> {
    let failed = |cause: io::Error| match cause.kind() {
        io::ErrorKind::UnexpectedEof => {
            Error::invalid("the .npy file ends too early").because(cause)
        }
        _ => Error::unavailable("the .npy file cannot be read").because(cause),
    };
    input.read_exact(bytes).map_err(failed)
}

fn take_all(input: &mut impl Read, len: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let got = input.take(len).read_to_end(&mut bytes);
    let got =
        got.map_err(|cause| Error::unavailable("the .npy file cannot be read").because(cause))?;
    if got as u64 != len {
        return Err(Error::invalid(format!(
            "the .npy file ends too early: {got} of {len} bytes"
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
