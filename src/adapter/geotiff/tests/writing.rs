//! Files written here, read back here and by the `tiff` crate.

use ndarray::Array3;

use super::*;
use crate::ArrayView;
use crate::array::Cell;
use crate::array::with_dtype;

/// Cells that fill more than one tile each way, with the extremes of the type.
fn cells(dtype: DType, bands: usize) -> Array {
    with_dtype!(dtype, |T| {
        let mut array = Array3::<T>::from_shape_fn((bands, 259, 300), |(band, y, x)| {
            let wave =
                (f64::from(u32::try_from(x * y + 7 * band).unwrap_or_default()) / 50.0).sin();
            T::from_f64(60.0 * wave + 60.0)
        });
        array[[0, 0, 0]] = T::from_f64(f64::INFINITY);
        array[[0, 258, 299]] = T::from_f64(f64::NEG_INFINITY);
        array[[0, 100, 256]] = T::from_f64(f64::NAN);
        Array::from(array)
    })
}

fn written(array: &Array, profile: &Profile) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    write_to(&mut out, array, profile).expect("memory takes all");
    out.into_inner()
}

fn profile(compression: Compression, big: bool) -> Profile {
    let affine = Some(Affine {
        x: 500_010.0,
        y: 4_100_020.5,
        dx: 30.0,
        dy: -30.0,
    });
    Profile {
        affine,
        crs: Some("EPSG:32611".to_owned()),
        compression,
        big,
        ..Profile::default()
    }
}

#[test]
fn what_is_written_reads_back_for_every_type_and_compression() {
    for dtype in DType::ALL {
        for (compression, bands, big) in [
            (Compression::None, 1, true),
            (Compression::Deflate, 2, false),
            (Compression::Zstd, 1, true),
        ] {
            let array = cells(dtype, bands);
            let mut profile = profile(compression, big);
            profile.nodata = Some(Cells::filled(dtype, 1, 3.0));
            let mut tiff =
                GeoTiff::from_reader(Cursor::new(written(&array, &profile))).expect("opens");
            let back = tiff.read(&tiff.window()).expect("reads");
            assert_eq!(
                back.to_cells().as_bytes(),
                array.to_cells().as_bytes(),
                "{dtype} {compression:?}"
            );
            let header = tiff.header();
            assert_eq!((header.affine, &header.crs), (profile.affine, &profile.crs));
            assert_eq!(
                (header.compression, &header.nodata),
                (Some(compression), &profile.nodata)
            );
        }
    }
}

#[test]
fn another_decoder_reads_the_same_cells() {
    let array = cells(DType::F32, 1);
    let file = written(&array, &profile(Compression::Deflate, false));
    let mut decoder = tiff::decoder::Decoder::new(Cursor::new(file)).expect("opens");
    let tiff::decoder::DecodingResult::F32(found) = decoder.read_image().expect("reads") else {
        panic!("floats were written")
    };
    assert_eq!(Cells::from(found).as_bytes(), array.to_cells().as_bytes());
}

#[test]
fn an_array_of_two_axes_and_any_layout_is_one_band() {
    let array = ndarray::Array2::from_shape_fn((300, 17), |(y, x)| {
        i32::try_from(y * 100 + x).unwrap_or_default()
    });
    let mut out = Cursor::new(Vec::new());
    write_to(&mut out, ArrayView::from(array.t()), &Profile::default()).expect("memory takes all");
    let mut tiff = GeoTiff::from_reader(out).expect("opens");
    let back = tiff
        .read(&tiff.window())
        .expect("reads")
        .into_typed::<i32>()
        .expect("int32");
    assert_eq!(
        back,
        array
            .t()
            .to_owned()
            .insert_axis(ndarray::Axis(0))
            .into_dyn()
    );
    assert_eq!((tiff.header().affine, &tiff.header().crs), (None, &None));
}

#[test]
fn places_and_reference_systems_read_back() {
    let array = cells(DType::U8, 1);
    let wkt = r#"PROJCS["Höhe",GEOGCS["x",DATUM["d",SPHEROID["s",6378137,298]],PRIMEM["Greenwich",0],UNIT["degree",0.01]]]"#;
    for (affine, crs) in [
        (
            Affine {
                x: -180.0,
                y: 90.0,
                dx: 0.1,
                dy: -0.1,
            },
            Some("EPSG:4326"),
        ),
        (
            Affine {
                x: 0.1,
                y: -0.2,
                dx: 30.0,
                dy: 10.0,
            },
            Some("EPSG:3857"),
        ),
        (
            Affine {
                x: 0.1,
                y: -0.2,
                dx: -30.0,
                dy: -10.0,
            },
            Some(wkt),
        ),
        (
            Affine {
                x: 1e9,
                y: 1e-9,
                dx: 1e-9,
                dy: -1e9,
            },
            Some(r#"GEOGCS["x",DATUM["d"]]"#),
        ),
        (
            Affine {
                x: 1.0,
                y: 2.0,
                dx: 3.0,
                dy: -4.0,
            },
            Some("EPSG:900913"),
        ),
        (
            Affine {
                x: 1.0,
                y: 2.0,
                dx: 3.0,
                dy: -4.0,
            },
            Some("a local grid"),
        ),
        (
            Affine {
                x: 1.0,
                y: 2.0,
                dx: 3.0,
                dy: -4.0,
            },
            None,
        ),
    ] {
        let profile = Profile {
            affine: Some(affine),
            crs: crs.map(str::to_owned),
            ..Profile::default()
        };
        let tiff = GeoTiff::from_reader(Cursor::new(written(&array, &profile))).expect("opens");
        assert_eq!(
            (tiff.header().affine, tiff.header().crs.as_deref()),
            (Some(affine), crs)
        );
    }
}

#[test]
fn parts_make_the_file_that_the_whole_makes_and_misuse_is_refused() {
    let array = cells(DType::I32, 2);
    let sheet = |masked: bool| Sheet {
        dtype: DType::I32,
        bands: 2,
        sizes: vec![[259, 300], [130, 150]],
        masked,
    };
    let mut profile = profile(Compression::Zstd, false);
    profile.tile = 64;
    let begun = |masked: bool| {
        Writer::new(Cursor::new(Vec::new()), sheet(masked), &profile).expect("begins")
    };
    let small = Array::filled(DType::I32, &[2, 130, 150], 5.0);
    let part = |rows: std::ops::Range<usize>| {
        let Array::I32(cells) = &array else {
            panic!("int32 was made")
        };
        let part = cells.slice_axis(ndarray::Axis(1), rows.into());
        Array::from(part.to_owned())
    };
    let mut writer = begun(false);
    writer.put(1, [0, 0, 0], &small, None).expect("an overview");
    for rows in [192..259, 0..64, 64..192] {
        writer
            .put(0, [0, rows.start, 0], &part(rows), None)
            .expect("a part");
    }
    let file = writer.finish().expect("whole").into_inner();
    let mut tiff = GeoTiff::from_reader(Cursor::new(file.clone())).expect("opens");
    let back = tiff.read(&tiff.window()).expect("reads");
    assert_eq!(back, array);
    let mut overview = tiff.overview(0).expect("an overview");
    let back = overview.read(&overview.window()).expect("reads");
    assert_eq!(back, small);
    let told = GeoTiff::from_reader(Cursor::new(file))
        .expect("opens")
        .overview(1)
        .expect_err("there is one")
        .to_string();
    assert!(told.contains("there are 1"), "{told}");

    let refused = |error: crate::Result<()>, part: &str| {
        let error = error.expect_err("refused");
        assert_eq!(*error.kind(), crate::ErrorKind::Invalid);
        assert!(error.to_string().contains(part), "{error}");
    };
    let mut writer = begun(false);
    refused(writer.put(0, [0, 10, 0], &part(0..64), None), "whole tiles");
    refused(writer.put(0, [0, 0, 0], &part(0..60), None), "whole tiles");
    refused(writer.put(0, [1, 0, 0], &part(0..64), None), "whole tiles");
    let floats = Array::filled(DType::F32, &[2, 64, 300], 0.0);
    refused(writer.put(0, [0, 0, 0], &floats, None), "int32");
    writer
        .put(0, [0, 0, 0], &part(0..64), None)
        .expect("a part");
    refused(writer.put(0, [0, 0, 0], &part(0..64), None), "twice");
    refused(
        writer.put(1, [0, 0, 0], &small, None),
        "overviews come before",
    );
    refused(writer.finish().map(drop), "not every tile");
    let mut writer = begun(true);
    let one = Array::filled(DType::I32, &[64, 300], 0.0);
    refused(writer.put(0, [0, 0, 0], &one, None), "all bands");
    for tile in [0, 8, 100, 8192] {
        profile.tile = tile;
        let begun = Writer::new(Cursor::new(Vec::new()), sheet(false), &profile);
        refused(begun.map(drop), "multiple of 16");
    }
}

#[test]
fn bands_read_back() {
    let bands = vec![
        Band {
            description: Some("a <b> & \"c\"".to_owned()),
            scale: Some(0.1),
            offset: Some(-3.0),
            unit: Some("m & s".to_owned()),
            nodata: None,
        },
        Band::default(),
    ];
    let profile = Profile {
        bands,
        ..Profile::default()
    };
    let tiff =
        GeoTiff::from_reader(Cursor::new(written(&cells(DType::I16, 2), &profile))).expect("opens");
    assert_eq!(tiff.header().bands, profile.bands);
}

#[test]
fn what_cannot_be_written_is_refused_with_the_reason() {
    let refused = |array: &Array, profile: &Profile| {
        let error = write_to(Cursor::new(Vec::new()), array, profile).expect_err("refused");
        assert_eq!(*error.kind(), crate::ErrorKind::Invalid);
        error.to_string()
    };
    let mut profile = Profile::default();
    assert!(refused(&Array::filled(DType::U8, &[3], 0.0), &profile).contains("not of 1 axes"));
    assert!(refused(&Array::filled(DType::U8, &[1, 0, 3], 0.0), &profile).contains("0 by 3"));
    profile.compression = Compression::Lzw;
    assert!(refused(&Array::filled(DType::U8, &[2, 2], 0.0), &profile).contains("Lzw"));
    profile.nodata = Some(vec![1.0_f32].into());
    assert!(refused(&Array::filled(DType::U8, &[2, 2], 0.0), &profile).contains("uint8"));
    profile.bands = vec![Band::default(); 2];
    profile.nodata = None;
    assert!(refused(&Array::filled(DType::U8, &[2, 2], 0.0), &profile).contains("2 bands"));
}

#[test]
fn a_write_that_fails_leaves_the_file_that_was_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.tif");
    let array = cells(DType::U16, 1);
    write(&path, &array, &Profile::default()).expect("writes");
    let before = std::fs::read(&path).expect("readable");
    let profile = Profile {
        compression: Compression::Lzw,
        ..Profile::default()
    };
    write(&path, &array, &profile).expect_err("LZW is not written");
    assert_eq!(std::fs::read(&path).expect("readable"), before);
    assert_eq!(
        std::fs::read_dir(directory.path())
            .expect("readable")
            .count(),
        1
    );
}

/// For `check_written.py`; see `tests/data/geotiff/README.md`.
#[test]
#[ignore = "writes files for GDAL to read: GRIDSTONE_GEOTIFF_OUT"]
fn write_a_file_of_each_kind() {
    let directory = PathBuf::from(
        std::env::var_os("GRIDSTONE_GEOTIFF_OUT").expect("GRIDSTONE_GEOTIFF_OUT names a directory"),
    );
    for dtype in DType::ALL {
        for (compression, bands, big) in [
            (Compression::None, 1, false),
            (Compression::Deflate, 1, false),
            (Compression::Deflate, 3, true),
            (Compression::Zstd, 2, false),
        ] {
            let array = cells(dtype, bands);
            let mut profile = profile(compression, big);
            profile.nodata = Some(Cells::filled(
                dtype,
                1,
                if bands == 2 { f64::NEG_INFINITY } else { 3.0 },
            ));
            let name = format!("{dtype}-{compression:?}-b{bands}");
            write(directory.join(format!("{name}.tif")), &array, &profile).expect("writes");
            crate::adapter::npy::write(directory.join(format!("{name}.npy")), &array)
                .expect("writes");
        }
    }
    let array = cells(DType::I16, 1);
    crate::adapter::npy::write(directory.join("place.npy"), &array).expect("writes");
    for (name, dy, crs) in [
        ("geographic", -0.5, "EPSG:4326"),
        ("south-up", 0.5, "EPSG:3857"),
        (
            "wkt",
            -0.5,
            &std::fs::read_to_string(directory.join("projected.wkt")).expect("WKT"),
        ),
        (
            "wkt-geographic",
            -0.5,
            &std::fs::read_to_string(directory.join("geographic.wkt")).expect("WKT"),
        ),
        ("no-crs", -0.5, ""),
        ("name", -0.5, "a local grid"),
    ] {
        let affine = Some(Affine {
            x: -10.25,
            y: 40.125,
            dx: 0.25,
            dy,
        });
        let crs = (!crs.is_empty()).then(|| crs.trim().to_owned());
        let bands = vec![Band {
            description: Some("a <b> & c".to_owned()),
            scale: Some(0.5),
            offset: Some(-3.0),
            unit: Some("m & s".to_owned()),
            nodata: None,
        }];
        let profile = Profile {
            affine,
            crs,
            bands,
            ..Profile::default()
        };
        write(
            directory.join(format!("place-{name}.tif")),
            &array,
            &profile,
        )
        .expect("writes");
    }
}
