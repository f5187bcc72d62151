//! One step down the pyramid: what a chunk settles of regions, and what is left to its children.

use std::sync::Arc;

use super::bounds::Doubt;
use super::layer_values::Facts;
use super::node::{Half, NodeCells, NodeReader, NodeStart, NodeVisit, OpenedNodes, Todo};
use super::plan::LayerPlan;
use super::predicate::Verdict;
use super::query::StatisticsQuery;
use super::region::{CellRegion, ChunkFrame, Cover, strides};
use super::scan::Class;
use super::series_slots::Slots;
use super::tally::{Share, SlotTally};
use crate::dirty::{Edge, derivation, touches};
use crate::error::{Error, Result};
use crate::grid::{Location, Tuple};
use crate::kernel::for_each_row;
use crate::store::{ChunkReader, Pyramid};

/// A region that is asked for, and what of its polygon matters to it.
pub(super) struct Zone<'a> {
    /// Its number among all that are asked for.
    pub(super) number: usize,
    pub(super) region: &'a CellRegion<'a>,
    pub(super) cover: Cover,
}

/// What stays the same on the way down.
pub(super) struct Walk<'a> {
    pub(super) chunks: ChunkReader<'a>,
    pub(super) plan: &'a LayerPlan<'a>,
    /// The regions, one walk for all.
    pub(super) zones: Vec<Zone<'a>>,
    pub(super) pyramid: Pyramid,
    /// Whether bounds are wanted.
    pub(super) bounded: bool,
    pub(super) slots: Slots,
    /// What its nodes are.
    pub(super) nodes: Box<dyn NodeReader>,
}

impl<'a> Walk<'a> {
    pub(super) fn query(&self) -> &'a StatisticsQuery {
        self.plan.query
    }

    /// Nodes that nothing is known of: one a region that has cells there.
    pub(super) fn roots(&self, at: Location, start: &NodeStart) -> Vec<NodeVisit> {
        let root = |(zone, of): (usize, &Zone<'_>)| {
            let mut node = NodeVisit {
                at,
                zone,
                todo: None,
                cover: of.cover.clone(),
                pending: Arc::clone(&start.pending),
                doubt: Doubt::default(),
                pieces: Arc::clone(&start.pieces),
                reach: start.reach,
            };
            let frame = self.frame(&node);
            node.cover = of.region.cover_of(&of.cover, &frame);
            let within = of.region.cells_within(&frame);
            if self.bounded {
                node.doubt = Doubt::unknown(self, within * self.plan.full);
            }
            (within > 0.0).then_some(node)
        };
        self.zones.iter().enumerate().filter_map(root).collect()
    }

    fn region(&self, node: &NodeVisit) -> &'a CellRegion<'a> {
        self.zones[node.zone].region
    }

    /// The shape of the cells of a node.
    pub(super) fn shape(&self, node: &NodeVisit) -> Tuple<usize> {
        let chunk = self.chunks.grid.structure().chunk_shape();
        self.nodes.shape(chunk, &node.pieces)
    }

    fn frame(&self, node: &NodeVisit) -> ChunkFrame {
        ChunkFrame::new(
            self.chunks.grid.structure(),
            self.pyramid.base.finest(),
            &node.at,
            self.shape(node),
        )
    }

    fn slots(&self, node: &NodeVisit, frame: &ChunkFrame) -> Option<(Vec<usize>, usize)> {
        let shape = self.shape(node);
        let stride = |axis: usize| shape[axis + 1..].iter().product();
        match &self.slots {
            Slots::One => None,
            Slots::Runs { axis, edges } => {
                let slot =
                    |cell: usize| edges.partition_point(|edge| *edge <= frame.edge(*axis, cell));
                let slot = |cell: usize| slot(cell).saturating_sub(1).min(edges.len() - 2);
                Some(((0..shape[*axis]).map(slot).collect(), stride(*axis)))
            }
            Slots::Ticks { axis, .. } => {
                let slots = node.pieces.iter().map(|piece| piece.slot);
                Some((slots.collect(), stride(*axis)))
            }
        }
    }

    /// A place to count in for each slot of a region.
    pub(super) fn tallies(&self) -> Vec<SlotTally> {
        vec![SlotTally::default(); self.slots.count()]
    }

    /// The number of the first slot of a node's region.
    pub(super) fn first_slot(&self, node: &NodeVisit) -> usize {
        node.zone * self.slots.count()
    }

    /// How many chunks it takes to open a node, at most.
    pub(super) fn cost(&self, node: &NodeVisit) -> u64 {
        if node.at.levels == self.pyramid.base.finest() {
            1
        } else {
            self.plan.reads.len() as u64
        }
    }

    /// Tells of the cells of nodes of one place what its chunks tell, and makes nodes of the rest.
    pub(super) fn open(&self, nodes: &[NodeVisit]) -> Result<OpenedNodes> {
        let Some(first) = nodes.first() else {
            return Ok(OpenedNodes::default());
        };
        let mut all: Vec<NodeCells<'_>> = nodes.iter().map(|node| self.cells(node)).collect();
        if let Some(opened) = self.nodes.open_base(self, nodes, &all)? {
            return Ok(opened);
        }
        let mut opened = OpenedNodes::default();
        let Some((facts, read)) = self.nodes.known(self, first, &mut all)? else {
            return Ok(opened);
        };
        opened.read.aggregate += read;
        for (node, cells) in nodes.iter().zip(&mut all) {
            cells.facts = facts.as_ref();
            let (mut tallies, mut left) = (
                self.tallies(),
                vec![false; self.shape(node).iter().product()],
            );
            for (cell, left) in left.iter_mut().enumerate() {
                *left = cells.class(cell) != Class::Out
                    && !self.settle(&mut tallies[cells.slot(cell)], cells, cell)?;
            }
            opened.take(self.first_slot(node), tallies);
            if left.contains(&true) {
                opened
                    .children
                    .extend(self.children(node, cells, &left.into()));
            }
        }
        Ok(opened)
    }

    /// The cells of a node, and how they lie in its region.
    fn cells(&self, node: &NodeVisit) -> NodeCells<'a> {
        let frame = self.frame(node);
        let (classes, slots) = (
            self.region(node)
                .classify(&frame, &node.cover, self.slots.cuts()),
            self.slots(node, &frame),
        );
        NodeCells {
            classes,
            slots,
            todo: self.todo(node),
            stale: None,
            facts: None,
        }
    }

    /// Whether the aggregates of a node can settle a cell for any of the regions, or tighten its
    /// bounds.
    pub(super) fn are_worth_reading(&self, node: &NodeVisit, all: &[NodeCells<'_>]) -> bool {
        let most = if self.bounded || self.query().predicate.is_some() {
            Class::Part
        } else {
            Class::In
        };
        let count = self.shape(node).iter().product();
        let helps = |cells: &NodeCells<'_>| {
            (0..count).any(|cell| cells.class(cell) >= most && cells.is_fresh(cell))
        };
        self.plan.useful && all.iter().any(helps)
    }

    /// The cells of a node that its parent left to it.
    fn todo(&self, node: &NodeVisit) -> Option<Vec<bool>> {
        let todo = node.todo.as_ref()?;
        let shape = self.shape(node);
        let half = self.half(&shape, (todo.dimension, todo.number));
        let last = shape.len() - 1;
        let (strides, zero) = (strides(&shape), vec![0; shape.len()]);
        let halved = |axis: usize| half.shape[axis] < shape[axis];
        let mut cells = vec![false; shape.iter().product()];
        for_each_row((&shape, &zero), (&shape, &zero), &shape, |row, _| {
            let along = |axis: usize| {
                let cell = row / strides[axis] % shape[axis];
                (half.start[axis] + if halved(axis) { cell / 2 } else { cell }) * strides[axis]
            };
            let from = (0..shape.len()).map(along).sum::<usize>();
            let under = &todo.cells[from..from + half.shape[last]];
            let row = &mut cells[row..row + shape[last]];
            if halved(last) {
                row.chunks_exact_mut(2)
                    .zip(under)
                    .for_each(|(pair, todo)| pair.fill(*todo));
            } else {
                row.copy_from_slice(under);
            }
        });
        Some(cells)
    }

    /// The box of a chunk's cells that lie over one of its children.
    fn half(&self, shape: &[usize], (dimension, number): (usize, u8)) -> Half {
        let axes = self.chunks.grid.structure().axes_of(dimension);
        let mut half = Half {
            start: vec![0; shape.len()],
            shape: shape.to_vec(),
        };
        for axis in axes.clone() {
            half.shape[axis] /= 2;
            half.start[axis] = usize::from(number >> (axes.end - 1 - axis) & 1) * half.shape[axis];
        }
        half
    }

    /// Adds a cell to the tally, if it can be told from what is known of it. Cells that are told to
    /// add nothing are settled.
    fn settle(&self, tally: &mut SlotTally, cells: &NodeCells<'_>, cell: usize) -> Result<bool> {
        let Some(facts) = cells.facts(cell) else {
            return Ok(false);
        };
        let verdict = self.verdict(facts, cell);
        if facts.is_empty(cell) || verdict == Verdict::None {
            return Ok(true);
        }
        if cells.class(cell) != Class::In || verdict != Verdict::All {
            return Ok(false);
        }
        let Some(share) = facts.share(self.plan, cell) else {
            return Ok(false);
        };
        tally.add(&share);
        self.count(tally, facts, cell, &share)?;
        Ok(true)
    }

    /// What the condition makes of the values under a cell.
    fn verdict(&self, facts: &Facts, cell: usize) -> Verdict {
        let (min, max) = facts.range(cell);
        self.query()
            .predicate
            .as_ref()
            .map_or(Verdict::All, |predicate| predicate.verdict(min, max))
    }

    /// Counts a cell that falls into one bin, and whose classes are known, if that is wanted.
    fn count(
        &self,
        tally: &mut SlotTally,
        facts: &Facts,
        cell: usize,
        share: &Share,
    ) -> Result<()> {
        if let Some(bins) = &self.query().bins {
            tally.count(bins, bins.counter(share.range.0), share.area);
        }
        if self.query().classes {
            if share.range.0 == share.range.1 {
                tally.class(share.range.0, share.area);
            } else {
                facts.classes(cell, &mut |class, area| tally.class(class, area));
            }
            self.check_classes(tally)?;
        }
        Ok(())
    }

    /// Refuses more classes than anybody can look at.
    pub(super) fn check_classes(&self, tally: &SlotTally) -> Result<()> {
        if tally.class_count() <= StatisticsQuery::CLASSES_MAX {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "there are more than {} different values there; ask for a histogram in place of classes",
            StatisticsQuery::CLASSES_MAX
        )))
    }

    /// The children that hold the cells left over.
    pub(super) fn children(
        &self,
        node: &NodeVisit,
        cells: &NodeCells<'_>,
        left: &Arc<[bool]>,
    ) -> Vec<NodeVisit> {
        let grid = self.chunks.grid;
        let structure = grid.structure();
        let above = |d: &usize| node.at.levels[*d] > self.pyramid.base.finest()[*d];
        // A region's boundary along one dimension needs no finer cells along another.
        let split = cells
            .classes
            .split
            .iter()
            .copied()
            .filter(above)
            .max_by_key(|&d| {
                (
                    i16::from(node.at.levels[d].get())
                        - i16::from(self.pyramid.base.finest()[d].get()),
                    structure.levelled().position(|e| e == d),
                )
            });
        let Some(dimension) =
            split.or_else(|| derivation(grid, node.at.levels, &self.pyramid.base))
        else {
            return Vec::new();
        };
        let shape = self.shape(node);
        let child = |(number, at): (u8, Location)| {
            let (mine, mut here) = (self.half(&shape, (dimension, number)), Vec::new());
            mine.rows(&shape, |row| here.extend(row.filter(|&cell| left[cell])));
            if here.is_empty() {
                return None;
            }
            let frame = ChunkFrame::new(structure, self.pyramid.base.finest(), &at, shape);
            let within = self.region(node).cells_within(&frame);
            if within == 0.0 {
                return None;
            }
            let whole = self.nodes.whole(structure, &at);
            let under = |edge: &&Edge| touches(grid, &self.pyramid.base, edge, &whole);
            let pending = match node.pending.is_empty() {
                true => Arc::clone(&node.pending),
                false => node.pending.iter().filter(under).copied().collect(),
            };
            let doubt = match self.bounded {
                true => self
                    .doubt(node, cells, &here)
                    .at_most(within * self.plan.full),
                false => Doubt::default(),
            };
            let todo = Some(Todo {
                cells: Arc::clone(left),
                dimension,
                number,
            });
            let cover = self.region(node).cover_of(&node.cover, &frame);
            let zone = node.zone;
            Some(NodeVisit {
                at,
                zone,
                todo,
                cover,
                pending,
                doubt,
                pieces: Arc::clone(&node.pieces),
                reach: node.reach,
            })
        };
        (0..=u8::MAX)
            .zip(structure.children(&node.at, dimension))
            .filter_map(child)
            .collect()
    }

    /// What can lie in some cells of a node.
    fn doubt(&self, node: &NodeVisit, cells: &NodeCells<'_>, left: &[usize]) -> Doubt {
        let full = self.chunks.grid.full(node.at.levels).0;
        let mut doubt = Doubt::default();
        for &cell in left {
            match cells.facts(cell) {
                None => doubt.add(&Doubt::unknown(self, full)),
                Some(facts) => {
                    let area = facts.area(cell);
                    let (least, greatest) = facts.range(cell);
                    let known = Doubt::unknown(self, area.unwrap_or(full))
                        .within((least.below(), greatest.above()));
                    let sure =
                        cells.class(cell) == Class::In && self.verdict(facts, cell) == Verdict::All;
                    match area.filter(|_| sure) {
                        Some(area) => doubt.add(&known.sure(facts.sum_bounds(
                            self.plan,
                            cell,
                            area,
                            known.range(),
                        ))),
                        None => doubt.add(&known),
                    }
                }
            }
        }
        doubt
    }
}
