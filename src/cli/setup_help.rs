//! The long help of `setup`.

pub(super) const SETUP: &str = "\
Prepares the servers for the logs of a pipeline: mappings, index templates, lifecycle policies and data streams in \
Elasticsearch or OpenSearch, a data view and a dashboard in Kibana or OpenSearch Dashboards. Sinks work without, too.";

pub(super) const SETUP_EXAMPLE: &str = "\
Examples:
  forebay setup elasticsearch --config pipeline.yaml --dry-run
  forebay setup kibana --config pipeline.yaml --url http://kibana:5601";

pub(super) const ELASTICSEARCH: &str = "\
Installs, for each elasticsearch sink of the pipeline, with the endpoints, TLS and log-in of the sink:

  component template  types of all fields that Forebay's documents have, after the Elastic Common Schema
  lifecycle policy    ILM, or ISM of OpenSearch: rollover of data streams; deletion only with --retention
  index template      for the names that `index` or `data_stream` of the sink gives
  data stream         with --data-stream, where its name is the same for all events

What is there is asked for first and compared. A second run changes nothing. What somebody else made (it lacks \
`_meta: {managed_by: forebay}`) or a newer forebay is left alone, and then nothing of that sink is changed; --force \
replaces it. Templates hold for indices that are made from then on.

The log-in needs `monitor`, `manage_index_templates` and, for policies, `manage_ilm`; for --data-stream `create_index`. \
Another log-in than that of the pipeline: `auth: {api_key: \"${SETUP_KEY}\"}` in a copy of it.

Exit code 0: all is as wanted (with --dry-run: it can be made so); 1: something failed, and standard error says what was \
done before; 2: usage or configuration; 6: something of somebody else is in the way.";

pub(super) const ELASTICSEARCH_EXAMPLE: &str = "\
Examples:
  forebay setup elasticsearch --config pipeline.yaml --dry-run
  forebay setup elasticsearch --config /etc/forebay/ --sink search --retention 30d
  forebay setup elasticsearch --config pipeline.yaml --data-stream --shards 2 --codec best_compression
  forebay setup elasticsearch --config pipeline.yaml --json | jq '.targets[].items[] | {kind, name, state}'";

pub(super) const KIBANA: &str = "\
Imports into Kibana (7.10 or later) or OpenSearch Dashboards, whichever answers: a data view (index pattern), charts of \
logs over time, by level, by service and by host, the latest lines as a saved search, and a dashboard of them. Their IDs \
follow from the pattern, so another run replaces them: copy the dashboard before you change it.

The log-in is --user with $FOREBAY_KIBANA_PASSWORD, or $FOREBAY_KIBANA_API_KEY. Exit code 0: imported; 1: it failed; 2: usage \
or configuration.";

pub(super) const KIBANA_EXAMPLE: &str = "\
Examples:
  forebay setup kibana --url http://kibana:5601 --pattern 'logs-*'
  forebay setup kibana --url https://kibana:5601 --config pipeline.yaml --ca-file ca.pem --user elastic
  forebay setup kibana --url http://dashboards:5601 --pattern logs-app --dry-run";
