//! What the program prints and the exit codes that it answers with.

use std::path::Path;
use std::process::{Command, Output};

fn forebay(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_forebay")).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).env_clear().output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn wrong_pipeline(dir: &Path) -> String {
    let path = dir.join("wrong.yaml");
    std::fs::write(&path, "sources: {a: {type: file, include: /a, topics: x}}\nsinks: {o: {type: consol}}\n").unwrap();
    path.to_str().unwrap().to_string()
}

#[test]
fn check_shows_the_sources_that_are_pushed_to() {
    let output = forebay(&["check", "pipelines/inputs.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("  api -> topic api: http, http://127.0.0.1:9280\n"), "{text}");
    assert!(text.contains("  net -> topic syslog: syslog, udp://127.0.0.1:5514, tcp://127.0.0.1:5514\n"), "{text}");
    let json: serde_json::Value = serde_json::from_slice(&forebay(&["check", "--json", "pipelines/inputs.yaml"]).stdout).unwrap();
    assert_eq!(json["sources"]["net"]["type"], "syslog");
    assert_eq!(json["topics"], serde_json::json!(["api", "syslog"]));
}

#[test]
fn check_shows_what_was_understood() {
    let output = forebay(&["check", "pipelines/quickstart.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    insta::assert_snapshot!(text, @r#"
    sources
      samples -> topic logs: 3 files now, 13.6 KiB
          pipelines/sample-logs/*.log
    sinks
      disk <- topic logs: file, ./forebay-data/out/logs.ndjson
    state
      data_dir ./forebay-data: at most 10.0 GiB on disk, 24.0 MiB of memory for data
      admin on http://127.0.0.1:8686
    the configuration is right
    "#);
}

#[test]
fn check_in_json() {
    let output = forebay(&["check", "--json", "pipelines/quickstart.yaml"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], true);
    assert_eq!(report["sources"]["samples"]["files"], 3);
    assert_eq!(report["sinks"]["disk"]["topics"], serde_json::json!(["logs"]));
}

#[test]
fn mistakes_are_exit_code_2_in_both_forms() {
    let dir = tempfile::tempdir().unwrap();
    let path = wrong_pipeline(dir.path());
    for command in ["check", "run"] {
        let output = forebay(&[command, &path]);
        assert_eq!(output.status.code(), Some(2));
        let text = stderr(&output);
        assert!(
            text.contains("did you mean `topic`?") && text.contains("did you mean `console`?") && text.contains("2 errors in "),
            "{text}"
        );
        assert!(!text.contains('\x1b') && output.stdout.is_empty());
    }
    let output = forebay(&["check", "--json", &path]);
    assert_eq!(output.status.code(), Some(2));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["errors"].as_array().map(Vec::len), Some(2));
    assert_eq!(report["errors"][0]["path"], "sources.a.topics");
    assert_eq!((report["errors"][0]["line"].as_u64(), report["errors"][0]["column"].as_u64()), (Some(1), Some(40)));
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for args in [
        &["check"][..],
        &["run"],
        &["frob"],
        &[],
        &["status", "--admin", "nowhere"],
        &["groups", "reset", "search"],
        &["groups", "reset", "search", "--to-latest", "--to-earliest"],
        &["read", "logs", "--from", "never"],
    ] {
        assert_eq!(forebay(args).status.code(), Some(2), "{args:?}");
    }
    let output = forebay(&["run", "--log-level", "inof", "pipelines/quickstart.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("the log level `inof` is none of"), "{}", stderr(&output));
}

#[test]
fn the_help_teaches() {
    let help = stdout(&forebay(&["--help"]));
    for part in ["sources:", "sinks:", "Exit codes:", "FOREBAY_LOG", "NO_COLOR", "forebay demo", "forebay check pipelines/quickstart.yaml"]
    {
        assert!(help.contains(part), "{part}: {help}");
    }
    for command in
        ["run", "check", "demo", "status", "topics", "groups", "read", "redrive", "verify", "setup", "test", "explain", "completions"]
    {
        let output = forebay(&[command, "--help"]);
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains(&format!("Examples:\n  forebay {command}")), "{command}");
    }
    assert!(stdout(&forebay(&["--version"])).starts_with("forebay 0."));
}

#[test]
fn tests_of_a_pipeline_have_exit_codes() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let write = |name: &str, expect: &str| {
        let test = format!("tests: [{{name: t, process: [{{json: {{}}}}], input: '{{\"a\":1}}', expect: {expect}}}]\n");
        std::fs::write(path(name), test).unwrap();
    };
    write("good.yaml", "{a: 1}");
    write("bad.yaml", "{a: 2}");
    write("wrong.yaml", "nothing");
    let output = forebay(&["test", &path("good.yaml")]);
    assert_eq!((output.status.code(), stdout(&output).contains("1 test: 1 as expected, 0 not")), (Some(0), true), "{}", stderr(&output));
    let output = forebay(&["test", "--junit", &path("out.xml"), &path("good.yaml"), &path("bad.yaml")]);
    assert_eq!((output.status.code(), stdout(&output).contains("found    1")), (Some(1), true));
    assert!(std::fs::read_to_string(path("out.xml")).unwrap().contains("<failure message="));
    let output = forebay(&["test", "--json", &path("wrong.yaml")]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["pipelines"][0]["errors"][0]["line"], 1);
}

#[test]
fn a_dry_run_shows_documents_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    std::fs::write(path("a.log"), "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n{\"n\":4}").unwrap();
    let pipeline = format!(
        "data_dir: {0}/data\nsources: {{a: {{type: file, include: \"{0}/*.log\"}}}}\nsinks:\n  search:\n    type: elasticsearch\n    endpoints: http://127.0.0.1:1\n    data_stream: {{dataset: shop}}\n    process: [{{json: {{}}}}, {{drop: {{when: n == 2}}}}]\n",
        dir.path().display()
    );
    std::fs::write(path("p.yaml"), pipeline).unwrap();
    let documents = |output: &std::process::Output| -> Vec<serde_json::Value> {
        stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let output = forebay(&["run", "--dry", &path("p.yaml")]);
    let all = documents(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(all.iter().map(|d| d["n"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 3, 4]);
    assert_eq!((&all[0]["data_stream"]["dataset"], &all[2]["log"]["offset"]), (&"shop".into(), &24.into()));
    assert!(stderr(&output).contains("event at byte 8: filtered by drop (2)"), "{}", stderr(&output));
    assert_eq!(documents(&forebay(&["run", "--dry", "--lines", "1", &path("p.yaml")])).len(), 1);
    assert!(!dir.path().join("data").exists());
    assert_eq!(forebay(&["run", "--lines", "1", &path("p.yaml")]).status.code(), Some(2));
}

#[test]
fn a_preset_is_explained_so_that_it_can_be_tested() {
    let list = stdout(&forebay(&["explain"]));
    assert!(list.lines().any(|line| line.starts_with("redis ")), "{list}");
    let output = forebay(&["explain", "--tests", "redis"]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.yaml");
    std::fs::write(&path, &output.stdout).unwrap();
    let output = forebay(&["test", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let output = forebay(&["explain", "reddis"]);
    assert_eq!((output.status.code(), stderr(&output).contains("did you mean `redis`?")), (Some(2), true));
}

#[test]
fn the_pipeline_of_the_help_is_right() {
    let help = stdout(&forebay(&["--help"]));
    let yaml: Vec<&str> = help.lines().skip_while(|line| *line != "  sources:").take_while(|line| !line.is_empty()).collect();
    assert_eq!(yaml.len(), 5, "{yaml:?}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("help.yaml");
    std::fs::write(&path, yaml.join("\n")).unwrap();
    let output = forebay(&["check", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn completions_are_scripts() {
    for shell in ["bash", "zsh", "fish"] {
        let output = forebay(&["completions", shell]);
        assert!(output.status.success() && stdout(&output).contains("forebay"), "{shell}");
    }
}
