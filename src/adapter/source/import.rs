//! Sources into a grid.

use super::{BLOCK_BYTES, Block, Footprint, Found, Piece, Source};
use crate::array::Cells;
use crate::array::block;
use crate::error::{Error, Result};
use crate::grid::CellIndex;
use crate::kv::Durability;
use crate::store::Grid;
use crate::writer::{Batch, Overlap};

/// What a look at all cells of a source found before any is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// Cells that become nodata because they have the grid's nodata value, in a source that declares none.
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

/// A source on its way into a grid.
pub struct Import {
    grid: Grid,
    source: Box<dyn Source>,
    overlap: Overlap,
}

impl std::fmt::Debug for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Import").field("footprint", self.footprint()).field("overlap", &self.overlap).finish_non_exhaustive()
    }
}

impl Import {
    /// An [`Invalid`](crate::ErrorKind::Invalid) error if the grid has no place for the source's footprint.
    pub fn new(grid: &Grid, source: impl Source + 'static) -> Result<Self> {
        for window in &source.footprint().windows {
            grid.structure().check(window)?;
            grid.check(window)?;
        }
        Ok(Self { grid: grid.clone(), source: Box::new(source), overlap: Overlap::default() })
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
        let twice = footprint.twice.as_ref().filter(|_| self.overlap != Overlap::Refuse);
        let twice = twice.map(|place| format!("it has {place} twice; --overlap says which of both is kept"));
        footprint.notes.iter().cloned().chain(twice).collect()
    }

    /// Gives back memory and open files until the next read. See [`Source::close`].
    pub fn close(&mut self) {
        self.source.close();
    }

    /// Reads all of the source, and says whether it can be written. `progress` is told how many cells were read.
    pub fn check(&mut self, progress: &mut dyn FnMut(u64)) -> Result<Checked> {
        if let Some(place) = self.footprint().twice.as_ref().filter(|_| self.overlap == Overlap::Refuse) {
            return Err(Error::invalid(format!(
                "the file has {place} twice, and what is there may not be put again; import it with `--overlap keep` or `--overlap replace`"
            )));
        }
        let mut all = Found::default();
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
        Ok(Checked { nodata_cells: all.collisions, is_blank: all.data == 0 })
    }

    /// Puts all cells into the grid, and makes them durable. See [`write`](fn@write).
    pub fn write(&mut self, progress: &mut dyn FnMut(u64)) -> Result<Imported> {
        write(&mut [self], progress)
    }

    fn put<'a>(&self, batch: &mut Batch<'a>, block: &Block, piece: &'a Piece) -> Result<()> {
        match self.grid.structure().irregular_axis() {
            None => batch.put_over(&self.grid, &block.window, &piece.array, self.overlap)?,
            Some(time) => {
                let start = block.window.start();
                let others = start.iter().enumerate().filter(|(axis, _)| *axis != time.axis).map(|(_, at)| *at);
                batch.put_events(&self.grid, &block.ticks, others.collect::<CellIndex>(), &piece.array, self.overlap)?;
            }
        }
        piece.valid.as_ref().map_or(Ok(()), |valid| batch.mask(&self.grid, valid.view()))
    }
}

/// Puts all of the sources into their grids, which are of one store, later ones over earlier ones. Small ones are committed
/// together, as far as memory allows. All of it is durable when this returns. `progress` is told how many cells were written.
///
/// With [`Policy::Manual`](crate::Policy) the aggregates are left for [`Grid::aggregate`], which is faster for many files.
///
/// # Errors
///
/// Where a source cannot be read or [`Overlap::Refuse`] refuses a part, what was committed before stays; [`Import::check`] tells
/// beforehand. The same import, repeated, completes what a failing medium or a full disk left.
pub fn write(imports: &mut [&mut Import], progress: &mut dyn FnMut(u64)) -> Result<Imported> {
    let mut done = Imported::default();
    let mut waiting: Vec<(usize, Block, Piece)> = Vec::new();
    let mut bytes = 0;
    for number in 0..imports.len() {
        for block in imports[number].source.blocks() {
            let piece = imports[number].source.read(&block).map_err(|cause| unread(imports[number], cause))?;
            let cells = cells_of(&piece);
            bytes += cells * piece.array.dtype().size() as u64;
            done.cells += cells;
            waiting.push((number, block, piece));
            if bytes >= BLOCK_BYTES as u64 {
                commit(imports, &mut waiting, Durability::Buffered, &mut done)?;
                bytes = 0;
            }
            progress(cells);
        }
        imports[number].source.close();
    }
    commit(imports, &mut waiting, Durability::Sync, &mut done)?;
    Ok(done)
}

fn unread(import: &Import, cause: Error) -> Error {
    cause.within(format!("`{}` cannot be imported", import.footprint().name))
}

fn commit(
    imports: &[&mut Import],
    waiting: &mut Vec<(usize, Block, Piece)>,
    durability: Durability,
    done: &mut Imported,
) -> Result<()> {
    let Some(store) = imports.first().map(|import| import.grid.store()) else { return Ok(()) };
    let (Some((first, ..)), Some((last, ..))) = (waiting.first(), waiting.last()) else {
        // What was committed before is synced with the store's own log.
        return if durability == Durability::Sync { store.flush() } else { Ok(()) };
    };
    let more = if last > first { format!(", or one of {} after it,", last - first) } else { String::new() };
    let failed = |cause: Error| cause.within(format!("`{}`{more} cannot be imported", imports[*first].footprint().name));
    let mut batch = store.batch().durability(durability);
    for (number, block, piece) in waiting.iter() {
        imports[*number].put(&mut batch, block, piece).map_err(|cause| unread(imports[*number], cause))?;
    }
    let commit = batch.commit().map_err(failed)?;
    done.chunks += commit.chunks;
    done.aggregates += commit.aggregates;
    done.marks += commit.marks;
    waiting.clear();
    Ok(())
}

fn cells_of(piece: &Piece) -> u64 {
    piece.array.shape().iter().map(|len| *len as u64).product()
}

/// Cells with data of a source that does not count them.
fn counted(piece: &Piece, grid: &Grid) -> Found {
    let (dtype, cells) = (piece.array.dtype(), piece.array.view());
    let flat = cells.flat();
    let len = flat.bytes().len() / dtype.size();
    let mut absent = vec![false; len];
    if let Some(valid) = &piece.valid {
        absent.iter_mut().zip(valid).for_each(|(absent, valid)| *absent = *valid == 0);
    }
    block::mark_nan(dtype, flat.bytes(), &mut absent);
    if let Some(nodata) = grid.schema().nodata() {
        block::mark_equal(&Cells::filled(dtype, 1, nodata), flat.bytes(), &mut absent);
    }
    Found { data: absent.iter().map(|absent| u64::from(!absent)).sum(), collisions: 0 }
}
