//! Nodes that are columns of events: whole ranges of ticks of them are told as one cell along the
//! irregular axis.

use super::layer_values::Facts;
use super::node::{
    ChunksRead, KnownFacts, NodeCells, NodeReader, NodeStart, NodeVisit, OpenedNodes,
};
use super::series_slots::{TickPiece, cut};
use super::tally::SlotTally;
use super::walk::Walk;
use crate::dirty::Edge;
use crate::error::Result;
use crate::events::{Column, slabs};
use crate::grid::{Irregular, Location, Structure, Tuple};
use crate::kernel::{Chunk, Pick, weave};
use crate::key::LayerId;
use crate::reader::{Decoded, Fold};
use crate::store::{BaseChunk, LayerSpec, only};

/// Each node is a column of events.
pub(super) struct ColumnNodes {
    pub(super) irregular: Irregular,
    /// The events of the regions.
    pub(super) pieces: Vec<TickPiece>,
}

impl NodeReader for ColumnNodes {
    fn node(&self, chunk: Location) -> Location {
        let irregular = self.irregular;
        irregular.place(
            &chunk,
            irregular.bucket,
            irregular.code(irregular.bucket, 0),
        )
    }

    fn whole(&self, structure: &Structure, node: &Location) -> Location {
        let levels = structure.dimensions()[self.irregular.dimension].levels();
        self.irregular.place(node, *levels.end(), 0)
    }

    fn shape(&self, mut chunk: Tuple<usize>, pieces: &[TickPiece]) -> Tuple<usize> {
        chunk[self.irregular.axis] = pieces.len();
        chunk
    }

    /// One of the ticks that are up to date, and one of the others.
    fn starts(&self, pending: Vec<Edge>) -> Vec<NodeStart> {
        let irregular = self.irregular;
        let (of_events, of_bins): (Vec<Edge>, Vec<Edge>) = pending
            .into_iter()
            .partition(|edge| irregular.is_bucket(&edge.parent));
        let stale = of_events
            .iter()
            .map(|edge| irregular.ticks(&edge.parent))
            .collect();
        let [clean, stale] = cut(&self.pieces, stale);
        // Of bins, those below the ones that are out of date.
        let reach = of_bins
            .iter()
            .filter_map(|edge| irregular.level(&edge.parent).finer())
            .min();
        let start = |(pieces, pending): (Vec<TickPiece>, Vec<Edge>)| NodeStart {
            pieces: pieces.into(),
            pending: pending.into(),
            reach,
        };
        [(clean, Vec::new()), (stale, of_events)]
            .into_iter()
            .filter(|(pieces, _)| !pieces.is_empty())
            .map(start)
            .collect()
    }

    /// Event by event.
    fn open_base(
        &self,
        walk: &Walk<'_>,
        nodes: &[NodeVisit],
        all: &[NodeCells<'_>],
    ) -> Result<Option<OpenedNodes>> {
        let at_base = |node: &&NodeVisit| node.at.levels == walk.pyramid.base.finest();
        let Some(node) = nodes.first().filter(at_base) else {
            return Ok(None);
        };
        let mut opened = OpenedNodes::default();
        let (Some(first), Some(last)) = (node.pieces.first(), node.pieces.last()) else {
            return Ok(Some(opened));
        };
        let span = *first.ticks.start()..=*last.ticks.end();
        let inner: usize = walk.shape(node)[self.irregular.axis + 1..].iter().product();
        let mut told: Vec<Vec<SlotTally>> = nodes.iter().map(|_| walk.tallies()).collect();
        Column::new(walk.chunks, LayerId::BASE, &node.at).each(&span, &mut |at, ticks| {
            let piece = |tick: &i64| {
                let number = node
                    .pieces
                    .partition_point(|piece| piece.ticks.end() < tick);
                node.pieces
                    .get(number)
                    .filter(|piece| piece.ticks.contains(tick))
                    .map(|_| number)
            };
            let pieces: Vec<Option<usize>> = ticks.iter().map(piece).collect();
            if pieces.iter().all(Option::is_none) {
                return Ok(());
            }
            let chunk: BaseChunk = walk.chunks.base_events(&at, &ticks)?;
            opened.read += ChunksRead {
                base: 1,
                aggregate: 0,
            };
            let place = |cell: usize| {
                let (run, within) = (cell / inner, cell % inner);
                let piece = pieces[run % pieces.len()]?;
                Some((run / pieces.len() * node.pieces.len() + piece) * inner + within)
            };
            told.iter_mut().zip(all).try_for_each(|(tallies, cells)| {
                walk.tell(tallies, cells, (&chunk, node.at.levels), place)
                    .map(|_| ())
            })
        })?;
        nodes
            .iter()
            .zip(told)
            .for_each(|(node, tallies)| opened.take(walk.first_slot(node), tallies));
        Ok(Some(opened))
    }

    fn known(
        &self,
        walk: &Walk<'_>,
        node: &NodeVisit,
        all: &mut [NodeCells<'_>],
    ) -> Result<Option<KnownFacts>> {
        let built = walk.pyramid.built.covers(&node.at.levels);
        if built && node.pending.is_empty() && walk.are_worth_reading(node, all) {
            self.folded(walk, node)
        } else {
            Ok(Some((None, 0)))
        }
    }
}

impl ColumnNodes {
    /// What the layers say of the events of each of a node's pieces; `None` if there are no events.
    fn folded(&self, walk: &Walk<'_>, node: &NodeVisit) -> Result<Option<KnownFacts>> {
        let (irregular, Some(first), Some(last)) =
            (self.irregular, node.pieces.first(), node.pieces.last())
        else {
            return Ok(None);
        };
        let built = walk.pyramid.built[irregular.dimension];
        let level = node
            .reach
            .map_or(built, |reach| reach.min(built))
            .max(irregular.bucket);
        let span = *first.ticks.start()..=*last.ticks.end();
        let tops = Column::new(walk.chunks, LayerId::FIRST, &node.at).places(level, &span)?;
        if tops.is_empty() {
            return Ok(None);
        }
        let (mut facts, mut read) = (Facts::default(), 0);
        for &spec in &walk.plan.reads {
            let values = Decoded::new(walk.chunks, spec);
            let mut fold = Fold::new(values, node.at.levels, &walk.pyramid, None);
            let pieces = node
                .pieces
                .iter()
                .map(|piece| fold.over(&tops, &piece.ticks)?.map(only).transpose());
            let pieces = pieces.collect::<Result<Vec<_>>>()?;
            read += fold.chunks_read();
            if pieces.iter().all(Option::is_none) {
                return Ok(None);
            }
            facts.take(
                walk.chunks,
                walk.plan,
                spec,
                woven(walk, node, spec, &pieces),
                (node.at.levels, walk.pyramid.base.finest()),
            );
        }
        Ok(Some((Some(facts), read)))
    }
}

/// Pieces one after the other along the irregular axis.
fn woven(walk: &Walk<'_>, node: &NodeVisit, spec: &LayerSpec, pieces: &[Option<Chunk>]) -> Chunk {
    let sources: Vec<(&Chunk, usize)> = pieces.iter().flatten().map(|chunk| (chunk, 1)).collect();
    let mut next = 0..;
    let picks: Vec<Pick> = pieces
        .iter()
        .map(|piece| {
            piece
                .as_ref()
                .and_then(|_| next.next())
                .map(|number| (number, 0))
        })
        .collect();
    weave(
        spec.rule(),
        slabs(walk.chunks),
        &sources,
        &picks,
        walk.chunks.grid.full(node.at.levels),
    )
}
