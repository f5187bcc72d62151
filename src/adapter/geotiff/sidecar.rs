//! Files beside a TIFF that say what it does not: where it lies, its system, its nodata values,
//! names and scales of its bands, and which cells hold data.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Beyond;
use super::georef::Affine;
use super::nodata::{self, attribute, unescape};
use super::reader::{CLASSES, GeoTiff, Header};
use crate::adapter::file::LazyFile;
use crate::adapter::text;
use crate::crs;
use crate::error::{Error, Result};

/// A file beside an image is at most this long: what is longer is none of ours.
const TEXT_BYTES_MAX: u64 = 16 << 20;

/// Adds to what a file says what the files beside it say. Like in GDAL, `.aux.xml` comes before the
/// file itself, since that is where programs put what they were told later; a world file and `.prj`
/// come last.
pub(super) fn complete(header: &mut Header, path: &Path) -> Result<()> {
    let mut points = None;
    if let Some((from, text)) = read_first(&[behind(path, ".aux.xml")])? {
        let text = nodata::without_comments(&text);
        if text.contains("</PAMDataset>") {
            aux(header, &text)
                .map_err(|cause| cause.within(format!("`{}` cannot be used", from.display())))?;
            let has = |name: &str| element(&text, name).is_some();
            points = Some(from).filter(|_| has("GCPList") || has("GeodataXform"));
        } else if !text.contains("<PAMDataset/>") {
            header.notes.push(format!(
                "`{}` is not what GDAL or ArcGIS writes, or is cut off, and is not read",
                from.display()
            ));
        }
    }
    if found(&behind(path, ".vat.dbf"))?.is_some()
        && !header.notes.iter().any(|note| note == CLASSES)
    {
        header.notes.push(CLASSES.to_owned());
    }
    if header.affine.is_none()
        && let Some((from, text)) = read_first(&world_files(path))?
    {
        header.affine = Some(
            world(&text)
                .map_err(|cause| cause.within(format!("`{}` cannot be used", from.display())))?,
        );
    }
    if header.affine.is_none() {
        refuse_otherwise_placed(path, points)?;
    }
    if header
        .crs
        .as_deref()
        .is_none_or(|crs| crs::argument(crs).is_none())
        && let Some((from, text)) = read_first(&projections(path))?
    {
        projection(header, &from, &text);
    }
    Ok(())
}

/// Refuses a file whose place stands beside it in a way that is not read: in `points` of GDAL's or
/// ArcGIS's, in MapInfo's `.tab`, or as rational polynomials.
fn refuse_otherwise_placed(path: &Path, points: Option<PathBuf>) -> Result<()> {
    let first = |paths: Vec<PathBuf>| -> Result<Option<PathBuf>> {
        for path in paths {
            if found(&path)?.is_some() {
                return Ok(Some(path));
            }
        }
        Ok(None)
    };
    let stem = |end: &str| {
        let mut name = path.file_stem().unwrap_or_default().to_owned();
        name.push(end);
        path.with_file_name(name)
    };
    let polynomials = [
        spelled(path, "rpb"),
        ["_RPC.TXT", "_rpc.txt"].map(stem).to_vec(),
    ]
    .concat();
    let (from, how, remedy) = if let Some(from) = points {
        (
            from,
            "ground control points",
            "gdalwarp -dstalpha FILE PLACED.tif",
        )
    } else if let Some(from) = first(spelled(path, "tab"))? {
        (from, "what MapInfo keeps", "gdal_translate FILE PLACED.tif")
    } else if let Some(from) = first(polynomials)? {
        (
            from,
            "rational polynomials (RPC)",
            "gdalwarp -dstalpha -rpc FILE PLACED.tif",
        )
    } else {
        return Ok(());
    };
    Err(Error::invalid(format!(
        "the TIFF is placed by {how} in `{}`, which is not read; rewrite it with `{remedy}`, or take that file away",
        from.display()
    ))
    .about(Beyond::Place))
}

/// The mask of a file, `NAME.tif.msk`.
pub(super) fn mask(path: &Path) -> Result<Option<GeoTiff>> {
    let path = behind(path, ".msk");
    if found(&path)?.is_none() {
        return Ok(None);
    }
    let within =
        |cause: Error| cause.within(format!("`{}` cannot be read as a mask", path.display()));
    GeoTiff::from_reader(LazyFile::open(&path)?)
        .map(Some)
        .map_err(within)
}

/// The path with something behind its name.
fn behind(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    PathBuf::from(name)
}

/// The names that a world file may have.
fn world_files(path: &Path) -> Vec<PathBuf> {
    ["tfw", "tifw", "tiffw", "wld"]
        .iter()
        .flat_map(|end| spelled(path, end))
        .chain([behind(path, "w"), behind(path, "W")])
        .collect()
}

/// The names that the system of a raster may stand in, in WKT.
fn projections(path: &Path) -> Vec<PathBuf> {
    spelled(path, "prj")
        .into_iter()
        .chain([behind(path, ".prj")])
        .collect()
}

/// The path with another ending, in small letters, in capitals, and with one in front.
fn spelled(path: &Path, end: &str) -> Vec<PathBuf> {
    let (first, rest) = end.split_at_checked(1).unwrap_or((end, ""));
    let capitals = end.to_uppercase();
    [
        end,
        capitals.as_str(),
        format!("{}{rest}", first.to_uppercase()).as_str(),
    ]
    .map(|end| path.with_extension(end))
    .to_vec()
}

/// Takes the system of a raster from the text of a `.prj`.
fn projection(header: &mut Header, from: &Path, text: &str) {
    let system = crs::kept(text);
    let from = from.display();
    // What has the same name may be about something else, such as a file of shapes.
    let is_beyond = |affine: &Affine| affine.x.abs() > 720.0 || affine.y.abs() > 180.0;
    if crs::is_geographic(&system) == Some(true) && header.affine.as_ref().is_some_and(is_beyond) {
        header.notes.push(format!(
            "`{from}` is about longitudes and latitudes, and the file lies beyond them: it is not read; say which system it is with `gdal_translate -a_srs EPSG:CODE FILE NAMED.tif`"
        ));
    } else if crs::argument(&system).is_some() {
        header.crs = Some(system);
        header.notes.push(format!(
            "the file says no coordinate reference system that is known: it is taken from `{from}`"
        ));
    } else {
        header.notes.push(format!(
            "`{from}` holds no well-known text of a coordinate reference system, and is not read; say which it is with `gdal_translate -a_srs EPSG:CODE FILE NAMED.tif`"
        ));
    }
}

/// The first of some files that is there, and its text.
fn read_first(paths: &[PathBuf]) -> Result<Option<(PathBuf, String)>> {
    for path in paths {
        let Some(found) = found(path)? else {
            continue;
        };
        if found.len() > TEXT_BYTES_MAX {
            return Err(Error::invalid(format!(
                "`{}` is longer than what stands beside an image; remove it",
                path.display()
            )));
        }
        let bytes = std::fs::read(path).map_err(|cause| unread(path, cause))?;
        let text = text::decoded(&bytes);
        // What is neither is replaced.
        let text = text.unwrap_or_else(|| String::from_utf8_lossy(&bytes).into_owned());
        return Ok(Some((path.clone(), text)));
    }
    Ok(None)
}

/// What is known of a file; `None` if there is none of the name.
fn found(path: &Path) -> Result<Option<Metadata>> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(Some(found).filter(Metadata::is_file)),
        Err(cause) => match cause.kind() {
            // No file can have a name that is too long.
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename => Ok(None),
            _ => Err(unread(path, cause)),
        },
    }
}

fn unread(path: &Path, cause: std::io::Error) -> Error {
    Error::unavailable(format!("`{}` cannot be read", path.display())).because(cause)
}

/// The six numbers of a world file, which place the centre of the first cell. What stands behind
/// them is none of them; FORTRAN writes exponents with a D.
fn world(text: &str) -> Result<Affine> {
    let number = |word: &str| {
        let plain = word.replace(',', ".").replace(['D', 'd'], "e");
        plain.parse::<f64>().ok()
    };
    let numbers: Option<Vec<f64>> = text.split_whitespace().take(6).map(number).collect();
    let Some([dx, column_to_y, row_to_x, dy, x, y]) = numbers
        .as_deref()
        .and_then(|numbers| numbers.first_chunk())
        .copied()
    else {
        return Err(Error::invalid(
            "it does not begin with the six numbers of a world file, like `10 0 0 -10 500005 4999995`; write them, or remove it and place the raster with `gdal_translate -a_ullr WEST NORTH EAST SOUTH FILE PLACED.tif`",
        ));
    };
    let corner = [
        x - dx / 2.0 - row_to_x / 2.0,
        y - column_to_y / 2.0 - dy / 2.0,
    ];
    Affine::from_gdal([corner[0], dx, row_to_x, corner[1], column_to_y, dy])
}

/// What GDAL and ArcGIS keep beside an image.
fn aux(header: &mut Header, document: &str) -> Result<()> {
    let system = element(document, "SRS")
        .or_else(|| element(document, "WKT"))
        .map(|text| unescape(text.trim()));
    if let Some(system) = system.filter(|system| !system.is_empty()) {
        header.crs = Some(crs::kept(&system));
    }
    if let Some(text) = element(document, "GeoTransform") {
        let numbers: Option<Vec<f64>> = text
            .split(',')
            .map(|word| word.trim().parse().ok())
            .collect();
        let numbers: Option<[f64; 6]> = numbers.and_then(|numbers| numbers.try_into().ok());
        let numbers =
            numbers.ok_or_else(|| Error::invalid("its GeoTransform is not six numbers"))?;
        header.affine = Some(Affine::from_gdal(numbers)?);
    }
    let mut own: Vec<Option<crate::array::Cells>> = vec![None; header.bands.len()];
    for (number, band) in elements(document, "PAMRasterBand") {
        let at = attribute(number, "band")
            .and_then(|number| number.parse::<usize>().ok())
            .and_then(|number| number.checked_sub(1));
        let Some(at) = at.filter(|at| *at < header.bands.len()) else {
            continue;
        };
        let text = |name: &str| element(band, name).map(|text| unescape(text.trim()));
        let has_classes = element(band, "CategoryNames")
            .is_some_and(|of| of.contains("<Category>"))
            || elements(band, "GDALRasterAttributeTable")
                .iter()
                .any(|(kind, _)| attribute(kind, "tableType") == Some("thematic"));
        if has_classes && !header.notes.iter().any(|note| note == CLASSES) {
            header.notes.push(CLASSES.to_owned());
        }
        if let Some(text) = text("NoDataValue") {
            match nodata::parse(&text, header.dtype) {
                Ok(cell) => own[at] = Some(cell),
                Err(note) => header.notes.push(note),
            }
        }
        let known = &mut header.bands[at];
        known.description = text("Description").or_else(|| known.description.take());
        let mut number = |what: &str, text: String| nodata::packing(what, &text, &mut header.notes);
        known.scale = text("Scale")
            .and_then(|text| number("scale", text))
            .or(known.scale);
        known.offset = text("Offset")
            .and_then(|text| number("offset", text))
            .or(known.offset);
        known.unit = text("UnitType")
            .filter(|unit| !unit.is_empty())
            .or_else(|| known.unit.take());
    }
    // One value of all bands is the file's; values that differ are each of their band.
    if own.iter().any(Option::is_some) {
        own.iter_mut()
            .for_each(|cell| *cell = cell.take().or_else(|| header.nodata.clone()));
        let same = |cell: &Option<crate::array::Cells>| match (cell, &own[0]) {
            (Some(cell), Some(first)) => cell.as_bytes() == first.as_bytes(),
            _ => false,
        };
        if own.iter().all(same) {
            header.nodata = own.swap_remove(0);
        } else {
            header
                .bands
                .iter_mut()
                .zip(own)
                .for_each(|(band, cell)| band.nodata = cell);
            (header.nodata, header.masked) = (None, true);
        }
    }
    Ok(())
}

/// The attributes and the content of each element of a name, which is not nested.
fn elements<'a>(document: &'a str, name: &str) -> Vec<(&'a str, &'a str)> {
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    let mut found = Vec::new();
    let mut rest = document;
    while let Some((_, after)) = rest.split_once(open.as_str()) {
        rest = after;
        let Some((attributes, content)) = after.split_once('>') else {
            break;
        };
        if !(attributes.is_empty() || attributes.starts_with(char::is_whitespace))
            || attributes.ends_with('/')
        {
            continue;
        }
        let Some((content, _)) = content.split_once(close.as_str()) else {
            break;
        };
        found.push((attributes, content));
    }
    found
}

/// The content of the first element of a name.
fn element<'a>(document: &'a str, name: &str) -> Option<&'a str> {
    elements(document, name)
        .first()
        .map(|(_, content)| *content)
}
