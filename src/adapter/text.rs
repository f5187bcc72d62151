//! Text as editors and shells write it.

pub use crate::error::{in_quotes, quoted};

/// Text in UTF-8, or in UTF-16 where a byte order mark says so, without that mark; `None` of what is
/// neither.
pub fn decoded(bytes: &[u8]) -> Option<String> {
    let wide = |of: fn([u8; 2]) -> u16| {
        let (units, rest) = bytes[2..].as_chunks();
        let units: Vec<u16> = units.iter().copied().map(of).collect();
        String::from_utf16(&units).ok().filter(|_| rest.is_empty())
    };
    match bytes {
        [0xff, 0xfe, ..] => wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] => wide(|[high, low]| u16::from_le_bytes([low, high])),
        _ => {
            let text = str::from_utf8(bytes).ok()?;
            Some(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_in_whatever_unicode_it_is_written() {
        let swapped = |unit: u16| unit.swap_bytes().to_le_bytes();
        let wide = |of: fn(u16) -> [u8; 2]| {
            let units = "\u{feff}a.tif\n\u{e9}.tif".encode_utf16();
            units.flat_map(of).collect::<Vec<u8>>()
        };
        for bytes in [
            "a.tif\n\u{e9}.tif".into(),
            "\u{feff}a.tif\n\u{e9}.tif".into(),
            wide(u16::to_le_bytes),
            wide(swapped),
        ] {
            assert_eq!(decoded(&bytes).as_deref(), Some("a.tif\n\u{e9}.tif"));
        }
        assert_eq!(decoded(b"\xe9.tif"), None);
        assert_eq!(decoded(&[0xff, 0xfe, 0]), None);
    }
}
