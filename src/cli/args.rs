//! The command line.

use super::{help, queue, setup, setup_help};
use crate::config::LogFormat;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum, ValueHint};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Ships every line of your logs to Elasticsearch exactly once.
#[derive(Debug, Parser)]
#[command(name = "forebay", version, about, long_about = help::ABOUT, after_help = help::SHORT, after_long_help = help::AFTER)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Runs a pipeline until SIGTERM or Ctrl-C
    #[command(long_about = help::RUN, after_long_help = help::RUN_EXAMPLE)]
    Run(RunArgs),
    /// Checks a pipeline and shows what was understood, without starting anything
    #[command(long_about = help::CHECK, after_long_help = help::CHECK_EXAMPLE)]
    Check {
        /// Files, or folders whose *.yaml and *.yml are taken together
        #[arg(value_name = "PATH", required = true, value_hint = ValueHint::AnyPath)]
        paths: Vec<PathBuf>,
        /// Write JSON to standard output
        #[arg(long)]
        json: bool,
    },
    /// Shows in half a minute that nothing is lost and nothing comes twice
    #[command(long_about = help::DEMO, after_long_help = help::DEMO_EXAMPLE)]
    Demo(DemoArgs),
    /// Shows how a running agent stands: sources, queue, sinks, lag
    #[command(long_about = help::STATUS, after_long_help = help::STATUS_EXAMPLE)]
    Status(StatusArgs),
    /// Shows the topics of a queue
    #[command(long_about = queue::help::TOPICS, after_long_help = queue::help::TOPICS_EXAMPLE)]
    Topics(queue::TopicsArgs),
    /// Shows how far each sink is, and moves it: consumer groups
    #[command(long_about = queue::help::GROUPS, after_long_help = queue::help::GROUPS_EXAMPLE)]
    Groups(queue::GroupsArgs),
    /// Prints the records of a topic
    #[command(long_about = queue::help::READ, after_long_help = queue::help::READ_EXAMPLE)]
    Read(queue::ReadArgs),
    /// Sends the dead letters of a sink again
    #[command(long_about = queue::help::REDRIVE, after_long_help = queue::help::REDRIVE_EXAMPLE)]
    Redrive(queue::RedriveArgs),
    /// Checks every byte of a queue, and repairs it
    #[command(long_about = queue::help::VERIFY, after_long_help = queue::help::VERIFY_EXAMPLE)]
    Verify(queue::VerifyArgs),
    /// Accounts for every byte of the log files: delivered, under way, or lost and why
    #[command(long_about = queue::help::AUDIT, after_long_help = queue::help::AUDIT_EXAMPLE)]
    Audit(queue::AuditArgs),
    /// Explains why a file is read, or is not, and where it stands
    #[command(long_about = queue::help::WHY, after_long_help = queue::help::WHY_EXAMPLE)]
    Why(queue::WhyArgs),
    /// Waits until the running agent has shipped all that is in the files now
    #[command(long_about = queue::help::DRAIN, after_long_help = queue::help::DRAIN_EXAMPLE)]
    Drain(queue::DrainArgs),
    /// Prepares Elasticsearch, OpenSearch, Kibana and OpenSearch Dashboards for the logs of a pipeline
    #[command(long_about = setup_help::SETUP, after_long_help = setup_help::SETUP_EXAMPLE)]
    Setup(setup::SetupArgs),
    /// Sends lines of standard input through a chain of processors and prints the documents
    #[command(long_about = help::TRY, after_long_help = help::TRY_EXAMPLE)]
    Try(TryArgs),
    /// Runs the tests that stand beside the chains of pipelines
    #[command(long_about = help::TEST, after_long_help = help::TEST_EXAMPLE)]
    Test(TestArgs),
    /// Lists the presets of `parse`, and prints the chain that one stands for
    #[command(long_about = help::EXPLAIN, after_long_help = help::EXPLAIN_EXAMPLE)]
    Explain(ExplainArgs),
    /// Prints a completion script for a shell
    #[command(after_long_help = help::COMPLETIONS_EXAMPLE)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, ClapArgs)]
pub(super) struct TryArgs {
    /// The preset that is tried; then no pipeline is needed
    #[arg(value_name = "PRESET", conflicts_with_all = ["sink", "source", "process"])]
    pub(super) preset: Option<String>,
    /// Pipeline with the chain; may be given several times
    #[arg(long, env = "FOREBAY_CONFIG", value_name = "PATH", required_unless_present = "preset", value_hint = ValueHint::AnyPath)]
    pub(super) config: Vec<PathBuf>,
    /// The sink whose chain is meant [default: the only one with a chain]
    #[arg(long, value_name = "NAME", conflicts_with = "process")]
    pub(super) sink: Option<String>,
    /// The source whose chain before the queue is meant
    #[arg(long, value_name = "NAME", conflicts_with_all = ["process", "sink"])]
    pub(super) source: Option<String>,
    /// A chain below `process` of the top level
    #[arg(long, value_name = "NAME")]
    pub(super) process: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct TestArgs {
    /// Pipelines, or folders of them
    #[arg(value_name = "PATH", required = true, value_hint = ValueHint::AnyPath)]
    pub(super) paths: Vec<PathBuf>,
    /// Write JSON to standard output
    #[arg(long)]
    pub(super) json: bool,
    /// Write the form of JUnit, which CI servers read, to a file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) junit: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ExplainArgs {
    /// A preset [default: all are listed]
    pub(super) name: Option<String>,
    /// Print its tests, too: lines and what becomes of them
    #[arg(long, requires = "name")]
    pub(super) tests: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct RunArgs {
    /// Files, or folders whose *.yaml and *.yml are taken together
    #[arg(value_name = "PATH", required = true, value_hint = ValueHint::AnyPath)]
    pub(super) paths: Vec<PathBuf>,
    /// Show the first events of each file as each sink would send them, and do nothing else
    #[arg(long)]
    pub(super) dry: bool,
    /// How many events of each file `--dry` shows
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..), requires = "dry")]
    pub(super) lines: u32,
    /// Form of the agent's own log, which goes to standard error
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) log_format: Format,
    /// How much it says: error, warn, info, debug, trace, or `info,forebay::queue=debug` [default: info]
    #[arg(long, env = "FOREBAY_LOG", value_name = "LEVEL")]
    pub(super) log_level: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct DemoArgs {
    /// How long lines are written
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(super) seconds: u64,
    /// Lines per second to write [default: as the demo sees fit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) rate: Option<u64>,
    /// No live view, just lines of text (always so when the output is not a terminal)
    #[arg(long)]
    pub(super) plain: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct StatusArgs {
    /// Write JSON to standard output
    #[arg(long)]
    pub(super) json: bool,
    /// Address of the agent's admin listener [default: that of --config, else 127.0.0.1:8686]
    #[arg(long, env = "FOREBAY_ADMIN", value_name = "ADDR", value_parser = admin)]
    pub(super) admin: Option<SocketAddr>,
    /// Pipeline whose `admin.listen` is meant; may be given several times
    #[arg(long, env = "FOREBAY_CONFIG", value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(super) config: Vec<PathBuf>,
}

/// An address, also as `check` shows it.
fn admin(text: &str) -> Result<SocketAddr, std::net::AddrParseError> {
    text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/').parse()
}

/// Form of the agent's own log.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

impl From<Format> for LogFormat {
    fn from(format: Format) -> LogFormat {
        match format {
            Format::Text => LogFormat::Text,
            Format::Json => LogFormat::Json,
        }
    }
}
