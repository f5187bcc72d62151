//! A source on its way into a grid.

use std::ops::AddAssign;

use super::laying::{cells_of, unread, write};
use super::{Block, Fingerprint, Footprint, FoundCells, Source, SourceCells};
use crate::array::Cells;
use crate::array::block;
use crate::error::{Error, Result};
use crate::grid::CellIndex;
use crate::store::Grid;
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
    pub(super) grid: Grid,
    pub(super) source: Box<dyn Source>,
    pub(super) overlap: Overlap,
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

    /// Its blocks. See [`Source::blocks`].
    pub(super) fn blocks(&self) -> Vec<Block> {
        self.source.blocks()
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
        // What is laid over nothing else is put for a trial.
        let looked = match self.overlap {
            Overlap::Refuse => None,
            _ => self.source.look(progress)?,
        };
        let blocks = match looked {
            Some(_) => Vec::new(),
            None => self.source.blocks(),
        };
        let mut all = looked.unwrap_or_default();
        for block in blocks {
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

    /// Puts all cells into the grid, and makes them durable. See [`write`](fn@super::write).
    pub fn write(&mut self, progress: &mut dyn FnMut(u64)) -> Result<Imported> {
        write(&mut [self], progress)
    }

    pub(super) fn put<'a>(
        &self,
        batch: &mut Batch<'a>,
        block: &Block,
        piece: &'a SourceCells,
    ) -> Result<()> {
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

/// Cells with data of a source that does not count them.
pub(in crate::adapter) fn counted(piece: &SourceCells, grid: &Grid) -> FoundCells {
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
