//! An engine of a service's own, written with nothing but what the crate exports: whole maps behind
//! one lock, copied for a snapshot.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use gridstone::kv::{
    Batch, Counters, Durability, Engine, History, KeyRange, Order, Page, Sequence, Snapshot, Space,
    Write, conformance,
};
use gridstone::{
    Aggregation, Axis, DType, Dimension, Policy, Query, Result, Schema, Store, Structure, Window,
};

type Spaces = BTreeMap<Space, BTreeMap<Vec<u8>, Vec<u8>>>;

#[derive(Debug)]
struct State {
    spaces: Arc<Spaces>,
    history: History,
    last: Sequence,
}

#[derive(Debug)]
struct Copying {
    state: Arc<Mutex<State>>,
}

impl Copying {
    fn new() -> Self {
        let spaces = Space::ALL
            .into_iter()
            .map(|space| (space, BTreeMap::new()))
            .collect();
        let state = State {
            spaces: Arc::new(spaces),
            history: History::starting_at(Sequence(0)),
            last: Sequence(0),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Engine for Copying {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        let mut state = self.lock();
        let sequence = state.last;
        state.history.register(sequence);
        Ok(Arc::new(Copied {
            spaces: Arc::clone(&state.spaces),
            sequence,
            state: Arc::clone(&self.state),
        }))
    }

    fn commit(&self, mut batch: Batch, _: Durability) -> Result<Sequence> {
        batch.validate()?;
        let mut state = self.lock();
        state.history.check(&batch)?;
        batch.accept();
        let next = Sequence(state.last.0 + 1);
        state.history.record(next, batch.deleted(), batch.writes());
        state.last = next;
        let spaces = Arc::make_mut(&mut state.spaces);
        let (deleted, writes) = batch.into_parts();
        for (space, range) in deleted {
            spaces
                .get_mut(&space)
                .unwrap()
                .retain(|key, _| !range.contains(key));
        }
        for Write { space, key, value } in writes {
            let space = spaces.get_mut(&space).unwrap();
            match value {
                Some(value) => space.insert(key, value),
                None => space.remove(&key),
            };
        }
        Ok(next)
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn compact(&self, _: Space, _: &KeyRange) -> Result<()> {
        Ok(())
    }

    fn checkpoint(&self, _: &Path) -> Result<()> {
        Err(gridstone::Error::invalid("these maps have no files"))
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

struct Copied {
    spaces: Arc<Spaces>,
    sequence: Sequence,
    state: Arc<Mutex<State>>,
}

impl Snapshot for Copied {
    fn sequence(&self) -> Sequence {
        self.sequence
    }

    fn get_many(
        &self,
        space: Space,
        keys: &[Vec<u8>],
        visit: &mut dyn FnMut(usize, Option<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        keys.iter().enumerate().try_for_each(|(number, key)| {
            visit(number, self.spaces[&space].get(key).map(Vec::as_slice))
        })
    }

    fn scan(&self, space: Space, range: &KeyRange, order: Order, limit: usize) -> Result<Page> {
        let mut page = Page::default();
        if range.is_empty() {
            return Ok(page);
        }
        let end = range
            .end
            .as_deref()
            .map_or(Bound::Unbounded, Bound::Excluded);
        let entries =
            self.spaces[&space].range::<[u8], _>((Bound::Included(range.start.as_slice()), end));
        let entries: Vec<_> = match order {
            Order::Ascending => entries.collect(),
            Order::Descending => entries.rev().collect(),
        };
        page.more = entries.len() > limit;
        page.entries = entries
            .into_iter()
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        Ok(page)
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        self.state.lock().unwrap().history.release(self.sequence);
    }
}

#[test]
fn an_engine_outside_of_the_crate_conforms() {
    conformance::run(&|| Arc::new(Copying::new()));
}

#[test]
fn i7_a_store_on_an_engine_outside_of_the_crate_keeps_its_pyramid_right() {
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, 1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
    );
    let schema = Schema::builder(
        Structure::builder().dimension(space).build().unwrap(),
        DType::I32,
    );
    for policy in [Policy::Inline, Policy::Manual, Policy::Background] {
        let store = Store::options()
            .policy(policy)
            .open_engine(Arc::new(Copying::new()))
            .unwrap();
        let grid = store
            .create(
                "g",
                schema.clone().aggregator(Aggregation::Max).build().unwrap(),
            )
            .unwrap();
        for at in 0..6_i32 {
            let cells = ndarray::Array2::from_shape_fn((5, 5), |(y, x)| {
                at + i32::try_from(10 * y + x).unwrap()
            });
            grid.put(
                &Window::new([i64::from(3 * at), i64::from(at)], [5, 5]),
                &cells,
            )
            .unwrap();
        }
        grid.aggregate().unwrap();
        let greatest = grid
            .read(&Query::all().level("space", 2))
            .unwrap()
            .values()
            .flatten()
            .fold(f64::MIN, f64::max);
        assert_eq!(
            greatest, 49.0,
            "the last put's last cell: 5 + 10 * 4 + 4 = 49"
        );
        let report = store.verify().unwrap();
        assert!(
            report.findings.is_empty(),
            "{policy:?}: {:?}",
            report.findings
        );
    }
}
