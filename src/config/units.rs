//! Sizes, durations, booleans and integers as people write them.

use std::time::Duration;

/// Units of sizes; the first that divides a size is the one it is printed in.
const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Units of durations, in nanoseconds.
const DURATIONS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Why a value is not one; `hint` is what was probably meant.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct NotOne {
    /// What was probably meant.
    pub hint: Option<String>,
}

impl NotOne {
    fn hint(hint: String) -> NotOne {
        NotOne { hint: Some(hint) }
    }
}

/// Splits `10MiB` in number and unit. `_` may group digits.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let digits: String = text[..end].chars().filter(|c| *c != '_').collect();
    Some((digits.parse().ok()?, text[end..].trim_start()))
}

/// Bytes of `1024`, `64KB`, `10MiB`, ….
pub(crate) fn size(text: &str) -> Result<u64, NotOne> {
    let (number, unit) = split(text.trim()).ok_or_else(NotOne::default)?;
    if unit.is_empty() {
        return Ok(number);
    }
    if let Some((_, factor)) = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
        return number.checked_mul(*factor).ok_or_else(NotOne::default);
    }
    match unit.to_ascii_uppercase().as_str() {
        short @ ("K" | "M" | "G" | "T") => {
            Err(NotOne::hint(format!("write `{number}{short}iB` (powers of 1024) or `{number}{short}B` (powers of 1000)")))
        }
        _ => Err(NotOne::default()),
    }
}

/// Time of `250ms`, `5s`, `1m`, `2h`, `7d`, `1h30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, NotOne> {
    let text = text.trim();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut rest, mut nanos, mut last) = (text, 0u64, u64::MAX);
    if text.is_empty() {
        return Err(NotOne::default());
    }
    while !rest.is_empty() {
        let (number, tail) = split(rest).ok_or_else(NotOne::default)?;
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let unit = tail[..end].trim();
        if unit.is_empty() && rest == text {
            return Err(NotOne::hint(format!("a duration needs a unit: `{number}s` or `{number}ms`")));
        }
        let named = |unit: &str| DURATIONS.iter().find(|(name, _)| *name == unit).copied();
        let Some((_, factor)) = named(unit) else {
            let short = match unit.to_ascii_lowercase().as_str() {
                "sec" | "secs" | "second" | "seconds" => "s",
                "min" | "mins" | "minute" | "minutes" => "m",
                "hr" | "hour" | "hours" => "h",
                "day" | "days" => "d",
                "msec" | "millis" | "milliseconds" => "ms",
                _ => return Err(NotOne::default()),
            };
            return Err(NotOne::hint(format!("write `{number}{short}`")));
        };
        if factor >= last {
            return Err(NotOne::default());
        }
        last = factor;
        nanos = number.checked_mul(factor).and_then(|n| nanos.checked_add(n)).ok_or_else(NotOne::default)?;
        rest = &tail[end..];
    }
    Ok(Duration::from_nanos(nanos))
}

/// `true` or `false`, also `yes`, `no`, `on`, `off`.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Some(true),
        "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// A whole number; `_` may group digits.
pub(crate) fn integer(text: &str) -> Option<u64> {
    split(text.trim()).filter(|(_, unit)| unit.is_empty()).map(|(number, _)| number)
}

/// A size in the largest unit that divides it.
pub(crate) fn show_size(bytes: u64) -> String {
    let fits = SIZES.iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    fits.map_or_else(|| "0".into(), |(name, factor)| format!("{}{name}", bytes / factor))
}

/// A duration in the largest unit that divides it.
pub(crate) fn show_duration(time: Duration) -> String {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let fits = DURATIONS.iter().find(|(_, factor)| nanos >= *factor && nanos.is_multiple_of(*factor));
    fits.map_or_else(|| "0s".into(), |(name, factor)| format!("{}{name}", nanos / factor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes() {
        assert_eq!(size("1024"), Ok(1024));
        assert_eq!(size("10MiB"), Ok(10 << 20));
        assert_eq!(size("64 KB"), Ok(64_000));
        assert_eq!(size("1gib"), Ok(1 << 30));
        assert_eq!(size("1_000B"), Ok(1000));
        assert_eq!(size("10M").unwrap_err().hint.unwrap(), "write `10MiB` (powers of 1024) or `10MB` (powers of 1000)");
        for wrong in ["", "MiB", "-1", "1.5GiB", "1 xyz", "99999999999999999999", "99999999999TiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1m"), Ok(Duration::from_secs(60)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("5").unwrap_err().hint.unwrap(), "a duration needs a unit: `5s` or `5ms`");
        assert_eq!(duration("5 minutes").unwrap_err().hint.unwrap(), "write `5m`");
        for wrong in ["", "s", "-5s", "1.5s", "5s5s", "1m1h", "5s3", "5x", "999999999999d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn shown_sizes_read_back(bytes in any::<u64>()) {
            prop_assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }

        #[test]
        fn shown_durations_read_back(nanos in any::<u64>()) {
            prop_assert_eq!(duration(&show_duration(Duration::from_nanos(nanos))), Ok(Duration::from_nanos(nanos)));
        }

        #[test]
        fn any_text_is_survived(text in "\\PC{0,40}") {
            let _ = (size(&text), duration(&text), integer(&text), boolean(&text));
        }
    }
}
