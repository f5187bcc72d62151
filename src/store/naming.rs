//! The names of grids: they change hands while handles, which hold on to the data, are open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use super::{Store, catalog, lock};
use crate::error::{Error, ErrorKind, Result};
use crate::grid::Schema;
use crate::key::{ChunkKey, GridId, MarkKey, unowned};
use crate::kv::{Snapshot, Space};
use crate::store::Grid;

/// The present names of the grids of which there are handles.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Held shared while a grid is opened, alone while a name changes.
    still: RwLock<()>,
    present: Mutex<HashMap<GridId, Weak<Mutex<String>>>>,
}

impl Names {
    fn still(&self) -> RwLockReadGuard<'_, ()> {
        self.still.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn changing(&self) -> RwLockWriteGuard<'_, ()> {
        self.still.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name that all handles of a grid share.
    fn of(&self, id: GridId, name: &str) -> Arc<Mutex<String>> {
        let mut present = lock(&self.present);
        present.get(&id).and_then(Weak::upgrade).unwrap_or_else(|| {
            present.retain(|_, name| name.strong_count() > 0);
            let shared = Arc::new(Mutex::new(name.to_owned()));
            present.insert(id, Arc::downgrade(&shared));
            shared
        })
    }

    fn set(&self, id: GridId, name: &str) {
        if let Some(shared) = lock(&self.present).get(&id).and_then(Weak::upgrade) {
            name.clone_into(&mut lock(&shared));
        }
    }
}

/// What a store holds at one moment.
pub(crate) struct StoreListing {
    pub(crate) snapshot: Arc<dyn Snapshot>,
    /// Every grid whose records can be read, by name.
    pub(crate) grids: Vec<Grid>,
    /// The names of the others, and why they cannot be.
    pub(crate) unreadable: Vec<(String, Error)>,
}

impl StoreListing {
    /// Every grid, if all can be read.
    pub(crate) fn all(self) -> Result<Vec<Grid>> {
        self.unreadable
            .into_iter()
            .next()
            .map_or(Ok(self.grids), |(_, error)| Err(error))
    }
}

impl Store {
    /// Makes a grid. [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if there is one of that
    /// name; [`Invalid`](crate::ErrorKind::Invalid) if the name is not 1 to 128 of
    /// `A-Z a-z 0-9 . _ -`.
    pub fn create(&self, name: &str, schema: Schema) -> Result<Grid> {
        self.backlog().admit()?;
        let _still = self.names().still();
        let id = catalog::create(self.engine(), name, &schema)?;
        self.backlog().found(id, 0);
        Ok(self.handle(id, name, schema))
    }

    /// Opens a grid. [`NotFound`](crate::ErrorKind::NotFound) if there is none of that name.
    ///
    /// The handle holds on to the data, whatever they are called: after a
    /// [rename](Self::rename_grid) or a [swap](Self::swap) it reads and writes what it did before,
    /// and has the [name](Grid::name) that these data have now. After a [drop](Self::drop_grid)
    /// every call of it fails with [`NotFound`](crate::ErrorKind::NotFound).
    pub fn grid(&self, name: &str) -> Result<Grid> {
        let _still = self.names().still();
        let (id, schema) = catalog::find(self.current()?.as_ref(), name)?;
        Ok(self.handle(id, name, schema))
    }

    /// Every grid, by name.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](ErrorKind::Corrupt) if the records of one of them cannot be read;
    /// [`grid`](Self::grid) opens the others.
    pub fn grids(&self) -> Result<Vec<Grid>> {
        self.shown()?.all()
    }

    /// A snapshot, and the grids that it shows.
    pub(crate) fn shown(&self) -> Result<StoreListing> {
        let _still = self.names().still();
        let snapshot = self.current()?;
        let (mut grids, mut unreadable) = (Vec::new(), Vec::new());
        for name in catalog::names(snapshot.as_ref())? {
            match catalog::find(snapshot.as_ref(), &name) {
                Ok((id, schema)) => grids.push(self.handle(id, &name, schema)),
                Err(error) if *error.kind() == ErrorKind::Corrupt => unreadable.push((name, error)),
                Err(error) => return Err(error),
            }
        }
        Ok(StoreListing {
            snapshot,
            grids,
            unreadable,
        })
    }

    /// A handle of a grid that has a schema.
    pub(crate) fn handle(&self, id: GridId, name: &str, schema: Schema) -> Grid {
        Grid::new(self.clone(), id, self.names().of(id, name), schema)
    }

    /// Drops a grid, durably and at once, whatever its size: its name, its schema, its chunks, its
    /// marks and its changes are gone in one commit. [`NotFound`](crate::ErrorKind::NotFound) if
    /// there is none of that name.
    ///
    /// The engine gives the space back in the course of its work; [`reclaim`](Self::reclaim) does
    /// it now.
    pub fn drop_grid(&self, name: &str) -> Result<()> {
        self.backlog().admit()?;
        let _changing = self.names().changing();
        let id = catalog::remove(self.engine(), name)?;
        self.forget(id);
        Ok(())
    }

    /// Gives a grid another name, durably. [`NotFound`](crate::ErrorKind::NotFound) if there is
    /// none of the old one; [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if there is one of
    /// the new.
    pub fn rename_grid(&self, old: &str, new: &str) -> Result<()> {
        self.backlog().admit()?;
        let _changing = self.names().changing();
        let id = catalog::rename(self.engine(), old, new)?;
        self.names().set(id, new);
        Ok(())
    }

    /// Exchanges the names of two grids, durably, in one commit: whoever opens one of them finds
    /// either both as they were, or both exchanged. So a new forecast, made under a name of its
    /// own, takes the place of the last one. Their schemas may differ.
    pub fn swap(&self, a: &str, b: &str) -> Result<()> {
        self.backlog().admit()?;
        let _changing = self.names().changing();
        let (was_a, was_b) = catalog::swap(self.engine(), a, b)?;
        self.names().set(was_a, b);
        self.names().set(was_b, a);
        Ok(())
    }

    /// Gives the space of dropped grids back to the file system, as far as no snapshot shows them
    /// any more. It can be called at any time, and again after a crash.
    pub fn reclaim(&self) -> Result<()> {
        let ids: Vec<GridId> = self.grids()?.iter().map(Grid::id).collect();
        for range in unowned(ids) {
            for space in [
                Space::Directory,
                Space::Base,
                Space::Aggregate,
                Space::Dirty,
                Space::Feed,
            ] {
                self.engine().compact(space, &range)?;
            }
        }
        Ok(())
    }
}

impl Grid {
    /// Gives the space of what was deleted from the grid, or overwritten, back to the file system,
    /// as far as no snapshot shows it any more. It rewrites files of the grid that hold such data;
    /// it can be called at any time, and again after a crash.
    pub fn compact(&self) -> Result<()> {
        for space in [Space::Directory, Space::Base, Space::Aggregate] {
            self.store()
                .engine()
                .compact(space, &ChunkKey::all(self.id()))?;
        }
        self.store()
            .engine()
            .compact(Space::Dirty, &MarkKey::all(self.id()))
    }
}

/// Nothing is left to be done to a grid that was dropped in the meantime.
pub(crate) fn unless_dropped<T: Default>(result: Result<T, Error>) -> Result<T> {
    match result {
        Err(error) if *error.kind() == ErrorKind::NotFound => Ok(T::default()),
        other => other,
    }
}
