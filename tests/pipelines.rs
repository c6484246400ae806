//! The pipelines that ship with the project are right, and do what their comments say.

use forebay::config::{Config, load};
use forebay::sink::SinkKind;
use forebay::source::file::{FileFormat, Joining, Preset};
use std::path::Path;

fn pipeline(name: &str, env: &[(&str, &str)]) -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines").join(name);
    let env = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string());
    load(&[path], &env).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn quickstart_needs_no_server() {
    let config = pipeline("quickstart.yaml", &[]);
    assert_eq!(config.sources[0].include, ["pipelines/sample-logs/*.log"]);
    assert_eq!(config.sinks.len(), 1);
    assert!(matches!(&config.sinks[0].kind, SinkKind::File(file) if file.path.ends_with("forebay-data/out/logs.ndjson")));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn quickstart_ships_to_elasticsearch_when_told_where() {
    let config = pipeline("quickstart.yaml", &[("ELASTICSEARCH_URL", "http://localhost:9200"), ("LOG_GLOB", "/var/log/app/*.log")]);
    assert_eq!(config.sources[0].include, ["/var/log/app/*.log"]);
    assert!(matches!(&config.sinks[1].kind, SinkKind::Elasticsearch(search) if search.endpoints == ["http://localhost:9200"]));
}

#[test]
fn nginx() {
    let config = pipeline("nginx.yaml", &[("ES_URL", "https://search:9200"), ("ES_API_KEY", "key")]);
    assert_eq!(config.sources.iter().map(|s| s.topic.as_str()).collect::<Vec<_>>(), ["nginx-access", "nginx-error"]);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn their_own_tests_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_forebay")).arg("test").arg(folder).output().expect("the program");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("4 tests: 4 as expected"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn java_stack_traces_are_one_event() {
    let config = pipeline("java-multiline.yaml", &[]);
    assert_eq!(config.sources[0].multiline.as_ref().unwrap().joining, Joining::Preset(Preset::Java));
}

#[test]
fn sidecar() {
    let config = pipeline("sidecar.yaml", &[("POD_NAME", "shop-7"), ("POD_NAMESPACE", "prod"), ("ES_API_KEY", "key")]);
    assert_eq!(config.host_name, "shop-7");
    assert_eq!(config.admin.listen.unwrap().port(), 8686);
    assert!(matches!(&config.sinks[0].kind, SinkKind::Elasticsearch(search) if search.index == "logs-prod"));
    assert!(config.sources[0].fields.contains(&("kubernetes.namespace".into(), "\"prod\"".into())));
}

#[test]
fn inputs() {
    let config = pipeline("inputs.yaml", &[]);
    assert_eq!(config.inputs.iter().map(|i| (i.origin().0, i.topic.as_str())).collect::<Vec<_>>(), [("http", "api"), ("syslog", "syslog")]);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn a_sidecar_knows_the_labels_of_its_pod() {
    let podinfo = tempfile::tempdir().unwrap();
    std::fs::write(podinfo.path().join("labels"), "app=\"shop\"\n").unwrap();
    std::fs::write(podinfo.path().join("namespace"), "other").unwrap();
    let config =
        pipeline("sidecar.yaml", &[("PODINFO", podinfo.path().to_str().unwrap()), ("POD_NAMESPACE", "prod"), ("ES_API_KEY", "key")]);
    let field = |name: &str| config.sources[0].fields.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect::<Vec<_>>();
    assert_eq!(field("kubernetes.labels.app"), ["\"shop\""]);
    assert_eq!(field("kubernetes.namespace"), ["\"prod\""]);
}

#[test]
fn kubernetes() {
    let config = pipeline("kubernetes.yaml", &[("NODE_NAME", "node-3"), ("ES_API_KEY", "key")]);
    assert_eq!((config.sources[0].format, config.sources[0].kubernetes), (FileFormat::Auto, true));
    assert_eq!(config.host_name, "node-3");
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn sample_logs_are_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/sample-logs");
    let count = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap().lines().count();
    assert_eq!(["nginx-access.log", "shop-java.log", "worker-json.log"].map(count), [40, 41, 40]);
}
