//! What of a record is wanted. All of it is borrowed from the file's bytes.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use std::fmt;

/// A record of a file of cities, countries or networks.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Record<'a> {
    #[serde(borrow)]
    pub(super) continent: Named<'a>,
    #[serde(borrow)]
    pub(super) country: Named<'a>,
    #[serde(borrow)]
    pub(super) city: Named<'a>,
    #[serde(borrow)]
    pub(super) postal: Postal<'a>,
    #[serde(borrow)]
    pub(super) location: Location<'a>,
    /// The largest only.
    #[serde(borrow, deserialize_with = "first")]
    pub(super) subdivisions: Named<'a>,
    pub(super) autonomous_system_number: Option<u32>,
    pub(super) autonomous_system_organization: Option<&'a str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Named<'a> {
    pub(super) code: Option<&'a str>,
    pub(super) iso_code: Option<&'a str>,
    #[serde(borrow)]
    pub(super) names: Names<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Names<'a> {
    pub(super) en: Option<&'a str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Postal<'a> {
    pub(super) code: Option<&'a str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Location<'a> {
    pub(super) latitude: Option<f64>,
    pub(super) longitude: Option<f64>,
    pub(super) time_zone: Option<&'a str>,
}

impl<'a> Record<'a> {
    /// All texts, in the order of [`super::TEXTS`].
    pub(super) fn texts(&self) -> [Option<&'a str>; super::TEXTS.len()] {
        [
            self.continent.code,
            self.continent.names.en,
            self.country.iso_code,
            self.country.names.en,
            self.subdivisions.iso_code,
            self.subdivisions.names.en,
            self.city.names.en,
            self.postal.code,
            self.location.time_zone,
            self.autonomous_system_organization,
        ]
    }
}

/// The first item of a list, so that none is allocated.
fn first<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Named<'de>, D::Error> {
    struct First;
    impl<'de> Visitor<'de> for First {
        type Value = Named<'de>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Named<'de>, A::Error> {
            let first = items.next_element()?.unwrap_or_default();
            while items.next_element::<IgnoredAny>()?.is_some() {}
            Ok(first)
        }
    }
    deserializer.deserialize_seq(First)
}
