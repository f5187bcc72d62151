//! The header and the first image directory of a TIFF file.
//!
//! Every count and offset is held against the length of the file before anything is allocated for
//! it, so that a damaged or hostile file cannot ask for more memory than it has bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind as IoKind, Read, Seek, SeekFrom};

use crate::error::{Error, ErrorKind, Result};

/// A list read at once is at most this long; lists of block offsets are read in parts.
pub(super) const LIST_BYTES_MAX: u64 = 16 << 20;

/// Images in one file, at most, and those listed within directories, at most.
pub(super) const DIRECTORIES_MAX: usize = 1 << 16;

/// Entries of all directories of a file, at most: directories may lie over each other.
const ENTRIES_MAX: u64 = 1 << 21;

/// The tags the adapter names.
pub(super) mod tag {
    pub(in super::super) const NEW_SUBFILE_TYPE: u16 = 254;
    pub(in super::super) const SUBFILE_TYPE: u16 = 255;
    pub(in super::super) const WIDTH: u16 = 256;
    pub(in super::super) const HEIGHT: u16 = 257;
    pub(in super::super) const BITS_PER_SAMPLE: u16 = 258;
    pub(in super::super) const COMPRESSION: u16 = 259;
    pub(in super::super) const PHOTOMETRIC: u16 = 262;
    pub(in super::super) const FILL_ORDER: u16 = 266;
    pub(in super::super) const DESCRIPTION: u16 = 270;
    pub(in super::super) const STRIP_OFFSETS: u16 = 273;
    pub(in super::super) const ORIENTATION: u16 = 274;
    pub(in super::super) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(in super::super) const ROWS_PER_STRIP: u16 = 278;
    pub(in super::super) const STRIP_BYTE_COUNTS: u16 = 279;
    pub(in super::super) const PLANAR_CONFIGURATION: u16 = 284;
    pub(in super::super) const PREDICTOR: u16 = 317;
    pub(in super::super) const COLOR_MAP: u16 = 320;
    pub(in super::super) const TILE_WIDTH: u16 = 322;
    pub(in super::super) const TILE_LENGTH: u16 = 323;
    pub(in super::super) const TILE_OFFSETS: u16 = 324;
    pub(in super::super) const TILE_BYTE_COUNTS: u16 = 325;
    pub(in super::super) const SUB_DIRECTORIES: u16 = 330;
    pub(in super::super) const EXTRA_SAMPLES: u16 = 338;
    pub(in super::super) const SAMPLE_FORMAT: u16 = 339;
    pub(in super::super) const JPEG_TABLES: u16 = 347;
    pub(in super::super) const IMAGE_DEPTH: u16 = 32997;
    pub(in super::super) const YCBCR_SUBSAMPLING: u16 = 530;
    pub(in super::super) const LERC_PARAMETERS: u16 = 50674;
    pub(in super::super) const PIXEL_SCALE: u16 = 33550;
    pub(in super::super) const TIEPOINT: u16 = 33922;
    pub(in super::super) const TRANSFORMATION: u16 = 34264;
    pub(in super::super) const GEO_KEYS: u16 = 34735;
    pub(in super::super) const GEO_DOUBLES: u16 = 34736;
    pub(in super::super) const GEO_ASCII: u16 = 34737;
    pub(in super::super) const GDAL_METADATA: u16 = 42112;
    pub(in super::super) const GDAL_NODATA: u16 = 42113;
    pub(in super::super) const RPC: u16 = 50844;
}

/// The order of the bytes of a number in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    /// Whether numbers are stored as this machine holds them.
    pub(super) fn is_native(self) -> bool {
        (self == ByteOrder::Little) == cfg!(target_endian = "little")
    }

    /// The unsigned integer in up to eight bytes.
    fn unsigned(self, bytes: &[u8]) -> u64 {
        let join = |value: u64, byte: &u8| (value << 8) | u64::from(*byte);
        match self {
            ByteOrder::Little => bytes.iter().rev().fold(0, join),
            ByteOrder::Big => bytes.iter().fold(0, join),
        }
    }
}

/// The type of a field's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldType {
    Unsigned(u64),
    Text,
    Float,
    Double,
    /// Signed numbers, rationals and opaque bytes: no tag of ours has them.
    Other(u64),
}

impl FieldType {
    fn of_code(code: u64) -> Option<Self> {
        Some(match code {
            1 => FieldType::Unsigned(1),
            2 => FieldType::Text,
            3 => FieldType::Unsigned(2),
            4 | 13 => FieldType::Unsigned(4),
            16 | 18 => FieldType::Unsigned(8),
            6 | 7 => FieldType::Other(1),
            8 => FieldType::Other(2),
            9 => FieldType::Other(4),
            5 | 10 | 17 => FieldType::Other(8),
            11 => FieldType::Float,
            12 => FieldType::Double,
            _ => return None,
        })
    }

    fn size(self) -> u64 {
        match self {
            FieldType::Unsigned(size) | FieldType::Other(size) => size,
            FieldType::Text => 1,
            FieldType::Float => 4,
            FieldType::Double => 8,
        }
    }
}

/// Where the values of one tag stand in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    tag: u16,
    kind: FieldType,
    /// How many values.
    pub(super) count: u64,
    /// The offset of the first one, in the directory itself if they fit there.
    at: u64,
}

/// The entries of one directory by tag.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    entries: BTreeMap<u16, Entry>,
    /// Where the next one stands; 0 behind the last.
    pub(super) next: u64,
}

impl Directory {
    pub(super) fn get(&self, tag: u16) -> Option<&Entry> {
        self.entries.get(&tag)
    }
}

/// The bytes of a TIFF file, of known length and byte order.
#[derive(Debug)]
pub(super) struct TiffBytes<R> {
    reader: R,
    /// Bytes in the file.
    len: u64,
    pub(super) order: ByteOrder,
    /// Whether it is a BigTIFF.
    big: bool,
    /// Where the directories are that were read.
    read: BTreeSet<u64>,
    /// The entries of these.
    entries: u64,
}

impl<R: Read + Seek> TiffBytes<R> {
    /// Reads the header and the directories of the file's chain, as far as it can be followed, and
    /// says whether that is to its end.
    pub(super) fn open(reader: R) -> Result<(Self, Vec<Directory>, bool)> {
        let (mut source, at) = Self::header(reader)?;
        let first = source.directory(at)?;
        let mut next = first.next;
        let mut directories = vec![first];
        while next != 0 {
            let Some(directory) = source.further(next)? else {
                return Ok((source, directories, false));
            };
            next = directory.next;
            directories.push(directory);
        }
        Ok((source, directories, true))
    }

    /// Reads the header; the offset of the first directory.
    fn header(mut reader: R) -> Result<(Self, u64)> {
        let len = reader
            .seek(SeekFrom::End(0))
            .map_err(|error| unreadable(&error))?;
        let mut source = Self {
            reader,
            len,
            order: ByteOrder::Little,
            big: false,
            read: BTreeSet::new(),
            entries: 0,
        };
        if len < 8 {
            return Err(Error::invalid(format!(
                "the file is not a TIFF: it has {len} bytes"
            )));
        }
        let head = source.bytes(0, 8, "the header")?;
        source.order = match &head[..2] {
            b"II" => ByteOrder::Little,
            b"MM" => ByteOrder::Big,
            _ => {
                return Err(Error::invalid(
                    "the file is not a TIFF: it starts neither with `II` nor with `MM`",
                ));
            }
        };
        let order = source.order;
        let (big, at) = match (
            order.unsigned(&head[2..4]),
            order.unsigned(&head[4..6]),
            order.unsigned(&head[6..8]),
        ) {
            (42, ..) => (false, order.unsigned(&head[4..8])),
            (43, 8, 0) => (
                true,
                order.unsigned(&source.bytes(8, 8, "the BigTIFF header")?),
            ),
            (version, ..) => {
                return Err(Error::invalid(format!(
                    "the file is not a TIFF: its version is {version}, not 42 or 43"
                )));
            }
        };
        source.big = big;
        Ok((source, at))
    }

    /// Whether the directory at an offset was read.
    pub(super) fn has_read(&self, at: u64) -> bool {
        self.read.contains(&at)
    }

    /// A directory behind or within the first; `None` if it is damaged or was read before, or if
    /// there are too many.
    pub(super) fn further(&mut self, at: u64) -> Result<Option<Directory>> {
        if self.has_read(at) || self.read.len() >= DIRECTORIES_MAX {
            return Ok(None);
        }
        match self.directory(at) {
            Err(error) if *error.kind() == ErrorKind::Invalid => Ok(None),
            found => found.map(Some),
        }
    }

    /// The directory at an offset. Entries of unknown types are skipped; of two with one tag the
    /// first counts.
    fn directory(&mut self, at: u64) -> Result<Directory> {
        self.read.insert(at);
        let big = self.big;
        let (count_len, entry_len, field_len) = if big { (8, 20, 8) } else { (2, 12, 4) };
        let order = self.order;
        let count = order.unsigned(&self.bytes(at, count_len, "the image directory")?);
        if count == 0 || count > u64::from(u16::MAX) {
            return Err(Error::invalid(format!(
                "the image directory claims {count} entries"
            )));
        }
        self.entries += count;
        if self.entries > ENTRIES_MAX {
            return Err(Error::invalid(format!(
                "the image directories claim more than {ENTRIES_MAX} entries"
            )));
        }
        let first = at + count_len;
        let table = self.bytes(first, count * entry_len, "the image directory")?;
        let mut entries = BTreeMap::new();
        let mut entry_at = first;
        for entry in table.chunks_exact(if big { 20 } else { 12 }) {
            let field = entry.len() - if big { 8 } else { 4 };
            let tag = u16::try_from(order.unsigned(&entry[..2])).unwrap_or_default();
            let count = order.unsigned(&entry[4..field]);
            if let Some(kind) = FieldType::of_code(order.unsigned(&entry[2..4])) {
                let inline = count
                    .checked_mul(kind.size())
                    .is_some_and(|bytes| bytes <= field_len);
                let at = if inline {
                    entry_at + entry_len - field_len
                } else {
                    order.unsigned(&entry[field..])
                };
                entries.entry(tag).or_insert(Entry {
                    tag,
                    kind,
                    count,
                    at,
                });
            }
            entry_at += entry_len;
        }
        // Some writers end the file here.
        let link = first + count * entry_len;
        let next = if link == self.len {
            0
        } else {
            match self.bytes(link, field_len, "the link to the next image") {
                Ok(bytes) => order.unsigned(&bytes),
                // A link that is cut off leads nowhere.
                Err(error) if *error.kind() == ErrorKind::Invalid => u64::MAX,
                Err(error) => return Err(error),
            }
        };
        Ok(Directory { entries, next })
    }

    /// What the bytes are read from.
    pub(super) fn reader(&self) -> &R {
        &self.reader
    }

    /// The same, to read from.
    pub(super) fn reader_mut(&mut self) -> &mut R {
        &mut self.reader
    }

    /// Bytes in the file.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// `len` bytes at an offset, `what` for the error if the file has no such bytes.
    pub(super) fn bytes(&mut self, at: u64, len: u64, what: &str) -> Result<Vec<u8>> {
        let end = at.checked_add(len).filter(|end| *end <= self.len);
        let (Some(_), Ok(len)) = (end, usize::try_from(len)) else {
            return Err(Error::invalid(format!(
                "the TIFF is truncated or damaged: {what} should be {len} bytes at offset {at} of a file of {} bytes",
                self.len
            )));
        };
        let mut bytes = vec![0; len];
        self.reader
            .seek(SeekFrom::Start(at))
            .map_err(|error| unreadable(&error))?;
        self.reader
            .read_exact(&mut bytes)
            .map_err(|error| unreadable(&error))?;
        Ok(bytes)
    }

    /// Whether the file is long enough for the values of an entry to stand where it says.
    pub(super) fn holds(&self, entry: &Entry) -> bool {
        let end = entry
            .count
            .checked_mul(entry.kind.size())
            .and_then(|bytes| entry.at.checked_add(bytes));
        end.is_some_and(|end| end <= self.len)
    }

    /// The values of an unsigned tag from index `first`, `len` of them.
    pub(super) fn unsigned(&mut self, entry: &Entry, first: u64, len: u64) -> Result<Vec<u64>> {
        let FieldType::Unsigned(size) = entry.kind else {
            return Err(Error::invalid(format!(
                "tag {} of the TIFF does not hold unsigned integers",
                entry.tag
            )));
        };
        if first.checked_add(len).is_none_or(|end| end > entry.count) {
            return Err(Error::invalid(format!(
                "tag {} of the TIFF has {} values; more are needed",
                entry.tag, entry.count
            )));
        }
        let order = self.order;
        let bytes = self.values(entry, first, len)?;
        // A kind's size is at most eight.
        Ok(bytes
            .chunks_exact(usize::try_from(size).unwrap_or(1))
            .map(|value| order.unsigned(value))
            .collect())
    }

    /// All values of an unsigned tag, or none if the tag is absent.
    pub(super) fn unsigned_list(&mut self, directory: &Directory, tag: u16) -> Result<Vec<u64>> {
        match directory.get(tag).copied() {
            Some(entry) => self.unsigned(&entry, 0, entry.count),
            None => Ok(Vec::new()),
        }
    }

    /// The first value of an unsigned tag, if the tag is there.
    pub(super) fn unsigned_one(&mut self, directory: &Directory, tag: u16) -> Result<Option<u64>> {
        match directory.get(tag).copied() {
            Some(entry) => Ok(self.unsigned(&entry, 0, 1)?.first().copied()),
            None => Ok(None),
        }
    }

    /// All values of a floating-point tag, or none if the tag is absent.
    pub(super) fn doubles(&mut self, directory: &Directory, tag: u16) -> Result<Vec<f64>> {
        let Some(entry) = directory.get(tag).copied() else {
            return Ok(Vec::new());
        };
        let order = self.order;
        let bytes = self.values(&entry, 0, entry.count)?;
        match entry.kind {
            FieldType::Double => Ok(bytes
                .chunks_exact(8)
                .map(|value| f64::from_bits(order.unsigned(value)))
                .collect()),
            FieldType::Float => Ok(bytes
                .chunks_exact(4)
                .map(|value| {
                    f64::from(f32::from_bits(
                        u32::try_from(order.unsigned(value)).unwrap_or_default(),
                    ))
                })
                .collect()),
            _ => Err(Error::invalid(format!(
                "tag {tag} of the TIFF does not hold floating-point numbers"
            ))),
        }
    }

    /// The bytes of a tag of text or opaque bytes, NULs included, or none if the tag is absent.
    pub(super) fn text_bytes(&mut self, directory: &Directory, tag: u16) -> Result<Vec<u8>> {
        let Some(entry) = directory.get(tag).copied() else {
            return Ok(Vec::new());
        };
        if entry.kind.size() != 1 {
            return Err(Error::invalid(format!(
                "tag {tag} of the TIFF does not hold text"
            )));
        }
        self.values(&entry, 0, entry.count)
    }

    /// The text of an ASCII tag up to its first NUL. Bytes that are not UTF-8 are replaced.
    pub(super) fn text(&mut self, directory: &Directory, tag: u16) -> Result<String> {
        let bytes = self.text_bytes(directory, tag)?;
        let end = bytes
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(bytes.len());
        Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }

    fn values(&mut self, entry: &Entry, first: u64, len: u64) -> Result<Vec<u8>> {
        let size = entry.kind.size();
        let bytes = len
            .checked_mul(size)
            .filter(|bytes| *bytes <= LIST_BYTES_MAX);
        let at = first
            .checked_mul(size)
            .and_then(|skip| entry.at.checked_add(skip));
        let (Some(bytes), Some(at)) = (bytes, at) else {
            return Err(Error::invalid(format!(
                "tag {} of the TIFF claims {} values",
                entry.tag, entry.count
            )));
        };
        self.bytes(at, bytes, &format!("the value of tag {}", entry.tag))
    }
}

fn unreadable(error: &std::io::Error) -> Error {
    let cause = std::io::Error::new(error.kind(), error.to_string());
    match error.kind() {
        IoKind::UnexpectedEof => Error::invalid("the TIFF ends while it is read").because(cause),
        _ => Error::unavailable("the TIFF cannot be read").because(cause),
    }
}
