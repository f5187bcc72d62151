//! What a walk passes from place to place: chunks of which something is to be told, and what was
//! told.

use std::collections::BTreeMap;
use std::ops::{AddAssign, Range};
use std::sync::Arc;

use super::bounds::Doubt;
use super::layer_values::Facts;
use super::region::{Classes, Cover};
use super::scan::Class;
use super::series_slots::TickPiece;
use super::tally::SlotTally;
use super::walk::Walk;
use crate::dirty::Edge;
use crate::error::Result;
use crate::grid::{Level, Location, Structure, Tuple};
use crate::kernel::for_each_row;

/// A chunk of which something is still to be told for one of the regions.
#[derive(Debug)]
pub(super) struct NodeVisit {
    pub(super) at: Location,
    /// The number of the region.
    pub(super) zone: usize,
    /// Which cells of its parent are to be told; absent if all of its own.
    pub(super) todo: Option<Todo>,
    pub(super) cover: Cover,
    /// The changes in its subtree that its aggregates do not show yet.
    pub(super) pending: Arc<[Edge]>,
    /// What can lie in it, where bounds are wanted.
    pub(super) doubt: Doubt,
    /// Of a column of events, which of them are told.
    pub(super) pieces: Arc<[TickPiece]>,
    /// The level up to which bins of its events are up to date, if not all are.
    pub(super) reach: Option<Level>,
}

/// Where the way down from a place begins.
pub(super) struct NodeStart {
    pub(super) pieces: Arc<[TickPiece]>,
    pub(super) pending: Arc<[Edge]>,
    pub(super) reach: Option<Level>,
}

/// What the layers say of the cells of a node, as far as that is of use, and how many chunks were
/// read.
pub(super) type KnownFacts = (Option<Facts>, u64);

/// What the nodes of a walk are, and how what is stored of them is read: chunks of cells, or
/// columns of events of which each range of ticks is one cell. The way down is the same.
pub(super) trait NodeReader: Sync {
    /// The node that tells of a stored chunk.
    fn node(&self, chunk: Location) -> Location;

    /// The place in which all that a node tells of lies.
    fn whole(&self, structure: &Structure, node: &Location) -> Location;

    /// The shape of a node's cells: `chunk` is that of a chunk's.
    fn shape(&self, chunk: Tuple<usize>, pieces: &[TickPiece]) -> Tuple<usize>;

    /// Where the way down from a place begins, of what is told together each: `pending` are all
    /// changes in it.
    fn starts(&self, pending: Vec<Edge>) -> Vec<NodeStart>;

    /// Tells of the base cells of nodes of one place, and makes nodes of the rest; `None` if what
    /// is there is known from layers.
    fn open_base(
        &self,
        walk: &Walk<'_>,
        nodes: &[NodeVisit],
        all: &[NodeCells<'_>],
    ) -> Result<Option<OpenedNodes>>;

    /// What the layers say of the cells of nodes of one place, of which `node` is the first, and
    /// which of them are stale; `None` if nothing is there.
    fn known(
        &self,
        walk: &Walk<'_>,
        node: &NodeVisit,
        all: &mut [NodeCells<'_>],
    ) -> Result<Option<KnownFacts>>;
}

/// Cells of a parent, and which of its children a node is.
#[derive(Clone, Debug)]
pub(super) struct Todo {
    pub(super) cells: Arc<[bool]>,
    pub(super) dimension: usize,
    pub(super) number: u8,
}

/// What came of the nodes of one place.
#[derive(Debug, Default)]
pub(super) struct OpenedNodes {
    /// By the number of the slot among those of all regions.
    pub(super) tallies: BTreeMap<usize, SlotTally>,
    pub(super) children: Vec<NodeVisit>,
    pub(super) read: ChunksRead,
}

impl OpenedNodes {
    /// Takes what was told of a region, whose first slot has the number `first`.
    pub(super) fn take(&mut self, first: usize, tallies: Vec<SlotTally>) {
        let told = tallies
            .into_iter()
            .enumerate()
            .filter(|(_, tally)| *tally != SlotTally::default());
        told.for_each(|(slot, tally)| self.tallies.entry(first + slot).or_default().merge(tally));
    }

    /// The nodes that are left, those of one place together.
    pub(super) fn places(children: Vec<NodeVisit>) -> Vec<Vec<NodeVisit>> {
        let mut places: BTreeMap<Location, Vec<NodeVisit>> = BTreeMap::new();
        children
            .into_iter()
            .for_each(|node| places.entry(node.at).or_default().push(node));
        places.into_values().collect()
    }
}

/// Chunks read and decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChunksRead {
    /// Of the base.
    pub base: u64,
    /// Of aggregates, counting each layer's.
    pub aggregate: u64,
}

impl ChunksRead {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.base + self.aggregate
    }
}

impl AddAssign for ChunksRead {
    fn add_assign(&mut self, other: Self) {
        self.base += other.base;
        self.aggregate += other.aggregate;
    }
}

/// The cells of a chunk on their way.
pub(super) struct NodeCells<'a> {
    pub(super) classes: Classes,
    /// In which slot they are counted, and the distance between neighbours, along the axis that
    /// tells; all in the first without.
    pub(super) slots: Option<(Vec<usize>, usize)>,
    pub(super) todo: Option<Vec<bool>>,
    pub(super) stale: Option<Arc<[bool]>>,
    pub(super) facts: Option<&'a Facts>,
}

impl NodeCells<'_> {
    pub(super) fn class(&self, cell: usize) -> Class {
        match &self.todo {
            Some(todo) if !todo[cell] => Class::Out,
            _ => self
                .classes
                .cells
                .as_ref()
                .map_or(Class::In, |classes| classes[cell]),
        }
    }

    pub(super) fn slot(&self, cell: usize) -> usize {
        self.slots
            .as_ref()
            .map_or(0, |(along, stride)| along[cell / stride % along.len()])
    }

    pub(super) fn is_fresh(&self, cell: usize) -> bool {
        self.stale.as_ref().is_none_or(|stale| !stale[cell])
    }

    /// What is known of a cell.
    pub(super) fn facts(&self, cell: usize) -> Option<&Facts> {
        self.facts.filter(|_| self.is_fresh(cell))
    }
}

/// A box of a chunk's cells.
pub(super) struct Half {
    pub(super) start: Vec<usize>,
    pub(super) shape: Vec<usize>,
}

impl Half {
    /// Calls `visit` with the cells of each row.
    pub(super) fn rows(&self, chunk: &[usize], mut visit: impl FnMut(Range<usize>)) {
        let at = (chunk, self.start.as_slice());
        for_each_row(at, at, &self.shape, |row, _| {
            visit(row..row + self.shape[chunk.len() - 1])
        });
    }
}
