//! What is read of cells beside their values: which of them hold data, or how much of each does.
//!
//! It is read with the values, box by box, and laid together where any box has gaps. Where none
//! has, nothing is kept.

use ndarray::ArrayD;

use super::plan::ReadPlan;
use crate::array::{AnyTile, Bounds, Cell, Cells, DType, TileMut, Validity, with_view};
use crate::codec::{BlobSpec, DecodeError, decode_into, decode_plane_into};
use crate::kernel::{Chunk, copy_box, fill_box, for_each_row};
use crate::store::{BaseChunk, Gaps};

/// What is wanted beside the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Nothing: the values say it.
    Values,
    /// Which cells hold data.
    Validity,
    /// The valid part of each cell.
    Shares,
}

/// What is known of the cells of a box.
#[derive(Debug)]
pub(super) enum KnownBox {
    /// None holds data.
    Empty,
    /// All do, throughout; or the values say it.
    Whole,
    Valid(Vec<bool>),
    Shares(Vec<f64>),
}

/// A box inside an array: the array's shape, where the box starts, and its own shape.
#[derive(Clone, Copy)]
pub(super) struct Boxed<'a> {
    pub(super) of: &'a [usize],
    pub(super) start: &'a [usize],
    pub(super) shape: &'a [usize],
}

impl Boxed<'_> {
    fn take<T: Copy, U>(&self, cells: &[T], map: impl Fn(T) -> U) -> Vec<U> {
        let (zero, row) = (vec![0; self.of.len()], self.shape[self.shape.len() - 1]);
        let mut taken = Vec::with_capacity(self.shape.iter().product());
        for_each_row(
            (self.of, self.start),
            (self.shape, &zero),
            self.shape,
            |from, _| {
                taken.extend(cells[from..from + row].iter().map(|cell| map(*cell)));
            },
        );
        taken
    }
}

impl Wanted {
    /// What is known of a box of base cells.
    pub(super) fn of_base(self, chunk: &BaseChunk, at: Boxed<'_>) -> KnownBox {
        match (&chunk.mask, self) {
            (Some(mask), Self::Validity) => KnownBox::Valid(at.take(mask, |valid| valid != 0)),
            _ => KnownBox::Whole,
        }
    }

    /// What is known of a box of a layer's cells, of which a wholly valid one has the weight
    /// `full`.
    pub(super) fn of_layer(self, chunk: &Chunk, full: f64, at: Boxed<'_>) -> KnownBox {
        match (&chunk.weight, self) {
            (None, _) | (_, Self::Values) => KnownBox::Whole,
            (Some(weight), Self::Validity) => {
                KnownBox::Valid(at.take(weight, |weight| weight > 0.0))
            }
            (Some(weight), Self::Shares) => {
                KnownBox::Shares(at.take(weight, |weight| weight / full))
            }
        }
    }

    /// What is known of a box of a chunk from its planes behind the first: from the one that says
    /// it, of a number and a type.
    pub(super) fn of_planes(
        self,
        planes: &[Cells],
        (plane, full): (Option<(usize, DType)>, f64),
        at: Boxed<'_>,
    ) -> KnownBox {
        let plane = plane.and_then(|(number, _)| planes.get(number.checked_sub(1)?));
        match (plane, self) {
            (None, _) | (_, Self::Values) => KnownBox::Whole,
            (Some(Cells::U8(mask)), _) => KnownBox::Valid(at.take(mask, |valid| valid != 0)),
            (Some(Cells::F64(weight)), Self::Shares) => {
                KnownBox::Shares(at.take(weight, |weight| weight / full))
            }
            (Some(Cells::F64(weight)), Self::Validity) => {
                KnownBox::Valid(at.take(weight, |weight| weight > 0.0))
            }
            (Some(_), _) => KnownBox::Whole,
        }
    }

    /// Decodes a box of a blob into a tile, and what is known of it from the plane that says it, of
    /// a number and a type.
    pub(super) fn decode(
        self,
        (identity, blob): (&[u8], &[u8]),
        spec: &BlobSpec<'_>,
        (plane, full): (Option<(usize, DType)>, f64),
        start: &[usize],
        tile: &mut AnyTile<'_>,
    ) -> Result<KnownBox, DecodeError> {
        with_view!(AnyTile, tile, |tile| decode_into(
            identity, blob, spec, start, tile
        ))?;
        let shape = tile.shape().to_vec();
        match (self, plane) {
            (Self::Values, _) | (_, None) => Ok(KnownBox::Whole),
            (_, Some((plane, DType::U8))) => {
                let mask = decoded::<u8>((identity, blob), (spec, plane), (start, &shape))?;
                Ok(mask.map_or(KnownBox::Whole, |mask| {
                    KnownBox::Valid(mask.into_iter().map(|valid| valid != 0).collect())
                }))
            }
            (_, Some((plane, _))) => {
                let weight = decoded::<f64>((identity, blob), (spec, plane), (start, &shape))?;
                let known = |weight: Vec<f64>| match self {
                    Self::Shares => {
                        KnownBox::Shares(weight.into_iter().map(|weight| weight / full).collect())
                    }
                    _ => KnownBox::Valid(weight.into_iter().map(|weight| weight > 0.0).collect()),
                };
                Ok(weight.map_or(KnownBox::Whole, known))
            }
        }
    }
}

/// A box of a plane of a blob, if it has that plane.
fn decoded<T: Cell>(
    (identity, blob): (&[u8], &[u8]),
    of: (&BlobSpec<'_>, usize),
    (start, shape): (&[usize], &[usize]),
) -> Result<Option<Vec<T>>, DecodeError> {
    let mut cells = vec![T::zeroed(); shape.iter().product()];
    let mut tile = TileMut::whole(&mut cells, shape).map_err(|_| DecodeError::Request {
        reason: "a box of no cells",
    })?;
    let there = decode_plane_into(identity, blob, of, start, &mut tile)?;
    Ok(there.then_some(cells))
}

impl KnownBox {
    fn valid(&self) -> &[bool] {
        if let Self::Valid(valid) = self {
            valid
        } else {
            &[]
        }
    }

    fn shares(&self) -> &[f64] {
        if let Self::Shares(shares) = self {
            shares
        } else {
            &[]
        }
    }

    /// Gives the cells of a tile that hold no data the value that such cells have in answers.
    pub(super) fn blank(self, tile: &mut AnyTile<'_>, blank: f64) -> Self {
        match &self {
            Self::Empty => with_view!(AnyTile, tile, |tile| fill_cells(tile, blank)),
            Self::Valid(valid) => with_view!(AnyTile, tile, |tile| blank_cells(tile, valid, blank)),
            Self::Whole | Self::Shares(_) => {}
        }
        self
    }
}

fn fill_cells<T: Cell>(tile: &mut TileMut<'_, T>, value: f64) {
    let value = T::from_f64(value);
    (0..tile.rows()).for_each(|row| tile.row(row).fill(value));
}

fn blank_cells<T: Cell>(tile: &mut TileMut<'_, T>, valid: &[bool], blank: f64) {
    let (blank, row) = (
        T::from_f64(blank),
        tile.shape().last().copied().unwrap_or(1).max(1),
    );
    for (number, valid) in valid
        .chunks(row)
        .enumerate()
        .filter(|(_, valid)| valid.contains(&false))
    {
        tile.row(number)
            .iter_mut()
            .zip(valid)
            .filter(|(_, valid)| !**valid)
            .for_each(|(cell, _)| *cell = blank);
    }
}

/// What is known of the cells of an array.
#[derive(Clone, Debug)]
pub(super) struct KnownCells {
    pub(super) validity: Validity,
    /// The valid part of each cell, where that was wanted and is not the whole everywhere.
    pub(super) shares: Option<ArrayD<f64>>,
}

impl KnownCells {
    /// Lays together what is known of the boxes of an array. Beside them there is no data.
    pub(super) fn of(
        plan: &ReadPlan,
        shape: &[usize],
        boxes: &[Bounds],
        parts: &[KnownBox],
    ) -> Self {
        let values = match plan.gaps {
            Gaps::Values(nodata) => Validity::Values { nodata },
            Gaps::None | Gaps::Plane => Validity::All,
        };
        match plan.wanted {
            Wanted::Values => Self {
                validity: values,
                shares: None,
            },
            Wanted::Validity => Self {
                validity: Validity::of_mask(laid(
                    (shape, boxes),
                    parts,
                    (false, true),
                    KnownBox::valid,
                )),
                shares: None,
            },
            Wanted::Shares => Self {
                validity: values,
                shares: laid((shape, boxes), parts, (0.0, 1.0), KnownBox::shares),
            },
        }
    }
}

/// The parts of an array laid together; `None` if every cell is whole.
fn laid<T: Copy>(
    (shape, boxes): (&[usize], &[Bounds]),
    parts: &[KnownBox],
    (empty, whole): (T, T),
    cells: impl Fn(&KnownBox) -> &[T],
) -> Option<ArrayD<T>> {
    let known = || boxes.iter().zip(parts);
    let full = known()
        .filter(|(_, part)| matches!(part, KnownBox::Whole))
        .map(|(at, _)| at.shape.iter().product::<usize>());
    let len = shape.iter().product();
    if full.sum::<usize>() == len {
        return None;
    }
    let (mut all, zero) = (vec![empty; len], vec![0; shape.len()]);
    for (at, part) in known() {
        match part {
            KnownBox::Empty => {}
            KnownBox::Whole => fill_box(&mut all, (shape, &at.start), &at.shape, whole),
            KnownBox::Valid(_) | KnownBox::Shares(_) => {
                copy_box(
                    cells(part),
                    (&at.shape, &zero),
                    &mut all,
                    (shape, &at.start),
                    &at.shape,
                );
            }
        }
    }
    ArrayD::from_shape_vec(shape, all).ok()
}
