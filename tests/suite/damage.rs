//! Damage stays where it is: a chunk that cannot be read blocks what needs it, is named, and can be
//! mended; all else goes on.

use std::sync::Arc;

use gridstone::kv::{Batch, Durability, Engine, KeyRange, Memory, Order, Space};
use gridstone::verify::{Damage, Thoroughness};
use gridstone::{
    Aggregation, Axis, DType, Dimension, ErrorKind, Grid, Layer, Overlap, Policy, Query, Schema,
    Store, Structure, Window,
};
use ndarray::Array2;

use crate::check::levels;

fn schema() -> Schema {
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
    );
    let structure = Structure::builder().dimension(space).build().unwrap();
    Schema::builder(structure, DType::F32)
        .aggregator(Aggregation::Max)
        .aggregator(Aggregation::Mean)
        .build()
        .unwrap()
}

fn put(
    grid: &Grid,
    (y, x): (i64, i64),
    (rows, cols): (usize, usize),
    value: f32,
) -> gridstone::Commit {
    let window = Window::new([y, x], [rows as u64, cols as u64]);
    grid.put(&window, &Array2::from_elem((rows, cols), value))
        .unwrap()
}

/// 8 x 8 chunks of 4 x 4 cells, all 1, up to date.
fn prepared(policy: Policy) -> (Arc<Memory>, Store, Grid) {
    let engine: Arc<Memory> = Arc::default();
    let store = Store::options()
        .policy(policy)
        .open_engine(engine.clone())
        .unwrap();
    let grid = store.create("dem", schema()).unwrap();
    put(&grid, (0, 0), (32, 32), 1.0);
    put(
        &store.create("other", schema()).unwrap(),
        (0, 0),
        (9, 9),
        2.0,
    );
    store.aggregate().unwrap();
    assert_eq!(store.verify().unwrap().findings, []);
    (engine, store, grid)
}

/// A cell below each parent, which takes the chunks 1 and 2, 3 and 4, and so on.
const EVERYWHERE: [i64; 5] = [0, 4, 12, 20, 28];

/// Flips a bit in the value of a key, behind the store's back.
fn flip(engine: &Memory, space: Space, key: &[u8]) {
    let snapshot = engine.snapshot().unwrap();
    let mut batch = Batch::at(snapshot.as_ref());
    snapshot
        .get_many(space, &[key.to_vec()], &mut |_, value| {
            let mut value = value.unwrap().to_vec();
            let middle = value.len() / 2;
            value[middle] ^= 4;
            batch.put(space, key.to_vec(), value);
            Ok(())
        })
        .unwrap();
    engine.commit(batch, Durability::Sync).unwrap();
}

/// The keys of a layer's chunks of the grid that was made first.
fn keys(engine: &Memory, space: Space, layer: u8) -> Vec<Vec<u8>> {
    let all = engine
        .snapshot()
        .unwrap()
        .scan(space, &KeyRange::all(), Order::Ascending, usize::MAX)
        .unwrap()
        .entries;
    let first = all[0].0[..4].to_vec();
    all.into_iter()
        .map(|(key, _)| key)
        .filter(|key| key.starts_with(&first) && key[4] == layer)
        .collect()
}

fn top(grid: &Grid, layer: Aggregation) -> f64 {
    let top = grid.top().unwrap().unwrap();
    let query = Query::all()
        .levels(top.levels())
        .layer(Layer::Aggregate(layer));
    grid.read(&query)
        .unwrap()
        .array
        .iter_f64()
        .fold(f64::MIN, f64::max)
}

/// Each aggregate in turn, of each layer: the next put below it makes it anew, and every level is
/// right.
#[test]
fn i7_an_aggregate_that_cannot_be_read_is_made_anew() {
    for policy in [Policy::Inline, Policy::Manual] {
        for layer in [1, 2] {
            let (engine, store, grid) = prepared(policy);
            for (round, key) in keys(&engine, Space::Aggregate, layer)
                .into_iter()
                .step_by(3)
                .enumerate()
            {
                flip(&engine, Space::Aggregate, &key);
                assert!(!store.verify().unwrap().findings.is_empty());
                let value = (round + 2) as f32;
                EVERYWHERE.iter().for_each(|&y| {
                    EVERYWHERE
                        .iter()
                        .for_each(|&x| assert!(put(&grid, (y, x), (1, 1), value).chunks > 0))
                });
                grid.aggregate().unwrap();
                assert_eq!(
                    store.verify().unwrap().findings,
                    [],
                    "{policy:?}, layer {layer}, aggregate {round}"
                );
                assert_eq!(top(&grid, Aggregation::Max), f64::from(value));
            }
        }
    }
}

/// All aggregates at once, so that one is made of others that cannot be read.
#[test]
fn i7_aggregates_above_one_another_are_made_anew() {
    let (engine, store, grid) = prepared(Policy::Inline);
    for layer in [1, 2] {
        keys(&engine, Space::Aggregate, layer)
            .iter()
            .for_each(|key| flip(&engine, Space::Aggregate, key));
    }
    EVERYWHERE.iter().for_each(|&y| {
        EVERYWHERE
            .iter()
            .for_each(|&x| assert_eq!(put(&grid, (y, x), (1, 1), 9.0).marks, 0))
    });
    assert_eq!(store.verify().unwrap().findings, []);
}

/// A base chunk that cannot be read keeps the marks that need it, and nothing else.
#[test]
fn i6_a_base_chunk_that_cannot_be_read_blocks_only_what_needs_it() {
    let engine: Arc<Memory> = Arc::default();
    let store = Store::options()
        .policy(Policy::Manual)
        .open_engine(engine.clone())
        .unwrap();
    let grid = store.create("dem", schema()).unwrap();
    put(&grid, (0, 0), (32, 32), 1.0);
    let other = store.create("other", schema()).unwrap();
    put(&other, (0, 0), (9, 9), 2.0);
    let base = keys(&engine, Space::Base, 0);
    flip(&engine, Space::Base, &base[5]);
    for _ in 0..2 {
        let error = grid.aggregate().unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Corrupt);
        assert!(
            error.to_string().contains("grid `dem`: the base chunk at")
                && error.to_string().contains("chunk ["),
            "{error}"
        );
    }
    // It and its siblings, whose parent is not there yet, each from the put and from when the
    // pyramid rose.
    let blocked = grid.marks().unwrap();
    assert!((2..=8).contains(&blocked), "{blocked}");
    other.aggregate().unwrap();
    assert_eq!(other.marks().unwrap(), 0);
    let found = store.verify().unwrap().findings;
    assert_eq!(
        found
            .iter()
            .filter(|finding| finding.layer.as_deref() == Some("base"))
            .count(),
        found.len(),
        "{found:?}"
    );
    assert_eq!(found.len(), 1, "{found:?}");
    let damaged = found[0].location.unwrap();
    // All other places go on.
    put(&grid, (28, 28), (2, 2), 7.0);
    assert_eq!(grid.aggregate().unwrap_err().kind(), &ErrorKind::Corrupt);
    assert_eq!(grid.marks().unwrap(), blocked);
    assert_eq!(top(&grid, Aggregation::Max), 7.0);
    let at = |y, x| Query::window(Window::new([y, x], [1, 1]).at(levels(&[0])));
    let inside = grid.structure().chunk_window(&damaged);
    let error = grid
        .read(&at(inside.start()[0], inside.start()[1]))
        .unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Corrupt);
    grid.read(&at(28, 28)).unwrap();
    // Put anew it is whole again.
    put(&grid, (inside.start()[0], inside.start()[1]), (4, 4), 3.0);
    grid.aggregate().unwrap();
    assert_eq!(
        (grid.marks().unwrap(), store.verify().unwrap().findings),
        (0, vec![])
    );
}

/// Inline, the cells are put where aggregation is blocked, and the commit says that marks are left.
#[test]
fn a_put_beside_damage_is_done_and_tells_what_is_left() {
    let engine: Arc<Memory> = Arc::default();
    let manual = Store::options()
        .policy(Policy::Manual)
        .open_engine(engine.clone())
        .unwrap();
    put(
        &manual.create("dem", schema()).unwrap(),
        (0, 0),
        (32, 32),
        1.0,
    );
    drop(manual);
    flip(&engine, Space::Base, &keys(&engine, Space::Base, 0)[0]);
    let store = Store::options().open_engine(engine.clone()).unwrap();
    let grid = store.grid("dem").unwrap();
    let error = grid.aggregate().unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Corrupt);
    assert_eq!(
        put(&grid, (20, 20), (4, 4), 5.0).marks,
        0,
        "nothing of what is damaged is needed"
    );
    assert_eq!(top(&grid, Aggregation::Max), 5.0);
    // A sibling of the damaged chunk, whose parent is not there yet. The second of two siblings has
    // an even index.
    let damaged = store.verify().unwrap().findings[0].location.unwrap();
    let window = grid.structure().chunk_window(&damaged);
    let (y, index) = (window.start()[0], window.start()[1] / 4);
    let sibling = if index.rem_euclid(2) == 1 {
        index + 1
    } else {
        index - 1
    };
    let left = put(&grid, (y, sibling * 4), (4, 4), 6.0).marks;
    assert!(
        left > 1 && left == grid.marks().unwrap(),
        "those of the damaged chunk and its siblings: {left}"
    );
    let put_there = Query::window(Window::new([y, sibling * 4], [1, 1]).at(levels(&[0])));
    assert_eq!(
        grid.read(&put_there).unwrap().array.iter_f64().next(),
        Some(6.0)
    );
}

#[test]
fn repair_takes_out_what_is_lost_and_makes_aggregates_anew() {
    let (engine, store, grid) = prepared(Policy::Manual);
    let base = keys(&engine, Space::Base, 0);
    [3, 40]
        .iter()
        .for_each(|&number| flip(&engine, Space::Base, &base[number]));
    flip(
        &engine,
        Space::Aggregate,
        &keys(&engine, Space::Aggregate, 2)[0],
    );
    let quick = store.verify_to(Thoroughness::Quick).unwrap();
    assert_eq!(
        (quick.findings.len(), quick.recomputed),
        (3, 0),
        "{:?}",
        quick.findings
    );
    let repaired = store.repair().unwrap();
    assert!(repaired.findings.len() >= 3, "{:?}", repaired.findings);
    assert_eq!(repaired.quarantined.len(), 2);
    assert!(
        repaired
            .quarantined
            .iter()
            .all(|chunk| chunk.grid == "dem" && chunk.bytes.is_some())
    );
    assert_eq!(
        (
            repaired.rebuilt.as_slice(),
            repaired.left.findings.as_slice()
        ),
        (["dem".to_owned()].as_slice(), [].as_slice())
    );
    assert_eq!(grid.base_chunks().unwrap().len(), 62);
    assert_eq!(top(&grid, Aggregation::Max), 1.0);
    let again = store.repair().unwrap();
    assert_eq!(
        (
            again.findings.len(),
            again.quarantined.len(),
            again.rebuilt.len()
        ),
        (0, 0, 0),
        "{again:?}"
    );
}

/// Events of which some buckets hold more than a chunk may, in one column and in several.
fn eventful(engine: &Arc<Memory>, columns: i64) -> (Store, Grid) {
    let store = Store::options()
        .policy(Policy::Manual)
        .open_engine(Arc::clone(engine) as Arc<dyn Engine>)
        .unwrap();
    let time = Dimension::irregular("time", "seconds since 1970-01-01", 2, 64);
    let x = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 4)]);
    let structure = Structure::builder()
        .dimension(time)
        .dimension(x)
        .build()
        .unwrap();
    let schema = Schema::builder(structure, DType::F32)
        .aggregator(Aggregation::Max)
        .aggregator(Aggregation::Mean);
    let grid = store.create("events", schema.build().unwrap()).unwrap();
    // Many in one bucket, and few in others.
    let ticks: Vec<i64> = (0..11).map(|n| n * 5).chain([200, 900, 901, 902]).collect();
    for column in 0..columns {
        let cells = Array2::from_shape_fn((ticks.len(), 4), |(event, x)| {
            (event * 7 + x) as f32 + column as f32 * 0.5
        });
        grid.put_events(&ticks, [column * 4], &cells, Overlap::Merge)
            .unwrap();
    }
    grid.aggregate().unwrap();
    assert_eq!(store.verify().unwrap().findings, []);
    (store, grid)
}

/// All that is stored: where, of which layer, and what stands for the cells.
fn everything(grid: &Grid) -> Vec<(gridstone::grid::Location, Option<Aggregation>, u64)> {
    let stored = grid.stored_chunks().unwrap().into_iter();
    stored
        .map(|chunk| (chunk.location, chunk.aggregator, chunk.checksum))
        .collect()
}

/// Each aggregate of a grid of events in turn is damaged, or gone, bins within buckets too, and all
/// at once.
#[test]
fn i7_repair_makes_aggregates_of_events_anew() {
    for columns in [1, 3] {
        let (_, sound) = eventful(&Arc::default(), columns);
        let count = {
            let engine: Arc<Memory> = Arc::default();
            eventful(&engine, columns);
            keys(&engine, Space::Aggregate, 1).len()
        };
        for number in 0..=count {
            for gone in [false, true] {
                let engine: Arc<Memory> = Arc::default();
                let (store, grid) = eventful(&engine, columns);
                for (at, key) in keys(&engine, Space::Aggregate, 1).iter().enumerate() {
                    if number != at && number != count {
                        continue;
                    }
                    if gone {
                        let mut batch = Batch::at(engine.snapshot().unwrap().as_ref());
                        batch.delete(Space::Aggregate, key.clone());
                        batch.delete(Space::Directory, key.clone());
                        engine.commit(batch, Durability::Sync).unwrap();
                    } else {
                        flip(&engine, Space::Aggregate, key);
                    }
                }
                let repaired = store.repair().unwrap();
                let what = format!("{columns} columns, aggregate {number}, gone: {gone}");
                assert!(!repaired.findings.is_empty(), "{what}");
                assert_eq!(repaired.quarantined, [], "{what}");
                assert_eq!(repaired.left.findings, [], "{what}");
                assert_eq!(everything(&grid), everything(&sound), "{what}");
            }
        }
    }
}

/// A chunk of events that cannot be read is taken out: what is left is as if its events had never
/// been put.
#[test]
fn i7_repair_takes_out_events_that_are_lost() {
    for columns in [1, 3] {
        let count = {
            let engine: Arc<Memory> = Arc::default();
            eventful(&engine, columns);
            keys(&engine, Space::Base, 0).len()
        };
        for number in 0..count {
            let engine: Arc<Memory> = Arc::default();
            let (store, grid) = eventful(&engine, columns);
            // Two side by side, so that what is halved over them may fit one chunk.
            let lost: Vec<_> = keys(&engine, Space::Base, 0);
            let lost = &lost[number..(number + 2).min(count)];
            let before = grid.base_chunks().unwrap();
            lost.iter().for_each(|key| flip(&engine, Space::Base, key));
            let repaired = store.repair().unwrap();
            assert_eq!(repaired.left.findings, [], "chunk {number}");
            assert_eq!(repaired.quarantined.len(), lost.len());
            let (_, twin) = eventful(&Arc::default(), columns);
            let taken = repaired.quarantined.iter().map(|of| of.location);
            for at in taken {
                let chunk = before.iter().find(|chunk| chunk.location == at).unwrap();
                let place = grid.structure().chunk_window(&at);
                for tick in chunk.ticks.iter().flatten() {
                    let event = Window::new([*tick, place.start()[1]], [1, 4]);
                    twin.clear(&event).unwrap();
                }
            }
            twin.aggregate().unwrap();
            assert_eq!(everything(&grid), everything(&twin), "chunk {number}");
        }
    }
}

/// The bins of a bucket that cannot be read are made anew by who needs them.
#[test]
fn i7_bins_that_cannot_be_read_are_made_anew() {
    let engine: Arc<Memory> = Arc::default();
    let (_, grid) = eventful(&engine, 1);
    keys(&engine, Space::Aggregate, 1)
        .iter()
        .for_each(|key| flip(&engine, Space::Aggregate, key));
    // In another bucket of the same column, so that all above is computed again.
    let cells = Array2::from_elem((1, 4), 500.0_f32);
    grid.put_events(&[130], [0], &cells, Overlap::Merge)
        .unwrap();
    grid.aggregate().unwrap();
    assert_eq!(top(&grid, Aggregation::Max), 500.0);
}

/// A record of which a bit has flipped is read as it was written; a verification tells of it, and a
/// repair writes it anew.
#[test]
fn repair_writes_records_anew_of_which_a_bit_has_flipped() {
    let (engine, store, grid) = prepared(Policy::Manual);
    for space in [Space::Meta, Space::Feed] {
        let entries = || {
            engine
                .snapshot()
                .unwrap()
                .scan(space, &KeyRange::all(), Order::Ascending, usize::MAX)
                .unwrap()
                .entries
        };
        let whole = entries();
        assert!(!whole.is_empty(), "{space:?} has records");
        for (key, _) in &whole {
            flip(&engine, space, key);
            assert_eq!(top(&grid, Aggregation::Max), 1.0, "{key:?}");
            let repaired = store.repair().unwrap();
            let found: Vec<_> = repaired
                .findings
                .iter()
                .map(|finding| finding.damage)
                .collect();
            assert_eq!(
                (found.as_slice(), repaired.left.findings.as_slice()),
                ([Damage::Record].as_slice(), [].as_slice()),
                "{key:?}"
            );
            assert!(entries() == whole, "{key:?}");
        }
    }
}

/// A table of the directory is damaged, and a chunk too: all others are kept, and whoever has the
/// aggregators makes aggregates anew.
#[cfg(feature = "rocksdb")]
#[test]
fn salvage_keeps_what_lies_behind_a_chunk_that_cannot_be_read() {
    use std::collections::BTreeSet;
    use std::fs;

    let place = tempfile::tempdir().unwrap();
    let (path, target) = (place.path().join("store"), place.path().join("rescued"));
    let options = || {
        Store::options()
            .policy(Policy::Manual)
            .aggregator(Arc::new(crate::custom::Roughness))
    };
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 64), Axis::new("x", 0.0, 1.0, 64)],
    );
    let schema = Schema::builder(
        Structure::builder().dimension(space).build().unwrap(),
        DType::F32,
    );
    let store = options().open(&path).unwrap();
    let grid = store
        .create(
            "dem",
            schema
                .aggregator(Aggregation::Max)
                .custom(&crate::custom::Roughness)
                .build()
                .unwrap(),
        )
        .unwrap();
    // Chunks of 24 random bits a cell are in files of large values.
    let mut dice = crate::dice::Dice(1);
    let cells = Array2::from_shape_fn((512, 512), |_| (dice.next() >> 40) as f32);
    grid.put(&Window::new([0, 0], [512, 512]), &cells).unwrap();
    store.aggregate().unwrap();
    drop((grid, store));
    let files = |suffix: &str| {
        let names = fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        names
            .filter(|file| file.to_str().is_some_and(|name| name.ends_with(suffix)))
            .collect::<Vec<_>>()
    };
    for file in files(".blob") {
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        fs::write(&file, bytes).unwrap();
    }
    let store = options().open(&path).unwrap();
    let base = store
        .verify_to(Thoroughness::Quick)
        .unwrap()
        .findings
        .into_iter();
    let base = base.filter(|finding| finding.layer.as_deref() == Some("base"));
    let damaged: BTreeSet<_> = base.filter_map(|finding| finding.location).collect();
    assert!(!damaged.is_empty(), "a chunk is damaged");
    drop(store);
    let mut tried = 0;
    for table in files(".sst") {
        let whole = fs::read(&table).unwrap();
        let (mut bytes, at) = (whole.clone(), whole.len() / 4);
        bytes[at..at + 16].fill(0xa5);
        fs::write(&table, bytes).unwrap();
        let lost = Store::salvage(&path, &target).unwrap();
        fs::write(&table, whole).unwrap();
        if lost.iter().any(|lost| lost.space == Space::Directory) {
            let store = options()
                .create(false)
                .accept_data_loss(true)
                .open(&target)
                .unwrap();
            let repaired = store.repair().unwrap();
            assert_eq!(repaired.left.findings, []);
            assert_eq!(
                repaired
                    .quarantined
                    .iter()
                    .map(|chunk| chunk.location)
                    .collect::<BTreeSet<_>>(),
                damaged
            );
            let grid = store.grid("dem").unwrap();
            assert_eq!(grid.base_chunks().unwrap().len(), 64 - damaged.len());
            assert!(top(&grid, Aggregation::Max) > 0.0);
            tried += 1;
        }
        fs::remove_dir_all(&target).unwrap();
    }
    assert_eq!(tried, 1, "there is one table of the directory");
}
