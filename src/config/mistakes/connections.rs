//! Mistakes in what says how to connect.

use super::errors;
use insta::assert_snapshot;

#[test]
fn the_way_through_a_proxy() {
    assert_snapshot!(errors(r#"sources: {a: {type: file, include: /a}}
sinks:
  b: {type: http, url: https://h/, proxy: https://proxy:3128}
  c: {type: http, url: https://h/, proxy: "http://me:hunter2@proxy:3128"}
  d: {type: http, url: https://h/, proxy: {url: http://proxy:3128, user: me}}
  e: {type: http, url: https://h/, proxy: enviroment}
  f: {type: http, url: https://h/, proxy: {user: me, password: hunter2}}
"#), @r#"
    error: `sinks.b.proxy` cannot be used
      --> pipeline.yaml:3:43
       |
     3 |   b: {type: http, url: https://h/, proxy: https://proxy:3128}
       |                                           ^^^^^^^^^^^^^^^^^^
       = expected `http://HOST:PORT` without a path
       = help: a proxy is spoken to over plain HTTP; what it passes on (`https://` to the endpoint) is encrypted all the way

    error: `sinks.c.proxy` has a user or password in the URL, where it would end up in logs and errors
      --> pipeline.yaml:4:43
       |
     4 |   c: {type: http, url: https://h/, proxy: "http://***@proxy:3128"}
       |                             ^^^
       = expected a URL without credentials
       = help: write `proxy: {url: …, user: …, password: "${PROXY_PASSWORD}"}`

    error: `sinks.d.proxy` needs both `user` and `password`, or neither
      --> pipeline.yaml:5:43
       |
     5 |   d: {type: http, url: https://h/, proxy: {url: http://proxy:3128, user: me}}
       |                                           ^
       = expected a log-in

    error: `sinks.e.proxy` is `enviroment`
      --> pipeline.yaml:6:43
       |
     6 |   e: {type: http, url: https://h/, proxy: enviroment}
       |                                           ^^^^^^^^^^
       = expected a URL such as `http://proxy:3128`, `environment` or `none`
       = help: did you mean `environment`?

    error: `sinks.f.proxy` has no `url`
      --> pipeline.yaml:7:36
       |
     7 |   f: {type: http, url: https://h/, proxy: {user: me, password: ***
       |                                    ^^^^^
       = expected a URL such as `http://proxy:3128`

    5 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn tls_and_log_in() {
    assert_snapshot!(errors(r#"sources: {a: {type: file, include: /a}}
sinks:
  b:
    type: http
    url: https://h/
    tls: {server_name: "https://search:9200", min_version: 1.1, cert_file: /c.pem}
    auth: {api_key: {id: x, secret: hunter2}}
"#), @r#"
    error: `sinks.b.tls` needs both `cert_file` and `key_file`, or neither
      --> pipeline.yaml:6:10
       |
     6 |     tls: {server_name: "https://search:9200", min_version: 1.1, cert_file: /c.pem}
       |          ^
       = expected a certificate with its key

    error: `sinks.b.tls.server_name` is `https://search:9200`
      --> pipeline.yaml:6:24
       |
     6 |     tls: {server_name: "https://search:9200", min_version: 1.1, cert_file: /c.pem}
       |                        ^^^^^^^^^^^^^^^^^^^^^
       = expected the name in the server's certificate, such as `search.example.com`: no URL, no port

    error: `sinks.b.tls.min_version` is `1.1`
      --> pipeline.yaml:6:60
       |
     6 |     tls: {server_name: "https://search:9200", min_version: 1.1, cert_file: /c.pem}
       |                                                            ^^^
       = expected one of: `1.2`, `1.3`
       = help: did you mean `1.2`?

    error: `sinks.b.auth.api_key` has no `key`
      --> pipeline.yaml:7:12
       |
     7 |     auth: {api_key: ***
       |            ^^^^^^^
       = expected the `api_key` that Elasticsearch hands out with it

    error: unknown key `secret` in sinks.b.auth.api_key
      --> pipeline.yaml:7:29
       |
     7 |     auth: {api_key: ***
       |                     ^^^
       = expected one of: id, key

    5 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn cloud_ids() {
    assert_snapshot!(errors(r#"sources: {a: {type: file, include: /a}}
sinks:
  b: {type: elasticsearch, cloud_id: "prod:ZXUtd2VzdC0x!"}
  c: {type: elasticsearch, cloud_id: "prod:"}
  d: {type: elasticsearch, cloud_id: "prod:Zm91bmQuaW8kZXMk", endpoints: https://search:9200}
  e: {type: elasticsearch}
"#), @r#"
    error: `sinks.b.cloud_id` is `prod:ZXUtd2VzdC0x!`
      --> pipeline.yaml:3:38
       |
     3 |   b: {type: elasticsearch, cloud_id: "prod:ZXUtd2VzdC0x!"}
       |                                      ^^^^^^^^^^^^^^^^^^^^
       = expected a cloud ID as Elastic Cloud shows it: a name, `:`, and base64
       = help: what follows the `:` is no base64; was it copied whole?

    error: `sinks.c.cloud_id` is `prod:`
      --> pipeline.yaml:4:38
       |
     4 |   c: {type: elasticsearch, cloud_id: "prod:"}
       |                                      ^^^^^^^
       = expected a cloud ID as Elastic Cloud shows it: a name, `:`, and base64
       = help: nothing follows the `:`; was it copied whole?

    error: `sinks.d` has both `cloud_id` and `endpoints`
      --> pipeline.yaml:5:38
       |
     5 |   d: {type: elasticsearch, cloud_id: "prod:Zm91bmQuaW8kZXMk", endpoints: https://search:9200}
       |                                      ^^^^^^^^^^^^^^^^^^^^^^^
       = expected one of the two

    error: `sinks.e` has no `endpoints`
      --> pipeline.yaml:6:3
       |
     6 |   e: {type: elasticsearch}
       |   ^
       = expected base URLs such as `https://search:9200`, or `cloud_id`

    4 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}
