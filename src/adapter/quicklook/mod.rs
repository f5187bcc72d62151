//! PNG images of a raster: one band through a colour ramp, or three bands as red, green and blue.
//!
//! They are made to be written fast. One band is an indexed image, whose palette has the colours
//! that occur; where these and the transparent one are more than 256, it has all four channels.

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::str::FromStr;

use ndarray::ArrayD;

use super::file;
use crate::array::{ArrayView, Cell, DType, block};
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
        let at = |step: usize| {
            if self == Ramp::Grays {
                255 - step
            } else {
                step
            }
        };
        (0..256)
            .map(|step| gradient.eval_rational(at(step), 256))
            .map(|colour| [colour.r, colour.g, colour.b, 255])
            .collect()
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
        let known = Ramp::ALL
            .into_iter()
            .find(|ramp| ramp.name() == text.to_ascii_lowercase());
        known.ok_or_else(|| {
            let names: Vec<&str> = Ramp::ALL.into_iter().map(Ramp::name).collect();
            Error::invalid(format!(
                "`{text}` is not a colour ramp; use one of {}",
                names.join(", ")
            ))
        })
    }
}

/// How cells become colours.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// The colours of a single band.
    pub ramp: Ramp,
    /// The values of the two ends; values beyond take the colour of the end. `None` takes the least
    /// and the greatest finite value of each band.
    pub stretch: Option<[f64; 2]>,
    /// Which cells hold data, in the shape of the array; `None` if all do. The others are
    /// transparent, as NaN is.
    pub valid: Option<ArrayD<bool>>,
}

/// Writes a PNG of (y, x) or (1, y, x) through the ramp, or of (3, y, x) as colours. The file
/// appears when it is complete.
pub fn write<'a>(
    path: impl AsRef<Path>,
    array: impl Into<ArrayView<'a>>,
    look: &Look,
) -> Result<()> {
    file::replace(path.as_ref(), |out| write_to(out, array, look))
}

/// The same to anything that takes bytes.
///
/// An [`Invalid`](crate::ErrorKind::Invalid) error if the array has no cells or another shape, if
/// what says which cells hold data has another one, or if the stretch is not two finite numbers in
/// ascending order.
pub fn write_to<'a>(out: impl Write, array: impl Into<ArrayView<'a>>, look: &Look) -> Result<()> {
    let array = array.into();
    if look
        .stretch
        .is_some_and(|[low, high]| !(low.is_finite() && high.is_finite() && low <= high))
    {
        return Err(Error::invalid(format!(
            "the stretch {:?} is not two finite numbers in ascending order",
            look.stretch
        )));
    }
    let shape = array.shape().to_vec();
    if look
        .valid
        .as_ref()
        .is_some_and(|valid| valid.shape() != &*shape)
    {
        return Err(Error::invalid(format!(
            "what says which cells hold data has not the shape of the array, {shape:?}"
        )));
    }
    let refused = || {
        Error::invalid(format!(
            "a PNG is written of an array (y, x), (1, y, x) or (3, y, x), not {shape:?}"
        ))
    };
    let size = match *shape {
        [height, width] => [1, height, width],
        [bands @ (1 | 3), height, width] => [bands, height, width],
        _ => return Err(refused()),
    };
    if size.contains(&0) {
        return Err(refused());
    }
    let valid = look.valid.as_ref().map(|valid| valid.as_standard_layout());
    let (dtype, flat) = (array.dtype(), array.flat());
    let picture = Picture {
        size,
        dtype,
        cells: flat.bytes(),
        valid: valid.as_ref().and_then(|valid| valid.as_slice()),
    };
    encode(out, (size[1], size[2]), picture.pixels(look))
}

/// Cells (band, y, x) in C order, and which of them hold data, if not all do.
struct Picture<'a> {
    size: [usize; 3],
    dtype: DType,
    cells: &'a [u8],
    valid: Option<&'a [bool]>,
}

impl Picture<'_> {
    /// A row of a band as doubles; NaN where it holds no data.
    fn row(&self, band: usize, y: usize) -> Vec<f64> {
        let [_, height, width] = self.size;
        let cells = (band * height + y) * width..(band * height + y + 1) * width;
        let mut values = vec![0.0; width];
        block::load(
            self.dtype,
            &self.cells[cells.start * self.dtype.size()..cells.end * self.dtype.size()],
            &mut values,
        );
        if let Some(valid) = self.valid {
            values
                .iter_mut()
                .zip(&valid[cells])
                .for_each(|(value, valid)| *value = if *valid { *value } else { f64::NAN });
        }
        values
    }

    /// The steps of a band, row after row; [`ABSENT`] of cells that hold no data.
    fn steps(&self, band: usize, look: &Look) -> Vec<u16> {
        let rows = || (0..self.size[1]).map(|y| self.row(band, y));
        let scale = GreyScale::of(rows().flatten(), look);
        rows()
            .flatten()
            .map(|value| scale.step(value).map_or(ABSENT, u16::from))
            .collect()
    }

    /// One band through the ramp, three as colours. A cell that is absent in one of them is
    /// transparent.
    fn pixels(&self, look: &Look) -> Pixels {
        let first = self.steps(0, look);
        if self.size[0] == 1 {
            return Pixels::of_ramp(&first, &look.ramp.colours());
        }
        let (green, blue) = (self.steps(1, look), self.steps(2, look));
        let pixels = first.into_iter().zip(green).zip(blue);
        let opaque = |step: u16| u8::try_from(step).ok();
        Pixels::Colours(
            pixels
                .flat_map(
                    |((red, green), blue)| match (opaque(red), opaque(green), opaque(blue)) {
                        (Some(red), Some(green), Some(blue)) => [red, green, blue, 255],
                        _ => [0; 4],
                    },
                )
                .collect(),
        )
    }
}

/// The step of a cell that holds no data, behind those of the ramp.
const ABSENT: u16 = 256;

/// The bytes of a picture, row after row.
enum Pixels {
    /// A byte a pixel, the number of its colour.
    Numbers {
        numbers: Vec<u8>,
        /// Red, green and blue of each colour.
        palette: Vec<u8>,
        /// Whether the first colour is transparent.
        transparent: bool,
    },
    /// Red, green, blue and opacity of each pixel.
    Colours(Vec<u8>),
}

impl Pixels {
    /// Numbers of the colours that occur, in the order of the ramp; where these and the transparent
    /// one are more than 256, the colours themselves.
    fn of_ramp(steps: &[u16], ramp: &[[u8; 4]]) -> Self {
        let mut occurs = [false; ABSENT as usize + 1];
        steps
            .iter()
            .for_each(|step| occurs[usize::from(*step)] = true);
        let transparent = occurs[usize::from(ABSENT)];
        let colour = |step: u16| ramp.get(usize::from(step)).copied().unwrap_or([0; 4]);
        let mut numbers = [0_u8; ABSENT as usize + 1];
        let mut palette = if transparent { vec![0; 3] } else { Vec::new() };
        for step in (0..ABSENT).filter(|step| occurs[usize::from(*step)]) {
            let Ok(number) = u8::try_from(palette.len() / 3) else {
                return Self::Colours(steps.iter().flat_map(|step| colour(*step)).collect());
            };
            numbers[usize::from(step)] = number;
            palette.extend_from_slice(&colour(step)[..3]);
        }
        Self::Numbers {
            numbers: steps
                .iter()
                .map(|step| numbers[usize::from(*step)])
                .collect(),
            palette,
            transparent,
        }
    }
}

/// From cells to 256 steps.
#[derive(Clone, Debug)]
struct GreyScale {
    low: f64,
    high: f64,
}

impl GreyScale {
    /// Over the finite ones of some values, unless the look says it.
    fn of(values: impl Iterator<Item = f64>, look: &Look) -> Self {
        if let Some([low, high]) = look.stretch {
            return Self { low, high };
        }
        let finite = values.filter(|value| value.is_finite());
        finite.fold(
            Self {
                low: f64::INFINITY,
                high: f64::NEG_INFINITY,
            },
            |scale, value| Self {
                low: scale.low.min(value),
                high: scale.high.max(value),
            },
        )
    }

    /// The step of a cell, `None` if it is absent. Where all values are one, they take the middle.
    fn step(&self, value: f64) -> Option<u8> {
        if value.is_nan() {
            return None;
        }
        let value = value.clamp(f64::MIN, f64::MAX);
        // Halved before they are subtracted: the range of all doubles is no double.
        let range = self.high / 2.0 - self.low / 2.0;
        let part = if range > 0.0 {
            (value / 2.0 - self.low / 2.0) / range
        } else {
            0.5
        };
        Some(u8::from_f64((part * 255.0).clamp(0.0, 255.0)))
    }
}

fn encode(out: impl Write, (height, width): (usize, usize), pixels: Pixels) -> Result<()> {
    let failed =
        |cause: png::EncodingError| Error::unavailable("the PNG cannot be written").because(cause);
    let (Ok(width), Ok(height)) = (u32::try_from(width), u32::try_from(height)) else {
        return Err(Error::invalid(format!(
            "an image of {height} by {width} cells is too large for a PNG"
        )));
    };
    let mut encoder = png::Encoder::new(out, width, height);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let bytes = match pixels {
        Pixels::Numbers {
            numbers,
            palette,
            transparent,
        } => {
            encoder.set_color(png::ColorType::Indexed);
            encoder.set_palette(palette);
            if transparent {
                encoder.set_trns(vec![0]);
            }
            encoder.set_filter(FILTER);
            numbers
        }
        Pixels::Colours(colours) => {
            encoder.set_color(png::ColorType::Rgba);
            colours
        }
    };
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&bytes).map_err(failed)?;
    writer.finish().map_err(failed)
}

/// Numbers of neighbouring colours of a ramp are alike, and the fast encoder packs the small numbers
/// that this filter leaves of them.
const FILTER: png::Filter = png::Filter::Paeth;

#[cfg(test)]
mod tests;
