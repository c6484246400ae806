//! What is run: the rows of each part.

use super::Options;

/// Bytes of a line where it is not what grows.
pub const LINE: usize = 200;
/// What an event's ID, its time and the names around them add to it in a body.
const AROUND: usize = 211;
pub const PARTS: [&str; 7] = ["files", "partitions", "sinks", "lines", "backlog", "idle", "small"];

/// What is run.
#[derive(Clone)]
pub struct Row {
    pub name: String,
    pub lines: u64,
    pub size: usize,
    pub files: u64,
    pub sinks: u64,
    /// More of the pipeline.
    pub set: String,
    /// All is in the queue before the receiver is there, and the agent is killed and started again.
    pub backlog: bool,
    /// So many MiB that all sinks have had are kept in the queue from before.
    pub idle: u64,
    /// On one core, in little memory.
    pub small: Option<Machine>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    OneCore,
    OneCoreInMemory,
}

impl Row {
    fn new(name: String, lines: u64) -> Row {
        Row { name, lines, size: LINE, files: 2, sinks: 1, set: String::new(), backlog: false, idle: 0, small: None }
    }

    /// Lines, bytes of each, and files: rows of the same shape read the same corpus.
    pub fn shape(&self) -> (u64, usize, u64) {
        (self.lines, self.size, self.files)
    }

    /// Events that come to the receiver.
    pub fn events(&self) -> u64 {
        self.lines * self.sinks
    }
}

pub fn rows(o: &Options, part: &str) -> Vec<Row> {
    let row = |name: String| Row::new(name, o.lines);
    let mut rows: Vec<Row> = match part {
        "files" => [1, 10, 100, 1000].map(|n| Row { files: n, ..row(format!("{n} files")) }).into(),
        "partitions" => {
            let set = |n| format!("queue: {{partitions: {n}}}");
            [1, 4, 16].map(|n| Row { files: 32, set: set(n), ..row(format!("{n} partitions, 32 files")) }).into()
        }
        "sinks" => [1, 2, 4, 8].map(|n| Row { sinks: n, ..row(format!("{n} sinks, an event of each")) }).into(),
        "lines" => {
            // As many bytes of bodies with each length.
            let sized = |size: usize| {
                let lines = o.lines * (LINE + AROUND) as u64 / (size + AROUND) as u64;
                Row { size, lines, ..row(format!("lines of {size} bytes")) }
            };
            [50, 100, LINE, 1024, 10_240].map(sized).into()
        }
        "backlog" => {
            let of = |mib: u64| Row { backlog: true, lines: (mib << 20) / LINE as u64, ..row(format!("backlog of {mib} MiB")) };
            let smaller = [64, 256].into_iter().filter(|n| *n < o.backlog).map(of);
            std::iter::once(row("fresh lines".into())).chain(smaller).chain([of(o.backlog)]).collect()
        }
        "idle" => {
            let most = o.idle.iter().max().unwrap_or(&0);
            // Nothing that is kept may go.
            let set = format!("queue: {{max_bytes: {}MiB, retention: {{bytes: {}MiB}}}}", most + 8192, most + 8192);
            let of = |mib: u64| Row { idle: mib, set: set.clone(), ..row(format!("{mib} MiB kept in the queue")) };
            std::iter::once(0).chain(o.idle.iter().copied()).map(of).collect()
        }
        _ => {
            let machine = |small, name: &str| Row { small: Some(small), ..row(name.into()) };
            let cores = machine(Machine::OneCore, "one core");
            vec![row("two cores".into()), cores, machine(Machine::OneCoreInMemory, "one core, 64 MiB")]
        }
    };
    rows.iter_mut().for_each(|row| row.lines = row.lines / row.files * row.files);
    rows
}
