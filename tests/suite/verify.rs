//! Damage is planted behind the store's back, and the verifier must find it and say where.

use std::sync::Arc;

use gridstone::array::Cells;
use gridstone::codec::{BlobSpec, Codec, RawPlane, Settings, decode, encode};
use gridstone::kv::{Batch, Durability, Engine, KeyRange, Memory, Order, Space};
use gridstone::verify::{Damage, Finding};
use gridstone::{
    Aggregation, Axis, DType, Dimension, Grid, Policy, Schema, Store, Structure, Window,
};
use ndarray::Array2;

type Entries = Vec<(Vec<u8>, Vec<u8>)>;

fn entries(engine: &Memory, space: Space) -> Entries {
    engine
        .snapshot()
        .unwrap()
        .scan(space, &KeyRange::all(), Order::Ascending, usize::MAX)
        .unwrap()
        .entries
}

/// Where, under which key, and the value if it is not to be deleted.
type Change<'a> = (Space, &'a [u8], Option<&'a [u8]>);

/// Writes past the store.
fn tamper(engine: &Memory, writes: &[Change<'_>]) {
    let mut batch = Batch::at(engine.snapshot().unwrap().as_ref());
    for (space, key, value) in writes {
        match value {
            Some(value) => batch.put(*space, key.to_vec(), value.to_vec()),
            None => batch.delete(*space, key.to_vec()),
        }
    }
    engine.commit(batch, Durability::Sync).unwrap();
}

/// A clean store: `dem` has base chunks at levels 0 in two corners and aggregates above, `other`
/// some data too.
fn prepared() -> (Arc<Memory>, Store, Grid) {
    let engine: Arc<Memory> = Arc::default();
    let store = Store::options()
        .policy(Policy::Manual)
        .open_engine(engine.clone())
        .unwrap();
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
    );
    let structure = Structure::builder().dimension(space).build().unwrap();
    let schema = Schema::builder(structure, DType::F32)
        .aggregator(Aggregation::Max)
        .aggregator(Aggregation::Mean)
        .build()
        .unwrap();
    let other = store.create("other", schema.clone()).unwrap();
    let grid = store.create("dem", schema).unwrap();
    for grid in [&other, &grid] {
        grid.put(
            &Window::new([-5, -5], [9, 9]),
            &Array2::from_shape_fn((9, 9), |(y, x)| (y * 10 + x) as f32),
        )
        .unwrap();
        grid.put(
            &Window::new([20, 20], [4, 4]),
            &Array2::from_elem((4, 4), 5.0_f32),
        )
        .unwrap();
        grid.aggregate().unwrap();
    }
    assert_eq!(store.verify().unwrap().findings, []);
    (engine, store, grid)
}

/// The keys of the grid that was made second.
fn of_dem(entries: Entries) -> Entries {
    let last = entries.last().unwrap().0[..4].to_vec();
    entries
        .into_iter()
        .filter(|(key, _)| key.starts_with(&last))
        .collect()
}

/// What the verifier finds, in its order.
fn damages(store: &Store) -> Vec<Damage> {
    let findings = store.verify().unwrap().findings;
    findings.iter().map(|finding| finding.damage).collect()
}

/// Every finding is of the grid, and one at least is of this kind and names a place.
fn finds(store: &Store, damage: Damage) -> Vec<Finding> {
    let findings = store.verify().unwrap().findings;
    let found = findings
        .iter()
        .any(|finding| finding.damage == damage && finding.message.contains("chunk ["));
    assert!(
        found,
        "{damage:?} is not found with its place: {findings:?}"
    );
    for finding in &findings {
        assert_eq!(finding.grid.as_deref(), Some("dem"), "{finding}");
        assert!(finding.message.contains("grid `dem`"), "{finding}");
    }
    findings
}

#[test]
fn verify_finds_an_aggregate_that_was_encoded_anew_with_one_wrong_cell() {
    for (layer, dtypes, shape) in [
        (1, [DType::F32, DType::U8], [4_usize, 4]),
        (2, [DType::F32, DType::F64], [4, 4]),
    ] {
        let (engine, store, _) = prepared();
        let aggregates = of_dem(entries(&engine, Space::Aggregate));
        let (key, blob) = aggregates
            .into_iter()
            .rfind(|(key, _)| key[4] == layer)
            .unwrap();
        let mut planes = decode(&key, &blob, &BlobSpec::new(&shape, &dtypes, 1).unwrap()).unwrap();
        let cells: &mut Vec<f32> = planes[0].as_mut().unwrap();
        let wrong = cells.iter_mut().find(|cell| !cell.is_nan()).unwrap();
        *wrong = wrong.next_up();
        let planes: Vec<RawPlane<'_>> = planes
            .iter()
            .map(|cells: &Cells| {
                RawPlane::new(
                    cells,
                    gridstone::codec::Filter::default_for(cells.dtype()),
                    f64::NAN,
                )
            })
            .collect();
        let settings = Settings {
            codec: Codec::Fast,
            level: 1,
        };
        let blob = encode(&key, &planes, &shape, settings, None);
        let mut entry = u32::try_from(blob.len()).unwrap().to_be_bytes().to_vec();
        entry.extend(gridstone::codec::checksum_of(&blob).unwrap().to_be_bytes());
        tamper(
            &engine,
            &[
                (Space::Aggregate, &key, Some(&blob)),
                (Space::Directory, &key, Some(&entry)),
            ],
        );
        let findings = finds(&store, Damage::Wrong);
        assert!(
            findings
                .iter()
                .all(|finding| finding.damage == Damage::Wrong),
            "{findings:?}"
        );
    }
}

#[test]
fn i5_verify_finds_each_mark_that_is_missing() {
    let (engine, store, grid) = prepared();
    grid.put(
        &Window::new([-1, -1], [2, 2]),
        &Array2::from_elem((2, 2), 99.0_f32),
    )
    .unwrap();
    grid.put(
        &Window::new([9, 9], [1, 1]),
        &Array2::from_elem((1, 1), 99.0_f32),
    )
    .unwrap();
    assert_eq!(store.verify().unwrap().findings, [], "marked");
    let marks = of_dem(entries(&engine, Space::Dirty));
    assert_eq!(marks.len(), 5);
    for (key, value) in &marks {
        tamper(&engine, &[(Space::Dirty, key, None)]);
        let findings = store.verify().unwrap().findings;
        let known = [Damage::Wrong, Damage::Missing];
        assert!(
            findings
                .iter()
                .any(|finding| known.contains(&finding.damage)),
            "{key:?}: {findings:?}"
        );
        assert!(
            findings
                .iter()
                .all(|finding| finding.message.contains("grid `dem`")
                    && finding.message.contains("chunk ["))
        );
        tamper(&engine, &[(Space::Dirty, key, Some(value))]);
        assert_eq!(store.verify().unwrap().findings, []);
    }
}

#[test]
fn verify_finds_swapped_blobs() {
    for space in [Space::Base, Space::Aggregate] {
        let (engine, store, grid) = prepared();
        let blobs = of_dem(entries(&engine, space));
        let ((a, at_a), (b, at_b)) = (&blobs[0], &blobs[1]);
        let lengths = of_dem(entries(&engine, Space::Directory));
        let length = |key: &Vec<u8>| lengths.iter().find(|(k, _)| k == key).unwrap().1.clone();
        tamper(
            &engine,
            &[
                (space, a, Some(at_b)),
                (space, b, Some(at_a)),
                (Space::Directory, a, Some(&length(b))),
                (Space::Directory, b, Some(&length(a))),
            ],
        );
        let findings = finds(&store, Damage::Chunk);
        assert!(findings.len() >= 2, "both: {findings:?}");
        if space == Space::Base {
            let error = grid.read(&gridstone::Query::all()).unwrap_err();
            assert_eq!(error.kind(), &gridstone::ErrorKind::Corrupt);
            assert!(
                error.to_string().contains("grid `dem`") && error.to_string().contains("chunk ["),
                "{error}"
            );
        }
    }
}

#[test]
fn i7_verify_finds_an_aggregate_that_is_missing_in_all_layers() {
    let (engine, store, _) = prepared();
    let aggregates = of_dem(entries(&engine, Space::Aggregate));
    for (key, _) in aggregates.iter().filter(|(key, _)| key[4] == 1) {
        let mut second = key.clone();
        second[4] = 2;
        let keys = [key.as_slice(), &second];
        let blobs = keys.map(|key| aggregates.iter().find(|(k, _)| k == key).unwrap().1.clone());
        let lengths = keys.map(|key| {
            entries(&engine, Space::Directory)
                .into_iter()
                .find(|(k, _)| k == key)
                .unwrap()
                .1
        });
        for key in keys {
            tamper(
                &engine,
                &[(Space::Aggregate, key, None), (Space::Directory, key, None)],
            );
        }
        finds(&store, Damage::Missing);
        for (i, key) in keys.iter().enumerate() {
            tamper(
                &engine,
                &[
                    (Space::Aggregate, key, Some(&blobs[i])),
                    (Space::Directory, key, Some(&lengths[i])),
                ],
            );
        }
    }
    assert_eq!(store.verify().unwrap().findings, []);
}

#[test]
fn verify_finds_a_layer_that_is_missing_where_another_is_there() {
    for layer in [1, 2] {
        let (engine, store, _) = prepared();
        let aggregates = of_dem(entries(&engine, Space::Aggregate));
        let (key, _) = aggregates.iter().find(|(key, _)| key[4] == layer).unwrap();
        tamper(
            &engine,
            &[(Space::Aggregate, key, None), (Space::Directory, key, None)],
        );
        let findings = store.verify().unwrap().findings;
        assert!(
            findings
                .iter()
                .any(|finding| finding.message.contains("chunk [")),
            "layer {layer}: {findings:?}"
        );
    }
}

#[test]
fn verify_finds_each_directory_entry_that_is_missing_wrong_or_of_nothing() {
    let (engine, store, _) = prepared();
    for (key, length) in of_dem(entries(&engine, Space::Directory)) {
        let (mut other, mut another) = (length.clone(), length.clone());
        other[3] ^= 1;
        another[11] ^= 1;
        for value in [None, Some(other.as_slice()), Some(another.as_slice())] {
            tamper(&engine, &[(Space::Directory, &key, value)]);
            finds(&store, Damage::Directory);
        }
        tamper(&engine, &[(Space::Directory, &key, Some(&length))]);
        let space = if key[4] == 0 {
            Space::Base
        } else {
            Space::Aggregate
        };
        let blob = entries(&engine, space)
            .into_iter()
            .find(|(k, _)| *k == key)
            .unwrap()
            .1;
        tamper(&engine, &[(space, &key, None)]);
        finds(&store, Damage::Directory);
        tamper(&engine, &[(space, &key, Some(&blob))]);
    }
    assert_eq!(store.verify().unwrap().findings, []);
}

#[test]
fn i8_verify_finds_an_aggregate_without_data_under_it() {
    let (engine, store, _) = prepared();
    // The last base chunk along the curve is the lone one.
    let base = of_dem(entries(&engine, Space::Base));
    let (key, _) = base.last().unwrap();
    tamper(
        &engine,
        &[(Space::Base, key, None), (Space::Directory, key, None)],
    );
    finds(&store, Damage::Stray);
}

#[test]
fn verify_finds_a_flipped_bit_in_each_blob() {
    let (engine, store, _) = prepared();
    for space in [Space::Base, Space::Aggregate] {
        for (number, (key, blob)) in of_dem(entries(&engine, space)).into_iter().enumerate() {
            let mut flipped = blob.clone();
            let at = number * 7 % blob.len();
            flipped[at] ^= 1 << (number % 8);
            tamper(&engine, &[(space, &key, Some(&flipped))]);
            finds(&store, Damage::Chunk);
            tamper(&engine, &[(space, &key, Some(&blob))]);
        }
    }
}

#[test]
fn verify_finds_damaged_records_marks_and_keys_of_no_grid() {
    let (engine, store, _) = prepared();
    for (key, record) in entries(&engine, Space::Meta) {
        if [b"bounds".as_slice(), b"reach", b"schema", b"feed"]
            .iter()
            .any(|name| key.starts_with(name))
        {
            let mut damaged = record.clone();
            *damaged.last_mut().unwrap() ^= 0x10;
            tamper(&engine, &[(Space::Meta, &key, Some(&damaged))]);
            let findings = store.verify().unwrap().findings;
            let key_text = String::from_utf8_lossy(&key);
            assert!(
                findings
                    .iter()
                    .any(|f| f.damage == Damage::Record && f.message.contains("grid `")),
                "{key_text}: {findings:?}"
            );
            tamper(&engine, &[(Space::Meta, &key, Some(&record))]);
        }
    }
    let (dem, _) = of_dem(entries(&engine, Space::Directory)).remove(0);
    let stranger = [&[0, 0, 0, 99], &dem[4..]].concat();
    tamper(&engine, &[(Space::Base, &stranger, Some(b"?"))]);
    assert_eq!(damages(&store), [Damage::Key]);
    tamper(
        &engine,
        &[
            (Space::Base, &stranger, None),
            (Space::Dirty, &dem, Some(b"")),
        ],
    );
    assert_eq!(damages(&store), [Damage::Mark]);
}

#[test]
fn verify_finds_a_feed_entry_that_is_damaged_lost_or_of_no_grid() {
    let engine: Arc<Memory> = Arc::default();
    let store = Store::options()
        .changes_kept(300)
        .open_engine(engine.clone())
        .unwrap();
    let x = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 4)]);
    let schema = Schema::builder(
        Structure::builder().dimension(x).build().unwrap(),
        DType::U8,
    )
    .build()
    .unwrap();
    let grid = store.create("dem", schema).unwrap();
    for _ in 0..600 {
        grid.put(&Window::new([0], [1]), &ndarray::arr1(&[1_u8]))
            .unwrap();
    }
    let feed = entries(&engine, Space::Feed);
    assert!(feed.len() < 600, "the oldest are gone");
    assert_eq!(store.verify().unwrap().findings, []);
    let (key, value) = &feed[0];
    let mut damaged = value.clone();
    *damaged.last_mut().unwrap() ^= 1;
    for value in [None, Some(damaged.as_slice())] {
        tamper(&engine, &[(Space::Feed, key, value)]);
        let findings = store.verify().unwrap().findings;
        assert!(
            findings
                .iter()
                .all(|f| f.damage == Damage::Record && f.message.contains("grid `dem`")),
            "{findings:?}"
        );
        assert_eq!(findings.len(), 1);
    }
    let stranger = [&[0, 0, 0, 99], &key[4..]].concat();
    tamper(
        &engine,
        &[
            (Space::Feed, key, Some(value)),
            (Space::Feed, &stranger, Some(value)),
        ],
    );
    assert_eq!(damages(&store), [Damage::Key]);
    let older = [&key[..4], &[0; 8]].concat();
    tamper(
        &engine,
        &[
            (Space::Feed, &stranger, None),
            (Space::Feed, &older, Some(value)),
        ],
    );
    assert_eq!(damages(&store), [Damage::Record]);
}
