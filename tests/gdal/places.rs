//! Rasters of other systems, laid onto a grid without GDAL: every cell lies where `gdalwarp` has it.

use gridstone::adapter::geotiff::{Affine, GeoTiff};
use gridstone::adapter::raster::ResampledSource;
use gridstone::adapter::source::Import;
use gridstone::{Resampling, Store};
use ndarray::Array2;

use super::work::Work;

/// How far a place may be from that of GDAL, in cells of the file.
const OFF_MAX: f64 = 2e-4;
const SIZE: (usize, usize) = (120, 150);

/// Puts a file into the grid `dem` by the library, which knows no GDAL here.
fn lay(work: &Work, file: &str, how: Resampling) {
    let store = Store::open(work.path("store")).unwrap();
    let grid = store.grid("dem").unwrap();
    let tiff = GeoTiff::open(work.path(file)).unwrap();
    let source = ResampledSource::new(&grid, file, tiff, None, &[], (how, None)).unwrap();
    let mut import = Import::new(&grid, source).unwrap();
    import.check(&mut |_| {}).unwrap();
    import.write(&mut |_| {}).unwrap();
}

/// What the grid has of a file, and what `gdalwarp` makes of it on the same cells.
fn both(
    (crs, affine): (&str, Affine),
    cells: &Array2<f64>,
    (how, name): (Resampling, &str),
) -> Vec<(Option<f64>, Option<f64>)> {
    let work = Work::new();
    work.tif("file.tif", cells, |profile| {
        (profile.crs, profile.affine) = (Some(crs.to_owned()), Some(affine));
    });
    work.degrees("float64", None);
    lay(&work, "file.tif", how);
    work.ok(&["verify", "store"]);
    let (on, found) = work.read();
    let options = ["-r", name, "-t_srs", "EPSG:4326", "-dstnodata", "nan"];
    let scale = ["-wo", "XSCALE=1", "-wo", "YSCALE=1"];
    let wanted = work.warped(&on, "file.tif", &[&options[..], &scale].concat());
    assert_eq!(found.len(), wanted.len());
    found.into_iter().zip(wanted).collect()
}

const SYSTEMS: [(&str, Affine); 4] = [
    (
        "EPSG:32632",
        Affine {
            x: 400_000.0,
            y: 5_000_000.0,
            dx: 30.0,
            dy: -30.0,
        },
    ),
    (
        "EPSG:3857",
        Affine {
            x: 820_000.0,
            y: 5_700_000.0,
            dx: 60.0,
            dy: -60.0,
        },
    ),
    (
        "EPSG:3035",
        Affine {
            x: 4_100_000.0,
            y: 2_500_000.0,
            dx: 50.0,
            dy: -50.0,
        },
    ),
    (
        "EPSG:21781",
        Affine {
            x: 600_000.0,
            y: 200_000.0,
            dx: 25.0,
            dy: -25.0,
        },
    ),
];

#[test]
fn columns_and_rows_are_those_of_gdalwarp() {
    for system in SYSTEMS {
        for axis in [0, 1] {
            let ramp = Array2::from_shape_fn(SIZE, |at| [at.1, at.0][axis] as f64);
            let pairs = both(system, &ramp, (Resampling::Bilinear, "bilinear"));
            let (mut worst, mut count): (f64, usize) = (0.0, 0);
            let len = [SIZE.1, SIZE.0][axis] as f64;
            for (found, wanted) in pairs.iter().filter_map(|(a, b)| a.zip(*b)) {
                if wanted > 1.0 && wanted < len - 2.0 {
                    worst = worst.max((found - wanted).abs());
                    count += 1;
                }
            }
            assert!(count > 5000, "{}: {count}", system.0);
            assert!(worst < OFF_MAX, "{}: off by {worst} cells", system.0);
        }
    }
}

#[test]
fn nearest_cells_are_those_of_gdalwarp_but_at_edges() {
    for system in SYSTEMS {
        let numbers = Array2::from_shape_fn(SIZE, |(row, col)| (row * 1000 + col) as f64);
        let pairs = both(system, &numbers, (Resampling::Nearest, "near"));
        let other = pairs.iter().filter(|(found, wanted)| found != wanted);
        let all = pairs.iter().filter(|(found, _)| found.is_some()).count();
        let mut count = 0;
        for (found, wanted) in other {
            if let (Some(found), Some(wanted)) = (found, wanted) {
                let step = (found - wanted).abs();
                assert!([1.0, 1000.0].contains(&step), "{found}, not {wanted}");
            }
            count += 1;
        }
        assert!(
            all > 5000 && count * 1000 < all,
            "{}: {count} of {all}",
            system.0
        );
    }
}

#[test]
fn mixed_cells_are_those_of_gdalwarp_where_all_are_data() {
    let rough = Array2::from_shape_fn(SIZE, |(row, col)| {
        (3 * row + 2 * col + (row * 7919 + col * 104_729) % 41) as f64
    });
    for system in SYSTEMS {
        // Where cells of the file lie next to its edge, GDAL has less of them.
        let inside = both(
            system,
            &Array2::from_shape_fn(SIZE, |(row, col)| {
                let (row, col) = (row.min(SIZE.0 - 1 - row), col.min(SIZE.1 - 1 - col));
                row.min(col) as f64
            }),
            (Resampling::Nearest, "near"),
        );
        for (how, name) in [
            (Resampling::Bilinear, "bilinear"),
            (Resampling::Cubic, "cubic"),
        ] {
            let pairs = both(system, &rough, (how, name));
            let mut count = 0;
            for ((found, wanted), (depth, _)) in pairs.into_iter().zip(&inside) {
                if depth.is_some_and(|depth| depth >= 3.0) {
                    let (found, wanted) = found.zip(wanted).unwrap();
                    // A place is off by so much of the step from one cell to the next.
                    assert!(
                        (found - wanted).abs() < 100.0 * OFF_MAX,
                        "{name}: {found}, not {wanted}"
                    );
                    count += 1;
                }
            }
            assert!(count > 5000, "{}: {count}", system.0);
        }
    }
}
