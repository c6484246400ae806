//! `forebay try`: lines of standard input through a chain, documents to standard output.

use super::args::TryArgs;
use super::{FAILED, OK, USAGE, load};
use crate::config::presets::preset;
use crate::config::{Config, host_name_of_kernel};
use crate::process::chain::Chain;
use crate::process::presets::{like, text};
use crate::process::trial::{self, Outcome, Trial};
use crate::queue::now_ms;
use std::io::{BufRead, Write};

/// The chain that is asked for; else what is wrong.
fn chosen(config: Config, args: &TryArgs) -> Result<Chain, String> {
    let names = |names: Vec<&str>| if names.is_empty() { "there is none".to_string() } else { names.join(", ") };
    if let Some(name) = &args.process {
        let known = names(config.process.keys().map(String::as_str).collect());
        return config
            .process
            .get(name)
            .cloned()
            .ok_or_else(|| format!("there is no chain {name} below `process`; expected one of: {known}"));
    }
    if let Some(name) = &args.source {
        let files = config.sources.iter().map(|s| (&s.name, &s.process));
        let all = files.chain(config.inputs.iter().map(|s| (&s.name, &s.process)));
        let with: Vec<_> = all.filter_map(|(name, process)| Some((name.as_str(), process.as_ref()?))).collect();
        let known = names(with.iter().map(|(name, _)| *name).collect());
        let found = with.iter().find(|(source, _)| source == name).map(|(_, process)| process.chain.clone());
        return found.ok_or_else(|| format!("there is no source {name} with `process`; expected one of: {known}"));
    }
    let with: Vec<_> = config.sinks.iter().filter_map(|sink| Some((sink.name.as_str(), sink.process.as_ref()?))).collect();
    let known = names(with.iter().map(|(name, _)| *name).collect());
    match (&args.sink, &with[..]) {
        (Some(name), with) => with.iter().find(|(sink, _)| sink == name).map(|(_, chain)| (*chain).clone()),
        (None, [(_, chain)]) => Some((*chain).clone()),
        (None, _) => None,
    }
    .ok_or_else(|| format!("say whose chain is meant: --sink with one of: {known}; or --process with a name below `process`"))
}

/// The chain of a preset; else what is wrong.
fn of_preset(name: &str) -> Result<Chain, String> {
    let help = || like(name).unwrap_or("`forebay explain` lists them".to_string());
    let text = text(name).ok_or_else(|| format!("there is no preset `{}`: {}", name.escape_debug(), help()))?;
    preset(name, text).map(|preset| preset.chain).map_err(|_| format!("the preset {name} of this build is wrong"))
}

/// Runs; the exit code. A line that is filtered or dead-lettered gives no document, and a word on standard error.
pub(super) fn run(args: &TryArgs) -> u8 {
    let chosen = match &args.preset {
        Some(name) => of_preset(name).map(|chain| (chain, host_name_of_kernel())),
        None => match load(&args.config) {
            Ok(config) => {
                let host_name = config.host_name.clone();
                chosen(config, args).map(|chain| (chain, host_name))
            }
            Err(errors) => {
                let _ = std::io::stderr().write_all(errors.render(false).as_bytes());
                return USAGE;
            }
        },
    };
    match chosen {
        Ok((chain, host_name)) => {
            match pass(chain, &host_name, std::io::stdin().lock(), &mut std::io::stdout().lock(), &mut std::io::stderr()) {
                Ok(()) => OK,
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => OK,
                Err(error) => {
                    eprintln!("forebay try: {error}");
                    FAILED
                }
            }
        }
        Err(why) => {
            eprintln!("forebay try: {why}");
            USAGE
        }
    }
}

fn pass(chain: Chain, host: &str, mut input: impl BufRead, out: &mut impl Write, err: &mut impl Write) -> std::io::Result<()> {
    let (mut trial, stream, mut line) = (Trial::new(Some(chain), host), trial::stream(""), Vec::new());
    let (mut position, mut number) = (0, 0);
    loop {
        line.clear();
        let length = input.read_until(b'\n', &mut line)?;
        if length == 0 {
            return out.flush();
        }
        number += 1;
        let now = now_ms();
        match trial.one(&stream, &line, position, now) {
            Outcome::Document(text) => writeln!(out, "{text}")?,
            Outcome::Filtered(step) => writeln!(err, "line {number}: filtered by {step}")?,
            Outcome::DeadLetter(why) => writeln!(err, "line {number}: to the dead letters: {why}")?,
        }
        position += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_documents() {
        let chain = crate::process::steps::testing::chain(r#"[{json: {on_error: dead_letter}}, {drop: {when: "n == 2"}}]"#);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        pass(chain, "h", &b"{\"n\":1}\r\n{\"n\":2}\nx"[..], &mut out, &mut err).unwrap();
        let document: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&document["n"], &document["host"]["name"]), (&1.into(), &"h".into()));
        let err = String::from_utf8(err).unwrap();
        assert_eq!(err, "line 2: filtered by drop (2)\nline 3: to the dead letters: json (1): no JSON object: no `{` at byte 0\n");
    }

    #[test]
    fn a_preset_needs_no_pipeline() {
        let line = "192.0.2.1 - - [09/Mar/2026:10:15:02 +0100] \"GET /a HTTP/1.1\" 200 7 \"-\" \"curl/8.4.0\"\n";
        let (mut out, mut err) = (Vec::new(), Vec::new());
        pass(of_preset("nginx.access").unwrap(), "h", line.as_bytes(), &mut out, &mut err).unwrap();
        let document: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&document["url"]["original"], err.len()), (&"/a".into(), 0));
        let wrong = |name| of_preset(name).unwrap_err();
        assert_eq!(wrong("nginx.acces"), "there is no preset `nginx.acces`: did you mean `nginx.access`?");
        assert_eq!(wrong("nginx"), "there is no preset `nginx`: did you mean `nginx.access` or `nginx.error`?");
        assert_eq!(wrong("no such"), "there is no preset `no such`: `forebay explain` lists them");
    }
}
