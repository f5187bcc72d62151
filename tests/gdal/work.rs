//! A directory to work in, files by a formula, and the programs of GDAL.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use gridstone::adapter::geotiff::{self, Affine, GeoTiff, Profile};
use gridstone::{Array, ArrayView};
use ndarray::{Array2, Array3, ArrayD};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) struct Work(TempDir);

/// Heights by a formula, rough enough that no resampling leaves them as they are; of some cells
/// without data.
pub(crate) fn heights(rows: usize, cols: usize) -> Array2<i16> {
    Array2::from_shape_fn((rows, cols), |(row, col)| {
        if (10..20).contains(&row) && (30..50).contains(&col) {
            return -9999;
        }
        let rough = (row * 7919 + col * 104_729) % 41;
        i16::try_from(3 * row + 2 * col + rough).unwrap()
    })
}

/// A place in the zone 32 of UTM, in cells of 30 m.
pub(crate) const UTM: Affine = Affine {
    x: 400_000.0,
    y: 5_000_000.0,
    dx: 30.0,
    dy: -30.0,
};

/// About the same place in longitude and latitude, in cells of three seconds of arc.
pub(crate) const DEGREES: Affine = Affine {
    x: 7.0,
    y: 46.0,
    dx: 1.0 / 1200.0,
    dy: -1.0 / 1200.0,
};

impl Work {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a program in the directory; its stdout, and its stderr if it failed.
    fn program(&self, program: &str, args: &[&str]) -> Result<String, String> {
        let output = Command::new(program)
            .args(args)
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{program} is not there (`make gdal`): {error}"));
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let stderr = text(output.stderr);
        assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
        if output.status.success() {
            Ok(text(output.stdout))
        } else {
            assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
            Err(stderr)
        }
    }

    /// A program of GDAL, which must succeed.
    pub(crate) fn gdal(&self, program: &str, args: &[&str]) {
        let made = self.program(program, &[&["-q"], args].concat());
        made.unwrap_or_else(|error| panic!("{program} {args:?}: {error}"));
    }

    pub(crate) fn ok(&self, args: &[&str]) -> String {
        self.program(env!("CARGO_BIN_EXE_gridstone"), args)
            .unwrap_or_else(|error| panic!("{args:?}: {error}"))
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[args, &["--json"]].concat())).unwrap()
    }

    /// The error of what must fail with code 1. GDAL prints nothing of its own.
    pub(crate) fn fails(&self, args: &[&str]) -> String {
        let failed = self.program(env!("CARGO_BIN_EXE_gridstone"), args);
        let error = failed.expect_err(&format!("{args:?} succeeds"));
        let is_ours = |line: &str| line.starts_with("error: ") || line.starts_with("note: ");
        assert!(error.lines().all(is_ours), "{error}");
        error
    }

    /// A GeoTIFF in the zone 32 of UTM.
    pub(crate) fn tif<'a>(
        &self,
        name: &str,
        cells: impl Into<ArrayView<'a>>,
        place: impl FnOnce(&mut Profile),
    ) {
        let mut profile = Profile::default();
        (profile.crs, profile.affine) = (Some("EPSG:32632".to_owned()), Some(UTM));
        place(&mut profile);
        geotiff::write(self.path(name), cells, &profile).unwrap();
    }

    /// Heights in UTM whose nodata value is -9999.
    pub(crate) fn utm(&self, name: &str, rows: usize, cols: usize) {
        self.tif(name, &heights(rows, cols), |profile| {
            profile.nodata = Some(vec![-9999_i16].into());
        });
    }

    /// A VRT of `utm.tif` with another transformation.
    pub(crate) fn vrt(&self, name: &str, transform: &str) {
        self.gdal("gdal_translate", &["-of", "VRT", "utm.tif", "plain.vrt"]);
        let text = std::fs::read_to_string(self.path("plain.vrt")).unwrap();
        let (before, rest) = text.split_once("<GeoTransform>").unwrap();
        let (_, after) = rest.split_once("</GeoTransform>").unwrap();
        let made = format!("{before}<GeoTransform>{transform}</GeoTransform>{after}");
        std::fs::write(self.path(name), made).unwrap();
    }

    /// Three bands with a circle of data: by alpha in `alpha.tif`, by a mask in `mask.tif`.
    pub(crate) fn circle(&self) {
        let mut cells = Array3::zeros((4, 120, 150));
        cells
            .slice_mut(ndarray::s![..3, .., ..])
            .assign(&bands(120, 150));
        for ((row, col), alpha) in cells.index_axis_mut(ndarray::Axis(0), 3).indexed_iter_mut() {
            *alpha = if (row as i64 - 60).pow(2) + (col as i64 - 75).pow(2) < 2500 {
                255
            } else {
                0
            };
        }
        self.tif("plain.tif", &cells, |_| {});
        let alpha = ["-colorinterp_4", "alpha", "plain.tif", "alpha.tif"];
        self.gdal("gdal_translate", &alpha);
        let chosen = ["-b", "1", "-b", "2", "-b", "3", "-mask", "4"];
        let inside = [
            "--config",
            "GDAL_TIFF_INTERNAL_MASK",
            "YES",
            "plain.tif",
            "mask.tif",
        ];
        self.gdal("gdal_translate", &[&chosen[..], &inside].concat());
    }

    /// A grid `dem` of a type in EPSG:4326 with the cells of [`DEGREES`].
    pub(crate) fn degrees(&self, dtype: &str, nodata: Option<f64>) {
        let place = |profile: &mut Profile| {
            (profile.crs, profile.affine) = (Some("EPSG:4326".to_owned()), Some(DEGREES));
        };
        self.tif("like.tif", &Array2::<u8>::zeros((4, 4)), place);
        self.grid("like.tif", dtype, nodata);
    }

    /// A grid `dem` of a type after a file.
    pub(crate) fn grid(&self, like: &str, dtype: &str, nodata: Option<f64>) {
        let nodata = nodata.map(|nodata| format!("--nodata={nodata}"));
        let words = [
            "create", "store", "dem", "--like", like, "--dtype", dtype, "--chunk", "64",
        ];
        let words = words.into_iter().chain(nodata.as_deref());
        self.ok(&words.collect::<Vec<_>>());
    }

    /// What the grid has, as a file; and its cells, those without data as `None`.
    pub(crate) fn read(&self) -> (GeoTiff, Vec<Option<f64>>) {
        self.ok(&["read", "store", "dem", "--out", "grid.tif", "--overwrite"]);
        self.cells("grid.tif")
    }

    /// A file, and its cells.
    pub(crate) fn cells(&self, name: &str) -> (GeoTiff, Vec<Option<f64>>) {
        let mut tiff = GeoTiff::open(self.path(name)).unwrap();
        let (array, valid) = tiff.read_valid(&tiff.window()).unwrap();
        let nodata = tiff
            .header()
            .nodata
            .as_ref()
            .and_then(|cell| cell.first_f64());
        let cells = known(&array, valid, nodata);
        (tiff, cells)
    }

    /// The cells of `gdalwarp` on the cells of a file.
    pub(crate) fn warped(&self, on: &GeoTiff, file: &str, options: &[&str]) -> Vec<Option<f64>> {
        let header = on.header();
        let Affine { x, y, dx, dy } = header.affine.unwrap();
        let (east, south) = (x + dx * header.width as f64, y + dy * header.height as f64);
        let place = [x, south, east, y].map(|edge| edge.to_string());
        let size = [header.width, header.height].map(|len| len.to_string());
        let fixed = ["-overwrite", "-et", "0", "-ovr", "NONE", "-te"];
        let mut words: Vec<&str> = fixed.to_vec();
        words.extend(place.iter().map(String::as_str));
        words.push("-ts");
        words.extend(size.iter().map(String::as_str));
        words.extend(options);
        words.extend([file, "warped.tif"]);
        self.gdal("gdalwarp", &words);
        self.cells("warped.tif").1
    }
}

/// Cells as doubles; those that a mask or a nodata value says hold no data, and NaN, are `None`.
pub(crate) fn known(
    array: &Array,
    valid: Option<ArrayD<u8>>,
    nodata: Option<f64>,
) -> Vec<Option<f64>> {
    let valid = valid.map(|valid| valid.into_iter().collect::<Vec<_>>());
    let is_data = |at: usize| valid.as_ref().is_none_or(|valid| valid[at] == 1);
    let cells = array.iter_f64().enumerate();
    cells
        .map(|(at, cell)| (is_data(at) && !cell.is_nan() && Some(cell) != nodata).then_some(cell))
        .collect()
}

/// Bands of which each is higher by one than that before it.
pub(crate) fn bands(rows: usize, cols: usize) -> Array3<u8> {
    Array3::from_shape_fn((3, rows, cols), |(band, row, col)| {
        u8::try_from((row * 7 + col * 5 + (row * 31 + col * 17) % 13 + band) % 251).unwrap()
    })
}

/// That cells are the same, and that enough of them hold data.
pub(crate) fn assert_same(found: &[Option<f64>], wanted: &[Option<f64>], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    let first = found.iter().zip(wanted).position(|(a, b)| a != b);
    let differ = found.iter().zip(wanted).filter(|(a, b)| a != b).count();
    assert!(
        differ == 0,
        "{what}: {differ} of {} cells differ, the first {first:?}: {:?} in place of {:?}",
        found.len(),
        first.map(|at| found[at]),
        first.map(|at| wanted[at])
    );
    let data = found.iter().flatten().count();
    assert!(data * 5 > found.len(), "{what}: {data} of {}", found.len());
}
