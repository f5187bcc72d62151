//! Files that say which cells hold data by a mask or by alpha, against what GDAL takes for it.

use super::*;

/// The cells of NAME.valid.npy: (band, y, x) of one byte each.
fn valid(name: &str) -> Vec<u8> {
    let bytes = std::fs::read(data().join(format!("{name}.valid.npy"))).expect("the list is there");
    let header = usize::from(bytes[8]) + 256 * usize::from(bytes[9]);
    bytes[10 + header..].to_vec()
}

/// The cells that make.py wrote: a count, in types of 8 bits up to 249.
fn written(name: &str, at: usize) -> f64 {
    let count = if name.starts_with("alpha") {
        at % 250
    } else {
        at
    };
    f64::from(u32::try_from(count).expect("small"))
}

#[test]
fn masks_and_alpha_say_which_cells_hold_data() {
    let files = [
        ("mask-inside", 1),
        ("mask-tiles", 1),
        ("mask-beside", 1),
        ("alpha-rgb", 3),
        ("alpha-webp", 3),
        ("alpha-lerc", 3),
        ("alpha-gray", 1),
        ("alpha-premultiplied", 3),
    ];
    for (name, bands) in files {
        let mut tiff = open(name);
        assert_eq!(
            (tiff.header().bands.len(), tiff.window().shape()),
            (bands, [bands, 35, 41]),
            "{name}"
        );
        assert!(tiff.header().masked, "{name}");
        let (array, found) = tiff
            .read_valid(&tiff.window())
            .unwrap_or_else(|error| panic!("{name}: {}", story(&error)));
        let found = found.unwrap_or_else(|| panic!("{name} has a mask"));
        assert_eq!(
            found.iter().copied().collect::<Vec<_>>(),
            valid(name),
            "{name}"
        );
        for (at, (cell, valid)) in array.iter_f64().zip(&found).enumerate() {
            assert!(
                *valid == 0 || cell == written(name, at % (35 * 41)),
                "{name} at {at}: {cell}"
            );
        }
        for window in tiff.plan(8, 500) {
            let (_, part) = tiff.read_valid(&window).expect("reads");
            let of_whole = found.slice(ndarray::s![
                window.bands.clone(),
                window.rows.clone(),
                window.cols.clone()
            ]);
            assert_eq!(
                part.expect("a mask"),
                of_whole.into_dyn(),
                "{name}: {window:?}"
            );
        }
    }
}

#[test]
fn a_file_that_is_closed_is_opened_again() {
    for name in ["mask-beside", "mask-inside", "described"] {
        let mut tiff = open(name);
        let before = tiff.read_valid(&tiff.window()).expect("reads");
        tiff.close();
        assert_eq!(
            tiff.read_valid(&tiff.window()).expect("reads"),
            before,
            "{name}"
        );
    }
}
