//! Which chunk serves which cell of mixed data, and clearing by polygons.

use gridstone::grid::CellIndex;
use gridstone::statistics::Ring;
use gridstone::{
    Aggregation, Array, Axis, DType, Dimension, Extent, Freshness, Grid, Layer, Levels, Polygon,
    Query, Schema, Store, Structure, Window,
};
use ndarray::ArrayD;

use crate::check::Dice;

const CHUNK: u32 = 8;

/// Space (y downwards, x) and four labels, in chunks of 8 x 8 x 2.
fn grid() -> Grid {
    let space = Dimension::regular(
        "space",
        [
            Axis::new("y", 64.0, -1.0, CHUNK),
            Axis::new("x", 0.0, 1.0, CHUNK),
        ],
    )
    .refinable();
    let bands = Dimension::fixed("band", ["a", "b", "c", "d"]);
    let structure = Structure::builder()
        .dimension(space)
        .dimension(bands)
        .build()
        .expect("a structure");
    let schema = Schema::builder(structure, DType::F32)
        .aggregator(Aggregation::Mean)
        .build()
        .expect("a schema");
    Store::in_memory()
        .expect("a store")
        .create("dem", schema)
        .expect("a grid")
}

fn at(level: i8) -> Levels {
    [level, 0]
        .into_iter()
        .map(|level| gridstone::Level::new(level).expect("a level"))
        .collect()
}

/// Puts ones into all cells of some rows and columns of chunks at a level.
fn put(grid: &Grid, level: i8, rows: [i64; 2], cols: [i64; 2]) {
    let structure = grid.structure();
    let chunk = |y: i64, x: i64| {
        structure.chunk_window(
            &structure
                .location(at(level), &[y, x, 0].into())
                .expect("a location"),
        )
    };
    let (first, last) = (
        chunk(rows[0], cols[0]).start(),
        chunk(rows[1], cols[1]).start(),
    );
    let shape = [0, 1].map(|axis| usize::try_from(last[axis] - first[axis]).expect("rising"));
    let window = Window::new(
        [first[0], first[1], 0],
        [shape[0] as u64, shape[1] as u64, 4],
    )
    .at(at(level));
    grid.put(&window, &ArrayD::<f32>::ones(vec![shape[0], shape[1], 4]))
        .expect("a put");
}

/// Coarse ground, a patch partly over it that is two levels finer, and a patch beside it. Every
/// base chunk is full.
fn mixed() -> Grid {
    let grid = grid();
    put(&grid, 1, [0, 4], [0, 3]);
    put(&grid, -1, [8, 16], [8, 14]);
    put(&grid, 0, [1, 3], [7, 8]);
    grid
}

fn values(array: &Array) -> Vec<f64> {
    array.iter_f64().collect()
}

/// How often each cell of a window is in one of several.
fn counted(window: &Window, parts: impl Iterator<Item = Window>) -> ArrayD<u32> {
    let lens = window
        .shape()
        .iter()
        .map(|len| usize::try_from(*len).expect("small"))
        .collect::<Vec<_>>();
    let mut counts = ArrayD::zeros(lens);
    for part in parts {
        let (start, end) = (part.start(), part.end());
        for (at, count) in counts.indexed_iter_mut() {
            let cell = |axis: usize| window.start()[axis] + i64::try_from(at[axis]).expect("small");
            *count += u32::from((0..3).all(|axis| (start[axis]..end[axis]).contains(&cell(axis))));
        }
    }
    counts
}

#[test]
fn what_serves_a_query_is_disjoint_and_just_what_is_not_blank() {
    let grid = mixed();
    let all = grid.bounds().expect("bounds").expect("data");
    let part = Extent::new([(3.0, 49.0), (5.0, 61.0), (1.0, 3.0)]);
    for level in -1..=3 {
        for query in [
            Query::window(all).levels(at(level)),
            Query::extent(part.clone()).levels(at(level)),
        ] {
            let answer = grid.read(&query).expect("a read");
            let served = grid.serving(&query).expect("served");
            let counts = counted(&answer.window, served.iter().map(|served| served.window));
            for (value, count) in values(&answer.array).iter().zip(&counts) {
                let blank = value.is_nan();
                // Above the finest level, what lies under a chunk may hold data in part.
                let right = if level == -1 {
                    *count == u32::from(!blank)
                } else {
                    *count <= 1 && (blank || *count == 1)
                };
                assert!(right, "level {level}: {value} is served {count} times");
            }
            let base = answer.layer == Layer::Base;
            for served in &served {
                let finest = served.location.levels()[0] >= at(level)[0];
                assert!(
                    finest && (!base || served.aggregator.is_none()),
                    "{served:?}"
                );
                let cells = grid
                    .read(&Query::window(served.window))
                    .expect("a read")
                    .array;
                assert!(
                    query != Query::window(all).levels(at(level))
                        || values(&cells).iter().any(|value| !value.is_nan())
                );
                assert_eq!(served.window.levels(2), at(level));
            }
        }
    }
    let finest = grid
        .serving(&Query::window(all).levels(at(-1)))
        .expect("served");
    let levels: std::collections::BTreeSet<i8> = finest
        .iter()
        .map(|served| served.location.levels()[0].get())
        .collect();
    assert_eq!(levels.into_iter().collect::<Vec<_>>(), [-1, 0, 1]);
    // Each chunk once.
    let mut places: Vec<_> = finest.iter().map(|served| served.location).collect();
    places.dedup();
    assert_eq!(
        (places.len(), finest.len()),
        (grid.base_chunks().expect("chunks").len(), places.len())
    );
    assert_eq!(
        grid.serving(&Query::extent(Extent::new([
            (900.0, 910.0),
            (0.0, 9.0),
            (0.0, 4.0)
        ])))
        .expect("none"),
        []
    );
}

/// Even-odd over all rings of a part.
fn inside(parts: &[Vec<Ring>], x: f64, y: f64) -> bool {
    parts.iter().any(|rings| {
        let crossed = rings
            .iter()
            .flat_map(|ring| ring.iter().zip(ring.iter().cycle().skip(1)))
            .filter(|(a, b)| {
                (a[1] > y) != (b[1] > y) && x > a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0])
            });
        crossed.count() % 2 == 1
    })
}

#[test]
fn a_polygon_clears_the_cells_of_every_level_whose_centres_it_holds() {
    let mut dice = Dice(7);
    for round in 0..12 {
        let grid = mixed();
        let mut ring = |points: usize| -> Ring {
            let mut coordinate =
                || f64::from(i32::try_from(dice.range(0, 7200)).expect("small")) / 100.0 - 4.003;
            (0..points).map(|_| [coordinate(), coordinate()]).collect()
        };
        let parts = vec![vec![ring(5), ring(3)], vec![ring(4)]];
        let polygon = Polygon::new(["x", "y"], parts.clone()).expect("a polygon");
        let bounds = grid.bounds().expect("bounds").expect("data");
        let query = Query::window(bounds);
        let before = grid.read(&query).expect("a read");
        let levels: Vec<(Window, i8)> = grid
            .serving(&query)
            .expect("served")
            .iter()
            .map(|s| (s.window, s.location.levels()[0].get()))
            .collect();
        grid.clear_polygon(&polygon).expect("cleared");
        assert_eq!(grid.bounds().expect("bounds"), Some(bounds));
        let after = grid.read(&query).expect("a read");
        let structure = grid.structure();
        let (start, lens) = (before.window.start(), before.array.shape().to_vec());
        let places = ndarray::indices(lens);
        let mut cleared = 0;
        for ((place, was), is) in places
            .into_iter()
            .zip(values(&before.array))
            .zip(values(&after.array))
        {
            let cell: Vec<i64> = (0..3)
                .map(|axis| start[axis] + i64::try_from(place[axis]).expect("small"))
                .collect();
            let holds = |window: &Window| {
                (0..3).all(|axis| (window.start()[axis]..window.end()[axis]).contains(&cell[axis]))
            };
            let Some((_, level)) = levels.iter().find(|(window, _)| holds(window)) else {
                assert!(was.is_nan() && is.is_nan());
                continue;
            };
            let one = Window::new(CellIndex::from(cell.as_slice()), [1, 1, 1]).at(at(-1));
            let extent = structure.extent(&structure.cover(&one, at(*level)));
            let [y, x] =
                [0, 1].map(|axis| f64::midpoint(extent.bounds()[axis].0, extent.bounds()[axis].1));
            let gone = inside(&parts, x, y);
            cleared += u32::from(gone);
            assert_eq!(
                is.is_nan(),
                gone || was.is_nan(),
                "round {round}, cell {cell:?} of level {level} at {x}, {y}"
            );
        }
        assert!(cleared > 0 || round > 0, "nothing was cleared");
        let mean = |freshness| {
            grid.read(&Query::all().levels(at(2)).freshness(freshness))
                .map(|answer| values(&answer.array))
        };
        let bits = |values: Vec<f64>| values.into_iter().map(f64::to_bits).collect::<Vec<_>>();
        assert_eq!(
            mean(Freshness::Fresh).map(bits).ok(),
            mean(Freshness::Stored).map(bits).ok()
        );
        let report = grid.store().verify().expect("a report");
        assert!(report.findings.is_empty(), "{report:?}");
    }
}

#[test]
fn a_polygon_around_all_leaves_no_chunk() {
    let grid = mixed();
    let ring = vec![
        [-100.0, -100.0],
        [200.0, -100.0],
        [200.0, 200.0],
        [-100.0, 200.0],
    ];
    grid.clear_polygon(&Polygon::new(["x", "y"], [vec![ring.clone()]]).expect("a polygon"))
        .expect("cleared");
    assert_eq!(grid.stored_chunks().expect("chunks"), []);
    // So coarser data may be put.
    put(&grid, 2, [0, 1], [0, 1]);
    let other =
        grid.clear_polygon(&Polygon::new(["x", "z"], [vec![ring.clone()]]).expect("a polygon"));
    assert!(
        other
            .expect_err("no axis")
            .to_string()
            .contains("no axis `z`")
    );
    let other = grid.clear_polygon(&Polygon::new(["x", "band"], [vec![ring]]).expect("a polygon"));
    assert!(other.is_err_and(|error| error.to_string().starts_with("grid `dem`: ")));
}
