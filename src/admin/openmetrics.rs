//! `/metrics` for who asks for OpenMetrics 1.0: the same page, and the batch ID of each sink as an exemplar.
//!
//! A batch ID as a label would be a new series each time. An exemplar is a note beside a sample: the series stays one, and who
//! sees the counter rise sees which batch it was, as it stands in the log, in `X-Opaque-Id` and in `Idempotency-Key`.

use super::{Status, metrics};

/// Media type of the page.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The counter that has the exemplars.
const COUNTER: &str = "forebay_sink_delivered_events_total{sink=\"";
/// Characters that the labels of an exemplar may have, names and values together.
const MOST: usize = 128;

/// Whether a client that sends this `Accept` prefers OpenMetrics, as Prometheus does: it names it, and it names it first.
pub(crate) fn wanted(accept: &str) -> bool {
    accept.split(',').next().is_some_and(|first| first.trim_start().starts_with("application/openmetrics-text"))
}

/// The whole page.
pub(crate) fn render(status: &Status) -> String {
    let plain = metrics::render(status);
    let mut page = String::with_capacity(plain.len() + 1024);
    for line in plain.lines() {
        // A counter's family is named without the end of its samples' names.
        match line.strip_prefix("# ").and_then(|rest| rest.split_once("_total ")) {
            Some((family, rest)) if !family.contains(['"', '{']) && family.split(' ').count() == 2 => {
                page.extend(["# ", family, " ", rest]);
            }
            _ => page.push_str(line),
        }
        if let Some(batch) = line.strip_prefix(COUNTER).and_then(|rest| last_batch(status, rest)) {
            page.extend([" # {batch=\"", batch, "\"} 1"]);
        }
        page.push('\n');
    }
    page.push_str("# EOF\n");
    page
}

/// The batch of the sink with whose name `rest` begins, if it has one that an exemplar can hold. Batch IDs need no escaping.
fn last_batch<'a>(status: &'a Status, rest: &str) -> Option<&'a str> {
    let sink = status.sinks.get(rest.split('"').next()?)?;
    Some(sink.last_batch.as_str()).filter(|batch| !batch.is_empty() && "batch".len() + batch.chars().count() <= MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::SinkStatus;
    use std::collections::{BTreeMap, BTreeSet};

    fn status(last_batch: &str) -> Status {
        let sink = SinkStatus { delivered_events: 7, last_batch: last_batch.into(), ..SinkStatus::default() };
        Status { sinks: BTreeMap::from([("search".into(), sink)]), ..Status::default() }
    }

    #[test]
    fn the_last_batch_stands_beside_the_counter_and_makes_no_series() {
        let page = render(&status("0b1d-search-logs-0-1-0-41-00000000"));
        let of = |name: &str| page.lines().filter(|line| line.contains(name)).collect::<Vec<_>>().join("\n");
        insta::assert_snapshot!(of("delivered_events"), @r#"
        # HELP forebay_sink_delivered_events Events delivered.
        # TYPE forebay_sink_delivered_events counter
        forebay_sink_delivered_events_total{sink="search"} 7 # {batch="0b1d-search-logs-0-1-0-41-00000000"} 1
        "#);
        assert!(page.ends_with("\n# EOF\n") && !page.contains("_total counter"), "{page}");
    }

    #[test]
    fn a_batch_that_is_not_there_or_too_long_is_left_out() {
        for batch in [String::new(), "x".repeat(124)] {
            assert!(!render(&status(&batch)).contains(" # {"), "{batch}");
        }
        assert!(render(&status(&"x".repeat(123))).contains(" # {"));
    }

    #[test]
    fn no_two_families_have_the_same_name_and_all_else_is_as_on_the_plain_page() {
        let status = metrics::tests::numbered();
        let (plain, page) = (metrics::render(&status), render(&status));
        let families: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let names: BTreeSet<_> = families.iter().map(|family| family.split(' ').next()).collect();
        assert_eq!(names.len(), families.len());
        let samples = |page: &str| -> Vec<String> {
            let lines = page.lines().filter(|line| !line.starts_with('#'));
            lines.map(|line| line.split(" # ").next().unwrap_or_default().to_string()).collect()
        };
        assert_eq!(samples(&plain), samples(&page));
    }

    #[test]
    fn who_prefers_it() {
        // What Prometheus 2 and 3 send.
        assert!(wanted("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;q=0.5"));
        assert!(!wanted("text/plain;version=0.0.4;q=0.5,*/*;q=0.1") && !wanted("*/*") && !wanted(""));
    }
}
