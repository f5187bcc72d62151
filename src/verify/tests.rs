use std::sync::Arc;
use std::time::Duration;

use ndarray::Array2;

use super::Damage;
use crate::kv::{Batch, Durability, Engine, KeyRange, Memory, Order, Space};
use crate::{
    Aggregation, Axis, DType, Dimension, ErrorKind, Policy, Schema, Store, Structure, Window,
};

fn store(engine: &Arc<Memory>) -> Store {
    let store = Store::options()
        .policy(Policy::Manual)
        .open_engine(Arc::clone(engine) as Arc<dyn Engine>)
        .expect("memory");
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
    );
    let structure = Structure::builder()
        .dimension(space)
        .build()
        .expect("valid");
    let schema = Schema::builder(structure, DType::I16)
        .nodata(-1.0)
        .aggregator(Aggregation::Max)
        .aggregator(Aggregation::Mean);
    let grid = store
        .create("dem", schema.build().expect("valid"))
        .expect("made");
    let cells = Array2::from_shape_fn((20, 13), |(y, x)| i16::try_from(y * 13 + x).expect("small"));
    grid.put(&Window::new([-7, 2], [20, 13]), &cells)
        .expect("put");
    store
}

#[test]
fn a_pyramid_built_anew_is_the_one_that_is_stored() {
    let (store, scratch) = (
        store(&Arc::new(Memory::new())),
        Store::in_memory().expect("memory"),
    );
    let waiting = store
        .verify_rebuilt(&scratch)
        .expect_err("marks are pending");
    assert!(
        waiting.to_string().contains("aggregate it first"),
        "{waiting}"
    );
    store.aggregate().expect("aggregated");
    let report = store.verify_rebuilt(&scratch).expect("verified");
    assert_eq!(report.findings, []);
    let plain = store.verify().expect("verified");
    assert_eq!(report.recomputed, 2 * plain.recomputed, "each once more");
    assert!(scratch.grids().expect("readable").is_empty());
    assert_eq!(
        store
            .verify_rebuilt(&store)
            .expect_err("it has grids")
            .kind(),
        &ErrorKind::Invalid
    );
    // What a fault in the code of aggregation would leave: both layers of the first aggregate are
    // gone.
    let engine = Arc::new(Memory::new());
    let store = self::store(&engine);
    store.aggregate().expect("aggregated");
    let snapshot = engine.snapshot().expect("memory");
    let page = snapshot
        .scan(
            Space::Aggregate,
            &KeyRange::all(),
            Order::Ascending,
            usize::MAX,
        )
        .expect("memory");
    let mut batch = Batch::default();
    for (key, _) in page
        .entries
        .iter()
        .filter(|(key, _)| key[5..] == page.entries[0].0[5..])
    {
        batch.delete(Space::Aggregate, key.clone());
        batch.delete(Space::Directory, key.clone());
    }
    engine.commit(batch, Durability::Buffered).expect("memory");
    let report = store.verify_rebuilt(&scratch).expect("verified");
    let anew = report
        .findings
        .iter()
        .filter(|finding| finding.message.contains("built anew"));
    assert_eq!(
        anew.map(|finding| finding.damage).collect::<Vec<_>>(),
        [Damage::Missing]
    );
}

#[test]
fn a_scrub_finds_what_is_damaged_and_goes_on() {
    let engine = Arc::new(Memory::new());
    let store = store(&engine);
    store.aggregate().expect("aggregated");
    assert_eq!(
        store.scrub(0).expect_err("no rate").kind(),
        &ErrorKind::Invalid
    );
    let scrub = store.scrub(u64::MAX).expect("started");
    assert!(scrub.wait(1, Duration::from_secs(60)));
    let sound = scrub.progress();
    assert_eq!(
        (sound.passes, sound.findings.len(), sound.failure),
        (1, 0, None)
    );
    assert_eq!(sound.chunks, store.verify().expect("verified").chunks);
    drop(scrub);
    let snapshot = engine.snapshot().expect("memory");
    let (key, mut blob) = snapshot
        .scan(Space::Base, &KeyRange::all(), Order::Ascending, 1)
        .expect("memory")
        .entries
        .remove(0);
    let last = blob.len() - 1;
    blob[last] ^= 1;
    let mut batch = Batch::default();
    batch.put(Space::Base, key, blob);
    engine.commit(batch, Durability::Buffered).expect("memory");
    let scrub = store.scrub(u64::MAX).expect("started");
    assert!(scrub.wait(1, Duration::from_secs(60)));
    let damaged = scrub.progress();
    assert_eq!((damaged.chunks, damaged.findings.len()), (sound.chunks, 1));
    assert_eq!(
        (
            damaged.findings[0].damage,
            damaged.findings[0].layer.as_deref()
        ),
        (Damage::Chunk, Some("base"))
    );
    // One that is gone is found too, and named.
    let page = engine
        .snapshot()
        .expect("memory")
        .scan(Space::Base, &KeyRange::all(), Order::Ascending, 2)
        .expect("memory");
    let mut batch = Batch::default();
    batch.delete(Space::Base, page.entries[1].0.clone());
    engine.commit(batch, Durability::Buffered).expect("memory");
    let scrub = store.scrub(u64::MAX).expect("started");
    assert!(scrub.wait(1, Duration::from_secs(60)));
    let findings = scrub.progress().findings;
    assert_eq!(
        (
            findings.len(),
            findings[1].layer.as_deref(),
            findings[1].location.is_some()
        ),
        (2, Some("base"), true)
    );
    let message = &findings[1].message;
    assert!(
        message.contains("grid `dem`: the base chunk at")
            && message.contains("in the directory, but not there"),
        "{message}"
    );
    // A slow one can be stopped at once.
    let slow = store.scrub(1).expect("started");
    std::thread::sleep(Duration::from_millis(20));
    drop(slow);
}
