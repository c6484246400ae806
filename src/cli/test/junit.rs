//! How tests went as XML in the form of JUnit, which CI servers read.

use super::{Tested, report};
use std::fmt::Write as _;

/// A text for an attribute or an element; what XML cannot hold becomes U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            '\0'..'\x20' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// The whole file.
pub(super) fn xml(all: &[Tested]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for Tested { path, outcome } in all {
        let name = escaped(&path.display().to_string());
        let tests = match outcome {
            Ok(tests) => tests,
            Err(errors) => {
                let _ = writeln!(out, "  <testsuite name=\"{name}\" tests=\"1\" failures=\"0\" errors=\"1\">");
                let _ = writeln!(out, "    <testcase name=\"configuration\" classname=\"{name}\">");
                let _ = writeln!(out, "      <error message=\"the configuration is wrong\">{}</error>", escaped(&errors.render(false)));
                out.push_str("    </testcase>\n  </testsuite>\n");
                continue;
            }
        };
        let failures = tests.iter().filter(|done| !done.ok()).count();
        let _ = writeln!(out, "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\">", tests.len());
        for done in tests {
            let _ = write!(out, "    <testcase name=\"{}\" classname=\"{name}\"", escaped(&done.example.name));
            if done.ok() {
                out.push_str("/>\n");
                continue;
            }
            let mut said = String::new();
            report::differences(done, &mut said);
            let place = escaped(&done.example.place);
            let _ = writeln!(out, ">\n      <failure message=\"not as expected at {place}\">{}</failure>\n    </testcase>", escaped(&said));
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}
