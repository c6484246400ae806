//! For which names a sink needs templates.

use crate::sink::elasticsearch::{ElasticsearchOptions, index::Target};

/// What kind of indices stand behind the names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A data stream, by its name where that is the same for all events.
    DataStream(Option<String>),
    /// An index for each day, month or year: so many days at most.
    Dated(u32),
    /// One index, or one for each value of a field, without an end.
    Endless,
}

/// The indices of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Indices {
    /// The pattern of their names.
    pub pattern: String,
    pub kind: Kind,
}

impl Indices {
    /// Those of `options`; with `data_stream`, an `index` without a date names a data stream. The error says what to change.
    pub fn of(options: &ElasticsearchOptions, data_stream: bool) -> Result<Indices, String> {
        let target = Target::of(options)?;
        let (mut pattern, is_stream) = (target.wildcard(), matches!(target, Target::DataStream { .. }));
        let dated = [("%d", 1), ("%m", 31), ("%Y", 366)].into_iter().find(|(part, _)| !is_stream && options.index.contains(part));
        let kind = match dated {
            Some(_) if data_stream => {
                return Err(format!(
                    "`index: {}` has a date, and a data stream has none: use `data_stream` in the sink, or leave out --data-stream",
                    options.index
                ));
            }
            Some((_, days)) => Kind::Dated(days),
            None if is_stream || data_stream => Kind::DataStream(target.constant()),
            None => Kind::Endless,
        };
        while pattern.contains("*.*") {
            pattern = pattern.replace("*.*", "*");
        }
        if pattern.starts_with('*') {
            return Err(format!(
                "its template would be for `{pattern}`, and so for indices of others too: let the name begin with a constant, such as `logs-`"
            ));
        }
        Ok(Indices { pattern, kind })
    }

    /// The name of what is installed for them.
    pub fn template(&self) -> String {
        format!("forebay-{}", self.pattern.replace('*', "all"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::elasticsearch::DataStreamOptions;

    fn index(index: &str) -> ElasticsearchOptions {
        ElasticsearchOptions { index: index.into(), ..ElasticsearchOptions::default() }
    }

    #[test]
    fn names_become_patterns() {
        for (name, pattern, kind, template) in [
            ("logs-app", "logs-app", Kind::Endless, "forebay-logs-app"),
            ("logs-{service.name}-%Y.%m.%d", "logs-*-*", Kind::Dated(1), "forebay-logs-all-all"),
            ("logs-%Y.%m", "logs-*", Kind::Dated(31), "forebay-logs-all"),
            ("logs-{service.name}", "logs-*", Kind::Endless, "forebay-logs-all"),
        ] {
            let found = Indices::of(&index(name), false).unwrap();
            assert_eq!((found.pattern.as_str(), found.template().as_str()), (pattern, template), "{name}");
            assert_eq!(found.kind, kind, "{name}");
        }
        assert_eq!(Indices::of(&index("app"), true).unwrap().kind, Kind::DataStream(Some("app".into())));
        assert!(Indices::of(&index("app-%Y"), true).unwrap_err().contains("has a date"));
        assert!(Indices::of(&index("{service.name}"), false).unwrap_err().contains("begin with a constant"));
        let stream = |dataset: &str| {
            let data_stream = Some(DataStreamOptions { dataset: dataset.into(), ..DataStreamOptions::default() });
            Indices::of(&ElasticsearchOptions { data_stream, ..ElasticsearchOptions::default() }, false).unwrap()
        };
        assert_eq!(stream("{service.name:app}"), Indices { pattern: "logs-*-default".into(), kind: Kind::DataStream(None) });
        assert_eq!(stream("app").kind, Kind::DataStream(Some("logs-app-default".into())));
    }
}
