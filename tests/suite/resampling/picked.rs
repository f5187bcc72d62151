//! The least, the greatest, the most frequent and the total of the base cells that a cell of an
//! answer overlaps.

use super::*;

const PICKED: [Resampling; 4] = [
    Resampling::Min,
    Resampling::Max,
    Resampling::Mode,
    Resampling::Sum,
];

#[test]
fn they_are_those_of_the_valid_base_cells_with_a_pyramid_and_without() {
    let layers: [&[Aggregation]; 4] = [
        &[],
        &[Aggregation::Mean],
        &[Aggregation::Min, Aggregation::Max, Aggregation::Sum],
        &[Aggregation::Mode { classes: 8 }, Aggregation::Max],
    ];
    worlds(4, &layers, |world, dice, at| {
        let how = dice.pick(&PICKED);
        let query = query(world, dice).resampled(how);
        let answer = world
            .grid
            .read(&query)
            .unwrap_or_else(|error| panic!("{at}: {query:?}: {error}"));
        for (number, (found, sides)) in answer.values().zip(world.boxes(&answer)).enumerate() {
            let (wanted, area) = world.made(how, sides);
            let right = match (found, wanted) {
                (None, _) => area < 1e-6,
                (Some(found), Some(wanted)) if how == Resampling::Sum => {
                    (found - wanted).abs() < 1e-6 * (1.0 + wanted.abs())
                }
                (found, wanted) => found == wanted,
            };
            assert!(
                right,
                "{at}: {query:?}: cell {number} over {sides:?}: {found:?} for {wanted:?} ({area} valid)"
            );
        }
    });
}

#[test]
fn totals_are_widened_and_kept_over_mixed_levels() {
    let layers: [&[Aggregation]; 2] = [&[], &[Aggregation::Sum]];
    for layers in layers {
        let grid = plane(layers, DType::U8, 0);
        grid.put(
            &Window::new([0, 0], [8, 8]),
            &Array2::from_elem((8, 8), 200_u8),
        )
        .unwrap();
        let total = |rows: usize, cols: usize| {
            let answer = grid
                .read(&Query::all().shape([rows, cols]).resampled(Resampling::Sum))
                .unwrap();
            assert_eq!(
                answer.array.dtype(),
                DType::F64,
                "no type of the cells holds it"
            );
            answer.values().flatten().sum::<f64>()
        };
        for (rows, cols) in [(1, 1), (2, 4), (3, 5), (16, 7)] {
            assert!(
                (total(rows, cols) - 64.0 * 200.0).abs() < 1e-8,
                "{layers:?} {rows} {cols}"
            );
        }
        // A fourth of a cell of level 0 each.
        let fine: Levels = [Level::new(-1).unwrap()].into_iter().collect();
        grid.put(
            &Window::new([0, 0], [4, 4]).at(fine),
            &Array2::from_elem((4, 4), 100_u8),
        )
        .unwrap();
        for (rows, cols) in [(1, 1), (4, 4), (3, 5), (16, 16)] {
            let wanted = 60.0 * 200.0 + 4.0 * 100.0;
            assert!(
                (total(rows, cols) - wanted).abs() < 1e-8,
                "{layers:?} {rows} {cols}: {}",
                total(rows, cols)
            );
        }
    }
}

#[test]
fn whole_numbers_beyond_a_double_stay_what_they_are() {
    let grid = plane(&[], DType::U64, 0);
    let cells = Array2::from_shape_fn((4, 4), |(y, x)| (1 << 60) + (4 * y + x) as u64);
    grid.put(&Window::new([0, 0], [4, 4]), &cells).unwrap();
    for (how, wanted) in [
        (Resampling::Min, 0),
        (Resampling::Max, 15),
        (Resampling::Mode, 0),
    ] {
        let answer = grid
            .read(&Query::all().shape([1, 1]).resampled(how))
            .unwrap();
        assert_eq!(
            answer.array,
            ndarray::ArrayD::from_elem(vec![1, 1], (1_u64 << 60) + wanted).into(),
            "{how}"
        );
    }
}

#[test]
fn what_does_not_add_up_has_no_total() {
    let grid = plane(
        &[Aggregation::Mean, Aggregation::Sum, Aggregation::Count],
        DType::F32,
        0,
    );
    grid.put(
        &Window::new([0, 0], [8, 8]),
        &Array2::from_elem((8, 8), 1.0_f32),
    )
    .unwrap();
    let total = Query::all().shape([2, 2]).resampled(Resampling::Sum);
    let error = grid
        .read(&total.clone().layer(Layer::Aggregate(Aggregation::Mean)))
        .expect_err("means")
        .to_string();
    assert!(
        error.contains("layer `mean`") && error.contains("`sum` or `base`"),
        "{error}"
    );
    for layer in [
        Layer::Base,
        Layer::Aggregate(Aggregation::Sum),
        Layer::Aggregate(Aggregation::Count),
    ] {
        let answer = grid.read(&total.clone().layer(layer.clone())).unwrap();
        assert_eq!(
            answer.values().collect::<Vec<_>>(),
            [Some(16.0); 4],
            "{layer}"
        );
    }
}
