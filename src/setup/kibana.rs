//! `forebay setup kibana`: which of Kibana and OpenSearch Dashboards it is, and the import.

use super::Outcome;
use super::dashboards::{dashboard_id, objects};
use super::identify::version;
use super::plan::{Did, Item, State};
use super::wire::{Body, Reply, Request, Server};
use serde_json::Value;
use std::fmt;

/// What shows logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kibana {
    /// OpenSearch Dashboards, not Kibana.
    opensearch: bool,
    number: String,
}

/// Where in it the objects go.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    /// Space of Kibana; the default one without.
    pub space: Option<String>,
    pub pattern: String,
    pub dry_run: bool,
}

impl fmt::Display for Kibana {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.opensearch { "OpenSearch Dashboards" } else { "Kibana" }, self.number)
    }
}

fn refusal(what: &str, reply: &Reply) -> String {
    let said = if reply.said.is_empty() { String::new() } else { format!(": {}", reply.said) };
    match reply.status {
        401 => {
            format!("{what}: the log-in is not accepted (401){said}; see --user and $FOREBAY_KIBANA_PASSWORD, or $FOREBAY_KIBANA_API_KEY")
        }
        403 => format!(
            "{what}: the user may not do that (403){said}; give its role the privileges to write saved objects (in Kibana: `Saved Objects Management: All`)"
        ),
        413 => format!("{what}: a proxy in between takes no body of some 10 KB (413){said}"),
        503 => format!("{what}: it is not ready yet (503){said}; run the command again when it is"),
        status => format!("{what}: the answer is {status}{said}"),
    }
}

impl Kibana {
    /// Asks. The error says what to do.
    pub fn ask(server: &dyn Server) -> Result<Kibana, String> {
        let reply = server.ask(&Request::get("/api/status"))?;
        let number = reply.body.pointer("/version/number").and_then(Value::as_str).unwrap_or_default();
        let overall = reply.body.pointer("/status/overall");
        match (version(number), overall) {
            // Their versions have never met: the last OpenSearch Dashboards has 3, the first Kibana of this API 7.
            (Some((major, ..)), Some(_)) if major < 5 => Ok(Kibana { opensearch: true, number: number.into() }),
            (Some((major, minor, _)), Some(_)) if (major, minor) >= (7, 10) => Ok(Kibana { opensearch: false, number: number.into() }),
            (Some(_), Some(_)) => Err(format!("Kibana {number} is older than 7.10, from which on it takes these objects")),
            // Without a log-in, Kibana says how it is but not what it is.
            (None, Some(_)) => {
                Err("it does not tell its version without a log-in; see --user and $FOREBAY_KIBANA_PASSWORD, or $FOREBAY_KIBANA_API_KEY"
                    .into())
            }
            _ if !reply.ok() => Err(refusal("/api/status", &reply)),
            _ => Err(format!(
                "it is neither Kibana nor OpenSearch Dashboards: /api/status answers {}; expected their base URL, such as http://kibana:5601",
                reply.said
            )),
        }
    }

    fn request(&self, access: &Access) -> Request {
        let space = access.space.as_deref().filter(|_| !self.opensearch).map(|s| format!("/s/{s}")).unwrap_or_default();
        Request {
            method: "POST",
            path: format!("{space}/api/saved_objects/_import?overwrite=true"),
            headers: vec![(if self.opensearch { "osd-xsrf" } else { "kbn-xsrf" }, "true")],
            body: Body::File { name: "forebay.ndjson", lines: objects(&access.pattern) },
        }
    }
}

/// Imports the saved objects, or with `access.dry_run` only shows them.
pub(crate) fn import(server: &dyn Server, access: &Access) -> Outcome {
    let mut outcome = Outcome { name: "kibana".into(), server: server.name(), target: access.pattern.clone(), ..Outcome::default() };
    if let Err(why) = steps(server, access, &mut outcome) {
        outcome.error = Some(why);
    }
    outcome
}

fn steps(server: &dyn Server, access: &Access, outcome: &mut Outcome) -> Result<(), String> {
    let kibana = Kibana::ask(server)?;
    outcome.server = format!("{kibana} at {}", outcome.server);
    if kibana.opensearch && access.space.is_some() {
        return Err("OpenSearch Dashboards has no spaces but tenants, which a log-in chooses: leave out --space".into());
    }
    let request = kibana.request(access);
    // What is there is not compared: an import replaces what an earlier one has made.
    outcome.items = vec![Item {
        kind: "saved objects",
        name: dashboard_id(&access.pattern),
        state: State::Imported(Did::No),
        request: Some(request.clone()),
        privilege: "",
    }];
    if access.dry_run {
        return Ok(());
    }
    let reply = server
        .ask(&request)
        .map_err(|why| format!("the import: {why}; whether it arrived is not known, and it can simply be sent again"))?;
    if !reply.ok() {
        return Err(refusal("the import", &reply));
    }
    if reply.body["success"] != true {
        return Err(format!("the import was refused in part: {}; run the command again when that is mended", faults(&reply)));
    }
    let results = reply.body["successResults"].as_array();
    let replaced = results.is_some_and(|all| all.iter().any(|one| one["overwrite"] == true));
    outcome.items[0].state = if replaced { State::Changed(Did::Yes, Vec::new()) } else { State::Created(Did::Yes) };
    Ok(())
}

/// The objects that were not imported.
fn faults(reply: &Reply) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_string();
    let one = |fault: &Value| {
        let why = if fault["error"]["message"].is_string() { &fault["error"]["message"] } else { &fault["error"]["type"] };
        format!("{} {}: {}", text(&fault["type"]), text(&fault["id"]), text(why))
    };
    match reply.body["errors"].as_array() {
        Some(all) if !all.is_empty() => all.iter().map(one).collect::<Vec<_>>().join(", "),
        _ => reply.said.clone(),
    }
}

#[cfg(test)]
mod tests;
