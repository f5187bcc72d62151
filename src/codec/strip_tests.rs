use proptest::prelude::*;

use super::*;
use crate::array::{Cell, TileMut, with_dtype};

const FAST: Settings = Settings {
    codec: Codec::Fast,
    level: 1,
};

const fn small(level: i32) -> Settings {
    Settings {
        codec: Codec::Small,
        level,
    }
}

const FILTERS: [Filter; 5] = [
    Filter::None,
    Filter::Shuffle,
    Filter::Delta,
    Filter::Auto,
    Filter::Narrow,
];
const KEY: &[u8] = b"rain/0/1/2";

/// Chunks of a strip an image, and of several images a strip with fewer in the last one.
const SHAPES: [&[usize]; 4] = [&[3, 128, 128], &[20, 32, 64], &[2, 9, 32, 64], &[160, 130]];

fn images(shape: &[usize]) -> usize {
    shape[..shape.len().saturating_sub(2)].iter().product()
}

/// Cells of which every image is made of one seed: small numbers, or noise.
fn cells_of(dtype: DType, shape: &[usize], seeds: &[u8]) -> Cells {
    let image: usize = shape[shape.len().saturating_sub(2)..].iter().product();
    let mut cells = Cells::filled(dtype, image * images(shape), 0.0);
    with_dtype!(dtype, |T| {
        for (number, cell) in cells.as_mut::<T>().expect("typed").iter_mut().enumerate() {
            let (seed, at) = (
                u64::from(seeds[number / image % seeds.len()]),
                (number % image) as u64,
            );
            let hash = (at + 1).wrapping_mul(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> 40;
            *cell = T::from_f64(match seed % 4 {
                0 => seed as f64,
                1 => ((at / 7 + seed) % 50) as f64,
                2 => (hash % 100) as f64 / 3.0,
                _ => (hash % 3) as f64 * 64.0,
            });
        }
    });
    cells
}

fn planes<'a>(cells: &'a [Cells], filter: Filter) -> Vec<RawPlane<'a>> {
    cells
        .iter()
        .map(|cells| RawPlane::new(cells, filter, f64::NAN))
        .collect()
}

/// The blob of a chunk of `uint16` without a blob before, and its cells.
fn one(shape: &[usize], seeds: &[u8], level: i32) -> (Vec<u8>, [Cells; 1]) {
    let cells = [cells_of(DType::U16, shape, seeds)];
    (
        encode(
            KEY,
            &planes(&cells, Filter::Delta),
            shape,
            small(level),
            None,
        ),
        cells,
    )
}

#[test]
fn i2_a_blob_of_several_images_has_strips_of_rows_and_digests_where_they_are_of_use() {
    let (blob, _) = one(SHAPES[0], &[1, 4, 2], 1);
    let strips: Vec<_> = inspect(&blob)
        .expect("a blob")
        .iter()
        .map(|h| (h.first_row, h.encoding, h.digest != 0))
        .collect();
    let (packed, constant) = (
        (StripEncoding::Zstd, true),
        (StripEncoding::Constant, false),
    );
    let want = [[packed; 4], [constant; 4], [packed; 4]].concat();
    assert_eq!(
        strips,
        (0..)
            .step_by(32)
            .zip(want)
            .map(|(row, (encoding, digest))| (row, encoding, digest))
            .collect::<Vec<_>>()
    );
    let rows = |shape| {
        inspect(&one(shape, &[1], 1).0)
            .expect("a blob")
            .iter()
            .map(|h| h.first_row)
            .collect::<Vec<_>>()
    };
    assert_eq!(rows(&[9, 32, 64]), [0, 64, 128, 192, 256]);
    assert_eq!(rows(&[2, 32, 64]), [0]);
    assert_eq!(rows(&[128, 128]), [0]);
    assert_eq!(rows(&[1 << 16]), [0]);
}

/// Stores have it: what was written is known again by it.
#[test]
fn i2_the_digest_of_cells_has_this_value() {
    let digests: Vec<u128> = inspect(&one(SHAPES[0], &[1], 1).0)
        .expect("a blob")
        .iter()
        .map(|header| header.digest)
        .collect();
    assert_eq!(
        (digests.len(), digests[0]),
        (12, 318_539_894_329_657_234_255_123_824_248_667_123_866)
    );
}

#[test]
fn i2_a_strip_is_taken_over_where_its_cells_are_as_they_were() {
    let (before, _) = one(SHAPES[0], &[1, 2, 3], 19);
    let (without, cells) = one(SHAPES[0], &[1, 2, 7], 1);
    let blob = encode(
        KEY,
        &planes(&cells, Filter::Delta),
        SHAPES[0],
        small(1),
        Some(&before),
    );
    let [was, is, own] = [&before, &blob, &without].map(|blob| {
        inspect(blob)
            .expect("a blob")
            .into_iter()
            .map(|header| header.checksum)
            .collect::<Vec<_>>()
    });
    assert_eq!(is, [&was[..8], &own[8..]].concat());
    assert_ne!(
        was[4], own[4],
        "the levels pack differently, so that a strip shows where it is from"
    );
    let spec = BlobSpec::new(SHAPES[0], &[DType::U16], 1).expect("possible");
    assert_eq!(decode(KEY, &blob, &spec), Ok(cells.to_vec()));
}

#[test]
fn i2_no_strip_of_another_key_place_or_row_length_is_taken_over() {
    let (without, cells) = one(SHAPES[0], &[1, 2, 3], 1);
    let befores = [
        encode(
            b"rain/0/1/3",
            &planes(&cells, Filter::Delta),
            SHAPES[0],
            small(19),
            None,
        ),
        one(SHAPES[0], &[2, 3, 1], 19).0,
        one(&[3, 64, 256], &[1, 2, 3], 19).0,
        one(&[3, 256, 64], &[1, 2, 3], 19).0,
    ];
    for before in befores {
        assert_eq!(
            encode(
                KEY,
                &planes(&cells, Filter::Delta),
                SHAPES[0],
                small(1),
                Some(&before)
            ),
            without
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn i2_the_same_cells_become_the_same_bytes_whatever_stood_there_before(
        shape in prop::sample::select(SHAPES.to_vec()),
        (old, mut new) in (prop::collection::vec(any::<u8>(), 3), prop::collection::vec(any::<u8>(), 3)),
        kept in 0_usize..3,
        (old_planes, new_planes) in (1_usize..3, 1_usize..3),
        settings in prop::sample::select(vec![small(1), FAST]),
    ) {
        new[kept] = old[kept];
        for dtype in DType::ALL {
            for filter in FILTERS {
                let types = [dtype, DType::F64];
                let of = |seeds: &[u8], count| types[..count].iter().map(|&dtype| cells_of(dtype, shape, seeds)).collect::<Vec<_>>();
                let before = encode(KEY, &planes(&of(&old, old_planes), filter), shape, settings, None);
                let cells = of(&new, new_planes);
                let blob = encode(KEY, &planes(&cells, filter), shape, settings, Some(&before));
                prop_assert_eq!(&blob, &encode(KEY, &planes(&cells, filter), shape, settings, None));
                let decoded = decode(KEY, &blob, &BlobSpec::new(shape, &types, 1).expect("possible")).expect("good");
                prop_assert!(decoded.iter().map(Cells::as_bytes).eq(cells.iter().map(Cells::as_bytes)));
            }
        }
    }

    #[test]
    fn i2_of_a_damaged_blob_before_nothing_wrong_is_taken_over(
        shape in prop::sample::select(SHAPES.to_vec()),
        seeds in prop::collection::vec(any::<u8>(), 3),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8), 1..4),
        cut: prop::sample::Index,
    ) {
        let (without, cells) = one(shape, &seeds, 1);
        let mut before = without.clone();
        flips.iter().for_each(|(at, bit)| before[at.index(without.len())] ^= 1_u8 << bit);
        let of_header = &flips[0];
        let mut header = without.clone();
        header[of_header.0.index(HEADER_LEN)] ^= 1_u8 << of_header.1;
        for before in [before, header, without[..cut.index(without.len())].to_vec()] {
            prop_assert_eq!(&encode(KEY, &planes(&cells, Filter::Delta), shape, small(1), Some(&before)), &without);
        }
    }

    #[test]
    fn i2_a_box_across_strips_decodes_to_the_slice_of_the_whole(
        shape in prop::sample::select(SHAPES.to_vec()),
        seeds in prop::collection::vec(any::<u8>(), 1..7),
        corners in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 4),
        filter in prop::sample::select(FILTERS.to_vec()),
        settings in prop::sample::select(vec![small(1), FAST]),
    ) {
        let start: Vec<usize> = shape.iter().zip(&corners).map(|(&len, corner)| corner.0.index(len)).collect();
        let part: Vec<usize> =
            shape.iter().zip(&start).zip(&corners).map(|((&len, &start), corner)| 1 + corner.1.index(len - start)).collect();
        for dtype in DType::ALL {
            let cells = [cells_of(dtype, shape, &seeds)];
            let blob = encode(KEY, &planes(&cells, filter), shape, settings, None);
            let dtypes = [dtype];
            let spec = BlobSpec::new(shape, &dtypes, 1).expect("possible");
            with_dtype!(dtype, |T| {
                let mut out = vec![T::from_f64(0.0); part.iter().product()];
                decode_into(KEY, &blob, &spec, &start, &mut TileMut::whole(&mut out, &part).expect("fits")).expect("good");
                let whole = ndarray::ArrayView::from_shape(shape, cells[0].as_slice::<T>().expect("typed")).expect("fits");
                let slice = whole.slice_each_axis(|axis| {
                    let at = axis.axis.index();
                    (start[at]..start[at] + part[at]).into()
                });
                prop_assert_eq!(out, slice.iter().copied().collect::<Vec<T>>());
            });
        }
    }
}
