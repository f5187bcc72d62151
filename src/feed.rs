//! The change feed: which boxes of a grid each commit changed, in the order of the commits'
//! numbers.
//!
//! An entry is written in the commit that it tells of. Numbers are taken before commits, so that an
//! entry may land behind one of a higher number: [`since`] shows none at or above the lowest number
//! that is under way (`store/settled.rs`). A record in the meta space says up to where entries were
//! removed (`floor`), and how many there were at the last count.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::grid::{Level, Levels, Structure, Window};
use crate::key::{GridId, feed, meta};
use crate::kv::{Batch, Order, Snapshot, Space, for_each_page};
use crate::store::{
    BatchNumber, Grid, RecordKind, Settled, WindowRecord, decode_record, encode_record, read_record,
};

/// Boxes that an entry has of each kind, at most.
const BOXES_MAX: usize = 16;
/// Entries that one answer shows.
const SHOWN_MAX: usize = 4096;
/// After how many entries a feed is looked through, and how many of them are removed then, at most.
const LOOK_EVERY: u64 = 256;
const REMOVED_MAX: u64 = 1024;
const PAGE: usize = 4096;
/// Whoever waits for changes looks so often whether the time is over.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A place in the change feed of a grid, in the order of its commits. It is printed and parsed as
/// one word, whose byte order is the order of the places.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Token {
    store: u64,
    grid: GridId,
    sequence: u64,
}

impl Token {
    /// The number of the batch behind which it goes on.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:016x}{:08x}{:016x}",
            self.store, self.grid.0, self.sequence
        )
    }
}

impl FromStr for Token {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid(format!("`{text}` is no token of changes"));
        let digits = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
        if text.len() != 40 || !text.bytes().all(digits) {
            return Err(wrong());
        }
        let number =
            |from: usize, to: usize| u64::from_str_radix(&text[from..to], 16).map_err(|_| wrong());
        let grid = u32::try_from(number(16, 24)?).map_err(|_| wrong())?;
        Ok(Self {
            store: number(0, 16)?,
            grid: GridId(grid),
            sequence: number(24, 40)?,
        })
    }
}

/// What one commit changed in a grid. The boxes hold all that changed, and more where there were
/// many.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// The number of the commit's batch: [`Commit::sequence`](crate::Commit::sequence) for a put.
    pub sequence: u64,
    /// Boxes in which base data were put, cleared or deleted, as they were given; empty for an
    /// aggregation.
    pub base: Vec<Window>,
    /// Boxes in which aggregates changed, in whole parts of chunks, each at the finest levels of
    /// which that is so, and boxes in which layers are read no more, or again; empty where all is
    /// left to a later commit.
    pub aggregates: Vec<Window>,
    /// The levels up to which what is stored in these boxes changed; those of the base data if no
    /// aggregate did. With the top all changed that are made of it as they are read: then it is the
    /// coarsest there can be.
    pub to: Levels,
    /// The finest levels of base cells.
    finest: Levels,
}

impl Change {
    /// The boxes, at some levels, in which this commit changed what is stored: what to read anew
    /// with [`Freshness::Stored`](crate::Freshness::Stored). A read above the top that was refused
    /// since aggregation lagged is to be tried again after any change.
    pub fn stored(&self, structure: &Structure, levels: Levels) -> Vec<Window> {
        if !self.to.covers(&levels) {
            return Vec::new();
        }
        let (dimensions, refinable) = (structure.dimensions().len(), structure.refinable());
        // Below the base, its cells are repeated.
        let read: Levels = levels
            .iter()
            .zip(self.finest.iter())
            .map(|(level, finest)| *level.max(finest))
            .collect();
        let shown = |of: Levels| {
            // Where finer ones are not stored, aggregates are inherited along the refinable
            // dimension, unless they derive along it.
            let inherited = (0..dimensions).any(|d| Some(d) != refinable && of[d] > self.finest[d]);
            (0..dimensions).all(|d| read[d] >= of[d] || inherited && Some(d) == refinable)
        };
        let aggregates = self
            .aggregates
            .iter()
            .filter(|window| shown(window.levels(dimensions)));
        let mut boxes: Vec<Window> = Vec::new();
        for window in self
            .base
            .iter()
            .chain(aggregates)
            .map(|window| structure.cover(window, levels))
        {
            if !boxes
                .iter()
                .any(|held| structure.intersection(held, &window) == Some(window))
            {
                boxes.push(window);
            }
        }
        boxes
    }

    /// The boxes, at some levels, in which this commit changed the data or what follows from them:
    /// what to read anew with [`Freshness::Fresh`](crate::Freshness::Fresh). None for an
    /// aggregation.
    pub fn fresh(&self, structure: &Structure, levels: Levels) -> Vec<Window> {
        self.base
            .iter()
            .map(|window| structure.cover(window, levels))
            .collect()
    }
}

/// What changed after a token.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Changes {
    /// What changed, oldest first.
    pub changes: Vec<Change>,
    /// The token to go on with.
    pub next: Token,
    /// Whether there is more at once.
    pub more: bool,
}

/// What a commit changes in a grid; see [`Change`].
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) base: Vec<Window>,
    pub(crate) aggregates: Vec<Window>,
    /// The levels up to which answers changed; see [`reached`].
    pub(crate) to: Levels,
    /// The finest levels of base cells.
    pub(crate) finest: Levels,
}

/// The levels up to which answers change once what is stored has changed up to some levels: in a
/// dimension in which these are the top, all above it, up to the `summit`.
pub(crate) fn reached(to: Levels, top: Levels, summit: Levels) -> Levels {
    let of = |d: usize| if to[d] >= top[d] { summit[d] } else { to[d] };
    (0..to.len()).map(of).collect()
}

impl Changed {
    /// What two parts of one commit change, the one after the other.
    pub(crate) fn and(mut self, later: Self) -> Self {
        self.base.extend(later.base);
        self.aggregates.extend(later.aggregates);
        self.to = self.to.coarser_of(&later.to);
        self.finest = self.finest.finer_of(&later.finest);
        self
    }
}

#[derive(Serialize, Deserialize)]
struct ChangeRecord {
    base: Vec<WindowRecord>,
    aggregates: Vec<WindowRecord>,
    /// Those of [`Change`]: first `to`, then `finest`, which entries of long ago lack.
    levels: Vec<Level>,
}

/// How much of a feed is kept.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct KeptRecord {
    /// Entries up to this number were removed.
    floor: u64,
    /// Entries up to this number are counted.
    counted: u64,
    /// How many there are above the floor, as far as they are counted.
    entries: u64,
}

/// Adds the entry of a commit to its batch. Of what was put long ago, entries beyond what the store
/// keeps are removed.
pub(crate) fn record(
    grid: &Grid,
    batch: &mut Batch,
    number: &BatchNumber,
    changed: Changed,
) -> Result<()> {
    let Changed {
        base,
        aggregates,
        to,
        finest,
    } = changed;
    let records = |windows: &[Window]| windows.iter().map(WindowRecord::new).collect();
    let record = ChangeRecord {
        base: records(&few(grid.structure(), base)),
        aggregates: records(&few_of_each(grid.structure(), aggregates, finest)),
        levels: to.iter().chain(finest.iter()).copied().collect(),
    };
    batch.put(
        Space::Feed,
        feed::key(grid.id(), number.get()),
        encode_record(RecordKind::Change, &record)?,
    );
    if !grid.store().journal().is_due(grid.id(), LOOK_EVERY) {
        return Ok(());
    }
    match remove_oldest(grid, batch) {
        // What cannot be read stays; it keeps nobody from writing.
        Err(error) if *error.kind() == ErrorKind::Corrupt => Ok(()),
        removed => removed,
    }
}

/// At most [`BOXES_MAX`] boxes of aggregates above the base in the same dimensions.
fn few_of_each(structure: &Structure, windows: Vec<Window>, finest: Levels) -> Vec<Window> {
    let mut above: BTreeMap<Vec<bool>, Vec<Window>> = BTreeMap::new();
    for window in windows {
        let levels = window.levels(finest.len());
        let above = above.entry(
            levels
                .iter()
                .zip(finest.iter())
                .map(|(level, finest)| level > finest)
                .collect(),
        );
        above.or_default().push(window);
    }
    above
        .into_values()
        .flat_map(|windows| few(structure, windows))
        .collect()
}

/// At most [`BOXES_MAX`] boxes that hold all these. Boxes are joined with their neighbours in the
/// row, where that adds least.
pub(crate) fn few(structure: &Structure, mut windows: Vec<Window>) -> Vec<Window> {
    windows.dedup();
    if windows.len() <= BOXES_MAX {
        return windows;
    }
    let size = |window: &Window| {
        window
            .shape()
            .iter()
            .map(|&len| len as f64)
            .product::<f64>()
    };
    let added = |pair: &[Window]| {
        let joined = join(structure, &pair[0], &pair[1]);
        let levels = joined.levels(structure.dimensions().len());
        size(&joined)
            - size(&structure.cover(&pair[0], levels))
            - size(&structure.cover(&pair[1], levels))
    };
    let mut gaps: Vec<(f64, usize)> = windows.windows(2).map(added).zip(1..).collect();
    gaps.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut cuts: Vec<usize> = gaps
        .iter()
        .take(BOXES_MAX - 1)
        .map(|(_, at)| *at)
        .chain([0, windows.len()])
        .collect();
    cuts.sort_unstable();
    let runs = cuts.windows(2).map(|cut| &windows[cut[0]..cut[1]]);
    runs.filter_map(|run| {
        run.iter()
            .copied()
            .reduce(|all, next| join(structure, &all, &next))
    })
    .collect()
}

/// The smallest box at the finer of their levels that holds two windows.
fn join(structure: &Structure, a: &Window, b: &Window) -> Window {
    let dimensions = structure.dimensions().len();
    let levels = a.levels(dimensions).finer_of(&b.levels(dimensions));
    structure.union(&structure.cover(a, levels), &structure.cover(b, levels))
}

fn kept(grid: &Grid, snapshot: &dyn Snapshot) -> Result<KeptRecord> {
    let kept = read_record(snapshot, RecordKind::Feed, meta::feed(grid.id()))
        .map_err(|e| grid.blame(e))?;
    Ok(kept.unwrap_or_default())
}

/// Counts the entries that came since the last count, and removes the oldest beyond what is kept.
fn remove_oldest(grid: &Grid, batch: &mut Batch) -> Result<()> {
    let (id, store) = (grid.id(), grid.store());
    // In this order: what is below is shown by the snapshot, or never will be.
    let below = store.journal().settled_below();
    let snapshot = store.current()?;
    let mut kept = kept(grid, snapshot.as_ref())?;
    let before = kept.counted;
    let mut new = 0;
    for_each_page(
        snapshot.as_ref(),
        Space::Feed,
        feed::between(id, before, below),
        PAGE,
        |entries| {
            new += entries.len() as u64;
            if let Some((last, _)) = entries.last() {
                kept.counted = sequence(grid, last)?;
            }
            Ok(())
        },
    )?;
    kept.entries += new;
    let excess = kept
        .entries
        .saturating_sub(store.changes_kept())
        .min(REMOVED_MAX);
    if new < LOOK_EVERY && excess == 0 {
        return Ok(());
    }
    let oldest = feed::between(id, kept.floor, kept.counted.saturating_add(1));
    let limit = usize::try_from(excess).unwrap_or(usize::MAX);
    let removed: Vec<Vec<u8>> = snapshot
        .scan(Space::Feed, &oldest, Order::Ascending, limit)?
        .entries
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    if let Some(last) = removed.last() {
        kept.floor = sequence(grid, last)?;
    }
    kept.entries -= removed.len() as u64;
    let record = encode_record(RecordKind::Feed, &kept)?;
    // All of it or nothing: the caller goes on if this fails.
    removed
        .into_iter()
        .for_each(|key| batch.delete(Space::Feed, key));
    batch.expect_key(Space::Meta, meta::feed(id));
    batch.put(Space::Meta, meta::feed(id), record);
    Ok(())
}

fn sequence(grid: &Grid, key: &[u8]) -> Result<u64> {
    feed::sequence(grid.id(), key).map_err(|e| {
        grid.blame(Error::corrupt("a key of its feed is damaged"))
            .because(e)
    })
}

/// A snapshot that shows a grid, and which entries of its feed it shows for good.
fn settled(grid: &Grid) -> Result<(Settled, Arc<dyn Snapshot>)> {
    let is_present = grid.live().is_ok();
    grid.store().settled(is_present, || grid.present())
}

/// The place behind the last entry that [`since`] would show.
pub(crate) fn token(grid: &Grid) -> Result<Token> {
    let (settled, snapshot) = settled(grid)?;
    let floor = kept(grid, snapshot.as_ref())?.floor;
    let range = feed::between(grid.id(), floor, settled.below);
    let last = snapshot
        .scan(Space::Feed, &range, Order::Descending, 1)?
        .entries
        .pop();
    let sequence = last.map_or(Ok(floor), |(key, _)| sequence(grid, &key))?;
    Ok(Token {
        store: settled.identity,
        grid: grid.id(),
        sequence,
    })
}

/// What came after a token.
pub(crate) fn since(grid: &Grid, token: &Token) -> Result<Changes> {
    let (settled, snapshot) = settled(grid)?;
    let expired = |why: &str| {
        Err(grid.blame(Error::new(
            ErrorKind::Expired,
            format!("{why}: read everything anew"),
        )))
    };
    if token.store != settled.identity {
        return expired("the token is of another store, or of this one before it lost data");
    }
    if token.grid != grid.id() {
        return expired("the token is of another grid, which had this name, or has it no more");
    }
    if token.sequence >= settled.end {
        return expired("the token is of a later state of the store than this one");
    }
    if token.sequence < kept(grid, snapshot.as_ref())?.floor {
        return expired("the token is too old, changes that came after it are kept no longer");
    }
    let range = feed::between(grid.id(), token.sequence, settled.below);
    let page = snapshot.scan(Space::Feed, &range, Order::Ascending, SHOWN_MAX)?;
    let changes: Vec<Change> = page
        .entries
        .iter()
        .map(|(key, value)| decode(grid, key, value))
        .collect::<Result<_>>()?;
    if !changes.is_empty() {
        // Whoever is told of a change may act on it: power loss must not take it back.
        grid.store().sync()?;
    }
    let sequence = changes.last().map_or(token.sequence, |last| last.sequence);
    Ok(Changes {
        changes,
        next: Token {
            sequence,
            ..token.clone()
        },
        more: page.more,
    })
}

/// The boxes of base data of commits, by their numbers.
pub(crate) type CommitBoxes = Vec<(u64, Vec<Window>)>;

/// The boxes of base data that commits after a token changed, as a snapshot shows them, each with
/// the number of its commit; those of commits that are not settled yet too. `None` if the feed does
/// not tell.
pub(crate) fn put_since(
    grid: &Grid,
    snapshot: &dyn Snapshot,
    token: &Token,
) -> Result<Option<CommitBoxes>> {
    let is_told = token.store == grid.store().identity()
        && token.grid == grid.id()
        && token.sequence >= kept(grid, snapshot)?.floor;
    if !is_told {
        return Ok(None);
    }
    let mut put = Vec::new();
    let range = feed::between(grid.id(), token.sequence, u64::MAX);
    for_each_page(snapshot, Space::Feed, range, PAGE, |entries| {
        for (key, value) in entries {
            let Change { sequence, base, .. } = decode(grid, &key, &value)?;
            if !base.is_empty() {
                put.push((sequence, base));
            }
        }
        Ok(())
    })?;
    Ok(Some(put))
}

fn decode(grid: &Grid, key: &[u8], value: &[u8]) -> Result<Change> {
    let sequence = sequence(grid, key)?;
    let ChangeRecord {
        base,
        aggregates,
        levels,
    } = decode_record(RecordKind::Change, value).map_err(|e| grid.blame(e))?;
    let (structure, dimensions) = (grid.structure(), grid.structure().dimensions().len());
    let windows = |records: Vec<WindowRecord>| {
        records
            .iter()
            .map(|record| record.window(structure))
            .collect::<Result<Vec<_>>>()
    };
    let (to, finest) = levels.split_at(dimensions.min(levels.len()));
    let levels = |of: &[Level]| {
        let of: Levels = if of.len() == dimensions {
            of.iter().copied().collect()
        } else {
            return Err(Error::invalid("levels"));
        };
        structure.check_levels(of).map(|()| of)
    };
    let change = || -> Result<Change> {
        let (base, aggregates, to) = (windows(base)?, windows(aggregates)?, levels(to)?);
        let shown = || {
            base.iter()
                .chain(&aggregates)
                .map(|window| window.levels(dimensions))
        };
        let finest = if finest.is_empty() {
            shown().fold(to, |finest, levels| finest.finer_of(&levels))
        } else {
            levels(finest)?
        };
        Ok(Change {
            sequence,
            base,
            aggregates,
            to,
            finest,
        })
    };
    change().map_err(|e| {
        grid.blame(Error::corrupt(
            "an entry of its feed does not fit its structure",
        ))
        .because(e)
    })
}

/// What is wrong with a feed, if anything: entries that cannot be read, or that were removed.
pub(crate) fn wrong_entry(grid: &Grid, snapshot: &dyn Snapshot) -> Result<Option<String>> {
    let check = || {
        let kept = kept(grid, snapshot)?;
        let mut counted = 0;
        for_each_page(
            snapshot,
            Space::Feed,
            feed::all(grid.id()),
            PAGE,
            |entries| {
                for (key, value) in entries {
                    let sequence = decode(grid, &key, &value)?.sequence;
                    if sequence <= kept.floor {
                        return Err(Error::corrupt(
                            "an entry of its feed was removed, and is there",
                        ));
                    }
                    counted += u64::from(sequence <= kept.counted);
                }
                Ok(())
            },
        )?;
        if counted == kept.entries {
            Ok(())
        } else {
            Err(Error::corrupt(
                "its feed has lost an entry, or has one too many",
            ))
        }
    };
    match check() {
        Ok(()) => Ok(None),
        Err(error) if *error.kind() == ErrorKind::Corrupt => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}

impl Grid {
    /// The present of the grid's change feed: [`changes_since`](Self::changes_since) it gives what
    /// comes after.
    pub fn changes_token(&self) -> Result<Token> {
        token(self)
    }

    /// What changed after a token, oldest first, a bounded number of commits at a time.
    ///
    /// Whoever takes a [token](Self::changes_token), then reads everything, then asks for changes
    /// again and again, each time with the token of the last answer, misses nothing: a commit is
    /// shown once no commit that was begun before it is under way, and what was shown is on the
    /// medium. That holds for a token of a snapshot too: what the snapshot does not show comes
    /// after it. A store that is only [read](crate::Store::open_read_only) while another process
    /// writes shows the commits of that process likewise. Only where one that fails was begun
    /// before them, they are shown there with the next commit at the latest.
    ///
    /// # Errors
    ///
    /// [`Expired`](crate::ErrorKind::Expired) if what the token continues is not there: as many
    /// commits came since as are kept
    /// ([`StoreOptions::changes_kept`](crate::StoreOptions::changes_kept)), or the token is of
    /// another grid or store, as it is after a [swap](crate::Store::swap).
    pub fn changes_since(&self, token: &Token) -> Result<Changes> {
        since(self, token)
    }

    /// The same, but where nothing has changed yet it waits until something has, and gives nothing
    /// after `timeout`. A service that calls it again and again with the token of the last answer
    /// hears of each commit as it returns.
    ///
    /// # Errors
    ///
    /// Those of [`changes_since`](Self::changes_since), and [`Invalid`](ErrorKind::Invalid) for a
    /// grid of a snapshot, which never changes.
    pub fn wait_changes(&self, token: &Token, timeout: Duration) -> Result<Changes> {
        self.live()?;
        let store = self.store();
        let deadline = store.now().saturating_add(timeout);
        loop {
            let below = store.journal().settled_below();
            let changes = since(self, token)?;
            let left = deadline.saturating_sub(store.now());
            if !changes.changes.is_empty() || left.is_zero() {
                return Ok(changes);
            }
            // By the system's clock, in pieces: another one may stand still.
            store.journal().wait(below, left.min(LOOK_AGAIN));
        }
    }
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
