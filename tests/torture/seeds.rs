//! Which seeds a test takes, and what becomes of those that fail.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::dice::Dice;

impl Dice {
    /// A source for a purpose: others of the same seed are independent.
    pub fn of(seed: u64, purpose: u64) -> Self {
        let mut dice = Self(seed ^ purpose.wrapping_mul(0xd605_1d11_9f4f_5b5b));
        dice.next();
        dice
    }
}

/// How long a test goes on without being told.
const SLICE: Duration = Duration::from_millis(4500);

fn kept() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/torture/seeds.txt")
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is `{text}`, which is not a whole number")),
    )
}

/// Runs a test on the seeds that failed once, then on new ones until its time is over. `run`
/// returns what it tried.
pub fn each(name: &str, mut run: impl FnMut(u64) -> u64) {
    let time = number("GRIDSTONE_SECONDS").map_or(SLICE, Duration::from_secs);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    // Without a seed a slice is the same each time, and a longer run is not.
    let first = number("GRIDSTONE_SEED").unwrap_or(if time == SLICE { 1 } else { now });
    let text = std::fs::read_to_string(kept()).unwrap_or_default();
    let failed = text
        .lines()
        .filter_map(|line| line.split_once(' ').filter(|(test, _)| *test == name));
    let failed: Vec<u64> = failed
        .filter_map(|(_, seed)| seed.split(' ').next()?.parse().ok())
        .collect();
    let start = Instant::now();
    let (mut seeds, mut tried) = (0, 0);
    let only = std::env::var("GRIDSTONE_ONLY").is_ok();
    let before: &[u64] = if only { &[] } else { failed.as_slice() };
    for seed in before.iter().copied().chain(first..) {
        // One new seed at least.
        if seeds > before.len() && start.elapsed() > time || only && seeds > 0 {
            break;
        }
        println!("{name}: seed {seed}");
        match catch_unwind(AssertUnwindSafe(|| run(seed))) {
            Ok(of_seed) => tried += of_seed,
            Err(panic) => {
                keep(name, seed, failed.contains(&seed));
                resume_unwind(panic);
            }
        }
        seeds += 1;
    }
    println!(
        "{name}: {tried} tried with {seeds} seeds from {first} in {:.0} s",
        start.elapsed().as_secs_f64()
    );
    assert!(tried > 0, "nothing was tried");
}

fn keep(name: &str, seed: u64, known: bool) {
    eprintln!(
        "{name}: seed {seed} fails; run it alone with GRIDSTONE_SEED={seed} GRIDSTONE_ONLY=1"
    );
    let file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(kept());
    if let Some(mut file) = file.ok().filter(|_| !known) {
        let _ = writeln!(file, "{name} {seed}");
    }
}
