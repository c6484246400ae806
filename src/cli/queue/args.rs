//! Arguments of the commands that look at a queue.

use super::help;
use crate::process::timestamp::parse_rfc3339;
use crate::queue::{ResetTo, Start};
use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

/// Which queue.
#[derive(Debug, Args)]
pub(in crate::cli) struct Where {
    /// Folder of the queue [default: that of --config, else ./forebay-data]
    #[arg(long, env = "FOREBAY_DATA_DIR", value_name = "DIR", value_hint = ValueHint::DirPath, global = true)]
    pub(super) data_dir: Option<PathBuf>,
    /// Pipeline whose `data_dir` is meant; may be given several times
    #[arg(long, env = "FOREBAY_CONFIG", value_name = "PATH", value_hint = ValueHint::AnyPath, global = true)]
    pub(super) config: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct TopicsArgs {
    #[command(subcommand)]
    pub(super) command: TopicsCommand,
    #[command(flatten)]
    pub(super) place: Where,
    /// Write JSON to standard output
    #[arg(long, global = true)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum TopicsCommand {
    /// Shows each topic: events, bytes, age
    List,
    /// Shows partitions, offsets, segments, times, and how far behind each group is
    Describe {
        /// Only this topic
        topic: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct GroupsArgs {
    #[command(subcommand)]
    pub(super) command: GroupsCommand,
    #[command(flatten)]
    pub(super) place: Where,
    /// Write JSON to standard output
    #[arg(long, global = true)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum GroupsCommand {
    /// Shows each group and how far behind it is
    List,
    /// Shows a group's place in each partition
    Describe {
        /// Only this group
        group: Option<String>,
    },
    /// Moves a group, so that its sink goes on elsewhere
    #[command(long_about = help::RESET, after_long_help = help::RESET_EXAMPLE)]
    Reset(ResetArgs),
    /// Forgets a group whose sink does not run any more
    #[command(long_about = help::DELETE)]
    Delete {
        /// The group: the sink's name
        group: String,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct ResetArgs {
    /// The group: the sink's name
    pub(super) group: String,
    #[command(flatten)]
    pub(super) to: To,
    /// Only this topic
    #[arg(long)]
    pub(super) topic: Option<String>,
    /// Only this partition
    #[arg(long, value_name = "N")]
    pub(super) partition: Option<u32>,
    /// What was delivered before replaces what the sink's target has of it (elasticsearch, opensearch)
    #[arg(long)]
    pub(super) overwrite: bool,
    /// Only say what would be done
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct To {
    /// To the first retained record
    #[arg(long)]
    to_earliest: bool,
    /// After the last record: what is not delivered yet is passed over
    #[arg(long)]
    to_latest: bool,
    /// To this offset, or the nearest that is retained
    #[arg(long, value_name = "N")]
    to_offset: Option<u64>,
    /// To the first record that was appended at or after this time, such as 2026-03-09T10:15:00+01:00
    #[arg(long, value_name = "TIME", value_parser = time)]
    to_datetime: Option<u64>,
    /// So many offsets forward, or back (-1000)
    #[arg(long, value_name = "±N", allow_hyphen_values = true, value_parser = shift)]
    shift_by: Option<i64>,
}

impl To {
    /// The one that was given.
    pub(super) fn target(&self) -> ResetTo {
        match (self.to_offset, self.to_datetime, self.shift_by) {
            (Some(offset), _, _) => ResetTo::Offset(offset),
            (_, Some(ms), _) => ResetTo::Time(ms),
            (_, _, Some(by)) => ResetTo::ShiftBy(by),
            _ if self.to_latest => ResetTo::Latest,
            _ => ResetTo::Earliest,
        }
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RedriveArgs {
    /// The sink whose dead letters are sent again
    pub(super) sink: String,
    #[command(flatten)]
    pub(super) place: Where,
    /// Also those that an earlier redrive has sent
    #[arg(long)]
    pub(super) all: bool,
    /// Only say what would be done
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Write JSON to standard output
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ReadArgs {
    /// The topic, such as logs or dead-letter
    pub(super) topic: String,
    #[command(flatten)]
    pub(super) place: Where,
    /// Only this partition
    #[arg(long, value_name = "N")]
    pub(super) partition: Option<u32>,
    /// Where to begin: an offset, -N for the last N, a time, earliest or latest
    #[arg(long, default_value = "earliest", value_name = "FROM", allow_hyphen_values = true, value_parser = start)]
    pub(super) from: Start,
    /// Stop after so many records
    #[arg(long, value_name = "N")]
    pub(super) count: Option<u64>,
    /// Wait for more at the end
    #[arg(long, short)]
    pub(super) follow: bool,
    /// One JSON object a record
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct AuditArgs {
    /// Only these files: paths, folders or globs
    #[arg(value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub(super) files: Vec<String>,
    #[command(flatten)]
    pub(super) place: Where,
    /// Write JSON to standard output
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct WhyArgs {
    /// The file, such as /var/log/app/app.log
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) file: String,
    #[command(flatten)]
    pub(super) place: Where,
    /// Write JSON to standard output
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DrainArgs {
    /// How long to wait
    #[arg(long, default_value = "25s", value_name = "TIME", value_parser = waiting)]
    pub(super) timeout: std::time::Duration,
    #[command(flatten)]
    pub(super) place: Where,
    /// Write JSON to standard output
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct VerifyArgs {
    #[command(flatten)]
    pub(super) place: Where,
    /// Make indexes and snapshots anew and move damaged ranges aside; only while the agent is stopped
    #[arg(long)]
    pub(super) repair: bool,
    /// Write JSON to standard output
    #[arg(long)]
    pub(super) json: bool,
}

const TIME: &str = "expected a time such as 2026-03-09T10:15:00Z, 2026-03-09T10:15+01:00 or 2026-03-09 (UTC)";

fn time(text: &str) -> Result<u64, String> {
    parse_rfc3339(text).ok_or_else(|| TIME.to_string())
}

fn waiting(text: &str) -> Result<std::time::Duration, String> {
    crate::config::duration(text).map_err(|e| e.hint.unwrap_or_else(|| "expected a time such as 25s or 2m".into()))
}

fn shift(text: &str) -> Result<i64, String> {
    text.strip_prefix('+').unwrap_or(text).parse().map_err(|_| "expected a number of offsets such as -1000 or +1000".to_string())
}

fn start(text: &str) -> Result<Start, String> {
    if let Some(last) = text.strip_prefix('-').and_then(|n| n.parse().ok()) {
        return Ok(Start::Last(last));
    }
    match text {
        "earliest" => Ok(Start::Earliest),
        "latest" => Ok(Start::Latest),
        number if number.bytes().all(|b| b.is_ascii_digit()) => number.parse().map(Start::Offset).map_err(|e| e.to_string()),
        other => parse_rfc3339(other).map(Start::Time).ok_or_else(|| format!("{TIME}, an offset, -N, earliest or latest")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_begin() {
        let all = ["earliest", "latest", "0", "17", "-5", "1970-01-01T00:00:01Z"].map(|s| start(s).unwrap());
        assert_eq!(all, [Start::Earliest, Start::Latest, Start::Offset(0), Start::Offset(17), Start::Last(5), Start::Time(1000)]);
        for wrong in ["", "-", "x", "99999999999999999999", "2026-13-01"] {
            assert!(start(wrong).is_err(), "{wrong}");
        }
        assert_eq!(["-5", "+5", "5"].map(|s| shift(s).unwrap()), [-5, 5, 5]);
    }
}
