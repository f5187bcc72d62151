//! Grids as Zarr hierarchies: `/zarr/{grid}`, `/zarr/{grid}@{layer}`, with Zarr v2 metadata at
//! `/zarr2`; and the same of one snapshot, for reads that take long, at `/snap/{number}/zarr`.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use serde_json::json;

use super::app::App;
use super::asked::{Asked, Holds};
use super::kept::StoreMoment;
use super::params::Params;
use super::reply::{HTML, JSON, Problem, Reply};
use crate::adapter::zarr::{Format, View, ViewOptions};
use crate::{Grid, Layer, StoreSnapshot};

/// Who asks for a snapshot gets one that is not older than this, so that there are few.
const SHARED: Duration = Duration::from_secs(10);
/// How long a view of the present is kept made, if nothing is committed.
const KEPT: Duration = Duration::from_secs(30);
/// The most views that are kept made, of the present and of each snapshot.
const VIEWS_MAX: usize = 64;

/// The snapshots that clients read, by number.
#[derive(Debug, Default)]
pub(super) struct Snapshots(Mutex<BTreeMap<u64, HeldSnapshot>>);

/// A snapshot, and the views of it.
#[derive(Debug)]
struct HeldSnapshot {
    of: StoreSnapshot,
    views: BTreeMap<String, Arc<View>>,
}

impl Snapshots {
    /// The number of a snapshot that is nearly new.
    fn take(&self, app: &App) -> Result<(u64, Duration), Problem> {
        let store = app.store();
        let most = store.snapshot_age_max();
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut held = lock();
        held.retain(|_, held| held.of.age() < most);
        if let Some((number, held)) = held.last_key_value()
            && held.of.age() < SHARED.min(most / 2)
        {
            return Ok((*number, most.saturating_sub(held.of.age())));
        }
        drop(held);
        // Who reads from others does not wait for it.
        let of = store.snapshot()?;
        let mut held = lock();
        // A number that no snapshot had, not even of a server before this one.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| u64::try_from(now.as_micros()).unwrap_or_default());
        let number = held
            .last_key_value()
            .map_or(now, |(last, _)| now.max(last + 1));
        let views = BTreeMap::new();
        held.insert(number, HeldSnapshot { of, views });
        Ok((number, most))
    }

    /// The view of a name in a snapshot.
    fn view(&self, number: &str, name: &str, format: Format) -> Result<Arc<View>, Problem> {
        let gone = || {
            Problem::new(
                StatusCode::GONE,
                "there is no such snapshot any more; `/snap` gives a new one",
            )
        };
        let number: u64 = number.parse().map_err(|_| gone())?;
        let key = format!("{format:?} {name}");
        let of = {
            let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let held = held.get(&number).ok_or_else(gone)?;
            if let Some(view) = held.views.get(&key) {
                return Ok(Arc::clone(view));
            }
            held.of.clone()
        };
        let view = Arc::new(view_of(|grid| of.grid(grid), name, format)?);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held
            .get_mut(&number)
            .filter(|held| held.views.len() < VIEWS_MAX)
        {
            held.views.insert(key, Arc::clone(&view));
        }
        Ok(view)
    }
}

/// A view, the moment of which it is or which was shortly before, and when it was made.
type Made = (StoreMoment, Instant, Arc<View>);

/// Views of the present.
#[derive(Debug, Default)]
pub(super) struct Views(Mutex<BTreeMap<String, Made>>);

impl Views {
    /// The view of a name as it is now: one that was made, if nothing was committed since.
    fn of(&self, app: &App, name: &str, format: Format) -> Result<Arc<View>, Problem> {
        let (key, moment) = (format!("{format:?} {name}"), app.moment()?);
        let store = app.store();
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, made, view)) = lock().get(&key)
            && *before == moment
            && made.elapsed() < KEPT.min(store.snapshot_age_max() / 2)
        {
            return Ok(Arc::clone(view));
        }
        let snapshot = store.snapshot()?;
        let view = Arc::new(view_of(|grid| snapshot.grid(grid), name, format)?);
        let mut views = lock();
        if views.len() >= VIEWS_MAX {
            views.clear();
        }
        views.insert(key, (moment, Instant::now(), Arc::clone(&view)));
        Ok(view)
    }

    /// Forgets them, where the store is another one.
    pub(super) fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// The view of `GRID` or `GRID@LAYER`.
fn view_of(
    grid: impl FnOnce(&str) -> crate::Result<Grid>,
    name: &str,
    format: Format,
) -> Result<View, Problem> {
    let (name, layer) = match name.split_once('@') {
        Some((name, layer)) => (name, Some(layer)),
        None => (name, None),
    };
    let layer = layer.map(str::parse::<Layer>).transpose()?;
    let options = ViewOptions {
        layer,
        format,
        ..ViewOptions::default()
    };
    Ok(View::new(&grid(name)?, &options)?)
}

/// A snapshot to read from for some time.
pub(super) async fn snapshot(asked: Asked<()>) -> Result<Reply, Problem> {
    Params::parse(asked.query.as_deref(), &[])?;
    let root = asked.root("/snap");
    asked
        .json(move |app, _| {
            let (number, left) = app.snapshots.take(app)?;
            Ok(json!({
                "snapshot": number, "seconds_left": left.as_secs(),
                "zarr": format!("{root}/snap/{number}/zarr/GRID"),
                "zarr2": format!("{root}/snap/{number}/zarr2/GRID"),
            }))
        })
        .await
}

/// The name, the key and the number of the snapshot, as far as the route has them.
type RouteParts = HashMap<String, String>;

/// A key of a hierarchy of Zarr v3.
pub(super) async fn v3(asked: Asked<RouteParts>) -> Result<Reply, Problem> {
    key(asked, Format::V3).await
}

/// The same of Zarr v2.
pub(super) async fn v2(asked: Asked<RouteParts>) -> Result<Reply, Problem> {
    key(asked, Format::V2).await
}

async fn key(asked: Asked<RouteParts>, format: Format) -> Result<Reply, Problem> {
    let holds = if asked.path.contains_key("number") {
        Holds::Ever
    } else {
        Holds::UntilCommit
    };
    let work = move |app: &App, asked: &Asked<RouteParts>| {
        let of = |name: &str| asked.path.get(name).map(String::as_str);
        let (name, key) = (
            of("name").unwrap_or_default(),
            of("key").unwrap_or_default(),
        );
        let view = match of("number") {
            Some(number) => app.snapshots.view(number, name, format)?,
            None => app.views.of(app, name, format)?,
        };
        file(app, &view, key, asked)
    };
    asked.answer(holds, work).await
}

/// What stands at a key, or the listing of a folder.
fn file(app: &App, view: &View, key: &str, asked: &Asked<RouteParts>) -> Result<Reply, Problem> {
    let headers = &asked.headers;
    let nothing = || Problem::not_found("there is nothing at this key");
    let name = key.rsplit('/').next().unwrap_or_default();
    let Some(etag) = view.version(key)? else {
        let folder = view.folder(key).ok_or_else(nothing)?;
        let html = listing(asked.here(), &folder);
        return Ok(Reply::hashed(&app.kept, headers, HTML, html));
    };
    let is_json = name.ends_with(".json") || name.starts_with(".z");
    let mime = if is_json {
        JSON
    } else {
        "application/octet-stream"
    };
    Reply::unless_known(&app.kept, headers, etag, mime, || {
        view.get(key)?.ok_or_else(nothing)
    })
}

/// A folder at an address as HTML, from which clients read what is in it.
fn listing(address: &str, names: &[String]) -> String {
    // Beside an address without a slash at the end, names are relative to what is above.
    let here = address.rsplit('/').next().filter(|name| !name.is_empty());
    let mut html =
        String::from("<!doctype html>\n<meta charset=\"utf-8\">\n<title>index</title>\n<ul>\n");
    for name in names {
        let address = here.map_or(name.clone(), |here| format!("{here}/{name}"));
        // Writing to a text does not fail. Names of grids, axes and keys need no escapes.
        let _ = writeln!(html, "<li><a href=\"{address}\">{name}</a>");
    }
    html.push_str("</ul>\n");
    html
}
