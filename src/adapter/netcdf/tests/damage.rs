//! Damaged and hostile files: an error, or cells of the shape that is claimed and that the file can
//! hold; never a panic.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hdf5_reader::storage::{BytesStorage, Storage, StorageBuffer};
use proptest::prelude::*;

use super::*;

const CLASSIC: [&str; 9] = [
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
const HDF5: [&str; 10] = [
    "nc4-bounds",
    "nc4-dense",
    "nc4-h5py",
    "nc4-packed",
    "nc4-record",
    "nc4-sparse",
    "nc4-types",
    "nc4-unfilled",
    "nc4-unwritten",
    "nc4-xarray",
];

#[test]
fn no_changed_byte_makes_reading_panic() {
    let files = ["cdf1-record", "cdf2-packed", "cdf5-bounds"]
        .map(|name| (name, 1))
        .into_iter();
    // The larger ones, here and there: every byte of them has been tried.
    for (name, step) in files.chain(HDF5.map(|name| (name, 31))) {
        let good = bytes(name);
        for at in (0..good.len()).step_by(step) {
            for change in [0x01, 0xff] {
                let mut damaged = good.clone();
                damaged[at] ^= change;
                fuzz_netcdf(&damaged);
            }
        }
    }
}

#[test]
fn every_cut_is_an_error_or_leaves_other_variables_whole() {
    for name in CLASSIC {
        let good = bytes(name);
        (0..good.len()).for_each(|len| fuzz_netcdf(&good[..len]));
        let last = open(name)
            .header()
            .variables
            .last()
            .expect("variables")
            .name
            .clone();
        let cut = NetCdf::from_bytes(&good[..good.len() - 8]).and_then(|cut| {
            let shape = cut.header().variable(&last).expect("it").shape();
            cut.read(&last, &vec![0; shape.len()], &shape)
        });
        let error = cut.expect_err("its end is not there");
        assert!(story(&error).contains("file"), "{name}: {}", story(&error));
    }
    for name in HDF5 {
        let good = bytes(name);
        (0..good.len())
            .step_by(11)
            .for_each(|len| fuzz_netcdf(&good[..len]));
        let error = NetCdf::from_bytes(&good[..good.len() - 1]).expect_err("its end is not there");
        assert!(
            story(&error).contains("the file has"),
            "{name}: {}",
            story(&error)
        );
    }
}

/// Bytes of which one read fails.
struct FailingBytes {
    bytes: BytesStorage,
    reads: Arc<AtomicU64>,
    fails: u64,
}

impl Storage for FailingBytes {
    fn len(&self) -> u64 {
        self.bytes.len()
    }

    fn read_range(&self, offset: u64, len: usize) -> hdf5_reader::error::Result<StorageBuffer> {
        if self.reads.fetch_add(1, Ordering::Relaxed) == self.fails {
            return Err(std::io::Error::other("of the medium").into());
        }
        self.bytes.read_range(offset, len)
    }
}

#[test]
fn no_read_that_fails_is_an_absence() {
    for name in [
        "cf/kind-land",
        "cf/labels-beside",
        "cf/labels-by-depth",
        "cf/levels",
        "cf/ends-with-bounds",
        "cf/enumeration-of-labels",
        "cf/groups",
        "cf/text-nc4",
        "cf/text",
        "netcdf/nc4-xarray",
    ] {
        let bytes = std::fs::read(data().join(format!("../{name}.nc"))).expect(name);
        let reads = Arc::new(AtomicU64::new(0));
        let whole = NetCdf::from_bytes(bytes.clone()).expect(name);
        let variables = whole.header().variables.iter();
        let wide = variables.filter(|of| of.dtype.is_some() && of.dimensions.len() > 1);
        let most = wide.max_by_key(|of| of.dimensions.len()).expect("cells");
        let choice = asked(&most.name.clone());
        let field = |fails: u64| {
            reads.store(0, Ordering::Relaxed);
            let storage = FailingBytes {
                bytes: BytesStorage::new(bytes.clone()),
                reads: Arc::clone(&reads),
                fails,
            };
            Field::new(NetCdf::of_storage(Arc::new(storage))?, &choice)
        };
        // What of a field hangs on what was read.
        let told = |field: Field| {
            let placed = (field.shape, field.roles, field.y, field.x, field.crs);
            let said = (field.times, field.band, field.decoding, field.identity);
            format!("{placed:?} {said:?} {:?}", field.notes)
        };
        let whole = told(field(u64::MAX).expect(name));
        for fails in 0..reads.load(Ordering::Relaxed) {
            match field(fails) {
                // What is read twice may fail once.
                Ok(field) => assert_eq!(told(field), whole, "{name} {fails}"),
                Err(error) => {
                    let (kind, why) = (error.kind(), story(&error));
                    // Of a link within a group the library keeps the words alone, and it leaves out
                    // a variable whose object it cannot read, which is then asked for in vain.
                    let is_left_out = why.contains(&most.name);
                    assert!(
                        *kind == crate::ErrorKind::Unavailable
                            || why.contains("of the medium")
                            || is_left_out,
                        "{name} {fails}: {why}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_a_library_does_not_foresee_is_an_error() {
    let error = super::super::file::guarded::<()>(|| panic!("of a library")).expect_err("caught");
    assert!(error.to_string().contains("damaged"), "{error}");
}

#[test]
fn cells_that_were_never_written_take_no_memory() {
    let file = open("nc4-sparse");
    let far = file
        .read("plane", &[(1 << 39) - 2, 5], &[2, 3])
        .expect("a small box");
    assert_eq!(listed(&far), ["7"; 6]);
    let error = file
        .read("square", &[0, 0], &[1 << 24, 1 << 24])
        .expect_err("too large");
    assert!(error.to_string().contains("more than 1024 MiB"), "{error}");
    assert!(
        file.whole(file.header().variable("huge").expect("it"))
            .expect_err("too many")
            .to_string()
            .contains("coordinates of")
    );
    for variable in ["plane", "square"] {
        let error = Field::new(
            open("nc4-sparse"),
            &Choice {
                index_axes: true,
                ..asked(variable)
            },
        )
        .expect_err("too large");
        assert!(
            error
                .to_string()
                .contains("larger than anything that can be imported"),
            "{variable}: {error}"
        );
    }
}

/// A file of one dimension and one variable of bytes, with some numbers free to lie.
fn claiming(dimension: u32, rank: u32, begin: u32, kind: u32, records: u32) -> Vec<u8> {
    let words: Vec<u32> = [
        &[
            0x4344_4601,
            records,
            10,
            1,
            1,
            u32::from(b'n') << 24,
            dimension,
            0,
            0,
            11,
            1,
            1,
            u32::from(b'v') << 24,
            rank,
        ][..],
        &vec![0; usize::try_from(rank.min(4)).expect("small")],
        &[0, 0, kind, 0, begin],
    ]
    .concat();
    words
        .iter()
        .flat_map(|word| {
            [24, 16, 8, 0].map(|shift| u8::try_from(word >> shift & 0xff).expect("a byte"))
        })
        .collect()
}

#[test]
fn sizes_that_lie_are_refused_before_anything_is_allocated() {
    let whole = |bytes: Vec<u8>| {
        let file = NetCdf::from_bytes(bytes)?;
        let shape = file.header().variable("v").expect("it").shape();
        file.read("v", &vec![0; shape.len()], &shape)
    };
    assert_eq!(whole(claiming(2, 1, 0, 1, 0)).expect("reads").shape(), [2]);
    assert_eq!(
        whole(claiming(0, 1, 0, 1, 3))
            .expect("three records")
            .shape(),
        [3]
    );
    for (bytes, reason) in [
        (claiming(u32::MAX, 1, 0, 1, 0), "more than 1024 MiB"),
        (claiming(1 << 29, 1, 0, 1, 0), "exceeds the 80-byte file"),
        (claiming(u32::MAX, 4, 0, 6, 0), "more than 1024 MiB"),
        (claiming(2, 1, u32::MAX, 1, 0), "unexpected end of file"),
        (claiming(2, u32::MAX, 0, 1, 0), "need 17179869180 bytes"),
        (claiming(2, 1, 0, 99, 0), "99"),
        (claiming(2, 1, 0, 2, 0), "no numbers"),
        (claiming(0, 1, 0, 1, 1 << 29), "declares 536870912 records"),
    ] {
        let error = whole(bytes).expect_err(reason);
        assert!(
            story(&error).contains(reason),
            "`{}` does not say `{reason}`",
            story(&error)
        );
    }
    // A count of records that was never written is found from the size of the file.
    let streamed = claiming(0, 1, 0, 1, u32::MAX);
    assert_eq!(
        whole(streamed.clone()).expect("all of it").shape(),
        [streamed.len()]
    );
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(version in 0_u8..7, tail: Vec<u8>) {
        fuzz_netcdf(&[&b"CDF"[..], &[version], &tail].concat());
    }

    #[test]
    fn no_pair_of_changes_makes_reading_panic(file in 0..CLASSIC.len() + HDF5.len(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut damaged = bytes([&CLASSIC[..], &HDF5].concat()[file]);
        for (at, byte) in changes {
            let len = damaged.len();
            damaged[at.index(len)] = byte;
        }
        fuzz_netcdf(&damaged);
    }
}
