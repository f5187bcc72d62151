//! Events at exact ticks: what a grid of them must answer, after any history, and what the shape of
//! a history must not change.

mod crash;
mod events;
mod model;
mod statistics;

use std::sync::Arc;

use gridstone::kv::{Engine, Memory};
use gridstone::{
    Aggregation, Axis, DType, Dimension, ErrorKind, Freshness, Layer, Level, Levels, Moment,
    Overlap, Policy, Query, Schema, SeriesQuery, Steps, Structure, Window,
};
use proptest::prelude::*;

use crate::check::{self, Dice, open};

pub fn plain(capacity: u32, spacing: u64) -> Schema {
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
    );
    let time = Dimension::irregular("time", "seconds since 1970-01-01", capacity, spacing);
    let structure = Structure::builder()
        .dimension(time)
        .dimension(space)
        .build()
        .unwrap();
    let schema = Schema::builder(structure, DType::F32);
    schema
        .aggregator(Aggregation::Mean)
        .aggregator(Aggregation::Last {
            dimension: "time".to_owned(),
        })
        .build()
        .unwrap()
}

fn field(seed: i64) -> ndarray::Array3<f32> {
    ndarray::Array3::from_shape_fn((1, 6, 7), |(_, y, x)| {
        let value = seed.rem_euclid(97) as f32 + y as f32 * 0.5 - x as f32;
        if (y + x) % 5 == usize::try_from(seed.rem_euclid(5)).unwrap() {
            f32::NAN
        } else {
            value
        }
    })
}

/// Where a chunk is, its aggregator, the checksum of its cells, and its ticks.
type Chunk = (
    gridstone::grid::Location,
    Option<Aggregation>,
    u64,
    Option<Vec<i64>>,
);

proptest! {
    #![proptest_config(ProptestConfig { cases: check::cases(60), ..ProptestConfig::default() })]

    /// In whichever order events come, one by one or several at once, with aggregation in between,
    /// and those removed that were only there for a while: every stored byte is the same.
    #[test]
    fn i7_what_is_stored_does_not_depend_on_the_order_of_events(
        ticks in proptest::collection::btree_set(prop_oneof![-60..60_i64, -5000..5000_i64, any::<i64>().prop_map(|t| t >> 20)], 1..24),
        strangers in proptest::collection::btree_set(-70..70_i64, 0..8),
        seeds in proptest::collection::vec(any::<u64>(), 2..4),
        capacity in prop_oneof![Just(2_u32), Just(4), Just(16)],
        spacing in prop_oneof![Just(1_u64), Just(7), Just(300)],
    ) {
        let mut first: Option<Vec<Chunk>> = None;
        for seed in seeds {
            let mut dice = Dice(seed);
            let policy = if dice.chance(50) { Policy::Inline } else { Policy::Manual };
            let store = open(&Arc::new(Memory::new()), policy);
            let grid = store.create("events", plain(capacity, spacing)).unwrap();
            let strangers: Vec<i64> = strangers.difference(&ticks).copied().collect();
            let mut left: Vec<i64> = ticks.iter().chain(&strangers).copied().collect();
            while !left.is_empty() {
                let count = usize::try_from(dice.range(1, 4)).unwrap().min(left.len());
                let some: Vec<i64> =
                    (0..count).map(|_| left.swap_remove(usize::try_from(dice.range(0, left.len() as i64 - 1)).unwrap())).collect();
                let fields: Vec<_> = some.iter().map(|tick| field(*tick)).collect();
                let views: Vec<_> = fields.iter().map(|field| field.view()).collect();
                grid.put_events(&some, [-2, 3], &ndarray::concatenate(ndarray::Axis(0), &views).unwrap(), Overlap::Refuse).unwrap();
                if dice.chance(20) {
                    grid.aggregate().unwrap();
                }
            }
            for tick in strangers {
                grid.clear(&Window::new([tick, -100, -100], [1, 300, 300])).unwrap();
            }
            grid.clean().unwrap();
            grid.aggregate().unwrap();
            let stored = grid.stored_chunks().unwrap().into_iter();
            let stored: Vec<_> = stored.map(|chunk| (chunk.location, chunk.aggregator, chunk.checksum, chunk.ticks)).collect();
            match &first {
                None => first = Some(stored),
                Some(first) => prop_assert_eq!(first, &stored),
            }
        }
    }
}

/// The ticks of an event are covered by the checksum of its chunk.
#[test]
fn i2_ticks_that_are_not_those_a_chunk_was_written_with_are_damage() {
    let engine = Arc::new(Memory::new());
    let store = open(&engine, Policy::Inline);
    let grid = store.create("events", plain(4, 60)).unwrap();
    grid.put_events(
        &[100, 130],
        [0, 0],
        &ndarray::Array3::from_elem((2, 4, 4), 1.0_f32),
        Overlap::Merge,
    )
    .unwrap();
    let snapshot = engine.snapshot().unwrap();
    let entries = snapshot
        .scan(
            gridstone::kv::Space::Directory,
            &gridstone::kv::KeyRange::all(),
            gridstone::kv::Order::Ascending,
            99,
        )
        .unwrap();
    for (key, value) in entries.entries {
        // The lowest byte of the first tick, which stands behind 12 bytes of length and checksum.
        if value.len() > 20 {
            let mut other = value.clone();
            other[19] ^= 1;
            let mut batch = gridstone::kv::Batch::at(snapshot.as_ref());
            batch.put(gridstone::kv::Space::Directory, key, other);
            engine
                .commit(batch, gridstone::kv::Durability::Sync)
                .unwrap();
        }
    }
    let error = grid.read(&Query::all()).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().contains("grid `events`")),
        (&ErrorKind::Corrupt, true),
        "{error}"
    );
    assert!(!store.verify().unwrap().findings.is_empty());
}

#[test]
fn an_event_lies_between_two_others_on_a_straight_line() {
    let store = open(&Arc::new(Memory::new()), Policy::Inline);
    let grid = store.create("events", plain(4, 60)).unwrap();
    let array = ndarray::arr3(&[[[0.0_f32, f32::NAN, 8.0]], [[10.0, 5.0, 4.0]]]);
    grid.put_events(&[1_000, 1_100], [0, 0], &array, Overlap::Merge)
        .unwrap();
    let read = |query: Query| {
        grid.read(&query)
            .map(|answer| answer.array.iter_f64().collect::<Vec<_>>())
    };
    let got = read(Query::all().moment(1_025, Moment::Linear)).unwrap();
    assert_eq!((got[0], got[1].is_nan(), got[2]), (2.5, true, 7.0));
    assert_eq!(
        read(Query::all().moment(1_100, Moment::Linear)).unwrap(),
        [10.0, 5.0, 4.0]
    );
    for outside in [999, 1_101] {
        let error = read(Query::all().moment(outside, Moment::Linear)).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::NotFound);
        assert!(error.to_string().contains("`time`"), "{error}");
    }
    let error = read(Query::all().moment(1_025, Moment::Linear).within(50)).unwrap_err();
    assert!(
        error.to_string().contains("1970-01-01T00:17:05Z") && error.to_string().contains("nearest"),
        "{error}"
    );
}

#[test]
fn what_does_not_fit_events_is_refused_and_nothing_changes() {
    let store = open(&Arc::new(Memory::new()), Policy::Inline);
    let grid = store.create("events", plain(4, 60)).unwrap();
    let one = ndarray::Array3::from_elem((1, 2, 2), 1.0_f32);
    let two = ndarray::Array3::from_elem((2, 2, 2), 1.0_f32);
    let refused = |ticks: &[i64], array: &ndarray::Array3<f32>, words: &[&str]| {
        let error = grid
            .put_events(ticks, [0, 0], array, Overlap::Merge)
            .unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Invalid);
        words
            .iter()
            .for_each(|word| assert!(error.to_string().contains(word), "{error} has not {word}"));
    };
    refused(
        &[],
        &ndarray::Array3::zeros((0, 2, 2)),
        &["grid `events`", "`time`"],
    );
    refused(&[5, 5], &two, &["`time`", "twice", "1970-01-01T00:00:05Z"]);
    refused(&[5], &two, &["1 ticks", "2 events"]);
    refused(&[i64::MAX], &one, &["`time`"]);
    refused(&[i64::MIN], &one, &["grid `events`"]);
    let coarse =
        Window::new([0, 0, 0], [1, 2, 2]).at(Levels::zero(2).with(0, Level::new(3).unwrap()));
    let error = grid.put(&coarse, &one).unwrap_err();
    assert_eq!(
        error.kind(),
        &ErrorKind::AggregatedLevel {
            dimension: "time".to_owned()
        }
    );
    assert_eq!(grid.bounds().unwrap(), None);
    grid.put_events(&[7], [0, 0], &one, Overlap::Merge).unwrap();
    let error = grid
        .put_events(&[6, 7], [1, 1], &two, Overlap::Refuse)
        .unwrap_err();
    assert!(
        error.to_string().contains("data in its window already"),
        "{error}"
    );
    assert_eq!(grid.events(&Query::all()).unwrap(), [7]);
    let regular = Schema::builder(
        Structure::builder()
            .dimension(Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 4)]))
            .build()
            .unwrap(),
        DType::F32,
    );
    let regular = store.create("regular", regular.build().unwrap()).unwrap();
    regular
        .put(&Window::new([0], [4]), &ndarray::arr1(&[1.0_f32; 4]))
        .unwrap();
    for query in [
        Query::all().latest(),
        Query::all().every(60, 0),
        Query::all().ticks(0..9),
        Query::all().within(3),
    ] {
        let error = regular.read(&query).unwrap_err();
        assert!(
            error.to_string().contains("no irregular dimension"),
            "{error}"
        );
    }
}

/// A version is the same while the answer is, and another when events or cells of it change.
#[test]
fn a_version_changes_with_the_events_of_its_query() {
    for (policy, freshness) in [
        (Policy::Inline, Freshness::Stored),
        (Policy::Manual, Freshness::Fresh),
    ] {
        let store = open(&Arc::new(Memory::new()), policy);
        let grid = store.create("events", plain(2, 10)).unwrap();
        for tick in [0, 10, 25, 26, 27, 400] {
            grid.put_events(&[tick], [0, 0], &field(tick), Overlap::Merge)
                .unwrap();
        }
        let coarse = Levels::zero(2)
            .with(0, Level::new(6).unwrap())
            .with(1, Level::new(1).unwrap());
        let mean = Layer::Aggregate(Aggregation::Mean);
        let here = || Query::window(Window::new([0, 0, 0], [64, 6, 7]));
        let queries = [
            here().ticks(0..30),
            here()
                .levels(Levels::zero(2).with(1, Level::new(1).unwrap()))
                .ticks(0..30),
            here().levels(coarse).ticks(0..64),
            here().layer(mean).every(20, 0).ticks(0..30),
            here().moment(26, Moment::Nearest),
        ];
        for query in queries {
            let query = query.freshness(freshness);
            let (before, answer) = (grid.version(&query).unwrap(), grid.read(&query).unwrap());
            grid.put_events(&[9_000], [40, 40], &field(3), Overlap::Merge)
                .unwrap();
            grid.put_events(&[26], [0, 0], &field(26), Overlap::Merge)
                .unwrap();
            assert_eq!(
                grid.version(&query).unwrap(),
                before,
                "{query:?}: nothing of it has changed"
            );
            grid.put_events(&[26], [0, 0], &(field(26) + 1.0), Overlap::Merge)
                .unwrap();
            assert_ne!(grid.version(&query).unwrap(), before, "{query:?}");
            assert_ne!(grid.read(&query).unwrap().array, answer.array);
            grid.put_events(&[26], [0, 0], &field(26), Overlap::Merge)
                .unwrap();
            assert_eq!(
                grid.version(&query).unwrap(),
                before,
                "{query:?}: it is what it was"
            );
        }
    }
}

/// One read a chunk, whatever the number of events.
#[test]
fn a_series_is_what_reads_of_its_cells_give() {
    let store = open(&Arc::new(Memory::new()), Policy::Inline);
    let grid = store.create("events", plain(4, 10)).unwrap();
    for tick in (0..40).map(|i| i * i) {
        grid.put_events(&[tick], [0, 0], &field(tick), Overlap::Merge)
            .unwrap();
    }
    let bits = |value: f64| if value.is_nan() { 0 } else { value.to_bits() };
    let series = |query: SeriesQuery| {
        let series = grid.series(&query).unwrap();
        (
            series.coordinates.unwrap().ticks,
            series.array.iter_f64().map(bits).collect::<Vec<_>>(),
            series.levels,
            series.chunks_read,
        )
    };
    let cells = || SeriesQuery::at([-0.5, 0.5]).and([-5.5, 6.5]);
    let (ticks, values, ..) = series(cells());
    assert_eq!(ticks, (0..40).map(|i| i * i).collect::<Vec<_>>());
    let want = |(y, x): (usize, usize)| {
        ticks
            .iter()
            .map(move |tick| bits(f64::from(field(*tick)[[0, y, x]])))
    };
    assert_eq!(values, want((0, 0)).chain(want((5, 6))).collect::<Vec<_>>());
    let (ticks, ..) = series(cells().steps(Steps::all().ticks(4..50)));
    assert_eq!(ticks, [4, 9, 16, 25, 36, 49]);
    let (ticks, ..) = series(cells().steps(Steps::all().range(3.5, 49.0)));
    assert_eq!(ticks, [4, 9, 16, 25, 36]);
    let (ticks, values, levels, _) = series(cells().steps(Steps::all().points(7)));
    assert!(
        ticks.len() <= 7 && levels[0].get() > 0,
        "{ticks:?} at {levels:?}"
    );
    let answer = grid
        .read(&Query::window(Window::new([0, 0, 0], [1600, 1, 1])).levels(levels))
        .unwrap();
    assert_eq!(
        answer.array.iter_f64().map(bits).collect::<Vec<_>>(),
        values[..ticks.len()]
    );
    let (ticks, ..) = series(
        cells()
            .layer(Layer::Aggregate(Aggregation::Mean))
            .steps(Steps::all().every(500, 0)),
    );
    assert_eq!(ticks, [0, 500, 1000, 1500]);
    let far = grid
        .series(&cells().steps(Steps::all().ticks(100..101)))
        .unwrap();
    assert!(
        far.chunks_read <= 2,
        "{} chunks for one event of two cells",
        far.chunks_read
    );
}

/// Sensors in one chunk of space, and in the one beside it, that share no ticks.
fn sensors(chunk: u32) -> gridstone::Grid {
    let time = Dimension::irregular("time", "seconds since 1970-01-01", 4, 60);
    let space = Dimension::regular(
        "space",
        [
            Axis::new("y", 0.0, -1.0, chunk),
            Axis::new("x", 0.0, 1.0, chunk),
        ],
    );
    let schema = Schema::builder(
        Structure::builder()
            .dimension(time)
            .dimension(space)
            .build()
            .unwrap(),
        DType::F32,
    );
    let store = open(&Arc::new(Memory::new()), Policy::Inline);
    let grid = store
        .create(
            "sensors",
            schema.aggregator(Aggregation::Mean).build().unwrap(),
        )
        .unwrap();
    for (tick, y, x, value) in [
        (100, 0, 0, 7.0),
        (160, 3, 3, 1.0),
        (220, 0, 4, 2.0),
        (40, 0, 0, 6.0),
        (300, 1, 1, f32::NAN),
    ] {
        grid.put_events(
            &[tick],
            [y, x],
            &ndarray::Array3::from_elem((1, 1, 1), value),
            Overlap::Merge,
        )
        .unwrap();
    }
    grid
}

#[test]
fn the_event_that_stands_for_a_place_holds_data_in_it() {
    for chunk in [2, 4, 8] {
        let grid = sensors(chunk);
        let at = |query: Query| {
            grid.read(&query).map(|answer| {
                (
                    answer.coordinates.unwrap().ticks,
                    answer.array.iter_f64().collect::<Vec<_>>(),
                )
            })
        };
        let cell = |y: i64, x: i64| Query::window(Window::new([0, y, x], [400, 1, 1]));
        assert_eq!(
            at(cell(0, 0).latest()).unwrap(),
            (vec![100], vec![7.0]),
            "chunks of {chunk}"
        );
        assert_eq!(at(cell(3, 3).latest()).unwrap(), (vec![160], vec![1.0]));
        assert_eq!(at(cell(0, 4).latest()).unwrap(), (vec![220], vec![2.0]));
        assert_eq!(
            at(cell(0, 0).moment(150, Moment::Nearest)).unwrap(),
            (vec![100], vec![7.0])
        );
        assert_eq!(
            at(cell(0, 0).moment(90, Moment::Previous)).unwrap(),
            (vec![40], vec![6.0])
        );
        assert_eq!(
            at(cell(0, 0).moment(70, Moment::Linear)).unwrap(),
            (vec![70], vec![6.5]),
            "between its own"
        );
        for none in [
            cell(0, 0).moment(101, Moment::Next),
            cell(1, 1).latest(),
            cell(2, 2).latest(),
        ] {
            assert_eq!(at(none).unwrap_err().kind(), &ErrorKind::NotFound);
        }
        // The same cells asked for by their number, whatever is read around them.
        let extent = gridstone::Extent::new([(0.0, 400.0), (-4.0, 0.0), (0.0, 4.0)]);
        for query in [
            Query::extent(extent.clone()),
            Query::extent(extent.clone()).shape([1, 4, 4]),
            Query::extent(extent).resolution([1.0, 1.0, 1.0]),
        ] {
            assert_eq!(
                at(query.clone().latest()).unwrap().0,
                [160],
                "chunks of {chunk}: {query:?}"
            );
            assert_eq!(at(query.moment(230, Moment::Nearest)).unwrap().0, [160]);
        }
        if chunk > 2 {
            // All of it lies in one chunk, which has no level above.
            continue;
        }
        let coarse = Levels::zero(2).with(1, Level::new(1).unwrap());
        let place = Query::window(Window::new([0, 0, 0], [400, 2, 2])).levels(coarse);
        assert_eq!(
            at(place.latest()).unwrap(),
            (vec![100], vec![7.0]),
            "of a cell above"
        );
    }
}
