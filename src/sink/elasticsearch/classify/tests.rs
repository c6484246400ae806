use super::*;

fn cause(kind: &str, reason: &str) -> ErrorCause {
    ErrorCause { kind: kind.into(), reason: reason.into(), ..ErrorCause::default() }
}

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, content_type: "application/json".into(), retry_after: None, location: String::new(), resent: false, body: body.into() }
}

#[test]
fn whose_fault() {
    let cases = [
        (201, "", "", Fault::None),
        (409, "version_conflict_engine_exception", "", Fault::AlreadyThere),
        (429, "es_rejected_execution_exception", "", Fault::Moment),
        (429, "cluster_block_exception", "disk usage exceeded flood-stage watermark", Fault::Operator),
        (503, "unavailable_shards_exception", "", Fault::Moment),
        (500, "fail_processor_exception", "no", Fault::Document),
        (400, "mapper_parsing_exception", "failed to parse", Fault::Document),
        (400, "document_parsing_exception", "failed to parse", Fault::Document),
        (400, "illegal_argument_exception", "Document contains at least one immense term", Fault::Document),
        (400, "illegal_argument_exception", "pipeline with id [x] does not exist", Fault::Operator),
        (400, "illegal_argument_exception", "only write ops with an op_type of create are allowed in data streams", Fault::Operator),
        (400, "index_closed_exception", "closed", Fault::Operator),
        (400, "validation_exception", "this action would add [2] shards", Fault::Operator),
        (401, "security_exception", "", Fault::Operator),
        (403, "cluster_block_exception", "", Fault::Operator),
        (404, "index_not_found_exception", "", Fault::Operator),
        (0, "", "", Fault::Moment),
    ];
    for (status, kind, reason, fault) in cases {
        assert_eq!(item_fault(status, &cause(kind, reason)), fault, "{status} {kind} {reason}");
    }
}

#[test]
fn answers_that_prove_nothing_are_retried() {
    for body in [
        "<html>welcome</html>",
        "",
        "{}",
        r#"{"errors":false}"#,
        r#"{"errors":false,"items":[]}"#,
        r#"{"items":[{"create":{"status":201}},{"create":{"st"#,
    ] {
        assert!(matches!(outcome(&answer(200, body), 2).0, Outcome::Retry { .. }), "{body}");
    }
    for status in [408, 429, 500, 502, 503, 504] {
        assert!(matches!(outcome(&answer(status, ""), 2).0, Outcome::Retry { .. }), "{status}");
    }
}

#[test]
fn what_a_person_must_mend_is_held() {
    for status in [301, 302, 308, 401, 403, 404, 405, 406] {
        assert!(matches!(outcome(&answer(status, "Unauthorized"), 2).0, Outcome::Hold { .. }), "{status}");
    }
    assert!(matches!(outcome(&answer(400, "<html>The plain HTTP request was sent to HTTPS port"), 1).0, Outcome::Hold { .. }));
    assert!(matches!(
        outcome(&answer(400, r#"{"error":{"type":"illegal_argument_exception","reason":"x"},"status":400}"#), 1).0,
        Outcome::Refused { .. }
    ));
    assert!(matches!(outcome(&answer(413, ""), 1).0, Outcome::TooLarge { .. }));
}

#[test]
fn failures_are_found_even_where_errors_is_false() {
    let body = r#"{"errors":false,"items":[{"create":{"status":201}},{"create":{"status":429}},{"create":{"status":409}},
        {"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"bad\n number"}}}]}"#;
    assert_eq!(
        outcome(&answer(200, body), 4).0,
        Outcome::Partial {
            already_there: 1,
            retry: vec![1],
            hold: false,
            reason: "1 of 4 events not taken, the first: 429".into(),
            rejected: vec![Rejection { item: 3, status: 400, kind: "document_parsing_exception".into(), reason: "bad number".into() }],
        }
    );
}

#[test]
fn a_held_sink_says_what_mends_it() {
    let said = |body: &str| match outcome(&answer(200, body), 1).0 {
        Outcome::Partial { hold: true, reason, .. } => reason,
        other => panic!("{other:?}"),
    };
    let item =
        |status: u16, error: &str| said(&format!(r#"{{"errors":true,"items":[{{"create":{{"status":{status},"error":{error}}}}}]}}"#));
    insta::assert_snapshot!(
        item(400, r#"{"type":"index_closed_exception","reason":"closed","index_uuid":"u","index":"logs-shop"}"#),
        @"1 of 1 events not taken, the first: 400 index_closed_exception closed (index logs-shop); to mend it: open the index (POST logs-shop/_open)"
    );
    let flood = "index [logs-shop] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block];";
    insta::assert_snapshot!(
        item(429, &format!(r#"{{"type":"cluster_block_exception","reason":"{flood}","index":"logs-shop"}}"#)),
        @"1 of 1 events not taken, the first: 429 cluster_block_exception index [logs-shop] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block]; to mend it: free disk space on the cluster's nodes; the server then lifts the block by itself (before 7.4: index.blocks.read_only_allow_delete: null)"
    );
    insta::assert_snapshot!(
        item(400, r#"{"type":"illegal_argument_exception","reason":"pipeline with id [shop] does not exist"}"#),
        @"1 of 1 events not taken, the first: 400 illegal_argument_exception pipeline with id [shop] does not exist; to mend it: create the ingest pipeline, or correct `pipeline` of the sink"
    );
}

#[test]
fn a_refusal_of_the_whole_request_says_whose_it_is_and_what_mends_it() {
    let said = |status: u16, body: &str| match outcome(&answer(status, body), 1).0 {
        Outcome::Hold { reason } | Outcome::Retry { reason, .. } => reason,
        other => panic!("{other:?}"),
    };
    let block =
        r#"{"error":{"type":"cluster_block_exception","reason":"blocked by: [FORBIDDEN/6/cluster read-only (api)];"},"status":403}"#;
    insta::assert_snapshot!(said(403, block), @"the receiver answers 403: cluster_block_exception blocked by: [FORBIDDEN/6/cluster read-only (api)]; to mend it: lift the block of the cluster (PUT _cluster/settings, cluster.blocks.read_only and .read_only_allow_delete: null)");
    let denied = r#"{"error":{"type":"security_exception","reason":"action [indices:data/write/bulk] is unauthorized for user [ship]"},"status":403}"#;
    insta::assert_snapshot!(said(403, denied), @"no permission (403); the user needs create_doc on the index: security_exception action [indices:data/write/bulk] is unauthorized for user [ship]");
    insta::assert_snapshot!(said(401, "Unauthorized"), @"the log-in is not accepted (401); check `auth` of the sink, or set it: Unauthorized");
    insta::assert_snapshot!(said(404, "404 page not found"), @"the receiver answers 404, not in the words of Elasticsearch (is the endpoint right?): 404 page not found");
    insta::assert_snapshot!(said(400, "Client sent an HTTP request to an HTTPS server."), @"the receiver answers 400, not in the words of Elasticsearch (is the endpoint right?): Client sent an HTTP request to an HTTPS server.");
    let page = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>";
    insta::assert_snapshot!(said(502, page), @"the receiver answers 502: 502 Bad Gateway 502 Bad Gateway nginx");
    let page = Answer {
        content_type: "text/html".into(),
        ..answer(200, "<html><head><title>Log in</title></head><body>Please sign in</body></html>")
    };
    let (Outcome::Retry { reason, .. }, true) = outcome(&page, 1) else { panic!("what arrived is in doubt") };
    insta::assert_snapshot!(reason, @"the answer (text/html) is no bulk answer (is the endpoint right?): Log in Please sign in; what arrived is not known, the same IDs are sent again");
    insta::assert_snapshot!(said(200, r#"{"status":"ok"}"#), @r#"the answer is no bulk answer, it has no items (is the endpoint right?): {"status":"ok"}; what arrived is not known, the same IDs are sent again"#);
}
