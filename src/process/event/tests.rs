use super::*;
use proptest::prelude::*;

fn path(name: &str) -> Path {
    Path::parse(name).unwrap()
}

fn document(json: &str) -> Document {
    let mut document = Document::default();
    document.begin_with(json, 0).unwrap();
    document
}

fn rendered(document: &mut Document) -> String {
    let mut out = Vec::new();
    document.render(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn fields_are_set_moved_and_removed() {
    let mut d = document(r#"{"message":"m","log":{"offset":1,"file":{"path":"p"}}}"#);
    d.set(&path("http.response.status_code"), Value::Int(-200)).unwrap();
    d.set(&path("labels.`a.b`"), Value::Float(0.5)).unwrap();
    assert_eq!(d.remove(&path("log.file.path")).map(|v| matches!(v, Value::Text(_))), Some(true));
    assert_eq!(d.remove(&path("log.none")), None);
    assert!(d.set(&path("message.x"), Value::Null).is_err());
    d.add_tag(&path("tags"), "a");
    d.add_tag(&path("tags"), "b");
    d.add_tag(&path("tags"), "a");
    assert_eq!(
        rendered(&mut d),
        r#"{"message":"m","log":{"offset":1},"http":{"response":{"status_code":-200}},"labels":{"a.b":0.5},"tags":["a","b"]}"#
    );
    assert!(d.remove(&path("message")).is_some() && d.remove(&path("log.offset")).is_some());
    assert!(rendered(&mut d).starts_with(r#"{"http""#));
}

#[test]
fn conflicts_are_ruled() {
    let merged = |overwrite| {
        let mut d = document(r#"{"message":"ours","log":{"offset":1}}"#);
        let span = d.push(r#"{"message":"theirs","log":"x","log.level":"info","a":{"b":1},"a.c":2,"twice":1,"twice":2}"#);
        let parsed = d.parse(span).unwrap();
        d.merge(ROOT, parsed, overwrite);
        rendered(&mut d)
    };
    assert_eq!(merged(false), r#"{"message":"ours","log":{"offset":1},"a":{"b":1,"c":2},"twice":2}"#);
    assert_eq!(merged(true), r#"{"message":"theirs","log":{"offset":1},"a":{"b":1,"c":2},"twice":2}"#);
}

#[test]
fn names_are_read() {
    assert_eq!(path("a.`b c`.d").to_string(), "a.`b c`.d");
    for wrong in ["", "a.", ".a", "a b", "`a", "a..b"] {
        assert!(Path::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn times_have_the_digits_they_need() {
    let shown = |ns| {
        let mut d = Document::default();
        d.set(&path("t"), Value::Time(ns)).unwrap();
        rendered(&mut d)
    };
    assert_eq!(shown(0), r#"{"t":"1970-01-01T00:00:00.000Z"}"#);
    assert_eq!(shown(1_500_000_000), r#"{"t":"1970-01-01T00:00:01.500Z"}"#);
    assert_eq!(shown(1_000_001_000), r#"{"t":"1970-01-01T00:00:01.000001Z"}"#);
    assert_eq!(shown(1_000_000_001), r#"{"t":"1970-01-01T00:00:01.000000001Z"}"#);
    assert_eq!(shown(-1_000_000_000), r#"{"t":"1969-12-31T23:59:59Z"}"#);
}

#[test]
fn a_hostile_line_ends_soon() {
    let wide: String = (0..130_000).map(|n| format!(",\"k{n}\":1")).collect();
    let mut d = Document::default();
    assert!(d.begin_with(&format!("{{\"a\":1{wide}}}"), 0).is_err());
    assert!(d.begin_with(&"{\"a\":".repeat(200_000), 0).is_err());
}

#[test]
fn pieces_stand_whole_wherever_the_buffer_ends() {
    let texts: String = (0..8).map(|n| format!("\"t{n}\":\"{}\",", "x".repeat(450))).collect();
    let small = r#""n":[-9223372036854775808,1,1.25e-7,null,true,[],{},"é"],"o":{"a_name_of_more_than_16_bytes":{"q":"\"\\","e":""}},"#;
    for len in 0..=512 {
        let json = format!("{{{texts}\"filler\":\"{}\",{small}\"last\":\"{}\"}}", "y".repeat(len), "\\\"".repeat(len / 4));
        assert_eq!(rendered(&mut document(&json)), json, "{len}");
        let mut d = document(&json);
        d.set(&path("o"), Value::Time(1_000_000_001)).unwrap();
        assert!(rendered(&mut d).contains(r#","o":"1970-01-01T00:00:01.000000001Z","last":"#), "{len}");
    }
}

#[test]
fn slices_of_a_clean_text_are_clean() {
    let mut d = Document::default();
    let span = d.push("all of it is clean").clean(true);
    assert!(span.is_clean() && span.part(4, 6).is_clean() && !d.push("x").is_clean());
    assert_eq!((d.str(span.part(4, 6)), d.str(span.part(15, 99)), d.str(span.part(99, 100))), ("of", "ean", ""));
    d.set(&path("a"), Value::Text(span.part(4, 6))).unwrap();
    // What is beyond the end is nothing, and no failure.
    d.set(&path("b"), Value::Text(span.part(99, 100))).unwrap();
    assert_eq!(rendered(&mut d), r#"{"a":"of","b":""}"#);
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-4000i32..4000).prop_map(|n| Value::from(f64::from(n) / 4.0)),
        "\\PC{0,8}|[\"\\\\\n\u{1}é😀]{0,4}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map("[a-zé\" ]{0,5}", inner, 0..5).prop_map(|m| Value::Object(m.into_iter().collect()))
        ]
    })
}

proptest! {
    #[test]
    fn what_is_parsed_is_rendered(members in prop::collection::hash_map("[a-z]{1,4}", json(), 0..6)) {
        let want = serde_json::Value::Object(members.into_iter().collect());
        let got: serde_json::Value = serde_json::from_str(&rendered(&mut document(&want.to_string()))).unwrap();
        prop_assert_eq!(got, want);
    }

    #[test]
    fn agrees_with_serde_json_on_what_is_json(text in r#"\{("a":|[\[\]{}",:a 0.+-]|1|1e5|null|true|"b"|\\u00e9|\\){0,12}\}?"#) {
        let mut document = Document::default();
        prop_assert_eq!(document.begin_with(&text, 0).is_ok(), serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text).is_ok(), "{}", text);
    }
}
