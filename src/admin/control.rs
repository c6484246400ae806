//! The control socket: how `forebay groups` and its like reach a running agent.
//!
//! `data_dir/control.sock` is a Unix domain socket of mode 0600; only the agent's own user and root are answered.
//! One connection carries one request, a line of JSON, and one answer, a line of JSON. The agent makes it once it
//! holds the lock, so a socket that stands there already is a leftover; a clean stop removes it.

use crate::agent::Draining;
use crate::audit::{Audit, AuditedFile, Why};
use crate::queue::{GroupInfo, Inventory, ManageError, Managed, Moved, Overwriting, Redriven, Reset};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::{mpsc, oneshot};

/// A request is no longer than this many bytes.
const MAX_REQUEST: u64 = 1 << 20;
/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(60);
/// `sun_path` has 108 bytes; a longer path is reached through the folder's descriptor.
const MAX_PATH: usize = 100;

/// What the agent can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// All topics and groups.
    Inventory,
    /// Move a group.
    Reset(Reset),
    /// Forget a group.
    Delete {
        /// The group.
        group: String,
        /// Only say what would be done.
        dry_run: bool,
    },
    /// Send the dead letters of a sink again.
    Redrive {
        /// The sink.
        sink: String,
        /// Those that an earlier redrive has sent, too.
        #[serde(default)]
        all: bool,
        /// Only say what would be done.
        dry_run: bool,
    },
    /// What became of every byte of the files.
    Audit {
        /// Absolute paths, folders or globs; none: all.
        files: Vec<String>,
    },
    /// Why a file is read, or is not.
    Why {
        /// Its absolute path.
        file: String,
    },
    /// Read all files to where they end now, and say how far the sinks are with it.
    Drain {
        /// Of an earlier answer; none begins.
        ticket: Option<u64>,
    },
}

impl Request {
    /// Whether it changes something.
    pub fn changes(&self) -> bool {
        match self {
            Request::Inventory | Request::Audit { .. } | Request::Why { .. } | Request::Drain { .. } => false,
            Request::Reset(reset) => !reset.dry_run,
            Request::Delete { dry_run, .. } | Request::Redrive { dry_run, .. } => !dry_run,
        }
    }
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// All topics and groups.
    Inventory(Inventory),
    /// How the group has moved.
    Moved(Moved),
    /// What the group was.
    Deleted(GroupInfo),
    /// What is sent again.
    Redriven(Redriven),
    /// What became of every byte.
    Audit(Box<Audit>),
    /// Why a file is read, or is not.
    Why(Why),
    /// How far the files are read and shipped.
    Draining(Draining),
    /// It cannot be done, in words.
    Error(String),
}

/// Does what a request says. `target` tells of a sink what its target makes of events that overwrite.
pub fn handle(queue: &Managed<'_>, request: &Request, target: &dyn Fn(&str) -> Overwriting) -> Answer {
    let done = || -> Result<Answer, ManageError> {
        Ok(match request {
            Request::Inventory => Answer::Inventory(queue.inventory()),
            Request::Reset(reset) => Answer::Moved(queue.reset(reset, target)?),
            Request::Delete { group, dry_run } => Answer::Deleted(queue.delete(group, *dry_run)?),
            Request::Redrive { sink, all, dry_run } => Answer::Redriven(queue.redrive(sink, *all, *dry_run)?),
            Request::Audit { files } => Answer::Audit(Box::new(crate::audit::audit(queue, None, false, files)?)),
            Request::Why { file } => Answer::Why(crate::audit::explain(queue, None, None, file)?),
            Request::Drain { .. } => Answer::Error("no agent runs: there is nobody to read or ship".into()),
        })
    };
    done().unwrap_or_else(|e| Answer::Error(e.to_string()))
}

/// Writes an [`Answer`] as JSON, in parts, since it may be too large to be in memory as a whole.
pub type Parts = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;

/// What a request is answered with.
#[allow(missing_debug_implementations)]
pub enum Reply {
    /// This.
    Whole(Answer),
    /// What is written when it is called.
    Parts(Parts),
}

/// Answers a request. It may block shortly: it runs on a thread where that is allowed.
pub type Handler = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// So much of an answer is handed on at once, bytes.
const PART: usize = 64 << 10;

/// Hands what is written to the connection, and waits while it is slower.
struct Outgoing(mpsc::Sender<Vec<u8>>);

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.blocking_send(bytes.to_vec()).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An audit as [`Answer::Audit`], written as it is made.
///
/// # Errors
/// Those of `out`. What goes wrong with the audit itself is the answer.
pub(crate) fn write_audit<E: std::fmt::Display>(
    out: &mut dyn Write,
    audit: impl FnOnce(&mut dyn FnMut(AuditedFile)) -> Result<Audit, E>,
) -> io::Result<()> {
    let (mut rows, mut failed) = (0usize, Ok(()));
    let audited = audit(&mut |row| {
        if failed.is_ok() {
            let before: &[u8] = if rows == 0 { b"{\"audit\":{\"files\":[" } else { b"," };
            rows += 1;
            failed = out.write_all(before).and_then(|()| Ok(serde_json::to_writer(&mut *out, &row)?));
        }
    });
    failed?;
    match audited {
        Err(e) => Ok(serde_json::to_writer(out, &Answer::Error(e.to_string()))?),
        Ok(audit) if rows == 0 => Ok(serde_json::to_writer(out, &Answer::Audit(Box::new(audit)))?),
        Ok(audit) => {
            let mut rest = serde_json::to_value(audit)?;
            if let Some(rest) = rest.as_object_mut() {
                rest.remove("files");
            }
            // Its members follow those that are written.
            let rest = rest.to_string();
            write!(out, "],{}}}", rest.strip_prefix('{').unwrap_or_default())
        }
    }
}

/// A listening control socket; dropping it removes it.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    _stop: oneshot::Sender<()>,
}

impl Drop for Control {
    fn drop(&mut self) {
        // A leftover is replaced at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Name of the socket in `data_dir`.
pub const SOCKET: &str = "control.sock";

/// Calls `f` with a path to the socket of `dir` that is short enough for the system.
fn with_path<T>(dir: &Path, f: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let path = dir.join(SOCKET);
    if path.as_os_str().len() <= MAX_PATH {
        return f(&path);
    }
    let folder = File::open(dir)?;
    f(&PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd())))
}

/// Listens in `dir`, whose lock the caller holds.
///
/// # Errors
/// The system's; shipping does not depend on it.
pub fn serve(dir: &Path, handler: Handler, runtime: &tokio::runtime::Handle) -> io::Result<Control> {
    let path = dir.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let _inside = runtime.enter();
    let listener = with_path(dir, |path| tokio::net::UnixListener::bind(path))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let (stop, mut stopped) = oneshot::channel::<()>();
    runtime.spawn(async move {
        loop {
            let accepted = tokio::select! {
                _ = &mut stopped => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let handler = handler.clone();
                    tokio::spawn(async move {
                        // An error is the client's going away.
                        let _ = tokio::time::timeout(PATIENCE, serve_one(stream, handler)).await;
                    });
                }
                Err(e) => {
                    tracing::warn!("control socket: {e}; trying again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    });
    Ok(Control { path, _stop: stop })
}

async fn serve_one(mut stream: tokio::net::UnixStream, handler: Handler) -> io::Result<()> {
    // Between bind and chmod the umask alone decides who may connect.
    let (peer, own) = (stream.peer_cred()?.uid(), rustix::process::geteuid().as_raw());
    if peer != 0 && peer != own {
        return Ok(());
    }
    let mut line = String::new();
    BufReader::new((&mut stream).take(MAX_REQUEST)).read_line(&mut line).await?;
    let (parts, mut outgoing) = mpsc::channel(2);
    let answering = tokio::task::spawn_blocking(move || -> io::Result<()> {
        let mut out = io::BufWriter::with_capacity(PART, Outgoing(parts));
        match serde_json::from_str::<Request>(&line) {
            Ok(request) => match handler(&request) {
                Reply::Parts(write) => write(&mut out)?,
                Reply::Whole(answer) => {
                    if request.changes() {
                        tell(&request, &answer);
                    }
                    serde_json::to_writer(&mut out, &answer)?;
                }
            },
            Err(e) => {
                let text = format!("the agent does not understand the request ({e}): is it another version of forebay?");
                serde_json::to_writer(&mut out, &Answer::Error(text))?;
            }
        }
        out.write_all(b"\n")?;
        out.flush()
    });
    let mut begun = false;
    while let Some(part) = outgoing.recv().await {
        begun = true;
        stream.write_all(&part).await?;
    }
    match answering.await {
        Err(e) if !begun => {
            let mut text =
                serde_json::to_vec(&Answer::Error(format!("the agent failed at this request: {e}"))).map_err(io::Error::other)?;
            text.push(b'\n');
            stream.write_all(&text).await?;
        }
        answered => answered.map_err(io::Error::other)??,
    }
    stream.shutdown().await
}

/// What operators change belongs into the log.
fn tell(request: &Request, answer: &Answer) {
    match answer {
        Answer::Moved(moved) => {
            for m in &moved.moves {
                tracing::info!(
                    group = moved.group,
                    topic = m.topic,
                    partition = m.partition,
                    from = m.from,
                    to = m.to,
                    overwrite_until = m.overwrite_until,
                    "group reset by command"
                );
            }
        }
        Answer::Deleted(info) => tracing::info!(group = info.group, "group deleted by command"),
        Answer::Redriven(done) if done.events == 0 => {}
        Answer::Redriven(done) => {
            tracing::info!(
                sink = done.sink,
                from_queue = done.from_queue,
                from_letter = done.from_letter,
                impossible = done.impossible.values().sum::<u64>(),
                "dead letters are sent again by command"
            );
        }
        Answer::Error(message) => tracing::warn!(?request, "a command was refused: {message}"),
        Answer::Inventory(_) | Answer::Audit(_) | Answer::Why(_) | Answer::Draining(_) => {}
    }
}

/// Asks the agent that holds `dir`; blocks for a minute at most.
///
/// # Errors
/// In words: why there is no answer.
pub fn ask(dir: &Path, request: &Request) -> Result<Answer, String> {
    let path = dir.join(SOCKET);
    let exchange = || -> io::Result<Vec<u8>> {
        let mut stream = with_path(dir, |path| UnixStream::connect(path))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut line = serde_json::to_vec(request).map_err(io::Error::other)?;
        line.push(b'\n');
        stream.write_all(&line)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().map_err(|e| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => format!(
            "data_dir {} is in use, but nothing answers on {}: another forebay command may be at work there, or the agent is starting or \
             stopping, or it could not make the socket (its log says so). Try again, or stop the agent and repeat the command",
            dir.display(),
            path.display()
        ),
        io::ErrorKind::PermissionDenied => {
            format!("{} may be used only by the user of the agent and by root: repeat the command as one of them", path.display())
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => format!("the agent does not answer on {} in time", path.display()),
        _ => format!("cannot ask the agent on {}: {e}", path.display()),
    })?;
    if answer.is_empty() {
        return Err(format!("the agent closed {} without an answer: it answers only its own user and root", path.display()));
    }
    serde_json::from_slice(&answer).map_err(|e| format!("the agent's answer cannot be read ({e}): is it another version of forebay?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    fn echo() -> Handler {
        Arc::new(|request| Reply::Whole(Answer::Error(format!("asked for {request:?}"))))
    }

    #[test]
    fn answers_its_own_user_also_in_a_deep_folder_and_over_a_leftover() {
        let runtime = runtime();
        let dir = tempfile::tempdir().unwrap();
        for dir in [dir.path().to_path_buf(), dir.path().join("d".repeat(120))] {
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join(SOCKET), "left over").unwrap();
            let control = serve(&dir, echo(), runtime.handle()).unwrap();
            let mode = std::fs::metadata(dir.join(SOCKET)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let request = Request::Delete { group: "a\"b\n".into(), dry_run: true };
            assert_eq!(ask(&dir, &request), Ok(Answer::Error(format!("asked for {request:?}"))));
            drop(control);
            assert!(!dir.join(SOCKET).exists());
            assert!(ask(&dir, &request).unwrap_err().contains("nothing answers on"));
        }
    }

    #[test]
    fn what_is_no_request_gets_an_answer_in_words() {
        let (runtime, dir) = (runtime(), tempfile::tempdir().unwrap());
        let _control = serve(dir.path(), echo(), runtime.handle()).unwrap();
        for line in ["\n", "{}\n", "{\"do\":\"frobnicate\"}\n", "\u{0}"] {
            let mut stream = UnixStream::connect(dir.path().join(SOCKET)).unwrap();
            stream.write_all(line.as_bytes()).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.contains("does not understand the request"), "{line:?}: {answer}");
        }
    }

    #[test]
    fn an_audit_in_parts_is_an_audit() {
        let (runtime, dir) = (runtime(), tempfile::tempdir().unwrap());
        let rows = |n: u64| (0..n).map(|n| AuditedFile { path: format!("/logs/{n}\""), written: n, ..AuditedFile::default() });
        let handler: Handler = Arc::new(move |request| {
            let Request::Audit { files } = request else { return Reply::Whole(Answer::Error("?".into())) };
            let count = files.len() as u64 * 5000;
            Reply::Parts(Box::new(move |out| {
                write_audit(out, |take| match count {
                    10_000 => Err("no"),
                    _ => {
                        rows(count).for_each(take);
                        Ok(Audit { running: true, notes: vec!["}".into()], ..Audit::default() })
                    }
                })
            }))
        });
        let _control = serve(dir.path(), handler, runtime.handle()).unwrap();
        let ask = |files: usize| ask(dir.path(), &Request::Audit { files: vec![String::new(); files] });
        for n in [0, 1] {
            let files = rows(n as u64 * 5000).collect();
            let audit = Audit { running: true, notes: vec!["}".into()], files, ..Audit::default() };
            assert_eq!(ask(n), Ok(Answer::Audit(Box::new(audit))));
        }
        assert_eq!(ask(2), Ok(Answer::Error("no".into())));
    }

    #[test]
    fn a_handler_that_fails_is_an_answer_too() {
        let (runtime, dir) = (runtime(), tempfile::tempdir().unwrap());
        let _control = serve(dir.path(), Arc::new(|_| panic!("on purpose")), runtime.handle()).unwrap();
        let answer = ask(dir.path(), &Request::Inventory);
        assert!(matches!(&answer, Ok(Answer::Error(e)) if e.contains("failed at this request")), "{answer:?}");
    }

    #[test]
    fn requests_keep_their_form() {
        let reset = crate::queue::ResetTo::ShiftBy(-5);
        let request =
            Request::Reset(Reset { group: "search".into(), to: reset, topic: None, partition: None, overwrite: true, dry_run: false });
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(
            text,
            r#"{"do":"reset","group":"search","to":{"shift_by":-5},"topic":null,"partition":null,"overwrite":true,"dry_run":false}"#
        );
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
        // As an earlier program asks.
        let earlier = r#"{"do":"redrive","sink":"search","dry_run":true}"#;
        assert_eq!(
            serde_json::from_str::<Request>(earlier).unwrap(),
            Request::Redrive { sink: "search".into(), all: false, dry_run: true }
        );
    }
}
