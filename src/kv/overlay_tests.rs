use proptest::prelude::*;

use super::*;
use crate::kv::{Durability, Engine, Memory, for_each_page};

#[derive(Clone, Debug)]
enum Op {
    Put(u8, u8),
    Delete(u8),
    DeleteRange(u8, u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0..24_u8, 0..9_u8).prop_map(|(key, value)| Op::Put(key, value)),
        2 => (0..24_u8).prop_map(Op::Delete),
        1 => (0..24_u8, 0..9_u8).prop_map(|(start, len)| Op::DeleteRange(start, len)),
    ]
}

fn batch(under: &dyn Snapshot, ops: &[Op]) -> Batch {
    let mut batch = Batch::at(under);
    for op in ops {
        match *op {
            Op::Put(key, value) => batch.put(Space::Base, vec![key], vec![value]),
            Op::Delete(key) => batch.delete(Space::Base, vec![key]),
            Op::DeleteRange(start, len) => {
                batch.delete_range(
                    Space::Base,
                    KeyRange {
                        start: vec![start],
                        end: Some(vec![start + len]),
                    },
                );
            }
        }
    }
    batch
}

/// All that a snapshot shows of a range, in pages.
fn shown(snapshot: &dyn Snapshot, range: &KeyRange, page: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    for_each_page(snapshot, Space::Base, range.clone(), page, |entries| {
        assert!(entries.len() <= page, "no page is longer than asked for");
        all.extend(entries);
        Ok(())
    })
    .expect("memory");
    all
}

proptest! {
    /// Batches laid one over the other are shown as they would be once committed one after the
    /// other, and are one batch that leaves the same.
    #[test]
    fn an_overlay_shows_what_commits_would(
        parts in proptest::collection::vec(proptest::collection::vec(op(), 0..10), 1..5),
        page in 1..5_usize,
        (start, len) in (0..24_u8, 0..24_u8),
    ) {
        let (engine, other) = (Memory::new(), Memory::new());
        for engine in [&engine, &other] {
            let under = engine.snapshot().expect("memory");
            engine.commit(batch(under.as_ref(), &parts[0]), Durability::Sync).expect("committed");
        }
        let under = engine.snapshot().expect("memory");
        let mut overlay = Overlay::new(under.as_ref());
        for part in &parts[1..] {
            overlay.add(batch(under.as_ref(), part)).expect("memory");
            let snapshot = other.snapshot().expect("memory");
            other.commit(batch(snapshot.as_ref(), part), Durability::Sync).expect("committed");
        }
        let truth = other.snapshot().expect("memory");
        let range = KeyRange { start: vec![start], end: Some(vec![start + len]) };
        prop_assert_eq!(shown(&overlay, &range, page), shown(truth.as_ref(), &range, page));
        let last = |snapshot: &dyn Snapshot| snapshot.scan(Space::Base, &range, Order::Descending, page).expect("memory").entries;
        let (got, want) = (last(&overlay), last(truth.as_ref()));
        prop_assert!(!got.is_empty() || want.is_empty());
        prop_assert_eq!(&got[..], &want[..got.len()]);
        let keys: Vec<Vec<u8>> = (0..24).map(|key| vec![key]).collect();
        let values = |snapshot: &dyn Snapshot| {
            let mut values = Vec::new();
            let mut note = |_, value: Option<&[u8]>| -> Result<()> {
                values.push(value.map(<[u8]>::to_vec));
                Ok(())
            };
            snapshot.get_many(Space::Base, &keys, &mut note).expect("memory");
            values
        };
        prop_assert_eq!(values(&overlay), values(truth.as_ref()));
        engine.commit(overlay.into_batch(), Durability::Sync).expect("committed");
        prop_assert_eq!(shown(engine.snapshot().expect("memory").as_ref(), &KeyRange::all(), 99), shown(truth.as_ref(), &KeyRange::all(), 99));
    }
}
