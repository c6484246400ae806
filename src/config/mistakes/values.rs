//! Values that are not what they should be.

use super::{after_pipeline, errors};
use insta::assert_snapshot;

#[test]
fn ways_to_watch() {
    assert_snapshot!(errors(r#"sources:
  app: {type: file, include: /a, watch: polling, poll_interval: 10ms}
sinks: {out: {type: console}}
"#), @r#"
    error: `sources.app.watch` is `polling`
      --> pipeline.yaml:2:41
       |
     2 |   app: {type: file, include: /a, watch: polling, poll_interval: 10ms}
       |                                         ^^^^^^^
       = expected one of: `auto`, `inotify`, `poll`

    error: `sources.app.poll_interval` is `10ms`
      --> pipeline.yaml:2:65
       |
     2 |   app: {type: file, include: /a, watch: polling, poll_interval: 10ms}
       |                                                                 ^^^^
       = expected a duration from 100ms to 1h

    2 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn several_mistakes_in_one_file() {
    assert_snapshot!(errors(r#"sources:
  app:
    type: file
    include: "/var/log/[a.log"
    start_at: begining
    rescan: 5
  web app:
    type: fil
sinks:
  search:
    type: elasticsearch
    endpoints: [localhost:9200, "ftp://h/"]
    index: Logs-App
    in_flight: 0
    batch: {max_byte: 1MiB}
queue:
  acks: all
"#), @r#"
    error: `sources.app.include` is `/var/log/[a.log`
      --> pipeline.yaml:4:14
       |
     4 |     include: "/var/log/[a.log"
       |              ^^^^^^^^^^^^^^^^^
       = expected a glob such as `/var/log/**/*.log`
       = help: unclosed character class; missing ']'

    error: `sources.app.start_at` is `begining`
      --> pipeline.yaml:5:15
       |
     5 |     start_at: begining
       |               ^^^^^^^^
       = expected one of: `beginning`, `end`
       = help: did you mean `beginning`?

    error: `sources.app.rescan` is `5`
      --> pipeline.yaml:6:13
       |
     6 |     rescan: 5
       |             ^
       = expected a duration from 100ms to 1h
       = help: a duration needs a unit: `5s` or `5ms`

    error: `web app` cannot be the name of one of the sources
      --> pipeline.yaml:7:3
       |
     7 |   web app:
       |   ^^^^^^^
       = expected 1 to 64 of the characters `A-Z a-z 0-9 _ . -`

    error: `sinks.search.endpoints[0]` is `localhost:9200`
       --> pipeline.yaml:12:17
        |
     12 |     endpoints: [localhost:9200, "ftp://h/"]
        |                 ^^^^^^^^^^^^^^
        = expected a URL such as `https://search:9200`: `http://` or `https://`
        = help: did you mean `http://localhost:9200`?

    error: `sinks.search.endpoints[1]` is `ftp://h/`
       --> pipeline.yaml:12:33
        |
     12 |     endpoints: [localhost:9200, "ftp://h/"]
        |                                 ^^^^^^^^^^
        = expected a URL such as `https://search:9200`: `http://` or `https://`

    error: `sinks.search.index` is `Logs-App`
       --> pipeline.yaml:13:12
        |
     13 |     index: Logs-App
        |            ^^^^^^^^
        = expected an index name after the rules of Elasticsearch, such as `logs-app` or `logs-app-%Y.%m.%d`
        = help: index names are lower case: `logs-app`

    error: `sinks.search.in_flight` is `0`
       --> pipeline.yaml:14:16
        |
     14 |     in_flight: 0
        |                ^
        = expected a whole number from 1 to 64

    error: unknown key `max_byte` in sinks.search.batch
       --> pipeline.yaml:15:13
        |
     15 |     batch: {max_byte: 1MiB}
        |             ^^^^^^^^
        = expected one of: max_bytes, max_events, linger
        = help: did you mean `max_bytes`?

    error: `queue.acks` is `all`
       --> pipeline.yaml:17:9
        |
     17 |   acks: all
        |         ^^^
        = expected one of: `none`, `written`, `synced`
        = help: did you mean `synced`?

    10 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn size_without_a_known_unit() {
    assert_snapshot!(after_pipeline("queue: {max_bytes: 10G}\n"), @r#"
    error: `queue.max_bytes` is `10G`
      --> pipeline.yaml:3:20
       |
     3 | queue: {max_bytes: 10G}
       |                    ^^^
       = expected a size from 4MiB to 512TiB
       = help: write `10GiB` (powers of 1024) or `10GB` (powers of 1000)

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn size_out_of_range() {
    assert_snapshot!(after_pipeline("queue:\n  segment_bytes: 64KiB\n"), @r#"
    error: `queue.segment_bytes` is `64KiB`
      --> pipeline.yaml:4:18
       |
     4 |   segment_bytes: 64KiB
       |                  ^^^^^
       = expected a size from 1MiB to 4GiB

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn duration_without_unit() {
    assert_snapshot!(after_pipeline("queue:\n  linger: 5\n"), @r#"
    error: `queue.linger` is `5`
      --> pipeline.yaml:4:11
       |
     4 |   linger: 5
       |           ^
       = expected a duration from 0s to 10s
       = help: a duration needs a unit: `5s` or `5ms`

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn value_is_a_list() {
    assert_snapshot!(after_pipeline("queue:\n  linger: [5s]\n"), @r#"
    error: `queue.linger` is a list
      --> pipeline.yaml:4:11
       |
     4 |   linger: [5s]
       |           ^
       = expected a duration from 0s to 10s

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn value_is_empty() {
    assert_snapshot!(after_pipeline("queue:\n  linger:\n"), @r#"
    error: `queue.linger` is empty
      --> pipeline.yaml:4:3
       |
     4 |   linger:
       |   ^^^^^^
       = expected a duration from 0s to 10s

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn map_expected() {
    assert_snapshot!(after_pipeline("queue: yes\n"), @r#"
    error: `queue` is a single value
      --> pipeline.yaml:3:8
       |
     3 | queue: yes
       |        ^^^
       = expected a map (`key: value` lines)

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn batch_size_against_segment() {
    assert_snapshot!(after_pipeline("queue:\n  segment_bytes: 1MiB\n  batch_size: 1MiB\n"), @r#"
    error: `queue.batch_size` is larger than a quarter of `queue.segment_bytes`
      --> pipeline.yaml:5:15
       |
     5 |   batch_size: 1MiB
       |               ^^^^
       = expected a segment that holds at least four record batches

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn retention_against_the_cap() {
    assert_snapshot!(after_pipeline("queue:\n  max_bytes: 1GiB\n  retention: {bytes: 2GiB}\n"), @r#"
    error: `queue.retention.bytes` is more than `queue.max_bytes`
      --> pipeline.yaml:5:22
       |
     5 |   retention: {bytes: 2GiB}
       |                      ^^^^
       = expected at most what the queue may hold

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn a_policy_that_is_none() {
    assert_snapshot!(after_pipeline("queue: {on_full: drop_oldst}\n"), @r#"
    error: `queue.on_full` is `drop_oldst`
      --> pipeline.yaml:3:18
       |
     3 | queue: {on_full: drop_oldst}
       |                  ^^^^^^^^^^
       = expected one of: `block`, `drop_oldest`, `drop_newest`
       = help: did you mean `drop_oldest`?

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn missing_variable() {
    assert_snapshot!(after_pipeline("data_dir: /var/lib/${NO_SUCH_DIR}/x\n"), @r#"
    error: `data_dir`: the environment variable `NO_SUCH_DIR` is not set
      --> pipeline.yaml:3:20
       |
     3 | data_dir: /var/lib/${NO_SUCH_DIR}/x
       |                    ^^^^^^^^^^^^^^
       = help: set it, or give a default: `${NO_SUCH_DIR:-default}`

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn missing_secret_file() {
    assert_snapshot!(after_pipeline(r#"agent: {id: "${file:/does/not/exist}"}
"#), @r#"
    error: `agent.id`: cannot read the file of `${file:/does/not/exist}`: No such file or directory (os error 2)
      --> pipeline.yaml:3:13
       |
     3 | agent: {id: "${file:/does/not/exist}"}
       |             ^^^^^^^^^^^^^^^^^^^^^^^^^
       = help: the file must exist, be readable and hold UTF-8 text

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn value_after_expansion() {
    assert_snapshot!(after_pipeline("queue:\n  partitions: ${MANY}\n"), @r#"
    error: `queue.partitions` is `1000` (after expansion)
      --> pipeline.yaml:4:15
       |
     4 |   partitions: ${MANY}
       |               ^^^^^^^
       = expected a whole number from 1 to 64

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn admin_on_the_network() {
    assert_snapshot!(after_pipeline(r#"admin: {listen: "0.0.0.0:8686"}
"#), @r#"
    error: `admin.listen` is `0.0.0.0:8686`, which others on the network can reach
      --> pipeline.yaml:3:17
       |
     3 | admin: {listen: "0.0.0.0:8686"}
       |                 ^^^^^^^^^^^^^^
       = expected a loopback address such as `127.0.0.1:8686`
       = note: the admin listener asks for no password and shows paths, hosts and errors
       = help: set `admin.allow_remote: true` if a firewall or a pod's network stands before it

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn admin_by_host_name() {
    assert_snapshot!(after_pipeline("admin:\n  listen: localhost:9000\n"), @r#"
    error: `admin.listen` is `localhost:9000`
      --> pipeline.yaml:4:11
       |
     4 |   listen: localhost:9000
       |           ^^^^^^^^^^^^^^
       = expected an address and port such as `127.0.0.1:8686`, or `off`
       = help: write `127.0.0.1:9000`

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn compression_as_a_map() {
    assert_snapshot!(errors(r#"sources: {a: {type: file, include: /a}}
sinks:
  b: {type: http, url: "https://h/", compression: {gzip: 6}}
"#), @r#"
    error: `sinks.b.compression` is a map
      --> pipeline.yaml:3:51
       |
     3 |   b: {type: http, url: "https://h/", compression: {gzip: 6}}
       |                                                   ^
       = expected `none`, `gzip`, or `gzip:1` (fastest) to `gzip:9` (smallest)
       = help: write `compression: gzip:6`

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn retries_have_no_limit() {
    assert_snapshot!(errors(r#"sources: {a: {type: file, include: /a}}
sinks:
  b:
    type: console
    retry: {max_attempts: 3, initial: 1m, max: 1s}
"#), @r#"
    error: retries have no limit here, so that an outage loses nothing
      --> pipeline.yaml:5:13
       |
     5 |     retry: {max_attempts: 3, initial: 1m, max: 1s}
       |             ^^^^^^^^^^^^
       = help: remove it; while a sink is down, its events are safe in the queue

    error: `sinks.b.retry.initial` is longer than `sinks.b.retry.max`
      --> pipeline.yaml:5:48
       |
     5 |     retry: {max_attempts: 3, initial: 1m, max: 1s}
       |                                                ^^
       = expected a first wait that is not longer than the longest

    2 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn compression_of_another_kind() {
    assert_snapshot!(after_pipeline("queue: {compression: gzip}\n"), @r#"
    error: `queue.compression` is `gzip`
      --> pipeline.yaml:3:22
       |
     3 | queue: {compression: gzip}
       |                      ^^^^
       = expected one of: `none`, `lz4`, `zstd`
       = help: did you mean `lz4`?

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}
