//! Shards in buckets: one process a shard, readers that follow, a shard that moves.

use gridstone::federation::{Columns, Federation, Shards};
use gridstone::{
    Aggregation, Axis, DType, Dimension, ErrorKind, Freshness, Layer, Query, Schema, StoreOptions,
    Structure, Window,
};
use ndarray::Array1;
use std::time::Duration;

use crate::conformance::fresh_name;

fn quick() -> StoreOptions {
    StoreOptions::default()
        .flush_interval(Duration::from_millis(5))
        .age_max(Duration::from_millis(40))
}

#[test]
fn shards_in_buckets_have_a_writer_each_and_are_moved() {
    let place = |name: &str| format!("memory://{}-{name}", fresh_name());
    let (top, west, east, moved) = (place("top"), place("west"), place("east"), place("moved"));
    let x = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 16)]);
    let structure = Structure::builder().dimension(x).build().unwrap();
    let schema = Schema::builder(structure, DType::F32)
        .aggregator(Aggregation::Sum)
        .build()
        .unwrap();
    let shards = Shards::of("x", 2)
        .shard("west", west, [Columns::new([-4], [4])])
        .shard("east", east.clone(), [Columns::new([0], [4])]);
    let options = || Federation::options().store(quick());
    drop(options().create(&top, "a", schema, &shards).unwrap());
    let wests = options().only(["west"]).open(&top).unwrap();
    let easts = options().only(["east"]).open(&top).unwrap();
    let tops = options()
        .only::<String>([])
        .keeps_top(true)
        .open(&top)
        .unwrap();
    let ones = Array1::from_elem(100, 1.0_f32);
    wests.put(&Window::new([-150], [100]), &ones).unwrap();
    easts.put(&Window::new([50], [100]), &ones).unwrap();
    let over = wests.put(&Window::new([-50], [100]), &ones).unwrap_err();
    assert_eq!(over.kind(), &ErrorKind::Invalid);
    let coarse = Query::all()
        .level("x", 5)
        .layer(Layer::Aggregate(Aggregation::Sum));
    let sum = |federation: &Federation, query: &Query| {
        let answer = federation.grid().unwrap().read(query).ok()?;
        answer
            .stale
            .is_empty()
            .then(|| answer.values().flatten().sum::<f64>())
    };
    // Whoever reads is behind by a moment.
    let until = |federation: &Federation, query: &Query, wanted: f64| {
        let tries = (0..2000).any(|_| {
            let found = sum(federation, query) == Some(wanted);
            if !found {
                std::thread::sleep(Duration::from_millis(10));
            }
            found
        });
        assert!(tries, "{:?}, not {wanted}", sum(federation, query));
    };
    let fresh = coarse.clone().freshness(Freshness::Fresh);
    until(&tops, &fresh, 200.0);
    for federation in [&wests, &easts] {
        federation.catch_up().unwrap();
    }
    let reader = options().read_only().open(&top).unwrap();
    let caught_up = (0..2000).any(|_| {
        tops.catch_up().unwrap();
        std::thread::sleep(Duration::from_millis(10));
        sum(&reader, &coarse) == Some(200.0)
    });
    assert!(caught_up, "{:?}", sum(&reader, &coarse));
    drop((wests, easts, tops));
    // Who opens a shard for writing fences its writer; then it can be moved.
    let all = options().open(&top).unwrap();
    // Where another shard is, its writer is not fenced for it: what follows is put there too.
    let taken = all.move_shard("west", &east).unwrap_err();
    assert_eq!(taken.kind(), &ErrorKind::Invalid, "{taken:?}");
    all.move_shard("west", &moved).unwrap();
    all.put(&Window::new([-50], [100]), &ones).unwrap();
    all.catch_up().unwrap();
    assert_eq!(sum(&all, &coarse), Some(300.0));
    until(&reader, &fresh, 300.0);
}
