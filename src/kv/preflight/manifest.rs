//! What the database's manifest says of its logs and families. The manifest is a log of edits; an edit is a row of tagged
//! fields. Fields that do not matter here are stepped over, and one that is not known is an error: what follows it would be
//! misread.

use std::collections::BTreeMap;

use super::bytes::{le_u64, take_slice, take_varint};

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
    /// Numbers of the tables, and of the oldest file of large values that each refers to.
    pub tables: BTreeMap<u64, Option<u64>>,
    /// Edits that take effect together, once all of them are there.
    pending: Vec<Edit>,
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
    new_tables: Vec<(u64, Option<u64>)>,
    deleted_tables: Vec<u64>,
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

    /// The first data file that is needed and not among those that `exist`, and whether it is a table.
    pub fn missing(&self, exist: impl Fn(u64, bool) -> bool) -> Option<(u64, bool)> {
        let files = |(table, values): (&u64, &Option<u64>)| [Some((*table, true)), values.map(|values| (values, false))];
        self.tables.iter().flat_map(files).flatten().find(|(number, table)| !exist(*number, *table))
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
        self.tables.extend(edit.new_tables);
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

impl Edit {
    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let mut edit = Self::default();
        while !bytes.is_empty() {
            match take_varint(bytes)? {
                // Comparator, history of timestamps.
                1 => drop(take_slice(bytes)?),
                // Log number of the family, next file, previous log, greatest family.
                2 | 3 | 9 | 203 => drop(take_varint(bytes)?),
                4 => edit.last_sequence = Some(take_varint(bytes)?),
                // Where a level's compaction goes on.
                5 => {
                    take_varint(bytes)?;
                    take_slice(bytes)?;
                }
                // A deleted file: level and number.
                6 => {
                    take_varint(bytes)?;
                    edit.deleted_tables.push(take_varint(bytes)?);
                }
                10 => edit.min_log = edit.min_log.max(Some(take_varint(bytes)?)),
                103 => {
                    let table = NewTable::take(bytes)?;
                    edit.new_tables.push((table.number, table.values));
                    edit.min_log = edit.min_log.max(table.min_log);
                }
                200 => edit.family = take_varint(bytes)?,
                201 => edit.added = Some(String::from_utf8(take_slice(bytes)?.to_vec()).ok()?),
                202 => edit.dropped = true,
                300 => edit.group = Some(take_varint(bytes)?),
                400 => blob_file(bytes)?,
                // Garbage in a blob file: number, count and bytes.
                401 => {
                    for _ in 0..3 {
                        take_varint(bytes)?;
                    }
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
    /// The oldest file of large values that it refers to.
    values: Option<u64>,
    /// The log number that some versions hide in it.
    min_log: Option<u64>,
}

impl NewTable {
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        // Level, number, size; the smallest and the largest key; the sequences.
        take_varint(bytes)?;
        let mut table = Self { number: take_varint(bytes)?, values: None, min_log: None };
        take_varint(bytes)?;
        take_slice(bytes)?;
        take_slice(bytes)?;
        take_varint(bytes)?;
        take_varint(bytes)?;
        loop {
            match take_varint(bytes)? {
                1 => return Some(table),
                3 => table.min_log = Some(le_u64(take_slice(bytes)?, 0)?),
                4 => table.values = Some(take_varint(&mut take_slice(bytes)?)?),
                _ => drop(take_slice(bytes)?),
            }
        }
    }
}

/// Steps over a blob file that is added.
fn blob_file(bytes: &mut &[u8]) -> Option<()> {
    for _ in 0..3 {
        take_varint(bytes)?;
    }
    take_slice(bytes)?;
    take_slice(bytes)?;
    end_of_custom_fields(bytes)
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
