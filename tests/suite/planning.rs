//! What an import will change is known before a cell is read, and is done by any number of threads.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gridstone::adapter::source::{
    self, Block, Fingerprint, Footprint, Import, Plan, Run, Source, SourceCells,
};
use gridstone::array::Cells;
use gridstone::grid::Location;
use gridstone::{
    Aggregation, Array, Axis, DType, Dimension, Grid, Levels, Overlap, Policy, Query, Schema,
    Store, Structure, Window,
};
use ndarray::{ArrayD, IxDyn};

use crate::check::{Dice, cases, levels};

/// Cells of a formula in a box, row by row of the first axis; some of them without data.
#[derive(Clone, Debug)]
struct Made {
    footprint: Footprint,
    number: i64,
    holes: u64,
}

impl Made {
    fn new(number: i64, window: Window, holes: u64) -> Self {
        Self {
            footprint: Footprint::new(format!("source {number}"), vec![window], DType::F32),
            number,
            holes,
        }
    }
}

impl Source for Made {
    fn footprint(&self) -> &Footprint {
        &self.footprint
    }

    fn blocks(&self) -> Vec<Block> {
        let window = self.footprint.windows[0];
        let rows = 7;
        let block = |(number, from): (usize, u64)| {
            let rows = rows.min(window.shape()[0] - from);
            let mut block =
                Block::new(window.along(0, window.start()[0].saturating_add_unsigned(from), rows));
            block.number = number;
            block
        };
        (0..window.shape()[0])
            .step_by(7)
            .enumerate()
            .map(block)
            .collect()
    }

    fn read(&mut self, block: &Block) -> gridstone::Result<SourceCells> {
        let shape: Vec<usize> = block
            .window
            .shape()
            .iter()
            .map(|len| usize::try_from(*len).unwrap())
            .collect();
        let start = block.window.start();
        let cell = |at: IxDyn| {
            let place = (0..shape.len())
                .map(|axis| start[axis] + i64::try_from(at[axis]).unwrap())
                .fold(0, |sum, at| sum * 31 + at);
            let hash = place.wrapping_mul(6_364_136_223_846_793_005).unsigned_abs() >> 33;
            if hash % 100 < self.holes {
                f32::NAN
            } else {
                (hash % 50) as f32 + 100.0 * self.number as f32
            }
        };
        Ok(SourceCells::new(ArrayD::from_shape_fn(shape.clone(), cell)))
    }
}

/// How the grids are made.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Plane,
    /// With steps of time in front, and levels of space below the coarsest.
    Timed,
    Banded,
}

fn grid(kind: Kind, layers: &[Aggregation], policy: Policy) -> Grid {
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
    );
    let structure = match kind {
        Kind::Plane => Structure::builder().dimension(space),
        Kind::Timed => Structure::builder()
            .dimension(Dimension::regular("time", [Axis::new("t", 0.0, 1.0, 2)]))
            .dimension(space.refinable()),
        Kind::Banded => Structure::builder()
            .dimension(Dimension::fixed("band", ["a", "b"]))
            .dimension(space),
    };
    let schema = Schema::builder(structure.build().unwrap(), DType::F32);
    let schema = layers
        .iter()
        .fold(schema, |schema, layer| schema.aggregator(layer.clone()))
        .build()
        .unwrap();
    let store = Store::options()
        .policy(policy)
        .open_engine(std::sync::Arc::new(gridstone::kv::Memory::new()))
        .unwrap();
    store.create("g", schema).unwrap()
}

fn window(kind: Kind, level: i8, dice: &mut Dice) -> Window {
    let side = |from: i64, to: i64, most: i64, dice: &mut Dice| {
        (dice.range(from, to), dice.range(1, most).unsigned_abs())
    };
    let (y, x) = (side(-30, 30, 25, dice), side(-30, 30, 25, dice));
    match kind {
        Kind::Plane => Window::new([y.0, x.0], [y.1, x.1]).at(levels(&[level])),
        Kind::Timed => {
            let t = side(-4, 4, 4, dice);
            Window::new([t.0, y.0, x.0], [t.1, y.1, x.1]).at(levels(&[0, level]))
        }
        Kind::Banded => Window::new([0, y.0, x.0], [2, y.1, x.1]).at(levels(&[0, level])),
    }
}

fn imports(grid: &Grid, sources: &[Made]) -> Vec<Import> {
    sources
        .iter()
        .map(|source| Import::new(grid, source.clone()).unwrap())
        .collect()
}

fn plan(grid: &Grid, sources: &[Made], jobs: usize) -> gridstone::Result<Plan> {
    Plan::new(grid, sources.iter().map(|source| &source.footprint), jobs)
}

type Chunk = (Option<Aggregation>, Location, u64);

fn stored(grid: &Grid) -> BTreeSet<Chunk> {
    let of =
        |chunk: gridstone::inspect::ChunkInfo| (chunk.aggregator, chunk.location, chunk.checksum);
    grid.stored_chunks().map_or_else(
        |_| BTreeSet::new(),
        |chunks| chunks.into_iter().map(of).collect(),
    )
}

/// The places of chunks that came, went or became others; of base chunks, and of aggregates.
fn touched(
    before: &BTreeSet<Chunk>,
    after: &BTreeSet<Chunk>,
) -> (BTreeSet<Location>, BTreeSet<Location>) {
    let of = |base: bool| {
        let changed = before
            .symmetric_difference(after)
            .filter(move |(layer, ..)| layer.is_none() == base);
        changed
            .map(|(_, at, _)| *at)
            .collect::<BTreeSet<Location>>()
    };
    (of(true), of(false))
}

fn check_contains(
    plan: &Plan,
    (base, aggregates): &(BTreeSet<Location>, BTreeSet<Location>),
    at: &str,
) {
    let predicted: BTreeSet<Location> = plan.base.iter().copied().collect();
    let missed: Vec<&Location> = base.difference(&predicted).collect();
    assert!(
        missed.is_empty(),
        "{at}: base chunks {missed:?} were not predicted"
    );
    let predicted: BTreeSet<Location> = plan.aggregates.iter().copied().collect();
    let missed: Vec<&Location> = aggregates.difference(&predicted).collect();
    assert!(
        missed.is_empty(),
        "{at}: aggregates {missed:?} were not predicted"
    );
}

/// Random sources over random grids, twice over: the second time finer data may come over coarser.
#[test]
fn what_is_predicted_contains_what_changes_and_threads_leave_what_one_does() {
    let mut dice = Dice(15);
    for case in 0..cases(40) {
        let kind = dice.pick(&[Kind::Plane, Kind::Timed, Kind::Banded]);
        let layers: &[Aggregation] = dice.pick(&[&[][..], &[Aggregation::Mean, Aggregation::Max]]);
        let policy = dice.pick(&[Policy::Inline, Policy::Manual]);
        let (one, many) = (grid(kind, layers, policy), grid(kind, layers, policy));
        for round in 0..3 {
            let at = format!("case {case}, round {round}: {kind:?}, {layers:?}, {policy:?}");
            let level = if matches!(kind, Kind::Banded) {
                0
            } else {
                i8::try_from(dice.range(-2, 0)).unwrap()
            };
            let holes = dice.pick(&[0, 20, 95]);
            let sources: Vec<Made> = (0..dice.range(1, 6))
                .map(|number| Made::new(number, window(kind, level, &mut dice), holes))
                .collect();
            let jobs = usize::try_from(dice.range(1, 9)).unwrap();
            let planned = match plan(&one, &sources, jobs) {
                Ok(planned) => planned,
                Err(error) => {
                    // What is coarser than the data there is refused, before and after.
                    assert!(
                        error.to_string().contains("aggregated level"),
                        "{at}: {error}"
                    );
                    let mut refused = imports(&one, &sources);
                    let put =
                        source::write(&mut refused.iter_mut().collect::<Vec<_>>(), &mut |_| {});
                    assert!(put.is_err() || holes > 0, "{at}: {error}");
                    break;
                }
            };
            disjoint(&one, &planned, &sources, &at);
            let before = stored(&one);
            let done = source::write(
                &mut imports(&one, &sources).iter_mut().collect::<Vec<_>>(),
                &mut |_| {},
            )
            .unwrap();
            one.aggregate().unwrap();
            check_contains(&planned, &touched(&before, &stored(&one)), &at);
            let told = std::sync::atomic::AtomicU64::new(0);
            let progress = |cells| {
                told.fetch_add(cells, std::sync::atomic::Ordering::Relaxed);
            };
            let by_jobs = Run::default()
                .jobs(&planned, 3)
                .write(&mut imports(&many, &sources), &progress)
                .unwrap()
                .done;
            many.aggregate().unwrap();
            assert_eq!(
                (by_jobs.cells, told.into_inner()),
                (done.cells, done.cells),
                "{at}: every cell once"
            );
            assert_eq!(
                stored(&many),
                stored(&one),
                "{at}: {sources:?} in {jobs} jobs"
            );
            assert_eq!(one.store().verify().unwrap().findings, [], "{at}");
        }
    }
}

/// No base chunk is in two jobs of a stage, and all are in one.
fn disjoint(grid: &Grid, plan: &Plan, sources: &[Made], at: &str) {
    let all: BTreeSet<Location> = sources
        .iter()
        .flat_map(|source| {
            grid.structure()
                .split(&source.footprint.windows[0])
                .map(|piece| piece.location)
        })
        .collect();
    let chunks: u64 = plan.jobs.iter().map(|job| job.chunks).sum();
    assert_eq!(chunks, all.len() as u64, "{at}: {plan:?}");
    let cells: u64 = plan.jobs.iter().map(|job| job.cells).sum();
    assert_eq!(
        cells,
        sources
            .iter()
            .map(|source| source.footprint.cells)
            .sum::<u64>(),
        "{at}"
    );
    for (number, job) in plan.jobs.iter().enumerate() {
        assert!(job.sources.is_sorted(), "{at}: the order is kept");
        for other in &plan.jobs[..number] {
            let met = grid.structure().intersection(&job.window, &other.window);
            assert!(
                job.stage == other.stage && met.is_none(),
                "{at}: {job:?} and {other:?}"
            );
        }
    }
}

#[test]
fn later_sources_are_on_top_in_any_number_of_jobs() {
    for jobs in [1, 2, 7, 1000] {
        let grid = grid(Kind::Plane, &[Aggregation::Mean], Policy::Manual);
        let sources: Vec<Made> = (0..4)
            .map(|number| Made::new(number, Window::new([3 * number, 5 * number], [40, 40]), 0))
            .collect();
        let planned = plan(&grid, &sources, jobs).unwrap();
        assert!(
            planned.jobs.len() >= jobs.min(20),
            "{} of {jobs}",
            planned.jobs.len()
        );
        Run::default()
            .jobs(&planned, 4)
            .write(&mut imports(&grid, &sources), &|_| {})
            .unwrap();
        let answer = grid.read(&Query::all()).unwrap();
        let cells = answer.array.into_typed::<f32>().unwrap();
        for (at, cell) in cells.indexed_iter() {
            let inside = |number: usize| {
                (3 * number..3 * number + 40).contains(&at[0])
                    && (5 * number..5 * number + 40).contains(&at[1])
            };
            match (0..4).rev().find(|number| inside(*number)) {
                Some(top) => {
                    assert!(
                        (*cell / 100.0).floor() >= top as f32 - 0.5
                            && *cell < 100.0 * top as f32 + 50.0,
                        "{at:?}: {cell}"
                    )
                }
                None => assert!(cell.is_nan(), "{at:?}"),
            }
        }
    }
}

/// A source that fails in a job is named, and no other job is begun.
#[test]
fn a_job_that_fails_names_the_source() {
    let grid = grid(Kind::Plane, &[], Policy::Manual);
    let sources = [Made::new(0, Window::new([0, 0], [40, 40]), 0)];
    let planned = plan(&grid, &sources, 8).unwrap();
    assert!(planned.jobs.len() >= 8);
    for threads in [1, 2] {
        let reads = Arc::new(AtomicUsize::new(0));
        let mut all =
            [Import::new(&grid, Failing(sources[0].clone(), Arc::clone(&reads))).unwrap()];
        let error = Run::default()
            .jobs(&planned, threads)
            .write(&mut all, &|_| {})
            .expect_err("cut");
        let error = format!("{error:?}");
        assert!(
            error.contains("`source 0` cannot be imported") && error.contains("the line is cut"),
            "{error}"
        );
        assert!(
            (1..=threads).contains(&reads.load(Ordering::Relaxed)),
            "{reads:?} of {threads} threads"
        );
    }
}

/// Counts what is read of it, which fails.
struct Failing(Made, Arc<AtomicUsize>);

impl Source for Failing {
    fn footprint(&self) -> &Footprint {
        self.0.footprint()
    }

    fn blocks(&self) -> Vec<Block> {
        self.0.blocks()
    }

    fn read(&mut self, _: &Block) -> gridstone::Result<SourceCells> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Err(gridstone::Error::unavailable("the line is cut"))
    }
}

#[test]
fn the_others_go_on_without_a_source_that_fails() {
    let sources: Vec<Made> = (0..3)
        .map(|number| Made::new(number, Window::new([20 * number, 0], [20, 40]), 0))
        .collect();
    for by_jobs in [false, true] {
        let grid = grid(Kind::Plane, &[Aggregation::Mean], Policy::Inline);
        let planned = plan(&grid, &sources, 5).unwrap();
        let run = if by_jobs {
            Run::default().jobs(&planned, 3)
        } else {
            Run::default()
        };
        let mut all = imports(&grid, &sources);
        all[1] = Import::new(&grid, Failing(sources[1].clone(), Arc::default())).unwrap();
        let written = run.keep_going().write(&mut all, &|_| {}).unwrap();
        assert_eq!(written.failed.keys().copied().collect::<Vec<_>>(), [1]);
        assert!(
            format!("{:?}", written.failed[&1]).contains("`source 1` cannot be imported"),
            "{:?}",
            written.failed
        );
        assert_eq!(written.done.cells, 2 * 20 * 40);
        let answer = grid
            .read(&Query::window(Window::new([0, 0], [60, 40])))
            .unwrap();
        let is_left_out =
            |(number, cell): (usize, f64)| cell.is_nan() == (20..40).contains(&(number / 40));
        assert!(
            answer.array.iter_f64().enumerate().all(is_left_out),
            "{:?}",
            answer.array
        );
        assert_eq!(grid.store().verify().unwrap().findings, []);
    }
}

/// Is another thing each time that it is read.
struct Changing(Made, u64);

impl Source for Changing {
    fn footprint(&self) -> &Footprint {
        self.0.footprint()
    }

    fn blocks(&self) -> Vec<Block> {
        self.0.blocks()
    }

    fn read(&mut self, block: &Block) -> gridstone::Result<SourceCells> {
        self.1 += 1;
        self.0.read(block)
    }

    fn fingerprint(&self) -> gridstone::Result<Option<Fingerprint>> {
        Ok(Some(Fingerprint::new(self.1, None, 0)))
    }
}

#[test]
fn a_source_that_changes_while_it_is_read_fails() {
    let grid = grid(Kind::Plane, &[], Policy::Manual);
    let made = Made::new(0, Window::new([0, 0], [4, 4]), 0);
    let mut import = Import::new(&grid, Changing(made, 0)).unwrap();
    let error = format!("{:?}", import.write(&mut |_| {}).expect_err("changed"));
    assert!(
        error.contains("`source 0` cannot be imported")
            && error.contains("changed while it was read"),
        "{error}"
    );
}

/// What no jobs can be made of, and jobs of something else, are refused before anything is written.
#[test]
fn a_plan_that_does_not_fit_its_sources_is_refused() {
    let grid = grid(Kind::Plane, &[], Policy::Manual);
    let window = Window::new([0, 0], [8, 8]);
    let both = Footprint::new("both", vec![window.at(levels(&[1])), window], DType::F32);
    let error = Plan::new(&grid, [&both], 2)
        .expect_err("two levels")
        .to_string();
    assert!(
        error.contains("`both` has cells of several levels") && error.contains("without a plan"),
        "{error}"
    );
    let sources: Vec<Made> = (0..3).map(|number| Made::new(number, window, 0)).collect();
    let planned = plan(&grid, &sources, 2).unwrap();
    let error = Run::default()
        .jobs(&planned, 2)
        .write(&mut imports(&grid, &sources[..1]), &|_| {})
        .expect_err("of others");
    assert!(
        error
            .to_string()
            .contains("more sources than the 1 that are to be written"),
        "{error}"
    );
    assert_eq!(grid.bounds().unwrap(), None);
}

/// Elevation of the Sierra Nevada, then a patch of it: what is predicted is what changes, but for
/// what stays the same.
#[cfg(feature = "geotiff")]
#[test]
fn real_files_change_what_is_predicted() {
    use gridstone::adapter::geotiff::GeoTiff;
    use gridstone::adapter::raster::{Like, RasterSource, schema_like};

    let file = |name: &str| {
        GeoTiff::open(
            std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/data")
                .join(name),
        )
        .unwrap()
    };
    let mut like = Like {
        chunk: 64,
        ..Like::default()
    };
    like.aggregators = vec![Aggregation::Mean, Aggregation::Max];
    let store = Store::options()
        .policy(Policy::Manual)
        .open_engine(std::sync::Arc::new(gridstone::kv::Memory::new()))
        .unwrap();
    let grid = store
        .create(
            "dem",
            schema_like(file("srtm.tif").header(), &like).unwrap(),
        )
        .unwrap();
    for name in ["srtm.tif", "srtm_patch.tif"] {
        let mut import = Import::new(&grid, RasterSource::new(&grid, name, file(name)).unwrap())
            .unwrap()
            .over(Overlap::Merge);
        let planned = Plan::new(&grid, [import.footprint()], 4).unwrap();
        let before = stored(&grid);
        import.write(&mut |_| {}).unwrap();
        grid.aggregate().unwrap();
        let changed = touched(&before, &stored(&grid));
        check_contains(&planned, &changed, name);
        let (predicted, changed) = (
            planned.base.len() + planned.aggregates.len(),
            changed.0.len() + changed.1.len(),
        );
        assert!(
            predicted * 10 <= changed * 11,
            "{name}: {predicted} predicted, {changed} changed"
        );
    }
}

/// Events: buckets and what lies above them.
#[test]
fn events_change_what_is_predicted() {
    let time = Dimension::irregular("time", "seconds since 2000-01-01", 4, 16);
    let space = Dimension::regular(
        "space",
        [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
    );
    let structure = Structure::builder()
        .dimension(time)
        .dimension(space)
        .build()
        .unwrap();
    let schema = Schema::builder(structure, DType::F32)
        .aggregator(Aggregation::Sum)
        .build()
        .unwrap();
    let grid = Store::in_memory().unwrap().create("g", schema).unwrap();
    let (mut dice, mut overshoot) = (Dice(3), (0, 0));
    for round in 0..30 {
        let (tick, y, x) = (dice.range(-500, 500), dice.range(-9, 9), dice.range(-9, 9));
        let window = Window::new([tick, y, x], [1, 6, 6]);
        let footprint = Footprint::new("events", vec![window], DType::F32);
        let planned = Plan::new(&grid, [&footprint], 4).unwrap();
        assert_eq!(planned.jobs.iter().map(|job| job.cells).sum::<u64>(), 36);
        let before = stored(&grid);
        grid.put_events(
            &[tick],
            [y, x],
            &ArrayD::from_elem(vec![1, 6, 6], 1.0_f32),
            Overlap::Merge,
        )
        .unwrap();
        let changed = touched(&before, &stored(&grid));
        // Buckets that overflow are of several chunks, below their own place.
        let bucket = planned.base.first().map(|at| at.levels()).unwrap();
        let at_bucket = |at: &&Location| {
            bucket
                .iter()
                .zip(at.levels().iter())
                .all(|(bucket, own)| own >= bucket)
        };
        let whole = (
            changed.0.iter().filter(at_bucket).copied().collect(),
            changed.1.iter().filter(at_bucket).copied().collect(),
        );
        check_contains(&planned, &whole, &format!("round {round}: {window:?}"));
        overshoot = (
            overshoot.0 + planned.base.len() + planned.aggregates.len(),
            overshoot.1 + whole.0.len() + whole.1.len(),
        );
    }
    assert!(overshoot.0 <= overshoot.1 * 2, "{overshoot:?}");
}

/// Cells of its own keep no source from being told apart.
#[test]
fn finest_sources_come_last() {
    let grid = grid(Kind::Plane, &[], Policy::Manual);
    let at = |level: i8| -> Levels { levels(&[level]) };
    let sources = [
        Made::new(0, Window::new([0, 0], [8, 8]).at(at(-1)), 0),
        Made::new(1, Window::new([0, 0], [8, 8]), 0),
        Made::new(2, Window::new([0, 0], [8, 8]).at(at(-1)), 0),
    ];
    let mut all = imports(&grid, &sources);
    source::Priority::Finest.arrange(&mut all).unwrap();
    let names: Vec<&str> = all
        .iter()
        .map(|import| import.footprint().name.as_str())
        .collect();
    assert_eq!(names, ["source 1", "source 0", "source 2"]);
    let planned = Plan::new(&grid, all.iter().map(Import::footprint), 3).unwrap();
    assert_eq!(
        planned
            .jobs
            .iter()
            .map(|job| job.stage)
            .collect::<BTreeSet<usize>>()
            .len(),
        2,
        "the coarser ones first"
    );
    Run::default()
        .jobs(&planned, 2)
        .write(&mut all, &|_| {})
        .unwrap();
    let answer = grid
        .read(&Query::window(Window::new([0, 0], [16, 16]).at(at(-1))))
        .unwrap();
    let cells: Array = answer.array;
    let Cells::F32(cells) = cells.to_cells() else {
        panic!("float32")
    };
    let on_top = |at: usize| cells[at] >= 200.0;
    assert!(
        (0..8).all(|y| (0..8).all(|x| on_top(y * 16 + x))) && !on_top(8 * 16) && !on_top(15),
        "{cells:?}"
    );
}
