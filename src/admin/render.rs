//! The status as text.

use super::Status;

/// The status for people; `colour` adds ANSI colours.
pub fn text(status: &Status, _colour: bool) -> String {
    format!("{status:#?}\n")
}
