//! Events along one axis of a chunk: picked from other chunks, and laid into bins.
//!
//! The weight of an event's cell is its area, and that of a bin the areas of its events together;
//! so what is made of bins weighs by events. A weight that is left out means the area of one event.

use super::chunk::Chunk;
use super::rule::{Op, Rule, Weighting};
use super::{Full, Halving, edge, for_each_row};
use crate::array::{Cell, Cells, with_cells, with_dtype};
use crate::error::Result;

/// How the cells of one event lie in a C-order array: `outer` runs of `inner` cells each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slabs {
    outer: usize,
    inner: usize,
}

/// Where an event is taken from: the number of a source, and of the event there. `None` is an event
/// without data.
pub(crate) type Pick = Option<(usize, usize)>;

/// Where an event lies among bins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct InBin {
    /// The number of its bin.
    pub(crate) bin: usize,
    /// How far it is from the lower and from the upper end of the bin, as a part of the bin.
    pub(crate) away: [f64; 2],
}

/// Cells with a number of events.
type EventChunk<'a, T> = (&'a T, usize);

impl Slabs {
    /// For arrays of a shape with events along `axis`, of which there may be any number.
    pub(crate) fn new(shape: &[usize], axis: usize) -> Self {
        Self {
            outer: shape[..axis].iter().product(),
            inner: shape[axis + 1..].iter().product(),
        }
    }

    /// Cells of one event.
    pub(crate) fn cells(&self) -> usize {
        self.outer * self.inner
    }

    /// The picked events, one after the other. `fill` stands in those without data.
    pub(crate) fn copy<T: Copy>(
        &self,
        sources: &[EventChunk<'_, [T]>],
        picks: &[Pick],
        fill: T,
    ) -> Vec<T> {
        let mut out = Vec::with_capacity(self.cells() * picks.len());
        for run in 0..self.outer {
            for pick in picks {
                match pick {
                    Some((source, event)) => {
                        let (cells, events) = sources[*source];
                        out.extend_from_slice(
                            &cells[(run * events + event) * self.inner..][..self.inner],
                        );
                    }
                    None => out.extend(std::iter::repeat_n(fill, self.inner)),
                }
            }
        }
        out
    }

    /// The same of cells of one type.
    pub(crate) fn cells_of(
        &self,
        sources: &[EventChunk<'_, Cells>],
        picks: &[Pick],
        fill: f64,
    ) -> Cells {
        fn of<T: Cell>(
            slabs: &Slabs,
            sources: &[EventChunk<'_, Cells>],
            picks: &[Pick],
            fill: f64,
        ) -> Cells {
            let typed: Vec<EventChunk<'_, [T]>> = sources
                .iter()
                .map(|(cells, events)| (cells.as_slice().unwrap_or_default(), *events))
                .collect();
            slabs.copy(&typed, picks, T::from_f64(fill)).into()
        }
        let Some((first, _)) = sources.first() else {
            return Cells::U8(Vec::new());
        };
        with_dtype!(first.dtype(), |T| of::<T>(self, sources, picks, fill))
    }
}

/// The picked events of chunks of a layer. `full` is the weight of a wholly valid cell of one
/// event.
pub(crate) fn weave(
    rule: &Rule,
    slabs: Slabs,
    sources: &[EventChunk<'_, Chunk>],
    picks: &[Pick],
    full: Full,
) -> Chunk {
    let values: Vec<EventChunk<'_, Cells>> = sources
        .iter()
        .map(|(chunk, events)| (&chunk.values, *events))
        .collect();
    let values = match values.is_empty() {
        true => Cells::filled(rule.dtype, slabs.cells() * picks.len(), rule.fill),
        false => slabs.cells_of(&values, picks, rule.fill),
    };
    let planes = sources
        .iter()
        .map(|(chunk, _)| chunk.state.len())
        .max()
        .unwrap_or(0)
        .max(rule.fixed());
    let mut state: Vec<Cells> = rule.state[..planes]
        .iter()
        .enumerate()
        .map(|(plane, dtype)| {
            // Planes that a chunk leaves out are 0 throughout.
            let of: Vec<Option<EventChunk<'_, Cells>>> = sources
                .iter()
                .map(|(chunk, events)| chunk.state.get(plane).map(|cells| (cells, *events)))
                .collect();
            let there: Vec<EventChunk<'_, Cells>> = of.iter().flatten().copied().collect();
            let number = |source: usize| {
                of[source]
                    .is_some()
                    .then(|| of[..source].iter().flatten().count())
            };
            let picks: Vec<Pick> = picks
                .iter()
                .map(|pick| pick.and_then(|(source, event)| Some((number(source)?, event))))
                .collect();
            match there.is_empty() {
                true => Cells::filled(*dtype, slabs.cells() * picks.len(), 0.0),
                false => slabs.cells_of(&there, &picks, 0.0),
            }
        })
        .collect();
    let weighs = rule.weighting() != Weighting::None
        && picks
            .iter()
            .any(|pick| pick.is_none_or(|(source, _)| sources[source].0.weight.is_some()));
    let whole = whole(rule, full);
    let weight = weighs.then(|| {
        let wholes: Vec<Vec<f64>> = sources
            .iter()
            .map(|(chunk, events)| {
                if chunk.weight.is_none() {
                    vec![whole; slabs.cells() * events]
                } else {
                    Vec::new()
                }
            })
            .collect();
        let of: Vec<EventChunk<'_, [f64]>> = sources
            .iter()
            .zip(&wholes)
            .map(|((chunk, events), whole)| (chunk.weight.as_deref().unwrap_or(whole), *events))
            .collect();
        slabs.copy(&of, picks, 0.0)
    });
    super::reduce::trim(rule, &mut state);
    Chunk {
        values,
        state,
        weight: weight.filter(|weight| weight.iter().any(|&w| w != whole)),
    }
}

/// The weight that is left out where all cells have it.
fn whole(rule: &Rule, full: Full) -> f64 {
    if rule.weighting() == Weighting::Area {
        full.0
    } else {
        1.0
    }
}

/// A chunk whose weight is written out: along events what is left out is not the weight of what is
/// made.
fn weighed(rule: &Rule, chunk: &Chunk, full: Full) -> Option<Chunk> {
    let needed = rule.weighting() == Weighting::Area && chunk.weight.is_none();
    needed.then(|| Chunk {
        weight: Some(vec![full.0; chunk.values.len()]),
        ..chunk.clone()
    })
}

impl Rule {
    /// The part of a parent that a child of bins stands for. `full` is the weight of a wholly valid
    /// cell of one event.
    pub(crate) fn reduce_bins(
        &self,
        child: &Chunk,
        halving: &Halving,
        full: Full,
    ) -> Result<Chunk> {
        let weighed = weighed(self, child, full);
        let child = weighed.as_ref().unwrap_or(child);
        match self.op {
            // The first of the events that there are, not of the bins that there could be.
            Op::Sample => {
                let axis = halving
                    .halved()
                    .iter()
                    .position(|halved| *halved)
                    .unwrap_or(0);
                Ok(edge::reduce((axis, false, false), self, child, halving))
            }
            _ => self.reduce(child, halving, full),
        }
    }

    /// Lays the events of a chunk of `shape` with events along `axis` into bins, of which there are
    /// `bins`. `places` has an entry for each event, whose bins do not fall. Of several events in a
    /// bin the later ones are added one by one.
    pub(crate) fn bin(
        &self,
        chunk: &Chunk,
        (shape, axis): (&[usize], usize),
        (places, bins): (&[InBin], usize),
        full: Full,
    ) -> Result<Chunk> {
        let slabs = Slabs::new(shape, axis);
        let weighed = weighed(self, chunk, full);
        let mut chunk = weighed.as_ref().unwrap_or(chunk).clone();
        if let Op::Edge {
            axis: along,
            high,
            kept: true,
        } = self.op
            && along == axis
            && let Some(Cells::F64(away)) = chunk.state.first_mut()
        {
            let of_event = places.iter().map(|place| place.away[usize::from(high)]);
            let runs = std::iter::repeat_n(of_event, slabs.outer).flatten();
            away.chunks_exact_mut(slabs.inner)
                .zip(runs)
                .for_each(|(run, away)| run.fill(away));
        }
        let mut made: Vec<Pick> = vec![None; bins];
        let mut rounds: Vec<Vec<(usize, usize)>> = Vec::new();
        let mut before: Option<(usize, usize)> = None;
        for (event, &InBin { bin, .. }) in places.iter().enumerate() {
            let round = before
                .filter(|(last, _)| *last == bin)
                .map_or(0, |(_, round)| round + 1);
            before = Some((bin, round));
            match round.checked_sub(1) {
                None => made[bin] = Some((0, event)),
                Some(round) => {
                    rounds.resize_with(rounds.len().max(round + 1), Vec::new);
                    rounds[round].push((bin, event));
                }
            }
        }
        let mut out = weave(self, slabs, &[(&chunk, places.len())], &made, full);
        for round in rounds {
            let pairs: Vec<Pick> = round
                .iter()
                .flat_map(|&(bin, event)| [Some((0, bin)), Some((1, event))])
                .collect();
            let stacked = weave(
                self,
                slabs,
                &[(&out, bins), (&chunk, places.len())],
                &pairs,
                full,
            );
            let mut of_pairs = shape.to_vec();
            of_pairs[axis] = pairs.len();
            let merged = self.reduce_bins(&stacked, &Halving::merging(&of_pairs, axis), full)?;
            let mut picks: Vec<Pick> = (0..bins).map(|bin| Some((0, bin))).collect();
            round
                .iter()
                .enumerate()
                .for_each(|(number, &(bin, _))| picks[bin] = Some((1, number)));
            out = weave(
                self,
                slabs,
                &[(&out, bins), (&merged, round.len())],
                &picks,
                full,
            );
        }
        Ok(out)
    }
}

/// Which events of a chunk of `shape` with events along `axis` hold any data in a box of the other
/// axes, which begins at `start` and is of `size`; what these say along `axis` is not looked at.
pub(crate) fn holds_data(
    rule: &Rule,
    chunk: &Chunk,
    of: (&[usize], usize),
    place: (&[usize], &[usize]),
) -> Vec<bool> {
    match &chunk.weight {
        Some(weight) => any_of_event(of, place, |cell| weight[cell] > 0.0),
        None if rule.weighting() != Weighting::None => vec![true; of.0[of.1]],
        None => with_cells!(&chunk.values, |cells| any_of_event(of, place, |cell| cells
            [cell]
            .to_f64()
            != rule.fill)),
    }
}

/// For each event of a chunk of `shape` with events along `axis`, whether any cell of a box as
/// [`holds_data`] has it is such a one.
pub(crate) fn any_of_event(
    (shape, axis): (&[usize], usize),
    (start, size): (&[usize], &[usize]),
    is: impl Fn(usize) -> bool,
) -> Vec<bool> {
    let (mut start, mut size) = (start.to_vec(), size.to_vec());
    size[axis] = 1;
    let (zero, row) = (vec![0; size.len()], size[size.len() - 1]);
    let mut of_event = |event: usize| {
        start[axis] = event;
        let mut found = false;
        for_each_row((shape, &start), (&size, &zero), &size, |from, _| {
            found = found || (from..from + row).any(&is)
        });
        found
    };
    (0..shape[axis]).map(&mut of_event).collect()
}
