//! `geoip: {field: source.ip, database: /…/GeoLite2-City.mmdb}`: where an address is, and whose network it is, from a file of MaxMind's
//! format.
//!
//! A file of cities or countries gives `source.geo.*`, one of networks (ASN) `source.as.*`. What is no address, or is not in the
//! file, gives no fields and is no failure.

mod database;
mod record;
#[cfg(test)]
pub(super) mod tests;

use crate::config::decode::Map;
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure, Path, Value};
use database::Database;
use record::Record;
use std::net::IpAddr;
use std::sync::Arc;

/// What is found, below the target; in the order of [`Record::texts`].
const TEXTS: [&str; 10] = [
    "geo.continent_code",
    "geo.continent_name",
    "geo.country_iso_code",
    "geo.country_name",
    "geo.region_iso_code",
    "geo.region_name",
    "geo.city_name",
    "geo.postal_code",
    "geo.timezone",
    "as.organization.name",
];

/// See the module.
#[derive(Clone, Debug)]
struct GeoIp {
    field: Path,
    database: Arc<Database>,
    texts: [Path; TEXTS.len()],
    latitude: Path,
    longitude: Path,
    number: Path,
}

impl GeoIp {
    fn put(&self, record: &Record<'_>, event: &mut Document) -> Result<(), Failure> {
        for (path, text) in self.texts.iter().zip(record.texts()) {
            if let Some(text) = text {
                // `region_iso_code` is that of the country and that of the region in it.
                let country = if *path == self.texts[4] { record.country.iso_code } else { None };
                let new = event.push_with(|out| {
                    if let Some(country) = country {
                        out.push_str(country);
                        out.push('-');
                    }
                    out.push_str(text);
                });
                event.set(path, Value::Text(new))?;
            }
        }
        if let (Some(latitude), Some(longitude)) = (record.location.latitude, record.location.longitude) {
            event.set(&self.latitude, Value::Float(latitude))?;
            event.set(&self.longitude, Value::Float(longitude))?;
        }
        match record.autonomous_system_number {
            Some(number) => event.set(&self.number, Value::Int(number.into())),
            None => Ok(()),
        }
    }
}

impl Processor for GeoIp {
    fn apply(&mut self, event: &mut Document) -> Result<Flow, Failure> {
        let Some(Value::Text(span)) = event.get(&self.field) else { return Ok(Flow::On) };
        let Ok(address) = event.str(span).trim().parse::<IpAddr>() else { return Ok(Flow::On) };
        self.texts.iter().chain([&self.latitude, &self.longitude, &self.number]).try_for_each(|path| event.free(path))?;
        let reader = self.database.now();
        // An IPv6 address in a file that has none: it is not in it.
        let Ok(found) = reader.lookup(address.to_canonical()) else { return Ok(Flow::On) };
        match found.decode::<Record<'_>>() {
            Ok(Some(record)) => self.put(&record, event).map(|()| Flow::On),
            Ok(None) => Ok(Flow::On),
            Err(error) => Err(Failure::new(format!("the record of the address cannot be read: {error}"))),
        }
    }
}

pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    let field = map.require("field", "the field that holds the address, such as `source.ip`");
    let target = map.get("target").map(|f| f.event_field());
    let database = map.require("database", "the path of a file such as `/usr/share/GeoIP/GeoLite2-City.mmdb`")?;
    let path = database.value("the path of a file such as `/usr/share/GeoIP/GeoLite2-City.mmdb`")?;
    let field = field?;
    let from = field.event_field()?;
    let target = match target {
        Some(target) => target?.to_string(),
        // `source.ip` gives `source.geo`.
        None => match from.parent() {
            Some(parent) => parent,
            None => {
                field.wrong(
                    format!("`{}` stands within no object, and there is no `target`", field.path),
                    "a name such as `source.ip`, or a `target`",
                );
                return None;
            }
        },
    };
    let opened = match Database::open(path.text.clone().into()) {
        Ok(opened) => opened,
        Err(why) => {
            database.report(database.is(&path).expected("a file of MaxMind's format (`.mmdb`)").help(why));
            return None;
        }
    };
    let below = |name: &str| Path::parse(&format!("{target}.{name}"));
    let texts: Vec<Path> = TEXTS.iter().filter_map(|name| below(name).ok()).collect();
    Some(Box::new(GeoIp {
        field: from,
        database: Arc::new(opened),
        texts: texts.try_into().ok()?,
        latitude: below("geo.location.lat").ok()?,
        longitude: below("geo.location.lon").ok()?,
        number: below("as.number").ok()?,
    }))
}
