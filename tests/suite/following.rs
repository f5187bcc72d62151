//! Caches of tiles at every level and layer that follow nothing but the change feed: after each
//! call they hold what a read gives, stored and fresh, under every policy.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use gridstone::kv::Memory;
use gridstone::{
    Aggregation, Axis, DType, Dimension, ErrorKind, Freshness, Grid, Layer, Levels, Overlap,
    Policy, Query, Schema, Store, Structure, Token, Window,
};
use proptest::prelude::*;

use crate::check::{self, Dice, levels, open};
use crate::oracle::indices;
use crate::worlds::{Call, What, World, commit};

/// A tile as wide as all that is looked at: its cells at some levels of a layer, if it could be
/// read ever.
#[derive(Debug)]
struct Tile {
    query: Query,
    window: Window,
    at: Levels,
    fresh: bool,
    /// `None` is a cell that was dropped.
    cells: Option<Vec<Option<u64>>>,
}

impl Tile {
    fn read(&self, grid: &Grid) -> Option<Vec<u64>> {
        match grid.read(&self.query) {
            Ok(answer) => {
                assert_eq!(answer.window.cells().map(|cells| cells > 0), Some(true));
                // All that is no number is alike.
                let bits = |value: f64| {
                    if value.is_nan() {
                        f64::NAN.to_bits()
                    } else {
                        (value + 0.0).to_bits()
                    }
                };
                Some(answer.array.iter_f64().map(bits).collect())
            }
            Err(error) => {
                assert_eq!(error.kind(), &ErrorKind::NotFound, "{error}");
                None
            }
        }
    }
}

/// Follows a grid.
struct Follower {
    token: Token,
    tiles: Vec<Tile>,
}

impl Follower {
    /// Tiles of the box that is `around` cells wide on both sides of the origin, at levels from the
    /// finest to far above.
    fn new(grid: &Grid, around: i64, finest: i8, coarsest: i8) -> Self {
        let structure = grid.structure();
        let dimensions = structure.dimensions();
        let wide = u64::try_from(2 * around).unwrap();
        let whole = |axes: usize| {
            Window::new(
                vec![-around; axes].as_slice(),
                gridstone::Shape::from(vec![wide; axes].as_slice()),
            )
        };
        let whole = whole(structure.rank()).at(Levels::zero(dimensions.len()));
        let mut all = vec![Vec::new()];
        for dimension in dimensions {
            let finest = if dimension.is_irregular() { 0 } else { finest };
            let levels = if dimension.is_refinable() || dimensions.len() == 1 {
                finest..=coarsest
            } else {
                finest.max(0)..=3
            };
            all = all
                .iter()
                .flat_map(|at: &Vec<i8>| {
                    levels
                        .clone()
                        .map(move |level| [&at[..], &[level]].concat())
                })
                .collect();
        }
        let mut tiles = Vec::new();
        for at in all {
            let at: Levels = levels(&at);
            let window = structure.cover(&whole, at);
            let layers = grid
                .schema()
                .aggregators()
                .iter()
                .cloned()
                .map(Layer::Aggregate);
            for layer in layers.chain([Layer::Base]) {
                for freshness in [Freshness::Stored, Freshness::Fresh] {
                    let query = Query::window(window)
                        .layer(layer.clone())
                        .freshness(freshness);
                    tiles.push(Tile {
                        query,
                        window,
                        at,
                        fresh: freshness == Freshness::Fresh,
                        cells: None,
                    });
                }
            }
        }
        let mut follower = Self {
            token: grid.changes_token().unwrap(),
            tiles,
        };
        for tile in &mut follower.tiles {
            tile.cells = tile
                .read(grid)
                .map(|cells| cells.into_iter().map(Some).collect());
        }
        follower
    }

    /// Reads anew what the feed names, and compares all. What is named is dropped from every tile,
    /// whatever differs.
    fn follow(&mut self, grid: &Grid) -> Result<(), String> {
        let shown = grid.changes_since(&self.token).unwrap();
        assert!(!shown.more);
        self.token = shown.next;
        let mut wrong = None;
        for tile in &mut self.tiles {
            let truth = tile.read(grid);
            if tile.cells.is_none() {
                tile.cells = truth.as_ref().map(|cells| vec![None; cells.len()]);
            }
            let Some(cells) = &mut tile.cells else {
                continue;
            };
            let named = shown.changes.iter().flat_map(|change| match tile.fresh {
                true => change.fresh(grid.structure(), tile.at),
                false => change.stored(grid.structure(), tile.at),
            });
            let named: Vec<Window> = named.collect();
            let start = tile.window.start();
            for (number, index) in indices(&tile.window.shape()).enumerate() {
                let cell: Vec<i64> = index
                    .iter()
                    .zip(start.iter())
                    .map(|(index, start)| index + start)
                    .collect();
                let holds = |window: &Window| {
                    (0..cell.len()).all(|axis| {
                        window.start()[axis] <= cell[axis] && cell[axis] < window.end()[axis]
                    })
                };
                if named.iter().any(holds) {
                    cells[number] = None;
                }
                // A level that is not there now may be there again.
                let Some(truth) = &truth else { continue };
                let cached = *cells[number].get_or_insert(truth[number]);
                if cached != truth[number] {
                    let (had, is) = (f64::from_bits(cached), f64::from_bits(truth[number]));
                    let of = &tile.query;
                    wrong.get_or_insert_with(|| {
                        format!(
                            "{of:?}: cell {cell:?} was {had} and is {is}; the feed names {named:?}"
                        )
                    });
                }
            }
        }
        wrong.map_or(Ok(()), Err)
    }
}

/// A store that may be opened anew, and what is done with it.
struct Host {
    engine: Arc<Memory>,
    store: Store,
    grid: Grid,
}

impl Host {
    fn new(schema: &Schema, policy: Policy) -> Self {
        let engine = Arc::<Memory>::default();
        let store = open(&engine, policy);
        let grid = store.create("a", schema.clone()).unwrap();
        Self {
            engine,
            store,
            grid,
        }
    }

    fn reopen(&mut self, policy: Policy, crash: bool) {
        let before = Arc::clone(&self.engine);
        // Closed first: background threads write no more.
        self.store.close().unwrap();
        self.engine = Arc::new(if crash {
            before.crash(0)
        } else {
            before.reopen()
        });
        self.store = open(&self.engine, policy);
        self.grid = self.store.grid("a").unwrap();
    }

    /// Waits until background aggregation has nothing left to do.
    fn settle(&self, dice: &mut Dice) {
        if self.store.policy() == Policy::Background && dice.chance(70) {
            self.grid
                .wait(u64::MAX >> 1, std::time::Duration::from_secs(60))
                .unwrap();
        }
    }
}

const POLICIES: [Policy; 4] = [
    Policy::Manual,
    Policy::Manual,
    Policy::Inline,
    Policy::Background,
];

/// A random history of calls at few places, followed all the while.
fn history(seed: u64) -> Result<(), String> {
    let mut dice = Dice(seed);
    // Whether a sum below the base is divided among cells is another matter.
    let layers = dice.pick(&[
        [Aggregation::Max, Aggregation::Mean],
        [Aggregation::Mean, Aggregation::Min],
    ]);
    let world = World::new(&mut dice, &layers);
    let mut host = Host::new(&world.schema, dice.pick(&POLICIES));
    let rank = world.schema.structure().rank();
    let mut follower = Follower::new(
        &host.grid,
        if rank == 1 { 24 } else { 8 },
        -2,
        if rank == 1 { 6 } else { 4 },
    );
    let mut last: Option<Call> = None;
    let mut done = Vec::new();
    for _ in 0..dice.range(4, 24) {
        let again = last.clone().filter(|_| dice.chance(35));
        let call = match again {
            Some(last) => last.again(
                dice.pick(&[What::Put(Overlap::Replace), What::Clear, What::Delete]),
                &world,
                &mut dice,
            ),
            None if dice.chance(10) => world.far(&mut dice),
            None => world.call(&mut dice),
        };
        last = Some(call.clone());
        let step = match dice.range(0, 13) {
            0 => {
                host.grid.aggregate_step().unwrap();
                "step".to_owned()
            }
            1 | 2 => {
                host.grid.aggregate().unwrap();
                "aggregate".to_owned()
            }
            3 => {
                host.grid.clean().unwrap();
                "clean".to_owned()
            }
            4 => {
                let (policy, crash) = (dice.pick(&POLICIES), dice.chance(50));
                host.reopen(policy, crash);
                format!("opened as {policy:?}")
            }
            5 | 6 => {
                let calls = [call, world.call(&mut dice), world.call(&mut dice)];
                format!("{} together: {calls:?}", commit(&host.grid, &calls))
            }
            _ => format!("{}: {call:?}", call.make(&host.grid)),
        };
        done.push(step);
        if host.store.policy() == Policy::Background {
            host.settle(&mut dice);
            if host.grid.marks().unwrap() > 0 {
                // What is read changes meanwhile.
                continue;
            }
            // While somebody looks for work, later changes wait to be shown.
            let quiet = || thread::sleep(std::time::Duration::from_millis(2));
            (0..5000)
                .take_while(|_| follower.follow(&host.grid).is_err())
                .for_each(|_| quiet());
        }
        follower
            .follow(&host.grid)
            .map_err(|wrong| format!("{wrong}\nafter {}", done.join("\n")))?;
    }
    Ok(())
}

/// What a cache holds of each tile.
type Tiles = BTreeMap<(i64, i64), u64>;

/// Events, put and removed at few ticks.
fn events(seed: u64) -> Result<(), String> {
    let mut dice = Dice(seed);
    let x = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 2)]);
    let time = Dimension::irregular(
        "time",
        "seconds since 1970-01-01",
        dice.pick(&[2, 4]),
        dice.pick(&[1, 8]),
    );
    let structure = Structure::builder()
        .dimension(time)
        .dimension(x)
        .build()
        .unwrap();
    let schema = Schema::builder(structure, DType::F32)
        .aggregator(Aggregation::Max)
        .build()
        .unwrap();
    let mut host = Host::new(&schema, dice.pick(&[Policy::Manual, Policy::Inline]));
    let mut token = host.grid.changes_token().unwrap();
    let mut caches: BTreeMap<(i8, i8, bool), Tiles> = BTreeMap::new();
    for step in 0..dice.range(4, 24) {
        let (tick, at) = (dice.range(-20, 20), dice.range(-4, 4));
        match dice.range(0, 9) {
            0 => drop(host.grid.aggregate_step().unwrap()),
            1 | 2 => drop(host.grid.aggregate().unwrap()),
            3 => drop(host.grid.clean().unwrap()),
            4 => {
                let (policy, crash) = (
                    dice.pick(&[Policy::Manual, Policy::Inline]),
                    dice.chance(50),
                );
                host.reopen(policy, crash);
            }
            kind @ (5 | 6) => {
                let window =
                    Window::new([tick, at], [u64::try_from(dice.range(1, 30)).unwrap(), 3]);
                if kind == 5 {
                    host.grid.clear(&window).unwrap()
                } else {
                    host.grid.delete(&window).unwrap()
                };
            }
            _ => {
                let event = ndarray::Array2::from_elem((1, 3), step as f32);
                host.grid
                    .put_events(&[tick], [at], &event, Overlap::Replace)
                    .unwrap();
            }
        }
        let shown = host.grid.changes_since(&token).unwrap();
        token = shown.next;
        for (time, space, fresh) in
            (0..6_i8).flat_map(|t| (0..4_i8).flat_map(move |s| [(t, s, false), (t, s, true)]))
        {
            let at: Levels = levels(&[time, space]);
            let whole = host
                .grid
                .structure()
                .cover(&Window::new([-32, -8], [64, 16]).at(Levels::zero(2)), at);
            let freshness = if fresh {
                Freshness::Fresh
            } else {
                Freshness::Stored
            };
            let query = Query::window(whole)
                .layer(Layer::Aggregate(Aggregation::Max))
                .freshness(freshness);
            let named: Vec<Window> = shown
                .changes
                .iter()
                .flat_map(|change| {
                    let structure = host.grid.structure();
                    if fresh {
                        change.fresh(structure, at)
                    } else {
                        change.stored(structure, at)
                    }
                })
                .collect();
            let is_named = |(tick, cell): &(i64, i64)| {
                let holds = |window: &Window, axis: usize, at: i64| {
                    window.start()[axis] <= at && at < window.end()[axis]
                };
                named
                    .iter()
                    .any(|window| holds(window, 0, *tick) && holds(window, 1, *cell))
            };
            let answer = match host.grid.read(&query) {
                Ok(answer) => answer,
                Err(error) => {
                    assert_eq!(error.kind(), &ErrorKind::NotFound, "{error}");
                    // A level that is not there now may be there again.
                    if !named.is_empty() {
                        caches.remove(&(time, space, fresh));
                    }
                    continue;
                }
            };
            let ticks = answer
                .coordinates
                .as_ref()
                .map(|coordinates| coordinates.ticks.clone())
                .unwrap();
            // Of bins the first tick stands for all.
            let bin = |tick: i64| {
                host.grid
                    .structure()
                    .cover(&Window::new([tick, 0], [1, 1]).at(Levels::zero(2)), at)
                    .start()[0]
            };
            let mut truth = Tiles::new();
            let width = usize::try_from(whole.shape()[1]).unwrap();
            for (number, value) in answer
                .array
                .iter_f64()
                .enumerate()
                .filter(|(_, value)| !value.is_nan())
            {
                let cell = whole.start()[1] + i64::try_from(number % width).unwrap();
                truth.insert((bin(ticks[number / width]), cell), value.to_bits());
            }
            let cache = caches
                .entry((time, space, fresh))
                .or_insert_with(|| truth.clone());
            cache.retain(|place, _| !is_named(place));
            cache.extend(
                truth
                    .iter()
                    .filter(|(place, _)| is_named(place))
                    .map(|(place, value)| (*place, *value)),
            );
            if *cache != truth {
                return Err(format!(
                    "step {step}, {at:?}, fresh {fresh}: {cache:?} is not {truth:?}; named {named:?}"
                ));
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: check::cases(40), max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn a_cache_of_every_level_that_follows_the_feed_is_never_wrong(seed: u64) {
        if let Err(wrong) = history(seed) {
            prop_assert!(false, "seed {}: {}", seed, wrong);
        }
    }

    #[test]
    fn a_cache_of_events_that_follows_the_feed_is_never_wrong(seed: u64) {
        if let Err(wrong) = events(seed) {
            prop_assert!(false, "seed {}: {}", seed, wrong);
        }
    }
}

fn line(policy: Policy) -> Grid {
    let x = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 4)]);
    let schema = Schema::builder(
        Structure::builder().dimension(x).build().unwrap(),
        DType::F64,
    )
    .aggregator(Aggregation::Max);
    open(&Arc::default(), policy)
        .create("a", schema.build().unwrap())
        .unwrap()
}

/// Cells of a level may reach over the end of what is left.
#[test]
fn what_was_deleted_is_named_in_cells_that_hold_some_of_what_is_left() {
    let x = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 2)]);
    let structure = Structure::builder().dimension(x).build().unwrap();
    let schema = Schema::builder(structure, DType::U8).aggregator(Aggregation::Mean);
    let grid = open(&Arc::default(), Policy::Manual)
        .create("a", schema.build().unwrap())
        .unwrap();
    let cells = ndarray::Array1::from_iter(1..14_u8);
    grid.put(&Window::new([-3], [13]), &cells).unwrap();
    grid.aggregate().unwrap();
    let mut follower = Follower::new(&grid, 24, -2, 6);
    grid.delete(&Window::new([-3], [3])).unwrap();
    follower.follow(&grid).unwrap();
    while grid.aggregate_step().unwrap().is_some() {
        follower.follow(&grid).unwrap();
    }
}

/// Aggregates beyond the bounds wait for their marks, and go without one where the top falls below
/// them.
#[test]
fn what_was_deleted_is_not_read_and_cached_cells_of_levels_that_go_are_named() {
    let x = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 2)]);
    let schema = Schema::builder(
        Structure::builder().dimension(x).build().unwrap(),
        DType::U8,
    )
    .aggregator(Aggregation::Max);
    let grid = open(&Arc::default(), Policy::Manual)
        .create("a", schema.build().unwrap())
        .unwrap();
    grid.put(&Window::new([8], [3]), &ndarray::arr1(&[0_u8, 20, 48]))
        .unwrap();
    grid.aggregate().unwrap();
    let mut follower = Follower::new(&grid, 24, -2, 6);
    let read = || {
        let query = Query::window(Window::new([2], [2]).at(levels(&[2])))
            .layer(Layer::Aggregate(Aggregation::Max));
        grid.read(&query).unwrap().values().collect::<Vec<_>>()
    };
    assert_eq!(read(), [Some(20.0), Some(48.0)]);
    grid.delete(&Window::new([10], [4])).unwrap();
    assert_eq!(read(), [Some(20.0), None]);
    follower.follow(&grid).unwrap();
    grid.aggregate().unwrap();
    follower.follow(&grid).unwrap();
    grid.put(&Window::new([0], [1]), &ndarray::arr1(&[0_u8]))
        .unwrap();
    while grid.aggregate_step().unwrap().is_some() {
        follower.follow(&grid).unwrap();
    }
    assert_eq!(read(), [Some(20.0), None]);
}

fn put(grid: &Grid, level: i8, start: i64, len: u64, value: f64) {
    let cells = ndarray::Array1::from_elem(usize::try_from(len).unwrap(), value);
    grid.put(&Window::new([start], [len]).at(levels(&[level])), &cells)
        .unwrap();
}

/// Whether the changes after a token name a cell for stored reads at a level.
fn names(grid: &Grid, token: &Token, level: i8, cell: i64) -> bool {
    let changes = grid.changes_since(token).unwrap().changes;
    let mut named = changes
        .iter()
        .flat_map(|change| change.stored(grid.structure(), levels(&[level])));
    named.any(|window| window.start()[0] <= cell && cell < window.end()[0])
}

#[test]
fn a_coarse_put_is_named_at_its_own_level_and_an_aggregation_names_no_base_cell() {
    let grid = line(Policy::Manual);
    put(&grid, 0, 0, 8, 1.0);
    grid.aggregate().unwrap();
    let token = grid.changes_token().unwrap();
    put(&grid, 2, 8, 4, 5.0);
    for (level, cell) in [(2, 8), (1, 17), (0, 32), (-1, 64)] {
        assert!(names(&grid, &token, level, cell), "level {level}");
    }
    assert!(!names(&grid, &token, 3, 4), "the level above is as it was");
    let token = grid.changes_token().unwrap();
    grid.aggregate().unwrap();
    assert!(names(&grid, &token, 3, 4), "until it is aggregated");
    assert!(
        !names(&grid, &token, 2, 8) && !names(&grid, &token, 0, 32),
        "which changes no base cell"
    );
}

#[test]
fn what_a_deletion_takes_away_is_named_at_every_level() {
    for policy in [Policy::Inline, Policy::Manual] {
        let grid = line(policy);
        put(&grid, 0, 0, 64, 1.0);
        grid.aggregate().unwrap();
        let token = grid.changes_token().unwrap();
        grid.delete(&Window::new([0], [16])).unwrap();
        assert!(
            names(&grid, &token, 2, 0),
            "{policy:?}: at once, since it is read no more"
        );
        let token = grid.changes_token().unwrap();
        grid.delete(&Window::new([0], [64])).unwrap();
        for level in 0..4 {
            assert!(
                names(&grid, &token, level, (32 >> level) + 1),
                "{policy:?}, level {level}"
            );
        }
    }
}

#[test]
fn levels_that_go_when_the_top_falls_are_named_as_a_whole() {
    let grid = line(Policy::Inline);
    put(&grid, 0, 0, 16, 1.0);
    put(&grid, 0, 4000, 16, 1.0);
    let built = grid.reach().unwrap().unwrap()[0].get();
    let token = grid.changes_token().unwrap();
    grid.delete(&Window::new([17], [8000])).unwrap();
    let left = grid.reach().unwrap().unwrap()[0].get();
    assert!(left < built);
    for level in left + 1..=built {
        assert!(
            names(&grid, &token, level, 0),
            "level {level} is gone from {left} to {built}"
        );
    }
    assert!(
        !names(&grid, &token, 1, 3),
        "where nothing changed, and the level is there, nothing is named"
    );
}

/// Nothing of a place that a growing grid covers again is read from before it was deleted,
/// unnoticed.
#[test]
fn what_counts_as_put_again_is_named_while_what_was_there_is_not_aggregated_away() {
    let grid = line(Policy::Manual);
    put(&grid, 0, 0, 64, 1.0);
    grid.aggregate().unwrap();
    grid.delete(&Window::new([0], [16])).unwrap();
    let token = grid.changes_token().unwrap();
    put(&grid, 0, 0, 1, 2.0);
    assert!(
        names(&grid, &token, 2, 2),
        "cell 2 of level 2 is read again, and is out of date"
    );
    grid.aggregate().unwrap();
    let token = grid.changes_token().unwrap();
    put(&grid, 0, 64, 4, 2.0);
    assert!(
        !names(&grid, &token, 2, 16),
        "where nothing is pending, growing names no aggregate"
    );
}

#[test]
fn changes_of_a_token_are_those_of_the_data_whatever_they_are_called() {
    let store = Store::in_memory().unwrap();
    let x = || Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 4)]);
    let schema = || {
        Schema::builder(
            Structure::builder().dimension(x()).build().unwrap(),
            DType::F64,
        )
        .aggregator(Aggregation::Max)
    };
    let (a, b) = (
        store.create("a", schema().build().unwrap()).unwrap(),
        store.create("b", schema().build().unwrap()).unwrap(),
    );
    put(&a, 0, 0, 8, 1.0);
    let token = a.changes_token().unwrap();
    store.swap("a", "b").unwrap();
    put(&a, 0, 4, 4, 2.0);
    assert!(names(&a, &token, 1, 2));
    assert_eq!(
        store
            .grid("a")
            .unwrap()
            .changes_since(&token)
            .unwrap_err()
            .kind(),
        &ErrorKind::Expired
    );
    assert_eq!(
        store
            .grid("b")
            .unwrap()
            .changes_since(&token)
            .unwrap()
            .changes
            .len(),
        1
    );
    drop(b);
}
