//! Texts packed with gzip, for clients that take them so.

use std::io::Write as _;

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Texts of fewer bytes go as they are: they fit a packet or two.
pub(super) const LEAST: usize = 1024;

/// What an ETag of packed bytes ends with, before its last quote.
const MARK: &str = "-gzip\"";

/// Whether answers of a type are text, which packing makes smaller. Pictures and chunks are packed
/// already.
pub(super) fn is_text(mime: &str) -> bool {
    let mime = mime.split(';').next().unwrap_or_default();
    mime.starts_with("text/") || mime.ends_with("json") || mime.ends_with("xml")
}

/// Whether the client takes an answer of a type packed. A range is one of the bytes as they are.
pub(super) fn is_wanted(headers: &HeaderMap, mime: &str) -> bool {
    is_text(mime) && !headers.contains_key(header::RANGE) && is_taken(headers)
}

/// Whether `Accept-Encoding` has gzip, with a weight that is not 0.
fn is_taken(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let codings = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let (mut named, mut any) = (None, false);
    for coding in codings {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        let taken = weight.is_none_or(|weight| weight.trim().parse::<f32>().is_ok_and(|q| q > 0.0));
        if ["gzip", "x-gzip"]
            .iter()
            .any(|of| name.eq_ignore_ascii_case(of))
        {
            named = Some(taken);
        } else if name == "*" {
            any = taken;
        }
    }
    named.unwrap_or(any)
}

/// The bytes packed; `None` if they are few, or not made smaller.
pub(super) fn packed(bytes: &[u8]) -> Option<Bytes> {
    if bytes.len() < LEAST {
        return None;
    }
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail.
    packer.write_all(bytes).ok()?;
    let packed = packer.finish().ok()?;
    (packed.len() < bytes.len()).then(|| packed.into())
}

/// The ETag of packed bytes, by that of the bytes.
pub(super) fn tag(etag: &str) -> String {
    format!("{}{MARK}", etag.trim_end_matches('"'))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::super::reply::set;
    use super::*;

    #[test]
    fn gzip_is_taken_as_the_weights_of_http_say() {
        let taken = |text: &str| {
            let mut headers = HeaderMap::new();
            set(&mut headers, header::ACCEPT_ENCODING, text);
            is_wanted(&headers, "application/json")
        };
        for yes in [
            "gzip",
            "deflate, gzip",
            "GZIP;q=0.1",
            "br;q=1.0, gzip; q=0.8",
            "x-gzip",
            "*",
            "identity, *;q=0.5",
        ] {
            assert!(taken(yes), "{yes}");
        }
        for no in [
            "",
            "identity",
            "br, deflate",
            "gzip;q=0",
            "gzip; q=0.0, br",
            "*, gzip;q=0",
            "gzip;q=much",
            "gzipped",
        ] {
            assert!(!taken(no), "{no}");
        }
        assert!(!is_wanted(&HeaderMap::new(), "application/json"));
    }

    #[test]
    fn only_whole_texts_are_packed() {
        let mut headers = HeaderMap::new();
        set(&mut headers, header::ACCEPT_ENCODING, "gzip");
        for (mime, is) in [
            ("application/json", true),
            ("application/prs.coverage+json", true),
            ("text/csv; charset=utf-8", true),
            ("application/xml", true),
            ("image/png", false),
            ("application/octet-stream", false),
        ] {
            assert_eq!(is_wanted(&headers, mime), is, "{mime}");
        }
        set(&mut headers, header::RANGE, "bytes=0-3");
        assert!(!is_wanted(&headers, "application/json"));
    }

    #[test]
    fn packed_bytes_are_the_same_and_fewer() {
        let bytes = "[1.5,2.5,3.5],".repeat(1000).into_bytes();
        let small = packed(&bytes).expect("they repeat");
        assert!(small.len() * 10 < bytes.len());
        let mut again = Vec::new();
        flate2::read::GzDecoder::new(&small[..])
            .read_to_end(&mut again)
            .expect("whole");
        assert_eq!(again, bytes);
        assert_eq!(packed(&bytes[..LEAST - 1]), None);
        assert_eq!(tag("\"ab\""), "\"ab-gzip\"");
    }
}
