//! One grid updated from another that has the same cells, or from an excerpt of it: a part, or the
//! cells of a layer at coarser levels. Chunks, codec and aggregators may be others.
//!
//! What changed in the source is in its feed; the place up to which it was followed is a record
//! beside the target. An update first claims that record, then copies what changed in parts, each a
//! commit of its own that expects the claim to stand, and at last writes the new place. So it can
//! end anywhere: the next one begins at the old place, and copies again what it finds changed
//! since. Where two meet, the claim of the later one makes every further commit of the earlier one
//! fail; as the later one reads a later state of the source, and follows all changes since the same
//! place, it ends with the cells that it says.

mod cells;
mod chunk_mapping;
mod comparable;
mod events;
mod excerpt;
mod of_layer;
mod parts;
mod source_changes;

use serde::{Deserialize, Serialize};

use crate::array::Cells;
use crate::error::{Error, ErrorKind, Result};
use crate::feed::Token;
use crate::grid::{Levels, Window};
use crate::key::meta;
use crate::kv::{self, Durability, Snapshot, Space};
use crate::store::{
    BatchNumber, ChunkReader, Grid, Policy, RecordKind, State, Store, base_fill, decode_record,
    encode_record, unless_dropped,
};
use crate::writer::{Batch, settle_bounds};
pub use excerpt::Excerpt;
use excerpt::ExcerptRecord;
use parts::Cut;
use source_changes::SourceNews;

/// The cells that are held in memory at a time, in bytes, unless a chunk of the target has more.
const PART_BYTES: usize = 64 << 20;

/// What [`Grid::update_from`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Updated {
    /// The place in the source's change feed up to which the grid has what the source has.
    pub to: Token,
    /// Whether all of the source was copied, as it is at first, from another source, and when
    /// changes that came since are not kept any more.
    pub full: bool,
    /// Commits of the source that were followed; 0 where all of it was copied.
    pub changes: u64,
    /// Base chunks of the source that were read and decoded.
    pub chunks_read: u64,
    /// Base cells that were put, those without data included.
    pub cells: u64,
    /// Base chunks written or deleted.
    pub chunks: u64,
    /// Aggregate chunks written or deleted, unless the store's policy leaves that for later.
    pub aggregates: u64,
    /// Marks left for aggregation.
    pub marks: u64,
}

/// Up to where a source was copied into a grid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CopiedRecord {
    /// Unique to the write of this record.
    claim: u64,
    /// The grid has all that its source had here; `None` while a whole copy is under way.
    upto: Option<Token>,
}

/// The same of a grid that holds an excerpt of its source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ExcerptCopiedRecord {
    claim: u64,
    upto: Option<Token>,
    excerpt: ExcerptRecord,
}

/// The record beside a grid as it was found, or written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct CopiedState {
    bytes: Option<Vec<u8>>,
    upto: Option<Token>,
    /// What of the source it was.
    excerpt: Option<ExcerptRecord>,
}

impl CopiedState {
    fn read(target: &Grid, snapshot: &dyn Snapshot) -> Result<Self> {
        let mut found = Self::default();
        snapshot.get_many(
            Space::Meta,
            &[meta::copied(target.id())],
            &mut |_, bytes| {
                found.bytes = bytes.map(<[u8]>::to_vec);
                Ok(())
            },
        )?;
        if let Some(bytes) = &found.bytes {
            (found.upto, found.excerpt) = Self::decode(bytes).map_err(|e| target.blame(e))?;
        }
        Ok(found)
    }

    fn decode(bytes: &[u8]) -> Result<(Option<Token>, Option<ExcerptRecord>)> {
        let all = match decode_record::<CopiedRecord>(RecordKind::Copied, bytes) {
            Ok(record) => return Ok((record.upto, Some(ExcerptRecord::of_all()))),
            Err(error) => error,
        };
        decode_record::<ExcerptCopiedRecord>(RecordKind::CopiedExcerpt, bytes)
            .map(|record| (record.upto, Some(record.excerpt)))
            .map_err(|_| all)
    }

    fn encode(claim: u64, upto: Option<&Token>, excerpt: &ExcerptRecord) -> Result<Vec<u8>> {
        let upto = upto.cloned();
        if *excerpt == ExcerptRecord::of_all() {
            return encode_record(RecordKind::Copied, &CopiedRecord { claim, upto });
        }
        let excerpt = excerpt.clone();
        encode_record(
            RecordKind::CopiedExcerpt,
            &ExcerptCopiedRecord {
                claim,
                upto,
                excerpt,
            },
        )
    }

    /// Puts another record in place of this one, with all that `more` adds, unless somebody else
    /// did.
    fn replace(
        &self,
        target: &Grid,
        (upto, excerpt): (Option<&Token>, &ExcerptRecord),
        more: impl Fn(ChunkReader<'_>, &mut kv::Batch, &BatchNumber) -> Result<()>,
    ) -> Result<Self> {
        let number = target.store().reserve_sequence();
        let record = Self::encode(number.get(), upto, excerpt)?;
        loop {
            let snapshot = target.present()?;
            if Self::read(target, snapshot.as_ref())?.bytes != self.bytes {
                return Err(overtaken(target));
            }
            let mut batch = kv::Batch::at(snapshot.as_ref());
            target.expect_schema(snapshot.as_ref(), &mut batch)?;
            batch.expect_key(Space::Meta, meta::copied(target.id()));
            more(target.chunk_reader(snapshot.as_ref()), &mut batch, &number)?;
            batch.put(Space::Meta, meta::copied(target.id()), record.clone());
            Store::stamp(&mut batch, &number);
            match target.store().commit(batch, Durability::Sync) {
                Err(error) if *error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
                Ok(_) => {
                    return Ok(Self {
                        bytes: Some(record),
                        upto: upto.cloned(),
                        excerpt: Some(excerpt.clone()),
                    });
                }
            }
        }
    }
}

fn overtaken(target: &Grid) -> Error {
    target.blame(Error::new(
        ErrorKind::Conflict,
        "another update of it began meanwhile, and does what this one has left to do",
    ))
}

/// What is wrong with the record of what was copied into a grid, if anything.
pub(crate) fn wrong_record(grid: &Grid, snapshot: &dyn Snapshot) -> Result<Option<String>> {
    match CopiedState::read(grid, snapshot) {
        Ok(_) => Ok(None),
        Err(error) if *error.kind() == ErrorKind::Corrupt => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}

/// Makes a grid equal to an excerpt of a source.
pub(crate) fn update(target: &Grid, source: &Grid, excerpt: &Excerpt) -> Result<Updated> {
    update_in_parts(target, (source, excerpt), PART_BYTES)
}

/// The same in parts of at most so many bytes of cells, or one chunk.
fn update_in_parts(
    target: &Grid,
    (source, excerpt): (&Grid, &Excerpt),
    part_bytes: usize,
) -> Result<Updated> {
    let _span =
        tracing::debug_span!("update", grid = target.name(), source = source.name()).entered();
    target.writable()?;
    source.live()?;
    target.check_layers()?;
    comparable::check(target, source, excerpt)?;
    loop {
        let found = CopiedState::read(target, target.present()?.as_ref())?;
        let news = SourceNews::of(source, found.upto.as_ref())?;
        // Behind the place up to which changes are followed, so that none between is missed.
        let snapshot = source.present()?;
        // What is copied must not be lost where it came from.
        source.store().sync()?;
        let source = source.chunk_reader(snapshot.as_ref());
        let update = Update::new(target, (source, excerpt), &found, (news, part_bytes))?;
        match update.run(found) {
            Err(UpdateFailed::Unclaimed) => {}
            Err(UpdateFailed::For(error)) => return Err(error),
            Ok(done) => return Ok(done),
        }
    }
}

/// Why an update did not come to its end.
enum UpdateFailed {
    /// Somebody else claimed the target first: nothing was done.
    Unclaimed,
    For(Error),
}

impl From<Error> for UpdateFailed {
    fn from(error: Error) -> Self {
        Self::For(error)
    }
}

/// An update before anything is written.
struct Update<'a> {
    target: &'a Grid,
    source: ChunkReader<'a>,
    excerpt: &'a Excerpt,
    record: ExcerptRecord,
    news: SourceNews,
    part_bytes: usize,
    /// What source and target hold: of the source, what is copied.
    from: State,
    to: State,
}

impl<'a> Update<'a> {
    fn new(
        target: &'a Grid,
        (source, excerpt): (ChunkReader<'a>, &'a Excerpt),
        found: &CopiedState,
        (mut news, part_bytes): (SourceNews, usize),
    ) -> Result<Self> {
        let (structure, there) = (source.grid.structure(), source.grid.state(source.snapshot)?);
        let to = target.state(target.present()?.as_ref())?;
        excerpt.check(source.grid, &there)?;
        let (record, from) = (
            excerpt.record(structure, &there),
            excerpt.of(structure, there),
        );
        comparable::check_levels(target, source.grid, [&from, &to])?;
        comparable::check_held(target, source.grid, (excerpt, &to))?;
        if let Some(held) = found.excerpt.as_ref().filter(|held| **held != record) {
            comparable::check_excerpts(target, (held, &record), &to)?;
            news.follow_all();
        }
        if from.base.is_some()
            && comparable::settled(target, &from) != comparable::settled(target, &to)
            && to.base.is_some()
        {
            news.follow_all();
        }
        Ok(Self {
            target,
            source,
            excerpt,
            record,
            news,
            part_bytes,
            from,
            to,
        })
    }

    /// Whether the target must be emptied: nothing of it stays, or its base data are at other
    /// levels.
    fn empties(&self) -> bool {
        self.to.base.is_some()
            && comparable::settled(self.target, &self.from)
                != comparable::settled(self.target, &self.to)
    }

    /// The box of all that is to count as put.
    fn bounds(&self) -> Option<Window> {
        let cells = self.to.base.or(self.from.base)?.cells();
        self.from
            .bounds
            .map(|bounds| self.target.structure().cover(&bounds, cells))
    }

    fn run(&self, found: CopiedState) -> Result<Updated, UpdateFailed> {
        let (target, news) = (self.target, &self.news);
        let mut done = Updated {
            to: news.to.clone(),
            full: news.boxes.is_none(),
            changes: news.changes,
            chunks_read: 0,
            cells: 0,
            chunks: 0,
            aggregates: 0,
            marks: 0,
        };
        let moved = self.bounds() != self.to.bounds;
        let idle = news.boxes.as_ref().is_some_and(Vec::is_empty) && !self.empties();
        if idle && !moved && found.upto.as_ref() == Some(&news.to) {
            return Ok(done);
        }
        let mut found = found;
        if !idle {
            let upto = found.upto.clone().filter(|_| !done.full);
            found = found
                .replace(target, (upto.as_ref(), &self.record), |_, _, _| Ok(()))
                .map_err(|error| match error.kind() {
                    ErrorKind::Conflict => UpdateFailed::Unclaimed,
                    _ => UpdateFailed::For(error),
                })?;
            self.copy(&found, &mut done)?;
        }
        let settle =
            |chunks: ChunkReader<'_>, batch: &mut kv::Batch, number: &BatchNumber| match self
                .from
                .bounds
            {
                Some(bounds) => settle_bounds(chunks, batch, number, &bounds),
                None => Ok(()),
            };
        found.replace(target, (Some(&news.to), &self.record), settle)?;
        if target.store().policy() == Policy::Inline {
            done.aggregates += unless_dropped(target.aggregate())?.chunks;
            done.marks = 0;
        }
        Ok(done)
    }

    /// Copies what changed, in parts.
    fn copy(&self, claim: &CopiedState, done: &mut Updated) -> Result<()> {
        if self.empties()
            && let Some(bounds) = self.to.bounds
        {
            let mut batch = self.batch(claim);
            batch.delete(self.target, &bounds)?;
            self.commit(batch, done)?;
        }
        let Some(places) = CopyFrame::new(self) else {
            return Ok(());
        };
        let boxes: Vec<Window> = match &self.news.boxes {
            None => vec![places.bounds],
            Some(boxes) => boxes
                .iter()
                .filter_map(|window| places.clip(window))
                .collect(),
        };
        let cut = Cut::new(&places);
        for (part, boxes) in cut.parts(&places, &boxes)? {
            match (
                self.excerpt.of_layer(),
                self.target.structure().irregular_axis(),
            ) {
                (Some(of), _) => of_layer::copy(&places, claim, (of, &boxes), done)?,
                (None, Some(irregular)) => events::copy(&places, claim, irregular, &boxes, done)?,
                (None, None) => chunk_mapping::copy(&places, claim, (&part, &boxes), done)?,
            }
        }
        Ok(())
    }

    /// A batch that is committed only as long as the claim stands. The update's last commit puts it
    /// on the medium.
    fn batch<'b>(&self, claim: &CopiedState) -> Batch<'b> {
        let mut batch = self.target.store().batch().durability(Durability::Buffered);
        batch.only_while(
            meta::copied(self.target.id()),
            claim.bytes.clone().unwrap_or_default(),
        );
        batch
    }

    fn commit(&self, batch: Batch<'_>, done: &mut Updated) -> Result<()> {
        let commit = batch.commit().map_err(|error| match error.kind() {
            ErrorKind::Conflict => overtaken(self.target),
            _ => error,
        })?;
        done.chunks += commit.chunks;
        done.aggregates += commit.aggregates;
        done.marks += commit.marks;
        Ok(())
    }
}

/// Where the cells of both grids are.
struct CopyFrame<'a> {
    update: &'a Update<'a>,
    /// The cells in which places are compared: the finest that base data has in either grid.
    finest: Levels,
    /// The coarsest.
    coarsest: Levels,
    /// The box of all that was put into either, at the finest levels.
    bounds: Window,
}

impl<'a> CopyFrame<'a> {
    /// `None` if the source holds nothing.
    fn new(update: &'a Update<'a>) -> Option<Self> {
        let structure = update.target.structure();
        let (base, bounds) = (update.from.base?, update.from.bounds?);
        let other = update
            .to
            .base
            .zip(update.to.bounds)
            .filter(|_| !update.empties());
        let fine = |a: Levels, b: Levels| {
            a.iter()
                .zip(b.iter())
                .map(|(a, b)| *a.min(b))
                .collect::<Levels>()
        };
        let finest = other.map_or(base.cells(), |(other, _)| fine(base.cells(), other.cells()));
        let top = other.map_or(base.coarsest(), |(other, _)| {
            base.coarsest().coarser_of(&other.coarsest())
        });
        let within = structure.cover(&bounds, finest);
        let bounds = other.map_or(within, |(_, other)| {
            structure.union(&within, &structure.cover(&other, finest))
        });
        Some(Self {
            update,
            finest,
            coarsest: structure.cell_levels(top),
            bounds,
        })
    }

    fn target(&self) -> &'a Grid {
        self.update.target
    }

    fn source(&self) -> ChunkReader<'a> {
        self.update.source
    }

    /// The part of a window of the source in which there is anything, at the finest levels. Of
    /// events it is whole columns of the source's chunks: one that comes or goes does so in all of
    /// them.
    fn clip(&self, window: &Window) -> Option<Window> {
        let structure = self.source().grid.structure();
        let within = structure.intersection(&structure.cover(window, self.finest), &self.bounds)?;
        match structure.irregular_axis() {
            None => Some(within),
            Some(irregular) => structure.intersection(
                &events::widened(structure, irregular.axis, &within),
                &self.bounds,
            ),
        }
    }

    /// The box of what is copied, at the finest levels.
    fn held(&self) -> Option<Window> {
        let bounds = self.update.from.bounds?;
        Some(self.target().structure().cover(&bounds, self.finest))
    }

    /// So many cells without data.
    fn blank(&self, cells: usize) -> (Cells, Option<Vec<u8>>) {
        let schema = self.target().schema();
        (
            Cells::filled(schema.dtype(), cells, base_fill(schema)),
            schema.needs_mask().then(|| vec![0; cells]),
        )
    }
}

impl Grid {
    /// Makes this grid equal to another that has the same cells in chunks of another shape, in this
    /// store or another one, durably: one layout that is read fast as maps beside one that is read
    /// fast as series.
    ///
    /// The first time all of the source is copied; from then on what changed, by its
    /// [feed](Self::changes_since), and nothing where nothing did. Each cell then reads as it does
    /// in the source, value and nodata, at each level of base data, and what the source does not
    /// hold is gone here. Where a chunk of this grid takes in source data of several levels, the
    /// coarser cells are repeated at the finest of these; otherwise data stands at the source's own
    /// levels. An event of an irregular dimension is one in all of a chunk's place, so in larger
    /// chunks it is one in more cells, which hold no data then.
    ///
    /// Structure, cell type and nodata value must be the same but for chunk shapes, an irregular
    /// dimension's capacity and spacing, and depths; aggregators and codec are this grid's own. Its
    /// aggregates follow as after a [`put`](Self::put): in the same commits, in the background, or
    /// by [`aggregate`](Self::aggregate), as the store's policy has it.
    ///
    /// The work is done in parts of at most 64 MiB of cells, or one chunk, each a commit; a read of
    /// this grid meanwhile finds some of them done. The source is read as one moment left it, and
    /// may be written to meanwhile: what is under way then, and what comes after, is left to the
    /// next update. After an error or a crash the next update goes on. What others put into this
    /// grid stays until the source changes in the same place.
    ///
    /// ```
    /// # use gridstone::{Axis, DType, Dimension, Query, Schema, Store, Structure, Window};
    /// # use ndarray::Array3;
    /// # fn main() -> gridstone::Result<()> {
    /// # let hours = Dimension::regular("time", [Axis::new("time", 0.0, 1.0, 2).unit("hours since 2020-01-01")]);
    /// # let space = Dimension::regular("space", [Axis::new("y", 0.0, -1.0, 64), Axis::new("x", 0.0, 1.0, 64)]);
    /// # let schema = Schema::builder(Structure::builder().dimension(hours).dimension(space).build()?, DType::F32).build()?;
    /// # let store = Store::in_memory()?;
    /// let maps = store.create("rain", schema)?; // chunks of 2 steps x 64 rows x 64 columns
    /// let series = store.create("rain_series", maps.schema().rechunked([64, 2, 2])?)?;
    /// maps.put(&Window::new([0, 0, 0], [8, 64, 64]), &Array3::<f32>::ones((8, 64, 64)))?;
    /// assert!(series.update_from(&maps)?.full);
    /// maps.put(&Window::new([8, 0, 0], [1, 64, 64]), &Array3::<f32>::zeros((1, 64, 64)))?;
    /// let updated = series.update_from(&maps)?;
    /// assert_eq!((updated.full, updated.changes, updated.cells), (false, 1, 64 * 64));
    /// assert_eq!(series.read(&Query::all())?.array, maps.read(&Query::all())?.array);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) if the two do not have the same cells, the error says
    /// where they differ: base data at a level above the logarithm of a chunk's length is among it,
    /// where that length is another. [`Conflict`](crate::ErrorKind::Conflict) if another update of
    /// this grid began meanwhile, which then does the rest.
    pub fn update_from(&self, source: &Grid) -> Result<Updated> {
        update(self, source, &Excerpt::all())
    }

    /// Makes this grid equal to an [excerpt](Excerpt) of another, durably: a part of it in space or
    /// time, or the cells of one of its layers at coarser levels. It is otherwise
    /// [`update_from`](Self::update_from): followed by the source's feed, in parts, and gone on
    /// with after a crash. A commit that changes nothing in the part costs nothing but its entry in
    /// the feed.
    ///
    /// What the grid then holds is what this call says: with another part than the time before, all
    /// of it is copied, and what lies beside it is gone.
    ///
    /// # Errors
    ///
    /// Those of [`update_from`](Self::update_from), where the cell type and nodata value of this
    /// grid must be those of [`Excerpt::schema`]; [`NotFound`](crate::ErrorKind::NotFound) if the
    /// source has no such layer; [`Invalid`](crate::ErrorKind::Invalid) if the levels are finer
    /// than the source's data or above its top, or this grid holds cells of another layer or of
    /// other levels, and for a layer of a grid of events.
    pub fn update_from_excerpt(&self, source: &Grid, excerpt: &Excerpt) -> Result<Updated> {
        update(self, source, excerpt)
    }
}

#[cfg(test)]
mod tests;
