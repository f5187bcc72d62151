//! Files that GDAL wrote, against what GDAL reads in them (`tests/data/geotiff/README.md`).

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// Checks every line of `expected.txt` and says how many files were read and how many refused.
fn check(directory: &Path) -> (usize, usize) {
    let expected = fs::read_to_string(directory.join("expected.txt")).expect("the list is there");
    let (mut read, mut refused) = (0, 0);
    for line in expected.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let opened = GeoTiff::open(directory.join(format!("{}.tif", fields[0])));
        if fields[1] == "refused" {
            let error = opened.expect_err(fields[0]);
            assert!(
                story(&error).contains(fields[2]),
                "{}: {}",
                fields[0],
                story(&error)
            );
            refused += 1;
        } else {
            check_file(
                &mut opened.unwrap_or_else(|error| panic!("{}: {}", fields[0], story(&error))),
                &fields,
            );
            read += 1;
        }
    }
    (read, refused)
}

fn check_file(tiff: &mut GeoTiff, fields: &[&str]) {
    let [name, dtype, shape, crc, place, crs, nodata] = fields else {
        panic!("seven fields: {fields:?}")
    };
    let header = tiff.header().clone();
    assert_eq!(header.dtype.name(), *dtype, "{name}");
    assert_eq!(
        tiff.window().shape().map(|len| len.to_string()).join(","),
        *shape,
        "{name}"
    );
    let place = (*place != "-").then(|| {
        place
            .split(',')
            .map(|value| value.parse::<f64>().expect("a number"))
            .collect::<Vec<_>>()
    });
    assert_eq!(
        header.affine.map(|affine| affine.to_gdal().to_vec()),
        place,
        "{name}"
    );
    match crs.strip_prefix('~') {
        Some(part) => assert!(
            header.crs.as_deref().is_some_and(|crs| crs.contains(part)),
            "{name}: {:?}",
            header.crs
        ),
        None => assert_eq!(header.crs.as_deref().unwrap_or("-"), *crs, "{name}"),
    }
    let wanted = (*nodata != "-")
        .then(|| super::nodata::parse(nodata, header.dtype).expect("a value of the type"));
    match (&header.nodata, &wanted) {
        (Some(found), Some(wanted)) => assert_eq!(found.as_bytes(), wanted.as_bytes(), "{name}"),
        (found, wanted) => assert_eq!(found, wanted, "{name}"),
    }
    if let Some(means) = crc.strip_prefix('~') {
        return check_means(tiff, name, means);
    }
    for (rows, bytes) in [(1, 1), (1000, usize::MAX), (16, 2000)] {
        let mut crc_found = flate2::Crc::new();
        crc_found.update(&bytes_by_plan(tiff, rows, bytes));
        assert_eq!(
            format!("{:08x}", crc_found.sum()),
            *crc,
            "{name}, {rows} rows, {bytes} bytes"
        );
    }
}

/// Decoders of what is lossy differ by little.
fn check_means(tiff: &mut GeoTiff, name: &str, means: &str) {
    for (rows, bytes) in [(1, 1), (1000, usize::MAX)] {
        let cells = bytes_by_plan(tiff, rows, bytes);
        let [bands, height, width] = tiff.window().shape();
        assert_eq!(means.split(',').count(), bands, "{name}");
        for (mean, cells) in means.split(',').zip(cells.chunks_exact(height * width)) {
            let found =
                cells.iter().map(|cell| f64::from(*cell)).sum::<f64>() / (height * width) as f64;
            let mean: f64 = mean.parse().expect("a number");
            assert!((found - mean).abs() < 0.7, "{name}: {found}, not {mean}");
        }
    }
}

#[test]
fn files_of_gdal_read_as_gdal_reads_them() {
    let (read, refused) = check(&data());
    assert!(
        read >= 120 && refused >= 3,
        "{read} read, {refused} refused"
    );
}

/// For `make.py DIR --all`; see `tests/data/geotiff/README.md`.
#[test]
#[ignore = "needs files that are not kept: GRIDSTONE_GEOTIFF_DIR"]
fn all_files_of_a_directory_read_as_gdal_reads_them() {
    let directory = std::env::var_os("GRIDSTONE_GEOTIFF_DIR")
        .expect("GRIDSTONE_GEOTIFF_DIR names the directory");
    let (read, refused) = check(&PathBuf::from(directory));
    println!("{read} files read as expected, {refused} refused as expected");
}
