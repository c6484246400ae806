//! The nearest right name for a wrong one.

/// Names that other shippers use for what is called otherwise here.
const ELSEWHERE: [(&str, &str); 16] = [
    ("input", "sources"),
    ("inputs", "sources"),
    ("output", "sinks"),
    ("outputs", "sinks"),
    ("paths", "include"),
    ("path", "include"),
    ("files", "include"),
    ("hosts", "endpoints"),
    ("host", "endpoints"),
    ("nodes", "endpoints"),
    ("url", "endpoints"),
    ("buffer", "queue"),
    ("username", "user"),
    ("batch_bytes", "batch"),
    ("endpoint", "endpoints"),
    ("uri", "url"),
];

/// Edits (insert, delete, replace, swap of neighbours) between two words.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows: [Vec<usize>; 3] = [vec![0; b.len() + 1], (0..=b.len()).collect(), vec![0; b.len() + 1]];
    for i in 1..=a.len() {
        rows[2][0] = i;
        for j in 1..=b.len() {
            let replace = rows[1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[1][j] + 1).min(rows[2][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[0][j - 2] + 1);
            }
            rows[2][j] = best;
        }
        rows.rotate_left(1);
    }
    rows[1][b.len()]
}

/// The candidate that was most likely meant by `word`, if any is near enough.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |s: &str| -> Vec<char> { s.chars().take(64).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect() };
    let word = plain(word);
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let close = candidates
        .iter()
        .map(|candidate| (distance(&word, &plain(candidate)), *candidate))
        .filter(|(edits, candidate)| *edits <= (word.len().min(candidate.chars().count()) / 3).clamp(1, 4) && *edits < word.len())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate);
    let elsewhere = || {
        let word: String = word.iter().collect();
        ELSEWHERE.iter().filter(|(from, _)| *from == word).find_map(|(_, to)| candidates.iter().find(|candidate| *candidate == to).copied())
    };
    // `elastic` for `elasticsearch`, if it can mean only one.
    let begun = || {
        let word: String = word.iter().collect();
        let mut longer = candidates.iter().filter(|candidate| word.len() >= 3 && candidate.starts_with(&word));
        longer.next().filter(|_| longer.next().is_none()).copied()
    };
    close.or_else(elsewhere).or_else(begun)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found() {
        let keys = ["type", "endpoints", "index", "in_flight", "sinks"];
        assert_eq!(nearest("endpoint", keys), Some("endpoints"));
        assert_eq!(nearest("in-flight", keys), Some("in_flight"));
        assert_eq!(nearest("idnex", keys), Some("index"));
        assert_eq!(nearest("Sink", keys), Some("sinks"));
        assert_eq!(nearest("hosts", keys), Some("endpoints"));
        assert_eq!(nearest("completely_other", keys), None);
        assert_eq!(nearest("elastic", ["elasticsearch", "file"]), Some("elasticsearch"));
        assert_eq!(nearest("retention", ["retention_bytes", "retention_age"]), None, "it could mean either");
        assert_eq!(nearest("", keys), None);
    }

    #[test]
    fn distance_counts_swaps_once() {
        let chars = |s: &str| s.chars().collect::<Vec<_>>();
        assert_eq!(distance(&chars("ab"), &chars("ba")), 1);
        assert_eq!(distance(&chars("kitten"), &chars("sitting")), 3);
        assert_eq!(distance(&chars(""), &chars("abc")), 3);
    }
}
