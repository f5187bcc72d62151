//! Damaged bytes of a store's files, given back what was written where a checksum tells which they
//! are.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::preflight::manifest::Manifest;
use super::preflight::table::{self, Mended};
use super::preflight::{self, log};
use super::{KeyRange, Lost, Space};
use crate::error::{Error, Result};

/// A table in which something is not as it was written.
#[derive(Debug)]
pub(super) struct Damaged {
    pub(super) path: PathBuf,
    /// The bytes in which bits have flipped, as they were written. None if it is damaged otherwise
    /// too: a block of it could be taken for one of which a bit has flipped.
    flipped: Vec<(usize, u8)>,
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
        let Some(mended) = table::mend(&mut bytes).filter(|mended| *mended != Mended::default())
        else {
            continue;
        };
        let flipped = if mended.damaged.is_empty() {
            mended.bytes
        } else {
            Vec::new()
        };
        let flipped = flipped.into_iter().map(|(at, _)| (at, bytes[at])).collect();
        found.push(Damaged {
            path: path.clone(),
            flipped,
        });
    }
    Ok(found)
}

impl Damaged {
    /// Whether all of it can be given back what was written.
    pub(super) fn can_be_mended(&self) -> bool {
        !self.flipped.is_empty()
    }

    /// Gives bits that have flipped back what was written, in the table itself or in a copy of it.
    /// One that is damaged otherwise is left as it is.
    pub(super) fn mend(&self, place: &Path) -> io::Result<()> {
        if !self.can_be_mended() {
            return Ok(());
        }
        let file = File::options().write(true).open(place)?;
        for (at, byte) in &self.flipped {
            write_byte(&file, &self.path, *at as u64, *byte)?;
        }
        file.sync_all()
    }
}

/// The spaces of those tables that cannot be mended, as far as the store uses them.
pub(super) fn lost_spaces(directory: &Path, damaged: &[Damaged]) -> Result<BTreeSet<Space>> {
    if damaged.iter().all(Damaged::can_be_mended) {
        return Ok(BTreeSet::new());
    }
    let (manifest, ..) = preflight::manifest_that_counts(directory)?;
    Ok(lost_with(&manifest, damaged)
        .into_iter()
        .map(|(_, lost)| lost.space)
        .collect())
}

/// Takes the tables that cannot be mended out of a store that nobody has open, and gives what is
/// lost with them.
pub(super) fn leave_out(directory: &Path, damaged: &[Damaged]) -> Result<Vec<Lost>> {
    let (manifest, path, end) = preflight::manifest_that_counts(directory)?;
    let lost = lost_with(&manifest, damaged);
    if lost.is_empty() {
        return Ok(Vec::new());
    }
    let mut edits = Vec::new();
    for edit in lost
        .iter()
        .filter_map(|(number, _)| manifest.edit_without(*number))
    {
        edits.extend_from_slice(&log::record(end + edits.len() as u64, &edit));
    }
    let written = File::options().write(true).open(&path).and_then(|file| {
        file.set_len(end)?;
        file.write_all_at(&edits, end)?;
        file.sync_all()
    });
    written.map_err(|error| {
        Error::unavailable(format!("tables cannot be left out of {}", path.display()))
            .because(error)
    })?;
    Ok(lost.into_iter().map(|(_, lost)| lost).collect())
}

/// The numbers of those tables that cannot be mended, as far as the store uses them, and what is
/// lost with them.
fn lost_with(manifest: &Manifest, damaged: &[Damaged]) -> Vec<(u64, Lost)> {
    let lost = damaged
        .iter()
        .filter(|table| !table.can_be_mended())
        .filter_map(|Damaged { path, .. }| {
            let number = path.file_stem()?.to_str()?.parse().ok()?;
            let table = manifest.tables.get(&number)?;
            let range = KeyRange {
                start: table.first.clone(),
                end: Some([table.last.as_slice(), &[0]].concat()),
            };
            let space = super::rocks::space_of(manifest.family(table))?;
            Some((
                number,
                Lost {
                    space,
                    range,
                    file: path.file_name()?.to_string_lossy().into_owned(),
                },
            ))
        });
    lost.collect()
}

/// Writes a byte of a file, and says so.
pub(super) fn write_byte(file: &File, path: &Path, at: u64, byte: u8) -> io::Result<()> {
    file.write_all_at(&[byte], at)?;
    tracing::warn!(file = %path.display(), at, "a damaged byte was given back what was written");
    Ok(())
}
