//! The figures, with their bars.

/// The table, a row at a time.
#[derive(Default)]
pub struct Table {
    pub missed: usize,
}

impl Table {
    pub fn head() {
        println!("| what | figure | bar | |");
        println!("|---|---|---|---|");
    }

    /// A figure, which is to be below its bar where it has one.
    pub fn row(&mut self, what: &str, figure: f64, unit: &str, bar: Option<f64>) {
        let verdict = bar.map_or("", |bar| if figure < bar { "met" } else { "**missed**" });
        self.missed += usize::from(verdict == "**missed**");
        let shown = |f: f64| if f >= 100.0 || f == f.trunc() { format!("{f:.0}") } else { format!("{f:.2}") };
        let bar = bar.map_or(String::new(), |bar| format!("< {} {unit}", shown(bar)));
        println!("| {what} | {} {unit} | {bar} | {verdict} |", shown(figure));
    }
}
