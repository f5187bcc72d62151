//! The fields of a directory as they are written: the values of a tag each, as bytes.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// How wide the numbers of a file are that say where something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    /// Offsets of 32 bits.
    Classic,
    /// Offsets of 64 bits.
    Big,
}

/// The code of the type of a field's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FieldCode {
    Text = 2,
    Short = 3,
    Long = 4,
    Double = 12,
    Long8 = 16,
}

impl FieldCode {
    fn size(self) -> usize {
        match self {
            Self::Text => 1,
            Self::Short => 2,
            Self::Long => 4,
            Self::Double | Self::Long8 => 8,
        }
    }
}

#[derive(Clone, Debug)]
struct DirectoryField {
    kind: FieldCode,
    bytes: Vec<u8>,
    /// Whether the values stand behind all directories.
    late: bool,
}

/// The fields of one directory.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(BTreeMap<u16, DirectoryField>);

/// Where the values of late fields stand in the file.
pub(super) type FieldPlaces = BTreeMap<u16, usize>;

impl Container {
    /// The bytes in front of everything: byte order, version, and where the first directory stands.
    pub(super) fn header(self, first: usize) -> Vec<u8> {
        let order = if cfg!(target_endian = "little") {
            b"II"
        } else {
            b"MM"
        };
        let mut bytes = order.to_vec();
        match self {
            Self::Classic => bytes.extend(42_u16.to_ne_bytes()),
            Self::Big => [43_u16, 8, 0]
                .iter()
                .for_each(|word| bytes.extend(word.to_ne_bytes())),
        }
        self.push(&mut bytes, first);
        bytes
    }

    pub(super) fn header_len(self) -> usize {
        match self {
            Self::Classic => 8,
            Self::Big => 16,
        }
    }

    /// The size of an offset, and of what stands in a directory itself.
    fn word(self) -> usize {
        match self {
            Self::Classic => 4,
            Self::Big => 8,
        }
    }

    fn entry_len(self) -> usize {
        4 + 2 * self.word()
    }

    fn table_len(self, entries: usize) -> usize {
        let count = match self {
            Self::Classic => 2,
            Self::Big => 8,
        };
        count + entries * self.entry_len() + self.word()
    }

    /// A number as wide as an offset. What stands in front of all cells is far below 4 GiB.
    fn push(self, bytes: &mut Vec<u8>, number: usize) {
        match self {
            Self::Classic => {
                bytes.extend(u32::try_from(number).unwrap_or(u32::MAX).to_ne_bytes());
            }
            Self::Big => bytes.extend((number as u64).to_ne_bytes()),
        }
    }

    /// An offset; an [`Unavailable`](crate::ErrorKind::Unavailable) error if it is beyond what the
    /// container can hold.
    pub(super) fn offset(self, offset: u64) -> Result<Vec<u8>> {
        match self {
            Self::Big => Ok(offset.to_ne_bytes().to_vec()),
            Self::Classic => u32::try_from(offset)
                .map(|offset| offset.to_ne_bytes().to_vec())
                .map_err(|cause| {
                    Error::unavailable("the GeoTIFF grows beyond 4 GiB, and is no BigTIFF")
                        .because(cause)
                }),
        }
    }
}

impl Fields {
    fn put(&mut self, tag: u16, kind: FieldCode, bytes: Vec<u8>) {
        self.0.insert(
            tag,
            DirectoryField {
                kind,
                bytes,
                late: false,
            },
        );
    }

    pub(super) fn shorts(&mut self, tag: u16, values: &[u16]) {
        let bytes = values.iter().flat_map(|value| value.to_ne_bytes());
        self.put(tag, FieldCode::Short, bytes.collect());
    }

    pub(super) fn long(&mut self, tag: u16, value: u32) {
        self.put(tag, FieldCode::Long, value.to_ne_bytes().to_vec());
    }

    pub(super) fn doubles(&mut self, tag: u16, values: &[f64]) {
        let bytes = values.iter().flat_map(|value| value.to_ne_bytes());
        self.put(tag, FieldCode::Double, bytes.collect());
    }

    /// Text as the container has it: UTF-8 and a NUL. The standard says ASCII; every reader takes
    /// what is there.
    pub(super) fn text(&mut self, tag: u16, text: &str) {
        self.put(tag, FieldCode::Text, [text.as_bytes(), &[0]].concat());
    }

    /// Room for the offsets of so many blocks, behind all directories.
    pub(super) fn offsets(&mut self, tag: u16, count: usize, container: Container) {
        let kind = match container {
            Container::Classic => FieldCode::Long,
            Container::Big => FieldCode::Long8,
        };
        self.room(tag, count, kind);
    }

    /// Room for the lengths of so many blocks, behind all directories.
    pub(super) fn lengths(&mut self, tag: u16, count: usize) {
        self.room(tag, count, FieldCode::Long);
    }

    fn room(&mut self, tag: u16, count: usize, kind: FieldCode) {
        self.put(tag, kind, vec![0; count * kind.size()]);
        if let Some(field) = self.0.get_mut(&tag) {
            field.late = true;
        }
    }

    /// The bytes of the directory and of the values that stand behind it.
    fn len(&self, container: Container) -> usize {
        let apart = |field: &&DirectoryField| !field.late && field.bytes.len() > container.word();
        let values = self.0.values().filter(apart);
        let len: usize = values.map(|field| even(field.bytes.len())).sum();
        even(container.table_len(self.0.len())) + len
    }
}

/// Directories one behind the other, then the values of their late fields; `start` is where the
/// first stands. The bytes, and where the late values of each directory stand in the file.
pub(super) fn laid_out(
    directories: &[Fields],
    start: usize,
    container: Container,
) -> (Vec<u8>, Vec<FieldPlaces>) {
    let ends: Vec<usize> = directories
        .iter()
        .scan(start, |at, fields| {
            *at += fields.len(container);
            Some(*at)
        })
        .collect();
    let late_at = ends.last().copied().unwrap_or(start);
    let (mut bytes, mut late, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for (number, fields) in directories.iter().enumerate() {
        let (mut table, mut values, mut of_late) = (Vec::new(), Vec::new(), FieldPlaces::new());
        let at = start + bytes.len();
        let values_at = at + even(container.table_len(fields.0.len()));
        match container {
            Container::Classic => table.extend(short(fields.0.len()).to_ne_bytes()),
            Container::Big => table.extend((fields.0.len() as u64).to_ne_bytes()),
        }
        for (tag, field) in &fields.0 {
            table.extend(tag.to_ne_bytes());
            table.extend((field.kind as u16).to_ne_bytes());
            container.push(&mut table, field.bytes.len() / field.kind.size());
            if field.bytes.len() <= container.word() {
                if field.late {
                    of_late.insert(*tag, at + table.len());
                }
                table.extend(&field.bytes);
                table.resize(table.len() + container.word() - field.bytes.len(), 0);
                continue;
            }
            let (place, stock) = if field.late {
                of_late.insert(*tag, late_at + late.len());
                (late_at, &mut late)
            } else {
                (values_at, &mut values)
            };
            container.push(&mut table, place + stock.len());
            stock.extend(&field.bytes);
            stock.resize(even(stock.len()), 0);
        }
        let next = (number + 1 < directories.len()).then_some(ends[number]);
        container.push(&mut table, next.unwrap_or(0));
        table.resize(even(table.len()), 0);
        bytes.extend(table);
        bytes.extend(values);
        places.push(of_late);
    }
    debug_assert_eq!(late_at, start + bytes.len(), "lengths were foreseen");
    bytes.extend(late);
    (bytes, places)
}

fn even(len: usize) -> usize {
    len.next_multiple_of(2)
}

fn short(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}
