//! An object storage that is only read, and of which no news is told.
//!
//! SlateDB's reader looks for news by itself, for the first time as soon as it is open, and what it
//! shows is another state then. A moment must not move: the manifests, which are where news begin,
//! are shown to the opening alone. Whoever looks later is refused, says so in the log, and goes on
//! with what he has.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use slatedb::bytes::Bytes;

tokio::task_local! {
    /// Set in the task that opens a reader, and in no task that it starts.
    static OPENING: ();
}

/// Runs what opens a reader.
pub(super) async fn opening<T>(open: impl Future<Output = T>) -> T {
    OPENING.scope((), open).await
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Still {
    objects: Arc<dyn ObjectStore>,
    manifests: Path,
}

impl Still {
    /// The storage of a store below a prefix.
    pub(super) fn new(objects: Arc<dyn ObjectStore>, prefix: &Path) -> Self {
        Self {
            objects,
            manifests: prefix.clone().join("manifest"),
        }
    }

    /// Refuses what would be news to all but the opening.
    fn admit(&self, location: Option<&Path>) -> Result<()> {
        let is_news = location.is_none_or(|at| at.prefix_matches(&self.manifests));
        if is_news && OPENING.try_with(|()| ()).is_err() {
            return Err(refused("a reader shows one moment"));
        }
        Ok(())
    }
}

/// An error that nobody takes for one that passes.
fn refused(why: &'static str) -> Error {
    Error::NotSupported { source: why.into() }
}

fn read_only() -> Error {
    refused("a reader writes nothing")
}

impl fmt::Display for Still {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Still({})", self.objects)
    }
}

#[async_trait]
impl ObjectStore for Still {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(read_only())
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(read_only())
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.admit(Some(location))?;
        self.objects.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.admit(Some(location))?;
        self.objects.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        stream::once(async { Err(read_only()) }).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.admit(prefix) {
            Ok(()) => self.objects.list(prefix),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.admit(prefix) {
            Ok(()) => self.objects.list_with_offset(prefix, offset),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.admit(prefix)?;
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(read_only())
    }

    async fn rename_opts(&self, _: &Path, _: &Path, _: RenameOptions) -> Result<()> {
        Err(read_only())
    }
}
