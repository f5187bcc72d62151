//! A directory of links that stands for the files of a store where those cannot be read in their
//! place: where some of them have to be cut and may not be, or where another process writes to the
//! store and will remove some.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::preflight::watermark::{WATERMARK, Watermark};
use super::preflight::{self, CURRENT, Findings};
use crate::error::{Error, ErrorKind, Result};

/// How often it is tried to get hold of files of one moment. Only a compaction that ends meanwhile
/// makes it fail.
const TRIES: u32 = 40;
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// The directory; it goes when it is dropped.
#[derive(Debug)]
pub(super) struct Links {
    place: PathBuf,
    /// What the links lead to: these files are there while they are open, whoever removes them.
    files: Vec<File>,
}

impl Links {
    /// The directory.
    pub(super) fn place(&self) -> &Path {
        &self.place
    }

    /// How many files are held open.
    pub(super) fn held(&self) -> usize {
        self.files.len()
    }

    fn new() -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let place =
            std::env::temp_dir().join(format!("gridstone-view-{}-{number}", std::process::id()));
        // A process of this number that was killed has left it.
        if place.exists() {
            fs::remove_dir_all(&place)?;
        }
        fs::create_dir(&place)?;
        Ok(Self {
            place,
            files: Vec::new(),
        })
    }

    /// Whatever of a store counts, if that is not the store as it stands.
    pub(super) fn of_what_counts(path: &Path, findings: &Findings) -> io::Result<Option<Self>> {
        if findings.tails.is_empty() && findings.orphans.is_empty() && findings.current.is_none() {
            return Ok(None);
        }
        let links = Self::new()?;
        let store = fs::canonicalize(path)?;
        for entry in fs::read_dir(&store)? {
            let (file, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
            let place = links.place.join(&name);
            let is_of = |other: &PathBuf| other.file_name() == Some(name.as_os_str());
            if findings.orphans.iter().any(is_of) || name == WATERMARK {
                continue;
            }
            if let Some((_, end)) = findings.tails.iter().find(|(tail, _)| is_of(tail)) {
                io::copy(
                    &mut File::open(&file)?.take(*end),
                    &mut File::create(&place)?,
                )?;
            } else if name == CURRENT {
                fs::write(&place, format!("MANIFEST-{:06}\n", findings.manifest.0))?;
            } else {
                std::os::unix::fs::symlink(&file, &place)?;
            }
        }
        Ok(Some(links))
    }

    /// All files of a directory.
    pub(super) fn of_all(path: &Path) -> io::Result<Self> {
        let (links, store) = (Self::new()?, fs::canonicalize(path)?);
        for entry in fs::read_dir(&store)? {
            let entry = entry?;
            if entry.file_name() != WATERMARK {
                std::os::unix::fs::symlink(entry.path(), links.place.join(entry.file_name()))?;
            }
        }
        Ok(links)
    }

    /// Puts a copy of a file in the place of the link to it, and gives where that is.
    pub(super) fn own(&self, name: &OsStr) -> io::Result<PathBuf> {
        let place = self.place.join(name);
        let bytes = fs::read(&place)?;
        fs::remove_file(&place)?;
        fs::write(&place, bytes)?;
        Ok(place)
    }

    /// The files of a store that another process writes to, as they are at some moment of the call:
    /// all that was synced when it began is in them, which is proven as for any store that is
    /// opened. `promised` reads what was synced.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](ErrorKind::Corrupt) if no moment's files are whole;
    /// [`Unavailable`](ErrorKind::Unavailable) if they cannot be held.
    pub(super) fn of_moment(
        path: &Path,
        families: &[&str],
        files_max: usize,
        promised: &dyn Fn() -> Result<Watermark>,
    ) -> Result<(Self, Findings)> {
        let mut tries = 0;
        loop {
            let taken =
                promised().and_then(|promised| Self::taken(path, families, files_max, promised));
            match taken {
                Err(error) if *error.kind() == ErrorKind::Corrupt && tries < TRIES => tries += 1,
                taken => return taken,
            }
            thread::sleep(PAUSE_MAX.min(Duration::from_millis(5) * tries));
        }
    }

    fn taken(
        path: &Path,
        families: &[&str],
        files_max: usize,
        promised: Watermark,
    ) -> Result<(Self, Findings)> {
        let failed = |error: io::Error| {
            let kind = if error.kind() == io::ErrorKind::NotFound {
                ErrorKind::Corrupt
            } else {
                ErrorKind::Unavailable
            };
            Error::new(
                kind,
                format!(
                    "the store at {} is open in another process, and its files cannot be held",
                    path.display()
                ),
            )
            .because(error)
        };
        let mut links = Self::new().map_err(failed)?;
        let (_, manifest) = preflight::current(path)?;
        let name = manifest.file_name().unwrap_or_default().to_owned();
        // First what tells which files there are: those that come later do not matter.
        let copied = fs::copy(&manifest, links.place.join(&name));
        let current = [name.as_encoded_bytes(), b"\n"].concat();
        copied
            .and_then(|_| fs::write(links.place.join(CURRENT), current))
            .map_err(failed)?;
        links.hold(path, files_max, &failed)?;
        let mut findings = preflight::inspect(&links.place, promised, families)?;
        if !findings.damage.is_empty() {
            return Err(findings.damage.swap_remove(0));
        }
        if let Some(orphan) = findings.orphans.first() {
            return Err(Error::corrupt(format!(
                "records are missing before {}",
                orphan.display()
            )));
        }
        // The manifest may have been copied in the midst of a write; the end of a log the database
        // sees for itself.
        for (file, end) in findings
            .tails
            .iter()
            .filter(|(file, _)| file.file_name() == Some(&name))
        {
            File::options()
                .write(true)
                .open(file)
                .and_then(|file| file.set_len(*end))
                .map_err(failed)?;
        }
        Ok((links, findings))
    }

    /// Opens the data files and logs of a store, and links to them.
    fn hold(
        &mut self,
        path: &Path,
        files_max: usize,
        failed: &dyn Fn(io::Error) -> Error,
    ) -> Result<()> {
        for entry in fs::read_dir(path).map_err(failed)? {
            let (file, name) = entry
                .map(|entry| (entry.path(), entry.file_name()))
                .map_err(failed)?;
            if ![".sst", ".blob", ".log"]
                .iter()
                .any(|suffix| name.to_string_lossy().ends_with(suffix))
            {
                continue;
            }
            if self.files.len() == files_max {
                let text = format!(
                    "the store at {} is open in another process, and has more files than",
                    path.display()
                );
                return Err(Error::unavailable(format!(
                    "{text} {files_max}: raise the limit (ulimit -n {})",
                    8 * files_max
                )));
            }
            match File::open(&file) {
                Ok(file) => {
                    std::os::unix::fs::symlink(descriptor(&file), self.place.join(&name))
                        .map_err(failed)?;
                    self.files.push(file);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }
}

/// A path that leads to an open file, whatever has become of its name.
fn descriptor(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd;
    Path::new("/proc/self/fd").join(file.as_raw_fd().to_string())
}

impl Drop for Links {
    fn drop(&mut self) {
        // Nothing is lost with it, and nobody could do anything about it.
        let _ = fs::remove_dir_all(&self.place);
    }
}
