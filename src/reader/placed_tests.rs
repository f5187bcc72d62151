//! Answers on targets of another system, held against what lies at their cells by the way between
//! the systems, and against answers on targets of the same system.

use std::sync::Arc;

use ndarray::{Array2, Array3, ArrayD};

use crate::array::DType;
use crate::crs::Transformation;
use crate::grid::Geometry;
use crate::kv::Memory;
use crate::{
    Aggregation, Answer, Axis, Dimension, Extent, Freshness, Grid, Layer, Policy, Query,
    Resampling, Schema, Store, Structure, Window,
};

/// Rows and columns from a corner on: x, y, dx, dy.
type Corner = [f64; 4];

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of cells"
)]
fn whole(count: f64) -> usize {
    count as usize
}

const UTM: Corner = [400_000.0, 5_000_000.0, 30.0, -30.0];

fn plane(crs: &str, [x, y, dx, dy]: Corner, layers: &[Aggregation]) -> Grid {
    let space = Dimension::regular(
        "space",
        [Axis::new("y", y, dy, 16), Axis::new("x", x, dx, 16)],
    );
    let structure = Structure::builder().dimension(space).crs(crs).build();
    let schema = Schema::builder(structure.expect("valid"), DType::F64);
    let schema = layers
        .iter()
        .cloned()
        .fold(schema, |schema, layer| schema.aggregator(layer))
        .build()
        .expect("valid");
    let options = Store::options().policy(Policy::Manual);
    let store = options.open_engine(Arc::new(Memory::new()));
    let store = store.expect("a store");
    store.create("g", schema).expect("created")
}

fn put(grid: &Grid, from: [i64; 2], cells: &Array2<f64>) {
    let (rows, cols) = cells.dim();
    let window = Window::new(from, [rows as u64, cols as u64]);
    grid.put(&window, cells).expect("put");
}

fn rough(rows: usize, cols: usize) -> Array2<f64> {
    Array2::from_shape_fn((rows, cols), |(row, col)| {
        if (4..9).contains(&row) && (11..20).contains(&col) {
            f64::NAN
        } else {
            ((row * 31 + col * 17) % 23) as f64 + row as f64 / 7.0
        }
    })
}

fn target([x, y, dx, dy]: Corner, [rows, cols]: [usize; 2], crs: &str) -> Geometry {
    Geometry::new()
        .axis("y", y, dy, rows)
        .axis("x", x, dx, cols)
        .crs(crs)
}

fn on(grid: &Grid, target: Geometry, how: Resampling) -> Answer {
    let query = Query::all().onto(target).resampled(how);
    grid.read(&query.freshness(Freshness::Fresh)).expect("read")
}

/// Where points of a target, in its cells, lie in cells of a grid.
struct Way {
    way: Transformation,
    target: Corner,
    grid: Corner,
}

impl Way {
    fn new((target, of_target): (Corner, &str), (grid, of_grid): (Corner, &str)) -> Self {
        let way = Transformation::between(of_target, of_grid).expect("known");
        Self { way, target, grid }
    }

    fn place(&self, [col, row]: [f64; 2]) -> [f64; 2] {
        let ([x, y, dx, dy], [left, top, wide, high]) = (self.target, self.grid);
        let at = self.way.forward([x + col * dx, y + row * dy]);
        let [x, y] = at.expect("a place");
        [(x - left) / wide, (y - top) / high]
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within the cells"
)]
fn value(cells: &Array2<f64>, [x, y]: [f64; 2]) -> f64 {
    let (rows, cols) = cells.dim();
    let inside = x >= 0.0 && y >= 0.0 && x < cols as f64 && y < rows as f64;
    if inside {
        cells[[y as usize, x as usize]]
    } else {
        f64::NAN
    }
}

/// Mixed of four centres, of which those count that are data.
fn mixed(cells: &Array2<f64>, [x, y]: [f64; 2]) -> f64 {
    let (left, top) = ((x - 0.5).floor(), (y - 0.5).floor());
    let (mut sum, mut weight) = (0.0, 0.0);
    for (dx, dy) in [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)] {
        let value = value(cells, [left + dx + 0.5, top + dy + 0.5]);
        let part = (1.0 - (x - 0.5 - left - dx).abs()) * (1.0 - (y - 0.5 - top - dy).abs());
        if !value.is_nan() {
            (sum, weight) = (sum + value * part, weight + part);
        }
    }
    sum / weight
}

const DEGREES: Corner = [7.7261, 45.1513, 0.00021, -0.00019];

#[test]
fn every_cell_is_what_lies_at_its_centre() {
    let cells = rough(40, 50);
    let others = [
        ("EPSG:4326", DEGREES),
        (
            "EPSG:4326",
            [DEGREES[0], DEGREES[1] - 0.0152, DEGREES[2], -DEGREES[3]],
        ),
        ("EPSG:3857", [860_010.0, 5_642_010.0, 21.0, -17.0]),
        ("EPSG:3035", [4_142_010.0, 2_452_500.0, 19.0, -23.0]),
    ];
    for (crs, corner) in others {
        for how in [Resampling::Nearest, Resampling::Bilinear] {
            let grid = plane("EPSG:32632", UTM, &[]);
            put(&grid, [0, 0], &cells);
            let way = Way::new((corner, crs), (UTM, "EPSG:32632"));
            let middle = way
                .way
                .back()
                .forward([400_750.0, 4_999_400.0])
                .expect("a place");
            // Around the data, wherever that is.
            let corner = [
                middle[0] - 45.0 * corner[2],
                middle[1] - 40.0 * corner[3],
                corner[2],
                corner[3],
            ];
            let way = Way::new((corner, crs), (UTM, "EPSG:32632"));
            let answer = on(&grid, target(corner, [80, 90], crs), how);
            assert_eq!(answer.array.shape(), [80, 90]);
            let (mut data, mut nearby) = (0, 0);
            for (number, found) in answer.values().enumerate() {
                let at = [(number % 90) as f64 + 0.5, (number / 90) as f64 + 0.5];
                let place = way.place(at);
                let here = value(&cells, place);
                // Within a ten-thousandth of an edge it may be either.
                if place.iter().any(|at| (at - at.round()).abs() < 2e-4) {
                    nearby += 1;
                } else if how == Resampling::Nearest {
                    assert_eq!(found, (!here.is_nan()).then_some(here), "{crs}: {place:?}");
                } else if !here.is_nan() {
                    let off = (found.expect("data") - mixed(&cells, place)).abs();
                    assert!(off < 5e-3, "{crs}: {place:?}: off by {off}");
                }
                data += usize::from(found.is_some());
            }
            assert!(data > 1500 && nearby < 60, "{crs}: {data} {nearby}");
        }
    }
}

/// What a cell of a target has of each value, by many points in it.
fn sampled(cells: &Array2<f64>, way: &Way, [col, row]: [usize; 2]) -> Vec<f64> {
    const SIDE: usize = 24;
    let part = |of: usize, at: usize| of as f64 + (at as f64 + 0.5) / SIDE as f64;
    (0..SIDE * SIDE)
        .map(|at| {
            value(
                cells,
                way.place([part(col, at % SIDE), part(row, at / SIDE)]),
            )
        })
        .filter(|value| !value.is_nan())
        .collect()
}

#[test]
fn every_cell_is_made_of_what_it_overlaps() {
    let cells = rough(40, 50);
    let grid = plane("EPSG:32632", UTM, &[]);
    put(&grid, [0, 0], &cells);
    let corner = [7.7261, 45.1513, 0.0011, -0.0008];
    let middle = Way::new((corner, "EPSG:4326"), (UTM, "EPSG:32632"));
    let middle = middle
        .way
        .back()
        .forward([400_750.0, 4_999_400.0])
        .expect("a place");
    let corner = [
        middle[0] - 13.3 * corner[2],
        middle[1] - 12.4 * corner[3],
        corner[2],
        corner[3],
    ];
    let way = Way::new((corner, "EPSG:4326"), (UTM, "EPSG:32632"));
    let read = |how| on(&grid, target(corner, [25, 27], "EPSG:4326"), how);
    let [area, least, greatest, sum] = [
        Resampling::Area,
        Resampling::Min,
        Resampling::Max,
        Resampling::Sum,
    ]
    .map(|how| read(how).values().collect::<Vec<_>>());
    let mut whole = 0;
    for number in 0..area.len() {
        let samples = sampled(&cells, &way, [number % 27, number / 27]);
        let all = [&area, &least, &greatest, &sum].map(|of| of[number]);
        if samples.is_empty() {
            // What it has lies between the points.
            continue;
        }
        let [area, least, greatest, _] = all.map(|value| value.expect("data"));
        let mean = samples.iter().sum::<f64>() / samples.len() as f64;
        let (low, high) = samples
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(*value), high.max(*value))
            });
        assert!(least <= low && high <= greatest, "{number}");
        let tip = samples.len() < 24 * 24 / 8;
        assert!(
            tip || (area - mean).abs() < 0.5,
            "{number}: {area} for {mean}"
        );
        whole += usize::from(!tip);
    }
    assert!(whole > 100);
    let total: f64 = cells.iter().filter(|value| !value.is_nan()).sum();
    let found: f64 = sum.iter().flatten().sum();
    assert!((found - total).abs() < 1e-7 * total, "{found} of {total}");
    for how in Resampling::ALL {
        let flat = plane("EPSG:32632", UTM, &[]);
        put(&flat, [0, 0], &Array2::from_elem((40, 50), 0.1));
        let answer = on(&flat, target(corner, [25, 27], "EPSG:4326"), how);
        let is_flat = |value: f64| how == Resampling::Sum || value == 0.1;
        assert!(answer.values().flatten().all(is_flat), "{how}");
    }
}

/// ETRS89 has the places of WGS 84, so that its targets are those of the grid's own system.
#[test]
fn a_system_of_the_same_places_has_the_same_answers() {
    let layers: [&[Aggregation]; 3] = [
        &[],
        &[Aggregation::Mean],
        &[Aggregation::Max, Aggregation::Mean, Aggregation::Sum],
    ];
    let cells = rough(60, 70);
    for layers in layers {
        let grid = plane("EPSG:4326", [7.0, 46.0, 0.01, -0.01], layers);
        put(&grid, [-3, 5], &cells);
        for (size, how) in [0.003, 0.0137, 0.0271, 0.093]
            .into_iter()
            .flat_map(|size| Resampling::ALL.map(|how| (size, how)))
        {
            let corner = [7.0 + size * 0.37, 46.1 - size * 0.21, size, -size * 1.13];
            let lens = [1.1, 1.0].map(|side| whole(side / size));
            let own = on(&grid, target(corner, lens, "EPSG:4326"), how);
            let other = on(&grid, target(corner, lens, "EPSG:4258"), how);
            let at = format!("{layers:?}, {size}, {how}");
            let levels = [&own, &other].map(|answer| answer.window.levels(1));
            assert_eq!(levels[0], levels[1], "{at}");
            assert_eq!(own.layer, other.layer, "{at}");
            assert_eq!(own.array.shape(), other.array.shape(), "{at}");
            for (number, (a, b)) in own.values().zip(other.values()).enumerate() {
                let same = match (a, b) {
                    (Some(a), Some(b)) => (a - b).abs() <= 1e-6 * (1.0 + a.abs()),
                    (a, b) => a == b,
                };
                assert!(same, "{at}: cell {number}: {b:?} for {a:?}");
            }
        }
    }
}

#[test]
fn the_level_is_as_fine_as_every_cell_over_data() {
    let grid = plane(
        "EPSG:4326",
        [7.0, 46.0, 0.001, -0.001],
        &[Aggregation::Mean],
    );
    put(&grid, [0, 0], &rough(200, 220));
    // 0.001 degrees are 111 m along y, and some 78 m along x, so that y tells.
    for (size, level) in [
        (60.0, 0),
        (170.0, 0),
        (218.0, 0),
        (230.0, 1),
        (440.0, 1),
        (460.0, 2),
    ] {
        let corner = [345_000.0, 5_096_000.0, size, -size];
        let lens = [25_000.0, 20_000.0].map(|side| whole(side / size));
        let query = Query::all().onto(target(corner, lens, "EPSG:32632"));
        let explained = grid.explain(&query.clone().freshness(Freshness::Fresh));
        let levels = explained.expect("explained").levels;
        assert_eq!(levels[0].get(), level, "{size}");
        let area = query
            .resampled(Resampling::Area)
            .freshness(Freshness::Fresh);
        assert_eq!(grid.explain(&area).expect("explained").levels[0].get(), 0);
    }
}

#[test]
fn what_is_told_of_an_answer_is_that_of_the_places_read() {
    let grid = plane(
        "EPSG:4326",
        [7.0, 46.0, 0.001, -0.001],
        &[Aggregation::Mean],
    );
    put(&grid, [0, 0], &rough(200, 220));
    grid.aggregate().expect("aggregated");
    let corner = [345_000.0, 5_092_000.0, 400.0, -400.0];
    let query = Query::all().onto(target(corner, [20, 20], "EPSG:32632"));
    let told = |query: &Query| {
        let answer = grid.read(query).expect("read");
        let explained = grid.explain(query).expect("explained");
        assert_eq!(explained.stored, answer.chunks_read);
        assert_eq!(explained.window, answer.window);
        (grid.version(query).expect("a version"), answer)
    };
    let (version, answer) = told(&query);
    let serving = grid.serving(&query).expect("served");
    assert_eq!(serving.len() as u64, answer.chunks_read);
    assert!(answer.stale.is_empty() && answer.chunks_read > 0);
    assert!(answer.window.levels(1)[0].get() > 0);
    assert!(answer.values().all(|value| value.is_some()));
    // Far from the target nothing changes.
    put(&grid, [190, 0], &Array2::from_elem((1, 1), 5.0));
    let (after, same) = told(&query);
    assert_eq!((after, &same.array), (version, &answer.array));
    put(&grid, [100, 60], &Array2::from_elem((1, 1), 500.0));
    let (stale, told_stale) = told(&query);
    assert!(stale != version && !told_stale.stale.is_empty());
    assert_eq!(told_stale.array, answer.array);
    let fresh = query.clone().freshness(Freshness::Fresh);
    let (_, fresh) = told(&fresh);
    assert!(fresh.stale.is_empty() && fresh.array != answer.array);
    grid.aggregate().expect("aggregated");
    let (done, now) = told(&query);
    assert!(done != version && now.array == fresh.array);
    let other = query.clone().resampled(Resampling::Bilinear);
    assert_ne!(told(&other).0, done);
    let moved = Query::all().onto(target(
        [345_001.0, corner[1], corner[2], corner[3]],
        [20, 20],
        "EPSG:32632",
    ));
    assert_ne!(told(&moved).0, done);
}

#[test]
fn a_target_beside_all_data_is_blank() {
    let grid = plane("EPSG:32632", UTM, &[Aggregation::Mean]);
    put(&grid, [0, 0], &rough(40, 50));
    for how in Resampling::ALL {
        for corner in [[12.0, 50.0, 0.001, -0.001], [-170.0, -45.0, 0.01, 0.01]] {
            let answer = on(&grid, target(corner, [70, 30], "EPSG:4326"), how);
            assert_eq!(answer.array.shape(), [70, 30]);
            assert!(answer.values().all(|value| value.is_none()), "{how}");
        }
    }
}

#[test]
fn the_other_axes_are_as_they_are_wherever_they_stand() {
    let cells = Array3::from_shape_fn((3, 40, 50), |(band, row, col)| {
        rough(40, 50)[[row, col]] + 100.0 * band as f64
    });
    let space = || {
        let [x, y, dx, dy] = UTM;
        let axes = [Axis::new("y", y, dy, 16), Axis::new("x", x, dx, 16)];
        Dimension::regular("space", axes).refinable()
    };
    let others = || {
        [
            Dimension::fixed("band", ["a", "b", "c"]),
            Dimension::regular("t", [Axis::new("t", 0.0, 1.0, 2)]),
        ]
    };
    let alone = plane("EPSG:32632", UTM, &[]);
    put(&alone, [0, 0], &rough(40, 50));
    let corner = [7.7261, 45.1513, 0.0004, -0.0003];
    for how in Resampling::ALL
        .into_iter()
        .filter(|how| *how != Resampling::Sum)
    {
        let wanted = on(&alone, target(corner, [70, 80], "EPSG:4326"), how);
        let wanted: Vec<_> = wanted.values().collect();
        for (number, dimension) in others().into_iter().enumerate() {
            for first in [true, false] {
                let builder = Structure::builder().crs("EPSG:32632");
                let builder = if first {
                    builder.dimension(dimension.clone()).dimension(space())
                } else {
                    builder.dimension(space()).dimension(dimension.clone())
                };
                let structure = builder.build().expect("valid");
                let schema = Schema::builder(structure, DType::F64)
                    .build()
                    .expect("valid");
                let store = Store::in_memory().expect("a store");
                let grid = store.create("g", schema).expect("created");
                let order = if first { [0, 1, 2] } else { [1, 2, 0] };
                let turned = cells.view().permuted_axes(order);
                let shape: Vec<u64> = turned.shape().iter().map(|len| *len as u64).collect();
                let window = Window::new([0, 0, 0], [shape[0], shape[1], shape[2]]);
                grid.put(&window, &turned.as_standard_layout().to_owned())
                    .expect("put");
                let answer = on(&grid, target(corner, [70, 80], "EPSG:4326"), how);
                let found: Vec<_> = answer.values().collect();
                let found = ArrayD::from_shape_vec(answer.array.shape(), found).expect("cells");
                for band in 0..3 {
                    let plane = found.index_axis(ndarray::Axis(if first { 0 } else { 2 }), band);
                    for (found, wanted) in plane.iter().zip(&wanted) {
                        let wanted = wanted.map(|value| value + 100.0 * band as f64);
                        let same = match (found, wanted) {
                            (Some(found), Some(wanted)) => (found - wanted).abs() < 1e-9,
                            (found, wanted) => *found == wanted,
                        };
                        assert!(same, "{how}, {number}, {first}: {found:?} for {wanted:?}");
                    }
                }
            }
        }
    }
}

/// A field over the globe without a seam.
fn field([lon, lat]: [f64; 2]) -> f64 {
    10.0 * lon.to_radians().cos() * lat.to_radians().cos() + lat / 9.0
}

fn globe(layers: &[Aggregation], west: f64) -> Grid {
    let grid = plane("EPSG:4326", [west, 90.0, 1.0, -1.0], layers);
    let cells = Array2::from_shape_fn((180, 360), |(row, col)| {
        field([west + col as f64 + 0.5, 89.5 - row as f64])
    });
    put(&grid, [0, 0], &cells);
    grid
}

#[test]
fn poles_and_the_antimeridian_are_no_seams() {
    let targets = [
        ("EPSG:3413", [-3e6, 3e6, 1e5, -1e5], [60, 60]),
        ("EPSG:3031", [-2e6, 2.05e6, 1e5, -1e5], [41, 40]),
        (
            "EPSG:32601",
            [100_000.0, 6_000_000.0, 40_000.0, -40_000.0],
            [50, 20],
        ),
        (
            "EPSG:3832",
            [2_000_000.0, 5_000_000.0, 50_000.0, -50_000.0],
            [60, 60],
        ),
    ];
    for (west, layers) in [
        (-180.0, vec![]),
        (0.0, vec![Aggregation::Mean]),
        (-30.0, vec![]),
    ] {
        let grid = globe(&layers, west);
        for (crs, corner, lens) in targets {
            let way = Transformation::between(crs, "EPSG:4326").expect("known");
            for how in Resampling::ALL {
                let answer = on(&grid, target(corner, lens, crs), how);
                for (number, found) in answer.values().enumerate() {
                    let (row, col) = (number / lens[1], number % lens[1]);
                    let at = [
                        corner[0] + (col as f64 + 0.5) * corner[2],
                        corner[1] + (row as f64 + 0.5) * corner[3],
                    ];
                    let place = way.forward(at).expect("a place");
                    if how == Resampling::Sum || how == Resampling::Mode {
                        assert!(found.is_some(), "{west}, {crs}, {how}: {place:?}");
                        continue;
                    }
                    let off = (found.expect("data") - field(place)).abs();
                    assert!(off < 0.6, "{west}, {crs}, {how}: {place:?}: off by {off}");
                }
            }
        }
    }
}

#[test]
fn a_target_of_longitudes_goes_round_a_grid_of_mercator() {
    // A thousandth of the globe.
    let size = 40_075.016_685_578_49;
    let west = -500.0 * size;
    let grid = plane("EPSG:3857", [west, 200.0 * size, size, -size], &[]);
    let way = Transformation::between("EPSG:3857", "EPSG:4326").expect("known");
    let cells = Array2::from_shape_fn((400, 1000), |(row, col)| {
        let at = [
            west + (col as f64 + 0.5) * size,
            (199.5 - row as f64) * size,
        ];
        field(way.forward(at).expect("a place"))
    });
    put(&grid, [0, 0], &cells);
    for from in [170.0, -190.0] {
        for how in Resampling::ALL {
            let corner = [from, 40.0, 0.7, -0.6];
            let answer = on(&grid, target(corner, [40, 28], "EPSG:4326"), how);
            for (number, found) in answer.values().enumerate() {
                let (row, col) = ((number / 28) as f64, (number % 28) as f64);
                let place = [from + (col + 0.5) * 0.7, 40.0 - (row + 0.5) * 0.6];
                let found = found.unwrap_or_else(|| panic!("{from}, {how}: {place:?}: no data"));
                let off = (found - field(place)).abs();
                let is_near = how == Resampling::Sum || off < 0.2;
                assert!(is_near, "{from}, {how}: {place:?}: off by {off}");
            }
        }
    }
}

#[test]
fn totals_are_kept_over_the_seam() {
    let grid = globe(&[], -180.0);
    let total: f64 = grid
        .read(&Query::all())
        .expect("read")
        .array
        .iter_f64()
        .sum();
    // The whole globe by longitudes from elsewhere on, on a sphere of the same latitudes.
    let corner = [-3.3, 90.0, 3.0, -3.0];
    let all = on(
        &grid,
        target(corner, [60, 120], "EPSG:4258"),
        Resampling::Sum,
    );
    let found: f64 = all.values().flatten().sum();
    assert!(
        (found - total).abs() < 1e-6 * total.abs().max(1.0),
        "{found} of {total}"
    );
}

/// Around the place that lies across the globe from the middle of a projection, corners lie in all
/// directions: what lies between them is not the cell.
#[test]
fn a_cell_across_the_globe_has_nothing_of_the_data() {
    let corner = [4_000_000.0, 3_500_000.0, 50_000.0, -50_000.0];
    let grid = plane("EPSG:3035", corner, &[]);
    put(&grid, [0, 0], &Array2::from_elem((20, 20), 1.0));
    for how in Resampling::ALL {
        let world = on(
            &grid,
            target([-180.0, 90.0, 7.0, -7.0], [26, 52], "EPSG:4326"),
            how,
        );
        for (number, found) in world
            .values()
            .enumerate()
            .filter(|(_, found)| found.is_some())
        {
            let place = [
                -180.0 + 7.0 * (number % 52) as f64,
                90.0 - 7.0 * (number / 52) as f64,
            ];
            let near = (-10.0..40.0).contains(&place[0]) && (30.0..70.0).contains(&place[1]);
            assert!(near, "{how}: {place:?} has {found:?}");
        }
    }
}

#[test]
fn layers_that_measure_keep_their_totals_and_shares_count() {
    let layers = [Aggregation::Count, Aggregation::Variance, Aggregation::Sum];
    let grid = plane("EPSG:4326", [7.0, 46.0, 0.001, -0.001], &layers);
    put(&grid, [0, 0], &rough(100, 120));
    let corner = [340_000.0, 5_100_000.0, 700.0, -700.0];
    let read = |layer, how| {
        let query = Query::all().onto(target(corner, [40, 40], "EPSG:32632"));
        let query = query.layer(Layer::Aggregate(layer)).resampled(how);
        grid.read(&query.freshness(Freshness::Fresh)).expect("read")
    };
    let count: f64 = read(Aggregation::Count, Resampling::Nearest)
        .values()
        .flatten()
        .sum();
    assert!((count - (100.0 * 120.0 - 45.0)).abs() < 1e-6, "{count}");
    let variance = read(Aggregation::Variance, Resampling::Area);
    assert!(variance.values().flatten().all(f64::is_finite));
}

#[test]
fn what_has_no_place_is_refused_with_the_line_that_works() {
    let grid = plane("EPSG:32632", UTM, &[]);
    put(&grid, [0, 0], &rough(4, 4));
    let refused = |target: Geometry| {
        let error = grid.read(&Query::all().onto(target)).expect_err("refused");
        error.to_string()
    };
    let corner = [7.7, 45.1, 0.01, -0.01];
    for (target, why, line) in [
        (
            target(corner, [2, 3], "EPSG:26711"),
            "shifted by a grid (NADCON)",
            "gdalwarp -t_srs EPSG:26711 -te 7.7 45.08 7.73 45.1 -ts 3 2 CELLS.tif",
        ),
        (
            target(corner, [2, 3], "EPSG:999999"),
            "EPSG:999999",
            "gdalwarp",
        ),
        (
            target(corner, [2, 3], "moon"),
            "moon",
            "gdalwarp -t_srs SYSTEM",
        ),
        (
            Geometry::new().axis("x", 7.7, 0.01, 3).crs("EPSG:4326"),
            "none along axis `y`",
            "gdalwarp -t_srs EPSG:4326 CELLS.tif",
        ),
    ] {
        let error = refused(target);
        assert!(error.contains(why) && error.contains(line), "{error}");
    }
    let many = refused(target(
        [0.0, 0.0, 1e-9, 1e-9],
        [1 << 20, 1 << 20],
        "EPSG:4326",
    ));
    assert!(many.contains("a part of the target at a time"), "{many}");
    // Extents of the world count for other axes alone.
    let corner = [7.7261, 45.1513, 0.0004, -0.0003];
    let far = Query::extent(Extent::new([(0.0, 1.0), (0.0, 1.0)]));
    let near = Query::all().onto(target(corner, [9, 9], "EPSG:4326"));
    let far = far.onto(target(corner, [9, 9], "EPSG:4326"));
    let [far, near] = [far, near].map(|query| grid.read(&query).expect("read").array);
    assert_eq!(far.shape(), near.shape());
}

/// GDAL's warper, which places every centre exactly, has the same cells.
#[test]
fn nearest_and_bilinear_are_those_of_gdal() {
    let stored: serde_json::Value =
        serde_json::from_str(include_str!("../../tests/data/resampling/elsewhere.json"))
            .expect("JSON");
    let numbers = |of: &serde_json::Value| -> Vec<f64> {
        let each = of.as_array().expect("a list").iter();
        each.map(|value| value.as_f64().unwrap_or(f64::NAN))
            .collect()
    };
    let rows: Vec<Vec<f64>> = stored["source"]
        .as_array()
        .expect("rows")
        .iter()
        .map(numbers)
        .collect();
    let cells = Array2::from_shape_fn((rows.len(), rows[0].len()), |(row, col)| rows[row][col]);
    let own = stored["crs"].as_str().expect("a system");
    let grid = plane(own, corner_of(&stored), &[]);
    put(&grid, [0, 0], &cells);
    for case in stored["cases"].as_array().expect("cases") {
        let how = match case["method"].as_str() {
            Some("near") => Resampling::Nearest,
            _ => Resampling::Bilinear,
        };
        let lens = numbers(&case["shape"]);
        let lens = [lens[0], lens[1]].map(whole);
        let (crs, corner) = (case["crs"].as_str().expect("a system"), corner_of(case));
        let answer = on(&grid, target(corner, lens, crs), how);
        let wanted = numbers(&case["cells"]);
        assert_eq!(wanted.len(), answer.values().count());
        let way = Way::new((corner, crs), (corner_of(&stored), own));
        let mut same = 0;
        for (number, (found, wanted)) in answer.values().zip(wanted).enumerate() {
            let at = [
                (number % lens[1]) as f64 + 0.5,
                (number / lens[1]) as f64 + 0.5,
            ];
            let place = way.place(at);
            if place.iter().any(|at| (at - at.round()).abs() < 2e-4) {
                continue;
            }
            // GDAL's bilinear leaves more without data beside what has none.
            let found = found.unwrap_or(f64::NAN);
            if how == Resampling::Nearest || !wanted.is_nan() {
                let is_same = found.is_nan() && wanted.is_nan() || (found - wanted).abs() < 5e-3;
                assert!(is_same, "{crs}, {how}: {place:?}: {found} for {wanted}");
                same += usize::from(!found.is_nan());
            }
        }
        assert!(same > 300, "{crs}, {how}: {same}");
    }
}

fn corner_of(stored: &serde_json::Value) -> Corner {
    let corner = stored["corner"].as_array().expect("a list");
    [0, 1, 2, 3].map(|at| corner[at].as_f64().expect("a number"))
}

#[test]
fn a_level_on_whose_edges_the_data_does_not_begin_loses_no_column_at_the_seam() {
    let grid = plane("EPSG:4326", [0.0, 90.0, 1.0, -1.0], &[Aggregation::Mean]);
    // The value of a column is its longitude.
    let cells = Array2::from_shape_fn((180, 360), |(_, col)| col as f64 - 179.5);
    put(&grid, [0, -180], &cells);
    grid.aggregate().expect("aggregated");
    let side = 1_100_000.0;
    let middle = 178.0 * 20_037_508.342_789_244 / 180.0;
    let corner = [middle - 1.5 * side, side, side, -side];
    let query = Query::all()
        .onto(target(corner, [1, 3], "EPSG:3857"))
        .resampled(Resampling::Nearest);
    let answer = grid.read(&query).expect("an answer");
    let cell = answer.values().nth(1).expect("three cells").expect("data");
    assert!((cell - 178.0).abs() <= 8.0, "{cell} at 178 degrees");
}
