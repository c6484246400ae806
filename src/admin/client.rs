//! Asks a running agent for its status.

use super::Status;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// More than any status has; beyond it something else is answering.
const MAX_ANSWER: u64 = 64 << 20;

/// Fetches `/status` from the admin listener on `address`; blocks for some seconds at most.
///
/// # Errors
/// In words for the person who typed `forebay status`: what happened and what to look at.
pub fn fetch_status(address: SocketAddr) -> Result<Status, String> {
    let answer = fetch(address).map_err(|e| match e.kind() {
        io::ErrorKind::ConnectionRefused => format!(
            "nothing listens on {address}: is the agent running, and is this its `admin.listen`? (With `admin: off`, or where the default \
             port was taken at its start, there is no status; its log says so.)"
        ),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("{address} takes the connection but does not answer in time: the agent hangs, or another program listens there")
        }
        _ => format!("cannot ask {address} for the status: {e}"),
    })?;
    let foreign = || format!("what listens on {address} does not answer as a Forebay agent: choose the agent's own `admin.listen`");
    let (head, body) = split(&answer).ok_or_else(foreign)?;
    let code = head.split(' ').nth(1).unwrap_or_default();
    if code != "200" {
        return Err(format!("{} (it answered {code} to GET /status)", foreign()));
    }
    serde_json::from_slice(body).map_err(|e| format!("the status of {address} cannot be read ({e}): is it another version of forebay?"))
}

fn fetch(address: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(3))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_write_timeout(Some(Duration::from_secs(3)))?;
    // HTTP/1.0: the answer is never chunked and ends with the connection.
    stream.write_all(format!("GET /status HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(answer)
}

fn split(answer: &[u8]) -> Option<(&str, &[u8])> {
    let end = memchr::memmem::find(answer, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    head.starts_with("HTTP/1.").then_some((head, &answer[end + 4..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn answered(bytes: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(bytes).unwrap();
        });
        let error = fetch_status(address).unwrap_err();
        server.join().unwrap();
        error.replace(&address.to_string(), "ADDRESS")
    }

    #[test]
    fn says_when_nobody_listens() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = fetch_status(address).unwrap_err();
        assert!(error.starts_with(&format!("nothing listens on {address}: is the agent running")), "{error}");
    }

    #[test]
    fn says_when_it_is_another_program() {
        let foreign = "what listens on ADDRESS does not answer as a Forebay agent: choose the agent's own `admin.listen`";
        assert_eq!(answered(b"220 mail\r\n"), foreign);
        assert_eq!(answered(b"HTTP/1.1 404 Not Found\r\n\r\n"), format!("{foreign} (it answered 404 to GET /status)"));
        assert!(answered(b"HTTP/1.1 200 OK\r\n\r\n{}").contains("is it another version of forebay?"));
    }
}
