//! Equal versions are equal answers.

use std::collections::HashMap;
use std::sync::Arc;

use gridstone::kv::Memory;
use gridstone::{Aggregation, DType, Freshness, Layer, Policy, Query, Version, Window};
use ndarray::arr1;

use super::{KINDS, Kind, line, schema, told};
use crate::check::{self, Dice, levels};

/// After each step of a history: what has a version that was seen before is what it was then, to
/// the last bit.
fn history(kind: &Kind, seed: u64) -> usize {
    let mut dice = Dice(seed);
    let policy = dice.pick(&[Policy::Manual, Policy::Manual, Policy::Inline]);
    let grid = kind.create(Arc::new(Memory::new()), policy);
    let queries = kind.queries();
    let mut seen: HashMap<(usize, Version), (usize, String)> = HashMap::new();
    let (mut again, mut done) = (0, Vec::new());
    for step in 0..14 {
        done.push(kind.step(&grid, &mut dice).unwrap());
        for (number, query) in queries.iter().enumerate() {
            // How up to date an answer is wanted is not part of it.
            let of = number % (queries.len() / 2);
            let answer = grid.read(query);
            let version = match grid.version(query) {
                Ok(version) => version,
                Err(error) => {
                    assert_eq!(
                        told(answer),
                        format!("{:?}: {error}", error.kind()),
                        "{}, seed {seed}: {query:?}",
                        kind.name
                    );
                    continue;
                }
            };
            let now = told(answer);
            let (was_at, was) = seen
                .entry((of, version))
                .or_insert_with(|| (step, now.clone()));
            assert_eq!(
                *was, now,
                "{}, seed {seed}: {query:?}, step {was_at} and {step} of {done:#?}",
                kind.name
            );
            again += usize::from(*was_at != step);
        }
    }
    again
}

#[test]
fn equal_versions_are_equal_answers_of_every_kind() {
    for kind in &KINDS {
        let again: usize = (0..u64::from(check::cases(4)))
            .map(|seed| history(kind, seed))
            .sum();
        assert!(again > 100, "{}: {again} versions came again", kind.name);
    }
}

#[test]
fn the_version_of_a_fresh_answer_changes_when_the_data_goes() {
    let grid = Kind {
        schema: || schema([line("x", 4)], DType::F64, None, &[Aggregation::Sum]),
        ..KINDS[1]
    };
    let grid = grid.create(Arc::new(Memory::new()), Policy::Manual);
    grid.put(&Window::new([0], [16]).at(levels(&[1])), &arr1(&[1.0; 16]))
        .unwrap();
    grid.put(&Window::new([80], [8]), &arr1(&[1.0; 8])).unwrap();
    grid.aggregate().unwrap();
    let query = Query::window(Window::new([0], [4]).at(levels(&[3])))
        .layer(Layer::Aggregate(Aggregation::Sum));
    let query = query.freshness(Freshness::Fresh);
    let get = || {
        (
            grid.version(&query).unwrap(),
            grid.read(&query).unwrap().array.iter_f64().sum::<f64>(),
        )
    };
    let before = get();
    grid.clear(&Window::new([0], [40])).unwrap();
    let after = get();
    assert!(before.1 > 0.0 && after.1.is_nan(), "{before:?} {after:?}");
    assert_ne!(before.0, after.0);
}

/// What is put elsewhere, and makes the grid larger, changes no version of what it does not touch.
#[test]
fn a_version_does_not_change_with_what_is_put_elsewhere() {
    let far = 4000;
    for kind in KINDS.iter().filter(|kind| !kind.is_irregular()) {
        let grid = kind.create(Arc::new(Memory::new()), Policy::Inline);
        let put = |start: i64| {
            let window = Window::new(
                vec![start; kind.span.len()].as_slice(),
                vec![3; kind.span.len()].as_slice(),
            );
            let window = if kind.name == "mixed in bands" {
                window.along(2, 0, 3)
            } else {
                window
            };
            super::put(&grid, &window, &vec![3; kind.span.len()], &mut Dice(1)).unwrap();
        };
        put(0);
        let query = Query::window(Window::new(
            vec![0; kind.span.len()].as_slice(),
            vec![2; kind.span.len()].as_slice(),
        ));
        let before = grid.version(&query).unwrap();
        assert_eq!(
            grid.version(&query.clone().freshness(Freshness::Fresh))
                .unwrap(),
            before,
            "nothing is stale"
        );
        put(far);
        assert_eq!(grid.version(&query).unwrap(), before, "{}", kind.name);
    }
}
