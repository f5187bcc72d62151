//! Opening datasets, and asking GDAL so that what it says is heard.

use std::path::Path;

use gdal::errors::GdalError;
use gdal::{Dataset, DatasetOptions, GdalOpenFlags};

use super::ffi::{self, Said};
use crate::adapter::file;
use crate::error::{Error, ErrorKind, Result};

/// What GDAL gives; an [`Invalid`](ErrorKind::Invalid) error in its words where it fails.
pub(super) fn asked<T>(
    call: impl FnOnce() -> std::result::Result<T, GdalError>,
) -> Result<(T, Vec<String>)> {
    let (made, said) = ffi::heard(call);
    match made {
        Ok(made) => Ok((made, texts(said))),
        Err(cause) => Err(failed(&said, || cause.to_string())),
    }
}

/// Calls GDAL; and what it said meanwhile.
pub(super) fn heard<T>(call: impl FnOnce() -> T) -> (T, Vec<String>) {
    let (made, said) = ffi::heard(call);
    (made, texts(said))
}

/// How what GDAL says begins where the warper finds no coordinates for a cell, which has no data
/// then.
const OUTSIDE: [&str; 4] = [
    "PROJ: ",
    "Reprojection failed",
    "Unable to compute source region",
    "Full reprojection failed",
];

/// The same of cells, of which a warning says that they are not what the file had; of warped ones
/// not that some of them lie outside of a system.
pub(super) fn read<T>(
    is_warped: bool,
    call: impl FnOnce() -> std::result::Result<T, GdalError>,
) -> Result<T> {
    let (made, mut said) = ffi::heard(call);
    if is_warped && made.is_ok() {
        said.retain(|said| !OUTSIDE.iter().any(|start| said.text.starts_with(start)));
    }
    match (made, said.first()) {
        (Ok(made), None) => Ok(made),
        (Err(cause), _) => Err(failed(&said, || cause.to_string())),
        (Ok(_), Some(first)) => Err(Error::invalid(format!(
            "GDAL has doubts about the cells: {}; if they are right, make a file of them with `gdal_translate FILE CELLS.tif`",
            first.text
        ))),
    }
}

/// What one of the programs of GDAL makes in memory.
pub(super) fn made(call: impl FnOnce() -> Result<Option<Dataset>>) -> Result<Dataset> {
    let (made, said) = ffi::heard(call);
    made?.ok_or_else(|| failed(&said, || "it gives no reason".to_owned()))
}

fn texts(said: Vec<Said>) -> Vec<String> {
    said.into_iter().map(|said| said.text).collect()
}

fn failed(said: &[Said], otherwise: impl FnOnce() -> String) -> Error {
    let last = said.iter().rfind(|said| said.is_error).or(said.last());
    let text = last.map_or_else(otherwise, |said| said.text.clone());
    Error::invalid(format!("GDAL says: {text}"))
}

/// Opens a file, or whatever GDAL knows by a name, to read; and what it warned of.
pub(super) fn open(path: &Path) -> Result<(Dataset, Vec<String>)> {
    let options = || DatasetOptions {
        open_flags: GdalOpenFlags::GDAL_OF_READONLY
            | GdalOpenFlags::GDAL_OF_RASTER
            | GdalOpenFlags::GDAL_OF_VERBOSE_ERROR,
        ..DatasetOptions::default()
    };
    asked(|| Dataset::open_ex(path, options())).map_err(|cause| {
        // What is no name of GDAL's is one of a file.
        let missing = !file::is_of_gdal(path) && path.metadata().is_err();
        let kind = if missing {
            ErrorKind::NotFound
        } else {
            ErrorKind::Invalid
        };
        Error::new(
            kind,
            format!("`{}` cannot be opened by GDAL", path.display()),
        )
        .because(cause)
    })
}
