//! A bit flips, in whichever file: the store is refused as damaged, or what can be read is right
//! and the rest says that it is damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gridstone::kv::{Batch, Durability, Engine, KeyRange, Order, Rocks, RocksOptions, Space};
use gridstone::verify::Damage;
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
    image::read(directory)
        .into_iter()
        .map(|(path, bytes)| (path.file_name().unwrap().into(), bytes))
        .collect()
}

/// A store as a process leaves it that dies, with data in tables, in files of large values and in a
/// log.
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
        let store = Store::options()
            .policy(Policy::Manual)
            .open(made.path())
            .unwrap();
        workload::run(&store, seed, 5, &|_| ()).unwrap();
        store.aggregate().unwrap();
        drop(store);
        let store = Store::options()
            .policy(Policy::Inline)
            .open(made.path())
            .unwrap();
        let oldest = fs::read(made.path().join("WATERMARK")).unwrap();
        workload::run(&store, seed, 3, &|_| ()).unwrap();
        // The last commit is synced, so that all are.
        store.batch().durability(Durability::Sync).commit().unwrap();
        let grid = store.grid(&own(0)).unwrap();
        grid.replace(&Window::new([0, 0], [1, 1]), &arr2(&[[7_u32]]))
            .unwrap();
        let files = (0..1000)
            .find_map(|_| Some(read(made.path())).filter(|files| *files == read(made.path())));
        let mut image = Self {
            files: files.expect("files at rest"),
            oldest,
            expected: Vec::new(),
            place: directory(),
        };
        let known = Store::options()
            .policy(Policy::Manual)
            .open(image.lay_out(&image.files))
            .unwrap();
        let writers = (0..WRITERS).zip(acts(&known).unwrap());
        image.expected = writers
            .map(|(writer, acts)| Cells::after(seed, writer, acts).base().clone())
            .collect();
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
                    eprintln!(
                        "a damaged store has kept the process busy for two minutes: turn {now}"
                    );
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

/// Whether everything that can be read is right, by pieces; gives how many pieces are damaged.
fn readable(store: &Store, expected: &[Array2<u32>]) -> Result<u64, String> {
    let mut damaged = 0;
    for (writer, cells) in (0..).zip(expected) {
        let grid = match store.grid(&own(writer)) {
            Err(error) if *error.kind() == ErrorKind::Corrupt => {
                damaged += 1;
                continue;
            }
            grid => grid.map_err(|error| format!("grid {writer}: {error}"))?,
        };
        for (y, x) in (0..SIDE)
            .step_by(32)
            .flat_map(|y| (0..SIDE).step_by(32).map(move |x| (y, x)))
        {
            let start = [y, x].map(|start| i64::try_from(start).unwrap());
            match grid.read(&Query::window(Window::new(start, [32, 32]))) {
                Ok(answer) => {
                    let part = cells.slice(ndarray::s![y..y + 32, x..x + 32]);
                    assert_eq!(answer.array.iter_f64().count(), part.len());
                    let mut pairs = answer
                        .array
                        .iter_f64()
                        .zip(part.iter().map(|cell| f64::from(*cell)));
                    if let Some((got, want)) = pairs.find(|(got, want)| got != want) {
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

/// What a store with a flipped bit must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Must {
    /// Refused as damaged, with nothing changed, or opened.
    BeFit,
    /// Opened, and right as far as it can be read.
    Open,
    /// Opened, and whole.
    BeWhole,
}

/// Opens a damaged store; gives whether it is opened. Then it is right as far as it can be read,
/// what cannot be is found by a verification, and it can be written to, again and again.
fn judge(
    path: &Path,
    expected: &[Array2<u32>],
    must: Must,
    policy: Policy,
) -> Result<bool, String> {
    let before = read(path);
    let open = || Store::options().policy(policy).create(false).open(path);
    let said =
        |error: &gridstone::Error| format!("{error}: {:?}", std::error::Error::source(error));
    let store = match open() {
        Ok(store) => store,
        Err(error) if must != Must::BeFit || *error.kind() != ErrorKind::Corrupt => {
            return Err(format!("it is refused with {}", said(&error)));
        }
        Err(error) => {
            return unchanged(&before, &read(path))
                .map_err(|changed| format!("a refusal ({error}) changed {changed}"));
        }
    };
    let mut expected = expected.to_vec();
    let look = |store: &Store, expected: &[Array2<u32>]| -> Result<u64, String> {
        let damaged = readable(store, expected)?;
        let report = store
            .verify()
            .map_err(|error| format!("it cannot be verified: {}", said(&error)))?;
        if damaged > 0 && report.findings.is_empty() {
            return Err(format!(
                "{damaged} pieces cannot be read, and verify finds nothing"
            ));
        }
        if must == Must::BeWhole && (damaged > 0 || !report.findings.is_empty()) {
            return Err(format!(
                "{damaged} pieces cannot be read, and verify finds {:?}",
                report.findings
            ));
        }
        Ok(damaged)
    };
    look(&store, &expected)?;
    drop(store);
    // So often that tables are merged.
    for life in 1..6 {
        let store = open()
            .map_err(|error| format!("it is refused in life {life} with {}", said(&error)))?;
        let grid = match store.grid(&own(1)) {
            // A record of it may be what is damaged.
            Err(error) if must != Must::BeWhole && *error.kind() == ErrorKind::Corrupt => None,
            grid => Some(grid.map_err(|error| {
                format!("a grid cannot be opened in life {life}: {}", said(&error))
            })?),
        };
        if let Some(grid) = grid {
            let put = grid
                .replace(&Window::new([0, 0], [1, 1]), &arr2(&[[life]]))
                .and_then(|_| store.flush());
            match put {
                Ok(()) => expected[1][[0, 0]] = life,
                Err(error) if must != Must::BeWhole && *error.kind() == ErrorKind::Corrupt => {}
                Err(error) => {
                    return Err(format!(
                        "it cannot be written to in life {life}: {}",
                        said(&error)
                    ));
                }
            }
        }
        if life == 5 {
            look(&store, &expected)?;
        }
    }
    Ok(true)
}

/// The names of files that are not what they were, if any; else that the store was not opened.
fn unchanged(before: &Files, after: &Files) -> Result<bool, String> {
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    // The database's own diary is of no interest.
    let names = names
        .into_iter()
        .filter(|name| !name.to_string_lossy().starts_with("LOG"));
    let changed: Vec<_> = names
        .filter(|name| before.get(*name) != after.get(*name))
        .collect();
    if changed.is_empty() {
        Ok(false)
    } else {
        Err(format!("{changed:?}"))
    }
}

const POLICIES: [Policy; 3] = [Policy::Manual, Policy::Inline, Policy::Background];

const KINDS: [&str; 6] = ["MANIFEST-", "CURRENT", ".log", ".sst", ".blob", "WATERMARK"];

#[test]
fn no_flipped_bit_in_a_file_goes_unseen() {
    let watchdog = Watchdog::new();
    seeds::each("flips", |seed| {
        let image = Image::of(seed);
        let (mut dice, mut refused) = (Dice::of(seed, 5), BTreeMap::<&str, (u64, u64)>::new());
        let flips = 60;
        for _ in 0..flips {
            let (kind, stale) = (dice.pick(&KINDS), dice.chance(50));
            let of_kind = image
                .files
                .iter()
                .filter(|(name, bytes)| name.to_string_lossy().contains(kind) && !bytes.is_empty());
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
            let from = if kind == ".log" && dice.chance(30) {
                bytes.len().saturating_sub(300)
            } else {
                0
            };
            let bit = from * 8 + dice.below((bytes.len() - from) * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let what = format!("bit {bit} of {}, stale: {stale}", name.display());
            let store = image.lay_out(&damaged);
            let must = match kind {
                ".sst" => Must::BeWhole,
                ".blob" => Must::Open,
                _ => Must::BeFit,
            };
            let policy = dice.pick(&POLICIES);
            let opened = judge(&store, &image.expected, must, policy)
                .unwrap_or_else(|wrong| panic!("{what}, {policy:?}: {wrong}"));
            let of_kind = refused.entry(kind).or_default();
            *(if opened {
                &mut of_kind.1
            } else {
                &mut of_kind.0
            }) += 1;
            if !opened {
                salvaged(&image, &store)
                    .unwrap_or_else(|wrong| panic!("{what}: salvaged: {wrong}"));
            } else if kind == ".sst" {
                // The old one is only read, and no table of it is shared that is mended in the new
                // one.
                let store = image.lay_out(&damaged);
                salvaged(&image, &store)
                    .unwrap_or_else(|wrong| panic!("{what}: salvaged: {wrong}"));
                unchanged(&damaged, &read(&store))
                    .unwrap_or_else(|changed| panic!("{what}: salvaging changed {changed}"));
            }
            watchdog.turn();
        }
        println!("refused and opened: {refused:?}");
        flips
    });
}

/// Of a store in which one bit has flipped all can be had.
fn salvaged(image: &Image, store: &Path) -> Result<(), String> {
    let target = image.place.path().join("salvaged");
    let _ = fs::remove_dir_all(&target);
    Store::salvage(store, &target).map_err(|error| error.to_string())?;
    let opened = Store::options()
        .policy(Policy::Manual)
        .accept_data_loss(true)
        .open(&target);
    let opened =
        opened.map_err(|error| format!("{error}: {:?}", std::error::Error::source(&error)))?;
    let repaired = opened
        .repair()
        .map_err(|error| format!("it cannot be repaired: {error}"))?;
    match readable(&opened, &image.expected)? {
        0 if repaired.left.findings.is_empty() => Ok(()),
        damaged => Err(format!(
            "{damaged} pieces cannot be read, and {:?} is left",
            repaired.left.findings
        )),
    }
}

/// More than a bit of a table is damaged: it is opened if the records of the store can be read, and
/// goes on; salvaged and repaired it is sound, and cells that are gone are told.
#[test]
fn no_damaged_table_goes_unseen() {
    let watchdog = Watchdog::new();
    seeds::each("tables", |seed| {
        let image = Image::of(seed);
        let files = read(&image.place.path().join("store"));
        let tables: Vec<_> = files
            .keys()
            .filter(|name| name.to_string_lossy().ends_with(".sst"))
            .collect();
        let (mut dice, mut counts) = (Dice::of(seed, 7), BTreeMap::<&str, u64>::new());
        let tries = 12;
        for _ in 0..tries {
            let (name, mut damaged) = (dice.pick(&tables), files.clone());
            let bytes = damaged.get_mut(name).unwrap();
            let length = 1 + dice.below(64);
            let from = dice.below(bytes.len().saturating_sub(length));
            let zeros = dice.chance(50);
            bytes[from..from + length]
                .iter_mut()
                .for_each(|byte| *byte = if zeros { 0 } else { *byte ^ 0xa5 });
            let what = format!(
                "{length} bytes at {from} of {}, zeros: {zeros}",
                name.display()
            );
            if damaged == files {
                continue;
            }
            let policy = dice.pick(&POLICIES);
            let store = image.lay_out(&damaged);
            let opened = match judge(&store, &image.expected, Must::Open, policy) {
                // Nothing can be read without the store's own records, and a table that cannot be
                // opened takes consent.
                Err(wrong)
                    if wrong.contains("it is refused with") && wrong.contains("space Meta") =>
                {
                    false
                }
                Err(wrong)
                    if wrong.contains("it is refused with")
                        && wrong.contains("--accept-data-loss") =>
                {
                    false
                }
                judged => judged.unwrap_or_else(|wrong| panic!("{what}, {policy:?}: {wrong}")),
            };
            *counts
                .entry(if opened { "opened" } else { "refused" })
                .or_default() += 1;
            let store = image.lay_out(&damaged);
            let lost = salvaged_in_part(&image, &store)
                .unwrap_or_else(|wrong| panic!("{what}: salvaged: {wrong}"));
            *counts
                .entry(if lost { "lost cells" } else { "lost nothing" })
                .or_default() += 1;
            watchdog.turn();
        }
        println!("{counts:?}");
        tries
    });
}

/// What can be had of a store with a damaged table is right and sound, and what cannot be is told.
/// Gives whether cells are gone.
fn salvaged_in_part(image: &Image, store: &Path) -> Result<bool, String> {
    let target = image.place.path().join("salvaged");
    let _ = fs::remove_dir_all(&target);
    let said =
        |error: gridstone::Error| format!("{error}: {:?}", std::error::Error::source(&error));
    let lost = Store::salvage(store, &target).map_err(said)?;
    let opened = Store::options()
        .policy(Policy::Manual)
        .accept_data_loss(true)
        .open(&target)
        .map_err(said)?;
    let repaired = opened.repair().map_err(said)?;
    // What belongs to a grid whose schema is lost is there still, and nobody can read it.
    let no_schema = lost.iter().any(|lost| lost.space == Space::Meta);
    let mut left = repaired
        .left
        .findings
        .iter()
        .filter(|finding| !no_schema || finding.damage != Damage::Key);
    if let Some(left) = left.next() {
        return Err(format!("{left:?} is left"));
    }
    let mut gone = 0;
    for (writer, cells) in (0..).zip(&image.expected) {
        let grid = opened.grid(&own(writer)).ok();
        for row in 0..SIDE {
            let window = Window::new(
                [i64::try_from(row).unwrap(), 0],
                [1, u64::try_from(SIDE).unwrap()],
            );
            let got: Vec<f64> = match grid.as_ref().map(|grid| grid.read(&Query::window(window))) {
                None => vec![0.0; SIDE],
                Some(Err(error)) if *error.kind() == ErrorKind::NotFound => vec![0.0; SIDE],
                Some(answer) => answer.map_err(said)?.array.iter_f64().collect(),
            };
            for (got, want) in got.iter().zip(cells.row(row)) {
                // A cell may be gone, and none may be there that was not, or not any more.
                if *got != 0.0 && *got != f64::from(*want) {
                    return Err(format!("grid {writer} in row {row}: {got}, not {want}"));
                }
                gone += u64::from(*got == 0.0 && *want != 0);
            }
        }
    }
    if gone > 0 && lost.is_empty() && repaired.quarantined.is_empty() {
        return Err(format!("{gone} cells are gone without a word"));
    }
    Ok(gone > 0)
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
            let what = flip_entry(&store, &mut dice);
            let policy = dice.pick(&POLICIES);
            judge(&store, &image.expected, Must::Open, policy)
                .unwrap_or_else(|wrong| panic!("{what}, {policy:?}: {wrong}"));
            watchdog.turn();
        }
        flips
    });
}

/// Flips a bit of some entry's value, and says of which, in which space.
fn flip_entry(path: &Path, dice: &mut Dice) -> String {
    let engine = Rocks::open(path, &RocksOptions::default()).unwrap();
    let snapshot = engine.snapshot().unwrap();
    loop {
        let space = dice.pick(&Space::ALL);
        let entries = snapshot
            .scan(space, &KeyRange::all(), Order::Ascending, 10_000)
            .unwrap()
            .entries;
        let Some((key, mut value)) = entries.get(dice.below(entries.len())).cloned() else {
            continue;
        };
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
