//! The range of an answer's bytes that a request asks for.

use std::ops::Range;

use axum::http::{HeaderMap, header};

/// What of the bytes is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    /// At least one byte, and none beyond the last.
    Range(Range<usize>),
    /// There is no such byte.
    Beyond,
}

/// The range that is asked for: one, of an answer that is still this one. What is no range, or
/// several, asks for all.
pub(super) fn asked(headers: &HeaderMap, etag: &str, len: usize) -> Part {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(range) = text(header::RANGE).and_then(|range| range.trim().strip_prefix("bytes="))
    else {
        return Part::Whole;
    };
    if text(header::IF_RANGE).is_some_and(|of| of.trim() != etag) {
        return Part::Whole;
    }
    let Some((first, last)) = range.split_once('-') else {
        return Part::Whole;
    };
    let number = |text: &str| {
        let text = text.trim();
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // A number that is too large for this is beyond every file.
        digits.then(|| text.parse::<usize>().unwrap_or(usize::MAX))
    };
    match (number(first), number(last)) {
        (None, Some(suffix)) if first.trim().is_empty() => match len.min(suffix) {
            0 => Part::Beyond,
            suffix => Part::Range(len - suffix..len),
        },
        (Some(first), None) if last.trim().is_empty() => {
            if first < len {
                Part::Range(first..len)
            } else {
                Part::Beyond
            }
        }
        (Some(first), Some(last)) if first <= last => {
            if first < len {
                Part::Range(first..len.min(last.saturating_add(1)))
            } else {
                Part::Beyond
            }
        }
        _ => Part::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::super::reply::set;
    use super::*;

    fn of(range: &str) -> Part {
        let mut headers = HeaderMap::new();
        set(&mut headers, header::RANGE, range);
        asked(&headers, "\"a\"", 10)
    }

    #[test]
    fn ranges_are_those_of_http() {
        assert_eq!(of("bytes=0-3"), Part::Range(0..4));
        assert_eq!(of("bytes=4-"), Part::Range(4..10));
        assert_eq!(of("bytes=-3"), Part::Range(7..10));
        assert_eq!(of("bytes=-99"), Part::Range(0..10));
        assert_eq!(of("bytes=8-99"), Part::Range(8..10));
        assert_eq!(of("bytes=9-99999999999999999999999"), Part::Range(9..10));
        for beyond in [
            "bytes=10-",
            "bytes=10-12",
            "bytes=-0",
            "bytes=99999999999999999999999-",
        ] {
            assert_eq!(of(beyond), Part::Beyond, "{beyond}");
        }
        for whole in [
            "bytes=3-1",
            "bytes=a-b",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=--1",
            "bytes=+1-2",
        ] {
            assert_eq!(of(whole), Part::Whole, "{whole}");
        }
    }

    #[test]
    fn a_range_of_what_has_changed_is_all_of_it() {
        let mut headers = HeaderMap::new();
        set(&mut headers, header::RANGE, "bytes=0-3");
        set(&mut headers, header::IF_RANGE, "\"b\"");
        assert_eq!(asked(&headers, "\"a\"", 10), Part::Whole);
        set(&mut headers, header::IF_RANGE, "\"a\"");
        assert_eq!(asked(&headers, "\"a\"", 10), Part::Range(0..4));
    }
}
