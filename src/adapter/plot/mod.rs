//! Simple plots of series as PNG images: steps over time or another coordinate, with labelled axes.

mod font;

use std::io::Write;
use std::path::Path;

use super::file;
use crate::calendar::{Tick, TimeUnit};
use crate::error::{Error, Result};

const WIDTH: usize = 960;
const HEIGHT: usize = 420;
/// Left, top, right and bottom of what surrounds the plot itself.
const MARGIN: [usize; 4] = [96, 44, 24, 52];
/// Pixels a dot of a letter.
const DOT: usize = 2;

const WHITE: [u8; 3] = [255, 255, 255];
const BLACK: [u8; 3] = [40, 40, 40];
const GRAY: [u8; 3] = [222, 222, 222];
/// Colours of lines that the colour-blind can tell apart (Okabe and Ito).
const LINES: [[u8; 3]; 6] = [
    [0, 114, 178],
    [213, 94, 0],
    [0, 158, 115],
    [204, 121, 167],
    [86, 180, 233],
    [230, 159, 0],
];

/// What is drawn: one line a row of values, each value from one edge to the next.
#[derive(Clone, Debug, Default)]
pub struct Plot {
    /// Stands above.
    pub title: String,
    /// From where to where each value of a line goes, ascending or descending: a bar. Both are the
    /// same where it stands for a point, which is joined with the ones before and behind.
    pub spans: Vec<[f64; 2]>,
    /// Values; NaN leaves a gap.
    pub lines: Vec<Vec<f64>>,
    /// What the edges count, if they are times.
    pub time: Option<TimeUnit>,
}

impl Plot {
    /// Where the first value begins, and where the last one ends; a single point has some room
    /// around it.
    fn ends(&self) -> (f64, f64) {
        let (first, last) = (self.spans[0][0], self.spans[self.spans.len() - 1][1]);
        if first.total_cmp(&last).is_eq() {
            (first - 0.5, last + 0.5)
        } else {
            (first, last)
        }
    }
}

/// Writes a plot. The file appears when it is complete.
pub fn write(path: impl AsRef<Path>, plot: &Plot) -> Result<()> {
    file::replace(path.as_ref(), |out| write_to(out, plot))
}

/// The same to anything that takes bytes. [`Invalid`](crate::ErrorKind::Invalid) if there is
/// nothing to draw.
pub fn write_to(out: impl Write, plot: &Plot) -> Result<()> {
    let fits = plot.lines.iter().all(|line| line.len() == plot.spans.len());
    if plot.lines.is_empty()
        || plot.spans.is_empty()
        || !fits
        || !plot
            .spans
            .as_flattened()
            .iter()
            .all(|edge| edge.is_finite())
    {
        return Err(Error::invalid(
            "a plot needs lines of as many values as there are steps",
        ));
    }
    let pixels = Canvas::of(plot).pixels;
    let failed =
        |cause: png::EncodingError| Error::unavailable("the plot cannot be written").because(cause);
    // Constants that fit.
    let mut encoder = png::Encoder::new(
        out,
        u32::try_from(WIDTH).unwrap_or(0),
        u32::try_from(HEIGHT).unwrap_or(0),
    );
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&pixels).map_err(failed)?;
    writer.finish().map_err(failed)
}

/// A range of values, and the pixels that it takes.
#[derive(Clone, Copy, Debug)]
struct Scale {
    low: f64,
    high: f64,
    from: usize,
    to: usize,
}

impl Scale {
    /// The pixel of a value within the range; the nearest end of others.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a pixel of the canvas"
    )]
    fn pixel(self, value: f64) -> usize {
        // Halved before they are subtracted: the range of all doubles is no double.
        let share = (value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0);
        let (from, to) = (self.from as f64, self.to as f64);
        (from + share.clamp(0.0, 1.0) * (to - from)).round() as usize
    }
}

struct Canvas {
    pixels: Vec<u8>,
}

impl Canvas {
    fn of(plot: &Plot) -> Self {
        let mut canvas = Self {
            pixels: WHITE.repeat(WIDTH * HEIGHT),
        };
        let [left, top, right, bottom] = MARGIN;
        let (x0, x1, y0, y1) = (left, WIDTH - right, top, HEIGHT - bottom);
        let (first, last) = plot.ends();
        let x = Scale {
            low: first,
            high: last,
            from: x0,
            to: x1,
        };
        let (low, high) = range(plot);
        let y = Scale {
            low,
            high,
            from: y1,
            to: y0,
        };
        for value in ticks(low, high, 6) {
            let row = y.pixel(value);
            canvas.fill([x0, x1], [row, row + 1], GRAY);
            let label = number(value, (high - low) / 6.0);
            canvas.text(
                x0.saturating_sub(font::width(&label) * DOT + 8),
                row.saturating_sub(font::HEIGHT * DOT / 2),
                &label,
            );
        }
        let labels = x_labels(plot);
        for (at, label) in &labels {
            let column = x.pixel(*at);
            canvas.fill([column, column + 1], [y0, y1], GRAY);
            canvas.fill([column, column + 1], [y1, y1 + 6], BLACK);
            let width = font::width(label) * DOT;
            canvas.text(
                column
                    .saturating_sub(width / 2)
                    .min(WIDTH - width.min(WIDTH)),
                y1 + 12,
                label,
            );
        }
        for (number, line) in plot.lines.iter().enumerate() {
            canvas.line(plot, line, (x, y), LINES[number % LINES.len()]);
        }
        canvas.fill([x0 - 1, x0], [y0, y1 + 1], BLACK);
        canvas.fill([x0 - 1, x1], [y1, y1 + 1], BLACK);
        canvas.text(x0, 14, &plot.title);
        canvas
    }

    fn fill(&mut self, [x0, x1]: [usize; 2], [y0, y1]: [usize; 2], colour: [u8; 3]) {
        for row in y0..y1.min(HEIGHT) {
            for column in x0..x1.min(WIDTH) {
                self.pixels[3 * (row * WIDTH + column)..][..3].copy_from_slice(&colour);
            }
        }
    }

    /// Letters from their upper left corner on.
    fn text(&mut self, x: usize, y: usize, text: &str) {
        for (number, rows) in font::letters(text).enumerate() {
            for (row, dots) in rows.into_iter().enumerate() {
                for column in
                    (0..font::WIDTH).filter(|column| dots >> (font::WIDTH - 1 - column) & 1 == 1)
                {
                    let (x, y) = (
                        x + (number * (font::WIDTH + 1) + column) * DOT,
                        y + row * DOT,
                    );
                    self.fill([x, x + DOT], [y, y + DOT], BLACK);
                }
            }
        }
    }

    /// Each value as a bar or a point, joined with the one before where nothing lies between them.
    fn line(&mut self, plot: &Plot, line: &[f64], (x, y): (Scale, Scale), colour: [u8; 3]) {
        let mut before: Option<([f64; 2], usize)> = None;
        for (span, value) in plot.spans.iter().zip(line) {
            if !value.is_finite() {
                before = None;
                continue;
            }
            let ([from, to], row) = (span.map(|edge| x.pixel(edge)), y.pixel(*value));
            self.fill([from, to.max(from) + 1], [row - 1, row + 1], colour);
            let point = |span: [f64; 2]| span[0].total_cmp(&span[1]).is_eq();
            match before {
                Some((of, other)) if point(of) && point(*span) => {
                    self.straight((x.pixel(of[0]), other), (from, row), colour)
                }
                Some((of, other)) if of[1].total_cmp(&span[0]).is_eq() => {
                    self.fill(
                        [from, from + 2],
                        [other.min(row) - 1, other.max(row) + 1],
                        colour,
                    );
                }
                _ => {}
            }
            if point(*span) {
                self.fill([from - 1, from + 2], [row - 2, row + 2], colour);
            }
            before = Some((*span, row));
        }
    }

    /// A straight line between two pixels.
    fn straight(&mut self, (x0, y0): (usize, usize), (x1, y1): (usize, usize), colour: [u8; 3]) {
        let steps = x0.abs_diff(x1).max(y0.abs_diff(y1)).max(1);
        let between =
            |a: usize, b: usize, step: usize| (a * (steps - step) + b * step + steps / 2) / steps;
        for step in 0..=steps {
            let (column, row) = (between(x0, x1, step), between(y0, y1, step));
            self.fill([column, column + 1], [row - 1, row + 1], colour);
        }
    }
}

/// The least and the greatest value, moved to where marks are; zero is among them if it is near.
fn range(plot: &Plot) -> (f64, f64) {
    let values = plot
        .lines
        .iter()
        .flatten()
        .filter(|value| value.is_finite());
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(*value), high.max(*value))
    });
    if low > high {
        return (0.0, 1.0);
    }
    let low = if low > 0.0 && low < high / 2.0 {
        0.0
    } else {
        low
    };
    let margin = if high > low {
        (high / 2.0 - low / 2.0) / 10.0
    } else {
        high.abs().max(1.0) / 2.0
    };
    let low = if low == 0.0 { low } else { low - margin };
    (low.max(f64::MIN / 4.0), (high + margin).min(f64::MAX / 4.0))
}

/// Round numbers within a range: multiples of 1, 2 or 5 times a power of ten.
fn ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    let raw = (high - low) / most as f64;
    if !raw.is_finite() || raw <= 0.0 {
        return Vec::new();
    }
    let power = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|step| *step >= raw)
        .unwrap_or(raw);
    let first = (low / step).ceil();
    (0..=most)
        .map(|number| (first + number as f64) * step)
        .filter(|value| *value <= high)
        .collect()
}

/// A number with as many decimals as tell marks apart.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped"
)]
fn number(value: f64, step: f64) -> String {
    if value != 0.0 && (value.abs() >= 1e6 || value.abs() < 1e-4) {
        return format!("{value:.1e}");
    }
    let decimals = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.decimals$}");
    let text = if decimals > 0 {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    };
    if text == "-0" { "0".to_owned() } else { text }
}

/// Where the marks of the horizontal axis are, and what stands there.
fn x_labels(plot: &Plot) -> Vec<(f64, String)> {
    let (a, b) = plot.ends();
    let (low, high) = (a.min(b), a.max(b));
    match plot.time.and_then(|unit| time_labels(unit, low, high)) {
        Some(labels) => labels,
        None => ticks(low, high, 8)
            .into_iter()
            .map(|value| (value, number(value, (high - low) / 8.0)))
            .collect(),
    }
}

/// Marks at round times: at most seven, with the date wherever it changes.
fn time_labels(unit: TimeUnit, low: f64, high: f64) -> Option<Vec<(f64, String)>> {
    let (from, to) = (
        unit.instant(low)?.nanoseconds(),
        unit.instant(high)?.nanoseconds(),
    );
    let steps = Tick::ALL.iter().rev().flat_map(|tick| {
        let of_tick: &[i128] = match tick {
            Tick::Day => &[1, 2, 5, 10, 30, 91, 365, 1826, 3653, 36_525],
            Tick::Hour => &[1, 3, 6, 12],
            Tick::Minute | Tick::Second => &[1, 5, 15, 30],
            _ => &[1, 10, 100],
        };
        of_tick.iter().map(|count| count * tick.nanoseconds())
    });
    let step = steps.into_iter().find(|step| (to - from) / step < 7)?;
    let first = from.div_euclid(step) + i128::from(from.rem_euclid(step) > 0);
    let mut date = String::new();
    let label = |number: i128| {
        let at = unit.since_1970(number * step)?;
        let text = at.to_string();
        let (day, time) = text.trim_end_matches('Z').split_once('T')?;
        let clock = if step < Tick::Minute.nanoseconds() {
            time
        } else {
            &time[..5]
        };
        let shown = if step >= Tick::Day.nanoseconds()
            || clock == "00:00"
            || clock == "00:00:00"
            || date.is_empty()
        {
            day.to_owned()
        } else {
            clock.to_owned()
        };
        let shown =
            if date.is_empty() && step < Tick::Day.nanoseconds() && !clock.starts_with("00:00") {
                format!("{day} {clock}")
            } else {
                shown
            };
        date = day.to_owned();
        Some((unit.value(at), shown))
    };
    (first..)
        .map_while(|number| (number * step <= to).then_some(number))
        .map(label)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(plot: &Plot) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_to(&mut bytes, plot).expect("drawn");
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
            .read_info()
            .expect("a PNG");
        let mut pixels = vec![0; reader.output_buffer_size().expect("small")];
        let frame = reader.next_frame(&mut pixels).expect("a frame");
        assert_eq!((frame.width, frame.height), (960, 420));
        pixels
    }

    fn count(pixels: &[u8], colour: [u8; 3]) -> usize {
        pixels
            .chunks_exact(3)
            .filter(|pixel| **pixel == colour)
            .count()
    }

    #[test]
    fn a_line_is_drawn_where_there_are_values() {
        let spans = (0..10)
            .map(f64::from)
            .map(|at| [at, at + 1.0])
            .collect::<Vec<_>>();
        let plot = |line: Vec<f64>| Plot {
            spans: spans.clone(),
            lines: vec![line],
            ..Plot::default()
        };
        let whole = count(&picture(&plot(vec![3.0; 10])), LINES[0]);
        let half = count(
            &picture(&plot([vec![3.0; 5], vec![f64::NAN; 5]].concat())),
            LINES[0],
        );
        assert!(
            whole > 1600 && half.abs_diff(whole / 2) < 5,
            "{whole} and {half}"
        );
        assert_eq!(count(&picture(&plot(vec![f64::NAN; 10])), LINES[0]), 0);
        let points = |line: Vec<f64>| Plot {
            spans: spans.iter().map(|span| [span[0]; 2]).collect(),
            lines: vec![line],
            ..Plot::default()
        };
        let joined = count(
            &picture(&points((0..10).map(f64::from).collect())),
            LINES[0],
        );
        assert!(joined > 1600, "{joined} pixels of a straight line");
        assert!(
            count(
                &picture(&Plot {
                    spans: vec![[3.0; 2]],
                    lines: vec![vec![1.0]],
                    ..Plot::default()
                }),
                LINES[0]
            ) > 0
        );
        for extreme in [
            vec![f64::MAX, f64::MIN, 0.0, f64::INFINITY],
            vec![f64::MIN_POSITIVE; 4],
            vec![-0.0; 4],
        ] {
            assert!(count(&picture(&plot([extreme, vec![1.0; 6]].concat())), LINES[0]) > 0);
        }
    }

    #[test]
    fn marks_are_round() {
        assert_eq!(ticks(0.0, 11.0, 6), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(-0.3, 0.32, 6), [-0.2, 0.0, 0.2]);
        assert_eq!(number(0.30000000000000004, 0.1), "0.3");
        let unit: TimeUnit = "hours since 2018-09-13T19:00:00Z".parse().expect("units");
        let labels = |high| {
            time_labels(unit, 0.0, high)
                .expect("labels")
                .into_iter()
                .map(|(_, label)| label)
                .collect::<Vec<_>>()
        };
        assert_eq!(labels(23.0), ["2018-09-14", "06:00", "12:00", "18:00"]);
        assert_eq!(
            labels(3.0),
            [
                "2018-09-13 19:00",
                "19:30",
                "20:00",
                "20:30",
                "21:00",
                "21:30",
                "22:00"
            ]
        );
        assert_eq!(
            labels(24.0 * 400.0),
            ["2018-11-01", "2019-01-31", "2019-05-02", "2019-08-01"]
        );
    }

    #[test]
    fn nothing_to_draw_is_refused() {
        for plot in [
            Plot::default(),
            Plot {
                spans: vec![[0.0, 1.0]],
                lines: vec![vec![]],
                ..Plot::default()
            },
        ] {
            write_to(Vec::new(), &plot).expect_err("nothing");
        }
    }
}
