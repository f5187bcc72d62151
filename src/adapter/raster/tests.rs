//! Files laid into grids at every level, and every pair of types.

use std::io::Cursor;

use ndarray::Array2;

use super::{Like, Raster, RasterSource, schema_like};
use crate::adapter::cells::widens;
use crate::adapter::geotiff::{self, Affine, GeoTiff, Profile};
use crate::adapter::source::{Import, Source};
use crate::array::{Array, Cell, DType, with_dtype};
use crate::{Grid, Level, Levels, Query, Store};

fn tiff(array: &Array, affine: Option<Affine>, crs: Option<&str>) -> GeoTiff {
    let profile = Profile {
        affine,
        crs: crs.map(str::to_owned),
        ..Profile::default()
    };
    opened(array, &profile)
}

/// A file of an array.
pub(super) fn opened(array: &Array, profile: &Profile) -> GeoTiff {
    let mut bytes = Cursor::new(Vec::new());
    geotiff::write_to(&mut bytes, array, profile).expect("a GeoTIFF");
    GeoTiff::from_bytes(bytes.into_inner()).expect("opens")
}

fn placed(grid: &Grid, tiff: GeoTiff) -> crate::Result<Import> {
    Import::new(grid, RasterSource::new(grid, "a file", tiff)?)
}

/// A grid made after a file, without cells.
pub(super) fn grid(tiff: &GeoTiff) -> Grid {
    let schema = schema_like(
        tiff.header(),
        &Like {
            chunk: 4,
            ..Like::default()
        },
    )
    .expect("a schema");
    Store::in_memory()
        .expect("a store")
        .create("g", schema)
        .expect("a grid")
}

const PLACE: Affine = Affine {
    x: 399_960.0,
    y: 5_300_040.0,
    dx: 10.0,
    dy: -10.0,
};

/// Row and column numbers are no coordinates of a system.
#[test]
fn a_file_that_does_not_say_where_it_lies_lies_in_no_system() {
    let array: Array = Array2::from_elem((4, 4), 1.0_f32).into();
    let utm = Some("EPSG:32632");
    let grid_of_utm = grid(&tiff(&array, Some(PLACE), utm));
    let unplaced = || tiff(&array, None, utm);
    let refused = [
        placed(&grid_of_utm, unplaced()).map(drop),
        schema_like(unplaced().header(), &Like::default()).map(drop),
    ];
    for refused in refused {
        let error = refused.expect_err("refused").to_string();
        assert!(error.contains("does not say where it lies"), "{error}");
        assert!(error.contains("gdal_translate -a_ullr"), "{error}");
    }
    let plain = || tiff(&array, None, None);
    placed(&grid(&plain()), plain()).expect("cells by their numbers");
}

#[test]
fn what_a_level_gives_lands_at_that_level() {
    let base: Array = Array2::from_shape_fn((150, 110), |(y, x)| {
        f32::from(u16::try_from(y * 110 + x).expect("small"))
    })
    .into();
    let file = tiff(&base, Some(PLACE), Some("EPSG:32632"));
    let source = grid(&file);
    placed(&source, file)
        .expect("fits")
        .write(&mut |_| {})
        .expect("written");
    let top = source.reach().expect("read").expect("aggregated")[0];
    assert!(
        top.get() > 4,
        "the lattice is shifted above level 2, where chunks have 4 cells"
    );
    for level in 0..=top.get() {
        let levels = Levels::zero(1).with(0, Level::new(level).expect("a level"));
        let answer = source.read(&Query::all().levels(levels)).expect("read");
        let raster = Raster::new(&source, &answer).expect("a raster");
        // Level 0 is the first grid's in any case: its own cells decide where a file lies.
        let target = Store::in_memory()
            .expect("a store")
            .create("t", source.schema().clone())
            .expect("a grid");
        let file = tiff(&raster.array, raster.affine, raster.crs.as_deref());
        let mut import = placed(&target, file).expect("fits");
        let window = import.footprint().windows[0];
        assert_eq!((window.levels(1)[0].get(), window), (level, answer.window));
        import.check(&mut |_| {}).expect("sound");
        import.write(&mut |_| {}).expect("written");
        let back = target.read(&Query::all().levels(levels)).expect("read");
        assert_eq!(
            (back.array, back.window),
            (answer.array, answer.window),
            "level {level}"
        );
    }
}

#[test]
fn a_file_of_finer_cells_lands_below_level_0() {
    let coarse = tiff(
        &Array::filled(DType::I16, &[20, 20], 1.0),
        Some(PLACE),
        None,
    );
    let target = grid(&coarse);
    let place = Affine {
        x: PLACE.x + 2.5,
        dx: 2.5,
        dy: -2.5,
        ..PLACE
    };
    let import = placed(
        &target,
        tiff(&Array::filled(DType::I16, &[9, 7], 2.0), Some(place), None),
    )
    .expect("fits");
    let window = import.footprint().windows[0];
    assert_eq!((window.levels(1)[0].get(), window.start()[1]), (-2, 1));
}

#[test]
fn a_type_widens_only_where_every_value_survives() {
    for from in DType::ALL {
        for to in DType::ALL {
            let exact = |value: f64| {
                let kept = with_dtype!(from, |T| T::from_f64(value).to_f64());
                with_dtype!(to, |T| T::from_f64(kept).to_f64()) == kept
            };
            // Both ends of every type, the first whole numbers that float32 and float64 have not,
            // and a fraction.
            let ends = DType::ALL.iter().flat_map(|dtype| {
                [-1.0, 1.0].map(|sign| sign * (8.0 * dtype.size() as f64).exp2())
            });
            let survives = ends
                .chain([-1.0, 16_777_217.0, 9_007_199_254_740_993.0, 0.5, 1e300])
                .all(exact);
            if widens(from, to) {
                assert!(survives, "{from} in {to}");
            } else {
                // A double cannot tell the 64-bit integers apart, so their loss cannot be shown
                // with one.
                assert!(
                    !survives || from.size() == 8 || (from.size() == 4 && to == DType::F32),
                    "{from} in {to}"
                );
            }
        }
    }
}

#[test]
fn a_hundred_files_side_by_side_are_one_grid() {
    let cells = |row: usize, col: usize| {
        Array2::from_shape_fn((7, 9), move |(y, x)| {
            i32::try_from((row * 7 + y) * 1000 + col * 9 + x).expect("small")
        })
    };
    let at = |row: usize, col: usize| Affine {
        x: PLACE.x + 90.0 * col as f64,
        y: PLACE.y - 70.0 * row as f64,
        ..PLACE
    };
    let target = grid(&tiff(&cells(0, 0).into(), Some(at(0, 0)), None));
    for number in (0..100).rev() {
        let (row, col) = (number / 10, number % 10);
        let file = tiff(&cells(row, col).into(), Some(at(row, col)), None);
        placed(&target, file)
            .expect("fits")
            .write(&mut |_| {})
            .expect("written");
    }
    let all = target
        .read(&Query::all())
        .expect("read")
        .array
        .into_typed::<i32>()
        .expect("int32");
    assert_eq!(
        all,
        Array2::from_shape_fn((70, 90), |(y, x)| i32::try_from(y * 1000 + x)
            .expect("small"))
        .into_dyn()
    );
}

/// A file of two bands, or of one, with these names and units.
fn described(bands: &[(&str, &str)]) -> GeoTiff {
    let band = |(name, unit): &(&str, &str)| geotiff::Band {
        description: Some((*name).to_owned()).filter(|name| !name.is_empty()),
        unit: Some((*unit).to_owned()).filter(|unit| !unit.is_empty()),
        ..geotiff::Band::default()
    };
    let profile = Profile {
        affine: Some(PLACE),
        bands: bands.iter().map(band).collect(),
        ..Profile::default()
    };
    let shape = if bands.len() == 1 {
        vec![4, 4]
    } else {
        vec![bands.len(), 4, 4]
    };
    opened(&Array::filled(DType::F32, &shape, 1.0), &profile)
}

#[test]
fn each_band_is_converted_from_its_own_unit() {
    let target = grid(&described(&[("a", "K"), ("b", "K")]));
    assert_eq!(target.schema().unit(), Some("K"));
    let mut import = placed(&target, described(&[("a", "degC"), ("b", "K")])).expect("fits");
    assert!(
        import
            .notes()
            .iter()
            .any(|note| note.contains("its degC become K")),
        "{:?}",
        import.notes()
    );
    import.write(&mut |_| {}).expect("written");
    let cells: Vec<f64> = target
        .read(&Query::all())
        .expect("read")
        .array
        .iter_f64()
        .collect();
    assert!(
        cells[..16].iter().all(|cell| (cell - 274.15).abs() < 1e-4)
            && cells[16..].iter().all(|cell| *cell == 1.0),
        "{cells:?}"
    );
    let error = placed(&target, described(&[("a", "K"), ("b", "mm")]))
        .expect_err("of another kind")
        .to_string();
    assert!(
        error.contains("`mm` in band 2") && error.contains("`K`"),
        "{error}"
    );
    let untold = placed(&target, described(&[("a", "K"), ("b", "")]))
        .expect("fits")
        .notes();
    assert!(
        untold.iter().any(|note| note.contains("says no unit")),
        "{untold:?}"
    );
    let mixed = described(&[("a", "degC"), ("b", "mm")]);
    assert_eq!(
        (grid(&mixed).schema().unit(), mixed.header().notes.len()),
        (None, 1)
    );
}

#[test]
fn the_name_of_a_single_band_is_kept_and_another_is_noted() {
    let target = grid(&described(&[("elevation", "m")]));
    placed(&target, described(&[("elevation", "m")]))
        .expect("fits")
        .write(&mut |_| {})
        .expect("written");
    let answer = target.read(&Query::all()).expect("read");
    assert_eq!(
        Raster::new(&target, &answer).expect("a raster").bands,
        ["elevation"]
    );
    let notes = |name: &str| {
        placed(&target, described(&[(name, "m")]))
            .expect("fits")
            .notes()
    };
    assert!(notes("elevation").is_empty() && notes("").is_empty());
    assert!(
        notes("slope")[0].contains("its band is `slope`")
            && notes("slope")[0].contains("`elevation`"),
        "{:?}",
        notes("slope")
    );
}

#[test]
fn a_file_that_is_not_what_it_was_has_another_fingerprint() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.tif");
    let open = || GeoTiff::open(&path).expect("opens");
    let fingerprint = |value: f64| {
        geotiff::write(
            &path,
            &Array::filled(DType::I16, &[4, 4], value),
            &Profile::default(),
        )
        .expect("written");
        let source = RasterSource::new(&grid(&open()), "a file", open()).expect("fits");
        source.fingerprint().expect("reads").expect("of a file")
    };
    let (one, other, again) = (fingerprint(1.0), fingerprint(2.0), fingerprint(1.0));
    assert!(
        one.digest == again.digest && one.digest != other.digest,
        "{one:?} {other:?} {again:?}"
    );
    assert_eq!(
        again.bytes,
        std::fs::metadata(&path).expect("is there").len()
    );
    let held = tiff(&Array::filled(DType::I16, &[4, 4], 1.0), None, None);
    let source = RasterSource::new(&grid(&held), "bytes", held).expect("fits");
    assert_eq!(source.fingerprint().expect("nothing to read"), None);
}
