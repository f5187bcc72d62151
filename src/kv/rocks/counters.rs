//! What the database counts, and what its files take.

use std::time::Duration;

use rocksdb::statistics::Ticker;

use super::super::{Counters, Space};
use super::RocksStore;

impl RocksStore {
    pub(super) fn counters(&self) -> Counters {
        let count = |ticker| Some(self.options.get_ticker_count(ticker));
        let number = |name: &str| -> u64 {
            let of = |space: &Space| {
                self.db
                    .property_int_value_cf(self.family(*space).ok()?, name)
                    .ok()
                    .flatten()
            };
            Space::ALL.iter().filter_map(of).sum()
        };
        let logs = self.admission.logs();
        let tables = self.db.live_files().map_or(0, |files| files.len() as u64);
        Counters {
            cache_hits: count(Ticker::BlockCacheHit),
            cache_misses: count(Ticker::BlockCacheMiss),
            age: self.admission.is_of_moment.then(|| self.opened.elapsed()),
            file_bytes: Some(
                number("rocksdb.total-sst-files-size") + number("rocksdb.total-blob-file-size"),
            ),
            files: Some(tables + number("rocksdb.num-blob-files") + logs.len() as u64),
            log_bytes: Some(logs.iter().sum()),
            buffered_bytes: Some(number("rocksdb.cur-size-all-mem-tables")),
            stalled: count(Ticker::StallMicros).map(Duration::from_micros),
            syncs: Some(self.syncs.so_far()),
        }
    }
}
