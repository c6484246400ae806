//! The long help: enough to begin without another document.

pub(super) const ABOUT: &str = "\
Forebay tails log files into a durable queue on this machine and ships every line from there to \
Elasticsearch, OpenSearch, HTTP or files: nothing is lost, nothing comes twice, through crashes, restarts, \
rotation and outages of the receiver.

A pipeline is a YAML file. This one is complete and loses nothing:

  sources:
    app: {type: file, include: /var/log/app/*.log}
  sinks:
    search: {type: elasticsearch, endpoints: \"http://localhost:9200\"}
    # index: logs-forebay, data_dir: ./forebay-data are the defaults";

pub(super) const SHORT: &str = "`forebay --help` shows a complete pipeline, the exit codes and the environment variables.";

pub(super) const AFTER: &str = "\
Exit codes:
  0  all went well; after `run`: all that was read is delivered
  1  failed at run time; the message says what happened to the data
  2  wrong usage or configuration; nothing was started or touched
  3  `run` stopped, or `drain` gave up, with undelivered events, which are
     safe in the queue and are sent at the next start; `audit`: nothing is
     lost, but something is under way
  4  another process works on the same data_dir
  5  `audit`: something is lost, dead-lettered or in no book
  6  `setup`: something of another tool or person is in the way

Environment variables:
  FOREBAY_LOG    how much `run` says (as --log-level)
  FOREBAY_ADMIN  where `status` looks for the agent (as --admin)
  FOREBAY_DATA_DIR, FOREBAY_CONFIG
                 which queue `topics`, `groups`, `read`, `redrive`, `verify`,
                 `audit`, `why` and `drain` are about (as --data-dir, --config)
  NO_COLOR       no colours
  Any other may be used in a pipeline: ${VAR}, ${VAR:-default},
  ${VAR:+word if set}, ${file:/run/secrets/x}

Where to look next:
  forebay demo                             see it work, without a server
  forebay check pipelines/quickstart.yaml  what a pipeline does
  forebay help run                         such a help for each command
  pipelines/*.yaml                         commented pipelines: quickstart,
                                           nginx, Java, sidecar";

pub(super) const RUN: &str = "\
Runs a pipeline until SIGTERM or Ctrl-C.

All state is in `data_dir`: the queue, and with it the position in each file. The next start goes on exactly \
there. On SIGTERM what is on disk is read to its end and shipped for at most `shutdown.drain` (10s); then the \
exit code says whether something remains (3) or not (0). What remains is safe.

With --dry nothing is started: the first events of each file, from its first byte, are shown as each sink would send \
them. Documents go to standard output, all else to standard error.";

pub(super) const RUN_EXAMPLE: &str = "\
Examples:
  forebay run pipeline.yaml
  forebay run /etc/forebay/       every *.yaml of a folder, as one
  forebay run --dry pipeline.yaml | jq .
  ES_URL=https://search:9200 forebay run --log-format json nginx.yaml";

pub(super) const CHECK: &str = "\
Checks a pipeline and shows what was understood: sources with the number of files that match now, topics, sinks \
and data_dir. All mistakes are shown at once, with line, column and the nearest right name. Nothing is started, \
written or contacted. Exit code 0 if `run` would accept it, else 2.";

pub(super) const CHECK_EXAMPLE: &str = "\
Examples:
  forebay check pipeline.yaml
  forebay check --json /etc/forebay/ | jq '.errors[] | \"\\(.file):\\(.line) \\(.message)\"'";

pub(super) const DEMO: &str = "\
Shows that nothing is lost and nothing comes twice: writes log lines, ships them to a receiver of its own that \
fails on purpose, kills the agent in between, and counts at the end. Needs no server and leaves nothing behind. \
Exit code 0 if every line arrived exactly once.";

pub(super) const DEMO_EXAMPLE: &str = "\
Examples:
  forebay demo
  forebay demo --seconds 10 --rate 50000 --plain";

pub(super) const STATUS: &str = "\
Shows how a running agent stands: what each source has read, how full the queue is, and how far behind each \
sink is, in events, bytes and seconds. Asks the agent's admin listener (`admin.listen`), whose address is that of \
--admin or $FOREBAY_ADMIN, else that of the pipeline of --config or $FOREBAY_CONFIG, else 127.0.0.1:8686.";

pub(super) const STATUS_EXAMPLE: &str = "\
Examples:
  forebay status
  forebay status --config /etc/forebay/
  forebay status --admin 127.0.0.1:9000 --json | jq .sinks";

pub(super) const COMPLETIONS_EXAMPLE: &str = "\
Examples:
  forebay completions bash > /etc/bash_completion.d/forebay
  forebay completions zsh > \"${fpath[1]}/_forebay\"
  forebay completions fish > ~/.config/fish/completions/forebay.fish";

pub(super) const TRY: &str = "\
Sends each line of standard input through a chain of processors and prints the document that a sink would send, one a \
line. What the chain leaves out is named on standard error. No file, queue or receiver is touched.";

pub(super) const TRY_EXAMPLE: &str = "\
Examples:
  forebay try nginx.access < /var/log/nginx/access.log
  head /var/log/app/app.log | forebay try --config pipeline.yaml --sink search
  forebay try --config pipeline.yaml --process nginx < samples.log | jq .";

pub(super) const TEST: &str = "\
Runs the `tests` that stand in pipelines: lines go through a chain, and the documents are compared with what is \
expected. A folder that holds several whole pipelines (with `sources` and `sinks`) is tested file by file, any other \
as one configuration. Variables and secrets of sources and sinks may be missing. No queue or receiver is touched. \
Exit code 0 if all is as expected, 1 if something is not, 2 if a configuration is wrong.";

pub(super) const TEST_EXAMPLE: &str = "\
Examples:
  forebay test pipeline.yaml
  forebay test --junit forebay-tests.xml pipelines/
  forebay test --json /etc/forebay/ | jq '.pipelines[].tests[] | select(.ok | not)'";

pub(super) const EXPLAIN: &str = "\
Lists the presets of the processor `parse`, or prints the chain that one stands for, as YAML that can be pasted into \
a pipeline and changed there.";

pub(super) const EXPLAIN_EXAMPLE: &str = "\
Examples:
  forebay explain
  forebay explain nginx.access
  forebay explain --tests nginx.access > nginx-access.yaml && forebay test nginx-access.yaml";
