//! Files that are opened with a clear error, and that appear whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
#[cfg(feature = "geotiff")]
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
#[cfg(feature = "geotiff")]
use std::path::PathBuf;
#[cfg(feature = "geotiff")]
use std::time::SystemTime;

#[cfg(any(feature = "geotiff", feature = "netcdf"))]
use crate::error::ErrorKind;
use crate::error::{Error, Result};

/// Writes a file beside the path and gives it the name when it is complete: a full disk leaves what was there before. What is
/// there and is no regular file (a device, a pipe) is written to directly.
pub fn replace(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    let special = fs::metadata(path).is_ok_and(|found| !found.is_file());
    let mut partial = path.to_owned();
    if !special {
        let mut name = path.file_name().map(OsString::from).ok_or_else(|| failed(path))?;
        name.push(format!(".{}.partial", std::process::id()));
        partial.set_file_name(name);
    }
    let written = File::create(&partial).map_err(|cause| failed(path).because(cause)).and_then(|file| {
        let mut writer = BufWriter::with_capacity(1 << 20, file);
        write(&mut writer)?;
        writer.flush().map_err(|cause| failed(path).because(cause))
    });
    if special {
        return written;
    }
    let named = written.and_then(|()| fs::rename(&partial, path).map_err(|cause| failed(path).because(cause)));
    if named.is_err() {
        // The first error is the one to report; a partial file that cannot be removed either changes nothing about it.
        let _ = fs::remove_file(&partial);
    }
    named
}

/// A file that can be closed between two reads, so that any number of files can be read in turn. It is opened when it is read, and
/// must be as it was.
#[cfg(feature = "geotiff")]
#[derive(Debug)]
pub struct LazyFile {
    path: PathBuf,
    len: u64,
    modified: Option<SystemTime>,
    file: Option<File>,
}

#[cfg(feature = "geotiff")]
impl LazyFile {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = open(path)?;
        let about = file.metadata().map_err(|cause| unopened(path, cause))?;
        Ok(Self { path: path.to_owned(), len: about.len(), modified: about.modified().ok(), file: Some(file) })
    }

    /// Closes it until it is read again.
    pub(super) fn close(&mut self) {
        self.file = None;
    }

    fn file(&mut self) -> io::Result<&mut File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let file = File::open(&self.path)?;
                let about = file.metadata()?;
                if (about.len(), about.modified().ok()) != (self.len, self.modified) {
                    return Err(io::Error::other("the file was changed meanwhile; try again when nothing writes it"));
                }
                file
            }
        };
        Ok(self.file.insert(file))
    }
}

#[cfg(feature = "geotiff")]
impl Read for LazyFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file()?.read(buffer)
    }
}

#[cfg(feature = "geotiff")]
impl Seek for LazyFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file()?.seek(to)
    }
}

/// Opens a file to read.
#[cfg(any(feature = "geotiff", feature = "netcdf"))]
pub(super) fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|cause| unopened(path, cause))
}

#[cfg(any(feature = "geotiff", feature = "netcdf"))]
fn unopened(path: &Path, cause: io::Error) -> Error {
    let kind = if cause.kind() == io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Unavailable };
    Error::new(kind, format!("`{}` cannot be opened", path.display())).because(cause)
}

fn failed(path: &Path) -> Error {
    Error::unavailable(format!("`{}` cannot be written", path.display()))
}
