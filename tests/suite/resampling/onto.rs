//! Answers on the cells of a target.

use gridstone::grid::Geometry;

use super::*;

/// Cells along an axis of the world, partly beyond the data: on edges of cells or not, in either
/// direction.
fn line(name: &str, (from, to): (i64, i64), dice: &mut Dice) -> (String, f64, f64, usize) {
    let parts = dice.pick(&[1, 3, 4, 7]) as f64;
    let start = dice.range(from * 4, to * 4) as f64 / parts.min(4.0);
    let step = dice.range(1, 24) as f64 / parts;
    let step = if dice.chance(50) { -step } else { step };
    (
        name.to_owned(),
        start,
        step,
        usize::try_from(dice.range(1, 9)).unwrap(),
    )
}

#[test]
fn every_cell_of_a_target_is_made_of_what_it_overlaps() {
    let layers: [&[Aggregation]; 3] = [
        &[],
        &[Aggregation::Mean],
        &[
            Aggregation::Sum,
            Aggregation::Min,
            Aggregation::Mean,
            Aggregation::Max,
        ],
    ];
    worlds(5, &layers, |world, dice, at| {
        let (y, x) = (line("y", (-30, 6), dice), line("x", (-6, 30), dice));
        let mut target = Geometry::new()
            .axis(y.0, y.1, y.2, y.3)
            .axis(x.0, x.1, x.2, x.3);
        if world.timed && dice.chance(50) {
            let t = line("t", (-2, 8), dice);
            target = target.axis(t.0, t.1, t.2, t.3);
        }
        let how = dice.pick(&[
            Resampling::Area,
            Resampling::Min,
            Resampling::Max,
            Resampling::Mode,
            Resampling::Sum,
        ]);
        let query = Query::all()
            .onto(target.clone())
            .resampled(how)
            .freshness(Freshness::Fresh);
        let answer = world
            .grid
            .read(&query)
            .unwrap_or_else(|error| panic!("{at}: {query:?}: {error}"));
        assert_eq!(answer.target.as_ref(), Some(&target), "{at}: {query:?}");
        for (axis, len) in world.grid.structure().axes().zip(answer.array.shape()) {
            assert!(
                target.line(axis.name()).is_none_or(|line| line.len == *len),
                "{at}: {query:?}"
            );
        }
        for (number, (found, sides)) in answer.values().zip(world.boxes(&answer)).enumerate() {
            let (wanted, area) = world.made(how, sides);
            let off = if answer.array.dtype().is_float() {
                1e-5
            } else {
                1.5
            };
            let exact = [Resampling::Min, Resampling::Max, Resampling::Mode].contains(&how);
            let right = match (found, wanted) {
                (None, _) => area < 1e-5,
                (Some(found), Some(wanted)) => {
                    if exact {
                        found == wanted
                    } else {
                        (found - wanted).abs() <= off * (1.0 + wanted.abs()).max(1.0)
                    }
                }
                (Some(_), None) => false,
            };
            assert!(
                right,
                "{at}: {query:?}: cell {number} over {sides:?}: {found:?} for {wanted:?} ({area} valid)"
            );
        }
    });
}

/// A target is no other way of reading: its cells are those of an extent and a shape, turned.
#[test]
fn the_cells_of_an_extent_are_those_of_its_target_in_either_direction() {
    let layers: [&[Aggregation]; 2] = [&[], &[Aggregation::Mean, Aggregation::Sum]];
    worlds(6, &layers, |world, dice, at| {
        let how = dice.pick(&Resampling::ALL);
        let (extent, shape) = (world.extent(dice), world.shape(dice));
        let of_shape = Query::extent(extent.clone())
            .shape(shape.clone())
            .resampled(how)
            .freshness(Freshness::Fresh);
        let wanted = world.grid.read(&of_shape).unwrap();
        let (mut target, mut turned) = (Geometry::new(), Vec::new());
        for (number, axis) in world.grid.structure().axes().enumerate() {
            let (lower, upper) = extent.bounds()[number];
            let cell = (upper - lower) / shape[number] as f64;
            let down = dice.chance(50);
            let (start, step) = if down { (upper, -cell) } else { (lower, cell) };
            target = target.axis(axis.name(), start, step, shape[number]);
            if down != (axis.step() < 0.0) {
                turned.push(number);
            }
        }
        let query = Query::all()
            .onto(target)
            .resampled(how)
            .freshness(Freshness::Fresh);
        let found = world.grid.read(&query).unwrap();
        let plain = |answer: &Answer| {
            let cells: Vec<Option<f64>> = answer.values().collect();
            ndarray::ArrayD::from_shape_vec(answer.array.shape(), cells).unwrap()
        };
        let (found, mut wanted) = (plain(&found), plain(&wanted));
        turned
            .iter()
            .for_each(|axis| wanted.invert_axis(ndarray::Axis(*axis)));
        let near = |(a, b): (&Option<f64>, &Option<f64>)| match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-5 * (1.0 + b.abs()),
            (a, b) => a == b,
        };
        assert!(
            found.iter().zip(wanted.iter()).all(near),
            "{at}: {query:?}: {found:?} for {wanted:?}"
        );
    });
}

#[test]
fn what_is_no_target_is_refused_with_the_reason() {
    let grid = plane(&[], DType::F32, 2);
    grid.put(
        &Window::new([0, 0, 0], [2, 8, 8]),
        &Array3::from_elem((2, 8, 8), 1.0_f32),
    )
    .unwrap();
    let refused = |target: Geometry| {
        grid.read(&Query::all().onto(target))
            .expect_err("no target")
            .to_string()
    };
    for (target, part) in [
        (
            Geometry::new().axis("z", 0.0, 1.0, 1),
            "the grid has band, y, x",
        ),
        (
            Geometry::new()
                .axis("y", 0.0, 1.0, 1)
                .axis("y", 0.0, 1.0, 1),
            "twice",
        ),
        (
            Geometry::new().axis("band", 0.0, 1.0, 2),
            "labels of the grid's own",
        ),
        (Geometry::new().axis("y", f64::NAN, 1.0, 1), "no target"),
        (Geometry::new().axis("y", 0.0, 0.0, 1), "no target"),
        (Geometry::new().axis("y", 0.0, 1.0, 0), "no target"),
        (
            Geometry::new().axis("y", 0.0, 1e300, usize::MAX),
            "no target",
        ),
        (Geometry::new().axis("y", 0.0, 1e-9, 1 << 40), "cells"),
    ] {
        let error = refused(target);
        assert!(error.contains(part), "{error}");
    }
    let level = Query::all()
        .level("space", 1)
        .onto(Geometry::new().axis("y", 0.0, 1.0, 1));
    assert!(
        grid.read(&level)
            .expect_err("both")
            .to_string()
            .contains("a level and a resolution, shape or target")
    );
}

/// Longitudes of 0 to 360 in a grid of -180 to 180, and a target over its seam.
#[test]
fn longitudes_are_turned_to_where_the_grid_has_them() {
    let space = Dimension::regular(
        "space",
        [
            Axis::new("y", 90.0, -10.0, 8),
            Axis::new("x", -180.0, 10.0, 8),
        ],
    );
    let structure = Structure::builder()
        .dimension(space)
        .crs("EPSG:4326")
        .build()
        .unwrap();
    let grid = Store::in_memory()
        .unwrap()
        .create("g", Schema::builder(structure, DType::F64).build().unwrap())
        .unwrap();
    grid.put(
        &Window::new([0, 0], [18, 36]),
        &Array2::from_shape_fn((18, 36), |(_, x)| x as f64),
    )
    .unwrap();
    let of = |start: f64, len: usize| {
        let target = Geometry::new()
            .axis("y", 50.0, -10.0, 1)
            .axis("x", start, 10.0, len)
            .crs("EPSG:4326");
        grid.read(&Query::all().onto(target))
            .map(|answer| answer.values().flatten().collect::<Vec<f64>>())
    };
    assert_eq!(of(190.0, 3).unwrap(), [1.0, 2.0, 3.0]);
    assert_eq!(of(-180.0, 36).unwrap().len(), 36);
    let seam = of(170.0, 2).expect_err("over the seam").to_string();
    assert!(
        seam.contains("goes over the seam") && seam.contains("-180 to 180"),
        "{seam}"
    );
    let (y, x) = (("y", 50.0, -10.0, 1), ("x", 0.0, 10.0, 2));
    for (lines, options) in [
        (vec![y, x], " -te 0 40 20 50 -ts 2 1"),
        (vec![x, y], " -te 0 40 20 50 -ts 2 1"),
        (vec![x], ""),
        (vec![], ""),
    ] {
        let other = lines
            .into_iter()
            .fold(Geometry::new(), |other, (name, start, step, len)| {
                other.axis(name, start, step, len)
            });
        // Of a datum that is shifted by grids.
        let other = grid
            .read(&Query::all().onto(other.crs("EPSG:26711")))
            .expect_err("another system")
            .to_string();
        assert!(
            other.contains(&format!("gdalwarp -t_srs EPSG:26711{options} CELLS.tif")),
            "{other}"
        );
    }
}

#[test]
fn along_axes_that_a_target_does_not_name_the_region_counts() {
    let grid = plane(&[], DType::F32, 3);
    let cells = Array3::from_shape_fn((3, 8, 8), |(band, _, x)| (10 * band + x) as f32);
    grid.put(&Window::new([0, 0, 0], [3, 8, 8]), &cells)
        .unwrap();
    let target = Geometry::new()
        .axis("y", -2.0, -1.0, 1)
        .axis("x", 3.0, 1.0, 3);
    // A grid without a coordinate reference system takes any for its own.
    for target in [target.clone(), target.crs("EPSG:25832")] {
        let answer = grid
            .read(&Query::window(Window::new([1, 0, 0], [2, 1, 1])).onto(target))
            .unwrap();
        assert_eq!(answer.array.shape(), [2, 1, 3]);
        assert_eq!(
            answer.values().flatten().collect::<Vec<f64>>(),
            [13.0, 14.0, 15.0, 23.0, 24.0, 25.0]
        );
    }
}
