//! Plays a history on a store and on its model, and looks at both after each step.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gridstone::kv::{Engine, Faulty, Memory};
use gridstone::{ErrorKind, Grid, Policy, Store, StoreSnapshot};
use serde::{Deserialize, Serialize};

use super::design::Design;
use super::look::{Look, freshness, look, whole};
use super::model::{Leaf, Model};
use super::step::{Ending, Op, Source, Step};
use super::watch::{Watch, levels_of_look};
use super::{along, events, figures, resampled, stepwise};
use crate::check::{self, Dice};

/// A history: what it is played on, and its steps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct History {
    pub designs: Vec<Design>,
    /// Whether it is played on the durable engine.
    pub durable: bool,
    pub policy: u8,
    pub steps: Vec<Step>,
}

pub fn policy(number: u8) -> Policy {
    match number {
        0 => Policy::Inline,
        1 => Policy::Background,
        _ => Policy::Manual,
    }
}

/// Where a store lives.
pub(super) enum Host {
    Memory(Arc<Faulty<Memory>>),
    Disk(tempfile::TempDir),
}

impl Host {
    fn open(&self, policy: Policy) -> Result<Store, String> {
        let options = Store::options().policy(policy);
        let store = match self {
            Host::Memory(engine) => options.open_engine(Arc::clone(engine) as Arc<dyn Engine>),
            Host::Disk(directory) => options.open(directory.path()),
        };
        store.map_err(|e| format!("cannot be opened: {e} {:?}", std::error::Error::source(&e)))
    }
}

/// One grid of the store, and what is known of it.
pub(super) struct Played {
    pub(super) name: String,
    pub(super) grid: Grid,
    pub(super) model: Model,
    pub(super) watch: Watch,
}

pub(super) struct Stage<'a> {
    source: Source<'a>,
    pub(super) host: Host,
    pub(super) policy: Policy,
    pub(super) store: Store,
    pub(super) grids: Vec<Played>,
    /// What the grids held after each commit that power loss may take, and before the first of
    /// them.
    pub(super) past: Vec<Vec<Model>>,
    held: Option<(StoreSnapshot, Vec<(String, Model)>)>,
    /// How many names were given.
    names: usize,
    /// The number of the last commit of a batch.
    pub(super) last: u64,
    /// Whether a call of the engine is to fail, and whether something did because of it.
    pub(super) failing: bool,
    pub(super) fell: bool,
}

/// Plays a history; what is wrong, and after which step.
pub fn play(history: &History) -> Result<(), (usize, String)> {
    let mut stage = Stage::new(history).map_err(|e| (0, e))?;
    for (number, step) in history.steps.iter().enumerate() {
        stage
            .step(step)
            .and_then(|settled| stage.checked(step.seed, settled))
            .map_err(|e| (number, e))?;
    }
    let last = Step {
        op: Op::Settle,
        seed: 1,
    };
    let settled = stage
        .step(&last)
        .and_then(|settled| stage.checked(last.seed, settled));
    settled.map_err(|e| (history.steps.len(), e))
}

pub(super) fn text(error: gridstone::Error) -> String {
    format!("{error} {:?}", std::error::Error::source(&error))
}

impl<'a> Stage<'a> {
    fn new(history: &'a History) -> Result<Self, String> {
        let host = if history.durable {
            Host::Disk(tempfile::tempdir().map_err(|e| e.to_string())?)
        } else {
            Host::Memory(Arc::new(Faulty::new(Memory::new())))
        };
        let policy = policy(history.policy);
        let store = host.open(policy)?;
        let source = Source::new(&history.designs);
        let mut grids = Vec::new();
        for (number, design) in history.designs.iter().enumerate() {
            let name = format!("grid{number}");
            let grid = store.create(&name, design.schema.clone()).map_err(text)?;
            let watch = Watch::new(&grid, &source, number, 7 + number as u64)?;
            grids.push(Played {
                name,
                grid,
                model: design.model(),
                watch,
            });
        }
        let (past, held) = (Vec::new(), None);
        let mut stage = Self {
            source,
            host,
            policy,
            store,
            grids,
            past,
            held,
            names: 0,
            last: 0,
            failing: false,
            fell: false,
        };
        stage.keep(true);
        Ok(stage)
    }

    /// Notes what the grids hold after a commit.
    pub(super) fn keep(&mut self, synced: bool) {
        if synced {
            self.past.clear();
        }
        self.past.push(
            self.grids
                .iter()
                .map(|played| played.model.clone())
                .collect(),
        );
    }

    pub(super) fn design(&self, grid: usize) -> &'a Design {
        &self.source.designs[grid]
    }

    /// Does a step; whether all aggregates must be up to date behind it.
    fn step(&mut self, step: &Step) -> Result<bool, String> {
        match &step.op {
            Op::Fail { op, call, after } => self.fail(op, *call, *after).map(|()| false),
            Op::FailReads => self.fail_reads(step.seed).map(|()| false),
            op => self.done(op),
        }
    }

    pub(super) fn done(&mut self, op: &Op) -> Result<bool, String> {
        match op {
            Op::Batch { acts, synced } => self.batch(acts, *synced, false)?,
            Op::Single { grid, act } => self.batch(&[(*grid, act.clone())], true, true)?,
            Op::ClearPolygon { grid, seed } => self.clear_polygon(*grid, *seed)?,
            Op::Clean { grid } => {
                let done = self.grids[*grid].grid.clean();
                self.met(done)?;
                self.keep(true);
            }
            Op::Steps { grid, count } => {
                for _ in 0..*count {
                    let done = self.grids[*grid].grid.aggregate_step();
                    self.met(done)?;
                }
            }
            Op::Aggregate { grid } => {
                let done = self.grids[*grid].grid.aggregate();
                self.met(done)?;
            }
            Op::Settle => {
                self.store.aggregate().map_err(text)?;
                return Ok(true);
            }
            Op::Reopen {
                ending,
                policy: number,
            } => self.reopen(*ending, policy(*number))?,
            Op::Swap => self.swap()?,
            Op::Rename { grid } => {
                let name = format!("name{}", self.names);
                self.store
                    .rename_grid(&self.grids[*grid].name, &name)
                    .map_err(text)?;
                (self.grids[*grid].name, self.names) = (name, self.names + 1);
            }
            Op::Drop { grid } => self.drop_grid(*grid)?,
            Op::Follow => self.follow()?,
            Op::Hold => self.hold()?,
            Op::Fail { .. } | Op::FailReads => return Err("a failure within another".into()),
        }
        Ok(false)
    }

    pub(super) fn reopen(&mut self, ending: Ending, policy: Policy) -> Result<(), String> {
        self.look_at_held()?;
        self.held = None;
        if ending == Ending::Close {
            self.store.close().map_err(text)?;
        }
        let lossy = matches!(ending, Ending::Power(_)) && matches!(self.host, Host::Memory(_));
        // No handle may be left.
        self.store = Store::in_memory().map_err(text)?;
        let empty = self
            .store
            .create("empty", self.source.designs[0].schema.clone())
            .map_err(text)?;
        self.grids
            .iter_mut()
            .for_each(|played| played.grid = empty.clone());
        drop(empty);
        if let Host::Memory(engine) = &mut self.host {
            *engine = Arc::new(Faulty::new(match ending {
                Ending::Power(keep) => engine.engine().crash(keep),
                Ending::Kill | Ending::Close => engine.engine().reopen(),
            }));
        }
        self.policy = policy;
        self.store = self.host.open(policy)?;
        for played in &mut self.grids {
            played.grid = self
                .store
                .grid(&played.name)
                .map_err(|e| format!("grid {}: {e}", played.name))?;
        }
        if lossy {
            self.recall()?;
            for played in &mut self.grids {
                played.watch.refresh(&played.grid)?;
            }
        }
        Ok(())
    }

    /// Finds which commits are not there: the last ones.
    pub(super) fn recall(&mut self) -> Result<(), String> {
        let past = std::mem::take(&mut self.past);
        let mut wrong = String::new();
        // Moments of the same cells are told apart by their base chunks, where these are known.
        for (open, models) in [false, true]
            .into_iter()
            .flat_map(|open| past.iter().rev().map(move |models| (open, models)))
        {
            let whole = || {
                self.grids
                    .iter()
                    .zip(models)
                    .try_for_each(|(played, model)| {
                        let mut model = model.clone();
                        model.open |= open;
                        model.adopt(leaves(&played.grid, &model)?)?;
                        base(&played.grid, &model)
                    })
            };
            match whole() {
                Ok(()) => {
                    self.grids
                        .iter_mut()
                        .zip(models)
                        .for_each(|(played, model)| played.model = model.clone());
                    self.keep(true);
                    return Ok(());
                }
                Err(why) => wrong = why,
            }
        }
        Err(format!(
            "after a failure the store is of no moment that it was at: {wrong}"
        ))
    }

    fn swap(&mut self) -> Result<(), String> {
        if self.source.designs.len() < 2 {
            return Ok(());
        }
        self.store
            .swap(&self.grids[0].name, &self.grids[1].name)
            .map_err(text)?;
        let name = self.grids[0].name.clone();
        self.grids[0].name = std::mem::replace(&mut self.grids[1].name, name);
        Ok(())
    }

    fn drop_grid(&mut self, grid: usize) -> Result<(), String> {
        let design = self.design(grid);
        let played = &mut self.grids[grid];
        self.store.drop_grid(&played.name).map_err(text)?;
        if played.grid.read(&gridstone::Query::all()).is_ok() {
            return Err("a grid that was dropped is read".into());
        }
        played.grid = self
            .store
            .create(&played.name, design.schema.clone())
            .map_err(text)?;
        played.model = design.model();
        played.watch = Watch::new(&played.grid, &self.source, grid, 11)?;
        self.keep(true);
        Ok(())
    }

    /// The copy of the first grid, in other chunks, is made to follow it.
    pub(super) fn follow(&mut self) -> Result<(), String> {
        let designs = self.source.designs.len();
        self.make_copy()?;
        let cells = self.grids[0].model.ground.cells.clone();
        let source = self.grids[0].grid.clone();
        let done = self.grids[designs].grid.update_from(&source);
        match done {
            // Base data may be at levels at which chunks of another length have other cells.
            Err(error)
                if *error.kind() == ErrorKind::Invalid
                    && error.to_string().contains("have other cells") =>
            {
                return Ok(());
            }
            done => {
                if self.met(done)?.is_none() {
                    return Ok(());
                }
            }
        }
        if self.failing {
            // It is looked at when the store is opened again.
            return Ok(());
        }
        let copy = &mut self.grids[designs];
        copy.model.ground.cells = cells;
        copy.model.open = true;
        let found = leaves(&copy.grid, &copy.model)?;
        copy.model
            .adopt(found)
            .map_err(|e| format!("the copy: {e}"))?;
        base(&copy.grid, &copy.model).map_err(|e| format!("the copy: {e}"))?;
        // It is copied in parts, which are commits of their own.
        self.keep(true);
        Ok(())
    }

    /// Lets there be a grid for the copy.
    pub(super) fn make_copy(&mut self) -> Result<(), String> {
        if self.grids.len() == self.source.designs.len() {
            let schema = &self.design(0).schema;
            let structure = schema.structure();
            let chunk = structure.axes().enumerate().map(|(axis, a)| {
                let fixed = structure.dimensions()[structure.dimension_of(axis)].is_fixed();
                if fixed {
                    a.chunk()
                } else if a.chunk() == 2 {
                    8
                } else {
                    a.chunk() / 2
                }
            });
            let schema = schema.rechunked(chunk).map_err(text)?;
            let grid = self.store.create("copy", schema.clone()).map_err(text)?;
            let design = Design {
                schema,
                ..self.design(0).clone()
            };
            let watch = Watch::new(&grid, &self.source, 0, 13)?;
            self.grids.push(Played {
                name: "copy".into(),
                grid,
                model: design.model(),
                watch,
            });
            self.keep(true);
        }
        Ok(())
    }

    fn hold(&mut self) -> Result<(), String> {
        self.look_at_held()?;
        let models = self
            .grids
            .iter()
            .map(|played| (played.name.clone(), played.model.clone()))
            .collect();
        self.held = Some((self.store.snapshot().map_err(text)?, models));
        Ok(())
    }

    fn look_at_held(&self) -> Result<(), String> {
        let Some((snapshot, models)) = &self.held else {
            return Ok(());
        };
        for (number, (name, model)) in models.iter().enumerate() {
            let grid = snapshot.grid(name).map_err(text)?;
            base(&grid, model).map_err(|e| format!("a snapshot: {e}"))?;
            let design = self
                .source
                .designs
                .get(number)
                .unwrap_or(&self.source.designs[0]);
            self.looks(&grid, model, (design, number), (5, 4), false)
                .map_err(|e| format!("a snapshot: {e}"))?;
        }
        Ok(())
    }

    /// Looks at a grid here and there.
    fn looks(
        &self,
        grid: &Grid,
        model: &Model,
        (design, number): (&Design, usize),
        (seed, count): (u64, usize),
        live: bool,
    ) -> Result<(), String> {
        // Only where somebody aggregates unasked there is something to wait for. Commits that copy
        // are not known.
        let live = live && number < self.source.designs.len();
        let last = Some(self.last).filter(|_| live && self.policy == Policy::Background);
        let (mut dice, number) = (
            Dice(seed),
            if number < self.source.designs.len() {
                number
            } else {
                0
            },
        );
        if model.irregular().is_some() {
            return events::looks(grid, model, &self.source, (number, count, last), &mut dice);
        }
        let Some(finest) = grid
            .base_levels()
            .map_err(text)?
            .map(|levels| check::numbers(&levels))
        else {
            return Ok(());
        };
        for _ in 0..count {
            let layers: Vec<_> = std::iter::once(None)
                .chain(design.schema.aggregators().iter().cloned().map(Some))
                .collect();
            let layer = dice.pick(&layers);
            let most = dice.pick(&[2, 3, 5, 8]);
            let at = if layer.is_none() {
                finest.clone()
            } else {
                levels_of_look(design, &mut dice, most)
            };
            let window = self.source.area(&mut dice, number, at, (8, false)).window();
            let freshness = freshness(&mut dice, last);
            look(
                grid,
                model,
                &Look {
                    window,
                    layer,
                    freshness,
                },
            )?;
            if dice.chance(30) {
                resampled::look(grid, model, window, &mut dice)?;
            }
        }
        Ok(())
    }

    /// All that is checked after a step.
    fn checked(&mut self, seed: u64, settled: bool) -> Result<(), String> {
        let mut dice = Dice(seed);
        let quiet = self.policy != Policy::Background || dice.chance(30) && self.rest()?;
        for number in 0..self.grids.len() {
            let design = self
                .source
                .designs
                .get(number)
                .unwrap_or(&self.source.designs[0]);
            let played = &mut self.grids[number];
            let blame = |what: String| format!("grid {number}: {what}");
            let found = leaves(&played.grid, &played.model).map_err(blame)?;
            played.model.adopt(found).map_err(blame)?;
            if settled || dice.chance(15) {
                base(&played.grid, &played.model).map_err(blame)?;
            }
            if self.policy == Policy::Inline && played.grid.marks().map_err(text)? > 0 && settled {
                return Err(blame("marks are left".into()));
            }
            let played = &self.grids[number];
            let count = if settled { 16 } else { 4 };
            self.looks(
                &played.grid,
                &played.model,
                (design, number),
                (dice.next(), count),
                true,
            )
            .map_err(blame)?;
            let place = if number < self.source.designs.len() {
                number
            } else {
                0
            };
            for _ in 0..if settled {
                3
            } else {
                usize::from(dice.chance(20))
            } {
                let drawn = figures::draw(&self.source, place, &played.model, &mut dice);
                figures::figures(&played.grid, &played.model, &drawn, &mut dice).map_err(blame)?;
                if dice.chance(30) {
                    stepwise::figures_in_steps(
                        &played.grid,
                        &played.model,
                        (design, &drawn),
                        &mut dice,
                    )
                    .map_err(blame)?;
                }
                along::series(&played.grid, &played.model, &design.hot, &mut dice)
                    .map_err(blame)?;
            }
            let snapshot = self.store.snapshot().map_err(text)?;
            let played = &mut self.grids[number];
            played
                .watch
                .versions(&snapshot, &played.name)
                .map_err(blame)?;
            if quiet {
                played.watch.follow(&played.grid).map_err(blame)?;
            }
        }
        if settled || dice.chance(10) {
            let report = self.store.verify().map_err(text)?;
            if !report.findings.is_empty() {
                return Err(format!("verify finds {:?}", report.findings));
            }
        }
        Ok(())
    }

    /// Waits until the store's own threads are done.
    fn rest(&self) -> Result<bool, String> {
        let since = Instant::now();
        for played in &self.grids {
            while played.grid.marks().map_err(text)? > 0 {
                if since.elapsed() > Duration::from_secs(60) {
                    return Err(format!(
                        "marks are pending for a minute: {:?}",
                        played.grid.stats().map_err(text)?
                    ));
                }
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        // The last step may be under way to saying that nothing is left.
        self.store.aggregate().map_err(text).map(|()| true)
    }
}

/// The base chunks of a grid.
fn leaves(grid: &Grid, model: &Model) -> Result<BTreeSet<Leaf>, String> {
    let leaf = |chunk: gridstone::inspect::ChunkInfo| {
        let levels = check::numbers(&chunk.location.levels());
        let start = grid.structure().chunk_window(&chunk.location).start();
        let lines = model.space.lines.iter().zip(start.iter());
        Leaf {
            chunk: lines
                .map(|(line, &cell)| line.chunk_of(levels[line.dimension], cell))
                .collect(),
            levels,
        }
    };
    Ok(grid
        .base_chunks()
        .map_err(text)?
        .into_iter()
        .map(leaf)
        .collect())
}

/// Every base cell that is kept.
fn base(grid: &Grid, model: &Model) -> Result<(), String> {
    if model.irregular().is_some() {
        return events::base(grid, model);
    }
    let Some(levels) = grid.base_levels().map_err(text)? else {
        let left = model.ground.cells.iter().flatten().count();
        return if left == 0 {
            Ok(())
        } else {
            Err(format!(
                "it says that it is empty, and {left} cells were put"
            ))
        };
    };
    let at = check::numbers(&levels);
    for window in whole(model, &at) {
        look(
            grid,
            model,
            &Look {
                window,
                layer: None,
                freshness: gridstone::Freshness::Stored,
            },
        )?;
    }
    Ok(())
}
