//! Files: bytes with an ETag, whole or a range of them.

use std::ops::Range;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::reply::{is_known, set};

/// Bytes as the request's conditions and range want them: 200, 206, 304 or 416.
pub(super) fn file(headers: &HeaderMap, etag: &str, mime: &str, bytes: Bytes) -> Response {
    let len = bytes.len();
    let (status, range) = if is_known(headers, etag) {
        (StatusCode::NOT_MODIFIED, None)
    } else {
        match asked(headers, etag, len) {
            Asked::Whole => (StatusCode::OK, None),
            Asked::Part(range) => (StatusCode::PARTIAL_CONTENT, Some(range)),
            Asked::Beyond => (StatusCode::RANGE_NOT_SATISFIABLE, None),
        }
    };
    let body = match status {
        StatusCode::OK => Body::from(bytes),
        StatusCode::PARTIAL_CONTENT => {
            let range = range.clone().unwrap_or(0..len);
            Body::from(bytes.slice(range))
        }
        _ => Body::empty(),
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    set(headers, header::ETAG, etag);
    set(headers, header::CACHE_CONTROL, "no-cache");
    set(headers, header::ACCEPT_RANGES, "bytes");
    if [StatusCode::OK, StatusCode::PARTIAL_CONTENT].contains(&status) {
        set(headers, header::CONTENT_TYPE, mime);
    }
    match (status, range) {
        (_, Some(range)) => {
            let last = range.end - 1;
            set(
                headers,
                header::CONTENT_RANGE,
                &format!("bytes {}-{last}/{len}", range.start),
            );
        }
        (StatusCode::RANGE_NOT_SATISFIABLE, _) => {
            set(headers, header::CONTENT_RANGE, &format!("bytes */{len}"));
        }
        _ => {}
    }
    response
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    Part(Range<usize>),
    Beyond,
}

/// The range that is asked for: one, of an answer that is still this one. What is no range, or
/// several, asks for all.
fn asked(headers: &HeaderMap, etag: &str, len: usize) -> Asked {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(range) = text(header::RANGE).and_then(|range| range.trim().strip_prefix("bytes="))
    else {
        return Asked::Whole;
    };
    if text(header::IF_RANGE).is_some_and(|of| of.trim() != etag) {
        return Asked::Whole;
    }
    let Some((first, last)) = range.split_once('-') else {
        return Asked::Whole;
    };
    let number = |text: &str| {
        let text = text.trim();
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // A number that is too large for this is beyond every file.
        digits.then(|| text.parse::<usize>().unwrap_or(usize::MAX))
    };
    match (number(first), number(last)) {
        (None, Some(suffix)) if first.trim().is_empty() => match len.min(suffix) {
            0 => Asked::Beyond,
            suffix => Asked::Part(len - suffix..len),
        },
        (Some(first), None) if last.trim().is_empty() => {
            if first < len {
                Asked::Part(first..len)
            } else {
                Asked::Beyond
            }
        }
        (Some(first), Some(last)) if first <= last => {
            if first < len {
                Asked::Part(first..len.min(last.saturating_add(1)))
            } else {
                Asked::Beyond
            }
        }
        _ => Asked::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(range: &str) -> Asked {
        let mut headers = HeaderMap::new();
        set(&mut headers, header::RANGE, range);
        asked(&headers, "\"a\"", 10)
    }

    #[test]
    fn ranges_are_those_of_http() {
        assert_eq!(of("bytes=0-3"), Asked::Part(0..4));
        assert_eq!(of("bytes=4-"), Asked::Part(4..10));
        assert_eq!(of("bytes=-3"), Asked::Part(7..10));
        assert_eq!(of("bytes=-99"), Asked::Part(0..10));
        assert_eq!(of("bytes=8-99"), Asked::Part(8..10));
        assert_eq!(of("bytes=9-99999999999999999999999"), Asked::Part(9..10));
        for beyond in [
            "bytes=10-",
            "bytes=10-12",
            "bytes=-0",
            "bytes=99999999999999999999999-",
        ] {
            assert_eq!(of(beyond), Asked::Beyond, "{beyond}");
        }
        for whole in [
            "bytes=3-1",
            "bytes=a-b",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=--1",
            "bytes=+1-2",
        ] {
            assert_eq!(of(whole), Asked::Whole, "{whole}");
        }
    }

    #[test]
    fn a_range_of_what_has_changed_is_all_of_it() {
        let mut headers = HeaderMap::new();
        set(&mut headers, header::RANGE, "bytes=0-3");
        set(&mut headers, header::IF_RANGE, "\"b\"");
        assert_eq!(asked(&headers, "\"a\"", 10), Asked::Whole);
        set(&mut headers, header::IF_RANGE, "\"a\"");
        assert_eq!(asked(&headers, "\"a\"", 10), Asked::Part(0..4));
    }
}
