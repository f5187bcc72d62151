//! The format of the database's tables, as far as their checksums go: which bits of a table have
//! flipped.
//!
//! A table is a row of blocks, each followed by a byte that says how it is compressed and a
//! checksum of both, and a footer of 53 bytes with a checksum of its own. The footer leads to the
//! block that lists the others, and one of these, the index, to those of data. A checksum is the
//! low half of the xxh3-64 of the block, the last byte apart, and moved by where the block stands.
//!
//! A bit of a block, of its checksum or of the footer is taken for one that flipped if its other
//! value, and that of no other bit, makes the checksum hold. Of blocks that are damaged otherwise
//! one in 2^32 / bits would be taken for such a one: of 4 KiB, one in 130,000; its keys and values
//! have checksums of their own behind that.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use super::bytes::{le_u32, le_u64, take_slice, take_varint};

const FOOTER_BYTES: usize = 53;
/// Where the fields of a footer are that matter: what its magic number goes on with, the checksum,
/// what moves the checksums of blocks, the length of the list of blocks, what is to be zero, the
/// version, and the magic number.
const AT_EXTENDED_MAGIC: usize = 1;
const AT_CHECKSUM: usize = 5;
const AT_CONTEXT: usize = 9;
const AT_LIST_BYTES: usize = 13;
const AT_RESERVED: usize = 33;
const AT_VERSION: usize = 41;
const AT_MAGIC: usize = 45;

const MAGIC: u64 = 0x88e2_41b7_85f4_cff7;
const EXTENDED_MAGIC: [u8; 4] = [0x3e, 0x00, 0x7a, 0x00];
const VERSIONS: Range<u32> = 6..8;
/// No version is greater for long.
const VERSION_MAX: u32 = 100;
/// The type of checksum that is known here.
const XXH3: u8 = 4;
const LAST_BYTE_PRIME: u32 = 0x6b90_83d9;

/// A block's compression type and its checksum.
const TRAILER_BYTES: usize = 5;
/// The number of restarts at the end of a block, without the bits that say something else, and
/// those of them with which a block has another form than the one that is known here.
const RESTARTS: u32 = (1 << 28) - 1;
const OTHER_FORMS: u32 = 1 << 31 | 1 << 30 | 1 << 28;
const INDEX: &[u8] = b"rocksdb.index";

/// Finding a bit takes a time that is the square of a block's length: seconds for this one.
const BLOCK_BYTES_MAX: usize = 64 << 10;
/// A table of which more blocks than this are damaged otherwise is no case of a flipped bit.
const DAMAGED_BLOCKS_MAX: usize = 4;

/// What came of giving flipped bits back what was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// The bytes in which a bit had flipped, and their differences from what was written.
    pub bytes: Vec<(usize, u8)>,
    /// Where blocks are that are damaged otherwise. Without the list of blocks or the index no more
    /// can be told.
    pub damaged: Vec<Range<usize>>,
}

/// Gives flipped bits of a table back what was written; `None` if it has a form that is not known
/// here, so that nothing can be told.
pub fn mend(table: &mut [u8]) -> Option<Mended> {
    let mut mended = Mended::default();
    let Some(footer_at) = table.len().checked_sub(FOOTER_BYTES) else {
        return Some(Mended::damaged(0..table.len()));
    };
    let footer = &mut table[footer_at..];
    if !is_footer(footer, footer_at) {
        let Some((at, difference)) = only_flip(footer, |footer| is_footer(footer, footer_at))
        else {
            let version =
                le_u32(footer, AT_VERSION).filter(|_| le_u64(footer, AT_MAGIC) == Some(MAGIC));
            let is_known =
                version.is_none_or(|version| VERSIONS.contains(&version) || version > VERSION_MAX);
            return is_known.then(|| Mended::damaged(footer_at..table.len()));
        };
        footer[at] ^= difference;
        mended.bytes.push((footer_at + at, difference));
    }
    let context = le_u32(table, footer_at + AT_CONTEXT)?;
    let list_end = footer_at.checked_sub(TRAILER_BYTES)?;
    let list = list_end
        .checked_sub(usize::try_from(le_u32(table, footer_at + AT_LIST_BYTES)?).ok()?)?
        ..list_end;
    if !mended.mend_block(table, context, list.clone()) {
        return Some(mended);
    }
    let listed = listed(&table[list])?;
    let index = listed
        .iter()
        .find(|(name, _)| name == INDEX)
        .map(|(_, block)| block.clone());
    for (_, block) in listed {
        mended.mend_block(table, context, block);
    }
    if let Some(index) = index.filter(|index| !mended.damaged.contains(index)) {
        for block in indexed(table.get(index)?)? {
            mended.mend_block(table, context, block);
        }
    }
    Some(mended)
}

impl Mended {
    /// Nothing is mended, and something is damaged.
    fn damaged(range: Range<usize>) -> Self {
        Self {
            bytes: Vec::new(),
            damaged: std::iter::once(range).collect(),
        }
    }

    /// Gives a flipped bit of a block back what was written; whether the block is sound then.
    fn mend_block(&mut self, table: &mut [u8], context: u32, block: Range<usize>) -> bool {
        let (start, length) = (block.start, block.len());
        let whole = block
            .end
            .checked_add(TRAILER_BYTES)
            .and_then(|end| table.get_mut(start..end));
        let Some(whole) = whole.filter(|_| length > 0) else {
            self.damaged.push(block);
            return false;
        };
        let is_sound = |whole: &[u8]| {
            Some(moved(checksum(&whole[..=length]), context, start)) == le_u32(whole, length + 1)
        };
        if is_sound(whole) {
            return true;
        }
        let worth = length <= BLOCK_BYTES_MAX && self.damaged.len() < DAMAGED_BLOCKS_MAX;
        let flip = if worth {
            only_flip(whole, is_sound)
        } else {
            None
        };
        match flip {
            Some((at, difference)) => {
                whole[at] ^= difference;
                self.bytes.push((start + at, difference));
                true
            }
            None => {
                self.damaged.push(block);
                false
            }
        }
    }
}

/// The only bit whose other value makes bytes sound: its byte, and the difference.
fn only_flip(bytes: &mut [u8], is_sound: impl Fn(&[u8]) -> bool) -> Option<(usize, u8)> {
    let mut found = None;
    for at in 0..bytes.len() {
        for difference in (0..8).map(|bit| 1 << bit) {
            bytes[at] ^= difference;
            let sound = is_sound(bytes);
            bytes[at] ^= difference;
            if sound && found.replace((at, difference)).is_some() {
                return None;
            }
        }
    }
    found
}

fn is_footer(footer: &[u8], at: usize) -> bool {
    let mut unsealed = footer.to_vec();
    unsealed[AT_CHECKSUM..AT_CONTEXT].fill(0);
    let (context, stored) = (le_u32(footer, AT_CONTEXT), le_u32(footer, AT_CHECKSUM));
    footer[0] == XXH3
        && footer[AT_EXTENDED_MAGIC..AT_CHECKSUM] == EXTENDED_MAGIC
        && le_u64(footer, AT_RESERVED) == Some(0)
        && le_u32(footer, AT_VERSION).is_some_and(|version| VERSIONS.contains(&version))
        && le_u64(footer, AT_MAGIC) == Some(MAGIC)
        && context.is_some_and(|context| stored == Some(moved(checksum(&unsealed), context, at)))
}

/// The checksum of bytes, of which there are some, wherever they stand.
fn checksum(bytes: &[u8]) -> u32 {
    let (last, before) = bytes.split_last().unwrap_or((&0, &[]));
    low_half(xxh3_64(before)) ^ u32::from(*last).wrapping_mul(LAST_BYTE_PRIME)
}

fn moved(checksum: u32, context: u32, at: usize) -> u32 {
    let at = u64::try_from(at).unwrap_or(u64::MAX);
    let by = if context == 0 {
        0
    } else {
        context ^ low_half(at).wrapping_add(low_half(at >> 32))
    };
    checksum.wrapping_add(by)
}

fn low_half(number: u64) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The names of blocks, and where they are.
fn listed(list: &[u8]) -> Option<Vec<(Vec<u8>, Range<usize>)>> {
    let (mut entries, mut blocks) = (entries(list)?, Vec::new());
    while !entries.is_empty() {
        let [shared, name_bytes, value_bytes] = [
            take_varint(&mut entries)?,
            take_varint(&mut entries)?,
            take_varint(&mut entries)?,
        ];
        let (name, rest) =
            entries.split_at_checked(usize::try_from(name_bytes).ok().filter(|_| shared == 0)?)?;
        let (mut value, rest) = rest.split_at_checked(usize::try_from(value_bytes).ok()?)?;
        blocks.push((name.to_vec(), block(&mut value)?));
        entries = rest;
    }
    Some(blocks)
}

/// Where the blocks of data are.
fn indexed(index: &[u8]) -> Option<Vec<Range<usize>>> {
    let (mut entries, mut blocks) = (entries(index)?, Vec::new());
    while !entries.is_empty() {
        let shared = take_varint(&mut entries)?;
        take_slice(&mut entries).filter(|_| shared == 0)?;
        blocks.push(block(&mut entries)?);
    }
    Some(blocks)
}

/// The entries of a block, without what says where the search in it may start.
fn entries(block: &[u8]) -> Option<&[u8]> {
    let at = block.len().checked_sub(size_of::<u32>())?;
    let restarts = usize::try_from(
        le_u32(block, at).filter(|restarts| restarts & OTHER_FORMS == 0)? & RESTARTS,
    )
    .ok()?;
    block.get(..at.checked_sub(restarts.checked_mul(size_of::<u32>())?)?)
}

fn block(handle: &mut &[u8]) -> Option<Range<usize>> {
    let (start, bytes) = (
        usize::try_from(take_varint(handle)?).ok()?,
        usize::try_from(take_varint(handle)?).ok()?,
    );
    Some(start..start.checked_add(bytes)?)
}
