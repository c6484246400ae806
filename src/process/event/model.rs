//! The working document beside a plain model of it: whatever is done to both, they are the same bytes.

use super::*;
use proptest::prelude::*;

/// A field as it is said to be.
#[derive(Clone, Debug, PartialEq)]
enum Field {
    /// Plain, as JSON.
    Plain(String),
    Array(Vec<Field>),
    Object(Vec<(String, Field)>),
}

type Members = Vec<(String, Field)>;

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Field {
    fn text(text: &str) -> Field {
        Field::Plain(quoted(text))
    }

    fn shown(&self) -> String {
        match self {
            Field::Plain(json) => json.clone(),
            Field::Array(items) => format!("[{}]", items.iter().map(Field::shown).collect::<Vec<_>>().join(",")),
            Field::Object(members) => {
                let member = |(name, field): &(String, Field)| format!("{}:{}", quoted(name), field.shown());
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
            }
        }
    }
}

fn at<'a>(members: &'a mut Members, name: &str) -> Option<&'a mut Field> {
    members.iter_mut().find(|(own, _)| own == name).map(|(_, field)| field)
}

fn find<'a>(mut members: &'a mut Members, path: &[&str]) -> Option<&'a mut Field> {
    let (last, way) = path.split_last()?;
    for part in way {
        match at(members, part) {
            Some(Field::Object(inner)) => members = inner,
            _ => return None,
        }
    }
    at(members, last)
}

/// The place of a field, made where there is none; `None`, and nothing made, where a plain value stands on the way.
fn place<'a>(members: &'a mut Members, path: &[&str]) -> Option<&'a mut Field> {
    let (first, rest) = path.split_first()?;
    if at(members, first).is_none() {
        let fresh = if rest.is_empty() { Field::Plain("null".into()) } else { Field::Object(Vec::new()) };
        members.push((first.to_string(), fresh));
    }
    match (at(members, first)?, rest) {
        (field, []) => Some(field),
        (Field::Object(inner), rest) => place(inner, rest),
        _ => None,
    }
}

fn remove(members: &mut Members, path: &[&str]) -> Option<()> {
    find(members, path)?;
    let (first, rest) = path.split_first()?;
    let emptied = match at(members, first)? {
        Field::Object(inner) if !rest.is_empty() => {
            remove(inner, rest);
            inner.is_empty()
        }
        _ => true,
    };
    members.retain(|(name, _)| !emptied || name != first);
    Some(())
}

fn merge(into: &mut Members, from: Members, overwrite: bool) {
    for (name, field) in from {
        match (at(into, &name), field) {
            (None, field) => into.push((name, field)),
            (Some(Field::Object(inner)), Field::Object(members)) => merge(inner, members, overwrite),
            (Some(Field::Object(_)), _) | (Some(_), Field::Object(_)) => {}
            (Some(own), field) if overwrite => *own = field,
            _ => {}
        }
    }
}

impl Field {
    fn nested(&self) -> Field {
        match self {
            Field::Object(inner) => Field::Object(nested(inner)),
            Field::Array(items) => Field::Array(items.iter().map(Field::nested).collect()),
            plain => plain.clone(),
        }
    }
}

/// What JSON with these members, whose names may have dots, means.
fn nested(members: &Members) -> Members {
    let mut root = Members::new();
    for (name, field) in members {
        let field = field.nested();
        let parts: Vec<&str> = name.split('.').collect();
        let parts = if parts.iter().any(|part| part.is_empty()) { vec![name.as_str()] } else { parts };
        if let Some(place) = place(&mut root, &parts) {
            *place = field;
        }
    }
    root
}

#[derive(Clone, Debug)]
enum Deed {
    Set(usize, String),
    SetNumber(usize, i64),
    SetTime(usize, i64),
    Part(usize, usize),
    Copy(usize, usize),
    Remove(usize),
    Tag(usize, String),
    Merge(Members, bool),
    Into(usize, Members),
    Keep(usize, usize),
    Again,
}

/// Names of which some are much alike, some have to be escaped, and some are long.
const NAMES: [&str; 16] = [
    "message",
    "a",
    "a.b",
    "http.response.status_code",
    "http.response.status_kode",
    "http.response.body.bytes",
    "http.request.method",
    "user_agent.original",
    "user_agent",
    "source.address",
    "a.a_name_of_more_than_16_bytes",
    "a.a_name_Of_more_than_16_bytes",
    "`a.b`.é",
    "`say \"x\"`.`and \\ more of it`",
    "@timestamp",
    "source.address.x",
];

fn parts(name: usize) -> Vec<String> {
    Path::parse(NAMES[name]).unwrap().parts().iter().map(|part| part.name().to_string()).collect()
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z ]{0,40}", "[a-z\"\\\\\u{1}\n\u{7f}é😀]{0,40}", "[ -~]{500,530}", "[\"\\\\x]{0,600}"]
}

fn json() -> impl Strategy<Value = Members> {
    let name = || {
        prop::sample::select(vec![
            "a",
            "a.b",
            "http",
            "http.response",
            "message",
            "q\"",
            "",
            "..",
            "user_agent",
            "source.address",
            "a_name_of_more_than_16_bytes.x",
        ])
    };
    let plain = prop_oneof![
        text().prop_map(|text| Field::text(&text)),
        any::<i64>().prop_map(|n| Field::Plain(n.to_string())),
        (-2000i64..2000).prop_map(|n| Field::Plain(n.to_string())),
        prop::sample::select(vec![
            "1.50",
            "-0.0e+5",
            "18446744073709551615",
            "123456789012345678",
            "-9223372036854775808",
            "true",
            "false",
            "null"
        ])
        .prop_map(|json| Field::Plain(json.into())),
    ];
    let field = plain.prop_recursive(3, 24, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Field::Array),
            prop::collection::vec((name().prop_map(str::to_string), inner), 0..5).prop_map(Field::Object)
        ]
    });
    prop::collection::vec((name().prop_map(str::to_string), field), 0..8)
}

fn deed() -> impl Strategy<Value = Deed> {
    let name = || 0..NAMES.len();
    prop_oneof![
        4 => (name(), text()).prop_map(|(name, text)| Deed::Set(name, text)),
        2 => (name(), any::<i64>()).prop_map(|(name, n)| Deed::SetNumber(name, n)),
        2 => (name(), prop_oneof![any::<i64>(), (0i64..4_000_000_000_000).prop_map(|ms| ms * 1_000_000)]).prop_map(|(name, ns)| Deed::SetTime(name, ns)),
        2 => (name(), 0..300usize).prop_map(|(name, from)| Deed::Part(name, from)),
        2 => (name(), name()).prop_map(|(to, from)| Deed::Copy(to, from)),
        2 => name().prop_map(Deed::Remove),
        1 => (name(), "[ab\"]{0,2}").prop_map(|(name, tag)| Deed::Tag(name, tag)),
        2 => (json(), any::<bool>()).prop_map(|(json, overwrite)| Deed::Merge(json, overwrite)),
        1 => (name(), json()).prop_map(|(name, json)| Deed::Into(name, json)),
        1 => (name(), name()).prop_map(|(a, b)| Deed::Keep(a, b)),
        1 => Just(Deed::Again),
    ]
}

fn kept(members: &Members, paths: &[Vec<String>], depth: usize) -> Members {
    let keep = |(name, field): &(String, Field)| {
        let below: Vec<_> = paths.iter().filter(|path| path.get(depth) == Some(name)).cloned().collect();
        match field {
            _ if below.iter().any(|path| path.len() == depth + 1) => Some((name.clone(), field.clone())),
            Field::Object(inner) if !below.is_empty() => {
                let inner = kept(inner, &below, depth + 1);
                (!inner.is_empty()).then(|| (name.clone(), Field::Object(inner)))
            }
            _ => None,
        }
    };
    members.iter().filter_map(keep).collect()
}

/// As a time is shown: by another library where it can be.
fn time(ns: i64) -> String {
    let time = jiff::Timestamp::from_nanosecond(ns.into()).unwrap();
    if ns < 0 {
        return quoted(&time.to_string());
    }
    let digits = if ns % 1_000_000 == 0 {
        3
    } else if ns % 1000 == 0 {
        6
    } else {
        9
    };
    quoted(&format!("{time:.digits$}"))
}

/// Does it to both.
fn act(deed: &Deed, document: &mut Document, model: &mut Members) {
    let path = |name: usize| Path::parse(NAMES[name]).unwrap();
    let set = |document: &mut Document, model: &mut Members, name: usize, value: Value, field: Field| {
        let owned = parts(name);
        let parts: Vec<&str> = owned.iter().map(String::as_str).collect();
        let before = model.clone();
        let place = place(model, &parts);
        assert_eq!(document.free(&path(name)).is_ok(), place.is_some());
        let set = document.set(&path(name), value);
        match (place, set) {
            (Some(place), Ok(())) => *place = field,
            (None, Err(_)) => *model = before,
            (place, set) => panic!("{place:?}, but {set:?}"),
        }
    };
    let get = |model: &mut Members, name: usize| {
        let owned = parts(name);
        find(model, &owned.iter().map(String::as_str).collect::<Vec<_>>()).cloned()
    };
    let read = |document: &mut Document, members: &Members| {
        let span = document.push(&Field::Object(members.clone()).shown());
        document.parse(span).unwrap()
    };
    match deed {
        Deed::Set(name, text) => {
            let span = document.push(text);
            set(document, model, *name, Value::Text(span), Field::text(text));
        }
        Deed::SetNumber(name, n) => set(document, model, *name, Value::Int(*n), Field::Plain(n.to_string())),
        Deed::SetTime(name, ns) => set(document, model, *name, Value::Time(*ns), Field::Plain(time(*ns))),
        // A slice of what is there, as those make them that take texts apart.
        Deed::Part(name, from) => {
            if let Some(Value::Text(span)) = document.get(&path(*name)) {
                let text = document.str(span).to_string();
                let from = (0..=*from).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
                let (part, text) = (span.part(from, text.len()), text[from..].to_string());
                assert_eq!(document.str(part), text);
                set(document, model, *name, Value::Text(part), Field::text(&text));
            }
        }
        Deed::Copy(to, from) => {
            let value = document.get(&path(*from));
            let field = get(model, *from);
            assert_eq!(value.is_some(), field.is_some(), "{}", NAMES[*from]);
            if let (Some(value), Some(field)) = (value, field) {
                let value = document.copy(value);
                set(document, model, *to, value, field);
            }
        }
        Deed::Remove(name) => {
            let owned = parts(*name);
            let there = document.remove(&path(*name)).is_some();
            assert_eq!(remove(model, &owned.iter().map(String::as_str).collect::<Vec<_>>()).is_some(), there);
        }
        Deed::Tag(name, tag) => {
            document.add_tag(&path(*name), tag);
            let owned = parts(*name);
            let before = model.clone();
            match place(model, &owned.iter().map(String::as_str).collect::<Vec<_>>()) {
                None => *model = before,
                Some(Field::Array(items)) if items.contains(&Field::text(tag)) => {}
                Some(Field::Array(items)) => items.push(Field::text(tag)),
                Some(other) => {
                    let first = (*other != Field::Plain("null".into())).then(|| other.clone());
                    *other = Field::Array(first.into_iter().chain([Field::text(tag)]).collect());
                }
            }
        }
        Deed::Merge(members, overwrite) => {
            let parsed = read(document, members);
            document.merge(ROOT, parsed, *overwrite);
            merge(model, nested(members), *overwrite);
        }
        Deed::Into(name, members) => {
            let parsed = read(document, members);
            let owned = parts(*name);
            let parts: Vec<&str> = owned.iter().map(String::as_str).collect();
            let before = model.clone();
            let into = document.object(&path(*name));
            match (into, place(model, &parts)) {
                (Ok(into), Some(place)) => {
                    if *place == Field::Plain("null".into()) {
                        *place = Field::Object(Vec::new());
                    }
                    let Field::Object(inner) = place else { panic!("no object") };
                    document.merge(into, parsed, false);
                    merge(inner, nested(members), false);
                }
                (Err(_), Some(Field::Plain(_) | Field::Array(_)) | None) => *model = before,
                (into, place) => panic!("{into:?}, but {place:?}"),
            }
        }
        Deed::Keep(a, b) => {
            document.keep(&[path(*a), path(*b)]);
            *model = kept(model, &[parts(*a), parts(*b)], 0);
        }
        Deed::Again => {
            let base = document.clone();
            document.begin(&base);
        }
    }
}

proptest! {
    #[test]
    fn it_is_what_the_model_is(first in json(), deeds in prop::collection::vec((deed(), prop::bool::weighted(0.1)), 0..16)) {
        let mut document = Document::default();
        document.begin_with(&Field::Object(first.clone()).shown(), 0).unwrap();
        let (mut model, mut saved) = (nested(&first), Saved::default());
        for (deed, undone) in &deeds {
            document.save(&mut saved);
            let before = model.clone();
            act(deed, &mut document, &mut model);
            if *undone {
                document.restore(&saved);
                model = before;
            }
            let mut out = b"before".to_vec();
            document.render(&mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!("before{}", Field::Object(model.clone()).shown()), "{:?}", deed);
            for (name, text) in NAMES.iter().enumerate() {
                let owned = parts(name);
                let there = find(&mut model, &owned.iter().map(String::as_str).collect::<Vec<_>>()).is_some();
                prop_assert_eq!(document.find(&Path::parse(text).unwrap()).is_some(), there, "{}", text);
            }
        }
    }
}
