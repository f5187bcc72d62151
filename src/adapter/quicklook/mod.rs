//! PNG images of a raster: one band through a colour ramp, or three bands as red, green and blue.

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
    encode(out, (size[1], size[2]), picture.rows(look))
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

    /// The rows of the picture: one band through the ramp, three as colours. A cell that is absent
    /// in one of them is transparent.
    fn rows(&self, look: &Look) -> impl Iterator<Item = Vec<u8>> {
        let [bands, height, _] = self.size;
        let colours = look.ramp.colours();
        let values = |band: usize| (0..height).flat_map(move |y| self.row(band, y));
        let scales: Vec<Scale> = (0..bands)
            .map(|band| Scale::of(values(band), look))
            .collect();
        let steps = move |band: usize, y: usize| -> Vec<Option<u8>> {
            self.row(band, y)
                .into_iter()
                .map(|value| scales[band].step(value))
                .collect()
        };
        (0..height).map(move |y| {
            if bands == 1 {
                return steps(0, y)
                    .into_iter()
                    .flat_map(|step| step.map_or([0; 4], |step| colours[usize::from(step)]))
                    .collect();
            }
            let pixels = steps(0, y)
                .into_iter()
                .zip(steps(1, y))
                .zip(steps(2, y))
                .map(|pixel| match pixel {
                    ((Some(red), Some(green)), Some(blue)) => [red, green, blue, 255],
                    _ => [0; 4],
                });
            pixels.flatten().collect()
        })
    }
}

/// From cells to 256 steps.
#[derive(Clone, Debug)]
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
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

fn encode(
    out: impl Write,
    (height, width): (usize, usize),
    rows: impl Iterator<Item = Vec<u8>>,
) -> Result<()> {
    let failed =
        |cause: png::EncodingError| Error::unavailable("the PNG cannot be written").because(cause);
    let (Ok(width), Ok(height)) = (u32::try_from(width), u32::try_from(height)) else {
        return Err(Error::invalid(format!(
            "an image of {height} by {width} cells is too large for a PNG"
        )));
    };
    let mut encoder = png::Encoder::new(out, width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(failed)?;
    let mut stream = writer.stream_writer().map_err(failed)?;
    for row in rows {
        stream
            .write_all(&row)
            .map_err(|cause| Error::unavailable("the PNG cannot be written").because(cause))?;
    }
    stream.finish().map_err(failed)?;
    writer.finish().map_err(failed)
}

#[cfg(test)]
mod tests;
