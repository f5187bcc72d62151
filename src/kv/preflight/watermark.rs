//! The watermark: what a store has promised to keep, written beside the logs that hold it.
//!
//! A log alone cannot tell a torn tail from lost data. This file is the second fact: it may lag
//! behind what is durable, as it is not synced itself, and it never runs ahead, as it is written
//! after a sync has returned.
//!
//! # Layout
//!
//! Two slots, at offsets 0 and 512, so that a torn write damages one of them at most. Integers are
//! little-endian.
//!
//! ```text
//! offset  bytes  meaning
//!      0      8  "gridmark"
//!      8      4  format version
//!     12      4  zero
//!     16      8  generation; the valid slot with the higher one holds, and an even one lies in the first slot
//!     24      8  the last synced sequence of the database
//!     32      8  the number of the manifest; 0 while the store is being created
//!     40      8  the length of that manifest's synced part
//!     48      8  XXH3-64 of the bytes before
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use xxhash_rust::xxh3::xxh3_64;

use super::bytes::{le_u32, le_u64};

/// The name of the file in a store's directory.
pub const WATERMARK: &str = "WATERMARK";

const MAGIC: [u8; 8] = *b"gridmark";
const FORMAT_VERSION: u32 = 1;
const SLOT_BYTES: usize = 56;
const SLOT_DISTANCE: u64 = 512;
/// The bytes of a watermark file.
const FILE_BYTES: usize = 512 + SLOT_BYTES;

/// What must be found when the store is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermark {
    /// The last synced sequence of the database.
    pub sequence: u64,
    /// The number of the manifest; 0 while the store is being created.
    pub manifest: u64,
    /// The length of that manifest's synced part.
    pub manifest_bytes: u64,
}

/// What a watermark file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundWatermark {
    /// A watermark and its generation.
    Valid(Watermark, u64),
    /// No slot is valid.
    Damaged,
    /// A slot is valid and of a format that this version does not know.
    Newer(u32),
}

/// Reads the bytes of a watermark file.
pub fn decode(bytes: &[u8]) -> FoundWatermark {
    let second = usize::try_from(SLOT_DISTANCE)
        .ok()
        .and_then(|distance| bytes.get(distance..))
        .unwrap_or_default();
    let slots = [decode_slot(bytes), decode_slot(second)];
    let newer = slots.iter().find_map(|slot| match slot {
        Some((version, ..)) if *version != FORMAT_VERSION => Some(*version),
        _ => None,
    });
    if let Some(version) = newer {
        return FoundWatermark::Newer(version);
    }
    let newest = slots
        .into_iter()
        .flatten()
        .max_by_key(|(_, generation, _)| *generation);
    newest.map_or(FoundWatermark::Damaged, |(_, generation, watermark)| {
        FoundWatermark::Valid(watermark, generation)
    })
}

fn decode_slot(bytes: &[u8]) -> Option<(u32, u64, Watermark)> {
    let slot = bytes.get(..SLOT_BYTES)?;
    let sound = slot.starts_with(&MAGIC) && le_u64(slot, 48)? == xxh3_64(&slot[..48]);
    let watermark = Watermark {
        sequence: le_u64(slot, 24)?,
        manifest: le_u64(slot, 32)?,
        manifest_bytes: le_u64(slot, 40)?,
    };
    sound.then_some((le_u32(slot, 8)?, le_u64(slot, 16)?, watermark))
}

fn encode_slot(watermark: Watermark, generation: u64) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..8].copy_from_slice(&MAGIC);
    slot[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    slot[16..24].copy_from_slice(&generation.to_le_bytes());
    slot[24..32].copy_from_slice(&watermark.sequence.to_le_bytes());
    slot[32..40].copy_from_slice(&watermark.manifest.to_le_bytes());
    slot[40..48].copy_from_slice(&watermark.manifest_bytes.to_le_bytes());
    let checksum = xxh3_64(&slot[..48]);
    slot[48..].copy_from_slice(&checksum.to_le_bytes());
    slot
}

/// A watermark file that is kept up to date.
#[derive(Debug)]
pub struct WatermarkFile {
    file: File,
    watermark: Watermark,
    generation: u64,
}

impl WatermarkFile {
    /// Goes on from what was found in a file.
    pub fn resume(file: File, watermark: Watermark, generation: u64) -> Self {
        Self {
            file,
            watermark,
            generation,
        }
    }

    /// Makes both slots of a file say that a store is being created.
    pub fn create(file: File) -> io::Result<Self> {
        let mut bytes = [0; FILE_BYTES];
        bytes[..SLOT_BYTES].copy_from_slice(&encode_slot(Watermark::default(), 0));
        bytes[FILE_BYTES - SLOT_BYTES..].copy_from_slice(&encode_slot(Watermark::default(), 1));
        file.write_all_at(&bytes, 0)?;
        file.sync_all()?;
        Ok(Self {
            file,
            watermark: Watermark::default(),
            generation: 1,
        })
    }

    /// Reads the bytes of a file that may hold a watermark.
    pub fn read(file: &File) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; FILE_BYTES];
        let mut filled = 0;
        while let read @ 1.. = file.read_at(
            &mut bytes[filled..],
            u64::try_from(filled).unwrap_or(u64::MAX),
        )? {
            filled += read;
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// The watermark as it was last written.
    pub fn watermark(&self) -> Watermark {
        self.watermark
    }

    /// Writes a watermark into the slot that does not hold. Costs one `pwrite`.
    pub fn write(&mut self, watermark: Watermark) -> io::Result<()> {
        let generation = self.generation + 1;
        self.file.write_all_at(
            &encode_slot(watermark, generation),
            generation % 2 * SLOT_DISTANCE,
        )?;
        (self.watermark, self.generation) = (watermark, generation);
        Ok(())
    }

    /// Waits until the watermark is on the medium.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(sequence: u64) -> Watermark {
        Watermark {
            sequence,
            manifest: 5,
            manifest_bytes: 461,
        }
    }

    fn written(sequences: &[u64]) -> Vec<u8> {
        let mut file =
            WatermarkFile::create(tempfile::tempfile().expect("a file")).expect("created");
        for sequence in sequences {
            file.write(mark(*sequence)).expect("written");
        }
        WatermarkFile::read(&file.file).expect("read")
    }

    #[test]
    fn the_last_watermark_holds() {
        assert_eq!(
            decode(&written(&[])),
            FoundWatermark::Valid(Watermark::default(), 1)
        );
        assert_eq!(decode(&written(&[7])), FoundWatermark::Valid(mark(7), 2));
        assert_eq!(
            decode(&written(&[7, 8, 9])),
            FoundWatermark::Valid(mark(9), 4)
        );
    }

    #[test]
    fn no_bit_flip_invents_a_watermark_and_one_leaves_at_least_the_one_before() {
        let bytes = written(&[7, 8]);
        let (mut newest, mut older) = (0, 0);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match decode(&flipped) {
                FoundWatermark::Valid(watermark, 3) if watermark == mark(8) => newest += 1,
                FoundWatermark::Valid(watermark, 2) if watermark == mark(7) => older += 1,
                other => panic!("bit {bit} made it {other:?}"),
            }
        }
        assert_eq!(
            (newest, older),
            (bytes.len() * 8 - SLOT_BYTES * 8, SLOT_BYTES * 8)
        );
    }

    #[test]
    fn a_cut_file_holds_what_its_whole_slots_hold() {
        let bytes = written(&[7, 8]);
        for length in 0..bytes.len() {
            let expected = if length < SLOT_BYTES {
                FoundWatermark::Damaged
            } else {
                FoundWatermark::Valid(mark(7), 2)
            };
            assert_eq!(decode(&bytes[..length]), expected, "{length}");
        }
    }

    /// The layout of the module's documentation, byte by byte.
    #[test]
    fn the_layout_is_the_documented_one() {
        let slot = encode_slot(
            Watermark {
                sequence: 0x0102,
                manifest: 3,
                manifest_bytes: 4,
            },
            6,
        );
        let mut expected =
            b"gridmark\x01\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\x02\x01\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0".to_vec();
        expected.extend(xxh3_64(&expected).to_le_bytes());
        assert_eq!(slot.as_slice(), expected);
        let mut newer = slot;
        newer[8] = 2;
        let checksum = xxh3_64(&newer[..48]).to_le_bytes();
        newer[48..].copy_from_slice(&checksum);
        assert_eq!(decode(&newer), FoundWatermark::Newer(2));
    }
}
