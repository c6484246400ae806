//! Patterns of firewalls, name servers, mail, monitoring and backup.

use super::standard::Table;

pub(super) const TABLE: Table = &[
    // Name servers.
    (
        "BIND9_DNSTYPE",
        "A|AAAA|CAA|CDNSKEY|CDS|CERT|CNAME|CSYNC|DLV|DNAME|DNSKEY|DS|HINFO|LOC|MX|NAPTR|NS|NSEC|NSEC3|OPENPGPKEY|PTR|RRSIG|RP|SIG|SMIMEA|SOA|SRV|TSIG|TXT|URI",
    ),
    ("BIND9_CATEGORY", "queries"),
    (
        "BIND9_QUERYLOGBASE",
        r"client(?: @0x\h+)? %{IP:client.ip}#%{POSINT:client.port:int} \(%{DATA:bind.log.question.name}\): query: %{NOTSPACE:dns.question.name} (?<dns.question.class>IN) %{BIND9_DNSTYPE:dns.question.type}(?: %{NOTSPACE:bind.log.question.flags})? \(%{IP:server.ip}\)",
    ),
    ("BIND9_QUERYLOG", r"%{BIND9_TIMESTAMP:timestamp} %{BIND9_CATEGORY:bind.log.category}: %{LOGLEVEL:log.level}: %{BIND9_QUERYLOGBASE}"),
    ("BIND9", "%{BIND9_QUERYLOG}"),
    // Mail.
    ("EXIM_MSGID", "[0-9A-Za-z]{6}-[0-9A-Za-z]{6}-[0-9A-Za-z]{2}"),
    ("EXIM_FLAGS", r"<=|=>|->|\*>|\*\*|==|<>|>>"),
    ("EXIM_PID", r"\[%{POSINT:process.pid:int}\]"),
    ("EXIM_QT", "(?:[0-9]+y)?(?:[0-9]+w)?(?:[0-9]+d)?(?:[0-9]+h)?(?:[0-9]+m)?(?:[0-9]+s)?"),
    (
        "EXIM_REMOTE_HOST",
        r"H=(?:%{NOTSPACE:source.address} )?(?:\(%{NOTSPACE:exim.log.remote_address}\) )?\[%{IP:source.ip}\](?::%{POSINT:source.port:int})?",
    ),
    ("EXIM_INTERFACE", r"I=\[%{IP:destination.ip}\](?::%{NUMBER:destination.port:int})"),
    ("EXIM_PROTOCOL", "P=%{NOTSPACE:network.protocol}"),
    ("EXIM_MSG_SIZE", "S=%{NUMBER:exim.log.message.body.size:int}"),
    ("EXIM_HEADER_ID", "id=%{NOTSPACE:exim.log.header_id}"),
    ("EXIM_QUOTED_CONTENT", r#"(?:\\.|[^\\"])*"#),
    ("EXIM_SUBJECT", r#"T="%{EXIM_QUOTED_CONTENT:exim.log.message.subject}""#),
    (
        "EXIM_MESSAGE_ARRIVAL",
        r"%{EXIM_DATE:timestamp} (?:%{EXIM_PID} )?%{EXIM_MSGID:exim.log.message.id} (?<exim.log.flags><=) (?<exim.log.sender.original>\S+)(?: %{EXIM_REMOTE_HOST})?(?: %{EXIM_INTERFACE})?(?: %{EXIM_PROTOCOL})?(?: %{EXIM_MSG_SIZE})?(?: %{EXIM_HEADER_ID})?(?: %{EXIM_SUBJECT})?",
    ),
    ("EXIM", "%{EXIM_MESSAGE_ARRIVAL}"),
    // Firewalls.
    ("CISCOTAG", r"[A-Z0-9]+-%{INT}-(?:[A-Z0-9_]+)"),
    (
        "CISCO_TAGGED_SYSLOG",
        r"(?:<%{POSINT:log.syslog.priority:int}>)?%{CISCOTIMESTAMP:timestamp}(?: %{SYSLOGHOST:host.hostname})? ?: ?%%{CISCOTAG:cisco.asa.tag}:",
    ),
    ("CISCO_ACTION", "Built|Teardown|Deny|Denied|denied|requested|permitted|denied by ACL|discarded|est-allowed|Dropping|created|deleted"),
    (
        "CISCO_REASON",
        r"Duplicate TCP SYN|Failed to locate egress interface|Invalid transport field|No matching connection|DNS Response|DNS Query|(?:%{WORD}\s*)*",
    ),
    ("CISCO_DIRECTION", "Inbound|inbound|Outbound|outbound"),
    ("CISCO_INTERVAL", r"first hit|%{INT}-second interval"),
    ("CISCO_XLATE_TYPE", "static|dynamic"),
    ("CISCO_FROM", "%{IP:source.ip}(?:/%{INT:source.port:int})?"),
    ("CISCO_TO", "%{IP:destination.ip}(?:/%{INT:destination.port:int})?"),
    ("CISCO_INTERFACE_FROM", "%{NOTCOLON:observer.ingress.interface.name}:%{CISCO_FROM}"),
    ("CISCO_INTERFACE_TO", "%{NOTCOLON:observer.egress.interface.name}:%{CISCO_TO}"),
    ("NOTCOLON", r"[^\s:/]+"),
    (
        "CISCOFW106001",
        "%{CISCO_DIRECTION:cisco.asa.network.direction} %{WORD:cisco.asa.network.transport} connection %{CISCO_ACTION:cisco.asa.outcome} from %{CISCO_FROM} to %{CISCO_TO} flags %{DATA:cisco.asa.tcp_flags} on interface %{NOTSPACE:observer.egress.interface.name}",
    ),
    (
        "CISCOFW106006_106007_106010",
        "%{CISCO_ACTION:cisco.asa.outcome} %{CISCO_DIRECTION:cisco.asa.network.direction} %{WORD:cisco.asa.network.transport}(?: from| src) (?:%{NOTCOLON:observer.ingress.interface.name}:)?%{CISCO_FROM}(?: to| dst) (?:%{NOTCOLON:observer.egress.interface.name}:)?%{CISCO_TO}(?: (?:on interface %{NOTSPACE:observer.egress.interface.name}|due to %{CISCO_REASON:event.reason}))?",
    ),
    (
        "CISCOFW106014",
        r"%{CISCO_ACTION:cisco.asa.outcome} %{CISCO_DIRECTION:cisco.asa.network.direction} %{WORD:cisco.asa.network.transport} src %{CISCO_INTERFACE_FROM} dst %{CISCO_INTERFACE_TO} ?\(type %{INT:cisco.asa.icmp_type:int}, code %{INT:cisco.asa.icmp_code:int}\)",
    ),
    (
        "CISCOFW106015",
        r"%{CISCO_ACTION:cisco.asa.outcome} %{WORD:cisco.asa.network.transport} \(%{DATA:cisco.asa.rule_name}\) from %{CISCO_FROM} to %{CISCO_TO} flags %{DATA:cisco.asa.tcp_flags} on interface %{NOTSPACE:observer.egress.interface.name}",
    ),
    (
        "CISCOFW106021",
        "%{CISCO_ACTION:cisco.asa.outcome} %{WORD:cisco.asa.network.transport} reverse path check from %{CISCO_FROM} to %{CISCO_TO} on interface %{NOTSPACE:observer.egress.interface.name}",
    ),
    (
        "CISCOFW106023",
        r#"%{CISCO_ACTION:cisco.asa.outcome}(?: protocol)? %{WORD:cisco.asa.network.transport} src %{CISCO_INTERFACE_FROM}(?:\(%{DATA:source.user.name}\))? dst %{CISCO_INTERFACE_TO}(?:\(%{DATA:destination.user.name}\))?(?: \(type %{INT:cisco.asa.icmp_type:int}, code %{INT:cisco.asa.icmp_code:int}\))? by access-group "?%{DATA:cisco.asa.rule_name}"? \[%{DATA:cisco.asa.hashcode1}, %{DATA:cisco.asa.hashcode2}\]"#,
    ),
    (
        "CISCOFW106100",
        r"access-list %{NOTSPACE:cisco.asa.rule_name} %{CISCO_ACTION:cisco.asa.outcome} %{WORD:cisco.asa.network.transport} %{DATA:observer.ingress.interface.name}/%{IP:source.ip}\(%{INT:source.port:int}\)(?:\(%{DATA:source.user.name}\))? -> %{DATA:observer.egress.interface.name}/%{IP:destination.ip}\(%{INT:destination.port:int}\)(?:\(%{DATA:destination.user.name}\))? hit-cnt %{INT:cisco.asa.hit_count:int} (?:%{CISCO_INTERVAL:cisco.asa.interval}) \[%{DATA:cisco.asa.hashcode1}, %{DATA:cisco.asa.hashcode2}\]",
    ),
    ("CISCOFW302010", "%{INT:cisco.asa.connections.in_use:int} in use, %{INT:cisco.asa.connections.most_used:int} most used"),
    (
        "CISCOFW302013_302014_302015_302016",
        r"%{CISCO_ACTION:cisco.asa.outcome}(?: %{CISCO_DIRECTION:cisco.asa.network.direction})? %{WORD:cisco.asa.network.transport} connection %{INT:cisco.asa.connection_id} for %{CISCO_INTERFACE_FROM}(?: \(%{IP:source.nat.ip}/%{INT:source.nat.port:int}\))?(?:\(%{DATA:source.user.name}\))? to %{CISCO_INTERFACE_TO}(?: \(%{IP:destination.nat.ip}/%{INT:destination.nat.port:int}\))?(?:\(%{DATA:destination.user.name}\))?(?: duration %{TIME:cisco.asa.duration} bytes %{INT:network.bytes:int})?(?: %{CISCO_REASON:event.reason})?(?: \(%{DATA:user.name}\))?",
    ),
    (
        "CISCOFW302020_302021",
        r"%{CISCO_ACTION:cisco.asa.outcome}(?: %{CISCO_DIRECTION:cisco.asa.network.direction})? %{WORD:cisco.asa.network.transport} connection for faddr %{IP:destination.ip}/%{INT:cisco.asa.icmp_seq:int}(?:\(%{DATA:destination.user.name}\))? gaddr %{IP:source.nat.ip}/%{INT:cisco.asa.icmp_type:int} laddr %{IP:source.ip}/%{INT}(?: \(%{DATA:source.user.name}\))?",
    ),
    (
        "CISCOFW305011",
        "%{CISCO_ACTION:cisco.asa.outcome} %{CISCO_XLATE_TYPE} %{WORD:cisco.asa.network.transport} translation from %{CISCO_INTERFACE_FROM} to %{CISCO_INTERFACE_TO}",
    ),
    (
        "CISCOFW313001_313004_313008",
        "%{CISCO_ACTION:cisco.asa.outcome} %{WORD:cisco.asa.network.transport} type=%{INT:cisco.asa.icmp_type:int}, code=%{INT:cisco.asa.icmp_code:int} from %{IP:source.ip} on interface %{NOTSPACE:observer.egress.interface.name}(?: to %{IP:destination.ip})?",
    ),
    (
        "CISCOFW710001_710002_710003_710005_710006",
        "%{WORD:cisco.asa.network.transport} (?:request|access) %{CISCO_ACTION:cisco.asa.outcome} from %{CISCO_FROM} to %{NOTCOLON:observer.egress.interface.name}:%{CISCO_TO}",
    ),
    (
        "NETSCREENSESSIONLOG",
        r#"%{SYSLOGTIMESTAMP:timestamp} %{IPORHOST:host.hostname} %{NOTSPACE}: NetScreen device_id=%{WORD:netscreen.device_id} .*?(?:\(%{WORD:netscreen.session.type}\))?: start_time="%{QUOTEDVALUE:netscreen.session.start_time}" duration=%{INT:netscreen.session.duration:int} policy_id=%{INT:netscreen.policy_id} service=%{DATA:netscreen.service} proto=%{INT:netscreen.protocol_number:int} src zone=%{WORD:observer.ingress.zone} dst zone=%{WORD:observer.egress.zone} action=%{WORD:event.action} sent=%{INT:source.bytes:int} rcvd=%{INT:destination.bytes:int} src=%{IPORHOST:source.address} dst=%{IPORHOST:destination.address}(?: src_port=%{INT:source.port:int} dst_port=%{INT:destination.port:int})?"#,
    ),
    ("QUOTEDVALUE", r#"[^"]*"#),
    (
        "SHOREWALL",
        r"%{SYSLOGTIMESTAMP:timestamp} %{SYSLOGHOST:observer.hostname} kernel:.*?Shorewall:%{WORD:shorewall.firewall.type}?:%{WORD:shorewall.firewall.action}?.*?IN=%{USERNAME:observer.ingress.interface.name}?.*?(?:OUT=%{USERNAME:observer.egress.interface.name}?.*?)?SRC=%{IPV4:source.ip}.*?DST=%{IPV4:destination.ip}.*?PROTO=%{WORD:network.transport}(?:.*?SPT=%{INT:source.port:int}.*?DPT=%{INT:destination.port:int})?.*",
    ),
    (
        "SFW2",
        r"%{SYSLOGTIMESTAMP:timestamp} %{SYSLOGHOST:observer.hostname} kernel:.*?SuSEfirewall2-%{NOTSPACE:suse.firewall.log_prefix} .*?IN=%{USERNAME:observer.ingress.interface.name}?.*?SRC=%{IP:source.ip} DST=%{IP:destination.ip}.*?PROTO=%{WORD:network.transport}(?:.*?SPT=%{INT:source.port:int} DPT=%{INT:destination.port:int})?.*",
    ),
    ("RT_FLOW_TAG", "RT_FLOW_SESSION_(?:CREATE|CLOSE|DENY)"),
    ("RT_FLOW_EVENT", "%{RT_FLOW_TAG}"),
    (
        "RT_FLOW1",
        r"%{RT_FLOW_TAG:juniper.srx.tag}: %{GREEDYDATA:juniper.srx.reason}: %{IP:source.ip}/%{INT:source.port:int}->%{IP:destination.ip}/%{INT:destination.port:int} %{DATA:juniper.srx.service_name} %{IP:source.nat.ip}/%{INT:source.nat.port:int}->%{IP:destination.nat.ip}/%{INT:destination.nat.port:int} .*",
    ),
    (
        "RT_FLOW2",
        r"%{RT_FLOW_TAG:juniper.srx.tag}: session created %{IP:source.ip}/%{INT:source.port:int}->%{IP:destination.ip}/%{INT:destination.port:int} %{DATA:juniper.srx.service_name} %{IP:source.nat.ip}/%{INT:source.nat.port:int}->%{IP:destination.nat.ip}/%{INT:destination.nat.port:int} .*",
    ),
    (
        "RT_FLOW3",
        r"%{RT_FLOW_TAG:juniper.srx.tag}: session denied %{IP:source.ip}/%{INT:source.port:int}->%{IP:destination.ip}/%{INT:destination.port:int} .*",
    ),
    // Monitoring and backup.
    ("NAGIOSTIME", r"\[%{NUMBER:timestamp}\]"),
    (
        "NAGIOSLOGLINE",
        r"%{NAGIOSTIME} (?<nagios.log.type>[A-Z][A-Za-z ]+): (?:%{DATA:host.hostname};(?:%{DATA:service.name};)??(?:%{WORD:service.state};)?)?%{GREEDYDATA:message}",
    ),
    ("BACULA_HOST", r"[A-Za-z0-9-]+"),
    ("BACULA_VOLUME", "%{USER}"),
    ("BACULA_DEVICE", "%{USER}"),
    ("BACULA_DEVICEPATH", "%{UNIXPATH}"),
    ("BACULA_CAPACITY", "%{INT}(?:,[0-9]{3})*"),
    ("BACULA_VERSION", "%{USER}"),
    ("BACULA_JOB", "%{USER}"),
    (
        "BACULA_LOGLINE",
        r"%{BACULA_TIMESTAMP:timestamp} %{BACULA_HOST:host.hostname}(?: JobId %{INT:bacula.job.id})?:\s+%{GREEDYDATA:message}",
    ),
    // Zeek, once Bro: tab-separated.
    ("ZEEK_BOOL", "[TF]"),
    ("ZEEK_DATA", r"[^\t]+"),
    ("BRO_BOOL", "%{ZEEK_BOOL}"),
    ("BRO_DATA", "%{ZEEK_DATA}"),
    (
        "ZEEK_CONN",
        r"%{NUMBER:timestamp}\t%{NOTSPACE:zeek.session_id}\t%{IP:source.ip}\t%{INT:source.port:int}\t%{IP:destination.ip}\t%{INT:destination.port:int}\t%{WORD:network.transport}\t(?:-|%{ZEEK_DATA:network.protocol})\t(?:-|%{NUMBER:zeek.connection.duration:float})\t(?:-|%{INT:zeek.connection.orig_bytes:int})\t(?:-|%{INT:zeek.connection.resp_bytes:int})\t(?:-|%{ZEEK_DATA:zeek.connection.state}).*",
    ),
    ("BRO_CONN", "%{ZEEK_CONN}"),
    ("BRO_HTTP", "%{ZEEK_HTTP}"),
    ("BRO_DNS", "%{ZEEK_DNS}"),
    (
        "ZEEK_HTTP",
        r"%{NUMBER:timestamp}\t%{NOTSPACE:zeek.session_id}\t%{IP:source.ip}\t%{INT:source.port:int}\t%{IP:destination.ip}\t%{INT:destination.port:int}\t%{INT:zeek.http.trans_depth:int}\t(?:-|%{ZEEK_DATA:http.request.method})\t(?:-|%{ZEEK_DATA:url.domain})\t(?:-|%{ZEEK_DATA:url.original})\t(?:-|%{ZEEK_DATA:http.request.referrer})\t.*",
    ),
    (
        "ZEEK_DNS",
        r"%{NUMBER:timestamp}\t%{NOTSPACE:zeek.session_id}\t%{IP:source.ip}\t%{INT:source.port:int}\t%{IP:destination.ip}\t%{INT:destination.port:int}\t%{WORD:network.transport}\t(?:-|%{INT:dns.id})\t(?:-|%{ZEEK_DATA:zeek.dns.rtt})\t(?:-|%{ZEEK_DATA:dns.question.name})\t.*",
    ),
];
