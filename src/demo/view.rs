//! The live view: a few lines that are drawn again and again on a terminal, else one line a second.

use crate::admin::human::count;
use std::io::{self, Write};

/// What the view shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Scene {
    pub(super) seconds: f64,
    pub(super) total: u64,
    pub(super) written: u64,
    pub(super) rotations: u64,
    pub(super) delivered: u64,
    pub(super) recognised: u64,
    /// Events that wait in the queue; `None` while the agent does not answer.
    pub(super) lag: Option<u64>,
    pub(super) pid: u32,
    pub(super) kills: u64,
    /// What goes wrong at the moment; empty: nothing.
    pub(super) trouble: String,
}

impl Scene {
    fn lag(&self) -> String {
        self.lag.map_or("agent starts".into(), |n| format!("{} wait", count(n)))
    }

    /// One line.
    pub(super) fn line(&self) -> String {
        let trouble = if self.trouble.is_empty() { String::new() } else { format!("  << {}", self.trouble) };
        format!(
            "{:5.1} s  written {:>9}  queue: {:>14}  delivered {:>9}  came again {:>7}  kills {}{trouble}",
            self.seconds,
            count(self.written),
            self.lag(),
            count(self.delivered),
            count(self.recognised),
            self.kills
        )
    }

    /// The picture for a terminal: as many lines each time.
    pub(super) fn picture(&self) -> Vec<String> {
        let trouble =
            if self.trouble.is_empty() { "\x1b[32mnothing\x1b[0m".to_string() } else { format!("\x1b[1;31m{}\x1b[0m", self.trouble) };
        vec![
            format!("\x1b[1mforebay demo\x1b[0m  {:.1} s of about {} s (Ctrl-C stops)", self.seconds, self.total),
            String::new(),
            format!("  app       wrote {:>12} lines, rotated its log {} times by rename", count(self.written), self.rotations),
            format!("  agent     pid {:>14}, killed with kill -9 {} times", self.pid, self.kills),
            format!("  queue     {:>18}", self.lag()),
            format!("  receiver  has {:>14} documents, {} came again and were recognised", count(self.delivered), count(self.recognised)),
            String::new(),
            format!("  going wrong now: {trouble}"),
        ]
    }
}

/// Draws scenes.
pub(super) struct View {
    plain: bool,
    drawn: usize,
    next_line: f64,
}

impl View {
    pub(super) fn new(plain: bool) -> View {
        View { plain, drawn: 0, next_line: 0.0 }
    }

    /// Draws; in plain form at most once a second, or when `now`.
    pub(super) fn draw(&mut self, scene: &Scene, now: bool, out: &mut impl Write) -> io::Result<()> {
        if self.plain {
            if now || scene.seconds >= self.next_line {
                self.next_line = scene.seconds.floor() + 1.0;
                writeln!(out, "{}", scene.line())?;
            }
            return out.flush();
        }
        let mut text = String::new();
        if self.drawn > 0 {
            // Up to the first line of the picture before.
            text.push_str(&format!("\x1b[{}A", self.drawn));
        }
        let picture = scene.picture();
        for line in &picture {
            text.push_str(&format!("\r\x1b[2K{line}\n"));
        }
        self.drawn = picture.len();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene() -> Scene {
        Scene {
            seconds: 9.04,
            total: 30,
            written: 45_200,
            rotations: 3,
            delivered: 30_000,
            recognised: 0,
            lag: Some(15_200),
            pid: 4711,
            kills: 1,
            trouble: "the receiver is down".into(),
        }
    }

    #[test]
    fn plain_is_one_line_a_second() {
        let (mut view, mut out) = (View::new(true), Vec::new());
        for seconds in [9.04, 9.5, 10.0, 10.9] {
            view.draw(&Scene { seconds, ..scene() }, false, &mut out).unwrap();
        }
        view.draw(&Scene { seconds: 10.95, lag: None, trouble: String::new(), ..scene() }, true, &mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r"
          9.0 s  written    45,200  queue:    15,200 wait  delivered    30,000  came again       0  kills 1  << the receiver is down
         10.0 s  written    45,200  queue:    15,200 wait  delivered    30,000  came again       0  kills 1  << the receiver is down
         10.9 s  written    45,200  queue:   agent starts  delivered    30,000  came again       0  kills 1
        ");
    }

    #[test]
    fn a_terminal_is_drawn_over() {
        let (mut view, mut out) = (View::new(false), Vec::new());
        view.draw(&scene(), false, &mut out).unwrap();
        let first = out.len();
        view.draw(&scene(), false, &mut out).unwrap();
        let lines = scene().picture().len();
        assert!(out[first..].starts_with(format!("\x1b[{lines}A").as_bytes()));
        assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 2 * lines);
    }
}
