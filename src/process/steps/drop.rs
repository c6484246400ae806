//! `drop: {when: …}`: leaves events out.

use crate::config::decode::Map;
use crate::process::chain::{Flow, Processor};
use crate::process::event::{Document, Failure};

/// See the module.
#[derive(Clone, Debug)]
struct Drop;

impl Processor for Drop {
    fn apply(&mut self, _event: &mut Document) -> Result<Flow, Failure> {
        Ok(Flow::Drop)
    }
}

/// Without `when` it would drop all there is.
pub(super) fn decode(map: &mut Map<'_>) -> Option<Box<dyn Processor>> {
    map.require("when", "a condition such as `log.level == \"debug\"`; without one every event would be dropped")?;
    Some(Box::new(Drop))
}

#[cfg(test)]
mod tests {
    use crate::process::steps::testing::{run, wrong};

    #[test]
    fn drops_what_the_condition_names() {
        let chain = r#"[{json: {}}, {drop: {when: 'level == "debug"'}}]"#;
        assert_eq!(run(chain, r#"{"level":"debug"}"#), "filtered by drop (2)");
        assert!(run(chain, r#"{"level":"info"}"#).contains(r#""level":"info""#));
        assert!(wrong("[{drop: {}}]").contains("has no `when`"));
    }
}
