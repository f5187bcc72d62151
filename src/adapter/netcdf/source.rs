//! The bytes of a file, big-endian, none of which is believed.

use std::io::{ErrorKind as IoKind, Read, Seek, SeekFrom};

use crate::array::{Array, Cell, Cells, DType, with_dtype};
use crate::error::{Error, Result};

/// A file whose length is known, read at any place.
#[derive(Debug)]
pub(super) struct Source<R> {
    reader: R,
    len: u64,
    /// Where the reader stands, unless a read has failed.
    at: Option<u64>,
}

impl<R: Read + Seek> Source<R> {
    pub(super) fn new(mut reader: R) -> Result<Self> {
        let len = reader.seek(SeekFrom::End(0)).map_err(|cause| unreadable(&cause))?;
        Ok(Self { reader, len, at: None })
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Refuses a place outside the file, before anything is allocated for it.
    pub(super) fn check(&self, at: u64, len: u64, what: &str) -> Result<()> {
        match at.checked_add(len).filter(|end| *end <= self.len) {
            Some(_) => Ok(()),
            None => Err(Error::invalid(format!(
                "the file is truncated or damaged: {what} should be {len} bytes at offset {at} of a file of {} bytes",
                self.len
            ))),
        }
    }

    /// Fills a buffer from a place that was checked.
    pub(super) fn fill(&mut self, at: u64, bytes: &mut [u8]) -> Result<()> {
        // Seeking throws away what was read ahead.
        if self.at.take() != Some(at) {
            self.reader.seek(SeekFrom::Start(at)).map_err(|cause| unreadable(&cause))?;
        }
        self.reader.read_exact(bytes).map_err(|cause| unreadable(&cause))?;
        self.at = Some(at + bytes.len() as u64);
        Ok(())
    }

    /// `len` bytes at a place, `what` for the error if the file has no such bytes.
    pub(super) fn bytes(&mut self, at: u64, len: u64, what: &str) -> Result<Vec<u8>> {
        self.check(at, len, what)?;
        let len = usize::try_from(len).map_err(|_| Error::invalid(format!("{what} of {len} bytes does not fit memory")))?;
        let mut bytes = vec![0; len];
        self.fill(at, &mut bytes)?;
        Ok(bytes)
    }
}

fn unreadable(error: &std::io::Error) -> Error {
    let cause = std::io::Error::new(error.kind(), error.to_string());
    match error.kind() {
        IoKind::UnexpectedEof => Error::invalid("the file ends while it is read").because(cause),
        _ => Error::unavailable("the file cannot be read").because(cause),
    }
}

/// An unsigned number of at most eight bytes.
pub(super) fn unsigned(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The cells that big-endian bytes are.
pub(super) fn cells(dtype: DType, mut bytes: Vec<u8>) -> Cells {
    let size = dtype.size();
    bytes.truncate(bytes.len() / size * size);
    if cfg!(target_endian = "little") && size > 1 {
        bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    let mut cells = Cells::filled(dtype, bytes.len() / size, 0.0);
    cells.as_bytes_mut().copy_from_slice(&bytes);
    cells
}

/// The same as an array of a shape.
pub(super) fn array(dtype: DType, bytes: Vec<u8>, shape: &[usize]) -> Result<Array> {
    fn of<T: Cell>(mut cells: Cells, shape: &[usize]) -> Result<Array> {
        let cells = cells.as_mut::<T>().map(std::mem::take).unwrap_or_default();
        ndarray::ArrayD::from_shape_vec(ndarray::IxDyn(shape), cells)
            .map(Array::from)
            .map_err(|cause| Error::invalid("the variable has the wrong number of cells").because(cause))
    }
    let cells = cells(dtype, bytes);
    with_dtype!(dtype, |T| of::<T>(cells, shape))
}
