//! Columns of events: whole ranges of ticks of them are told as one cell along the irregular axis.

use super::layer_values::Facts;
use super::node::{ChunksRead, NodeCells, Opened, Visit};
use super::tally::Tally;
use super::walk::Walk;
use crate::error::Result;
use crate::events::{Column, slabs};
use crate::grid::Location;
use crate::kernel::{Chunk, Pick, weave};
use crate::key::LayerId;
use crate::reader::{Decoded, Fold};
use crate::store::{BaseChunk, LayerSpec, only};

impl Walk<'_> {
    /// The location that stands for all of a column at some levels.
    pub(super) fn column(&self, mut at: Location) -> Location {
        if let Some(irregular) = self.irregular {
            at = irregular.place(&at, irregular.bucket, irregular.code(irregular.bucket, 0));
        }
        at
    }

    /// The place under which all that a location stands for lies.
    pub(super) fn whole(&self, at: &Location) -> Location {
        match self.irregular {
            Some(irregular) => {
                let levels =
                    self.chunks.grid.structure().dimensions()[irregular.dimension].levels();
                irregular.place(at, *levels.end(), 0)
            }
            None => *at,
        }
    }

    /// What the layers say of the events of each of a node's pieces; `None` if there are no events.
    pub(super) fn folded(&self, node: &Visit) -> Result<(Option<Facts>, u64)> {
        let (Some(irregular), Some(first), Some(last)) =
            (self.irregular, node.pieces.first(), node.pieces.last())
        else {
            return Ok((None, 0));
        };
        let built = self.pyramid.built[irregular.dimension];
        let level = node
            .reach
            .map_or(built, |reach| reach.min(built))
            .max(irregular.bucket);
        let span = *first.ticks.start()..=*last.ticks.end();
        let tops = Column::new(self.chunks, LayerId::FIRST, &node.at).places(level, &span)?;
        if tops.is_empty() {
            return Ok((None, 0));
        }
        let (mut facts, mut read) = (Facts::default(), 0);
        for &spec in &self.plan.reads {
            let values = Decoded::new(self.chunks, spec);
            let mut fold = Fold::new(values, node.at.levels, &self.pyramid, None);
            let pieces = node
                .pieces
                .iter()
                .map(|piece| fold.over(&tops, &piece.ticks)?.map(only).transpose());
            let pieces = pieces.collect::<Result<Vec<_>>>()?;
            read += fold.chunks_read();
            if pieces.iter().all(Option::is_none) {
                return Ok((None, read));
            }
            facts.take(
                self.chunks,
                self.plan,
                spec,
                self.woven(node, spec, &pieces),
                (node.at.levels, self.pyramid.base.finest()),
            );
        }
        Ok((Some(facts), read))
    }

    /// Pieces one after the other along the irregular axis.
    fn woven(&self, node: &Visit, spec: &LayerSpec, pieces: &[Option<Chunk>]) -> Chunk {
        let sources: Vec<(&Chunk, usize)> =
            pieces.iter().flatten().map(|chunk| (chunk, 1)).collect();
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
            slabs(self.chunks),
            &sources,
            &picks,
            self.chunks.grid.full(node.at.levels),
        )
    }

    /// Tells of the base cells of a column event by event.
    pub(super) fn open_events(&self, nodes: &[Visit], all: &[NodeCells<'_>]) -> Result<Opened> {
        let mut opened = Opened::default();
        let Some(node) = nodes.first() else {
            return Ok(opened);
        };
        let (Some(irregular), Some(first), Some(last)) =
            (self.irregular, node.pieces.first(), node.pieces.last())
        else {
            return Ok(opened);
        };
        let span = *first.ticks.start()..=*last.ticks.end();
        let inner: usize = self.shape(node)[irregular.axis + 1..].iter().product();
        let mut told: Vec<Vec<Tally>> = nodes.iter().map(|_| self.tallies()).collect();
        Column::new(self.chunks, LayerId::BASE, &node.at).each(&span, &mut |at, ticks| {
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
            let chunk: BaseChunk = self.chunks.base_events(&at, &ticks)?;
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
                self.tell(tallies, cells, (&chunk, node.at.levels), place)
                    .map(|_| ())
            })
        })?;
        nodes
            .iter()
            .zip(told)
            .for_each(|(node, tallies)| opened.take(self.first_slot(node), tallies));
        Ok(opened)
    }
}
