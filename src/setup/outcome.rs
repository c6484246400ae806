//! What came of a setup, for people and for machines.

use super::plan::{Did, Item, State};
use serde_json::{Value, json};

/// What came of one sink, or of Kibana.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Name of the sink.
    pub name: String,
    /// Product, version and URLs.
    pub server: String,
    /// Pattern of the indices.
    pub target: String,
    pub items: Vec<Item>,
    pub notes: Vec<String>,
    /// What failed.
    pub error: Option<String>,
}

impl Outcome {
    /// Whether something of somebody else is in the way.
    pub fn is_refused(&self) -> bool {
        self.items.iter().any(|item| matches!(item.state, State::Refused(..)))
    }

    /// For people; with `requests`, what would be sent.
    pub fn text(&self, requests: bool) -> String {
        // Beside requests all else is a comment, so that the whole can be pasted into a console.
        let mark = if requests { "# " } else { "" };
        let to = if self.target.is_empty() { String::new() } else { format!(" for {}", self.target) };
        let mut out = format!("{mark}{}: {}{to}\n", self.name, self.server);
        let width = |of: fn(&Item) -> usize| self.items.iter().map(of).max().unwrap_or(0);
        let (kinds, names) = (width(|i| i.kind.len()), width(|i| i.name.chars().count()));
        for item in &self.items {
            out.push_str(&format!("{mark}  {:kinds$}  {:names$}  {}\n", item.kind, item.name, item.state.words()));
            for line in item.state.differences() {
                out.push_str(&format!("{mark}      {line}\n"));
            }
        }
        for note in &self.notes {
            out.push_str(&format!("{mark}  note: {note}\n"));
        }
        if self.is_refused() {
            out.push_str(&format!("{mark}  nothing was changed\n"));
        }
        if requests && self.error.is_none() {
            for request in self.items.iter().filter_map(|item| item.request.as_ref()) {
                out.push_str(&format!("\n{}", request.text()));
            }
        }
        out
    }

    /// The error with how far it came.
    pub fn complaint(&self) -> Option<String> {
        let error = self.error.as_ref()?;
        let done = |did| {
            let of = |item: &&Item| matches!(&item.state, State::Created(d) | State::Changed(d, _) | State::Imported(d) if *d == did);
            let names: Vec<String> = self.items.iter().filter(of).map(|item| format!("{} {}", item.kind, item.name)).collect();
            names.join(", ")
        };
        let (yes, no) = (done(Did::Yes), done(Did::No));
        let so_far = match (yes.is_empty(), no.is_empty()) {
            (true, true) => "nothing was changed".to_string(),
            (true, false) => format!("nothing was done before; not done: {no}"),
            (false, true) => format!("done: {yes}"),
            (false, false) => format!("done: {yes}; not done: {no}"),
        };
        Some(format!("{}: {error} ({so_far})", self.name))
    }

    pub fn json(&self) -> Value {
        json!({
            "name": self.name, "server": self.server, "target": self.target, "notes": self.notes, "error": self.error,
            "items": self.items.iter().map(Item::json).collect::<Vec<_>>(),
        })
    }
}
