//! Reading, of a snapshot of the writer and of a reader alike.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use slatedb::bytes::Bytes;
use slatedb::config::{ReadOptions, ScanOptions};
use slatedb::{DbReadOps, IterationOrder};
use tokio::task::JoinHandle;

use super::super::{KeyRange, Order, Page, Space};
use super::keys;
use super::room::Room;
use crate::error::Result;

/// So many values are asked for at a time.
const AT_ONCE: usize = 128;
const LONG_SCAN_ENTRIES: usize = 1024;
/// What a scan that is to go on asks for in one request, and in how many at a time.
const BULK_BYTES: usize = 4 << 20;
const BULK_REQUESTS: usize = 4;
const SHORT_BYTES: usize = 64 << 10;

/// What can be read at one moment.
pub(super) trait Moment: DbReadOps + Send + Sync + 'static {}

impl<T: DbReadOps + Send + Sync + 'static> Moment for T {}

type Visit<'a> = &'a mut dyn FnMut(usize, Option<&[u8]>) -> Result<()>;
type Fetched = Result<Option<Bytes>, slatedb::Error>;

/// Visits the values of keys in their order. Up to [`AT_ONCE`] are on their way at a time.
pub(super) fn get_many<M: Moment>(
    room: &Room,
    moment: &Arc<M>,
    space: Space,
    keys: &[Vec<u8>],
    visit: Visit<'_>,
) -> Result<()> {
    if let [key] = keys {
        let key = keys::value_key(space, key);
        let value = room.read(moment.get_with_options(key, &ReadOptions::default()))?;
        return visit(0, value.as_deref());
    }
    let mut under_way = VecDeque::new();
    let mut next = keys.iter();
    for position in 0..keys.len() {
        while under_way.len() < AT_ONCE {
            let Some(key) = next.next() else { break };
            let (moment, key) = (Arc::clone(moment), keys::value_key(space, key));
            let fetch = async move { moment.get_with_options(key, &ReadOptions::default()).await };
            under_way.push_back(begin(room, Box::pin(fetch)));
        }
        let fetched = match under_way.pop_front() {
            None => break,
            Some(Fetch::Done(fetched)) => room.told(fetched)?,
            Some(Fetch::Running(joined)) => room.read(joined)?,
        };
        visit(position, fetched.as_deref())?;
    }
    Ok(())
}

/// Begins to fetch a value. What is in memory is there at once, and costs no other thread's turn.
fn begin(
    room: &Room,
    mut fetch: Pin<Box<impl Future<Output = Fetched> + Send + 'static>>,
) -> Fetch {
    let _inside = room.handle().enter();
    match fetch.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(fetched) => Fetch::Done(fetched),
        Poll::Pending => Fetch::Running(Joined(room.handle().spawn(fetch))),
    }
}

/// A value that was asked for.
enum Fetch {
    Done(Fetched),
    Running(Joined),
}

/// A value that another thread fetches; it is not fetched any more if nobody waits for it.
struct Joined(JoinHandle<Fetched>);

impl Future for Joined {
    type Output = Fetched;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Fetched> {
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

/// At most `limit` entries of a range.
pub(super) fn scan<M: Moment>(
    room: &Room,
    moment: &M,
    space: Space,
    range: &KeyRange,
    order: Order,
    limit: usize,
) -> Result<Page> {
    let mut page = Page::default();
    if range.is_empty() {
        return Ok(page);
    }
    let long = limit > LONG_SCAN_ENTRIES || keys::is_large(space) && limit > 1;
    let bytes = match (long, limit) {
        (true, _) => BULK_BYTES,
        // The first block is enough.
        (false, 0..=2) => 1,
        (false, _) => SHORT_BYTES,
    };
    let options = ScanOptions::default()
        .with_order(match order {
            Order::Ascending => IterationOrder::Ascending,
            Order::Descending => IterationOrder::Descending,
        })
        .with_read_ahead_bytes(bytes)
        .with_max_fetch_tasks(if long { BULK_REQUESTS } else { 1 })
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
