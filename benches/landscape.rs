//! The heights that benchmarks put.

/// A height in eighths of a metre; they rise and fall as a landscape does.
pub(super) fn height(y: f32, x: f32) -> f32 {
    let height = 400.0 * (y / 311.0).sin() * (x / 173.0).cos()
        + 20.0 * (y / 13.0).cos()
        + 7.0 * (x / 5.0 + y / 7.0).sin();
    (8.0 * height).round() / 8.0
}
