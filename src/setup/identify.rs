//! Which search server it is, and what of it can be used.

use super::wire::{Reply, Request, Server};
use std::fmt;

/// The two families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Elasticsearch,
    OpenSearch,
}

/// A search server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Product {
    pub family: Family,
    /// Major and minor version.
    pub version: (u32, u32),
    /// The version as the server writes it.
    pub number: String,
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.family, self.number)
    }
}

/// The first two numbers of a version; further ones are 0 where there are none.
pub(crate) fn version(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split(['.', '-', '+']).map(|part| part.parse().ok());
    Some((parts.next()??, parts.next().flatten().unwrap_or(0), parts.next().flatten().unwrap_or(0)))
}

impl Product {
    /// Asks. The error says what to do.
    pub fn ask(server: &dyn Server) -> Result<Product, String> {
        let reply = server.ask(&Request::get("/"))?;
        if !reply.ok() {
            return Err(refusal(None, "asking for its version", "monitor", &reply));
        }
        let number = reply.body.pointer("/version/number").and_then(|n| n.as_str()).unwrap_or_default();
        let Some((major, minor, _)) = version(number) else {
            return Err(format!("it is neither Elasticsearch nor OpenSearch: it answers {}", reply.said));
        };
        let distribution = reply.body.pointer("/version/distribution").and_then(|d| d.as_str());
        let family = if distribution == Some("opensearch") { Family::OpenSearch } else { Family::Elasticsearch };
        let product = Product { family, version: (major, minor), number: number.to_string() };
        // An OpenSearch may be told to call itself 7.10.2.
        if family == Family::Elasticsearch && product.version < (7, 9) {
            return Err(format!(
                "{product} has no data streams and no templates of components; Elasticsearch 7.9 or OpenSearch 1.0 is needed"
            ));
        }
        Ok(product)
    }

    pub fn is_opensearch(&self) -> bool {
        self.family == Family::OpenSearch
    }
}

/// What a refused request means, and what to do; `what` was asked for, which needs `privilege`.
pub(crate) fn refusal(product: Option<&Product>, what: &str, privilege: &str, reply: &Reply) -> String {
    let said = &reply.said;
    let colon = if said.is_empty() { "" } else { ": " };
    match reply.status {
        401 => format!("{what}: the server does not accept the log-in (401){colon}{said}; see `auth` of the sink"),
        403 => {
            let of = if product.is_some_and(Product::is_opensearch) { "permission" } else { "privilege" };
            format!(
                "{what}: the user of the sink may not do that (403){colon}{said}; give its role the {of} `{privilege}`, or run this once with another `auth`"
            )
        }
        429 | 500..=599 => format!("{what}: the server answers {}{colon}{said}; run the command again when it is well", reply.status),
        400 if said.contains("multiple index templates") || said.contains("same priority") => {
            format!(
                "{what}: the server refuses it (400){colon}{said}; where another template has the same priority, give another --priority"
            )
        }
        status => format!("{what}: the server refuses it ({status}){colon}{said}"),
    }
}
