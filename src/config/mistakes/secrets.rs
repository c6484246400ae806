//! Mistakes near secrets.

use super::errors;
use insta::assert_snapshot;

#[test]
fn credentials_in_the_url() {
    assert_snapshot!(errors(r#"sources: {a: {type: file, include: /a}}
sinks:
  b:
    type: elasticsearch
    endpoints: https://me:hunter2@search:9200
"#), @r#"
    error: `sinks.b.endpoints` has a user or password in the URL, where it would end up in logs and errors
      --> pipeline.yaml:5:16
       |
     5 |     endpoints: https://***@search:9200
       |                ^^^^^^^^^^^^^^^^^^^^^^^
       = expected a URL without credentials
       = help: put them under `auth: {user: …, password: "${ES_PASSWORD}"}`

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn secrets_are_not_shown() {
    assert_snapshot!(errors(r#"sources: {a: {type: file, include: /a}}
sinks:
  b:
    type: elasticsearch
    endpoints: https://search:9200
    auth: {user: me, password: hunter2, realm: x}
    timeout: ${API_TOKEN}
    index: ${API_TOKEN}/
  c:
    type: http
    url: https://h/
    auth:
      bearer: [hunter2]
"#), @r#"
    error: unknown key `realm` in sinks.b.auth
      --> pipeline.yaml:6:41
       |
     6 |     auth: {user: me, password: ***
       |                                ^^^
       = expected one of: user, password, api_key, bearer

    error: `sinks.b.timeout` is a secret, not shown
      --> pipeline.yaml:7:14
       |
     7 |     timeout: ${API_TOKEN}
       |              ^^^^^^^^^^^^
       = expected a duration from 100ms to 1h

    error: `sinks.b.index` is a secret, not shown
      --> pipeline.yaml:8:12
       |
     8 |     index: ${API_TOKEN}/
       |            ^^^^^^^^^^^^^
       = expected an index name after the rules of Elasticsearch, such as `logs-app` or `logs-app-%Y.%m.%d`

    error: `sinks.c.auth.bearer` is a list
       --> pipeline.yaml:13:15
        |
     13 |       bearer: ***
        |               ^^^
        = expected a token

    4 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn several_ways_to_log_in() {
    assert_snapshot!(errors(r#"sources: {a: {type: file, include: /a}}
sinks:
  b:
    type: http
    url: https://h/
    auth:
      api_key: hunter2
      bearer: hunter3
"#), @r#"
    error: `sinks.b.auth` has several ways to log in
      --> pipeline.yaml:7:7
       |
     7 |       api_key: ***
       |       ^
       = expected one of: `{user: …, password: …}`, `{api_key: …}`, `{bearer: …}`

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn what_comes_from_a_file_is_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "hunter2 /[(\n").unwrap();
    let file = format!("\"${{file:{}}}\"", secret.display());
    // The helper looks for the secret in every form of the errors.
    let text = errors(&format!(
        "sources: {{a: {{type: file, include: {file}, start_at: {file}, rescan: {file}, topic: {file}, multiline: {{start_pattern: {file}}}}}}}
sinks: {{s: {{type: elasticsearch, endpoints: {file}, index: {file}, compression: {file}, in_flight: {file}}}, h: {{type: http, url: {file}, headers: {{X: {file}}}}}}}
queue: {{acks: {file}, on_full: {file}, max_bytes: {file}}}
admin: {{listen: {file}}}
agent: {{host_name: {file}}}
"
    ));
    assert!(text.matches("a secret, not shown").count() >= 12, "{text}");
}
