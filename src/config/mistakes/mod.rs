//! What a person reads for each kind of mistake.

mod connections;
mod events;
mod examples;
mod inputs;
mod keys;
mod limits;
mod secrets;
mod targets;
mod values;
mod whole;
mod yaml;

use super::load;
use std::path::PathBuf;

/// A pipeline that is right, to which a mistake can be added.
const PIPELINE: &str = "sources: {app: {type: file, include: /var/log/app/*.log}}\nsinks: {out: {type: console}}\n";

fn env(name: &str) -> Option<String> {
    match name {
        "MANY" => Some("1000".into()),
        "API_TOKEN" => Some("hunter4".into()),
        "LOGDIR" => Some("/var/log".into()),
        _ => None,
    }
}

/// Loads files of a fresh folder and returns the errors, with the paths as if the folder were the working directory.
fn errors_of(files: &[(&str, &[u8])]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = files.iter().map(|(name, _)| dir.path().join(name)).collect();
    for (path, (_, bytes)) in paths.iter().zip(files) {
        std::fs::write(path, bytes).unwrap();
    }
    let errors = load(&paths, &env).unwrap_err();
    let (text, json) = (errors.render(false), errors.to_json().to_string());
    for secret in ["hunter2", "hunter3", "hunter4"] {
        assert!(!text.contains(secret) && !json.contains(secret) && !format!("{errors:?}").contains(secret), "{text}\n{json}");
    }
    text.replace(&format!("{}/", dir.path().display()), "")
}

fn errors(text: &str) -> String {
    errors_of(&[("pipeline.yaml", text.as_bytes())])
}

/// The errors of the mistake after a pipeline that is right.
fn after_pipeline(text: &str) -> String {
    errors(&format!("{PIPELINE}{text}"))
}
