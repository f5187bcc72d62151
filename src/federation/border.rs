//! Which aggregates above the shards are out of date because something at the shards' border
//! changed.

use std::collections::BTreeSet;

use super::shards::ShardLayout;
use super::state::top;
use super::view::FederatedSnapshot;
use crate::dirty::{Edge, derivation, levels_between, parents};
use crate::error::{ErrorKind, Result};
use crate::events::Column;
use crate::feed::{Change, Token};
use crate::grid::{Levels, Location, Window};
use crate::key::{ChunkKey, LayerId, Owner, Ticks};
use crate::store::{Base, Grid, State};

/// What changed in a shard.
pub(super) enum ShardNews {
    /// Anything may have.
    All,
    These(Vec<Change>),
}

impl ShardNews {
    /// What is settled behind a token, and the token to go on with.
    pub(super) fn of(shard: &Grid, token: Option<&Token>) -> Result<(Self, Token)> {
        if let Some(token) = token {
            match shown(shard, token) {
                Err(error) if *error.kind() == ErrorKind::Expired => {}
                shown => return shown.map(|(changes, next)| (Self::These(changes), next)),
            }
        }
        Ok((Self::All, shard.changes_token()?))
    }

    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::These(changes) if changes.is_empty())
    }
}

/// All changes behind a token.
pub(super) fn shown(shard: &Grid, token: &Token) -> Result<(Vec<Change>, Token)> {
    let (mut changes, mut next) = (Vec::new(), token.clone());
    loop {
        let page = shard.changes_since(&next)?;
        changes.extend(page.changes);
        next = page.next;
        if !page.more {
            return Ok((changes, next));
        }
    }
}

/// The edges from a shard's columns into what lies above them.
pub(super) struct BorderEdges<'a> {
    pub(super) grid: &'a Grid,
    pub(super) view: &'a FederatedSnapshot,
    pub(super) laid: &'a ShardLayout,
    pub(super) state: &'a State,
}

impl BorderEdges<'_> {
    /// Those along which a shard's news are told, so far as a chunk is there at either end.
    pub(super) fn of(&self, part: usize, news: &ShardNews) -> Result<BTreeSet<Edge>> {
        let mut edges = BTreeSet::new();
        let structure = self.grid.structure();
        let Some(((base, bounds), top)) = self
            .state
            .base
            .zip(self.state.bounds)
            .zip(top(structure, self.state))
        else {
            return Ok(edges);
        };
        let (d, level) = (self.laid.border.dimension, self.laid.border.level);
        if top[d] <= level || self.grid.layers().is_empty() || news.is_nothing() {
            return Ok(edges);
        }
        let rank = |of: usize| structure.order().iter().position(|d| *d == of);
        for levels in levels_between(self.grid, base.finest().with(d, level), top.with(d, level)) {
            // What derives along a later dimension feeds nothing along this one.
            let derived = derivation(self.grid, levels, &base);
            if derived.is_some_and(|derived| rank(derived) > rank(d)) {
                continue;
            }
            let windows: BTreeSet<Window> = match news {
                ShardNews::All => [structure.cover(&bounds, levels)].into(),
                ShardNews::These(changes) => changes
                    .iter()
                    .flat_map(|change| change.stored(structure, structure.cell_levels(levels)))
                    .map(|window| structure.cover(&window, levels))
                    .collect(),
            };
            for window in &windows {
                for (_, columns) in self.laid.boxes.iter().filter(|(of, _)| *of == part) {
                    if let Some(window) = self.laid.part(structure, columns, window) {
                        self.add(part, (&base, levels), &window, &mut edges)?;
                    }
                }
            }
        }
        Ok(edges)
    }

    /// The events that may have changed in the child that an edge tells of, if it is a bucket: those
    /// that it has, and those that were made of what it had.
    pub(super) fn ticks(&self, edge: &Edge) -> Result<Option<Ticks>> {
        let structure = self.grid.structure();
        let child = structure.child(&edge.parent, edge.dimension, edge.child);
        let (Some(base), Some(child)) = (self.state.base, child) else {
            return Ok(None);
        };
        let is_bucket = |d: usize| child.levels[d] == base.finest()[d];
        if !base.irregular().is_some_and(is_bucket) {
            return Ok(None);
        }
        let mut ticks = BTreeSet::new();
        for at in [child, edge.parent] {
            let chunks = self.grid.chunk_reader(self.view);
            ticks.extend(chunks.ticks_of(Column::layer_of(&base, &at), &at)?);
        }
        Ok(Ticks::new(ticks.into_iter().collect::<Vec<_>>()))
    }

    /// Those from the chunks of a window at the border.
    fn add(
        &self,
        part: usize,
        (base, levels): (&Base, Levels),
        window: &Window,
        edges: &mut BTreeSet<Edge>,
    ) -> Result<()> {
        let (grid, structure, d) = (self.grid, self.grid.structure(), self.laid.border.dimension);
        let derived = derivation(grid, levels, base);
        let mut up = |at: &Location| {
            let edge = parents(grid, at, derived).into_iter();
            edges.extend(edge.filter(|edge| edge.dimension == d));
        };
        // In the shard's own store, so that it does not matter whether others are open.
        if let Ok(own) = &self.view.parts()[part].snapshot {
            for layer in [LayerId::BASE, LayerId::FIRST] {
                if layer == LayerId::BASE && !base.has(levels) {
                    continue;
                }
                for chunk in grid.chunks_within(own.as_ref(), layer, window)? {
                    up(&chunk.location);
                }
            }
        }
        // What is gone from below is still told by what was made of it.
        let Some(coarser) = levels[d].coarser() else {
            return Ok(());
        };
        let above = structure.cover(window, levels.with(d, coarser));
        for node in grid.chunks_within(self.view, LayerId::FIRST, &above)? {
            for child in structure.children(&node.location, d) {
                let key = ChunkKey::new(grid.id(), structure, LayerId::FIRST, &child).encode();
                let touched = structure
                    .intersection(&structure.chunk_window(&child), window)
                    .is_some();
                if touched && self.laid.division.chunk(&key) == Some(Owner::Part(part)) {
                    up(&child);
                }
            }
        }
        Ok(())
    }
}
