//! The long help of the commands that look at a queue.

pub(in crate::cli) const TOPICS: &str = "\
Shows the topics of a queue: partitions, offsets, bytes, segments, the times of the oldest and the newest record, \
and how far behind each group is.

Works while the agent runs (through its control socket, `data_dir/control.sock`, as the agent's user or root) and \
while it is stopped (on the files). Nothing is changed. Exit code 0, or 1 if it cannot be told.";

pub(in crate::cli) const TOPICS_EXAMPLE: &str = "\
Examples:
  forebay topics list --data-dir /var/lib/forebay
  forebay topics describe logs --config pipeline.yaml
  forebay topics --json list | jq '.[].bytes'";

pub(in crate::cli) const GROUPS: &str = "\
Shows and moves consumer groups. Each sink is a group, under its own name.

Works while the agent runs (through its control socket, `data_dir/control.sock`, as the agent's user or root) and \
while it is stopped (on the files, under the lock). Exit code 0, or 1 if it was not done; then nothing was changed.";

pub(in crate::cli) const GROUPS_EXAMPLE: &str = "\
Examples:
  forebay groups list --data-dir /var/lib/forebay
  forebay groups describe search --config pipeline.yaml
  forebay groups reset search --to-datetime 2026-03-09T10:00:00Z --dry-run
  forebay groups delete old-sink";

pub(in crate::cli) const RESET: &str = "\
Moves a group, so that its sink goes on elsewhere: back to ship again what is retained, or forward to pass over \
what is not delivered yet.

What is shipped again has the same event IDs as the first time, so Elasticsearch stores nothing twice. A sink that \
knows only whole batches (http, file) recognises those that are cut as they were, and gets the others twice. A sink \
that runs takes up the new place at once; batches that it began before are finished, but no longer move the group. An offset that is not retained becomes the nearest that \
is. A time finds the first record batch that was appended at or after it.

With --overwrite, what the group had delivered already replaces the documents that the target has (`index` instead of \
`create`, under the same IDs): to store what is shipped differently by now, such as a mended parse. It lasts until the \
group has come to where it stood, also through a restart, and `groups describe` shows it until then. The log-in needs \
the privilege `index`. A data stream takes only new documents, and in an alias of several indices the old document \
would stay beside the new one: there the command is refused, and the way is a new sink with a new target, which begins \
at the earliest retained record. Sinks of other types (http, file, console) know no documents: they send again, http \
under new Idempotency-Keys. Of a stopped agent the target cannot be asked; then its sink says it when it meets it.";

pub(in crate::cli) const RESET_EXAMPLE: &str = "\
Examples:
  forebay groups reset search --to-earliest --dry-run
  forebay groups reset search --to-datetime 2026-03-09T10:00:00+01:00
  forebay groups reset search --to-datetime 2026-03-09T10:00:00Z --overwrite --dry-run
  forebay groups reset search --topic logs --partition 0 --shift-by -1000";

pub(in crate::cli) const DELETE: &str = "\
Forgets a group whose sink does not run any more: it no longer holds retention, and a sink of its name would begin \
at the earliest retained record. Refused while the sink runs.";

pub(in crate::cli) const READ: &str = "\
Prints the records of a topic: the bytes of each event and a newline, or with --json one object with topic, \
partition, offset, time (when it was appended), path, position and message (message_base64 where it is not UTF-8). \
On a terminal control characters are shown as \\xNN.

Reads the files and takes no lock, so it works beside a running agent and disturbs no group. What is written is \
seen at once; the last milliseconds of it may not be synced yet. Several partitions are printed in the order in \
which their batches were appended. Exit code 0; 1 if there is no such topic or something could not be read.";

pub(in crate::cli) const READ_EXAMPLE: &str = "\
Examples:
  forebay read logs --from -10 --data-dir /var/lib/forebay
  forebay read logs --from 2026-03-09T10:00:00Z --count 100 --json
  forebay read dead-letter --follow | jq -r .reason";

pub(in crate::cli) const REDRIVE: &str = "\
Sends the events of a sink's dead letters once more, to this sink alone and under the same IDs: after the mapping, \
the template or the receiver's limit that refused them was mended. An event that is refused again gets another \
dead letter; one that has arrived meanwhile is recognised and not stored twice. Events that their topic no longer \
retains are sent from their dead letters, with the same ID and the same document. What an earlier redrive has sent is \
left alone unless it was refused again; --all sends it once more. An event with several letters is sent once. Letters \
that bear an earlier name of the sink (`previous_name`) count as its own.

Works while the agent runs, and while it is stopped (then they are sent at its next start). Exit code 0, or 1 if it \
was not done.";

pub(in crate::cli) const REDRIVE_EXAMPLE: &str = "\
Examples:
  forebay redrive search --dry-run
  forebay redrive search --data-dir /var/lib/forebay";

pub(in crate::cli) const VERIFY: &str = "\
Checks every byte of the data directory: segment headers, the header and payload of every record batch, indexes \
against them, snapshots, the groups' journal and the metadata. What is found is printed by topic, partition, offsets \
and bytes. `damage` is something that is not as it was written; a `note` is what any crash leaves behind and the next \
start puts right.

Without --repair nothing is changed, and it may be used beside a running agent. --repair needs the agent stopped: it \
copies damaged bytes to quarantine/, takes them out of their segments, and makes indexes and snapshots anew. Events in \
damaged bytes are lost to this queue; where a log file still has them, a new data_dir would read them again under the \
same IDs.

Exit code 0 if all is sound (with --repair: afterwards), 1 if there is damage or it cannot be checked, 4 if --repair \
finds an agent at work.";

pub(in crate::cli) const VERIFY_EXAMPLE: &str = "\
Examples:
  forebay verify --data-dir /var/lib/forebay
  forebay verify --config pipeline.yaml --json | jq '.findings[]'
  forebay verify --repair";

pub(in crate::cli) const AUDIT: &str = "\
Accounts for every byte: for each generation of each file what was written, read and durable in the queue, and for each \
sink what became of it. The books balance:

  written = acknowledged + filtered + dead-lettered + lost
            + pending (in the queue) + waiting (in the file)

Lost names the cause: deleted_unread and truncated_unread (the file was gone before it was read), damaged, deleted, \
dropped_oldest, dropped_newest, expired. A row whose books do not balance is marked. Bytes that no look of the agent \
ever saw, written and truncated or deleted in between, cannot be counted. What lay in the queue before a sink was made \
counts as acknowledged by it.

Asks the running agent, else reads the files of the stopped one; then name the pipeline with --config, so that files \
of which nothing was read yet are found, too. Nothing is changed.

Exit code 0 if every byte that was written is acknowledged by every sink, 3 if nothing is lost but something is under \
way, 5 if something is lost, dead-lettered or in no book, 1 if it cannot be told.";

pub(in crate::cli) const AUDIT_EXAMPLE: &str = "\
Examples:
  forebay audit --config pipeline.yaml
  forebay audit /var/log/app/ '/var/log/nginx/*.log'
  forebay audit --json | jq '.files[] | select(.lost != {}) | {path, lost, lost_ranges}'";

pub(in crate::cli) const WHY: &str = "\
Explains in words why a file is read or is not: which source follows it and by which glob, or where the nearest glob \
differs, what excludes it, whether it is too old, unreadable, no regular file, compressed, or a rotated generation or a \
copy of another; then where reading stands, and for each sink what is delivered and how the sink is.

Asks the running agent, else reads the files of the stopped one and the pipeline of --config.

Exit code 0 if the file is followed, 1 if it is not or it cannot be told.";

pub(in crate::cli) const WHY_EXAMPLE: &str = "\
Examples:
  forebay why /var/log/app/app.log
  forebay why --config pipeline.yaml --data-dir /var/lib/forebay ./app.log.1";

pub(in crate::cli) const DRAIN: &str = "\
Has the running agent read all files to where they end now, last lines without a newline included, and waits until \
every sink has delivered what was there then. The agent goes on afterwards: this is for a preStop hook, after which \
SIGTERM finds nothing left to do.

Exit code 0 if all is delivered, 3 if the time was over before (it says which sink lacks how much and why; it is safe \
in the queue), 1 if no agent runs.";

pub(in crate::cli) const DRAIN_EXAMPLE: &str = "\
Examples:
  forebay drain --data-dir /var/lib/forebay
  forebay drain --timeout 50s --config /etc/forebay/app.yaml";
