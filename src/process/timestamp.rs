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

/// RFC 3339 in UTC with milliseconds. Years beyond 9999 cannot be written so and are shown modulo 10,000.
pub fn rfc3339(ms: u64) -> [u8; TIMESTAMP_LEN] {
    let mut out = *b"0000-00-00T00:00:00.000Z";
    let (year, month, day) = date(ms);
    put(&mut out[..4], year);
    put(&mut out[5..7], month);
    put(&mut out[8..10], day);
    put(&mut out[11..13], ms / 3_600_000 % 24);
    put(&mut out[14..16], ms / 60_000 % 60);
    put(&mut out[17..19], ms / 1000 % 60);
    put(&mut out[20..23], ms % 1000);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(ms: u64) -> String {
        String::from_utf8(rfc3339(ms).to_vec()).unwrap()
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
}
