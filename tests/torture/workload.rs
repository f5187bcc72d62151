//! Writers at work on a store, and their diary: what was begun and what was acknowledged, in order.

use std::sync::atomic::{AtomicBool, Ordering};

use gridstone::kv::Durability;
use gridstone::{ErrorKind, Policy, Result, Store, Window};
use ndarray::arr1;

use crate::dice::Dice;
use crate::model::{Act, SHARED, WRITERS, own, own_schema, shared_schema};

/// A line of the diary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    pub writer: u32,
    pub act: i64,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Begun,
    Acknowledged,
    /// And it is on the medium, with all before it.
    Synced,
}

impl Note {
    pub const BYTES: usize = 10;

    pub fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0] = u8::try_from(self.writer).unwrap();
        bytes[1] = self.kind as u8;
        bytes[2..].copy_from_slice(&self.act.to_le_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Self {
        let kind = [Kind::Begun, Kind::Acknowledged, Kind::Synced][usize::from(bytes[1])];
        Self {
            writer: u32::from(bytes[0]),
            act: i64::from_le_bytes(bytes[2..].try_into().unwrap()),
            kind,
        }
    }
}

/// Makes the grids that are not there.
pub fn prepare(store: &Store) -> Result<()> {
    for (name, schema) in (0..WRITERS)
        .map(|writer| (own(writer), own_schema()))
        .chain([(SHARED.to_owned(), shared_schema())])
    {
        match store.create(&name, schema) {
            Err(error) if *error.kind() == ErrorKind::AlreadyExists => {}
            made => drop(made?),
        }
    }
    Ok(())
}

pub fn policy(seed: u64) -> Policy {
    Dice::of(seed, 1).pick(&[Policy::Inline, Policy::Background, Policy::Manual])
}

/// How far each writer got, by the cells of the shared grid.
pub fn acts(store: &Store) -> Result<Vec<i64>> {
    let grid = match store.grid(SHARED) {
        Err(error) if *error.kind() == ErrorKind::NotFound => return Ok(vec![0; WRITERS as usize]),
        grid => grid?,
    };
    let window = Window::new([0], [u64::from(WRITERS)]);
    match grid.read(&gridstone::Query::window(window)) {
        Err(error) if *error.kind() == ErrorKind::NotFound => Ok(vec![0; WRITERS as usize]),
        answer => {
            let cells = answer?.array.to_cells();
            let number = |cell: usize| match cells.number(cell).whole() {
                Some(number) if number > 0 => i64::try_from(number).unwrap_or(i64::MAX),
                _ => 0,
            };
            Ok((0..cells.len()).map(number).collect())
        }
    }
}

/// Does a writer's act.
pub fn act(store: &Store, seed: u64, writer: u32, number: i64) -> Result<bool> {
    let act = Act::of(seed, writer, number);
    let count = arr1(&[number]);
    let durability = if act.synced {
        Durability::Sync
    } else {
        Durability::Buffered
    };
    let (own, shared) = (store.grid(&own(writer))?, store.grid(SHARED)?);
    let mut batch = store.batch().durability(durability);
    batch.replace(&own, &act.window(), &act.cells)?;
    batch.replace(&shared, &Window::new([i64::from(writer)], [1]), &count)?;
    batch.commit()?;
    Ok(act.synced)
}

/// What is done between acts, now and then.
fn between(store: &Store, dice: &mut Dice) -> Result<()> {
    match dice.below(24) {
        0 => store.flush(),
        1 => store.clean().map(drop),
        2 | 3 => store.grid(&own(0))?.aggregate_step().map(drop),
        4 => store.grid(&own(1))?.aggregate().map(drop),
        5 => store.grid(SHARED)?.aggregate().map(drop),
        _ => Ok(()),
    }
}

/// Lets all writers act, from where the store stands, until each has done so many more or one
/// fails. The diary is kept by `note`.
pub fn run(store: &Store, seed: u64, more: i64, note: &(dyn Fn(Note) + Sync)) -> Result<()> {
    prepare(store)?;
    let from = acts(store)?;
    let failed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers = (0..WRITERS).zip(&from).map(|(writer, &from)| {
            let failed = &failed;
            scope.spawn(move || {
                let mut dice =
                    Dice::of(seed, u64::from(writer) << 50 | u64::try_from(from).unwrap());
                for number in from + 1..=from + more {
                    if failed.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    note(Note {
                        writer,
                        act: number,
                        kind: Kind::Begun,
                    });
                    let done = act(store, seed, writer, number).and_then(|synced| {
                        note(Note {
                            writer,
                            act: number,
                            kind: if synced {
                                Kind::Synced
                            } else {
                                Kind::Acknowledged
                            },
                        });
                        between(store, &mut dice)
                    });
                    if done.is_err() {
                        failed.store(true, Ordering::Relaxed);
                        return done;
                    }
                }
                Ok(())
            })
        });
        let writers: Vec<_> = writers.collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .fold(Ok(()), Result::and)
    })
}
