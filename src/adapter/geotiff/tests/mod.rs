//! Tests of the GeoTIFF adapter.

mod damage;
mod masks;
mod matrix;
mod systems;
mod writing;

use std::io::Cursor;
use std::path::PathBuf;

use super::*;
use crate::array::Cells;
use crate::{Array, DType, Error};

/// Where the files that GDAL wrote are kept.
fn data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/geotiff")
}

fn open(name: &str) -> GeoTiff {
    GeoTiff::open(data().join(format!("{name}.tif"))).expect("a stored file opens")
}

/// The error with all its causes.
fn story(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// All cells by the windows of a plan, as (band, y, x) little-endian bytes.
fn bytes_by_plan(tiff: &mut GeoTiff, rows_wanted: usize, bytes_max: usize) -> Vec<u8> {
    let [bands, height, width] = tiff.window().shape();
    let size = tiff.header().dtype.size();
    let mut out = vec![0; bands * height * width * size];
    let mut covered = 0;
    for window in tiff.plan(rows_wanted, bytes_max) {
        let part = tiff.read(&window).expect("a stored file reads");
        assert_eq!(part.shape(), window.shape());
        covered += window.shape().iter().product::<usize>();
        let cells = part.to_cells();
        let mut rows = cells.as_bytes().chunks_exact(window.cols.len() * size);
        for band in window.bands.clone() {
            for y in window.rows.clone() {
                let at = ((band * height + y) * width + window.cols.start) * size;
                let row = rows.next().expect("a row for each");
                out[at..at + row.len()].copy_from_slice(row);
            }
        }
    }
    assert_eq!(
        covered,
        bands * height * width,
        "the plan covers every cell once"
    );
    out
}

#[test]
fn one_block_of_a_planned_window_is_the_least() {
    let tiff = open("overviews");
    let windows: Vec<ImageWindow> = tiff.plan(1, 1).collect();
    assert_eq!(windows.len(), 25);
    assert_eq!(
        windows[7],
        ImageWindow {
            bands: 0..1,
            rows: 128..256,
            cols: 256..384
        }
    );
    let windows: Vec<ImageWindow> = tiff.plan(200, usize::MAX).collect();
    assert_eq!(windows.len(), 3);
    assert_eq!(
        windows[2],
        ImageWindow {
            bands: 0..1,
            rows: 512..600,
            cols: 0..600
        }
    );
}

#[test]
fn a_window_is_that_part_of_the_whole() {
    for name in [
        "overviews",
        "sparse",
        "described",
        "uint16-none-p1-tiles-b3-pixel-little",
    ] {
        let mut tiff = open(name);
        let all = tiff.read(&tiff.window()).expect("reads");
        let [bands, height, width] = tiff.window().shape();
        let window = ImageWindow {
            bands: bands - 1..bands,
            rows: height / 3..height - 1,
            cols: 1..width / 2,
        };
        let part = tiff.read(&window).expect("reads");
        let all: Vec<f64> = all.iter_f64().collect();
        let wanted: Vec<f64> = window
            .rows
            .clone()
            .flat_map(|y| window.cols.clone().map(move |x| (y, x)))
            .map(|(y, x)| all[((bands - 1) * height + y) * width + x])
            .collect();
        assert_eq!(part.iter_f64().collect::<Vec<_>>(), wanted, "{name}");
    }
}

#[test]
fn a_window_beyond_the_image_is_refused() {
    let mut tiff = open("point");
    for window in [
        ImageWindow {
            bands: 0..2,
            rows: 0..1,
            cols: 0..1,
        },
        ImageWindow {
            bands: 0..1,
            rows: 3..3,
            cols: 0..1,
        },
        ImageWindow {
            bands: 0..1,
            rows: 0..1,
            cols: 0..12,
        },
    ] {
        let error = tiff.read(&window).expect_err("the window is outside");
        assert_eq!(*error.kind(), crate::ErrorKind::Invalid);
    }
}

#[test]
fn absent_blocks_read_as_nodata() {
    let mut tiff = open("sparse");
    let array = tiff.read(&tiff.window()).expect("reads");
    let cells = array.into_typed::<i16>().expect("int16");
    assert_eq!(cells[[0, 20, 20]], -7);
    assert_eq!((cells[[1, 20, 20]], cells[[1, 15, 20]]), (5, -7));
}

#[test]
fn bands_keep_their_names_scales_and_offsets() {
    let tiff = open("described");
    let bands = &tiff.header().bands;
    assert_eq!(
        bands[0].description.as_deref(),
        Some("height <above> & sea")
    );
    assert_eq!((bands[0].scale, bands[0].offset), (Some(0.5), Some(10.0)));
    assert_eq!(bands[1].description.as_deref(), Some("slope"));
}

#[test]
fn what_a_file_says_and_a_grid_does_not_keep_is_noted() {
    let said = |name: &str| open(name).header().notes.join("\n");
    for (name, words) in [
        ("palette", &["numbers of colours", "--aggregator mode"][..]),
        (
            "mask-and-value",
            &[
                "both a nodata value and a mask",
                "gdal_translate -a_nodata none",
            ],
        ),
        ("units", &["several units (degC, mm)"]),
        ("plain", &[]),
        ("mask-beside", &[]),
    ] {
        let said = said(name);
        assert!(
            words.iter().all(|word| said.contains(word)) && said.is_empty() == words.is_empty(),
            "{name}: {said}"
        );
    }
}

/// Keys that contradict each other are told of (`tests/data/geotiff/make_keys.py`).
#[test]
fn what_keys_say_beside_a_code_is_noted_if_it_is_not_so() {
    for (name, system, words) in [
        ("same-datum", "EPSG:32632", None),
        ("other-datum", "EPSG:32632", Some("EPSG:4267")),
        ("degrees", "EPSG:4326", None),
        ("gon", "EPSG:4326", Some("another unit of angles")),
        ("arc-seconds", "EPSG:4326", Some("another unit of angles")),
        ("from-paris", "EPSG:4326", Some("another prime meridian")),
        ("turned", "EPSG:32632", Some("orientation 6")),
        ("unplaced", "EPSG:32632", None),
        ("classes", "EPSG:32632", Some("numbers of classes")),
    ] {
        let tiff = open(&format!("keys/{name}"));
        let header = tiff.header();
        assert_eq!(header.crs.as_deref(), Some(system), "{name}");
        assert_eq!(header.affine.is_none(), name == "unplaced", "{name}");
        let notes = header.notes.join("\n");
        match words {
            None => assert_eq!(notes, "", "{name}"),
            Some(words) => assert!(notes.contains(words), "{name}: {notes}"),
        }
    }
}

/// Whole images that stand within a directory are not lost in silence; those in less resolution
/// are overviews.
#[test]
fn images_within_a_directory_are_named() {
    let tiff = open("keys/within");
    let said = tiff.header().notes.join("\n");
    let at = said
        .split("GTIFF_DIR:off:")
        .nth(1)
        .and_then(|rest| rest.split(':').next());
    let at: u64 = at.unwrap_or_default().parse().expect("an offset");
    assert!(
        at > 0 && said.contains("an image in full resolution"),
        "{said}"
    );
}

#[test]
fn images_behind_the_first_are_named_though_they_have_no_directories() {
    for name in ["stack", "stack-of-imagej"] {
        let notes = open(&format!("keys/{name}")).header().notes.join("\n");
        assert!(
            notes.contains("the file has 4 images, of which only the first"),
            "{name}: {notes}"
        );
    }
}

#[test]
fn a_shear_that_rounding_left_is_none() {
    let affine = open("keys/hardly-sheared").header().affine;
    let of = |affine: Affine| affine.to_gdal();
    assert_eq!(affine.map(of), Some([5e5, 10.0, 0.0, 5e6, 0.0, -10.0]));
    let path = data().join("keys/sheared.tif");
    let why = story(&GeoTiff::open(path).expect_err("it is sheared"));
    assert!(why.contains("rotated or sheared"), "{why}");
}

/// A file is not taken for one without a place where its place stands beside it.
#[test]
fn what_places_a_file_otherwise_is_named() {
    for (name, words) in [
        ("by-tab", "by-tab.tab`, which is not read"),
        ("by-points", "by-points.tif.aux.xml`, which is not read"),
        (
            "by-polynomials",
            "by-polynomials_RPC.TXT`, which is not read",
        ),
    ] {
        let path = data().join(format!("keys/{name}.tif"));
        let why = story(&GeoTiff::open(path).expect_err("its place is not read"));
        assert!(why.contains(words), "{name}: {why}");
    }
}

#[test]
fn signed_integers_of_any_bits_keep_their_signs() {
    let mut tiff = open("keys/signed-12");
    let cells = tiff.read(&tiff.window()).expect("reads");
    let values: Vec<f64> = cells.iter_f64().collect();
    assert_eq!(cells.dtype(), DType::I16);
    assert_eq!(values, [-2048.0, -1.0, 0.0, 1.0, 2047.0, -5.0]);
}

/// As GDAL reads them: whatever blanks there are, but neither comments nor items within items.
#[test]
fn metadata_are_read_as_xml() {
    let tiff = open("keys/spread-out");
    let band = &tiff.header().bands[0];
    assert_eq!((band.scale, band.offset), (Some(0.5), Some(1.0)));
}

#[test]
fn nodata_is_exact_or_absent_with_a_reason() {
    let parse = |text: &str, dtype| nodata::parse(text, dtype);
    assert_eq!(
        parse("18446744073709551615", DType::U64),
        Ok(vec![u64::MAX].into())
    );
    assert_eq!(
        parse("-9223372036854775808", DType::I64),
        Ok(vec![i64::MIN].into())
    );
    assert_eq!(
        parse("-9.22337203685477581e+18", DType::I64),
        Ok(vec![i64::MIN].into())
    );
    assert_eq!(parse("-9999.0 ", DType::I16), Ok(vec![-9999_i16].into()));
    assert_eq!(
        parse("-3.4028234663852886e+38", DType::F32),
        Ok(vec![f32::MIN].into())
    );
    assert_eq!(
        parse("-3.40282347e+38", DType::F32),
        Ok(vec![f32::MIN].into())
    );
    assert_eq!(
        parse("-inf", DType::F32),
        Ok(vec![f32::NEG_INFINITY].into())
    );
    assert_eq!(parse("0.1", DType::F32), Ok(vec![0.1_f32].into()));
    assert_eq!(parse("-9999,5", DType::F64), Ok(vec![-9999.5_f64].into()));
    assert_eq!(
        parse("-9999 -8888", DType::F32),
        Ok(vec![-9999.0_f32].into()),
        "as GDAL"
    );
    assert_eq!(parse("7 8", DType::U8), Ok(vec![7_u8].into()));
    for never in ["nan", "-1.#IND", "1.#QNAN"] {
        let cell = parse(never, DType::F32).expect("NaN");
        assert!(cell.first_f64().is_some_and(f64::is_nan), "{never}");
    }
    for (text, dtype) in [
        ("-9999", DType::U8),
        ("nan", DType::I32),
        ("0.5", DType::U16),
        ("1e300", DType::F32),
        ("x", DType::F64),
    ] {
        let reason = parse(text, dtype).expect_err("no cell has this value");
        assert!(reason.contains(text), "{reason}");
    }
    assert_eq!(open("nodata-out-of-range").header().notes.len(), 1);
}

/// C++ streams write six digits of the least float32, and GDAL takes it for what was meant.
#[test]
fn the_greatest_float_is_nodata_with_any_number_of_digits() {
    for text in ["-3.40282e+38", "-3.402823e+38", "-3.4e38", "-3.40e38"] {
        let cell = nodata::parse(text, DType::F32).expect("a float");
        assert_eq!(cell, Cells::from(vec![f32::MIN]), "{text}");
        let missing = nodata::spellings(&cell);
        assert_eq!(missing[0], Cells::from(vec![f32::MIN]));
        let written: f32 = text.parse().expect("a float");
        assert!(missing.contains(&Cells::from(vec![written])), "{text}");
    }
    let cell = nodata::parse("3.4e37", DType::F32).expect("a float");
    assert_eq!(cell, Cells::from(vec![3.4e37_f32]));
    assert_eq!(nodata::spellings(&cell).len(), 1);
}

#[test]
fn nodata_texts_are_inverse() {
    fn check<T: crate::array::Cell>(values: &[T]) {
        for value in values {
            let cell = Cells::from(vec![*value]);
            let text = nodata::format(&cell).expect("there is a cell");
            let back = nodata::parse(&text, T::DTYPE).expect("the text is a value");
            assert_eq!(back.as_bytes(), cell.as_bytes(), "{text}");
        }
    }
    check(&[u64::MAX, 0, (1 << 53) + 1]);
    check(&[i64::MIN, -1, i64::MAX]);
    check(&[
        f32::MIN,
        f32::MAX,
        0.1,
        -9999.0,
        f32::MIN_POSITIVE,
        f32::INFINITY,
        f32::NAN,
    ]);
    check(&[
        f64::MIN,
        f64::MAX,
        0.1,
        1e300,
        5e-324,
        f64::NEG_INFINITY,
        f64::NAN,
    ]);
    check(&[i8::MIN, i8::MAX]);
}

#[test]
fn predictors_are_inverse() {
    for (size, samples) in [
        (1, 1),
        (1, 3),
        (2, 1),
        (2, 6),
        (4, 1),
        (4, 4),
        (8, 1),
        (8, 2),
    ] {
        // An odd start makes a row that is not aligned to its words.
        let bytes: Vec<u8> = (0..=480_u32)
            .map(|at| u8::try_from(at * at % 251).unwrap_or_default())
            .collect();
        for start in [0, 1] {
            let mut row = bytes[start..start + 480].to_vec();
            predictor::differentiate(&mut row, size, samples);
            predictor::integrate(&mut row, size, samples);
            assert_eq!(row, bytes[start..start + 480]);
            let mut scratch = Vec::new();
            predictor::split_planes(&mut row, size, samples, &mut scratch);
            predictor::join_planes(&mut row, size, samples, &mut scratch);
            assert_eq!(row, bytes[start..start + 480]);
        }
    }
}

#[test]
fn a_missing_file_is_not_found() {
    let error = GeoTiff::open(data().join("absent.tif")).expect_err("there is no such file");
    assert_eq!(*error.kind(), crate::ErrorKind::NotFound);
}

#[test]
fn what_is_not_a_tiff_is_said_not_to_be_one() {
    for bytes in [
        &b""[..],
        b"II*\0",
        b"\x89PNG\r\n\x1a\n________",
        b"II+\0\x04\0\0\0________",
    ] {
        let error = GeoTiff::from_reader(Cursor::new(bytes)).expect_err("no TIFF");
        assert!(error.to_string().contains("not a TIFF"), "{error}");
    }
}
