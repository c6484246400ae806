//! What is there, what is to be there, and the way from the one to the other.

use super::compare::{differences, keep_off};
use super::identify::{Product, refusal};
use super::wire::{Reply, Request, Server};
use serde_json::{Value, json};

/// What came of one thing that is to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It is as wanted.
    UpToDate,
    /// It was not there; whether it is now.
    Created(Did),
    /// It was otherwise: how; whether it is now as wanted.
    Changed(Did, Vec<String>),
    /// It replaces what may be there.
    Imported(Did),
    /// Somebody else's: why it is left alone, and how it differs.
    Refused(String, Vec<String>),
}

/// Whether a request was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Did {
    Yes,
    /// `--dry-run` or an error before it.
    No,
}

impl State {
    /// The state in words.
    pub fn words(&self) -> String {
        match self {
            State::UpToDate => "up to date".into(),
            State::Created(Did::Yes) => "created".into(),
            State::Created(Did::No) => "would be created".into(),
            State::Changed(Did::Yes, _) => "changed".into(),
            State::Changed(Did::No, _) => "would be changed".into(),
            State::Imported(Did::Yes) => "imported".into(),
            State::Imported(Did::No) => "would be imported".into(),
            State::Refused(why, _) => format!("left as it is: {why}; --force replaces it"),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            State::UpToDate => "up_to_date",
            State::Created(Did::Yes) => "created",
            State::Created(Did::No) => "would_create",
            State::Changed(Did::Yes, _) => "changed",
            State::Changed(Did::No, _) => "would_change",
            State::Imported(Did::Yes) => "imported",
            State::Imported(Did::No) => "would_import",
            State::Refused(..) => "refused",
        }
    }

    /// How it differs.
    pub fn differences(&self) -> &[String] {
        match self {
            State::Changed(_, all) | State::Refused(_, all) => all,
            _ => &[],
        }
    }
}

/// One thing that is to be there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    /// `index template`, ….
    pub kind: &'static str,
    pub name: String,
    pub state: State,
    /// What creates or replaces it; `None` where nothing is to be done.
    pub request: Option<Request>,
    /// What the user must be allowed to.
    pub privilege: &'static str,
}

impl Item {
    pub fn json(&self) -> Value {
        let mut out = json!({"kind": self.kind, "name": self.name, "state": self.state.name(), "differences": self.state.differences()});
        if let State::Refused(why, _) = &self.state {
            out["reason"] = json!(why);
        }
        if let Some(request) = &self.request {
            out["request"] = request.json();
        }
        out
    }
}

/// How a thing is asked for and written.
pub(crate) struct Thing<'a> {
    pub kind: &'static str,
    pub name: String,
    pub path: String,
    /// Where it stands in the answer.
    pub at: &'a str,
    pub privilege: &'static str,
    /// What is sent for it.
    pub body: Value,
    /// Where in `body` that stands which the answer has.
    pub within: &'a str,
}

impl Thing<'_> {
    /// Asks for it and decides.
    pub fn plan(&self, server: &dyn Server, product: &Product, force: bool) -> Result<Item, String> {
        let reply = server.ask(&Request::get(&self.path))?;
        let present = match reply.status {
            404 => None,
            _ if reply.ok() => reply.body.pointer(self.at),
            _ => return Err(refusal(Some(product), &format!("{} {}", self.kind, self.name), self.privilege, &reply)),
        };
        Ok(self.decide(present, "", force))
    }

    /// Decides over what is `present`; `query` is needed to replace it.
    pub fn decide(&self, present: Option<&Value>, query: &str, force: bool) -> Item {
        let request = || Some(Request::put(format!("{}{query}", self.path), self.body.clone()));
        let item = |state, request| Item { kind: self.kind, name: self.name.clone(), state, request, privilege: self.privilege };
        let Some(present) = present else { return item(State::Created(Did::No), request()) };
        let lines = differences(self.body.pointer(self.within).unwrap_or(&Value::Null), present);
        match keep_off(present) {
            _ if lines.is_empty() => item(State::UpToDate, None),
            Some(why) if !force => item(State::Refused(why, lines), None),
            _ => item(State::Changed(Did::No, lines), request()),
        }
    }
}

/// Sends what is left to send. The error says what failed; the states say how far it came.
pub(crate) fn apply(server: &dyn Server, product: &Product, items: &mut [Item]) -> Result<(), (Failed, String)> {
    for (at, item) in items.iter_mut().enumerate() {
        let Some(request) = &item.request else { continue };
        let what = format!("{} {}", item.kind, item.name);
        let reply =
            server.ask(request).map_err(|why| (Failed { at, reply: None }, format!("{what}: {why}; whether it arrived is not known")))?;
        if !reply.ok() {
            let why = refusal(Some(product), &what, item.privilege, &reply);
            return Err((Failed { at, reply: Some(reply) }, why));
        }
        match &mut item.state {
            State::Created(did) | State::Changed(did, _) | State::Imported(did) => *did = Did::Yes,
            State::UpToDate | State::Refused(..) => {}
        }
    }
    Ok(())
}

/// Where it ended.
#[derive(Debug)]
pub(crate) struct Failed {
    /// The item.
    pub at: usize,
    pub reply: Option<Reply>,
}
