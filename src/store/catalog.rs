//! What the store knows of itself and of its grids' names: small records in the meta space.

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::error::{Error, ErrorKind, Result};
use crate::grid::{Schema, check_name};
use crate::key::{ChunkKey, GridId, MarkKey, feed, meta};
use crate::kv::{Batch, Durability, Engine, KeyRange, Order, Snapshot, Space, for_each_page};

/// Numbers of batches are `epoch * 2^EPOCH_SHIFT + n`: unique for ever, since the epoch rises
/// durably at every opening.
const EPOCH_SHIFT: u32 = 40;

/// The version of keys, blobs and records. A store of another version is refused.
const FORMAT: u32 = 4;

#[derive(Serialize, Deserialize)]
struct NumberRecord(u64);

/// What a record is; the number stands in its envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RecordKind {
    Format = 1,
    Epoch = 2,
    Next = 3,
    Name = 4,
    Schema = 5,
    Bounds = 6,
    Reach = 7,
    BaseLevels = 8,
    Identity = 9,
    Feed = 10,
    Change = 11,
    Copied = 12,
    Settled = 13,
    Shards = 14,
    Followed = 15,
    Shard = 16,
    Ledger = 17,
    LedgerSources = 18,
    LedgerJob = 19,
    CopiedExcerpt = 20,
}

/// The bytes of a record.
pub(crate) fn encode_record<T: Serialize>(kind: RecordKind, value: &T) -> Result<Vec<u8>> {
    codec::encode_record(kind as u8, value)
        .map_err(|e| Error::invalid(format!("the {kind:?} record cannot be kept")).because(e))
}

/// The value of a record. One of which a bit has flipped is read as it was written.
pub(crate) fn decode_record<T: Serialize + serde::de::DeserializeOwned>(
    kind: RecordKind,
    bytes: &[u8],
) -> Result<T> {
    let mended = |error| {
        codec::mended_record(bytes).map_or(Err(error), |record| {
            codec::decode_record(kind as u8, &record)
        })
    };
    let decoded = codec::decode_record(kind as u8, bytes).or_else(mended);
    decoded.map_err(|e| Error::corrupt(format!("the {kind:?} record is damaged")).because(e))
}

/// Reads the record under a key, if there is one.
pub(crate) fn read<T: Serialize + serde::de::DeserializeOwned>(
    snapshot: &dyn Snapshot,
    kind: RecordKind,
    key: Vec<u8>,
) -> Result<Option<T>> {
    let mut record = None;
    snapshot.get_many(Space::Meta, &[key], &mut |_, bytes| {
        record = bytes.map(|bytes| decode_record(kind, bytes)).transpose()?;
        Ok(())
    })?;
    Ok(record)
}

/// What a store is at an opening.
pub(super) struct Entered {
    /// How often it was opened for writing before, and this once: the next time if it is only read.
    pub(super) epoch: u64,
    pub(super) identity: u64,
}

impl Entered {
    /// The numbers of batches of this opening begin here, above all before.
    pub(super) fn first(&self) -> u64 {
        self.epoch << EPOCH_SHIFT
    }

    /// Where the numbers of the opening before begin, and where they end.
    pub(super) fn last_opening(&self) -> (u64, u64) {
        (self.epoch.saturating_sub(1) << EPOCH_SHIFT, self.first())
    }
}

/// Checks the format of a store that is only to be read, as a snapshot shows it.
pub(super) fn look(snapshot: &dyn Snapshot) -> Result<Entered> {
    if read::<NumberRecord>(snapshot, RecordKind::Format, meta::FORMAT.to_vec())?.is_none() {
        return Err(Error::not_found(
            "the store is empty; its creation was not completed",
        ));
    }
    check_format(snapshot)?;
    let number = |kind, key: &[u8]| read::<NumberRecord>(snapshot, kind, key.to_vec());
    let epoch = number(RecordKind::Epoch, meta::EPOCH)?.map_or(0, |NumberRecord(epoch)| epoch) + 1;
    let identity =
        number(RecordKind::Identity, meta::IDENTITY)?.map_or(0, |NumberRecord(identity)| identity);
    Ok(Entered { epoch, identity })
}

/// Whether the store has a format record, which then is of this version.
fn check_format(snapshot: &dyn Snapshot) -> Result<bool> {
    match read::<NumberRecord>(snapshot, RecordKind::Format, meta::FORMAT.to_vec())? {
        Some(NumberRecord(format)) if format != u64::from(FORMAT) => Err(Error::invalid(format!(
            "the store has format {format}; this version of gridstone reads format {FORMAT}"
        ))),
        Some(_) => Ok(true),
        None if !snapshot
            .scan(Space::Meta, &KeyRange::all(), Order::Ascending, 1)?
            .entries
            .is_empty() =>
        {
            Err(Error::corrupt("the store's format record is missing"))
        }
        None => Ok(false),
    }
}

/// Checks the format, and raises the epoch durably. `identity` is for a store that has none, and
/// for one that is to be `another` from now on. With `accept_data_loss` a format record that is
/// lost is taken for one of this version.
pub(super) fn enter(
    engine: &dyn Engine,
    identity: u64,
    another: bool,
    accept_data_loss: bool,
) -> Result<Entered> {
    let snapshot = engine.snapshot()?;
    let mut batch = Batch::at(snapshot.as_ref());
    let has_format = match check_format(snapshot.as_ref()) {
        Err(error) if accept_data_loss && *error.kind() == ErrorKind::Corrupt => false,
        checked => checked?,
    };
    if !has_format {
        batch.put(
            Space::Meta,
            meta::FORMAT.to_vec(),
            encode_record(RecordKind::Format, &NumberRecord(u64::from(FORMAT)))?,
        );
    }
    let known = read::<NumberRecord>(
        snapshot.as_ref(),
        RecordKind::Identity,
        meta::IDENTITY.to_vec(),
    )?;
    let identity = match known {
        Some(NumberRecord(known)) if !another => known,
        _ => {
            let record = encode_record(RecordKind::Identity, &NumberRecord(identity))?;
            batch.put(Space::Meta, meta::IDENTITY.to_vec(), record);
            identity
        }
    };
    let epoch = read::<NumberRecord>(snapshot.as_ref(), RecordKind::Epoch, meta::EPOCH.to_vec())?
        .map_or(0, |NumberRecord(epoch)| epoch)
        + 1;
    batch.expect_key(Space::Meta, meta::EPOCH.to_vec());
    batch.put(
        Space::Meta,
        meta::EPOCH.to_vec(),
        encode_record(RecordKind::Epoch, &NumberRecord(epoch))?,
    );
    engine.commit(batch, Durability::Sync)?;
    Ok(Entered { epoch, identity })
}

/// Computes and commits a change of the catalog, again and again while others interfere.
fn change<T>(
    engine: &dyn Engine,
    compute: impl Fn(&dyn Snapshot, &mut Batch) -> Result<T>,
) -> Result<T> {
    loop {
        let snapshot = engine.snapshot()?;
        let mut batch = Batch::at(snapshot.as_ref());
        let outcome = compute(snapshot.as_ref(), &mut batch)?;
        match engine.commit(batch, Durability::Sync) {
            Ok(_) => return Ok(outcome),
            Err(error) if *error.kind() == ErrorKind::Conflict => {}
            Err(error) => return Err(error),
        }
    }
}

/// The number behind a name, which the batch expects to stay.
fn id(snapshot: &dyn Snapshot, batch: &mut Batch, name: &str) -> Result<GridId> {
    batch.expect_key(Space::Meta, meta::name(name));
    let id = read::<GridId>(snapshot, RecordKind::Name, meta::name(name))?;
    id.ok_or_else(|| Error::not_found(format!("there is no grid `{name}`")))
}

/// A name that must be free, and stay so.
fn free(snapshot: &dyn Snapshot, batch: &mut Batch, name: &str) -> Result<()> {
    check_name("grid", name)?;
    match id(snapshot, batch, name) {
        Ok(_) => Err(Error::new(
            ErrorKind::AlreadyExists,
            format!("there is a grid `{name}` already"),
        )),
        Err(error) if *error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes a grid: its number, name and schema in one commit.
pub(super) fn create(engine: &dyn Engine, name: &str, schema: &Schema) -> Result<GridId> {
    change(engine, |snapshot, batch| {
        free(snapshot, batch, name)?;
        let next =
            read::<GridId>(snapshot, RecordKind::Next, meta::NEXT.to_vec())?.unwrap_or(GridId(1));
        let after = next
            .0
            .checked_add(1)
            .ok_or_else(|| Error::invalid("the store has no number left for another grid"))?;
        batch.expect_key(Space::Meta, meta::NEXT.to_vec());
        batch.put(
            Space::Meta,
            meta::NEXT.to_vec(),
            encode_record(RecordKind::Next, &GridId(after))?,
        );
        batch.put(
            Space::Meta,
            meta::name(name),
            encode_record(RecordKind::Name, &next)?,
        );
        batch.put(
            Space::Meta,
            meta::schema(next),
            encode_record(RecordKind::Schema, schema)?,
        );
        Ok(next)
    })
}

/// Removes a grid and all that belongs to it in one commit. Gives the number it had.
pub(super) fn remove(engine: &dyn Engine, name: &str) -> Result<GridId> {
    change(engine, |snapshot, batch| {
        let id = id(snapshot, batch, name)?;
        let records = [
            meta::schema,
            meta::bounds,
            meta::base_levels,
            meta::reach,
            meta::feed,
            meta::copied,
            meta::shards,
            meta::followed,
            meta::shard,
            meta::ledger,
        ];
        for key in records
            .map(|of| of(id))
            .into_iter()
            .chain([meta::name(name)])
        {
            batch.delete(Space::Meta, key);
        }
        for part in meta::ledger_parts(id) {
            remove_range(snapshot, batch, (Space::Meta, part))?;
        }
        for space in [Space::Directory, Space::Base, Space::Aggregate] {
            remove_range(snapshot, batch, (space, ChunkKey::all(id)))?;
        }
        remove_range(snapshot, batch, (Space::Dirty, MarkKey::all(id)))?;
        remove_range(snapshot, batch, (Space::Feed, feed::all(id)))?;
        Ok(id)
    })
}

/// Removes what is in a range. Every range that is deleted makes reads of its space slower for a
/// while, so an empty one is only expected to stay empty.
fn remove_range(
    snapshot: &dyn Snapshot,
    batch: &mut Batch,
    (space, range): (Space, KeyRange),
) -> Result<()> {
    match snapshot.scan(space, &range, Order::Ascending, 1) {
        Ok(page) if page.entries.is_empty() => batch.expect_range(space, range),
        // A value that cannot be read is something too.
        Err(error) if *error.kind() != ErrorKind::Corrupt => return Err(error),
        _ => batch.delete_range(space, range),
    }
    Ok(())
}

/// Gives a grid another name. Gives its number.
pub(super) fn rename(engine: &dyn Engine, old: &str, new: &str) -> Result<GridId> {
    change(engine, |snapshot, batch| {
        let id = id(snapshot, batch, old)?;
        free(snapshot, batch, new)?;
        batch.delete(Space::Meta, meta::name(old));
        batch.put(
            Space::Meta,
            meta::name(new),
            encode_record(RecordKind::Name, &id)?,
        );
        Ok(id)
    })
}

/// Exchanges the numbers behind two names. Gives those they had.
pub(super) fn swap(engine: &dyn Engine, a: &str, b: &str) -> Result<(GridId, GridId)> {
    change(engine, |snapshot, batch| {
        let (of_a, of_b) = (id(snapshot, batch, a)?, id(snapshot, batch, b)?);
        batch.put(
            Space::Meta,
            meta::name(a),
            encode_record(RecordKind::Name, &of_b)?,
        );
        batch.put(
            Space::Meta,
            meta::name(b),
            encode_record(RecordKind::Name, &of_a)?,
        );
        Ok((of_a, of_b))
    })
}

/// Whether a grid is there, under whatever name.
pub(super) fn holds(snapshot: &dyn Snapshot, id: GridId) -> Result<bool> {
    let mut holds = false;
    snapshot.get_many(Space::Meta, &[meta::schema(id)], &mut |_, schema| {
        holds = schema.is_some();
        Ok(())
    })?;
    Ok(holds)
}

/// Whether a record is that of a schema.
pub(super) fn is_schema(record: &[u8], schema: &Schema) -> Result<bool> {
    Ok(decode_record::<Schema>(RecordKind::Schema, record)? == *schema)
}

/// The record of a schema in place of that of a grid.
pub(crate) fn write_schema(batch: &mut Batch, id: GridId, schema: &Schema) -> Result<()> {
    let record = encode_record(RecordKind::Schema, schema)?;
    batch.put(Space::Meta, meta::schema(id), record);
    Ok(())
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
    for_each_page(
        snapshot,
        Space::Meta,
        KeyRange::prefix(meta::NAMES),
        1024,
        |entries| {
            for (key, _) in entries {
                let name = key
                    .get(meta::NAMES.len()..)
                    .and_then(|name| std::str::from_utf8(name).ok());
                names.push(
                    name.ok_or_else(|| {
                        Error::corrupt("the store holds a grid name that is no text")
                    })?
                    .to_owned(),
                );
            }
            Ok(())
        },
    )?;
    Ok(names)
}
