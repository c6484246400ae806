//! How to log in, with credentials that are read again when their files change.

use super::dead_letter::base64;
use super::watched::Watched;
use crate::config::Secret;
use hyper::header::HeaderValue;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

/// How to log in.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// `auth: {user: …, password: …}`.
    Basic {
        /// User name.
        user: Secret,
        /// Password.
        password: Secret,
    },
    /// `auth: {api_key: …}`: the base64 form that Elasticsearch hands out.
    ApiKey(Secret),
    /// `auth: {api_key: {id: …, key: …}}`: the two parts that it hands out, too.
    ApiKeyPair {
        /// ID of the key.
        id: Secret,
        /// The key itself.
        key: Secret,
    },
    /// `auth: {bearer: …}`.
    Bearer(Secret),
}

impl Auth {
    /// The `Authorization` header, where there is one (RFC 7617, RFC 6750; `ApiKey` is Elasticsearch's own). A secret.
    pub(crate) fn authorization(&self) -> Option<String> {
        let pair = |a: &Secret, b: &Secret| base64(format!("{}:{}", a.expose(), b.expose()).as_bytes());
        match self {
            Auth::None => None,
            Auth::Basic { user, password } => Some(format!("Basic {}", pair(user, password))),
            Auth::ApiKey(key) => Some(format!("ApiKey {}", key.expose())),
            Auth::ApiKeyPair { id, key } => Some(format!("ApiKey {}", pair(id, key))),
            Auth::Bearer(token) => Some(format!("Bearer {}", token.expose())),
        }
    }

    /// The header's value.
    fn header(&self) -> Result<Option<HeaderValue>, String> {
        let Some(value) = self.authorization() else { return Ok(None) };
        let bad = |_| "the credentials under auth hold characters that no HTTP header can hold".to_string();
        let mut value = HeaderValue::from_str(&value).map_err(bad)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// The same from its files as they are now.
    fn reread(&self) -> Result<Auth, String> {
        Ok(match self {
            Auth::None => Auth::None,
            Auth::Basic { user, password } => Auth::Basic { user: user.reread()?, password: password.reread()? },
            Auth::ApiKey(key) => Auth::ApiKey(key.reread()?),
            Auth::ApiKeyPair { id, key } => Auth::ApiKeyPair { id: id.reread()?, key: key.reread()? },
            Auth::Bearer(token) => Auth::Bearer(token.reread()?),
        })
    }

    fn files(&self) -> Vec<PathBuf> {
        let secrets = match self {
            Auth::None => [None, None],
            Auth::Basic { user: a, password: b } | Auth::ApiKeyPair { id: a, key: b } => [Some(a), Some(b)],
            Auth::ApiKey(one) | Auth::Bearer(one) => [Some(one), None],
        };
        secrets.into_iter().flatten().flat_map(Secret::files).map(PathBuf::from).collect()
    }
}

struct State {
    auth: Auth,
    header: Option<HeaderValue>,
    watched: Watched,
    /// Why the files that are there now are not used.
    trouble: Option<String>,
}

/// The credentials of one sink as they are at the moment.
pub(crate) struct Credentials {
    sink: String,
    state: Mutex<State>,
}

impl Credentials {
    /// # Errors
    /// Why they cannot be sent at all.
    pub fn new(sink: &str, auth: &Auth) -> Result<Credentials, String> {
        let watched = Watched::new(auth.files());
        // They were read with the configuration, and may have changed since.
        let auth = auth.reread().unwrap_or_else(|_| auth.clone());
        let state = State { header: auth.header()?, auth, watched, trouble: None };
        Ok(Credentials { sink: sink.to_string(), state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The value of the header, after a look at the files.
    pub fn header(&self) -> Option<HeaderValue> {
        self.look(false);
        self.state().header.clone()
    }

    /// They were not accepted: whether there are others by now.
    pub fn others(&self, refused: Option<&HeaderValue>) -> bool {
        self.look(true);
        self.state().header.as_ref() != refused
    }

    /// What somebody should know.
    pub fn notice(&self) -> Option<String> {
        self.state().trouble.as_ref().map(|why| format!("the credentials cannot be read again, those from before are used on: {why}"))
    }

    fn look(&self, now: bool) {
        let mut state = self.state();
        // A file that could not be used may be usable now without another change: its folder's rights, for one.
        let again = now && state.trouble.is_some();
        if !state.watched.changed(now) && !again {
            return;
        }
        match state.auth.reread().and_then(|auth| Ok((auth.header()?, auth))) {
            Ok((header, auth)) => {
                if header != state.header {
                    tracing::info!("sink {}: the credentials have changed and are read again", self.sink);
                }
                (state.header, state.auth, state.trouble) = (header, auth, None);
            }
            Err(reason) => {
                if state.trouble.as_ref() != Some(&reason) {
                    tracing::warn!("sink {}: the credentials have changed, but: {reason}; those from before are used on", self.sink);
                }
                state.trouble = Some(reason);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_into_the_header_that_the_server_expects() {
        let secret = || Secret::new("k");
        assert_eq!(Auth::None.authorization(), None);
        assert_eq!(Auth::ApiKey(secret()).authorization().as_deref(), Some("ApiKey k"));
        assert_eq!(Auth::Bearer(secret()).authorization().as_deref(), Some("Bearer k"));
        assert_eq!(Auth::Basic { user: "u".into(), password: secret() }.authorization().as_deref(), Some("Basic dTpr"));
        assert_eq!(Auth::ApiKeyPair { id: "u".into(), key: secret() }.authorization().as_deref(), Some("ApiKey dTpr"));
    }

    #[test]
    fn files_are_read_again_and_one_that_cannot_be_used_leaves_what_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "old\n").unwrap();
        let password = Secret::from_text(&format!("<${{file:{}}}>", path.display())).unwrap();
        let credentials = Credentials::new("out", &Auth::Basic { user: "u".into(), password }).unwrap();
        let before = credentials.header();
        let value = |text: &str| Some(HeaderValue::from_str(&format!("Basic {}", base64(text.as_bytes()))).unwrap());
        assert_eq!(before, value("u:<old>"));
        assert!(!credentials.others(before.as_ref()));
        std::fs::remove_file(&path).unwrap();
        assert!(!credentials.others(before.as_ref()));
        assert!(credentials.notice().unwrap().contains("No such file"), "{:?}", credentials.notice());
        std::fs::write(&path, "").unwrap();
        assert!(!credentials.others(before.as_ref()), "half written");
        std::fs::write(&path, "new").unwrap();
        assert!(credentials.others(before.as_ref()));
        assert_eq!((credentials.header(), credentials.notice()), (value("u:<new>"), None));
        assert!(!format!("{:?}", credentials.header()).contains("Basic"), "not shown");
    }

    #[test]
    fn a_wrong_secret_holds_the_sink_until_its_file_is_mended() {
        use crate::queue::RunFlags;
        use crate::sink::http::HttpOptions;
        use crate::sink::testing::*;
        use crate::sink::{ConnectionOptions, SinkKind};

        let (runtime, dir) = (runtime(), tempfile::tempdir().unwrap());
        let at = |name: &str| dir.path().join(name);
        // As Kubernetes has it: a link to a folder of the version, exchanged as a whole.
        for (version, token) in [("v1", "wrong"), ("v2", "right")] {
            std::fs::create_dir(at(version)).unwrap();
            std::fs::write(at(version).join("token"), token).unwrap();
        }
        std::os::unix::fs::symlink("v1", at("data")).unwrap();
        let server = Server::start(&runtime, |_, request| match request.header("authorization") {
            "Bearer right" => Reply::Answer(204, &[], String::new()),
            _ => Reply::Answer(401, &[], "who are you?".into()),
        });
        let auth = Auth::Bearer(Secret::from_text(&format!("${{file:{}}}", at("data").join("token").display())).unwrap());
        let kind = SinkKind::Http(HttpOptions {
            url: server.url.clone(),
            connection: ConnectionOptions { auth, ..ConnectionOptions::default() },
            ..HttpOptions::default()
        });
        let bench = Bench::start(kind, batches(&lines(4), 2, RunFlags::UTF8), runtime);
        let until = std::time::Instant::now() + PATIENCE;
        while bench.sink().status().state != "held" {
            assert!(std::time::Instant::now() < until);
            std::thread::yield_now();
        }
        assert!(bench.sink().status().reason.starts_with("the log-in is not accepted (401)"));
        std::os::unix::fs::symlink("v2", at("new")).unwrap();
        std::fs::rename(at("new"), at("data")).unwrap();
        bench.finish();
        assert!(server.requests().last().unwrap().header("authorization").ends_with("right"));
    }
}
