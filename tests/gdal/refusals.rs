//! What cannot be read, or laid: a clear error, and nothing is put.

use super::work::{Work, bands, heights};

/// What an import into an empty grid says of a file; nothing of it is in the grid.
fn refused(work: &Work, file: &str, options: &[&str]) -> String {
    let error = work.fails(&[&["import", "store", "dem", file][..], options].concat());
    let info = work.json(&["info", "store", "dem"]);
    assert_eq!(
        info["grids"][0]["chunks"].as_u64(),
        Some(0),
        "{file}: {info}"
    );
    error
}

fn assert_says(error: &str, parts: &[&str]) {
    parts
        .iter()
        .for_each(|part| assert!(error.contains(part), "`{part}` is not in: {error}"));
}

#[test]
fn files_that_are_cut_off_are_refused_whole() {
    let work = Work::new();
    work.utm("utm.tif", 120, 150);
    work.tif("rgb.tif", &bands(120, 150), |_| {});
    let jp2 = [
        "-of",
        "JP2OpenJPEG",
        "-co",
        "REVERSIBLE=YES",
        "-co",
        "QUALITY=100",
    ];
    work.gdal(
        "gdal_translate",
        &[&jp2[..], &["utm.tif", "a.jp2"]].concat(),
    );
    work.gdal("gdal_translate", &["-of", "PNG", "rgb.tif", "a.png"]);
    work.gdal("gdal_translate", &["-of", "JPEG", "rgb.tif", "a.jpg"]);
    for file in ["a.jp2", "a.png", "a.jpg"] {
        work.ok(&["create", "store", "dem", "--like", file]);
        let bytes = std::fs::read(work.path(file)).unwrap();
        for tenths in [0, 3, 8, 9] {
            std::fs::write(work.path(file), &bytes[..bytes.len() * tenths / 10]).unwrap();
            let error = refused(&work, file, &[]);
            assert_says(&error, &[file]);
        }
        work.ok(&["drop", "store", "dem", "--yes"]);
    }
    // What a VRT reads from is cut off, or gone; also where it is warped.
    work.gdal("gdal_translate", &["-of", "VRT", "utm.tif", "a.vrt"]);
    let bytes = std::fs::read(work.path("utm.tif")).unwrap();
    work.ok(&["create", "store", "dem", "--like", "a.vrt"]);
    std::fs::write(work.path("utm.tif"), &bytes[..bytes.len() / 2]).unwrap();
    assert_says(&refused(&work, "a.vrt", &[]), &["a.vrt", "GDAL says"]);
    work.ok(&["drop", "store", "dem", "--yes"]);
    work.degrees("int16", Some(-9999.0));
    assert_says(
        &refused(&work, "a.vrt", &["--resampling", "bilinear"]),
        &["a.vrt", "GDAL says"],
    );
    std::fs::remove_file(work.path("utm.tif")).unwrap();
    assert_says(
        &refused(&work, "a.vrt", &["--resampling", "bilinear"]),
        &["a.vrt"],
    );
}

#[test]
fn rasters_without_a_way_into_the_grid_are_refused_with_one() {
    let work = Work::new();
    work.utm("utm.tif", 40, 60);
    work.degrees("int16", Some(-9999.0));
    let bilinear = ["--resampling", "bilinear"];
    let error = refused(&work, "utm.tif", &[]);
    assert_says(
        &error,
        &[
            "EPSG:32632",
            "EPSG:4326",
            "--resampling bilinear",
            "gdalwarp -t_srs",
        ],
    );
    work.tif("nameless.tif", &heights(40, 60), |profile| {
        profile.crs = None
    });
    let error = refused(&work, "nameless.tif", &bilinear);
    assert_says(
        &error,
        &[
            "no coordinate reference system",
            "gdal_translate -a_srs EPSG:4326",
        ],
    );
    work.tif("wide.tif", &heights(40, 60).mapv(i64::from), |_| {});
    assert_says(
        &refused(&work, "wide.tif", &bilinear),
        &["64 bits", "-ot Float64"],
    );
    work.gdal(
        "gdal_translate",
        &["-ot", "CFloat32", "-of", "VRT", "utm.tif", "complex.vrt"],
    );
    let error = refused(&work, "complex.vrt", &bilinear);
    assert_says(&error, &["complex", "DERIVED_SUBDATASET:AMPLITUDE"]);
    work.utm("both.tif", 40, 60);
    work.tif(
        "mask.tif",
        &bands(40, 60).index_axis(ndarray::Axis(0), 0).to_owned(),
        |_| {},
    );
    std::fs::rename(work.path("mask.tif"), work.path("both.tif.msk")).unwrap();
    let error = refused(&work, "both.tif", &bilinear);
    assert_says(&error, &["in two ways", "-mask none", "-a_nodata none"]);
    let error = refused(&work, "utm.tif", &["--resampling", "sum"]);
    assert_says(&error, &["no whole numbers", "--dtype float64"]);
    let error = refused(&work, "utm.tif", &["--resampling", "area", "--level=9"]);
    assert_says(&error, &["finer level", "gdal_translate -outsize"]);
    for transform in ["nan, 30, 0, 5000000, 0, -30", "0, 30, 1, nan, 0, -30"] {
        work.vrt("nowhere.vrt", transform);
        let error = refused(&work, "nowhere.vrt", &bilinear);
        assert_says(&error, &["no usable georeferencing", "-a_ullr"]);
    }
    assert_says(
        &refused(&work, "gone.jp2", &[]),
        &["gone.jp2", "cannot be opened"],
    );
    assert_says(
        &refused(&work, "/vsizip/gone.zip/a.tif", &[]),
        &["gone.zip", "GDAL"],
    );
    std::fs::write(work.path("text.dat"), "no raster of any kind").unwrap();
    assert_says(
        &refused(&work, "text.dat", &[]),
        &["text.dat", "cannot be opened by GDAL"],
    );
}

#[test]
fn means_of_values_that_the_grid_does_not_hold_are_refused() {
    let work = Work::new();
    work.tif("utm.tif", &heights(40, 60).mapv(f64::from), |_| {});
    work.degrees("float32", None);
    let error = refused(&work, "utm.tif", &["--resampling", "bilinear"]);
    assert_says(&error, &["utm.tif", "float64", "-ot Float32"]);
}

#[test]
fn a_turned_raster_is_refused_with_what_lays_it() {
    let work = Work::new();
    work.utm("utm.tif", 40, 60);
    work.ok(&["create", "store", "dem", "--like", "utm.tif"]);
    work.vrt("turned.vrt", "400000, 26, -15, 5000000, -15, -26");
    work.gdal("gdal_translate", &["turned.vrt", "turned.tif"]);
    for file in ["turned.vrt", "turned.tif"] {
        assert_says(
            &refused(&work, file, &[]),
            &[file, "--resampling bilinear", "gdalwarp"],
        );
        let error = work.fails(&["create", "store", "more", "--like", file]);
        assert_says(&error, &[file, "gdalwarp"]);
    }
    work.ok(&[
        "import",
        "store",
        "dem",
        "turned.tif",
        "--resampling",
        "bilinear",
    ]);
}

#[test]
fn a_file_of_several_rasters_names_them() {
    let work = Work::new();
    work.utm("utm.tif", 40, 60);
    work.ok(&["create", "store", "dem", "--like", "utm.tif"]);
    let twice = ["-co", "APPEND_SUBDATASET=YES", "-co", "RASTER_TABLE=more"];
    work.gdal(
        "gdal_translate",
        &["-of", "GPKG", "-ot", "Byte", "utm.tif", "a.gpkg"],
    );
    let more = [
        &["-of", "GPKG", "-ot", "Byte"][..],
        &twice,
        &["utm.tif", "a.gpkg"],
    ]
    .concat();
    work.gdal("gdal_translate", &more);
    assert_says(
        &refused(&work, "a.gpkg", &[]),
        &["several rasters", "GPKG:", ":more"],
    );
}
