//! The range of an answer's bytes that a request asks for.

use std::ops::Range;

use axum::http::{HeaderMap, header};

/// What of the bytes is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SentPart {
    Whole,
    /// At least one byte, and none beyond the last.
    Range(Range<usize>),
    /// There is no such byte.
    Beyond,
}

/// The range that is asked for: one, of an answer that is still this one. What is no range, or
/// several, asks for all.
pub(super) fn asked(headers: &HeaderMap, etag: &str, len: usize) -> SentPart {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(range) = text(header::RANGE).and_then(|range| range.trim().strip_prefix("bytes="))
    else {
        return SentPart::Whole;
    };
    if text(header::IF_RANGE).is_some_and(|of| of.trim() != etag) {
        return SentPart::Whole;
    }
    let Some((first, last)) = range.split_once('-') else {
        return SentPart::Whole;
    };
    let number = |text: &str| {
        let text = text.trim();
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // A number that is too large for this is beyond every file.
        digits.then(|| text.parse::<usize>().unwrap_or(usize::MAX))
    };
    match (number(first), number(last)) {
        (None, Some(suffix)) if first.trim().is_empty() => match len.min(suffix) {
            0 => SentPart::Beyond,
            suffix => SentPart::Range(len - suffix..len),
        },
        (Some(first), None) if last.trim().is_empty() => {
            if first < len {
                SentPart::Range(first..len)
            } else {
                SentPart::Beyond
            }
        }
        (Some(first), Some(last)) if first <= last => {
            if first < len {
                SentPart::Range(first..len.min(last.saturating_add(1)))
            } else {
                SentPart::Beyond
            }
        }
        _ => SentPart::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::super::reply::set;
    use super::*;

    fn of(range: &str) -> SentPart {
        let mut headers = HeaderMap::new();
        set(&mut headers, header::RANGE, range);
        asked(&headers, "\"a\"", 10)
    }

    #[test]
    fn ranges_are_those_of_http() {
        assert_eq!(of("bytes=0-3"), SentPart::Range(0..4));
        assert_eq!(of("bytes=4-"), SentPart::Range(4..10));
        assert_eq!(of("bytes=-3"), SentPart::Range(7..10));
        assert_eq!(of("bytes=-99"), SentPart::Range(0..10));
        assert_eq!(of("bytes=8-99"), SentPart::Range(8..10));
        assert_eq!(
            of("bytes=9-99999999999999999999999"),
            SentPart::Range(9..10)
        );
        for beyond in [
            "bytes=10-",
            "bytes=10-12",
            "bytes=-0",
            "bytes=99999999999999999999999-",
        ] {
            assert_eq!(of(beyond), SentPart::Beyond, "{beyond}");
        }
        for whole in [
            "bytes=3-1",
            "bytes=a-b",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=--1",
            "bytes=+1-2",
        ] {
            assert_eq!(of(whole), SentPart::Whole, "{whole}");
        }
    }

    #[test]
    fn a_range_of_what_has_changed_is_all_of_it() {
        let mut headers = HeaderMap::new();
        set(&mut headers, header::RANGE, "bytes=0-3");
        set(&mut headers, header::IF_RANGE, "\"b\"");
        assert_eq!(asked(&headers, "\"a\"", 10), SentPart::Whole);
        set(&mut headers, header::IF_RANGE, "\"a\"");
        assert_eq!(asked(&headers, "\"a\"", 10), SentPart::Range(0..4));
    }
}
