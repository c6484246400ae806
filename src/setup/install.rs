//! `forebay setup elasticsearch`: for one sink, what its indices need.

use super::compare::{Owner, owner};
use super::identify::{Product, refusal};
use super::lifecycle::{self, Answer};
use super::mappings::{self, Types, missing_type};
use super::plan::{Item, State, Thing, apply};
use super::target::{Indices, Kind};
use super::templates::index_template;
use super::wire::{Request, Server};
use super::{Flags, Outcome};
use crate::sink::elasticsearch::ElasticsearchOptions;
use serde_json::{Value, json};

/// Installs, or with `flags.dry_run` only plans, all that the sink needs.
pub(crate) fn install(sink: &str, options: &ElasticsearchOptions, server: &dyn Server, flags: &Flags) -> Outcome {
    let mut outcome = Outcome { name: sink.to_string(), server: server.name(), ..Outcome::default() };
    if let Err(why) = steps(options, server, flags, &mut outcome) {
        outcome.error = Some(why);
    }
    outcome
}

fn steps(options: &ElasticsearchOptions, server: &dyn Server, flags: &Flags, outcome: &mut Outcome) -> Result<(), String> {
    let indices = Indices::of(options, flags.data_stream)?;
    let product = Product::ask(server)?;
    outcome.server = format!("{product} at {}", outcome.server);
    outcome.target = indices.pattern.clone();
    let mut types = types(server, &product, flags.force)?;
    // Types that the server refuses; each is found out once.
    for _ in 0..=4 {
        outcome.notes.clear();
        outcome.items = plan(server, &product, &indices, &types, flags, &mut outcome.notes)?;
        if flags.dry_run || outcome.is_refused() {
            return Ok(());
        }
        let Err((failed, why)) = apply(server, &product, &mut outcome.items) else { break };
        let missing =
            failed.reply.as_ref().filter(|_| outcome.items[failed.at].kind == COMPONENT).and_then(|reply| missing_type(&reply.said));
        match missing.map(|name| types.without.insert(name.to_string())) {
            Some(true) => {}
            _ => return Err(why),
        }
    }
    let new_stream = outcome.items.last().is_some_and(|item| item.kind == STREAM && item.request.is_some());
    if !new_stream && outcome.items.iter().any(|item| item.request.is_some()) {
        outcome.notes.push(match &indices.kind {
            Kind::DataStream(name) => format!(
                "this holds for indices that are made from now on: of a data stream that was there before, the next (POST /{}/_rollover)",
                name.as_deref().unwrap_or("NAME")
            ),
            _ => "this holds for indices that are made from now on; those that are there keep their mapping".to_string(),
        });
    }
    Ok(())
}

const STREAM: &str = "data stream";
const COMPONENT: &str = "component template";

/// The types of the server, without those that an earlier run has found missing.
fn types(server: &dyn Server, product: &Product, force: bool) -> Result<Types, String> {
    let mut types = Types::of(product);
    let reply = server.ask(&Request::get(format!("/_component_template/{}", mappings::NAME)))?;
    if !reply.ok() && reply.status != 404 {
        return Err(refusal(Some(product), "component templates", templates_privilege(product), &reply));
    }
    let present = reply.body.pointer("/component_templates/0/component_template").unwrap_or(&Value::Null);
    if !force && matches!(owner(present), Owner::Forebay(_)) {
        let without = present["_meta"]["without"].as_array().into_iter().flatten();
        types.without = without.filter_map(|name| name.as_str().map(str::to_string)).collect();
    }
    Ok(types)
}

fn templates_privilege(product: &Product) -> &'static str {
    if product.is_opensearch() { "cluster_manage_index_templates" } else { "manage_index_templates" }
}

fn plan(
    server: &dyn Server,
    product: &Product,
    indices: &Indices,
    types: &Types,
    flags: &Flags,
    notes: &mut Vec<String>,
) -> Result<Vec<Item>, String> {
    let (name, mut items) = (indices.template(), Vec::new());
    let policy = policy(server, product, indices, &name, flags, notes)?;
    let has_policy = policy.as_ref().is_some_and(|item| !matches!(item.state, State::Refused(..)));
    if !types.without.is_empty() {
        let names: Vec<&str> = types.without.iter().map(String::as_str).collect();
        notes.push(format!("the server has no fields of type {}; others stand in for them", names.join(", ")));
    }
    let component = Thing {
        kind: COMPONENT,
        name: mappings::NAME.into(),
        path: format!("/_component_template/{}", mappings::NAME),
        at: "/component_templates/0/component_template",
        privilege: templates_privilege(product),
        body: types.component(),
        within: "",
    };
    // First, so that nothing else is done yet when the server refuses one of its types.
    items.push(component.plan(server, product, flags.force)?);
    items.extend(policy);
    let template = Thing {
        kind: "index template",
        name: name.clone(),
        path: format!("/_index_template/{name}"),
        at: "/index_templates/0/index_template",
        privilege: templates_privilege(product),
        body: index_template(indices, flags, (has_policy && !product.is_opensearch()).then_some(&name)),
        within: "",
    };
    items.push(template.plan(server, product, flags.force)?);
    notes.extend(winner(server, indices, &name, flags)?);
    if let (true, Kind::DataStream(name)) = (flags.data_stream, &indices.kind) {
        match name {
            Some(name) => items.push(data_stream(server, product, name)?),
            None => notes.push(format!("the data streams {} are made when the first event for each comes", indices.pattern)),
        }
    }
    Ok(items)
}

/// A template of somebody else that matches the same names and has the higher priority.
fn winner(server: &dyn Server, indices: &Indices, own: &str, flags: &Flags) -> Result<Option<String>, String> {
    const FILTER: &str = "index_templates.name,index_templates.index_template.index_patterns,index_templates.index_template.priority";
    let reply = server.ask(&Request::get(format!("/_index_template?filter_path={FILTER}")))?;
    let sample = indices.pattern.replace('*', "x");
    let rival = |one: &Value| {
        let (name, template) = (one["name"].as_str()?, &one["index_template"]);
        let patterns = template["index_patterns"].as_array().cloned().unwrap_or_else(|| vec![template["index_patterns"].clone()]);
        let is_hit = patterns.iter().any(|pattern| pattern.as_str().is_some_and(|pattern| matches(pattern, &sample)));
        let priority = template["priority"].as_u64().filter(|p| *p > u64::from(flags.priority))?;
        (name != own && is_hit).then(|| (priority, name.to_string()))
    };
    // Who may not list them all is not told.
    let highest = reply.body["index_templates"].as_array().into_iter().flatten().filter_map(rival).max();
    Ok(highest.map(|(priority, name)| {
        let pattern = &indices.pattern;
        format!(
            "index template {name} has priority {priority} and matches {pattern}, so it holds instead: --priority {} changes that",
            priority + 1
        )
    }))
}

/// Whether `name` is one of those that `pattern` stands for, in which `*` is any text.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut name) = name.strip_prefix(first).and_then(|name| name.strip_suffix(last)) else { return false };
    middle.split('*').all(|part| {
        let found = name.find(part);
        name = found.map_or("", |at| &name[at + part.len()..]);
        found.is_some()
    })
}

fn data_stream(server: &dyn Server, product: &Product, name: &str) -> Result<Item, String> {
    let privilege = if product.is_opensearch() { "indices:admin/data_stream/create" } else { "create_index" };
    let path = format!("/_data_stream/{name}");
    let reply = server.ask(&Request::get(&path))?;
    if !reply.ok() && reply.status != 404 {
        return Err(refusal(Some(product), &format!("data stream {name}"), privilege, &reply));
    }
    let there = reply.ok() && reply.body["data_streams"].as_array().is_some_and(|all| !all.is_empty());
    let request = (!there).then(|| Request { body: super::wire::Body::None, ..Request::put(path, Value::Null) });
    let state = if there { State::UpToDate } else { State::Created(super::plan::Did::No) };
    Ok(Item { kind: STREAM, name: name.to_string(), state, request, privilege })
}

/// The lifecycle policy, where one is to be and the server can have it.
fn policy(
    server: &dyn Server,
    product: &Product,
    indices: &Indices,
    name: &str,
    flags: &Flags,
    notes: &mut Vec<String>,
) -> Result<Option<Item>, String> {
    if let Some(why) = lifecycle::none(indices, flags) {
        notes.push(why);
        return Ok(None);
    }
    let thing = Thing {
        kind: "lifecycle policy",
        name: name.to_string(),
        path: lifecycle::path(product, name),
        at: "",
        privilege: lifecycle::privilege(product),
        body: lifecycle::policy(product, indices, flags),
        within: "/policy",
    };
    let reply = server.ask(&Request::get(&thing.path))?;
    match lifecycle::answer(product, name, &reply) {
        Answer::Found(present, query) => Ok(Some(thing.decide(Some(&present), &query, flags.force))),
        Answer::Absent => Ok(Some(thing.decide(None, "", flags.force))),
        Answer::Refused => Err(refusal(Some(product), &format!("lifecycle policy {name}"), thing.privilege, &reply)),
        Answer::Unknown => {
            let kind = if product.is_opensearch() { "ISM (index state management)" } else { "ILM (index lifecycle management)" };
            let retention = if flags.retention.is_some() { ": nothing is deleted by its age" } else { "" };
            notes.push(format!(
                "no lifecycle policy{retention}, since the server has no {kind} ({}: {}); the templates do without",
                reply.status, reply.said
            ));
            Ok(None)
        }
    }
}

/// The outcome of several sinks for machines.
pub(crate) fn json(outcomes: &[Outcome], dry_run: bool) -> Value {
    json!({"dry_run": dry_run, "targets": outcomes.iter().map(Outcome::json).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests;
