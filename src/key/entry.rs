//! What the directory says of a chunk, and the ticks of events in it.

use std::ops::Deref;
use std::sync::Arc;

use super::{KeyError, take, wrong};

/// What the directory says of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The length of its blob in bytes; 0 where there is none, but chunks of events lie below.
    pub bytes: u64,
    /// The checksum of its blob.
    pub checksum: u64,
    /// The ticks of its events, rising, if it holds events.
    pub ticks: Option<Ticks>,
}

impl DirectoryEntry {
    /// The entry at a place of the base below which chunks of events lie.
    pub const BRANCH: DirectoryEntry = DirectoryEntry {
        bytes: 0,
        checksum: 0,
        ticks: None,
    };

    /// The value of the entry.
    pub fn encode(&self) -> Vec<u8> {
        let bytes = u32::try_from(self.bytes).unwrap_or(u32::MAX).to_be_bytes();
        let mut value = [bytes.as_slice(), &self.checksum.to_be_bytes()].concat();
        self.ticks.iter().for_each(|ticks| ticks.encode(&mut value));
        value
    }

    /// The entry that a value stands for.
    pub fn decode(mut value: &[u8]) -> Result<Self, KeyError> {
        let bytes = u64::from(u32::from_be_bytes(take(
            &mut value,
            "four bytes of length",
        )?));
        let checksum = u64::from_be_bytes(take(&mut value, "eight bytes of checksum")?);
        let ticks = if value.is_empty() {
            None
        } else {
            Some(Ticks::decode(value)?)
        };
        Ok(Self {
            bytes,
            checksum,
            ticks,
        })
    }
}

/// A number of 7 bits.
fn group(bits: u64) -> u8 {
    u8::try_from(bits).unwrap_or(0x7f)
}

/// One tick or several, rising. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticks(Arc<[i64]>);

impl Ticks {
    /// Ticks that rise; `None` if there are none, or they do not.
    pub fn new(ticks: impl Into<Arc<[i64]>>) -> Option<Self> {
        let ticks = ticks.into();
        (!ticks.is_empty() && ticks.is_sorted_by(|a, b| a < b)).then_some(Self(ticks))
    }

    /// Appends the bytes: the first tick, and the distance of each further one in groups of 7 bits,
    /// the lowest group first, all but the last with the highest bit set.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.0[0].to_be_bytes());
        for pair in self.0.windows(2) {
            let mut distance = pair[1].abs_diff(pair[0]);
            while distance > 0x7f {
                bytes.push(group(distance & 0x7f) | 0x80);
                distance >>= 7;
            }
            bytes.push(group(distance));
        }
    }

    /// The ticks that bytes stand for. There are no more of them than bytes.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, KeyError> {
        let mut last = i64::from_be_bytes(take(&mut bytes, "eight bytes of a tick")?);
        let mut ticks = vec![last];
        while !bytes.is_empty() {
            let (mut distance, mut shift) = (0_u64, 0_u32);
            loop {
                let [byte] = take(&mut bytes, "the rest of a tick")?;
                let group = u64::from(byte & 0x7f);
                let placed = group
                    .checked_shl(shift)
                    .filter(|placed| placed >> shift == group)
                    .ok_or(wrong("a tick in range"))?;
                distance |= placed;
                shift += 7;
                if byte & 0x80 == 0 {
                    // A last group of 0 would be a second encoding.
                    if byte == 0 {
                        return Err(wrong("ticks that rise"));
                    }
                    break;
                }
            }
            last = last
                .checked_add_unsigned(distance)
                .ok_or(wrong("a tick in range"))?;
            ticks.push(last);
        }
        Ok(Self(ticks.into()))
    }
}

impl Deref for Ticks {
    type Target = [i64];

    fn deref(&self) -> &[i64] {
        &self.0
    }
}
