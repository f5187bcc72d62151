//! Files that are opened with a clear error, and that appear whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

#[cfg(any(feature = "geotiff", feature = "netcdf"))]
use crate::error::ErrorKind;
use crate::error::{Error, Result};

/// Writes a file beside the path and gives it the name when it is complete: a full disk leaves what was there before. What is
/// there and is no regular file (a device, a pipe) is written to directly.
pub(crate) fn replace(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
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

/// Opens a file to read.
#[cfg(any(feature = "geotiff", feature = "netcdf"))]
pub(super) fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|cause| {
        let kind = if cause.kind() == std::io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Unavailable };
        Error::new(kind, format!("`{}` cannot be opened", path.display())).because(cause)
    })
}

fn failed(path: &Path) -> Error {
    Error::unavailable(format!("`{}` cannot be written", path.display()))
}
