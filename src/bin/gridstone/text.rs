//! Files of text, as editors and shells write them.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, ensure};

/// The text of a file.
pub(super) fn read(path: &Path) -> anyhow::Result<String> {
    let name = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("`{name}` cannot be read"))?;
    decoded(bytes).with_context(|| format!("`{name}` cannot be read"))
}

/// The text of standard input.
pub(super) fn read_stdin() -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().read_to_end(&mut bytes);
    read.context("standard input cannot be read")?;
    decoded(bytes).context("standard input cannot be read")
}

/// Text in UTF-8, or in UTF-16 where a byte order mark says so, without that mark.
fn decoded(bytes: Vec<u8>) -> anyhow::Result<String> {
    let order = match bytes.as_slice() {
        [0xff, 0xfe, ..] => Some(u16::from_le_bytes as fn([u8; 2]) -> u16),
        [0xfe, 0xff, ..] => Some(u16::from_be_bytes as fn([u8; 2]) -> u16),
        _ => None,
    };
    let Some(order) = order else {
        let text = String::from_utf8(bytes)
            .context("it is no text in UTF-8; `iconv -f WINDOWS-1252 -t UTF-8 FILE` makes one")?;
        return Ok(match text.strip_prefix('\u{feff}') {
            Some(rest) => rest.to_owned(),
            None => text,
        });
    };
    let (units, rest) = bytes[2..].as_chunks();
    ensure!(rest.is_empty(), "it is text in UTF-16, and cut off");
    let units: Vec<u16> = units.iter().copied().map(order).collect();
    String::from_utf16(&units).context("it is no text in UTF-16")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_in_whatever_unicode_it_is_written() {
        let wide = |of: fn(u16) -> [u8; 2]| {
            let units = "\u{feff}a.tif\n\u{e9}.tif".encode_utf16();
            units.flat_map(of).collect::<Vec<u8>>()
        };
        for bytes in [
            "a.tif\n\u{e9}.tif".into(),
            "\u{feff}a.tif\n\u{e9}.tif".into(),
            wide(u16::to_le_bytes),
            wide(u16::to_be_bytes),
        ] {
            assert_eq!(decoded(bytes).expect("text"), "a.tif\n\u{e9}.tif");
        }
        let why = decoded(b"\xe9.tif".to_vec())
            .expect_err("no UTF-8")
            .to_string();
        assert!(why.contains("iconv"), "{why}");
        assert!(decoded(vec![0xff, 0xfe, 0]).is_err());
    }
}
