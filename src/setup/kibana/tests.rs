use super::*;
use serde_json::json;
use std::cell::RefCell;

/// Answers as the documentation of both has them.
struct Shown {
    status: Value,
    import: (u16, Value),
    asked: RefCell<Vec<Request>>,
}

impl Server for Shown {
    fn name(&self) -> String {
        "http://kibana:5601".into()
    }

    fn ask(&self, request: &Request) -> Result<Reply, String> {
        self.asked.borrow_mut().push(request.clone());
        let (status, body) = if request.method == "GET" { (200, self.status.clone()) } else { self.import.clone() };
        Ok(Reply::new(status, body.to_string().as_bytes()))
    }
}

fn shown(number: &str, overall: Value, import: (u16, Value)) -> Shown {
    let mut status = json!({"name": "k", "uuid": "u", "status": {"overall": overall}});
    if !number.is_empty() {
        status["version"] = json!({"number": number, "build_number": 1});
    }
    Shown { status, import, asked: RefCell::default() }
}

fn kibana(import: (u16, Value)) -> Shown {
    shown("8.19.2", json!({"level": "available"}), import)
}

fn success(overwrite: bool) -> (u16, Value) {
    (200, json!({"success": true, "successCount": 8, "successResults": [{"type": "dashboard", "id": "x", "overwrite": overwrite}]}))
}

fn access() -> Access {
    Access { pattern: "logs-*".into(), ..Access::default() }
}

#[test]
fn each_is_known_by_its_version_and_gets_its_own_header() {
    let both = [
        (kibana(success(false)), "kbn-xsrf", "Kibana 8.19.2 at http://kibana:5601"),
        (shown("2.19.4", json!({"state": "green"}), success(false)), "osd-xsrf", "OpenSearch Dashboards 2.19.4 at http://kibana:5601"),
    ];
    for (server, header, name) in both {
        let done = import(&server, &access());
        assert_eq!((done.complaint(), done.server.as_str()), (None, name));
        let asked = server.asked.borrow();
        assert_eq!(asked[1].headers, [(header, "true")]);
        assert_eq!(asked[1].path, "/api/saved_objects/_import?overwrite=true");
        assert_eq!(done.items[0].state, State::Created(Did::Yes));
    }
    let server = kibana(success(true));
    let done = import(&server, &Access { space: Some("ops".into()), ..access() });
    assert_eq!(done.items[0].state, State::Changed(Did::Yes, vec![]));
    assert!(server.asked.borrow()[1].path.starts_with("/s/ops/api/"));
}

#[test]
fn a_dry_run_imports_nothing() {
    let server = kibana(success(false));
    let done = import(&server, &Access { dry_run: true, ..access() });
    assert_eq!(server.asked.borrow().len(), 1);
    let text = done.text(true);
    let lines: Vec<&str> = text.lines().map(|line| line.split_at(line.len().min(72)).0).collect();
    insta::assert_snapshot!(lines.join("\n"), @r##"
    # kibana: Kibana 8.19.2 at http://kibana:5601 for logs-*
    #   saved objects  forebay-logs-all-dashboard  would be imported

    POST /api/saved_objects/_import?overwrite=true
    # kbn-xsrf: true
    # multipart/form-data, file=forebay.ndjson:
    {"attributes":{"timeFieldName":"@timestamp","title":"logs-*"},"id":"fore
    {"attributes":{"description":"","kibanaSavedObjectMeta":{"searchSourceJS
    {"attributes":{"description":"","kibanaSavedObjectMeta":{"searchSourceJS
    {"attributes":{"description":"","kibanaSavedObjectMeta":{"searchSourceJS
    {"attributes":{"description":"","kibanaSavedObjectMeta":{"searchSourceJS
    {"attributes":{"description":"","kibanaSavedObjectMeta":{"searchSourceJS
    {"attributes":{"columns":["host.name","service.name","message"],"descrip
    {"attributes":{"description":"Made by `forebay setup kibana`; another ru
    "##);
}

#[test]
fn refusals_say_what_to_do() {
    let told =
        |server: Shown, space: Option<&str>| import(&server, &Access { space: space.map(str::to_string), ..access() }).complaint().unwrap();
    let level = || json!({"level": "available"});
    let partly =
        json!({"success": false, "successCount": 7, "errors": [{"type": "dashboard", "id": "forebay-x", "error": {"type": "conflict"}}]});
    insta::assert_snapshot!(
        [
            told(kibana((401, json!({"statusCode": 401, "error": "Unauthorized", "message": "[security_exception]"}))), None),
            told(kibana((403, json!({"statusCode": 403, "error": "Forbidden", "message": "Unable to bulk_create dashboard"}))), None),
            told(kibana((200, partly)), None),
            told(shown("7.6.2", json!({"state": "green"}), success(false)), None),
            told(shown("", level(), success(false)), None),
            told(shown("2.19.4", json!({"state": "green"}), success(false)), Some("ops")),
            told(Shown { status: json!({"tagline": "You Know, for Search"}), import: success(false), asked: RefCell::default() }, None),
        ]
        .join("\n"),
        @r#"
    kibana: the import: the log-in is not accepted (401): [security_exception]; see --user and $FOREBAY_KIBANA_PASSWORD, or $FOREBAY_KIBANA_API_KEY (nothing was done before; not done: saved objects forebay-logs-all-dashboard)
    kibana: the import: the user may not do that (403): Unable to bulk_create dashboard; give its role the privileges to write saved objects (in Kibana: `Saved Objects Management: All`) (nothing was done before; not done: saved objects forebay-logs-all-dashboard)
    kibana: the import was refused in part: dashboard forebay-x: conflict; run the command again when that is mended (nothing was done before; not done: saved objects forebay-logs-all-dashboard)
    kibana: Kibana 7.6.2 is older than 7.10, from which on it takes these objects (nothing was changed)
    kibana: it does not tell its version without a log-in; see --user and $FOREBAY_KIBANA_PASSWORD, or $FOREBAY_KIBANA_API_KEY (nothing was changed)
    kibana: OpenSearch Dashboards has no spaces but tenants, which a log-in chooses: leave out --space (nothing was changed)
    kibana: it is neither Kibana nor OpenSearch Dashboards: /api/status answers {"tagline":"You Know, for Search"}; expected their base URL, such as http://kibana:5601 (nothing was changed)
    "#);
}
