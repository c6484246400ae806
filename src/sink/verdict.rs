//! What an HTTP status means of a receiver that takes or refuses a body as a whole.

use super::client::Outcome;
use super::transport::{Answer, answers, excerpt};

/// The outcome of a request that was answered with `answer`; `said` is what the receiver said, safe to show.
pub(crate) fn by_status(answer: &Answer, said: &str) -> Outcome {
    let status = answer.status;
    match status {
        200..=299 => Outcome::Delivered { already_there: 0 },
        408 | 409 | 425 | 429 | 500..=599 => Outcome::Retry { reason: answers(status, said), after: answer.retry_after },
        413 => Outcome::TooLarge { reason: format!("413 {said}") },
        400 | 422 => Outcome::Refused { status, reason: said.to_string() },
        300..=399 => Outcome::Hold {
            reason: format!(
                "the answer is a redirect ({status}) to {:?}, which is not followed: set the right URL",
                excerpt(&answer.location)
            ),
        },
        401 => Outcome::Hold { reason: format!("the log-in is not accepted (401); check `auth` of the sink, or set it: {said}") },
        403 => Outcome::Hold { reason: format!("no permission (403): {said}") },
        404 => Outcome::Hold { reason: format!("there is nothing at this URL (404); check url: {said}") },
        _ => Outcome::Hold { reason: answers(status, said) },
    }
}
