//! Damaged bytes of a store's files, given back what was written where a checksum tells which they are.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::preflight::{self, log, table};
use super::{KeyRange, Lost};
use crate::error::{Error, Result};

/// A table in which something is not as it was written.
#[derive(Debug)]
pub(super) struct Damaged {
    pub(super) path: PathBuf,
    /// The table, with those bits given back what was written of which that can be told.
    pub(super) bytes: Vec<u8>,
    /// The bytes that this has changed.
    changed: Vec<usize>,
    /// Whether all of it is sound then.
    pub(super) is_sound: bool,
}

/// The tables of a directory, the smallest first, as many as have so many bytes in all.
pub(super) fn tables(directory: &Path, bytes_max: u64) -> io::Result<Vec<PathBuf>> {
    let mut tables = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|of| of == "sst") {
            match fs::metadata(&path) {
                Ok(metadata) => tables.push((metadata.len(), path)),
                // Whoever writes to the store has removed it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    tables.sort();
    let mut left = bytes_max;
    let few = tables.into_iter().take_while(|(bytes, _)| {
        let fits = *bytes <= left;
        left = left.saturating_sub(*bytes);
        fits
    });
    Ok(few.map(|(_, path)| path).collect())
}

/// Those of some tables that are damaged.
pub(super) fn damaged(tables: &[PathBuf]) -> io::Result<Vec<Damaged>> {
    let mut found = Vec::new();
    for path in tables {
        let mut bytes = fs::read(path)?;
        // Of a form that is not known nothing can be told.
        let Some(mended) = table::mend(&mut bytes) else { continue };
        let is_sound = mended.damaged.is_empty();
        let changed: Vec<usize> = mended.bytes.into_iter().map(|(at, _)| at).collect();
        if !is_sound || !changed.is_empty() {
            found.push(Damaged { path: path.clone(), bytes, changed, is_sound });
        }
    }
    Ok(found)
}

impl Damaged {
    /// Whether bits can be given back what was written.
    pub(super) fn is_mended(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Gives bits in the file itself back what was written. A table that is damaged otherwise too is left as it is: a block of it
    /// could be taken for one of which a bit has flipped.
    pub(super) fn mend_in_place(&self) -> io::Result<()> {
        if self.changed.is_empty() || !self.is_sound {
            return Ok(());
        }
        let file = File::options().write(true).open(&self.path)?;
        for at in &self.changed {
            write_byte(&file, &self.path, *at as u64, self.bytes[*at])?;
        }
        file.sync_all()
    }
}

/// What is lost with tables, as far as the store uses them.
pub(super) fn lost_with<'a>(directory: &Path, tables: impl Iterator<Item = &'a Path>) -> Result<Vec<(u64, Lost)>> {
    let (manifest, ..) = preflight::manifest_that_counts(directory)?;
    let lost = tables.filter_map(|path| {
        let number = path.file_stem()?.to_str()?.parse().ok()?;
        let table = manifest.tables.get(&number)?;
        let range = KeyRange { start: table.first.clone(), end: Some([table.last.as_slice(), &[0]].concat()) };
        let space = super::rocks::space_of(manifest.family(table))?;
        Some((number, Lost { space, range, file: path.file_name()?.to_string_lossy().into_owned() }))
    });
    Ok(lost.collect())
}

/// Takes tables out of a store that nobody has open, and gives what is lost with them.
pub(super) fn leave_out<'a>(directory: &Path, tables: impl Iterator<Item = &'a Path>) -> Result<Vec<Lost>> {
    let lost = lost_with(directory, tables)?;
    if lost.is_empty() {
        return Ok(Vec::new());
    }
    let (manifest, path, end) = preflight::manifest_that_counts(directory)?;
    let mut edits = Vec::new();
    for edit in lost.iter().filter_map(|(number, _)| manifest.edit_without(*number)) {
        edits.extend_from_slice(&log::record(end + edits.len() as u64, &edit));
    }
    let written = File::options().write(true).open(&path).and_then(|file| {
        file.set_len(end)?;
        file.write_all_at(&edits, end)?;
        file.sync_all()
    });
    written.map_err(|error| Error::unavailable(format!("tables cannot be left out of {}", path.display())).because(error))?;
    Ok(lost.into_iter().map(|(_, lost)| lost).collect())
}

/// Writes a byte of a file, and says so.
pub(super) fn write_byte(file: &File, path: &Path, at: u64, byte: u8) -> io::Result<()> {
    file.write_all_at(&[byte], at)?;
    tracing::warn!(file = %path.display(), at, "a damaged byte was given back what was written");
    Ok(())
}
