//! One stream for each sender, so that its address costs nothing per event; beyond a bound, one for the rest.

use crate::queue::RunFlags;
use crate::source::push::inlet::{Inlet, Owner};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

/// Senders with a stream of their own. What the others send has no `source.ip`.
const MOST_PEERS: usize = 256;

/// The streams of a syslog source.
pub(crate) struct Peers {
    owner: Owner,
    rest: Arc<Inlet>,
    by_ip: Mutex<HashMap<IpAddr, Arc<Inlet>>>,
}

impl Peers {
    pub(crate) fn new(owner: &Owner) -> Peers {
        // Streams of senders are begun anew at each start; those of earlier runs go with their records, so that senders
        // that come and go do not pile up.
        for stream in owner.producer.streams() {
            let spec = stream.spec();
            if spec.file.is_none() && spec.source == owner.options.name && spec.fields.contains("\"source.ip\":") {
                owner.producer.forget(&stream);
            }
        }
        Peers { owner: owner.clone(), rest: Arc::new(owner.inlet("", &[], RunFlags::SYSLOG)), by_ip: Mutex::default() }
    }

    /// The stream for messages of `peer`; `None`: of this machine, over a Unix socket.
    pub(crate) fn inlet(&self, peer: Option<IpAddr>) -> Arc<Inlet> {
        let Some(ip) = peer.map(|ip| ip.to_canonical()) else { return self.rest.clone() };
        let mut all = self.by_ip.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(inlet) = all.get(&ip) {
            return inlet.clone();
        }
        if all.len() >= MOST_PEERS {
            if self.owner.counters.set_error(&format!(
                "more than {MOST_PEERS} senders: the messages of further ones are taken, but have no source.ip in their documents"
            )) {
                tracing::warn!("source {}: more than {MOST_PEERS} senders; those beyond have no source.ip", self.owner.options.name);
            }
            return self.rest.clone();
        }
        let field = ("source.ip".to_string(), format!("\"{ip}\""));
        let inlet = Arc::new(self.owner.fresh_inlet(&ip.to_string(), &[field], RunFlags::SYSLOG));
        all.insert(ip, inlet.clone());
        inlet
    }
}
