//! Whose fault an error is: the moment's (try again), the operator's (hold), or the document's (dead letter).
//!
//! Only what is surely the document's fault may leave the queue. Elasticsearch says 400 to much that is
//! not: a closed index, the shard limit, a missing pipeline.

use super::answer::{BulkAnswer, ErrorCause};
use super::remedy::with_remedy;
use super::uniform::all_arrived;
use crate::sink::client::{Outcome, Rejection};
use crate::sink::transport::{Answer, answers, excerpt, without_values};

/// What an item's status means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It has arrived.
    None,
    /// It had arrived before.
    AlreadyThere,
    /// The moment's: the same item alone, again.
    Moment,
    /// The operator's: hold, and try again slowly.
    Operator,
    /// The document's: it can never arrive.
    Document,
}

/// Classifies an item.
pub(crate) fn item_fault(status: u16, error: &ErrorCause) -> Fault {
    let (kind, reason) = (error.kind.as_str(), error.reason.as_str());
    match status {
        200..=299 => Fault::None,
        409 => Fault::AlreadyThere,
        // A pipeline that says "fail" does so each time, with 500.
        500 if kind == "fail_processor_exception" => Fault::Document,
        429 if kind == "cluster_block_exception" => Fault::Operator,
        408 | 425 | 429 | 500..=599 => Fault::Moment,
        400 | 422 => match kind {
            "index_closed_exception"
            | "cluster_block_exception"
            | "security_exception"
            | "validation_exception"
            | "invalid_index_name_exception"
            | "routing_missing_exception" => Fault::Operator,
            "illegal_argument_exception" if operators_argument(reason) => Fault::Operator,
            _ => Fault::Document,
        },
        413 => Fault::Document,
        // 401, 403, 404, …, and no status at all.
        0 => Fault::Moment,
        _ => Fault::Operator,
    }
}

/// Illegal arguments that no document can cause.
fn operators_argument(reason: &str) -> bool {
    let pipeline = reason.contains("pipeline with id") && reason.contains("does not exist");
    let target = is_create_only(reason) || reason.contains("no write index is defined");
    let routing = reason.contains("specifies a custom routing");
    pipeline || target || routing || reason.contains("data stream timestamp field") && reason.contains("mapping")
}

/// A data stream was asked to replace a document.
fn is_create_only(reason: &str) -> bool {
    reason.contains("only write ops with an op_type of create")
}

/// The outcome of a request with `count` items whose answer is `answer`, and whether items that are to be sent again may
/// have arrived all the same.
pub(crate) fn outcome(answer: &Answer, count: usize) -> (Outcome, bool) {
    if (200..300).contains(&answer.status) {
        return items(answer, count);
    }
    // A proxy says 5xx of what it has passed on; 429 comes before anything is done.
    (refusal(answer), matches!(answer.status, 408 | 500..=599))
}

fn refusal(answer: &Answer) -> Outcome {
    let (status, after) = (answer.status, answer.retry_after);
    let error = serde_json::from_slice::<BulkAnswer>(&answer.body).ok().and_then(|a| a.error);
    let said = || match &error {
        Some(error) => excerpt(&format!("{} {}", error.kind, error.reason)),
        None => answer.excerpt(),
    };
    // An error in other words is that of a proxy, of another product, or of plain HTTP at a TLS port.
    let foreign = || format!("the receiver answers {status}, not in the words of Elasticsearch (is the endpoint right?): {}", said());
    match status {
        300..=399 => Outcome::Hold {
            reason: format!(
                "the answer is a redirect ({status}) to {:?}, which is not followed: set the endpoint to the right URL",
                excerpt(&answer.location)
            ),
        },
        400 if error.as_ref().is_some_and(|e| item_fault(400, e) == Fault::Document) => {
            let reason = error.map(|e| excerpt(&format!("{}: {}", e.kind, e.reason))).unwrap_or_default();
            Outcome::Refused { status, reason }
        }
        413 => Outcome::TooLarge { reason: format!("413 {}", said()) },
        401 => Outcome::Hold { reason: format!("the log-in is not accepted (401); check `auth` of the sink, or set it: {}", said()) },
        403 if error.as_ref().is_none_or(|e| e.kind != "cluster_block_exception") => {
            Outcome::Hold { reason: format!("no permission (403); the user needs create_doc on the index: {}", said()) }
        }
        408 | 425 | 429 | 500..=599 => Outcome::Retry { reason: answers(status, &said()), after },
        _ => Outcome::Hold { reason: error.as_ref().map_or_else(foreign, |e| with_remedy(e, answers(status, &said()))) },
    }
}

fn items(answer: &Answer, count: usize) -> (Outcome, bool) {
    if all_arrived(&answer.body) == Some(count) {
        return (Outcome::Delivered { already_there: 0 }, false);
    }
    let again = |what: String| {
        (Outcome::Retry { reason: format!("{what}; what arrived is not known, the same IDs are sent again"), after: None }, true)
    };
    let parsed: BulkAnswer = match serde_json::from_slice(&answer.body) {
        Ok(parsed) => parsed,
        Err(error) => {
            let kind = excerpt(&answer.content_type);
            // Where a page stands in place of JSON, the place of the first wrong character says nothing.
            let error = if kind.contains("json") { format!("{error}: ") } else { String::new() };
            return again(format!("the answer ({kind}) is no bulk answer (is the endpoint right?): {error}{}", answer.excerpt()));
        }
    };
    let Some(items) = parsed.items else {
        return again(format!("the answer is no bulk answer, it has no items (is the endpoint right?): {}", answer.excerpt()));
    };
    if items.statuses.len() != count {
        return again(format!("the answer has {} items for {count} events", items.statuses.len()));
    }
    let (mut already_there, mut retry, mut rejected) = (0, Vec::new(), Vec::new());
    if let Some((_, error)) = items.errors.iter().find(|(_, error)| is_create_only(&error.reason)) {
        return (Outcome::TakesNoOverwrite { reason: excerpt(&error.reason) }, false);
    }
    let (mut first_moment, mut first_hold) = (None, None);
    let (no_error, mut errors) = (ErrorCause::default(), items.errors.iter().peekable());
    for (item, &status) in items.statuses.iter().enumerate() {
        let error = errors.next_if(|e| e.0 == item).map_or(&no_error, |e| &e.1);
        let words = || {
            let named = error.index.is_empty() || error.reason.contains(&error.index);
            let index = if named { String::new() } else { format!(" (index {})", error.index) };
            let reason = excerpt(&format!("{status} {} {}{index}", error.kind, without_values(&error.reason)));
            with_remedy(error, reason)
        };
        match item_fault(status, error) {
            Fault::None => {}
            Fault::AlreadyThere => already_there += 1,
            Fault::Document => {
                rejected.push(Rejection { item, status, kind: error.kind.clone(), reason: excerpt(&error.reason) });
            }
            Fault::Moment => {
                first_moment.get_or_insert_with(words);
                retry.push(item);
            }
            Fault::Operator => {
                first_hold.get_or_insert_with(words);
                retry.push(item);
            }
        }
    }
    if retry.is_empty() && rejected.is_empty() {
        return (Outcome::Delivered { already_there }, false);
    }
    let hold = first_hold.is_some();
    let first = first_hold.or(first_moment).unwrap_or_default();
    let reason = format!("{} of {count} events not taken, the first: {first}", retry.len());
    // A primary that fails while it replicates may have the document.
    let doubt = retry.iter().any(|item| matches!(items.statuses[*item], 0 | 408 | 500..=599));
    (Outcome::Partial { already_there, retry, hold, reason, rejected }, doubt)
}

#[cfg(test)]
mod tests;
