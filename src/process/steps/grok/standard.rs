//! The patterns that everybody knows by name.

use super::{base, network, servers, time};

/// Name and definition.
pub(super) type Table = &'static [(&'static str, &'static str)];

const TABLES: [Table; 4] = [base::TABLE, time::TABLE, servers::TABLE, network::TABLE];

/// The definition of a pattern.
pub(super) fn find(name: &str) -> Option<&'static str> {
    TABLES.iter().find_map(|table| table.iter().find(|(known, _)| *known == name)).map(|(_, definition)| *definition)
}

/// All names.
pub(super) fn names<'a>() -> Vec<&'a str> {
    TABLES.iter().flat_map(|table| table.iter().map(|(name, _)| *name)).collect()
}
