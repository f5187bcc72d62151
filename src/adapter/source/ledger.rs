//! Imports that are noted in their grid, and go on where they were cut short.

use std::time::UNIX_EPOCH;

use super::import::Import;
use super::plan::Plan;
use super::{Block, Fingerprint};
use crate::codec::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::feed::{self, Token};
use crate::grid::Window;
use crate::kv::Snapshot;
use crate::ledger::{
    self, Begun, ImportStart, JobState, KnownSource, Last, Recorded, Sources, Stand,
};
use crate::store::Grid;
use crate::writer::Overlap;

/// The longest command that is kept.
const COMMAND_LEN_MAX: usize = 8 << 10;

/// A note in a grid of what is imported into it, written with the cells themselves, so that the
/// same import, done again, leaves alone what is there already.
///
/// A grid has the ledger of one import, the last one that was [written](super::Run::ledger) with
/// one. Of the sources of another import those are put that the whole of it would not find as it
/// leaves them:
///
/// * those that are not in the grid to their end, since the import was cut short or they failed. One
///   that was cut short in its middle goes on with the block after the last that is there;
/// * those that are not what they were by [`Source::fingerprint`](super::Source::fingerprint),
///   which is of the same name, or have none;
/// * of those behind such a one the cells in its box, and of those that stood before another and now
///   stand behind it the cells in both boxes: later ones lie over earlier ones;
/// * the cells in boxes where anybody else has put, cleared or deleted since, by the grid's change
///   feed;
/// * all of them where that cannot be told: something else than sources was asked for, another
///   version of gridstone wrote the ledger, the feed does not reach back to it, or it is damaged.
///
/// With [`Overlap::Keep`], which changes nothing that is there, it does not matter what lies over
/// what.
///
/// ```
/// use gridstone::adapter::source::{ArraySource, Import, Ledger, Run};
/// # use gridstone::{Axis, DType, Dimension, Schema, Store, Structure, Window};
/// # use ndarray::Array2;
/// # fn main() -> gridstone::Result<()> {
/// # let axes = [Axis::new("y", 0.0, -10.0, 64), Axis::new("x", 0.0, 10.0, 64)];
/// # let structure = Structure::builder().dimension(Dimension::regular("space", axes)).build()?;
/// # let grid = Store::in_memory()?.create("hills", Schema::builder(structure, DType::F64).build()?)?;
/// # let source = ArraySource::new(&grid, "a", Window::new([0, 0], [2, 2]), Array2::<f64>::zeros((2, 2)).into())?;
/// let mut imports = vec![Import::new(&grid, source)?];
/// let standing = Ledger::new("hills, as they are").look(&grid, &imports, 1)?;
/// Run::default().ledger(&standing).write(&mut imports, &|_| {})?;
/// // An array has no fingerprint, so it is put again by the next import.
/// assert_eq!(Ledger::new("hills, as they are").look(&grid, &imports, 1)?.left(), [0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Ledger {
    asked: String,
    command: Option<String>,
    failed: Vec<String>,
    again: bool,
}

impl Ledger {
    /// A ledger of imports of which all is equal that the cells depend on besides the sources, such
    /// as how they are resampled, as a text says.
    pub fn new(asked: impl Into<String>) -> Self {
        Self {
            asked: asked.into(),
            ..Self::default()
        }
    }

    /// Keeps the command that does what is left, for [`Grid::last_import`]. One of more than 8 KiB
    /// is not kept.
    pub fn command(self, command: impl Into<String>) -> Self {
        Self {
            command: Some(command.into()).filter(|command| command.len() <= COMMAND_LEN_MAX),
            ..self
        }
    }

    /// Notes sources that were left out before, by their names, since they cannot be imported.
    pub fn failed(self, names: Vec<String>) -> Self {
        Self {
            failed: names,
            ..self
        }
    }

    /// Puts all sources again, whatever is there.
    pub fn again(self) -> Self {
        Self {
            again: true,
            ..self
        }
    }

    /// Says what is left of an import into a grid. With several `threads` it is cut anew where the
    /// last one was in one job.
    ///
    /// Each source is asked for its fingerprint, and no cell is read.
    ///
    /// # Errors
    ///
    /// Those of reads of the grid's records, and [`Invalid`](ErrorKind::Invalid) for an import into
    /// another grid. A ledger that is damaged is no error: [`Standing::damage`] tells.
    pub fn look(&self, grid: &Grid, imports: &[Import], threads: usize) -> Result<Standing> {
        if let Some(other) = imports.iter().find(|import| !is_into(import, grid)) {
            return Err(grid.blame(Error::invalid(format!(
                "`{}` is to be imported into another grid; look at the ledger of that one",
                other.footprint().name
            ))));
        }
        // Before the snapshot, so that what the one does not show comes behind the other.
        let token = feed::token(grid)?;
        let snapshot = grid.present()?;
        let found = ledger::head(grid.id(), snapshot.as_ref())?;
        let asked = self.digest();
        // One that cannot be read now is met when it is checked or put.
        let prints: Vec<Option<Fingerprint>> = imports
            .iter()
            .map(|import| import.fingerprint().ok().flatten())
            .collect();
        let sources: Vec<KnownSource> = imports
            .iter()
            .zip(&prints)
            .map(|(import, print)| listed(import, print.as_ref()))
            .collect();
        let mut damage = None;
        let last = match last(grid, snapshot.as_ref()) {
            Err(error) if *error.kind() == ErrorKind::Corrupt => {
                damage = Some(error);
                None
            }
            last => last?,
        };
        let failures = last.as_ref().map_or(0, |(recorded, _)| recorded.failures());
        let refuses = imports
            .iter()
            .any(|import| import.overlap == Overlap::Refuse);
        let known = last
            .as_ref()
            .filter(|(recorded, _)| recorded.is_of(asked) && !self.again);
        let last = known.and_then(|(recorded, others)| {
            Some(Last {
                recorded,
                others: others.as_ref()?,
                may_continue: threads == 1 || recorded.jobs.len() > 1,
                refuses,
            })
        });
        let keeps = imports.iter().all(|import| import.overlap == Overlap::Keep);
        let stand = ledger::stand(grid.structure(), &sources, last.as_ref(), keeps);
        // Of one that is not complete, the sources that are none of these are given up.
        let is_whole = last.as_ref().is_some_and(|last| {
            let mut all = 0..last.recorded.sources.len();
            all.all(|source| last.recorded.is_finished(source))
        });
        let is_settled =
            stand.left.is_empty() && is_whole && failures == 0 && self.failed.is_empty();
        Ok(Standing {
            grid: grid.clone(),
            found,
            token,
            asked,
            prints,
            sources,
            is_known: is_whole,
            is_unknown: known.is_some() && last.is_none(),
            stand,
            is_settled,
            failed: self.failed.clone(),
            command: self.command.clone(),
            damage,
        })
    }

    fn digest(&self) -> u128 {
        let mut digest = Digest::default();
        digest.bytes(env!("CARGO_PKG_VERSION").as_bytes());
        digest.bytes(self.asked.as_bytes());
        digest.finish()
    }
}

/// The ledger of a grid, and the boxes that others have changed since, if that can be told.
fn last(grid: &Grid, snapshot: &dyn Snapshot) -> Result<Option<(Recorded, Option<Vec<Window>>)>> {
    let Some(recorded) = ledger::read(grid, snapshot)? else {
        return Ok(None);
    };
    let others = recorded.changed_by_others(grid, snapshot)?;
    Ok(Some((recorded, others)))
}

/// Whether a source is on its way into a grid.
fn is_into(import: &Import, grid: &Grid) -> bool {
    import.grid.id() == grid.id() && import.grid.store().is(grid.store())
}

/// What a source is called in the ledger.
fn name_of(import: &Import) -> u128 {
    let mut name = Digest::default();
    name.bytes(import.footprint().name.as_bytes());
    name.finish()
}

/// A source as the ledger knows it.
fn listed(import: &Import, print: Option<&Fingerprint>) -> KnownSource {
    let footprint = import.footprint();
    let structure = import.grid.structure();
    let levels = |window: &Window| window.levels(structure.dimensions().len());
    let first = footprint.windows.first();
    let is_one_level = footprint
        .windows
        .iter()
        .all(|window| first.is_some_and(|first| levels(first) == levels(window)));
    let print = print.map(|print| {
        let mut digest = Digest::default();
        digest.number(print.bytes);
        digest.print(print.digest);
        let modified = print
            .modified
            .map(|at| match at.duration_since(UNIX_EPOCH) {
                Ok(since) => (1, since.as_nanos()),
                Err(before) => (2, before.duration().as_nanos()),
            });
        let (kind, nanos) = modified.unwrap_or_default();
        digest.number(kind);
        digest.print(nanos);
        digest.bytes(format!("{:?}", (import.overlap, footprint.dtype)).as_bytes());
        footprint
            .windows
            .iter()
            .for_each(|window| add_window(&mut digest, &window.at(levels(window))));
        // Blocks are counted, so they must be the same ones.
        for Block { window, ticks, .. } in import.blocks() {
            add_window(&mut digest, &window.at(levels(&window)));
            digest.number(ticks.len() as u64);
            ticks
                .iter()
                .for_each(|tick| digest.number(tick.cast_unsigned()));
        }
        digest.finish()
    });
    KnownSource {
        name: name_of(import),
        print,
        window: footprint
            .windows
            .iter()
            .map(|window| window.at(levels(window)))
            .reduce(|a, b| structure.union(&a, &b))
            .filter(|_| is_one_level),
    }
}

fn add_window(digest: &mut Digest, window: &Window) {
    for level in window.levels(0).iter() {
        digest.number(i64::from(level.get()).cast_unsigned());
    }
    let numbers = window.start();
    numbers
        .iter()
        .for_each(|at| digest.number(at.cast_unsigned()));
    window.shape().iter().for_each(|len| digest.number(*len));
}

/// What is left of an import, by the [`Ledger`] of its grid.
#[derive(Debug)]
pub struct Standing {
    grid: Grid,
    /// The head record that was found.
    found: Option<Vec<u8>>,
    token: Token,
    asked: u128,
    prints: Vec<Option<Fingerprint>>,
    sources: Vec<KnownSource>,
    stand: Stand,
    is_known: bool,
    is_unknown: bool,
    is_settled: bool,
    failed: Vec<String>,
    command: Option<String>,
    damage: Option<Error>,
}

impl Standing {
    /// The numbers of the sources that are to be put, rising. All others are in the grid.
    pub fn left(&self) -> &[usize] {
        &self.stand.left
    }

    /// Those of them whose cells the last import has [checked](Import::check) if it checks all it
    /// puts.
    pub fn checked(&self) -> &[usize] {
        &self.stand.looked_at
    }

    /// Those of them that are not what they were when the last import of them began, where
    /// fingerprints tell.
    pub fn changed(&self) -> &[usize] {
        &self.stand.changed
    }

    /// Those of them that were in the grid to their end, and of which cells are put again because
    /// others have changed some in their boxes since.
    pub fn touched(&self) -> &[usize] {
        &self.stand.touched
    }

    /// Whether nobody can tell what became of the cells since, so that all is put again.
    pub fn is_unknown(&self) -> bool {
        self.is_unknown
    }

    /// Whether the jobs of the last import, which was the same, are gone on with: no other
    /// [`Plan`] is needed.
    pub fn continues(&self) -> bool {
        self.stand.continues
    }

    /// What is wrong with the ledger, if that is why all is put again.
    pub fn damage(&self) -> Option<&Error> {
        self.damage.as_ref()
    }

    /// The fingerprint that a source had at the look.
    pub(super) fn print(&self, source: usize) -> Option<&Fingerprint> {
        self.prints.get(source)?.as_ref()
    }

    /// The boxes to which a source in a job is limited; all of it if there are none.
    pub(super) fn parts(&self, job: u32, source: usize) -> Option<&[Window]> {
        let job = if self.continues() {
            usize::try_from(job).ok()?
        } else {
            0
        };
        self.stand.parts.get(&(job, source)).map(Vec::as_slice)
    }

    /// Puts the import into the ledger, with its jobs; nothing is written where nothing is left.
    pub(super) fn begin(
        &self,
        imports: &[Import],
        plan: Option<&Plan>,
    ) -> Result<(Option<Begun>, Vec<JobState>)> {
        let is_same = imports.len() == self.sources.len()
            && imports.iter().zip(&self.sources).all(|(import, source)| {
                is_into(import, &self.grid) && name_of(import) == source.name
            });
        if !is_same {
            return Err(Error::invalid(
                "the ledger was looked at for other sources; look at it for these",
            ));
        }
        if self.is_settled {
            return Ok((None, Vec::new()));
        }
        // What is known of sources that are none of these is not forgotten.
        if let Some(found) = self
            .found
            .as_ref()
            .filter(|_| self.is_known && self.left().is_empty())
        {
            ledger::note_failures(&self.grid, found, &self.failed)?;
            return Ok((None, Vec::new()));
        }
        // Where every source was left out, what is there is not given up.
        if self.sources.is_empty() && self.found.is_some() {
            return Ok((None, Vec::new()));
        }
        let jobs = match plan.filter(|_| !self.continues()) {
            None => self.stand.jobs.clone(),
            Some(plan) => self.planned(imports, plan)?,
        };
        let entry = ImportStart {
            asked: self.asked,
            token: &self.token,
            sources: &self.sources,
            jobs: &jobs,
            failed: &self.failed,
            command: self.command.as_deref(),
        };
        let begun = Begun::new(&self.grid, self.found.as_deref(), &entry)?;
        Ok((Some(begun), jobs))
    }

    /// The jobs of a plan, as far as there is something left in them.
    fn planned(&self, imports: &[Import], plan: &Plan) -> Result<Vec<JobState>> {
        let count = imports.len();
        let is_left = Sources::which(count, |number| self.left().binary_search(&number).is_ok());
        let mut jobs = Vec::new();
        let mut planned = Sources::which(count, |_| false);
        for job in &plan.jobs {
            let mut own = Sources::which(count, |_| false);
            for number in job.sources.iter().filter(|number| is_left.has(**number)) {
                own.add(*number);
                planned.add(*number);
            }
            let stage = u32::try_from(job.stage).unwrap_or(u32::MAX);
            let done = Sources::which(count, |number| !own.has(number));
            jobs.push(JobState::new(stage, Some(job.window), done));
        }
        let has_cells = |number: usize| !imports[number].footprint().windows.is_empty();
        match self
            .left()
            .iter()
            .find(|number| has_cells(**number) && !planned.has(**number))
        {
            None => Ok(jobs),
            Some(missing) => Err(Error::invalid(format!(
                "the plan does not have `{}`, which is to be put; make a plan of all that is left",
                imports[*missing].footprint().name
            ))),
        }
    }
}
