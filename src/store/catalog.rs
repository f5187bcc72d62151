//! What the store knows of itself and of its grids' names: small records in the meta space.

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::error::{Error, ErrorKind, Result};
use crate::grid::{Schema, check_name};
use crate::key::{GridId, meta};
use crate::kv::{Batch, Durability, Engine, KeyRange, Order, Snapshot, Space, for_each_page};

/// The version of keys, blobs and records. A store of another version is refused.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Number(u64);

/// What a record is; the number stands in its envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum RecordKind {
    Format = 1,
    Epoch = 2,
    Next = 3,
    Name = 4,
    Schema = 5,
    Bounds = 6,
    Reach = 7,
}

/// The bytes of a record.
pub(super) fn encode_record<T: Serialize>(kind: RecordKind, value: &T) -> Result<Vec<u8>> {
    codec::encode_record(kind as u8, value).map_err(|e| Error::invalid(format!("the {kind:?} record cannot be kept")).because(e))
}

/// Reads the record under a key, if there is one.
pub(super) fn read<T: Serialize + serde::de::DeserializeOwned>(
    snapshot: &dyn Snapshot,
    kind: RecordKind,
    key: Vec<u8>,
) -> Result<Option<T>> {
    let mut record = None;
    snapshot.get_many(Space::Meta, &[key], &mut |_, bytes| {
        record = match bytes {
            Some(bytes) => Some(
                codec::decode_record(kind as u8, bytes)
                    .map_err(|e| Error::corrupt(format!("the {kind:?} record is damaged")).because(e))?,
            ),
            None => None,
        };
        Ok(())
    })?;
    Ok(record)
}

/// Checks the format, and raises the epoch durably. Gives the new epoch.
pub(super) fn enter(engine: &dyn Engine) -> Result<u64> {
    let snapshot = engine.snapshot()?;
    let mut batch = Batch::at(snapshot.as_ref());
    match read::<Number>(snapshot.as_ref(), RecordKind::Format, meta::FORMAT.to_vec())? {
        Some(Number(format)) if format != u64::from(FORMAT) => {
            return Err(Error::invalid(format!(
                "the store has format {format}; this version of gridstone reads format {FORMAT}"
            )));
        }
        Some(_) => {}
        None if !snapshot.scan(Space::Meta, &KeyRange::all(), Order::Ascending, 1)?.entries.is_empty() => {
            return Err(Error::corrupt("the store's format record is missing"));
        }
        None => batch.put(Space::Meta, meta::FORMAT.to_vec(), encode_record(RecordKind::Format, &Number(u64::from(FORMAT)))?),
    }
    let epoch = read::<Number>(snapshot.as_ref(), RecordKind::Epoch, meta::EPOCH.to_vec())?.map_or(0, |Number(epoch)| epoch) + 1;
    batch.expect_key(Space::Meta, meta::EPOCH.to_vec());
    batch.put(Space::Meta, meta::EPOCH.to_vec(), encode_record(RecordKind::Epoch, &Number(epoch))?);
    engine.commit(batch, Durability::Sync)?;
    Ok(epoch)
}

/// Makes a grid: its number, name and schema in one commit.
pub(super) fn create(engine: &dyn Engine, name: &str, schema: &Schema) -> Result<GridId> {
    check_name("grid", name)?;
    loop {
        let snapshot = engine.snapshot()?;
        if read::<GridId>(snapshot.as_ref(), RecordKind::Name, meta::name(name))?.is_some() {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("there is a grid `{name}` already")));
        }
        let next = read::<GridId>(snapshot.as_ref(), RecordKind::Next, meta::NEXT.to_vec())?.unwrap_or(GridId(1));
        let after = next.0.checked_add(1).ok_or_else(|| Error::invalid("the store has no number left for another grid"))?;
        let mut batch = Batch::at(snapshot.as_ref());
        batch.expect_key(Space::Meta, meta::name(name));
        batch.expect_key(Space::Meta, meta::NEXT.to_vec());
        batch.put(Space::Meta, meta::NEXT.to_vec(), encode_record(RecordKind::Next, &GridId(after))?);
        batch.put(Space::Meta, meta::name(name), encode_record(RecordKind::Name, &next)?);
        batch.put(Space::Meta, meta::schema(next), encode_record(RecordKind::Schema, schema)?);
        match engine.commit(batch, Durability::Sync) {
            Ok(_) => return Ok(next),
            Err(error) if *error.kind() == ErrorKind::Conflict => {}
            Err(error) => return Err(error),
        }
    }
}

/// The number and schema of a grid.
pub(super) fn find(snapshot: &dyn Snapshot, name: &str) -> Result<(GridId, Schema)> {
    let id = read::<GridId>(snapshot, RecordKind::Name, meta::name(name))?;
    let id = id.ok_or_else(|| Error::not_found(format!("there is no grid `{name}`")))?;
    let schema = read::<Schema>(snapshot, RecordKind::Schema, meta::schema(id))
        .map_err(|e| e.within(format!("grid `{name}` cannot be opened")))?
        .ok_or_else(|| Error::corrupt(format!("the schema of grid `{name}` is missing")))?;
    Ok((id, schema))
}

/// The names of all grids, in byte order.
pub(super) fn names(snapshot: &dyn Snapshot) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for_each_page(snapshot, Space::Meta, KeyRange::prefix(meta::NAMES), 1024, |entries| {
        for (key, _) in entries {
            let name = key.get(meta::NAMES.len()..).and_then(|name| std::str::from_utf8(name).ok());
            names.push(name.ok_or_else(|| Error::corrupt("the store holds a grid name that is no text"))?.to_owned());
        }
        Ok(())
    })?;
    Ok(names)
}
