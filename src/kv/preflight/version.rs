//! Which state of its data files a store is in: the last one that its manifest tells and that is
//! whole.
//!
//! The database writes an edit into the manifest when new data files are there, and takes the files
//! away again if that write fails, though the edit may have reached the medium. Then the state
//! before the edit counts: nobody was told of the edit, what it would have replaced is still there,
//! and so are the logs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::log::{self, Ending, LogRecord, ScannedLog};
use super::manifest::{DataFile, Manifest};
use super::watermark::Watermark;
use super::{
    CURRENT, Findings, LogEnd, current, damaged, note_ending, number, open, stop_at_meaning,
    unreadable,
};
use crate::error::{Error, Result};

/// A manifest as far as it was read.
struct ManifestVersion {
    number: u64,
    path: PathBuf,
    manifest: Manifest,
    scanned: ScannedLog,
}

impl ManifestVersion {
    /// Whether what was promised of the manifest lies before an end.
    fn keeps(&self, promised: Watermark, end: u64) -> bool {
        self.number > promised.manifest
            || self.number == promised.manifest && end >= promised.manifest_bytes
    }
}

/// Reads the manifest that counts, and notes what is wrong with it.
pub(super) fn inspect(
    directory: &Path,
    promised: Watermark,
    families: &[&str],
    findings: &mut Findings,
) -> Result<Manifest> {
    let files = DataFiles::list(directory)?;
    let named = match current(directory) {
        Ok(named) => Some(named),
        // The manifests are there still.
        Err(error) if directory.join(CURRENT).exists() && !files.manifests.is_empty() => {
            findings.damage.push(error);
            None
        }
        Err(error) => return Err(error),
    };
    let before = named.as_ref().map_or(u64::MAX, |(number, _)| *number);
    let version = match named {
        Some((number, path)) => read(number, path, u64::MAX, findings, &mut |_, _| ()),
        None => Err(Error::corrupt(format!(
            "no manifest in {} has a state that is whole",
            directory.display()
        ))),
    };
    let mut version = match version {
        Ok(version) => last_whole(version, promised, &files, findings)?,
        Err(error) => match last_whole_before(directory, before, promised, &files)? {
            Some(version) => version,
            // What is named as current is not there, and should be another one.
            None => match last_whole_before(directory, u64::MAX, promised, &files)? {
                Some(version) if !files.manifests.contains(&before) => {
                    findings.damage.push(error);
                    version
                }
                _ => return Err(error),
            },
        },
    };
    if let Some(file) = files.missing(&version.manifest) {
        match last_whole_before(directory, before, promised, &files)? {
            Some(older) => version = older,
            None => {
                findings.damage.push(files.complaint(directory, file));
            }
        }
    }
    let ManifestVersion {
        number,
        path,
        manifest,
        scanned,
    } = version;
    findings.current = Some(number).filter(|number| *number != before);
    findings.files.push(path.clone());
    findings.manifest = (number, scanned.end);
    findings.sequence = manifest.last_sequence;
    let lacking = number < promised.manifest
        || number == promised.manifest && scanned.end < promised.manifest_bytes;
    note_ending(&path, scanned, lacking, findings);
    if number < promised.manifest {
        let text = format!(
            "names manifest {number} although {} was in use",
            promised.manifest
        );
        findings.damage.push(Error::corrupt(format!(
            "the file {} {text}",
            directory.join(CURRENT).display()
        )));
    }
    if number == promised.manifest && scanned.end < promised.manifest_bytes {
        let text = format!("{} bytes of it had been synced", promised.manifest_bytes);
        findings.damage.push(damaged(&path, scanned.end, &text));
    }
    if promised.manifest > 0
        && let Some(missing) = families
            .iter()
            .find(|name| !manifest.families.values().any(|known| known == *name))
    {
        findings.damage.push(damaged(
            &path,
            scanned.end,
            &format!("it lacks the family {missing}"),
        ));
    }
    Ok(manifest)
}

/// The manifest up to its last edit that is whole, if all that was promised lies before that.
fn last_whole(
    version: ManifestVersion,
    promised: Watermark,
    files: &DataFiles,
    findings: &mut Findings,
) -> Result<ManifestVersion> {
    if files.missing(&version.manifest).is_none() {
        return Ok(version);
    }
    let mut whole = None;
    read(
        version.number,
        version.path.clone(),
        u64::MAX,
        &mut Findings::default(),
        &mut |manifest, end| {
            if manifest.is_settled() && files.missing(manifest).is_none() {
                whole = Some(end);
            }
        },
    )?;
    match whole.filter(|end| *end > 0 && version.keeps(promised, *end)) {
        Some(end) => {
            let cut = read(version.number, version.path, end, findings, &mut |_, _| ())?;
            Ok(ManifestVersion {
                scanned: ScannedLog {
                    end,
                    ending: Ending::Torn { resumes: None },
                    cut: false,
                },
                ..cut
            })
        }
        None => Ok(version),
    }
}

/// The last manifest before the named one that has a whole state with all that was promised.
fn last_whole_before(
    directory: &Path,
    named: u64,
    promised: Watermark,
    files: &DataFiles,
) -> Result<Option<ManifestVersion>> {
    for number in files
        .manifests
        .iter()
        .rev()
        .filter(|number| **number < named && **number >= promised.manifest.max(1))
    {
        let (path, mut findings) = (
            directory.join(format!("MANIFEST-{number:06}")),
            Findings::default(),
        );
        let version = read(*number, path, u64::MAX, &mut findings, &mut |_, _| ())?;
        let version = last_whole(version, promised, files, &mut findings)?;
        let whole = files.missing(&version.manifest).is_none()
            && version.keeps(promised, version.scanned.end);
        if findings.damage.is_empty() && whole && version.scanned.end > 0 {
            return Ok(Some(version));
        }
    }
    Ok(None)
}

/// Reads a manifest up to an end. `visit` sees it before each edit, with where that begins.
fn read(
    number: u64,
    path: PathBuf,
    end: u64,
    findings: &mut Findings,
    visit: &mut dyn FnMut(&Manifest, u64),
) -> Result<ManifestVersion> {
    let mut manifest = Manifest::default();
    let scanned = log::scan(
        open(&path)?.take(end),
        usize::MAX,
        |record: LogRecord<'_>| {
            visit(&manifest, record.at);
            let applied = manifest.apply(record.head);
            applied.ok_or_else(|| LogEnd::meaning(&path, record.at, "its record cannot be read"))
        },
    );
    let scanned = stop_at_meaning(&path, scanned, findings)?;
    Ok(ManifestVersion {
        number,
        path,
        manifest,
        scanned,
    })
}

/// The data files of a directory with their lengths, and its manifests.
struct DataFiles {
    tables: BTreeMap<u64, u64>,
    values: BTreeMap<u64, u64>,
    manifests: BTreeSet<u64>,
}

impl DataFiles {
    fn list(directory: &Path) -> Result<Self> {
        let mut files = Self {
            tables: BTreeMap::new(),
            values: BTreeMap::new(),
            manifests: BTreeSet::new(),
        };
        let entries = fs::read_dir(directory).map_err(|error| unreadable(directory, error))?;
        for entry in entries {
            let (path, name) = entry
                .map(|entry| (entry.path(), entry.file_name()))
                .map_err(|error| unreadable(directory, error))?;
            let Some(name) = name.to_str() else { continue };
            let of_kind = |suffix| name.strip_suffix(suffix).and_then(number);
            if let Some(number) = name.strip_prefix("MANIFEST-").and_then(number) {
                files.manifests.insert(number);
            } else if let Some((number, kind)) = of_kind(".sst")
                .map(|of| (of, &mut files.tables))
                .or(of_kind(".blob").map(|of| (of, &mut files.values)))
            {
                match fs::metadata(&path) {
                    Ok(metadata) => drop(kind.insert(number, metadata.len())),
                    // Whoever writes to the store has removed it meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(unreadable(&path, error)),
                }
            }
        }
        Ok(files)
    }

    fn length(&self, file: DataFile) -> Option<u64> {
        match file {
            DataFile::Table(number) => self.tables.get(&number).copied(),
            DataFile::Values(number) => self.values.get(&number).copied(),
        }
    }

    /// The first file that a manifest needs and that is not there whole.
    fn missing(&self, manifest: &Manifest) -> Option<DataFile> {
        manifest.missing(|file, bytes| self.length(file) == Some(bytes))
    }

    fn complaint(&self, directory: &Path, file: DataFile) -> Error {
        let name = match file {
            DataFile::Table(number) => format!("{number:06}.sst"),
            DataFile::Values(number) => format!("{number:06}.blob"),
        };
        let what = match self.length(file) {
            None => "is missing".to_owned(),
            Some(bytes) => format!("has {bytes} bytes, which is not its length,"),
        };
        Error::corrupt(format!("the file {name} {what} in {}", directory.display()))
    }
}
