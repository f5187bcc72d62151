//! Boxes within C-order arrays, row by row. A row runs along the last axis.

/// Calls `visit` with the offsets of each row of a box within two C-order arrays: `(in a, in b)`.
///
/// `shape` is the box; it must lie in both arrays. One axis at least.
pub(crate) fn for_each_row(
    (a_shape, a_start): (&[usize], &[usize]),
    (b_shape, b_start): (&[usize], &[usize]),
    shape: &[usize],
    mut visit: impl FnMut(usize, usize),
) {
    let rank = shape.len();
    if shape.contains(&0) {
        return;
    }
    let offset = |sizes: &[usize], at: &dyn Fn(usize) -> usize| {
        (0..rank).fold(0, |sum, axis| sum * sizes[axis] + at(axis))
    };
    let mut index = vec![0; rank];
    loop {
        visit(
            offset(a_shape, &|axis| a_start[axis] + index[axis]),
            offset(b_shape, &|axis| b_start[axis] + index[axis]),
        );
        let mut axis = rank - 1;
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}

/// Copies a box from one C-order array into another.
pub(crate) fn copy_box<T: Copy>(
    from: &[T],
    from_at: (&[usize], &[usize]),
    to: &mut [T],
    to_at: (&[usize], &[usize]),
    shape: &[usize],
) {
    let row = shape[shape.len() - 1];
    for_each_row(from_at, to_at, shape, |a, b| {
        to[b..b + row].copy_from_slice(&from[a..a + row])
    });
}

/// Fills a box of a C-order array.
pub(crate) fn fill_box<T: Copy>(
    to: &mut [T],
    to_at: (&[usize], &[usize]),
    shape: &[usize],
    value: T,
) {
    let row = shape[shape.len() - 1];
    for_each_row(to_at, to_at, shape, |a, _| to[a..a + row].fill(value));
}
