//! What the database's manifest says of its logs and families. The manifest is a log of edits; an
//! edit is a row of tagged fields. Fields that do not matter here are stepped over, and one that is
//! not known is an error: what follows it would be misread.

use std::collections::{BTreeMap, BTreeSet};

use super::bytes::{le_u64, put_varint, take_slice, take_varint};

/// What the edits of a manifest add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The last sequence that is known to be in final files, or was when the manifest was begun.
    pub last_sequence: u64,
    /// Logs with a lower number hold nothing that is not in final files.
    pub min_log: u64,
    /// Closed logs, and how many bytes of them were synced.
    pub logs: BTreeMap<u64, u64>,
    /// Names of the families but the first, which always is there.
    pub families: BTreeMap<u64, String>,
    /// The tables by their numbers.
    pub tables: BTreeMap<u64, Table>,
    /// The files of large values that were made, by their numbers; some are no longer needed.
    pub values: BTreeMap<u64, ValueFile>,
    /// The first log that may hold something of a family that is not in final files.
    first_logs: BTreeMap<u64, u64>,
    /// Edits that take effect together, once all of them are there.
    pending: Vec<Edit>,
}

/// A file of keys, and of values that are not large.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    family: u64,
    level: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its first key.
    pub first: Vec<u8>,
    /// Its last key.
    pub last: Vec<u8>,
    /// The oldest file of large values that it refers to.
    oldest_values: Option<u64>,
}

/// A file of large values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ValueFile {
    family: u64,
    /// Its length in bytes.
    pub bytes: u64,
    count: u64,
    /// How many of the values nobody needs any more.
    garbage: u64,
}

/// What a file of large values holds beside them: a header and a footer.
const VALUES_FRAME_BYTES: u64 = 30 + 32;

/// A file that the state which a manifest describes consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataFile {
    /// A table.
    Table(u64),
    /// A file of large values.
    Values(u64),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Edit {
    last_sequence: Option<u64>,
    min_log: Option<u64>,
    logs: Vec<(u64, Option<u64>)>,
    deleted_logs_before: Option<u64>,
    family: u64,
    added: Option<String>,
    dropped: bool,
    first_log: Option<u64>,
    new_tables: Vec<(u64, Table)>,
    deleted_tables: Vec<u64>,
    new_values: Vec<(u64, ValueFile)>,
    /// Values that are no longer needed: the number of their file, and how many.
    garbage: Vec<(u64, u64)>,
    /// How many edits of the same group follow.
    group: Option<u64>,
}

impl Manifest {
    /// Applies an edit; `None` if it cannot be read.
    pub fn apply(&mut self, edit: &[u8]) -> Option<()> {
        let edit = Edit::decode(edit)?;
        let group = edit.group;
        self.pending.push(edit);
        if group.is_none_or(|following| following == 0) {
            for edit in std::mem::take(&mut self.pending) {
                self.take_effect(edit);
            }
        }
        Some(())
    }

    /// The first data file that is needed and does not exist with its length in bytes.
    pub fn missing(&self, exists: impl Fn(DataFile, u64) -> bool) -> Option<DataFile> {
        let tables = self
            .tables
            .iter()
            .map(|(number, table)| (DataFile::Table(*number), table.bytes));
        let values = self
            .needed_values()
            .map(|(number, values)| (DataFile::Values(number), values.bytes));
        tables
            .chain(values)
            .find(|(file, bytes)| !exists(*file, *bytes))
            .map(|(file, _)| file)
    }

    /// The files of large values that some table may refer to.
    fn needed_values(&self) -> impl Iterator<Item = (u64, &ValueFile)> {
        let mut oldest: BTreeMap<u64, u64> = BTreeMap::new();
        let mut linked: BTreeSet<u64> = BTreeSet::new();
        for table in self.tables.values() {
            if let Some(values) = table.oldest_values {
                linked.insert(values);
                let known = oldest.entry(table.family).or_insert(values);
                *known = (*known).min(values);
            }
        }
        self.values
            .iter()
            .map(|(number, values)| (*number, values))
            .filter(move |(number, values)| {
                let in_use = oldest
                    .get(&values.family)
                    .is_some_and(|oldest| number >= oldest);
                in_use && (linked.contains(number) || values.garbage < values.count)
            })
    }

    /// The newest log that a family begins with, if another one needs older logs. It was made
    /// before the manifest told of it, and is removed after all of them are done with it: a
    /// directory without it is none of a moment.
    pub fn newest_log(&self) -> Option<u64> {
        let first = |family: &u64| {
            self.first_logs
                .get(family)
                .copied()
                .unwrap_or(0)
                .max(self.min_log)
        };
        let families = std::iter::once(&0).chain(self.families.keys());
        let (oldest, newest) = families.map(first).fold((u64::MAX, 0), |(low, high), log| {
            (low.min(log), high.max(log))
        });
        (oldest < newest).then_some(newest)
    }

    /// The name of a table's family; `None` is the first, which always is there.
    pub fn family(&self, table: &Table) -> Option<&str> {
        self.families.get(&table.family).map(String::as_str)
    }

    /// An edit that takes a table out, if it is there.
    pub fn edit_without(&self, number: u64) -> Option<Vec<u8>> {
        let table = self.tables.get(&number)?;
        let mut edit = Vec::new();
        [FAMILY, table.family, DELETED_TABLE, table.level, number]
            .iter()
            .for_each(|value| put_varint(&mut edit, *value));
        Some(edit)
    }

    /// Whether every edit so far has taken effect.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    fn take_effect(&mut self, edit: Edit) {
        // A table that moves to another level is deleted and added.
        for number in &edit.deleted_tables {
            self.tables.remove(number);
        }
        let family = edit.family;
        self.tables.extend(
            edit.new_tables
                .into_iter()
                .map(|(number, table)| (number, Table { family, ..table })),
        );
        self.values.extend(
            edit.new_values
                .into_iter()
                .map(|(number, values)| (number, ValueFile { family, ..values })),
        );
        for (number, count) in edit.garbage {
            if let Some(values) = self.values.get_mut(&number) {
                values.garbage = values.garbage.saturating_add(count);
            }
        }
        if let Some(log) = edit.first_log {
            let known = self.first_logs.entry(family).or_insert(0);
            *known = (*known).max(log);
        }
        self.last_sequence = self.last_sequence.max(edit.last_sequence.unwrap_or(0));
        self.min_log = self.min_log.max(edit.min_log.unwrap_or(0));
        for (number, synced) in edit.logs {
            let known = self.logs.entry(number).or_insert(0);
            *known = (*known).max(synced.unwrap_or(0));
        }
        if let Some(first) = edit.deleted_logs_before {
            self.logs = self.logs.split_off(&first);
        }
        if let Some(name) = edit.added {
            self.families.insert(edit.family, name);
        }
        if edit.dropped {
            self.families.remove(&edit.family);
        }
    }
}

/// From this bit on a tag that is not known may be skipped: its field has a length.
const SKIPPABLE: u64 = 1 << 13;
const DELETED_TABLE: u64 = 6;
const FAMILY: u64 = 200;

impl Edit {
    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let mut edit = Self::default();
        while !bytes.is_empty() {
            match take_varint(bytes)? {
                // Comparator, history of timestamps.
                1 => drop(take_slice(bytes)?),
                2 => edit.first_log = Some(take_varint(bytes)?),
                // Next file, previous log, greatest family.
                3 | 9 | 203 => drop(take_varint(bytes)?),
                4 => edit.last_sequence = Some(take_varint(bytes)?),
                // Where a level's compaction goes on.
                5 => {
                    take_varint(bytes)?;
                    take_slice(bytes)?;
                }
                // Level and number.
                DELETED_TABLE => {
                    take_varint(bytes)?;
                    edit.deleted_tables.push(take_varint(bytes)?);
                }
                10 => edit.min_log = edit.min_log.max(Some(take_varint(bytes)?)),
                103 => {
                    let table = NewTable::take(bytes)?;
                    edit.new_tables.push((table.number, table.table));
                    edit.min_log = edit.min_log.max(table.min_log);
                }
                FAMILY => edit.family = take_varint(bytes)?,
                201 => edit.added = Some(String::from_utf8(take_slice(bytes)?.to_vec()).ok()?),
                202 => edit.dropped = true,
                300 => edit.group = Some(take_varint(bytes)?),
                400 => edit.new_values.push(new_values(bytes)?),
                // Values that are not needed any more: number of the file, count and bytes.
                401 => {
                    edit.garbage
                        .push((take_varint(bytes)?, take_varint(bytes)?));
                    take_varint(bytes)?;
                    end_of_custom_fields(bytes)?;
                }
                // Older forms of blob files and logs, without a length; they are no longer written.
                8194..=8197 => return None,
                8199 => edit.logs.push(log_addition(take_slice(bytes)?)?),
                8200 => edit.deleted_logs_before = Some(take_varint(&mut take_slice(bytes)?)?),
                tag if tag & SKIPPABLE != 0 => drop(take_slice(bytes)?),
                _ => return None,
            }
        }
        Some(edit)
    }
}

/// A table that is added.
struct NewTable {
    number: u64,
    table: Table,
    /// The log number that some versions hide in it.
    min_log: Option<u64>,
}

impl NewTable {
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let (level, number, length) = (
            take_varint(bytes)?,
            take_varint(bytes)?,
            take_varint(bytes)?,
        );
        let (first, last) = (user_key(take_slice(bytes)?)?, user_key(take_slice(bytes)?)?);
        // The sequences.
        take_varint(bytes)?;
        take_varint(bytes)?;
        let table = Table {
            level,
            bytes: length,
            first,
            last,
            ..Table::default()
        };
        let mut table = Self {
            number,
            table,
            min_log: None,
        };
        loop {
            match take_varint(bytes)? {
                1 => return Some(table),
                3 => table.min_log = Some(le_u64(take_slice(bytes)?, 0)?),
                4 => table.table.oldest_values = Some(take_varint(&mut take_slice(bytes)?)?),
                _ => drop(take_slice(bytes)?),
            }
        }
    }
}

/// A key of a table without the sequence and the type that stand behind it.
fn user_key(key: &[u8]) -> Option<Vec<u8>> {
    Some(
        key.get(..key.len().checked_sub(size_of::<u64>())?)?
            .to_vec(),
    )
}

/// A file of large values that is added.
fn new_values(bytes: &mut &[u8]) -> Option<(u64, ValueFile)> {
    let (number, count, length) = (
        take_varint(bytes)?,
        take_varint(bytes)?,
        take_varint(bytes)?,
    );
    // Its checksum, and how that is computed.
    take_slice(bytes)?;
    take_slice(bytes)?;
    end_of_custom_fields(bytes)?;
    Some((
        number,
        ValueFile {
            bytes: length.saturating_add(VALUES_FRAME_BYTES),
            count,
            ..ValueFile::default()
        },
    ))
}

fn end_of_custom_fields(bytes: &mut &[u8]) -> Option<()> {
    while take_varint(bytes)? != 0 {
        take_slice(bytes)?;
    }
    Some(())
}

/// The number of a log, and how many of its bytes are synced.
fn log_addition(mut bytes: &[u8]) -> Option<(u64, Option<u64>)> {
    let number = take_varint(&mut bytes)?;
    let mut synced = None;
    loop {
        match take_varint(&mut bytes)? {
            1 => return Some((number, synced)),
            2 => synced = Some(take_varint(&mut bytes)?),
            _ => return None,
        }
    }
}
