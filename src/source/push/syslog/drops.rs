//! How many datagrams the kernel has dropped for a socket, because nobody read them in time.

use std::fs;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Between two looks while datagrams come.
const EVERY: Duration = Duration::from_secs(1);

/// The drops of one UDP socket.
#[derive(Debug)]
pub(crate) struct Drops {
    inode: u64,
    seen: u64,
    looked: Option<Instant>,
}

impl Drops {
    pub(crate) fn of(socket: impl AsFd) -> Drops {
        let inode = rustix::fs::fstat(socket).map_or(0, |s| s.st_ino);
        Drops { inode, seen: 0, looked: None }
    }

    /// Drops since the last look, where one is due.
    pub(crate) fn look(&mut self, now: Instant) -> u64 {
        if self.looked.is_some_and(|at| now < at + EVERY) {
            return 0;
        }
        self.looked = Some(now);
        let total = ["/proc/self/net/udp", "/proc/self/net/udp6"]
            .iter()
            .filter_map(|path| fs::read_to_string(path).ok())
            .find_map(|table| drops_of(&table, self.inode))
            .unwrap_or(self.seen);
        let new = total.saturating_sub(self.seen);
        self.seen = total;
        new
    }
}

/// The last column of the line whose tenth is the socket's inode.
fn drops_of(table: &str, inode: u64) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_whitespace();
        let own = columns.nth(9)?.parse::<u64>().ok()? == inode;
        if own { columns.last()?.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn the_kernel_tells_what_it_dropped() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            \x20 1: 0100007F:0202 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 42\n";
        assert_eq!((drops_of(table, 4711), drops_of(table, 1)), (Some(42), None));
        let (receiver, sender) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let mut drops = Drops::of(&receiver);
        if drops.looked.is_none() && !fs::read_to_string("/proc/self/net/udp").is_ok_and(|t| drops_of(&t, drops.inode).is_some()) {
            return; // No such table here.
        }
        for _ in 0..3_000 {
            // A full buffer is no error for the sender.
            sender.send_to(&[0; 1400], receiver.local_addr().unwrap()).unwrap();
        }
        assert!(drops.look(Instant::now()) > 0, "some of 4 MB are dropped by a buffer of 208 KiB");
        assert_eq!(drops.look(Instant::now()), 0, "not looked at again at once");
    }
}
