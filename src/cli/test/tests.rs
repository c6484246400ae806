use super::*;

const PIPELINE: &str = r#"process:
  app:
    - json: {on_error: dead_letter}
    - drop: {when: 'level == "debug"'}
tests:
  - name: levels
    process: app
    input: ['{"level":"info"}', '{"level":"debug"}', 'no "json"']
    expect: [{level: info}, filtered, dead_letter]
  - name: a wrong one
    process: [{json: {}}]
    input: |
      {"a": 1
    expect: {a: 1, host.name: null}
  - name: of a file
    process: app
    input: {file: samples.log}
    expect: [{n: 1}, {n: 3}, {}]
sinks:
  search: {type: elasticsearch, endpoints: "${NOT_SET}", auth: {api_key: "${file:/does/not/exist}"}}
"#;

fn all(dir: &tempfile::TempDir) -> (Vec<Tested>, String) {
    std::fs::write(dir.path().join("p.yaml"), PIPELINE).unwrap();
    std::fs::write(dir.path().join("samples.log"), "{\"n\":1}\n{\"n\":2}\n").unwrap();
    std::fs::write(dir.path().join("wrong.yaml"), "tests: [{name: x, process: y, input: z, expect: {}}]\n").unwrap();
    std::fs::write(dir.path().join("none.yaml"), "process: {}\n").unwrap();
    let all = ["p.yaml", "none.yaml", "wrong.yaml"].map(|name| tested(dir.path().join(name)));
    (all.into(), format!("{}/", dir.path().display()))
}

#[test]
fn people_read_what_differs() {
    let dir = tempfile::tempdir().unwrap();
    let (all, prefix) = all(&dir);
    let host = crate::config::load_for_tests(&[dir.path().join("none.yaml")], &|_| None).unwrap().host_name;
    insta::assert_snapshot!(report::text(&all, false).replace(&prefix, "").replace(&host, "HOST"), @r#"
    p.yaml
      ok    levels (3 events)
      FAIL  a wrong one (p.yaml:10, a chain of the test)
          event 1: {"a": 1
            a
              expected 1
              found    no such field
            host.name
              expected no such field
              found    "HOST"
            a processor failed: json (1): no JSON object: no `,` or `}` at byte 7
      FAIL  of a file (p.yaml:15, process app)
          the input has 2 events, but `expect` has 3 of them
    none.yaml: it has no tests
    wrong.yaml: the configuration is wrong, so nothing was tested
    3 tests: 1 as expected, 2 not; 1 pipeline with a wrong configuration
    "#);
}

#[test]
fn programs_read_it_too() {
    let dir = tempfile::tempdir().unwrap();
    let (all, prefix) = all(&dir);
    let json = report::json(&all);
    assert_eq!((&json["ok"], json["pipelines"].as_array().map(Vec::len)), (&false.into(), Some(3)));
    let levels = &json["pipelines"][0]["tests"][0];
    assert_eq!((&levels["ok"], &levels["events"][0]["document"]["level"]), (&true.into(), &"info".into()));
    assert_eq!((&levels["events"][1]["filtered"], &levels["events"][2]["outcome"]), (&"drop (2)".into(), &"dead_letter".into()));
    let wrong = &json["pipelines"][0]["tests"][1]["events"][0]["differences"][0];
    assert_eq!((&wrong["field"], &wrong["expected"], &wrong["found"]), (&"a".into(), &"1".into(), &"no such field".into()));
    assert_eq!(json["pipelines"][2]["errors"][0]["path"], "tests[0].process");
    let xml = junit::xml(&all).replace(&prefix, "");
    assert!(xml.contains("<testsuite name=\"p.yaml\" tests=\"3\" failures=\"2\" errors=\"0\">"), "{xml}");
    assert!(xml.contains("<testcase name=\"levels\" classname=\"p.yaml\"/>") && xml.contains("event 1: {&quot;a&quot;: 1"), "{xml}");
    assert!(xml.contains("<testsuite name=\"wrong.yaml\" tests=\"1\" failures=\"0\" errors=\"1\">"), "{xml}");
}

#[test]
fn several_whole_pipelines_of_a_folder_are_tested_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("a.yaml", "sources: {}\nsinks: {}\n");
    write("b.yaml", "process: {}\n");
    assert_eq!(crate::config::pipelines(dir.path()), [dir.path()]);
    write("c.yaml", "sources: {}\nsinks: {}\n");
    assert_eq!(crate::config::pipelines(dir.path()).len(), 3);
    assert_eq!(crate::config::pipelines(&dir.path().join("a.yaml")), [dir.path().join("a.yaml")]);
}
