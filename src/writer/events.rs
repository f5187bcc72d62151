//! Puts of events, and their removal, bucket by bucket.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::PutWriter;
use super::cells::is_blank;
use crate::aggregate::{Bucket, ChunkChange, Leaf, Propagation};
use crate::array::{Cells, with_cells};
use crate::error::Result;
use crate::events::{EventChange, EventPlanes, Events, Trie, irregular, slabs};
use crate::grid::{Location, Piece};
use crate::kernel::Pick;
use crate::key::{LayerId, Ticks};
use crate::store::{BaseChunk, lock};

/// The events of a bucket that a batch concerns, while its puts are laid over them.
struct Touched {
    ticks: Vec<i64>,
    cells: Cells,
    mask: Option<Vec<u8>>,
    /// Which of them are there.
    exists: Vec<bool>,
}

impl Touched {
    fn number(&self, tick: i64) -> usize {
        self.ticks
            .binary_search(&tick)
            .unwrap_or_else(|_| unreachable!("every tick of a piece was found before"))
    }

    fn planes(&mut self) -> (&mut Cells, Option<&mut [u8]>) {
        (&mut self.cells, self.mask.as_deref_mut())
    }
}

impl PutWriter<'_, '_> {
    /// The events of a put that lie in a bucket: the tick of each, rising, and its number in the
    /// array.
    fn put_into(&self, put: usize, bucket: &Location) -> &[(i64, usize)] {
        let (ticks, events) = (irregular(self.chunks).ticks(bucket), &self.puts[put].events);
        let first = events.partition_point(|(tick, _)| tick < ticks.start());
        let end = events.partition_point(|(tick, _)| tick <= ticks.end());
        &events[first..end]
    }

    /// The ticks from which a removal takes what is there; `None` of what is put.
    fn removed(&self, put: usize) -> Option<RangeInclusive<i64>> {
        let (axis, put) = (irregular(self.chunks).axis, self.puts[put]);
        let (start, end) = (put.window.start()[axis], put.window.end()[axis]);
        put.array().is_none().then(|| start..=end.saturating_sub(1))
    }

    /// The events of a bucket after the batch, so far as they change.
    fn bucket(&self, at: &Location) -> Result<EventChange<BaseChunk>> {
        let pieces = self.places.pieces.get(at).map_or(&[][..], Vec::as_slice);
        let mut ticks: BTreeSet<i64> = BTreeSet::new();
        for (put, _) in pieces {
            ticks.extend(self.put_into(*put, at).iter().map(|(tick, _)| tick));
            if let Some(range) = self.removed(*put) {
                let all = self.chunks.ticks_of(LayerId::BASE, at)?;
                ticks.extend(all.into_iter().filter(|tick| range.contains(tick)));
            }
        }
        let ticks: Vec<i64> = ticks.into_iter().collect();
        let old = self.chunks.events_at::<BaseChunk>(at, &ticks)?;
        let mut touched = self.touched(at, ticks, old.as_ref());
        let existed = touched.exists.clone();
        for (put, piece) in pieces {
            self.lay(*put, piece, &mut touched)?;
        }
        Ok(self.difference(at, touched, &existed, old.as_ref()))
    }

    /// Events at some ticks as they are, without data where there are none.
    fn touched(&self, at: &Location, ticks: Vec<i64>, old: Option<&Events<BaseChunk>>) -> Touched {
        let number = |tick: &i64| old.and_then(|old| old.ticks.binary_search(tick).ok());
        let picks: Vec<Pick> = ticks
            .iter()
            .map(|tick| number(tick).map(|event| (0, event)))
            .collect();
        let schema = self.grid.schema();
        let blank = BaseChunk {
            cells: Cells::filled(schema.dtype(), 0, 0.0),
            mask: None,
        };
        let source = old.map_or((&blank, 0), |old| (&old.planes, old.len()));
        let chunk = BaseChunk::weave(
            self.chunks,
            at.levels,
            slabs(self.chunks),
            &[source],
            &picks,
        );
        let cells = chunk.cells.len();
        let mask = schema
            .needs_mask()
            .then(|| chunk.mask.unwrap_or_else(|| vec![1; cells]));
        Touched {
            exists: picks.iter().map(Option::is_some).collect(),
            ticks,
            cells: chunk.cells,
            mask,
        }
    }

    /// Lays a piece over events, or removes what lies in it.
    fn lay(&self, put: usize, piece: &Piece, touched: &mut Touched) -> Result<()> {
        let axis = irregular(self.chunks).axis;
        let shape = self.grid.shape_of(touched.cells.len());
        let mut at_event = piece.clone();
        at_event.shape[axis] = 1;
        for (tick, number) in self.put_into(put, &piece.location) {
            let event = touched.number(*tick);
            (at_event.in_chunk[axis], at_event.in_window[axis]) = (event, *number);
            self.overlay(touched.planes(), &shape, put, &at_event)?;
            touched.exists[event] = true;
        }
        let Some(removed) = self.removed(put) else {
            return Ok(());
        };
        let whole = (0..shape.len()).all(|d| d == axis || piece.shape[d] == shape[d]);
        for event in 0..touched.ticks.len() {
            if !removed.contains(&touched.ticks[event]) || !touched.exists[event] {
                continue;
            }
            at_event.in_chunk[axis] = event;
            self.overlay(touched.planes(), &shape, put, &at_event)?;
            // An event of which nothing is left is gone.
            touched.exists[event] =
                !whole && !is_blank(&self.slab(touched, event), self.grid.schema());
        }
        Ok(())
    }

    /// One of some events.
    fn slab(&self, touched: &Touched, event: usize) -> BaseChunk {
        let (slabs, events) = (slabs(self.chunks), touched.ticks.len());
        let mask = touched
            .mask
            .as_ref()
            .map(|mask| slabs.copy(&[(mask.as_slice(), events)], &[Some((0, event))], 0));
        BaseChunk {
            cells: slabs.cells_of(&[(&touched.cells, events)], &[Some((0, event))], 0.0),
            mask,
        }
    }

    /// What is new among events.
    fn difference(
        &self,
        at: &Location,
        touched: Touched,
        existed: &[bool],
        old: Option<&Events<BaseChunk>>,
    ) -> EventChange<BaseChunk> {
        let same = |event: usize| {
            let of_old = old
                .and_then(|old| Some((old, old.ticks.binary_search(&touched.ticks[event]).ok()?)));
            of_old.is_some_and(|(old, number)| {
                let before = BaseChunk::weave(
                    self.chunks,
                    at.levels,
                    slabs(self.chunks),
                    &[(&old.planes, old.len())],
                    &[Some((0, number))],
                );
                let now = self.slab(&touched, event);
                let mask = |chunk: &BaseChunk| chunk.mask.clone().filter(|mask| mask.contains(&0));
                with_cells!(&before.cells, |_cells| before.cells.as_bytes()
                    == now.cells.as_bytes())
                    && mask(&before) == mask(&now)
            })
        };
        let gone = (0..touched.ticks.len())
            .filter(|&event| existed[event] && !touched.exists[event])
            .map(|event| touched.ticks[event]);
        let gone: Vec<i64> = gone.collect();
        let kept: Vec<usize> = (0..touched.ticks.len())
            .filter(|&event| touched.exists[event] && !(existed[event] && same(event)))
            .collect();
        if kept.is_empty() {
            return EventChange { now: None, gone };
        }
        let (events, picks) = (
            touched.ticks.len(),
            kept.iter()
                .map(|event| Some((0, *event)))
                .collect::<Vec<Pick>>(),
        );
        let ticks = kept.iter().map(|event| touched.ticks[*event]).collect();
        let all = BaseChunk {
            cells: touched.cells,
            mask: touched.mask,
        };
        let planes = BaseChunk::weave(
            self.chunks,
            at.levels,
            slabs(self.chunks),
            &[(&all, events)],
            &picks,
        );
        EventChange {
            now: Some(Events { ticks, planes }),
            gone,
        }
    }

    /// Computes a bucket of the base and emits its writes.
    pub(super) fn bucket_leaf(&self, run: &Propagation<'_>, leaf: &Leaf) -> Result<ChunkChange> {
        let (at, chunks) = (&leaf.at, self.chunks);
        let change = self.bucket(at)?;
        let whole = run.lacks(&leaf.feeds)?;
        if change.is_empty() && !whole && !run.rises(&leaf.feeds) {
            return Ok(ChunkChange::Same);
        }
        lock(&self.changed).extend(Ticks::new(change.ticks()).map(|ticks| (*at, Some(ticks))));
        let mut trie = Trie::new(chunks);
        let content = trie.change(at, change.clone())?;
        let irregular = self.base.irregular();
        let binned = run
            .fed(&leaf.feeds)
            .any(|node| Some(node.dimension) == irregular);
        let bins = if binned {
            trie.bins(at, &content)?
        } else {
            None
        };
        let mut told = EventChange {
            now: None,
            gone: Vec::new(),
        };
        if run
            .fed(&leaf.feeds)
            .any(|node| Some(node.dimension) != irregular)
        {
            let EventChange { now, gone } = if whole {
                trie.whole(at, change, &content)?
            } else {
                change
            };
            told = EventChange {
                now: now.map(|now| now.lifted(chunks, at.levels)).transpose()?,
                gone,
            };
        }
        run.emit_bucket(trie);
        Ok(ChunkChange::Bucket(Arc::new(Bucket { change: told, bins })))
    }
}
