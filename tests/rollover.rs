//! A target that is rolled over while answers are lost, and the agent killed with a batch in flight: each line once.

mod common;

use common::rolling::{Fault, Rolling, Trap};
use common::{Bench, lines};
use std::sync::Arc;

#[test]
fn lost_answers_time_outs_and_kill_9_double_nothing_across_rollovers() {
    let trap = Arc::new(Trap::default());
    let (url, rolling) = Rolling::start(trap.clone());
    let bench = Bench::new();
    let sink = format!(
        "  search:\n    type: elasticsearch\n    endpoints: [\"{url}\"]\n    index: logs-test\n    timeout: 1s\n    \
         retry: {{initial: 50ms, max: 500ms}}"
    );
    bench.pipeline(&sink, "", "");

    trap.arm(Fault::Lose);
    bench.append("app.log", lines(0..1_000));
    let mut agent = bench.start();
    let idle = |s: &forebay::admin::Status| s.sinks["search"].lag_events == 0 && s.sinks["search"].in_flight == 0;
    let acked = |n: u64| move |s: &forebay::admin::Status| idle(s) && s.sinks["search"].delivered_events >= n;
    let first = agent.wait_status("the first thousand", acked(1_000)).sinks["search"].already_there;
    assert!(first > 0, "what had arrived was found");

    // Longer than the client waits: the server still works on it when it is asked.
    trap.arm(Fault::Hold);
    bench.append("app.log", lines(1_000..2_000));
    let asked = rolling.lock().unwrap().asked_tasks;
    agent.wait_for("the server was asked twice", || rolling.lock().unwrap().asked_tasks >= asked + 2);
    trap.release();
    let status = agent.wait_status("the second thousand", acked(2_000));
    assert!(status.sinks["search"].already_there > first, "half of what was held had arrived");

    trap.arm(Fault::Hold);
    bench.append("app.log", lines(2_000..3_000));
    agent.wait_for("a batch is in flight", || trap.held().is_some());
    let name = trap.held().expect("held");
    agent.kill();
    trap.release();
    let mut agent = bench.start();
    let status = agent.wait_status("the third thousand", |s| idle(s) && s.sinks["search"].partitions.iter().all(|p| p.committed >= 3_000));
    assert!(status.sinks["search"].already_there > 0, "half of what was in flight");
    assert_eq!(status.sinks["search"].possibly_doubled, 0);
    assert!(
        agent.log().contains(&format!("of batch {name} had arrived in an earlier try")),
        "the same name after kill -9:\n{}",
        agent.log()
    );

    // The group is moved back: nothing is sent that is there, in whatever index.
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());
    let state = bench.path("state");
    let reset = common::forebay(&["groups", "reset", "search", "--to-earliest", "--data-dir", state.to_str().expect("UTF-8")]);
    assert!(reset.status.success(), "{}", String::from_utf8_lossy(&reset.stderr));
    let mut agent = bench.start();
    agent.wait_status("all is recognised", |s| idle(s) && s.sinks["search"].already_there >= 3_000);
    assert_eq!(agent.terminate().code(), Some(0), "{}", agent.log());

    let rolling = rolling.lock().unwrap();
    let doubled: u32 = rolling.created.values().map(|(n, _)| n - 1).sum();
    assert_eq!(doubled, 0);
    let mut messages: Vec<&str> = rolling.created.values().map(|(_, message)| message.as_str()).collect();
    messages.sort_unstable();
    assert_eq!(messages, lines(0..3_000).lines().collect::<Vec<_>>(), "each line once, and nothing else");
}
