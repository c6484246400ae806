//! Whether figures that scatter are higher than a recorded one, and when enough of them are there to say so.

/// What the figures so far say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Their median lies below the limit.
    Within,
    /// It lies above.
    Above,
    /// Both may be; take more of them.
    Undecided,
}

/// Fewest figures that decide anything.
pub const FEWEST: usize = 9;

/// The interval in which the median of what `sorted` is drawn from lies, wrong in about one case of 400 on each side. It
/// follows from ranks alone (whether a figure lies below the median is a toss of a coin), so it asks nothing of how they scatter.
pub fn interval(sorted: &[f64]) -> (f64, f64) {
    let n = sorted.len();
    let half = (2.8 * (n as f64).sqrt() / 2.0).ceil() as usize;
    let low = (n / 2).saturating_sub(half);
    (sorted[low], sorted[n - 1 - low])
}

/// Compares the median of `figures` with `limit`.
pub fn verdict(figures: &[f64], limit: f64) -> Verdict {
    if figures.len() < FEWEST {
        return Verdict::Undecided;
    }
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match interval(&sorted) {
        (_, high) if high < limit => Verdict::Within,
        (low, _) if low > limit => Verdict::Above,
        _ => Verdict::Undecided,
    }
}
