//! What the stored numbers of a file become in a grid, whatever the format.

use ndarray::{ArrayD, IxDyn};

use super::source::{FoundCells, SourceCells};
use super::unit::Conversion;
use crate::array::block::{self, BLOCK};
use crate::array::{Array, Cells, DType, c_order};
use crate::error::{Error, Result};
use crate::grid::Schema;

/// How the stored numbers of a file become values: `number * scale + offset` where they are packed,
/// and in which unit.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ValueRule {
    /// The type of the numbers.
    pub(super) stored: DType,
    /// Numbers that stand for no data, of that type; NaN always does.
    pub(super) missing: Vec<Cells>,
    /// The least and the greatest that is data.
    pub(super) valid: [Option<End>; 2],
    /// Scale and offset.
    pub(super) packing: Option<(f64, f64)>,
    /// From the file's unit to the grid's.
    pub(super) conversion: Conversion,
}

/// The end of a valid range.
#[cfg_attr(
    not(feature = "netcdf"),
    allow(dead_code, reason = "only NetCDF has valid ranges")
)]
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    /// A number of the stored type.
    Stored(Cells),
    /// A number that stored ones are compared with as doubles.
    Number(f64),
    /// The same for values, once they are unpacked, and how far rounding may have moved it.
    Value(f64, f64),
}

/// What the cells of a grid are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TargetCells {
    dtype: DType,
    nodata: Option<f64>,
    /// Whether the grid keeps which cells hold data beside the cells, of which no value is nodata.
    masked: bool,
}

impl TargetCells {
    pub(super) fn of(schema: &Schema) -> Self {
        Self {
            dtype: schema.dtype(),
            nodata: schema.nodata(),
            masked: schema.needs_mask(),
        }
    }

    /// What stands in a cell without data.
    fn blank(self) -> Cells {
        let value = if self.dtype.is_float() {
            f64::NAN
        } else {
            self.nodata.unwrap_or(0.0)
        };
        Cells::filled(self.dtype, 1, value)
    }
}

/// The cells of a grid for an array of numbers of a file, in its shape: parts of equal length along
/// its first axis have a rule each. `valid`, in the same shape, says which numbers are data (1),
/// where the file says it beside them.
pub(super) fn piece(
    numbers: Array,
    valid: Option<ArrayD<u8>>,
    rules: &[&ValueRule],
    target: TargetCells,
) -> Result<SourceCells> {
    let shape = numbers.shape().to_vec();
    let valid = valid.map(c_order);
    let values = decode(numbers.into_cells(), valid.as_deref(), rules, target);
    let mask = |valid: Vec<u8>| {
        let mask = ArrayD::from_shape_vec(IxDyn(&shape), valid);
        mask.map_err(|cause| {
            Error::invalid("the mask has other cells than the file").because(cause)
        })
    };
    let (array, valid) = (
        Array::from_cells(values.cells, &shape)?,
        values.valid.map(mask).transpose()?,
    );
    Ok(SourceCells {
        array,
        valid,
        found: Some(values.found),
    })
}

/// Cells as a grid has them.
#[derive(Clone, Debug, PartialEq)]
struct GridValues {
    cells: Cells,
    /// Which hold data (1), where their values cannot say it and not all do.
    valid: Option<Vec<u8>>,
    found: FoundCells,
}

/// The same of numbers in C order.
fn decode(
    numbers: Cells,
    valid: Option<&[u8]>,
    rules: &[&ValueRule],
    target: TargetCells,
) -> GridValues {
    let len = numbers.len();
    let run = len.div_ceil(rules.len().max(1)).max(1);
    let mut pass = Pass {
        target,
        blank: target.blank(),
        taken: target
            .nodata
            .map(|nodata| Cells::filled(target.dtype, 1, nodata)),
        // Integers of 64 bits are no doubles.
        in_place: numbers.dtype() == target.dtype && rules.iter().all(|rule| rule.is_plain()),
        valid: if target.masked {
            vec![1; len]
        } else {
            Vec::new()
        },
        found: FoundCells::default(),
    };
    let mut numbers = numbers;
    let mut values = if pass.in_place {
        None
    } else {
        Some(Cells::filled(target.dtype, len, 0.0))
    };
    for (at, rule) in (0..len).step_by(run).zip(rules) {
        for from in (at..len.min(at + run)).step_by(BLOCK) {
            let to = len.min(at + run).min(from + BLOCK);
            let valid = valid.map(|valid| &valid[from..to]);
            pass.block(rule, [from, to], valid, &mut numbers, values.as_mut());
        }
    }
    let all = pass.valid.iter().all(|valid| *valid != 0);
    GridValues {
        cells: values.unwrap_or(numbers),
        valid: Some(pass.valid).filter(|_| !all),
        found: pass.found,
    }
}

/// One pass over the numbers of a file.
struct Pass {
    target: TargetCells,
    blank: Cells,
    /// The grid's nodata value.
    taken: Option<Cells>,
    /// Whether numbers are values of the grid's type as they stand.
    in_place: bool,
    valid: Vec<u8>,
    found: FoundCells,
}

impl Pass {
    fn block(
        &mut self,
        rule: &ValueRule,
        [from, to]: [usize; 2],
        valid: Option<&[u8]>,
        numbers: &mut Cells,
        values: Option<&mut Cells>,
    ) {
        let bytes = |dtype: DType| from * dtype.size()..to * dtype.size();
        let (mut absent, mut doubles) = ([false; BLOCK], [0.0; BLOCK]);
        let (absent, doubles) = (&mut absent[..to - from], &mut doubles[..to - from]);
        if let Some(valid) = valid {
            absent
                .iter_mut()
                .zip(valid)
                .for_each(|(absent, valid)| *absent = *valid == 0);
        }
        let stored = &numbers.as_bytes()[bytes(rule.stored)];
        rule.mark(stored, absent);
        if !self.in_place
            || rule
                .valid
                .iter()
                .flatten()
                .any(|end| !matches!(end, End::Stored(_)))
        {
            block::load(rule.stored, stored, doubles);
            rule.unpack(doubles, absent);
        }
        let cells = match values {
            Some(values) => {
                let cells = &mut values.as_bytes_mut()[bytes(self.target.dtype)];
                block::store(self.target.dtype, doubles, cells);
                cells
            }
            None => &mut numbers.as_bytes_mut()[bytes(self.target.dtype)],
        };
        // What unpacking makes no number of is no data either.
        block::mark_nan(self.target.dtype, cells, absent);
        let count = |marks: &[bool]| marks.iter().map(|mark| u64::from(*mark)).sum::<u64>();
        let blanks = count(absent);
        self.found.data += (to - from) as u64 - blanks;
        if let Some(taken) = &self.taken {
            let mut either = [false; BLOCK];
            either[..to - from].copy_from_slice(absent);
            block::mark_equal(taken, cells, &mut either[..to - from]);
            self.found.collisions += count(&either[..to - from]) - blanks;
        }
        if blanks > 0 {
            block::lay(self.blank.as_bytes(), absent, cells);
            let valid = self.valid.get_mut(from..to).unwrap_or_default();
            valid
                .iter_mut()
                .zip(absent)
                .for_each(|(valid, absent)| *valid = u8::from(!*absent));
        }
    }
}

impl ValueRule {
    /// Whether numbers are values.
    fn is_plain(&self) -> bool {
        self.packing.is_none() && self.conversion.is_none()
    }

    /// Marks numbers that are no data.
    fn mark(&self, stored: &[u8], absent: &mut [bool]) {
        block::mark_nan(self.stored, stored, absent);
        self.missing
            .iter()
            .for_each(|missing| block::mark_equal(missing, stored, absent));
        for (end, greater) in self.valid.iter().zip([false, true]) {
            if let Some(End::Stored(end)) = end {
                block::mark_beyond(end, greater, stored, absent);
            }
        }
    }

    /// Numbers become values. Those beyond the valid range are marked.
    fn unpack(&self, doubles: &mut [f64], absent: &mut [bool]) {
        let [least, most] = &self.valid;
        let mut beyond = |doubles: &[f64], least: f64, most: f64| {
            absent
                .iter_mut()
                .zip(doubles)
                .for_each(|(absent, value)| *absent |= *value < least || *value > most);
        };
        let number = |end: &Option<End>, none: f64| {
            if let Some(End::Number(number)) = end {
                *number
            } else {
                none
            }
        };
        beyond(
            doubles,
            number(least, f64::NEG_INFINITY),
            number(most, f64::INFINITY),
        );
        if let Some((scale, offset)) = self.packing {
            doubles
                .iter_mut()
                .for_each(|value| *value = *value * scale + offset);
        }
        let least = if let Some(End::Value(least, within)) = least {
            least - within
        } else {
            f64::NEG_INFINITY
        };
        let most = if let Some(End::Value(most, within)) = most {
            most + within
        } else {
            f64::INFINITY
        };
        beyond(doubles, least, most);
        if !self.conversion.is_none() {
            doubles
                .iter_mut()
                .for_each(|value| *value = self.conversion.apply(*value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(stored: DType) -> ValueRule {
        ValueRule {
            stored,
            missing: Vec::new(),
            valid: [None, None],
            packing: None,
            conversion: Conversion::NONE,
        }
    }

    fn target(dtype: DType, nodata: Option<f64>) -> TargetCells {
        TargetCells {
            dtype,
            nodata,
            masked: !dtype.is_float() && nodata.is_none(),
        }
    }

    #[test]
    fn integers_of_64_bits_stay_exact() {
        let numbers = vec![i64::MAX, i64::MAX - 1, 1 << 53, (1 << 53) + 1];
        let rule = ValueRule {
            missing: vec![Cells::from(vec![i64::MAX])],
            ..rule(DType::I64)
        };
        let values = decode(
            numbers.into(),
            None,
            &[&rule],
            target(DType::I64, Some(0.0)),
        );
        assert_eq!(
            values.cells,
            Cells::from(vec![0, i64::MAX - 1, 1 << 53, (1 << 53) + 1])
        );
        assert_eq!(
            (values.valid, values.found),
            (
                None,
                FoundCells {
                    data: 3,
                    collisions: 0
                }
            )
        );
    }

    #[test]
    fn each_run_has_its_rule() {
        let (a, b) = (
            ValueRule {
                packing: Some((0.5, 1.0)),
                ..rule(DType::I16)
            },
            ValueRule {
                packing: Some((2.0, 0.0)),
                ..rule(DType::I16)
            },
        );
        let values = decode(
            vec![2_i16, 4, 6, 8].into(),
            Some(&[1, 0, 1, 1]),
            &[&a, &b],
            target(DType::F32, None),
        );
        let Cells::F32(cells) = values.cells else {
            panic!("of the grid's type")
        };
        assert_eq!(
            (cells[0], cells[1].is_nan(), cells[2], cells[3]),
            (2.0, true, 12.0, 16.0)
        );
        assert_eq!(
            values.found,
            FoundCells {
                data: 3,
                collisions: 0
            }
        );
    }

    #[test]
    fn what_is_absent_is_masked_where_no_value_can_say_it() {
        let rule = ValueRule {
            missing: vec![Cells::from(vec![7_u8])],
            ..rule(DType::U8)
        };
        let values = decode(
            vec![7_u8, 8, 0].into(),
            None,
            &[&rule],
            target(DType::U16, None),
        );
        assert_eq!(
            (values.cells, values.valid),
            (Cells::from(vec![0_u16, 8, 0]), Some(vec![0, 1, 1]))
        );
        let whole = decode(
            vec![6_u8, 8, 0].into(),
            None,
            &[&rule],
            target(DType::U8, None),
        );
        assert_eq!(
            (whole.cells, whole.valid),
            (Cells::from(vec![6_u8, 8, 0]), None)
        );
        let taken = decode(
            vec![7_u8, 8, 0].into(),
            None,
            &[&rule],
            target(DType::U8, Some(0.0)),
        );
        assert_eq!(
            (taken.cells, taken.valid),
            (Cells::from(vec![0_u8, 8, 0]), None)
        );
        assert_eq!(
            taken.found,
            FoundCells {
                data: 2,
                collisions: 1
            }
        );
    }

    #[test]
    fn ends_of_a_valid_range_hold_numbers_or_values() {
        let ends = |least, most| ValueRule {
            valid: [Some(least), Some(most)],
            packing: Some((0.1, 0.0)),
            ..rule(DType::I16)
        };
        let data = |rule: &ValueRule| {
            let numbers: Vec<i16> = (0..i16::try_from(BLOCK).expect("small") + 10).collect();
            decode(numbers.into(), None, &[rule], target(DType::F64, None))
                .found
                .data
        };
        assert_eq!(
            data(&ends(
                End::Stored(Cells::from(vec![10_i16])),
                End::Number(19.5)
            )),
            10
        );
        assert_eq!(
            data(&ends(End::Value(1.0, 1e-9), End::Value(2.0, 1e-9))),
            11
        );
        assert_eq!(data(&rule(DType::I16)), BLOCK as u64 + 10);
    }
}
