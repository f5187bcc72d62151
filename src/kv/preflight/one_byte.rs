//! Whether one damaged byte is all that is wrong with the end of a log.
//!
//! A write that was cut short leaves zeros or nothing; a bit that flipped leaves a record of full
//! length that would be sound with another byte in one place. A checksum of this kind is linear, so
//! that the place can be computed.

use super::log::{HEADER_BYTES, SECTOR_BYTES, is_type, masked, unmasked};

/// The byte of a fragment at `at` of a block that is damaged, if another value of it alone makes
/// the fragment sound: its position, and its difference from what was written.
pub(super) fn damaged_byte(block: &[u8], at: usize) -> Option<(usize, u8)> {
    let bytes = block
        .get(at..)
        .filter(|bytes| bytes.len() >= HEADER_BYTES)?;
    let (byte, difference) = in_place(bytes).or_else(|| in_length(bytes))?;
    // A sector that was not written ends with zeros, be it by one byte.
    let sector = (at + byte + 1)
        .next_multiple_of(SECTOR_BYTES)
        .min(block.len())
        - at;
    bytes[byte..sector]
        .iter()
        .any(|byte| *byte != 0)
        .then_some((byte, difference))
}

fn stored(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// The damaged byte of a fragment whose length is sound.
fn in_place(bytes: &[u8]) -> Option<(usize, u8)> {
    let end = HEADER_BYTES + usize::from(u16::from_le_bytes([bytes[4], bytes[5]]));
    let covered = bytes.get(HEADER_BYTES - 1..end)?;
    let checksum = crc32c::crc32c(covered);
    let wrong = (masked(checksum) ^ stored(bytes)).to_le_bytes();
    if let (true, [position]) = (
        is_type(bytes[6]),
        &(0..4).filter(|at| wrong[*at] != 0).collect::<Vec<_>>()[..],
    ) {
        return Some((*position, wrong[*position]));
    }
    let table = ByteTable::new();
    let mut syndrome = checksum ^ unmasked(stored(bytes));
    for position in (HEADER_BYTES - 1..end).rev() {
        if let Some(difference) = table.byte_of(syndrome) {
            let sound_type = position >= HEADER_BYTES || is_type(bytes[position] ^ difference);
            return sound_type.then_some((position, difference));
        }
        syndrome = table.before(syndrome);
    }
    None
}

/// The damaged byte of the length.
fn in_length(bytes: &[u8]) -> Option<(usize, u8)> {
    if !is_type(bytes[6]) {
        return None;
    }
    let mut lengths: Vec<(usize, usize)> = (0..=u8::MAX)
        .flat_map(|byte| [(4, [byte, bytes[5]]), (5, [bytes[4], byte])])
        .map(|(position, length)| (usize::from(u16::from_le_bytes(length)), position))
        .collect();
    lengths.sort_unstable();
    let (mut checksum, mut known) = (0, HEADER_BYTES - 1);
    for (length, position) in lengths {
        let more = bytes.get(known..HEADER_BYTES + length)?;
        (checksum, known) = (crc32c::crc32c_append(checksum, more), HEADER_BYTES + length);
        if masked(checksum) == stored(bytes) {
            return Some((
                position,
                length.to_le_bytes()[position - 4] ^ bytes[position],
            ));
        }
    }
    None
}

/// What a byte adds to the checksum of what stands before it.
struct ByteTable {
    of: [u32; 256],
    /// The byte whose entry has this highest byte; there is one.
    by_highest: [u8; 256],
}

impl ByteTable {
    fn new() -> Self {
        let mut table = Self {
            of: [0; 256],
            by_highest: [0; 256],
        };
        for byte in 0..=u8::MAX {
            // The checksum inverts its state before and after.
            let entry = crc32c::crc32c_append(u32::MAX, &[byte]) ^ u32::MAX;
            table.of[usize::from(byte)] = entry;
            table.by_highest[usize::from(entry.to_le_bytes()[3])] = byte;
        }
        table
    }

    /// The difference of one last byte that makes this difference of checksums.
    fn byte_of(&self, syndrome: u32) -> Option<u8> {
        let byte = self.by_highest[usize::from(syndrome.to_le_bytes()[3])];
        (byte != 0 && self.of[usize::from(byte)] == syndrome).then_some(byte)
    }

    /// The difference of checksums before an equal byte.
    fn before(&self, syndrome: u32) -> u32 {
        let byte = self.by_highest[usize::from(syndrome.to_le_bytes()[3])];
        (syndrome ^ self.of[usize::from(byte)]) << 8 | u32::from(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(bytes: usize) -> Vec<u8> {
        let payload: Vec<u8> = (0..bytes)
            .map(|at| (at * 31 % 256).to_le_bytes()[0])
            .collect();
        let covered = [&[1][..], &payload].concat();
        let length = u16::try_from(bytes).expect("it fits a block").to_le_bytes();
        [
            &masked(crc32c::crc32c(&covered)).to_le_bytes()[..],
            &length,
            &covered,
        ]
        .concat()
    }

    #[test]
    fn every_damaged_byte_is_found_where_it_is() {
        for bytes in [0, 1, 60, 700, 32_000] {
            let sound = fragment(bytes);
            let step = 1 + sound.len() / 900;
            for at in (0..sound.len()).filter(|at| *at < 8 || at % step == 0) {
                for difference in [1, 128, 0x55, 0xff] {
                    let mut damaged = sound.clone();
                    damaged[at] ^= difference;
                    let zero = damaged[at..]
                        .iter()
                        .take(512 - at % 512)
                        .all(|byte| *byte == 0);
                    // Another type that is one is another fragment; zeros are what a lost sector
                    // leaves.
                    let expected = (!zero).then_some((at, difference));
                    assert_eq!(
                        damaged_byte(&damaged, 0),
                        expected,
                        "byte {at} of {bytes} by {difference}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_was_cut_or_lost_is_explained_by_no_byte() {
        let sound = fragment(3000);
        for cut in 0..sound.len() {
            assert_eq!(damaged_byte(&sound[..cut], 0), None, "cut at {cut}");
            let mut lost = sound.clone();
            lost[cut.next_multiple_of(512).min(sound.len())..].fill(0);
            let unsound = lost != sound;
            assert!(
                !unsound || damaged_byte(&lost, 0).is_none(),
                "lost from {cut}"
            );
        }
        assert_eq!(damaged_byte(&[5; 3000], 9), None);
    }
}
