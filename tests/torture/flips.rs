//! A bit flips, in whichever file: the store is refused as damaged, or what can be read is right and the rest says that it is damaged.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gridstone::kv::{Batch, Durability, Engine, KeyRange, Order, Rocks, RocksOptions, Space};
use gridstone::{ErrorKind, Policy, Query, Store, Window};

use crate::dice::Dice;
use crate::image::{directory, read};
use crate::model::{Cells, SIDE, WRITERS, own};
use crate::seeds;
use crate::workload::{self, acts};

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A store as a process leaves it that dies, with data in tables, in files of large values and in a log, and the watermark as it was
/// when the store was opened.
fn image(place: &Path, seed: u64) -> (Files, Vec<u8>) {
    let store = Store::options().policy(Policy::Manual).open(place).unwrap();
    workload::run(&store, seed, 5, &|_| ()).unwrap();
    store.aggregate().unwrap();
    drop(store);
    let store = Store::options().policy(Policy::Inline).open(place).unwrap();
    let oldest = fs::read(place.join("WATERMARK")).unwrap();
    workload::run(&store, seed, 3, &|_| ()).unwrap();
    // The last commit is synced, so that all are.
    store.batch().durability(Durability::Sync).commit().unwrap();
    let grid = store.grid(&own(0)).unwrap();
    grid.replace(&Window::new([0, 0], [1, 1]), &ndarray::arr2(&[[7_u32]])).unwrap();
    for _ in 0..1000 {
        let (before, files) = (read(place), read(place));
        if before == files {
            return (files, oldest);
        }
    }
    panic!("the files are never at rest");
}

/// Fails the process where a damaged store keeps it busy for ever.
struct Watchdog(Arc<AtomicU64>);

impl Watchdog {
    fn new() -> Self {
        let turns = Arc::new(AtomicU64::new(0));
        let watched = Arc::downgrade(&turns);
        thread::spawn(move || {
            let (mut last, mut since) = (0, Instant::now());
            while let Some(turns) = watched.upgrade() {
                let now = turns.load(Ordering::SeqCst);
                drop(turns);
                if now != last {
                    (last, since) = (now, Instant::now());
                }
                if since.elapsed() > Duration::from_secs(120) {
                    eprintln!("a damaged store has kept the process busy for two minutes: turn {now}");
                    std::process::abort();
                }
                thread::sleep(Duration::from_millis(200));
            }
        });
        Self(turns)
    }

    fn turn(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// What must be in the store: the writers' cells, and the last put.
fn expected(seed: u64, acts: &[i64]) -> Vec<ndarray::Array2<u32>> {
    let mut cells: Vec<_> =
        (0..WRITERS).zip(acts).map(|(writer, acts)| Cells::after(seed, writer, *acts).base().clone()).collect();
    cells[0][[0, 0]] = 7;
    cells
}

/// Whether everything that can be read is right, by pieces; gives how many pieces are damaged.
fn readable(store: &Store, expected: &[ndarray::Array2<u32>]) -> Result<u64, String> {
    let mut damaged = 0;
    for (writer, cells) in (0..).zip(expected) {
        let grid = match store.grid(&own(writer)) {
            Err(error) if *error.kind() == ErrorKind::Corrupt => {
                damaged += 1;
                continue;
            }
            grid => grid.map_err(|error| format!("grid {writer}: {error}"))?,
        };
        for (y, x) in (0..SIDE).step_by(32).flat_map(|y| (0..SIDE).step_by(32).map(move |x| (y, x))) {
            let start = [y, x].map(|start| i64::try_from(start).unwrap());
            match grid.read(&Query::window(Window::new(start, [32, 32]))) {
                Ok(answer) => {
                    let part = cells.slice(ndarray::s![y..y + 32, x..x + 32]);
                    if let Some((got, want)) = answer.array.iter_f64().zip(&part).find(|(got, want)| *got != f64::from(**want)) {
                        return Err(format!("grid {writer} at {start:?}: {got}, not {want}"));
                    }
                }
                Err(error) if *error.kind() == ErrorKind::Corrupt => damaged += 1,
                Err(error) => return Err(format!("grid {writer} at {start:?}: {error}")),
            }
        }
    }
    Ok(damaged)
}

/// Opens a damaged store. It is refused as damaged, and then its sound part can be had; or it is right as far as it can be read, and what
/// cannot be is found by a verification.
fn judge(path: &Path, expected: &[ndarray::Array2<u32>], behind_the_database: bool) -> Result<bool, String> {
    let before = read(path);
    let store = match Store::options().policy(Policy::Manual).create(false).open(path) {
        Ok(store) => store,
        Err(error) if *error.kind() == ErrorKind::Corrupt => {
            // The database has opened it by then.
            if behind_the_database {
                return Ok(false);
            }
            let after = read(path);
            // The database's own diary is of no interest.
            let is_diary = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("LOG"));
            let changed = before.iter().filter(|(path, bytes)| !is_diary(path) && after.get(*path) != Some(*bytes));
            let added = after.iter().filter(|(path, _)| !is_diary(path) && !before.contains_key(*path));
            let changed: Vec<_> = changed.chain(added).map(|(path, _)| path.display().to_string()).collect();
            return if changed.is_empty() { Ok(false) } else { Err(format!("a refusal ({error}) changed {changed:?}")) };
        }
        Err(error) => {
            // The database may meet a damaged block of small values while it merges tables, before the first commit.
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            let what = format!("it is refused with {error}: {cause}");
            return if cause.starts_with("Corruption") { Ok(false) } else { Err(what) };
        }
    };
    let damaged = readable(&store, expected)?;
    let report = store.verify().map_err(|error| format!("it cannot be verified: {error}"))?;
    if damaged > 0 && report.findings.is_empty() {
        return Err(format!("{damaged} pieces cannot be read, and verify finds nothing"));
    }
    Ok(true)
}

fn lay_out(files: &Files, store: &Path) {
    let _ = fs::remove_dir_all(store);
    fs::create_dir(store).unwrap();
    for (path, bytes) in files {
        fs::write(store.join(path.file_name().unwrap()), bytes).unwrap();
    }
}

const KINDS: [&str; 6] = ["MANIFEST-", "CURRENT", ".log", ".sst", ".blob", "WATERMARK"];

#[test]
fn no_flipped_bit_in_a_file_goes_unseen() {
    let watchdog = Watchdog::new();
    seeds::each("flips", |seed| {
        let (place, laid) = (directory(), directory());
        let (files, oldest) = image(place.path(), seed);
        let store = laid.path().join("store");
        lay_out(&files, &store);
        let known = Store::options().policy(Policy::Manual).open(&store).unwrap();
        let expected = expected(seed, &acts(&known).unwrap());
        drop(known);
        let (mut dice, mut refused) = (Dice::of(seed, 5), BTreeMap::<&str, (u64, u64)>::new());
        let mut lost = 0;
        let flips = 60;
        for _ in 0..flips {
            let (kind, stale) = (dice.pick(&KINDS), dice.chance(50));
            let mut damaged = files.clone();
            let name_of = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
            let of_kind: Vec<_> = files.keys().filter(|path| name_of(path).contains(kind) && !files[*path].is_empty()).collect();
            // Small values are in tables.
            if of_kind.is_empty() {
                continue;
            }
            let path = dice.pick(&of_kind).clone();
            if stale {
                *damaged.iter_mut().find(|(path, _)| name_of(path) == "WATERMARK").unwrap().1 = oldest.clone();
            }
            let bytes = damaged.get_mut(&path).unwrap();
            // The end of a log is where damage looks like a write that was cut short.
            let from = if kind == ".log" && dice.chance(30) { bytes.len().saturating_sub(300) } else { 0 };
            let bit = from * 8 + dice.below((bytes.len() - from) * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            lay_out(&damaged, &store);
            let opened = judge(&store, &expected, [".sst", ".blob"].contains(&kind));
            let opened = opened.unwrap_or_else(|wrong| panic!("bit {bit} of {}, stale: {stale}: {wrong}", name_of(&path)));
            let of_kind = refused.entry(kind).or_default();
            *(if opened { &mut of_kind.1 } else { &mut of_kind.0 }) += 1;
            if !opened {
                let what = format!("bit {bit} of {}, stale: {stale}", name_of(&path));
                match salvaged(&store, laid.path(), &expected) {
                    // Where a table of records or of the directory is damaged nobody knows what there is.
                    Err(_) if kind == ".sst" => lost += 1,
                    salvaged => salvaged.unwrap_or_else(|wrong| panic!("{what}: salvaged: {wrong}")),
                }
            }
            watchdog.turn();
        }
        println!("refused and opened: {refused:?}; tables that nothing could be salvaged of: {lost}");
        flips
    });
}

/// The sound part of a store that is refused can be had: where one bit has flipped, all of it.
fn salvaged(store: &Path, beside: &Path, expected: &[ndarray::Array2<u32>]) -> Result<(), String> {
    let target = beside.join("salvaged");
    let _ = fs::remove_dir_all(&target);
    Store::salvage(store, &target).map_err(|error| error.to_string())?;
    let options = Store::options().policy(Policy::Manual).accept_data_loss(true);
    let opened = options.open(&target).map_err(|error| format!("{error}: {:?}", std::error::Error::source(&error)))?;
    opened.repair().map_err(|error| format!("it cannot be repaired: {error}"))?;
    match readable(&opened, expected)? {
        0 => Ok(()),
        damaged => Err(format!("{damaged} pieces cannot be read")),
    }
}

/// Behind the checksums of the database: of our own records, keys and chunks.
#[test]
fn no_flipped_bit_in_a_record_goes_unseen() {
    let watchdog = Watchdog::new();
    seeds::each("records", |seed| {
        let (place, laid) = (directory(), directory());
        let (files, _) = image(place.path(), seed);
        let store = laid.path().join("store");
        lay_out(&files, &store);
        let known = Store::options().policy(Policy::Manual).open(&store).unwrap();
        let expected = expected(seed, &acts(&known).unwrap());
        drop(known);
        let files = read(&store);
        let mut dice = Dice::of(seed, 6);
        let flips = 40;
        for _ in 0..flips {
            lay_out(&files, &store);
            let what = flip_entry(&store, &mut dice);
            judge(&store, &expected, true).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
            watchdog.turn();
        }
        flips
    });
}

/// Flips a bit of some entry's value, and says of which.
fn flip_entry(path: &Path, dice: &mut Dice) -> String {
    let engine = Rocks::open(path, &RocksOptions::default()).unwrap();
    let snapshot = engine.snapshot().unwrap();
    loop {
        let space = dice.pick(&Space::ALL);
        let entries = snapshot.scan(space, &KeyRange::all(), Order::Ascending, 10_000).unwrap().entries;
        let Some((key, mut value)) = entries.get(dice.below(entries.len())).cloned() else { continue };
        if value.is_empty() {
            continue;
        }
        let bit = dice.below(value.len() * 8);
        value[bit / 8] ^= 1 << (bit % 8);
        let mut batch = Batch::default();
        batch.put(space, key.clone(), value);
        engine.commit(batch, Durability::Sync).unwrap();
        return format!("bit {bit} of the value of {key:?} in {space:?}");
    }
}
