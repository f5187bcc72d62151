//! Short tuples, one entry an axis or a dimension: values that are copied, compared and hashed
//! without allocation.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// The most axes a grid can have.
pub const MAX_AXES: usize = 8;

/// At most [`MAX_AXES`] values, one an axis or one a dimension.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tuple<T> {
    values: [T; MAX_AXES],
    len: u8,
}

impl<T: Copy + Default> Tuple<T> {
    /// `len` times the same value.
    ///
    /// # Panics
    ///
    /// If `len` exceeds [`MAX_AXES`], which no [`Structure`](super::Structure) does.
    pub fn filled(len: usize, value: T) -> Self {
        (0..len).map(|_| value).collect()
    }
}

impl<T: Copy + Default> FromIterator<T> for Tuple<T> {
    /// # Panics
    ///
    /// If there are more than [`MAX_AXES`] values.
    fn from_iter<I: IntoIterator<Item = T>>(iter: I) -> Self {
        let mut values = [T::default(); MAX_AXES];
        let mut len = 0;
        for value in iter {
            assert!(
                usize::from(len) < MAX_AXES,
                "a tuple holds at most {MAX_AXES} values"
            );
            values[usize::from(len)] = value;
            len += 1;
        }
        Self { values, len }
    }
}

impl<T> Deref for Tuple<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[..usize::from(self.len)]
    }
}

impl<T> DerefMut for Tuple<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[..usize::from(self.len)]
    }
}

impl<T: fmt::Debug> fmt::Debug for Tuple<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

macro_rules! tuple {
    ($(#[$doc:meta])* $name:ident, $type:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Tuple<$type>);

        impl FromIterator<$type> for $name {
            /// # Panics
            ///
            /// If there are more than [`MAX_AXES`] values.
            fn from_iter<I: IntoIterator<Item = $type>>(iter: I) -> Self {
                Self(iter.into_iter().collect())
            }
        }

        impl From<&[$type]> for $name {
            /// # Panics
            ///
            /// If there are more than [`MAX_AXES`] values.
            fn from(values: &[$type]) -> Self {
                values.iter().copied().collect()
            }
        }

        impl<const N: usize> From<[$type; N]> for $name {
            fn from(values: [$type; N]) -> Self {
                const { assert!(N <= MAX_AXES) };
                values.into_iter().collect()
            }
        }

        impl Deref for $name {
            type Target = [$type];

            fn deref(&self) -> &[$type] {
                &self.0
            }
        }

        impl DerefMut for $name {
            fn deref_mut(&mut self) -> &mut [$type] {
                &mut self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

tuple! {
    /// The signed number of a cell along each axis, at some levels.
    CellIndex, i64
}
tuple! {
    /// The signed number of a chunk along each axis, at some levels.
    ChunkIndex, i64
}
tuple! {
    /// How many cells along each axis.
    Shape, u64
}
