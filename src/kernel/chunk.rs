//! The cells of one chunk of one layer as the kernels see them: values, and how much of each cell
//! is valid.

use crate::array::{Cell, Cells, DType, with_cells};

use super::rule::{Op, Rule, Weighting};

/// The weight of a cell that is valid throughout, in level-0 cells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Full(pub(crate) f64);

/// One chunk of one layer, decoded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chunk {
    /// One value a cell; the fill value where the weight is 0.
    pub(crate) values: Cells,
    /// What else the layer needs to go on, 0 where the weight is; see [`Rule`].
    pub(crate) state: Vec<Cells>,
    /// The valid part of each cell, 0 where it is nodata; absent where every cell is valid
    /// throughout.
    pub(crate) weight: Option<Vec<f64>>,
}

impl Chunk {
    /// Whether every plane is the same, bit for bit.
    pub(crate) fn is(&self, other: &Chunk) -> bool {
        let same =
            |(a, b): (&Cells, &Cells)| a.dtype() == b.dtype() && a.as_bytes() == b.as_bytes();
        let state =
            self.state.len() == other.state.len() && self.state.iter().zip(&other.state).all(same);
        state && same((&self.values, &other.values)) && self.weight == other.weight
    }
}

/// The cells of a base chunk, and how much of each is valid.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weighed<'a> {
    values: &'a Cells,
    weight: Option<Vec<f64>>,
}

impl<'a> Weighed<'a> {
    /// A cell is valid unless it is NaN, the nodata value, or 0 in the mask.
    pub(crate) fn new(
        values: &'a Cells,
        nodata: Option<f64>,
        mask: Option<&[u8]>,
        full: Full,
    ) -> Self {
        let weight = match mask {
            Some(mask) => Some(
                mask.iter()
                    .map(|&valid| if valid == 0 { 0.0 } else { full.0 })
                    .collect(),
            ),
            None => with_cells!(values, |cells| weigh(cells, nodata, full)),
        };
        Self { values, weight }
    }

    pub(crate) fn values(&self) -> &Cells {
        self.values
    }

    /// The valid part of each cell, 0 where it is nodata; `None` where every cell is valid.
    pub(crate) fn weight(&self) -> Option<&[f64]> {
        self.weight.as_deref()
    }

    /// Values and weights of a layer over base cells; state planes are left to its operation.
    pub(super) fn lift(&self, rule: &Rule, full: Full) -> Chunk {
        let (dtype, fill) = (rule.dtype, rule.fill);
        let weight = match rule.weighting() {
            Weighting::Area => self.weight.clone(),
            Weighting::Mask => self.weight.as_ref().map(|weight| {
                weight
                    .iter()
                    .map(|&w| f64::from(u8::from(w > 0.0)))
                    .collect()
            }),
            Weighting::None => None,
        };
        let valid = |i: usize| self.weight.as_ref().is_none_or(|weight| weight[i] > 0.0);
        let values = match rule.op {
            Op::Count => match (dtype, &self.weight) {
                (DType::U64, _) => (0..self.values.len())
                    .map(|i| u64::from(valid(i)))
                    .collect::<Vec<_>>()
                    .into(),
                (_, None) => Cells::filled(dtype, self.values.len(), full.0),
                (_, Some(weight)) => weight.clone().into(),
            },
            Op::Sum => match (dtype, self.values) {
                (DType::I64, values) => with_cells!(values, |cells| masked(
                    cells,
                    valid,
                    i64::from_f64(fill),
                    widen_signed
                )),
                (DType::U64, values) => with_cells!(values, |cells| masked(
                    cells,
                    valid,
                    u64::from_f64(fill),
                    widen_unsigned
                )),
                (_, values) => with_cells!(values, |cells| masked(cells, valid, fill, |cell| cell
                    .to_f64()
                    * full.0)),
            },
            // Holes hold NaN or the nodata value as it happened to be put; a layer has one fill
            // value.
            _ if dtype == self.values.dtype() && self.weight.is_none() => self.values.clone(),
            _ if dtype == self.values.dtype() => {
                with_cells!(self.values, |cells| refilled(cells, valid, fill))
            }
            _ => with_cells!(self.values, |cells| match dtype {
                DType::F32 => masked(cells, valid, f32::from_f64(fill), |cell| f32::from_f64(
                    cell.to_f64()
                )),
                _ => masked(cells, valid, fill, Cell::to_f64),
            }),
        };
        let zero = |dtype: &DType| Cells::filled(*dtype, self.values.len(), 0.0);
        Chunk {
            values,
            state: rule.state[..rule.fixed].iter().map(zero).collect(),
            weight,
        }
    }
}

/// The weights of cells, unless all are valid.
fn weigh<T: Cell>(cells: &[T], nodata: Option<f64>, full: Full) -> Option<Vec<f64>> {
    let holes = match nodata.map(T::from_f64) {
        Some(nodata) => cells
            .iter()
            .fold(false, |any, cell| any | (*cell == nodata) | cell.is_nan()),
        None => cells.iter().fold(false, |any, cell| any | cell.is_nan()),
    };
    let nodata = nodata.map(T::from_f64);
    let weight = |cell: &T| {
        if cell.is_nan() || Some(*cell) == nodata {
            0.0
        } else {
            full.0
        }
    };
    holes.then(|| cells.iter().map(weight).collect())
}

fn masked<T: Cell, U: Cell>(
    cells: &[T],
    valid: impl Fn(usize) -> bool,
    fill: U,
    map: impl Fn(T) -> U,
) -> Cells {
    cells
        .iter()
        .enumerate()
        .map(|(i, &cell)| if valid(i) { map(cell) } else { fill })
        .collect::<Vec<_>>()
        .into()
}

fn refilled<T: Cell>(cells: &[T], valid: impl Fn(usize) -> bool, fill: f64) -> Cells {
    masked(cells, valid, T::from_f64(fill), |cell| cell)
}

/// A signed integer of at most 64 bits as i64. Integers of up to 64 bits are little-endian bytes
/// with sign extension.
fn widen_signed<T: Cell>(cell: T) -> i64 {
    let mut bytes = [if cell.to_f64() < 0.0 { 0xff } else { 0 }; 8];
    bytes[..size_of::<T>()].copy_from_slice(bytemuck::bytes_of(&cell));
    i64::from_ne_bytes(bytes)
}

/// An unsigned integer of at most 64 bits as u64.
fn widen_unsigned<T: Cell>(cell: T) -> u64 {
    let mut bytes = [0; 8];
    bytes[..size_of::<T>()].copy_from_slice(bytemuck::bytes_of(&cell));
    u64::from_ne_bytes(bytes)
}

const _: () = assert!(
    cfg!(target_endian = "little"),
    "cells are kept in memory as they are stored, little-endian"
);
