//! Where a store on object storage lies: what a URL says.

use std::collections::HashMap;
use std::fs;
use std::path::Path as Directory;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};

use super::room::Room;
use crate::error::{Error, Result};

const CONNECT: Duration = Duration::from_secs(5);

/// An object storage and the prefix of a store in it.
#[derive(Clone, Debug)]
pub(super) struct ObjectPlace {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) prefix: Path,
    /// What errors name.
    pub(super) url: String,
    /// Whether an object can be overwritten on the condition that nobody else has.
    pub(super) conditional: bool,
}

impl ObjectPlace {
    /// The place that a URL names: `s3://bucket/prefix`, `file:///directory`, `memory://name`. A
    /// directory is made if `create`.
    pub(super) fn of(url: &str, create: bool, timeout: Duration) -> Result<Self> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| {
            Error::invalid(format!("`{url}` is no URL: write s3://bucket/prefix"))
        })?;
        if rest
            .split('/')
            .next()
            .is_some_and(|host| host.contains('@'))
        {
            return Err(Error::invalid(
                "credentials do not belong in the URL of a store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            ));
        }
        if rest.contains(['?', '#']) {
            return Err(Error::invalid(format!(
                "the URL {url} must have neither `?` nor `#`: options are set in the environment (AWS_*)"
            )));
        }
        let prefix = |text: &str| {
            Path::parse(text.trim_matches('/')).map_err(|error| {
                Error::invalid(format!("the URL {url} names no object")).because(error)
            })
        };
        let (objects, prefix, conditional): (Arc<dyn ObjectStore>, Path, bool) = match scheme {
            "s3" => {
                let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
                (s3(url, bucket, timeout)?, prefix(key)?, true)
            }
            "file" => (directory(url, rest, create)?, Path::default(), false),
            "memory" => (memory(rest), Path::default(), true),
            _ => {
                return Err(Error::invalid(format!(
                    "no store can be at {url}: write s3://bucket/prefix, file:///directory or memory://name"
                )));
            }
        };
        let url = url.to_owned();
        Ok(Self {
            objects,
            prefix,
            url,
            conditional,
        })
    }

    /// The place below a prefix of an object storage of the caller's.
    pub(super) fn within(
        objects: Arc<dyn ObjectStore>,
        prefix: &str,
        conditional: bool,
    ) -> Result<Self> {
        let url = format!("{objects}/{prefix}");
        let prefix = Path::parse(prefix).map_err(|error| {
            Error::invalid(format!("`{prefix}` is no prefix of objects")).because(error)
        })?;
        Ok(Self {
            objects,
            prefix,
            url,
            conditional,
        })
    }

    /// The first request of an opening, so that what is wrong with the bucket or the credentials is
    /// said in words of ours. An error too if there is no store, unless one is to be made
    /// (`create`).
    pub(super) fn probe(&self, room: &Room, create: bool) -> Result<()> {
        let manifests = self.prefix.clone().join("manifest");
        let first = room.probe(async { self.objects.list(Some(&manifests)).try_next().await })?;
        if first.is_some() || create {
            return Ok(());
        }
        let text = format!("there is no store at {}", self.url);
        Err(Error::not_found(text))
    }
}

fn s3(url: &str, bucket: &str, timeout: Duration) -> Result<Arc<dyn ObjectStore>> {
    if bucket.is_empty() {
        return Err(Error::invalid(format!(
            "the URL {url} names no bucket: write s3://bucket/prefix"
        )));
    }
    let once = timeout.min(Duration::from_secs(30));
    let retry = RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: 3,
        retry_timeout: once,
    };
    let builder = AmazonS3Builder::from_env();
    let plain = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .is_some_and(|endpoint| endpoint.starts_with("http://"));
    let yes = ["1", "true", "on", "yes", "y"];
    let allowed = std::env::var("AWS_ALLOW_HTTP")
        .is_ok_and(|allowed| yes.contains(&allowed.to_ascii_lowercase().as_str()));
    if plain && !allowed {
        return Err(Error::invalid(format!(
            "the endpoint for {url} has no TLS: set AWS_ALLOW_HTTP=true if that is meant"
        )));
    }
    // What else the environment says of connections, a proxy say, stays.
    let client = |key, time: Duration| {
        let time = format!("{} ms", time.as_millis().max(1));
        (AmazonS3ConfigKey::Client(key), time)
    };
    let (connect, connect_time) = client(ClientConfigKey::ConnectTimeout, CONNECT.min(timeout));
    let (request, request_time) = client(ClientConfigKey::Timeout, once);
    let store = builder
        .with_bucket_name(bucket)
        .with_config(connect, connect_time)
        .with_config(request, request_time)
        .with_retry(retry)
        .build();
    let store = store.map_err(|error| {
        Error::invalid(format!(
            "the store at {url} cannot be reached with the environment (AWS_*) as it is"
        ))
        .because(error.to_string())
    })?;
    Ok(Arc::new(store))
}

fn directory(url: &str, path: &str, create: bool) -> Result<Arc<dyn ObjectStore>> {
    if !path.starts_with('/') {
        return Err(Error::invalid(format!(
            "the URL {url} needs the whole path of a directory, with three slashes: file:///data/store"
        )));
    }
    let place = Directory::new(path);
    if create {
        fs::create_dir_all(place).map_err(|error| {
            Error::unavailable(format!("the directory of {url} cannot be made")).because(error)
        })?;
    } else if !place.is_dir() {
        return Err(Error::not_found(format!("there is no store at {url}")));
    }
    let store = LocalFileSystem::new_with_prefix(place).map_err(|error| {
        Error::unavailable(format!("the directory of {url} cannot be used")).because(error)
    })?;
    Ok(Arc::new(store.with_fsync(true)))
}

/// Object storage in memory by name, shared by all of the process, and kept as long as it lives.
fn memory(name: &str) -> Arc<dyn ObjectStore> {
    static NAMED: OnceLock<Mutex<HashMap<String, Arc<InMemory>>>> = OnceLock::new();
    let mut named = NAMED
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    Arc::clone(named.entry(name.to_owned()).or_default()) as Arc<dyn ObjectStore>
}
