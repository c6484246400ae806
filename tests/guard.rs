//! What `cargo bench --bench guard` and `--bench growth` decide from figures that scatter.

#[path = "../benches/growth/line.rs"]
mod line;
#[path = "../benches/common/verdict.rs"]
mod verdict;

use verdict::{FEWEST, Verdict, interval, verdict};

const LIMIT: f64 = 1.15;
/// As many pairs as fit into the guard's time.
const MOST: usize = 60;

/// Numbers from 0 to 1 that are the same in each run.
fn draws(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Figures around a middle; a tenth of them is up to twice as high, as neighbours on a machine make them.
fn figures(seed: u64, middle: f64, scatter: f64) -> impl Iterator<Item = f64> {
    let mut draw = draws(seed);
    std::iter::repeat_with(move || {
        let bell = draw() + draw() + draw() + draw() - 2.0;
        let neighbour = if draw() < 0.1 { draw() } else { 0.0 };
        middle * (1.0 + scatter * 1.7 * bell + neighbour)
    })
}

/// What the guard would say, and after how many figures.
fn said(seed: u64, middle: f64, scatter: f64) -> (bool, usize) {
    let mut seen = Vec::new();
    for figure in figures(seed, middle, scatter).take(MOST) {
        seen.push(figure);
        match verdict(&seen, LIMIT) {
            Verdict::Undecided => {}
            found => return (found == Verdict::Above, seen.len()),
        }
    }
    (false, MOST)
}

#[test]
fn what_has_not_changed_passes_and_what_is_dearer_does_not() {
    // The more the figures scatter, the dearer an event must be to be found out for sure.
    for (scatter, dearer) in [(0.02, 1.2), (0.05, 1.2), (0.1, 1.3)] {
        let trips = |middle: f64| (1..=1000).filter(|seed| said(*seed, middle, scatter).0).count();
        let (unchanged, found) = (trips(1.0), trips(dearer));
        assert!(unchanged <= 2, "{unchanged} of 1000 without a change trip at a scatter of {scatter}");
        assert!(found >= 990, "only {found} of 1000 that are {dearer} times as dear trip at a scatter of {scatter}");
    }
}

#[test]
fn a_quiet_machine_needs_few_figures() {
    let needed: Vec<usize> = (1..=100).map(|seed| said(seed, 1.0, 0.02).1).collect();
    assert!(needed.iter().sum::<usize>() / needed.len() < 2 * FEWEST, "{needed:?}");
}

#[test]
fn the_interval_holds_the_median() {
    for n in [FEWEST, 16, 40, 100] {
        let missed = (1..=4000).filter(|seed| {
            let mut drawn: Vec<f64> = std::iter::repeat_with(draws(*seed)).skip(5).take(n).collect();
            drawn.sort_by(f64::total_cmp);
            let (low, high) = interval(&drawn);
            low > 0.5 || high < 0.5
        });
        let missed = missed.count();
        assert!(missed <= 40, "{missed} of 4000 at {n} figures");
    }
}

#[test]
fn costs_on_a_straight_line_are_recognised_and_one_beside_it_stands_out() {
    let true_line = line::Line { event: 100.0, byte: 1.5 };
    let costs = |dear: f64| {
        [50.0, 100.0, 200.0, 1024.0, 10_240.0].map(|bytes| (bytes, true_line.at(bytes) * if bytes == 1024.0 { dear } else { 1.0 }))
    };
    let found = line::Line::through(&costs(1.0));
    assert!((found.event - 100.0).abs() < 1e-6 && (found.byte - 1.5).abs() < 1e-9, "{found:?}");
    let off = costs(1.3);
    let found = line::Line::through(&off);
    let away: Vec<f64> = off.iter().map(|(bytes, ns)| ns / found.at(*bytes)).collect();
    assert!(away[3] > 1.10 && away.iter().enumerate().all(|(i, a)| i == 3 || (0.80..1.10).contains(a)), "{away:?}");
}
