//! An object storage in memory that fails, is slow, loses answers, repeats what it was asked and
//! counts.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use gridstone::kv::{Slate, SlateOptions, SlateReader};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
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
pub struct Counts(Mutex<Vec<Request>>);

/// What is asked of an object storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    List,
    Put,
    Delete,
}

/// A request that has ended.
#[derive(Clone, Debug)]
pub struct Request {
    pub verb: Verb,
    pub path: String,
    /// What was read or written.
    pub bytes: u64,
    begun: Instant,
    ended: Instant,
}

impl Counts {
    fn begin(self: &Arc<Self>, verb: Verb, path: Option<&Path>) -> UnderWay {
        UnderWay {
            counts: Arc::clone(self),
            verb,
            path: path.map_or_else(String::new, Path::to_string),
            bytes: AtomicU64::new(0),
            begun: Instant::now(),
        }
    }

    /// How many have ended so far.
    pub fn so_far(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Those that have ended since then.
    pub fn since(&self, before: usize) -> Vec<Request> {
        self.0.lock().unwrap()[before..].to_vec()
    }

    /// Requests so far that change something.
    pub fn writes(&self) -> usize {
        let all = self.since(0);
        all.iter().filter(|request| request.verb.changes()).count()
    }
}

impl Verb {
    pub fn changes(self) -> bool {
        matches!(self, Verb::Put | Verb::Delete)
    }
}

/// The most requests of which each began when another had ended.
pub fn in_a_row(mut requests: Vec<Request>) -> usize {
    requests.sort_by_key(|request| request.ended);
    let (mut row, mut last) = (0, None);
    for request in requests {
        if last.is_none_or(|last| request.begun >= last) {
            (row, last) = (row + 1, Some(request.ended));
        }
    }
    row
}

struct UnderWay {
    counts: Arc<Counts>,
    verb: Verb,
    path: String,
    bytes: AtomicU64,
    begun: Instant,
}

impl UnderWay {
    fn moves(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.counts.0.lock().unwrap().push(Request {
            verb: self.verb,
            path: std::mem::take(&mut self.path),
            bytes: self.bytes.load(Ordering::Relaxed),
            begun: self.begun,
            ended: Instant::now(),
        });
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
    async fn begin(&self, verb: Verb, path: Option<&Path>) -> Result<UnderWay> {
        let under_way = self.counts.begin(verb, path);
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
        let under_way = self.counts.begin(Verb::Put, Some(location));
        under_way.moves(payload.content_length() as u64);
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
        let _under_way = self.begin(Verb::Put, Some(location)).await?;
        let upload = self.objects.put_multipart_opts(location, options).await?;
        let counts = Arc::clone(&self.counts);
        Ok(Box::new(Parts { upload, counts }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let under_way = self.begin(Verb::Get, Some(location)).await?;
        let is_head = options.head;
        let got = self.objects.get_opts(location, options).await?;
        if !is_head {
            under_way.moves(got.range.end - got.range.start);
        }
        Ok(got)
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[Range<u64>],
    ) -> Result<Vec<slatedb::bytes::Bytes>> {
        let under_way = self.begin(Verb::Get, Some(location)).await?;
        under_way.moves(ranges.iter().map(|range| range.end - range.start).sum());
        self.objects.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let counts = Arc::clone(&self.counts);
        let counted = locations.inspect(move |_| drop(counts.begin(Verb::Delete, None)));
        self.objects.delete_stream(counted.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let under_way = self.counts.begin(Verb::List, prefix);
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
        let _under_way = self.begin(Verb::List, prefix).await?;
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}

/// An object that is written part by part, each with a request of its own.
#[derive(Debug)]
struct Parts {
    upload: Box<dyn MultipartUpload>,
    counts: Arc<Counts>,
}

#[async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let under_way = self.counts.begin(Verb::Put, None);
        under_way.moves(data.content_length() as u64);
        let part = self.upload.put_part(data);
        Box::pin(async move {
            let _under_way = under_way;
            part.await
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let _under_way = self.counts.begin(Verb::Put, None);
        self.upload.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}
