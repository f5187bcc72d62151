//! What a grid must hold: its ground cells, and at which levels they are base data.

use std::collections::BTreeSet;
use std::sync::Arc;

use gridstone::{Overlap, Schema, Window};

use super::ground::{Ground, Num};
use super::space::{Space, Span, product};
use crate::check::{numbers, window};

/// A base chunk: its levels, and its number along each axis.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leaf {
    pub levels: Vec<i8>,
    pub chunk: Vec<i64>,
}

/// Why a put must fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Finer data lies below.
    Finer,
    /// Finer data lies below a part of the put that changes nothing, so that it may also succeed.
    FinerPerhaps,
    /// There is data already, and the put says that there must be none.
    Overlap,
}

/// One grid.
#[derive(Clone, Debug)]
pub struct Model {
    pub schema: Schema,
    pub space: Arc<Space>,
    pub ground: Ground,
    pub leaves: BTreeSet<Leaf>,
    /// Whether something was done of which it is left open whether a chunk is split for it.
    pub open: bool,
}

impl Model {
    pub fn new(schema: Schema, space: Arc<Space>) -> Self {
        let ground = Ground::new(&space);
        Self {
            schema,
            space,
            ground,
            leaves: BTreeSet::new(),
            open: false,
        }
    }

    /// What a value put is: `None` if it stands for no data.
    pub fn valid(&self, num: Num) -> Option<Num> {
        let hole = num.real().is_nan()
            || self.schema.nodata().is_some_and(|nodata| match num {
                Num::Int(value) => Num::Int(value).real() == nodata && value == whole(nodata),
                Num::Float(value) => value == nodata,
            });
        (!hole).then_some(num)
    }

    fn shift(&self, axis: usize) -> bool {
        self.space.refinable == Some(self.space.lines[axis].dimension)
    }

    fn level(&self, leaf: &Leaf) -> i8 {
        self.space.refinable.map_or(0, |d| leaf.levels[d])
    }

    /// The chunk some levels coarser along the refinable dimension.
    fn up(&self, leaf: &Leaf, by: i8) -> Leaf {
        let mut up = leaf.clone();
        if let Some(d) = self.space.refinable {
            up.levels[d] += by;
            (0..up.chunk.len())
                .filter(|&axis| self.shift(axis))
                .for_each(|axis| up.chunk[axis] >>= by);
        }
        up
    }

    fn is_under(&self, fine: &Leaf, coarse: &Leaf) -> bool {
        let by = self.level(coarse) - self.level(fine);
        by > 0 && self.up(fine, by) == *coarse
    }

    pub fn spans(&self, leaf: &Leaf) -> Vec<Span> {
        let lines = self.space.lines.iter().zip(&leaf.chunk);
        lines
            .map(|(line, &chunk)| line.chunk_span(leaf.levels[line.dimension], chunk))
            .collect()
    }

    /// The base chunk under which a place lies, if it is coarser.
    fn above(&self, leaf: &Leaf) -> Option<Leaf> {
        self.leaves
            .iter()
            .find(|other| self.is_under(leaf, other))
            .cloned()
    }

    fn finer_below(&self, leaf: &Leaf) -> bool {
        self.leaves.iter().any(|other| self.is_under(other, leaf))
    }

    /// Splits the base chunk above a place, down to it.
    fn split(&mut self, to: &Leaf) {
        let Some(mut at) = self.above(to) else { return };
        self.leaves.remove(&at);
        while at != *to {
            let below = self.up(to, self.level(&at) - self.level(to) - 1);
            let numbers = |(axis, &chunk): (usize, &i64)| {
                if self.shift(axis) {
                    vec![2 * chunk, 2 * chunk + 1]
                } else {
                    vec![chunk]
                }
            };
            for chunk in product(&at.chunk.iter().enumerate().map(numbers).collect::<Vec<_>>()) {
                let child = Leaf {
                    levels: below.levels.clone(),
                    chunk,
                };
                if child != below {
                    self.settle(child);
                }
            }
            at = below;
        }
    }

    /// A place is a base chunk if it holds anything.
    fn settle(&mut self, leaf: Leaf) {
        if self.ground.any(&self.space, &self.spans(&leaf)) {
            self.leaves.insert(leaf);
        } else {
            self.leaves.remove(&leaf);
        }
    }

    /// The cells of a window, in C order, each with its ground cells.
    pub fn cells(&self, window: &Window) -> impl Iterator<Item = (Vec<i64>, Vec<Span>)> + use<> {
        let at = numbers(&window.levels(self.space.dimensions()));
        let ranges: Vec<Vec<i64>> = window
            .start()
            .iter()
            .zip(window.end().iter())
            .map(|(a, b)| (*a..*b).collect())
            .collect();
        let space = Arc::clone(&self.space);
        product(&ranges).into_iter().map(move |cell| {
            let lines = space.lines.iter().zip(&cell);
            let spans = lines
                .map(|(line, &cell)| line.span(at[line.dimension], cell, cell + 1))
                .collect();
            (cell, spans)
        })
    }

    /// Puts the cells of a window. With `force` finer data below does not matter, since the grid
    /// has found that none is touched.
    pub fn put(
        &mut self,
        window: &Window,
        cells: &[Num],
        (overlap, force): (Overlap, bool),
    ) -> Result<(), Refusal> {
        let at = numbers(&window.levels(self.space.dimensions()));
        let mut news: Vec<(usize, Option<Num>)> = Vec::new();
        let mut touched: BTreeSet<Vec<i64>> = BTreeSet::new();
        for ((cell, spans), num) in self.cells(window).zip(cells) {
            let value = self.valid(*num);
            let places = self.ground.places(&self.space, &spans);
            if overlap == Overlap::Refuse
                && places
                    .iter()
                    .any(|&place| self.ground.cells[place].is_some())
            {
                return Err(Refusal::Overlap);
            }
            let before = news.len();
            match overlap {
                Overlap::Replace => news.extend(places.iter().map(|&place| (place, value))),
                Overlap::Keep => {
                    let free = places
                        .iter()
                        .filter(|&&place| value.is_some() && self.ground.cells[place].is_none());
                    news.extend(free.map(|&place| (place, value)));
                }
                _ => news.extend(
                    places
                        .iter()
                        .filter(|_| value.is_some())
                        .map(|&place| (place, value)),
                ),
            }
            let holds = |&(place, new): &(usize, Option<Num>)| {
                new.is_some() || self.ground.cells[place].is_some()
            };
            if news[before..].iter().any(holds) {
                let lines = self.space.lines.iter().zip(&cell);
                touched.insert(
                    lines
                        .map(|(line, &cell)| line.chunk_of(at[line.dimension], cell))
                        .collect(),
                );
            }
        }
        let places: Vec<Leaf> = self
            .space
            .chunks(window)
            .into_iter()
            .map(|chunk| Leaf {
                levels: at.clone(),
                chunk,
            })
            .collect();
        if !force
            && places
                .iter()
                .any(|leaf| touched.contains(&leaf.chunk) && self.finer_below(leaf))
        {
            return Err(Refusal::Finer);
        }
        if !force && places.iter().any(|leaf| self.finer_below(leaf)) {
            return Err(Refusal::FinerPerhaps);
        }
        for leaf in &places {
            if touched.contains(&leaf.chunk) {
                self.split(leaf);
            } else if self.above(leaf).is_some() {
                self.open = true;
            }
        }
        news.into_iter()
            .for_each(|(place, value)| self.ground.cells[place] = value);
        places
            .into_iter()
            .filter(|leaf| touched.contains(&leaf.chunk))
            .for_each(|leaf| self.settle(leaf));
        Ok(())
    }

    /// Puts events: an array of them at some ticks.
    pub fn put_events(
        &mut self,
        window: &Window,
        ticks: &[i64],
        cells: &[Num],
        overlap: Overlap,
    ) -> Result<(), Refusal> {
        let axis = self.irregular().unwrap();
        let mut news = Vec::new();
        for (number, tick) in ticks.iter().enumerate() {
            let slab = window.along(axis, *tick, 1);
            let inner: usize = window.shape()[axis + 1..]
                .iter()
                .map(|len| usize::try_from(*len).unwrap())
                .product();
            for (at, (_, spans)) in self.cells(&slab).enumerate() {
                // The array has the ticks where its axis is.
                let num = cells[(at / inner * ticks.len() + number) * inner + at % inner];
                news.extend(
                    self.ground
                        .places(&self.space, &spans)
                        .into_iter()
                        .map(|place| (place, self.valid(num))),
                );
            }
        }
        if overlap == Overlap::Refuse
            && news
                .iter()
                .any(|(place, _)| self.ground.cells[*place].is_some())
        {
            return Err(Refusal::Overlap);
        }
        for (place, new) in news {
            let cell = &mut self.ground.cells[place];
            match overlap {
                Overlap::Replace => *cell = new,
                Overlap::Keep => *cell = cell.or(new),
                _ => *cell = new.or(*cell),
            }
        }
        Ok(())
    }

    /// The axis of ticks, if there is one.
    pub fn irregular(&self) -> Option<usize> {
        let structure = self.schema.structure();
        structure.irregular().map(|d| structure.axes_of(d).start)
    }

    /// Removes all data from a window.
    pub fn clear(&mut self, window: &Window) {
        let (at, spans) = (
            numbers(&window.levels(self.space.dimensions())),
            self.space.spans(window),
        );
        let leaves: Vec<Leaf> = self
            .leaves
            .iter()
            .filter(|leaf| cut(&self.spans(leaf), &spans).is_some())
            .cloned()
            .collect();
        for leaf in &leaves {
            let own = self.spans(leaf);
            let part = cut(&own, &spans).unwrap();
            let coarser = self.space.refinable.is_some_and(|d| leaf.levels[d] > at[d]);
            if !coarser || part == own {
                continue;
            }
            if !self.ground.any(&self.space, &part) {
                self.open = true;
                continue;
            }
            let lines = self.space.lines.iter().zip(&part);
            let chunk = |line: &super::space::Line, ground| {
                line.chunk_of(at[line.dimension], line.cell_of(at[line.dimension], ground))
            };
            let lists: Vec<Vec<i64>> = lines
                .map(|(line, span)| (chunk(line, span.0)..=chunk(line, span.1 - 1)).collect())
                .collect();
            for chunk in product(&lists) {
                let to = Leaf {
                    levels: at.clone(),
                    chunk,
                };
                self.split(&to);
                self.settle(to);
            }
        }
        for place in self.ground.places(&self.space, &spans) {
            self.ground.cells[place] = None;
        }
        self.sweep();
    }

    /// Forgets chunks without data.
    pub fn sweep(&mut self) {
        let blank: Vec<Leaf> = self
            .leaves
            .iter()
            .filter(|leaf| !self.ground.any(&self.space, &self.spans(leaf)))
            .cloned()
            .collect();
        self.leaves.retain(|leaf| !blank.contains(leaf));
    }

    /// Takes the base chunks that a grid has, where they may be those of these cells.
    pub fn adopt(&mut self, found: BTreeSet<Leaf>) -> Result<(), String> {
        if self.irregular().is_some() {
            return Ok(());
        }
        if found != self.leaves && !self.open {
            let missing: Vec<_> = self.leaves.difference(&found).collect();
            let more: Vec<_> = found.difference(&self.leaves).collect();
            return Err(format!(
                "base chunks {missing:?} are missing, and {more:?} are too many"
            ));
        }
        let mut held = 0;
        for leaf in &found {
            if let Some(above) = found.iter().find(|other| self.is_under(leaf, other)) {
                return Err(format!("base chunk {leaf:?} lies under {above:?}"));
            }
            let count = self.ground.values(&self.space, &self.spans(leaf)).count();
            if count == 0 {
                return Err(format!("base chunk {leaf:?} is blank"));
            }
            held += count;
        }
        let all = self.ground.cells.iter().flatten().count();
        if held != all {
            return Err(format!(
                "base chunks are at the places of {held} cells of {all}"
            ));
        }
        (self.leaves, self.open) = (found, false);
        Ok(())
    }

    /// The cells of a base chunk as a window.
    pub fn window_of(&self, leaf: &Leaf) -> Window {
        let lines = self.space.lines.iter().zip(&leaf.chunk);
        let start: Vec<i64> = lines
            .map(|(line, &chunk)| line.first_of(leaf.levels[line.dimension], chunk))
            .collect();
        let shape: Vec<u64> = self
            .space
            .lines
            .iter()
            .map(|line| u64::try_from(line.chunk).unwrap())
            .collect();
        window(&leaf.levels, &start, &shape)
    }
}

/// The part that two boxes share.
pub fn cut(a: &[Span], b: &[Span]) -> Option<Vec<Span>> {
    a.iter()
        .zip(b)
        .map(|(a, b)| (a.0.max(b.0) < a.1.min(b.1)).then(|| (a.0.max(b.0), a.1.min(b.1))))
        .collect()
}

/// A whole number as an integer.
#[expect(
    clippy::cast_possible_truncation,
    reason = "nodata values of integers are integers"
)]
fn whole(value: f64) -> i128 {
    value as i128
}
