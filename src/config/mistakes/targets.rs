//! Where the events of an Elasticsearch sink go.

use super::errors;
use insta::assert_snapshot;

fn sink(keys: &str) -> String {
    let text = format!(
        "sources: {{a: {{type: file, include: /a}}}}\nsinks:\n  s:\n    type: elasticsearch\n    endpoints: http://localhost:9200\n{keys}\n"
    );
    errors(&text)
}

#[test]
fn patterns_that_make_no_index_name() {
    assert_snapshot!(sink("    index: logs-{service.name"), @r#"
    error: `sinks.s.index` is `logs-{service.name`
      --> pipeline.yaml:6:12
       |
     6 |     index: logs-{service.name
       |            ^^^^^^^^^^^^^^^^^^
       = expected an index name after the rules of Elasticsearch, such as `logs-app` or `logs-app-%Y.%m.%d`
       = help: `{` without its `}`

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
    assert_snapshot!(sink("    index: \"logs-%H\""), @r#"
    error: `sinks.s.index` is `logs-%H`
      --> pipeline.yaml:6:12
       |
     6 |     index: "logs-%H"
       |            ^^^^^^^^^
       = expected an index name after the rules of Elasticsearch, such as `logs-app` or `logs-app-%Y.%m.%d`
       = help: only `%Y`, `%m` and `%d` (the event's date in UTC) may follow a `%`

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
    assert_snapshot!(sink("    index: \"{service.name:Shop}-X\""), @r#"
    error: `sinks.s.index` is `{service.name:Shop}-X`
      --> pipeline.yaml:6:12
       |
     6 |     index: "{service.name:Shop}-X"
       |            ^^^^^^^^^^^^^^^^^^^^^^^
       = expected an index name after the rules of Elasticsearch, such as `logs-app` or `logs-app-%Y.%m.%d`
       = help: index names are lower case: `{service.name:shop}-x`

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
    assert_snapshot!(sink("    index: \"_{service.name}\""), @r#"
    error: `sinks.s.index` is `_{service.name}`
      --> pipeline.yaml:6:12
       |
     6 |     index: "_{service.name}"
       |            ^^^^^^^^^^^^^^^^^
       = expected an index name after the rules of Elasticsearch, such as `logs-app` or `logs-app-%Y.%m.%d`
       = help: index names must not begin with `-`, `_` or `+`

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
    assert_snapshot!(sink("    index: \"logs-{service.name:a b}\""), @r#"
    error: `sinks.s.index` is `logs-{service.name:a b}`
      --> pipeline.yaml:6:12
       |
     6 |     index: "logs-{service.name:a b}"
       |            ^^^^^^^^^^^^^^^^^^^^^^^^^
       = expected an index name after the rules of Elasticsearch, such as `logs-app` or `logs-app-%Y.%m.%d`
       = help: index names must not hold ` `

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn parts_that_make_no_data_stream() {
    assert_snapshot!(sink("    index: logs\n    data_stream: {dataset: shop}"), @r#"
    error: `sinks.s` has both `index` and `data_stream`
      --> pipeline.yaml:7:18
       |
     7 |     data_stream: {dataset: shop}
       |                  ^
       = expected one of the two
       = help: remove `sinks.s.index` or `sinks.s.data_stream`; `index` may name a data stream too

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
    assert_snapshot!(sink("    data_stream: {type: \"{x}\", dataset: shop-eu, namespace: \"%Y\", name: x}"), @r#"
    error: `sinks.s.data_stream.type` is `{x}`
      --> pipeline.yaml:6:25
       |
     6 |     data_stream: {type: "{x}", dataset: shop-eu, namespace: "%Y", name: x}
       |                         ^^^^^
       = expected a part of a data stream's name, in lower case and without `-`, such as `logs`
       = help: the type is the same for all events

    error: `sinks.s.data_stream.dataset` is `shop-eu`
      --> pipeline.yaml:6:41
       |
     6 |     data_stream: {type: "{x}", dataset: shop-eu, namespace: "%Y", name: x}
       |                                         ^^^^^^^
       = expected a part of a data stream's name, in lower case and without `-`, such as `shop` or `{service.name:generic}`
       = help: it must not hold `-`, which parts type, dataset and namespace

    error: `sinks.s.data_stream.namespace` is `%Y`
      --> pipeline.yaml:6:61
       |
     6 |     data_stream: {type: "{x}", dataset: shop-eu, namespace: "%Y", name: x}
       |                                                             ^^^^
       = expected a part of a data stream's name, in lower case and without `-`, such as `shop` or `{service.name:generic}`
       = help: there can be no date here

    error: unknown key `name` in sinks.s.data_stream
      --> pipeline.yaml:6:67
       |
     6 |     data_stream: {type: "{x}", dataset: shop-eu, namespace: "%Y", name: x}
       |                                                                   ^^^^
       = expected one of: type, dataset, namespace
       = help: did you mean `namespace`?

    4 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn routing_and_what_to_include() {
    assert_snapshot!(sink("    routing: \"{}\"\n    include: [batchid]"), @r#"
    error: `sinks.s.routing` is `{}`
      --> pipeline.yaml:6:14
       |
     6 |     routing: "{}"
       |              ^^^^
       = expected a text that may name fields of the source, such as `{service.name}`
       = help: `{}` names no field; a field is written as `{service.name}` or `{service.name:none}`

    error: `sinks.s.include[0]` is `batchid`
      --> pipeline.yaml:7:15
       |
     7 |     include: [batchid]
       |               ^^^^^^^
       = expected one of: `batch_id`
       = help: did you mean `batch_id`?

    2 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}
