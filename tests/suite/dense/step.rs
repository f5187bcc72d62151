//! What a history does, step by step. Each step holds all it needs, so that a history without some
//! of its steps is a history.

use std::cell::RefCell;

use gridstone::{DType, Overlap, Window};
use serde::{Deserialize, Serialize};

use super::design::{Design, Values};
use super::ground::{Num, limits};
use super::space::Line;
use crate::check::{Dice, window};

/// A window that can be written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Area {
    pub at: Vec<i8>,
    pub start: Vec<i64>,
    pub shape: Vec<u64>,
}

impl Area {
    pub fn window(&self) -> Window {
        window(&self.at, &self.start, &self.shape)
    }

    pub fn sizes(&self) -> Vec<usize> {
        self.shape
            .iter()
            .map(|&len| usize::try_from(len).unwrap())
            .collect()
    }
}

/// How a put treats what is there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Over {
    Merge,
    Replace,
    Keep,
    Refuse,
}

impl From<Over> for Overlap {
    fn from(over: Over) -> Self {
        match over {
            Over::Merge => Overlap::Merge,
            Over::Replace => Overlap::Replace,
            Over::Keep => Overlap::Keep,
            Over::Refuse => Overlap::Refuse,
        }
    }
}

/// One part of a batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Act {
    /// Numbers come from the seed; `holes` percent are no data.
    Put {
        area: Area,
        over: Over,
        holes: u64,
        seed: u64,
    },
    /// Events at some ticks; the area says where along the other axes.
    Events {
        area: Area,
        ticks: Vec<i64>,
        over: Over,
        holes: u64,
        seed: u64,
    },
    Clear {
        area: Area,
    },
    Delete {
        area: Area,
    },
}

/// How a store is opened again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Ending {
    Close,
    /// The process dies.
    Kill,
    /// Power is lost, and all commits that were not synced but the first so many.
    Power(usize),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Op {
    /// Several acts in one commit, each on the grid of a number.
    Batch {
        acts: Vec<(usize, Act)>,
        synced: bool,
    },
    /// One act by the grid's own verb.
    Single {
        grid: usize,
        act: Act,
    },
    ClearPolygon {
        grid: usize,
        seed: u64,
    },
    Clean {
        grid: usize,
    },
    /// So many steps of aggregation.
    Steps {
        grid: usize,
        count: u64,
    },
    Aggregate {
        grid: usize,
    },
    /// All grids at rest.
    Settle,
    Reopen {
        ending: Ending,
        policy: u8,
    },
    Swap,
    Rename {
        grid: usize,
    },
    /// The grid goes, and an empty one of its kind comes.
    Drop {
        grid: usize,
    },
    /// The copy of the first grid follows it.
    Follow,
    /// A snapshot is held on to, and looked at again at the next of these.
    Hold,
    /// An op during which one call of the engine fails, in its effect or in its acknowledgement.
    Fail {
        op: Box<Op>,
        call: u64,
        after: bool,
    },
    /// Reads, of which one call fails.
    FailReads,
}

/// An op, and what its checks are drawn from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    pub op: Op,
    pub seed: u64,
}

/// The numbers of a put.
pub fn numbers(design: &Design, count: usize, holes: u64, seed: u64) -> Vec<Num> {
    let mut dice = Dice(seed);
    // Blank, or all of one value, at times.
    let same = dice.chance(10).then(|| number(design, &mut dice));
    (0..count)
        .map(|_| {
            if dice.chance(holes) {
                hole(design, &mut dice)
            } else {
                same.unwrap_or_else(|| number(design, &mut dice))
            }
        })
        .collect()
}

fn hole(design: &Design, dice: &mut Dice) -> Num {
    let (dtype, nodata) = (design.schema.dtype(), design.schema.nodata());
    match nodata {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "nodata values of integers are integers"
        )]
        Some(nodata) if !dtype.is_float() => Num::Int(nodata as i128),
        Some(nodata) if dice.chance(50) => Num::Float(nodata),
        _ if dtype.is_float() => Num::Float(f64::NAN),
        _ => number(design, dice),
    }
}

fn number(design: &Design, dice: &mut Dice) -> Num {
    let dtype = design.schema.dtype();
    let small = dice.range(0, 7);
    if dtype.is_float() {
        return Num::Float(match design.values {
            Values::Small => small as f64,
            Values::Wide => dice.range(-(1 << 20), 1 << 20) as f64 / 8.0,
            Values::Extreme if dtype == DType::F32 => dice.pick(&[
                f64::from(f32::MAX),
                f64::from(f32::MIN),
                f64::from(f32::MIN_POSITIVE),
                1.0,
                small as f64,
            ]),
            Values::Extreme => {
                dice.pick(&[f64::MAX, f64::MIN, f64::MIN_POSITIVE, 1.0, small as f64])
            }
        });
    }
    let (low, high) = limits(dtype);
    let wide = i128::from(dice.range(-(1 << 50), 1 << 50));
    Num::Int(match design.values {
        Values::Small => i128::from(small),
        Values::Wide if dtype.size() < 8 => low + wide.rem_euclid(high - low + 1),
        Values::Wide => wide.max(low),
        Values::Extreme => dice.pick(&[low, high, low + 1, high - 1, i128::from(small)]),
    })
}

/// Draws histories.
pub struct Source<'a> {
    pub designs: &'a [Design],
    lines: Vec<Vec<Line>>,
    /// The last areas that were put into each grid, to be hit again.
    last: RefCell<Vec<Vec<Area>>>,
}

impl<'a> Source<'a> {
    pub fn new(designs: &'a [Design]) -> Self {
        Self {
            designs,
            lines: designs
                .iter()
                .map(|design| design.model().space.lines.clone())
                .collect(),
            last: RefCell::new(vec![Vec::new(); designs.len()]),
        }
    }

    fn grid(&self, dice: &mut Dice) -> usize {
        usize::try_from(dice.range(0, self.designs.len() as i64 - 1)).unwrap()
    }

    /// Cells of a level near a hot place. Those of a put lie wholly in what is kept.
    fn cells(
        &self,
        dice: &mut Dice,
        grid: usize,
        axis: usize,
        level: i8,
        (most, whole): (i64, bool),
    ) -> (i64, u64) {
        let line = &self.lines[grid][axis];
        let hot = dice.pick(&self.designs[grid].hot[axis]);
        let reach = if self.designs[grid].tight { 1 } else { 2 };
        let mut first = line.cell_of(level, hot)
            + if line.fixed {
                0
            } else {
                dice.range(-reach, reach)
            };
        let mut len = dice.range(1, most);
        if whole || line.fixed {
            let (from, to) = *line
                .segments
                .iter()
                .find(|(from, to)| (from..to).contains(&&hot))
                .unwrap();
            let inside = |cell: i64| {
                line.ground_of(level, cell) >= from && line.ground_of(level, cell + 1) <= to
            };
            let here = line.cell_of(level, hot);
            first = [first, here, here + 1, here - 1]
                .into_iter()
                .find(|&cell| inside(cell))
                .unwrap_or(here);
            len = (0..len).take_while(|i| inside(first + i)).count().max(1) as i64;
        }
        (first, u64::try_from(len).unwrap())
    }

    pub fn area(
        &self,
        dice: &mut Dice,
        grid: usize,
        at: Vec<i8>,
        (most, whole): (i64, bool),
    ) -> Area {
        let (mut start, mut shape) = (Vec::new(), Vec::new());
        for axis in 0..self.lines[grid].len() {
            let level = at[self.lines[grid][axis].dimension];
            let (first, len) = self.cells(dice, grid, axis, level, (most, whole));
            start.push(first);
            shape.push(len);
        }
        Area { at, start, shape }
    }

    /// An area that lies wholly in what is kept, at finer levels if there is none at these.
    fn area_inside(&self, dice: &mut Dice, grid: usize, mut at: Vec<i8>, most: i64) -> Area {
        loop {
            let area = self.area(dice, grid, at.clone(), (most, true));
            if self.is_inside(grid, &area) {
                return area;
            }
            let refinable = self.designs[grid].schema.structure().refinable().unwrap();
            at[refinable] -= 1;
        }
    }

    fn is_inside(&self, grid: usize, area: &Area) -> bool {
        let inside = |(axis, line): (usize, &Line)| {
            let first = area.start[axis];
            let span = line.span(
                area.at[line.dimension],
                first,
                first + area.shape[axis] as i64,
            );
            line.segments
                .iter()
                .any(|(from, to)| *from <= span.0 && span.1 <= *to)
        };
        self.lines[grid].iter().enumerate().all(inside)
    }

    /// One of the last areas, in cells of some levels.
    fn again(&self, dice: &mut Dice, grid: usize, at: &[i8]) -> Option<Area> {
        let areas = self.last.borrow();
        let areas = &areas[grid][areas[grid].len().saturating_sub(4)..];
        let area = (!areas.is_empty()).then(|| dice.pick(areas))?;
        let sides = self.lines[grid].iter().enumerate().map(|(axis, line)| {
            let span = line.span(
                area.at[line.dimension],
                area.start[axis],
                area.start[axis] + area.shape[axis] as i64,
            );
            let level = at[line.dimension];
            let first = line.cell_of(level, span.0);
            (first, (line.cell_of(level, span.1 - 1) + 1).abs_diff(first))
        });
        let (start, shape) = sides.unzip();
        Some(Area {
            at: at.to_vec(),
            start,
            shape,
        })
    }

    /// One cell of an area along an axis beside those of the refinable dimension, so that others
    /// beside it stay as they are.
    fn part(&self, dice: &mut Dice, grid: usize, mut area: Area) -> Area {
        let refinable = self.designs[grid].schema.structure().refinable();
        let axes = self.lines[grid]
            .iter()
            .enumerate()
            .filter(|(_, line)| Some(line.dimension) != refinable);
        let axes: Vec<usize> = axes.map(|(axis, _)| axis).collect();
        if !axes.is_empty() {
            let axis = dice.pick(&axes);
            area.start[axis] += i64::try_from(dice.next() % area.shape[axis]).unwrap();
            area.shape[axis] = 1;
        }
        area
    }

    fn act(&self, dice: &mut Dice, grid: usize) -> Act {
        let design = &self.designs[grid];
        let most = match self.lines[grid].len() {
            _ if design.tight => 2,
            0..=2 => 8,
            _ => 4,
        };
        let at = design.levels(dice);
        match dice.range(0, 99) {
            0..40 => {
                let most = if dice.chance(10) { 40 } else { most };
                let again = dice
                    .chance(60)
                    .then(|| self.again(dice, grid, &at))
                    .flatten();
                let again = again.map(|area| {
                    if design.tight && dice.chance(50) {
                        self.part(dice, grid, area)
                    } else {
                        area
                    }
                });
                again
                    .iter()
                    .for_each(|area| self.last.borrow_mut()[grid].push(area.clone()));
                let area = again.unwrap_or_else(|| self.area(dice, grid, at, (most, false)));
                if dice.chance(15) {
                    Act::Delete { area }
                } else {
                    Act::Clear { area }
                }
            }
            _ if design.schema.structure().irregular().is_some() => self.events(dice, grid),
            _ => {
                let over = dice.pick(&[
                    Over::Merge,
                    Over::Merge,
                    Over::Merge,
                    Over::Replace,
                    Over::Replace,
                    Over::Keep,
                    Over::Refuse,
                ]);
                // In cells of another size where something was just now: what was cleared there
                // gives way to it.
                let again = (design.tight && dice.chance(40))
                    .then(|| self.again(dice, grid, &at))
                    .flatten();
                let again = again.filter(|area| {
                    self.is_inside(grid, area) && area.shape.iter().product::<u64>() < 500
                });
                let area = again.unwrap_or_else(|| self.area_inside(dice, grid, at, most));
                self.last.borrow_mut()[grid].push(area.clone());
                Act::Put {
                    area,
                    over,
                    holes: dice.pick(&[0, 0, 20, 90, 100]),
                    seed: dice.next(),
                }
            }
        }
    }

    fn events(&self, dice: &mut Dice, grid: usize) -> Act {
        let design = &self.designs[grid];
        let structure = design.schema.structure();
        let axis = structure.axes_of(structure.irregular().unwrap()).start;
        let (from, to) = dice.pick(&self.lines[grid][axis].segments);
        let hot = dice.pick(&design.hot[axis]);
        let mut ticks: Vec<i64> = Vec::new();
        for _ in 0..dice.pick(&[1, 1, 2, 3, 6, 12]) {
            let tick = if dice.chance(60) {
                hot + dice.range(-6, 6)
            } else {
                dice.range(from, to - 1)
            };
            let kept = self.lines[grid][axis]
                .segments
                .iter()
                .any(|(from, to)| (*from..*to).contains(&tick));
            if kept && !ticks.contains(&tick) {
                ticks.push(tick);
            }
        }
        if ticks.is_empty() {
            ticks.push(hot);
        }
        let mut area = self.area(dice, grid, design.base.clone(), (6, true));
        (area.start[axis], area.shape[axis]) = (ticks[0], ticks.len() as u64);
        let over = dice.pick(&[
            Over::Merge,
            Over::Merge,
            Over::Replace,
            Over::Keep,
            Over::Refuse,
        ]);
        Act::Events {
            area,
            ticks,
            over,
            holes: dice.pick(&[0, 0, 20, 90, 100]),
            seed: dice.next(),
        }
    }

    fn op(&self, dice: &mut Dice) -> Op {
        let grid = self.grid(dice);
        if self.designs[grid].tight && dice.chance(85) {
            // Hardly ever at rest.
            return match dice.range(0, 19) {
                0 => Op::Aggregate { grid },
                1 => Op::Steps { grid, count: 1 },
                _ => Op::Single {
                    grid,
                    act: self.act(dice, grid),
                },
            };
        }
        match dice.range(0, 99) {
            0..50 => Op::Single {
                grid,
                act: self.act(dice, grid),
            },
            50..65 => {
                let acts = (0..dice.range(2, 5)).map(|_| {
                    let grid = if dice.chance(80) {
                        grid
                    } else {
                        self.grid(dice)
                    };
                    (grid, self.act(dice, grid))
                });
                Op::Batch {
                    acts: acts.collect(),
                    synced: dice.chance(70),
                }
            }
            65..67 => Op::ClearPolygon {
                grid,
                seed: dice.next(),
            },
            67..70 => Op::Clean { grid },
            70..78 => Op::Steps {
                grid,
                count: dice.next() % 3 + 1,
            },
            78..84 => Op::Aggregate { grid },
            84..88 => Op::Settle,
            88..92 => {
                let ending = dice.pick(&[
                    Ending::Close,
                    Ending::Kill,
                    Ending::Power(0),
                    Ending::Power(1),
                    Ending::Power(3),
                ]);
                Op::Reopen {
                    ending,
                    policy: u8::try_from(dice.range(0, 5)).unwrap(),
                }
            }
            92 => Op::Swap,
            93 => Op::Rename { grid },
            94 => Op::Drop { grid },
            95..98 => Op::Follow,
            _ => Op::Hold,
        }
    }

    /// An op that is disturbed at times.
    fn disturbed(&self, dice: &mut Dice) -> Op {
        let op = self.op(dice);
        if dice.chance(96) {
            return op;
        }
        match op {
            Op::Single { .. }
            | Op::Batch { .. }
            | Op::Clean { .. }
            | Op::Steps { .. }
            | Op::Aggregate { .. }
            | Op::Follow => Op::Fail {
                op: Box::new(op),
                call: dice.next() % dice.pick(&[4, 16, 64]),
                after: dice.chance(50),
            },
            _ => Op::FailReads,
        }
    }

    /// Data far from the places where most happens.
    fn far(&self, dice: &mut Dice, grid: usize) -> Option<Op> {
        let design = &self.designs[grid];
        if !design.tight || design.schema.structure().irregular().is_some() {
            return None;
        }
        let ground = design.ground();
        let start = self.lines[grid]
            .iter()
            .map(|line| dice.pick(&line.segments).0)
            .collect();
        let area = Area {
            start,
            shape: vec![1; self.lines[grid].len()],
            at: ground,
        };
        Some(Op::Single {
            grid,
            act: Act::Put {
                area,
                over: Over::Merge,
                holes: 0,
                seed: dice.next(),
            },
        })
    }

    pub fn steps(&self, dice: &mut Dice, count: usize) -> Vec<Step> {
        let first = (0..self.designs.len())
            .filter_map(|grid| self.far(dice, grid))
            .collect::<Vec<_>>();
        let op = |dice: &mut Dice, number: usize| {
            first
                .get(number)
                .cloned()
                .unwrap_or_else(|| self.disturbed(dice))
        };
        (0..count)
            .map(|number| Step {
                op: op(dice, number),
                seed: dice.next(),
            })
            .collect()
    }
}
