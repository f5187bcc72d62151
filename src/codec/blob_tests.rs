use proptest::prelude::*;

use super::frame;
use super::header::checksum;
use super::*;
use crate::array::{Bounds, Cell, TileMut, with_dtype};

const FILTERS: [Filter; 5] = [
    Filter::None,
    Filter::Shuffle,
    Filter::Delta,
    Filter::Auto,
    Filter::Narrow,
];
const KEY: &[u8] = b"dem/0/1/2";
const SMALL: Settings = Settings {
    codec: Codec::Small,
    level: 1,
};
const FAST: Settings = Settings {
    codec: Codec::Fast,
    level: 1,
};

fn spec<'a>(shape: &'a [usize], dtypes: &'a [DType]) -> BlobSpec<'a> {
    BlobSpec::new(shape, dtypes, 1).expect("a possible chunk")
}

fn encode_one(cells: &Cells, filter: Filter, row_len: usize) -> Vec<u8> {
    encode(
        KEY,
        &[RawPlane::new(cells, filter, f64::NAN)],
        &[cells.len() / row_len, row_len],
        SMALL,
        None,
    )
}

fn encode_fast(cells: &Cells, filter: Filter, row_len: usize) -> Vec<u8> {
    encode(
        KEY,
        &[RawPlane::new(cells, filter, f64::NAN)],
        &[cells.len() / row_len, row_len],
        FAST,
        None,
    )
}

/// Cells of a type from the low bits of words.
fn cells_of(dtype: DType, words: &[u64]) -> Cells {
    let bytes: Vec<u8> = words
        .iter()
        .flat_map(|word| word.to_le_bytes()[..dtype.size()].to_vec())
        .collect();
    let mut cells = Cells::filled(dtype, words.len(), 0.0);
    cells.as_bytes_mut().copy_from_slice(&bytes);
    cells
}

/// A slope in quarters with a hole of NaN: it has a fixed-point image.
fn slope(rows: usize, columns: usize) -> Cells {
    let cell = |i: usize| {
        let (row, column) = ((i / columns) as f32, (i % columns) as f32);
        if row * column == 6.0 {
            f32::NAN
        } else {
            (3.0 * row + 2.0 * column) / 4.0 - 2.0
        }
    };
    (0..rows * columns).map(cell).collect::<Vec<f32>>().into()
}

fn assert_same(left: &Cells, right: &Cells) {
    assert_eq!(left.dtype(), right.dtype());
    assert_eq!(left.as_bytes(), right.as_bytes());
}

/// Runs of words that stress filters: noise, the edges of every type, small multiples of a power of
/// two, holes.
fn words() -> impl Strategy<Value = Vec<u64>> {
    let special = prop::sample::select(vec![
        0,
        u64::MAX,
        1 << 31,
        1 << 63,
        i32::MAX as u64,
        i64::MAX as u64,
        u64::from(f32::NAN.to_bits()),
        u64::from(f32::NAN.to_bits() | 7),
        u64::from((-f32::NAN).to_bits()),
        u64::from((-0.0_f32).to_bits()),
        u64::from(f32::INFINITY.to_bits()),
        u64::from(f32::MAX.to_bits()),
        u64::from(f32::MIN.to_bits()),
        u64::from(f32::MIN_POSITIVE.to_bits()),
        f64::NAN.to_bits(),
        f64::NAN.to_bits() | 7,
        (-0.0_f64).to_bits(),
        f64::NEG_INFINITY.to_bits(),
        f64::MAX.to_bits(),
    ]);
    let numbers = |nan: bool| {
        (-40_i32..40, any::<bool>(), 0_i32..30).prop_flat_map(move |(exponent, narrow, bits)| {
            let number = (-(1_i64 << bits)..1 << bits, 0..8).prop_map(move |(number, hole)| {
                let value = number as f64 * f64::from(exponent).exp2();
                let value = if nan && hole == 0 { f64::NAN } else { value };
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "rounding makes as good a test value"
                )]
                if narrow {
                    u64::from((value as f32).to_bits())
                } else {
                    value.to_bits()
                }
            });
            prop::collection::vec(number, 1..300)
        })
    };
    prop_oneof![
        prop::collection::vec(any::<u64>(), 1..300),
        prop::collection::vec(0_u64..9, 1..300),
        prop::collection::vec(special, 1..40),
        numbers(false),
        numbers(true),
        (any::<u64>(), 1_usize..50).prop_map(|(word, len)| vec![word; len]),
    ]
}

/// A row length that divides the number of cells.
fn row_len_of(cells: usize, choice: prop::sample::Index) -> usize {
    let divisors: Vec<usize> = (1..=cells)
        .filter(|len| cells.is_multiple_of(*len))
        .collect();
    divisors[choice.index(divisors.len())]
}

/// Of a strip that is the whole plane: version, plane, planes, encoding, filter, dtype, scale,
/// hole, row length, first row, payload length, and no digest. A hole is NaN.
fn header(fields: [u8; 6], scale: i16, hole: i64, row_len: u32, payload_len: u32) -> Vec<u8> {
    let bits = if hole == 0 {
        0
    } else {
        u64::from(f32::NAN.to_bits())
    };
    let numbers = [row_len, 0, payload_len].map(u32::to_le_bytes).concat();
    [
        fields.as_slice(),
        &scale.to_le_bytes(),
        &hole.to_le_bytes(),
        &bits.to_le_bytes(),
        &numbers,
        &[0; 16],
    ]
    .concat()
}

#[test]
fn i2_a_constant_blob_has_these_bytes() {
    let blob = encode_one(&vec![-2_i16; 6].into(), Filter::Delta, 3);
    assert_eq!(blob[..8], [229, 38, 12, 194, 81, 159, 220, 7]);
    assert_eq!(blob[8..HEADER_LEN], header([3, 0, 1, 0, 0, 3], 0, 0, 3, 2));
    assert_eq!(blob[HEADER_LEN..], [254, 255]);
    assert_eq!(
        decode(KEY, &blob, &spec(&[2, 3], &[DType::I16])),
        Ok(vec![vec![-2_i16; 6].into()])
    );
}

#[test]
fn i2_a_raw_blob_has_these_bytes() {
    let cells: Cells = vec![1_u8, 2, 3].into();
    let blob = encode_one(&cells, Filter::Delta, 3);
    assert_eq!(blob[..8], [28, 253, 112, 35, 112, 26, 144, 118]);
    assert_eq!(blob[8..HEADER_LEN], header([3, 0, 1, 1, 0, 0], 0, 0, 3, 3));
    assert_eq!(blob[HEADER_LEN..], [1, 2, 3]);
}

#[test]
fn i2_a_filtered_plane_has_these_bytes() {
    let blob = encode_one(&slope(8, 8), Filter::Delta, 8);
    let frame = &blob[HEADER_LEN..];
    let frame_len = u32::try_from(frame.len()).expect("short");
    // Zstd, fixed-point, float32, quarters, NaN is -9.
    assert_eq!(
        blob[8..HEADER_LEN],
        header([3, 0, 1, 2, 3, 8], -2, -9, 8, frame_len)
    );
    let filtered = frame::decompress(frame, 256, <[u8]>::to_vec).expect("a frame");
    // The first row is 4 x (-2, -1.5, -1, ..) = -8, -6, -4, ..: differences -8, 2, 2, .. and of the
    // rows below 3, 0, 0, ..
    assert_eq!(filtered[..8], [15, 4, 4, 4, 4, 4, 4, 4]);
    assert_eq!(filtered[8..12], [6, 0, 0, 0]);
    // Multiples of four: int16, shift 2.
    let cells: Cells = (0..64)
        .map(|i| 4 * (i % 8) - 8)
        .collect::<Vec<i16>>()
        .into();
    let blob = encode_one(&cells, Filter::Delta, 8);
    assert_eq!(blob[8..16], [3, 0, 1, 2, 2, 3, 2, 0]);
    let filtered = frame::decompress(&blob[HEADER_LEN..], 128, <[u8]>::to_vec).expect("a frame");
    assert_eq!(filtered[..10], [3, 2, 2, 2, 2, 2, 2, 2, 0, 0]);
}

#[test]
fn i2_a_packed_plane_has_these_bytes() {
    let blob = encode_fast(&slope(8, 8), Filter::Delta, 8);
    let payload = &blob[HEADER_LEN..];
    // Packed, fixed-point, float32, quarters, NaN is -9.
    assert_eq!(
        blob[8..HEADER_LEN],
        header(
            [3, 0, 1, 3, 3, 8],
            -2,
            -9,
            8,
            u32::try_from(payload.len()).expect("short")
        )
    );
    // One block of 64 words of 6 bits: 8 rows of 8 lanes, 48 bits a lane, in two rows; no patches.
    assert_eq!(
        (payload.len(), &payload[..2]),
        (2 + 2 * 32, [6, 0].as_slice())
    );
    // The first lane has the first word of each row of cells: 15, then 6 and 6 and so on, as above,
    // but where holes are.
    let lane = |row: usize| {
        u64::from(u32::from_le_bytes(
            [0, 1, 2, 3].map(|i| payload[2 + 32 * row + i]),
        ))
    };
    let bits = lane(0) | lane(1) << 32;
    assert_eq!(
        [0, 1, 2, 3].map(|word| bits >> (6 * word) & 63),
        [15, 6, 6, 6]
    );
}

#[test]
fn i2_floats_in_tenths_are_packed_as_whole_numbers() {
    let tenths: Vec<f32> = (0..64 * 64)
        .map(|i| f32::from(u8::try_from(i % 7).expect("small")) / 10.0)
        .collect();
    let (cells, doubles): (Cells, Vec<f64>) = (
        tenths.clone().into(),
        tenths
            .iter()
            .map(|&cell| (f64::from(cell) * 10.0).round() / 10.0)
            .collect(),
    );
    for (cells, bits) in [
        (cells, u64::from(f32::NAN.to_bits())),
        (doubles.into(), f64::NAN.to_bits()),
    ] {
        let blob = encode_fast(&cells, Filter::Auto, 64);
        let header = inspect(&blob).expect("a blob")[0];
        assert_eq!(
            header.transform,
            Transform::Decimal {
                digits: 1,
                hole: Hole { bits, image: -1 }
            }
        );
        assert!(
            matches!(header.encoding, StripEncoding::Packed(_)),
            "{header:?}"
        );
        assert_same(
            &decode(KEY, &blob, &spec(&[64, 64], &[cells.dtype()])).expect("good")[0],
            &cells,
        );
    }
}

#[test]
fn i2_wide_places_without_data_cost_next_to_nothing_whatever_stands_for_them() {
    let lengths = [
        f64::NAN,
        -9999.0,
        9.969_209_968_386_869e36,
        -3.402_823_466_385_288_6e38,
    ]
    .map(|fill| {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the float that stands for it"
        )]
        let cell = |i: usize| {
            if (i + i / 64 * 3) % 64 < 48 {
                fill as f32
            } else {
                f32::from(u8::try_from(i % 5).expect("small")) / 4.0
            }
        };
        let cells: Cells = (0..64 * 64).map(cell).collect::<Vec<f32>>().into();
        let blob = encode(
            KEY,
            &[RawPlane::new(&cells, Filter::Auto, fill)],
            &[64, 64],
            FAST,
            None,
        );
        assert_same(
            &decode(KEY, &blob, &spec(&[64, 64], &[DType::F32])).expect("good")[0],
            &cells,
        );
        blob.len()
    });
    assert!(
        lengths[0] < 64 * 64 && lengths.iter().all(|len| *len == lengths[0]),
        "{lengths:?}"
    );
}

#[test]
fn fast_takes_zstd_where_that_saves_more_than_half() {
    let noise: Cells = (0..4096_u32)
        .map(|i| i.wrapping_mul(2_654_435_761) >> 8)
        .map(|i| i as f32 + 0.3)
        .collect::<Vec<f32>>()
        .into();
    // Unrelated neighbours of many values that repeat: only zstd sees that.
    let repeated: Cells = (0..4096_u32)
        .map(|i| ((i % 100).pow(3).wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect::<Vec<u8>>()
        .into();
    let encoding = |cells: &Cells, row_len| {
        inspect(&encode_fast(cells, Filter::Auto, row_len)).expect("a blob")[0].encoding
    };
    assert_eq!(
        [encoding(&slope(64, 64), 64), encoding(&repeated, 64)],
        [StripEncoding::Packed(Predictor::Plane), StripEncoding::Zstd]
    );
    assert_ne!(encoding(&noise, 64), StripEncoding::Zstd);
}

#[test]
fn i2_areas_become_these_bytes() {
    let cells: Cells = (0..64)
        .map(|i| f64::from(i % 5) * 64.0)
        .collect::<Vec<f64>>()
        .into();
    let blob = encode_one(&cells, Filter::Narrow, 8);
    // Zstd, whole numbers of one byte, float64, multiples of 2^6.
    assert_eq!(blob[8..16], [3, 0, 1, 2, 4, 9, 6, 0]);
    let narrow = frame::decompress(&blob[HEADER_LEN..], 64, <[u8]>::to_vec).expect("a frame");
    assert_eq!(narrow[..7], [0, 1, 2, 3, 4, 0, 1]);
}

/// Planes as version 3 wrote them: `slope(8, 8)` packed, and weights of which all are 1.
const GOLDEN: [&str; 4] = [
    "69889d7c593dfc34030002030308fefff7ffffffffffffff0000c07f00000000080000000000000042000000000000000000000000000000",
    "0000000006008f6118860400000004006c1c0490d91b04a0650004000000c407020004f801006118000090aa0000a0a60000000000000000",
    "00000000000000000000000000001c170cd52a0c7a4c03010200000800000000000000000000000000000000000008000000000000000400",
    "0000000000000000000000000000000000000000803f",
];

#[test]
fn i2_what_version_3_wrote_is_decoded_for_ever() {
    let blob: Vec<u8> = GOLDEN
        .concat()
        .as_bytes()
        .chunks(2)
        .map(|hex| u8::from_str_radix(std::str::from_utf8(hex).expect("ASCII"), 16).expect("hex"))
        .collect();
    let planes = [slope(8, 8), Cells::filled(DType::F32, 64, 1.0)];
    let decoded = decode(KEY, &blob, &spec(&[8, 8], &[DType::F32, DType::F32])).expect("good");
    decoded
        .iter()
        .zip(&planes)
        .for_each(|(decoded, plane)| assert_same(decoded, plane));
}

#[test]
fn i2_every_bit_flip_and_every_cut_of_a_blob_is_refused() {
    let weights: Cells = (0..64).map(|i| i as f32).collect::<Vec<f32>>().into();
    let classes: Cells = vec![7_u8; 64].into();
    let value = slope(8, 8);
    let planes =
        [&value, &weights, &classes].map(|cells| RawPlane::new(cells, Filter::Delta, f64::NAN));
    let blob = encode(KEY, &planes, &[8, 8], SMALL, None);
    let dtypes = [DType::F32, DType::F32, DType::U8];
    let spec = BlobSpec::new(&[8, 8], &dtypes, 1).expect("possible");
    let decoded = decode(KEY, &blob, &spec).expect("whole");
    assert_eq!(decoded.len(), 3);
    decoded
        .iter()
        .zip(&planes)
        .for_each(|(decoded, plane)| assert_same(decoded, plane.cells));
    for bit in 0..8 * blob.len() {
        let mut flipped = blob.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        decode(KEY, &flipped, &spec).expect_err("flipped");
    }
    for len in 0..blob.len() {
        decode(KEY, &blob[..len], &spec).expect_err("cut");
    }
    let longer = [blob.as_slice(), &[0]].concat();
    assert_eq!(
        decode(KEY, &longer, &spec),
        Err(DecodeError::Trailing { bytes: 1 })
    );
}

#[test]
fn i2_a_blob_under_another_key_is_refused() {
    let blob = encode_one(&slope(8, 8), Filter::Delta, 8);
    for key in [b"dem/0/1/3".as_slice(), b"", &KEY[1..]] {
        let DecodeError::Checksum { expected, got } =
            decode(key, &blob, &spec(&[8, 8], &[DType::F32])).expect_err("swapped")
        else {
            panic!("refused for its checksum");
        };
        assert_ne!(expected, got);
    }
}

#[test]
fn i2_a_blob_of_another_structure_is_refused() {
    let blob = encode_one(&slope(8, 8), Filter::Delta, 8);
    let refusal = |shape: &[usize], dtypes: &[DType], planes_min| {
        let spec = BlobSpec::new(shape, dtypes, planes_min).expect("possible");
        decode(KEY, &blob, &spec).expect_err("another structure")
    };
    let field = |field, expected, got| DecodeError::Field {
        field,
        expected,
        got,
    };
    assert_eq!(refusal(&[8, 8], &[DType::I32], 1), field("dtype", 5, 8));
    assert_eq!(
        refusal(&[16, 4], &[DType::F32], 1),
        field("row length", 4, 8)
    );
    assert_eq!(
        refusal(&[9, 8], &[DType::F32], 1),
        DecodeError::Frame {
            reason: "does not state the size of the cells"
        }
    );
    let count = DecodeError::Invalid {
        field: "plane count",
        got: 1,
    };
    assert_eq!(refusal(&[8, 8], &[DType::F32, DType::F32], 2), count);
    assert_eq!(
        refusal(&[1, 8], &[DType::F32], 1),
        field("payload length", 31, (blob.len() - HEADER_LEN) as u64)
    );
}

/// A blob with one header byte changed and the checksum made good: what an attacker would write.
fn forged(blob: &[u8], at: usize, byte: u8) -> Vec<u8> {
    let mut blob = blob.to_vec();
    blob[at] = byte;
    let sum = checksum(KEY, &blob[8..]);
    blob[..8].copy_from_slice(&sum.to_le_bytes());
    blob
}

#[test]
fn i2_header_values_without_meaning_are_refused_under_a_good_checksum() {
    let blob = encode_one(&slope(8, 8), Filter::Delta, 8);
    let spec = spec(&[8, 8], &[DType::F32]);
    let refusal = |at, byte| decode(KEY, &forged(&blob, at, byte), &spec).expect_err("forged");
    let invalid = |field, got| DecodeError::Invalid { field, got };
    assert_eq!(
        refusal(8, 1),
        DecodeError::Field {
            field: "format version",
            expected: 3,
            got: 1
        }
    );
    assert_eq!(
        refusal(9, 1),
        DecodeError::Field {
            field: "plane index",
            expected: 0,
            got: 1
        }
    );
    assert_eq!(refusal(10, 0), invalid("plane count", 0));
    assert_eq!(refusal(11, 6), invalid("encoding", 6));
    assert_eq!(refusal(11, 0), invalid("filter", 3));
    assert_eq!(refusal(12, 4), invalid("filter", 4));
    assert_eq!(refusal(12, 7), invalid("scale", -2));
    assert_eq!(refusal(12, 8), invalid("filter", 8));
    assert_eq!(refusal(12, 9), invalid("filter", 9));
    assert_eq!(refusal(12, 1), invalid("scale or hole", -2));
    assert_eq!(refusal(12, 2), invalid("scale", -2));
    assert_eq!(refusal(13, 10), invalid("dtype", 10));
    assert_eq!(refusal(15, 4), invalid("filter", 3));
    assert_eq!(refusal(20, 0), invalid("filter", 3));
    assert_eq!(refusal(28, 1), invalid("filter", 3));
    assert_eq!(
        refusal(36, 1),
        DecodeError::Field {
            field: "first row",
            expected: 0,
            got: 1
        }
    );
    assert_eq!(
        refusal(43, 255),
        DecodeError::Truncated {
            needed: 0xff00_0000 + blob.len(),
            got: blob.len()
        }
    );
    assert_eq!(
        refusal(44, 1),
        DecodeError::Field {
            field: "presence of a digest",
            expected: 0,
            got: 1
        }
    );
}

#[test]
fn i2_an_all_zero_or_nan_plane_round_trips_bit_for_bit() {
    for odd in [
        0.0,
        -0.0,
        f32::NAN,
        -f32::NAN,
        f32::INFINITY,
        f32::MIN_POSITIVE / 2.0,
        f32::MAX,
    ] {
        for other in [0.0, f32::NAN, 1.0, f32::from_bits(f32::NAN.to_bits() + 1)] {
            let mut cells = vec![other; 64 * 64];
            cells[77] = odd;
            let cells = cells.into();
            let blob = encode_one(&cells, Filter::Delta, 64);
            assert_same(
                &decode(KEY, &blob, &spec(&[64, 64], &[DType::F32])).expect("good")[0],
                &cells,
            );
        }
    }
}

#[test]
fn impossible_requests_are_refused() {
    let one = [DType::F32];
    for (shape, dtypes, planes_min) in [
        (vec![], one.as_slice(), 1),
        (vec![0, 4], &one, 1),
        (vec![1; 9], &one, 1),
        (vec![usize::MAX, 2], &one, 1),
        (vec![1 << 15, 1 << 15], &one, 1),
        (vec![4, 4], &one, 2),
        (vec![4, 4], &one, 0),
        (vec![4, 4], &[], 0),
    ] {
        let refusal = BlobSpec::new(&shape, dtypes, planes_min)
            .map(|_| ())
            .expect_err("impossible");
        let DecodeError::Request { reason } = refusal else {
            panic!("{shape:?}: {refusal}")
        };
        assert_ne!(reason, "");
    }
}

#[test]
fn a_box_decodes_into_its_tile_while_others_are_decoded_elsewhere() {
    let value = slope(8, 8);
    let blob = encode_one(&value, Filter::Delta, 8);
    let spec = spec(&[8, 8], &[DType::F32]);
    let mut out = vec![0.0_f32; 5 * 6];
    let boxes = [([0, 0], [2, 6]), ([2, 0], [3, 6])].map(|(s, n)| Bounds {
        start: s.to_vec(),
        shape: n.to_vec(),
    });
    let tiles = TileMut::split(&mut out, &[5, 6], &boxes).expect("disjoint");
    std::thread::scope(|scope| {
        for (mut tile, start) in tiles.into_iter().zip([[6, 2], [0, 2]]) {
            let (blob, spec) = (&blob, &spec);
            scope.spawn(move || decode_into(KEY, blob, spec, &start, &mut tile).expect("good"));
        }
    });
    let all = value.as_slice::<f32>().expect("float32");
    let expected: Vec<f32> = [6, 7, 0, 1, 2]
        .iter()
        .flat_map(|row| all[row * 8 + 2..row * 8 + 8].to_vec())
        .collect();
    assert_same(&out.into(), &expected.into());
}

#[test]
fn a_box_of_the_wrong_type_or_beyond_the_chunk_is_refused() {
    let blob = encode_one(&slope(8, 8), Filter::Delta, 8);
    let spec = spec(&[8, 8], &[DType::F32]);
    let (mut ints, mut floats) = (vec![0_i32; 4], vec![0_f32; 4]);
    let mut tile = TileMut::whole(&mut ints, &[2, 2]).expect("fits");
    let refusal = decode_into(KEY, &blob, &spec, &[0, 0], &mut tile).expect_err("int32");
    assert_eq!(
        refusal,
        DecodeError::Request {
            reason: "the tile has another type than the plane"
        }
    );
    let mut tile = TileMut::whole(&mut floats, &[2, 2]).expect("fits");
    for start in [[7, 0].as_slice(), &[0, usize::MAX], &[0]] {
        let refusal = decode_into(KEY, &blob, &spec, start, &mut tile).expect_err("outside");
        assert_eq!(
            refusal,
            DecodeError::Request {
                reason: "the box is not inside the chunk"
            }
        );
    }
}

#[test]
fn inspect_reads_headers_without_a_structure() {
    let (value, weights) = (slope(8, 8), Cells::filled(DType::F32, 64, 1.0));
    let planes = [&value, &weights].map(|cells| RawPlane::new(cells, Filter::Delta, f64::NAN));
    let headers = inspect(&encode(KEY, &planes, &[8, 8], SMALL, None)).expect("two planes");
    let summary: Vec<_> = headers
        .iter()
        .map(|h| (h.plane, h.planes, h.encoding, h.transform))
        .collect();
    let fixed = Transform::Fixed {
        exponent: -2,
        hole: Hole {
            bits: f32::NAN.to_bits().into(),
            image: -9,
        },
    };
    assert_eq!(
        summary,
        [
            (0, 2, StripEncoding::Zstd, fixed),
            (1, 2, StripEncoding::Constant, Transform::None)
        ]
    );
    assert_eq!(
        inspect(&[]),
        Err(DecodeError::Truncated {
            needed: HEADER_LEN,
            got: 0
        })
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn i2_blobs_round_trip_bit_for_bit(words in words(), choice: prop::sample::Index, hole: prop::sample::Index, level in 1..4) {
        let row_len = row_len_of(words.len(), choice);
        for dtype in DType::ALL {
            for filter in FILTERS {
                let cells = cells_of(dtype, &words);
                let shape = [words.len() / row_len, row_len];
                for codec in [Codec::Fast, Codec::Small] {
                    let plane = RawPlane { cells: &cells, filter, hole: words[hole.index(words.len())] };
                    let blob = encode(KEY, &[plane], &shape, Settings { codec, level }, None);
                    let decoded = decode(KEY, &blob, &spec(&shape, &[dtype])).expect("good");
                    prop_assert_eq!(decoded[0].as_bytes(), cells.as_bytes());
                }
            }
        }
    }

    #[test]
    fn i2_a_part_decodes_to_the_slice_of_the_whole(
        axes in prop::collection::vec((1_usize..6, any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..5),
        words in prop::collection::vec(0_u64..1000, 625),
        dtype in prop::sample::select(DType::ALL.to_vec()),
        filter in prop::sample::select(FILTERS.to_vec()),
        codec in prop::sample::select(vec![Codec::Fast, Codec::Small]),
    ) {
        let shape: Vec<usize> = axes.iter().map(|axis| axis.0).collect();
        let start: Vec<usize> = axes.iter().map(|axis| axis.1.index(axis.0)).collect();
        let part: Vec<usize> = axes.iter().zip(&start).map(|(axis, &start)| axis.2.index(axis.0 - start + 1)).collect();
        let cells = cells_of(dtype, &words[..shape.iter().product()]);
        let blob = encode(KEY, &[RawPlane::new(&cells, filter, f64::NAN)], &shape, Settings { codec, level: 1 }, None);
        let dtypes = [dtype];
        let spec = spec(&shape, &dtypes);
        with_dtype!(dtype, |T| {
            let mut out = vec![T::from_f64(0.0); part.iter().product()];
            let mut tile = TileMut::whole(&mut out, &part).expect("fits");
            decode_into(KEY, &blob, &spec, &start, &mut tile).expect("good");
            let whole = ndarray::ArrayView::from_shape(shape.as_slice(), cells.as_slice::<T>().expect("typed")).expect("fits");
            let slice = whole.slice_each_axis(|axis| {
                let at = axis.axis.index();
                (start[at]..start[at] + part[at]).into()
            });
            prop_assert_eq!(out, slice.iter().copied().collect::<Vec<T>>());
        });
    }

    #[test]
    fn i2_forged_bytes_under_a_good_checksum_never_panic(
        words in words(),
        choice: prop::sample::Index,
        dtype in prop::sample::select(DType::ALL.to_vec()),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        fast: bool,
    ) {
        let row_len = row_len_of(words.len(), choice);
        let cells = cells_of(dtype, &words);
        let mut blob = if fast { encode_fast } else { encode_one }(&cells, Filter::Delta, row_len);
        for (at, byte) in edits {
            let at = at.index(blob.len());
            blob = forged(&blob, at, byte);
        }
        let shape = [words.len() / row_len, row_len];
        if let Ok(decoded) = decode(KEY, &blob, &spec(&shape, &[dtype])) {
            prop_assert_eq!(decoded[0].len(), words.len());
        }
    }

    #[test]
    fn i2_random_bytes_never_panic(bytes: Vec<u8>) {
        decode(KEY, &bytes, &spec(&[4, 4], &[DType::F32])).expect_err("random");
        inspect(&bytes).expect_err("random");
    }
}

#[test]
fn the_automatic_filter_tells_measurements_from_classes() {
    let classes: Cells = (0..256_u32 * 256)
        .map(|i| [7, 90, 31, 255][(i / 19 * 7 % 11 % 4) as usize])
        .collect::<Vec<u16>>()
        .into();
    for (cells, delta) in [(slope(256, 256), true), (classes, false)] {
        let blob = encode_one(&cells, Filter::default_for(cells.dtype()), 256);
        let transform = inspect(&blob).expect("a blob")[0].transform;
        assert_eq!(transform != Transform::None, delta, "{transform:?}");
        let best =
            [Filter::None, Filter::Delta].map(|filter| encode_one(&cells, filter, 256).len());
        assert_eq!(blob.len(), best[0].min(best[1]));
    }
}
