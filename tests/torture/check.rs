//! Whether a store holds what the diary says that it must.

use gridstone::{Aggregation, ErrorKind, Freshness, Layer, Level, Levels, Query, Store, Window};

use crate::model::{Cells, SIDE, WRITERS, own};
use crate::workload::{Kind, Note, acts};

/// What is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The process: everything that was acknowledged is there.
    Process,
    /// The power: everything that was synced is there, and of the rest the beginning.
    Power,
}

/// How many acts of each writer must be there, and how many may.
pub fn bounds(diary: &[Note], loss: Loss) -> Vec<(i64, i64)> {
    let of = |writer: u32| {
        let notes = diary
            .iter()
            .enumerate()
            .filter(move |(_, note)| note.writer == writer);
        // A synced commit brings along all that returned before it began: those of its writer at
        // least.
        let kept = notes.clone().filter(|(_, note)| match loss {
            Loss::Process => note.kind != Kind::Begun,
            Loss::Power => note.kind == Kind::Synced,
        });
        let least = kept.map(|(_, note)| note.act).max().unwrap_or(0);
        (least, notes.map(|(_, note)| note.act).max().unwrap_or(0))
    };
    (0..WRITERS).map(of).collect()
}

/// Acts that are there although one that had returned before they began is not: commits are kept in
/// their order.
fn out_of_order(diary: &[Note], there: &[i64]) -> Option<(Note, Note)> {
    let is_there = |note: &Note| note.act <= there[note.writer as usize];
    let mut lost: Option<Note> = None;
    for note in diary {
        match note.kind {
            Kind::Begun if is_there(note) => {
                if let Some(lost) = lost {
                    return Some((lost, *note));
                }
            }
            Kind::Begun => {}
            _ if !is_there(note) => lost = lost.or(Some(*note)),
            _ => {}
        }
    }
    None
}

/// The whole of it: how far writers got, all cells, all levels as they are read fresh, then
/// aggregated and verified.
pub fn whole(store: &Store, seed: u64, diary: &[Note], loss: Loss) -> Result<Vec<i64>, String> {
    let there = acts(store).map_err(|error| format!("the acts cannot be read: {error}"))?;
    for (writer, ((least, most), there)) in bounds(diary, loss).into_iter().zip(&there).enumerate()
    {
        if !(least..=most).contains(there) {
            return Err(format!(
                "writer {writer} has {there} acts in the store, must have {least} and may have {most}"
            ));
        }
    }
    if let Some((lost, kept)) = out_of_order(diary, &there) {
        return Err(format!(
            "{kept:?} is there, {lost:?} is not and came before"
        ));
    }
    state(store, seed, &there)?;
    Ok(there)
}

/// The same of a store in which each writer is known to have done so many acts.
pub fn state(store: &Store, seed: u64, acts: &[i64]) -> Result<(), String> {
    for (writer, acts) in (0..WRITERS).zip(acts) {
        cells(
            store,
            writer,
            &Cells::after(seed, writer, *acts),
            Freshness::Fresh,
        )?;
    }
    sound(store)
}

/// Verified as it is, and whole once it is aggregated.
pub fn sound(store: &Store) -> Result<(), String> {
    let verified = |when: &str| {
        let report = store
            .verify()
            .map_err(|error| format!("{when} it cannot be verified: {error}"))?;
        if report.findings.is_empty() {
            Ok(report)
        } else {
            Err(format!("{when} verify finds {:?}", report.findings))
        }
    };
    verified("as it is")?;
    match store.aggregate() {
        // A view beside a writer.
        Err(error)
            if *error.kind() == ErrorKind::Invalid
                && store.stats().is_ok_and(|stats| stats.age.is_some()) =>
        {
            return Ok(());
        }
        aggregated => aggregated.map_err(|error| format!("it cannot be aggregated: {error}"))?,
    }
    match verified("aggregated")?.marks {
        0 => Ok(()),
        marks => Err(format!("{marks} marks are left")),
    }
}

/// A writer's cells and what is made of them.
pub fn cells(
    store: &Store,
    writer: u32,
    model: &Cells,
    freshness: Freshness,
) -> Result<(), String> {
    let grid = match store.grid(&own(writer)) {
        Err(error)
            if *error.kind() == ErrorKind::NotFound
                && model.base().iter().all(|cell| *cell == 0) =>
        {
            return Ok(());
        }
        grid => grid.map_err(|error| error.to_string())?,
    };
    let side = u64::try_from(SIDE).unwrap();
    let top = grid.top().map_err(|error| error.to_string())?;
    let top = top
        .and_then(|top| u32::try_from(top.levels()[0].get()).ok())
        .unwrap_or(0);
    for level in 0..=top.min(4) {
        let at = Levels::zero(1).with(0, Level::new(i8::try_from(level).unwrap()).unwrap());
        let cells = side.div_ceil(1 << level);
        let window = Window::new([0, 0], [cells, cells]).at(at);
        let read = |layer: Layer| {
            let query = Query::window(window)
                .levels(at)
                .layer(layer.clone())
                .freshness(freshness);
            match grid.read(&query) {
                Err(error) if *error.kind() == ErrorKind::NotFound => Ok(None),
                answer => answer
                    .map(Some)
                    .map_err(|error| format!("{} at level {level}: {error}", own(writer))),
            }
        };
        let compare =
            |layer: Layer, mut want: &mut dyn Iterator<Item = f64>| -> Result<(), String> {
                // A grid without data has no levels.
                let Some(answer) = read(layer.clone())? else {
                    return if Iterator::all(&mut want, |want| want == 0.0) {
                        Ok(())
                    } else {
                        Err(format!("{}: nothing at {level}", own(writer)))
                    };
                };
                assert_eq!(answer.array.iter_f64().count() as u64, cells * cells);
                for (at, (got, want)) in answer.array.iter_f64().zip(want).enumerate() {
                    if got.max(0.0) != want {
                        return Err(format!(
                            "{}: {layer:?} at level {level}, cell {at}: {got}, not {want}",
                            own(writer)
                        ));
                    }
                }
                Ok(())
            };
        if level == 0 {
            compare(
                Layer::Base,
                &mut model.base().iter().map(|cell| f64::from(*cell)),
            )?;
            continue;
        }
        let want = model.level(level);
        compare(
            Layer::Aggregate(Aggregation::Max),
            &mut want.iter().map(|(max, _)| f64::from(*max)),
        )?;
        compare(
            Layer::Aggregate(Aggregation::Count),
            &mut want.iter().map(|(_, count)| *count as f64),
        )?;
    }
    Ok(())
}
