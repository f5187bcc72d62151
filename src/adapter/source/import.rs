//! Sources into a grid.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::plan::{Job, Plan, cut};
use super::{BLOCK_BYTES, Block, Fingerprint, Footprint, FoundCells, Source, SourceCells};
use crate::array::Cells;
use crate::array::block;
use crate::error::{Error, Result};
use crate::grid::CellIndex;
use crate::kv::Durability;
use crate::store::{Grid, lock};
use crate::writer::{Batch, Overlap};

/// What a look at all cells of a source found before any is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// Cells that become nodata because they have the grid's nodata value, in a source that
    /// declares none.
    pub nodata_cells: u64,
    /// Whether none of its cells has data.
    pub is_blank: bool,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Cells of the sources.
    pub cells: u64,
    /// Base chunks written, each once a commit that touches it.
    pub chunks: u64,
    /// Aggregate chunks written, unless the store's policy leaves that for later.
    pub aggregates: u64,
    /// Marks left for aggregation.
    pub marks: u64,
}

impl AddAssign for Imported {
    fn add_assign(&mut self, other: Self) {
        self.cells += other.cells;
        self.chunks += other.chunks;
        self.aggregates += other.aggregates;
        self.marks += other.marks;
    }
}

/// A source on its way into a grid.
pub struct Import {
    grid: Grid,
    source: Box<dyn Source>,
    overlap: Overlap,
}

impl std::fmt::Debug for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Import")
            .field("footprint", self.footprint())
            .field("overlap", &self.overlap)
            .finish_non_exhaustive()
    }
}

impl Import {
    /// A source for a grid. An [`Invalid`](crate::ErrorKind::Invalid) error if the grid has no
    /// place for its footprint.
    pub fn new(grid: &Grid, source: impl Source + 'static) -> Result<Self> {
        for window in &source.footprint().windows {
            grid.structure().check(window)?;
            grid.check(window)?;
        }
        Ok(Self {
            grid: grid.clone(),
            source: Box::new(source),
            overlap: Overlap::default(),
        })
    }

    /// What it does where the grid has data already.
    #[must_use]
    pub fn over(self, overlap: Overlap) -> Self {
        Self { overlap, ..self }
    }

    /// Where the cells lie, and what is known of them.
    pub fn footprint(&self) -> &Footprint {
        self.source.footprint()
    }

    /// What is to be known of how the source is taken, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        let footprint = self.footprint();
        let twice = footprint
            .twice
            .as_ref()
            .filter(|_| self.overlap != Overlap::Refuse);
        let twice = twice
            .map(|place| format!("it has {place} twice; --overlap says which of both is kept"));
        footprint.notes.iter().cloned().chain(twice).collect()
    }

    /// What tells whether the source is what it was, or an error that names it. See
    /// [`Source::fingerprint`].
    pub fn fingerprint(&self) -> Result<Option<Fingerprint>> {
        self.source
            .fingerprint()
            .map_err(|cause| unread(self, cause))
    }

    /// Gives back memory and open files until the next read. See [`Source::close`].
    pub fn close(&mut self) {
        self.source.close();
    }

    /// Reads all of the source, and says whether it can be written. `progress` is told how many
    /// cells were read.
    ///
    /// # Errors
    ///
    /// Those of the source; and [`Invalid`](crate::ErrorKind::Invalid) where [`Overlap::Refuse`]
    /// refuses a part of it, or where it says itself which of its cells hold data and one of them
    /// has the grid's nodata value.
    pub fn check(&mut self, progress: &mut dyn FnMut(u64)) -> Result<Checked> {
        if let Some(place) = self
            .footprint()
            .twice
            .as_ref()
            .filter(|_| self.overlap == Overlap::Refuse)
        {
            return Err(Error::invalid(format!(
                "the file has {place} twice, and what is there may not be put again; import it with `--overlap keep` or `--overlap replace`"
            )));
        }
        let mut all = FoundCells::default();
        for block in self.source.blocks() {
            let piece = self.source.read(&block)?;
            let found = piece.found.unwrap_or_else(|| counted(&piece, &self.grid));
            all.data += found.data;
            all.collisions += found.collisions;
            if self.overlap == Overlap::Refuse {
                let mut batch = self.grid.store().batch();
                self.put(&mut batch, &block, &piece)?;
                batch.rehearse()?;
            }
            progress(cells_of(&piece));
        }
        self.source.close();
        if all.collisions > 0 && self.footprint().is_declared {
            return Err(Error::invalid(format!(
                "{} valid cells of the file have the grid's nodata value {}; make the grid with another `--nodata`",
                all.collisions,
                self.grid.schema().nodata().unwrap_or(f64::NAN)
            )));
        }
        Ok(Checked {
            nodata_cells: all.collisions,
            is_blank: all.data == 0,
        })
    }

    /// Puts all cells into the grid, and makes them durable. See [`write`](fn@write).
    pub fn write(&mut self, progress: &mut dyn FnMut(u64)) -> Result<Imported> {
        write(&mut [self], progress)
    }

    fn put<'a>(&self, batch: &mut Batch<'a>, block: &Block, piece: &'a SourceCells) -> Result<()> {
        match self.grid.structure().irregular_axis() {
            None => batch.put_over(&self.grid, &block.window, &piece.array, self.overlap)?,
            Some(time) => {
                let start = block.window.start();
                let others = start
                    .iter()
                    .enumerate()
                    .filter(|(axis, _)| *axis != time.axis)
                    .map(|(_, at)| *at);
                batch.put_events(
                    &self.grid,
                    &block.ticks,
                    others.collect::<CellIndex>(),
                    &piece.array,
                    self.overlap,
                )?;
            }
        }
        piece
            .valid
            .as_ref()
            .map_or(Ok(()), |valid| batch.mask(&self.grid, valid.view()))
    }
}

/// Puts all of the sources into their grids, which are of one store, later ones over earlier ones.
/// Small ones are committed together, as far as memory allows. All of it is durable when this
/// returns. `progress` is told how many cells were written.
///
/// With [`Policy::Manual`](crate::Policy) the aggregates are left for [`Grid::aggregate`], which is
/// faster for many files.
///
/// # Errors
///
/// Where a source cannot be read or [`Overlap::Refuse`] refuses a part, what was committed before
/// stays; [`Import::check`] tells beforehand. The same import, repeated, completes what a failing
/// medium or a full disk left.
pub fn write(imports: &mut [&mut Import], progress: &mut dyn FnMut(u64)) -> Result<Imported> {
    let imports: Vec<Mutex<&mut Import>> = imports
        .iter_mut()
        .map(|import| Mutex::new(&mut **import))
        .collect();
    let mut laying = Laying::new(&imports);
    for number in 0..imports.len() {
        let laid = laying.source(number, None, progress);
        laid.map_err(|(Failed::Source(error) | Failed::Store(error))| error)?;
    }
    laying.finish()
}

/// How sources of one grid are written: all of them in their order by one thread, up to the first
/// that fails, unless told otherwise.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Run<'a> {
    plan: Option<&'a Plan>,
    threads: usize,
    keep_going: bool,
}

/// What a [`Run`] came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Written {
    /// What was written.
    pub done: Imported,
    /// The sources that could not be read to their end, by their numbers from 0, each with the
    /// first reason. Empty unless the run was to [keep going](Run::keep_going).
    pub failed: BTreeMap<usize, Error>,
}

impl Default for Run<'_> {
    fn default() -> Self {
        Self {
            plan: None,
            threads: 1,
            keep_going: false,
        }
    }
}

impl<'a> Run<'a> {
    /// By the jobs of a plan of these sources, in their order, `threads` at once, stage after
    /// stage. What is then in the grid depends neither on the jobs nor on the threads.
    pub fn jobs(self, plan: &'a Plan, threads: usize) -> Self {
        Self {
            plan: Some(plan),
            threads,
            ..self
        }
    }

    /// Goes on with the others where a source cannot be read. What it gave before that may be in
    /// the grid, and stays.
    pub fn keep_going(self) -> Self {
        Self {
            keep_going: true,
            ..self
        }
    }

    /// Puts the sources into their grid; what [`write`](fn@write) says of durability holds.
    /// `progress` is told how many cells were written.
    ///
    /// # Errors
    ///
    /// Those of [`write`](fn@write). The jobs that are under way are finished, and no other is
    /// begun. And [`Invalid`](crate::ErrorKind::Invalid) for a plan of other sources, before
    /// anything is written.
    pub fn write(self, imports: &mut [Import], progress: &(dyn Fn(u64) + Sync)) -> Result<Written> {
        let imports: Vec<Mutex<&mut Import>> = imports.iter_mut().map(Mutex::new).collect();
        let failed = Mutex::new(BTreeMap::new());
        let mut done = Imported::default();
        if let Some(plan) = self.plan {
            if plan
                .jobs
                .iter()
                .flat_map(|job| &job.sources)
                .any(|source| *source >= imports.len())
            {
                return Err(Error::invalid(format!(
                    "the plan has more sources than the {} that are to be written; make a plan of these",
                    imports.len()
                )));
            }
            for stage in plan.jobs.chunk_by(|a, b| a.stage == b.stage) {
                done += self.stage(stage, &imports, (progress, &failed))?;
            }
        } else {
            done += self.lay(0..imports.len(), None, &imports, (progress, &failed))?;
        }
        let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Written { done, failed })
    }

    /// Lays some sources, or what of them is in a job.
    fn lay(
        &self,
        sources: impl IntoIterator<Item = usize>,
        job: Option<&Job>,
        imports: &[Mutex<&mut Import>],
        (progress, failed): (&(dyn Fn(u64) + Sync), &Mutex<Failures>),
    ) -> Result<Imported> {
        let mut laying = Laying::new(imports);
        for source in sources {
            match laying.source(source, job, &mut |cells| progress(cells)) {
                Ok(()) => {}
                Err(Failed::Source(error)) if self.keep_going => {
                    laying.leave_out(source);
                    lock(failed).entry(source).or_insert(error);
                }
                Err(Failed::Source(error) | Failed::Store(error)) => return Err(error),
            }
        }
        laying.finish()
    }

    /// Does the jobs of a stage.
    fn stage(
        &self,
        jobs: &[Job],
        imports: &[Mutex<&mut Import>],
        (progress, failed): (&(dyn Fn(u64) + Sync), &Mutex<Failures>),
    ) -> Result<Imported> {
        let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || -> Result<Imported> {
            let mut done = Imported::default();
            while !stopped.load(Ordering::Relaxed) {
                let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) else {
                    break;
                };
                let laid = self.lay(
                    job.sources.iter().copied(),
                    Some(job),
                    imports,
                    (progress, failed),
                );
                done += laid.inspect_err(|_| stopped.store(true, Ordering::Relaxed))?;
            }
            Ok(done)
        };
        let ends: Vec<Result<Imported>> = std::thread::scope(|scope| {
            let hands: Vec<_> = (0..self.threads.clamp(1, jobs.len().max(1)))
                .map(|_| scope.spawn(work))
                .collect();
            let end = |hand: std::thread::ScopedJoinHandle<'_, Result<Imported>>| {
                hand.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            hands.into_iter().map(end).collect()
        });
        let mut done = Imported::default();
        for end in ends {
            done += end?;
        }
        Ok(done)
    }
}

/// The sources that could not be read, by their numbers.
type Failures = BTreeMap<usize, Error>;

/// Why a source is not laid.
enum Failed {
    /// It cannot be read.
    Source(Error),
    /// Its cells cannot be put.
    Store(Error),
}

/// Sources on their way into the grid, as far as they wait for a commit. A source is locked while
/// it is read, which several jobs do in turn.
struct Laying<'a, 'b> {
    imports: &'a [Mutex<&'b mut Import>],
    waiting: Vec<(usize, Block, SourceCells)>,
    bytes: u64,
    done: Imported,
}

impl<'a, 'b> Laying<'a, 'b> {
    fn new(imports: &'a [Mutex<&'b mut Import>]) -> Self {
        Self {
            imports,
            waiting: Vec::new(),
            bytes: 0,
            done: Imported::default(),
        }
    }

    /// Lays a source, or what of it is in a job.
    fn source(
        &mut self,
        number: usize,
        job: Option<&Job>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), Failed> {
        let (grid, blocks, before) = {
            let import = lock(&self.imports[number]);
            (
                import.grid.clone(),
                import.source.blocks(),
                import.fingerprint().map_err(Failed::Source)?,
            )
        };
        for block in blocks {
            let part = job.map_or(Some(block.window), |job| {
                job.part(grid.structure(), &block.window)
            });
            let Some(part) = part else { continue };
            let piece = {
                let mut import = lock(&self.imports[number]);
                import
                    .source
                    .read(&block)
                    .map_err(|cause| Failed::Source(unread(&import, cause)))?
            };
            let (block, piece) = cut(block, piece, &part);
            let cells = cells_of(&piece);
            self.bytes += cells * piece.array.dtype().size() as u64;
            self.done.cells += cells;
            self.waiting.push((number, block, piece));
            if self.bytes >= BLOCK_BYTES as u64 {
                self.commit(Durability::Buffered).map_err(Failed::Store)?;
            }
            progress(cells);
        }
        let mut import = lock(&self.imports[number]);
        import.source.close();
        if import.fingerprint().map_err(Failed::Source)? == before {
            return Ok(());
        }
        let changed = Error::unavailable(
            "it was changed while it was read; import it again when nothing writes it",
        );
        Err(Failed::Source(unread(&import, changed)))
    }

    /// Leaves out what waits of a source.
    fn leave_out(&mut self, source: usize) {
        let cells = |(_, _, piece): &(usize, Block, SourceCells)| {
            (cells_of(piece), piece.array.dtype().size() as u64)
        };
        for (cells, bytes) in self
            .waiting
            .iter()
            .filter(|(number, ..)| *number == source)
            .map(cells)
        {
            self.done.cells -= cells;
            self.bytes -= cells * bytes;
        }
        self.waiting.retain(|(number, ..)| *number != source);
    }

    fn finish(mut self) -> Result<Imported> {
        self.commit(Durability::Sync)?;
        Ok(self.done)
    }

    fn commit(&mut self, durability: Durability) -> Result<()> {
        let Some(store) = self
            .imports
            .first()
            .map(|import| lock(import).grid.store().clone())
        else {
            return Ok(());
        };
        let (Some((first, ..)), Some((last, ..))) = (self.waiting.first(), self.waiting.last())
        else {
            // What was committed before is synced with the store's own log.
            return if durability == Durability::Sync {
                store.flush()
            } else {
                Ok(())
            };
        };
        let more = if last > first {
            format!(", or one of {} after it,", last - first)
        } else {
            String::new()
        };
        let named = |cause: Error| {
            cause.within(format!(
                "`{}`{more} cannot be imported",
                lock(&self.imports[*first]).footprint().name
            ))
        };
        let mut batch = store.batch().durability(durability);
        for (number, block, piece) in &self.waiting {
            let import = lock(&self.imports[*number]);
            import
                .put(&mut batch, block, piece)
                .map_err(|cause| unread(&import, cause))?;
        }
        let commit = batch.commit().map_err(named)?;
        self.done.chunks += commit.chunks;
        self.done.aggregates += commit.aggregates;
        self.done.marks += commit.marks;
        self.waiting.clear();
        self.bytes = 0;
        Ok(())
    }
}

fn unread(import: &Import, cause: Error) -> Error {
    cause.within(format!("`{}` cannot be imported", import.footprint().name))
}

fn cells_of(piece: &SourceCells) -> u64 {
    piece.array.shape().iter().map(|len| *len as u64).product()
}

/// Cells with data of a source that does not count them.
fn counted(piece: &SourceCells, grid: &Grid) -> FoundCells {
    let (dtype, cells) = (piece.array.dtype(), piece.array.view());
    let flat = cells.flat();
    let len = flat.bytes().len() / dtype.size();
    let mut absent = vec![false; len];
    if let Some(valid) = &piece.valid {
        absent
            .iter_mut()
            .zip(valid)
            .for_each(|(absent, valid)| *absent = *valid == 0);
    }
    block::mark_nan(dtype, flat.bytes(), &mut absent);
    if let Some(nodata) = grid.schema().nodata() {
        block::mark_equal(&Cells::filled(dtype, 1, nodata), flat.bytes(), &mut absent);
    }
    FoundCells {
        data: absent.iter().map(|absent| u64::from(!absent)).sum(),
        collisions: 0,
    }
}
