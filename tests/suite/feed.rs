//! The change feed: what it shows is what was committed, each commit once, in order, whatever
//! happens in between.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use gridstone::kv::{Durability, Engine, Failure, Faulty, Memory};
use gridstone::{
    Aggregation, Axis, Change, DType, Dimension, ErrorKind, Freshness, Grid, Layer, Level, Levels,
    Policy, Query, Schema, Store, Structure, Token, Window,
};
use ndarray::arr1;

use crate::check::{Dice, levels, open};

fn schema() -> Schema {
    let x = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 4)]);
    let structure = Structure::builder().dimension(x).build().unwrap();
    Schema::builder(structure, DType::I16)
        .nodata(0.0)
        .aggregator(Aggregation::Sum)
        .aggregator(Aggregation::Max)
        .build()
        .unwrap()
}

fn put(grid: &Grid, at: i64, len: u64, value: i16) -> u64 {
    let cells = ndarray::Array1::from_elem(usize::try_from(len).unwrap(), value);
    grid.replace(&Window::new([at], [len]), &cells)
        .unwrap()
        .sequence
}

/// Everything after a token, and the token behind it.
fn rest(grid: &Grid, token: &Token) -> (Vec<Change>, Token) {
    let (mut changes, mut token) = (Vec::new(), token.clone());
    loop {
        let shown = grid.changes_since(&token).unwrap();
        changes.extend(shown.changes);
        assert!(shown.next >= token, "tokens are ordered");
        token = shown.next;
        if !shown.more {
            return (changes, token);
        }
    }
}

fn spans(windows: &[Window]) -> Vec<(i64, i64)> {
    windows
        .iter()
        .map(|window| (window.start()[0], window.end()[0]))
        .collect()
}

#[test]
fn a_put_and_an_aggregation_say_what_they_changed_at_which_levels() {
    let store = open(&Arc::default(), Policy::Manual);
    let grid = store.create("a", schema()).unwrap();
    let token = grid.changes_token().unwrap();
    let first = put(&grid, 0, 16, 1);
    let second = put(&grid, 5, 2, 3);
    grid.aggregate().unwrap();
    let (changes, next) = rest(&grid, &token);
    assert_eq!(
        changes[..2]
            .iter()
            .map(|change| change.sequence)
            .collect::<Vec<_>>(),
        [first, second]
    );
    assert_eq!(spans(&changes[1].base), [(5, 7)]);
    assert_eq!(
        (changes[1].to, changes[1].aggregates.len()),
        (levels(&[0]), 0)
    );
    let structure = grid.structure();
    assert_eq!(spans(&changes[1].stored(structure, levels(&[0]))), [(5, 7)]);
    assert_eq!(
        changes[1].stored(structure, levels(&[1])),
        [],
        "no aggregate changed in this commit"
    );
    assert_eq!(
        spans(&changes[1].fresh(structure, levels(&[2]))),
        [(1, 2)],
        "but what it is computed from did"
    );
    let top = grid.top().unwrap().unwrap().levels();
    let [.., last] = &changes[..] else {
        panic!("three changes")
    };
    assert!(
        last.base.is_empty() && !last.aggregates.is_empty(),
        "{last:?}"
    );
    assert_eq!(last.to, levels(&[40]), "with {top:?} all above it changed");
    assert_eq!(
        last.stored(structure, levels(&[0])),
        [],
        "an aggregation changes no base cell"
    );
    let all = spans(&last.stored(structure, levels(&[2])));
    assert!(
        (0..4).all(|cell| all
            .iter()
            .any(|(start, end)| (*start..*end).contains(&cell))),
        "{all:?}"
    );
    assert_eq!(last.fresh(structure, levels(&[2])), []);
    assert_eq!(rest(&grid, &next), (vec![], next.clone()));
    assert_eq!(grid.changes_token().unwrap(), next);

    let inline = open(&Arc::default(), Policy::Inline);
    let grid = inline.create("a", schema()).unwrap();
    let token = grid.changes_token().unwrap();
    put(&grid, 0, 16, 1);
    put(&grid, 5, 2, 3);
    put(&grid, 5, 2, 3);
    let (changes, _) = rest(&grid, &token);
    assert_eq!(changes.len(), 3);
    assert_eq!(
        spans(&changes[1].stored(grid.structure(), levels(&[0]))),
        [(5, 7)],
        "one commit, every level"
    );
    assert_eq!(
        spans(&changes[1].stored(grid.structure(), levels(&[1]))),
        [(2, 4)],
        "the part of the chunk that was put into"
    );
    put(&grid, 13, 3, 0);
    put(&grid, 20, 3, 0);
    let (changes, _) = rest(&grid, &token);
    assert_eq!(changes.len(), 4, "nothing is where nothing was put");
}

/// All cells of a layer at some levels.
type Picture = BTreeMap<i64, u64>;

fn picture(grid: &Grid, at: Levels, freshness: Freshness) -> Picture {
    let query = Query::all()
        .levels(at)
        .layer(Layer::Aggregate(Aggregation::Sum))
        .freshness(freshness);
    match grid.read(&query) {
        Ok(answer) => (answer.window.start()[0]..)
            .zip(answer.array.iter_f64().map(f64::to_bits))
            .collect(),
        Err(error) => {
            assert_eq!(error.kind(), &ErrorKind::NotFound);
            Picture::new()
        }
    }
}

/// A cache that reads anew only what the feed names is never wrong, at any level, stored or fresh,
/// over reopening and power loss.
#[test]
fn a_cache_that_follows_the_feed_holds_what_is_there() {
    for seed in 0..30 {
        let mut dice = Dice(seed);
        let mut engine: Arc<Memory> = Arc::default();
        let mut store = open(&engine, Policy::Manual);
        let mut grid = store.create("a", schema()).unwrap();
        let mut token = grid.changes_token().unwrap();
        let mut caches: BTreeMap<(i8, bool), Picture> = BTreeMap::new();
        for step in 0..60 {
            match dice.range(0, 9) {
                0..=5 => {
                    let (at, len) = (
                        dice.range(-40, 40),
                        u64::try_from(dice.range(1, 12)).unwrap(),
                    );
                    put(&grid, at, len, i16::try_from(dice.range(0, 5)).unwrap());
                }
                6 => drop(grid.aggregate_step().unwrap()),
                7 => drop(grid.aggregate().unwrap()),
                _ => {
                    engine = Arc::new(if dice.chance(50) {
                        engine.reopen()
                    } else {
                        engine.crash(0)
                    });
                    store = open(&engine, dice.pick(&[Policy::Manual, Policy::Inline]));
                    grid = store.grid("a").unwrap();
                }
            }
            let (changes, next) = rest(&grid, &token);
            token = next;
            for level in 0..7 {
                let at = Levels::zero(1).with(0, Level::new(level).unwrap());
                for fresh in [false, true] {
                    let freshness = if fresh {
                        Freshness::Fresh
                    } else {
                        Freshness::Stored
                    };
                    let truth = picture(&grid, at, freshness);
                    let cache = caches.entry((level, fresh)).or_default();
                    if truth.is_empty() {
                        // What is refused is to be read anew once it is answered.
                        cache.clear();
                    }
                    let top = grid.top().unwrap().map(|top| top.levels()[0].get());
                    if cache.is_empty() && (fresh || top.is_some_and(|top| level > top)) {
                        // Nobody can have read it: above the top there was nothing, or it lagged.
                        cache.clone_from(&truth);
                    }
                    for change in &changes {
                        let structure = grid.structure();
                        let named = if fresh {
                            change.fresh(structure, at)
                        } else {
                            change.stored(structure, at)
                        };
                        for (start, end) in spans(&named) {
                            cache.extend(
                                truth.range(start..end).map(|(cell, value)| (*cell, *value)),
                            );
                        }
                    }
                    for (cell, value) in &truth {
                        let blank = f64::NAN.to_bits();
                        let cached = *cache.entry(*cell).or_insert(blank);
                        assert_eq!(
                            cached, *value,
                            "seed {seed}, step {step}, level {level}, fresh {fresh}: cell {cell}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_token_of_another_grid_store_or_time_is_refused() {
    let (engine, other) = (Arc::<Memory>::default(), Arc::<Memory>::default());
    let store = open(&engine, Policy::Manual);
    let a = store.create("a", schema()).unwrap();
    let b = store.create("b", schema()).unwrap();
    let elsewhere = open(&other, Policy::Manual).create("a", schema()).unwrap();
    put(&a, 0, 1, 1);
    let token = a.changes_token().unwrap();
    let expired = |grid: &Grid, token: &Token, why: &str| {
        let error = grid.changes_since(token).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Expired);
        assert!(
            error.to_string().contains(why) && error.to_string().contains("read everything anew"),
            "{error}"
        );
    };
    expired(&b, &token, "another grid");
    expired(&elsewhere, &token, "another store");
    let text = token.to_string();
    assert_eq!(text.parse::<Token>().unwrap(), token);
    let later: Token = format!("{}{:016x}", &text[..24], u64::MAX).parse().unwrap();
    expired(&a, &later, "later state");
    for text in [
        "",
        "x",
        &text[1..],
        &format!("ABCDEF{}", &text[6..]),
        &format!("{text}0"),
        &text.replace('0', "ä"),
    ] {
        assert_eq!(
            text.parse::<Token>().unwrap_err().kind(),
            &ErrorKind::Invalid,
            "{text}"
        );
    }

    let again = open(&Arc::new(engine.reopen()), Policy::Manual)
        .grid("a")
        .unwrap();
    assert_eq!(rest(&again, &token).0, []);
    let engine: Arc<dyn Engine> = Arc::new(engine.reopen());
    let lossy = Store::options()
        .accept_data_loss(true)
        .open_engine(engine)
        .unwrap()
        .grid("a")
        .unwrap();
    expired(&lossy, &token, "another store");
}

/// A process that reads a store again and again while another writes: from a token of before, it
/// hears of every commit once, though numbers are taken before commits.
#[test]
fn a_reader_beside_a_writer_hears_of_every_commit_once() {
    const WRITERS: i64 = 4;
    const PUTS: i64 = 60;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::options()
        .policy(Policy::Manual)
        .open(dir.path())
        .unwrap();
    let grid = store.create("a", schema()).unwrap();
    let mut token = grid.changes_token().unwrap();
    let committed = Mutex::new(Vec::new());
    let writing = AtomicU64::new(WRITERS.cast_unsigned());
    let mut seen = Vec::new();
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (grid, committed, writing) = (&grid, &committed, &writing);
            scope.spawn(move || {
                for nth in 0..PUTS {
                    let at = put(grid, 1000 * writer + 8 * nth, 4, 1);
                    committed.lock().unwrap().push(at);
                }
                writing.fetch_sub(1, Ordering::SeqCst);
            });
        }
        loop {
            let is_last = writing.load(Ordering::SeqCst) == 0;
            let beside = Store::open_read_only(dir.path()).unwrap();
            let (changes, next) = rest(&beside.grid("a").unwrap(), &token);
            seen.extend(changes.iter().map(|change| change.sequence));
            token = next;
            if is_last {
                break;
            }
        }
    });
    let mut committed = committed.into_inner().unwrap();
    committed.sort_unstable();
    assert_eq!(seen, committed);
}

#[test]
fn as_many_changes_are_kept_as_asked_for_and_an_older_token_has_expired() {
    let engine: Arc<Memory> = Arc::default();
    let kept = 300;
    let open = |engine: &Arc<Memory>| {
        let engine = Arc::clone(engine) as Arc<dyn Engine>;
        Store::options()
            .policy(Policy::Manual)
            .changes_kept(kept)
            .open_engine(engine)
            .unwrap()
    };
    let mut store = open(&engine);
    let mut grid = store.create("a", schema()).unwrap();
    let mut tokens = vec![grid.changes_token().unwrap()];
    for round in 0..2000_u64 {
        if round % 97 == 0 {
            // Many short lives of a process remove as well as one long.
            drop((store, grid));
            store = open(&engine);
            grid = store.grid("a").unwrap();
        }
        put(&grid, i64::try_from(round % 7).unwrap(), 1, 1);
        tokens.push(grid.changes_token().unwrap());
        let oldest = tokens.len() - 1 - usize::try_from(kept.min(round + 1)).unwrap();
        assert_eq!(
            rest(&grid, &tokens[oldest]).0.len(),
            tokens.len() - 1 - oldest,
            "what is kept is whole"
        );
    }
    let expired = tokens
        .iter()
        .filter(|token| match grid.changes_since(token) {
            Ok(_) => false,
            Err(error) => {
                assert_eq!(error.kind(), &ErrorKind::Expired, "{error}");
                assert!(error.to_string().contains("too old"), "{error}");
                true
            }
        });
    let there = tokens.len() - expired.count();
    assert!(
        (300..300 + 2 * 256 + 2).contains(&there),
        "{there} tokens are good"
    );
    assert_eq!(store.verify().unwrap().findings, []);
}

/// Adds the numbers of all changes after a token to those seen.
fn follow(grid: &Grid, token: &mut Token, seen: &mut Vec<u64>) {
    let (changes, next) = rest(grid, token);
    *token = next;
    seen.extend(changes.iter().map(|change| change.sequence));
    assert!(
        seen.windows(2).all(|pair| pair[0] < pair[1]),
        "in order, each once"
    );
}

/// Writers, an aggregator and readers at once, with every engine call delayed at random: each
/// reader sees every commit that was acknowledged, once, in order, whenever it asks.
#[test]
fn readers_miss_nothing_while_commits_land_in_any_order() {
    for seed in 0..6 {
        let dice = Arc::new(Mutex::new(Dice(seed)));
        let jitter = move |_| {
            let delay = dice.lock().unwrap().range(0, 3);
            (0..delay * 20).for_each(|_| thread::yield_now());
        };
        let engine: Arc<dyn Engine> = Arc::new(Faulty::hooked(Memory::new(), jitter));
        let store = Store::options()
            .policy(Policy::Manual)
            .changes_kept(1 << 20)
            .open_engine(engine)
            .unwrap();
        let grid = store.create("a", schema()).unwrap();
        let token = grid.changes_token().unwrap();
        let (acknowledged, followed) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        let writing = AtomicBool::new(true);
        let busy = AtomicU64::new(4);
        thread::scope(|scope| {
            for writer in 0..4 {
                let (grid, acknowledged, busy, writing) = (&grid, &acknowledged, &busy, &writing);
                scope.spawn(move || {
                    let mut dice = Dice(100 * seed + writer);
                    for _ in 0..40 {
                        let sequence = put(
                            grid,
                            dice.range(-8, 8),
                            2,
                            i16::try_from(dice.range(1, 9)).unwrap(),
                        );
                        acknowledged.lock().unwrap().push(sequence);
                    }
                    if busy.fetch_sub(1, Ordering::SeqCst) == 1 {
                        writing.store(false, Ordering::SeqCst);
                    }
                });
            }
            scope.spawn(|| {
                while writing.load(Ordering::SeqCst) {
                    grid.aggregate_step().unwrap();
                }
            });
            for _ in 0..2 {
                scope.spawn(|| {
                    let (mut seen, mut token) = (Vec::new(), token.clone());
                    while writing.load(Ordering::SeqCst) {
                        follow(&grid, &mut token, &mut seen);
                    }
                    followed.lock().unwrap().push((seen, token));
                });
            }
        });
        let (acknowledged, followed) = (
            acknowledged.into_inner().unwrap(),
            followed.into_inner().unwrap(),
        );
        assert_eq!((acknowledged.len(), followed.len()), (160, 2));
        for (mut seen, mut token) in followed {
            // The aggregator may have been the last to end, and what came after its beginning
            // waited for it.
            follow(&grid, &mut token, &mut seen);
            let missed: Vec<&u64> = acknowledged
                .iter()
                .filter(|sequence| !seen.contains(sequence))
                .collect();
            assert_eq!(missed, [&0_u64; 0], "seed {seed}");
        }
    }
}

/// What a run got as far as.
#[derive(Default)]
struct Ran {
    /// The number and the cell of each commit that was acknowledged as synced.
    synced: Vec<(u64, i64)>,
    shown: Vec<Change>,
}

/// Puts, aggregates, and follows the feed.
fn run(host: &Arc<Faulty<Memory>>, ran: &mut Ran) -> gridstone::Result<()> {
    let store = Store::options()
        .policy(Policy::Manual)
        .open_engine(Arc::clone(host) as Arc<dyn Engine>)?;
    let grid = store.create("a", schema())?;
    let mut token = grid.changes_token()?;
    for (step, at) in (0_i16..).zip([0_i64, 9, -20, 3, 40, 9]) {
        let durability = if step % 2 == 0 {
            Durability::Sync
        } else {
            Durability::Buffered
        };
        let mut batch = store.batch().durability(durability);
        let cells = arr1(&[1 + step]);
        batch.put(&grid, &Window::new([at], [1]), &cells)?;
        let sequence = batch.commit()?.sequence;
        if durability == Durability::Sync {
            ran.synced.push((sequence, at));
        }
        grid.aggregate_step()?;
        if step % 3 == 0 {
            let answer = grid.changes_since(&token)?;
            ran.shown.extend(answer.changes);
            token = answer.next;
        }
    }
    Ok(())
}

/// Sweeps a failure over every call of a run of puts and aggregations: an acknowledged commit has
/// its entry, an entry's commit is there, and what was shown before a crash is not taken back.
#[test]
fn i10_a_crash_at_any_call_leaves_an_entry_for_each_commit_and_a_commit_for_each_entry() {
    for failure in [Failure::Before, Failure::After] {
        for call in 0.. {
            let host = Arc::new(Faulty::new(Memory::new()));
            host.fail_from(call, failure);
            let mut ran = Ran::default();
            let finished = run(&host, &mut ran).is_ok();
            let Ran { synced, shown } = ran;
            for keep in 0..=host.engine().unsynced() {
                let store = open(&Arc::new(host.engine().crash(keep)), Policy::Manual);
                let Ok(grid) = store.grid("a") else {
                    assert!(synced.is_empty());
                    continue;
                };
                let start: Token = format!(
                    "{}{:016x}",
                    &grid.changes_token().unwrap().to_string()[..24],
                    0
                )
                .parse()
                .unwrap();
                let (changes, _) = rest(&grid, &start);
                for (sequence, at) in &synced {
                    let of = changes
                        .iter()
                        .find(|change| change.sequence == *sequence)
                        .expect("an acknowledged commit's entry");
                    assert_eq!(spans(&of.base), [(*at, at + 1)]);
                }
                for change in &shown {
                    assert!(
                        changes.contains(change),
                        "call {call}, {failure:?}, {keep} kept: {change:?} was shown, and is gone"
                    );
                }
                // Each base cell that is there was put by a commit that has an entry, and the other
                // way round.
                let told: Vec<(i64, i64)> = changes
                    .iter()
                    .flat_map(|change| spans(&change.base))
                    .collect();
                let mut there = Vec::new();
                if let Some(bounds) = grid.bounds().unwrap() {
                    let answer = grid.read(&Query::window(bounds)).unwrap();
                    there = (bounds.start()[0]..)
                        .zip(answer.array.iter_f64())
                        .filter(|(_, v)| *v != 0.0)
                        .map(|(at, _)| at)
                        .collect();
                }
                assert!(
                    there.iter().all(|at| told.contains(&(*at, at + 1))),
                    "{there:?} {told:?}"
                );
                assert!(
                    told.iter().all(|(at, _)| there.contains(at)),
                    "{there:?} {told:?}"
                );
                assert_eq!(store.verify().unwrap().findings, []);
            }
            if finished {
                assert!(call > 40, "{call} calls are too few to mean much");
                break;
            }
        }
    }
}

#[test]
fn whoever_waits_for_changes_hears_of_a_commit_and_not_of_another_grid() {
    let store = open(&Arc::new(Memory::new()), Policy::Inline);
    let (grid, other) = (
        store.create("a", schema()).unwrap(),
        store.create("b", schema()).unwrap(),
    );
    let token = grid.changes_token().unwrap();
    let started = Instant::now();
    let nothing = grid
        .wait_changes(&token, Duration::from_millis(60))
        .unwrap();
    assert!(
        nothing.changes.is_empty()
            && nothing.next == token
            && started.elapsed() >= Duration::from_millis(60)
    );
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(30));
            put(&other, 0, 3, 5);
            thread::sleep(Duration::from_millis(30));
            put(&grid, 7, 2, 5);
        });
        let heard = grid.wait_changes(&token, Duration::from_secs(60)).unwrap();
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "it does not wait for the end of the time"
        );
        assert_eq!(heard.changes.len(), 1);
        assert_eq!(spans(&heard.changes[0].base), [(7, 9)]);
        // What is there already is not waited for.
        assert_eq!(
            grid.wait_changes(&token, Duration::MAX)
                .unwrap()
                .changes
                .len(),
            1
        );
    });
    let pinned = store.snapshot().unwrap().grid("a").unwrap();
    assert_eq!(
        pinned
            .wait_changes(&token, Duration::ZERO)
            .unwrap_err()
            .kind(),
        &ErrorKind::Invalid
    );
}
