//! Reading, of a snapshot of the writer and of a reader alike.
//!
//! Requests are what it costs. What many keys need is asked for at once: first the filters and
//! indices of the tables in which they may be, then the blocks.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use slatedb::bytes::Bytes;
use slatedb::config::{ReadOptions, ScanOptions};
use slatedb::{DbCacheManagerOps, DbReadOps, DbStatus, IterationOrder};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::super::{KeyRange, Order, Page, Space};
use super::cache::Caches;
use super::keys;
use super::room::Room;
use super::values::RangeAsked;
use crate::error::Result;

/// So many values are asked for at a time.
const AT_ONCE: usize = 128;
const LONG_SCAN_ENTRIES: usize = 1024;
/// What a scan that is to go on asks for in one request, and in how many at a time.
const BULK_BYTES: usize = 4 << 20;
const BULK_REQUESTS: usize = 4;
const SHORT_BYTES: usize = 64 << 10;
/// The same where nothing is large.
const QUEUE: (usize, usize) = (1 << 20, 2);

/// What is read at one moment, and with what.
pub(super) struct Reading<'a, M, T> {
    pub(super) room: &'a Room,
    pub(super) held: &'a Caches,
    pub(super) moment: &'a Arc<M>,
    /// No other moment of the open store has the same, unless it shows the same.
    pub(super) number: u64,
    /// Whose tables they are, and which.
    pub(super) source: &'a Arc<T>,
    pub(super) status: &'a watch::Receiver<DbStatus>,
}

type Visit<'a> = &'a mut dyn FnMut(usize, Option<&[u8]>) -> Result<()>;
type FetchedValue = Result<Option<Bytes>, slatedb::Error>;

impl<M, T> Reading<'_, M, T>
where
    M: DbReadOps + Send + Sync + 'static,
    T: DbCacheManagerOps + Send + Sync + 'static,
{
    /// Visits the values of keys in their order. Up to [`AT_ONCE`] are on their way at a time.
    pub(super) fn get_many(&self, space: Space, keys: &[Vec<u8>], visit: Visit<'_>) -> Result<()> {
        let mut known: Vec<Option<Option<Bytes>>> = keys
            .iter()
            .map(|key| self.held.values.value(self.number, space, key))
            .collect();
        let unknown = || keys.iter().zip(&known).filter(|(_, value)| value.is_none());
        let wanted: Vec<Vec<u8>> = unknown()
            .map(|(key, _)| keys::value_key(space, key))
            .collect();
        self.warm(space, &wanted)?;
        let mut next = wanted.into_iter();
        let mut under_way = VecDeque::new();
        for (position, key) in keys.iter().enumerate() {
            if let Some(value) = known[position].take() {
                visit(position, value.as_deref())?;
                continue;
            }
            while under_way.len() < AT_ONCE {
                let Some(key) = next.next() else { break };
                let moment = Arc::clone(self.moment);
                let fetch =
                    async move { moment.get_with_options(key, &ReadOptions::default()).await };
                under_way.push_back(begin(self.room, Box::pin(fetch)));
            }
            let fetched = match under_way.pop_front() {
                None => break,
                Some(Fetch::Done(fetched)) => self.room.told(fetched)?,
                Some(Fetch::Running(joined)) => self.room.read(joined)?,
            };
            let held = &self.held.values;
            held.keep_value(self.number, space, key, fetched.as_deref());
            visit(position, fetched.as_deref())?;
        }
        Ok(())
    }

    /// Fetches what is needed of the tables in which keys of a space may be, as they are stored.
    /// Who looks into the directory wants the chunks next: for theirs nobody waits.
    fn warm(&self, space: Space, stored: &[Vec<u8>]) -> Result<()> {
        if stored.is_empty() {
            return Ok(());
        }
        let ask = |space| {
            let keys = stored
                .iter()
                .map(|key| keys::value_key(space, keys::bare(key)));
            let (tables, handle) = (&self.held.tables, self.room.handle());
            let manifest = &self.status.borrow().current_manifest;
            tables.begin(self.source, handle, manifest, keys)
        };
        let own = ask(space);
        if space == Space::Directory {
            ask(Space::Base);
            ask(Space::Aggregate);
        }
        match own {
            None => Ok(()),
            Some(fetch) => self.room.read(async {
                // Who looks into a table asks again, and is told what is wrong.
                let _ = fetch.await;
                Ok(())
            }),
        }
    }

    /// At most `limit` entries of a range.
    pub(super) fn scan(
        &self,
        space: Space,
        range: &KeyRange,
        order: Order,
        limit: usize,
    ) -> Result<Page> {
        let asked = RangeAsked {
            space,
            range,
            order,
            limit,
        };
        if let Some(page) = self.held.values.page(self.number, &asked) {
            return Ok(Page::clone(&page));
        }
        let page = scanned(self.room, &**self.moment, &asked)?;
        self.held.values.keep_page(self.number, &asked, &page);
        Ok(page)
    }
}

/// Begins to fetch a value. What is in memory is there at once, and costs no other thread's turn.
fn begin(
    room: &Room,
    mut fetch: Pin<Box<impl Future<Output = FetchedValue> + Send + 'static>>,
) -> Fetch {
    let _inside = room.handle().enter();
    match fetch.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(fetched) => Fetch::Done(fetched),
        Poll::Pending => Fetch::Running(Joined(room.handle().spawn(fetch))),
    }
}

/// A value that was asked for.
enum Fetch {
    Done(FetchedValue),
    Running(Joined),
}

/// A value that another thread fetches; it is not fetched any more if nobody waits for it.
struct Joined(JoinHandle<FetchedValue>);

impl Future for Joined {
    type Output = FetchedValue;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<FetchedValue> {
        Pin::new(&mut self.0).poll(context).map(|joined| {
            joined.unwrap_or_else(|error| {
                let text = format!("a request broke off: {error}");
                Err(slatedb::Error::internal(text))
            })
        })
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn scanned<M: DbReadOps>(room: &Room, moment: &M, asked: &RangeAsked<'_>) -> Result<Page> {
    let RangeAsked {
        space,
        range,
        order,
        limit,
    } = *asked;
    let mut page = Page::default();
    if range.is_empty() {
        return Ok(page);
    }
    let long = limit > LONG_SCAN_ENTRIES || keys::is_large(space) && limit > 1;
    let (bytes, requests) = match (long, limit) {
        (true, _) => (BULK_BYTES, BULK_REQUESTS),
        // Before the first entry of a queue that is there many may be that were deleted.
        (false, _) if matches!(space, Space::Dirty | Space::Feed) => QUEUE,
        // The first block is enough.
        (false, 0..=2) => (1, 1),
        (false, _) => (SHORT_BYTES, 1),
    };
    let options = ScanOptions::default()
        .with_order(match order {
            Order::Ascending => IterationOrder::Ascending,
            Order::Descending => IterationOrder::Descending,
        })
        .with_read_ahead_bytes(bytes)
        .with_max_fetch_tasks(requests)
        // A long scan must not push out what point reads keep in memory.
        .with_cache_blocks(!long);
    let range = keys::values(space, range);
    let mut cursor = room.read(moment.scan_with_options(range, &options))?;
    // One answer may take as long as it may, not the whole scan.
    while let Some(entry) = room.read(cursor.next())? {
        if page.entries.len() == limit {
            page.more = true;
            break;
        }
        page.entries
            .push((keys::bare(&entry.key).to_vec(), entry.value.to_vec()));
    }
    Ok(page)
}
