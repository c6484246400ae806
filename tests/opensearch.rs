//! Real logs into a real OpenSearch: `FOREBAY_TEST_OPENSEARCH=http://host:port cargo test --test opensearch`.

mod common;

#[test]
fn ships_every_line_and_again_without_a_double() {
    common::real_server::ship_compare_and_ship_again("opensearch", "FOREBAY_TEST_OPENSEARCH");
}

#[test]
fn overwrites_no_data_stream() {
    common::real_server::overwrite_no_data_stream("opensearch", "FOREBAY_TEST_OPENSEARCH");
}

#[test]
fn a_data_stream_that_is_rolled_over_behind_a_lost_answer_has_each_line_once() {
    common::real_server::roll_over_in_the_middle("opensearch", "FOREBAY_TEST_OPENSEARCH", common::real_server::Kind::DataStream);
}

#[test]
fn an_alias_that_is_rolled_over_behind_a_lost_answer_has_each_line_once() {
    common::real_server::roll_over_in_the_middle("opensearch", "FOREBAY_TEST_OPENSEARCH", common::real_server::Kind::Alias);
}

#[test]
fn a_try_that_the_server_works_on_is_seen() {
    common::real_server::a_try_that_goes_on_is_seen("opensearch", "FOREBAY_TEST_OPENSEARCH");
}

#[test]
fn a_routed_stream_is_on_one_shard_and_recognised_there() {
    common::routing::a_stream_with_the_field_has_one_shard("opensearch", "FOREBAY_TEST_OPENSEARCH");
}

#[test]
fn a_data_stream_without_custom_routing_holds_the_sink() {
    common::routing::a_data_stream_that_allows_none_holds_the_sink("opensearch", "FOREBAY_TEST_OPENSEARCH");
}
