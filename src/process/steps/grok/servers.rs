//! Patterns of whole lines of servers and frameworks, with the names of ECS.

use super::standard::Table;

pub(super) const TABLE: Table = &[
    // Syslog.
    ("PROG", r"[\x21-\x5a\x5c\x5e-\x7e]+"),
    ("SYSLOGPROG", r"%{PROG:process.name}(?:\[%{POSINT:process.pid:int}\])?"),
    ("SYSLOGHOST", "%{IPORHOST}"),
    ("SYSLOGFACILITY", "<%{NONNEGINT:log.syslog.facility.code:int}.%{NONNEGINT:log.syslog.priority:int}>"),
    ("SYSLOGBASE", "%{SYSLOGTIMESTAMP:timestamp} (?:%{SYSLOGFACILITY} )?(?:%{SYSLOGHOST:host.hostname} )?%{SYSLOGPROG}:"),
    (
        "SYSLOGBASE2",
        "(?:%{SYSLOGTIMESTAMP:timestamp}|%{TIMESTAMP_ISO8601:timestamp}) (?:%{SYSLOGFACILITY} )?(?:%{SYSLOGHOST:host.hostname} )?(?:%{SYSLOGPROG}:)?",
    ),
    ("SYSLOGLINE", "%{SYSLOGBASE2} %{GREEDYDATA:message}"),
    (
        "SYSLOGPAMSESSION",
        r"%{SYSLOGBASE} (?:%{DATA})?\(%{DATA:system.auth.pam.module}\): session %{WORD:system.auth.pam.session_state} for user %{USERNAME:user.name}(?: by %{GREEDYDATA:system.auth.pam.origin_user.name})?",
    ),
    ("CRON_ACTION", "[A-Z ]+"),
    ("CRONLOG", r"%{SYSLOGBASE} \(%{USER:user.name}\) %{CRON_ACTION:system.cron.action} \(%{DATA:message}\)"),
    ("SYSLOG5424PRINTASCII", "[!-~]+"),
    ("SYSLOG5424PRI", "<%{NONNEGINT:log.syslog.priority:int}>"),
    ("SYSLOG5424SD", r#"(?:\[(?:[^\]"\\]|\\.|"(?:[^"\\]|\\.)*")*\])+"#),
    (
        "SYSLOG5424BASE",
        "%{SYSLOG5424PRI}%{NONNEGINT:log.syslog.version} +(?:-|%{TIMESTAMP_ISO8601:timestamp}) +(?:-|%{IPORHOST:host.hostname}) +(?:-|%{SYSLOG5424PRINTASCII:process.name}) +(?:-|%{POSINT:process.pid:int}|%{SYSLOG5424PRINTASCII:log.syslog.procid}) +(?:-|%{SYSLOG5424PRINTASCII:event.code}) +(?:-|%{SYSLOG5424SD:system.syslog.structured_data})?",
    ),
    ("SYSLOG5424LINE", "%{SYSLOG5424BASE} +%{GREEDYDATA:message}"),
    // Apache and what writes like it.
    ("HTTPDUSER", "%{EMAILADDRESS}|%{USER}"),
    (
        "HTTPD_COMMONLOG",
        r#"%{IPORHOST:source.address} (?:-|%{HTTPDUSER:apache.access.user.identity}) (?:-|%{HTTPDUSER:user.name}) \[%{HTTPDATE:timestamp}\] "(?:%{WORD:http.request.method} %{NOTSPACE:url.original}(?: HTTP/%{NUMBER:http.version})?|%{DATA})" (?:-|%{INT:http.response.status_code:int}) (?:-|%{INT:http.response.body.bytes:int})"#,
    ),
    (
        "HTTPD_COMBINEDLOG",
        r#"%{HTTPD_COMMONLOG} "(?:-|(?<http.request.referrer>(?:[^"\\]|\\.)*))" "(?:-|(?<user_agent.original>(?:[^"\\]|\\.)*))""#,
    ),
    ("COMMONAPACHELOG", "%{HTTPD_COMMONLOG}"),
    ("COMBINEDAPACHELOG", "%{HTTPD_COMBINEDLOG}"),
    (
        "HTTPD20_ERRORLOG",
        r"\[%{HTTPDERROR_DATE:timestamp}\] \[%{LOGLEVEL:log.level}\] (?:\[client %{IPORHOST:source.address}\] )?%{GREEDYDATA:message}",
    ),
    (
        "HTTPD24_ERRORLOG",
        r"\[%{HTTPDERROR_DATE:timestamp}\] \[(?:%{WORD:apache.error.module})?:%{LOGLEVEL:log.level}\] \[pid %{POSINT:process.pid:int}(?::tid %{INT:process.thread.id:int})?\](?: \(%{POSINT:apache.error.proxy.error.code}\)%{DATA:apache.error.proxy.error.message}:)?(?: \[client %{IPORHOST:source.address}(?::%{POSINT:source.port:int})?\])?(?: %{WORD:error.code}:)? %{GREEDYDATA:message}",
    ),
    ("HTTPD_ERRORLOG", "%{HTTPD20_ERRORLOG}|%{HTTPD24_ERRORLOG}"),
    // Java.
    ("JAVACLASS", r"(?:[A-Za-z$_][A-Za-z$_0-9]*\.)*[A-Za-z$_][A-Za-z$_0-9]*"),
    ("JAVAFILE", "[A-Za-z$_0-9. -]+"),
    ("JAVAMETHOD", "<(?:cl)?init>|[A-Za-z$_][A-Za-z$_0-9]*"),
    (
        "JAVASTACKTRACEPART",
        r"%{SPACE}at %{JAVACLASS:java.log.origin.class.name}\.%{JAVAMETHOD:log.origin.function}\(%{JAVAFILE:log.origin.file.name}(?::%{INT:log.origin.file.line:int})?\)",
    ),
    ("JAVATHREAD", "(?:[A-Z]{2}-Processor[0-9]+)"),
    ("JAVALOGMESSAGE", ".*"),
    (
        "CATALINA7_LOG",
        r"%{CATALINA7_DATESTAMP:timestamp} %{JAVACLASS:java.log.origin.class.name}(?: %{JAVAMETHOD:log.origin.function})?\s*(?:%{LOGLEVEL:log.level}:)? %{JAVALOGMESSAGE:message}",
    ),
    (
        "CATALINA8_LOG",
        r"%{CATALINA8_DATESTAMP:timestamp} %{LOGLEVEL:log.level} \[%{DATA:java.log.origin.thread.name}\] %{JAVACLASS:java.log.origin.class.name}\.(?:%{JAVAMETHOD:log.origin.function})? %{JAVALOGMESSAGE:message}",
    ),
    ("CATALINALOG", "%{CATALINA8_LOG}|%{CATALINA7_LOG}"),
    (
        "TOMCATLEGACY_LOG",
        r"%{TOMCATLEGACY_DATESTAMP:timestamp} \| %{LOGLEVEL:log.level} \| %{JAVACLASS:java.log.origin.class.name} - %{JAVALOGMESSAGE:message}",
    ),
    ("TOMCAT7_LOG", "%{CATALINA7_LOG}"),
    ("TOMCAT8_LOG", "%{CATALINA8_LOG}"),
    ("TOMCATLOG", "%{TOMCAT8_LOG}|%{TOMCAT7_LOG}|%{TOMCATLEGACY_LOG}"),
    // Stores.
    ("REDISLOG", r"\[%{POSINT:process.pid:int}\] %{REDISTIMESTAMP:timestamp} \* "),
    (
        "REDISLOG4",
        r"%{POSINT:process.pid:int}:[XCSM] (?:%{REDIS4TIMESTAMP:timestamp}|%{REDISTIMESTAMP:timestamp}) [.\-*#] %{GREEDYDATA:message}",
    ),
    (
        "REDISMONLOG",
        r#"%{NUMBER:timestamp} \[%{INT:redis.database.id} %{IP:client.ip}:%{POSINT:client.port:int}\] "%{WORD:redis.command.name}"(?: %{GREEDYDATA:redis.command.args})?"#,
    ),
    ("MONGO_WORDDASH", r"\b[\w-]+\b"),
    ("MONGO3_SEVERITY", r"\w"),
    ("MONGO3_COMPONENT", "%{WORD}"),
    (
        "MONGO3_LOG",
        r"%{TIMESTAMP_ISO8601:timestamp} %{MONGO3_SEVERITY:log.level} (?:-|%{MONGO3_COMPONENT:mongodb.component}) *(?:\[%{DATA:mongodb.context}\])? %{GREEDYDATA:message}",
    ),
    ("MONGO_LOG", r"%{SYSLOGTIMESTAMP:timestamp} \[%{WORD:mongodb.component}\] %{GREEDYDATA:message}"),
    ("MONGO_QUERY", r"\{ [^}]* \}"),
    (
        "MONGO_SLOWQUERY",
        r"%{WORD:mongodb.profile.op} %{MONGO_WORDDASH:mongodb.database}\.%{MONGO_WORDDASH:mongodb.collection} %{WORD}: %{MONGO_QUERY:mongodb.query.original} ntoreturn:%{NONNEGINT:mongodb.profile.ntoreturn:int} ntoskip:%{NONNEGINT:mongodb.profile.ntoskip:int} nscanned:%{NONNEGINT:mongodb.profile.nscanned:int}.*? nreturned:%{NONNEGINT:mongodb.profile.nreturned:int}.*? %{INT:mongodb.profile.duration:int}ms",
    ),
    (
        "POSTGRESQL",
        "%{DATESTAMP:timestamp} %{TZ:event.timezone} %{DATA:user.name} %{GREEDYDATA:postgresql.log.connection_id} %{POSINT:process.pid:int}",
    ),
    // Ruby.
    ("RUBY_LOGLEVEL", "DEBUG|FATAL|ERROR|WARN|INFO"),
    (
        "RUBY_LOGGER",
        r"[DFEWI], \[%{TIMESTAMP_ISO8601:timestamp} #%{POSINT:process.pid:int}\] *%{RUBY_LOGLEVEL:log.level} -- +%{DATA:process.name}: %{GREEDYDATA:message}",
    ),
    ("RUUID", r"\h{32}"),
    ("RCONTROLLER", "(?<rails.controller.class>[^#]+)#(?<rails.controller.action>.+)"),
    (
        "RAILS3HEAD",
        r#"Started %{WORD:http.request.method} "%{URIPATHPARAM:url.original}" for %{IPORHOST:source.address} at (?<timestamp>%{YEAR}-%{MONTHNUM}-%{MONTHDAY} %{HOUR}:%{MINUTE}:%{SECOND} %{ISO8601_TIMEZONE})"#,
    ),
    (
        "RPROCESSING",
        r"\s*Processing by %{RCONTROLLER} as (?<rails.request.format>\S+)(?:\s*Parameters: \{%{DATA:rails.request.params}\}\s*)?",
    ),
    (
        "RAILS3FOOT",
        r"Completed %{POSINT:http.response.status_code:int} %{DATA} in %{NUMBER:rails.request.duration.total:float}ms(?: %{RAILS3PROFILE})?",
    ),
    (
        "RAILS3PROFILE",
        r"\(Views: %{NUMBER:rails.request.duration.view:float}ms \| ActiveRecord: %{NUMBER:rails.request.duration.active_record:float}ms|\(ActiveRecord: %{NUMBER:rails.request.duration.active_record:float}ms",
    ),
    ("RAILS3", r"%{RAILS3HEAD}(?:%{RPROCESSING})?(?<rails.request.explain.original>(?:%{DATA}\n)*)(?:%{RAILS3FOOT})?"),
    // HAProxy.
    ("HAPROXYCAPTUREDREQUESTHEADERS", "%{DATA:haproxy.http.request.captured_headers}"),
    ("HAPROXYCAPTUREDRESPONSEHEADERS", "%{DATA:haproxy.http.response.captured_headers}"),
    (
        "HAPROXYHTTPBASE",
        r#"%{IP:source.address}:%{INT:source.port:int} \[%{HAPROXYDATE:haproxy.request_date}\] %{NOTSPACE:haproxy.frontend_name} %{NOTSPACE:haproxy.backend_name}/(?:<NOSRV>|%{NOTSPACE:haproxy.server_name}) (?:-1|%{INT:haproxy.http.request.time_wait_ms:int})/(?:-1|%{INT:haproxy.total_waiting_time_ms:int})/(?:-1|%{INT:haproxy.connection_wait_time_ms:int})/(?:-1|%{INT:haproxy.http.request.time_wait_without_data_ms:int})/\+?%{INT:temp.duration:int} %{INT:http.response.status_code:int} \+?%{INT:source.bytes:int} (?:-|%{DATA:haproxy.http.request.captured_cookie}) (?:-|%{DATA:haproxy.http.response.captured_cookie}) %{NOTSPACE:haproxy.termination_state} %{INT:haproxy.connections.active:int}/%{INT:haproxy.connections.frontend:int}/%{INT:haproxy.connections.backend:int}/%{INT:haproxy.connections.server:int}/\+?%{INT:haproxy.connections.retries:int} %{INT:haproxy.server_queue:int}/%{INT:haproxy.backend_queue:int}(?: \{%{HAPROXYCAPTUREDREQUESTHEADERS}\}(?: \{%{HAPROXYCAPTUREDRESPONSEHEADERS}\})?)?(?: %{HAPROXYURI})?"#,
    ),
    ("HAPROXYURI", r#""(?:<BADREQ>|%{WORD:http.request.method} (?<url.original>\S+)(?: HTTP/%{NUMBER:http.version})?)?"?"#),
    (
        "HAPROXYHTTP",
        "(?:%{SYSLOGTIMESTAMP:timestamp}|%{TIMESTAMP_ISO8601:timestamp}) %{IPORHOST:host.hostname} %{SYSLOGPROG}: %{HAPROXYHTTPBASE}",
    ),
    (
        "HAPROXYTCP",
        r"(?:%{SYSLOGTIMESTAMP:timestamp}|%{TIMESTAMP_ISO8601:timestamp}) %{IPORHOST:host.hostname} %{SYSLOGPROG}: %{IP:source.address}:%{INT:source.port:int} \[%{HAPROXYDATE:haproxy.request_date}\] %{NOTSPACE:haproxy.frontend_name} %{NOTSPACE:haproxy.backend_name}/(?:<NOSRV>|%{NOTSPACE:haproxy.server_name}) (?:-1|%{INT:haproxy.total_waiting_time_ms:int})/(?:-1|%{INT:haproxy.connection_wait_time_ms:int})/\+?%{INT:temp.duration:int} \+?%{INT:source.bytes:int} %{NOTSPACE:haproxy.termination_state} %{INT:haproxy.connections.active:int}/%{INT:haproxy.connections.frontend:int}/%{INT:haproxy.connections.backend:int}/%{INT:haproxy.connections.server:int}/\+?%{INT:haproxy.connections.retries:int} %{INT:haproxy.server_queue:int}/%{INT:haproxy.backend_queue:int}",
    ),
    // Others.
    (
        "SQUID3",
        r"%{NUMBER:timestamp}\s+%{NUMBER:squid.request.duration:int}\s%{IP:source.ip}\s%{WORD:event.action}/%{POSINT:http.response.status_code:int}\s%{INT:http.response.bytes:int}\s%{WORD:http.request.method}\s%{NOTSPACE:url.original}\s(?:-|%{NOTSPACE:user.name})\s%{WORD:squid.hierarchy_code}/(?:-|%{IPORHOST:destination.address})\s(?:-|%{NOTSPACE:http.response.mime_type})",
    ),
    ("MAVEN_VERSION", r"(?:\d+)\.(?:\d+)(?:\.(?:\d+))?(?:[.-](?:[A-Za-z]+)(?:[.-]?\d+)?)?"),
    ("MCOLLECTIVE", r"., \[%{TIMESTAMP_ISO8601:timestamp} #%{POSINT:process.pid:int}\]%{SPACE}%{LOGLEVEL:log.level}"),
    ("MCOLLECTIVEAUDIT", "%{TIMESTAMP_ISO8601:timestamp}:"),
    ("S3_REQUEST_LINE", "(?:%{WORD:http.request.method} %{NOTSPACE:url.original}(?: HTTP/%{NUMBER:http.version})?)"),
    (
        "S3_ACCESS_LOG",
        r#"%{WORD:aws.s3access.bucket_owner} %{NOTSPACE:aws.s3access.bucket} \[%{HTTPDATE:timestamp}\] (?:-|%{IP:client.ip}) (?:-|%{NOTSPACE:client.user.id}) %{NOTSPACE:aws.s3access.request_id} %{NOTSPACE:aws.s3access.operation} (?:-|%{NOTSPACE:aws.s3access.key}) (?:-|"%{S3_REQUEST_LINE:aws.s3access.request_uri}") (?:-|%{INT:http.response.status_code:int}) (?:-|%{NOTSPACE:aws.s3access.error_code}) (?:-|%{INT:aws.s3access.bytes_sent:int}) (?:-|%{INT:aws.s3access.object_size:int}) (?:-|%{INT:aws.s3access.total_time:int}) (?:-|%{INT:aws.s3access.turn_around_time:int}) "(?:-|%{DATA:http.request.referrer})" "(?:-|%{DATA:user_agent.original})" (?:-|%{NOTSPACE:aws.s3access.version_id})"#,
    ),
    ("ELB_URIHOST", "%{IPORHOST:url.domain}(?::%{POSINT:url.port:int})?"),
    ("ELB_URI", r"%{URIPROTO:url.scheme}://(?:%{ELB_URIHOST})?(?:%{URIPATH:url.path}(?:\?%{URIQUERY:url.query})?)?"),
    ("ELB_REQUEST_LINE", "(?:%{WORD:http.request.method} %{ELB_URI:url.original}(?: HTTP/%{NUMBER:http.version})?)"),
    (
        "ELB_V1_HTTP_LOG",
        r#"%{TIMESTAMP_ISO8601:timestamp} %{NOTSPACE:aws.elb.name} %{IP:source.ip}:%{INT:source.port:int} (?:-|%{IP:aws.elb.backend.ip}:%{INT:aws.elb.backend.port:int}) (?:-1|%{NUMBER:aws.elb.request_processing_time.sec:float}) (?:-1|%{NUMBER:aws.elb.backend_processing_time.sec:float}) (?:-1|%{NUMBER:aws.elb.response_processing_time.sec:float}) %{INT:http.response.status_code:int} (?:-|%{INT:aws.elb.backend.http.response.status_code:int}) %{INT:http.request.body.bytes:int} %{INT:http.response.body.bytes:int} "%{ELB_REQUEST_LINE}"(?: "(?:-|%{DATA:user_agent.original})" (?:-|%{NOTSPACE:tls.cipher}) (?:-|%{NOTSPACE:aws.elb.ssl_protocol}))?"#,
    ),
    ("ELB_ACCESS_LOG", "%{ELB_V1_HTTP_LOG}"),
    (
        "CLOUDFRONT_ACCESS_LOG",
        r"(?<timestamp>%{YEAR}-%{MONTHNUM}-%{MONTHDAY}\t%{TIME})\t%{WORD:aws.cloudfront.x_edge_location}\t(?:-|%{INT:destination.bytes:int})\t%{IPORHOST:source.ip}\t%{WORD:http.request.method}\t%{HOSTNAME:url.domain}\t%{NOTSPACE:url.path}\t(?:000|%{INT:http.response.status_code:int})\t(?:-|%{DATA:http.request.referrer})\t%{DATA:user_agent.original}\t(?:-|%{DATA:url.query})\t(?:-|%{DATA:aws.cloudfront.http.request.cookie})\t%{WORD:aws.cloudfront.x_edge_result_type}\t%{NOTSPACE:aws.cloudfront.x_edge_request_id}\t%{HOSTNAME:aws.cloudfront.http.request.host}\t%{URIPROTO:network.protocol}\t(?:-|%{INT:source.bytes:int})\t%{NUMBER:aws.cloudfront.time_taken:float}\t(?:-|%{IP:network.forwarded_ip})\t(?:-|%{NOTSPACE:aws.cloudfront.ssl_protocol})\t(?:-|%{NOTSPACE:tls.cipher})\t%{WORD:aws.cloudfront.x_edge_response_result_type}",
    ),
];
