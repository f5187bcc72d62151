//! What a batch expects of what it was computed from: when it is refused, and what a deleted range
//! is to it. A part of [`conformance`](super).

use super::super::{Batch, Durability, KeyRange, Order, Snapshot, Space};
use super::{Factory, get, put};
use crate::error::ErrorKind;

/// What another commit changes.
type BatchChange = fn(&mut Batch);

/// What a batch expects, by name, and whether that is no longer so after a change.
type Case = (&'static str, Expected, bool);

enum Expected {
    Key(Space, &'static [u8]),
    Keys(Space, KeyRange),
}

impl Expected {
    fn tell(&self, batch: &mut Batch) {
        match self {
            Self::Key(space, key) => batch.expect_key(*space, key.to_vec()),
            Self::Keys(space, range) => batch.expect_range(*space, range.clone()),
        }
    }
}

/// Expectations: present and absent keys, ranges and phantoms, and what is no conflict.
pub fn conflicts(new: Factory<'_>) {
    use Expected::{Key, Keys};
    use Space::{Base, Dirty, Meta};
    let cases = [
        ("the key", Key(Base, b"m"), true),
        ("another key", Key(Base, b"n"), false),
        ("the key in another space", Key(Dirty, b"m"), false),
        ("a range around", Keys(Base, KeyRange::prefix(b"m")), true),
        ("everything", Keys(Base, KeyRange::all()), true),
        (
            "a range that ends there",
            Keys(Base, between(b"a", b"m")),
            false,
        ),
        (
            "a range that begins after",
            Keys(Base, between(b"m\0", b"z")),
            false,
        ),
        (
            "a range of another space",
            Keys(Meta, KeyRange::all()),
            false,
        ),
    ];
    let write: BatchChange = |batch| batch.put(Space::Base, b"m".to_vec(), b"new".to_vec());
    let delete: BatchChange = |batch| batch.delete(Space::Base, b"m".to_vec());
    races(new, ("a write", write), &cases);
    races(new, ("a deletion", delete), &cases);
}

/// Changes a key or the keys around it, present or absent, behind the snapshot of a batch, which is
/// refused then, or goes through.
fn races(new: Factory<'_>, (change_name, change): (&str, BatchChange), cases: &[Case]) {
    for present in [true, false] {
        for (name, expected, conflicts) in cases {
            let engine = new();
            if present {
                put(&*engine, Space::Base, &[(b"m", b"old")]);
            }
            let snapshot = engine.snapshot().unwrap();
            let mut other = Batch::at(&*snapshot);
            change(&mut other);
            engine.commit(other, Durability::Buffered).unwrap();

            let mut batch = Batch::at(&*snapshot);
            expected.tell(&mut batch);
            batch.put(Space::Meta, b"written".to_vec(), Vec::new());
            let outcome = engine
                .commit(batch, Durability::Buffered)
                .map_err(|error| error.kind().clone());
            let case = format!("{change_name} against {name}, present {present}");
            assert_eq!(
                outcome.err(),
                conflicts.then_some(ErrorKind::Conflict),
                "{case}"
            );
            let written = get(&*engine.snapshot().unwrap(), Space::Meta, b"written").is_some();
            assert_eq!(
                written, !conflicts,
                "a refused batch changes nothing: {case}"
            );

            // The same batch computed from what is there now goes through.
            let mut again = Batch::at(&*engine.snapshot().unwrap());
            expected.tell(&mut again);
            again.put(Space::Meta, b"written".to_vec(), Vec::new());
            engine.commit(again, Durability::Sync).unwrap();
        }
    }
}

/// Deleted ranges: their bounds, what the same batch writes, snapshots before, flushed or not, and
/// conflicts.
pub fn deleted_ranges(new: Factory<'_>) {
    for flushed in [false, true] {
        let engine = new();
        let all: [&[u8]; 6] = [b"a", b"b", b"b\0", b"c", b"c\xff", b"d"];
        put(
            &*engine,
            Space::Base,
            &all.map(|key| (key, b"old".as_slice())),
        );
        put(&*engine, Space::Feed, &[(b"b", b"old")]);
        if flushed {
            engine.flush().unwrap();
        }
        let before = engine.snapshot().unwrap();
        let mut batch = Batch::at(&*before);
        batch.put(Space::Base, b"bb".to_vec(), b"new".to_vec());
        batch.put(Space::Base, b"c".to_vec(), b"new".to_vec());
        batch.delete_range(Space::Base, between(b"b", b"d"));
        batch.delete_range(Space::Base, between(b"d", b"a"));
        engine.commit(batch, Durability::Sync).unwrap();
        for compacted in [false, true] {
            if compacted {
                engine.flush().unwrap();
                engine.compact(Space::Base, &between(b"b", b"d")).unwrap();
                engine.compact(Space::Base, &KeyRange::all()).unwrap();
            }
            let shown = |snapshot: &dyn Snapshot, space| {
                let page = snapshot
                    .scan(space, &KeyRange::all(), Order::Ascending, 9)
                    .unwrap();
                page.entries
                    .into_iter()
                    .map(|(key, _)| key)
                    .collect::<Vec<_>>()
            };
            let after = engine.snapshot().unwrap();
            assert_eq!(
                shown(&*after, Space::Base),
                [b"a".as_slice(), b"bb", b"c", b"d"],
                "the batch's own writes stay"
            );
            assert_eq!(get(&*after, Space::Base, b"c"), Some(b"new".to_vec()));
            assert_eq!(get(&*after, Space::Base, b"b"), None);
            assert_eq!(
                shown(&*before, Space::Base),
                all,
                "an older snapshot does not change"
            );
            assert_eq!(
                shown(&*after, Space::Feed),
                [b"b"],
                "another space keeps the range"
            );
        }
        let mut endless = Batch::default();
        endless.delete_range(Space::Base, KeyRange::all());
        assert_eq!(
            engine.commit(endless, Durability::Sync).unwrap_err().kind(),
            &ErrorKind::Invalid
        );
    }
    conflicts_with_deleted_ranges(new);
}

/// What another commit deletes in a range is a conflict for those who expect it to be as it was.
fn conflicts_with_deleted_ranges(new: Factory<'_>) {
    use Expected::{Key, Keys};
    use Space::{Base, Feed};
    let cases = [
        ("a key there", Key(Base, b"m"), true),
        ("an absent key there", Key(Base, b"mm"), true),
        ("the key at the end", Key(Base, b"n"), false),
        (
            "a range that overlaps",
            Keys(Base, between(b"a", b"m\0")),
            true,
        ),
        (
            "a range that ends there",
            Keys(Base, between(b"a", b"m")),
            false,
        ),
        (
            "the range of another space",
            Keys(Feed, KeyRange::all()),
            false,
        ),
    ];
    let delete: BatchChange = |batch| batch.delete_range(Space::Base, between(b"m", b"n"));
    races(new, ("a deleted range", delete), &cases);
}

fn between(start: &[u8], end: &[u8]) -> KeyRange {
    KeyRange {
        start: start.to_vec(),
        end: Some(end.to_vec()),
    }
}
