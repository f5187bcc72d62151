//! Values as PNG.

use ndarray::Array2;

use super::super::reply::Problem;
use super::ask::Encoding;
use crate::adapter::quicklook::{self, Look, Ramp};
use crate::array::Cell;
use crate::error::Error;

pub(super) const PNG: &str = "image/png";

/// A square of values, NaN where there is none, as an image.
pub(super) fn image(
    values: Vec<f64>,
    side: usize,
    encoding: Encoding,
    (ramp, stretch): (Ramp, [f64; 2]),
) -> Result<Vec<u8>, Problem> {
    match encoding {
        Encoding::Colours => colours(values, (side, side), ramp, stretch),
        Encoding::Terrarium => heights(&values, side, |height| (height + 32_768.0) * 256.0),
        Encoding::TerrainRgb => heights(&values, side, |height| (height + 10_000.0) * 10.0),
    }
}

/// The colours of a ramp from left to right.
pub(super) fn legend(ramp: Ramp) -> Result<Vec<u8>, Problem> {
    let values = (0..256).map(f64::from).collect();
    colours(values, (1, 256), ramp, [0.0, 255.0])
}

fn colours(
    values: Vec<f64>,
    shape: (usize, usize),
    ramp: Ramp,
    stretch: [f64; 2],
) -> Result<Vec<u8>, Problem> {
    let array = Array2::from_shape_vec(shape, values).map_err(|_| Problem::internal())?;
    let look = Look {
        ramp,
        stretch: Some(stretch),
        ..Look::default()
    };
    let mut out = Vec::new();
    quicklook::write_to(&mut out, &array, &look)?;
    Ok(out)
}

/// Heights as numbers of 24 bits in red, green and blue; transparent where there is none.
fn heights(values: &[f64], side: usize, number: impl Fn(f64) -> f64) -> Result<Vec<u8>, Problem> {
    let mut pixels = Vec::with_capacity(values.len() * 4);
    for value in values {
        let [red, green, blue] = bytes(number(*value));
        pixels.extend(if value.is_nan() {
            [0; 4]
        } else {
            [red, green, blue, 255]
        });
    }
    let failed = |cause: png::EncodingError| {
        Problem::from(Error::unavailable("a PNG cannot be made").because(cause))
    };
    let side = u32::try_from(side).map_err(|_| Problem::internal())?;
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, side, side);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&pixels).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(out)
}

/// The three bytes of the nearest number of 24 bits, the highest first.
fn bytes(number: f64) -> [u8; 3] {
    let number = number.round().clamp(0.0, 16_777_215.0);
    let high = (number / 65_536.0).floor();
    let middle = ((number - high * 65_536.0) / 256.0).floor();
    [high, middle, number - high * 65_536.0 - middle * 256.0].map(u8::from_f64)
}
