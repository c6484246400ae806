//! `Retry-After`, in seconds or as a date (RFC 9110, 10.2.3).

use std::time::{Duration, SystemTime};

/// How long to wait. A date counts from the server's own `Date`, since clocks do not agree; without one from `now`.
pub(crate) fn retry_after(value: &str, date: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(value.trim()).ok()?;
    // A moment that is past means: now.
    Some(at.duration_since(httpdate::parse_http_date(date.trim()).unwrap_or(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    #[test]
    fn seconds_and_dates_by_the_clock_of_the_server() {
        let date = "Tue, 10 Nov 2026 08:00:00 GMT";
        assert_eq!(retry_after(" 7 ", date, NOW), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Tue, 10 Nov 2026 08:01:30 GMT", date, NOW), Some(Duration::from_secs(90)));
        assert_eq!(retry_after("Tuesday, 10-Nov-26 08:01:30 GMT", date, NOW), Some(Duration::from_secs(90)));
        assert_eq!(retry_after("Tue Nov 10 08:01:30 2026", date, NOW), Some(Duration::from_secs(90)));
        assert_eq!(retry_after("Tue, 10 Nov 2026 07:59:00 GMT", date, NOW), Some(Duration::ZERO));
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:00:05 GMT", "", NOW), Some(Duration::from_secs(5)));
        for nothing in ["", "soon", "-1", "1.5", "Tue, 40 Nov 2026 08:01:30 GMT"] {
            assert_eq!(retry_after(nothing, date, NOW), None, "{nothing}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(value in "\\PC{0,40}", date in "\\PC{0,40}") {
            let _ = retry_after(&value, &date, NOW);
        }
    }
}
