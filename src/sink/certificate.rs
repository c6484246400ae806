//! When a certificate ends. Of a certificate only its two dates are read, which is no reason for an ASN.1 library;
//! what is no certificate has no dates.

use crate::process::timestamp::{parse_rfc3339, rfc3339};
use rustls::pki_types::CertificateDer;

const DAY_MS: u64 = 86_400_000;

/// From when to when a certificate is valid, ms since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub from_ms: u64,
    pub until_ms: u64,
}

impl Validity {
    /// Those of a certificate in DER (RFC 5280, 4.1).
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Validity> {
        let (certificate, _) = element(certificate, SEQUENCE)?;
        let (mut rest, _) = element(certificate, SEQUENCE)?;
        if let Some((_, after)) = element(rest, VERSION) {
            rest = after;
        }
        // Serial number, algorithm, issuer.
        for tag in [INTEGER, SEQUENCE, SEQUENCE] {
            rest = element(rest, tag)?.1;
        }
        let (validity, _) = element(rest, SEQUENCE)?;
        let (from_ms, rest) = time(validity)?;
        Some(Validity { from_ms, until_ms: time(rest)?.0 })
    }

    /// Whether it is time to say that it ends: less than 30 days are left, and less than a quarter of its life, so that a
    /// certificate that is renewed every few days, as it should be, is not news.
    pub fn ends_soon(self, now_ms: u64) -> bool {
        let left = self.until_ms.saturating_sub(now_ms);
        left < 30 * DAY_MS && left < self.until_ms.saturating_sub(self.from_ms) / 4
    }

    /// "expires in 12 days (2026-12-04)".
    pub fn words(self, now_ms: u64) -> String {
        let date = day(self.until_ms);
        let days = |ms: u64| match ms / DAY_MS {
            0 => format!("{} hours", ms / 3_600_000),
            1 => "1 day".to_string(),
            n => format!("{n} days"),
        };
        match self.until_ms.checked_sub(now_ms) {
            Some(left) => format!("expires in {} ({date})", days(left)),
            None => format!("expired {} ago ({date})", days(now_ms - self.until_ms)),
        }
    }
}

/// `2026-12-04`.
pub(crate) fn day(ms: u64) -> String {
    String::from_utf8_lossy(&rfc3339(ms)[..10]).into_owned()
}

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The content of the element at the start of `bytes`, if it has this tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (len, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        // Nothing in a certificate is longer than 16 MiB.
        0x81..=0x83 => {
            let (long, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
            (long.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    (first == tag).then(|| rest.split_at_checked(len))?
}

/// A time, ms since the Unix epoch, and what follows it.
fn time(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let ((text, rest), digits) = match element(bytes, UTC_TIME) {
        Some(found) => (found, 2),
        None => (element(bytes, GENERALIZED_TIME)?, 4),
    };
    let text = std::str::from_utf8(text.strip_suffix(b"Z")?).ok()?;
    let century = match digits {
        2 if text < "50" => "20",
        2 => "19",
        _ => "",
    };
    let (year, rest_of_it) = text.split_at_checked(digits)?;
    let mut parts = [""; 5];
    let mut left = rest_of_it;
    for part in &mut parts {
        (*part, left) = left.split_at_checked(2)?;
    }
    let [month, day, hour, minute, second] = parts;
    let text = format!("{century}{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    // What is before 1970 is long ago.
    left.is_empty().then(|| (parse_rfc3339(&text).unwrap_or(0), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn certificate(from: (i32, u8, u8), until: (i32, u8, u8)) -> CertificateDer<'static> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["search".to_string()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
        params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn both_dates_are_read_in_both_forms() {
        let of = |from, until| Validity::of(&certificate(from, until)).map(|v| (day(v.from_ms), day(v.until_ms))).unwrap();
        assert_eq!(of((2026, 2, 28), (2049, 12, 31)), ("2026-02-28".into(), "2049-12-31".into()));
        assert_eq!(of((2024, 2, 29), (2050, 1, 1)), ("2024-02-29".into(), "2050-01-01".into()));
        assert_eq!(of((1975, 1, 1), (4096, 1, 1)), ("1975-01-01".into(), "4096-01-01".into()));
    }

    #[test]
    fn what_is_said_and_when() {
        let year = Validity { from_ms: 0, until_ms: 365 * DAY_MS };
        assert_eq!(year.words(353 * DAY_MS), "expires in 12 days (1971-01-01)");
        assert_eq!(year.words(364 * DAY_MS + 3_600_000), "expires in 23 hours (1971-01-01)");
        assert_eq!(year.words(366 * DAY_MS), "expired 1 day ago (1971-01-01)");
        assert!(!year.ends_soon(330 * DAY_MS) && year.ends_soon(336 * DAY_MS) && year.ends_soon(400 * DAY_MS));
        let weekly = Validity { from_ms: 0, until_ms: 8 * DAY_MS };
        assert!(!weekly.ends_soon(5 * DAY_MS) && weekly.ends_soon(7 * DAY_MS));
    }

    proptest! {
        #[test]
        fn a_certificate_that_is_damaged_anywhere_harms_nobody(at in 0usize..400, byte: u8, end in 0usize..500) {
            let mut bytes = certificate((2026, 1, 1), (2027, 1, 1)).to_vec();
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(end);
            let _ = Validity::of(&CertificateDer::from(bytes));
        }

        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = Validity::of(&CertificateDer::from(bytes));
        }
    }
}
