//! Merging all tables into one run, which gives back the space of what was deleted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use slatedb::Db;
use slatedb::admin::AdminBuilder;
use slatedb::compactor::{CompactionSpec, CompactionStatus, SourceId};
use slatedb_common::clock::SystemClock;

use super::clock::StoreClock;
use super::place::ObjectPlace;
use super::room::Room;
use crate::error::{Error, Result};

/// A merge that is under way of itself may have taken some of the tables.
const ATTEMPTS: usize = 5;
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Longer than this nobody waits: the merge is noted in the store, and goes on by itself, in the
/// next process that writes if this one ends before.
const WAITED: Duration = Duration::from_secs(10);

/// Merges all tables, and waits a while until that is done. The old ones go when no reader needs
/// them.
pub(super) fn merge_all(
    room: &Room,
    db: &Db,
    place: &ObjectPlace,
    clock: &Arc<StoreClock>,
) -> Result<()> {
    for _ in 0..ATTEMPTS {
        match room.bulk(merge_once(db, place, clock))? {
            Some(CompactionStatus::Failed) => {}
            _ => return Ok(()),
        }
    }
    Err(Error::unavailable(format!(
        "the tables of the store at {} cannot be merged now, as others are being merged: try again",
        room.url
    )))
}

/// How a merge of all that is there now has ended; `None` if there was nothing to do, or it goes
/// on.
async fn merge_once(
    db: &Db,
    place: &ObjectPlace,
    clock: &Arc<StoreClock>,
) -> Result<Option<CompactionStatus>, slatedb::Error> {
    let admin = AdminBuilder::new(place.prefix.clone(), place.objects.clone())
        .with_system_clock(Arc::clone(clock) as Arc<dyn SystemClock>)
        .build();
    db.refresh_manifest().await?;
    let manifest = db.manifest();
    let young = manifest.l0().iter().map(|view| SourceId::SstView(view.id));
    let runs = manifest
        .compacted()
        .iter()
        .map(|run| SourceId::SortedRun(run.id));
    let sources: Vec<SourceId> = young.chain(runs).collect();
    // One run is merged already.
    if sources.is_empty() || manifest.l0().is_empty() && sources.len() == 1 {
        return Ok(None);
    }
    let oldest = manifest.compacted().iter().map(|run| run.id).min();
    let spec = CompactionSpec::new(sources, oldest.unwrap_or(0));
    let id = admin.submit_compaction(spec).await?.id();
    let start = Instant::now();
    while start.elapsed() < WAITED {
        // One that is known no more has ended.
        let status = admin
            .read_compaction(id, None)
            .await?
            .map_or(CompactionStatus::Completed, |merge| merge.status());
        if matches!(
            status,
            CompactionStatus::Completed | CompactionStatus::Failed
        ) {
            db.refresh_manifest().await?;
            return Ok(Some(status));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(None)
}
