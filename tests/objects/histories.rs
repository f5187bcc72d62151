//! The same history on object storage and in the engine in memory: what is read, its versions and
//! what changed are the same, also after the process has died.

use std::sync::Arc;

use gridstone::kv::{Engine, Memory, Slate};
use gridstone::{Freshness, Policy, Store, Window};

use crate::conformance::{fresh_name, options};
use crate::dice::Dice;
use crate::grids;

/// Both stores, which are told the same.
struct Pair {
    url: String,
    slate: Arc<Slate>,
    memory: Arc<Memory>,
    stores: [Store; 2],
}

impl Pair {
    fn new() -> Self {
        let url = format!("memory://{}", fresh_name());
        let slate = Arc::new(Slate::open(&url, &options()).unwrap());
        let memory = Arc::new(Memory::new());
        let stores = open(&slate, &memory);
        Self {
            url,
            slate,
            memory,
            stores,
        }
    }

    /// The process dies, or ends well, and the stores are opened again.
    fn again(self, dies: bool) -> Self {
        let Self {
            url,
            slate,
            memory,
            stores,
        } = self;
        // What waits for nothing is on the medium, so that both have it.
        stores.iter().for_each(|store| store.flush().unwrap());
        if dies {
            slate.abandon();
        }
        drop((stores, slate));
        let slate = Arc::new(Slate::open(&url, &options()).unwrap());
        let memory = Arc::new(memory.reopen());
        let stores = open(&slate, &memory);
        Self {
            url,
            slate,
            memory,
            stores,
        }
    }

    fn both(&self, act: impl Fn(&Store) -> gridstone::Result<()>) {
        self.stores.iter().for_each(|store| act(store).unwrap());
    }

    /// Whether both show the same.
    fn compare(&self) {
        let shown = |store: &Store| {
            let grid = store.grid("g").unwrap();
            let mut all = Vec::new();
            let top = grid.reach().unwrap().map_or(0, |reach| reach[0].get());
            for level in 0..=top {
                for freshness in [Freshness::Stored, Freshness::Fresh] {
                    let query = grids::query(level).freshness(freshness);
                    let version = grid.version(&query).unwrap().to_string();
                    let answer = grid.read(&query).unwrap();
                    let cells: Vec<u64> = answer.array.iter_f64().map(f64::to_bits).collect();
                    all.push((level, version, answer.window, answer.stale, cells));
                }
            }
            (all, top, grid.marks().unwrap())
        };
        let [slate, memory] = [&self.stores[0], &self.stores[1]].map(shown);
        assert_eq!(slate, memory);
        let token = |store: &Store| {
            let grid = store.grid("g").unwrap();
            grid.changes_token().unwrap()
        };
        assert_eq!(token(&self.stores[0]), token(&self.stores[1]));
    }
}

fn open(slate: &Arc<Slate>, memory: &Arc<Memory>) -> [Store; 2] {
    [
        grids::store(Arc::clone(slate) as Arc<dyn Engine>, Policy::Manual).unwrap(),
        grids::store(Arc::clone(memory) as Arc<dyn Engine>, Policy::Manual).unwrap(),
    ]
}

fn window(dice: &mut Dice) -> Window {
    let start = [0, 1].map(|_| i64::try_from(dice.below(24)).unwrap());
    let shape = [0, 1].map(|_| dice.pick(&[1_u64, 2, 5, 8]));
    Window::new(start, shape)
}

fn run(seed: u64) {
    let mut dice = Dice(seed);
    let mut pair = Pair::new();
    pair.both(|store| grids::grid(store).map(drop));
    pair.both(|store| grids::fill(&store.grid("g")?, &grids::all(), 1));
    let token = pair.stores.each_ref().map(|store| {
        let grid = store.grid("g").unwrap();
        grid.changes_token().unwrap()
    });
    for step in 0..60 {
        let at = window(&mut dice);
        match dice.below(12) {
            0..6 => pair.both(|store| grids::fill(&store.grid("g")?, &at, step)),
            6 => pair.both(|store| store.grid("g")?.clear(&at).map(drop)),
            7 => pair.both(|store| store.grid("g")?.delete(&at).map(drop)),
            8 => pair.both(|store| store.grid("g")?.aggregate().map(drop)),
            9 => pair.both(|store| store.grid("g")?.aggregate_step().map(drop)),
            10 => {
                // A grid that comes and goes: ranges are deleted.
                pair.both(|store| {
                    let other = store.create("other", grids::schema())?;
                    grids::fill(&other, &grids::all(), step)?;
                    other.aggregate()?;
                    store.drop_grid("other")
                });
            }
            _ => pair = pair.again(step % 2 == 0),
        }
        pair.compare();
    }
    let changes = |store: &Store, at: usize| {
        let grid = store.grid("g").unwrap();
        let mut token = token[at].clone();
        let mut all = Vec::new();
        loop {
            let shown = grid.changes_since(&token).unwrap();
            all.extend(shown.changes);
            token = shown.next;
            if !shown.more {
                return all;
            }
        }
    };
    let [slate, memory] = [0, 1].map(|at| changes(&pair.stores[at], at));
    assert!(!slate.is_empty());
    assert_eq!(slate, memory);
    for store in &pair.stores {
        store.grid("g").unwrap().aggregate().unwrap();
        let findings = store.verify().unwrap().findings;
        assert!(findings.is_empty(), "{findings:?}");
    }
    pair.compare();
}

#[test]
fn histories_come_out_as_in_memory() {
    for seed in 0..4 {
        run(seed);
    }
}

#[test]
fn what_waited_for_nothing_and_was_lost_is_the_end_of_the_history() {
    use gridstone::kv::{Batch, Durability, KeyRange, Order, Space};

    let url = format!("memory://{}", fresh_name());
    let mut options = options();
    // Nothing is flushed by itself.
    options.flush_interval = std::time::Duration::from_secs(3600);
    let engine = Slate::open(&url, &options).unwrap();
    let put = |number: u8, durability| {
        let mut batch = Batch::default();
        batch.put(Space::Dirty, vec![number], vec![number]);
        engine.commit(batch, durability).unwrap();
    };
    for number in 0..10 {
        let durability = match number {
            0..=5 => Durability::Buffered,
            6 => Durability::Sync,
            _ => Durability::Buffered,
        };
        put(number, durability);
    }
    engine.abandon();
    drop(engine);
    let engine = Slate::open(&url, &options).unwrap();
    let page = engine
        .snapshot()
        .unwrap()
        .scan(Space::Dirty, &KeyRange::all(), Order::Ascending, 99)
        .unwrap();
    let there: Vec<u8> = page.entries.iter().map(|(key, _)| key[0]).collect();
    let all: Vec<u8> = (0..10).collect();
    assert!(
        there.len() >= 7,
        "what was synced is there, and all before: {there:?}"
    );
    assert_eq!(there, all[..there.len()], "it is a prefix");
}
