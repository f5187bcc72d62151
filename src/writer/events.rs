//! Puts of events, and their removal, bucket by bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::cells::is_blank;
use super::clear::PIECES_MAX;
use super::{Put, Writer};
use crate::aggregate::{Bucket, ChunkChange, Leaf, Propagation};
use crate::array::{Cells, with_cells};
use crate::dirty::{Edge, parents};
use crate::error::{Error, Result};
use crate::events::{Column, EventChange, Events, Planes, Trie, slabs};
use crate::grid::{Location, Piece, Structure, Window};
use crate::kernel::Pick;
use crate::key::{LayerId, Ticks};
use crate::store::{BaseChunk, ChunkReader, lock};

/// What is put into each bucket, or removed from it, in the order of the puts.
pub(super) type Buckets = BTreeMap<Location, Vec<EventPiece>>;

/// The part of a put in one bucket.
#[derive(Clone, Debug)]
pub(super) struct EventPiece {
    put: usize,
    /// Where it lies along the other axes.
    piece: Piece,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// Events: the tick of each, and its number in the array.
    Put(Vec<(i64, usize)>),
    /// All between two ticks goes.
    Clear(RangeInclusive<i64>),
}

/// Finds the buckets of each put of a run. `bounds` is the box of all that was put before.
pub(super) fn buckets(
    chunks: ChunkReader<'_>,
    bounds: Option<&Window>,
    puts: &[&Put<'_>],
) -> Result<Buckets> {
    let (grid, structure) = (chunks.grid, chunks.grid.structure());
    let Some(irregular) = structure.irregular_axis() else {
        return Ok(Buckets::new());
    };
    let mut buckets = Buckets::new();
    for (number, put) in puts.iter().enumerate() {
        let pieces: Vec<Piece> = match (put.flat(), put.array(), bounds) {
            (Some(flat), Some(_), _) => structure.split(&flat).collect(),
            (Some(flat), None, Some(bounds)) => {
                let known = structure.cover(bounds, flat.levels(structure.dimensions().len()));
                let known = known.along(irregular.axis, flat.start()[irregular.axis], 1);
                let Some(part) = structure.intersection(&flat, &known) else {
                    continue;
                };
                if structure.chunk_count(&part) > PIECES_MAX as u64 {
                    return Err(grid.blame(Error::invalid(format!(
                        "the window at {:?} lies over more than {PIECES_MAX} columns of chunks; remove less at a time",
                        put.window.start()
                    ))));
                }
                structure.split(&part).collect()
            }
            _ => Vec::new(),
        };
        let place = |piece: &Piece, code: u64| Piece {
            location: irregular.place(&piece.location, irregular.bucket, code),
            ..piece.clone()
        };
        if put.array().is_some() {
            let mut events: Vec<(i64, usize)> = put.ticks.iter().copied().zip(0..).collect();
            events.sort_unstable();
            for group in events.chunk_by(|a, b| {
                irregular.code(irregular.bucket, a.0) == irregular.code(irregular.bucket, b.0)
            }) {
                let code = irregular.code(irregular.bucket, group[0].0);
                for piece in &pieces {
                    let piece = place(piece, code);
                    buckets.entry(piece.location).or_default().push(EventPiece {
                        put: number,
                        piece,
                        what: What::Put(group.to_vec()),
                    });
                }
            }
        } else {
            let (first, end) = (
                put.window.start()[irregular.axis],
                put.window.end()[irregular.axis],
            );
            let ticks = first..=end.saturating_sub(1);
            for piece in &pieces {
                let mut codes: BTreeSet<u64> = BTreeSet::new();
                Column::new(chunks, LayerId::BASE, &piece.location).each(
                    &ticks,
                    &mut |_, of| {
                        codes.insert(irregular.code(irregular.bucket, of[0]));
                        Ok(())
                    },
                )?;
                for code in codes {
                    let piece = place(piece, code);
                    let what = What::Clear(ticks.clone());
                    buckets.entry(piece.location).or_default().push(EventPiece {
                        put: number,
                        piece,
                        what,
                    });
                }
            }
        }
    }
    Ok(buckets)
}

/// A window whose chunks are the buckets of its ticks, in a grid with an irregular dimension; else
/// the window itself.
pub(super) fn codes_of(structure: &Structure, window: &Window) -> Window {
    let Some(irregular) = structure.irregular_axis() else {
        return *window;
    };
    let (first, end) = (window.start()[irregular.axis], window.end()[irregular.axis]);
    let (first, last) = (
        irregular.bin(irregular.bucket, first),
        irregular.bin(irregular.bucket, end.saturating_sub(1)),
    );
    let levels = window
        .levels(structure.dimensions().len())
        .with(irregular.dimension, irregular.bucket);
    window
        .along(
            irregular.axis,
            first,
            last.abs_diff(first).saturating_add(1),
        )
        .at(levels)
}

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
}

impl Writer<'_, '_> {
    /// The events of a bucket after the batch, so far as they change.
    fn bucket(&self, at: &Location) -> Result<EventChange<BaseChunk>> {
        let pieces = self.buckets.get(at).map_or(&[][..], Vec::as_slice);
        let mut ticks: BTreeSet<i64> = BTreeSet::new();
        for EventPiece { what, .. } in pieces {
            match what {
                What::Put(events) => ticks.extend(events.iter().map(|(tick, _)| tick)),
                What::Clear(range) => {
                    let all = self.chunks.ticks_of(LayerId::BASE, at)?;
                    ticks.extend(all.into_iter().filter(|tick| range.contains(tick)));
                }
            }
        }
        let ticks: Vec<i64> = ticks.into_iter().collect();
        let old = self.chunks.events_at::<BaseChunk>(at, &ticks)?;
        let mut touched = self.touched(at, ticks, old.as_ref());
        let existed = touched.exists.clone();
        for piece in pieces {
            self.lay(piece, &mut touched)?;
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
    fn lay(
        &self,
        EventPiece { put, piece, what }: &EventPiece,
        touched: &mut Touched,
    ) -> Result<()> {
        let Some(irregular) = self.grid.structure().irregular_axis() else {
            return Ok(());
        };
        let shape = self.grid.shape_of(touched.cells.len());
        let mut at_event = piece.clone();
        at_event.shape[irregular.axis] = 1;
        let whole = piece
            .shape
            .iter()
            .zip(shape.iter())
            .enumerate()
            .all(|(axis, (a, b))| axis == irregular.axis || a == b);
        match what {
            What::Put(events) => {
                for (tick, number) in events {
                    let event = touched.number(*tick);
                    (
                        at_event.in_chunk[irregular.axis],
                        at_event.in_window[irregular.axis],
                    ) = (event, *number);
                    self.overlay(
                        (&mut touched.cells, touched.mask.as_deref_mut()),
                        &shape,
                        *put,
                        &at_event,
                    )?;
                    touched.exists[event] = true;
                }
            }
            What::Clear(range) => {
                for event in 0..touched.ticks.len() {
                    if !range.contains(&touched.ticks[event]) || !touched.exists[event] {
                        continue;
                    }
                    at_event.in_chunk[irregular.axis] = event;
                    self.overlay(
                        (&mut touched.cells, touched.mask.as_deref_mut()),
                        &shape,
                        *put,
                        &at_event,
                    )?;
                    // An event of which nothing is left is gone.
                    touched.exists[event] =
                        !whole && !is_blank(&self.slab(touched, event), self.grid.schema());
                }
            }
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
        lock(&self.changed).extend(Ticks::new(change.ticks()).map(|ticks| (*at, ticks)));
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

    /// The edges above the buckets that the batch changed, with the ticks that it changed for those
    /// who derive along other dimensions.
    pub(super) fn bucket_edges(&self) -> Vec<(Edge, Option<Ticks>)> {
        let of_bucket = |(at, ticks): (&Location, &Ticks)| -> Vec<_> {
            let of = |edge: Edge| {
                (
                    edge,
                    (Some(edge.dimension) != self.base.irregular()).then(|| ticks.clone()),
                )
            };
            parents(self.grid, at, None).into_iter().map(of).collect()
        };
        lock(&self.changed).iter().flat_map(of_bucket).collect()
    }
}
