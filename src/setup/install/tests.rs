use super::*;
use crate::setup::recorded::Recorded;
use std::time::Duration;

fn options(index: &str) -> ElasticsearchOptions {
    ElasticsearchOptions { index: index.into(), ..ElasticsearchOptions::default() }
}

fn flags() -> Flags {
    let day = Duration::from_secs(86_400);
    Flags {
        retention: Some(day * 30),
        rollover_age: day,
        rollover_size: "50gb".into(),
        lifecycle: true,
        priority: 200,
        data_stream: true,
        ..Flags::default()
    }
}

fn text(outcome: &Outcome) -> String {
    outcome.text(false).replace(env!("CARGO_PKG_VERSION"), "V")
}

#[test]
fn everything_is_installed_and_a_second_run_changes_nothing() {
    for server in [Recorded::elasticsearch(), Recorded::opensearch()] {
        let done = install("search", &options("logs-app"), &server, &flags());
        assert_eq!(done.complaint(), None);
        assert_eq!(server.changes.borrow().len(), 4, "{:?}", server.changes.borrow());
        assert!(done.items.iter().all(|item| item.state == State::Created(super::super::plan::Did::Yes)));
        let again = install("search", &options("logs-app"), &server, &flags());
        assert_eq!(again.complaint(), None);
        assert!(again.items.len() == 4 && again.items.iter().all(|item| item.state == State::UpToDate), "{}", text(&again));
        assert_eq!(server.changes.borrow().len(), 4, "nothing was sent");
    }
}

#[test]
fn a_dry_run_prints_what_a_run_sends_and_sends_nothing() {
    let server = Recorded::elasticsearch();
    let dry = install("search", &options("logs-app"), &server, &Flags { dry_run: true, ..flags() });
    assert_eq!(server.changes.borrow().len(), 0);
    let would: Vec<String> = dry.items.iter().filter_map(|i| i.request.as_ref()).map(|r| format!("{} {}", r.method, r.path)).collect();
    install("search", &options("logs-app"), &server, &flags());
    assert_eq!(*server.changes.borrow(), would);
    let server = Recorded::elasticsearch();
    let dry = install("search", &options("logs-app-%Y.%m.%d"), &server, &Flags { dry_run: true, data_stream: false, ..flags() });
    let text = dry.text(true).replace(env!("CARGO_PKG_VERSION"), "V");
    let (head, rest) = text.split_once("PUT /_component_template/forebay-mappings\n").unwrap();
    let (_mappings, rest) = rest.split_once("PUT /_ilm").unwrap();
    insta::assert_snapshot!(format!("{head}[…]\nPUT /_ilm{rest}"), @r#"
    # search: Elasticsearch 8.19.21 at http://search:9200 for logs-app-*
    #   component template  forebay-mappings      would be created
    #   lifecycle policy    forebay-logs-app-all  would be created
    #   index template      forebay-logs-app-all  would be created

    […]
    PUT /_ilm/policy/forebay-logs-app-all
    {
      "policy": {
        "_meta": {
          "managed_by": "forebay",
          "version": "V"
        },
        "phases": {
          "delete": {
            "actions": {
              "delete": {
                "delete_searchable_snapshot": true
              }
            },
            "min_age": "31d"
          },
          "hot": {
            "actions": {},
            "min_age": "0ms"
          }
        }
      }
    }

    PUT /_index_template/forebay-logs-app-all
    {
      "_meta": {
        "managed_by": "forebay",
        "version": "V"
      },
      "composed_of": [
        "forebay-mappings"
      ],
      "index_patterns": [
        "logs-app-*"
      ],
      "priority": 200,
      "template": {
        "settings": {
          "index": {
            "lifecycle": {
              "name": "forebay-logs-app-all"
            }
          }
        }
      }
    }
    "#);
}

#[test]
fn what_changes_is_shown() {
    for server in [Recorded::elasticsearch(), Recorded::opensearch()] {
        install("search", &options("logs-app"), &server, &flags());
        let other = Flags { retention: Some(Duration::from_secs(7 * 86_400)), shards: Some(2), ..flags() };
        let done = install("search", &options("logs-app"), &server, &other);
        assert_eq!(done.complaint(), None);
        let text = text(&done);
        for line in
            ["30d -> 7d\n", "template.settings.index.number_of_shards: - -> 2\n", "data stream         logs-app          up to date\n"]
        {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(install("search", &options("logs-app"), &server, &other).items.iter().all(|item| item.state == State::UpToDate));
    }
}

#[test]
fn what_somebody_else_made_is_left_alone() {
    let server = Recorded::elasticsearch();
    let foreign = json!({"index_patterns": ["logs-app"], "priority": 500});
    server.has.borrow_mut().insert("/_index_template/forebay-logs-app".into(), foreign.clone());
    let done = install("search", &options("logs-app"), &server, &flags());
    assert!(done.is_refused() && server.changes.borrow().is_empty());
    insta::assert_snapshot!(text(&done), @r"
    search: Elasticsearch 8.19.21 at http://search:9200 for logs-app
      component template  forebay-mappings  would be created
      lifecycle policy    forebay-logs-app  would be created
      index template      forebay-logs-app  left as it is: it was not made by forebay; --force replaces it
          _meta.managed_by: - -> forebay
          _meta.version: - -> V
          composed_of.0: - -> forebay-mappings
          data_stream: - -> {}
          priority: 500 -> 200
          template.settings.index.lifecycle.name: - -> forebay-logs-app
      data stream         logs-app          would be created
      nothing was changed
    ");
    assert_eq!(server.has.borrow()["/_index_template/forebay-logs-app"], foreign);
    let forced = install("search", &options("logs-app"), &server, &Flags { force: true, ..flags() });
    assert!(!forced.is_refused() && forced.complaint().is_none() && server.changes.borrow().len() == 4);
}

#[test]
fn a_server_without_policies_gets_the_rest() {
    for server in [Recorded { lifecycle: false, ..Recorded::elasticsearch() }, Recorded { lifecycle: false, ..Recorded::opensearch() }] {
        let done = install("search", &options("logs-app"), &server, &flags());
        assert_eq!(done.complaint(), None);
        let text = text(&done);
        assert!(text.contains("note: no lifecycle policy: nothing is deleted by its age, since the server has no I"), "{text}");
        assert_eq!(server.changes.borrow().len(), 3, "{text}");
        assert!(!server.has.borrow()["/_index_template/forebay-logs-app"].to_string().contains("lifecycle"));
    }
}

#[test]
fn a_type_that_the_server_lacks_is_replaced_and_remembered() {
    let server = Recorded { lacks: Some("match_only_text"), ..Recorded::elasticsearch() };
    let done = install("search", &options("logs-app"), &server, &flags());
    assert_eq!(done.complaint(), None);
    assert!(text(&done).contains("note: the server has no fields of type match_only_text; others stand in for them"), "{}", text(&done));
    let has = server.has.borrow()["/_component_template/forebay-mappings"].clone();
    assert_eq!(has.pointer("/template/mappings/properties/message/type").unwrap(), "text");
    let again = install("search", &options("logs-app"), &server, &flags());
    assert!(again.items.iter().all(|item| item.state == State::UpToDate), "{}", text(&again));
}

#[test]
fn refusals_say_what_to_do_and_how_far_it_came() {
    let complaint = |refuses, opensearch: bool| {
        let server = if opensearch { Recorded::opensearch() } else { Recorded::elasticsearch() };
        install("search", &options("logs-app"), &Recorded { refuses: Some(refuses), ..server }, &flags()).complaint().unwrap()
    };
    insta::assert_snapshot!(
        [
            complaint(("GET", "/", 401, "unable to authenticate user [x]"), false),
            complaint(("GET", "/_component_template", 403, "action is unauthorized"), false),
            complaint(("GET", "/_ilm", 403, "action is unauthorized"), false),
            complaint(("PUT", "/_ilm", 403, "action is unauthorized"), false),
            complaint(("PUT", "/_index_template", 400, "would cause multiple index templates to match"), false),
            complaint(("PUT", "/_data_stream", 403, "no permissions"), true),
            complaint(("GET", "/_plugins/_ism", 503, ""), true),
        ]
        .join("\n"),
        @r"
    search: asking for its version: the server does not accept the log-in (401): unable to authenticate user [x]; see `auth` of the sink (nothing was changed)
    search: component templates: the user of the sink may not do that (403): action is unauthorized; give its role the privilege `manage_index_templates`, or run this once with another `auth` (nothing was changed)
    search: lifecycle policy forebay-logs-app: the user of the sink may not do that (403): action is unauthorized; give its role the privilege `manage_ilm`, or run this once with another `auth` (nothing was changed)
    search: lifecycle policy forebay-logs-app: the user of the sink may not do that (403): action is unauthorized; give its role the privilege `manage_ilm`, or run this once with another `auth` (done: component template forebay-mappings; not done: lifecycle policy forebay-logs-app, index template forebay-logs-app, data stream logs-app)
    search: index template forebay-logs-app: the server refuses it (400): would cause multiple index templates to match; where another template has the same priority, give another --priority (done: component template forebay-mappings, lifecycle policy forebay-logs-app; not done: index template forebay-logs-app, data stream logs-app)
    search: data stream logs-app: the user of the sink may not do that (403): no permissions; give its role the permission `indices:admin/data_stream/create`, or run this once with another `auth` (done: component template forebay-mappings, lifecycle policy forebay-logs-app, index template forebay-logs-app; not done: data stream logs-app)
    search: lifecycle policy forebay-logs-app: the server answers 503; run the command again when it is well (nothing was changed)
    ");
}

#[test]
fn what_is_no_search_server_is_said() {
    let old = Recorded { number: "7.8.0", ..Recorded::elasticsearch() };
    let complaint = install("search", &options("logs-app"), &old, &flags()).complaint().unwrap();
    assert!(complaint.contains("Elasticsearch 7.9 or OpenSearch 1.0 is needed"), "{complaint}");
    let other = Recorded { number: "", ..Recorded::elasticsearch() };
    let complaint = install("search", &options("logs-app"), &other, &flags()).complaint().unwrap();
    assert!(complaint.contains("neither Elasticsearch nor OpenSearch"), "{complaint}");
}

#[test]
fn a_template_that_would_win_is_told() {
    let server = Recorded::elasticsearch();
    let other = |patterns: Value, priority: u32| json!({"index_patterns": patterns, "priority": priority});
    server.has.borrow_mut().insert("/_index_template/theirs".into(), other(json!(["metrics-*", "logs-*"]), 500));
    server.has.borrow_mut().insert("/_index_template/lower".into(), other(json!("logs-*"), 100));
    server.has.borrow_mut().insert("/_index_template/metrics".into(), other(json!(["metrics-*"]), 900));
    let done = text(&install("search", &options("logs-app"), &server, &flags()));
    let told = "note: index template theirs has priority 500 and matches logs-app, so it holds instead: --priority 501 changes that\n";
    assert!(done.contains(told) && done.matches("holds instead").count() == 1, "{done}");
    let done = text(&install("search", &options("logs-app"), &server, &Flags { priority: 501, ..flags() }));
    assert!(!done.contains("holds instead"), "{done}");
}

#[test]
fn patterns_match_as_on_the_server() {
    let yes = [("a", "a"), ("*", ""), ("*", "x"), ("logs-*", "logs-a"), ("*-x", "logs-x"), ("l*s-*-x", "logs-a-x"), ("a*b*b", "abb")];
    let no = [("a", "ab"), ("logs-*", "log"), ("a*a", "a"), ("l*s-*-x", "logs-x"), ("a*b*b", "ab"), ("*b*", "aca")];
    assert!(yes.iter().all(|(pattern, name)| matches(pattern, name)));
    assert!(no.iter().all(|(pattern, name)| !matches(pattern, name)));
}
