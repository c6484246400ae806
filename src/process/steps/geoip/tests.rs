use super::*;
use crate::process::steps::testing::{members, wrong};

/// A value of the format.
enum Mm {
    Map(Vec<(&'static str, Mm)>),
    List(Vec<Mm>),
    Text(&'static str),
    Double(f64),
    Int(u32),
    Short(u16),
    Long(u64),
}

fn control(kind: u8, size: usize, out: &mut Vec<u8>) {
    assert!(size < 285);
    let low = if size < 29 { size as u8 } else { 29 };
    if kind < 8 {
        out.push(kind << 5 | low);
    } else {
        out.extend([low, kind - 7]);
    }
    if size >= 29 {
        out.push((size - 29) as u8);
    }
}

fn put(value: &Mm, out: &mut Vec<u8>) {
    let number = |kind, bytes: &[u8], out: &mut Vec<u8>| {
        control(kind, bytes.len(), out);
        out.extend_from_slice(bytes);
    };
    match value {
        Mm::Map(members) => {
            control(7, members.len(), out);
            for (name, value) in members {
                put(&Mm::Text(name), out);
                put(value, out);
            }
        }
        Mm::List(items) => {
            control(11, items.len(), out);
            items.iter().for_each(|item| put(item, out));
        }
        Mm::Text(text) => number(2, text.as_bytes(), out),
        Mm::Double(n) => number(3, &n.to_be_bytes(), out),
        Mm::Short(n) => number(5, &n.to_be_bytes(), out),
        Mm::Int(n) => number(6, &n.to_be_bytes(), out),
        Mm::Long(n) => number(9, &n.to_be_bytes(), out),
    }
}

/// A file in which 128.0.0.0/1 has this record, and nothing else has one.
fn file(record: &Mm) -> Vec<u8> {
    let mut out = Vec::new();
    // One node of two records of 24 bits: 1 is "nothing", what is 17 or more points into the data.
    out.extend([0, 0, 1, 0, 0, 17]);
    out.extend([0; 16]);
    put(record, &mut out);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    let names = Mm::Map(vec![("en", Mm::Text("test"))]);
    put(
        &Mm::Map(vec![
            ("node_count", Mm::Int(1)),
            ("record_size", Mm::Short(24)),
            ("ip_version", Mm::Short(4)),
            ("database_type", Mm::Text("Test")),
            ("languages", Mm::List(vec![Mm::Text("en")])),
            ("binary_format_major_version", Mm::Short(2)),
            ("binary_format_minor_version", Mm::Short(0)),
            ("build_epoch", Mm::Long(1)),
            ("description", names),
        ]),
        &mut out,
    );
    out
}

fn named(code: &'static str, value: &'static str, name: &'static str) -> Mm {
    Mm::Map(vec![(code, Mm::Text(value)), ("names", Mm::Map(vec![("de", Mm::Text("x")), ("en", Mm::Text(name))]))])
}

fn city(name: &'static str) -> Mm {
    Mm::Map(vec![
        ("city", named("geoname_id", "1", name)),
        ("continent", named("code", "EU", "Europe")),
        ("country", named("iso_code", "GB", "United Kingdom")),
        (
            "location",
            Mm::Map(vec![("latitude", Mm::Double(51.5)), ("longitude", Mm::Double(-0.25)), ("time_zone", Mm::Text("Europe/London"))]),
        ),
        ("postal", Mm::Map(vec![("code", Mm::Text("OX1"))])),
        ("subdivisions", Mm::List(vec![named("iso_code", "ENG", "England"), named("iso_code", "OXF", "Oxfordshire")])),
    ])
}

/// A small file in a folder.
pub(crate) fn small_file(dir: &std::path::Path) -> std::path::PathBuf {
    let path = dir.join("small.mmdb");
    std::fs::write(&path, file(&city("Oxford"))).unwrap();
    path
}

#[test]
fn addresses_get_their_place_and_their_network() {
    let dir = tempfile::tempdir().unwrap();
    let (cities, networks) = (dir.path().join("city.mmdb"), dir.path().join("asn.mmdb"));
    std::fs::write(&cities, file(&city("Oxford"))).unwrap();
    let network = vec![("autonomous_system_number", Mm::Int(64_500)), ("autonomous_system_organization", Mm::Text("Example"))];
    std::fs::write(&networks, file(&Mm::Map(network))).unwrap();
    let chain = format!(
        "[{{rename: {{fields: {{message: source.ip}}}}}}, {{remove: {{fields: log}}}}, {{geoip: {{field: source.ip, database: {cities:?}}}}}, {{geoip: {{field: source.ip, database: {networks:?}}}}}]"
    );
    assert_eq!(
        members(&chain, "192.0.2.1"),
        r#""source":{"ip":"192.0.2.1","geo":{"continent_code":"EU","continent_name":"Europe","country_iso_code":"GB","country_name":"United Kingdom","region_iso_code":"GB-ENG","region_name":"England","city_name":"Oxford","postal_code":"OX1","timezone":"Europe/London","location":{"lat":51.5,"lon":-0.25}},"as":{"organization":{"name":"Example"},"number":64500}}"#
    );
    assert!(members(&chain, "::ffff:192.0.2.1").contains("Oxford"));
    for nothing in ["10.0.0.1", "2001:db8::1", "web-1", ""] {
        assert_eq!(members(&chain, nothing), format!(r#""source":{{"ip":"{nothing}"}}"#));
    }
    assert!(wrong(&format!("[{{geoip: {{field: ip, database: {cities:?}}}}}]")).contains("stands within no object"));
    assert!(wrong("[{geoip: {field: a.ip, database: /does/not/exist.mmdb}}]").contains("No such file"));
    std::fs::write(&networks, b"no database").unwrap();
    assert!(wrong(&chain).contains("a file of MaxMind's format"));
}

#[test]
fn a_file_that_changes_is_read_again_and_a_wrong_one_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("city.mmdb");
    let city_of = |database: &Database| {
        let reader = database.now();
        let found = reader.lookup("200.0.0.1".parse().unwrap()).unwrap();
        found.decode::<Record<'_>>().unwrap().unwrap().city.names.en.unwrap().to_string()
    };
    let replace = |bytes: &[u8]| {
        std::fs::write(dir.path().join("new"), bytes).unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
    };
    replace(&file(&city("Oxford")));
    let database = Database::open(path.clone()).unwrap();
    assert_eq!(city_of(&database), "Oxford");
    for (bytes, want) in [(file(&city("Cambridge")), "Cambridge"), (b"being written".to_vec(), "Cambridge"), (file(&city("York")), "York")]
    {
        replace(&bytes);
        database.look_now();
        assert_eq!(city_of(&database), want);
    }
    std::fs::remove_file(&path).unwrap();
    database.look_now();
    assert_eq!(city_of(&database), "York");
}
