//! Who this agent is: part of every event ID, so that two hosts never share one.

use std::fs;

/// `agent.id` if it is set, else machine ID, host name and, in Kubernetes, the pod's UID (`POD_UID`).
pub(super) fn agent_id(configured: Option<String>, host_name: &str) -> String {
    configured.unwrap_or_else(|| {
        let machine = ["/etc/machine-id", "/var/lib/dbus/machine-id"].iter().find_map(|path| fs::read_to_string(path).ok());
        let pod = std::env::var("POD_UID").unwrap_or_default();
        derived(machine.as_deref().unwrap_or_default().trim(), host_name, pod.trim())
    })
}

fn derived(machine: &str, host_name: &str, pod: &str) -> String {
    format!("{machine}/{host_name}/{pod}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_machine_and_pods_on_one_host_differ() {
        let a = derived("m1", "host-a", "");
        assert_ne!(a, derived("m1", "host-b", ""), "a cloned machine has another name");
        assert_ne!(derived("m1", "host-a", "pod-1"), derived("m1", "host-a", "pod-2"));
        assert_eq!(agent_id(Some("fixed".into()), "x"), "fixed");
    }
}
