//! What tests ask of the machine: mounts, injected errors, another user. Where it is not allowed they are skipped, by name.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a command; its error output where it fails.
pub fn run(words: &[&str]) -> Result<(), String> {
    let output = Command::new(words[0]).args(&words[1..]).output().map_err(|e| format!("{}: {e}", words[0]))?;
    let text = || format!("`{}`: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    if output.status.success() { Ok(()) } else { Err(text()) }
}

/// Says that a test was not run, and why. Written directly: what a passing test prints through `println!` is hidden.
pub fn skipped(name: &str, why: &str) {
    std::io::stderr().write_all(format!("SKIPPED {name}: {why}\n").as_bytes()).expect("stderr");
}

/// A mounted folder; dropping it takes the mount away, whoever is still in it.
pub struct Mount(PathBuf);

impl Mount {
    /// # Errors
    /// Why it cannot be mounted.
    pub fn tmpfs(at: &Path, bytes: u64) -> Result<Mount, String> {
        Self::with(&["mount", "-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"], at)
    }

    /// A file system in a file, made anew where `make` gives its bytes.
    ///
    /// # Errors
    /// Why it cannot be mounted.
    pub fn image(image: &Path, make: Option<u64>, at: &Path) -> Result<Mount, String> {
        let name = image.to_str().expect("a path in UTF-8");
        if let Some(bytes) = make {
            std::fs::File::create(image).and_then(|f| f.set_len(bytes)).map_err(|e| e.to_string())?;
            run(&["mkfs.ext4", "-q", "-F", name])?;
        }
        Self::with(&["mount", "-o", "loop", name], at)
    }

    /// The folder `from` once more, at `at`.
    ///
    /// # Errors
    /// Why it cannot be mounted.
    pub fn bind(from: &Path, at: &Path) -> Result<Mount, String> {
        Self::with(&["mount", "--bind", from.to_str().expect("a path in UTF-8")], at)
    }

    fn with(words: &[&str], at: &Path) -> Result<Mount, String> {
        std::fs::create_dir_all(at).map_err(|e| e.to_string())?;
        run(&[words, &[at.to_str().expect("a path in UTF-8")]].concat())?;
        Ok(Mount(at.to_path_buf()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let at = self.0.to_str().expect("a path in UTF-8");
        // At the end of the world, too, when somebody is in it still.
        if run(&["umount", at]).is_err() {
            let _ = run(&["umount", "-l", at]);
        }
    }
}
