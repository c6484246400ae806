//! What a kind of sink is: an [`Encoder`] and a [`Client`]. All else (batching, retries, splitting,
//! dead letters, acks, counters) is the delivery engine's.

use crate::admin::EndpointStatus;
use crate::process::shaping::Shaping;
use crate::queue::{Batch, Overwriting};
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Turns a batch into the bytes of a request; runs on the sink's own thread.
pub(crate) trait Encoder: Send {
    /// Appends one item for each event of `batch`, in order, to `out`, and the length of `out` after each to `items`. The
    /// item of an event that the sink's chain keeps out is empty.
    fn encode(&mut self, batch: &Batch, out: &mut Vec<u8>, items: &mut Vec<u32>);

    /// Where the sink's chain is, for kinds that make documents.
    fn shaping(&mut self) -> Option<&mut Shaping> {
        None
    }
}

/// One attempt at sending.
pub(crate) struct Request<'a> {
    /// Names this body: the batch ID, with the range of items where it is a part. The same at each retry.
    pub key: &'a str,
    /// The body, compressed if the client does so.
    pub body: Bytes,
    /// Number of items in it.
    pub items: usize,
    /// Set by a client that has [`Client::arrived`] when items that have no result may have arrived all the same.
    pub doubt: &'a AtomicBool,
    /// There where it could not be learned whether items had arrived before: set by a client that sees from the answer that
    /// they were recognised if they had.
    pub recognised: Option<&'a AtomicBool>,
}

/// Items that may have arrived in an earlier try.
#[derive(Clone, Copy)]
pub(crate) struct Doubtful<'a> {
    /// The batch, as each of its requests is named, with or without a part behind it.
    pub batch: &'a str,
    /// The body of the whole batch, not compressed.
    pub body: &'a [u8],
    /// Where each item of the body ends.
    pub items: &'a [u32],
    /// The items in question, ascending.
    pub pick: &'a [u32],
    /// The earliest time at which they can have been sent, ms since the Unix epoch.
    pub since_ms: u64,
}

/// What is known of [`Doubtful`] items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The receiver recognises what it has: they may simply be sent again.
    Recognised,
    /// Those at these places of `pick` are there, ascending; the others are not.
    There(Vec<usize>),
    /// It cannot be known; sending again may double.
    Unknown {
        /// Why, and what is to be done about it.
        reason: String,
    },
    /// It cannot be known yet.
    Later {
        /// Why.
        reason: String,
        /// Whether a person must mend something first.
        hold: bool,
        /// The receiver does answer, so that this may go on for ever.
        answered: bool,
    },
}

/// What the receiver refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// Index of the item in the request.
    pub item: usize,
    /// Status of the item.
    pub status: u16,
    /// Type of the error, as the receiver names it.
    pub kind: String,
    /// The receiver's reason.
    pub reason: String,
}

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All items have arrived.
    Delivered {
        /// How many of them had arrived earlier.
        already_there: usize,
    },
    /// Each item has its own result; those not named here have arrived.
    Partial {
        /// How many had arrived earlier.
        already_there: usize,
        /// Items to send again, ascending.
        retry: Vec<usize>,
        /// Whether those to send again wait for a person.
        hold: bool,
        /// Why they are sent again.
        reason: String,
        /// Items that can never arrive, ascending.
        rejected: Vec<Rejection>,
    },
    /// Nothing is known to have arrived; it may the next time.
    Retry {
        /// Why, in words.
        reason: String,
        /// The receiver's wish (`Retry-After`).
        after: Option<Duration>,
    },
    /// As [`Outcome::Retry`], but a person must mend something first.
    Hold {
        /// What is to be mended, in words.
        reason: String,
    },
    /// The body is too large for the receiver.
    TooLarge {
        /// The receiver's words.
        reason: String,
    },
    /// Some of the items are refused for good, and the receiver does not say which; the others have arrived.
    RefusedUnnamed {
        /// How many are refused; fewer than there are.
        refused: usize,
        /// The receiver's words.
        reason: String,
    },
    /// The target takes no replacements: the body is to be sent again as [`Client::without_overwrite`] makes it.
    TakesNoOverwrite {
        /// The receiver's words.
        reason: String,
    },
    /// The receiver refuses the body as a whole, because of one or more of its items.
    Refused {
        /// Status of the answer.
        status: u16,
        /// The receiver's words.
        reason: String,
    },
}

/// A future that a [`Client`] returns.
pub(crate) type Sending<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Sends bodies; shared by all batches in flight.
pub(crate) trait Client: Send + Sync + 'static {
    /// One attempt, without retries. Dropping the future gives the attempt up.
    fn send<'a>(&'a self, request: Request<'a>) -> Sending<'a>;

    /// Appends to `out` a body of those items of `body` that `pick` names.
    fn pick(&self, body: &[u8], items: &[u32], pick: &[u32], out: &mut Vec<u8>) {
        for &item in pick {
            out.extend_from_slice(&body[item_range(items, item as usize)]);
        }
    }

    /// Appends to `out` the body that `body` would be if its events replaced nothing, and the length of `out` after each
    /// item to `ends`. Only for a body of a batch that overwrites, from a client that answers [`Outcome::TakesNoOverwrite`].
    fn without_overwrite(&self, body: &[u8], _items: &[u32], out: &mut Vec<u8>, _ends: &mut Vec<u32>) {
        out.extend_from_slice(body);
    }

    /// What the target makes of events that are to replace what it has.
    fn overwriting<'a>(&'a self) -> Pin<Box<dyn Future<Output = Overwriting> + Send + 'a>> {
        let note = "its target knows no documents that could be replaced: all is simply sent again (under new batch names)";
        Box::pin(std::future::ready(Overwriting::SendsAgain(note.into())))
    }

    /// Whether the receiver knows each item by a name of its own, so that a body may be sent in other parts than before.
    fn names_items(&self) -> bool {
        false
    }

    /// How its connections stand.
    fn report(&self) -> Report {
        Report::default()
    }

    /// Which of these items an earlier try has brought, for a receiver that does not always recognise them by itself.
    fn arrived<'a>(&'a self, _doubtful: Doubtful<'a>) -> Pin<Box<dyn Future<Output = Arrival> + Send + 'a>> {
        Box::pin(std::future::ready(Arrival::Recognised))
    }

    /// What is sent for `body`, if it is not `body` itself: compression.
    fn compress(&self, _body: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// What a client has to tell of its connections.
#[derive(Default)]
pub(crate) struct Report {
    /// How each endpoint stands.
    pub endpoints: Vec<EndpointStatus>,
    /// What somebody should know although all works, such as a certificate that ends.
    pub notices: Vec<String>,
}

/// Where item `item` stands in a body.
pub(crate) fn item_range(items: &[u32], item: usize) -> std::ops::Range<usize> {
    let start = if item == 0 { 0 } else { items[item - 1] as usize };
    start..items[item] as usize
}
