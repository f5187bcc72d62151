//! What fuzz targets run: one function an input, which must hold for whatever bytes. The suite
//! replays stored corpora.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeTuple, Serializer};

#[cfg(feature = "geotiff")]
pub use crate::adapter::geotiff::fuzz_geotiff as geotiff;
#[cfg(feature = "netcdf")]
pub use crate::adapter::netcdf::fuzz_netcdf as netcdf;
#[cfg(feature = "zarr")]
pub use crate::adapter::zarr::fuzz_zarr as zarr;
use crate::array::Cells;
use crate::codec::{
    BlobSpec, Codec, Filter, RawPlane, Settings, decode, decode_record, encode, encode_record,
    inspect,
};
use crate::key::{ChunkKey, DirectoryEntry, GridId, MarkKey};
use crate::kv::preflight::manifest::Manifest;
use crate::kv::preflight::{log as database_log, watermark as sidecar};
use crate::kv::{Engine, Memory};
use crate::{
    Aggregation, Axis, DType, Dimension, Freshness, Grid, Layer, Level, Levels, Policy, Query,
    Schema, Store, Structure, Window,
};

/// Bytes that are used up from the front; zeros when there are none left.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    fn signed(&mut self) -> i64 {
        i64::from(i8::from_ne_bytes([self.byte()]))
    }
}

fn structures() -> [Structure; 3] {
    let space = || {
        Dimension::regular(
            "space",
            [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
        )
    };
    let time = Dimension::regular("time", [Axis::new("t", 0.0, 1.0, 2)]);
    let band = Dimension::fixed("band", ["red", "green", "blue"]);
    let one = Structure::builder().dimension(space()).build();
    let irregular = Structure::builder()
        .dimension(Dimension::irregular("t", "s", 8, 60))
        .dimension(space())
        .build();
    let three = Structure::builder()
        .dimension(band)
        .dimension(time)
        .dimension(space().refinable())
        .build();
    [one, three, irregular].map(|structure| structure.expect("a valid structure"))
}

/// Bytes are no key, or the bytes of the key that they decode to.
pub fn key(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else {
        return;
    };
    let structure = &structures()[usize::from(which % 3)];
    let grid = GridId(1);
    if let Ok(entry) = DirectoryEntry::decode(bytes) {
        assert_eq!(entry.encode(), bytes);
    }
    if let Ok((layer, at)) = ChunkKey::decode(grid, structure, bytes) {
        assert_eq!(ChunkKey::new(grid, structure, layer, &at).encode(), bytes);
    }
    if let Ok(mark) = MarkKey::decode(grid, structure, bytes) {
        assert_eq!(MarkKey::new(grid, structure, &mark).encode(), bytes);
    }
}

/// Bytes are no blob, or one whose cells are those that were encoded; cells survive; a flipped bit
/// is found.
pub fn blob(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (pick, filter, at) = (input.byte(), input.byte(), input.byte());
    let dtype = DType::ALL[usize::from(pick) % DType::ALL.len()];
    let codec = if filter & 4 == 0 {
        Codec::Fast
    } else {
        Codec::Small
    };
    let filter =
        [Filter::None, Filter::Shuffle, Filter::Delta, Filter::Narrow][usize::from(filter) % 4];
    let (shape, dtypes) = ([4, 8], [dtype]);
    let Ok(spec) = BlobSpec::new(&shape, &dtypes, 1) else {
        unreachable!("a valid request")
    };
    drop(inspect(input.0));
    drop(decode(b"key", input.0, &spec));
    let mut cells = Cells::filled(dtype, 32, 0.0);
    cells
        .as_bytes_mut()
        .iter_mut()
        .for_each(|byte| *byte = input.byte());
    let mut encoded = encode(
        b"key",
        &[RawPlane::new(&cells, filter, f64::NAN)],
        &shape,
        Settings { codec, level: 1 },
        None,
    );
    let decoded = decode(b"key", &encoded, &spec).expect("what was encoded is decoded");
    assert!(
        decoded.len() == 1 && decoded[0].as_bytes() == cells.as_bytes(),
        "bit for bit"
    );
    assert!(
        decode(b"other", &encoded, &spec).is_err(),
        "under another key it is damaged"
    );
    let at = usize::from(at) * 7 % (8 * encoded.len());
    encoded[at / 8] ^= 1 << (at % 8);
    assert!(
        decode(b"key", &encoded, &spec).is_err(),
        "bit {at} is flipped"
    );
}

/// A payload as it stands, so that it comes into an intact envelope.
struct Payload<'a>(&'a [u8]);

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0
            .iter()
            .try_for_each(|byte| tuple.serialize_element(byte))?;
        tuple.end()
    }
}

/// Bytes, bare or in an intact envelope, are no schema, or the bytes of the valid schema that they
/// decode to.
pub fn record(bytes: &[u8]) {
    const KIND: u8 = 5;
    let sealed = encode_record(KIND, &Payload(bytes)).unwrap_or_default();
    for bytes in [bytes, &sealed] {
        if let Ok(schema) = decode_record::<Schema>(KIND, bytes) {
            assert_eq!(
                encode_record(KIND, &schema).expect("it was a record"),
                bytes,
                "one encoding a value"
            );
            let again = schema.structure().dimensions().iter().cloned();
            let again = again
                .fold(Structure::builder(), crate::StructureBuilder::dimension)
                .build()
                .expect("it is valid");
            assert_eq!(again.dimensions(), schema.structure().dimensions());
        }
    }
}

/// Bytes are a log up to some end, whose records stand one behind the other; each is an edit of a
/// manifest, or none.
pub fn log(bytes: &[u8]) {
    let mut manifest = Manifest::default();
    let mut end = 0;
    let scanned = database_log::scan::<std::io::Error>(bytes, usize::MAX, |record| {
        assert!(record.at >= end, "a record begins within the one before it");
        end = record.at + record.head.len() as u64;
        let _ = manifest.apply(record.head);
        Ok(())
    });
    let scanned = scanned.expect("memory can be read");
    assert!(
        end <= scanned.end && scanned.end <= bytes.len() as u64,
        "what counts is there"
    );
    // What counts is read again as the same, and is whole.
    let counting = &bytes[..usize::try_from(scanned.end).expect("it is in memory")];
    let again =
        database_log::scan::<std::io::Error>(counting, 0, |_| Ok(())).expect("memory can be read");
    assert_eq!(
        (again.end, again.ending),
        (scanned.end, database_log::Ending::Clean)
    );
    let _ = Manifest::default().apply(bytes);
}

/// Bytes are no watermark, or one that no flipped bit turns into another.
pub fn watermark(bytes: &[u8]) {
    let sidecar::FoundWatermark::Valid(found, generation) = sidecar::decode(bytes) else {
        return;
    };
    for bit in 0..8 * bytes.len().min(600) {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let sidecar::FoundWatermark::Valid(other, of) = sidecar::decode(&flipped) {
            assert!(
                (other, of) == (found, generation) || of < generation || of == generation,
                "bit {bit} made it {other:?}"
            );
        }
    }
}

/// A history of puts, clears, aggregation, crashes and reopenings, against a map of cells.
pub fn history(bytes: &[u8]) {
    let mut input = Input(bytes);
    let x = Dimension::regular("x", [Axis::new("x", 0.0, 1.0, 16)]);
    let structure = Structure::builder()
        .dimension(x)
        .build()
        .expect("a valid structure");
    let schema = Schema::builder(structure, DType::I16).nodata(0.0);
    let schema = schema
        .aggregator(Aggregation::Max)
        .aggregator(Aggregation::Count)
        .build()
        .expect("a valid schema");
    let mut engine = Arc::new(Memory::new());
    let open = |engine: &Arc<Memory>, inline: bool| {
        let policy = if inline {
            Policy::Inline
        } else {
            Policy::Manual
        };
        Store::options()
            .policy(policy)
            .open_engine(Arc::clone(engine) as Arc<dyn Engine>)
            .expect("memory opens")
    };
    let mut store = open(&engine, input.byte() & 1 == 1);
    let mut grid = store.create("a", schema).expect("a new grid");
    let mut cells: BTreeMap<i64, i16> = BTreeMap::new();
    while !input.0.is_empty() {
        match input.byte() % 8 {
            0..=2 => {
                let (start, len, replace) =
                    (input.signed(), 1 + input.byte() % 40, input.byte() & 1 == 1);
                let values: Vec<i16> = (0..len).map(|_| i16::from(input.byte() % 16)).collect();
                let (window, array) = (
                    Window::new([start], [u64::from(len)]),
                    ndarray::Array1::from_vec(values.clone()),
                );
                let put = if replace {
                    grid.replace(&window, &array)
                } else {
                    grid.put(&window, &array)
                };
                put.expect("a valid put");
                for (at, value) in (start..).zip(values) {
                    match (value, replace) {
                        (0, true) => drop(cells.remove(&at)),
                        (0, false) => {}
                        (value, _) => drop(cells.insert(at, value)),
                    }
                }
            }
            3 => drop(grid.aggregate_step().expect("a step")),
            4 => drop(grid.aggregate().expect("memory does not fail")),
            5 | 6 => {
                let keep = usize::from(input.byte() % 4);
                engine = Arc::new(if keep == 3 {
                    engine.reopen()
                } else {
                    engine.crash(keep)
                });
                store = open(&engine, input.byte() & 1 == 1);
                grid = store.grid("a").expect("it was acknowledged");
            }
            _ => check(&grid, &cells, Freshness::Fresh),
        }
    }
    check(&grid, &cells, Freshness::Fresh);
    assert_eq!(store.verify().expect("memory does not fail").findings, []);
    grid.aggregate().expect("memory does not fail");
    assert_eq!(grid.marks().expect("memory does not fail"), 0);
    check(&grid, &cells, Freshness::Stored);
    assert_eq!(store.verify().expect("memory does not fail").findings, []);
}

/// Up to level 4, cells are aligned with the origin.
fn check(grid: &Grid, cells: &BTreeMap<i64, i16>, freshness: Freshness) {
    let Some(top) = grid.top().expect("memory does not fail") else {
        return;
    };
    for level in 0..=top.levels()[0].get().min(4) {
        let at = Levels::zero(1).with(0, Level::new(level).expect("a level"));
        let read = |aggregator| {
            let query = Query::all()
                .levels(at)
                .layer(Layer::Aggregate(aggregator))
                .freshness(freshness);
            grid.read(&query).expect("a valid query")
        };
        let (max, count) = (read(Aggregation::Max), read(Aggregation::Count));
        let start = max.window.start()[0];
        for (cell, (max, count)) in (start..).zip(max.array.iter_f64().zip(count.array.iter_f64()))
        {
            let under = || {
                cells
                    .range(cell << level..(cell + 1) << level)
                    .map(|(_, value)| *value)
            };
            assert_eq!(
                max,
                f64::from(under().max().unwrap_or(0)),
                "max of cell {cell} at level {level}"
            );
            assert_eq!(
                count,
                under().count() as f64,
                "count of cell {cell} at level {level}"
            );
        }
    }
}
