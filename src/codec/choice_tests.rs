//! Which image and prediction cells are packed by, and that every one of them comes back bit for
//! bit.

use proptest::prelude::*;

use super::header::checksum;
use super::*;
use crate::array::{Cell, TileMut, with_dtype};

const FAST: Settings = Settings {
    codec: Codec::Fast,
    level: 1,
};
const KEY: &[u8] = b"rain/0/1/2";

fn packed(cells: &Cells, shape: &[usize]) -> Vec<u8> {
    encode(
        KEY,
        &[RawPlane::new(cells, Filter::Auto, f64::NAN)],
        shape,
        FAST,
        None,
    )
}

fn unpacked(blob: &[u8], dtype: DType, shape: &[usize]) -> Result<Cells, DecodeError> {
    let dtypes = [dtype];
    Ok(decode(KEY, blob, &BlobSpec::new(shape, &dtypes, 1)?)?.remove(0))
}

/// Unrelated numbers below `most`.
fn hash(i: usize, most: u32) -> u32 {
    u32::try_from(i)
        .expect("small")
        .wrapping_mul(2_654_435_761)
        .rotate_left(13)
        .wrapping_mul(2_246_822_519)
        % most
}

/// How the first strip of the packed cells stands, after they were found to come back, and how many
/// bytes there are of the cells for one of the blob.
fn how(cells: &Cells, row_len: usize) -> (StripEncoding, Transform, usize) {
    let shape = [cells.len() / row_len, row_len];
    let blob = packed(cells, &shape);
    let back = unpacked(&blob, cells.dtype(), &shape).expect("good");
    assert_eq!(back.as_bytes(), cells.as_bytes());
    let header = inspect(&blob).expect("a blob")[0];
    (
        header.encoding,
        header.transform,
        cells.as_bytes().len() / blob.len(),
    )
}

#[test]
fn i2_the_prediction_is_that_which_leaves_the_least() {
    let predictor = |cell: &dyn Fn(usize, usize) -> u32| {
        let cells: Vec<i32> = (0..64 * 64)
            .map(|i| cell(i, i / 64 * 3 + i % 64 * 7).cast_signed())
            .collect();
        how(&cells.into(), 64).0
    };
    assert_eq!(
        predictor(&|i, slope| 40 * u32::try_from(slope).expect("small") + hash(i, 3)),
        StripEncoding::Packed(Predictor::Plane)
    );
    assert_eq!(
        predictor(&|i, _| u32::try_from(i / 64 * 5000).expect("small") + hash(i, 61)),
        StripEncoding::Packed(Predictor::Left)
    );
    assert_eq!(
        predictor(&|i, _| 1_000_000 + hash(i, 29_989)),
        StripEncoding::Packed(Predictor::Least)
    );
}

#[test]
fn i2_cells_of_few_values_are_packed_as_their_ranks() {
    let classes: Cells = (0..128 * 128)
        .map(|i| [7_u8, 90, 31, 255, 128][hash(i, 5) as usize])
        .collect::<Vec<u8>>()
        .into();
    assert_eq!(
        how(&classes, 128),
        (
            StripEncoding::Packed(Predictor::Least),
            Transform::Ranked,
            2
        )
    );
    // Products that were rounded are no quotients: 213 x 0.01 is not 2.13.
    let rain = |i: usize| {
        if i % 128 < 50 {
            f32::NAN
        } else {
            hash(i, 60) as f32 * 4.0 * 0.01
        }
    };
    let (encoding, transform, ratio) =
        how(&(0..128 * 128).map(rain).collect::<Vec<f32>>().into(), 128);
    assert_eq!(
        (encoding, transform),
        (StripEncoding::Packed(Predictor::Least), Transform::Ranked)
    );
    assert!(ratio >= 4, "{ratio}");
}

#[test]
fn i2_decimals_of_many_digits_are_no_longer_than_the_floats() {
    // Eight digits tell these floats, in 24 bits; their own bits differ in 20.
    let cells: Vec<f32> = (0..128 * 128)
        .map(|i| 1.0 + hash(i, 1_000_003) as f32 * f32::EPSILON)
        .collect();
    let (encoding, transform, _) = how(&cells.into(), 128);
    assert!(matches!(encoding, StripEncoding::Packed(_)), "{encoding:?}");
    assert_eq!(transform, Transform::Ordered { shift: 0 });
}

/// Blobs as version 3 wrote them, and how they are packed.
const GOLDEN: [(&[&str], StripEncoding, bool); 3] = [
    (
        &[
            "4f460fa3997a1b5a0300010402020000000000000000000000000000000000004000000000000000d9010000000000000000000000000000",
            "0000000007030704005bb6122d66c45a2526cc5ab5122d66c45aa5164c6ab51a2d66d45ab5962d638de8b5d5ab468d5ab3d58d48b5d5ab46",
            "8d5ab3d5ad4695d9ab44cd36b1d48b472d9562f2ac956a3122d62c956a3124d66a31a2d6ac956af9b4d52b5162d6acb598fa6a35a8d45b3d",
            "6ad498ad6b354acc99256ac48cb35a3588cc4bad7a44a8a51aaf66a9568b22b1528b16b162a956cba2af598b12b35ead528916b162ab1293",
            "2667c46c59ab56a2c96c5623c49cb8abd7624a6d5623c52cd9aa5663446d5923964ab578114bb65ad57c1a5b9598116bb64ab588125b9598",
            "116bb64ab588125b4080c04e004d004d007a66c45aa5924c5bbb162d6ac45a2d26d456b51a2d6acc5a3526d456bd1a256aadc7cb38b1548d",
            "c8b355a9468dd9b3548dc8b355a9458fd8b5548bc8b155a9c5deb56b5122d66b31a296acf56a5122d66bb52a5124f66a5162d6abb52a19b4",
            "d598f44b356acc99a56a4498ad4b256abc98a56b3598cc4ba56a3c98b3674488a5568922b1568b12b162ab568922b1568b12b562af568996",
            "6d5f8916b362ad568b28afc464592a5623c56c5aabc664592a5623c5dc3aab48a4d96a5423466dd92a114bb65a1189b65a95a8116bb65a11",
            "89ce66b598116b965ab588124bb598116b004080c04d004e004d004d00",
        ],
        StripEncoding::Packed(Predictor::Left),
        false,
    ),
    (
        &[
            "ad4f0f4e10560c98030001050202000000000000000000000000000000000000400000000000000006020000000000000000000000000000",
            "00000000e80308000800000ac28b13a424b5a506be17079820b131c2b213039414a52dbeae07bf20108a9b64547d6d8e7e479760a871618a",
            "7a9b8b54a46db57e6e978750984a3a0353742dbe460f57201039294a3a03531c642d1d4636c747106029712313a42cbd3d0687b030c1b17a",
            "029313a494bdad06be870fa020b1a153a36cb47d6d367ea79760793a8a53436cb47d6d36864f9760b079698a7a2c1cad2d56460f5f287039",
            "29ba632c1cad35c6460f5f28703929ba425ca405bd860e971fb0a001b11202931bacbd860e9f1fb0a069b98202931b357d46965f4f786089",
            "79429253a36c5c856d964f1868897942925ba3bd450ec6270f3828b94102521b0b341c4535c64e0f5f28410a521b0b9c249686af9f68b079",
            "019282ab93bcac75c5860e9f8fb83801b98293bcac5e4e175f2878413152426b5b246c35854e3e67af7868318142925b4b74859f27b8a801",
            "511a0a9b1bac34c5b50e5e2717a828b9410ac2236b3424b53daf0091814a925bab7464850d9e8e579f68b88171921aab9b64ac75c58e6730",
            "78415a236b34844d3d064e1767302041915a4a135b24743d2d569eb84009511a0a33b40dc58e16a727b84009c18a0a9b23b4a4c54d160697",
            "009181aa9a63ab74c48d9e67b7807039814a9a63ab74c48d7d468e57a759496a5a23733c844d3d66561f30c149125a23733c2cbd3d06561f",
            "6730099a22b333c4b415052616a72fc04009",
        ],
        StripEncoding::Packed(Predictor::Least),
        false,
    ),
    (
        &[
            "f74c0faaa539a26903000105080200000000000000000000000000000000000040000000000000008e000000000000000000000000000000",
            "00000000030005000903409c000002000200541580aa555500a8565500806a550000aa560100aa2a1550aa0295aa5810a9aa0400aa550100",
            "aa5a0580aa0a55686a1585aa544120a856158082655500285a568a0695aa505501aa565500a06a550000a65501006a5a0400aaa64100aa0a",
            "15a80000aa550000aa5a0500aaaa5500aaaa55a5a00255aa581581aa555500a85655",
        ],
        StripEncoding::Packed(Predictor::Least),
        true,
    ),
];

/// The cells of these: 8 x 64.
fn golden_cells(number: usize) -> Cells {
    let word = |i: usize| match number {
        0 => u32::try_from(i / 64 * 5000).expect("small") + hash(i, 61),
        1 => 1000 + hash(i, 200),
        _ => [5, 40_000, 777][hash(i, 3) as usize],
    };
    (0..512)
        .map(|i| u16::try_from(word(i)).expect("small"))
        .collect::<Vec<u16>>()
        .into()
}

#[test]
fn i2_what_version_3_packed_is_unpacked_for_ever() {
    for (number, (lines, encoding, ranked)) in GOLDEN.into_iter().enumerate() {
        let cells = golden_cells(number);
        let blob = packed(&cells, &[8, 64]);
        let written: String = blob.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(written, lines.concat());
        let header = inspect(&blob).expect("a blob")[0];
        assert_eq!(
            (header.encoding, header.transform == Transform::Ranked),
            (encoding, ranked)
        );
        assert_eq!(
            unpacked(&blob, DType::U16, &[8, 64])
                .expect("good")
                .as_bytes(),
            cells.as_bytes()
        );
    }
}

#[test]
fn i2_a_table_that_no_ranks_have_is_refused() {
    let blob = packed(&golden_cells(2), &[8, 64]);
    let refusal = |edit: &dyn Fn(&mut [u8])| {
        let mut blob = blob.clone();
        edit(&mut blob[HEADER_LEN..]);
        let sum = checksum(KEY, &blob[8..]);
        blob[..8].copy_from_slice(&sum.to_le_bytes());
        unpacked(&blob, DType::U16, &[8, 64]).expect_err("forged")
    };
    let invalid = |field, got| DecodeError::Invalid { field, got };
    assert_eq!(blob[HEADER_LEN..][..2], [3, 0]);
    assert_eq!(
        refusal(&|payload| payload[0] = 0),
        invalid("count of values", 0)
    );
    assert_eq!(
        refusal(&|payload| payload[1] = 5),
        invalid("count of values", 5 * 256 + 3)
    );
    assert_eq!(
        refusal(&|payload| payload[1] = 3),
        DecodeError::Truncated {
            needed: 2 + 2 * 771,
            got: blob.len() - HEADER_LEN
        }
    );
    // The least, behind three values.
    assert_eq!(refusal(&|payload| payload[8] = 9), invalid("rank", 11));
}

/// Cells that take every image and prediction: few values of any bits, alone or with noise, along a
/// slope or not.
fn cells() -> impl Strategy<Value = Vec<u64>> {
    let odd = prop::sample::select(vec![
        0,
        u64::MAX,
        1 << 31,
        1 << 63,
        u64::from(f32::NAN.to_bits() | 7),
        u64::from((-f32::NAN).to_bits()),
        u64::from((-0.0_f32).to_bits()),
        u64::from(f32::NEG_INFINITY.to_bits()),
        u64::from(f32::MIN_POSITIVE.to_bits() - 1),
        u64::from(2.13_f32.to_bits()),
        f64::NAN.to_bits() | 7,
        (-0.0_f64).to_bits(),
        f64::INFINITY.to_bits(),
        f64::MIN_POSITIVE.to_bits() - 1,
        (0.1_f64 + 0.2).to_bits(),
    ]);
    let values = prop::collection::vec(prop_oneof![odd, any::<u64>()], 1..60);
    let of = (
        values,
        prop::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 32..900),
    );
    (
        of,
        prop::sample::select(vec![0_u32, 3, 9, 30, 63]),
        prop::sample::select(vec![0_u64, 1, 77]),
    )
        .prop_map(|((values, cells), noise, slope)| {
            let cell = |(i, (value, bits)): (usize, &(prop::sample::Index, u64))| {
                let noise = bits & ((1 << noise) - 1);
                values[value.index(values.len())]
                    .wrapping_add(noise)
                    .wrapping_add(slope * i as u64)
            };
            cells.iter().enumerate().map(cell).collect()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn i2_cells_of_every_type_come_back_whole_and_in_boxes(
        words in cells(),
        row_len in 1_usize..40,
        corners in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 2),
        hole: prop::sample::Index,
    ) {
        let shape = [words.len() / row_len.min(words.len()), row_len.min(words.len())];
        let words = &words[..shape[0] * shape[1]];
        let start: Vec<usize> = shape.iter().zip(&corners).map(|(&len, corner)| corner.0.index(len)).collect();
        let part: Vec<usize> = (0..2).map(|axis| 1 + corners[axis].1.index(shape[axis] - start[axis])).collect();
        for dtype in DType::ALL {
            let mut cells = Cells::filled(dtype, words.len(), 0.0);
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()[..dtype.size()].to_vec()).collect();
            cells.as_bytes_mut().copy_from_slice(&bytes);
            // The bits of a cell of the type, so that floats have their images.
            let hole = words[hole.index(words.len())] & (u64::MAX >> (64 - 8 * dtype.size()));
            let plane = RawPlane { cells: &cells, filter: Filter::Auto, hole };
            let blob = encode(KEY, &[plane], &shape, FAST, None);
            let back = unpacked(&blob, dtype, &shape).expect("good");
            prop_assert_eq!(back.as_bytes(), cells.as_bytes());
            let dtypes = [dtype];
            let spec = BlobSpec::new(&shape, &dtypes, 1).expect("possible");
            with_dtype!(dtype, |T| {
                let mut out = vec![T::from_f64(0.0); part.iter().product()];
                decode_into(KEY, &blob, &spec, &start, &mut TileMut::whole(&mut out, &part).expect("fits")).expect("good");
                let whole = cells.as_slice::<T>().expect("typed");
                for (row, out) in out.chunks(part[1]).enumerate() {
                    let from = (start[0] + row) * shape[1] + start[1];
                    let (out, cells): (&[u8], &[u8]) =
                        (bytemuck::cast_slice(out), bytemuck::cast_slice(&whole[from..from + part[1]]));
                    prop_assert_eq!(out, cells);
                }
            });
        }
    }

    #[test]
    fn i2_no_forged_payload_panics(
        words in cells(),
        dtype in prop::sample::select(DType::ALL.to_vec()),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut cells = Cells::filled(dtype, words.len(), 0.0);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()[..dtype.size()].to_vec()).collect();
        cells.as_bytes_mut().copy_from_slice(&bytes);
        let mut blob = packed(&cells, &[1, words.len()]);
        for (at, byte) in edits {
            let at = at.index(blob.len());
            blob[at] = byte;
        }
        let sum = checksum(KEY, &blob[8..]);
        blob[..8].copy_from_slice(&sum.to_le_bytes());
        if let Ok(back) = unpacked(&blob, dtype, &[1, words.len()]) {
            prop_assert_eq!(back.len(), words.len());
        }
    }
}
