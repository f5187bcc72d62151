//! What is kept of events: base cells, or the chunks of every layer.

use crate::error::Result;
use crate::grid::{Irregular, Levels, Location};
use crate::kernel::{Pick, Slabs, weave};
use crate::key::{LayerId, Ticks};
use crate::store::{BaseChunk, ChunkContent, ChunkReader, ChunkWrite, LayerChunks, LayerSpec};

/// Events at one place: their ticks, rising, and what is kept of each.
#[derive(Clone, Debug)]
pub(crate) struct Events<P> {
    pub(crate) ticks: Vec<i64>,
    pub(crate) planes: P,
}

/// What is kept of events, one after the other along the irregular axis.
pub(crate) trait EventPlanes: Clone + Send + Sync + Sized {
    /// The layer whose directory entries say where these chunks are.
    const LAYER: LayerId;

    /// The picked events of several sources, each given with the number of its events.
    fn weave(
        chunks: ChunkReader<'_>,
        levels: Levels,
        slabs: Slabs,
        sources: &[(&Self, usize)],
        picks: &[Pick],
    ) -> Self;

    /// The events of a chunk.
    fn read(chunks: ChunkReader<'_>, at: &Location, ticks: &Ticks) -> Result<Self>;

    /// The writes of a chunk of events.
    fn write(&self, chunks: ChunkReader<'_>, at: &Location, ticks: &Ticks) -> Vec<ChunkWrite>;

    /// What stands in the place of a chunk of events where there is none: nothing, or a branch,
    /// whose bins are in the layers.
    fn absent(chunks: ChunkReader<'_>, at: &Location, branch: bool) -> Vec<ChunkWrite>;

    /// What each layer makes of these events.
    fn lift(&self, chunks: ChunkReader<'_>, levels: Levels) -> Result<LayerChunks>;
}

impl EventPlanes for BaseChunk {
    const LAYER: LayerId = LayerId::BASE;

    fn weave(
        chunks: ChunkReader<'_>,
        _: Levels,
        slabs: Slabs,
        sources: &[(&Self, usize)],
        picks: &[Pick],
    ) -> Self {
        let fill = crate::store::base_fill(chunks.grid.schema());
        let cells: Vec<_> = sources
            .iter()
            .map(|(chunk, events)| (&chunk.cells, *events))
            .collect();
        let masked = chunks.grid.schema().needs_mask()
            && picks
                .iter()
                .any(|pick| pick.is_none_or(|(source, _)| sources[source].0.mask.is_some()));
        let mask = masked.then(|| {
            let whole: Vec<Vec<u8>> = sources
                .iter()
                .map(|(chunk, _)| {
                    if chunk.mask.is_none() {
                        vec![1; chunk.cells.len()]
                    } else {
                        Vec::new()
                    }
                })
                .collect();
            let masks: Vec<_> = sources
                .iter()
                .zip(&whole)
                .map(|((chunk, events), whole)| (chunk.mask.as_deref().unwrap_or(whole), *events))
                .collect();
            slabs.copy(&masks, picks, 0)
        });
        BaseChunk {
            cells: slabs.cells_of(&cells, picks, fill),
            mask: mask.filter(|mask| mask.contains(&0)),
        }
    }

    fn read(chunks: ChunkReader<'_>, at: &Location, ticks: &Ticks) -> Result<Self> {
        chunks.base_events(at, ticks)
    }

    fn write(&self, chunks: ChunkReader<'_>, at: &Location, ticks: &Ticks) -> Vec<ChunkWrite> {
        let blob = chunks.encode_base(at, self, Some(ticks));
        vec![ChunkWrite {
            layer: LayerId::BASE,
            at: *at,
            what: ChunkContent::Events(ticks.clone(), blob),
        }]
    }

    fn absent(chunks: ChunkReader<'_>, at: &Location, branch: bool) -> Vec<ChunkWrite> {
        let what = if branch {
            ChunkContent::Branch
        } else {
            ChunkContent::Nothing
        };
        let mut writes = vec![ChunkWrite {
            layer: LayerId::BASE,
            at: *at,
            what,
        }];
        if !branch {
            writes.extend(LayerChunks::absent(chunks, at, false));
        }
        writes
    }

    fn lift(&self, chunks: ChunkReader<'_>, levels: Levels) -> Result<LayerChunks> {
        chunks.lift(self, levels)
    }
}

impl EventPlanes for LayerChunks {
    const LAYER: LayerId = LayerId::FIRST;

    fn weave(
        chunks: ChunkReader<'_>,
        levels: Levels,
        slabs: Slabs,
        sources: &[(&Self, usize)],
        picks: &[Pick],
    ) -> Self {
        let full = chunks.grid.full(levels);
        let of_layer = |(number, layer): (usize, &LayerSpec)| {
            let sources: Vec<_> = sources
                .iter()
                .map(|(layers, events)| (&layers[number], *events))
                .collect();
            weave(layer.rule(), slabs, &sources, picks, full)
        };
        chunks.layers().iter().enumerate().map(of_layer).collect()
    }

    fn read(chunks: ChunkReader<'_>, at: &Location, ticks: &Ticks) -> Result<Self> {
        chunks
            .aggregates(at, Some(ticks))?
            .ok_or_else(|| chunks.lost(LayerId::FIRST, at))
    }

    fn write(&self, chunks: ChunkReader<'_>, at: &Location, ticks: &Ticks) -> Vec<ChunkWrite> {
        chunks.encode(at, self, Some(ticks))
    }

    fn absent(chunks: ChunkReader<'_>, at: &Location, branch: bool) -> Vec<ChunkWrite> {
        if branch {
            Vec::new()
        } else {
            chunks.without(at)
        }
    }

    fn lift(&self, _: ChunkReader<'_>, _: Levels) -> Result<LayerChunks> {
        Ok(self.clone())
    }
}

impl<P: EventPlanes> Events<P> {
    /// What each layer makes of them.
    pub(crate) fn lifted(
        &self,
        chunks: ChunkReader<'_>,
        levels: Levels,
    ) -> Result<Events<LayerChunks>> {
        Ok(Events {
            ticks: self.ticks.clone(),
            planes: self.planes.lift(chunks, levels)?,
        })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ticks.len()
    }

    /// Those whose ticks are kept; `None` if none is.
    pub(crate) fn only(
        &self,
        chunks: ChunkReader<'_>,
        levels: Levels,
        keep: impl Fn(i64) -> bool,
    ) -> Option<Self> {
        let kept: Vec<usize> = (0..self.len())
            .filter(|&event| keep(self.ticks[event]))
            .collect();
        (!kept.is_empty()).then(|| self.pick(chunks, levels, &kept))
    }

    /// Some of them, rising, by their number.
    pub(crate) fn pick(&self, chunks: ChunkReader<'_>, levels: Levels, kept: &[usize]) -> Self {
        if kept.len() == self.len() {
            return self.clone();
        }
        let picks: Vec<Pick> = kept.iter().map(|event| Some((0, *event))).collect();
        let planes = P::weave(
            chunks,
            levels,
            slabs(chunks),
            &[(&self.planes, self.len())],
            &picks,
        );
        Self {
            ticks: kept.iter().map(|event| self.ticks[*event]).collect(),
            planes,
        }
    }

    /// All of several, whose ticks differ, in the order of their ticks. `None` if there are none.
    pub(crate) fn join(chunks: ChunkReader<'_>, levels: Levels, parts: &[&Self]) -> Option<Self> {
        Self::join_slabs(chunks, levels, slabs(chunks), parts)
    }

    /// The same of events of other slabs than a chunk's.
    pub(crate) fn join_slabs(
        chunks: ChunkReader<'_>,
        levels: Levels,
        slabs: Slabs,
        parts: &[&Self],
    ) -> Option<Self> {
        let mut order: Vec<(i64, Pick)> = parts
            .iter()
            .enumerate()
            .flat_map(|(source, part)| {
                part.ticks
                    .iter()
                    .enumerate()
                    .map(move |(event, tick)| (*tick, Some((source, event))))
            })
            .collect();
        order.sort_unstable_by_key(|(tick, _)| *tick);
        let sources: Vec<(&P, usize)> = parts
            .iter()
            .map(|part| (&part.planes, part.len()))
            .collect();
        match (sources.as_slice(), order.as_slice()) {
            (_, []) => None,
            ([_], _) => Some(parts[0].clone()),
            _ => {
                let picks: Vec<Pick> = order.iter().map(|(_, pick)| *pick).collect();
                let planes = P::weave(chunks, levels, slabs, &sources, &picks);
                Some(Self {
                    ticks: order.into_iter().map(|(tick, _)| tick).collect(),
                    planes,
                })
            }
        }
    }
}

/// How the cells of one event lie in a chunk.
pub(crate) fn slabs(chunks: ChunkReader<'_>) -> Slabs {
    let axis = irregular(chunks).axis;
    Slabs::new(&chunks.grid.structure().chunk_shape(), axis)
}

/// The irregular dimension of a grid that has one.
pub(crate) fn irregular(chunks: ChunkReader<'_>) -> Irregular {
    let found = chunks.grid.structure().irregular_axis();
    found.unwrap_or_else(|| unreachable!("only grids with an irregular dimension have events"))
}
