//! What is checked, without changing anything, before the database is let at a store.
//!
//! The database's own recovery takes any damage in a log for its torn end: it drops synced commits
//! without a word and then deletes the log; and some damage makes it spin for ever. So the logs are
//! read here first and held against each other and against the [watermark].

pub mod log;
pub mod manifest;
pub mod table;
pub mod watermark;

mod bytes;
mod one_byte;
mod version;

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use bytes::{le_u32, le_u64};
use log::{Ending, LogRecord, ScannedLog};
use manifest::Manifest;
use watermark::Watermark;

use crate::error::{Error, Result};

/// The name of the file that names the manifest.
pub const CURRENT: &str = "CURRENT";

/// A record of a write-ahead log begins with its first sequence and the number of its entries.
const BATCH_HEAD_BYTES: usize = 12;

/// What a store's logs hold.
#[derive(Debug, Default)]
pub struct Findings {
    /// What must not be, in the order it was found.
    pub damage: Vec<Error>,
    /// Logs that go on after their last record that counts, and the length of what counts.
    pub tails: Vec<(PathBuf, u64)>,
    /// Logs none of whose records count, as earlier ones are lost.
    pub orphans: Vec<PathBuf>,
    /// The last sequence that can be recovered.
    pub sequence: u64,
    /// The number of the manifest, and the length of what counts of it.
    pub manifest: (u64, u64),
    /// The manifest and the logs.
    pub files: Vec<PathBuf>,
    /// Bytes of the manifest and the logs that are damaged, where nothing else is wrong with their
    /// records.
    pub bytes: Vec<DamagedByte>,
    /// The manifest that counts, where it is not the one that is named as current.
    pub current: Option<u64>,
}

/// A byte that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedByte {
    /// The file.
    pub path: PathBuf,
    /// Where in it.
    pub at: u64,
    /// Its difference, exclusive or, from what was written.
    pub difference: u8,
}

impl Findings {
    /// Notes the byte that is all that is wrong with a record.
    fn note_byte(&mut self, path: &Path, scanned: &ScannedLog) {
        if let Ending::Damaged {
            byte: Some((at, difference)),
            ..
        }
        | Ending::OneByte {
            byte: (at, difference),
            ..
        } = scanned.ending
        {
            let byte = DamagedByte {
                path: path.to_path_buf(),
                at,
                difference,
            };
            // A manifest may be read twice.
            if !self.bytes.contains(&byte) {
                self.bytes.push(byte);
            }
        }
    }
}

/// Reads the logs of a store. An error means that they cannot be read at all; what they lack is
/// among the findings.
///
/// `families` are those that a store has once it is made.
pub fn inspect(directory: &Path, promised: Watermark, families: &[&str]) -> Result<Findings> {
    let mut findings = Findings::default();
    let manifest = version::inspect(directory, promised, families, &mut findings)?;
    inspect_logs(directory, promised, &manifest, &mut findings)?;
    if findings.sequence < promised.sequence {
        let (found, promised, place) = (findings.sequence, promised.sequence, directory.display());
        let lost = format!(
            "the store at {place} ends with sequence {found}, and {promised} had been synced"
        );
        findings.damage.push(Error::corrupt(lost));
    }
    Ok(findings)
}

/// The manifest that counts, its path, and the length of what counts of it.
#[cfg(feature = "rocksdb")]
pub(super) fn manifest_that_counts(directory: &Path) -> Result<(Manifest, PathBuf, u64)> {
    let mut findings = Findings::default();
    let manifest = version::inspect(directory, Watermark::default(), &[], &mut findings)?;
    let (number, end) = findings.manifest;
    Ok((
        manifest,
        directory.join(format!("MANIFEST-{number:06}")),
        end,
    ))
}

/// The manifest that an open store uses, and the length of what is sure to be on the medium of it.
pub fn synced_manifest(directory: &Path) -> Result<(u64, u64)> {
    let (number, path) = current(directory)?;
    let scanned = log::scan::<io::Error>(open(&path)?, 0, |_| Ok(()))
        .map_err(|error| unreadable(&path, error))?;
    // A sync through any descriptor is a sync of the file.
    File::open(&path)
        .and_then(|file| file.sync_data())
        .map_err(|error| unreadable(&path, error))?;
    Ok((number, scanned.end))
}

fn inspect_logs(
    directory: &Path,
    promised: Watermark,
    manifest: &Manifest,
    findings: &mut Findings,
) -> Result<()> {
    let logs = live_logs(directory, manifest.min_log)?;
    for (number, synced) in manifest
        .logs
        .range(manifest.min_log..)
        .filter(|(_, synced)| **synced > 0)
    {
        if !logs.iter().any(|(known, _)| known == number) {
            let place = directory.display();
            findings.damage.push(Error::corrupt(format!(
                "the log {number:06}.log of {synced} bytes is missing in {place}"
            )));
        }
    }
    if let Some(newest) = manifest.newest_log().filter(|_| promised.manifest > 0)
        && !logs.iter().any(|(known, _)| *known == newest)
    {
        let place = directory.display();
        let text = format!(
            "the log {newest:06}.log is missing in {place}: its files are not of one moment"
        );
        findings.damage.push(Error::corrupt(format!(
            "{text}, as in a plain copy of a store that was open (use `gridstone checkpoint`)"
        )));
    }
    let mut position = Position {
        next: None,
        last: manifest.last_sequence,
        lost: false,
    };
    for (number, path) in logs {
        findings.files.push(path.clone());
        if position.lost {
            findings.orphans.push(path);
            continue;
        }
        let scanned = log::scan(open(&path)?, BATCH_HEAD_BYTES, |record: LogRecord<'_>| {
            position.advance(&path, record)
        });
        let scanned = match scanned {
            Err(LogEnd::Hole {
                at,
                expected,
                found,
            }) => {
                position.lost = true;
                if position.last < promised.sequence {
                    let text =
                        format!("it goes on with sequence {found} where {expected} is expected");
                    findings.damage.push(damaged(&path, at, &text));
                }
                // What follows a hole does not count, be it as sound as it may.
                ScannedLog {
                    end: at,
                    ending: Ending::Torn { resumes: None },
                    cut: false,
                }
            }
            scanned => stop_at_meaning(&path, scanned, findings)?,
        };
        let synced = manifest.logs.get(&number).copied().unwrap_or(0);
        let length = fs::metadata(&path)
            .map_err(|error| unreadable(&path, error))?
            .len();
        // The database counts what a write that failed has left as synced too, and asks for a file
        // of that length.
        let failed = scanned.end < synced && scanned.cut && length >= synced;
        if position.lost && scanned.end == 0 {
            findings.orphans.push(path.clone());
        } else if !failed {
            note_ending(&path, scanned, position.last < promised.sequence, findings);
        }
        if scanned.end < synced && !failed {
            findings.damage.push(damaged(
                &path,
                scanned.end,
                &format!("{synced} bytes of it had been synced"),
            ));
        }
    }
    findings.sequence = position.last;
    Ok(())
}

/// Where the sequence of records stands.
struct Position {
    /// What the next record begins with, once there was one.
    next: Option<u64>,
    last: u64,
    /// Whether records are missing, so that no later one counts.
    lost: bool,
}

impl Position {
    fn advance(&mut self, path: &Path, record: LogRecord<'_>) -> Result<(), LogEnd> {
        let (Some(sequence), Some(count)) = (le_u64(record.head, 0), le_u32(record.head, 8)) else {
            return Err(LogEnd::meaning(
                path,
                record.at,
                "its record is too short for a batch",
            ));
        };
        let expected = self.next.unwrap_or(0).max(self.last.saturating_add(1));
        if sequence > expected {
            return Err(LogEnd::Hole {
                at: record.at,
                expected,
                found: sequence,
            });
        }
        let next = sequence.saturating_add(u64::from(count));
        self.next = Some(next);
        self.last = self.last.max(next.saturating_sub(1));
        Ok(())
    }
}

/// Why reading a log ended early.
enum LogEnd {
    Read(io::Error),
    Meaning { at: u64, error: Error },
    Hole { at: u64, expected: u64, found: u64 },
}

impl LogEnd {
    fn meaning(path: &Path, at: u64, why: &str) -> Self {
        Self::Meaning {
            at,
            error: damaged(path, at, why),
        }
    }
}

impl From<io::Error> for LogEnd {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// A sound record without sense is damage, and what counts ends before it.
fn stop_at_meaning(
    path: &Path,
    scanned: Result<ScannedLog, LogEnd>,
    findings: &mut Findings,
) -> Result<ScannedLog> {
    match scanned {
        Ok(scanned) => {
            findings.note_byte(path, &scanned);
            Ok(scanned)
        }
        Err(LogEnd::Read(error)) => Err(unreadable(path, error)),
        Err(LogEnd::Meaning { at, error }) => {
            findings.damage.push(error);
            Ok(ScannedLog {
                end: at,
                ending: Ending::Torn { resumes: None },
                cut: false,
            })
        }
        Err(LogEnd::Hole { at, .. }) => Ok(ScannedLog {
            end: at,
            ending: Ending::Torn { resumes: None },
            cut: false,
        }),
    }
}

/// `lacking` tells whether what was found so far is less than what was promised: then a torn end is
/// no excuse.
fn note_ending(path: &Path, scanned: ScannedLog, lacking: bool, findings: &mut Findings) {
    match scanned.ending {
        Ending::Clean => return,
        Ending::Torn { resumes: None } => {}
        Ending::Torn {
            resumes: Some(next),
        } if lacking => {
            findings.damage.push(damaged(
                path,
                scanned.end,
                &format!("sound records follow at {next}"),
            ));
        }
        Ending::Torn { .. } => {}
        Ending::Damaged { at, next, byte } => {
            let what = match byte {
                Some((byte, _)) => format!("byte {byte} is not what was written"),
                None => format!("sound records follow at {next}"),
            };
            findings.damage.push(damaged(path, at, &what));
        }
        Ending::OneByte {
            at,
            byte: (byte, _),
        } => {
            findings.damage.push(damaged(
                path,
                at,
                &format!("byte {byte} is not what was written"),
            ));
        }
        Ending::Foreign { at, fragment_type } => {
            findings.damage.push(damaged(
                path,
                at,
                &format!("a record of type {fragment_type} is not written there"),
            ));
        }
    }
    findings.tails.push((path.to_path_buf(), scanned.end));
}

fn damaged(path: &Path, at: u64, why: &str) -> Error {
    Error::corrupt(format!(
        "the file {} is damaged at byte {at}: {why}",
        path.display()
    ))
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    let fact = format!("the file {} cannot be read", path.display());
    if error.kind() == io::ErrorKind::NotFound {
        Error::corrupt(fact).because(error)
    } else {
        Error::unavailable(fact).because(error)
    }
}

fn open(path: &Path) -> Result<BufReader<File>> {
    File::open(path)
        .map(|file| BufReader::with_capacity(8 * log::BLOCK_BYTES, file))
        .map_err(|error| unreadable(path, error))
}

/// The number and the path of the manifest that is in use.
pub(super) fn current(directory: &Path) -> Result<(u64, PathBuf)> {
    let path = directory.join(CURRENT);
    let text = fs::read(&path).map_err(|error| unreadable(&path, error))?;
    let name = text
        .strip_suffix(b"\n")
        .and_then(|name| std::str::from_utf8(name).ok());
    let number = name
        .and_then(|name| name.strip_prefix("MANIFEST-"))
        .and_then(number);
    match (name, number) {
        (Some(name), Some(number)) => Ok((number, directory.join(name))),
        _ => Err(damaged(&path, 0, "it names no manifest")),
    }
}

/// A file number as the database writes it.
fn number(digits: &str) -> Option<u64> {
    let number: u64 = digits.parse().ok()?;
    (format!("{number:06}") == digits).then_some(number)
}

/// The logs that recovery reads, in their order.
fn live_logs(directory: &Path, min_log: u64) -> Result<Vec<(u64, PathBuf)>> {
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(|error| unreadable(directory, error))?;
    let logs = entries.iter().filter_map(|entry| {
        let name = entry.file_name();
        let number = number(name.to_str()?.strip_suffix(".log")?)?;
        (number >= min_log).then(|| (number, entry.path()))
    });
    let mut logs: Vec<_> = logs.collect();
    logs.sort_unstable();
    Ok(logs)
}

#[cfg(test)]
mod tests;
