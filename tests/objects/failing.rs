//! An object storage in memory that fails, is slow, loses answers, repeats what it was asked and
//! counts.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use gridstone::kv::{Slate, SlateOptions, SlateReader};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::dice::Dice;

/// How often, in percent, something is done to a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// It fails, and nothing happens.
    pub fails: u64,
    /// It happens, and fails to the one who asked.
    pub loses: u64,
    /// It happens twice, and the second answer is given.
    pub repeats: u64,
    /// It is held up, so that a later one comes first.
    pub holds: u64,
    /// How long each takes, and one that is held up five times more.
    pub takes: Duration,
}

#[derive(Debug)]
pub struct Failing {
    objects: InMemory,
    weather: Mutex<Weather>,
    dice: Mutex<Dice>,
    counts: Arc<Counts>,
}

/// What was asked for.
#[derive(Debug, Default)]
pub struct Counts {
    requests: AtomicU64,
    writes: AtomicU64,
    /// How often a request began while none was under way.
    rounds: AtomicU64,
    under_way: AtomicUsize,
}

impl Counts {
    fn begin(self: &Arc<Self>) -> UnderWay {
        self.requests.fetch_add(1, Ordering::SeqCst);
        if self.under_way.fetch_add(1, Ordering::SeqCst) == 0 {
            self.rounds.fetch_add(1, Ordering::SeqCst);
        }
        UnderWay(Arc::clone(self))
    }

    /// Requests and rounds so far.
    pub fn so_far(&self) -> (u64, u64) {
        (
            self.requests.load(Ordering::SeqCst),
            self.rounds.load(Ordering::SeqCst),
        )
    }

    /// Requests so far that change something.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }
}

struct UnderWay(Arc<Counts>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Done,
    Failed,
    Lost,
    Repeated,
}

fn error() -> Error {
    Error::Generic {
        store: "failing",
        source: "a failure was injected".into(),
    }
}

impl Failing {
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            objects: InMemory::new(),
            weather: Mutex::default(),
            dice: Mutex::new(Dice(seed)),
            counts: Arc::default(),
        })
    }

    pub fn set(&self, weather: Weather) {
        *self.weather.lock().unwrap() = weather;
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Opens the store in it for writing.
    pub fn open(self: &Arc<Self>, options: &SlateOptions) -> gridstone::Result<Slate> {
        Slate::open_in(Arc::clone(self) as _, "store", true, options)
    }

    /// Opens the store in it to read it.
    pub fn read(self: &Arc<Self>, options: &SlateOptions) -> gridstone::Result<SlateReader> {
        SlateReader::open_in(Arc::clone(self) as _, "store", options)
    }

    fn draw(&self) -> (Fate, Duration) {
        let weather = *self.weather.lock().unwrap();
        let mut dice = self.dice.lock().unwrap();
        let takes = match dice.chance(weather.holds) {
            true => weather.takes * 6,
            false => weather.takes,
        };
        let fate = if dice.chance(weather.fails) {
            Fate::Failed
        } else if dice.chance(weather.loses) {
            Fate::Lost
        } else if dice.chance(weather.repeats) {
            Fate::Repeated
        } else {
            Fate::Done
        };
        (fate, takes)
    }

    /// What becomes of a request, after the time that it takes.
    async fn meet(&self) -> Fate {
        let (fate, takes) = self.draw();
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        fate
    }

    /// Begins a request for which a lost answer is a failure, as it changes nothing.
    async fn begin(&self) -> Result<UnderWay> {
        let under_way = self.counts.begin();
        match self.meet().await {
            Fate::Failed | Fate::Lost => Err(error()),
            Fate::Done | Fate::Repeated => Ok(under_way),
        }
    }
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failing")
    }
}

#[async_trait]
impl ObjectStore for Failing {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let _under_way = self.counts.begin();
        self.counts.writes.fetch_add(1, Ordering::SeqCst);
        let fate = self.meet().await;
        if fate == Fate::Failed {
            return Err(error());
        }
        let first = self
            .objects
            .put_opts(location, payload.clone(), options.clone())
            .await;
        match fate {
            Fate::Lost => Err(error()),
            Fate::Repeated => self.objects.put_opts(location, payload, options).await,
            _ => first,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.counts.writes.fetch_add(1, Ordering::SeqCst);
        let _under_way = self.begin().await?;
        self.objects.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let _under_way = self.begin().await?;
        self.objects.get_opts(location, options).await
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[Range<u64>],
    ) -> Result<Vec<slatedb::bytes::Bytes>> {
        let _under_way = self.begin().await?;
        self.objects.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.counts.writes.fetch_add(1, Ordering::SeqCst);
        self.objects.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let under_way = self.counts.begin();
        let (fate, takes) = self.draw();
        let listed = self.objects.list(prefix);
        let begin = async move {
            let _under_way = under_way;
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            match fate {
                Fate::Failed | Fate::Lost => stream::once(async { Err(error()) }).boxed(),
                _ => listed,
            }
        };
        stream::once(begin).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let _under_way = self.begin().await?;
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}
