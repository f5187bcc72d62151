//! Keys: byte order is the order of the typed keys, and nothing is lost on the way through bytes.

use proptest::prelude::*;

use super::*;
use crate::grid::{Axis, ChunkIndex, Dimension};

/// Structures of one to three dimensions; the refinable one is not always the first.
fn structures() -> Vec<Structure> {
    let space = || {
        Dimension::regular(
            "space",
            [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
        )
    };
    let time = || Dimension::regular("time", [Axis::new("t", 0.0, 1.0, 2)]);
    let volume = Dimension::regular(
        "volume",
        ["z", "y", "x"].map(|name| Axis::new(name, 0.0, 1.0, 2)),
    );
    let band = || Dimension::fixed("band", (0..300).map(|i| format!("b{i}")));
    let build = |dimensions: Vec<Dimension>| {
        dimensions
            .into_iter()
            .fold(Structure::builder(), crate::StructureBuilder::dimension)
            .build()
            .expect("valid")
    };
    vec![
        build(vec![time()]),
        build(vec![space()]),
        build(vec![band(), time(), space().refinable()]),
        build(vec![volume, time(), band()]),
        build(vec![
            Dimension::irregular("time", "s", 8, 3600),
            band(),
            space(),
        ]),
    ]
}

/// A level and an index along each axis, from raw numbers, near the origin or anywhere.
fn location_of(structure: &Structure, raw: &[(u8, u64)]) -> Location {
    let mut levels = Levels::zero(structure.dimensions().len());
    let mut codes = Tuple::filled(structure.rank(), 0);
    for (d, dimension) in structure.dimensions().iter().enumerate() {
        if !dimension.is_fixed() {
            let level =
                i8::try_from(raw[d].0 % 65).expect("at most 64") + dimension.levels().start().get();
            levels[d] = Level::new(level).expect("in range");
        }
        for axis in structure.axes_of(d) {
            let (near, number) = (raw[axis].0 & 128 != 0, raw[axis].1);
            let count = dimension.codes(levels[d]);
            let code = if near {
                count / 3 + u128::from(number % 5)
            } else {
                u128::from(number)
            };
            codes[axis] = u64::try_from(code % count).expect("a code");
        }
    }
    Location { levels, codes }
}

fn raw() -> impl Strategy<Value = Vec<(u8, u64)>> {
    proptest::collection::vec((any::<u8>(), any::<u64>()), 8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn i1_byte_order_of_chunk_keys_is_their_order(a in raw(), b in raw(), which in 0..5_usize, grids in [0..3_u32, 0..3], layers in [0..3_u8, 0..3]) {
        let structure = &structures()[which];
        let key = |i: usize, raw: &[(u8, u64)]| {
            ChunkKey::new(GridId(grids[i] << 16), structure, LayerId(layers[i]), &location_of(structure, raw))
        };
        let (a, b) = (key(0, &a), key(1, &b));
        prop_assert_eq!(a.cmp(&b), a.encode().cmp(&b.encode()));
        prop_assert_eq!(a == b, a.encode() == b.encode());
    }

    #[test]
    fn i1_a_chunk_key_is_decoded_as_it_was(at in raw(), which in 0..5_usize, grid in any::<u32>(), layer in any::<u8>()) {
        let structure = &structures()[which];
        let location = location_of(structure, &at);
        let bytes = ChunkKey::new(GridId(grid), structure, LayerId(layer), &location).encode();
        prop_assert_eq!(ChunkKey::decode(GridId(grid), structure, &bytes), Ok((LayerId(layer), location)));
        prop_assert!(ChunkKey::decode(GridId(grid.wrapping_add(1)), structure, &bytes).is_err(), "another grid's");
        for short in 0..bytes.len() {
            prop_assert!(ChunkKey::decode(GridId(grid), structure, &bytes[..short]).is_err(), "{} of {} bytes", short, bytes.len());
        }
        let long = [bytes.as_slice(), &[0]].concat();
        prop_assert!(ChunkKey::decode(GridId(grid), structure, &long).is_err());
    }

    /// Dimensions in key order, coarsest levels first: the first key of a layer is its top chunk.
    #[test]
    fn i1_coarser_levels_come_first(at in raw(), which in 0..5_usize) {
        let structure = &structures()[which];
        let child = location_of(structure, &at);
        let first = structure.order()[0];
        if let Some((parent, _)) = structure.parent(&child, first) {
            let key = |at| ChunkKey::new(GridId(1), structure, LayerId::FIRST, at).encode();
            prop_assert!(key(&parent) < key(&child));
        }
    }

    #[test]
    fn i1_a_mark_is_decoded_as_it_was_and_ordered_by_its_bytes(a in raw(), b in raw(), which in 0..5_usize, sequences in [any::<u64>(), any::<u64>()]) {
        let structure = &structures()[which];
        let mark = |raw: &[(u8, u64)], sequence| {
            let levelled: Vec<usize> = structure.levelled().collect();
            let dimension = levelled[usize::from(raw[7].0) % levelled.len()];
            let children = 1_u16 << structure.axes_of(dimension).len();
            let child = u8::try_from(raw[6].1 % u64::from(children)).expect("a child");
            Mark { parent: location_of(structure, raw), dimension, child, sequence }
        };
        let marks = [mark(&a, sequences[0]), mark(&b, sequences[1])];
        let [a, b] = marks.each_ref().map(|mark| MarkKey::new(GridId(7), structure, mark));
        prop_assert_eq!(a.cmp(&b), a.encode().cmp(&b.encode()));
        let bytes = a.encode();
        prop_assert_eq!(MarkKey::decode(GridId(7), structure, &bytes), Ok(marks[0].clone()));
        for short in 0..bytes.len() {
            prop_assert!(MarkKey::decode(GridId(7), structure, &bytes[..short]).is_err());
        }
        // The aggregator takes finer levels of a dimension first.
        if marks[0].dimension == marks[1].dimension {
            let level = |mark: &Mark| mark.parent.levels[mark.dimension];
            if level(&marks[0]) < level(&marks[1]) {
                prop_assert!(a < b);
            }
        }
    }

    /// Whatever the bytes: an error, or a key whose bytes are these.
    #[test]
    fn i1_bytes_that_decode_are_the_encoding_of_what_they_decode_to(bytes in proptest::collection::vec(any::<u8>(), 0..60), which in 0..5_usize, fix in any::<bool>()) {
        let structure = &structures()[which];
        let mut bytes = bytes;
        if fix {
            // Of the right length and grid, so that more than the length is looked at.
            bytes.resize(5 + structure.dimensions().len() + 8 * structure.rank(), 0);
            bytes[..4].copy_from_slice(&1_u32.to_be_bytes());
        }
        if let Ok((layer, at)) = ChunkKey::decode(GridId(1), structure, &bytes) {
            prop_assert_eq!(ChunkKey::new(GridId(1), structure, layer, &at).encode(), bytes.clone());
        }
        if let Ok(mark) = MarkKey::decode(GridId(1), structure, &bytes) {
            prop_assert_eq!(MarkKey::new(GridId(1), structure, &mark).encode(), bytes);
        }
    }

    #[test]
    fn i1_keys_and_values_of_feed_and_directory_are_what_they_decode_to(grids in [0..3_u32, 0..3], a: u64, b: u64, near: u8, ticks in proptest::collection::btree_set(any::<i64>(), 0..9), bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let grids = grids.map(|grid| GridId(grid << 16));
        let keys = [feed::key(grids[0], a), feed::key(grids[1], b)];
        prop_assert_eq!((grids[0], a).cmp(&(grids[1], b)), keys[0].cmp(&keys[1]));
        prop_assert_eq!(feed::sequence(grids[0], &keys[0]), Ok(a));
        prop_assert_eq!(feed::sequence(grids[1], &keys[0]).is_ok(), grids[0] == grids[1]);
        prop_assert_eq!(feed::between(grids[0], a, b).contains(&keys[1]), false);
        prop_assert_eq!(feed::between(grids[0], 1, b).contains(&keys[0]), 1 < a && a < b);
        let sequence = feed::sequence(GridId(0), &bytes);
        prop_assert!(sequence.is_err() || sequence.is_ok_and(|sequence| feed::key(GridId(0), sequence) == bytes));
        // Ticks far apart, and side by side.
        let ticks: Vec<i64> = ticks.into_iter().map(|tick| tick >> (near % 63)).collect::<std::collections::BTreeSet<i64>>().into_iter().collect();
        let entry = DirectoryEntry { bytes: u64::from(grids[0].0), checksum: a, ticks: Ticks::new(ticks) };
        prop_assert_eq!(DirectoryEntry::decode(&entry.encode()), Ok(entry));
        let entry = DirectoryEntry::decode(&bytes);
        prop_assert!(entry.is_err() || entry.is_ok_and(|entry| entry.encode() == bytes));
    }

    #[test]
    fn every_key_is_of_one_of_some_grids_or_unowned(owned in proptest::collection::btree_set(0..9_u32, 0..6), grid in 0..9_u32) {
        let ids = owned.iter().rev().map(|grid| GridId(grid << 8));
        let gaps = unowned(ids);
        for key in [feed::key(GridId(grid << 8), 0), feed::key(GridId(grid << 8), u64::MAX)] {
            let holding = gaps.iter().filter(|gap| gap.contains(&key)).count();
            prop_assert_eq!(holding, usize::from(!owned.contains(&grid)), "{:?}", gaps);
        }
    }

    /// Descendants lie within the interval of their ancestor; with one levelled dimension nothing
    /// else does.
    #[test]
    fn i3_a_subtree_is_an_interval_of_keys(at in raw(), other in raw(), which in 0..5_usize, up in 0..6_i8) {
        let structure = &structures()[which];
        let descendant = location_of(structure, &at);
        let first = structure.order()[0];
        let coarser = Level::new((descendant.levels[first].get() + up).min(structure.dimensions()[first].levels().end().get())).expect("in range");
        let of = structure.ancestor(&descendant, descendant.levels.with(first, coarser)).expect("coarser");
        let range = super::subtree(structure, ChunkKey::levels(GridId(1), structure, LayerId::FIRST, descendant.levels).start, &of, descendant.levels);
        let key = |at: &Location| ChunkKey::new(GridId(1), structure, LayerId::FIRST, at).encode();
        prop_assert!(range.contains(&key(&descendant)));
        let mut stranger = location_of(structure, &other);
        stranger.levels = descendant.levels;
        for (d, dimension) in structure.dimensions().iter().enumerate() {
            for axis in structure.axes_of(d) {
                stranger.codes[axis] %= u64::try_from(dimension.codes(stranger.levels[d])).unwrap_or(u64::MAX);
            }
        }
        let under = structure.ancestor(&stranger, of.levels) == Some(of);
        let exact = structure.dimensions().len() == 1;
        prop_assert!(!under || range.contains(&key(&stranger)));
        prop_assert!(!exact || under == range.contains(&key(&stranger)));
    }
}

/// The layout as the module's documentation gives it, byte by byte.
#[test]
fn i1_the_layout_of_a_key_is_what_is_documented() {
    let structure = &structures()[1];
    let levels = Levels::zero(1).with(0, Level::new(1).expect("in range"));
    let at = structure
        .location(levels, &ChunkIndex::from([0, -1]))
        .expect("in range");
    let bytes = ChunkKey::new(GridId(0x0102_0304), structure, LayerId(5), &at).encode();
    // floor(2^39 / 3) = 0b0010101...010 in 39 bits, left-aligned; -1 is one less.
    let (y, x) = (((1_u64 << 39) / 3) << 25, ((1_u64 << 39) / 3 - 1) << 25);
    let mut morton = Vec::new();
    for byte in 0..16 {
        let mut value = 0_u8;
        for bit in 0..8 {
            let at = byte * 8 + bit;
            let code = if at % 2 == 0 { y } else { x };
            value = value << 1 | u8::from(code >> (63 - at / 2) & 1 == 1);
        }
        morton.push(value);
    }
    let expected = [&[1, 2, 3, 4, 5, 127 - 1][..], &morton].concat();
    assert_eq!(bytes, expected);
}

#[test]
fn i3_any_two_chunks_far_apart_meet_below_the_coarsest_level_or_at_it() {
    let structure = &structures()[0];
    let last = structure.dimensions()[0].codes(Level::FINEST) - 1;
    let at = |code: u128| Location {
        levels: Levels::zero(1).with(0, Level::FINEST),
        codes: [u64::try_from(code).expect("a code")].into_iter().collect(),
    };
    let top = Levels::zero(1).with(0, *structure.dimensions()[0].levels().end());
    assert_eq!(
        structure.ancestor(&at(0), top),
        structure.ancestor(&at(last), top)
    );
}
