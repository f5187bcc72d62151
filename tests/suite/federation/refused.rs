//! What is refused, by name, and what goes on beside it.

use std::sync::Arc;

use gridstone::federation::{Columns, Federation, Shards};
use gridstone::kv::Engine;
use gridstone::verify::Thoroughness;
use gridstone::{
    Aggregation, DType, Dimension, Error, ErrorKind, Freshness, Layer, Overlap, Policy, Query,
    Schema, Store, Window,
};
use ndarray::{Array1, Array2};

use super::{Engines, line, space};
use crate::check::structure;

fn schema(dimensions: impl IntoIterator<Item = Dimension>) -> Schema {
    Schema::builder(structure(dimensions), DType::F32)
        .aggregator(Aggregation::Max)
        .build()
        .unwrap()
}

/// Columns of 8 cells along x, two of either shard: from -20 to -4, and from -4 to 12.
fn halves() -> Shards {
    Shards::of("x", 1)
        .shard("west", "place/west", [Columns::new([-2], [2])])
        .shard("east", "place/east", [Columns::new([0], [2])])
}

fn made(engines: &Engines) -> Federation {
    engines
        .options(Policy::Inline)
        .create("top", "a", schema([line("x", 4)]), &halves())
        .unwrap()
}

fn said(error: &Error) -> String {
    let mut said = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        said = format!("{said}: {inner}");
        cause = inner.source();
    }
    said
}

#[test]
fn columns_that_two_shards_have_or_none_are_named() {
    let of = |shards: Shards, dimensions: Vec<Dimension>| {
        let made = Engines::default().options(Policy::Inline).create(
            "top",
            "a",
            schema(dimensions),
            &shards,
        );
        let error = made.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Invalid, "{error:?}");
        said(&error)
    };
    let one = |first: i64, count: u64| [Columns::new([first], [count])];
    let x = || vec![line("x", 4)];
    let both = Shards::of("x", 1)
        .shard("a", "1", one(0, 3))
        .shard("b", "2", one(2, 2));
    assert!(of(both, x()).contains("shards `a` and `b` both have columns"));
    let gap = Shards::of("x", 1)
        .shard("a", "1", one(0, 2))
        .shard("b", "2", one(5, 2));
    let said = of(gap, x());
    assert!(
        said.contains("no shard has the columns") && said.contains("[2]"),
        "{said}"
    );
    let corner = Shards::of("space", 1)
        .shard("a", "1", [Columns::new([0, 0], [2, 1])])
        .shard("b", "2", [Columns::new([0, 1], [1, 1])]);
    let said = of(corner, vec![space()]);
    assert!(said.contains("[1, 1]"), "{said}");
    let none = Shards::of("x", 1).shard("a", "1", Vec::<Columns>::new());
    assert!(of(none, x()).contains("shard `a` has no columns"));
    let twice = Shards::of("x", 1)
        .shard("a", "1", one(0, 1))
        .shard("a", "2", one(1, 1));
    assert!(of(twice, x()).contains("two shards are named `a`"));
    let axes = Shards::of("space", 1).shard("a", "1", one(0, 1));
    assert!(of(axes, vec![space()]).contains("do not fit the 2 axes"));
    let many = Shards::of("x", 1).shard("a", "1", one(0, 1 << 20));
    assert!(of(many, x()).contains("at a coarser level"));
    assert!(of(Shards::of("x", 1), x()).contains("at least one shard"));
    let bands = Dimension::fixed("band", ["a", "b"]);
    let labels = Shards::of("band", 0).shard("a", "1", one(0, 2));
    assert!(of(labels, vec![bands, line("x", 4)]).contains("dimension `band` cannot be divided"));
    let time = Dimension::irregular("time", "seconds since 1970-01-01", 2, 10);
    let events = Shards::of("time", 0).shard("a", "1", one(0, 2));
    assert!(of(events, vec![time, line("x", 4)]).contains("dimension `time` cannot be divided"));
}

#[test]
fn a_put_where_no_shard_is_changes_nothing() {
    let federation = made(&Engines::default());
    let ones = |cells: usize| Array1::from_elem(cells, 1.0_f32);
    let error = federation
        .put(&Window::new([4], [20]), &ones(20))
        .unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Invalid);
    let text = said(&error);
    assert!(
        text.contains("no shard owns the cells from") && text.contains("`x`"),
        "{text}"
    );
    let coarse = Window::new([0], [2]).at([2].try_into().unwrap());
    let error = federation.put(&coarse, &ones(2)).unwrap_err();
    assert!(
        said(&error).contains("coarser than the columns"),
        "{error:?}"
    );
    let error = federation
        .put(&Window::new([0], [3]), &ones(2))
        .unwrap_err();
    assert!(said(&error).contains("does not fit"), "{error:?}");
    assert_eq!(federation.grid().unwrap().bounds().unwrap(), None);
    // Where nobody is nothing is, too.
    assert_eq!(federation.clear(&Window::new([500], [9])).unwrap(), []);
}

#[test]
fn what_one_shard_refuses_changes_no_other() {
    let federation = made(&Engines::default());
    let ones = |cells: usize| Array1::from_elem(cells, 1.0_f32);
    federation.put(&Window::new([2], [1]), &ones(1)).unwrap();
    let over = federation.put_over(&Window::new([-8], [16]), &ones(16), Overlap::Refuse);
    let error = over.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Invalid);
    assert!(said(&error).contains("shard `east` refuses"), "{error:?}");
    let grid = federation.grid().unwrap();
    assert_eq!(grid.bounds().unwrap().unwrap().start()[0], 2);
}

#[test]
fn a_shard_that_is_not_open_is_named_and_the_others_are_read() {
    let engines = Engines::default();
    let federation = made(&engines);
    let all = Window::new([-20], [32]);
    let values = Array1::from_shape_fn(32, |cell| cell as f32);
    federation.put(&all, &values).unwrap();
    federation.catch_up().unwrap();
    let layer = Layer::Aggregate(Aggregation::Max);
    let coarse = Query::all().level("x", 3).layer(layer);
    let before = federation.grid().unwrap().read(&coarse).unwrap();
    drop(federation);
    let failing = engines.clone();
    let federation = Federation::options()
        .opener(move |place, options| {
            if place == "place/west" {
                return Err(Error::unavailable("its disk is gone"));
            }
            options.open_engine(failing.of(place))
        })
        .open("top")
        .unwrap();
    let failures: Vec<Option<String>> = federation
        .shards()
        .into_iter()
        .map(|info| info.failure)
        .collect();
    assert!(failures[0].as_deref().unwrap().contains("its disk is gone"));
    assert_eq!(failures[1], None);
    let grid = federation.grid().unwrap();
    let east = grid.read(&Query::window(Window::new([-4], [16]))).unwrap();
    assert_eq!(east.array.iter_f64().next(), Some(16.0));
    let error = grid.read(&Query::window(all)).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unavailable);
    assert!(said(&error).contains("shard `west`"), "{error:?}");
    // What lies above is still there as it was stored; how it is now nobody knows.
    let stored = grid.read(&coarse).unwrap();
    assert_eq!(stored.array, before.array);
    assert_ne!(stored.stale, []);
    let fresh = grid.read(&coarse.clone().freshness(Freshness::Fresh));
    assert_eq!(fresh.unwrap_err().kind(), &ErrorKind::Unavailable);
    // Others are written to, and the top follows them.
    federation
        .put(&Window::new([8], [1]), &Array1::from_elem(1, 99.0_f32))
        .unwrap();
    federation.catch_up().unwrap();
    let stored = federation.grid().unwrap().read(&coarse).unwrap();
    assert_eq!(stored.array.iter_f64().fold(0.0, f64::max), 99.0);
    let error = federation.put(&all, &values).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unavailable);
    drop(federation);
    // Once it is there again all is as it should be.
    let federation = engines.options(Policy::Inline).open("top").unwrap();
    federation.catch_up().unwrap();
    let answer = federation.grid().unwrap().read(&coarse).unwrap();
    assert_eq!(answer.stale, []);
}

#[test]
fn a_shard_of_another_schema_or_in_anothers_place_is_named() {
    let engines = Engines::default();
    drop(made(&engines));
    let failure = |engines: &Engines, shard: usize| {
        let federation = engines.options(Policy::Inline).open("top").unwrap();
        federation.shards()[shard].failure.clone()
    };
    assert_eq!(failure(&engines, 1), None);
    let store = gridstone::Store::options()
        .open_engine(engines.of("place/east"))
        .unwrap();
    store.drop_grid("a").unwrap();
    store.create("a", schema([line("x", 8)])).unwrap();
    let why = failure(&engines, 1).unwrap();
    assert!(why.contains("another schema"), "{why}");
    assert_eq!(failure(&engines, 0), None);
    let swapped = engines.clone();
    let federation = Federation::options()
        .opener(move |place, options| {
            let place = if place == "place/east" {
                "place/west"
            } else {
                place
            };
            options.open_engine(swapped.of(place))
        })
        .open("top")
        .unwrap();
    let why = federation.shards()[1].failure.clone().unwrap();
    assert!(why.contains("is shard `west`"), "{why}");
    let error = engines.options(Policy::Inline).open("place/west");
    assert_eq!(error.unwrap_err().kind(), &ErrorKind::NotFound);
    let again =
        engines
            .options(Policy::Inline)
            .create("top", "a", schema([line("x", 4)]), &halves());
    assert_eq!(again.unwrap_err().kind(), &ErrorKind::AlreadyExists);
}

#[test]
fn who_only_reads_is_refused_writing_and_each_process_writes_its_shard() {
    let engines = Engines::default();
    let federation = made(&engines);
    let one = Array1::from_elem(1, 1.0_f32);
    let (west, east) = (Window::new([-13], [1]), Window::new([3], [1]));
    federation.put(&west, &one).unwrap();
    let grid = federation.grid().unwrap();
    assert_eq!(
        grid.put(&west, &one).unwrap_err().kind(),
        &ErrorKind::Invalid
    );
    assert_eq!(grid.aggregate().unwrap_err().kind(), &ErrorKind::Invalid);
    // The top's own feed would tell of no change ever.
    let error = grid.changes_token().unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Invalid, "{error:?}");
    drop((federation, grid));
    let easts = engines
        .options(Policy::Inline)
        .only(["east"])
        .open("top")
        .unwrap();
    let error = easts.put(&west, &one).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Invalid);
    assert!(
        said(&error).contains("shard `west` is open for reading only"),
        "{error:?}"
    );
    easts.put(&east, &one).unwrap();
    let error = easts.move_shard("east", "elsewhere").unwrap_err();
    assert!(said(&error).contains("keeps_top"), "{error:?}");
    let shown = easts.grid().unwrap().read(&Query::all()).unwrap();
    assert_eq!(shown.values().flatten().count(), 2);
    easts.catch_up().unwrap();
    drop(easts);
    let top = engines
        .options(Policy::Inline)
        .only(["west"])
        .keeps_top(true)
        .open("top")
        .unwrap();
    top.catch_up().unwrap();
    let coarse = Query::all()
        .level("x", 3)
        .layer(Layer::Aggregate(Aggregation::Max));
    let answer = top.grid().unwrap().read(&coarse).unwrap();
    assert_eq!(answer.stale, []);
    assert_eq!(answer.values().flatten().sum::<f64>(), 2.0);
}

#[test]
fn shards_with_base_data_at_other_levels_of_a_dimension_that_is_not_refinable_are_refused() {
    let engines = Engines::default();
    let shards = Shards::of("x", 2)
        .shard("west", "place/west", [Columns::new([-2], [2])])
        .shard("east", "place/east", [Columns::new([0], [2])]);
    let dimensions = || [line("x", 4), line("t", 2)];
    let federation = engines
        .options(Policy::Inline)
        .create("top", "a", schema(dimensions()), &shards)
        .unwrap();
    let array = Array2::from_elem((1, 1), 1.0_f32);
    federation
        .put(&Window::new([-3, 0], [1, 1]), &array)
        .unwrap();
    let other = Window::new([3, 0], [1, 1]).at([0, 1].try_into().unwrap());
    // The second shard holds nothing yet, and is told.
    let error = federation.put(&other, &array).unwrap_err();
    let aggregated = ErrorKind::AggregatedLevel {
        dimension: "t".to_owned(),
    };
    assert_eq!(error.kind(), &aggregated, "{error:?}");
}

/// All stores of a federation have its layers, so that none is added to one of them.
#[test]
fn a_layer_of_a_grid_in_several_stores_is_refused_with_what_to_do() {
    let engines = Engines::default();
    let federation = made(&engines);
    let cells = Array1::from_shape_fn(32, |cell| cell as f32);
    federation.put(&Window::new([-20], [32]), &cells).unwrap();
    federation.catch_up().unwrap();
    drop(federation);
    for place in ["top", "place/west", "place/east"] {
        let store = Store::options()
            .open_engine(engines.of(place) as Arc<dyn Engine>)
            .unwrap();
        let error = store.add_aggregator("a", Aggregation::Min).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Invalid, "{error}");
        let text = said(&error);
        assert!(
            text.contains("grid `a`") && text.contains("FederationOptions::create"),
            "{text}"
        );
    }
    let federation = engines.options(Policy::Inline).open("top").unwrap();
    let report = federation.verify(Thoroughness::Full).unwrap();
    assert_eq!(report.findings, []);
    let grid = federation.grid().unwrap();
    assert_eq!(grid.schema().aggregators(), [Aggregation::Max]);
}
