use proptest::prelude::*;

use super::*;
use crate::array::DType;
use crate::grid::{Axis, CellIndex, Dimension, Schema, Shape};
use crate::kv::{Durability, Engine, Memory};
use crate::store::{Policy, Store};

fn structure() -> Structure {
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
    );
    Structure::builder()
        .dimension(space)
        .build()
        .expect("a valid structure")
}

fn holds(all: &Window, part: &Window) -> bool {
    let (all_end, part_end) = (all.end(), part.end());
    (0..2).all(|axis| all.start()[axis] <= part.start()[axis] && part_end[axis] <= all_end[axis])
}

fn window(level: i8, start: [i64; 2], shape: [u64; 2]) -> Window {
    let levels = [Level::new(level).expect("a level")].into_iter().collect();
    Window::new(
        CellIndex::from(start.as_slice()),
        Shape::from(shape.as_slice()),
    )
    .at(levels)
}

proptest! {
    #[test]
    fn few_boxes_hold_all_of_many(
        boxes in proptest::collection::vec((0..4_i8, -99..99_i64, -99..99_i64, 1..9_u64, 1..9_u64), 0..80)
    ) {
        let structure = structure();
        let many: Vec<Window> = boxes.iter().map(|&(level, y, x, h, w)| window(level, [y, x], [h, w])).collect();
        let few = few(&structure, many.clone());
        prop_assert!(few.len() <= BOXES_MAX);
        prop_assert!(many.len() > BOXES_MAX || few.len() <= many.len());
        for window in &many {
            let held = few.iter().any(|all| {
                window.levels(1).covers(&all.levels(1)) && holds(all, &structure.cover(window, all.levels(1)))
            });
            prop_assert!(held, "{window:?} is in none of {few:?}");
        }
    }

    #[test]
    fn a_token_is_parsed_as_it_is_printed_and_in_the_same_order(a: (u64, u32, u64), b: (u64, u32, u64)) {
        let [a, b] = [a, b].map(|(store, grid, sequence)| Token { store, grid: GridId(grid), sequence });
        prop_assert_eq!(a.to_string().parse::<Token>().expect("a token"), a.clone());
        prop_assert_eq!(a.to_string().cmp(&b.to_string()), a.cmp(&b));
    }

    #[test]
    fn whatever_text_is_a_token_only_if_it_is_printed_so(text: String) {
        if let Ok(token) = text.parse::<Token>() {
            prop_assert_eq!(token.to_string(), text);
        }
    }
}

#[test]
fn neighbours_in_the_row_are_joined_and_clusters_stay_apart() {
    let structure = structure();
    let many: Vec<Window> = (0..32)
        .map(|i| window(0, [0, if i < 16 { i } else { 1000 + i }], [1, 1]))
        .collect();
    let boxes = few(&structure, many);
    assert_eq!(boxes.len(), BOXES_MAX);
    assert!(boxes.iter().all(|all| all.shape()[1] < 20), "{boxes:?}");
}

fn store() -> (Arc<dyn Engine>, Store, Grid) {
    let engine: Arc<dyn Engine> = Arc::new(Memory::new());
    let store = Store::options()
        .policy(Policy::Manual)
        .open_engine(Arc::clone(&engine))
        .expect("memory opens");
    let x = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 4)]);
    let structure = Structure::builder()
        .dimension(x)
        .build()
        .expect("a valid structure");
    let grid = store
        .create(
            "a",
            Schema::builder(structure, DType::U8)
                .build()
                .expect("valid"),
        )
        .expect("new");
    (engine, store, grid)
}

fn commit(store: &Store, grid: &Grid, number: &BatchNumber) {
    let snapshot = store.current().expect("memory");
    let mut batch = Batch::at(snapshot.as_ref());
    let base = vec![Window::new([0], [1]).at(Levels::zero(1))];
    record(
        grid,
        &mut batch,
        number,
        Changed {
            base,
            aggregates: Vec::new(),
            to: Levels::zero(1),
            finest: Levels::zero(1),
        },
    )
    .expect("recorded");
    Store::stamp(&mut batch, number);
    store.commit(batch, Durability::Sync).expect("committed");
}

/// Whoever follows a feed and notes what is shown.
struct Follower {
    token: Token,
    seen: Vec<u64>,
}

impl Follower {
    fn of(grid: &Grid) -> Self {
        Self {
            token: token(grid).expect("a token"),
            seen: Vec::new(),
        }
    }

    fn ask(&mut self, grid: &Grid) {
        let shown = since(grid, &self.token).expect("readable");
        self.seen
            .extend(shown.changes.iter().map(|change| change.sequence));
        self.token = shown.next;
        assert_eq!(
            token(grid).expect("a token"),
            self.token,
            "nothing is between the last entry and the present"
        );
    }
}

/// The numbers of the entries that a snapshot shows, whatever is under way.
fn entries(grid: &Grid) -> Vec<u64> {
    let snapshot = grid.present().expect("memory");
    let page = snapshot
        .scan(Space::Feed, &feed::all(grid.id()), Order::Ascending, 99)
        .expect("memory");
    let number = |(key, _): &(Vec<u8>, Vec<u8>)| sequence(grid, key).expect("a key");
    page.entries.iter().map(number).collect()
}

/// Every order in which three batches are begun, committed or given up: whoever asks after each
/// step sees every commit once, in the order of the numbers; so does who only reads the store,
/// with the next commit at the latest, and who goes on from a snapshot of any moment.
#[test]
fn commits_that_land_out_of_order_are_shown_once_and_in_order() {
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        for given_up in 0..8_u8 {
            let (engine, store, grid) = store();
            let reader = Store::options()
                .read_only(true)
                .open_engine(engine)
                .and_then(|reader| reader.grid("a"))
                .expect("readable");
            let (mut own, mut beside) = (Follower::of(&grid), Follower::of(&reader));
            let mut pinned: Vec<(Vec<u64>, Follower)> = Vec::new();
            let mut numbers: Vec<Option<BatchNumber>> =
                (0..3).map(|_| Some(store.reserve_sequence())).collect();
            let mut expected: Vec<u64> = Vec::new();
            let mut under_way = [true; 3];
            for next in order {
                let number = numbers[next].take().expect("once");
                if given_up & 1 << next == 0 {
                    commit(&store, &grid, &number);
                    expected.push(number.get());
                }
                let mut ask = || {
                    own.ask(&grid);
                    beside.ask(&reader);
                };
                ask();
                drop(number);
                under_way[next] = false;
                ask();
                if !under_way[..next].contains(&true) && given_up & 1 << next == 0 {
                    assert!(!own.seen.is_empty(), "what waits for nobody is shown");
                    assert!(!beside.seen.is_empty(), "nor anywhere else");
                }
                let then = store.snapshot().and_then(|then| then.grid("a"));
                let then = then.expect("memory");
                pinned.push((entries(&then), Follower::of(&then)));
            }
            let case = format!("{order:?}, given up {given_up:03b}");
            let last = store.reserve_sequence();
            commit(&store, &grid, &last);
            expected.push(last.get());
            drop(last);
            expected.sort_unstable();
            own.ask(&grid);
            assert_eq!(own.seen, expected, "{case}");
            beside.ask(&reader);
            assert_eq!(beside.seen, expected, "beside the writer: {case}");
            for (shown, mut follower) in pinned {
                follower.ask(&grid);
                let missed = expected
                    .iter()
                    .filter(|number| !shown.contains(number) && !follower.seen.contains(number))
                    .count();
                assert_eq!(missed, 0, "behind the snapshot of {shown:?}: {case}");
            }
        }
    }
}

#[test]
fn a_panic_and_a_failure_leave_no_batch_under_way() {
    let (_, store, _) = store();
    let before = store.journal().settled_below();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _number = store.reserve_sequence();
        panic!("in the middle of a batch");
    }));
    assert!(panicked.is_err() && store.journal().settled_below() == before + 1);
}
