//! An import that is cut short anywhere, and goes on: nothing is done twice, and what is there in the end is what one run leaves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use gridstone::adapter::source::{Block, Fingerprint, Footprint, Import, Ledger, Piece, Plan, Run, Source};
use gridstone::{Aggregation, Axis, DType, Dimension, Grid, Location, Policy, Query, Schema, Store, Structure, Window};
use ndarray::Array2;

use crate::check::Dice;

/// A box of one value that counts what is read of it, and fails when so much was read of all.
#[derive(Clone)]
struct Boxed {
    footprint: Footprint,
    value: f32,
    version: u64,
    /// How many reads of any source are left before all fail.
    left: Arc<AtomicI64>,
    reads: Arc<AtomicI64>,
    damaged: bool,
}

impl Source for Boxed {
    fn footprint(&self) -> &Footprint {
        &self.footprint
    }

    fn blocks(&self) -> Vec<Block> {
        let window = self.footprint.windows[0];
        let block = |row: u64| Block::new(window.along(0, window.start()[0].saturating_add_unsigned(8 * row), 8));
        (0..window.shape()[0] / 8).map(block).collect()
    }

    fn read(&mut self, block: &Block) -> gridstone::Result<Piece> {
        if self.damaged || self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(gridstone::Error::unavailable("the line is cut"));
        }
        self.reads.fetch_add(1, Ordering::SeqCst);
        let shape = block.window.shape();
        let [rows, cols] = [shape[0], shape[1]].map(|len| usize::try_from(len).unwrap());
        Ok(Piece::new(Array2::from_elem((rows, cols), self.value)))
    }

    fn fingerprint(&self) -> gridstone::Result<Option<Fingerprint>> {
        let digest = u128::from(self.version);
        Ok(Some(Fingerprint::new(1, None, digest)))
    }
}

fn grid() -> Grid {
    let space = Dimension::regular("space", [Axis::new("y", 0.0, -1.0, 8), Axis::new("x", 0.0, 1.0, 8)]);
    let structure = Structure::builder().dimension(space).build().unwrap();
    let schema = Schema::builder(structure, DType::F32).aggregator(Aggregation::Mean).build().unwrap();
    let store = Store::options().policy(Policy::Manual).open_engine(Arc::new(gridstone::kv::Memory::new())).unwrap();
    store.create("g", schema).unwrap()
}

/// Boxes that overlap, of which the reads are counted together.
fn sources(left: i64) -> Vec<Boxed> {
    let (left, mut dice) = (Arc::new(AtomicI64::new(left)), Dice(7));
    let of = |number: u32| {
        let window = Window::new([dice.range(-30, 30), dice.range(-30, 30)], [16, 24]);
        Boxed {
            footprint: Footprint::new(format!("source {number}"), vec![window], DType::F32),
            value: number as f32,
            version: 1,
            left: Arc::clone(&left),
            reads: Arc::default(),
            damaged: false,
        }
    };
    (0..12).map(of).collect()
}

fn imports(grid: &Grid, sources: &[Boxed]) -> Vec<Import> {
    sources.iter().map(|source| Import::new(grid, source.clone()).unwrap()).collect()
}

fn stored(grid: &Grid) -> BTreeSet<(Option<Aggregation>, Location, u64)> {
    grid.aggregate().unwrap();
    let of = |chunk: gridstone::ChunkInfo| (chunk.aggregator, chunk.location, chunk.checksum);
    grid.stored_chunks().unwrap().into_iter().map(of).collect()
}

fn plan(grid: &Grid, imports: &[Import], jobs: usize) -> Option<Plan> {
    (jobs > 1).then(|| Plan::new(grid, imports.iter().map(Import::footprint), jobs).unwrap())
}

/// Runs an import with its ledger; gives the numbers of the sources that are left out, and what the run came to.
fn run(grid: &Grid, sources: &[Boxed], jobs: usize, keep_going: bool) -> (BTreeSet<usize>, gridstone::Result<BTreeSet<usize>>) {
    let mut imports = imports(grid, sources);
    let plan = plan(grid, &imports, jobs);
    let ledger = Ledger::new(grid, &imports, plan.as_ref()).unwrap();
    let done = (0..sources.len()).filter(|number| ledger.is_done(*number)).collect();
    let run = Run::default().ledger(&ledger);
    let run = plan.as_ref().map_or(run, |plan| run.jobs(plan, 2));
    let run = if keep_going { run.keep_going() } else { run };
    let failed = run.write(&mut imports, &|_| {}).map(|written| written.failed.into_keys().collect::<BTreeSet<usize>>());
    if failed.as_ref().is_ok_and(BTreeSet::is_empty) {
        ledger.end().unwrap();
    }
    (done, failed)
}

fn whole() -> BTreeSet<(Option<Aggregation>, Location, u64)> {
    let grid = grid();
    run(&grid, &sources(i64::MAX), 1, false).1.unwrap();
    stored(&grid)
}

#[test]
fn an_import_that_is_cut_anywhere_goes_on_where_it_was() {
    let wanted = whole();
    for jobs in [1, 2, 16] {
        for cut in (0..60).step_by(3) {
            let grid = grid();
            let first = sources(cut);
            let (done, outcome) = run(&grid, &first, jobs, false);
            assert!(done.is_empty(), "nothing was before");
            if outcome.is_ok() {
                continue;
            }
            let again = sources(i64::MAX);
            let (done, outcome) = run(&grid, &again, jobs, false);
            outcome.unwrap();
            for number in &done {
                assert_eq!(again[*number].reads.load(Ordering::SeqCst), 0, "jobs {jobs}, cut {cut}: source {number} was done");
            }
            assert_eq!(stored(&grid), wanted, "jobs {jobs}, cut {cut}");
            // It has ended: the same import does all of it.
            let (done, _) = run(&grid, &sources(i64::MAX), jobs, false);
            assert!(done.is_empty(), "jobs {jobs}, cut {cut}");
        }
    }
}

/// Jobs that are done are not done again: with so many cuts as there are reads, something is done in each run but the first few.
#[test]
fn work_that_is_done_is_not_done_again() {
    let grid = grid();
    let (mut runs, mut reads) = (0, 0);
    loop {
        let part = sources(40);
        let (_, outcome) = run(&grid, &part, 16, false);
        reads += part.iter().map(|source| source.reads.load(Ordering::SeqCst)).sum::<i64>();
        runs += 1;
        assert!(runs < 40, "it gets nowhere");
        if outcome.is_ok() {
            break;
        }
    }
    assert_eq!(stored(&grid), whole(), "after {runs} runs");
    assert!(runs > 1 && reads < 12 * 40, "{reads} in {runs} runs");
}

#[test]
fn sources_that_fail_are_named_and_the_others_are_put() {
    for jobs in [1, 16] {
        let grid = grid();
        let mut damaged = sources(i64::MAX);
        damaged[3].damaged = true;
        damaged[8].damaged = true;
        let (_, failed) = run(&grid, &damaged, jobs, true);
        assert_eq!(failed.unwrap(), BTreeSet::from([3, 8]), "{jobs} jobs");
        let without: Vec<Boxed> =
            (0..12).filter(|number| ![3, 8].contains(number)).map(|number| sources(i64::MAX)[number].clone()).collect();
        let other = self::grid();
        run(&other, &without, 1, false).1.unwrap();
        let cells =
            |grid: &Grid| grid.read(&Query::window(Window::new([-30, -30], [80, 80]))).unwrap().values().collect::<Vec<_>>();
        assert_eq!(cells(&grid), cells(&other), "{jobs} jobs");
        // Mended: these, and those that lie over them, are put; the rest is not.
        let mended = sources(i64::MAX);
        let (done, failed) = run(&grid, &mended, jobs, true);
        assert!(failed.unwrap().is_empty() && !done.contains(&3) && !done.contains(&8) && !done.is_empty(), "{done:?}");
        assert!(done.iter().all(|number| mended[*number].reads.load(Ordering::SeqCst) == 0));
        assert_eq!(stored(&grid), whole(), "{jobs} jobs");
    }
}

#[test]
fn a_source_that_has_changed_is_put_again_with_what_lies_over_it() {
    let grid = grid();
    let mut first = sources(i64::MAX);
    first[11].damaged = true;
    run(&grid, &first, 1, true).1.unwrap();
    let mut changed = sources(i64::MAX);
    changed[2].version = 2;
    changed[2].value = 77.0;
    let imports = imports(&grid, &changed);
    let ledger = Ledger::new(&grid, &imports, None).unwrap();
    assert_eq!(ledger.changed(), [2]);
    assert!(!ledger.is_done(2) && ledger.is_done(0));
    let anew = Ledger::new(&grid, &imports, None).unwrap().anew();
    assert!(!(0..12).any(|number| anew.is_done(number)), "again from the beginning");
    run(&grid, &changed, 1, false).1.unwrap();
    let other = self::grid();
    run(&other, &changed, 1, false).1.unwrap();
    assert_eq!(stored(&grid), stored(&other));
}

/// What is done is a grid's, and goes with it.
#[test]
fn a_grid_that_is_dropped_takes_its_records_along() {
    let grid = grid();
    let mut part = sources(i64::MAX);
    part[11].damaged = true;
    run(&grid, &part, 1, true).1.unwrap();
    let store = grid.store().clone();
    store.drop_grid("g").unwrap();
    assert_eq!(store.verify().unwrap().findings, []);
    let again = store.create("g", grid.schema().clone()).unwrap();
    let imports = imports(&again, &part);
    let ledger = Ledger::new(&again, &imports, None).unwrap();
    assert!(!(0..12).any(|number| ledger.is_done(number)));
}
