//! The name of the index, from the configuration and the event's date.

use crate::process::timestamp::date;

/// An index name, perhaps with `%Y`, `%m` and `%d`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexName(String);

impl IndexName {
    /// The name as it is configured.
    pub fn new(pattern: &str) -> IndexName {
        IndexName(pattern.to_string())
    }

    /// The name, if it is the same for all events.
    pub fn constant(&self) -> Option<&str> {
        let dated = ["%Y", "%m", "%d"].iter().any(|part| self.0.contains(part));
        (!dated).then_some(self.0.as_str())
    }

    /// The name with `*` for each part of a date.
    pub fn any_date(&self) -> String {
        ["%Y", "%m", "%d"].iter().fold(self.0.clone(), |name, part| name.replace(part, "*"))
    }

    /// The name for an event appended at `append_ms`; never the clock's, or a retry after midnight would double.
    pub fn at(&self, append_ms: u64) -> String {
        let (year, month, day) = date(append_ms);
        self.0.replace("%Y", &format!("{year:04}")).replace("%m", &format!("{month:02}")).replace("%d", &format!("{day:02}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_come_from_the_event() {
        assert_eq!(IndexName::new("logs-app").constant(), Some("logs-app"));
        let dated = IndexName::new("logs-%Y.%m.%d");
        assert_eq!(dated.constant(), None);
        assert_eq!(dated.at(1_609_459_199_999), "logs-2020.12.31");
        assert_eq!(dated.at(1_609_459_200_000), "logs-2021.01.01");
    }
}
