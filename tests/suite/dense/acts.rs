//! Commits: their acts on the store and on the models.

use gridstone::kv::Durability;
use gridstone::{Commit, ErrorKind, Grid, Overlap};

use super::design::Design;
use super::model::{Model, Refusal};
use super::play::{Stage, text};
use super::step::{Act, Area, Over, numbers};
use crate::check::Dice;

impl Stage<'_> {
    /// Acts in one commit: all of them, as if one came after the other, or none.
    pub(super) fn batch(
        &mut self,
        acts: &[(usize, Act)],
        synced: bool,
        single: bool,
    ) -> Result<(), String> {
        let done = self.commit(acts, synced, single);
        let fell = done.as_ref().is_err_and(|error| self.excuses(error));
        let taken = done.is_ok() || fell;
        let mut models: Vec<Model> = self
            .grids
            .iter()
            .map(|played| played.model.clone())
            .collect();
        let mut refusal = None;
        for (grid, act) in acts {
            let force = taken && (refusal == Some(Refusal::FinerPerhaps) || models[*grid].open);
            if let Err(why) = perform(&mut models[*grid], self.design(*grid), act, force) {
                refusal = Some(why);
                if why != Refusal::FinerPerhaps || !taken {
                    break;
                }
                let _ = perform(&mut models[*grid], self.design(*grid), act, true);
            }
        }
        let open = models.iter().any(|model| model.open);
        if fell {
            // It is there whole, or not at all.
            self.keep(true);
            self.fell = true;
            self.past
                .extend(matches!(refusal, None | Some(Refusal::FinerPerhaps)).then_some(models));
            return Ok(());
        }
        self.last = done.as_ref().map_or(self.last, |commit| commit.sequence);
        match (done, refusal) {
            (Ok(_), None | Some(Refusal::FinerPerhaps)) => {
                self.grids
                    .iter_mut()
                    .zip(models)
                    .for_each(|(played, model)| played.model = model);
                self.keep(synced);
                Ok(())
            }
            (Err(_), Some(_)) => Ok(()),
            (Err(error), None)
                if open && matches!(error.kind(), ErrorKind::AggregatedLevel { .. }) =>
            {
                Ok(())
            }
            (Ok(_), Some(why)) => Err(format!("a batch that must be refused was not: {why:?}")),
            (Err(error), None) => Err(format!("a batch was refused: {}", text(error))),
        }
    }

    fn commit(
        &self,
        acts: &[(usize, Act)],
        synced: bool,
        single: bool,
    ) -> gridstone::Result<Commit> {
        let mut arrays = Vec::new();
        for (grid, act) in acts {
            let design = self.design(*grid);
            arrays.push(match act {
                Act::Put {
                    area, holes, seed, ..
                }
                | Act::Events {
                    area, holes, seed, ..
                } => {
                    let sizes = area.sizes();
                    let nums = numbers(design, sizes.iter().product(), *holes, *seed);
                    Some(super::ground::array(design.schema.dtype(), &sizes, &nums))
                }
                _ => None,
            });
        }
        if let ([(grid, act)], [array], true) = (acts, arrays.as_slice(), single) {
            let grid = &self.grids[*grid].grid;
            match (act, array) {
                (
                    Act::Put {
                        area,
                        over: Over::Merge,
                        ..
                    },
                    Some(array),
                ) => {
                    return grid.put(&area.window(), array);
                }
                (
                    Act::Put {
                        area,
                        over: Over::Replace,
                        ..
                    },
                    Some(array),
                ) => {
                    return grid.replace(&area.window(), array);
                }
                (Act::Clear { area }, _) => return grid.clear(&area.window()),
                (Act::Delete { area }, _) => return grid.delete(&area.window()),
                _ => {}
            }
        }
        let mut batch = self.store.batch().durability(if synced {
            Durability::Sync
        } else {
            Durability::Buffered
        });
        for ((grid, act), array) in acts.iter().zip(&arrays) {
            let grid = &self.grids[*grid].grid;
            match (act, array) {
                (Act::Put { area, over, .. }, Some(array)) => {
                    batch.put_over(grid, &area.window(), array, Overlap::from(*over))?
                }
                (
                    Act::Events {
                        area, ticks, over, ..
                    },
                    Some(array),
                ) => {
                    batch.put_events(
                        grid,
                        ticks,
                        others(grid, area).as_slice(),
                        array,
                        Overlap::from(*over),
                    )?;
                }
                (Act::Clear { area }, _) => batch.clear(grid, &area.window())?,
                (Act::Delete { area } | Act::Put { area, .. } | Act::Events { area, .. }, _) => {
                    batch.delete(grid, &area.window())?
                }
            }
        }
        batch.commit()
    }

    pub(super) fn clear_polygon(&mut self, grid: usize, seed: u64) -> Result<(), String> {
        let Some(polygon) = self.design(grid).polygon(&mut Dice(seed)) else {
            return Ok(());
        };
        let played = &mut self.grids[grid];
        let Some(inside) = polygon.inside(&played.model) else {
            return Ok(());
        };
        self.last = played
            .grid
            .clear_polygon(&polygon.polygon)
            .map_err(text)?
            .sequence;
        inside
            .into_iter()
            .for_each(|place| played.model.ground.cells[place] = None);
        played.model.sweep();
        self.keep(true);
        Ok(())
    }
}

/// The first cell along the axes beside that of the ticks.
fn others(grid: &Grid, area: &Area) -> Vec<i64> {
    let structure = grid.structure();
    let irregular = structure.irregular();
    let starts = area.start.iter().enumerate();
    starts
        .filter(|(axis, _)| Some(structure.dimension_of(*axis)) != irregular)
        .map(|(_, start)| *start)
        .collect()
}

/// An act on a model.
fn perform(model: &mut Model, design: &Design, act: &Act, force: bool) -> Result<(), Refusal> {
    match act {
        Act::Put {
            area,
            over,
            holes,
            seed,
        } => {
            let nums = numbers(design, area.sizes().iter().product(), *holes, *seed);
            model.put(&area.window(), &nums, (Overlap::from(*over), force))
        }
        Act::Events {
            area,
            ticks,
            over,
            holes,
            seed,
        } => {
            let nums = numbers(design, area.sizes().iter().product(), *holes, *seed);
            model.put_events(&area.window(), ticks, &nums, Overlap::from(*over))
        }
        Act::Clear { area } | Act::Delete { area } => {
            model.clear(&area.window());
            Ok(())
        }
    }
}
