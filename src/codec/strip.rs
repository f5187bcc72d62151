//! How planes are cut into strips.

use crate::array::DType;

/// About the bytes of a strip of a chunk of several images: enough for a frame to pack well, and
/// little to decode for who wants a cell of each image.
const STRIP_BYTES: usize = 8 << 10;
/// The same of a chunk of one image: what is read or changed of it is wide more often.
const STRIP_BYTES_OF_IMAGE: usize = 32 << 10;

/// How many rows each strip of a plane has, but for the last one, which has what is left.
///
/// Part of a chunk is often all that changes, or all that is read: so strips are runs of rows, or
/// whole images where these are small and there are several.
pub(super) fn strip_rows(shape: &[usize], dtype: DType) -> usize {
    let [others @ .., image, row_len] = shape else {
        return 1;
    };
    let images: usize = others.iter().product();
    // Wide cells are mostly areas, which become narrow.
    let bytes = if images == 1 {
        STRIP_BYTES_OF_IMAGE
    } else {
        STRIP_BYTES
    };
    let rows = (bytes / (row_len * dtype.size().min(4))).max(1);
    match rows / image {
        0 => rows,
        together => together.min(images) * image,
    }
}

/// Whether the planes of a type have several strips, so that what was written before is of use in
/// `encode`.
pub fn has_strips(shape: &[usize], dtype: DType) -> bool {
    strip_rows(shape, dtype) < shape.iter().rev().skip(1).product()
}
