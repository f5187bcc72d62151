//! A window that is read again and again, on object storage and on RocksDB. Run by hand, with
//! `--ignored --nocapture`, in a release build.

use std::time::{Duration, Instant};

use gridstone::{Axis, DType, Dimension, Policy, Query, Schema, Store, Structure, Window};
use ndarray::Array2;

const SIDE: usize = 2048;
const ROUNDS: usize = 200;

fn height(y: usize, x: usize) -> f32 {
    let (y, x) = (y as f32, x as f32);
    (y / 90.0).sin() * 300.0 + (x / 70.0).cos() * 200.0 + ((y * 7.0 + x * 3.0) % 5.0)
}

fn filled(store: &Store) {
    let space = Dimension::regular(
        "space",
        [
            Axis::new("y", 0.0, -1.0, 256),
            Axis::new("x", 0.0, 1.0, 256),
        ],
    );
    let structure = Structure::builder().dimension(space).build().unwrap();
    let schema = Schema::builder(structure, DType::F32).build().unwrap();
    let side = u64::try_from(SIDE).unwrap();
    let grid = store.create("g", schema).unwrap();
    let cells = Array2::from_shape_fn((SIDE, SIDE), |(y, x)| height(y, x));
    grid.put(&Window::new([0, 0], [side, side]), &cells)
        .unwrap();
}

/// The median time of a read.
fn median(store: &Store) -> Duration {
    let grid = store.grid("g").unwrap();
    let query = Query::window(Window::new([300, 300], [512, 512]));
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            let answer = grid.read(&query).unwrap();
            assert_eq!(answer.array.shape(), [512, 512]);
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[ROUNDS / 2]
}

#[test]
#[ignore = "it measures"]
fn a_window_read_again() {
    let place = tempfile::tempdir().unwrap();
    let paths = [
        place.path().join("rocks").display().to_string(),
        format!("file://{}/objects", place.path().display()),
        format!("memory://{}", crate::conformance::fresh_name()),
    ];
    for path in &paths {
        filled(&Store::options().policy(Policy::Inline).open(path).unwrap());
    }
    for (name, decoded) in [("blocks cached", 0), ("decoded chunks cached", 64 << 20)] {
        let mut first = None;
        for read_only in [false, true] {
            for path in &paths {
                let store = Store::options()
                    .policy(Policy::Manual)
                    .read_only(read_only)
                    .chunk_cache(decoded)
                    .open(path)
                    .unwrap();
                let time = median(&store);
                let base = *first.get_or_insert(time);
                println!(
                    "{name}, read only {read_only}: {time:?}, {:.2} of RocksDB, {path}",
                    time.as_secs_f64() / base.as_secs_f64()
                );
            }
        }
    }
}

/// Where the store is that a process of the test below reads.
const READ: &str = "GRIDSTONE_TEST_READ";
const SECONDS: f64 = 5.0;

/// Does nothing unless it is started by the test below: reads windows until the time is up, and
/// says how many.
#[test]
fn reads_until_the_time_is_up() {
    let Ok(url) = std::env::var(READ) else { return };
    let store = Store::open_read_only(&url).unwrap();
    let grid = store.grid("g").unwrap();
    let mut dice = crate::dice::Dice(u64::from(std::process::id()));
    let (start, mut windows) = (Instant::now(), 0);
    while start.elapsed().as_secs_f64() < SECONDS {
        let at = [0, 1].map(|_| i64::try_from(dice.below(SIDE - 256)).unwrap());
        let query = Query::window(Window::new(at, [256, 256]));
        assert_eq!(grid.read(&query).unwrap().array.shape(), [256, 256]);
        windows += 1;
    }
    println!("\nread {windows}");
}

/// How many windows some processes read in a second, each one after the other.
fn windows_a_second(url: &str, processes: usize) -> f64 {
    let start = || {
        crate::conformance::process("speed::reads_until_the_time_is_up")
            .env(READ, url)
            // A process has one core, as it would have a machine of its own.
            .env("RAYON_NUM_THREADS", "1")
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    };
    let running: Vec<_> = (0..processes).map(|_| start()).collect();
    let read = |process: std::process::Child| -> f64 {
        let out = process.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let count = text.lines().find_map(|line| line.strip_prefix("read "));
        count.unwrap().trim().parse().unwrap()
    };
    running.into_iter().map(read).sum::<f64>() / SECONDS
}

#[test]
#[ignore = "it measures"]
fn four_processes_that_read() {
    let place = tempfile::tempdir().unwrap();
    let url = format!("file://{}/objects", place.path().display());
    filled(&Store::options().policy(Policy::Inline).open(&url).unwrap());
    for _ in 0..3 {
        let [one, two, four] = [1, 2, 4].map(|count| windows_a_second(&url, count));
        println!(
            "{one:.0} windows a second in one process, {two:.0} in two, {four:.0} in four: {:.2} and {:.2} times",
            two / one,
            four / one
        );
    }
}
