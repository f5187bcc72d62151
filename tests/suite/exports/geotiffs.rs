//! GeoTIFFs of random grids against reads of each level.

use std::io::Cursor;

use gridstone::adapter::export::Selection;
use gridstone::adapter::geotiff::{Compression, GeoTiff};
use gridstone::adapter::raster::export::{GeoTiffExport, Make};
use gridstone::adapter::raster::{Like, RasterSource, schema_like};
use gridstone::adapter::source::Import;
use gridstone::{
    Aggregation, Axis, DType, Dimension, ErrorKind, Freshness, Grid, Layer, Level, Overlap, Policy,
    Query, Schema, Store, Structure, Window,
};
use ndarray::Array2;

use super::{cases, filled, plane, space, told, wanted};
use crate::dice::Dice;

/// The cells of an image as (band, y, x); `None` where the file says that there is no data.
fn cells_of(tiff: &mut GeoTiff<Cursor<Vec<u8>>>) -> Vec<Option<f64>> {
    let (array, valid) = tiff.read_valid(&tiff.window()).unwrap();
    let nodata = tiff.header().nodata.clone();
    let cells = array.to_cells();
    (0..cells.len())
        .map(|at| {
            let number = cells.number(at);
            let marked = nodata
                .as_ref()
                .is_some_and(|nodata| nodata.number(0) == number);
            let masked = valid
                .as_ref()
                .is_some_and(|valid| valid.iter().nth(at) == Some(&0));
            (!marked && !masked && !number.is_nan()).then(|| number.to_f64())
        })
        .collect()
}

fn opened(bytes: &[u8]) -> GeoTiff<Cursor<Vec<u8>>> {
    GeoTiff::from_reader(Cursor::new(bytes.to_vec())).unwrap()
}

/// The window of overview `number`.
fn window_of(grid: &Grid, image: &Window, number: usize) -> Window {
    let structure = grid.structure();
    let space = structure.dimension("space").unwrap();
    let levels = image.levels(structure.dimensions().len());
    let level = levels[space].get() + i8::try_from(number).unwrap();
    structure.cover(image, levels.with(space, Level::new(level).unwrap()))
}

/// The file of a selection, and the window of its image.
fn exported(
    selection: &Selection,
    make: Make,
) -> Result<(Vec<u8>, Window, Vec<Layer>), gridstone::Error> {
    let export = GeoTiffExport::new(selection, make)?;
    let mut out = Cursor::new(Vec::new());
    let read = export.write_to(&mut out, &|_| {})?;
    // Cells that were looked at before are not counted once more.
    assert!(read.cells <= export.cells(), "{read:?}");
    let layers = export.layers().cloned().collect();
    Ok((out.into_inner(), *export.window(), layers))
}

fn make(dice: &mut Dice) -> Make {
    let mut make = Make::default();
    make.tile = dice.pick(&[16, 32]);
    make.compression = dice.pick(&[Compression::None, Compression::Deflate, Compression::Zstd]);
    make.overviews = dice.pick(&[None, None, Some(0), Some(2)]);
    // Parts of a tile, of a few, and of all.
    make.part_bytes = dice.pick(&[1, 6000, 32 << 20]);
    make
}

#[test]
fn every_image_of_a_file_has_the_cells_of_its_level() {
    let (mut overviews, mut masks, mut marked) = (0, 0, 0);
    for seed in 0..cases(120) {
        let mut dice = Dice(seed);
        let chunk = dice.pick(&[8, 16, 64]);
        let mut structure = Structure::builder();
        let bands = dice.chance(30);
        if bands {
            structure = structure.dimension(Dimension::fixed("band", ["red", "green", "blue"]));
        }
        let space = space(&mut dice, chunk);
        let structure = structure
            .dimension(space)
            .crs("EPSG:32632")
            .build()
            .unwrap();
        let layers = dice.pick(&[
            vec![],
            vec![Aggregation::Max],
            vec![Aggregation::Mean, Aggregation::Min],
            vec![Aggregation::Count],
            vec![Aggregation::Sum],
        ]);
        let place = i64::try_from(dice.below(400)).unwrap() - 200;
        let mut lens = vec![(place, 90), (place / 2, 130)];
        if bands {
            lens.insert(0, (0, 3));
        }
        let dressed = |schema: gridstone::SchemaBuilder| {
            layers.iter().fold(schema.unit("m"), |schema, layer| {
                schema.aggregator(layer.clone())
            })
        };
        let (_store, grid) = filled(&mut dice, structure, dressed, &lens);
        let layer = layers
            .first()
            .filter(|_| dice.chance(60))
            .map_or(Layer::Base, |layer| Layer::Aggregate(layer.clone()));
        let window = grid.bounds().unwrap().unwrap();
        let selection = Selection::new(&grid, &window, Some(layer)).unwrap();
        let made = make(&mut dice);
        let (bytes, image, layers) = match exported(&selection, made.clone()) {
            Ok(made) => made,
            Err(error) => {
                // One mask is for all bands.
                let told = error.to_string();
                assert!(
                    bands && told.contains("one band at a time"),
                    "{seed}: {told}"
                );
                assert_eq!(*error.kind(), ErrorKind::Invalid);
                continue;
            }
        };
        let tiff = opened(&bytes);
        assert_eq!(tiff.overviews() + 1, layers.len(), "{seed}");
        overviews += tiff.overviews();
        masks += usize::from(tiff.header().masked);
        marked += usize::from(tiff.header().nodata.is_some());
        for (number, layer) in layers.iter().enumerate() {
            let level = window_of(&grid, &image, number);
            let answer = wanted(&grid, &level, layer);
            let mut tiff = opened(&bytes);
            if number > 0 {
                tiff = tiff.overview(number - 1).unwrap();
            }
            assert_eq!(tiff.header().block, [made.tile; 2]);
            assert_eq!(tiff.header().dtype, answer.array.dtype(), "{seed}");
            assert_eq!(cells_of(&mut tiff), told(&answer), "{seed} image {number}");
            // The place is the level's, with the same corner in all images.
            let affine = tiff.header().affine.unwrap();
            let bounds = answer.extent.bounds();
            let (y, x) = (bounds[bounds.len() - 2], bounds[bounds.len() - 1]);
            let ends = |from: f64, step: f64, len: usize| {
                let to = from + step * len as f64;
                (from.min(to), from.max(to))
            };
            let near =
                |a: (f64, f64), b: (f64, f64)| (a.0 - b.0).abs() < 1e-6 && (a.1 - b.1).abs() < 1e-6;
            assert!(
                near(ends(affine.y, affine.dy, tiff.header().height), y),
                "{seed}"
            );
            assert!(
                near(ends(affine.x, affine.dx, tiff.header().width), x),
                "{seed}"
            );
        }
        imported(&grid, &bytes, (&image, &layers[0]), seed);
    }
    assert!(
        overviews > 60 && masks > 2 && marked > 40,
        "{overviews} {masks} {marked}"
    );
}

/// A file that is imported gives the cells that were exported.
fn imported(grid: &Grid, bytes: &[u8], (window, layer): (&Window, &Layer), seed: u64) {
    let tiff = GeoTiff::from_bytes(bytes).unwrap();
    if tiff.header().bands.len() > 1 && tiff.header().band_names().is_none() {
        return;
    }
    let schema = schema_like(tiff.header(), &Like::default()).unwrap();
    let store = Store::in_memory().unwrap();
    let other = store.create("back", schema).unwrap();
    let source = RasterSource::new(&other, "back", tiff).unwrap();
    let mut import = Import::new(&other, source).unwrap().over(Overlap::Replace);
    import.check(&mut |_| {}).unwrap();
    import.write(&mut |_| {}).unwrap();
    let before = wanted(grid, window, layer);
    let found = match other.bounds().unwrap() {
        Some(bounds) => told(&wanted(&other, &bounds, &Layer::Base)),
        None => Vec::new(),
    };
    let before = told(&before);
    if found.len() != before.len() {
        // Nothing is put of what has no data at all.
        assert!(before.iter().all(Option::is_none), "{seed}");
        return;
    }
    assert_eq!(found, before, "{seed}");
    assert_eq!(other.structure().crs(), grid.structure().crs());
}

#[test]
fn steps_of_time_and_labels_are_bands_by_their_names() {
    let time = Axis::new("time", 0.0, 6.0, 2).unit("hours since 2020-01-01T00:00:00Z");
    let structure = Structure::builder()
        .dimension(Dimension::regular("time", [time]))
        .dimension(Dimension::fixed("member", ["a", "b"]))
        .dimension(plane(8))
        .crs("EPSG:32632")
        .build()
        .unwrap();
    let grid = Store::in_memory()
        .unwrap()
        .create(
            "rain",
            Schema::builder(structure, DType::F32)
                .unit("mm")
                .build()
                .unwrap(),
        )
        .unwrap();
    let cells = ndarray::Array4::from_shape_fn((3, 2, 20, 10), |(t, m, y, x)| {
        (t * 1000 + m * 500 + y * 10 + x) as f32
    });
    grid.put(&Window::new([-1, 0, 4, 5], [3, 2, 20, 10]), &cells)
        .unwrap();
    let selection = Selection::new(&grid, &grid.bounds().unwrap().unwrap(), None).unwrap();
    for part_bytes in [1, 32 << 20] {
        let mut make = Make::default();
        (make.tile, make.part_bytes) = (16, part_bytes);
        let (bytes, ..) = exported(&selection, make).unwrap();
        let mut tiff = opened(&bytes);
        let names: Vec<_> = tiff
            .header()
            .bands
            .iter()
            .map(|band| band.description.clone().unwrap())
            .collect();
        assert_eq!(
            names[..3],
            [
                "2019-12-31T18:00:00Z a",
                "2019-12-31T18:00:00Z b",
                "2020-01-01T00:00:00Z a"
            ]
        );
        assert_eq!(tiff.header().bands[5].unit.as_deref(), Some("mm"));
        let found: Vec<f64> = tiff.read(&tiff.window()).unwrap().iter_f64().collect();
        let before: Vec<f64> = cells.iter().map(|cell| f64::from(*cell)).collect();
        assert_eq!(found, before);
    }
}

#[test]
fn events_are_bands_and_gaps_where_a_part_has_none() {
    let structure = Structure::builder()
        .dimension(Dimension::irregular(
            "time",
            "seconds since 2020-01-01T00:00:00Z",
            8,
            60,
        ))
        .dimension(plane(8))
        .crs("EPSG:32632")
        .build()
        .unwrap();
    let grid = Store::in_memory()
        .unwrap()
        .create(
            "gauges",
            Schema::builder(structure, DType::I16).build().unwrap(),
        )
        .unwrap();
    let mut batch = grid.store().batch();
    let north = ndarray::Array3::from_elem((2, 20, 20), 5_i16);
    let south = ndarray::Array3::from_elem((1, 20, 20), -5_i16);
    batch
        .put_events(&grid, &[7, 100], [0, 0], &north, Overlap::Merge)
        .unwrap();
    batch
        .put_events(&grid, &[60], [20, 0], &south, Overlap::Merge)
        .unwrap();
    batch.commit().unwrap();
    let window = grid.bounds().unwrap().unwrap();
    let selection = Selection::new(&grid, &window, None).unwrap();
    let mut make = Make::default();
    (make.tile, make.part_bytes) = (16, 1);
    let (bytes, ..) = exported(&selection, make).unwrap();
    let mut tiff = opened(&bytes);
    let names: Vec<_> = tiff
        .header()
        .bands
        .iter()
        .filter_map(|band| band.description.as_deref())
        .collect();
    assert_eq!(
        names,
        [
            "2020-01-01T00:00:07Z",
            "2020-01-01T00:01:00Z",
            "2020-01-01T00:01:40Z"
        ]
    );
    let answer = grid
        .read(
            &Query::window(window)
                .ticks(0..200)
                .freshness(Freshness::Fresh),
        )
        .unwrap();
    assert_eq!(cells_of(&mut tiff), told(&answer));
}

#[test]
fn what_no_file_can_be_is_refused_before_cells_are_looked_at() {
    let structure = Structure::builder().dimension(plane(8)).build().unwrap();
    let schema = Schema::builder(structure, DType::U8).build().unwrap();
    let store = Store::in_memory().unwrap();
    let grid = store.create("dem", schema).unwrap();
    let window = Window::new([0, 0], [20, 20]);
    grid.put(&window, &Array2::from_elem((20, 20), 1_u8))
        .unwrap();
    let selection = Selection::new(&grid, &window, None).unwrap();
    let refused = |tile: usize, compression: Compression| {
        let mut make = Make::default();
        (make.tile, make.compression) = (tile, compression);
        let error = GeoTiffExport::new(&selection, make).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Invalid);
        error.to_string()
    };
    assert!(refused(100, Compression::Zstd).contains("multiple of 16"));
    assert!(refused(16, Compression::Lzw).contains("Lzw"));
}

#[test]
fn a_file_is_of_one_snapshot() {
    let store = Store::options()
        .policy(Policy::Manual)
        .open_engine(std::sync::Arc::new(gridstone::kv::Memory::new()))
        .unwrap();
    let structure = Structure::builder().dimension(plane(16)).build().unwrap();
    let schema = Schema::builder(structure, DType::U8).aggregator(Aggregation::Max);
    let live = store.create("dem", schema.build().unwrap()).unwrap();
    let window = Window::new([0, 0], [100, 100]);
    live.put(&window, &Array2::from_elem((100, 100), 1_u8))
        .unwrap();
    let then = store.snapshot().unwrap().grid("dem").unwrap();
    let layer = Layer::Aggregate(Aggregation::Max);
    let selection = Selection::new(&then, &window, Some(layer)).unwrap();
    let mut make = Make::default();
    (make.tile, make.part_bytes) = (16, 1);
    let export = GeoTiffExport::new(&selection, make).unwrap();
    let mut out = Cursor::new(Vec::new());
    export
        .write_to(&mut out, &|_| {
            live.put(&window, &Array2::from_elem((100, 100), 9_u8))
                .unwrap();
            live.aggregate().unwrap();
        })
        .unwrap();
    let bytes = out.into_inner();
    let overviews = opened(&bytes).overviews();
    assert!(overviews > 1);
    for number in 0..=overviews {
        let mut tiff = opened(&bytes);
        if number > 0 {
            tiff = tiff.overview(number - 1).unwrap();
        }
        let cells = cells_of(&mut tiff);
        assert!(
            cells.iter().flatten().all(|cell| *cell == 1.0),
            "image {number}"
        );
        assert!(cells.iter().flatten().count() > 0);
    }
}
