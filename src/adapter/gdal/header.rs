//! What a dataset says of itself.

use gdal::raster::RasterBand;
use gdal::{Dataset, Metadata};

use super::dataset::asked;
use super::ffi::{GDALColorInterp, has_classes, shown_as};
use crate::adapter::cells::{gdal_name, widens};
use crate::adapter::geotiff::{
    Affine, Band, CLASSES, Header, MASK_AND_VALUE, PALETTE, nodata, several_units,
};
use crate::array::{Cells, DType};
use crate::crs;
use crate::error::{Error, Result};

/// A dataset as it is read.
#[derive(Clone, Debug)]
pub(super) struct Described {
    /// Its place is `None` where it is [askew](Self::skew).
    pub(super) header: Header,
    pub(super) bands: Vec<BandAt>,
    pub(super) skew: Option<Skew>,
}

/// Where a band is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BandAt {
    /// The number of the dataset among those that are open.
    pub(super) dataset: usize,
    /// The number of the band, from 1.
    pub(super) band: usize,
    /// The band of the same dataset that is alpha.
    pub(super) alpha: Option<usize>,
    /// The band of the same dataset whose mask holds for it beside its values: the first, where
    /// all have one mask.
    pub(super) mask: Option<usize>,
}

impl BandAt {
    /// Whether alpha and masks say of another band what they say of this one.
    pub(super) fn has_marks_of(&self, other: &Self) -> bool {
        let told = |band: &Self| (band.dataset, band.alpha, band.mask);
        told(self) == told(other)
    }
}

/// How rows and columns lie that do not follow the axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Skew {
    /// Turned or sheared: the six coefficients of GDAL.
    Turned([f64; 6]),
    /// By points, polynomials or arrays of coordinates.
    Points,
}

/// Reads what a dataset says of itself. An [`Invalid`](crate::ErrorKind::Invalid) error if that is
/// nothing that a grid can hold.
pub(super) fn described(dataset: &Dataset) -> Result<Described> {
    let ((bands, alpha), _) = asked(|| {
        let all = dataset.rasterbands().collect::<Result<Vec<_>, _>>()?;
        let is_alpha = |band: &RasterBand| shown_as(band) == GDALColorInterp::GCI_AlphaBand;
        Ok((1..)
            .zip(all)
            .partition::<Vec<_>, _>(|(_, band)| !is_alpha(band)))
    })?;
    let parts = parts(dataset);
    if bands.is_empty() {
        return Err(without_bands(&parts));
    }
    if alpha.len() > 1 {
        return Err(Error::invalid(
            "it has several alpha bands; choose bands with `gdal_translate -b N FILE FITTING.tif`",
        ));
    }
    let alpha = alpha.first().map(|(number, _)| *number);
    let dtype = common_type(&bands)?;
    let mut notes = Vec::new();
    let (mut of_bands, mut values, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for (number, band) in &bands {
        let flags = asked(|| band.mask_flags())?.0;
        // Values are looked for here, exactly; GDAL compares them nearly.
        let by_value = flags.is_nodata() && !flags.is_per_dataset();
        let is_masked = !flags.is_all_valid() && !flags.is_alpha() && !by_value;
        let of_mask = if flags.is_per_dataset() {
            bands[0].0
        } else {
            *number
        };
        of_bands.push(of_band(band));
        values.push(value_of(band, dtype, &mut notes));
        places.push(BandAt {
            dataset: 0,
            band: *number,
            alpha,
            mask: is_masked.then_some(of_mask),
        });
        if shown_as(band) == GDALColorInterp::GCI_PaletteIndex
            && !notes.iter().any(|note| note == PALETTE)
        {
            notes.push(PALETTE.to_owned());
        }
    }
    if bands.iter().any(|(_, band)| has_classes(band)) {
        notes.push(CLASSES.to_owned());
    }
    notes.extend(bands.iter().find_map(|(_, band)| along_time(band)));
    let masked = places
        .iter()
        .any(|band| band.mask.is_some() || band.alpha.is_some());
    let (nodata, own) = settled(values);
    if let Some(own) = &own {
        of_bands
            .iter_mut()
            .zip(own)
            .for_each(|(band, value)| band.nodata.clone_from(value));
    }
    notes.extend((masked && nodata.is_some()).then(|| MASK_AND_VALUE.to_owned()));
    notes.extend(several_units(&of_bands));
    notes.extend(further(&parts));
    let (affine, skew) = place(dataset)?;
    let crs = system(dataset, &mut notes);
    let (cols, rows) = bands[0].1.block_size();
    let (width, height) = dataset.raster_size();
    let mut header = Header {
        width,
        height,
        bands: of_bands,
        dtype,
        nodata,
        masked: masked || own.is_some(),
        affine,
        crs,
        compression: None,
        block: [rows.max(1), cols.max(1)],
        notes,
    };
    header.notes.extend(header.unnamed());
    Ok(Described {
        header,
        bands: places,
        skew,
    })
}

/// What is told of a band that is one of several times or heights, which GDAL has among what it
/// says of the band.
fn along_time(band: &RasterBand) -> Option<String> {
    let items = band.metadata_domain("").unwrap_or_default();
    let item = items.into_iter().find(|item| {
        ["NETCDF_DIM_", "GRIB_VALID_TIME="]
            .iter()
            .any(|name| item.starts_with(name))
    })?;
    Some(format!(
        "its bands are of several times or heights (`{item}`), which are not kept: they go by their numbers; import a NetCDF file by its own name, or each band to its time with `gdal_translate -b N FILE BAND.tif` and `--at-time`"
    ))
}

/// The names of the rasters that a dataset lists, if it holds several.
fn parts(dataset: &Dataset) -> Vec<String> {
    let lines = dataset.metadata_domain("SUBDATASETS").unwrap_or_default();
    let items = lines.iter().filter_map(|line| line.split_once('='));
    items
        .filter(|(key, _)| key.ends_with("_NAME"))
        .map(|(_, name)| format!("`{name}`"))
        .collect()
}

/// The first of some names.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 6;
    let more = if names.len() > SHOWN { " and more" } else { "" };
    format!("{}{more}", names[..names.len().min(SHOWN)].join(", "))
}

/// What is told of a dataset that has other datasets in place of bands.
fn without_bands(parts: &[String]) -> Error {
    if parts.is_empty() {
        Error::invalid("it has no raster bands")
    } else {
        Error::invalid(format!(
            "it holds several rasters; name one of {} in its place",
            listed(parts)
        ))
    }
}

/// What is told of a dataset that has other datasets beside its bands.
fn further(parts: &[String]) -> Option<String> {
    (parts.len() > 1).then(|| {
        format!(
            "it holds {} rasters, and one of them is read; for another name one of {} in its place",
            parts.len(),
            listed(parts)
        )
    })
}

/// The type of the cells of a band.
fn type_of(band: &RasterBand) -> Result<DType> {
    let name = band.band_type().name();
    let is_signed = || {
        let kind = band.metadata_item("PIXELTYPE", "IMAGE_STRUCTURE");
        kind.as_deref() == Some("SIGNEDBYTE")
    };
    if name == gdal_name(DType::U8) && is_signed() {
        return Ok(DType::I8);
    }
    // Complex ones have no name here.
    let known = DType::ALL
        .into_iter()
        .find(|dtype| gdal_name(*dtype) == name);
    known.ok_or_else(|| {
        Error::invalid(
            "its cells are complex numbers, or of a type that is not known here; take a part of them with `gdal_translate DERIVED_SUBDATASET:AMPLITUDE:FILE AMPLITUDE.tif` (or PHASE, REAL, IMAG), or convert them with `gdal_translate -ot Float32 FILE CONVERTED.tif`",
        )
    })
}

/// The type that holds the cells of all bands as they are.
fn common_type(bands: &[(usize, RasterBand)]) -> Result<DType> {
    let types = bands.iter().map(|(_, band)| type_of(band));
    let types = types.collect::<Result<Vec<_>>>()?;
    let holds_all = |dtype: &DType| types.iter().all(|of_band| widens(*of_band, *dtype));
    let mut fitting: Vec<DType> = DType::ALL.into_iter().filter(holds_all).collect();
    fitting.sort_by_key(|dtype| (dtype.size(), dtype.is_float()));
    let is_mixed = types.iter().any(|dtype| *dtype != types[0]);
    // Signed bytes may be told by a word beside the type, which GDAL converts without.
    match fitting
        .first()
        .filter(|_| !(is_mixed && types.contains(&DType::I8)))
    {
        Some(dtype) => Ok(*dtype),
        None => Err(Error::invalid(
            "its bands have types of which none holds all; split them with `gdal_translate -b N FILE BAND.tif`",
        )),
    }
}

fn of_band(band: &RasterBand) -> Band {
    let some = |text: String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    Band {
        description: band.description().ok().and_then(some),
        scale: band.scale(),
        offset: band.offset(),
        unit: some(band.unit()),
        nodata: None,
    }
}

/// The nodata value of a band as a cell of a type. One that no cell can have is noted.
fn value_of(band: &RasterBand, dtype: DType, notes: &mut Vec<String>) -> Option<Cells> {
    let text = match band.band_type().name().as_str() {
        "Int64" => band.no_data_value_i64()?.to_string(),
        "UInt64" => band.no_data_value_u64()?.to_string(),
        _ => band.no_data_value()?.to_string(),
    };
    match nodata::parse(&text, dtype) {
        Ok(cell) => Some(cell),
        Err(note) => {
            if !notes.contains(&note) {
                notes.push(note);
            }
            None
        }
    }
}

/// The nodata value of all bands; or else those of each, where they differ.
fn settled(mut values: Vec<Option<Cells>>) -> (Option<Cells>, Option<Vec<Option<Cells>>>) {
    let bytes = |value: &Option<Cells>| value.as_ref().map(|cell| cell.as_bytes().to_vec());
    if values.iter().all(|value| bytes(value) == bytes(&values[0])) {
        (values.swap_remove(0), None)
    } else {
        (None, Some(values))
    }
}

/// Where the cells lie, along the axes or askew.
fn place(dataset: &Dataset) -> Result<(Option<Affine>, Option<Skew>)> {
    let has = |domain: &str| {
        dataset
            .metadata_domain(domain)
            .is_some_and(|of| !of.is_empty())
    };
    let transform = dataset.geo_transform().ok();
    match transform {
        Some(transform) => {
            if Affine::is_askew(transform) && transform.iter().all(|number| number.is_finite()) {
                return Ok((None, Some(Skew::Turned(transform))));
            }
            Affine::from_gdal(transform).map(|affine| (Some(affine), None))
        }
        None if !dataset.gcps().is_empty() || has("RPC") || has("GEOLOCATION") => {
            Ok((None, Some(Skew::Points)))
        }
        None => Ok((None, None)),
    }
}

/// The system, by its code where it states one. That heights then have none is noted.
fn system(dataset: &Dataset, notes: &mut Vec<String>) -> Option<String> {
    let text = match dataset.projection() {
        text if text.trim().is_empty() => dataset.gcp_projection()?,
        text => text,
    };
    let kept = Some(crs::kept(&text)).filter(|kept| !kept.is_empty())?;
    let is_compound = |word: &&str| text.trim_start().starts_with(*word);
    if ["COMPD_CS", "COMPOUNDCRS"].iter().any(is_compound) && kept != text.trim() {
        notes.push("the system of heights is not kept".to_owned());
    }
    Some(kept)
}
