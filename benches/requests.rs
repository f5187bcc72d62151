//! What verbs ask of object storage:
//! `cargo bench --features cli,testing,object-store --bench requests -- 1000 10000`, or
//! `make requests`.
//!
//! Stores of so many chunks are made in memory, every request is counted, and is held against what
//! a formula says (`model.rs`). With `GRIDSTONE_REQUESTS=1` each is told, too. The formula then
//! says what it takes, costs and lasts where the chunks are more than one machine holds. Prints
//! tables in Markdown.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

#[path = "../tests/torture/dice.rs"]
#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "tests draw more from it"
)]
mod dice;
#[path = "../tests/objects/failing.rs"]
mod failing;
mod model;
mod scene;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use gridstone::kv::{Engine, SlateOptions};
use gridstone::{Aggregation, Grid, Level, Levels, Policy, Query, Store, Window};
use ndarray::Array2;

use failing::{Failing, Request, Verb, Weather, in_a_row};
use model::{Asked, Shape};

/// Cells along the side of a chunk, none of which can be made small.
const CHUNK: u64 = 64;
/// Chunks along the side of a put.
const BLOCK: u64 = 4;
/// How long a request takes, where it counts how many follow one another.
const TAKES: Duration = Duration::from_millis(50);
/// Smaller than by default in the measure of the chunks, so that there are as many tables.
const TABLE_BYTES: usize = 16 << 20;
const MINUTE: Duration = Duration::from_secs(60);

fn options() -> SlateOptions {
    let mut options = SlateOptions::default();
    options.create = true;
    options.table_bytes = TABLE_BYTES;
    options.age_max = Duration::from_secs(3600);
    options
}

fn window(chunks: u64, side: u64) -> Window {
    let start = i64::try_from(chunks * CHUNK + CHUNK / 2).unwrap();
    Window::new([start, start], [side * CHUNK, side * CHUNK])
}

/// Puts a square of chunks, one commit for `BLOCK` x `BLOCK` of them. Gives their number.
fn fill(grid: &Grid, chunks: u64) -> u64 {
    let side = chunks.isqrt().next_multiple_of(BLOCK);
    let cells = usize::try_from(BLOCK * CHUNK).unwrap();
    let mut dice = dice::Dice(1);
    for y in (0..side).step_by(usize::try_from(BLOCK).unwrap()) {
        for x in (0..side).step_by(usize::try_from(BLOCK).unwrap()) {
            let noise = |_| {
                let bits = u32::try_from(dice.next() >> 41).unwrap();
                f32::from_bits(0x3f80_0000 | bits)
            };
            let values = Array2::from_shape_fn([cells, cells], noise);
            let start = [y, x].map(|at| i64::try_from(at * CHUNK).unwrap());
            let shape = [BLOCK * CHUNK; 2];
            grid.put(&Window::new(start, shape), &values).unwrap();
        }
    }
    side * side
}

/// What was asked for.
fn sum(requests: Vec<Request>) -> Asked {
    let of = |changes: bool| {
        // What is deleted costs nothing.
        let some = requests
            .iter()
            .filter(|of| of.verb.changes() == changes && of.verb != Verb::Delete);
        let (count, bytes) = some.fold((0_u64, 0), |(count, bytes), of| {
            (count + 1, bytes + of.bytes)
        });
        (count as f64, bytes as f64)
    };
    let ((gets, read), (puts, written)) = (of(false), of(true));
    Asked {
        gets,
        puts,
        read,
        written,
        row: Some(in_a_row(requests) as f64),
    }
}

/// The object storage that stores are made in.
struct Bench {
    objects: Arc<Failing>,
}

impl Bench {
    /// What something asks for, each request of which takes a while.
    fn asked<T>(&self, takes: Duration, run: impl FnOnce() -> T) -> (T, Asked) {
        let weather = |takes| Weather {
            takes,
            ..Weather::default()
        };
        self.objects.set(weather(takes));
        let before = self.objects.counts().so_far();
        let gave = run();
        self.objects.set(weather(Duration::ZERO));
        let requests = self.objects.counts().since(before);
        if std::env::var_os("GRIDSTONE_REQUESTS").is_some() {
            for of in &requests {
                eprintln!("{:?} {} {}", of.verb, of.path, of.bytes);
            }
        }
        (gave, sum(requests))
    }

    /// Waits until nothing is written any more.
    fn settle(&self) {
        let mut before = 0;
        while before != self.objects.counts().writes() {
            before = self.objects.counts().writes();
            thread::sleep(Duration::from_secs(3));
        }
    }

    /// The bytes of the last manifest.
    fn manifest(&self) -> u64 {
        let all = self.objects.counts().since(0);
        let is_manifest = |of: &&Request| of.verb == Verb::Put && of.path.contains("/manifest/");
        all.iter().rfind(is_manifest).unwrap().bytes
    }

    /// Makes a store, and prints what that asks for.
    fn write(&self, chunks: u64) -> (u64, Shape) {
        let engine: Arc<dyn Engine> = Arc::new(self.objects.open(&options()).unwrap());
        let store = Store::options().policy(Policy::Manual);
        let store = store.open_engine(Arc::clone(&engine)).unwrap();
        let side = u32::try_from(CHUNK).unwrap();
        let grid = scene::grid(&store, "chunks", side, &[Aggregation::Mean]);
        let (made, asked) = self.asked(Duration::ZERO, || {
            let made = fill(&grid, chunks);
            grid.aggregate().unwrap();
            engine.flush().unwrap();
            self.settle();
            made
        });
        let shape = Shape {
            chunks: made as f64,
            // Of four bytes the highest is the same in all cells.
            bytes: (CHUNK * CHUNK * 3) as f64,
            commit: (BLOCK * BLOCK) as f64,
            merged: TABLE_BYTES as f64,
            cache: options().cache_bytes as f64,
        };
        model::line(made, "import and aggregate", &asked, Some(shape.import()));
        model::manifest(made, self.manifest(), &shape);
        let ((), asked) = self.asked(Duration::ZERO, || thread::sleep(MINUTE));
        model::line(made, "a minute of rest of who writes", &asked, None);
        drop((grid, store, engine));
        (made, shape)
    }

    fn patch(&self, made: u64) {
        let engine: Arc<dyn Engine> = Arc::new(self.objects.open(&options()).unwrap());
        let store = Store::options().policy(Policy::Inline);
        let store = store.open_engine(engine).unwrap();
        let grid = store.grid("chunks").unwrap();
        thread::sleep(Duration::from_secs(1));
        let values = Array2::from_elem((20, 20), 7.5_f32);
        let at = i64::try_from(3 * CHUNK + 8).unwrap();
        let ((), asked) = self.asked(TAKES, || {
            grid.replace(&Window::new([at, at], [20, 20]), &values)
                .unwrap();
        });
        model::line(made, "a patch, fresh at every level", &asked, None);
    }

    /// Reads windows as a process does that has just opened the store.
    fn read(&self, (made, shape): (u64, &Shape)) {
        for (name, side, level) in [
            ("a window over 4 chunks", 1, 0),
            ("over 9", 2, 0),
            ("over 81", 8, 0),
            ("over 4 of means", 2, 1),
        ] {
            let (reader, opening) = self.asked(TAKES, || self.objects.read(&options()).unwrap());
            let store = Store::options().read_only(true);
            let store = store.open_engine(Arc::new(reader)).unwrap();
            let grid = store.grid("chunks").unwrap();
            thread::sleep(Duration::from_secs(1));
            let levels = Levels::zero(1).with(0, Level::new(level).unwrap());
            let query = Query::window(window(2, side)).levels(levels);
            let (answer, asked) = self.asked(TAKES, || grid.read(&query).unwrap());
            if side == 1 {
                model::line(made, "opening to read", &opening, None);
            }
            let expected = shape.window(answer.chunks_read as f64);
            model::line(made, name, &asked, Some(expected));
        }
    }
}

fn main() {
    let asked: Vec<u64> = std::env::args()
        .skip(1)
        .filter_map(|text| text.parse().ok())
        .collect();
    println!("{}", model::HEADER);
    for chunks in if asked.is_empty() {
        vec![1_000, 10_000]
    } else {
        asked
    } {
        let bench = Bench {
            objects: Failing::new(1),
        };
        let (made, shape) = bench.write(chunks);
        bench.read((made, &shape));
        bench.patch(made);
    }
    println!();
    model::at_scale();
}
