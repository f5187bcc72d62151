//! Small values to records and back.
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | `GSR1` |
//! | 4 | kind |
//! | 5..9 | payload length, little-endian |
//! | 9..17 | xxh3-64 of bytes 0..9 and the payload, little-endian |
//! | 17.. | payload: bincode 2.0.1, standard configuration |

use bincode::config::{Configuration, Limit, LittleEndian, Varint, standard};
use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::DecodeError;
use super::header::expect;

const MAGIC: [u8; 4] = *b"GSR1";
const AT_KIND: usize = 4;
const AT_LEN: usize = 5;
const AT_CHECKSUM: usize = 9;
const ENVELOPE_LEN: usize = 17;

const _: () = assert!(AT_KIND == MAGIC.len());
const _: () = assert!(AT_CHECKSUM == AT_LEN + size_of::<u32>());
const _: () = assert!(ENVELOPE_LEN == AT_CHECKSUM + size_of::<u64>());

/// Bytes a payload may have, and memory its decoding may claim. Without a limit bincode 2.0.1
/// panics on a hostile length.
const PAYLOAD_LEN_MAX: usize = 1 << 20;

/// Looking for the bit of a record that flipped takes a time that is the square of its length: some
/// tenths of a second for this one.
const MENDED_LEN_MAX: usize = 16 << 10;

const CONFIG: Configuration<LittleEndian, Varint, Limit<PAYLOAD_LEN_MAX>> =
    standard().with_limit::<PAYLOAD_LEN_MAX>();

/// Encodes a value as a record of some kind.
///
/// # Errors
/// [`DecodeError::Record`] if the value cannot be serialised, or would be too long to be decoded.
pub fn encode_record<T: Serialize>(kind: u8, value: &T) -> Result<Vec<u8>, DecodeError> {
    let payload =
        bincode::serde::encode_to_vec(value, CONFIG).map_err(|e| DecodeError::Record {
            reason: e.to_string(),
        })?;
    let len = u32::try_from(payload.len())
        .ok()
        .filter(|_| payload.len() <= PAYLOAD_LEN_MAX);
    let len = len.ok_or_else(|| DecodeError::Record {
        reason: format!("its {} bytes are too many", payload.len()),
    })?;
    let mut record = Vec::with_capacity(ENVELOPE_LEN + payload.len());
    record.extend_from_slice(&MAGIC);
    record.push(kind);
    record.extend_from_slice(&len.to_le_bytes());
    record.extend_from_slice(&checksum(&record, &payload).to_le_bytes());
    record.extend_from_slice(&payload);
    Ok(record)
}

/// Decodes a record of a kind: the inverse of [`encode_record`].
pub fn decode_record<T: Serialize + DeserializeOwned>(
    kind: u8,
    bytes: &[u8],
) -> Result<T, DecodeError> {
    let (got, payload) = opened(bytes)?;
    expect("kind", kind.into(), got.into())?;
    let (value, used): (T, usize) =
        bincode::serde::decode_from_slice(payload, CONFIG).map_err(|e| DecodeError::Record {
            reason: e.to_string(),
        })?;
    if used != payload.len() {
        return Err(DecodeError::Trailing {
            bytes: payload.len() - used,
        });
    }
    // bincode accepts numbers that are longer than they need be: two records would be one value.
    let again = bincode::serde::encode_to_vec(&value, CONFIG).map_err(|e| DecodeError::Record {
        reason: e.to_string(),
    })?;
    if again != payload {
        return Err(DecodeError::Record {
            reason: "it is not the encoding of its value".to_owned(),
        });
    }
    Ok(value)
}

/// Whether bytes are a record of whatever kind: its checksum holds.
pub fn is_record(bytes: &[u8]) -> bool {
    opened(bytes).is_ok()
}

/// A damaged record as it was written, if one bit of it has flipped; `None` if it is sound, or
/// damaged otherwise.
pub fn mended_record(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() > MENDED_LEN_MAX || is_record(bytes) {
        return None;
    }
    let mut record = bytes.to_vec();
    for at in 0..record.len() {
        for difference in (0..8).map(|bit| 1 << bit) {
            record[at] ^= difference;
            if is_record(&record) {
                return Some(record);
            }
            record[at] ^= difference;
        }
    }
    None
}

/// The kind and the payload of a record.
fn opened(bytes: &[u8]) -> Result<(u8, &[u8]), DecodeError> {
    let truncated = |needed| DecodeError::Truncated {
        needed,
        got: bytes.len(),
    };
    let (envelope, payload) = bytes
        .split_first_chunk::<ENVELOPE_LEN>()
        .ok_or_else(|| truncated(ENVELOPE_LEN))?;
    let magic = u32::from_le_bytes(std::array::from_fn(|i| envelope[i]));
    expect(
        "magic number",
        u32::from_le_bytes(MAGIC).into(),
        magic.into(),
    )?;
    let len = u32::from_le_bytes(std::array::from_fn(|i| envelope[AT_LEN + i]));
    let len = usize::try_from(len)
        .ok()
        .filter(|&len| len <= PAYLOAD_LEN_MAX);
    let len = len.ok_or_else(|| DecodeError::Record {
        reason: "it says it is too long".to_owned(),
    })?;
    if payload.len() < len {
        return Err(truncated(ENVELOPE_LEN + len));
    }
    if payload.len() > len {
        return Err(DecodeError::Trailing {
            bytes: payload.len() - len,
        });
    }
    let got = u64::from_le_bytes(std::array::from_fn(|i| envelope[AT_CHECKSUM + i]));
    let expected = checksum(&envelope[..AT_CHECKSUM], payload);
    if got != expected {
        return Err(DecodeError::Checksum { expected, got });
    }
    Ok((envelope[AT_KIND], payload))
}

fn checksum(head: &[u8], payload: &[u8]) -> u64 {
    xxh3_64_with_seed(payload, xxh3_64(head))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Example {
        name: String,
        sizes: Vec<u64>,
        scale: Option<f64>,
    }

    fn example() -> Example {
        Example {
            name: "dem".to_owned(),
            sizes: vec![1, 300],
            scale: Some(0.5),
        }
    }

    fn sealed(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut record = [
            MAGIC.as_slice(),
            &[kind],
            &u32::try_from(payload.len()).expect("short").to_le_bytes(),
        ]
        .concat();
        record.extend_from_slice(&checksum(&record, payload).to_le_bytes());
        record.extend_from_slice(payload);
        record
    }

    #[test]
    fn i2_a_record_has_these_bytes() {
        let record = encode_record(3, &example()).expect("encodes");
        let payload = [
            3, b'd', b'e', b'm', 2, 1, 251, 44, 1, 1, 0, 0, 0, 0, 0, 0, 224, 63,
        ];
        assert_eq!(record[..9], [b'G', b'S', b'R', b'1', 3, 18, 0, 0, 0]);
        assert_eq!(record[17..], payload);
        assert_eq!(record[9..17], [253, 176, 0, 33, 218, 144, 46, 186]);
        assert_eq!(decode_record(3, &record), Ok(example()));
    }

    #[test]
    fn i2_every_bit_flip_and_every_cut_of_a_record_is_refused() {
        let record = encode_record(3, &example()).expect("encodes");
        for bit in 0..8 * record.len() {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            decode_record::<Example>(3, &flipped).expect_err("flipped");
            assert_eq!(mended_record(&flipped), Some(record.clone()), "bit {bit}");
            flipped[(bit / 8 + 5) % record.len()] ^= 1;
            assert_eq!(mended_record(&flipped), None, "bit {bit} and another");
        }
        assert_eq!(mended_record(&record), None, "it is sound");
        for len in 0..record.len() {
            decode_record::<Example>(3, &record[..len]).expect_err("cut");
        }
        let longer = [record.as_slice(), &[0]].concat();
        assert_eq!(
            decode_record::<Example>(3, &longer),
            Err(DecodeError::Trailing { bytes: 1 })
        );
        let other_kind = DecodeError::Field {
            field: "kind",
            expected: 4,
            got: 3,
        };
        assert_eq!(decode_record::<Example>(4, &record), Err(other_kind));
    }

    #[test]
    fn i2_a_second_encoding_of_a_value_is_refused() {
        assert_eq!(decode_record::<u64>(0, &sealed(0, &[5])), Ok(5));
        let padded = DecodeError::Record {
            reason: "it is not the encoding of its value".to_owned(),
        };
        assert_eq!(
            decode_record::<u64>(0, &sealed(0, &[251, 5, 0])),
            Err(padded)
        );
        assert_eq!(
            decode_record::<u64>(0, &sealed(0, &[5, 5])),
            Err(DecodeError::Trailing { bytes: 1 })
        );
    }

    #[test]
    fn i2_a_hostile_length_is_refused_before_memory_is_claimed() {
        let huge = sealed(0, &[253, 255, 255, 255, 255, 255, 255, 255, 255]);
        let DecodeError::Record { reason } =
            decode_record::<Vec<u64>>(0, &huge).expect_err("too long")
        else {
            panic!("refused for its payload");
        };
        assert_eq!(
            reason, "UnexpectedEnd { additional: 1 }",
            "it came to the end, not to the end of memory"
        );
        let DecodeError::Record { reason } =
            decode_record::<String>(0, &huge).expect_err("too long")
        else {
            panic!("refused for its payload");
        };
        assert_eq!(reason, "LimitExceeded");
        let too_long = encode_record(0, &vec![0_u8; PAYLOAD_LEN_MAX])
            .expect_err("with its length it is above the limit");
        assert_eq!(
            too_long,
            DecodeError::Record {
                reason: format!("its {} bytes are too many", PAYLOAD_LEN_MAX + 5)
            }
        );
    }

    proptest! {
        #[test]
        fn i2_records_round_trip(kind: u8, name: String, sizes: Vec<u64>, scale in proptest::option::of(-1e9..1e9)) {
            let value = Example { name, sizes, scale };
            let record = encode_record(kind, &value).expect("encodes");
            prop_assert_eq!(decode_record(kind, &record), Ok(value));
        }

        #[test]
        fn i2_no_payload_makes_a_record_panic(payload: Vec<u8>) {
            if let Ok(value) = decode_record::<Example>(1, &sealed(1, &payload)) {
                prop_assert_eq!(encode_record(1, &value), Ok(sealed(1, &payload)));
            }
        }
    }
}
