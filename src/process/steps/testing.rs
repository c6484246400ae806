//! What tests of processors share: a chain of YAML, and what it makes of a line.

use crate::process::chain::{Chain, Verdict};
use crate::process::event::{Document, Path, Value};

fn load(chain: &str) -> Result<Chain, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.yaml");
    std::fs::write(
        &path,
        format!("sources: {{app: {{type: file, include: /a}}}}\nsinks: {{out: {{type: console}}}}\nprocess:\n  c: {chain}\n"),
    )
    .unwrap();
    let config = crate::config::load(&[path], &|_| None).map_err(|e| e.render(false))?;
    Ok(config.process["c"].clone())
}

/// The chain, which is right.
pub(crate) fn chain(chain: &str) -> Chain {
    load(chain).unwrap_or_else(|e| panic!("{e}"))
}

/// What is said of a chain that is wrong.
pub(crate) fn wrong(chain: &str) -> String {
    load(chain).unwrap_err()
}

/// The document of a line, or what became of it. It was appended at 2026-01-02T03:04:05Z.
pub(crate) fn run(text: &str, line: &str) -> String {
    let mut chain = chain(text);
    let mut document = Document::default();
    document.begin_with(r#"{"message":"","log":{"offset":0}}"#, 1_767_323_045_000).unwrap();
    let message = document.push(line);
    document.set(&Path::parse("message").unwrap(), Value::Text(message)).unwrap();
    match chain.run(&mut document, &mut 0) {
        Verdict::Send => {
            let mut out = Vec::new();
            document.render(&mut out);
            let text = String::from_utf8(out).unwrap();
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
            text
        }
        Verdict::Filtered(step) => format!("filtered by {}", chain.step(step)),
        Verdict::DeadLetter(why) => format!("dead letter: {why}"),
    }
}

/// The document without its braces.
pub(crate) fn members(text: &str, line: &str) -> String {
    let shown = run(text, line);
    assert!(!shown.contains(crate::process::chain::FAILED), "{shown}");
    shown[1..shown.len() - 1].to_string()
}

/// A chain that sees one event after the other, with a place and a time of their own.
pub(crate) struct Lines {
    chain: Chain,
    document: Document,
}

impl Lines {
    pub(crate) fn new(text: &str) -> Lines {
        Lines { chain: chain(text), document: Document::default() }
    }

    /// The document of the line at this byte of the file, appended at `ms`, or what became of it.
    pub(crate) fn at(&mut self, line: &str, offset: u64, ms: u64) -> String {
        let document = &mut self.document;
        document.begin_with(&format!(r#"{{"message":"","log":{{"offset":{offset},"file":{{"path":"/a"}}}}}}"#), ms).unwrap();
        let message = document.push(line);
        document.set(&Path::parse("message").unwrap(), Value::Text(message)).unwrap();
        match self.chain.run(document, &mut 0) {
            Verdict::Send => {
                let mut out = Vec::new();
                document.render(&mut out);
                String::from_utf8(out).unwrap()
            }
            Verdict::Filtered(step) => format!("filtered by {}", self.chain.step(step)),
            Verdict::DeadLetter(why) => format!("dead letter: {why}"),
        }
    }

    /// Sends a line through and looks at nothing.
    pub(crate) fn chain_only(&mut self, line: &str, offset: u64) {
        let json = format!(r#"{{"message":"","source":{{"ip":"1.2.3.4"}},"log":{{"offset":{offset}}}}}"#);
        self.document.begin_with(&json, 0).unwrap();
        let message = self.document.push(line);
        self.document.set(&Path::parse("message").unwrap(), Value::Text(message)).unwrap();
        self.chain.run(&mut self.document, &mut 0);
    }
}
