//! What a store should ask of object storage, and what that costs and how long it takes.
//!
//! N chunks of b bytes with a pyramid over them, a third as many, are D = 4/3 N b bytes.
//!
//! * A commit of c chunks is an object of the log: 4/3 N / c puts, of D bytes.
//! * Young tables have an eighth of the bytes m of a merged one: 8 D / m of them. Each is a put,
//!   and the manifest that names it another.
//! * Young tables are merged into a run, and runs of one size into one, four to eight at a time:
//!   each byte A = 1 + log8(2 D / m) times, rounded down. It is read in requests of 2 MiB and
//!   written in parts of 10 MiB, each table at least in one.
//! * Aggregation reads every chunk that is not in the C bytes of memory any more: 4/3 N - C / b
//!   gets.
//! * A window of k chunks takes k gets of b bytes, and at most half as many again for what is in
//!   the directory and for marks.
//!
//! Who has a store open for writing looks for news, with eight small gets a second beside all that.
//! The list of tables, which each change writes anew, has 200 bytes a table: that is what bounds a
//! store. Larger grids are shards.

/// What was asked for, or what the formula says of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) gets: f64,
    pub(super) puts: f64,
    /// Bytes.
    pub(super) read: f64,
    pub(super) written: f64,
    /// The most of them that followed one another; the formula has none where several threads ask.
    pub(super) row: Option<f64>,
}

/// What a store is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) chunks: f64,
    /// The bytes of a chunk.
    pub(super) bytes: f64,
    /// The chunks of a commit.
    pub(super) commit: f64,
    /// The bytes of a merged table.
    pub(super) merged: f64,
    /// The bytes of what is held in memory.
    pub(super) cache: f64,
}

const FETCH: f64 = 2.0 * MIB;
const PART: f64 = 10.0 * MIB;
const MIB: f64 = 1024.0 * 1024.0;
/// Bytes of the manifest for each table.
const TABLE_ENTRY: f64 = 200.0;

impl Shape {
    /// The bytes of all chunks.
    fn data(&self) -> f64 {
        4.0 / 3.0 * self.chunks * self.bytes
    }

    fn young(&self) -> f64 {
        8.0 * self.data() / self.merged
    }

    /// How often a byte is merged.
    fn merges(&self) -> f64 {
        let runs = (self.young() / 4.0).max(1.0);
        1.0 + runs.log(8.0).floor()
    }

    pub(super) fn import(&self) -> Asked {
        let (data, merged) = (self.data(), self.merges() * self.data());
        let parts = merged / PART.min(self.merged);
        let aggregated = (data - self.cache).max(0.0);
        Asked {
            gets: merged / FETCH.min(self.merged / 8.0) + aggregated / self.bytes,
            puts: 4.0 / 3.0 * self.chunks / self.commit + 2.0 * self.young() + parts,
            read: merged + aggregated,
            written: 2.0 * data + merged,
            row: None,
        }
    }

    pub(super) fn window(&self, chunks: f64) -> Asked {
        Asked {
            gets: 1.5 * chunks,
            puts: 0.0,
            read: chunks * self.bytes,
            written: 0.0,
            row: Some(3.0),
        }
    }

    /// The bytes of the list of tables, once they are merged.
    fn manifest(&self) -> f64 {
        TABLE_ENTRY * (self.data() / self.merged).ceil()
    }
}

pub(super) const HEADER: &str = "\
| chunks | verb | gets | MB read | puts | MB written | in a row |
|---|---|---|---|---|---|---|";

/// Prints a line: what was asked for, and in brackets what the formula says.
pub(super) fn line(chunks: u64, verb: &str, asked: &Asked, expected: Option<Asked>) {
    let cell = |of: &dyn Fn(&Asked) -> f64, digits: usize| match &expected {
        Some(expected) => format!("{:.digits$} ({:.digits$})", of(asked), of(expected)),
        None => format!("{:.digits$}", of(asked)),
    };
    let row = match &expected {
        Some(Asked { row: None, .. }) => String::new(),
        _ => cell(&|of: &Asked| of.row.unwrap_or(0.0), 0),
    };
    println!(
        "| {chunks} | {verb} | {} | {} | {} | {} | {row} |",
        cell(&|of: &Asked| of.gets, 0),
        cell(&|of: &Asked| of.read / 1e6, 1),
        cell(&|of: &Asked| of.puts, 0),
        cell(&|of: &Asked| of.written / 1e6, 1),
    );
}

/// Prints the bytes of a manifest.
pub(super) fn manifest(chunks: u64, bytes: u64, shape: &Shape) {
    let expected = shape.manifest() / 1e6;
    println!(
        "| {chunks} | the manifest | | | | {:.3} ({expected:.3}) | |",
        bytes as f64 / 1e6
    );
}

/// What object storage costs and how fast it is: in the region of those who ask.
struct Storage {
    name: &'static str,
    /// Dollars.
    thousand_puts: f64,
    thousand_gets: f64,
    gigabyte_month: f64,
    /// Seconds to the first byte of an answer, and until something is written.
    get: f64,
    put: f64,
    /// Bytes a second of one request, and of one machine.
    one: f64,
    machine: f64,
}

/// Prices of us-east-1; times as they are commonly measured.
const STORAGES: [Storage; 2] = [
    Storage {
        name: "S3 Standard",
        thousand_puts: 0.005,
        thousand_gets: 0.0004,
        gigabyte_month: 0.021,
        get: 0.030,
        put: 0.060,
        one: 90e6,
        machine: 1.2e9,
    },
    Storage {
        name: "S3 Express One Zone",
        thousand_puts: 0.00113,
        thousand_gets: 0.00003,
        gigabyte_month: 0.11,
        get: 0.005,
        put: 0.008,
        one: 90e6,
        machine: 1.2e9,
    },
];

impl Storage {
    /// Dollars.
    fn requests(&self, of: &Asked) -> f64 {
        (of.puts * self.thousand_puts + of.gets * self.thousand_gets) / 1e3
    }

    /// Seconds until a window of chunks is there.
    fn latency(&self, shape: &Shape, chunks: f64, row: f64) -> f64 {
        let bytes = chunks * shape.bytes;
        row * self.get + (shape.bytes / self.one).max(bytes / self.machine)
    }
}

/// Prints what a grid of 10^9 chunks of 256 x 256 cells of float32 takes.
pub(super) fn at_scale() {
    println!(
        "| storage | chunks | shards | manifest, MB | storage, $ a month | import, $ | import, hours on 10 machines | a tile of 4 chunks, ms | of 81, ms | 10^6 tiles, $ | a put, ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for storage in &STORAGES {
        for (chunks, shards) in [(1e6, 1.0), (1e9, 100.0)] {
            let shape = Shape {
                chunks: chunks / shards,
                bytes: 262_144.0,
                commit: 16.0,
                merged: 256.0 * MIB,
                cache: 64.0 * MIB,
            };
            let (import, tile) = (shape.import(), shape.window(4.0));
            let row = if shards > 1.0 { 4.0 } else { 3.0 };
            let moved = shards * (import.read + import.written);
            println!(
                "| {} | {chunks:.0e} | {shards} | {:.1} | {:.0} | {:.0} | {:.1} | {:.0} | {:.0} | {:.2} | {:.0} |",
                storage.name,
                shape.manifest() / 1e6,
                shards * shape.data() / 1e9 * storage.gigabyte_month,
                shards * storage.requests(&import),
                moved / (10.0 * storage.machine) / 3600.0,
                1e3 * storage.latency(&shape, 4.0, row),
                1e3 * storage.latency(&shape, 81.0, row),
                1e6 * storage.requests(&tile),
                1e3 * (storage.put + shape.commit * shape.bytes / storage.one),
            );
        }
    }
}
