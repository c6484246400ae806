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
