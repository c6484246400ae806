//! A sink's chain, from the file to the receiver.

mod common;

use common::Bench;

#[test]
fn events_go_through_the_chain_of_their_sink() {
    let bench = Bench::new();
    let out = bench.path("out.ndjson");
    let sinks = format!(
        "  shaped:\n    type: file\n    path: {:?}\n    process: app\n  raw:\n    type: file\n    path: {:?}",
        out,
        bench.path("raw.ndjson")
    );
    let chain = "process:\n  app:\n    - json: {}\n    - drop: {when: level == \"debug\"}\n    - set: {fields: {service.name: shop}}";
    bench.pipeline(&sinks, "", chain);
    std::fs::write(bench.log("a.log"), "{\"level\":\"info\",\"n\":1}\n{\"level\":\"debug\"}\nno json\n").unwrap();
    let lines = |name: &str| std::fs::read_to_string(bench.path(name)).unwrap_or_default();
    bench.ship_all(|| lines("out.ndjson").lines().count() == 2 && lines("raw.ndjson").lines().count() == 3);
    let documents: Vec<serde_json::Value> = lines("out.ndjson").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&documents[0]["n"], &documents[0]["service"]["name"]), (&1.into(), &"shop".into()));
    assert_eq!((&documents[1]["message"], &documents[1]["tags"][0]), (&"no json".into(), &"_forebay_failure".into()));
    assert_eq!(documents[1]["log"]["offset"], 41);
}

/// Each sink takes what is its own; what none takes, and what several take, is the operator's to say.
#[test]
fn events_are_routed_by_conditions_on_what_the_chain_made_of_them() {
    let bench = Bench::new();
    let sink = |name: &str, when: &str, process: &str| {
        format!("  {name}:\n    type: file\n    path: {:?}\n    when: {when}\n{process}", bench.path(&format!("{name}.ndjson")))
    };
    let sinks = [
        sink("errors", "'level == \"error\"'", "    process: [{json: {}}]\n"),
        sink("others", "'not (level == \"error\")'", "    process: [{json: {}}, {drop: {when: n == 3}}]\n"),
        sink("billing", "log.file.path matches \"billing\"", ""),
    ]
    .concat();
    bench.pipeline(sinks.trim_end(), "", "");
    std::fs::write(bench.log("a.log"), "{\"level\":\"error\",\"n\":1}\n{\"level\":\"info\",\"n\":2}\n{\"level\":\"info\",\"n\":3}\n")
        .unwrap();
    std::fs::write(bench.log("billing.log"), "plain\n").unwrap();
    let mut agent = bench.start();
    let status = agent.wait_status("every event to be sent or left out", |status| {
        status.sinks.values().all(|sink| sink.delivered_events + sink.filtered == 4)
    });
    let by = |sink: &str| status.sinks[sink].filtered_by.iter().map(|(step, n)| format!("{step}: {n}")).collect::<Vec<_>>();
    assert_eq!((by("errors"), by("billing")), (vec!["when: 3".to_string()], vec!["when: 3".to_string()]));
    assert_eq!(by("others"), ["drop (2): 1", "when: 1"]);
    let lines = |name: &str| std::fs::read_to_string(bench.path(name)).unwrap_or_default();
    let field = |name: &str, at: &str| {
        let document = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        lines(name).lines().map(|line| document(line).pointer(at).cloned().unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(field("errors.ndjson", "/n"), [serde_json::json!(1)]);
    let mut others = field("others.ndjson", "/n");
    others.sort_by_key(|n| n.as_u64());
    assert_eq!(others, [serde_json::Value::Null, serde_json::json!(2)]);
    assert_eq!(field("billing.ndjson", "/message"), [serde_json::json!("plain")]);
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
}
