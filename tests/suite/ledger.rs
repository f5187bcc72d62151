//! An import that was cut short goes on where it was, and whatever comes between two imports, the
//! second leaves the cells that the whole of it leaves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use gridstone::adapter::source::{
    Block, Fingerprint, Footprint, Import, Ledger, Plan, Run, Source, SourceCells, Standing,
};
use gridstone::kv::{self, Durability, Engine, Failure, Faulty, Memory, Space};
use gridstone::verify::Damage;
use gridstone::{
    Aggregation, Axis, DType, Dimension, ErrorKind, Freshness, Grid, Layer, Overlap, Policy, Query,
    Schema, Store, Structure, Window,
};
use ndarray::{Array2, ArrayD, IxDyn};

use crate::check::{Dice, cases};

/// The cells that are looked at.
const SIDE: i64 = 48;

/// How often each block of each source was read.
type Reads = Arc<Mutex<BTreeMap<(u64, usize), usize>>>;

/// Cells of one number in a box, some of them without data, row by row.
#[derive(Clone, Debug)]
struct Tile {
    footprint: Footprint,
    number: u64,
    version: u64,
    reads: Reads,
    /// Fails at this block.
    fails_at: Option<usize>,
}

impl Tile {
    fn new(number: u64, window: Window) -> Self {
        Self {
            footprint: Footprint::new(format!("tile {number}"), vec![window], DType::F32),
            number,
            version: 0,
            reads: Reads::default(),
            fails_at: None,
        }
    }

    fn cell(&self, y: i64, x: i64) -> f32 {
        let at = (y * 61 + x * 7).unsigned_abs() + self.number * 3 + self.version * 11;
        if at.is_multiple_of(4) {
            f32::NAN
        } else {
            (self.number * 100 + self.version) as f32 + 1.0
        }
    }
}

impl Source for Tile {
    fn footprint(&self) -> &Footprint {
        &self.footprint
    }

    fn blocks(&self) -> Vec<Block> {
        let window = self.footprint.windows[0];
        let starts = (0..window.shape()[0]).step_by(3).enumerate();
        let block = |(number, from): (usize, u64)| {
            let rows = (window.shape()[0] - from).min(3);
            let first = window.start()[0].saturating_add_unsigned(from);
            let mut block = Block::new(window.along(0, first, rows));
            block.number = number;
            block
        };
        starts.map(block).collect()
    }

    fn read(&mut self, block: &Block) -> gridstone::Result<SourceCells> {
        if self.fails_at == Some(block.number) {
            return Err(gridstone::Error::unavailable("the line is cut"));
        }
        *self
            .reads
            .lock()
            .unwrap()
            .entry((self.number, block.number))
            .or_default() += 1;
        let (start, shape) = (block.window.start(), block.window.shape());
        let shape: Vec<usize> = shape
            .iter()
            .map(|len| usize::try_from(*len).unwrap())
            .collect();
        let at = |axis: usize, at: &IxDyn| start[axis] + i64::try_from(at[axis]).unwrap();
        Ok(SourceCells::new(ArrayD::from_shape_fn(shape, |place| {
            self.cell(at(0, &place), at(1, &place))
        })))
    }

    fn fingerprint(&self) -> gridstone::Result<Option<Fingerprint>> {
        Ok(Some(Fingerprint::new(self.version, None, 0)))
    }
}

fn store(engine: &Arc<Faulty<Memory>>) -> gridstone::Result<Store> {
    Store::options()
        .policy(Policy::Manual)
        .open_engine(Arc::<Faulty<Memory>>::clone(engine))
}

fn create(engine: &Arc<Faulty<Memory>>) -> Grid {
    let axes = [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)];
    let structure = Structure::builder().dimension(Dimension::regular("space", axes));
    let schema = Schema::builder(structure.build().unwrap(), DType::F32)
        .aggregator(Aggregation::Mean)
        .build()
        .unwrap();
    store(engine).unwrap().create("g", schema).unwrap()
}

fn all() -> Window {
    let side = SIDE.unsigned_abs();
    Window::new([0, 0], [side, side])
}

fn cells(grid: &Grid) -> Array2<f32> {
    if grid.bounds().unwrap().is_none() {
        return Array2::from_elem((48, 48), f32::NAN);
    }
    let query = Query::window(all()).layer(Layer::Base);
    let answer = grid.read(&query.freshness(Freshness::Fresh)).unwrap();
    let cells = answer.array.into_typed::<f32>().unwrap();
    cells.into_dimensionality().unwrap()
}

/// What the whole import would leave.
fn laid(cells: &mut Array2<f32>, tiles: &[Tile], overlap: Overlap) {
    for tile in tiles {
        let window = tile.footprint.windows[0];
        for ((y, x), cell) in cells.indexed_iter_mut() {
            let (row, column) = (i64::try_from(y).unwrap(), i64::try_from(x).unwrap());
            let within =
                |axis: usize, at: i64| (window.start()[axis]..window.end()[axis]).contains(&at);
            if !within(0, row) || !within(1, column) {
                continue;
            }
            let new = tile.cell(row, column);
            let takes = match overlap {
                Overlap::Merge => !new.is_nan(),
                Overlap::Replace => true,
                _ => cell.is_nan(),
            };
            if takes {
                *cell = new;
            }
        }
    }
}

fn bits(cells: &Array2<f32>) -> Vec<u32> {
    let one = |cell: &f32| if cell.is_nan() { f32::NAN } else { *cell };
    cells.iter().map(|cell| one(cell).to_bits()).collect()
}

fn random_window(dice: &mut Dice) -> Window {
    let mut side = || {
        let len = dice.range(1, 20);
        (dice.range(0, SIDE - len), len.unsigned_abs())
    };
    let (y, x) = (side(), side());
    Window::new([y.0, x.0], [y.1, x.1])
}

fn imports(grid: &Grid, tiles: &[Tile], overlap: Overlap) -> gridstone::Result<Vec<Import>> {
    let import = |tile: &Tile| Ok(Import::new(grid, tile.clone())?.over(overlap));
    tiles.iter().map(import).collect()
}

fn look(grid: &Grid, imports: &[Import], threads: usize) -> gridstone::Result<Standing> {
    Ledger::new("tiles").look(grid, imports, threads)
}

/// The plan of what is left, where one is needed.
fn plan(
    grid: &Grid,
    imports: &[Import],
    standing: &Standing,
    threads: usize,
) -> gridstone::Result<Option<Plan>> {
    if threads == 1 || standing.continues() {
        return Ok(None);
    }
    let left = standing.left();
    let footprints = left.iter().map(|number| imports[*number].footprint());
    let mut plan = Plan::new(grid, footprints, threads * 2)?;
    for source in plan.jobs.iter_mut().flat_map(|job| &mut job.sources) {
        *source = left[*source];
    }
    Ok(Some(plan))
}

/// One import to its end, or its failure.
fn import(
    grid: &Grid,
    tiles: &[Tile],
    (overlap, threads): (Overlap, usize),
) -> gridstone::Result<Vec<usize>> {
    let mut imports = imports(grid, tiles, overlap)?;
    let standing = look(grid, &imports, threads)?;
    let plan = plan(grid, &imports, &standing, threads)?;
    let run = Run::default().threads(threads).commit_bytes(1);
    let run = match &plan {
        Some(plan) => run.jobs(plan, threads),
        None => run,
    };
    run.ledger(&standing).write(&mut imports, &|_| {})?;
    Ok(standing.left().to_vec())
}

/// Something that happens between two imports.
fn meddle(grid: &Grid, tiles: &mut Vec<Tile>, dice: &mut Dice) {
    let count = tiles.len();
    match dice.below(8) {
        0 => tiles[dice.below(count)].version += 1,
        1 => tiles.swap(dice.below(count), dice.below(count)),
        2 if count > 1 => drop(tiles.remove(dice.below(count))),
        3 => {
            let number = 50 + dice.below(50) as u64;
            if tiles.iter().all(|tile| tile.number != number) {
                tiles.insert(
                    dice.below(count + 1),
                    Tile::new(number, random_window(dice)),
                );
            }
        }
        4 => {
            let window = random_window(dice);
            let shape: Vec<usize> = window
                .shape()
                .iter()
                .map(|len| usize::try_from(*len).unwrap())
                .collect();
            let cells = ArrayD::from_elem(shape, -5.0_f32);
            grid.put(&window, &cells).map(drop).unwrap();
        }
        5 => grid.clear(&random_window(dice)).map(drop).unwrap(),
        _ => drop(grid.aggregate().unwrap()),
    }
}

/// Imports are cut at random calls of the engine, with and without a loss of power, sources and
/// cells change between them, and the last one goes to its end.
#[test]
fn i10_the_last_import_leaves_what_the_whole_of_it_leaves() {
    let (mut skipped, mut put) = (0, 0);
    for case in 0..cases(300) {
        let mut dice = Dice(u64::from(case) * 7919 + 1);
        let mut engine = Arc::new(Faulty::new(Memory::new()));
        drop(create(&engine));
        let mut tiles: Vec<Tile> = (0..dice.range(2, 7).unsigned_abs())
            .map(|number| Tile::new(number, random_window(&mut dice)))
            .collect();
        let overlap = dice.pick(&[Overlap::Merge, Overlap::Replace, Overlap::Keep]);
        for attempt in 0..dice.range(1, 4) {
            let threads = dice.pick(&[1, 3]);
            let grid = store(&engine).unwrap().grid("g").unwrap();
            if attempt > 0 && dice.chance(60) {
                meddle(&grid, &mut tiles, &mut dice);
            }
            let failure = dice.pick(&[Failure::Before, Failure::After]);
            if dice.chance(80) {
                engine.fail_from(dice.range(0, 260).unsigned_abs(), failure);
            }
            let _ = import(&grid, &tiles, (overlap, threads));
            engine.heal();
            drop(grid);
            engine = if dice.chance(30) {
                let kept = dice.below(engine.engine().unsynced() + 1);
                Arc::new(Faulty::new(engine.engine().crash(kept)))
            } else {
                Arc::new(Faulty::new(engine.engine().reopen()))
            };
        }
        let grid = store(&engine).unwrap().grid("g").unwrap();
        if dice.chance(50) {
            meddle(&grid, &mut tiles, &mut dice);
        }
        let mut wanted = cells(&grid);
        laid(&mut wanted, &tiles, overlap);
        let left = import(&grid, &tiles, (overlap, dice.pick(&[1, 3]))).unwrap();
        let found = cells(&grid);
        let of = |tile: &Tile| (tile.number, tile.version, tile.footprint.windows[0]);
        let differs = |((y, x), cell): ((usize, usize), &f32)| {
            let same = cell.to_bits() == wanted[[y, x]].to_bits();
            (!(same || cell.is_nan() && wanted[[y, x]].is_nan())).then_some((y, x, *cell))
        };
        let wrong: Vec<_> = found.indexed_iter().filter_map(differs).collect();
        assert!(
            wrong.is_empty(),
            "case {case}, {overlap:?}: {} cells, first {:?} for {}, left {left:?} of {:?}",
            wrong.len(),
            wrong[0],
            wanted[[wrong[0].0, wrong[0].1]],
            tiles.iter().map(of).collect::<Vec<_>>()
        );
        put += left.len();
        skipped += tiles.len() - left.len();
        let again = import(&grid, &tiles, (overlap, 1)).unwrap();
        assert_eq!(again, [0_usize; 0], "case {case}: nothing is left");
        let last = grid.last_import().unwrap().unwrap();
        assert!(last.is_complete(), "case {case}: {last:?}");
        grid.aggregate().unwrap();
        assert_eq!(grid.store().verify().unwrap().findings, [], "case {case}");
    }
    assert!(
        skipped > 50 && put > 50,
        "both are tried: {skipped} left alone, {put} put"
    );
}

/// An import is cut at every call of the engine and goes on: what was committed is not read again,
/// but for the blocks that were on their way.
#[test]
fn what_is_in_the_grid_is_not_read_again() {
    let tiles: Vec<Tile> = [
        (0, 0, 12, 30),
        (6, 8, 12, 12),
        (20, 0, 10, 40),
        (4, 4, 30, 9),
    ]
    .into_iter()
    .zip(0..)
    .map(|((y, x, rows, columns), number)| Tile::new(number, Window::new([y, x], [rows, columns])))
    .collect();
    for threads in [1, 3] {
        for overlap in [Overlap::Merge, Overlap::Keep] {
            let fresh = || {
                let reads = Reads::default();
                let of = |tile: &Tile| Tile {
                    reads: Arc::clone(&reads),
                    ..tile.clone()
                };
                let tiles: Vec<Tile> = tiles.iter().map(of).collect();
                let engine = Arc::new(Faulty::new(Memory::new()));
                drop(create(&engine));
                (engine, tiles, reads)
            };
            let total = |reads: &Reads| reads.lock().unwrap().values().sum::<usize>();
            let (engine, whole, once) = fresh();
            let grid = store(&engine).unwrap().grid("g").unwrap();
            let before = engine.calls();
            import(&grid, &whole, (overlap, threads)).unwrap();
            let calls = engine.calls() - before;
            let wanted = bits(&cells(&grid));
            for call in (0..calls).step_by(3) {
                let (engine, tiles, reads) = fresh();
                let mut grid = store(&engine).unwrap().grid("g").unwrap();
                engine.fail_from(call, Failure::Before);
                let cut = import(&grid, &tiles, (overlap, threads)).is_err();
                engine.heal();
                drop(grid);
                let engine = Arc::new(Faulty::new(engine.engine().reopen()));
                grid = store(&engine).unwrap().grid("g").unwrap();
                import(&grid, &tiles, (overlap, threads)).unwrap();
                assert_eq!(
                    bits(&cells(&grid)),
                    wanted,
                    "{threads} threads, call {call}"
                );
                let most = total(&once) + if cut { threads } else { 0 };
                assert!(
                    (total(&once)..=most).contains(&total(&reads)),
                    "{threads} threads, call {call}: {} reads, at most {most}",
                    total(&reads)
                );
            }
        }
    }
}

/// The same without knowing of puts: where an import refuses cells that are there, it goes on over
/// its own, and does nothing once it is complete.
#[test]
fn an_import_that_refuses_what_is_there_goes_on() {
    let engine = Arc::new(Faulty::new(Memory::new()));
    let grid = create(&engine);
    let tiles = [
        Tile::new(1, Window::new([0, 0], [12, 12])),
        Tile::new(2, Window::new([0, 12], [12, 12])),
    ];
    for call in 20..400 {
        engine.fail_once(call, Failure::Before);
        let _ = import(&grid, &tiles, (Overlap::Refuse, 1));
        engine.heal();
        if grid.bounds().unwrap().is_some() {
            break;
        }
    }
    assert!(grid.bounds().unwrap().is_some(), "something was put");
    let last = grid.last_import().unwrap().unwrap();
    assert!(!last.is_complete(), "{last:?}");
    import(&grid, &tiles, (Overlap::Refuse, 1)).unwrap();
    let mut wanted = Array2::from_elem((48, 48), f32::NAN);
    laid(&mut wanted, &tiles, Overlap::Merge);
    assert_eq!(bits(&cells(&grid)), bits(&wanted));
    assert_eq!(
        import(&grid, &tiles, (Overlap::Refuse, 1)).unwrap(),
        [0_usize; 0]
    );
    // What others have put is refused as ever.
    grid.put(
        &Window::new([0, 0], [1, 1]),
        &Array2::from_elem((1, 1), 1.0_f32),
    )
    .unwrap();
    let why = import(&grid, &tiles, (Overlap::Refuse, 1)).unwrap_err();
    assert_eq!(*why.kind(), ErrorKind::Invalid, "{why}");
}

/// A source that failed is put before the one that was cut short behind it, which goes on with its
/// next block all the same.
#[test]
fn a_source_that_was_cut_short_goes_on_behind_one_that_failed() {
    let engine = Arc::new(Faulty::new(Memory::new()));
    let grid = create(&engine);
    let mut tiles = [
        Tile::new(1, Window::new([0, 0], [12, 12])),
        Tile::new(2, Window::new([0, 12], [12, 12])),
    ];
    tiles[0].fails_at = Some(0);
    for call in 0..400 {
        let mut imports = imports(&grid, &tiles, Overlap::Refuse).unwrap();
        engine.fail_once(call, Failure::Before);
        let _ = look(&grid, &imports, 1).and_then(|standing| {
            let run = Run::default().commit_bytes(1).keep_going();
            run.ledger(&standing).write(&mut imports, &|_| {})
        });
        engine.heal();
        if grid.bounds().unwrap().is_some() {
            break;
        }
    }
    let wanted = |tiles: &[Tile]| {
        let mut wanted = Array2::from_elem((48, 48), f32::NAN);
        laid(&mut wanted, tiles, Overlap::Merge);
        bits(&wanted)
    };
    assert!(grid.bounds().unwrap().is_some(), "something was put");
    assert_ne!(bits(&cells(&grid)), wanted(&tiles[1..]), "but not all");
    tiles[0].fails_at = None;
    import(&grid, &tiles, (Overlap::Refuse, 1)).unwrap();
    assert_eq!(bits(&cells(&grid)), wanted(&tiles[..]));
}

#[test]
fn a_source_that_fails_is_in_the_ledger_and_is_tried_again() {
    let engine = Arc::new(Faulty::new(Memory::new()));
    let grid = create(&engine);
    let mut tiles: Vec<Tile> = [(0, 0), (8, 8), (4, 4), (30, 30)]
        .into_iter()
        .zip(0..)
        .map(|((y, x), number)| Tile::new(number, Window::new([y, x], [12, 12])))
        .collect();
    tiles[1].fails_at = Some(2);
    let run = |tiles: &[Tile]| {
        let mut imports = imports(&grid, tiles, Overlap::Merge).unwrap();
        let standing = look(&grid, &imports, 1).unwrap();
        let written = Run::default()
            .commit_bytes(1)
            .keep_going()
            .ledger(&standing)
            .write(&mut imports, &|_| {})
            .unwrap();
        (standing.left().to_vec(), written.failed)
    };
    let (left, failed) = run(&tiles);
    assert_eq!(left, [0, 1, 2, 3]);
    assert_eq!(failed.keys().copied().collect::<Vec<_>>(), [1]);
    let last = grid.last_import().unwrap().unwrap();
    assert_eq!(
        (last.finished, last.failures, last.failed.as_slice()),
        (3, 1, ["tile 1".to_owned()].as_slice())
    );
    // It fails again: it, and what lies over it.
    assert_eq!(run(&tiles).0, [1, 2]);
    tiles[1].fails_at = None;
    let (left, failed) = run(&tiles);
    assert_eq!((left, failed.len()), (vec![1, 2], 0));
    let mut wanted = Array2::from_elem((48, 48), f32::NAN);
    laid(&mut wanted, &tiles, Overlap::Merge);
    assert_eq!(bits(&cells(&grid)), bits(&wanted));
    assert!(grid.last_import().unwrap().unwrap().is_complete());
    assert_eq!(run(&tiles).0, [0_usize; 0]);
}

#[test]
fn a_ledger_goes_with_its_grid_and_of_two_imports_the_later_one_goes_on() {
    let engine = Arc::new(Faulty::new(Memory::new()));
    let grid = create(&engine);
    let store = grid.store().clone();
    let tiles = [Tile::new(1, Window::new([0, 0], [12, 12]))];
    let mut first = imports(&grid, &tiles, Overlap::Merge).unwrap();
    let standing = look(&grid, &first, 1).unwrap();
    import(&grid, &tiles, (Overlap::Merge, 1)).unwrap();
    let why = Run::default()
        .ledger(&standing)
        .write(&mut first, &|_| {})
        .unwrap_err();
    assert_eq!(*why.kind(), ErrorKind::Conflict, "{why}");
    assert!(why.to_string().contains("another import"), "{why}");
    // By another name it is the same grid.
    store.rename_grid("g", "h").unwrap();
    assert_eq!(
        import(&grid, &tiles, (Overlap::Merge, 1)).unwrap(),
        [0_usize; 0]
    );
    // Nothing is imported through a handle that is of a snapshot.
    let shown = store.snapshot().unwrap();
    let shown = shown.grid("h").unwrap();
    let mut late = imports(&shown, &tiles, Overlap::Merge).unwrap();
    let other = Ledger::new("other tiles").look(&shown, &late, 1).unwrap();
    let why = Run::default().ledger(&other).write(&mut late, &|_| {});
    assert_eq!(*why.unwrap_err().kind(), ErrorKind::Invalid);
    // Something else is asked for.
    let imports = imports(&grid, &tiles, Overlap::Merge).unwrap();
    let other = Ledger::new("other tiles").look(&grid, &imports, 1).unwrap();
    assert_eq!(other.left(), [0]);
    let again = Ledger::new("tiles")
        .again()
        .look(&grid, &imports, 1)
        .unwrap();
    assert_eq!(again.left(), [0]);
    // A standing of other sources is refused, and so is a plan that misses some.
    let mut none: Vec<Import> = Vec::new();
    let why = Run::default().ledger(&again).write(&mut none, &|_| {});
    assert_eq!(*why.unwrap_err().kind(), ErrorKind::Invalid);
    // And so is a ledger of another grid.
    let beside = store.create("beside", grid.schema().clone()).unwrap();
    let why = look(&beside, &imports, 1).unwrap_err();
    assert_eq!(*why.kind(), ErrorKind::Invalid, "{why}");
    store.drop_grid("h").unwrap();
    assert!(grid.last_import().unwrap().is_none());
    assert_eq!(store.verify().unwrap().findings, []);
}

/// A record that cannot be read is told, and an import does without it.
#[test]
fn a_damaged_ledger_is_found_and_taken_away() {
    let grid_number = [0, 0, 0, 1];
    let keys: [Vec<u8>; 3] = [
        [b"ledger/".as_slice(), &grid_number].concat(),
        [b"ledger-sources/".as_slice(), &grid_number, &[0; 4]].concat(),
        [b"ledger-jobs/".as_slice(), &grid_number, &[0; 4]].concat(),
    ];
    for (key, lost) in keys.iter().flat_map(|key| [(key, false), (key, true)]) {
        let engine = Arc::new(Faulty::new(Memory::new()));
        let grid = create(&engine);
        let tiles = [Tile::new(1, Window::new([0, 0], [12, 12]))];
        import(&grid, &tiles, (Overlap::Merge, 1)).unwrap();
        grid.aggregate().unwrap();
        let mut batch = kv::Batch::default();
        if lost {
            batch.delete(Space::Meta, key.clone());
        } else {
            batch.put(Space::Meta, key.clone(), b"no record".to_vec());
        }
        engine.commit(batch, Durability::Sync).unwrap();
        let shown = key.escape_ascii();
        let imports = imports(&grid, &tiles, Overlap::Merge).unwrap();
        let standing = look(&grid, &imports, 1).unwrap();
        assert_eq!(standing.left(), [0], "{shown}");
        // Without its head there is none.
        let is_told = !lost || *key != keys[0];
        assert_eq!(standing.damage().is_some(), is_told, "{shown}");
        assert_eq!(grid.last_import().is_err(), is_told, "{shown}");
        let findings = grid.store().verify().unwrap().findings;
        assert_eq!(
            findings.len(),
            usize::from(is_told),
            "{shown}: {findings:?}"
        );
        assert!(
            findings
                .iter()
                .all(|of| of.damage == Damage::Record && of.message.contains("ledger")),
            "{shown}: {findings:?}"
        );
        let repaired = grid.store().repair().unwrap();
        assert_eq!(repaired.left.findings, [], "{shown}");
        assert_eq!(grid.last_import().unwrap(), None, "{shown}");
        import(&grid, &tiles, (Overlap::Merge, 1)).unwrap();
        assert!(
            grid.last_import().unwrap().unwrap().is_complete(),
            "{shown}"
        );
        assert_eq!(grid.store().verify().unwrap().findings, [], "{shown}");
    }
}
