//! Sources that are laid into their grid, commit by commit.

use std::sync::Mutex;

use super::import::{Import, Imported};
use super::ledger::Standing;
use super::plan::{copied, cut, part};
use super::{BLOCK_BYTES, Block, SourceCells};
use crate::error::{Error, Result};
use crate::grid::Window;
use crate::kv::Durability;
use crate::ledger::{Begun, JobState};
use crate::store::{Store, lock};

/// Puts all of the sources into their grids, which are of one store, later ones over earlier ones.
/// Small ones are committed together, as far as memory allows. All of it is durable when this
/// returns. `progress` is told how many cells were written.
///
/// With [`Policy::Manual`](crate::Policy) the aggregates are left for
/// [`Grid::aggregate`](crate::Grid::aggregate), which is faster for many files.
///
/// # Errors
///
/// Where a source cannot be read or [`Overlap::Refuse`](crate::Overlap::Refuse) refuses a part,
/// what was committed before stays; [`Import::check`] tells beforehand. The same import, repeated,
/// completes what a failing medium or a full disk left.
pub fn write(imports: &mut [&mut Import], progress: &mut dyn FnMut(u64)) -> Result<Imported> {
    let imports: Vec<Mutex<&mut Import>> = imports
        .iter_mut()
        .map(|import| Mutex::new(&mut **import))
        .collect();
    let mut laying = InFlight::new(&imports, None, BLOCK_BYTES as u64);
    for number in 0..imports.len() {
        let laid = laying.source(number, None, progress);
        laid.map_err(|(Failed::Source(error) | Failed::Store(error))| error)?;
    }
    laying.finish()
}

/// Why a source is not laid.
pub(super) enum Failed {
    /// It cannot be read.
    Source(Error),
    /// Its cells cannot be put.
    Store(Error),
}

/// A job that is in the ledger of the grid.
pub(super) struct Noted<'a> {
    pub(super) begun: &'a Begun,
    pub(super) standing: &'a Standing,
    pub(super) number: u32,
    pub(super) state: JobState,
}

/// Sources on their way into the grid, as far as they wait for a commit. A source is locked while
/// it is read, which several jobs do in turn.
pub(super) struct InFlight<'a, 'b> {
    imports: &'a [Mutex<&'b mut Import>],
    noted: Option<Noted<'a>>,
    /// The source in which the job was cut short, and how many of its blocks are in the grid.
    cut_short: Option<(usize, usize)>,
    /// Whether the ledger does not say yet how far this is.
    is_ahead: bool,
    waiting: Vec<(usize, Block, SourceCells)>,
    bytes: u64,
    /// How many may wait.
    most_bytes: u64,
    done: Imported,
}

impl<'a, 'b> InFlight<'a, 'b> {
    pub(super) fn new(
        imports: &'a [Mutex<&'b mut Import>],
        noted: Option<Noted<'a>>,
        most_bytes: u64,
    ) -> Self {
        Self {
            imports,
            cut_short: noted.as_ref().and_then(|noted| noted.state.partial),
            noted,
            is_ahead: false,
            waiting: Vec::new(),
            bytes: 0,
            most_bytes,
            done: Imported::default(),
        }
    }

    /// Lays a source, or what of it is in the box of a job and not in the grid yet.
    pub(super) fn source(
        &mut self,
        number: usize,
        window: Option<&Window>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), Failed> {
        let (grid, blocks, before) = {
            let import = lock(&self.imports[number]);
            (
                import.grid.clone(),
                import.blocks(),
                import.fingerprint().map_err(Failed::Source)?,
            )
        };
        let changed = |imports: &[Mutex<&mut Import>], when: &str| {
            let changed = Error::unavailable(format!(
                "it was changed {when}; import it again when nothing writes it"
            ));
            Failed::Source(unread(&lock(&imports[number]), changed))
        };
        let begun = self.cut_short.filter(|(source, _)| *source == number);
        let first = begun.map_or(0, |(_, blocks)| blocks);
        let (mut print, mut parts) = (None, None);
        if let Some(noted) = &self.noted {
            parts = noted.standing.parts(noted.number, number);
            print = noted.standing.print(number).copied();
        }
        if print.is_some() && before != print {
            return Err(changed(self.imports, "since the import began"));
        }
        for (at, block) in blocks.into_iter().enumerate().skip(first) {
            let within = window.map_or(Some(block.window), |window| {
                part(grid.structure(), window, &block.window)
            });
            let Some(within) = within else { continue };
            let mut boxes: Vec<Window> = match parts {
                None => vec![within],
                Some(parts) => {
                    let part = |of: &Window| part(grid.structure(), of, &within);
                    parts.iter().filter_map(part).collect()
                }
            };
            let Some(last) = boxes.pop() else { continue };
            let piece = {
                let mut import = lock(&self.imports[number]);
                import
                    .source
                    .read(&block)
                    .map_err(|cause| Failed::Source(unread(&import, cause)))?
            };
            let had = self.done.cells;
            // Boxes may overlap, so that they come to more than the block.
            for within in boxes {
                self.wait(number, copied(&block, &piece, &within));
                self.make_room()?;
            }
            self.wait(number, cut(block, piece, &last));
            let cells = self.done.cells - had;
            // One that was there to its end has more than these blocks.
            if parts.is_none() {
                self.note(|state| state.partial = Some((number, at + 1)));
            }
            self.make_room()?;
            progress(cells);
        }
        let after = {
            let mut import = lock(&self.imports[number]);
            import.source.close();
            import.fingerprint().map_err(Failed::Source)?
        };
        if after != before {
            return Err(changed(self.imports, "while it was read"));
        }
        let begun = self.begun_behind(number);
        self.note(|state| {
            state.done.add(number);
            state.partial = begun;
        });
        Ok(())
    }

    /// Lets cells wait for the next commit.
    fn wait(&mut self, number: usize, (block, piece): (Block, SourceCells)) {
        let cells = cells_of(&piece);
        self.bytes += cells * piece.array.dtype().size() as u64;
        self.done.cells += cells;
        self.waiting.push((number, block, piece));
    }

    /// Commits what waits if it is as much as may.
    fn make_room(&mut self) -> Result<(), Failed> {
        if self.bytes < self.most_bytes {
            return Ok(());
        }
        self.commit(Durability::Buffered).map_err(Failed::Store)
    }

    /// Changes what the next commit says of how far the job is.
    fn note(&mut self, change: impl FnOnce(&mut JobState)) {
        if let Some(noted) = &mut self.noted {
            change(&mut noted.state);
            self.is_ahead = true;
        }
    }

    /// The source in which the job was cut short, if that comes behind another one.
    fn begun_behind(&self, number: usize) -> Option<(usize, usize)> {
        self.cut_short.filter(|(source, _)| *source > number)
    }

    /// Leaves out what waits of a source.
    pub(super) fn leave_out(&mut self, source: usize) {
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
        let begun = self.begun_behind(source);
        self.note(|state| state.partial = begun);
    }

    pub(super) fn finish(mut self) -> Result<Imported> {
        self.commit(Durability::Sync)?;
        Ok(self.done)
    }

    fn store(&self) -> Option<Store> {
        let first = self.imports.first()?;
        Some(lock(first).grid.store().clone())
    }

    /// How the sources that wait are called in messages.
    fn named(&self, cause: Error) -> Error {
        let (Some((first, ..)), Some((last, ..))) = (self.waiting.first(), self.waiting.last())
        else {
            return cause;
        };
        let more = if last > first {
            format!(", or one of {} after it,", last - first)
        } else {
            String::new()
        };
        cause.within(format!(
            "`{}`{more} cannot be imported",
            lock(&self.imports[*first]).footprint().name
        ))
    }

    fn commit(&mut self, durability: Durability) -> Result<()> {
        let Some(store) = self.store() else {
            return Ok(());
        };
        if self.waiting.is_empty() && !self.is_ahead {
            // What was committed before is synced with the store's own log.
            return if durability == Durability::Sync {
                store.flush()
            } else {
                Ok(())
            };
        }
        let mut batch = store.batch().durability(durability);
        for (number, block, piece) in &self.waiting {
            let import = lock(&self.imports[*number]);
            import
                .put(&mut batch, block, piece)
                .map_err(|cause| unread(&import, cause))?;
        }
        if let Some(noted) = &self.noted {
            batch.enter(noted.begun.progress(noted.number, &noted.state));
        }
        let commit = batch.commit().map_err(|cause| self.named(cause))?;
        if let Some(noted) = &mut self.noted {
            noted.state.committed(commit.sequence);
        }
        self.is_ahead = false;
        self.done.chunks += commit.chunks;
        self.done.aggregates += commit.aggregates;
        self.done.marks += commit.marks;
        self.waiting.clear();
        self.bytes = 0;
        Ok(())
    }
}

pub(super) fn unread(import: &Import, cause: Error) -> Error {
    cause.within(format!("`{}` cannot be imported", import.footprint().name))
}

pub(super) fn cells_of(piece: &SourceCells) -> u64 {
    piece.array.shape().iter().map(|len| *len as u64).product()
}
