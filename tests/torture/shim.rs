//! Between this process and the operating system: calls that change files go through here, since
//! the linker prefers a symbol of the program to one of the C library, for RocksDB and for Rust
//! alike. Below a directory that a test has taken, they are counted, recorded in a [`Trace`], or
//! made to fail; elsewhere they are passed on.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libc::{mode_t, off_t, size_t, ssize_t};

use crate::trace::{Change, Trace};

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Write,
    Sync,
    Open,
    Rename,
    Truncate,
    Remove,
}

impl Call {
    pub const ALL: [Call; 6] = [
        Call::Write,
        Call::Sync,
        Call::Open,
        Call::Rename,
        Call::Truncate,
        Call::Remove,
    ];
}

/// What happens at the n-th call of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub call: Call,
    pub at: usize,
    pub how: How,
    /// And at every later one.
    pub sticky: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum How {
    /// It fails with this number and has no effect.
    Fails(c_int),
    /// Half of what was to be written is, and it fails with this number.
    Torn(c_int),
    /// Half of what was to be written is, and the process is killed.
    Killed,
}

/// Bugs of the world below: what it would be like if a promise of the system, or a call of the
/// engine, were missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lie {
    #[default]
    None,
    /// Files with this ending are never synced, and nobody is told.
    UnsyncedFiles(&'static str),
    /// Names are never synced.
    UnsyncedNames,
}

/// A directory that a test has taken, until it is dropped.
#[derive(Debug)]
pub struct Taken(Arc<Watch>);

#[derive(Debug)]
struct Watch {
    directory: PathBuf,
    calls: [AtomicUsize; Call::ALL.len()],
    fault: Mutex<Option<Fault>>,
    fired: AtomicUsize,
    trace: Option<Trace>,
}

static ACTIVE: AtomicBool = AtomicBool::new(false);
static WATCHES: Mutex<Vec<Arc<Watch>>> = Mutex::new(Vec::new());

fn watches() -> MutexGuard<'static, Vec<Arc<Watch>>> {
    WATCHES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Taken {
    /// Calls below a directory, which must exist, are counted, and recorded in a trace if there is
    /// one.
    pub fn new(directory: &Path, trace: Option<Trace>) -> Self {
        let directory = std::fs::canonicalize(directory).unwrap();
        let watch = Watch {
            directory,
            calls: Default::default(),
            fault: Mutex::default(),
            fired: AtomicUsize::new(0),
            trace,
        };
        let watch = Arc::new(watch);
        watches().push(Arc::clone(&watch));
        ACTIVE.store(true, Ordering::SeqCst);
        Self(watch)
    }

    /// Arms a fault; calls are counted from here on.
    pub fn arm(&self, fault: Fault) {
        self.0
            .calls
            .iter()
            .for_each(|calls| calls.store(0, Ordering::SeqCst));
        *self.0.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    pub fn disarm(&self) {
        *self.0.fault.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How often it has fired.
    pub fn fired(&self) -> usize {
        self.0.fired.load(Ordering::SeqCst)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut watches = watches();
        watches.retain(|watch| !Arc::ptr_eq(watch, &self.0));
        ACTIVE.store(!watches.is_empty(), Ordering::SeqCst);
    }
}

impl Watch {
    /// What happens to a call: nothing, or a fault.
    fn meet(&self, call: Call) -> Option<How> {
        let number = self.calls[call as usize].fetch_add(1, Ordering::SeqCst) + 1;
        let fault = (*self.fault.lock().unwrap_or_else(PoisonError::into_inner))?;
        let hit = fault.call == call && (number == fault.at || fault.sticky && number > fault.at);
        hit.then(|| {
            self.fired.fetch_add(1, Ordering::SeqCst);
            fault.how
        })
    }

    /// Records what a call did, if it succeeded, in the order in which it was done.
    fn record<T: PartialOrd + Default>(
        &self,
        does: impl FnOnce() -> T,
        change: impl FnOnce(&T) -> Option<Change>,
    ) -> T {
        let work = || {
            let done = does();
            let change = if done >= T::default() {
                change(&done)
            } else {
                None
            };
            (done, change)
        };
        match &self.trace {
            None => work().0,
            Some(trace) => trace.record(work),
        }
    }
}

/// Who watches a path. The database's own diary is of no interest.
fn watch(path: &Path) -> Option<Arc<Watch>> {
    if path
        .file_name()
        .is_some_and(|name| name.as_bytes().starts_with(b"LOG"))
    {
        return None;
    }
    watches()
        .iter()
        .find(|watch| path.starts_with(&watch.directory))
        .map(Arc::clone)
}

fn path_of(fd: c_int) -> Option<PathBuf> {
    let path = std::fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
    let text = path.to_string_lossy();
    Some(
        text.strip_suffix(" (deleted)")
            .map(PathBuf::from)
            .unwrap_or(path.clone()),
    )
}

fn watch_of(fd: c_int) -> Option<(Arc<Watch>, PathBuf)> {
    if !ACTIVE.load(Ordering::Relaxed) {
        return None;
    }
    let path = path_of(fd)?;
    watch(&path).map(|watch| (watch, path))
}

fn absolute(path: *const c_char) -> Option<PathBuf> {
    if !ACTIVE.load(Ordering::Relaxed) || path.is_null() {
        return None;
    }
    // SAFETY: whoever calls hands over a path that ends with a zero.
    let path = Path::new(std::ffi::OsStr::from_bytes(
        unsafe { CStr::from_ptr(path) }.to_bytes(),
    ));
    Some(std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()))
}

fn fail(number: c_int) -> c_int {
    // SAFETY: it is the number of this thread.
    unsafe { *libc::__errno_location() = number };
    -1
}

fn die() -> ! {
    // SAFETY: it ends this process, at once and whatever it does.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    loop {
        std::hint::spin_loop();
    }
}

fn inode(fd: c_int) -> (u64, u64) {
    // SAFETY: all zeros is a value of this struct of numbers, which the call fills.
    let status = unsafe {
        let mut status: libc::stat = std::mem::zeroed();
        libc::fstat(fd, &raw mut status);
        status
    };
    (status.st_ino, u64::try_from(status.st_size).unwrap_or(0))
}

fn raw_write(fd: c_int, bytes: *const c_void, count: size_t, at: Option<off_t>) -> ssize_t {
    // SAFETY: the arguments are those of whoever called, or fewer bytes of the same.
    let done = unsafe {
        match at {
            Some(at) => libc::syscall(libc::SYS_pwrite64, fd, bytes, count, at),
            None => libc::syscall(libc::SYS_write, fd, bytes, count),
        }
    };
    isize::try_from(done).unwrap_or(-1)
}

fn written(fd: c_int, bytes: *const c_void, count: size_t, at: Option<off_t>) -> ssize_t {
    let Some((watch, _)) = watch_of(fd) else {
        return raw_write(fd, bytes, count, at);
    };
    let put = |count: size_t| {
        let does = || {
            let place = at.unwrap_or_else(|| {
                // SAFETY: it asks for the position, or for flags, of a descriptor.
                let (flags, position) = unsafe {
                    (
                        libc::fcntl(fd, libc::F_GETFL),
                        libc::lseek(fd, 0, libc::SEEK_CUR),
                    )
                };
                if flags & libc::O_APPEND != 0 {
                    off_t::try_from(inode(fd).1).unwrap_or(0)
                } else {
                    position
                }
            });
            (raw_write(fd, bytes, count, at), place)
        };
        let change = |(done, place): &(ssize_t, off_t)| {
            let done = usize::try_from(*done).ok()?;
            // SAFETY: so many bytes were just written from there.
            let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), done) }.to_vec();
            Some(Change::Write {
                inode: inode(fd).0,
                at: usize::try_from(*place).ok()?,
                bytes,
            })
        };
        watch.record(does, change).0
    };
    match watch.meet(Call::Write) {
        None => put(count),
        Some(How::Fails(number)) => fail(number) as ssize_t,
        Some(How::Torn(number)) => {
            put(count / 2);
            fail(number) as ssize_t
        }
        Some(How::Killed) => {
            put(count / 2);
            die()
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn write(fd: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
    written(fd, bytes, count, None)
}

#[unsafe(no_mangle)]
extern "C" fn pwrite64(fd: c_int, bytes: *const c_void, count: size_t, at: off_t) -> ssize_t {
    written(fd, bytes, count, Some(at))
}

#[unsafe(no_mangle)]
extern "C" fn pwrite(fd: c_int, bytes: *const c_void, count: size_t, at: off_t) -> ssize_t {
    written(fd, bytes, count, Some(at))
}

/// The outcome of a call of 32 bits.
fn outcome(done: libc::c_long) -> c_int {
    c_int::try_from(done).unwrap_or(-1)
}

/// A call that fails as a whole, or not.
fn met(watch: &Watch, call: Call, does: impl FnOnce() -> c_int) -> c_int {
    match watch.meet(call) {
        None => does(),
        Some(How::Fails(number) | How::Torn(number)) => fail(number),
        Some(How::Killed) => die(),
    }
}

fn synced(fd: c_int, number: libc::c_long) -> c_int {
    // SAFETY: a descriptor is handed on.
    let raw = || outcome(unsafe { libc::syscall(number, fd) });
    let Some((watch, path)) = watch_of(fd) else {
        return raw();
    };
    met(&watch, Call::Sync, || match &watch.trace {
        None => raw(),
        // Where everything is recorded the medium need not be waited for.
        Some(trace) if path.is_dir() => trace.names_synced(),
        Some(trace) => trace.synced(inode(fd).0, &path),
    })
}

#[unsafe(no_mangle)]
extern "C" fn fsync(fd: c_int) -> c_int {
    synced(fd, libc::SYS_fsync)
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(fd: c_int) -> c_int {
    synced(fd, libc::SYS_fdatasync)
}

fn opened(at: c_int, name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the arguments are those of whoever called.
    let raw =
        || outcome(unsafe { libc::syscall(libc::SYS_openat, at, name, flags, c_uint::from(mode)) });
    let Some((watch, path)) =
        absolute(name).and_then(|path| watch(&path).map(|watch| (watch, path)))
    else {
        return raw();
    };
    met(&watch, Call::Open, || {
        let known = path.exists();
        let change = |fd: &c_int| match (known, flags) {
            (false, flags) if flags & libc::O_CREAT != 0 => Some(Change::Make {
                inode: inode(*fd).0,
                name: path.clone(),
            }),
            (true, flags) if flags & libc::O_TRUNC != 0 => Some(Change::Cut {
                inode: inode(*fd).0,
                length: 0,
            }),
            _ => None,
        };
        watch.record(raw, change)
    })
}

// The C library's take the mode as one of a variable number of arguments; on the machines of today
// that is the same as a third one.

#[unsafe(no_mangle)]
extern "C" fn open(name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    opened(libc::AT_FDCWD, name, flags, mode)
}

#[unsafe(no_mangle)]
extern "C" fn open64(name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    opened(libc::AT_FDCWD, name, flags | libc::O_LARGEFILE, mode)
}

#[unsafe(no_mangle)]
extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let raw = || {
        // SAFETY: the arguments are those of whoever called.
        outcome(unsafe {
            libc::syscall(
                libc::SYS_renameat2,
                libc::AT_FDCWD,
                from,
                libc::AT_FDCWD,
                to,
                0,
            )
        })
    };
    let (Some(old), Some(new)) = (absolute(from), absolute(to)) else {
        return raw();
    };
    let Some(watch) = watch(&old) else {
        return raw();
    };
    met(&watch, Call::Rename, || {
        watch.record(raw, |_| Some(Change::Rename { from: old, to: new }))
    })
}

#[unsafe(no_mangle)]
extern "C" fn unlink(name: *const c_char) -> c_int {
    // SAFETY: the argument is that of whoever called.
    let raw = || outcome(unsafe { libc::syscall(libc::SYS_unlinkat, libc::AT_FDCWD, name, 0) });
    let Some((watch, path)) =
        absolute(name).and_then(|path| watch(&path).map(|watch| (watch, path)))
    else {
        return raw();
    };
    met(&watch, Call::Remove, || {
        watch.record(raw, |_| Some(Change::Remove { name: path }))
    })
}

fn cut(fd: c_int, length: off_t) -> c_int {
    // SAFETY: the arguments are those of whoever called.
    let raw = || outcome(unsafe { libc::syscall(libc::SYS_ftruncate, fd, length) });
    let Some((watch, _)) = watch_of(fd) else {
        return raw();
    };
    let change = |_: &c_int| {
        Some(Change::Cut {
            inode: inode(fd).0,
            length: usize::try_from(length).ok()?,
        })
    };
    met(&watch, Call::Truncate, || watch.record(raw, change))
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate(fd: c_int, length: off_t) -> c_int {
    cut(fd, length)
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate64(fd: c_int, length: off_t) -> c_int {
    cut(fd, length)
}

/// The calls of RocksDB and of Rust come through here.
#[test]
fn calls_are_intercepted() {
    let place = tempfile::tempdir().unwrap();
    let taken = Taken::new(place.path(), None);
    let store = gridstone::Store::open(place.path().join("store")).unwrap();
    crate::workload::run(&store, 1, 2, &|_| ()).unwrap();
    drop(store);
    for call in Call::ALL {
        let calls = taken.0.calls[call as usize].load(Ordering::SeqCst);
        // Nothing has to be cut off.
        assert!(calls > 0 || call == Call::Truncate, "{call:?}: {calls}");
    }
    let file = place.path().join("file");
    std::fs::write(&file, b"whole").unwrap();
    taken.arm(Fault {
        call: Call::Write,
        at: 1,
        how: How::Torn(libc::EIO),
        sticky: false,
    });
    let torn = std::fs::write(&file, b"torn").unwrap_err();
    assert_eq!((torn.raw_os_error(), taken.fired()), (Some(libc::EIO), 1));
    assert_eq!(std::fs::read(&file).unwrap(), b"to");
    taken.arm(Fault {
        call: Call::Truncate,
        at: 1,
        how: How::Fails(libc::EIO),
        sticky: false,
    });
    let cut = std::fs::File::options()
        .write(true)
        .open(&file)
        .and_then(|file| file.set_len(1))
        .unwrap_err();
    assert_eq!((cut.raw_os_error(), taken.fired()), (Some(libc::EIO), 2));
}
