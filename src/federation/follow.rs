//! The top catches up with the shards.

use std::ops::AddAssign;

use super::border::{BorderEdges, ShardNews};
use super::members::FederatedView;
use super::records::Followed;
use super::state::adopt;
use super::{Federation, Inner};
use crate::aggregate::{self, Aggregated};
use crate::dirty;
use crate::error::{Error, ErrorKind, Result};
use crate::feed::Token;
use crate::key::meta;
use crate::kv::{Batch, Durability, Snapshot, Space};
use crate::store::{Grid, Store, lock};
use crate::writer::wipe;

/// What [`Federation::catch_up`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaughtUp {
    /// What the shards aggregated that this process writes to.
    pub shards: Aggregated,
    /// What was aggregated above them.
    pub top: Aggregated,
}

impl AddAssign for CaughtUp {
    fn add_assign(&mut self, other: Self) {
        self.shards += other.shards;
        self.top += other.top;
    }
}

impl Federation {
    /// Brings every level up to date with what the shards hold now: the shards that this process
    /// writes to, then the few levels above them, from what the change feed of each shard says.
    /// What others put meanwhile may be left for the next time.
    ///
    /// A federation whose top does not catch up answers all the same: fresh reads compute what is
    /// out of date, and stored ones name it. Call it after puts, or now and then from a thread; where
    /// each shard has a process of its own, call it in all of them, of which one
    /// [keeps](super::FederationOptions::keeps_top) the top.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) names a shard that is not open, if something above it
    /// has to be computed from it; [`Corrupt`](ErrorKind::Corrupt) if something cannot be read that
    /// an aggregate is made of. What was done by then is done, and the next call goes on.
    pub fn catch_up(&self) -> Result<CaughtUp> {
        let Inner {
            grid,
            following,
            options,
            ..
        } = self.inner.as_ref();
        grid.check_layers()?;
        let _one_at_a_time = lock(following);
        let mut done = CaughtUp {
            shards: self.spread()?,
            ..CaughtUp::default()
        };
        if !options.writes_top() {
            return Ok(done);
        }
        self.follow()?;
        while let Some(step) = self.step()? {
            done.top += step;
        }
        Ok(done)
    }

    /// Tells the shards of each other, and aggregates them, so far as this process writes to them.
    fn spread(&self) -> Result<Aggregated> {
        let all = self.view(false)?.state;
        let mut done = Aggregated::default();
        let shards: Vec<(String, Grid)> = {
            let members = self.members();
            (0..members.members.len())
                .filter_map(|part| members.writable(part).ok())
                .collect()
        };
        for (name, grid) in shards {
            let advanced = adopt(&grid, &all).and_then(|_| grid.aggregate());
            done += advanced
                .map_err(|e| e.within(format!("shard `{name}` cannot be brought up to date")))?;
        }
        Ok(done)
    }

    /// Leaves marks in the top for all that changed in the shards, in the commit that says up to
    /// where they were followed.
    fn follow(&self) -> Result<()> {
        let Inner { grid, laid, .. } = self.inner.as_ref();
        loop {
            let (known, bytes) = Followed::read(grid, grid.present()?.as_ref())?;
            // Behind what is told by then: the moment that is looked at shows all of it.
            let told = self.news(&known)?;
            let FederatedView {
                snapshot: view,
                state,
                followed,
                goes_on,
            } = self.view(false)?;
            if followed.1 != bytes {
                continue;
            }
            let border = BorderEdges {
                grid,
                view: &view,
                laid,
                state: &state,
            };
            let number = grid.store().reserve_sequence();
            let mut batch = Batch::at(&view);
            batch.expect_key(Space::Meta, meta::schema(grid.id()));
            batch.expect_key(Space::Meta, meta::followed(grid.id()));
            if !goes_on {
                // It is of base data that is gone, and is made anew.
                wipe(grid, view.top(), &mut batch)?;
            }
            let mut tokens = Vec::new();
            for (part, news) in told.into_iter().enumerate() {
                // What a moment does not show of a shard is followed the next time.
                let shown = view.parts()[part].snapshot.is_ok();
                let Some((news, token)) = news.filter(|_| shown) else {
                    // What was made of a shard that is not open is gone with the rest.
                    let token = known.tokens.get(part).cloned().flatten();
                    tokens.push(token.filter(|_| goes_on));
                    continue;
                };
                let news = if goes_on { news } else { ShardNews::All };
                let edges = border.of(part, &news)?.into_iter();
                let edges = edges
                    .map(|edge| Ok((edge, border.ticks(&edge)?)))
                    .collect::<Result<Vec<_>>>()?;
                dirty::mark(grid, &mut batch, edges, number.get());
                tokens.push(Some(token));
            }
            let record = Followed::new(tokens, &state).encode()?;
            if batch.changes_nothing() && Some(&record) == bytes.as_ref() {
                return Ok(());
            }
            batch.put(Space::Meta, meta::followed(grid.id()), record);
            Store::stamp(&mut batch, &number);
            match grid.store().commit(batch, Durability::Sync) {
                Err(error) if *error.kind() == ErrorKind::Conflict => {}
                committed => return committed.map(|_| ()),
            }
        }
    }

    /// What each shard tells behind its token; nothing where it is not open.
    fn news(&self, known: &Followed) -> Result<Vec<Option<(ShardNews, Token)>>> {
        let grids: Vec<Result<Grid, String>> = {
            let members = self.members();
            let members = members.members.iter();
            members.map(|member| member.grid.clone()).collect()
        };
        let news = |(part, grid): (usize, Result<Grid, String>)| {
            let token = known.tokens.get(part).and_then(Option::as_ref);
            let Ok(grid) = grid else { return Ok(None) };
            ShardNews::of(&grid, token).map(Some)
        };
        grids.into_iter().enumerate().map(news).collect()
    }

    /// One step of aggregation above the shards; `None` if nothing is left to do.
    fn step(&self) -> Result<Option<Aggregated>> {
        let grid = &self.inner.grid;
        loop {
            let view = self.view(false)?.snapshot;
            let number = grid.store().reserve_sequence();
            let mut batch = Batch::at(&view);
            batch.expect_key(Space::Meta, meta::schema(grid.id()));
            let advanced = grid
                .store()
                .workers()
                .run(|| aggregate::advance(grid, &view, (&mut batch, number.get())))?;
            let Some((done, _)) = advanced else {
                return Ok(None);
            };
            let mut own = of_top(&view, batch);
            Store::stamp(&mut own, &number);
            match grid.store().commit_step(own) {
                Err(error) if *error.kind() == ErrorKind::Conflict => {}
                committed => return committed.map(|_| Some(done)),
            }
        }
    }
}

/// What the top is to write of a batch: shards write what is theirs.
fn of_top(view: &super::view::FederatedSnapshot, batch: Batch) -> Batch {
    let mut own = Batch::at(view as &dyn Snapshot);
    for (space, key) in batch.keys() {
        own.expect_key(*space, key.clone());
    }
    for (space, range) in batch.ranges() {
        own.expect_range(*space, range.clone());
    }
    let (deleted, writes) = batch.into_parts();
    for (space, range) in deleted {
        own.delete_range(space, range);
    }
    for write in writes {
        if view.is_of_top(write.space, &write.key) {
            match write.value {
                Some(value) => own.put(write.space, write.key, value),
                None => own.delete(write.space, write.key),
            }
        }
    }
    own
}

/// Refuses what only the process can do that keeps the top.
pub(super) fn must_keep_top(federation: &Federation) -> Result<()> {
    if federation.inner.options.writes_top() {
        return Ok(());
    }
    Err(Error::invalid(
        "the top of the federation is open for reading only here: do it where it is kept, or open the federation with FederationOptions::keeps_top",
    ))
}
