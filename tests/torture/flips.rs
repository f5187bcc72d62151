//! A bit flips, in whichever file: the store is refused as damaged, or what can be read is right and the rest says that it is damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gridstone::kv::{Batch, Durability, Engine, KeyRange, Order, Rocks, RocksOptions, Space};
use gridstone::{ErrorKind, Policy, Query, Store, Window};
use ndarray::{Array2, arr2};
use tempfile::TempDir;

use crate::dice::Dice;
use crate::image::{self, directory};
use crate::model::{Cells, SIDE, WRITERS, own};
use crate::seeds;
use crate::workload::{self, acts};

/// The files of a directory by their names.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn read(directory: &Path) -> Files {
    image::read(directory).into_iter().map(|(path, bytes)| (path.file_name().unwrap().into(), bytes)).collect()
}

/// A store as a process leaves it that dies, with data in tables, in files of large values and in a log.
struct Image {
    files: Files,
    /// The watermark as it was when the store was opened.
    oldest: Vec<u8>,
    /// What must be in each writer's grid.
    expected: Vec<Array2<u32>>,
    /// Where it is laid out.
    place: TempDir,
}

impl Image {
    fn of(seed: u64) -> Self {
        let made = directory();
        let store = Store::options().policy(Policy::Manual).open(made.path()).unwrap();
        workload::run(&store, seed, 5, &|_| ()).unwrap();
        store.aggregate().unwrap();
        drop(store);
        let store = Store::options().policy(Policy::Inline).open(made.path()).unwrap();
        let oldest = fs::read(made.path().join("WATERMARK")).unwrap();
        workload::run(&store, seed, 3, &|_| ()).unwrap();
        // The last commit is synced, so that all are.
        store.batch().durability(Durability::Sync).commit().unwrap();
        let grid = store.grid(&own(0)).unwrap();
        grid.replace(&Window::new([0, 0], [1, 1]), &arr2(&[[7_u32]])).unwrap();
        let files = (0..1000).find_map(|_| Some(read(made.path())).filter(|files| *files == read(made.path())));
        let mut image = Self { files: files.expect("files at rest"), oldest, expected: Vec::new(), place: directory() };
        let known = Store::options().policy(Policy::Manual).open(image.lay_out(&image.files)).unwrap();
        let writers = (0..WRITERS).zip(acts(&known).unwrap());
        image.expected = writers.map(|(writer, acts)| Cells::after(seed, writer, acts).base().clone()).collect();
        image.expected[0][[0, 0]] = 7;
        image
    }

    /// Lays out files as those of the store.
    fn lay_out(&self, files: &Files) -> PathBuf {
        image::lay_out(files, Path::new(""), self.place.path())
    }
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

/// Whether everything that can be read is right, by pieces; gives how many pieces are damaged. With `holes`, what was lost may have been
/// taken out.
fn readable(store: &Store, expected: &[Array2<u32>], holes: bool) -> Result<u64, String> {
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
                    assert_eq!(answer.array.iter_f64().count(), part.len());
                    let pairs = answer.array.iter_f64().zip(part.iter().map(|cell| f64::from(*cell)));
                    let differ: Vec<_> = pairs.filter(|(got, want)| got != want).collect();
                    if let Some((got, want)) = differ.iter().find(|(got, _)| !holes || *got != 0.0) {
                        return Err(format!("grid {writer} at {start:?}: {got}, not {want}"));
                    }
                    damaged += u64::from(!differ.is_empty());
                }
                Err(error) if *error.kind() == ErrorKind::Corrupt || holes && *error.kind() == ErrorKind::NotFound => {
                    damaged += 1
                }
                Err(error) => return Err(format!("grid {writer} at {start:?}: {error}")),
            }
        }
    }
    Ok(damaged)
}

/// Who meets a flipped bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    /// The checks before the database is let at the files: a refusal changes nothing.
    Before,
    /// The database: it is what says so, and may have written by then.
    ByDatabase,
    /// The store, once the database has opened its files.
    Behind,
}

/// Whether the database says that something is damaged.
fn is_of_database(error: &gridstone::Error) -> bool {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.map(ToString::to_string).any(|cause| cause.starts_with("Corruption"))
}

/// Opens a damaged store; gives whether it is opened. It is refused as damaged, or it is right as far as it can be read, and what cannot
/// be is found by a verification.
fn judge(path: &Path, expected: &[Array2<u32>], met: Met) -> Result<bool, String> {
    let before = read(path);
    let store = match Store::options().policy(Policy::Manual).create(false).open(path) {
        Ok(store) => store,
        // Also while it merges tables, before the first commit, of whatever kind the error is then.
        Err(error) if met == Met::ByDatabase && is_of_database(&error) => return Ok(false),
        Err(error) if *error.kind() != ErrorKind::Corrupt => {
            return Err(format!("it is refused with {error}: {:?}", std::error::Error::source(&error)));
        }
        Err(_) if met == Met::Behind => return Ok(false),
        Err(error) => return unchanged(&before, &read(path)).map_err(|changed| format!("a refusal ({error}) changed {changed}")),
    };
    let damaged = readable(&store, expected, false)?;
    let report = store.verify().map_err(|error| format!("it cannot be verified: {error}"))?;
    if damaged > 0 && report.findings.is_empty() {
        return Err(format!("{damaged} pieces cannot be read, and verify finds nothing"));
    }
    Ok(true)
}

/// The names of files that are not what they were, if any; else that the store was not opened.
fn unchanged(before: &Files, after: &Files) -> Result<bool, String> {
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    // The database's own diary is of no interest.
    let names = names.into_iter().filter(|name| !name.to_string_lossy().starts_with("LOG"));
    let changed: Vec<_> = names.filter(|name| before.get(*name) != after.get(*name)).collect();
    if changed.is_empty() { Ok(false) } else { Err(format!("{changed:?}")) }
}

const KINDS: [&str; 6] = ["MANIFEST-", "CURRENT", ".log", ".sst", ".blob", "WATERMARK"];

#[test]
fn no_flipped_bit_in_a_file_goes_unseen() {
    let watchdog = Watchdog::new();
    seeds::each("flips", |seed| {
        let image = Image::of(seed);
        let (mut dice, mut refused) = (Dice::of(seed, 5), BTreeMap::<&str, (u64, u64)>::new());
        let mut lost = 0;
        let flips = 60;
        for _ in 0..flips {
            let (kind, stale) = (dice.pick(&KINDS), dice.chance(50));
            let of_kind = image.files.iter().filter(|(name, bytes)| name.to_string_lossy().contains(kind) && !bytes.is_empty());
            let of_kind: Vec<_> = of_kind.map(|(name, _)| name).collect();
            // Small values are in tables.
            if of_kind.is_empty() {
                continue;
            }
            let name = dice.pick(&of_kind);
            let mut damaged = image.files.clone();
            if stale {
                damaged.insert("WATERMARK".into(), image.oldest.clone());
            }
            let bytes = damaged.get_mut(name).unwrap();
            // The end of a log is where damage looks like a write that was cut short.
            let from = if kind == ".log" && dice.chance(30) { bytes.len().saturating_sub(300) } else { 0 };
            let bit = from * 8 + dice.below((bytes.len() - from) * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let what = format!("bit {bit} of {}, stale: {stale}", name.display());
            let store = image.lay_out(&damaged);
            let met = if [".sst", ".blob"].contains(&kind) { Met::ByDatabase } else { Met::Before };
            let opened = judge(&store, &image.expected, met).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
            let of_kind = refused.entry(kind).or_default();
            *(if opened { &mut of_kind.1 } else { &mut of_kind.0 }) += 1;
            if !opened {
                // Where a table of records or of the directory is damaged nobody knows what there is.
                let all = salvaged(&image, &store, kind == ".sst");
                lost += u64::from(!all.unwrap_or_else(|wrong| panic!("{what}: salvaged: {wrong}")));
            }
            watchdog.turn();
        }
        println!("refused and opened: {refused:?}; tables of which something was lost: {lost}");
        flips
    });
}

/// The sound part of a store that is refused can be had: where one bit has flipped, all of it, unless it `may_lose` some. Gives whether
/// all is there; what is there is right.
fn salvaged(image: &Image, store: &Path, may_lose: bool) -> Result<bool, String> {
    let target = image.place.path().join("salvaged");
    let _ = fs::remove_dir_all(&target);
    Store::salvage(store, &target).map_err(|error| error.to_string())?;
    let lost = |what: String| if may_lose { Ok(false) } else { Err(what) };
    let opened = match Store::options().policy(Policy::Manual).accept_data_loss(true).open(&target) {
        Ok(opened) => opened,
        Err(error) => return lost(format!("{error}: {:?}", std::error::Error::source(&error))),
    };
    if let Err(error) = opened.repair() {
        return lost(format!("it cannot be repaired: {error}"));
    }
    match readable(&opened, &image.expected, may_lose)? {
        0 => Ok(true),
        damaged => lost(format!("{damaged} pieces cannot be read")),
    }
}

/// Behind the checksums of the database: of our own records, keys and chunks.
#[test]
fn no_flipped_bit_in_a_record_goes_unseen() {
    let watchdog = Watchdog::new();
    seeds::each("records", |seed| {
        let image = Image::of(seed);
        // As it was closed.
        let files = read(&image.place.path().join("store"));
        let mut dice = Dice::of(seed, 6);
        let flips = 40;
        for _ in 0..flips {
            let store = image.lay_out(&files);
            let (space, what) = flip_entry(&store, &mut dice);
            let opened = judge(&store, &image.expected, Met::Behind).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
            assert!(
                opened || ![Space::Base, Space::Aggregate].contains(&space),
                "{what}: a chunk keeps the store from being opened"
            );
            watchdog.turn();
        }
        flips
    });
}

/// Flips a bit of some entry's value, and says of which, in which space.
fn flip_entry(path: &Path, dice: &mut Dice) -> (Space, String) {
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
        return (space, format!("bit {bit} of the value of {key:?} in {space:?}"));
    }
}
