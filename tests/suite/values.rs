//! What aggregates make of awkward values, one test for each thing that is known to go wrong
//! elsewhere.

use gridstone::array::Cell;
use gridstone::{
    Aggregation, Array, Axis, DType, Depth, Dimension, Freshness, Grid, Layer, Query, Resampling,
    Schema, Shape, Store, Structure, Window,
};
use ndarray::{Array1, Array2, ArrayD, IxDyn, arr1};
use proptest::prelude::*;

use crate::check::{self, Dice, levels};
use crate::oracle::{Oracle, array};

/// A grid along one axis, with every aggregator; sums and counts are doubles.
fn line(dtype: DType, nodata: Option<f64>, chunk: u32) -> Grid {
    grid(
        vec![Dimension::regular("x", [Axis::new("x", 0.0, 1.0, chunk)])],
        dtype,
        nodata,
    )
}

/// The same with a second levelled dimension that is not aggregated, so that sums and counts are
/// whole numbers.
fn tallied(dtype: DType, nodata: Option<f64>, chunk: u32) -> Grid {
    let time = Dimension::regular("time", [Axis::new("t", 0.0, 1.0, 2)]).depth(Depth::Levels(0));
    grid(
        vec![
            time,
            Dimension::regular("x", [Axis::new("x", 0.0, 1.0, chunk)]),
        ],
        dtype,
        nodata,
    )
}

fn grid(dimensions: Vec<Dimension>, dtype: DType, nodata: Option<f64>) -> Grid {
    let structure = check::structure(dimensions);
    // The mode of many classes is tried elsewhere.
    let layers = Aggregation::plain().filter(|layer| !matches!(layer, Aggregation::Mode { .. }));
    let schema = layers.fold(
        Schema::builder(structure, dtype),
        gridstone::SchemaBuilder::aggregator,
    );
    let schema = if let Some(nodata) = nodata {
        schema.nodata(nodata)
    } else {
        schema
    };
    Store::in_memory()
        .unwrap()
        .create("a", schema.build().unwrap())
        .unwrap()
}

fn put<T: Cell>(grid: &Grid, start: i64, cells: &[T]) {
    let (axes, len) = (grid.structure().rank(), cells.len());
    let mut window = (vec![0; axes], vec![1; axes]);
    (window.0[axes - 1], window.1[axes - 1]) = (start, len as u64);
    let window = Window::new(window.0.as_slice(), Shape::from(window.1.as_slice()));
    let shape: Vec<usize> = window
        .shape()
        .iter()
        .map(|&len| usize::try_from(len).unwrap())
        .collect();
    let cells = ArrayD::from_shape_vec(IxDyn(&shape), cells.to_vec()).unwrap();
    grid.replace(&window, &cells).unwrap();
}

/// A layer at a level of the last dimension.
fn read(grid: &Grid, aggregator: Aggregation, level: i8) -> Array {
    let mut at = vec![0; grid.structure().dimensions().len()];
    *at.last_mut().unwrap() = level;
    grid.read(
        &Query::all()
            .levels(levels(&at))
            .layer(Layer::Aggregate(aggregator)),
    )
    .unwrap()
    .array
}

fn doubles(grid: &Grid, aggregator: Aggregation, level: i8) -> Vec<f64> {
    read(grid, aggregator, level).iter_f64().collect()
}

#[test]
fn nan_and_the_nodata_value_are_both_nodata_in_every_layer() {
    let grid = line(DType::F32, Some(-9999.0), 4);
    put(
        &grid,
        0,
        &[
            1.0_f32,
            f32::NAN,
            -9999.0,
            5.0,
            f32::NAN,
            -9999.0,
            -9999.0,
            f32::NAN,
        ],
    );
    let cells = |aggregator| doubles(&grid, aggregator, 1);
    assert_eq!(cells(Aggregation::Mean)[..2], [1.0, 5.0]);
    assert_eq!(cells(Aggregation::Min)[..2], [1.0, 5.0]);
    assert_eq!(cells(Aggregation::Max)[..2], [1.0, 5.0]);
    assert_eq!(cells(Aggregation::Sum)[..2], [1.0, 5.0]);
    assert_eq!(cells(Aggregation::Count), [1.0, 1.0, 0.0, 0.0]);
    assert_eq!(cells(Aggregation::Sample)[0], 1.0);
    // A float layer shows NaN where nothing is, never the nodata value.
    assert!(
        cells(Aggregation::Sample)[1..]
            .iter()
            .all(|cell| cell.is_nan())
    );
    for aggregator in [
        Aggregation::Mean,
        Aggregation::Min,
        Aggregation::Max,
        Aggregation::Sum,
    ] {
        assert!(
            cells(aggregator.clone())[2..]
                .iter()
                .all(|cell| cell.is_nan()),
            "{aggregator}"
        );
    }
}

#[test]
fn nodata_lies_where_each_band_has_it() {
    let band = Dimension::fixed("band", ["red", "green"]);
    let space = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 4)]);
    let grid = grid(vec![band, space], DType::I16, Some(0.0));
    let cells = ndarray::arr2(&[[7_i16, 0, 3, 5], [0, 9, 0, 0]]);
    grid.put(&Window::new([0, 0], [2, 4]), &cells).unwrap();
    assert_eq!(doubles(&grid, Aggregation::Mean, 0)[..1], [7.0]);
    let at = |aggregator| {
        let array = read(&grid, aggregator, 0);
        (array.dtype(), array.iter_f64().collect::<Vec<_>>())
    };
    assert_eq!(
        at(Aggregation::Min),
        (DType::I16, vec![7.0, 0.0, 3.0, 5.0, 0.0, 9.0, 0.0, 0.0])
    );
    // One chunk covers the data, so the band's pyramid has one level; a fifth cell makes it two.
    grid.put(
        &Window::new([0, 4], [2, 1]),
        &ndarray::arr2(&[[1_i16], [1]]),
    )
    .unwrap();
    assert_eq!(doubles(&grid, Aggregation::Mean, 1)[..2], [7.0, 4.0]);
    assert_eq!(
        doubles(&grid, Aggregation::Count, 1),
        [1.0, 2.0, 1.0, 1.0, 0.0, 1.0]
    );
    assert_eq!(
        doubles(&grid, Aggregation::Max, 1),
        [7.0, 5.0, 1.0, 9.0, 0.0, 1.0]
    );
}

#[test]
fn the_mean_of_integers_keeps_its_fractions_over_twelve_levels() {
    for dtype in [DType::U8, DType::I16, DType::I32] {
        let grid = line(dtype, None, 2);
        let values: Vec<f64> = (0..4096).map(|i| f64::from(i % 2)).collect();
        let cells = array(dtype, &[4096], &values);
        grid.put(&Window::new([0], [4096]), &cells).unwrap();
        let top = grid.reach().unwrap().unwrap()[0].get();
        assert!(top >= 11, "{top} levels");
        for level in 1..=11 {
            let means = doubles(&grid, Aggregation::Mean, level);
            let inner = &means[1..means.len() - 1];
            assert!(
                inner.iter().all(|mean| *mean == 0.5),
                "{dtype} at {level}: truncation at each level would drift to 0"
            );
        }
    }
}

#[test]
fn sums_widen_beyond_the_cells_type() {
    let grid = tallied(DType::U8, None, 2);
    put(&grid, 0, &[255_u8; 64]);
    let sums = read(&grid, Aggregation::Sum, 4);
    assert_eq!(sums.dtype(), DType::U64);
    assert_eq!(sums.iter_f64().sum::<f64>(), 255.0 * 64.0);
    let grid = tallied(DType::I32, None, 2);
    put(&grid, 0, &[i32::MIN; 8]);
    let sums = read(&grid, Aggregation::Sum, 1)
        .into_typed::<i64>()
        .unwrap();
    assert_eq!(sums.iter().sum::<i64>(), 8 * i64::from(i32::MIN));
}

#[test]
fn sums_that_outgrow_64_bits_saturate() {
    let grid = tallied(DType::I64, None, 2);
    put(
        &grid,
        0,
        &[i64::MAX, 1, i64::MIN, -1, 3, 4, (1 << 60) + 1, 1 << 60],
    );
    let sums = read(&grid, Aggregation::Sum, 1)
        .into_typed::<i64>()
        .unwrap();
    assert_eq!(
        sums.as_slice().unwrap(),
        [i64::MAX, i64::MIN, 7, (1 << 61) + 1],
        "exact beyond 53 bits"
    );
    let grid = tallied(DType::U64, None, 2);
    put(&grid, 0, &[u64::MAX, 1, (1 << 60) + 1, 1]);
    let sums = read(&grid, Aggregation::Sum, 1)
        .into_typed::<u64>()
        .unwrap();
    assert_eq!(sums.as_slice().unwrap(), [u64::MAX, (1 << 60) + 2]);
}

/// 64-bit integers beyond 2^53 differ by less than doubles can tell.
#[test]
fn min_and_max_of_large_integers_are_exact() {
    let grid = line(DType::I64, None, 2);
    let big = (1_i64 << 62) + 1;
    put(&grid, 0, &[big, big + 1, -big, -big - 1]);
    assert_eq!(
        read(&grid, Aggregation::Max, 1)
            .into_typed::<i64>()
            .unwrap()
            .as_slice()
            .unwrap(),
        [big + 1, -big]
    );
    assert_eq!(
        read(&grid, Aggregation::Min, 1)
            .into_typed::<i64>()
            .unwrap()
            .as_slice()
            .unwrap(),
        [big, -big - 1]
    );
    assert_eq!(
        read(&grid, Aggregation::Sample, 1)
            .into_typed::<i64>()
            .unwrap()
            .as_slice()
            .unwrap(),
        [big, -big]
    );
}

/// A nodata value beyond 2^53 is one value, not all that round to the same double.
#[test]
fn the_neighbours_of_a_large_nodata_value_are_data() {
    let nodata = i64::MIN;
    let grid = line(DType::I64, Some(nodata as f64), 2);
    put(&grid, 0, &[nodata, nodata + 1, nodata, nodata]);
    assert_eq!(doubles(&grid, Aggregation::Count, 1), [1.0, 0.0]);
    assert_eq!(
        read(&grid, Aggregation::Max, 1)
            .into_typed::<i64>()
            .unwrap()
            .as_slice()
            .unwrap(),
        [nodata + 1, nodata]
    );
}

#[test]
fn the_mean_is_weighted_by_valid_area_and_no_mean_of_means() {
    let grid = line(DType::F64, None, 8);
    let mut cells = [9.0; 64];
    cells[..4].copy_from_slice(&[1.0, f64::NAN, 4.0, 7.0]);
    put(&grid, 0, &cells);
    assert_eq!(doubles(&grid, Aggregation::Mean, 1)[..3], [1.0, 5.5, 9.0]);
    assert_eq!(
        doubles(&grid, Aggregation::Mean, 2)[..2],
        [4.0, 9.0],
        "of three cells, where the mean of means is 3.25"
    );
    assert_eq!(
        doubles(&grid, Aggregation::Mean, 3)[0],
        (1.0 + 4.0 + 7.0 + 36.0) / 7.0
    );
}

#[test]
fn the_last_cells_of_an_odd_extent_are_not_dropped() {
    let grid = line(DType::I16, Some(-1.0), 4);
    put(&grid, 0, &[1_i16, 2, 3, 4, 5, 6, 77]);
    for level in 1..=grid.reach().unwrap().unwrap()[0].get() {
        assert_eq!(
            doubles(&grid, Aggregation::Max, level)
                .into_iter()
                .fold(0.0, f64::max),
            77.0,
            "level {level}"
        );
        assert_eq!(
            doubles(&grid, Aggregation::Count, level)
                .iter()
                .sum::<f64>(),
            7.0,
            "level {level}"
        );
        assert_eq!(
            doubles(&grid, Aggregation::Sum, level).iter().sum::<f64>(),
            98.0,
            "level {level}"
        );
    }
    assert_eq!(
        *doubles(&grid, Aggregation::Mean, 1).last().unwrap(),
        77.0,
        "the mean of the one cell"
    );
}

#[test]
fn resampling_takes_no_nodata_in_and_makes_none() {
    let nodata = 100.0;
    let space = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 8)]);
    let structure = Structure::builder().dimension(space).build().unwrap();
    let schema = Schema::builder(structure, DType::I16)
        .nodata(nodata)
        .build()
        .unwrap();
    let grid = Store::in_memory().unwrap().create("a", schema).unwrap();
    // Means of neighbours are the nodata value itself; next to real holes they must stay data.
    put(&grid, 0, &[99_i16, 101, 99, 101, 100, 100, 90, 90]);
    for resampling in [Resampling::Bilinear, Resampling::Area, Resampling::Cubic] {
        let answer = grid
            .read(&Query::all().shape([4]).resampled(resampling))
            .unwrap();
        let cells: Vec<f64> = answer.array.iter_f64().collect();
        assert!(
            cells[..2]
                .iter()
                .all(|cell| *cell != nodata && (cell - nodata).abs() <= 10.0),
            "{resampling}: {cells:?}"
        );
    }
    let area = grid
        .read(&Query::all().shape([4]).resampled(Resampling::Area))
        .unwrap();
    assert_eq!(
        area.array.iter_f64().skip(2).collect::<Vec<_>>(),
        [nodata, 90.0],
        "a hole stays one; its neighbour stays clean"
    );
    let nearest = grid
        .read(&Query::all().shape([8]).resampled(Resampling::Nearest))
        .unwrap();
    assert_eq!(
        nearest.array.iter_f64().collect::<Vec<_>>(),
        [99.0, 101.0, 99.0, 101.0, 100.0, 100.0, 90.0, 90.0]
    );
}

#[test]
fn signed_zeros_and_infinities_survive_as_they_are() {
    let grid = line(DType::F32, None, 2);
    let cells = [
        -0.0_f32,
        -0.0,
        f32::INFINITY,
        1.0,
        f32::NEG_INFINITY,
        1.0,
        f32::NEG_INFINITY,
        f32::INFINITY,
    ];
    put(&grid, 0, &cells);
    let base = grid
        .read(&Query::all())
        .unwrap()
        .array
        .into_typed::<f32>()
        .unwrap();
    assert!(
        base.iter()
            .map(|c| c.to_bits())
            .eq(cells.iter().map(|c| c.to_bits())),
        "{base}"
    );
    let bits = |aggregator| -> Vec<u64> {
        doubles(&grid, aggregator, 1)
            .into_iter()
            .map(f64::to_bits)
            .collect()
    };
    assert_eq!(
        bits(Aggregation::Min),
        [-0.0, 1.0, f64::NEG_INFINITY, f64::NEG_INFINITY].map(f64::to_bits)
    );
    assert_eq!(
        bits(Aggregation::Max),
        [-0.0, f64::INFINITY, 1.0, f64::INFINITY].map(f64::to_bits)
    );
    let means = doubles(&grid, Aggregation::Mean, 1);
    assert_eq!(means[..3], [0.0, f64::INFINITY, f64::NEG_INFINITY]);
    assert!(
        means[3].is_nan(),
        "the mean of both infinities is no number"
    );
    assert_eq!(
        doubles(&grid, Aggregation::Count, 1),
        [2.0; 4],
        "infinities are data"
    );
}

/// Bytes have no value to spare for holes: a chunk that is put in part knows its holes by a mask.
#[test]
fn bytes_without_a_nodata_value_know_their_holes_at_chunk_edges() {
    let grid = line(DType::U8, None, 4);
    put(&grid, 3, &[0_u8, 200, 0]);
    assert_eq!(doubles(&grid, Aggregation::Count, 0), [1.0, 1.0, 1.0]);
    assert_eq!(doubles(&grid, Aggregation::Count, 1), [1.0, 2.0]);
    assert_eq!(doubles(&grid, Aggregation::Mean, 1), [0.0, 100.0]);
    assert_eq!(doubles(&grid, Aggregation::Mean, 2)[0], 0.0, "one zero");
    assert_eq!(doubles(&grid, Aggregation::Min, 1), [0.0, 0.0]);
    // Zeros are data, and another put beside them keeps what was there.
    put(&grid, 6, &[9_u8]);
    assert_eq!(doubles(&grid, Aggregation::Count, 1), [1.0, 2.0, 1.0]);
    assert_eq!(doubles(&grid, Aggregation::Count, 2), [1.0, 3.0]);
    assert_eq!(
        doubles(&grid, Aggregation::Mean, 2),
        [0.0, 209.0 / 3.0].map(|mean| f64::from(f32::from_f64(mean)))
    );
}

#[test]
fn counts_are_of_base_cells_at_every_base_level() {
    for level in [-2, 0, 3] {
        let grid = tallied(DType::I16, Some(-1.0), 2);
        let window = Window::new([0, 0], [1, 8]).at(levels(&[0, level]));
        grid.put(&window, &ndarray::arr2(&[[1_i16, -1, 3, 4, 5, 6, 7, 8]]))
            .unwrap();
        let query = Query::all()
            .levels(levels(&[0, level + 2]))
            .layer(Layer::Aggregate(Aggregation::Count));
        let counts = grid.read(&query).unwrap().array;
        assert_eq!(
            (counts.dtype(), counts.iter_f64().sum::<f64>()),
            (DType::U64, 7.0),
            "base level {level}"
        );
    }
}

#[test]
fn a_sample_is_the_first_cell_and_a_hole_where_that_is_one() {
    let grid = line(DType::I16, Some(-1.0), 4);
    put(&grid, 0, &[1_i16, 2, -1, 4, 5, 6]);
    assert_eq!(doubles(&grid, Aggregation::Sample, 1), [1.0, -1.0, 5.0]);
}

/// What is read as holes and put again is holes again, in every layer of the same type.
#[test]
fn holes_survive_being_read_and_put_again() {
    for (dtype, nodata) in [
        (DType::F32, Some(-9999.0)),
        (DType::F64, None),
        (DType::I16, Some(-32768.0)),
    ] {
        let grid = line(dtype, nodata, 4);
        let hole = nodata.unwrap_or(f64::NAN);
        let cells = array(dtype, &[6], &[1.0, hole, 3.0, hole, hole, 6.0]);
        grid.put(&Window::new([0], [6]), &cells).unwrap();
        let all = Window::new([-2], [10]);
        let read = grid.read(&Query::window(all)).unwrap().array;
        let copy = line(dtype, nodata, 4);
        copy.put(&all, &read).unwrap();
        let counts = copy
            .read(&Query::window(all).layer(Layer::Aggregate(Aggregation::Count)))
            .unwrap()
            .array;
        assert_eq!(
            counts.iter_f64().collect::<Vec<_>>(),
            [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0],
            "{dtype}"
        );
    }
}

/// A view that is not contiguous, or turned, is the array it shows.
#[test]
fn the_memory_layout_of_an_array_does_not_matter() {
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
    );
    let base = Array2::from_shape_fn((10, 14), |(y, x)| (y * 100 + x) as f32);
    let views = [
        base.slice(ndarray::s![..;2, ..;2]),
        base.t(),
        base.slice(ndarray::s![..;-1, 3..]),
        base.slice(ndarray::s![2.., ..;-3]),
    ];
    for view in views {
        let grid = grid(vec![space.clone()], DType::F32, None);
        let window = Window::new([-3, -2], [view.nrows() as u64, view.ncols() as u64]);
        grid.put(&window, view).unwrap();
        let read = grid
            .read(&Query::window(window))
            .unwrap()
            .array
            .into_typed::<f32>()
            .unwrap();
        assert_eq!(read, view.into_dyn());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: check::cases(200) / 4 + 1, ..ProptestConfig::default() })]

    /// The kernels against the oracle for chunks of every shape, through one put and one clear.
    #[test]
    fn i7_kernels_agree_with_a_naive_cascade_for_chunks_of_any_shape(
        seed in any::<u64>(),
        chunks in proptest::collection::vec(1..6_u32, 1..5),
        split in 0..4_usize,
        dtype in proptest::sample::select(DType::ALL.to_vec()),
        holes in prop_oneof![Just(0_u64), Just(1), Just(30), Just(99)],
    ) {
        let mut dice = Dice(seed);
        let chunks: Vec<u32> = if chunks.len() > 2 { chunks.iter().map(|bits| (*bits).min(2)).collect() } else { chunks };
        let axes: Vec<Axis> = chunks.iter().enumerate().map(|(i, bits)| Axis::new(format!("a{i}"), 0.0, 1.0, 1 << bits)).collect();
        let split = split % axes.len();
        let parts = [&axes[..split], &axes[split..]];
        let dimensions = parts.iter().enumerate().filter(|(_, axes)| !axes.is_empty());
        let dimensions: Vec<Dimension> = dimensions.map(|(i, axes)| Dimension::regular(format!("d{i}"), axes.to_vec())).collect();
        let nodata = (!dtype.is_float()).then_some(1.0);
        let count = dimensions.len();
        let grid = grid(dimensions, dtype, nodata);
        let mut oracle = Oracle::new(grid.schema(), &vec![0; count]);
        let start: Vec<i64> = chunks.iter().map(|_| dice.range(-9, 9)).collect();
        let most = [0, 70, 20, 7, 5][chunks.len()];
        let shape: Vec<u64> = chunks.iter().map(|_| dice.range(1, most).unsigned_abs()).collect();
        for clear in [false, true] {
            let shape: Vec<u64> = if clear { shape.iter().map(|len| len.div_ceil(2)).collect() } else { shape.clone() };
            let values: Vec<f64> = (0..shape.iter().product())
                .map(|_| match dice.chance(if clear { 80 } else { holes }) {
                    true => nodata.unwrap_or(f64::NAN),
                    false => dice.range(2, 120) as f64,
                })
                .collect();
            let sizes: Vec<usize> = shape.iter().map(|&len| usize::try_from(len).unwrap()).collect();
            let window = Window::new(start.as_slice(), Shape::from(shape.as_slice()));
            grid.replace(&window, &array(dtype, &sizes, &values)).unwrap();
            oracle.put(&start, &shape, &values, true);
            if let Err(wrong) = check::drained(&grid, &mut oracle, &mut dice) {
                prop_assert!(false, "{}", wrong);
            }
        }
    }
}

/// Reads of windows beside what is stale stay certain: only what lies above a change is out of
/// date.
#[test]
fn stale_is_what_lies_above_a_change_and_no_more() {
    let store = Store::options().policy(gridstone::Policy::Manual);
    let store = store
        .open_engine(std::sync::Arc::new(gridstone::kv::Memory::new()))
        .unwrap();
    let structure = Structure::builder()
        .dimension(Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 4)]))
        .build()
        .unwrap();
    let schema = Schema::builder(structure, DType::F64)
        .aggregator(Aggregation::Max)
        .build()
        .unwrap();
    let grid = store.create("a", schema).unwrap();
    grid.put(&Window::new([0], [64]), &Array1::from_elem(64, 1.0))
        .unwrap();
    grid.aggregate().unwrap();
    grid.put(&Window::new([17], [1]), &arr1(&[9.0])).unwrap();
    let at = |level, freshness| {
        grid.read(&Query::all().levels(levels(&[level])).freshness(freshness))
            .unwrap()
    };
    for level in 1..=4 {
        let stored = at(level, Freshness::Stored);
        // The changed chunk is cells 16 to 19.
        let (low, high) = (16 >> level, (20 + (1 << level) - 1) >> level);
        assert_eq!(
            stored.stale,
            [Window::new([low], [u64::try_from(high - low).unwrap()]).at(levels(&[level]))],
            "level {level}"
        );
        assert_eq!(
            stored.array.iter_f64().fold(0.0, f64::max),
            1.0,
            "as it was"
        );
        assert_eq!(
            at(level, Freshness::Fresh)
                .array
                .iter_f64()
                .fold(0.0, f64::max),
            9.0
        );
    }
    assert_eq!(
        at(0, Freshness::Stored).stale,
        [],
        "the base is never stale"
    );
    grid.aggregate().unwrap();
    assert_eq!(at(4, Freshness::Stored).stale, []);
}
