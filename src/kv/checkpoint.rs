//! Copies of a store: made while it is open, whole at every moment, and put back as a store of its
//! own.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::preflight::watermark::{WATERMARK, Watermark, WatermarkFile};
use super::preflight::{self, CURRENT, Findings};
use super::{Lost, directory, mending, url};
use crate::error::{Error, Result};

/// The name of the file that tells a copy from a store. Whoever goes on with a copy gives it an
/// identity of its own.
const CHECKPOINT: &str = "CHECKPOINT";
/// So many damaged bytes of a copy are mended at most.
const DAMAGED_BYTES_MAX: usize = 100;

/// Whether a directory is a copy that nobody has written to since it was made.
pub(super) fn is_copy(path: &Path) -> bool {
    path.join(CHECKPOINT).exists()
}

/// Makes a copy a store of its own.
pub(super) fn adopt(path: &Path) -> Result<()> {
    let removed = fs::remove_file(path.join(CHECKPOINT)).and_then(|()| sync(path));
    removed.map_err(|error| failed(path, "it is a copy and cannot be written to", error))
}

/// Lets `make` write a copy into a directory that does not exist, and puts it in the place of
/// `target`, at once.
pub(super) fn make(
    target: &Path,
    families: &[&str],
    make: &dyn Fn(&Path) -> Result<()>,
) -> Result<()> {
    // Nobody reads the old copy while it is replaced.
    let _locked = match fs::read_dir(target).map(|mut entries| entries.next().is_some()) {
        Ok(true) if is_copy(target) => Some(directory::lock(target, false)?),
        Ok(true) => {
            let place = target.display();
            return Err(Error::invalid(format!(
                "the directory {place} holds other things than a checkpoint; choose another"
            )));
        }
        Ok(false) => None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(target, "it cannot be read", error)),
    };
    let fresh = beside(target, "new")?;
    let cleared = if fresh.exists() {
        fs::remove_dir_all(&fresh)
    } else {
        Ok(())
    };
    cleared.map_err(|error| failed(&fresh, "what an earlier try left cannot be removed", error))?;
    make(&fresh)?;
    seal(&fresh, families, false)?;
    let placed = match target.exists() {
        true => exchange(&fresh, target).and_then(|()| fs::remove_dir_all(&fresh)),
        false => fs::rename(&fresh, target),
    };
    placed
        .and_then(|()| sync(parent(target)))
        .map_err(|error| failed(target, "the copy cannot be put there", error))
}

/// Makes a new store at `target` of a copy, or of any store that is not open. Data files are shared
/// where that is possible: they are never changed, but for bits of them that had flipped.
pub(crate) fn restore(from: &Path, target: &Path) -> Result<()> {
    put_back(from, target, false, &|_, _| Ok(())).map(drop)
}

/// Makes a new store at `target` of a damaged one that is not open, as far as its logs count and
/// its tables can be read; gives what is not in it. `finish` is let at the copy before it is put
/// there.
pub(crate) fn salvage(from: &Path, target: &Path, finish: Finish<'_>) -> Result<Vec<Lost>> {
    put_back(from, target, true, finish)
}

/// Makes a copy complete of which something is lost.
type Finish<'a> = &'a dyn Fn(&Path, &[Lost]) -> Result<()>;

fn put_back(
    from: &Path,
    target: &Path,
    accept_data_loss: bool,
    finish: Finish<'_>,
) -> Result<Vec<Lost>> {
    url::must_be_directory(from, "what is restored")?;
    url::must_be_directory(target, "a restored store")?;
    let families = super::rocks::family_names();
    let admission = directory::admit_reader(from, accept_data_loss, &families)?;
    if fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Error::invalid(format!(
            "the directory {} is not empty; restore to another",
            target.display()
        )));
    }
    let fresh = beside(target, "new")?;
    // What is damaged is copied as it is, to be mended as far as that can be.
    let source = if accept_data_loss && !admission.is_of_moment {
        from
    } else {
        admission.place()
    };
    let copied = copy(source, &fresh, accept_data_loss);
    copied.map_err(|error| {
        failed(
            target,
            &format!("{} cannot be copied", from.display()),
            error,
        )
    })?;
    let lost = if accept_data_loss {
        mend(&fresh, &families)?
    } else {
        Vec::new()
    };
    seal(&fresh, &families, accept_data_loss)?;
    finish(&fresh, &lost)?;
    let placed = fs::rename(&fresh, target).and_then(|()| sync(parent(target)));
    placed
        .map_err(|error| failed(target, "the copy cannot be put there", error))
        .map(|()| lost)
}

/// Copies what belongs to a store. What is to be mended is shared with nobody; large values are not
/// mended.
fn copy(from: &Path, fresh: &Path, to_be_mended: bool) -> io::Result<()> {
    if fresh.exists() {
        fs::remove_dir_all(fresh)?;
    }
    fs::create_dir_all(fresh)?;
    for entry in fs::read_dir(from)? {
        let (file, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let text = name.to_string_lossy();
        let data = [".sst", ".blob"]
            .iter()
            .any(|suffix| text.ends_with(suffix));
        let logs = text.ends_with(".log")
            || ["MANIFEST-", "OPTIONS-"]
                .iter()
                .any(|prefix| text.starts_with(prefix));
        if !data && !logs && text != CURRENT && text != "IDENTITY" {
            continue;
        }
        let place = fresh.join(&name);
        // Behind a link is the file itself, unless its name is gone.
        let shared = data && !(to_be_mended && text.ends_with(".sst"));
        let linked = shared
            && fs::canonicalize(&file)
                .and_then(|file| fs::hard_link(file, &place))
                .is_ok();
        if !linked {
            fs::copy(&file, &place)?;
            File::open(&place)?.sync_all()?;
        }
    }
    Ok(())
}

/// Gives single damaged bytes of a fresh copy's manifest, logs and tables back what was written: a
/// checksum tells which they are. Gives what is lost with tables that are damaged otherwise, which
/// are left out.
fn mend(fresh: &Path, families: &[&str]) -> Result<Vec<Lost>> {
    // One record shows the next that is damaged, if there are several.
    for _ in 0..DAMAGED_BYTES_MAX {
        let Findings { bytes, .. } = preflight::inspect(fresh, Watermark::default(), families)?;
        if bytes.is_empty() {
            break;
        }
        for byte in bytes {
            let mended = File::options()
                .read(true)
                .write(true)
                .open(&byte.path)
                .and_then(|file| {
                    let mut was = [0];
                    file.read_exact_at(&mut was, byte.at)?;
                    mending::write_byte(&file, &byte.path, byte.at, was[0] ^ byte.difference)?;
                    file.sync_all()
                });
            mended
                .map_err(|error| failed(&byte.path, "its damaged byte cannot be mended", error))?;
        }
    }
    let damaged = mending::tables(fresh, u64::MAX).and_then(|tables| mending::damaged(&tables));
    let damaged = damaged.and_then(|found| {
        found
            .iter()
            .try_for_each(|table| table.mend(&table.path))
            .map(|()| found)
    });
    let damaged = damaged.map_err(|error| failed(fresh, "its tables cannot be mended", error))?;
    mending::leave_out(fresh, &damaged)
}

/// Checks a fresh copy, says what is in it, and brings it onto the medium.
fn seal(fresh: &Path, families: &[&str], accept_data_loss: bool) -> Result<()> {
    let Findings {
        mut damage,
        sequence,
        manifest,
        ..
    } = preflight::inspect(fresh, Watermark::default(), families)?;
    if !damage.is_empty() && !accept_data_loss {
        return Err(damage.swap_remove(0));
    }
    let watermark = Watermark {
        sequence,
        manifest: manifest.0,
        manifest_bytes: manifest.1,
    };
    let sealed = File::create(fresh.join(CHECKPOINT))
        .and_then(|file| file.sync_all())
        .and_then(|()| {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(fresh.join(WATERMARK))?;
            let mut file = WatermarkFile::create(file)?;
            file.write(watermark)?;
            file.sync()?;
            sync(fresh)
        });
    sealed.map_err(|error| failed(fresh, "the copy cannot be sealed", error))
}

/// Exchanges two directories, so that there is one of the name at every moment.
#[cfg(target_os = "linux")]
fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    let [a, b] = [a, b].map(|path| CString::new(path.as_os_str().as_bytes()));
    let (a, b) = (a?, b?);
    // SAFETY: both are texts that end with a zero and live until the call returns.
    let done = unsafe {
        libc::renameat2(
            libc::AT_FDCWD,
            a.as_ptr(),
            libc::AT_FDCWD,
            b.as_ptr(),
            libc::RENAME_EXCHANGE,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Exchanges two directories. Cut short it leaves the old one as `.old`.
#[cfg(not(target_os = "linux"))]
fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    let old = b.with_extension("old");
    fs::rename(b, &old)?;
    fs::rename(a, b)?;
    fs::rename(&old, a)
}

/// A path beside another: `.NAME.SUFFIX`.
fn beside(path: &Path, suffix: &str) -> Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| {
        Error::invalid(format!("{} is not the name of a directory", path.display()))
    })?;
    Ok(path.with_file_name(format!(".{}.{suffix}", name.to_string_lossy())))
}

fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn failed(path: &Path, fact: &str, error: io::Error) -> Error {
    Error::unavailable(format!("{}: {fact}", path.display())).because(error)
}
