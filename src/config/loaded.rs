//! What right configurations are turned into.

use super::load;
use crate::config::Config;
use crate::queue::{Acks, LineEnding, QueueOptions};
use crate::sink::SinkKind;
use crate::sink::{Auth, Compression};
use crate::source::file::{FileEncoding, Joining, LongLine, Preset, StartAt, Watch};
use crate::source::push::PushKind;
use proptest::prelude::*;
use std::path::PathBuf;
use std::time::Duration;

fn env(name: &str) -> Option<String> {
    let value = match name {
        "LOGDIR" => "/var/log/app",
        "ESURL" => "http://127.0.0.1:9200",
        "STATEDIR" => "/var/lib/forebay",
        "ES_PASSWORD" => "x: [}",
        _ => return None,
    };
    Some(value.into())
}

fn config_of(files: &[(&str, &str)]) -> Config {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    load(&[dir.path().to_path_buf()], &env).unwrap_or_else(|errors| panic!("{errors}"))
}

fn config(text: &str) -> Config {
    config_of(&[("pipeline.yaml", text)])
}

#[test]
fn the_smallest_pipeline() {
    let config = config(
        r#"# LOGDIR, ESURL and STATEDIR come from the environment.
data_dir: ${STATEDIR}
sources:
  app:
    type: file
    include: ["${LOGDIR}/*.log"]
sinks:
  search:
    type: elasticsearch
    endpoints: ["${ESURL}"]
    index: logs-app
"#,
    );
    assert_eq!(config.queue, QueueOptions { dir: "/var/lib/forebay".into(), ..QueueOptions::default() });
    assert_eq!(config.sources[0].include, ["/var/log/app/*.log"]);
    assert_eq!(config.sources[0].name, "app");
    let SinkKind::Elasticsearch(search) = &config.sinks[0].kind else { panic!("{config:?}") };
    assert_eq!((search.endpoints.as_slice(), search.index.as_str()), (&["http://127.0.0.1:9200".to_string()][..], "logs-app"));
    assert_eq!(config.sinks[0].name, "search");
    assert!(!config.admin.explicit && config.admin.listen.unwrap().to_string() == "127.0.0.1:8686");
    assert!(!config.host_name.is_empty() && config.warnings.is_empty());
    assert_eq!(config.drain, Duration::from_secs(10));
}

#[test]
fn a_small_queue_has_small_segments_and_batches() {
    for (max_bytes, segment, batch) in [("4MiB", 1 << 20, 256 << 10), ("100MiB", 25 << 20, 1 << 20), ("10GiB", 64 << 20, 1 << 20)] {
        let text =
            format!("queue: {{max_bytes: {max_bytes}}}\nsources: {{a: {{type: file, include: /a}}}}\nsinks: {{c: {{type: console}}}}\n");
        let queue = config(&text).queue;
        assert_eq!((queue.segment_bytes, queue.batch_size), (segment, batch), "{max_bytes}");
    }
}

#[test]
fn a_limit_of_memory_makes_the_queue_smaller_and_never_larger() {
    const MIB: usize = 1 << 20;
    for (memory, buffers, batch) in [("20MiB", 4 * MIB, MIB), ("24MiB", 8 * MIB, MIB), ("32MiB", 16 * MIB, MIB), ("1GiB", 24 * MIB, MIB)] {
        let config = config(&format!(
            "limits: {{memory: {memory}, cpu: 250m}}\nsources: {{a: {{type: file, include: /a}}}}\nsinks: {{c: {{type: console}}}}\n"
        ));
        assert_eq!((config.queue.buffer_memory, config.queue.batch_size), (buffers, batch), "{memory}");
        assert_eq!((config.queue.cpu, config.limits.cpu), (Some(250), Some(250)));
    }
}

#[test]
fn every_key() {
    let config = config(
        r#"
agent: {id: web-7, host_name: web}
queue:
  segment_bytes: 16MiB
  batch_size: 256KiB
  linger: 10ms
  acks: written
  intent: synced
  compression: lz4
  sync_interval: 50ms
  buffer_memory: 8MiB
  max_block: 1m
  max_bytes: 1GiB
  min_free_bytes: 2GiB
  on_full: drop_newest
  retention: {bytes: 100MB, age: 1d, dead_letters: {bytes: 10MB, age: 2d}, absent_groups: 36h}
  partitions: 4
sources:
  app:
    type: file
    include: /var/log/app/*.log
    exclude: [/var/log/app/old.log]
    topic: app
    start_at: end
    idle_flush: 1s
    max_line_bytes: 64KiB
    rescan: 10s
    watch: poll
    poll_interval: 2s
    ignore_older: 7d
    forget_after: 30d
    on_long_line: split
    encoding: utf-16
    line_ending: crlf
    multiline: {preset: java, max_lines: 500, max_bytes: 256KiB, timeout: 2s}
    fields:
      service: {name: shop, version: 1.20}
      env: "${LOGDIR}"
      canary: true
      tags: [a, 1]
  rest: {type: file, include: /var/log/rest.log}
sinks:
  search:
    type: opensearch
    previous_name: find
    topics: app
    endpoints: http://localhost:9200/
    index: logs-%Y.%m.%d
    pipeline: geo
    auth: {user: me, password: "${ES_PASSWORD}"}
    tls: {ca_file: /etc/ca.pem, verify: false}
    compression: gzip:6
    timeout: 1m
    batch: {max_bytes: 1MiB, max_events: 1000, linger: 1s}
    in_flight: 8
    retry: {initial: 1s, max: 1m}
  hook:
    type: http
    url: https://hook/x?y=1
    method: PUT
    format: json_array
    headers: {X-Team: shop}
    auth: {bearer: t}
  disk: {type: file, path: /srv/out.ndjson, rotate_bytes: 1GB, keep: 3}
  screen: {type: console, format: text, enabled: off}
admin: {listen: "[::1]:9999"}
shutdown: {drain: 1m30s}
"#,
    );
    assert_eq!((config.agent_id.as_deref(), config.host_name.as_str()), (Some("web-7"), "web"));
    let queue = &config.queue;
    assert_eq!((queue.compression, queue.intent), (crate::queue::Compression::Lz4, crate::queue::Intent::Synced));
    assert_eq!((queue.acks, queue.segment_bytes, queue.batch_size, queue.partitions), (Acks::Written, 16 << 20, 256 << 10, 4));
    assert_eq!((queue.retention.bytes, queue.retention.age), (100_000_000, Duration::from_secs(86_400)));
    assert_eq!((queue.dead_letters.bytes, queue.dead_letters.age), (10_000_000, Duration::from_secs(2 * 86_400)));
    assert_eq!((queue.min_free_bytes, queue.on_full), (Some(2 << 30), crate::queue::OnFull::DropNewest));
    assert_eq!(queue.absent_groups, Duration::from_secs(36 * 3600));
    let app = &config.sources[0];
    assert_eq!(app.forget_after, Duration::from_secs(30 * 86_400));
    assert_eq!((app.start_at, app.max_line_bytes, app.ignore_older), (StartAt::End, 64 << 10, Some(Duration::from_secs(7 * 86_400))));
    assert_eq!((app.rescan, app.watch, app.poll_interval), (Duration::from_secs(10), Watch::Poll, Duration::from_secs(2)));
    let multiline = app.multiline.as_ref().unwrap();
    assert_eq!((&multiline.joining, multiline.max_lines, multiline.max_bytes), (&Joining::Preset(Preset::Java), 500, Some(256 << 10)));
    assert_eq!((app.encoding, app.line_ending, app.on_long_line), (FileEncoding::Utf16, LineEnding::Crlf, LongLine::Split));
    let fields: Vec<String> = app.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(fields, ["service.name=\"shop\"", "service.version=\"1.20\"", "env=\"/var/log/app\"", "canary=true", "tags=[\"a\",1]"]);
    assert_eq!(config.sinks.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["search", "hook", "disk"]);
    let SinkKind::Elasticsearch(search) = &config.sinks[0].kind else { panic!("{config:?}") };
    let Auth::Basic { user, password } = &search.connection.auth else { panic!("{search:?}") };
    assert_eq!((user.expose(), password.expose()), ("me", "x: [}"));
    assert_eq!(
        (search.connection.compression, search.connection.tls.insecure, search.endpoints[0].as_str()),
        (Compression::Gzip(6), true, "http://localhost:9200")
    );
    let SinkKind::Http(hook) = &config.sinks[1].kind else { panic!("{config:?}") };
    assert_eq!((hook.url.as_str(), hook.method.as_str()), ("https://hook/x?y=1", "PUT"));
    assert_eq!(config.admin.listen.unwrap().to_string(), "[::1]:9999");
    assert!(config.admin.explicit && config.drain == Duration::from_secs(90));
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    assert!(!format!("{config:?}").contains("x: [}"));
}

#[test]
fn every_key_of_the_sources_that_are_pushed_to() {
    let config = config(
        r#"
sources:
  in: {type: stdin, topic: in, max_line_bytes: 64KiB, fields: {a: 1}}
  api: {type: http, listen: "0.0.0.0:9201", max_body: 2MiB, auth: {bearer: "${ES_PASSWORD}"}}
  near: {type: http}
  net:
    type: syslog
    listen: ["udp://127.0.0.1:514", "tcp://[::1]:601", "tls://0.0.0.0:6514", "unix:/run/a.sock", "unixgram:/run/b.sock"]
    tls: {cert_file: /c.pem, key_file: /k.pem, ca_file: /ca.pem}
    receive_buffer: 1MiB
    max_connections: 8
  sys: {type: journald, units: [a.service, b.service], directory: /host/journal, journalctl_path: /bin/jc, start_at: end}
  off: {type: syslog, enabled: false}
sinks: {out: {type: console}}
"#,
    );
    assert!(config.sources.is_empty() && config.warnings.is_empty(), "{:?}", config.warnings);
    let origins: Vec<String> =
        config.inputs.iter().map(|i| format!("{} {} {}: {}", i.name, i.topic, i.max_line_bytes, i.origin().1)).collect();
    assert_eq!(
        origins,
        [
            "in in 65536: lines until its end",
            "api logs 1048576: http://0.0.0.0:9201",
            "near logs 1048576: http://127.0.0.1:9200",
            "net logs 65536: udp://127.0.0.1:514, tcp://[::1]:601, tls://0.0.0.0:6514, unix:/run/a.sock, unixgram:/run/b.sock",
            "sys logs 1048576: a.service, b.service, by /bin/jc",
        ]
    );
    let [_, PushKind::Http(api), _, PushKind::Syslog(net), PushKind::Journald(sys)] = [0, 1, 2, 3, 4].map(|n| &config.inputs[n].kind)
    else {
        panic!("{config:?}")
    };
    assert!(matches!(&api.auth, Auth::Bearer(token) if token.expose() == "x: [}") && api.max_body == 2 << 20);
    assert_eq!((net.receive_buffer, net.max_connections), (1 << 20, 8));
    assert_eq!(net.tls.as_ref().unwrap().ca_file.as_deref(), Some(std::path::Path::new("/ca.pem")));
    assert!(sys.start_at_end && sys.directory.as_deref() == Some(std::path::Path::new("/host/journal")));
    assert!(!format!("{config:?}").contains("x: [}"));
}

#[test]
fn a_folder_is_one_configuration() {
    let config = config_of(&[
        ("10-app.yaml", "sources: {a: {type: file, include: /a, topic: a}}\n"),
        ("20-web.yml", "sources: {b: {type: file, include: /b, topic: b}}\n"),
        ("30-sinks.yaml", "sinks: {o: {type: console, topics: [a]}}\nadmin: off\n"),
        ("40-empty.yaml", "# nothing yet\n"),
        ("README.md", "not: [yaml"),
    ]);
    assert_eq!(config.sources.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(config.admin.listen, None);
    let warning = &config.warnings[0];
    assert!(warning.contains("20-web.yml:1:") && warning.contains("no sink reads the topic `b`"), "{warning}");
}

#[test]
fn a_disabled_sink_may_lack_its_variable() {
    let text = "sources: {a: {type: file, include: /a}}
sinks:
  screen: {type: console}
  search: {type: elasticsearch, enabled: \"${NO_URL:+true}\", endpoints: \"${NO_URL}\", auth: {user: \"${U}\", password: \"${P}\"}}
";
    assert_eq!(config(text).sinks.len(), 1);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.yaml");
    std::fs::write(&path, text.replace("endpoints", "endpoint")).unwrap();
    let errors = load(&[path], &env).unwrap_err();
    assert_eq!(errors.errors().len(), 1, "{errors}");
    assert!(errors.errors()[0].message.contains("unknown key `endpoint`"));
}

#[test]
fn an_api_key_over_plain_http_is_warned_of() {
    let text = "sources: {a: {type: file, include: /a}}\nsinks: {s: {type: elasticsearch, endpoints: \"http://search:9200\", auth: {api_key: k}}}\n";
    assert!(config(text).warnings[0].contains("unencrypted"));
}

#[test]
fn a_field_of_a_target_that_no_source_has_is_warned_of() {
    let of = |index: &str| {
        config(&format!(
            "sources: {{a: {{type: file, include: /a, fields: {{service.name: x}}}}}}\nsinks: {{s: {{type: elasticsearch, endpoints: \"http://localhost:9200\", index: \"{index}\"}}}}\n"
        ))
        .warnings
    };
    assert!(of("{service.name}-{host.name}-{tier:none}").is_empty());
    let warned = of("{service.name}-{service.nam}");
    assert!(warned.len() == 1 && warned[0].contains("names the field `service.nam`, which no source has"), "{warned:?}");
}

/// A word of a configuration, right or wrong.
fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "sources",
        "sinks",
        "queue",
        "admin",
        "type",
        "file",
        "console",
        "elasticsearch",
        "include",
        "endpoints",
        "auth",
        "password",
        "topics",
        "a",
        "b",
        "${X}",
        "${LOGDIR}",
        "/var/*",
        "off",
        "5s",
        "10MiB",
        "batch",
        "fields",
        "multiline",
        "enabled",
        "http",
        "url",
        "headers",
        "index",
        "~",
        "''",
        "compression",
        "$",
        "retry",
        "process",
        "stdin",
        "syslog",
        "journald",
        "listen",
        "tls",
        "units",
        "udp://127.0.0.1:1",
    ])
    .prop_map(str::to_string)
}

fn tree() -> impl Strategy<Value = String> {
    word().prop_recursive(5, 60, 5, |inner| {
        prop_oneof![
            prop::collection::vec((word(), inner.clone()), 0..5).prop_map(|entries| {
                let entries: Vec<String> = entries.into_iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
                format!("{{{}}}", entries.join(", "))
            }),
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_configuration_gives_options_or_mistakes(text in tree()) {
        let dir = tempfile::tempdir().unwrap();
        let path: PathBuf = dir.path().join("p.yaml");
        std::fs::write(&path, &text).unwrap();
        match load(&[path], &env) {
            Ok(config) => prop_assert!(config.sources.len() + config.inputs.len() > 0 && !config.sinks.is_empty()),
            Err(errors) => prop_assert!(!errors.errors().is_empty() && !errors.render(true).is_empty()),
        }
    }
}
