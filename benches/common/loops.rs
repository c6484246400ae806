//! Bare loops that do what the agent has to do, and nothing else: the limit of the machine.

use rustix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of a read and of a write of the agent.
const READ: usize = 256 << 10;
const WRITE: usize = 1 << 20;
/// Bytes that a sync makes durable at once.
const SYNC: u64 = 4 << 20;
/// What an event's ID, its time and the names around them add to it in a body, and what an answer has for it.
const AROUND: usize = 211;
const ANSWER: usize = 26;
/// Bytes of a body, and of the memory that bodies go through.
const BODY: usize = 1 << 20;
const BODIES: usize = 12;

/// Loops in whose figure is that of `read` once more.
pub const READERS: [&str; 4] = ["split", "look", "sum", "sums"];

/// Touches so much memory and gives it back. Where a host has taken memory that was free for some seconds, the first touch of a page
/// costs ten times its use, and a figure is one of the host. What runs right after this finds pages that are there.
pub fn warm(bytes: usize) {
    let mut memory = vec![0u8; bytes];
    memory.iter_mut().step_by(4096).for_each(|page| *page = 1);
    black_box(&memory);
}

/// CPU seconds of this thread that `work` takes.
fn cost(work: impl FnOnce()) -> f64 {
    let cpu = || {
        let t = clock_gettime(ClockId::ThreadCPUTime);
        t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
    };
    let begun = cpu();
    work();
    cpu() - begun
}

/// CPU seconds of what must be done in user mode with `bytes` bytes of lines: find the newlines, look for what JSON escapes, sum all and
/// each event, copy each into a body.
pub fn bare(size: usize, bytes: usize) -> f64 {
    let mut block: Vec<u8> = (0..READ).map(|n| b"0123456789 abcdefghijklmnopqrst"[n % 31]).collect();
    block.iter_mut().skip(size - 1).step_by(size).for_each(|last| *last = b'\n');
    let mut bodies = vec![vec![1u8; BODY]; BODIES];
    let around = vec![2u8; AROUND];
    let (mut turn, mut to) = (0, 0);
    cost(|| {
        for _ in 0..bytes / READ {
            black_box(memchr::memchr_iter(b'\n', black_box(&block)).fold(0, |a, n| a ^ n));
            black_box((block.is_ascii(), memchr::memchr3(b'"', b'\\', 1, &block), crc32c::crc32c(&block)));
            for event in block.chunks_exact(size) {
                black_box(crc32c::crc32c(event));
                if to + size + AROUND > BODY {
                    (turn, to) = ((turn + 1) % BODIES, 0);
                }
                for part in [event, &around] {
                    bodies[turn][to..to + part.len()].copy_from_slice(black_box(part));
                    to += part.len();
                }
            }
        }
    })
}

/// The bare loops over `files`: what, and CPU seconds. Those named in [`READERS`] read, too.
pub fn machine(size: usize, dir: &Path, files: &[PathBuf]) -> Vec<(&'static str, f64)> {
    let files: Vec<File> = files.iter().map(|path| File::open(path).expect("the corpus")).collect();
    let bytes: u64 = files.iter().map(|f| f.metadata().expect("the corpus").len()).sum();
    let mut block = vec![0; READ];
    let mut each = |work: &mut dyn FnMut(&[u8])| {
        for file in &files {
            let mut at = 0;
            loop {
                let n = file.read_at(&mut block, at).expect("the corpus");
                if n == 0 {
                    break;
                }
                work(&block[..n]);
                at += n as u64;
            }
        }
    };
    let read = cost(|| each(&mut |_| ()));
    let split = cost(|| {
        each(&mut |b| {
            black_box(memchr::memchr_iter(b'\n', b).fold(0, |a, n| a ^ n));
        })
    });
    let look = cost(|| {
        each(&mut |b| {
            black_box((b.is_ascii(), memchr::memchr3(b'"', b'\\', 1, b)));
        })
    });
    let sum = cost(|| {
        each(&mut |b| {
            black_box(crc32c::crc32c(b));
        })
    });
    let sums = cost(|| {
        each(&mut |b| {
            for event in b.chunks(size) {
                black_box(crc32c::crc32c(event));
            }
        })
    });
    let source = vec![7u8; WRITE];
    let file = tempfile::tempfile_in(dir).expect("a file");
    let (mut write, mut sync, mut at) = (0.0, 0.0, 0);
    while at < bytes {
        write += cost(|| file.write_all_at(&source, at).expect("room"));
        at += WRITE as u64;
        if at % SYNC == 0 {
            sync += cost(|| file.sync_data().expect("a sync"));
        }
    }
    drop(file);
    let events = bytes as usize / size;
    let mut bodies = vec![vec![1u8; BODY]; BODIES];
    let each_body = BODY / (size + AROUND);
    let encode = cost(|| {
        let mut left = events;
        for turn in 0.. {
            let body = &mut bodies[turn % BODIES];
            let mut to = 0;
            for event in source.chunks_exact(size).take(each_body.min(left)) {
                body[to..to + size].copy_from_slice(black_box(event));
                to += size;
                body[to..to + AROUND].copy_from_slice(black_box(&source[..AROUND]));
                to += AROUND;
            }
            left = left.saturating_sub(each_body);
            if left == 0 {
                break;
            }
        }
    });
    let (send, receive) = loopback(&bodies, events * (size + AROUND), events * ANSWER);
    vec![
        ("read", read),
        ("split", split),
        ("look", look),
        ("sum", sum),
        ("write", write),
        ("sync", sync),
        ("sums", sums),
        ("encode", encode),
        ("send", send),
        ("receive", receive),
    ]
}

/// CPU seconds of sending `out` bytes over loopback, and of receiving and comparing `back` bytes.
fn loopback(bodies: &[Vec<u8>], out: usize, back: usize) -> (f64, f64) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut buffer = vec![0; BODY];
        let mut left = out;
        while left > 0 {
            left -= stream.read(&mut buffer).expect("bytes").min(left);
        }
        let mut left = back;
        while left > 0 {
            let n = left.min(READ);
            stream.write_all(&buffer[..n]).expect("a receiver");
            left -= n;
        }
    });
    let mut stream = TcpStream::connect(address).expect("a connection");
    let send = cost(|| {
        let (mut left, mut turn) = (out, 0);
        while left > 0 {
            let n = left.min(BODY);
            stream.write_all(&bodies[turn % BODIES][..n]).expect("a receiver");
            (left, turn) = (left - n, turn + 1);
        }
    });
    let mut buffer = vec![0; READ];
    let receive = cost(|| {
        let mut left = back;
        while left > 0 {
            let n = stream.read(&mut buffer).expect("bytes");
            black_box(buffer[..n - 1] == buffer[1..n]);
            left -= n.min(left);
        }
    });
    other.join().expect("the other side");
    (send, receive)
}
