//! `forebay setup`.

use super::{FAILED, OCCUPIED, USAGE, complain, load_or_tell, print, setup_help as help};
use crate::config::{Secret, duration};
use crate::setup::{Access, Flags, Indices, Outcome, Wire, import, install, json};
use crate::sink::elasticsearch::ElasticsearchOptions;
use crate::sink::{Auth, ConnectionOptions, ProxyOptions, SinkKind, TlsOptions};
use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct SetupArgs {
    #[command(subcommand)]
    command: SetupCommand,
}

#[derive(Debug, Subcommand)]
enum SetupCommand {
    /// Installs mappings, index templates and lifecycle policies in Elasticsearch or OpenSearch
    #[command(long_about = help::ELASTICSEARCH, after_long_help = help::ELASTICSEARCH_EXAMPLE, visible_alias = "opensearch")]
    Elasticsearch(Box<ElasticsearchArgs>),
    /// Imports a data view and a dashboard into Kibana or OpenSearch Dashboards
    #[command(long_about = help::KIBANA, after_long_help = help::KIBANA_EXAMPLE, visible_alias = "dashboards")]
    Kibana(Box<KibanaArgs>),
}

/// What both have.
#[derive(Debug, Args)]
struct Common {
    /// Only for this sink; may be given several times
    #[arg(long, value_name = "NAME")]
    sink: Vec<String>,
    /// Ask, but change nothing: print the requests that would be sent
    #[arg(long)]
    dry_run: bool,
    /// Write JSON to standard output
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ElasticsearchArgs {
    /// Pipeline whose sinks are meant; may be given several times
    #[arg(long, env = "FOREBAY_CONFIG", value_name = "PATH", required = true, value_hint = ValueHint::AnyPath)]
    config: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
    /// Delete logs at this age: `30d` [default: never]
    #[arg(long, value_name = "TIME", value_parser = age)]
    retention: Option<Duration>,
    /// Age at which a data stream begins its next index
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = age)]
    rollover_age: Duration,
    /// Size of a primary shard at which it does
    #[arg(long, value_name = "SIZE", default_value = "50gb", value_parser = size)]
    rollover_size: String,
    /// No lifecycle policy
    #[arg(long, conflicts_with = "retention")]
    no_lifecycle: bool,
    /// Primary shards of an index [default: that of the server]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    shards: Option<u32>,
    /// Replicas of each shard [default: that of the server]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=64))]
    replicas: Option<u32>,
    /// `index.codec`, such as `best_compression` [default: that of the server]
    #[arg(long, value_name = "NAME")]
    codec: Option<String>,
    /// Priority of the index template among those that match the same names
    #[arg(long, value_name = "N", default_value_t = 200)]
    priority: u32,
    /// Take `index` (without a date) for the name of a data stream, and create data streams now
    #[arg(long)]
    data_stream: bool,
    /// Replace what somebody else made
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
struct KibanaArgs {
    /// Base URL of Kibana or OpenSearch Dashboards, such as http://kibana:5601
    #[arg(long, env = "FOREBAY_KIBANA_URL", value_name = "URL", value_hint = ValueHint::Url)]
    url: String,
    /// Pattern of the indices [default: those of the sinks of --config, else `logs-*`]
    #[arg(long, value_name = "PATTERN", conflicts_with = "config")]
    pattern: Option<String>,
    /// Pipeline whose sinks are meant; may be given several times
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    config: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
    /// User; the password is in $FOREBAY_KIBANA_PASSWORD
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Password of --user
    #[arg(env = "FOREBAY_KIBANA_PASSWORD", hide = true, hide_env_values = true, long = "password-from-environment")]
    password: Option<String>,
    /// API key of Kibana, instead of a user
    #[arg(env = "FOREBAY_KIBANA_API_KEY", hide = true, hide_env_values = true, long = "api-key-from-environment")]
    api_key: Option<String>,
    /// PEM file of the certificate authorities to trust instead of the system's
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    ca_file: Option<PathBuf>,
    /// Space of Kibana
    #[arg(long, value_name = "ID", value_parser = space)]
    space: Option<String>,
}

/// A time of at least a second.
fn age(text: &str) -> Result<Duration, String> {
    match duration(text) {
        Ok(time) if time >= Duration::from_secs(1) && time.subsec_nanos() == 0 => Ok(time),
        _ => Err("expected whole seconds or more with a unit, such as `30d` or `12h`".into()),
    }
}

/// A size as the servers write it.
fn size(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_lowercase());
    match (digits.parse::<u64>(), &lower[digits.len()..]) {
        (Ok(1..), "b" | "kb" | "mb" | "gb" | "tb") => Ok(lower),
        _ => Err("expected a whole number with kb, mb, gb or tb, such as `50gb`".into()),
    }
}

fn space(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if !text.is_empty() && text.chars().all(fits) {
        Ok(text.into())
    } else {
        Err("expected the identifier of a space, as in its URL: /s/ID".into())
    }
}

/// Does it; the exit code.
pub(super) fn setup(args: &SetupArgs) -> u8 {
    let outcomes = match &args.command {
        SetupCommand::Elasticsearch(args) => elasticsearch(args).map(|outcomes| (outcomes, &args.common)),
        SetupCommand::Kibana(args) => kibana(args).map(|outcomes| (outcomes, &args.common)),
    };
    match outcomes {
        Ok((outcomes, common)) => tell(&outcomes, common),
        Err(code) => code,
    }
}

fn tell(outcomes: &[Outcome], common: &Common) -> u8 {
    let printed = if common.json {
        print(format!("{:#}\n", json(outcomes, common.dry_run)).as_bytes())
    } else {
        let text: Vec<String> = outcomes.iter().map(|o| o.text(common.dry_run)).collect();
        print(text.join("\n").as_bytes())
    };
    let complaints: Vec<String> = outcomes.iter().filter_map(Outcome::complaint).collect();
    complaints.iter().for_each(|complaint| complain(complaint));
    match (complaints.is_empty(), outcomes.iter().any(Outcome::is_refused)) {
        (false, _) => FAILED,
        (true, true) => OCCUPIED,
        (true, false) => printed,
    }
}

/// The elasticsearch sinks that are meant.
fn sinks(config: &[PathBuf], only: &[String]) -> Result<Vec<(String, ElasticsearchOptions)>, u8> {
    let all = load_or_tell(config)?.sinks.into_iter();
    let all: Vec<_> = all
        .filter_map(|sink| match sink.kind {
            SinkKind::Elasticsearch(own) => Some((sink.name, own)),
            _ => None,
        })
        .collect();
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    let has = if names.is_empty() { "it has none of type elasticsearch".into() } else { format!("it has {}", names.join(", ")) };
    if let Some(name) = only.iter().find(|name| !names.contains(&name.as_str())) {
        complain(&format!("the pipeline has no elasticsearch sink `{name}`: {has}"));
        return Err(USAGE);
    }
    if all.is_empty() {
        complain(&format!("the pipeline has no sink to prepare: {has}"));
        return Err(USAGE);
    }
    Ok(all.into_iter().filter(|(name, _)| only.is_empty() || only.contains(name)).collect())
}

fn elasticsearch(args: &ElasticsearchArgs) -> Result<Vec<Outcome>, u8> {
    let flags = Flags {
        retention: args.retention,
        rollover_age: args.rollover_age,
        rollover_size: args.rollover_size.clone(),
        lifecycle: !args.no_lifecycle,
        shards: args.shards,
        replicas: args.replicas,
        codec: args.codec.clone(),
        priority: args.priority,
        data_stream: args.data_stream,
        force: args.force,
        dry_run: args.common.dry_run,
    };
    let one = |(name, options): (String, ElasticsearchOptions)| match Wire::new(&name, &options.endpoints, &options.connection) {
        Ok(wire) => install(&name, &options, &wire, &flags),
        Err(error) => Outcome { error: Some(error.to_string()), name, ..Outcome::default() },
    };
    Ok(sinks(&args.config, &args.common.sink)?.into_iter().map(one).collect())
}

fn kibana(args: &KibanaArgs) -> Result<Vec<Outcome>, u8> {
    let usage = |message: &str| {
        complain(message);
        USAGE
    };
    let auth = match (&args.user, &args.password, &args.api_key) {
        (Some(user), Some(password), _) => Auth::Basic { user: Secret::new(user.clone()), password: Secret::new(password.clone()) },
        (Some(_), None, _) => return Err(usage("--user needs its password in $FOREBAY_KIBANA_PASSWORD")),
        (None, _, Some(key)) => Auth::ApiKey(Secret::new(key.clone())),
        (None, _, None) => Auth::None,
    };
    let mut patterns = Vec::new();
    match &args.pattern {
        Some(pattern) if pattern.trim().is_empty() => return Err(usage("--pattern is empty; expected one such as `logs-*`")),
        Some(pattern) => patterns.push(pattern.clone()),
        None if args.config.is_empty() => patterns.push("logs-*".to_string()),
        None => {
            for (name, options) in sinks(&args.config, &args.common.sink)? {
                patterns.push(Indices::of(&options, false).map_err(|why| usage(&format!("{name}: {why}")))?.pattern);
            }
            patterns.sort();
            patterns.dedup();
        }
    }
    let tls = TlsOptions { ca_file: args.ca_file.clone(), ..TlsOptions::default() };
    let timeout = Duration::from_secs(60);
    let connection = ConnectionOptions { auth, tls, proxy: ProxyOptions::Environment, timeout, ..ConnectionOptions::default() };
    let wire = Wire::new("setup kibana", std::slice::from_ref(&args.url), &connection);
    let wire = wire.map_err(|error| usage(&error.to_string()))?;
    let access = |pattern| Access { space: args.space.clone(), pattern, dry_run: args.common.dry_run };
    Ok(patterns.into_iter().map(|pattern| import(&wire, &access(pattern))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_sizes_that_a_server_takes() {
        assert_eq!(age("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!((size("50GB").as_deref(), size("512mb").as_deref()), (Ok("50gb"), Ok("512mb")));
        assert!(["0s", "30", "10ms", "1.5d"].iter().all(|text| age(text).is_err()));
        assert!(["50", "0gb", "gb", "1.5gb", "50gib"].iter().all(|text| size(text).is_err()));
        assert!(space("ops-1").is_ok() && space("../x").is_err() && space("").is_err());
    }
}
