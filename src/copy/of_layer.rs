//! The cells of a layer of the source as the base of the target.

use super::{CopiedState, CopyFrame, Updated};
use crate::error::{Error, Result};
use crate::grid::{Levels, Window};
use crate::kernel::Aggregation;
use crate::reader::{Answer, Freshness, Layer, Query, read_in};

/// Copies the cells of a layer that lie in some boxes of a part. What is not up to date in the
/// source is computed.
pub(super) fn copy(
    places: &CopyFrame<'_>,
    claim: &CopiedState,
    ((aggregation, levels), boxes): (&(Aggregation, Levels), &[Window]),
    done: &mut Updated,
) -> Result<()> {
    let (source, structure) = (places.source(), places.target().structure());
    let mut batch = places.update.batch(claim);
    let mut answers: Vec<(Window, Answer)> = Vec::new();
    for window in boxes {
        let within = places
            .held()
            .and_then(|held| structure.intersection(window, &held));
        if within != Some(*window) {
            batch.clear(places.target(), &window.at(*levels))?;
        }
        if let Some(within) = within {
            let query = Query::window(within.at(*levels))
                .layer(Layer::Aggregate(aggregation.clone()))
                .freshness(Freshness::Fresh);
            answers.push((within, read_in(source.grid, source.snapshot, &query)?));
        }
    }
    let masks: Vec<_> = answers
        .iter()
        .map(|(_, answer)| {
            let valid = answer
                .valid()
                .filter(|_| places.target().schema().needs_mask());
            valid.map(|valid| valid.mapv(u8::from))
        })
        .collect();
    for ((window, answer), mask) in answers.iter().zip(&masks) {
        if answer.window != *window {
            return Err(source.grid.blame(Error::corrupt(format!(
                "the cells {:?} were asked for, and {:?} came; report this fault",
                window, answer.window
            ))));
        }
        done.chunks_read += answer.chunks_read;
        done.cells += answer.array.shape().iter().product::<usize>() as u64;
        batch.lay(
            places.target(),
            (window, &[]),
            answer.array.view(),
            mask.as_ref().map(|mask| mask.view()),
        )?;
    }
    places.update.commit(batch, done)
}
