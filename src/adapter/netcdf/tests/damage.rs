//! Damaged and hostile files: an error, or cells of the shape that is claimed and that the file can hold; never a panic.

use proptest::prelude::*;

use super::*;

/// Reads whatever there is to be read.
fn read_all(bytes: &[u8]) {
    let Ok(mut file) = NetCdf::from_reader(Cursor::new(bytes)) else { return };
    let header = file.header().clone();
    for variable in &header.variables {
        let shape = header.shape(variable);
        if let Ok(array) = file.read(&variable.name, &vec![0; shape.len()], &shape) {
            assert_eq!(array.shape().iter().map(|len| *len as u64).collect::<Vec<_>>(), shape);
            assert!(
                array.view().shape().iter().product::<usize>() * array.dtype().size() <= bytes.len(),
                "no more than the file"
            );
        }
    }
    for variable in header.variables.iter().map(|variable| Some(variable.name.as_str())).chain([None]) {
        for index_axes in [false, true] {
            let file = NetCdf::from_reader(Cursor::new(bytes)).expect("it opened before");
            if let Ok(field) = Field::new(file, variable, index_axes) {
                let _ = schema_like(&field, &Like::default());
            }
        }
    }
}

const FILES: [&str; 9] = [
    "cdf1-fixed",
    "cdf1-record",
    "cdf1-record-alone",
    "cdf1-unsigned",
    "cdf2-packed",
    "cdf5-bounds",
    "cdf5-types",
    "irregular",
    "noleap",
];

#[test]
fn no_changed_byte_makes_reading_panic() {
    for name in ["cdf1-record", "cdf2-packed", "cdf5-bounds"] {
        let good = bytes(name);
        for at in 0..good.len() {
            for change in [0x01, 0xff] {
                let mut damaged = good.clone();
                damaged[at] ^= change;
                read_all(&damaged);
            }
        }
    }
}

#[test]
fn every_cut_is_an_error_or_leaves_other_variables_whole() {
    for name in FILES {
        let good = bytes(name);
        (0..good.len()).for_each(|len| read_all(&good[..len]));
        let last = open(name).header().variables.iter().max_by_key(|variable| variable.begin).expect("variables").name.clone();
        let mut cut = NetCdf::from_reader(Cursor::new(&good[..good.len() - 8])).expect("the header is whole");
        let shape = cut.header().shape(cut.header().variable(&last).expect("it"));
        let error = cut.read(&last, &vec![0; shape.len()], &shape).expect_err("its end is not there");
        assert!(error.to_string().contains("truncated or damaged"), "{name}: {error}");
    }
}

/// A file of one dimension and one variable of bytes, with some numbers free to lie.
fn claiming(dimension: u32, rank: u32, begin: u32, kind: u32, records: u32) -> Vec<u8> {
    let words: Vec<u32> = [
        &[0x4344_4601, records, 10, 1, 1, u32::from(b'n') << 24, dimension, 0, 0, 11, 1, 1, u32::from(b'v') << 24, rank][..],
        &vec![0; usize::try_from(rank.min(4)).expect("small")],
        &[0, 0, kind, 0, begin],
    ]
    .concat();
    words.iter().flat_map(|word| [24, 16, 8, 0].map(|shift| u8::try_from(word >> shift & 0xff).expect("a byte"))).collect()
}

#[test]
fn sizes_that_lie_are_refused_before_anything_is_allocated() {
    let whole = |bytes: Vec<u8>| {
        let mut file = NetCdf::from_reader(Cursor::new(bytes))?;
        let shape = file.header().shape(file.header().variable("v").expect("it"));
        file.read("v", &vec![0; shape.len()], &shape)
    };
    assert_eq!(whole(claiming(2, 1, 0, 1, 0)).expect("reads").shape(), [2]);
    assert_eq!(whole(claiming(0, 1, 0, 1, 3)).expect("three records").shape(), [3]);
    for (bytes, reason) in [
        (claiming(u32::MAX, 1, 0, 1, 0), "more than 1024 MiB"),
        (claiming(1 << 29, 1, 0, 1, 0), "truncated or damaged"),
        (claiming(u32::MAX, 4, 0, 6, 0), "more than 1024 MiB"),
        (claiming(2, 1, u32::MAX, 1, 0), "truncated or damaged"),
        (claiming(2, u32::MAX, 0, 1, 0), "claims 4294967295 dimensions"),
        (claiming(2, 1, 0, 99, 0), "type 99"),
        (claiming(2, 1, 0, 2, 0), "characters"),
        (claiming(0, 1, 0, 1, 1 << 29), "truncated or damaged"),
        (claiming(0, 2, 0, 1, 1), "record dimension of variable `v` is not its first"),
    ] {
        let error = whole(bytes).expect_err(reason);
        assert!(story(&error).contains(reason), "`{}` does not say `{reason}`", story(&error));
    }
    // A count of records that was never written is found from the size of the file.
    let streamed = claiming(0, 1, 0, 1, u32::MAX);
    assert_eq!(whole(streamed.clone()).expect("all of it").shape(), [streamed.len()]);
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(version in 0_u8..7, tail: Vec<u8>) {
        read_all(&[&b"CDF"[..], &[version], &tail].concat());
    }

    #[test]
    fn no_pair_of_changes_makes_reading_panic(file in 0..FILES.len(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut damaged = bytes(FILES[file]);
        for (at, byte) in changes {
            let len = damaged.len();
            damaged[at.index(len)] = byte;
        }
        read_all(&damaged);
    }
}
