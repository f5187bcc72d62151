//! Opening for writing: taking over from whoever had the store open.
//!
//! A manifest has two epochs, of the writer and of what merges tables. Each is claimed on the
//! condition that it is the one that was seen: otherwise two processes that open a store at the
//! same time could each take one of the two from the other, and both would be fenced. Who finds
//! that another was faster begins anew, after a pause that differs, so that one of them wins.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use slatedb::admin::AdminBuilder;
use slatedb::config::{FlushOptions, FlushType};
use slatedb::db_cache::DbCache;
use slatedb::{
    CloseReason, CompactorBuilder, Db, Error, ErrorKind, SstBlockSize, VersionedCompactions,
};
use slatedb_common::clock::SystemClock;

use super::cache::Blocks;
use super::clock::StoreClock;
use super::place::ObjectPlace;
use super::{SlateOptions, fault};

/// Small entries are read by the block, and a request costs more than a few kilobytes.
const BLOCK_SIZE: SstBlockSize = SstBlockSize::Block16Kib;
const ATTEMPTS: u32 = 8;
/// The pause before the second attempt, at most; twice as long before each further one.
const PAUSE: Duration = Duration::from_millis(100);

/// Opens a store, and makes it if there is none. Gives the clock that it goes by too.
pub(super) async fn open(
    place: &ObjectPlace,
    options: &SlateOptions,
    blocks: &Arc<Blocks>,
) -> Result<(Db, Arc<StoreClock>), Error> {
    let mut attempt = 0;
    loop {
        let opened = claim(place, options, blocks).await;
        attempt += 1;
        match opened {
            Err(Lost { error, new }) if (new || is_contended(&error)) && attempt < ATTEMPTS => {
                tracing::debug!(%error, attempt, "another process opens the store too");
                tokio::time::sleep(pause(attempt)).await;
            }
            opened => return opened.map_err(|lost| lost.error),
        }
    }
}

/// An opening that came to nothing.
struct Lost {
    error: Error,
    /// There was no store yet, so that somebody else may have made it meanwhile.
    new: bool,
}

async fn claim(
    place: &ObjectPlace,
    options: &SlateOptions,
    blocks: &Arc<Blocks>,
) -> Result<(Db, Arc<StoreClock>), Lost> {
    let (prefix, objects) = (&place.prefix, &place.objects);
    let admin = AdminBuilder::new(prefix.clone(), Arc::clone(objects)).build();
    let (seen, jobs) = tokio::join!(admin.read_manifest(None), admin.read_compactions(None));
    let lost = |error| Lost { error, new: false };
    let (seen, jobs) = (seen.map_err(lost)?, jobs.map_err(lost)?);
    let new = seen.is_none();
    let clock = StoreClock::new(options.clock_ahead());
    let jobs = jobs
        .iter()
        .flat_map(VersionedCompactions::recent_compactions);
    jobs.for_each(|job| clock.reach_past(job.id().timestamp_ms()));
    let (writer, merger) = seen.map_or((0, 0), |manifest| {
        clock.reach_manifest(&manifest);
        (manifest.writer_epoch(), manifest.compactor_epoch())
    });
    let merging = CompactorBuilder::new(prefix.clone(), Arc::clone(objects))
        .with_options(options.merging())
        .with_system_clock(Arc::clone(&clock) as Arc<dyn SystemClock>)
        .with_expected_epoch(merger);
    let opened = Db::builder(prefix.clone(), Arc::clone(objects))
        .with_settings(options.settings(place.conditional))
        .with_sst_block_size(BLOCK_SIZE)
        .with_db_cache(Arc::clone(blocks) as Arc<dyn DbCache>, 0)
        .with_system_clock(Arc::clone(&clock) as Arc<dyn SystemClock>)
        .with_expected_epoch(writer)
        .with_compactor_builder(merging)
        .build()
        .await;
    let db = opened.map_err(|error| Lost { error, new })?;
    // What was only in the logs is in a table then, and the manifest tells how late it was.
    let flush = FlushOptions {
        flush_type: FlushType::MemTable,
    };
    let flushed = db.flush_with_options(flush).await;
    flushed.map_err(|error| Lost { error, new })?;
    clock.reach_manifest(&db.manifest());
    Ok((db, clock))
}

/// Whether another process may have come in between.
fn is_contended(error: &Error) -> bool {
    error.kind() == ErrorKind::Closed(CloseReason::Fenced) || fault::is_taken(error)
}

/// Of any length up to the longest.
fn pause(attempt: u32) -> Duration {
    let most = PAUSE * 2_u32.saturating_pow(attempt.min(6) - 1);
    let drawn = RandomState::new().hash_one(attempt) % 1024;
    most.mul_f64(f64::from(u32::try_from(drawn).unwrap_or(0)) / 1024.0)
}
