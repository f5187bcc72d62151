//! Changes of a grid as server-sent events.
//!
//! One thread a grid that anybody listens to waits at its change feed, and wakes those who listen;
//! each of them then reads on from its own token. So a client that reads slowly holds up nobody.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::app::{App, Shared};
use super::asked::Asked;
use super::params::Params;
use super::reply::{Problem, set};
use crate::{ErrorKind, Store, Token, wire};

/// How long a watcher waits before it looks whether anybody listens still, and whether the name
/// stands for another grid.
const LOOK: Duration = Duration::from_secs(1);
/// How often those who listen hear that the connection stands.
const ALIVE: Duration = Duration::from_secs(15);

/// Who waits at which grid.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    grids: Arc<Mutex<BTreeMap<String, watch::Sender<u64>>>>,
    listeners: Arc<AtomicUsize>,
}

impl Watchers {
    /// How many listen.
    pub(super) fn listeners(&self) -> usize {
        self.listeners.load(Ordering::Relaxed)
    }

    /// Wakes whenever something has changed in the grid of a name.
    fn watch(&self, app: &Shared, name: &str) -> watch::Receiver<u64> {
        let mut grids = self.grids.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = grids.get(name) {
            return sender.subscribe();
        }
        let sender = watch::Sender::new(0);
        let receiver = sender.subscribe();
        let (all, app, of) = (
            Arc::clone(&self.grids),
            Arc::downgrade(app),
            name.to_owned(),
        );
        // It looks here only once this is unlocked. If it cannot start, nobody is to wait for it.
        std::thread::spawn(move || follow(&all, &app, &of));
        grids.insert(name.to_owned(), sender);
        receiver
    }
}

/// Wakes those who listen to the grid of a name, until there is nobody.
fn follow(grids: &Mutex<BTreeMap<String, watch::Sender<u64>>>, app: &Weak<App>, name: &str) {
    let mut heard: Option<Token> = None;
    loop {
        let changed = match app.upgrade().map(|app| app.store()) {
            Some(store) => wait(&store, name, &mut heard),
            None => true,
        };
        let mut grids = grids.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = grids.get(name).filter(|sender| sender.receiver_count() > 0) else {
            grids.remove(name);
            return;
        };
        if changed {
            sender.send_modify(|count| *count += 1);
        }
    }
}

/// Waits a moment for changes; whether there are any, or those who listen have to look for another
/// reason: the name stands for another grid, or for none.
fn wait(store: &Store, name: &str, heard: &mut Option<Token>) -> bool {
    let changes = store.grid(name).and_then(|grid| {
        let token = match heard.take() {
            Some(token) => token,
            None => return grid.changes_token().map(|token| (token, true)),
        };
        let changes = grid.wait_changes(&token, LOOK)?;
        Ok((changes.next, !changes.changes.is_empty()))
    });
    match changes {
        Ok((token, changed)) => {
            *heard = Some(token);
            changed
        }
        Err(error) => {
            // Of another grid no token is known yet, and that costs nothing.
            if *error.kind() != ErrorKind::Expired {
                std::thread::sleep(LOOK);
            }
            true
        }
    }
}

/// One who listens.
struct Listener {
    app: Shared,
    name: String,
    /// Up to where it has heard; none before the first look, or after a word that was no token.
    token: Option<Token>,
    /// Whether it is to hear that it has to read everything anew.
    reset: bool,
    began: bool,
    ended: bool,
    wake: watch::Receiver<u64>,
    ending: watch::Receiver<bool>,
    events: VecDeque<Event>,
    _counted: Counted,
}

/// Counts one who listens.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The changes of a grid, from now on, or from after `Last-Event-ID` or `since`.
pub(super) async fn stream(asked: Asked) -> Result<Response, Problem> {
    let (app, name) = (asked.app, asked.path);
    let params = Params::parse(asked.query.as_deref(), &["since"])?;
    let since: Option<Token> = params.parsed("since")?;
    let last = asked.headers.get("last-event-id").map(|id| {
        let id = id.to_str().ok();
        id.and_then(|id| Token::from_str(id).ok())
    });
    let counted = Counted(Arc::clone(&app.watchers.listeners));
    if counted.0.fetch_add(1, Ordering::Relaxed) >= app.options.listeners {
        return Err(Problem::busy("as many listen to changes as may"));
    }
    let known = name.clone();
    app.call(move |app| Ok(app.grid(&known)?)).await?;
    let listener = Listener {
        wake: app.watchers.watch(&app, &name),
        ending: app.ending.subscribe(),
        app,
        name,
        reset: last == Some(None),
        token: last.flatten().or(since),
        began: false,
        ended: false,
        events: VecDeque::new(),
        _counted: counted,
    };
    let events = stream::unfold(listener, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    let alive = KeepAlive::new().interval(ALIVE);
    let mut response = Sse::new(events).keep_alive(alive).into_response();
    set(response.headers_mut(), header::CACHE_CONTROL, "no-store");
    Ok(response)
}

impl Listener {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if self.ended || *self.ending.borrow() {
                return None;
            }
            if std::mem::replace(&mut self.began, true) {
                tokio::select! {
                    changed = self.wake.changed() => {
                        if changed.is_err() {
                            // The watcher is gone with the grid; a new one looks again.
                            self.wake = self.app.watchers.watch(&self.app, &self.name);
                        }
                    }
                    _ = self.ending.changed() => {}
                }
            }
            self.look().await;
        }
    }

    /// Reads on from the token.
    async fn look(&mut self) {
        let (name, token) = (self.name.clone(), self.token.clone());
        let reset = std::mem::take(&mut self.reset);
        match self
            .app
            .call(move |app| heard(app, &name, token, reset))
            .await
        {
            Ok(heard) => {
                self.token = Some(heard.token);
                self.events.extend(heard.events);
                // What is there already wakes nobody again.
                self.began = !heard.more;
            }
            Err(problem) if problem.status() == StatusCode::NOT_FOUND => {
                self.events
                    .push_back(Event::default().event("gone").data("{}"));
                self.ended = true;
            }
            // It is tried again at the next change, or right away where there was none yet.
            Err(_) => {
                self.reset |= reset;
                tokio::time::sleep(LOOK).await;
                self.began = false;
            }
        }
    }
}

/// What one hears at a time.
struct Heard {
    events: Vec<Event>,
    /// Up to where that is.
    token: Token,
    /// Whether there is more at once.
    more: bool,
}

/// What one hears who has heard up to a token.
fn heard(app: &App, name: &str, token: Option<Token>, reset: bool) -> Result<Heard, Problem> {
    let grid = app.store().grid(name)?;
    let event = |kind: &str, token: &Token, data: Value| {
        Event::default()
            .event(kind)
            .id(token.to_string())
            .data(data.to_string())
    };
    let Some(mut token) = token.filter(|_| !reset) else {
        let token = grid.changes_token()?;
        let kind = if reset { "reset" } else { "ready" };
        let events = vec![event(kind, &token, json!({ "grid": name }))];
        return Ok(Heard {
            events,
            token,
            more: false,
        });
    };
    let mut events = Vec::new();
    loop {
        match grid.changes_since(&token) {
            Ok(changes) => {
                token = changes.next;
                if !changes.changes.is_empty() {
                    let all = changes.changes.iter();
                    let all: Vec<Value> = all
                        .map(|change| wire::change_json(grid.structure(), change))
                        .collect();
                    events.push(event(
                        "change",
                        &token,
                        json!({ "grid": name, "changes": all }),
                    ));
                }
                if !changes.more || events.len() >= 4 {
                    return Ok(Heard {
                        events,
                        token,
                        more: changes.more,
                    });
                }
            }
            Err(error) if *error.kind() == ErrorKind::Expired => {
                let token = grid.changes_token()?;
                let why = error.to_string();
                events.push(event("reset", &token, json!({ "grid": name, "why": why })));
                return Ok(Heard {
                    events,
                    token,
                    more: false,
                });
            }
            Err(error) => return Err(error.into()),
        }
    }
}
