//! Damaged and hostile files: an error, never a panic, never memory beyond the stated bounds.

use std::cell::Cell;
use std::fs;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::rc::Rc;

use proptest::prelude::*;

use super::directory::tag;
use super::*;

const SHORT: u16 = 3;
const LONG: u16 = 4;

/// A classic little-endian TIFF of one directory of inline values, with the block's bytes at offset 8.
fn tiff(entries: &[(u16, u16, u32, u32)], block: &[u8]) -> Vec<u8> {
    let mut file = b"II*\0".to_vec();
    let at = 8 + u32::try_from(block.len()).expect("a small block");
    file.extend(at.to_le_bytes());
    file.extend(block);
    file.extend(
        u16::try_from(entries.len())
            .expect("few entries")
            .to_le_bytes(),
    );
    for (tag, kind, count, value) in entries {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    // A directory that names itself as the next one: only the first is read.
    file.extend(at.to_le_bytes());
    file
}

/// Bytes of one strip of `width` by `height` unsigned bytes; entries given replace those of the
/// same tag.
fn strip(width: u32, height: u32, block: &[u8], changes: &[(u16, u16, u32, u32)]) -> Vec<u8> {
    let mut entries = vec![
        (tag::WIDTH, LONG, 1, width),
        (tag::HEIGHT, LONG, 1, height),
        (tag::BITS_PER_SAMPLE, SHORT, 1, 8),
        (tag::COMPRESSION, SHORT, 1, 1),
        (tag::STRIP_OFFSETS, LONG, 1, 8),
        (tag::ROWS_PER_STRIP, LONG, 1, height),
        (
            tag::STRIP_BYTE_COUNTS,
            LONG,
            1,
            u32::try_from(block.len()).expect("a small block"),
        ),
    ];
    for change in changes {
        entries.retain(|entry| entry.0 != change.0);
        entries.push(*change);
    }
    tiff(&entries, block)
}

/// Bytes of which one read fails.
struct FailingBytes {
    bytes: Cursor<Vec<u8>>,
    reads: Rc<Cell<u64>>,
    fails: u64,
}

impl Read for FailingBytes {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.reads.replace(self.reads.get() + 1) == self.fails {
            return Err(std::io::Error::other("of the medium"));
        }
        self.bytes.read(into)
    }
}

impl Seek for FailingBytes {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.bytes.seek(to)
    }
}

#[test]
fn no_read_that_fails_is_an_absence() {
    for name in [
        "pages",
        "overviews",
        "mask-inside",
        "units",
        "user-defined",
        "described",
        "palette",
    ] {
        let bytes = fs::read(data().join(format!("{name}.tif"))).expect(name);
        let reads = Rc::new(Cell::new(0));
        let opened = |fails: u64| {
            reads.set(0);
            GeoTiff::from_reader(FailingBytes {
                bytes: Cursor::new(bytes.clone()),
                reads: Rc::clone(&reads),
                fails,
            })
        };
        opened(u64::MAX).expect(name);
        for fails in 0..reads.get() {
            let error = opened(fails).map(|_| ()).expect_err(name);
            let kind = error.kind();
            assert_eq!(
                *kind,
                crate::ErrorKind::Unavailable,
                "{name} {fails}: {error}"
            );
        }
    }
}

fn notes(bytes: &[u8]) -> String {
    let tiff = GeoTiff::from_reader(Cursor::new(bytes)).expect("its image is whole");
    tiff.header().notes.join("\n")
}

/// An image of one cell with a list of directories, which stand in front of it: those of `places`
/// at 8, one behind the other, each of one entry.
fn listing(entries: &[(u16, u16, u32, u32)], places: &[u32]) -> Vec<u8> {
    let mut block: Vec<u8> = Vec::new();
    for (tag, kind, count, value) in entries {
        block.extend(1_u16.to_le_bytes());
        block.extend(tag.to_le_bytes());
        block.extend(kind.to_le_bytes());
        block.extend(count.to_le_bytes());
        block.extend(value.to_le_bytes());
        block.extend(0_u32.to_le_bytes());
    }
    let at = 8 + u32::try_from(block.len()).expect("small");
    places
        .iter()
        .for_each(|place| block.extend(place.to_le_bytes()));
    let count = u32::try_from(places.len()).expect("few");
    let value = if count == 1 { places[0] } else { at };
    strip(1, 1, &block, &[(tag::SUB_DIRECTORIES, LONG, count, value)])
}

/// Where the directory of a number stands that [`listing`] makes.
fn place(number: u32) -> u32 {
    8 + 18 * number
}

#[test]
fn directories_within_directories_are_bounded_in_number_and_depth() {
    const MANY: u32 = 70_000;
    let image = (tag::WIDTH, LONG, 1, 1);
    let places: Vec<u32> = (0..MANY).map(place).collect();
    let wide = notes(&listing(&vec![image; MANY as usize], &places));
    assert!(wide.contains("65535 images in full resolution"), "{wide}");
    assert!(wide.contains("(SubIFDs) are damaged or too long"), "{wide}");
    // Each lists the next one, and the last the first.
    let next = |number: u32| (tag::SUB_DIRECTORIES, LONG, 1, place((number + 1) % MANY));
    let deep: Vec<_> = (0..MANY).map(next).collect();
    let deep = notes(&listing(&deep, &places[..1]));
    assert!(deep.contains("(SubIFDs) are damaged or too long"), "{deep}");
    let round: Vec<_> = [1, 2, 0]
        .map(|next| (tag::SUB_DIRECTORIES, LONG, 1, place(next)))
        .into();
    assert!(!notes(&listing(&round, &places[..1])).contains("SubIFDs"));
    // Below one without an image.
    let below = [(tag::SUB_DIRECTORIES, LONG, 1, place(1)), image];
    let below = notes(&listing(&below, &places[..1]));
    assert!(below.contains("an image in full resolution"), "{below}");
}

#[test]
fn lists_of_directories_and_descriptions_that_are_damaged_are_noted() {
    for (change, words) in [
        ((tag::SUB_DIRECTORIES, LONG, 9, 4_000_000), "(SubIFDs)"),
        ((tag::SUB_DIRECTORIES, LONG, 1, 4_000_000), "(SubIFDs)"),
        ((tag::SUB_DIRECTORIES, 12, 1, 8), "(SubIFDs)"),
        (
            (tag::DESCRIPTION, 2, 400, 4_000_000),
            "truncated or damaged",
        ),
        ((tag::DESCRIPTION, LONG, 1, 7), "does not hold text"),
    ] {
        let notes = notes(&strip(1, 1, b"x", &[change]));
        assert!(notes.contains(words), "{change:?}: {notes}");
    }
}

fn read(bytes: &[u8]) -> Result<Array, Error> {
    let mut tiff = GeoTiff::from_reader(Cursor::new(bytes))?;
    tiff.read(&tiff.window())
}

#[track_caller]
fn refused(bytes: &[u8], reason: &str) {
    let error = read(bytes).expect_err(reason);
    assert_eq!(
        *error.kind(),
        crate::ErrorKind::Invalid,
        "{}",
        story(&error)
    );
    assert!(
        story(&error).contains(reason),
        "`{}` does not say `{reason}`",
        story(&error)
    );
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut stream = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    stream.write_all(bytes).expect("memory takes all");
    stream.finish().expect("memory takes all")
}

#[test]
fn the_smallest_file_reads() {
    let array = read(&strip(3, 2, b"abcdef", &[])).expect("reads");
    assert_eq!(array.to_cells(), Cells::from(b"abcdef".to_vec()));
}

#[test]
fn absurd_dimensions_are_refused_before_anything_is_allocated() {
    refused(&strip(u32::MAX, 2, b"abcdef", &[]), "width");
    refused(&strip(3, 0, b"abcdef", &[]), "height of 0");
    refused(&strip(100_000, 100_000, b"abcdef", &[]), "read it in parts");
    refused(&strip(2_000_000_000, 1, b"abcdef", &[]), "rewrite it with");
    refused(
        &strip(3, 2, b"abcdef", &[(tag::SAMPLES_PER_PIXEL, SHORT, 1, 0)]),
        "number of bands",
    );
    refused(
        &strip(3, 2, b"abcdef", &[(tag::ROWS_PER_STRIP, LONG, 1, 0)]),
        "no rows",
    );
}

#[test]
fn offsets_and_counts_that_lie_are_refused() {
    refused(
        &strip(3, 2, b"abcdef", &[(tag::STRIP_OFFSETS, LONG, 1, u32::MAX)]),
        "truncated",
    );
    refused(
        &strip(3, 2, b"abcdef", &[(tag::STRIP_BYTE_COUNTS, LONG, 1, 5)]),
        "6 are needed",
    );
    refused(
        &strip(
            3,
            2,
            b"abcdef",
            &[
                (tag::STRIP_BYTE_COUNTS, LONG, 2, 0),
                (tag::STRIP_OFFSETS, LONG, 0, 8),
            ],
        ),
        "lists 0 blocks",
    );
    refused(
        &strip(
            3,
            2,
            b"abcdef",
            &[(tag::BITS_PER_SAMPLE, SHORT, u32::MAX, 8)],
        ),
        "claims 4294967295 values",
    );
    refused(
        &strip(3, 2, b"abcdef", &[(tag::BITS_PER_SAMPLE, SHORT, 4000, 8)]),
        "truncated",
    );
    refused(
        &strip(3, 2, b"abcdef", &[(tag::ROWS_PER_STRIP, LONG, 1, 1)]),
        "make 2",
    );
    // A claim beyond what any coding needs is not read in full.
    let long = read(&strip(
        3,
        2,
        b"abcdef",
        &[(tag::STRIP_BYTE_COUNTS, LONG, 1, u32::MAX)],
    ));
    assert!(story(&long.expect_err("the file is shorter")).contains("truncated"));
}

#[test]
fn values_of_the_wrong_type_are_refused() {
    refused(&strip(3, 2, b"abcdef", &[(tag::WIDTH, 2, 1, 3)]), "tag 256");
    refused(
        &strip(3, 2, b"abcdef", &[(tag::STRIP_OFFSETS, 12, 1, 8)]),
        "tag 273",
    );
    refused(
        &strip(3, 2, b"abcdef", &[(tag::PIXEL_SCALE, LONG, 1, 8)]),
        "tag 33550",
    );
    // An entry of a type that no one knows is as good as absent.
    refused(
        &strip(3, 2, b"abcdef", &[(tag::WIDTH, 99, 1, 3)]),
        "does not state its width",
    );
}

#[test]
fn of_two_entries_with_one_tag_the_first_counts() {
    let mut entries = vec![(tag::WIDTH, LONG, 1, 3), (tag::WIDTH, LONG, 1, 300)];
    entries.extend([
        (tag::HEIGHT, LONG, 1, 2),
        (tag::BITS_PER_SAMPLE, SHORT, 1, 8),
        (tag::STRIP_OFFSETS, LONG, 1, 8),
    ]);
    let array = read(&tiff(&entries, b"abcdef")).expect("reads, without byte counts too");
    assert_eq!(array.shape(), [1, 2, 3]);
}

#[test]
fn a_bomb_fills_its_block_and_no_more() {
    let bomb = deflated(&vec![7; 20 << 20]);
    assert!(bomb.len() < 1 << 16);
    let array = read(&strip(64, 64, &bomb, &[(tag::COMPRESSION, SHORT, 1, 8)]))
        .expect("the rest is left alone");
    assert_eq!(array.to_cells(), Cells::from(vec![7_u8; 64 * 64]));
    let bomb = zstd::bulk::compress(&vec![7; 20 << 20], 3).expect("compresses");
    refused(
        &strip(64, 64, &bomb, &[(tag::COMPRESSION, SHORT, 1, 50000)]),
        "Zstandard",
    );
}

#[test]
fn blocks_that_are_no_such_stream_are_refused() {
    for (code, reason) in [
        (5, "LZW"),
        (8, "Deflate"),
        (50000, "Zstandard"),
        (32773, "are needed"),
    ] {
        refused(
            &strip(64, 64, &[0xff; 40], &[(tag::COMPRESSION, SHORT, 1, code)]),
            reason,
        );
    }
    let short = deflated(&[1, 2, 3, 4]);
    refused(
        &strip(3, 2, &short, &[(tag::COMPRESSION, SHORT, 1, 8)]),
        "6 are needed",
    );
}

#[test]
fn a_window_is_bounded_whatever_the_header_claims() {
    // Absent blocks make an image of any size in a few bytes.
    let huge = [
        (tag::STRIP_OFFSETS, LONG, 1, 0),
        (tag::TILE_OFFSETS, LONG, 1, 0),
        (tag::TILE_BYTE_COUNTS, LONG, 1, 0),
    ];
    let tile = [
        (tag::TILE_WIDTH, LONG, 1, 8192),
        (tag::TILE_LENGTH, LONG, 1, 8192),
    ];
    let file = strip(40_000, 40_000, b"", &[&huge[..], &tile[..]].concat());
    refused(&file, "lists 1 blocks");
    let file = strip(
        8192,
        8192,
        b"",
        &[
            &huge[..],
            &tile[..],
            &[(tag::SAMPLES_PER_PIXEL, SHORT, 1, 5)],
        ]
        .concat(),
    );
    refused(&file, "limit of 128 MiB");
}

#[test]
fn every_prefix_of_a_file_is_an_error_or_a_header() {
    for name in [
        "float32-lzw-p3-tiles-b2-band-little",
        "nodata-i16",
        "described",
        "uint16-lzw-p1-strips-b6-band-little",
    ] {
        let Ok(bytes) = fs::read(data().join(format!("{name}.tif"))) else {
            continue;
        };
        for end in 0..bytes.len() {
            fuzz_geotiff(&bytes[..end]);
        }
    }
}

/// Some small files of every kind of coding.
fn seeds() -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = fs::read_dir(data())
        .expect("the files are there")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "tif"));
    paths.sort();
    paths
        .iter()
        .step_by(3)
        .map(|path| fs::read(path).expect("readable"))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(3000), ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_do_not_panic(
        seed: prop::sample::Index,
        other: prop::sample::Index,
        // Most of what steers the reader stands at the start and in the directory.
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 0..8),
        cut: Option<prop::sample::Index>,
        splice in prop::option::of((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1_usize..64)),
    ) {
        thread_local!(static SEEDS: Vec<Vec<u8>> = seeds());
        SEEDS.with(|seeds| {
            let mut bytes = seed.get(seeds).clone();
            let other = other.get(seeds);
            for (at, value, early) in flips {
                let len = if early { bytes.len().min(400) } else { bytes.len() };
                bytes[at.index(len)] = value;
            }
            if let Some((to, from, len)) = splice {
                let (to, from) = (to.index(bytes.len()), from.index(other.len()));
                let len = len.min(bytes.len() - to).min(other.len() - from);
                bytes[to..to + len].copy_from_slice(&other[from..from + len]);
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            fuzz_geotiff(&bytes);
        });
    }
}
