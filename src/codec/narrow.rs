//! Doubles that are small whole numbers times one power of two, such as the areas that weights are,
//! as these whole numbers.

use super::image::{Transform, pow2_f64};
use crate::array::DType;

/// The size of a whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// One byte.
    One,
    /// Two bytes.
    Two,
    /// Four bytes.
    Four,
}

impl Width {
    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
        }
    }
}

/// What makes cells the narrowest, if they are doubles and all of them such numbers.
pub(super) fn transform(dtype: DType, cells: &[u64]) -> Option<Transform> {
    let Some(Transform::Fixed { exponent, .. }) =
        (dtype == DType::F64).then(|| Transform::delta(dtype, cells, f64::NAN.to_bits()))
    else {
        return None;
    };
    let scale = pow2_f64(-exponent);
    let most = cells.iter().fold(0.0, |most, &bits| {
        f64::max(most, f64::from_bits(bits) * scale)
    });
    // Negative numbers, and NaN, which is the one other thing that has a fixed-point image.
    let strange = cells
        .iter()
        .fold(false, |any, &bits| any | (bits > f64::INFINITY.to_bits()));
    let fits = |(width, greatest): &(Width, u32)| (most <= f64::from(*greatest)).then_some(*width);
    let widths = [
        (Width::One, u32::from(u8::MAX)),
        (Width::Two, u32::from(u16::MAX)),
        (Width::Four, u32::MAX),
    ];
    let width = widths.iter().find_map(fits).filter(|_| !strange)?;
    Some(Transform::Narrow { exponent, width })
}

/// 2^52: added to a whole number below 2^32, it leaves that number in the low bits.
const MAGIC: f64 = 4_503_599_627_370_496.0;

/// The whole numbers of cells, as bytes.
pub(super) fn apply(cells: &[u64], exponent: i16, width: Width, plain: &mut [u8]) {
    let scale = pow2_f64(-exponent);
    let number = |bits: u64| {
        (f64::from_bits(bits) * scale + MAGIC)
            .to_bits()
            .to_le_bytes()
    };
    match width {
        Width::One => plain
            .iter_mut()
            .zip(cells)
            .for_each(|(to, &bits)| *to = number(bits)[0]),
        Width::Two => fill::<2>(plain, cells, number),
        Width::Four => fill::<4>(plain, cells, number),
    }
}

fn fill<const N: usize>(plain: &mut [u8], cells: &[u64], number: impl Fn(u64) -> [u8; 8]) {
    for (to, &bits) in plain.as_chunks_mut::<N>().0.iter_mut().zip(cells) {
        let bytes = number(bits);
        *to = std::array::from_fn(|i| bytes[i]);
    }
}

/// The cells of whole numbers, from number `at` on: the inverse of [`apply`].
pub(super) fn undo(plain: &[u8], exponent: i16, width: Width, at: usize, cells: &mut [u64]) {
    let scale = pow2_f64(exponent);
    let plain = &plain[at * width.bytes()..][..cells.len() * width.bytes()];
    let cell = |number: u32| (f64::from(number) * scale).to_bits();
    match width {
        Width::One => cells
            .iter_mut()
            .zip(plain)
            .for_each(|(to, &number)| *to = cell(u32::from(number))),
        Width::Two => {
            let numbers = plain
                .as_chunks()
                .0
                .iter()
                .map(|bytes| u32::from(u16::from_le_bytes(*bytes)));
            cells
                .iter_mut()
                .zip(numbers)
                .for_each(|(to, number)| *to = cell(number));
        }
        Width::Four => {
            let numbers = plain
                .as_chunks()
                .0
                .iter()
                .map(|bytes| u32::from_le_bytes(*bytes));
            cells
                .iter_mut()
                .zip(numbers)
                .for_each(|(to, number)| *to = cell(number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrow(cells: &[f64]) -> Option<(i16, Width)> {
        let bits: Vec<u64> = cells.iter().map(|cell| cell.to_bits()).collect();
        let Some(Transform::Narrow { exponent, width }) = transform(DType::F64, &bits) else {
            return None;
        };
        let mut plain = vec![0; width.bytes() * cells.len()];
        apply(&bits, exponent, width, &mut plain);
        let mut back = vec![0; cells.len()];
        undo(&plain, exponent, width, 0, &mut back);
        assert_eq!(back, bits);
        undo(&plain, exponent, width, 1, &mut back[..1]);
        assert_eq!(back[0], bits[1]);
        Some((exponent, width))
    }

    #[test]
    fn i2_small_multiples_become_the_narrowest_whole_numbers() {
        assert_eq!(narrow(&[0.0, 64.0, 16.0]), Some((4, Width::One)));
        assert_eq!(narrow(&[255.0, 1.0]), Some((0, Width::One)));
        assert_eq!(narrow(&[256.0, 1.0]), Some((0, Width::Two)));
        assert_eq!(narrow(&[0.125, 8191.875]), Some((-3, Width::Two)));
        assert_eq!(narrow(&[0.5, 2_147_483_647.5]), Some((-1, Width::Four)));
        assert_eq!(narrow(&[0.5, 2_147_483_648.0]), None);
        assert_eq!(narrow(&[0.0, 0.0]), Some((0, Width::One)));
    }

    #[test]
    fn what_is_no_small_multiple_stays_wide() {
        for strange in [
            -1.0,
            -0.0,
            f64::NAN,
            f64::INFINITY,
            0.1,
            f64::MIN_POSITIVE / 2.0,
            f64::MAX,
        ] {
            assert_eq!(narrow(&[1.0, strange]), None, "{strange}");
        }
    }
}
