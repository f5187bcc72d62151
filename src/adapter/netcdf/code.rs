//! Numbers that stand for names: the enumerations of NetCDF-4.

use hdf5_reader::error::Result;
use hdf5_reader::{Datatype, H5Type};

/// A number of a variable, also where the file calls it a name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Code<T>(pub(super) T);

/// The type of the numbers.
fn numbers(dtype: &Datatype) -> &Datatype {
    match dtype {
        Datatype::Enum { base, .. } => base,
        other => other,
    }
}

impl<T: H5Type> H5Type for Code<T> {
    fn hdf5_type() -> Datatype {
        T::hdf5_type()
    }

    fn from_bytes(bytes: &[u8], dtype: &Datatype) -> Result<Self> {
        T::from_bytes(bytes, numbers(dtype)).map(Code)
    }

    fn element_size(dtype: &Datatype) -> usize {
        T::element_size(numbers(dtype))
    }
}
