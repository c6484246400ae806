//! The agent's own log: to standard error, for people or as JSON.

use crate::config::LogFormat;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Level unless told otherwise.
const LEVEL: &str = "info";

/// Starts logging. `level` is a level or a list of `target=level`.
///
/// # Errors
/// The level cannot be understood, or logging was started before.
pub(super) fn start(format: LogFormat, level: Option<&str>) -> Result<(), String> {
    let level = level.map(str::trim).filter(|level| !level.is_empty()).unwrap_or(LEVEL);
    let filter = filter(level)?;
    let builder = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    let started = match format {
        LogFormat::Text => builder.with_ansi(super::colour(std::io::stderr().is_terminal())).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_ansi(false).try_init(),
    };
    started.map_err(|error| format!("cannot start the log: {error}"))
}

/// A plain word must be a level: `EnvFilter` alone would take `inof` for a target and say nothing ever after.
fn filter(level: &str) -> Result<EnvFilter, String> {
    let known = ["error", "warn", "info", "debug", "trace", "off"];
    let plain = |part: &&str| !part.contains(['=', '[', ':']);
    if let Some(wrong) = level.split(',').map(str::trim).filter(plain).find(|part| !known.contains(&part.to_ascii_lowercase().as_str())) {
        return Err(format!(
            "the log level `{wrong}` is none of {}\n  such as `--log-level debug` or `info,forebay::queue=debug`",
            known.join(", ")
        ));
    }
    EnvFilter::builder().parse(level).map_err(|error| format!("the log level `{level}` cannot be understood: {error}"))
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn levels() {
        for right in ["info", "DEBUG", "info,forebay::queue=debug", "off"] {
            assert!(filter(right).is_ok(), "{right}");
        }
        for wrong in ["inof", "forebay=loud", "info,x", ""] {
            assert!(filter(wrong).is_err(), "{wrong}");
        }
    }
}
