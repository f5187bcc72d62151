//! What GDAL adds to a TIFF in tags of its own: the nodata value, and the names, scales and offsets
//! of bands.

use ndarray::{ArrayD, IxDyn};

use super::reader::{Band, Header, ImageWindow};
use crate::array::{Cells, DType, block};

/// The nodata value as one cell.
///
/// A value that no cell can have (`-9999` in unsigned bytes, `nan` in integers) marks nothing: then
/// the answer is the reason.
pub(in crate::adapter) fn parse(text: &str, dtype: DType) -> Result<Cells, String> {
    let text = text.trim();
    let none = || {
        format!(
            "the nodata value `{text}` cannot occur in {dtype} cells, so that no cell is nodata"
        )
    };
    if dtype.is_float() {
        let value = float(text)
            .ok_or_else(|| format!("the nodata value `{text}` is not a number, and is ignored"))?;
        return if dtype == DType::F32 {
            single(value)
                .ok_or_else(none)
                .map(|value| vec![value].into())
        } else {
            Ok(vec![value].into())
        };
    }
    // Integers of 64 bits do not pass through a double.
    let exact = text
        .parse::<i128>()
        .ok()
        .or_else(|| float(text).and_then(whole))
        .ok_or_else(none)?;
    macro_rules! cell {
        ($type:ty) => {
            <$type>::try_from(exact)
                .map(|value| Cells::from(vec![value]))
                .map_err(|_| none())
        };
    }
    match dtype {
        DType::U8 => cell!(u8),
        DType::I8 => cell!(i8),
        DType::U16 => cell!(u16),
        DType::I16 => cell!(i16),
        DType::U32 => cell!(u32),
        DType::I32 => cell!(i32),
        DType::U64 => cell!(u64),
        DType::I64 => cell!(i64),
        DType::F32 | DType::F64 => Err(none()),
    }
}

/// The text that stands for a nodata cell; the inverse of [`parse`]. `None` if there is no cell.
pub(in crate::adapter) fn format(cell: &Cells) -> Option<String> {
    fn of(value: f64, short: impl FnOnce() -> String) -> String {
        if value.is_nan() {
            "nan".to_owned()
        } else {
            short()
        }
    }
    Some(match cell {
        Cells::U8(cells) => cells.first()?.to_string(),
        Cells::I8(cells) => cells.first()?.to_string(),
        Cells::U16(cells) => cells.first()?.to_string(),
        Cells::I16(cells) => cells.first()?.to_string(),
        Cells::U32(cells) => cells.first()?.to_string(),
        Cells::I32(cells) => cells.first()?.to_string(),
        Cells::U64(cells) => cells.first()?.to_string(),
        Cells::I64(cells) => cells.first()?.to_string(),
        // Readers parse a double: it must be the double that the float is, not the shortest text of
        // the float.
        Cells::F32(cells) => {
            let value = f64::from(*cells.first()?);
            of(value, || format!("{value:e}"))
        }
        Cells::F64(cells) => {
            let value = *cells.first()?;
            of(value, || format!("{value:e}"))
        }
    })
}

/// A number as programs write it: `nan(ind)` and `-1.#IND` are none, `-9999,0` is one, and of
/// several the first counts, as for GDAL.
fn float(text: &str) -> Option<f64> {
    let small = text.to_ascii_lowercase();
    let never = || {
        ["nan", "#ind"]
            .iter()
            .any(|name| small.contains(name))
            .then_some(f64::NAN)
    };
    let first = || {
        let word = text.split_whitespace().next()?;
        word.parse()
            .or_else(|_| word.replacen(',', ".", 1).parse())
            .ok()
    };
    text.parse().ok().or_else(never).or_else(first)
}

/// The cells that a nodata cell stands for: itself and, of the greatest float32, what is left of it
/// where it is written with fewer digits, as `-3.40282e+38`.
pub(super) fn spellings(cell: &Cells) -> Vec<Cells> {
    let mut all = vec![cell.clone()];
    if let Cells::F32(values) = cell
        && let [value] = values.as_slice()
        && value.abs().total_cmp(&f32::MAX).is_eq()
    {
        let cut = |digits: usize| {
            let text = format!("{:.digits$e}", f64::from(f32::MAX));
            let cut = nearest(text.parse().ok()?);
            cut.is_finite().then_some(cut)
        };
        for cut in (1..9).filter_map(cut) {
            let shorter = Cells::from(vec![cut.copysign(*value)]);
            if !all.contains(&shorter) {
                all.push(shorter);
            }
        }
    }
    all
}

/// Takes off the nodata values of bands that have values of their own.
pub(in crate::adapter) fn own_nodata(
    header: &Header,
    window: &ImageWindow,
    cells: &Cells,
    valid: &mut Option<ArrayD<u8>>,
) {
    let own = |band: usize| {
        header
            .bands
            .get(band)?
            .nodata
            .as_ref()
            .filter(|cell| cell.dtype() == cells.dtype())
    };
    if window.bands.clone().all(|band| own(band).is_none()) {
        return;
    }
    let plane = window.rows.len() * window.cols.len();
    let mut masks = ArrayD::from_elem(IxDyn(&window.shape()), 1);
    for ((mask, cells), band) in masks
        .outer_iter_mut()
        .zip(cells.as_bytes().chunks_exact(plane * cells.dtype().size()))
        .zip(window.bands.clone())
    {
        let Some(nodata) = own(band) else { continue };
        let mut marks = vec![false; plane];
        for spelled in spellings(nodata) {
            block::mark_equal(&spelled, cells, &mut marks);
        }
        if nodata.first_f64().is_some_and(f64::is_nan) {
            block::mark_nan(nodata.dtype(), cells, &mut marks);
        }
        mask.into_iter()
            .zip(marks)
            .for_each(|(valid, mark)| *valid = u8::from(!mark));
    }
    *valid = Some(match valid.take() {
        None => masks,
        Some(valid) => &masks * &valid,
    });
}

/// The float that is meant; `None` if the value is finite and lies beyond every float.
fn single(value: f64) -> Option<f32> {
    let nearest = nearest(value);
    if nearest.is_infinite() && value.is_finite() {
        // Writers print the largest float with too few digits, which can round past it.
        let limit = f64::from(f32::MAX).copysign(value);
        return ((value - limit) / limit < 1e-6).then_some(f32::MAX.copysign(nearest));
    }
    // The greatest float with fewer digits than tell it from its neighbours.
    let short = |digits: usize| {
        let text = format!("{:.digits$e}", f64::from(f32::MAX));
        text.parse::<f64>()
            .is_ok_and(|cut| cut.total_cmp(&value.abs()).is_eq())
    };
    if (1..8).any(short) {
        return Some(f32::MAX.copysign(nearest));
    }
    Some(nearest)
}

fn nearest(value: f64) -> f32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding to the nearest float is what is wanted"
    )]
    let nearest = value as f32;
    nearest
}

fn whole(value: f64) -> Option<i128> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the value is whole and below 2^65"
    )]
    let cut = value as i128;
    (value.fract() == 0.0 && value.abs() < 2f64.powi(65)).then_some(cut)
}

/// The scale or the offset of a band; what is no number is told.
pub(super) fn packing(what: &str, text: &str, notes: &mut Vec<String>) -> Option<f64> {
    let text = text.trim();
    let number = text.parse().ok();
    if number.is_none() {
        notes.push(format!(
            "the {what} `{text}` of a band is not a number, and is ignored"
        ));
    }
    number
}

/// One `<Item>` of GDAL's metadata document.
#[derive(Debug, PartialEq)]
pub(super) struct Item {
    pub(super) role: String,
    /// The band it is about, from 0; `None` for the file.
    pub(super) band: Option<usize>,
    pub(super) value: String,
}

/// The items that have a role, in small letters. Items within items, and what is commented out, are
/// not read, as by GDAL.
pub(super) fn items(document: &str) -> Vec<Item> {
    let document = without_comments(document);
    let (mut items, mut depth) = (Vec::new(), 0_usize);
    for piece in document.split("<Item").skip(1) {
        let Some((head, rest)) = piece.split_once('>') else {
            continue;
        };
        if !head.starts_with(char::is_whitespace) || head.ends_with('/') {
            continue;
        }
        let is_outer = depth == 0;
        depth = (depth + 1).saturating_sub(rest.matches("</Item").count());
        let value = rest.split_once("</Item").map(|(value, _)| value);
        let (Some(role), Some(value)) = (attribute(head, "role"), value.filter(|_| is_outer))
        else {
            continue;
        };
        items.push(Item {
            role: role.to_lowercase(),
            band: attribute(head, "sample").and_then(|sample| sample.trim().parse().ok()),
            // GDAL escapes the value, and then the document that holds it.
            value: unescape(&unescape(value)),
        });
    }
    items
}

/// A document of XML without what is commented out.
pub(super) fn without_comments(document: &str) -> String {
    let mut parts = document.split("<!--");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |kept, part| {
        kept + part.split_once("-->").map_or("", |(_, rest)| rest)
    })
}

/// The document of what is known of the bands; empty if nothing is. [`items`] reads it.
pub(super) fn document(bands: &[Band]) -> String {
    let mut document = String::new();
    for (sample, band) in bands.iter().enumerate() {
        let mut item = |role: &str, value: String| {
            let name = role.to_uppercase();
            let value = escape(&escape(&value));
            document.push_str(&format!(
                "  <Item name=\"{name}\" sample=\"{sample}\" role=\"{role}\">{value}</Item>\n"
            ));
        };
        if let Some(description) = &band.description {
            item("description", description.clone());
        }
        if let Some(scale) = band.scale {
            item("scale", scale.to_string());
        }
        if let Some(offset) = band.offset {
            item("offset", offset.to_string());
        }
        if let Some(unit) = &band.unit {
            item("unittype", unit.clone());
        }
    }
    if document.is_empty() {
        document
    } else {
        format!("<GDALMetadata>\n{document}</GDALMetadata>\n")
    }
}

/// The value of an attribute of an element, in quotes of either kind; there may be blanks around the
/// equals sign.
pub(super) fn attribute<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = head;
    loop {
        let (key, behind) = rest.split_once('=')?;
        let behind = behind.trim_start();
        let quote = behind.chars().next().filter(|c| ['"', '\''].contains(c))?;
        let (value, next) = behind.strip_prefix(quote)?.split_once(quote)?;
        if key.split_whitespace().next_back() == Some(name) {
            return Some(value);
        }
        rest = next;
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

pub(super) fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}
