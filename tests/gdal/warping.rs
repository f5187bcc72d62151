//! Rasters of other systems: every cell is that of `gdalwarp`.

use gridstone::adapter::geotiff::Affine;
use ndarray::Array2;

use super::work::{DEGREES, UTM, Work, assert_same, bands, heights};

/// The methods, and what `gdalwarp` calls them.
const METHODS: [(&str, &str); 7] = [
    ("nearest", "near"),
    ("bilinear", "bilinear"),
    ("cubic", "cubic"),
    ("area", "average"),
    ("min", "min"),
    ("max", "max"),
    ("mode", "mode"),
];

fn import(work: &Work, file: &str, method: &str) {
    work.ok(&["import", "store", "dem", file, "--resampling", method]);
}

#[test]
fn integers_of_another_system_are_those_of_gdalwarp_by_every_method() {
    for (method, name) in METHODS {
        let work = Work::new();
        work.utm("utm.tif", 120, 150);
        work.degrees("int16", Some(-9999.0));
        import(&work, "utm.tif", method);
        let (on, found) = work.read();
        let wanted = work.warped(&on, "utm.tif", &["-r", name, "-t_srs", "EPSG:4326"]);
        assert_same(&found, &wanted, method);
        work.ok(&["verify", "store"]);
    }
}

#[test]
fn floats_with_nan_and_totals_are_those_of_gdalwarp() {
    for (method, name) in [
        ("bilinear", "bilinear"),
        ("area", "average"),
        ("sum", "sum"),
    ] {
        let work = Work::new();
        let cells = heights(120, 150).mapv(|cell| match cell {
            -9999 => f32::NAN,
            cell => 0.1 * f32::from(cell),
        });
        work.tif("utm.tif", &cells, |_| {});
        work.degrees("float32", None);
        import(&work, "utm.tif", method);
        let (on, found) = work.read();
        let nan = ["-srcnodata", "nan", "-dstnodata", "nan"];
        let options = [&["-r", name, "-t_srs", "EPSG:4326"][..], &nan].concat();
        assert_same(&found, &work.warped(&on, "utm.tif", &options), method);
    }
}

#[test]
fn means_of_integers_are_not_rounded_in_a_grid_of_floats() {
    let work = Work::new();
    work.utm("utm.tif", 120, 150);
    work.degrees("float64", None);
    import(&work, "utm.tif", "bilinear");
    let (on, found) = work.read();
    let options = [
        "-r",
        "bilinear",
        "-t_srs",
        "EPSG:4326",
        "-ot",
        "Float64",
        "-dstnodata",
        "nan",
    ];
    assert_same(&found, &work.warped(&on, "utm.tif", &options), "float64");
    assert!(found.iter().flatten().any(|cell| cell.fract() != 0.0));
}

#[test]
fn a_mask_holds_for_every_band_and_alpha_too() {
    let work = Work::new();
    work.circle();
    for file in ["alpha.tif", "mask.tif"] {
        work.tif("like3.tif", &bands(4, 4), |profile| {
            (profile.crs, profile.affine) = (Some("EPSG:4326".to_owned()), Some(DEGREES));
        });
        work.grid("like3.tif", "uint8", None);
        import(&work, file, "bilinear");
        let (on, found) = work.read();
        let options = ["-r", "bilinear", "-t_srs", "EPSG:4326", "-dstalpha"];
        assert_same(&found, &work.warped(&on, file, &options), file);
        work.ok(&["drop", "store", "dem", "--yes"]);
    }
}

#[test]
fn a_mask_of_floats_is_heeded() {
    let work = Work::new();
    work.tif("utm.tif", &heights(120, 150).mapv(f32::from), |_| {});
    let mut mask = Array2::from_elem((120, 150), 255_u8);
    mask.slice_mut(ndarray::s![40..60, 40..80]).fill(0);
    work.tif("mask.tif", &mask, |_| {});
    std::fs::rename(work.path("mask.tif"), work.path("utm.tif.msk")).unwrap();
    work.degrees("float32", None);
    import(&work, "utm.tif", "bilinear");
    let (on, found) = work.read();
    let options = ["-r", "bilinear", "-t_srs", "EPSG:4326", "-dstnodata", "nan"];
    assert_same(&found, &work.warped(&on, "utm.tif", &options), "floats");
}

#[test]
fn a_turned_raster_lies_where_it_says() {
    for (like, system) in [("EPSG:32632", None), ("EPSG:4326", Some("EPSG:4326"))] {
        let work = Work::new();
        work.utm("utm.tif", 120, 150);
        work.vrt("turned.vrt", "400000, 26, -15, 5000000, -15, -26");
        if system.is_some() {
            work.degrees("int16", Some(-9999.0));
        } else {
            work.tif("like.tif", &heights(4, 4), |profile| {
                profile.affine = Some(Affine {
                    dx: 25.0,
                    dy: -25.0,
                    ..UTM
                });
            });
            work.grid("like.tif", "int16", Some(-9999.0));
        }
        import(&work, "turned.vrt", "bilinear");
        let (on, found) = work.read();
        let scales = ["-wo", "XSCALE=1", "-wo", "YSCALE=1", "-r", "bilinear"];
        let system = system.map_or(vec![], |system| vec!["-t_srs", system]);
        let wanted = work.warped(&on, "turned.vrt", &[&scales[..], &system].concat());
        assert_same(&found, &wanted, like);
    }
}

#[test]
fn cells_do_not_depend_on_blocks_jobs_or_a_coarser_level() {
    let work = Work::new();
    work.utm("utm.tif", 700, 900);
    work.degrees("int16", Some(-9999.0));
    let laid = [
        "import",
        "store",
        "dem",
        "utm.tif",
        "--resampling",
        "cubic",
        "--level=0",
    ];
    let plan = work.json(&[
        "plan",
        "store",
        "dem",
        "utm.tif",
        "--resampling",
        "cubic",
        "--level=0",
    ]);
    let done = work.json(&[&laid[..], &["--jobs", "3"]].concat());
    let chunks = |value: &serde_json::Value| value["base_chunks"].as_u64().unwrap();
    assert!(chunks(&done) <= chunks(&plan), "{plan} {done}");
    let (on, found) = work.read();
    let many = work.path("grid.tif");
    let bytes = std::fs::read(&many).unwrap();
    work.ok(&["drop", "store", "dem", "--yes"]);
    work.grid("like.tif", "int16", Some(-9999.0));
    work.ok(&laid);
    work.read();
    assert_eq!(std::fs::read(&many).unwrap(), bytes, "by one job");
    // A cell of 30 m in one of three seconds of arc, halfway down.
    let header = on.header();
    let affine = header.affine.unwrap();
    let latitude = affine.y + affine.dy * header.height as f64 / 2.0;
    let metres = 111_200.0 / 1200.0;
    let across = 30.0 / (metres * latitude.to_radians().cos());
    let scales = [
        format!("XSCALE={across}"),
        format!("YSCALE={}", 30.0 / metres),
    ];
    let options = [
        "-r",
        "cubic",
        "-t_srs",
        "EPSG:4326",
        "-wo",
        &scales[0],
        "-wo",
        &scales[1],
    ];
    let wanted = work.warped(&on, "utm.tif", &options);
    let apart = found.iter().zip(&wanted).map(|(a, b)| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs(),
        (None, None) => 0.0,
        _ => 1e9,
    });
    // The widths of the kernels here are those of a sphere.
    let (worst, far) = apart.fold((0.0_f64, 0), |(worst, far), apart| {
        (
            worst.max(if apart < 1e9 { apart } else { 0.0 }),
            far + u64::from(apart >= 1e9),
        )
    });
    assert!(worst <= 2.0 && far < 20, "{worst} {far}");
}

#[test]
fn what_crosses_the_antimeridian_is_a_strip_on_both_sides() {
    let work = Work::new();
    work.tif("zone1.tif", &heights(100, 150), |profile| {
        profile.crs = Some("EPSG:32601".to_owned());
        profile.affine = Some(Affine {
            x: 346_000.0,
            y: 7_000_000.0,
            ..UTM
        });
        profile.nodata = Some(vec![-9999_i16].into());
    });
    work.degrees("int16", Some(-9999.0));
    work.ok(&[
        "import",
        "store",
        "dem",
        "zone1.tif",
        "--resampling",
        "nearest",
        "--level=-1",
    ]);
    let (on, found) = work.read();
    let affine = on.header().affine.unwrap();
    let east = affine.x + affine.dx * on.header().width as f64;
    let turns = ((affine.x + 180.0) / 360.0).round() * 360.0 - 180.0;
    assert!(
        affine.x < turns && turns < east && east - affine.x < 0.2,
        "{affine:?} {east}"
    );
    let options = ["-r", "near", "-t_srs", "EPSG:4326"];
    assert_same(&found, &work.warped(&on, "zone1.tif", &options), "zone 1");
}

#[test]
fn a_raster_around_the_pole_fills_the_whole_circle() {
    let work = Work::new();
    let cells = Array2::from_shape_fn((100, 100), |(row, col)| (row * 100 + col) as f32);
    work.tif("pole.tif", &cells, |profile| {
        profile.crs = Some("EPSG:3413".to_owned());
        profile.affine = Some(Affine {
            x: -2_500_000.0,
            y: 2_500_000.0,
            dx: 50_000.0,
            dy: -50_000.0,
        });
    });
    work.tif("like.tif", &Array2::<u8>::zeros((4, 4)), |profile| {
        profile.crs = Some("EPSG:4326".to_owned());
        profile.affine = Some(Affine {
            x: -180.0,
            y: 90.0,
            dx: 0.5,
            dy: -0.5,
        });
    });
    work.grid("like.tif", "float32", None);
    import(&work, "pole.tif", "nearest");
    let (on, found) = work.read();
    let header = on.header();
    let affine = header.affine.unwrap();
    assert_eq!((affine.y, affine.dx * header.width as f64), (90.0, 360.0));
    let wanted = work.warped(
        &on,
        "pole.tif",
        &["-r", "near", "-t_srs", "EPSG:4326", "-dstnodata", "nan"],
    );
    assert_same(&found, &wanted, "the pole");
    assert!(
        found[..header.width].iter().all(Option::is_some),
        "the northernmost row"
    );
}

#[test]
fn a_system_that_stands_beside_a_tiff_is_the_one_that_it_is_warped_from() {
    let work = Work::new();
    work.utm("named.tif", 120, 150);
    work.tif("utm.tif", &heights(120, 150), |profile| {
        (profile.crs, profile.nodata) = (None, Some(vec![-9999_i16].into()));
    });
    let wkt = "PROJCS[\"WGS 84 / UTM zone 32N\",GEOGCS[\"WGS 84\",DATUM[\"WGS_1984\",SPHEROID[\"WGS 84\",6378137,298.257223563]],PRIMEM[\"Greenwich\",0],UNIT[\"degree\",0.0174532925199433]],PROJECTION[\"Transverse_Mercator\"],PARAMETER[\"latitude_of_origin\",0],PARAMETER[\"central_meridian\",9],PARAMETER[\"scale_factor\",0.9996],PARAMETER[\"false_easting\",500000],PARAMETER[\"false_northing\",0],UNIT[\"metre\",1]]";
    std::fs::write(work.path("utm.prj"), wkt).unwrap();
    work.degrees("int16", Some(-9999.0));
    import(&work, "utm.tif", "nearest");
    let (on, found) = work.read();
    let options = ["-r", "near", "-t_srs", "EPSG:4326"];
    assert_same(&found, &work.warped(&on, "named.tif", &options), "beside");
}

#[test]
fn the_least_of_packed_cells_is_that_of_the_values() {
    let work = Work::new();
    work.utm("utm.tif", 120, 150);
    // Values fall where numbers rise.
    let scale = [
        "-of",
        "VRT",
        "-a_scale",
        "-0.5",
        "-a_offset",
        "50",
        "utm.tif",
        "packed.vrt",
    ];
    work.gdal("gdal_translate", &scale);
    work.degrees("float32", None);
    import(&work, "packed.vrt", "min");
    let (on, found) = work.read();
    let numbers = work.warped(&on, "utm.tif", &["-r", "max", "-t_srs", "EPSG:4326"]);
    let values: Vec<_> = numbers
        .iter()
        .map(|cell| cell.map(|cell| 50.0 - 0.5 * cell))
        .collect();
    assert_same(&found, &values, "min");
}
