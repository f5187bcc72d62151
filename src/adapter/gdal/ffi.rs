//! The calls of GDAL that its bindings have no safe form of.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::PathBuf;
use std::ptr::{null, null_mut};

use gdal::Dataset;
use gdal::raster::RasterBand;
use gdal_sys::CPLErr;
pub(super) use gdal_sys::GDALColorInterp;

use crate::error::{Error, Result};

/// What GDAL said during a call: that something went wrong, or a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) is_error: bool,
    pub(super) text: String,
}

/// The option whether VRTs that one thread opens share the datasets that they read from. They must
/// not, since each may be read by another thread afterwards.
const SHARED: &CStr = c"VRT_SHARED_SOURCE";

/// Calls GDAL, and gives what it said meanwhile on this thread, which it would print otherwise.
pub(super) fn heard<T>(call: impl FnOnce() -> T) -> (T, Vec<Said>) {
    /// Takes the handler away again, also when the call panics; and the option, if it was not set.
    struct Pushed {
        is_first: bool,
    }
    impl Drop for Pushed {
        fn drop(&mut self) {
            // SAFETY: there is one pop for the push below, on the same thread.
            unsafe { gdal_sys::CPLPopErrorHandler() };
            if self.is_first {
                // SAFETY: the name ends with a zero; no value takes the option away.
                unsafe { gdal_sys::CPLSetThreadLocalConfigOption(SHARED.as_ptr(), null()) };
            }
        }
    }
    let mut said: Vec<Said> = Vec::new();
    let to = (&raw mut said).cast::<c_void>();
    // SAFETY: the list lives until the handler is taken away, at the end of the inner block, and
    // nothing else touches it until then. Handlers are called on the thread that pushed them.
    unsafe { gdal_sys::CPLPushErrorHandlerEx(Some(keep), to) };
    // SAFETY: the name ends with a zero; where the option is not set the default is given, null.
    let is_first =
        unsafe { gdal_sys::CPLGetThreadLocalConfigOption(SHARED.as_ptr(), null()).is_null() };
    let made = {
        let _pushed = Pushed { is_first };
        if is_first {
            // SAFETY: both texts end with a zero, and are copied.
            unsafe {
                gdal_sys::CPLSetThreadLocalConfigOption(SHARED.as_ptr(), c"NO".as_ptr());
            }
        }
        call()
    };
    (made, said)
}

/// The handler of [`heard`].
unsafe extern "C" fn keep(class: CPLErr::Type, _number: c_int, message: *const c_char) {
    if class < CPLErr::CE_Warning || message.is_null() {
        return;
    }
    // SAFETY: the user data of this handler is the list of `heard`, which outlives it.
    let said = unsafe {
        gdal_sys::CPLGetErrorHandlerUserData()
            .cast::<Vec<Said>>()
            .as_mut()
    };
    // SAFETY: GDAL gives a text that ends with a zero and lives through the call.
    let text = unsafe { CStr::from_ptr(message) };
    if let Some(said) = said.filter(|said| said.len() < 64) {
        said.push(Said {
            is_error: class >= CPLErr::CE_Failure,
            text: text.to_string_lossy().trim().to_owned(),
        });
    }
}

/// The words of a command line, ended as C does.
struct Words {
    pointers: Vec<*mut c_char>,
    _texts: Vec<CString>,
}

impl Words {
    fn of(words: &[String]) -> Result<Self> {
        let texts = words.iter().map(|word| CString::new(word.as_str()));
        let texts = texts.collect::<std::result::Result<Vec<_>, _>>();
        let texts =
            texts.map_err(|cause| Error::invalid("a text for GDAL has a zero").because(cause))?;
        // The texts are not changed: the C interface leaves a `const` out.
        let pointers = texts.iter().map(|text| text.as_ptr().cast_mut());
        Ok(Self {
            pointers: pointers.chain([null_mut()]).collect(),
            _texts: texts,
        })
    }
}

/// A dataset that `gdalwarp` makes of another by some options, which include `-of VRT`. It reads
/// from the other, and must be dropped before it.
pub(super) fn warp(source: &Dataset, options: &[String]) -> Result<Option<Dataset>> {
    let mut words = Words::of(options)?;
    let mut sources = [source.c_dataset()];
    // SAFETY: the words and the source live through the calls; options are freed once; a dataset
    // that is made is owned by the caller.
    unsafe {
        let options = gdal_sys::GDALWarpAppOptionsNew(words.pointers.as_mut_ptr(), null_mut());
        if options.is_null() {
            return Ok(None);
        }
        let made = gdal_sys::GDALWarp(
            c"".as_ptr(),
            null_mut(),
            1,
            sources.as_mut_ptr(),
            options,
            null_mut(),
        );
        gdal_sys::GDALWarpAppOptionsFree(options);
        Ok((!made.is_null()).then(|| Dataset::from_c_dataset(made)))
    }
}

/// The same of `gdal_translate`.
pub(super) fn translate(source: &Dataset, options: &[String]) -> Result<Option<Dataset>> {
    let mut words = Words::of(options)?;
    // SAFETY: as in `warp`.
    unsafe {
        let options = gdal_sys::GDALTranslateOptionsNew(words.pointers.as_mut_ptr(), null_mut());
        if options.is_null() {
            return Ok(None);
        }
        let made = gdal_sys::GDALTranslate(c"".as_ptr(), source.c_dataset(), options, null_mut());
        gdal_sys::GDALTranslateOptionsFree(options);
        Ok((!made.is_null()).then(|| Dataset::from_c_dataset(made)))
    }
}

/// What a band is shown as, by GDAL's number. The bindings have a name for some only, and panic at
/// others, such as infrared since GDAL 3.10.
pub(super) fn shown_as(band: &RasterBand) -> GDALColorInterp::Type {
    // SAFETY: the band lives through the call, which reads only.
    unsafe { gdal_sys::GDALGetRasterColorInterpretation(band.c_rasterband()) }
}

/// Whether the numbers of a band are those of classes that have names.
pub(super) fn has_classes(band: &RasterBand) -> bool {
    // SAFETY: the band lives through the calls, which read only; the list is the band's own.
    unsafe {
        let names = gdal_sys::GDALGetRasterCategoryNames(band.c_rasterband());
        !names.is_null() && !(*names).is_null()
    }
}

/// The files that a dataset is read from, as far as it knows them.
pub(super) fn files(dataset: &Dataset) -> Vec<PathBuf> {
    let mut files = Vec::new();
    // SAFETY: the list is one of texts, each ended by a zero, and ends with a null; it is read
    // before it is freed, once.
    unsafe {
        let list = gdal_sys::GDALGetFileList(dataset.c_dataset());
        if list.is_null() {
            return files;
        }
        let mut at = list.cast_const();
        while !(*at).is_null() {
            files.push(PathBuf::from(
                CStr::from_ptr(*at).to_string_lossy().into_owned(),
            ));
            at = at.add(1);
        }
        gdal_sys::CSLDestroy(list);
    }
    files
}
