//! The stores of a federation, as this process has them open, and one moment of all of them.

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};

use super::border::{BorderEdges, ShardNews, shown};
use super::records::{Followed, ShardManifest, ShardRecord};
use super::shards::{Shard, Shards};
use super::state::{Border, goes_on, reach_of_all, reach_of_top, records, to_build, united};
use super::view::{FederatedSnapshot, PartView, unavailable};
use super::{Federation, FederationOptions, Inner, ShardInfo};
use crate::aggregate::raise_edges;
use crate::dirty::{self, Edge};
use crate::error::{Error, ErrorKind, Result};
use crate::feed::Token;
use crate::grid::Schema;
use crate::key::{feed, meta};
use crate::kv::{Batch, Durability, Order, Snapshot, Space};
use crate::store::{Grid, State, Store};

/// The manifest and the stores that it names.
pub(super) struct Members {
    pub(super) manifest: ShardManifest,
    /// The manifest's bytes, as this process last read or wrote them.
    pub(super) bytes: Vec<u8>,
    pub(super) members: Vec<Member>,
    /// Held by those who put into a shard, and alone by who moves it.
    gates: Vec<Gate>,
}

pub(super) type Gate = Arc<RwLock<()>>;

/// A shard's store.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) writable: bool,
    /// The grid in it, or why it is not open.
    pub(super) grid: Result<Grid, String>,
}

impl Members {
    pub(super) fn infos(&self) -> Vec<ShardInfo> {
        let shards = self.manifest.shards.iter().zip(&self.members);
        shards
            .map(|(shard, member)| ShardInfo {
                shard: shard.clone(),
                writable: member.writable && member.grid.is_ok(),
                failure: member.grid.as_ref().err().cloned(),
            })
            .collect()
    }

    /// The name and the grid of a shard, to be written to.
    pub(super) fn writable(&self, part: usize) -> Result<(String, Grid)> {
        let (shard, member) = (&self.manifest.shards[part], &self.members[part]);
        let grid = member
            .grid
            .as_ref()
            .map_err(|why| unavailable(&shard.name, why))?;
        if !member.writable {
            return Err(Error::invalid(format!(
                "shard `{}` is open for reading only: write where it is open for writing, or open the federation with it among FederationOptions::only",
                shard.name
            )));
        }
        Ok((shard.name.clone(), grid.clone()))
    }
}

/// One moment of a federation, with what belongs to it.
pub(super) struct FederatedView {
    pub(super) snapshot: FederatedSnapshot,
    /// What all shards hold.
    pub(super) state: State,
    pub(super) followed: (Followed, Option<Vec<u8>>),
    /// Whether what the top has is of base data at levels that are there still.
    pub(super) goes_on: bool,
}

/// What one shard has at a moment.
struct ShardMoment {
    view: PartView,
    /// The grid and what it holds, if it is open.
    held: Option<(Grid, State)>,
}

impl ShardMoment {
    fn of(name: String, member: Member) -> Self {
        let taken = member.grid.and_then(|grid| {
            let taken = || -> Result<_> {
                let snapshot = grid.snapshot()?;
                let state = grid.state(snapshot.as_ref())?;
                Ok((snapshot, state))
            };
            let (snapshot, state) = taken().map_err(|error| error.sentence())?;
            Ok((snapshot, (grid, state)))
        });
        let (snapshot, held) = match taken {
            Ok((snapshot, held)) => (Ok(snapshot), Some(held)),
            Err(why) => (Err(why), None),
        };
        Self {
            view: PartView { name, snapshot },
            held,
        }
    }
}

impl Federation {
    pub(super) fn members(&self) -> RwLockReadGuard<'_, Members> {
        self.inner
            .members
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn members_alone(&self) -> RwLockWriteGuard<'_, Members> {
        self.inner
            .members
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The gates of shards.
    pub(super) fn gates(&self, parts: impl IntoIterator<Item = usize>) -> Vec<Gate> {
        let members = self.members();
        parts
            .into_iter()
            .map(|part| Arc::clone(&members.gates[part]))
            .collect()
    }

    pub(super) fn make(
        options: FederationOptions,
        place: &str,
        (name, schema): (&str, Schema),
        shards: &Shards,
    ) -> Result<Self> {
        let laid = shards.laid(schema.structure())?;
        let empty = |store: &Store, what: &str| match store.grids()?.first() {
            None => Ok(()),
            Some(other) => Err(Error::new(
                if other.name() == name {
                    ErrorKind::AlreadyExists
                } else {
                    ErrorKind::Invalid
                },
                format!(
                    "the store of {what} holds grid `{}`: a store of a federation holds its grid alone, so give a new place",
                    other.name()
                ),
            )),
        };
        let top = options.open_top(place)?;
        empty(&top, "the top")?;
        let grid = top.create(name, schema.clone())?;
        let manifest = ShardManifest {
            identity: top.identity(),
            dimension: shards.dimension.clone(),
            level: laid.border.level,
            shards: shards.shards.clone(),
        };
        for shard in &manifest.shards {
            let what = format!("shard `{}`", shard.name);
            let store = options
                .open_shard(laid.border, (&shard.place, true))
                .map_err(|e| e.within(format!("the store of {what} cannot be made")))?;
            empty(&store, &what)?;
            let own = store.create(name, schema.clone())?;
            if own.id() != grid.id() {
                return Err(Error::invalid(format!(
                    "the store of {what} held other grids before: give a new place"
                )));
            }
            introduce(&own, &ShardRecord::of(manifest.identity, shard))?;
        }
        let present = grid.present()?;
        let mut batch = Batch::at(present.as_ref());
        grid.expect_schema(present.as_ref(), &mut batch)?;
        batch.expect_key(Space::Meta, meta::shards(grid.id()));
        batch.put(Space::Meta, meta::shards(grid.id()), manifest.encode()?);
        top.commit(batch, Durability::Sync)?;
        drop((present, grid, top));
        Self::assemble(options, place)
    }

    pub(super) fn assemble(options: FederationOptions, place: &str) -> Result<Self> {
        let top = options.open_top(place)?;
        let snapshot = top.current()?;
        let mut found = None;
        for grid in top.grids()? {
            if let Some(manifest) = ShardManifest::read(&grid, snapshot.as_ref())? {
                found = Some((grid, manifest));
            }
        }
        let (grid, (manifest, bytes)) = found.ok_or_else(|| {
            Error::not_found(format!(
                "the store at {place} is not the top of a federation: give the place of its top, or make one with Federation::create"
            ))
        })?;
        let laid = manifest.division().laid(grid.structure())?;
        let open =
            |shard: &Shard| open_member((&options, laid.border), (&grid, manifest.identity), shard);
        let members: Vec<Member> = manifest.shards.iter().map(open).collect();
        Ok(Self {
            inner: Arc::new(Inner {
                laid,
                members: RwLock::new(Members {
                    manifest,
                    bytes,
                    gates: members.iter().map(|_| Gate::default()).collect(),
                    members,
                }),
                following: Mutex::new(()),
                grid,
                options,
            }),
        })
    }

    /// Opens those shards anew that another process has moved.
    fn follow_manifest(&self, top: &dyn Snapshot) -> Result<()> {
        let Inner {
            grid,
            options,
            laid,
            ..
        } = self.inner.as_ref();
        let Some((manifest, bytes)) = ShardManifest::read(grid, top)? else {
            return Err(grid.blame(Error::corrupt("the manifest of its shards is gone")));
        };
        if self.members().bytes == bytes {
            return Ok(());
        }
        let mut members = self.members_alone();
        // What another thread has moved meanwhile is not moved back.
        let known = |members: &Members, part: usize| members.manifest.shards[part].moves;
        let moved: Vec<usize> = (0..manifest.shards.len().min(members.members.len()))
            .filter(|part| manifest.shards[*part].moves > known(&members, *part))
            .collect();
        // A shard that a thread of this process is moving is opened by that thread.
        let gates: Vec<Gate> = moved
            .iter()
            .map(|part| Arc::clone(&members.gates[*part]))
            .collect();
        let still: Vec<_> = gates.iter().filter_map(entered_at_once).collect();
        if moved.is_empty() || still.len() < moved.len() {
            return Ok(());
        }
        for part in moved {
            let shard = &manifest.shards[part];
            members.members[part] =
                open_member((options, laid.border), (grid, manifest.identity), shard);
        }
        (members.manifest, members.bytes) = (manifest, bytes);
        Ok(())
    }

    /// A moment: for reading with all that is pending, or as the top aggregates it.
    pub(super) fn view(&self, reads: bool) -> Result<FederatedView> {
        let Inner { grid, laid, .. } = self.inner.as_ref();
        let structure = grid.structure();
        // The top first: what it made is then of no later moment of a shard than the view's.
        let top = grid.snapshot()?;
        let above = grid.state(top.as_ref())?.reach;
        self.follow_manifest(top.as_ref())?;
        let followed = Followed::read(grid, top.as_ref())?;
        let members: Vec<(String, Member)> = {
            let members = self.members();
            let shards = members.manifest.shards.iter();
            let names = shards.map(|shard| shard.name.clone());
            names.zip(members.members.iter().cloned()).collect()
        };
        let parts: Vec<ShardMoment> = members
            .into_iter()
            .map(|(name, member)| ShardMoment::of(name, member))
            .collect();
        let before = followed.0.state(structure)?;
        // Of a shard that is not open, what it held is known.
        let mut state = match parts.iter().all(|part| part.held.is_some()) {
            true => State::default(),
            false => before,
        };
        let mut states = Vec::new();
        for ShardMoment { view, held } in &parts {
            if let Some((_, own)) = held {
                let failed =
                    |e: Error| e.within(format!("shard `{}` does not fit the others", view.name));
                state = united(structure, &state, own).map_err(|e| grid.blame(failed(e)))?;
                states.push(*own);
            }
        }
        let goes_on = goes_on(structure, &before, &state);
        let above = above.filter(|_| goes_on);
        let reach = match grid.layers().is_empty() {
            true => None,
            false if reads => reach_of_all(structure, laid.border, &state, (above, &states)),
            false => reach_of_top(structure, laid.border, (&state, above)),
        };
        let state = State { reach, ..state };
        let (views, shards): (Vec<PartView>, Vec<Option<(Grid, State)>>) =
            parts.into_iter().map(|part| (part.view, part.held)).unzip();
        let division = Arc::new(laid.division.clone());
        let mut snapshot = FederatedSnapshot::new(top, views, division, reads);
        for of in [meta::bounds, meta::base_levels, meta::reach] {
            snapshot.hide(of(grid.id()));
        }
        snapshot.lay(records(grid, &state)?);
        if reads {
            let marks = self.marks_to_come((&snapshot, &state), &followed.0.tokens, &shards)?;
            snapshot.lay(marks);
        }
        Ok(FederatedView {
            snapshot,
            state,
            followed,
            goes_on,
        })
    }

    /// The marks that the top would get for what changed in the shards since it followed them, and
    /// those that shards would have, had they built what others have.
    fn marks_to_come(
        &self,
        (view, state): (&FederatedSnapshot, &State),
        tokens: &[Option<Token>],
        shards: &[Option<(Grid, State)>],
    ) -> Result<Batch> {
        let Inner { grid, laid, .. } = self.inner.as_ref();
        let border = BorderEdges {
            grid,
            view,
            laid,
            state,
        };
        let mut batch = Batch::default();
        for (part, shard) in shards.iter().enumerate() {
            let token = tokens.get(part).and_then(Option::as_ref);
            let snapshot = view.parts()[part].snapshot.as_ref().map(AsRef::as_ref);
            let (Some((shard, own)), Ok(snapshot)) = (shard, snapshot) else {
                // What a shard that is not there has done meanwhile nobody knows.
                mark(grid, &mut batch, border.of(part, &ShardNews::All)?);
                continue;
            };
            let news = match token {
                Some(token) => news_in(shard, snapshot, token)?,
                None => ShardNews::All,
            };
            mark(grid, &mut batch, border.of(part, &news)?);
            if let Some(pyramid) = to_build(laid.border, state, own) {
                mark(grid, &mut batch, raise_edges(grid, snapshot, &pyramid)?);
            }
        }
        Ok(batch)
    }
}

/// Keeps a shard from being moved, unless somebody moves it.
fn entered_at_once(gate: &Gate) -> Option<RwLockReadGuard<'_, ()>> {
    match gate.try_read() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(holder)) => Some(holder.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

fn mark(grid: &Grid, batch: &mut Batch, edges: impl IntoIterator<Item = Edge>) {
    let edges = edges.into_iter().map(|edge| (edge, None));
    dirty::mark(grid, batch, edges, 0);
}

/// What a snapshot of a shard shows behind a token.
fn news_in(shard: &Grid, snapshot: &dyn Snapshot, token: &Token) -> Result<ShardNews> {
    let (changes, next) = match shown(shard, token) {
        Err(error) if *error.kind() == ErrorKind::Expired => return Ok(ShardNews::All),
        shown => shown?,
    };
    // A commit may be there whose entry is not shown yet, since one before it is under way.
    let hidden = feed::between(shard.id(), next.sequence(), u64::MAX);
    let hidden = snapshot.scan(Space::Feed, &hidden, Order::Ascending, 1)?;
    Ok(match hidden.entries.is_empty() {
        true => ShardNews::These(changes),
        false => ShardNews::All,
    })
}

/// Opens a shard's store, if it is the one that the manifest names.
pub(super) fn open_member(
    (options, border): (&FederationOptions, Border),
    (top, federation): (&Grid, u64),
    shard: &Shard,
) -> Member {
    let writable = options.writes(&shard.name);
    let open = || -> Result<Grid> {
        let store = options.open_shard(border, (&shard.place, writable))?;
        let grid = store.grid(&top.name())?;
        if grid.id() != top.id() || grid.schema() != top.schema() {
            return Err(Error::invalid(format!(
                "the grid `{}` in the store at {} has another schema than the federation, or was made anew: a shard's grid is made with the federation, and moved by it",
                top.name(),
                shard.place
            )));
        }
        let expected = ShardRecord::of(federation, shard);
        // A move that was begun and that the manifest does not tell of.
        let begun = ShardRecord {
            moves: expected.moves + 1,
            ..expected.clone()
        };
        match ShardRecord::read(&grid, grid.present()?.as_ref())? {
            Some(found) if found == expected => Ok(grid),
            Some(found) if found == begun && !writable => Ok(grid),
            // Who keeps the top is the only one to move shards, so that this move was cut short.
            Some(found) if found == begun && options.writes_top() => {
                introduce(&grid, &expected)?;
                Ok(grid)
            }
            Some(found) if found == begun => Err(Error::unavailable(format!(
                "shard `{}` is about to leave {}: open it again when it was moved; if nobody moves it, open the federation once where its top is kept",
                found.name, shard.place
            ))),
            Some(found) => Err(Error::invalid(format!(
                "the store at {} is shard `{}`, moved {} times, of federation {:016x}, not `{}`, moved {} times, of {:016x}: it was moved, or put in another's place",
                shard.place,
                found.name,
                found.moves,
                found.federation,
                expected.name,
                expected.moves,
                expected.federation
            ))),
            None => Err(Error::invalid(format!(
                "the store at {} is no shard of a federation",
                shard.place
            ))),
        }
    };
    Member {
        writable,
        grid: open().map_err(|error| error.sentence()),
    }
}

/// Writes into a shard which one it is.
pub(super) fn introduce(shard: &Grid, record: &ShardRecord) -> Result<()> {
    let present = shard.present()?;
    let mut batch = Batch::at(present.as_ref());
    // All stores of a federation have its layers.
    shard.expect_schema(present.as_ref(), &mut batch)?;
    batch.expect_key(Space::Meta, meta::shard(shard.id()));
    batch.put(Space::Meta, meta::shard(shard.id()), record.encode()?);
    shard.store().commit(batch, Durability::Sync).map(|_| ())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use crate::array::DType;
    use crate::grid::{Axis, Dimension, Structure};

    #[test]
    fn a_store_whose_grid_has_got_another_layer_becomes_no_shard() {
        let store = Store::in_memory().unwrap();
        let x = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 4)]);
        let structure = Structure::builder().dimension(x).build().unwrap();
        let schema = Schema::builder(structure, DType::U8).build().unwrap();
        let grid = store.create("a", schema).unwrap();
        store.add_aggregator("a", "max".parse().unwrap()).unwrap();
        let record = ShardRecord {
            federation: 1,
            name: "west".to_owned(),
            moves: 0,
        };
        let error = introduce(&grid, &record).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Expired, "{error}");
        let present = grid.present().unwrap();
        let found = ShardRecord::read(&grid, present.as_ref()).unwrap();
        assert_eq!(found, None);
    }
}
