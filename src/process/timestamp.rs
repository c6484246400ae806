//! Milliseconds since the Unix epoch as `2026-03-09T10:15:02.123Z`, and the UTC date in them.

/// Characters of a rendered timestamp.
pub const TIMESTAMP_LEN: usize = 24;

/// Year, month (1 to 12) and day (1 to 31) in UTC.
pub fn date(ms: u64) -> (u64, u64, u64) {
    // Days are counted from 0000-03-01, so that the leap day is the last day of its year.
    let days = ms / 86_400_000 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

fn put(out: &mut [u8], mut value: u64) {
    for byte in out.iter_mut().rev() {
        *byte = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// The last day that was rendered, and its text: most times are of one day.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastDay(u64, Option<[u8; TIMESTAMP_LEN]>);

impl LastDay {
    /// As [`rfc3339`].
    #[inline]
    pub(crate) fn rfc3339(&mut self, ms: u64) -> [u8; TIMESTAMP_LEN] {
        let day = ms / 86_400_000;
        let mut out = match self.1 {
            Some(text) if self.0 == day => text,
            _ => {
                let text = rfc3339(day * 86_400_000);
                *self = LastDay(day, Some(text));
                text
            }
        };
        put_clock(&mut out, ms);
        out
    }
}

#[inline]
fn put_clock(out: &mut [u8; TIMESTAMP_LEN], ms: u64) {
    let ms = (ms % 86_400_000) as u32;
    let (seconds, below) = (ms / 1000, ms % 1000);
    let mut two = |at: usize, value: u32| {
        out[at] = b'0' + (value / 10) as u8;
        out[at + 1] = b'0' + (value % 10) as u8;
    };
    two(11, seconds / 3600);
    two(14, seconds / 60 % 60);
    two(17, seconds % 60);
    two(20, below / 10);
    out[22] = b'0' + (below % 10) as u8;
}

/// RFC 3339 in UTC with milliseconds. Years beyond 9999 cannot be written so and are shown modulo 10,000.
pub fn rfc3339(ms: u64) -> [u8; TIMESTAMP_LEN] {
    let mut out = *b"0000-00-00T00:00:00.000Z";
    let (year, month, day) = date(ms);
    put(&mut out[..4], year);
    put(&mut out[5..7], month);
    put(&mut out[8..10], day);
    put_clock(&mut out, ms);
    out
}

/// Milliseconds since the Unix epoch of an RFC 3339 time such as `2026-03-09T10:15:02.5+01:00`. The fraction, the
/// seconds, the zone (then UTC) and the whole time of day may be left out. `None` where it is no time since 1970.
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    let number = |s: &str, len: usize| (s.len() == len && s.bytes().all(|b| b.is_ascii_digit())).then(|| s.parse::<u64>().ok())?;
    let (day, rest) = text.split_at_checked(10)?;
    let mut parts = day.split('-');
    let (year, month, day) = (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let midnight = days_since_1970(year, month, day)?.checked_mul(86_400_000)?;
    let Some(rest) = rest.strip_prefix(['T', 't', ' ']) else { return rest.is_empty().then_some(midnight) };
    let (clock, zone) = rest.split_at(rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len()));
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let millis = fraction.bytes().chain(*b"00").take(3).fold(0, |n, digit| n * 10 + u64::from(digit - b'0'));
    let mut parts = clock.split(':');
    let (hours, minutes) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let seconds = parts.next().map_or(Some(0), |s| number(s, 2))?;
    if parts.next().is_some() || hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let local = midnight + (hours * 3600 + minutes * 60 + seconds) * 1000 + millis;
    let Some(sign) = zone.bytes().next().filter(|sign| !sign.eq_ignore_ascii_case(&b'z')) else { return (zone.len() < 2).then_some(local) };
    let (hours, minutes) = zone[1..].split_once(':')?;
    let shift = (number(hours, 2)? * 60 + number(minutes, 2)?) * 60_000;
    if sign == b'+' { local.checked_sub(shift) } else { local.checked_add(shift) }
}

/// Two or four digits as a number; whatever else stands there makes `wrong` true.
#[inline]
fn digits<const N: usize>(text: &[u8], at: usize, wrong: &mut bool) -> u64 {
    text[at..at + N].iter().fold(0, |n, byte| {
        let digit = byte.wrapping_sub(b'0');
        *wrong |= digit > 9;
        n * 10 + u64::from(digit)
    })
}

/// Seconds since the Unix epoch, without a zone; `None` where there is no such time since 1970, and for leap seconds.
fn moment(day: [u64; 3], clock: [u64; 3]) -> Option<i64> {
    let [hours, minutes, seconds] = clock;
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let days = days_since_1970(day[0], day[1], day[2])?;
    i64::try_from(days * 86_400 + hours * 3600 + minutes * 60 + seconds).ok()
}

/// Seconds east of Greenwich that `±hhmm`, with `colon` between them or without, says. Of zones that some place has.
fn zone(text: &[u8], colon: bool) -> Option<i64> {
    let (sign, rest) = text.split_first()?;
    let minutes_at = 2 + usize::from(colon);
    if rest.len() != minutes_at + 2 || (colon && rest[2] != b':') {
        return None;
    }
    let mut wrong = !matches!(sign, b'+' | b'-');
    let (hours, minutes) = (digits::<2>(rest, 0, &mut wrong), digits::<2>(rest, minutes_at, &mut wrong));
    let east = (hours * 3600 + minutes * 60) as i64;
    (!wrong && hours < 15 && minutes < 60).then_some(if *sign == b'-' { -east } else { east })
}

/// Nanoseconds since the Unix epoch of `2026-03-09T10:15:02.123456789Z` (or a blank for the `T`, no or fewer digits of a second,
/// `±hh:mm` for the `Z`), and of nothing else: what is written otherwise is for a slower reader to understand.
pub(crate) fn read_rfc3339(text: &[u8]) -> Option<i64> {
    let (head, rest) = text.split_first_chunk::<19>()?;
    let mut wrong = [head[4], head[7], head[13], head[16]] != *b"--::" || !matches!(head[10], b'T' | b' ');
    let day = [digits::<4>(head, 0, &mut wrong), digits::<2>(head, 5, &mut wrong), digits::<2>(head, 8, &mut wrong)];
    let clock = [digits::<2>(head, 11, &mut wrong), digits::<2>(head, 14, &mut wrong), digits::<2>(head, 17, &mut wrong)];
    if wrong {
        return None;
    }
    let (mut below, mut behind) = (0, rest);
    if let Some((b'.', fraction)) = rest.split_first() {
        let mut len = 0;
        while let Some(digit @ b'0'..=b'9') = fraction.get(len) {
            if len == 9 {
                return None;
            }
            below = below * 10 + i64::from(digit - b'0');
            len += 1;
        }
        if len == 0 {
            return None;
        }
        below *= 10i64.pow(9 - len as u32);
        behind = &fraction[len..];
    }
    let east = if behind == b"Z" { 0 } else { zone(behind, true)? };
    (moment(day, clock)? - east).checked_mul(1_000_000_000)?.checked_add(below)
}

/// Nanoseconds since the Unix epoch of `09/Mar/2026:10:15:02 +0100`, as access logs have it, and of nothing else.
pub(crate) fn read_access_log(text: &[u8]) -> Option<i64> {
    const MONTHS: [&[u8; 3]; 12] = [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let (head, rest) = text.split_first_chunk::<21>()?;
    let mut wrong = [head[2], head[6], head[11], head[14], head[17], head[20]] != *b"//::: ";
    let month = MONTHS.iter().position(|name| **name == [head[3], head[4], head[5]])? as u64 + 1;
    let day = [digits::<4>(head, 7, &mut wrong), month, digits::<2>(head, 0, &mut wrong)];
    let clock = [digits::<2>(head, 12, &mut wrong), digits::<2>(head, 15, &mut wrong), digits::<2>(head, 18, &mut wrong)];
    if wrong {
        return None;
    }
    (moment(day, clock)? - zone(rest, false)?).checked_mul(1_000_000_000)
}

/// Whether `text` is a time such as `2026-03-09T10:15:02.123456789Z`, with a zone, that Elasticsearch takes as it is.
pub(crate) fn is_rfc3339_nanos(text: &[u8]) -> bool {
    let Some((head, rest)) = text.split_first_chunk::<19>() else { return false };
    let digits = |from: usize, len: usize| {
        head[from..from + len].iter().try_fold(0u64, |n, b| b.is_ascii_digit().then(|| n * 10 + u64::from(b - b'0')))
    };
    let parts = [(0, 4), (5, 2), (8, 2), (11, 2), (14, 2), (17, 2)].map(|(from, len)| digits(from, len));
    let [Some(year), Some(month), Some(day), Some(hours), Some(minutes), Some(seconds)] = parts else { return false };
    if [head[4], head[7], head[10], head[13], head[16]] != *b"--T::" || hours > 23 || minutes > 59 || seconds > 59 {
        return false;
    }
    let zone = match rest.split_first() {
        Some((b'.', rest)) => {
            let len = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            if !(1..=9).contains(&len) {
                return false;
            }
            &rest[len..]
        }
        _ => rest,
    };
    let zoned = match zone {
        b"Z" => true,
        [b'+' | b'-', h @ b'0'..=b'1', h2, b':', b'0'..=b'5', m2] => {
            h2.is_ascii_digit() && m2.is_ascii_digit() && (*h == b'0' || *h2 <= b'7')
        }
        _ => false,
    };
    zoned && (1..=days_of(year, month)).contains(&day)
}

/// Days of a month (1 to 12); 0 where there is no such month.
fn days_of(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        1..=12 => 31,
        _ => 0,
    }
}

/// Inverse of [`date`]; `None` where there is no such day since 1970.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=days_of(year, month)).contains(&day) {
        return None;
    }
    let (shifted, year_of_march) = if month > 2 { (month - 3, year) } else { (month + 9, year.checked_sub(1)?) };
    let (era, year_of_era) = (year_of_march / 400, year_of_march % 400);
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    (era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(ms: u64) -> String {
        String::from_utf8(rfc3339(ms).to_vec()).unwrap()
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (year, month, day) in (1966..2110).flat_map(|y| (0..15).flat_map(move |m| (0..34).map(move |d| (y, m, d)))) {
            let days = days_since_1970(year, month, day);
            let civil = jiff::civil::Date::new(year as i16, month as i8, day as i8).ok().filter(|_| year >= 1970);
            assert_eq!(days.is_some(), civil.is_some(), "{year}-{month}-{day}");
            assert!(days.is_none_or(|days| date(days * 86_400_000) == (year, month, day)), "{year}-{month}-{day}");
        }
    }

    #[test]
    fn a_day_that_is_known_is_not_rendered_again() {
        let mut day = LastDay::default();
        for ms in [0, 1, 86_399_999, 86_400_000, 1_773_051_302_123, 1_773_051_302_124, 5, 253_402_300_799_999, u64::MAX, 0] {
            assert_eq!(day.rfc3339(ms), rfc3339(ms), "{ms}");
        }
    }

    /// What is read fast is read as the slower reader reads it, and what people write is read fast.
    #[test]
    fn fast_readers_agree_with_the_slow_ones() {
        use proptest::prelude::*;
        let days = 0u64..40_000;
        let clock = (0u64..26, 0u64..61, 0u64..62, 0u64..1_000_000_000, 0usize..11);
        let zones =
            prop::sample::select(vec!["Z", "+00:00", "+01:00", "-05:30", "+14:00", "-12:00", "+15:00", "z", "", "+0100", "+01", "x"]);
        proptest!(|(day in days, (h, m, s, ns, len) in clock, zone in zones, sep in prop::sample::select(vec!["T", " ", "t"]))| {
            let (year, month, date) = date(day * 86_400_000);
            let fraction = format!("{ns:09}0");
            let fraction = if len == 0 { String::new() } else { format!(".{}", &fraction[..len.min(10)]) };
            let text = format!("{year:04}-{month:02}-{date:02}{sep}{h:02}:{m:02}:{s:02}{fraction}{zone}");
            let slow = text.parse::<jiff::Timestamp>().ok().and_then(|t| i64::try_from(t.as_nanosecond()).ok());
            if let Some(fast) = read_rfc3339(text.as_bytes()) {
                prop_assert_eq!(Some(fast), slow, "{}", text);
            }
            let plain = h < 24 && m < 60 && s < 60 && len < 10 && sep != "t" && ["Z", "+01:00", "-05:30"].contains(&zone);
            prop_assert!(!plain || read_rfc3339(text.as_bytes()).is_some(), "{}", text);

            let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
            let zone = zone.replace(':', "");
            let text = format!("{date:02}/{}/{year:04}:{h:02}:{m:02}:{s:02} {zone}", months[month as usize - 1]);
            let slow = jiff::fmt::strtime::BrokenDownTime::parse("%d/%b/%Y:%H:%M:%S %z", &text).ok().and_then(|t| t.to_timestamp().ok());
            let slow = slow.and_then(|t| i64::try_from(t.as_nanosecond()).ok());
            if let Some(fast) = read_access_log(text.as_bytes()) {
                prop_assert_eq!(Some(fast), slow, "{}", text);
            }
            let plain = h < 24 && m < 60 && s < 60 && ["+0100", "-0530", "+0000"].contains(&&*zone);
            prop_assert!(!plain || read_access_log(text.as_bytes()).is_some(), "{}", text);
        });
        for wrong in
            ["2026-02-30T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "1969-12-31T23:59:59Z", "2026-1-01T00:00:00Z", ""]
        {
            assert_eq!(read_rfc3339(wrong.as_bytes()), None, "{wrong}");
        }
        for wrong in
            ["30/Feb/2026:00:00:00 +0000", "00/Jan/2026:00:00:00 +0000", "01/jan/2026:00:00:00 +0000", "01/anF/2026:00:00:00 +0000", ""]
        {
            assert_eq!(read_access_log(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn known_moments() {
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(text(951_868_799_999), "2000-02-29T23:59:59.999Z");
        assert_eq!(text(951_868_800_000), "2000-03-01T00:00:00.000Z");
        assert_eq!(text(1_609_459_199_001), "2020-12-31T23:59:59.001Z");
        assert_eq!(text(4_102_444_800_000), "2100-01-01T00:00:00.000Z");
        assert_eq!(text(4_107_542_400_000), "2100-03-01T00:00:00.000Z", "2100 is no leap year");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let lengths = |y: u64| {
            [
                31,
                28 + u64::from(y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400))),
                31,
                30,
                31,
                30,
                31,
                31,
                30,
                31,
                30,
                31,
            ]
        };
        let (mut y, mut m, mut d) = (1970, 1, 1);
        for day in 0..200_000u64 {
            assert_eq!(date(day * 86_400_000 + 1), (y, m, d));
            d += 1;
            if d > lengths(y)[m as usize - 1] {
                (d, m) = (1, m + 1);
            }
            if m > 12 {
                (m, y) = (1, y + 1);
            }
        }
    }

    #[test]
    fn reads_what_it_writes_and_what_people_write() {
        for ms in [0, 951_782_400_000, 1_609_459_199_001, 4_107_542_400_000] {
            assert_eq!(parse_rfc3339(&text(ms)), Some(ms));
        }
        let noon = parse_rfc3339("2026-03-09T12:00:00Z");
        assert!(noon.is_some());
        for same in ["2026-03-09 12:00", "2026-03-09T13:00:00+01:00", "2026-03-09T06:30:00.000-05:30", "2026-03-09t12:00:00.0z"] {
            assert_eq!(parse_rfc3339(same), noon, "{same}");
        }
        assert_eq!(parse_rfc3339("2026-03-09"), noon.map(|ms| ms - 12 * 3_600_000));
        for wrong in [
            "",
            "yesterday",
            "2026-02-30",
            "2026-13-01",
            "1969-12-31",
            "2026-03-09T25:00",
            "2026-03-09T12:00:00+0100",
            "2026-03-09T12:00:00Zx",
            "2026-03-09Tx",
            "2026-03-09T12",
            "ä026-03-09T",
        ] {
            assert_eq!(parse_rfc3339(wrong), None, "{wrong}");
        }
    }
}
