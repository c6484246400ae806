//! Keeps secrets out of what is printed: which key names hold one, and source lines without their values.

/// Parts of a key or variable name that say that its value is a secret.
const WORDS: [&str; 9] = ["password", "passwd", "api_key", "api-key", "apikey", "bearer", "token", "secret", "authorization"];

/// Shown in place of a secret.
pub(crate) const MASK: &str = "***";

/// Whether the value under this key, or of this environment variable, must not be printed.
pub(crate) fn is_sensitive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word)) || name == "cookie"
}

/// Whether `c` can stand in the name of a key.
fn in_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// Where (in chars) the value after the first secret-bearing key of the line begins.
///
/// This works on text and not on the tree, since a file that cannot be parsed has no tree.
fn secret_value(line: &str) -> Option<usize> {
    let chars: Vec<char> = line.chars().collect();
    for (colon, _) in chars.iter().enumerate().filter(|(_, c)| **c == ':') {
        let mut end = colon;
        while end > 0 && matches!(chars[end - 1], ' ' | '\t' | '"' | '\'') {
            end -= 1;
        }
        let mut start = end;
        while start > 0 && in_name(chars[start - 1]) {
            start -= 1;
        }
        let key: String = chars[start..end].iter().collect();
        if is_sensitive(&key) {
            let mut value = colon + 1;
            while value < chars.len() && chars[value] == ' ' {
                value += 1;
            }
            return Some(value);
        }
    }
    None
}

/// Number of leading blanks; `None` for a line that is blank or a comment.
fn indent(line: &str) -> Option<usize> {
    let rest = line.trim_start_matches([' ', '\t']);
    (!rest.is_empty() && !rest.starts_with('#')).then(|| line.len() - rest.len())
}

/// Whether the line (0-based) continues the value of a secret-bearing key of an earlier line.
fn continues_secret(lines: &[&str], at: usize) -> bool {
    let Some(own) = lines.get(at).copied().and_then(indent) else { return false };
    let mut nearest = true;
    for line in lines[..at].iter().rev() {
        let Some(other) = indent(line) else { continue };
        if std::mem::take(&mut nearest) && secret_value(line).is_some_and(|value| value >= line.trim_end().chars().count()) {
            return true;
        }
        if other < own {
            return secret_value(line).is_some();
        }
    }
    false
}

/// Hides what may be secret in the URLs of a text: user and password, and the query.
pub(crate) fn without_credentials(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',')).unwrap_or(after.len());
        let (url, tail) = after.split_at(end);
        let (url, query) = url.split_at(url.find('?').map_or(url.len(), |at| at + 1));
        // A password may hold a `/`, so the last `@` counts and not the end of the authority.
        let host = url.rfind('@');
        if host.is_some() {
            out.push_str(MASK);
        }
        out.push_str(&url[host.unwrap_or(0)..]);
        if !query.is_empty() {
            out.push_str(MASK);
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// A line (0-based) of a file, fit to be printed: no secrets, no control characters.
/// Also returns the column (chars, 0-based) from which on it is hidden.
pub(crate) fn printable_line(lines: &[&str], at: usize) -> Option<(String, usize)> {
    let line = lines.get(at)?.trim_end();
    let (text, hidden) = if continues_secret(lines, at) {
        let blanks = indent(line).unwrap_or(0);
        (format!("{}{MASK}", " ".repeat(blanks)), blanks)
    } else {
        match secret_value(line) {
            Some(value) if value < line.chars().count() => {
                let kept: String = line.chars().take(value).collect();
                (format!("{kept}{MASK}"), value)
            }
            _ => {
                let shown = without_credentials(line);
                let hidden = if shown == line { usize::MAX } else { line.find("://").map_or(0, |at| line[..at].chars().count()) };
                (shown, hidden)
            }
        }
    };
    Some((text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(), hidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, at: usize) -> String {
        let lines: Vec<&str> = text.lines().collect();
        printable_line(&lines, at).unwrap().0
    }

    #[test]
    fn secrets_on_the_line_are_hidden() {
        assert_eq!(shown("  password: hunter2", 0), "  password: ***");
        assert_eq!(shown("auth: {user: x, \"password\" : hunter2, foo: 1}", 0), "auth: {user: x, \"password\" : ***");
        assert_eq!(shown("x-api-key: abc", 0), "x-api-key: ***");
        assert_eq!(shown("a: http://me:pw@host:1/x and https://q@h", 0), "a: http://***@host:1/x and https://***@h");
        assert_eq!(shown("a: http://me:p/w@host/?key=abc x", 0), "a: http://***@host/?*** x");
        assert_eq!(shown("index: logs", 0), "index: logs");
    }

    #[test]
    fn secrets_over_several_lines_are_hidden() {
        let text = "auth:\n  password: |\n    hunter2\n  user: x\n";
        assert_eq!(shown(text, 2), "    ***");
        assert_eq!(shown(text, 3), "  user: x");
        assert_eq!(shown("token:\nhunter2", 1), "***");
    }
}
