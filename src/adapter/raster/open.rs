//! From a path to a raster, whatever its format.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::adapter::file;
#[cfg(feature = "gdal")]
use crate::adapter::gdal::{GdalRaster, in_two_ways};
#[cfg(feature = "gdal")]
use crate::adapter::geotiff::Header;
use crate::adapter::geotiff::{Beyond, GeoTiff};
use crate::adapter::text::quoted;
#[cfg(feature = "gdal")]
use crate::crs;
use crate::error::{Error, Result};
use crate::grid::Level;
use crate::kernel::Resampling;
use crate::store::Grid;

use super::file::RasterFile;

/// How the cells of a raster are laid onto those of a grid, and at which level if that is given.
pub type Laying = (Resampling, Option<Level>);

/// Opens a raster and reads its header: a GeoTIFF, or with the feature `gdal` whatever GDAL knows
/// by a name.
///
/// An [`Invalid`](crate::ErrorKind::Invalid) error says what to make of a file that is not read, or
/// that has no place along the axes; a [`NotFound`](crate::ErrorKind::NotFound) one that there is
/// none of the name.
pub fn open(path: impl AsRef<Path>) -> Result<Box<dyn RasterFile>> {
    let path = path.as_ref();
    opened(path).map_err(|error| laid_with(error, path))
}

/// The same for a grid. With the feature `gdal` a raster of another system, or whose rows and
/// columns do not follow the axes, is laid onto the grid's cells by `laying`, if it can be: then
/// its cells are the grid's, and the answer is true. Without it such a one is as it is, and a
/// [`ResampledSource`](super::ResampledSource) may lay it.
///
/// Errors are those of [`open`]; an [`Invalid`](crate::ErrorKind::Invalid) one also says why a
/// raster cannot be laid.
pub fn open_for(
    grid: &Grid,
    path: impl AsRef<Path>,
    laying: Option<Laying>,
) -> Result<(Box<dyn RasterFile>, bool)> {
    let path = path.as_ref();
    let opened = opened(path);
    #[cfg(feature = "gdal")]
    if let Some(laying) = laying {
        let is_elsewhere = match &opened {
            Ok(raster) => {
                let systems = raster.header().crs.as_deref().zip(grid.structure().crs());
                systems.is_some_and(|(own, wanted)| !crs::same(own, wanted))
            }
            Err(error) => error.subject() == Some(&Beyond::Place),
        };
        if is_elsewhere {
            let header = opened.ok().map(|raster| raster.header().clone());
            return warped(grid, path, laying, header).map(|raster| (raster, true));
        }
    }
    #[cfg(not(feature = "gdal"))]
    let _ = (grid, laying);
    opened
        .map(|raster| (raster, false))
        .map_err(|error| laid_with(error, path))
}

#[cfg(feature = "gdal")]
fn warped(
    grid: &Grid,
    path: &Path,
    laying: Laying,
    header: Option<Header>,
) -> Result<Box<dyn RasterFile>> {
    let named = |cause: Error| {
        cause.within(format!(
            "`{}` cannot be laid onto the grid's cells",
            path.display()
        ))
    };
    let mut raster = GdalRaster::open(path)?;
    // What stands beside a TIFF may say more than GDAL looks for.
    let has_both = |header: &Header| {
        let of_bands = header.bands.iter().any(|band| band.nodata.is_some());
        header.masked && (header.nodata.is_some() || of_bands)
    };
    if header.as_ref().is_some_and(has_both) && !raster.header().masked {
        return Err(named(in_two_ways()));
    }
    let mut system = None;
    if let Some(header) = header {
        raster.set_notes(header.notes);
        system = header.crs;
    }
    let known = raster.header().crs.clone();
    if let Some(system) = system.filter(|of| !known.is_some_and(|known| crs::same(of, &known))) {
        raster.set_system(system);
    }
    let raster = super::warped::warped(grid, raster, laying).map_err(named)?;
    Ok(Box::new(raster))
}

/// A GeoTIFF, or what GDAL has to read.
fn opened(path: &Path) -> Result<Box<dyn RasterFile>> {
    if !is_other(path)? {
        return match GeoTiff::open(path) {
            Ok(tiff) => Ok(Box::new(tiff)),
            Err(error) if error.subject() == Some(&Beyond::Coding) => by_gdal(path, error, true),
            Err(error) => Err(error),
        };
    }
    let (shown, name) = (path.display(), quoted(&path.display().to_string()));
    let help = format!(
        "make a GeoTIFF of it with `gdal_translate {name} CONVERTED.tif`, or build gridstone with the feature `gdal`"
    );
    if let Some(remedy) = file::fetched(path) {
        let refused = Error::invalid(format!("`{shown}` is no raster as it stands; {remedy}"));
        return by_gdal(path, refused, true);
    }
    let refused = Error::invalid(match kind(path) {
        Some(kind) => format!("`{shown}` is {kind}, which this gridstone does not read; {help}"),
        None => format!(
            "`{shown}` cannot be read as a GeoTIFF or as NetCDF; if it is a raster that GDAL opens, {help}"
        ),
    });
    by_gdal(path, refused, false)
}

/// What GDAL has to read; `helps` says that what a file is refused with has a way for where GDAL
/// cannot read it either.
#[cfg(feature = "gdal")]
fn by_gdal(path: &Path, refused: Error, helps: bool) -> Result<Box<dyn RasterFile>> {
    let raster = GdalRaster::open(path).map_err(|cause| match helps {
        true => refused.because(cause),
        false => cause,
    })?;
    if raster.is_askew() {
        return Err(Error::invalid(format!(
            "the rows and columns of `{}` do not follow the axes of its coordinate reference system; rewrite it with `gdalwarp -dstalpha {} UPRIGHT.tif`",
            path.display(),
            quoted(&path.display().to_string())
        ))
        .about(Beyond::Place));
    }
    Ok(Box::new(raster))
}

#[cfg(not(feature = "gdal"))]
fn by_gdal(_: &Path, refused: Error, _: bool) -> Result<Box<dyn RasterFile>> {
    Err(refused)
}

/// An error with what helps beside what it says, where rows and columns do not follow the axes.
fn laid_with(error: Error, path: &Path) -> Error {
    if error.subject() != Some(&Beyond::Place) {
        return error;
    }
    let how = if cfg!(feature = "gdal") {
        "import it with `--resampling bilinear` (or nearest, cubic, area, min, max, mode, sum)"
    } else {
        "build gridstone with the feature `gdal`"
    };
    error.within(format!(
        "`{}` has no place along the axes; to lay it onto a grid's cells {how}",
        path.display()
    ))
}

/// Whether a name is not that of a TIFF. An error if there is no such file.
fn is_other(path: &Path) -> Result<bool> {
    if file::is_of_gdal(path) && path.metadata().is_err() {
        return Ok(true);
    }
    let mut head = [0; 2];
    let opened = file::open(path)?;
    match opened.metadata() {
        Ok(about) if about.is_dir() => return Ok(true),
        _ => {}
    }
    let read = (&opened).read_exact(&mut head);
    // What is shorter is no raster of any kind.
    Ok(read.is_ok() && !matches!(&head, b"II" | b"MM"))
}

/// What a file is, by its first bytes, if they are those of a raster.
fn kind(path: &Path) -> Option<&'static str> {
    let mut head = Vec::new();
    // What cannot be read now was read a moment ago: then it is of no known kind.
    let _ = File::open(path).and_then(|file| file.take(64).read_to_end(&mut head));
    let kinds: [(&[u8], &str); 10] = [
        (b"\0\0\0\x0cjP  ", "JPEG 2000"),
        (b"\xff\x4f\xff\x51", "JPEG 2000"),
        (b"GRIB", "GRIB"),
        (b"<VRTDataset", "a VRT"),
        (b"\x89PNG", "PNG"),
        (b"\xff\xd8\xff", "JPEG"),
        (b"GIF8", "GIF"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"\x0e\x03\x13\x01", "HDF4"),
        (b"EHFA_HEADER_TAG", "an ERDAS image"),
    ];
    if head.is_empty() {
        return Some("a name of GDAL's");
    }
    let found = kinds.iter().find(|(start, _)| head.starts_with(start));
    found.map(|(_, name)| *name)
}
