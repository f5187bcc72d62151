//! A shard moves to another place.

use std::sync::PoisonError;

use super::follow::must_keep_top;
use super::members::{introduce, open_member};
use super::records::{ShardManifest, ShardRecord};
use super::shards::Shard;
use super::view::unavailable;
use super::{Federation, Inner};
use crate::error::{Error, ErrorKind, Result};
use crate::key::meta;
use crate::kv::{Batch, Durability, KeyRange, Snapshot, Space, for_each_page};
use crate::store::{Store, lock};

/// How many values are copied at once.
const PAGE: usize = 64;

impl Federation {
    /// Moves a shard to a store at another place, a new directory or URL: its store is closed, so
    /// that nothing is put into it any more, copied, the manifest names the copy from then on, and
    /// the copy is opened. Puts into the shard wait meanwhile; reads go on, from what they have
    /// open. All that was acknowledged before is in the copy.
    ///
    /// Between directories it is a [checkpoint](Store::checkpoint), which shares files where it can.
    /// The old store stays where it is, and is of the federation no more: remove it when nobody
    /// reads it. The process needs the shard, and the top, open for writing; on object storage that
    /// has fenced whoever wrote to the shard before. Other processes open the copy when they next
    /// see the manifest.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such shard;
    /// [`Invalid`](crate::ErrorKind::Invalid) if it or the top is open for reading only, or the new
    /// place holds a store. After an error before the manifest was written the shard is where it
    /// was, opened again, and what was copied is left over. If the commit of the manifest itself
    /// fails, or somebody else moved a shard meanwhile, only opening the federation again tells
    /// where the shard is: it can be neither read nor written here until then.
    pub fn move_shard(&self, name: &str, place: &str) -> Result<()> {
        must_keep_top(self)?;
        let Inner {
            grid,
            options,
            laid,
            ..
        } = self.inner.as_ref();
        let _nobody_follows = lock(&self.inner.following);
        let (mut manifest, known) = {
            let members = self.members();
            (members.manifest.clone(), members.bytes.clone())
        };
        let part = manifest
            .shards
            .iter()
            .position(|shard| shard.name == name)
            .ok_or_else(|| {
                let names: Vec<&str> = manifest.shards.iter().map(Shard::name).collect();
                Error::not_found(format!(
                    "there is no shard `{name}`; there is {}",
                    names.join(", ")
                ))
            })?;
        // To open it there would fence whoever writes to it.
        if let Some(there) = manifest.shards.iter().find(|shard| shard.place == place) {
            return Err(Error::invalid(format!(
                "shard `{}` is at {place} already: give a new place",
                there.name
            )));
        }
        let from = manifest.shards[part].clone();
        let shard = &mut manifest.shards[part];
        (shard.place, shard.moves) = (place.to_owned(), from.moves + 1);
        let (to, identity, bytes) = (shard.clone(), manifest.identity, manifest.encode()?);
        let gates = self.gates([part]);
        // From here on nothing is put into the shard: whoever does waits at its gate.
        let _alone: Vec<_> = gates
            .iter()
            .map(|gate| gate.write().unwrap_or_else(PoisonError::into_inner))
            .collect();
        let (_, old) = self.members().writable(part)?;
        let open = |shard: &Shard| open_member((options, laid.border), (grid, identity), shard);
        // From then on the old store is no shard for who opens it, until somebody with the top takes
        // it for one again.
        let copied = introduce(&old, &ShardRecord::of(identity, &to))
            .and_then(|()| old.store().close())
            .and_then(|()| self.copied(old.store(), (&from.place, place)))
            .and_then(|()| {
                let copy = open(&to);
                let unopened = |why: &String| unavailable(name, why);
                copy.grid.as_ref().map_err(unopened)?;
                Ok((copy, self.replacement(&known, bytes.clone())?))
            });
        let moved =
            copied.map(|(copy, batch)| grid.store().commit(batch, Durability::Sync).map(|_| copy));
        match moved {
            Ok(Ok(copy)) => {
                let mut members = self.members_alone();
                members.members[part] = copy;
                (members.manifest, members.bytes) = (manifest, bytes);
                Ok(())
            }
            Err(error) if !matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Fenced) => {
                // A store is open once: the old handle goes first.
                let why = "it is about to be opened again".to_owned();
                self.members_alone().members[part].grid = Err(why);
                drop(old);
                let member = open(&from);
                self.members_alone().members[part] = member;
                Err(error.within(format!(
                    "shard `{name}` stays at {}, and was not moved to {place}",
                    from.place
                )))
            }
            // The manifest may be found as it was, or as it was to be, or as others wrote it: what
            // was put into either store could be lost.
            Err(error) | Ok(Err(error)) => {
                let why = format!(
                    "whether it is at {} or at {place} is for the manifest to say",
                    from.place
                );
                let mut members = self.members_alone();
                members.members[part].grid = Err(why);
                (members.manifest, members.bytes) = (manifest, bytes);
                Err(error.within(format!(
                    "shard `{name}` is closed, since the manifest that moves it from {} to {place} may not be in place: open the federation again",
                    from.place
                )))
            }
        }
    }

    /// Makes a store at another place hold all that a closed one does.
    fn copied(&self, old: &Store, (from, place): (&str, &str)) -> Result<()> {
        let (options, border) = (&self.inner.options, self.inner.laid.border);
        if options.opens_places() && checkpointed(old, (from, place))? {
            return Ok(());
        }
        let new = options.open_shard(border, (place, true))?;
        if !new.grids()?.is_empty() {
            return Err(Error::invalid(format!(
                "there is a store at {place} already: give a new place"
            )));
        }
        let snapshot = old.current()?;
        for space in Space::ALL {
            copy_space(snapshot.as_ref(), &new, space)?;
        }
        // All before it is on the medium then.
        new.engine().commit(Batch::default(), Durability::Sync)?;
        Ok(())
    }

    /// A batch that puts a manifest in place of the one that was read, unless somebody else does.
    fn replacement(&self, old: &[u8], new: Vec<u8>) -> Result<Batch> {
        let grid = &self.inner.grid;
        let snapshot = grid.present()?;
        let found = ShardManifest::read(grid, snapshot.as_ref())?;
        if found.is_none_or(|(_, bytes)| bytes != old) {
            return Err(Error::new(
                ErrorKind::Conflict,
                "somebody else moved a shard of the federation meanwhile: look at its shards, and try again",
            ));
        }
        let mut batch = Batch::at(snapshot.as_ref());
        batch.expect_key(Space::Meta, meta::shards(grid.id()));
        batch.put(Space::Meta, meta::shards(grid.id()), new);
        Ok(batch)
    }
}

/// Copies a store by a checkpoint, where both places are directories.
#[cfg(feature = "rocksdb")]
fn checkpointed(old: &Store, (from, place): (&str, &str)) -> Result<bool> {
    let is_directory = |place: &str| crate::kv::url::of(std::path::Path::new(place)).is_none();
    if !is_directory(from) || !is_directory(place) {
        return Ok(false);
    }
    let taken = std::fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_some());
    if taken {
        return Err(Error::invalid(format!(
            "the directory {place} is not empty: give a new place"
        )));
    }
    old.checkpoint(place).map(|()| true)
}

#[cfg(not(feature = "rocksdb"))]
fn checkpointed(_: &Store, _: (&str, &str)) -> Result<bool> {
    Ok(false)
}

fn copy_space(snapshot: &dyn Snapshot, new: &Store, space: Space) -> Result<()> {
    for_each_page(snapshot, space, KeyRange::all(), PAGE, |entries| {
        let mut batch = Batch::default();
        for (key, value) in entries {
            batch.put(space, key, value);
        }
        new.engine().commit(batch, Durability::Buffered).map(drop)
    })
}
