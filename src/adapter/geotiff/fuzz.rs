//! What a fuzz target and the tests of damaged files run.

use std::io::Cursor;

use super::reader::GeoTiff;

/// Opens bytes as a GeoTIFF and reads it in one pass, as an import does, up to a limit of cells and
/// windows; then its overviews. Errors are expected; a panic is a defect.
pub fn fuzz_geotiff(bytes: &[u8]) {
    let Ok(tiff) = GeoTiff::from_reader(Cursor::new(bytes)) else {
        return;
    };
    let overviews = tiff.overviews().min(2);
    read(tiff);
    for number in 0..overviews {
        let opened = GeoTiff::from_reader(Cursor::new(bytes));
        if let Ok(overview) = opened.and_then(|tiff| tiff.overview(number)) {
            read(overview);
        }
    }
}

fn read(mut tiff: GeoTiff<Cursor<&[u8]>>) {
    const WINDOWS_MAX: usize = 16;
    const BLOCK_CELLS_MAX: usize = 1 << 22;
    // A block may be legal and large; decoding many of those only makes the search slow.
    if tiff.header().block.iter().product::<usize>() > BLOCK_CELLS_MAX {
        return;
    }
    for window in tiff.plan(64, 1 << 20).take(WINDOWS_MAX) {
        if tiff.read(&window).is_err() {
            return;
        }
    }
}
