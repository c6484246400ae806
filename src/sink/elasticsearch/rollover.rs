//! What an earlier try has brought, where the server does not recognise it.
//!
//! An `_id` is unique within one index. Of a data stream, or an alias that is rolled over, the same ID is taken again once
//! there is a new write index, and the 409 that makes a retry harmless never comes. So before anything is sent again of which
//! nobody knows whether it arrived, the indices that an earlier try can have reached are asked for its IDs:
//!
//! 1. `GET TARGET/_settings` tells whether the name stands for one index of that name; then a 409 tells all, and nothing is asked.
//! 2. An earlier try that is still being worked on is waited for (`GET _tasks`, by its `X-Opaque-Id`), else it could still
//!    arrive behind the question.
//! 3. A realtime `_mget`, newest index first, tells what is there. The present write index is asked too, so that a rollover
//!    between the question and the retry changes nothing.
//!
//! An index that was rolled over more than [`SKEW_MS`] before the oldest event of the batch was queued cannot hold it.

use super::bulk::BulkClient;
use crate::sink::client::{Arrival, Doubtful, item_range};
use crate::sink::transport::{Answer, excerpt};
use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// The clocks of this host and of the cluster may differ by this much, ms.
const SKEW_MS: u64 = 24 * 3_600_000;
/// IDs in one question.
const MOST_IDS: usize = 5_000;
/// A request may lie in a socket of the server, not yet read, when the server is asked what it works on.
const UNREAD: Duration = Duration::from_millis(250);
/// How long an earlier try is given to end where the server does not tell what it works on.
const BLIND: Duration = Duration::from_secs(5);

/// What an action line names.
#[derive(Deserialize)]
struct Action {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_index")]
    index: Option<String>,
    routing: Option<String>,
}

/// An event in question.
struct Wanted {
    /// Its place among those in question.
    place: usize,
    action: Action,
}

/// Indices behind a name.
#[derive(Debug, PartialEq, Eq)]
enum Behind {
    /// There is none yet, or one of that very name: an ID that is there is recognised.
    One,
    /// Several, or one that may not stay the only one; the newest first.
    Several(Vec<String>),
}

/// A bulk answer: where each event is.
#[derive(Deserialize)]
struct Landed {
    items: Vec<HashMap<String, LandedItem>>,
}

#[derive(Deserialize)]
struct LandedItem {
    #[serde(rename = "_index")]
    index: String,
}

#[derive(Deserialize)]
struct Settings {
    settings: HashMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Tasks {
    tasks: Vec<Task>,
    node_failures: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Task {
    headers: HashMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Got {
    docs: Vec<Doc>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Doc {
    found: Option<bool>,
    error: Option<DocError>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct DocError {
    #[serde(rename = "type")]
    kind: String,
}

/// Why an answer cannot be used: `Ok` as it is, else what follows from it.
fn usable(answer: Answer, privilege: &str) -> Result<Answer, Arrival> {
    let later = |hold| Arrival::Later { reason: format!("{} {}", answer.status, answer.excerpt()), hold, answered: true };
    match answer.status {
        200 | 404 => Ok(answer),
        401 => Err(later(true)),
        408 | 425 | 429 | 500..=599 => Err(later(false)),
        403 => Err(Arrival::Unknown { reason: format!("the user lacks the privilege `{privilege}` (403): {}", answer.excerpt()) }),
        status => Err(Arrival::Unknown { reason: format!("the server answers {status}: {}", answer.excerpt()) }),
    }
}

fn parsed<'a, T: Deserialize<'a>>(answer: &'a Answer, what: &str) -> Result<T, Arrival> {
    serde_json::from_slice(&answer.body)
        .map_err(|e| Arrival::Unknown { reason: format!("its answer to {what} is not understood ({e}): {}", answer.excerpt()) })
}

/// The part before the number and the number of `logs-app-000007`.
fn generation(index: &str) -> Option<(&str, u64)> {
    let (stem, number) = index.rsplit_once('-')?;
    Some((stem, number.parse().ok().filter(|_| number.bytes().all(|b| b.is_ascii_digit()))?))
}

/// Those of `created` (name → creation, ms) that can hold what was sent at `since_ms` or later; the newest first.
fn reachable(created: &HashMap<String, u64>, since_ms: u64) -> Vec<String> {
    let mut all: Vec<(u64, u64, &String)> = Vec::new();
    for (name, ms) in created {
        match generation(name) {
            Some((_, number)) => all.push((number, *ms, name)),
            // Not made by a rollover: nothing tells when it was the write index.
            None => return created.keys().cloned().collect(),
        }
    }
    all.sort_unstable_by(|a, b| b.cmp(a));
    // Each was the write index until the next one was made.
    let ended = |i: usize| i > 0 && all[i - 1].1.saturating_add(SKEW_MS) < since_ms;
    (0..all.len()).filter(|i| !ended(*i)).map(|i| all[i].2.clone()).collect()
}

impl BulkClient {
    /// See [`crate::sink::client::Client::arrived`].
    pub(super) async fn ask_arrived(&self, doubtful: Doubtful<'_>) -> Arrival {
        self.look(doubtful).await.unwrap_or_else(|arrival| arrival)
    }

    /// Whether a request to the one target of the sink may be sent again at once, since its events are recognised.
    pub(super) async fn recognises(&self) -> bool {
        match &self.constant {
            Some(target) => matches!(self.behind(target, 0).await, Ok(Behind::One)),
            None => false,
        }
    }

    /// Whether all events of a bulk answer stand in indices that nobody rolls over, so that a 409 tells all of them.
    pub(super) fn recognised(&self, answer: &Answer) -> bool {
        let plain = |index: &str| match &self.constant {
            Some(target) => index == target,
            None => !index.starts_with('.') && generation(index).is_none(),
        };
        serde_json::from_slice::<Landed>(&answer.body)
            .is_ok_and(|landed| !landed.items.is_empty() && landed.items.iter().flat_map(HashMap::values).all(|own| plain(&own.index)))
    }

    async fn look(&self, doubtful: Doubtful<'_>) -> Result<Arrival, Arrival> {
        let mut targets: BTreeMap<String, Vec<Wanted>> = BTreeMap::new();
        for (place, item) in doubtful.pick.iter().enumerate() {
            let (target, wanted) = self.wanted(place, &doubtful.body[item_range(doubtful.items, *item as usize)])?;
            targets.entry(target).or_default().push(wanted);
        }
        let mut rolling = Vec::new();
        for (target, wanted) in targets {
            if self.behind(&target, doubtful.since_ms).await? != Behind::One {
                rolling.push((target, wanted));
            }
        }
        if rolling.is_empty() {
            return Ok(Arrival::Recognised);
        }
        self.ended(doubtful.batch).await?;
        let mut there = BTreeSet::new();
        for (target, mut wanted) in rolling {
            // Once more: it may have been rolled over while the earlier try was waited for.
            let Behind::Several(indices) = self.behind(&target, doubtful.since_ms).await? else { continue };
            for index in indices {
                for some in wanted.chunks(MOST_IDS) {
                    there.extend(self.found(&index, some).await?);
                }
                wanted.retain(|wanted| !there.contains(&wanted.place));
            }
        }
        Ok(Arrival::There(there.into_iter().collect()))
    }

    fn wanted(&self, place: usize, item: &[u8]) -> Result<(String, Wanted), Arrival> {
        let line = item.split(|b| *b == b'\n').next().unwrap_or_default();
        let action = serde_json::from_slice::<HashMap<String, Action>>(line).ok().and_then(|line| line.into_values().next());
        let target = |action: &Action| action.index.clone().or_else(|| self.constant.clone());
        action.and_then(|action| Some((target(&action)?, Wanted { place, action }))).ok_or_else(|| Arrival::Unknown {
            reason: "an action line could not be read (a mistake in the program; please report it)".into(),
        })
    }

    /// What stands behind a name.
    async fn behind(&self, target: &str, since_ms: u64) -> Result<Behind, Arrival> {
        let mut created = self.created(target).await?;
        if created.is_empty() || created.contains_key(target) {
            return Ok(Behind::One);
        }
        // A rollover takes an alias without `is_write_index` away from the old index.
        if let Some((stem, _)) =
            created.keys().next().filter(|name| created.len() == 1 && !name.starts_with('.')).and_then(|n| generation(n))
        {
            let siblings = self.created(&format!("{stem}-*")).await?;
            let stem = stem.to_string();
            created.extend(siblings.into_iter().filter(|(name, _)| generation(name).is_some_and(|(other, _)| other == stem)));
        }
        Ok(Behind::Several(reachable(&created, since_ms)))
    }

    /// When each of the indices that `name` stands for was made, ms since the Unix epoch.
    async fn created(&self, name: &str) -> Result<HashMap<String, u64>, Arrival> {
        let path = [name, "_settings", "index.creation_date"];
        let answer = usable(self.ask(Method::GET, &path, &[("flat_settings", "true")], Bytes::new()).await?, "view_index_metadata")?;
        if answer.status == 404 {
            return Ok(HashMap::new());
        }
        let all: HashMap<String, Settings> = parsed(&answer, "GET _settings")?;
        let date = |own: &Settings| own.settings.get("index.creation_date").and_then(|ms| ms.parse().ok());
        Ok(all.iter().map(|(name, own)| (name.clone(), date(own).unwrap_or(u64::MAX))).collect())
    }

    /// Waits until no try of the batch is being worked on.
    async fn ended(&self, batch: &str) -> Result<(), Arrival> {
        tokio::time::sleep(UNREAD).await;
        let query = [("actions", "indices:data/write/bulk*"), ("group_by", "none"), ("filter_path", "tasks.headers,node_failures")];
        let answer = match usable(self.ask(Method::GET, &["_tasks"], &query, Bytes::new()).await?, "monitor") {
            Ok(answer) if answer.status == 200 => answer,
            Err(later @ Arrival::Later { .. }) => return Err(later),
            _ => {
                tokio::time::sleep(BLIND).await;
                return Ok(());
            }
        };
        let tasks: Tasks = parsed(&answer, "GET _tasks")?;
        let later = |reason: &str, answered| Err(Arrival::Later { reason: reason.into(), hold: false, answered });
        if tasks.tasks.iter().any(|task| task.headers.get("X-Opaque-Id").is_some_and(|id| id.starts_with(batch))) {
            return later("the server still works on an earlier try of the batch", false);
        }
        if !tasks.node_failures.is_empty() {
            return later("a node does not tell whether it still works on an earlier try of the batch", true);
        }
        Ok(())
    }

    /// The places of those that are in `index`.
    async fn found(&self, index: &str, wanted: &[Wanted]) -> Result<Vec<usize>, Arrival> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let doc = |wanted: &Wanted| match &wanted.action.routing {
            Some(routing) => serde_json::json!({"_id": wanted.action.id, "routing": routing}),
            None => serde_json::json!({"_id": wanted.action.id}),
        };
        let body = serde_json::json!({"docs": wanted.iter().map(doc).collect::<Vec<_>>()}).to_string();
        let query = [("_source", "false"), ("realtime", "true"), ("filter_path", "docs.found,docs.error.type")];
        let answer = usable(self.ask(Method::POST, &[index, "_mget"], &query, body.into()).await?, "read")?;
        if answer.status == 404 {
            // It was deleted meanwhile, with all that was in it.
            return Ok(Vec::new());
        }
        let got: Got = parsed(&answer, "_mget")?;
        if got.docs.len() != wanted.len() {
            let reason = format!("the answer to _mget has {} results for {} IDs", got.docs.len(), wanted.len());
            return Err(Arrival::Unknown { reason });
        }
        let mut found = Vec::new();
        for (doc, wanted) in got.docs.iter().zip(wanted) {
            match (doc.found, &doc.error) {
                (Some(true), _) => found.push(wanted.place),
                (Some(false), _) => {}
                (None, Some(error)) if error.kind == "index_not_found_exception" => {}
                (None, error) => {
                    let kind = error.as_ref().map_or("no result", |e| &e.kind);
                    return Err(Arrival::Unknown { reason: format!("the index {index} cannot be asked: {}", excerpt(kind)) });
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
