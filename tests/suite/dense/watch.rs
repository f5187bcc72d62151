//! Who follows a grid: by versions, which must not stay where an answer changes, and by the feed,
//! which must name each change.

use std::collections::{BTreeMap, HashMap};

use gridstone::kv::{Failure, Faulty, Memory};
use gridstone::{
    Aggregation, Answer, ErrorKind, Freshness, Grid, Layer, Moment, Query, Resampling,
    StoreSnapshot, Token, Version, Window,
};

use super::design::Design;
use super::ground::{Num, nums};
use super::look::{cells, validity, within};
use super::resampled;
use super::space::Span;
use super::step::Source;
use crate::check::{Dice, numbers};

/// How many cells are asked for at most where all are.
const ALL_MOST: f64 = 3e4;

/// An answer, as far as it is the answer: not what it cost.
#[derive(Clone, Debug)]
struct Print {
    nums: Vec<Num>,
    valid: Vec<bool>,
    rest: String,
}

impl Print {
    fn of(answer: &Answer) -> Self {
        let Answer {
            array,
            extent,
            window,
            layer,
            coordinates,
            ..
        } = answer;
        let rest = format!(
            "{:?} {extent:?} {window:?} {layer:?} {coordinates:?}",
            array.shape()
        );
        Self {
            nums: nums(array),
            valid: validity(answer),
            rest,
        }
    }

    fn same(&self, other: &Print) -> bool {
        let cells = || self.nums.iter().zip(&other.nums).all(|(a, b)| a.same(*b));
        self.rest == other.rest
            && self.valid == other.valid
            && self.nums.len() == other.nums.len()
            && cells()
    }
}

/// A part of a level that somebody keeps a copy of.
#[derive(Clone, Debug)]
struct Tile {
    window: Window,
    layer: Layer,
    freshness: Freshness,
    /// Its cells, when they could be read last.
    copy: Option<Copy>,
    /// What was named since.
    named: Vec<Window>,
}

/// Cells by their places; events that are there have some.
type Copy = BTreeMap<Vec<i64>, (Num, bool)>;

#[derive(Debug)]
pub struct Watch {
    queries: Vec<Query>,
    seen: HashMap<(usize, Version), Print>,
    tiles: Vec<Tile>,
    token: Token,
}

/// The levels of a look, from the ground on.
pub fn levels_of_look(design: &Design, dice: &mut Dice, most: i64) -> Vec<i8> {
    let structure = design.schema.structure();
    let ground = design.ground();
    let level = |d: usize| {
        let fixed = structure.dimensions()[d].is_fixed();
        ground[d]
            + if fixed {
                0
            } else {
                i8::try_from(dice.range(0, most)).unwrap()
            }
    };
    (0..ground.len()).map(level).collect()
}

impl Watch {
    pub fn new(grid: &Grid, source: &Source, number: usize, seed: u64) -> Result<Self, String> {
        let (design, mut dice) = (&source.designs[number], Dice(seed));
        let layers: Vec<Layer> = std::iter::once(Layer::Base)
            .chain(
                design
                    .schema
                    .aggregators()
                    .iter()
                    .cloned()
                    .map(Layer::Aggregate),
            )
            .collect();
        // All there is, where that is not mostly the way to what is far.
        let reach = |spans: &Vec<Span>| (spans[spans.len() - 1].1 - spans[0].0) as f64;
        let few = design.segments.iter().map(reach).product::<f64>() < ALL_MOST;
        let mut queries = if few {
            vec![Query::all(), Query::all().freshness(Freshness::Fresh)]
        } else {
            Vec::new()
        };
        let mut tiles = Vec::new();
        for number_of in 0..dice.pick(&[2, 4, 12]) {
            let most = if number_of % 2 == 0 { 3 } else { 7 };
            let at = levels_of_look(design, &mut dice, most);
            let (freshness, layer) = (fresh(&mut dice), dice.pick(&layers));
            let window = source.area(&mut dice, number, at, (6, false)).window();
            tiles.push(Tile {
                window,
                layer: layer.clone(),
                freshness,
                copy: None,
                named: Vec::new(),
            });
            let mut query = Query::window(window).freshness(fresh(&mut dice));
            if number_of % 3 == 0 {
                let shape: Vec<usize> = structure_shape(design, &mut dice, &window);
                let how = [
                    Resampling::Nearest,
                    Resampling::Bilinear,
                    Resampling::Cubic,
                    Resampling::Area,
                ];
                query = query.shape(shape).resampled(dice.pick(&how));
            } else if layer != Layer::Base {
                query = query.layer(layer);
            }
            queries.push(query);
        }
        queries.extend(odd(source, number, &layers, &mut dice));
        let token = grid.changes_token().map_err(|e| e.to_string())?;
        let mut watch = Self {
            queries,
            seen: HashMap::new(),
            tiles,
            token,
        };
        watch.refresh(grid)?;
        Ok(watch)
    }

    /// Every copy anew.
    pub fn refresh(&mut self, grid: &Grid) -> Result<(), String> {
        self.token = grid.changes_token().map_err(|e| e.to_string())?;
        for tile in &mut self.tiles {
            tile.named.clear();
            tile.copy = read(grid, tile)?;
        }
        Ok(())
    }

    /// Reads what the feed names, and finds whether anything else has changed.
    pub fn follow(&mut self, grid: &Grid) -> Result<(), String> {
        let dimensions = grid.structure().dimensions().len();
        let mut told = Vec::new();
        loop {
            let changes = grid
                .changes_since(&self.token)
                .map_err(|e| format!("the feed: {e}"))?;
            for change in &changes.changes {
                for tile in &mut self.tiles {
                    let at = tile.window.levels(dimensions);
                    let named = match tile.freshness {
                        Freshness::Fresh => change.fresh(grid.structure(), at),
                        _ => change.stored(grid.structure(), at),
                    };
                    tile.named.extend(named);
                }
            }
            told.extend(changes.changes);
            self.token = changes.next;
            if !changes.more {
                break;
            }
        }
        for tile in &mut self.tiles {
            let Some(now) = read(grid, tile)? else {
                continue;
            };
            if let Some(before) = &tile.copy {
                let mut places = before.keys().chain(now.keys());
                // Of a sum beyond the doubles, parts are infinite too; once there is finer data,
                // they are sums of their own.
                let endless = |cell: &(Num, bool)| {
                    tile.layer == Layer::Aggregate(Aggregation::Sum) && cell.0.real().abs() > 1e300
                };
                let same = |a: Option<&(Num, bool)>, b: Option<&(Num, bool)>| match (a, b) {
                    (Some(a), Some(b)) => {
                        a.1 == b.1 && (!a.1 || a.0.same(b.0) || endless(a) && endless(b))
                    }
                    // An event that is there without data.
                    (None, Some(cell)) | (Some(cell), None) => {
                        !cell.1 || tile.layer == Layer::Aggregate(Aggregation::Count)
                    }
                    (None, None) => true,
                };
                let missed = places.find(|cell| {
                    !same(before.get(*cell), now.get(*cell)) && !within(&tile.named, cell)
                });
                if let Some(cell) = missed {
                    let at = numbers(&tile.window.levels(dimensions));
                    return Err(format!(
                        "the feed does not name cell {cell:?} at {at:?} of {:?}, {:?}, which was {:?} and is {:?}; it names {:?}; it told {told:?}",
                        tile.layer,
                        tile.freshness,
                        before.get(cell),
                        now.get(cell),
                        tile.named
                    ));
                }
            }
            tile.copy = Some(now);
            tile.named.clear();
        }
        Ok(())
    }

    /// Finds whether an answer changed under one version.
    pub fn versions(&mut self, snapshot: &StoreSnapshot, name: &str) -> Result<(), String> {
        let grid = snapshot.grid(name).map_err(|e| e.to_string())?;
        for (number, query) in self.queries.iter().enumerate() {
            let answer = match (grid.version(query), grid.read(query)) {
                (Ok(version), Ok(answer)) => (version, answer),
                (Err(a), Err(b)) if a.kind() == b.kind() && expected(a.kind()) => continue,
                (version, answer) => {
                    return Err(format!(
                        "{query:?}: version {version:?}, but answer {:?}",
                        answer.map(|answer| answer.array)
                    ));
                }
            };
            let (version, print) = (answer.0, Print::of(&answer.1));
            match self.seen.get(&(number, version)) {
                Some(seen) if !seen.same(&print) => {
                    return Err(format!(
                        "{query:?}: version {version} was of {seen:?} and is of {print:?}"
                    ));
                }
                _ => drop(self.seen.insert((number, version), print)),
            }
        }
        Ok(())
    }

    /// Asks while a call of the engine fails.
    pub fn fail(
        &self,
        grid: &Grid,
        engine: &Faulty<Memory>,
        dice: &mut Dice,
    ) -> Result<(), String> {
        for query in &self.queries {
            let before = engine.calls();
            let right = grid.read(query);
            let call = dice.next() % (engine.calls() - before).max(1);
            engine.fail_once(call, Failure::Before);
            let got = grid.read(query);
            engine.heal();
            let fits = match (&got, &right) {
                (Err(error), _) if *error.kind() == ErrorKind::Unavailable => true,
                (Ok(got), Ok(right)) => Print::of(got).same(&Print::of(right)),
                (Err(got), Err(right)) => got.kind() == right.kind(),
                _ => false,
            };
            if !fits {
                return Err(format!(
                    "{query:?}, whose call {call} fails: {got:?}, and not {right:?}"
                ));
            }
        }
        Ok(())
    }
}

/// Queries of what is not just a window: boxes that end within cells, resolutions, moments, steps
/// of several events.
fn odd(source: &Source, number: usize, layers: &[Layer], dice: &mut Dice) -> Vec<Query> {
    let design = &source.designs[number];
    let model = design.model();
    let how = [
        Resampling::Nearest,
        Resampling::Bilinear,
        Resampling::Cubic,
        Resampling::Area,
    ];
    let mut queries = Vec::new();
    for _ in 0..dice.pick(&[1, 2, 4]) {
        let window = source
            .area(dice, number, design.base.clone(), (8, false))
            .window();
        let (query, _) = resampled::draw(&model, window, dice);
        let query = query.resampled(dice.pick(&how)).freshness(fresh(dice));
        queries.push(if dice.chance(50) {
            query.layer(dice.pick(layers))
        } else {
            query
        });
        let Some(axis) = model.irregular() else {
            continue;
        };
        let tick = dice.pick(&design.hot[axis]) + dice.range(-8, 8);
        let moment = dice.pick(&[
            Moment::Nearest,
            Moment::Previous,
            Moment::Next,
            Moment::Linear,
        ]);
        let window = window.along(axis, tick, 40);
        let plain = match dice.range(0, 3) {
            0 => Query::window(window).latest(),
            1 => Query::window(window)
                .every(dice.pick(&[1, 3, 7, 64]), dice.range(-3, 3))
                .layer(dice.pick(layers)),
            2 => Query::window(window)
                .moment(tick, moment)
                .within(dice.pick(&[0, 3, 50])),
            _ => Query::window(window).moment(tick, moment),
        };
        queries.push(plain.freshness(fresh(dice)));
    }
    queries
}

fn fresh(dice: &mut Dice) -> Freshness {
    if dice.chance(50) {
        Freshness::Stored
    } else {
        Freshness::Fresh
    }
}

/// Whether an error says that what was asked for is not there, or cannot be had.
fn expected(kind: &ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::Invalid)
}

fn structure_shape(design: &Design, dice: &mut Dice, window: &Window) -> Vec<usize> {
    let structure = design.schema.structure();
    let axis = |axis: usize| {
        let fixed = structure.dimensions()[structure.dimension_of(axis)].is_fixed();
        let cells = usize::try_from(window.shape()[axis]).unwrap();
        if fixed {
            cells
        } else {
            usize::try_from(dice.range(1, 2 * cells as i64 + 1)).unwrap()
        }
    };
    (0..structure.rank()).map(axis).collect()
}

fn read(grid: &Grid, tile: &Tile) -> Result<Option<Copy>, String> {
    let query = Query::window(tile.window)
        .layer(tile.layer.clone())
        .freshness(tile.freshness);
    match grid.read(&query) {
        Ok(answer) => {
            let cells = cells(grid.structure(), &tile.window, &answer)
                .into_iter()
                .zip(validity(&answer));
            Ok(Some(
                cells
                    .map(|((cell, num), valid)| (cell, (num, valid)))
                    .collect(),
            ))
        }
        Err(error) if *error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{query:?}: {error}")),
    }
}
