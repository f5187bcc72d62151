//! The log format of the database: blocks of 32 KiB, records cut into fragments that never cross a
//! block.
//!
//! A fragment is a masked CRC-32C (4 bytes), a length (2), a type (1) and a payload; the checksum
//! covers type and payload. A block's last bytes, too few for a header, are zero.

use std::io::{self, Read};

use super::bytes::le_u32;
use super::one_byte::damaged_byte;

/// The bytes of a block.
pub const BLOCK_BYTES: usize = 32 << 10;
/// The bytes of a fragment's header.
pub const HEADER_BYTES: usize = 7;

/// What no write leaves behind, but a medium that lost one does: zeros where nothing was written,
/// of a whole sector, or from where a record is to begin to the end of a sector.
pub(super) const SECTOR_BYTES: usize = 512;

const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// How a log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With its last record.
    Clean,
    /// With what a crash leaves of records that were not synced. `resumes` is where sound records
    /// follow a hole.
    Torn {
        /// Where sound records follow.
        resumes: Option<u64>,
    },
    /// With a damaged record, although a sound one follows.
    Damaged {
        /// Where the damaged fragment begins.
        at: u64,
        /// Where the next sound fragment begins.
        next: u64,
        /// The byte that is damaged, if one is: where it is, and its difference from what was
        /// written.
        byte: Option<(u64, u8)>,
    },
    /// With a record that has one damaged byte, and would be the last one.
    OneByte {
        /// Where the damaged fragment begins.
        at: u64,
        /// Where the damaged byte is, and its difference from what was written.
        byte: (u64, u8),
    },
    /// With a sound fragment that does not belong there.
    Foreign {
        /// Where it begins.
        at: u64,
        /// Its type.
        fragment_type: u8,
    },
}

/// What was read of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScannedLog {
    /// Where the last whole record ends.
    pub end: u64,
    /// What follows there.
    pub ending: Ending,
    /// Whether that is a record that is sound as far as the file goes: the write of it has failed.
    pub cut: bool,
}

/// The beginning of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRecord<'a> {
    /// Where it begins.
    pub at: u64,
    /// Its first bytes, as many as were asked for.
    pub head: &'a [u8],
}

/// Reads a log to its end, or to where it stops making sense. `visit` gets the first `head_bytes`
/// of each whole record.
pub fn scan<E: From<io::Error>>(
    mut source: impl Read,
    head_bytes: usize,
    mut visit: impl FnMut(LogRecord<'_>) -> Result<(), E>,
) -> Result<ScannedLog, E> {
    let mut block = LogBlock::default();
    let mut open: Option<(u64, Vec<u8>)> = None;
    let mut end = 0;
    while block.fill(&mut source)? {
        let mut at = 0;
        while at < block.bytes.len() {
            let rest = &block.bytes[at..];
            if rest.len() < HEADER_BYTES && block.is_whole() {
                break;
            }
            let offset = block.offset(at);
            let Some((fragment_type, payload)) = fragment(rest) else {
                let cut = !block.is_whole() && is_cut(rest);
                let ending = classify(block, at, &mut source)?;
                return Ok(ScannedLog { end, ending, cut });
            };
            at += HEADER_BYTES + payload.len();
            let foreign = ScannedLog {
                end,
                ending: Ending::Foreign {
                    at: offset,
                    fragment_type,
                },
                cut: false,
            };
            let (begins, head) = match (fragment_type, open.take()) {
                (FULL | FIRST, None) => (offset, Vec::new()),
                (MIDDLE | LAST, Some(open)) => open,
                _ => return Ok(foreign),
            };
            let head = extended(head, payload, head_bytes);
            if matches!(fragment_type, FULL | LAST) {
                visit(LogRecord {
                    at: begins,
                    head: &head,
                })?;
                end = block.offset(at);
            } else {
                open = Some((begins, head));
            }
        }
    }
    let ending = if open.is_none() && end >= block.trailer() {
        Ending::Clean
    } else {
        Ending::Torn { resumes: None }
    };
    Ok(ScannedLog {
        end,
        ending,
        cut: open.is_some(),
    })
}

/// The bytes of a record that is added to a log of a length.
pub fn record(mut at: u64, mut payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut begun = false;
    loop {
        let block = u64::try_from(BLOCK_BYTES).unwrap_or(u64::MAX);
        let left = usize::try_from(block - at % block).unwrap_or(BLOCK_BYTES);
        if left < HEADER_BYTES {
            bytes.extend(std::iter::repeat_n(0, left));
            at += u64::try_from(left).unwrap_or(0);
            continue;
        }
        let (part, rest) = payload.split_at(payload.len().min(left - HEADER_BYTES));
        let fragment_type = match (begun, rest.is_empty()) {
            (false, true) => FULL,
            (false, false) => FIRST,
            (true, false) => MIDDLE,
            (true, true) => LAST,
        };
        let covered = [&[fragment_type], part].concat();
        bytes.extend_from_slice(&masked(crc32c::crc32c(&covered)).to_le_bytes());
        // A part is shorter than a block.
        bytes.extend_from_slice(&u16::try_from(part.len()).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend_from_slice(&covered);
        if rest.is_empty() {
            return bytes;
        }
        at += u64::try_from(HEADER_BYTES + part.len()).unwrap_or(0);
        (payload, begun) = (rest, true);
    }
}

fn extended(mut head: Vec<u8>, payload: &[u8], head_bytes: usize) -> Vec<u8> {
    let missing = head_bytes.saturating_sub(head.len()).min(payload.len());
    head.extend_from_slice(&payload[..missing]);
    head
}

/// The fragment at the front: its type and payload, if its checksum holds.
fn fragment(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let header = bytes.get(..HEADER_BYTES)?;
    let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
    let end = HEADER_BYTES + length;
    let covered = bytes.get(HEADER_BYTES - 1..end)?;
    let fragment_type = header[6];
    // Zeros are no record, whatever a checksum of nothing says.
    (fragment_type != 0 && le_u32(header, 0)? == masked(crc32c::crc32c(covered)))
        .then(|| (fragment_type, &bytes[HEADER_BYTES..end]))
}

/// Whether the file ends within the fragment at the front.
fn is_cut(bytes: &[u8]) -> bool {
    let length = bytes
        .get(4..6)
        .map(|length| usize::from(u16::from_le_bytes([length[0], length[1]])));
    length.is_none_or(|length| HEADER_BYTES + length > bytes.len())
}

/// The database stores checksums of data that may itself hold checksums in this form.
pub(super) fn masked(checksum: u32) -> u32 {
    checksum.rotate_right(15).wrapping_add(MASK)
}

pub(super) fn unmasked(stored: u32) -> u32 {
    stored.wrapping_sub(MASK).rotate_left(15)
}

const MASK: u32 = 0xa282_ead8;

/// Whether it is the type of a fragment.
pub(super) fn is_type(byte: u8) -> bool {
    (FULL..=LAST).contains(&byte)
}

/// A fragment is not sound: is it the torn end of the log, or damage in the midst of it?
fn classify(mut block: LogBlock, bad: usize, source: &mut impl Read) -> io::Result<Ending> {
    let at = block.offset(bad);
    // Blocks begin with a sector.
    let sector = bad.next_multiple_of(SECTOR_BYTES).min(block.bytes.len());
    let unwritten = sector > bad && block.bytes[bad..sector].iter().all(|byte| *byte == 0);
    let byte = damaged_byte(&block.bytes, bad)
        .map(|(byte, difference)| (block.offset(bad + byte), difference));
    let mut hole = if unwritten {
        SECTOR_BYTES
    } else {
        longest_zeros(&block.bytes[bad..])
    };
    for next in bad + 1..block.bytes.len() {
        if fragment(&block.bytes[next..]).is_some_and(|(fragment_type, _)| fragment_type <= LAST) {
            let hole = if unwritten {
                SECTOR_BYTES
            } else {
                longest_zeros(&block.bytes[bad..next])
            };
            return Ok(verdict((at, byte), block.offset(next), hole));
        }
    }
    // Its length may be what is damaged, but a block begins with a fragment always.
    while block.fill(source)? {
        if fragment(&block.bytes).is_some_and(|(fragment_type, _)| fragment_type <= LAST) {
            return Ok(verdict((at, byte), block.offset(0), hole));
        }
        hole = hole.max(longest_zeros(&block.bytes));
    }
    Ok(
        byte.map_or(Ending::Torn { resumes: None }, |byte| Ending::OneByte {
            at,
            byte,
        }),
    )
}

fn verdict((at, byte): (u64, Option<(u64, u8)>), next: u64, hole: usize) -> Ending {
    if hole >= SECTOR_BYTES {
        Ending::Torn {
            resumes: Some(next),
        }
    } else {
        Ending::Damaged { at, next, byte }
    }
}

fn longest_zeros(bytes: &[u8]) -> usize {
    bytes
        .split(|byte| *byte != 0)
        .map(<[u8]>::len)
        .max()
        .unwrap_or(0)
}

/// The block that is being read.
#[derive(Default)]
struct LogBlock {
    start: u64,
    bytes: Vec<u8>,
}

impl LogBlock {
    /// Reads the next block; false at the end.
    fn fill(&mut self, source: &mut impl Read) -> io::Result<bool> {
        let start = self.offset(self.bytes.len());
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        source
            .by_ref()
            .take(u64::try_from(BLOCK_BYTES).unwrap_or(u64::MAX))
            .read_to_end(&mut bytes)?;
        let more = !bytes.is_empty();
        *self = Self { start, bytes };
        Ok(more)
    }

    fn is_whole(&self) -> bool {
        self.bytes.len() == BLOCK_BYTES
    }

    fn offset(&self, position: usize) -> u64 {
        self.start + u64::try_from(position).unwrap_or(u64::MAX)
    }

    /// Where a log that ends here may end: at the end, or at a block's last bytes that cannot hold
    /// a header.
    fn trailer(&self) -> u64 {
        let end = self.offset(self.bytes.len());
        let block = u64::try_from(BLOCK_BYTES).unwrap_or(u64::MAX);
        let header = u64::try_from(HEADER_BYTES).unwrap_or(u64::MAX);
        if end.is_multiple_of(block) {
            end.saturating_sub(header - 1)
        } else {
            end
        }
    }
}
