//! Files that are opened with a clear error, and that appear whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
#[cfg(any(feature = "geotiff", feature = "netcdf"))]
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
#[cfg(feature = "geotiff")]
use std::path::PathBuf;
#[cfg(feature = "geotiff")]
use std::time::SystemTime;

#[cfg(any(feature = "geotiff", feature = "netcdf"))]
use super::source::Fingerprint;
#[cfg(any(feature = "geotiff", feature = "netcdf"))]
use crate::codec::Digest;
#[cfg(any(feature = "geotiff", feature = "netcdf"))]
use crate::error::ErrorKind;
#[cfg(feature = "geotiff")]
use crate::error::quoted;
use crate::error::{Error, Result};

/// What the name of a file ends with that is being written.
const PARTIAL: &str = ".partial";

/// Writes a file beside the path and gives it the name when it is complete and on the medium: a full
/// disk or a cut of power leaves what was there before. What is there and is no regular file (a
/// device, a pipe) is written to directly. What a process that was killed has left of such a file is
/// removed.
///
/// # Errors
///
/// That of `write`, or an [`Unavailable`](crate::ErrorKind::Unavailable) one if the path cannot be
/// written; nothing is left of the new file then.
pub fn replace<T>(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> Result<T>) -> Result<T> {
    remove_left(path);
    let made = replace_unsynced(path, |out| {
        let made = write(out)?;
        let synced = out.flush().and_then(|()| out.get_ref().sync_all());
        match synced {
            // A device or a pipe has nothing to put anywhere.
            Err(cause) if !is_unable(&cause) => Err(failed(path).because(cause)),
            _ => Ok(made),
        }
    })?;
    match path.parent().map(sync_folder) {
        Some(Err(cause)) => Err(failed(path).because(cause)),
        _ => Ok(made),
    }
}

/// Puts the names that are in a folder on the medium, where there is such a thing.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    let here = folder.as_os_str().is_empty();
    let folder = if here { Path::new(".") } else { folder };
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(cause) if !is_unable(&cause) => Err(cause),
        _ => Ok(()),
    }
}

/// Whether what was asked of a file system is nothing that it does.
fn is_unable(cause: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    [InvalidInput, PermissionDenied, Unsupported].contains(&cause.kind())
}

/// The same, but what a cut of power leaves is not said, and what a process that was killed has
/// left stays: to look for it at each of many files of a folder would take long.
pub(super) fn replace_unsynced<T>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<T>,
) -> Result<T> {
    let cannot = |cause: std::io::Error| failed(path).because(cause);
    let written = |file: File| -> Result<T> {
        let mut writer = BufWriter::with_capacity(1 << 20, file);
        let made = write(&mut writer)?;
        writer.flush().map_err(cannot)?;
        Ok(made)
    };
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return File::create(path).map_err(cannot).and_then(written);
    }
    let name = path.file_name().ok_or_else(|| failed(path))?;
    let mut own = OsString::from(name);
    own.push(format!(".{}{PARTIAL}", std::process::id()));
    let partial = path.with_file_name(own);
    let made = File::create(&partial)
        .map_err(cannot)
        .and_then(|file| {
            // While it is locked no other process takes it for one that was left. Where there are
            // no locks, none is.
            let _ = file.try_lock();
            written(file)
        })
        .and_then(|made| fs::rename(&partial, path).map(|()| made).map_err(cannot));
    if made.is_err() {
        // The first error is the one to report; a partial file that cannot be removed either
        // changes nothing about it.
        let _ = fs::remove_file(&partial);
    }
    made
}

/// Removes what processes that are no more have left of a file. What cannot be removed is in
/// nobody's way.
pub(super) fn remove_left(path: &Path) {
    let Some(name) = path.file_name() else {
        return;
    };
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let start = format!("{}.", name.to_string_lossy());
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let other = entry.file_name().to_string_lossy().into_owned();
        let number = other
            .strip_prefix(&start)
            .and_then(|rest| rest.strip_suffix(PARTIAL));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !number.is_some_and(is_number) {
            continue;
        }
        let free = File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if free {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A file that can be closed between two reads, so that any number of files can be read in turn. It
/// is opened when it is read, and must be as it was. Or the bytes of one in memory.
#[cfg(feature = "geotiff")]
#[derive(Debug)]
pub struct LazyFile(FileState);

#[cfg(feature = "geotiff")]
#[derive(Debug)]
enum FileState {
    Path {
        path: PathBuf,
        len: u64,
        modified: Option<SystemTime>,
        file: Option<File>,
    },
    Memory(io::Cursor<Vec<u8>>),
}

#[cfg(feature = "geotiff")]
impl LazyFile {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = open(path)?;
        let about = file.metadata().map_err(|cause| unopened(path, cause))?;
        let (path, len, modified) = (path.to_owned(), about.len(), about.modified().ok());
        Ok(Self(FileState::Path {
            path,
            len,
            modified,
            file: Some(file),
        }))
    }

    /// The bytes of a file.
    pub(super) fn of_bytes(bytes: Vec<u8>) -> Self {
        Self(FileState::Memory(io::Cursor::new(bytes)))
    }

    /// Closes it until it is read again.
    pub(super) fn close(&mut self) {
        if let FileState::Path { file, .. } = &mut self.0 {
            *file = None;
        }
    }

    /// What tells that it is not what it was; `None` of bytes in memory.
    pub(super) fn fingerprint(&self) -> Result<Option<Fingerprint>> {
        if let FileState::Path { path, .. } = &self.0 {
            fingerprint(path).map(Some)
        } else {
            Ok(None)
        }
    }

    fn reader(&mut self) -> io::Result<&mut dyn ReadSeek> {
        match &mut self.0 {
            FileState::Memory(bytes) => Ok(bytes),
            FileState::Path {
                path,
                len,
                modified,
                file,
            } => {
                let open = match file.take() {
                    Some(file) => file,
                    None => {
                        let file = File::open(path)?;
                        let about = file.metadata()?;
                        if (about.len(), about.modified().ok()) != (*len, *modified) {
                            return Err(io::Error::other(
                                "the file was changed meanwhile; try again when nothing writes it",
                            ));
                        }
                        file
                    }
                };
                Ok(file.insert(open))
            }
        }
    }
}

#[cfg(feature = "geotiff")]
trait ReadSeek: Read + Seek {}

#[cfg(feature = "geotiff")]
impl<R: Read + Seek> ReadSeek for R {}

#[cfg(feature = "geotiff")]
impl Read for LazyFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader()?.read(buffer)
    }
}

#[cfg(feature = "geotiff")]
impl Seek for LazyFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.reader()?.seek(to)
    }
}

/// What tells that a file is not what it was.
#[cfg(any(feature = "geotiff", feature = "netcdf"))]
pub(super) fn fingerprint(path: &Path) -> Result<Fingerprint> {
    const ENDS: u64 = 1 << 16;
    let failed = |cause: io::Error| {
        Error::unavailable(format!("`{}` cannot be read", path.display())).because(cause)
    };
    let mut file = open(path)?;
    let about = file.metadata().map_err(failed)?;
    let mut digest = Digest::default();
    for start in [0, about.len().saturating_sub(ENDS)] {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(start))
            .and_then(|_| (&mut file).take(ENDS).read_to_end(&mut bytes))
            .map_err(failed)?;
        digest.bytes(&bytes);
    }
    Ok(Fingerprint {
        bytes: about.len(),
        modified: about.modified().ok(),
        digest: digest.finish(),
    })
}

/// Whether a name is one that only GDAL understands: of one of its file systems, or of a part of a
/// file, like `NETCDF:"FILE":VARIABLE`.
#[cfg(feature = "geotiff")]
pub(super) fn is_of_gdal(path: &Path) -> bool {
    let name = path.to_string_lossy();
    let is_word = |word: &str| {
        word.len() > 1
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    name.starts_with("/vsi") || name.split_once(':').is_some_and(|(word, _)| is_word(word))
}

/// What helps with a name that is no raster as it stands: of a packed file, or of one elsewhere.
pub(super) fn fetched(path: &Path) -> Option<String> {
    let name = path.to_string_lossy();
    let gdal = |way: String, named: String| match cfg!(feature = "gdal") {
        true => format!("{way}, or name it `{named}`"),
        false => way,
    };
    if let Some(file) = name.strip_prefix("file://") {
        return Some(format!("name it `{}`", quoted(file)));
    }
    for (scheme, way, within) in [
        ("https://", "curl -O", "/vsicurl/https://"),
        ("http://", "curl -O", "/vsicurl/http://"),
        ("s3://", "aws s3 cp", "/vsis3/"),
        ("gs://", "gsutil cp", "/vsigs/"),
    ] {
        if let Some(rest) = name.strip_prefix(scheme) {
            let here = if scheme.starts_with("http") { "" } else { " ." };
            return Some(gdal(
                format!("fetch it with `{way} {}{here}`", quoted(&name)),
                quoted(&format!("{within}{rest}")),
            ));
        }
    }
    let lower = name.to_ascii_lowercase();
    for (end, way, within, member) in [
        (".tar.gz", "tar xf", "/vsitar/", "/MEMBER"),
        (".tgz", "tar xf", "/vsitar/", "/MEMBER"),
        (".tar", "tar xf", "/vsitar/", "/MEMBER"),
        (".zip", "unzip", "/vsizip/", "/MEMBER"),
        (".gz", "gunzip -k", "/vsigzip/", ""),
    ] {
        if lower.ends_with(end) {
            let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            return Some(gdal(
                format!("unpack it with `{way} {}`", quoted(&name)),
                quoted(&format!("{within}{}{member}", whole.display())),
            ));
        }
    }
    None
}

/// Opens a file to read.
#[cfg(any(feature = "geotiff", feature = "netcdf"))]
pub(super) fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|cause| unopened(path, cause))
}

#[cfg(any(feature = "geotiff", feature = "netcdf"))]
fn unopened(path: &Path, cause: io::Error) -> Error {
    let kind = if cause.kind() == io::ErrorKind::NotFound {
        ErrorKind::NotFound
    } else {
        ErrorKind::Unavailable
    };
    Error::new(kind, format!("`{}` cannot be opened", path.display())).because(cause)
}

/// That a path cannot be written.
pub(super) fn failed(path: &Path) -> Error {
    Error::unavailable(format!("`{}` cannot be written", path.display()))
}
