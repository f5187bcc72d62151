//! The places that a batch of puts writes to, and what must be split for it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use super::levels::aggregated;
use crate::dirty::Marks;
use crate::error::Result;
use crate::grid::{Level, Location, Piece};
use crate::key::LayerId;
use crate::kv::{self, Space};
use crate::store::{Base, BaseChunk, ChunkReader, Grid, expect_base_levels};

/// How many places an error names.
const NAMED_MAX: usize = 8;

/// The places that a batch of puts writes to.
pub(super) struct PutPlaces {
    /// The parts of the puts in each chunk, in their order, with the number of their put.
    pub(super) pieces: HashMap<Location, Vec<(usize, Piece)>>,
    /// Base chunks above finer pieces: they become aggregates, and their cells are copied down.
    pub(super) split: BTreeSet<Location>,
    /// Base chunks that are written: those put into, and those that cells are copied to.
    pub(super) leaves: BTreeSet<Location>,
    /// The leaves in key order, so that neighbours under one parent are computed together.
    pub(super) order: Vec<Location>,
    /// The cells of split chunks, which several others are made of.
    pub(super) contents: HashMap<Location, OnceLock<Arc<BaseChunk>>>,
    /// Places that rely on there being no finer data below them.
    bare: Vec<Location>,
    /// Aggregates in these places that are left of finer data: it is gone, and its marks are
    /// pending. They go at once, since aggregates stand neither below base data nor beside it.
    pub(super) left: BTreeSet<Location>,
    /// The places in which they stand.
    pub(super) over: BTreeSet<Location>,
}

impl PutPlaces {
    /// Finds the places of the pieces of each put. `before` are the base levels before the batch;
    /// `writes` says whether a piece of a put writes anything.
    ///
    /// # Errors
    ///
    /// [`AggregatedLevel`](crate::ErrorKind::AggregatedLevel) names the places that have finer data
    /// below.
    pub(super) fn new(
        chunks: ChunkReader<'_>,
        base: &Base,
        before: Option<&Base>,
        puts: Vec<Vec<Piece>>,
        writes: impl Fn(usize, &Piece) -> bool,
    ) -> Result<Self> {
        let mut pieces: HashMap<Location, Vec<(usize, Piece)>> = HashMap::new();
        for (number, put) in puts.into_iter().enumerate() {
            for piece in put {
                pieces
                    .entry(piece.location)
                    .or_default()
                    .push((number, piece));
            }
        }
        let mut places = Self {
            leaves: pieces.keys().copied().collect(),
            pieces,
            split: BTreeSet::new(),
            order: Vec::new(),
            contents: HashMap::new(),
            bare: Vec::new(),
            left: BTreeSet::new(),
            over: BTreeSet::new(),
        };
        if let Some(mixed) = base.mixed() {
            places.find_split(chunks, (base, before, mixed), &writes)?;
            places.refuse_coarser(chunks, (before, mixed))?;
            places.find_left(chunks, (base, mixed), &writes)?;
        }
        places.order = in_order(chunks, &places.leaves);
        places.contents = places
            .split
            .iter()
            .map(|at| (*at, OnceLock::new()))
            .collect();
        Ok(places)
    }

    /// Expects what the places were found by: the chunks themselves, those above them, and that
    /// nothing is below.
    pub(super) fn expect(
        &self,
        chunks: ChunkReader<'_>,
        base: &Base,
        batch: &mut kv::Batch,
    ) -> Result<()> {
        expect_base_levels(batch, chunks.grid.id());
        let above = self
            .pieces
            .keys()
            .flat_map(|at| chunks.above(at, base))
            .filter(|at| base.has(at.levels));
        let expected: HashSet<Location> = self
            .leaves
            .iter()
            .chain(&self.split)
            .copied()
            .chain(above)
            .collect();
        for at in expected {
            batch.expect_key(Space::Directory, chunks.key(LayerId::BASE, &at));
        }
        let finer = |at: &Location| -> Vec<kv::KeyRange> {
            let levels = base.refinable().map(|d| {
                base.levels()
                    .map(|levels| levels[d])
                    .filter(|level| *level < at.levels[d])
                    .collect::<Vec<_>>()
            });
            levels
                .into_iter()
                .flatten()
                .filter_map(|level| chunks.range_under(LayerId::BASE, at, level))
                .collect()
        };
        self.bare
            .iter()
            .flat_map(finer)
            .for_each(|range| batch.expect_range(Space::Directory, range));
        // Nor that anybody makes an aggregate below them of data that is gone.
        if let Some(mixed) = base.mixed().filter(|_| !self.bare.is_empty())
            && Marks::pend(chunks.grid, chunks.snapshot)?
        {
            let levels = |at: &Location| levels_to(base.finest()[mixed], at.levels[mixed]);
            let ranges = self.bare.iter().flat_map(|at| {
                levels(at).filter_map(|level| chunks.range_under(LayerId::FIRST, at, level))
            });
            ranges.for_each(|range| batch.expect_range(Space::Directory, range));
        }
        Ok(())
    }

    /// Finds the base chunks, stored or put in this batch, above each piece.
    fn find_split(
        &mut self,
        chunks: ChunkReader<'_>,
        (base, before, mixed): (&Base, Option<&Base>, usize),
        writes: &impl Fn(usize, &Piece) -> bool,
    ) -> Result<()> {
        let structure = chunks.grid.structure();
        let any = |pieces: &Vec<(usize, Piece)>| {
            pieces.iter().any(|(number, piece)| writes(*number, piece))
        };
        let (mut idle, mut hollow) = (Vec::new(), BTreeSet::new());
        let mut known: BTreeMap<Location, bool> = BTreeMap::new();
        for (at, pieces) in &self.pieces {
            let mut tops = Vec::new();
            for above in chunks.above(at, base) {
                let stored = match (known.get(&above), before) {
                    (Some(stored), _) => *stored,
                    (None, Some(before)) if before.has(above.levels) => {
                        chunks.exists(LayerId::BASE, &above)?
                    }
                    _ => false,
                };
                known.insert(above, stored);
                match self.pieces.get(&above).map(any) {
                    Some(true) => tops.push(above),
                    _ if stored => tops.push(above),
                    Some(false) => drop(hollow.insert(above)),
                    None => {}
                }
            }
            let Some(top) = tops.last() else { continue };
            if !any(pieces) {
                idle.push(*at);
                continue;
            }
            let mut level = at.levels[mixed];
            while level < top.levels[mixed] {
                let Some(coarser) = level.coarser() else {
                    break;
                };
                level = coarser;
                self.split
                    .extend(structure.ancestor(at, at.levels.with(mixed, level)));
            }
        }
        // A piece without data splits nothing. Where its chunk is split all the same, it is a copy
        // among others.
        for at in idle {
            self.pieces.remove(&at);
            self.leaves.remove(&at);
        }
        // Nor is it base data above finer data of the same batch.
        self.leaves.retain(|at| !hollow.contains(at));
        for at in &self.split {
            self.leaves.extend(structure.children(at, mixed));
        }
        self.leaves.retain(|at| !self.split.contains(at));
        Ok(())
    }

    /// Refuses pieces with finer data below them.
    fn refuse_coarser(
        &mut self,
        chunks: ChunkReader<'_>,
        (before, mixed): (Option<&Base>, usize),
    ) -> Result<()> {
        let (structure, Some(before)) = (chunks.grid.structure(), before) else {
            return Ok(());
        };
        let mut refused: BTreeSet<Location> = BTreeSet::new();
        for at in self.pieces.keys() {
            if before.has(at.levels) && chunks.exists(LayerId::BASE, at)? {
                continue;
            }
            self.bare.push(*at);
            for levels in before
                .levels()
                .filter(|levels| levels[mixed] < at.levels[mixed])
            {
                if !chunks
                    .under(LayerId::BASE, at, levels[mixed], 1)?
                    .is_empty()
                {
                    refused.insert(*at);
                }
            }
        }
        if refused.is_empty() {
            return Ok(());
        }
        let mut named: Vec<String> = refused
            .iter()
            .take(NAMED_MAX)
            .map(|at| structure.describe(at))
            .collect();
        if refused.len() > NAMED_MAX {
            named.push(format!("{} more", refused.len() - NAMED_MAX));
        }
        let (area, remedy) = (named.join(", "), clearing(chunks.grid, mixed, &refused));
        Err(aggregated(
            chunks.grid,
            mixed,
            format!("there is finer data below {area}, {remedy}"),
        ))
    }

    /// Finds the aggregates that are left in the places of pieces that have no finer data below
    /// them.
    fn find_left(
        &mut self,
        chunks: ChunkReader<'_>,
        (base, mixed): (&Base, usize),
        writes: &impl Fn(usize, &Piece) -> bool,
    ) -> Result<()> {
        if self.bare.is_empty() || !Marks::pend(chunks.grid, chunks.snapshot)? {
            return Ok(());
        }
        let put = |at: &&Location| {
            self.pieces[*at]
                .iter()
                .any(|(number, piece)| writes(*number, piece))
        };
        for at in self.bare.iter().filter(put) {
            for level in levels_to(base.finest()[mixed], at.levels[mixed]) {
                let left = chunks.under(LayerId::FIRST, at, level, usize::MAX)?;
                self.over.extend((!left.is_empty()).then_some(*at));
                self.left.extend(left);
            }
        }
        self.left.retain(|at| !self.split.contains(at));
        Ok(())
    }
}

/// The levels above one, up to another.
fn levels_to(finest: Level, level: Level) -> impl Iterator<Item = Level> {
    std::iter::successors(finest.coarser(), |level| level.coarser())
        .take_while(move |above| *above <= level)
}

/// Where some chunks lie along a dimension, and what clears them.
fn clearing(grid: &Grid, dimension: usize, places: &BTreeSet<Location>) -> String {
    let structure = grid.structure();
    let mut sides: Vec<(f64, f64)> = Vec::new();
    for at in places {
        let own = structure.extent(&structure.chunk_window(at));
        let own = &own.bounds()[structure.axes_of(dimension)];
        sides = match sides.is_empty() {
            true => own.to_vec(),
            false => sides
                .iter()
                .zip(own)
                .map(|(a, b)| (a.0.min(b.0), a.1.max(b.1)))
                .collect(),
        };
    }
    let axes = structure.dimensions()[dimension].axes();
    let ranges: Vec<String> = axes
        .iter()
        .zip(&sides)
        .map(|(axis, (lower, upper))| format!("{} {lower} to {upper}", axis.name()))
        .collect();
    let command = match sides.as_slice() {
        [(south, north), (west, east)] => {
            format!(
                ", on the command line with `gridstone clear STORE {} --extent {west},{south},{east},{north}`",
                grid.name()
            )
        }
        _ => String::new(),
    };
    format!("at {}; clear it first{command}", ranges.join(", "))
}

/// Places in the order of their keys.
fn in_order(chunks: ChunkReader<'_>, places: &BTreeSet<Location>) -> Vec<Location> {
    let mut order: Vec<_> = places
        .iter()
        .map(|at| (chunks.key(LayerId::BASE, at), *at))
        .collect();
    order.sort_unstable();
    order.into_iter().map(|(_, at)| at).collect()
}
