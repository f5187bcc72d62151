//! Files of other formats: their cells are those that GDAL reads.

use gridstone::ErrorKind;
use gridstone::adapter::gdal::GdalRaster;
use gridstone::adapter::geotiff::ImageWindow;
use gridstone::adapter::raster::RasterFile;

use super::work::{Work, assert_same, bands, heights};

/// Makes a grid after a file, imports it, and holds the cells against those of `gdal_translate`.
fn is_read(work: &Work, file: &str) {
    work.ok(&["create", "store", "dem", "--like", file]);
    work.ok(&["import", "store", "dem", file]);
    let (on, found) = work.read();
    work.gdal("gdal_translate", &[file, "same.tif"]);
    let (same, wanted) = work.cells("same.tif");
    assert_same(&found, &wanted, file);
    let place = |of: &gridstone::adapter::geotiff::GeoTiff| {
        (of.header().affine, of.header().width, of.header().height)
    };
    assert_eq!(place(&on), place(&same), "{file}");
    work.ok(&["drop", "store", "dem", "--yes"]);
}

#[test]
fn jpeg_2000_png_vrt_and_archives_are_sources() {
    let work = Work::new();
    work.utm("utm.tif", 120, 150);
    let lossless = ["-co", "REVERSIBLE=YES", "-co", "QUALITY=100"];
    let jp2 = [
        &["-of", "JP2OpenJPEG"][..],
        &lossless,
        &["utm.tif", "a.jp2"],
    ]
    .concat();
    work.gdal("gdal_translate", &jp2);
    work.gdal("gdal_translate", &["-of", "VRT", "utm.tif", "a.vrt"]);
    work.gdal("gdal_translate", &["-of", "AAIGrid", "utm.tif", "a.asc"]);
    work.tif("rgb.tif", &bands(120, 150), |_| {});
    work.gdal("gdal_translate", &["-of", "PNG", "rgb.tif", "a.png"]);
    // A raster that is a directory.
    work.gdal("gdal_translate", &["-of", "Zarr", "utm.tif", "a.zarr"]);
    for file in ["a.jp2", "a.vrt", "a.asc", "a.png", "a.zarr"] {
        is_read(&work, file);
    }
    work.ok(&["create", "store", "dem", "--like", "utm.tif"]);
    let why = work.fails(&["import", "store", "dem", "store"]);
    assert!(
        why.contains("is a directory; name the files in it"),
        "{why}"
    );
    work.ok(&["drop", "store", "dem", "--yes"]);
    let gz = std::fs::File::create(work.path("utm.tif.gz")).unwrap();
    let mut gz = flate2::write::GzEncoder::new(gz, flate2::Compression::fast());
    let bytes = std::fs::read(work.path("utm.tif")).unwrap();
    std::io::Write::write_all(&mut gz, &bytes).unwrap();
    gz.finish().unwrap();
    is_read(
        &work,
        &format!("/vsigzip/{}", work.path("utm.tif.gz").display()),
    );
}

/// What the bands are that GDAL counts is noted where a grid does not keep it.
#[test]
fn classes_and_times_of_bands_are_noted() {
    let work = Work::new();
    work.utm("utm.tif", 30, 40);
    work.gdal("gdal_translate", &["-of", "VRT", "utm.tif", "a.vrt"]);
    let text = std::fs::read_to_string(work.path("a.vrt")).unwrap();
    let noted = |name: &str, more: &str| {
        let (before, rest) = text.split_once("<VRTRasterBand").unwrap();
        let (kind, after) = rest.split_once('>').unwrap();
        let made = format!("{before}<VRTRasterBand{kind}>{more}{after}");
        std::fs::write(work.path(name), made).unwrap();
        let raster = GdalRaster::open(work.path(name)).unwrap();
        raster.header().notes.join("\n")
    };
    let classes = "<CategoryNames><Category>none</Category></CategoryNames>";
    assert!(noted("classes.vrt", classes).contains("numbers of classes"));
    let time = "<Metadata><MDI key=\"NETCDF_DIM_time\">5</MDI></Metadata>";
    assert!(noted("time.vrt", time).contains("several times or heights (`NETCDF_DIM_time=5`)"));
    assert_eq!(noted("plain.vrt", ""), "");
}

#[test]
fn a_tiff_in_a_coding_that_only_gdal_knows_is_a_source() {
    let work = Work::new();
    let cells = heights(120, 150).mapv(|cell| u8::from(cell % 2 == 0));
    work.tif("bits.tif", &cells, |_| {});
    let fax = [
        "-co",
        "COMPRESS=CCITTFAX4",
        "-co",
        "NBITS=1",
        "bits.tif",
        "fax.tif",
    ];
    work.gdal("gdal_translate", &fax);
    is_read(&work, "fax.tif");
    // A second page, which is not read.
    let second = ["-co", "APPEND_SUBDATASET=YES"];
    work.gdal("gdal_translate", &[&second[..], &fax].concat());
    let raster = GdalRaster::open(work.path("fax.tif")).unwrap();
    let notes = raster.header().notes.join("\n");
    assert!(
        notes.contains("2 rasters") && notes.contains("GTIFF_DIR:2:"),
        "{notes}"
    );
}

#[test]
fn alpha_and_a_mask_hold_for_every_band() {
    let work = Work::new();
    work.circle();
    work.gdal("gdal_translate", &["-of", "PNG", "alpha.tif", "alpha.png"]);
    work.gdal("gdal_translate", &["-of", "VRT", "mask.tif", "mask.vrt"]);
    is_read(&work, "alpha.png");
    is_read(&work, "mask.vrt");
}

#[test]
fn names_units_scales_and_nodata_of_bands_are_kept() {
    let work = Work::new();
    work.tif("rgb.tif", &bands(20, 30), |_| {});
    work.gdal("gdal_translate", &["-of", "VRT", "rgb.tif", "plain.vrt"]);
    let mut text = std::fs::read_to_string(work.path("plain.vrt")).unwrap();
    for (band, name) in [(1, "near"), (2, "red"), (3, "blue")] {
        let head = format!("band=\"{band}\"");
        let (before, after) = text.split_once(&head).unwrap();
        let (attributes, rest) = after.split_once('>').unwrap();
        let about = format!(
            "<Description>{name}</Description><NoDataValue>{band}</NoDataValue><Offset>10</Offset><Scale>0.5</Scale><UnitType>K</UnitType>"
        );
        text = format!("{before}{head}{attributes}>{about}{rest}");
    }
    std::fs::write(work.path("a.vrt"), text).unwrap();
    let mut raster = GdalRaster::open(work.path("a.vrt")).unwrap();
    let header = raster.header().clone();
    assert_eq!(header.band_names(), Some(vec!["near", "red", "blue"]));
    assert_eq!(
        (header.unit(), header.values()),
        (Some("K"), gridstone::DType::F32)
    );
    assert_eq!(header.crs.as_deref(), Some("EPSG:32632"));
    assert_eq!(header.bands[1].packing(), Some((0.5, 10.0)));
    let window = raster.plan(8, 1 << 20).next().unwrap();
    let (array, valid) = raster.read_valid(&window).unwrap();
    let valid = valid.unwrap();
    let cells = array.iter_f64().zip(&valid).enumerate();
    let plane = window.rows.len() * window.cols.len();
    let wrong =
        cells.filter(|(at, (cell, valid))| (*cell != (at / plane + 1) as f64) != (**valid == 1));
    assert_eq!(wrong.count(), 0, "each band has a nodata value of its own");
    let beyond = ImageWindow {
        bands: 3..4,
        ..window
    };
    let error = raster.read_valid(&beyond).unwrap_err();
    assert!(error.to_string().contains("not within"), "{error}");
    work.ok(&["create", "store", "dem", "--like", "a.vrt"]);
    work.ok(&["import", "store", "dem", "a.vrt"]);
    let info = work.ok(&["info", "store", "dem"]);
    assert!(info.contains("float32") && info.contains("red"), "{info}");
    let text = work.ok(&["read", "store", "dem", "--band", "red"]);
    assert!(!text.is_empty());
}

#[test]
fn a_file_that_changes_between_two_reads_is_noticed() {
    let work = Work::new();
    work.utm("utm.tif", 40, 60);
    work.gdal("gdal_translate", &["-of", "VRT", "utm.tif", "a.vrt"]);
    let mut raster = GdalRaster::open(work.path("a.vrt")).unwrap();
    let window = raster.plan(64, 1 << 20).next().unwrap();
    let before = raster.read_valid(&window).unwrap();
    raster.close();
    assert_eq!(
        raster.read_valid(&window).unwrap(),
        before,
        "it is opened again"
    );
    let stamp = raster.fingerprint().unwrap();
    raster.close();
    // What the VRT reads from is another file now.
    work.utm("utm.tif", 40, 61);
    assert_ne!(raster.fingerprint().unwrap(), stamp);
    let error = raster.read_valid(&window).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Unavailable, "{error}");
}
