//! `?filter_path=…`: which members of a `_bulk` answer a client wants. With the one that Beats and Forebay's own sink send,
//! an answer has a quarter of the bytes.

/// All members that an answer may have: those of the answer, then those of its items.
const NAMES: [&str; 11] =
    ["took", "errors", "_index", "_id", "_version", "result", "_shards", "_seq_no", "_primary_term", "status", "error"];
const TOP: usize = 2;

/// The members that are wanted, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keep(u16);

impl Keep {
    pub(crate) const ALL: Keep = Keep((1 << NAMES.len()) - 1);

    /// What a URL's query asks for. What is not understood is kept: more than was asked for does no harm.
    pub(crate) fn of(query: Option<&str>) -> Keep {
        let Some(paths) = query.and_then(|q| q.split('&').find_map(|pair| pair.strip_prefix("filter_path="))) else { return Keep::ALL };
        let paths = paths.replace("%2C", ",").replace("%2c", ",").replace("%2A", "*").replace("%2a", "*");
        if paths.is_empty() || paths.contains(['%', '+', '-']) || paths.contains("**") {
            return Keep::ALL;
        }
        let wanted = |n: usize, name: &str| {
            paths.split(',').any(|path| {
                let mut segments = path.split('.');
                let first = segments.next().unwrap_or_default();
                if n < TOP {
                    return matches(first, name);
                }
                // `items`, its operation, whose name does not matter, and the member.
                matches(first, "items") && segments.nth(1).is_none_or(|segment| matches(segment, name))
            })
        };
        Keep(NAMES.iter().enumerate().filter(|(n, name)| wanted(*n, name)).fold(0, |all, (n, _)| all | 1 << n))
    }

    pub(crate) fn has(self, name: &str) -> bool {
        NAMES.iter().position(|n| *n == name).is_some_and(|n| self.0 & 1 << n != 0)
    }
}

/// Whether `name` matches `pattern`, in which at most one `*` stands for anything; with more of them it is taken to match.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((_, rest)) if rest.contains('*') => true,
        Some((head, tail)) => name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_keeps_what_it_names_and_when_in_doubt_everything() {
        let kept = |query: &str| NAMES.iter().filter(|n| Keep::of(Some(query)).has(n)).copied().collect::<Vec<_>>().join(" ");
        assert_eq!(kept("refresh=true&filter_path=errors%2Citems.%2A.status"), "errors status");
        assert_eq!(kept("filter_path=items.*.error.type,to*"), "took error");
        assert_eq!(kept("filter_path=items.index._*"), "_index _id _version _shards _seq_no _primary_term");
        assert_eq!(kept("filter_path=nothing"), "");
        for all in ["", "filter_path=", "filter_path=-items", "filter_path=**.status", "filter_path=*", "filter_path=took,errors,items"] {
            assert_eq!(Keep::of(Some(all)), Keep::ALL, "{all}");
        }
        assert_eq!(Keep::of(None), Keep::ALL);
    }
}
