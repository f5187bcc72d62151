//! PNG images of a raster: one band through a colour ramp, or three bands as red, green and blue.

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::str::FromStr;

use ndarray::{ArrayView1, ArrayView2, ArrayView3, Axis, Ix2, Ix3};

use super::file;
use crate::array::{ArrayView, Cell, Cells, with_view};
use crate::error::{Error, Result};

/// A colour ramp, from the least value to the greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ramp {
    /// Dark blue over green to yellow; even steps look even, in grey and to the colour-blind too.
    #[default]
    Viridis,
    /// Black over purple and orange to pale yellow.
    Inferno,
    /// Black over purple and pink to pale yellow.
    Magma,
    /// Blue over pink to yellow.
    Plasma,
    /// Blue over grey to yellow; made for the colour-blind.
    Cividis,
    /// A rainbow without its worst faults.
    Turbo,
    /// Black to white.
    Grays,
    /// Red over pale yellow to blue, for values on both sides of a middle.
    RedYellowBlue,
    /// Brown over white to blue-green, for values on both sides of a middle.
    BrownBlueGreen,
    /// Dark red over yellow and green to dark blue.
    Spectral,
}

impl Ramp {
    /// Every ramp.
    pub const ALL: [Ramp; 10] = [
        Ramp::Viridis,
        Ramp::Inferno,
        Ramp::Magma,
        Ramp::Plasma,
        Ramp::Cividis,
        Ramp::Turbo,
        Ramp::Grays,
        Ramp::RedYellowBlue,
        Ramp::BrownBlueGreen,
        Ramp::Spectral,
    ];

    /// The name, which [`FromStr`] reads.
    pub const fn name(self) -> &'static str {
        match self {
            Ramp::Viridis => "viridis",
            Ramp::Inferno => "inferno",
            Ramp::Magma => "magma",
            Ramp::Plasma => "plasma",
            Ramp::Cividis => "cividis",
            Ramp::Turbo => "turbo",
            Ramp::Grays => "grays",
            Ramp::RedYellowBlue => "rdylbu",
            Ramp::BrownBlueGreen => "brbg",
            Ramp::Spectral => "spectral",
        }
    }

    /// 256 opaque colours.
    fn colours(self) -> Vec<[u8; 4]> {
        let gradient = match self {
            Ramp::Viridis => colorous::VIRIDIS,
            Ramp::Inferno => colorous::INFERNO,
            Ramp::Magma => colorous::MAGMA,
            Ramp::Plasma => colorous::PLASMA,
            Ramp::Cividis => colorous::CIVIDIS,
            Ramp::Turbo => colorous::TURBO,
            Ramp::Grays => colorous::GREYS,
            Ramp::RedYellowBlue => colorous::RED_YELLOW_BLUE,
            Ramp::BrownBlueGreen => colorous::BROWN_GREEN,
            Ramp::Spectral => colorous::SPECTRAL,
        };
        // That library's greys run from white to black.
        let at = |step: usize| if self == Ramp::Grays { 255 - step } else { step };
        (0..256).map(|step| gradient.eval_rational(at(step), 256)).map(|colour| [colour.r, colour.g, colour.b, 255]).collect()
    }
}

impl fmt::Display for Ramp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Ramp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = Ramp::ALL.into_iter().find(|ramp| ramp.name() == text.to_ascii_lowercase());
        known.ok_or_else(|| {
            let names: Vec<&str> = Ramp::ALL.into_iter().map(Ramp::name).collect();
            Error::invalid(format!("`{text}` is not a colour ramp; use one of {}", names.join(", ")))
        })
    }
}

/// How cells become colours.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Look {
    /// The colours of a single band.
    pub ramp: Ramp,
    /// The values of the two ends; values beyond take the colour of the end. `None` takes the least and the greatest finite
    /// value of each band.
    pub stretch: Option<[f64; 2]>,
    /// One cell that marks absent data, which is transparent, as NaN is.
    pub nodata: Option<Cells>,
}

/// Writes a PNG of (y, x) or (1, y, x) through the ramp, or of (3, y, x) as colours. The file appears when it is complete.
pub fn write<'a>(path: impl AsRef<Path>, array: impl Into<ArrayView<'a>>, look: &Look) -> Result<()> {
    file::replace(path.as_ref(), |out| write_to(out, array, look))
}

/// The same to anything that takes bytes.
///
/// An [`Invalid`](crate::ErrorKind::Invalid) error if the array has no cells or another shape, or if the stretch is not two
/// finite numbers in ascending order.
pub fn write_to<'a>(out: impl Write, array: impl Into<ArrayView<'a>>, look: &Look) -> Result<()> {
    let array = array.into();
    if look.stretch.is_some_and(|[low, high]| !(low.is_finite() && high.is_finite() && low <= high)) {
        return Err(Error::invalid(format!("the stretch {:?} is not two finite numbers in ascending order", look.stretch)));
    }
    let shape = array.shape().to_vec();
    with_view!(ArrayView, array, |view| {
        let refused = || Error::invalid(format!("a PNG is written of an array (y, x), (1, y, x) or (3, y, x), not {shape:?}"));
        let view = if view.ndim() == 2 { view.insert_axis(Axis(0)) } else { view };
        let view = view.into_dimensionality::<Ix3>().map_err(|_| refused())?;
        match view.dim() {
            (_, 0, _) | (_, _, 0) => Err(refused()),
            (1, ..) => {
                let plane = view.index_axis(Axis(0), 0).into_dimensionality::<Ix2>().map_err(|_| refused())?;
                encode(out, plane.dim(), ramped(plane, look))
            }
            (3, height, width) => encode(out, (height, width), coloured(view, look)),
            _ => Err(refused()),
        }
    })
}

/// The rows of one band.
fn ramped<'a, T: Cell>(plane: ArrayView2<'a, T>, look: &Look) -> impl Iterator<Item = Vec<u8>> + 'a {
    let colours = look.ramp.colours();
    let scale = Scale::of(plane, look);
    plane.into_outer_iter().map(move |row| {
        let colour = |cell: &T| scale.step(*cell).map_or([0; 4], |step| colours[usize::from(step)]);
        row.iter().flat_map(colour).collect()
    })
}

/// The rows of three bands. A cell that is absent in one of them is transparent.
fn coloured<'a, T: Cell>(bands: ArrayView3<'a, T>, look: &Look) -> impl Iterator<Item = Vec<u8>> + 'a {
    let scales: Vec<Scale<T>> = bands.outer_iter().map(|plane| Scale::of(plane, look)).collect();
    bands.into_dyn().into_dimensionality::<Ix3>().ok().into_iter().flat_map(move |bands| {
        let scales = scales.clone();
        (0..bands.dim().1).map(move |y| {
            let pixel = |x: usize| {
                let step = |band: usize| scales.get(band).and_then(|scale| scale.step(bands[[band, y, x]]));
                match (step(0), step(1), step(2)) {
                    (Some(red), Some(green), Some(blue)) => [red, green, blue, 255],
                    _ => [0; 4],
                }
            };
            (0..bands.dim().2).flat_map(pixel).collect()
        })
    })
}

/// From cells to 256 steps.
#[derive(Clone, Debug)]
struct Scale<T> {
    low: f64,
    high: f64,
    nodata: Option<T>,
}

impl<T: Cell> Scale<T> {
    fn of(plane: ArrayView2<'_, T>, look: &Look) -> Self {
        let nodata = look.nodata.as_ref().and_then(|cell| cell.as_slice::<T>()?.first().copied());
        let mut scale = Self { low: f64::INFINITY, high: f64::NEG_INFINITY, nodata };
        if let Some([low, high]) = look.stretch {
            (scale.low, scale.high) = (low, high);
            return scale;
        }
        let row_range = |row: ArrayView1<'_, T>, scale: &mut Self| {
            for cell in row {
                let value = cell.to_f64();
                if value.is_finite() && Some(*cell) != nodata {
                    scale.low = scale.low.min(value);
                    scale.high = scale.high.max(value);
                }
            }
        };
        plane.into_outer_iter().for_each(|row| row_range(row, &mut scale));
        scale
    }

    /// The step of a cell, `None` if it is absent. Where all values are one, they take the middle.
    fn step(&self, cell: T) -> Option<u8> {
        if cell.is_nan() || Some(cell) == self.nodata {
            return None;
        }
        let value = cell.to_f64().clamp(f64::MIN, f64::MAX);
        // Halved before they are subtracted: the range of all doubles is no double.
        let range = self.high / 2.0 - self.low / 2.0;
        let part = if range > 0.0 { (value / 2.0 - self.low / 2.0) / range } else { 0.5 };
        Some(u8::from_f64((part * 255.0).clamp(0.0, 255.0)))
    }
}

fn encode(out: impl Write, (height, width): (usize, usize), rows: impl Iterator<Item = Vec<u8>>) -> Result<()> {
    let failed = |cause: png::EncodingError| Error::unavailable("the PNG cannot be written").because(cause);
    let (Ok(width), Ok(height)) = (u32::try_from(width), u32::try_from(height)) else {
        return Err(Error::invalid(format!("an image of {height} by {width} cells is too large for a PNG")));
    };
    let mut encoder = png::Encoder::new(out, width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(failed)?;
    let mut stream = writer.stream_writer().map_err(failed)?;
    for row in rows {
        stream.write_all(&row).map_err(|cause| Error::unavailable("the PNG cannot be written").because(cause))?;
    }
    stream.finish().map_err(failed)?;
    writer.finish().map_err(failed)
}

#[cfg(test)]
mod tests;
