//! An open file: its header, and boxes of its variables.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use bytemuck::allocation::cast_vec;
use hdf5_reader::storage::{BytesStorage, DynStorage, FileStorage};
use hdf5_reader::{Dataset, H5Type, Hdf5File, OpenOptions, SliceInfo, SliceInfoElem};
use ndarray::ArrayD;
use netcdf_reader::classic::ClassicFile;
use netcdf_reader::{NcFile, NcSliceInfo, NcSliceInfoElem};

use super::filters;
use super::header::{Header, Variable, is_io};
use super::word::{NativeWord, Precision};
use crate::adapter::source::Fingerprint;
use crate::array::{Array, Cells, DType, c_order, with_dtype};
use crate::error::{Error, Result};

/// [`NetCdf::read`] refuses a box of more bytes, or of larger chunks.
const BOX_BYTES_MAX: u64 = 1 << 30;
/// Numbers of a coordinate or its bounds, at most: a small file can claim any count of cells that
/// were never written.
const COORDINATES_MAX: u64 = 1 << 25;
/// Decoded chunks that are held, in bytes: those of the 16 steps that an import reads by rows, if a
/// chunk is a step of up to 32 MiB.
const CHUNKS_BYTES: usize = 512 << 20;
/// How many they are, at most.
const CHUNKS_MAX: usize = 1 << 16;
/// Larger chunks are decoded one at a time: each thread would need memory for one.
const PARALLEL_CHUNK_BYTES_MAX: u64 = 32 << 20;

/// A NetCDF file: classic (CDF-1, CDF-2 or CDF-5) or NetCDF-4. Nothing is held but the header, and
/// while it is read the chunks that were read last.
pub struct NetCdf {
    header: Header,
    origin: FileOrigin,
    /// Where the cells come from; not there until the next read while the file is closed.
    source: OnceLock<FileSource>,
}

/// What the bytes of a file come from when it is opened again.
enum FileOrigin {
    /// A file, and what it was when its header was read.
    Path(PathBuf, Stamp),
    Memory(DynStorage),
}

/// What changes when a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
}

/// Where the cells come from.
enum FileSource {
    Classic(NcFile),
    /// Not an `NcFile`, which visits all groups to read a variable that can grow: without end where
    /// a group holds itself.
    Hdf5(Hdf5File),
}

impl fmt::Debug for NetCdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetCdf")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// Whether a file begins as NetCDF does.
pub fn is_netcdf(path: impl AsRef<Path>) -> bool {
    let mut magic = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && (magic.starts_with(b"CDF") || magic == [0x89, b'H', b'D', b'F'])
}

impl NetCdf {
    /// Opens a file and reads its header.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (storage, stamp) = stored(path)?;
        Self::new(storage, |_| FileOrigin::Path(path.to_owned(), stamp))
            .map_err(|cause| cause.within(format!("`{}` cannot be read as NetCDF", path.display())))
    }

    /// Reads the header of a file that is held in memory.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self> {
        Self::of_storage(Arc::new(BytesStorage::new(bytes.into())))
    }

    /// The same of bytes that stand anywhere.
    pub(super) fn of_storage(storage: DynStorage) -> Result<Self> {
        Self::new(storage, FileOrigin::Memory)
    }

    fn new(storage: DynStorage, origin: impl FnOnce(DynStorage) -> FileOrigin) -> Result<Self> {
        let (header, source) = guarded(|| {
            let file = NcFile::from_storage(storage.clone())?;
            if file.as_classic().is_some() {
                return Ok((Header::of(&file, None)?, FileSource::Classic(file)));
            }
            let hdf5 = Hdf5File::from_storage_with_options(storage.clone(), options())?;
            let (len, end) = (storage.len(), hdf5.superblock().eof_address);
            if end > len {
                return Err(netcdf_reader::Error::InvalidData(format!(
                    "the file has {len} bytes of {end}"
                )));
            }
            Ok((Header::of(&file, Some(&hdf5))?, FileSource::Hdf5(hdf5)))
        })?;
        Ok(Self {
            header,
            origin: origin(storage),
            source: OnceLock::from(source),
        })
    }

    /// Where the cells come from: the file is opened if it is closed. It must be as it was.
    fn source(&self) -> Result<&FileSource> {
        if let Some(source) = self.source.get() {
            return Ok(source);
        }
        let storage = match &self.origin {
            FileOrigin::Memory(storage) => storage.clone(),
            FileOrigin::Path(path, known) => {
                let (storage, stamp) = stored(path)?;
                if stamp != *known {
                    return Err(Error::invalid(
                        "the file was changed meanwhile; try again when nothing writes it",
                    ));
                }
                storage
            }
        };
        let source = guarded(|| {
            let file = NcFile::from_storage(storage.clone())?;
            let classic = file.as_classic().is_some();
            Ok(if classic {
                FileSource::Classic(file)
            } else {
                FileSource::Hdf5(Hdf5File::from_storage_with_options(storage, options())?)
            })
        })?;
        Ok(self.source.get_or_init(|| source))
    }

    /// What the file says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The cells of a box of a variable, as stored: neither unpacked nor masked.
    ///
    /// An [`Invalid`](crate::ErrorKind::Invalid) error if there is no such variable of numbers, if
    /// the box is not within it or comes to more than 1 GiB, or if the file is damaged.
    pub fn read(&self, name: &str, start: &[u64], shape: &[u64]) -> Result<Array> {
        let refused = |why: String| Error::invalid(format!("variable `{name}`: {why}"));
        let variable = self
            .header
            .variable(name)
            .ok_or_else(|| refused("the file has none of that name".to_owned()))?;
        let dtype = variable
            .dtype
            .ok_or_else(|| {
                refused(
                    "it holds no numbers; make numbers of it with `python3` first, or choose another with `--variable`"
                        .to_owned(),
                )
            })?;
        let whole = variable.shape();
        let inside = |axis: usize| {
            start[axis]
                .checked_add(shape[axis])
                .is_some_and(|end| end <= whole[axis])
        };
        if start.len() != whole.len() || shape.len() != whole.len() || !(0..whole.len()).all(inside)
        {
            return Err(refused(format!(
                "a box of {shape:?} cells at {start:?} is not within {whole:?}"
            )));
        }
        // An axis without cells does not make the others smaller.
        let bytes = shape.iter().try_fold(dtype.size() as u64, |bytes, len| {
            bytes.checked_mul((*len).max(1))
        });
        if bytes.is_none_or(|bytes| bytes > BOX_BYTES_MAX) {
            return Err(refused(format!(
                "a box of {shape:?} cells is more than {} MiB; read it in parts",
                BOX_BYTES_MAX >> 20
            )));
        }
        let sizes: Vec<usize> = shape
            .iter()
            .map(|len| usize::try_from(*len).unwrap_or(usize::MAX))
            .collect();
        if sizes.contains(&0) {
            return Ok(Array::filled(dtype, &sizes, 0.0));
        }
        let source = self.source()?;
        let cells = guarded(|| source.read(variable, dtype, start, shape));
        let cells =
            cells.map_err(|cause| cause.within(format!("variable `{name}` cannot be read")))?;
        let found = cells.len();
        Array::from_cells(cells, &sizes)
            .map_err(|_| refused(format!("the file has {found} of {shape:?} cells")))
    }

    /// What tells that the file is not what it was; `None` of one in memory.
    pub(super) fn fingerprint(&self) -> Result<Option<Fingerprint>> {
        match &self.origin {
            FileOrigin::Path(path, _) => crate::adapter::file::fingerprint(path).map(Some),
            FileOrigin::Memory(_) => Ok(None),
        }
    }

    /// Gives back the memory of the chunks that are held, and the file's descriptor, until the next
    /// read: of many files few are open at a time.
    pub(super) fn close(&mut self) {
        self.source = OnceLock::new();
    }

    /// Refuses a variable of which the file does not have the last cell, so that its shape can be
    /// believed.
    pub(super) fn check(&self, variable: &Variable) -> Result<()> {
        let last: Vec<u64> = variable
            .shape()
            .iter()
            .map(|len| len.saturating_sub(1))
            .collect();
        self.read(&variable.name, &last, &vec![1; last.len()])
            .map(drop)
    }

    /// All texts of a variable: one a cell, or of characters one a run along the last axis.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>> {
        let refused = |why: String| Error::invalid(format!("variable `{name}`: {why}"));
        let variable = self
            .header
            .variable(name)
            .ok_or_else(|| refused("the file has none of that name".to_owned()))?;
        let shape = variable.shape();
        let count = shape
            .iter()
            .try_fold(1_u64, |count, len| count.checked_mul(*len));
        if count.is_none_or(|count| count > COORDINATES_MAX) {
            return Err(refused(format!(
                "texts of {shape:?} cells are more than {COORDINATES_MAX}"
            )));
        }
        let source = self.source()?;
        let texts = guarded(|| source.texts(variable))
            .map_err(|cause| cause.within(format!("variable `{name}` cannot be read")))?;
        let runs = if variable.letters {
            &shape[..shape.len().saturating_sub(1)]
        } else {
            &shape[..]
        };
        if texts.len() as u64 != runs.iter().product::<u64>() {
            return Err(refused(format!(
                "it has {} texts for {runs:?} cells",
                texts.len()
            )));
        }
        Ok(texts)
    }

    /// All cells of a coordinate variable, or of its bounds.
    pub(super) fn whole(&self, variable: &Variable) -> Result<Array> {
        let shape = variable.shape();
        let count = shape
            .iter()
            .try_fold(1_u64, |count, len| count.checked_mul(*len));
        if count.is_none_or(|count| count > COORDINATES_MAX) {
            return Err(Error::invalid(format!(
                "variable `{}`: coordinates of {shape:?} cells are more than {COORDINATES_MAX}",
                variable.name
            )));
        }
        self.read(&variable.name, &vec![0; shape.len()], &shape)
    }
}

impl FileSource {
    /// The numbers of a box, in C order.
    fn read(
        &self,
        variable: &Variable,
        dtype: DType,
        start: &[u64],
        shape: &[u64],
    ) -> netcdf_reader::Result<Cells> {
        let ranges = start
            .iter()
            .zip(shape)
            .map(|(start, len)| (*start, start + len));
        match self {
            FileSource::Classic(file) => {
                let selections = ranges
                    .map(|(start, end)| NcSliceInfoElem::Slice {
                        start,
                        end,
                        step: 1,
                    })
                    .collect();
                let file = file
                    .as_classic()
                    .ok_or(netcdf_reader::Error::InvalidMagic)?;
                classic(
                    file,
                    &variable.stored_name,
                    dtype,
                    &NcSliceInfo { selections },
                )
            }
            FileSource::Hdf5(file) => {
                let selections = ranges
                    .map(|(start, end)| SliceInfoElem::Slice {
                        start,
                        end,
                        step: 1,
                    })
                    .collect();
                let dataset = file.dataset(&variable.stored_name)?;
                // Another variable may have made the dimension longer.
                let whole = variable.shape();
                let fill = dataset.fill_value().and_then(|fill| fill.value.as_ref());
                if dataset.shape() != whole && fill.is_none() {
                    let why = format!(
                        "it has {:?} of {whole:?} cells, and nothing says what the others are",
                        dataset.shape()
                    );
                    return Err(netcdf_reader::Error::InvalidData(why));
                }
                words(
                    &dataset.with_padded_shape(&whole)?,
                    dtype,
                    &SliceInfo { selections },
                )
            }
        }
    }
}

fn classic(
    file: &ClassicFile,
    name: &str,
    dtype: DType,
    selection: &NcSliceInfo,
) -> netcdf_reader::Result<Cells> {
    with_dtype!(dtype, |T| file
        .read_variable_slice::<T>(name, selection)
        .map(|cells| Cells::from(c_order(cells))))
}

fn words(dataset: &Dataset, dtype: DType, selection: &SliceInfo) -> netcdf_reader::Result<Cells> {
    fn of<W>(dataset: &Dataset, selection: &SliceInfo) -> netcdf_reader::Result<Vec<W>>
    where
        NativeWord<W>: H5Type + Copy,
    {
        let cells = dataset
            .chunks()
            .unwrap_or_default()
            .into_iter()
            .map(u64::from)
            .fold(1, u64::saturating_mul);
        let parallel = cells.saturating_mul(size_of::<W>() as u64) <= PARALLEL_CHUNK_BYTES_MAX;
        let words: ArrayD<NativeWord<W>> = if parallel {
            dataset.read_slice_parallel(selection)?
        } else {
            dataset.read_slice(selection)?
        };
        Ok(c_order(words).into_iter().map(|word| word.0).collect())
    }
    let number = Precision::of(&dataset.raw_datatype()?)?;
    macro_rules! integers {
        ($word:ty as $type:ty) => {
            Cells::from(number.of_each(cast_vec::<_, $type>(of::<$word>(dataset, selection)?)))
        };
    }
    Ok(match dtype {
        DType::U8 => integers!(u8 as u8),
        DType::I8 => integers!(u8 as i8),
        DType::U16 => integers!(u16 as u16),
        DType::I16 => integers!(u16 as i16),
        DType::U32 => integers!(u32 as u32),
        DType::I32 => integers!(u32 as i32),
        DType::U64 => integers!(u64 as u64),
        DType::I64 => integers!(u64 as i64),
        DType::F32 => Cells::from(cast_vec::<_, f32>(of::<u32>(dataset, selection)?)),
        DType::F64 => Cells::from(cast_vec::<_, f64>(of::<u64>(dataset, selection)?)),
    })
}

impl FileSource {
    fn texts(&self, variable: &Variable) -> netcdf_reader::Result<Vec<String>> {
        match self {
            FileSource::Classic(file) => file.read_variable_as_strings(&variable.stored_name),
            FileSource::Hdf5(file) => {
                let cells = file.dataset(&variable.stored_name)?.read_strings()?;
                if !variable.letters {
                    return Ok(cells);
                }
                let len = variable
                    .shape()
                    .last()
                    .map_or(1, |len| usize::try_from(*len).unwrap_or(usize::MAX));
                Ok(cells
                    .chunks(len.max(1))
                    .map(|letters| letters.concat())
                    .collect())
            }
        }
    }
}

/// The bytes of a file. Not mapped into memory: where another process cuts a mapped file, reading
/// it ends this one.
fn stored(path: &Path) -> Result<(DynStorage, Stamp)> {
    let file = crate::adapter::file::open(path)?;
    let failed =
        |cause: std::io::Error| Error::unavailable("the file cannot be read").because(cause);
    let found = file.metadata().map_err(failed)?;
    let stamp = Stamp {
        len: found.len(),
        modified: found.modified().ok(),
    };
    let storage: DynStorage = Arc::new(guarded(|| Ok(FileStorage::from_file(file)?))?);
    Ok((storage, stamp))
}

/// How NetCDF-4 is read. What other files it names is not: no resolver of them is set.
fn options() -> OpenOptions {
    let bytes_max = usize::try_from(BOX_BYTES_MAX).unwrap_or(usize::MAX);
    OpenOptions::default()
        .with_filter_registry(filters::registry(BOX_BYTES_MAX))
        .with_chunk_cache_bytes(CHUNKS_BYTES)
        .with_chunk_cache_slots(CHUNKS_MAX)
        .with_max_chunk_bytes(bytes_max)
        .with_max_read_bytes(bytes_max)
}

/// What a library answers. They are hardened, but a panic of theirs over a damaged file would be
/// ours.
pub(super) fn guarded<T>(call: impl FnOnce() -> netcdf_reader::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(answer) => answer.map_err(refused),
        Err(_) => Err(Error::invalid(
            "the file is damaged in a way that was not foreseen",
        )),
    }
}

fn refused(cause: netcdf_reader::Error) -> Error {
    let error = if is_io(&cause) {
        Error::unavailable("the file cannot be read")
    } else {
        Error::invalid(
            "the file is damaged, or of a kind that is not read; `nccopy -k cdf5 FILE CLASSIC.nc` makes a classic file of what it can read, with `-V VARIABLE,COORDINATE,..` of some of it; where a filter is unknown to it too, write the file with `zlib`",
        )
    };
    // As text: the libraries' errors tell their causes themselves.
    error.because(cause.to_string())
}
