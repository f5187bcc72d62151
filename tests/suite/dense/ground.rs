//! Every cell that is kept, densely, at the finest level of a history.

use gridstone::array::Cells;
use gridstone::{Array, DType};

use super::space::{Space, Span};

/// A value of any cell type, exactly.
#[derive(Clone, Copy, Debug)]
pub enum Num {
    Int(i128),
    Float(f64),
}

impl Num {
    pub fn real(self) -> f64 {
        match self {
            Num::Int(value) => value as f64,
            Num::Float(value) => value,
        }
    }

    /// The same number; all NaN are one.
    pub fn same(self, other: Num) -> bool {
        match (self, other) {
            (Num::Int(a), Num::Int(b)) => a == b,
            (Num::Float(a), Num::Float(b)) => {
                a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
            }
            _ => false,
        }
    }

    /// The order of numbers of one type.
    pub fn order(self, other: Num) -> std::cmp::Ordering {
        match (self, other) {
            (Num::Int(a), Num::Int(b)) => a.cmp(&b),
            (a, b) => a.real().total_cmp(&b.real()),
        }
    }
}

/// The cells of an array in C order.
pub fn nums(array: &Array) -> Vec<Num> {
    fn ints<T: Copy + Into<i128>>(cells: &[T]) -> Vec<Num> {
        cells.iter().map(|&cell| Num::Int(cell.into())).collect()
    }
    match array.to_cells() {
        Cells::U8(cells) => ints(&cells),
        Cells::I8(cells) => ints(&cells),
        Cells::U16(cells) => ints(&cells),
        Cells::I16(cells) => ints(&cells),
        Cells::U32(cells) => ints(&cells),
        Cells::I32(cells) => ints(&cells),
        Cells::U64(cells) => ints(&cells),
        Cells::I64(cells) => ints(&cells),
        Cells::F32(cells) => cells.iter().map(|&cell| Num::Float(cell.into())).collect(),
        Cells::F64(cells) => cells.iter().map(|&cell| Num::Float(cell)).collect(),
    }
}

/// An array of a cell type.
pub fn array(dtype: DType, shape: &[usize], nums: &[Num]) -> Array {
    fn shaped<T: gridstone::array::Cell>(shape: &[usize], cells: Vec<T>) -> Array {
        Array::from(ndarray::ArrayD::from_shape_vec(shape, cells).unwrap())
    }
    fn ints<T: gridstone::array::Cell + TryFrom<i128>>(shape: &[usize], nums: &[Num]) -> Array {
        let int = |num: &Num| match num {
            Num::Int(value) => T::try_from(*value).ok().unwrap(),
            Num::Float(value) => panic!("{value} in an array of integers"),
        };
        shaped(shape, nums.iter().map(int).collect::<Vec<T>>())
    }
    match dtype {
        DType::U8 => ints::<u8>(shape, nums),
        DType::I8 => ints::<i8>(shape, nums),
        DType::U16 => ints::<u16>(shape, nums),
        DType::I16 => ints::<i16>(shape, nums),
        DType::U32 => ints::<u32>(shape, nums),
        DType::I32 => ints::<i32>(shape, nums),
        DType::U64 => ints::<u64>(shape, nums),
        DType::I64 => ints::<i64>(shape, nums),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "made of numbers of this type"
        )]
        DType::F32 => shaped(shape, nums.iter().map(|num| num.real() as f32).collect()),
        DType::F64 => shaped(shape, nums.iter().map(|num| num.real()).collect()),
    }
}

/// The least and the greatest number of an integer type.
pub fn limits(dtype: DType) -> (i128, i128) {
    let bits = 8 * dtype.size();
    if dtype.is_signed() {
        (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    } else {
        (0, (1 << bits) - 1)
    }
}

/// The cells: `None` where there is no data.
#[derive(Clone, Debug)]
pub struct Ground {
    pub cells: Vec<Option<Num>>,
    strides: Vec<usize>,
}

impl Ground {
    pub fn new(space: &Space) -> Self {
        let mut strides = vec![1; space.lines.len()];
        for axis in (1..space.lines.len()).rev() {
            strides[axis - 1] = strides[axis] * space.lines[axis].len();
        }
        Self {
            cells: vec![None; strides[0] * space.lines[0].len()],
            strides,
        }
    }

    /// The places of all kept cells of a box, in C order.
    pub fn places(&self, space: &Space, spans: &[Span]) -> Vec<usize> {
        let lists = space
            .lines
            .iter()
            .zip(spans)
            .map(|(line, span)| line.kept(*span));
        lists
            .zip(&self.strides)
            .fold(vec![0], |places, (list, stride)| {
                places
                    .iter()
                    .flat_map(|place| list.iter().map(move |at| place + at * stride))
                    .collect()
            })
    }

    /// The values of a box, in C order.
    pub fn values<'a>(
        &'a self,
        space: &Space,
        spans: &[Span],
    ) -> impl Iterator<Item = Num> + use<'a> {
        self.places(space, spans)
            .into_iter()
            .filter_map(|place| self.cells[place])
    }

    pub fn any(&self, space: &Space, spans: &[Span]) -> bool {
        self.values(space, spans).next().is_some()
    }
}
