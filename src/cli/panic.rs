//! What a bug does: the process ends, at once and loudly.
//!
//! A thread that died alone would leave an agent that looks healthy and ships nothing. A kill is safe here at
//! any moment, so the supervisor (systemd, Kubernetes) is let do its work.

use super::FAILED;

/// From now on a panic on any thread ends the process with exit code 1.
pub(super) fn ends_the_process() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // What is caught is told where it is caught, without what the message may quote.
        #[cfg(feature = "vrl")]
        if crate::process::guarded() {
            return;
        }
        print(info);
        tracing::error!(
            "this is a bug in forebay, please report it: {info}. The process ends; nothing that was acknowledged is lost, start it again to go on"
        );
        std::process::exit(FAILED.into());
    }));
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    const CHILD: &str = "FOREBAY_TEST_PANIC_CHILD";

    /// Runs itself in a child process, where a thread panics while the others would go on.
    #[test]
    fn a_panic_on_any_thread_ends_the_process() {
        if std::env::var_os(CHILD).is_some() {
            super::ends_the_process();
            let _ = std::thread::spawn(|| panic!("a bug")).join();
            std::process::exit(0);
        }
        let exe = std::env::current_exe().unwrap();
        let child = Command::new(exe)
            .args(["--exact", "cli::panic::tests::a_panic_on_any_thread_ends_the_process", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert_eq!(child.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&child.stderr).contains("a bug"));
    }
}
