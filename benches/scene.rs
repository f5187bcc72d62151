//! The grid that benchmarks put into.

use gridstone::{Aggregation, Axis, DType, Dimension, Grid, Schema, Store, Structure};

/// A grid of float32, rows downwards, in square chunks.
pub(super) fn grid(store: &Store, name: &str, chunk: u32, aggregators: &[Aggregation]) -> Grid {
    let space = Dimension::regular(
        "space",
        [
            Axis::new("y", 0.0, -1.0, chunk),
            Axis::new("x", 0.0, 1.0, chunk),
        ],
    );
    let structure = Structure::builder().dimension(space).build().unwrap();
    let schema = aggregators.iter().fold(
        Schema::builder(structure, DType::F32),
        |schema, aggregator| schema.aggregator(aggregator.clone()),
    );
    store.create(name, schema.build().unwrap()).unwrap()
}
