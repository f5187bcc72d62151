//! Coordinates: the index space, windows, extents, and what lies outside.

use gridstone::grid::ChunkIndex;
use gridstone::grid::Location;
use gridstone::{
    Axis, DType, Dimension, ErrorKind, Extent, Level, Levels, Query, Schema, Shape, Store,
    Structure, Window,
};
use ndarray::Array2;
use proptest::prelude::*;

use crate::check::{self, levels};

fn structure(chunk: u32, step: f64) -> Structure {
    let space = Dimension::regular(
        "space",
        [
            Axis::new("y", 10.0, -step, chunk),
            Axis::new("x", -7.0, step, chunk),
        ],
    );
    let time = Dimension::regular("time", [Axis::new("t", 0.0, 3600.0, 4)]);
    let band = Dimension::fixed("band", ["r", "g", "b"]);
    Structure::builder()
        .dimension(time)
        .dimension(space)
        .dimension(band)
        .build()
        .unwrap()
}

/// How far chunks may lie from the origin at a level, on either side, with room to spare.
fn reach(level: i8) -> i64 {
    let bits = u32::try_from(40 - i32::from(level)).unwrap();
    (1_i64 << bits.min(61)) / 3
}

fn index(level: i8) -> impl Strategy<Value = i64> {
    let far = reach(level);
    prop_oneof![-3..3_i64, -1000..1000_i64, -far..=far]
        .prop_map(move |index| index.clamp(-far, far))
}

fn location() -> impl Strategy<Value = (i8, i8, [i64; 4])> {
    (-24..=38_i8, -24..=38_i8).prop_flat_map(|(time, space)| {
        (index(time), index(space), index(space), 0..3_i64)
            .prop_map(move |(t, y, x, band)| (time, space, [t, y, x, band]))
    })
}

fn at(structure: &Structure, (time, space, index): (i8, i8, [i64; 4])) -> Location {
    structure
        .location(levels(&[time, space, 0]), &ChunkIndex::from(index))
        .unwrap()
}

/// Parents along a dimension until the level is reached.
fn ancestor(structure: &Structure, mut of: Location, dimension: usize, level: Level) -> Location {
    while of.levels()[dimension] < level {
        of = structure.parent(&of, dimension).unwrap().0;
    }
    of
}

proptest! {
    #![proptest_config(ProptestConfig { cases: check::cases(200) * 2, ..ProptestConfig::default() })]

    #[test]
    fn i3_a_child_is_among_the_children_of_its_parent_and_nowhere_else(place in location()) {
        let structure = structure(8, 1.0);
        let child = at(&structure, place);
        for dimension in [0, 1] {
            let (parent, number) = structure.parent(&child, dimension).unwrap();
            prop_assert_eq!(structure.child(&parent, dimension, number), Some(child));
            let children: Vec<Location> = structure.children(&parent, dimension).collect();
            prop_assert_eq!(children.len(), [2, 4][dimension]);
            prop_assert_eq!(children.iter().filter(|c| **c == child).count(), 1);
            for sibling in children {
                prop_assert_eq!(structure.parent(&sibling, dimension).unwrap().0, parent);
            }
            for grandchild in structure.children(&child, dimension) {
                prop_assert_eq!(structure.parent(&grandchild, dimension).unwrap().0, child);
            }
        }
        prop_assert_eq!(structure.parent(&child, 2), None);
        let index = structure.chunk_index(&child);
        prop_assert_eq!(&*index, &place.2[..]);
    }

    #[test]
    fn i3_any_two_locations_meet(a in location(), b in location()) {
        let structure = structure(8, 1.0);
        let (a, b) = (at(&structure, a), at(&structure, b));
        for dimension in [0, 1] {
            let mut pair = [a, b].map(|l| ancestor(&structure, l, dimension, a.levels()[dimension].max(b.levels()[dimension])));
            let axes = structure.axes_of(dimension);
            let same = |pair: &[Location; 2]| {
                let [a, b] = pair.map(|l| structure.chunk_index(&l));
                a[axes.clone()] == b[axes.clone()]
            };
            while !same(&pair) {
                prop_assert!(pair[0].levels()[dimension] < *structure.dimensions()[dimension].levels().end(), "they never meet");
                pair = pair.map(|l| structure.parent(&l, dimension).unwrap().0);
            }
        }
    }

    /// On whichever sides of the origin: within two levels of the larger distance's logarithm.
    #[test]
    fn i3_chunks_meet_at_a_level_logarithmic_in_their_distance_from_the_origin(a in -100_000..100_000_i64, b in -100_000..100_000_i64) {
        let structure = Structure::builder().dimension(Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 2)])).build().unwrap();
        let mut pair = [a, b].map(|i| structure.location(levels(&[0]), &ChunkIndex::from([i])).unwrap());
        let mut up = 0;
        while pair[0] != pair[1] {
            pair = pair.map(|l| structure.parent(&l, 0).unwrap().0);
            up += 1;
        }
        let distance = a.unsigned_abs().max(b.unsigned_abs()) + 1;
        prop_assert!(up <= distance.ilog2() + 3, "{up} levels for {distance}");
    }

    #[test]
    fn i4_the_pieces_of_a_split_are_disjoint_and_cover_the_window(
        start in [-40..40_i64, -40..40, -40..40],
        shape in [1..20_u64, 1..20, 1..20],
        band in 0..3_i64,
        level in -2..3_i8,
    ) {
        let structure = structure(8, 1.0);
        let shape = [shape[0], shape[1], shape[2], 3 - band.unsigned_abs()];
        let window = Window::new([start[0], start[1], start[2], band], shape).at(levels(&[level, 0, 0]));
        let mut covered = vec![0_u8; usize::try_from(window.cells().unwrap()).unwrap()];
        let chunk = structure.chunk_shape();
        let mut seen = std::collections::HashSet::new();
        for piece in structure.split(&window) {
            prop_assert!(seen.insert(piece.location), "a chunk has one piece");
            let of_chunk = structure.chunk_window(&piece.location);
            let lens: Vec<u64> = piece.shape.iter().map(|&len| len as u64).collect();
            for index in crate::oracle::indices(&lens) {
                let mut flat = 0;
                for axis in 0..4 {
                    let within = usize::try_from(index[axis]).unwrap();
                    prop_assert!(piece.in_chunk[axis] + within < chunk[axis]);
                    // The cell is the same through the chunk and through the window.
                    let by_chunk = of_chunk.start()[axis] + i64::try_from(piece.in_chunk[axis] + within).unwrap();
                    let by_window = window.start()[axis] + i64::try_from(piece.in_window[axis] + within).unwrap();
                    prop_assert_eq!(by_chunk, by_window);
                    flat = flat * usize::try_from(shape[axis]).unwrap() + piece.in_window[axis] + within;
                }
                covered[flat] += 1;
            }
        }
        prop_assert!(covered.iter().all(|&times| times == 1), "every cell once");
    }

    #[test]
    fn a_window_survives_the_way_through_its_extent(
        start in [-100_000..100_000_i64, -100_000..100_000, -100_000..100_000],
        shape in [1..5000_u64, 1..5000, 1..5000],
        at in [-8..8_i8, -8..8],
        step in prop_oneof![Just(1.0), Just(-1.0), Just(30.0), Just(1.0 / 3600.0), Just(-0.125)],
    ) {
        let structure = structure(256, step);
        let at = levels(&[at[0], at[1], 0]);
        let window = Window::new([start[0], start[1], start[2], 1], [shape[0], shape[1], shape[2], 2]).at(at);
        let extent = structure.extent(&window);
        prop_assert!(extent.bounds().iter().all(|(lower, upper)| lower < upper));
        prop_assert_eq!(structure.window(&extent, at).unwrap(), window);
    }

    /// A coarser window covers the finer one it was made from, with less than a cell to spare.
    #[test]
    fn a_cover_is_the_smallest_that_holds_the_window(
        start in [-10_000..10_000_i64, -10_000..10_000],
        shape in [1..300_u64, 1..300],
        from in -3..4_i8,
        to in -3..12_i8,
    ) {
        let space = Dimension::regular("space", [Axis::new("y", 10.0, -0.5, 4), Axis::new("x", -7.0, 0.5, 4)]);
        let structure = Structure::builder().dimension(space).build().unwrap();
        let window = Window::new(start, shape).at(levels(&[from]));
        let cover = structure.cover(&window, levels(&[to]));
        let (inner, outer) = (structure.extent(&window), structure.extent(&cover));
        let cell = 0.5 * f64::from(to.max(from)).exp2();
        for (inner, outer) in inner.bounds().iter().zip(outer.bounds()) {
            prop_assert!(outer.0 <= inner.0 && inner.0 < outer.0 + cell, "{inner:?} in {outer:?}");
            prop_assert!(outer.1 >= inner.1 && inner.1 > outer.1 - cell, "{inner:?} in {outer:?}");
        }
    }

    /// Whatever the numbers: an answer or an error, never a panic.
    #[test]
    fn extreme_windows_are_errors_never_panics(
        start in proptest::collection::vec(extreme(), 1..4),
        shape in proptest::collection::vec(extreme_len(), 1..4),
        at in -24..=40_i8,
        to in -24..=40_i8,
    ) {
        let store = Store::in_memory().unwrap();
        let space = Dimension::regular("space", [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)]);
        let structure = Structure::builder().dimension(space).build().unwrap();
        let schema = Schema::builder(structure, DType::U8).aggregator(gridstone::Aggregation::Max).build().unwrap();
        let grid = store.create("a", schema).unwrap();
        grid.put(&Window::new([-1, -1], [3, 3]), &Array2::from_elem((3, 3), 1_u8)).unwrap();
        let window = Window::new(start.as_slice(), Shape::from(shape.as_slice())).at(levels(&[at]));
        prop_assert!(window.end().len() == start.len().min(shape.len()) && window.cells() != Some(1 << 63 | 1));
        let refused = grid.put(&window, &Array2::from_elem((2, 2), 1_u8)).is_err();
        prop_assert!(refused || *window.shape() == [2, 2]);
        for query in [
            Query::window(window),
            Query::window(window).levels(levels(&[to])),
            Query::window(window).shape([3, 3]),
            Query::window(window).resolution([0.7, 1e9]),
        ] {
            if grid.explain(&query).is_ok_and(|explanation| is_small(&explanation))
            {
                grid.read(&query).unwrap();
            }
        }
    }

    #[test]
    fn extreme_extents_are_errors_never_panics(bounds in proptest::collection::vec((any::<f64>(), any::<f64>()), 1..4), to in -24..=40_i8) {
        let store = Store::in_memory().unwrap();
        let space = Dimension::regular("space", [Axis::new("y", 1e300, -1e-300, 4), Axis::new("x", 0.0, 1.0, 4)]);
        for structure in [Structure::builder().dimension(space).build().unwrap(), plain()] {
            let grid = store.create(&format!("g{}", store.grids().unwrap().len()), Schema::builder(structure, DType::U8).build().unwrap()).unwrap();
            grid.put(&Window::new([-1, -1], [3, 3]), &Array2::from_elem((3, 3), 1_u8)).unwrap();
            let extent = Extent::new(bounds.clone());
            for query in [Query::extent(extent.clone()), Query::extent(extent.clone()).levels(levels(&[to])), Query::extent(extent.clone()).shape([3, 3])] {
                if grid.explain(&query).is_ok_and(|explanation| is_small(&explanation))
                {
                    grid.read(&query).unwrap();
                }
            }
            drop(grid.chunks(&extent, Levels::zero(1)));
        }
    }
}

/// Whether an answer has few cells, and is made from few.
fn is_small(explanation: &gridstone::Explanation) -> bool {
    let made = explanation
        .resampling
        .as_ref()
        .map_or(Some(1), |(_, shape)| {
            shape
                .iter()
                .try_fold(1_u64, |cells, &len| cells.checked_mul(len as u64))
        });
    explanation
        .window
        .cells()
        .into_iter()
        .chain(made)
        .all(|cells| cells < 1 << 16)
        && made.is_some()
}

fn plain() -> Structure {
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
    );
    Structure::builder().dimension(space).build().unwrap()
}

fn extreme() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        Just(i64::MAX),
        Just(i64::MIN),
        Just(i64::MIN + 1),
        -3..3_i64,
        (1_i64 << 40) - 9..(1_i64 << 40) + 9,
        (0..63_u32).prop_map(|bit| 1 << bit),
        (0..63_u32).prop_map(|bit| -(1 << bit)),
    ]
}

fn extreme_len() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        Just(u64::MAX),
        Just(0),
        1..4_u64,
        (0..64_u32).prop_map(|bit| 1 << bit)
    ]
}

#[test]
fn i3_chunks_on_both_sides_of_the_origin_share_a_parent_within_two_levels() {
    let structure = Structure::builder()
        .dimension(Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 2)]))
        .build()
        .unwrap();
    for level in -24..=38_i8 {
        let mut pair = [-1, 0].map(|i| {
            structure
                .location(levels(&[level]), &ChunkIndex::from([i]))
                .unwrap()
        });
        let mut up = 0;
        while pair[0] != pair[1] {
            pair = pair.map(|l| structure.parent(&l, 0).unwrap().0);
            up += 1;
        }
        assert!((1..=2).contains(&up), "at level {level} after {up} levels");
    }
}

/// Up to the level at which a chunk is one cell, cell `j` is base cells `j 2^l` to `(j + 1) 2^l`.
#[test]
fn cells_of_a_level_are_aligned_with_the_origin_up_to_the_chunk_s_logarithm() {
    for chunk in [2, 4, 64, 256] {
        let x = Dimension::regular("x", [Axis::new("x", 100.0, 10.0, chunk)]);
        let structure = Structure::builder().dimension(x).build().unwrap();
        for level in 0..=i8::try_from(chunk.ilog2()).unwrap() {
            for cell in [-5, -1, 0, 1, 7] {
                let edge = structure.edge(0, Level::new(level).unwrap(), cell);
                assert_eq!(
                    edge,
                    100.0 + 10.0 * (cell << level) as f64,
                    "cell {cell} of level {level}"
                );
            }
        }
    }
}

#[test]
fn a_cell_out_of_range_is_named_with_its_axis_and_dimension() {
    let structure = structure(4, 1.0);
    let at =
        |start: [i64; 4], shape: [u64; 4]| structure.check(&Window::new(start, shape)).unwrap_err();
    let cases = [
        (
            at([i64::MIN, 0, 0, 0], [1, 1, 1, 1]),
            "`t`",
            "`time`",
            "-9223372036854775808",
        ),
        (
            at([0, i64::MAX - 1, 0, 0], [1, 1, 1, 1]),
            "`y`",
            "`space`",
            "9223372036854775806",
        ),
        (
            at([0, 0, 0, 0], [1, 1, u64::MAX, 1]),
            "`x`",
            "`space`",
            "18446744073709551614",
        ),
        (at([0, 0, 0, 2], [1, 1, 1, 2]), "`band`", "`band`", "3"),
        (at([0, 0, 0, -1], [1, 1, 1, 2]), "`band`", "`band`", "-1"),
    ];
    for (error, axis, dimension, number) in cases {
        assert_eq!(error.kind(), &ErrorKind::Invalid);
        let text = error.to_string();
        assert!(
            text.contains(axis) && text.contains(dimension) && text.contains(number),
            "{text}"
        );
    }
    let far = structure
        .location(levels(&[0, 0, 0]), &ChunkIndex::from([0, 0, 1 << 41, 0]))
        .unwrap_err();
    assert_eq!(far.kind(), &ErrorKind::Invalid);
    let text = far.to_string();
    assert!(
        text.contains("`x`") && text.contains("`space`") && text.contains("2199023255552"),
        "{text}"
    );
}

/// The last cells of the index space can be put and read; the one behind them cannot.
#[test]
fn the_index_space_ends_where_it_says() {
    let structure = Structure::builder()
        .dimension(Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 4)]))
        .build()
        .unwrap();
    let error = structure
        .check(&Window::new([1 << 45], [1]))
        .unwrap_err()
        .to_string();
    let numbers: Vec<i64> = error
        .split(|c: char| !c.is_ascii_digit() && c != '-')
        .filter_map(|n| n.parse().ok())
        .collect();
    let (first, last) = (numbers[numbers.len() - 2], numbers[numbers.len() - 1]);
    let grid = Store::in_memory()
        .unwrap()
        .create("a", Schema::builder(structure, DType::U8).build().unwrap())
        .unwrap();
    for cell in [first, last] {
        grid.put(&Window::new([cell], [1]), &ndarray::arr1(&[7_u8]))
            .unwrap();
        let read = grid.read(&Query::window(Window::new([cell], [1]))).unwrap();
        assert_eq!(read.array.iter_f64().collect::<Vec<_>>(), [7.0]);
    }
    for cell in [first - 1, last + 1] {
        let error = grid
            .put(&Window::new([cell], [1]), &ndarray::arr1(&[7_u8]))
            .unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Invalid);
    }
    assert_eq!(
        grid.top().unwrap().unwrap().levels()[0],
        *grid.structure().dimensions()[0].levels().end(),
        "one chunk covers the whole space"
    );
}
